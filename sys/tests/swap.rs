//! Tests of the exchange: what is kept, what goes back, what a crash leaves.
//!
//! In a process of their own: a child that another test has just forked holds our files open for a moment, and to the
//! kernel that is a writer.

use std::os::unix::fs::MetadataExt;

use std::fs::File;
use std::io::Write;

use rustix::fs::{Timespec, Timestamps, XattrFlags};
use sys::dir::Dir;
use sys::swap::*;

fn folder() -> (tempfile::TempDir, Dir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_own(folder.path()).unwrap();
    (folder, dir)
}

fn shared(dir: &Dir) -> Shared<'_> {
    Shared { dir, name: "list", spare: ".spare", bytes_max: 1 << 20 }
}

#[test]
fn the_new_file_has_all_of_the_old_one_but_its_content_and_second() {
    let (path, dir) = folder();
    let list = path.path().join("list");
    std::fs::write(&list, "old").unwrap();
    std::fs::set_permissions(&list, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let _ = rustix::fs::fsetxattr(File::open(&list).unwrap(), "user.hk", b"x", XattrFlags::empty());
    let value = || {
        let mut value = [0; 8];
        let length = rustix::fs::fgetxattr(File::open(&list).unwrap(), "user.hk", &mut value[..]);
        length.map(|length| value[..length].to_vec())
    };
    let (before, attribute) = (list.metadata().unwrap(), value());
    let seen = shared(&dir).read().unwrap().unwrap();
    assert!(shared(&dir).swap(seen, b"new", None, &mut |_| {}).unwrap());
    let after = list.metadata().unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_eq!((std::fs::read(&list).unwrap().as_slice(), value()), (b"new".as_slice(), attribute));
    assert_ne!(after.mtime(), before.mtime(), "readers that compare seconds must notice");
    assert_eq!(std::fs::read_dir(path.path()).unwrap().count(), 1);
    let seen = shared(&dir).read().unwrap().unwrap();
    assert!(shared(&dir).swap(seen, b"old", Some((before.mtime(), before.mtime_nsec())), &mut |_| {}).unwrap());
    let undone = list.metadata().unwrap();
    assert_eq!((undone.mtime(), undone.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
}

#[test]
fn whatever_somebody_else_does_before_the_exchange_stands_afterwards() {
    let (path, dir) = folder();
    let list = path.path().join("list");
    let other = path.path().join("other");
    type Change<'a> = (&'a str, &'a dyn Fn() -> Option<File>, Option<&'a str>);
    let changes: [Change; 5] = [
        (
            "rename over",
            &|| std::fs::write(&other, "his").and_then(|()| std::fs::rename(&other, &list)).ok().and(None),
            Some("his"),
        ),
        ("write in place", &|| std::fs::write(&list, "his").ok().and(None), Some("his")),
        ("a writer is still there", &|| File::options().write(true).open(&list).ok(), Some("old")),
        ("removed", &|| std::fs::remove_file(&list).ok().and(None), None),
        (
            "same bytes, another file",
            &|| std::fs::write(&other, "old").and_then(|()| std::fs::rename(&other, &list)).ok().and(None),
            Some("old"),
        ),
    ];
    for (what, change, stands) in changes {
        std::fs::write(&list, "old").unwrap();
        let mut writer = None;
        let seen = shared(&dir).read().unwrap().unwrap();
        let swapped = shared(&dir).swap(seen, b"new", None, &mut |step| {
            if step == "swap: complete" {
                writer = change();
            }
        });
        assert!(!swapped.unwrap(), "{what}");
        assert_eq!(std::fs::read_to_string(&list).ok().as_deref(), stands, "{what}");
        if let Some(mut writer) = writer {
            writer.write_all(b"his").unwrap();
            assert_eq!(std::fs::read(&list).unwrap(), b"his", "{what}: what he writes later is not lost either");
        }
        let _ = std::fs::remove_file(&list);
        assert_eq!(std::fs::read_dir(path.path()).unwrap().count(), 0, "{what}");
    }
}

#[test]
fn what_he_renames_in_while_his_first_change_goes_back_is_the_one_that_stays() {
    let (path, dir) = folder();
    let list = path.path().join("list");
    let put = |text: &str| {
        std::fs::write(path.path().join("other"), text).unwrap();
        std::fs::rename(path.path().join("other"), &list).unwrap();
    };
    std::fs::write(&list, "old").unwrap();
    let seen = shared(&dir).read().unwrap().unwrap();
    let swapped = shared(&dir).swap(seen, b"new", None, &mut |step| match step {
        "swap: complete" => put("first"),
        "swap: exchanged" => put("second"),
        _ => {}
    });
    assert!(!swapped.unwrap());
    assert_eq!(std::fs::read(&list).unwrap(), b"second");
}

#[test]
fn what_he_writes_into_our_file_while_his_first_change_goes_back_is_the_one_that_stays() {
    let (path, dir) = folder();
    let list = path.path().join("list");
    std::fs::write(&list, "old").unwrap();
    let seen = shared(&dir).read().unwrap().unwrap();
    let swapped = shared(&dir).swap(seen, b"new", None, &mut |step| match step {
        "swap: complete" => std::fs::write(&list, "first").unwrap(),
        "swap: exchanged" => std::fs::write(&list, "second").unwrap(),
        _ => {}
    });
    assert!(!swapped.unwrap());
    assert_eq!(std::fs::read(&list).unwrap(), b"second");
    assert_eq!(std::fs::read_dir(path.path()).unwrap().count(), 1);
}

#[test]
fn a_crash_at_any_step_leaves_the_newest_of_his_and_nothing_beside_it() {
    for (at, his) in [
        ("swap: written", None),
        ("swap: complete", None),
        ("swap: exchanged", None),
        ("swap: exchanged", Some("swap: complete")),
        ("swap: complete", Some("swap: complete")),
        ("swap: exchanged", Some("swap: exchanged")),
        ("swap: exchanged back", Some("swap: complete")),
    ] {
        let (path, dir) = folder();
        let list = path.path().join("list");
        std::fs::write(&list, "old").unwrap();
        let seen = shared(&dir).read().unwrap().unwrap();
        let dies = std::panic::AssertUnwindSafe(|| {
            let _ = shared(&dir).swap(seen, b"new", None, &mut |step| {
                if his == Some(step) {
                    std::fs::write(path.path().join("other"), "his").unwrap();
                    std::fs::rename(path.path().join("other"), &list).unwrap();
                }
                if step == at {
                    std::panic::resume_unwind(Box::new("killed here"));
                }
            });
        });
        assert!(std::panic::catch_unwind(dies).is_err(), "{at}");
        let ours = |text: &[u8]| text == b"old" || text == b"new";
        shared(&dir).settle(&|one, other| ours(one) && ours(other)).unwrap();
        let text = std::fs::read_to_string(&list).unwrap();
        match his {
            Some(_) => assert_eq!(text, "his", "{at}"),
            None => assert!(ours(text.as_bytes()), "{at}"),
        }
        assert_eq!(std::fs::read_dir(path.path()).unwrap().count(), 1, "{at}");
    }
}

#[test]
fn two_changes_in_one_second_have_two_seconds_for_who_compares_seconds() {
    let (path, dir) = folder();
    let before = rustix::fs::fstat(&dir).unwrap();
    let at = |nanoseconds| {
        let time = Timespec { tv_sec: before.st_mtime as i64, tv_nsec: nanoseconds };
        rustix::fs::futimens(&dir, &Timestamps { last_access: time, last_modification: time }).unwrap();
    };
    at(999_999_999);
    touch(&dir, &before).unwrap();
    assert_eq!(path.path().metadata().unwrap().mtime(), before.st_mtime as i64 + 1);
    touch(&dir, &before).unwrap();
    assert_eq!(path.path().metadata().unwrap().mtime(), before.st_mtime as i64 + 1, "another second already");
}
