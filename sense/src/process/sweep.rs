//! The live sweep: one pass over `/proc`, cheap for whoever did nothing since the last one.
//!
//! A process that used no CPU time since the last sweep, whose program image is where it was, and whose account
//! opened no socket, is taken over from the previous table. It may have changed its name or files in less than one
//! clock tick, so each is read anew at the latest every [`REREAD_ROUNDS`] sweeps, spread by pid.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use model::{Moment, Span};
use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use super::live::{Buffers, Denied, Full, Stat, number, read};
use super::socket::Sockets;
use super::table::{BlindSpots, Process, Proto, State, Table};

/// How often a node is swept by default: with 3,000 processes and 10,000 accounts well below 1 % of one core
/// (`cargo bench -p tests --bench sweep`).
pub const SWEEP_EVERY: Span = Span::secs(5);
/// Sweeps after which an idle process is read anew.
pub const REREAD_ROUNDS: u64 = 12;
/// A process younger than this may still change its uid and program after fork(2): it is always read anew.
const YOUNG: Span = Span::secs(10);
/// Most bytes read of one socket table.
const SOCKET_TABLE_MAX: usize = 64 << 20;
/// Most network namespaces beside our own whose sockets are read in one sweep.
const NAMESPACES_MAX: usize = 64;

/// Says which uids are tenants', also those under which PHP of several accounts runs.
pub type Tenants<'a> = &'a dyn Fn(u32) -> bool;

/// What is kept of a process to know whether it has to be read again.
#[derive(Debug)]
pub(super) struct Seen {
    pid: u32,
    stat: Stat,
    inodes: Vec<u64>,
    denied: Denied,
}

impl Table {
    /// Reads all processes below `root` (normally `/proc`), going on from `previous`.
    ///
    /// Open files, sockets, working directory and owner of the program are read of tenants only. Works without
    /// root, then with [`Table::blind`] filled. Processes that end during the sweep are left out.
    ///
    /// # Errors
    /// When `root` cannot be opened or is no `/proc`.
    pub fn sweep(root: &Path, previous: Option<Table>, now: Moment, tenant: Tenants<'_>) -> std::io::Result<Table> {
        let proc_dir =
            openat(rustix::fs::CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffers = Buffers::new();
        let boot = boot_time(&proc_dir, &mut buffers)?;
        let sockets = own_sockets(proc_dir.as_fd(), &mut buffers);
        let mut previous = previous.unwrap_or_default();
        previous.processes.retain(|process| process.state != State::Ended);
        let busy = uids_with_new_sockets(&previous, &sockets, tenant);
        let round = previous.round + 1;
        let mut old =
            Old { processes: std::mem::take(&mut previous.processes), seen: std::mem::take(&mut previous.seen) };
        let mut processes = Vec::with_capacity(old.processes.len() + 64);
        let mut seen = Vec::with_capacity(old.processes.len() + 64);
        for pid in pids(&proc_dir)? {
            let name = pid.to_string();
            if let Some((process, mark)) = old.unchanged(pid, &name, &proc_dir, now, round, &busy, &mut buffers) {
                processes.push(process);
                seen.push(mark);
            } else if let Some((full, stat)) = read(proc_dir.as_fd(), pid, &name, boot, tenant, &mut buffers) {
                let Full { process, inodes, denied } = full;
                processes.push(process);
                seen.push(Seen { pid, stat, inodes, denied });
            }
        }
        let mut table = Table::of_sorted(processes);
        table.round = round;
        table.blind = join(proc_dir.as_fd(), &mut table.processes, &seen, sockets, &mut buffers);
        table.blind.hidepid = hidepid(root, &proc_dir, &mut buffers);
        table.seen = seen;
        Ok(table)
    }
}

/// The previous table, taken apart as the sweep goes along.
struct Old {
    processes: Vec<Process>,
    seen: Vec<Seen>,
}

impl Old {
    /// The process as it was, with its new times, when nothing says that it changed.
    #[allow(clippy::too_many_arguments)] // one step of one loop, not an interface
    fn unchanged(
        &mut self,
        pid: u32,
        name: &str,
        proc_dir: &OwnedFd,
        now: Moment,
        round: u64,
        busy: &HashSet<u32>,
        buffers: &mut Buffers,
    ) -> Option<(Process, Seen)> {
        let at = self.seen.binary_search_by_key(&pid, |seen| seen.pid).ok()?;
        let (process, seen) = (&self.processes[at], &self.seen[at]);
        let due = (u64::from(pid) + round).is_multiple_of(REREAD_ROUNDS);
        let kernel = seen.stat.kernel();
        if !kernel && (due || now - process.start < YOUNG || busy.contains(&process.uid)) {
            return None;
        }
        let mut path = [0u8; 16];
        let path = stat_path(name, &mut path)?;
        let (stat, comm) = Stat::parse(buffers.read(proc_dir, path, 4096).ok()?)?;
        let same = stat.start_ticks == seen.stat.start_ticks
            && (kernel
                || (stat.shows_image()
                    && stat.image == seen.stat.image
                    && stat.cpu_ticks == seen.stat.cpu_ticks
                    && process.state == super::State::from_letter(stat.letter)
                    && process.comm == comm));
        if !same {
            return None;
        }
        let seen = &mut self.seen[at];
        let mark = Seen { pid, stat, inodes: std::mem::take(&mut seen.inodes), denied: seen.denied };
        let process = &mut self.processes[at];
        let mut process = Process {
            comm: std::mem::take(&mut process.comm),
            exe: std::mem::take(&mut process.exe),
            argv: std::mem::take(&mut process.argv),
            cwd: std::mem::take(&mut process.cwd),
            fds: std::mem::take(&mut process.fds),
            sockets: std::mem::take(&mut process.sockets),
            ..*process
        };
        process.ppid = stat.ppid;
        process.cpu = stat.cpu();
        process.tty = stat.tty;
        Some((process, mark))
    }
}

/// `PID/stat` in a buffer on the stack.
fn stat_path<'a>(name: &str, room: &'a mut [u8; 16]) -> Option<&'a str> {
    let end = name.len() + 5;
    room.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    room.get_mut(name.len()..end)?.copy_from_slice(b"/stat");
    std::str::from_utf8(&room[..end]).ok()
}

/// The pids in the directory, growing.
fn pids(proc_dir: &OwnedFd) -> Result<Vec<u32>, Errno> {
    let mut room = vec![MaybeUninit::uninit(); 64 * 1024];
    let mut pids = Vec::with_capacity(1024);
    let mut names = RawDir::new(proc_dir, &mut room);
    while let Some(entry) = names.next() {
        if let Some(pid) = number(entry?.file_name().to_bytes()) {
            pids.push(pid as u32);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// When the node started: `btime` of `/proc/stat`.
pub(super) fn boot_time(proc_dir: &OwnedFd, buffers: &mut Buffers) -> std::io::Result<Moment> {
    let stat = buffers.read_long(proc_dir, "stat", 1 << 20)?;
    stat.split(|b| *b == b'\n')
        .find_map(|line| number(line.strip_prefix(b"btime ")?))
        .map(|secs| Moment::from_secs(secs as i64))
        .ok_or_else(|| std::io::Error::other("no btime in stat; is /proc mounted?"))
}

/// The sockets of our own network namespace.
pub(super) fn own_sockets(proc_dir: BorrowedFd<'_>, buffers: &mut Buffers) -> Sockets {
    let mut sockets = Sockets::default();
    add_sockets(proc_dir, "net", &mut sockets, buffers);
    sockets
}

fn add_sockets(dir: BorrowedFd<'_>, net: &str, sockets: &mut Sockets, buffers: &mut Buffers) {
    for (name, proto) in [("tcp", Proto::Tcp), ("tcp6", Proto::Tcp), ("udp", Proto::Udp), ("udp6", Proto::Udp)] {
        if let Ok(table) = buffers.read_long(dir, &format!("{net}/{name}"), SOCKET_TABLE_MAX) {
            sockets.add(&table, proto);
        }
    }
}

/// Tenants' uids with a socket that no process had at the last sweep: their open files are read anew.
fn uids_with_new_sockets(previous: &Table, sockets: &Sockets, tenant: Tenants<'_>) -> HashSet<u32> {
    let known: HashSet<u64> = previous.seen.iter().flat_map(|seen| seen.inodes.iter().copied()).collect();
    sockets.owners().filter(|(inode, uid)| tenant(*uid) && !known.contains(inode)).map(|(_, uid)| uid).collect()
}

/// Gives each process its sockets, also those of other network namespaces, and counts what we may not see.
fn join(
    proc_dir: BorrowedFd<'_>,
    processes: &mut [Process],
    seen: &[Seen],
    own: Sockets,
    buffers: &mut Buffers,
) -> BlindSpots {
    let mut blind = BlindSpots::default();
    let own_name = buffers.link(proc_dir, "self/ns/net").map(<[u8]>::to_vec).unwrap_or_default();
    let mut foreign: HashMap<Vec<u8>, Sockets> = HashMap::new();
    for (process, seen) in processes.iter_mut().zip(seen) {
        blind.programs += u64::from(seen.denied.program);
        blind.files += u64::from(seen.denied.files);
        if seen.inodes.is_empty() {
            continue;
        }
        let unknown = seen.inodes.iter().any(|inode| own.get(*inode).is_none());
        process.sockets.retain(|_| false);
        process.sockets.extend(seen.inodes.iter().filter_map(|inode| own.get(*inode)));
        // Most unknown inodes are Unix sockets; only another namespace makes its own tables worth reading.
        if !unknown {
            continue;
        }
        let Ok(name) = buffers.link(proc_dir, &format!("{}/ns/net", process.pid)).map(<[u8]>::to_vec) else { continue };
        if name == own_name {
            continue;
        }
        if !foreign.contains_key(&name) {
            if foreign.len() >= NAMESPACES_MAX {
                blind.namespaces += 1;
                continue;
            }
            let mut sockets = Sockets::default();
            add_sockets(proc_dir, &format!("{}/net", process.pid), &mut sockets, buffers);
            foreign.insert(name.clone(), sockets);
        }
        process.sockets.extend(seen.inodes.iter().filter_map(|inode| foreign[&name].get(*inode)));
    }
    blind
}

/// The `hidepid` option of the mount at `root`, when it hides something from us (proc(5)).
fn hidepid(root: &Path, proc_dir: &OwnedFd, buffers: &mut Buffers) -> Option<String> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let mounts = buffers.read_long(proc_dir, "self/mountinfo", 4 << 20).ok()?;
    let mounts = String::from_utf8_lossy(&mounts);
    let root = root.to_str()?.trim_end_matches('/');
    let line = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(root))?;
    let value = line.rsplit(' ').next()?.split(',').find_map(|option| option.strip_prefix("hidepid="))?;
    (!matches!(value, "0" | "off")).then(|| value.to_owned())
}
