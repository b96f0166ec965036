//! Watches the use of each account over time: learns what is usual, says when it is above that and above fair.
//!
//! | of an account | is above when | for |
//! |---|---|---|
//! | CPU | above 1.5 times and 4 deviations of what is usual, its fair share and 20 % of a core | 2 min |
//! | CPU, without a history | above its fair share and half a core | 10 min |
//! | memory | the same against what is usual and fair, 512 MiB or more, and tasks wait for memory | 2 min |
//! | IO | the same against what is usual, 20 MiB/s or more, and tasks wait for disks | 2 min |
//! | memory, IO, without a history | 1 GiB (and fair), 50 MiB/s, and tasks do wait | 10 min |
//!
//! Tasks wait when the account's group, or the node, waited a tenth of the last ten seconds (PSI); a kernel that does
//! not say so is taken as one that waits, where there is a history. What it means is weighed in [`super::verdict`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::order::Finding;
use model::packet::Baseline;
use model::{AccountEntry, AccountName, Hash, Kind, Moment, Signal, Span, Strength, Target};

use super::cgroup::Use;
use super::deep::{Before, Deep, MIB};
use super::fpm::Slow;
use super::usual::{METRICS, Row, Usual};
use super::verdict::{Above, Scale, Use as Worked, verdict};
use crate::attribution::Attribution;
use crate::process::{Table, owner};

/// Below this use, per cent of one core, nobody is disturbed.
const FLOOR_PERCENT: f64 = 20.0;
/// An account without a history has to use this much at least.
const FLOOR_NEW_PERCENT: f64 = 50.0;
/// The same for memory, MiB, and for IO, MiB per second: with and without a history.
const FLOOR_MEMORY: [f64; 2] = [512.0, 1024.0];
const FLOOR_IO: [f64; 2] = [20.0, 50.0];
/// Share of time, per cent, from which on waiting disturbs somebody.
const WAITS_PERCENT: f64 = 10.0;
/// How long it has to last, with and without a history.
const LASTS: Span = Span::minutes(2);
const LASTS_NEW: Span = Span::minutes(10);
/// From this use on an account takes part in the node, per cent of one core, and its memory and IO are looked at.
const ACTIVE_PERCENT: f64 = 1.0;
/// Most accounts whose memory and IO are looked at in one observation; those that use most CPU go first.
const DETAILS_MAX: usize = 1024;

/// What the node as a whole has, and how long its tasks waited of the last ten seconds, per cent (see [`pressure`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Cores.
    pub cores: u32,
    /// Memory, MiB, where known.
    pub memory_mib: Option<f64>,
    /// For CPU.
    pub cpu_pressure: Option<f64>,
    /// For memory.
    pub memory_pressure: Option<f64>,
    /// For disks.
    pub io_pressure: Option<f64>,
}

/// Everything that one observation looks at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The processes now.
    pub table: &'a Table,
    /// Whose they are.
    pub who: &'a dyn Attribution,
    /// The accounts.
    pub accounts: &'a [AccountEntry],
    /// CPU of their control groups; empty when there are none.
    pub uses: &'a [Use],
    /// Where memory and IO of the few that matter are read.
    pub deep: &'a dyn Deep,
    /// Requests per second of each account's sites, where known.
    pub requests: &'a BTreeMap<AccountName, f64>,
    /// What was slow lately, where a log says it (see [`super::fpm`]).
    pub slow: &'a BTreeMap<AccountName, Vec<Slow>>,
    /// Who is crawled now, and by which addresses.
    pub crawled: &'a BTreeMap<AccountName, String>,
    /// Processes, by pid and start, that the process reader suspects at least.
    pub foreign: &'a BTreeSet<(u32, u64)>,
    /// Accounts under a restriction: nothing is learnt of them.
    pub restricted: &'a BTreeSet<AccountName>,
    /// The node.
    pub room: Room,
    /// Now.
    pub now: Moment,
}

/// What is remembered between observations.
#[derive(Debug, Default)]
pub struct Watch {
    usual: HashMap<AccountName, Usual>,
    /// CPU time of each process at the last observation, by pid and start: a reused pid is another process.
    processes: HashMap<(u32, u64), Span>,
    groups: HashMap<AccountName, Span>,
    beside: Before,
    last: Option<Moment>,
    above: HashMap<AccountName, Episode>,
}

/// A time of too much load.
#[derive(Debug)]
struct Episode {
    since: Moment,
    told: Option<Kind>,
    /// Workers whose slow script explained it: the log names a request once, however long it goes on.
    explained: Vec<(u32, u64)>,
}

impl Watch {
    /// A baseline known from before.
    pub fn learnt(&mut self, baseline: Baseline) {
        let Baseline { account, metric, mean, deviation, samples } = baseline;
        let Some(at) = METRICS.iter().position(|known| *known == metric) else { return };
        if mean.is_finite() && deviation.is_finite() {
            let usual = self.usual.entry(account).or_default();
            *usual.rows()[at] = Row::stored(mean, deviation, samples);
        }
    }

    /// Baselines that changed since the last call, by account.
    pub fn changed(&mut self) -> Vec<Baseline> {
        let mut changed = Vec::new();
        for (account, usual) in &mut self.usual {
            for (metric, row) in METRICS.into_iter().zip(usual.rows()) {
                if let Some((mean, deviation, samples)) = row.take_changed() {
                    let (account, metric) = (account.clone(), metric.to_owned());
                    changed.push(Baseline { account, metric, mean, deviation, samples });
                }
            }
        }
        changed.sort_by(|a, b| (&a.account, &a.metric).cmp(&(&b.account, &b.metric)));
        changed
    }

    /// Whether the account is at or below what is usual, for a verification; `None` without a history.
    pub fn is_usual(&self, account: &AccountName) -> Option<bool> {
        self.usual.get(account)?.cpu.believed().map(|_| !self.above.contains_key(account))
    }

    /// Takes one observation; at least one before is needed for a use. A finding comes once for each time of load,
    /// and again only when its explanation changes. CPU time of ended processes is seen by control groups only.
    pub fn observe(&mut self, look: &Look<'_>) -> Vec<Finding> {
        let mut uses = self.by_processes(look);
        self.by_groups(look, &mut uses);
        let Some(last) = self.last.replace(look.now) else { return Vec::new() };
        let passed = look.now - last;
        if passed.0 <= 0 {
            return Vec::new();
        }
        let percent = |cpu: Span| cpu.0.max(0) as f64 * 100.0 / passed.0 as f64;
        let mut active: Vec<(&AccountName, i64)> = uses
            .iter()
            .filter(|(_, now)| percent(now.cpu) >= ACTIVE_PERCENT)
            .map(|(name, now)| (name, now.cpu.0))
            .collect();
        let sharing = active.len().max(1) as f64;
        let fair = f64::from(look.room.cores.max(1)) * 100.0 / sharing;
        let fair_memory = look.room.memory_mib.map_or(0.0, |all| all / sharing);
        active.sort_by_key(|(name, cpu)| (std::cmp::Reverse(*cpu), *name));
        let mut chosen: BTreeSet<&AccountName> = active.iter().take(DETAILS_MAX).map(|(name, _)| *name).collect();
        let waits = |share: Option<f64>| share.is_some_and(|share| share >= WAITS_PERCENT);
        if waits(look.room.memory_pressure) || waits(look.room.io_pressure) {
            let rest = look.accounts.iter().map(|entry| &entry.account.name);
            chosen.extend(rest.take(DETAILS_MAX.saturating_sub(chosen.len())));
        }
        let mut beside = self.beside.look(look.deep, (look.table, look.who), look.uses, &chosen);
        drop(chosen);
        let mut findings = Vec::new();
        for entry in look.accounts {
            let name = &entry.account.name;
            let used = uses.remove(name).unwrap_or_default();
            let beside = beside.remove(name);
            let io = beside.and_then(|b| b.io_bytes).map(|bytes| bytes as f64 / MIB / (passed.0 as f64 / 1e6));
            let scale = Scale { percent: percent(used.cpu), fair, fair_memory, beside, io };
            findings.extend(self.weigh(look, entry, scale, &used));
        }
        self.above.retain(|name, _| look.accounts.iter().any(|entry| entry.account.name == *name));
        findings
    }

    /// CPU time by account out of the process table. A process seen for the first time counts in full only when it
    /// was started since the last observation.
    fn by_processes<'a>(&mut self, look: &Look<'a>) -> HashMap<AccountName, Worked<'a>> {
        let mut uses: HashMap<AccountName, Worked<'a>> = HashMap::new();
        let mut seen = HashMap::with_capacity(self.processes.len());
        for process in look.table.processes().iter().filter(|p| !p.kernel && look.who.is_tenant(p.uid)) {
            let key = (process.pid, process.start_ticks);
            let before = self.processes.get(&key).copied();
            seen.insert(key, process.cpu);
            let Some(account) = owner(look.who, process) else { continue };
            let is_new = self.last.is_some_and(|last| process.start >= last);
            let cpu = match before {
                Some(before) => Span((process.cpu.0 - before.0).max(0)),
                None if is_new => process.cpu,
                None => Span::ZERO,
            };
            if cpu == Span::ZERO {
                continue;
            }
            let now = uses.entry(account.account.name.clone()).or_default();
            now.add(look, account, process, cpu);
        }
        self.processes = seen;
        uses
    }

    /// The larger of both views: a group misses what runs outside of it, the table misses what ended.
    fn by_groups(&mut self, look: &Look<'_>, uses: &mut HashMap<AccountName, Worked<'_>>) {
        let mut seen = HashMap::with_capacity(look.uses.len());
        for one in look.uses {
            let Some(cpu) = one.cpu else { continue };
            if let Some(before) = self.groups.get(&one.account) {
                // A group that was made anew counts from zero again.
                let used = if cpu >= *before { Span(cpu.0 - before.0) } else { cpu };
                let now = uses.entry(one.account.clone()).or_default();
                now.cpu = now.cpu.max(used);
            }
            seen.insert(one.account.clone(), cpu);
        }
        self.groups = seen;
    }

    fn weigh(&mut self, look: &Look<'_>, entry: &AccountEntry, scale: Scale, used: &Worked<'_>) -> Option<Finding> {
        let name = &entry.account.name;
        let requests = look.requests.get(name).copied();
        let known = self.usual.get(name).copied().unwrap_or_default();
        let above = above(&known, &scale, look.room);
        if above == Above::default() {
            self.above.remove(name);
            if !look.restricted.contains(name) {
                self.learn(name, &scale, requests);
            }
            return None;
        }
        let new = Episode { since: look.now, told: None, explained: Vec::new() };
        let episode = self.above.entry(name.clone()).or_insert(new);
        let found = verdict(look, entry, &known, (above, &scale), used, (episode.since, &episode.explained));
        episode.explained.clone_from(&found.workers);
        let history = [(above.cpu, known.cpu), (above.memory, known.memory), (above.io, known.io)];
        let known_before = history.iter().any(|(is_above, row)| *is_above && row.believed().is_some());
        let lasts = if known_before { LASTS } else { LASTS_NEW };
        if look.now - episode.since < lasts || episode.told == Some(found.kind) {
            return None;
        }
        episode.told = Some(found.kind);
        let since = episode.since;
        let (kind, evidence) = (found.kind, found.evidence);
        let strength = if kind == Kind::LoadAboveBaseline { Strength::Suspicious } else { Strength::Hint };
        let signal = Signal {
            kind,
            also: Vec::new(),
            strength,
            account: entry.account.clone(),
            site: None,
            at: look.now,
            since,
            target: Target::Nothing,
            fingerprint: Hash::of_parts(&[name.as_str().as_bytes(), &serde_json::to_vec(&kind).unwrap_or_default()]),
            evidence: Hash::of(&serde_json::to_vec(&evidence).unwrap_or_default()),
            forgeable: false,
        };
        Some(Finding { signal, evidence })
    }

    fn learn(&mut self, name: &AccountName, scale: &Scale, requests: Option<f64>) {
        // Not `entry`: it would copy the name of each account at each observation.
        if !self.usual.contains_key(name) {
            self.usual.insert(name.clone(), Usual::default());
        }
        let Some(usual) = self.usual.get_mut(name) else { return };
        usual.cpu.learn(scale.percent);
        let learnt = [
            (requests, &mut usual.requests),
            (scale.beside.and_then(|beside| beside.memory), &mut usual.memory),
            (scale.io, &mut usual.io),
        ];
        for (value, row) in learnt {
            if let Some(value) = value {
                row.learn(value);
            }
        }
    }
}

/// What of it is too much, see the table above.
fn above(known: &Usual, scale: &Scale, room: Room) -> Above {
    let cpu = match known.cpu.believed() {
        Some(usual) => usual.limit().max(FLOOR_PERCENT).max(scale.fair),
        None => scale.fair.max(FLOOR_NEW_PERCENT),
    };
    let over = |value: f64, row: Row, floor: [f64; 2], fair: f64, waited: [Option<f64>; 2]| {
        let waited = waited.into_iter().flatten().reduce(f64::max);
        match row.believed() {
            Some(usual) => {
                value > usual.limit().max(floor[0]).max(fair) && waited.is_none_or(|share| share >= WAITS_PERCENT)
            }
            None => value > floor[1].max(fair) && waited.is_some_and(|share| share >= WAITS_PERCENT),
        }
    };
    let memory = scale.beside.is_some_and(|b| {
        let waited = [b.memory_pressure, room.memory_pressure];
        b.memory.is_some_and(|memory| over(memory, known.memory, FLOOR_MEMORY, scale.fair_memory, waited))
    });
    let waited = [scale.beside.and_then(|b| b.io_pressure), room.io_pressure];
    let io = scale.io.is_some_and(|io| over(io, known.io, FLOOR_IO, 0.0, waited));
    Above { cpu: scale.percent > cpu, memory, io }
}

/// Share of the last 10 s in which tasks waited: `some avg10=` of a file below `/proc/pressure`, or of a group's.
pub fn pressure(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let share: f64 = line.split(' ').find_map(|word| word.strip_prefix("avg10=")?.parse().ok())?;
    share.is_finite().then_some(share)
}
