//! Recorded input: files of a node that may be elsewhere, each read by its own reader.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use owo_colors::OwoColorize;
use sense::attribution::Accounts;
use sense::inventory::Inventory;
use sense::mail::{Trust, Watch};
use sense::process::{Memory, Table, judge};
use sense::reading::Reading;
use sense::web;

use super::{InspectArgs, Seen, mail_reading, settings};
use crate::clock::system_now;
use crate::config::Config;
use crate::exit::CommandError;

/// Reads all inputs that were named.
pub fn read(config: &Config, args: &InspectArgs) -> Result<Seen, CommandError> {
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
    for path in &args.mail_log {
        let failed = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let mut log = Vec::new();
        open(path)?.read_to_end(&mut log).map_err(failed)?;
        let now = args.at.unwrap_or_else(system_now);
        let mut watch = Watch::new(settings(config, Trust::Guarded)?, now);
        watch.set_accounts(&inventory.accounts);
        let findings = watch.inspect(&log, now);
        seen.reading.join(mail_reading(&watch, findings));
    }
    if !args.access_log.is_empty() {
        seen.reading.join(access_logs(&inventory, args)?);
    }
    Ok(seen)
}

/// All access logs in the order given, by one watch: a chain may begin in one file and end in the next.
fn access_logs(inventory: &Inventory, args: &InspectArgs) -> Result<Reading, CommandError> {
    let settings = web::Settings { accounts: inventory.accounts.clone(), own: inventory.node.host_addresses.clone() };
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
/// Errors: not there, no permission, a folder, no plain file or pipe.
fn open(path: &Path) -> Result<Box<dyn BufRead>, CommandError> {
    let failed = |e: std::io::Error| CommandError::usage(format!("{}: {e}", path.display()));
    let mut input: Box<dyn BufRead> = match path == Path::new("-") {
        true => Box::new(BufReader::new(std::io::stdin())),
        false => {
            let file = std::fs::File::open(path).map_err(failed)?;
            if file.metadata().map_err(failed)?.is_dir() {
                return Err(CommandError::usage(format!("{} is a folder; name a file in it", path.display())));
            }
            Box::new(BufReader::with_capacity(1 << 18, file))
        }
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
