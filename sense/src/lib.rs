//! Reads the node: processes, load, logs, crontabs and who lives here. Reads hostile bytes, so it changes nothing.
//!
//! Each module turns what it reads into [`model::order::Finding`]s; none decides what is done about them.

#![forbid(unsafe_code)]

pub mod attribution;
pub mod country;
pub mod cron;
pub mod follow;
pub mod inventory;
pub mod load;
pub mod locate;
pub mod login;
pub mod mail;
pub mod process;
pub mod reading;
mod shell;
pub mod snapshot;
pub mod web;
