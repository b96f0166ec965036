//! One batch, one transaction: events, the orders they carry, and everything that must not run ahead of them.

use model::packet::{Baseline, Cursor};
use model::{AccountEntry, AccountRef, Body, Event, Hash, Intent, IntentId, Moment, Number};
use rusqlite::{Transaction, params};

use crate::row::{self, FORMAT};
use crate::{Store, StoreError, chain};

/// Longest error text that an attempt keeps, bytes.
const ERROR_BYTES_MAX: usize = 400;

/// What is stored together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Appended in this order. Those that carry an order get their outbox row in the same transaction.
    pub events: Vec<Event>,
    /// Rows that events name by hash. A row that is already there keeps the later expiry.
    pub bodies: Vec<Body>,
    /// Places up to which logs were read; one a path.
    pub cursors: Vec<Cursor>,
    /// What is usual; one an account and metric. One that is not finite is left out: the older one stays.
    pub baselines: Vec<Baseline>,
    /// Accounts that are no longer there; done before `accounts`.
    pub accounts_gone: Vec<AccountRef>,
    /// Accounts as they are now, with contacts. Another owner of the same name is gone by this.
    pub accounts: Vec<AccountEntry>,
    /// Orders that ended. Unknown and repeated ones change nothing (late answers are normal).
    pub done: Vec<IntentId>,
    /// Orders that were tried and go on waiting. Changes nothing for one that is done; done before `done`.
    pub attempts: Vec<Attempt>,
}

/// One try of an order that did not end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which order.
    pub intent: IntentId,
    /// How often it was tried now.
    pub tries: u32,
    /// When it is tried again.
    pub next_at: Moment,
    /// Why it did not end: kept up to 400 bytes, mail addresses replaced, deleted when the order is done.
    pub error: String,
}

/// What a commit made of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Place of the batch's first event; the others follow without a gap. Of the next one if it had none.
    pub first_seq: u64,
    /// The orders that may leave now, in order.
    pub intents: Vec<Intent>,
}

impl Store {
    /// Stores the batch; it is on the disk when this returns.
    ///
    /// # Errors
    /// Nothing of the batch is stored then. [`StoreError::Full`] and [`StoreError::Busy`] may be tried again
    /// with the same batch; [`StoreError::Disk`] and [`StoreError::Broken`] need a restart;
    /// [`StoreError::NumberTaken`] and [`StoreError::TooLarge`] are faults of the caller.
    pub fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        let first_seq = self.last_seq + 1;
        let before = self.head;
        let (intents, head) = self.write(|tx| {
            let (intents, head) = append(tx, &batch.events, first_seq, before)?;
            keep_bodies(tx, &batch.bodies)?;
            keep_places(tx, &batch.cursors, &batch.baselines)?;
            keep_accounts(tx, &batch.accounts_gone, &batch.accounts)?;
            settle(tx, &batch.done, &batch.attempts)?;
            Ok((intents, head))
        })?;
        self.head = head;
        self.last_seq += batch.events.len() as u64;
        Ok(Committed { first_seq, intents })
    }
}

/// Made for long batches: one buffer for all JSON, one text a number, no look for a free place in the log.
fn append(
    tx: &Transaction<'_>,
    events: &[Event],
    first_seq: u64,
    mut head: Hash,
) -> Result<(Vec<Intent>, Hash), StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO events (at, name, uid, generation, incident, kind, format, fact, chain)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut order = tx.prepare_cached("INSERT INTO outbox (seq, next_at) VALUES (?, ?)")?;
    let mut intents = Vec::new();
    let mut json = String::new();
    let mut quoted: Option<(Number, String)> = None;
    for (seq, event) in (first_seq..).zip(events) {
        let AccountRef { name, uid, generation } = &event.account;
        let incident = event.incident();
        if quoted.as_ref().map(|(number, _)| *number) != incident {
            quoted = incident.map(|number| (number, number.to_string()));
        }
        let text = quoted.as_ref().map(|(_, text)| text.as_str());
        row::write_fact(&event.fact, &mut json)?;
        head = chain::of(&head, seq as i64, event.at.0, (name.as_str(), *uid, *generation), FORMAT, &json);
        let kind = row::kind(&json);
        insert
            .execute(params![event.at.0, name.as_str(), uid, generation, text, kind, FORMAT, json, head.bytes()])
            .map_err(|error| match (incident, error.sqlite_extended_error_code()) {
                (Some(number), Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)) => StoreError::NumberTaken(number),
                _ => error.into(),
            })?;
        if tx.last_insert_rowid() != seq as i64 {
            return Err(StoreError::Damaged { what: format!("event {seq} has another place in the file") });
        }
        if let Some(intent) = event.intent(IntentId(seq)) {
            order.execute(params![seq as i64, event.at.0])?;
            intents.push(intent);
        }
    }
    Ok((intents, head))
}

fn keep_bodies(tx: &Transaction<'_>, bodies: &[Body]) -> Result<(), StoreError> {
    let mut keep = tx.prepare_cached(
        "INSERT INTO bodies (hash, kind, expires, bytes) VALUES (?, ?, ?, ?)
         ON CONFLICT (hash) DO UPDATE SET expires = max(expires, excluded.expires)",
    )?;
    for body in bodies {
        row::bounded("body", body.bytes.len())?;
        keep.execute(params![body.hash().bytes(), row::body_kind(body.kind), body.expires.0, body.bytes])?;
    }
    Ok(())
}

fn keep_places(tx: &Transaction<'_>, cursors: &[Cursor], baselines: &[Baseline]) -> Result<(), StoreError> {
    let mut place = tx.prepare_cached("INSERT OR REPLACE INTO cursors (path, cursor) VALUES (?, ?)")?;
    for cursor in cursors {
        place.execute(params![cursor.path, json(cursor)])?;
    }
    let mut usual = tx.prepare_cached(
        "INSERT OR REPLACE INTO baselines (name, metric, mean, deviation, samples) VALUES (?, ?, ?, ?, ?)",
    )?;
    // SQLite has no NaN: it would become NULL and take the whole batch down with it.
    for b in baselines.iter().filter(|b| b.mean.is_finite() && b.deviation.is_finite()) {
        usual.execute(params![b.account.as_str(), b.metric, b.mean, b.deviation, b.samples as i64])?;
    }
    Ok(())
}

fn keep_accounts(tx: &Transaction<'_>, gone: &[AccountRef], now: &[AccountEntry]) -> Result<(), StoreError> {
    let mut leave = tx.prepare_cached("UPDATE accounts SET gone = 1 WHERE name = ? AND uid = ? AND generation = ?")?;
    for account in gone {
        leave.execute(params![account.name.as_str(), account.uid, account.generation])?;
    }
    let mut others = tx.prepare_cached(
        "UPDATE accounts SET gone = 1 WHERE name = ? AND gone = 0 AND NOT (uid = ? AND generation = ?)",
    )?;
    let mut keep = tx.prepare_cached(
        "INSERT INTO accounts (name, uid, generation, gone, entry) VALUES (?, ?, ?, 0, ?)
         ON CONFLICT (name, uid, generation) DO UPDATE SET gone = 0, entry = excluded.entry",
    )?;
    for entry in now {
        let AccountRef { name, uid, generation } = &entry.account;
        others.execute(params![name.as_str(), uid, generation])?;
        keep.execute(params![name.as_str(), uid, generation, json(entry)])?;
    }
    Ok(())
}

fn settle(tx: &Transaction<'_>, done: &[IntentId], attempts: &[Attempt]) -> Result<(), StoreError> {
    let mut tried = tx.prepare_cached("UPDATE outbox SET tries = ?, next_at = ?, error = ? WHERE seq = ?")?;
    for attempt in attempts {
        let error = bounded_error(&attempt.error);
        tried.execute(params![attempt.tries, attempt.next_at.0, error, attempt.intent.0 as i64])?;
    }
    let mut end = tx.prepare_cached("DELETE FROM outbox WHERE seq = ?")?;
    for intent in done {
        end.execute(params![intent.0 as i64])?;
    }
    Ok(())
}

/// Mail servers quote the receiver in their refusals; an address belongs into contacts and nowhere else.
fn bounded_error(text: &str) -> String {
    let mut kept = model::evidence::without_addresses(text);
    kept.truncate(kept.floor_char_boundary(ERROR_BYTES_MAX));
    kept
}

/// JSON of a value of the vocabulary, none of which can fail to become JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("words of the vocabulary have text keys and finite numbers only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_loses_addresses_and_its_end() {
        let check = |text: &str, kept: &str| assert_eq!(bounded_error(text), kept);
        check("550 5.1.1 <taro@example.jp>: unknown", "550 5.1.1 (address) unknown");
        check("timeout\r\nafter  30 s", "timeout after 30 s");
        check(&"山".repeat(200), &"山".repeat(133));
    }
}
