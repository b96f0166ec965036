//! Processes beyond doubt: pidfds, and identity read through one held `/proc/PID` folder.
//!
//! A pid is reused (pid_max is often 32768); start time, uid and program file are not. The folder descriptor of
//! a process that ended answers ESRCH, so all facts of one [`Identity`] are of one process.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::dir::Dir;

/// What a process is, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// One letter, proc(5): `T` is stopped, `Z` ended and not yet reaped.
    pub state: char,
    /// Start, clock ticks since boot (`/proc/pid/stat`, field 22).
    pub start_ticks: u64,
    /// Real, effective, saved and file system uid.
    pub uids: [u32; 4],
    /// Device and inode of the program file; `None` for kernel threads and processes that ended.
    pub exe: Option<(u64, u64)>,
}

impl Identity {
    /// Whether it has ended and waits to be reaped.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether it is stopped, by a signal or by who traces it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }
}

/// A process that is held: signals reach it or nobody.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
    proc: OwnedFd,
    pid: u32,
}

impl Process {
    /// Takes hold of the process that has this pid now; `NotFound` when there is none.
    pub fn open(pid: u32) -> io::Result<Process> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).map_err(gone)?;
        Process::hold(pidfd, pid)
    }

    /// Takes hold through a pidfd that somebody handed over.
    pub fn from_pidfd(pidfd: OwnedFd) -> io::Result<Process> {
        let pid = pid_of(pidfd.as_fd())?;
        Process::hold(pidfd, pid)
    }

    /// The `/proc` folder is opened between two looks at the pidfd: alive after it, so it is the same process.
    fn hold(pidfd: OwnedFd, pid: u32) -> io::Result<Process> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).map_err(gone)?;
        let process = Process { pidfd, proc, pid };
        match process.is_alive() {
            true => Ok(process),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The process id, good for as long as [`Process::is_alive`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended yet; a zombie has ended.
    pub fn is_alive(&self) -> bool {
        is_alive(self.pidfd.as_fd())
    }

    /// Waits until it has ended; false when it has not after `wait`.
    pub fn wait_end(&self, wait: Duration) -> bool {
        wait_end(self.pidfd.as_fd(), wait)
    }

    /// Reads the identity; `NotFound` when it ended meanwhile.
    pub fn identity(&self) -> io::Result<Identity> {
        let stat = self.read("stat")?;
        let mut identity = parse_stat(&stat).ok_or_else(|| unreadable("stat"))?;
        identity.uids = parse_uids(&self.read("status")?).ok_or_else(|| unreadable("status"))?;
        identity.exe = match rustix::fs::statat(&self.proc, "exe", AtFlags::empty()) {
            Ok(stat) => Some((stat.st_dev, stat.st_ino)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH) => None,
            Err(e) => return Err(e.into()),
        };
        Ok(identity)
    }

    /// Path of the program file and its owner, as the kernel shows it (` (deleted)` at the end when it is).
    pub fn program(&self) -> io::Result<(PathBuf, u32)> {
        use std::os::unix::ffi::OsStringExt;
        let path = rustix::fs::readlinkat(&self.proc, "exe", Vec::new()).map_err(gone)?;
        let stat = rustix::fs::statat(&self.proc, "exe", AtFlags::empty()).map_err(gone)?;
        Ok((PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes())), stat.st_uid))
    }

    /// Text of `/proc/PID/cgroup`.
    pub fn cgroups(&self) -> io::Result<String> {
        self.read("cgroup")
    }

    /// Stops it (SIGSTOP).
    pub fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn go_on(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Ends it (SIGKILL).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Tells a server to read its configuration again (SIGHUP).
    pub fn reload(&self) -> io::Result<()> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).map_err(gone)
    }

    fn read(&self, name: &str) -> io::Result<String> {
        let fd = rustix::fs::openat(&self.proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(gone)?;
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(64 * 1024).read_to_end(&mut bytes).map_err(|e| match e.raw_os_error() {
            Some(libc::ESRCH) => io::ErrorKind::NotFound.into(),
            _ => e,
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Waits until the process of this pidfd has ended; false when it has not after `wait`.
pub fn wait_end(pidfd: BorrowedFd<'_>, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    while is_alive(pidfd) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let _ = crate::socket::wait_readable([Some(pidfd)], left);
    }
    true
}

/// Pidfds of processes that somebody handed over; the copies of one are the same set.
#[derive(Clone, Debug, Default)]
pub struct Hands(Arc<Mutex<Vec<OwnedFd>>>);

impl Hands {
    /// Most pidfds kept; those of processes that ended go first.
    pub const MAX: usize = 1024;

    /// Takes one pidfd; anything else is dropped. False when it was not taken.
    pub fn add(&self, pidfd: OwnedFd) -> bool {
        let mut held = self.0.lock().unwrap_or_else(|e| e.into_inner());
        held.retain(|fd| is_alive(fd.as_fd()));
        let take = held.len() < Hands::MAX && pid_of(pidfd.as_fd()).is_ok();
        if take {
            held.push(pidfd);
        }
        take
    }

    /// Takes hold of the handed process with this pid; `PermissionDenied` when none of this pid was handed over.
    pub fn open(&self, pid: u32) -> io::Result<Process> {
        Process::from_pidfd(self.find(pid).ok_or(io::ErrorKind::PermissionDenied)?)
    }

    /// A handle of the handed process with this pid, if there is one and it lives.
    pub fn find(&self, pid: u32) -> Option<OwnedFd> {
        let held = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let fd = held.iter().find(|fd| pid_of(fd.as_fd()).is_ok_and(|p| p == pid))?;
        fd.try_clone().ok()
    }
}

/// Whether the process of this pidfd has not ended.
pub fn is_alive(pidfd: BorrowedFd<'_>) -> bool {
    // A pidfd becomes readable when the process ends, also before anybody reaped it.
    crate::socket::wait_readable([Some(pidfd)], Duration::ZERO).is_ok_and(|ready| !ready[0])
}

/// The pid behind a pidfd (`Pid:` of `/proc/self/fdinfo`); `NotFound` when it ended, `InvalidInput` when the
/// descriptor is something else.
pub fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<u32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).ok_or(io::ErrorKind::InvalidInput)?;
    match pid.trim().parse::<i64>() {
        Ok(pid) if pid > 0 => u32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Name of a program file without its folder and without what the kernel adds to a deleted one; empty when it has none
/// in UTF-8.
pub fn base_name(program: &Path) -> &str {
    program.file_name().and_then(|name| name.to_str()).unwrap_or("").trim_end_matches(" (deleted)")
}

/// The server that wrote this file of its process id; `None` when there is no such file or no process of this id.
///
/// Errors: the file is in a folder that others can change, holds no process id (`InvalidData`), or that process is no
/// program of root with this base name (`PermissionDenied`): the id may be anybody's by now.
pub fn server(pid_file: &Path, name: &str) -> io::Result<Option<Process>> {
    if !pid_file.exists() {
        return Ok(None);
    }
    let (folder, leaf) = Dir::of_own(pid_file)?;
    let text = folder.read(leaf, 64)?.unwrap_or_default();
    let pid = String::from_utf8_lossy(&text).trim().parse::<u32>();
    let pid = pid.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "holds no process id"))?;
    let Ok(process) = Process::open(pid) else { return Ok(None) };
    let (program, owner) = process.program()?;
    match owner == 0 && base_name(&program) == name {
        true => Ok(Some(process)),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("pid {pid} is {}, not {name}", program.display()),
        )),
    }
}

/// Pids that are there now, in no order.
pub fn pids() -> io::Result<Vec<u32>> {
    let names = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.collect())
}

/// Children, grandchildren and so on of these pids, themselves left out, from pairs of a pid and its parent's.
pub fn descendants(of: &BTreeSet<u32>, parents: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut family = of.clone();
    loop {
        let before = family.len();
        let more = parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid);
        family.extend(more.collect::<Vec<_>>());
        if family.len() == before {
            return &family - of;
        }
    }
}

/// The living descendants of these pids, each held, that are of this uid alone, as are all between.
///
/// `open` takes hold of a pid; those that it refuses count as not there.
pub fn family(of: &BTreeSet<u32>, uid: u32, open: impl Fn(u32) -> io::Result<Process>) -> Vec<(Process, Identity)> {
    let alive = |pid| {
        let process = open(pid).ok()?;
        let is = process.identity().ok()?;
        (is.uids == [uid; 4] && !is.has_ended()).then_some((process, is))
    };
    let mut all: Vec<_> = pids().unwrap_or_default().into_iter().filter_map(alive).collect();
    let parents: Vec<(u32, u32)> = all.iter().map(|(_, is)| (is.pid, is.parent)).collect();
    let family = descendants(of, &parents);
    all.retain(|(_, is)| family.contains(&is.pid));
    all
}

/// Asks the kernel to send us SIGTERM when our parent ends (for a role that must not outlive `serve`).
pub fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?)
}

/// Raises the number of files that this process may have open to `wanted`, or as far as the hard limit lets it; says
/// how many that are then (getrlimit(2)).
pub fn raise_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current.unwrap_or(u64::MAX);
    let goal = maximum.map_or(wanted, |most| wanted.min(most)).max(now);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(goal), maximum });
    if raised.is_ok() { goal } else { now }
}

/// Gives memory that was freed back to the kernel, after work that took much more of it than what is kept.
#[allow(unsafe_code)]
pub fn give_back_memory() {
    // SAFETY: malloc_trim takes a number, looks only at the allocator's own lists under its locks, and may be called
    // from any thread.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Clock ticks per second, the unit of `start_ticks`.
#[allow(unsafe_code)]
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf takes a number, touches no memory of ours and may be called from any thread.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100)
}

fn gone(e: rustix::io::Errno) -> io::Error {
    match e {
        rustix::io::Errno::SRCH | rustix::io::Errno::NOENT => io::ErrorKind::NotFound.into(),
        other => other.into(),
    }
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc {what} has an unknown form"))
}

/// The name in field 2 is the tenant's and may hold spaces and brackets: fields count from the last bracket.
fn parse_stat(text: &str) -> Option<Identity> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    Some(Identity {
        pid,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
        uids: [u32::MAX; 4],
        exe: None,
    })
}

/// `Uid:` stands below `Name:`, whose value has its newlines escaped by the kernel.
fn parse_uids(status: &str) -> Option<[u32; 4]> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uids: Vec<u32> = line.split_whitespace().filter_map(|uid| uid.parse().ok()).collect();
    uids.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn sleeper() -> std::process::Child {
        Command::new("sleep")
            .arg("20")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn eventually(what: &str, mut test: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if test() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("never seen: {what}");
    }

    #[test]
    fn a_process_is_known_by_start_uid_and_program() {
        let mut child = sleeper();
        let process = Process::open(child.id()).unwrap();
        eventually("sleep runs", || process.program().is_ok_and(|(path, _)| path.ends_with("sleep")));
        let identity = process.identity().unwrap();
        assert_eq!(identity.parent, std::process::id());
        assert_eq!(identity.uids, [rustix::process::geteuid().as_raw(); 4]);
        let stat = rustix::fs::stat(format!("/proc/{}/exe", child.id())).unwrap();
        assert_eq!(identity.exe, Some((stat.st_dev, stat.st_ino)));
        assert!(identity.start_ticks > 0 && ticks_per_second() > 0);
        process.stop().unwrap();
        eventually("stopped", || process.identity().unwrap().state == 'T');
        process.go_on().unwrap();
        eventually("goes on", || process.identity().unwrap().state == 'S');
        process.kill().unwrap();
        eventually("ended, not reaped", || !process.is_alive());
        child.wait().unwrap();
        assert_eq!(process.identity().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(process.kill().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(Process::open(child.id()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_family_of_a_process_is_held_and_another_uid_or_what_may_not_be_opened_is_none_of_it() {
        let mut child = sleeper();
        let (own, uid) = (BTreeSet::from([std::process::id()]), rustix::process::geteuid().as_raw());
        let is_in = |uid, refused| {
            let open =
                |pid| if Some(pid) == refused { Err(io::ErrorKind::NotFound.into()) } else { Process::open(pid) };
            family(&own, uid, open).iter().any(|(process, is)| (process.pid(), is.pid) == (child.id(), child.id()))
        };
        assert!(is_in(uid, None) && !is_in(uid + 1, None) && !is_in(uid, Some(child.id())));
        assert!(family(&own, uid, Process::open).iter().all(|(_, is)| is.pid != std::process::id()));
        child.kill().unwrap();
        let held = Process::open(child.id());
        eventually("ended, not reaped", || {
            held.as_ref().map_or(true, |held| held.identity().is_ok_and(|is| is.has_ended()))
        });
        assert!(family(&own, uid, Process::open).iter().all(|(_, is)| is.pid != child.id()));
        child.wait().unwrap();
    }

    #[test]
    fn a_process_can_be_held_through_a_pidfd_that_was_handed_over() {
        let mut child = sleeper();
        let fd = Process::open(child.id()).unwrap().pidfd;
        assert_eq!(Process::from_pidfd(fd.try_clone().unwrap()).unwrap().pid(), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Process::from_pidfd(fd).unwrap_err().kind(), io::ErrorKind::NotFound);
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert_eq!(Process::from_pidfd(file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn descendants_are_found_in_any_order_and_strangers_are_none() {
        let check = |of: &[u32], parents: &[(u32, u32)]| {
            Vec::from_iter(descendants(&BTreeSet::from_iter(of.iter().copied()), parents))
        };
        assert_eq!(check(&[7], &[(10, 9), (9, 8), (8, 7), (7, 1), (11, 1)]), [8, 9, 10]);
        assert_eq!(check(&[7, 8], &[(8, 7), (9, 8), (7, 9)]), [9]);
        assert_eq!(check(&[], &[(8, 7)]), []);
    }

    #[test]
    fn hands_take_pidfds_of_the_living_and_give_back_by_pid() {
        let (hands, mut child) = (Hands::default(), sleeper());
        let pid = child.id();
        assert!(hands.clone().add(Process::open(pid).unwrap().pidfd), "a copy is the same set");
        assert!(!hands.add(OwnedFd::from(std::fs::File::open("/dev/null").unwrap())), "a file is no process");
        assert_eq!(hands.open(pid).unwrap().pid(), pid);
        assert!(hands.find(std::process::id()).is_none(), "not handed over");
        assert_eq!(hands.open(std::process::id()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(hands.find(pid).is_none(), "ended");
    }

    #[test]
    fn a_server_is_found_by_its_pid_file_and_a_stranger_with_its_pid_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let found = |name: &str| server(&file, name).map(|found| found.map(|process| process.pid()));
        assert_eq!(found("sleep").unwrap(), None, "no file");
        let mut child = sleeper();
        let process = Process::open(child.id()).unwrap();
        eventually("sleep runs", || process.program().is_ok_and(|(path, _)| path.ends_with("sleep")));
        std::fs::write(&file, format!("{}\n", child.id())).unwrap();
        assert_eq!(found("sleep").unwrap(), Some(child.id()));
        assert!(found("sshd").unwrap_err().to_string().contains("not sshd"));
        std::fs::write(&file, "x\n").unwrap();
        assert_eq!(found("sleep").unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::write(&file, format!("{}\n", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found("sleep").unwrap(), None, "ended");
        assert_eq!(base_name(Path::new("/usr/sbin/nginx (deleted)")), "nginx");
    }

    #[test]
    fn a_hostile_process_name_moves_no_field() {
        let rest = "S 41 42 43 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 987 0";
        for name in ["sleep", "a) S 1 1 1", "x (y) R 1", ") ) )"] {
            let identity = parse_stat(&format!("7 ({name}) {rest}")).unwrap();
            assert_eq!(
                (identity.pid, identity.parent, identity.group, identity.start_ticks),
                (7, 41, 42, 987),
                "{name}"
            );
        }
        assert_eq!(parse_stat("7 (x"), None);
    }
}
