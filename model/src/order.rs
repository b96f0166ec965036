//! Orders and what came of them: Intents go out, Outcomes come back, both are Inputs of the next step.

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::inventory::Site;
use crate::moment::Moment;
use crate::name::{AccountRef, Domain, FilePath, Hash, NoticeId, Number, RestrictionId};
use crate::notice::{Delivery, NoticeKind};
use crate::restriction::{Measure, Restriction};
use crate::signal::{Kind, Signal};
use crate::verification::Checked;

/// The place of the ordering event in the log: unique, growing; an actuator refuses one that is older than
/// what it already did for the same restriction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub u64);

impl std::fmt::Display for IntentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An order to somebody outside of the core. Nothing leaves before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its place in the log.
    pub id: IntentId,
    /// The account it concerns.
    pub account: AccountRef,
    /// What is to be done.
    pub order: Order,
}

/// What is to be done, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// `act` changes the node.
    Act(Verb),
    /// `sense` or `desk` looks again.
    Look(Look),
    /// `desk` tells the owner.
    Tell {
        /// Which notice.
        notice: NoticeId,
        /// What it says.
        kind: NoticeKind,
    },
    /// `desk` calls the operator.
    Page {
        /// The incident.
        incident: Number,
        /// Why, by the name of the rule.
        rule: String,
    },
}

/// What `act` can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// Impose this restriction.
    Impose {
        /// The restriction.
        restriction: Restriction,
        /// Whether a person ordered it (then the budget of unattended acts does not count it).
        by_person: bool,
    },
    /// Lift it again; what it changed comes back exactly.
    Lift {
        /// Which one.
        restriction: RestrictionId,
        /// What it limited.
        measure: Measure,
        /// Do not give back what was caught: frozen processes are ended, files stay set aside, the cron line stays
        /// off. Anything else comes back exactly.
        for_good: bool,
    },
    /// Let the owner's browser pass closed sites for a limited time.
    OpenPass {
        /// The sites.
        sites: Vec<Domain>,
        /// Row of the pass itself: `tok:` and 32 hexadecimal digits, or `ip:` and an address.
        pass: Hash,
        /// When it ends by itself.
        until: Moment,
    },
}

impl Verb {
    /// Whether a person ordered a restriction.
    pub fn by_person(&self) -> bool {
        matches!(self, Verb::Impose { by_person: true, .. })
    }
}

/// What `sense` and `desk` can look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// `sense`: check the account against the facts of this incident.
    Rescan {
        /// The incident that is verified.
        incident: Number,
        /// Since when the restriction holds.
        since: Moment,
        /// The restrictions in force: frozen processes are left out of the process check, their files looked for.
        restrictions: Vec<Restriction>,
        /// Evidence rows whose program and script paths must be gone (the bodies travel with the packet).
        captured: Vec<Hash>,
    },
    /// `sense`: keep evidence of how the account looks now (frozen processes, crontab, mail log lines).
    Capture {
        /// The restriction that just came into force.
        restriction: RestrictionId,
        /// Its measure.
        measure: Measure,
    },
    /// `desk`: see from outside whether a site answers as it should.
    Probe {
        /// The restriction whose effect is tested.
        restriction: RestrictionId,
        /// The sites.
        sites: Vec<Domain>,
        /// One path of theirs; absent: the first page.
        #[serde(default)]
        path: Option<FilePath>,
        /// True: 403 with our number is right. False: anything that is not our page is right.
        closed: bool,
    },
}

/// What was observed after an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The order that it answers.
    pub intent: IntentId,
    /// What was seen.
    pub seen: Seen,
}

/// The observation itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// `act` did it and its own test held.
    Done {
        /// What was seen, short, for the operator (`cgroup frozen, 2 processes`).
        what: String,
    },
    /// `act`, `sense` or `desk` could not.
    Failed(Failure),
    /// A probe came back.
    Probed {
        /// True when every site answered as it should.
        right: bool,
        /// One word a site: `blog.example.jp 403`.
        what: String,
    },
    /// A rescan came back.
    Rescanned(Vec<Checked>),
    /// A capture was stored under this hash.
    Captured(Hash),
    /// A notice's text was written and stored; it has not left yet.
    Written,
    /// A notice is on its way, arrived, or will not.
    Told(Delivery),
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// A guard said no: system uid, foreign process, own process, outside of reach.
    Guard(String),
    /// The budget of unattended acts is used up.
    Budget(String),
    /// What was to be limited is no longer there.
    Gone(String),
    /// It was done, but the test from outside shows no effect; it was taken back.
    NoEffect(String),
    /// Anything else, with cause and next step.
    Error(String),
}

/// A text alone is an [`Failure::Error`].
impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Error(why)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Guard(why) => write!(f, "refused by a guard: {why}"),
            Failure::Budget(why) => write!(f, "budget used up: {why}"),
            Failure::Gone(why) => write!(f, "no longer there: {why}"),
            Failure::NoEffect(why) => write!(f, "no effect seen: {why}"),
            Failure::Error(why) => f.write_str(why),
        }
    }
}

/// Everything that the engine can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Something odd was seen.
    Signal(Signal),
    /// An order was carried out, or was not.
    Outcome(Outcome),
    /// The owner said or wants something; `incident` is the number he quoted, if any.
    Owner {
        /// The number in his message, open or closed, or none.
        quoted: Option<Number>,
        /// What he wants.
        what: Owner,
    },
    /// A person of the host's staff decided something.
    Operator {
        /// Who, for the record.
        by: String,
        /// What.
        what: Operator,
    },
    /// Time passed.
    Tick,
    /// The account's sites as they are now.
    Inventory(Vec<Site>),
    /// Its uid belongs to another account now: what limits the uid must not limit the stranger.
    Replaced,
}

/// What an owner can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// "Done": please check.
    Done,
    /// A question; its text is the row of this hash.
    Question(Hash),
    /// "Review": a person shall look.
    Object(Hash),
    /// "Cannot": help is needed.
    Cannot,
    /// "It was me."
    ItWasMe,
    /// Send the notice again.
    Resend,
    /// Let my browser pass; row of the pass.
    Pass(Hash),
}

/// What an operator can order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// Do what was proposed in advise mode.
    Confirm(Number),
    /// Impose this measure by hand.
    Impose {
        /// What.
        measure: Measure,
        /// Why, for the record and the notice.
        reason: String,
    },
    /// Lift one restriction by hand.
    Lift {
        /// Which one.
        restriction: RestrictionId,
        /// Why.
        reason: String,
    },
    /// Take everything back as it was, the last first: also what a release left set aside. No apology, no allowance
    /// beyond a day: the operator wants the state from before, for whatever reason.
    Undo {
        /// Which incident.
        incident: Number,
        /// Only these; empty: all.
        only: Vec<RestrictionId>,
        /// Why.
        reason: String,
    },
    /// End all restrictions of the incident without waiting for stages.
    Release {
        /// Which incident.
        incident: Number,
        /// Why.
        reason: String,
    },
    /// A false alarm: undo everything, apologise, never again for the same finding.
    Dismiss {
        /// Which incident.
        incident: Number,
        /// What it really was, for the notice.
        truth: String,
    },
    /// Keep the restrictions after an objection; the reason goes to the owner.
    Uphold {
        /// Which incident.
        incident: Number,
        /// Why.
        reason: String,
    },
    /// Never alarm for this finding until then.
    Allow {
        /// The mechanism; `None` for any.
        kind: Option<Kind>,
        /// The finding's fingerprint.
        finding: Hash,
        /// Why.
        reason: String,
        /// End of the permission.
        until: Moment,
    },
}

/// A signal and its evidence, as a sense hands them over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The signal.
    pub signal: Signal,
    /// Its facts; `signal.evidence` is the hash of their JSON.
    pub evidence: Evidence,
}
