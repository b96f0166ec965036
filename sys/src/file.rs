//! Files by descriptor: what one is, moving it without copying, and giving it back as its owner.
//!
//! Lesson of the quarantines in the ledger: a restore that opens, links or chowns by path as root is a way in. Here
//! names are single components below a held folder, nothing is ever overwritten, and the way back is walked by a
//! child that has the tenant's uid.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags, Timestamps};
use rustix::io::Errno;

use crate::dir::Dir;

/// How long the child that gives a file back may take: its tenant can stop it, but then it is ended.
const CHILD_WAIT: Duration = Duration::from_secs(5);
const NANOS: i64 = 1_000_000_000;

/// What a file is, by statx(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// The mount on which it was reached; `None` before Linux 5.8.
    pub mount: Option<u64>,
    /// Length, bytes.
    pub size: u64,
    /// Space taken, units of 512 bytes (less than the length: sparse).
    pub blocks: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// Names (hard links) that it has.
    pub links: u32,
    /// Last access, nanoseconds since 1970.
    pub accessed_ns: i64,
    /// Last change of the content, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Last change of the inode, nanoseconds since 1970.
    pub changed_ns: i64,
    /// Immutable or append-only (chattr(1) `i`, `a`): cannot be moved.
    pub fixed: bool,
}

impl Facts {
    /// Asks the kernel; also of an `O_PATH` descriptor.
    pub fn of(fd: impl AsFd) -> io::Result<Facts> {
        // STATX_MNT_ID; an older kernel leaves the bit out of its answer.
        let mount = StatxFlags::MNT_ID;
        let is = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | mount)?;
        let nanos = |t: rustix::fs::StatxTimestamp| t.tv_sec.saturating_mul(NANOS).saturating_add(t.tv_nsec.into());
        Ok(Facts {
            dev: rustix::fs::makedev(is.stx_dev_major, is.stx_dev_minor),
            ino: is.stx_ino,
            mount: (is.stx_mask & mount.bits() != 0).then_some(is.stx_mnt_id),
            size: is.stx_size,
            blocks: is.stx_blocks,
            uid: is.stx_uid,
            gid: is.stx_gid,
            mode: is.stx_mode.into(),
            links: is.stx_nlink,
            accessed_ns: nanos(is.stx_atime),
            modified_ns: nanos(is.stx_mtime),
            changed_ns: nanos(is.stx_ctime),
            fixed: is.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND),
        })
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is the same inode.
    pub fn same(&self, other: &Facts) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// A file that is held, not opened: no fifo waits, no device wakes, and its inode is not reused meanwhile.
#[derive(Debug)]
pub struct Found(OwnedFd);

impl Found {
    /// Holds what `name`, one component, is in `dir`: a link itself, another mount never. `None`: it is not there.
    pub fn hold(dir: &Dir, name: &[u8]) -> io::Result<Option<Found>> {
        match dir.open_beneath(one(name)?, OFlags::PATH) {
            Ok(file) => Ok(Some(Found(file.into()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What it is now.
    pub fn facts(&self) -> io::Result<Facts> {
        Facts::of(&self.0)
    }

    /// Opens exactly this inode for reading, its access time kept. Error unless it is a regular file;
    /// `WouldBlock` when somebody has a lease on it (fcntl(2)), for which nobody here waits.
    pub fn read(&self) -> io::Result<File> {
        if !self.facts()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::NOCTTY | OFlags::CLOEXEC;
        // The one magic link that we follow is our own descriptor.
        Ok(rustix::fs::openat(CWD, own_link(&self.0), flags, Mode::empty())?.into())
    }

    /// Gives it the name `name` in `dir` as `uid` and `gid`, in a child that has nothing else (`None`: as we are).
    ///
    /// Never overwrites: `AlreadyExists`. A folder that its owner made read-only is opened for the moment of the
    /// link; the time of its last change is afterwards what it was. `TimedOut`: the child was stopped and ended.
    #[allow(unsafe_code)]
    pub fn link_as(&self, dir: &Dir, name: &[u8], user: Option<(u32, u32)>) -> io::Result<()> {
        let name = CString::new(one(name)?)?;
        let from = CString::new(own_link(&self.0))?;
        let at = dir.as_fd().as_raw_fd();
        let needed = [at.min(self.0.as_raw_fd()), at.max(self.0.as_raw_fd())];
        // SAFETY: the child calls nothing but system calls on values that were made before the fork, and ends by
        // _exit: no lock, no allocation, no destructor of ours runs in it.
        let child = unsafe { libc::fork() };
        match child {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                close_others(needed);
                let told = become_user(user).and_then(|()| link_in(&from, at, &name));
                // SAFETY: _exit only ends this process, which is the child; error numbers fit in its status.
                unsafe { libc::_exit(told.err().unwrap_or(0)) }
            }
            child => ended(child),
        }
    }
}

/// Moves `name` to `new` in another folder of the same mount: the inode itself, never over anything.
pub fn rename(from: &Dir, name: &[u8], to: &Dir, new: &[u8]) -> io::Result<()> {
    match rustix::fs::renameat_with(from, one(name)?, to, one(new)?, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this file system cannot move a file without the danger of overwriting another (RENAME_NOREPLACE)",
        )),
        other => Ok(other?),
    }
}

/// Removes a name that is not a folder's; whoever calls it makes the folder durable.
pub fn unlink(dir: &Dir, name: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, one(name)?, AtFlags::empty())?)
}

/// Sets the time of a folder's last change back to what it was.
pub fn set_modified(dir: &Dir, modified_ns: i64) -> io::Result<()> {
    let time = |sec, nsec| Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = Timestamps {
        last_access: time(0, libc::UTIME_OMIT as _),
        last_modification: time(modified_ns.div_euclid(NANOS), modified_ns.rem_euclid(NANOS) as _),
    };
    Ok(rustix::fs::futimens(dir, &times)?)
}

/// A name of one plain component.
fn one(name: &[u8]) -> io::Result<&[u8]> {
    match name.contains(&b'/') {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a single name")),
        false => crate::dir::checked(name),
    }
}

fn own_link(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Error number of a system call's answer.
fn tell(answer: libc::c_long) -> Result<(), i32> {
    match answer {
        -1 => Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
        _ => Ok(()),
    }
}

/// Closes every other descriptor (in the child): one that its tenant stopped, and whose parent then died, must not
/// hold our journal's lock. An older kernel (before 5.9) does without.
#[allow(unsafe_code)]
fn close_others([low, high]: [i32; 2]) {
    for (from, to) in [(0, low - 1), (low + 1, high - 1), (high + 1, i32::MAX)] {
        if from <= to {
            // SAFETY: the child uses no descriptor but the two that stay.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
}

/// Drops everything for good (in the child). The bare calls: the C library's would look for other threads.
#[allow(unsafe_code)]
fn become_user(user: Option<(u32, u32)>) -> Result<(), i32> {
    // SAFETY: prctl with these arguments and the set*id calls take numbers and no memory of ours.
    unsafe {
        tell(libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        if let Some((uid, gid)) = user {
            tell(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))?;
            tell(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            tell(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
        }
    }
    Ok(())
}

/// The link itself (in the child).
#[allow(unsafe_code)]
fn link_in(from: &std::ffi::CStr, at: i32, name: &std::ffi::CStr) -> Result<(), i32> {
    // SAFETY: `is` is a plain struct for which all zeros are a value; fstat fills it and keeps no pointer.
    let is = unsafe {
        let mut is: libc::stat = std::mem::zeroed();
        tell(libc::fstat(at, &mut is).into())?;
        is
    };
    // SAFETY: both texts end with a zero and outlive the call; the kernel keeps neither.
    let link = || unsafe {
        let flags = libc::AT_SYMLINK_FOLLOW;
        tell(libc::syscall(libc::SYS_linkat, libc::AT_FDCWD, from.as_ptr(), at, name.as_ptr(), flags))
    };
    match link() {
        Err(libc::EACCES) => {
            // SAFETY: fchmod takes numbers.
            tell(unsafe { libc::fchmod(at, is.st_mode & 0o7777 | 0o300) }.into())?;
            let linked = link();
            // SAFETY: as above.
            tell(unsafe { libc::fchmod(at, is.st_mode & 0o7777) }.into())?;
            linked?;
        }
        other => other?,
    }
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let times = [omit, libc::timespec { tv_sec: is.st_mtime, tv_nsec: is.st_mtime_nsec }];
    // SAFETY: `times` is an array of two that outlives the call. That it fails is no reason to take the link back.
    unsafe { libc::futimens(at, times.as_ptr()) };
    Ok(())
}

/// Waits for the child, for a bounded time; then it is ended.
#[allow(unsafe_code)]
fn ended(child: i32) -> io::Result<()> {
    // SAFETY: pidfd_open takes numbers; the child is ours and not yet waited for, so the pid is its own, and a
    // descriptor that is not negative is new and ours.
    let pidfd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, child, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    };
    let since = Instant::now();
    let late = pidfd.is_none_or(|pidfd| {
        loop {
            let left = CHILD_WAIT.saturating_sub(since.elapsed());
            let wait = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
            match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&wait)) {
                Ok(count) => break count == 0,
                Err(Errno::INTR) => {}
                Err(_) => break true,
            }
        }
    });
    if late {
        // SAFETY: kill takes numbers; a child that was not waited for cannot be somebody else.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(child, &mut status, 0) } == -1 {
        let why = io::Error::last_os_error();
        if why.raw_os_error() != Some(libc::EINTR) {
            return Err(why);
        }
    }
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => Ok(()),
        (true, errno) => Err(io::Error::from_raw_os_error(errno)),
        (false, _) => Err(io::Error::new(io::ErrorKind::TimedOut, "the child that gives it back was ended")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn folders() -> (tempfile::TempDir, Dir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            Dir::open(&folder.path().join(name)).unwrap()
        };
        let (one, two) = (make("one"), make("two"));
        (folder, one, two)
    }

    #[test]
    fn a_file_is_moved_and_linked_back_and_nothing_is_overwritten() {
        let (path, one, two) = folders();
        let (file, other) = (path.path().join("one/-rf\n$()"), path.path().join("two/x"));
        std::fs::write(&file, "text").unwrap();
        std::fs::write(&other, "other").unwrap();
        let before = Found::hold(&one, b"-rf\n$()").unwrap().unwrap().facts().unwrap();
        assert_eq!(rename(&one, b"-rf\n$()", &two, b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        rename(&one, b"-rf\n$()", &two, b"y").unwrap();
        let found = Found::hold(&two, b"y").unwrap().unwrap();
        assert!(found.facts().unwrap().same(&before));
        let folder = std::fs::metadata(path.path().join("one")).unwrap();
        std::fs::set_permissions(path.path().join("one"), PermissionsExt::from_mode(0o2555)).unwrap();
        std::fs::write(path.path().join("two/z"), "").unwrap();
        found.link_as(&one, b"-rf\n$()", None).unwrap();
        let after = std::fs::metadata(path.path().join("one")).unwrap();
        assert_eq!((folder.mtime_nsec(), after.mode() & 0o7777), (after.mtime_nsec(), 0o2555));
        let again = found.link_as(&one, b"-rf\n$()", None).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&other).unwrap(), b"other");
    }

    #[test]
    fn the_child_is_stopped_by_what_stops_its_user() {
        if !rustix::process::geteuid().is_root() {
            let _ = io::Write::write_all(&mut io::stderr(), b"SKIPPED: other uids need root\n");
            return;
        }
        let (path, one, two) = folders();
        std::fs::write(path.path().join("one/a"), "text").unwrap();
        let found = Found::hold(&one, b"a").unwrap().unwrap();
        // Root's folder and root's file: the naive twin, which stays root, does it.
        let refused = found.link_as(&two, b"a", Some((20_205, 20_205))).unwrap_err();
        assert!(matches!(refused.raw_os_error(), Some(libc::EACCES | libc::EPERM)), "{refused}");
        found.link_as(&two, b"a", None).unwrap();
    }

    #[test]
    fn a_fifo_or_a_link_is_held_but_never_opened() {
        let (path, one, _) = folders();
        rustix::fs::mknodat(&one, "fifo", FileType::Fifo, Mode::RWXU, 0).unwrap();
        symlink("/etc/passwd", path.path().join("one/link")).unwrap();
        let fifo = Found::hold(&one, b"fifo").unwrap().unwrap();
        assert!(!fifo.facts().unwrap().is_file() && fifo.read().is_err());
        let link = Found::hold(&one, b"link").unwrap().unwrap();
        assert!(!link.facts().unwrap().is_file() && link.read().is_err());
        assert!(Found::hold(&one, b"none").unwrap().is_none());
        for name in [&b"a/b"[..], b"..", b"", b"."] {
            assert_eq!(Found::hold(&one, name).map(drop).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
