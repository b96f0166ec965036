//! Judges a table: marks of each process, rows of the one table, families, findings.
//!
//! Says what is odd and how sure that is, never what is to be done about it.

use std::collections::{BTreeMap, HashMap};

use model::evidence::printable;
use model::order::Finding;
use model::{AccountEntry, AccountName, AccountRef, Evidence, FactKey, Hash, Kind, Moment, Signal, Strength, Target};

use super::family::{Family, Guilty, families};
use super::mark::{Mark, Scene, is_script_name, marks, script_of, uploaded_script};
use super::memory::{self, Memory};
use super::rule::RULES;
use super::table::{Process, SocketState, State, Table};
use super::word::is_interpreter;
use crate::attribution::{Attribution, site_of};
use crate::reading::Unattributed;

/// Most remote ends named in evidence.
const REMOTES_MAX: usize = 8;

/// What came out of one look at a table.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// One finding a family; the same as long as it runs, with the same fingerprint.
    pub findings: Vec<Finding>,
    /// What could not be attributed.
    pub unattributed: Vec<Unattributed>,
    /// Processes looked at, by account.
    pub looked_at: BTreeMap<AccountName, u64>,
}

/// Processes of one uid that are judged together.
struct Group<'a> {
    /// The account, if one may be blamed.
    blamed: Option<&'a AccountEntry>,
    /// The account in whose folders they are looked at.
    scene: Option<&'a AccountEntry>,
    processes: Vec<&'a Process>,
}

/// Looks at every process of every tenant. Root and service uids are never looked at.
pub fn judge(table: &Table, who: &dyn Attribution, now: Moment, memory: &mut Memory) -> Judgement {
    let mut judgement = Judgement::default();
    // By account, or by uid where nobody may be blamed.
    let mut groups: BTreeMap<(Option<AccountName>, Option<AccountName>, u32), Group<'_>> = BTreeMap::new();
    let mut copies: HashMap<u64, u32> = HashMap::new();
    for process in table.processes() {
        if process.kernel || !who.is_tenant(process.uid) {
            continue;
        }
        let account = owner(who, process);
        if account.is_none() && !who.is_shared(process.uid) {
            continue;
        }
        if let Some(account) = account {
            *judgement.looked_at.entry(account.account.name.clone()).or_default() += 1;
        }
        *copies.entry(memory::key(process)).or_default() += 1;
        let scene = account.or_else(|| hinted(who, process));
        let name = |entry: Option<&AccountEntry>| entry.map(|entry| entry.account.name.clone());
        let key = (name(account), name(scene), process.uid);
        let group = groups.entry(key).or_insert_with(|| Group { blamed: account, scene, processes: Vec::new() });
        group.processes.push(process);
    }
    for Group { blamed, scene, processes } in groups.into_values() {
        let scene = Scene::of(table, now, scene);
        let guilty: Vec<Guilty<'_>> =
            processes.iter().filter_map(|process| look(&scene, process, &copies, memory)).collect();
        if guilty.is_empty() {
            continue;
        }
        for family in families(&scene, guilty, &processes) {
            match blamed {
                Some(account) => judgement.findings.push(finding(&scene, account, &family)),
                None => judgement.unattributed.push(unattributed(&scene, &family)),
            }
        }
    }
    memory.settle(now);
    judgement
}

/// The account of a process: by uid, or under a shared uid by everything that the kernel says about its places. Its
/// arguments are its own words: they make it doubtful, and never somebody's by themselves.
pub(crate) fn owner<'a>(who: &'a dyn Attribution, process: &Process) -> Option<&'a AccountEntry> {
    if !who.is_shared(process.uid) {
        return who.account(process.uid, &[]);
    }
    let mut open = process.fds.iter().map(|fd| fd.strip_suffix(b" (deleted)").unwrap_or(fd));
    let open = open.find(|fd| is_script_name(fd)).unwrap_or_default();
    who.account(process.uid, &[&process.exe, &process.cwd, open])?;
    let script = script_of(process).unwrap_or_default();
    who.account(process.uid, &[&process.exe, &process.cwd, open, &script])
}

/// Whose file a process of a shared uid says that it runs: enough to know what kind of place that is, not whom to blame.
fn hinted<'a>(who: &'a dyn Attribution, process: &Process) -> Option<&'a AccountEntry> {
    who.account(process.uid, &[&script_of(process).filter(|_| who.is_shared(process.uid))?])
}

/// One process: its marks, and the rows that speak of them.
fn look<'a>(
    scene: &Scene<'_>,
    process: &'a Process,
    copies: &HashMap<u64, u32>,
    memory: &mut Memory,
) -> Option<Guilty<'a>> {
    if process.state == State::Zombie || process.exe.is_empty() {
        return None;
    }
    let own = scene.program_place(process).by_tenant()
        || (is_interpreter(&process.exe) && script_of(process).is_some_and(|s| scene.place(&s).by_tenant()));
    let alone = copies.get(&memory::key(process)).is_none_or(|copies| *copies == 1);
    // The loop is known by sweeps: who starts short programs often (a shell's script, a queue) makes none.
    let restarts = own && process.state != State::Ended && memory.note(process, alone, scene.now);
    let marks = marks(scene, process, restarts);
    let mut rules: Vec<_> = RULES.iter().filter(|rule| rule.matches(marks)).collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.strength)); // stable: the table's order decides among equals
    (!rules.is_empty()).then_some(Guilty { process, rules, marks })
}

/// Main mechanism, further ones, strength.
fn mechanism(family: &Family<'_>) -> (Kind, Vec<Kind>, Strength) {
    let first = family.guilty[0].rules[0];
    let mut also: Vec<Kind> = family.guilty.iter().flat_map(|one| one.rules.iter().map(|rule| rule.kind)).collect();
    also.extend(family.guarded.then_some(Kind::Guard));
    let orphaned = family.guilty.iter().any(|one| one.marks.has(Mark::Orphaned));
    also.extend(orphaned.then_some(Kind::Orphaned));
    also.sort_unstable();
    also.dedup();
    also.retain(|kind| *kind != first.kind);
    (first.kind, also, first.strength)
}

fn finding(scene: &Scene<'_>, account: &AccountEntry, family: &Family<'_>) -> Finding {
    let (kind, also, strength) = mechanism(family);
    let evidence = evidence(scene, family);
    let main = family.guilty[0].process;
    let script = script(scene, family);
    let exe = if is_interpreter(&main.exe) { &b""[..] } else { &main.exe };
    let cwd = main.cwd.strip_suffix(b" (deleted)").unwrap_or(&main.cwd);
    Finding {
        signal: Signal {
            kind,
            also,
            strength,
            account: account.account.clone(),
            site: site_of(account, &[&script, exe, cwd]),
            at: scene.now,
            since: family.members.iter().map(|p| p.start).min().unwrap_or(scene.now),
            target: target(family),
            fingerprint: fingerprint(&account.account, kind, main, &script),
            evidence: hash(&evidence),
            forgeable: false,
        },
        evidence,
    }
}

/// What of it still runs.
fn target(family: &Family<'_>) -> Target {
    let alive: Vec<_> = family.members.iter().filter(|p| p.state != State::Ended).map(|p| p.reference()).collect();
    if alive.is_empty() { Target::Nothing } else { Target::Processes(alive) }
}

fn unattributed(scene: &Scene<'_>, family: &Family<'_>) -> Unattributed {
    let (kind, also, strength) = mechanism(family);
    Unattributed { kind, also, strength, uid: family.guilty[0].process.uid, evidence: evidence(scene, family) }
}

/// The same for the same mechanism of the same program or script, whatever its pid and time.
fn fingerprint(account: &AccountRef, kind: Kind, main: &Process, script: &[u8]) -> Hash {
    let kind = serde_json::to_vec(&kind).unwrap_or_default();
    // An interpreter without a script is told from the next one by what it was given to run or shows.
    let told = if script.is_empty() && is_interpreter(&main.exe) { main.argv.join(&b' ') } else { Vec::new() };
    Hash::of_parts(&[account.name.as_str().as_bytes(), &kind, &main.exe, script, &told])
}

/// The name of an evidence body.
pub(super) fn hash(evidence: &Evidence) -> Hash {
    Hash::of(&serde_json::to_vec(evidence).unwrap_or_default())
}

/// The script of the family: that of its strongest member which has one; a worker's open script among uploads too.
fn script(scene: &Scene<'_>, family: &Family<'_>) -> Vec<u8> {
    let own = |process: &Process| script_of(process).filter(|path| scene.place(path) != super::Place::System);
    let guilty = family.guilty.iter().map(|one| one.process).chain(family.members.iter().copied());
    guilty
        .clone()
        .find_map(own)
        .or_else(|| guilty.into_iter().find_map(|p| uploaded_script(scene, p).map(<[u8]>::to_vec)))
        .unwrap_or_default()
}

fn evidence(scene: &Scene<'_>, family: &Family<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    let main = family.guilty[0].process;
    let title = main.argv.first().filter(|title| !title.is_empty()).unwrap_or(&main.comm);
    evidence.text(FactKey::Shown, title);
    evidence.text(FactKey::Really, &main.exe);
    evidence.text(FactKey::CommandLine, printable(main.argv.join(&b' ').trim_ascii_end(), 300));
    if !main.cwd.is_empty() {
        evidence.text(FactKey::Cwd, &main.cwd);
    }
    let script = script(scene, family);
    if !script.is_empty() {
        evidence.text(FactKey::Script, &script);
    }
    let mut programs: Vec<&[u8]> =
        family.guilty.iter().filter(|one| one.marks.has(Mark::Own)).map(|one| &one.process.exe[..]).collect();
    programs.sort_unstable();
    programs.dedup();
    for program in programs.iter().filter(|path| !path.starts_with(b"/memfd:")).take(4) {
        evidence.text(FactKey::Path, program);
    }
    evidence.text(FactKey::Pids, family.members.iter().map(|p| p.pid.to_string()).collect::<Vec<_>>().join(" "));
    let started = family.members.iter().map(|p| p.start).min().unwrap_or(scene.now);
    evidence.text(FactKey::Started, started.to_string());
    let ends = |listening: bool| {
        let sockets = family.guilty.iter().flat_map(|one| &one.process.sockets);
        let mut ends: Vec<String> = sockets
            .filter(|socket| if listening { socket.state == SocketState::Listen } else { socket.goes_outside() })
            .map(|socket| if listening { socket.local } else { socket.remote }.to_string())
            .collect();
        ends.sort_unstable();
        ends.dedup();
        let more = ends.len().saturating_sub(REMOTES_MAX);
        ends.truncate(REMOTES_MAX);
        ends.extend((more > 0).then(|| format!("+{more}")));
        ends.join(" ")
    };
    for (key, text) in [(FactKey::Remote, ends(false)), (FactKey::Listening, ends(true))] {
        if !text.is_empty() {
            evidence.text(key, text);
        }
    }
    evidence.number(FactKey::CpuSeconds, family.members.iter().map(|p| p.cpu.whole_secs()).sum());
    evidence
}
