//! What `act` may touch and where: plain values that the binary parsed, and doors for tests.

use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use model::{Hash, Moment};

/// Which accounts and processes may be touched at all.
#[derive(Clone, Debug)]
pub enum Reach {
    /// A server: accounts with these uids, and their processes.
    Uids(RangeInclusive<u32>),
    /// Demo and tests, no root: our own uid, only processes whose pidfd was handed over, files below `folder`.
    Handed {
        /// `gate_dir` and the Postfix hold file must lie below it.
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

impl Budgets {
    /// The budgets of a node with this many accounts: 3 an hour; a day the larger of 3 and 1 %.
    pub fn for_accounts(accounts: u64) -> Budgets {
        let percent = u32::try_from(accounts / 100).unwrap_or(u32::MAX);
        Budgets { accounts_per_hour: 3, accounts_per_day: percent.max(3) }
    }
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
#[derive(Clone, Debug, Default)]
pub struct NetConfig {
    /// Networks (`198.51.100.0/24`) that stay reachable over http and https from accounts whose outgoing connections
    /// are blocked: servers of known publishers, so that the owner can update.
    pub updates: Vec<String>,
    /// The node's own addresses, proxies and whatever else is never slowed down; networks as in `updates`.
    pub never: Vec<String>,
}

/// Deny lists of login services; `None`: that service cannot be blocked here, and an order says what to configure.
#[derive(Clone, Debug, Default)]
pub struct LoginConfig {
    /// A file of ours that sshd includes (`DenyUsers …`), and sshd's pid file.
    pub ssh: Option<(PathBuf, PathBuf)>,
    /// A list of names that the FTP servers deny (pam_listfile(8), `UseFtpUsers`), such as `/etc/ftpusers`.
    pub ftp: Option<PathBuf>,
    /// A file of ours that Dovecot reads as a `deny = yes` passdb of driver passwd-file.
    pub mail: Option<PathBuf>,
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

/// Pidfds of processes that the demo handed over; shared between the receiving thread and the actor.
#[derive(Clone, Debug, Default)]
pub struct Hands(Arc<Mutex<Vec<OwnedFd>>>);

impl Hands {
    /// Most pidfds kept; those of processes that ended go first.
    pub const MAX: usize = 1024;

    /// Takes one pidfd; anything else is dropped. False when it was not taken.
    pub fn add(&self, pidfd: OwnedFd) -> bool {
        use std::os::fd::AsFd;
        let mut held = self.0.lock().unwrap_or_else(|e| e.into_inner());
        held.retain(|fd| sys::process::is_alive(fd.as_fd()));
        let take = held.len() < Hands::MAX && sys::process::pid_of(pidfd.as_fd()).is_ok();
        if take {
            held.push(pidfd);
        }
        take
    }

    /// A handle of the handed process with this pid, if there is one and it lives.
    pub(crate) fn find(&self, pid: u32) -> Option<OwnedFd> {
        use std::os::fd::AsFd;
        let held = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let fd = held.iter().find(|fd| sys::process::pid_of(fd.as_fd()).is_ok_and(|p| p == pid))?;
        fd.try_clone().ok()
    }
}

/// Time as the actor sees it.
pub trait Clock: Send {
    /// Wall clock: for pages and expiries, never for budgets.
    fn now(&self) -> Moment;
    /// Which boot this is, and seconds since it, suspended time included: cannot be stepped.
    fn uptime(&self) -> (Hash, u64);
}

/// The kernel's clocks.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn uptime(&self) -> (Hash, u64) {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        (Hash::of(&boot), u64::try_from(time.tv_sec).unwrap_or(0))
    }
}

/// Called with the name of each step before the next one; a test stops there as `kill -9` would.
pub type Steps = Box<dyn FnMut(&'static str) + Send>;
