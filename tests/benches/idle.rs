//! What `hikeshi serve` costs on a node where nothing happens: 3,000 processes, 10,000 accounts, a vhost file and an
//! access log each.
//!
//! Goals: all roles together below 1 % of one core and below 60 MiB (proportional set size), and a first start that
//! has taken in all accounts within 30 s.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::Store;

const ACCOUNTS: u32 = 10_000;
const PROCESSES: u32 = 3_000;
const FIRST_UID: u32 = 30_000;
const WATCHED: Duration = Duration::from_secs(30);
/// Young processes are read in full at each sweep; the usual node has old ones.
const SETTLES: Duration = Duration::from_secs(15);
const GOAL_CORE_PERCENT: f64 = 1.0;
const GOAL_MIB: f64 = 60.0;
const GOAL_START: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    if !std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        println!("SKIPPED: needs root, because homes belong to their accounts");
        return;
    }
    let program = tests::rig::release_program();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    make_node(root);
    let _sleepers = Sleepers::new();
    let mut serve = Serve::start(&program, root);
    let first = serve.until_known(root, ACCOUNTS as usize);
    std::thread::sleep(SETTLES);
    let began = Instant::now();
    let before = serve.roles();
    std::thread::sleep(WATCHED);
    let after = serve.roles();
    let passed = began.elapsed().as_secs_f64();

    println!("accounts {ACCOUNTS}, virtual hosts {ACCOUNTS}, processes {PROCESSES}, watched for {passed:.0} s");
    println!("{:8} {:>8} {:>10} {:>10} {:>10}", "role", "CPU %", "RSS MiB", "PSS MiB", "peak MiB");
    let (mut percent, mut rss, mut pss) = (0.0, 0.0, 0.0);
    for one in &after {
        let same = before.iter().find(|b| b.pid == one.pid).unwrap_or_else(|| panic!("{} was started anew", one.name));
        let share = (one.cpu - same.cpu) * 100.0 / passed;
        println!("{:8} {share:8.2} {:10.1} {:10.1} {:10.1}", one.name, one.rss, one.pss, one.peak);
        (percent, rss, pss) = (percent + share, rss + one.rss, pss + one.pss);
    }
    println!("{:8} {percent:8.2} {rss:10.1} {pss:10.1}", "all");
    let met = |met: bool| if met { "met" } else { "NOT met" };
    println!("goal below {GOAL_CORE_PERCENT} % of one core: {}", met(percent < GOAL_CORE_PERCENT));
    println!("goal below {GOAL_MIB} MiB (PSS): {}", met(pss < GOAL_MIB));
    println!(
        "first start, all accounts stored: {:.1} s, goal {} s: {}",
        first.as_secs_f64(),
        GOAL_START.as_secs(),
        met(first < GOAL_START)
    );
}

/// Homes, passwd, one nginx file an account, an empty mail log, our configuration.
fn make_node(root: &Path) {
    let f = root.display();
    std::fs::set_permissions(root, PermissionsExt::from_mode(0o755)).expect("our own folder");
    for name in ["run", "state", "gate", "etc", "hold", "home", "sites", "accounts.d", "logs"] {
        std::fs::create_dir(root.join(name)).expect("a folder");
    }
    std::fs::set_permissions(root.join("gate"), PermissionsExt::from_mode(0o711)).expect("our own folder");
    let mut passwd = String::from("root:x:0:0:root:/root:/bin/sh\n");
    for n in 0..ACCOUNTS {
        let uid = FIRST_UID + n;
        let home = root.join(format!("home/a{n}"));
        for folder in [home.clone(), home.join("public_html")] {
            std::fs::create_dir(&folder).expect("a folder");
            chown(&folder, Some(uid), Some(65_534)).expect("we are root");
        }
        passwd += &format!("a{n}:x:{uid}:65534::{f}/home/a{n}:/bin/sh\n");
        let site = format!(
            "server {{\n  listen 80;\n  listen [::]:80;\n  server_name a{n}.example www.a{n}.example;\n  \
             root {f}/home/a{n}/public_html;\n  index index.php index.html;\n  \
             location ~ \\.php$ {{ fastcgi_pass unix:/run/php/a{n}.sock; }}\n}}\n"
        );
        std::fs::write(root.join(format!("sites/a{n}.conf")), site).expect("a file");
        std::fs::write(root.join(format!("logs/a{n}.example.access.log")), "").expect("a file");
    }
    std::fs::write(root.join("passwd"), passwd).expect("a file");
    std::fs::write(root.join("mail.log"), "").expect("a file");
    std::fs::write(root.join("nginx.conf"), format!("events {{ }}\nhttp {{ include {f}/sites/*.conf; }}\n"))
        .expect("a file");
    let config = format!(
        "[node]\ntenant_uids = \"{FIRST_UID}-{}\"\npasswd = \"{f}/passwd\"\naccounts_dir = \"{f}/accounts.d\"\n\
         [web]\nnginx = \"{f}/nginx.conf\"\napache = []\naccess_logs = [\"{f}/logs\"]\n\
         [login]\nlogs = []\nguarded_logs = []\n[mail]\nlog = \"{f}/mail.log\"\nhold_file = \"{f}/hold/table\"\n\
         [paths]\nstate = \"{f}/state\"\nrun = \"{f}/run\"\ngate = \"{f}/gate\"\netc = \"{f}/etc\"\n",
        FIRST_UID + ACCOUNTS - 1
    );
    std::fs::write(root.join("etc/hikeshi.toml"), config).expect("a file");
}

/// `hikeshi serve`; it and its roles end with this.
struct Serve(Child, Instant);

impl Serve {
    fn start(program: &Path, root: &Path) -> Serve {
        let log = std::fs::File::create(root.join("serve.log")).expect("a log file");
        let mut command = Command::new(program);
        command.arg("--config").arg(root.join("etc/hikeshi.toml")).arg("serve");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Serve(command.spawn().expect("the binary can be started"), Instant::now())
    }

    fn until_known(&mut self, root: &Path, accounts: usize) -> Duration {
        let database = root.join("state/core/hikeshi.db");
        loop {
            let known = Store::open_read_only(&database).and_then(|view| view.accounts()).map_or(0, |all| all.len());
            if known >= accounts {
                return self.1.elapsed();
            }
            if self.1.elapsed() > PATIENCE || self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                let log = std::fs::read_to_string(root.join("serve.log")).unwrap_or_default();
                panic!("{known} of {accounts} accounts after {:?}\n{log}", self.1.elapsed());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// `serve` and its roles as they are now.
    fn roles(&self) -> Vec<Sample> {
        let pid = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("serve runs");
        let children = children.split_whitespace().map(|child| child.parse().expect("a pid"));
        std::iter::once(pid).chain(children).map(Sample::take).collect()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = Command::new("/bin/kill").arg("-TERM").arg(self.0.id().to_string()).status();
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One process: CPU seconds so far, memory in MiB.
struct Sample {
    pid: u32,
    name: String,
    cpu: f64,
    rss: f64,
    pss: f64,
    peak: f64,
}

impl Sample {
    fn take(pid: u32) -> Sample {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the role runs");
        let stat = read("stat");
        let field = |n: usize| -> f64 {
            let after = &stat[stat.rfind(')').expect("a name in brackets") + 2..];
            after.split(' ').nth(n - 3).and_then(|n| n.parse().ok()).expect("a number")
        };
        let (rollup, status) = (read("smaps_rollup"), read("status"));
        let kib = |text: &str, key: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line of the kernel");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
        };
        let name = read("cmdline").trim_end_matches('\0').rsplit('\0').next().unwrap_or_default().to_owned();
        Sample {
            pid,
            name,
            cpu: (field(14) + field(15)) / 100.0,
            rss: kib(&rollup, "Rss:"),
            pss: kib(&rollup, "Pss:"),
            peak: kib(&status, "VmHWM:"),
        }
    }
}

/// Sleeping processes of tenants; they end with us, and by themselves after ten minutes if we are killed.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn new() -> Sleepers {
        let sleeper = |n| {
            let mut command = Command::new("/bin/sleep");
            command.arg("600").current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.uid(FIRST_UID + n % 1000).gid(65_534).spawn().expect("a process")
        };
        Sleepers((0..PROCESSES).map(sleeper).collect())
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
