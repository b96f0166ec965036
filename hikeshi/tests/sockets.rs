//! Garbage on every socket, from us and from a stranger: no role ends, no order comes of it.
//!
//! The real binary, each role a process that nobody would start again. `HK_GARBAGE` (400) sets how many packets each
//! socket gets from each side.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sys::socket::Connection;

/// A uid that is neither root nor any role's.
const STRANGER: u32 = 20_331;

/// The roles of one node; they end with the test.
struct Roles {
    folder: tempfile::TempDir,
    running: Vec<(&'static str, Child)>,
}

impl Drop for Roles {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Roles {
    fn new() -> Roles {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for (name, mode) in [("etc", 0o755), ("etc/accounts.d", 0o755), ("run", 0o700), ("state", 0o711)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("etc/passwd", "alice:x:20332:20332::/home/alice:/bin/sh\n");
        write("etc/nginx.conf", "http { }\n");
        write("mail.log", "");
        write(
            "etc/hikeshi.toml",
            &format!(
                "[node]\npasswd = \"{root}/etc/passwd\"\naccounts_dir = \"{root}/etc/accounts.d\"\n\
                 [web]\nnginx = \"{root}/etc/nginx.conf\"\napache = []\n\
                 [mail]\nlog = \"{root}/mail.log\"\nhold_file = \"{root}/etc/hold\"\n\
                 [paths]\nstate = \"{root}/state\"\nrun = \"{root}/run\"\ngate = \"{root}/state/gate\"\netc = \"{root}/etc\"\nquarantine = [\"{root}/state/quarantine\"]\n"
            ),
        );
        Roles { folder, running: Vec::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hikeshi"));
        command.arg("--config").arg(self.folder.path().join("etc/hikeshi.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn start(&mut self, role: &'static str) -> PathBuf {
        let child = self.command().args(["role", role]).stdout(Stdio::null()).spawn().unwrap();
        self.running.push((role, child));
        let path = self.folder.path().join("run").join(format!("{role}.sock"));
        eventually(&format!("{role} listens"), || path.exists());
        path
    }

    fn all_live(&mut self) {
        for (role, child) in &mut self.running {
            assert_eq!(child.try_wait().unwrap(), None, "{role} has ended");
        }
    }
}

#[track_caller]
fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if test() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never seen: {what}");
}

/// What is no value of any type: a tag that no enum has, and noise behind it.
fn garbage(at: u64) -> Vec<u8> {
    let noise = at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    [&[0xff, 0xff, 0xff, 0xff, 0x7f][..], &noise.repeat(1 + at as usize % 40)].concat()
}

/// Each packet on a connection of its own, which must end without an answer.
fn throw(path: &Path, packets: u64) {
    for at in 0..packets {
        let line = Connection::connect(path).unwrap();
        line.set_recv_timeout(Some(Duration::from_secs(30))).unwrap();
        line.send(&garbage(at)).unwrap();
        // Some roles speak first to whoever is connected; an end must come.
        let end = (0..100).find_map(|_| line.recv(&mut [0; 65_536]).err()).expect("an end");
        assert_ne!(end.kind(), std::io::ErrorKind::WouldBlock, "packet {at}: {} holds on", path.display());
    }
}

/// The same as another uid; says how many bytes came back.
const ASKS: &str = r#"
use Socket; my $heard = 0;
for my $n (1 .. $ARGV[1]) {
  socket(my $s, AF_UNIX, 5 | 2048, 0) or die "socket: $!";
  connect($s, pack_sockaddr_un($ARGV[0])) or next;
  local $SIG{PIPE} = 'IGNORE';
  send($s, $n % 2 ? "\x00" : join('', map { chr(int(rand(256))) } 1 .. 1 + int(rand(300))), 0);
  my $got = ''; vec(my $ready = '', fileno($s), 1) = 1;
  select($ready, undef, undef, $ARGV[2]); recv($s, $got, 65536, 0);
  $heard += length($got);
}
print $heard;
"#;

/// `patience`: seconds a packet; a role that has its core takes nobody else from the queue.
fn heard_by_a_stranger(path: &Path, packets: u64, patience: &str) -> String {
    let run = Command::new("/usr/bin/perl")
        .args(["-e", ASKS])
        .arg(path)
        .arg(packets.to_string())
        .arg(patience)
        .uid(STRANGER)
        .output();
    let run = run.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn garbage_on_every_socket_ends_no_role_and_a_stranger_hears_nothing() {
    use std::io::Write;
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/perl").exists() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: roles and strangers of their own need root and perl");
        return;
    }
    let packets: u64 = std::env::var("HK_GARBAGE").map_or(400, |text| text.parse().unwrap());
    let mut roles = Roles::new();
    // Worse than it ever is: the folder lets everybody in, so do the sockets.
    std::fs::set_permissions(roles.folder.path().join("run"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut sockets = Vec::new();
    for role in ["act", "sense", "desk", "core"] {
        let path = roles.start(role);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{role}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        if role != "core" {
            // Before the core comes, who would be the one that is heard.
            assert_eq!(heard_by_a_stranger(&path, packets, "10"), "0", "{role}");
            throw(&path, if role == "sense" { packets / 10 } else { packets });
        }
        roles.all_live();
        sockets.push(path);
    }
    throw(&sockets[3], packets);
    for path in &sockets {
        assert_eq!(heard_by_a_stranger(path, 10, "0.1"), "0", "{}", path.display());
    }
    roles.all_live();
    // And they still do their work: the core has them all on the line, and nothing came of it.
    let status = || {
        let run = roles.command().args(["--format", "json", "status"]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&run.stdout).unwrap_or_default()
    };
    let up = |shown: &serde_json::Value| {
        let lines = shown["roles"].as_array().into_iter().flatten();
        lines.filter(|role| role[1] == true).count()
    };
    let mut shown = status();
    for _ in 0..200 {
        if up(&shown) >= 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        shown = status();
    }
    assert!(up(&shown) >= 3, "{shown}");
    assert_eq!(shown["incidents"].as_array().map(Vec::len), Some(0), "{shown}");
    let journal = std::fs::read(roles.folder.path().join("state/act/journal")).unwrap();
    assert_eq!(journal, b"", "garbage became an order");
}
