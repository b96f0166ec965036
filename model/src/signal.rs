//! Signals: one observed oddity each, with its mechanism, its strength and what could be stopped.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::event::Trouble;
use crate::moment::Moment;
use crate::name::{AccountRef, Domain, FilePath, Hash, MailUser, QueueId};
use crate::restriction::{CronLine, Login, MailRate, ProcessRef};
use crate::verification::Check;

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
    /// Requests to the account's sites.
    Web,
    /// Scheduled jobs of the account.
    Cron,
    /// Logins to the account's services and mailboxes.
    Login,
}

impl Class {
    /// What a verification must have looked at before an incident with such a signal can end.
    pub fn check(self) -> Check {
        match self {
            Class::Process => Check::Processes,
            Class::Load => Check::Load,
            Class::Mail => Check::Mail,
            Class::Web => Check::Requests,
            Class::Cron => Check::Cron,
            Class::Login => Check::Logins,
        }
    }

    /// Its name in rules and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Class::Process => "process",
            Class::Load => "load",
            Class::Mail => "mail",
            Class::Web => "web",
            Class::Cron => "cron",
            Class::Login => "login",
        }
    }
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
    /// A mailbox hands in mass mail with its password, from many networks or mail that is refused.
    StolenMailbox,
    /// A form sends copies to addresses that its visitors choose.
    FormAbuse,
    /// Two addresses answer one another without end.
    BounceLoop,
    /// A program of the site writes to its one owner far too often.
    NoticeFlood,
    // --- web
    /// A request put a file there, a new script answered, and is driven since.
    UploadChain,
    /// One script is called directly with encoded orders.
    DrivenScript,
    /// An administrator signed in, a plugin was uploaded at once, and others drive it.
    UploadedPlugin,
    /// A script in a folder for uploads answers.
    UploadsScript,
    /// Guessing of a site's passwords ended with one that was right.
    GuessedSiteLogin,
    /// Guessing of a site's passwords, none of them right.
    SiteGuessing,
    /// Strangers ask for files of intruders that are not there.
    Probing,
    /// Crawlers or a flood of requests from few sources wear the site out.
    Crawling,
    // --- cron
    /// A scheduled line runs what it downloads.
    CronDownload,
    /// A scheduled line decodes what it runs.
    CronDecode,
    /// A scheduled line runs a file from a folder for uploads, temporary files or a hidden one.
    CronFromUploads,
    /// A scheduled line puts back what was removed.
    CronReinstalls,
    /// A scheduled line calls an unnamed address and runs nothing.
    CronBeacon,
    // --- login
    /// Many wrong passwords, then the right one.
    GuessedLogin,
    /// A login fetches files and puts them back changed.
    RewritingLogin,
    /// First login from a place where this account never was.
    NewPlace,
    /// Guessing of names and passwords, none of them right.
    LoginGuessing,
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
            MassMail | MailAboveHardRate | StolenMailbox | FormAbuse | BounceLoop | NoticeFlood => Class::Mail,
            UploadChain | DrivenScript | UploadedPlugin | UploadsScript | GuessedSiteLogin | SiteGuessing | Probing
            | Crawling => Class::Web,
            CronDownload | CronDecode | CronFromUploads | CronReinstalls | CronBeacon => Class::Cron,
            GuessedLogin | RewritingLogin | NewPlace | LoginGuessing => Class::Login,
        }
    }

    /// What kind of incident it belongs to: what an account suffers or overdoes by itself is no intrusion.
    pub fn trouble(self) -> Trouble {
        use Kind::*;
        match self {
            LoadAboveBaseline | TrafficPeak | HeavyJob | BounceLoop | NoticeFlood | SiteGuessing | Probing
            | Crawling | LoginGuessing => Trouble::Load,
            _ => Trouble::Intrusion,
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
    /// What this mailbox hands in with its password; with the ids that still wait (at most 500).
    Mailbox(MailUser, Vec<QueueId>),
    /// Mail that is only too much: slowed down, never held.
    MailRate(MailRate),
    /// These paths of a site, at most 16; `sessions`: whoever is signed in to it must be signed out too.
    Scripts {
        /// Which site.
        site: Domain,
        /// Below its document root.
        paths: Vec<FilePath>,
        /// An administrator's session is in other hands.
        sessions: bool,
    },
    /// These sources of requests or logins, at most 64; never the node's own.
    Sources(Vec<IpAddr>),
    /// These lines of the crontab, at most 64.
    CronLines(Vec<CronLine>),
    /// These logins.
    Logins(Vec<Login>),
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
    /// Any tenant can write into the record that says so (a log that goes through syslog): whatever else such records
    /// say of an account is no independent word.
    #[serde(default)]
    pub forgeable: bool,
}

impl Signal {
    /// The class that saw it.
    pub fn class(&self) -> Class {
        self.kind.class()
    }

    /// The kind of incident that it belongs to.
    pub fn trouble(&self) -> Trouble {
        self.kind.trouble()
    }
}
