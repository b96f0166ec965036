//! `hikeshi`: one binary for the operator's commands, the server and its roles.
//!
//! Wiring only: each command is one file below `cli`, each role one below `role`; what they do is in the rooms
//! `sense`, `engine`, `store`, `act` and `desk`.

#![forbid(unsafe_code)]

mod cli;
mod clock;
mod config;
mod core;
mod demo;
mod exit;
mod link;
mod parts;
mod records;
mod role;
mod setup;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    demo::tenant::play_if_told();
    let arguments = cli::Arguments::parse();
    match cli::run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            use owo_colors::OwoColorize;
            anstream::eprintln!("{} {error}", "hikeshi:".red().bold());
            ExitCode::from(error.code)
        }
    }
}
