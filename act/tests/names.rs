//! Hostile names through every verb: what is executed stays the fixed list, and what is stored reads back unchanged.
//!
//! A name of a tenant may hold anything that a file name holds. Here each of them is given to every verb in every field
//! that takes free text, act is restarted between order and lift, and strace(1) writes down each program that is started
//! with its arguments and environment. Verbs about files, flags and processes start no program at all. The naive twin
//! passes the name to a shell and must be caught.

mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use act::{Actor, MailDeny, NetConfig, PostfixConfig, SshDeny};
use model::packet::{ActOrder, FromAct, PassKey, SiteHandle, ToAct};
use model::{
    AccountRef, CronLine, FilePath, GateKey, Hash, IntentId, Login, MailScope, MailUser, Measure, QueueId, Restriction,
    Verb, Wide,
};
use node::*;

const FOLDER: &str = "HK_NAMES_FOLDER";
const NAIVE: &str = "HK_NAMES_NAIVE";
/// Stands in each hostile name, so that it is found wherever it turns up.
const MARK: &str = "evilmark";
const UID: u32 = 20_324;
/// The secret of the owner's pass, as it must never be seen in a list of processes.
const TOKEN: [u8; 16] = [0xc4; 16];
/// All programs that act may start.
const PROGRAMS: [&str; 8] = ["postfix", "postsuper", "postmap", "postconf", "sshd", "doveconf", "nft", "php"];
/// Of the verbs that start programs, each gets every so many names: Postfix alone starts forty for one order.
const EVERY: usize = 4;
/// So many verbs are there for every name; those after them have the name itself in a checked type.
const FIXED: usize = 13;
/// Files that are asked for, and are not there: between the two no program may be started.
const QUIET: [&str; 2] = ["/quiet-begins", "/quiet-ends"];

/// Names that have hurt others, each with our mark in it and without `/` and NUL, which no file name has.
fn hostile() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "{}\nroot: x",
        "{}\r\nBcc: a@b.test",
        "{}'; id; '",
        "{}\"; id; \"",
        "$(touch {})",
        "`touch {}`",
        "{}|id",
        "{} & id",
        "-rf {}",
        "--config={}",
        "{}\x1b[2J\x1b]0;x\x07",
        "{}\u{202e}gpj.php",
        "{}%00%n%s",
        "~!{}",
        "{{7*7}} ${jndi:{}} <%=7*7%> <script>{}<script>",
        "{} {}\t",
        "..{}",
        "{}山\u{301}\u{200b}",
        "*{}?[a-z]",
        "{}\\",
    ]
    .iter()
    .map(|name| name.replace("{}", MARK).into_bytes())
    .collect();
    names.push([MARK.as_bytes(), b"\xff\xfe\x80"].concat());
    names.push([MARK.as_bytes(), &[b'a'; 255 - MARK.len()]].concat());
    names
}

/// What of the tenant's is there for one name: a home, a file, a crontab, a process, all called so.
struct Tenant {
    home: String,
    file: PathBuf,
    crontab: Vec<u8>,
    program: PathBuf,
    process: Sleeper,
}

impl Tenant {
    fn new(folder: &Path, name: &[u8], text: &str) -> Tenant {
        let program = folder.join("home").join(OsStr::from_bytes(name));
        std::fs::copy("/usr/bin/sleep", &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let home = folder.join("tenants").join(text);
        let www = home.join("www");
        std::fs::create_dir_all(&www).unwrap();
        let file = www.join(OsStr::from_bytes(name));
        std::fs::write(&file, name).unwrap();
        // What answers for WordPress here.
        let load = "<?php class Base { public $usermeta = 'm'; function query($text) { return 1; } } $wpdb = new Base;";
        std::fs::write(www.join("wp-load.php"), load).unwrap();
        let crontab = [b"* * * * * /home/", name, b"\n"].concat();
        std::fs::write(folder.join("cron/alice"), &crontab).unwrap();
        for path in [&home, &www, &file, &www.join("wp-load.php"), &folder.join("cron/alice")] {
            chown(path, Some(UID), Some(UID)).unwrap();
        }
        let process = run_hostile(&program);
        Tenant { home: home.to_str().unwrap().to_owned(), file, crontab, program, process }
    }
}

/// Every verb, with the name in each field that takes it.
fn measures(name: &[u8], tenant: &Tenant, waiting: &[QueueId]) -> Vec<Measure> {
    let site = || "blog.test".parse().unwrap();
    let path = [b"www/", name].concat();
    let first = tenant.crontab.iter().position(|b| *b == b'\n').unwrap() as u32;
    let mut all = vec![
        Measure::CloseSite { site: site() },
        Measure::CloseAccount { sites: vec![site()], wide: Wide::Ordered },
        Measure::BlockScript { site: site(), path: FilePath::new(&path).unwrap() },
        Measure::FreezeProcess { processes: vec![reference(tenant.process.0.id())] },
        Measure::DisableCronLine { line: CronLine { hash: Hash::of(&tenant.crontab), start: 0, end: first } },
        Measure::QuarantineFile { files: vec![aside::judged(Path::new(&tenant.home), &path)], of: 100 },
        Measure::HoldMail { scope: MailScope::Local, queued: waiting.to_vec() },
        Measure::HoldMail { scope: MailScope::Account { domains: vec![site()] }, queued: vec![] },
        Measure::RefuseMail,
        Measure::EndSessions { site: site() },
        Measure::BlockLogin { logins: vec![Login::Shell, Login::Ftp, Login::Mail("info@blog.test".parse().unwrap())] },
        Measure::BlockOutbound,
        Measure::ThrottleSource { sources: vec!["192.0.2.7".parse().unwrap()] },
    ];
    // A mailbox is a checked type: a name that it refuses cannot be ordered at all.
    let mailbox = std::str::from_utf8(name).ok().and_then(|name| format!("{name}@blog.test").parse::<MailUser>().ok());
    if let Some(mailbox) = mailbox {
        all.push(Measure::BlockLogin { logins: vec![Login::Mail(mailbox.clone())] });
        all.push(Measure::HoldMail { scope: MailScope::Mailbox(mailbox), queued: vec![] });
    }
    all
}

/// Whether it needs no program.
fn is_quiet(measure: &Measure) -> bool {
    matches!(
        measure,
        Measure::CloseSite { .. }
            | Measure::CloseAccount { .. }
            | Measure::BlockScript { .. }
            | Measure::FreezeProcess { .. }
            | Measure::DisableCronLine { .. }
            | Measure::QuarantineFile { .. }
    )
}

fn config(folder: &Path) -> act::Config {
    let mut config = Node::new().config;
    config.state_dir = folder.join("state");
    config.gate_dir = folder.join("gate");
    config.disarmed = folder.join("disarmed");
    config.cron_spool = folder.join("cron");
    config.quarantine_dirs = vec![folder.join("quarantine")];
    config.cgroups = false;
    let there = |program: &str| Path::new("/usr/sbin").join(program).exists();
    config.postfix = there("postconf")
        .then(|| PostfixConfig { config_dir: Some(folder.join("postfix")), hold_file: folder.join("hold/table") });
    config.net = there("nft").then(|| NetConfig { updates: vec![], never: vec![], resolv_conf: "/dev/null".into() });
    config.logins.ftp = Some(folder.join("login/ftpusers"));
    config.logins.ssh = there("sshd").then(|| SshDeny {
        list: folder.join("login/hikeshi.conf"),
        config: folder.join("login/sshd_config"),
        pid_file: folder.join("login/pid"),
    });
    let (list, dovecot) = (folder.join("login/deny"), folder.join("login/dovecot.conf"));
    config.logins.mail = Some(MailDeny { list, config: dovecot });
    config
}

/// Runs below strace(1) only: everything that act can be ordered, with every hostile name.
#[test]
fn child_that_is_ordered_everything() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let mut intent = 0;
    for (serial, name) in hostile().into_iter().enumerate() {
        let text = String::from_utf8_lossy(&name).into_owned();
        if std::env::var(NAIVE).is_ok() {
            let mut shell = Command::new("/bin/sh");
            let shell =
                shell.arg("-c").arg(format!("echo restricted {text} >/dev/null")).current_dir(folder.join("tmp"));
            let _ = shell.status();
            continue;
        }
        let tenant = Tenant::new(&folder, &name, &text);
        let who = AccountRef { name: "alice".parse().unwrap(), uid: UID, generation: 1 };
        // Vhost names and roots are the web server's words, but a customer may have chosen them.
        let gates = vec![GateKey::Nginx(text.clone()), GateKey::Apache(format!("/srv/{text}"))];
        let plain = vec![GateKey::Nginx("blog.test".into())];
        for (at, gates) in [gates, plain].into_iter().enumerate() {
            let root = format!("{}/www", tenant.home);
            let handle = SiteHandle { domain: "blog.test".parse().unwrap(), root, gates, probes: vec![] };
            let of_sites = |measure: &Measure| !measure.sites().is_empty();
            let waiting = waiting(&folder);
            let all = measures(&name, &tenant, waiting.as_slice());
            let chosen = |(turn, one): &(usize, Measure)| {
                is_quiet(one) || *turn >= FIXED || (serial + turn).is_multiple_of(EVERY)
            };
            let all = all.into_iter().enumerate().filter(chosen).map(|(_, one)| one);
            for measure in all.filter(|one| at == 1 || is_quiet(one) && of_sites(one)) {
                intent += 10;
                let mut one: Restriction = restriction((serial * 2 + at) as u16, 0, measure);
                one.id.ordinal = (intent / 10) as u16;
                one.why.rule = text.clone();
                order_and_lift(&folder, intent, &who, &tenant.home, &one, &handle);
            }
            let until = Node::new().clock.0.lock().unwrap().0 + model::Span::days(9000);
            let pass = open_pass(intent + 9, &who, std::slice::from_ref(&handle), PassKey::Token(TOKEN), until);
            Actor::open(config(&folder)).unwrap().handle(pass);
        }
        assert_eq!(std::fs::read(&tenant.file).unwrap(), name, "the file is back");
        assert_eq!(std::fs::read(folder.join("cron/alice")).unwrap(), tenant.crontab, "the crontab is as it was");
        std::fs::remove_file(&tenant.program).unwrap();
    }
}

/// Order, restart, list, lift: what was stored is read again and used, and reads the same.
fn order_and_lift(folder: &Path, intent: u64, who: &AccountRef, home: &str, one: &Restriction, site: &SiteHandle) {
    let packet = |intent: u64, verb| {
        ToAct::Do(ActOrder {
            intent: IntentId(intent),
            link: model::Hash::ZERO,
            account: who.clone(),
            home: home.to_owned(),
            verb,
            sites: vec![site.clone()],
            pass: None,
            dry_run: false,
        })
    };
    let quiet = is_quiet(&one.measure);
    let handle = |actor: &mut Actor, packet: ToAct| {
        let mark = |name: &str| drop(std::fs::metadata(format!("{}{name}", folder.display())));
        mark(if quiet { QUIET[0] } else { QUIET[1] });
        let answers = actor.handle(packet);
        mark(QUIET[1]);
        answers
    };
    let verb = Verb::Impose { restriction: one.clone(), by_person: true };
    let mut actor = Actor::open(config(folder)).unwrap();
    handle(&mut actor, dry(packet(intent, verb.clone())));
    let first = handle(&mut actor, packet(intent, verb.clone()));
    let listed = handle(&mut actor, ToAct::List);
    drop(actor);
    let mut actor = Actor::open(config(folder)).unwrap();
    assert_eq!(handle(&mut actor, ToAct::List), listed, "{one:?}");
    let is_done = matches!(first[..], [FromAct::Done { .. }]);
    // What a web server cannot tell apart cannot be closed or blocked; all else is done whatever the name is.
    let may_be_refused = ["block-script", "close-site", "close-account"].contains(&one.measure.name());
    assert!(is_done || may_be_refused, "{first:?} {one:?}");
    if is_done {
        assert_eq!(handle(&mut actor, packet(intent, verb)), first, "{one:?}");
    }
    let verb = Verb::Lift { restriction: one.id, measure: one.measure.clone(), for_good: false };
    handle(&mut actor, packet(intent + 1, verb));
    let left = handle(&mut actor, ToAct::List);
    assert_eq!(left, [FromAct::ListEnd], "{one:?}");
}

fn run_hostile(program: &Path) -> Sleeper {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.arg("60").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).uid(UID);
    let child = command.current_dir("/").spawn().unwrap();
    eventually("it runs", || std::fs::read_link(format!("/proc/{}/exe", child.id())).is_ok_and(|p| p == *program));
    Sleeper(child)
}

/// A started program, as strace(1) shows it.
#[derive(Debug)]
struct Started {
    /// Line with path, arguments and environment.
    line: String,
    path: String,
    /// Started by act itself, not by one of its programs.
    by_act: bool,
    /// During an order that needs no program.
    quiet: bool,
}

/// Which programs were started, and every path that act itself opened, made or removed.
fn traced(naive: bool) -> Option<(Vec<Started>, BTreeSet<String>, PathBuf, tempfile::TempDir)> {
    if !is_root() || !Path::new("/usr/bin/strace").exists() {
        skipped("tracing programs under another uid needs root and strace");
        return None;
    }
    let node = Node::new();
    let folder = node.folder.path().to_owned();
    for (name, mode) in [
        ("home", 0o755),
        ("hold", 0o755),
        ("tenants", 0o755),
        ("login", 0o755),
        ("tmp", 0o700),
        ("quarantine", 0o700),
        ("cron", 0o1730),
    ] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    postfix(&folder);
    logins(&folder);
    let trace = folder.join("trace");
    // A network of its own: the packet filter is the test's. Postfix's programs want loopback to be up.
    let mut command = Command::new("/usr/bin/unshare");
    command.args([
        "--net",
        "/bin/sh",
        "-c",
        "ip link set lo up; exec \"$@\"",
        "sh",
        "/usr/bin/strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-v",
        "-s",
        "65536",
        "-e",
        "trace=execve,execveat,clone,clone3,fork,vfork,%file",
        "-o",
    ]);
    command.arg(&trace).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_is_ordered_everything", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, &folder).env("TMPDIR", folder.join("tmp"));
    if naive {
        command.env(NAIVE, "1");
    }
    let run = command.output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let (started, paths) = read_trace(&text);
    Some((started, paths, folder, node.folder))
}

/// A Postfix that is asked and never started, with one message that waits.
fn postfix(folder: &Path) {
    if !node::postfix::configure(folder, &folder.join("hold/table")) {
        return;
    }
    let file = folder.join("spool/deferred/new");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
    chown(&file, Some(folder.join("spool/deferred").metadata().unwrap().uid()), None).unwrap();
    // A long id says the inode of its file, in base 51 (QueueId::file).
    let signs = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxy";
    let (mut inode, mut digits) = (file.metadata().unwrap().ino(), Vec::new());
    while inode > 0 {
        digits.insert(0, signs[(inode % 51) as usize]);
        inode /= 51;
    }
    let id = format!("4jZ3Dq58q9z{}", String::from_utf8(digits).unwrap());
    std::fs::rename(&file, file.with_file_name(id)).unwrap();
}

/// The message, waiting (again).
fn waiting(folder: &Path) -> Vec<QueueId> {
    let list = |queue: &str| std::fs::read_dir(folder.join("spool").join(queue)).into_iter().flatten();
    for held in list("hold").map(|entry| entry.unwrap()) {
        std::fs::rename(held.path(), folder.join("spool/deferred").join(held.file_name())).unwrap();
    }
    list("deferred").map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// Configurations of sshd and Dovecot, and the lists that they read.
fn logins(folder: &Path) {
    let at = |name: &str| folder.join("login").join(name);
    let _ = std::fs::create_dir("/run/sshd");
    for list in ["ftpusers", "deny"] {
        std::fs::write(at(list), "").unwrap();
    }
    if Path::new("/usr/bin/ssh-keygen").exists() {
        let mut command = Command::new("/usr/bin/ssh-keygen");
        let made = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at("key")).status();
        assert!(made.unwrap().success());
    }
    let ssh = format!("Include {}\nHostKey {}\n", at("hikeshi*.conf").display(), at("key").display());
    std::fs::write(at("sshd_config"), ssh).unwrap();
    let mail = format!(
        "protocols = imap\nssl = no\npassdb {{\n driver = passwd-file\n deny = yes\n args = {}\n}}\n",
        at("deny").display()
    );
    std::fs::write(at("dovecot.conf"), mail).unwrap();
}

/// Lines are `PID call(...) = result`; a call that another process interrupts is written in two parts.
fn read_trace(text: &str) -> (Vec<Started>, BTreeSet<String>) {
    let mut halves: BTreeMap<&str, String> = BTreeMap::new();
    let (mut started, mut paths, mut quiet) = (Vec::new(), BTreeSet::new(), false);
    // The first program is the test itself; its threads are act, and what they fork is until it runs something else.
    let mut act: BTreeSet<String> = text.split(' ').take(1).map(str::to_owned).collect();
    let (mut forked, mut ran): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    for (pid, call) in text.lines().skip(1).filter_map(|line| line.split_once(' ')) {
        let call = call.trim_start();
        if call.starts_with("+++") {
            forked.remove(pid);
            ran.remove(pid);
            continue;
        }
        let whole = if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            halves.insert(pid, begun.to_owned());
            continue;
        } else if let Some(resumed) = call.strip_prefix("<... ") {
            halves.remove(pid).unwrap_or_default() + resumed.split_once("resumed>").map_or("", |(_, rest)| rest)
        } else {
            call.to_owned()
        };
        let path = whole.split('"').nth(1).unwrap_or("").to_owned();
        match whole.split('(').next().unwrap_or("") {
            "clone" | "clone3" | "fork" | "vfork" if act.contains(pid) => {
                let child = whole.rsplit("= ").next().filter(|pid| pid.parse::<u32>().is_ok());
                let kind = if whole.contains("CLONE_THREAD") { &mut act } else { &mut forked };
                kind.extend(child.map(str::to_owned));
            }
            "execve" | "execveat" if whole.ends_with("= 0") => {
                // A parent that forks by vfork(2) waits in it until the child runs its program, and after a fork(2) the
                // child may be seen to run it first.
                let forking = |(pid, half): (&&str, &String)| {
                    let begins = |call: &&str| half.starts_with(*call);
                    act.contains(*pid)
                        && ["clone", "fork", "vfork"].iter().any(begins)
                        && !half.contains("CLONE_THREAD")
                };
                let by_act = ran.insert(pid.to_owned()) && (forked.contains(pid) || halves.iter().any(forking));
                started.push(Started { path, line: whole, by_act, quiet });
            }
            _ if act.contains(pid) => {
                quiet = (quiet || path.ends_with(QUIET[0])) && !path.ends_with(QUIET[1]);
                paths.insert(path);
            }
            _ => {}
        }
    }
    (started, paths)
}

/// What a started program must not be; `None` when it is one of the fixed list.
fn foreign(one: &Started, folder: &Path) -> Option<String> {
    if !one.by_act {
        return one.line.contains(MARK).then(|| format!("a name reached {}", one.line));
    }
    // The tenant's own process, started by the test.
    if one.path.starts_with(&format!("{}/home/", folder.display())) {
        return None;
    }
    let right =
        PROGRAMS.iter().any(|name| one.path == format!("/usr/sbin/{name}") || one.path == format!("/usr/bin/{name}"));
    let environments = [
        "[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\", \"LC_ALL=C\"]",
        "[\"LC_ALL=C\", \"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"]",
        "[\"PATH=/usr/bin:/bin\", \"LC_ALL=C\"]",
    ];
    let clean = environments.iter().any(|environment| one.line.contains(environment));
    match (right, clean, one.line.contains(MARK)) {
        (true, true, false) => None,
        (false, ..) => Some(format!("not on the list: {}", one.line)),
        (_, false, _) => Some(format!("environment: {}", one.line)),
        _ => Some(format!("a name is an argument: {}", one.line)),
    }
}

#[test]
fn hostile_names_through_every_verb_start_only_the_fixed_list_of_programs() {
    let Some((started, paths, folder, _keep)) = traced(false) else { return };
    let wrong: Vec<String> = started.iter().filter_map(|one| foreign(one, &folder)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let secret: String = TOKEN.iter().map(|b| format!("{b:02x}")).collect();
    assert!(!started.iter().any(|one| one.line.contains(&secret)), "a secret is in a list of processes");
    let ran: BTreeSet<&str> = started.iter().filter(|one| one.by_act).map(|one| one.path.as_str()).collect();
    let quiet: Vec<&Started> = started.iter().filter(|one| one.by_act && one.quiet).collect();
    assert!(quiet.is_empty(), "an order that needs no program started one: {quiet:#?}");
    assert!(paths.iter().any(|path| path.ends_with(QUIET[0])), "no order was without programs");
    for program in PROGRAMS {
        match ["/usr/sbin", "/usr/bin"].iter().any(|folder| Path::new(folder).join(program).exists()) {
            true => assert!(ran.iter().any(|path| path.ends_with(program)), "{program} was never reached: {ran:?}"),
            false => skipped(&format!("{program} is not installed and was not reached")),
        }
    }
    // No shared folder is used, under whatever name: only the test's own folder lies there.
    let own = folder.to_str().unwrap();
    let shared = |path: &&String| ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|shared| path.starts_with(shared));
    let foreign: Vec<&String> =
        paths.iter().filter(shared).filter(|path| !path.starts_with(own) && !own.starts_with(path.as_str())).collect();
    assert!(foreign.is_empty(), "shared folders were used: {foreign:?}");
    assert!(paths.iter().any(|path| path.starts_with(own)), "the trace shows no file at all");
}

#[test]
fn a_name_that_reaches_a_shell_would_be_caught() {
    let Some((started, _, folder, _keep)) = traced(true) else { return };
    let wrong = started.iter().filter_map(|one| foreign(one, &folder)).count();
    assert!(wrong >= hostile().len(), "only {wrong} of {} shells were seen", hostile().len());
}
