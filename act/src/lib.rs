//! Carries out typed orders on the node: closes and opens sites, holds mail, freezes processes.
//!
//! Runs with privilege and therefore reads nothing that a tenant wrote: only typed packets, kernel data, its own
//! journal and answers of a fixed list of programs. What it did stays where it is enforced (flag files, the hold
//! table, a freezer cgroup), so it holds when this process is dead.

#![forbid(unsafe_code)]

mod actor;
mod budget;
mod config;
mod cron;
mod effect;
mod files;
mod freeze;
pub mod gate;
mod guard;
mod journal;
mod login;
mod mail;
pub mod net;
pub mod postfix;
mod program;
mod serve;
mod sessions;
mod wanted;

pub use actor::Actor;
pub use config::{
    Budgets, Clock, Config, LoginConfig, MailDeny, NetConfig, PostfixConfig, Reach, SshDeny, Steps, SystemClock,
};
pub use journal::links;
pub use serve::serve;
pub use sys::dir::reachable;
