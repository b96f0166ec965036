//! What names people is gone when its time is over: no byte of it in any file of the database.

mod draw;

use std::fs;
use std::path::Path;

use draw::Draw;
use model::{AccountEntry, AccountRef, Body, BodyKind, Contact, Language, Moment, Role};
use rusqlite::Connection;
use store::{Attempt, Batch, Store};

/// Stands in every letter, evidence and address below, and nowhere else.
const CANARY: &str = "kanaria.taro@himitsu.example";

/// The files of this folder that hold a canary.
fn sung_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let sings = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
    files
        .filter(|file| sings(&fs::read(file.path()).unwrap()))
        .map(|file| file.file_name().into_string().unwrap())
        .collect()
}

fn body(draw: &mut Draw, expires: Moment) -> Body {
    let kind = draw.of(&[BodyKind::Evidence, BodyKind::Letter, BodyKind::Question, BodyKind::Pass, BodyKind::Capture]);
    let length = draw.of(&[1, 3, 30, 300]);
    Body { kind, expires, bytes: format!("{} {CANARY}", draw.next()).repeat(length).into_bytes() }
}

fn entry(account: AccountRef, draw: &mut Draw) -> AccountEntry {
    let contact = |address: String| Contact { address, role: Role::Owner, language: Language::Ja, name: CANARY.into() };
    let contacts = (0..draw.below(9)).map(|at| contact(format!("{at}-{CANARY}"))).collect();
    let sites = (0..draw.below(9)).map(|_| draw.site()).collect();
    AccountEntry { account, home: "/home/x".into(), sites, contacts, time_zone: "Asia/Tokyo".into() }
}

/// A life of a database: batches that come, are repeated, grow and shrink, until everything expired.
fn live(folder: &Path, seed: u64) -> Store {
    let mut draw = Draw(seed);
    let mut store = Store::open(folder.join("hikeshi.db")).unwrap();
    for day in 0..30 {
        let bodies: Vec<Body> = (0..draw.below(12))
            .map(|_| {
                let expires = Moment(day + 1 + draw.below(20) as i64);
                body(&mut draw, expires)
            })
            .collect();
        let accounts: Vec<AccountEntry> = (0..draw.below(6))
            .map(|_| {
                let account = draw.account();
                entry(account, &mut draw)
            })
            .collect();
        let accounts_gone = vec![draw.account()];
        let events = (0..20).map(|_| 1 + draw.below(Draw::FACTS as u64 - 1) as usize).collect::<Vec<_>>();
        let events = events.into_iter().map(|at| draw.event(at)).collect();
        let intents =
            store.commit(&Batch { events, bodies, accounts, accounts_gone, ..Batch::default() }).unwrap().intents;
        let error = format!("550 <{CANARY}> unknown");
        let attempts = intents
            .iter()
            .map(|i| Attempt { intent: i.id, tries: 1, next_at: Moment(9), error: error.clone() })
            .collect();
        store.commit(&Batch { attempts, ..Batch::default() }).unwrap();
        store.bodies_expire(Moment(day)).unwrap();
    }
    store
}

#[test]
fn no_byte_of_a_person_is_left_after_its_time() {
    for seed in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut store = live(&state, seed);
        assert!(sung_in(&state).contains(&"hikeshi.db".to_owned()), "seed {seed}: the canary must have been there");
        let events = store.last_seq().unwrap();
        assert!(store.bodies_expire(Moment(1000)).unwrap() > 0, "seed {seed}");
        for known in store.accounts().unwrap() {
            store.forget_contacts(&known.entry.account).unwrap();
        }
        assert_eq!(sung_in(&state), [""; 0], "seed {seed}");
        store.backup_to(state.join("copy.db"), |_, _| {}).unwrap();
        assert_eq!(sung_in(&state), [""; 0], "seed {seed}: in a backup");
        assert_eq!(store.event_range(0, u32::MAX).unwrap().len() as u64, events, "events stay");
    }
}

#[test]
fn deleting_without_overwriting_would_be_caught() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    drop(live(&state, 1));
    let naive = Connection::open(state.join("hikeshi.db")).unwrap();
    naive.execute_batch("PRAGMA secure_delete = OFF; DELETE FROM bodies; DELETE FROM accounts;").unwrap();
    naive.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    assert_eq!(sung_in(&state), ["hikeshi.db"]);
}

#[test]
fn a_long_reader_only_delays_the_wiping() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut store = live(&state, 1);
    let reader = Store::open_read_only(state.join("hikeshi.db")).unwrap();
    let mut forgotten = false;
    reader
        .backup_to(folder.path().join("copy.db"), |_, _| {
            if !std::mem::replace(&mut forgotten, true) {
                store.bodies_expire(Moment(1000)).unwrap();
                for known in store.accounts().unwrap() {
                    store.forget_contacts(&known.entry.account).unwrap();
                }
            }
        })
        .unwrap();
    store.bodies_expire(Moment(1000)).unwrap();
    assert_eq!(sung_in(&state), [""; 0]);
}

#[test]
fn only_that_owner_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path().join("state/hikeshi.db")).unwrap();
    let mut draw = Draw(2);
    let first = AccountRef { name: "alice".parse().unwrap(), uid: 1001, generation: 1 };
    let second = AccountRef { generation: 2, ..first.clone() };
    let mut entries = [first.clone(), second.clone()].map(|account| entry(account, &mut draw));
    entries[1].contacts = vec![Contact {
        address: "new@example.jp".into(),
        role: Role::Owner,
        language: Language::En,
        name: String::new(),
    }];
    store.commit(&Batch { accounts: entries.to_vec(), ..Batch::default() }).unwrap();
    store.forget_contacts(&first).unwrap();
    store.forget_contacts(&draw.account()).unwrap();
    entries[0].contacts.clear();
    let known = store.accounts().unwrap();
    assert!(known.iter().map(|k| &k.entry).eq(&entries));
    assert_eq!(known.iter().map(|k| k.gone).collect::<Vec<_>>(), [true, false]);
}
