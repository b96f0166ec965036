//! Switches one line of a crontab off and on again: a comment sign and the restriction's number before it.
//!
//! No cron syntax is read here. The order names a range of bytes of a file with one hash, the table is opened below
//! the spool by the account's name, and it changes by an exchange (`sys::swap`) that gives back whatever crontab(1)
//! put there meanwhile. Debian's cron passes over names with a dot before them, reads the spool again when the time of
//! change of the folder is another second than at its last look, and a table when its own is another (cron(8) says
//! so of both); so a switched-off table has a time of now, and one that is undone its first time, which is another one.
//!
//! Several restrictions may have lines of one table. Each speaks of the table as it is without any mark of ours, so they
//! come and go in any order, and the last one to go brings back the time of change.

use std::path::PathBuf;

use model::{AccountRef, CronLine, Failure, Hash, RestrictionId};
use rustix::fs::Stat;
use serde::{Deserialize, Serialize};
use sys::dir::Dir;
use sys::swap::{Seen, Shared, touch};

use crate::config::Steps;

/// Largest table that is touched, bytes and lines; Debian's crontab(1) takes no more lines.
const TABLE_MAX: u64 = 1 << 20;
const LINES_MAX: usize = 1000;

/// One line of a crontab, and what it takes to give it back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    id: RestrictionId,
    /// In the table without any mark of ours.
    pub line: CronLine,
    /// BLAKE3 of the line alone: the journal keeps nothing that a tenant wrote.
    text: Hash,
    /// Time of change of the table before any mark of ours, seconds and nanoseconds since 1970.
    modified: (i64, i64),
}

impl Splice {
    /// What stands before a line that is switched off; each restriction has its own, also for two equal lines.
    fn mark(&self) -> String {
        format!("#{} ", self.id)
    }

    /// Where the line is in a table, as a whole line with `before` in front of it.
    fn places(&self, table: &[u8], before: &str) -> Vec<usize> {
        let length = before.len() + (self.line.end - self.line.start) as usize;
        let (mut at, mut places) = (0, Vec::new());
        for line in table.split(|b| *b == b'\n') {
            let text = line.strip_prefix(before.as_bytes()).filter(|_| line.len() == length);
            if text.is_some_and(|text| Hash::of(text) == self.text) {
                places.push(at);
            }
            at += line.len() + 1;
        }
        places
    }

    /// The table without our mark.
    fn unmarked(&self, table: &[u8]) -> Vec<u8> {
        let mark = self.mark();
        sys::block::without(table, &self.places(table, &mark), mark.len())
    }
}

/// The crontab of one account.
#[derive(Debug)]
pub struct Crontab {
    /// The folder in which crontab(1) keeps the tables, `/var/spool/cron/crontabs` on Debian.
    pub spool: PathBuf,
    /// Whose it is; the table has his name.
    pub account: AccountRef,
    /// Its lines that we have switched off, also for good.
    pub ours: Vec<Splice>,
}

impl Crontab {
    /// Checks that the table is the account's own and has this hash, as it is or without any mark of ours, and the range
    /// one whole line that is no comment.
    pub fn plan(&self, id: RestrictionId, line: &CronLine) -> Result<Splice, Failure> {
        let seen = self.read()?;
        let bare = self.bare(&seen.bytes);
        let ordered = [&seen.bytes, &bare].into_iter().find(|bytes| Hash::of(bytes) == line.hash);
        let ordered = ordered.ok_or_else(|| self.changed())?;
        let (start, end) = (line.start as usize, line.end as usize);
        let whole = (start == 0 || ordered.get(start - 1) == Some(&b'\n'))
            && ordered.get(end).is_none_or(|b| *b == b'\n')
            && ordered.get(start..end).is_some_and(|text| !text.is_empty() && !text.contains(&b'\n'));
        let whose = format!("of the crontab of {}", self.account);
        if !whole {
            let why = format!("bytes {start} to {end} are no whole line {whose}; read it again and order anew");
            return Err(Failure::Error(why));
        }
        if ordered[start] == b'#' {
            return Err(Failure::Gone(format!("that line {whose} is a comment; it runs nothing")));
        }
        let text = Hash::of(&ordered[start..end]);
        let start = self.bare(&ordered[..start]).len() as u32;
        let line = CronLine { hash: Hash::of(&bare), start, end: start + line.end - line.start };
        // A table with marks of ours has a time of ours; the first of them saw the owner's.
        let first = self.ours.iter().find(|first| first.line.hash == line.hash && bare != seen.bytes);
        let modified = first.map_or(seen.modified(), |first| first.modified);
        Ok(Splice { id, line, text, modified })
    }

    /// Puts the mark before the line. A table that the owner changed since is left, however often it is ordered.
    pub fn apply(&self, splice: &Splice, steps: &mut Steps) -> Result<(), Failure> {
        let mark = splice.mark();
        let marked = |seen: &Seen| {
            if !splice.places(&seen.bytes, &mark).is_empty() {
                return Ok(None);
            }
            // Of several equal lines it is the one that has as much of the owner's before it.
            let before = |at: &usize| self.bare(&seen.bytes[..*at]).len().cmp(&(splice.line.start as usize));
            let places = splice.places(&seen.bytes, "");
            let at = places.binary_search_by(before).ok().map(|which| places[which]);
            let at = at.filter(|_| Hash::of(&self.bare(&seen.bytes)) == splice.line.hash);
            let at = at.ok_or_else(|| self.changed())?;
            Ok(Some(([&seen.bytes[..at], mark.as_bytes(), &seen.bytes[at..]].concat(), None)))
        };
        self.change(splice, steps, marked)
    }

    /// Takes the mark away again; with the last of ours the table that was ordered comes back with its time. What the
    /// owner changed beside the line stays; a line that he changed itself is left to him.
    pub fn take_back(&self, splice: &Splice, steps: &mut Steps) -> Result<String, String> {
        let mut what = "";
        let unmarked = |seen: &Seen| {
            let bytes = splice.unmarked(&seen.bytes);
            let bare = self.bare(&bytes);
            let (exact, last) = (Hash::of(&bare) == splice.line.hash, bare == bytes);
            let places = splice.places(&seen.bytes, &splice.mark()).len();
            what = match (places, exact) {
                (0 | 1, true) if last => "the crontab is as it was",
                (0 | 1, true) => "the line runs again; another one of the crontab is still switched off",
                (1, false) => "the line runs again; the rest of the crontab is as the owner changed it since",
                (0, false) => "the owner changed the crontab and the line is no longer as we left it; nothing changed",
                _ => "the owner copied the switched-off line, so which one is ours is open; nothing changed",
            };
            Ok((places == 1).then_some((bytes, (exact && last).then_some(splice.modified))))
        };
        match self.change(splice, steps, unmarked) {
            Ok(()) => Ok(what.into()),
            Err(Failure::Gone(_)) => Ok("no crontab is there any more; nothing to give back".into()),
            Err(Failure::Guard(why)) => Ok(format!("nothing changed: {why}")),
            Err(why) => Err(why.to_string()),
        }
    }

    /// Whether the line does not run.
    pub fn look(&self, splice: &Splice) -> Result<String, String> {
        match self.read() {
            Err(Failure::Gone(_)) => Ok("no crontab is there any more".into()),
            Err(why) => Err(why.to_string()),
            Ok(seen) if !splice.places(&seen.bytes, &splice.mark()).is_empty() => {
                Ok(format!("line switched off with the mark {}", splice.mark().trim_end()))
            }
            Ok(seen) if !splice.places(&seen.bytes, "").is_empty() => {
                Err("somebody took our mark out and the line runs again; read the crontab and order anew".into())
            }
            Ok(_) => Ok("the owner took the line out of the crontab or changed it".into()),
        }
    }

    /// Exchanges the table for what `new` makes of it. `Gone`: there is none, or so says `new`.
    fn change(
        &self,
        splice: &Splice,
        steps: &mut Steps,
        mut new: impl FnMut(&Seen) -> Result<Option<(Vec<u8>, Option<(i64, i64)>)>, Failure>,
    ) -> Result<(), Failure> {
        let error = |e| self.error(e, "look at it, at the spool, and that act may take leases");
        let (spool, before) = self.open()?;
        let spare = format!(".hikeshi-{}-{}-{}", self.account, splice.id.incident, splice.id.ordinal);
        let table = self.table(&spool, &spare);
        table.settle(&|one, other| splice.unmarked(one) == splice.unmarked(other)).map_err(error)?;
        steps("cron: beside is clean");
        let there = table.change(|seen| self.owned(seen).and_then(|()| new(seen)), error, steps)?;
        touch(&spool, &before).map_err(error)?;
        steps("cron: told by the folder's time");
        if there { Ok(()) } else { Err(self.gone()) }
    }

    /// The table; `Gone` when it is not there.
    fn read(&self) -> Result<Seen, Failure> {
        let (spool, _) = self.open()?;
        let seen = self.table(&spool, "").read().map_err(|e| self.error(e, "look at it yourself"))?;
        let seen = seen.ok_or_else(|| self.gone())?;
        self.owned(&seen).map(|()| seen)
    }

    /// Another's file under this name is never touched, nor one that takes long because it has more than cron takes.
    fn owned(&self, seen: &Seen) -> Result<(), Failure> {
        let (account, uid, links) = (&self.account, seen.stat.st_uid, seen.stat.st_nlink);
        let why = if uid != account.uid || links != 1 {
            let right = account.uid;
            format!("belongs to uid {uid} and has {links} links, not to uid {right} with one; cron runs none of it")
        } else if seen.bytes.split(|b| *b == b'\n').count() > LINES_MAX + 1 {
            format!("has more than {LINES_MAX} lines; ask its owner to shorten it")
        } else {
            return Ok(());
        };
        Err(Failure::Guard(format!("the crontab of {account} {why}, look at it yourself")))
    }

    /// The table without any mark of ours.
    fn bare(&self, table: &[u8]) -> Vec<u8> {
        self.ours.iter().fold(table.to_vec(), |table, splice| splice.unmarked(&table))
    }

    fn open(&self) -> Result<(Dir, Stat), Failure> {
        let shown = self.spool.display();
        let opened = Dir::open(&self.spool)
            .and_then(|spool| rustix::fs::fstat(&spool).map(|stat| (spool, stat)).map_err(Into::into));
        match opened {
            Ok((_, stat)) if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o002 != 0 => {
                Err(Failure::Error(format!(
                    "{shown} does not belong to us or anybody may write to it; chown root, chmod o-w"
                )))
            }
            opened => opened.map_err(|e| Failure::Error(format!("{shown}: {e}; install cron or look at its spool"))),
        }
    }

    fn table<'a>(&'a self, spool: &'a Dir, spare: &'a str) -> Shared<'a> {
        Shared { dir: spool, name: self.account.name.as_str(), spare, bytes_max: TABLE_MAX }
    }

    fn error(&self, e: std::io::Error, next: &str) -> Failure {
        Failure::Error(format!("crontab of {}: {e}; {next}", self.account))
    }

    fn gone(&self) -> Failure {
        Failure::Gone(format!("{} has no crontab any more; nothing runs", self.account))
    }

    fn changed(&self) -> Failure {
        let account = &self.account;
        Failure::Gone(format!("the crontab of {account} changed since it was read; read it again and order anew"))
    }
}
