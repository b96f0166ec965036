//! Outgoing mail by account, from Postfix's log: who sends how much to whom, and whether that is mass mail.
//!
//! A [`Watch`] follows one log. Attribution is by pickup's uid alone. No address, subject or text is kept:
//! recipients are keyed hashes and counts. Which shares and rates mean what stands in [`judge`].

pub mod country;
pub mod judge;
pub mod line;
pub mod past;
pub mod reader;
pub mod stamp;
pub mod window;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;

pub use jiff::tz::TimeZone as Zone;
use model::order::Finding;
use model::packet::{Baseline, Cursor};
use model::{
    AccountEntry, AccountRef, Check, Checked, Evidence, FactKey, Hash, Kind, Moment, Signal, Span, Strength, Target,
    Verdict,
};

use crate::follow::{self, Follower, Start};
use judge::{Judgement, Limits};
use line::{Id, minute};
use past::Past;
use reader::Reader;
use window::Facts;

/// Most queue ids in one finding (`Target::LocalMail`).
const QUEUED_MAX: usize = 500;
/// A finding that goes on is told again after this time, with what the queue holds by then.
const AGAIN: Span = Span::minutes(15);

/// Who can write into the log, besides the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody: what it says may be conclusive.
    Guarded,
    /// Any tenant, through the syslog socket or a set-gid `postlog` (Postfix 3.7 and later): forged lines look
    /// exactly alike, so nothing in it is more than suspicious.
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
    /// Findings that go on.
    standing: HashMap<u32, Standing>,
    /// Hours of an account in which a burst was seen: nothing is learned from them.
    tainted: HashSet<(u32, u32)>,
    /// The end of the log was reached: from now on lines are fresh.
    live: bool,
    /// Since when nothing of the log was passed over, by this process or the one whose cursor it took up.
    covered: Moment,
}

struct Known {
    account: AccountRef,
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
            (entry.account.uid, Known { account: entry.account.clone(), domains })
        };
        let before = std::mem::replace(&mut self.accounts, entries.iter().map(known).collect());
        // The next owner of a uid does not inherit what the last one sent.
        for (uid, known) in before {
            if self.accounts.get(&uid).is_none_or(|k| k.account != known.account) {
                self.reader.forget_account(uid);
                self.standing.remove(&uid);
                self.tainted.retain(|(tainted, _)| *tainted != uid);
            }
        }
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
        let window = self.reader.windows.get(&uid)?;
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
        for uid in self.reader.take_touched() {
            let Some(finding) = self.assess(uid, now) else {
                self.standing.remove(&uid);
                continue;
            };
            let signal = &finding.signal;
            let known = self.standing.get(&uid);
            let told = known.filter(|s| s.fingerprint == signal.fingerprint && s.strength >= signal.strength);
            let tell = told.is_none_or(|s| now - s.told >= AGAIN);
            let told = if tell { now } else { told.map_or(now, |s| s.told) };
            let Signal { fingerprint, strength, since, .. } = *signal;
            self.standing.insert(uid, Standing { fingerprint, strength, since, told });
            let newest = self.reader.windows.get(&uid).map_or(0, |w| w.newest());
            let hours = minute(since) / 60..=newest / 60;
            self.tainted.extend(hours.rev().take(25).map(|hour| (uid, hour)));
            if tell {
                news.push(finding);
            }
        }
        news
    }

    /// What the last hour of one account says now, whether it was told before or not.
    pub fn assess(&self, uid: u32, now: Moment) -> Option<Finding> {
        let known = self.accounts.get(&uid)?;
        let window = self.reader.windows.get(&uid)?;
        let sums = window.last_hour(now);
        if sums.messages < 3 {
            return None; // nothing below is said of fewer
        }
        let facts = window.facts(now, None)?;
        let judgement = self.judge(known, &facts);
        let kind = match judgement {
            Judgement { mass: Some(_), .. } => Kind::MassMail,
            Judgement { above_hard_rate: true, .. } => Kind::MailAboveHardRate,
            _ => return None,
        };
        let mut strength = judgement.mass.unwrap_or(Strength::Suspicious);
        if self.settings.trust == Trust::Forgeable {
            strength = strength.min(Strength::Suspicious);
        }
        let also = match judgement.above_hard_rate && kind == Kind::MassMail {
            true => vec![Kind::MailAboveHardRate],
            false => Vec::new(),
        };
        let script = facts.script.clone().unwrap_or_default();
        let fingerprint = Hash::of_parts(&[
            b"mail",
            known.account.name.as_str().as_bytes(),
            &known.account.uid.to_le_bytes(),
            &known.account.generation.to_le_bytes(),
            if kind == Kind::MassMail { b"mass-mail" } else { b"hard-rate" },
            script.as_bytes(),
        ]);
        // A burst longer than the window began when it was first seen.
        let standing = self.standing.get(&uid).filter(|s| s.fingerprint == fingerprint);
        let since = standing.map_or(facts.since, |s| s.since.min(facts.since));
        let queued = self.reader.queued(uid, since, QUEUED_MAX * 2);
        let long = queued.iter().filter_map(Id::queue_id).filter(model::QueueId::is_long).take(QUEUED_MAX);
        let evidence = self.evidence(known, &facts, since, &also);
        let body = serde_json::to_vec(&evidence).expect("texts and numbers are JSON");
        let signal = Signal {
            kind,
            also,
            strength,
            account: known.account.clone(),
            site: None,
            at: now,
            since,
            target: Target::LocalMail(long.collect()),
            fingerprint,
            evidence: Hash::of(&body),
        };
        Some(Finding { signal, evidence })
    }

    /// The line of a verification: no mass mail since the restriction. Messages in the hold queue do not count,
    /// neither as harm nor as looked at.
    pub fn checked(&self, account: &AccountRef, since: Moment, now: Moment) -> Checked {
        let checked = |verdict| Checked { check: Check::Mail, at: now, verdict };
        let seen = self.follower.as_ref().is_some_and(|f| f.cursor().is_some());
        if !self.live || !seen || since < self.covered {
            return checked(Verdict::NotChecked { why: "no_log".to_owned() });
        }
        let Some(window) = self.reader.windows.get(&account.uid) else {
            return checked(Verdict::Clean { count: 0 });
        };
        let count = window.unheld_since(since, now);
        let known = self.accounts.get(&account.uid).filter(|k| k.account == *account);
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

    /// Reads a recorded log whole, judging as it would have been judged minute by minute; the strongest finding
    /// of each account and kind with the most messages is returned. `now` is when the record was made or later.
    pub fn inspect(&mut self, log: &[u8], now: Moment) -> Vec<Finding> {
        let mut best: HashMap<(u32, Kind), (Strength, i64, Finding)> = HashMap::new();
        let mut judged = 0;
        let lines = log.strip_suffix(b"\n").unwrap_or(log).split(|b| *b == b'\n');
        for line in lines.filter(|_| !log.is_empty()) {
            if let Some(at) = self.reader.line(line, now)
                && minute(at) > judged
            {
                judged = minute(at);
                self.keep_best(&mut best);
            }
        }
        self.keep_best(&mut best);
        let mut found: Vec<_> =
            best.into_iter().map(|((uid, kind), (_, _, finding))| (uid, kind as u8, finding)).collect();
        found.sort_by_key(|(uid, kind, _)| (*uid, *kind));
        found.into_iter().map(|(_, _, finding)| finding).collect()
    }

    fn keep_best(&mut self, best: &mut HashMap<(u32, Kind), (Strength, i64, Finding)>) {
        let now = self.reader.last();
        for uid in self.reader.take_touched() {
            let Some(finding) = self.assess(uid, now) else { continue };
            let messages = match finding.evidence.get(FactKey::Messages) {
                Some(model::FactValue::Number(messages)) => *messages,
                _ => 0,
            };
            let weight = (finding.signal.strength, messages);
            let key = (uid, finding.signal.kind);
            if best.get(&key).is_none_or(|(strength, most, _)| (*strength, *most) <= weight) {
                best.insert(key, (weight.0, weight.1, finding));
            }
        }
    }

    fn judge(&self, known: &Known, facts: &Facts) -> Judgement {
        let usual = self.past.usual(&known.account.name, self.hour_of_day(facts.to));
        judge::judge(facts, usual, &known.domains, &self.settings.limits)
    }

    fn hour_of_day(&self, at: Moment) -> u8 {
        self.settings.zone.to_datetime(at.timestamp()).hour().unsigned_abs()
    }

    fn evidence(&self, known: &Known, facts: &Facts, since: Moment, also: &[Kind]) -> Evidence {
        let mut evidence = Evidence::default();
        let sums = &facts.sums;
        let [abroad, domestic, unknown] = sums.percents();
        for (key, number) in [
            (FactKey::Messages, sums.messages),
            (FactKey::Recipients, sums.recipients),
            (FactKey::DistinctRecipients, facts.spread.distinct),
            (FactKey::Bounced, sums.bounced),
            (FactKey::Deferred, sums.deferred),
            (FactKey::AbroadPercent, abroad),
            (FactKey::DomesticPercent, domestic),
            (FactKey::UnknownPercent, unknown),
            (FactKey::Senders, facts.senders),
            (FactKey::MailsPerHour, sums.messages),
        ] {
            evidence.number(key, i64::from(number));
        }
        if let Some(usual) = self.past.usual(&known.account.name, self.hour_of_day(facts.to)) {
            evidence.number(FactKey::Baseline, usual.mean.round() as i64);
        }
        evidence.text(FactKey::From, since.to_string()).text(FactKey::To, facts.to.to_string());
        if let Some(script) = &facts.script {
            evidence.text(FactKey::Script, script);
        }
        if !also.is_empty() {
            evidence.text(FactKey::Also, "mail_above_hard_rate");
        }
        evidence
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
                let window = self.reader.windows.get(uid);
                if (window.is_none() && !sending.contains(&known.account.name)) || self.tainted.contains(&(*uid, hour))
                {
                    continue;
                }
                self.past.learn(&known.account.name, of_day, window.map_or(0, |w| w.of_hour(hour)));
            }
        }
        let hour = minute(now) / 60;
        self.tainted.retain(|(_, tainted)| tainted + 25 > hour);
        self.reader.windows.retain(|_, window| !window.is_idle(now));
        let windows = &self.reader.windows;
        self.standing.retain(|uid, _| windows.get(uid).is_some_and(|w| w.newest() + 60 > minute(now)));
    }
}

#[cfg(test)]
mod tests;
