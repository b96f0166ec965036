//! What is usual for an account: messages an hour, by hour of the day and over all.
//!
//! Learned once an hour from whole hours that this process saw from beginning to end, so that reading lines again
//! after a restart teaches nothing twice. Hours of a burst teach nothing at all.

use std::collections::{HashMap, HashSet};

use model::packet::Baseline;
use model::{AccountName, Moment};

use super::line::minute;

/// Name of the metric over all hours; the hour of the day follows after a dot (`mails_per_hour.09`).
pub const METRIC: &str = "mails_per_hour";
/// Samples after which a new one weighs no less than one in so many: about a week of hours, a month of days.
const MEMORY: [u64; 2] = [168, 30];
/// Samples before a row is believed: a day of hours, a few days of one hour.
const BELIEVED: [u64; 2] = [24, 4];
/// Place of the row over all hours.
const ALL: u8 = 24;

/// What an account usually sends in an hour, messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Mean.
    pub mean: f64,
    /// Mean absolute deviation.
    pub deviation: f64,
}

impl Usual {
    /// Whether so many messages in an hour are out of the ordinary: more than twice the mean and four deviations,
    /// and ten more, so that an account with next to no mail may write to ten people.
    pub fn is_exceeded_by(&self, messages: u32) -> bool {
        f64::from(messages) > self.mean * 2.0 + self.deviation * 4.0 + 10.0
    }
}

/// Rows of all accounts.
pub struct Past {
    rows: HashMap<(AccountName, u8), Row>,
    /// First whole hour since 1970 that is not learned yet.
    next: u32,
    changed: HashSet<(AccountName, u8)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    mean: f64,
    deviation: f64,
    samples: u64,
}

impl Past {
    /// Nothing known; the first hour that begins after `began` is the first to learn from.
    pub fn new(began: Moment) -> Past {
        Past { rows: HashMap::new(), next: minute(began) / 60 + 1, changed: HashSet::new() }
    }

    /// Takes a row that was stored; rows of other metrics are passed over.
    pub fn know(&mut self, row: &Baseline) {
        let Some(rest) = row.metric.strip_prefix(METRIC) else { return };
        let hour = match rest.strip_prefix('.').map(str::parse) {
            None if rest.is_empty() => ALL,
            Some(Ok(hour)) if hour < ALL => hour,
            _ => return,
        };
        let sound = |x: f64| if x.is_finite() { x.max(0.0) } else { 0.0 };
        let known = Row { mean: sound(row.mean), deviation: sound(row.deviation), samples: row.samples };
        self.rows.insert((row.account.clone(), hour), known);
    }

    /// What is usual at this hour of the day (0 to 23); none while too little is known. The more generous row
    /// counts: a newsletter at nine on Mondays is usual at nine.
    pub fn usual(&self, account: &AccountName, hour: u8) -> Option<Usual> {
        let believed = |hour: u8, least: u64| {
            let row = self.rows.get(&(account.clone(), hour)).filter(|r| r.samples >= least)?;
            Some(Usual { mean: row.mean, deviation: row.deviation })
        };
        let rows = [believed(ALL, BELIEVED[0]), believed(hour, BELIEVED[1])];
        rows.into_iter()
            .flatten()
            .max_by(|a, b| (a.mean * 2.0 + a.deviation * 4.0).total_cmp(&(b.mean * 2.0 + b.deviation * 4.0)))
    }

    /// The whole hours that ended before `now` and are not learned yet, at most a day of them.
    pub fn due(&mut self, now: Moment) -> std::ops::Range<u32> {
        let end = minute(now) / 60;
        let from = self.next.max(end.saturating_sub(24)).min(end);
        self.next = self.next.max(end);
        from..end
    }

    /// Learns one whole hour of an account; `hour` of the day, 0 to 23. An account that never sent is left out.
    pub fn learn(&mut self, account: &AccountName, hour: u8, messages: u32) {
        for (row, memory) in [(ALL, MEMORY[0]), (hour, MEMORY[1])] {
            let key = (account.clone(), row);
            if messages == 0 && !self.rows.contains_key(&(account.clone(), ALL)) {
                continue;
            }
            let known = self.rows.entry(key.clone()).or_default();
            let weight = 1.0 / (known.samples + 1).min(memory) as f64;
            let apart = f64::from(messages) - known.mean;
            known.mean += apart * weight;
            known.deviation += (apart.abs() - known.deviation) * weight;
            known.samples += 1;
            self.changed.insert(key);
        }
    }

    /// Accounts of which something is known.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountName> {
        self.rows.keys().filter(|(_, hour)| *hour == ALL).map(|(name, _)| name)
    }

    /// Rows that changed since the last call, to be stored.
    pub fn take_changed(&mut self) -> Vec<Baseline> {
        let mut changed: Vec<_> = self.changed.drain().collect();
        changed.sort();
        let row = |(account, hour): (AccountName, u8)| {
            let row = self.rows.get(&(account.clone(), hour))?;
            let metric = if hour == ALL { METRIC.to_owned() } else { format!("{METRIC}.{hour:02}") };
            let Row { mean, deviation, samples } = *row;
            Some(Baseline { account, metric, mean, deviation, samples })
        };
        changed.into_iter().filter_map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_survives_storing() {
        let name: AccountName = "hk1".parse().unwrap();
        let mut past = Past::new(Moment::EPOCH);
        for day in 0..10 {
            for hour in 0..24 {
                past.learn(&name, hour, if hour == 9 { 400 + day } else { 2 });
            }
        }
        let mut again = Past::new(Moment::EPOCH);
        past.take_changed().iter().for_each(|row| again.know(row));
        for hour in 0..24 {
            assert_eq!(again.usual(&name, hour), past.usual(&name, hour));
        }
        assert!(!past.usual(&name, 9).unwrap().is_exceeded_by(500));
        assert!(past.usual(&name, 3).unwrap().is_exceeded_by(500));
        assert!(past.take_changed().is_empty());
    }

    #[test]
    fn each_hour_is_learned_once_and_never_the_one_we_began_in() {
        let mut past = Past::new(Moment::from_secs(3600 * 100 + 5));
        assert_eq!(past.due(Moment::from_secs(3600 * 101 + 1)).count(), 0);
        assert_eq!(past.due(Moment::from_secs(3600 * 103)), 101..103);
        assert_eq!(past.due(Moment::from_secs(3600 * 103 + 9)).count(), 0);
        assert_eq!(past.due(Moment::from_secs(3600 * 50)).count(), 0, "a clock that jumps back");
    }

    #[test]
    fn foreign_and_broken_rows_are_passed_over() {
        let mut past = Past::new(Moment::EPOCH);
        for metric in ["cpu_percent", "mails_per_hour.24", "mails_per_hour.x", "mails_per_hourly"] {
            let account = "hk1".parse().unwrap();
            past.know(&Baseline { account, metric: metric.into(), mean: 1.0, deviation: 1.0, samples: 999 });
        }
        assert_eq!(past.usual(&"hk1".parse().unwrap(), 0), None);
    }
}
