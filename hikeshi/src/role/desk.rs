//! The desk role: sends letters, probes sites, calls the operator; answers each order with one outcome.
//!
//! Orders are answered one after the other, except that a slow relay must not keep a probe waiting: letters and
//! probes have a thread each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use model::packet::ToDesk;
use model::{Delivery, IntentId, Outcome, Seen};
use sys::socket::Connection;

use crate::config::Config;
use crate::exit::{Answer, CommandError};
use crate::role::rights::{Rights, Users};
use crate::role::{Role, is_from, listen};

/// Letters that left and are remembered.
const REMEMBERED: usize = 1000;

/// Orders that wait or are being carried out.
type Busy = Arc<Mutex<BTreeSet<IntentId>>>;

/// Serves the core until the process ends.
pub fn run(config: Config, users: &Users, rights: &Rights) -> Answer {
    let path = config.paths.run.0.join("desk.sock");
    let listener = listen(&path, users)?;
    rights.enter()?;
    listener.listen_again()?;
    let core: Arc<Mutex<Option<Connection>>> = Arc::default();
    let busy: Busy = Arc::default();
    let letters = worker(&config, core.clone(), busy.clone());
    let probes = worker(&config, core.clone(), busy.clone());
    loop {
        let connection = listener.accept()?;
        if !is_from(&connection, users.uid(Role::Core)) {
            continue;
        }
        *core.lock().expect("no panic holds this lock") = Some(connection.try_clone()?);
        while let Ok((order, _)) = connection.recv_value::<ToDesk>() {
            // The core asks again when an answer takes long; one that waits here is not done twice.
            if !busy.lock().expect("no panic holds this lock").insert(intent(&order)) {
                continue;
            }
            let queue = if matches!(order, ToDesk::Probe { .. }) { &probes } else { &letters };
            if queue.send(order).is_err() {
                return Err(CommandError::failure("a worker of the desk ended"));
            }
        }
        // The workers still hold the other handle: without this the core would go on talking to nobody.
        connection.shut();
    }
}

fn intent(order: &ToDesk) -> IntentId {
    match order {
        ToDesk::Send { intent, .. } | ToDesk::Probe { intent, .. } | ToDesk::Page { intent, .. } => *intent,
    }
}

/// A thread that carries out orders in their order and tells the core that is connected then.
fn worker(config: &Config, core: Arc<Mutex<Option<Connection>>>, busy: Busy) -> Sender<ToDesk> {
    let (sender, queue) = channel();
    let mut desk = config.desk();
    let mut accepted: BTreeMap<IntentId, Outcome> = BTreeMap::new();
    std::thread::spawn(move || {
        for order in queue {
            let id = intent(&order);
            // A letter that left is not sent again, also when the core did not hear of it.
            let outcome = match accepted.get(&id) {
                Some(known) => known.clone(),
                None => desk::serve::handle(&mut desk, order),
            };
            if matches!(outcome.seen, Seen::Told(Delivery::Accepted { .. })) {
                accepted.insert(id, outcome.clone());
                while accepted.len() > REMEMBERED {
                    accepted.pop_first();
                }
            }
            busy.lock().expect("no panic holds this lock").remove(&id);
            let core = core.lock().expect("no panic holds this lock");
            if let Some(core) = core.as_ref()
                && let Err(error) = core.send_value(&outcome)
            {
                // The core asks again when it is back.
                tracing::warn!(%error, intent = %outcome.intent, "an outcome could not be told");
            }
        }
    });
    sender
}
