//! Weighs one signal: ignore it, join it to the open incident, open a new one; then restrict what must be.

use model::{Fact, Failure, Measure, Mode, NoticeKind, Number, Restriction, Signal, Span, Strength, Trouble};

use crate::choose::{Choice, choose};
use crate::draft::Draft;
use crate::incident::{Incident, Status};

/// The same finding with the same targets is noted again only after so long: the senses repeat themselves.
const REPEAT: Span = Span::hours(1);
/// A signal that was not seen again for so long carries no further decision.
const CURRENT: Span = Span::days(1);
/// Restrictions of one incident; what still comes back then needs a person.
const RESTRICTIONS_MAX: usize = 200;
/// A known harmless finding is noted at most once in so long.
const IGNORED_NOTE: Span = Span::days(1);

pub fn weigh(draft: &mut Draft, signal: Signal) {
    if is_ignored(draft, &signal) {
        return;
    }
    let Some(number) = incident_for(draft, &signal) else { return };
    // Where nothing is stopped, a program that comes back under another pid is no news.
    let acts = draft.policy.mode == Mode::Enforce;
    let known = draft.incident(number).is_some_and(|i| {
        i.signals.iter().any(|s| {
            s.fingerprint == signal.fingerprint
                && (s.target == signal.target || !acts)
                && s.strength >= signal.strength
                && signal.at - s.at < REPEAT
        })
    });
    if known {
        return;
    }
    let counts = signal.strength > Strength::Hint;
    draft.emit(Fact::SignalJoined { incident: number, signal });
    if counts {
        restrict(draft, number);
    }
}

/// Orders (enforce) or proposes (observe, advise) what the incident now calls for, with its notice.
pub fn restrict(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    if incident.restrictions.len() >= RESTRICTIONS_MAX {
        return draft.call(number, Measure::PageOperator, "keeps-coming-back");
    }
    let mut counted = incident.clone();
    counted.signals.retain(|s| counts(draft, incident, s));
    let mut choices = choose(&counted, &draft.account.sites);
    choices.retain(|c| !failed_lately(draft, number, c));
    let act = draft.policy.mode == Mode::Enforce;
    let mut news = false;
    for choice in choices {
        let told = is_told(draft, number, &choice);
        news |= give(draft, number, choice, act) && !told;
    }
    if news {
        tell_restricted(draft, number);
    }
}

/// Whether a signal carries a decision now: not what a passed verification settled, not what is long over, not what
/// a person allowed, and while an objection is open only what was not known when it was raised.
fn counts(draft: &Draft, incident: &Incident, signal: &Signal) -> bool {
    let now = draft.now;
    let settled = incident.settled.is_some_and(|then| signal.at <= then);
    let allowed = draft.account.allowed.get(&signal.fingerprint).is_some_and(|until| *until > now);
    let objected = incident.objection.is_some() && incident.objected.contains(&signal.fingerprint);
    !settled && !allowed && !objected && now - signal.at < CURRENT
}

/// A program that comes back while its freeze stands was explained: one more copy of it is no further letter.
fn is_told(draft: &Draft, number: Number, choice: &Choice) -> bool {
    let freeze = |m: &Measure| matches!(m, Measure::FreezeProcess { .. });
    let Some(incident) = draft.incident(number) else { return false };
    freeze(&choice.measure)
        && incident.in_force().any(|g| {
            freeze(&g.restriction.measure) && choice.why.findings.iter().all(|f| g.restriction.why.findings.contains(f))
        })
}

/// What a guard or budget refused a moment ago is refused again; a person was called, and the senses repeat
/// themselves every few seconds. A program that ended by itself is no refusal.
fn failed_lately(draft: &Draft, number: Number, choice: &Choice) -> bool {
    let Some(incident) = draft.incident(number) else { return false };
    incident.restrictions.iter().any(|g| {
        matches!(&g.status, Status::Failed(why) if !matches!(why, Failure::Gone(_)))
            && g.restriction.measure.name() == choice.measure.name()
            && choice.why.findings.iter().all(|f| g.restriction.why.findings.contains(f))
            && draft.now - g.restriction.since < REPEAT
    })
}

/// One choice becomes an order or a proposal; says whether it was an order.
fn give(draft: &mut Draft, number: Number, Choice { measure, why }: Choice, act: bool) -> bool {
    let Some(incident) = draft.incident(number) else { return false };
    let restriction = Restriction { id: incident.next_restriction(), measure, since: draft.now, why };
    let order = act && restriction.measure.restricts() && restriction.measure.is_available();
    draft.emit(match order {
        true => Fact::RestrictionOrdered { restriction, by_person: false },
        false => Fact::RestrictionProposed { restriction },
    });
    order
}

/// The notice that goes with new restrictions: the first one of an incident, or what was added.
pub fn tell_restricted(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    let kind = match (incident.owner_was_told(), incident.relapse_of) {
        (true, _) => NoticeKind::Added,
        (false, Some(earlier)) => NoticeKind::Relapse { earlier },
        (false, None) => NoticeKind::Restricted,
    };
    draft.tell(number, kind);
}

/// Dismissed or allowed findings do nothing; that is noted now and then.
fn is_ignored(draft: &mut Draft, signal: &Signal) -> bool {
    let finding = signal.fingerprint;
    let allowed = draft.account.allowed.get(&finding).is_some_and(|until| *until > draft.now);
    if !allowed && !draft.account.dismissed.contains(&finding) {
        return false;
    }
    let noted = draft.account.ignored.get(&finding).is_some_and(|then| draft.now - *then < IGNORED_NOTE);
    if !noted {
        draft.emit(Fact::SignalIgnored { finding, kind: signal.kind });
    }
    true
}

/// The incident that the signal belongs to: the open one of its trouble, else a new one if it says enough.
fn incident_for(draft: &mut Draft, signal: &Signal) -> Option<Number> {
    let intrusion = draft.account.open(Trouble::Intrusion).map(|i| i.number);
    // Load beside an intrusion is part of it; alone it is a trouble of its own.
    let trouble = if intrusion.is_some() { Trouble::Intrusion } else { signal.trouble() };
    if let Some(open) = draft.account.open(trouble) {
        return Some(open.number);
    }
    if signal.strength == Strength::Hint {
        return None;
    }
    Some(open(draft, trouble))
}

/// Opens an incident with the next number of the node's day.
pub fn open(draft: &mut Draft, trouble: Trouble) -> Number {
    let now = draft.now;
    while draft.account.incident(Number::new(now, draft.account.serial)).is_some() {
        draft.account.serial = draft.account.serial.wrapping_add(1);
    }
    let number = Number::new(now, draft.account.serial);
    let relapse_of = draft
        .account
        .incidents
        .iter()
        .rev()
        .find(|i| i.trouble == trouble && !i.dismissed && i.watch_until.is_some_and(|until| until > now))
        .filter(|i| i.owner_was_told())
        .map(|i| i.number);
    let (mode, policy) = (draft.policy.mode, draft.policy.hash());
    draft.emit(Fact::IncidentOpened { incident: number, trouble, relapse_of, mode, policy });
    number
}
