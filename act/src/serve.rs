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
    hands: Option<Connection>,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<()> {
    let mut core: Option<Connection> = None;
    let mut hands = hands;
    while go_on() {
        let mut fds = vec![listener.as_fd()];
        fds.extend(hands.as_ref().map(AsFd::as_fd));
        fds.extend(core.as_ref().map(AsFd::as_fd));
        let ready = wait_readable(&fds, TICK)?;
        let (mut from_hands, mut from_core) = (false, false);
        let mut rest = ready[1..].iter().copied();
        if hands.is_some() {
            from_hands = rest.next().unwrap_or(false);
        }
        if core.is_some() {
            from_core = rest.next().unwrap_or(false);
        }
        if from_hands && let Some(socket) = &hands {
            hands = receive(socket, actor).then_some(hands).flatten();
        }
        if from_core && let Some(socket) = &core {
            core = answer(socket, actor).is_ok().then_some(core).flatten();
        }
        if ready[0] {
            core = welcome(listener, actor).or(core);
        }
        actor.tick();
    }
    Ok(())
}

/// A foreign uid is turned away and leaves the present core alone.
fn welcome(listener: &Listener, actor: &Actor) -> Option<Connection> {
    let socket = listener.accept().ok()?;
    socket.peer().is_ok_and(|peer| actor.is_core(peer.uid)).then_some(())?;
    socket.set_send_timeout(Some(SEND_MAX)).ok()?;
    Some(socket)
}

fn answer(socket: &Connection, actor: &mut Actor) -> io::Result<()> {
    let (packet, fds): (ToAct, _) = socket.recv_value()?;
    drop(fds);
    let answers: Vec<FromAct> = actor.handle(packet);
    answers.iter().try_for_each(|answer| socket.send_value(answer))
}

fn receive(socket: &Connection, actor: &Actor) -> bool {
    match socket.recv(&mut [0; 64]) {
        Ok((_, fds)) => {
            for fd in fds {
                actor.hands().add(fd); // one that is no living process is dropped there
            }
            true
        }
        Err(_) => false,
    }
}
