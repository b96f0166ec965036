//! Reads command lines as a shell would and says what they do: fetch, run, write, change the crontab.
//!
//! Nothing is run. Each command hands on where its output came from (fetched, decoded), through pipes, groups,
//! substitutions, variables and saved files, so that the *way* from the net into an interpreter is what is seen and not
//! the words on the line. Used for crontabs and for the arguments of processes.
//!
//! Bounds: 2,000 commands a text, 8 texts within texts, 64 variables and saved files; what is beyond is not followed.

pub(crate) mod code;
mod run;
mod split;
mod tools;
mod url;

pub(crate) use code::{Code, Taint, code_of, runs_fetched};
use run::Shell;
pub(crate) use url::{Host, host_of};

/// Commands that are followed in one text.
const STEPS_MAX: u32 = 2000;
/// Texts within texts (`sh -c`, `$(…)`).
const DEPTH_MAX: u32 = 8;
/// Variables and saved files that are remembered.
const KNOWN_MAX: usize = 64;
/// Longest text that is read, bytes.
const WORD_MAX: usize = 64 << 10;
/// Code of other languages that is read in one text, bytes.
const CODED_MAX: usize = 64 << 10;
/// What variables may put into one text altogether, bytes.
const GROWN_MAX: usize = 256 << 10;

/// What a file is written from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What was fetched or decoded.
    Tainted(Taint),
    /// A text on the line itself.
    Text(Vec<u8>),
    /// Another file, absolute where it can be told.
    File(Vec<u8>),
    /// What another program prints.
    Output,
}

/// One thing that a command line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Runs a text of this origin.
    RunsText(Taint),
    /// Gives a shell to another machine.
    RemoteShell,
    /// Starts a program or script.
    Starts {
        /// The file, absolute where it can be told; a bare name is a program of the system.
        file: Vec<u8>,
        /// It is read into the running shell (`.`, `source`).
        sourced: bool,
        /// It was fetched or decoded by the same line.
        taint: Taint,
    },
    /// Asks another machine.
    Fetches {
        /// The address as written.
        url: Vec<u8>,
        /// Where the answer goes; `None`: standard output.
        file: Option<Vec<u8>>,
        /// Files whose content is sent along.
        sends: Vec<Vec<u8>>,
        /// Facts of this machine or account are sent along.
        tells: bool,
        /// Another program reads the answer.
        used: bool,
    },
    /// Writes a file.
    Writes {
        /// Which, absolute where it can be told.
        file: Vec<u8>,
        /// From what.
        from: Source,
    },
    /// Takes an archive apart or mirrors a folder.
    Unpacks {
        /// Which.
        archive: Vec<u8>,
        /// Where to.
        folder: Vec<u8>,
    },
    /// Sets a new crontab.
    Crontab {
        /// From what.
        from: Source,
    },
    /// Sets the time of a file to that of another (`touch -r`, `touch -d`), or takes away the right to write.
    Disguises(Vec<u8>),
}

/// What comes out of a command.
#[derive(Clone, Debug, Default)]
struct Flow {
    taint: Taint,
    /// What it prints, when that stands on the line.
    text: Option<Vec<u8>>,
    /// The file whose content it prints.
    file: Option<Vec<u8>>,
}

/// Reads a command line; `stdin` is what it is fed (crontab's `%`), `variables` what is set before.
pub(crate) fn read(text: &[u8], home: &[u8], stdin: Option<&[u8]>, variables: &[(Vec<u8>, Vec<u8>)]) -> Vec<Deed> {
    let mut shell = Shell::at_home(home);
    shell.set(b"HOME", home.to_vec(), Taint::default());
    for (name, value) in variables {
        let value = shell.expand(value).0;
        shell.set(name, value, Taint::default());
    }
    let input = Flow { text: stdin.map(<[u8]>::to_vec), ..Flow::default() };
    shell.text(text, &input, 0);
    shell.deeds
}

/// Whether this shell text lets a download or a decoded text run: by a pipe, by substitution, or by saving a file and
/// starting it.
pub(crate) fn runs_download(text: &[u8]) -> bool {
    read(text, b"", None, &[]).iter().any(|deed| match deed {
        Deed::RunsText(_) | Deed::RemoteShell => true,
        Deed::Starts { taint, .. } => taint.any(),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
