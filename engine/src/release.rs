//! Releases in stages: programs end, the owner looks, the public comes, mail goes; then the incident closes.
//!
//! Each stage lasts as the policy says and only when it has something to open; a new finding in between puts
//! restrictions back (see `weigh`) and the release begins again with the next verification.

use model::{Fact, Measure, NoticeKind, Number, Stage};

use crate::draft::Draft;
use crate::incident::{Incident, Status};

/// A verification passed: enter the first stage that opens something.
pub fn begin(draft: &mut Draft, number: Number) {
    enter(draft, number, Stage::Owner);
}

/// Time passed in a stage: the next one, when nothing happened and everything of this one is lifted.
pub fn proceed(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    let Some((stage, since)) = incident.stage else { return };
    let lifting = incident.restrictions.iter().any(|g| g.status == Status::Lifting);
    if lifting || draft.now - since < draft.policy.stage {
        return;
    }
    match stage {
        Stage::Owner => enter(draft, number, Stage::Public),
        Stage::Public => enter(draft, number, Stage::Mail),
        Stage::Mail => close_if_free(draft, number),
    }
}

/// A lift was seen: it may have been the last one.
pub fn after_lift(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    if !incident.is_open() {
        return;
    }
    match incident.stage {
        // The last stage waits out its time, so that trouble shows before the account counts as released.
        Some(_) => {}
        None => close_if_free(draft, number),
    }
}

fn enter(draft: &mut Draft, number: Number, stage: Stage) {
    let Some(incident) = draft.incident(number) else { return };
    // A blocked script is closed to visitors as a site is.
    let closes = |m: &Measure| m.closes() || matches!(m, Measure::BlockScript { .. });
    let opens: Vec<_> = standing(incident, |m| match stage {
        Stage::Public => closes(m),
        Stage::Mail => matches!(m, Measure::HoldMail { .. } | Measure::RefuseMail),
        // Whatever stops neither visitors nor mail opens first: the owner needs it for his work. A file that was set
        // aside stays so: it was found to be planted, and its place was just verified without it.
        Stage::Owner => !closes(m) && !matches!(m, Measure::HoldMail { .. } | Measure::RefuseMail),
    });
    // The owner's own stage also gives him time to look at his closed sites before everybody does.
    let waits = stage == Stage::Owner && incident.in_force().any(|g| closes(&g.restriction.measure));
    if opens.is_empty() && !waits {
        return match stage {
            Stage::Owner => enter(draft, number, Stage::Public),
            Stage::Public => enter(draft, number, Stage::Mail),
            Stage::Mail => close_if_free(draft, number),
        };
    }
    draft.emit(Fact::StageEntered { incident: number, stage });
    for (id, measure) in opens {
        let for_good = measure.catches();
        draft.emit(Fact::LiftOrdered { id, measure, for_good });
    }
}

fn standing(incident: &Incident, wanted: impl Fn(&Measure) -> bool) -> Vec<(model::RestrictionId, Measure)> {
    let standing = incident.in_force().filter(|g| g.status != Status::Lifting && wanted(&g.restriction.measure));
    standing.map(|g| (g.restriction.id, g.restriction.measure.clone())).collect()
}

/// Nothing is in force any more: the incident ends, the owner is told, the watch begins.
fn close_if_free(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    if incident.in_force().next().is_some() {
        return;
    }
    let ever = incident.restrictions.iter().any(|g| matches!(g.status, Status::Lifted(_)));
    let verified = incident.verification.as_ref().is_some_and(|(passed, _)| *passed) && incident.stage.is_some();
    if !ever && !verified {
        return; // nothing was ever stopped: time or a person ends it, not this
    }
    close(draft, number, verified);
    draft.tell(number, NoticeKind::Released);
}

/// Ends the incident; watched when a restriction was in force.
pub fn close(draft: &mut Draft, number: Number, verified: bool) {
    let Some(incident) = draft.incident(number) else { return };
    let watched = incident.owner_was_told();
    let watch_until = if watched { draft.now + draft.policy.watch } else { draft.now };
    draft.emit(Fact::IncidentClosed { incident: number, watch_until, verified });
}
