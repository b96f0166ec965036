//! What is kept beside events: bodies, orders under way, places in logs, baselines, accounts, settings.

mod draw;

use draw::Draw;
use model::packet::{Baseline, Cursor};
use model::{AccountEntry, AccountRef, Body, BodyKind, Hash, IntentId, Moment};
use store::{Attempt, Batch, Store, StoreError};
use tempfile::TempDir;

fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("state/hikeshi.db")).unwrap();
    (folder, store)
}

fn alice(uid: u32, generation: u32) -> AccountRef {
    AccountRef { name: "alice".parse().unwrap(), uid, generation }
}

fn entry(account: AccountRef, zone: &str) -> AccountEntry {
    AccountEntry { account, home: "/home/a".into(), sites: vec![], contacts: vec![], time_zone: zone.into() }
}

#[test]
fn a_body_stays_until_the_latest_time_that_anybody_asked_for() {
    let (_folder, mut store) = fresh();
    let body = |expires| Body { kind: BodyKind::Letter, expires: Moment(expires), bytes: b"letter".to_vec() };
    let name = Hash::of(b"letter");
    for (asked, kept) in [(10, 10), (30, 30), (20, 30)] {
        store.commit(&Batch { bodies: vec![body(asked)], ..Batch::default() }).unwrap();
        assert_eq!(store.body(&name).unwrap(), Some(body(kept)));
    }
    assert_eq!(store.bodies_expire(Moment(29)).unwrap(), 0);
    assert_eq!(store.bodies_expire(Moment(30)).unwrap(), 1);
    assert_eq!(store.body(&name).unwrap(), None);
    let large = Body { kind: BodyKind::Capture, expires: Moment(1), bytes: vec![0; store::ROW_BYTES_MAX + 1] };
    let refused = store.commit(&Batch { bodies: vec![large], ..Batch::default() });
    assert!(matches!(refused, Err(StoreError::TooLarge { what: "body", .. })));
}

#[test]
fn a_body_that_is_not_what_its_name_says_is_not_handed_out() {
    let (folder, mut store) = fresh();
    let body = Body { kind: BodyKind::Evidence, expires: Moment(9), bytes: b"[]".to_vec() };
    store.commit(&Batch { bodies: vec![body.clone()], ..Batch::default() }).unwrap();
    let forged = rusqlite::Connection::open(folder.path().join("state/hikeshi.db")).unwrap();
    forged.execute("UPDATE bodies SET bytes = x'5b315d'", []).unwrap();
    assert!(matches!(store.body(&body.hash()), Err(StoreError::Damaged { .. })));
}

#[test]
fn an_order_waits_with_its_tries_until_it_is_done() {
    let (_folder, mut store) = fresh();
    let events: Vec<_> = [4, 13, 7, 9, 11, 18].map(|at| Draw(8).event(at)).to_vec();
    let intents = store.commit(&Batch { events, ..Batch::default() }).unwrap().intents;
    assert_eq!(intents.iter().map(|i| i.id.0).collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    let due = Draw(8).event(4).at;
    let try_of = |id| Attempt { intent: IntentId(id), tries: 2, next_at: Moment(77), error: "timeout".into() };
    let batch =
        Batch { done: vec![IntentId(3), IntentId(3), IntentId(999)], attempts: vec![try_of(4)], ..Batch::default() };
    store.commit(&batch).unwrap();
    let seen = |store: &Store| {
        let rows = store.pending().unwrap().into_iter();
        rows.map(|p| (p.intent.id.0, p.tries, p.next_at, p.error)).collect::<Vec<_>>()
    };
    let waiting =
        [(1, 0, due, None), (4, 2, Moment(77), Some("timeout".to_owned())), (5, 0, due, None), (6, 0, due, None)];
    assert_eq!(seen(&store), waiting);
    // A late answer to what is done does not wake it again.
    store.commit(&Batch { attempts: vec![try_of(3), try_of(2)], ..Batch::default() }).unwrap();
    assert_eq!(seen(&store), waiting);
    store.commit(&Batch { done: intents.iter().map(|i| i.id).collect(), ..Batch::default() }).unwrap();
    assert_eq!(seen(&store), []);
}

#[test]
fn places_and_baselines_are_the_last_ones_to_the_bit() {
    let (folder, mut store) = fresh();
    let cursor = |path: &str, offset| Cursor {
        path: path.into(),
        device: u64::MAX,
        inode: 1 << 63,
        offset,
        head: Hash::of(path.as_bytes()),
        head_len: 1024,
    };
    let usual = |account: &str, metric: &str, mean| Baseline {
        account: account.parse().unwrap(),
        metric: metric.into(),
        mean,
        deviation: f64::MIN_POSITIVE,
        samples: u64::MAX,
    };
    store
        .commit(&Batch {
            cursors: vec![cursor("/b", 1), cursor("/a", 2)],
            baselines: vec![usual("bob", "cpu", 0.1), usual("alice", "mail", 1e300)],
            ..Batch::default()
        })
        .unwrap();
    store
        .commit(&Batch {
            cursors: vec![cursor("/b", u64::MAX)],
            baselines: vec![usual("bob", "cpu", 0.1 + 0.2), usual("alice", "mail", f64::NAN)],
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    let view = Store::open_read_only(folder.path().join("state/hikeshi.db")).unwrap();
    assert_eq!(view.cursors().unwrap(), [cursor("/a", 2), cursor("/b", u64::MAX)]);
    assert_eq!(view.baselines().unwrap(), [usual("alice", "mail", 1e300), usual("bob", "cpu", 0.1 + 0.2)]);
}

#[test]
fn a_name_has_one_owner_and_the_earlier_ones_are_remembered_as_gone() {
    let (_folder, mut store) = fresh();
    let name = "alice".parse().unwrap();
    let mut come = |accounts: &[AccountEntry], gone: &[AccountRef]| {
        let batch = Batch { accounts: accounts.to_vec(), accounts_gone: gone.to_vec(), ..Batch::default() };
        store.commit(&batch).unwrap();
        let all = store.accounts().unwrap();
        let now = store.account(&name).unwrap().map(|k| (k.entry.account.generation, k.entry.time_zone, k.gone));
        (all.iter().map(|k| (k.entry.account.generation, k.gone)).collect::<Vec<_>>(), now)
    };
    let is = |generation, zone: &str, gone| Some((generation, zone.to_owned(), gone));
    assert_eq!(come(&[], &[alice(1, 1)]), (vec![], None));
    assert_eq!(come(&[entry(alice(1, 1), "A")], &[]), (vec![(1, false)], is(1, "A", false)));
    assert_eq!(come(&[entry(alice(1, 1), "B")], &[]), (vec![(1, false)], is(1, "B", false)));
    assert_eq!(come(&[], &[alice(1, 1)]), (vec![(1, true)], is(1, "B", true)));
    // Gone and back in one batch is back.
    assert_eq!(come(&[entry(alice(1, 1), "C")], &[alice(1, 1)]), (vec![(1, false)], is(1, "C", false)));
    // Nobody said that the first owner went: the second one says it.
    assert_eq!(come(&[entry(alice(1, 2), "D")], &[]), (vec![(1, true), (2, false)], is(2, "D", false)));
    assert_eq!(come(&[], &[alice(1, 2)]), (vec![(1, true), (2, true)], is(2, "D", true)));
}

#[test]
fn a_setting_is_the_last_value_and_small() {
    let (_folder, mut store) = fresh();
    assert_eq!(store.setting("inventory").unwrap(), None);
    for value in ["1", "", "山"] {
        store.put_setting("inventory", value).unwrap();
        assert_eq!(store.setting("inventory").unwrap().as_deref(), Some(value));
    }
    assert!(store.put_setting("inventory", &"x".repeat(4097)).is_err());
    assert_eq!(store.setting("inventory").unwrap().as_deref(), Some("山"));
}

#[test]
fn a_batch_with_one_wrong_row_leaves_no_trace() {
    let (_folder, mut store) = fresh();
    let large = Body { kind: BodyKind::Capture, expires: Moment(1), bytes: vec![0; store::ROW_BYTES_MAX + 1] };
    let small = Body { bytes: vec![1], ..large.clone() };
    let name = small.hash();
    let batch = Batch {
        events: vec![Draw(1).event(4)],
        bodies: vec![small, large],
        accounts: vec![entry(alice(1, 1), "A")],
        ..Batch::default()
    };
    assert!(store.commit(&batch).is_err());
    assert!(store.event_range(0, 9).unwrap().is_empty() && store.pending().unwrap().is_empty());
    assert_eq!((store.body(&name).unwrap(), store.accounts().unwrap()), (None, vec![]));
    let empty = store.commit(&Batch::default()).unwrap();
    assert_eq!((empty.first_seq, empty.intents), (1, vec![]));
}
