//! A private folder in which files are set aside: each is moved by its inode, sealed, and put back over nothing.
//!
//! Sealed: root's with mode 0, so that who still has it open can make no new name for it. It is sealed by a held
//! descriptor when it lies here, and has owner and mode again before it leaves.

use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::file::{self, Facts, Found, Place};

/// The folder. Names in it are single components.
#[derive(Debug)]
pub struct Shelf {
    path: PathBuf,
    dir: Dir,
    is: Facts,
    seals: bool,
}

impl Shelf {
    /// Opens a folder that is there; `None` when it is not. `seals`: false for who may give nothing away (tests, demo).
    ///
    /// Errors: no folder, a link on the way, not ours alone or open to others (`PermissionDenied`).
    pub fn open(path: &Path, seals: bool) -> io::Result<Option<Shelf>> {
        let dir = match Dir::open_without_links(path).and_then(|_| Dir::open_own(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let is = Facts::of(&dir)?;
        match is.mode & 0o077 {
            0 => Ok(Some(Shelf { path: path.to_owned(), dir, is, seals })),
            _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "can be read by others; chmod 0700 it")),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it, to be shown.
    pub fn full(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// Whether a file can be moved here without copying: same device and same mount.
    pub fn takes(&self, file: &Facts) -> bool {
        (self.is.dev, self.is.mount) == (file.dev, file.mount)
    }

    /// Whether this is the folder of that inode, on our device.
    pub fn knows(&self, folder: &Facts, ino: u64) -> bool {
        (folder.dev, folder.ino) == (self.is.dev, ino)
    }

    /// Holds what lies under `name`; `None`: nothing.
    pub fn hold(&self, name: &str) -> io::Result<Option<Found>> {
        Found::hold(&self.dir, name.as_bytes())
    }

    /// The same, if it is this inode.
    pub fn holds(&self, name: &str, ino: u64) -> io::Result<Option<Found>> {
        Ok(self.hold(name)?.filter(|found| found.is.ino == ino))
    }

    /// Moves what is at a place here, under `name`. Errors as [`file::rename`].
    pub fn take(&self, place: &Place<'_>, name: &str) -> io::Result<()> {
        file::rename(&place.dir, place.name, &self.dir, name.as_bytes())
    }

    /// What arrived and was not meant goes back where it was, or beside it, or into `home`, as `hikeshi-NAME`; never
    /// over anything. Error: none of them is free, with the next step.
    pub fn put_back(&self, name: &str, place: Option<&Place<'_>>, home: &Dir) -> io::Result<()> {
        let beside = format!("hikeshi-{name}");
        let beside = beside.as_bytes();
        let places = place.into_iter().flat_map(|place| [(&place.dir, place.name), (&place.dir, beside)]);
        let mut tried =
            places.chain([(home, beside)]).map(|(dir, new)| file::rename(&self.dir, name.as_bytes(), dir, new));
        tried.find(Result::is_ok).unwrap_or_else(|| {
            let why = format!("{} was not meant and cannot be put back; put it back by hand", self.full(name));
            Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
        })
    }

    /// Seals what lies here.
    pub fn seal(&self, found: &Found) -> io::Result<()> {
        if self.seals { found.give(0, 0) } else { Ok(()) }
    }

    /// Owner and mode as they were. What is the owner's, with a mode, is as he has it.
    pub fn unseal(&self, found: &Found, was: &Facts) -> io::Result<()> {
        let is = found.facts()?;
        let his = is.uid == was.uid && is.mode & 0o7777 != 0;
        if his || !self.seals { Ok(()) } else { found.give(was.uid, was.mode) }
    }

    /// Removes a name; [`Shelf::sync`] makes it durable.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        file::unlink(&self.dir, name.as_bytes())
    }

    /// Waits until what was moved and removed is on the disk. The error names the folder.
    pub fn sync(&self) -> io::Result<()> {
        self.dir.sync().map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))
    }
}

/// Whether a file that is set aside was changed in more than its name, as far as one sees without reading it. It may be
/// sealed, or half so after a death.
pub fn is_altered(was: &Facts, is: &Facts) -> bool {
    let sealed = is.mode == was.mode & !0o6000 || is.mode & 0o7777 == 0;
    (is.size, is.gid) != (was.size, was.gid) || ![0, was.uid].contains(&is.uid) || !(is.mode == was.mode || sealed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folders() -> (tempfile::TempDir, Shelf, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let [shelf, home] = ["shelf", "home"].map(|name| folder.path().join(name));
        for path in [&shelf, &home] {
            std::fs::create_dir(path).unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
        }
        let seals = rustix::process::geteuid().is_root();
        (folder, Shelf::open(&shelf, seals).unwrap().unwrap(), Dir::open(&home).unwrap())
    }

    #[test]
    fn what_is_taken_sealed_unsealed_and_put_back_is_the_same_inode_and_overwrites_nothing() {
        let (folder, shelf, home) = folders();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("home/x"), "first").unwrap();
        std::fs::set_permissions(path("home/x"), PermissionsExt::from_mode(0o4751)).unwrap();
        let place = Place::below(&home, b"x").unwrap();
        let was = place.hold().unwrap().unwrap().is;
        assert!(shelf.takes(&was));
        shelf.take(&place, "1").unwrap();
        let found = shelf.holds("1", was.ino).unwrap().unwrap();
        assert!(shelf.holds("1", was.ino + 1).unwrap().is_none() && shelf.hold("2").unwrap().is_none());
        shelf.seal(&found).unwrap();
        let sealed = found.facts().unwrap();
        assert!(!is_altered(&was, &sealed));
        assert_eq!(sealed.mode & 0o7777, if rustix::process::geteuid().is_root() { 0 } else { 0o4751 });
        for changed in [Facts { size: 9, ..sealed.clone() }, Facts { uid: was.uid + 1, ..sealed.clone() }] {
            assert!(is_altered(&was, &changed), "{changed:?}");
        }
        assert!(is_altered(&was, &Facts { mode: was.mode | 0o2000, ..was.clone() }));
        shelf.unseal(&found, &was).unwrap();
        assert_eq!(found.facts().unwrap().mode, was.mode);
        // Its owner's change after that stays.
        std::fs::set_permissions(path("shelf/1"), PermissionsExt::from_mode(0o600)).unwrap();
        shelf.unseal(&found, &was).unwrap();
        assert_eq!(found.facts().unwrap().mode & 0o7777, 0o600);

        // Another file has its place, a third one the name beside it.
        for name in ["home/x", "home/hikeshi-1"] {
            std::fs::write(path(name), "second").unwrap();
        }
        let why = shelf.put_back("1", Some(&place), &home).unwrap_err().to_string();
        assert!(why.contains("by hand") && why.contains("shelf/1"), "{why}");
        std::fs::remove_file(path("home/hikeshi-1")).unwrap();
        shelf.put_back("1", Some(&place), &home).unwrap();
        assert_eq!(std::fs::read_to_string(path("home/x")).unwrap(), "second");
        assert_eq!(Found::hold(&home, b"hikeshi-1").unwrap().unwrap().is.ino, was.ino);
        shelf.sync().unwrap();
    }

    #[test]
    fn a_folder_that_others_may_read_or_that_a_link_leads_to_is_refused_and_a_missing_one_is_none() {
        let (folder, shelf, _) = folders();
        assert!(Shelf::open(&folder.path().join("gone"), true).unwrap().is_none());
        symlink(shelf.path(), folder.path().join("link")).unwrap();
        assert!(Shelf::open(&folder.path().join("link"), true).is_err());
        std::fs::set_permissions(shelf.path(), PermissionsExt::from_mode(0o750)).unwrap();
        let why = Shelf::open(shelf.path(), true).unwrap_err();
        assert!(why.kind() == io::ErrorKind::PermissionDenied && why.to_string().contains("chmod 0700"), "{why}");
    }
}
