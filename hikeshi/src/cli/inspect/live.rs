//! One look at the live node: accounts, processes, the last hour of the mail log, crontabs, logins. Touches nothing.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use model::Moment;
use sense::attribution::{Accounts, Attribution};
use sense::follow::{Follower, Start};
use sense::inventory::Inventory;
use sense::mail::{Trust, Watch};
use sense::process::{Memory, Table, judge};
use sense::reading::Reading;
use sense::{cron, login};

use super::{InspectArgs, Seen, login_settings, settings, trust};
use crate::clock::system_now;
use crate::config::{CRON_SPOOL, Config};
use crate::exit::CommandError;

/// How much of the end of a log of logins is read, bytes.
const LOGIN_LOG_MAX: u64 = 16 << 20;

/// One sweep of the processes and the last hour of the mail log, with a bar when somebody watches.
pub fn look(config: &Config, args: &InspectArgs) -> Result<Seen, CommandError> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(3),
        false => ProgressBar::hidden(),
    };
    bar.set_style(ProgressStyle::with_template("{bar:24} {msg}").expect("a template of ours"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("accounts and sites");
    let inventory = match &args.inventory {
        Some(path) => Inventory::from_file(path).map_err(|e| CommandError::usage(e.to_string()))?,
        None => Inventory::read(&config.sources()),
    };
    let accounts = Accounts::new(&inventory.accounts, &config.node.shared_uids);
    let mut seen = Seen { entries: inventory.accounts.clone(), ..Seen::default() };
    bar.inc(1);
    bar.set_message("processes");
    let now = args.at.unwrap_or_else(system_now);
    let tenant = |uid| accounts.is_tenant(uid);
    let table = Table::sweep(Path::new("/proc"), None, now, &tenant)?;
    seen.processes = table.processes().len() as u64;
    seen.reading.blind.extend(table.blind_lines());
    let judgement = judge(&table, &accounts, now, &mut Memory::default());
    seen.reading.findings.extend(judgement.findings);
    seen.reading.unattributed.extend(judgement.unattributed);
    bar.inc(1);
    bar.set_message("mail log");
    let log = config.mail.log.0.to_string_lossy().into_owned();
    let mut watch = Watch::follow(&log, None, settings(config, trust(config))?, now)?;
    watch.set_accounts(&inventory.accounts);
    match config.mail.log.0.exists() {
        true => {
            while !watch.poll(now, 16 << 20).map_err(|e| CommandError::failure(format!("{log}: {e}")))? {}
            let findings = watch.news(now);
            seen.reading.join(Reading { findings, ..watch.reading() });
        }
        false => seen.reading.blind.push(format!("mail: there is no {log}; set [mail] log in hikeshi.toml")),
    }
    seen.reading.join(crontabs(&inventory, now));
    seen.reading.join(logins(config, &inventory, now));
    seen.reading.blind.extend(inventory.unclear.iter().take(5).map(|u| format!("{}: {}", u.subject, u.why)));
    bar.finish_and_clear();
    Ok(seen)
}

/// The crontabs of the spool and the files of `cron.d`.
fn crontabs(inventory: &Inventory, now: Moment) -> Reading {
    let mut watch = cron::Watch::new(cron::Settings { own: inventory.node.host_addresses.clone() });
    let spool = Path::new(CRON_SPOOL);
    let mut blind = Vec::new();
    if let Err(e) = std::fs::read_dir(spool) {
        blind.push(format!("cron: {CRON_SPOOL}: {e}; run this as root, or give a copy by --crontab"));
    }
    let readable = blind.is_empty();
    for entry in inventory.accounts.iter().filter(|_| readable) {
        match cron::spooled(spool, &entry.account.name) {
            Ok(Some(table)) => watch.table(entry, &table, now),
            Ok(None) => {}
            Err(e) => blind.push(format!("cron: the crontab of {}: {e}; look at it by hand", entry.account)),
        }
    }
    // Without at(1) there is no such folder; without the right to read it the spool above was not readable either.
    let waiting = cron::waiting(&spool.with_file_name("atjobs")).unwrap_or_default();
    for (uid, job) in waiting.jobs {
        if let Some(entry) = inventory.accounts.iter().find(|entry| entry.account.uid == uid) {
            watch.job(entry, &job, now);
        }
    }
    if waiting.missed > 0 {
        blind.push(format!("cron: {} jobs of at could not be read; run this as root", waiting.missed));
    }
    for path in std::fs::read_dir("/etc/cron.d").into_iter().flatten().flatten().take(1000).map(|file| file.path()) {
        // Only root writes there; what is too large is said by the watch.
        if let Ok(table) = std::fs::read(&path) {
            watch.system(&inventory.accounts, path.as_os_str().as_encoded_bytes(), &table, now);
        }
    }
    let mut reading = watch.news(now);
    reading.blind.extend(blind);
    reading
}

/// The last part of the logs of logins that are there: sshd's, FTP's, and the mailboxes' in the mail log.
fn logins(config: &Config, inventory: &Inventory, now: Moment) -> Reading {
    let mail = config.mail.log.0.to_string_lossy().into_owned();
    // What goes through syslog can be forged by every tenant; FTP servers write their own files as root.
    let logs = [
        ("/var/log/auth.log", trust(config)),
        ("/var/log/vsftpd.log", Trust::Guarded),
        ("/var/log/xferlog", Trust::Guarded),
        (&mail, trust(config)),
    ];
    let mut all = Reading::default();
    for (path, trust) in logs {
        if !Path::new(path).exists() {
            if path == "/var/log/auth.log" {
                let next = "let rsyslog write it, or give what journalctl -t sshd prints by --login-log";
                all.blind.push(format!("logins: there is no {path}; {next}"));
            }
            continue;
        }
        let mut watch = login::Watch::new(login_settings(inventory, trust));
        let mut follower = Follower::new(path, Start::BeforeEnd(LOGIN_LOG_MAX));
        let mut line = |line: &[u8]| watch.line(line, now);
        match follower.read_new(LOGIN_LOG_MAX, &mut line) {
            Ok(_) => all.join(watch.news(now)),
            Err(e) => all.blind.push(format!("logins: {path}: {e}; run this as root")),
        }
    }
    all
}
