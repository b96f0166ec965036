//! Quarantine and restore of 10,000 files against `mv` there and back of the same, and our way to a folder against a
//! plain open by path.
//!
//! `mv` neither reads the files nor syncs, asks nobody whether they are the right ones, and keeps no journal: the
//! ratio is what these cost. Journal and files lie in the temporary folder, on whatever disk that is.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use act::{Actor, Budgets, Config, LoginConfig, Reach};
use model::packet::{ActOrder, FromAct, ToAct};
use model::{AccountRef, FilePath, FileRef, Hash, IntentId, Measure, Moment, Number, Restriction, RestrictionId};
use model::{Verb, Why};
use sys::dir::Dir;

const FILES: usize = 10_000;
/// Files of one order.
const BATCH: usize = 64;
const OPENS: u32 = 100_000;

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let node = tempfile::tempdir().expect("a folder");
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let uid = if root { 20_204 } else { std::fs::metadata("/proc/self").expect("proc").uid() };
    let make = |name: &str, mode| {
        let path = node.path().join(name);
        std::fs::create_dir(&path).expect("a folder");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode");
        path
    };
    std::fs::set_permissions(node.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
    let (state, gate, shelf) = (make("state", 0o700), make("gate", 0o711), make("quarantine", 0o700));
    let home = make("home", 0o755);
    let config = Config {
        reach: if root { Reach::Uids(20_000..=29_999) } else { Reach::Handed { folder: node.path().to_owned() } },
        budgets: Budgets { accounts_per_hour: 3, accounts_per_day: 3 },
        state_dir: state,
        gate_dir: gate,
        portal: String::new(),
        unavailable: false,
        postfix: None,
        cgroups: false,
        quarantine_dirs: vec![shelf.clone()],
        cron_spool: node.path().join("cron"),
        net: None,
        logins: LoginConfig::default(),
        disarmed: node.path().join("disarmed"),
        core_uids: vec![],
    };
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(uid), Some(uid)).expect("chown");
    own(&home);
    let paths: Vec<PathBuf> = (0..FILES)
        .map(|n| {
            let folder = home.join(format!("d{}", n / 100));
            if n % 100 == 0 {
                std::fs::create_dir(&folder).expect("a folder");
                own(&folder);
            }
            let path = folder.join(format!("f{n}.php"));
            std::fs::write(&path, vec![b'x'; 4096 + n % 1000]).expect("a file");
            own(&path);
            path
        })
        .collect();

    let mv = mv_there_and_back(&paths, &shelf);
    let mut actor = Actor::open(config).expect("an actor");
    let account = AccountRef { name: "alice".parse().expect("a name"), uid, generation: 1 };
    let files: Vec<FileRef> = paths.iter().map(|path| judged(&home, path)).collect();
    let started = Instant::now();
    let mut intent = 0;
    let mut send = |actor: &mut Actor, verb: Verb| {
        intent += 1;
        let home = home.to_str().expect("text").to_owned();
        let (intent, account) = (IntentId(intent), account.clone());
        let order = ToAct::Do(ActOrder {
            intent,
            link: model::Hash::ZERO,
            account,
            home,
            verb,
            sites: vec![],
            pass: None,
            dry_run: false,
        });
        let answer = actor.handle(order);
        assert!(matches!(answer[..], [FromAct::Done { .. }]), "{answer:?}");
    };
    let batches: Vec<Restriction> = files.chunks(BATCH).enumerate().map(|(n, files)| restriction(n, files)).collect();
    for one in &batches {
        send(&mut actor, Verb::Impose { restriction: one.clone(), by_person: true });
    }
    let there = started.elapsed();
    assert_eq!(std::fs::read_dir(&shelf).expect("a folder").count(), FILES);
    for one in &batches {
        send(&mut actor, Verb::Lift { restriction: one.id, measure: one.measure.clone(), for_good: false });
    }
    let ours = started.elapsed();
    assert!(paths.iter().all(|path| path.exists()));

    println!("quarantine of {FILES} files:          {:9.1} ms, {BATCH} in an order", ms(there));
    println!("and restore, together:               {:9.1} ms", ms(ours));
    println!("mv there and back:                   {:9.1} ms", ms(mv));
    println!("ratio {:.1}", ours.as_secs_f64() / mv.as_secs_f64());
    walk(&home);
}

/// Both ways with mv(1), 500 names at a time.
fn mv_there_and_back(paths: &[PathBuf], shelf: &Path) -> Duration {
    let mv = |to: &Path, paths: &mut dyn Iterator<Item = PathBuf>| {
        assert!(Command::new("mv").arg("-t").arg(to).args(paths).status().is_ok_and(|status| status.success()));
    };
    let started = Instant::now();
    for batch in paths.chunks(500) {
        mv(shelf, &mut batch.iter().cloned());
    }
    for batch in paths.chunks(100) {
        let folder = batch[0].parent().expect("a folder");
        mv(folder, &mut batch.iter().map(|path| shelf.join(path.file_name().expect("a name"))));
    }
    started.elapsed()
}

/// openat2(2) beneath a held folder, against open(2) of the whole path, which follows whatever is there.
fn walk(home: &Path) {
    let deep = "a/b/c/d";
    std::fs::create_dir_all(home.join(deep)).expect("folders");
    let held = Dir::open(home).expect("a folder");
    let time = |open: &dyn Fn()| {
        let started = Instant::now();
        (0..OPENS).for_each(|_| open());
        started.elapsed() / OPENS
    };
    let path = home.join(deep);
    let plain = time(&|| drop(std::fs::File::open(&path).expect("a folder")));
    let ours = time(&|| drop(held.open_dir(deep).expect("a folder")));
    let whole = time(&|| drop(Dir::open_without_links(&path).expect("a folder")));
    println!("open by path:                        {:9} ns", plain.as_nanos());
    println!("openat2 beneath, no links, no mounts:{:9} ns", ours.as_nanos());
    println!("openat2 from /, no links:            {:9} ns", whole.as_nanos());
    println!("ratio {:.2}", ours.as_secs_f64() / plain.as_secs_f64());
}

fn judged(home: &Path, path: &Path) -> FileRef {
    let is = std::fs::metadata(path).expect("a file");
    let below = path.strip_prefix(home).expect("below");
    FileRef {
        path: FilePath::new(below.as_os_str().as_encoded_bytes()).expect("a path"),
        dev: is.dev(),
        ino: is.ino(),
        size: is.size(),
        changed_ns: is.ctime() * 1_000_000_000 + is.ctime_nsec(),
        hash: Hash::of(&std::fs::read(path).expect("a file")),
    }
}

fn restriction(n: usize, files: &[FileRef]) -> Restriction {
    let since = Moment::from_secs(1_774_061_213);
    Restriction {
        id: RestrictionId { incident: Number::new(since, 1 + n as u16), ordinal: 1 },
        measure: Measure::QuarantineFile { files: files.to_vec(), of: 0 },
        since,
        why: Why { rule: "bench".into(), findings: vec![] },
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
