//! Values as a letter may show them: masked addresses, defanged URLs, paths as in FTP, one safe line each.
//!
//! A letter may be read by a stranger (the mailbox can be on the restricted account) and its values were chosen by
//! one (names of files and processes), so no value is printed before it went through this file.

use std::net::IpAddr;

use model::evidence::printable;
use model::{Delivery, Domain};

/// Longest value in a letter, bytes; longer ones lose their middle.
const VALUE_MAX: usize = 400;

/// One safe line: controls, line breaks, bidi and zero-width marks escaped, the middle of long values cut.
pub fn shown(text: &str) -> String {
    printable(text.as_bytes(), VALUE_MAX)
}

/// A value that a stranger may have chosen (names of files, programs, plugins): [`shown`], and no mail program
/// makes a link of it, or a file name could carry a trap into our own letter.
pub fn foreign(text: &str) -> String {
    shown(text).replace("://", "[:]//").replace("www.", "www[.]")
}

/// An address of which its owner knows which one is meant and a stranger does not: `t***@e***.jp`.
pub fn address(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return "***".to_owned() };
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let last = domain.rsplit('.').next().filter(|last| *last != domain).unwrap_or("***");
    shown(&format!("{}***@{}***.{last}", first(local), first(domain)))
}

/// An address of the net without its last part: `203.0.113.*`, `2001:db8:*`.
pub fn ip(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.*")
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            format!("{a:x}:{b:x}:*")
        }
    }
}

/// The remote end of a connection: an address masked with its port, a name defanged.
pub fn remote(end: &str, own: &[Domain]) -> String {
    if let Ok(socket) = end.parse::<std::net::SocketAddr>() {
        return format!("{}:{}", ip(socket.ip()), socket.port());
    }
    match end.parse::<IpAddr>() {
        Ok(plain) => ip(plain),
        Err(_) => defang(end, own),
    }
}

/// A foreign URL or host that no mail program turns into a link: `hxxps://bad[.]example/x`. Own sites stay plain.
pub fn defang(url: &str, own: &[Domain]) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.split(':').next().unwrap_or(host).to_ascii_lowercase();
    if own.iter().any(|domain| domain.as_str() == host) && !authority.contains('@') {
        return shown(url);
    }
    let authority = authority.replace('.', "[.]").replace('@', "[@]");
    match scheme {
        Some(scheme) => shown(&format!("{}://{authority}{tail}", scheme.to_ascii_lowercase().replace("tt", "xx"))),
        None => shown(&format!("{authority}{tail}")),
    }
}

/// A file as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Below the home: the path that FTP shows, `/blog.example.jp/x.php`.
    Ftp(String),
    /// Elsewhere on the server; FTP may not reach it.
    Server(String),
}

impl Place {
    /// The path alone, safe to print.
    pub fn path(&self) -> String {
        match self {
            Place::Ftp(path) | Place::Server(path) => foreign(path),
        }
    }
}

/// Where a path lies as seen by its owner, whose home is `home`.
pub fn place(path: &str, home: &str) -> Place {
    let home = home.trim_end_matches('/');
    match path.strip_prefix(home) {
        Some(below) if !home.is_empty() && below.starts_with('/') => Place::Ftp(below.to_owned()),
        _ => Place::Server(path.to_owned()),
    }
}

/// A server's answer for the record: one line, at most 200 characters, without addresses.
pub fn server_words(text: &str) -> String {
    let hide = |word: &str| if word.contains('@') { "(address)".to_owned() } else { word.to_owned() };
    let line = text.split_whitespace().map(hide).collect::<Vec<_>>().join(" ");
    printable(line.as_bytes(), 4096).chars().take(200).collect()
}

/// What became of a letter, with the server's words made safe again (they were stored).
pub fn delivery_why(delivery: &Delivery) -> Option<String> {
    match delivery {
        Delivery::Accepted { .. } | Delivery::Withdrawn => None,
        Delivery::Waiting { why } | Delivery::Undeliverable { why } => {
            Some(server_words(why)).filter(|why| !why.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_is_known_to_its_owner_only() {
        assert_eq!(address("taro@example.jp"), "t***@e***.jp");
        assert_eq!(address("山田@例え.テスト"), "山***@例***.テスト");
        assert_eq!(address("root@localhost"), "r***@l***.***");
        assert_eq!(address("no address"), "***");
    }

    #[test]
    fn net_addresses_lose_the_part_that_names_a_person() {
        assert_eq!(ip("203.0.113.77".parse().unwrap()), "203.0.113.*");
        assert_eq!(ip("2001:db8:1:2::7".parse().unwrap()), "2001:db8:*");
        assert_eq!(ip("::ffff:203.0.113.9".parse().unwrap()), "203.0.113.*");
        assert_eq!(remote("203.0.113.9:25", &[]), "203.0.113.*:25");
        assert_eq!(remote("pool.bad.example:3333", &[]), "pool[.]bad[.]example:3333");
    }

    #[test]
    fn foreign_links_are_not_links_and_own_sites_stay_plain() {
        let own = ["blog.example.jp".parse().unwrap()];
        assert_eq!(defang("https://bad.example/a.php?x=1", &own), "hxxps://bad[.]example/a.php?x=1");
        assert_eq!(defang("http://blog.example.jp/x", &own), "http://blog.example.jp/x");
        assert_eq!(defang("http://blog.example.jp@bad.example/", &own), "hxxp://blog[.]example[.]jp[@]bad[.]example/");
    }

    #[test]
    fn a_file_name_carries_no_link_into_a_letter() {
        assert!(shown("x https://bad.example/login").contains("://"), "without it the link would go out");
        assert_eq!(foreign("x https://bad.example/login"), "x https[:]//bad.example/login");
        assert_eq!(place("/home/a/http://www.bad.example", "/home/a").path(), "/http[:]//www[.]bad.example");
    }

    #[test]
    fn paths_are_those_that_ftp_shows() {
        assert_eq!(place("/home/a/blog/x.php", "/home/a"), Place::Ftp("/blog/x.php".to_owned()));
        assert_eq!(place("/home/ab/x.php", "/home/a"), Place::Server("/home/ab/x.php".to_owned()));
        assert_eq!(place("/tmp/x", "/"), Place::Server("/tmp/x".to_owned()));
    }

    #[test]
    fn server_words_carry_no_address_and_no_control() {
        let words = server_words("550 5.1.1 <taro@example.jp>:\r\n User\x1b[2J unknown");
        assert_eq!(words, "550 5.1.1 (address) User\\x1b[2J unknown");
        assert_eq!(server_words(&"x".repeat(900)).chars().count(), 200);
    }
}
