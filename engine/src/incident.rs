//! One incident, folded from its events: signals, restrictions, notices, and the state that follows from them.

use model::{
    Checked, Delivery, Failure, Hash, IntentId, Mode, Moment, NoticeId, NoticeKind, Number, Restriction, RestrictionId,
    Signal, Stage, Strength, Trouble,
};

/// Most signals that one incident keeps; a further one replaces what says least.
pub const SIGNALS_MAX: usize = 64;

/// What people are told about where an incident stands. Follows from the rest; never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Looked into; nothing is stopped (yet).
    Open,
    /// Something is stopped; the notice is on its way.
    Contained,
    /// The owner was told; it is his turn.
    AwaitingOwner,
    /// A verification runs.
    Verifying,
    /// Restrictions are lifted step by step.
    Releasing(Stage),
    /// Ended.
    Closed,
    /// It was our false alarm.
    Dismissed,
}

/// Where one restriction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Would be done, or stops nothing.
    Proposed,
    /// Ordered; not yet seen.
    Ordered,
    /// In force, as seen from outside.
    Imposed(Moment),
    /// Did not come into force.
    Failed(Failure),
    /// Ordered to be lifted; still in force until seen.
    Lifting,
    /// Gone, as seen from outside.
    Lifted(Moment),
}

/// A restriction and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The restriction.
    pub restriction: Restriction,
    /// Where it stands.
    pub status: Status,
    /// The order that imposed it: to order the same again is to do it once.
    pub intent: Option<IntentId>,
    /// A letter was written while this was still unseen, so it does not tell of it.
    pub untold: bool,
    /// Its newest lift does not give back what was caught.
    pub kept: bool,
}

impl Given {
    /// Whether it limits the owner now or will in a moment.
    pub fn in_force(&self) -> bool {
        matches!(self.status, Status::Ordered | Status::Imposed(_) | Status::Lifting)
    }
}

/// A notice and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeState {
    /// Which one.
    pub id: NoticeId,
    /// What it says.
    pub kind: NoticeKind,
    /// When it was ordered.
    pub ordered: Moment,
    /// Its text is written and stored: what is added later needs a letter of its own.
    pub written: bool,
    /// What is known of it.
    pub delivery: Option<Delivery>,
}

/// Everything about one trouble of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its number.
    pub number: Number,
    /// What it is about.
    pub trouble: Trouble,
    /// When it was opened.
    pub opened: Moment,
    /// Mode when it was opened.
    pub mode: Mode,
    /// The released incident that it may be a relapse of.
    pub relapse_of: Option<Number>,
    /// The latest signal of each finding.
    pub signals: Vec<Signal>,
    /// When the last signal came.
    pub last_signal: Moment,
    /// All restrictions, by ordinal.
    pub restrictions: Vec<Given>,
    /// All notices, by ordinal.
    pub notices: Vec<NoticeState>,
    /// Facts of the last verification, and whether it passed.
    pub verification: Option<(bool, Vec<Checked>)>,
    /// When a verification passed last: what was seen before is settled.
    pub settled: Option<Moment>,
    /// True while a rescan is under way.
    pub verifying: bool,
    /// When the owner said "done" (last 24 hours count).
    pub done: Vec<Moment>,
    /// Step of the release and since when.
    pub stage: Option<(Stage, Moment)>,
    /// An open objection: until when a person answers.
    pub objection: Option<Moment>,
    /// Findings known when the objection was raised: no further measure for them while it is open.
    pub objected: Vec<Hash>,
    /// Captured evidence.
    pub captured: Vec<Hash>,
    /// When it ended.
    pub closed: Option<Moment>,
    /// End of its watch.
    pub watch_until: Option<Moment>,
    /// Whether a verification carried the release.
    pub verified: bool,
    /// Whether it was a false alarm.
    pub dismissed: bool,
    /// What a dismissed one really was, in an operator's words.
    pub truth: Option<String>,
}

impl Incident {
    /// A new one without signals.
    pub fn new(number: Number, trouble: Trouble, opened: Moment, mode: Mode, relapse_of: Option<Number>) -> Incident {
        Incident {
            number,
            trouble,
            opened,
            mode,
            relapse_of,
            signals: Vec::new(),
            last_signal: opened,
            restrictions: Vec::new(),
            notices: Vec::new(),
            verification: None,
            settled: None,
            verifying: false,
            done: Vec::new(),
            stage: None,
            objection: None,
            objected: Vec::new(),
            captured: Vec::new(),
            closed: None,
            watch_until: None,
            verified: false,
            dismissed: false,
            truth: None,
        }
    }

    /// Neither closed nor dismissed.
    pub fn is_open(&self) -> bool {
        self.closed.is_none() && !self.dismissed
    }

    /// Restrictions that limit the owner now or will in a moment.
    pub fn in_force(&self) -> impl Iterator<Item = &Given> {
        self.restrictions.iter().filter(|g| g.in_force())
    }

    /// Where it stands, for people.
    pub fn state(&self) -> State {
        if self.dismissed {
            return State::Dismissed;
        }
        if self.closed.is_some() {
            return State::Closed;
        }
        if let Some((stage, _)) = self.stage {
            return State::Releasing(stage);
        }
        if self.verifying {
            return State::Verifying;
        }
        match (self.in_force().next(), self.notices.iter().any(|n| n.delivery.is_some())) {
            (None, _) => State::Open,
            (Some(_), false) => State::Contained,
            (Some(_), true) => State::AwaitingOwner,
        }
    }

    /// The restriction of this id.
    pub fn given(&self, id: RestrictionId) -> Option<&Given> {
        self.restrictions.iter().find(|g| g.restriction.id == id)
    }

    /// The id that the next restriction gets.
    pub fn next_restriction(&self) -> RestrictionId {
        let last = self.restrictions.iter().map(|g| g.restriction.id.ordinal).max().unwrap_or(0);
        RestrictionId { incident: self.number, ordinal: last + 1 }
    }

    /// The id that the next notice gets.
    pub fn next_notice(&self) -> NoticeId {
        let last = self.notices.iter().map(|n| n.id.ordinal).max().unwrap_or(0);
        NoticeId { incident: self.number, ordinal: last + 1 }
    }

    /// Whether the owner was ever told that something was stopped.
    pub fn owner_was_told(&self) -> bool {
        let about =
            |k: &NoticeKind| matches!(k, NoticeKind::Restricted | NoticeKind::Relapse { .. } | NoticeKind::Added);
        self.notices.iter().any(|n| about(&n.kind) && n.delivery != Some(Delivery::Withdrawn))
    }

    /// The signal that says least: the oldest of the weakest, never the only strong one of its class, so that a flood
    /// of findings of one class does not wash away the proof of another.
    fn least(&self) -> usize {
        let strong = |s: &&Signal| s.strength > Strength::Hint;
        let alone = |at: usize| {
            let class = self.signals[at].class();
            strong(&&self.signals[at]) && self.signals.iter().filter(strong).filter(|s| s.class() == class).count() == 1
        };
        let all = || 0..self.signals.len();
        all().filter(|at| !alone(*at)).min_by_key(|at| self.signals[*at].strength).unwrap_or(0)
    }

    /// Keeps a signal: the latest one of each finding, at most [`SIGNALS_MAX`] findings.
    pub fn join(&mut self, signal: Signal) {
        self.last_signal = self.last_signal.max(signal.at);
        self.signals.retain(|s| s.fingerprint != signal.fingerprint);
        if self.signals.len() == SIGNALS_MAX {
            self.signals.remove(self.least());
        }
        self.signals.push(signal);
    }
}
