//! What both web servers' configurations come down to: virtual hosts with names, a root, a gate and probes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use model::{ProbeTarget, Unclear};

use super::files::shown;

/// Which server a virtual host belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// nginx.
    Nginx,
    /// Apache httpd.
    Apache,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Server::Nginx => "nginx",
            Server::Apache => "Apache",
        })
    }
}

/// The root of a virtual host, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// Absolute, as configured (tidied, links not resolved).
    At(PathBuf),
    /// None of its own: a proxy.
    Nowhere,
    /// It cannot be told, and why.
    Unclear(String),
}

/// One `server {}` block or `<VirtualHost>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vhost {
    /// Whose it is.
    pub server: Server,
    /// The file that holds its first line.
    pub file: PathBuf,
    /// That line, from 1.
    pub line: u32,
    /// Byte offset just after what opens it: nginx's `{`, or the end of the line of Apache's `<VirtualHost …>`.
    pub open: usize,
    /// Byte offset of what closes it: nginx's `}`, or the start of Apache's `</VirtualHost>`.
    pub close: usize,
    /// Names in order, lower case, as configured (`*.x`, `.x`, `~regex`, `_`, empty).
    pub names: Vec<String>,
    /// Its root.
    pub root: Root,
    /// Apache's `%{DOCUMENT_ROOT}`, when it has one of its own or inherits it.
    pub document_root: Option<String>,
    /// Roots and aliases of single locations.
    pub location_roots: Vec<PathBuf>,
    /// Where it answers.
    pub probes: Vec<ProbeTarget>,
    /// It only redirects or refuses: nothing of an account is behind it.
    pub redirects_only: bool,
    /// Files that it includes itself (not in a location), absolute, as configured.
    pub includes: Vec<PathBuf>,
    /// Directives that weaken a gate at its start, such as `RewriteEngine off`: shown by `setup`.
    pub weakens_gate: Vec<String>,
}

impl Vhost {
    /// `file:line`, printable.
    pub fn place(&self) -> String {
        format!("{}:{}", shown(&self.file), self.line)
    }
}

/// The virtual hosts of one server's configuration.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// All of them, in order; a block that is read twice by two includes is here once.
    pub vhosts: Vec<Vhost>,
    /// What could not be read or told.
    pub unclear: Vec<Unclear>,
    /// Where the running server writes its pid, as configured.
    pub pid_file: Option<PathBuf>,
}

impl Web {
    /// Reports something, unless the same was just said (a file that many include).
    pub(super) fn report(&mut self, subject: String, why: String) {
        let unclear = Unclear { subject, why, candidates: Vec::new() };
        if !self.unclear.iter().rev().take(20).any(|u| *u == unclear) {
            self.unclear.push(unclear);
        }
    }
}

/// The address at which this node reaches a listening socket: a wildcard becomes loopback.
pub fn reachable(ip: IpAddr, port: u16) -> SocketAddr {
    let ip = match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, port)
}

/// An address of a `listen`, `Listen` or `<VirtualHost>`: ip or `*`, and a port when it is written.
///
/// Host names other than `localhost` are not looked up (no network here): `None`.
pub fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let port = |text: &str| text.split('-').next().and_then(|p| p.parse::<u16>().ok()).filter(|p| *p > 0);
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let ip = IpAddr::V6(ip.parse().ok()?);
        return match rest.strip_prefix(':') {
            Some("*") => Some((ip, None)),
            Some(p) => Some((ip, Some(port(p)?))),
            None => rest.is_empty().then_some((ip, None)),
        };
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Some((ANY, Some(port(text)?)));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, "*")) => (host, None),
        Some((host, p)) => (host, Some(port(p)?)),
        None => (text, None),
    };
    let ip = match host {
        "*" | "_default_" => ANY,
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => host.parse().ok()?,
    };
    Some((ip, port))
}

/// Makes a path absolute below a base and tidies it.
pub fn absolute(base: &Path, path: &Path) -> PathBuf {
    super::files::tidy(&base.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_both_servers_write_them() {
        for (text, right) in [
            ("80", Some(("0.0.0.0", Some(80)))),
            ("*:8080", Some(("0.0.0.0", Some(8080)))),
            ("_default_:443", Some(("0.0.0.0", Some(443)))),
            ("*", Some(("0.0.0.0", None))),
            ("192.0.2.1", Some(("192.0.2.1", None))),
            ("192.0.2.1:80", Some(("192.0.2.1", Some(80)))),
            ("192.0.2.1:*", Some(("192.0.2.1", None))),
            ("[::]:80", Some(("::", Some(80)))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("8000-8010", Some(("0.0.0.0", Some(8000)))),
            ("localhost:81", Some(("127.0.0.1", Some(81)))),
            ("www.example.jp:80", None),
            ("[::1", None),
            ("1.2.3.4:99999", None),
            ("0", None),
        ] {
            let right = right.map(|(ip, port)| (ip.parse::<IpAddr>().unwrap(), port));
            assert_eq!(address(text), right, "{text}");
        }
    }
}
