//! Recorded input: files of a node that may be elsewhere, each read by its own reader.

use std::io::{BufRead, BufReader};
use std::path::Path;

use model::AccountEntry;
use owo_colors::OwoColorize;
use sense::attribution::Accounts;
use sense::inventory::Inventory;
use sense::mail::{Trust, Watch};
use sense::process::{Memory, Table, judge};
use sense::reading::Reading;
use sense::web;

use super::{InspectArgs, STDIN, Seen, country, country_file, login_settings, settings};
use crate::clock::system_now;
use crate::config::Config;
use crate::exit::CommandError;

/// Reads all inputs that were named.
pub fn read(config: &Config, args: &InspectArgs) -> Result<Seen, CommandError> {
    if args.inputs().filter(|path| *path == Path::new(STDIN)).count() > 1 {
        return Err(CommandError::usage("- is named twice, but there is one standard input; name files instead"));
    }
    let path = args.inventory.as_ref().expect("checked by the caller");
    let inventory = Inventory::from_file(path).map_err(|e| CommandError::usage(e.to_string()))?;
    let accounts = Accounts::new(&inventory.accounts, &[]);
    let mut seen = Seen { entries: inventory.accounts.clone(), ..Seen::default() };
    for path in &args.processes {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let recorded = Table::read_jsonl(open(path)?).map_err(failed)?;
        for warning in &recorded.warnings {
            anstream::eprintln!("{} {}: {warning}", "warning:".yellow(), path.display());
        }
        seen.processes += recorded.table.processes().len() as u64;
        let now = args.at.or(recorded.now).unwrap_or_else(system_now);
        let judgement = judge(&recorded.table, &accounts, now, &mut Memory::default());
        seen.reading.join(Reading {
            findings: judgement.findings,
            unattributed: judgement.unattributed,
            lines: recorded.lines,
            dropped: recorded.dropped,
            ..Reading::default()
        });
    }
    let mut countries = country_file(config);
    if !args.mail_log.is_empty() || !args.login_log.is_empty() {
        countries.look();
        seen.reading.blind.extend(countries.blind());
    }
    for path in &args.mail_log {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let now = args.at.unwrap_or_else(system_now);
        let mut watch = Watch::new(settings(config, Trust::Guarded)?, now);
        watch.set_accounts(&inventory.accounts);
        watch.set_countries(countries.countries());
        seen.reading.join(watch.inspect(open(path)?, now).map_err(failed)?);
    }
    for path in &args.login_log {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let settings = login_settings(config, &inventory, Trust::Guarded);
        let now = args.at.unwrap_or_else(system_now);
        let mut watch = sense::login::Watch::new(settings);
        watch.set_countries(countries.countries(), country(config));
        seen.reading.join(watch.inspect(open(path)?, now).map_err(failed)?);
    }
    for path in &args.crontab {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let settings = sense::cron::Settings { own: inventory.node.host_addresses.clone() };
        let (table, now) = (open(path)?, args.at.unwrap_or_else(system_now));
        let reading = match args.account.is_none() && is_system_table(path) {
            true => sense::cron::inspect_system(table, &inventory.accounts, settings, now),
            false => sense::cron::inspect(table, owner(path, args, &inventory)?, settings, now),
        };
        seen.reading.join(reading.map_err(failed)?);
    }
    if !args.access_log.is_empty() {
        seen.reading.join(access_logs(config, &inventory, args)?);
    }
    Ok(seen)
}

/// `/etc/crontab` and the files of `cron.d` name the user in each line.
fn is_system_table(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder == "cron.d" || (folder == "etc" && path.ends_with("crontab"))
}

/// Whose crontab this is: the account that was named, else the one that the file is called by, as in the spool.
fn owner<'a>(path: &Path, args: &InspectArgs, inventory: &'a Inventory) -> Result<&'a AccountEntry, CommandError> {
    let name = match &args.account {
        Some(name) => name.as_str().to_owned(),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let known = inventory.accounts.iter().find(|entry| entry.account.name.as_str() == name);
    known.ok_or_else(|| {
        CommandError::usage(format!("{}: there is no account {name}; name the owner by --account", path.display()))
    })
}

/// All access logs in the order given, by one watch: a chain may begin in one file and end in the next.
fn access_logs(config: &Config, inventory: &Inventory, args: &InspectArgs) -> Result<Reading, CommandError> {
    let settings = web::Settings {
        accounts: inventory.accounts.clone().into(),
        own: inventory.node.host_addresses.clone(),
        never: config.net.never.clone(),
    };
    let (mut watch, mut reading) = (web::Watch::new(settings), Reading::default());
    let now = args.at.unwrap_or_else(system_now);
    let named = args.account.as_ref().and_then(|name| inventory.accounts.iter().find(|a| a.account.name == *name));
    for path in &args.access_log {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let owner = match (watch.owner_of(path), named) {
            (web::Owner::Lines, Some(entry)) => web::Owner::Otherwise(entry.account.clone()),
            (owner, _) => owner,
        };
        watch.begin(web::Log { format: args.access_format.clone().unwrap_or_default(), owner });
        reading.join(web::inspect(&mut watch, &mut *open(path)?, now).map_err(failed)?);
    }
    web::settle(&mut reading);
    Ok(reading)
}

/// An input, decompressed by what it begins with (gzip, zstd), so that its name does not matter; `-` is standard input.
///
/// Errors: not there, no permission, no regular file.
fn open(path: &Path) -> Result<Box<dyn BufRead>, CommandError> {
    let failed = |e: std::io::Error| CommandError::usage(format!("{}: {e}", path.display()));
    let mut input: Box<dyn BufRead> = match path == Path::new(STDIN) {
        true => Box::new(BufReader::new(std::io::stdin())),
        false => Box::new(BufReader::with_capacity(1 << 18, crate::parts::open_regular(path).map_err(failed)?)),
    };
    let begins = input.fill_buf().map_err(failed)?;
    let (gzip, zstd) = (begins.starts_with(&[0x1f, 0x8b]), begins.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    Ok(match (gzip, zstd) {
        (true, _) => Box::new(BufReader::with_capacity(1 << 18, flate2::bufread::MultiGzDecoder::new(input))),
        (_, true) => {
            let plain = zstd::Decoder::with_buffer(input).map_err(failed)?;
            Box::new(BufReader::with_capacity(1 << 18, plain))
        }
        _ => input,
    })
}
