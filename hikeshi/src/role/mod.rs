//! The roles: processes of this one binary, each started by `serve` with the same configuration.

pub mod act;
pub mod desk;
pub mod rights;
pub mod sense;
pub mod serve;

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sys::sandbox::attempt::Tried;
use sys::socket::{Connection, Listener};

use crate::cli::Common;
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};
use rights::{Rights, Users};

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
    /// Do not play the role: show or try its rights
    #[arg(long, value_enum)]
    check: Option<Check>,
    /// A tenant's file, for `--check`
    #[arg(long)]
    target: Option<PathBuf>,
}

/// What can be asked of a role's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Check {
    /// Print the row of the table.
    Rights,
    /// Try what the role must never do, with its rights alone.
    Inside,
    /// Try the same with the rights of whoever asks.
    Outside,
}

/// Runs a role until its end.
pub fn run(common: &Common, args: RoleArgs) -> Answer {
    start_log(args.role.name());
    sys::process::end_with_parent()?;
    let config = crate::parts::load(&common.config)?;
    let clock = Clock::from_argument(args.clock);
    let users = Users::find(&config);
    let rights = Rights::of(args.role, &config, &clock, &users);
    if let Some(what) = args.check {
        return check(what, args.role, &config, &rights, args.target.as_deref());
    }
    match args.role {
        Role::Act => act::run(config, clock, args.hand, &users, &rights),
        Role::Sense => sense::run(config, clock, &users, &rights),
        Role::Desk => desk::run(config, &users, &rights),
        Role::Core => crate::core::run(config, clock, &users, &rights),
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

/// Prints the role's rights, or tries what it must never do, one line each.
fn check(what: Check, role: Role, config: &Config, rights: &Rights, target: Option<&Path>) -> Answer {
    if what == Check::Rights {
        crate::cli::print::json(&rights.row())?;
        return Ok(Exit::Ok);
    }
    let attempts = rights::attempts(role, config, target);
    if what == Check::Inside {
        rights.apply(&mut |missing| anstream::println!("missing {missing}"))?;
    }
    let mut allowed = 0;
    for attempt in &attempts {
        // The last one replaces this process when it is allowed.
        let word = match attempt.result() {
            Tried::Denied => "denied",
            Tried::Absent => "absent",
            Tried::Allowed => "ALLOWED",
        };
        allowed += usize::from(word == "ALLOWED");
        anstream::println!("{word} {}", attempt.name());
    }
    Ok(if allowed == 0 { Exit::Ok } else { Exit::Findings })
}

/// Binds a role's socket: the core's group may connect, or our own uid alone where the core has no other.
pub fn listen(path: &Path, users: &Users) -> Result<Listener, CommandError> {
    let bound = match users.core_group() {
        Some(group) => Listener::bind_for(path, 0o660, Some(group)),
        None => Listener::bind(path, 0o600),
    };
    bound.map_err(|e| CommandError::failure(format!("cannot listen at {}: {e}", path.display())))
}

/// Whether the other end has the uid that belongs there; a foreign one is refused and that is said.
pub fn is_from(connection: &Connection, uid: u32) -> bool {
    match connection.peer() {
        Ok(peer) if peer.uid == uid => true,
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
