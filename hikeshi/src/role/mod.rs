//! The roles: processes of this one binary, each started by `serve` with the same configuration.

pub mod act;
pub mod desk;
pub mod sense;
pub mod serve;

use std::os::fd::RawFd;
use std::path::PathBuf;

use clap::ValueEnum;
use sys::socket::Connection;

use crate::cli::Common;
use crate::clock::Clock;
use crate::exit::Answer;

/// Which role a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Changes the node; reads only typed orders.
    Act,
    /// Reads the node.
    Sense,
    /// Sends notices, probes sites.
    Desk,
    /// Decides and stores.
    Core,
}

impl Role {
    /// In the order in which `serve` starts them: whoever can contain is there first.
    pub const ALL: [Role; 4] = [Role::Act, Role::Sense, Role::Desk, Role::Core];

    /// As it is written on the command line and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Act => "act",
            Role::Sense => "sense",
            Role::Desk => "desk",
            Role::Core => "core",
        }
    }
}

/// How `serve` starts a role.
#[derive(clap::Args, Clone, Debug)]
pub struct RoleArgs {
    role: Role,
    /// Clock file of a demo or story
    #[arg(long)]
    clock: Option<PathBuf>,
    /// Descriptor on which pidfds are handed over; then nothing else may be touched
    #[arg(long)]
    hand: Option<RawFd>,
}

/// Runs a role until its end.
pub fn run(common: &Common, args: RoleArgs) -> Answer {
    start_log(args.role.name());
    sys::process::end_with_parent()?;
    let config = crate::parts::load(&common.config)?;
    let clock = Clock::from_argument(args.clock);
    match args.role {
        Role::Act => act::run(config, clock, args.hand),
        Role::Sense => sense::run(config, clock),
        Role::Desk => desk::run(config),
        Role::Core => crate::core::run(config, clock),
    }
}

/// Log lines go to standard error, where systemd's journal takes them; `HIKESHI_LOG` sets the level.
fn start_log(role: &'static str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HIKESHI_LOG").unwrap_or_else(|_| "info".into());
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // The journal has its own time stamps; a terminal and a file do not.
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => format.without_time().with_ansi(false).init(),
        None => format.with_ansi(false).init(),
    }
    std::panic::set_hook(Box::new(move |info| {
        tracing::error!(role, "a part of this role broke: {info}");
        // A role that is half broken is worse than none: it ends, and `serve` starts it anew.
        std::process::abort();
    }));
}

/// Whether the other end is root or our own uid; a foreign one is refused and that is said.
pub fn is_trusted(connection: &Connection) -> bool {
    let own = rustix::process::geteuid().as_raw();
    match connection.peer() {
        Ok(peer) if peer.uid == 0 || peer.uid == own => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid, pid = peer.pid, "a connection of a foreign uid was refused");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "a connection without credentials was refused");
            false
        }
    }
}
