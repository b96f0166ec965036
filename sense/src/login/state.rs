//! What is remembered of logins: of each network, each credential, each pair of account and address that moves files.
//!
//! All of it is bounded; what was quiet longest goes first. Names that belong to no account are kept as hashes.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::net::IpAddr;

use model::{Moment, Span};

/// A window for guessing: failures further apart than this do not belong together.
pub(super) const WINDOW: Span = Span::hours(1);
/// Networks, names and credentials that are remembered, each at most 16 KiB, and far less without a flood.
pub(super) const ENTRIES_MAX: usize = 8_000;
/// Accounts and addresses whose transfers are remembered, each at most 10 KiB.
pub(super) const TRANSFERS_MAX: usize = 2_000;
/// Names, addresses and networks that one entry remembers.
pub(super) const FEW: usize = 64;
/// Countries of one account that are told apart.
pub(super) const COUNTRIES_MAX: usize = 32;

/// A network: 24 bits of IPv4, 64 of IPv6 (what one customer gets, RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network(pub IpAddr);

impl Network {
    pub fn of(address: IpAddr) -> Network {
        Network(masked(address, 24, 64))
    }

    /// The larger network out of which a provider gives changing addresses.
    pub fn provider(self) -> IpAddr {
        masked(self.0, 16, 32)
    }
}

fn masked(address: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match address {
        IpAddr::V4(a) => IpAddr::V4((a.to_bits() & (u32::MAX << (32 - v4))).into()),
        IpAddr::V6(a) => IpAddr::V6((a.to_bits() & (u128::MAX << (128 - v6))).into()),
    }
}

/// A hash of a name, for telling names apart without keeping them.
pub(super) fn mark(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What is kept longer: a flood of strangers must not wash away what is known of owners.
pub(super) trait Worth {
    fn is_worth(&self) -> bool;
}

/// A map that forgets a quarter when it is full: first what is not worth keeping, then what was touched longest ago.
pub(super) struct Bounded<K, V> {
    map: HashMap<K, (u64, V)>,
    clock: u64,
    max: usize,
}

impl<K: std::hash::Hash + Eq, V: Default + Worth> Bounded<K, V> {
    pub fn new(max: usize) -> Bounded<K, V> {
        Bounded { map: HashMap::new(), clock: 0, max }
    }

    /// The entry of this key, made when it is not there.
    pub fn entry(&mut self, key: K) -> &mut V {
        self.clock += 1;
        if self.map.len() >= self.max && !self.map.contains_key(&key) {
            let mut ages: Vec<(bool, u64)> = self.map.values().map(|(age, v)| (v.is_worth(), *age)).collect();
            let quarter = ages.len() / 4;
            let (_, limit, _) = ages.select_nth_unstable(quarter);
            let limit = *limit;
            self.map.retain(|_, (age, v)| (v.is_worth(), *age) > limit);
        }
        let clock = self.clock;
        let held = self.map.entry(key).or_default();
        held.0 = clock;
        &mut held.1
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter().map(|(key, (_, value))| (key, value))
    }

    /// Gives each entry a new key; those without one are forgotten.
    pub fn rekey(&mut self, new: &dyn Fn(&K) -> Option<K>) {
        let before = std::mem::take(&mut self.map);
        self.map = before.into_iter().filter_map(|(key, value)| Some((new(&key)?, value))).collect();
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.map.values_mut().map(|(_, value)| value)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.map.len()
    }
}

/// Failures in a row that belong together.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub count: u32,
    pub first: Option<Moment>,
    pub last: Option<Moment>,
}

impl Run {
    /// Adds failures; begins anew after a [`WINDOW`] of silence. Clocks that go back change nothing.
    pub fn add(&mut self, times: u32, at: Moment) {
        if self.last.is_some_and(|last| at - last > WINDOW) {
            *self = Run::default();
        }
        self.count = self.count.saturating_add(times);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }

    /// Seconds between two failures on average; 0 for bursts.
    pub fn pace(&self) -> i64 {
        match (self.first, self.last) {
            (Some(first), Some(last)) => (last - first).whole_secs() / i64::from(self.count.max(2) - 1),
            _ => 0,
        }
    }

    /// Still of now.
    pub fn holds(&self, at: Moment) -> bool {
        self.count > 0 && self.last.is_some_and(|last| at - last <= WINDOW)
    }
}

/// What comes from one network, for one service.
#[derive(Default)]
pub(super) struct Origin {
    pub run: Run,
    pub addresses: HashSet<IpAddr>,
    /// Names that failed in the run, at most [`FEW`].
    pub names: HashSet<u64>,
    /// Those of them that belong to no account.
    pub strangers: HashSet<u64>,
    /// Accounts that got in.
    pub welcome: HashSet<usize>,
    /// The largest run that was an attack.
    pub attack: Option<Run>,
}

/// One name, whoever tries it.
#[derive(Default)]
pub(super) struct Tried {
    pub run: Run,
    /// Where it was tried from in the run, one address a network, at most [`FEW`].
    pub from: HashMap<Network, IpAddr>,
    /// The largest run that was an attack.
    pub attack: Option<Run>,
}

/// One credential from one network.
#[derive(Clone, Default)]
pub(super) struct Visit {
    pub run: Run,
    pub logins: u32,
    pub first: Option<Moment>,
    pub last: Option<Moment>,
    /// Every login so far fell into the night.
    pub night: bool,
    pub listed: u32,
    pub moved: u32,
    pub method: Vec<u8>,
    /// Its first login used a key or device that was not known, or none.
    pub strange: bool,
    /// With a second factor.
    pub second: bool,
    pub country: Vec<u8>,
    /// Another country than the node's and all of the account's before, by the database.
    pub foreign: Option<Foreign>,
    pub address: Option<IpAddr>,
}

/// A country that is new for an account.
#[derive(Clone)]
pub(super) struct Foreign {
    /// Two small letters.
    pub country: [u8; 2],
    /// The third one within a day.
    pub many: bool,
    /// The database's date.
    pub of: String,
}

/// From which countries an account logs in.
#[derive(Default)]
pub(super) struct Abroad {
    /// All but the node's, at most [`COUNTRIES_MAX`]; later ones are not told apart any more.
    pub seen: Vec<[u8; 2]>,
    /// Logins whose country is known, the node's included.
    pub logins: u32,
    /// When the last new countries came, at most two.
    pub fresh: Vec<Moment>,
}

impl Abroad {
    /// A login from a country that is not the node's (`None`: from the node's); whether it is new, and whether it is
    /// the third new one within a day. An account with fewer logins than `known` has no habit yet.
    pub fn login(&mut self, country: Option<[u8; 2]>, known: u32, at: Moment) -> Option<bool> {
        let before = self.logins;
        self.logins = self.logins.saturating_add(1);
        let country = country.filter(|country| !self.seen.contains(country) && self.seen.len() < COUNTRIES_MAX)?;
        self.seen.push(country);
        if before < known {
            return None;
        }
        self.fresh.retain(|then| at - *then <= Span::days(1));
        let many = self.fresh.len() >= 2;
        self.fresh.push(at);
        self.fresh.drain(..self.fresh.len().saturating_sub(2));
        Some(many)
    }
}

/// A credential after many failures that was right in the end.
#[derive(Clone)]
pub(super) struct Guess {
    pub at: Moment,
    pub address: IpAddr,
    pub method: Vec<u8>,
    pub run: Run,
}

/// One credential.
#[derive(Default)]
pub(super) struct Credential {
    /// By network, at most [`FEW`], a quarter of them for a name that never was right.
    pub visits: HashMap<Network, Visit>,
    /// Keys and devices that were used, hashed, at most [`FEW`].
    pub keys: HashSet<u64>,
    pub guess: Option<Guess>,
    /// It was right at least once.
    pub known: bool,
    /// Failures from everywhere.
    pub run: Run,
}

impl Credential {
    /// The visits of this network; the one that was quiet longest makes room.
    pub fn visit(&mut self, network: Network) -> &mut Visit {
        let max = if self.known { FEW } else { FEW / 4 };
        if self.visits.len() >= max && !self.visits.contains_key(&network) {
            // Failures alone go before logins: a flood of guesses must not make a home look new.
            let oldest = self.visits.iter().min_by_key(|(_, v)| (v.logins > 0, v.last.or(v.run.last)));
            if let Some(oldest) = oldest.map(|(network, _)| *network) {
                self.visits.remove(&oldest);
            }
        }
        self.visits.entry(network).or_default()
    }
}

/// Files that one account moves, from one address or from all of them.
#[derive(Default)]
pub(super) struct Transfer {
    /// Fetched lately: path, bytes, when; at most 256.
    pub got: Vec<(u64, u64, Moment)>,
    /// Put back within seconds: path, and by how many bytes larger; at most 256.
    pub pairs: Vec<(u64, i64)>,
    pub first: Option<Moment>,
    pub pairs_from: Option<Moment>,
    pub pairs_to: Option<Moment>,
}

impl Worth for Origin {
    fn is_worth(&self) -> bool {
        !self.welcome.is_empty() || self.attack.is_some()
    }
}

impl Worth for Tried {
    fn is_worth(&self) -> bool {
        self.attack.is_some()
    }
}

impl Worth for Credential {
    fn is_worth(&self) -> bool {
        self.known
    }
}

impl Worth for Transfer {
    fn is_worth(&self) -> bool {
        !self.pairs.is_empty()
    }
}

impl Worth for Vec<u8> {
    fn is_worth(&self) -> bool {
        false
    }
}

impl Worth for (Vec<u8>, Option<IpAddr>) {
    fn is_worth(&self) -> bool {
        false
    }
}
