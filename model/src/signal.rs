//! Signals: one observed oddity each, with its mechanism, its strength and what could be stopped.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::name::{AccountRef, Domain, Hash, QueueId};
use crate::restriction::ProcessRef;

/// Where a signal was seen. Two different classes are independent of one another; two signals of one are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Processes of the account.
    Process,
    /// CPU, memory, tasks, IO above what is usual and fair.
    Load,
    /// Outgoing mail.
    Mail,
}

/// How much a signal says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// Worth knowing beside others.
    Hint,
    /// Suspicious: with an independent class it is enough to act.
    Suspicious,
    /// Proves its harm by itself.
    Conclusive,
}

/// The mechanism that was seen; the key of the words that explain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    // --- process
    /// Shows the name of a kernel thread or daemon while another program runs.
    FakedName,
    /// The program file was deleted or never was a file (memfd).
    DeletedExe,
    /// A program or script runs out of an upload or temporary directory.
    RunsFromUploads,
    /// A program runs out of a hidden directory of the home under a daemon's name.
    HiddenProgram,
    /// An interpreter goes on although its script was deleted.
    ScriptGone,
    /// A downloader feeds a shell or interpreter through a pipe.
    PipedDownload,
    /// Arguments of a miner (pool, wallet, algorithm).
    MinerArguments,
    /// A connection to a mining pool.
    PoolConnection,
    /// Own connections to port 25 of many hosts.
    ManyMailConnections,
    /// Connections to one port of many hosts.
    PortScan,
    /// An unknown program listens on an address that the outside reaches.
    Listening,
    /// Left behind by its parent and running on.
    Orphaned,
    /// Ended and back within seconds, again and again.
    RestartLoop,
    /// Watches another program and starts it again.
    Guard,
    // --- load
    /// Above this account's own baseline and above its fair share.
    LoadAboveBaseline,
    /// Load that goes with requests: more visitors than usual.
    TrafficPeak,
    /// Load of a known heavy job (backup, image work, import).
    HeavyJob,
    // --- mail
    /// Many messages by script to strangers.
    MassMail,
    /// More than the operator's hard rate.
    MailAboveHardRate,
}

impl Kind {
    /// The class that sees it.
    pub fn class(self) -> Class {
        use Kind::*;
        match self {
            FakedName | DeletedExe | RunsFromUploads | HiddenProgram | ScriptGone | PipedDownload | MinerArguments
            | PoolConnection | ManyMailConnections | PortScan | Listening | Orphaned | RestartLoop | Guard => {
                Class::Process
            }
            LoadAboveBaseline | TrafficPeak | HeavyJob => Class::Load,
            MassMail | MailAboveHardRate => Class::Mail,
        }
    }
}

/// What could be stopped, as precisely as the sense can name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Nothing of its own (load).
    Nothing,
    /// These processes, guards first, at most 256.
    Processes(Vec<ProcessRef>),
    /// All mail that the account hands to sendmail; with the ids that still wait in the queue (at most 500).
    LocalMail(Vec<QueueId>),
}

/// One observed oddity. Never a judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The main mechanism.
    pub kind: Kind,
    /// Further mechanisms of the same thing.
    pub also: Vec<Kind>,
    /// How much it says by itself.
    pub strength: Strength,
    /// Who is concerned, by uid, cgroup or credential; never by text that a tenant can forge.
    pub account: AccountRef,
    /// The site whose root holds the program or script, when that is sure.
    pub site: Option<Domain>,
    /// When it was observed.
    pub at: Moment,
    /// When it began.
    pub since: Moment,
    /// What could be stopped.
    pub target: Target,
    /// Equal for the same finding (same mechanism, same file or script), whenever it is seen: a dismissed
    /// finding is known by it.
    pub fingerprint: Hash,
    /// The hash of its [`crate::Evidence`].
    pub evidence: Hash,
}

impl Signal {
    /// The class that saw it.
    pub fn class(&self) -> Class {
        self.kind.class()
    }
}
