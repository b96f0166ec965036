//! An account as its events tell it: the fold that `step` decides upon.

use std::collections::BTreeMap;

use model::{
    AccountRef, Event, Fact, Hash, IntentId, Look, Measure, Moment, NoticeId, Number, RestrictionId, Site, Trouble,
};

use crate::incident::{Given, Incident, NoticeState, Status};

/// Ended incidents that are kept beside the open and watched ones; older ones stay in the log alone.
const ENDED_MAX: usize = 32;

/// An order whose outcome has not been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// `act` imposes it.
    Impose(RestrictionId),
    /// `act` lifts it.
    Lift(RestrictionId),
    /// `act` opens a pass.
    Pass(Number),
    /// `sense` rescans for this incident.
    Rescan(Number),
    /// `sense` captures frozen processes.
    Capture(RestrictionId),
    /// `desk` probes; true: the site shall be closed.
    Probe(RestrictionId, bool),
    /// `desk` tells.
    Tell(NoticeId),
    /// `desk` calls the operator.
    Page(Number),
}

/// The fold of one account's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub account: AccountRef,
    /// Incidents, oldest first.
    pub incidents: Vec<Incident>,
    /// Its sites as last seen.
    pub sites: Vec<Site>,
    /// Findings of dismissed incidents: they never alarm again.
    pub dismissed: Vec<Hash>,
    /// Findings that an operator allowed, and until when.
    pub allowed: BTreeMap<Hash, Moment>,
    /// Known findings that were ignored, and when that was last noted.
    pub ignored: BTreeMap<Hash, Moment>,
    /// Orders under way.
    pub waiting: BTreeMap<IntentId, Waiting>,
    /// How many incidents the node opened on this day; handed in by the caller before each step, because
    /// numbers are unique on the node and an account knows only itself.
    pub serial: u16,
}

impl Account {
    /// An account about which nothing is known yet.
    pub fn new(account: AccountRef) -> Account {
        Account {
            account,
            incidents: Vec::new(),
            sites: Vec::new(),
            dismissed: Vec::new(),
            allowed: BTreeMap::new(),
            ignored: BTreeMap::new(),
            waiting: BTreeMap::new(),
            serial: 0,
        }
    }

    /// The incident of this number.
    pub fn incident(&self, number: Number) -> Option<&Incident> {
        self.incidents.iter().find(|i| i.number == number)
    }

    /// The open incident of this trouble; there is at most one.
    pub fn open(&self, trouble: Trouble) -> Option<&Incident> {
        self.incidents.iter().find(|i| i.is_open() && i.trouble == trouble)
    }

    /// All open incidents, oldest first.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|i| i.is_open())
    }

    /// Whether time alone may change something (an open incident, or one that is watched).
    pub fn needs_ticks(&self) -> bool {
        self.incidents.iter().any(|i| i.is_open() || i.watch_until.is_some())
    }

    /// Whether time alone may change something now: a watch does so only at its end.
    pub fn is_due(&self, now: Moment) -> bool {
        self.incidents.iter().any(|i| i.is_open() || i.watch_until.is_some_and(|until| until <= now))
    }

    fn incident_mut(&mut self, number: Number) -> Option<&mut Incident> {
        self.incidents.iter_mut().find(|i| i.number == number)
    }

    fn given_mut(&mut self, id: RestrictionId) -> Option<&mut Given> {
        self.incident_mut(id.incident)?.restrictions.iter_mut().find(|g| g.restriction.id == id)
    }

    fn set(&mut self, id: RestrictionId, status: Status) {
        if let Some(given) = self.given_mut(id) {
            given.status = status;
        }
    }

    fn answered(&mut self, matches: impl Fn(&Waiting) -> bool) {
        self.waiting.retain(|_, w| !matches(w));
    }

    /// Takes one stored event in; `id` is its place in the log.
    pub fn apply(&mut self, id: IntentId, event: &Event) {
        let at = event.at;
        match &event.fact {
            Fact::IncidentOpened { incident, trouble, relapse_of, mode, .. } => {
                self.incidents.push(Incident::new(*incident, *trouble, at, *mode, *relapse_of));
                self.forget_old();
            }
            Fact::SignalJoined { incident, signal } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.join(signal.clone());
                }
            }
            Fact::SignalIgnored { finding, .. } => {
                self.ignored.insert(*finding, at);
            }
            Fact::RestrictionProposed { restriction } => {
                if restriction.measure == Measure::PageOperator {
                    self.waiting.insert(id, Waiting::Page(restriction.id.incident));
                }
                if let Some(i) = self.incident_mut(restriction.id.incident) {
                    let status = Status::Proposed;
                    i.restrictions.push(Given {
                        restriction: restriction.clone(),
                        status,
                        intent: None,
                        untold: false,
                        kept: false,
                    });
                }
            }
            Fact::RestrictionOrdered { restriction, .. } => {
                self.waiting.insert(id, Waiting::Impose(restriction.id));
                if let Some(i) = self.incident_mut(restriction.id.incident) {
                    i.restrictions.retain(|g| g.restriction.id != restriction.id);
                    let status = Status::Ordered;
                    i.restrictions.push(Given {
                        restriction: restriction.clone(),
                        status,
                        intent: Some(id),
                        untold: false,
                        kept: false,
                    });
                    i.stage = None; // trouble during a release: what was reached no longer counts
                }
            }
            Fact::RestrictionImposed { id, .. } => {
                self.answered(|w| matches!(w, Waiting::Impose(r) | Waiting::Probe(r, true) if r == id));
                self.set(*id, Status::Imposed(at));
            }
            Fact::RestrictionFailed { id, why } => {
                self.answered(|w| matches!(w, Waiting::Impose(r) | Waiting::Probe(r, true) if r == id));
                self.set(*id, Status::Failed(why.clone()));
            }
            Fact::LiftOrdered { id: restriction, for_good, .. } => {
                if let Some(given) = self.given_mut(*restriction) {
                    given.kept = *for_good;
                }
                self.answered(|w| matches!(w, Waiting::Lift(r) if r == restriction));
                self.waiting.insert(id, Waiting::Lift(*restriction));
                if !matches!(self.given_mut(*restriction).map(|g| &g.status), Some(Status::Failed(_))) {
                    self.set(*restriction, Status::Lifting);
                }
            }
            Fact::RestrictionLifted { id, .. } => {
                self.answered(|w| matches!(w, Waiting::Lift(r) | Waiting::Probe(r, false) if r == id));
                if !matches!(self.given_mut(*id).map(|g| &g.status), Some(Status::Failed(_))) {
                    self.set(*id, Status::Lifted(at));
                }
            }
            Fact::PassOrdered { incident, .. } => {
                self.waiting.insert(id, Waiting::Pass(*incident));
            }
            Fact::PassSeen { incident, .. } => self.answered(|w| matches!(w, Waiting::Pass(n) if n == incident)),
            Fact::LookOrdered { incident, look } => {
                let waiting = match look {
                    Look::Rescan { .. } => {
                        if let Some(i) = self.incident_mut(*incident) {
                            i.verifying = true;
                        }
                        Waiting::Rescan(*incident)
                    }
                    Look::Capture { restriction, .. } => Waiting::Capture(*restriction),
                    Look::Probe { restriction, closed, .. } => {
                        // act did its part: what is awaited now is the sight from outside.
                        self.answered(|w| match w {
                            Waiting::Impose(r) => *closed && r == restriction,
                            Waiting::Lift(r) => !*closed && r == restriction,
                            _ => false,
                        });
                        Waiting::Probe(*restriction, *closed)
                    }
                };
                self.waiting.insert(id, waiting);
            }
            Fact::LookSeen { incident, intent, captured } => {
                let rescan = matches!(self.waiting.remove(intent), Some(Waiting::Rescan(_)));
                if let Some(i) = self.incident_mut(*incident) {
                    i.captured.extend(captured);
                    i.verifying &= !rescan;
                }
            }
            Fact::OwnerDone { incident } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.done.retain(|then| at - *then < model::Span::days(1));
                    i.done.push(at);
                }
            }
            Fact::VerificationPassed { incident, checked } => {
                self.verified(*incident, true, checked);
                if let Some(i) = self.incident_mut(*incident) {
                    i.settled = Some(at);
                }
            }
            Fact::VerificationFailed { incident, checked } => self.verified(*incident, false, checked),
            Fact::StageEntered { incident, stage } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.stage = Some((*stage, at));
                }
            }
            Fact::NoticeOrdered { notice, kind } => {
                self.waiting.insert(id, Waiting::Tell(*notice));
                if let Some(i) = self.incident_mut(notice.incident) {
                    i.notices.push(NoticeState {
                        id: *notice,
                        kind: kind.clone(),
                        ordered: at,
                        written: false,
                        delivery: None,
                    });
                }
            }
            Fact::NoticeWritten { notice } => {
                if let Some(i) = self.incident_mut(notice.incident) {
                    for given in i.restrictions.iter_mut().filter(|g| g.status == Status::Ordered) {
                        given.untold = true;
                    }
                    if let Some(n) = i.notices.iter_mut().find(|n| n.id == *notice) {
                        n.written = true;
                    }
                }
            }
            Fact::NoticeSeen { notice, delivery } => {
                if !matches!(delivery, model::Delivery::Waiting { .. }) {
                    self.answered(|w| matches!(w, Waiting::Tell(n) if n == notice));
                }
                if let Some(i) = self.incident_mut(notice.incident)
                    && let Some(n) = i.notices.iter_mut().find(|n| n.id == *notice)
                {
                    n.delivery = Some(delivery.clone());
                }
            }
            Fact::ObjectionRaised { incident, answer_by, .. } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.objection = Some(*answer_by);
                    i.objected = i.signals.iter().map(|s| s.fingerprint).collect();
                }
            }
            Fact::ObjectionDecided { incident, .. } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.objection = None;
                }
            }
            Fact::FindingAllowed { finding, until, .. } => {
                self.allowed.insert(*finding, *until);
            }
            Fact::IncidentClosed { incident, watch_until, verified } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.closed = Some(at);
                    i.stage = None;
                    i.verified = *verified;
                    // One that never restricted anybody is not watched: its watch would end as it begins.
                    i.watch_until = Some(*watch_until).filter(|until| *until > at);
                    i.objection = None;
                }
            }
            Fact::IncidentDismissed { incident, truth, .. } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.dismissed = true;
                    i.truth = Some(truth.clone());
                    i.stage = None;
                    i.verifying = false;
                    i.closed = Some(at);
                    i.objection = None;
                    let findings: Vec<Hash> = i.signals.iter().map(|s| s.fingerprint).collect();
                    self.dismissed.extend(findings);
                }
            }
            Fact::WatchEnded { incident } => {
                if let Some(i) = self.incident_mut(*incident) {
                    i.watch_until = None;
                }
            }
            Fact::SitesSeen { sites } => self.sites = sites.clone(),
            Fact::OutcomeStale { intent } => {
                self.waiting.remove(intent);
            }
            Fact::OperatorCalled { incident, delivery } => {
                if !matches!(delivery, model::Delivery::Waiting { .. }) {
                    self.answered(|w| matches!(w, Waiting::Page(n) if n == incident));
                }
            }
            Fact::OwnerCannot { .. }
            | Fact::QuestionBound { .. }
            | Fact::QuestionUnbound { .. }
            | Fact::OperatorActed { .. } => {}
        }
    }

    fn verified(&mut self, number: Number, passed: bool, checked: &[model::Checked]) {
        self.answered(|w| matches!(w, Waiting::Rescan(n) if *n == number));
        if let Some(i) = self.incident_mut(number) {
            i.verifying = false;
            i.verification = Some((passed, checked.to_vec()));
        }
    }

    /// Ended incidents beyond the bound go, oldest first; open and watched ones stay.
    fn forget_old(&mut self) {
        while self.incidents.len() > ENDED_MAX {
            match self.incidents.iter().position(|i| !i.is_open() && i.watch_until.is_none()) {
                Some(oldest) => drop(self.incidents.remove(oldest)),
                None => return,
            }
        }
    }
}
