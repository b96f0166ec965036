//! Networks of the internet: addresses with the same first bits, as configuration writes them.
//!
//! An address has two ways of writing (`192.0.2.1` and `::ffff:192.0.2.1`); here they are the same, so that no list can
//! be walked past in the other one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Addresses with the same first bits (`198.51.100.0/24`, `2001:db8::/32`, or one address alone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether an address lies in it; an IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        first(address.to_canonical(), self.bits) == Some(self.address)
    }
}

/// The address with all but the first `bits` bits off; `None` when it has fewer.
fn first(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) if bits <= 32 => {
            Some(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) if bits <= 128 => {
            Some(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into())
        }
        _ => None,
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Network {
        let address = address.to_canonical();
        Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Network, String> {
        let (address, bits) = text.split_once('/').map_or((&*text, None), |(address, bits)| (address, Some(bits)));
        let network = address.parse::<IpAddr>().ok().and_then(|address| match bits {
            None => Some(Network::from(address)),
            Some(bits) if address == address.to_canonical() => {
                let bits = bits.parse().ok()?;
                Some(Network { address: first(address, bits)?, bits })
            }
            Some(_) => None,
        });
        network.ok_or_else(|| {
            let shown: String = text.chars().take(60).flat_map(char::escape_default).collect();
            format!(
                "\"{shown}\" is no network; write it as in \"198.51.100.0/24\", \"2001:db8::/32\" or \"192.0.2.10\""
            )
        })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn an_address_is_found_in_its_network_in_either_form_of_writing() {
        for (of, address, right) in [
            ("198.51.100.0/24", "198.51.100.255", true),
            ("198.51.100.0/24", "198.51.101.0", false),
            ("198.51.100.77/24", "198.51.100.1", true),
            ("198.51.100.7", "::ffff:198.51.100.7", true),
            ("::ffff:198.51.100.7", "198.51.100.7", true),
            ("198.51.100.0/24", "::ffff:198.51.100.7", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network(of).contains(address), right, "{address} in {of}");
        }
        // The naive twin compares what is written: the second form of an address walks past the list.
        let naive = |of: &str, address: &str| of == address;
        assert!(!naive("198.51.100.7", "::ffff:198.51.100.7"));
    }

    #[test]
    fn what_is_no_network_is_refused_and_shown_harmlessly() {
        for wrong in [
            "",
            "x",
            "198.51.100.0/33",
            "::/129",
            "198.51.100.0/",
            "198.51.100.0/-1",
            "1.2.3/8",
            "a/b/c",
            "::ffff:198.51.100.0/120",
            "198.51.100.0/24 drop",
            "198.51.100.0/24\n\u{1b}[2J",
        ] {
            let why = Network::try_from(wrong.to_owned()).unwrap_err();
            assert!(why.contains("198.51.100.0/24") && !why.contains(char::is_control), "{wrong}: {why}");
        }
        assert_eq!(network("198.51.100.77/24").to_string(), "198.51.100.0/24");
    }
}
