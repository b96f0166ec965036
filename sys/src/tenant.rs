//! Runs one fixed program with the rights of a tenant and no more: for what only the tenant's own code can do.
//!
//! What the program loads may be hostile. It therefore has the tenant's uid, no group of anybody, no way to gain
//! rights, no descriptor of ours but a pipe to print into, nothing to fork with, and little time, memory and space. As
//! it cannot fork (RLIMIT_NPROC is 1, and the uid has this process already), nothing of it is left when it is killed.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};

use crate::dir::Dir;
use crate::process::Process;

/// A group that owns nothing (`nogroup`, `nobody`): the tenant's own is not known for sure, and a folder's may be a
/// server's.
const NO_GROUP: u32 = 65_534;
/// Most bytes taken of what is printed; the pipe holds no more, so who prints more waits until it is killed.
const OUTPUT_MAX: u64 = 64 * 1024;
const LIMITS: [(Resource, u64); 7] = [
    (Resource::Cpu, 10),       // seconds
    (Resource::As, 512 << 20), // bytes
    (Resource::Fsize, 0),      // bytes a file
    (Resource::Core, 0),       // bytes
    (Resource::Nofile, 64),    // descriptors
    (Resource::Nproc, 1),      // processes and threads of the uid, this one included
    (Resource::Memlock, 0),    // bytes
];

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// It ended by itself, in time, with 0.
    pub success: bool,
    /// False: it was still running after the given time and was killed.
    pub in_time: bool,
    /// What it printed, at most 64 KiB; its standard error is thrown away.
    pub output: Vec<u8>,
}

/// Runs `program` in `folder` as `uid` (which must be our own when we are not root), with nothing on standard input.
///
/// Errors: it cannot be started with these limits, or cannot be reaped (a process of the same uid traces it).
#[allow(unsafe_code)]
pub fn run(uid: u32, folder: &Dir, program: &Path, arguments: &[&str], wait: Duration) -> io::Result<Ended> {
    let root = rustix::process::geteuid().is_root();
    if uid == 0 || (!root && uid != rustix::process::geteuid().as_raw()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("cannot run anything as uid {uid}")));
    }
    let (printed, out) = io::pipe()?;
    rustix::io::ioctl_fionbio(&printed, true)?;
    let folder = folder.as_fd().try_clone_to_owned()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::from(out)).stderr(Stdio::null());
    if root {
        command.gid(NO_GROUP).uid(uid); // clears the other groups too
    }
    // SAFETY: between fork and exec it makes system calls only, on values that were made before the fork.
    unsafe { command.pre_exec(move || confine(uid, root, folder.as_fd())) };
    let mut child = command.spawn()?;
    drop(command); // and with it our end of the pipe for writing
    let in_time = Process::open(child.id()).map_or(true, |process| process.wait_end(wait));
    let status = reap(&mut child)?;
    Ok(Ended { success: in_time && status, in_time, output: read(printed) })
}

/// Runs in the child, which has the tenant's uid already.
#[allow(unsafe_code)]
fn confine(uid: u32, was_root: bool, folder: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: none of these calls takes a pointer.
    let way_back = was_root && unsafe { libc::setuid(0) == 0 || libc::seteuid(0) == 0 };
    if way_back || rustix::process::getuid().as_raw() != uid || rustix::process::geteuid().as_raw() != uid {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    rustix::process::fchdir(folder)?;
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: SIG_IGN is no function of ours. A write beyond the limit is then an error and not the end.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    for (resource, most) in LIMITS {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // SAFETY: takes no pointer. The pipe that reports a failed exec stays open until then.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked != 0 {
        // Kernels before 5.11. What we open ourselves closes on exec; only what we were given may not, and is low.
        for fd in 3..1024 {
            // SAFETY: takes no pointer; a descriptor that is not open is an error that changes nothing.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Kills what is left and takes its status, without waiting for a process that somebody else holds on to.
fn reap(child: &mut Child) -> io::Result<bool> {
    let _ = child.kill();
    for _ in 0..200 {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other(format!("process {} was killed, but another process of its uid traces it", child.id())))
}

fn read(printed: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = printed.take(OUTPUT_MAX).read_to_end(&mut bytes); // up to «would block»: somebody has the other end still
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: u32 = 20_269;

    fn ran(program: &str, arguments: &[&str]) -> Option<Ended> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: other uids need root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(UID), Some(0)).unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        Some(run(UID, &dir, Path::new(program), arguments, Duration::from_secs(5)).unwrap())
    }

    fn shell(script: &str) -> Option<Ended> {
        ran("/bin/sh", &["-c", script])
    }

    fn text(ended: Ended) -> String {
        String::from_utf8(ended.output).unwrap()
    }

    #[test]
    fn it_has_the_tenants_rights_no_groups_no_descriptors_and_no_way_to_more() {
        // A descriptor that does not close on exec, as one handed over by a parent.
        let secret = std::fs::File::open("/etc/passwd").unwrap();
        rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
        let Some(ended) = ran("/bin/cat", &["/proc/self/status"]) else { return };
        let status = text(ended);
        let uids = format!("Uid:\t{UID}\t{UID}\t{UID}\t{UID}\n");
        for line in [&uids, "Groups:\t \n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n"] {
            assert!(status.contains(line), "{line}: {status}");
        }
        let folder = "/proc/self/fd"; // ls opens the fourth itself
        assert_eq!(text(ran("/bin/ls", &[folder]).unwrap()), "0\n1\n2\n3\n");
        assert_eq!(text(ran("/usr/bin/env", &[]).unwrap()), "LC_ALL=C\nPATH=/usr/bin:/bin\n");
        assert_eq!(text(ran("/bin/cat", &["/etc/shadow"]).unwrap()), "");
        // The naive twin: the same uid and no more care.
        let twin = |program: &str, argument: &str| {
            String::from_utf8(Command::new(program).arg(argument).uid(UID).output().unwrap().stdout).unwrap()
        };
        assert!(twin("/bin/cat", "/proc/self/status").contains("NoNewPrivs:\t0\n"));
        assert!(twin("/bin/ls", folder).lines().count() > 4, "the twin keeps the descriptor");
    }

    #[test]
    fn it_cannot_fork_write_files_print_without_end_or_stay() {
        let Some(ended) = shell("(sleep 60) & echo forked") else { return };
        assert!(!String::from_utf8_lossy(&ended.output).contains("forked"), "{ended:?}");
        let ended = shell("echo x > file; read a < file && echo written; echo end").unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.output), "end\n");
        for endless in ["while :; do echo y; done", "while :; do :; done"] {
            let ended = shell(endless).unwrap();
            assert!(!ended.in_time && !ended.success && ended.output.len() as u64 <= OUTPUT_MAX, "{endless}");
        }
    }

    #[test]
    fn a_tracer_of_the_same_uid_cannot_make_us_wait_for_ever() {
        let python = "/usr/bin/python3";
        if !Path::new(python).exists() || !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: the tracer needs root and Python");
            return;
        }
        let script = "import ctypes, os, time
libc = ctypes.CDLL(None)
seen = False
while not seen:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try: seen |= b'tail' in open(f'/proc/{pid}/cmdline', 'rb').read() and libc.ptrace(0x4206, int(pid), 0, 0) == 0
        except OSError: pass
time.sleep(60)";
        let mut tracer = Command::new(python).args(["-c", script]).uid(UID).spawn().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(UID), None).unwrap();
        let ended = run(UID, &dir, Path::new("/usr/bin/tail"), &["-f", "/dev/null"], Duration::from_secs(3));
        let _ = tracer.kill().and_then(|()| tracer.wait());
        match ended {
            Err(why) => assert!(why.to_string().contains("traces it"), "{why}"),
            Ok(_) => eprintln!("SKIPPED: this kernel lets nobody trace"),
        }
    }

    #[test]
    fn root_and_foreign_uids_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let error = run(0, &dir, Path::new("/bin/true"), &[], Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
