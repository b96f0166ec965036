//! Names and numbers that are checked once, at the door: accounts, domains, incident numbers, queue ids.
//!
//! A value of one of these types is safe to print, to compare and to use as a file name component, because
//! its charset was checked when it was made, also when it was read back from a packet or the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name; the message ends with what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError(pub String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for NameError {}

fn refuse<T>(text: &str, what: &str, right: &str) -> Result<T, NameError> {
    let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
    Err(NameError(format!("\"{shown}\" is not {what}: {right}")))
}

/// Makes a text type whose only door is its `FromStr`, also for serde.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A hosting account's login name: 1 to 32 of `a-z A-Z 0-9 . _ -`, beginning with a letter, digit or `_`
/// (what Debian's `adduser` and the panels create; a name outside of it is reported, never used).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);
checked_text!(AccountName);

impl FromStr for AccountName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !first || text.len() > 32 || !text.bytes().all(inner) {
            return refuse(text, "an account name", "1 to 32 of a-z A-Z 0-9 . _ -");
        }
        Ok(AccountName(text.to_owned()))
    }
}

/// A host name of a site, lower case, 1 to 253 of `a-z 0-9 . - _ *`, not beginning with `.` or `-`
/// (a wildcard such as `*.example.jp` is a name of a site too).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);
checked_text!(Domain);

impl FromStr for Domain {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = text.trim_end_matches('.').to_ascii_lowercase();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b'*');
        let first = lower.bytes().next().is_some_and(|b| b != b'.' && b != b'-');
        if !first || lower.len() > 253 || !lower.bytes().all(inner) || lower.contains("..") {
            return refuse(text, "a domain", "a host name such as blog.example.jp (write IDNs in their xn-- form)");
        }
        Ok(Domain(lower))
    }
}

/// The name under which somebody hands mail in (SASL user name, often the address): 1 to 254 printable ASCII
/// characters without space, quotes, backslash, `/`, `:`, `#` or `$`, not beginning with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailUser(String);
checked_text!(MailUser);

impl FromStr for MailUser {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |b: u8| b.is_ascii_graphic() && !b"\"'\\/:#$`".contains(&b);
        if text.is_empty() || text.len() > 254 || text.starts_with('-') || !text.bytes().all(inner) {
            return refuse(text, "a mail user", "a name such as info@example.jp");
        }
        Ok(MailUser(text.to_owned()))
    }
}

/// A path below a folder, as bytes, because a tenant's names are not always text: 1 to 4,000 bytes, components of
/// 1 to 255 bytes that are neither `.` nor `..`.
///
/// As text, bytes that are not printable UTF-8 and `%` are written as `%` and two hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(Vec<u8>);

impl FilePath {
    /// Checks bytes as the kernel gave them.
    pub fn new(bytes: &[u8]) -> Result<FilePath, NameError> {
        let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && part.len() <= 255;
        if bytes.len() > 4000 || bytes.contains(&0) || !bytes.split(|b| *b == b'/').all(plain) {
            return refuse(
                &String::from_utf8_lossy(bytes),
                "a path below a folder",
                "a relative path without . and ..",
            );
        }
        Ok(FilePath(bytes.to_vec()))
    }

    /// The bytes, for the kernel.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c.is_control() || c == '%' || crate::evidence::hides(c) {
                    true => c.to_string().bytes().try_for_each(|b| write!(f, "%{b:02X}"))?,
                    false => write!(f, "{c}")?,
                }
            }
            chunk.invalid().iter().try_for_each(|b| write!(f, "%{b:02X}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for FilePath {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, more @ ..] = rest {
            rest = more;
            let byte = match (first, more) {
                (b'%', [high, low, ..]) => {
                    rest = &more[2..];
                    std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
                }
                (b'%', _) => None,
                (byte, _) => Some(*byte),
            };
            match byte {
                Some(byte) => bytes.push(byte),
                None => return refuse(text, "a path below a folder", "each % followed by two hexadecimal digits"),
            }
        }
        FilePath::new(&bytes)
    }
}

impl TryFrom<String> for FilePath {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> String {
        path.to_string()
    }
}

/// A Postfix queue id, short (hexadecimal) or long (base 52 and `z`): 5 to 40 letters and digits
/// (postconf(5), `enable_long_queue_ids`). Never begins with `-`, so it is safe as a program argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueId(String);
checked_text!(QueueId);

impl FromStr for QueueId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if !(5..=40).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse(text, "a queue id", "5 to 40 letters and digits");
        }
        Ok(QueueId(text.to_owned()))
    }
}

impl QueueId {
    /// True for ids that are not reused soon (`enable_long_queue_ids = yes`): the time part is base 52,
    /// then `z`, then the inode (Postfix `src/global/mail_queue.h`). A short id is upper-case hexadecimal.
    pub fn is_long(&self) -> bool {
        self.0.len() > 10 && self.0.as_bytes()[10..].contains(&b'z')
    }
}

/// BLAKE3 of some bytes: names evidence, letters, policies and fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(*blake3::hash(bytes).as_bytes())
    }
    /// The hash of several parts that cannot run into one another.
    pub fn of_parts(parts: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Hash(*hasher.finalize().as_bytes())
    }
    /// The hash of all that can be read; what comes in pieces need not fit into memory.
    pub fn of_reader(reader: &mut impl std::io::Read) -> std::io::Result<Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Hash(*hasher.finalize().as_bytes()))
    }
    /// The raw bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// The first eight bytes as a number, for arithmetic that needs no more.
    pub fn low64(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("32 bytes hold 8"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every event holds some; one buffer is an order of magnitude faster than 32 formatted bytes.
        let mut text = [0u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits"))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl FromStr for Hash {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut bytes = [0u8; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return refuse(text, "a hash", "64 hexadecimal digits");
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("checked above");
        }
        Ok(Hash(bytes))
    }
}
impl TryFrom<String> for Hash {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which account, beyond doubt: a uid that was given to somebody else later has another generation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountRef {
    /// The login name.
    pub name: AccountName,
    /// The uid that its processes and files carry.
    pub uid: u32,
    /// Counts the owners of this name and uid, from 1.
    pub generation: u32,
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// The public incident number `HK-YYYYMMDD-XXXC`: day (UTC) of opening, three signs, one check character.
///
/// The signs leave out I, L, O, U, so that a number survives being read aloud; the check character finds
/// every single wrong sign and most swaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    day: u32,
    serial: u16,
}

const SIGNS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 31 is prime and the largest that the alphabet can show; weights below it make the check sound.
const CHECK_BASE: u32 = 31;

impl Number {
    /// How many numbers one day has.
    pub const PER_DAY: u16 = 1 << 15;

    /// The `serial`-th number of the day of `now`; serials beyond [`Number::PER_DAY`] wrap.
    /// Neighbours do not look alike (the serial is spread by an odd factor), so one is not taken for another.
    pub fn new(now: Moment, serial: u16) -> Number {
        let date = now.timestamp().to_string();
        let day = date.get(..10).and_then(|d| d.replace('-', "").parse().ok()).unwrap_or(19_700_101);
        let spread = (u32::from(serial) * 20_077 + 7_001) % u32::from(Number::PER_DAY);
        Number { day, serial: spread as u16 }
    }

    fn signs(self) -> [u8; 3] {
        [(self.serial >> 10) as u8 & 31, (self.serial >> 5) as u8 & 31, self.serial as u8 & 31]
    }

    fn check(self) -> u8 {
        let digits = format!("{:08}", self.day);
        let values = digits.bytes().map(|b| u32::from(b - b'0')).chain(self.signs().map(u32::from));
        let sum: u32 = values.enumerate().map(|(i, v)| v * (i as u32 + 2)).sum();
        // 29 signs of the sum plus two spare ones: the character itself is one of the 32 signs.
        (sum % CHECK_BASE) as u8
    }
}

use crate::moment::Moment;

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HK-{:08}-", self.day)?;
        for sign in self.signs().into_iter().chain([self.check()]) {
            write!(f, "{}", SIGNS[usize::from(sign)] as char)?;
        }
        Ok(())
    }
}
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Number {
    type Err = NameError;
    /// Reads what a person typed: any case, any of the look-alikes I L O, with or without hyphens.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let right = "HK- and eight digits and four signs, as in HK-20260321-7K3Q; copy it from the notice";
        let plain: String = text.trim().chars().filter(|c| !matches!(c, '-' | ' ')).collect::<String>().to_uppercase();
        let Some(rest) = plain.strip_prefix("HK").filter(|r| r.len() == 12 && r.is_ascii()) else {
            return refuse(text, "an incident number", right);
        };
        let (day, signs) = rest.split_at(8);
        let Some(day) = day.bytes().all(|b| b.is_ascii_digit()).then(|| day.parse().ok()).flatten() else {
            return refuse(text, "an incident number", right);
        };
        let mut values = [0u8; 4];
        for (value, sign) in values.iter_mut().zip(signs.bytes()) {
            let sign = match sign {
                b'I' | b'L' => b'1',
                b'O' => b'0',
                other => other,
            };
            match SIGNS.iter().position(|s| *s == sign) {
                Some(at) => *value = at as u8,
                None => return refuse(text, "an incident number", right),
            }
        }
        let serial = u16::from(values[0]) << 10 | u16::from(values[1]) << 5 | u16::from(values[2]);
        let number = Number { day, serial };
        if number.check() != values[3] {
            return refuse(
                text,
                "an incident number",
                "a sign is wrong (the last one checks the others); copy it from the notice",
            );
        }
        Ok(number)
    }
}
impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One restriction of an incident, counted from 1; written `HK-20260321-7K3Q/1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RestrictionId {
    /// The incident it belongs to.
    pub incident: Number,
    /// Counted from 1 within the incident.
    pub ordinal: u16,
}

impl fmt::Display for RestrictionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incident, self.ordinal)
    }
}
impl FromStr for RestrictionId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let parsed = text.split_once('/').and_then(|(n, o)| Some((n.parse().ok()?, o.parse().ok()?)));
        match parsed {
            Some((incident, ordinal)) => Ok(RestrictionId { incident, ordinal }),
            None => refuse(text, "a restriction", "an incident number, a slash and a count, as in HK-20260321-7K3Q/1"),
        }
    }
}

/// One notice of an incident, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NoticeId {
    /// The incident it is about.
    pub incident: Number,
    /// Counted from 1 within the incident.
    pub ordinal: u16,
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.incident, self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_day_is_another_one_and_reads_back() {
        let now = Moment::parse("2026-03-21T11:46:53+09:00").unwrap();
        let mut seen = std::collections::HashSet::new();
        for serial in 0..Number::PER_DAY {
            let number = Number::new(now, serial);
            assert!(seen.insert(number));
            assert_eq!(number.to_string().parse(), Ok(number));
        }
    }

    #[test]
    fn one_wrong_sign_is_always_found() {
        let number = Number::new(Moment::from_secs(1_774_061_213), 77).to_string();
        for at in (3..11).chain(12..16) {
            for sign in SIGNS {
                let mut other = number.clone().into_bytes();
                if other[at] == *sign || (at < 11 && !sign.is_ascii_digit()) {
                    continue;
                }
                other[at] = *sign;
                let other = String::from_utf8(other).unwrap();
                // The last alphabet sign and the first stand for the same value modulo 31 in one place each.
                let same = at >= 12 && matches!((number.as_bytes()[at], *sign), (b'0', b'Z') | (b'Z', b'0'));
                assert!(same || other.parse::<Number>().is_err(), "{other} for {number}");
            }
        }
    }

    #[test]
    fn numbers_are_read_as_people_type_them() {
        let number = Number::new(Moment::from_secs(1_774_061_213), 3);
        let typed = number.to_string().to_lowercase().replace('-', " ");
        assert_eq!(typed.parse(), Ok(number));
        assert!("HK-20260321".parse::<Number>().is_err());
        assert!("HK-2026032１-AAAA".parse::<Number>().is_err());
    }

    #[test]
    fn hostile_names_are_refused_with_what_would_be_right() {
        for text in ["", "-x", "a/b", "a\nb", "..", "ü", &"a".repeat(33)] {
            assert!(text.parse::<AccountName>().is_err(), "{text:?}");
        }
        for text in ["", "a b", "a/../b", "a\n", ".x", "-x", "x..y"] {
            assert!(text.parse::<Domain>().is_err(), "{text:?}");
        }
        for text in ["", "-r", "ABC", "ALL ", "../../x"] {
            assert!(text.parse::<QueueId>().is_err(), "{text:?}");
        }
        assert_eq!("WWW.Example.JP.".parse::<Domain>().unwrap().as_str(), "www.example.jp");
    }

    #[test]
    fn queue_ids_tell_whether_they_are_reused() {
        assert!("4jZ3Dq58q9zB4B2".parse::<QueueId>().unwrap().is_long());
        assert!(!"9A1C42E5F7".parse::<QueueId>().unwrap().is_long());
    }
}
