//! Values of the configuration that are checked where they are read.

use std::net::SocketAddr;
use std::path::PathBuf;

use model::Span;
use model::evidence::printable;
use serde::{Deserialize, Serialize};

/// Ties a text type to its `TryFrom<String>`.
macro_rules! text_value {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub String);
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

text_value!(Country, "A ccTLD: two letters, lower case.");
text_value!(Endpoint, "An IP address or host name, and a port.");
text_value!(Url, "An http or https address without a trailing slash.");

fn refuse<T>(text: &str, right: &str) -> Result<T, String> {
    Err(format!("\"{}\" is wrong here: {right}", printable(text.as_bytes(), 200)))
}

impl TryFrom<String> for Country {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.len() == 2 && text.bytes().all(|b| b.is_ascii_lowercase()) {
            true => Ok(Country(text)),
            false => refuse(&text, "write the two letters of the country, as in \"jp\""),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let named = text.rsplit_once(':').is_some_and(|(host, port)| {
            port.parse::<u16>().is_ok_and(|p| p > 0)
                && !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        });
        match named || text.parse::<SocketAddr>().is_ok_and(|a| a.port() > 0) {
            true => Ok(Endpoint(text)),
            false => refuse(&text, "write host and port, as in \"127.0.0.1:25\""),
        }
    }
}

impl TryFrom<String> for Url {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").or(text.strip_prefix("http://"));
        let plain =
            |r: &str| !r.is_empty() && r.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\`{}|^#?@".contains(&b));
        match rest.is_some_and(plain) && !text.ends_with('/') {
            true => Ok(Url(text)),
            false => refuse(&text, "write an address without a slash at its end, as in \"https://help.example.jp\""),
        }
    }
}

/// An absolute path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AbsolutePath(pub PathBuf);

impl AbsolutePath {
    /// A path that we know to be right.
    pub fn of(text: &str) -> AbsolutePath {
        AbsolutePath(PathBuf::from(text))
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        // Paths end up in configuration of other servers: no quotes, blanks or variables.
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\;{}$#*?[]<>|&`".contains(&b));
        match text.starts_with('/') && plain && !text.split('/').any(|p| p == "..") {
            true => Ok(AbsolutePath(PathBuf::from(text))),
            false => refuse(&text, "write an absolute path of plain signs, as in \"/etc/hikeshi\""),
        }
    }
}

/// A whole number with bounds; both ends are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Bounded<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> TryFrom<i64> for Bounded<MIN, MAX> {
    type Error = String;
    fn try_from(number: i64) -> Result<Self, String> {
        match (MIN..=MAX).contains(&number) {
            true => Ok(Bounded(number)),
            false => Err(format!("{number} is out of bounds: write {MIN} to {MAX}")),
        }
    }
}
impl<const MIN: i64, const MAX: i64> From<Bounded<MIN, MAX>> for i64 {
    fn from(value: Bounded<MIN, MAX>) -> i64 {
        value.0
    }
}

/// A length of time with its unit: `30s`, `15min`, `2h`, `42d`; at most 10 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delay(pub Span);

impl TryFrom<String> for Delay {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit: Option<i64> = match text[digits..].trim() {
            "s" => Some(1),
            "min" => Some(60),
            "h" => Some(3600),
            "d" => Some(86_400),
            _ => None,
        };
        let secs = unit.and_then(|unit| text[..digits].parse::<i64>().ok()?.checked_mul(unit));
        match secs.filter(|s| (1..=3_650 * 86_400).contains(s)) {
            Some(secs) => Ok(Delay(Span::secs(secs))),
            None => refuse(&text, "write a number and s, min, h or d, as in \"2h\""),
        }
    }
}
impl From<Delay> for String {
    fn from(delay: Delay) -> String {
        format!("{}s", delay.0.whole_secs())
    }
}
