//! Reads the node: processes, load, mail logs and who lives here. Reads hostile bytes, so it changes nothing.
//!
//! Each module turns what it reads into [`model::order::Finding`]s; none decides what is done about them.

#![forbid(unsafe_code)]

pub mod attribution;
pub mod cron;
pub mod follow;
pub mod inventory;
pub mod load;
pub mod locate;
pub mod login;
pub mod mail;
pub mod process;
pub mod reading;
pub mod requests;
mod shell;
pub mod snapshot;
