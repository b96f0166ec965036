//! Durable events a second: our commit beside bare SQLite with the same switches and the same bytes.
//!
//! Bare means: the rows are ready-made, one table, no JSON, no orders, no checks. What is left over is what our
//! promises cost. The two take turns of a few commits, so that a busy neighbour slows both. Goal: a ratio of 0.8.

use std::path::Path;
use std::time::{Duration, Instant};

use model::{
    Event, Fact, Hash, Kind, Measure, Mode, Moment, NoticeId, NoticeKind, Number, ProcessRef, Restriction,
    RestrictionId, Signal, Strength, Target, Trouble, Why,
};
use rusqlite::{Connection, TransactionBehavior, params};
use store::{Batch, FORMAT, Store};

/// The columns of one event.
struct Bare {
    at: i64,
    name: String,
    uid: u32,
    generation: u32,
    incident: Option<String>,
    kind: String,
    fact: String,
}

/// Commits of one database before it is the other one's turn.
const TURN: usize = 20;

fn main() {
    // `cargo bench` passes `--bench`; anything else (`cargo test --benches`) only sees that it runs.
    let measured = std::env::args().any(|arg| arg == "--bench");
    for (size, commits) in [(1, 6_000), (100, 600)] {
        let commits = if measured { commits } else { TURN };
        let (ours, bare) = compare(size, commits);
        let ratio = ours / bare;
        println!("batches of {size:>3}: ours {ours:>6.0} events/s, bare {bare:>6.0} events/s, ratio {ratio:.2}");
    }
}

/// Events a second of both, turn by turn.
fn compare(size: usize, commits: usize) -> (f64, f64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut store = Store::open(folder.path().join("state/hikeshi.db")).expect("a database");
    let mut conn = bare(&folder.path().join("bare.db"));
    let events = events(size * commits);
    let (mut ours, mut bare) = (Duration::ZERO, Duration::ZERO);
    for turn in events.chunks(size * TURN) {
        let batches: Vec<Batch> =
            turn.chunks(size).map(|events| Batch { events: events.to_vec(), ..Batch::default() }).collect();
        let rows: Vec<Bare> = turn.iter().map(row).collect();
        ours += commit_ours(&mut store, &batches);
        bare += commit_bare(&mut conn, &rows, size);
    }
    let count = events.len() as f64;
    (count / ours.as_secs_f64(), count / bare.as_secs_f64())
}

fn commit_ours(store: &mut Store, batches: &[Batch]) -> Duration {
    let begun = Instant::now();
    for batch in batches {
        store.commit(batch).expect("room");
    }
    begun.elapsed()
}

fn commit_bare(conn: &mut Connection, rows: &[Bare], size: usize) -> Duration {
    let begun = Instant::now();
    for rows in rows.chunks(size) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).expect("a transaction");
        let mut insert = tx
            .prepare_cached(
                "INSERT INTO events (at, name, uid, generation, incident, kind, format, fact)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .expect("a statement");
        for row in rows {
            let Bare { at, name, uid, generation, incident, kind, fact } = row;
            insert.execute(params![at, name, uid, generation, incident, kind, FORMAT, fact]).expect("room");
        }
        drop(insert);
        tx.commit().expect("room");
    }
    begun.elapsed()
}

fn bare(path: &Path) -> Connection {
    let conn = Connection::open(path).expect("a database");
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;
         CREATE TABLE events (
            seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, name TEXT NOT NULL, uid INTEGER NOT NULL,
            generation INTEGER NOT NULL, incident TEXT, kind TEXT NOT NULL, format INTEGER NOT NULL,
            fact TEXT NOT NULL
         ) STRICT;
         CREATE INDEX events_of_account ON events (name);",
    )
    .expect("tables");
    conn
}

fn row(event: &Event) -> Bare {
    let fact = serde_json::to_string(&event.fact).expect("JSON");
    let kind = fact[2..].split('"').next().unwrap_or_default().to_owned();
    Bare {
        at: event.at.0,
        name: event.account.name.to_string(),
        uid: event.account.uid,
        generation: event.account.generation,
        incident: event.incident().map(|number| number.to_string()),
        kind,
        fact,
    }
}

/// Very bad days of a node: each of its 500 accounts has one incident a day, and each incident goes as it does:
/// opened, two signals, an order, what was seen, a notice, what became of it.
fn events(count: usize) -> Vec<Event> {
    (0..count).map(event).collect()
}

fn event(at: usize) -> Event {
    let (incident_at, step) = (at / 7, at % 7);
    let now = Moment::from_secs(1_774_061_213 + at as i64);
    let day = Moment::from_secs(1_774_061_213 + (incident_at / 500) as i64 * 86_400);
    let incident = Number::new(day, (incident_at % 500) as u16);
    let uid = 10_000 + (incident_at % 500) as u32;
    let account = model::AccountRef { name: format!("customer{uid}").parse().expect("a name"), uid, generation: 1 };
    let finding = Hash::of(&at.to_le_bytes());
    let process = ProcessRef { pid: 4711, start_ticks: 88_123_456, uid, exe_dev: 64_769, exe_ino: 1_835_021 };
    let id = RestrictionId { incident, ordinal: 1 };
    let fact = match step {
        0 => Fact::IncidentOpened {
            incident,
            trouble: Trouble::Intrusion,
            relapse_of: None,
            mode: Mode::Enforce,
            policy: Hash::of(b"policy"),
        },
        1 | 2 => Fact::SignalJoined {
            incident,
            signal: Signal {
                kind: Kind::DeletedExe,
                also: vec![Kind::FakedName, Kind::PoolConnection],
                strength: Strength::Conclusive,
                account: account.clone(),
                site: Some("blog.example.jp".parse().expect("a domain")),
                at: now,
                since: now,
                target: Target::Processes(vec![process.clone()]),
                fingerprint: finding,
                evidence: finding,
                forgeable: false,
            },
        },
        3 => Fact::RestrictionOrdered {
            restriction: Restriction {
                id,
                measure: Measure::FreezeProcess { processes: vec![process.clone()] },
                since: now,
                why: Why { rule: "process-conclusive".into(), findings: vec![finding] },
            },
            by_person: false,
        },
        4 => Fact::RestrictionImposed { id, seen: "cgroup frozen, 1 process".into() },
        5 => Fact::NoticeOrdered { notice: NoticeId { incident, ordinal: 1 }, kind: NoticeKind::Restricted },
        _ => Fact::NoticeSeen {
            notice: NoticeId { incident, ordinal: 1 },
            delivery: model::Delivery::Accepted { addresses: 2 },
        },
    };
    Event { at: now, account, fact }
}
