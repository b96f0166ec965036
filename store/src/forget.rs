//! Forgetting: what names people is deleted and overwritten, in the file and in its write-ahead log.
//!
//! Events stay: they name people only by the hash of rows that go. Backups made before keep what they hold.

use std::time::Duration;

use model::{AccountEntry, AccountRef, Moment};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::commit::json;
use crate::{Store, StoreError, row, schema};

/// How long wiping waits for a reader; a longer reader is waited for by the next call.
const READERS_WAIT: Duration = Duration::from_millis(100);

impl Store {
    /// Deletes the bodies whose time is over at `now`; says how many. Call it again every hour or so: while a
    /// long reader (a backup) looks at the old state its copy in the write-ahead log stays, and goes with the
    /// next call.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn bodies_expire(&mut self, now: Moment) -> Result<u64, StoreError> {
        let deleted = self.write(|tx| Ok(tx.execute("DELETE FROM bodies WHERE expires <= ?", [now.0])?))?;
        self.wipe()?;
        Ok(deleted as u64)
    }

    /// Forgets the addresses of record of this owner (not of another generation of the name). They come back
    /// with the next inventory if they are still configured there.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn forget_contacts(&mut self, account: &AccountRef) -> Result<(), StoreError> {
        self.write(|tx| without_contacts(tx, account))?;
        self.wipe()
    }

    /// Keeps a small value (at most 4,096 characters) under this key, durably.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn put_setting(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", [key, value])?;
            Ok(())
        })
    }

    /// Moves the write-ahead log into the file and cuts it to nothing.
    fn wipe(&mut self) -> Result<(), StoreError> {
        let conn = &self.view.conn;
        conn.busy_timeout(READERS_WAIT)?;
        let wiped = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        conn.busy_timeout(schema::WAIT)?;
        Ok(wiped?)
    }
}

fn without_contacts(tx: &Transaction<'_>, account: &AccountRef) -> Result<(), StoreError> {
    let AccountRef { name, uid, generation } = account;
    let key = params![name.as_str(), uid, generation];
    let found: Option<String> = tx
        .query_row("SELECT entry FROM accounts WHERE name = ? AND uid = ? AND generation = ?", key, |row| row.get(0))
        .optional()?;
    let Some(found) = found else { return Ok(()) };
    let entry = AccountEntry { contacts: Vec::new(), ..row::json(&found)? };
    tx.execute(
        "UPDATE accounts SET entry = ? WHERE name = ? AND uid = ? AND generation = ?",
        params![json(&entry), name.as_str(), uid, generation],
    )?;
    Ok(())
}
