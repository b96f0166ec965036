//! Reads `accounts.d`: what passwd and the web servers cannot say about an account (contacts, language, zone),
//! and accounts and sites that only the operator can name.
//!
//! Everything is checked here, once: unknown keys, addresses, zones and domains are errors with a line.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use model::evidence::printable;
use model::{AccountName, Contact, Domain, Language, Role};
use serde::Deserialize;

use super::files::shown;
use super::passwd::UidRange;

/// Why a file of accounts was refused: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountsError {
    /// `file:line`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
impl std::error::Error for AccountsError {}

/// A whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsFile {
    /// Facts about the node; only `--inventory FILE` may have them.
    pub node: Option<NodeTable>,
    /// The accounts.
    #[serde(default, rename = "account")]
    pub accounts: Vec<Declared>,
}

/// `[node]` of an inventory file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTable {
    /// Addresses of the node itself.
    #[serde(default)]
    pub host_addresses: Vec<IpAddr>,
    /// Which uids are tenants.
    pub tenant_uids: UidRange,
}

/// One `[[account]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Login name.
    pub name: AccountName,
    /// Its uid.
    pub uid: u32,
    /// Its home, absolute.
    pub home: AbsolutePath,
    /// Addresses of record.
    #[serde(default)]
    contacts: Vec<DeclaredContact>,
    /// The owner's zone; the node's when absent.
    pub time_zone: Option<ZoneName>,
    /// Sites that no web server's configuration names, or whose owner it cannot tell.
    #[serde(default)]
    pub sites: Vec<DeclaredSite>,
    /// Counts the owners of this name and uid; kept by the core when absent.
    pub generation: Option<u32>,
}

impl Declared {
    /// Its contacts in the model's words.
    pub fn contacts(&self) -> Vec<Contact> {
        let contact = |c: &DeclaredContact| Contact {
            address: c.address.0.clone(),
            role: c.role,
            language: c.language,
            name: c.name.0.clone(),
        };
        self.contacts.iter().map(contact).collect()
    }
}

/// One site of an account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredSite {
    /// Its name.
    pub domain: Domain,
    /// Its root, absolute.
    pub root: AbsolutePath,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredContact {
    address: MailAddress,
    role: Role,
    language: Language,
    #[serde(default)]
    name: Salutation,
}

/// An absolute path without control signs, tidied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AbsolutePath(pub PathBuf);

impl TryFrom<String> for AbsolutePath {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if !text.starts_with('/') || text.chars().any(char::is_control) {
            return Err(format!("\"{}\" is not an absolute path; begin it with /", printable(text.as_bytes(), 200)));
        }
        Ok(AbsolutePath(super::files::tidy(Path::new(&text))))
    }
}

/// One mailbox that is safe in a mail header and in an SMTP command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MailAddress(pub String);

impl TryFrom<String> for MailAddress {
    type Error = String;
    /// A dot-atom of RFC 5322 at a host name (IDNs in their xn-- form): quoted local parts, comments, routes
    /// and lists have no use as an address of record and many uses in an attack.
    fn try_from(text: String) -> Result<Self, String> {
        let right = "write exactly one address in ASCII, as in owner@example.jp (IDNs in their xn-- form)";
        let no = || format!("\"{}\" is not a mail address: {right}", printable(text.as_bytes(), 200));
        let (local, host) = text.rsplit_once('@').ok_or_else(no)?;
        let sign = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
        let local_right = (1..=64).contains(&local.len())
            && local.bytes().all(sign)
            && !local.starts_with(['.', '-'])
            && !local.ends_with('.')
            && !local.contains("..");
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        let host_right = host.len() <= 253 && host.split('.').all(label) && !host.is_empty();
        if !local_right || !host_right {
            return Err(no());
        }
        Ok(MailAddress(text))
    }
}

/// A name for the salutation: one line, at most 100 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Salutation(String);

impl TryFrom<String> for Salutation {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        // Bidi marks could turn the line around; `printable` shows them, so a changed text has some.
        if text.chars().count() > 100 || printable(text.as_bytes(), 4000) != text {
            return Err(format!(
                "\"{}\" is not a name for a salutation: one line of at most 100 characters without control signs",
                printable(text.as_bytes(), 200)
            ));
        }
        Ok(Salutation(text))
    }
}

/// A zone that this machine knows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ZoneName(pub String);

impl TryFrom<String> for ZoneName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match jiff::tz::TimeZone::get(&text) {
            Ok(_) => Ok(ZoneName(text)),
            Err(_) => Err(format!(
                "\"{}\" is not a time zone that this machine knows: write an IANA name, as in Asia/Tokyo",
                printable(text.as_bytes(), 80)
            )),
        }
    }
}

/// Reads one file of accounts.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<AccountsFile, AccountsError> {
    let at = |offset: usize, what: String| {
        let line = 1 + bytes[..offset.min(bytes.len())].iter().filter(|b| **b == b'\n').count();
        AccountsError { place: format!("{}:{line}", shown(path)), what }
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|e| at(e.valid_up_to(), "bytes that are not UTF-8; save the file as UTF-8".into()))?;
    toml::from_str(text).map_err(|e| {
        let what = printable(e.message().trim().replace('\n', "; ").as_bytes(), 400);
        at(e.span().map_or(0, |s| s.start), what)
    })
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
