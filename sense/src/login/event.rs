//! What a line of a login log says, whatever program wrote it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Into what somebody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// ssh, scp, sftp.
    Shell,
    /// FTP.
    Ftp,
    /// Mailboxes: IMAP, POP3, handing in.
    Mail,
    /// Panels and sites that log by `key=value`.
    Panel,
}

impl Service {
    /// Its word in facts.
    pub fn word(self) -> &'static str {
        match self {
            Service::Shell => "ssh",
            Service::Ftp => "ftp",
            Service::Mail => "mail",
            Service::Panel => "panel",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub service: Service,
    /// The name that was given; empty when none was.
    pub user: &'a [u8],
    pub source: Option<IpAddr>,
    /// The process that wrote it, for programs whose later lines name nobody.
    pub pid: u32,
    pub what: What<'a>,
}

/// What it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// Somebody is in.
    Accepted {
        /// `password`, `publickey`, `PLAIN` …
        method: &'a [u8],
        /// What proves the device: a key's fingerprint, a panel's device mark.
        key: &'a [u8],
        /// A second factor was given.
        second: bool,
        /// Two letters, when the program knows the country.
        country: &'a [u8],
    },
    /// Wrong, this many times.
    Failed(u32),
    /// A name that does not exist was tried; a failure of the same attempt may follow.
    Unknown,
    /// A session of sftp began for this user (later lines carry only the process).
    Began,
    /// A folder was listed.
    Listed,
    /// A file was fetched: path and bytes.
    Got(&'a [u8], u64),
    /// A file was put there: path and bytes.
    Put(&'a [u8], u64),
    /// Something else within a session.
    Other,
}

/// What reading a line gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// Not about logins, or about nothing that matters here.
    Nothing,
    /// Something happened.
    Event(Event<'a>),
    /// About logins, and cut, malformed or with two readings.
    Unclear,
}

/// An address in any shape in which logs write it: brackets, the mapped form (RFC 4291, 2.5.5.2).
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// An address that a port may follow. `2001:db8::1:443` is an address and an address with a port: it is neither.
pub(super) fn address_and_port(text: &[u8]) -> Option<IpAddr> {
    let shown = std::str::from_utf8(text).ok()?;
    let port = |text: &str| !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((inside, after)) = shown.strip_prefix('[').and_then(|t| t.split_once(']')) {
        let fits = after.is_empty() || after.strip_prefix(':').is_some_and(port);
        return inside.parse::<Ipv6Addr>().ok().filter(|_| fits).map(|a| IpAddr::V6(a).to_canonical());
    }
    if let Some((host, after)) = shown.rsplit_once(':') {
        if let Ok(host) = host.parse::<Ipv4Addr>() {
            return port(after).then_some(host.into());
        }
        let two = port(after) && after.len() > 1 && host.parse::<Ipv6Addr>().is_ok();
        if two {
            return None;
        }
    }
    address(text)
}

/// The text between two marks, when the first stands there once and the second follows it.
pub(super) fn between<'a>(text: &'a [u8], open: &[u8], close: &[u8]) -> Option<&'a [u8]> {
    let start = find(text, open)? + open.len();
    if find(&text[start..], open).is_some() {
        return None;
    }
    let end = find(&text[start..], close)?;
    Some(&text[start..start + end])
}

/// Where `part` begins.
pub(super) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1)).position(|window| window == part)
}

/// Where the last `part` begins.
pub(super) fn find_last(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1)).rposition(|window| window == part)
}

/// A number and nothing else.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    (!text.is_empty() && text.len() < 19 && text.iter().all(u8::is_ascii_digit))
        .then(|| text.iter().fold(0, |sum, d| sum * 10 + u64::from(d - b'0')))
}
