//! `hikeshi explain`: why a finding counts: what was observed, what the rule asks for, what would have made it
//! harmless, and what was decided on it.
//!
//! Reads the store only. The sentences about rules are for operators; owners read those of the letters.

use engine::{Account, Incident};
use model::{AccountName, Evidence, Fact, FactKey, Hash, IntentId, Kind, Language, Moment, Number, Signal, Strength};
use owo_colors::OwoColorize;
use serde::Serialize;
use store::View;

use crate::cli::{Common, Format, ask, incident, print};
use crate::exit::{Answer, CommandError, Exit};

/// Arguments of `explain`.
#[derive(clap::Args)]
pub struct ExplainArgs {
    /// An incident number, or the first digits (six or more) of a finding's fingerprint
    what: String,
}

/// Fewest digits of a fingerprint.
const DIGITS_MIN: usize = 6;

/// One finding, explained.
#[derive(Serialize)]
struct Explained {
    account: AccountName,
    incident: Number,
    finding: Hash,
    kind: Kind,
    also: Vec<Kind>,
    strength: Strength,
    since: Moment,
    last: Moment,
    /// How often it was noted.
    noted: usize,
    observed: Option<Evidence>,
    reason: &'static str,
    rule: &'static str,
    harmless: &'static str,
    decided: Vec<String>,
    permitted_until: Option<Moment>,
}

/// Explains the findings of an incident, or one finding.
pub fn explain(common: &Common, args: ExplainArgs) -> Answer {
    let store = ask::store(&ask::config(common)?)?;
    let failed = |e: store::StoreError| CommandError::failure(e.to_string());
    let known = |account: &AccountName, wanted: &dyn Fn(Number, &Signal) -> bool| -> Result<_, CommandError> {
        let events = store.events_until(account, Moment(i64::MAX)).map_err(failed)?;
        explained(&store, &events, wanted).map_err(failed)
    };
    let mut all = Vec::new();
    match args.what.parse::<Number>() {
        Ok(number) => all = known(&incident::owner_of(common, number)?, &|incident, _| incident == number)?,
        Err(_) if args.what.len() >= DIGITS_MIN && args.what.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let digits = args.what.to_ascii_lowercase();
            for account in store.accounts().map_err(failed)? {
                let name = account.entry.account.name;
                all.extend(known(&name, &|_, signal| signal.fingerprint.to_string().starts_with(&digits))?);
            }
        }
        Err(_) => {
            return Err(CommandError::usage(format!(
                "\"{}\" is no incident number and no finding; write HK-YYYYMMDD-XXXX, or {DIGITS_MIN} digits or more of a fingerprint",
                print::safe(&args.what)
            )));
        }
    }
    if all.is_empty() {
        return Err(CommandError::usage("nothing of that name was noted; see `hikeshi incident list --all`"));
    }
    match common.format {
        Format::Json => print::json(&all)?,
        Format::Human => all.iter().for_each(show),
    }
    Ok(Exit::Ok)
}

/// The wanted findings of one account's events, the latest word of each.
fn explained(
    store: &View,
    events: &[store::Stored],
    wanted: &dyn Fn(Number, &Signal) -> bool,
) -> Result<Vec<Explained>, store::StoreError> {
    let mut found: Vec<(Number, Signal, usize)> = Vec::new();
    let mut account: Option<Account> = None;
    for stored in events {
        // Another owner of the name begins anew.
        if account.as_ref().is_none_or(|a| a.account != stored.event.account) {
            account = Some(Account::new(stored.event.account.clone()));
        }
        account.iter_mut().for_each(|a| a.apply(IntentId(stored.seq), &stored.event));
        if let Fact::SignalJoined { incident, signal } = &stored.event.fact
            && wanted(*incident, signal)
        {
            match found.iter_mut().find(|(n, s, _)| n == incident && s.fingerprint == signal.fingerprint) {
                Some((_, known, noted)) => (*known, *noted) = (signal.clone(), *noted + 1),
                None => found.push((*incident, signal.clone(), 1)),
            }
        }
    }
    let Some(account) = account else { return Ok(Vec::new()) };
    found.into_iter().map(|(number, signal, noted)| one(store, &account, number, signal, noted)).collect()
}

fn one(
    store: &View,
    account: &Account,
    number: Number,
    signal: Signal,
    noted: usize,
) -> Result<Explained, store::StoreError> {
    let observed = store.body(&signal.evidence)?.and_then(|body| serde_json::from_slice(&body.bytes).ok());
    let (rule, harmless) = rule(signal.kind);
    Ok(Explained {
        account: account.account.name.clone(),
        incident: number,
        finding: signal.fingerprint,
        kind: signal.kind,
        also: signal.also.clone(),
        strength: signal.strength,
        since: signal.since,
        last: signal.at,
        noted,
        observed,
        reason: desk::words::reason::reason(signal.kind).say(Language::En),
        rule,
        harmless,
        decided: account.incident(number).map(|i| decided(i, &signal)).unwrap_or_default(),
        permitted_until: account.allowed.get(&signal.fingerprint).copied(),
    })
}

/// What was decided on this finding, oldest first.
fn decided(incident: &Incident, signal: &Signal) -> Vec<String> {
    let carried = incident.restrictions.iter().filter(|g| g.restriction.why.findings.contains(&signal.fingerprint));
    let lines = carried.map(|g| {
        let (id, why) = (g.restriction.id, &g.restriction.why.rule);
        format!("{id} {} by rule {why}: {}", print::measure(&g.restriction.measure), print::status(&g.status))
    });
    let lines: Vec<String> = lines.collect();
    match lines.is_empty() {
        false => lines,
        true => vec![match signal.strength {
            Strength::Conclusive => "nothing: what it names was stopped already, or could not be".to_owned(),
            Strength::Suspicious => "nothing: one suspicion asks; it takes a second class to stop anything".to_owned(),
            Strength::Hint => "nothing: a hint only stands beside others".to_owned(),
        }],
    }
}

fn show(one: &Explained) {
    let finding: String = one.finding.to_string().chars().take(12).collect();
    let strength = format!("{:?}", one.strength).to_lowercase();
    anstream::println!("\n{}  {}  {}", format!("{:?}", one.kind).bold(), strength.bold(), finding.dimmed());
    anstream::println!("  account {}, incident {}", one.account, one.incident);
    anstream::println!("  since {}, last seen {} (noted {} times)", one.since, one.last, one.noted);
    anstream::println!("  {}: {}", "why".bold(), one.reason);
    if !one.also.is_empty() {
        anstream::println!("  {}: {:?}", "also".bold(), one.also);
    }
    match &one.observed {
        None => anstream::println!("  {}: no longer kept", "observed".bold()),
        Some(evidence) => {
            anstream::println!("  {}:", "observed".bold());
            for (key, value) in &evidence.0 {
                let what = if *key == FactKey::Baseline { " (usual)" } else { "" };
                anstream::println!("    {:<22} {}{what}", format!("{key:?}"), print::safe(&value.to_string()));
            }
        }
    }
    anstream::println!("  {}: {}", "rule".bold(), one.rule);
    anstream::println!("  {}: {}", "harmless if".bold(), one.harmless);
    anstream::println!("  {}:", "decided".bold());
    one.decided.iter().for_each(|line| anstream::println!("    {line}"));
    match one.permitted_until {
        Some(until) => anstream::println!("  {}: until {until}", "permitted".bold()),
        None => anstream::println!(
            "  {}: `hikeshi allow add {} --finding {finding} --reason …`",
            "to permit it".bold(),
            one.incident
        ),
    }
}

/// What the rule of a mechanism asks for, and what would have made the same thing harmless.
fn rule(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::FakedName => (
            "the name shown is a kernel thread's or a daemon's, and the program file is another one",
            "the program file is the system's own of that name, or the title is the program's usual one",
        ),
        Kind::DeletedExe => (
            "the program file is gone or never was on a disk; conclusive where it lay hidden, in uploads or memory, or works unwatched",
            "it was replaced by an upgrade, or belongs to an installer that somebody watches",
        ),
        Kind::RunsFromUploads => (
            "program or script lies in a folder for uploads, temporary or memory files; conclusive with work, connections, a hidden name or no parent",
            "it is short, silent and started from a terminal or a build",
        ),
        Kind::HiddenProgram => (
            "it runs out of a hidden folder under a copied or daemon's name, with work or connections and no parent",
            "it is a version manager's, build's or editor's program that somebody watches",
        ),
        Kind::ScriptGone => (
            "an interpreter without a parent goes on although its script is gone",
            "a deploy replaced the script under a worker that its queue restarts",
        ),
        Kind::PipedDownload => (
            "a downloader feeds a shell or interpreter, or a shell without a terminal reads from a connection",
            "a person runs an installer at a terminal",
        ),
        Kind::MinerArguments => (
            "arguments name pool, wallet or algorithm; conclusive once it worked or is connected",
            "the words are those of a text or a test that neither works nor connects",
        ),
        Kind::PoolConnection => (
            "heavy work and a connection to a pool's port, from a place or under a name that hides",
            "the port is a game's or chat's, and the program is watched and idle",
        ),
        Kind::ManyMailConnections => {
            ("connections to the mail ports of many hosts at once", "all of it goes to one relay")
        }
        Kind::PortScan => ("one port of many hosts is tried", "the hosts are few, or a person runs it at a terminal"),
        Kind::Listening => (
            "an unknown program listens where the outside reaches it",
            "it listens on loopback, or the owner says that it is his",
        ),
        Kind::Orphaned => (
            "without a parent, with the site's entry files in hand, a chat's port, or a wiped title",
            "a service manager or a queue started it and its script is in its place",
        ),
        Kind::RestartLoop => {
            ("three returns, each within a minute, from a bad place", "it lies where programs are installed")
        }
        Kind::Guard => (
            "it names or waits for another finding's program and starts it again",
            "it guards a service of the owner's",
        ),
        Kind::LoadAboveBaseline => (
            "CPU, or memory or IO while tasks wait, above the account's own usual use (mean and deviation of its past) and above its fair share, for 2 min with and 10 min without a past",
            "the use is usual at this account, or the node has room for everybody",
        ),
        Kind::TrafficPeak => (
            "requests are 1.5 times and 3 deviations above usual at the usual cost each, or crawlers were seen",
            "requests are as usual, so something else works",
        ),
        Kind::HeavyJob => (
            "three fifths of the use are known tools (backup, images, import), the site's own schedule, or slow requests in one plugin, theme or module",
            "other programs use it, or it goes on for more than six hours",
        ),
        Kind::MassMail => (
            "20 messages or 100 recipients in five minutes, to 20 or more strangers, above the own past; conclusive with a fifth refused, three foreign sender domains, or half of 100 abroad",
            "an even pace, living addresses, the own domain and the usual hour: newsletter, shop, tickets, list",
        ),
        Kind::MailAboveHardRate => {
            ("more messages an hour than [mail] hard_mails_per_hour", "below that rate; it says nothing about guilt")
        }
        Kind::StolenMailbox => (
            "one mailbox hands in a burst with its password, from many networks or mostly refused as spam",
            "one or two networks, few recipients, accepted: a person writes to a club",
        ),
        Kind::FormAbuse => (
            "one address gets nearly each message and strangers get a copy, in a burst",
            "no copies, or as few as visitors write",
        ),
        Kind::BounceLoop => ("two addresses answer one another again and again", "other addresses take part"),
        Kind::NoticeFlood => {
            ("hundreds of messages of a script to one address", "few, or to many people who asked for them")
        }
        Kind::UploadChain => (
            "a request that can put files, then a script that never answered before, then orders to it",
            "the script answered before, or nobody calls it again",
        ),
        Kind::DrivenScript => (
            "one script is called directly with long or encoded parameters, at an even pace, without a page before it",
            "the calls come from the site's own pages, callbacks or monitoring, with plain parameters",
        ),
        Kind::UploadedPlugin => (
            "a sign-in without a failure, a plugin upload right after it, and orders to that plugin from elsewhere",
            "the same person goes on working in the dashboard",
        ),
        Kind::UploadsScript => (
            "a script in a folder for uploads or caches answered",
            "it refused or did not exist, or the application keeps such scripts there",
        ),
        Kind::GuessedSiteLogin => {
            ("many failures, then a success from the same source", "a few slips of the usual person")
        }
        Kind::SiteGuessing => ("many failures from a source and no success", "it succeeds, or a page merely polls"),
        Kind::Probing => ("strangers ask for names of planted scripts that are not there", "one of them answers"),
        Kind::Crawling => ("few sources ask for very many pages", "an own address, a proxy or monitoring"),
        Kind::CronDownload => (
            "a line downloads and runs what came",
            "it only downloads, only calls a page of its own, or updates a tool without running it",
        ),
        Kind::CronDecode => ("a line decodes what it runs", "it decodes data and runs nothing of it"),
        Kind::CronFromUploads => (
            "a line runs a file from uploads, temporary files or a hidden folder",
            "the folder is a tool's own (acme.sh, nvm, local binaries)",
        ),
        Kind::CronReinstalls => {
            ("a line puts a script back or adds itself again", "it deploys or restores from a named backup")
        }
        Kind::CronBeacon => (
            "a line calls a bare or unknown address with a mark and drops the answer",
            "the host is the owner's own or a monitoring service behind a job",
        ),
        Kind::GuessedLogin => ("many failures, then a success of the same source", "a few slips from the usual place"),
        Kind::RewritingLogin => (
            "files fetched and put back within seconds, each changed alike",
            "an editor that saves single files from the usual place, a deploy, a backup",
        ),
        Kind::NewPlace => {
            ("a first login from a network where the account never was", "device, network or hour are known")
        }
        Kind::LoginGuessing => {
            ("many failures from a source and no success", "one person's old password behind an office")
        }
    }
}
