//! Takes in what was observed after an order, and orders what follows from it.

use model::order::Failure;
use model::{
    Check, Checked, Class, Delivery, Fact, Look, Measure, NoticeKind, Number, Outcome, RestrictionId, Seen, Signal,
    Verdict,
};

use crate::account::Waiting;
use crate::choose::strong_classes;
use crate::draft::Draft;
use crate::incident::Status;
use crate::release;

/// Checks within a day after which a person is called, when the last one failed too.
const FAILED_CHECKS: usize = 3;

pub fn see(draft: &mut Draft, Outcome { intent, seen }: Outcome) {
    let Some(waiting) = draft.account.waiting.get(&intent).cloned() else {
        // An order that was answered before (sent twice after a crash): once is enough.
        draft.emit(Fact::OutcomeStale { intent });
        return;
    };
    if let Waiting::Impose(id) | Waiting::Probe(id, true) = waiting
        && draft.incident(id.incident).and_then(|i| i.given(id)).is_some_and(|g| g.status == Status::Lifting)
    {
        // It is being lifted already: what the lift brings is what counts.
        draft.emit(Fact::OutcomeStale { intent });
        return;
    }
    match (waiting, seen) {
        (Waiting::Impose(id), Seen::Done { what }) => done(draft, id, what),
        (Waiting::Impose(id), Seen::Failed(why)) => failed(draft, id, why),
        (Waiting::Probe(id, true), Seen::Probed { right: true, what }) => imposed(draft, id, what),
        (Waiting::Probe(id, true), Seen::Probed { right: false, what }) => without_effect(draft, id, what),
        (Waiting::Probe(id, true), Seen::Failed(why)) => {
            imposed(draft, id, format!("in place, not seen from outside: {why}"));
            draft.call(id.incident, Measure::PageOperator, "probe-failed");
        }
        (Waiting::Lift(id), Seen::Done { what }) => taken_back(draft, id, what),
        (Waiting::Lift(id), Seen::Failed(Failure::Gone(what))) => lifted(draft, id, what),
        (Waiting::Lift(id), Seen::Failed(_)) => {
            // It may still be in force: the reconciler tries again, a person looks.
            draft.call(id.incident, Measure::PageOperator, "lift-failed");
        }
        (Waiting::Probe(id, false), Seen::Probed { right: true, what }) => lifted(draft, id, what),
        (Waiting::Probe(id, false), Seen::Probed { right: false, .. }) => {
            draft.call(id.incident, Measure::PageOperator, "still-closed");
            lift_again(draft, id);
        }
        (Waiting::Probe(id, false), Seen::Failed(why)) => {
            lifted(draft, id, format!("flag gone, not seen from outside: {why}"))
        }
        (Waiting::Pass(incident), seen) => {
            draft.emit(Fact::PassSeen { incident, open: matches!(seen, Seen::Done { .. }) });
        }
        (Waiting::Rescan(incident), Seen::Rescanned(checked)) => rescanned(draft, incident, checked),
        (Waiting::Rescan(incident), _) => {
            // Release fails closed: without facts nothing opens, and a person is called.
            draft.emit(Fact::LookSeen { incident, intent, captured: None });
            draft.call(incident, Measure::PageOperator, "verification-not-possible");
        }
        (Waiting::Capture(id), seen) => {
            let captured = match seen {
                Seen::Captured(hash) => Some(hash),
                _ => None,
            };
            draft.emit(Fact::LookSeen { incident: id.incident, intent, captured });
        }
        (Waiting::Tell(notice), Seen::Written) => draft.emit(Fact::NoticeWritten { notice }),
        (Waiting::Tell(notice), Seen::Told(delivery)) => {
            let lost = matches!(delivery, Delivery::Undeliverable { .. });
            let known =
                draft.incident(notice.incident).and_then(|i| i.notices.iter().find(|n| n.id == notice)).is_some_and(
                    |n| matches!((&n.delivery, &delivery), (Some(Delivery::Waiting { .. }), Delivery::Waiting { .. })),
                );
            if !known {
                draft.emit(Fact::NoticeSeen { notice, delivery });
            }
            if lost {
                draft.call(notice.incident, Measure::PageOperator, "notice-undeliverable");
            }
        }
        (Waiting::Tell(notice), Seen::Failed(why)) => {
            draft.emit(Fact::NoticeSeen { notice, delivery: Delivery::Undeliverable { why: why.to_string() } });
            draft.call(notice.incident, Measure::PageOperator, "notice-undeliverable");
        }
        (Waiting::Page(incident), seen) => {
            let delivery = match seen {
                Seen::Told(Delivery::Waiting { .. }) => return, // tried again; nothing worth a line in the log
                Seen::Told(delivery) => delivery,
                other => Delivery::Undeliverable { why: format!("{other:?}") },
            };
            draft.emit(Fact::OperatorCalled { incident, delivery });
        }
        (_, _) => draft.emit(Fact::OutcomeStale { intent }),
    }
}

/// `act` did its part. What visitors see is tested from outside.
fn done(draft: &mut Draft, id: RestrictionId, what: String) {
    match measure(draft, id) {
        Some(measure) if measure.closes() => {
            let look = Look::Probe { restriction: id, sites: measure.sites(), path: None, closed: true };
            draft.emit(Fact::LookOrdered { incident: id.incident, look });
        }
        // Not looked at when it opens again: to ask for a planted script is to run it.
        Some(Measure::BlockScript { site, path }) => {
            let look = Look::Probe { restriction: id, sites: vec![site], path: Some(path), closed: true };
            draft.emit(Fact::LookOrdered { incident: id.incident, look });
        }
        _ => imposed(draft, id, what),
    }
}

fn imposed(draft: &mut Draft, id: RestrictionId, seen: String) {
    let untold = draft.incident(id.incident).and_then(|i| i.given(id)).is_some_and(|g| g.untold);
    draft.emit(Fact::RestrictionImposed { id, seen });
    if let Some(measure) = measure(draft, id) {
        let look = Look::Capture { restriction: id, measure };
        draft.emit(Fact::LookOrdered { incident: id.incident, look });
    }
    if untold {
        draft.tell(id.incident, NoticeKind::Added);
    }
}

fn failed(draft: &mut Draft, id: RestrictionId, why: Failure) {
    let rule = match &why {
        Failure::Gone(_) => None, // it ended by itself: nothing to call a person for
        Failure::Budget(_) => Some("budget-used-up"),
        Failure::Guard(_) => Some("refused-by-guard"),
        Failure::NoEffect(_) => Some("no-effect"),
        Failure::Error(_) => Some("not-possible"),
    };
    draft.emit(Fact::RestrictionFailed { id, why });
    withdraw(draft, id.incident);
    if let Some(rule) = rule {
        draft.call(id.incident, Measure::PageOperator, rule);
    }
}

/// A letter about restrictions of which none came into force has nothing to say: it does not leave.
fn withdraw(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    if incident.in_force().next().is_some() {
        return;
    }
    let about = |k: &NoticeKind| matches!(k, NoticeKind::Restricted | NoticeKind::Added | NoticeKind::Relapse { .. });
    let unsent = incident.notices.iter().filter(|n| n.delivery.is_none() && about(&n.kind));
    for notice in unsent.map(|n| n.id).collect::<Vec<_>>() {
        draft.emit(Fact::NoticeSeen { notice, delivery: Delivery::Withdrawn });
    }
}

/// The flag is there but visitors still get in: take it back, so that what we believe is what is.
fn without_effect(draft: &mut Draft, id: RestrictionId, what: String) {
    let measure = measure(draft, id);
    failed(draft, id, Failure::NoEffect(what));
    if let Some(measure) = measure {
        draft.emit(Fact::LiftOrdered { id, measure, for_good: false });
    }
}

fn taken_back(draft: &mut Draft, id: RestrictionId, what: String) {
    let failed = draft.incident(id.incident).and_then(|i| i.given(id)).is_some_and(|g| !g.in_force());
    match measure(draft, id) {
        Some(measure) if measure.closes() && !failed => {
            let look = Look::Probe { restriction: id, sites: measure.sites(), path: None, closed: false };
            draft.emit(Fact::LookOrdered { incident: id.incident, look });
        }
        _ => lifted(draft, id, what),
    }
}

fn lifted(draft: &mut Draft, id: RestrictionId, seen: String) {
    let given = draft.incident(id.incident).and_then(|i| i.given(id));
    // What was held is neither sent unseen nor forgotten: a person sorts it.
    let held = given.is_some_and(|g| g.in_force() && matches!(g.restriction.measure, Measure::HoldMail { .. }));
    draft.emit(Fact::RestrictionLifted { id, seen });
    if held {
        draft.call(id.incident, Measure::PageOperator, "held-mail-waits");
    }
    release::after_lift(draft, id.incident);
}

fn lift_again(draft: &mut Draft, id: RestrictionId) {
    if let Some(measure) = measure(draft, id) {
        draft.emit(Fact::LiftOrdered { id, measure, for_good: false });
    }
}

/// The facts are in: what was found stands in the way; what cannot be seen is said, never guessed.
fn rescanned(draft: &mut Draft, incident: Number, mut checked: Vec<Checked>) {
    let at = draft.now;
    for (check, verdict) in [
        (Check::Files, Verdict::NotChecked { why: "no_scanner".to_owned() }),
        (Check::Entry, Verdict::OnYourWord),
        (Check::Passwords, Verdict::OnYourWord),
    ] {
        if !checked.iter().any(|c| c.check == check) {
            checked.push(Checked { check, at, verdict });
        }
    }
    // Without a fact about what was found, a click would have opened the account.
    let clean = |check: Check| checked.iter().any(|c| c.check == check && matches!(c.verdict, Verdict::Clean { .. }));
    // What anybody on the node could have written keeps nothing closed; of mail the check itself tells the truth.
    let counts = |s: &&Signal| !s.forgeable || s.class() == Class::Mail;
    let signals = draft.incident(incident).map(|i| i.signals.as_slice()).unwrap_or_default();
    let signals: Vec<Signal> = signals.iter().filter(counts).cloned().collect();
    // Load goes up and down by itself: it stands in the way of nothing.
    let strong = strong_classes(&signals).into_iter().filter(|class| *class != Class::Load);
    let looked = [Check::Processes, Check::Mail, Check::Load, Check::Requests, Check::Cron, Check::Logins];
    let seen = looked.into_iter().any(clean) && strong.into_iter().all(|class| clean(class.check()));
    if !seen && !checked.iter().any(Checked::blocks) {
        draft.emit(Fact::VerificationFailed { incident, checked });
        draft.call(incident, Measure::PageOperator, "verification-not-possible");
    } else if checked.iter().any(Checked::blocks) {
        draft.emit(Fact::VerificationFailed { incident, checked });
        draft.tell(incident, NoticeKind::CheckFailed);
        // An owner who tries again and again needs a person, or we are wrong.
        if draft.incident(incident).is_some_and(|i| i.done.len() >= FAILED_CHECKS) {
            draft.call(incident, Measure::PageOperator, "checks-keep-failing");
        }
    } else {
        draft.emit(Fact::VerificationPassed { incident, checked });
        release::begin(draft, incident);
    }
}

fn measure(draft: &Draft, id: RestrictionId) -> Option<Measure> {
    Some(draft.incident(id.incident)?.given(id)?.restriction.measure.clone())
}
