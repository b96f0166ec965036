//! Measures and restrictions: what is limited, how far, why, and until when.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::moment::{Moment, Span};
use crate::name::{Domain, FilePath, Hash, MailUser, QueueId, RestrictionId};

/// One process beyond doubt: a pid alone is reused, so start time, uid and program are checked again before
/// anything is done to it (proc(5), `/proc/pid/stat` field 22).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process id.
    pub pid: u32,
    /// Start time, clock ticks since boot.
    pub start_ticks: u64,
    /// Real uid.
    pub uid: u32,
    /// Device of the program file.
    pub exe_dev: u64,
    /// Inode of the program file.
    pub exe_ino: u64,
}

/// Why a whole account had to be closed; without one of these it never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wide {
    /// Three or more sites are hit.
    ManySites,
    /// The harm runs as the uid, came back although it was stopped, and cannot be bound to sites.
    NotBoundToSites,
    /// An operator ordered it.
    Ordered,
}

/// One file of an account beyond doubt: what was judged is what is touched, or nothing is.
///
/// Shape: a regular file below the account's home; the identity is statx(2)'s, the hash that of the whole content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileRef {
    /// Path below the home, every component plain.
    pub path: FilePath,
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Length, bytes.
    pub size: u64,
    /// Last change of the inode, nanoseconds since 1970.
    pub changed_ns: i64,
    /// BLAKE3 of the content.
    pub hash: Hash,
}

/// One line of the account's crontab: a range of bytes of a file that has this hash.
///
/// Whoever may change it does not parse it: the line was found by `sense`, and the hash says that the file is
/// still the one in which it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronLine {
    /// BLAKE3 of the whole crontab.
    pub hash: Hash,
    /// Where the line begins, bytes from 0.
    pub start: u32,
    /// Where it ends, its newline not included.
    pub end: u32,
}

/// Whose outgoing mail is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailScope {
    /// All sendmail mail of the uid.
    #[default]
    Local,
    /// What this mailbox hands in with its password (the SASL user name).
    Mailbox(MailUser),
    /// Both, for every mailbox of these domains.
    Account {
        /// The account's domains, at most 200.
        domains: Vec<Domain>,
    },
}

/// A service into which somebody logs in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// ssh and sftp of the account.
    Shell,
    /// FTP of the account.
    Ftp,
    /// One mailbox: reading and handing in.
    Mail(MailUser),
}

/// Whose mail is slowed down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailRate {
    /// What the scripts of one directory send; `None`: all that the account hands to sendmail.
    Script(Option<String>),
    /// What these two addresses send one another.
    Pair(String, String),
}

/// What is limited, least harm first (the ladder of the design).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// A question to the owner; nothing is stopped.
    AskOwner,
    /// The operator is called; nothing is stopped.
    PageOperator,
    /// New connections from these addresses to the web servers are slowed down; ends by itself after an hour.
    ThrottleSource {
        /// At most 64.
        sources: Vec<IpAddr>,
    },
    /// Mail is handed on at a low rate; ends by itself after an hour. No build carries it out yet.
    ThrottleMail {
        /// Whose.
        rate: MailRate,
    },
    /// Mail of this scope goes to the hold queue; these ids are already waiting.
    HoldMail {
        /// Whose mail.
        #[serde(default)]
        scope: MailScope,
        /// Messages of it that were in the queue when it was decided.
        queued: Vec<QueueId>,
    },
    /// The uid may hand nothing to sendmail: the hard stop, which *refuses*, so that a form's mail is lost.
    RefuseMail,
    /// These processes stand still; guards come first.
    FreezeProcess {
        /// At most 256.
        processes: Vec<ProcessRef>,
    },
    /// One line of the crontab is switched off.
    DisableCronLine {
        /// Which.
        line: CronLine,
    },
    /// One path of a site answers 403.
    BlockScript {
        /// Which site.
        site: Domain,
        /// Path below its document root.
        path: FilePath,
    },
    /// These files are set aside, not deleted.
    QuarantineFile {
        /// At most 64.
        files: Vec<FileRef>,
        /// How many files the document root (or home) has in which they lie: never more than 20 % of it.
        of: u64,
    },
    /// Everyone is signed out of one site.
    EndSessions {
        /// Which site.
        site: Domain,
    },
    /// Nobody logs in to these.
    BlockLogin {
        /// At most 64.
        logins: Vec<Login>,
    },
    /// Processes of the uid connect to nobody outside; updates of known publishers stay possible.
    BlockOutbound,
    /// One site answers 403.
    CloseSite {
        /// Which site.
        site: Domain,
    },
    /// All sites of the account answer 403.
    CloseAccount {
        /// The sites at the time of the decision.
        sites: Vec<Domain>,
        /// The stated reason.
        wide: Wide,
    },
}

impl Measure {
    /// Place on the ladder; smaller is milder.
    pub fn rung(&self) -> u8 {
        match self {
            Measure::AskOwner => 0,
            Measure::PageOperator => 1,
            Measure::ThrottleMail { .. } => 2,
            Measure::ThrottleSource { .. } => 3,
            Measure::HoldMail { .. } => 4,
            Measure::RefuseMail => 5,
            Measure::FreezeProcess { .. } => 6,
            Measure::DisableCronLine { .. } => 7,
            Measure::BlockScript { .. } => 8,
            Measure::QuarantineFile { .. } => 9,
            Measure::EndSessions { .. } => 10,
            Measure::BlockLogin { .. } => 11,
            Measure::BlockOutbound => 12,
            Measure::CloseSite { .. } => 13,
            Measure::CloseAccount { .. } => 14,
        }
    }

    /// The verb's name in the design, on the command line and in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Measure::AskOwner => "ask-owner",
            Measure::PageOperator => "page-operator",
            Measure::ThrottleMail { .. } => "throttle-mail",
            Measure::ThrottleSource { .. } => "throttle-source",
            Measure::HoldMail { .. } => "hold-mail",
            Measure::RefuseMail => "refuse-mail",
            Measure::FreezeProcess { .. } => "freeze-process",
            Measure::DisableCronLine { .. } => "disable-cron-line",
            Measure::BlockScript { .. } => "block-script",
            Measure::QuarantineFile { .. } => "quarantine-file",
            Measure::EndSessions { .. } => "end-sessions",
            Measure::BlockLogin { .. } => "block-login",
            Measure::BlockOutbound => "block-outbound",
            Measure::CloseSite { .. } => "close-site",
            Measure::CloseAccount { .. } => "close-account",
        }
    }

    /// Whether anything is stopped at all.
    pub fn restricts(&self) -> bool {
        !matches!(self, Measure::AskOwner | Measure::PageOperator)
    }

    /// Whether this build can carry it out; what it cannot is proposed to a person.
    pub fn is_available(&self) -> bool {
        !matches!(self, Measure::ThrottleMail { .. })
    }

    /// Whether it only slows something down, which says nothing about guilt.
    pub fn slows(&self) -> bool {
        matches!(self, Measure::ThrottleMail { .. } | Measure::ThrottleSource { .. })
    }

    /// Whether it caught something of the attacker's, which a release must not give back.
    pub fn catches(&self) -> bool {
        matches!(self, Measure::FreezeProcess { .. } | Measure::QuarantineFile { .. } | Measure::DisableCronLine { .. })
    }

    /// Whether it closes whole sites.
    pub fn closes(&self) -> bool {
        matches!(self, Measure::CloseSite { .. } | Measure::CloseAccount { .. })
    }

    /// After how long it ends by itself, whoever is dead by then; `None`: only a lift ends it.
    pub fn lasts(&self) -> Option<Span> {
        self.slows().then_some(Span::hours(1))
    }

    /// The sites that it names.
    pub fn sites(&self) -> Vec<Domain> {
        match self {
            Measure::CloseSite { site } | Measure::BlockScript { site, .. } | Measure::EndSessions { site } => {
                vec![site.clone()]
            }
            Measure::CloseAccount { sites, .. } => sites.clone(),
            _ => Vec::new(),
        }
    }
}

/// Why a restriction was chosen: the rule and the fingerprints of the signals that carried it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Name of the rule in `engine`, such as `process-conclusive`.
    pub rule: String,
    /// The findings that carried it.
    pub findings: Vec<Hash>,
}

/// One limit of an incident, smallest useful scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Which one.
    pub id: RestrictionId,
    /// What is limited.
    pub measure: Measure,
    /// When it was decided.
    pub since: Moment,
    /// Why.
    pub why: Why,
}
