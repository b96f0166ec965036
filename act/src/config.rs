//! What `act` may touch and where: plain values that the binary parsed, and doors for tests.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use model::{Hash, Moment};
use serde::{Deserialize, Serialize};

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

/// Addresses with the same first bits (`198.51.100.0/24`, `2001:db8::/32`, or one address alone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether an address lies in it; an IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        first(address.to_canonical(), self.bits) == Some(self.address)
    }
}

/// The address with all but the first `bits` bits off; `None` when it has fewer.
fn first(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) if bits <= 32 => {
            Some(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) if bits <= 128 => {
            Some(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into())
        }
        _ => None,
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Network {
        let address = address.to_canonical();
        Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Network, String> {
        let (address, bits) = text.split_once('/').map_or((&*text, None), |(address, bits)| (address, Some(bits)));
        let network = address.parse::<IpAddr>().ok().and_then(|address| match bits {
            None => Some(Network::from(address)),
            Some(bits) if address == address.to_canonical() => {
                let bits = bits.parse().ok()?;
                Some(Network { address: first(address, bits)?, bits })
            }
            Some(_) => None,
        });
        network.ok_or_else(|| {
            let shown: String = text.chars().take(60).flat_map(char::escape_default).collect();
            format!(
                "\"{shown}\" is no network; write it as in \"198.51.100.0/24\", \"2001:db8::/32\" or \"192.0.2.10\""
            )
        })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn an_address_is_found_in_its_network_in_either_form_of_writing() {
        for (of, address, right) in [
            ("198.51.100.0/24", "198.51.100.255", true),
            ("198.51.100.0/24", "198.51.101.0", false),
            ("198.51.100.77/24", "198.51.100.1", true),
            ("198.51.100.7", "::ffff:198.51.100.7", true),
            ("::ffff:198.51.100.7", "198.51.100.7", true),
            ("198.51.100.0/24", "::ffff:198.51.100.7", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network(of).contains(address), right, "{address} in {of}");
        }
        // The naive twin compares what is written: the second form of an address walks past the list.
        let naive = |of: &str, address: &str| of == address;
        assert!(!naive("198.51.100.7", "::ffff:198.51.100.7"));
    }

    #[test]
    fn what_is_no_network_is_refused_and_shown_harmlessly() {
        for wrong in [
            "",
            "x",
            "198.51.100.0/33",
            "::/129",
            "198.51.100.0/",
            "198.51.100.0/-1",
            "1.2.3/8",
            "a/b/c",
            "::ffff:198.51.100.0/120",
            "198.51.100.0/24 drop",
            "198.51.100.0/24\n\u{1b}[2J",
        ] {
            let why = Network::try_from(wrong.to_owned()).unwrap_err();
            assert!(why.contains("198.51.100.0/24") && !why.contains(char::is_control), "{wrong}: {why}");
        }
        assert_eq!(network("198.51.100.77/24").to_string(), "198.51.100.0/24");
    }
}
