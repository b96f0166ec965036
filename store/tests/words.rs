//! What is written is what is read: every fact, in order, with its order, and nothing that we would not write.

mod draw;

use draw::Draw;
use model::{Event, Fact, IntentId, Moment, Number};
use rusqlite::Connection;
use store::{Batch, Store, StoreError};
use tempfile::TempDir;

fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("state/hikeshi.db")).unwrap();
    (folder, store)
}

fn batch(events: impl IntoIterator<Item = Event>) -> Batch {
    Batch { events: events.into_iter().collect(), ..Batch::default() }
}

/// Changes a stored fact as no Hikeshi would, which first takes the trigger away.
fn forge(folder: &TempDir, set: &str) {
    let conn = Connection::open(folder.path().join("state/hikeshi.db")).unwrap();
    conn.execute_batch(&format!("DROP TRIGGER events_keep_their_words; UPDATE events SET {set} WHERE seq = 2"))
        .unwrap();
}

#[test]
fn every_fact_is_read_as_it_was_written_and_in_order() {
    for seed in 0..40 {
        let mut draw = Draw(seed);
        let (folder, mut store) = fresh();
        let mut written = Vec::new();
        for _ in 0..4 {
            let events: Vec<Event> = (0..Draw::FACTS).map(|at| draw.event(at)).collect();
            let at = draw.below(Draw::FACTS as u64) as usize;
            let first = store.commit(&batch(events[..at].iter().cloned())).unwrap();
            let then = store.commit(&batch(events[at..].iter().cloned())).unwrap();
            assert_eq!(first.first_seq, written.len() as u64 + 1, "seed {seed}");
            assert_eq!(then.first_seq, first.first_seq + at as u64, "seed {seed}");
            let intents: Vec<_> = first.intents.into_iter().chain(then.intents).collect();
            let carried: Vec<_> =
                (first.first_seq..).zip(&events).filter_map(|(seq, e)| e.intent(IntentId(seq))).collect();
            assert_eq!(intents, carried, "seed {seed}");
            written.extend(events);
        }
        drop(store);
        let store = Store::open(folder.path().join("state/hikeshi.db")).unwrap();
        let read = store.event_range(0, u32::MAX).unwrap();
        assert!(read.iter().map(|s| s.seq).eq(1..=written.len() as u64), "seed {seed}");
        assert!(read.iter().map(|s| &s.event).eq(&written), "seed {seed}");
        assert!((0..Draw::FACTS).all(|at| written.iter().any(|e| variant(&e.fact) == at)), "seed {seed}");
        let pending: Vec<_> = store.pending().unwrap().into_iter().map(|p| p.intent).collect();
        let carried: Vec<_> = (1..).zip(&written).filter_map(|(seq, e)| e.intent(IntentId(seq))).collect();
        assert_eq!(pending, carried, "seed {seed}");
    }
}

#[test]
fn an_account_is_read_as_it_was_at_any_time() {
    let mut draw = Draw(7);
    let (_folder, mut store) = fresh();
    let events: Vec<Event> = (0..600).map(|at| draw.event(1 + at % (Draw::FACTS - 1))).collect();
    store.commit(&batch(events.clone())).unwrap();
    for _ in 0..100 {
        let (name, until, after) = (draw.account().name, draw.moment(), draw.below(700));
        let of = |e: &&Event| e.account.name == name;
        let then = store.events_until(&name, until).unwrap();
        assert!(then.iter().map(|s| &s.event).eq(events.iter().filter(of).filter(|e| e.at <= until)));
        let later = store.events_of(&name, after).unwrap();
        assert!(later.iter().map(|s| &s.event).eq(events.iter().skip(after as usize).filter(of)));
        let page = store.event_range(after, 10).unwrap();
        assert!(page.iter().map(|s| &s.event).eq(events.iter().skip(after as usize).take(10)));
    }
    assert!(store.event_range(u64::MAX, 10).unwrap().is_empty());
}

#[test]
fn a_number_is_given_once_and_says_its_account() {
    let (_folder, mut store) = fresh();
    let mut draw = Draw(1);
    let days = [Moment::parse("2026-03-21T00:00:00Z").unwrap(), Moment::parse("2026-03-21T23:59:59Z").unwrap()];
    let mut opened = Vec::new();
    for at in 0..300 {
        let now = days[at % 2];
        let number = Number::new(now, store.opened_on_day(now).unwrap());
        let mut event = draw.event(0);
        let Fact::IncidentOpened { incident, .. } = &mut event.fact else { panic!("fact 0 opens") };
        *incident = number;
        store.commit(&batch([event.clone()])).unwrap();
        assert_eq!(store.incident_account(number).unwrap(), Some(event.account.clone()));
        opened.push((number, event));
    }
    let newest = store.incidents(10).unwrap();
    assert!(newest.iter().map(|o| o.number).eq(opened.iter().rev().take(10).map(|(number, _)| *number)));
    assert_eq!(store.opened_on_day(Moment::parse("2026-03-22T00:00:00Z").unwrap()).unwrap(), 0);
    assert_eq!(store.incident_account(Number::new(days[0], 300)).unwrap(), None);
    let (taken, event) = opened.swap_remove(5);
    let refused = store.commit(&batch([draw.event(13), event]));
    assert!(matches!(refused, Err(StoreError::NumberTaken(number)) if number == taken));
    assert_eq!(store.last_seq().unwrap(), 300);
}

#[test]
fn events_are_never_changed_and_never_deleted() {
    let (folder, mut store) = fresh();
    store.commit(&batch((0..5).map(|_| Draw(3).event(13)))).unwrap();
    let conn = Connection::open(folder.path().join("state/hikeshi.db")).unwrap();
    for sql in ["UPDATE events SET at = 0", "DELETE FROM events", "DELETE FROM events WHERE seq = 5"] {
        let refused = conn.execute(sql, []).unwrap_err().to_string();
        assert!(refused.starts_with("events are never"), "{refused}");
    }
    assert_eq!(store.event_range(0, 10).unwrap().len(), 5);
}

#[test]
fn an_event_of_an_unknown_format_is_named_and_not_guessed() {
    let (folder, mut store) = fresh();
    store.commit(&batch((0..3).map(|_| Draw(3).event(13)))).unwrap();
    forge(&folder, "format = 2");
    let refused = store.event_range(0, 10).unwrap_err();
    assert!(matches!(refused, StoreError::UnknownFormat { seq: 2, format: 2 }));
    assert_eq!(
        refused.to_string(),
        "event 2 has format 2, this Hikeshi knows 1. Next: install the version that wrote it"
    );
    assert_eq!(store.event_range(0, 1).unwrap().len(), 1, "what is before it is still read");
}

#[test]
fn a_fact_that_we_would_not_have_written_is_named_and_not_read() {
    let deep = |old: &str, new: &str| format!("fact = replace(fact, '{old}', '{new}')");
    for set in [
        "fact = 'no JSON'".to_owned(),
        "fact = '{\"Unheard\":{}}'".to_owned(),
        deep("\"by_person\":", "\"more\":1,\"by_person\":"),
        deep("\"ordinal\":", "\"ordinal\":7,\"ordinal\":"),
        deep("\"rule\":", "\"also\":[],\"rule\":"),
        deep("\"by_person\":", " \"by_person\":"),
        "name = '../etc'".to_owned(),
    ] {
        let (folder, mut store) = fresh();
        store.commit(&batch((0..3).map(|_| Draw(3).event(4)))).unwrap();
        assert_eq!(store.pending().unwrap().len(), 3);
        forge(&folder, &set);
        for refused in [store.event_range(0, 10).map(drop), store.pending().map(drop)] {
            assert!(matches!(refused, Err(StoreError::Unreadable { seq: 2, .. })), "{set}: {refused:?}");
        }
    }
}

#[test]
fn a_row_beyond_its_bound_is_refused_and_takes_nothing_with_it() {
    let (_folder, mut store) = fresh();
    let mut event = Draw(3).event(27);
    let Fact::IncidentDismissed { truth, .. } = &mut event.fact else { panic!("fact 27 dismisses") };
    *truth = "x".repeat(store::ROW_BYTES_MAX);
    let refused = store.commit(&batch([Draw(3).event(13), event]));
    assert!(matches!(refused, Err(StoreError::TooLarge { what: "event", .. })));
    assert_eq!(store.last_seq().unwrap(), 0);
    assert_eq!(store.commit(&batch([Draw(3).event(13)])).unwrap().first_seq, 1);
}

/// The place of a fact in the list: the compiler tells when a new one is not drawn yet.
fn variant(fact: &Fact) -> usize {
    use Fact::*;
    match fact {
        IncidentOpened { .. } => 0,
        SignalJoined { .. } => 1,
        SignalIgnored { .. } => 2,
        RestrictionProposed { .. } => 3,
        RestrictionOrdered { .. } => 4,
        RestrictionImposed { .. } => 5,
        RestrictionFailed { .. } => 6,
        LiftOrdered { .. } => 7,
        RestrictionLifted { .. } => 8,
        PassOrdered { .. } => 9,
        PassSeen { .. } => 10,
        LookOrdered { .. } => 11,
        LookSeen { .. } => 12,
        OwnerDone { .. } => 13,
        OwnerCannot { .. } => 14,
        VerificationPassed { .. } => 15,
        VerificationFailed { .. } => 16,
        StageEntered { .. } => 17,
        NoticeOrdered { .. } => 18,
        NoticeSeen { .. } => 19,
        QuestionBound { .. } => 20,
        QuestionUnbound { .. } => 21,
        ObjectionRaised { .. } => 22,
        ObjectionDecided { .. } => 23,
        OperatorActed { .. } => 24,
        FindingAllowed { .. } => 25,
        IncidentClosed { .. } => 26,
        IncidentDismissed { .. } => 27,
        WatchEnded { .. } => 28,
        SitesSeen { .. } => 29,
        OutcomeStale { .. } => 30,
        OperatorCalled { .. } => 31,
        NoticeWritten { .. } => 32,
    }
}
