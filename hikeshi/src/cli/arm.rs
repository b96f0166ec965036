//! `hikeshi disarm` and `hikeshi arm`: the stop switch, a file that `act` tests before each act.
//!
//! It needs nothing of ours to run, so it works when everything else is dead; `touch` does the same.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use crate::cli::{Common, Format, ask, print};
use crate::exit::{Answer, CommandError, Exit};

/// Arguments of `disarm`.
#[derive(clap::Args)]
pub struct DisarmArgs {
    /// Why, for colleagues who find it
    #[arg(long, default_value = "")]
    reason: String,
}

/// Nothing new is imposed from now on; lifting goes on.
pub fn disarm(common: &Common, args: DisarmArgs) -> Answer {
    let path = ask::config(common)?.disarmed();
    let now = crate::clock::system_now();
    let line = model::evidence::printable(format!("{now} {} {}", ask::operator(), args.reason).as_bytes(), 1000);
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path);
    match made.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all())) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            said(common, true, "already disarmed; `hikeshi arm` ends it")
        }
        Err(e) => {
            Err(CommandError::failure(format!("{}: {e}; `touch` it as root, that is all it takes", path.display())))
        }
        Ok(()) => said(
            common,
            true,
            "disarmed: nothing new is imposed; what is in force stays so. `hikeshi arm` ends it, `hikeshi undo` takes back",
        ),
    }
}

/// Ends it.
pub fn arm(common: &Common) -> Answer {
    let path = ask::config(common)?.disarmed();
    match std::fs::remove_file(&path) {
        Ok(()) => said(common, false, "armed: the configured mode counts again"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => said(common, false, "was armed already"),
        Err(e) => Err(CommandError::failure(format!("{}: {e}; remove it as root", path.display()))),
    }
}

fn said(common: &Common, disarmed: bool, text: &str) -> Answer {
    match common.format {
        Format::Json => print::json(&serde_json::json!({ "disarmed": disarmed, "said": text }))?,
        Format::Human => println!("{text}"),
    }
    Ok(Exit::Ok)
}
