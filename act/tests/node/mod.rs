//! A small node for tests: folders of an actor, orders as core would send them, processes of a test account.

#![allow(dead_code)] // each test file uses a part

pub mod aside;
pub mod postfix;
pub mod server;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use act::{Actor, Budgets, Clock, Config, LoginConfig, Reach, Steps};
use model::packet::{ActOrder, FromAct, PassKey, SiteHandle, ToAct};
use model::{
    AccountRef, Domain, Failure, GateKey, Hash, IntentId, Measure, Moment, Number, ProcessRef, Restriction,
    RestrictionId, Verb, Why,
};

/// Says on the real stderr, past the test runner's capture, that something was not tested.
pub fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The uid of test accounts: a free one when we are root, else our own.
pub fn test_uid() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    if own == 0 { 20_190 } else { own }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn account(name: &str, uid: u32) -> AccountRef {
    AccountRef { name: name.parse().unwrap(), uid, generation: 1 }
}

pub fn alice() -> AccountRef {
    account("alice", test_uid())
}

/// A clock that tests turn: wall, boot, uptime.
#[derive(Clone)]
pub struct Turned(pub Arc<Mutex<(Moment, Hash, u64)>>);

impl Clock for Turned {
    fn now(&self) -> Moment {
        self.0.lock().unwrap().0
    }
    fn uptime(&self) -> (Hash, u64) {
        let now = self.0.lock().unwrap();
        (now.1, now.2)
    }
}

pub struct Node {
    pub folder: tempfile::TempDir,
    pub config: Config,
    pub clock: Turned,
}

impl Node {
    pub fn new() -> Node {
        Node::new_in(&std::env::temp_dir())
    }

    /// In memory, where a sync costs nothing: for tests of many orders that are about no disk.
    pub fn in_memory() -> Node {
        Node::new_in(&memory())
    }

    /// With its folders below this one.
    pub fn new_in(parent: &Path) -> Node {
        let folder = tempfile::tempdir_in(parent).unwrap();
        open_to_all(folder.path());
        for (name, mode) in [("state", 0o700), ("gate", 0o711)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let config = Config {
            reach: Reach::Uids(20_000..=29_999),
            budgets: Budgets { accounts_per_hour: 3, accounts_per_day: 3 },
            state_dir: folder.path().join("state"),
            gate_dir: folder.path().join("gate"),
            portal: "https://panel.example.jp/hikeshi".into(),
            unavailable: false,
            postfix: None,
            cgroups: true,
            quarantine_dirs: vec![],
            cron_spool: folder.path().join("cron"),
            net: None,
            logins: LoginConfig::default(),
            disarmed: folder.path().join("disarmed"),
            core_uids: vec![rustix::process::geteuid().as_raw()],
        };
        let start = (Moment::parse("2026-03-21T02:46:53Z").unwrap(), Hash::of(b"boot"), 1000);
        Node { folder, config, clock: Turned(Arc::new(Mutex::new(start))) }
    }

    /// The same folders with a configuration that can be changed.
    pub fn with_config(&self) -> Node {
        Node { folder: tempfile::tempdir().unwrap(), config: self.config.clone(), clock: self.clock.clone() }
    }

    pub fn open(&self) -> Actor {
        self.open_with(Box::new(|_| {}))
    }

    pub fn open_with(&self, steps: Steps) -> Actor {
        let steps = Arc::new(Mutex::new(steps));
        let mut opened = None;
        // A child that another test just forked has our lock too, until it closes what it does not need.
        eventually("the lock is free", || {
            let steps = steps.clone();
            let told = move |step| (steps.lock().unwrap_or_else(|e| e.into_inner()))(step);
            let actor = Actor::open_with(self.config.clone(), Box::new(self.clock.clone()), Box::new(told));
            let busy = matches!(&actor, Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy);
            opened = Some(actor);
            !busy
        });
        opened.unwrap().unwrap()
    }

    pub fn gate(&self) -> PathBuf {
        self.config.gate_dir.clone()
    }

    pub fn pass_time(&self, secs: u64) {
        let mut now = self.clock.0.lock().unwrap();
        now.0 = now.0 + model::Span::secs(secs as i64);
        now.2 += secs;
    }
}

/// A folder in memory, if there is one.
pub fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

pub fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

pub fn number(serial: u16) -> Number {
    Number::new(Moment::parse("2026-03-21T02:46:53Z").unwrap(), serial)
}

pub fn restriction(serial: u16, since: i64, measure: Measure) -> Restriction {
    Restriction {
        id: RestrictionId { incident: number(serial), ordinal: 1 },
        measure,
        since: Moment::from_secs(1_774_061_213 + since),
        why: Why { rule: "test".into(), findings: vec![] },
    }
}

pub fn site(name: &str, gates: Vec<GateKey>) -> SiteHandle {
    SiteHandle { domain: name.parse().unwrap(), root: format!("/srv/{name}"), gates, probes: vec![] }
}

/// An order to impose, from outside of any person's hands.
pub fn impose(intent: u64, account: &AccountRef, restriction: &Restriction, sites: &[SiteHandle]) -> ToAct {
    let verb = Verb::Impose { restriction: restriction.clone(), by_person: false };
    order(intent, account, verb, sites, None)
}

pub fn lift(intent: u64, account: &AccountRef, restriction: &Restriction, for_good: bool) -> ToAct {
    let verb = Verb::Lift { restriction: restriction.id, measure: restriction.measure.clone(), for_good };
    order(intent, account, verb, &[], None)
}

pub fn open_pass(intent: u64, account: &AccountRef, sites: &[SiteHandle], pass: PassKey, until: Moment) -> ToAct {
    let row = match &pass {
        PassKey::Token(t) => format!("tok:{}", t.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        PassKey::Address(a) => format!("ip:{a}"),
    };
    let names: Vec<Domain> = sites.iter().map(|site| site.domain.clone()).collect();
    let verb = Verb::OpenPass { sites: names, pass: Hash::of(row.as_bytes()), until };
    order(intent, account, verb, sites, Some(pass))
}

pub fn order(intent: u64, account: &AccountRef, verb: Verb, sites: &[SiteHandle], pass: Option<PassKey>) -> ToAct {
    let (account, sites) = (account.clone(), sites.to_vec());
    ToAct::Do(ActOrder {
        intent: IntentId(intent),
        link: Hash::ZERO,
        account,
        home: String::new(),
        verb,
        sites,
        pass,
        dry_run: false,
    })
}

pub fn dry(packet: ToAct) -> ToAct {
    match packet {
        ToAct::Do(order) => ToAct::Do(ActOrder { dry_run: true, ..order }),
        other => other,
    }
}

/// Expects `Done` and returns what was seen.
#[track_caller]
pub fn done(answers: Vec<FromAct>) -> String {
    match answers.as_slice() {
        [FromAct::Done { what, .. }] => what.clone(),
        other => panic!("not done: {other:?}"),
    }
}

/// Expects `Failed` and returns why.
#[track_caller]
pub fn failed(answers: Vec<FromAct>) -> Failure {
    match answers.as_slice() {
        [FromAct::Failed { why, .. }] => why.clone(),
        other => panic!("not failed: {other:?}"),
    }
}

/// What is in force: restriction, holds, what.
pub fn in_force(actor: &mut Actor) -> Vec<(RestrictionId, bool, String)> {
    let answers = actor.handle(ToAct::List);
    assert_eq!(answers.last(), Some(&FromAct::ListEnd));
    let rows = answers.into_iter().filter_map(|answer| match answer {
        FromAct::InForce { restriction, holds, what, .. } => Some((restriction, holds, what)),
        _ => None,
    });
    rows.collect()
}

/// A child that is killed when its test ends, however it ends.
pub struct Sleeper(pub Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `program` of the test account, in a process group of its own.
pub fn run_as(uid: u32, program: &str, arguments: &[&str]) -> Sleeper {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    if is_root() {
        command.uid(uid).gid(uid);
    }
    let child = command.current_dir("/").spawn().unwrap();
    let name = Path::new(program).canonicalize().unwrap();
    eventually("the program runs", || std::fs::read_link(format!("/proc/{}/exe", child.id())).is_ok_and(|p| p == name));
    Sleeper(child)
}

pub fn sleeper(uid: u32) -> Sleeper {
    run_as(uid, "/usr/bin/sleep", &["60"])
}

pub fn reference(pid: u32) -> ProcessRef {
    let is = sys::process::Process::open(pid).unwrap().identity().unwrap();
    let (exe_dev, exe_ino) = is.exe.unwrap();
    ProcessRef { pid, start_ticks: is.start_ticks, uid: is.uids[0], exe_dev, exe_ino }
}

pub fn state(pid: u32) -> char {
    sys::process::Process::open(pid).and_then(|p| p.identity()).map_or('-', |is| is.state)
}

/// Bounded polling of kernel or server state.
#[track_caller]
pub fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if test() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("never seen: {what}");
}
