//! The chain over the events: what was stored cannot be taken out, put in or changed later without being seen.
//!
//! Each event's link is a hash over the link before it and all its own columns. Whoever can write the file can of
//! course write a new chain; therefore `act`, which core cannot reach into, keeps the link of each order in its own
//! journal, and an operator can note the last one elsewhere.

use model::Hash;
use rusqlite::Row;

use crate::{StoreError, View};

/// What the first event is linked to.
pub(crate) const START: Hash = Hash::ZERO;
/// The columns that [`link`] reads, after a place, in order.
pub(crate) const ROWS: &str =
    "SELECT seq, at, name, uid, generation, format, fact, chain FROM events WHERE seq > ? ORDER BY seq";

/// What a whole chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// How many events it has.
    pub events: u64,
    /// Link of the last one.
    pub head: Hash,
}

/// The link of an event with these columns.
pub(crate) fn of(before: &Hash, seq: i64, at: i64, account: (&str, u32, u32), format: i64, fact: &str) -> Hash {
    let (name, uid, generation) = account;
    let numbers: Vec<u8> =
        [seq, at, i64::from(uid), i64::from(generation), format].into_iter().flat_map(i64::to_le_bytes).collect();
    Hash::of_parts(&[before.bytes(), &numbers, name.as_bytes(), fact.as_bytes()])
}

/// The same of a row of [`ROWS`].
pub(crate) fn link(before: &Hash, row: &Row<'_>) -> rusqlite::Result<Hash> {
    let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
    let account = (text(2)?, row.get(3)?, row.get(4)?);
    Ok(of(before, row.get(0)?, row.get(1)?, account, row.get(5)?, text(6)?))
}

impl View {
    /// The link of the event at this place; `None` when there is no such event.
    pub fn link_of(&self, seq: u64) -> Result<Option<Hash>, StoreError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let found = self.one("SELECT chain FROM events WHERE seq = ?", [seq], |row| Ok(row.get::<_, [u8; 32]>(0)?))?;
        Ok(found.map(Hash::from_bytes))
    }

    /// Goes through the whole chain; `progress` hears the place of each event.
    ///
    /// # Errors
    /// [`StoreError::Unchained`] at the first event whose link is not what its columns and the link before it make,
    /// or before which one is missing.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<Chain, StoreError> {
        let mut chain = Chain { events: 0, head: START };
        let mut statement = self.conn.prepare(ROWS)?;
        let mut rows = statement.query([0])?;
        while let Some(row) = rows.next()? {
            let seq = row.get::<_, i64>(0)? as u64;
            let link = link(&chain.head, row)?;
            if seq != chain.events + 1 || row.get::<_, Option<[u8; 32]>>(7)?.as_ref() != Some(link.bytes()) {
                return Err(StoreError::Unchained { seq });
            }
            chain = Chain { events: seq, head: link };
            progress(seq);
        }
        Ok(chain)
    }
}
