//! The desk role: sends letters, probes sites, calls the operator; answers each order with one outcome.
//!
//! Orders are answered one after the other, except that a slow relay must not keep a probe waiting: letters and
//! probes have a thread each.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use model::packet::ToDesk;
use sys::socket::{Connection, Listener};

use crate::config::Config;
use crate::exit::{Answer, CommandError};
use crate::role::is_trusted;

/// Serves the core until the process ends.
pub fn run(config: Config) -> Answer {
    let path = config.paths.run.0.join("desk.sock");
    let listener = Listener::bind(&path, 0o600)
        .map_err(|e| CommandError::failure(format!("cannot listen at {}: {e}", path.display())))?;
    let core: Arc<Mutex<Option<Connection>>> = Arc::default();
    let letters = worker(&config, core.clone());
    let probes = worker(&config, core.clone());
    loop {
        let connection = listener.accept()?;
        if !is_trusted(&connection) {
            continue;
        }
        *core.lock().expect("no panic holds this lock") = Some(connection.try_clone()?);
        while let Ok((order, _)) = connection.recv_value::<ToDesk>() {
            let queue = if matches!(order, ToDesk::Probe { .. }) { &probes } else { &letters };
            if queue.send(order).is_err() {
                return Err(CommandError::failure("a worker of the desk ended"));
            }
        }
    }
}

/// A thread that carries out orders in their order and tells the core that is connected then.
fn worker(config: &Config, core: Arc<Mutex<Option<Connection>>>) -> Sender<ToDesk> {
    let (sender, queue) = channel();
    let mut desk = config.desk();
    std::thread::spawn(move || {
        for order in queue {
            let outcome = desk::serve::handle(&mut desk, order);
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
