//! Which processes belong to one trouble: the guilty ones, their guards, the shells and workers that started them,
//! and what they started themselves. Masters, sessions, cron and neighbours stay out.

use std::collections::{BTreeMap, BTreeSet};

use super::argument::{Code, code};
use super::mark::{Mark, Scene, feeds, script_of, speaks_of};
use super::place::Place;
use super::rule::Rule;
use super::table::{Process, State};
use super::word::{base, is_interpreter, is_shell};

/// Most processes of one family; the model allows no more in one target.
pub const FAMILY_MAX: usize = 256;

/// One guilty process: it bears a mechanism itself.
pub struct Guilty<'a> {
    /// The process.
    pub process: &'a Process,
    /// Rows of the table that match, the strongest first.
    pub rules: Vec<&'static Rule>,
    /// Its marks.
    pub marks: super::mark::Marks,
}

/// Processes found together.
pub struct Family<'a> {
    /// The guilty ones, the strongest first.
    pub guilty: Vec<Guilty<'a>>,
    /// All of it in the order in which it has to stand still: guards, then parents, then children.
    pub members: Vec<&'a Process>,
    /// Whether a guard is among them.
    pub guarded: bool,
}

/// Joins guilty processes of one account into families.
pub fn families<'a>(scene: &Scene<'a>, guilty: Vec<Guilty<'a>>, candidates: &[&'a Process]) -> Vec<Family<'a>> {
    let mut groups: Vec<(BTreeSet<u32>, BTreeSet<u32>, Vec<Guilty<'a>>)> = Vec::new();
    for one in guilty {
        let (mut members, mut guards) = around(scene, &one, candidates);
        let mut together = vec![one];
        // Whatever shares a process or a program file with it is the same trouble.
        let mut at = 0;
        while at < groups.len() {
            let shares =
                !groups[at].0.is_disjoint(&members) || groups[at].2.iter().any(|other| same_thing(other, &together[0]));
            if shares {
                let (more, more_guards, others) = groups.remove(at);
                members.extend(more);
                guards.extend(more_guards);
                together.extend(others);
            } else {
                at += 1;
            }
        }
        groups.push((members, guards, together));
    }
    groups.into_iter().map(|(members, guards, guilty)| family(scene, members, &guards, guilty)).collect()
}

fn family<'a>(
    scene: &Scene<'a>,
    members: BTreeSet<u32>,
    guards: &BTreeSet<u32>,
    mut guilty: Vec<Guilty<'a>>,
) -> Family<'a> {
    guilty.sort_by_key(|one| (std::cmp::Reverse(one.rules[0].strength), one.process.start, one.process.pid));
    let mut members: Vec<&Process> = members.iter().filter_map(|pid| scene.table.get(*pid)).collect();
    let depth: BTreeMap<u32, usize> = members.iter().map(|p| (p.pid, scene.table.ancestors(p).count())).collect();
    members.sort_by_key(|p| (!guards.contains(&p.pid), depth[&p.pid], p.pid));
    members.truncate(FAMILY_MAX);
    Family { guarded: !guards.is_empty(), guilty, members }
}

/// Copies of one program or script of the tenant, also when they do not hang together.
fn same_thing(one: &Guilty<'_>, other: &Guilty<'_>) -> bool {
    let key = |guilty: &Guilty<'_>| match script_of(guilty.process) {
        Some(script) => Some(script),
        None if is_interpreter(&guilty.process.exe) => None,
        None => Some(guilty.process.exe.clone()),
    };
    one.process.uid == other.process.uid
        && (key(one).is_some_and(|path| Some(path) == key(other))
            || (one.process.exe == other.process.exe
                && one.process.argv == other.process.argv
                && one.process.argv.len() > 1))
}

/// The processes around one guilty one, and which of them are guards.
fn around<'a>(scene: &Scene<'a>, one: &Guilty<'a>, candidates: &[&'a Process]) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let process = one.process;
    // Under a shared uid the neighbours' processes look like relatives; only the account's own can belong to it.
    let own: BTreeSet<u32> = candidates.iter().map(|candidate| candidate.pid).collect();
    let mut members = BTreeSet::from([process.pid]);
    let mut guards = BTreeSet::new();
    if one.marks.has(Mark::Loop) {
        guards.insert(process.pid);
    }
    let mut child = process;
    for parent in scene.table.ancestors(process) {
        if parent.uid != process.uid || !own.contains(&parent.pid) || !started_it(scene, parent, child, process) {
            break;
        }
        members.insert(parent.pid);
        if !scene.is_pool(parent) && watches(scene, parent, process) {
            guards.insert(parent.pid);
        }
        child = parent;
        if scene.is_pool(parent) {
            break; // whatever stands above a worker is its master
        }
    }
    for other in candidates.iter().filter(|other| other.uid == process.uid) {
        if members.contains(&other.pid) {
            continue;
        }
        if guards_from_aside(scene, other, process) {
            members.insert(other.pid);
            guards.insert(other.pid);
        }
        // The other end of the pipe.
        if one.marks.has(Mark::Pipe) && feeds(scene, other, process) {
            members.insert(other.pid);
        }
    }
    let mut open: Vec<u32> =
        members.iter().copied().filter(|pid| !scene.table.get(*pid).is_some_and(|p| scene.is_pool(p))).collect();
    while let Some(pid) = open.pop() {
        for child in scene.table.children(pid).filter(|child| child.uid == process.uid && child.state != State::Zombie)
        {
            if own.contains(&child.pid) && members.len() < FAMILY_MAX && members.insert(child.pid) {
                open.push(child.pid);
            }
        }
    }
    (members, guards)
}

/// Whether a parent of the same uid is part of it: the shell around it, a loop, or the worker that started it.
fn started_it(scene: &Scene<'_>, parent: &Process, child: &Process, guilty: &Process) -> bool {
    let terminal =
        parent.has_controlling_terminal() || parent.argv.first().is_some_and(|title| title.starts_with(b"-"));
    if terminal || parent.kernel || parent.pid == 1 {
        return false;
    }
    if scene.is_pool(parent) {
        return true;
    }
    if !is_interpreter(&parent.exe) {
        // A program of the tenant that starts the guilty one from the same bad corner is the same program's parent.
        return parent.exe == child.exe && scene.program_place(parent).by_tenant()
            || (scene.program_place(parent).is_bad() && !parent.exe.is_empty());
    }
    match code(parent) {
        Code::Inline(_) => true,
        Code::Script(path) => {
            let at = scene.place(&path);
            at.is_bad()
                || at == Place::Data
                || speaks_of(parent, guilty)
                || (is_shell(&parent.exe) && at != Place::System)
        }
        Code::Stdin => is_shell(&parent.exe),
        Code::Unknown => parent.exe == guilty.exe,
        Code::Module => false,
    }
}

/// A parent that waits to start it again: a loop in its text, or a shell script that sleeps beside it.
fn watches(scene: &Scene<'_>, parent: &Process, guilty: &Process) -> bool {
    match code(parent) {
        Code::Inline(text) => is_shell(&parent.exe) && super::argument::loops(&text),
        Code::Script(_) => {
            is_shell(&parent.exe)
                && (speaks_of(parent, guilty)
                    || scene
                        .table
                        .children(parent.pid)
                        .any(|child| base(&child.exe) == b"sleep" || base(&child.comm) == b"sleep"))
        }
        _ => false,
    }
}

/// A guard that is no parent: a loop or script of the same account that names the program, or that runs out of the
/// same bad directory.
fn guards_from_aside(scene: &Scene<'_>, other: &Process, guilty: &Process) -> bool {
    if other.has_controlling_terminal() || !is_interpreter(&other.exe) || is_pool_or_session(scene, other) {
        return false;
    }
    let own = scene.program_place(guilty).by_tenant();
    match code(other) {
        Code::Inline(text) => own && is_shell(&other.exe) && super::argument::loops(&text) && speaks_of(other, guilty),
        Code::Script(path) => {
            let folder = |path: &[u8]| path[..path.iter().rposition(|b| *b == b'/').unwrap_or(0)].to_vec();
            let corner = script_of(guilty).unwrap_or_else(|| guilty.exe.clone());
            let place = scene.place(&path);
            // `/tmp` itself holds many things that have nothing to do with one another.
            let own_corner = place.is_bad()
                && folder(&path) == folder(&corner)
                && folder(&path).iter().filter(|b| **b == b'/').count() >= 2;
            own_corner && !path.starts_with(b"/var/tmp/") || own && speaks_of(other, guilty)
        }
        _ => false,
    }
}

fn is_pool_or_session(scene: &Scene<'_>, process: &Process) -> bool {
    scene.is_pool(process) || process.argv.first().is_some_and(|title| title.starts_with(b"-"))
}
