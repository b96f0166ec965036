//! The snapshot of a process table and the few questions that the checks ask of it.

use std::net::{IpAddr, SocketAddr};

use model::{Moment, ProcessRef, Span};

/// Most open paths kept of one process; more are not read.
pub const FDS_MAX: usize = 256;
/// Most sockets kept of one process.
pub const SOCKETS_MAX: usize = 512;
/// Most ancestors followed; a recorded table may hold a ring.
const ANCESTORS_MAX: usize = 64;

/// Whether a process runs, waits or only waits to be collected (proc(5), `/proc/pid/stat` field 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Running, sleeping or waiting for a disk.
    Alive,
    /// Stopped or frozen by a signal or tracer (`T`, `t`).
    Stopped,
    /// Seen when it started and gone at the sweep: nothing can be done to it any more.
    Ended,
    /// Ended, not yet collected (`Z`, `X`): has no program and no command line by nature.
    Zombie,
}

impl State {
    /// From the letter of `/proc/pid/stat`.
    pub fn from_letter(letter: u8) -> State {
        match letter {
            b'Z' | b'X' | b'x' => State::Zombie,
            b'T' | b't' => State::Stopped,
            _ => State::Alive,
        }
    }
}

/// Transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// TCP, IPv4 or IPv6.
    Tcp,
    /// UDP, IPv4 or IPv6.
    Udp,
}

/// State of a TCP socket, as far as a check tells them apart (kernel `include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Connected.
    Established,
    /// Asked for a connection, no answer yet.
    SynSent,
    /// Waits for connections.
    Listen,
    /// Anything else (closing, unconnected UDP).
    Other,
}

/// One socket held open by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Transport.
    pub proto: Proto,
    /// Own end.
    pub local: SocketAddr,
    /// Other end; port 0 when there is none.
    pub remote: SocketAddr,
    /// State.
    pub state: SocketState,
}

impl Socket {
    /// Whether it reaches out of the node and its private network: connected or connecting to a public address.
    pub fn goes_outside(&self) -> bool {
        matches!(self.state, SocketState::Established | SocketState::SynSent)
            && self.remote.port() != 0
            && !is_local(self.remote.ip())
    }

    /// Whether it waits for connections that other machines can make.
    pub fn listens_outside(&self) -> bool {
        self.state == SocketState::Listen && !plain(self.local.ip()).is_loopback()
    }
}

/// An IPv4 address inside an IPv6 one counts as the IPv4 one.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        v4 => v4,
    }
}

/// Loopback, private, link-local and unset addresses: databases, caches and relays of the host live there.
fn is_local(ip: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// One process as it was seen. Paths and arguments are bytes: nothing says that they are UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent's id; 1 after the parent ended.
    pub ppid: u32,
    /// Real uid.
    pub uid: u32,
    /// Name in the kernel's table (`comm`), at most 15 bytes on a live node; the process may set it.
    pub comm: Vec<u8>,
    /// Program file, without the kernel's " (deleted)"; empty for kernel threads, zombies and when we may not look.
    pub exe: Vec<u8>,
    /// The program file has no name any more.
    pub deleted: bool,
    /// The program never was a file on a disk (memfd_create(2)).
    pub memfd: bool,
    /// Device of the program file; 0 when unknown.
    pub exe_dev: u64,
    /// Inode of the program file; 0 when unknown.
    pub exe_ino: u64,
    /// Owner of the program file; `None` in recordings and when we may not look.
    pub exe_uid: Option<u32>,
    /// Arguments as the process shows them, at most 256 and 16 KiB together; the process may set them.
    pub argv: Vec<Vec<u8>>,
    /// Working directory; empty when not looked at.
    pub cwd: Vec<u8>,
    /// When it was started.
    pub start: Moment,
    /// When it was started, clock ticks since boot (recordings: ticks since 1970, only to be compared).
    pub start_ticks: u64,
    /// CPU time used by it, without its children.
    pub cpu: Span,
    /// State.
    pub state: State,
    /// Open paths, at most 256; a path that is gone ends with " (deleted)".
    pub fds: Vec<Vec<u8>>,
    /// Open sockets, at most 512.
    pub sockets: Vec<Socket>,
    /// Controlling terminal as the kernel numbers it; 0 = none.
    pub tty: u32,
    /// A thread of the kernel itself.
    pub kernel: bool,
}

impl Process {
    /// The process beyond doubt, for a [`model::Target`].
    pub fn reference(&self) -> ProcessRef {
        ProcessRef {
            pid: self.pid,
            start_ticks: self.start_ticks,
            uid: self.uid,
            exe_dev: self.exe_dev,
            exe_ino: self.exe_ino,
        }
    }

    /// Whether a terminal controls it, so that a person can be behind it.
    pub fn has_controlling_terminal(&self) -> bool {
        self.tty != 0
    }
}

/// What a sweep could not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlindSpots {
    /// Processes whose program we may not see.
    pub programs: u64,
    /// Tenants' processes whose open files and sockets we may not see.
    pub files: u64,
    /// Value of the `hidepid` mount option, when it hides processes from us.
    pub hidepid: Option<String>,
    /// Network namespaces whose sockets were left out (more than the bound).
    pub namespaces: u64,
}

/// A snapshot of the processes of a node.
#[derive(Debug, Default)]
pub struct Table {
    /// By pid.
    pub(super) processes: Vec<Process>,
    /// Place in `processes` of each child, by parent's pid.
    children: Vec<(u32, u32)>,
    /// What could not be seen.
    pub blind: BlindSpots,
    /// What a next live sweep may go on from.
    pub(super) seen: Vec<super::sweep::Seen>,
    /// How many live sweeps led here.
    pub(super) round: u64,
}

impl Table {
    /// A table of these processes; of two with one pid the later stays.
    pub fn new(mut processes: Vec<Process>) -> Table {
        processes.sort_by_key(|p| p.pid);
        processes.reverse();
        processes.dedup_by_key(|p| p.pid);
        processes.reverse();
        Table::of_sorted(processes)
    }

    /// As [`Table::new`], for processes that are already in order of their pids.
    pub(super) fn of_sorted(processes: Vec<Process>) -> Table {
        let mut children: Vec<(u32, u32)> = processes.iter().enumerate().map(|(at, p)| (p.ppid, at as u32)).collect();
        children.sort_unstable();
        Table { processes, children, ..Table::default() }
    }

    /// Adds programs that were seen between two sweeps and are gone; who has their pid now stays.
    pub fn add_ended(&mut self, ended: Vec<Process>) {
        let here: std::collections::HashSet<u32> = self.processes.iter().map(|p| p.pid).collect();
        let mut all = std::mem::take(&mut self.processes);
        all.extend(ended.into_iter().filter(|p| !here.contains(&p.pid)));
        let Table { processes, children, .. } = Table::new(all);
        (self.processes, self.children) = (processes, children);
    }

    /// All processes, by pid.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// The process of this pid.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.processes.binary_search_by_key(&pid, |p| p.pid).ok().map(|at| &self.processes[at])
    }

    /// The parent, if it is in the table.
    pub fn parent(&self, process: &Process) -> Option<&Process> {
        self.get(process.ppid).filter(|parent| parent.pid != process.pid)
    }

    /// Parents up to the first process, nearest first; at most 64.
    pub fn ancestors<'a>(&'a self, process: &'a Process) -> impl Iterator<Item = &'a Process> {
        std::iter::successors(self.parent(process), |p| self.parent(p)).take(ANCESTORS_MAX)
    }

    /// Direct children, by pid.
    pub fn children(&self, pid: u32) -> impl Iterator<Item = &Process> {
        let from = self.children.partition_point(|(parent, _)| *parent < pid);
        self.children[from..]
            .iter()
            .take_while(move |(parent, _)| *parent == pid)
            .map(|(_, at)| &self.processes[*at as usize])
            .filter(move |child| child.pid != pid)
    }

    /// What could not be seen, one sentence each, with what would help; empty when nothing is hidden.
    pub fn blind_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.blind.programs > 0 {
            lines.push(format!(
                "processes: the program of {} processes is hidden from us; run sense as root or with CAP_SYS_PTRACE",
                self.blind.programs
            ));
        }
        if self.blind.files > 0 {
            lines.push(format!(
                "processes: open files and connections of {} tenant processes are hidden from us; run sense as root or with CAP_SYS_PTRACE",
                self.blind.files
            ));
        }
        if let Some(value) = &self.blind.hidepid {
            lines.push(format!("processes: /proc is mounted with hidepid={value}; add sense to the group of gid="));
        }
        if self.blind.namespaces > 0 {
            lines.push(format!("processes: sockets of {} network namespaces were left out", self.blind.namespaces));
        }
        lines
    }
}
