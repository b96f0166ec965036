//! In which country a recipient probably is, by the end of his domain: inside, abroad, or unknown.
//!
//! Only the name is looked at, no network. Whatever does not say a country is unknown and is reported as
//! unknown: big webmail and `.com` are never "abroad", because a wrong "abroad" accuses an innocent owner.

/// Where a recipient is, seen from the node's country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The country of the node.
    Domestic,
    /// The name says another country.
    Abroad,
    /// The name says none.
    Unknown,
}

/// Country endings that people all over the world use for their sound, not for the country.
const SOUND: &[&[u8; 2]] = &[
    b"ac", b"ag", b"ai", b"am", b"bz", b"cc", b"cd", b"co", b"cx", b"dj", b"eu", b"fm", b"gg", b"io", b"la", b"li",
    b"ly", b"me", b"mn", b"ms", b"nu", b"pw", b"sc", b"sh", b"st", b"su", b"tk", b"to", b"tv", b"vc", b"vg", b"ws",
];

/// Names under which one webmail house serves many countries; below a country's ending they still say nothing
/// (`hotmail.fr` is read in Osaka too).
const WEBMAIL: &[&[u8]] = &[
    b"aol",
    b"gmail",
    b"gmx",
    b"googlemail",
    b"hotmail",
    b"icloud",
    b"live",
    b"msn",
    b"outlook",
    b"proton",
    b"protonmail",
    b"yahoo",
    b"yandex",
    b"ymail",
    b"zoho",
];

/// Such names that are a carrier of one country after all: its people use it.
const CARRIERS: &[(&[u8], &[u8; 2])] = &[(b"yahoo.co.jp", b"jp"), (b"yandex.ru", b"ru")];

/// Endings in other scripts (IANA root zone database), as DNS writes them.
const OTHER_SCRIPTS: &[(&[u8], &[u8; 2])] = &[
    (b"xn--p1ai", b"ru"),
    (b"xn--fiqs8s", b"cn"),
    (b"xn--fiqz9s", b"cn"),
    (b"xn--3e0b707e", b"kr"),
    (b"xn--kprw13d", b"tw"),
    (b"xn--kpry57d", b"tw"),
    (b"xn--j6w193g", b"hk"),
    (b"xn--j1amh", b"ua"),
    (b"xn--90ais", b"by"),
    (b"xn--o3cw4h", b"th"),
    (b"xn--h2brj9c", b"in"),
    (b"xn--node", b"ge"),
];

/// The place of a lower-case domain, seen from the two-letter country of the node (lower case). Without a
/// country of the node everything is unknown.
pub fn place(domain: &[u8], node: Option<[u8; 2]>) -> Place {
    let Some(node) = node else { return Place::Unknown };
    match country(domain) {
        None => Place::Unknown,
        Some(country) if country == node => Place::Domestic,
        Some(_) => Place::Abroad,
    }
}

fn country(domain: &[u8]) -> Option<[u8; 2]> {
    let mut labels = domain.rsplit(|b| *b == b'.');
    let last = labels.next()?;
    let second = labels.next()?;
    let ending: [u8; 2] = match last.try_into() {
        Ok(two) => two,
        Err(_) => return OTHER_SCRIPTS.iter().find(|(name, _)| *name == last).map(|(_, country)| **country),
    };
    if !ending.iter().all(u8::is_ascii_lowercase) || SOUND.contains(&&ending) {
        return None;
    }
    if let Some((_, country)) = CARRIERS.iter().find(|(name, _)| *name == domain) {
        return Some(**country);
    }
    // hotmail.fr, yahoo.co.uk, outlook.com.br: the house's name stands before the ending.
    let house = if matches!(second, b"co" | b"com" | b"ne" | b"net") { labels.next() } else { Some(second) };
    if house.is_some_and(|h| WEBMAIL.contains(&h)) {
        return None;
    }
    Some(if &ending == b"uk" { *b"gb" } else { ending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_says_another_country_is_abroad() {
        let table = [
            ("example.ru", Place::Abroad),
            ("mx4.example.ru", Place::Abroad),
            ("example.co.uk", Place::Abroad),
            ("xn--e1afmkfd.xn--p1ai", Place::Abroad),
            ("mail.ru", Place::Abroad),
            ("example.jp", Place::Domestic),
            ("docomo.ne.jp", Place::Domestic),
            ("yahoo.co.jp", Place::Domestic),
            ("example.com", Place::Unknown),
            ("gmail.com", Place::Unknown),
            ("163.com", Place::Unknown),
            ("hotmail.fr", Place::Unknown),
            ("yahoo.co.uk", Place::Unknown),
            ("outlook.com.br", Place::Unknown),
            ("startup.io", Place::Unknown),
            ("example.museum", Place::Unknown),
            ("localhost", Place::Unknown),
            ("ru", Place::Unknown),
            ("198.51.100.25", Place::Unknown),
            ("", Place::Unknown),
        ];
        for (domain, expected) in table {
            assert_eq!(place(domain.as_bytes(), Some(*b"jp")), expected, "{domain}");
        }
    }

    #[test]
    fn the_same_name_is_domestic_elsewhere() {
        assert_eq!(place(b"example.co.uk", Some(*b"gb")), Place::Domestic);
        assert_eq!(place(b"example.jp", Some(*b"de")), Place::Abroad);
        assert_eq!(place(b"example.ru", None), Place::Unknown);
    }
}
