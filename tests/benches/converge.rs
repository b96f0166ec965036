//! From the start of act to a node that agrees with its journal, 1,000 restrictions in force; and 1,000 processes frozen.
//!
//! Converged means: opened, and each restriction listed with its effect seen on the node. Then once more with every flag
//! removed behind its back, until each order was sent again and holds. The freeze is measured from the first order to
//! the moment when all stand still, beside a plain loop of SIGSTOP over as many processes that watches for the same and
//! knows nobody, records nothing and finds no children: the ratio is what it costs never to hit a stranger.
//! Goals: 5 s from start to converged; 1 s for the freeze.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use act::{Actor, Budgets, Config, LoginConfig, Reach};
use model::packet::{ActOrder, FromAct, SiteHandle, ToAct};
use model::{
    AccountRef, GateKey, Hash, IntentId, Measure, Moment, Number, ProcessRef, Restriction, RestrictionId, Verb, Why,
};
use sys::process::Process;

const RESTRICTIONS: u64 = 1000;
const PROCESSES: usize = 1000;
/// Most processes of one order.
const ORDER_MAX: usize = 250;
const FIRST_UID: u32 = 60_000;
const GOAL_SECS: f64 = 5.0;
const GOAL_FREEZE_SECS: f64 = 1.0;

/// Sleeping children of one account; they end with us.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn new(count: usize, uid: u32) -> Sleepers {
        let mut sleepers = Sleepers(Vec::new());
        for _ in 0..count {
            let mut command = Command::new("/bin/sleep");
            command.arg("300").current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if is_root() {
                command.uid(uid).gid(uid);
            }
            sleepers.0.push(command.process_group(0).spawn().expect("a process"));
        }
        let slept = |child: &Child| state(child.id()) == 'S' && exe(child.id()).ends_with("sleep");
        while !sleepers.0.iter().all(slept) {
            std::thread::sleep(Duration::from_millis(5));
        }
        sleepers
    }

    fn all(&self, wanted: impl Fn(u32) -> bool) -> bool {
        self.0.iter().all(|child| wanted(child.id()))
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|child| drop(child.kill()));
        self.0.iter_mut().for_each(|child| drop(child.wait()));
    }
}

fn main() {
    // `cargo bench` passes `--bench`; anything else (`cargo test --benches`) only sees that it runs.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (restrictions, processes) = if measured { (RESTRICTIONS, PROCESSES) } else { (20, 20) };
    let met = |met: bool| if met { "met" } else { "NOT met" };

    let (start, repair) = converge(restrictions);
    let secs = start.as_secs_f64();
    println!(
        "start to converged, {restrictions} restrictions: {secs:.2} s, goal {GOAL_SECS} s: {}",
        met(secs <= GOAL_SECS)
    );
    println!("the same with every flag gone, each order sent again: {:.2} s", repair.as_secs_f64());

    if !is_root() {
        println!("SKIPPED: freezing processes of another uid needs root");
        return;
    }
    let plain = plain_stop(processes);
    for cages in [false, true] {
        let Some(ours) = freeze(processes, cages) else {
            println!("SKIPPED: no freezer cgroup");
            continue;
        };
        let (secs, ratio) = (ours.as_secs_f64(), ours.as_secs_f64() / plain.as_secs_f64());
        println!(
            "freeze of {processes} processes by {}: {secs:.3} s, goal {GOAL_FREEZE_SECS} s: {}; plain SIGSTOP loop {:.3} s, ratio {ratio:.1}",
            if cages { "cgroup" } else { "signal" },
            met(secs <= GOAL_FREEZE_SECS),
            plain.as_secs_f64(),
        );
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Time from opening to a list in which all hold: as it was left, and after every flag was removed.
fn converge(count: u64) -> (Duration, Duration) {
    let folder = folder();
    let config = config(folder.path(), false);
    let mut actor = Actor::open(config.clone()).expect("folders of our own");
    let orders: Vec<ToAct> = (0..count).map(|n| close(n + 1, n as u32)).collect();
    orders.iter().for_each(|order| done(&actor.handle(order.clone())));
    drop(actor);
    let begun = Instant::now();
    let mut actor = Actor::open(config.clone()).expect("folders of our own");
    assert_eq!(holding(&mut actor), count);
    let start = begun.elapsed();
    drop(actor);

    for n in 0..count {
        std::fs::remove_file(config.gate_dir.join(format!("nginx/a{n}.example"))).expect("a flag");
    }
    let begun = Instant::now();
    let mut actor = Actor::open(config).expect("folders of our own");
    assert_eq!(holding(&mut actor), 0);
    orders.iter().for_each(|order| done(&actor.handle(order.clone())));
    assert_eq!(holding(&mut actor), count);
    (start, begun.elapsed())
}

/// Time from the first order to the moment when all stand still; `None` without a freezer.
fn freeze(count: usize, cages: bool) -> Option<Duration> {
    if cages && sys::cgroup::Freezer::find().is_none() {
        return None;
    }
    let folder = folder();
    let mut actor = Actor::open(config(folder.path(), cages)).expect("folders of our own");
    let sleepers = Sleepers::new(count, FIRST_UID);
    let references: Vec<ProcessRef> = sleepers.0.iter().map(|child| reference(child.id())).collect();
    let restrictions: Vec<Restriction> = references
        .chunks(ORDER_MAX)
        .zip(0..)
        .map(|(some, n)| restriction(n, Measure::FreezeProcess { processes: some.to_vec() }))
        .collect();
    let begun = Instant::now();
    for (n, one) in restrictions.iter().enumerate() {
        let verb = Verb::Impose { restriction: one.clone(), by_person: true };
        done(&actor.handle(order(n as u64 + 1, 0, verb, vec![])));
    }
    let caged =
        |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|c| c.contains("/hikeshi/"));
    // Act has seen each cage frozen before it answered; stopped processes are looked at here as well.
    assert!(sleepers.all(|pid| if cages { caged(pid) } else { state(pid) == 'T' }));
    let took = begun.elapsed();
    assert_eq!(holding(&mut actor), restrictions.len() as u64);
    for (n, one) in restrictions.iter().enumerate() {
        let verb = Verb::Lift { restriction: one.id, measure: one.measure.clone(), for_good: false };
        done(&actor.handle(order(n as u64 + 1000, 0, verb, vec![])));
    }
    Some(took)
}

/// What asks nothing: one signal a process, then looking until all stand still.
fn plain_stop(count: usize) -> Duration {
    let sleepers = Sleepers::new(count, FIRST_UID);
    let held: Vec<Process> = sleepers.0.iter().map(|child| Process::open(child.id()).expect("it runs")).collect();
    let begun = Instant::now();
    held.iter().for_each(|process| process.stop().expect("it runs"));
    while !sleepers.all(|pid| state(pid) == 'T') {
        std::hint::spin_loop();
    }
    begun.elapsed()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("our own");
    for (name, mode) in [("state", 0o700), ("gate", 0o711)] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
        std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).expect("our own");
    }
    folder
}

fn config(folder: &Path, cgroups: bool) -> Config {
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("/proc"));
    Config {
        reach: Reach::Uids(1000..=69_999),
        budgets: Budgets { accounts_per_hour: 3, accounts_per_day: 10 },
        state_dir: folder.join("state"),
        gate_dir: folder.join("gate"),
        portal: "https://panel.example/hikeshi".into(),
        unavailable: false,
        postfix: None,
        cgroups,
        quarantine_dirs: vec![],
        cron_spool: folder.join("cron"),
        net: None,
        logins: LoginConfig::default(),
        disarmed: folder.join("disarmed"),
        core_uids: vec![own],
    }
}

fn close(intent: u64, n: u32) -> ToAct {
    let domain: model::Domain = format!("a{n}.example").parse().expect("a domain");
    let handle = SiteHandle {
        domain: domain.clone(),
        root: format!("/home/a{n}/www"),
        gates: vec![GateKey::Nginx(domain.to_string())],
        probes: vec![],
    };
    let restriction = restriction(n as u16, Measure::CloseSite { site: domain });
    order(intent, n, Verb::Impose { restriction, by_person: true }, vec![handle])
}

/// Numbers of a day that only benches have, so that no cage is named like a test's.
fn restriction(n: u16, measure: Measure) -> Restriction {
    let day = Moment::from_secs(2_500_000_000 + i64::from(std::process::id() % 10_000) * 86_400);
    let id = RestrictionId { incident: Number::new(day, n), ordinal: 1 };
    let why = Why { rule: "bench".into(), findings: vec![Hash::of(b"finding")] };
    Restriction { id, measure, since: Moment::from_secs(1_774_061_213), why }
}

fn order(intent: u64, n: u32, verb: Verb, sites: Vec<SiteHandle>) -> ToAct {
    let account = AccountRef { name: format!("a{n}").parse().expect("a name"), uid: FIRST_UID + n, generation: 1 };
    ToAct::Do(ActOrder {
        intent: IntentId(intent),
        link: model::Hash::ZERO,
        account,
        home: String::new(),
        verb,
        sites,
        pass: None,
        dry_run: false,
    })
}

fn done(answers: &[FromAct]) {
    assert!(matches!(answers, [FromAct::Done { .. }]), "{answers:?}");
}

/// How many restrictions are listed with their effect seen.
fn holding(actor: &mut Actor) -> u64 {
    let holds = |answer: &FromAct| matches!(answer, FromAct::InForce { holds: true, .. });
    actor.handle(ToAct::List).iter().filter(|answer| holds(answer)).count() as u64
}

fn reference(pid: u32) -> ProcessRef {
    let is = Process::open(pid).and_then(|process| process.identity()).expect("it runs");
    let (exe_dev, exe_ino) = is.exe.expect("a program");
    ProcessRef { pid, start_ticks: is.start_ticks, uid: is.uids[0], exe_dev, exe_ino }
}

fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

fn exe(pid: u32) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default()
}
