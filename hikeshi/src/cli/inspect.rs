//! `hikeshi inspect`: one look at the live node or at recorded input; prints signals and what would be done.
//!
//! Touches nothing and needs nothing installed. The JSON form is fixed by the head of the case collection's
//! scorer; the human form is what an operator pastes into a ticket.

use std::collections::BTreeMap;
use std::io::{BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Incident, choose};
use indicatif::{ProgressBar, ProgressStyle};
use model::order::Finding;
use model::{
    AccountEntry, AccountName, Class, Evidence, Kind, Language, MailScope, Measure, Mode, Moment, Number, Strength,
    Trouble,
};
use owo_colors::OwoColorize;
use sense::attribution::Accounts;
use sense::inventory::Inventory;
use sense::mail::judge::Limits;
use sense::mail::{Settings, Trust, Watch, Zone};
use sense::process::{Memory, Table, Unattributed, judge};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::{Common, Format, print};
use crate::clock::system_now;
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};

/// Arguments of `inspect`; without any, the live node is looked at.
#[derive(clap::Args)]
pub struct InspectArgs {
    /// Accounts of the recorded node (form of accounts.d, with [node])
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    /// Recorded process table, one JSON object a line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    processes: Vec<PathBuf>,
    /// Recorded Postfix log; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    mail_log: Vec<PathBuf>,
    /// Time of the record (RFC 3339)
    #[arg(long, value_parser = |t: &str| Moment::parse(t).ok_or("write the time as 2026-03-07T02:30:00+09:00"))]
    at: Option<Moment>,
    /// Report this account alone
    #[arg(long)]
    account: Option<AccountName>,
}

/// Everything that one look found.
#[derive(Default)]
struct Seen {
    entries: Vec<AccountEntry>,
    findings: Vec<Finding>,
    unattributed: Vec<Unattributed>,
    lines: u64,
    dropped: u64,
    blind: Vec<String>,
    processes: u64,
}

/// Looks and reports.
pub fn inspect(common: &Common, args: InspectArgs) -> Answer {
    let recorded = !args.processes.is_empty() || !args.mail_log.is_empty();
    if recorded && args.inventory.is_none() {
        return Err(CommandError::usage("recorded input needs --inventory FILE: whose processes and mail are they?"));
    }
    let config = crate::parts::load(&common.config)?;
    let mut seen = match recorded {
        true => read_recorded(&config, &args)?,
        false => look_live(&config, &args)?,
    };
    if let Some(only) = &args.account {
        seen.findings.retain(|f| f.signal.account.name == *only);
    }
    let accounts = weigh(&seen);
    match common.format {
        Format::Json => print::json(&document(&accounts, &seen))?,
        Format::Human => show(&accounts, &seen),
    }
    let found = accounts.iter().any(|a| a.verdict != "benign") || !seen.unattributed.is_empty();
    Ok(match (found, seen.blind.is_empty()) {
        (true, _) => Exit::Findings,
        (false, false) => Exit::Partial,
        (false, true) => Exit::Ok,
    })
}

fn open(path: &Path) -> Result<Box<dyn Read>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let failed = |e: std::io::Error| CommandError::usage(format!("{}: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    Ok(match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(flate2::read::MultiGzDecoder::new(file)),
        false => Box::new(file),
    })
}

fn read_recorded(config: &Config, args: &InspectArgs) -> Result<Seen, CommandError> {
    let path = args.inventory.as_ref().expect("checked by the caller");
    let inventory = Inventory::from_file(path).map_err(|e| CommandError::usage(e.to_string()))?;
    let accounts = Accounts::new(&inventory.accounts, &[]);
    let mut seen = Seen { entries: inventory.accounts.clone(), ..Seen::default() };
    for path in &args.processes {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let recorded = Table::read_jsonl(BufReader::new(open(path)?)).map_err(failed)?;
        for warning in &recorded.warnings {
            anstream::eprintln!("{} {}: {warning}", "warning:".yellow(), path.display());
        }
        seen.lines += recorded.lines;
        seen.dropped += recorded.dropped;
        seen.processes += recorded.table.processes().len() as u64;
        let now = args.at.or(recorded.now).unwrap_or_else(system_now);
        let judgement = judge(&recorded.table, &accounts, now, &mut Memory::default());
        seen.findings.extend(judgement.findings);
        seen.unattributed.extend(judgement.unattributed);
    }
    for path in &args.mail_log {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let mut log = Vec::new();
        open(path)?.read_to_end(&mut log).map_err(failed)?;
        let now = args.at.unwrap_or_else(system_now);
        let mut watch = Watch::new(settings(config, Trust::Guarded)?, now);
        watch.set_accounts(&inventory.accounts);
        seen.findings.extend(watch.inspect(&log, now));
        count(&watch, &mut seen);
    }
    Ok(seen)
}

fn count(watch: &Watch, seen: &mut Seen) {
    let (reader, follower) = watch.counts();
    seen.lines += reader.lines;
    seen.dropped += reader.dropped + follower.dropped_long;
}

/// What the mail reader is told; the key makes hashes of recipients that mean nothing elsewhere.
pub fn settings(config: &Config, trust: Trust) -> Result<Settings, CommandError> {
    let mut key = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let country = config.node.country.0.as_bytes();
    let zone = std::fs::read_link("/etc/localtime").ok().and_then(|p| {
        let text = p.to_string_lossy().into_owned();
        Zone::get(text.split("zoneinfo/").nth(1)?).ok()
    });
    let limits = Limits { hard_per_hour: u32::try_from(config.mail.hard_mails_per_hour.0).ok(), ..Limits::default() };
    Ok(Settings { key, country: country.try_into().ok(), zone: zone.unwrap_or(Zone::UTC), trust, limits })
}

/// One sweep of the processes and the last hour of the mail log, with a bar when somebody watches.
fn look_live(config: &Config, args: &InspectArgs) -> Result<Seen, CommandError> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(3),
        false => ProgressBar::hidden(),
    };
    bar.set_style(ProgressStyle::with_template("{bar:24} {msg}").expect("a template of ours"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("accounts and sites");
    let inventory = match &args.inventory {
        Some(path) => Inventory::from_file(path).map_err(|e| CommandError::usage(e.to_string()))?,
        None => Inventory::read(&config.sources()),
    };
    let accounts = Accounts::new(&inventory.accounts, &config.node.shared_uids);
    let mut seen = Seen { entries: inventory.accounts.clone(), ..Seen::default() };
    bar.inc(1);
    bar.set_message("processes");
    let now = args.at.unwrap_or_else(system_now);
    let tenant = |uid| sense::attribution::Attribution::is_tenant(&accounts, uid);
    let table = Table::sweep(Path::new("/proc"), None, now, &tenant)?;
    seen.processes = table.processes().len() as u64;
    seen.blind.extend(table.blind_lines());
    let judgement = judge(&table, &accounts, now, &mut Memory::default());
    seen.findings.extend(judgement.findings);
    seen.unattributed.extend(judgement.unattributed);
    bar.inc(1);
    bar.set_message("mail log");
    let log = config.mail.log.0.to_string_lossy().into_owned();
    let mut watch = Watch::follow(&log, None, settings(config, trust(config))?, now)?;
    watch.set_accounts(&inventory.accounts);
    match config.mail.log.0.exists() {
        true => {
            while !watch.poll(now, 16 << 20).map_err(|e| CommandError::failure(format!("{log}: {e}")))? {}
            seen.findings.extend(watch.news(now));
            count(&watch, &mut seen);
        }
        false => seen.blind.push(format!("mail: there is no {log}; set [mail] log in hikeshi.toml")),
    }
    seen.blind.extend(inventory.unclear.iter().take(5).map(|u| format!("{}: {}", u.subject, u.why)));
    bar.finish_and_clear();
    Ok(seen)
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
    measures: Vec<Measure>,
}

/// Judges each account by its own signals, as the engine would.
fn weigh(seen: &Seen) -> Vec<Weighed<'_>> {
    let mut by_account: BTreeMap<&AccountName, Vec<&Finding>> = BTreeMap::new();
    for finding in &seen.findings {
        by_account.entry(&finding.signal.account.name).or_default().push(finding);
    }
    by_account.into_iter().map(|(account, findings)| weigh_one(seen, account, findings)).collect()
}

fn weigh_one<'a>(seen: &'a Seen, account: &'a AccountName, findings: Vec<&'a Finding>) -> Weighed<'a> {
    let trouble = match findings.iter().all(|f| f.signal.class() == Class::Load) {
        true => Trouble::Load,
        false => Trouble::Intrusion,
    };
    let at = findings.iter().map(|f| f.signal.at).max().unwrap_or(Moment::EPOCH);
    let mut incident = Incident::new(Number::new(at, 0), trouble, at, Mode::Enforce, None);
    for finding in &findings {
        incident.join(finding.signal.clone());
    }
    let entry = seen.entries.iter().find(|e| e.account.name == *account);
    let sites = entry.map(|e| e.sites.as_slice()).unwrap_or_default();
    let measures: Vec<Measure> = choose(&incident, sites).into_iter().map(|c| c.measure).collect();
    let strongest = findings.iter().filter(|f| f.signal.class() != Class::Load).map(|f| f.signal.strength).max();
    let verdict = match strongest {
        _ if measures.iter().any(Measure::restricts) => "malicious",
        Some(Strength::Conclusive) => "malicious",
        Some(Strength::Suspicious) => "suspicious",
        _ => "benign",
    };
    Weighed { account, verdict, findings, measures }
}

fn reason(kind: Kind) -> &'static str {
    desk::words::reason::reason(kind).say(Language::En)
}

fn snake<T: Serialize>(value: T) -> Value {
    serde_json::to_value(value).expect("a word")
}

fn facts(into: &mut Map<String, Value>, evidence: &Evidence) {
    for (key, value) in &evidence.0 {
        let Value::String(key) = snake(key) else { continue };
        let value = match value {
            model::FactValue::Text(text) => json!(text),
            model::FactValue::Number(number) => json!(number),
        };
        into.entry(key).or_insert(value);
    }
}

fn measure(measure: &Measure) -> Value {
    let mut out = json!({ "verb": measure.name(), "available": true });
    match measure {
        Measure::FreezeProcess { processes } => {
            out["pids"] = json!(processes.iter().map(|p| p.pid).collect::<Vec<_>>());
        }
        Measure::HoldMail { scope: MailScope::Local, .. } => out["scope"] = json!("local"),
        Measure::HoldMail { scope: MailScope::Mailbox(mailbox), .. } => {
            out["scope"] = json!("mailbox");
            out["mailbox"] = json!(mailbox.as_str());
        }
        Measure::HoldMail { scope: MailScope::Account { .. }, .. } => out["scope"] = json!("account"),
        Measure::CloseSite { site } | Measure::EndSessions { site } => out["site"] = json!(site.as_str()),
        Measure::BlockScript { site, path } => {
            out["site"] = json!(site.as_str());
            out["path"] = json!(path.to_string());
        }
        Measure::ThrottleSource { sources } => out["sources"] = json!(sources),
        Measure::QuarantineFile { files, .. } => {
            out["files"] = json!(files.iter().map(|f| f.path.to_string()).collect::<Vec<_>>());
        }
        Measure::BlockLogin { logins } => out["logins"] = json!(logins),
        Measure::DisableCronLine { .. }
        | Measure::RefuseMail
        | Measure::BlockOutbound
        | Measure::CloseAccount { .. }
        | Measure::AskOwner
        | Measure::PageOperator => {}
    }
    out
}

fn document(accounts: &[Weighed<'_>], seen: &Seen) -> Value {
    let signal = |kind: Kind, also: &[Kind], strength: Strength, evidence: &Evidence| {
        let mut out = Map::new();
        out.insert("class".into(), snake(kind.class()));
        out.insert("name".into(), snake(kind));
        out.insert("also".into(), snake(also));
        out.insert("strength".into(), snake(strength));
        out.insert("reason".into(), json!(reason(kind)));
        facts(&mut out, evidence);
        Value::Object(out)
    };
    let account = |a: &Weighed<'_>| {
        json!({
            "account": a.account.as_str(),
            "verdict": a.verdict,
            "measures": a.measures.iter().map(measure).collect::<Vec<_>>(),
            "signals": a.findings.iter().map(|f| {
                let mut out = signal(f.signal.kind, &f.signal.also, f.signal.strength, &f.evidence);
                out["site"] = json!(f.signal.site.as_ref().map(|s| s.as_str()));
                out
            }).collect::<Vec<_>>(),
        })
    };
    json!({
        "accounts": accounts.iter().map(account).collect::<Vec<_>>(),
        "unattributed": seen.unattributed.iter().map(|u| signal(u.kind, &u.also, u.strength, &u.evidence)).collect::<Vec<_>>(),
        "measures": [],
        "read": { "lines": seen.lines, "dropped": seen.dropped, "processes": seen.processes },
        "blind": seen.blind,
    })
}

fn show(accounts: &[Weighed<'_>], seen: &Seen) {
    anstream::println!(
        "{} accounts, {} processes, {} log lines read ({} not understood)",
        seen.entries.len(),
        seen.processes,
        seen.lines,
        seen.dropped
    );
    for a in accounts {
        let verdict = match a.verdict {
            "malicious" => a.verdict.red().bold().to_string(),
            "suspicious" => a.verdict.yellow().bold().to_string(),
            _ => a.verdict.green().to_string(),
        };
        anstream::println!("\n{}  {verdict}", a.account.bold());
        for finding in &a.findings {
            let site = finding.signal.site.as_ref().map(|s| format!(" in {s}")).unwrap_or_default();
            let strength = format!("{:?}", finding.signal.strength).to_lowercase();
            anstream::println!("  {} ({strength}{site}) since {}", reason(finding.signal.kind), finding.signal.since);
            for (key, value) in &finding.evidence.0 {
                if let Value::String(key) = snake(key) {
                    anstream::println!("    {:<22} {value}", key.dimmed());
                }
            }
        }
        for measure in &a.measures {
            anstream::println!("  would {}", print::measure(measure).bold());
        }
    }
    for u in &seen.unattributed {
        anstream::println!("\n{}  uid {} {}", "no account can be blamed".yellow(), u.uid, reason(u.kind));
        for (key, value) in &u.evidence.0 {
            if let Value::String(key) = snake(key) {
                anstream::println!("    {:<22} {value}", key.dimmed());
            }
        }
    }
    if accounts.iter().all(|a| a.verdict == "benign") && seen.unattributed.is_empty() {
        anstream::println!("\n{}", "Nothing found.".green());
    }
    for line in &seen.blind {
        anstream::println!("{} {line}", "not seen:".yellow());
    }
}
