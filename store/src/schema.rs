//! The tables, how they came to be, and the switches of every connection.
//!
//! A change of a table is one more migration at the end of the list, never an edit of an older one.

use std::time::Duration;

use rusqlite::{Connection, Transaction, params};
use rusqlite_migration::{M, Migrations};

use crate::{StoreError, chain};

/// Schema version of this build: how many migrations there are.
pub(crate) const VERSION: u32 = 2;

/// Largest event or body, bytes: sixteen times the largest packet.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// Page cache of the writer. The bundled SQLite lets all connections of a process share one pool; with the
/// default of 2 MiB a second one pushed the writer's index pages out, and each commit read them again.
const CACHE_KIB: i64 = 16 * 1024;

/// How long a connection waits for another one's lock.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

const TABLES: &str = "
    -- What happened. The account is in columns of its own, the fact is JSON, so nothing is written twice.
    CREATE TABLE events (
        seq        INTEGER PRIMARY KEY,
        at         INTEGER NOT NULL,
        name       TEXT    NOT NULL,
        uid        INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        incident   TEXT,
        kind       TEXT    NOT NULL,
        format     INTEGER NOT NULL,
        fact       TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX events_of_account ON events (name);
    -- A number that people quote means one incident, for ever.
    CREATE UNIQUE INDEX incidents ON events (incident) WHERE kind = 'IncidentOpened';
    CREATE TRIGGER events_stay BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
    CREATE TRIGGER events_keep_their_words BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

    -- Orders under way: the order itself is read from its event. A row goes when the order is done; rows that
    -- stayed would need an index, which each commit would have to write.
    CREATE TABLE outbox (
        seq     INTEGER PRIMARY KEY REFERENCES events (seq),
        tries   INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER NOT NULL,
        error   TEXT
    ) STRICT;

    CREATE TABLE bodies (
        hash    BLOB    NOT NULL UNIQUE,
        kind    TEXT    NOT NULL,
        expires INTEGER NOT NULL,
        bytes   BLOB    NOT NULL
    ) STRICT;
    CREATE INDEX bodies_by_end ON bodies (expires);

    CREATE TABLE accounts (
        name       TEXT    NOT NULL,
        uid        INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        gone       INTEGER NOT NULL CHECK (gone IN (0, 1)),
        entry      TEXT    NOT NULL,
        PRIMARY KEY (name, uid, generation)
    ) STRICT;
    -- A name has one owner at a time.
    CREATE UNIQUE INDEX accounts_present ON accounts (name) WHERE gone = 0;

    CREATE TABLE cursors (
        path   TEXT PRIMARY KEY,
        cursor TEXT NOT NULL
    ) STRICT;

    CREATE TABLE baselines (
        name      TEXT    NOT NULL,
        metric    TEXT    NOT NULL,
        mean      REAL    NOT NULL,
        deviation REAL    NOT NULL,
        samples   INTEGER NOT NULL,
        PRIMARY KEY (name, metric)
    ) STRICT;

    CREATE TABLE settings (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL CHECK (length(value) <= 4096)
    ) STRICT;
";

/// Each event names the one before it by a hash over both, so that none can be taken out, put in or changed later
/// without changing all that follow ([`chain`]).
const CHAIN: &str = "
    ALTER TABLE events ADD COLUMN chain BLOB;
    DROP TRIGGER events_keep_their_words;
";
const CHAINED: &str = "
    CREATE TRIGGER events_keep_their_words BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
";

fn migrations() -> Migrations<'static> {
    let chain = |tx: &Transaction<'_>| {
        let mut head = chain::START;
        let mut link = tx.prepare("UPDATE events SET chain = ? WHERE seq = ?")?;
        let mut rows = tx.prepare(chain::ROWS)?;
        let mut rows = rows.query([0])?;
        while let Some(row) = rows.next()? {
            head = chain::link(&head, row)?;
            link.execute(params![head.bytes(), row.get::<_, i64>(0)?])?;
        }
        Ok(tx.execute_batch(CHAINED)?)
    };
    Migrations::new(vec![M::up(TABLES), M::up_with_hook(CHAIN, chain)])
}

/// Brings the schema up to date, in one transaction.
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    migrations().to_latest(conn).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        other => StoreError::Damaged { what: other.to_string() },
    })
}

/// The schema version of the file; the first read of a connection, so a foreign file shows here.
pub(crate) fn version(conn: &Connection) -> Result<u32, StoreError> {
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        // A database of ours gets its version before it gets its name (see `open::create`).
        0 => Err(StoreError::Damaged { what: "it has no Hikeshi tables; it may belong to another program".into() }),
        found if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        found => Ok(found),
    }
}

/// Switches of the writer's connection.
///
/// `synchronous = FULL`: a commit is on the disk when it returns. `secure_delete`: what is deleted is
/// overwritten. `temp_store`: nothing that names people lands in a temporary file.
pub(crate) fn arm(conn: &Connection) -> Result<(), StoreError> {
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update_and_check(None, "secure_delete", true, |row| row.get::<_, i64>(0))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(())
}
