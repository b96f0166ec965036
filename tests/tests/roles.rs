//! Each role has what the table of rights says and nothing else: `serve` runs as root in a scratch folder with scratch
//! uids, and the kernel's word on the running processes is held against the table; then each role tries what it must
//! never do, once with its rights and once with root's.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sys::socket::Connection;
use tests::rig::program;

const ROLES: [&str; 4] = ["act", "sense", "desk", "core"];
/// Uids of sense, core and desk, of a tenant, and of somebody else.
const OWN: [u32; 3] = [20300, 20301, 20302];
const TENANT: u32 = 20305;
const STRANGER: u32 = 20309;

/// A node of one tenant in a folder.
struct Node {
    folder: tempfile::TempDir,
    serve: Option<Child>,
}

impl Node {
    /// `None`, and it is said why, without root.
    fn begin(name: &str) -> Option<Node> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        if !root {
            eprintln!("SKIPPED: {name} needs root");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hikeshi-roles-").tempdir().unwrap();
        let node = Node { folder, serve: None };
        std::fs::set_permissions(node.folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        for below in ["etc/accounts.d", "state", "run", "home/t"] {
            std::fs::create_dir_all(node.path(below)).unwrap();
        }
        let [sense, core, desk] = OWN;
        let line = |name: &str, uid: u32| format!("{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n");
        let home = node.path("home/t");
        let users = line("hikeshi-sense", sense) + &line("hikeshi-core", core) + &line("hikeshi-desk", desk);
        let tenant = format!("t:x:{TENANT}:{TENANT}::{}:/bin/bash\n", home.display());
        std::fs::write(node.path("etc/passwd"), users + &tenant).unwrap();
        std::fs::write(node.target(), "the tenant's\n").unwrap();
        std::fs::set_permissions(node.target(), PermissionsExt::from_mode(0o600)).unwrap();
        [home, node.target()].iter().for_each(|path| chown(path, Some(TENANT), Some(TENANT)).unwrap());
        std::fs::write(node.path("mail.log"), "").unwrap();
        let p = node.folder.path().display();
        let config = format!(
            "[node]\ntenant_uids = \"{TENANT}-{TENANT}\"\npasswd = \"{p}/etc/passwd\"\naccounts_dir = \"{p}/etc/accounts.d\"\n\
             [web]\napache = []\naccess_logs = []\n[mail]\nlog = \"{p}/mail.log\"\nhold_file = \"{p}/etc/postfix-hold\"\n\
             [login]\nlogs = []\nguarded_logs = []\n[notice]\nsmtp = \"127.0.0.1:21300\"\nfrom = \"support@host.example\"\n\
             [paths]\nstate = \"{p}/state\"\nrun = \"{p}/run\"\ngate = \"{p}/state/gate\"\netc = \"{p}/etc\"\nquarantine = [\"{p}/state/quarantine\"]\n"
        );
        std::fs::write(node.path("etc/hikeshi.toml"), config).unwrap();
        Some(node)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn target(&self) -> PathBuf {
        self.path("home/t/secret")
    }

    /// The program where others can start it.
    fn copy(&self) -> PathBuf {
        let copy = self.path("hikeshi");
        std::fs::copy(program(), &copy).unwrap();
        copy
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--config").arg(self.path("etc/hikeshi.toml")).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Starts `serve` and waits until the core reaches all roles.
    fn serve(&mut self) {
        let log = std::fs::File::create(self.path("serve.log")).unwrap();
        self.serve = Some(self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let began = Instant::now();
        loop {
            let status = self.json(&["status"]);
            let up = status["roles"].as_array().unwrap().iter().filter(|role| role[1] == true).count();
            if up == ROLES.len() && status["accounts"] == 1 {
                return;
            }
            let log = std::fs::read_to_string(self.path("serve.log")).unwrap();
            assert!(began.elapsed() < Duration::from_secs(30), "the roles do not come up: {status}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The roles' process ids by name, and the parent's as `serve`.
    fn pids(&self) -> BTreeMap<String, u32> {
        let serve = self.serve.as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{serve}/task/{serve}/children")).unwrap();
        let name = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            String::from_utf8(line).unwrap().trim_end_matches('\0').rsplit('\0').next().unwrap().to_owned()
        };
        let mut pids: BTreeMap<String, u32> =
            children.split_whitespace().map(|pid| pid.parse().unwrap()).map(|pid| (name(&pid), pid)).collect();
        pids.insert("serve".into(), serve);
        pids
    }

    fn rights(&self, role: &str) -> Value {
        self.json(&["role", role, "--check", "rights"])
    }

    /// What the role tries and whether it was let, in order.
    fn attempts(&self, role: &str, check: &str) -> Vec<(String, bool)> {
        let target = self.target();
        let output = self.run(&["role", role, "--check", check, "--target", target.to_str().unwrap()]);
        outcomes(&output)
    }
}

/// Lines `denied …`, `ALLOWED …` and `absent …` (this kernel cannot do it at all: only root gets so far as to hear
/// that); any other line is a restriction that is missing.
fn outcomes(output: &Output) -> Vec<(String, bool)> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.is_empty(), "nothing was tried: {errors}");
    let line = |line: &str| match line.split_once(' ') {
        Some(("denied", what)) => (what.to_owned(), false),
        Some(("ALLOWED" | "absent", what)) => (what.to_owned(), true),
        _ => panic!("{line}\n{errors}"),
    };
    text.lines().map(line).collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(mut serve) = self.serve.take() else { return };
        let _ = Command::new("kill").args(["-TERM", &serve.id().to_string()]).status();
        let _ = serve.wait();
    }
}

/// `/proc/PID/status` (or of a thread) as keys and values.
fn status(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.into(), v.trim().into())).collect()
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

#[test]
fn running_roles_have_the_rights_that_the_table_says_and_no_others() {
    let Some(mut node) = Node::begin("the table of rights") else { return };
    node.serve();
    let shown = node.json(&["status"]);
    assert_eq!(shown["unprotected"], serde_json::json!([]), "a restriction is missing");
    let pids = node.pids();
    assert_eq!(pids.len(), 5, "{pids:?}");
    for (role, pid) in &pids {
        let (uid, effective, bounding) = if role == "serve" {
            // Kill; what act and sense keep, and SETPCAP with which they drop the rest.
            let act = node.rights("act")["bounding"].as_u64().unwrap();
            let sense = node.rights("sense")["capabilities"].as_u64().unwrap();
            (0, 1 << 5, act | sense | 1 << 8)
        } else {
            let rights = node.rights(role);
            let number = |key: &str| rights[key].as_u64().unwrap();
            (rights["user"][0].as_u64().unwrap_or(0), number("capabilities"), number("bounding"))
        };
        let expected = ["sense", "core", "desk"].iter().position(|r| r == role).map_or(0, |i| OWN[i]);
        assert_eq!(uid, u64::from(expected), "{role}");
        let mut threads = 0;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            threads += 1;
            let has = status(&thread.unwrap().path().join("status"));
            assert_eq!(has["Uid"].split_whitespace().collect::<BTreeSet<_>>(), [&*uid.to_string()].into(), "{role}");
            assert_eq!(has["Gid"].split_whitespace().collect::<BTreeSet<_>>(), [&*uid.to_string()].into(), "{role}");
            assert_eq!((hex(&has["CapEff"]), hex(&has["CapPrm"])), (effective, effective | bounding), "{role}");
            assert_eq!(hex(&has["CapBnd"]), bounding, "{role}");
            assert_eq!((hex(&has["CapInh"]), hex(&has["CapAmb"])), (0, 0), "{role}");
            // Its own filters and those of its parent.
            let filters = if role == "serve" { "2" } else { "4" };
            assert_eq!(
                (&*has["NoNewPrivs"], &*has["Seccomp"], &*has["Seccomp_filters"]),
                ("1", "2", filters),
                "{role}"
            );
            if uid != 0 {
                assert_eq!(has["Groups"], "", "{role}");
            }
        }
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(limit("Max core file size"), ["0", "0"], "{role}");
        if uid != 0 {
            assert_eq!(limit("Max processes"), ["64", "64"], "{role}");
            assert!(threads < 32, "{role} has {threads} threads");
        }
    }
}

#[test]
fn running_roles_hold_no_descriptor_that_the_table_does_not_know() {
    let Some(mut node) = Node::begin("the descriptors of roles") else { return };
    node.serve();
    let unix = std::fs::read_to_string("/proc/net/unix").unwrap();
    let local: BTreeMap<&str, &str> = unix
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|fields| (fields[6], fields.get(7).copied().unwrap_or_default()))
        .collect();
    // Fields 2 (protocol, 11 is NETLINK_CONNECTOR) and 10 (inode) of each line.
    let netlink = std::fs::read_to_string("/proc/net/netlink").unwrap();
    let connectors: BTreeSet<&str> = netlink
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1] == "11")
        .map(|fields| fields[9])
        .collect();
    for (role, pid) in node.pids() {
        let mut listens = BTreeSet::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let Ok(to) = std::fs::read_link(entry.unwrap().path()) else { continue };
            let text = to.to_string_lossy().into_owned();
            let below = to.strip_prefix(node.folder.path()).ok().map(|p| p.to_string_lossy().into_owned());
            if let Some(inode) = text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
                if role == "sense" && connectors.contains(inode) {
                    continue; // it hears the starts of programs
                }
                let path =
                    local.get(inode).unwrap_or_else(|| panic!("{role} holds a socket that is not local: {text}"));
                listens.extend(path.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned));
                continue;
            }
            let known = match (&*role, below.as_deref()) {
                (_, Some("serve.log")) => true,
                ("core", Some(file)) => file.starts_with("state/core/"),
                ("act", Some(file)) => {
                    ["etc", "state/act", "state/gate", "state/quarantine"].iter().any(|own| file.starts_with(own))
                }
                ("sense", Some(file)) => file == "mail.log",
                ("act", None) if text.starts_with("/sys/fs/cgroup") => true,
                ("sense", None) if text.starts_with("/proc") => true,
                (_, None) => text == "/dev/null" || text.starts_with("anon_inode:") || text.starts_with("pipe:"),
                _ => false,
            };
            assert!(known, "{role} holds {text}");
        }
        // A connection that was accepted has its listener's name.
        let own: BTreeSet<String> = match &*role {
            "serve" => BTreeSet::new(),
            role => [format!("{role}.sock.new")].into(),
        };
        assert_eq!(listens, own, "{role}");
    }
}

#[test]
fn a_role_is_refused_whatever_it_must_never_do_and_root_without_the_rules_is_not() {
    let Some(mut node) = Node::begin("what roles must never do") else { return };
    node.serve();
    let (mut denied, mut tried) = (0, 0);
    for role in ROLES {
        let inside = node.attempts(role, "inside");
        let outside = node.attempts(role, "outside");
        let passed: Vec<&String> = inside.iter().filter(|(_, passed)| *passed).map(|(what, _)| what).collect();
        assert_eq!(passed, Vec::<&String>::new(), "{role} was let");
        let names = |list: &[(String, bool)]| list.iter().map(|(what, _)| what.clone()).collect::<Vec<_>>();
        assert_eq!(names(&inside), names(&outside), "{role}");
        let no_power: Vec<&String> = outside.iter().filter(|(_, passed)| !passed).map(|(what, _)| what).collect();
        assert_eq!(no_power, Vec::<&String>::new(), "{role}: even root was refused, so this shows nothing");
        tried += inside.len();
        denied += inside.len() - passed.len();
    }
    eprintln!("{denied} of {tried} attempts of 4 roles denied; root without the rules was let in all of them");
}

#[test]
fn without_root_the_same_is_refused() {
    let Some(node) = Node::begin("roles without root (it takes another uid)") else { return };
    let copy = node.copy();
    for path in ["run", "state", "state/core", "state/act"] {
        std::fs::create_dir_all(node.path(path)).unwrap();
        chown(node.path(path), Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let own = node.path("state/core/hikeshi.db");
    let target = node.path("home/other");
    for path in [&own, &target] {
        std::fs::write(path, "").unwrap();
        chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
    }
    for role in ["sense", "desk", "core"] {
        let try_it = |check: &str| {
            let mut command = Command::new(&copy);
            command.arg("--config").arg(node.path("etc/hikeshi.toml")).args(["role", role, "--check", check]);
            let output = command.arg("--target").arg(&target).uid(STRANGER).gid(STRANGER).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (missing, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with("missing "));
            let uids = missing.iter().filter(|l| l.contains("without root all roles run under uid 20309")).count();
            assert_eq!((missing.len(), uids), if check == "inside" { (1, 1) } else { (0, 0) }, "{missing:?}");
            let kept = Output { stdout: rest.join("\n").into_bytes(), ..output };
            outcomes(&kept)
        };
        let (inside, outside) = (try_it("inside"), try_it("outside"));
        let passed: Vec<&String> = inside.iter().filter(|(_, passed)| *passed).map(|(what, _)| what).collect();
        assert_eq!(passed, Vec::<&String>::new(), "{role} was let");
        // Whoever runs it may do this to his own files and processes; the rest is root's anyway.
        let power = outside.iter().filter(|(_, passed)| *passed).count();
        assert!(power >= 8, "{role}: only {power} of {} can be done without the rules", outside.len());
    }
}

#[test]
fn only_the_core_and_root_are_heard() {
    let Some(mut node) = Node::begin("who is heard") else { return };
    for role in ["act", "sense", "desk"] {
        // Alone, so that nobody else keeps it busy.
        let mut alone = node.command(&["role", role]).stderr(Stdio::null()).spawn().unwrap();
        let path = node.path(&format!("run/{role}.sock"));
        let began = Instant::now();
        let root = loop {
            if let Ok(root) = Connection::connect(&path) {
                break root;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "{role} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        };
        // Root may connect to anything, and is not the core: it is turned away before a byte is read.
        root.set_recv_timeout(Some(Duration::from_secs(10))).unwrap();
        let refused = root.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::UnexpectedEof, "{role}");
        alone.kill().unwrap();
        alone.wait().unwrap();
    }
    node.serve();
    for (role, uid) in [("act", 0), ("sense", OWN[0]), ("desk", OWN[2])] {
        let path = node.path(&format!("run/{role}.sock"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660, "{role}");
        assert_eq!(Connection::connect(&path).unwrap().peer().unwrap().uid, uid, "the core sees who listens");
    }
    let mode = std::fs::metadata(node.path("run/core.sock")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for uid in [STRANGER, OWN[2]] {
        // The configuration is readable; the core is not reachable.
        let mut command = Command::new(node.copy());
        command.arg("--config").arg(node.path("etc/hikeshi.toml")).args(["status", "--format", "json"]);
        let output = command.uid(uid).gid(uid).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\"running\": false"), "{uid}: {text}");
    }
    let listed = node.run(&["incident", "list"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}

#[test]
fn roles_without_their_users_run_and_say_what_is_missing() {
    let Some(mut node) = Node::begin("roles without users") else { return };
    let users = std::fs::read_to_string(node.path("etc/passwd")).unwrap();
    let without: String = users.lines().filter(|l| !l.starts_with("hikeshi-")).map(|l| format!("{l}\n")).collect();
    std::fs::write(node.path("etc/passwd"), &without).unwrap();
    node.serve();
    let missing = node.json(&["status"])["unprotected"].clone();
    let lines: Vec<&str> = missing.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("no user hikeshi-sense") && lines[0].contains("hikeshi setup"), "{lines:?}");
    let core = status(Path::new(&format!("/proc/{}/status", node.pids()["core"])));
    assert_eq!((hex(&core["CapEff"]), &*core["Seccomp"]), (0, "2"), "uid 0 has no capability either");

    // The users come, and what the core has stored is theirs; they go, and it is root's again.
    for (passwd, owner) in [(&users, OWN[1]), (&without, 0)] {
        drop(Node { folder: tempfile::tempdir().unwrap(), serve: node.serve.take() });
        // Root reads the store while nobody writes it: what SQLite makes for that is the core's too.
        assert!(node.run(&["incident", "list"]).status.success());
        std::fs::write(node.path("etc/passwd"), passwd).unwrap();
        node.serve();
        assert!(node.run(&["incident", "list"]).status.success());
        let files = std::fs::read_dir(node.path("state/core")).unwrap().map(|entry| entry.unwrap().path());
        for path in files.chain([node.path("state/core")]) {
            let meta = std::fs::metadata(&path).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), owner, "{}", path.display());
        }
    }
}

#[test]
fn setup_makes_the_users_of_the_roles_once_and_takes_away_what_it_made() {
    let Some(node) = Node::begin("users made by setup") else { return };
    // A mount name space with a copy of /etc: useradd(8) runs for real and this machine keeps its users.
    let (etc, config) = (node.path("copy"), node.path("own.toml"));
    let copied = Command::new("cp").arg("-a").arg("/etc").arg(&etc).status().unwrap();
    assert!(copied.success());
    let text = std::fs::read_to_string(node.path("etc/hikeshi.toml")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("passwd"));
    let lines = lines.map(|line| match line {
        "[web]" => format!("[web]\nnginx = \"{}\"\n", node.path("nginx.conf").display()),
        "[mail]" => format!("[mail]\npostfix_config_dir = \"{}\"\n", node.path("no-postfix").display()),
        other => format!("{other}\n"),
    });
    std::fs::write(&config, lines.collect::<String>()).unwrap();
    std::fs::write(node.path("nginx.conf"), "events {}\nhttp {}\n").unwrap();
    let set_up = |arguments: &[&str]| {
        let script = "mount --bind \"$1\" /etc && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&etc);
        command.arg(program()).arg("--config").arg(&config).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let users = || {
        let table = std::fs::read_to_string(etc.join("passwd")).unwrap();
        table.lines().filter(|line| line.starts_with("hikeshi-")).map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["passwd", "shadow", "group", "gshadow"] {
        let table = std::fs::read_to_string(etc.join(name)).unwrap();
        let others = table.lines().filter(|line| !line.starts_with("hikeshi-"));
        std::fs::write(etc.join(name), others.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    // One that was there before, as a package makes it, stays.
    let kept = "hikeshi-desk:x:998877:998877::/nonexistent:/usr/sbin/nologin";
    let others = std::fs::read_to_string(etc.join("passwd")).unwrap();
    std::fs::write(etc.join("passwd"), format!("{others}{kept}\n")).unwrap();
    assert!(set_up(&["setup", "--dry-run"]).contains("make the system user hikeshi-core"));
    assert_eq!(users().len(), 1, "a dry run makes nothing");
    set_up(&["setup", "--yes"]);
    let made = users();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made.iter().all(|line| line.ends_with(":/nonexistent:/usr/sbin/nologin")), "{made:?}");
    assert!(set_up(&["setup", "--yes"]).contains("Nothing to do"));
    set_up(&["setup", "--remove", "--yes"]);
    assert_eq!(users(), [kept]);
}
