//! Mail on a real Postfix: held by uid, by mailbox, by account, refused; others flow; lifted; queue ids; death at
//! every step.
//!
//! Needs a running Postfix instance that tenants may use and whose mail goes to a sink (the test bed). Its folder,
//! with `etc/postfix`, `log/mail.log` and `spool/postfix`, is given in `HK_BED`, two tenant uids in `HK_BED_UIDS`.

mod netns;
mod node;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use act::PostfixConfig;
use act::postfix::Table;
use model::{AccountRef, Failure, MailScope, Measure, QueueId};
use node::*;

/// Who has a password in these tests.
const MAILBOXES: [&str; 7] = [
    "in.fo@example.jp",
    "IN.fo@Example.JP",
    "in-fo@example.jp",
    "info@sub.example.jp",
    "info@example.jp.evil.test",
    "info@other.test",
    "plain",
];

struct Bed {
    folder: PathBuf,
    config: PathBuf,
    hold_file: PathBuf,
    uids: [u32; 2],
    checks: String,
    port: u16,
    before: [Vec<u8>; 2],
    /// One Postfix, one test at a time.
    _alone: MutexGuard<'static, ()>,
}

impl Bed {
    fn find() -> Option<Bed> {
        static ALONE: Mutex<()> = Mutex::new(());
        let (Ok(folder), Ok(uids)) = (std::env::var("HK_BED"), std::env::var("HK_BED_UIDS")) else {
            skipped("no Postfix; set HK_BED to a test bed's folder and HK_BED_UIDS to two of its uids");
            return None;
        };
        let alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
        let folder = PathBuf::from(folder);
        let uids: Vec<u32> = uids.split(' ').map(|uid| uid.parse().unwrap()).collect();
        let config = folder.join("etc/postfix");
        let before = ["main.cf", "master.cf"].map(|name| std::fs::read(config.join(name)).unwrap());
        let hold = folder.join("etc/hikeshi");
        std::fs::create_dir_all(&hold).unwrap();
        let hold_file = hold.join("hold");
        Table::ALL.iter().for_each(|table| std::fs::write(table.path(&hold_file), "").unwrap());
        let checks = tool("postconf", &config, &["-h", "header_checks"]).trim().to_owned();
        let services = tool("postconf", &config, &["-M"]);
        let smtpd = services.lines().find(|line| line.split_whitespace().nth(7) == Some("smtpd")).unwrap();
        let port = smtpd.split([' ', ':']).find_map(|word| word.parse().ok()).unwrap();
        take_passwords(&folder.join("spool/postfix/private/hk-auth"));
        let bed = Bed { folder, config, hold_file, uids: [uids[0], uids[1]], checks, port, before, _alone: alone };
        let entry = |table: Table| format!("{}={}", table.parameter(), table.entry(&bed.hold_file));
        bed.set(&[
            &format!("{}, {}", entry(Table::Local), bed.checks),
            &format!("{}, reject_unauth_pipelining", entry(Table::Sasl)),
            &format!("{}, static:anyone", entry(Table::Refused)),
            "smtpd_sasl_auth_enable=yes",
            "smtpd_sasl_type=dovecot",
            "smtpd_sasl_path=private/hk-auth",
        ]);
        Some(bed)
    }

    fn set(&self, parameters: &[&str]) {
        tool("postconf", &self.config, &[&["-e"], parameters].concat());
        tool("postfix", &self.config, &["reload"]);
    }

    fn table(&self, table: Table) -> String {
        std::fs::read_to_string(table.path(&self.hold_file)).unwrap()
    }

    /// Neither tables nor main.cf show that we were there.
    fn is_untouched(&self, main: &[u8]) {
        assert_eq!(Table::ALL.map(|table| self.table(table)), [""; 3]);
        assert_eq!(std::fs::read(self.config.join("main.cf")).unwrap(), main);
    }

    fn main(&self) -> Vec<u8> {
        std::fs::read(self.config.join("main.cf")).unwrap()
    }

    fn node(&self) -> Node {
        let mut node = Node::new();
        node.config.postfix =
            Some(PostfixConfig { config_dir: Some(self.config.clone()), hold_file: self.hold_file.clone() });
        node
    }

    /// Hands messages in with a password, in one session.
    fn submit(&self, user: &str, recipients: &[&str]) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut say = |line: &str, code: &str| {
            if !line.is_empty() {
                (&stream).write_all(format!("{line}\r\n").as_bytes()).unwrap();
            }
            let mut answer = String::new();
            while answer.lines().last().is_none_or(|line| line.as_bytes().get(3) != Some(&b' ')) {
                assert!(reader.read_line(&mut answer).unwrap() > 0, "{line}: {answer}");
            }
            assert!(answer.starts_with(code), "{line}: {answer}");
        };
        say("", "220");
        say("EHLO client.test", "250");
        say(&format!("AUTH PLAIN {}", plain(user)), "235");
        for to in recipients {
            say("MAIL FROM:<sender@example.jp>", "250");
            say(&format!("RCPT TO:<{to}@sink.test>"), "250");
            say("DATA", "354");
            say("Subject: x\r\n\r\nhello\r\n.", "250");
        }
        say("QUIT", "221");
    }

    /// As PHP's mail() does: sendmail of the tenant, recipients on standard input, a lying sender.
    fn send(&self, uid: u32, to: &str) {
        assert_eq!(self.sendmail(uid, to), Some(0));
    }

    /// Exit code of sendmail.
    fn sendmail(&self, uid: u32, to: &str) -> Option<i32> {
        let mut child = Command::new("/usr/sbin/sendmail")
            .args([
                "-C".as_ref(),
                self.config.as_os_str(),
                "-t".as_ref(),
                "-i".as_ref(),
                "-f".as_ref(),
                "other@x.test".as_ref(),
            ])
            .uid(uid)
            .gid(uid)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let text = format!("To: {to}@sink.test\nReceived: by web01.test (Postfix, from userid 7)\n\nhello\n");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait().unwrap().code()
    }

    /// `hold`, `sent`, `deferred` or nothing yet, by Postfix's own log and queue.
    fn fate(&self, to: &str) -> String {
        let queue = tool("postqueue", &self.config, &["-j"]);
        let line = queue.lines().find(|line| line.contains(&format!("\"{to}@sink.test\"")));
        if let Some(line) = line {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            return row["queue_name"].as_str().unwrap().to_owned();
        }
        let log = std::fs::read_to_string(self.folder.join("log/mail.log")).unwrap();
        let sent = |line: &str| line.contains(&format!("to=<{to}@sink.test>")) && line.contains("status=sent");
        if log.lines().any(sent) { "sent".into() } else { String::new() }
    }

    fn id(&self, to: &str) -> QueueId {
        let queue = tool("postqueue", &self.config, &["-j"]);
        let line = queue.lines().find(|line| line.contains(&format!("\"{to}@sink.test\""))).unwrap();
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["queue_id"].as_str().unwrap().parse().unwrap()
    }

    fn ends(&self, to: &str, fate: &str) {
        eventually(&format!("{to} {fate}"), || {
            let seen = self.fate(to);
            let other = ["hold", "sent"].contains(&seen.as_str()) && seen != fate;
            assert!(!other, "{to} is {seen}, not {fate}");
            seen == fate
        });
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for (name, bytes) in ["main.cf", "master.cf"].iter().zip(&self.before) {
            std::fs::write(self.config.join(name), bytes).unwrap();
        }
        tool("postfix", &self.config, &["reload"]);
        tool("postsuper", &self.config, &["-d", "ALL"]);
        Table::ALL.iter().for_each(|table| std::fs::remove_file(table.path(&self.hold_file)).unwrap());
    }
}

fn tool(name: &str, config: &Path, arguments: &[&str]) -> String {
    let run = Command::new(Path::new("/usr/sbin").join(name)).arg("-c").arg(config).args(arguments).output().unwrap();
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// What a client says for AUTH PLAIN (RFC 4616): NUL, name, NUL, password, in base 64.
fn plain(user: &str) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("\0{user}\0password");
    let quartet = |three: &[u8]| {
        let bits = three.iter().chain([&0; 2]).take(3).fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        let sign = |at: usize| if at <= three.len() { char::from(SIGNS[bits >> (18 - 6 * at) & 63]) } else { '=' };
        (0..4).map(sign).collect::<String>()
    };
    bytes.as_bytes().chunks(3).map(quartet).collect()
}

/// An authentication server as Dovecot's, for a Postfix with `smtpd_sasl_type = dovecot`: every mailbox has its
/// password (Dovecot's authentication protocol 1.1). Ends with the test program.
fn take_passwords(path: &Path) {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let hello = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n";
                (&stream).write_all(hello.as_bytes()).unwrap();
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    let fields: Vec<&str> = line.split('\t').collect();
                    let (["AUTH", id, ..], Some(response)) =
                        (&fields[..], fields.iter().find_map(|field| field.strip_prefix("resp=")))
                    else {
                        continue;
                    };
                    let answer = match MAILBOXES.iter().find(|user| plain(user) == response) {
                        Some(user) => format!("OK\t{id}\tuser={user}\n"),
                        None => format!("FAIL\t{id}\n"),
                    };
                    (&stream).write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn hold(queued: Vec<QueueId>) -> Measure {
    Measure::HoldMail { scope: MailScope::Local, queued }
}

fn mailbox(name: &str) -> MailScope {
    MailScope::Mailbox(name.parse().unwrap())
}

fn whole(domain: &str) -> MailScope {
    MailScope::Account { domains: vec![domain.parse().unwrap()] }
}

fn of(scope: MailScope) -> Measure {
    Measure::HoldMail { scope, queued: vec![] }
}

#[test]
fn mail_of_one_uid_is_held_and_flows_again_and_a_crash_leaves_nothing_half_done() {
    let Some(bed) = Bed::find() else { return };
    let [uid, other_uid] = bed.uids;
    let (who, other): (AccountRef, AccountRef) = (account("aa1", uid), account("aa2", other_uid));
    let tag = std::process::id();
    let node = bed.node();
    let mut actor = node.open();

    // A cleanup process runs, with the old table in its memory.
    bed.send(uid, &format!("before{tag}"));
    bed.ends(&format!("before{tag}"), "sent");
    // A message waits in the queue.
    bed.set(&["defer_transports=smtp"]);
    bed.send(uid, &format!("waits{tag}"));
    bed.ends(&format!("waits{tag}"), "deferred");
    let waiting = bed.id(&format!("waits{tag}"));
    // A file of a name that carries another inode is another message (a queue that was copied back).
    let stray = stray(&bed, &waiting);

    let one = restriction(1, 0, hold(vec![waiting.clone(), "4jZ3Dq58q9zB4B2".parse().unwrap(), stray.clone()]));
    let what = done(actor.handle(impose(1, &who, &one, &[])));
    assert!(what.contains("1 of 3 waiting"), "{what}");
    let on_hold = |id: &QueueId| bed.folder.join("spool/postfix/hold").join(id.as_str()).exists();
    assert!(on_hold(&waiting) && !on_hold(&stray));
    tool("postsuper", &bed.config, &["-h", stray.as_str()]);
    assert!(on_hold(&stray), "the naive twin, postsuper -h alone, takes it for the message");
    bed.set(&["defer_transports="]);
    for n in 0..5 {
        bed.send(uid, &format!("held{tag}-{n}"));
        bed.send(other_uid, &format!("flows{tag}-{n}"));
    }
    for n in 0..5 {
        bed.ends(&format!("held{tag}-{n}"), "hold");
        bed.ends(&format!("flows{tag}-{n}"), "sent");
    }
    assert!(in_force(&mut actor)[0].1);

    // Mail that comes in from another Postfix carries the same words; a line without our host would hold it.
    let foreign = format!("Received: by mx.example.org (Postfix, from userid {uid})");
    let table = format!("regexp:{}", bed.hold_file.display());
    assert_eq!(tool("postmap", &bed.config, &["-q", &foreign, &table]), "");
    let naive = bed.folder.join("etc/hikeshi/naive");
    std::fs::write(&naive, format!("/^Received:.*from userid {uid}\\)/ HOLD\n")).unwrap();
    assert_eq!(tool("postmap", &bed.config, &["-q", &foreign, &format!("regexp:{}", naive.display())]), "HOLD\n");

    // A second incident holds the same uid; lifting one is not enough.
    let two = restriction(2, 5, hold(vec![]));
    done(actor.handle(impose(2, &who, &two, &[])));
    let what = done(actor.handle(lift(3, &who, &one, false)));
    assert!(what.contains("still held by another"), "{what}");
    bed.send(uid, &format!("still{tag}"));
    bed.ends(&format!("still{tag}"), "hold");
    std::fs::write(&bed.hold_file, "").unwrap();
    assert!(!in_force(&mut actor)[0].1, "a table that somebody emptied is drift");
    done(actor.handle(impose(2, &who, &two, &[])));
    assert!(in_force(&mut actor)[0].1);

    let what = done(actor.handle(lift(4, &who, &two, false)));
    assert!(what.contains("8 messages"), "{what}");
    bed.send(uid, &format!("after{tag}"));
    bed.ends(&format!("after{tag}"), "sent");
    assert_eq!(bed.fate(&format!("held{tag}-0")), "hold", "what was held stays for a person to sort");

    refusals(&bed, &node, &mut actor, &who);
    drop(actor);
    crashes(&bed, &other, &hold(vec![]), || bed.table(Table::Local).contains(&format!("userid {}", other.uid)));
}

fn stray(bed: &Bed, like: &QueueId) -> QueueId {
    let deferred = bed.folder.join("spool/postfix/deferred");
    let files = walk(&deferred);
    let file = files.iter().find(|path| path.ends_with(like.as_str())).unwrap();
    let text = like.as_str();
    let last = if text.ends_with('B') { 'C' } else { 'B' };
    let stray: QueueId = format!("{}{last}", &text[..text.len() - 1]).parse().unwrap();
    let copy = file.with_file_name(stray.as_str());
    std::fs::copy(file, &copy).unwrap();
    let meta = std::fs::metadata(file).unwrap();
    std::os::unix::fs::chown(&copy, Some(meta.uid()), Some(meta.gid())).unwrap();
    assert_eq!(like.file().unwrap().0, meta.ino());
    stray
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn refusals(bed: &Bed, node: &Node, actor: &mut act::Actor, who: &AccountRef) {
    let set = |parameter: String| drop(tool("postconf", &bed.config, &["-e", &parameter]));
    set("enable_long_queue_ids=no".into());
    let one = restriction(7, 0, hold(vec!["4jZ3Dq58q9zB4B2".parse().unwrap()]));
    let why = failed(actor.handle(impose(70, who, &one, &[])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("enable_long_queue_ids = yes")), "{why}");
    set("enable_long_queue_ids=yes".into());
    // Not named first in header_checks: the hold would do nothing, so it is refused with the line to write.
    let ours = Table::Local.entry(&bed.hold_file);
    set(format!("header_checks={} {ours}", bed.checks));
    let why = failed(actor.handle(impose(71, who, &one, &[])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("header_checks = regexp:")), "{why}");
    set(format!("header_checks={ours}, {}", bed.checks));
    assert!(!bed.table(Table::Local).contains("HOLD"));
    assert!(node.config.postfix.is_some());
}

/// Dies after each step of imposing and of lifting; afterwards `applied` and the journal must agree.
fn crashes(bed: &Bed, who: &AccountRef, measure: &Measure, applied: impl Fn() -> bool) {
    let one = restriction(3, 0, measure.clone());
    for lifting in [false, true] {
        for n in 1.. {
            let node = bed.node();
            let order = impose(1, who, &one, &[]);
            if lifting {
                done(node.open().handle(order.clone()));
            }
            let packet = if lifting { lift(2, who, &one, false) } else { order };
            let mut count = 0;
            let mut actor = node.open_with(Box::new(move |_| {
                count += 1;
                if count == n {
                    std::panic::panic_any("killed here");
                }
            }));
            let died = catch_unwind(AssertUnwindSafe(|| actor.handle(packet.clone()))).is_err();
            drop(actor);
            let mut actor = node.open();
            let list = in_force(&mut actor);
            assert!(list.iter().all(|(_, holds, _)| *holds), "step {n}: {list:?}");
            assert_eq!(applied(), !list.is_empty(), "step {n}, lifting {lifting}");
            done(actor.handle(packet));
            assert_eq!(applied(), !lifting, "sent again after step {n}");
            done(actor.handle(lift(3, who, &one, false)));
            assert_eq!(Table::ALL.map(|table| bed.table(table)), [""; 3]);
            if !died {
                assert!(n > 3, "the hook was never called");
                break;
            }
        }
    }
}

#[test]
fn one_mailbox_is_held_whatever_its_name_and_case_and_its_neighbours_flow() {
    let Some(bed) = Bed::find() else { return };
    let (who, tag, main) = (account("aa1", bed.uids[0]), std::process::id(), bed.main());
    let node = bed.node();
    let mut actor = node.open();
    let one = restriction(1, 0, of(mailbox("in.fo@example.jp")));
    let what = done(actor.handle(impose(1, &who, &one, &[])));
    assert!(what.contains("mailbox in.fo@example.jp is held"), "{what}");
    let local = restriction(2, 0, hold(vec![]));
    done(actor.handle(impose(2, &who, &local, &[])));
    bed.submit("in.fo@example.jp", &[&format!("a{tag}"), &format!("b{tag}")]);
    bed.submit("IN.fo@Example.JP", &[&format!("c{tag}")]);
    bed.submit("in-fo@example.jp", &[&format!("d{tag}")]);
    bed.send(bed.uids[0], &format!("e{tag}"));
    bed.send(bed.uids[1], &format!("f{tag}"));
    for (name, fate) in [("a", "hold"), ("b", "hold"), ("c", "hold"), ("d", "sent"), ("e", "hold"), ("f", "sent")] {
        bed.ends(&format!("{name}{tag}"), fate);
    }
    // Without escaping, the neighbour would be held.
    let naive = bed.folder.join("etc/hikeshi/naive");
    std::fs::write(&naive, "/^in.fo@example.jp$/ HOLD\n").unwrap();
    let table =
        |path: &Path, name: &str| tool("postmap", &bed.config, &["-q", name, &format!("regexp:{}", path.display())]);
    assert_eq!(table(&naive, "in-fo@example.jp"), "HOLD\n", "the twin has no power");
    assert_eq!(table(&Table::Sasl.path(&bed.hold_file), "in-fo@example.jp"), "");

    done(actor.handle(lift(3, &who, &one, false)));
    bed.submit("in.fo@example.jp", &[&format!("g{tag}")]);
    bed.send(bed.uids[0], &format!("h{tag}"));
    bed.ends(&format!("g{tag}"), "sent");
    bed.ends(&format!("h{tag}"), "hold");
    done(actor.handle(lift(4, &who, &local, false)));
    bed.is_untouched(&main);

    // Names full of regexp signs: Postfix's own look-up finds the line of each, and no other name.
    let odd = ["a+b@x.jp", "<a>@x.jp", "[a-z]@x.jp", "a|b@x.jp", "a{2}@x.jp", "(a)@x.jp", "^a@x.jp", "a*?@x.jp"];
    for (n, name) in (10..).zip(odd) {
        done(actor.handle(impose(u64::from(n), &who, &restriction(n, 0, of(mailbox(name))), &[])));
    }
    for (n, name) in (10..).zip(odd) {
        assert_eq!(table(&Table::Sasl.path(&bed.hold_file), name), format!("HOLD {}\n", number(n)), "{name}");
    }
    for other in ["aab@x.jp", "b@x.jp", "aa@x.jp", "a@x.jp", "in.fo@example.jp"] {
        assert_eq!(table(&Table::Sasl.path(&bed.hold_file), other), "", "{other}");
    }
}

#[test]
fn an_account_is_held_as_uid_and_as_mailboxes_of_its_domains_and_nobody_else_is() {
    let Some(bed) = Bed::find() else { return };
    let (who, tag, main) = (account("plain", bed.uids[0]), std::process::id(), bed.main());
    let node = bed.node();
    let mut actor = node.open();
    let one = restriction(1, 0, of(whole("example.jp")));
    done(actor.handle(impose(1, &who, &one, &[])));
    for (at, user) in MAILBOXES.iter().enumerate() {
        bed.submit(user, &[&format!("m{at}-{tag}")]);
    }
    bed.send(bed.uids[0], &format!("n{tag}"));
    bed.send(bed.uids[1], &format!("o{tag}"));
    for (at, user) in MAILBOXES.iter().enumerate() {
        let held = user.to_lowercase().ends_with("@example.jp") || *user == "plain";
        bed.ends(&format!("m{at}-{tag}"), if held { "hold" } else { "sent" });
    }
    bed.ends(&format!("n{tag}"), "hold");
    bed.ends(&format!("o{tag}"), "sent");
    // The uid goes to somebody else while the line is there: seen, because it now holds a stranger's mail.
    let stranger = AccountRef { generation: 2, ..who.clone() };
    done(actor.handle(impose(2, &stranger, &restriction(2, 0, of(mailbox("info@other.test"))), &[])));
    let list = in_force(&mut actor);
    let (old, new) = if list[0].0 == one.id { (&list[0], &list[1]) } else { (&list[1], &list[0]) };
    assert!(old.1 && old.2.contains("now plain of generation 2: lift it"), "{}", old.2);
    assert!(!new.2.contains("generation"), "{}", new.2);
    done(actor.handle(lift(3, &stranger, &restriction(2, 0, of(mailbox("info@other.test"))), false)));

    done(actor.handle(lift(4, &who, &one, false)));
    bed.submit("in-fo@example.jp", &[&format!("p{tag}")]);
    bed.send(bed.uids[0], &format!("q{tag}"));
    bed.ends(&format!("p{tag}"), "sent");
    bed.ends(&format!("q{tag}"), "sent");
    bed.is_untouched(&main);
    crashes(&bed, &who, &of(whole("example.jp")), || {
        let there = [Table::Local, Table::Sasl].map(|table| bed.table(table).contains("HOLD"));
        assert_eq!(there[0], there[1], "half held");
        there[0]
    });
}

#[test]
fn a_door_that_hides_the_table_is_a_refusal_with_what_to_do() {
    let Some(bed) = Bed::find() else { return };
    let who = account("aa1", bed.uids[0]);
    let node = bed.node();
    let mut actor = node.open();
    let one = restriction(1, 0, of(mailbox("in.fo@example.jp")));
    let mut serial = 100;
    let mut refused = |with: &[&str], says: &str| {
        let (main, master) = (bed.main(), std::fs::read(bed.config.join("master.cf")).unwrap());
        tool("postconf", &bed.config, with);
        let why = failed(actor.handle(impose(serial, &who, &restriction(9, 0, one.measure.clone()), &[])));
        serial += 1;
        assert!(matches!(&why, Failure::Error(text) if text.contains(says)), "{why}");
        std::fs::write(bed.config.join("main.cf"), main).unwrap();
        std::fs::write(bed.config.join("master.cf"), master).unwrap();
        assert_eq!(bed.table(Table::Sasl), "");
    };
    let own = |parameter: &str| format!("127.0.0.1:{}/inet/{parameter}", bed.port);
    refused(&["-e", "smtpd_data_restrictions=permit_sasl_authenticated"], "smtpd_data_restrictions = ${{$smtpd_sasl");
    refused(&["-P", &own("smtpd_data_restrictions=permit")], "take that `-o` out");
    refused(&["-P", &own("smtpd_proxy_filter=127.0.0.1:9")], "HOLD is not possible");
    refused(&["-e", "smtpd_proxy_filter=127.0.0.1:9"], "HOLD is not possible");
    refused(&["-P", &own("smtpd_sasl_auth_enable=no")], "no service of Postfix takes passwords");
    // Somebody takes our entry out while the restriction is in force: seen, and no repair is claimed.
    let main = bed.main();
    done(actor.handle(impose(1, &who, &one, &[])));
    assert!(in_force(&mut actor)[0].1);
    tool("postconf", &bed.config, &["-X", "smtpd_data_restrictions"]);
    let (_, holds, what) = in_force(&mut actor).remove(0);
    assert!(!holds && what.contains("does not ask our table first"), "{what}");
    failed(actor.handle(impose(1, &who, &one, &[])));
    std::fs::write(bed.config.join("main.cf"), main).unwrap();
    assert!(in_force(&mut actor)[0].1);
    done(actor.handle(lift(2, &who, &one, false)));
    // A door without passwords hides nothing from anybody.
    tool("postconf", &bed.config, &["-P", &own("smtpd_sasl_auth_enable=no")]);
    tool("postconf", &bed.config, &["-P", &own("smtpd_data_restrictions=permit")]);
    let extra = "127.0.0.1:submission/inet=127.0.0.1:submission inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes";
    tool("postconf", &bed.config, &["-M", extra]);
    let two = restriction(2, 0, of(mailbox("in.fo@example.jp")));
    let would = actor.handle(dry(impose(3, &who, &two, &[])));
    assert!(matches!(&would[..], [model::packet::FromAct::Would { .. }]), "{would:?}");
}

#[test]
fn mail_that_we_put_on_hold_goes_on_in_batches_when_the_restriction_fails() {
    let Some(bed) = Bed::find() else { return };
    let (who, tag) = (account("aa1", bed.uids[0]), std::process::id());
    bed.set(&["defer_transports=smtp"]);
    let names: Vec<String> = (0..53).map(|n| format!("r{n}-{tag}")).collect();
    bed.submit("in.fo@example.jp", &names.iter().map(String::as_str).collect::<Vec<_>>());
    names.iter().for_each(|name| bed.ends(name, "deferred"));
    let queued: Vec<QueueId> = names.iter().map(|name| bed.id(name)).collect();
    // One was on hold before us, by the operator's hand: it stays so.
    tool("postsuper", &bed.config, &["-h", queued[0].as_str()]);

    let (batches, table) = (Arc::new(AtomicUsize::new(0)), Table::Sasl.path(&bed.hold_file));
    let node = bed.node();
    let (count, config) = (batches.clone(), bed.config.clone());
    let mut actor = node.open_with(Box::new(move |step| match step {
        "impose: queue held" => {
            let queue = tool("postqueue", &config, &["-j"]);
            assert_eq!(queue.matches("\"queue_name\": \"hold\"").count(), 53);
            std::fs::write(&table, "").unwrap();
        }
        "mail: one batch off hold" => drop(count.fetch_add(1, Ordering::Relaxed)),
        _ => {}
    }));
    let one = restriction(1, 0, Measure::HoldMail { scope: mailbox("in.fo@example.jp"), queued });
    let why = failed(actor.handle(impose(1, &who, &one, &[])));
    drop(actor);
    assert!(matches!(&why, Failure::NoEffect(_)), "{why}");
    assert_eq!(batches.load(Ordering::Relaxed), 2, "52 of ours, 50 at once");
    assert_eq!(bed.fate(&names[0]), "hold");
    assert!(names[1..].iter().all(|name| bed.fate(name) == "deferred"));

    // Killed with the queue on hold, and once more between two batches: all of ours goes on, and nothing else.
    for deadly in ["impose: queue held", "mail: one batch off hold"] {
        let died = catch_unwind(AssertUnwindSafe(|| {
            let mut actor = node.open_with(Box::new(move |step| {
                if step == deadly {
                    std::panic::panic_any("killed here");
                }
            }));
            actor.handle(impose(2, &who, &one, &[]))
        }));
        assert!(died.is_err(), "{deadly}");
    }
    let mut actor = node.open();
    assert_eq!((in_force(&mut actor), bed.table(Table::Sasl)), (vec![], String::new()));
    assert_eq!(bed.fate(&names[0]), "hold");
    assert!(names[1..].iter().all(|name| bed.fate(name) == "deferred"));
}

#[test]
fn refused_mail_ends_sendmail_with_75_for_this_account_alone() {
    let Some(bed) = Bed::find() else { return };
    let [uid, other] = bed.uids;
    let (tag, main) = (std::process::id(), bed.main());
    let name = Command::new("id").args(["-nu", &uid.to_string()]).output().unwrap().stdout;
    let who = account(String::from_utf8(name).unwrap().trim(), uid);
    let node = bed.node();
    let mut actor = node.open();
    let one = restriction(1, 0, Measure::RefuseMail);
    let what = done(actor.handle(impose(1, &who, &one, &[])));
    assert!(what.contains("what a form sends is refused and not kept"), "{what}");
    assert_eq!(bed.sendmail(uid, "no"), Some(75));
    bed.send(other, &format!("yes{tag}"));
    bed.ends(&format!("yes{tag}"), "sent");
    std::fs::write(Table::Refused.path(&bed.hold_file), "").unwrap();
    assert!(!in_force(&mut actor)[0].1, "a table that somebody emptied is drift");
    done(actor.handle(impose(1, &who, &one, &[])));
    assert_eq!(bed.sendmail(uid, "no"), Some(75));
    let two = restriction(2, 0, Measure::RefuseMail);
    done(actor.handle(impose(2, &who, &two, &[])));
    let what = done(actor.handle(lift(3, &who, &one, false)));
    assert!(what.contains("still refused by another"), "{what}");
    done(actor.handle(lift(4, &who, &two, false)));
    bed.send(uid, &format!("again{tag}"));
    bed.ends(&format!("again{tag}"), "sent");
    bed.is_untouched(&main);
    crashes(&bed, &who, &Measure::RefuseMail, || bed.table(Table::Refused).contains(who.name.as_str()));

    // A file that postdrop cannot read would refuse everybody; a parameter that does not name it, nobody.
    let path = Table::Refused.path(&bed.hold_file);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let why = failed(actor.handle(impose(8, &who, &restriction(8, 0, Measure::RefuseMail), &[])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("chmod o+r")), "{why}");
    assert_eq!(bed.sendmail(other, "no"), Some(75), "the danger is real");
    tool("postconf", &bed.config, &["-e", "authorized_submit_users=static:anyone"]);
    let why = failed(actor.handle(impose(9, &who, &restriction(9, 0, Measure::RefuseMail), &[])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("can_refuse = true")), "{why}");
}

#[test]
fn a_list_of_a_hundred_restrictions_starts_as_many_programs_as_a_list_of_six() {
    if !netns::inside("a_list_of_a_hundred_restrictions_starts_as_many_programs_as_a_list_of_six") {
        return;
    }
    netns::run("/usr/sbin/ip", &["link", "set", "lo", "up"]); // Postfix's programs look for addresses
    let mut node = Node::new();
    let folder = node.folder.path().to_owned();
    let hold_file = folder.join("hold/table");
    std::fs::create_dir(folder.join("hold")).unwrap();
    open_to_all(&folder.join("hold"));
    if !node::postfix::configure(&folder, &hold_file) {
        return skipped("no Postfix is installed");
    }
    node.config.postfix =
        Some(PostfixConfig { config_dir: Some(folder.join("postfix")), hold_file: hold_file.clone() });
    node.config.net = Some(act::NetConfig { updates: vec![], never: vec![], resolv_conf: "/dev/null".into() });
    node.config.budgets = act::Budgets { accounts_per_hour: 1000, accounts_per_day: 1000 };
    let started = counted(&folder);
    let mut actor = node.open();
    let mut of_orders = std::collections::BTreeSet::new();
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for serial in 0..100u16 {
        let measure = match serial % 6 {
            0 => hold(vec![]),
            1 => of(mailbox(&format!("box{serial}@example.jp"))),
            2 => of(whole(&format!("shop{serial}.jp"))),
            3 => Measure::RefuseMail,
            4 => Measure::BlockOutbound,
            _ => Measure::ThrottleSource { sources: vec!["192.0.2.7".parse().unwrap()] },
        };
        let who = account(&format!("user{serial}"), 20_400 + u32::from(serial));
        started();
        done(actor.handle(impose(u64::from(serial), &who, &restriction(serial, 0, measure), &[])));
        of_orders.insert((serial % 6, started()));
        if serial == 5 {
            assert!(in_force(&mut actor).iter().all(|(_, holds, _)| *holds));
            few = started();
        }
    }
    assert!(in_force(&mut actor).iter().all(|(_, holds, _)| *holds));
    many.append(&mut started());
    assert_eq!(many, few);
    assert_eq!(many, ["nft", "postconf", "postconf", "postconf", "postconf"]);
    assert_eq!(of_orders.len(), 6, "an order starts the same programs whatever is in force: {of_orders:?}");
    assert!(of_orders.iter().all(|(_, programs)| programs.len() <= 16), "{of_orders:?}");
    // The naive twin asks for each restriction.
    let config = folder.join("postfix");
    (0..100).for_each(|_| drop(act::postfix::Postfix::read(config.to_str().unwrap(), &hold_file).unwrap()));
    assert_eq!(started().len(), 200);
}

/// Puts a counter before each program that mail and filter need, in our own view of the file system; what was started
/// since the last call, in order of the names.
fn counted(folder: &Path) -> impl Fn() -> Vec<String> + use<> {
    let log = folder.join("started");
    for name in ["postconf", "postmap", "postfix", "postsuper", "nft"] {
        let (program, real, counter) =
            (Path::new("/usr/sbin").join(name), folder.join(format!("{name}-real")), folder.join(name));
        let counter = counter.with_extension("sh");
        std::fs::copy(&program, &real).unwrap();
        let text = format!("#!/bin/sh\necho {name} >>{}\nexec {} \"$@\"\n", log.display(), real.display());
        std::fs::write(&counter, text).unwrap();
        std::fs::set_permissions(&counter, PermissionsExt::from_mode(0o755)).unwrap();
        netns::run("/usr/bin/mount", &["--bind", counter.to_str().unwrap(), program.to_str().unwrap()]);
    }
    move || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}
