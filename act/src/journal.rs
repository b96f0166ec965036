//! The journal: what was ordered, what is in force, how to undo it. Written and synced before anything is done.
//!
//! A log (`sys::log`) of one record in JSON a line. Damage stops everything, because nobody may act on a guess.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use model::packet::FromAct;
use model::{
    AccountRef, FilePath, GateKey, Hash, IntentId, Login, MailScope, Moment, ProcessRef, QueueId, Restriction,
    RestrictionId, Stamp,
};
use serde::{Deserialize, Serialize};
use sys::dir::Dir;
use sys::log::{Form, Log};

use crate::cron::Splice;
use crate::files::Moved;

/// Summed up as one snapshot above 8 MiB, read up to 64 MiB.
const FORM: Form = Form { name: "journal", sum: |text| Hash::of(text).low64(), long: 8 << 20, size_max: 64 << 20 };
/// Answers kept for repeated orders; the oldest go first.
const ANSWERS_MAX: usize = 4096;
/// Restrictions whose newest order is remembered when they are over; those with the oldest orders go first.
const NEWEST_MAX: usize = 16_384;
/// Restrictions of which it is remembered what was deleted; the oldest go first.
const PURGED_MAX: usize = 4096;

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

impl Effect {
    /// Messages that we put on hold.
    pub fn queued(&self) -> &[QueueId] {
        if let Effect::Hold(_, queued) = self { queued } else { &[] }
    }
}

/// Where a restriction is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Journalled, not yet tested.
    Imposing,
    /// That failed, or died: wanted no more, and tried until nothing of it is left.
    TakingBack,
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
    /// Whether it never came into force.
    pub fn is_begun(&self) -> bool {
        matches!(self.standing, Standing::Imposing | Standing::TakingBack)
    }

    /// How many files it set aside.
    pub fn files(&self) -> usize {
        if let Effect::Files(_, moved) = &self.effect { moved.len() } else { 0 }
    }

    /// Whether it is something put away, that a lift for good does not give back.
    pub fn is_put_away(&self) -> bool {
        matches!(self.effect, Effect::Files(..) | Effect::Cron(_))
    }
}

/// What was not given back when its restriction was lifted for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The restriction.
    pub held: Held,
    /// Since when, by both clocks.
    pub since: Option<(Moment, Stamp)>,
}

/// A pass that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPass {
    /// The order.
    pub intent: IntentId,
    /// Its files below GATE.
    pub files: Vec<String>,
    /// End.
    pub until: Moment,
    /// Whether its order ended; its answer is forgotten after some thousand others.
    #[serde(default)]
    pub answered: bool,
}

/// What a restriction takes from the budgets of what is done without a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// When.
    pub at: Stamp,
    /// Whose.
    pub account: AccountRef,
    /// By which restriction.
    pub by: RestrictionId,
    /// Whether the account was not restricted before.
    pub one_more: bool,
    /// Files that were set aside.
    pub files: u64,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Everything before, folded.
    Snapshot(Box<Book>),
    /// A restriction is about to be imposed; without a person: when, and whether its account is one more.
    Imposing(Box<Held>, Option<(Stamp, bool)>),
    /// These processes are about to be caught.
    Caught(RestrictionId, Means, Vec<Caught>),
    /// A restriction is about to be lifted.
    Lifting(RestrictionId, IntentId, Hash, bool),
    /// A pass is about to be opened.
    Passing(OpenPass),
    /// A pass is about to end.
    PassEnds(IntentId),
    /// An order about this restriction, or about a pass, has ended with this answer.
    Answered(Option<RestrictionId>, FromAct),
    /// An interrupted order was taken back and may come again.
    TakenBack(RestrictionId),
    /// What was lifted for good is kept since then, by both clocks.
    Keeps(RestrictionId, Moment, Stamp),
    /// It was deleted then, and is not given back any more.
    Purged(RestrictionId, Moment),
    /// A day has passed.
    Day(Stamp),
}

/// The journal's content, folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Restrictions by id.
    #[serde(with = "model::pairs")]
    pub held: BTreeMap<RestrictionId, Held>,
    /// What was not given back when its restriction was lifted (files, a cron line): can still be undone.
    #[serde(with = "model::pairs")]
    pub kept: BTreeMap<RestrictionId, Kept>,
    /// What was deleted in the end: when, and how many files.
    #[serde(with = "model::pairs", default)]
    pub purged: BTreeMap<RestrictionId, (Moment, usize)>,
    /// Open passes.
    pub passes: Vec<OpenPass>,
    /// Answers of orders that ended.
    #[serde(with = "model::pairs")]
    pub answers: BTreeMap<IntentId, FromAct>,
    /// Orders and their links in core's log, the newest.
    #[serde(with = "model::pairs")]
    pub links: BTreeMap<IntentId, Hash>,
    /// The newest order of each restriction, also of those that are over.
    #[serde(with = "model::pairs")]
    pub newest: BTreeMap<RestrictionId, IntentId>,
    /// What was done without a person in the last day.
    pub spent: Vec<Spent>,
    /// The last stamp seen.
    pub last: Option<Stamp>,
}

impl Book {
    fn fold(&mut self, record: Record) {
        match record {
            Record::Snapshot(book) => *self = *book,
            Record::Imposing(held, spent) => {
                let by = held.restriction.id;
                self.link(by, held.intent, held.link);
                if let Some((at, one_more)) = spent {
                    self.last = Some(at);
                    self.spent.retain(|spent| spent.at.passed + 86_400 > at.passed);
                    let (account, files) = (held.account.clone(), held.files() as u64);
                    self.spent.push(Spent { at, account, by, one_more, files });
                }
                self.held.insert(by, *held);
            }
            // Those that were caught before keep the means: whoever is in a cage is let out of it.
            Record::Caught(id, _, more) => {
                if let Some(Held { effect: Effect::Freeze(_, caught), .. }) = self.held.get_mut(&id) {
                    caught.extend(more);
                }
            }
            Record::Lifting(id, intent, link, for_good) => {
                if let Some(kept) = self.kept.remove(&id) {
                    self.held.insert(id, kept.held);
                }
                self.link(id, intent, link);
                if let Some(held) = self.held.get_mut(&id) {
                    held.link = link;
                    held.standing = Standing::Lifting { for_good };
                }
            }
            Record::Passing(pass) => self.passes.push(pass),
            Record::PassEnds(intent) => self.passes.retain(|pass| pass.intent != intent),
            Record::Answered(about, answer) => {
                let Some(intent) = answer.intent() else { return };
                if let Some(id) = about {
                    self.end(id, matches!(answer, FromAct::Done { .. }));
                    self.newer(id, intent);
                }
                self.passes.iter_mut().filter(|pass| pass.intent == intent).for_each(|pass| pass.answered = true);
                self.answers.insert(intent, answer);
                shorten(&mut self.answers, ANSWERS_MAX, |intent, _| *intent);
            }
            Record::TakenBack(id) => self.end(id, false),
            Record::Keeps(id, now, stamp) => {
                self.last = Some(stamp);
                if let Some(kept) = self.kept.get_mut(&id) {
                    kept.since = Some((now, stamp));
                }
            }
            Record::Purged(id, now) => {
                if let Some(kept) = self.kept.remove(&id) {
                    self.purged.insert(id, (now, kept.held.files()));
                }
                shorten(&mut self.purged, PURGED_MAX, |_, (then, _)| *then);
            }
            Record::Day(stamp) => self.last = Some(stamp),
        }
    }

    /// An order about it has ended.
    fn end(&mut self, id: RestrictionId, done: bool) {
        let Some(held) = self.held.get_mut(&id) else { return };
        match (held.standing, done) {
            (Standing::Imposing, true) => held.standing = Standing::InForce,
            (Standing::Imposing | Standing::TakingBack, _) => self.forget(id),
            (Standing::Lifting { for_good }, _) => {
                if let Some(held) = self.held.remove(&id).filter(|held| for_good && held.is_put_away()) {
                    self.kept.insert(id, Kept { held, since: None });
                }
            }
            (Standing::InForce, _) => {}
        }
    }

    fn read(&mut self, text: &str) -> bool {
        serde_json::from_str(text).map(|record| self.fold(record)).is_ok()
    }

    fn give_up(&mut self, id: RestrictionId) {
        if let Some(held) = self.held.get_mut(&id).filter(|held| held.is_begun()) {
            held.standing = Standing::TakingBack;
        }
    }

    fn link(&mut self, id: RestrictionId, intent: IntentId, link: Hash) {
        self.newer(id, intent);
        self.links.insert(intent, link);
        shorten(&mut self.links, ANSWERS_MAX, |intent, _| *intent);
    }

    /// The newest order about it; also for one that is in force, so that it is known when that is over.
    fn newer(&mut self, id: RestrictionId, intent: IntentId) {
        let newest = self.newest.entry(id).or_insert(intent);
        *newest = intent.max(*newest);
        if let Some(held) = self.held.get_mut(&id) {
            held.intent = held.intent.max(intent);
        }
        shorten(&mut self.newest, NEWEST_MAX, |_, intent| *intent);
    }

    /// A restriction that never came into force takes nothing from the budget.
    fn forget(&mut self, id: RestrictionId) {
        self.held.remove(&id);
        self.spent.retain(|spent| spent.by != id);
    }

    /// The newest order about a restriction.
    pub fn newest(&self, id: RestrictionId) -> Option<IntentId> {
        self.held.get(&id).map(|held| held.intent).max(self.newest.get(&id).copied())
    }

    /// Restrictions whose effect is wanted, oldest first.
    pub fn wanted(&self) -> Vec<&Held> {
        let wanted = |held: &&Held| matches!(held.standing, Standing::Imposing | Standing::InForce);
        let mut held: Vec<&Held> = self.held.values().filter(wanted).collect();
        held.sort_by_key(|held| (held.restriction.since, held.restriction.id));
        held
    }
}

/// Takes out the oldest entries until there are at most so many.
fn shorten<K: Ord + Copy, V, T: Ord>(map: &mut BTreeMap<K, V>, most: usize, age: impl Fn(&K, &V) -> T) {
    while map.len() > most {
        let oldest = map.iter().min_by_key(|(key, value)| age(key, value)).map(|(key, _)| *key);
        oldest.and_then(|key| map.remove(&key));
    }
}

/// The file and its folded content.
#[derive(Debug)]
pub struct Journal {
    log: Log,
    book: Book,
}

impl Journal {
    /// Opens or makes the journal in a folder of our own. Errors: those of [`Log::open`].
    pub fn open(dir: Dir) -> io::Result<Journal> {
        let mut book = Book::default();
        let log = Log::open(dir, FORM, |text| book.read(text))?;
        let ids: Vec<RestrictionId> = book.held.keys().copied().collect();
        ids.into_iter().for_each(|id| book.give_up(id));
        Ok(Journal { log, book })
    }

    /// What it says.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Writes and syncs one record, then folds it. After an error nothing was folded, and nothing may be done.
    pub fn write(&mut self, record: Record) -> io::Result<()> {
        let line = text(&record)?;
        if self.log.is_long() {
            let summed = self.log.sum_up(&text(&Record::Snapshot(Box::new(self.book.clone())))?);
            // A disk that is nearly full may still have room for this record, if not for all of them again.
            summed.or_else(|e| if self.log.has_room(&line) { Ok(()) } else { Err(e) })?;
        }
        if matches!(record, Record::Imposing(..)) && !self.log.has_room(&line) {
            return Err(io::Error::other("the journal is full; lift restrictions that are no longer needed"));
        }
        self.log.append(&line)?;
        self.book.fold(record);
        Ok(())
    }

    /// See [`Standing::TakingBack`]. Not written, because it can be told from the record of the order alone, and must
    /// be so too when the disk is full.
    pub fn give_up(&mut self, id: RestrictionId) {
        self.book.give_up(id);
    }
}

/// The orders that the journal in this folder remembers, and their links in core's log; also while `act` runs.
///
/// Errors: those of [`sys::log::read`].
pub fn links(state_dir: &Path) -> io::Result<BTreeMap<IntentId, Hash>> {
    let mut book = Book::default();
    sys::log::read(&Dir::open_own(state_dir)?, &FORM, |text| book.read(text))?;
    Ok(book.links)
}

fn text(record: &Record) -> io::Result<String> {
    serde_json::to_string(record).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(passed: u64) -> Stamp {
        Stamp { boot: Hash::of(b"boot"), uptime: 100 + passed, passed }
    }

    fn answered(intent: u64) -> Record {
        Record::Answered(None, FromAct::Done { intent: IntentId(intent), what: "山\n\"x\"".into() })
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap();
        (folder, journal)
    }

    #[test]
    fn what_was_written_is_read_again_and_damage_or_a_second_act_stops_everything() {
        let (folder, mut journal) = journal();
        (1..=3).for_each(|intent| journal.write(answered(intent)).unwrap());
        let second = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
        let before = journal.book().clone();
        drop(journal);
        let open = || Journal::open(Dir::open_own(folder.path()).unwrap());
        assert_eq!(open().unwrap().book(), &before);
        assert_eq!(links(folder.path()).unwrap(), before.links);
        let path = folder.path().join(FORM.name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        for error in [open().unwrap_err(), links(folder.path()).unwrap_err()] {
            assert!(error.to_string().contains("journal line 1 is damaged"), "{error}");
        }
    }

    #[test]
    fn a_snapshot_reads_back_as_the_same_book() {
        let mut book = Book::default();
        book.fold(answered(7));
        book.last = Some(stamp(9));
        let mut again = Book::default();
        assert!(again.read(&text(&Record::Snapshot(Box::new(book.clone()))).unwrap()));
        assert_eq!(again, book);
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
        let pass = OpenPass { intent: IntentId(number), files: vec![text.into()], until: Moment(0), answered: true };
        let mut book = Book { passes: vec![pass.clone()], last: Some(stamp(number)), ..Book::default() };
        let mut records = vec![
            Record::Caught(id, Means::Signal, vec![caught]),
            Record::Lifting(id, IntentId(number), Hash::ZERO, true),
            Record::Passing(pass),
            Record::PassEnds(IntentId(number)),
            Record::Answered(Some(id), FromAct::Failed { intent: IntentId(1), why: model::Failure::Gone(text.into()) }),
            Record::TakenBack(id),
            Record::Answered(None, FromAct::Done { intent: IntentId(1), what: text.into() }),
        ];
        records.extend(held.into_iter().map(|held| Record::Imposing(Box::new(held), Some((stamp(number), true)))));
        records.iter().cloned().for_each(|record| book.fold(record));
        records.push(Record::Snapshot(Box::new(book)));
        records
    }

    #[test]
    fn every_record_with_a_hostile_value_in_any_field_is_one_line_and_reads_back_the_same() {
        let (mut count, mut split) = (0, 0);
        for (text, number) in HOSTILE.into_iter().zip(1..) {
            for record in records(text, number) {
                let line = super::text(&record).unwrap();
                assert!(!line.contains(['\n', '\r']), "{record:?}");
                assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
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
            let right = (name, queue_id) == ("alice", "4jZ3Dq58q9zB4B2");
            // `sys::log` takes what is not understood for no torn line.
            assert_eq!(Book::default().read(&json), right, "{json}");
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

    #[test]
    fn what_was_deleted_is_remembered_up_to_a_bound_and_the_oldest_is_forgotten() {
        let mut book = Book::default();
        let id = |n: usize| RestrictionId { ordinal: n as u16, ..held().restriction.id };
        for n in 0..PURGED_MAX + 10 {
            book.kept.insert(id(n), Kept { held: held(), since: None });
            // Ids and times go the other way round: it is not the smallest id that is forgotten.
            book.fold(Record::Purged(id(n), Moment(-(n as i64))));
        }
        assert!(book.kept.is_empty() && book.purged.len() == PURGED_MAX);
        assert!(book.purged.contains_key(&id(0)) && !book.purged.contains_key(&id(PURGED_MAX)));
        // A second word about it, after a kill between the two, changes nothing.
        let before = book.clone();
        book.fold(Record::Purged(id(0), Moment(9)));
        assert_eq!(book, before);
    }

    fn held() -> Held {
        let why = model::Why { rule: "test".into(), findings: vec![] };
        let id = RestrictionId { incident: model::Number::new(Moment(0), 0), ordinal: 1 };
        Held {
            intent: IntentId(1),
            link: Hash::ZERO,
            account: AccountRef { name: "alice".parse().unwrap(), uid: 20_001, generation: 1 },
            restriction: Restriction { id, measure: model::Measure::RefuseMail, since: Moment(0), why },
            effect: Effect::Refuse,
            standing: Standing::Imposing,
        }
    }

    #[test]
    fn what_could_not_all_be_taken_back_and_is_kept_is_not_forgotten_with_the_order_that_failed() {
        let id = held().restriction.id;
        let failed = FromAct::Failed { intent: IntentId(1), why: model::Failure::Gone("x".into()) };
        for last in [Record::TakenBack(id), Record::Answered(Some(id), failed)] {
            let files = Held { effect: Effect::Files("/home/alice".into(), vec![]), ..held() };
            let mut book = Book::default();
            book.fold(Record::Imposing(Box::new(files), None));
            let mut forgets = book.clone();
            book.fold(Record::Lifting(id, IntentId(1), Hash::ZERO, true));
            book.fold(last.clone());
            assert!(book.held.is_empty() && book.kept.contains_key(&id));
            // Without a word about it nothing is kept.
            forgets.fold(last);
            assert!(forgets.held.is_empty() && forgets.kept.is_empty());
        }
    }

    #[test]
    fn what_failed_or_was_interrupted_is_wanted_no_more_and_still_remembered() {
        let (folder, mut journal) = journal();
        journal.write(Record::Imposing(Box::new(held()), Some((stamp(1), true)))).unwrap();
        assert_eq!(journal.book().wanted().len(), 1, "while it is being imposed");
        let id = held().restriction.id;
        journal.give_up(id);
        let standing = |journal: &Journal| (journal.book().wanted().len(), journal.book().held[&id].standing);
        assert_eq!(standing(&journal), (0, Standing::TakingBack));
        drop(journal);
        // Nothing was written: whoever opens the journal anew knows it from the record that has no answer.
        let mut journal = Journal::open(Dir::open_own(folder.path()).unwrap()).unwrap();
        assert_eq!(standing(&journal), (0, Standing::TakingBack));
        let why = model::Failure::Gone("x".into());
        journal.write(Record::Answered(Some(id), FromAct::Failed { intent: IntentId(1), why })).unwrap();
        assert!(journal.book().held.is_empty() && journal.book().spent.is_empty());
        // What is in force is not given up, whatever happens to a later order about it.
        journal.write(Record::Imposing(Box::new(held()), None)).unwrap();
        let done = FromAct::Done { intent: IntentId(1), what: "x".into() };
        journal.write(Record::Answered(Some(id), done)).unwrap();
        journal.give_up(id);
        assert_eq!(standing(&journal), (1, Standing::InForce));
    }
}
