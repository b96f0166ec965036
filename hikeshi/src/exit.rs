//! How a command ends: exit codes that a script can tell apart, and errors that name the next step.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of every command (design, «Command line and files»).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, nothing found.
    Ok = 0,
    /// Something found.
    Findings = 10,
    /// Something could not be read; what is said is true but not all.
    Partial = 11,
    /// Refused by policy or by a guard.
    Refused = 12,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed. The text says what happened and what to do next.
#[derive(Debug)]
pub struct CommandError {
    /// 1 failure, 2 usage, 12 refused.
    pub code: u8,
    /// For the person at the terminal.
    pub message: String,
}

impl CommandError {
    /// A failure of ours or of the machine's.
    pub fn failure(message: impl Into<String>) -> CommandError {
        CommandError { code: 1, message: message.into() }
    }
    /// The command was not understood or does not fit.
    pub fn usage(message: impl Into<String>) -> CommandError {
        CommandError { code: 2, message: message.into() }
    }
    /// A policy or guard said no.
    pub fn refused(message: impl Into<String>) -> CommandError {
        CommandError { code: Exit::Refused as u8, message: message.into() }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> CommandError {
        CommandError::failure(error.to_string())
    }
}

/// What a command returns.
pub type Answer = Result<Exit, CommandError>;

impl From<rustix::io::Errno> for CommandError {
    fn from(error: rustix::io::Errno) -> CommandError {
        CommandError::failure(std::io::Error::from(error).to_string())
    }
}
