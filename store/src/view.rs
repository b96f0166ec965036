//! Reading: what happened, what waits, who is known. Every question is one consistent look.

use model::packet::{Baseline, Cursor};
use model::{
    AccountEntry, AccountName, AccountRef, Body, Event, Fact, Hash, Intent, IntentId, Moment, Number, Trouble,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::StoreError;
use crate::row::{self, EVENT};

/// A reader of the database; the writer has one too.
#[derive(Debug)]
pub struct View {
    pub(crate) conn: Connection,
}

/// An event and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Counted from 1 without gaps.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

/// An order that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The order, as its event carries it.
    pub intent: Intent,
    /// How often it was tried.
    pub tries: u32,
    /// When it is due.
    pub next_at: Moment,
    /// Why the last try did not end it.
    pub error: Option<String>,
}

/// An account of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As it was last seen.
    pub entry: AccountEntry,
    /// It is no longer on the node.
    pub gone: bool,
}

/// An incident, as it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub number: Number,
    /// Whose it is.
    pub account: AccountRef,
    /// When it was opened.
    pub at: Moment,
    /// What it is about.
    pub trouble: Trouble,
}

/// All questions may fail with [`StoreError::Damaged`], [`StoreError::Disk`] or [`StoreError::Busy`]; those that
/// give events also with [`StoreError::UnknownFormat`] and [`StoreError::Unreadable`], which name the event.
impl View {
    /// Place of the last event; 0 in an empty log.
    pub fn last_seq(&self) -> Result<u64, StoreError> {
        let last: i64 = self.conn.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
        Ok(last as u64)
    }

    /// Events after `after_seq` of everybody who ever had this name, in order. All of them: the account is
    /// their fold.
    pub fn events_of(&self, account: &AccountName, after_seq: u64) -> Result<Vec<Stored>, StoreError> {
        let sql = format!("SELECT {EVENT} FROM events e WHERE name = ? AND seq > ? ORDER BY seq");
        self.all(&sql, params![account.as_str(), place(after_seq)], row::event)
    }

    /// Events of this name whose time is at most that moment, in the order of the log: the account as it was
    /// then. (A clock that was set back makes times that are not in that order.)
    pub fn events_until(&self, account: &AccountName, moment: Moment) -> Result<Vec<Stored>, StoreError> {
        let sql = format!("SELECT {EVENT} FROM events e WHERE name = ? AND at <= ? ORDER BY seq");
        self.all(&sql, params![account.as_str(), moment.0], row::event)
    }

    /// At most `limit` events after that place, in order, of all accounts.
    pub fn event_range(&self, after: u64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let sql = format!("SELECT {EVENT} FROM events e WHERE seq > ? ORDER BY seq LIMIT ?");
        self.all(&sql, params![place(after), limit], row::event)
    }

    /// Orders that have not ended, in the order in which they were given.
    pub fn pending(&self) -> Result<Vec<Pending>, StoreError> {
        let sql = format!(
            "SELECT {EVENT}, o.tries, o.next_at, o.error FROM outbox o JOIN events e USING (seq)
             ORDER BY o.seq"
        );
        self.all(&sql, [], |row| {
            let Stored { seq, event } = row::event(row)?;
            let intent = event.intent(IntentId(seq));
            let intent = intent.ok_or_else(|| StoreError::Unreadable { seq, why: "it carries no order".into() })?;
            Ok(Pending { intent, tries: row.get(7)?, next_at: Moment(row.get(8)?), error: row.get(9)? })
        })
    }

    /// The account of an incident; `None` for a number that was never given.
    pub fn incident_account(&self, number: Number) -> Result<Option<AccountRef>, StoreError> {
        self.one(
            "SELECT name, uid, generation FROM events WHERE kind = 'IncidentOpened' AND incident = ?",
            [number.to_string()],
            |row| row::account(row, 0),
        )
    }

    /// The `limit` newest incidents, newest first.
    pub fn incidents(&self, limit: u32) -> Result<Vec<Opened>, StoreError> {
        // The planner would rather walk the log backwards than use the small index; it must not.
        let sql = format!(
            "SELECT {EVENT} FROM events e WHERE seq IN
               (SELECT seq FROM events INDEXED BY incidents WHERE kind = 'IncidentOpened' AND incident IS NOT NULL
                ORDER BY seq DESC LIMIT ?)
             ORDER BY seq DESC"
        );
        self.all(&sql, [limit], |row| {
            let Stored { seq, event } = row::event(row)?;
            match event.fact {
                Fact::IncidentOpened { incident, trouble, .. } => {
                    Ok(Opened { number: incident, account: event.account, at: event.at, trouble })
                }
                _ => Err(StoreError::Unreadable { seq, why: "its kind is not that of its fact".into() }),
            }
        })
    }

    /// How many numbers were given for the day (UTC) of `now`: the next one's serial. At most 65,535.
    pub fn opened_on_day(&self, now: Moment) -> Result<u16, StoreError> {
        let number = Number::new(now, 0).to_string();
        let day = number.rsplit_once('-').map_or(number.as_str(), |(day, _)| day);
        // '.' is the sign after '-'.
        let (from, to) = (format!("{day}-"), format!("{day}."));
        let sql = "SELECT count(*) FROM events WHERE kind = 'IncidentOpened' AND incident >= ? AND incident < ?";
        let given: i64 = self.conn.prepare_cached(sql)?.query_row([from, to], |row| row.get(0))?;
        Ok(u16::try_from(given).unwrap_or(u16::MAX))
    }

    /// The row of this name; `None` when it was never there or its time is over.
    pub fn body(&self, hash: &Hash) -> Result<Option<Body>, StoreError> {
        self.one("SELECT kind, expires, bytes FROM bodies WHERE hash = ?", [hash.bytes()], |row| row::body(row, hash))
    }

    /// Places up to which logs were read, by path.
    pub fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        self.all("SELECT cursor FROM cursors ORDER BY path", [], |row| row::json(&row.get::<_, String>(0)?))
    }

    /// What is usual, by account and metric.
    pub fn baselines(&self) -> Result<Vec<Baseline>, StoreError> {
        let sql = "SELECT name, metric, mean, deviation, samples FROM baselines ORDER BY name, metric";
        self.all(sql, [], |row| {
            Ok(Baseline {
                account: row::parsed(&row.get::<_, String>(0)?)?,
                metric: row.get(1)?,
                mean: row.get(2)?,
                deviation: row.get(3)?,
                samples: row.get::<_, i64>(4)? as u64,
            })
        })
    }

    /// Every account that was ever seen, by name and generation, with contacts unless they were forgotten.
    pub fn accounts(&self) -> Result<Vec<Known>, StoreError> {
        self.all("SELECT entry, gone FROM accounts ORDER BY name, generation, uid", [], known)
    }

    /// How many accounts were ever seen.
    pub fn accounts_known(&self) -> Result<u64, StoreError> {
        self.one("SELECT count(*) FROM accounts", [], |row| Ok(row.get::<_, i64>(0)? as u64))
            .map(Option::unwrap_or_default)
    }

    /// Who has this name now, or had it last.
    pub fn account(&self, name: &AccountName) -> Result<Option<Known>, StoreError> {
        let sql = "SELECT entry, gone FROM accounts WHERE name = ? ORDER BY gone, generation DESC LIMIT 1";
        self.one(sql, [name.as_str()], known)
    }

    /// A small value that was kept under this key.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.one("SELECT value FROM settings WHERE key = ?", [key], |row| Ok(row.get(0)?))
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let found = self.conn.prepare_cached(sql)?.query_row(params, |row| Ok(read(row))).optional()?;
        found.transpose()
    }
}

fn known(row: &Row<'_>) -> Result<Known, StoreError> {
    Ok(Known { entry: row::json(&row.get::<_, String>(0)?)?, gone: row.get(1)? })
}

/// A place in the log as SQLite counts; one beyond its range is beyond every event.
fn place(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
