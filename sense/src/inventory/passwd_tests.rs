//! Tests of passwd: hostile lines, doubled uids, odd homes.

use std::os::unix::fs::symlink;

use rustix::process::getuid;

use super::super::testing::Folder;
use super::*;

const RANGE: UidRange = UidRange { first: 1, last: 60_000 };

/// Reads lines in which `@` is the folder; a home of the runner's own uid (or root) is right for everybody.
fn told(folder: &Folder, lines: &[u8]) -> (Vec<String>, Vec<String>, u64) {
    let path = folder.write("passwd", lines);
    let bytes = std::fs::read(&path).unwrap();
    let read = read(&path, &bytes, RANGE, &mut Reader::default());
    let at = folder.path().to_str().unwrap();
    let tenants = read.tenants.iter().map(|t| format!("{} {} {}", t.name, t.uid, shown(&t.home).replace(at, "@")));
    let unclear = read.unclear.iter().map(|u| format!("{}: {}", u.subject, u.why).replace(at, "@"));
    (tenants.collect(), unclear.collect(), read.bad_lines)
}

fn own_uid() -> u32 {
    // Root's homes are accepted for any uid; anybody else can only show homes of his own.
    match getuid().as_raw() {
        0 => 2001,
        uid => uid,
    }
}

#[test]
fn a_range_of_uids_is_checked() {
    for wrong in ["", "1", "0-60000", "499-600", "20000-19999", "a-b", "1000-4294967295", "-5"] {
        assert!(wrong.parse::<UidRange>().is_err(), "{wrong}");
    }
    let range: UidRange = "1000-70000".parse().unwrap();
    assert!(range.contains(1000) && range.contains(70_000) && !range.contains(65_534) && !range.contains(999));
}

#[test]
fn hostile_lines_are_counted_or_reported_and_the_rest_is_read() {
    let folder = Folder::new();
    folder.folder("h/a");
    let uid = own_uid();
    let mut lines = b"root:x:0:0::/root:/bin/sh\nno line\nx:x:abc:1::/x:/y\na:b\n".to_vec();
    lines.extend(format!("n\u{202e}x:x:{}::@:@:/s\nevil\x1b:x:2002:1::/h/e:/s\n", uid + 10).as_bytes());
    lines.extend(b"\xff\xfe:x:2003:1::/h:/s\n+::::::\n# c\n");
    lines.extend(format!("ok:x:{uid}:1:g,e,c:@/h/a:/bin/sh").as_bytes());
    let (tenants, unclear, bad) = told(&folder, &lines);
    assert_eq!(tenants, [format!("ok {uid} @/h/a")]);
    assert_eq!(bad, 3, "{unclear:?}");
    assert_eq!(unclear.len(), 3);
    assert!(unclear.iter().all(|u| u.contains("is not a login name") && !u.contains('\x1b')), "{unclear:?}");
}

#[test]
fn one_uid_under_two_names_belongs_to_nobody() {
    let folder = Folder::new();
    folder.folder("h/a");
    let uid = own_uid();
    let lines = format!("a:x:{uid}:1::@/h/a:/s\nb:x:{uid}:1::@/h/a:/s\n");
    let (tenants, unclear, _) = told(&folder, lines.as_bytes());
    assert!(tenants.is_empty());
    assert!(unclear[0].contains("several names share this uid"), "{unclear:?}");
}

#[test]
fn a_home_behind_a_link_is_resolved_and_an_odd_one_is_reported() {
    let folder = Folder::new();
    folder.folder("disk2/a");
    symlink(folder.path().join("disk2"), folder.path().join("home")).unwrap();
    folder.write("file", "");
    let uid = own_uid();
    let lines = |home: &str| format!("a:x:{uid}:1::{home}:/s\n").into_bytes();
    assert_eq!(told(&folder, &lines("@/home/a")).0, [format!("a {uid} @/disk2/a")]);
    for (home, why) in [
        ("@/none", "cannot be seen"),
        ("@/file", "is not a folder"),
        ("relative", "not a folder of its own"),
        ("/", "not a folder of its own"),
        ("/home", "no folder of one account"),
        ("", "not a folder of its own"),
    ] {
        let (tenants, unclear, _) = told(&folder, &lines(home));
        assert!(tenants.is_empty() && unclear[0].contains(why), "{home}: {unclear:?}");
    }
}

#[test]
fn a_home_of_another_uid_is_never_believed() {
    if getuid().is_root() {
        let folder = Folder::new();
        let home = folder.folder("h/a");
        std::os::unix::fs::chown(&home, Some(2005), None).unwrap();
        let (tenants, unclear, _) = told(&folder, b"a:x:2001:1::@/h/a:/s\n");
        assert!(tenants.is_empty() && unclear[0].contains("belongs to uid 2005, not to 2001"), "{unclear:?}");
    } else {
        eprintln!("SKIPPED: a_home_of_another_uid_is_never_believed needs root to give a folder away");
    }
}
