//! Scheduled jobs of the accounts: crontabs of the spool, files of `cron.d`, jobs of at(1).
//!
//! A [`Watch`] is handed whole tables, because what could be switched off is a range of bytes of one table
//! ([`model::CronLine`]). It remembers the hashes of the lines that it saw, so that it can say since when a line is new;
//! it keeps nothing on disk. What a line means stands in [`judge`]. Whose it is: the file's place or the user field of a
//! file that only root writes, never a text of the command.
//!
//! Bounds: 1 MiB a table, 1,000 lines a table (Debian's cron takes no more), 20,000 tables and 400,000 lines in memory.

pub mod judge;
pub mod table;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::net::IpAddr;
use std::path::Path;

use model::order::Finding;
use model::{AccountEntry, AccountName, CronLine, Evidence, FactKey, Hash, Kind, Moment, Signal, Target};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::reading::Reading;
use crate::{locate, shell};
use judge::{Surroundings, Verdict, judge};
use table::{Form, Job, Line};

/// Lines of one table that are judged.
const LINES_MAX: usize = 1000;
/// Tables whose lines are remembered.
const TABLES_MAX: usize = 20_000;
/// Lines of all tables that are remembered, 64 bytes each.
const REMEMBERED_MAX: usize = 400_000;
/// Variables of one table that are put into its commands.
const VARIABLES_MAX: usize = 64;

/// What the watch needs to know about the node.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Its own addresses: calls to them are calls to itself.
    pub own: Vec<IpAddr>,
}

/// When a line was seen first.
#[derive(Clone, Copy, Debug)]
struct First {
    at: Moment,
    /// It was not there at an earlier look.
    new: bool,
}

/// Reads tables and tells what is wrong with them.
pub struct Watch {
    settings: Settings,
    /// Lines of each table by their hash, and since when each is known.
    known: HashMap<Vec<u8>, HashMap<Hash, First>>,
    reading: Reading,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new(settings: Settings) -> Watch {
        Watch { settings, known: HashMap::new(), reading: Reading::default() }
    }

    /// A table of the spool as it is now.
    pub fn table(&mut self, owner: &AccountEntry, bytes: &[u8], now: Moment) {
        let name = owner.account.name.as_str().as_bytes().to_vec();
        self.read(&name, bytes, now, Form::User, &|_| Some(owner));
    }

    /// A file of `cron.d` or `/etc/crontab`, which only root writes; `name` tells it from others. Its lines cannot be
    /// switched off by us.
    pub fn system(&mut self, accounts: &[AccountEntry], name: &[u8], bytes: &[u8], now: Moment) {
        let by_name =
            |user: Option<&[u8]>| accounts.iter().find(|entry| Some(entry.account.name.as_str().as_bytes()) == user);
        self.read(&[b"/", name].concat(), bytes, now, Form::System, &by_name);
    }

    /// A job of at(1): a shell script that at(1) wrote for its owner, once (at's source, `at.c`: the header names the
    /// uid, then come the environment and the owner's commands).
    pub fn job(&mut self, owner: &AccountEntry, bytes: &[u8], now: Moment) {
        self.reading.lines += 1;
        let header = bytes.get(..bytes.len().min(256)).unwrap_or_default();
        if !bytes.starts_with(b"#!") || !header.windows(12).any(|part| part == b"# atrun uid=") || bytes.len() > 1 << 20
        {
            self.reading.dropped += 1;
            return;
        }
        // at(1) writes the whole environment before the commands; only these are the owner's.
        let marker = b"\n}\n";
        let body = bytes.windows(3).position(|part| part == marker).map_or(bytes, |at| &bytes[at + 3..]);
        let body = &body[..body.len().min(table::LINE_MAX)];
        let job = Job { user: None, per_week: 1, at_start: false, command: body.to_vec(), stdin: None };
        let around = Surroundings::of(owner, &self.settings.own);
        let deeds = shell::read(&job.command, owner.home.as_bytes(), None, &[]);
        if let Some(verdict) = judge(&job, &deeds, &around) {
            let line = body.trim_ascii().split(|b| *b == b'\n').next_back().unwrap_or_default();
            self.reading.findings.push(finding(
                owner,
                verdict,
                None,
                line,
                First { at: now, new: false },
                now,
                Target::Nothing,
            ));
        }
    }

    /// The account is gone: the next one of its name begins anew.
    pub fn forget(&mut self, account: &AccountName) {
        self.known.remove(account.as_str().as_bytes());
    }

    /// What was read since the last call.
    pub fn news(&mut self, _now: Moment) -> Reading {
        std::mem::take(&mut self.reading)
    }

    fn read<'e>(
        &mut self,
        name: &[u8],
        bytes: &[u8],
        now: Moment,
        form: Form,
        owner: &dyn Fn(Option<&[u8]>) -> Option<&'e AccountEntry>,
    ) {
        if bytes.len() as u64 > locate::CRONTAB_MAX {
            let name = model::evidence::printable(name, 100);
            self.reading.blind.push(format!("cron: the table {name} has more than 1 MiB; look at it by hand"));
            return;
        }
        let whole = Hash::of(bytes);
        let before = self.known.remove(name);
        let mut lines = HashMap::new();
        let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut jobs = 0;
        for (number, range) in locate::table_lines(bytes, locate::header(bytes)) {
            let text = &bytes[range.clone()];
            if range.is_empty() && range.end == bytes.len() {
                continue;
            }
            self.reading.lines += 1;
            let job = match table::line(text, form) {
                _ if jobs >= LINES_MAX => {
                    self.reading.dropped += 1;
                    continue;
                }
                Line::Nothing => continue,
                Line::Variable(name, value) => {
                    variables.retain(|(known, _)| known != name);
                    if variables.len() < VARIABLES_MAX {
                        variables.push((name.to_vec(), value));
                    }
                    continue;
                }
                Line::Unclear => {
                    self.reading.dropped += 1;
                    continue;
                }
                Line::Job(job) => job,
            };
            jobs += 1;
            let hash = Hash::of(text.trim_ascii());
            let since = match &before {
                Some(before) => before.get(&hash).copied().unwrap_or(First { at: now, new: true }),
                None => First { at: now, new: false },
            };
            lines.insert(hash, since);
            let Some(owner) = owner(job.user) else { continue };
            let deeds = shell::read(&job.command, owner.home.as_bytes(), job.stdin.as_deref(), &variables);
            let Some(verdict) = judge(&job, &deeds, &Surroundings::of(owner, &self.settings.own)) else { continue };
            let target = match form {
                Form::User => {
                    let line = CronLine { hash: whole, start: range.start as u32, end: range.end as u32 };
                    Target::CronLines(vec![line])
                }
                Form::System => Target::Nothing,
            };
            self.reading.findings.push(finding(owner, verdict, Some(number), text, since, now, target));
        }
        let held: usize = self.known.values().map(HashMap::len).sum();
        if self.known.len() < TABLES_MAX && held + lines.len() <= REMEMBERED_MAX {
            self.known.insert(name.to_vec(), lines);
        }
    }
}

/// Reads one recorded table of the spool.
///
/// # Errors
/// What the input says.
pub fn inspect(reader: impl BufRead, owner: &AccountEntry, settings: Settings, now: Moment) -> io::Result<Reading> {
    let mut bytes = Vec::new();
    reader.take(locate::CRONTAB_MAX + 1).read_to_end(&mut bytes)?;
    let mut watch = Watch::new(settings);
    watch.table(owner, &bytes, now);
    Ok(watch.news(now))
}

/// Reads one recorded file of `cron.d`, or `/etc/crontab`.
///
/// # Errors
/// What the input says.
pub fn inspect_system(
    reader: impl BufRead,
    accounts: &[AccountEntry],
    settings: Settings,
    now: Moment,
) -> io::Result<Reading> {
    let mut bytes = Vec::new();
    reader.take(locate::CRONTAB_MAX + 1).read_to_end(&mut bytes)?;
    let mut watch = Watch::new(settings);
    watch.system(accounts, b"recorded", &bytes, now);
    Ok(watch.news(now))
}

/// Jobs of at(1).
#[derive(Debug, Default)]
pub struct Waiting {
    /// The uid of each file and its first 64 KiB.
    pub jobs: Vec<(u32, Vec<u8>)>,
    /// Files that could not be read.
    pub missed: u64,
}

/// The jobs of at(1) that wait in this folder (Debian: `/var/spool/cron/atjobs`), each with the uid of its file, which
/// the set-uid at(1) gave it; at most 4,096. What cannot be read is left out, and counted.
///
/// # Errors
/// The folder cannot be read.
pub fn waiting(folder: &Path) -> io::Result<Waiting> {
    let mut waiting = Waiting::default();
    for file in std::fs::read_dir(folder)?.flatten().take(4096) {
        let name = file.file_name();
        // Names are the queue, the number, the minute (at's source, `at.c`); `=` marks one that runs.
        if !name.as_encoded_bytes().first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'=') {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(opened) = rustix::fs::openat(CWD, file.path(), flags, Mode::empty()) else {
            waiting.missed += 1;
            continue;
        };
        let Ok(stat) = rustix::fs::fstat(&opened) else { continue };
        let mut bytes = Vec::new();
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            File::from(opened).take(1 << 16).read_to_end(&mut bytes)?;
            waiting.jobs.push((stat.st_uid, bytes));
        }
    }
    Ok(waiting)
}

/// The table of an account as it lies in the spool; `None`: it has none. A table over 1 MiB comes back cut, just too
/// long, so that [`Watch::table`] says so.
///
/// # Errors
/// It is a link, or cannot be read.
pub fn spooled(spool: &Path, account: &AccountName) -> io::Result<Option<Vec<u8>>> {
    let file = match locate::crontab(spool, account) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(locate::CRONTAB_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn finding(
    owner: &AccountEntry,
    verdict: Verdict,
    number: Option<usize>,
    text: &[u8],
    since: First,
    now: Moment,
    target: Target,
) -> Finding {
    let mut evidence = Evidence::default();
    evidence.text(FactKey::Line, text.trim_ascii());
    if let Some(number) = number {
        evidence.text(FactKey::Lines, number.to_string());
    }
    if let Some(subject) = &verdict.subject {
        let key = if verdict.kind == Kind::CronFromUploads || verdict.kind == Kind::CronReinstalls {
            FactKey::Path
        } else {
            FactKey::Remote
        };
        evidence.text(key, subject);
    }
    if since.new {
        evidence.text(FactKey::From, since.at.to_string());
    }
    for kind in &verdict.also {
        let word = serde_json::to_value(kind).ok();
        evidence.text(FactKey::Also, word.as_ref().and_then(|word| word.as_str()).unwrap_or_default());
    }
    let kind = [verdict.kind as u8];
    let account = owner.account.name.as_str().as_bytes();
    let signal = Signal {
        kind: verdict.kind,
        also: verdict.also,
        strength: verdict.strength,
        account: owner.account.clone(),
        site: None,
        at: now,
        since: since.at,
        target,
        fingerprint: Hash::of_parts(&[b"cron", account, &kind, text.trim_ascii()]),
        evidence: Hash::of(&serde_json::to_vec(&evidence).unwrap_or_default()),
        forgeable: false,
    };
    Finding { signal, evidence }
}

#[cfg(test)]
mod tests;
