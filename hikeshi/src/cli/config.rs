//! `hikeshi config check`: everything that is wrong with the configuration, at once, with what would be right.

use clap::Subcommand;
use owo_colors::OwoColorize;

use crate::cli::Common;
use crate::exit::{Answer, CommandError, Exit};

/// What can be done with the configuration.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check it; 10 when there is something to look at
    Check,
}

/// Checks it.
pub fn config(common: &Common, command: ConfigCommand) -> Answer {
    let ConfigCommand::Check = command;
    let report = crate::config::check(&common.config);
    for warning in &report.warnings {
        anstream::println!("{} {warning}", "warning:".yellow().bold());
    }
    for error in &report.errors {
        anstream::println!("{} {error}", "error:".red().bold());
    }
    if !report.errors.is_empty() {
        return Err(CommandError::usage(format!("{} has {} error(s)", common.config.display(), report.errors.len())));
    }
    anstream::println!("{} is good", common.config.display());
    Ok(if report.warnings.is_empty() { Exit::Ok } else { Exit::Findings })
}
