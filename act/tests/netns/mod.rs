//! A network of its own for one test: a node and an outside, joined by a cable; the machine's own filter is not there.

#![allow(dead_code)] // each test file uses a part

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::node::{Sleeper, eventually, is_root, skipped};

/// The node's address.
pub const NODE: &str = "203.0.113.1";
/// Somebody outside, with several addresses.
pub const OUTSIDE: &str = "203.0.113.10";
pub const OUTSIDE_2: &str = "203.0.113.11";
pub const OUTSIDE_6: &str = "2001:db8::10";
/// Outside, in a network of updates.
pub const UPDATES: &str = "198.51.100.5";
/// Outside, the node's resolver.
pub const RESOLVER: &str = "203.0.113.53";

/// Uids of test accounts.
pub const BLOCKED: u32 = 20_240;
pub const OTHER: u32 = 20_241;

/// Runs the test named `name` once more in namespaces of its own (network and mounts); true inside of them.
pub fn inside(name: &str) -> bool {
    if std::env::var_os("HIKESHI_TEST_NAMESPACE").is_some() {
        return true;
    }
    let tools = ["/usr/sbin/nft", "/usr/bin/unshare", "/usr/sbin/ip"];
    let missing = tools.iter().find(|tool| !std::path::Path::new(tool).exists());
    if !is_root() || missing.is_some() {
        skipped(&format!("a network of its own needs root, and {}", missing.unwrap_or(&"nothing else")));
        return false;
    }
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--net", "--mount", "--"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env("HIKESHI_TEST_NAMESPACE", "1");
    let ran = command.output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    said.lines().filter(|line| line.starts_with("measured: ")).for_each(|line| println!("{line}"));
    false
}

/// The other end of the cable.
pub struct Outside(Sleeper);

impl Outside {
    /// Lays the cable and waits until every address can be used.
    pub fn join() -> Outside {
        let away = Command::new("/usr/bin/unshare").args(["--net", "/usr/bin/sleep", "600"]).spawn().unwrap();
        let away = Outside(Sleeper(away));
        let pid = away.0.0.id().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        eventually("a second network", || {
            std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other != own)
        });
        run("/usr/sbin/ip", &["link", "set", "lo", "up"]);
        run("/usr/sbin/ip", &["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &pid]);
        for address in ["203.0.113.1/24", "198.51.100.1/24", "2001:db8::1/64"] {
            run("/usr/sbin/ip", &["address", "add", address, "dev", "near", "nodad"]);
        }
        run("/usr/sbin/ip", &["link", "set", "near", "up"]);
        away.within(|| {
            for address in [OUTSIDE, OUTSIDE_2, UPDATES, RESOLVER] {
                run("/usr/sbin/ip", &["address", "add", &format!("{address}/24"), "dev", "far"]);
            }
            run("/usr/sbin/ip", &["address", "add", "2001:db8::10/64", "dev", "far", "nodad"]);
            run("/usr/sbin/ip", &["link", "set", "lo", "up"]);
            run("/usr/sbin/ip", &["link", "set", "far", "up"]);
        });
        // Neighbours have to be found first, which may take a second question.
        for address in [OUTSIDE, OUTSIDE_2, OUTSIDE_6, UPDATES, RESOLVER] {
            eventually("the way outside", || connects(0, address, 1) == "refused");
        }
        away
    }

    /// Does something on the other side.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let space = std::fs::File::open(format!("/proc/{}/ns/net", self.0.0.id())).unwrap();
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        alone(|| rustix::thread::move_into_link_name_space(space.as_fd(), kind).unwrap(), work)
    }

    /// A listener on the other side; it accepts by its queue, nobody needs to serve it.
    pub fn listen(&self, address: &str, port: u16) -> TcpListener {
        self.within(|| listen(address, port))
    }
}

/// Does something with another uid: sockets opened in it belong to it.
pub fn as_uid<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    alone(|| rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid)).unwrap(), work)
}

/// Uid and namespace are a thread's own, so a thread that ends takes them along.
fn alone<T: Send>(first: impl FnOnce() + Send, then: impl FnOnce() -> T + Send) -> T {
    let both = || {
        first();
        then()
    };
    std::thread::scope(|scope| scope.spawn(both).join().unwrap())
}

pub fn listen(address: &str, port: u16) -> TcpListener {
    TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).unwrap()
}

/// Connects as this uid; in words what came of it.
pub fn connects(uid: u32, address: &str, port: u16) -> &'static str {
    match connect(uid, address, port) {
        Ok(_) => "open",
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => "refused",
        Err(e) if e.kind() == std::io::ErrorKind::TimedOut => "silent",
        Err(e) => panic!("{address}:{port} as {uid}: {e}"),
    }
}

pub fn connect(uid: u32, address: &str, port: u16) -> std::io::Result<TcpStream> {
    let to = SocketAddr::new(address.parse().unwrap(), port);
    // Shorter than the second after which the kernel asks again: a connection that was dropped once is seen.
    as_uid(uid, || TcpStream::connect_timeout(&to, Duration::from_millis(900)))
}

/// Sends a datagram as this uid; whether it left.
pub fn sends(uid: u32, address: &str, port: u16) -> bool {
    as_uid(uid, || {
        let local = if address.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(local).unwrap();
        socket.send_to(b"x", (address.parse::<IpAddr>().unwrap(), port)).is_ok()
    })
}

#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Everything that the packet filter has here.
pub fn ruleset() -> String {
    run("/usr/sbin/nft", &["list", "ruleset"])
}
