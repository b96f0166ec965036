//! The rules that an operator may set, as one plain value whose hash stands beside every decision.

use model::{Hash, Mode, Span};
use serde::{Deserialize, Serialize};

/// What may be done, how fast, and how long. The binary parses it from `hikeshi.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How far Hikeshi may go by itself.
    pub mode: Mode,
    /// Wait in each stage of a release, when nothing happens.
    pub stage: Span,
    /// How long a closed incident is watched.
    pub watch: Span,
    /// Until when a person answers an objection.
    pub answer_within: Span,
    /// How long an owner's browser may pass a closed site.
    pub pass: Span,
    /// Verifications that an owner can ask for in 24 hours.
    pub checks_per_day: u16,
    /// Without a signal and without a restriction for so long, an incident ends by itself.
    pub quiet: Span,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            mode: Mode::Observe,
            stage: Span::minutes(10),
            watch: Span::days(42),
            answer_within: Span::hours(4),
            pass: Span::hours(1),
            checks_per_day: 5,
            quiet: Span::hours(24),
        }
    }
}

impl Policy {
    /// Names this policy in events: equal values, equal hash. Fields in order, each as fixed bytes.
    pub fn hash(&self) -> Hash {
        let mode = [self.mode as u8];
        let spans = [self.stage, self.watch, self.answer_within, self.pass, self.quiet].map(|s| s.0.to_le_bytes());
        let checks = self.checks_per_day.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![b"policy 1", &mode, &checks];
        parts.extend(spans.iter().map(<[u8; 8]>::as_slice));
        Hash::of_parts(&parts)
    }
}
