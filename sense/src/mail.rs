//! Outgoing mail by account, from the log of Postfix or Exim: who sends how much to whom, and what that is.
//!
//! A [`Watch`] follows one log; each line tells by its stamp which server wrote it. Attribution is by pickup's uid,
//! Exim's local user, or the login of a mailbox, never by an address. No subject or text is kept: recipients are keyed
//! hashes and counts. Which shares and rates mean what stands in [`judge`].

mod answers;
mod assess;
pub mod country;
mod exim;
mod folders;
pub mod judge;
pub mod line;
mod message;
pub mod pairs;
pub mod past;
pub mod places;
pub mod reader;
mod recorded;
pub mod relay;
pub mod stamp;
mod who;
pub mod window;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;

pub use jiff::tz::TimeZone as Zone;
use model::order::Finding;
use model::packet::{Baseline, Cursor};
use model::{AccountEntry, AccountRef, Check, Checked, Hash, Kind, Moment, Signal, Span, Strength, Verdict};

use crate::country::Countries;
use crate::follow::{self, Follower, Start};
use judge::Limits;
use line::minute;
use past::Past;
use reader::{Key, Reader};
use who::Who;

/// A finding that goes on is told again after this time, with what the queue holds by then.
const AGAIN: Span = Span::minutes(15);

/// Who can write into the log, besides the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody: what it says may be conclusive.
    Guarded,
    /// Any tenant, through the syslog socket, a set-gid `postlog` (Postfix 3.7 and later) or the name of a folder from
    /// which he calls sendmail (Exim with +arguments, see `exim`): forged lines look exactly alike, so nothing in it is more than suspicious.
    Forgeable,
}

/// What a watch needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Random, made anew by each process, never stored: hashes of recipients cannot be compared later.
    pub key: [u8; 32],
    /// Two letters of the node's country, such as `jp`; without it every recipient's country is unknown.
    pub country: Option<[u8; 2]>,
    /// The node's zone, in which stamps without one are written.
    pub zone: Zone,
    /// Who can write into the log.
    pub trust: Trust,
    /// Thresholds.
    pub limits: Limits,
}

/// Follows a log and judges it account by account.
pub struct Watch {
    settings: Settings,
    follower: Option<Follower>,
    reader: Reader,
    accounts: HashMap<u32, Known>,
    past: Past,
    /// Where batches of lines began, at most one a minute, to find the place from which to read again.
    marks: VecDeque<(u32, Cursor)>,
    /// Findings that go on; a window has one of a kind.
    standing: HashMap<(Key, Kind), Standing>,
    /// Hours of an account in which a burst was seen: nothing is learned from them.
    tainted: HashSet<(u32, u32)>,
    /// The end of the log was reached: from now on lines are fresh.
    live: bool,
    /// Since when nothing of the log was passed over, by this process or the one whose cursor it took up.
    covered: Moment,
}

struct Known {
    entry: AccountEntry,
    domains: Vec<String>,
}

struct Standing {
    fingerprint: Hash,
    strength: Strength,
    since: Moment,
    told: Moment,
}

impl Watch {
    /// Watches the log of `cursor`, or the one at `path` beginning with what the last hour wrote.
    ///
    /// # Errors
    /// The log is there and cannot be read.
    pub fn follow(path: &str, cursor: Option<Cursor>, settings: Settings, now: Moment) -> io::Result<Watch> {
        let (follower, covered) = match cursor.filter(|c| c.path == path) {
            Some(cursor) => (Follower::resume(cursor), Moment::EPOCH),
            None => {
                let mut follower = Follower::new(path, Start::Beginning);
                let mut stamps = stamp::Stamps::new(settings.zone.clone());
                let hour_ago = now - Span::hours(1);
                follower.look_back(&mut |line| Some(stamps.read(line, now)?.0 < hour_ago))?;
                (follower, hour_ago)
            }
        };
        Ok(Watch { follower: Some(follower), covered, ..Watch::new(settings, now) })
    }

    /// Watches nothing yet; lines are handed in by [`Watch::inspect`].
    pub fn new(settings: Settings, now: Moment) -> Watch {
        Watch {
            reader: Reader::new(settings.key, settings.country, settings.zone.clone()),
            settings,
            follower: None,
            accounts: HashMap::new(),
            past: Past::new(now),
            marks: VecDeque::new(),
            standing: HashMap::new(),
            tainted: HashSet::new(),
            live: false,
            covered: now,
        }
    }

    /// Reads the log at `path` from its first line, as `inspect` does with a live log.
    pub fn attach(&mut self, path: &str) {
        self.follower = Some(Follower::new(path, Start::Beginning));
    }

    /// The youngest moment in the log so far.
    pub fn read_until(&self) -> Moment {
        self.reader.last()
    }

    /// The accounts as they are now; mail of other uids is counted and never judged.
    pub fn set_accounts(&mut self, entries: &[AccountEntry]) {
        let known = |entry: &AccountEntry| {
            let names = entry.sites.iter().flat_map(|s| std::iter::once(&s.domain).chain(&s.aliases));
            let domains = names.map(|d| d.as_str().to_owned()).collect();
            (entry.account.uid, Known { entry: entry.clone(), domains })
        };
        self.reader.set_who(Who::new(entries));
        let before = std::mem::replace(&mut self.accounts, entries.iter().map(known).collect());
        // The next owner of a uid does not inherit what the last one sent.
        for (uid, known) in before {
            if self.accounts.get(&uid).is_none_or(|k| k.entry.account != known.entry.account) {
                self.reader.forget_account(uid);
                self.standing.retain(|(key, _), _| key.uid != uid);
                self.tainted.retain(|(tainted, _)| *tainted != uid);
            }
        }
    }

    /// By which database the country of a server is told from now on; none: by none.
    pub fn set_countries(&mut self, countries: Option<Arc<Countries>>) {
        self.reader.countries = countries;
    }

    /// Takes a stored row of what is usual.
    pub fn know(&mut self, baseline: &Baseline) {
        self.past.know(baseline);
    }

    /// Rows of what is usual that changed since the last call.
    pub fn take_baselines(&mut self) -> Vec<Baseline> {
        self.past.take_changed()
    }

    /// What was read, and what the follower left out.
    pub fn counts(&self) -> (reader::Counts, follow::Counts) {
        (self.reader.counts(), self.follower.as_ref().map(Follower::counts).unwrap_or_default())
    }

    /// Sums of the last 60 minutes and of the last 24 hours, and the day's different recipients (an estimate).
    pub fn sums(&self, uid: u32, now: Moment) -> Option<(window::Counters, window::Counters, u32)> {
        let window = self.reader.windows.get(&Key::local(uid))?;
        let (day, distinct) = window.last_day(now);
        Some((window.last_hour(now), day, distinct))
    }

    /// Reads what is new, about `budget_bytes` at most; false when more is waiting.
    ///
    /// # Errors
    /// The log cannot be read; the next call tries again.
    pub fn poll(&mut self, now: Moment, budget_bytes: u64) -> io::Result<bool> {
        let Watch { follower: Some(follower), reader, marks, .. } = self else { return Ok(true) };
        if follower.cursor().is_none() {
            follower.read_new(0, &mut |_| ())?; // opens the log, so that the first batch has a beginning too
        }
        let before = follower.cursor();
        let lost = |f: &Follower| f.counts().lost_gone + f.counts().lost_truncate;
        let lost_before = lost(follower);
        let (mut first, mut any) = (None, false);
        let progress = follower.read_new(budget_bytes, &mut |line| {
            let at = reader.line(line, now);
            first = first.or(at);
            any |= at.is_some();
        })?;
        if lost(follower) > lost_before {
            self.covered = now; // a verification cannot speak of what was not read
        }
        if let (Some(at), Some(cursor)) = (first, before)
            && marks.back().is_none_or(|(last, _)| *last < minute(at))
        {
            marks.push_back((minute(at), cursor));
        }
        let hour_ago = minute(now).saturating_sub(60);
        while marks.get(1).is_some_and(|(at, _)| *at <= hour_ago) {
            marks.pop_front();
        }
        if progress.caught_up {
            if self.live && any {
                self.reader.stamps.align(now);
            }
            self.live = true;
        }
        Ok(progress.caught_up)
    }

    /// From where to read after a restart so that the last hour is counted again as it is counted now; to be
    /// stored together with the findings that came of it.
    pub fn cursor(&self, now: Moment) -> Option<Cursor> {
        let follower = self.follower.as_ref()?;
        let quiet = minute(self.reader.last()) + 60 <= minute(now);
        match self.marks.front() {
            Some((_, cursor)) if !quiet => Some(cursor.clone()),
            _ => follower.cursor(),
        }
    }

    /// What is new since the last call: findings that began, grew stronger, or still go on after a while.
    pub fn news(&mut self, now: Moment) -> Vec<Finding> {
        self.learn(now);
        let mut news = Vec::new();
        for key in self.reader.take_touched() {
            let findings = self.assess(key, now);
            self.standing.retain(|(standing, kind), _| {
                *standing != key || findings.iter().any(|finding| finding.signal.kind == *kind)
            });
            for finding in findings {
                let Signal { kind, fingerprint, strength, since, .. } = finding.signal;
                let known = self.standing.get(&(key, kind));
                let told = known.filter(|s| s.fingerprint == fingerprint && s.strength >= strength);
                let tell = told.is_none_or(|s| now - s.told >= AGAIN);
                let told = if tell { now } else { told.map_or(now, |s| s.told) };
                self.standing.insert((key, kind), Standing { fingerprint, strength, since, told });
                if key == Key::local(key.uid) {
                    let newest = self.reader.windows.get(&key).map_or(0, |w| w.newest());
                    let hours = minute(since) / 60..=newest / 60;
                    self.tainted.extend(hours.rev().take(25).map(|hour| (key.uid, hour)));
                }
                if tell {
                    news.push(finding);
                }
            }
        }
        news
    }

    /// The line of a verification: no mass mail since the restriction. Messages in the hold queue do not count,
    /// neither as harm nor as looked at.
    pub fn checked(&self, account: &AccountRef, since: Moment, now: Moment) -> Checked {
        let checked = |verdict| Checked { check: Check::Mail, at: now, verdict };
        let seen = self.follower.as_ref().is_some_and(|f| f.cursor().is_some());
        if !self.live || !seen || since < self.covered {
            return checked(Verdict::NotChecked { why: "no_log".to_owned() });
        }
        let known = self.accounts.get(&account.uid).filter(|k| k.entry.account == *account);
        if let Some(mailbox) = known.and_then(|known| self.guilty_mailbox(known, since, now)) {
            return checked(Verdict::Found { place: mailbox });
        }
        let Some(window) = self.reader.windows.get(&Key::local(account.uid)) else {
            return checked(Verdict::Clean { count: 0 });
        };
        let count = window.unheld_since(since, now);
        let guilty = known.and_then(|known| {
            let mut facts = window.facts(now, Some(since))?;
            let free = facts.sums.messages.saturating_sub(facts.sums.held);
            (facts.sums.messages, facts.sums.held) = (free, 0);
            let judgement = self.judge(known, &facts);
            (free > 0 && (judgement.mass.is_some() || judgement.above_hard_rate)).then_some(facts)
        });
        let burst = u64::from(self.settings.limits.burst_messages);
        let mut hours = self.tainted.iter().filter(|(uid, hour)| *uid == account.uid && *hour > minute(since) / 60);
        match guilty {
            Some(facts) => checked(Verdict::Found { place: facts.script.unwrap_or_else(|| "sendmail".to_owned()) }),
            // A burst after the restriction that ended more than an hour ago.
            None if hours.any(|(_, hour)| window.unheld_in(*hour) >= burst) => {
                checked(Verdict::Found { place: "sendmail".to_owned() })
            }
            None => checked(Verdict::Clean { count }),
        }
    }

    fn hour_of_day(&self, at: Moment) -> u8 {
        self.settings.zone.to_datetime(at.timestamp()).hour().unsigned_abs()
    }

    /// Learns the hours that ended, once, and forgets accounts that were silent for a day.
    fn learn(&mut self, now: Moment) {
        let due = self.past.due(now);
        if due.is_empty() || !self.live {
            return;
        }
        let sending = self.past.accounts().cloned().collect::<HashSet<_>>();
        for hour in due {
            let of_day = self.hour_of_day(Moment::from_secs(i64::from(hour) * 3600));
            for (uid, known) in &self.accounts {
                let window = self.reader.windows.get(&Key::local(*uid));
                let name = &known.entry.account.name;
                if (window.is_none() && !sending.contains(name)) || self.tainted.contains(&(*uid, hour)) {
                    continue;
                }
                self.past.learn(name, of_day, window.map_or(0, |w| w.of_hour(hour)));
            }
        }
        let hour = minute(now) / 60;
        self.tainted.retain(|(_, tainted)| tainted + 25 > hour);
        self.reader.forget_idle(now);
        let windows = &self.reader.windows;
        self.standing.retain(|(key, _), _| windows.get(key).is_some_and(|w| w.newest() + 60 > minute(now)));
    }
}

#[cfg(test)]
mod tests;
