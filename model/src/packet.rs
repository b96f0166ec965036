//! What the roles say to one another: one typed packet each, at most 64 KiB, by SOCK_SEQPACKET.
//!
//! Encoded with postcard. A packet that is too large, does not decode or comes from a foreign uid ends the
//! connection; it never becomes a command.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::inventory::{AccountEntry, GateKey, ProbeTarget, Site, Unclear};
use crate::moment::Span;
use crate::name::{AccountName, AccountRef, Domain, FilePath, Hash, Number, RestrictionId};
use crate::order::{Failure, Finding, IntentId, Look, Operator, Outcome, Owner, Verb};
use crate::restriction::{Measure, ProcessRef};

/// Largest packet, bytes.
pub const PACKET_MAX: usize = 64 * 1024;

/// A site as `act` and `desk` need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteHandle {
    /// Its name.
    pub domain: Domain,
    /// Document root, absolute.
    pub root: String,
    /// Its flag files.
    pub gates: Vec<GateKey>,
    /// Where it answers.
    pub probes: Vec<ProbeTarget>,
}

/// core → act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one at a time, read from a packet and used up")]
pub enum ToAct {
    /// Do this.
    Do(ActOrder),
    /// List what is in force.
    List,
    /// Look for what nobody ordered: flags, lines and sets that no restriction wants.
    Strays,
}

/// An order with all that `act` needs to know of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActOrder {
    /// Its place in the log.
    pub intent: IntentId,
    /// Link of that place in the chain over the log: `act` keeps it, so that the log cannot be written anew.
    pub link: Hash,
    /// The account.
    pub account: AccountRef,
    /// The account's home, absolute; empty when it is not known (then no file of it is touched).
    pub home: String,
    /// The verb.
    pub verb: Verb,
    /// A handle for each site that the verb names.
    pub sites: Vec<SiteHandle>,
    /// The pass itself, for [`Verb::OpenPass`].
    pub pass: Option<PassKey>,
    /// Say what would be done instead of doing it.
    pub dry_run: bool,
}

/// What lets a browser pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassKey {
    /// 128 random bits, as the cookie `hkpass` carries them.
    Token([u8; 16]),
    /// A client's address.
    Address(IpAddr),
}

impl PassKey {
    /// The row under whose hash events name it: `tok:` and 32 hexadecimal digits, or `ip:` and an address.
    pub fn row(&self) -> String {
        match self {
            PassKey::Token(bytes) => bytes.iter().fold("tok:".to_owned(), |text, b| format!("{text}{b:02x}")),
            PassKey::Address(address) => format!("ip:{address}"),
        }
    }
}

/// act → core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAct {
    /// Done, its own test held.
    Done {
        /// The order.
        intent: IntentId,
        /// What was seen.
        what: String,
    },
    /// Not done; nothing of it is left.
    Failed {
        /// The order.
        intent: IntentId,
        /// Why.
        why: Failure,
    },
    /// Answer to a dry run: a line for each thing that would be touched.
    Would {
        /// The order.
        intent: IntentId,
        /// At most 200.
        steps: Vec<String>,
    },
    /// One restriction in force; answers to [`ToAct::List`] end with `ListEnd`.
    InForce {
        /// Which one.
        restriction: RestrictionId,
        /// The account.
        account: AccountRef,
        /// The verb's name.
        verb: String,
        /// Whether the effect is really there now.
        holds: bool,
        /// What was seen.
        what: String,
    },
    /// End of the list.
    ListEnd,
    /// Answer to [`ToAct::Strays`], at most 100 lines; they are left as they are.
    Strays(Vec<String>),
}

impl FromAct {
    /// The order that it answers, if it answers one.
    pub fn intent(&self) -> Option<IntentId> {
        match self {
            FromAct::Done { intent, .. } | FromAct::Failed { intent, .. } | FromAct::Would { intent, .. } => {
                Some(*intent)
            }
            FromAct::InForce { .. } | FromAct::ListEnd | FromAct::Strays(_) => None,
        }
    }
}

/// The place in a log up to which it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Path of the log as configured.
    pub path: String,
    /// Device and inode of the file that was read.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Bytes read.
    pub offset: u64,
    /// Hash of the first bytes (at most 1 KiB), to know the file again; length in `head_len`.
    pub head: Hash,
    /// How many bytes `head` covers.
    pub head_len: u16,
}

/// What is usual for an account: running mean and mean deviation of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The account.
    pub account: AccountName,
    /// The metric, such as `cpu_percent`.
    pub metric: String,
    /// Mean.
    pub mean: f64,
    /// Mean absolute deviation.
    pub deviation: f64,
    /// Samples so far.
    pub samples: u64,
}

/// core → sense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToSense {
    /// A place to go on reading from, known at start.
    Cursor(Cursor),
    /// A baseline known at start.
    Baseline(Baseline),
    /// An account whose name and uid had an owner before: which generation it is now.
    Known(AccountRef),
    /// Everything known was said: begin.
    Begin,
    /// This batch is stored; the next may come.
    Stored(u64),
    /// Look again.
    Look {
        /// The order.
        intent: IntentId,
        /// The account.
        account: AccountRef,
        /// What at.
        look: Look,
        /// Bodies of the evidence rows that the look names.
        evidence: Vec<Evidence>,
    },
    /// Processes that are frozen by us: no signals about them.
    Frozen(Vec<ProcessRef>),
    /// Accounts under a restriction: nothing about them is usual now (at most 1,000).
    Restricted(Vec<AccountName>),
}

/// sense → core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromSense {
    /// An account as it is now.
    Account {
        /// The account.
        entry: AccountEntry,
        /// More of its sites follow.
        more: bool,
    },
    /// Further sites of the account before.
    Sites {
        /// The sites.
        sites: Vec<Site>,
        /// Still more follow.
        more: bool,
    },
    /// An account that is no longer there.
    AccountGone(AccountRef),
    /// The inventory is complete as of now, with what is unclear (at most 200, the rest counted).
    InventoryEnd {
        /// How many accounts.
        accounts: u64,
        /// What is unclear.
        unclear: Vec<Unclear>,
    },
    /// Something was seen; committed together with the places read and the baselines.
    Batch {
        /// Counts from 1; acknowledged by [`ToSense::Stored`].
        batch: u64,
        /// Findings, at most 16 a batch.
        findings: Vec<Finding>,
        /// Places read so far.
        cursors: Vec<Cursor>,
        /// Baselines that changed.
        baselines: Vec<Baseline>,
    },
    /// A look came back.
    Looked {
        /// What was seen.
        outcome: Outcome,
        /// A captured body, if one was made (JSON, at most 32 KiB).
        capture: Option<Vec<u8>>,
    },
    /// What cannot be seen, and why (shown by `status`).
    Blind(Vec<String>),
}

/// core → desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDesk {
    /// Send this letter.
    Send {
        /// The order.
        intent: IntentId,
        /// Envelope recipients, at most 8.
        to: Vec<String>,
        /// Message-ID without brackets: the same for every try, so that a repeated delivery is recognised.
        message_id: String,
        /// Message-IDs of the incident's earlier notices, for threading, at most 16.
        references: Vec<String>,
        /// Subject, one line.
        subject: String,
        /// Text, UTF-8, lines separated by LF.
        text: String,
    },
    /// Look from outside.
    Probe {
        /// The order.
        intent: IntentId,
        /// The sites.
        sites: Vec<SiteHandle>,
        /// See [`Look::Probe`].
        path: Option<FilePath>,
        /// The incident whose number the page shows.
        incident: Number,
        /// See [`Look::Probe`].
        closed: bool,
    },
    /// Call the operator (mail to the configured address).
    Page {
        /// The order, or 0.
        intent: IntentId,
        /// One line.
        subject: String,
        /// Text.
        text: String,
    },
}

/// desk → core.
pub type FromDesk = Outcome;

/// Command line → core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCore {
    /// Which processes answer, and what they cannot see.
    Status,
    /// An operator's order.
    Operator {
        /// The account.
        account: AccountName,
        /// Who gives the order, for the record.
        by: String,
        /// The order.
        what: Operator,
    },
    /// What would be done, step by step; nothing is done.
    DryRun {
        /// The account.
        account: AccountName,
        /// The measure.
        measure: Measure,
    },
    /// What an owner said, handed in by an operator (or by the owner's own channel later).
    Owner {
        /// The account.
        account: AccountName,
        /// The number quoted.
        quoted: Option<Number>,
        /// What.
        what: Owner,
        /// Text of a question or objection.
        text: Option<String>,
        /// The pass, for [`Owner::Pass`].
        pass: Option<PassKey>,
    },
    /// Let time pass now and say which orders wait for an answer (only where a story tells the time).
    Settle,
}

/// core → command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCore {
    /// Done; one line a thing that happened.
    Done(Vec<String>),
    /// Refused, with the next step.
    Refused(String),
    /// State of the roles.
    Status {
        /// Role and whether it answers.
        roles: Vec<(String, bool)>,
        /// What cannot be seen.
        blind: Vec<String>,
        /// What is unclear in the inventory.
        unclear: Vec<Unclear>,
        /// Accounts known.
        accounts: u64,
        /// How long the core has been up.
        up: Span,
    },
}
