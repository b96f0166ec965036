//! Use by account out of made-up control groups and tables, and what is said about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::{AccountEntry, AccountName, AccountRef, FactKey, Kind, Moment, Span, Strength};
use sense::attribution::Accounts;
use sense::load::fpm::Slow;
use sense::load::{Deep, Details, Held, Layout, Look, Mounts, Node, Patterns, Room, Use, Watch, pressure};
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
        .map(|one| (one, mounts.details(one).memory_bytes))
        .map(|(one, memory)| format!("{} {} {}", one.account, show(one.cpu.map(|cpu| cpu.0 as u64)), show(memory)));
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

/// What the first account's only process holds.
#[derive(Default)]
struct Holds {
    memory_mib: u64,
    io_mib: u64,
    asked: std::cell::Cell<u32>,
}

impl Deep for Holds {
    fn group(&self, _: &Use) -> Details {
        Details::default()
    }
    fn process(&self, pid: u32) -> Option<Held> {
        self.asked.set(self.asked.get() + 1);
        let held = Held { memory_bytes: self.memory_mib << 20, io_bytes: self.io_mib << 20 };
        Some(held).filter(|_| pid == 10)
    }
}

/// A watch that sees one process of each account once a minute.
struct Story {
    watch: Watch,
    now: Moment,
    cpu: [Span; 2],
    exe: &'static str,
    argv: &'static [&'static str],
    /// Who started it.
    parent: Option<&'static str>,
    slow: Vec<Slow>,
    crawled: bool,
    foreign: bool,
    holds: Holds,
    /// MiB per second.
    io: u64,
    /// How long the node waits for memory and disks, per cent.
    waits: Option<f64>,
    restricted: BTreeSet<AccountName>,
    /// Grounds and more of the last finding.
    last: Option<model::Evidence>,
}

impl Story {
    fn new() -> Story {
        Story {
            watch: Watch::default(),
            now: START,
            cpu: [Span::ZERO; 2],
            exe: "/usr/sbin/php-fpm8.2",
            argv: &[],
            parent: None,
            slow: Vec::new(),
            crawled: false,
            foreign: false,
            holds: Holds::default(),
            io: 0,
            waits: Some(0.0),
            restricted: BTreeSet::new(),
            last: None,
        }
    }

    /// A story of an account that has its usual day behind it.
    fn usual() -> Story {
        let mut story = Story::new();
        assert_eq!(story.run(100, [10, 10], 1.0), Vec::<String>::new());
        story
    }

    /// `minutes` of this use in per cent of a core and these requests per second of `aoi`; what was said, shortened.
    fn run(&mut self, minutes: u32, percent: [i64; 2], requests: f64) -> Vec<String> {
        let entries = accounts();
        let who = Accounts::new(&entries, &[]);
        let aoi = entries[0].account.name.clone();
        let requests = BTreeMap::from([(aoi.clone(), requests)]);
        let mut said = Vec::new();
        for _ in 0..minutes {
            self.now = self.now + Span::minutes(1);
            self.holds.io_mib += self.io * 60;
            for (cpu, percent) in self.cpu.iter_mut().zip(percent) {
                cpu.0 += percent * 600_000;
            }
            let mut first = process(10, 3001, self.exe, START, self.cpu[0]);
            first.argv = self.argv.iter().map(|arg| arg.as_bytes().to_vec()).collect();
            first.ppid = 9;
            let mut processes = vec![first, process(11, 3002, "/usr/bin/x", START, self.cpu[1])];
            processes.extend(self.parent.map(|exe| process(9, 0, exe, START, Span::ZERO)));
            let table = Table::new(processes);
            let crawled = self.crawled.then(|| (aoi.clone(), "192.0.2.7".to_owned()));
            let start_ticks = START.0 as u64 / 10_000;
            let look = Look {
                table: &table,
                who: &who,
                accounts: &entries,
                uses: &[],
                deep: &self.holds,
                requests: &requests,
                slow: &BTreeMap::from([(aoi.clone(), self.slow.clone())]),
                crawled: &crawled.into_iter().collect(),
                foreign: &self.foreign.then_some((10, start_ticks)).into_iter().collect(),
                restricted: &self.restricted,
                room: Room {
                    cores: 2,
                    memory_mib: Some(4096.0),
                    cpu_pressure: Some(40.0),
                    memory_pressure: self.waits,
                    io_pressure: self.waits,
                },
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
                self.last = Some(finding.evidence);
            }
        }
        said
    }

    fn fact(&self, key: FactKey) -> String {
        self.last.as_ref().and_then(|facts| facts.get(key)).map(ToString::to_string).unwrap_or_default()
    }
}

/// A plugin in which this many requests were slow, by the worker of the story.
fn plugin(requests: u32) -> Slow {
    Slow {
        path: b"/home/aoi/public_html/wp-content/plugins/keeper".to_vec(),
        is_part: true,
        requests,
        by_door: requests,
        scheduled: 0,
        seconds: 0.0,
        pids: vec![10],
        is_bad: false,
        last: START,
    }
}

const SUSPICIOUS: [&str; 1] = ["aoi Suspicious LoadAboveBaseline"];
const JOB: [&str; 1] = ["aoi Hint HeavyJob"];
const PEAK: [&str; 1] = ["aoi Hint TrafficPeak"];

#[test]
fn a_suspected_program_that_uses_most_of_it_is_the_cause_whatever_else_is_seen() {
    let mut story = Story::usual();
    (story.foreign, story.crawled) = (true, true);
    story.slow = vec![plugin(9)];
    assert_eq!(story.run(10, [180, 10], 15.0), SUSPICIOUS);
    assert_eq!((story.fact(FactKey::Grounds), story.fact(FactKey::Pids)), ("foreign_program".into(), "10".into()));
}

#[test]
fn a_loop_in_php_without_requests_is_no_job_and_no_peak() {
    let mut story = Story::usual();
    assert_eq!(story.run(10, [180, 10], 1.0), SUSPICIOUS);
    // The log names it; it came in by no front door, or lies where no program belongs.
    for (by_door, is_part, is_bad) in [(0, true, false), (9, false, false), (9, true, true)] {
        let mut story = Story::usual();
        story.slow = vec![Slow { by_door, is_part, is_bad, ..plugin(9) }];
        assert_eq!(story.run(10, [180, 10], 1.0), SUSPICIOUS);
        assert!(story.fact(FactKey::SlowScript).ends_with("/keeper"), "it is named all the same");
        assert_eq!(story.fact(FactKey::Grounds), "");
    }
}

#[test]
fn a_plugin_that_the_slow_log_names_is_a_job() {
    let mut story = Story::usual();
    story.slow = vec![plugin(5), Slow { path: b"/home/aoi/x".to_vec(), is_part: false, ..plugin(1) }];
    assert_eq!(story.run(10, [180, 10], 1.0), JOB);
    assert_eq!((story.fact(FactKey::Grounds), story.fact(FactKey::Requests)), ("slow_script".into(), "5".into()));
    // One long request, named once: its worker does the work, and goes on when the log's entry is old.
    let mut story = Story::usual();
    story.slow = vec![Slow { scheduled: 1, ..plugin(1) }];
    assert_eq!(story.run(5, [180, 10], 1.0), JOB);
    assert_eq!(story.fact(FactKey::Grounds), "slow_script scheduled_by_site");
    story.slow.clear();
    assert!(story.run(200, [180, 10], 1.0).is_empty());
    // Nothing that goes on for a day is a job.
    assert_eq!(story.run(200, [180, 10], 1.0), SUSPICIOUS);
    // Two slow requests of another worker explain nothing.
    let mut story = Story::usual();
    story.slow = vec![Slow { pids: vec![99], ..plugin(2) }];
    assert_eq!(story.run(10, [180, 10], 1.0), SUSPICIOUS);
}

#[test]
fn crawlers_make_a_peak_only_when_requests_have_risen() {
    let mut story = Story::usual();
    story.crawled = true;
    assert_eq!(story.run(10, [180, 10], 6.0), PEAK);
    assert_eq!((story.fact(FactKey::Grounds), story.fact(FactKey::Addresses)), ("crawler".into(), "192.0.2.7".into()));
    let mut story = Story::usual();
    story.crawled = true;
    assert_eq!(story.run(10, [180, 10], 1.0), SUSPICIOUS);
    // A foreign program that hides behind a crawl is no pool.
    let mut story = Story::usual();
    (story.crawled, story.exe) = (true, "/home/aoi/x");
    assert_eq!(story.run(10, [180, 10], 6.0), SUSPICIOUS);
}

#[test]
fn tools_and_schedules_are_jobs_by_who_started_them() {
    let run = |exe, argv, parent| {
        let mut story = Story::usual();
        (story.exe, story.argv, story.parent) = (exe, argv, parent);
        let said = story.run(10, [180, 10], 1.0);
        (said, story.fact(FactKey::Grounds))
    };
    let job = |grounds: &str| (JOB.map(str::to_owned).to_vec(), grounds.to_owned());
    let not = |grounds: &str| (SUSPICIOUS.map(str::to_owned).to_vec(), grounds.to_owned());
    let cron = Some("/usr/sbin/cron");
    assert_eq!(run("/usr/bin/mysqldump", &["mysqldump"], cron), job("known_tool cron"));
    let composer: &[&str] = &["php", "/home/aoi/bin/composer.phar", "install"];
    assert_eq!(run("/usr/bin/php8.2", composer, Some("/usr/sbin/sshd")), job("known_tool session"));
    assert_eq!(run("/usr/bin/php8.2", composer, cron), not("cron"));
    let wp_cron: &[&str] = &["php", "/home/aoi/public_html/wp-cron.php"];
    assert_eq!(run("/usr/bin/php8.2", wp_cron, cron), job("scheduled_by_site cron"));
    assert_eq!(run("/usr/bin/php8.2", wp_cron, None), not(""));
    let images: &[&str] = &["php", "/usr/local/bin/wp", "media", "regenerate"];
    assert_eq!(run("/usr/bin/php8.2", images, cron), job("known_tool cron"));
    assert_eq!(run("/usr/bin/php8.2", &["php", "/home/aoi/.cache/wp-cron.php"], cron), not("cron"));
}

#[test]
fn what_a_hoster_sees_every_week_is_no_suspicion() {
    // After an upgrade of PHP each pool compiles its scripts anew: short, and everywhere at once.
    let mut story = Story::usual();
    assert!(story.run(2, [150, 150], 1.0).is_empty() && story.run(5, [10, 10], 1.0).is_empty());
    // An evening of sales with a heavy cart: many visitors, at the usual cost each.
    let mut story = Story::usual();
    story.slow = vec![plugin(20)];
    assert_eq!(story.run(60, [190, 10], 25.0), PEAK);
    // An import by the owner, a build of his theme.
    for exe in ["/usr/bin/mysql", "/usr/bin/unzip", "/usr/bin/rsync", "/usr/bin/git"] {
        let mut story = Story::usual();
        story.exe = exe;
        assert_eq!(story.run(10, [180, 10], 1.0), JOB, "{exe}");
    }
    // An import through the site: one module in which everything is slow, called by the front door.
    let mut story = Story::usual();
    story.slow = vec![Slow { path: b"/home/aoi/web/modules/feeds".to_vec(), pids: vec![44, 45, 46], ..plugin(3) }];
    assert_eq!(story.run(10, [180, 10], 1.0), JOB);
}

#[test]
fn an_intruders_program_is_not_excused_by_what_runs_beside() {
    // A program in the home under a tool's name, a script of the uploads under a schedule's name, a worker's child.
    let runs: [(&'static str, &'static [&'static str]); 4] = [
        ("/home/aoi/bin/mysqldump", &["mysqldump"]),
        ("/usr/bin/php8.2", &["php", "/home/aoi/public_html/wp-content/uploads/wp-cron.php"]),
        ("/usr/bin/php8.2", &["php", "/tmp/composer.phar"]),
        ("/usr/bin/perl", &["perl", "/home/aoi/public_html/a.pl"]),
    ];
    for (exe, argv) in runs {
        let mut story = Story::usual();
        (story.exe, story.argv, story.parent) = (exe, argv, Some("/usr/sbin/cron"));
        story.slow = vec![plugin(9)];
        assert_eq!(story.run(10, [180, 10], 1.0), SUSPICIOUS, "{exe} {argv:?}");
    }
}

#[test]
fn memory_and_io_above_usual_count_only_while_tasks_wait() {
    let run = |memory_mib, io, waits| {
        let mut story = Story::new();
        (story.holds.memory_mib, story.io) = (200, 1);
        assert!(story.run(100, [10, 10], 1.0).is_empty());
        (story.holds.memory_mib, story.io, story.waits) = (memory_mib, io, waits);
        let said = story.run(10, [12, 10], 1.0);
        (said.len(), story.fact(FactKey::Grounds), story.fact(FactKey::MemoryMib), story.fact(FactKey::IoMibPerSecond))
    };
    let found = |grounds: &str, memory: &str, io: &str| (1, grounds.to_owned(), memory.to_owned(), io.to_owned());
    assert_eq!(run(3000, 1, Some(30.0)), found("memory", "3000", "1"));
    assert_eq!(run(200, 80, Some(30.0)), found("io", "200", "80"));
    assert_eq!(run(200, 80, None), found("io", "200", "80"));
    assert_eq!(run(3000, 80, Some(2.0)).0, 0);
    // Within its share of the node's memory, and little IO: nobody is disturbed.
    assert_eq!(run(1500, 10, Some(30.0)).0, 0);
}

#[test]
fn idle_accounts_cost_no_further_file() {
    let mut story = Story::new();
    story.run(50, [0, 0], 0.0);
    assert_eq!(story.holds.asked.get(), 0);
    story.waits = Some(50.0);
    story.run(2, [0, 0], 0.0);
    assert!(story.holds.asked.get() > 0, "while the node waits, all are looked at");
}

#[test]
fn memory_and_io_are_learnt_and_stored() {
    let mut story = Story::new();
    (story.holds.memory_mib, story.io) = (200, 1);
    story.run(100, [10, 0], 1.0);
    let all = story.watch.changed();
    let metrics: Vec<String> = all.iter().map(|b| format!("{} {} {:.0}", b.account, b.metric, b.mean)).collect();
    let expected = ["aoi cpu_percent 10", "aoi io_mib_per_second 1", "aoi memory_mib 200", "aoi requests_per_second 1"];
    assert_eq!(metrics[..4], expected);
    let mut fresh = Watch::default();
    all.into_iter().for_each(|baseline| fresh.learnt(baseline));
    assert_eq!(fresh.is_usual(&accounts()[0].account.name), Some(true));
}

#[test]
fn processes_and_groups_are_read_where_the_kernel_says_it() {
    let group = "sys/fs/cgroup/user.slice/user-3001.slice";
    let files = [
        (format!("{group}/cpu.stat"), "usage_usec 5\n"),
        (format!("{group}/memory.current"), "1048576\n"),
        (format!("{group}/pids.current"), "4\n"),
        (format!("{group}/io.stat"), "8:0 rbytes=100 wbytes=11 rios=1 wios=1\n253:0 rbytes=1 wbytes=0\n"),
        (format!("{group}/io.pressure"), "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n"),
        ("proc/10/statm".to_owned(), "9000 300 44 1 0 200 0\n"),
        ("proc/10/io".to_owned(), "rchar: 9\nwchar: 9\nread_bytes: 4096\nwrite_bytes: 1\ncancelled_write_bytes: 0\n"),
        ("proc/11/statm".to_owned(), "x\n"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&path[..], *text)).collect();
    let root = Root::new("deep", &files);
    let mounts = Mounts::find(V2, &root.0);
    let node = Node { mounts: &mounts, proc_root: &root.0.join("proc") };
    let uses = mounts.read(&Patterns::default().names(&accounts()), &accounts());
    let expected = Details {
        memory_bytes: Some(1 << 20),
        tasks: Some(4),
        io_bytes: Some(112),
        memory_pressure: None,
        io_pressure: Some(12.5),
    };
    assert_eq!(node.group(&uses[0]), expected);
    assert_eq!(node.process(10), Some(Held { memory_bytes: 256 * 4096, io_bytes: 4097 }));
    assert_eq!((node.process(11), node.process(12)), (None, None));
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
            deep: &Holds::default(),
            requests: &BTreeMap::new(),
            slow: &BTreeMap::new(),
            crawled: &BTreeMap::new(),
            foreign: &BTreeSet::new(),
            restricted: &BTreeSet::new(),
            room: Room { cores: 1, ..Room::default() },
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
