//! What the judge remembers between sweeps: programs that end and come back within seconds.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use model::{Moment, Span};

use super::table::Process;

/// A program that comes back later than this was started by something ordinary.
const BACK_WITHIN: Span = Span::secs(60);
/// Returns that make a loop.
const RETURNS: u32 = 3;
/// Returns are forgotten after this time without one.
const FORGET: Span = Span::minutes(15);
/// Most programs remembered; the ones seen longest ago go first.
const PROGRAMS_MAX: usize = 8192;

/// Which programs of tenants were seen, and how often each came back.
#[derive(Clone, Debug, Default)]
pub struct Memory(HashMap<u64, Program>);

#[derive(Clone, Debug)]
struct Program {
    /// Newest instance: start in ticks, pid.
    newest: (u64, u32),
    seen: Moment,
    returns: u32,
}

impl Memory {
    /// Notes that this process runs now and says whether its program came back three times or more, each time within
    /// a minute. The same program under another pid while the old one runs on is a second copy, not a return: the
    /// caller passes `alone` = no other process runs the same.
    pub fn note(&mut self, process: &Process, alone: bool, now: Moment) -> bool {
        let key = key(process);
        let instance = (process.start_ticks, process.pid);
        let program = self.0.entry(key).or_insert(Program { newest: instance, seen: now, returns: 0 });
        if now - program.seen > FORGET {
            program.returns = 0;
        }
        if instance > program.newest {
            if alone && process.start - program.seen <= BACK_WITHIN {
                program.returns += 1;
            }
            program.newest = instance;
        }
        program.seen = now;
        program.returns >= RETURNS
    }

    /// Forgets what was not seen for long.
    pub fn settle(&mut self, now: Moment) {
        self.0.retain(|_, program| now - program.seen <= FORGET);
        if self.0.len() > PROGRAMS_MAX {
            let mut seen: Vec<Moment> = self.0.values().map(|program| program.seen).collect();
            seen.sort_unstable();
            let oldest_kept = seen[seen.len() - PROGRAMS_MAX];
            self.0.retain(|_, program| program.seen > oldest_kept);
        }
    }
}

/// Program and arguments of one uid. Not kept and not compared with anybody else's: a quick hash is enough.
pub fn key(process: &Process) -> u64 {
    let mut hasher = DefaultHasher::new();
    (process.uid, &process.exe, &process.argv).hash(&mut hasher);
    hasher.finish()
}
