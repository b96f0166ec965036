//! Measures and restrictions: what is limited, how far, why, and until when.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::name::{Domain, Hash, QueueId, RestrictionId};

/// One process beyond doubt: a pid alone is reused, so start time, uid and program are checked again before
/// anything is done to it (proc(5), `/proc/pid/stat` field 22).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process id.
    pub pid: u32,
    /// Start time, clock ticks since boot.
    pub start_ticks: u64,
    /// Real uid.
    pub uid: u32,
    /// Device of the program file.
    pub exe_dev: u64,
    /// Inode of the program file.
    pub exe_ino: u64,
}

/// Why a whole account had to be closed; without one of these it never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wide {
    /// Three or more sites are hit.
    ManySites,
    /// The harm runs as the uid, came back although it was stopped, and cannot be bound to sites.
    NotBoundToSites,
    /// An operator ordered it.
    Ordered,
}

/// What is limited, least harm first (the ladder of the design, as far as this build can carry it out).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// A question to the owner; nothing is stopped.
    AskOwner,
    /// The operator is called; nothing is stopped.
    PageOperator,
    /// All sendmail mail of the uid goes to the hold queue; these ids are already waiting.
    HoldMail {
        /// Messages of this uid that were in the queue when it was decided.
        queued: Vec<QueueId>,
    },
    /// These processes stand still; guards come first.
    FreezeProcess {
        /// At most 256.
        processes: Vec<ProcessRef>,
    },
    /// One site answers 403.
    CloseSite {
        /// Which site.
        site: Domain,
    },
    /// All sites of the account answer 403.
    CloseAccount {
        /// The sites at the time of the decision.
        sites: Vec<Domain>,
        /// The stated reason.
        wide: Wide,
    },
}

impl Measure {
    /// Place on the ladder; smaller is milder.
    pub fn rung(&self) -> u8 {
        match self {
            Measure::AskOwner => 0,
            Measure::PageOperator => 1,
            Measure::HoldMail { .. } => 2,
            Measure::FreezeProcess { .. } => 3,
            Measure::CloseSite { .. } => 4,
            Measure::CloseAccount { .. } => 5,
        }
    }

    /// The verb's name in the design, on the command line and in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Measure::AskOwner => "ask-owner",
            Measure::PageOperator => "page-operator",
            Measure::HoldMail { .. } => "hold-mail",
            Measure::FreezeProcess { .. } => "freeze-process",
            Measure::CloseSite { .. } => "close-site",
            Measure::CloseAccount { .. } => "close-account",
        }
    }

    /// Whether anything is stopped at all.
    pub fn restricts(&self) -> bool {
        !matches!(self, Measure::AskOwner | Measure::PageOperator)
    }
}

/// Why a restriction was chosen: the rule and the fingerprints of the signals that carried it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Name of the rule in `engine`, such as `process-conclusive`.
    pub rule: String,
    /// The findings that carried it.
    pub findings: Vec<Hash>,
}

/// One limit of an incident, smallest useful scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Which one.
    pub id: RestrictionId,
    /// What is limited.
    pub measure: Measure,
    /// When it was decided.
    pub since: Moment,
    /// Why.
    pub why: Why,
}
