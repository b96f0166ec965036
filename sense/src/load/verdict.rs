//! What a time of load means, and on which grounds: a foreign program, visitors, a heavy part or job, or not seen.
//!
//! | what is seen (shares of the account's CPU since the last look) | verdict | ground |
//! |---|---|---|
//! | half of it is of processes that the process reader suspects | above baseline | `foreign_program` |
//! | a fifth of it is | nothing below excuses it | |
//! | three fifths: known tools out of the system's folders | heavy job | `known_tool` |
//! | three fifths: the same tools as scripts of the home, in a person's session | heavy job | `known_tool session` |
//! | three fifths: the site's own schedule (`wp-cron.php`), run by the system's cron or a pool | heavy job | `scheduled_by_site` |
//! | 1.5 times and 3 deviations more requests than usual, none of them at twice the usual cost | traffic peak | `requests` |
//! | the web reader sees crawlers, requests have risen, pools work | traffic peak | `crawler` |
//! | pools work, and three fifths of the slow requests came by a front door and spent it in one part | heavy job | `slow_script` |
//! | the same, by the site's own schedule | heavy job | `slow_script scheduled_by_site` |
//! | anything else | above baseline, cause not seen | |
//!
//! "In one part": three slow requests, or one whose worker used three fifths of all. `cron`, `memory` and `io` are named
//! beside, they excuse nothing: intruders run by cron too. A job explains six hours at most. What an intruder can
//! imitate here makes a hint of a suspicion about his own account; load never restricts either way.

use std::collections::HashMap;

use model::{AccountEntry, Evidence, FactKey, Kind, Moment, Span};

use super::deep::Beside;
use super::fpm::Slow;
use super::usual::Usual;
use super::watch::Look;
use crate::process::{Place, Process, Scene, base, is_heavy_tool, is_interpreter, script_of, started_by};

/// Share of the use that an explanation needs to have.
const JOB_SHARE: f64 = 0.6;
/// Shares of suspected processes: from the first on nothing is excused, from the second on they are the cause.
const FOREIGN_SOME: f64 = 0.2;
const FOREIGN_MOST: f64 = 0.5;
/// No job goes on for longer.
const JOB_LASTS: Span = Span::hours(6);
/// A crawler asks for pages that nobody else does, which cost more.
const COST_MORE: f64 = 2.0;
const COST_MORE_CRAWLED: f64 = 4.0;
/// Slow requests that show where the time goes.
const SLOW_MIN: u32 = 3;
/// Most programs and processes named.
const PROGRAMS_MAX: usize = 3;
const PIDS_MAX: usize = 16;
/// Workers remembered of one account.
const WORKERS_MAX: usize = 256;

/// Which of its uses is too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// CPU.
    pub cpu: bool,
    /// Memory.
    pub memory: bool,
    /// IO.
    pub io: bool,
}

/// How much it is, and what would be fair.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// CPU, per cent of a core.
    pub percent: f64,
    /// The account's fair share of it.
    pub fair: f64,
    /// Its fair share of memory, MiB; 0 when not known.
    pub fair_memory: f64,
    /// The rest, where it was looked at.
    pub beside: Option<Beside>,
    /// IO, MiB per second.
    pub io: Option<f64>,
}

/// What worked for an account since the last observation.
#[derive(Default)]
pub struct Use<'a> {
    /// CPU time, of groups or processes, whichever is larger.
    pub cpu: Span,
    /// CPU time of processes that are there.
    seen: i64,
    by_program: HashMap<&'a [u8], i64>,
    foreign: i64,
    foreign_pids: Vec<u32>,
    tools: i64,
    own_tools: i64,
    scheduled: i64,
    pools: i64,
    cron: i64,
    workers: Vec<(u32, u64, i64)>,
}

impl<'a> Use<'a> {
    /// Adds one process that used this much.
    pub fn add(&mut self, look: &Look<'a>, account: &'a AccountEntry, process: &'a Process, cpu: Span) {
        let cpu = cpu.0;
        self.cpu.0 += cpu;
        self.seen += cpu;
        *self.by_program.entry(base(&process.exe)).or_insert(0) += cpu;
        if look.foreign.contains(&(process.pid, process.start_ticks)) {
            self.foreign += cpu;
            if self.foreign_pids.len() < PIDS_MAX {
                self.foreign_pids.push(process.pid);
            }
            return;
        }
        let scene = Scene::of(look.table, look.now, Some(account));
        let (by_session, by_cron) = started_by(&scene, process);
        self.cron += if by_cron { cpu } else { 0 };
        if scene.is_pool(process) {
            self.pools += cpu;
            if self.workers.len() < WORKERS_MAX {
                self.workers.push((process.pid, process.start_ticks, cpu));
            }
            return;
        }
        let system = scene.program_place(process) == Place::System;
        if !is_interpreter(&process.exe) {
            self.tools += if system && is_heavy_tool(base(&process.exe)) { cpu } else { 0 };
            return;
        }
        let Some(script) = script_of(process).filter(|_| system) else { return };
        let (name, lies) = (base(&script), scene.place(&script));
        match lies {
            Place::System if is_heavy_tool(name) => self.tools += cpu,
            Place::Home | Place::Tools if is_heavy_tool(name) && by_session => self.own_tools += cpu,
            Place::Home if super::fpm::is_schedule(name) && (by_cron || above_is_pool(&scene, process)) => {
                self.scheduled += cpu;
            }
            _ => {}
        }
    }

    fn share(&self, part: i64) -> f64 {
        part as f64 / self.cpu.0.max(1) as f64
    }

    /// CPU of these workers.
    fn of(&self, is_one: impl Fn(u32, u64) -> bool) -> i64 {
        self.workers.iter().filter(|(pid, start, _)| is_one(*pid, *start)).map(|(_, _, cpu)| cpu).sum()
    }
}

fn above_is_pool(scene: &Scene<'_>, process: &Process) -> bool {
    scene.table.ancestors(process).any(|parent| scene.is_pool(parent))
}

/// What it means.
pub struct Verdict {
    /// The mechanism.
    pub kind: Kind,
    /// The facts in reading order.
    pub evidence: Evidence,
    /// Workers whose slow script explains it, by pid and start.
    pub workers: Vec<(u32, u64)>,
}

/// Weighs one account that is above; `before` says since when it is, and which workers explained it the last time.
pub fn verdict(
    look: &Look<'_>,
    entry: &AccountEntry,
    known: &Usual,
    (above, scale): (Above, &Scale),
    used: &Use<'_>,
    before: (Moment, &[(u32, u64)]),
) -> Verdict {
    let name = &entry.account.name;
    let requests = look.requests.get(name).copied();
    let slow = look.slow.get(name).map_or(&[][..], Vec::as_slice);
    let crawled = look.crawled.get(name).map(String::as_str);
    let found = weigh(look, known, scale.percent, requests, (slow, crawled), used, before);
    let Weighed { kind, mut grounds, slow, workers } = found;
    if used.share(used.cron) >= JOB_SHARE {
        grounds.push("cron");
    }
    grounds.extend(above.memory.then_some("memory"));
    grounds.extend(above.io.then_some("io"));
    let evidence = evidence(look, known, scale, (requests, slow, crawled), used, &grounds);
    Verdict { kind, evidence, workers }
}

struct Weighed<'a> {
    kind: Kind,
    grounds: Vec<&'static str>,
    slow: Option<&'a Slow>,
    workers: Vec<(u32, u64)>,
}

fn weigh<'a>(
    look: &Look<'_>,
    known: &Usual,
    percent: f64,
    requests: Option<f64>,
    (slow, crawled): (&'a [Slow], Option<&str>),
    used: &Use<'_>,
    (since, explained): (Moment, &[(u32, u64)]),
) -> Weighed<'a> {
    let top = slow.first();
    let say =
        |kind, grounds: &[&'static str]| Weighed { kind, grounds: grounds.to_vec(), slow: top, workers: Vec::new() };
    let foreign = used.share(used.foreign);
    if foreign >= FOREIGN_MOST {
        return say(Kind::LoadAboveBaseline, &["foreign_program"]);
    }
    if foreign >= FOREIGN_SOME {
        return say(Kind::LoadAboveBaseline, &[]);
    }
    let is_job = look.now - since < JOB_LASTS;
    let most = |part: i64| part > 0 && used.share(part) >= JOB_SHARE;
    if is_job && most(used.tools) {
        return say(Kind::HeavyJob, &["known_tool"]);
    }
    if is_job && most(used.tools + used.own_tools) {
        return say(Kind::HeavyJob, &["known_tool", "session"]);
    }
    if is_job && most(used.tools + used.scheduled) {
        return say(Kind::HeavyJob, &["scheduled_by_site"]);
    }
    // Workers that ended since are in the groups' sum only, so pools are measured against what is still there.
    let pools = used.pools as f64 >= used.seen as f64 * JOB_SHARE && used.pools > 0;
    if let Some(requests) = requests {
        let usual = known.requests.believed();
        let more = usual.is_none_or(|usual| requests >= (usual.mean * 1.5).max(usual.mean + 3.0 * usual.deviation));
        let cost = usual.zip(known.cpu.believed()).map(|(requests_before, cpu)| {
            let before = cpu.mean / requests_before.mean.max(0.01);
            percent / requests.max(0.01) / before.max(0.01)
        });
        if requests >= 1.0 && more {
            if usual.is_some() && cost.is_some_and(|cost| cost <= COST_MORE) {
                let grounds: &[_] = if crawled.is_some() { &["requests", "crawler"] } else { &["requests"] };
                return say(Kind::TrafficPeak, grounds);
            }
            if crawled.is_some() && pools && cost.is_none_or(|cost| cost <= COST_MORE_CRAWLED) {
                return say(Kind::TrafficPeak, &["crawler"]);
            }
        }
    }
    if is_job && pools {
        let all: u32 = slow.iter().map(|slow| slow.requests).sum();
        let fifths = |part: u32, of: u32| f64::from(part) >= f64::from(of) * JOB_SHARE && part > 0;
        let is_one = |pid, _| top.is_some_and(|slow| slow.pids.contains(&pid));
        let clear = top.filter(|slow| {
            let known_part = slow.is_part || fifths(slow.scheduled, slow.requests);
            let shown = slow.requests >= SLOW_MIN && fifths(slow.requests, all);
            known_part && !slow.is_bad && fifths(slow.by_door, slow.requests) && (shown || most(used.of(is_one)))
        });
        let same = |pid, start| explained.contains(&(pid, start));
        if let Some(slow) = clear {
            let by_schedule = fifths(slow.scheduled, slow.requests);
            let grounds: &[_] = if by_schedule { &["slow_script", "scheduled_by_site"] } else { &["slow_script"] };
            let workers = used.workers.iter().filter(|(pid, _, _)| slow.pids.contains(pid));
            let workers = workers.map(|(pid, start, _)| (*pid, *start)).collect();
            return Weighed { workers, ..say(Kind::HeavyJob, grounds) };
        }
        if top.is_none() && most(used.of(same)) {
            return Weighed { workers: explained.to_vec(), ..say(Kind::HeavyJob, &["slow_script"]) };
        }
    }
    say(Kind::LoadAboveBaseline, &[])
}

fn evidence(
    look: &Look<'_>,
    known: &Usual,
    scale: &Scale,
    (requests, slow, crawled): (Option<f64>, Option<&Slow>, Option<&str>),
    used: &Use<'_>,
    grounds: &[&str],
) -> Evidence {
    let mut evidence = Evidence::default();
    let whole = |value: f64| value.round() as i64;
    evidence.number(FactKey::CpuPercent, whole(scale.percent));
    if let Some(usual) = known.cpu.believed() {
        evidence.number(FactKey::Baseline, whole(usual.mean));
    }
    evidence.number(FactKey::FairPercent, whole(scale.fair));
    if let Some(pressure) = look.room.cpu_pressure {
        evidence.number(FactKey::PressurePercent, whole(pressure));
    }
    if let Some(beside) = scale.beside {
        let room = look.room;
        let rows = [(FactKey::MemoryMib, beside.memory, known.memory), (FactKey::IoMibPerSecond, scale.io, known.io)];
        let waits = [
            (FactKey::MemoryPressurePercent, beside.memory_pressure.or(room.memory_pressure)),
            (FactKey::IoPressurePercent, beside.io_pressure.or(room.io_pressure)),
        ];
        for ((key, value, usual), (waits, share)) in rows.into_iter().zip(waits) {
            let Some(value) = value else { continue };
            evidence.number(key, whole(value));
            if let Some(usual) = usual.believed() {
                evidence.number(FactKey::Baseline, whole(usual.mean));
            }
            if let Some(share) = share {
                evidence.number(waits, whole(share));
            }
        }
        evidence.number(FactKey::Tasks, beside.tasks as i64);
    }
    if let Some(requests) = requests {
        evidence.number(FactKey::RequestsPerSecond, whole(requests));
        if let Some(usual) = known.requests.believed() {
            evidence.number(FactKey::Baseline, whole(usual.mean));
        }
    }
    if !grounds.is_empty() {
        evidence.text(FactKey::Grounds, grounds.join(" "));
    }
    if let Some(addresses) = crawled {
        evidence.text(FactKey::Addresses, addresses);
    }
    if let Some(slow) = slow {
        evidence.text(FactKey::SlowScript, &slow.path).number(FactKey::Requests, i64::from(slow.requests));
        if slow.seconds > 0.0 {
            evidence.number(FactKey::SlowSeconds, whole(slow.seconds));
        }
    }
    if !used.foreign_pids.is_empty() {
        let pids: Vec<String> = used.foreign_pids.iter().map(u32::to_string).collect();
        evidence.text(FactKey::Pids, pids.join(" "));
    }
    let mut programs: Vec<(&[u8], i64)> = used.by_program.iter().map(|(name, cpu)| (*name, *cpu)).collect();
    programs.sort_by_key(|(name, cpu)| (std::cmp::Reverse(*cpu), *name));
    let names: Vec<&[u8]> = programs.iter().take(PROGRAMS_MAX).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        evidence.text(FactKey::Programs, names.join(&b", "[..]));
    }
    evidence
}
