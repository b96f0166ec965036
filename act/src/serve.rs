//! The loop of the act role: one core at a time, newest wins; what is not a packet ends the connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use model::packet::{FromAct, ToAct};
use sys::socket::{Connection, Listener, wait_readable};

use crate::actor::Actor;

/// Longest time between two looks at expiries.
const TICK: Duration = Duration::from_secs(1);
/// Longest wait for a core that does not read its answers.
const SEND_MAX: Duration = Duration::from_secs(5);

/// Answers orders until `go_on` says no (asked at least once a second). `hands`: an inherited socket on which
/// pidfds of the demo's processes come.
///
/// Errors: only those of waiting itself; a connection's errors end that connection. Descriptors that come with an
/// order are closed unused: core cannot widen our reach.
pub fn serve(
    listener: &Listener,
    actor: &mut Actor,
    mut hands: Option<Connection>,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<()> {
    let mut core: Option<Connection> = None;
    while go_on() {
        let fds = [Some(listener.as_fd()), hands.as_ref().map(AsFd::as_fd), core.as_ref().map(AsFd::as_fd)];
        let [knocks, from_hands, from_core] = wait_readable(fds, TICK)?;
        if from_hands {
            hands = hands.filter(|socket| receive(socket, actor));
        }
        if from_core {
            core = core.filter(|socket| answer(socket, actor).is_ok());
        }
        if knocks {
            core = welcome(listener, actor).or(core);
        }
        actor.tick();
    }
    Ok(())
}

/// A foreign uid is turned away and leaves the present core alone.
fn welcome(listener: &Listener, actor: &Actor) -> Option<Connection> {
    let socket = listener.accept().ok()?;
    socket.peer().is_ok_and(|peer| actor.config.core_uids.contains(&peer.uid)).then_some(())?;
    socket.set_send_timeout(Some(SEND_MAX)).ok()?;
    Some(socket)
}

fn answer(socket: &Connection, actor: &mut Actor) -> io::Result<()> {
    let (packet, _): (ToAct, _) = socket.recv_value()?;
    let answers: Vec<FromAct> = actor.handle(packet);
    answers.iter().try_for_each(|answer| socket.send_value(answer))
}

fn receive(socket: &Connection, actor: &Actor) -> bool {
    let Ok((_, fds)) = socket.recv(&mut [0; 64]) else { return false };
    for fd in fds {
        actor.hands().add(fd); // one that is no living process is dropped there
    }
    true
}
