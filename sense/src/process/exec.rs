//! Programs that start and end between two sweeps: the kernel's proc connector names each start, and what a tenant
//! started is read at once, before it is gone (`include/uapi/linux/cn_proc.h`, `drivers/connector/cn_proc.c`).
//!
//! What is too quick even for that, and what the kernel dropped because we were slow, is counted and said. The sweep
//! sees everything that stays, so nothing depends on this alone.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use model::Moment;
use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::net::netlink::{CONNECTOR, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with};

use super::live::{Buffers, Full, open, read};
use super::sweep::boot_time;
use super::table::{Process, State};

/// `CN_IDX_PROC` and `CN_VAL_PROC` of `include/uapi/linux/connector.h`.
const PROC: (u32, u32) = (1, 1);
/// `PROC_CN_MCAST_LISTEN` and `PROC_EVENT_EXEC`.
const LISTEN: u32 = 1;
const EXEC: u32 = 2;
/// Type `NLMSG_DONE` of netlink(7) and no flags, as the two halves of one word.
const DONE: u32 = if cfg!(target_endian = "little") { 3 } else { 3 << 16 };
/// Bytes of `struct nlmsghdr` and `struct cn_msg`; where an event says its kind, and the id of its process.
const HEAD: usize = 16;
const CONNECTOR_HEAD: usize = 20;
const KIND_AT: usize = HEAD + CONNECTOR_HEAD;
const PROCESS_AT: usize = KIND_AT + 20;
/// Most programs kept between two sweeps; the oldest go first and are counted.
const KEPT_MAX: usize = 2048;

/// The socket on which the kernel tells of starts. Asking for it needs `CAP_NET_ADMIN` before Linux 6.6, keeping it
/// needs nothing.
#[derive(Debug)]
pub struct Starts {
    socket: OwnedFd,
}

impl Starts {
    /// Asks the kernel to tell.
    ///
    /// # Errors
    /// No permission, no connector in this kernel, or not in the first network namespace.
    pub fn listen() -> io::Result<Starts> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(CONNECTOR))?;
        bind(&socket, &SocketAddrNetlink::new(0, PROC.0))?;
        // The second form, understood from Linux 6.6 on, asks for starts alone; older kernels pass over it.
        for words in [&[LISTEN][..], &[LISTEN, EXEC]] {
            sendto(&socket, &request(words), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        }
        Ok(Starts { socket })
    }

    /// The next process that began to run another program; `None`: something else, or starts were dropped (`Err`).
    fn next(&self, buffer: &mut [u8]) -> Result<Option<u32>, Errno> {
        let (length, _, from) = recvfrom(&self.socket, &mut *buffer, RecvFlags::empty())?;
        let kernel = from.and_then(|from| SocketAddrNetlink::try_from(from).ok()).is_some_and(|from| from.pid() == 0);
        Ok(kernel.then(|| started(&buffer[..length.min(buffer.len())])).flatten())
    }
}

fn request(words: &[u32]) -> Vec<u8> {
    let length = (words.len() * 4) as u32;
    let head = [HEAD as u32 + CONNECTOR_HEAD as u32 + length, DONE, 0, 0];
    let connector = [PROC.0, PROC.1, 0, 0, length];
    head.iter().chain(&connector).chain(words).flat_map(|word| word.to_ne_bytes()).collect()
}

/// The process (not the thread) of an exec event.
fn started(message: &[u8]) -> Option<u32> {
    let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
    let right = (word(HEAD)?, word(HEAD + 4)?) == PROC && word(KIND_AT)? == EXEC;
    word(PROCESS_AT).filter(|_| right)
}

/// What was caught, and what was not.
#[derive(Debug, Default)]
struct Caught {
    tenants: HashSet<u32>,
    kept: VecDeque<Process>,
    gone: u64,
    dropped: u64,
    ended: Option<String>,
}

/// How many starts escaped, since the last question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escaped {
    /// Ended before they could be read; whose they were is not known.
    pub gone: u64,
    /// Dropped: too many at once, by the kernel (each counts as one, however many) or by us.
    pub dropped: u64,
    /// Why nothing is heard any more.
    pub deaf: Option<String>,
}

/// Programs that tenants started lately, read while they ran.
#[derive(Clone, Debug, Default)]
pub struct Brief(Arc<Mutex<Caught>>);

impl Brief {
    /// Hears what starts tell, in a thread of its own that ends with the process.
    ///
    /// # Errors
    /// `/proc` cannot be opened, or no thread can be started.
    pub fn hear(starts: Starts) -> io::Result<Brief> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc_dir = openat(rustix::fs::CWD, "/proc", flags, Mode::empty())?;
        let mut buffers = Buffers::new();
        let boot = boot_time(&proc_dir, &mut buffers)?;
        let brief = Brief::default();
        let shared = brief.clone();
        std::thread::Builder::new().name("starts".into()).spawn(move || {
            let mut buffer = [0; 1024];
            loop {
                match starts.next(&mut buffer) {
                    Ok(Some(pid)) => shared.keep(pid, &proc_dir, boot, &mut buffers),
                    Ok(None) | Err(Errno::INTR) => {}
                    Err(Errno::NOBUFS) => shared.caught().dropped += 1,
                    Err(error) => {
                        shared.caught().ended = Some(error.to_string());
                        return;
                    }
                }
            }
        })?;
        Ok(brief)
    }

    /// Whose programs are kept.
    pub fn watch(&self, tenants: impl Iterator<Item = u32>) {
        self.caught().tenants = tenants.collect();
    }

    /// What was caught since the last call, in the order in which it started.
    pub fn take(&self) -> (Vec<Process>, Escaped) {
        let mut caught = self.caught();
        let escaped = Escaped { gone: caught.gone, dropped: caught.dropped, deaf: caught.ended.clone() };
        (caught.gone, caught.dropped) = (0, 0);
        (caught.kept.drain(..).collect(), escaped)
    }

    fn keep(&self, pid: u32, proc_dir: &OwnedFd, boot: Moment, buffers: &mut Buffers) {
        let name = pid.to_string();
        let Some(dir) = open(proc_dir.as_fd(), &name) else {
            self.caught().gone += 1;
            return;
        };
        // Most starts are the system's own: one look at the owner settles that. Root's may be a tenant's that the
        // kernel protects.
        let owner = fstat(&dir).map_or(u32::MAX, |stat| stat.st_uid);
        if owner != 0 && !self.caught().tenants.contains(&owner) {
            return;
        }
        let tenant = |uid| self.caught().tenants.contains(&uid);
        let found = read(proc_dir.as_fd(), pid, &name, boot, &tenant, buffers);
        let mut caught = self.caught();
        match found {
            Some((Full { mut process, .. }, _)) if caught.tenants.contains(&process.uid) => {
                process.state = State::Ended;
                if caught.kept.len() == KEPT_MAX {
                    caught.kept.pop_front();
                    caught.dropped += 1;
                }
                caught.kept.push_back(process);
            }
            Some(_) => {}
            None => caught.gone += 1,
        }
    }

    fn caught(&self) -> MutexGuard<'_, Caught> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event as the kernel lays it out (x86-64 and every other: all fields are 4 or 8 bytes and aligned).
    fn event(kind: u32, pid: u32, tgid: u32) -> Vec<u8> {
        let words = [76, 3, 0, 0, 1, 1, 9, 0, 40, kind, 0, 1, 1, pid, tgid, 0, 0, 0, 0];
        words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
    }

    #[test]
    fn only_a_whole_exec_event_names_a_process() {
        assert_eq!(started(&event(EXEC, 8, 7)), Some(7), "the process, not its thread");
        assert_eq!(started(&event(1, 8, 7)), None, "a fork");
        let whole = event(EXEC, 8, 7);
        for cut in 0..PROCESS_AT + 4 {
            assert_eq!(started(&whole[..cut]), None, "{cut}");
        }
        let mut foreign = whole;
        foreign[HEAD] = 5;
        assert_eq!(started(&foreign), None, "another connector's");
    }

    #[test]
    fn requests_are_as_long_as_they_say() {
        for words in [&[LISTEN][..], &[LISTEN, EXEC]] {
            let bytes = request(words);
            assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
            assert_eq!(u16::from_ne_bytes(bytes[32..34].try_into().unwrap()) as usize, words.len() * 4);
        }
    }

    #[test]
    fn a_program_that_is_gone_at_the_sweep_was_seen() {
        let Ok(starts) = Starts::listen() else {
            println!("SKIPPED: the kernel tells of no starts here (no right, or no connector)");
            return;
        };
        let brief = Brief::hear(starts).unwrap();
        brief.watch([rustix::process::geteuid().as_raw()].into_iter());
        // It waits for its standard input, so it is there until it was read.
        let mut child = std::process::Command::new("/bin/cat");
        let mut child = child.arg("--").arg("-").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let seen = (0..100_000).find_map(|_| {
            std::thread::yield_now();
            brief.take().0.into_iter().find(|process| process.pid == pid)
        });
        drop(child.stdin.take());
        child.wait().unwrap();
        let seen = seen.expect("its start was heard");
        assert_eq!((seen.state, seen.argv.len(), seen.exe.is_empty()), (State::Ended, 3, false));
    }
}
