//! One look at a node on which nothing was installed before: `hikeshi inspect` on 1,000 accounts and 3,000 processes,
//! with a mail log, a log of logins and an access log an account. Goal: a report in under 10 s.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ACCOUNTS: u32 = 1_000;
const PROCESSES: u32 = 3_000;
const FIRST_UID: u32 = 30_000;
/// Lines of each access log, of the mail log, of the log of logins.
const REQUESTS: u32 = 2_000;
const MAIL: u32 = 200_000;
const LOGINS: u32 = 100_000;
const ROUNDS: usize = 5;
const GOAL: Duration = Duration::from_secs(10);

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        println!("SKIPPED: needs root, because processes belong to the accounts");
        return;
    }
    let program = tests::rig::release_program();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    make_node(root);
    let _sleepers = Sleepers::new();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut command = Command::new(&program);
        command.arg("--config").arg(root.join("hikeshi.toml")).args(["inspect", "--format", "json"]);
        let output = command.stderr(Stdio::null()).output().expect("the binary can be started");
        times.push(began.elapsed());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        let blamed = report["accounts"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|account| account["verdict"] != "benign").count());
        assert_eq!(blamed, 0, "nothing is wrong here: {}", report["accounts"]);
        let lines = report["read"]["lines"].as_u64().unwrap_or(0);
        assert!(lines >= u64::from(ACCOUNTS * REQUESTS), "only {lines} lines were read");
    }
    times.sort_unstable();
    let median = times[ROUNDS / 2];
    println!("accounts {ACCOUNTS}, processes {PROCESSES}, lines of logs {}", ACCOUNTS * REQUESTS + MAIL + LOGINS);
    println!(
        "inspect: median {:.2} s, slowest {:.2} s, {:.2} of the goal of {} s: {}",
        median.as_secs_f64(),
        times[ROUNDS - 1].as_secs_f64(),
        median.as_secs_f64() / GOAL.as_secs_f64(),
        GOAL.as_secs(),
        if median < GOAL { "met" } else { "NOT met" }
    );
}

fn make_node(root: &Path) {
    let f = root.display();
    std::fs::set_permissions(root, PermissionsExt::from_mode(0o755)).expect("our own folder");
    for name in ["home", "sites", "accounts.d", "logs"] {
        std::fs::create_dir(root.join(name)).expect("a folder");
    }
    let mut passwd = String::from("root:x:0:0:root:/root:/bin/sh\n");
    for n in 0..ACCOUNTS {
        let home = root.join(format!("home/a{n}"));
        for folder in [home.clone(), home.join("public_html")] {
            std::fs::create_dir(&folder).expect("a folder");
            chown(&folder, Some(FIRST_UID + n), Some(65_534)).expect("we are root");
        }
        let _ = writeln!(passwd, "a{n}:x:{}:65534::{f}/home/a{n}:/bin/sh", FIRST_UID + n);
        let site = format!(
            "server {{\n  listen 80;\n  server_name a{n}.example www.a{n}.example;\n  root {f}/home/a{n}/public_html;\n}}\n"
        );
        std::fs::write(root.join(format!("sites/a{n}.conf")), site).expect("a file");
        let mut log = String::new();
        for i in 0..REQUESTS {
            let _ = writeln!(
                log,
                "203.0.113.{} - - [28/Nov/2026:10:{:02}:{:02} +0900] \"GET /page-{i}/ HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0\"",
                i % 200,
                i / 60 % 60,
                i % 60,
                5000 + i
            );
        }
        std::fs::write(root.join(format!("logs/a{n}.example.access.log")), log).expect("a file");
    }
    let mut mail = String::new();
    for i in 0..MAIL / 5 {
        let (at, id) =
            (format!("2026-11-28T{:02}:{:02}:{:02}+09:00 host", i / 3600 % 24, i / 60 % 60, i % 60), i + 0x10_0000);
        let uid = FIRST_UID + i % ACCOUNTS;
        let _ = writeln!(mail, "{at} postfix/pickup[1]: {id:X}: uid={uid} from=<a>");
        let _ = writeln!(mail, "{at} postfix/cleanup[2]: {id:X}: message-id=<{i}@host>");
        let _ = writeln!(mail, "{at} postfix/qmgr[3]: {id:X}: from=<a>, size=400, nrcpt=1 (queue active)");
        let _ = writeln!(
            mail,
            "{at} postfix/smtp[4]: {id:X}: to=<r{i}@example.jp>, relay=mx[192.0.2.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (ok)"
        );
        let _ = writeln!(mail, "{at} postfix/qmgr[3]: {id:X}: removed");
    }
    std::fs::write(root.join("mail.log"), mail).expect("a file");
    let mut logins = String::new();
    for i in 0..LOGINS {
        let _ = writeln!(
            logins,
            "2026-11-28T{:02}:{:02}:{:02}+09:00 host sshd[{i}]: Accepted publickey for a{} from 198.51.100.{} port 50000 ssh2: ED25519 SHA256:k{}",
            i / 3600 % 24,
            i / 60 % 60,
            i % 60,
            i % ACCOUNTS,
            i % ACCOUNTS % 200,
            i % ACCOUNTS
        );
    }
    std::fs::write(root.join("auth.log"), logins).expect("a file");
    std::fs::write(root.join("passwd"), passwd).expect("a file");
    let nginx = format!("events {{ }}\nhttp {{ include {f}/sites/*.conf; }}\n");
    std::fs::write(root.join("nginx.conf"), nginx).expect("a file");
    let config = format!(
        "[node]\ntenant_uids = \"{FIRST_UID}-{}\"\npasswd = \"{f}/passwd\"\naccounts_dir = \"{f}/accounts.d\"\n\
         [web]\nnginx = \"{f}/nginx.conf\"\napache = []\naccess_logs = [\"{f}/logs\"]\n\
         [mail]\nlog = \"{f}/mail.log\"\n[login]\nlogs = [\"{f}/auth.log\"]\nguarded_logs = []\n",
        FIRST_UID + ACCOUNTS - 1
    );
    std::fs::write(root.join("hikeshi.toml"), config).expect("a file");
}

/// Sleeping processes of the accounts; they end with us, and by themselves after five minutes.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn new() -> Sleepers {
        let start = |n: u32| {
            let mut command = Command::new("/bin/sleep");
            command.arg("300").current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.uid(FIRST_UID + n % ACCOUNTS).gid(65_534).spawn().expect("a process")
        };
        Sleepers((0..PROCESSES).map(start).collect())
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|child| drop(child.kill()));
        self.0.iter_mut().for_each(|child| drop(child.wait()));
    }
}
