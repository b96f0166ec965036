//! The time by which the roles decide: the system's, or that of a demo or story, told by a file.
//!
//! A story's clock is a file of three numbers: story time, real time (both microseconds since 1970) and how many
//! story microseconds pass in a real one; 0 stands still. Whoever plays the story replaces the file; all roles
//! see it at once. `serve` on a server never has one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use model::{Moment, Span};

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clock.
    System,
    /// The clock file of a demo or story.
    File(PathBuf),
}

/// One reading of a clock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Story time at `real`.
    pub story: Moment,
    /// Real time when the story showed `story`.
    pub real: Moment,
    /// Story time that passes in one unit of real time; 0 stands still.
    pub factor: i64,
}

impl Pace {
    /// The story time of a real moment.
    pub fn at(self, real: Moment) -> Moment {
        self.story + Span((real - self.real).0.saturating_mul(self.factor))
    }

    /// Replaces the clock file in one step.
    pub fn write(self, path: &Path) -> std::io::Result<()> {
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, format!("{} {} {}\n", self.story.0, self.real.0, self.factor))?;
        std::fs::rename(fresh, path)
    }

    fn read(path: &Path) -> Option<Pace> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut numbers = text.split_whitespace().map(|n| n.parse::<i64>());
        let mut next = || numbers.next()?.ok();
        Some(Pace { story: Moment(next()?), real: Moment(next()?), factor: next()? })
    }
}

impl Clock {
    /// From the hidden `--clock FILE` of a role.
    pub fn from_argument(file: Option<PathBuf>) -> Clock {
        file.map_or(Clock::System, Clock::File)
    }

    /// Now, in the time by which decisions are made.
    pub fn now(&self) -> Moment {
        self.of(system_now())
    }

    /// The decision time of a real moment (a process start, a file time).
    pub fn of(&self, real: Moment) -> Moment {
        match self {
            Clock::System => real,
            Clock::File(path) => Pace::read(path).map_or(real, |pace| pace.at(real)),
        }
    }

    /// True when a story tells the time.
    pub fn is_told(&self) -> bool {
        matches!(self, Clock::File(_))
    }
}

/// Notices that the wall clock was set: it is held against one that nobody can set.
///
/// After a step of more than [`Steady::STEP`] timed releases wait for one full stage more: a clock that jumps a
/// year ahead must not open an account whose last stage began a minute ago.
pub struct Steady {
    wall: Moment,
    steady: Instant,
}

impl Steady {
    /// Smaller steps are what time synchronisation does.
    pub const STEP: Span = Span::minutes(5);

    /// From now on.
    pub fn begin(wall: Moment) -> Steady {
        Steady { wall, steady: Instant::now() }
    }

    /// How far the wall clock was set since the last call, if it was: the time that really passed does not count.
    pub fn step(&mut self, wall: Moment, steady: Instant) -> Option<Span> {
        let passed = Span(i64::try_from(steady.duration_since(self.steady).as_micros()).unwrap_or(i64::MAX));
        let step = Span((wall - self.wall).0.saturating_sub(passed.0));
        (self.wall, self.steady) = (wall, steady);
        (step.0.saturating_abs() > Steady::STEP.0).then_some(step)
    }
}

/// The system's time.
pub fn system_now() -> Moment {
    Moment(sys::clock::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_and_one_that_drifts_is_not() {
        let (wall, steady) = (Moment::from_secs(1_000_000), Instant::now());
        let after = |secs: u64| steady + std::time::Duration::from_secs(secs);
        let mut clock = Steady { wall, steady };
        assert_eq!(clock.step(wall + Span::secs(10), after(10)), None);
        assert_eq!(clock.step(wall + Span::secs(23), after(20)), None);
        assert_eq!(clock.step(wall + Span::days(365), after(30)), Some(Span::days(365) - Span::secs(33)));
        assert_eq!(clock.step(wall - Span::days(1), after(40)), Some(Span::ZERO - Span::days(366) - Span::secs(10)));
        assert_eq!(clock.step(wall - Span::days(1) + Span::secs(5), after(45)), None);
    }

    #[test]
    fn a_told_clock_runs_at_its_pace_and_can_jump() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        let clock = Clock::from_argument(Some(file.clone()));
        let real = Moment::from_secs(1_000);
        Pace { story: Moment::from_secs(50_000), real, factor: 120 }.write(&file).unwrap();
        assert_eq!(clock.of(real + Span::secs(5)), Moment::from_secs(50_600));
        Pace { story: Moment::from_secs(90_000), real, factor: 0 }.write(&file).unwrap();
        assert_eq!(clock.of(real + Span::days(1)), Moment::from_secs(90_000));
    }
}
