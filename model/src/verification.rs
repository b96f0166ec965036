//! Verification: a list of facts, each with how it was checked, or why it could not be.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// One thing that a verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// No suspicious process of the account is running (frozen ones of this incident aside).
    Processes,
    /// What was captured is gone: the program files of frozen processes are no longer where they were.
    CapturedGone,
    /// No mass mail since the restriction.
    Mail,
    /// No line of the crontab is suspicious (switched-off ones aside).
    Cron,
    /// Nobody drives a planted script since the restriction.
    Requests,
    /// No unfamiliar login since the restriction.
    Logins,
    /// Load at or below what is usual for the account.
    Load,
    /// Planted files (no scanner in this build: never seen, always said).
    Files,
    /// Passwords and keys newer than the restriction (cannot be seen: the owner's word).
    Passwords,
    /// The way in closed (cannot be seen in this build: the owner's word).
    Entry,
}

/// What came out of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing found; `count` things were looked at.
    Clean {
        /// How many processes, messages or files were looked at.
        count: u64,
    },
    /// Still there; `place` is printable and says where (no personal data: program and file names only).
    Found {
        /// Where, for the owner.
        place: String,
    },
    /// Not checked by machine; the owner's word stands for it.
    OnYourWord,
    /// Not checked, and why in a fixed key (`no_scanner`, `no_log`, `no_rights`, `no_baseline`).
    NotChecked {
        /// The reason key.
        why: String,
    },
}

/// One line of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What was looked at.
    pub check: Check,
    /// When.
    pub at: Moment,
    /// What came out.
    pub verdict: Verdict,
}

impl Checked {
    /// Whether this line stands in the way of a release.
    pub fn blocks(&self) -> bool {
        matches!(self.verdict, Verdict::Found { .. })
    }
}
