//! `hikeshi evidence`: everything that is kept of an incident as one archive, and the check of the event chain.
//!
//! The archive is a tar packed with zstd; `SHA256SUMS` in it is read by `sha256sum -c`, and `chain.json` says where in
//! the chain the events stand. With `--redacted` it can be shown to others: addresses, other customers' names and
//! sites are masked, and what was captured (crontab, command lines, log lines) and written by the owner is left out.

mod redact;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Subcommand;
use model::evidence::printable;
use model::{Body, BodyKind, Fact, Hash, Number};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::View;

use crate::cli::{Common, Format, ask, incident, print};
use crate::exit::{Answer, CommandError, Exit};
use redact::Redact;

/// Largest archive before it is packed, bytes; what has no room is named in `manifest.json`.
const ARCHIVE_MAX: usize = 256 << 20;

/// What can be done with evidence.
#[derive(Subcommand)]
pub enum EvidenceCommand {
    /// Write all that is kept of one incident into one archive (tar.zst)
    Export {
        /// Incident number
        incident: Number,
        /// Where to; must not exist yet
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// For showing to others: no addresses, no other customers, no file contents
        #[arg(long)]
        redacted: bool,
    },
    /// Check the whole event log: nothing changed, taken out or put in, and as `act` remembers it
    Verify,
}

/// Runs one of them.
pub fn evidence(common: &Common, command: EvidenceCommand) -> Answer {
    match command {
        EvidenceCommand::Export { incident, out, redacted } => export(common, incident, out, redacted),
        EvidenceCommand::Verify => verify(common),
    }
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::failure(error.to_string())
}

/// The archive while it grows: names and bytes, bounded.
struct Archive {
    entries: Vec<(String, Vec<u8>)>,
    size: usize,
    left_out: Vec<String>,
    redact: Option<Redact>,
}

impl Archive {
    fn text(&mut self, name: String, text: &str) {
        let text = match &self.redact {
            Some(redact) => redact.text(text),
            None => text.to_owned(),
        };
        self.bytes(name, text.into_bytes());
    }

    /// Masked before it is written: an escape such as `\n` would hide the word behind it.
    fn json(&mut self, name: &str, mut value: Value) {
        if let Some(redact) = &self.redact {
            redact.value(&mut value);
        }
        self.bytes(name.to_owned(), format!("{value:#}\n").into_bytes());
    }

    fn bytes(&mut self, name: String, bytes: Vec<u8>) {
        match self.size + bytes.len() <= ARCHIVE_MAX {
            true => {
                self.size += bytes.len();
                self.entries.push((name, bytes));
            }
            false => self.left_out.push(name),
        }
    }
}

fn export(common: &Common, number: Number, out: Option<PathBuf>, redacted: bool) -> Answer {
    let config = ask::config(common)?;
    let store = ask::store(&config)?;
    let name = incident::owner_of(common, number)?;
    let events: Vec<_> = store.events_of(&name, 0).map_err(failed)?;
    let own: Vec<_> = events.into_iter().filter(|e| e.event.incident() == Some(number)).collect();
    let redact = redacted.then(|| Redact::of(&store, &name)).transpose().map_err(failed)?;
    let mut archive = Archive { entries: Vec::new(), size: 0, left_out: Vec::new(), redact };
    let mut lines = Vec::new();
    let mut listed = Vec::new();
    for stored in &own {
        lines.push(format!("{}  {}", stored.event.at, print::event_line(&stored.event)));
        let link = store.link_of(stored.seq).map_err(failed)?;
        listed.push(json!({ "seq": stored.seq, "link": link.map(|l| l.to_string()), "event": &stored.event }));
    }
    archive.text("timeline.txt".into(), &(lines.join("\n") + "\n"));
    archive.json("events.json", Value::Array(listed));
    for (at, hash) in named(&own).into_iter().enumerate() {
        match store.body(&hash).map_err(failed)? {
            Some(body) if matches!(body.kind, BodyKind::Pass | BodyKind::Letter) => {} // a secret; letters follow
            Some(body) if redacted && body.kind != BodyKind::Evidence => {
                archive.left_out.push(format!("{hash} (redacted)"));
            }
            Some(body) => add_body(&mut archive, at + 1, &hash, &body),
            None => archive.left_out.push(format!("{hash} (its time was over, or it was never kept)")),
        }
    }
    for stored in &own {
        if let Fact::NoticeOrdered { notice, .. } = &stored.event.fact
            && let Some(letter) = crate::core::letters::stored(&store, *notice).map_err(failed)?
        {
            archive.text(
                format!("letters/{:02}.txt", notice.ordinal),
                &format!("Subject: {}\n\n{}", letter.subject, letter.text),
            );
        }
    }
    let left_out = std::mem::take(&mut archive.left_out);
    let manifest = json!({
        "incident": number.to_string(),
        "account": name.as_str(),
        "made": crate::clock::system_now().to_string(),
        "redacted": redacted,
        "last_event_of_the_log": store.last_seq().map_err(failed)?,
        "link_of_the_last_event": store.link_of(store.last_seq().map_err(failed)?).map_err(failed)?.map(|l| l.to_string()),
        "left_out": left_out,
    });
    archive.json("manifest.json", manifest.clone());
    let path = out.unwrap_or_else(|| format!("{number}{}.tar.zst", if redacted { "-redacted" } else { "" }).into());
    write(&path, &number, &archive.entries)?;
    let count = archive.entries.len();
    match common.format {
        Format::Json => print::json(&json!({ "file": path, "entries": count, "left_out": manifest["left_out"] }))?,
        Format::Human => {
            println!("{} entries in {}", count, printable(path.as_os_str().as_encoded_bytes(), 400));
            let missing = manifest["left_out"].as_array().map_or(0, Vec::len);
            if missing > 0 {
                println!("{missing} left out; manifest.json says which and why");
            }
        }
    }
    Ok(Exit::Ok)
}

/// Rows that the events name by hash, in the order in which they are named.
fn named(events: &[store::Stored]) -> Vec<Hash> {
    fn walk(value: &Value, found: &mut Vec<Hash>) {
        match value {
            Value::String(text) => match text.parse() {
                Ok(hash) if !found.contains(&hash) => found.push(hash),
                _ => {}
            },
            Value::Array(values) => values.iter().for_each(|v| walk(v, found)),
            Value::Object(values) => values
                .iter()
                // These name no row: which finding it is, which policy counted.
                .filter(|(key, _)| !matches!(key.as_str(), "fingerprint" | "findings" | "finding" | "policy"))
                .for_each(|(_, v)| walk(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for stored in events {
        walk(&serde_json::to_value(&stored.event.fact).unwrap_or_default(), &mut found);
    }
    found
}

fn add_body(archive: &mut Archive, at: usize, hash: &Hash, body: &Body) {
    let (folder, ending) = match body.kind {
        BodyKind::Evidence => ("evidence", "json"),
        BodyKind::Capture => ("captured", "json"),
        _ => ("owner", "txt"),
    };
    let name = format!("{folder}/{at:03}-{}.{ending}", &hash.to_string()[..16]);
    match serde_json::from_slice::<Value>(&body.bytes) {
        Ok(value) if ending == "json" => archive.json(&name, value),
        _ => archive.text(name, &String::from_utf8_lossy(&body.bytes)),
    }
}

fn write(path: &PathBuf, number: &Number, entries: &[(String, Vec<u8>)]) -> Result<(), CommandError> {
    let shown = printable(path.as_os_str().as_encoded_bytes(), 400);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|e| CommandError::failure(format!("{shown}: {e}; name another file with --out")))?;
    let sums: String = entries.iter().map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes))).collect();
    let packed = || -> std::io::Result<()> {
        let mut tar = tar::Builder::new(zstd::Encoder::new(file, 0)?);
        for (name, bytes) in
            entries.iter().map(|(n, b)| (n.as_str(), b.as_slice())).chain([("SHA256SUMS", sums.as_bytes())])
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            tar.append_data(&mut header, format!("{number}/{name}"), bytes)?;
        }
        let mut file = tar.into_inner()?.finish()?;
        file.flush()?;
        file.sync_all()
    };
    packed().map_err(|e| {
        let _ = std::fs::remove_file(path);
        CommandError::failure(format!("{shown}: {e}; check free space"))
    })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn verify(common: &Common) -> Answer {
    let config = ask::config(common)?;
    let store = ask::store(&config)?;
    let bar = print::progress(store.last_seq().map_err(failed)?, "events");
    let chain = store.verify(|seq| bar.set_position(seq)).map_err(failed)?;
    bar.finish_and_clear();
    let remembered = remembered(&config, &store)?;
    let compared = match remembered {
        Some(orders) => format!("{orders} orders are as `act` remembers them"),
        None => "`act` has no journal that can be read here, so its orders were NOT compared (run this as root)".into(),
    };
    match common.format {
        Format::Json => print::json(
            &json!({ "events": chain.events, "head": chain.head.to_string(), "orders_compared": remembered }),
        )?,
        Format::Human => println!(
            "{} events, each linked to the one before it; {compared}.\nLast link: {}\nNote it elsewhere: whoever can rewrite or cut the whole file cannot rewrite your note.",
            chain.events, chain.head
        ),
    }
    Ok(if remembered.is_some() { Exit::Ok } else { Exit::Partial })
}

/// Compares the links that `act` journalled with its orders. How many there were; `None` when nothing can be compared.
fn remembered(config: &crate::config::Config, store: &View) -> Result<Option<usize>, CommandError> {
    let path = config.paths.state.0.join("act");
    let links = match act::links(&path) {
        Ok(links) => links,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied) => {
            return Ok(None);
        }
        Err(e) => return Err(CommandError::failure(format!("{}: {e}", path.display()))),
    };
    for (intent, link) in &links {
        if store.link_of(intent.0).map_err(failed)? != Some(*link) {
            return Err(CommandError::failure(format!(
                "order {intent} is not in the log as `act` was given it: the log was written anew behind its back. Next: \
                 keep both files, compare with a backup, and find out who could write to the database"
            )));
        }
    }
    Ok(Some(links.len()))
}
