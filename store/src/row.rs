//! An event as a row, and back: strict, so that a row we would not have written is never acted upon.

use std::str::FromStr;

use model::{AccountRef, Body, BodyKind, Event, Fact, Hash, Moment};
use rusqlite::Row;

use crate::StoreError;
use crate::schema::ROW_BYTES_MAX;
use crate::view::Stored;

/// Format of the facts' JSON that this build writes, and the only one it reads.
pub const FORMAT: i64 = 1;

/// The columns that [`event`] reads, in its order.
pub(crate) const EVENT: &str = "e.seq, e.at, e.name, e.uid, e.generation, e.format, e.fact";

/// Writes the fact's JSON into `json` instead of what was there.
///
/// # Errors
/// [`StoreError::TooLarge`] above [`ROW_BYTES_MAX`].
pub(crate) fn write_fact(fact: &Fact, json: &mut String) -> Result<(), StoreError> {
    let mut bytes = std::mem::take(json).into_bytes();
    bytes.clear();
    serde_json::to_writer(&mut bytes, fact).expect("facts have text keys, finite numbers and a patient writer");
    *json = String::from_utf8(bytes).expect("JSON is UTF-8");
    bounded("event", json.len())
}

/// The variant's name, as it stands at the start of its JSON.
pub(crate) fn kind(json: &str) -> &str {
    let named = json.trim_start_matches(['{', '"']);
    &named[..named.find('"').unwrap_or(named.len())]
}

/// Refuses a row above [`ROW_BYTES_MAX`].
pub(crate) fn bounded(what: &'static str, bytes: usize) -> Result<(), StoreError> {
    match bytes {
        0..=ROW_BYTES_MAX => Ok(()),
        _ => Err(StoreError::TooLarge { what, bytes }),
    }
}

/// Reads the columns [`EVENT`].
///
/// Strict: written again, the fact must give the same bytes. An unknown field, a repeated one or another
/// spelling is therefore found, wherever it stands.
pub(crate) fn event(row: &Row<'_>) -> Result<Stored, StoreError> {
    let seq = row.get::<_, i64>(0)? as u64;
    let format = row.get(5)?;
    if format != FORMAT {
        return Err(StoreError::UnknownFormat { seq, format });
    }
    let unreadable = |why: String| StoreError::Unreadable { seq, why };
    let json = row.get_ref(6)?.as_str().map_err(|e| unreadable(e.to_string()))?;
    let fact: Fact = serde_json::from_str(json).map_err(|e| unreadable(e.to_string()))?;
    let mut again = String::with_capacity(json.len());
    write_fact(&fact, &mut again)?;
    if again != json {
        return Err(unreadable("it holds more or other words than this version writes".into()));
    }
    let account = account(row, 2).map_err(|e| unreadable(e.to_string()))?;
    Ok(Stored { seq, event: Event { at: Moment(row.get(1)?), account, fact } })
}

/// Reads name, uid and generation from three columns.
pub(crate) fn account(row: &Row<'_>, first: usize) -> Result<AccountRef, StoreError> {
    Ok(AccountRef {
        name: parsed(row.get_ref(first)?.as_str().map_err(rusqlite::Error::from)?)?,
        uid: row.get(first + 1)?,
        generation: row.get(first + 2)?,
    })
}

/// Reads a value that we wrote as text.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error: T::Err| StoreError::Damaged { what: error.to_string() })
}

/// Reads a value that we wrote as JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what: error.to_string() })
}

/// Reads kind, expiry and bytes of the body of this name.
pub(crate) fn body(row: &Row<'_>, hash: &Hash) -> Result<Body, StoreError> {
    let name: String = row.get(0)?;
    let kinds = [BodyKind::Evidence, BodyKind::Letter, BodyKind::Question, BodyKind::Pass, BodyKind::Capture];
    let kind = kinds.into_iter().find(|kind| body_kind(*kind) == name);
    let kind = kind.ok_or_else(|| StoreError::Damaged { what: format!("body {hash} has the kind \"{name}\"") })?;
    let body = Body { kind, expires: Moment(row.get(1)?), bytes: row.get(2)? };
    match body.hash() == *hash {
        true => Ok(body),
        false => Err(StoreError::Damaged { what: format!("body {hash} has other bytes than its name says") }),
    }
}

/// How a body's kind is written.
pub(crate) fn body_kind(kind: BodyKind) -> &'static str {
    match kind {
        BodyKind::Evidence => "evidence",
        BodyKind::Letter => "letter",
        BodyKind::Question => "question",
        BodyKind::Pass => "pass",
        BodyKind::Capture => "capture",
    }
}
