//! Denies logins through the services' own deny lists, written anew from what is wanted; who is logged in stays so.
//!
//! ssh: a file of ours with `DenyUsers` (sshd_config(5)), tested by `sshd -t` before sshd is told to read it. FTP: the
//! list of pam_listfile(8) or of vsftpd's `userlist_file`, shared with the operator. Mail: the list of a `deny = yes`
//! passdb of Dovecot, a passwd-file of `user:` lines. In a shared list only what stands between our two marks is ours;
//! it stands first, so that the rest comes back to the byte, with or without a newline at its end.

use std::path::{Path, PathBuf};

use model::{AccountRef, Login};
use sys::dir::Dir;
use sys::process::Process;
use sys::swap::Shared;

use crate::config::{LoginConfig, MailDeny, SshDeny, Steps};
use crate::program::Program;

const HEAD: &str = "# Accounts that Hikeshi keeps out. Written by Hikeshi; changes are lost.\n";
const BEGIN: &str = "# Hikeshi: begin of its lines; changes between these two marks are lost";
const END: &str = "# Hikeshi: end of its lines";
/// Largest list, bytes.
const LIST_MAX: u64 = 4 << 20;
/// Tries against somebody who changes a list all the time.
const TRIES: u32 = 32;

/// The deny lists.
#[derive(Debug)]
pub struct Logins {
    config: LoginConfig,
}

impl Logins {
    /// Looks at nothing yet: a service that is broken hinders only orders about it.
    pub fn new(config: &LoginConfig) -> Logins {
        Logins { config: config.clone() }
    }

    /// Whether each service has a deny list that it reads, and no name would be a pattern in it.
    pub fn check(&self, account: &AccountRef, logins: &[Login]) -> Result<(), String> {
        if logins.is_empty() {
            return Err("no login was named; nothing to deny".into());
        }
        for login in logins {
            match login {
                Login::Shell => plain(account.name.as_str(), "*?@!,").and_then(|()| self.ssh()?.check())?,
                Login::Ftp => {
                    plain(account.name.as_str(), "").and_then(|()| List::open(self.ftp()?)?.check().map(drop))?
                }
                Login::Mail(user) => plain(user.as_str(), ":").and_then(|()| self.mail()?.check())?,
            }
        }
        Ok(())
    }

    /// Makes the lists of the services of `about` deny exactly what is `wanted`, the services read them, and tests it.
    pub fn set(&self, wanted: &[(AccountRef, Login)], about: &[Login], steps: &mut Steps) -> Result<(), String> {
        if about.contains(&Login::Shell) {
            self.ssh()?.set(&shells(wanted), steps)?;
        }
        if about.contains(&Login::Ftp) {
            List::open(self.ftp()?)?.set(&ftps(wanted), steps)?;
        }
        if about.iter().any(|login| matches!(login, Login::Mail(_))) {
            List::open(&self.mail()?.list)?.set(&mailboxes(wanted), steps)?;
        }
        Ok(())
    }

    /// Whether the lists say exactly this.
    pub fn is_set(&self, wanted: &[(AccountRef, Login)]) -> Result<bool, String> {
        let (shells, ftps, mailboxes) = (shells(wanted), ftps(wanted), mailboxes(wanted));
        let is = |names: &[String], is: &dyn Fn() -> Result<bool, String>| match is() {
            Err(_) if names.is_empty() => Ok(true), // nobody asks this service for anything
            other => other,
        };
        Ok(is(&shells, &|| self.ssh()?.is_set(&shells))?
            && is(&ftps, &|| List::open(self.ftp()?)?.is_set(&ftps))?
            && is(&mailboxes, &|| List::open(&self.mail()?.list)?.is_set(&mailboxes))?)
    }

    fn ssh(&self) -> Result<&SshDeny, String> {
        self.config.ssh.as_ref().ok_or("ssh logins cannot be denied here; set [login] ssh_deny".into())
    }

    fn ftp(&self) -> Result<&Path, String> {
        self.config.ftp.as_deref().ok_or("FTP logins cannot be denied here; set [login] ftp_deny".into())
    }

    fn mail(&self) -> Result<&MailDeny, String> {
        self.config.mail.as_ref().ok_or("mail logins cannot be denied here; set [login] mail_deny".into())
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

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn shells(wanted: &[(AccountRef, Login)]) -> Vec<String> {
    sorted(wanted.iter().filter(|(_, login)| *login == Login::Shell).map(|(account, _)| account.to_string()))
}

fn ftps(wanted: &[(AccountRef, Login)]) -> Vec<String> {
    sorted(wanted.iter().filter(|(_, login)| *login == Login::Ftp).map(|(account, _)| account.to_string()))
}

/// As written and in lower case, because Dovecot looks for the latter (`auth_username_format`, `%Lu`).
fn mailboxes(wanted: &[(AccountRef, Login)]) -> Vec<String> {
    let users = wanted.iter().filter_map(|(_, login)| match login {
        Login::Mail(user) => Some(user.as_str()),
        _ => None,
    });
    sorted(users.flat_map(|user| [format!("{user}:"), format!("{}:", user.to_ascii_lowercase())]))
}

fn folder_of(path: &Path) -> Result<(Dir, &str), String> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(format!("{} is no file name; correct [login]", path.display()));
    };
    Ok((Dir::open_own(folder).map_err(|e| format!("{}: {e}; correct [login]", folder.display()))?, name))
}

impl SshDeny {
    fn check(&self) -> Result<(), String> {
        folder_of(&self.list)?;
        self.listener()?;
        self.is_right()
    }

    fn set(&self, names: &[String], steps: &mut Steps) -> Result<(), String> {
        let (folder, name) = folder_of(&self.list)?;
        let written = match text(names) {
            Some(text) => folder.replace(name, text.as_bytes(), 0o600),
            None => folder.unlink(name).map(drop),
        };
        written.map_err(|e| format!("{}: {e}; check free space", self.list.display()))?;
        steps("login: ssh list written");
        // With a configuration that is wrong elsewhere sshd would end instead of reading it.
        self.is_right()?;
        for name in names {
            let who = format!("user={name},host=localhost,addr=127.0.0.1");
            let shown = self.sshd(&["-T", "-C", &who])?;
            let mut denied = shown.lines().filter_map(|line| line.strip_prefix("denyusers "));
            if !denied.any(|line| line.split_whitespace().any(|one| one == name)) {
                return Err(format!(
                    "sshd would still let {name} in; put `Include {}` before the first Match of {}, and DenyUsers into \
                     no Match",
                    self.list.display(),
                    self.config.display()
                ));
            }
        }
        steps("login: sshd would deny");
        if let Some(sshd) = self.listener()? {
            sshd.reload().map_err(|e| format!("sshd was not told to read its configuration: {e}; reload it"))?;
        }
        steps("login: sshd told");
        Ok(())
    }

    fn is_set(&self, names: &[String]) -> Result<bool, String> {
        let (folder, name) = folder_of(&self.list)?;
        let read = folder.read(name, LIST_MAX).map_err(|e| format!("{}: {e}", self.list.display()))?;
        Ok(read == text(names).map(String::into_bytes))
    }

    fn is_right(&self) -> Result<(), String> {
        self.sshd(&["-t"]).map(drop)
    }

    fn sshd(&self, arguments: &[&str]) -> Result<String, String> {
        let config = self.config.to_str().ok_or("the path of sshd's configuration is not UTF-8; correct [login]")?;
        let (success, printed) = Program::Sshd.run(&[arguments, &["-f", config]].concat(), "")?;
        match success {
            true => Ok(printed),
            false => {
                let last = model::evidence::printable(printed.trim().lines().last().unwrap_or("").as_bytes(), 300);
                Err(format!("sshd does not accept its configuration: {last}; correct {config}"))
            }
        }
    }

    /// The sshd that listens; `None`: none does, and it reads its configuration when it starts.
    fn listener(&self) -> Result<Option<Process>, String> {
        let shown = self.pid_file.display();
        if !self.pid_file.exists() {
            return Ok(None);
        }
        let (folder, name) = folder_of(&self.pid_file)?;
        let text = folder.read(name, 64).map_err(|e| format!("{shown}: {e}; correct [login] ssh_pid"))?;
        let pid = String::from_utf8_lossy(&text.unwrap_or_default()).trim().parse::<u32>();
        let pid = pid.map_err(|_| format!("{shown} holds no process id; correct [login] ssh_pid"))?;
        let Ok(process) = Process::open(pid) else { return Ok(None) };
        let (path, owner) = process.program().map_err(|e| format!("pid {pid}: {e}; restart sshd"))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("").trim_end_matches(" (deleted)");
        match owner == 0 && name == "sshd" {
            true => Ok(Some(process)),
            false => Err(format!("pid {pid} of {shown} is {}, not sshd; restart sshd", path.display())),
        }
    }
}

/// The file that sshd includes; `None` when nobody is denied.
fn text(names: &[String]) -> Option<String> {
    let lines = names.iter().map(|name| format!("DenyUsers {name}\n"));
    (!names.is_empty()).then(|| HEAD.to_owned() + &lines.collect::<String>())
}

impl MailDeny {
    fn check(&self) -> Result<(), String> {
        let list = List::open(&self.list)?;
        let shown = self.list.display();
        let mode = list.check()?;
        if mode & 0o044 == 0 {
            return Err(format!("Dovecot's auth process cannot read {shown}; chgrp dovecot, chmod 640"));
        }
        let config = self.config.to_str().ok_or("the path of dovecot.conf is not UTF-8; correct [login]")?;
        if !Program::Doveconf.is_there() {
            return Ok(());
        }
        let ask = |what: &[&str]| match Program::Doveconf.run(&[&["-c", config], what].concat(), "")? {
            (true, printed) => Ok(printed),
            (false, _) => Err(format!("doveconf does not accept {config}; correct it")),
        };
        if !first_denies(&ask(&["-n", "passdb"])?, &shown.to_string()) {
            return Err(format!(
                "the first passdb in {config} does not deny those of {shown}; put `passdb {{ driver = passwd-file \
                 deny = yes args = {shown} }}` before the others and reload Dovecot"
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

/// A list of one name a line that is the operator's, but for what stands between our marks.
struct List {
    folder: Dir,
    path: PathBuf,
    name: String,
    spare: String,
}

impl List {
    fn open(path: &Path) -> Result<List, String> {
        let (folder, name) = folder_of(path)?;
        Ok(List { folder, path: path.to_owned(), name: name.to_owned(), spare: format!(".hikeshi-{name}") })
    }

    /// The mode of a list that is there, that nobody else can change and whose marks are whole.
    fn check(&self) -> Result<u32, String> {
        let seen = self.read()?;
        parts(&seen.bytes).ok_or_else(|| self.damaged())?;
        match seen.stat.st_uid == rustix::process::geteuid().as_raw() && seen.stat.st_mode & 0o022 == 0 {
            true => Ok(seen.stat.st_mode),
            false => Err(format!("{} can be changed by others; chown root, chmod go-w", self.path.display())),
        }
    }

    fn set(&self, names: &[String], steps: &mut Steps) -> Result<(), String> {
        let error = |e: std::io::Error| format!("{}: {e}; check free space and rights", self.path.display());
        let rest = |bytes: &[u8]| parts(bytes).map_or(bytes.to_vec(), |(before, _, after)| [before, after].concat());
        self.shared().settle(&|one, other| rest(one) == rest(other)).map_err(error)?;
        for _ in 0..TRIES {
            let seen = self.read()?;
            let (before, ours, after) = parts(&seen.bytes).ok_or_else(|| self.damaged())?;
            let wanted = block(names);
            if ours == wanted.as_bytes() {
                return Ok(());
            }
            let bytes = [before, wanted.as_bytes(), after].concat();
            if self.shared().swap(seen, &bytes, None, steps).map_err(error)? {
                steps("login: list written");
                return Ok(());
            }
        }
        Err(format!("{} changes faster than we can write; try again", self.path.display()))
    }

    fn is_set(&self, names: &[String]) -> Result<bool, String> {
        Ok(parts(&self.read()?.bytes).is_some_and(|(_, ours, _)| ours == block(names).as_bytes()))
    }

    fn read(&self) -> Result<sys::swap::Seen, String> {
        let shown = self.path.display();
        let seen = self.shared().read().map_err(|e| format!("{shown}: {e}; look at it yourself"))?;
        seen.ok_or_else(|| format!("{shown} is not there; make it, and see that the service reads it"))
    }

    fn shared(&self) -> Shared<'_> {
        Shared { dir: &self.folder, name: &self.name, spare: &self.spare, bytes_max: LIST_MAX }
    }

    fn damaged(&self) -> String {
        format!("our marks in {} are damaged; remove the lines `# Hikeshi: …` by hand", self.path.display())
    }
}

fn block(names: &[String]) -> String {
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    if names.is_empty() { lines } else { format!("{BEGIN}\n{lines}{END}\n") }
}

/// What stands before our lines, they with their marks, and what stands after them. `None`: one mark, or two of one.
fn parts(list: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (mut at, mut begins, mut ends) = (0, Vec::new(), Vec::new());
    for line in list.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n").unwrap_or(line) {
            text if text == BEGIN.as_bytes() => begins.push(at),
            text if text == END.as_bytes() => ends.push(at + line.len()),
            _ => {}
        }
        at += line.len();
    }
    match (begins.as_slice(), ends.as_slice()) {
        ([], []) => Some((b"", b"", list)),
        ([begin], [end]) if begin < end => Some((&list[..*begin], &list[*begin..*end], &list[*end..])),
        _ => None,
    }
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

    #[test]
    fn the_operators_part_of_a_list_is_the_rest_to_the_byte() {
        for rest in ["", "root\nbin", "# x\n\nroot\r\n", "\u{0}\n"] {
            let whole = block(&["alice".into()]) + rest;
            let (before, ours, after) = parts(whole.as_bytes()).unwrap();
            assert_eq!((before, after), (&b""[..], rest.as_bytes()));
            assert_eq!(ours, block(&["alice".into()]).as_bytes());
        }
        for damaged in [format!("{BEGIN}\na\n"), format!("{END}\n"), format!("{END}\n{BEGIN}\n")] {
            assert_eq!(parts(damaged.as_bytes()), None, "{damaged}");
        }
    }
}
