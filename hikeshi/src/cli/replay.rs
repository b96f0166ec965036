//! `hikeshi replay`: decide recorded signals again under another mode, and show the difference.
//!
//! Reads the store only. Restrictions that the recorded policy ordered or proposed stand beside those that the
//! other one would.

use std::collections::BTreeMap;

use clap::ValueEnum;
use engine::{Account, Policy, step};
use model::{Event, Fact, Input, IntentId, Mode, Moment, Number};
use serde::Serialize;

use crate::cli::{Common, Format, ask, print};
use crate::exit::{Answer, CommandError, Exit};

/// Arguments of `replay`.
#[derive(clap::Args)]
pub struct ReplayArgs {
    /// The other mode
    #[arg(long, value_enum, default_value = "enforce")]
    mode: OtherMode,
    /// Only signals since then (RFC 3339)
    #[arg(long, value_parser = |t: &str| Moment::parse(t).ok_or("write the time as 2026-03-21T00:00:00+09:00"))]
    since: Option<Moment>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OtherMode {
    Observe,
    Advise,
    Enforce,
}

#[derive(Serialize)]
struct Difference {
    account: String,
    signals: usize,
    recorded: Vec<String>,
    replayed: Vec<String>,
}

/// Prints one line an account that would be treated otherwise; 10 when there is one.
pub fn replay(common: &Common, args: ReplayArgs) -> Answer {
    let config = ask::config(common)?;
    let store = ask::store(&config)?;
    let mode = match args.mode {
        OtherMode::Observe => Mode::Observe,
        OtherMode::Advise => Mode::Advise,
        OtherMode::Enforce => Mode::Enforce,
    };
    let policy = Policy { mode, ..config.policy() };
    let since = args.since.unwrap_or(Moment::EPOCH);
    let mut played: BTreeMap<String, (Account, Difference)> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = store.event_range(after, 1000).map_err(|e| CommandError::failure(e.to_string()))?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for stored in page.iter().filter(|s| s.event.at >= since) {
            again(&mut played, &policy, &stored.event);
        }
    }
    let differences: Vec<Difference> =
        played.into_values().map(|(_, d)| d).filter(|d| d.recorded != d.replayed).collect();
    match common.format {
        Format::Json => print::json(&differences)?,
        Format::Human if differences.is_empty() => anstream::println!("No account would be treated otherwise."),
        Format::Human => {
            let mut table = print::table(&["account", "signals", "recorded", "replayed"]);
            for d in &differences {
                table.add_row([&d.account, &d.signals.to_string(), &d.recorded.join("\n"), &d.replayed.join("\n")]);
            }
            anstream::println!("{table}");
        }
    }
    Ok(if differences.is_empty() { Exit::Ok } else { Exit::Findings })
}

/// Signals are decided anew; what was recorded of restrictions is only noted.
fn again(played: &mut BTreeMap<String, (Account, Difference)>, policy: &Policy, event: &Event) {
    let (account, difference) = played.entry(event.account.to_string()).or_insert_with(|| {
        let name = event.account.to_string();
        (
            Account::new(event.account.clone()),
            Difference { account: name, signals: 0, recorded: vec![], replayed: vec![] },
        )
    });
    let input = match &event.fact {
        Fact::SignalJoined { signal, .. } => {
            difference.signals += 1;
            Input::Signal(signal.clone())
        }
        Fact::SitesSeen { sites } => Input::Inventory(sites.clone()),
        other => {
            difference.recorded.extend(given(other));
            return;
        }
    };
    // Numbers must only differ from one another here; nothing of a replay is stored.
    while account.incident(Number::new(event.at, account.serial)).is_some() {
        account.serial += 1;
    }
    for event in step(account, policy, event.at, input) {
        account.apply(IntentId(difference.signals as u64), &event);
        difference.replayed.extend(given(&event.fact));
    }
}

fn given(fact: &Fact) -> Option<String> {
    match fact {
        Fact::RestrictionOrdered { restriction, .. } => {
            Some(format!("impose {}", print::measure(&restriction.measure)))
        }
        Fact::RestrictionProposed { restriction } => Some(format!("propose {}", print::measure(&restriction.measure))),
        _ => None,
    }
}
