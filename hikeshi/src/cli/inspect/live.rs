//! One look at the live node: accounts, processes, the last hour of the mail log, crontabs, and the ends of login and
//! access logs. Touches nothing.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sense::attribution::{Accounts, Attribution};
use sense::inventory::Inventory;
use sense::mail::Watch;
use sense::process::{Memory, Table, judge};
use sense::reading::Reading;

use super::{InspectArgs, Seen, country_file, settings, trust};
use crate::clock::system_now;
use crate::config::Config;
use crate::exit::CommandError;
use crate::records::Records;

/// One sweep of the processes and the last hour of the mail log, with a bar when somebody watches.
pub fn look(config: &Config, args: &InspectArgs) -> Result<Seen, CommandError> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::new(4),
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
    let mut countries = country_file(config);
    countries.look();
    seen.reading.blind.extend(countries.blind());
    watch.set_countries(countries.countries());
    match config.mail.log.0.exists() {
        true => {
            while !watch.poll(now, 16 << 20).map_err(|e| CommandError::failure(format!("{log}: {e}")))? {}
            let findings = watch.news(now);
            seen.reading.join(Reading { findings, ..watch.reading() });
        }
        false => seen.reading.blind.push(format!("mail: there is no {log}; set [mail] log in hikeshi.toml")),
    }
    bar.inc(1);
    bar.set_message("crontabs, logins, requests");
    let mut records = Records::new(config, accounts.shared(), &inventory.node.host_addresses);
    records.set_countries(config, countries.countries());
    seen.reading.join(records.poll(now));
    seen.reading.blind.extend(inventory.unclear.iter().take(5).map(|u| format!("{}: {}", u.subject, u.why)));
    bar.finish_and_clear();
    Ok(seen)
}
