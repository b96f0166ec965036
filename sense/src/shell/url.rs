//! The host of an address on a command line, in every form in which a host is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name, lower case.
    Name(String),
    /// A bare address; also one written as one number or in hexadecimal, which only hides it.
    Address(IpAddr),
}

/// The host of an address; `None` where there is none (a file, an option, a variable).
pub(crate) fn host_of(url: &[u8]) -> Option<Host> {
    let text = std::str::from_utf8(url).ok()?;
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(inside) = authority.strip_prefix('[') {
        return inside.split(']').next()?.parse::<Ipv6Addr>().ok().map(|a| Host::Address(a.to_canonical()));
    }
    let host = authority.split(':').next()?.trim_end_matches('.').to_ascii_lowercase();
    // `nc HOST 4444`: a number without a scheme is a port.
    if !text.contains("://") && host.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return None;
    }
    Some(number(&host).map_or(Host::Name(host), Host::Address))
}

/// `203.0.113.5`, `3405803781`, `0xcb007105`, `0xcb.0.0x71.5` (inet_aton(3)).
fn number(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(address.into());
    }
    let part = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse::<u32>().ok(),
    };
    let parts: Vec<u32> = host.split('.').map(part).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let high = first.iter().try_fold(0u32, |sum, part| (*part < 256).then_some(sum << 8 | *part))?;
    let room = 32 - 8 * u32::try_from(first.len()).ok().filter(|n| *n < 4)?;
    let high = if room == 32 { 0 } else { high << room };
    (room == 32 || *last < 1 << room).then(|| Ipv4Addr::from_bits(high | last).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_every_form() {
        let host = |url: &str| match host_of(url.as_bytes()) {
            Some(Host::Name(name)) => name,
            Some(Host::Address(address)) => format!("<{address}>"),
            None => "none".to_owned(),
        };
        for (url, want) in [
            ("https://Aoi.Example/x", "aoi.example"),
            ("http://user:pw@aoi.example:8080?x", "aoi.example"),
            ("http://203.0.113.5:81/ok", "<203.0.113.5>"),
            ("http://3405803781/", "<203.0.113.5>"),
            ("http://0xcb007105/a", "<203.0.113.5>"),
            ("http://[2001:db8::1]:8/a", "<2001:db8::1>"),
            ("203.0.113.5/a", "<203.0.113.5>"),
            ("http://1.2.3.4.5/", "1.2.3.4.5"),
            ("4444", "none"),
            ("$URL", "none"),
            ("://", "none"),
        ] {
            assert_eq!(host(url), want, "{url}");
        }
        assert_eq!(host_of(b"\xff\xfe"), None);
    }
}
