//! `hikeshi setup`: shows, then writes the gate's include lines and the table of held mail; takes them out again.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use model::Operator;
use model::packet::{FromCore, ToCore};
use owo_colors::OwoColorize;

use crate::cli::{Common, ask, status};
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};
use crate::setup::{Part, Plan, SetupError, Texts, apply, plan, plan_removal};

/// Longest wait for restrictions to be lifted before a removal.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `setup`.
#[derive(clap::Args)]
pub struct SetupArgs {
    /// Show what would be written and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Lift everything and take every include out again
    #[arg(long)]
    remove: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Only nginx, apache or postfix
    #[arg(long)]
    only: Option<Part>,
}

/// Shows the plan, asks, carries it out. Exit status 11 when a file was left alone.
pub fn setup(common: &Common, args: SetupArgs) -> Answer {
    let config = ask::config(common)?;
    let failed = |e: SetupError| CommandError::failure(e.to_string());
    let made = match args.remove {
        true => plan_removal(&config, args.only).map_err(failed)?,
        false => plan(&config, &texts(&config)?, args.only).map_err(failed)?,
    };
    show(&made);
    let partial = if made.refused.is_empty() { Exit::Ok } else { Exit::Partial };
    if args.dry_run {
        return Ok(partial);
    }
    if made.nothing_to_do() {
        anstream::println!("Nothing to do.");
        return Ok(partial);
    }
    if !args.yes && !confirmed()? {
        return Err(CommandError::refused("nothing was changed"));
    }
    if args.remove && args.only.is_none() {
        lift_everything(&config)?;
    }
    let done = apply(&config, &made).map_err(failed)?;
    for line in &done.said {
        anstream::println!("{} {line}", "done:".green().bold());
    }
    Ok(partial)
}

fn texts(config: &Config) -> Result<Texts, CommandError> {
    let gate = &config.paths.gate.0;
    let failed = |e: String| CommandError::usage(format!("{e} ([paths] gate)"));
    Ok(Texts {
        nginx: act::gate::nginx_include(gate).map_err(failed)?,
        apache: act::gate::apache_include(gate).map_err(failed)?,
    })
}

fn show(plan: &Plan) {
    for line in plan.diff().lines() {
        match line.as_bytes().first() {
            Some(b'+') => anstream::println!("{}", line.green()),
            Some(b'-') => anstream::println!("{}", line.red()),
            _ => anstream::println!("{line}"),
        }
    }
    for refused in &plan.refused {
        let paths: Vec<String> = refused.paths.iter().map(|p| p.display().to_string()).collect();
        anstream::println!("{} {}: {}", "left alone:".yellow().bold(), paths.join(", "), refused.why);
    }
    for note in &plan.notes {
        anstream::println!("{} {note}", "note:".cyan().bold());
    }
}

fn confirmed() -> Result<bool, CommandError> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage("read the plan above, then run it again with --yes"));
    }
    anstream::print!("\nWrite this? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Releases every incident, so that nothing stays frozen or held when the gate is gone.
fn lift_everything(config: &Config) -> Result<(), CommandError> {
    let began = Instant::now();
    let mut asked = false;
    loop {
        let Ok(store) = ask::store(config) else { return Ok(()) }; // there never was a core
        let mut standing = Vec::new();
        for account in status::folds(&store)? {
            let open = account.open_incidents().filter(|i| i.in_force().next().is_some());
            standing.extend(open.map(|i| (account.account.name.clone(), i.number)));
        }
        if standing.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let list: Vec<String> = standing.iter().map(|(_, n)| n.to_string()).collect();
            return Err(CommandError::failure(format!(
                "not lifted in time: {}; see `hikeshi status`",
                list.join(", ")
            )));
        }
        for (account, incident) in standing.into_iter().filter(|_| !asked) {
            let what = Operator::Release { incident, reason: "setup --remove".into() };
            match ask::ask(config, &ToCore::Operator { account, by: ask::operator(), what })? {
                FromCore::Done(lines) => lines.iter().for_each(|l| anstream::println!("{l}")),
                other => return Err(CommandError::failure(format!("{incident} could not be released: {other:?}"))),
            }
        }
        asked = true;
        std::thread::sleep(Duration::from_millis(200));
    }
}
