//! Watches the use of each account over time: learns what is usual, says when it is above that and above fair.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::order::Finding;
use model::packet::Baseline;
use model::{AccountEntry, AccountName, Evidence, FactKey, Hash, Kind, Moment, Signal, Span, Strength, Target};

use super::cgroup::Use;
use crate::attribution::Attribution;
use crate::process::{Place, Process, Scene, Table, base, is_heavy_tool, is_interpreter, owner, script_of};

/// Samples after which what was learnt may be used.
const SAMPLES_MIN: u64 = 48;
/// One sample never weighs less than this: what is usual may change over weeks.
const SLOWEST: f64 = 1.0 / 512.0;
/// Below this use, per cent of one core, nobody is disturbed.
const FLOOR_PERCENT: f64 = 20.0;
/// An account without a history has to use this much at least.
const FLOOR_NEW_PERCENT: f64 = 50.0;
/// How long it has to last, with and without a history.
const LASTS: Span = Span::minutes(2);
const LASTS_NEW: Span = Span::minutes(10);
/// From this use on an account takes part in the node, per cent of one core.
const ACTIVE_PERCENT: f64 = 1.0;
/// Share of the use that heavy tools need to have for a job.
const JOB_SHARE: f64 = 0.6;
/// Most programs named.
const PROGRAMS_MAX: usize = 3;
/// Metrics that are learnt.
const CPU: &str = "cpu_percent";
const REQUESTS: &str = "requests_per_second";
/// A sample that is no farther from a settled mean teaches nothing.
const NO_NEWS: f64 = 0.01;

/// Everything that one observation looks at.
pub struct Look<'a> {
    /// The processes now.
    pub table: &'a Table,
    /// Whose they are.
    pub who: &'a dyn Attribution,
    /// The accounts.
    pub accounts: &'a [AccountEntry],
    /// What their control groups say; empty when there are none.
    pub uses: &'a [Use],
    /// Requests per second of each account's sites, where known.
    pub requests: &'a BTreeMap<AccountName, f64>,
    /// Accounts under a restriction: nothing is learnt of them.
    pub restricted: &'a BTreeSet<AccountName>,
    /// Cores of the node.
    pub cores: u32,
    /// Share of time in which tasks waited for CPU, per cent (see [`pressure`]).
    pub pressure: Option<f64>,
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
    last: Option<Moment>,
    above: HashMap<AccountName, Episode>,
}

/// What is usual for one account.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    cpu: Row,
    requests: Row,
}

/// One metric of one account.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    mean: f64,
    deviation: f64,
    samples: u64,
    changed: bool,
}

impl Row {
    /// The row, once enough was learnt to use it.
    fn believed(self) -> Option<Row> {
        (self.samples >= SAMPLES_MIN).then_some(self)
    }

    /// Running mean and mean deviation; the first samples weigh more, later ones little. On a node of thousands of
    /// idle accounts nearly every sample is what was there before: it changes nothing and is not stored again.
    fn learn(&mut self, value: f64) {
        let weight = (1.0 / (self.samples as f64 + 1.0)).max(SLOWEST);
        let off = (value - self.mean).abs();
        if weight <= SLOWEST && off < NO_NEWS && self.deviation < NO_NEWS {
            return;
        }
        self.mean += weight * (value - self.mean);
        if self.samples > 0 {
            self.deviation += weight * (off - self.deviation);
        }
        self.samples = self.samples.saturating_add(1);
        self.changed = true;
    }
}

/// A time of too much load.
#[derive(Debug)]
struct Episode {
    since: Moment,
    told: Option<Kind>,
}

/// Use of one account since the last observation.
#[derive(Default)]
struct Now<'a> {
    cpu: Span,
    by_program: HashMap<&'a [u8], (Span, bool)>,
}

impl Watch {
    /// A baseline known from before.
    pub fn learnt(&mut self, baseline: Baseline) {
        let Baseline { account, metric, mean, deviation, samples } = baseline;
        if !matches!(&metric[..], CPU | REQUESTS) || !mean.is_finite() || !deviation.is_finite() {
            return;
        }
        let usual = self.usual.entry(account).or_default();
        let row = if metric == CPU { &mut usual.cpu } else { &mut usual.requests };
        *row = Row { mean, deviation, samples, changed: false };
    }

    /// Baselines that changed since the last call, by account.
    pub fn changed(&mut self) -> Vec<Baseline> {
        let mut changed = Vec::new();
        for (account, usual) in &mut self.usual {
            for (metric, row) in [(CPU, &mut usual.cpu), (REQUESTS, &mut usual.requests)] {
                if std::mem::take(&mut row.changed) {
                    let Row { mean, deviation, samples, .. } = *row;
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
        let active = uses.values().filter(|now| percent(now.cpu) >= ACTIVE_PERCENT).count().max(1);
        let fair = f64::from(look.cores.max(1)) * 100.0 / active as f64;
        let mut findings = Vec::new();
        for entry in look.accounts {
            let used = uses.remove(&entry.account.name).unwrap_or_default();
            findings.extend(self.weigh(look, entry, percent(used.cpu), fair, &used));
        }
        self.above.retain(|name, _| look.accounts.iter().any(|entry| entry.account.name == *name));
        findings
    }

    /// CPU time by account out of the process table. A process seen for the first time counts in full only when it
    /// was started since the last observation.
    fn by_processes<'a>(&mut self, look: &Look<'a>) -> HashMap<AccountName, Now<'a>> {
        let mut uses: HashMap<AccountName, Now<'a>> = HashMap::new();
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
            now.cpu.0 += cpu.0;
            let program = now.by_program.entry(base(&process.exe)).or_insert((Span::ZERO, false));
            program.0.0 += cpu.0;
            program.1 |= is_job(&Scene::of(look.table, look.now, Some(account)), process);
        }
        self.processes = seen;
        uses
    }

    /// The larger of both views: a group misses what runs outside of it, the table misses what ended.
    fn by_groups(&mut self, look: &Look<'_>, uses: &mut HashMap<AccountName, Now<'_>>) {
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

    fn weigh(
        &mut self,
        look: &Look<'_>,
        entry: &AccountEntry,
        percent: f64,
        fair: f64,
        used: &Now<'_>,
    ) -> Option<Finding> {
        let name = &entry.account.name;
        let requests = look.requests.get(name).copied();
        let known = self.usual.get(name).copied().unwrap_or_default();
        let usual = known.cpu.believed();
        let limit = match &usual {
            Some(usual) => (usual.mean * 1.5).max(usual.mean + 4.0 * usual.deviation).max(FLOOR_PERCENT).max(fair),
            None => fair.max(FLOOR_NEW_PERCENT),
        };
        if percent <= limit {
            self.above.remove(name);
            if !look.restricted.contains(name) {
                self.learn(name, percent, requests);
            }
            return None;
        }
        let kind = explain(&known, percent, requests, used);
        let episode = self.above.entry(name.clone()).or_insert(Episode { since: look.now, told: None });
        let lasts = if usual.is_some() { LASTS } else { LASTS_NEW };
        if look.now - episode.since < lasts || episode.told == Some(kind) {
            return None;
        }
        episode.told = Some(kind);
        let since = episode.since;
        let evidence = evidence(look, percent, fair, requests, usual.as_ref(), used);
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

    fn learn(&mut self, name: &AccountName, percent: f64, requests: Option<f64>) {
        // Not `entry`: it would copy the name of each account at each observation.
        if !self.usual.contains_key(name) {
            self.usual.insert(name.clone(), Usual::default());
        }
        let Some(usual) = self.usual.get_mut(name) else { return };
        usual.cpu.learn(percent);
        if let Some(requests) = requests {
            usual.requests.learn(requests);
        }
    }
}

/// More visitors than usual at the usual cost each, a known heavy job, or neither.
fn explain(known: &Usual, percent: f64, requests: Option<f64>, used: &Now<'_>) -> Kind {
    let jobs: i64 = used.by_program.values().filter(|(_, job)| *job).map(|(cpu, _)| cpu.0).sum();
    if jobs as f64 >= used.cpu.0 as f64 * JOB_SHARE && jobs > 0 {
        return Kind::HeavyJob;
    }
    if let (Some(requests), Some(before), Some(usual)) = (requests, known.requests.believed(), known.cpu.believed()) {
        let cost_before = usual.mean / before.mean.max(0.01);
        let cost_now = percent / requests.max(0.01);
        if requests >= before.mean * 1.5 && requests >= 1.0 && cost_now <= cost_before * 2.0 {
            return Kind::TrafficPeak;
        }
    }
    Kind::LoadAboveBaseline
}

/// A heavy tool out of the system's directories, or an interpreter that runs such a script of the system.
fn is_job(scene: &Scene<'_>, process: &Process) -> bool {
    if scene.program_place(process) != Place::System {
        return false;
    }
    if !is_interpreter(&process.exe) {
        return is_heavy_tool(base(&process.exe));
    }
    script_of(process).is_some_and(|script| is_heavy_tool(base(&script)) && scene.place(&script) == Place::System)
}

fn evidence(
    look: &Look<'_>,
    percent: f64,
    fair: f64,
    requests: Option<f64>,
    usual: Option<&Row>,
    used: &Now<'_>,
) -> Evidence {
    let mut evidence = Evidence::default();
    evidence.number(FactKey::CpuPercent, percent.round() as i64);
    if let Some(usual) = usual {
        evidence.number(FactKey::Baseline, usual.mean.round() as i64);
    }
    evidence.number(FactKey::FairPercent, fair.round() as i64);
    if let Some(requests) = requests {
        evidence.number(FactKey::RequestsPerSecond, requests.round() as i64);
    }
    if let Some(pressure) = look.pressure {
        evidence.number(FactKey::PressurePercent, pressure.round() as i64);
    }
    let mut programs: Vec<(&[u8], Span)> = used.by_program.iter().map(|(name, (cpu, _))| (*name, *cpu)).collect();
    programs.sort_by_key(|(name, cpu)| (std::cmp::Reverse(*cpu), *name));
    let names: Vec<&[u8]> = programs.iter().take(PROGRAMS_MAX).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        evidence.text(FactKey::Programs, names.join(&b", "[..]));
    }
    evidence
}

/// Share of the last 10 s in which tasks waited for CPU, per cent: `some avg10=` of `/proc/pressure/cpu`.
pub fn pressure(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split(' ').find_map(|word| word.strip_prefix("avg10=")?.parse().ok())
}
