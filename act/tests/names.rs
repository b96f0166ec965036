//! Hostile names through every verb: what is executed stays the fixed list, and what is stored reads back unchanged.
//!
//! A name of a tenant may hold anything that a file name holds. Here each of them is given to every verb in every field
//! that takes free text, act is restarted between order and lift, and strace(1) writes down each program that is started
//! with its arguments and environment. The naive twin passes the name to a shell and must be caught.

mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use act::{Actor, PostfixConfig};
use model::packet::{FromAct, PassKey, SiteHandle, ToAct};
use model::{
    AccountRef, CronLine, FilePath, FileRef, GateKey, Hash, IntentId, Login, MailScope, Measure, Restriction, Verb,
    Wide,
};
use node::*;

const FOLDER: &str = "HK_NAMES_FOLDER";
const NAIVE: &str = "HK_NAMES_NAIVE";
/// Stands in each hostile name, so that it is found wherever it turns up.
const MARK: &str = "evilmark";
const UID: u32 = 20_324;
/// The secret of the owner's pass, as it must never be seen in a list of processes.
const TOKEN: [u8; 16] = [0xc4; 16];
/// All programs that act may start, by path.
const PROGRAMS: [&str; 4] = ["postfix", "postsuper", "postmap", "postconf"];

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

/// Every verb, with the name in each field that takes it.
fn measures(name: &[u8], pid: u32) -> Vec<Measure> {
    let site = || "blog.test".parse().unwrap();
    let path = || FilePath::new(&[b"www/", name].concat()).unwrap();
    let hash = Hash::of(name);
    let mut all = vec![
        Measure::CloseSite { site: site() },
        Measure::CloseAccount { sites: vec![site()], wide: Wide::Ordered },
        Measure::BlockScript { site: site(), path: path() },
        Measure::HoldMail { scope: MailScope::Local, queued: vec!["4jZ3Dq58q9zB4B2".parse().unwrap()] },
        Measure::HoldMail { scope: MailScope::Account { domains: vec![site()] }, queued: vec![] },
        Measure::RefuseMail,
        Measure::FreezeProcess { processes: vec![reference(pid)] },
        Measure::DisableCronLine { line: CronLine { hash, start: 0, end: 9 } },
        Measure::QuarantineFile {
            files: vec![FileRef { path: path(), dev: 1, ino: 1, size: 1, changed_ns: 1, hash }],
            of: 100,
        },
        Measure::EndSessions { site: site() },
        Measure::BlockLogin { logins: vec![Login::Shell, Login::Ftp] },
        Measure::BlockOutbound,
        Measure::ThrottleSource { sources: vec!["192.0.2.7".parse().unwrap()] },
    ];
    // A mailbox is a checked type: a name that it refuses cannot be ordered at all.
    let mailbox = std::str::from_utf8(name).ok().and_then(|name| format!("{name}@blog.test").parse().ok());
    if let Some(mailbox) = mailbox {
        all.push(Measure::HoldMail { scope: MailScope::Mailbox(mailbox), queued: vec![] });
    }
    all
}

fn config(folder: &Path) -> act::Config {
    let mut config = Node::new().config;
    config.state_dir = folder.join("state");
    config.gate_dir = folder.join("gate");
    config.disarmed = folder.join("disarmed");
    config.cron_spool = folder.join("cron");
    config.cgroups = false;
    config.postfix = Path::new("/usr/sbin/postconf")
        .exists()
        .then(|| PostfixConfig { config_dir: Some(folder.join("postfix")), hold_file: folder.join("hold/table") });
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
            let _ = Command::new("/bin/sh").arg("-c").arg(format!("echo restricted {text} >/dev/null")).status();
            continue;
        }
        let program = folder.join("home").join(OsStr::from_bytes(&name));
        std::fs::copy("/usr/bin/sleep", &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let guilty = run_hostile(&program);
        let who = AccountRef { name: "alice".parse().unwrap(), uid: UID, generation: 1 };
        // Vhost names and roots are the web server's words, but a customer may have chosen them.
        let gates = vec![GateKey::Nginx(text.clone()), GateKey::Apache(format!("/srv/{text}"))];
        let plain = vec![GateKey::Nginx("blog.test".into())];
        for (at, gates) in [gates, plain].into_iter().enumerate() {
            let root = format!("/srv/{text}");
            let handle = SiteHandle { domain: "blog.test".parse().unwrap(), root, gates, probes: vec![] };
            let of_sites = |measure: &Measure| !measure.sites().is_empty();
            for measure in measures(&name, guilty.0.id()).into_iter().filter(|one| at == 1 || of_sites(one)) {
                intent += 10;
                let mut one: Restriction = restriction((serial * 2 + at) as u16, 0, measure);
                one.id.ordinal = (intent / 10) as u16;
                one.why.rule = text.clone();
                order_and_lift(&folder, intent, &who, &text, &one, &handle);
            }
            let until = Node::new().clock.0.lock().unwrap().0 + model::Span::days(9000);
            let pass = open_pass(intent + 9, &who, std::slice::from_ref(&handle), PassKey::Token(TOKEN), until);
            Actor::open(config(&folder)).unwrap().handle(pass);
        }
        drop(guilty);
        std::fs::remove_file(&program).unwrap();
    }
}

/// Order, restart, list, lift: what was stored is read again and used, and reads the same.
fn order_and_lift(folder: &Path, intent: u64, who: &AccountRef, home: &str, one: &Restriction, site: &SiteHandle) {
    let packet = |intent: u64, verb| ToAct::Do {
        intent: IntentId(intent),
        link: model::Hash::ZERO,
        account: who.clone(),
        home: format!("/home/{home}"),
        verb,
        sites: vec![site.clone()],
        pass: None,
        dry_run: false,
    };
    let verb = Verb::Impose { restriction: one.clone(), by_person: true };
    let mut actor = Actor::open(config(folder)).unwrap();
    actor.handle(dry(packet(intent, verb.clone())));
    let first = actor.handle(packet(intent, verb.clone()));
    let listed = actor.handle(ToAct::List);
    drop(actor);
    let mut actor = Actor::open(config(folder)).unwrap();
    assert_eq!(actor.handle(ToAct::List), listed, "{one:?}");
    if matches!(first[..], [FromAct::Done { .. }]) {
        assert_eq!(actor.handle(packet(intent, verb)), first, "{one:?}");
    }
    let verb = Verb::Lift { restriction: one.id, measure: one.measure.clone(), for_good: false };
    actor.handle(packet(intent + 1, verb));
    let left = actor.handle(ToAct::List);
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
}

/// Which programs were started, and every path that act itself opened, made or removed.
fn traced(naive: bool) -> Option<(Vec<Started>, BTreeSet<String>, PathBuf, tempfile::TempDir)> {
    if !is_root() || !Path::new("/usr/bin/strace").exists() {
        skipped("tracing programs under another uid needs root and strace");
        return None;
    }
    let node = Node::new();
    let folder = node.folder.path().to_owned();
    for (name, mode) in [("home", 0o755), ("hold", 0o755), ("postfix", 0o755), ("tmp", 0o700)] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    postfix(&folder);
    let trace = folder.join("trace");
    let mut command = Command::new("/usr/bin/strace");
    command.args([
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

/// A Postfix configuration that is asked and never started.
fn postfix(folder: &Path) {
    let show = folder.display();
    for queue in ["hold", "incoming", "active", "deferred", "maildrop", "pid"] {
        std::fs::create_dir_all(folder.join("spool").join(queue)).unwrap();
    }
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {show}/spool\ndata_directory = {show}/spool\n\
         enable_long_queue_ids = yes\nheader_checks = regexp:{show}/hold/table\nmyhostname = web01.test\n"
    );
    std::fs::write(folder.join("postfix/main.cf"), main).unwrap();
    std::fs::write(folder.join("postfix/master.cf"), "").unwrap();
}

/// Lines are `PID call(...) = result`; a call that another process interrupts is written in two parts.
fn read_trace(text: &str) -> (Vec<Started>, BTreeSet<String>) {
    let mut halves: BTreeMap<&str, String> = BTreeMap::new();
    let (mut started, mut paths) = (Vec::new(), BTreeSet::new());
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
                // A parent that forks by vfork(2) waits in it until the child runs its program.
                let forking = |(pid, half): (&&str, &String)| act.contains(*pid) && half.contains("VFORK");
                let by_act = ran.insert(pid.to_owned()) && (forked.contains(pid) || halves.iter().any(forking));
                started.push(Started { path, line: whole, by_act });
            }
            _ if act.contains(pid) => drop(paths.insert(path)),
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
    let clean = one.line.contains("[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\", \"LC_ALL=C\"]")
        || one.line.contains("[\"LC_ALL=C\", \"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"]");
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
    if Path::new("/usr/sbin/postconf").exists() {
        for program in ["postconf", "postmap", "postsuper", "postfix"] {
            assert!(ran.iter().any(|path| path.ends_with(program)), "{program} was never reached: {ran:?}");
        }
    } else {
        skipped("no Postfix: its programs were not reached");
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
