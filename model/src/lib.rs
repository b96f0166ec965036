//! The words that every room speaks: names, networks, times, signals, measures, events, packets.
//!
//! Values only: no clock, no disk, no network, nothing that decides. Each word means what the table in
//! `GLOSSARY.md` says. Everything here can be stored as JSON (events) and sent as postcard (packets).

#![forbid(unsafe_code)]

pub mod event;
pub mod evidence;
pub mod inventory;
pub mod moment;
pub mod name;
pub mod network;
pub mod notice;
pub mod order;
pub mod packet;
pub mod pairs;
pub mod restriction;
pub mod signal;
pub mod verification;

pub use event::{Event, Fact, Mode, PolicyHash, Stage, Trouble};
pub use evidence::{Body, BodyKind, Evidence, FactKey, FactValue};
pub use inventory::{AccountEntry, Contact, GateKey, Language, ProbeTarget, Role, Site, Unclear};
pub use moment::{Moment, Span, Stamp};
pub use name::{
    AccountName, AccountRef, Domain, FilePath, Hash, MailUser, NameError, NoticeId, Number, QueueId, RestrictionId,
};
pub use network::Network;
pub use notice::{Delivery, NoticeKind};
pub use order::{Failure, Input, Intent, IntentId, Look, Operator, Order, Outcome, Owner, Seen, Verb};
pub use restriction::{CronLine, FileRef, Login, MailRate, MailScope, Measure, ProcessRef, Restriction, Why, Wide};
pub use signal::{Class, Kind, Signal, Strength, Target};
pub use verification::{Check, Checked, Verdict};
