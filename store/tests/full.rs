//! A full disk: the batch is refused whole, nothing acknowledged is lost, and it goes on when there is room.

mod draw;

use std::fs;
use std::path::Path;
use std::process::Command;

use draw::Draw;
use model::{Body, BodyKind, Moment};
use store::{Batch, Store, StoreError};

/// A small file system of its own; unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where this user may not mount.
    fn mount() -> Option<Small> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|mount| mount.status.success());
        mounted.then_some(Small(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn batch(at: u64) -> Batch {
    let mut draw = Draw(at);
    let letter = Body { kind: BodyKind::Letter, expires: Moment(1), bytes: vec![at as u8; 5000 + at as usize] };
    let events = (0..5).map(|_| draw.event(4)).collect();
    Batch { events, bodies: vec![letter], ..Batch::default() }
}

/// Commits until there is no room, then asks `make_room`, and goes on.
fn fill(store: &mut Store, make_room: impl FnOnce()) {
    let refused_at = (0..10_000)
        .find(|at| match store.commit(&batch(*at)) {
            Ok(committed) => {
                assert_eq!(committed.first_seq, at * 5 + 1);
                false
            }
            Err(refused) => {
                assert!(matches!(refused, StoreError::Full), "{refused:?}");
                assert!(refused.to_string().contains("make room"));
                true
            }
        })
        .expect("a small disk fills");
    assert!(refused_at > 5);
    assert!(matches!(store.commit(&batch(refused_at)), Err(StoreError::Full)), "and again");
    assert_kept(store, refused_at);
    make_room();
    for at in refused_at..refused_at + 5 {
        assert_eq!(store.commit(&batch(at)).unwrap().first_seq, at * 5 + 1, "the same batch, without a gap");
    }
    assert_kept(store, refused_at + 5);
}

fn assert_kept(store: &Store, batches: u64) {
    let sent: Vec<_> = (0..batches).flat_map(|at| batch(at).events).collect();
    let read = store.event_range(0, u32::MAX).unwrap();
    assert!(read.iter().map(|s| &s.event).eq(&sent));
    assert_eq!(store.pending().unwrap().len(), sent.len());
    for at in 0..batches {
        let body = batch(at).bodies.remove(0);
        assert_eq!(store.body(&body.hash()).unwrap(), Some(body));
    }
}

#[test]
fn a_full_disk_refuses_whole_batches_and_loses_nothing() {
    let Some(disk) = Small::mount() else {
        eprintln!("not run: this user may not mount a small disk");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 256 << 10]).unwrap();
    let path = disk.0.path().join("hikeshi.db");
    let mut store = Store::open(&path).unwrap();
    fill(&mut store, || fs::remove_file(&ballast).unwrap());
    let seq = store.last_seq().unwrap();
    drop(store);
    assert_kept(&Store::open(&path).unwrap(), seq / 5);
}

#[test]
fn a_disk_that_is_full_at_the_first_start_leaves_no_half_database() {
    let Some(disk) = Small::mount() else {
        eprintln!("not run: this user may not mount a small disk");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    let path = disk.0.path().join("hikeshi.db");
    for free in (0..60).step_by(4) {
        fs::write(&ballast, vec![1; (1024 - free) << 10]).unwrap();
        let refused = open_when_full(&path);
        fs::remove_file(&ballast).unwrap();
        assert_eq!(Store::open(&path).unwrap().last_seq().unwrap(), 0, "{free} KiB free, {refused:?}");
        for file in fs::read_dir(disk.0.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

fn open_when_full(path: &Path) -> Option<StoreError> {
    let refused = Store::open(path).err();
    assert!(matches!(refused, None | Some(StoreError::Full)), "{refused:?}");
    refused
}
