//! Decided against real: what `act` answers, what it says is in force, and what is done about the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use engine::{Account, Status};
use model::packet::{FromAct, FromCore, ToAct, ToSense};
use model::{Measure, Outcome, RestrictionId, Seen, Verb};
use store::StoreError;

use super::Core;
use super::run::reply;
use crate::link::Sent;

/// An `act` that does not answer for so long is shown.
const SILENCE: Duration = Duration::from_secs(120);
/// Frozen processes in one packet.
const FROZEN_TOLD: usize = 1000;

impl Core {
    pub(super) fn act_said(&mut self, said: FromAct) -> Result<(), StoreError> {
        match said {
            FromAct::Done { intent, what } => self.hear(Outcome { intent, seen: Seen::Done { what } }),
            FromAct::Failed { intent, why } if self.asked.contains_key(&intent) => {
                if let Some(asker) = self.asked.remove(&intent) {
                    reply(&asker, &FromCore::Refused(why.to_string()));
                }
                Ok(())
            }
            FromAct::Failed { intent, why } if !self.outbox.contains_key(&intent) => {
                // The answer to a restriction that was imposed again because it did not hold.
                if self.refused.insert(intent) {
                    tracing::error!(%intent, %why, "decided, does not hold, and cannot be imposed again");
                }
                Ok(())
            }
            FromAct::Failed { intent, why } => self.hear(Outcome { intent, seen: Seen::Failed(why) }),
            FromAct::Would { intent, steps } => {
                if let Some(asker) = self.asked.remove(&intent) {
                    reply(&asker, &FromCore::Done(steps));
                }
                Ok(())
            }
            in_force @ FromAct::InForce { .. } => {
                self.real.push(in_force);
                Ok(())
            }
            FromAct::ListEnd => {
                self.listing = None;
                self.reconcile()
            }
            FromAct::Strays(strays) => {
                for stray in strays.iter().filter(|s| !self.strays.contains(s)) {
                    tracing::error!(stray, "on the node, but no restriction wants it; left as it is");
                }
                self.strays = strays;
                Ok(())
            }
        }
    }

    /// Decided against real. What is decided and not real is ordered again (under its own number, so that it is
    /// done once); what is real and not decided is reported, never lifted by itself.
    fn reconcile(&mut self) -> Result<(), StoreError> {
        let real = std::mem::take(&mut self.real);
        let rows = real.iter().filter_map(|entry| match entry {
            FromAct::InForce { restriction, holds, what, .. } => Some((*restriction, (*holds, what.as_str()))),
            _ => None,
        });
        let rows: BTreeMap<RestrictionId, (bool, &str)> = rows.collect();
        let mut decided = BTreeSet::new();
        let mut drifted = Vec::new();
        for account in self.accounts.values() {
            for given in account.incidents.iter().flat_map(|i| &i.restrictions).filter(|g| g.in_force()) {
                decided.insert(given.restriction.id);
                if matches!(given.status, Status::Imposed(_))
                    && !rows.get(&given.restriction.id).is_some_and(|row| row.0)
                {
                    drifted.push((account.account.clone(), given.intent, given.restriction.clone()));
                }
            }
        }
        for stray in rows.keys().filter(|id| !decided.contains(*id)) {
            tracing::error!(restriction = %stray, "in force but not decided here; left as it is: `hikeshi lift {stray}` takes it back");
        }
        let what = |id: &RestrictionId| rows.get(id).map_or("not there", |row| row.1);
        // Ended programs are no loss; everything else that does not hold is shown until it does.
        let lost = |r: &model::Restriction| !matches!(r.measure, Measure::FreezeProcess { .. });
        let drifting = drifted.iter().filter(|(_, _, r)| lost(r));
        self.loose = drifting.map(|(_, _, r)| format!("{} does not hold: {}", r.id, what(&r.id))).collect();
        if self.config.is_disarmed() {
            drifted.clear(); // act would refuse
        }
        for (account, intent, restriction) in drifted {
            let Some(intent) = intent.filter(|id| !self.refused.contains(id)) else { continue };
            tracing::warn!(%account, restriction = %restriction.id, "decided but not real; imposed again");
            let order = self.order(intent, account, Verb::Impose { restriction, by_person: true }, None, false)?;
            self.lines.act.send(&order);
        }
        self.send_frozen();
        Ok(())
    }

    /// Asks `act` what is in force.
    pub(super) fn list(&mut self) {
        self.listing = matches!(self.lines.act.send(&ToAct::List), Sent::Yes).then(Instant::now);
    }

    /// A program that hangs holds up everything that `act` does: a person has to see that.
    pub(super) fn silence(&self) -> Option<String> {
        let since = self.listing.map(|since| since.elapsed()).filter(|passed| *passed > SILENCE)?;
        Some(format!(
            "what is in force: act has not answered for {} s; look for a program that it waits for",
            since.as_secs()
        ))
    }

    /// Tells the senses what is frozen: it is no news.
    pub(super) fn send_frozen(&self) {
        let frozen = self
            .accounts
            .values()
            .flat_map(|a| &a.incidents)
            .flat_map(|i| i.in_force())
            .filter(|g| matches!(g.restriction.measure, Measure::FreezeProcess { .. }))
            .map(|g| g.restriction.clone());
        let mut frozen: Vec<_> = frozen.collect();
        frozen.sort_by_key(|r| std::cmp::Reverse(r.since));
        // A packet has room for some; the oldest are the least likely to be taken for news.
        let processes = frozen.into_iter().flat_map(|r| match r.measure {
            Measure::FreezeProcess { processes } => processes,
            _ => Vec::new(),
        });
        self.lines.sense.send(&ToSense::Frozen(processes.take(FROZEN_TOLD).collect()));
        let restricted = |a: &&Account| a.open_incidents().any(|i| i.in_force().next().is_some());
        let names = self.accounts.values().filter(restricted).map(|a| a.account.name.clone()).take(1000).collect();
        self.lines.sense.send(&ToSense::Restricted(names));
    }
}
