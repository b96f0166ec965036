//! Requests per second of an account's sites, from access logs: tells a traffic peak from abuse beside load.
//!
//! Reads the site and the time of a line and nothing else; no address and no URL is kept. A line of a site that
//! nobody owns is counted and belongs to nobody. Where no log is configured there is no number, never a zero.

use std::collections::{HashMap, VecDeque};

use model::{AccountEntry, Moment};

use super::format::Format;
use super::request::Clock;

/// Length of one count, seconds.
pub const STEP_SECS: i64 = 10;
/// Counts kept: ten minutes.
const STEPS: u32 = 60;
/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All lines.
    pub lines: u64,
    /// Lines not in the log's format.
    pub dropped: u64,
    /// Lines of a site that nobody owns.
    pub unknown_site: u64,
}

/// Counts requests by account and ten seconds.
#[derive(Debug, Default)]
pub struct Requests {
    sites: HashMap<String, u32>,
    steps: HashMap<u32, VecDeque<(i64, u32)>>,
    counts: Counts,
    newest: Option<i64>,
    clock: Clock,
}

impl Requests {
    /// The accounts as they are now.
    pub fn set_accounts(&mut self, entries: &[AccountEntry]) {
        self.sites.clear();
        for entry in entries {
            for name in entry.sites.iter().flat_map(|s| std::iter::once(&s.domain).chain(&s.aliases)) {
                self.sites.insert(name.as_str().to_owned(), entry.account.uid);
            }
        }
    }

    fn of(&self, site: &[u8]) -> Option<u32> {
        let name = std::str::from_utf8(site).ok()?;
        self.sites.get(name).or_else(|| self.sites.get(&name.to_ascii_lowercase())).copied()
    }

    /// Counts one line, read at `now`. `owner` is the account whose log this is, when it is one site's own; it
    /// goes before what the line says.
    pub fn line(&mut self, line: &[u8], format: &Format, owner: Option<u32>, now: Moment) {
        self.counts.lines += 1;
        let Some(request) = format.read(line, &mut self.clock) else {
            self.counts.dropped += 1;
            return;
        };
        let at = request.at;
        let Some(uid) = owner.or_else(|| self.of(request.site)) else {
            self.counts.unknown_site += 1;
            return;
        };
        let step = at.min(now).secs().div_euclid(STEP_SECS);
        let latest = now.secs().div_euclid(STEP_SECS);
        self.newest = self.newest.max(Some(latest));
        let oldest = latest - i64::from(STEPS);
        if step <= oldest {
            return; // an old log that is read again says nothing about now
        }
        let steps = self.steps.entry(uid).or_default();
        while steps.front().is_some_and(|(s, _)| *s <= oldest) {
            steps.pop_front();
        }
        match steps.binary_search_by_key(&step, |(s, _)| *s) {
            Ok(at) => steps[at].1 = steps[at].1.saturating_add(1),
            Err(at) => steps.insert(at, (step, 1)),
        }
    }

    /// Mean requests per second of an account over the last `steps` whole steps (at least 1, at most
    /// 59); none before any line was read, because then nobody knows.
    pub fn per_second(&self, uid: u32, steps: u32, now: Moment) -> Option<f64> {
        self.newest?;
        let latest = now.secs().div_euclid(STEP_SECS);
        let steps = i64::from(steps.clamp(1, STEPS - 1));
        let inside = |step: i64| step < latest && step >= latest - steps;
        let counted = self.steps.get(&uid).into_iter().flatten().filter(|(s, _)| inside(*s)).map(|(_, n)| *n);
        Some(counted.map(f64::from).sum::<f64>() / (steps * STEP_SECS) as f64)
    }

    /// Forgets accounts without requests in the kept time; called now and then.
    pub fn forget(&mut self, now: Moment) {
        let oldest = now.secs().div_euclid(STEP_SECS) - i64::from(STEPS);
        self.steps.retain(|_, steps| steps.back().is_some_and(|(s, _)| *s > oldest));
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
