//! Runs one fixed program with the rights of a tenant and no more: for what only the tenant's own code can do.
//!
//! What the program loads may be hostile. It therefore has the tenant's uid, no group of anybody, no way to gain
//! rights, no descriptor of ours but a pipe to print into, nothing to fork with, and little time, memory and space. As
//! it cannot fork (RLIMIT_NPROC is 1, and the uid has this process already), nothing of it is left when it is killed.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::dir::Dir;
use crate::process::Process;
use crate::program::{Ended, reap};

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

/// Runs `program` in `folder` as `uid` (which must be our own when we are not root), with nothing on standard input;
/// the output is at most 64 KiB, its standard error is thrown away.
///
/// From the moment at which it has its uid, other processes of that uid may stop, trace or kill it: so nothing here
/// waits for it without an end, also not for its exec, as the standard library does.
///
/// Errors: it cannot be started, or not be reaped because another process traces it. An exec that fails is no success.
#[allow(unsafe_code)]
pub fn run(uid: u32, folder: &Dir, program: &Path, arguments: &[&str], wait: Duration) -> io::Result<Ended> {
    let root = rustix::process::geteuid().is_root();
    if uid == 0 || (!root && uid != rustix::process::geteuid().as_raw()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("cannot run anything as uid {uid}")));
    }
    let (printed, out) = io::pipe()?;
    rustix::io::ioctl_fionbio(&printed, true)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let words = [program.as_os_str().as_bytes()].into_iter().chain(arguments.iter().map(|a| a.as_bytes()));
    let words = words.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let mut argv: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(null_mut());
    let environment = [c"PATH=/usr/bin:/bin".as_ptr(), c"LC_ALL=C".as_ptr(), null_mut()];
    let streams = [null.as_raw_fd(), out.as_raw_fd(), null.as_raw_fd()];
    // SAFETY: the child makes system calls only, on values made before, and ends in exec or exit.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: argv and environment end with a null pointer, and what they point to lives as long as this frame.
        0 => unsafe {
            if confine(uid, root, folder.as_fd(), streams).is_ok() {
                libc::execve(argv[0], argv.as_ptr(), environment.as_ptr());
            }
            libc::_exit(127)
        },
        pid => pid,
    };
    drop(out);
    // The pid is ours until it is reaped; who cannot be held has ended.
    let in_time = Process::open(pid.unsigned_abs()).map_or(true, |process| process.wait_end(wait));
    let success = reap(Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?)?;
    Ok(Ended { success: in_time && success, in_time, output: read(printed) })
}

/// Runs in the child.
#[allow(unsafe_code)]
fn confine(uid: u32, root: bool, folder: BorrowedFd<'_>, streams: [RawFd; 3]) -> io::Result<()> {
    let done = |result: i32| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    for (fd, stream) in streams.into_iter().enumerate() {
        // SAFETY: takes no pointer; 0, 1 and 2 belong to nobody else in this process.
        done(unsafe { libc::dup2(stream, fd as RawFd) })?;
    }
    // SAFETY: takes no pointer. Kernels before 5.11 know no such flag: what we open ourselves closes on exec, only what
    // we were given may not, and is low; a descriptor that is not open is an error that changes nothing.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == -1 {
            (3..1024).for_each(|fd| {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            });
        }
    }
    // SAFETY: the set lives on this stack; SIG_IGN and SIG_DFL are no functions of ours. A write beyond the limit is
    // then an error and not the end.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        done(libc::sigprocmask(libc::SIG_SETMASK, &none, null_mut()))?;
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if root {
        // SAFETY: an empty list needs no pointer.
        unsafe {
            done(libc::setgroups(0, std::ptr::null()))?;
            done(libc::setresgid(NO_GROUP, NO_GROUP, NO_GROUP))?;
            done(libc::setresuid(uid, uid, uid))?;
            if libc::setuid(0) != -1 || libc::getuid() != uid || libc::geteuid() != uid {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
    }
    // Only now: the first would be forgotten with the old uid, and exec counts processes as of the change.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, most) in LIMITS {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    rustix::thread::set_no_new_privs(true)?;
    Ok(rustix::process::fchdir(folder)?)
}

fn read(printed: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = printed.take(OUTPUT_MAX).read_to_end(&mut bytes); // up to «would block»: somebody has the other end still
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

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
        assert_eq!(text(ran("/usr/bin/env", &[]).unwrap()), "PATH=/usr/bin:/bin\nLC_ALL=C\n");
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

    /// Does `work` while a process of this uid does `what` to every process that it may touch; `None` when it cannot.
    fn molested<T>(uid: u32, what: &str, work: impl FnOnce() -> T) -> Option<T> {
        let python = "/usr/bin/python3";
        if !Path::new(python).exists() || !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a process that molests needs root and Python");
            return None;
        }
        let script = format!("import ctypes, os\nlibc = ctypes.CDLL(None)\nprint(flush=True)\nwhile True:\n {what}");
        let mut command = Command::new(python);
        command.args(["-c", &script]).uid(uid).stdout(std::process::Stdio::piped());
        let mut other = command.spawn().unwrap();
        other.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let done = work();
        other.kill().and_then(|()| other.wait()).unwrap();
        Some(done)
    }

    fn tail(uid: u32) -> io::Result<Ended> {
        let dir = Dir::open(Path::new("/")).unwrap();
        run(uid, &dir, Path::new("/usr/bin/tail"), &["-f", "/dev/null"], Duration::from_secs(2))
    }

    #[test]
    fn another_process_of_the_uid_cannot_make_us_wait_for_ever() {
        let stop = "libc.kill(-1, 19)";
        let Some(stopped) = molested(20_277, stop, || tail(20_277)) else { return };
        assert!(!stopped.unwrap().in_time);
        // A zombie whose tracer does not wait for it cannot be reaped; a plain wait for it would never return.
        let traces = "[libc.ptrace(0x4206, int(p), 0, 0) for p in os.listdir('/proc') if p.isdigit()]";
        match molested(20_278, traces, || tail(20_278)).unwrap() {
            Err(why) => assert!(why.to_string().contains("did not go"), "{why}"),
            Ok(ended) => assert!(!ended.in_time, "this kernel lets nobody trace: {ended:?}"),
        }
        // The naive twin waits for the exec of a process that was stopped before it.
        let (tell, told) = std::sync::mpsc::channel();
        let twin = move || {
            for _ in 0..1000 {
                let mut child = Command::new("/bin/true").uid(20_279).spawn()?;
                child.kill().and_then(|()| child.wait())?;
                let _ = tell.send(());
            }
            io::Result::Ok(())
        };
        let hangs = molested(20_279, stop, || {
            std::thread::spawn(twin);
            loop {
                match told.recv_timeout(Duration::from_secs(2)) {
                    Ok(()) => {}
                    Err(ended) => break ended == std::sync::mpsc::RecvTimeoutError::Timeout,
                }
            }
        });
        for pid in crate::process::pids().unwrap() {
            let process = Process::open(pid).ok().filter(|p| p.identity().is_ok_and(|is| is.uids[0] == 20_279));
            let _ = process.map(|process| process.kill());
        }
        assert_eq!(hangs, Some(true), "the twin must wait for ever");
    }

    #[test]
    fn root_and_foreign_uids_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let error = run(0, &dir, Path::new("/bin/true"), &[], Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
