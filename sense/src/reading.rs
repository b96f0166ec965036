//! What came out of reading one input: findings about accounts, what nobody may be blamed for, and attacks from outside.

use std::net::IpAddr;

use model::order::Finding;
use model::{Evidence, Kind, Strength};

/// A finding that no account may be blamed for: the uid is shared and the paths do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unattributed {
    /// The mechanism.
    pub kind: Kind,
    /// Further ones.
    pub also: Vec<Kind>,
    /// What it says.
    pub strength: Strength,
    /// The uid.
    pub uid: u32,
    /// The facts.
    pub evidence: Evidence,
}

/// Somebody outside tries what did not work, or asks for too much: nobody's account is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// The mechanism.
    pub kind: Kind,
    /// From [`Strength::Suspicious`] on its sources may be slowed down.
    pub strength: Strength,
    /// Where it comes from, at most 64, never the node's own addresses or its proxies.
    pub sources: Vec<IpAddr>,
    /// The facts.
    pub evidence: Evidence,
}

/// The result of one input.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// About accounts, by account and site.
    pub findings: Vec<Finding>,
    /// About uids that several accounts share.
    pub unattributed: Vec<Unattributed>,
    /// About the node as a whole.
    pub attacks: Vec<Attack>,
    /// Lines read.
    pub lines: u64,
    /// Lines of the kind that this reader is for and that it did not understand.
    pub dropped: u64,
    /// What could not be seen, each with the next step.
    pub blind: Vec<String>,
}

impl Reading {
    /// Adds what another input said.
    pub fn join(&mut self, other: Reading) {
        self.findings.extend(other.findings);
        self.unattributed.extend(other.unattributed);
        self.attacks.extend(other.attacks);
        self.lines += other.lines;
        self.dropped += other.dropped;
        self.blind.extend(other.blind);
    }
}

/// Tells when a reader understands far less of its log than it used to: the format changed, or somebody floods it.
#[derive(Clone, Debug)]
pub struct Understood {
    lines: u64,
    good: u64,
    /// Share that is usual, and from how many windows that is known.
    usual: f64,
    windows: u32,
    fallen: Option<f64>,
}

/// Lines that are looked at together.
const WINDOW: u64 = 500;
/// Windows after which what is usual is known.
const WINDOWS_MIN: u32 = 4;

impl Understood {
    /// For a log of which nearly every line is this reader's own.
    pub fn of_own_log() -> Understood {
        Understood { usual: 1.0, windows: WINDOWS_MIN, ..Understood::of_shared_log() }
    }

    /// For a log in which others write too: what is usual is learnt first.
    pub fn of_shared_log() -> Understood {
        Understood { lines: 0, good: 0, usual: 0.0, windows: 0, fallen: None }
    }

    /// Takes the sums so far, which only grow: all lines, and those that were understood. A sentence with the next
    /// step while the share is less than half of the usual one.
    pub fn note(&mut self, lines: u64, good: u64) -> Option<String> {
        let (more, well) = (lines.saturating_sub(self.lines), good.saturating_sub(self.good));
        if more >= WINDOW {
            (self.lines, self.good) = (lines, good);
            let share = well as f64 / more as f64;
            let known = self.windows >= WINDOWS_MIN;
            self.fallen = (known && share < self.usual / 2.0).then_some(share);
            if self.fallen.is_none() {
                // What is usual moves slowly, so that a creeping change is seen too.
                let weight = if known { 0.02 } else { 1.0 / f64::from(self.windows + 1) };
                self.usual += (share - self.usual) * weight;
                self.windows += 1;
            }
        }
        let percent = |share: f64| (share * 100.0).round() as u32;
        self.fallen.map(|share| {
            format!(
                "{} % of the last lines are understood, {} % is usual; look whether the format of the log changed",
                percent(share),
                percent(self.usual)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_understands_less_than_it_used_to_says_so_until_it_is_over() {
        let mut shared = Understood::of_shared_log();
        let (mut lines, mut good) = (0, 0);
        let mut feed = |understood: &mut Understood, share: u64, times: u64| {
            let mut said = None;
            for _ in 0..times {
                (lines, good) = (lines + WINDOW, good + WINDOW * share / 100);
                said = understood.note(lines, good);
            }
            said
        };
        assert_eq!(feed(&mut shared, 60, 10), None, "others write into it too");
        assert_eq!(feed(&mut shared, 35, 1), None, "a busy hour of others");
        let said = feed(&mut shared, 5, 3).unwrap();
        assert!(said.contains("5 % of the last lines") && said.contains("% is usual"), "{said}");
        assert_eq!(feed(&mut shared, 60, 1), None, "it is over");
        // A log that nobody understands is no usual state, and the naive twin, which learns from it, calls it one.
        assert!(Understood::of_own_log().note(WINDOW, 0).is_some());
        assert!(Understood::of_shared_log().note(WINDOW, 0).is_none());
        assert!(Understood::of_own_log().note(WINDOW - 1, 0).is_none(), "too few to tell");
    }
}
