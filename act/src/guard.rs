//! The guards: what `act` never touches, whoever orders it. Compiled in, no switch turns them off.

use std::path::Path;

use model::AccountRef;
use sys::process::{Identity, Process};

use crate::config::Reach;

/// Uids below this are the system's (`UID_MIN` of login.defs everywhere we know).
const SYSTEM_UIDS_BELOW: u32 = 1000;
/// `nobody`, and the overflow uids of user namespaces and NFS.
const NOBODY: [u32; 3] = [65_534, 65_535, u32::MAX];
/// Programs of the node that answer for everybody, by base name; guarded when root owns the file.
const SERVERS: [&str; 13] = [
    "master", "exim", "exim4", "mysqld", "mariadbd", "postgres", "nginx", "apache2", "httpd", "sshd", "systemd",
    "dovecot", "crond",
];

/// What we are ourselves: processes of the same program or process group are never touched.
#[derive(Debug)]
pub struct Own(Identity);

impl Own {
    /// Reads it from the kernel.
    pub fn read() -> std::io::Result<Own> {
        Process::open(std::process::id())?.identity().map(Own)
    }
}

/// Whether an account may be restricted at all; the refusal ends with the next step.
pub fn account(reach: &Reach, account: &AccountRef) -> Result<(), String> {
    let uid = account.uid;
    if uid == 0 {
        return Err("uid 0 is root; look at the processes yourself, Hikeshi never touches root".into());
    }
    match reach {
        Reach::Uids(_) if uid < SYSTEM_UIDS_BELOW || NOBODY.contains(&uid) => {
            Err(format!("uid {uid} belongs to the system; a service is not an account, look at it yourself"))
        }
        Reach::Uids(uids) if !uids.contains(&uid) => Err(format!(
            "uid {uid} of {account} is outside of {} to {}; if it is a customer, extend the tenant uids in hikeshi.toml",
            uids.start(),
            uids.end()
        )),
        Reach::Uids(_) | Reach::Handed { .. } => Ok(()),
    }
}

/// Whether anything new may be imposed: not while the stop file is there, nor while nobody can tell.
pub fn armed(disarmed: &Path) -> Result<(), String> {
    match std::fs::symlink_metadata(disarmed) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(format!("disarmed ({} is there); `hikeshi arm` ends it", disarmed.display())),
        Err(e) => Err(format!("{} cannot be tested: {e}; nothing is done on a guess", disarmed.display())),
    }
}

/// Whether a process may be touched; the caller already knows that it is the one that was meant.
pub fn process(Own(own): &Own, account: &AccountRef, process: &Process, is: &Identity) -> Result<(), String> {
    let pid = is.pid;
    if pid <= 1 {
        return Err("pid 1 keeps the node running; it is never touched".into());
    }
    if pid == own.pid || is.group == own.group || (own.exe.is_some() && is.exe == own.exe) {
        return Err(format!("pid {pid} is Hikeshi itself; use `hikeshi disarm` to stop it"));
    }
    if is.uids.iter().any(|uid| *uid != account.uid) {
        return Err(format!(
            "pid {pid} runs with uids {:?}, not with {} of {account} alone; look at it yourself",
            is.uids, account.uid
        ));
    }
    match process.program() {
        Ok((path, owner)) if is_server(&path, owner) => {
            Err(format!("pid {pid} is {}, a server of the node; stop it through its own service", path.display()))
        }
        _ => Ok(()),
    }
}

/// A tenant can name his program `mysqld`, but he cannot make root own it in a system folder.
fn is_server(path: &Path, owner: u32) -> bool {
    let system = ["/usr/", "/opt/", "/lib/", "/sbin/", "/bin/"].iter().any(|folder| path.starts_with(folder));
    owner == 0 && system && SERVERS.contains(&sys::process::base_name(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(uid: u32) -> AccountRef {
        AccountRef { name: "alice".parse().unwrap(), uid, generation: 1 }
    }

    #[test]
    fn only_uids_in_reach_pass_and_root_and_system_never() {
        let all = Reach::Uids(0..=u32::MAX);
        for system in [0, 1, 33, 999, 65_534, u32::MAX] {
            assert!(account(&all, &uid(system)).is_err(), "{system}");
        }
        let some = Reach::Uids(20_001..=20_003);
        for (one, right) in [(20_000, false), (20_001, true), (20_003, true), (20_004, false)] {
            assert_eq!(account(&some, &uid(one)).is_ok(), right, "{one}");
        }
        assert!(account(&Reach::Handed { folder: "/".into() }, &uid(0)).is_err());
    }

    #[test]
    fn a_server_is_known_by_its_owner_and_a_tenant_cannot_borrow_its_name() {
        // The naive twin looks at the name alone: a miner called mysqld would be safe from us.
        let naive = |path: &Path| SERVERS.contains(&path.file_name().unwrap().to_str().unwrap());
        let planted = Path::new("/home/alice/www/uploads/mysqld");
        assert!(naive(planted) && !is_server(planted, 20_001));
        assert!(!is_server(Path::new("/usr/local/alice/mysqld"), 20_001));
        for server in ["/usr/lib/postfix/sbin/master", "/usr/sbin/mariadbd", "/usr/sbin/nginx (deleted)"] {
            assert!(is_server(Path::new(server), 0), "{server}");
        }
        assert!(!is_server(Path::new("/usr/bin/perl"), 0));
    }

    #[test]
    fn our_own_processes_are_never_touched() {
        let own = Own::read().unwrap();
        let me = Process::open(std::process::id()).unwrap();
        let is = me.identity().unwrap();
        assert!(process(&own, &uid(is.uids[0]), &me, &is).unwrap_err().contains("Hikeshi itself"));
        let init = Identity { pid: 1, ..is };
        assert!(process(&own, &uid(0), &me, &init).unwrap_err().contains("pid 1"));
    }
}
