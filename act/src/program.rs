//! Runs the fixed list of programs: absolute paths, argument arrays, empty environment, bounded time and output.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use sys::process::Process;

/// Folders in which programs are looked for, in order; both are root's.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/bin"];
const WAIT_MAX: Duration = Duration::from_secs(30);
const OUTPUT_MAX: u64 = 256 * 1024;

/// The whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Reloads and tells whether the mail system runs.
    Postfix,
    /// Puts waiting messages on hold.
    Postsuper,
    /// Asks a table.
    Postmap,
    /// Reads a parameter.
    Postconf,
    /// Tests its configuration and shows what it makes of it.
    Sshd,
    /// Shows Dovecot's configuration.
    Doveconf,
    /// Replaces and lists our table of the packet filter.
    Nft,
    /// Runs a site's own code, as its tenant only ([`sys::tenant`]).
    Php,
}

impl Program {
    /// Where it is; the error ends with what to install.
    pub fn path(self) -> Result<PathBuf, String> {
        const POSTFIX: &str = "install Postfix or remove [mail] postfix";
        let (name, next) = match self {
            Program::Postfix => ("postfix", POSTFIX),
            Program::Postsuper => ("postsuper", POSTFIX),
            Program::Postmap => ("postmap", POSTFIX),
            Program::Postconf => ("postconf", POSTFIX),
            Program::Sshd => ("sshd", "install OpenSSH's server or remove [login] ssh_deny"),
            Program::Doveconf => ("doveconf", "install Dovecot or remove [login] mail_deny"),
            Program::Nft => ("nft", "install nftables"),
            Program::Php => ("php", "install PHP for the command line (php-cli), with the site's database extension"),
        };
        let found = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file());
        found.ok_or_else(|| format!("{name} is not in /usr/sbin or /usr/bin; {next}"))
    }

    /// Whether it is installed.
    pub fn is_there(self) -> bool {
        self.path().is_ok()
    }

    /// Runs it to its end; `Ok` holds success and what it printed (both streams, at most 256 KiB).
    ///
    /// Errors: not installed, not started, not ended after 30 s (then it is killed).
    pub fn run(self, arguments: &[&str], input: &str) -> Result<(bool, String), String> {
        let path = self.path()?;
        let shown = path.display().to_string();
        let failed = |what: &str, e: &dyn std::fmt::Display| format!("{shown} {what}: {e}");
        // Memory files instead of pipes: a daemon that keeps one open cannot make us wait.
        let memory = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let mut given = memory("given").map_err(|e| failed("gets no input", &e))?;
        let mut printed = memory("printed").map_err(|e| failed("gets no output", &e))?;
        given.write_all(input.as_bytes()).and_then(|()| given.rewind()).map_err(|e| failed("gets no input", &e))?;
        let streams = printed.try_clone().and_then(|a| Ok((a, printed.try_clone()?)));
        let (out, err) = streams.map_err(|e| failed("gets no output", &e))?;
        let mut child = Command::new(&path)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::from(given))
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .spawn()
            .map_err(|e| failed("does not start", &e))?;
        let ended = Process::open(child.id()).map_or(true, |process| process.wait_end(WAIT_MAX));
        if !ended {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| failed("cannot be waited for", &e))?;
        if !ended {
            return Err(format!("{shown} did not end within {} s and was stopped", WAIT_MAX.as_secs()));
        }
        let mut bytes = Vec::new();
        let read = printed.rewind().and_then(|()| printed.take(OUTPUT_MAX).read_to_end(&mut bytes));
        read.map_err(|e| failed("printed something unreadable", &e))?;
        Ok((status.success(), String::from_utf8_lossy(&bytes).into_owned()))
    }
}
