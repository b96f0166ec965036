//! From a signal to the first 403, on a real nginx with 10,000 virtual hosts and the real roles as processes.
//!
//! Goal: 99 of 100 sites answer 403 within 100 ms after the senses sent what they saw. The bench plays only the
//! senses: each batch says that a program of one site runs (a real process) and that its account sends mass mail,
//! so one decision closes, freezes and holds mail. The mail order is refused (a Postfix that does not ask our table),
//! after Postfix was asked. Beside it, in the same run, the naive way: a `return 403` in an include of the vhost and `nginx -s reload`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::order::{Failure, Finding};
use model::packet::{FromSense, ToSense};
use model::{
    AccountEntry, AccountRef, Contact, Evidence, FactKey, GateKey, Hash, Kind, Language, Moment, Outcome, ProbeTarget,
    ProcessRef, Role, Seen, Signal, Site, Strength, Target,
};
use store::Store;
use sys::cgroup::Freezer;
use sys::socket::{Connection, Listener};

const VHOSTS: usize = 10_000;
const ACCOUNTS: usize = 300;
const SAMPLES: usize = 200;
const NAIVE: usize = 5;
const FIRST_UID: u32 = 50_000;
const PORT: u16 = 17_640;
const GOAL: Duration = Duration::from_millis(100);
const NGINX: &str = "/usr/sbin/nginx";
/// A server of 10,000 vhosts needs some seconds to start and to reload.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root || !Path::new(NGINX).exists() {
        println!("SKIPPED: needs root and {NGINX}");
        return;
    }
    let program = tests::rig::release_program();
    let bed = Bed::new(&program);
    let mut ours = Vec::new();
    for n in 0..SAMPLES {
        // Not in step with anything that the roles do by the clock.
        std::thread::sleep(Duration::from_millis(60 + (n as u64 * 37) % 90));
        ours.push(bed.close(n));
    }
    let theirs: Vec<Duration> = (0..NAIVE).map(|n| bed.close_naively(VHOSTS - 1 - n)).collect();

    ours.sort_unstable();
    let at = |share: f64| ours[((ours.len() as f64 * share).ceil() as usize).clamp(1, ours.len()) - 1];
    let naive = median(theirs);
    println!("vhosts {VHOSTS}, accounts {ACCOUNTS}, sites closed one by one {SAMPLES}");
    println!(
        "signal to first 403:  p50 {:7.1} ms  p99 {:7.1} ms  max {:7.1} ms",
        ms(at(0.5)),
        ms(at(0.99)),
        ms(at(1.0))
    );
    println!("include and reload:   p50 {:7.1} ms  (median of {NAIVE}, from the write of the include)", ms(naive));
    println!("ratio p50 {:.4}", at(0.5).as_secs_f64() / naive.as_secs_f64());
    let met = if at(0.99) < GOAL { "met" } else { "NOT met" };
    println!("goal p99 below {} ms: {met}", ms(GOAL));
}

/// Everything that runs; it ends with this.
struct Bed {
    folder: tempfile::TempDir,
    /// Roles first, the web server last.
    running: Vec<Child>,
    targets: Vec<Child>,
    accounts: Vec<AccountEntry>,
    core: Arc<Mutex<Option<Connection>>>,
}

impl Bed {
    fn new(program: &Path) -> Bed {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755)).expect("our own folder");
        for name in ["run", "state", "gate", "etc", "hold", "www", "naive", "postfix"] {
            std::fs::create_dir(root.join(name)).expect("a folder");
        }
        std::fs::set_permissions(root.join("gate"), PermissionsExt::from_mode(0o711)).expect("our own folder");
        std::fs::write(root.join("www/index.html"), "open\n").expect("a file");
        std::fs::write(root.join("postfix/main.cf"), "").expect("a file");
        std::fs::write(root.join("etc/hikeshi.toml"), configuration(root)).expect("a file");
        let accounts: Vec<AccountEntry> = (0..ACCOUNTS).map(|n| account(root, n)).collect();
        let mut bed = Bed { core: Arc::default(), running: Vec::new(), targets: Vec::new(), folder, accounts };
        bed.start_nginx();
        bed.play_sense();
        for role in ["act", "desk", "core"] {
            let child = bed.spawn_role(program, role);
            bed.running.push(child);
        }
        for n in 0..SAMPLES {
            let mut command = Command::new("/bin/sleep");
            command.arg("900").current_dir("/").uid(FIRST_UID + n as u32).gid(65_534).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            bed.targets.push(command.spawn().expect("a process that can be frozen"));
        }
        let database = bed.folder.path().join("state/core/hikeshi.db");
        wait("the inventory", || {
            Store::open_read_only(&database).is_ok_and(|v| v.accounts().is_ok_and(|a| a.len() == ACCOUNTS))
        });
        bed
    }

    /// From the batch to the first 403.
    fn close(&self, n: usize) -> Duration {
        let host = format!("s{n}.example");
        assert_eq!(status(&host), Some(200), "{host} must be open before");
        let packet = FromSense::Batch {
            batch: n as u64 + 1,
            findings: findings(&self.accounts[n], self.targets[n].id()),
            cursors: vec![],
            baselines: vec![],
        };
        let line = self.core.lock().expect("no panic holds this");
        let began = Instant::now();
        line.as_ref().expect("the core is connected").send_value(&packet).expect("the core listens");
        drop(line);
        until_closed(&host, began)
    }

    fn close_naively(&self, n: usize) -> Duration {
        let host = format!("s{n}.example");
        assert_eq!(status(&host), Some(200), "{host} must be open before");
        let began = Instant::now();
        let include = self.folder.path().join(format!("naive/s{n}.conf"));
        std::fs::write(include, "return 403;\n").expect("a file");
        let mut reload = self.nginx().args(["-s", "reload"]).spawn().expect("nginx can be told");
        let closed = until_closed(&host, began);
        reload.wait().expect("it was ours");
        closed
    }

    fn nginx(&self) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(NGINX);
        command.arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn start_nginx(&mut self) {
        let root = self.folder.path();
        let f = root.display();
        let gate = act::gate::nginx_include(&root.join("gate")).expect("a plain path");
        std::fs::write(root.join("gate.conf"), gate).expect("a file");
        let mut conf = format!(
            "daemon off; pid {f}/nginx.pid; error_log {f}/error.log; user www-data; worker_processes 1; events {{ }}\n\
             http {{ access_log off; client_body_temp_path {f}/body; server_names_hash_max_size 65536;\n\
             server {{ listen 127.0.0.1:{PORT} default_server; server_name _; return 404; }}\n"
        );
        for n in 0..VHOSTS {
            // Only the vhosts that the naive way closes have its include: it is spared 10,000 more.
            let naive = match n + NAIVE >= VHOSTS {
                true => format!("include {f}/naive/s{n}.conf*;"),
                false => String::new(),
            };
            conf += &format!(
                "server {{ listen 127.0.0.1:{PORT}; include {f}/gate.conf; {naive} server_name s{n}.example; root {f}/www; }}\n"
            );
        }
        conf += "}\n";
        std::fs::write(root.join("nginx.conf"), conf).expect("a file");
        let child = self.nginx().spawn().expect("nginx can be started");
        self.running.push(child);
        wait("the web server", || status("s0.example") == Some(200));
    }

    /// Answers the core as the senses would, with this inventory.
    fn play_sense(&self) {
        let listener = Listener::bind(&self.folder.path().join("run/sense.sock"), 0o600).expect("a socket of ours");
        let (current, accounts) = (self.core.clone(), self.accounts.clone());
        std::thread::spawn(move || {
            while let Ok(connection) = listener.accept() {
                while let Ok((order, _)) = connection.recv_value::<ToSense>() {
                    match order {
                        ToSense::Begin => {
                            for entry in &accounts {
                                let _ =
                                    connection.send_value(&FromSense::Account { entry: entry.clone(), more: false });
                            }
                            let accounts = accounts.len() as u64;
                            let _ = connection.send_value(&FromSense::InventoryEnd { accounts, unclear: vec![] });
                            *current.lock().expect("no panic holds this") = connection.try_clone().ok();
                        }
                        ToSense::Look { intent, .. } => {
                            let seen = Seen::Failed(Failure::Error("a bench captures nothing".into()));
                            let outcome = Outcome { intent, seen };
                            let _ = connection.send_value(&FromSense::Looked { outcome, capture: None });
                        }
                        _ => {}
                    }
                }
            }
        });
    }

    fn spawn_role(&self, program: &Path, role: &str) -> Child {
        let log = std::fs::File::create(self.folder.path().join(format!("{role}.log"))).expect("a log file");
        let mut command = Command::new(program);
        command.arg("--config").arg(self.folder.path().join("etc/hikeshi.toml")).args(["role", role]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the binary can be started")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for role in ["act", "desk", "core"] {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{role}.log"))).unwrap_or_default();
                eprintln!(
                    "--- end of the log of {role}\n{}",
                    log.lines().rev().take(15).collect::<Vec<_>>().join("\n")
                );
            }
        }
        // Its master ends the workers; a killed master would leave them behind.
        let _ = self.nginx().args(["-s", "stop"]).status();
        let began = Instant::now();
        while status("s0.example").is_some() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for child in self.running.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let ours: BTreeSet<u32> = self.targets.iter().map(Child::id).collect();
        for child in &mut self.targets {
            let _ = child.kill();
        }
        thaw(&ours);
        for child in &mut self.targets {
            let _ = child.wait();
        }
        thaw(&ours);
    }
}

/// Takes the freezer folders of these processes away again.
fn thaw(ours: &BTreeSet<u32>) {
    let Some(freezer) = Freezer::find() else { return };
    let Ok(names) = std::fs::read_dir(freezer.mount().join("hikeshi")) else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Ok(Some(cage)) = freezer.existing(&name) else { continue };
        if cage.members().is_ok_and(|members| members.iter().all(|pid| ours.contains(pid))) {
            let _ = cage.thaw();
            let _ = freezer.remove(&name);
        }
    }
}

fn until_closed(host: &str, began: Instant) -> Duration {
    while status(host) != Some(403) {
        assert!(began.elapsed() < PATIENCE, "{host} was never closed");
    }
    began.elapsed()
}

/// The status of one GET on a connection of its own.
fn status(host: &str) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn configuration(root: &Path) -> String {
    let f = root.display();
    format!(
        "mode = \"enforce\"\n\
         [mail]\npostfix_config_dir = \"{f}/postfix\"\nhold_file = \"{f}/hold/table\"\n\
         [notice]\nsmtp = \"127.0.0.1:{}\"\nfrom = \"desk@host.example\"\n\
         [limits]\naccounts_per_hour = 1000\naccounts_per_day = 10000\naccounts_per_day_percent = 100\n\
         [paths]\nstate = \"{f}/state\"\nrun = \"{f}/run\"\ngate = \"{f}/gate\"\netc = \"{f}/etc\"\n",
        PORT + 1
    )
}

fn account(root: &Path, n: usize) -> AccountEntry {
    let site = format!("s{n}.example");
    AccountEntry {
        account: AccountRef {
            name: format!("a{n}").parse().expect("a name"),
            uid: FIRST_UID + n as u32,
            generation: 1,
        },
        home: format!("/home/a{n}"),
        sites: vec![Site {
            domain: site.parse().expect("a domain"),
            aliases: vec![],
            root: format!("{}/www", root.display()),
            gates: vec![GateKey::Nginx(site)],
            probes: vec![ProbeTarget { address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), tls: false }],
        }],
        contacts: vec![Contact {
            address: format!("owner@a{n}-contact.example"),
            role: Role::Owner,
            language: Language::Ja,
            name: String::new(),
        }],
        time_zone: "Asia/Tokyo".into(),
    }
}

/// A program of the site, and mass mail of the account: both conclusive.
fn findings(entry: &AccountEntry, pid: u32) -> Vec<Finding> {
    let process = sys::process::Process::open(pid).and_then(|p| p.identity()).expect("the process that was started");
    let (exe_dev, exe_ino) = process.exe.expect("it runs a program");
    let process = ProcessRef { pid, start_ticks: process.start_ticks, uid: entry.account.uid, exe_dev, exe_ino };
    let site = entry.sites[0].domain.clone();
    vec![
        finding(entry, Kind::FakedName, Some(site.clone()), Target::Processes(vec![process])),
        finding(entry, Kind::MassMail, Some(site), Target::LocalMail(vec![])),
    ]
}

fn finding(entry: &AccountEntry, kind: Kind, site: Option<model::Domain>, target: Target) -> Finding {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = Moment(since.as_micros() as i64);
    let mut evidence = Evidence::default();
    evidence.text(FactKey::Shown, "[kworker/0:1]").text(FactKey::Really, "/bin/sleep").number(FactKey::Messages, 1200);
    let signal = Signal {
        kind,
        also: vec![],
        strength: Strength::Conclusive,
        account: entry.account.clone(),
        site,
        at: now,
        since: now,
        target,
        fingerprint: Hash::of(format!("{} {kind:?}", entry.account).as_bytes()),
        evidence: Hash::of(&serde_json::to_vec(&evidence).expect("plain values")),
        forgeable: false,
    };
    Finding { signal, evidence }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
