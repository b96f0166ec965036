//! The time by which the roles decide: the system's, or that of a demo or story, told by a file.
//!
//! A story's clock is a file of three numbers: story time, real time (both microseconds since 1970) and how many
//! story microseconds pass in a real one; 0 stands still. Whoever plays the story replaces the file; all roles
//! see it at once. `serve` on a server never has one.

use std::path::{Path, PathBuf};

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

/// The system's time.
pub fn system_now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

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
