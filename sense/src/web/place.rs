//! Whose line is it: by the file it stands in, or by the virtual host that the server wrote.
//!
//! A file that is one account's own goes before what its lines say: a tenant may write `Host` as he likes, but not into
//! another's log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use model::{AccountEntry, AccountRef, Domain};

use super::format::Format;

/// Whose a log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Its lines must say it.
    #[default]
    Lines,
    /// Lines that name no virtual host are of this account.
    Otherwise(AccountRef),
    /// All lines are of this account, and of this site when it is known.
    Sure(AccountRef, Option<Domain>),
}

/// One log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// How it is written.
    pub format: Format,
    /// Whose it is.
    pub owner: Owner,
}

/// Places are numbered: 0 is nobody's, then for each account one of no certain site and one a site.
#[derive(Debug)]
pub struct Places {
    all: Vec<PlaceOf>,
    accounts: Arc<[AccountEntry]>,
    /// By virtual host; `None` where two accounts claim it.
    names: HashMap<Vec<u8>, Option<usize>>,
    /// The place of each account's lines of no certain site.
    general: HashMap<AccountRef, usize>,
}

#[derive(Clone, Copy, Debug)]
struct PlaceOf {
    account: Option<usize>,
    site: Option<usize>,
}

impl Places {
    /// The places of these accounts.
    pub fn new(accounts: Arc<[AccountEntry]>) -> Places {
        let mut places = Places {
            all: vec![PlaceOf { account: None, site: None }],
            accounts: accounts.clone(),
            names: HashMap::new(),
            general: HashMap::new(),
        };
        for (account, entry) in accounts.iter().enumerate() {
            places.general.insert(entry.account.clone(), places.all.len());
            places.all.push(PlaceOf { account: Some(account), site: None });
            for (site, known) in entry.sites.iter().enumerate() {
                let at = places.all.len();
                places.all.push(PlaceOf { account: Some(account), site: Some(site) });
                for name in std::iter::once(&known.domain).chain(&known.aliases) {
                    let claimed = places.names.entry(name.as_str().as_bytes().to_vec());
                    claimed.and_modify(|held| *held = held.filter(|held| *held == at)).or_insert(Some(at));
                }
            }
        }
        places
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Never: nobody's place is always there.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Where a line of this log and virtual host belongs; none: to a site that nobody owns.
    pub fn of(&self, owner: &Owner, name: &[u8]) -> Option<usize> {
        let named = self.named(name);
        let general = |account: &AccountRef| self.general.get(account).copied();
        match owner {
            Owner::Lines if name.is_empty() => Some(0),
            Owner::Lines => named,
            Owner::Otherwise(account) if name.is_empty() => general(account),
            Owner::Otherwise(_) => named,
            Owner::Sure(account, site) => {
                let own = |at: &usize| self.account(*at).is_some_and(|a| a.account == *account);
                let own_site = site.as_ref().and_then(|s| self.named(s.as_str().as_bytes())).filter(own);
                own_site.or_else(|| named.filter(own)).or_else(|| general(account))
            }
        }
    }

    fn named(&self, name: &[u8]) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix(b"www.");
        let wild = lower.iter().position(|b| *b == b'.').map(|dot| [b"*", &lower[dot..]].concat());
        let known = |name: &[u8]| self.names.get(name).copied();
        known(&lower).or_else(|| known(bare?)).or_else(|| known(&wild?)).flatten()
    }

    /// The account of a place.
    pub fn account(&self, place: usize) -> Option<&AccountEntry> {
        self.all.get(place)?.account.map(|at| &self.accounts[at])
    }

    /// The places of an account.
    pub fn of_account(&self, account: &AccountRef) -> std::ops::Range<usize> {
        let from = self.general.get(account).copied().unwrap_or_default();
        // Without an account: no place, not even nobody's.
        from..self.account(from).map_or(from, |known| from + 1 + known.sites.len())
    }

    /// The place here that is the same account's, and the same site's, as one of `others`.
    pub fn same(&self, others: &Places, place: usize) -> Option<usize> {
        let Some(account) = others.account(place) else { return (place == 0).then_some(0) };
        let at = *self.general.get(&account.account)?;
        match others.site(place) {
            None => Some(at),
            Some(site) => {
                let sites = &self.account(at)?.sites;
                // The site's places follow the account's, in the order of its sites.
                sites.iter().position(|known| known.domain == *site).map(|n| at + 1 + n)
            }
        }
    }

    /// The names of the sites of a place's account.
    pub fn sites(&self, place: usize) -> Vec<&Domain> {
        self.account(place).into_iter().flat_map(|account| &account.sites).map(|site| &site.domain).collect()
    }

    /// The site of a place, when it is sure.
    pub fn site(&self, place: usize) -> Option<&Domain> {
        let site = self.all.get(place)?.site?;
        self.account(place).map(|a| &a.sites[site].domain)
    }

    /// Whether an account with several sites is known, but not which of them.
    pub fn is_unsure(&self, place: usize) -> bool {
        self.site(place).is_none() && self.account(place).is_some_and(|a| a.sites.len() > 1)
    }

    /// Counts a referer for the site of the account that it names; at most one row a site.
    pub fn vote(&self, place: usize, referer: &[u8], votes: &mut Vec<(usize, u32)>) {
        let Some(at) = memchr::memmem::find(referer, b"://") else { return };
        let host = &referer[at + 3..];
        let host = &host[..host.iter().position(|b| matches!(b, b'/' | b':' | b'?')).unwrap_or(host.len())];
        let Some(named) = self.named(host) else { return };
        if self.all[named].account == self.all[place].account
            && let Some(site) = self.all[named].site
        {
            match votes.iter_mut().find(|(known, _)| *known == site) {
                Some((_, n)) => *n += 1,
                None => votes.push((site, 1)),
            }
        }
    }

    /// The site where something is stopped: the sure one, else the one that most referers name, else the account's
    /// first. Only the account's own; a stop at the wrong one of them stops nothing.
    pub fn likely_site(&self, place: usize, votes: &[(usize, u32)]) -> Option<&Domain> {
        let sites = &self.account(place)?.sites;
        let voted = votes.iter().max_by_key(|(site, n)| (*n, std::cmp::Reverse(*site))).map(|(site, _)| *site);
        self.site(place).or_else(|| sites.get(voted.unwrap_or(0)).map(|s| &s.domain))
    }

    /// Whose a log is by its place: below a home, or a file or folder that bears a site's name.
    ///
    /// `/var/log/nginx/shop.example.jp.access.log` and `/var/log/apache2/shop.example.jp/access.log` are of
    /// `shop.example.jp`; the longest name counts.
    pub fn owner_of(&self, path: &Path) -> Owner {
        let text = path.as_os_str().as_encoded_bytes();
        let below = |home: &str| crate::process::below(text, home.as_bytes()) && home.len() > 1;
        let parts: Vec<&[u8]> = text.split(|b| *b == b'/').rev().take(2).collect();
        // What could be a name is looked up, because a node has as many names as logs.
        let mut best: Option<(usize, usize)> = None;
        for lower in parts.iter().map(|part| part.to_ascii_lowercase()) {
            let ends: Vec<usize> = (1..=lower.len()).filter(|at| ends_name(&lower[*at..])).collect();
            for from in (0..lower.len()).filter(|at| begins_name(&lower[..*at])) {
                for to in ends.iter().copied().filter(|to| *to > from) {
                    let place = self.names.get(&lower[from..to]).copied().flatten();
                    if place.is_some() && best.is_none_or(|(len, _)| to - from > len) {
                        best = place.map(|place| (to - from, place));
                    }
                }
            }
        }
        let homes = self.accounts.iter().filter(|a| below(&a.home)).max_by_key(|a| a.home.len());
        match (homes, best.and_then(|(_, place)| Some((self.account(place)?, self.site(place)?)))) {
            (Some(home), Some((account, site))) if home.account == account.account => {
                Owner::Sure(home.account.clone(), Some(site.clone()))
            }
            (Some(home), _) => Owner::Sure(home.account.clone(), None),
            (None, Some((account, site))) => Owner::Sure(account.account.clone(), Some(site.clone())),
            (None, None) => Owner::Lines,
        }
    }
}

/// Whether a site's name may begin behind this part of a file's name.
fn begins_name(before: &[u8]) -> bool {
    before.is_empty() || matches!(before.last(), Some(b'-' | b'_')) || before == b"www."
}

/// Whether a site's name may end before this part of a file's name.
fn ends_name(after: &[u8]) -> bool {
    let ends = [&b".log"[..], b".access", b"-access", b"_access", b"-ssl", b"_ssl", b".ssl", b"_log", b"-log"];
    after.is_empty() || ends.iter().any(|end| after.starts_with(end))
}
