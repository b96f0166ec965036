//! Files by descriptor: what one is, moving it without copying, and giving it back as its owner.
//!
//! Lesson of the quarantines in the ledger: a restore that opens, links or chowns by path as root is a way in. Here
//! names are single components below a held folder, nothing is ever overwritten, and the way back is walked by a
//! child that has the tenant's uid.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags, Timestamps, Uid};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::dir::Dir;

/// A child that was killed is looked for this many times, with a pause between them: a second.
const DEATH_LOOKS: usize = 200;
const DEATH_LOOK: Duration = Duration::from_millis(5);
const NANOS: i64 = 1_000_000_000;

/// What a file is, by statx(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Where a file lies, or would: its folder is held, so nobody can exchange what is above the name.
#[derive(Debug)]
pub struct Place<'p> {
    /// The folder.
    pub dir: Dir,
    /// What the folder is.
    pub is: Facts,
    /// The file's name in it.
    pub name: &'p [u8],
}

impl Place<'_> {
    /// The place of a path below `root`; a link or another mount on the way is an error.
    pub fn below<'p>(root: &Dir, path: &'p [u8]) -> io::Result<Place<'p>> {
        let (dir, name) = root.parent(path)?;
        Ok(Place { is: Facts::of(&dir)?, dir, name })
    }

    /// Holds what is there.
    pub fn hold(&self) -> io::Result<Option<Found>> {
        Found::hold(&self.dir, self.name)
    }
}

/// A file that is held, not opened: no fifo waits, no device wakes, and its inode is not reused meanwhile.
#[derive(Debug)]
pub struct Found {
    file: OwnedFd,
    /// What it was when it was taken hold of.
    pub is: Facts,
}

impl Found {
    /// Holds what `name`, one component, is in `dir`: a link itself, another mount never. `None`: it is not there.
    pub fn hold(dir: &Dir, name: &[u8]) -> io::Result<Option<Found>> {
        match dir.open_beneath(one(name)?, OFlags::PATH) {
            Ok(file) => Ok(Some(Found { is: Facts::of(&file)?, file: file.into() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What it is now.
    pub fn facts(&self) -> io::Result<Facts> {
        Facts::of(&self.file)
    }

    /// Gives exactly this inode to `uid` with the permissions of `mode`; the group stays. Root's with mode 0 it is
    /// sealed: who has it open can no longer give it a name (proc(5), `protected_hardlinks`).
    ///
    /// May be repeated. First the owner, which takes set-user-id away, so that no program of a tenant is root's with
    /// it for a moment; then the mode, which from then on nobody else can change.
    #[allow(unsafe_code)]
    pub fn give(&self, uid: u32, mode: u32) -> io::Result<()> {
        rustix::fs::chownat(&self.file, "", Some(Uid::from_raw(uid)), None, AtFlags::EMPTY_PATH)?;
        // Without CAP_FSETID only who is of the file's group can set its set-group-id.
        // SAFETY: setfsgid takes a number and changes nothing but this thread's group for files, for two lines.
        let own = unsafe { libc::setfsgid(self.is.gid) };
        let done = rustix::fs::chmodat(CWD, own_link(&self.file), Mode::from_raw_mode(mode), AtFlags::empty());
        // SAFETY: as above; it was this thread's before.
        unsafe { libc::setfsgid(own as libc::gid_t) };
        Ok(done?)
    }

    /// Whether it has capabilities (capabilities(7), «File capabilities»), which a change of owner takes away.
    pub fn is_capable(&self) -> bool {
        rustix::fs::getxattr(own_link(&self.file), "security.capability", &mut [0; 64][..]).is_ok()
    }

    /// Opens exactly this inode for reading, its access time kept. Error unless it is a regular file;
    /// `WouldBlock` when somebody has a lease on it (fcntl(2)), for which nobody here waits.
    pub fn read(&self) -> io::Result<File> {
        if !self.is.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::NOCTTY | OFlags::CLOEXEC;
        // The one magic link that we follow is our own descriptor.
        Ok(rustix::fs::openat(CWD, own_link(&self.file), flags, Mode::empty())?.into())
    }

    /// Gives it the name `name` in `dir` as `uid` and `gid`, in a child that has nothing else (`None`: as we are).
    ///
    /// Never overwrites: `AlreadyExists`. A folder that its owner made read-only is opened for the moment of the
    /// link; the time of its last change is afterwards what it was. Its tenant can stop the child: `patience` is for
    /// all children of one order together, each takes from it what it needs, and then it is ended: `TimedOut`.
    #[allow(unsafe_code)]
    pub fn link_as(&self, dir: &Dir, name: &[u8], user: Option<(u32, u32)>, patience: &mut Duration) -> io::Result<()> {
        if patience.is_zero() {
            return Err(stopped());
        }
        let name = CString::new(one(name)?)?;
        let from = CString::new(own_link(&self.file))?;
        let (at, file) = (dir.as_fd().as_raw_fd(), self.file.as_raw_fd());
        let needed = [at.min(file), at.max(file)];
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
            child => ended(child, patience),
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
    let time = |sec, nsec| rustix::fs::Timespec { tv_sec: sec, tv_nsec: nsec };
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

/// Waits for the child as long as there is patience, then kills it and waits a moment more. One that is not gone even
/// then (it sleeps in a broken file system) is left: it has nothing of ours but two descriptors, and the tenant's uid.
fn ended(child: i32, patience: &mut Duration) -> io::Result<()> {
    let since = Instant::now();
    let pid = Pid::from_raw(child).ok_or(io::ErrorKind::InvalidInput)?;
    // Ours and not yet waited for, so the number is its own.
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    if !pidfd.is_ok_and(|pidfd| crate::process::wait_end(pidfd.as_fd(), *patience)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    let status = (0..DEATH_LOOKS).find_map(|_| match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(None) | Err(Errno::INTR) => {
            std::thread::sleep(DEATH_LOOK);
            None
        }
        other => Some(other),
    });
    *patience = patience.saturating_sub(since.elapsed());
    match status.transpose()?.flatten().and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(stopped()),
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the child that gives it back was stopped; freeze the account's processes")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

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
        let before = Found::hold(&one, b"-rf\n$()").unwrap().unwrap().is;
        assert_eq!(rename(&one, b"-rf\n$()", &two, b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        rename(&one, b"-rf\n$()", &two, b"y").unwrap();
        let found = Found::hold(&two, b"y").unwrap().unwrap();
        assert!(found.is.same(&before));
        let folder = std::fs::metadata(path.path().join("one")).unwrap();
        std::fs::set_permissions(path.path().join("one"), PermissionsExt::from_mode(0o2555)).unwrap();
        std::fs::write(path.path().join("two/z"), "").unwrap();
        found.link_as(&one, b"-rf\n$()", None, &mut WAIT.clone()).unwrap();
        let after = std::fs::metadata(path.path().join("one")).unwrap();
        assert_eq!((folder.mtime_nsec(), after.mode() & 0o7777), (after.mtime_nsec(), 0o2555));
        let again = found.link_as(&one, b"-rf\n$()", None, &mut WAIT.clone()).unwrap_err();
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
        let refused = found.link_as(&two, b"a", Some((20_205, 20_205)), &mut WAIT.clone()).unwrap_err();
        assert!(matches!(refused.raw_os_error(), Some(libc::EACCES | libc::EPERM)), "{refused}");
        found.link_as(&two, b"a", None, &mut WAIT.clone()).unwrap();
    }

    #[test]
    fn children_that_are_stopped_are_ended_and_their_order_has_no_patience_left() {
        let sleep = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (mut patience, stopped) = (Duration::from_millis(20), sleep());
        rustix::process::kill_process(Pid::from_child(&stopped), Signal::STOP).unwrap();
        assert_eq!(ended(stopped.id() as i32, &mut patience).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(patience.is_zero() && rustix::process::test_kill_process(Pid::from_child(&stopped)).is_err());
        let (path, one, two) = folders();
        std::fs::write(path.path().join("one/a"), "text").unwrap();
        let next = Found::hold(&one, b"a").unwrap().unwrap().link_as(&two, b"a", None, &mut patience);
        assert_eq!(next.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!path.path().join("two/a").exists());
    }

    #[test]
    fn what_is_sealed_cannot_be_linked_by_its_tenant_and_comes_back_with_every_bit() {
        let refused = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|on| on.trim() == "1");
        if !rustix::process::geteuid().is_root() || !refused {
            let _ = io::Write::write_all(&mut io::stderr(), b"SKIPPED: needs root and fs.protected_hardlinks\n");
            return;
        }
        let (path, one, two) = folders();
        let (file, user) = (path.path().join("one/a"), Some((20_205, 20_205)));
        std::fs::write(&file, "text").unwrap();
        for (folder, mode) in [("one", 0o700), ("two", 0o777)] {
            std::fs::set_permissions(path.path().join(folder), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::chown(&file, Some(20_205), Some(20_206)).unwrap();
        for mode in [0o6755, 0o2755, 0o4700, 0o1000, 0o000] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            let before = std::fs::metadata(&file).unwrap();
            let found = Found::hold(&one, b"a").unwrap().unwrap();
            // The naive twin only moves it to where nobody can look: who has it open makes it a name again.
            found.link_as(&two, b"naive", user, &mut WAIT.clone()).unwrap();
            std::fs::remove_file(path.path().join("two/naive")).unwrap();
            found.give(0, 0).unwrap();
            let sealed = found.facts().unwrap();
            assert_eq!((sealed.uid, sealed.gid, sealed.mode & 0o7777), (0, 20_206, 0));
            let why = found.link_as(&two, b"back", user, &mut WAIT.clone()).unwrap_err();
            assert_eq!(why.raw_os_error(), Some(libc::EPERM), "mode {mode:o}");
            found.give(20_205, before.mode()).unwrap();
            let after = found.facts().unwrap();
            assert_eq!((after.uid, after.gid, after.mode), (before.uid(), before.gid(), before.mode()));
            assert!(after.modified_ns == found.is.modified_ns && after.accessed_ns == found.is.accessed_ns);
        }
    }

    #[test]
    fn a_fifo_or_a_link_is_held_but_never_opened() {
        let (path, one, _) = folders();
        rustix::fs::mknodat(&one, "fifo", FileType::Fifo, Mode::RWXU, 0).unwrap();
        symlink("/etc/passwd", path.path().join("one/link")).unwrap();
        let fifo = Found::hold(&one, b"fifo").unwrap().unwrap();
        assert!(!fifo.is.is_file() && fifo.read().is_err());
        let link = Found::hold(&one, b"link").unwrap().unwrap();
        assert!(!link.is.is_file() && link.read().is_err());
        assert!(Found::hold(&one, b"none").unwrap().is_none());
        for name in [&b"a/b"[..], b"..", b"", b"."] {
            assert_eq!(Found::hold(&one, name).map(drop).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
