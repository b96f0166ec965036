//! Tries what a role must never do, harmlessly, and says whether the kernel refused it.
//!
//! Where doing it would do harm, arguments are wrong in a way that the kernel looks at only after it asked whether
//! the caller may: any error but a refusal then means that it was allowed.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::ptr::{null, null_mut};

use rustix::process::Pid;

use crate::socket::Connection;

/// One thing to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Open for reading (a folder too).
    Read(PathBuf),
    /// Open for writing; nothing is written.
    Write(PathBuf),
    /// Make a file, which is removed at once.
    Make(PathBuf),
    /// Connect over TCP to this port of the loopback address; a refused connection was allowed.
    Internet(u16),
    /// Connect to a role's socket.
    Local(PathBuf),
    /// Make a process.
    Fork,
    /// Become root.
    Root,
    /// Take the capability that means most.
    Capabilities,
    /// Signal 0 to pid 1.
    Signal,
    /// Attach to the parent as a debugger; ends with us.
    Trace,
    /// Read the parent's memory.
    Memory,
    /// Map memory that can be executed.
    Executable,
    /// Mount a file system of a kind that does not exist.
    Mount,
    /// Change the root folder to what it is.
    Chroot,
    /// A mount name space of its own.
    NameSpace,
    /// Enter another name space.
    Enter,
    /// Load an empty kernel module.
    Module,
    /// Load a program into the kernel.
    Bpf,
    /// Count events of the processor.
    Events,
    /// The session keyring.
    Keyring,
    /// A ring of calls that no filter sees.
    Ring,
    /// Handle page faults.
    Faults,
    /// Set the clock to nothing.
    Clock,
    /// All packets of the network.
    Packets,
    /// Open a file by its inode, past all folders.
    Handle,
    /// Replace this process by a shell, which says so; must come last.
    Shell,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The kernel refused it.
    Denied,
    /// This kernel was built without it.
    Absent,
    /// It was let, with whatever result.
    Allowed,
}

impl Attempt {
    /// For a person.
    pub fn name(&self) -> String {
        match self {
            Attempt::Read(path) => format!("read {}", path.display()),
            Attempt::Write(path) => format!("write {}", path.display()),
            Attempt::Make(path) => format!("make {}", path.display()),
            Attempt::Internet(port) => format!("connect to 127.0.0.1:{port}"),
            Attempt::Local(path) => format!("connect to {}", path.display()),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    /// Tries it.
    pub fn result(&self) -> Tried {
        match self.make().map_err(|error| error.raw_os_error()) {
            Err(Some(libc::EPERM | libc::EACCES)) => Tried::Denied,
            Err(Some(libc::ENOSYS)) => Tried::Absent,
            Ok(()) | Err(_) => Tried::Allowed,
        }
    }

    #[allow(unsafe_code)]
    fn make(&self) -> io::Result<()> {
        let parent = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
        match self {
            Attempt::Read(path) => File::open(path).map(drop),
            Attempt::Write(path) => OpenOptions::new().write(true).open(path).map(drop),
            Attempt::Make(path) => {
                OpenOptions::new().write(true).create_new(true).open(path)?;
                std::fs::remove_file(path)
            }
            Attempt::Internet(port) => TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).map(drop),
            Attempt::Local(path) => Connection::connect(path).map(drop),
            Attempt::Root => Ok(rustix::thread::set_thread_res_uid(
                rustix::process::Uid::ROOT,
                rustix::process::Uid::ROOT,
                rustix::process::Uid::ROOT,
            )?),
            Attempt::Capabilities => {
                let mut sets = rustix::thread::capabilities(None)?;
                sets.effective |= super::CapabilitySet::SYS_ADMIN;
                sets.permitted |= super::CapabilitySet::SYS_ADMIN;
                Ok(rustix::thread::set_capabilities(None, sets)?)
            }
            Attempt::Signal => Ok(rustix::process::test_kill_process(Pid::INIT)?),
            Attempt::Shell => {
                use std::os::unix::process::CommandExt;
                Err(std::process::Command::new("/bin/sh").args(["-c", "echo ALLOWED shell"]).exec())
            }
            Attempt::Fork => {
                // SAFETY: this process has one thread, and the child does nothing but end.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    // SAFETY: ends the child without running anything of ours.
                    unsafe { libc::_exit(0) }
                }
                check(pid.into())?;
                // SAFETY: a child of ours, no status is asked for.
                check(unsafe { libc::waitpid(pid, null_mut(), 0) }.into())
            }
            Attempt::Executable => {
                let exec = libc::PROT_READ | libc::PROT_EXEC;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                // SAFETY: new memory at a place of the kernel's choice, that nobody uses.
                let place = unsafe { libc::mmap(null_mut(), 4096, exec, flags, -1, 0) };
                if place == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
            }
            Attempt::Memory => {
                let mut byte = 0u8;
                let ours = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
                let theirs = libc::iovec { iov_base: null_mut(), iov_len: 1 };
                // SAFETY: one byte of ours is writable for the length of the call; theirs is nowhere (EFAULT).
                check(unsafe { libc::process_vm_readv(parent, &ours, 1, &theirs, 1, 0) } as i64)
            }
            plain => {
                let (call, arguments) = plain.call(parent.into());
                let [a, b, c, d, e] = arguments;
                // SAFETY: every pointer among these arguments is null or a static string that the kernel only
                // reads; none of the calls writes into memory of ours with them.
                check(unsafe { libc::syscall(call, a, b, c, d, e) })
            }
        }
    }

    /// A call that needs no memory of ours.
    fn call(&self, parent: i64) -> (i64, [i64; 5]) {
        let none = null::<u8>() as i64;
        let text = |text: &'static std::ffi::CStr| text.as_ptr() as i64;
        match self {
            Attempt::Trace => (libc::SYS_ptrace, [0x4206, parent, 0, 0, 0]), // PTRACE_SEIZE does not stop it
            Attempt::Mount => (libc::SYS_mount, [text(c"none"), text(c"/"), text(c"no-such-kind"), 0, none]),
            Attempt::Chroot => (libc::SYS_chroot, [text(c"/"), 0, 0, 0, 0]),
            Attempt::NameSpace => (libc::SYS_unshare, [libc::CLONE_NEWNS.into(), 0, 0, 0, 0]),
            Attempt::Enter => (libc::SYS_setns, [-1, 0, 0, 0, 0]),
            Attempt::Module => (libc::SYS_init_module, [none, 0, text(c""), 0, 0]),
            Attempt::Bpf => (libc::SYS_bpf, [0, none, 0, 0, 0]),
            Attempt::Events => (libc::SYS_perf_event_open, [none, 0, -1, -1, 0]),
            Attempt::Keyring => (libc::SYS_keyctl, [0, -3, 0, 0, 0]), // KEYCTL_GET_KEYRING_ID of the session
            Attempt::Ring => (libc::SYS_io_uring_setup, [0, none, 0, 0, 0]),
            Attempt::Faults => (libc::SYS_userfaultfd, [-1, 0, 0, 0, 0]),
            Attempt::Clock => (libc::SYS_clock_settime, [0, none, 0, 0, 0]),
            Attempt::Packets => {
                (libc::SYS_socket, [libc::AF_PACKET.into(), (libc::SOCK_RAW | libc::SOCK_CLOEXEC).into(), 0, 0, 0])
            }
            Attempt::Handle => (libc::SYS_open_by_handle_at, [libc::AT_FDCWD.into(), none, 0, 0, 0]),
            _ => unreachable!("tried by name above"),
        }
    }
}

fn check(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
