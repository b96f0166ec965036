//! Our full sweep and judgement of 3,000 processes against `ps` in the same run, and what it costs when idle.
//!
//! Goal: at most half the time of `ps -eo pid,ppid,uid,comm,args`, and below 1 % of one core at the default pace with
//! 10,000 accounts. As root the processes run under tenants' uids, so that every check is done on each of them.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use model::{AccountEntry, AccountRef, Moment, Site};
use sense::attribution::{Accounts, Attribution};
use sense::process::{Memory, SWEEP_EVERY, Table, judge};

const PROCESSES: u32 = 3000;
const ACCOUNTS: u32 = 10_000;
const FIRST_UID: u32 = 50_000;
const ROUNDS: usize = 15;
const GOAL_RATIO: f64 = 0.5;
const GOAL_CORE_PERCENT: f64 = 1.0;

/// Sleeping children; they end with us, and by themselves after five minutes if we are killed.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn new() -> Sleepers {
        let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let mut sleepers = Sleepers(Vec::new());
        for n in 0..PROCESSES {
            let mut command = Command::new("/bin/sleep");
            command.arg("300").current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if root {
                command.uid(FIRST_UID + n % 1000).gid(65534);
            }
            match command.spawn() {
                Ok(child) => sleepers.0.push(child),
                Err(error) => {
                    println!("only {} processes could be started: {error}", sleepers.0.len());
                    break;
                }
            }
        }
        sleepers
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let entries: Vec<AccountEntry> = (0..ACCOUNTS).map(account).collect();
    let who = Accounts::new(&entries, &[]);
    let sleepers = Sleepers::new();
    // Young processes are read in full each time; the usual node has old ones.
    std::thread::sleep(Duration::from_secs(12));

    let mut memory = Memory::default();
    let started = Instant::now();
    let (mut table, mut found) = look(None, &who, &mut memory);
    let first = started.elapsed();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        (table, found) = look(Some(table), &who, &mut memory);
        ours.push(started.elapsed());
        let started = Instant::now();
        let lines = ps();
        theirs.push(started.elapsed());
        assert!(lines >= sleepers.0.len(), "ps saw {lines} lines");
    }
    let rounds = 40;
    let before = cpu();
    for _ in 0..rounds {
        (table, _) = look(Some(table), &who, &mut memory);
    }
    let cost = (cpu() - before) / rounds;

    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let first_ratio = first.as_secs_f64() / theirs.as_secs_f64();
    let percent = cost.as_secs_f64() * 100.0 / SWEEP_EVERY.whole_secs() as f64;
    let met = |met: bool| if met { "met" } else { "NOT met" };
    println!(
        "processes {} ({} of them ours), accounts {ACCOUNTS}, findings {found}",
        table.processes().len(),
        sleepers.0.len()
    );
    println!("sweep and judge, first:      {:8.2} ms  ratio to ps {first_ratio:.2}", ms(first));
    println!("sweep and judge, following:  {:8.2} ms  median of {ROUNDS}", ms(ours));
    println!("ps -eo pid,ppid,uid,comm,args{:8.2} ms  median of {ROUNDS}", ms(theirs));
    println!("ratio {ratio:.2}, goal {GOAL_RATIO}: {}", met(ratio <= GOAL_RATIO));
    println!(
        "idle: {:.2} ms CPU a sweep, every {} s = {percent:.2} % of a core, goal {GOAL_CORE_PERCENT} %: {}",
        ms(cost),
        SWEEP_EVERY.whole_secs(),
        met(percent < GOAL_CORE_PERCENT)
    );
    println!("resident: {:.1} MB", resident() as f64 / 1e6);
}

fn look(previous: Option<Table>, who: &Accounts, memory: &mut Memory) -> (Table, usize) {
    let secs = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let now = Moment::from_secs(secs as i64);
    let table = Table::sweep(Path::new("/proc"), previous, now, &|uid| who.is_tenant(uid)).expect("/proc");
    let found = judge(&table, who, now, memory).findings.len();
    (table, found)
}

fn ps() -> usize {
    let out = Command::new("ps").args(["-eo", "pid,ppid,uid,comm,args"]).output().expect("ps");
    out.stdout.iter().filter(|b| **b == b'\n').count()
}

fn account(n: u32) -> AccountEntry {
    AccountEntry {
        account: AccountRef { name: format!("a{n}").parse().expect("a name"), uid: FIRST_UID + n, generation: 1 },
        home: format!("/home/a{n}"),
        sites: vec![Site {
            domain: format!("a{n}.example").parse().expect("a domain"),
            aliases: Vec::new(),
            root: format!("/home/a{n}/public_html"),
            gates: Vec::new(),
            probes: Vec::new(),
        }],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// CPU time of this thread, from `/proc/self/schedstat` (nanoseconds).
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("schedstat");
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
}

/// Resident memory, bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number") * 4096
}
