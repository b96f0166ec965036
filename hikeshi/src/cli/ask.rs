//! Asks the running core, and opens its store for reading.

use std::time::Duration;

use model::packet::{FromCore, ToCore};
use store::{Store, View};
use sys::socket::Connection;

use crate::cli::Common;
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};

/// Longest wait for the core's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration that the command line names.
pub fn config(common: &Common) -> Result<Config, CommandError> {
    crate::parts::load(&common.config)
}

/// One question, one answer.
pub fn ask(config: &Config, asked: &ToCore) -> Result<FromCore, CommandError> {
    let path = config.paths.run.0.join("core.sock");
    let unreachable = |e: std::io::Error| {
        CommandError::failure(format!(
            "the core does not answer at {}: {e}; start `hikeshi serve` (what is restricted stays restricted meanwhile)",
            path.display()
        ))
    };
    let connection = Connection::connect(&path).map_err(unreachable)?;
    connection.set_recv_timeout(Some(PATIENCE))?;
    connection.send_value(asked).map_err(unreachable)?;
    let (answer, _) = connection.recv_value().map_err(unreachable)?;
    Ok(answer)
}

/// Asks, and prints what happened line by line.
pub fn order(common: &Common, asked: &ToCore) -> Answer {
    match ask(&config(common)?, asked)? {
        FromCore::Done(lines) => {
            for line in lines {
                anstream::println!("{}", super::print::safe(&line));
            }
            Ok(Exit::Ok)
        }
        FromCore::Refused(why) => Err(CommandError::refused(super::print::safe(&why))),
        FromCore::Status { .. } => {
            Err(CommandError::failure("the core answered something else; are two versions installed?"))
        }
    }
}

/// The store, for reading; works while the core runs and when it does not.
pub fn store(config: &Config) -> Result<View, CommandError> {
    Store::open_read_only(config.store()).map_err(|e| CommandError::failure(e.to_string()))
}

/// Who gives an order: the login name behind sudo, else that of the uid.
pub fn operator() -> String {
    let uid = rustix::process::getuid().as_raw();
    ["SUDO_USER", "LOGNAME", "USER"]
        .iter()
        .find_map(|key| std::env::var(key).ok())
        .map(|name| model::evidence::printable(name.as_bytes(), 64))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("uid {uid}"))
}
