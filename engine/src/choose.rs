//! Chooses the smallest restrictions that stop what an incident's signals show.
//!
//! The harm chooses the verb; strength and independence decide whether it may be used at all. A whole account
//! is closed only with a stated reason. Load by itself never stops anything.

use std::collections::BTreeSet;

use model::{
    Class, Domain, FilePath, Hash, Kind, MailScope, Measure, ProcessRef, Signal, Site, Strength, Target, Trouble, Why,
    Wide,
};

use crate::incident::{Incident, Status};

/// Sites that must be hit before all of them are closed.
const MANY_SITES: usize = 3;
/// Freezes that must have been outlived by the harm before the whole account is closed.
const OUTLIVED: usize = 2;

/// A measure and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What would be limited.
    pub measure: Measure,
    /// The rule and the findings.
    pub why: Why,
}

/// What should be in force for this incident beyond what already is, mildest first.
pub fn choose(incident: &Incident, sites: &[Site]) -> Vec<Choice> {
    let signals = &incident.signals;
    let independent = independent(signals);
    let mut chosen = Vec::new();

    let enough = |signal: &Signal| {
        signal.strength == Strength::Conclusive || (signal.strength == Strength::Suspicious && independent >= 2)
    };
    // Above the operator's own hard rate that mail is held alone: the rate is his word, not our suspicion.
    let hard = |s: &Signal| s.kind == Kind::MailAboveHardRate || s.also.contains(&Kind::MailAboveHardRate);
    let local = |s: &Signal| matches!(s.target, Target::LocalMail(_));
    let mails: Vec<&Signal> = signals.iter().filter(|s| local(s) && (enough(s) || hard(s))).collect();
    if !mails.is_empty() && !in_force(incident, |m| matches!(m, Measure::HoldMail { scope: MailScope::Local, .. })) {
        let queued = mails.iter().flat_map(|s| queued(s)).cloned().collect();
        chosen.push(choice("mail", Measure::HoldMail { scope: MailScope::Local, queued }, &mails));
    }

    let programs: Vec<&Signal> = signals.iter().filter(|s| s.class() == Class::Process && enough(s)).collect();
    let standing = frozen(incident);
    let processes = fresh_processes(&programs, &standing);
    if !processes.is_empty() {
        chosen.push(choice("process", Measure::FreezeProcess { processes }, &programs));
    }

    for signal in signals {
        let new = named(signal, enough(signal)).into_iter().filter(|m| !in_force(incident, |known| known == m));
        chosen.extend(new.map(|measure| choice(signal.class().name(), measure, &[signal])));
    }

    chosen.extend(closures(incident, sites, &programs, &mails));
    let stops = chosen.iter().any(|c| !c.measure.slows());
    let doubtful = |s: &Signal| s.trouble() == Trouble::Intrusion && s.strength >= Strength::Suspicious;
    if !stops && signals.iter().any(doubtful) {
        let asked = incident.restrictions.iter().any(|g| g.restriction.measure == Measure::AskOwner);
        if !asked && incident.in_force().next().is_none() {
            let all: Vec<&Signal> = signals.iter().collect();
            chosen.push(choice("one-suspicion", Measure::AskOwner, &all));
        }
    }
    chosen.sort_by_key(|c| c.measure.rung());
    chosen
}

/// What a signal names by itself, as small as it is. Slowing something down needs one suspicion, no more; stopping it
/// needs `enough`.
fn named(signal: &Signal, enough: bool) -> Vec<Measure> {
    match &signal.target {
        Target::MailRate(rate) if signal.strength >= Strength::Suspicious => {
            vec![Measure::ThrottleMail { rate: rate.clone() }]
        }
        Target::Sources(sources) if signal.strength >= Strength::Suspicious => {
            vec![Measure::ThrottleSource { sources: sources.clone() }]
        }
        Target::Mailbox(mailbox, queued) if enough => {
            let scope = MailScope::Mailbox(mailbox.clone());
            vec![Measure::HoldMail { scope, queued: queued.clone() }]
        }
        Target::Scripts { site, paths, sessions } if enough => {
            let block = |path: &FilePath| Measure::BlockScript { site: site.clone(), path: path.clone() };
            let sessions = sessions.then(|| Measure::EndSessions { site: site.clone() });
            paths.iter().map(block).chain(sessions).collect()
        }
        Target::CronLines(lines) if enough => {
            lines.iter().map(|line| Measure::DisableCronLine { line: line.clone() }).collect()
        }
        Target::Logins(logins) if enough => vec![Measure::BlockLogin { logins: logins.clone() }],
        _ => Vec::new(),
    }
}

/// Which sites are closed: those whose own files start the harm, when a second class shows what it does to
/// others, or when it came back after it was frozen.
fn closures(incident: &Incident, sites: &[Site], programs: &[&Signal], mails: &[&Signal]) -> Vec<Choice> {
    if in_force(incident, |m| matches!(m, Measure::CloseAccount { .. })) {
        return Vec::new();
    }
    let proven = |s: &&&Signal| s.strength == Strength::Conclusive;
    let frozen_at = last_freeze(incident);
    // A program that began after the freeze was started by something that the freeze did not reach.
    let came_back = |s: &Signal| frozen_at.is_some_and(|then| s.since > then);
    let hit: BTreeSet<&Domain> = programs
        .iter()
        .filter(proven)
        .filter(|s| !mails.is_empty() || came_back(s))
        .chain(mails.iter().filter(proven).filter(|_| !programs.is_empty()))
        .filter_map(|s| s.site.as_ref())
        .filter(|d| sites.iter().any(|s| s.domain == **d))
        .collect();
    let closed = |site: &Domain| in_force(incident, |m| matches!(m, Measure::CloseSite { site: s } if s == site));
    let carried: Vec<&Signal> = programs.iter().chain(mails).copied().collect();

    let outlived = incident.restrictions.iter().filter(|g| is_freeze(&g.restriction.measure) && g.in_force()).count();
    let unbound = programs.iter().filter(proven).any(|s| s.site.is_none() && came_back(s));
    let wide = match () {
        () if hit.len() >= MANY_SITES => Some(Wide::ManySites),
        () if unbound && outlived >= OUTLIVED => Some(Wide::NotBoundToSites),
        () => None,
    };
    if let Some(wide) = wide {
        let all = sites.iter().map(|s| s.domain.clone()).collect();
        return vec![choice("whole-account", Measure::CloseAccount { sites: all, wide }, &carried)];
    }
    hit.into_iter()
        .filter(|site| !closed(site))
        .map(|site| {
            let own: Vec<&Signal> =
                carried.iter().filter(|s| s.site.as_ref() == Some(site) || s.class() == Class::Mail).copied().collect();
            choice("site-starts-harm", Measure::CloseSite { site: site.clone() }, &own)
        })
        .collect()
}

fn choice(rule: &str, measure: Measure, signals: &[&Signal]) -> Choice {
    let findings: BTreeSet<Hash> = signals.iter().map(|s| s.fingerprint).collect();
    Choice { measure, why: Why { rule: rule.to_owned(), findings: findings.into_iter().collect() } }
}

/// How many independent words there are. What stands in records into which any tenant can write is one, whatever class
/// it is of: two forged lines in one log would else be enough.
fn independent(signals: &[Signal]) -> usize {
    let (forgeable, sure): (Vec<Signal>, Vec<Signal>) = signals.iter().cloned().partition(|s| s.forgeable);
    let sure = strong_classes(&sure);
    let more = strong_classes(&forgeable).iter().any(|class| !sure.contains(class));
    sure.len() + usize::from(more)
}

/// Classes with a signal of at least suspicious. Who is only attacked, or mails too much, is not suspected for it.
pub fn strong_classes(signals: &[Signal]) -> BTreeSet<Class> {
    let speaks = |s: &&Signal| s.trouble() == Trouble::Intrusion || s.class() == Class::Load;
    signals.iter().filter(|s| s.strength >= Strength::Suspicious).filter(speaks).map(Signal::class).collect()
}

fn in_force(incident: &Incident, wanted: impl Fn(&Measure) -> bool) -> bool {
    incident.in_force().any(|g| wanted(&g.restriction.measure))
        // In observe and advise mode a proposal stands for the real thing, so it is made once.
        || incident.restrictions.iter().any(|g| g.status == Status::Proposed && wanted(&g.restriction.measure))
}

fn is_freeze(measure: &Measure) -> bool {
    matches!(measure, Measure::FreezeProcess { .. })
}

fn last_freeze(incident: &Incident) -> Option<model::Moment> {
    let times =
        incident.restrictions.iter().filter(|g| is_freeze(&g.restriction.measure)).filter_map(|g| match g.status {
            Status::Imposed(at) => Some(at),
            _ => None,
        });
    times.max()
}

/// Processes that are frozen, or about to be, or would be.
fn frozen(incident: &Incident) -> BTreeSet<&ProcessRef> {
    incident
        .restrictions
        .iter()
        .filter(|g| g.in_force() || g.status == Status::Proposed)
        .filter_map(|g| match &g.restriction.measure {
            Measure::FreezeProcess { processes } => Some(processes),
            _ => None,
        })
        .flatten()
        .collect()
}

fn fresh_processes(programs: &[&Signal], standing: &BTreeSet<&ProcessRef>) -> Vec<ProcessRef> {
    let mut processes: Vec<ProcessRef> = Vec::new();
    for process in programs.iter().flat_map(|s| targets(s)) {
        if !standing.contains(process) && !processes.contains(process) {
            processes.push(process.clone());
        }
    }
    processes
}

fn targets(signal: &Signal) -> &[ProcessRef] {
    match &signal.target {
        Target::Processes(processes) => processes,
        _ => &[],
    }
}

fn queued(signal: &Signal) -> &[model::QueueId] {
    match &signal.target {
        Target::LocalMail(ids) => ids,
        _ => &[],
    }
}
