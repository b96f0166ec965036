//! `hikeshi incident`: list and show; confirm, release, dismiss, uphold; pass on what an owner said.

use std::net::IpAddr;

use clap::{Subcommand, ValueEnum};
use engine::{Account, Incident};
use model::packet::{PassKey, ToCore};
use model::{AccountName, Hash, Moment, Number, Operator, Owner};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::cli::{Common, Format, ask, print, status};
use crate::exit::{Answer, CommandError, Exit};

/// What can be done with incidents.
#[derive(Subcommand)]
pub enum IncidentCommand {
    /// List incidents, newest first
    List {
        /// Ended ones too
        #[arg(long)]
        all: bool,
    },
    /// Show one incident: what was seen, decided, done, told
    Show {
        /// Incident number
        number: Number,
        /// As it was at this time (RFC 3339)
        #[arg(long, value_parser = moment)]
        at: Option<Moment>,
        /// Print the letters too
        #[arg(long)]
        letters: bool,
    },
    /// Do what was proposed (advise mode)
    Confirm {
        /// Incident number
        number: Number,
    },
    /// End all restrictions now, without waiting for verification and stages
    Release {
        /// Incident number
        number: Number,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// It was a false alarm: undo everything, apologise, never alarm for this finding again
    Dismiss {
        /// Incident number
        number: Number,
        /// What it really was; the owner reads this
        #[arg(long)]
        truth: String,
    },
    /// Keep the restrictions after an objection
    Uphold {
        /// Incident number
        number: Number,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// Pass on what the owner said; it is bound to the open incident whatever number he quotes
    Reply {
        /// The account that spoke
        account: AccountName,
        /// What he says
        #[arg(value_enum)]
        what: Said,
        /// The number that he quoted, if any
        #[arg(long)]
        quoted: Option<Number>,
        /// His words, for question and review
        #[arg(long)]
        text: Option<String>,
        /// Address of his browser, for `pass` (default: a one-time token is made)
        #[arg(long)]
        address: Option<IpAddr>,
    },
}

/// What an owner can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Said {
    /// The work is done: check it
    Done,
    /// A question
    Question,
    /// A person shall look again
    Review,
    /// I cannot do it
    Cannot,
    /// It was me
    ItWasMe,
    /// Send the notice again
    Resend,
    /// Let my own browser see the closed site
    Pass,
}

fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| "write the time as 2026-03-21T11:46:53+09:00".into())
}

/// Runs one of them.
pub fn incident(common: &Common, command: IncidentCommand) -> Answer {
    let by = ask::operator();
    let (number, what) = match command {
        IncidentCommand::List { all } => return list(common, all),
        IncidentCommand::Show { number, at, letters } => return show(common, number, at, letters),
        IncidentCommand::Reply { account, what, quoted, text, address } => {
            return reply(common, account, what, quoted, text, address);
        }
        IncidentCommand::Confirm { number } => (number, Operator::Confirm(number)),
        IncidentCommand::Release { number, reason } => (number, Operator::Release { incident: number, reason }),
        IncidentCommand::Dismiss { number, truth } => (number, Operator::Dismiss { incident: number, truth }),
        IncidentCommand::Uphold { number, reason } => (number, Operator::Uphold { incident: number, reason }),
    };
    let account = owner_of(common, number)?;
    ask::order(common, &ToCore::Operator { account, by, what })
}

/// The account that an incident belongs to.
pub fn owner_of(common: &Common, number: Number) -> Result<AccountName, CommandError> {
    let store = ask::store(&ask::config(common)?)?;
    match store.incident_account(number).map_err(|e| CommandError::failure(e.to_string()))? {
        Some(account) => Ok(account.name),
        None => Err(CommandError::usage(format!(
            "no incident {number} on this node; `hikeshi incident list --all` shows all"
        ))),
    }
}

fn reply(
    common: &Common,
    account: AccountName,
    what: Said,
    quoted: Option<Number>,
    text: Option<String>,
    address: Option<IpAddr>,
) -> Answer {
    let words = || text.clone().ok_or_else(|| CommandError::usage("give his words with --text"));
    let mut pass = None;
    let what = match what {
        Said::Done => Owner::Done,
        Said::Question => Owner::Question(Hash::of(words()?.as_bytes())),
        Said::Review => Owner::Object(Hash::of(words()?.as_bytes())),
        Said::Cannot => Owner::Cannot,
        Said::ItWasMe => Owner::ItWasMe,
        Said::Resend => Owner::Resend,
        Said::Pass => {
            let key = match address {
                Some(address) => PassKey::Address(address),
                None => PassKey::Token(random()?),
            };
            let named = Hash::of(key.row().as_bytes());
            if let PassKey::Token(_) = key {
                let token = key.row();
                anstream::println!("open SITE/__hk/pass?t={} in that browser", token.trim_start_matches("tok:"));
            }
            pass = Some(key);
            Owner::Pass(named)
        }
    };
    ask::order(common, &ToCore::Owner { account, quoted, what, text, pass })
}

/// 128 bits of the kernel's randomness.
fn random() -> Result<[u8; 16], CommandError> {
    let mut bytes = [0u8; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

#[derive(Serialize)]
struct Row {
    incident: String,
    account: String,
    trouble: String,
    state: String,
    opened: String,
    restricted: String,
    relapse_of: Option<String>,
}

fn row(account: &Account, incident: &Incident) -> Row {
    Row {
        incident: incident.number.to_string(),
        account: account.account.to_string(),
        trouble: format!("{:?}", incident.trouble).to_lowercase(),
        state: print::state(incident.state()).into(),
        opened: incident.opened.to_string(),
        restricted: print::in_force(incident),
        relapse_of: incident.relapse_of.map(|n| n.to_string()),
    }
}

fn list(common: &Common, all: bool) -> Answer {
    let store = ask::store(&ask::config(common)?)?;
    let accounts = status::folds(&store)?;
    let mut rows: Vec<Row> = Vec::new();
    for account in &accounts {
        rows.extend(account.incidents.iter().filter(|i| all || i.is_open()).map(|i| row(account, i)));
    }
    rows.sort_by(|a, b| b.opened.cmp(&a.opened));
    match common.format {
        Format::Json => print::json(&rows)?,
        Format::Human if rows.is_empty() => anstream::println!("No {}incident.", if all { "" } else { "open " }),
        Format::Human => {
            let mut table = print::table(&["incident", "account", "trouble", "state", "opened", "restricted"]);
            for r in &rows {
                table.add_row([&r.incident, &r.account, &r.trouble, &r.state, &r.opened, &r.restricted]);
            }
            anstream::println!("{table}");
        }
    }
    Ok(if rows.is_empty() { Exit::Ok } else { Exit::Findings })
}

fn show(common: &Common, number: Number, at: Option<Moment>, letters: bool) -> Answer {
    let config = ask::config(common)?;
    let store = ask::store(&config)?;
    let failed = |e: store::StoreError| CommandError::failure(e.to_string());
    let name = owner_of(common, number)?;
    let until = at.unwrap_or(Moment(i64::MAX));
    let events = store.events_until(&name, until).map_err(failed)?;
    // Events of the account as a whole are folded; those of the incident are shown.
    let own: Vec<_> = events.iter().filter(|e| e.event.incident() == Some(number)).collect();
    if own.is_empty() {
        return Err(CommandError::usage(format!("{number} was not open yet at that time")));
    }
    if common.format == Format::Json {
        print::json(&own.iter().map(|e| &e.event).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    let mut account = Account::new(own[0].event.account.clone());
    for stored in events.iter().filter(|s| s.event.account == own[0].event.account) {
        account.apply(model::IntentId(stored.seq), &stored.event);
    }
    summary(&account, number);
    for stored in &own {
        anstream::println!("{}  {}", stored.event.at.dimmed(), print::coloured(&print::event_line(&stored.event)));
        if let model::Fact::SignalJoined { signal, .. } = &stored.event.fact {
            match store
                .body(&signal.evidence)
                .map_err(failed)?
                .map(|b| serde_json::from_slice::<model::Evidence>(&b.bytes))
            {
                Some(Ok(evidence)) => {
                    for (key, value) in evidence.0 {
                        anstream::println!("                        {key:?}: {value}");
                    }
                }
                _ => anstream::println!("                        (evidence no longer kept)"),
            }
        }
        if let (true, model::Fact::NoticeOrdered { notice, .. }) = (letters, &stored.event.fact)
            && let Some(letter) = crate::core::letters::stored(&store, *notice).map_err(failed)?
        {
            anstream::println!("\n{}\n{}\n", letter.subject.bold(), letter.text);
        }
    }
    Ok(Exit::Ok)
}

/// What an operator wants to know first: where it stands, what is limited, what the owner was told.
fn summary(account: &Account, number: Number) {
    let Some(incident) = account.incident(number) else { return };
    let relapse = incident.relapse_of.map(|n| format!(", relapse of {n}?")).unwrap_or_default();
    anstream::println!(
        "{}  account {}  {}{relapse}\n",
        number.bold(),
        account.account,
        print::state(incident.state()).bold()
    );
    let mut table = print::table(&["restriction", "what", "where it stands", "rule"]);
    for given in &incident.restrictions {
        let (id, why) = (given.restriction.id, &given.restriction.why);
        table.add_row([
            format!("/{}", id.ordinal),
            print::measure(&given.restriction.measure),
            print::status(&given.status),
            why.rule.clone(),
        ]);
    }
    if !incident.restrictions.is_empty() {
        anstream::println!("{table}\n");
    }
}
