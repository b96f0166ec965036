//! What was stored cannot be changed, taken out or put in later without being seen.

mod draw;

use model::Event;
use rusqlite::Connection;
use store::{Batch, Store, StoreError};

/// A database with this many events in batches of different sizes, its path and its folder.
fn filled(events: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/hikeshi.db");
    let mut drawn = draw::Draw(7);
    let mut store = Store::open(&path).unwrap();
    let mut left: Vec<Event> = (0..events).map(|i| drawn.event(i)).collect();
    while !left.is_empty() {
        let batch = left.drain(..left.len().min(1 + left.len() / 3)).collect();
        store.commit(&Batch { events: batch, ..Batch::default() }).unwrap();
    }
    (folder, path)
}

/// Changes the file behind our back, as somebody with the rights to it would.
fn tamper(path: &std::path::Path, sql: &str) {
    let conn = Connection::open(path).unwrap();
    let drop = "PRAGMA foreign_keys = 0; DROP TRIGGER events_stay; DROP TRIGGER events_keep_their_words;";
    conn.execute_batch(&format!("{drop} {sql}")).unwrap();
}

fn verified(path: &std::path::Path) -> Result<store::Chain, StoreError> {
    Store::open_read_only(path).unwrap().verify(|_| ())
}

#[test]
fn an_untouched_log_verifies_also_after_a_restart() {
    let (_folder, path) = filled(40);
    let before = verified(&path).unwrap();
    assert_eq!(before.events, 40);
    let mut store = Store::open(&path).unwrap();
    store.commit(&Batch { events: vec![draw::Draw(8).event(0)], ..Batch::default() }).unwrap();
    assert_eq!(store.link_of(40).unwrap(), Some(before.head));
    assert_eq!(store.verify(|_| ()).unwrap().events, 41);
}

#[test]
fn each_change_of_a_stored_event_is_found_at_its_place_and_the_naive_twin_sees_none() {
    let changes = [
        "UPDATE events SET fact = replace(fact, 'e', 'E') WHERE seq = 20",
        "UPDATE events SET at = at + 1 WHERE seq = 20",
        "UPDATE events SET name = 'mallory' WHERE seq = 20",
        "UPDATE events SET uid = uid + 1 WHERE seq = 20",
        "DELETE FROM events WHERE seq = 20",
        "UPDATE events SET chain = zeroblob(32) WHERE seq = 20",
        "UPDATE events SET chain = NULL WHERE seq = 20",
    ];
    for change in changes {
        let (_folder, path) = filled(40);
        tamper(&path, change);
        let found = verified(&path);
        let at = if change.starts_with("DELETE") { 21 } else { 20 };
        assert!(matches!(found, Err(StoreError::Unchained { seq }) if seq == at), "{change}: {found:?}");
        // The twin: SQLite's own check finds a sound file.
        let conn = Connection::open(&path).unwrap();
        let sound: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "{change}");
    }
}

#[test]
fn a_log_from_before_the_chain_is_chained_when_it_is_opened() {
    let (_folder, path) = filled(12);
    let head = verified(&path).unwrap().head;
    tamper(
        &path,
        "ALTER TABLE events DROP COLUMN chain; PRAGMA user_version = 1;
        CREATE TRIGGER events_keep_their_words BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'no'); END;",
    );
    drop(Store::open(&path).unwrap());
    assert_eq!(verified(&path).unwrap().head, head);
}
