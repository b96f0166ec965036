//! What an owner can set in motion: a verification, an answer, a person's review, a pass, a repeated notice.

use model::{Fact, Hash, Look, Measure, NoticeKind, Number, Owner, Span};

use crate::bind::{Bound, bind};
use crate::draft::Draft;

pub fn hear(draft: &mut Draft, quoted: Option<Number>, what: Owner) {
    let (number, earlier) = match bind(&draft.account, quoted) {
        Bound::Open { incident, earlier } => (incident, earlier),
        Bound::Nothing { earlier } => {
            if let Owner::Question(question) | Owner::Object(question) = what {
                draft.emit(Fact::QuestionUnbound { question, quoted: earlier });
            }
            return;
        }
    };
    match what {
        Owner::Done => done(draft, number),
        Owner::Question(question) => {
            draft.emit(Fact::QuestionBound { incident: number, question, quoted: earlier });
            draft.tell(number, NoticeKind::Answer { question, earlier });
        }
        Owner::Object(text) => object(draft, number, Some(text)),
        Owner::ItWasMe => object(draft, number, None),
        Owner::Cannot => {
            draft.emit(Fact::OwnerCannot { incident: number });
            draft.call(number, Measure::PageOperator, "owner-cannot");
        }
        Owner::Resend => {
            let Some(incident) = draft.incident(number) else { return };
            let said =
                |n: &&crate::NoticeState| !matches!(n.kind, NoticeKind::Resend { .. } | NoticeKind::Answer { .. });
            if let Some(last) = incident.notices.iter().rev().find(said) {
                let ordinal = last.id.ordinal;
                draft.tell(number, NoticeKind::Resend { ordinal });
            }
        }
        Owner::Pass(pass) => {
            let Some(incident) = draft.incident(number) else { return };
            let closures = incident.in_force().map(|g| &g.restriction.measure).filter(|m| m.closes());
            let sites: Vec<_> = closures.flat_map(Measure::sites).collect();
            if !sites.is_empty() {
                let until = draft.now + draft.policy.pass;
                draft.emit(Fact::PassOrdered { incident: number, sites, pass, until });
            }
        }
    }
}

/// "Done" asks for facts, it is none itself. At most so many checks a day: each one reads the whole account.
fn done(draft: &mut Draft, number: Number) {
    let now = draft.now;
    let Some(incident) = draft.incident(number) else { return };
    let today = incident.done.iter().filter(|then| now - **then < Span::days(1)).count();
    let busy = incident.verifying || incident.stage.is_some() || incident.in_force().next().is_none();
    if busy || today >= usize::from(draft.policy.checks_per_day) {
        return;
    }
    draft.emit(Fact::OwnerDone { incident: number });
    rescan(draft, number);
}

/// Orders the look whose facts decide on the release.
pub fn rescan(draft: &mut Draft, number: Number) {
    let Some(incident) = draft.incident(number) else { return };
    let restrictions: Vec<_> = incident.in_force().map(|g| g.restriction.clone()).collect();
    let since = restrictions.iter().map(|r| r.since).max().unwrap_or(incident.opened);
    let captured: Vec<Hash> = incident.signals.iter().map(|s| s.evidence).take(16).collect();
    let look = Look::Rescan { incident: number, since, restrictions, captured };
    draft.emit(Fact::LookOrdered { incident: number, look });
}

fn object(draft: &mut Draft, number: Number, text: Option<Hash>) {
    let answer_by = draft.now + draft.policy.answer_within;
    if draft.incident(number).is_some_and(|i| i.objection.is_none()) {
        draft.emit(Fact::ObjectionRaised { incident: number, text, answer_by });
        draft.call(number, Measure::PageOperator, "objection");
    }
}
