//! Twelve ways to exchange a file between look and act, run by its tenant in a tight loop against quarantine and
//! restore: nothing outside of his tree is ever touched. A naive twin, which looks and then acts by path, is.
//!
//! `HK_RACES`: races altogether. The loops are processes of the tenant's uid: this same program, started once more.

mod node;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use node::aside::*;
use node::*;
use rustix::fs::{CWD, FileType, RenameFlags};

const PATTERNS: [&str; 12] = [
    "component to symlink",
    "component to other directory",
    "file to link",
    "hard link",
    "rename over",
    "mount over",
    "delete and recreate",
    "inode reuse",
    "chmod",
    "fifo",
    "exchange",
    "parent moved",
];
const MOUNT_OVER: usize = 5;

/// The loop: one turn of a pattern in the race's folder. Whatever fails, fails; the next turn is another chance.
fn turn(pattern: usize, race: &Path) {
    let at = |name: &str| race.join(name);
    let swap = |one: &str, two: &str| {
        let _ = rustix::fs::renameat_with(CWD, at(one), CWD, at(two), RenameFlags::EXCHANGE);
    };
    match pattern {
        0 => swap("d", "link"),
        1 => swap("d", "other"),
        2 => swap("d/f", "flink"),
        3 => {
            let _ = std::fs::hard_link(at("d/f"), at("d/h"));
            let _ = std::fs::remove_file(at("d/h"));
            swap("d/f", "foreign");
        }
        4 => {
            let _ = std::fs::write(at("g"), "over");
            let _ = std::fs::rename(at("g"), at("d/f"));
        }
        MOUNT_OVER => {
            let _ = rustix::mount::mount_bind(race.join("../../victim"), at("d"));
            let _ = rustix::mount::unmount(at("d"), rustix::mount::UnmountFlags::DETACH);
        }
        6 => {
            let _ = std::fs::remove_file(at("d/f"));
            let _ = std::fs::write(at("d/f"), "judgfd");
        }
        7 => {
            let _ = std::fs::remove_file(at("d/f"));
            (0..4).for_each(|n| drop(std::fs::write(at(&format!("d/n{n}")), "reused")));
            let _ = std::fs::rename(at("d/n1"), at("d/f"));
            (0..4).for_each(|n| drop(std::fs::remove_file(at(&format!("d/n{n}")))));
        }
        8 => {
            for mode in [0o000, 0o4777, 0o644] {
                let _ = std::fs::set_permissions(at("d/f"), PermissionsExt::from_mode(mode));
                let _ = std::fs::set_permissions(at("d"), PermissionsExt::from_mode(mode | 0o300));
            }
        }
        9 => swap("d/f", "fifo"),
        10 => swap("d/f", "d/g"),
        _ => {
            let _ = std::fs::rename(at("d"), at("away"));
            let _ = std::fs::rename(at("away"), at("d"));
        }
    }
}

#[test]
fn the_loop_of_a_tenant() {
    let (Ok(pattern), Ok(home)) = (std::env::var("HK_PATTERN"), std::env::var("HK_HOME")) else { return };
    let (pattern, race) = (pattern.parse().unwrap(), Path::new(&home).join("race"));
    on_core(1);
    let (mut orders, mut answers) = (std::io::stdin(), std::io::stderr());
    rustix::io::ioctl_fionbio(&orders, true).unwrap();
    let mut racing = false;
    loop {
        let mut byte = [0];
        match orders.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {
                racing = byte[0] == b'g';
                answers.write_all(&byte).unwrap();
            }
            Err(_) if racing => turn(pattern, &race),
            Err(_) => {
                let mut ready = [rustix::event::PollFd::new(&orders, rustix::event::PollFlags::IN)];
                let _ = rustix::event::poll(&mut ready, None);
            }
        }
    }
}

/// Each side on a core of its own, or they would take turns instead of racing.
fn on_core(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}

struct Looper(Child);

impl Looper {
    fn start(program: &Path, pattern: usize, home: &Path) -> Looper {
        let mut command = Command::new(program);
        command.args(["--exact", "the_loop_of_a_tenant", "--nocapture"]);
        command.env("HK_PATTERN", pattern.to_string()).env("HK_HOME", home).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        if pattern != MOUNT_OVER {
            command.uid(test_uid()).gid(test_uid());
        }
        Looper(command.spawn().unwrap())
    }

    /// `g`: go, `s`: stand still. Returns when it does.
    fn tell(&mut self, order: u8) {
        self.0.stdin.as_mut().unwrap().write_all(&[order]).unwrap();
        let mut byte = [0];
        self.0.stderr.as_mut().unwrap().read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], order);
    }
}

impl Drop for Looper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The tree in which one race happens; the loop stands still meanwhile.
fn lay_out(home: &Path, victim: &Path) {
    let race = home.join("race");
    let _ = std::fs::remove_dir_all(&race);
    for name in ["", "d", "other"] {
        folder(&race.join(name));
    }
    for (name, text) in [("d/f", "judged"), ("d/g", "decoy!"), ("other/f", "other!")] {
        write(&race.join(name), text);
    }
    symlink(victim, race.join("link")).unwrap();
    symlink(victim.join("f"), race.join("flink")).unwrap();
    std::fs::hard_link(victim.join("f"), race.join("foreign")).unwrap();
    rustix::fs::mknodat(CWD, race.join("fifo"), FileType::Fifo, 0o600.into(), 0).unwrap();
    for name in ["link", "flink", "fifo"] {
        give(&race.join(name));
    }
}

/// What must never change: another customer's folder. Names of its files are made by the race itself.
fn victim(path: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let mut seen: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let is = std::fs::symlink_metadata(&path).unwrap();
            let text = if is.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            (path, is.uid(), is.mode(), text)
        })
        .collect();
    seen.sort();
    seen
}

fn new_victim(path: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let _ = std::fs::remove_dir_all(path);
    std::fs::create_dir(path).unwrap();
    for (name, text) in [("f", "secret"), ("g", "secret too")] {
        std::fs::write(path.join(name), text).unwrap();
        std::os::unix::fs::chown(path.join(name), Some(20_202), Some(20_202)).unwrap();
        std::fs::set_permissions(path.join(name), PermissionsExt::from_mode(0o640)).unwrap();
    }
    victim(path)
}

/// Looks and then acts by path, as the tools in the ledger did. True: it ran into something foreign.
fn naive(home: &Path, shelf: &Path) -> bool {
    let file = home.join("race/d/f");
    let aside = shelf.join("naive");
    if !std::fs::symlink_metadata(&file).is_ok_and(|is| is.is_file() && is.uid() == test_uid()) {
        return false;
    }
    let open = rustix::fs::open(&file, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK, 0.into());
    let mut text = Vec::new();
    let _ = open.map(|open| std::fs::File::from(open).read_to_end(&mut text));
    if std::fs::rename(&file, &aside).is_ok() {
        // The way back: by path again, then the owner by path.
        let _ = std::fs::rename(&aside, &file);
        let _ = std::os::unix::fs::chown(&file, Some(test_uid()), Some(test_uid()));
    }
    let _ = std::fs::remove_file(&aside);
    text.starts_with(b"secret")
}

/// A place whose file system reuses inodes and syncs at once, visible to this process alone, if there is root for it.
fn private() -> bool {
    std::env::var_os("HK_PRIVATE").is_some()
}

#[test]
fn nothing_outside_of_the_tenants_tree_is_touched_in_any_race_where_the_naive_twin_escapes() {
    if !is_root() {
        skipped("races against a tenant need root");
        return;
    }
    if !private() {
        // Mounts of the race must not be seen by anybody else: the same test once more in a mount namespace.
        let own = std::env::current_exe().unwrap();
        let test = "nothing_outside_of_the_tenants_tree_is_touched_in_any_race_where_the_naive_twin_escapes";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(own).args(["--exact", test, "--nocapture"]);
        match command.env("HK_PRIVATE", "1").status() {
            Ok(status) if status.code() == Some(0) => return,
            Ok(status) if status.code() == Some(1) => skipped("no mount namespace: no race with a mount over"),
            Ok(status) => panic!("{status}"),
            Err(e) => skipped(&format!("unshare: {e}: no race with a mount over")),
        }
    }
    on_core(0);
    // A copy that the tenant may run.
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let program = folder.path().join("loop");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    open_to_all(&program);
    let races = from_env("HK_RACES", 40_000) / PATTERNS.len() as u64;
    let (mut all, mut set_aside_count, mut given_back, mut escapes) = (0, 0, 0, 0);
    let (mut naive_all, mut naive_escapes) = (0, 0);
    for (pattern, name) in PATTERNS.iter().enumerate() {
        if pattern == MOUNT_OVER && !private() {
            continue;
        }
        let (node, home) = homely_in(Node::in_memory());
        let other = node.folder.path().join("victim");
        let mut sentinel = new_victim(&other);
        let mut looper = Looper::start(&program, pattern, &home);
        let mut actor = node.open();
        let mut foreign = 0;
        for race in 0..races {
            lay_out(&home, &other);
            let one = aside(1 + (race % 60_000) as u16, vec![judged(&home, "race/d/f")], 0);
            let ino = judged(&home, "race/d/f").ino;
            looper.tell(b'g');
            let answer = set_aside(&mut actor, race * 4 + 1, &home, &one);
            let aside = matches!(answer[0], model::packet::FromAct::Done { .. });
            let kept: Vec<u64> =
                shelf(&node).iter().map(|path| std::fs::symlink_metadata(path).unwrap().ino()).collect();
            let wrong = kept.iter().any(|kept| *kept != ino) || kept.len() > 1 || aside != (kept.len() == 1);
            let answer = actor.handle(lift(race * 4 + 2, &alice(), &one, false));
            let back = aside && matches!(answer[0], model::packet::FromAct::Done { .. }) && shelf(&node).is_empty();
            looper.tell(b's');
            // Nothing that was sealed is left to him in that state.
            let wrong = wrong || snapshot(&home).values().any(|seen| seen.owner.0 == 0);
            // What was refused on the way back is kept; by hand it is ended here.
            let left = shelf(&node);
            let wrong = wrong || left.iter().any(|path| std::fs::symlink_metadata(path).unwrap().ino() != ino);
            left.iter().for_each(|path| drop(std::fs::remove_file(path)));
            node.pass_time(60);
            actor.tick();
            let escaped = wrong || victim(&other) != sentinel;
            if escaped {
                sentinel = new_victim(&other);
                foreign += 1;
            }
            all += 1;
            set_aside_count += u64::from(aside);
            given_back += u64::from(back);
        }
        escapes += foreign;
        let mut twin = 0;
        let shelf = node.config.quarantine_dirs[0].clone();
        for _ in 0..races.min(500) {
            lay_out(&home, &other);
            looper.tell(b'g');
            let read = (0..8).any(|_| naive(&home, &shelf));
            looper.tell(b's');
            if read || victim(&other) != sentinel {
                sentinel = new_victim(&other);
                twin += 1;
            }
            naive_all += 1;
        }
        naive_escapes += twin;
        println!("{name}: {races} races, {foreign} escapes; naive twin: {twin} of {}", races.min(500));
    }
    println!(
        "{all} races, {escapes} escapes; naive twin: {naive_escapes} of {naive_all} escaped ({set_aside_count} set aside, {given_back} given back)"
    );
    assert_eq!(escapes, 0);
    assert!(naive_escapes * 20 >= naive_all, "the races have no power");
    assert!(set_aside_count > 0 && given_back > 0, "nothing was ever set aside: that proves nothing");
}
