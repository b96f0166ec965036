//! `hikeshi why URL`: our restriction (with its number), a web-server rule, permissions, the application, or
//! unreachable; in words, with the next step.

use desk::probe;
use desk::why::{Cause, Ground, explain};
use model::Language;
use serde::Serialize;

use crate::cli::{Common, Format, ask, print};
use crate::exit::{Answer, CommandError, Exit};

/// Arguments of `why`.
#[derive(clap::Args)]
pub struct WhyArgs {
    /// The address that fails, as in https://blog.example.jp/
    url: String,
    /// Ask the server at this address instead of where the name points
    #[arg(long, value_name = "IP:PORT")]
    at: Option<std::net::SocketAddr>,
}

#[derive(Serialize)]
struct Shown {
    url: String,
    cause: String,
    incident: Option<String>,
    account: Option<String>,
    en: String,
    ja: String,
}

/// Asks the site as a visitor would and says why it answers as it does; 10 when it is our restriction.
pub fn why(common: &Common, args: WhyArgs) -> Answer {
    let url = match args.url.contains("://") {
        true => args.url.clone(),
        false => format!("http://{}", args.url),
    };
    let bad = || {
        CommandError::usage(format!(
            "\"{}\" is not an address of a site; write it as https://blog.example.jp/",
            args.url
        ))
    };
    let answer = match args.at {
        None => probe::ask_url(&url).ok_or_else(bad)?,
        Some(address) => {
            let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
            let (host, path) = rest.split_once('/').map_or((rest, "/".to_owned()), |(h, p)| (h, format!("/{p}")));
            let host = host.split(':').next().unwrap_or(host);
            probe::ask(host, &path, &model::ProbeTarget { address, tls: scheme == "https" })
        }
    };
    let host = url.split("://").nth(1).and_then(|r| r.split(['/', ':']).next()).unwrap_or("").to_owned();
    let cause = explain(&answer, ground(common, &host));
    let incident = match cause {
        Cause::Ours(number) => Some(number),
        _ => None,
    };
    let account = incident.and_then(|number| {
        let store = ask::store(&ask::config(common).ok()?).ok()?;
        store.incident_account(number).ok()?.map(|a| a.name.to_string())
    });
    let word = format!("{cause:?}");
    let shown = Shown {
        url: url.clone(),
        cause: word.split('(').next().unwrap_or_default().to_lowercase(),
        incident: incident.map(|n| n.to_string()),
        account,
        en: cause.sentence(Language::En),
        ja: cause.sentence(Language::Ja),
    };
    match common.format {
        Format::Json => print::json(&shown)?,
        Format::Human => {
            anstream::println!("{url}: {answer:?}\n{}\n{}", shown.en, shown.ja);
            if let (Some(number), Some(account)) = (&shown.incident, &shown.account) {
                anstream::println!("account {account}; `hikeshi incident show {number}`");
            }
        }
    }
    Ok(if incident.is_some() { Exit::Findings } else { Exit::Ok })
}

/// Whether everybody may enter the site's root, as far as we can look.
fn ground(common: &Common, host: &str) -> Ground {
    use std::os::unix::fs::PermissionsExt;
    let root = || {
        let store = ask::store(&ask::config(common).ok()?).ok()?;
        let known = store.accounts().ok()?;
        let mut sites = known.iter().filter(|k| !k.gone).flat_map(|k| &k.entry.sites);
        sites
            .find(|s| s.domain.as_str() == host || s.aliases.iter().any(|a| a.as_str() == host))
            .map(|s| s.root.clone())
    };
    let Some(root) = root() else { return Ground::Unknown };
    let mut folder = std::path::Path::new(&root);
    loop {
        match std::fs::metadata(folder) {
            Ok(found) if found.permissions().mode() & 0o001 == 0 => return Ground::Unreadable,
            Ok(_) => {}
            Err(_) => return Ground::Unknown,
        }
        match folder.parent() {
            Some(parent) => folder = parent,
            None => return Ground::Readable,
        }
    }
}
