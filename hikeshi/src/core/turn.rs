//! One turn: steps of the engine, committed together, then applied and queued for sending.

use std::collections::HashMap;

use engine::{Account, step};
use model::{AccountRef, Delivery, Event, Fact, Input, IntentId, Mode, Moment, Number, Order};
use store::{Batch, StoreError, View};

use super::{Core, Pending};

/// Folds an account from the store.
pub fn fold(store: &View, who: &AccountRef) -> Result<Account, StoreError> {
    let mut account = Account::new(who.clone());
    for stored in store.events_of(&who.name, 0)? {
        if stored.event.account == *who {
            account.apply(IntentId(stored.seq), &stored.event);
        }
    }
    Ok(account)
}

/// Steps that are decided but not stored yet.
pub struct Turn {
    /// The time of the whole turn.
    pub now: Moment,
    /// What is committed with the events.
    pub batch: Batch,
    serial: u16,
    scratch: HashMap<AccountRef, Account>,
}

impl Core {
    /// Begins a turn at the present time.
    pub fn turn(&self) -> Result<Turn, StoreError> {
        let now = self.clock.now();
        let serial = self.store.opened_on_day(now)?;
        Ok(Turn { now, batch: Batch::default(), serial, scratch: HashMap::new() })
    }

    /// One step of this turn; later steps of the turn see what it decided.
    pub fn step(&mut self, turn: &mut Turn, who: &AccountRef, input: Input) -> Result<Vec<Event>, StoreError> {
        if !turn.scratch.contains_key(who) {
            let account = self.account(who)?.clone();
            turn.scratch.insert(who.clone(), account);
        }
        self.look_for_disarm();
        let account = turn.scratch.get_mut(who).expect("inserted above");
        account.serial = turn.serial;
        while self.store.incident_account(Number::new(turn.now, account.serial))?.is_some() {
            account.serial = account.serial.wrapping_add(1);
        }
        let events = step(account, &self.policy, turn.now, input);
        for (i, event) in events.iter().enumerate() {
            // A place that no stored event has: it is known only after the commit.
            account.apply(IntentId(u64::MAX - (turn.batch.events.len() + i) as u64), event);
            match &event.fact {
                Fact::IncidentOpened { .. } => turn.serial = turn.serial.wrapping_add(1),
                Fact::NoticeSeen { notice, delivery: Delivery::Withdrawn } => {
                    let row = self
                        .outbox
                        .values()
                        .find(|p| matches!(&p.intent.order, Order::Tell { notice: n, .. } if n == notice));
                    turn.batch.done.extend(row.map(|p| p.intent.id));
                }
                _ => {}
            }
        }
        turn.batch.events.extend(events.iter().cloned());
        Ok(events)
    }

    /// While the stop file is there everything is decided as in observe mode; `act` refuses by itself.
    pub fn look_for_disarm(&mut self) {
        let mode = if self.config.is_disarmed() { Mode::Observe } else { self.armed };
        if mode != self.policy.mode {
            tracing::warn!(?mode, "the stop file came or went");
            self.policy.mode = mode;
        }
    }

    /// Stores the turn, then takes it in. Only now may anything leave.
    pub fn commit(&mut self, turn: Turn) -> Result<(), StoreError> {
        let committed = self.store.commit(&turn.batch)?;
        for (i, event) in turn.batch.events.iter().enumerate() {
            let id = IntentId(committed.first_seq + i as u64);
            // `step` loaded every account of this turn before anything was stored.
            if let Some(account) = self.accounts.get_mut(&event.account) {
                account.apply(id, event);
            }
            log(event);
        }
        for id in &turn.batch.done {
            self.outbox.remove(id);
        }
        for intent in committed.intents {
            self.outbox.insert(intent.id, Pending { intent, since: turn.now, tries: 0, next_at: turn.now, sent: None });
        }
        Ok(())
    }
}

/// One line a fact that an operator may have to know; the level says whose move it is.
fn log(event: &Event) {
    let account = &event.account;
    match &event.fact {
        Fact::IncidentOpened { incident, trouble, .. } => {
            tracing::warn!(%account, %incident, ?trouble, "incident opened");
        }
        Fact::RestrictionOrdered { restriction, .. } => {
            tracing::info!(%account, restriction = %restriction.id, verb = restriction.measure.name(), "restriction ordered");
        }
        Fact::RestrictionImposed { id, seen } => {
            tracing::info!(%account, restriction = %id, seen, "restriction in force")
        }
        Fact::RestrictionFailed { id, why } => {
            tracing::error!(%account, restriction = %id, %why, "restriction not in force")
        }
        Fact::RestrictionLifted { id, seen } => tracing::info!(%account, restriction = %id, seen, "restriction lifted"),
        Fact::RestrictionProposed { restriction } => {
            tracing::warn!(%account, restriction = %restriction.id, verb = restriction.measure.name(), rule = restriction.why.rule, "proposed");
        }
        Fact::IncidentClosed { incident, verified, .. } => {
            tracing::info!(%account, %incident, verified, "incident closed")
        }
        Fact::IncidentDismissed { incident, .. } => tracing::info!(%account, %incident, "incident dismissed"),
        _ => {}
    }
}
