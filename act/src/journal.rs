//! The journal: what was ordered, what is in force, how to undo it. Written and synced before anything is done.
//!
//! One line a record: 16 hexadecimal digits of BLAKE3, a space, JSON. A torn last line (power cut) is cut off; a
//! wrong line before the last is damage, and then nobody may act on a guess: opening fails.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use model::packet::FromAct;
use model::{
    AccountRef, FilePath, GateKey, Hash, IntentId, Login, MailScope, Moment, ProcessRef, QueueId, Restriction,
    RestrictionId,
};
use serde::{Deserialize, Serialize};
use sys::dir::Dir;

use crate::cron::Splice;
use crate::files::Moved;

const NAME: &str = "journal";
/// Held by the one process that acts; a second one must not write the same journal.
const LOCK: &str = "lock";
/// At least above this size the file is rewritten as one snapshot, bytes.
const COMPACT_ABOVE: u64 = 8 << 20;
/// Largest file that is read at the start, bytes.
const SIZE_MAX: u64 = 64 << 20;
/// How often, and in which pauses, the lock is tried.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(25);
/// Answers kept for repeated orders; the oldest go first.
const ANSWERS_MAX: usize = 4096;
/// Restrictions whose newest order is remembered; those with the oldest orders go first.
const NEWEST_MAX: usize = 16_384;

/// How processes were made to stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// In a freezer cgroup of its own.
    Cage,
    /// By SIGSTOP.
    Signal,
}

/// A process that was caught, and what it takes to undo that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    /// Which process.
    pub process: ProcessRef,
    /// Its cgroup before, relative to the mount.
    pub place: String,
    /// It stood still already, so it is not woken.
    pub was_stopped: bool,
}

/// What a restriction changes on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Flag files of these vhosts.
    Gates(Vec<GateKey>),
    /// Flag files of one path of these vhosts.
    Scripts(Vec<GateKey>, FilePath),
    /// Lines of the hold tables, and messages put on hold.
    Hold(MailScope, Vec<QueueId>),
    /// A line of the table of uids that may hand in nothing.
    Refuse,
    /// Processes that stand still.
    Freeze(Means, Vec<Caught>),
    /// Files that were set aside, from this home.
    Files(String, Vec<Moved>),
    /// A line of the crontab.
    Cron(Splice),
    /// Everyone was signed out of the site with this document root; there is nothing to undo.
    Sessions(String),
    /// Lines of the deny lists.
    Logins(Vec<Login>),
    /// The uid in the set of those whose connections are blocked.
    Outbound,
    /// Addresses in the set of those that are slowed down, until then.
    Sources(Vec<IpAddr>, Moment),
}

/// Where a restriction is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Journalled, not yet tested: is taken back after a crash.
    Imposing,
    /// Tested.
    InForce,
    /// Being lifted: is finished after a crash.
    Lifting {
        /// Frozen processes are ended.
        for_good: bool,
    },
}

/// One restriction on the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The newest order about it.
    pub intent: IntentId,
    /// Link of that order in core's log.
    pub link: Hash,
    /// The account.
    pub account: AccountRef,
    /// The restriction as ordered.
    pub restriction: Restriction,
    /// What it changes.
    pub effect: Effect,
    /// Where it stands.
    pub standing: Standing,
}

impl Held {
    /// Whether lifting it leaves something set aside that can be given back later.
    fn keeps(&self) -> bool {
        self.standing == Standing::Lifting { for_good: true }
            && matches!(self.effect, Effect::Files(..) | Effect::Cron(_))
    }
}

/// A pass that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPass {
    /// The order.
    pub intent: IntentId,
    /// Vhosts.
    pub gates: Vec<GateKey>,
    /// File names in the vhosts' pass folders.
    pub leaves: Vec<String>,
    /// End.
    pub until: Moment,
}

/// A time of the budget: seconds that certainly passed since the journal began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Which boot.
    pub boot: Hash,
    /// Seconds since that boot.
    pub uptime: u64,
    /// Seconds since the journal began; time with the power off does not count.
    pub passed: u64,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Everything before, folded.
    Snapshot(Box<Book>),
    /// A restriction is about to be imposed; with a stamp when it counts against the budget.
    Imposing(Box<Held>, Option<Stamp>),
    /// These processes are about to be caught.
    Caught(RestrictionId, Means, Vec<Caught>),
    /// A restriction is about to be lifted.
    Lifting(RestrictionId, IntentId, Hash, bool),
    /// A pass is about to be opened.
    Passing(OpenPass),
    /// A pass is about to end.
    PassEnds(IntentId),
    /// An order has ended with this answer.
    Answered(RestrictionId, FromAct),
    /// An interrupted order was taken back and may come again.
    TakenBack(RestrictionId),
    /// A pass order has ended with this answer.
    PassAnswered(FromAct),
    /// So many files are about to be set aside without a person.
    SetsAside(Stamp, AccountRef, RestrictionId, u64),
    /// What was lifted for good is kept since then, by both clocks.
    Keeps(RestrictionId, Moment, Stamp),
    /// It was deleted, and is not given back any more.
    Purged(RestrictionId),
    /// A day has passed.
    Day(Stamp),
}

/// The journal's content, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Restrictions by id.
    #[serde(with = "pairs")]
    pub held: BTreeMap<RestrictionId, Held>,
    /// What was not given back when its restriction was lifted (files, a cron line): can still be undone.
    #[serde(with = "pairs")]
    pub kept: BTreeMap<RestrictionId, Held>,
    /// Since when it is kept.
    #[serde(with = "pairs", default)]
    pub kept_since: BTreeMap<RestrictionId, (Moment, Stamp)>,
    /// Files that were set aside without a person in the last hour: when, whose, by which restriction, how many.
    #[serde(default)]
    pub files: Vec<(Stamp, AccountRef, RestrictionId, u64)>,
    /// Open passes.
    pub passes: Vec<OpenPass>,
    /// Answers of orders that ended.
    #[serde(with = "pairs")]
    pub answers: BTreeMap<IntentId, FromAct>,
    /// Orders and their links in core's log, the newest.
    #[serde(with = "pairs")]
    pub links: BTreeMap<IntentId, Hash>,
    /// The newest order of each restriction.
    #[serde(with = "pairs")]
    pub newest: BTreeMap<RestrictionId, IntentId>,
    /// Accounts restricted without a person: when, whom, by which restriction.
    pub counts: Vec<(Stamp, AccountRef, RestrictionId)>,
    /// The last stamp seen.
    pub last: Option<Stamp>,
}

impl Book {
    fn fold(&mut self, record: Record) {
        match record {
            Record::Snapshot(book) => *self = *book,
            Record::Imposing(held, stamp) => {
                let id = held.restriction.id;
                self.link(held.intent, held.link);
                if let Some(stamp) = stamp {
                    self.last = Some(stamp);
                    self.counts.retain(|(then, ..)| then.passed + 86_400 > stamp.passed);
                    self.counts.push((stamp, held.account.clone(), id));
                }
                self.newest.insert(id, held.intent);
                self.held.insert(id, *held);
            }
            Record::Caught(id, means, more) => {
                if let Some(Held { effect: Effect::Freeze(by, caught), .. }) = self.held.get_mut(&id) {
                    *by = means;
                    caught.extend(more);
                }
            }
            Record::Lifting(id, intent, link, for_good) => {
                self.newest.insert(id, intent);
                self.link(intent, link);
                if let Some(kept) = self.kept.remove(&id) {
                    self.kept_since.remove(&id);
                    self.held.insert(id, kept);
                }
                if let Some(held) = self.held.get_mut(&id) {
                    held.intent = intent;
                    held.link = link;
                    held.standing = Standing::Lifting { for_good };
                }
            }
            Record::Passing(pass) => self.passes.push(pass),
            Record::PassEnds(intent) => self.passes.retain(|pass| pass.intent != intent),
            Record::Answered(id, answer) => {
                let done = matches!(answer, FromAct::Done { .. });
                match self.held.get_mut(&id) {
                    Some(held) if done && held.standing == Standing::Imposing => held.standing = Standing::InForce,
                    Some(held) if !done && held.standing == Standing::Imposing => self.forget(id),
                    Some(held) if done && held.standing != Standing::InForce => {
                        let held = self.held.remove(&id).expect("just found");
                        if held.keeps() {
                            self.kept.insert(id, held);
                        }
                    }
                    _ => {}
                }
                if let Some(intent) = intent_of(&answer) {
                    let newest = self.newest.entry(id).or_insert(intent);
                    *newest = intent.max(*newest);
                    if let Some(held) = self.held.get_mut(&id) {
                        held.intent = held.intent.max(intent);
                    }
                }
                self.answer(answer);
            }
            Record::TakenBack(id) => self.forget(id),
            Record::PassAnswered(answer) => self.answer(answer),
            Record::SetsAside(stamp, account, id, count) => {
                self.last = Some(stamp);
                self.files.retain(|(then, ..)| then.passed + 3600 > stamp.passed);
                self.files.push((stamp, account, id, count));
            }
            Record::Keeps(id, now, stamp) => {
                self.last = Some(stamp);
                self.kept_since.insert(id, (now, stamp));
            }
            Record::Purged(id) => {
                self.kept.remove(&id);
                self.kept_since.remove(&id);
            }
            Record::Day(stamp) => self.last = Some(stamp),
        }
    }

    fn link(&mut self, intent: IntentId, link: Hash) {
        self.links.insert(intent, link);
        while self.links.len() > ANSWERS_MAX {
            self.links.pop_first();
        }
    }

    /// A restriction that never came into force takes nothing from the budget.
    fn forget(&mut self, id: RestrictionId) {
        self.held.remove(&id);
        self.counts.retain(|(.., by)| *by != id);
        self.files.retain(|(.., by, _)| *by != id);
    }

    fn answer(&mut self, answer: FromAct) {
        if let Some(intent) = intent_of(&answer) {
            self.answers.insert(intent, answer);
        }
        while self.answers.len() > ANSWERS_MAX {
            self.answers.pop_first();
        }
        while self.newest.len() > NEWEST_MAX {
            let oldest = self.newest.iter().filter(|(id, _)| !self.held.contains_key(id)).min_by_key(|(_, i)| **i);
            match oldest.map(|(id, _)| *id) {
                Some(id) => drop(self.newest.remove(&id)),
                None => break,
            }
        }
    }

    /// The budget's time now: never less than what certainly passed, whatever the wall clock does.
    pub fn stamp(&self, (boot, uptime): (Hash, u64)) -> Stamp {
        let passed = match self.last {
            Some(last) if last.boot == boot => last.passed + uptime.saturating_sub(last.uptime),
            Some(last) => last.passed + uptime,
            None => 0,
        };
        Stamp { boot, uptime, passed }
    }

    /// Restrictions whose effect is wanted, without `except`, oldest first.
    pub fn wanted(&self, except: Option<RestrictionId>) -> Vec<&Held> {
        let wanted =
            |held: &&Held| !matches!(held.standing, Standing::Lifting { .. }) && Some(held.restriction.id) != except;
        let mut held: Vec<&Held> = self.held.values().filter(wanted).collect();
        held.sort_by_key(|held| (held.restriction.since, held.restriction.id));
        held
    }
}

fn intent_of(answer: &FromAct) -> Option<IntentId> {
    match answer {
        FromAct::Done { intent, .. } | FromAct::Failed { intent, .. } | FromAct::Would { intent, .. } => Some(*intent),
        FromAct::InForce { .. } | FromAct::ListEnd | FromAct::Strays(_) => None,
    }
}

/// The file and its folded content.
#[derive(Debug)]
pub struct Journal {
    dir: Dir,
    file: File,
    size: u64,
    /// The size above which it is rewritten: twice what the last rewriting came to, so that it is not done each time.
    compact_above: u64,
    book: Book,
    _lock: File,
}

impl Journal {
    /// Opens or makes the journal in a folder of our own.
    ///
    /// Errors: another process has it (`ResourceBusy`), a damaged record before the last (`InvalidData`, with line
    /// and next step), a file over 64 MiB, any error of the file system.
    pub fn open(dir: Dir) -> io::Result<Journal> {
        let lock = dir.append(LOCK, 0o600)?;
        // A child of an act that was just killed may hold the lock for the moment until it closes what it inherited.
        let free = || rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
        let taken = (0..LOCK_TRIES).any(|_| {
            let taken = free();
            if !taken {
                std::thread::sleep(LOCK_PAUSE);
            }
            taken
        });
        if !taken {
            let why = "another act has the journal; wait for it to end, or stop it through `serve`";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        let bytes = dir.read(NAME, SIZE_MAX)?.unwrap_or_default();
        let (book, good) = read(&bytes)?;
        let file = dir.append(NAME, 0o600)?;
        if good < bytes.len() {
            file.set_len(good as u64)?;
            file.sync_all()?;
        }
        Ok(Journal { dir, file, size: good as u64, compact_above: COMPACT_ABOVE.max(good as u64), book, _lock: lock })
    }

    /// What it says.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Writes and syncs one record, then folds it. After an error nothing was folded, and nothing may be done.
    pub fn write(&mut self, record: Record) -> io::Result<()> {
        if self.size > self.compact_above {
            let line = line(&Record::Snapshot(Box::new(self.book.clone())))?;
            self.dir.replace(NAME, &line, 0o600)?;
            self.file = self.dir.append(NAME, 0o600)?;
            self.size = line.len() as u64;
            self.compact_above = COMPACT_ABOVE.max(2 * self.size);
        }
        let line = line(&record)?;
        if self.size + line.len() as u64 > SIZE_MAX && matches!(record, Record::Imposing(..)) {
            return Err(io::Error::other("the journal is full; lift restrictions that are no longer needed"));
        }
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_all());
        if let Err(e) = written {
            // A half line must not stand before a later whole one.
            self.file.set_len(self.size)?;
            return Err(e);
        }
        self.size += line.len() as u64;
        self.book.fold(record);
        Ok(())
    }
}

/// The orders that the journal in this folder remembers, and their links in core's log; also while `act` runs.
///
/// Errors: as [`Journal::open`], but for the lock.
pub fn links(state_dir: &Path) -> io::Result<BTreeMap<IntentId, Hash>> {
    let bytes = Dir::open_own(state_dir)?.read(NAME, SIZE_MAX)?.unwrap_or_default();
    Ok(read(&bytes)?.0.links)
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(record).map_err(io::Error::other)?;
    Ok(format!("{:016x} {json}\n", Hash::of(json.as_bytes()).low64()).into_bytes())
}

/// Folds whole lines; returns how many bytes were good.
fn read(bytes: &[u8]) -> io::Result<(Book, usize)> {
    let (mut book, mut good, mut number) = (Book::default(), 0, 0);
    while good < bytes.len() {
        number += 1;
        let end = bytes[good..].iter().position(|b| *b == b'\n').map(|at| good + at + 1);
        let record = end.and_then(|end| parse(&bytes[good..end - 1]));
        match (record, end) {
            (Some(Some(record)), Some(end)) => {
                book.fold(record);
                good = end;
            }
            (_, None) => break,
            (None, Some(end)) if end == bytes.len() => break,
            (Some(None), Some(_)) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "journal line {number} is whole and not understood; what is in force stays so. Start the version of Hikeshi that wrote it"
                    ),
                ));
            }
            (None, Some(_)) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "journal line {number} is damaged; what is in force stays so. Keep a copy, restore the file from a backup, or move it away after lifting by hand what it lists"
                    ),
                ));
            }
        }
    }
    Ok((book, good))
}

/// `None`: torn or damaged. `Some(None)`: just as it was written, but no record of ours, or one with a value that its
/// type refuses; that is never cut off as if it were torn.
fn parse(line: &[u8]) -> Option<Option<Record>> {
    let (sum, json) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let right = u64::from_str_radix(sum, 16).ok()? == Hash::of(json.as_bytes()).low64();
    right.then(|| serde_json::from_str(json).ok())
}

/// Maps as lists of pairs, because JSON's keys are texts and ours are not.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(map: &BTreeMap<K, V>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map.iter())
    }

    pub fn deserialize<'de, K, V, D>(d: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(d)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(passed: u64) -> Stamp {
        Stamp { boot: Hash::of(b"boot"), uptime: 100 + passed, passed }
    }

    fn answered(intent: u64) -> Record {
        Record::PassAnswered(FromAct::Done { intent: IntentId(intent), what: "山\n\"x\"".into() })
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap();
        (folder, journal)
    }

    #[test]
    fn a_torn_last_record_is_cut_off_at_every_byte_and_the_rest_stays() {
        let (folder, mut journal) = journal();
        for intent in 1..=3 {
            journal.write(answered(intent)).unwrap();
        }
        let second = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
        drop(journal);
        let path = folder.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        let last = whole.len() - line(&answered(3)).unwrap().len();
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut again = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap();
            assert_eq!(again.book().answers.len(), 2, "cut at {cut}");
            again.write(answered(4)).unwrap();
            drop(again);
            let again = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap();
            assert_eq!(again.book().answers.keys().map(|i| i.0).collect::<Vec<_>>(), [1, 2, 4]);
        }
    }

    #[test]
    fn damage_before_the_last_record_stops_everything() {
        let (folder, mut journal) = journal();
        journal.write(answered(1)).unwrap();
        journal.write(answered(2)).unwrap();
        drop(journal);
        let path = folder.path().join(NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn a_snapshot_reads_back_as_the_same_book() {
        let mut book = Book::default();
        book.fold(answered(7));
        book.last = Some(stamp(9));
        let text = line(&Record::Snapshot(Box::new(book.clone()))).unwrap();
        assert_eq!(read(&text).unwrap(), (book, text.len()));
    }

    #[test]
    fn budget_time_does_not_run_while_the_power_is_off_and_ignores_the_wall_clock() {
        let book = Book { last: Some(stamp(50)), ..Book::default() };
        assert_eq!(book.stamp((Hash::of(b"boot"), 160)).passed, 60);
        assert_eq!(book.stamp((Hash::of(b"boot"), 1)).passed, 50);
        assert_eq!(book.stamp((Hash::of(b"next"), 5)).passed, 55);
    }

    /// Texts that hurt formats of one line a record, of fields between quotes, of lines that a shell reads.
    const HOSTILE: [&str; 9] = [
        "a\nb",
        "a\r\n0123456789abcdef {\"TakenBack\":null}\n",
        "\"}],\"x\":[{",
        "$(id) `id` ; rm -rf .",
        "\u{0}\u{1b}[2J\u{7f}",
        "\u{202e}\u{2028}\u{feff}",
        "\\u000a\\n",
        "山\u{10ffff}",
        "",
    ];

    fn records(text: &str, number: u64) -> Vec<Record> {
        let account = AccountRef { name: "alice".parse().unwrap(), uid: 20_001, generation: number as u32 };
        let incident = model::Number::new(Moment(number as i64), number as u16);
        let id = RestrictionId { incident, ordinal: number as u16 };
        let path = FilePath::new(&[b"x", text.replace(['/', '\0'], "").as_bytes(), b"\xff"].concat()).unwrap();
        let process = ProcessRef { pid: 7, start_ticks: number, uid: 20_001, exe_dev: u64::MAX, exe_ino: number };
        let caught = Caught { process, place: text.into(), was_stopped: true };
        let effects = [
            Effect::Gates(vec![GateKey::Nginx(text.into()), GateKey::Apache(text.into())]),
            Effect::Scripts(vec![GateKey::Nginx(text.into())], path),
            Effect::Hold(MailScope::Local, vec!["4jZ3Dq58q9zB4B2".parse().unwrap()]),
            Effect::Freeze(Means::Cage, vec![caught.clone()]),
            Effect::Sessions(text.into()),
            Effect::Sources(vec!["2001:db8::1".parse().unwrap()], Moment(i64::MIN)),
        ];
        let why = model::Why { rule: text.into(), findings: vec![Hash::of(text.as_bytes())] };
        let restriction = Restriction { id, measure: model::Measure::RefuseMail, since: Moment(i64::MAX), why };
        let held = effects.map(|effect| Held {
            intent: IntentId(u64::MAX),
            link: Hash::ZERO,
            account: account.clone(),
            restriction: restriction.clone(),
            effect,
            standing: Standing::Lifting { for_good: true },
        });
        let pass = OpenPass {
            intent: IntentId(number),
            gates: vec![GateKey::Apache(text.into())],
            leaves: vec![text.into()],
            until: Moment(0),
        };
        let mut book = Book { passes: vec![pass.clone()], last: Some(stamp(number)), ..Book::default() };
        let mut records = vec![
            Record::Caught(id, Means::Signal, vec![caught]),
            Record::Lifting(id, IntentId(number), Hash::ZERO, true),
            Record::Passing(pass),
            Record::PassEnds(IntentId(number)),
            Record::Answered(id, FromAct::Failed { intent: IntentId(1), why: model::Failure::Gone(text.into()) }),
            Record::TakenBack(id),
            Record::PassAnswered(FromAct::Done { intent: IntentId(1), what: text.into() }),
        ];
        records.extend(held.into_iter().map(|held| Record::Imposing(Box::new(held), Some(stamp(number)))));
        records.iter().cloned().for_each(|record| book.fold(record));
        records.push(Record::Snapshot(Box::new(book)));
        records
    }

    #[test]
    fn every_record_with_a_hostile_value_in_any_field_is_one_line_and_reads_back_the_same() {
        let (mut count, mut split) = (0, 0);
        for (text, number) in HOSTILE.into_iter().zip(1..) {
            for record in records(text, number) {
                let line = line(&record).unwrap();
                assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1), "{record:?}");
                assert!(line.is_ascii() || std::str::from_utf8(&line).is_ok());
                assert_eq!(parse(&line[..line.len() - 1]), Some(Some(record.clone())));
                count += 1;
                // The naive twin writes the value as it is, a line each.
                split += usize::from(format!("{text}\n").lines().collect::<Vec<_>>() != [text]);
            }
        }
        assert!(count > 100 && split > 0);
    }

    #[test]
    fn a_stored_value_that_its_type_refuses_is_refused_on_reading_too_and_never_cut_off() {
        let id = r#"{"incident":"HK-20260321-0000","ordinal":1}"#;
        let account = |name: &str| format!(r#"{{"name":"{name}","uid":20001,"generation":1}}"#);
        let hostile = [
            ("../../etc", "4jZ3Dq58q9zB4B2"),
            ("a\\nb", "4jZ3Dq58q9zB4B2"),
            ("-rf", "4jZ3Dq58q9zB4B2"),
            ("alice", "-d ALL"),
            ("alice", "$(id)"),
        ];
        let number = model::Number::new(Moment(0), 0).to_string();
        for (name, queue_id) in hostile.into_iter().chain([("alice", "4jZ3Dq58q9zB4B2")]) {
            let id = id.replace("HK-20260321-0000", &number);
            let json = format!(
                r#"{{"Imposing":[{{"intent":1,"link":"{}","account":{},"restriction":{{"id":{id},"measure":"RefuseMail","since":0,"why":{{"rule":"x","findings":[]}}}},"effect":{{"Hold":["local",["{queue_id}"]]}},"standing":"Imposing"}},null]}}"#,
                Hash::ZERO,
                account(name)
            );
            let line = format!("{:016x} {json}\n", Hash::of(json.as_bytes()).low64());
            let right = (name, queue_id) == ("alice", "4jZ3Dq58q9zB4B2");
            assert_eq!(read(line.as_bytes()).is_ok(), right, "{json}");
            // The naive twin takes whatever the format lets through.
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
        }
    }

    #[test]
    fn answers_are_bounded() {
        let mut book = Book::default();
        for intent in 0..ANSWERS_MAX as u64 + 10 {
            book.fold(answered(intent));
        }
        assert_eq!((book.answers.len(), book.answers.first_key_value().unwrap().0.0), (ANSWERS_MAX, 10));
    }
}
