//! What `setup` did, as one typed file in the state folder, so that it can be undone also after a kill.
//!
//! Order of writing: originals, then this record (`finished: false`), then the changes, then the servers' own
//! test, then reload, then `finished: true`. A record that is not finished is taken up by the next run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use model::Hash;
use serde::{Deserialize, Serialize};

use super::Part;
use super::disk::{self, Looks};
use super::postfix::Before;

/// The whole record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Format of this file.
    pub version: u32,
    /// False while changes are being made.
    pub finished: bool,
    /// Files with our line, by path.
    pub files: BTreeMap<PathBuf, Saved>,
    /// How Postfix was before us.
    pub postfix: Option<Before>,
    /// Users of the roles that we made, or were about to make.
    #[serde(default)]
    pub users: Vec<String>,
}

/// One file that we changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Whose file it is.
    pub part: Part,
    /// The bytes without any line of ours, by hash; also kept in `originals`.
    pub original: Hash,
    /// What belonged to the original.
    pub looks: Looks,
    /// The bytes before the last change (a second run on a file that holds our lines already).
    pub before: Hash,
    /// What belonged to them.
    pub before_looks: Looks,
    /// The bytes after it.
    pub after: Hash,
}

impl Default for Record {
    fn default() -> Self {
        Record { version: 1, finished: true, files: BTreeMap::new(), postfix: None, users: Vec::new() }
    }
}

/// The folder that holds the record and the originals.
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Below the state folder.
    pub fn new(state: &Path) -> Shelf {
        Shelf { folder: state.join("setup") }
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("record.json")
    }

    /// The record; an empty one when `setup` never ran.
    pub fn load(&self) -> io::Result<Record> {
        let bytes = match fs::read(self.record_path()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            other => other?,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        match record.version {
            1 => Ok(record),
            other => {
                Err(io::Error::other(format!("the record has format {other}; a newer Hikeshi wrote it, use that one")))
            }
        }
    }

    /// Stores the record.
    pub fn store(&self, record: &Record) -> io::Result<()> {
        disk::folder(&self.folder, 0o700)?;
        let json = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        disk::write_own(&self.record_path(), &json)
    }

    /// Keeps bytes under their hash.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<Hash> {
        let hash = Hash::of(bytes);
        let folder = self.folder.join("originals");
        disk::folder(&self.folder, 0o700)?;
        disk::folder(&folder, 0o700)?;
        let path = folder.join(hash.to_string());
        if fs::read(&path).ok().as_deref() != Some(bytes) {
            disk::write_own(&path, bytes)?;
        }
        Ok(hash)
    }

    /// Kept bytes, checked against their name.
    pub fn kept(&self, hash: Hash) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.folder.join("originals").join(hash.to_string()))?;
        match Hash::of(&bytes) == hash {
            true => Ok(bytes),
            false => Err(io::Error::other(format!("the kept original {hash} is damaged"))),
        }
    }

    /// Deletes originals that no file of the record needs; everything when the record is empty.
    pub fn tidy(&self, record: &Record) -> io::Result<()> {
        let needed = |hash: Hash| record.files.values().any(|s| s.original == hash || s.before == hash);
        if let Ok(entries) = fs::read_dir(self.folder.join("originals")) {
            for entry in entries.flatten() {
                let hash = Hash::from_str(&entry.file_name().to_string_lossy());
                if !hash.is_ok_and(needed) {
                    disk::remove(&entry.path())?;
                }
            }
        }
        if record.files.is_empty() && record.postfix.is_none() && record.users.is_empty() {
            disk::remove(&self.record_path())?;
            let _ = fs::remove_dir(self.folder.join("originals"));
            let _ = fs::remove_dir(&self.folder);
        }
        Ok(())
    }
}
