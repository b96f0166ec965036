//! What time alone brings: the next stage of a release, the end of a quiet incident, the end of a watch.

use model::{Fact, Measure, Number, Span};

use crate::draft::Draft;
use crate::incident::Status;
use crate::release;

/// An order without any sight for so long needs a person.
const UNSEEN: Span = Span::minutes(5);

pub fn pass(draft: &mut Draft) {
    let numbers: Vec<Number> = draft.account.incidents.iter().map(|i| i.number).collect();
    for number in numbers {
        let Some(incident) = draft.incident(number) else { continue };
        if incident.is_open() {
            open(draft, number);
        } else if incident.watch_until.is_some_and(|until| until <= draft.now) {
            draft.emit(Fact::WatchEnded { incident: number });
        }
    }
}

fn open(draft: &mut Draft, number: Number) {
    release::proceed(draft, number);
    let now = draft.now;
    let Some(incident) = draft.incident(number).filter(|i| i.is_open()) else { return };
    if incident.restrictions.iter().any(|g| g.status == Status::Ordered && now - g.restriction.since > UNSEEN) {
        draft.call(number, Measure::PageOperator, "order-unseen");
    }
    let Some(incident) = draft.incident(number) else { return };
    let over: Vec<_> = incident
        .restrictions
        .iter()
        .filter(
            |g| matches!(g.status, Status::Imposed(at) if g.restriction.measure.lasts().is_some_and(|l| at + l <= now)),
        )
        .map(|g| (g.restriction.id, g.restriction.measure.clone()))
        .collect();
    for (id, measure) in over {
        draft.emit(Fact::LiftOrdered { id, measure, for_good: false });
    }
    let Some(incident) = draft.incident(number) else { return };
    if incident.objection.is_some_and(|by| by <= now) {
        draft.call(number, Measure::PageOperator, "objection-overdue");
    }
    let Some(incident) = draft.incident(number) else { return };
    // A release under way ends by its stages, an objection by a person.
    let busy = incident.stage.is_some() || incident.verifying || incident.objection.is_some();
    let free = incident.in_force().next().is_none() && !busy;
    if free && now - incident.last_signal >= draft.policy.quiet {
        release::close(draft, number, false);
    }
}
