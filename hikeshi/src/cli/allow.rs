//! `hikeshi allow`: findings that a person knows to be harmless: who said so, why, and until when.
//!
//! Exact: one finding of one account (the same mechanism with the same file, line, mailbox or login), never a kind or
//! a pattern. A dismissed incident's findings never alarm again; a permission ends by itself.

use std::collections::BTreeMap;

use clap::Subcommand;
use model::packet::ToCore;
use model::{AccountName, AccountRef, Fact, Hash, Kind, Moment, Number, Operator, Span};
use serde::Serialize;
use store::View;

use crate::cli::{Common, Format, ask, incident, print};
use crate::clock::system_now;
use crate::exit::{Answer, CommandError, Exit};

/// Longest permission, days: what nobody looked at for so long has to be looked at again.
const DAYS_MAX: u16 = 366;

/// What can be done with permissions.
#[derive(Subcommand)]
pub enum AllowCommand {
    /// List what is permitted now
    List {
        /// What has ended too
        #[arg(long)]
        all: bool,
    },
    /// Permit the findings of an incident, or one of them
    Add {
        /// The incident in which it was seen
        incident: Number,
        /// Only this finding: the first digits of its fingerprint, as `hikeshi explain` shows it
        #[arg(long, value_name = "FINDING")]
        finding: Option<String>,
        /// Why it is harmless, for the record
        #[arg(long)]
        reason: String,
        /// For how many days
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=i64::from(DAYS_MAX)))]
        days: u16,
    },
    /// End a permission now
    End {
        /// The first digits of its fingerprint, as `hikeshi allow list` shows it
        finding: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
}

/// One permission.
#[derive(Serialize)]
struct Permission {
    account: AccountName,
    finding: Hash,
    kind: Option<Kind>,
    by: String,
    reason: String,
    since: Moment,
    until: Moment,
}

/// Runs one of them.
pub fn allow(common: &Common, command: AllowCommand) -> Answer {
    let store = ask::store(&ask::config(common)?)?;
    let now = system_now();
    match command {
        AllowCommand::List { all } => {
            let mut known = permissions(&store)?;
            known.retain(|p| all || p.until > now);
            list(common, &known, now)
        }
        AllowCommand::Add { incident, finding, reason, days } => {
            let account = incident::owner_of(common, incident)?;
            let found = findings(&store, &account, incident, finding.as_deref())?;
            let until = now + Span::days(i64::from(days));
            for (finding, kind) in found {
                let what = Operator::Allow { kind: Some(kind), finding, reason: reason.clone(), until };
                ask::order(common, &ToCore::Operator { account: account.clone(), by: ask::operator(), what })?;
            }
            Ok(Exit::Ok)
        }
        AllowCommand::End { finding, reason } => {
            let known = permissions(&store)?.into_iter().filter(|p| p.until > now);
            let mut known = known.filter(|p| p.finding.to_string().starts_with(&finding));
            let (one, None) = (known.next(), known.next()) else {
                return Err(CommandError::usage(format!(
                    "\"{finding}\" begins several fingerprints; give more digits"
                )));
            };
            let Some(Permission { account, finding, kind, .. }) = one else {
                return Err(CommandError::usage(format!(
                    "nothing permitted begins with \"{finding}\"; see `allow list`"
                )));
            };
            let what = Operator::Allow { kind, finding, reason, until: now };
            ask::order(common, &ToCore::Operator { account, by: ask::operator(), what })
        }
    }
}

/// Findings of an incident with their kinds; `only` begins the fingerprint of the one that is meant.
fn findings(
    store: &View,
    account: &AccountName,
    number: Number,
    only: Option<&str>,
) -> Result<BTreeMap<Hash, Kind>, CommandError> {
    let events = store.events_until(account, Moment(i64::MAX)).map_err(|e| CommandError::failure(e.to_string()))?;
    let mut found = BTreeMap::new();
    for stored in &events {
        if let Fact::SignalJoined { incident, signal } = &stored.event.fact
            && *incident == number
            && only.is_none_or(|only| signal.fingerprint.to_string().starts_with(only))
        {
            found.insert(signal.fingerprint, signal.kind);
        }
    }
    match (found.len(), only) {
        (0, _) => Err(CommandError::usage(format!("{number} has no such finding; see `hikeshi explain {number}`"))),
        (1, _) | (_, None) => Ok(found),
        (_, Some(only)) => {
            Err(CommandError::usage(format!("\"{only}\" begins several findings of {number}; give more digits")))
        }
    }
}

/// All permissions ever given, the latest word about each finding.
fn permissions(store: &View) -> Result<Vec<Permission>, CommandError> {
    let mut latest: BTreeMap<(AccountRef, Hash), Permission> = BTreeMap::new();
    let mut kinds: BTreeMap<Hash, Kind> = BTreeMap::new();
    let mut by = String::new();
    let mut after = 0;
    loop {
        let page = store.event_range(after, 1000).map_err(|e| CommandError::failure(e.to_string()))?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for stored in page {
            let event = stored.event;
            match event.fact {
                Fact::SignalJoined { signal, .. } => drop(kinds.insert(signal.fingerprint, signal.kind)),
                // Who it was stands in the event right before.
                Fact::OperatorActed { by: who, .. } => by = who,
                Fact::FindingAllowed { finding, reason, until } => {
                    let kind = kinds.get(&finding).copied();
                    let account = event.account.name.clone();
                    let given = Permission { account, finding, kind, by: by.clone(), reason, since: event.at, until };
                    latest.insert((event.account, finding), given);
                }
                _ => {}
            }
        }
    }
    Ok(latest.into_values().collect())
}

fn list(common: &Common, known: &[Permission], now: Moment) -> Answer {
    match common.format {
        Format::Json => print::json(&known)?,
        Format::Human if known.is_empty() => anstream::println!("Nothing is permitted."),
        Format::Human => {
            let mut table = print::table(&["finding", "account", "mechanism", "until", "by", "why"]);
            for p in known {
                let kind = p.kind.map_or("?".to_owned(), |kind| format!("{kind:?}"));
                let until = if p.until > now { p.until.to_string() } else { format!("ended {}", p.until) };
                let finding: String = p.finding.to_string().chars().take(12).collect();
                table.add_row([
                    finding,
                    p.account.to_string(),
                    kind,
                    until,
                    print::safe(&p.by),
                    print::safe(&p.reason),
                ]);
            }
            anstream::println!("{table}");
        }
    }
    Ok(Exit::Ok)
}
