//! Opening: private, alone, unharmed, of a known version; refusals say the next step and change nothing.

mod draw;

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use draw::Draw;
use model::{Body, BodyKind, Moment};
use rusqlite::Connection;
use store::{Batch, Store, StoreError};
use tempfile::TempDir;

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("state/hikeshi.db")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// A database of `events` events, closed.
fn filled(events: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut draw = Draw(5);
    let events = (0..events).map(|at| draw.event(1 + at % (Draw::FACTS - 1))).collect();
    Store::open(path(&folder)).unwrap().commit(&Batch { events, ..Batch::default() }).unwrap();
    folder
}

#[test]
fn folder_and_files_are_private_from_the_start() {
    let folder = filled(3);
    let store = Store::open(path(&folder)).unwrap();
    assert_eq!(mode(&folder.path().join("state")), 0o700);
    for ending in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&beside(&path(&folder), ending)), 0o600, "{ending}");
    }
    drop(store);
    for (which, wide, right) in [(folder.path().join("state"), 0o750, "700"), (path(&folder), 0o604, "600")] {
        let before = mode(&which);
        fs::set_permissions(&which, Permissions::from_mode(wide)).unwrap();
        let refused = Store::open(path(&folder)).unwrap_err();
        assert!(matches!(refused, StoreError::Exposed { .. }));
        assert!(refused.to_string().ends_with(&format!("Next: `chmod {right} {}`", which.display())), "{refused}");
        fs::set_permissions(&which, Permissions::from_mode(before)).unwrap();
    }
    Store::open(path(&folder)).unwrap();
}

#[test]
fn a_second_writer_is_told_who_the_first_one_is() {
    let folder = filled(1);
    let first = Store::open(path(&folder)).unwrap();
    let refused = Store::open(path(&folder)).unwrap_err().to_string();
    let me = std::process::id();
    assert_eq!(
        refused.strip_prefix(&path(&folder).display().to_string()),
        Some(
            format!(
                " is in use by process {me}. Next: ask the running one (`hikeshi status`), or stop it first \
                 (`systemctl stop hikeshi`)"
            )
            .as_str()
        )
    );
    drop(first);
    Store::open(path(&folder)).unwrap();
}

#[test]
fn readers_see_each_commit_while_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open_read_only(path(&folder)), Err(StoreError::Missing { .. })));
    assert!(!path(&folder).exists(), "a reader creates nothing");
    let mut store = Store::open(path(&folder)).unwrap();
    let reader = Store::open_read_only(path(&folder)).unwrap();
    for seq in 1..10 {
        store.commit(&Batch { events: vec![Draw(seq).event(4)], ..Batch::default() }).unwrap();
        assert_eq!(reader.last_seq().unwrap(), seq);
        assert_eq!(reader.pending().unwrap(), store.pending().unwrap());
    }
    drop(store);
    assert_eq!(reader.last_seq().unwrap(), 9, "and after the writer went");
    drop(reader);
    assert_eq!(Store::open_read_only(path(&folder)).unwrap().last_seq().unwrap(), 9);
}

#[test]
fn a_newer_database_is_refused_and_kept() {
    let folder = filled(3);
    Connection::open(path(&folder)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(path(&folder)).unwrap();
    for refused in [Store::open(path(&folder)).map(drop), Store::open_read_only(path(&folder)).map(drop)] {
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the database was written by a newer Hikeshi (schema 99, this one knows 2). Next: install the newer \
             version again, or put the backup from before the upgrade in its place"
        );
    }
    assert!(fs::read(path(&folder)).unwrap() == before);
}

#[test]
fn what_is_not_our_database_is_refused_and_kept() {
    let foreign = |path: &Path| Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    // SQLite deletes the log of an empty file: what it holds would be lost with it.
    let empty = |path: &Path| {
        fs::write(path, "").unwrap();
        fs::write(beside(path, "-wal"), "frames").unwrap();
    };
    let letter = |path: &Path| fs::write(path, "Dear customer, ".repeat(1000)).unwrap();
    let lost_but_its_log = |path: &Path| fs::write(beside(path, "-wal"), "frames").unwrap();
    let link = |path: &Path| symlink("/nowhere", path).unwrap();
    let makers: [&dyn Fn(&Path); 5] = [&foreign, &empty, &letter, &lost_but_its_log, &link];
    for (at, make) in makers.into_iter().enumerate() {
        let folder = filled(1);
        fs::remove_file(path(&folder)).unwrap();
        make(&path(&folder));
        if path(&folder).is_file() {
            fs::set_permissions(path(&folder), Permissions::from_mode(0o600)).unwrap();
        }
        let files = || ["", "-wal"].map(|ending| fs::read(beside(&path(&folder), ending)).ok());
        let before = files();
        let refused = Store::open(path(&folder)).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{at}: {refused}");
        assert!(files() == before, "{at}");
    }
}

#[test]
fn damage_anywhere_is_found_or_harmless_and_the_file_is_kept() {
    let sound = filled(400);
    let bytes = fs::read(path(&sound)).unwrap();
    let all = Store::open(path(&sound)).unwrap().event_range(0, u32::MAX).unwrap();
    let pages = bytes.len() / 4096;
    let mut found = 0;
    for page in 0..pages {
        let folder = filled(0);
        fs::write(path(&folder), &bytes).unwrap();
        let file = OpenOptions::new().write(true).open(path(&folder)).unwrap();
        file.write_all_at(&[0xa5; 4096], page as u64 * 4096).unwrap();
        let harmed = fs::read(path(&folder)).unwrap();
        match Store::open(path(&folder)) {
            Err(refused) => {
                found += 1;
                assert!(matches!(refused, StoreError::Damaged { .. }), "page {page}: {refused}");
                assert!(refused.to_string().contains("nothing is lifted"), "page {page}: {refused}");
                assert!(fs::read(path(&folder)).unwrap() == harmed, "page {page} was written to");
            }
            // Pages that hold only the middle of a long row are checked when they are read.
            Ok(store) => {
                let read = store.event_range(0, u32::MAX);
                assert!(read.is_err() || read.is_ok_and(|read| read == all), "page {page} is read as something else");
            }
        }
    }
    assert!(found > pages / 2, "{found} of {pages} pages");
}

#[test]
fn a_row_that_breaks_a_rule_of_its_table_is_damage() {
    let folder = filled(3);
    let forged = Connection::open(path(&folder)).unwrap();
    forged.pragma_update(None, "ignore_check_constraints", true).unwrap();
    forged.execute("INSERT INTO settings VALUES ('key', ?)", ["x".repeat(5000)]).unwrap();
    drop(forged);
    let refused = Store::open(path(&folder)).unwrap_err().to_string();
    assert!(refused.starts_with("the database is damaged: CHECK constraint failed in settings. It was"), "{refused}");
}

#[test]
fn damage_beside_a_log_of_a_killed_writer_keeps_both_files() {
    let killed = tempfile::tempdir().unwrap();
    let (database, log) = (path(&killed), beside(&path(&killed), "-wal"));
    let folder = filled(400);
    let mut store = Store::open(path(&folder)).unwrap();
    store.commit(&Batch { events: vec![Draw(1).event(4)], ..Batch::default() }).unwrap();
    // What is on the disk now is what a kill leaves behind.
    drop(Store::open(&database).unwrap());
    fs::copy(path(&folder), &database).unwrap();
    fs::copy(beside(&path(&folder), "-wal"), &log).unwrap();
    OpenOptions::new().write(true).open(&database).unwrap().write_all_at(&[0xa5; 4096], 20 * 4096).unwrap();
    let before = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    assert!(!before.1.is_empty());
    assert!(matches!(Store::open(&database), Err(StoreError::Damaged { .. })));
    assert!((fs::read(&database).unwrap(), fs::read(&log).unwrap()) == before);
}

#[test]
fn a_database_that_was_taken_away_acknowledges_nothing_more() {
    let folder = filled(1);
    let mut store = Store::open(path(&folder)).unwrap();
    let aside = beside(&path(&folder), ".aside");
    fs::rename(path(&folder), &aside).unwrap();
    fs::copy(&aside, path(&folder)).unwrap();
    let batch = Batch { events: vec![Draw(1).event(4)], ..Batch::default() };
    let refused = store.commit(&batch).unwrap_err();
    assert!(refused.to_string().contains("was moved or deleted while it was in use"), "{refused}");
    assert!(matches!(store.commit(&batch), Err(StoreError::Broken)));
}

#[test]
fn a_file_cut_short_is_refused_and_kept() {
    let sound = filled(400);
    let bytes = fs::read(path(&sound)).unwrap();
    for kept in [1, 99, 100, 4095, 4096, 8192, bytes.len() / 2, bytes.len() - 4096] {
        let folder = filled(0);
        fs::write(path(&folder), &bytes[..kept]).unwrap();
        let refused = Store::open(path(&folder)).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{kept}: {refused}");
        assert!(fs::read(path(&folder)).unwrap() == bytes[..kept], "{kept}");
    }
}

#[test]
fn a_backup_opens_is_private_and_overwrites_nothing() {
    let folder = filled(400);
    let mut store = Store::open(path(&folder)).unwrap();
    let large = |at| Body { kind: BodyKind::Capture, expires: Moment(9), bytes: vec![at; store::ROW_BYTES_MAX] };
    store.commit(&Batch { bodies: (0..12).map(large).collect(), ..Batch::default() }).unwrap();
    let reader = Store::open_read_only(path(&folder)).unwrap();
    let copy = folder.path().join("state/copy.db");
    let mut told = Vec::new();
    reader
        .backup_to(&copy, |done, all| {
            told.push((done, all));
            assert!(told.len() < 100, "the copy begins anew with each commit");
            // The writer goes on meanwhile, and the copy stays one of before.
            store.commit(&Batch { events: vec![Draw(1).event(4)], ..Batch::default() }).unwrap();
        })
        .unwrap();
    assert!(told.len() > 2 && told.iter().all(|(_, all)| *all == told[0].1), "{told:?}");
    assert!(told.is_sorted() && told.last().is_some_and(|(done, all)| done == all), "{told:?}");
    assert_eq!(mode(&copy), 0o600);
    assert!(!beside(&copy, ".part").exists() && !beside(&copy, "-wal").exists());
    let before = fs::read(&copy).unwrap();
    for view in [&reader, &*store] {
        assert!(matches!(view.backup_to(&copy, |_, _| {}), Err(StoreError::Exists { .. })));
    }
    assert!(fs::read(&copy).unwrap() == before);
    let restored = Store::open(&copy).unwrap();
    assert_eq!(restored.event_range(0, u32::MAX).unwrap(), store.event_range(0, 400).unwrap());
    assert!(matches!(store.backup_to("/nowhere/copy.db", |_, _| {}), Err(StoreError::File { .. })));
}
