//! What `act` may touch and where: plain values that the binary parsed, and doors for tests.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use model::{Hash, Moment, Network};

/// Which accounts and processes may be touched at all.
#[derive(Clone, Debug)]
pub enum Reach {
    /// A server: accounts with these uids, and their processes.
    Uids(RangeInclusive<u32>),
    /// Demo and tests, no root: our own uid, only processes whose pidfd was handed over, files below `folder`.
    Handed {
        /// `gate_dir`, the spool of crontabs, the Postfix hold file and deny lists must lie below it.
        folder: PathBuf,
    },
}

/// How many accounts may be newly restricted without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// In any 60 minutes.
    pub accounts_per_hour: u32,
    /// In any 24 hours.
    pub accounts_per_day: u32,
}

/// The Postfix instance whose outgoing mail can be held or refused.
#[derive(Clone, Debug)]
pub struct PostfixConfig {
    /// Folder of main.cf, absolute. `None`: a mail server that reads the table itself at each message, as the
    /// demo's does; then no program is run.
    pub config_dir: Option<PathBuf>,
    /// Table that `header_checks` names first as `regexp:FILE`; absolute, root-owned, ours alone. Beside it are the
    /// tables of [`crate::postfix::Table`].
    pub hold_file: PathBuf,
}

/// What the kernel's packet filter is told besides uids and addresses.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Networks that stay reachable over http and https from accounts whose outgoing connections are blocked: servers
    /// of known publishers, so that the owner can update.
    pub updates: Vec<Network>,
    /// The node's own addresses, proxies and whatever else is never slowed down.
    pub never: Vec<Network>,
    /// resolv.conf(5): the resolvers in it answer blocked accounts too.
    pub resolv_conf: PathBuf,
}

/// Deny lists of login services; `None`: that service cannot be blocked here, and an order says what to configure.
#[derive(Clone, Debug, Default)]
pub struct LoginConfig {
    /// ssh and sftp.
    pub ssh: Option<SshDeny>,
    /// A list of names that the FTP servers deny (pam_listfile(8), `UseFtpUsers`, `userlist_file`), such as
    /// `/etc/ftpusers`; it must be there.
    pub ftp: Option<PathBuf>,
    /// Mailboxes.
    pub mail: Option<MailDeny>,
}

/// How sshd is told whom it denies.
#[derive(Clone, Debug)]
pub struct SshDeny {
    /// A file of ours that the configuration includes (`DenyUsers …`); not there when nobody is denied.
    pub list: PathBuf,
    /// sshd's configuration, `/etc/ssh/sshd_config`.
    pub config: PathBuf,
    /// Where sshd writes its process id.
    pub pid_file: PathBuf,
}

/// How Dovecot is told whom it denies.
#[derive(Clone, Debug)]
pub struct MailDeny {
    /// A list that Dovecot reads as a `deny = yes` passdb of driver passwd-file; it must be there, always: Dovecot
    /// lets nobody in when it is missing.
    pub list: PathBuf,
    /// Dovecot's configuration, `/etc/dovecot/dovecot.conf`.
    pub config: PathBuf,
}

/// Everything that an [`crate::Actor`] is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What may be touched.
    pub reach: Reach,
    /// Unattended acts.
    pub budgets: Budgets,
    /// Folder of the journal; ours alone (0700).
    pub state_dir: PathBuf,
    /// Folder of the flag files; ours, not writable by others, read by the web servers' workers (0711).
    pub gate_dir: PathBuf,
    /// Where an owner enters his number, as shown on the page (`https://panel.example.jp/hikeshi`).
    pub portal: String,
    /// True: closed sites answer 503 with `Retry-After` instead of 403.
    pub unavailable: bool,
    /// `None`: mail cannot be held here, and an order to do so says what to configure.
    pub postfix: Option<PostfixConfig>,
    /// Whether a freezer cgroup may be used; false for the demo, which then stops processes by signal.
    pub cgroups: bool,
    /// Where files are set aside: folders of ours (0700), one per file system that has homes.
    pub quarantine_dirs: Vec<PathBuf>,
    /// Where crontab(1) keeps the accounts' tables.
    pub cron_spool: PathBuf,
    /// `None`: connections cannot be blocked or slowed here.
    pub net: Option<NetConfig>,
    /// Login services.
    pub logins: LoginConfig,
    /// While this file is there nothing new is imposed, whoever orders it; lifting goes on. It is tested before each
    /// act, so the operator can make and remove it when everything else is dead.
    pub disarmed: PathBuf,
    /// Uids whose processes may connect as core.
    pub core_uids: Vec<u32>,
}

/// Time as the actor sees it: the kernel's clocks, unless one is told otherwise.
pub trait Clock: Send {
    /// Wall clock: for pages and expiries, never for budgets.
    fn now(&self) -> Moment {
        Moment(sys::clock::now())
    }
    /// Which boot this is, and seconds since it, suspended time included: cannot be stepped.
    fn uptime(&self) -> (Hash, u64) {
        let (boot, seconds) = sys::clock::uptime();
        (Hash::of(&boot), seconds)
    }
}

/// The kernel's clocks.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {}

/// Called with the name of each step before the next one; a test stops there as `kill -9` would.
pub type Steps = Box<dyn FnMut(&'static str) + Send>;
