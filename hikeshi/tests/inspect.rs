//! What `hikeshi inspect` answers to input that is no log: an error that names the next step, and never silence.
//!
//! The real binary, with a limit of time that is only there so that a hanging one fails.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The options that take a file of recorded input.
const OPTIONS: [&str; 5] = ["--processes", "--mail-log", "--crontab", "--login-log", "--access-log"];
/// A uid that owns nothing.
const STRANGER: u32 = 20_331;
/// Far more than any of these takes.
const LONGEST: Duration = Duration::from_secs(60);

/// A folder with an inventory; gone with the test.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Node {
        let node = Node(tempfile::tempdir().unwrap());
        std::fs::set_permissions(node.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
        node.write(
            "node.toml",
            "[node]\ntenant_uids = \"3000-3999\"\n[[account]]\nname = \"aoi\"\nuid = 3001\nhome = \"/home/aoi\"\n\
             sites = [{ domain = \"aoi.example.jp\", root = \"/home/aoi/www\" }]\n",
        );
        node.write("hikeshi.toml", "");
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        path
    }

    /// `inspect` of this node, its output kept.
    fn inspect(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--config").arg(self.path("hikeshi.toml")).args(["--format", "json", "inspect", "--inventory"]);
        command.arg(self.path("node.toml")).args(["--account", "aoi", "--at", "2026-06-01T12:00:00+09:00"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ask(&self, arguments: &[(&str, &Path)]) -> Output {
        let mut command = self.inspect(Path::new(env!("CARGO_BIN_EXE_hikeshi")));
        command.args(arguments.iter().flat_map(|(option, path)| [option.as_ref(), path.as_os_str()]));
        ended(command)
    }
}

/// The output of a program that must end by itself.
fn ended(mut command: Command) -> Output {
    let child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    told.recv_timeout(LONGEST).map(Result::unwrap).unwrap_or_else(|_| {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("still waiting: {command:?}")
    })
}

/// The exit code and what was said to the person.
fn answer(output: &Output) -> (i32, String) {
    (output.status.code().expect("no signal"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Lines read and not understood, accounts with a verdict.
fn read(output: &Output) -> (u64, u64, Vec<String>) {
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| document["read"][key].as_u64().unwrap();
    let accounts = document["accounts"].as_array().unwrap().iter();
    let verdicts = accounts.map(|a| format!("{} {}", a["account"].as_str().unwrap(), a["verdict"].as_str().unwrap()));
    (number("lines"), number("dropped"), verdicts.collect())
}

#[test]
fn what_is_no_regular_file_is_refused_at_once_by_every_option() {
    let node = Node::new();
    std::fs::create_dir(node.path("folder")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(node.path("socket")).unwrap();
    let table = [
        (node.path("folder"), "a folder; name a file in it"),
        (node.fifo("pipe"), "a pipe; give it to the standard input and write - for its name"),
        (PathBuf::from("/dev/zero"), "a device or socket; name a regular file"),
        (node.path("socket"), "No such device or address"),
        (node.path("none"), "No such file or directory"),
    ];
    for (path, why) in table {
        for option in OPTIONS {
            let (code, said) = answer(&node.ask(&[(option, &path)]));
            assert!(code == 2 && said.contains(why) && said.contains(path.to_str().unwrap()), "{option}: {said}");
        }
        for option in ["--inventory", "--config"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hikeshi"));
            command.args(["inspect", option]).arg(&path).arg("--login-log").arg(node.path("node.toml"));
            if option == "--config" {
                command.arg("--inventory").arg(node.path("node.toml"));
            }
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let (code, said) = answer(&ended(command));
            assert!(code == 2 && said.contains(path.to_str().unwrap()), "{option}: {said}");
        }
    }
    drop(socket);
}

#[test]
fn a_file_without_permission_is_named() {
    let node = Node::new();
    let log = node.write("secret.log", "x\n");
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o000)).unwrap();
    let mut program = PathBuf::from(env!("CARGO_BIN_EXE_hikeshi"));
    if rustix::process::getuid().is_root() {
        // Root may read everything, and a stranger needs the program where he can start it. Copied by another process:
        // a file that this one writes is busy in whatever the other tests start meanwhile.
        let copied = Command::new("cp").arg(&program).arg(node.path("program")).status().unwrap();
        assert!(copied.success());
        program = node.path("program");
    }
    for option in OPTIONS {
        let mut command = node.inspect(&program);
        command.arg(option).arg(&log);
        if rustix::process::getuid().is_root() {
            command.uid(STRANGER).gid(STRANGER);
        }
        let (code, said) = answer(&ended(command));
        assert!(code == 2 && said.contains("secret.log: Permission denied"), "{option}: {said}");
    }
}

#[test]
fn a_pipe_on_the_standard_input_is_read_once() {
    let node = Node::new();
    let mut command = node.inspect(Path::new(env!("CARGO_BIN_EXE_hikeshi")));
    command.args(["--login-log", "-"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let line = b"Mar  7 02:00:00 web01 sshd[1]: Failed password for aoi from 203.0.113.81 port 4 ssh2\n";
    child.stdin.take().unwrap().write_all(line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((answer(&output).0, read(&output)), (0, (1, 0, Vec::new())));
    let twice = node.ask(&[("--login-log", Path::new("-")), ("--mail-log", Path::new("-"))]);
    assert!(matches!(answer(&twice), (2, said) if said.contains("one standard input")));
    // A replay reads its logs once for each policy.
    let mut replay = Command::new(env!("CARGO_BIN_EXE_hikeshi"));
    replay.args(["replay", "--login-log", "-", "--inventory"]).arg(node.path("node.toml"));
    replay.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert!(matches!(answer(&ended(replay)), (2, said) if said.contains("read twice")));
}

#[test]
fn cut_lines_are_counted_and_a_cut_archive_is_an_error() {
    let node = Node::new();
    let cut = "Mar  7 02:00:00 web01 sshd[1]: Failed password for aoi from 203.0.113.81 port 4 ssh2\n\
               ar  7 02:00:01 web01 sshd[1]: Failed password for aoi fr";
    let output = node.ask(&[("--login-log", &node.write("cut.log", cut))]);
    assert_eq!((answer(&output).0, read(&output)), (0, (2, 1, Vec::new())));
    let empty = node.write("empty.log", "");
    for option in OPTIONS {
        let output = node.ask(&[(option, &empty)]);
        assert_eq!((answer(&output).0, read(&output)), (0, (0, 0, Vec::new())), "{option}");
    }
    // A member of gzip that ends within its data (RFC 1952, 2.3.1): what is missing must not look like silence.
    let gz = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd];
    for option in OPTIONS {
        let (code, said) = answer(&node.ask(&[(option, &node.write("cut.log.gz", gz))]));
        assert!(code == 1 && said.contains("cut.log.gz: "), "{option}: {said}");
    }
}

/// Lines of an access log, one a second.
fn access(from: u32, to: u32, source: &str, request: &str, status: u16) -> String {
    let line = |n: u32| {
        format!(
            "{source} - - [07/Mar/2026:01:{:02}:{:02} +0900] \"{request} HTTP/1.1\" {status} {} \"-\" \"x\"\n",
            n / 60,
            n % 60,
            100 + n
        )
    };
    (from..to).map(line).collect()
}

#[test]
fn parts_of_a_rotation_that_overlap_change_no_verdict() {
    let node = Node::new();
    let visits = access(0, 300, "198.51.100.7", "GET /a", 200);
    let script = access(300, 306, "203.0.113.5", "POST /wp-content/uploads/2026/01/a.php", 200);
    for (text, expected) in [(&visits, &[][..]), (&(visits.clone() + &script), &["aoi suspicious".to_owned()])] {
        let whole = node.write("access.log", text);
        let alone = node.ask(&[("--access-log", &whole)]);
        assert_eq!(read(&alone).2, expected, "{}", answer(&alone).1);
        // The older part reaches into the newer one, as after a copy that was taken before the log was cut.
        let at = text.match_indices('\n').nth(250).unwrap().0 + 1;
        let older = node.write("access.log.1", &text[..at]);
        let newer = node.write("access.log", &text[text.match_indices('\n').nth(200).unwrap().0 + 1..]);
        let parts = node.ask(&[("--access-log", &older), ("--access-log", &newer)]);
        assert_eq!(read(&parts).2, expected);
        assert_eq!(read(&parts).0, text.lines().count() as u64 + 50);
    }
}
