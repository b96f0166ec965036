//! From how many networks somebody logs in within a short time.
//!
//! A network is a /24 or a /48: what one line or one office has. Those that lie in different /16 or /32 are far
//! apart: a pool of one mail house is not. Loopback is the webmail of the node itself and no network.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Logins remembered, one a network and minute; the oldest goes first.
const LOGINS_MAX: usize = 256;
/// Minutes that are a short time.
const SHORT: u32 = 10;

/// Where somebody logged in from in the last hour.
#[derive(Clone, Debug, Default)]
pub struct Places(VecDeque<(u32, IpAddr)>);

/// What is said of a stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// All, sorted, as `203.0.113.0/24`.
    pub all: Vec<String>,
    /// Most networks within ten minutes.
    pub at_once: u32,
    /// Most of them that are far apart, within ten minutes.
    pub apart_at_once: u32,
    /// All that are far apart.
    pub apart: u32,
}

impl Places {
    /// A login of this minute.
    pub fn login(&mut self, minute: u32, client: IpAddr) {
        if client.is_loopback() {
            return;
        }
        let network = cut(client, 24, 48);
        let known = self.0.iter().rev().take_while(|(at, _)| *at >= minute);
        if known.into_iter().any(|(at, held)| *at == minute && *held == network) {
            return;
        }
        if self.0.len() >= LOGINS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((minute, network));
    }

    /// Forgets what is before this minute.
    pub fn forget(&mut self, old: u32) {
        while self.0.front().is_some_and(|(at, _)| *at < old) {
            self.0.pop_front();
        }
    }

    /// The logins of the minutes that are inside.
    pub fn networks(&self, inside: impl Fn(u32) -> bool) -> Networks {
        let logins: Vec<(u32, IpAddr)> = self.0.iter().filter(|(at, _)| inside(*at)).copied().collect();
        let count = |logins: &[(u32, IpAddr)], far: bool| {
            let one = |(_, network): &(u32, IpAddr)| if far { cut(*network, 16, 32) } else { *network };
            logins.iter().map(one).collect::<BTreeSet<_>>().len() as u32
        };
        let mut found = Networks { apart: count(&logins, true), ..Networks::default() };
        let mut from = 0;
        for (to, (at, _)) in logins.iter().enumerate() {
            while logins[from].0 + SHORT <= *at {
                from += 1;
            }
            found.at_once = found.at_once.max(count(&logins[from..=to], false));
            found.apart_at_once = found.apart_at_once.max(count(&logins[from..=to], true));
        }
        let all: BTreeSet<IpAddr> = logins.into_iter().map(|(_, network)| network).collect();
        let text = |network: IpAddr| format!("{network}/{}", if network.is_ipv4() { 24 } else { 48 });
        found.all = all.into_iter().map(text).collect();
        found
    }
}

/// The network of an address, so many bits of it.
fn cut(address: IpAddr, bits4: u32, bits6: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - bits4))).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - bits6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_and_those_of_a_pool_are_not_far_apart() {
        let mut places = Places::default();
        let clients = ["203.0.113.7", "203.0.113.93", "::ffff:203.0.113.8", "127.0.0.1", "::1", "203.0.9.1"];
        for client in clients.iter().chain(&["2001:db8:aa::7", "2001:db8:aa:1::9", "2001:db8:bb::1"]) {
            places.login(100, client.parse().unwrap());
        }
        places.login(130, "198.51.100.1".parse().unwrap());
        let networks = places.networks(|_| true);
        let all = ["198.51.100.0/24", "203.0.9.0/24", "203.0.113.0/24", "2001:db8:aa::/48", "2001:db8:bb::/48"];
        assert_eq!(networks.all, all);
        assert_eq!((networks.at_once, networks.apart_at_once, networks.apart), (4, 2, 3));
    }
}
