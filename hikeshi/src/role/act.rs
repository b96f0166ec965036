//! The act role: hands the parsed configuration to `act` and serves the core.

use std::ops::RangeInclusive;
use std::os::fd::RawFd;
use std::path::Path;

use act::{Actor, Budgets, NetConfig, PostfixConfig, Reach};
use model::Moment;
use sys::socket::Connection;

use crate::clock::Clock;
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};
use crate::role::rights::{Rights, Users};
use crate::role::serve::make_folder;
use crate::role::{Role, listen};

/// Serves until the process ends. With `hand`, only processes that are handed over there may be touched.
pub fn run(config: Config, clock: Clock, hand: Option<RawFd>, users: &Users, rights: &Rights) -> Answer {
    let path = config.paths.run.0.join("act.sock");
    let hands = hand.map(Connection::inherited).transpose()?;
    let parts = config.act(hands.is_some(), users);
    make_folder(&parts.state_dir, 0o700)?;
    make_folder(&parts.gate_dir, 0o711)?;
    for folder in parts.quarantine_dirs.iter().filter(|folder| is_ours(folder.parent())) {
        make_folder(folder, 0o700)?;
    }
    let failed = |e: std::io::Error| CommandError::failure(format!("act cannot begin: {e}"));
    let mut actor = Actor::open_with(parts, Box::new(Told(clock)), Box::new(|_| ())).map_err(failed)?;
    let listener = listen(&path, users)?;
    rights.enter()?;
    act::serve(&listener, &mut actor, hands, || true)?;
    Ok(Exit::Ok)
}

/// Expiries follow the story's clock; budgets follow the kernel's, which nobody can advance.
struct Told(Clock);

impl act::Clock for Told {
    fn now(&self) -> Moment {
        self.0.now()
    }
}

impl Config {
    /// What `act` may touch and where. `handed`: a demo or story, where nothing but what is handed over may be.
    fn act(&self, handed: bool, users: &Users) -> act::Config {
        let range = &self.node.tenant_uids;
        let state = &self.paths.state.0;
        let own = state.parent().unwrap_or(state);
        let limits = &self.limits;
        let accounts = accounts(&self.node.passwd.0, range.first..=range.last);
        let share = accounts * limits.accounts_per_day_percent.0.max(0) as u64 / 100;
        act::Config {
            reach: match handed {
                true => Reach::Handed { folder: own.to_owned() },
                false => Reach::Uids(range.first..=range.last),
            },
            budgets: Budgets {
                accounts_per_hour: limits.accounts_per_hour.0.max(0) as u32,
                accounts_per_day: (share as u32).max(limits.accounts_per_day.0.max(0) as u32),
            },
            state_dir: state.join("act"),
            gate_dir: self.paths.gate.0.clone(),
            portal: self.notice.portal_url.as_ref().map(|u| u.0.clone()).unwrap_or_default(),
            unavailable: false,
            postfix: Some(PostfixConfig {
                config_dir: (!handed).then(|| self.mail.postfix_config_dir.0.clone()),
                hold_file: self.mail.hold_file.0.clone(),
            }),
            cgroups: !handed,
            // The demo's homes are beside its state.
            quarantine_dirs: match handed {
                true => vec![state.join("quarantine")],
                false => self.paths.quarantine.iter().map(|path| path.0.clone()).collect(),
            },
            cron_spool: if handed { own.join("cron") } else { crate::config::CRON_SPOOL.into() },
            net: (!handed).then(|| NetConfig {
                updates: self.net.updates.clone(),
                never: self.node.host_addresses.iter().map(|a| (*a).into()).chain(self.net.never.clone()).collect(),
                resolv_conf: "/etc/resolv.conf".into(),
            }),
            logins: if handed { act::LoginConfig::default() } else { self.logins() },
            disarmed: self.disarmed(),
            core_uids: vec![users.uid(Role::Core)],
        }
    }

    fn logins(&self) -> act::LoginConfig {
        let login = &self.login;
        act::LoginConfig {
            ssh: login.ssh_deny().map(|list| act::SshDeny {
                list,
                config: login.ssh_config.0.clone(),
                pid_file: login.ssh_pid.0.clone(),
            }),
            ftp: login.ftp_deny(),
            mail: login.mail_deny().map(|list| act::MailDeny { list, config: login.mail_config.0.clone() }),
        }
    }
}

/// Whether a folder is there and belongs to us: in nobody else's is anything made.
fn is_ours(folder: Option<&Path>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    folder.is_some_and(|folder| std::fs::symlink_metadata(folder).is_ok_and(|is| is.is_dir() && is.uid() == own))
}

/// How many accounts passwd(5) has in this range, for the budget that is a share of them. The file is root's.
fn accounts(passwd: &Path, range: RangeInclusive<u32>) -> u64 {
    let text = std::fs::read(passwd).unwrap_or_default();
    let uid = |line: &[u8]| std::str::from_utf8(line.split(|b| *b == b':').nth(2)?).ok()?.parse::<u32>().ok();
    text.split(|b| *b == b'\n').filter_map(uid).filter(|uid| range.contains(uid)).count() as u64
}
