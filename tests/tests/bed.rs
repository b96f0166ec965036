//! The whole loop on real servers: nginx, Apache, PHP-FPM, Postfix, MariaDB and WordPress with three tenants.
//!
//! One tenant is hijacked: a planted program runs, a page of his sends 300 mails abroad. What must be stopped is
//! stopped, everybody else is served all the time, and at the end everything is as it was. Needs root and Debian's
//! packages (`tests/bed/up.sh install`); without them it says SKIPPED, and with HIKESHI_BED=required it fails.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use desk::sink::{Mail, Sink};
use serde_json::Value;
use tests::rig::program;

const TENANTS: [&str; 3] = ["bd1", "bd2", "bd3"];
const UID0: u32 = 20501;
const PORTS: u16 = 17800;
/// Uids of sense, core and desk.
const ROLES: [u32; 3] = [20511, 20512, 20513];
/// The one that is hijacked, and his guilty site.
const HIJACKED: &str = "bd2";
const GUILTY: &str = "site.bd2.test";

struct Bed {
    folder: tempfile::TempDir,
    sink: Sink,
    serve: Option<Child>,
    planted: Option<Child>,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

#[test]
fn a_hijacked_account_is_contained_explained_repaired_and_released_and_nobody_else_notices() {
    let Some(mut bed) = Bed::start() else { return };
    let before = bed.configuration();
    bed.set_up();
    bed.reset_times();
    let trees: Vec<_> = TENANTS.iter().map(|t| tree(&bed.www(t))).collect();
    bed.watch_visitors();
    bed.hijack();
    bed.inspect_names_the_guilty_account_alone();
    bed.serve();
    let number = bed.contained();
    bed.notice_arrived(&number);
    bed.dies_and_comes_back(&number);
    bed.repair();
    bed.released(&number);
    bed.take_out(&before);
    for (tenant, was) in TENANTS.iter().zip(trees) {
        assert_eq!(was, tree(&bed.www(tenant)), "the tree of {tenant} changed");
    }
    bed.stop.store(true, Ordering::Relaxed);
    let (good, lost) = (bed.good.load(Ordering::Relaxed), bed.lost.load(Ordering::Relaxed));
    assert_eq!(lost, 0, "{lost} requests of other visitors were lost, {good} were answered");
    eprintln!("{good} requests of other visitors answered, none lost");
}

impl Bed {
    /// Everything running, or `None` where it cannot be.
    fn start() -> Option<Bed> {
        let required = std::env::var("HIKESHI_BED").is_ok_and(|v| v == "required");
        let programs = ["nginx", "apache2", "postfix", "php-fpm8.2", "mariadbd"];
        let missing: Vec<&str> = programs.into_iter().filter(|p| !Path::new("/usr/sbin").join(p).exists()).collect();
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        if !root || !missing.is_empty() {
            assert!(!required, "the test bed is required; root: {root}, missing: {missing:?}");
            eprintln!("SKIPPED: the end-to-end test needs root and {missing:?}; tests/bed/up.sh install installs them");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("hikeshi-bed-").tempdir().unwrap();
        let bed = Bed {
            folder,
            sink: Sink::open().unwrap(),
            serve: None,
            planted: None,
            stop: Arc::default(),
            good: Arc::default(),
            lost: Arc::default(),
        };
        bed.up("up");
        std::fs::write(bed.www(HIJACKED).join("blog/index.html"), "another site of the same tenant\n").unwrap();
        for name in ["hk/etc/accounts.d", "hk/state", "hk/run"] {
            std::fs::create_dir_all(bed.path(name)).unwrap();
        }
        // The roles' users are in a table of the bed's own, so that `setup` makes none on this machine.
        let mut passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        for (name, uid) in ["hikeshi-sense", "hikeshi-core", "hikeshi-desk"].iter().zip(ROLES) {
            passwd += &format!("{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n");
        }
        std::fs::write(bed.path("hk/etc/passwd"), passwd).unwrap();
        std::fs::write(bed.path("hk/etc/hikeshi.toml"), bed.hikeshi_toml()).unwrap();
        std::fs::write(bed.path("hk/etc/accounts.d/bed.toml"), bed.accounts_toml()).unwrap();
        Some(bed)
    }

    fn up(&self, verb: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bed/up.sh");
        let mut command = Command::new("bash");
        command.arg(script).arg(verb).arg(self.folder.path());
        command
            .env("HK_TENANTS", TENANTS.join(" "))
            .env("HK_UID0", UID0.to_string())
            .env("HK_PORT_BASE", PORTS.to_string());
        // The daemons keep what they are handed: a pipe would keep us waiting for them.
        let log = std::fs::File::create(std::env::temp_dir().join("hikeshi-bed.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        assert!(
            command.status().unwrap().success(),
            "up.sh {verb} failed; see hikeshi-bed.log in the temporary folder"
        );
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn www(&self, tenant: &str) -> PathBuf {
        self.path(&format!("home/{tenant}/www"))
    }

    fn hikeshi_toml(&self) -> String {
        let p = self.folder.path().display();
        // A name, so that the desk looks it up with its few rights.
        let smtp = format!("localhost:{}", self.sink.address().port());
        format!(
            "mode = \"enforce\"\n\
             [node]\ntenant_uids = \"{UID0}-{}\"\npasswd = \"{p}/hk/etc/passwd\"\naccounts_dir = \"{p}/hk/etc/accounts.d\"\n\
             [web]\nnginx = \"{p}/etc/nginx.conf\"\napache = [\"{p}/etc/apache.conf\"]\n\
             access_logs = [\"{p}/log/nginx-access.log\", \"{p}/log/apache-access.log\"]\n\
             [login]\nlogs = []\nguarded_logs = []\n\
             [mail]\npostfix_config_dir = \"{p}/etc/postfix\"\nlog = \"{p}/log/mail.log\"\nlog_is_guarded = true\n\
             hold_file = \"{p}/hk/etc/postfix-hold\"\n\
             [notice]\nsmtp = \"{smtp}\"\nfrom = \"support@host.example\"\nhost_name = \"例ホスティング\"\n\
             operator_mail = \"ops@host.example\"\n\
             [release]\nstage_minutes = 1\n\
             [paths]\nstate = \"{p}/hk/state\"\nrun = \"{p}/hk/run\"\ngate = \"{p}/hk/gate\"\netc = \"{p}/hk/etc\"\nquarantine = [\"{p}/hk/state/quarantine\"]\n",
            UID0 + 2
        )
    }

    fn accounts_toml(&self) -> String {
        let one = |(i, name): (usize, &&str)| {
            format!(
                "[[account]]\nname = \"{name}\"\nuid = {}\nhome = \"{}/home/{name}\"\ntime_zone = \"Asia/Tokyo\"\n\
                 contacts = [{{ address = \"owner@{name}-contact.example\", role = \"owner\", language = \"ja\", name = \"山田花子\" }}]\n\n",
                UID0 + i as u32,
                self.folder.path().display()
            )
        };
        TENANTS.iter().enumerate().map(one).collect()
    }

    fn hikeshi(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.arg("--config").arg(self.path("hk/etc/hikeshi.toml")).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.hikeshi(&[arguments, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!(
                "{arguments:?}: {e}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// The files that `setup` edits: bytes, mode, owner, time.
    fn configuration(&self) -> Vec<(PathBuf, Vec<u8>, u32, u32, i64)> {
        let files = ["etc/nginx-vhosts.conf", "etc/apache-vhosts.conf", "etc/postfix/main.cf"];
        let look = |name: &&str| {
            let path = self.path(name);
            let meta = std::fs::metadata(&path).unwrap();
            (path.clone(), std::fs::read(&path).unwrap(), meta.mode(), meta.uid(), meta.mtime())
        };
        files.iter().map(look).collect()
    }

    fn set_up(&self) {
        let shown = self.hikeshi(&["setup", "--dry-run"]);
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            text.contains("nginx-gate.conf") && text.contains("apache-gate.conf") && text.contains("header_checks"),
            "{text}"
        );
        let done = self.hikeshi(&["setup", "--yes"]);
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        let again = self.hikeshi(&["setup", "--yes"]);
        assert!(
            String::from_utf8_lossy(&again.stdout).contains("Nothing to do"),
            "{}",
            String::from_utf8_lossy(&again.stdout)
        );
        for tenant in TENANTS {
            for port in [nginx(), apache()] {
                let site = format!("site.{tenant}.test");
                wait(&format!("{site} at {port}"), || get(port, &site, "/").0 == 200);
            }
        }
        let (status, body) = get(nginx(), &wordpress(), "/");
        assert!(status == 200 && body.contains("Test blog"), "{status} {body:.300}");
    }

    /// Other people's visitors, ten requests a second, all the time.
    fn watch_visitors(&self) {
        let (stop, good, lost) = (self.stop.clone(), self.good.clone(), self.lost.clone());
        std::thread::spawn(move || {
            let targets = [
                (nginx(), wordpress()),
                (nginx(), "site.bd1.test".to_owned()),
                (apache(), "site.bd1.test".to_owned()),
                (nginx(), "site.bd3.test".to_owned()),
                (apache(), "site.bd3.test".to_owned()),
            ];
            let began = Instant::now();
            for n in 0u32.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (port, host) = &targets[n as usize % targets.len()];
                let (status, _) = get(*port, host, "/");
                if status == 200 {
                    good.fetch_add(1, Ordering::Relaxed);
                } else {
                    eprintln!("a visitor of {host} at {port} got {status}");
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                let due = began + Duration::from_millis(100) * n;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
    }

    /// A planted program under a kernel thread's name; a page that mails abroad; a neighbour's ordinary form mail.
    fn hijack(&mut self) {
        let folder = self.www(HIJACKED).join("site/wp-content/uploads/.x");
        std::fs::create_dir_all(&folder).unwrap();
        let planted = folder.join("kw");
        std::fs::copy("/bin/sleep", &planted).unwrap();
        self.php(HIJACKED, "spam.php", "for ($i = (int)$_GET['from']; $i < (int)$_GET['to']; $i++)\n  mail(\"u$i@mx\" . ($i % 7) . '.example.' . ['ru','br','vn','pl','jp'][$i % 5], 'offer', \"x\\n\", \"From: web$i@site.bd2.test\"); echo 'ok';");
        self.php(
            "bd3",
            "form.php",
            "mail('owner@bd3-shop.example.jp', 'contact', \"hello\\n\", 'From: form@site.bd3.test'); echo 'ok';",
        );
        let mut command = Command::new(&planted);
        let uid = UID0 + 1;
        command.arg0("[kworker/u8:9]").arg("86400").uid(uid).gid(uid).process_group(0).current_dir("/");
        self.planted = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        for _ in 0..20 {
            assert_eq!(get(nginx(), "site.bd3.test", "/form.php").0, 200);
        }
        for from in (0..300).step_by(30) {
            assert_eq!(get(nginx(), GUILTY, &format!("/spam.php?from={from}&to={}", from + 30)).0, 200);
        }
    }

    fn php(&self, tenant: &str, name: &str, code: &str) {
        let file = self.www(tenant).join("site").join(name);
        std::fs::write(&file, format!("<?php {code}\n")).unwrap();
        let uid = UID0 + TENANTS.iter().position(|t| *t == tenant).unwrap() as u32;
        chown(&file, Some(uid), Some(uid)).unwrap();
    }

    fn inspect_names_the_guilty_account_alone(&self) {
        let answer = self.json(&["inspect"]);
        let named: Vec<(&str, &str)> = answer["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["verdict"] != "benign")
            .map(|a| (a["account"].as_str().unwrap(), a["verdict"].as_str().unwrap()))
            .collect();
        assert_eq!(named, [(HIJACKED, "malicious")], "{answer:#}");
        let text = answer.to_string();
        assert!(text.contains("faked_name") && text.contains("mass_mail"), "{answer:#}");
        assert!(!text.contains("u17@") && !text.contains("owner@bd3-shop"), "an address came out: {text}");
    }

    fn serve(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("hk/serve.log")).unwrap();
        let mut command = Command::new(program());
        command.arg("--config").arg(self.path("hk/etc/hikeshi.toml")).arg("serve").stdin(Stdio::null());
        self.serve = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.wait("all roles", || {
            let status = self.json(&["status"]);
            let up = |r: &Value| r[1] == true;
            status["roles"].as_array().is_some_and(|r| r.len() == 4 && r.iter().all(up)) && status["accounts"] == 3
        });
        assert_eq!(self.json(&["status"])["unprotected"], serde_json::json!([]), "the roles have rights to spare");
    }

    /// The one incident, once everything it called for holds.
    fn contained(&self) -> String {
        self.wait("the incident to be contained and told", || {
            let list = self.json(&["incident", "list"]);
            let first = &list[0];
            first["account"] == HIJACKED
                && first["state"] == "awaiting owner"
                && ["freeze-process", "hold-mail", "close-site site.bd2.test"]
                    .iter()
                    .all(|m| first["restricted"].as_str().unwrap_or("").contains(m))
        });
        let list = self.json(&["incident", "list", "--all"]);
        assert_eq!(list.as_array().unwrap().len(), 1, "{list:#}");
        let number = list[0]["incident"].as_str().unwrap().to_owned();
        self.holds(&number);
        // More mail of that account is held; the neighbour's flows.
        let held = self.held();
        self.php("bd2", "late.php", "mail('late@example.ru', 'x', 'y'); echo 'ok';");
        self.tenant_php("late.php");
        self.wait("mail to be held", || self.held() > held);
        assert_eq!(get(nginx(), "site.bd3.test", "/form.php").0, 200);
        self.wait("the neighbour's mail to leave", || self.sent_of("bd3-shop.example.jp") >= 21);
        number
    }

    /// Closed on both servers with the number; everything else of the tenant open; the program stands still.
    fn holds(&self, number: &str) {
        for port in [nginx(), apache()] {
            let (status, body) = get(port, GUILTY, "/index.php");
            assert!(status == 403 && body.contains(number), "{port}: {status} {body:.200}");
            assert_eq!(get(port, "blog.bd2.test", "/").0, 200, "the tenant's other site is not ours to close");
        }
        let at = format!("127.0.0.1:{}", nginx());
        let why = self.hikeshi(&["why", GUILTY, "--at", &at]);
        assert_eq!(why.status.code(), Some(10));
        assert!(String::from_utf8_lossy(&why.stdout).contains(number));
        assert_eq!(self.hikeshi(&["why", "site.bd1.test", "--at", &at]).status.code(), Some(0));
        let pid = self.planted.as_ref().unwrap().id();
        assert!(stands_still(pid), "{}", std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default());
    }

    /// Runs a page of the hijacked tenant as PHP does, past the closed web server.
    fn tenant_php(&self, name: &str) {
        let uid = (UID0 + 1).to_string();
        let sendmail =
            format!("sendmail_path=/usr/sbin/sendmail -C {}/etc/postfix -t -i", self.folder.path().display());
        let file = self.www(HIJACKED).join("site").join(name);
        let status = Command::new("setpriv")
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "php", "-d", &sendmail])
            .arg(file)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn held(&self) -> usize {
        let output = Command::new("postqueue").arg("-c").arg(self.path("etc/postfix")).arg("-j").output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().filter(|l| l.contains("\"queue_name\": \"hold\"")).count()
    }

    fn sent_of(&self, domain: &str) -> usize {
        let log = std::fs::read_to_string(self.path("log/mail.log")).unwrap();
        log.lines().filter(|l| l.contains(domain) && l.contains("status=sent")).count()
    }

    fn letters(&self) -> Vec<Mail> {
        let owner = |m: &Mail| m.to.iter().any(|t| t.contains("owner@bd2-contact.example"));
        self.sink.mails().into_iter().filter(owner).collect()
    }

    fn notice_arrived(&self, number: &str) {
        let letters = self.letters();
        let first = letters.first().expect("a notice");
        let subject = first.header("subject").unwrap();
        assert!(subject.ends_with(number) && subject.contains("止めています"), "{subject}");
        assert_eq!(first.header("auto-submitted").as_deref(), Some("auto-generated"));
        assert!(first.header("message-id").is_some_and(|id| id.contains(number)));
        assert!(first.header("content-type").is_some_and(
            |t| t.to_lowercase().contains("charset=\"utf-8\"") || t.to_lowercase().contains("charset=utf-8")
        ));
        assert!(first.raw.split(|b| *b == b'\n').all(|line| line.len() <= 998));
        let text = first.text();
        for part in ["■止めているもの", "■使えるもの", "■最初にすること", "wp-content/uploads/.x/kw", GUILTY, number]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let others = self
            .sink
            .mails()
            .into_iter()
            .filter(|m| m.to.iter().any(|t| t.contains("bd1") || t.contains("bd3")))
            .count();
        assert_eq!(others, 0, "somebody else got a letter");
    }

    /// Killed hard, all of it: what is restricted stays; started again it is the same incident and no second notice.
    fn dies_and_comes_back(&mut self, number: &str) {
        let letters = self.letters().len();
        let mut serve = self.serve.take().unwrap();
        for pid in children(serve.id()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        serve.kill().unwrap();
        serve.wait().unwrap();
        self.holds(number);
        self.serve();
        self.holds(number);
        let list = self.json(&["incident", "list", "--all"]);
        assert_eq!(list.as_array().unwrap().len(), 1, "{list:#}");
        assert_eq!(self.letters().len(), letters);
    }

    /// The folders in which intruder and owner work get the time of a file in them; all other changes are ours.
    fn reset_times(&self) {
        for tenant in ["bd2", "bd3"] {
            let folder = self.www(tenant).join("site");
            let time = std::fs::metadata(folder.join("index.php")).unwrap().modified().unwrap();
            let times = std::fs::FileTimes::new().set_modified(time);
            std::fs::File::open(&folder).unwrap().set_times(times).unwrap();
        }
    }

    /// The owner removes what was planted and says so.
    fn repair(&mut self) {
        let site = self.www(HIJACKED).join("site");
        std::fs::remove_dir_all(site.join("wp-content")).unwrap();
        for name in ["spam.php", "late.php"] {
            std::fs::remove_file(site.join(name)).unwrap();
        }
        std::fs::remove_file(self.www("bd3").join("site/form.php")).unwrap();
        self.reset_times();
        let done = self.hikeshi(&["incident", "reply", HIJACKED, "done"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn released(&mut self, number: &str) {
        self.wait_long("the release", || self.json(&["incident", "list"]).as_array().is_some_and(Vec::is_empty));
        for port in [nginx(), apache()] {
            assert_eq!(get(port, GUILTY, "/").0, 200);
        }
        let mut planted = self.planted.take().unwrap();
        assert!(!planted.wait().unwrap().success(), "the planted program was ended");
        self.php(HIJACKED, "after.php", "mail('after@example.jp', 'x', 'y'); echo 'ok';");
        self.tenant_php("after.php");
        std::fs::remove_file(self.www(HIJACKED).join("site/after.php")).unwrap();
        self.reset_times();
        self.wait("mail to flow again", || self.sent_of("after@example.jp") == 1);
        self.wait("the letter of release", || {
            self.letters().last().unwrap().header("subject").unwrap().contains("解除しました")
        });
        let letter = self.letters().pop().unwrap();
        let text = letter.text();
        assert!(letter.header("subject").unwrap().ends_with(number));
        assert!(text.contains("済") && text.contains("安全の保証では"), "{text}");
    }

    /// Everything out again; the servers' files as they were to the last byte.
    fn take_out(&mut self, before: &[(PathBuf, Vec<u8>, u32, u32, i64)]) {
        let removed = self.hikeshi(&["setup", "--remove", "--yes"]);
        assert!(
            removed.status.success(),
            "{}{}",
            String::from_utf8_lossy(&removed.stdout),
            String::from_utf8_lossy(&removed.stderr)
        );
        for (was, is) in before.iter().zip(self.configuration()) {
            assert_eq!(String::from_utf8_lossy(&was.1), String::from_utf8_lossy(&is.1), "{}", was.0.display());
            assert_eq!((was.2, was.3), (is.2, is.3), "{}", was.0.display());
        }
        assert_eq!(get(nginx(), GUILTY, "/").0, 200);
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        self.wait_for(what, Duration::from_secs(90), done);
    }

    /// Three stages of a minute each, and what lies between.
    fn wait_long(&self, what: &str, done: impl Fn() -> bool) {
        self.wait_for(what, Duration::from_secs(330), done);
    }

    fn wait_for(&self, what: &str, longest: Duration, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            if began.elapsed() > longest {
                let log = std::fs::read_to_string(self.path("hk/serve.log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(40).collect();
                let list = self.json(&["incident", "list", "--all"]);
                panic!(
                    "waited in vain for {what}\n{list:#}\n{}",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(mut serve) = self.serve.take() {
            let _ = Command::new("kill").arg(serve.id().to_string()).status();
            let _ = serve.wait();
        }
        if let Some(mut planted) = self.planted.take() {
            let _ = planted.kill();
            let _ = planted.wait();
        }
        if !std::thread::panicking() {
            self.up("purge");
        } else {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bed/up.sh");
            let _ = Command::new("bash")
                .args([script, "purge"])
                .arg(self.folder.path())
                .env("HK_TENANTS", TENANTS.join(" "))
                .env("HK_UID0", UID0.to_string())
                .env("HK_PORT_BASE", PORTS.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn nginx() -> u16 {
    PORTS + 80
}

fn apache() -> u16 {
    PORTS + 81
}

fn wordpress() -> String {
    format!("blog.bd1.test:{}", nginx())
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// One request; status 0 when nothing answers.
fn get(port: u16, host: &str, path: &str) -> (u16, String) {
    let answer = || -> std::io::Result<Vec<u8>> {
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&answer().unwrap_or_default()).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text)
}

/// Every file and folder below a root: size, owner, mode, time, content.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u64, u32, u32, i64, Option<model::Hash>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = meta.is_file().then(|| model::Hash::of(&std::fs::read(&path).unwrap()));
            // A folder's size is the file system's business.
            let size = if meta.is_file() { meta.len() } else { 0 };
            found.insert(path.clone(), (size, meta.uid(), meta.mode(), meta.mtime(), content));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let text = Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]).output().unwrap().stdout;
    String::from_utf8_lossy(&text).split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// Stopped by a signal, or in a frozen control group.
fn stands_still(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stopped = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'));
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    stopped || groups.contains("hikeshi")
}
