//! Processes: what runs on the node, under whose uid, and what of it shows the mechanisms of a hijacked account.
//!
//! [`Table`] is a snapshot (live by [`Table::sweep`], recorded by [`Table::read_jsonl`]); [`judge`] turns it into
//! findings. Names are claims of the process itself and prove nothing; only places, links and connections that the
//! kernel reports do.

mod argument;
mod exec;
mod family;
mod jsonl;
mod judge;
mod live;
mod mark;
mod memory;
pub(crate) mod place;
mod rescan;
mod rule;
mod socket;
mod sweep;
mod table;
pub(crate) mod word;

pub use exec::{Brief, Escaped, Starts};
pub use jsonl::Recorded;
pub use judge::{Judgement, judge};
pub use memory::Memory;
pub use rescan::{CAPTURE_MAX, capture, rescan};
pub use sweep::{SWEEP_EVERY, Tenants};
pub use table::{BlindSpots, Process, Proto, Socket, SocketState, State, Table};

pub(crate) use judge::owner;
pub(crate) use mark::{Scene, script_of, started_by};
pub(crate) use place::{Place, below, place};
pub(crate) use word::{base, is_heavy_tool, is_interpreter};
