//! `kill -9` of a real act, at random moments and at every named step, while orders for several accounts come in.
//!
//! The model here knows what was acknowledged. After each death a new act is started on the same folders: it must agree
//! with the model, and the node with both. Nothing lost, nothing done twice, nothing that no record explains.
//! Postfix, nft, sshd and Dovecot are asked for real, with configurations in a temporary folder and a network of the
//! test's own. `HK_KILLS` sets how many random deaths there are (300), `HK_SEED` repeats a run.

mod netns;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use act::postfix::Table;
use act::{Actor, Config, MailDeny, NetConfig, PostfixConfig, SshDeny, SystemClock};
use model::packet::{ActOrder, FromAct, SiteHandle, ToAct};
use model::{
    AccountRef, CronLine, Failure, FileRef, GateKey, Hash, Login, MailScope, MailUser, Measure, Moment, Number,
    Restriction, RestrictionId, Verb, Wide,
};
use node::*;
use sys::process::Process;
use sys::socket::{Connection, Listener};

/// One verb as it is played here: a further verb is one more line (and one more in `LOOKS` if it has a place of its own).
const PLAYS: [(&str, Play); 16] = [
    ("close-site", |world, who| Measure::CloseSite { site: world.sites(who)[world.draw.below(2)].domain.clone() }),
    ("close-account", |world, who| Measure::CloseAccount {
        sites: world.sites(who).into_iter().map(|site| site.domain).collect(),
        wide: Wide::ManySites,
    }),
    ("hold-mail", |_, _| Measure::HoldMail { scope: MailScope::Local, queued: vec![] }),
    ("freeze-process", |world, who| Measure::FreezeProcess { processes: vec![reference(world.new_sleeper(who)[0])] }),
    ("freeze-process with a child", |world, who| Measure::FreezeProcess {
        processes: vec![reference(world.new_family(who)[0])],
    }),
    ("block-script", |world, who| Measure::BlockScript {
        site: world.sites(who)[world.draw.below(2)].domain.clone(),
        path: ["x.php", "up/y.php"][world.draw.below(2)].parse().unwrap(),
    }),
    ("quarantine-file", |world, who| Measure::QuarantineFile { files: world.new_files(who), of: 1_000_000 }),
    ("disable-cron-line", |world, who| Measure::DisableCronLine { line: world.free_line(who) }),
    ("block-login", |_, _| Measure::BlockLogin { logins: vec![Login::Ftp] }),
    // From here on with programs of the node.
    ("hold-mail of a mailbox", |world, who| held(MailScope::Mailbox(world.mailbox(who)))),
    ("hold-mail of an account", |_, who| held(MailScope::Account { domains: vec![domain(who)] })),
    ("refuse-mail", |_, _| Measure::RefuseMail),
    ("block-outbound", |_, _| Measure::BlockOutbound),
    ("throttle-source", |world, _| Measure::ThrottleSource {
        sources: vec![SOURCES[world.draw.below(2)].parse().unwrap(), SOURCES[2].parse().unwrap()],
    }),
    ("block-login by ssh", |_, _| Measure::BlockLogin { logins: vec![Login::Shell] }),
    ("block-login by mail", |world, who| Measure::BlockLogin {
        logins: vec![Login::Mail(world.mailbox(who)), Login::Ftp, Login::Shell],
    }),
];
/// How many of them need no program.
const PLAIN: usize = 9;
type Play = fn(&mut World, usize) -> Measure;

/// Where the node is compared with what is wanted.
const LOOKS: [Look; 8] = [
    World::flags,
    World::mail_tables,
    World::packet_filter,
    World::processes,
    World::files,
    World::crontabs,
    World::deny_lists,
    World::journal,
];

type Look = fn(&World) -> Result<(), String>;

/// Steps at which nobody dies here, and which test kills there.
const ELSEWHERE: [(&str, &str); 7] = [
    ("lift: kept", "the tests of files, where the place is taken"),
    ("impose: failed", "the tests of faults"),
    ("pass: journalled", "the tests of crashes"),
    ("pass: one file", "the tests of crashes"),
    ("mail: one batch off hold", "the tests of mail, with Postfix"),
    ("impose: everyone signed out", "the tests of sessions, with PHP"),
    ("swap: exchanged back", "the tests of crontabs, beside an owner who edits"),
];

const FOLDER: &str = "HK_KILLS_FOLDER";
const DIE_AT: &str = "HK_KILLS_DIE_AT";
const CAGES: &str = "HK_KILLS_CAGES";
/// Uids of the accounts that are played with, and of one that never gets into the budget.
const UIDS: [u32; 3] = [20_320, 20_321, 20_322];
const OVER_BUDGET: u32 = 20_323;
/// Lines of each account's crontab, more than can be switched off at once.
const CRON_LINES: usize = 10;
/// What the operator keeps in the deny list beside ours.
const OPERATORS: &str = "root\nbin\n";
/// Who is slowed down.
const SOURCES: [&str; 3] = ["192.0.2.7", "2001:db8::7", "192.0.2.8"];

/// The configuration of both sides, by folder.
fn config(folder: &Path, cages: bool) -> Config {
    let mut config = Node::new().config;
    config.state_dir = folder.join("state");
    config.gate_dir = folder.join("gate");
    config.disarmed = folder.join("disarmed");
    config.cron_spool = folder.join("cron");
    config.quarantine_dirs = vec![folder.join("quarantine")];
    config.logins.ftp = Some(folder.join("ftpusers"));
    let postfix = folder.join("postfix");
    let real = postfix.is_dir();
    config.postfix = Some(PostfixConfig { config_dir: real.then_some(postfix), hold_file: folder.join("hold/table") });
    if real {
        config.net = Some(NetConfig { updates: vec![], never: vec![], resolv_conf: "/dev/null".into() });
        config.logins.ssh = Some(SshDeny {
            list: folder.join("login/ssh/hikeshi.conf"),
            config: folder.join("login/sshd_config"),
            pid_file: folder.join("login/pid"),
        });
        let (list, dovecot) = (folder.join("login/deny"), folder.join("login/dovecot.conf"));
        config.logins.mail = Some(MailDeny { list, config: dovecot });
    }
    config.cgroups = cages;
    config
}

/// Dies as by `kill -9` at the n-th step since its start, and leaves the step's name behind.
fn dies_at(folder: &Path) -> impl FnMut(&'static str) + Send + use<> {
    let at: usize = std::env::var(DIE_AT).map_or(0, |n| n.parse().unwrap());
    let (mut count, last) = (0, folder.join("last-step"));
    move |name| {
        count += 1;
        if count == at {
            std::fs::write(&last, name).unwrap();
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
    }
}

/// Runs as the child only: a real act with its own loop.
#[test]
fn child_that_acts_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let cages = std::env::var(CAGES).is_ok();
    let mut opened = None;
    // A child of the act before, which was just being made to give a file back, has the lock for a moment; `serve`
    // would start act once more.
    eventually("the lock is free", || {
        let actor = Actor::open_with(config(&folder, cages), Box::new(SystemClock), Box::new(dies_at(&folder)));
        let busy = matches!(&actor, Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy);
        opened = Some(actor);
        !busy
    });
    let mut actor = opened.unwrap().unwrap();
    let listener = Listener::bind(&folder.join("act.sock"), 0o600).unwrap();
    act::serve(&listener, &mut actor, None, || true).unwrap();
}

/// The naive twin: acts first and writes down afterwards.
#[test]
fn naive_child_that_writes_down_afterwards() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let mut step = dies_at(&folder);
    let noted = folder.join("state/noted");
    let mut held: BTreeMap<RestrictionId, (AccountRef, Restriction, Vec<GateKey>)> = std::fs::read(&noted)
        .map_or_else(|_| vec![], |bytes| serde_json::from_slice(&bytes).unwrap())
        .into_iter()
        .collect();
    let listener = Listener::bind(&folder.join("act.sock"), 0o600).unwrap();
    loop {
        let Ok(core) = listener.accept() else { continue };
        while let Ok((packet, _)) = core.recv_value::<ToAct>() {
            let ToAct::Do(ActOrder { intent, account, verb, sites, .. }) = packet else {
                for (id, (account, ..)) in &held {
                    let (verb, what) = ("close-site".to_owned(), String::new());
                    let row = FromAct::InForce { restriction: *id, account: account.clone(), verb, holds: true, what };
                    core.send_value(&row).unwrap();
                }
                core.send_value(&FromAct::ListEnd).unwrap();
                continue;
            };
            let before = held.clone();
            match verb {
                Verb::Impose { restriction, .. } => {
                    let named = restriction.measure.sites();
                    let keys = sites.into_iter().filter(|s| named.contains(&s.domain)).flat_map(|s| s.gates).collect();
                    held.insert(restriction.id, (account, restriction, keys));
                }
                Verb::Lift { restriction, .. } => drop(held.remove(&restriction)),
                Verb::OpenPass { .. } => {}
            }
            for key in before.values().chain(held.values()).flat_map(|(.., keys)| keys) {
                let path = folder.join("gate").join(flag(key));
                let wanted = held.values().filter(|(.., keys)| keys.contains(key));
                match wanted.map(|(_, one, _)| (one.since, one.id)).min() {
                    Some((_, id)) => {
                        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                        std::fs::write(&path, id.incident.to_string()).unwrap();
                    }
                    None => drop(std::fs::remove_file(&path)),
                }
            }
            step("naive: done");
            // Whole or not at all: its fault is the order alone.
            let new = noted.with_extension("new");
            std::fs::write(&new, serde_json::to_vec(&held.iter().collect::<Vec<_>>()).unwrap()).unwrap();
            std::fs::rename(&new, &noted).unwrap();
            step("naive: noted");
            core.send_value(&FromAct::Done { intent, what: String::new() }).unwrap();
        }
    }
}

/// xorshift64*: its seed repeats a run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }
}

/// What we know of a restriction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// In force, acknowledged.
    In,
    /// Lifted for good, and what was set aside stays so until it is lifted once more.
    Kept,
    /// Not in force: never was, or a lift was acknowledged.
    Out,
    /// The order died with the act: one of the two.
    Unsure,
}

struct Played {
    restriction: Restriction,
    who: usize,
    keys: Vec<GateKey>,
    /// The newest order that imposed it.
    imposed: ToAct,
    known: Known,
    /// What it was before the order that died with the act.
    before: Known,
    /// The last lift was for good.
    for_good: bool,
    /// What stands still while it is in force.
    processes: Vec<u32>,
    /// What is set aside while it is in force or kept, by the path where it was.
    files: Vec<(PathBuf, Hash)>,
}

impl Played {
    /// Whether a lift for good leaves it set aside.
    fn keeps(&self) -> bool {
        matches!(self.restriction.measure, Measure::QuarantineFile { .. } | Measure::DisableCronLine { .. })
    }

    fn is_aside(&self) -> bool {
        matches!(self.known, Known::In | Known::Kept)
    }

    /// The flags below the gate folder that it wants.
    fn flags(&self) -> Vec<String> {
        let flags = self.keys.iter().map(|key| match (&self.restriction.measure, key) {
            (Measure::BlockScript { path, .. }, GateKey::Nginx(name)) => {
                format!("script/nginx/{name}/{path}/.hikeshi-403")
            }
            (Measure::BlockScript { path, .. }, GateKey::Apache(root)) => {
                format!("script/apache{root}/{path}/.hikeshi-403")
            }
            _ => flag(key),
        });
        flags.collect()
    }

    fn is_cron(&self) -> bool {
        matches!(self.restriction.measure, Measure::DisableCronLine { .. })
    }

    /// What stands before the cron line that it switches off.
    fn mark(&self) -> String {
        format!("#{} ", self.restriction.id)
    }
}

/// A life of act, held by its parent.
struct Act {
    child: Child,
    core: Connection,
}

impl Act {
    fn ask(&self, packet: &ToAct) -> Option<FromAct> {
        self.core.send_value(packet).ok()?;
        Some(self.core.recv_value().ok()?.0)
    }

    fn list(&self) -> Option<Vec<(RestrictionId, bool, String)>> {
        let mut rows = Vec::new();
        let mut next = self.ask(&ToAct::List)?;
        while let FromAct::InForce { restriction, holds, what, .. } = next {
            rows.push((restriction, holds, what));
            next = self.core.recv_value().ok()?.0;
        }
        assert_eq!(next, FromAct::ListEnd);
        Some(rows)
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct World {
    folder: tempfile::TempDir,
    naive: bool,
    cages: bool,
    /// Postfix, nft, sshd and Dovecot are there.
    real: bool,
    draw: Draw,
    /// A day of its own, so that no cage is named like another test's.
    day: Moment,
    serial: u16,
    intent: u64,
    played: Vec<Played>,
    sleepers: Vec<Sleeper>,
    /// Started for the order that is being made, children last.
    started: Vec<u32>,
    /// Written for the order that is being made.
    made: Vec<(PathBuf, Hash)>,
    bystander: Sleeper,
    /// Each acknowledged order and what it was answered.
    answers: BTreeMap<u64, FromAct>,
    /// The order that was on its way when act died.
    open: Option<(ToAct, usize)>,
    deaths: usize,
    steps: BTreeSet<String>,
    converged: Vec<Duration>,
}

impl Drop for World {
    fn drop(&mut self) {
        let pids = self.played.iter().flat_map(|one| &one.processes);
        pids.for_each(|pid| drop(Process::open(*pid).map(|process| process.kill())));
    }
}

impl World {
    /// Its folders lie below `place`.
    fn new_in(place: &Path, seed: u64, cages: bool, naive: bool, real: bool) -> World {
        let folder = tempfile::tempdir_in(place).unwrap();
        open_to_all(folder.path());
        let private = [("state", 0o700), ("quarantine", 0o700), ("tmp", 0o700), ("cron", 0o1730)];
        for (name, mode) in private.into_iter().chain([("gate", 0o711), ("hold", 0o755)]) {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::write(folder.path().join("ftpusers"), OPERATORS).unwrap();
        if real {
            assert!(node::postfix::configure(folder.path(), &folder.path().join("hold/table")));
            services(folder.path());
        }
        for (who, uid) in UIDS.into_iter().enumerate() {
            let (home, table) = (home(folder.path(), who), table(folder.path(), who));
            std::fs::create_dir_all(home.join("www")).unwrap();
            std::fs::write(&table, bare_table().concat()).unwrap();
            for path in [home.as_path(), &home.join("www"), &table] {
                chown(path, Some(uid), Some(uid)).unwrap();
            }
        }
        World {
            folder,
            naive,
            cages,
            real,
            draw: Draw(seed.wrapping_mul(2).wrapping_add(1)),
            day: Moment::from_secs(1_774_061_213 + own_day() * 86_400),
            serial: (seed % 100) as u16 * 300,
            intent: 0,
            played: vec![],
            sleepers: vec![],
            started: vec![],
            made: vec![],
            bystander: sleeper(UIDS[0]),
            answers: BTreeMap::new(),
            open: None,
            deaths: 0,
            steps: BTreeSet::new(),
            converged: vec![],
        }
    }

    fn account(&self, who: usize) -> AccountRef {
        account(&format!("user{who}"), UIDS[who])
    }

    fn sites(&self, who: usize) -> [SiteHandle; 2] {
        let (a, b) = (format!("a{who}.test"), format!("b{who}.test"));
        let both = vec![GateKey::Nginx(a.clone()), GateKey::Apache(format!("/srv/user{who}/a"))];
        [site(&a, both), site(&b, vec![GateKey::Nginx(b.clone())])]
    }

    /// One of two mailboxes of the account.
    fn mailbox(&mut self, who: usize) -> MailUser {
        format!("{}@{}", ["Info", "a.b"][self.draw.below(2)], domain(who)).parse().unwrap()
    }

    /// Two files of the account, as somebody judged them.
    fn new_files(&mut self, who: usize) -> Vec<FileRef> {
        let home = home(self.folder.path(), who);
        for part in ["a", "b"] {
            let path = home.join(format!("www/{}{part}.php", self.serial));
            std::fs::write(&path, format!("{} {part}", self.serial)).unwrap();
            chown(&path, Some(UIDS[who]), Some(UIDS[who])).unwrap();
            self.made.push((path.clone(), aside::hash(&path)));
        }
        let below = |path: &Path| path.strip_prefix(&home).unwrap().to_str().unwrap().to_owned();
        self.made.iter().map(|(path, _)| aside::judged(&home, below(path))).collect()
    }

    /// A line of the account's crontab that is not switched off.
    fn free_line(&mut self, who: usize) -> CronLine {
        let bytes = std::fs::read(table(self.folder.path(), who)).unwrap();
        let (mut at, mut free) = (0, Vec::new());
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if line[0] != b'#' {
                free.push((at, at + line.len() - 1));
            }
            at += line.len();
        }
        let (start, end) = free[self.draw.below(free.len())];
        CronLine { hash: Hash::of(&bytes), start: start as u32, end: end as u32 }
    }

    fn new_sleeper(&mut self, who: usize) -> &[u32] {
        self.start_process(sleeper(UIDS[who]), |_| vec![])
    }

    /// A shell whose child nobody names: act finds it by itself.
    fn new_family(&mut self, who: usize) -> &[u32] {
        let shell = run_as(UIDS[who], "/bin/bash", &["-c", "sleep 60 & wait"]);
        self.start_process(shell, |pid| {
            let children = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            eventually("a child", || !children().is_empty());
            let child: u32 = children().trim().parse().unwrap();
            let sleeps = || std::fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|p| p.ends_with("sleep"));
            eventually("the child sleeps", sleeps);
            vec![child]
        })
    }

    fn start_process(&mut self, one: Sleeper, children: fn(u32) -> Vec<u32>) -> &[u32] {
        let pid = one.0.id();
        self.sleepers.push(one);
        self.started = [vec![pid], children(pid)].concat();
        &self.started
    }

    fn next_intent(&mut self) -> u64 {
        self.intent += 1;
        self.intent
    }

    fn make(&mut self, who: usize, play: Play) -> usize {
        self.serial += 1;
        let measure = play(self, who);
        let (processes, files) = (std::mem::take(&mut self.started), std::mem::take(&mut self.made));
        let id = RestrictionId { incident: Number::new(self.day, self.serial), ordinal: 1 };
        let since = Moment::from_secs(1_774_061_213 + self.draw.below(1000) as i64);
        let restriction = Restriction { id, since, ..restriction(1, 0, measure) };
        let named = restriction.measure.sites();
        let keys = self.sites(who).into_iter().filter(|s| named.contains(&s.domain)).flat_map(|s| s.gates).collect();
        let imposed = self.impose(who, &restriction);
        let (known, before, for_good) = (Known::Out, Known::Out, false);
        self.played.push(Played { restriction, who, keys, imposed, known, before, for_good, processes, files });
        self.played.len() - 1
    }

    /// A new order; files are set aside by a person, because without one only 200 are in an hour.
    fn impose(&mut self, who: usize, restriction: &Restriction) -> ToAct {
        let by_person = matches!(restriction.measure, Measure::QuarantineFile { .. });
        let verb = Verb::Impose { restriction: restriction.clone(), by_person };
        let packet = order(self.next_intent(), &self.account(who), verb, &self.sites(who), None);
        aside::in_home(packet, &home(self.folder.path(), who))
    }

    fn lift(&mut self, at: usize, for_good: bool) -> ToAct {
        let (who, intent) = (self.played[at].who, self.next_intent());
        let packet = lift(intent, &self.account(who), &self.played[at].restriction, for_good);
        aside::in_home(packet, &home(self.folder.path(), who))
    }

    /// Starts act; `None` when it died before it listened.
    fn start(&mut self, die_at: Option<usize>, kill_after: Option<Duration>) -> Option<Act> {
        let role =
            if self.naive { "naive_child_that_writes_down_afterwards" } else { "child_that_acts_until_it_is_killed" };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", role, "--nocapture", "--test-threads=1"]);
        command.env(FOLDER, self.folder.path()).env("TMPDIR", self.folder.path().join("tmp")).stdout(Stdio::null());
        if let Some(step) = die_at {
            command.env(DIE_AT, step.to_string());
        }
        if self.cages {
            command.env(CAGES, "1");
        }
        let mut child = command.spawn().unwrap();
        if let Some(delay) = kill_after {
            kill_later(child.id(), delay);
        }
        let begun = Instant::now();
        loop {
            // A dying child of the act before may still hold that one's socket, on which nobody answers any more.
            let is_its = |core: &Connection| core.peer().is_ok_and(|peer| peer.pid.unsigned_abs() == child.id());
            let core = Connection::connect(&self.folder.path().join("act.sock"));
            if let Some(core) = core.ok().filter(is_its) {
                core.set_recv_timeout(Some(Duration::from_secs(20))).unwrap();
                return Some(Act { child, core });
            }
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(9), "act ended by itself: {status}");
                self.died();
                return None;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "act never listens");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn died(&mut self) {
        self.deaths += 1;
        let last = self.folder.path().join("last-step");
        if let Ok(name) = std::fs::read_to_string(&last) {
            std::fs::remove_file(&last).unwrap();
            self.steps.insert(name);
        }
    }

    /// It must be dead by now or soon, and by a kill alone.
    fn bury(&mut self, mut act: Act) {
        let status = act.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "act ended by itself: {status}");
        self.died();
    }

    /// Sends an order about one restriction; `None` when act died over it.
    fn send(&mut self, act: &Act, packet: ToAct, at: usize) -> Option<Result<(), String>> {
        let ToAct::Do(ActOrder { intent, verb, .. }) = &packet else { panic!("a list has no restriction") };
        let intent = intent.0;
        let (lifts, for_good) = match verb {
            Verb::Lift { for_good, .. } => (true, *for_good),
            _ => (false, false),
        };
        let one = &mut self.played[at];
        if lifts {
            one.for_good = for_good;
        }
        if lifts == one.is_aside() && one.known != Known::Unsure {
            (one.before, one.known) = (one.known, Known::Unsure);
        }
        let Some(answer) = act.ask(&packet) else {
            self.open = Some((packet, at));
            return None;
        };
        self.open = None;
        if !matches!(answer, FromAct::Done { .. }) {
            return Some(Err(format!("{packet:?} was answered {answer:?}")));
        }
        let one = &mut self.played[at];
        one.known = match lifts {
            true if for_good && one.keeps() => Known::Kept,
            true => Known::Out,
            false => Known::In,
        };
        if let Some(first) = self.answers.get(&intent).filter(|first| **first != answer) {
            return Some(Err(format!("order {intent} was answered {first:?}, then {answer:?}")));
        }
        self.answers.insert(intent, answer);
        Some(Ok(()))
    }

    /// What act says is in force, against what it acknowledged; then the node against that.
    fn agree(&mut self, list: Vec<(RestrictionId, bool, String)>) -> Result<(), String> {
        let listed: BTreeSet<RestrictionId> = list.iter().map(|(id, ..)| *id).collect();
        if listed.len() != list.len() {
            return Err(format!("doubled: {list:?}"));
        }
        if let Some((id, _, what)) = list.iter().find(|(_, holds, _)| !holds) {
            return Err(format!("{id} does not hold: {what}"));
        }
        for id in &listed {
            if !self.played.iter().any(|one| one.restriction.id == *id) {
                return Err(format!("{id} is in force and nobody ordered it"));
            }
        }
        let folder = self.folder.path();
        for one in &mut self.played {
            let there = listed.contains(&one.restriction.id);
            one.known = match (one.known, there) {
                (Known::In, false) => return Err(format!("lost: {}", one.restriction.id)),
                (Known::Out | Known::Kept, true) => {
                    return Err(format!("lifted and still listed: {}", one.restriction.id));
                }
                (_, true) => Known::In,
                (Known::Unsure, false) => match one.before {
                    Known::In if one.keeps() && one.for_good => Known::Kept,
                    // What is kept is in no list, so that only the node can tell whether it was given back.
                    Known::Kept if is_kept(folder, one) => Known::Kept,
                    _ => Known::Out,
                },
                (known, false) => known,
            }
        }
        LOOKS.iter().try_for_each(|look| look(self))?;
        let waits = self.open.as_ref().map(|(_, at)| self.played[*at].restriction.id);
        let stays = |one: &Played| one.is_aside() || Some(one.restriction.id) == waits;
        let gone = self.played.iter().filter(|one| !stays(one)).flat_map(|one| &one.files);
        gone.for_each(|(path, _)| std::fs::remove_file(path).unwrap());
        self.played.retain(stays);
        let at = |id| self.played.iter().position(|one| one.restriction.id == id);
        self.open = self.open.take().and_then(|(packet, _)| Some((packet, at(waits?)?)));
        Ok(())
    }

    fn in_force(&self) -> impl Iterator<Item = &Played> {
        self.played.iter().filter(|one| one.known == Known::In)
    }

    /// I1, I5: exactly the flags that are wanted, each with the number of the oldest restriction.
    fn flags(&self) -> Result<(), String> {
        let gate = self.folder.path().join("gate");
        let mut wanted: BTreeMap<PathBuf, (Moment, RestrictionId)> = BTreeMap::new();
        for one in self.in_force() {
            let this = (one.restriction.since, one.restriction.id);
            for flag in one.flags() {
                let oldest = wanted.entry(gate.join(flag)).or_insert(this);
                *oldest = this.min(*oldest);
            }
        }
        let mut folders = vec![gate];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if entry.file_name() != ".hk-new~" {
                    let Some((_, id)) = wanted.remove(&path) else {
                        return Err(format!("{} is there and no record says why", path.display()));
                    };
                    if !std::fs::read_to_string(&path).unwrap().contains(&id.incident.to_string()) {
                        return Err(format!("{} shows another number than {id}", path.display()));
                    }
                }
            }
        }
        match wanted.into_keys().next() {
            Some(path) => Err(format!("{} is missing", path.display())),
            None => Ok(()),
        }
    }

    /// I1, I5: one line for each uid, SASL user name and user name whose mail is stopped, and no other.
    fn mail_tables(&self) -> Result<(), String> {
        let mut wanted: [BTreeSet<String>; 3] = Default::default();
        for one in self.in_force() {
            let (uid, name) = (UIDS[one.who].to_string(), format!("user{}", one.who));
            match &one.restriction.measure {
                Measure::HoldMail { scope: MailScope::Local, .. } => drop(wanted[0].insert(uid)),
                Measure::HoldMail { scope: MailScope::Mailbox(mailbox), .. } => {
                    wanted[1].insert(format!("^{mailbox}$"));
                }
                Measure::HoldMail { scope: MailScope::Account { .. }, .. } => {
                    wanted[0].insert(uid);
                    wanted[1].extend([format!("@{}$", domain(one.who)), format!("^{name}$")]);
                }
                Measure::RefuseMail => drop(wanted[2].insert(name)),
                _ => {}
            }
        }
        for (table, wanted) in Table::ALL.into_iter().zip(wanted) {
            let path = table.path(&self.folder.path().join("hold/table"));
            let text = std::fs::read_to_string(path).unwrap_or_default().replace('\\', "");
            let key = |line: &str| {
                match table {
                    Table::Local => line.split_once("from userid ").and_then(|(_, uid)| uid.split_once(')')),
                    Table::Sasl => line.strip_prefix('/').and_then(|line| line.split_once("/ HOLD HK-")),
                    Table::Refused => line.split_once(" HK-"),
                }
                .map(|(key, _)| key.to_owned())
            };
            let mut there: Vec<String> = text.lines().filter(|line| !line.starts_with('#')).filter_map(key).collect();
            there.sort();
            if there != wanted.iter().cloned().collect::<Vec<_>>() {
                return Err(format!("{table:?} names {there:?}, {wanted:?} it should be"));
            }
        }
        Ok(())
    }

    /// I1, I5: the filter has exactly the uids and sources that are wanted, and is away when there are none.
    fn packet_filter(&self) -> Result<(), String> {
        if !self.real {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        for one in self.in_force() {
            match &one.restriction.measure {
                Measure::BlockOutbound => drop(wanted.insert(UIDS[one.who].to_string())),
                Measure::ThrottleSource { sources } => wanted.extend(sources.iter().map(|source| source.to_string())),
                _ => {}
            }
        }
        let listed: serde_json::Value =
            serde_json::from_str(&netns::run("/usr/sbin/nft", &["--json", "list", "ruleset"])).unwrap();
        let items = listed["nftables"].as_array().unwrap();
        let tables = items.iter().filter(|item| item.get("table").is_some()).count();
        let elements = items.iter().filter_map(|item| item["set"]["elem"].as_array()).flatten();
        let mut there: Vec<String> = elements
            .map(|element| match element["elem"]["val"].as_str() {
                Some(source) => source.to_owned(),
                None => element.to_string(),
            })
            .collect();
        there.sort();
        match there == wanted.iter().cloned().collect::<Vec<_>>() && tables == usize::from(!wanted.is_empty()) {
            true => Ok(()),
            false => Err(format!("{tables} filters with {there:?}, {wanted:?} it should be")),
        }
    }

    /// I1, I6: what is in force stands still, what was let go runs, what was to end has ended, others were not touched.
    fn processes(&self) -> Result<(), String> {
        let still = |pid: u32| {
            let place = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            if self.cages { place.contains("/hikeshi/") } else { state(pid) == 'T' }
        };
        let runs = |pid: u32| {
            (0..2000).any(|look| {
                if look > 0 {
                    std::thread::sleep(Duration::from_millis(1)); // SIGCONT is seen a moment later
                }
                !still(pid) && state(pid) == 'S'
            })
        };
        for (one, pid) in self.played.iter().flat_map(|one| one.processes.iter().map(move |pid| (one, *pid))) {
            let right = match one.known {
                Known::In => still(pid),
                _ if one.for_good => matches!(state(pid), 'Z' | 'X' | '-'),
                _ => runs(pid),
            };
            if !right {
                return Err(format!("{} is {:?}, process {pid} is {}", one.restriction.id, one.known, state(pid)));
            }
        }
        if !runs(self.bystander.0.id()) {
            return Err("the bystander was touched".into());
        }
        let ours = self.day_name();
        for hikeshi in ["/sys/fs/cgroup/freezer/hikeshi", "/sys/fs/cgroup/hikeshi", "/sys/fs/cgroup/unified/hikeshi"] {
            for cage in std::fs::read_dir(hikeshi).into_iter().flatten().filter_map(|entry| entry.ok()) {
                let name = cage.file_name().into_string().unwrap();
                let known = self.in_force().any(|one| one.restriction.id.to_string().replace('/', "-") == name);
                if name.starts_with(&ours) && !known && cage.file_type().is_ok_and(|kind| kind.is_dir()) {
                    return Err(format!("cage {name} is there and no record says why"));
                }
            }
        }
        Ok(())
    }

    /// I3: each file is in exactly one place, with the content that was judged: aside or where it was.
    fn files(&self) -> Result<(), String> {
        let list = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let shelf: Vec<PathBuf> = list(self.folder.path().join("quarantine")).collect();
        let homes = (0..UIDS.len()).flat_map(|who| list(home(self.folder.path(), who).join("www")));
        let (mut aside, mut back) = (Vec::new(), BTreeSet::new());
        for one in &self.played {
            match one.is_aside() {
                true => aside.extend(one.files.iter().map(|(_, hash)| *hash)),
                false => back.extend(one.files.iter().cloned()),
            }
        }
        let mut found: Vec<Hash> = shelf.iter().map(|path| aside::hash(path)).collect();
        aside.sort();
        found.sort();
        if found != aside {
            return Err(format!("{shelf:?} is set aside, {} files it should be", aside.len()));
        }
        let there: BTreeSet<(PathBuf, Hash)> = homes.map(|path| (path.clone(), aside::hash(&path))).collect();
        match there == back {
            true => Ok(()),
            false => Err(format!("{there:?} are in the homes, {back:?} it should be")),
        }
    }

    /// Each crontab is what its owner wrote, but for the marks of what is in force or kept.
    fn crontabs(&self) -> Result<(), String> {
        for who in 0..UIDS.len() {
            let text = std::fs::read_to_string(table(self.folder.path(), who)).unwrap();
            let off = self.played.iter().filter(|one| one.who == who && one.is_aside() && one.is_cron());
            let mut marks: BTreeSet<String> = off.map(Played::mark).collect();
            let mut bare = Vec::new();
            for line in text.split_inclusive('\n') {
                let mark = marks.iter().find(|mark| line.starts_with(mark.as_str())).cloned();
                bare.push(line[mark.as_ref().map_or(0, String::len)..].to_owned());
                mark.map(|mark| marks.remove(&mark));
            }
            if bare != bare_table() || !marks.is_empty() {
                return Err(format!("crontab of {who}: {marks:?} are missing of {text}"));
            }
        }
        let names = std::fs::read_dir(self.folder.path().join("cron")).unwrap().count();
        if names == UIDS.len() { Ok(()) } else { Err(format!("{names} files are in cron's spool")) }
    }

    /// I1, I5: each deny list names exactly the accounts and mailboxes that are kept out, before what the operator wrote.
    fn deny_lists(&self) -> Result<(), String> {
        let mut wanted: [BTreeSet<String>; 3] = Default::default();
        for one in self.in_force() {
            let Measure::BlockLogin { logins } = &one.restriction.measure else { continue };
            for login in logins {
                match login {
                    Login::Ftp => drop(wanted[0].insert(format!("user{}", one.who))),
                    Login::Shell => drop(wanted[1].insert(format!("user{}", one.who))),
                    Login::Mail(mailbox) => {
                        wanted[2].extend([format!("{mailbox}:"), format!("{}:", mailbox.to_string().to_lowercase())]);
                    }
                }
            }
        }
        let folder = self.folder.path();
        let lists = [("ftpusers", OPERATORS), ("login/ssh/hikeshi.conf", ""), ("login/deny", "")];
        for ((name, operators), wanted) in lists.into_iter().zip(wanted) {
            let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            let ours = text.strip_suffix(operators).ok_or(format!("{name} is {text}"))?;
            let lines = ours.lines().filter(|line| !line.starts_with('#'));
            let mut there: Vec<&str> =
                lines.flat_map(|line| line.strip_prefix("DenyUsers ").unwrap_or(line).split(' ')).collect();
            there.sort_unstable();
            if there != wanted.iter().map(String::as_str).collect::<Vec<_>>() {
                return Err(format!("{name} is {text}, {wanted:?} it should be"));
            }
        }
        Ok(())
    }

    fn day_name(&self) -> String {
        Number::new(self.day, 0).to_string()[..11].to_owned()
    }

    /// I1, I2: every acknowledged answer stands in the journal, and no order has two.
    fn journal(&self) -> Result<(), String> {
        if self.naive {
            return Ok(());
        }
        let text = std::fs::read_to_string(self.folder.path().join("state/journal")).unwrap();
        let mut written: BTreeMap<u64, FromAct> = BTreeMap::new();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
            let Some(answer) = record.get("Answered").map(|pair| pair[1].clone()) else { continue };
            let answer: FromAct = serde_json::from_value(answer).unwrap();
            let (FromAct::Done { intent, .. } | FromAct::Failed { intent, .. }) = &answer else { continue };
            if let Some(first) = written.insert(intent.0, answer.clone()) {
                return Err(format!("order {intent} was answered twice: {first:?}, {answer:?}"));
            }
        }
        match self.answers.iter().find(|(intent, answer)| written.get(intent) != Some(answer)) {
            Some((intent, answer)) => Err(format!("order {intent}: acknowledged {answer:?}, not recorded")),
            None => Ok(()),
        }
    }

    /// Starts act until it lives long enough to be asked, and compares everything.
    fn settle(&mut self, mut die_at: Option<usize>, mut kill_after: Option<Duration>) -> Result<Act, String> {
        loop {
            let begun = Instant::now();
            let Some(act) = self.start(die_at.take(), kill_after.take()) else { continue };
            let Some(list) = act.list() else {
                self.bury(act);
                continue;
            };
            self.converged.push(begun.elapsed());
            self.agree(list)?;
            return Ok(act);
        }
    }

    /// One life: settle, answer what was left open, random orders until death.
    fn life(&mut self, plays: usize) -> Result<(), String> {
        let (mut die_at, mut from_start, mut later) = (None, None, None);
        match self.draw.below(10) {
            0..4 => die_at = Some(1 + self.draw.below(40)),
            4..6 => from_start = Some(Duration::from_micros(self.draw.below(30_000) as u64)),
            _ => later = Some(Duration::from_micros(self.draw.below(20_000) as u64)),
        }
        let act = self.settle(die_at, from_start)?;
        if let Some(delay) = later {
            kill_later(act.child.id(), delay);
        }
        match self.orders(&act, plays) {
            Some(Err(why)) => return Err(why),
            Some(Ok(())) => drop(Process::open(act.child.id()).and_then(|act| act.kill())),
            None => {}
        }
        self.bury(act);
        Ok(())
    }

    fn orders(&mut self, act: &Act, plays: usize) -> Option<Result<(), String>> {
        if self.draw.below(10) < 7
            && let Some((packet, at)) = self.open.clone()
            && let Err(why) = self.send(act, packet, at)?
        {
            return Some(Err(why));
        }
        self.open = None;
        for _ in 0..40 {
            let there: Vec<usize> = (0..self.played.len()).filter(|at| self.played[*at].is_aside()).collect();
            let one = (!there.is_empty()).then(|| there[self.draw.below(there.len())]);
            let holds = one.filter(|at| self.played[*at].known == Known::In);
            let result = match (self.draw.below(11), one, holds) {
                (0..4, ..) | (_, None, _) if there.len() < 8 => {
                    let (who, play) = (self.draw.below(UIDS.len()), PLAYS[self.draw.below(plays)].1);
                    let at = self.make(who, play);
                    let packet = self.played[at].imposed.clone();
                    self.send(act, packet, at)?
                }
                (4, _, Some(at)) if !self.naive => {
                    let packet = self.played[at].imposed.clone();
                    self.send(act, packet, at)?
                }
                // A crontab changes when another of its lines is switched off, and then an order anew is refused.
                (5, _, Some(at)) if !self.played[at].is_cron() => {
                    let (who, restriction) = (self.played[at].who, self.played[at].restriction.clone());
                    let packet = self.impose(who, &restriction);
                    self.played[at].imposed = packet.clone();
                    self.send(act, packet, at)?
                }
                (6..9, Some(at), _) => {
                    let for_good = self.draw.below(3) == 0;
                    let packet = self.lift(at, for_good);
                    self.send(act, packet, at)?
                }
                (9, ..) if !self.naive => self.over_budget(act)?,
                _ => {
                    let list = act.list()?;
                    self.agree(list)
                }
            };
            if result.is_err() {
                return Some(result);
            }
        }
        Some(Ok(()))
    }

    /// I7: three accounts were restricted before the first death, so a fourth waits for a person after each one.
    fn over_budget(&mut self, act: &Act) -> Option<Result<(), String>> {
        let who = account("dora", OVER_BUDGET);
        let one = restriction(7, 0, Measure::HoldMail { scope: MailScope::Local, queued: vec![] });
        let answer = act.ask(&impose(self.next_intent(), &who, &one, &[]))?;
        Some(match answer {
            FromAct::Failed { why: Failure::Budget(_), .. } => Ok(()),
            other => Err(format!("the budget was forgotten: {other:?}")),
        })
    }

    /// Uses up the budget, acknowledged, before anybody dies.
    fn use_up_budget(&mut self) -> Result<(), String> {
        let act = self.settle(None, None)?;
        for who in 0..UIDS.len() {
            let at = self.make(who, PLAYS[0].1);
            let packet = self.played[at].imposed.clone();
            self.send(&act, packet, at).expect("nobody kills it")?;
            let packet = self.lift(at, false);
            self.send(&act, packet, at).expect("nobody kills it")?;
        }
        drop(act);
        Ok(())
    }
}

/// A day that no other world here has, nor probably one of another run beside this one.
fn own_day() -> i64 {
    static WORLDS: AtomicI64 = AtomicI64::new(0);
    i64::from(std::process::id() % 2000) * 1000 + WORLDS.fetch_add(1, Ordering::Relaxed) % 1000
}

fn home(folder: &Path, who: usize) -> PathBuf {
    folder.join(format!("home{who}"))
}

fn domain(who: usize) -> model::Domain {
    format!("a{who}.test").parse().unwrap()
}

fn held(scope: MailScope) -> Measure {
    Measure::HoldMail { scope, queued: vec![] }
}

/// Configurations of sshd and Dovecot with the lists that they read, and an empty packet filter.
fn services(folder: &Path) {
    let at = |name: &str| folder.join("login").join(name);
    std::fs::create_dir_all(at("ssh")).unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    std::fs::write(at("deny"), "").unwrap();
    std::fs::set_permissions(at("deny"), PermissionsExt::from_mode(0o644)).unwrap();
    netns::run("/usr/bin/ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", at("key").to_str().unwrap()]);
    let ssh = format!("Include {}/*.conf\nHostKey {}\n", at("ssh").display(), at("key").display());
    std::fs::write(at("sshd_config"), ssh).unwrap();
    let mail = format!(
        "protocols = imap\nssl = no\npassdb {{\n driver = passwd-file\n deny = yes\n args = {}\n}}\n",
        at("deny").display()
    );
    std::fs::write(at("dovecot.conf"), mail).unwrap();
    netns::run("/usr/sbin/nft", &["flush", "ruleset"]);
}

/// Runs the test named `name` with the node's programs, in namespaces of its own; `Some(false)`: here and now, because
/// programs are missing. `None`: there is nothing to do here.
fn with_programs(name: &str) -> Option<bool> {
    if !is_root() {
        skipped("other uids need root");
        return None;
    }
    let programs =
        ["sbin/nft", "sbin/postconf", "sbin/sshd", "bin/doveconf", "bin/ssh-keygen", "bin/unshare", "sbin/ip"];
    if let Some(missing) = programs.iter().find(|program| !Path::new("/usr").join(program).exists()) {
        skipped(&format!("the plays with programs of the node need /usr/{missing}"));
        return Some(false);
    }
    netns::inside(name).then(|| {
        netns::run("/usr/sbin/ip", &["link", "set", "lo", "up"]); // Postfix's programs look for addresses
        true
    })
}

fn table(folder: &Path, who: usize) -> PathBuf {
    folder.join(format!("cron/user{who}"))
}

/// The crontab as its owner wrote it.
fn bare_table() -> Vec<String> {
    (0..CRON_LINES).map(|line| format!("{line} * * * * /bin/true\n")).collect()
}

/// Whether a restriction that was lifted for good still has what it set aside.
fn is_kept(folder: &Path, one: &Played) -> bool {
    match one.is_cron() {
        true => std::fs::read_to_string(table(folder, one.who)).unwrap().contains(&one.mark()),
        false => !one.files.iter().all(|(path, _)| path.exists()),
    }
}

/// Where the flag of this vhost lies (the scheme that the web servers' includes test).
fn flag(key: &GateKey) -> String {
    match key {
        GateKey::Nginx(name) => format!("nginx/{name}"),
        GateKey::Apache(root) => format!("apache{root}/.hikeshi-closed"),
    }
}

/// Kills this very process after a while; a pid that was reused meanwhile is not ours to kill.
fn kill_later(pid: u32, delay: Duration) {
    let Ok(process) = Process::open(pid) else { return };
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        let _ = process.kill();
    });
}

fn percentile(times: &[Duration], percent: usize) -> f64 {
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn number_of(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn random_kills_lose_double_and_leave_nothing_and_act_always_converges() {
    let name = "random_kills_lose_double_and_leave_nothing_and_act_always_converges";
    let Some(real) = with_programs(name) else { return };
    let (kills, seed) = (number_of("HK_KILLS", 300) as usize, number_of("HK_SEED", 0x5eed));
    say(&format!("seed {seed}"));
    let (mut deaths, mut converged) = (0, Vec::new());
    for round in 0.. {
        let cages = round % 2 == 1 && sys::cgroup::Freezer::find().is_some();
        // A kill meets act in a sync on the disk, and in memory everywhere else.
        let place = if round % 3 == 0 { std::env::temp_dir() } else { memory() };
        let mut world = World::new_in(&place, seed.wrapping_add(round), cages, false, real && round % 4 < 2);
        let right =
            |result: Result<(), String>| result.unwrap_or_else(|why| panic!("seed {seed}, round {round}: {why}"));
        right(world.use_up_budget());
        // Programs take their time, and the processes that are played with sleep for a minute.
        let most = if world.real { 12 } else { 50 };
        while world.deaths < most && deaths + world.deaths < kills {
            right(world.life(if world.real { PLAYS.len() } else { PLAIN }));
        }
        right(world.settle(None, None).map(drop));
        deaths += world.deaths;
        converged.append(&mut world.converged);
        clear(&mut world);
        if deaths >= kills {
            break;
        }
    }
    converged.sort();
    let (p50, p99) = (percentile(&converged, 50), percentile(&converged, 99));
    say(&format!("measured: {deaths} kills, 0 lost, 0 doubled, converged in {p50:.0}/{p99:.0} ms (p50/p99)"));
}

/// Lifts what is still in force or kept, so that no cage stays on the node and every file is back.
fn clear(world: &mut World) {
    let act = world.settle(None, None).unwrap();
    while let Some(at) = (0..world.played.len()).find(|at| world.played[*at].is_aside()) {
        let packet = world.lift(at, false);
        world.send(&act, packet, at).expect("nobody kills it").unwrap();
    }
    let list = act.list().unwrap();
    world.agree(list).unwrap();
}

#[test]
fn a_kill_at_every_named_step_of_every_verb_ends_right() {
    let Some(real) = with_programs("a_kill_at_every_named_step_of_every_verb_ends_right") else { return };
    let (mut deaths, mut steps) = (0, BTreeSet::new());
    for (at, (name, play)) in PLAYS.into_iter().enumerate().take(if real { PLAYS.len() } else { PLAIN }) {
        // Cages and lifts for good are nothing to those that need programs.
        let ways = if at < PLAIN { &[(false, false), (true, true)][..] } else { &[(false, false)] };
        for &(for_good, cages) in ways {
            for die_at in 1.. {
                let seed = (90 + at) as u64 + 100 * die_at as u64 * (1 + u64::from(for_good));
                let cages = cages && sys::cgroup::Freezer::find().is_some();
                let mut world = World::new_in(&memory(), seed, cages, false, at >= PLAIN);
                let right = |result: Result<(), String>| {
                    result.unwrap_or_else(|why| panic!("{name}, step {die_at}, for good {for_good}: {why}"))
                };
                let mut act = world.settle(Some(die_at), None).unwrap();
                let one = world.make(0, play);
                let imposed = world.played[one].imposed.clone();
                let mut packets = vec![imposed.clone(), imposed, world.lift(one, for_good)];
                if for_good && world.played[one].keeps() {
                    packets.push(world.lift(one, false));
                }
                for packet in packets {
                    if let Some(answered) = world.send(&act, packet, 0) {
                        right(answered);
                        continue;
                    }
                    world.bury(act);
                    // Death once more, while the first one is cleaned up.
                    let again = world.settle(Some(1), None);
                    act = again.unwrap_or_else(|why| panic!("{name}, step {die_at}, for good {for_good}: {why}"));
                    // As core does: an order without an answer is sent again.
                    let (packet, at) = world.open.clone().expect("it was on its way");
                    if let Some(answered) = world.send(&act, packet.clone(), at) {
                        right(answered);
                        continue;
                    }
                    world.bury(act);
                    act = world.settle(None, None).unwrap();
                    let (packet, at) = world.open.clone().expect("it was on its way");
                    right(world.send(&act, packet, at).expect("nobody kills it"));
                }
                let list = act.list().unwrap();
                right(world.agree(list));
                drop(act);
                deaths += world.deaths;
                steps.append(&mut world.steps);
                if world.deaths == 0 {
                    assert!(die_at > 5, "{name}: the hook was never called");
                    break;
                }
            }
        }
    }
    let mut names = named_steps();
    for (name, _) in ELSEWHERE {
        assert!(names.contains(name), "no step is called {name:?} any more; take it out of ELSEWHERE");
        names.remove(name);
    }
    let missed: Vec<&String> = names.iter().filter(|name| !steps.contains(*name)).collect();
    assert!(missed.is_empty() || !real, "nobody died at {missed:?}; give the verb a line in PLAYS");
    say(&format!("measured: {deaths} kills at {} named steps, 0 lost, 0 doubled", steps.len()));
}

/// Every step that act's sources name, and the exchange of a file that others change too.
fn named_steps() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let act = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = std::fs::read_dir(act.join("src")).unwrap().map(|entry| entry.unwrap().path());
    for path in sources.chain([act.join("../sys/src/swap.rs")]) {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for call in ["step(\"", "steps)(\"", "steps(\""] {
            names.extend(text.split(call).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    assert!(names.len() > 10, "{names:?}");
    names
}

#[test]
fn an_act_that_writes_down_afterwards_would_be_caught() {
    if !is_root() {
        return skipped("other uids need root");
    }
    let mut world = World::new_in(&std::env::temp_dir(), 1, false, true, false);
    // Nobody kills it: then it is right, so that what is seen below is the kill's.
    let act = world.settle(None, None).unwrap();
    (0..5).for_each(|_| world.orders(&act, 1).expect("nobody kills it").unwrap());
    drop(act);
    let caught = (0..200).find_map(|_| world.life(1).err());
    let why = caught.expect("200 kills between act and record and none of them seen: the tests above prove nothing");
    let told = ["no record says why", "is missing", "another number"];
    assert!(told.iter().any(|told| why.contains(told)), "{why}");
}
