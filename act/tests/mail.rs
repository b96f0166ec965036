//! Mail of one uid on a real Postfix: held, others flow, lifted, queue ids, death at every step.
//!
//! Needs a running Postfix instance that tenants may use and whose mail goes to a sink (the test bed). Its folder,
//! with `etc/postfix`, `log/mail.log` and `spool/postfix`, is given in `HK_BED`, two tenant uids in `HK_BED_UIDS`.

mod node;

use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use act::PostfixConfig;
use model::{AccountRef, Failure, Measure, QueueId};
use node::*;

struct Bed {
    folder: PathBuf,
    config: PathBuf,
    hold_file: PathBuf,
    uids: [u32; 2],
    checks: String,
}

impl Bed {
    fn find() -> Option<Bed> {
        let (Ok(folder), Ok(uids)) = (std::env::var("HK_BED"), std::env::var("HK_BED_UIDS")) else {
            skipped("no Postfix; set HK_BED to a test bed's folder and HK_BED_UIDS to two of its uids");
            return None;
        };
        let folder = PathBuf::from(folder);
        let uids: Vec<u32> = uids.split(' ').map(|uid| uid.parse().unwrap()).collect();
        let config = folder.join("etc/postfix");
        let hold = folder.join("etc/hikeshi");
        std::fs::create_dir_all(&hold).unwrap();
        std::fs::write(hold.join("hold"), "").unwrap();
        let ours = format!("regexp:{}", hold.join("hold").display());
        let checks = tool("postconf", &config, &["-h", "header_checks"]);
        let checks = checks.split_whitespace().filter(|table| *table != ours).collect::<Vec<_>>().join(" ");
        let bed = Bed { folder, config, hold_file: hold.join("hold"), uids: [uids[0], uids[1]], checks };
        bed.set(&format!("header_checks=regexp:{} {}", bed.hold_file.display(), bed.checks));
        Some(bed)
    }

    fn set(&self, parameter: &str) {
        tool("postconf", &self.config, &["-e", parameter]);
        tool("postfix", &self.config, &["reload"]);
    }

    fn node(&self) -> Node {
        let mut node = Node::new();
        node.config.postfix =
            Some(PostfixConfig { config_dir: Some(self.config.clone()), hold_file: self.hold_file.clone() });
        node
    }

    /// As PHP's mail() does: sendmail of the tenant, recipients on standard input, a lying sender.
    fn send(&self, uid: u32, to: &str) {
        use std::io::Write;
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
        assert!(child.wait().unwrap().success());
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
        self.set("defer_transports=");
        self.set("enable_long_queue_ids=yes");
        self.set(&format!("header_checks={}", self.checks));
        tool("postsuper", &self.config, &["-d", "ALL"]);
    }
}

fn tool(name: &str, config: &Path, arguments: &[&str]) -> String {
    let run = Command::new(Path::new("/usr/sbin").join(name)).arg("-c").arg(config).args(arguments).output().unwrap();
    String::from_utf8_lossy(&run.stdout).into_owned()
}

fn hold(queued: Vec<QueueId>) -> Measure {
    Measure::HoldMail { scope: model::MailScope::Local, queued }
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
    bed.set("defer_transports=smtp");
    bed.send(uid, &format!("waits{tag}"));
    bed.ends(&format!("waits{tag}"), "deferred");
    let waiting = bed.id(&format!("waits{tag}"));

    let one = restriction(1, 0, hold(vec![waiting, "4jZ3Dq58q9zB4B2".parse().unwrap()]));
    let what = done(actor.handle(impose(1, &who, &one, &[])));
    assert!(what.contains("1 of 2 waiting"), "{what}");
    assert_eq!(bed.fate(&format!("waits{tag}")), "hold");
    bed.set("defer_transports=");
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
    assert!(what.contains("7 messages"), "{what}");
    bed.send(uid, &format!("after{tag}"));
    bed.ends(&format!("after{tag}"), "sent");
    assert_eq!(bed.fate(&format!("held{tag}-0")), "hold", "what was held stays for a person to sort");

    refusals(&bed, &node, &mut actor, &who);
    drop(actor);
    crashes(&bed, &other);
}

fn refusals(bed: &Bed, node: &Node, actor: &mut act::Actor, who: &AccountRef) {
    tool("postconf", &bed.config, &["-e", "enable_long_queue_ids=no"]);
    let one = restriction(7, 0, hold(vec!["4jZ3Dq58q9zB4B2".parse().unwrap()]));
    let why = failed(actor.handle(impose(70, who, &one, &[])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("enable_long_queue_ids = yes")), "{why}");
    tool("postconf", &bed.config, &["-e", "enable_long_queue_ids=yes"]);
    // Not named first in header_checks: the hold would do nothing, so it is refused with the line to write.
    tool("postconf", &bed.config, &["-e", &format!("header_checks={} regexp:{}", bed.checks, bed.hold_file.display())]);
    let why = failed(actor.handle(impose(71, who, &one, &[])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("header_checks = regexp:")), "{why}");
    tool("postconf", &bed.config, &["-e", &format!("header_checks=regexp:{} {}", bed.hold_file.display(), bed.checks)]);
    assert!(!std::fs::read_to_string(&bed.hold_file).unwrap().contains("HOLD"));
    assert!(node.config.postfix.is_some());
}

fn crashes(bed: &Bed, who: &AccountRef) {
    let held = || std::fs::read_to_string(&bed.hold_file).unwrap().contains(&format!("userid {}", who.uid));
    let one = restriction(3, 0, hold(vec![]));
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
            assert_eq!(held(), !list.is_empty(), "step {n}, lifting {lifting}");
            done(actor.handle(packet));
            assert_eq!(held(), !lifting, "sent again after step {n}");
            done(actor.handle(lift(3, who, &one, false)));
            if !died {
                assert!(n > 3, "the hook was never called");
                break;
            }
        }
    }
}
