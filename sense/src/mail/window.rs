//! What one account sent within the last 5 minutes, hour and day, in bounded memory.
//!
//! Everything is booked at the minute in which the message was handed over, also a bounce that comes later: so
//! reading the last hour's lines again gives the same numbers, and a message older than that changes nothing.

use std::collections::{HashMap, VecDeque};

use model::{Moment, Span};

use super::country::Place;
use super::line::minute;
use super::pairs::{Pair, Pairs};
use super::places::{Networks, Places};
use super::relay::{By, Takers};

/// Minutes kept one by one: the judged hour and what a slow clock or a late line needs.
const MINUTES: u32 = 75;
/// Hours kept as sums.
const HOURS: u32 = 25;
/// Recipients of the last hour remembered one by one; above it every second, fourth, … hash is kept.
const RECENT_MAX: usize = 4096;
/// Different senders and script names remembered.
const NAMES_MAX: usize = 64;

/// Sums of a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages handed over.
    pub messages: u32,
    /// Recipients, with repeats.
    pub recipients: u32,
    /// Recipients whose message was delivered or handed on.
    pub sent: u32,
    /// Recipients refused for good.
    pub bounced: u32,
    /// Recipients whose first attempt was put off.
    pub deferred: u32,
    /// Refused or put off as spam.
    pub spam: u32,
    /// Refused for what says nothing about the mail: the node's address is on a block list, a mailbox is full.
    pub excused: u32,
    /// Recipients by country; only those that were named.
    pub abroad: u32,
    /// See `abroad`.
    pub domestic: u32,
    /// See `abroad`.
    pub unknown: u32,
    /// Of those abroad and domestic: told by the server that took the mail.
    pub by_server: u32,
    /// Messages in the hold queue.
    pub held: u32,
    /// Messages between 0 and 6 o'clock in the node's zone.
    pub night: u32,
}

impl Counters {
    fn add(&mut self, other: &Counters) {
        self.messages += other.messages;
        self.recipients += other.recipients;
        self.sent += other.sent;
        self.bounced += other.bounced;
        self.deferred += other.deferred;
        self.spam += other.spam;
        self.excused += other.excused;
        self.abroad += other.abroad;
        self.domestic += other.domestic;
        self.unknown += other.unknown;
        self.by_server += other.by_server;
        self.held += other.held;
        self.night += other.night;
    }

    /// So many of the unknown ones are abroad and domestic.
    fn tell(&mut self, [abroad, domestic]: [u32; 2]) {
        let abroad = abroad.min(self.unknown);
        let domestic = domestic.min(self.unknown - abroad);
        self.unknown -= abroad + domestic;
        self.abroad += abroad;
        self.domestic += domestic;
        self.by_server += abroad + domestic;
    }

    /// Recipients that were named, when handed over (Exim) or in an attempt; one that was put off and delivered later
    /// is one.
    pub fn tried(&self) -> u32 {
        self.abroad + self.domestic + self.unknown
    }

    /// Whole per cent abroad, domestic, unknown; they sum to 100, or are all 0 when no recipient was seen.
    /// What rounding leaves over goes to the largest remainder.
    pub fn percents(&self) -> [u32; 3] {
        let parts = [self.abroad, self.domestic, self.unknown].map(u64::from);
        let sum: u64 = parts.iter().sum();
        if sum == 0 {
            return [0; 3];
        }
        let mut whole = parts.map(|p| (p * 100 / sum) as u32);
        let mut by_rest = [0, 1, 2];
        by_rest.sort_by_key(|i| std::cmp::Reverse(parts[*i] * 100 % sum));
        let left = 100 - whole.iter().sum::<u32>();
        by_rest.iter().take(left as usize).for_each(|i| whole[*i] += 1);
        whole
    }
}

#[derive(Clone, Debug)]
struct Minute {
    minute: u32,
    first: Moment,
    last: Moment,
    sums: Counters,
}

#[derive(Clone, Debug)]
struct Hour {
    hour: u32,
    sums: Counters,
    /// Linear counting of different recipients (Whang et al. 1990): 1,024 bits, good to about 5,000 a day.
    bits: [u64; 16],
}

/// Who the recipients of a stretch were, without knowing them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Recipients remembered, with repeats.
    pub seen: u32,
    /// Different ones.
    pub distinct: u32,
    /// How many the most frequent one got.
    pub top: u32,
}

/// What judging needs about the messages handed over within a stretch.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Sums of the stretch.
    pub sums: Counters,
    /// Sums of the busiest five minutes in it.
    pub peak: Counters,
    /// Its recipients.
    pub spread: Spread,
    /// Different envelope senders.
    pub senders: u32,
    /// Domains of envelope senders with their messages; a bare login has an empty one.
    pub domains: Vec<(String, u32)>,
    /// The script that most messages name, when it is four of five.
    pub script: Option<String>,
    /// First message of the burst around the peak.
    pub since: Moment,
    /// Pairs of addresses that repeated.
    pub pairs: Vec<Pair>,
    /// Where a mailbox logged in from.
    pub networks: Networks,
    /// First and last message of the stretch.
    pub from: Moment,
    /// See `from`.
    pub to: Moment,
}

/// A name with its messages by minute.
#[derive(Clone, Debug)]
struct Named<T> {
    name: T,
    minutes: VecDeque<(u32, u32)>,
}

/// What of an account's mail a window is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All that it hands to sendmail.
    #[default]
    All,
    /// What is handed to sendmail from this folder.
    Folder(String),
    /// What this mailbox hands in with its password.
    Mailbox(String),
}

/// The past day of one account's mail, or of a part of it.
#[derive(Clone, Debug, Default)]
pub struct Window {
    pub(super) part: Part,
    pub(super) pairs: Pairs,
    pub(super) places: Places,
    /// Without a database of countries there is none.
    takers: Option<Box<Takers>>,
    /// The newest sender, its hash and its text: one pair may have to be named.
    pub(super) sender: (u64, Vec<u8>),
    minutes: VecDeque<Minute>,
    hours: VecDeque<Hour>,
    recent: VecDeque<(u32, u64)>,
    level: u32,
    senders: Vec<Named<u64>>,
    domains: Vec<Named<String>>,
    scripts: Vec<Named<String>>,
    newest: u32,
    /// Something came since it was last judged.
    pub(super) touched: bool,
}

impl Window {
    /// Nothing yet, of this part.
    pub fn of(part: Part) -> Window {
        Window { part, ..Window::default() }
    }

    /// A message was handed over.
    pub fn message(&mut self, at: Moment, night: bool, sender: u64, domain: &str) {
        let now = minute(at);
        if now > self.newest {
            self.newest = now;
            self.forget(now);
        }
        self.book(now, at, |sums| {
            sums.messages += 1;
            sums.night += u32::from(night);
        });
        count(&mut self.senders, |name| *name == sender, || sender, now);
        count(&mut self.domains, |name| name == domain, || domain.to_owned(), now);
    }

    /// Takes a message back that was only tried.
    pub fn unmessage(&mut self, minute: u32, recipients: u32) {
        self.change(minute, |sums| {
            sums.messages = sums.messages.saturating_sub(1);
            sums.recipients = sums.recipients.saturating_sub(recipients);
        });
    }

    /// A message of this minute names its script.
    pub fn script(&mut self, minute: u32, script: &str) {
        count(&mut self.scripts, |name| name == script, || script.to_owned(), minute);
    }

    /// A message of this minute has so many more recipients.
    pub fn recipients(&mut self, minute: u32, more: u32) {
        self.change(minute, |sums| sums.recipients = sums.recipients.saturating_add(more));
    }

    /// A recipient was seen for the first time; `hash` is keyed.
    pub fn recipient(&mut self, minute: u32, hash: u64, place: Place) {
        self.change(minute, |sums| match place {
            Place::Abroad => sums.abroad += 1,
            Place::Domestic => sums.domestic += 1,
            Place::Unknown => sums.unknown += 1,
        });
        if let Some(hour) = self.hours.iter_mut().rev().find(|h| h.hour == minute / 60) {
            hour.bits[(hash >> 6) as usize % 16] |= 1 << (hash % 64);
        }
        if self.recent.is_empty() {
            self.level = 0;
        }
        if (hash >> 32).trailing_zeros() >= self.level {
            self.recent.push_back((minute, hash));
            if self.recent.len() > RECENT_MAX {
                self.level += 1;
                let level = self.level;
                self.recent.retain(|(_, hash)| (hash >> 32).trailing_zeros() >= level);
            }
        }
    }

    /// A recipient of a message of this minute, who was booked already, was handed to a server.
    pub fn took(&mut self, minute: u32, by: By) {
        for settled in self.takers.get_or_insert_default().took(minute, by) {
            let told = if settled.abroad { [settled.count, 0] } else { [0, settled.count] };
            self.change(settled.minute, |sums| sums.tell(told));
        }
    }

    /// Something happened to a message of this minute.
    pub fn change(&mut self, minute: u32, how: impl Fn(&mut Counters)) {
        match self.minutes.back_mut() {
            Some(newest) if newest.minute == minute => how(&mut newest.sums), // nearly always
            _ => {
                if let Ok(at) = self.minutes.binary_search_by_key(&minute, |m| m.minute) {
                    how(&mut self.minutes[at].sums);
                }
            }
        }
        if let Some(hour) = self.hours.iter_mut().rev().find(|h| h.hour == minute / 60) {
            how(&mut hour.sums);
        }
    }

    /// Whether nothing of the past day is left.
    pub fn is_idle(&self, now: Moment) -> bool {
        self.newest + HOURS * 60 < minute(now)
    }

    /// The newest message's minute.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Messages of the hour before `now`; cheap, to pass over the many quiet accounts.
    pub fn last_hour(&self, now: Moment) -> Counters {
        let mut sums = Counters::default();
        let after = minute(now).saturating_sub(60);
        self.minutes.iter().rev().take_while(|m| m.minute > after).for_each(|m| sums.add(&m.sums));
        sums
    }

    /// Sums of whole hours of the past day and an estimate of its different recipients (within 3 % up to 1,000).
    pub fn last_day(&self, now: Moment) -> (Counters, u32) {
        let (mut sums, mut bits) = (Counters::default(), [0u64; 16]);
        let after = (minute(now) / 60).saturating_sub(24);
        for hour in self.hours.iter().filter(|h| h.hour > after) {
            sums.add(&hour.sums);
            bits.iter_mut().zip(hour.bits).for_each(|(all, one)| *all |= one);
        }
        let free = bits.iter().map(|b| b.count_zeros()).sum::<u32>().max(1);
        (sums, (1024.0 * (1024.0 / f64::from(free)).ln()).round() as u32)
    }

    /// Messages of one whole hour since 1970.
    pub fn of_hour(&self, hour: u32) -> u32 {
        self.hours.iter().find(|h| h.hour == hour).map_or(0, |h| h.sums.messages)
    }

    /// Messages of one whole hour that were not held.
    pub fn unheld_in(&self, hour: u32) -> u64 {
        let found = self.hours.iter().find(|h| h.hour == hour);
        found.map_or(0, |h| u64::from(h.sums.messages.saturating_sub(h.sums.held)))
    }

    /// Messages since a moment that were not held: by minutes for the last hour, by hours before that.
    pub fn unheld_since(&self, since: Moment, now: Moment) -> u64 {
        let free = |sums: &Counters| u64::from(sums.messages.saturating_sub(sums.held));
        if minute(now).saturating_sub(minute(since)) < MINUTES {
            return self.minutes.iter().filter(|m| m.minute > minute(since)).map(|m| free(&m.sums)).sum();
        }
        self.hours.iter().filter(|h| h.hour >= minute(since) / 60).map(|h| free(&h.sums)).sum()
    }

    /// The messages handed over in the 60 minutes before `now`, or after the minute of `since` if that is later.
    /// None when there are none.
    pub fn facts(&self, now: Moment, since: Option<Moment>) -> Option<Facts> {
        let until = minute(now);
        let after = until.saturating_sub(60).max(since.map_or(0, minute));
        let inside = |m: u32| m > after && m <= until;
        let minutes: Vec<&Minute> = self.minutes.iter().filter(|m| inside(m.minute) && m.sums.messages > 0).collect();
        let (first, last) = (minutes.first()?, minutes.last()?);
        let mut sums = Counters::default();
        minutes.iter().for_each(|m| sums.add(&m.sums));
        if let Some(takers) = &self.takers {
            sums.tell(takers.said(inside));
        }
        let (peak, at) = busiest(&minutes);
        let in_stretch = |n: &VecDeque<(u32, u32)>| n.iter().filter(|(m, _)| inside(*m)).map(|(_, c)| c).sum::<u32>();
        let domains = self.domains.iter().map(|d| (d.name.clone(), in_stretch(&d.minutes))).filter(|d| d.1 > 0);
        let scripts = self.scripts.iter().map(|s| (in_stretch(&s.minutes), &s.name));
        let script = scripts.max().filter(|(n, _)| u64::from(*n) * 5 >= u64::from(sums.messages) * 4);
        Some(Facts {
            sums,
            peak,
            spread: self.spread(&inside),
            senders: self.senders.iter().filter(|s| in_stretch(&s.minutes) > 0).count() as u32,
            domains: domains.collect(),
            script: script.map(|(_, name)| name.clone()),
            pairs: self.pairs.named(after),
            networks: self.places.networks(inside),
            since: burst_start(&minutes, at, peak.messages),
            from: first.first,
            to: last.last,
        })
    }

    fn spread(&self, inside: &impl Fn(u32) -> bool) -> Spread {
        let mut by_hash: HashMap<u64, u32> = HashMap::new();
        for (_, hash) in self.recent.iter().filter(|(m, _)| inside(*m)) {
            *by_hash.entry(*hash).or_default() += 1;
        }
        let scale = |n: usize| u32::try_from(n << self.level).unwrap_or(u32::MAX);
        Spread {
            seen: scale(by_hash.values().sum::<u32>() as usize),
            distinct: scale(by_hash.len()),
            top: by_hash.values().copied().max().unwrap_or(0),
        }
    }

    fn book(&mut self, now: u32, at: Moment, how: impl Fn(&mut Counters)) {
        if now + MINUTES < self.newest {
            return;
        }
        match self.minutes.binary_search_by_key(&now, |m| m.minute) {
            Ok(found) => {
                let minute = &mut self.minutes[found];
                (minute.first, minute.last) = (minute.first.min(at), minute.last.max(at));
            }
            Err(place) => {
                self.minutes.insert(place, Minute { minute: now, first: at, last: at, sums: Counters::default() });
            }
        }
        if let Err(place) = self.hours.binary_search_by_key(&(now / 60), |h| h.hour) {
            self.hours.insert(place, Hour { hour: now / 60, sums: Counters::default(), bits: [0; 16] });
        }
        self.change(now, how);
    }

    /// Drops what is older than the windows.
    fn forget(&mut self, now: u32) {
        let old = now.saturating_sub(MINUTES);
        while self.minutes.front().is_some_and(|m| m.minute < old) {
            self.minutes.pop_front();
        }
        while self.hours.front().is_some_and(|h| h.hour + HOURS < now / 60) {
            self.hours.pop_front();
        }
        // Nearly sorted: a late delivery stands behind younger ones and goes a little later.
        while self.recent.front().is_some_and(|(m, _)| *m < old) {
            self.recent.pop_front();
        }
        self.places.forget(old);
        if let Some(takers) = &mut self.takers {
            takers.forget(old);
        }
        forget_names(&mut self.senders, old);
        forget_names(&mut self.domains, old);
        forget_names(&mut self.scripts, old);
    }
}

/// Counts one more message under a name. When all places are taken the new one shares the last.
fn count<T>(names: &mut Vec<Named<T>>, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T, minute: u32) {
    let at = match names.iter().position(|n| same(&n.name)) {
        Some(at) => at,
        None if names.len() < NAMES_MAX => {
            names.push(Named { name: make(), minutes: VecDeque::new() });
            names.len() - 1
        }
        None => NAMES_MAX - 1,
    };
    let minutes = &mut names[at].minutes;
    if let Some((_, count)) = minutes.back_mut().filter(|(newest, _)| *newest == minute) {
        *count += 1;
        return;
    }
    match minutes.binary_search_by_key(&minute, |(m, _)| *m) {
        Ok(at) => minutes[at].1 += 1,
        Err(at) => minutes.insert(at, (minute, 1)),
    }
}

fn forget_names<T>(names: &mut Vec<Named<T>>, old: u32) {
    for name in names.iter_mut() {
        while name.minutes.front().is_some_and(|(m, _)| *m < old) {
            name.minutes.pop_front();
        }
    }
    names.retain(|n| !n.minutes.is_empty());
}

/// The busiest five minutes in a row by messages, and the minute in which they end.
fn busiest(minutes: &[&Minute]) -> (Counters, usize) {
    let mut best = (Counters::default(), 0);
    let mut from = 0;
    for (to, last) in minutes.iter().enumerate() {
        while minutes[from].minute + 5 <= last.minute {
            from += 1;
        }
        let mut sums = Counters::default();
        minutes[from..=to].iter().for_each(|m| sums.add(&m.sums));
        if (sums.messages, sums.recipients) > (best.0.messages, best.0.recipients) {
            best = (sums, to);
        }
    }
    best
}

/// Back from the peak while it goes on without a pause of five minutes at a tenth of the peak's pace or more.
fn burst_start(minutes: &[&Minute], peak: usize, messages: u32) -> Moment {
    let least = (messages / 50).max(1);
    let mut start = minutes[peak];
    for earlier in minutes[..peak].iter().rev() {
        if start.first - earlier.last > Span::minutes(5) || earlier.sums.messages < least {
            break;
        }
        start = earlier;
    }
    start.first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_whole_and_sum_to_a_hundred() {
        for (abroad, domestic, unknown) in
            [(1, 1, 1), (2, 1, 0), (0, 0, 7), (999, 1, 0), (1, 2, 4), (5, 5, 5), (7, 11, 13)]
        {
            let sums = Counters { abroad, domestic, unknown, ..Counters::default() };
            assert_eq!(sums.percents().iter().sum::<u32>(), 100, "{sums:?}");
        }
        assert_eq!(Counters::default().percents(), [0; 3]);
        assert_eq!(Counters { abroad: 2, domestic: 1, ..Counters::default() }.percents(), [67, 33, 0]);
    }

    #[test]
    fn a_day_of_mail_needs_little_memory_and_old_minutes_go() {
        let mut window = Window::default();
        for i in 0..200_000u32 {
            let at = Moment::from_secs(1_000_000_000 + i64::from(i));
            window.message(at, false, u64::from(i), &format!("d{i}.example"));
            let hash = (u64::from(i)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            window.recipient(minute(at), hash, Place::Unknown);
        }
        assert!(window.minutes.len() <= MINUTES as usize + 1 && window.hours.len() <= HOURS as usize + 1);
        assert!(window.recent.len() <= RECENT_MAX && window.senders.len() <= NAMES_MAX);
        let now = Moment::from_secs(1_000_000_000 + 199_999);
        let facts = window.facts(now, None).unwrap();
        assert!((3540..=3600).contains(&facts.sums.messages), "{:?}", facts.sums);
        let distinct = f64::from(facts.spread.distinct);
        assert!((distinct / f64::from(facts.sums.messages) - 1.0).abs() < 0.1, "{distinct}");
    }

    #[test]
    fn a_day_counts_a_recipient_once() {
        let mut window = Window::default();
        for i in 0..3000u32 {
            let at = Moment::from_secs(1_000_000_000 + i64::from(i) * 20);
            window.message(at, false, 0, "");
            let hash = model::Hash::of(&(i % 300).to_le_bytes()).low64();
            window.recipient(minute(at), hash, Place::Unknown);
        }
        let (sums, distinct) = window.last_day(Moment::from_secs(1_000_000_000 + 60_000));
        assert_eq!(sums.messages, 3000);
        assert!((285..=315).contains(&distinct), "{distinct}");
    }
}
