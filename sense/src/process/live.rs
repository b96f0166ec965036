//! Reads one live process from `/proc` (proc(5)), with one reused buffer and no more calls than needed.
//!
//! Everything of one process is read below one handle of its directory: when the pid is given to somebody else in
//! between, the old handle answers "no such process" instead of mixing two processes.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::{Moment, Span};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, fstat, openat, readlinkat_raw, statat};
use rustix::io::Errno;

use super::table::{FDS_MAX, Process, State};

/// Clock ticks a second in `/proc` (`USER_HZ`): 100 on every machine that this program is built for.
pub const TICKS_PER_SECOND: u64 = 100;
/// Microseconds of one tick.
const TICK: i64 = 1_000_000 / TICKS_PER_SECOND as i64;
/// Longest command line kept, bytes.
const ARGV_BYTES_MAX: usize = 16 * 1024;
/// Most arguments kept.
const ARGV_MAX: usize = 256;
/// `PF_KTHREAD` of `include/linux/sched.h`: only the kernel can set it.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Reused room for what the kernel says.
pub struct Buffers {
    /// File contents.
    pub file: Vec<u8>,
    link: [MaybeUninit<u8>; 4096],
    names: Box<[MaybeUninit<u8>]>,
}

impl Buffers {
    /// Fresh buffers.
    pub fn new() -> Buffers {
        Buffers {
            file: vec![0; 64 * 1024],
            link: [MaybeUninit::uninit(); 4096],
            names: vec![MaybeUninit::uninit(); 32 * 1024].into_boxed_slice(),
        }
    }

    /// The beginning of a file, as much as fits into the buffer with one or more reads.
    pub fn read(&mut self, dir: impl AsFd, name: &str, bytes_max: usize) -> Result<&[u8], Errno> {
        let file = openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let room = bytes_max.min(self.file.len());
        let mut length = 0;
        while length < room {
            match rustix::io::read(&file, &mut self.file[length..room])? {
                0 => break,
                more => length += more,
            }
            // Small files of /proc come in one piece; a second read would only say "end".
            if length < 3072 {
                break;
            }
        }
        Ok(&self.file[..length])
    }

    /// A whole file of any size up to `bytes_max`.
    pub fn read_long(&mut self, dir: impl AsFd, name: &str, bytes_max: usize) -> Result<Vec<u8>, Errno> {
        let file = openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut whole = Vec::new();
        while whole.len() < bytes_max {
            match rustix::io::read(&file, &mut self.file)? {
                0 => break,
                more => whole.extend_from_slice(&self.file[..more]),
            }
        }
        Ok(whole)
    }

    /// Where a link points.
    pub fn link(&mut self, dir: impl AsFd, name: &str) -> Result<&[u8], Errno> {
        let (target, _) = readlinkat_raw(dir, name, &mut self.link)?;
        Ok(target)
    }
}

/// `/proc/pid/stat`, the fields in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Field 3.
    pub letter: u8,
    /// Field 4.
    pub ppid: u32,
    /// Field 7.
    pub tty: u32,
    /// Field 9.
    pub flags: u64,
    /// Fields 14 and 15, ticks.
    pub cpu_ticks: u64,
    /// Field 22.
    pub start_ticks: u64,
    /// Fields 26, 28 and 48 (code, stack, arguments): another program in the same process has others. Zero or one
    /// each when we may not trace the process.
    pub image: [u64; 3],
}

impl Stat {
    /// Reads the line; `comm` stands in parentheses and may hold parentheses, spaces and newlines itself, so the
    /// last `)` ends it.
    pub fn parse(line: &[u8]) -> Option<(Stat, &[u8])> {
        let open = line.iter().position(|b| *b == b'(')?;
        let close = line.iter().rposition(|b| *b == b')')?;
        let comm = line.get(open + 1..close)?;
        let mut stat = Stat::default();
        let mut field = 3;
        for word in line.get(close + 2..)?.split(|b| *b == b' ' || *b == b'\n') {
            match field {
                3 => stat.letter = *word.first()?,
                4 => stat.ppid = number(word)? as u32,
                7 => stat.tty = number(word).unwrap_or(0) as u32,
                9 => stat.flags = number(word)?,
                14 | 15 => stat.cpu_ticks += number(word)?,
                22 => stat.start_ticks = number(word)?,
                26 => stat.image[0] = number(word)?,
                28 => stat.image[1] = number(word)?,
                48 => {
                    stat.image[2] = number(word)?;
                    break;
                }
                _ => {}
            }
            field += 1;
        }
        (field >= 22).then_some((stat, comm))
    }

    /// CPU time used.
    pub fn cpu(&self) -> Span {
        Span(self.cpu_ticks as i64 * TICK)
    }

    /// A thread of the kernel.
    pub fn kernel(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Whether the image marks can be trusted: without the right to trace they are 0 or 1.
    pub fn shows_image(&self) -> bool {
        self.image.iter().all(|mark| *mark > 1)
    }
}

/// Decimal digits as a number.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, b| {
        b.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}

/// What could not be read of one process, because we may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// The program link.
    pub program: bool,
    /// The open files.
    pub files: bool,
}

/// One process read in full, with the inodes of its sockets.
pub struct Full {
    /// The process; its sockets are still to be joined.
    pub process: Process,
    /// Inodes of its sockets.
    pub inodes: Vec<u64>,
    /// What we may not see.
    pub denied: Denied,
}

/// Opens a process's directory; `None` when it is gone.
pub fn open(proc_dir: BorrowedFd<'_>, pid: &str) -> Option<OwnedFd> {
    openat(proc_dir, pid, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Reads everything of one process; `None` when it is gone.
pub fn read(
    proc_dir: BorrowedFd<'_>,
    pid: u32,
    name: &str,
    boot: Moment,
    tenant: &dyn Fn(u32) -> bool,
    buffers: &mut Buffers,
) -> Option<(Full, Stat)> {
    let dir = open(proc_dir, name)?;
    let (stat, comm) = {
        let (stat, comm) = Stat::parse(buffers.read(&dir, "stat", 4096).ok()?)?;
        (stat, comm.to_vec())
    };
    let mut process = Process {
        pid,
        ppid: stat.ppid,
        uid: 0,
        comm,
        exe: Vec::new(),
        deleted: false,
        memfd: false,
        exe_dev: 0,
        exe_ino: 0,
        exe_uid: None,
        argv: Vec::new(),
        cwd: Vec::new(),
        start: boot + Span((stat.start_ticks as i64).saturating_mul(TICK)),
        start_ticks: stat.start_ticks,
        cpu: stat.cpu(),
        state: State::from_letter(stat.letter),
        fds: Vec::new(),
        sockets: Vec::new(),
        tty: stat.tty,
        kernel: stat.kernel(),
    };
    let mut full = Full { process: process.clone(), inodes: Vec::new(), denied: Denied::default() };
    if process.kernel {
        return Some((full, stat));
    }
    // The directory belongs to the effective uid, but to root when the process may not be traced (after setuid,
    // as pool workers are): only then the longer `status` has to say who it is.
    process.uid = fstat(&dir).ok()?.st_uid;
    if process.uid == 0 {
        process.uid = real_uid(buffers.read(&dir, "status", 4096).ok()?)?;
    }
    if process.state != State::Zombie {
        process.argv = arguments(buffers.read(&dir, "cmdline", ARGV_BYTES_MAX).ok()?);
        match buffers.link(&dir, "exe") {
            Ok(path) => program(&mut process, path),
            Err(Errno::ACCESS | Errno::PERM) => full.denied.program = true,
            Err(_) => {}
        }
        if tenant(process.uid) {
            if let Ok(found) = statat(&dir, "exe", AtFlags::empty()) {
                process.exe_dev = found.st_dev;
                process.exe_ino = found.st_ino;
                process.exe_uid = Some(found.st_uid);
            }
            process.cwd = buffers.link(&dir, "cwd").map(<[u8]>::to_vec).unwrap_or_default();
            full.denied.files = files(&dir, &mut process, &mut full.inodes, buffers).is_err();
        }
    }
    full.process = process;
    Some((full, stat))
}

/// Takes the target of the `exe` link apart.
fn program(process: &mut Process, path: &[u8]) {
    let (path, deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    process.memfd = path.starts_with(b"/memfd:");
    process.deleted = deleted;
    process.exe = path.to_vec();
}

/// The first number of the line `Uid:`: the real uid.
fn real_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"Uid:\t"))?;
    number(line.split(|b| *b == b'\t').next()?).map(|uid| uid as u32)
}

/// Splits a command line at its NULs.
pub fn arguments(line: &[u8]) -> Vec<Vec<u8>> {
    if line.is_empty() {
        return Vec::new();
    }
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    line.split(|b| *b == 0).take(ARGV_MAX).map(<[u8]>::to_vec).collect()
}

/// Reads open files; sockets become inodes, everything else keeps its path.
fn files(dir: &OwnedFd, process: &mut Process, inodes: &mut Vec<u64>, buffers: &mut Buffers) -> Result<(), Errno> {
    let folder = match openat(dir, "fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(error @ (Errno::ACCESS | Errno::PERM)) => return Err(error),
        Err(_) => return Ok(()), // ended in between
        Ok(folder) => folder,
    };
    let mut names = RawDir::new(&folder, &mut buffers.names);
    while let Some(Ok(entry)) = names.next() {
        if entry.file_name().to_bytes().first() == Some(&b'.') {
            continue;
        }
        let Ok((target, _)) = readlinkat_raw(&folder, entry.file_name(), &mut buffers.link) else { continue };
        let target: &[u8] = target;
        match target.strip_prefix(b"socket:[").and_then(|rest| number(rest.strip_suffix(b"]")?)) {
            Some(inode) if inodes.len() < super::table::SOCKETS_MAX => inodes.push(inode),
            Some(_) => {}
            // Event queues and timers of the kernel say nothing about a program; pipes tell who feeds whom.
            None if target.starts_with(b"anon_inode:") => {}
            None if process.fds.len() < FDS_MAX => process.fds.push(target.to_vec()),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_newlines_does_not_shift_the_fields() {
        let line = b"77 (a) R 1 (\n) S 5 7 7 34816 7 4194560 1 0 0 0 12 3 0 0 20 0 1 0 9000 1 1 1 111 1 222 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 333 0 0 0 0\n";
        let (stat, comm) = Stat::parse(line).unwrap();
        assert_eq!(comm, b"a) R 1 (\n");
        assert_eq!((stat.ppid, stat.cpu_ticks, stat.start_ticks, stat.tty), (5, 15, 9000, 34816));
        assert_eq!(stat.image, [111, 222, 333]);
    }

    #[test]
    fn arguments_keep_empty_strings_and_bytes() {
        assert_eq!(arguments(b"a\0\0\xff\n\0"), [b"a".to_vec(), Vec::new(), b"\xff\n".to_vec()]);
        assert!(arguments(b"").is_empty());
    }

    #[test]
    fn the_real_uid_is_the_first_of_four() {
        assert_eq!(real_uid(b"Name:\tx\nUid:\t2001\t0\t0\t0\nGid:\t1\t1\t1\t1\n"), Some(2001));
    }
}
