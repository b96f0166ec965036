//! Reads passwd(5): which uids are tenants, what they are called, where they live.
//!
//! Bytes, not text: a broken or hostile line is counted and reported, and the next one is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use model::evidence::printable;
use model::{AccountName, Unclear};
use serde::{Deserialize, Serialize};

use super::files::{Reader, resolve, shown};

/// The uids that belong to tenants, written `first-last` (both included).
///
/// Bounds: `first` is at least 500, because below it are the system's own users on every distribution;
/// `nobody` (65534) is never a tenant even inside of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UidRange {
    /// The smallest tenant uid.
    pub first: u32,
    /// The largest tenant uid.
    pub last: u32,
}

impl UidRange {
    /// Smallest `first` that is accepted.
    pub const FIRST_MIN: u32 = 500;

    /// Whether this uid is a tenant's.
    pub fn contains(self, uid: u32) -> bool {
        (self.first..=self.last).contains(&uid) && uid != 65534
    }
}

impl FromStr for UidRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let right = || {
            format!(
                "\"{}\" is not a range of tenant uids: write first-last with first at least {}, as in \"20000-59999\"",
                printable(text.as_bytes(), 60),
                UidRange::FIRST_MIN
            )
        };
        let (first, last) = text.split_once('-').ok_or_else(right)?;
        let first: u32 = first.trim().parse().map_err(|_| right())?;
        let last: u32 = last.trim().parse().map_err(|_| right())?;
        // u32::MAX is "no uid" for the kernel.
        if first < UidRange::FIRST_MIN || last < first || last == u32::MAX {
            return Err(right());
        }
        Ok(UidRange { first, last })
    }
}
impl TryFrom<String> for UidRange {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<UidRange> for String {
    fn from(range: UidRange) -> String {
        format!("{}-{}", range.first, range.last)
    }
}

/// A tenant of passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Login name.
    pub name: AccountName,
    /// Its uid.
    pub uid: u32,
    /// Home as passwd has it.
    pub home_written: PathBuf,
    /// Home with links resolved; UTF-8 and absolute.
    pub home: PathBuf,
    /// Device and inode of the home, when it exists.
    pub home_id: Option<(u64, u64)>,
}

/// What passwd says.
#[derive(Clone, Debug, Default)]
pub struct Passwd {
    /// The tenants beyond doubt, by uid.
    pub tenants: Vec<Tenant>,
    /// What is not beyond doubt.
    pub unclear: Vec<Unclear>,
    /// Lines that are no passwd lines at all.
    pub bad_lines: u64,
}

/// Reads the tenants out of passwd lines; homes are looked at on the disk.
pub fn read(path: &Path, bytes: &[u8], range: UidRange, reader: &mut Reader) -> Passwd {
    let mut out = Passwd::default();
    let mut by_uid: BTreeMap<u32, Vec<(AccountName, PathBuf, u32)>> = BTreeMap::new();
    for (number, line) in (1u32..).zip(bytes.split(|b| *b == b'\n')) {
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"+") || line.starts_with(b"-") {
            continue;
        }
        let place = || format!("{}:{number}", shown(path));
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let uid = fields.get(2).and_then(|f| std::str::from_utf8(f).ok()).and_then(|f| f.parse::<u32>().ok());
        let (7, Some(uid)) = (fields.len(), uid) else {
            out.bad_lines += 1;
            continue;
        };
        if !range.contains(uid) {
            continue;
        }
        let name = std::str::from_utf8(fields[0]).ok().and_then(|n| n.parse::<AccountName>().ok());
        let Some(name) = name else {
            out.unclear.push(Unclear {
                subject: place(),
                why: format!(
                    "\"{}\" is not a login name that Hikeshi can use (1 to 32 of a-z A-Z 0-9 . _ -); \
                     rename the user or describe uid {uid} in accounts.d",
                    printable(fields[0], 80)
                ),
                candidates: Vec::new(),
            });
            continue;
        };
        let home = PathBuf::from(OsString::from_vec(fields[5].to_vec()));
        by_uid.entry(uid).or_default().push((name, home, number));
    }
    for (uid, mut entries) in by_uid {
        if entries.len() > 1 {
            out.unclear.push(Unclear {
                subject: format!("{}: uid {uid}", shown(path)),
                why: "several names share this uid, so nothing can be bound to one of them; give each its own uid, \
                      or list the uid under shared_uids in [node]"
                    .into(),
                candidates: entries.into_iter().map(|e| e.0).collect(),
            });
            continue;
        }
        let (name, home, number) = entries.remove(0);
        match tenant(&name, uid, &home, reader) {
            Ok(tenant) => out.tenants.push(tenant),
            Err(why) => {
                out.unclear.push(Unclear { subject: format!("{}:{number}", shown(path)), why, candidates: vec![name] });
            }
        }
    }
    shared_homes(&mut out);
    out
}

/// A tenant whose home is beyond doubt, or why it is not.
pub fn tenant(name: &AccountName, uid: u32, written: &Path, reader: &mut Reader) -> Result<Tenant, String> {
    let home_shown = shown(written);
    if !written.is_absolute() || written.parent().is_none() {
        return Err(format!("the home \"{home_shown}\" of {name} is not a folder of its own; set an absolute home"));
    }
    let home = resolve(written);
    if home.to_str().is_none() || home.to_string_lossy().chars().any(char::is_control) {
        return Err(format!("the home \"{home_shown}\" of {name} has bytes that are not plain UTF-8; rename it"));
    }
    if home.components().count() < 3 {
        return Err(format!(
            "the home of {name} is {}, which is no folder of one account; give the account its own home",
            shown(&home)
        ));
    }
    reader.identity(written);
    let meta = match fs::metadata(&home) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => return Err(format!("the home {home_shown} of {name} is not a folder; set a folder as home")),
        Err(e) => {
            return Err(format!(
                "the home {home_shown} of {name} cannot be seen ({e}); create it, or describe the account in accounts.d"
            ));
        }
    };
    // Chrooted SFTP accounts have a home that root owns: that says nothing about another tenant.
    if meta.uid() != uid && meta.uid() != 0 {
        return Err(format!(
            "the home {} of {name} belongs to uid {}, not to {uid}; correct the owner (chown) or the home in passwd",
            shown(&home),
            meta.uid()
        ));
    }
    let home_id = Some((meta.dev(), meta.ino()));
    Ok(Tenant { name: name.clone(), uid, home_written: written.to_owned(), home, home_id })
}

/// Two accounts with one home own nothing beyond doubt.
fn shared_homes(out: &mut Passwd) {
    let mut by_home: BTreeMap<PathBuf, Vec<AccountName>> = BTreeMap::new();
    for tenant in &out.tenants {
        by_home.entry(tenant.home.clone()).or_default().push(tenant.name.clone());
    }
    by_home.retain(|_, names| names.len() > 1);
    out.tenants.retain(|t| !by_home.contains_key(&t.home));
    for (home, candidates) in by_home {
        out.unclear.push(Unclear {
            subject: shown(&home),
            why: "several accounts have this home; give each its own, or describe the right one in accounts.d".into(),
            candidates,
        });
    }
}

#[cfg(test)]
#[path = "passwd_tests.rs"]
mod tests;
