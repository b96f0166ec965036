//! The command line: what can be asked for, and which file answers.

pub mod allow;
pub mod arm;
pub mod ask;
pub mod config;
pub mod evidence;
pub mod explain;
pub mod incident;
pub mod inspect;
pub mod lift;
pub mod print;
pub mod replay;
pub mod restrict;
pub mod setup;
pub mod status;
pub mod undo;
pub mod why;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::exit::Answer;
use crate::{demo, role};

/// Notices a hijacked hosting account, stops the harm with the smallest measure that works, tells the owner,
/// checks the repair, and opens again.
///
/// Start with `hikeshi demo`: it needs no root and no packages. On a server, `hikeshi inspect` reports what can be
/// seen now without touching anything; `hikeshi setup --dry-run` shows what would be added to the web server; then
/// `hikeshi serve` in observe mode, which says what it would do.
///
/// Exit status: 0 ok, 1 failure, 2 usage, 10 findings, 11 something could not be read, 12 refused by policy or
/// guard, 130 interrupted.
#[derive(Parser)]
#[command(version, name = "hikeshi", max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/hikeshi/hikeshi.toml")]
    pub config: PathBuf,
    /// Form of what is printed
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub format: Format,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: tables, colours when a terminal is there.
    Human,
    /// For programs: one JSON document.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Play the whole story on this machine: no root, no packages, under a minute
    Demo(demo::DemoArgs),
    /// Put the gate into the web server and Postfix, or take it out again
    Setup(setup::SetupArgs),
    /// Run the server: notice, contain, explain, verify, release, watch
    Serve(role::serve::ServeArgs),
    /// What runs, what is restricted, what waits for a person, what cannot be seen
    Status,
    /// Look once at the live node or at recorded input; touches nothing
    Inspect(inspect::InspectArgs),
    /// List and show incidents; confirm, release, dismiss; pass on what an owner said
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Restrict an account by hand
    Restrict(restrict::RestrictArgs),
    /// Lift one restriction by hand
    Lift(lift::LiftArgs),
    /// Take an incident's restrictions back exactly, the last first; also files that a release left set aside
    Undo(undo::UndoArgs),
    /// Stop switch: nothing new is imposed from now on, whoever orders it; what is in force stays so
    Disarm(arm::DisarmArgs),
    /// End the stop switch
    Arm,
    /// Export what is kept of an incident, or check that nothing of the log was changed
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Say why a finding counts: what was observed, what the rule asks for, what would have made it harmless
    Explain(explain::ExplainArgs),
    /// List, give and end permissions: findings that a person knows to be harmless
    #[command(subcommand)]
    Allow(allow::AllowCommand),
    /// Say why a site does not answer: our restriction (with its number) or something else
    Why(why::WhyArgs),
    /// Decide recorded signals again under another mode or policy and show the difference
    Replay(replay::ReplayArgs),
    /// Check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Run one role (started by `serve`)
    #[command(hide = true)]
    Role(role::RoleArgs),
}

/// Runs what was asked for.
pub fn run(arguments: Arguments) -> Answer {
    let common = &arguments.common;
    match arguments.command {
        Command::Demo(args) => demo::demo(args),
        Command::Setup(args) => setup::setup(common, args),
        Command::Serve(args) => role::serve::serve(common, args),
        Command::Status => status::status(common),
        Command::Inspect(args) => inspect::inspect(common, args),
        Command::Incident(command) => incident::incident(common, command),
        Command::Restrict(args) => restrict::restrict(common, args),
        Command::Lift(args) => lift::lift(common, args),
        Command::Undo(args) => undo::undo(common, args),
        Command::Disarm(args) => arm::disarm(common, args),
        Command::Arm => arm::arm(common),
        Command::Evidence(command) => evidence::evidence(common, command),
        Command::Explain(args) => explain::explain(common, args),
        Command::Allow(command) => allow::allow(common, command),
        Command::Why(args) => why::why(common, args),
        Command::Replay(args) => replay::replay(common, args),
        Command::Config(command) => config::config(common, command),
        Command::Role(args) => role::run(common, args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
