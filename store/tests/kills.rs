//! Killed at any point: what was acknowledged is there, and no order is without its event or the other way round.
//!
//! A child process commits and says so on its pipe; it is killed with SIGKILL in the middle of it; then the
//! database is opened again. The naive twin stores orders in a second transaction and must be caught.

mod draw;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use draw::Draw;
use model::{Event, IntentId};
use rusqlite::{Connection, params};
use store::{Batch, Store, Stored};

/// Where the child finds its database, and with it the word that it is the child.
const DATABASE: &str = "HIKESHI_TEST_DATABASE";
const SEED: &str = "HIKESHI_TEST_SEED";

/// The events of a seed's batch; the first one always carries an order.
fn events(seed: u64, batch: u64) -> Vec<Event> {
    let mut draw = Draw(seed << 32 | batch);
    let count = 1 + draw.below(4);
    let first = draw.event(4);
    let others = (0..count).map(|_| 1 + draw.below(Draw::FACTS as u64 - 1) as usize).collect::<Vec<_>>();
    std::iter::once(first).chain(others.into_iter().map(|at| draw.event(at))).collect()
}

/// Runs as the child only: commits for ever, and says each last place on its pipe after it is durable.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(DATABASE) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let mut store = Store::open(path).unwrap();
    for batch in 0.. {
        let batch = Batch { events: events(seed, batch), ..Batch::default() };
        let first = store.commit(&batch).unwrap().first_seq;
        say(first + batch.events.len() as u64 - 1);
    }
}

/// The naive twin of the child above: orders follow in a transaction of their own.
#[test]
fn naive_child_that_stores_orders_afterwards() {
    let Ok(path) = std::env::var(DATABASE) else { return };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    drop(Store::open(&path).unwrap());
    let conn = Connection::open(path).unwrap();
    let mut seq = 0;
    for batch in 0.. {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut orders = Vec::new();
        for event in events(seed, batch) {
            seq += 1;
            let fact = serde_json::to_string(&event.fact).unwrap();
            let account = &event.account;
            conn.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, NULL, 'naive', 1, ?, zeroblob(32))",
                params![seq, event.at.0, account.name.as_str(), account.uid, account.generation, fact],
            )
            .unwrap();
            orders.extend(event.intent(IntentId(seq as u64)).map(|_| seq));
        }
        conn.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
        for seq in orders {
            conn.execute("INSERT INTO outbox (seq, next_at) VALUES (?, 0)", [seq]).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        say(seq as u64);
    }
}

fn say(seq: u64) {
    // Past the test harness, which keeps `println!` for itself; in one write, so that a kill cannot cut it.
    std::io::stderr().write_all(format!("stored {seq}\n").as_bytes()).unwrap();
}

/// Lets the child store a few batches, kills it, and gives the last place that it acknowledged.
fn killed(child: &str, database: &Path, seed: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([child, "--exact", "--nocapture"])
        .env(DATABASE, database)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut draw = Draw(seed);
    let mut last = 0;
    let place = |line: &str| line.strip_prefix("stored ").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    for line in lines.by_ref().take(1 + draw.below(12) as usize) {
        last = place(&line);
    }
    // Not a wait for anything: only to be at another instruction of the child each time.
    (0..draw.below(40_000)).for_each(|_| std::hint::spin_loop());
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said before the kill still stands in the pipe.
    lines.map(|line| place(&line)).fold(last, u64::max)
}

/// What is wrong with the database after the kill; `None` when all promises hold.
fn broken_promise(database: &Path, seed: u64, acknowledged: u64) -> Option<String> {
    let store = Store::open(database).unwrap();
    let read = store.event_range(0, u32::MAX).unwrap();
    if (read.len() as u64) < acknowledged {
        return Some(format!("{acknowledged} events acknowledged, {} there", read.len()));
    }
    let mut expected = (0..).flat_map(|batch| events(seed, batch));
    if !read.iter().all(|Stored { event, .. }| expected.next().as_ref() == Some(event)) {
        return Some("an event is not as it was sent".into());
    }
    let ends = (0..).scan(0, |sum, batch| {
        *sum += events(seed, batch).len();
        Some(*sum)
    });
    if !read.is_empty() && !ends.take_while(|end| *end <= read.len()).any(|end| end == read.len()) {
        return Some("half a batch is there".into());
    }
    let carried: Vec<u64> = read.iter().filter(|s| s.event.intent(IntentId(s.seq)).is_some()).map(|s| s.seq).collect();
    let pending: Vec<u64> = store.pending().unwrap().iter().map(|p| p.intent.id.0).collect();
    (carried != pending).then(|| "an order has no event, or an event not its order".into())
}

#[test]
fn a_kill_at_any_point_loses_nothing_that_was_acknowledged() {
    for seed in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("state/hikeshi.db");
        let acknowledged = killed("child_that_commits_until_it_is_killed", &database, seed);
        assert!(acknowledged > 0, "seed {seed}");
        assert_eq!(broken_promise(&database, seed, acknowledged), None, "seed {seed}");
    }
}

#[test]
fn orders_in_a_second_transaction_would_be_caught() {
    let caught = (0..200).any(|seed| {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("state/hikeshi.db");
        let acknowledged = killed("naive_child_that_stores_orders_afterwards", &database, seed);
        broken_promise(&database, seed, acknowledged).is_some_and(|why| why.starts_with("an order has no event"))
    });
    assert!(caught, "200 kills between two transactions and none of them seen: the test above proves nothing");
}
