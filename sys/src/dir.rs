//! Folders by descriptor: nothing below one is reached through a link, `..` or another mount.
//!
//! Lesson of the antivirus, cPanel and LiteSpeed holes in the ledger: a path that is looked up twice is a path
//! that can be swapped. Here every look-up is one openat2(2) relative to a held descriptor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::file::Facts;

/// What a new file is called until it is complete; refused as a name of anything else.
const UNFINISHED: &str = ".hk-new~";
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// An open folder. Names below it are relative, of components that are not `.`, `..`, empty or over 255 bytes.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens the folder at an absolute path whose last component must not be a link.
    pub fn open(path: &Path) -> io::Result<Dir> {
        Ok(Dir(rustix::fs::openat(CWD, path, folder_flags(), Mode::empty())?))
    }

    /// Opens the folder at an absolute path on which there is no link at all; mounts on the way are allowed.
    pub fn open_without_links(path: &Path) -> io::Result<Dir> {
        let name = path.as_os_str().as_encoded_bytes().strip_prefix(b"/").unwrap_or_default();
        checked(name)?;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(CWD, path, folder_flags(), Mode::empty(), resolve) {
            Err(Errno::NOSYS) => {
                let root = Dir::open(Path::new("/"))?;
                Ok(Dir(walk(root.as_fd(), name, folder_flags(), false)?))
            }
            other => Ok(Dir(other?)),
        }
    }

    /// Opens a folder of our own: it must belong to the effective uid and nobody else may write to it.
    ///
    /// Error `PermissionDenied` with owner and mode otherwise: state that a tenant could write is no state.
    pub fn open_own(path: &Path) -> io::Result<Dir> {
        let dir = Dir::open(path)?;
        let stat = rustix::fs::fstat(&dir.0)?;
        let own = rustix::process::geteuid().as_raw();
        if stat.st_uid != own || stat.st_mode & 0o022 != 0 {
            let mode = stat.st_mode & 0o7777;
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} belongs to uid {} with mode {mode:04o}; it must belong to uid {own} and be writable by it alone (chmod go-w)",
                    path.display(),
                    stat.st_uid
                ),
            ));
        }
        Ok(dir)
    }

    /// Opens the folder of a file as [`Dir::open_own`] does; the other half is the file's name in it.
    ///
    /// Error `InvalidInput`: the path has no folder or no name in UTF-8.
    pub fn of_own(file: &Path) -> io::Result<(Dir, &str)> {
        match (file.parent(), file.file_name().and_then(|name| name.to_str())) {
            (Some(folder), Some(name)) => Ok((Dir::open_own(folder)?, name)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no file name", file.display()))),
        }
    }

    /// Opens `name` below this folder; a link anywhere on the way is an error (ELOOP), another mount too (EXDEV).
    pub fn open_beneath(&self, name: impl AsRef<[u8]>, flags: OFlags) -> io::Result<File> {
        let path = checked(name.as_ref())?;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), BENEATH) {
            Err(Errno::NOSYS) => Ok(File::from(walk(self.0.as_fd(), path, flags, true)?)),
            other => Ok(File::from(other?)),
        }
    }

    /// Opens a folder below this one.
    pub fn open_dir(&self, name: impl AsRef<[u8]>) -> io::Result<Dir> {
        Ok(Dir(OwnedFd::from(self.open_beneath(name, folder_flags())?)))
    }

    /// Reads a file of at most `bytes_max` bytes; `None` when it is not there.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_beneath(name, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > bytes_max {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} has more than {bytes_max} bytes"))),
            false => Ok(Some(bytes)),
        }
    }

    /// Whether a regular file of this name is there (never through a link).
    pub fn has_file(&self, name: &str) -> io::Result<bool> {
        Ok(self.stat(name)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile))
    }

    /// Facts about `name` itself (no link is followed); `None` when it is not there.
    pub fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match self.open_beneath(name, OFlags::PATH) {
            Ok(file) => Ok(Some(rustix::fs::fstat(&file)?)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts a complete file with exactly this mode in place of whatever file was there, by rename; file and
    /// folder are synced, so after a power cut either the old or the new one is there. After an error, too, and nothing
    /// beside it: on a full disk an unfinished one would take what is left.
    pub fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let (parent, last) = self.parent(name)?;
        let fd = parent.as_fd();
        match rustix::fs::unlinkat(fd, UNFINISHED, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::openat(fd, UNFINISHED, flags, Mode::RUSR | Mode::WUSR)?);
        let mut put = || {
            file.write_all(bytes)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            file.sync_all()?;
            Ok(rustix::fs::renameat(fd, UNFINISHED, fd, last)?)
        };
        if let Err(e) = put() {
            let _ = rustix::fs::unlinkat(fd, UNFINISHED, AtFlags::empty());
            return Err(e);
        }
        parent.sync()
    }

    /// Opens a file for appending, making it with this mode when it is not there.
    pub fn append(&self, name: &str, mode: u32) -> io::Result<File> {
        let (parent, last) = self.parent(name)?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(rustix::fs::openat(&parent.0, last, flags, Mode::from_raw_mode(mode))?);
        parent.sync()?;
        Ok(file)
    }

    /// Makes the folders of a relative path that are not there yet; each that is ours has exactly this mode then, also
    /// one that a death left closed before it was given it.
    pub fn make_dirs(&self, name: &str, mode: u32) -> io::Result<Dir> {
        let mut at = self.again()?;
        checked(name.as_bytes())?;
        for part in name.split('/') {
            match rustix::fs::mkdirat(&at.0, part, Mode::RWXU) {
                Ok(()) => at.sync()?,
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            at = at.open_dir(part)?;
            let is = rustix::fs::fstat(&at.0)?;
            if is.st_uid == rustix::process::geteuid().as_raw() && is.st_mode & 0o7777 != mode {
                rustix::fs::fchmod(&at.0, Mode::from_raw_mode(mode))?;
            }
        }
        Ok(at)
    }

    /// Removes a file; false when it was not there.
    pub fn unlink(&self, name: &str) -> io::Result<bool> {
        self.remove(name, AtFlags::empty())
    }

    /// Removes an empty folder; false when it was not there. `DirectoryNotEmpty` when something is in it.
    pub fn remove_dir(&self, name: &str) -> io::Result<bool> {
        self.remove(name, AtFlags::REMOVEDIR)
    }

    /// Names in this folder, sorted; those that are not UTF-8 are left out (we never make such).
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | ".." | UNFINISHED)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str, flags: AtFlags) -> io::Result<bool> {
        let (parent, last) = match self.parent(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match rustix::fs::unlinkat(&parent.0, last, flags) {
            Ok(()) => parent.sync().map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens the folder in which `name` lies; and the last component.
    pub fn parent<'n, N: AsRef<[u8]> + ?Sized>(&self, name: &'n N) -> io::Result<(Dir, &'n [u8])> {
        let name = checked(name.as_ref())?;
        match name.iter().rposition(|b| *b == b'/') {
            Some(at) => Ok((self.open_dir(&name[..at])?, &name[at + 1..])),
            None => Ok((self.again()?, name)),
        }
    }

    /// Another descriptor of the same folder.
    pub fn again(&self) -> io::Result<Dir> {
        Ok(Dir(self.0.try_clone()?))
    }

    /// Waits until what was made, moved and removed in it is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.0) {
            Err(Errno::INVAL) => Ok(()), // a file system that keeps nothing, such as a cgroup's
            other => Ok(other?),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Gives a folder of ours and the plain files in it to a uid that has been, or will be, their only user.
///
/// While it happens the folder is root's, so its present user cannot exchange a name; a link, a file with a second
/// name and everything that is no plain file are left as they are. Errors: the folder is a link, or those of
/// fchown(2). May be repeated; after a kill the next one ends right.
pub fn give(folder: &Path, uid: u32, gid: u32) -> io::Result<()> {
    use rustix::fs::{Gid, Uid, fchown, fstat, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = openat(CWD, folder, flags, Mode::empty())?;
    let now = fstat(&held)?;
    if (now.st_uid, now.st_gid) == (uid, gid) {
        return Ok(());
    }
    fchown(&held, Some(Uid::ROOT), Some(Gid::ROOT))?;
    for entry in rustix::fs::Dir::read_from(&held)? {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Looked at before it is opened, because opening a device can do something.
        let name = entry?.file_name().to_owned();
        let plain = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
        if !plain(&rustix::fs::statat(&held, &name, AtFlags::SYMLINK_NOFOLLOW)?) {
            continue;
        }
        let file = openat(&held, &name, flags, Mode::empty())?;
        if plain(&fstat(&file)?) {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
    }
    Ok(fchown(&held, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Whether everybody can reach a file or folder: what its reader cannot reach has no effect, although it is there (a
/// flag that the web server's worker cannot stat closes nothing).
///
/// Errors: a link on the way, a folder without `x` or a file without `r` for others, with the next step.
pub fn reachable(path: &Path, reader: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if path.canonicalize()? != path {
        return refuse(format!("{} leads through a link; write the path without it", path.display()));
    }
    for place in path.ancestors() {
        let meta = std::fs::metadata(place)?;
        let (needs, word) = if meta.is_dir() { (0o001, "x") } else { (0o004, "r") };
        if meta.permissions().mode() & needs == 0 {
            return refuse(format!("{reader} cannot pass {}; chmod o+{word} it", place.display()));
        }
    }
    Ok(())
}

/// A relative path of plain components, or an error that says what is wrong with it.
pub(crate) fn checked(name: &[u8]) -> io::Result<&[u8]> {
    let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && part != UNFINISHED.as_bytes() && part.len() <= 255;
    match !name.contains(&0) && name.len() < 4096 && name.split(|b| *b == b'/').all(plain) {
        true => Ok(name),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("not a plain relative path: {:?}", String::from_utf8_lossy(name)),
        )),
    }
}

/// What openat2 does, one component at a time, for kernels before 5.6 and filters that do not know it.
fn walk(at: BorrowedFd<'_>, path: &[u8], flags: OFlags, one_mount: bool) -> io::Result<OwnedFd> {
    let from = Facts::of(at)?;
    let mut here = at.try_clone_to_owned()?;
    let mut parts = path.split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        let wanted = if parts.peek().is_some() { folder_flags() } else { flags };
        let next = rustix::fs::openat(&here, part, wanted, Mode::empty())?;
        let is = Facts::of(&next)?;
        if one_mount && (is.dev, is.mount) != (from.dev, from.mount) {
            return Err(Errno::XDEV.into());
        }
        if FileType::from_raw_mode(is.mode) == FileType::Symlink {
            return Err(Errno::LOOP.into()); // O_PATH | O_NOFOLLOW opens the link itself
        }
        here = next;
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_own(folder.path()).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_folder_is_given_with_its_plain_files_and_nothing_that_a_link_or_a_second_name_leads_to() {
        use std::os::unix::fs::MetadataExt;
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: giving files away needs root");
            return;
        }
        let (whole, _) = folder();
        let (own, outside) = (whole.path().join("own"), whole.path().join("outside"));
        std::fs::create_dir(&own).unwrap();
        for path in [&outside, &own.join("plain"), &whole.path().join("twin")] {
            std::fs::write(path, "").unwrap();
        }
        symlink(&outside, own.join("link")).unwrap();
        std::fs::hard_link(whole.path().join("twin"), own.join("second")).unwrap();
        let owner = |path: &Path| std::fs::symlink_metadata(path).unwrap().uid();
        for uid in [20300, 20301, 0] {
            give(&own, uid, uid).unwrap();
            assert_eq!((owner(&own), owner(&own.join("plain"))), (uid, uid));
            assert_eq!((owner(&outside), owner(&own.join("second")), owner(&own.join("link"))), (0, 0, 0));
        }
        // The naive twin: chown(2) by path gives away what the link leads to.
        std::os::unix::fs::chown(own.join("link"), Some(20300), None).unwrap();
        assert_eq!(owner(&outside), 20300);
        symlink(&own, whole.path().join("way")).unwrap();
        assert!(give(&whole.path().join("way"), 20300, 20300).is_err());
    }

    #[test]
    fn a_link_on_the_way_is_an_error_where_the_naive_twin_reads_through_it() {
        let (path, dir) = folder();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        symlink(outside.path(), path.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), path.path().join("file")).unwrap();
        for name in ["folder/secret", "file"] {
            assert_eq!(dir.read(name, 9).unwrap_err().raw_os_error(), Some(libc::ELOOP), "{name}");
            assert!(walk(dir.as_fd(), name.as_bytes(), OFlags::RDONLY | OFlags::NOFOLLOW, true).is_err(), "{name}");
            assert!(walk(dir.as_fd(), name.as_bytes(), OFlags::PATH | OFlags::NOFOLLOW, true).is_err(), "{name}");
            assert_eq!(std::fs::read(path.path().join(name)).unwrap(), b"x", "the twin has no power");
        }
        assert!(dir.replace("folder/new", b"", 0o600).is_err());
        std::fs::create_dir(outside.path().join("in")).unwrap();
        assert!(Dir::open_without_links(&outside.path().join("in")).is_ok());
        assert!(Dir::open_without_links(&path.path().join("folder/in")).is_err());
        assert!(Dir::open(&path.path().join("folder/in")).is_ok(), "the twin has no power");
        assert!(dir.unlink("folder/secret").is_err());
        assert!(dir.make_dirs("folder/sub", 0o700).is_err());
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn names_that_climb_or_are_empty_are_refused() {
        let (_path, dir) = folder();
        for name in ["", ".", "..", "/etc/passwd", "a//b", "a/../b", "a/", "a\0b", UNFINISHED, &"a".repeat(256)] {
            assert_eq!(dir.read(name, 9).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn a_replaced_file_has_its_mode_and_nothing_is_left_beside_it() {
        let (path, dir) = folder();
        dir.make_dirs("a/b", 0o711).unwrap();
        for text in ["one", "two"] {
            dir.replace("a/b/c", text.as_bytes(), 0o644).unwrap();
            assert_eq!(dir.read("a/b/c", 9).unwrap().unwrap(), text.as_bytes());
        }
        let mode = |name: &str| std::fs::metadata(path.path().join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a/b/c"), mode("a/b"), mode("a")), (0o644, 0o711, 0o711));
        assert_eq!(std::fs::read_dir(path.path().join("a/b")).unwrap().count(), 1);
        assert!(dir.has_file("a/b/c").unwrap() && !dir.has_file("a/b").unwrap() && !dir.has_file("x/y").unwrap());
        assert!(dir.read("a/b/c", 2).is_err());
        // A folder has its place: the rename fails, and what was written for it does not stay.
        std::fs::create_dir_all(path.path().join("a/b/d/e")).unwrap();
        assert!(dir.replace("a/b/d", b"x", 0o644).is_err());
        assert!(!path.path().join("a/b").join(UNFINISHED).exists());
        std::fs::remove_dir_all(path.path().join("a/b/d")).unwrap();
        assert!(dir.unlink("a/b/c").unwrap() && !dir.unlink("a/b/c").unwrap());
        assert!(dir.remove_dir("a/b").unwrap());
        assert_eq!(dir.list().unwrap(), ["a"]);
    }

    #[test]
    fn a_folder_that_a_death_left_closed_gets_its_mode_and_the_naive_twin_leaves_it_closed() {
        let (path, dir) = folder();
        let mode = |name: &str| std::fs::metadata(path.path().join(name)).unwrap().permissions().mode() & 0o7777;
        // As kill -9 leaves it between mkdirat and fchmod.
        std::fs::create_dir(path.path().join("a")).unwrap();
        std::fs::set_permissions(path.path().join("a"), PermissionsExt::from_mode(0o700)).unwrap();
        let naive = rustix::fs::mkdirat(&dir.0, "a", Mode::from_raw_mode(0o711));
        assert_eq!((naive, mode("a")), (Err(Errno::EXIST), 0o700), "the twin has no power");
        dir.make_dirs("a/b", 0o711).unwrap();
        assert_eq!((mode("a"), mode("a/b")), (0o711, 0o711));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path.path().join("a"), Some(20_300), None).unwrap();
            dir.make_dirs("a/b", 0o755).unwrap();
            assert_eq!((mode("a"), mode("a/b")), (0o711, 0o755), "another's folder is left as it is");
        }
    }

    #[test]
    fn what_is_appended_never_goes_through_a_link_that_somebody_laid() {
        let (path, dir) = folder();
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("passwd");
        std::fs::write(&victim, "root").unwrap();
        symlink(&victim, path.path().join("journal")).unwrap();
        assert_eq!(dir.append("journal", 0o600).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(std::fs::read(&victim).unwrap(), b"root");
        // The naive twin opens by path and writes into the victim.
        let naive = std::fs::OpenOptions::new().append(true).open(path.path().join("journal"));
        naive.unwrap().write_all(b"x").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"rootx", "the twin has no power");
    }

    #[test]
    fn what_everybody_can_reach_has_no_closed_folder_and_no_link_on_its_way() {
        let (path, dir) = folder();
        let root = path.path().canonicalize().unwrap();
        let close = |name: &str, mode| {
            std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        dir.make_dirs("a/b", 0o711).unwrap();
        dir.replace("a/b/file", b"", 0o644).unwrap();
        close("", 0o711);
        symlink(root.join("a"), root.join("way")).unwrap();
        let why = |name: &str| reachable(&root.join(name), "the reader").map_err(|e| e.to_string());
        assert_eq!(why("a/b/file"), Ok(()));
        assert!(why("way/b/file").unwrap_err().contains("without it"));
        for (name, open, mode, said) in
            [("a/b/file", 0o644, 0o600, "chmod o+r"), ("a", 0o711, 0o700, "chmod o+x"), ("", 0o711, 0o700, "chmod o+x")]
        {
            close(name, mode);
            let text = why("a/b/file").unwrap_err();
            assert!(text.starts_with("the reader cannot pass") && text.contains(said), "{text}");
            // The naive twin opens it itself, and is not everybody.
            assert!(File::open(root.join("a/b/file")).is_ok(), "the twin has no power");
            close(name, open);
        }
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_our_own() {
        let (path, _dir) = folder();
        std::fs::set_permissions(path.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(Dir::open_own(path.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
