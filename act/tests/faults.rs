//! What breaks around act: pids are reused, accounts are deleted, file systems are full or read-only.
//!
//! Tests that change the node run in namespaces of their own: the test program starts itself again below unshare(1), so
//! that a mount or a pid counter is nobody else's.

mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

use act::Actor;
use model::packet::SiteHandle;
use model::{AccountRef, Failure, GateKey, Measure, ProcessRef, Restriction};
use node::*;

/// Free uids of these tests.
const ALICE: u32 = 20_326;
const BOB: u32 = 20_327;

/// True inside of new namespaces; outside the same test is started again inside of them and must pass.
fn inside(test: &str, namespaces: &[&str]) -> bool {
    const INSIDE: &str = "HK_FAULTS_INSIDE";
    if std::env::var(INSIDE).is_ok_and(|name| name == test) {
        return true;
    }
    if !is_root() || !Path::new("/usr/bin/unshare").exists() {
        skipped("namespaces of its own need root and unshare");
        return false;
    }
    let scratch = tempfile::tempdir().unwrap();
    open_to_all(scratch.path());
    let mut command = Command::new("/usr/bin/unshare");
    command.args(namespaces).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    // Others fork beside us only where the pids are not ours alone; one thread keeps them predictable.
    let run = command.arg("--test-threads=1").env(INSIDE, test).env("TMPDIR", scratch.path()).output().unwrap();
    let text = [String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr)].concat();
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
    for line in text.lines().filter(|line| line.starts_with("SKIPPED: ")) {
        skipped(line.trim_start_matches("SKIPPED: "));
    }
    false
}

fn mount(arguments: &[&str], at: &Path) {
    let run = Command::new("/usr/bin/mount").args(arguments).arg(at).output().unwrap();
    assert!(run.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
}

fn blog() -> SiteHandle {
    site("blog.test", vec![GateKey::Nginx("blog.test".into()), GateKey::Apache("/srv/alice/blog".into())])
}

fn close(serial: u16) -> Restriction {
    restriction(serial, 0, Measure::CloseSite { site: "blog.test".parse().unwrap() })
}

fn is_closed(node: &Node) -> bool {
    let there =
        ["nginx/blog.test", "apache/srv/alice/blog/.hikeshi-closed"].map(|flag| node.gate().join(flag).exists());
    assert_eq!(there[0], there[1], "half closed");
    there[0]
}

/// A process with exactly this pid, of this program; the kernel is told which pid comes next (pid_namespaces(7)).
fn with_pid(pid: u32, uid: u32, program: &str, argument: &str) -> Option<Sleeper> {
    (0..50).find_map(|_| {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let one = run_as(uid, program, &[argument]);
        (one.0.id() == pid).then_some(one)
    })
}

/// Waits until the kernel's clock has left the tick in which this process started.
fn next_tick(process: &ProcessRef) {
    let ticks = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        (now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000) * sys::process::ticks_per_second() / 1000
    };
    eventually("the next tick", || ticks() > process.start_ticks + 1);
}

#[test]
fn a_pid_that_was_given_again_is_neither_frozen_nor_woken_nor_ended() {
    let test = "a_pid_that_was_given_again_is_neither_frozen_nor_woken_nor_ended";
    if !inside(test, &["--pid", "--fork", "--mount-proc"]) {
        return;
    }
    if !Path::new("/proc/sys/kernel/ns_last_pid").exists() {
        return skipped("this kernel cannot be told the next pid");
    }
    let mut node = Node::new();
    node.config.cgroups = false;
    let alice = account("alice", ALICE);
    let mut actor = node.open();
    let (mut naive_hits, mut intent) = (0, 0);
    for round in 0..60u16 {
        let victim = sleeper(ALICE);
        let is = reference(victim.0.id());
        let one = restriction(round, 0, Measure::FreezeProcess { processes: vec![is.clone()] });
        let frozen_before = round % 2 == 1;
        intent += 3;
        if frozen_before {
            done(actor.handle(impose(intent, &alice, &one, &[])));
        }
        drop(victim);
        next_tick(&is);
        // The same program of the same account, or another one of a neighbour, or a service of the node.
        let (uid, program, argument) = match round % 3 {
            0 => (ALICE, "/usr/bin/sleep", "60"),
            1 => (BOB, "/usr/bin/sleep", "60"),
            _ => (0, "/usr/bin/tail", "-f"),
        };
        let Some(stranger) = with_pid(is.pid, uid, program, argument) else { continue };
        // The naive twin looks at the pid, the uid and the program.
        let now = reference(is.pid);
        naive_hits += usize::from((now.uid, now.exe_ino) == (is.uid, is.exe_ino));
        if frozen_before {
            assert!(!in_force(&mut actor)[0].1, "nothing that was frozen is left");
            let answer = actor.handle(lift(intent + 1, &alice, &one, round % 4 == 1));
            // A guard may say so; a stranger is never signalled.
            assert!(matches!(
                answer[..],
                [model::packet::FromAct::Done { .. }] | [model::packet::FromAct::Failed { .. }]
            ));
        } else {
            let why = failed(actor.handle(impose(intent, &alice, &one, &[])));
            assert!(matches!(why, Failure::Gone(_)), "{why}");
        }
        assert_eq!(in_force(&mut actor), []);
        eventually("the stranger sleeps", || state(is.pid) == 'S');
        drop(stranger);
    }
    assert!(naive_hits >= 10, "only {naive_hits} strangers looked like the victim: the test has no power");
}

#[test]
fn what_a_deleted_account_leaves_can_be_lifted_and_its_successor_inherits_nothing() {
    if !is_root() {
        return skipped("other uids need root");
    }
    let mut node = Node::new();
    node.config.cgroups = false;
    let home = node.folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let (first, next) = (account("alice", ALICE), AccountRef { generation: 2, ..account("alice", ALICE) });
    let mut actor = node.open();
    let guilty = sleeper(ALICE);
    let freeze = restriction(1, 0, Measure::FreezeProcess { processes: vec![reference(guilty.0.id())] });
    done(actor.handle(impose(1, &first, &freeze, &[])));
    done(actor.handle(impose(2, &first, &close(2), &[blog()])));

    // The account is deleted, home and processes with it; the name and the uid are given to somebody else.
    drop(guilty);
    std::fs::remove_dir(&home).unwrap();
    drop(actor);
    let mut actor = node.open();
    assert_eq!(in_force(&mut actor).len(), 2, "nothing is forgotten on a guess");
    assert!(is_closed(&node));
    let newcomer = sleeper(ALICE);
    // A check by uid, or by name, would take one for the other.
    assert_eq!((first.uid, &first.name), (next.uid, &next.name));
    for (intent, one) in [(10, &freeze), (11, &close(2))] {
        let why = failed(actor.handle(lift(intent, &next, one, true)));
        assert!(matches!(why, Failure::Guard(_)), "{why}");
        assert!(matches!(
            failed(actor.handle(impose(intent + 10, &next, one, &[blog()]))),
            Failure::Error(_) | Failure::Gone(_)
        ));
    }
    assert_eq!(in_force(&mut actor).len(), 2);
    // What the first one left is lifted; the newcomer's process was never touched.
    done(actor.handle(lift(30, &first, &freeze, true)));
    done(actor.handle(lift(31, &first, &close(2), false)));
    assert_eq!(in_force(&mut actor), []);
    assert!(!is_closed(&node));
    eventually("the newcomer sleeps", || state(newcomer.0.id()) == 'S');
}

#[test]
fn a_read_only_gate_keeps_what_is_closed_closed_and_what_is_open_open() {
    let test = "a_read_only_gate_keeps_what_is_closed_closed_and_what_is_open_open";
    if !inside(test, &["--mount", "--propagation", "private"]) {
        return;
    }
    let node = Node::new();
    mount(&["-t", "tmpfs", "-o", "mode=0711,size=4m", "tmpfs"], &node.gate());
    let alice = account("alice", ALICE);
    let mut actor = node.open();
    let (one, other) = (close(1), restriction(2, 0, Measure::CloseSite { site: "shop.test".parse().unwrap() }));
    let shop = site("shop.test", vec![GateKey::Nginx("shop.test".into())]);
    done(actor.handle(impose(1, &alice, &one, &[blog()])));
    mount(&["-o", "remount,ro"], &node.gate());

    // Closed stays closed, and a lift that does nothing is no lift.
    let why = failed(actor.handle(lift(2, &alice, &one, false))).to_string();
    assert!(why.contains("flag file") && is_closed(&node), "{why}");
    // What cannot be closed is said not to be.
    let why = failed(actor.handle(impose(3, &alice, &other, std::slice::from_ref(&shop)))).to_string();
    assert!(why.contains("flag file"), "{why}");
    assert!(!node.gate().join("nginx/shop.test").exists());
    // A restart on the same folder changes nothing either.
    drop(actor);
    let mut actor = node.open();
    assert!(is_closed(&node) && !node.gate().join("nginx/shop.test").exists());

    mount(&["-o", "remount,rw"], &node.gate());
    node.pass_time(60);
    actor.tick();
    assert_eq!(in_force(&mut actor), [], "the lift that was ordered is finished, the other order taken back");
    assert!(!is_closed(&node));
    done(actor.handle(impose(4, &alice, &other, &[shop])));
}

#[test]
fn without_a_writable_journal_nothing_begins_and_nothing_that_holds_is_opened() {
    let test = "without_a_writable_journal_nothing_begins_and_nothing_that_holds_is_opened";
    if !inside(test, &["--mount", "--propagation", "private"]) {
        return;
    }
    let node = Node::new();
    mount(&["-t", "tmpfs", "-o", "mode=0700,size=4m", "tmpfs"], &node.config.state_dir);
    let alice = account("alice", ALICE);
    done(node.open().handle(impose(1, &alice, &close(1), &[blog()])));
    mount(&["-o", "remount,ro"], &node.config.state_dir);
    let why = Actor::open(node.config.clone()).err().expect("an act that cannot write down must not begin");
    let state = node.config.state_dir.display().to_string();
    assert!(why.kind() == std::io::ErrorKind::ReadOnlyFilesystem && why.to_string().contains(&state), "{why}");
    assert!(is_closed(&node), "it stays closed without anybody alive");
    mount(&["-o", "remount,rw"], &node.config.state_dir);
    let mut actor = node.open();
    assert!(in_force(&mut actor)[0].1);
    done(actor.handle(lift(2, &alice, &close(1), false)));
}

/// Fills the file system until this many bytes are left.
fn fill(folder: &Path, left: u64) -> PathBuf {
    let filler = folder.join("filler");
    let stat = rustix::fs::statvfs(folder).unwrap();
    let most = (stat.f_bavail * stat.f_frsize).saturating_sub(left);
    std::fs::write(&filler, vec![b'x'; most as usize]).unwrap();
    filler
}

#[test]
fn a_full_disk_under_journal_or_gate_loses_nothing_that_was_acknowledged_and_leaves_nothing_half_done() {
    let test = "a_full_disk_under_journal_or_gate_loses_nothing_that_was_acknowledged_and_leaves_nothing_half_done";
    if !inside(test, &["--mount", "--propagation", "private"]) {
        return;
    }
    let alice = account("alice", ALICE);
    let (mut refused, mut done) = (0, 0);
    for full in ["state", "gate"] {
        for pages in 0..12u64 {
            let node = Node::new();
            let folder = node.folder.path().join(full);
            let mode = if full == "state" { "mode=0700,size=256k" } else { "mode=0711,size=256k" };
            mount(&["-t", "tmpfs", "-o", mode, "tmpfs"], &folder);
            let mut actor = node.open();
            let filler = fill(&folder, pages * 4096);
            // Orders until one is refused for want of room, each a little longer than a record before.
            let mut closed = false;
            for intent in 1..60u64 {
                let mut one = close(1);
                one.why.rule = "x".repeat(300);
                let packet = match closed {
                    false => impose(intent, &alice, &one, &[blog()]),
                    true => lift(intent, &alice, &one, false),
                };
                let answer = actor.handle(packet);
                if !closed && matches!(answer[..], [model::packet::FromAct::Failed { .. }]) {
                    assert!(!is_closed(&node), "{full}, {pages} pages: {answer:?}, and yet it is closed");
                }
                actor.tick();
                match answer.as_slice() {
                    [model::packet::FromAct::Done { .. }] => {
                        closed = !closed;
                        done += 1;
                        assert_eq!(is_closed(&node), closed, "{full}, {pages} pages, order {intent}: {answer:?}");
                    }
                    [model::packet::FromAct::Failed { why, .. }] => {
                        refused += 1;
                        let why = why.to_string();
                        assert!(why.contains("free space") || why.contains("taken back"), "{why}");
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            // The same journal read anew says the same of what was acknowledged; a lift that was only begun may finish.
            drop(actor);
            std::fs::remove_file(filler).unwrap();
            node.pass_time(60);
            let mut actor = node.open();
            let list = in_force(&mut actor);
            assert_eq!(!list.is_empty(), is_closed(&node), "{full}, {pages} pages: {list:?}");
            assert!(list.iter().all(|(_, holds, _)| *holds), "{full}, {pages} pages: {list:?}");
            if !closed {
                assert_eq!(list, [], "{full}, {pages} pages: refused and yet in force");
            }
            // With room again everything works.
            node::done(actor.handle(impose(100, &alice, &close(2), &[blog()])));
            node::done(actor.handle(lift(101, &alice, &close(2), false)));
        }
    }
    assert!(refused >= 6 && done >= 100, "{refused} refused, {done} done: the test has no power");
}

#[test]
fn a_lift_that_cannot_be_written_down_says_what_it_did_and_is_not_done_again_with_every_tick() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    let test = "a_lift_that_cannot_be_written_down_says_what_it_did_and_is_not_done_again_with_every_tick";
    if !inside(test, &["--mount", "--propagation", "private"]) {
        return;
    }
    let (node, alice) = (Node::new(), account("alice", ALICE));
    let state = node.config.state_dir.clone();
    mount(&["-t", "tmpfs", "-o", "mode=0700,size=1m", "tmpfs"], &state);
    let (anew, folder) = (Arc::new(AtomicU64::new(0)), state.clone());
    let count = anew.clone();
    let mut actor = node.open_with(Box::new(move |step| {
        count.fetch_add(u64::from(step == "set: written anew"), Relaxed);
        // What is left of the journal's last page is too little for the answer.
        let left = 4096 - std::fs::metadata(folder.join("journal")).unwrap().len() % 4096;
        if step == "lift: journalled" && left < 90 {
            fill(&folder, 0);
        }
    }));
    let mut number = 0;
    let answer = loop {
        number += 2;
        let mut one = close(1);
        one.why.rule = "x".repeat(number as usize * 7 % 400);
        done(actor.handle(impose(number, &alice, &one, &[blog()])));
        match actor.handle(lift(number + 1, &alice, &one, false)).pop() {
            Some(model::packet::FromAct::Failed { why, .. }) => break why.to_string(),
            _ => assert!(number < 1000, "the disk was never full at the right moment"),
        }
    };
    assert!(answer.contains("flags lifted") && answer.contains("once more"), "{answer}");
    assert!(answer.contains("free space") && !answer.contains("nothing is done"), "{answer}");
    assert!(!is_closed(&node));
    let mut tick = |passed: u64| {
        node.pass_time(passed);
        anew.store(0, Relaxed);
        actor.tick();
        anew.load(Relaxed)
    };
    // The naive twin writes all of it anew every second, and each time servers are reloaded.
    let all: Vec<u64> = [0, 1, 1, 8, 0, 19, 1].map(&mut tick).to_vec();
    assert_eq!(all, [0, 0, 0, 1, 0, 0, 1]);
    std::fs::remove_file(state.join("filler")).unwrap();
    assert_eq!((tick(40), tick(300)), (1, 0), "with room it is over");
    assert_eq!(in_force(&mut actor), []);
}

#[test]
fn above_the_length_of_a_summary_a_nearly_full_disk_still_takes_orders() {
    let test = "above_the_length_of_a_summary_a_nearly_full_disk_still_takes_orders";
    if !inside(test, &["--mount", "--propagation", "private"]) {
        return;
    }
    let (mut node, alice) = (Node::new(), account("alice", ALICE));
    node.config.budgets.accounts_per_hour = 9;
    let state = node.config.state_dir.clone();
    mount(&["-t", "tmpfs", "-o", "mode=0700,size=32m", "tmpfs"], &state);
    let mut actor = node.open();
    let mut number = 0;
    let size = || std::fs::metadata(state.join("journal")).unwrap().len();
    let mut close_long = |actor: &mut Actor| {
        number += 1;
        let mut one = close(number);
        one.why.rule = "x".repeat(200_000);
        done(actor.handle(impose(u64::from(number), &alice, &one, &[blog()])));
        number
    };
    while size() < (8 << 20) - 300_000 {
        close_long(&mut actor);
    }
    // Room for some records, and by far not for all of them again.
    let filler = fill(&state, 1 << 20);
    close_long(&mut actor);
    close_long(&mut actor);
    let (before, number) = (size(), close_long(&mut actor));
    assert!(before > 8 << 20, "not long enough to be summed up: the test has no power");
    done(actor.handle(impose(1000, &alice, &close(1000), &[blog()])));
    done(actor.handle(lift(1001, &alice, &close(1000), false)));
    done(actor.handle(lift(1002, &alice, &close(1), false)));
    assert!(size() > before, "the summary had room: the test has no power");
    let names = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["filler", "journal", "lock"], "nothing unfinished takes what is left");
    // Read anew it says the same; with room it is summed up.
    drop(actor);
    let mut actor = node.open();
    assert_eq!(in_force(&mut actor).len(), usize::from(number) - 1);
    std::fs::remove_file(filler).unwrap();
    let full = size();
    done(actor.handle(lift(1003, &alice, &close(2), false)));
    assert!(size() < full);
}
