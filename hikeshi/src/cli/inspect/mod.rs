//! `hikeshi inspect`: one look at the live node or at recorded input; prints signals and what would be done.
//!
//! Touches nothing and needs nothing installed. The JSON form is fixed by the head of the case collection's
//! scorer; the human form is what an operator pastes into a ticket.

mod document;
mod live;
mod recorded;
mod show;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::{Choice, Incident, choose};
use model::order::Finding;
use model::{AccountEntry, AccountName, FactKey, FactValue, Kind, Language, Mode, Moment, Number, Strength, Trouble};
use sense::country::CountryFile;
use sense::inventory::Inventory;
use sense::mail::judge::Limits;
use sense::mail::{Settings, Trust, Zone};
use sense::reading::Reading;

use crate::cli::{Common, Format, print};
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};

/// The name of the standard input.
const STDIN: &str = "-";

/// Arguments of `inspect`; without any, the live node is looked at.
#[derive(clap::Args)]
pub struct InspectArgs {
    /// Accounts of the recorded node (form of accounts.d, with [node])
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Recorded process table, one JSON object a line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    processes: Vec<PathBuf>,
    /// Recorded mail log of Postfix or Exim; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    mail_log: Vec<PathBuf>,
    /// Crontab of one account as the spool keeps it; the owner is `--account`, or the file's name
    #[arg(long, value_name = "FILE")]
    crontab: Vec<PathBuf>,
    /// Log of logins or transfers (sshd, FTP, IMAP, panel), styles may be mixed; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    login_log: Vec<PathBuf>,
    /// Recorded access log of a web server; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    access_log: Vec<PathBuf>,
    /// How access logs are written: an nginx log_format or an Apache LogFormat [default: each line tells]
    #[arg(long, value_name = "STRING", value_parser = sense::web::Format::new)]
    access_format: Option<sense::web::Format>,
    /// Time of the record (RFC 3339)
    #[arg(long, value_parser = |t: &str| Moment::parse(t).ok_or("write the time as 2026-03-07T02:30:00+09:00"))]
    at: Option<Moment>,
    /// Report this account alone; it owns recorded files that name nobody
    #[arg(long)]
    account: Option<AccountName>,
}

/// Everything that one look found.
#[derive(Default)]
struct Seen {
    entries: Vec<AccountEntry>,
    reading: Reading,
    processes: u64,
}

/// Looks and reports.
pub fn inspect(common: &Common, args: InspectArgs) -> Answer {
    let recorded = args.is_recorded();
    if recorded && args.inventory.is_none() {
        return Err(CommandError::usage("recorded input needs --inventory FILE: whose processes and mail are they?"));
    }
    let config = crate::parts::load(&common.config)?;
    let mut seen = if recorded { recorded::read(&config, &args)? } else { live::look(&config, &args)? };
    if let Some(only) = &args.account {
        seen.reading.findings.retain(|f| f.signal.account.name == *only);
    }
    let accounts = weigh(&seen);
    match common.format {
        Format::Json => print::json(&document::document(&accounts, &seen))?,
        Format::Human => show::show(&accounts, &seen),
    }
    let found = accounts.iter().any(|a| a.verdict != "benign") || !seen.reading.unattributed.is_empty();
    Ok(match (found, seen.reading.blind.is_empty()) {
        (true, _) => Exit::Findings,
        (false, false) => Exit::Partial,
        (false, true) => Exit::Ok,
    })
}

/// Accounts and findings of recorded input, for whoever decides on them otherwise.
pub fn read_recorded(config: &Config, args: &InspectArgs) -> Result<(Vec<AccountEntry>, Vec<Finding>), CommandError> {
    if args.inventory.is_none() {
        return Err(CommandError::usage("recorded input needs --inventory FILE: whose is it?"));
    }
    let seen = recorded::read(config, args)?;
    Ok((seen.entries, seen.reading.findings))
}

impl InspectArgs {
    /// Whether files are read instead of the live node.
    pub fn is_recorded(&self) -> bool {
        self.inputs().next().is_some()
    }

    /// Whether one of them is the standard input, which can be read once.
    pub fn reads_stdin(&self) -> bool {
        self.inputs().any(|path| path == Path::new(STDIN))
    }

    /// All files that were named.
    fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        let inputs = [&self.processes, &self.mail_log, &self.crontab, &self.login_log, &self.access_log];
        inputs.into_iter().flatten()
    }
}

/// What the mail reader is told; the key makes hashes of recipients that mean nothing elsewhere.
pub fn settings(config: &Config, trust: Trust) -> Result<Settings, CommandError> {
    let mut key = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let limits = Limits { hard_per_hour: u32::try_from(config.mail.hard_mails_per_hour.0).ok(), ..Limits::default() };
    Ok(Settings { key, country: country(config), zone: zone(), trust, limits })
}

/// Two letters of the node's country.
pub fn country(config: &Config) -> Option<[u8; 2]> {
    config.node.country.0.as_bytes().try_into().ok()
}

/// The database of countries, not read yet.
pub fn country_file(config: &Config) -> CountryFile {
    CountryFile::new(config.node.country_database.as_ref().map(|path| path.0.clone()))
}

/// What the reader of login logs is told.
fn login_settings(config: &Config, inventory: &Inventory, trust: Trust) -> sense::login::Settings {
    let (own, never) = (inventory.node.host_addresses.clone(), config.net.never.clone());
    sense::login::Settings { accounts: inventory.accounts.clone().into(), own, never, zone: zone(), trust }
}

/// The node's zone, in which stamps without one are written.
pub fn zone() -> Zone {
    let link = std::fs::read_link("/etc/localtime").ok();
    let name = link.and_then(|path| Zone::get(path.to_string_lossy().split("zoneinfo/").nth(1)?).ok());
    name.unwrap_or(Zone::UTC)
}

/// Whether the log's text can be believed beyond suspicion.
pub fn trust(config: &Config) -> Trust {
    if config.mail.log_is_guarded { Trust::Guarded } else { Trust::Forgeable }
}

/// One account with what was found and what would be done at once in enforce mode.
struct Weighed<'a> {
    account: &'a AccountName,
    verdict: &'static str,
    findings: Vec<&'a Finding>,
    choices: Vec<Choice>,
}

impl Weighed<'_> {
    /// Numbers of the scheduled lines that a choice is about, counted from 1.
    fn lines(&self, choice: &Choice) -> Vec<u64> {
        let carried = self.findings.iter().filter(|f| choice.why.findings.contains(&f.signal.fingerprint));
        let lines = carried.filter_map(|f| match f.evidence.get(FactKey::Lines) {
            Some(FactValue::Text(lines)) => Some(lines.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<u64>>()),
            _ => None,
        });
        lines.flatten().collect()
    }
}

/// Judges each account by its own signals, as the engine would.
fn weigh(seen: &Seen) -> Vec<Weighed<'_>> {
    let mut by_account: BTreeMap<&AccountName, Vec<&Finding>> = BTreeMap::new();
    for finding in &seen.reading.findings {
        by_account.entry(&finding.signal.account.name).or_default().push(finding);
    }
    by_account.into_iter().map(|(account, findings)| weigh_one(seen, account, findings)).collect()
}

fn weigh_one<'a>(seen: &'a Seen, account: &'a AccountName, findings: Vec<&'a Finding>) -> Weighed<'a> {
    let intrusion = |f: &&&Finding| f.signal.trouble() == Trouble::Intrusion;
    let trouble = if findings.iter().any(|f| intrusion(&f)) { Trouble::Intrusion } else { Trouble::Load };
    let at = findings.iter().map(|f| f.signal.at).max().unwrap_or(Moment::EPOCH);
    let mut incident = Incident::new(Number::new(at, 0), trouble, at, Mode::Enforce, None);
    for finding in &findings {
        incident.join(finding.signal.clone());
    }
    let entry = seen.entries.iter().find(|e| e.account.name == *account);
    let sites = entry.map(|e| e.sites.as_slice()).unwrap_or_default();
    let choices = choose(&incident, sites);
    let strongest = findings.iter().filter(intrusion).map(|f| f.signal.strength).max();
    let verdict = match strongest {
        _ if choices.iter().any(|c| c.measure.restricts() && !c.measure.slows()) => "malicious",
        Some(Strength::Conclusive) => "malicious",
        Some(Strength::Suspicious) => "suspicious",
        _ => "benign",
    };
    Weighed { account, verdict, findings, choices }
}

fn reason(kind: Kind) -> &'static str {
    desk::words::reason::reason(kind).say(Language::En)
}
