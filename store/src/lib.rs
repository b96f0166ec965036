//! Keeps what happened: events, the orders they carry, and what may be forgotten, in one SQLite file.
//!
//! One writer ([`Store`], held by a lock beside the file), any number of readers ([`View`]). A batch is one
//! transaction: a restriction cannot be recorded without its order, nor an order leave without its record.
//! Events stay for ever and name people only by hash; what names them ([`model::Body`], contacts) is deleted
//! and overwritten when its time is over.

#![forbid(unsafe_code)]

mod backup;
mod chain;
mod commit;
mod error;
mod forget;
mod lock;
mod open;
mod row;
mod schema;
mod view;

pub use chain::Chain;
pub use commit::{Attempt, Batch, Committed};
pub use error::StoreError;
pub use open::Store;
pub use row::FORMAT;
pub use schema::ROW_BYTES_MAX;
pub use view::{Known, Opened, Pending, Stored, View};
