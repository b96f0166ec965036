//! What belongs to a tenant is never written by closing and opening, and what a stranger sends never ends act.
//!
//! `HK_CYCLES` (1,000) and `HK_GARBAGE` (20,000) set the sizes.

mod node;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use model::packet::{FromAct, PassKey, SiteHandle, ToAct};
use model::{GateKey, Measure, Wide};
use node::*;
use sys::socket::{Connection, Listener};

/// A free uid that is no core.
const STRANGER: u32 = 20_328;
const ALICE: u32 = 20_329;

fn number_of(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Content; inode, mode, owner, group, links; the times of content and inode.
type Seen = (Vec<u8>, [u64; 5], [i64; 4]);

/// Everything that can be seen of a tree.
fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let (mut all, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        let is = std::fs::symlink_metadata(&path).unwrap();
        let content = match (is.is_dir(), is.is_symlink()) {
            (true, _) => {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                vec![]
            }
            (_, true) => std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            _ => std::fs::read(&path).unwrap(),
        };
        let facts = [is.ino(), is.mode().into(), is.uid().into(), is.gid().into(), is.nlink()];
        all.insert(path, (content, facts, [is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec()]));
    }
    all
}

#[test]
fn closing_and_opening_a_thousand_times_leaves_the_tenants_tree_as_it_was_to_the_time_stamp() {
    if !is_root() {
        return skipped("a tree of another uid needs root");
    }
    let (node, disk) = (Node::in_memory(), tempfile::tempdir().unwrap());
    let home = disk.path().join("home/alice");
    let root = home.join("www");
    std::fs::create_dir_all(root.join("wp-content")).unwrap();
    for (name, text) in [("index.php", "<?php"), (".htaccess", "Deny from none\n"), ("wp-content/x.php", "<?php //")] {
        std::fs::write(root.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    for path in seen(&home).into_keys() {
        std::os::unix::fs::lchown(path, Some(ALICE), Some(ALICE)).unwrap();
    }
    let before = seen(&home);
    let gates = vec![GateKey::Nginx("blog.test".into()), GateKey::Apache(root.display().to_string())];
    let handle = SiteHandle { root: root.display().to_string(), ..site("blog.test", gates) };
    let (alice, name) = (account("alice", ALICE), handle.domain.clone());
    let measures = [
        Measure::CloseSite { site: name.clone() },
        Measure::BlockScript { site: name.clone(), path: "wp-content/x.php".parse().unwrap() },
        Measure::CloseAccount { sites: vec![name], wide: Wide::Ordered },
    ];
    let mut actor = node.open();
    let cycles = number_of("HK_CYCLES", 1000);
    let flags = ["apache{}/.hikeshi-closed", "script/apache{}/wp-content/x.php/.hikeshi-403"];
    let flags = flags.map(|flag| node.gate().join(flag.replace("{}", root.to_str().unwrap())));
    for cycle in 0..cycles {
        let one = restriction((cycle % 30_000) as u16, 0, measures[cycle as usize % 3].clone());
        let flag = &flags[usize::from(cycle % 3 == 1)];
        done(actor.handle(impose(2 * cycle + 1, &alice, &one, std::slice::from_ref(&handle))));
        assert!(flag.exists());
        done(actor.handle(lift(2 * cycle + 2, &alice, &one, cycle % 2 == 0)));
        assert!(!flag.exists());
    }
    let until = node.clock.0.lock().unwrap().0 + model::Span::hours(1);
    let pass = open_pass(2 * cycles + 9, &alice, std::slice::from_ref(&handle), PassKey::Token([7; 16]), until);
    done(actor.handle(pass));
    assert!(seen(&home) == before, "the tenant's tree has changed");

    // The naive twin closes the site by a line in the tenant's own file, and takes it out again.
    let file = root.join(".htaccess");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}Deny from all\n")).unwrap();
    std::fs::write(&file, &text).unwrap();
    assert!(seen(&home) != before, "the comparison sees nothing");
}

/// xorshift64*: its seed repeats a run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }
}

/// Runs act's own loop beside `talk` until it returns.
fn serving<T>(node: &Node, mode: u32, talk: impl FnOnce(&Path) -> T) -> T {
    let path = node.folder.path().join("act.sock");
    let listener = Listener::bind(&path, mode).unwrap();
    let mut actor = node.open();
    let go_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let serve = scope.spawn(|| act::serve(&listener, &mut actor, None, || go_on.load(Ordering::Relaxed)));
        let said = talk(&path);
        assert!(!serve.is_finished(), "the loop has ended");
        go_on.store(false, Ordering::Relaxed);
        serve.join().unwrap().unwrap();
        said
    })
}

#[test]
fn garbage_by_the_thousand_ends_connections_and_is_never_an_order() {
    let node = Node::new();
    let alice = account("alice", ALICE);
    let handle = site("blog.test", vec![GateKey::Nginx("blog.test".into())]);
    let one = restriction(1, 0, Measure::CloseSite { site: "blog.test".parse().unwrap() });
    let valid = [impose(1, &alice, &one, &[handle]), lift(2, &alice, &one, true), ToAct::List];
    let valid: Vec<Vec<u8>> = valid
        .iter()
        .map(|packet| {
            let (one, other) = Connection::pair().unwrap();
            one.send_value(packet).unwrap();
            let mut bytes = vec![0; model::packet::PACKET_MAX];
            let (length, _) = other.recv(&mut bytes).unwrap();
            bytes.truncate(length);
            bytes
        })
        .collect();
    let seed = number_of("HK_SEED", 0x0dd);
    let mut draw = Draw(seed | 1);
    let journal = node.config.state_dir.join("journal");
    serving(&node, 0o600, |path| {
        for at in 0..number_of("HK_GARBAGE", 20_000) {
            // Random bytes, or a cut, lengthened or tag-changed packet: each of them is no value of the type.
            let mut bytes = valid[draw.below(2)].clone();
            match draw.below(4) {
                0 => bytes = (0..1 + draw.below(400)).map(|_| 0xff).collect(),
                1 => bytes.truncate(1 + draw.below(bytes.len() - 1)),
                2 => bytes.extend((0..1 + draw.below(40)).map(|_| 0x41)),
                _ => bytes[0] = 2 + draw.below(250) as u8,
            }
            let core = Connection::connect(path).unwrap();
            core.set_recv_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            core.send(&bytes).unwrap();
            let end = core.recv(&mut [0; 64]).expect_err("garbage was answered").kind();
            let ended = matches!(end, std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset);
            assert!(ended, "seed {seed}, packet {at}: {end}");
        }
        let core = Connection::connect(path).unwrap();
        core.send_value(&ToAct::List).unwrap();
        assert_eq!(core.recv_value::<FromAct>().unwrap().0, FromAct::ListEnd, "seed {seed}");
    });
    assert_eq!(std::fs::read(&journal).unwrap(), b"", "seed {seed}: garbage became an order");
    assert_eq!(std::fs::read_dir(node.gate()).unwrap().count(), 0);
}

/// Asks `act` as another uid does, in a language that every node has; how many of its connections got an answer.
const ASKS: &str = r#"
use Socket; my $answered = 0;
for my $n (1 .. $ARGV[1]) {
  socket(my $s, AF_UNIX, 5, 0) or die "socket: $!";
  connect($s, pack_sockaddr_un($ARGV[0])) or die "connect: $!";
  local $SIG{PIPE} = 'IGNORE';
  send($s, $n % 2 ? "\x01" : join('', map { chr(int(rand(256))) } 1 .. 1 + int(rand(300))), 0);
  my $got = ''; recv($s, $got, 65536, 0);
  $answered++ if length($got);
}
print $answered;
"#;

fn answered_to_a_stranger(path: &Path, times: u64) -> Option<u64> {
    let run = Command::new("/usr/bin/perl").args(["-e", ASKS]).arg(path).arg(times.to_string()).uid(STRANGER).output();
    let run = run.ok()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).trim().parse().ok()
}

#[test]
fn a_stranger_who_reaches_the_socket_gets_no_answer_and_takes_nobodys_place() {
    if !is_root() || !Path::new("/usr/bin/perl").exists() {
        return skipped("connecting as another uid needs root and perl");
    }
    let mut node = Node::new();
    // Worse than it ever is: the socket's own mode lets everybody in.
    let heard = serving(&node, 0o666, |path| {
        let core = Connection::connect(path).unwrap();
        core.send_value(&ToAct::List).unwrap();
        assert_eq!(core.recv_value::<FromAct>().unwrap().0, FromAct::ListEnd);
        let heard = answered_to_a_stranger(path, 300);
        core.send_value(&ToAct::List).unwrap();
        assert_eq!(core.recv_value::<FromAct>().unwrap().0, FromAct::ListEnd, "the core lost its place");
        heard
    });
    assert_eq!(heard, Some(0));
    // As it is: he does not even reach it.
    serving(&node, 0o600, |path| {
        let run = Command::new("/usr/bin/perl").args(["-e", ASKS]).arg(path).arg("1").uid(STRANGER).output().unwrap();
        assert!(String::from_utf8_lossy(&run.stderr).contains("connect: Permission denied"));
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    });
    // The naive twin knows everybody: then he is heard, so the numbers above mean something.
    node.config.core_uids.push(STRANGER);
    let heard = serving(&node, 0o666, |path| answered_to_a_stranger(path, 20));
    assert!(heard.is_some_and(|heard| heard >= 5), "{heard:?}");
}
