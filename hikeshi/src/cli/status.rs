//! `hikeshi status`: what runs, what is restricted, what waits for a person, what cannot be seen.

use engine::{Account, Status};
use model::packet::{FromCore, ToCore};
use model::{Measure, Unclear};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::cli::{Common, Format, ask, print};
use crate::exit::{Answer, Exit};

#[derive(Serialize)]
struct Shown {
    mode: model::Mode,
    /// The stop switch is on: nothing new is imposed.
    disarmed: bool,
    running: bool,
    roles: Vec<(String, bool)>,
    accounts: u64,
    incidents: Vec<Line>,
    waits_for_a_person: Vec<String>,
    cannot_be_seen: Vec<String>,
    /// Virtual hosts that cannot be closed because the gate's line is missing.
    without_gate: Vec<String>,
    unclear: Vec<Unclear>,
    /// Restrictions of our own roles that are not in force.
    unprotected: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    incident: String,
    account: String,
    state: String,
    opened: String,
    restricted: String,
    notices: String,
}

/// Prints the state; 10 when something is open, 11 when something cannot be seen.
pub fn status(common: &Common) -> Answer {
    let config = ask::config(common)?;
    let mut shown = Shown {
        mode: config.policy().mode,
        disarmed: config.is_disarmed(),
        running: false,
        roles: Vec::new(),
        accounts: 0,
        incidents: Vec::new(),
        waits_for_a_person: Vec::new(),
        cannot_be_seen: Vec::new(),
        without_gate: without_gate(&config),
        unclear: Vec::new(),
        unprotected: crate::role::rights::missing(&config),
    };
    match ask::ask(&config, &ToCore::Status) {
        Ok(FromCore::Status { roles, blind, unclear, accounts, .. }) => {
            shown.running = true;
            (shown.roles, shown.cannot_be_seen, shown.unclear, shown.accounts) = (roles, blind, unclear, accounts);
        }
        Ok(_) | Err(_) => shown
            .cannot_be_seen
            .push("nothing new: `hikeshi serve` is not running (what is restricted stays restricted)".into()),
    }
    if let Ok(store) = ask::store(&config) {
        for account in folds(&store)? {
            collect(&account, &mut shown);
        }
    }
    match common.format {
        Format::Json => print::json(&shown)?,
        Format::Human => show(&shown),
    }
    Ok(match () {
        () if !shown.incidents.is_empty() => Exit::Findings,
        () if !shown.cannot_be_seen.is_empty() => Exit::Partial,
        () => Exit::Ok,
    })
}

/// At most ten, the rest counted.
fn without_gate(config: &crate::config::Config) -> Vec<String> {
    let missing = crate::setup::missing(config);
    let mut lines: Vec<String> = missing.iter().take(10).map(|m| format!("{} ({})", m.name, m.place)).collect();
    if missing.len() > 10 {
        lines.push(format!("and {} more", missing.len() - 10));
    }
    lines
}

/// The folds of all accounts that ever had an incident.
pub fn folds(store: &store::View) -> Result<Vec<Account>, crate::exit::CommandError> {
    let failed = |e: store::StoreError| crate::exit::CommandError::failure(e.to_string());
    let mut accounts = Vec::new();
    for incident in store.incidents(10_000).map_err(failed)? {
        if !accounts.iter().any(|a: &Account| a.account == incident.account) {
            accounts.push(crate::core::fold(store, &incident.account).map_err(failed)?);
        }
    }
    Ok(accounts)
}

fn collect(account: &Account, shown: &mut Shown) {
    for incident in account.open_incidents() {
        let lost = incident
            .notices
            .iter()
            .filter(|n| matches!(n.delivery, Some(model::Delivery::Undeliverable { .. })))
            .count();
        shown.incidents.push(Line {
            incident: incident.number.to_string(),
            account: account.account.to_string(),
            state: print::state(incident.state()).into(),
            opened: incident.opened.to_string(),
            restricted: print::in_force(incident),
            notices: match lost {
                0 => incident.notices.len().to_string(),
                lost => format!("{} ({lost} NOT DELIVERED)", incident.notices.len()),
            },
        });
        for given in incident.restrictions.iter().filter(|g| g.status == Status::Proposed) {
            let what = match &given.restriction.measure {
                Measure::PageOperator => format!("look: {}", given.restriction.why.rule),
                Measure::AskOwner => "ask the owner about a suspicious program".into(),
                other => {
                    format!("would {}; `hikeshi incident confirm {}` does it", print::measure(other), incident.number)
                }
            };
            shown.waits_for_a_person.push(format!("{} {} {what}", incident.number, account.account));
        }
    }
}

fn show(shown: &Shown) {
    let roles: Vec<String> = shown
        .roles
        .iter()
        .map(|(name, up)| if *up { name.green().to_string() } else { format!("{} (down)", name.red()) })
        .collect();
    let running = if shown.running { "running".green().to_string() } else { "not running".red().bold().to_string() };
    let mode = format!("{:?}", shown.mode).to_lowercase();
    let mode = if shown.disarmed { "disarmed (`hikeshi arm` ends it)".to_owned() } else { mode };
    anstream::println!("hikeshi {running}, mode {}, {} accounts  {}", mode.bold(), shown.accounts, roles.join(" "));
    if shown.incidents.is_empty() {
        anstream::println!("\nNo open incident.");
    } else {
        let mut table = print::table(&["incident", "account", "state", "opened", "restricted", "notices"]);
        for line in &shown.incidents {
            table.add_row([&line.incident, &line.account, &line.state, &line.opened, &line.restricted, &line.notices]);
        }
        anstream::println!("\n{table}");
    }
    list("Waits for a person", &shown.waits_for_a_person);
    list("Cannot be seen", &shown.cannot_be_seen);
    list("Without gate, cannot be closed (`hikeshi setup`)", &shown.without_gate);
    list("Hikeshi itself is less protected", &shown.unprotected);
    let unclear: Vec<String> = shown.unclear.iter().map(|u| format!("{}: {}", u.subject, u.why)).collect();
    list("Ownership unclear", &unclear);
}

fn list(title: &str, lines: &[String]) {
    if !lines.is_empty() {
        anstream::println!("\n{}", title.bold());
        for line in lines {
            anstream::println!("  - {}", print::safe(line));
        }
    }
}
