//! Denies logins through the services' own deny lists, written anew from what is wanted; who is logged in stays so.
//!
//! ssh: a file of ours with `DenyUsers` (sshd_config(5)), tested by `sshd -t` before sshd is told to read it. FTP: the
//! list of pam_listfile(8) or of vsftpd's `userlist_file`, shared with the operator. Mail: the list of a `deny = yes`
//! passdb of Dovecot, a passwd-file of `user:` lines. In a shared list only what stands between our two marks is ours.

use std::collections::BTreeSet;
use std::mem::discriminant;

use model::{AccountRef, Login};
use sys::block::Block;
use sys::dir::Dir;
use sys::process::Process;

use crate::config::{LoginConfig, MailDeny, SshDeny, Steps};
use crate::program::Program;

const HEAD: &str = "# Accounts that Hikeshi keeps out. Written by Hikeshi; changes are lost.\n";
const MARKS: [&str; 2] =
    ["# Hikeshi: begin of its lines; changes between these two marks are lost", "# Hikeshi: end of its lines"];
/// Largest list, bytes.
const LIST_MAX: u64 = 4 << 20;

/// Who is denied which logins.
type Denied = [(AccountRef, Login)];

/// Each call looks at the services that it is about alone: one that is broken hinders only orders about it.
impl LoginConfig {
    /// Whether each service has a deny list that it reads, and no name would be a pattern in it.
    pub(crate) fn check(&self, account: &AccountRef, logins: &[Login]) -> Result<(), String> {
        if logins.is_empty() {
            return Err("no login was named; nothing to deny".into());
        }
        for login in logins {
            match login {
                Login::Shell => {
                    plain(account.name.as_str(), "*?@!,")?;
                    self.ssh()?.check()?;
                }
                Login::Ftp => {
                    plain(account.name.as_str(), "")?;
                    self.list(login)?.check().map_err(|e| e.to_string())?;
                }
                Login::Mail(user) => {
                    plain(user.as_str(), ":")?;
                    self.mail()?.check(self.list(login)?.check().map_err(|e| e.to_string())?)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the lists of the services of `about` deny exactly what is `wanted`, and the services read them.
    pub(crate) fn set(&self, wanted: &Denied, about: &[Login], steps: &mut Steps) -> Result<(), String> {
        about.iter().try_for_each(|login| match login {
            Login::Shell => self.ssh()?.set(&lines(wanted, login), steps),
            Login::Ftp | Login::Mail(_) => {
                self.list(login)?.set(&lines(wanted, login), steps).map_err(|e| e.to_string())
            }
        })
    }

    /// Whether the lists of the services of `about` say exactly what is `wanted`, and sshd would deny the account `of`.
    pub(crate) fn is_set(&self, wanted: &Denied, of: &AccountRef, about: &[Login]) -> Result<bool, String> {
        about.iter().try_fold(true, |set, login| {
            let lines = lines(wanted, login);
            let is = match login {
                Login::Shell => self.ssh()?.is_set(&lines, of.name.as_str())?,
                Login::Ftp | Login::Mail(_) => self.list(login)?.holds(&lines).map_err(|e| e.to_string())?,
            };
            Ok(set && is)
        })
    }

    fn ssh(&self) -> Result<&SshDeny, String> {
        self.ssh.as_ref().ok_or("ssh logins cannot be denied here; set [login] ssh_deny".into())
    }

    fn mail(&self) -> Result<&MailDeny, String> {
        self.mail.as_ref().ok_or("mail logins cannot be denied here; set [login] mail_deny".into())
    }

    /// The list that the service of this login shares with the operator.
    fn list(&self, login: &Login) -> Result<Block, String> {
        let path = match login {
            Login::Mail(_) => &self.mail()?.list,
            _ => self.ftp.as_ref().ok_or("FTP logins cannot be denied here; set [login] ftp_deny")?,
        };
        Block::open(path, MARKS, LIST_MAX).map_err(|e| format!("{}: {e}; correct [login]", path.display()))
    }
}

/// The types have no such signs; this holds when they change.
fn plain(name: &str, signs: &str) -> Result<(), String> {
    let wrong = |c: char| !c.is_ascii_graphic() || c == '#' || signs.contains(c);
    match name.is_empty() || name.contains(wrong) {
        false => Ok(()),
        true => Err(format!("{name:?} would be read as a pattern or as another line; deny this login by hand")),
    }
}

/// What is wanted of the service of this login, as lines of its list.
fn lines(wanted: &Denied, of: &Login) -> String {
    let lines = wanted.iter().filter(|(_, login)| discriminant(login) == discriminant(of));
    let lines = lines.flat_map(|(account, login)| match login {
        Login::Shell => vec![format!("DenyUsers {account}\n")],
        Login::Ftp => vec![format!("{account}\n")],
        // Dovecot looks for the name in lower case (`auth_username_format`, `%Lu`), unless it is told otherwise.
        Login::Mail(user) => vec![format!("{user}:\n"), format!("{}:\n", user.as_str().to_ascii_lowercase())],
    });
    lines.collect::<BTreeSet<_>>().into_iter().collect()
}

impl SshDeny {
    fn check(&self) -> Result<(), String> {
        self.folder()?;
        self.listener()?;
        self.sshd(&["-t"]).map(drop)
    }

    fn set(&self, lines: &str, steps: &mut Steps) -> Result<(), String> {
        let (folder, name) = self.folder()?;
        let written = match lines {
            "" => folder.unlink(name).map(drop),
            lines => folder.replace(name, format!("{HEAD}{lines}").as_bytes(), 0o600),
        };
        written.map_err(|e| format!("{}: {e}; check free space", self.list.display()))?;
        steps("login: ssh list written");
        // With a configuration that is wrong elsewhere sshd would end instead of reading it.
        self.sshd(&["-t"])?;
        steps("login: ssh list tested");
        if let Some(sshd) = self.listener()? {
            sshd.reload().map_err(|e| format!("sshd was not told to read its configuration: {e}; reload it"))?;
        }
        steps("login: sshd told");
        Ok(())
    }

    /// Whether the file says this, and sshd would deny this name.
    fn is_set(&self, lines: &str, name: &str) -> Result<bool, String> {
        let (folder, file) = self.folder()?;
        let read = folder.read(file, LIST_MAX).map_err(|e| format!("{}: {e}", self.list.display()))?;
        if read.is_none_or(|text| text != format!("{HEAD}{lines}").as_bytes()) {
            return Ok(false);
        }
        let shown = self.sshd(&["-T", "-C", &format!("user={name},host=localhost,addr=127.0.0.1")])?;
        let mut denied = shown.lines().filter_map(|line| line.strip_prefix("denyusers "));
        match denied.any(|line| line.split_whitespace().any(|one| one == name)) {
            true => Ok(true),
            false => Err(format!(
                "sshd would still let {name} in; put `Include {}` before the first Match of {}, and DenyUsers into no \
                 Match",
                self.list.display(),
                self.config.display()
            )),
        }
    }

    fn folder(&self) -> Result<(Dir, &str), String> {
        Dir::of_own(&self.list).map_err(|e| format!("{}: {e}; correct [login] ssh_deny", self.list.display()))
    }

    fn sshd(&self, arguments: &[&str]) -> Result<String, String> {
        let config = self.config.display().to_string();
        let printed = Program::Sshd.must(&[arguments, &["-f", &config]].concat(), "");
        printed.map_err(|why| format!("sshd does not accept its configuration: {why}; correct {config}"))
    }

    /// The sshd that listens; `None`: none does, and it reads its configuration when it starts.
    fn listener(&self) -> Result<Option<Process>, String> {
        let error = |e| format!("{}: {e}; restart sshd, or correct [login] ssh_pid", self.pid_file.display());
        sys::process::server(&self.pid_file, "sshd").map_err(error)
    }
}

impl MailDeny {
    /// `mode`: of the list.
    fn check(&self, mode: u32) -> Result<(), String> {
        let (list, config) = (self.list.display().to_string(), self.config.display().to_string());
        if mode & 0o044 == 0 {
            return Err(format!("Dovecot's auth process cannot read {list}; chgrp dovecot, chmod 640"));
        }
        if Program::Doveconf.path().is_err() {
            return Ok(());
        }
        let ask = |what: &[&str]| {
            let printed = Program::Doveconf.must(&[&["-c", &config], what].concat(), "");
            printed.map_err(|why| format!("doveconf does not accept {config}: {why}; correct it"))
        };
        if !first_denies(&ask(&["-n", "passdb"])?, &list) {
            return Err(format!(
                "the first passdb in {config} does not deny those of {list}; put `passdb {{ driver = passwd-file \
                 deny = yes args = {list} }}` before the others and reload Dovecot"
            ));
        }
        match ask(&["-h", "auth_cache_size"])?.trim() {
            "0" => Ok(()),
            size => {
                Err(format!("Dovecot remembers who may log in (auth_cache_size = {size}); set it to 0 in {config}"))
            }
        }
    }
}

/// Whether doveconf's first passdb block is a `deny = yes` one that names this list: Dovecot asks them in this order.
fn first_denies(printed: &str, list: &str) -> bool {
    let lines = printed.lines().map(str::trim).skip_while(|line| !line.starts_with("passdb"));
    let first: Vec<&str> = lines.skip(1).take_while(|line| *line != "}").collect();
    let named =
        |line: &&str| line.split_once('=').is_some_and(|(_, value)| value.split_whitespace().last() == Some(list));
    first.contains(&"deny = yes") && first.iter().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_a_pattern_is_refused() {
        for name in ["*", "a?b", "a@10.0.0.1", "!root", "a b", "a\nb", "a,b", "", "#a", "a\0"] {
            assert!(plain(name, "*?@!,").is_err(), "{name:?}");
        }
        assert!(plain("alice.b-1_", "*?@!,").is_ok() && plain("info@example.jp", ":").is_ok());
    }

    #[test]
    fn only_a_first_passdb_that_denies_counts() {
        let deny = "passdb {\n  args = /etc/dovecot/deny\n  deny = yes\n  driver = passwd-file\n}\n";
        let pam = "passdb {\n  driver = pam\n}\n";
        assert!(first_denies(&format!("{deny}{pam}"), "/etc/dovecot/deny"));
        for wrong in [format!("{pam}{deny}"), deny.replace("yes", "no"), deny.replace("/deny", "/deny2"), pam.into()] {
            assert!(!first_denies(&wrong, "/etc/dovecot/deny"), "{wrong}");
        }
    }
}
