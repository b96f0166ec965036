//! Use by account out of made-up control groups and tables, and what is said about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::{AccountEntry, AccountName, AccountRef, FactKey, Kind, Moment, Span, Strength};
use sense::attribution::Accounts;
use sense::load::{Layout, Look, Mounts, Patterns, Watch, pressure};
use sense::process::{Process, State, Table};

const START: Moment = Moment::from_secs(1_772_800_000);

fn account(name: &str, uid: u32) -> AccountEntry {
    AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: Vec::new(),
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

fn accounts() -> Vec<AccountEntry> {
    vec![account("aoi", 3001), account("fuji-y", 3002)]
}

/// A made-up root that goes away with the test.
struct Root(PathBuf);

impl Root {
    fn new(name: &str, files: &[(&str, &str)]) -> Root {
        let root = std::env::temp_dir().join(format!("hikeshi-load-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Root(root)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const V1: &str = "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
const HYBRID: &str = "33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

/// `account cpu-microseconds memory` of each account, and the layout.
fn read(root: &Path, mountinfo: &str) -> (Layout, Vec<String>) {
    let mounts = Mounts::find(mountinfo, root);
    let show = |value: Option<u64>| value.map_or("-".to_owned(), |v| v.to_string());
    let uses = mounts.read(&Patterns::default().names(&accounts()), &accounts());
    let lines = uses
        .iter()
        .map(|one| format!("{} {} {}", one.account, show(one.cpu.map(|cpu| cpu.0 as u64)), show(one.memory_bytes)));
    (mounts.layout(), lines.collect())
}

#[test]
fn version_2_is_read_at_the_topmost_group_of_an_account() {
    let root = Root::new(
        "v2",
        &[
            ("sys/fs/cgroup/user.slice/user-3001.slice/cpu.stat", "usage_usec 5000\nuser_usec 1\n"),
            ("sys/fs/cgroup/user.slice/user-3001.slice/memory.current", "77\n"),
            ("sys/fs/cgroup/user.slice/user-3001.slice/user-3001.slice/cpu.stat", "usage_usec 9\n"),
            ("sys/fs/cgroup/hikeshi.slice/hikeshi-fuji\\x2dy.slice/cpu.stat", "usage_usec 42\n"),
            ("sys/fs/cgroup/user.slice/user-30011.slice/cpu.stat", "usage_usec 1\n"),
        ],
    );
    assert_eq!(read(&root.0, V2), (Layout::V2, vec!["aoi 5000 77".to_owned(), "fuji-y 42 -".to_owned()]));
}

#[test]
fn version_1_is_read_by_controller() {
    let root = Root::new(
        "v1",
        &[
            ("sys/fs/cgroup/cpu,cpuacct/hikeshi-aoi/cpuacct.usage", "5000000\n"),
            ("sys/fs/cgroup/memory/hikeshi-aoi/memory.usage_in_bytes", "9\n"),
        ],
    );
    assert_eq!(read(&root.0, V1), (Layout::V1, vec!["aoi 5000 9".to_owned()]));
}

#[test]
fn hybrid_takes_the_side_that_counts() {
    let root = Root::new(
        "hybrid",
        &[
            ("sys/fs/cgroup/cpuacct/hikeshi-aoi/cpuacct.usage", "5000000\n"),
            ("sys/fs/cgroup/unified/hikeshi-aoi/cpu.stat", "usage_usec 0\n"),
        ],
    );
    assert_eq!(read(&root.0, HYBRID), (Layout::Hybrid, vec!["aoi 5000 -".to_owned()]));
    assert_eq!(read(&root.0, ""), (Layout::Absent, Vec::new()));
}

fn process(pid: u32, uid: u32, exe: &str, start: Moment, cpu: Span) -> Process {
    Process {
        pid,
        ppid: 1,
        uid,
        comm: b"x".to_vec(),
        exe: exe.as_bytes().to_vec(),
        deleted: false,
        memfd: false,
        exe_dev: 0,
        exe_ino: 0,
        exe_uid: None,
        argv: Vec::new(),
        cwd: Vec::new(),
        start,
        start_ticks: start.0 as u64 / 10_000,
        cpu,
        state: State::Alive,
        fds: Vec::new(),
        sockets: Vec::new(),
        tty: 0,
        kernel: false,
    }
}

/// A watch that sees one process of each account once a minute.
struct Story {
    watch: Watch,
    now: Moment,
    cpu: [Span; 2],
    exe: &'static str,
    restricted: BTreeSet<AccountName>,
}

impl Story {
    fn new() -> Story {
        Story {
            watch: Watch::default(),
            now: START,
            cpu: [Span::ZERO; 2],
            exe: "/usr/sbin/php-fpm8.2",
            restricted: BTreeSet::new(),
        }
    }

    /// `minutes` of this use in per cent of a core and these requests per second of `aoi`; what was said, shortened.
    fn run(&mut self, minutes: u32, percent: [i64; 2], requests: f64) -> Vec<String> {
        let entries = accounts();
        let who = Accounts::new(&entries, &[]);
        let requests = BTreeMap::from([(entries[0].account.name.clone(), requests)]);
        let mut said = Vec::new();
        for _ in 0..minutes {
            self.now = self.now + Span::minutes(1);
            for (cpu, percent) in self.cpu.iter_mut().zip(percent) {
                cpu.0 += percent * 600_000;
            }
            let table = Table::new(vec![
                process(10, 3001, self.exe, START, self.cpu[0]),
                process(11, 3002, "/usr/bin/x", START, self.cpu[1]),
            ]);
            let look = Look {
                table: &table,
                who: &who,
                accounts: &entries,
                uses: &[],
                requests: &requests,
                restricted: &self.restricted,
                cores: 2,
                pressure: Some(40.0),
                now: self.now,
            };
            for finding in self.watch.observe(&look) {
                assert!(finding.signal.strength < Strength::Conclusive, "load is never a proof");
                said.push(format!(
                    "{} {:?} {:?}",
                    finding.signal.account, finding.signal.strength, finding.signal.kind
                ));
                assert!(
                    finding.evidence.get(FactKey::CpuPercent).is_some()
                        && finding.evidence.get(FactKey::PressurePercent).is_some()
                );
            }
        }
        said
    }
}

#[test]
fn much_more_than_usual_and_than_fair_is_suspicious_once() {
    let mut story = Story::new();
    assert_eq!(story.run(100, [10, 10], 1.0), Vec::<String>::new());
    assert_eq!(story.run(30, [180, 10], 1.0), ["aoi Suspicious LoadAboveBaseline"]);
    assert_eq!(story.watch.is_usual(&accounts()[0].account.name), Some(false));
}

#[test]
fn a_short_peak_says_nothing() {
    let mut story = Story::new();
    story.run(100, [10, 10], 1.0);
    assert!(story.run(2, [180, 10], 1.0).is_empty() && story.run(5, [10, 10], 1.0).is_empty());
}

#[test]
fn more_visitors_at_the_usual_cost_are_a_peak_and_only_a_hint() {
    let mut story = Story::new();
    story.run(100, [10, 10], 1.0);
    assert_eq!(story.run(10, [180, 10], 15.0), ["aoi Hint TrafficPeak"]);
}

#[test]
fn a_backup_is_a_job_and_only_a_hint() {
    let mut story = Story::new();
    story.run(100, [10, 10], 1.0);
    story.exe = "/usr/bin/gzip";
    assert_eq!(story.run(10, [180, 10], 1.0), ["aoi Hint HeavyJob"]);
}

#[test]
fn a_tool_of_that_name_in_the_home_is_no_job() {
    let mut story = Story::new();
    story.run(100, [10, 10], 1.0);
    story.exe = "/home/aoi/gzip";
    assert_eq!(story.run(10, [180, 10], 1.0), ["aoi Suspicious LoadAboveBaseline"]);
}

#[test]
fn what_is_above_fair_but_usual_says_nothing() {
    let mut story = Story::new();
    // Alone on the node nobody is disturbed, and it becomes usual.
    assert!(story.run(100, [150, 0], 1.0).is_empty());
    assert!(story.run(60, [150, 50], 1.0).is_empty());
}

#[test]
fn a_new_account_is_judged_by_fair_share_and_time() {
    let mut story = Story::new();
    assert!(story.run(8, [180, 10], 1.0).is_empty());
    assert_eq!(story.run(8, [180, 10], 1.0), ["aoi Suspicious LoadAboveBaseline"]);
}

#[test]
fn nothing_is_learnt_of_a_restricted_account() {
    let mut story = Story::new();
    story.restricted.insert(accounts()[0].account.name.clone());
    story.run(60, [10, 10], 1.0);
    let learnt: Vec<String> = story.watch.changed().iter().map(|b| b.account.to_string()).collect();
    assert_eq!(learnt, ["fuji-y"]);
}

#[test]
fn a_reused_pid_is_another_process() {
    let entries = accounts();
    let who = Accounts::new(&entries, &[]);
    let mut watch = Watch::default();
    let mut said = 0;
    for minute in 0..40 {
        let now = START + Span::minutes(minute);
        // Each minute another old process of 100 CPU minutes under the same pid: none of it was used now.
        let start = START - Span::hours(50) + Span::minutes(minute);
        let table = Table::new(vec![
            process(10, 3001, "/usr/bin/x", start, Span::minutes(100)),
            process(11, 3002, "/usr/bin/x", START, Span::ZERO),
        ]);
        let look = Look {
            table: &table,
            who: &who,
            accounts: &entries,
            uses: &[],
            requests: &BTreeMap::new(),
            restricted: &BTreeSet::new(),
            cores: 1,
            pressure: None,
            now,
        };
        said += watch.observe(&look).len();
    }
    assert_eq!(said, 0);
}

#[test]
fn pressure_is_the_share_of_the_last_ten_seconds() {
    assert_eq!(pressure("some avg10=5.98 avg60=2.09 avg300=0.83 total=12530430\nfull avg10=0.00"), Some(5.98));
    assert_eq!(pressure(""), None);
    assert_eq!(Kind::LoadAboveBaseline.class(), model::Class::Load);
}
