//! `hikeshi replay`: decide recorded signals or logs again under another policy, and show the difference.
//!
//! Reads the store, or the logs that are named, and changes nothing. What the recorded policy ordered or proposed
//! stands beside what the other one would: restrictions, accounts hit, and for how long sites would have been closed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use engine::{Account, Policy, step};
use model::{AccountRef, Event, Fact, Input, IntentId, Mode, Moment, Number, RestrictionId, Site, Span};
use serde::Serialize;

use crate::cli::inspect::{InspectArgs, read_recorded};
use crate::cli::{Common, Format, ask, print};
use crate::exit::{Answer, CommandError, Exit};

/// Arguments of `replay`.
#[derive(clap::Args)]
pub struct ReplayArgs {
    /// The other mode
    #[arg(long, value_enum)]
    mode: Option<OtherMode>,
    /// The other policy: another hikeshi.toml (without it and without --mode: the same policy, enforced)
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Only signals since then (RFC 3339)
    #[arg(long, value_parser = |t: &str| Moment::parse(t).ok_or("write the time as 2026-03-21T00:00:00+09:00"))]
    since: Option<Moment>,
    #[command(flatten)]
    logs: InspectArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum OtherMode {
    Observe,
    Advise,
    Enforce,
}

/// What one policy makes of an account.
#[derive(Default, Serialize)]
struct Side {
    restrictions: Vec<String>,
    /// How long its sites were closed together, minutes; of a replay at most, because no owner repaired anything in it.
    closed_minutes: i64,
    #[serde(skip)]
    closing: BTreeMap<RestrictionId, (usize, Moment)>,
}

impl Side {
    fn hear(&mut self, fact: &Fact, at: Moment) {
        match fact {
            Fact::RestrictionOrdered { restriction, .. } => {
                self.restrictions.push(format!("impose {}", print::measure(&restriction.measure)));
                if restriction.measure.closes() {
                    self.closing.insert(restriction.id, (restriction.measure.sites().len(), at));
                }
            }
            Fact::RestrictionProposed { restriction } => {
                self.restrictions.push(format!("propose {}", print::measure(&restriction.measure)));
            }
            Fact::RestrictionLifted { id, .. } | Fact::RestrictionFailed { id, .. } => self.open(*id, at),
            _ => {}
        }
    }

    fn open(&mut self, id: RestrictionId, at: Moment) {
        if let Some((sites, since)) = self.closing.remove(&id) {
            self.closed_minutes += (at - since).whole_secs() / 60 * sites as i64;
        }
    }

    /// The end of the record: what is still closed was closed until then.
    fn end(&mut self, at: Moment) {
        for id in self.closing.keys().copied().collect::<Vec<_>>() {
            self.open(id, at);
        }
    }

    fn text(&self) -> String {
        let mut lines = self.restrictions.clone();
        if self.closed_minutes > 0 {
            lines.push(format!("sites closed for {} min", self.closed_minutes));
        }
        lines.join("\n")
    }
}

#[derive(Serialize)]
struct Difference {
    account: String,
    signals: usize,
    recorded: Side,
    replayed: Side,
}

/// One account as a policy plays it.
struct Play<'a> {
    account: Account,
    policy: &'a Policy,
    inputs: u64,
}

impl<'a> Play<'a> {
    fn new(account: AccountRef, policy: &'a Policy) -> Play<'a> {
        Play { account: Account::new(account), policy, inputs: 0 }
    }

    fn hear(&mut self, input: Input, at: Moment, side: &mut Side) {
        // Numbers must only differ from one another here; nothing of a replay is stored.
        while self.account.incident(Number::new(at, self.account.serial)).is_some() {
            self.account.serial += 1;
        }
        self.inputs += 1;
        for event in step(&self.account, self.policy, at, input) {
            self.account.apply(IntentId(self.inputs), &event);
            side.hear(&event.fact, at);
        }
    }
}

/// Prints one line an account that would be treated otherwise; 10 when there is one.
pub fn replay(common: &Common, args: ReplayArgs) -> Answer {
    if args.logs.reads_stdin() {
        return Err(CommandError::usage("the logs are read twice, once for each policy; name files instead of -"));
    }
    let config = ask::config(common)?;
    let other = match &args.with {
        Some(path) => crate::parts::load(path)?,
        None => crate::parts::load(&common.config)?,
    };
    let mode = match args.mode {
        Some(OtherMode::Observe) => Mode::Observe,
        Some(OtherMode::Advise) => Mode::Advise,
        Some(OtherMode::Enforce) => Mode::Enforce,
        None if args.with.is_some() => other.policy().mode,
        None => Mode::Enforce,
    };
    let policy = Policy { mode, ..other.policy() };
    let since = args.since.unwrap_or(Moment::EPOCH);
    let mut differences = match args.logs.is_recorded() {
        true => of_logs([(&config, config.policy()), (&other, policy)], &args.logs, since)?,
        false => of_store(&ask::store(&config)?, &policy, since)?,
    };
    differences.retain(|d| d.recorded.text() != d.replayed.text());
    match common.format {
        Format::Json => print::json(&differences)?,
        Format::Human if differences.is_empty() => anstream::println!("No account would be treated otherwise."),
        Format::Human => show(&differences),
    }
    Ok(if differences.is_empty() { Exit::Ok } else { Exit::Findings })
}

fn show(differences: &[Difference]) {
    let mut table = print::table(&["account", "signals", "recorded", "replayed"]);
    for d in differences {
        table.add_row([&d.account, &d.signals.to_string(), &d.recorded.text(), &d.replayed.text()]);
    }
    let sum = |side: fn(&Difference) -> &Side| {
        let hit = differences.iter().filter(|d| side(d).restrictions.iter().any(|r| r.starts_with("impose"))).count();
        let closed: i64 = differences.iter().map(|d| side(d).closed_minutes).sum();
        format!("{hit} accounts restricted, sites closed for {closed} min")
    };
    anstream::println!("{table}");
    anstream::println!("recorded: {}", sum(|d| &d.recorded));
    anstream::println!("replayed: {} at most (nobody repairs anything in a replay)", sum(|d| &d.replayed));
}

/// Recorded signals; what was recorded of restrictions stands beside them.
fn of_store(store: &store::View, policy: &Policy, since: Moment) -> Result<Vec<Difference>, CommandError> {
    let mut played: BTreeMap<AccountRef, (Play<'_>, Difference)> = BTreeMap::new();
    let (mut after, mut last) = (0, since);
    loop {
        let page = store.event_range(after, 1000).map_err(|e| CommandError::failure(e.to_string()))?;
        let Some(end) = page.last() else { break };
        (after, last) = (end.seq, end.event.at.max(last));
        for Event { at, account, fact, .. } in page.into_iter().map(|s| s.event).filter(|e| e.at >= since) {
            let (play, difference) =
                played.entry(account.clone()).or_insert_with(|| (Play::new(account.clone(), policy), empty(&account)));
            let input = match &fact {
                Fact::SignalJoined { signal, .. } => {
                    difference.signals += 1;
                    Input::Signal(signal.clone())
                }
                Fact::SitesSeen { sites } => Input::Inventory(sites.clone()),
                other => {
                    difference.recorded.hear(other, at);
                    continue;
                }
            };
            play.hear(input, at, &mut difference.replayed);
        }
    }
    Ok(ended(played.into_values().map(|(_, difference)| difference), last))
}

/// Recorded logs, read and decided under both policies.
fn of_logs(
    sides: [(&crate::config::Config, Policy); 2],
    logs: &InspectArgs,
    since: Moment,
) -> Result<Vec<Difference>, CommandError> {
    let mut differences: BTreeMap<AccountRef, Difference> = BTreeMap::new();
    let mut last = since;
    for (at, (config, policy)) in sides.iter().enumerate() {
        let (entries, mut findings) = read_recorded(config, logs)?;
        findings.retain(|f| f.signal.at >= since);
        findings.sort_by_key(|f| f.signal.at);
        last = findings.last().map_or(last, |f| f.signal.at.max(last));
        let mut plays: BTreeMap<AccountRef, Play<'_>> = BTreeMap::new();
        for signal in findings.into_iter().map(|f| f.signal) {
            let account = signal.account.clone();
            let difference = differences.entry(account.clone()).or_insert_with(|| empty(&account));
            let side = if at == 0 { &mut difference.recorded } else { &mut difference.replayed };
            let play = plays.entry(account.clone()).or_insert_with(|| {
                let mut play = Play::new(account.clone(), policy);
                let sites: Vec<Site> =
                    entries.iter().find(|e| e.account == account).map(|e| e.sites.clone()).unwrap_or_default();
                play.hear(Input::Inventory(sites), signal.at, side);
                play
            });
            play.hear(Input::Signal(signal.clone()), signal.at, side);
            difference.signals = difference.signals.max(play.inputs as usize - 1);
        }
    }
    Ok(ended(differences.into_values(), last + Span::hours(1)))
}

fn empty(account: &AccountRef) -> Difference {
    Difference { account: account.to_string(), signals: 0, recorded: Side::default(), replayed: Side::default() }
}

fn ended(differences: impl Iterator<Item = Difference>, at: Moment) -> Vec<Difference> {
    differences
        .map(|mut difference| {
            difference.recorded.end(at);
            difference.replayed.end(at);
            difference
        })
        .collect()
}
