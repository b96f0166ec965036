//! The core role: holds the store, asks the engine, sends what was stored, hears what came of it.
//!
//! The order is always the same: step, store, apply, send. A crash anywhere in between loses nothing that was
//! acknowledged and does nothing twice: what was stored but not answered is sent again, and every role answers a
//! repeated order from what it already did.

mod dispatch;
pub mod letters;
mod reconcile;
mod run;
mod turn;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use engine::{Account, Policy};
use model::{AccountEntry, AccountRef, Intent, IntentId, Moment, Unclear};
use store::{Store, StoreError};
use sys::socket::Connection;

pub use run::run;
pub use turn::fold;

use crate::clock::Clock;
use crate::config::Config;
use crate::link::Line;

/// An order that was stored and is not answered yet.
struct Pending {
    intent: Intent,
    /// When it was first due.
    since: Moment,
    tries: u32,
    next_at: Moment,
    /// When it was last sent on the present line.
    sent: Option<Instant>,
}

/// The lines to the other roles.
struct Lines {
    act: Line,
    sense: Line,
    desk: Line,
}

/// The core's state. Everything in it can be rebuilt from the store.
pub struct Core {
    store: Store,
    config: Config,
    policy: Policy,
    /// The mode while nobody disarmed the node.
    armed: model::Mode,
    clock: Clock,
    lines: Lines,
    accounts: HashMap<AccountRef, Account>,
    outbox: BTreeMap<IntentId, Pending>,
    blind: Vec<String>,
    unclear: Vec<Unclear>,
    known_accounts: u64,
    /// Restrictions that `act` says are in force, while its list comes in.
    real: Vec<model::packet::FromAct>,
    /// Who waits for the answer to a dry run.
    asked: HashMap<IntentId, Connection>,
    /// Dry runs asked so far: each has an id of its own.
    questions: u64,
    /// Restrictions that did not hold and could not be imposed again, since `act` last started.
    refused: HashSet<IntentId>,
    /// What is on the node and wanted by no restriction.
    strays: Vec<String>,
    /// What is decided and does not hold.
    loose: Vec<String>,
    /// Since when a list is asked for that has not ended.
    listing: Option<std::time::Instant>,
    /// An account of which more sites follow.
    partial: Option<AccountEntry>,
    started: Moment,
}

impl Core {
    /// The fold of one account, from memory or from its events.
    fn account(&mut self, who: &AccountRef) -> Result<&mut Account, StoreError> {
        if !self.accounts.contains_key(who) {
            let account = turn::fold(&self.store, who)?;
            self.accounts.insert(who.clone(), account);
        }
        Ok(self.accounts.get_mut(who).expect("inserted above"))
    }
}
