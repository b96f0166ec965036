//! Switches one line of a crontab off and on again: a comment sign and the restriction's number before it.
//!
//! No cron syntax is read here. The order names a range of bytes of a file with one hash, the table is opened below
//! the spool by the account's name, and it changes by an exchange (`sys::swap`) that gives back whatever crontab(1)
//! put there meanwhile. Debian's cron passes over names with a dot before them, reads the spool again when the time of
//! change of the folder is another second than at its last look, and a table when its own is another (cron(8) says
//! so of both); so a switched-off table has a time of now, and one that is undone its first time, which is another one.

use std::path::{Path, PathBuf};

use model::{AccountRef, CronLine, Failure, Hash, RestrictionId};
use serde::{Deserialize, Serialize};
use sys::dir::Dir;
use sys::swap::{Seen, Shared, touch};

use crate::config::Steps;

/// Largest table that is touched, bytes; crontab(1) of Debian takes 1,000 lines of 1,000.
const TABLE_MAX: u64 = 4 << 20;
/// Tries against somebody who changes the table all the time.
const TRIES: u32 = 32;

/// One line of a crontab, and what it takes to give it back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    id: RestrictionId,
    line: CronLine,
    /// BLAKE3 of the line alone: the journal keeps nothing that a tenant wrote.
    text: Hash,
    /// Time of change of the table, seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

impl std::fmt::Display for Splice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bytes {} to {}", self.line.start, self.line.end)
    }
}

impl Splice {
    /// Where the line is in a table, as a whole line with `before` in front of it.
    fn places(&self, table: &[u8], before: &str) -> Vec<usize> {
        let length = before.len() + (self.line.end - self.line.start) as usize;
        let (mut at, mut places) = (0, Vec::new());
        for line in table.split(|b| *b == b'\n') {
            if line.len() == length
                && line.strip_prefix(before.as_bytes()).is_some_and(|text| Hash::of(text) == self.text)
            {
                places.push(at);
            }
            at += line.len() + 1;
        }
        places
    }

    /// The table without our mark.
    fn unmarked(&self, table: &[u8]) -> Vec<u8> {
        let mark = mark(self.id);
        let mut bytes = table.to_vec();
        self.places(table, &mark).iter().rev().for_each(|at| drop(bytes.drain(*at..at + mark.len())));
        bytes
    }
}

/// What stands before a line that is switched off; each restriction has its own, also for two equal lines.
fn mark(id: RestrictionId) -> String {
    format!("#{id} ")
}

/// The folder in which crontab(1) keeps the accounts' tables.
#[derive(Debug)]
pub struct Cron {
    spool: PathBuf,
}

impl Cron {
    /// `spool`: `/var/spool/cron/crontabs` on Debian.
    pub fn new(spool: &Path) -> Cron {
        Cron { spool: spool.to_owned() }
    }

    /// Checks that the table is the account's own and has this hash, and the range one whole line that is no comment.
    pub fn plan(&self, account: &AccountRef, id: RestrictionId, line: &CronLine) -> Result<Splice, Failure> {
        let spool = self.open().map_err(Failure::Error)?;
        let seen = read(&table(&spool, account, ""), account)?;
        let seen = seen.ok_or_else(|| Failure::Gone(format!("{account} has no crontab any more; nothing runs")))?;
        let (start, end) = (line.start as usize, line.end as usize);
        let mark = mark(id);
        let mut bytes = seen.bytes.clone();
        let marked = bytes.get(start..).is_some_and(|rest| rest.starts_with(mark.as_bytes()));
        if marked && Hash::of(&bytes) != line.hash {
            bytes.drain(start..start + mark.len()); // the same order once more
        }
        if Hash::of(&bytes) != line.hash {
            return Err(changed(account));
        }
        let whole = (start == 0 || bytes.get(start - 1) == Some(&b'\n'))
            && bytes.get(end).is_none_or(|b| *b == b'\n')
            && bytes.get(start..end).is_some_and(|text| !text.is_empty() && !text.contains(&b'\n'));
        if !whole {
            return Err(Failure::Error(format!(
                "bytes {start} to {end} are no whole line of the crontab of {account}; read it again and order anew"
            )));
        }
        if bytes[start] == b'#' {
            return Err(Failure::Gone(format!("that line of the crontab of {account} is a comment; it runs nothing")));
        }
        let modified = seen.modified();
        Ok(Splice { id, line: line.clone(), text: Hash::of(&bytes[start..end]), modified })
    }

    /// Puts the mark before the line. A table that the owner changed since is left, however often it is ordered.
    pub fn apply(&self, account: &AccountRef, splice: &Splice, steps: &mut Steps) -> Result<(), Failure> {
        let mark = mark(splice.id);
        let changed = |seen: &Seen| match () {
            () if !splice.places(&seen.bytes, &mark).is_empty() => Ok(None),
            () if Hash::of(&seen.bytes) != splice.line.hash => Err(changed(account)),
            () => {
                let mut bytes = seen.bytes.clone();
                let at = splice.line.start as usize;
                bytes.splice(at..at, mark.bytes());
                Ok(Some((bytes, None)))
            }
        };
        match self.change(account, splice, steps, changed)? {
            true => Ok(()),
            false => Err(Failure::Gone(format!("{account} has no crontab any more; nothing runs"))),
        }
    }

    /// Takes the mark away again; the table that was ordered comes back with its time. What the owner changed beside
    /// the line stays; a line that he changed itself is left to him.
    pub fn take_back(&self, account: &AccountRef, splice: &Splice, steps: &mut Steps) -> Result<String, String> {
        let mark = mark(splice.id);
        let mut what = "no crontab is there any more; nothing to give back";
        let changed = |seen: &Seen| {
            let bytes = splice.unmarked(&seen.bytes);
            let exact = Hash::of(&bytes) == splice.line.hash;
            let places = splice.places(&seen.bytes, &mark).len();
            what = match (places, exact) {
                (1, true) | (0, true) => "the crontab is as it was",
                (1, false) => "the line runs again; the rest of the crontab is as the owner changed it since",
                (0, false) => "the owner changed the crontab and the line is no longer as we left it; nothing changed",
                _ => "the owner copied the switched-off line, so which one is ours is open; nothing changed",
            };
            Ok((places == 1).then_some((bytes, exact.then_some(splice.modified))))
        };
        match self.change(account, splice, steps, changed) {
            Ok(_) => Ok(what.into()),
            Err(Failure::Guard(why)) => Ok(format!("nothing changed: {why}")),
            Err(why) => Err(why.to_string()),
        }
    }

    /// Whether the line does not run.
    pub fn look(&self, account: &AccountRef, splice: &Splice) -> (bool, String) {
        let seen = self.open().map_err(Failure::Error);
        match seen.and_then(|spool| read(&table(&spool, account, ""), account)) {
            Err(why) => (false, why.to_string()),
            Ok(None) => (true, "no crontab is there any more".into()),
            Ok(Some(seen)) if !splice.places(&seen.bytes, &mark(splice.id)).is_empty() => {
                (true, format!("line switched off with the mark {}", mark(splice.id).trim_end()))
            }
            Ok(Some(seen)) if !splice.places(&seen.bytes, "").is_empty() => {
                (false, "somebody took our mark out and the line runs again; read the crontab and order anew".into())
            }
            Ok(Some(_)) => (true, "the owner took the line out of the crontab or changed it".into()),
        }
    }

    /// Reads the table, and exchanges it for what `new` makes of it, until nobody came between. False: no table.
    fn change(
        &self,
        account: &AccountRef,
        splice: &Splice,
        steps: &mut Steps,
        mut new: impl FnMut(&Seen) -> Result<Option<(Vec<u8>, Option<(i64, i64)>)>, Failure>,
    ) -> Result<bool, Failure> {
        let error = |e: std::io::Error| {
            Failure::Error(format!("crontab of {account}: {e}; check the spool, and that act may take leases"))
        };
        let spool = self.open().map_err(Failure::Error)?;
        let before = rustix::fs::fstat(&spool).map_err(|e| error(e.into()))?;
        let spare = format!(".hikeshi-{account}-{}-{}", splice.id.incident, splice.id.ordinal);
        let table = table(&spool, account, &spare);
        table.settle(&|one, other| splice.unmarked(one) == splice.unmarked(other)).map_err(error)?;
        steps("cron: beside is clean");
        for _ in 0..TRIES {
            let Some(seen) = read(&table, account)? else { return Ok(false) };
            let Some((bytes, modified)) = new(&seen)? else { return Ok(true) };
            let swapped = table.swap(seen, &bytes, modified, steps).map_err(error)?;
            touch(&spool, &before).map_err(error)?;
            steps("cron: told by the folder's time");
            if swapped {
                return Ok(true);
            }
        }
        Err(Failure::Error(format!("the crontab of {account} changes faster than we can write; try again")))
    }

    fn open(&self) -> Result<Dir, String> {
        let shown = self.spool.display();
        let spool = Dir::open(&self.spool).map_err(|e| format!("{shown}: {e}; install cron or look at its spool"))?;
        let stat = rustix::fs::fstat(&spool).map_err(|e| format!("{shown}: {e}; look at cron's spool"))?;
        match stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o002 == 0 {
            true => Ok(spool),
            false => Err(format!("{shown} does not belong to us or anybody may write to it; chown root, chmod o-w")),
        }
    }
}

fn table<'a>(spool: &'a Dir, account: &'a AccountRef, spare: &'a str) -> Shared<'a> {
    Shared { dir: spool, name: account.name.as_str(), spare, bytes_max: TABLE_MAX }
}

/// The account's table; `None` when it is not there. Another's file under this name is never touched.
fn read(table: &Shared<'_>, account: &AccountRef) -> Result<Option<Seen>, Failure> {
    let seen = table.read();
    let seen = seen.map_err(|e| Failure::Error(format!("crontab of {account}: {e}; look at it yourself")))?;
    match &seen {
        Some(seen) if seen.stat.st_uid != account.uid || seen.stat.st_nlink != 1 => Err(Failure::Guard(format!(
            "the crontab of {account} belongs to uid {} and has {} links, not to uid {} with one; cron runs none of \
             it, look at it yourself",
            seen.stat.st_uid, seen.stat.st_nlink, account.uid
        ))),
        _ => Ok(seen),
    }
}

fn changed(account: &AccountRef) -> Failure {
    Failure::Gone(format!("the crontab of {account} changed since it was read; read it again and order anew"))
}
