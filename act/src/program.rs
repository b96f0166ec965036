//! The fixed list of programs that are started: absolute paths, argument arrays, bounded as `sys::program` says.

use std::path::PathBuf;
use std::time::Duration;

use model::evidence::printable;
use sys::program;

/// Folders in which programs are looked for, in order; both are root's.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/bin"];

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

    /// Runs it to its end; `Ok` holds success and what it printed (both streams, at most 256 KiB).
    ///
    /// Errors: not installed, not started, not ended in time (then it is killed, and left when that has no effect).
    pub fn run(self, arguments: &[&str], input: &str) -> Result<(bool, String), String> {
        let path = self.path()?;
        let (shown, wait) = (path.display(), self.wait_max());
        match program::run(&path, arguments, input.as_bytes(), wait) {
            Ok(ended) if ended.in_time => Ok((ended.success, String::from_utf8_lossy(&ended.output).into_owned())),
            Ok(_) => Err(format!("{shown} did not end within {} s and was stopped; run it yourself", wait.as_secs())),
            Err(e) => Err(format!("{shown}: {e}; run it yourself")),
        }
    }

    /// The same, where failure is an error with the last line that it printed.
    pub fn must(self, arguments: &[&str], input: &str) -> Result<String, String> {
        match self.run(arguments, input)? {
            (true, printed) => Ok(printed),
            (false, printed) => {
                let last = printed.trim().lines().last().unwrap_or("no message");
                Err(format!("{self:?} {}: {}", arguments.join(" "), printable(last.as_bytes(), 300)))
            }
        }
    }

    /// Everything that asks for an order waits for this one. Only what moves as many files as are named may take longer.
    fn wait_max(self) -> Duration {
        Duration::from_secs(if self == Program::Postsuper { 30 } else { 10 })
    }
}
