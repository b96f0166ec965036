//! Sets files aside and gives them back: the inode itself moves, so nothing is lost and nothing is copied.
//!
//! A tenant can exchange any name at any moment. So a file is judged by a held descriptor, moved by name relative to
//! its held folder, and looked at again where it arrived: what is not the judged inode goes straight back. On the way
//! back a child with the tenant's own uid makes the name, and can do no more than he.

use std::io;
use std::path::{Path, PathBuf};

use model::{AccountRef, Failure, FilePath, FileRef, Hash, RestrictionId};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::dir::Dir;
use sys::file::{self, Facts, Found};

use crate::config::{Reach, Steps};

/// Files of one order.
const FILES_MAX: usize = 64;
/// Largest file that is read for its hash, bytes; nothing that a web server runs is larger.
const SIZE_MAX: u64 = 1 << 30;
const KEY: &str = "[paths] quarantine";

/// A file that is set aside, and what it takes to give it back as it was.
///
/// Device numbers change when a machine starts again, so where the file lies is said by the quarantine folder's path;
/// inodes are those of its file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    file: FileRef,
    /// The quarantine folder.
    shelf: PathBuf,
    /// Inode of the folder from which it was taken, its group, and when it last changed before that.
    folder: u64,
    folder_gid: u32,
    folder_modified_ns: i64,
    uid: u32,
    gid: u32,
    mode: u32,
    accessed_ns: i64,
    modified_ns: i64,
    /// Space taken, units of 512 bytes; stays, holes too, because nothing is copied.
    blocks: u64,
    links: u32,
}

impl Moved {
    pub fn file(&self) -> &FileRef {
        &self.file
    }
}

/// The folders where files are set aside.
#[derive(Debug)]
pub struct Files {
    shelves: Vec<Shelf>,
    /// Demo and tests without root: homes lie below this, and files are given back by ourselves.
    within: Option<PathBuf>,
}

/// One quarantine folder.
#[derive(Debug)]
struct Shelf {
    path: PathBuf,
    dir: Dir,
    is: Facts,
}

impl Files {
    /// Opens those of the folders that are there; a missing one is said when a file would need it.
    pub fn open(dirs: &[PathBuf], reach: &Reach) -> io::Result<Files> {
        let within = match reach {
            Reach::Handed { folder } => Some(folder.clone()),
            Reach::Uids(_) => None,
        };
        let mut shelves = Vec::new();
        for path in dirs {
            let dir = match Dir::open_without_links(path).and_then(|_| Dir::open_own(path)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}; see {KEY}", path.display())))?,
            };
            let is = Facts::of(&dir)?;
            if is.mode & 0o077 != 0 {
                let why = format!("{} can be read by others; chmod 0700 it", path.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            shelves.push(Shelf { path: path.clone(), dir, is });
        }
        Ok(Files { shelves, within })
    }

    /// Judges every file and changes nothing. Guards and errors end with the next step.
    pub fn plan(&self, account: &AccountRef, home: &str, files: &[FileRef]) -> Result<Vec<Moved>, Failure> {
        if files.is_empty() || files.len() > FILES_MAX {
            return Err(Failure::Error(format!("{} files in one order; 1 to {FILES_MAX} are right", files.len())));
        }
        let root = self.home(account, home).map_err(Failure::Guard)?;
        let mut moved = Vec::new();
        for file in files {
            let (folder, name) = folder(&root, &file.path).map_err(|e| lost(&file.path, &e))?;
            let (found, is) = judge(account, &root, &folder, name, file)?;
            if content(&found, file)? != file.hash {
                return Err(changed(&file.path));
            }
            let there = Facts::of(&folder).map_err(|e| lost(&file.path, &e))?;
            let fits = |shelf: &&Shelf| (shelf.is.dev, shelf.is.mount) == (is.dev, is.mount);
            let Some(shelf) = self.shelves.iter().find(fits) else {
                return Err(Failure::Error(format!(
                    "no quarantine folder is on the file system of {home}; make one there (root's, mode 0700) and add it to {KEY}"
                )));
            };
            moved.push(Moved {
                file: file.clone(),
                shelf: shelf.path.clone(),
                folder: there.ino,
                folder_gid: there.gid,
                folder_modified_ns: there.modified_ns,
                uid: is.uid,
                gid: is.gid,
                mode: is.mode,
                accessed_ns: is.accessed_ns,
                modified_ns: is.modified_ns,
                blocks: is.blocks,
                links: is.links,
            });
        }
        Ok(moved)
    }

    /// Moves the files; may be repeated. After an error some may have been moved: take them back.
    pub fn apply(
        &self,
        account: &AccountRef,
        id: RestrictionId,
        home: &str,
        moved: &[Moved],
        steps: &mut Steps,
    ) -> Result<(), Failure> {
        let root = self.home(account, home).map_err(Failure::Guard)?;
        for (index, one) in moved.iter().enumerate() {
            self.set_aside(account, &root, &name_of(id, index), one, steps)?;
        }
        self.sync(moved).map_err(|e| Failure::Error(format!("{e}; check the disk")))
    }

    /// Gives the files back, each as far as that is possible without a guess; may be repeated. `sealed`: they were in
    /// force, so their content must be what was judged.
    pub fn take_back(
        &self,
        account: &AccountRef,
        id: RestrictionId,
        (home, moved): (&str, &[Moved]),
        sealed: bool,
        steps: &mut Steps,
    ) -> Result<String, String> {
        let (mut back, mut errors) = (0, Vec::new());
        for (index, one) in moved.iter().enumerate() {
            match self.give_back(account, home, &name_of(id, index), (one, sealed), steps) {
                Ok(given) => back += usize::from(given),
                Err(why) => errors.push(why),
            }
        }
        self.sync(moved)?;
        match errors.is_empty() {
            true if back == moved.len() => Ok(format!("{back} files are back where they were")),
            true => Ok(format!("{back} files are back where they were; {} were not set aside", moved.len() - back)),
            false => Err(few(&errors)),
        }
    }

    /// Whether each file is where we put it; its content is read again only when it is given back.
    pub fn look(&self, id: RestrictionId, moved: &[Moved]) -> (bool, String) {
        let (mut there, mut odd) = (0, 0);
        for (index, one) in moved.iter().enumerate() {
            let Ok(shelf) = self.shelf(one) else { continue };
            let Ok(Some((_, is))) = shelf.holds(&name_of(id, index), one) else { continue };
            // Who had it open can link it back: then it lies in two places, and is not set aside at all.
            if is.links > one.links {
                return (
                    false,
                    format!(
                        "{} was linked back by a process that has it open; freeze the account's processes, then order this again",
                        one.file.path
                    ),
                );
            }
            there += 1;
            odd += usize::from(one.altered(&is) || is.modified_ns != one.modified_ns);
        }
        let odd = match odd {
            0 => String::new(),
            odd => format!("; {odd} of them changed by a process that has it open: freeze the account's processes"),
        };
        (there == moved.len(), format!("{there} of {} files set aside{odd}", moved.len()))
    }

    /// Deletes what is set aside, from the quarantine folder and by inode; may be repeated.
    pub fn purge(&self, id: RestrictionId, moved: &[Moved]) -> Result<(), String> {
        for (index, one) in moved.iter().enumerate() {
            let (shelf, name) = (self.shelf(one)?, name_of(id, index));
            if shelf.holds(&name, one).map_err(|e| format!("{}: {e}", shelf.full(&name)))?.is_some() {
                file::unlink(&shelf.dir, name.as_bytes()).map_err(|e| format!("{}: {e}", shelf.full(&name)))?;
            }
        }
        self.sync(moved)
    }

    fn set_aside(
        &self,
        account: &AccountRef,
        home: &Dir,
        new: &str,
        moved: &Moved,
        steps: &mut Steps,
    ) -> Result<(), Failure> {
        let path = &moved.file.path;
        let shelf = self.shelf(moved).map_err(Failure::Error)?;
        let failed = |e: io::Error| Failure::Error(format!("{path} cannot be set aside: {e}; order it again"));
        if shelf.holds(new, moved).map_err(failed)?.is_some() {
            return Ok(());
        }
        let (folder, name) = folder(home, path).map_err(|e| lost(path, &e))?;
        let before = Facts::of(&folder).map_err(failed)?;
        if (before.dev, before.ino) != (shelf.is.dev, moved.folder) {
            return Err(Failure::Gone(format!("the folder of {path} is another one now; look again")));
        }
        let (found, is) = judge(account, home, &folder, name, &moved.file)?;
        steps("impose: one file judged");
        file::rename(&folder, name, &shelf.dir, new.as_bytes()).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => changed(path),
            io::ErrorKind::AlreadyExists => {
                Failure::Error(format!("{} is there already; look at it and move it away", shelf.full(new)))
            }
            io::ErrorKind::CrossesDevices => Failure::Error(format!(
                "{} is on another mount than {path}; make a quarantine folder on that one and add it to {KEY}",
                shelf.path.display()
            )),
            _ => failed(e),
        })?;
        steps("impose: one file moved");
        let arrived = Found::hold(&shelf.dir, new.as_bytes()).and_then(|f| f.map(|f| f.facts()).transpose());
        let right = matches!(&arrived, Ok(Some(it)) if it.same(&is) && it.links == 1 && !moved.altered(it));
        let sealed = if right { content(&found, &moved.file) } else { Err(changed(path)) };
        if !matches!(sealed, Ok(hash) if hash == moved.file.hash) {
            shelf.put_back(new, Some((&folder, name)), home).map_err(Failure::Error)?;
            return Err(sealed.err().unwrap_or_else(|| changed(path)));
        }
        // Nobody shall see by its time that the folder was changed, and then it comes back by itself.
        let _ = file::set_modified(&folder, before.modified_ns);
        steps("impose: one file verified");
        Ok(())
    }

    /// False: it was not set aside (any more).
    fn give_back(
        &self,
        account: &AccountRef,
        home: &str,
        name: &str,
        (moved, sealed): (&Moved, bool),
        steps: &mut Steps,
    ) -> Result<bool, String> {
        let (path, shelf) = (&moved.file.path, self.shelf(moved)?);
        let full = shelf.full(name);
        let failed = |e: io::Error| format!("{path} cannot be given back now: {e}; it is kept as {full}");
        let Some(found) = Found::hold(&shelf.dir, name.as_bytes()).map_err(failed)? else { return Ok(false) };
        let is = found.facts().map_err(failed)?;
        let root = self.home(account, home)?;
        let place = folder(&root, path).and_then(|(dir, last)| Ok((Facts::of(&dir)?, dir, last)));
        let place = place.ok().filter(|(there, ..)| (there.dev, there.ino) == (shelf.is.dev, moved.folder));
        if is.ino != moved.file.ino {
            // Exchanged at the moment of the move, and death before it was put back: it is not ours to keep.
            shelf.put_back(name, place.as_ref().map(|(_, dir, last)| (dir, *last)), &root)?;
            return Ok(false);
        }
        if account.uid != moved.uid {
            return Err(format!("{full} belongs to uid {}, not to {account}; give it back by hand", moved.uid));
        }
        let same = || Ok::<_, String>(content(&found, &moved.file).map_err(|e| e.to_string())? == moved.file.hash);
        if sealed && (moved.altered(&is) || !same()?) {
            return Err(format!(
                "{path} was changed while it was set aside, by a process that has it open; it is kept as {full}: look at it and give it back by hand"
            ));
        }
        let Some((_, dir, last)) = place else {
            return Err(format!(
                "the folder of {path} is another one now or gone; it is kept as {full}: give it back by hand"
            ));
        };
        // Its own group would do, but with the folder's a folder keeps its set-group-id.
        let gid = if moved.folder_gid == 0 { account.uid } else { moved.folder_gid };
        let user = self.within.is_none().then_some((account.uid, gid));
        if let Err(e) = found.link_as(&dir, last, user) {
            let there = Found::hold(&dir, last).and_then(|f| f.map(|f| f.facts()).transpose());
            match there {
                Ok(Some(there)) if there.same(&is) => {} // before a death, or before the child was ended
                Ok(Some(_)) if e.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(format!(
                        "another {path} is there now and is not overwritten; rename it and lift again, the original is kept as {full}"
                    ));
                }
                _ => return Err(failed(e)),
            }
        }
        steps("lift: one file linked");
        file::unlink(&shelf.dir, name.as_bytes()).map_err(failed)?;
        steps("lift: one file given back");
        Ok(true)
    }

    /// The account's home, reached without any link.
    fn home(&self, account: &AccountRef, home: &str) -> Result<Dir, String> {
        let path = Path::new(home);
        if let Some(folder) = self.within.as_ref().filter(|folder| !path.starts_with(folder)) {
            return Err(format!("{home} is outside of {}; this act may change nothing there", folder.display()));
        }
        let dir = Dir::open_without_links(path)
            .map_err(|e| format!("home \"{home}\" of {account}: {e}; write it in passwd without links"))?;
        let is = Facts::of(&dir).map_err(|e| format!("home {home}: {e}; check the disk"))?;
        match is.uid == account.uid || is.uid == 0 {
            true => Ok(dir),
            false => Err(format!("home {home} belongs to uid {}, not to {account}; chown it or look yourself", is.uid)),
        }
    }

    fn shelf(&self, moved: &Moved) -> Result<&Shelf, String> {
        let shelf = self.shelves.iter().find(|shelf| shelf.path == moved.shelf);
        shelf.ok_or_else(|| {
            let path = moved.shelf.display();
            format!("the quarantine folder {path} is not open; mount it and name it in {KEY}, then start again")
        })
    }

    fn sync(&self, moved: &[Moved]) -> Result<(), String> {
        let mut used = self.shelves.iter().filter(|shelf| moved.iter().any(|one| one.shelf == shelf.path));
        used.try_for_each(|shelf| shelf.dir.sync().map_err(|e| format!("{}: {e}", shelf.path.display())))
    }
}

impl Shelf {
    fn full(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// The file under `name`, if it is the one that was moved.
    fn holds(&self, name: &str, moved: &Moved) -> io::Result<Option<(Found, Facts)>> {
        let Some(found) = Found::hold(&self.dir, name.as_bytes())? else { return Ok(None) };
        let is = found.facts()?;
        Ok((is.ino == moved.file.ino).then_some((found, is)))
    }

    /// What arrived and was not meant goes back where it was, or beside, never over anything.
    fn put_back(&self, name: &str, place: Option<(&Dir, &[u8])>, home: &Dir) -> Result<(), String> {
        let beside = format!("hikeshi-{name}");
        let beside = beside.as_bytes();
        let places = place.into_iter().flat_map(|(dir, last)| [(dir, last), (dir, beside)]).chain([(home, beside)]);
        let mut last = None;
        for (dir, new) in places {
            match file::rename(&self.dir, name.as_bytes(), dir, new) {
                Ok(()) => return Ok(()),
                Err(e) => last = Some(e),
            }
        }
        let why = last.map(|e| e.to_string()).unwrap_or_default();
        Err(format!("{} was not meant and cannot be put back: {why}; put it back by hand", self.full(name)))
    }
}

impl Moved {
    /// Whether somebody changed more than the name of it, as far as one sees without reading.
    fn altered(&self, is: &Facts) -> bool {
        (is.size, is.uid, is.gid, is.mode) != (self.file.size, self.uid, self.gid, self.mode)
    }
}

/// What a file of this restriction is called in quarantine.
fn name_of(id: RestrictionId, index: usize) -> String {
    format!("{}.{}.{index}", id.incident, id.ordinal)
}

/// The folder of a path, and the last component.
fn folder<'p>(home: &Dir, path: &'p FilePath) -> io::Result<(Dir, &'p [u8])> {
    let bytes = path.bytes();
    match bytes.iter().rposition(|b| *b == b'/') {
        Some(at) => Ok((home.open_dir(&bytes[..at])?, &bytes[at + 1..])),
        None => Ok((home.again()?, bytes)),
    }
}

/// The file that was judged, if it is still there and may be moved at all; its content is not read here.
fn judge(
    account: &AccountRef,
    home: &Dir,
    folder: &Dir,
    name: &[u8],
    file: &FileRef,
) -> Result<(Found, Facts), Failure> {
    let path = &file.path;
    let guard = |why: &str| Err(Failure::Guard(format!("{path} {why}")));
    if let Some(why) = kept_by_name(path.bytes()) {
        return guard(why);
    }
    if is_maildir(home, path.bytes()) {
        return guard("is mail of a Maildir; use block-login or hold-mail, or copy it as evidence");
    }
    let found = Found::hold(folder, name).map_err(|e| lost(path, &e))?;
    let Some(found) = found else { return Err(Failure::Gone(format!("{path} is no longer there"))) };
    let is = found.facts().map_err(|e| lost(path, &e))?;
    let there = Facts::of(folder).map_err(|e| lost(path, &e))?;
    if !is.is_file() {
        return guard("is not a regular file (a link, fifo, socket, device or folder); look at it yourself");
    }
    if is.uid != account.uid {
        return guard(&format!(
            "belongs to uid {}, not to {account}; look at it yourself, or copy it as evidence",
            is.uid
        ));
    }
    if there.uid != account.uid {
        return guard(&format!(
            "lies in a folder of uid {}, into which {account} could not take it back; copy it as evidence instead",
            there.uid
        ));
    }
    if is.links > 1 {
        return guard(
            "has more than one name (hard links), so another file would be changed; copy it as evidence instead",
        );
    }
    if is.fixed || there.fixed {
        return guard("or its folder is immutable or append-only; `chattr -i -a` it first");
    }
    if is.size > SIZE_MAX {
        return guard("is larger than 1 GiB; look at it yourself");
    }
    // The time of the inode's last change is not asked: our own way there and back after a death changes it, and the
    // hash, which is compared before and after the move, says more.
    let right = (is.dev, is.ino, is.size) == (file.dev, file.ino, file.size);
    if right { Ok((found, is)) } else { Err(changed(path)) }
}

/// BLAKE3 of the content of a held file; one byte too many is enough for another hash.
fn content(found: &Found, file: &FileRef) -> Result<Hash, Failure> {
    let read = found.read().and_then(|open| Hash::of_reader(&mut io::Read::take(open, file.size + 1)));
    read.map_err(|e| Failure::Error(format!("{} cannot be read: {e}; freeze what has it open, order again", file.path)))
}

fn changed(path: &FilePath) -> Failure {
    Failure::Gone(format!("{path} is not the file that was judged any more; nothing was kept of it, look again"))
}

fn lost(path: &FilePath, e: &io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::NotFound => Failure::Gone(format!("{path} is no longer there")),
        io::ErrorKind::CrossesDevices => {
            Failure::Guard(format!("{path} is on another mount than the home; look at it yourself"))
        }
        _ if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) || e.kind() == io::ErrorKind::NotADirectory => {
            Failure::Guard(format!("{path} leads through a link or a file; look again"))
        }
        _ => Failure::Error(format!("{path} cannot be opened: {e}; order it again")),
    }
}

/// Databases and mail, by names alone; content would be the tenant's word. A name that a web server runs as a
/// program (`x.sqlite.php`) is none of them.
fn kept_by_name(path: &[u8]) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    if lower.starts_with(b"mail/") || lower.starts_with(b"maildir/") {
        return Some("is in a mail folder; use block-login or hold-mail, or copy it as evidence");
    }
    let name = lower.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let whole = [&b"-wal"[..], b"-shm", b"-journal"].iter().find_map(|end| name.strip_suffix(*end)).unwrap_or(name);
    let ends = [&b".sqlite"[..], b".sqlite2", b".sqlite3", b".db", b".db3", b".ibd", b".myd", b".myi", b".frm"];
    match ends.iter().any(|end| whole.ends_with(end)) || name == b"ibdata1" {
        true => Some("is a database; repair what is in it with the application, or copy it as evidence"),
        false => None,
    }
}

/// `X/cur/message`, where `X` has the three folders of a Maildir (maildir(5)); a `tmp` of its own is no mail.
fn is_maildir(home: &Dir, path: &[u8]) -> bool {
    let mut parts = path.rsplitn(3, |b| *b == b'/').skip(1);
    let near = matches!(parts.next(), Some(b"cur" | b"new" | b"tmp"));
    let mut base = || parts.next().map_or_else(|| home.again(), |base| home.open_dir(base));
    let folder = |base: &Dir, name: &&[u8]| {
        let found = Found::hold(base, name).ok().flatten();
        found.is_some_and(|found| found.facts().is_ok_and(|is| is.is_folder()))
    };
    near && base().is_ok_and(|base| [&b"cur"[..], b"new", b"tmp"].iter().all(|name| folder(&base, name)))
}

/// The first three, the rest counted: an answer has to fit into one packet.
fn few(errors: &[String]) -> String {
    let more = errors.len().saturating_sub(3);
    let first = errors[..errors.len() - more].join("; ");
    if more == 0 { first } else { format!("{first}; and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_and_mail_are_known_by_name_and_a_program_that_borrows_the_name_is_not_spared() {
        for kept in [
            "blog/wp-content/database/.ht.sqlite",
            "a/DATA.SQLITE3-wal",
            "x.db",
            "x.db-journal",
            "mysql/wp/posts.ibd",
            "mysql/wp/posts.MYD",
            "posts.MYI",
            "posts.frm",
            "ibdata1",
            "mail/alice/inbox",
            "Maildir/cur/1.2.3",
        ] {
            assert!(kept_by_name(kept.as_bytes()).is_some(), "{kept}");
        }
        // The naive twin, which looks for the sign anywhere, would spare these.
        for taken in ["x.sqlite.php", "x.db.phtml", "blog/mail/send.php", "webmail/x.php", "db", "x.dbx"] {
            assert!(kept_by_name(taken.as_bytes()).is_none(), "{taken}");
        }
    }
}
