//! Files that are set aside: what is refused, what comes back exactly, budgets, retention, faults, death at each step.

#[path = "../../sys/tests/fault/mod.rs"]
mod fault;
mod node;

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use act::Reach;
use model::{AccountRef, Failure, Hash};
use node::aside::*;
use node::*;

#[test]
fn a_file_is_set_aside_and_comes_back_as_it_was() {
    let (node, home) = homely();
    folder(&home.join("www"));
    let file = home.join("www/shell.php");
    write(&file, "<?php # inert");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o4751)).unwrap();
    let _ = rustix::fs::setxattr(&file, "user.note", b"mine", rustix::fs::XattrFlags::empty());
    let before = snapshot(&home);
    let one = aside(1, vec![judged(&home, "www/shell.php")], 0);
    let mut actor = node.open();
    let order = impose_in(1, &alice(), &home, &one, true);
    let would = actor.handle(dry(order.clone()));
    assert!(format!("{would:?}").contains("www/shell.php") && file.exists());
    assert_eq!(done(actor.handle(order.clone())), "1 of 1 files set aside");
    assert!(!file.exists() && shelf(&node).len() == 1);
    // The folder does not tell by its time that something was taken.
    assert_eq!(snapshot(&home)[&b"www"[..]], before[&b"www"[..]]);
    assert_eq!(done(actor.handle(order)), "1 of 1 files set aside", "the same order again");
    assert_eq!(done(set_aside(&mut actor, 2, &home, &one)), "1 of 1 files set aside", "a newer order");
    drop(actor);
    let mut actor = node.open();
    assert!(in_force(&mut actor)[0].1, "after a restart");
    assert_eq!(done(actor.handle(lift(3, &alice(), &one, false))), "1 files are back where they were");
    assert_eq!(snapshot(&home), before);
    assert!(shelf(&node).is_empty() && in_force(&mut actor).is_empty());
}

#[test]
fn what_is_not_a_plain_file_of_the_account_is_refused_with_the_next_step() {
    let (node, home) = homely();
    for name in ["www", "www/Box", "www/Box/cur", "www/Box/new", "www/Box/tmp", "www/tmp", "mail"] {
        folder(&home.join(name));
    }
    let names = ["hard", "db.sqlite", "www/Box/cur/1.2:2,S", "mail/inbox", "www/tmp/x.php", "moved", "stays"];
    names.iter().for_each(|name| write(&home.join(name), "text"));
    std::fs::hard_link(home.join("hard"), home.join("hard2")).unwrap();
    symlink("/etc/passwd", home.join("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, home.join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    symlink("www", home.join("through")).unwrap();
    let mut actor = node.open();
    let mut serial = 0;
    let mut why = |actor: &mut act::Actor, file| {
        serial += 1;
        failed(set_aside(actor, serial.into(), &home, &aside(serial, vec![file], 0)))
    };
    for (name, says) in [
        ("hard", "copy it as evidence"),
        ("link", "not a regular file"),
        ("fifo", "not a regular file"),
        ("www", "not a regular file"),
        ("db.sqlite", "database"),
        ("www/Box/cur/1.2:2,S", "Maildir"),
        ("mail/inbox", "mail folder"),
    ] {
        let why = why(&mut actor, judged(&home, name));
        assert!(matches!(&why, Failure::Guard(text) if text.contains(says)), "{name}: {why}");
    }
    // A path through a link: the naive twin, which opens by path, reads the file all the same.
    let through = judged(&home, "through/tmp/x.php");
    assert_eq!(std::fs::read(home.join("through/tmp/x.php")).unwrap(), b"text");
    assert!(matches!(why(&mut actor, through), Failure::Guard(text) if text.contains("link")));
    // Other content, the same size: the twin, which compares the size, would take it.
    let stale = judged(&home, "moved");
    write(&home.join("moved"), "TEXT");
    assert!(matches!(why(&mut actor, stale), Failure::Gone(_)));
    let mut forged = judged(&home, "stays");
    forged.hash = Hash::of(b"other");
    assert!(matches!(why(&mut actor, forged), Failure::Gone(_)));
    let mut gone = judged(&home, "stays");
    gone.path = "no/where".parse().unwrap();
    assert!(matches!(why(&mut actor, gone), Failure::Gone(_)));
    assert!(shelf(&node).is_empty());
    // A `tmp` of its own is where attackers put things, and no Maildir.
    done(set_aside(&mut actor, 99, &home, &aside(99, vec![judged(&home, "www/tmp/x.php")], 0)));
}

#[test]
fn other_owners_and_foreign_homes_are_refused() {
    if !is_root() {
        skipped("other owners need root");
        return;
    }
    let (node, home) = homely();
    folder(&home.join("root's"));
    write(&home.join("root's/mine"), "text");
    let chown = |name: &str, uid| std::os::unix::fs::chown(home.join(name), Some(uid), Some(uid)).unwrap();
    chown("root's", 0);
    write(&home.join("foreign"), "text");
    chown("foreign", 20_201);
    write(&home.join("mine"), "text");
    let mut actor = node.open();
    let why = |actor: &mut act::Actor, serial: u16, home: &Path, name: &str| {
        failed(set_aside(actor, serial.into(), home, &aside(serial, vec![judged(home, name)], 0))).to_string()
    };
    assert!(why(&mut actor, 1, &home, "foreign").contains("belongs to uid 20201"));
    assert!(why(&mut actor, 2, &home, "root's/mine").contains("could not take it back"));
    let link = node.folder.path().join("linked-home");
    symlink(&home, &link).unwrap();
    assert!(why(&mut actor, 3, &link, "mine").contains("without links"));
    std::os::unix::fs::chown(&home, Some(20_201), None).unwrap();
    assert!(why(&mut actor, 4, &home, "mine").contains("belongs to uid 20201"));
    std::os::unix::fs::chown(&home, Some(0), None).unwrap();
    assert!(why(&mut actor, 5, &home, "mine").contains("could not take it back"), "root's home, but its folder too");
    assert!(
        failed(actor.handle(impose(6, &alice(), &aside(6, vec![judged(&home, "mine")], 0), &[])))
            .to_string()
            .contains("home \"\"")
    );
    assert!(shelf(&node).is_empty());
}

#[test]
fn an_immutable_file_says_chattr() {
    let (node, home) = homely();
    write(&home.join("fixed"), "text");
    let chattr = |sign: &str| {
        let status = std::process::Command::new("chattr").arg(sign).arg(home.join("fixed")).output();
        status.is_ok_and(|out| out.status.success())
    };
    if !is_root() || !chattr("+i") {
        skipped("chattr, root and a file system with attributes are needed");
        return;
    }
    let why = failed(set_aside(&mut node.open(), 1, &home, &aside(1, vec![judged(&home, "fixed")], 0)));
    assert!(chattr("-i") && matches!(why, Failure::Guard(why) if why.contains("chattr -i")));
}

#[test]
fn without_a_quarantine_folder_on_the_file_system_the_key_is_named() {
    let (mut node, home) = homely();
    write(&home.join("a"), "text");
    let one = aside(1, vec![judged(&home, "a")], 0);
    let there = node.config.quarantine_dirs.clone();
    node.config.quarantine_dirs = vec![home.join("not-there")];
    let why = failed(set_aside(&mut node.open(), 1, &home, &one));
    assert!(matches!(&why, Failure::Error(why) if why.contains("[paths] quarantine")), "{why}");
    if let Ok(other) = tempfile::tempdir_in("/dev/shm")
        && std::fs::metadata("/dev/shm").unwrap().dev() != std::fs::metadata(&home).unwrap().dev()
    {
        std::fs::set_permissions(other.path(), PermissionsExt::from_mode(0o700)).unwrap();
        node.config.quarantine_dirs = vec![other.path().to_owned()];
        let why = failed(set_aside(&mut node.open(), 2, &home, &one));
        assert!(matches!(&why, Failure::Error(why) if why.contains("file system")), "{why}");
    }
    // One that others can look into is refused at the start.
    std::fs::set_permissions(&there[0], PermissionsExt::from_mode(0o711)).unwrap();
    node.config.quarantine_dirs = there;
    let opened = act::Actor::open_with(node.config.clone(), Box::new(node.clock.clone()), Box::new(|_| {}));
    assert!(opened.err().unwrap().to_string().contains("0700"));
}

#[test]
fn the_demo_touches_no_home_outside_of_its_folder() {
    let (mut node, home) = homely();
    write(&home.join("a"), "text");
    let outside = tempfile::tempdir().unwrap();
    open_to_all(outside.path());
    write(&outside.path().join("a"), "text");
    give(outside.path());
    node.config.reach = Reach::Handed { folder: node.folder.path().to_owned() };
    let mut actor = node.open();
    let why = failed(set_aside(&mut actor, 1, outside.path(), &aside(1, vec![judged(outside.path(), "a")], 0)));
    assert!(why.to_string().contains("outside of"), "{why}");
    let one = aside(2, vec![judged(&home, "a")], 0);
    done(set_aside(&mut actor, 2, &home, &one));
    done(actor.handle(lift(3, &alice(), &one, false)));
    assert!(home.join("a").exists());
}

#[test]
fn nothing_is_given_back_on_a_guess_and_the_original_is_kept() {
    let (node, home) = homely();
    folder(&home.join("www"));
    for name in ["www/taken", "www/open", "www/elsewhere"] {
        write(&home.join(name), "text");
    }
    let mut actor = node.open();
    // The name is taken: the naive twin, a plain rename, would overwrite it.
    let taken = aside(1, vec![judged(&home, "www/taken")], 0);
    done(set_aside(&mut actor, 1, &home, &taken));
    write(&home.join("www/taken"), "newer");
    let kept = |what: String, says: &str| {
        assert!(what.starts_with("0 files are back") && what.contains("kept as /") && what.contains(says), "{what}");
    };
    kept(done(actor.handle(lift(2, &alice(), &taken, false))), "not overwritten");
    assert_eq!(std::fs::read(home.join("www/taken")).unwrap(), b"newer");
    assert_eq!(std::fs::read(&shelf(&node)[0]).unwrap(), b"text");
    // That is the end of it: nothing is in force, nothing is tried again by itself, also not by the next act.
    node.pass_time(10);
    actor.tick();
    drop(actor);
    let mut actor = node.open();
    assert!(in_force(&mut actor).is_empty() && shelf(&node).len() == 1);
    std::fs::rename(home.join("www/taken"), home.join("www/newer")).unwrap();
    node.pass_time(10);
    actor.tick();
    assert!(!home.join("www/taken").exists());
    assert_eq!(done(actor.handle(lift(3, &alice(), &taken, false))), "1 files are back where they were");
    assert_eq!(std::fs::read(home.join("www/taken")).unwrap(), b"text");
    // A process that still has it open writes into it.
    let open = std::fs::OpenOptions::new().write(true).open(home.join("www/open")).unwrap();
    let written = aside(2, vec![judged(&home, "www/open")], 0);
    done(set_aside(&mut actor, 4, &home, &written));
    open.write_all_at(b"evil", 0).unwrap();
    assert!(in_force(&mut actor)[0].2.contains("changed by a process"), "{:?}", in_force(&mut actor));
    kept(done(actor.handle(lift(5, &alice(), &written, false))), "has it open");
    assert!(!home.join("www/open").exists());
    // The folder is another one, with the same name; then the right one, but through a link.
    let elsewhere = aside(3, vec![judged(&home, "www/elsewhere")], 0);
    done(set_aside(&mut actor, 6, &home, &elsewhere));
    std::fs::rename(home.join("www"), home.join("old")).unwrap();
    folder(&home.join("www"));
    kept(done(actor.handle(lift(7, &alice(), &elsewhere, false))), "another one now");
    std::fs::rename(home.join("www"), home.join("new")).unwrap();
    symlink("old", home.join("www")).unwrap();
    kept(done(actor.handle(lift(8, &alice(), &elsewhere, false))), "another one now");
    assert!(!home.join("old/elsewhere").exists() && shelf(&node).len() == 2);
    std::fs::remove_file(home.join("www")).unwrap();
    std::fs::rename(home.join("old"), home.join("www")).unwrap();
    done(actor.handle(lift(9, &alice(), &elsewhere, false)));
    assert_eq!(std::fs::read(home.join("www/elsewhere")).unwrap(), b"text");
}

#[test]
fn of_several_files_those_whose_place_is_free_go_back_and_the_rest_is_kept_at_every_death() {
    for n in 1.. {
        let (node, home, files, one) = pair();
        done(set_aside(&mut node.open(), 1, &home, &one));
        write(&home.join("www/a"), "newer");
        let died = {
            let mut actor = dying(&node, n);
            catch_unwind(AssertUnwindSafe(|| done(actor.handle(lift(2, &alice(), &one, false))))).is_err()
        };
        let mut actor = node.open();
        node.pass_time(10);
        actor.tick();
        done(actor.handle(lift(2, &alice(), &one, false)));
        assert!(in_force(&mut actor).is_empty() && shelf(&node).len() == 1, "step {n}");
        std::fs::remove_file(home.join("www/a")).unwrap();
        done(actor.handle(lift(3, &alice(), &one, false)));
        assert_eq!(places(&node, &home, &files), [true; 2], "step {n}");
        if !died {
            assert!(n > 5);
            return;
        }
    }
}

#[test]
fn what_is_kept_is_sealed_also_after_a_death_that_left_it_unsealed() {
    let (node, home, files, one) = pair();
    done(set_aside(&mut node.open(), 1, &home, &one));
    let dies = |step: &'static str| {
        if step == "lift: one file unsealed" {
            std::panic::resume_unwind(Box::new("killed here"));
        }
    };
    let mut actor = node.open_with(Box::new(dies));
    assert!(catch_unwind(AssertUnwindSafe(|| actor.handle(lift(2, &alice(), &one, false)))).is_err());
    drop(actor);
    let unsealed = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().uid() == test_uid();
    assert!(shelf(&node).iter().any(unsealed), "the test has no power");
    write(&home.join("www/a"), "newer");
    let mut actor = node.open();
    done(actor.handle(lift(3, &alice(), &one, false)));
    let [kept] = &shelf(&node)[..] else { panic!("one is kept: {:?}", shelf(&node)) };
    let is = std::fs::metadata(kept).unwrap();
    assert!(!is_root() || (is.uid(), is.mode() & 0o7777) == (0, 0), "kept, and still its tenant's");
    // And it comes back as it was.
    std::fs::remove_file(home.join("www/a")).unwrap();
    done(actor.handle(lift(4, &alice(), &one, false)));
    assert_eq!(places(&node, &home, &files), [true; 2]);
    assert!(snapshot(&home.join("www")).iter().filter(|(path, _)| !path.is_empty()).all(|(_, seen)| is_his(seen)));
}

#[test]
fn a_process_that_has_the_file_open_cannot_link_it_back_and_every_bit_is_as_before() {
    let (node, home) = homely();
    let protected = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|on| on.trim() == "1");
    if !is_root() || !protected {
        skipped("sealing needs root and fs.protected_hardlinks");
        return;
    }
    let user = Some((test_uid(), test_uid()));
    let dir = sys::dir::Dir::open(&home).unwrap();
    let link = |open: &sys::file::Found, name: &[u8]| {
        open.link_as(&dir, name, user, &mut std::time::Duration::from_secs(5)).map_err(|e| e.kind())
    };
    for (n, mode) in [(1, 0o644), (2, 0o6755), (3, 0o2711), (4, 0o000)] {
        write(&home.join("a"), "text");
        std::fs::set_permissions(home.join("a"), PermissionsExt::from_mode(mode)).unwrap();
        let open = sys::file::Found::hold(&dir, b"a").unwrap().unwrap();
        // The naive twin, a move into a folder where nobody can look, is undone by who has it open.
        let naive = node.config.quarantine_dirs[0].join("naive");
        std::fs::rename(home.join("a"), &naive).unwrap();
        assert_eq!(link(&open, b"a"), Ok(()));
        std::fs::remove_file(naive).unwrap();
        let before = snapshot(&home);
        let one = aside(n, vec![judged(&home, "a")], 0);
        let mut actor = node.open();
        done(set_aside(&mut actor, u64::from(n) * 10, &home, &one));
        let sealed = std::fs::metadata(&shelf(&node)[0]).unwrap();
        assert_eq!((sealed.uid(), sealed.mode() & 0o7777), (0, 0));
        assert_eq!(link(&open, b"back"), Err(std::io::ErrorKind::PermissionDenied), "mode {mode:o}");
        assert_eq!(in_force(&mut actor)[0].2, "1 of 1 files set aside", "sealed is not changed");
        // Lifted for good it stays sealed.
        done(actor.handle(lift(u64::from(n) * 10 + 1, &alice(), &one, true)));
        assert_eq!(link(&open, b"back"), Err(std::io::ErrorKind::PermissionDenied));
        done(actor.handle(lift(u64::from(n) * 10 + 2, &alice(), &one, false)));
        // Undone to the bit.
        assert_eq!(snapshot(&home), before);
        std::fs::remove_file(home.join("a")).unwrap();
    }
}

#[test]
fn a_name_that_was_made_all_the_same_is_seen() {
    let (node, home) = homely();
    write(&home.join("a"), "text");
    let one = aside(1, vec![judged(&home, "a")], 0);
    let mut actor = node.open();
    done(set_aside(&mut actor, 1, &home, &one));
    // As where fs.protected_hardlinks is 0.
    std::fs::hard_link(&shelf(&node)[0], home.join("back")).unwrap();
    let (_, holds, what) = in_force(&mut actor).remove(0);
    assert!(!holds && what.contains("linked back by a process"), "{what}");
}

#[test]
fn the_next_owner_of_a_uid_inherits_no_files() {
    let (node, home) = homely();
    write(&home.join("a"), "text");
    let one = aside(1, vec![judged(&home, "a")], 0);
    let mut actor = node.open();
    done(set_aside(&mut actor, 1, &home, &one));
    let next = AccountRef { generation: 2, ..alice() };
    let why = failed(actor.handle(lift(2, &next, &one, false)));
    assert!(matches!(&why, Failure::Guard(why) if why.contains("owner 2")), "{why}");
    assert!(!home.join("a").exists() && shelf(&node).len() == 1);
    done(actor.handle(lift(3, &alice(), &one, false)));
}

/// Turns the wall clock and the budget's, each by itself.
fn turn(node: &Node, wall: model::Span, uptime: u64) {
    let mut now = node.clock.0.lock().unwrap();
    now.0 = now.0 + wall;
    now.2 += uptime;
}

#[test]
fn a_site_is_not_taken_apart_without_a_person() {
    let (node, home) = homely();
    let write_all = |from: u16, count: u16| {
        let names: Vec<String> = (from..from + count).map(|n| format!("f{n}")).collect();
        names.iter().for_each(|name| write(&home.join(name), "text"));
        names.iter().map(|name| judged(&home, name)).collect::<Vec<_>>()
    };
    let mut actor = node.open();
    for n in 0..4 {
        done(actor.handle(impose_in(n + 1, &alice(), &home, &aside(n as u16, write_all(n as u16 * 50, 50), 0), false)));
    }
    let more = aside(9, write_all(200, 1), 0);
    let why = failed(actor.handle(impose_in(9, &alice(), &home, &more, false)));
    assert!(matches!(&why, Failure::Budget(why) if why.contains("201")), "{why}");
    drop(actor);
    let mut actor = node.open();
    // The wall clock is set forward: the budget's is not.
    turn(&node, model::Span::hours(5), 0);
    assert!(matches!(failed(actor.handle(impose_in(10, &alice(), &home, &more, false))), Failure::Budget(_)));
    done(actor.handle(impose_in(11, &alice(), &home, &more, true)));
    node.pass_time(3600);
    done(actor.handle(impose_in(12, &alice(), &home, &aside(10, write_all(300, 50), 0), false)));
    // 251 are set aside; with two more that is more than 20 % of 1,260, and then a person cannot either.
    let two = aside(11, write_all(400, 2), 1260);
    let why = failed(actor.handle(impose_in(13, &alice(), &home, &two, true)));
    assert!(matches!(&why, Failure::Budget(why) if why.contains("20 %")), "{why}");
    done(actor.handle(lift(14, &alice(), &aside(0, vec![], 0), true)));
    assert!(matches!(failed(actor.handle(impose_in(15, &alice(), &home, &two, true))), Failure::Budget(_)), "kept");
    done(actor.handle(lift(16, &alice(), &more, false)));
    done(actor.handle(impose_in(17, &alice(), &home, &two, true)));
}

#[test]
fn files_lifted_for_good_are_kept_a_month_by_both_clocks_and_can_come_back_until_then() {
    let (node, home) = homely();
    let month = model::Span::hours(30 * 24);
    for name in ["a", "b"] {
        write(&home.join(name), name);
    }
    let before = snapshot(&home);
    let (a, b) = (aside(1, vec![judged(&home, "a")], 0), aside(2, vec![judged(&home, "b")], 0));
    let mut actor = node.open();
    for (n, one) in [(1, &a), (2, &b)] {
        done(set_aside(&mut actor, n, &home, one));
        assert!(done(actor.handle(lift(n + 10, &alice(), one, true))).contains("stays set aside"));
        let again = failed(set_aside(&mut actor, n + 20, &home, one)).to_string();
        assert!(again.contains("kept"), "{again}");
    }
    assert!(in_force(&mut actor).is_empty() && shelf(&node).len() == 2);
    actor.tick();
    done(actor.handle(lift(31, &alice(), &a, false)));
    assert_eq!(std::fs::read(home.join("a")).unwrap(), b"a");
    // The wall clock alone, then the budget's alone: nothing is deleted.
    turn(&node, month, 0);
    actor.tick();
    assert_eq!(shelf(&node).len(), 1);
    turn(&node, model::Span::hours(-30 * 24), 30 * 86_400 - 1);
    actor.tick();
    assert_eq!(shelf(&node).len(), 1);
    // After a restart on another boot the days that passed still count.
    turn(&node, month, 0);
    {
        let mut now = node.clock.0.lock().unwrap();
        (now.1, now.2) = (Hash::of(b"next boot"), 1);
    }
    drop(actor);
    let mut actor = node.open();
    actor.tick();
    assert!(shelf(&node).is_empty());
    let day = node.clock.0.lock().unwrap().0.to_string();
    for intent in [32, 33] {
        let what = done(actor.handle(lift(intent, &alice(), &b, false)));
        assert!(what.contains("(1 files) was deleted at") && what.contains(&day), "{what}");
        drop(actor);
        actor = node.open();
    }
    // Of what never was nothing of the kind is said.
    assert!(done(actor.handle(lift(34, &alice(), &aside(9, vec![], 0), false))).contains("nothing of it is kept here"));
    assert!(!home.join("b").exists());
    std::fs::write(home.join("b"), "b").unwrap();
    assert_eq!(snapshot(&home).len(), before.len());
}

/// Names that have been commands, options, links or nonsense to somebody.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "-rf",
        "a\nb",
        "it's \"it\"",
        "$(id)",
        "`id`",
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "\u{202e}php.exe",
        " ",
        "a b",
        "\\",
        "%41",
        "~",
        "*",
        "日本語",
        ";|&",
        "...",
        "#",
        "\u{7f}",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend([vec![b'x'; 255], vec![0xff, 0xfe, b'a'], vec![0xc3, 0x28], b"\xf0\x9f".to_vec()]);
    names
}

#[test]
fn odd_names_are_set_aside_and_come_back() {
    let (node, home) = homely();
    let mut files = Vec::new();
    for name in odd_names() {
        let dir = home.join(std::ffi::OsStr::from_bytes(&name));
        folder(&dir);
        write(&dir.join(std::ffi::OsStr::from_bytes(&name)), &name);
        files.push(judged(&home, [name.as_slice(), name.as_slice()].join(&b'/')));
    }
    let before = snapshot(&home);
    let (count, one) = (files.len(), aside(1, files, 0));
    let mut actor = node.open();
    done(set_aside(&mut actor, 1, &home, &one));
    assert_eq!(shelf(&node).len(), count);
    assert!(shelf(&node).iter().all(|path| path.to_str().unwrap().contains("quarantine/HK-")), "our own names");
    drop(actor);
    done(node.open().handle(lift(2, &alice(), &one, false)));
    assert_eq!(snapshot(&home), before);
}

/// A random tree; returns the paths of its files.
fn grow(dice: &mut Dice, home: &Path) -> Vec<Vec<u8>> {
    let names = odd_names();
    let (mut folders, mut files) = (vec![Vec::new()], Vec::<Vec<u8>>::new());
    for _ in 0..3 + dice.roll(14) {
        let mut path = folders[dice.roll(folders.len() as u64) as usize].clone();
        let name = match dice.roll(2) {
            0 => names[dice.roll(names.len() as u64) as usize].clone(),
            _ => format!("n{}", dice.roll(1000)).into_bytes(),
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(name);
        let at = home.join(std::ffi::OsStr::from_bytes(&path));
        if at.symlink_metadata().is_ok() || path.len() > 1500 {
            continue;
        }
        if dice.roll(4) == 0 {
            folder(&at);
            folders.push(path);
            continue;
        }
        let mut file = std::fs::File::create(&at).unwrap();
        file.write_all(&vec![dice.roll(256) as u8; dice.roll(5000) as usize]).unwrap();
        if dice.roll(5) == 0 {
            file.set_len(1 << 20).unwrap(); // a hole
        }
        file.sync_all().unwrap(); // only then the number of blocks is the last one
        give(&at);
        if dice.roll(4) == 0 {
            let _ = rustix::fs::setxattr(&at, "user.note", &[7; 40], rustix::fs::XattrFlags::empty());
        }
        if dice.roll(4) == 0 {
            // acl(5): version 2, then tag, permissions and id: owner, uid 20203, group, mask, others.
            let entries =
                [(1u16, 6u16, u32::MAX), (2, 4, 20_203), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
            let acl = entries.iter().flat_map(|(tag, may, id)| {
                [tag.to_le_bytes().to_vec(), may.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()].concat()
            });
            let acl: Vec<u8> = 2u32.to_le_bytes().into_iter().chain(acl).collect();
            let _ = rustix::fs::setxattr(&at, "system.posix_acl_access", &acl, rustix::fs::XattrFlags::empty());
        } else {
            std::fs::set_permissions(&at, PermissionsExt::from_mode(dice.roll(0o10000) as u32)).unwrap();
        }
        files.push(path);
    }
    for path in folders.iter().skip(1).rev() {
        let mode = [0o755, 0o700, 0o555, 0o2770, 0o1777, 0o311][dice.roll(6) as usize];
        let at = home.join(std::ffi::OsStr::from_bytes(path));
        std::fs::set_permissions(&at, PermissionsExt::from_mode(mode)).unwrap();
    }
    files
}

#[test]
fn any_sequence_of_quarantine_and_undo_leaves_the_tree_as_it_was() {
    if !is_root() {
        skipped("modes that shut the owner out need root");
        return;
    }
    let mut dice = Dice::new("undo");
    let seed = dice.0;
    for round in 0..from_env("HK_UNDOS", 300) {
        // Most in memory, where a journal is synced at once; some on the disk, whose blocks are counted otherwise.
        let (node, home) = homely_in(if round % 10 > 0 { Node::in_memory() } else { Node::new() });
        let files = grow(&mut dice, &home);
        let before = snapshot(&home);
        let (mut actor, mut intent, mut serial) = (node.open(), 0, 0);
        let mut free: Vec<_> = (0..files.len()).collect();
        let mut held: Vec<(model::Restriction, Vec<usize>)> = Vec::new();
        for _ in 0..2 + dice.roll(8) {
            intent += 1;
            if dice.roll(2) == 0 && !held.is_empty() {
                let (one, indices) = held.swap_remove(dice.roll(held.len() as u64) as usize);
                if dice.roll(3) == 0 {
                    done(actor.handle(lift(intent, &alice(), &one, true)));
                    intent += 1;
                }
                done(actor.handle(lift(intent, &alice(), &one, false)));
                free.extend(indices);
            } else if !free.is_empty() {
                let count = 1 + dice.roll(free.len() as u64) as usize;
                let picked: Vec<usize> =
                    (0..count).map(|_| free.swap_remove(dice.roll(free.len() as u64) as usize)).collect();
                serial += 1;
                let one = aside(serial, picked.iter().map(|n| judged(&home, &files[*n])).collect(), 0);
                done(set_aside(&mut actor, intent, &home, &one));
                held.push((one, picked));
            }
            if dice.roll(8) == 0 {
                drop(actor);
                actor = node.open();
            }
        }
        while let Some((one, _)) = held.pop() {
            intent += 1;
            done(actor.handle(lift(intent, &alice(), &one, false)));
        }
        assert_eq!(snapshot(&home), before, "round {round}, HK_SEED={seed}");
        assert!(shelf(&node).is_empty());
    }
}

/// Where each of the files is: true at home, false in quarantine; never in both or in neither, and always whole.
fn places(node: &Node, home: &Path, files: &[(&str, u64)]) -> Vec<bool> {
    let inode = |path: &Path| std::fs::symlink_metadata(path).ok().map(|is| is.ino());
    let shelf = shelf(node);
    let place = |(name, ino): &(&str, u64)| {
        let at_home = inode(&home.join(name)) == Some(*ino);
        let aside = shelf.iter().find(|path| inode(path) == Some(*ino));
        assert!(at_home != aside.is_some(), "{name} is in {} places", u8::from(at_home) * 2);
        let at = if at_home { home.join(name) } else { aside.unwrap().clone() };
        assert_eq!(hash(&at), Hash::of(name.as_bytes()), "{name}");
        assert!(!at_home || is_his(&snapshot(home)[name.as_bytes()]), "{name} is not his");
        at_home
    };
    files.iter().map(place).collect()
}

const PAIR: [&str; 2] = ["www/a", "www/b"];

fn pair() -> (Node, std::path::PathBuf, Vec<(&'static str, u64)>, model::Restriction) {
    pair_in(Node::new())
}

fn pair_in(node: Node) -> (Node, std::path::PathBuf, Vec<(&'static str, u64)>, model::Restriction) {
    let (node, home) = homely_in(node);
    folder(&home.join("www"));
    PAIR.iter().for_each(|name| write(&home.join(name), name));
    let refs: Vec<_> = PAIR.iter().map(|name| judged(&home, name)).collect();
    let files = PAIR.iter().zip(&refs).map(|(name, file)| (*name, file.ino)).collect();
    (node, home, files, aside(1, refs, 0))
}

/// An act that dies at its n-th step.
fn dying(node: &Node, n: usize) -> act::Actor {
    let count = AtomicUsize::new(0);
    node.open_with(Box::new(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == n {
            std::panic::panic_any("killed here");
        }
    }))
}

fn is_his(seen: &Seen) -> bool {
    !is_root() || (seen.owner == (test_uid(), test_uid()) && seen.mode & 0o7777 == 0o644)
}

#[test]
fn a_file_is_in_one_place_after_death_at_every_step() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"killed here") {
            quiet(info);
        }
    }));
    for lifting in [false, true] {
        for n in 1.. {
            let (node, home, files, one) = pair();
            let packet = match lifting {
                true => lift(2, &alice(), &one, false),
                false => impose_in(1, &alice(), &home, &one, true),
            };
            if lifting {
                done(set_aside(&mut node.open(), 1, &home, &one));
            }
            let before = snapshot(&home);
            let mut actor = dying(&node, n);
            if catch_unwind(AssertUnwindSafe(|| actor.handle(packet.clone()))).is_ok() {
                assert!(n > 7, "{n}");
                break;
            }
            drop(actor);
            // Where the tenant has it, it is his, with its mode.
            let seen = snapshot(&home);
            files.iter().for_each(|(name, _)| assert!(seen.get(name.as_bytes()).is_none_or(is_his), "step {n}"));
            // Death once more, while the first one is cleaned up.
            let dies = || node.open_with(Box::new(|_| std::panic::panic_any("killed here")));
            let _ = catch_unwind(AssertUnwindSafe(dies));
            let mut actor = node.open();
            let at_home = places(&node, &home, &files);
            let in_force = in_force(&mut actor);
            assert!(at_home.iter().all(|at_home| *at_home == in_force.is_empty()), "step {n}: {at_home:?}");
            assert!(!lifting || in_force.is_empty(), "a lift that was journalled is finished");
            done(actor.handle(packet));
            assert_eq!(places(&node, &home, &files), [lifting; 2], "sent again after step {n}");
            done(actor.handle(lift(3, &alice(), &one, false)));
            assert_eq!(places(&node, &home, &files), [true; 2]);
            let after = snapshot(&home);
            files.iter().for_each(|(name, _)| {
                assert!(lifting || after[name.as_bytes()] == before[name.as_bytes()], "step {n}");
            });
        }
    }
}

#[test]
fn a_file_is_in_one_place_after_any_call_failed_and_the_next_order_ends_right() {
    let faults = [libc::ENOSPC, libc::EIO, libc::EDQUOT, libc::EMFILE, libc::EINTR];
    let (mut tried, mut told) = (0, 0);
    for (lifting, errno) in [false, true].into_iter().flat_map(|lifting| faults.map(|errno| (lifting, errno))) {
        for n in 1.. {
            let (node, home, files, one) = pair_in(Node::in_memory());
            let mut actor = node.open();
            let packet = match lifting {
                true => lift(2, &alice(), &one, false),
                false => impose_in(1, &alice(), &home, &one, true),
            };
            if lifting {
                done(set_aside(&mut actor, 1, &home, &one));
            }
            let Some((calls, answer)) = fault::nth_call_fails(n, errno, || actor.handle(packet)) else {
                skipped("no seccomp listener here: no call can be made to fail");
                return;
            };
            if n > calls {
                assert!(calls > 20, "{calls} calls");
                break;
            }
            tried += 1;
            told += usize::from(matches!(answer[0], model::packet::FromAct::Failed { .. }));
            drop(actor);
            let mut actor = node.open();
            let at_home = places(&node, &home, &files);
            assert!(lifting || at_home[0] == at_home[1], "call {n}, error {errno}: half");
            if lifting {
                done(actor.handle(lift(3, &alice(), &one, false)));
            } else {
                done(set_aside(&mut actor, 3, &home, &one));
            }
            assert_eq!(places(&node, &home, &files), [lifting; 2], "call {n}, error {errno}, lifting {lifting}");
            done(actor.handle(lift(4, &alice(), &one, false)));
            assert_eq!(places(&node, &home, &files), [true; 2]);
        }
    }
    println!("{tried} calls failed, {told} orders with them");
    assert!(told * 2 > tried, "the faults have no power");
}
