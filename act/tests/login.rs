//! Logins denied and allowed again: lists to the byte, death at every step, with real sshd, vsftpd and Dovecot.

#[path = "node/death.rs"]
mod death;
mod node;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use act::{MailDeny, SshDeny};
use model::{AccountRef, Login, Measure, Restriction};
use node::*;

const TENANT: u32 = 20_222;

fn tenant() -> AccountRef {
    account("hklogin", TENANT)
}

fn deny(serial: u16, logins: &[Login]) -> Restriction {
    restriction(serial, 0, Measure::BlockLogin { logins: logins.to_vec() })
}

fn mailbox(name: &str) -> Login {
    Login::Mail(name.parse().unwrap())
}

fn put(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// One test after the other: a child of another test that is just being started has our locks for a moment.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// The bytes, owner, mode.
fn facts(path: &Path) -> (Vec<u8>, u32, u32, u32) {
    let meta = path.metadata().unwrap();
    (std::fs::read(path).unwrap(), meta.mode(), meta.uid(), meta.gid())
}

/// A node with lists of all three services below its folder; `operators` is the operator's part of the FTP list.
fn login_node(operators: &str) -> Option<Node> {
    if !is_root() {
        skipped("services and their lists are root's");
        return None;
    }
    for (program, what) in [("/usr/sbin/sshd", "openssh-server"), ("/usr/bin/doveconf", "dovecot-core")] {
        if !Path::new(program).exists() {
            skipped(&format!("{what} is not installed"));
            return None;
        }
    }
    // What the service's unit makes; `sshd -t` asks for it too.
    std::fs::create_dir_all("/run/sshd").unwrap();
    let mut node = Node::new();
    let at = |name: &str| node.folder.path().join(name);
    put(&at("ftp/ftpusers"), operators, 0o640);
    put(&at("mail/deny"), "", 0o640);
    let dovecot = std::fs::read_to_string("/etc/group").unwrap();
    let dovecot = dovecot.lines().find_map(|line| line.strip_prefix("dovecot:x:")?.split(':').next()?.parse().ok());
    chown(at("mail/deny"), None, dovecot).unwrap();
    let key = at("ssh/host_key");
    std::fs::create_dir_all(at("ssh/conf.d")).unwrap();
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let ssh = format!(
        "Include {}/*.conf\nPort 21201\nListenAddress 127.0.0.1\nHostKey {}\nPidFile {}\nUsePAM no\n\
         PasswordAuthentication no\nAuthorizedKeysFile {}/%u.keys\nStrictModes no\n",
        at("ssh/conf.d").display(),
        key.display(),
        at("ssh/pid").display(),
        at("ssh").display(),
    );
    put(&at("ssh/sshd_config"), &ssh, 0o644);
    let mail = format!(
        "base_dir = {0}/run\nlog_path = {0}/log\nprotocols = imap\nlisten = 127.0.0.1\nssl = no\n\
         disable_plaintext_auth = no\nauth_failure_delay = 0\nmail_location = maildir:{0}/box/%u\n\
         passdb {{\n driver = passwd-file\n deny = yes\n args = {0}/deny\n}}\n\
         passdb {{\n driver = passwd-file\n args = {0}/users\n}}\n\
         userdb {{\n driver = static\n args = uid={TENANT} gid={TENANT} home={0}/box/%u\n}}\n\
         service imap-login {{\n inet_listener imap {{\n port = 21203\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n\
         service anvil {{\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\n",
        at("mail").display()
    );
    put(&at("mail/dovecot.conf"), &mail, 0o644);
    node.config.logins = act::LoginConfig {
        ssh: Some(SshDeny {
            list: at("ssh/conf.d/hikeshi.conf"),
            config: at("ssh/sshd_config"),
            pid_file: at("ssh/pid"),
        }),
        ftp: Some(at("ftp/ftpusers")),
        mail: Some(MailDeny { list: at("mail/deny"), config: at("mail/dovecot.conf") }),
    };
    Some(node)
}

fn ssh_list(node: &Node) -> String {
    std::fs::read_to_string(node.folder.path().join("ssh/conf.d/hikeshi.conf")).unwrap_or_default()
}

fn all_three() -> Vec<Login> {
    vec![Login::Shell, Login::Ftp, mailbox("Info@Example.jp")]
}

#[test]
fn lists_say_what_is_wanted_and_come_back_to_the_byte() {
    let _alone = alone();
    for operators in ["", "# system\nroot\nbin", "root\r\n\nbin\n"] {
        let Some(node) = login_node(operators) else { return };
        let at = |name: &str| node.folder.path().join(name);
        let before = (facts(&at("ftp/ftpusers")), facts(&at("mail/deny")));
        let mut actor = node.open();
        let (one, two) = (deny(1, &all_three()), deny(2, &[Login::Ftp]));
        let what = done(actor.handle(impose(1, &tenant(), &one, &[])));
        assert!(what.contains("who is logged in stays so"), "{what}");
        done(actor.handle(impose(2, &tenant(), &two, &[])));
        assert!(ssh_list(&node).ends_with("\nDenyUsers hklogin\n"));
        let ftp = std::fs::read_to_string(at("ftp/ftpusers")).unwrap();
        assert!(ftp.contains("\nhklogin\n") && ftp.ends_with(operators), "{ftp}");
        let mail = std::fs::read_to_string(at("mail/deny")).unwrap();
        assert!(mail.contains("\nInfo@Example.jp:\ninfo@example.jp:\n"), "{mail}");
        assert!(in_force(&mut actor).iter().all(|(_, holds, _)| *holds));
        // A second incident keeps the FTP login denied; the others open.
        done(actor.handle(lift(3, &tenant(), &one, false)));
        assert_eq!((ssh_list(&node).as_str(), facts(&at("mail/deny"))), ("", before.1.clone()));
        assert_eq!(std::fs::read_to_string(at("ftp/ftpusers")).unwrap(), ftp);
        // What the operator writes meanwhile stays; drift in our part is seen and repaired.
        std::fs::write(at("ftp/ftpusers"), ftp.replace("hklogin\n", "") + "\ngames\n").unwrap();
        assert!(!in_force(&mut actor)[0].1);
        assert!(done(actor.handle(impose(2, &tenant(), &two, &[]))).contains("repaired"));
        done(actor.handle(lift(4, &tenant(), &two, false)));
        let after = facts(&at("ftp/ftpusers"));
        assert_eq!(after, ([operators.as_bytes(), b"\ngames\n"].concat(), before.0.1, before.0.2, before.0.3));
        assert_eq!(std::fs::read_dir(at("ftp")).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(at("ssh/conf.d")).unwrap().count(), 0);
    }
}

#[test]
fn a_list_that_the_service_does_not_read_is_refused_with_the_next_step() {
    let _alone = alone();
    let Some(node) = login_node("root\n") else { return };
    let at = |name: &str| node.folder.path().join(name);
    let intents = std::cell::Cell::new(0);
    let refused = |logins: &[Login], said: &str| {
        intents.set(intents.get() + 1);
        let why = failed(node.open().handle(impose(intents.get(), &tenant(), &deny(1, logins), &[]))).to_string();
        assert!(why.contains(said), "{said}: {why}");
        assert_eq!(ssh_list(&node), "");
    };
    let changed = |name: &str, from: &str, to: &str, logins: &[Login], said: &str| {
        let text = std::fs::read_to_string(at(name)).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(at(name), text.replace(from, to)).unwrap();
        refused(logins, said);
        std::fs::write(at(name), text).unwrap();
    };
    let mail = [mailbox("a@b.jp")];
    refused(&[], "no login was named");
    changed("ssh/sshd_config", "Include", "#Include", &[Login::Shell], "put `Include");
    let ssh = std::fs::read_to_string(at("ssh/sshd_config")).unwrap();
    let (include, rest) = ssh.split_once('\n').unwrap();
    let for_bob = format!("{rest}Match User bob\n{include}\n");
    changed("ssh/sshd_config", &ssh, &for_bob, &[Login::Shell], "before the first Match");
    changed("ssh/sshd_config", "Port 21201", "Prot 21201", &[Login::Shell], "does not accept its configuration");
    changed(
        "ssh/sshd_config",
        "StrictModes no",
        "Match User hk*\nDenyUsers bob",
        &[Login::Shell],
        "still let hklogin in",
    );
    changed("mail/dovecot.conf", " deny = yes\n", "", &mail, "the first passdb");
    changed("mail/dovecot.conf", "ssl = no", "auth_cache_size = 1M", &mail, "auth_cache_size = 1");
    changed("ftp/ftpusers", "root", "# Hikeshi: end of its lines", &[Login::Ftp], "are damaged");
    std::fs::set_permissions(at("mail/deny"), PermissionsExt::from_mode(0o600)).unwrap();
    refused(&mail, "chgrp dovecot");
    std::fs::set_permissions(at("ftp/ftpusers"), PermissionsExt::from_mode(0o666)).unwrap();
    refused(&[Login::Ftp], "chmod go-w");
    std::fs::remove_file(at("ftp/ftpusers")).unwrap();
    refused(&[Login::Ftp], "is not there");
    let mut bare = Node::new();
    bare.config.logins = act::LoginConfig::default();
    for (login, said) in [(Login::Shell, "ssh_deny"), (Login::Ftp, "ftp_deny"), (mail[0].clone(), "mail_deny")] {
        let why = failed(bare.open().handle(impose(1, &tenant(), &deny(1, &[login]), &[]))).to_string();
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn an_ssh_login_is_given_back_also_when_sshd_no_longer_denies_another_one() {
    let _alone = alone();
    let Some(node) = login_node("") else { return };
    let mut actor = node.open();
    let other = account("hkother", TENANT + 1);
    let (one, two) = (deny(1, &[Login::Shell]), deny(2, &[Login::Shell]));
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    done(actor.handle(impose(2, &other, &two, &[])));
    // For the other account a Match of the operator hides our file.
    let config = node.folder.path().join("ssh/sshd_config");
    let text = std::fs::read_to_string(&config).unwrap();
    put(&config, &format!("{text}Match User hkother\nDenyUsers bob\n"), 0o644);
    let told = in_force(&mut actor);
    assert!(
        told.iter().all(|(id, holds, why)| *holds == (*id == one.id) && *holds != why.contains("hkother")),
        "{told:?}"
    );
    done(actor.handle(lift(3, &tenant(), &one, false)));
    assert!(ssh_list(&node).ends_with("\nDenyUsers hkother\n"));
    assert!(ssh_list(&node).lines().filter(|line| line.starts_with("DenyUsers")).count() == 1);
    let told = in_force(&mut actor);
    assert!(
        matches!(&told[..], [(id, false, why)] if *id == two.id && why.contains("still let hkother in")),
        "{told:?}"
    );
    done(actor.handle(lift(4, &other, &two, false)));
    assert_eq!(ssh_list(&node), "");
}

#[test]
fn only_sshd_is_told_to_read_its_configuration_where_the_naive_twin_ends_a_stranger() {
    let _alone = alone();
    let Some(node) = login_node("") else { return };
    let mut stranger = sleeper(TENANT);
    let pid = stranger.0.id();
    std::fs::write(node.folder.path().join("ssh/pid"), format!("{pid}\n")).unwrap();
    let why = failed(node.open().handle(impose(1, &tenant(), &deny(1, &[Login::Shell]), &[]))).to_string();
    assert!(why.contains("not sshd; restart sshd"), "{why}");
    assert!(stranger.0.try_wait().unwrap().is_none());
    let naive = std::fs::read_to_string(node.folder.path().join("ssh/pid")).unwrap();
    assert!(Command::new("kill").args(["-HUP", naive.trim()]).status().unwrap().success());
    eventually("the twin ended a stranger", || stranger.0.try_wait().unwrap().is_some());
}

#[test]
fn death_at_any_step_leaves_the_logins_denied_or_allowed() {
    let _alone = alone();
    for lifting in [false, true] {
        for n in 1.. {
            let Some(node) = login_node("root") else { return };
            let at = |name: &str| node.folder.path().join(name);
            let before = (facts(&at("ftp/ftpusers")), facts(&at("mail/deny")));
            let one = deny(1, &all_three());
            let order = impose(1, &tenant(), &one, &[]);
            if lifting {
                done(node.open().handle(order.clone()));
            }
            let packet = if lifting { lift(2, &tenant(), &one, false) } else { order };
            if death::die_after(&node, n, &packet, |_| ()).is_none() {
                assert!(n > 10, "the hook was never called");
                break;
            }
            death::die_while_opening(&node);
            let mut actor = node.open();
            let denied = || {
                let ftp = std::fs::read_to_string(at("ftp/ftpusers")).unwrap().contains("hklogin");
                let mail = std::fs::read_to_string(at("mail/deny")).unwrap().contains("info@example.jp:");
                let all = [ssh_list(&node).contains("DenyUsers hklogin"), ftp, mail];
                assert!(all.iter().all(|one| *one == all[0]), "half denied after step {n}: {all:?}");
                all[0]
            };
            let held = in_force(&mut actor);
            assert_eq!(denied(), !held.is_empty(), "step {n}, lifting {lifting}");
            assert!(held.iter().all(|(_, holds, _)| *holds), "step {n}: {held:?}");
            done(actor.handle(packet));
            assert_eq!(denied(), !lifting, "sent again after step {n}");
            done(actor.handle(lift(3, &tenant(), &one, false)));
            assert_eq!((facts(&at("ftp/ftpusers")), facts(&at("mail/deny"))), before, "step {n}");
            assert_eq!(std::fs::read_dir(at("ftp")).unwrap().count(), 1, "step {n}");
        }
    }
}

/// A service in a mount namespace in which two test users exist: none of them is on the machine.
fn service(node: &Node, script: &str) -> Option<Sleeper> {
    let root = node.folder.path();
    let hash = Command::new("openssl").args(["passwd", "-6", "-salt", "hk", "secret-1"]).output();
    let Some(hash) = hash.ok().filter(|out| out.status.success()) else {
        skipped("openssl makes no password hash");
        return None;
    };
    let hash = String::from_utf8(hash.stdout).unwrap();
    let mut lists = [("passwd", 0o644), ("shadow", 0o600)]
        .map(|(name, mode)| (root.join(name), std::fs::read_to_string(format!("/etc/{name}")).unwrap(), mode));
    for (name, uid) in [("hklogin", TENANT), ("hkother", TENANT + 1)] {
        lists[0].1 += &format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", root.join("ssh").display());
        lists[1].1 += &format!("{name}:{}:19000:0:99999:7:::\n", hash.trim());
    }
    lists.iter().for_each(|(path, text, mode)| put(path, text, *mode));
    let pam = root.join("pam.d");
    std::fs::create_dir_all(&pam).unwrap();
    for file in std::fs::read_dir("/etc/pam.d").unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), pam.join(file.file_name())).unwrap();
    }
    let mounts = format!(
        "set -e; cd {}; mount --bind passwd /etc/passwd; mount --bind shadow /etc/shadow; \
         mount --bind pam.d /etc/pam.d; {script}",
        root.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &mounts]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Sleeper(command.spawn().unwrap()))
}

#[test]
fn a_real_sshd_refuses_who_is_denied_and_lets_him_in_again() {
    let _alone = alone();
    let Some(node) = login_node("") else { return };
    let at = |name: &str| node.folder.path().join(name);
    let key = at("ssh/client");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    for user in ["hklogin", "hkother"] {
        std::fs::copy(at("ssh/client.pub"), at(&format!("ssh/{user}.keys"))).unwrap();
    }
    let Some(mut sshd) = service(&node, "exec /usr/sbin/sshd -D -f $PWD/ssh/sshd_config -E $PWD/ssh/log") else {
        return;
    };
    let ssh = |user: &str, command: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-p", "21201", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-i"]).arg(&key);
        ssh.args([&format!("{user}@127.0.0.1"), command]);
        ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ssh
    };
    let enters = |user: &str| ssh(user, "true").status().unwrap().success();
    eventually("sshd lets the account in", || enters("hklogin"));
    let mut session = Sleeper(ssh("hklogin", "touch /tmp/hk-21201; sleep 60").spawn().unwrap());
    eventually("a session is open", || Path::new("/tmp/hk-21201").exists());
    std::fs::remove_file("/tmp/hk-21201").unwrap();
    let mut actor = node.open();
    let one = deny(1, &[Login::Shell]);
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    eventually("sshd is back and lets others in", || enters("hkother"));
    assert!(!enters("hklogin"), "denied");
    assert!(session.0.try_wait().unwrap().is_none(), "who is logged in stays so");
    done(actor.handle(lift(2, &tenant(), &one, false)));
    eventually("sshd lets the account in again", || enters("hklogin"));
    assert!(sshd.0.try_wait().unwrap().is_none(), "the same sshd all the time");
}

/// Sends lines and reads the answers to them, one each, after a greeting; the last answer.
fn talk(port: u16, lines: &[&str]) -> std::io::Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut answer = String::new();
    reader.read_line(&mut answer)?;
    for line in lines {
        (&stream).write_all(format!("{line}\r\n").as_bytes())?;
        answer.clear();
        reader.read_line(&mut answer)?;
    }
    Ok(answer)
}

#[test]
fn a_real_vsftpd_refuses_who_is_denied_and_lets_him_in_again() {
    let _alone = alone();
    let Some(node) = login_node("# operator's\nroot") else { return };
    if !Path::new("/usr/sbin/vsftpd").exists() {
        skipped("vsftpd is not installed");
        return;
    }
    let at = |name: &str| node.folder.path().join(name);
    std::fs::create_dir(at("ftp/empty")).unwrap();
    let config = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port=21202\nlocal_enable=YES\nanonymous_enable=NO\n\
         pam_service_name=hkftp\nsecure_chroot_dir={}\nbackground=NO\ndelay_failed_login=0\n",
        at("ftp/empty").display()
    );
    put(&at("ftp/vsftpd.conf"), &config, 0o600);
    // Debian's own PAM file of vsftpd, with our list in place of /etc/ftpusers.
    let pam = std::fs::read_to_string("/etc/pam.d/vsftpd").unwrap();
    assert!(pam.contains("sense=deny file=/etc/ftpusers"), "{pam}");
    put(&at("pam.d/hkftp"), &pam.replace("/etc/ftpusers", at("ftp/ftpusers").to_str().unwrap()), 0o644);
    let Some(_vsftpd) = service(&node, "exec /usr/sbin/vsftpd ftp/vsftpd.conf") else { return };
    let enters = |user: &str| {
        talk(21202, &[&format!("USER {user}"), "PASS secret-1"]).is_ok_and(|answer| answer.starts_with("230"))
    };
    eventually("vsftpd lets the account in", || enters("hklogin"));
    let before = facts(&at("ftp/ftpusers"));
    let mut actor = node.open();
    let one = deny(1, &[Login::Ftp]);
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    assert!(!enters("hklogin") && enters("hkother"));
    done(actor.handle(lift(2, &tenant(), &one, false)));
    assert!(enters("hklogin"));
    assert_eq!(facts(&at("ftp/ftpusers")), before);
}

#[test]
fn a_real_dovecot_refuses_who_is_denied_and_lets_him_in_again() {
    let _alone = alone();
    let Some(node) = login_node("") else { return };
    if !Path::new("/usr/lib/dovecot/imap").exists() {
        skipped("dovecot-imapd is not installed");
        return;
    }
    let at = |name: &str| node.folder.path().join(name);
    put(&at("mail/users"), "info@example.jp:{PLAIN}secret-1\nshop@example.jp:{PLAIN}secret-1\n", 0o644);
    std::fs::create_dir(at("mail/box")).unwrap();
    chown(at("mail/box"), Some(TENANT), Some(TENANT)).unwrap();
    let mut dovecot = Command::new("dovecot");
    dovecot.arg("-F").arg("-c").arg(at("mail/dovecot.conf")).stderr(Stdio::null());
    let dovecot = dovecot.spawn().unwrap();
    let log = || std::fs::read_to_string(at("mail/log")).unwrap_or_default();
    let enters =
        |user: &str| talk(21203, &[&format!("a LOGIN {user} secret-1")]).is_ok_and(|answer| answer.starts_with("a OK"));
    struct Ends(std::process::Child);
    impl Drop for Ends {
        fn drop(&mut self) {
            // Its children end with it only when it is asked to end.
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
    let _dovecot = Ends(dovecot);
    eventually("Dovecot lets the mailbox in", || enters("info@example.jp"));
    let mut actor = node.open();
    let one = deny(1, &[mailbox("Info@example.jp")]);
    done(actor.handle(impose(1, &tenant(), &one, &[])));
    // Dovecot looks at the list's time once a second.
    eventually("denied", || !enters("info@example.jp"));
    assert!(!enters("INFO@example.jp") && enters("shop@example.jp"), "{}", log());
    // Another one in its place: the same length, within the same second.
    let two = deny(2, &[mailbox("shop@example.jp")]);
    done(actor.handle(lift(2, &tenant(), &one, false)));
    done(actor.handle(impose(3, &tenant(), &two, &[])));
    eventually("the other one is denied", || !enters("shop@example.jp"));
    assert!(enters("info@example.jp"), "{}", log());
    done(actor.handle(lift(4, &tenant(), &two, false)));
    eventually("Dovecot lets the mailbox in again", || enters("shop@example.jp"));
}
