//! What each part gets out of the configuration, and how the configuration file is found.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use engine::Policy;
use model::Span;
use rustix::fs::OFlags;

use crate::config::{Config, DEFAULT_PATH};
use crate::exit::CommandError;

/// Reads the configuration. Without a file at the usual place the defaults hold, so that `inspect` works on a
/// server where nothing was installed; a file that was named must be there.
pub fn load(path: &Path) -> Result<Config, CommandError> {
    if path == Path::new(DEFAULT_PATH) && !path.exists() {
        return Ok(Config::default());
    }
    Config::read(path).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        CommandError::usage(format!("the configuration is not right:\n  {}", lines.join("\n  ")))
    })
}

/// Opens a regular file. A pipe without a writer or a device would keep us waiting or reading for ever.
///
/// # Errors
/// It is not there or may not be read; `InvalidInput`: a folder, a pipe, a socket, a device.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    // To open a pipe must not wait for its writer, and a terminal must not become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let kind = file.metadata()?.file_type();
    match () {
        _ if kind.is_file() => Ok(file),
        _ if kind.is_dir() => refuse("a folder; name a file in it"),
        _ if kind.is_fifo() => refuse("a pipe; give it to the standard input and write - for its name"),
        _ => refuse("a device or socket; name a regular file"),
    }
}

impl Config {
    /// The engine's rules.
    pub fn policy(&self) -> Policy {
        Policy {
            mode: self.mode,
            stage: Span::minutes(self.release.stage_minutes.0),
            watch: Span::days(self.release.watch_days.0),
            pass: self.release.pass.0,
            ..Policy::default()
        }
    }

    /// The core's database. Its folder is the core's alone, while the state folder lets web servers through to
    /// the gate.
    pub fn store(&self) -> PathBuf {
        self.paths.state.0.join("core/hikeshi.db")
    }

    /// Where letters go out and in whose name.
    pub fn desk(&self) -> desk::serve::Desk {
        let (host, port) = self.notice.smtp.0.rsplit_once(':').unwrap_or((&self.notice.smtp.0, "25"));
        let name = match self.notice.host_name.is_empty() {
            true => self.notice.desk_name_ja.clone(),
            false => format!("{} {}", self.notice.host_name, self.notice.desk_name_ja),
        };
        let relay = desk::mail::Relay {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().unwrap_or(25),
            name,
            from: self.sender(),
        };
        desk::serve::Desk::new(relay, self.notice.operator_mail.as_ref().map(|m| m.0.clone()))
    }

    /// The sender of all letters.
    fn sender(&self) -> String {
        match &self.notice.from {
            Some(from) => from.0.clone(),
            None => format!("hikeshi@{}", hostname()),
        }
    }

    /// The right side of our Message-IDs.
    pub fn message_domain(&self) -> String {
        self.sender().rsplit('@').next().unwrap_or("localhost").to_owned()
    }
}

/// The machine's own name, or `localhost`.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !name.is_empty() && name.chars().all(plain) { name } else { "localhost".into() }
}
