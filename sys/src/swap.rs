//! Changes one file that somebody else may change at the same moment, and loses nobody's change.
//!
//! A list is read, a new one is written beside it and both change places (renameat2(2), RENAME_EXCHANGE). What came
//! out must be what was read, byte for byte and with no writer left; otherwise it goes back. Owner, group, mode and
//! extended attributes (ACLs are such) are those of the file that was read.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::dir::Dir;

/// Nanoseconds of the time of change of each file that is put in place: how a file of ours is known after a crash
/// (on a file system that keeps whole seconds it is not known, and the newer of two files stays).
const OURS_NS: i64 = 720_260_321;
/// fcntl(2)'s number on Linux (asm-generic/fcntl.h); the libc crate does not have it.
const F_SETSIG: libc::c_int = 10;
/// How long a file that goes back is kept away from its place until its writer is done.
const WRITER_WAIT_MAX: Duration = Duration::from_millis(50);
/// Tries of a change against somebody who changes the file all the time.
const TRIES_MAX: u32 = 32;
/// Exchanges in a row before somebody who changes the file all the time is let be.
const ROUNDS_MAX: u32 = 100;

/// A file in a folder, and the name beside it that is used while it is changed.
#[derive(Debug)]
pub struct Shared<'a> {
    /// The folder; its owner, and nobody else, may rename what is not his in it.
    pub dir: &'a Dir,
    /// The file: one plain component.
    pub name: &'a str,
    /// The name beside it: one plain component, ours alone; another one with `~` at the end is used too.
    pub spare: &'a str,
    /// Bytes that are read at most.
    pub bytes_max: u64,
}

/// A file as it was read, held open, so its inode is nobody else's meanwhile.
#[derive(Debug)]
pub struct Seen {
    file: File,
    /// Content.
    pub bytes: Vec<u8>,
    /// Owner, mode, links, times.
    pub stat: Stat,
}

impl Seen {
    fn is_ours(&self) -> bool {
        self.stat.st_mtime_nsec as i64 == OURS_NS
    }

    /// Time of change, seconds and nanoseconds since 1970.
    pub fn modified(&self) -> (i64, i64) {
        (self.stat.st_mtime, self.stat.st_mtime_nsec as i64)
    }

    /// Whether nobody has it open for writing and its content is still what was read.
    fn is_unchanged(&self, bytes_max: u64) -> io::Result<bool> {
        Ok(!has_writers(&self.file)? && content(&self.file, bytes_max)? == self.bytes)
    }
}

impl Shared<'_> {
    /// Reads the file; `None` when it is not there.
    ///
    /// Errors: a link (ELOOP), something else than a regular file or more than `bytes_max` (`InvalidData`).
    pub fn read(&self) -> io::Result<Option<Seen>> {
        self.seen(self.name)
    }

    /// Puts `bytes` in place of what was `seen`. False: somebody changed, replaced or removed it meanwhile; then what
    /// he wrote stands. `modified`: time of change, seconds and nanoseconds since 1970; without it a time of now in
    /// another second than that of `seen`, because readers that compare whole seconds (cron, Dovecot) must notice.
    ///
    /// `step` is told each name between two effects. Errors leave what [`Shared::settle`] cleans.
    pub fn swap(
        &self,
        seen: Seen,
        bytes: &[u8],
        modified: Option<(i64, i64)>,
        step: &mut dyn FnMut(&'static str),
    ) -> io::Result<bool> {
        let new = self.write_beside(&seen, bytes, modified, step)?;
        match self.exchange() {
            Err(Errno::NOENT) => return self.dir.unlink(self.spare).map(|_| false),
            other => other?,
        }
        step("swap: exchanged");
        // Whoever was just opening the old file by its name has it open after this.
        rustix::fs::fsync(self.dir.as_fd())?;
        let out = self.hold(self.spare)?;
        let right = self.came_back(&out, &seen)?;
        if !right {
            self.back(new, out)?;
            rustix::fs::fsync(self.dir.as_fd())?;
            step("swap: exchanged back");
        }
        self.dir.unlink(self.spare)?;
        step("swap: old file removed");
        Ok(right)
    }

    /// Reads the file and puts in its place what `new` makes of it, once more for as long as somebody comes between.
    /// `new`: the bytes and their time of change, as [`Shared::swap`] takes them; `None` leaves the file. False: there
    /// is no file.
    ///
    /// Errors: those of `new`, and what `failed` makes of others; `ResourceBusy` when the file changes all the time.
    pub fn change<E>(
        &self,
        mut new: impl FnMut(&Seen) -> Result<Option<(Vec<u8>, Option<(i64, i64)>)>, E>,
        failed: impl Fn(io::Error) -> E,
        step: &mut dyn FnMut(&'static str),
    ) -> Result<bool, E> {
        for _ in 0..TRIES_MAX {
            let Some(seen) = self.read().map_err(&failed)? else { return Ok(false) };
            let Some((bytes, modified)) = new(&seen)? else { return Ok(true) };
            if self.swap(seen, &bytes, modified, step).map_err(&failed)? {
                return Ok(true);
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, "it changes faster than it can be written; try again")))
    }

    /// Cleans what a crash left beside the file. A change of somebody else that came out of it and was not yet put
    /// back goes back. `alike` tells whether two contents differ by nothing but ours.
    pub fn settle(&self, alike: &dyn Fn(&[u8], &[u8]) -> bool) -> io::Result<()> {
        self.dir.unlink(&format!("{}~", self.spare))?;
        if let (Some(left), Some(there)) = (self.seen(self.spare)?, self.seen(self.name)?) {
            let newer = there.is_ours() || left.modified() > there.modified();
            if !left.is_ours() && newer && !alike(&left.bytes, &there.bytes) {
                let inside = self.hold(self.spare)?;
                self.back(there, inside)?;
            }
        }
        self.dir.unlink(self.spare).map(drop)
    }

    /// Exchanges until `ours` comes out untouched: what is in place then is the newest that somebody else wrote.
    /// `inside` is the file that has the spare name now.
    fn back(&self, ours: Seen, inside: Seen) -> io::Result<()> {
        let (mut wanted, mut inside) = (ours, inside);
        for _ in 0..ROUNDS_MAX {
            // He may be in the middle of writing into it; what he changes afterwards he changes in place.
            let until = Instant::now() + WRITER_WAIT_MAX;
            while has_writers(&inside.file)? && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            inside.bytes = content(&inside.file, self.bytes_max)?;
            match self.exchange() {
                Err(Errno::NOENT) => return Ok(()), // he removed the file: nothing older comes back
                other => other?,
            }
            let out = self.hold(self.spare)?;
            if self.came_back(&out, &wanted)? {
                return Ok(());
            }
            wanted = std::mem::replace(&mut inside, out);
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the file changes faster than it can be put back; try again"))
    }

    /// Whether `out` is the file that was `put` in place, and nobody wrote into it since nor can do so any more.
    fn came_back(&self, out: &Seen, put: &Seen) -> io::Result<bool> {
        let same = (out.stat.st_dev, out.stat.st_ino) == (put.stat.st_dev, put.stat.st_ino);
        Ok(same && put.is_unchanged(self.bytes_max)?)
    }

    fn exchange(&self) -> Result<(), Errno> {
        rustix::fs::renameat_with(self.dir, self.spare, self.dir, self.name, RenameFlags::EXCHANGE)
    }

    /// Writes the whole new file under a name that says unfinished, then gives it the spare name.
    fn write_beside(
        &self,
        like: &Seen,
        bytes: &[u8],
        modified: Option<(i64, i64)>,
        step: &mut dyn FnMut(&'static str),
    ) -> io::Result<Seen> {
        let unfinished = format!("{}~", self.spare);
        self.dir.unlink(&unfinished)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut new = File::from(rustix::fs::openat(self.dir, &unfinished, flags, Mode::empty())?);
        new.write_all(bytes)?;
        step("swap: written");
        let now = rustix::fs::fstat(&new)?.st_mtime as i64;
        let (tv_sec, tv_nsec) = modified.unwrap_or((now + i64::from(now == like.modified().0), OURS_NS));
        let (owner, group) = (Uid::from_raw(like.stat.st_uid), Gid::from_raw(like.stat.st_gid));
        rustix::fs::fchown(&new, Some(owner), Some(group))?;
        rustix::fs::fchmod(&new, Mode::from_raw_mode(like.stat.st_mode & 0o7777))?;
        copy_attributes(&like.file, &new)?;
        let time = Timespec { tv_sec, tv_nsec: tv_nsec as _ };
        rustix::fs::futimens(&new, &Timestamps { last_access: time, last_modification: time })?;
        new.sync_all()?;
        rustix::fs::renameat(self.dir, &unfinished, self.dir, self.spare)?;
        let new = self.hold(self.spare)?;
        step("swap: complete");
        Ok(new)
    }

    fn seen(&self, name: &str) -> io::Result<Option<Seen>> {
        match self.hold(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Ok(seen) if seen.bytes.len() as u64 > self.bytes_max => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{name} has more than {} bytes", self.bytes_max),
            )),
            other => other.map(Some),
        }
    }

    /// Opens a regular file and reads it, one byte beyond the bound at most.
    fn hold(&self, name: &str) -> io::Result<Seen> {
        let file = self.dir.open_beneath(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Seen { bytes: content(&file, self.bytes_max)?, file, stat }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no regular file"))),
        }
    }
}

fn content(mut file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Sets a folder's time of change one second on when it is still that of `before`: who compares whole seconds (cron)
/// would otherwise miss the second of two changes in one second.
pub fn touch(dir: &Dir, before: &Stat) -> io::Result<()> {
    let now = rustix::fs::fstat(dir)?;
    if now.st_mtime != before.st_mtime {
        return Ok(());
    }
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT as _ };
    let next = Timespec { tv_sec: now.st_mtime as i64 + 1, tv_nsec: 0 };
    Ok(rustix::fs::futimens(dir, &Timestamps { last_access: omit, last_modification: next })?)
}

fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0_u8; 64 * 1024]; // XATTR_LIST_MAX
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 64 * 1024]; // XATTR_SIZE_MAX
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// Whether anybody has this file open for writing: a read lease is refused then (fcntl(2), F_SETLEASE).
///
/// Error `PermissionDenied`: another's file and no CAP_LEASE.
#[allow(unsafe_code)]
fn has_writers(file: &File) -> io::Result<bool> {
    let fd = file.as_raw_fd();
    // SAFETY: each call takes a descriptor that `file` holds open and a number; no memory of ours is touched. The
    // signal of a broken lease is one that is ignored unless asked for (signal(7), SIGURG).
    let taken = unsafe {
        match libc::fcntl(fd, F_SETSIG, libc::SIGURG) {
            0 => libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK),
            other => other,
        }
    };
    if taken != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EAGAIN) { Ok(true) } else { Err(error) };
    }
    // SAFETY: as above.
    match unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) } {
        0 => Ok(false),
        _ => Err(io::Error::last_os_error()),
    }
}
