//! What a person of the host can order, each with a name and a reason that stay in the log.

use model::{Fact, Measure, NoticeKind, Number, Operator, Restriction, RestrictionId, Span, Trouble, Why};

use crate::draft::Draft;
use crate::incident::{Given, Status};
use crate::weigh;

/// After a person lifted a restriction, the same findings impose nothing for so long.
const SPARED: Span = Span::days(1);

pub fn obey(draft: &mut Draft, by: &str, what: Operator) {
    match what {
        Operator::Confirm(number) => confirm(draft, by, number),
        Operator::Impose { measure, reason } => impose(draft, by, measure, &reason),
        Operator::Lift { restriction, reason } => lift(draft, by, restriction, &reason),
        Operator::Undo { incident, only, reason } => undo(draft, by, incident, &only, &reason),
        Operator::Release { incident, reason } => release(draft, by, incident, &reason),
        Operator::Dismiss { incident, truth } => dismiss(draft, by, incident, &truth),
        Operator::Uphold { incident, reason } => {
            if draft.incident(incident).is_some_and(|i| i.objection.is_some()) {
                draft.emit(Fact::ObjectionDecided { incident, by: by.to_owned(), reason });
            }
        }
        Operator::Allow { finding, reason, until, .. } => {
            acted(draft, by, None, "allow", &reason);
            draft.emit(Fact::FindingAllowed { finding, reason, until });
        }
    }
}

fn acted(draft: &mut Draft, by: &str, incident: Option<Number>, order: &str, reason: &str) {
    let (by, order, reason) = (by.to_owned(), order.to_owned(), reason.to_owned());
    draft.emit(Fact::OperatorActed { incident, by, order, reason });
}

/// Does what was proposed: the proposals keep their ids and become orders.
fn confirm(draft: &mut Draft, by: &str, number: Number) {
    let Some(incident) = draft.incident(number).filter(|i| i.is_open()) else { return };
    let proposed: Vec<Restriction> = incident
        .restrictions
        .iter()
        .filter(|g| g.status == Status::Proposed && g.restriction.measure.restricts())
        .map(|g| g.restriction.clone())
        .collect();
    if proposed.is_empty() {
        return;
    }
    acted(draft, by, Some(number), "confirm", "");
    for mut restriction in proposed {
        restriction.since = draft.now; // nothing was limited while it was a proposal
        draft.emit(Fact::RestrictionOrdered { restriction, by_person: true });
    }
    weigh::tell_restricted(draft, number);
}

fn impose(draft: &mut Draft, by: &str, measure: Measure, reason: &str) {
    let open = draft.account.open(Trouble::Intrusion).map(|i| i.number);
    let number = match open {
        Some(number) => number,
        None => weigh::open(draft, Trouble::Intrusion),
    };
    acted(draft, by, Some(number), "impose", reason);
    let Some(incident) = draft.incident(number) else { return };
    // His reason carries it, no finding of ours: to take it back must not spare what the incident is about.
    let why = Why { rule: "ordered".to_owned(), findings: Vec::new() };
    let restriction = Restriction { id: incident.next_restriction(), measure, since: draft.now, why };
    draft.emit(Fact::RestrictionOrdered { restriction, by_person: true });
    weigh::tell_restricted(draft, number);
}

fn lift(draft: &mut Draft, by: &str, id: RestrictionId, reason: &str) {
    let Some(given) = draft.incident(id.incident).and_then(|i| i.given(id)).filter(|g| g.in_force()).cloned() else {
        return;
    };
    acted(draft, by, Some(id.incident), "lift", reason);
    for finding in given.restriction.why.findings {
        draft.emit(Fact::FindingAllowed { finding, reason: reason.to_owned(), until: draft.now + SPARED });
    }
    draft.emit(Fact::LiftOrdered { id, measure: given.restriction.measure, for_good: false });
}

/// The last one first: a site opens before the file that was found in it comes back, and the mail before the program
/// that sent it goes on.
fn undo(draft: &mut Draft, by: &str, number: Number, only: &[RestrictionId], reason: &str) {
    let Some(incident) = draft.incident(number) else { return };
    let wanted = incident.restrictions.iter().rev().filter(|g| only.is_empty() || only.contains(&g.restriction.id));
    let back: Vec<Restriction> = wanted.filter(|g| g.in_force() || is_kept(g)).map(|g| g.restriction.clone()).collect();
    if back.is_empty() {
        return;
    }
    acted(draft, by, Some(number), "undo", reason);
    for Restriction { id, measure, why, .. } in back {
        for finding in why.findings {
            draft.emit(Fact::FindingAllowed { finding, reason: reason.to_owned(), until: draft.now + SPARED });
        }
        draft.emit(Fact::LiftOrdered { id, measure, for_good: false });
    }
}

/// What may still be set aside: a program that was ended does not come back, a file and a cron line do.
///
/// Of files any lift leaves those whose place is taken. Only `act` knows which, so it is asked once more; it says so when
/// nothing is left.
fn is_kept(given: &Given) -> bool {
    let may_be = match given.restriction.measure {
        Measure::QuarantineFile { .. } => true,
        Measure::DisableCronLine { .. } => given.kept,
        _ => false,
    };
    may_be && matches!(given.status, Status::Lifted(_))
}

/// Ends everything at once. Frozen programs are ended, not set free: nobody said that they were harmless.
fn release(draft: &mut Draft, by: &str, number: Number, reason: &str) {
    if draft.incident(number).is_none_or(|i| !i.is_open()) {
        return;
    }
    acted(draft, by, Some(number), "release", reason);
    lift_all(draft, number, true);
    if draft.incident(number).is_some_and(|i| i.in_force().next().is_none()) {
        crate::release::close(draft, number, false);
    }
}

/// Our mistake: everything back as it was, the programs run on, and the owner hears that we are sorry.
fn dismiss(draft: &mut Draft, by: &str, number: Number, truth: &str) {
    let Some(incident) = draft.incident(number).filter(|i| !i.dismissed) else { return };
    let told = incident.owner_was_told();
    draft.emit(Fact::IncidentDismissed { incident: number, by: by.to_owned(), truth: truth.to_owned() });
    lift_all(draft, number, false);
    if told {
        draft.tell(number, NoticeKind::FalseAlarm);
    }
}

/// Another account has the uid: nothing of this one may limit it, and nothing that was set aside goes to it.
pub fn hand_over(draft: &mut Draft) {
    let open: Vec<Number> = draft.account.open_incidents().map(|i| i.number).collect();
    for number in open {
        let waits = draft.incident(number).is_some_and(|i| i.in_force().any(|g| g.status != Status::Lifting));
        if waits {
            lift_all(draft, number, true);
        }
    }
}

fn lift_all(draft: &mut Draft, number: Number, for_good: bool) {
    let Some(incident) = draft.incident(number) else { return };
    let back = incident.restrictions.iter().filter(|g| g.in_force() || (!for_good && is_kept(g)));
    let back: Vec<_> = back.map(|g| (g.restriction.id, g.restriction.measure.clone())).collect();
    for (id, measure) in back {
        let for_good = for_good && measure.catches();
        draft.emit(Fact::LiftOrdered { id, measure, for_good });
    }
}
