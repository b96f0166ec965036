//! In which country a recipient probably is: inside, abroad, or unknown.
//!
//! | the domain | country |
//! |---|---|
//! | ends in a country's name | that one |
//! | big webmail, under whatever ending | unknown |
//! | says none (`.com`, endings that are used for their sound) | that of the server which took the mail, if it says one ([`super::relay`]), else unknown |
//!
//! No network is asked. What is unknown is reported as unknown, never as abroad, because a wrong "abroad" accuses an
//! innocent owner.

/// Where a recipient is, seen from the node's country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The country of the node.
    Domestic,
    /// In another one.
    Abroad,
    /// Nobody can tell.
    Unknown,
}

impl Place {
    /// A country seen from the node's.
    pub fn of(country: [u8; 2], node: [u8; 2]) -> Place {
        if country == node { Place::Domestic } else { Place::Abroad }
    }
}

/// What a domain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A country, small letters.
    Country([u8; 2]),
    /// A webmail house with readers everywhere: neither its name nor its servers tell.
    House,
    /// Nothing; its server may tell.
    Nothing,
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
    b"rocketmail",
    b"tuta",
    b"tutanota",
    b"yahoo",
    b"yandex",
    b"ymail",
    b"zoho",
];

/// Such houses whose name alone says nothing (`mail.ru` is read in Russia).
const WHOLE: &[&[u8]] = &[b"fastmail.com", b"hey.com", b"mac.com", b"mail.com", b"me.com", b"pm.me"];

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

/// What a lower-case domain says.
pub fn said(domain: &[u8]) -> Said {
    let mut labels = domain.rsplit(|b| *b == b'.');
    let (last, second) = (labels.next().unwrap_or_default(), labels.next());
    let Some(second) = second else { return Said::Nothing };
    if let Some((_, country)) = CARRIERS.iter().find(|(name, _)| *name == domain) {
        return Said::Country(**country);
    }
    // hotmail.fr, yahoo.co.uk, outlook.com.br: the house's name stands before the ending.
    let house = match last.len() == 2 && matches!(second, b"co" | b"com" | b"ne" | b"net") {
        true => labels.next(),
        false => Some(second),
    };
    if house.is_some_and(|h| WEBMAIL.contains(&h)) || WHOLE.contains(&domain) {
        return Said::House;
    }
    let other = || OTHER_SCRIPTS.iter().find(|(name, _)| *name == last).map(|(_, country)| **country);
    let ending: Option<[u8; 2]> = last.try_into().ok().filter(|two: &[u8; 2]| two.iter().all(u8::is_ascii_lowercase));
    match ending.or_else(other) {
        Some(ending) if SOUND.contains(&&ending) => Said::Nothing,
        Some(ending) => Said::Country(normal(ending)),
        None => Said::Nothing,
    }
}

/// The ccTLD of Britain is not its ISO code.
pub fn normal(country: [u8; 2]) -> [u8; 2] {
    if &country == b"uk" { *b"gb" } else { country }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(domain: &[u8], node: [u8; 2]) -> Place {
        match said(domain) {
            Said::Country(country) => Place::of(country, node),
            Said::House | Said::Nothing => Place::Unknown,
        }
    }

    #[test]
    fn only_a_name_that_says_another_country_is_abroad() {
        let table = [
            ("example.ru", Place::Abroad),
            ("mx4.example.ru", Place::Abroad),
            ("example.co.uk", Place::Abroad),
            ("example.me.uk", Place::Abroad),
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
            assert_eq!(place(domain.as_bytes(), *b"jp"), expected, "{domain}");
        }
    }

    #[test]
    fn the_same_name_is_domestic_elsewhere() {
        assert_eq!(place(b"example.co.uk", normal(*b"uk")), Place::Domestic);
        assert_eq!(place(b"example.jp", *b"de"), Place::Abroad);
    }

    #[test]
    fn servers_of_webmail_are_never_asked_and_those_of_other_names_are() {
        let houses = ["gmail.com", "me.com", "proton.me", "pm.me", "mail.com", "gmx.net", "hotmail.fr", "yahoo.com.br"];
        for house in houses {
            assert_eq!(said(house.as_bytes()), Said::House, "{house}");
        }
        for open in ["example.com", "startup.io", "gmail.example.com", "mail.example.org", "example.museum", "", "com"]
        {
            assert_eq!(said(open.as_bytes()), Said::Nothing, "{open}");
        }
    }
}
