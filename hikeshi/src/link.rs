//! The core's lines to the other roles: connected again and again, never blocking the core.
//!
//! Each line has a reading thread that hands what it hears to the core's one queue. When a role dies, its line
//! ends; the thread connects anew as soon as the role listens again, and the core sends what is still pending.

use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sys::socket::Connection;

/// Pause between two tries to reach a role.
const AGAIN: Duration = Duration::from_millis(100);

/// Pause after somebody else listened there: it is said each time.
const FOREIGN: Duration = Duration::from_secs(5);

/// Longest wait for a role that does not read.
const STUCK: Duration = Duration::from_secs(5);

/// One line to a role.
#[derive(Clone)]
pub struct Line {
    current: Arc<Mutex<Option<Connection>>>,
}

impl Line {
    /// Opens a line to the role that listens at `path` under this uid; another uid is no role. `up` and `heard` make queue entries out of a new
    /// connection, a packet, and the end of a connection (`None`).
    pub fn open<T, Q>(path: PathBuf, uid: u32, queue: SyncSender<Q>, event: fn(Heard<T>) -> Q) -> Line
    where
        T: DeserializeOwned + Send + 'static,
        Q: Send + 'static,
    {
        let line = Line { current: Arc::new(Mutex::new(None)) };
        let current = line.current.clone();
        std::thread::spawn(move || {
            loop {
                let Ok(connection) = Connection::connect(&path) else {
                    std::thread::sleep(AGAIN);
                    continue;
                };
                if !crate::role::is_from(&connection, uid) {
                    std::thread::sleep(FOREIGN);
                    continue;
                }
                let Ok(writer) = connection.try_clone() else { continue };
                // A role that does not read for so long is stuck: the core never waits for it.
                let _ = writer.set_send_timeout(Some(STUCK));
                *current.lock().expect("no panic holds this lock") = Some(writer);
                if queue.send(event(Heard::Up)).is_err() {
                    return;
                }
                while let Ok((value, _)) = connection.recv_value::<T>() {
                    if queue.send(event(Heard::Said(value))).is_err() {
                        return;
                    }
                }
                *current.lock().expect("no panic holds this lock") = None;
                if queue.send(event(Heard::Down)).is_err() {
                    return;
                }
                std::thread::sleep(AGAIN);
            }
        });
        line
    }

    /// Sends one packet, if the role is there and the packet has room.
    pub fn send<T: Serialize>(&self, value: &T) -> Sent {
        let mut current = self.current.lock().expect("no panic holds this lock");
        match current.as_ref().map(|connection| connection.send_value(value)) {
            Some(Ok(())) => Sent::Yes,
            Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidInput => {
                tracing::error!(%error, "a packet is too large and was not sent");
                Sent::TooLarge
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a packet could not be sent; the line is opened anew");
                // The reading thread holds the other handle: it sees the end and connects again.
                current.take().iter().for_each(Connection::shut);
                Sent::NotNow
            }
            None => Sent::NotNow,
        }
    }

    /// Whether the role is there now.
    pub fn is_up(&self) -> bool {
        self.current.lock().expect("no panic holds this lock").is_some()
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The role has it.
    Yes,
    /// The role is not there; what is pending is sent when it is back.
    NotNow,
    /// It has no room in a packet and never will.
    TooLarge,
}

/// What a line tells the core.
pub enum Heard<T> {
    /// The role is there (again).
    Up,
    /// The role said something.
    Said(T),
    /// The role is gone.
    Down,
}
