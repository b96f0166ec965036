//! Events in the making: each one is taken in at once, so that the next decision of the same step sees it.

use model::{Event, Fact, IntentId, Measure, Moment, NoticeKind, Number, Restriction, Why};

use crate::account::Account;
use crate::incident::{Incident, Status};
use crate::policy::Policy;

/// One step under way.
pub struct Draft<'a> {
    /// The account as it is after the events so far.
    pub account: Account,
    /// The rules.
    pub policy: &'a Policy,
    /// The time of this step.
    pub now: Moment,
    /// What follows, in order.
    pub events: Vec<Event>,
}

impl<'a> Draft<'a> {
    pub fn new(account: &Account, policy: &'a Policy, now: Moment) -> Draft<'a> {
        Draft { account: account.clone(), policy, now, events: Vec::new() }
    }

    /// Adds one event. Its place in the log is not known yet; nothing in this step can refer to it.
    pub fn emit(&mut self, fact: Fact) {
        let event = Event { at: self.now, account: self.account.account.clone(), fact };
        let provisional = IntentId(u64::MAX - self.events.len() as u64);
        self.account.apply(provisional, &event);
        self.events.push(event);
    }

    pub fn incident(&self, number: Number) -> Option<&Incident> {
        self.account.incident(number)
    }

    /// Orders a notice, unless one that is still unsent will say the same.
    pub fn tell(&mut self, number: Number, kind: NoticeKind) {
        let Some(incident) = self.incident(number) else { return };
        let unsent = |n: &&crate::incident::NoticeState| n.delivery.is_none() && !n.written;
        // One that is not written yet will tell of what was added meanwhile.
        let said = matches!(kind, NoticeKind::Added)
            && incident
                .notices
                .iter()
                .filter(unsent)
                .any(|n| matches!(n.kind, NoticeKind::Restricted | NoticeKind::Relapse { .. } | NoticeKind::Added));
        if !said {
            let notice = incident.next_notice();
            self.emit(Fact::NoticeOrdered { notice, kind });
        }
    }

    /// Asks or pages: stops nothing, so it is only noted, once per incident and rule while it stands.
    pub fn call(&mut self, number: Number, measure: Measure, rule: &str) {
        let Some(incident) = self.incident(number) else { return };
        let known = incident.restrictions.iter().any(|g| {
            g.status == Status::Proposed && g.restriction.measure == measure && g.restriction.why.rule == rule
        });
        if known {
            return;
        }
        let findings = incident.signals.iter().map(|s| s.fingerprint).collect();
        let restriction = Restriction {
            id: incident.next_restriction(),
            measure,
            since: self.now,
            why: Why { rule: rule.to_owned(), findings },
        };
        self.emit(Fact::RestrictionProposed { restriction });
    }
}
