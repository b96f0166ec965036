//! Events: what happened, as facts of one account, in order, for ever. Some carry an order.
//!
//! Closed list, format version in each row of the store, no personal data: people, letters and evidence are
//! named by hash (see [`crate::evidence`]).

use serde::{Deserialize, Serialize};

use crate::inventory::Site;
use crate::moment::Moment;
use crate::name::{AccountRef, Domain, Hash, NoticeId, Number, RestrictionId};
use crate::notice::{Delivery, NoticeKind};
use crate::order::{Failure, Intent, IntentId, Look, Order, Verb};
use crate::restriction::{Measure, Restriction};
use crate::signal::{Kind, Signal};
use crate::verification::Checked;

/// The hash of the policy under which something was decided.
pub type PolicyHash = Hash;

/// How far Hikeshi may go by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Says what it would do.
    Observe,
    /// Waits for `incident confirm`.
    Advise,
    /// Acts.
    Enforce,
}

/// What kind of trouble an incident is about; an account has at most one open incident of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Somebody else runs programs or sends mail with this account.
    Intrusion,
    /// The account uses more than its share, and nothing says that somebody else does it.
    Load,
}

/// Steps of a release, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Frozen programs are ended; only the owner can see closed sites.
    Owner,
    /// Sites answer everybody.
    Public,
    /// Outgoing mail goes again.
    Mail,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// To whom.
    pub account: AccountRef,
    /// What.
    pub fact: Fact,
}

/// The closed list of facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A trouble got its number.
    IncidentOpened {
        /// Its number.
        incident: Number,
        /// What it is about.
        trouble: Trouble,
        /// The released incident that it may be a relapse of.
        relapse_of: Option<Number>,
        /// Mode and policy under which it was opened.
        mode: Mode,
        /// Hash of the policy.
        policy: PolicyHash,
    },
    /// A signal belongs to it.
    SignalJoined {
        /// The incident.
        incident: Number,
        /// The signal.
        signal: Signal,
    },
    /// A signal was known and did nothing: dismissed or allowed before.
    SignalIgnored {
        /// Its fingerprint.
        finding: Hash,
        /// Its mechanism.
        kind: Kind,
    },
    /// This would be done (observe), or waits for a person (advise), or stops nothing (ask, page).
    RestrictionProposed {
        /// What.
        restriction: Restriction,
    },
    /// Order to `act`.
    RestrictionOrdered {
        /// What.
        restriction: Restriction,
        /// Whether a person ordered it.
        by_person: bool,
    },
    /// It holds, as seen from outside.
    RestrictionImposed {
        /// Which one.
        id: RestrictionId,
        /// What was seen.
        seen: String,
    },
    /// It does not hold.
    RestrictionFailed {
        /// Which one.
        id: RestrictionId,
        /// Why.
        why: Failure,
    },
    /// Order to `act` to take it back.
    LiftOrdered {
        /// Which one.
        id: RestrictionId,
        /// What it limited.
        measure: Measure,
        /// Frozen processes are ended, not thawed.
        for_good: bool,
    },
    /// It is gone, as seen from outside.
    RestrictionLifted {
        /// Which one.
        id: RestrictionId,
        /// What was seen.
        seen: String,
    },
    /// Order to `act` to let the owner's browser pass.
    PassOrdered {
        /// The incident.
        incident: Number,
        /// The sites.
        sites: Vec<Domain>,
        /// Row of the pass.
        pass: Hash,
        /// Its end.
        until: Moment,
    },
    /// The pass is open, or why not.
    PassSeen {
        /// The incident.
        incident: Number,
        /// True when it is open.
        open: bool,
    },
    /// Order to look.
    LookOrdered {
        /// The incident.
        incident: Number,
        /// What at.
        look: Look,
    },
    /// What a look saw, when nothing else says it.
    LookSeen {
        /// The incident.
        incident: Number,
        /// The order.
        intent: IntentId,
        /// The capture's row, when one was made.
        captured: Option<Hash>,
    },
    /// The operator was called, or could not be.
    OperatorCalled {
        /// The incident.
        incident: Number,
        /// What became of the call.
        delivery: Delivery,
    },
    /// The owner said "done".
    OwnerDone {
        /// The incident.
        incident: Number,
    },
    /// The owner said "cannot": a person is needed.
    OwnerCannot {
        /// The incident.
        incident: Number,
    },
    /// Everything that can be checked is clean.
    VerificationPassed {
        /// The incident.
        incident: Number,
        /// The facts.
        checked: Vec<Checked>,
    },
    /// Something is still there.
    VerificationFailed {
        /// The incident.
        incident: Number,
        /// The facts.
        checked: Vec<Checked>,
    },
    /// The release reached this step, forwards or back.
    StageEntered {
        /// The incident.
        incident: Number,
        /// The step.
        stage: Stage,
    },
    /// Order to tell the owner.
    NoticeOrdered {
        /// Which notice.
        notice: NoticeId,
        /// What it says.
        kind: NoticeKind,
    },
    /// Its text is written and stored.
    NoticeWritten {
        /// Which notice.
        notice: NoticeId,
    },
    /// What became of it.
    NoticeSeen {
        /// Which notice.
        notice: NoticeId,
        /// What became of it.
        delivery: Delivery,
    },
    /// A question was bound to an incident by machine.
    QuestionBound {
        /// The open incident.
        incident: Number,
        /// The question's row.
        question: Hash,
        /// The closed one that the owner spoke of.
        quoted: Option<Number>,
    },
    /// A question came while no incident is open: nothing of ours stands in the way.
    QuestionUnbound {
        /// The question's row.
        question: Hash,
        /// The closed one that the owner spoke of.
        quoted: Option<Number>,
    },
    /// The owner asks a person to look ("review", "it was me").
    ObjectionRaised {
        /// The incident.
        incident: Number,
        /// His words, if any.
        text: Option<Hash>,
        /// Until when a person answers.
        answer_by: Moment,
    },
    /// A person decided on it and keeps the restrictions.
    ObjectionDecided {
        /// The incident.
        incident: Number,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An operator took a step; the reason stays with it.
    OperatorActed {
        /// The incident, when there is one.
        incident: Option<Number>,
        /// Who.
        by: String,
        /// Which order, by its name.
        order: String,
        /// Why.
        reason: String,
    },
    /// This finding is permitted until then.
    FindingAllowed {
        /// Its fingerprint.
        finding: Hash,
        /// Why.
        reason: String,
        /// Until when.
        until: Moment,
    },
    /// Fully released; watched from now.
    IncidentClosed {
        /// The incident.
        incident: Number,
        /// End of the watch.
        watch_until: Moment,
        /// True when a verification carried it, false when a person ordered it or it ended by itself.
        verified: bool,
    },
    /// A false alarm: nothing of it counts, none of its findings alarms again.
    IncidentDismissed {
        /// The incident.
        incident: Number,
        /// Who said so.
        by: String,
        /// What it really was.
        truth: String,
    },
    /// The watch ended without a relapse.
    WatchEnded {
        /// The incident.
        incident: Number,
    },
    /// The account's sites changed.
    SitesSeen {
        /// As they are now.
        sites: Vec<Site>,
    },
    /// A sight that belongs to nothing any more (late answer, repeated answer).
    OutcomeStale {
        /// The order it answers.
        intent: IntentId,
    },
}

impl Event {
    /// The order that this event carries, if it does; `id` is the event's place in the log.
    pub fn intent(&self, id: IntentId) -> Option<Intent> {
        let order = match &self.fact {
            Fact::RestrictionOrdered { restriction, by_person } => {
                Order::Act(Verb::Impose { restriction: restriction.clone(), by_person: *by_person })
            }
            Fact::LiftOrdered { id, measure, for_good } => {
                Order::Act(Verb::Lift { restriction: *id, measure: measure.clone(), for_good: *for_good })
            }
            Fact::PassOrdered { sites, pass, until, .. } => {
                Order::Act(Verb::OpenPass { sites: sites.clone(), pass: *pass, until: *until })
            }
            Fact::LookOrdered { look, .. } => Order::Look(look.clone()),
            Fact::RestrictionProposed { restriction } if restriction.measure == Measure::PageOperator => {
                Order::Page { incident: restriction.id.incident, rule: restriction.why.rule.clone() }
            }
            Fact::NoticeOrdered { notice, kind } => Order::Tell { notice: *notice, kind: kind.clone() },
            _ => return None,
        };
        Some(Intent { id, account: self.account.clone(), order })
    }

    /// The incident that this event belongs to.
    pub fn incident(&self) -> Option<Number> {
        use Fact::*;
        match &self.fact {
            IncidentOpened { incident, .. }
            | SignalJoined { incident, .. }
            | PassOrdered { incident, .. }
            | PassSeen { incident, .. }
            | LookOrdered { incident, .. }
            | LookSeen { incident, .. }
            | OperatorCalled { incident, .. }
            | OwnerDone { incident }
            | OwnerCannot { incident }
            | VerificationPassed { incident, .. }
            | VerificationFailed { incident, .. }
            | StageEntered { incident, .. }
            | QuestionBound { incident, .. }
            | ObjectionRaised { incident, .. }
            | ObjectionDecided { incident, .. }
            | IncidentClosed { incident, .. }
            | IncidentDismissed { incident, .. }
            | WatchEnded { incident } => Some(*incident),
            RestrictionProposed { restriction } | RestrictionOrdered { restriction, .. } => {
                Some(restriction.id.incident)
            }
            RestrictionImposed { id, .. }
            | RestrictionFailed { id, .. }
            | LiftOrdered { id, .. }
            | RestrictionLifted { id, .. } => Some(id.incident),
            NoticeOrdered { notice, .. } | NoticeWritten { notice } | NoticeSeen { notice, .. } => {
                Some(notice.incident)
            }
            OperatorActed { incident, .. } => *incident,
            SignalIgnored { .. }
            | QuestionUnbound { .. }
            | FindingAllowed { .. }
            | SitesSeen { .. }
            | OutcomeStale { .. } => None,
        }
    }
}
