//! Sets files aside and gives them back: the inode itself moves, so nothing is lost and nothing is copied.
//!
//! A tenant can exchange any name at any moment. So a file is judged by a held descriptor, moved by name relative to
//! its held folder, and looked at again where it arrived: what is not the judged inode goes straight back. On the way
//! back a child with the tenant's own uid makes the name, and can do no more than he.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AccountRef, Failure, FilePath, FileRef, Hash, RestrictionId};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::dir::Dir;
use sys::file::{self, Facts, Found, Place};
use sys::shelf::{Shelf, is_altered};

use crate::config::{Reach, Steps};

/// Files of one order.
const FILES_MAX: usize = 64;
/// Largest file that is read for its hash, bytes; nothing that a web server runs is larger.
const SIZE_MAX: u64 = 1 << 30;
const KEY: &str = "[paths] quarantine";

/// How long the children that give the files of one order back may take altogether: their tenant can stop them.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that is set aside, and what it takes to give it back as it was.
///
/// Device numbers change when a machine starts again, so where the file lies is said by the quarantine folder's path;
/// inodes are those of its file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// As it was judged.
    pub file: FileRef,
    /// The quarantine folder.
    shelf: PathBuf,
    /// The folder from which it was taken, before that.
    folder: Facts,
    /// The file, before that.
    was: Facts,
}

/// What became of a file that is to be given back.
enum Given {
    Back,
    NotAside,
    /// It cannot go back without a guess, for this reason, and stays in quarantine.
    Kept(String),
}

/// The files of one restriction.
#[derive(Clone, Copy)]
pub struct Set<'a> {
    pub id: RestrictionId,
    pub account: &'a AccountRef,
    pub home: &'a str,
    pub moved: &'a [Moved],
}

impl<'a> Set<'a> {
    /// Each file, and what it is called in quarantine.
    fn each(&self) -> impl Iterator<Item = (String, &'a Moved)> + use<'a> {
        let RestrictionId { incident, ordinal } = self.id;
        self.moved.iter().enumerate().map(move |(index, moved)| (format!("{incident}.{ordinal}.{index}"), moved))
    }
}

/// The folders where files are set aside.
#[derive(Debug)]
pub struct Files {
    shelves: Vec<Shelf>,
    /// Demo and tests without root: homes lie below this, and files are given back by ourselves.
    within: Option<PathBuf>,
}

impl Files {
    /// Opens those of the folders that are there; a missing one is said when a file would need it.
    pub fn open(dirs: &[PathBuf], reach: &Reach) -> io::Result<Files> {
        let within = match reach {
            Reach::Handed { folder } => Some(folder.clone()),
            Reach::Uids(_) => None,
        };
        let open = |path: &PathBuf| {
            Shelf::open(path, within.is_none()).transpose().map(|opened| {
                opened.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}; see {KEY}", path.display())))
            })
        };
        let shelves = dirs.iter().filter_map(open).collect::<io::Result<_>>()?;
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
            let (place, found) = judge(account, &root, file)?;
            if content(&found, file)? != file.hash {
                return Err(changed(&file.path));
            }
            let Some(shelf) = self.shelves.iter().find(|shelf| shelf.takes(&found.is)) else {
                return Err(Failure::Error(format!(
                    "no quarantine folder is on the file system of {home}; make one there (root's, mode 0700) and add it to {KEY}"
                )));
            };
            moved.push(Moved { file: file.clone(), shelf: shelf.path().to_owned(), folder: place.is, was: found.is });
        }
        Ok(moved)
    }

    /// Moves the files; may be repeated. After an error some may have been moved: take them back.
    pub fn apply(&self, set: &Set<'_>, steps: &mut Steps) -> Result<(), Failure> {
        let home = self.home(set.account, set.home).map_err(Failure::Guard)?;
        set.each().try_for_each(|(name, one)| self.set_aside(set.account, &home, &name, one, steps))?;
        self.sync(set.moved).map_err(|e| Failure::Error(format!("{e}; check the disk")))
    }

    /// Gives the files back, each as far as that is possible without a guess; may be repeated. What happened, and how
    /// many stay in quarantine because their place is taken, gone, or they were changed: for those it is over.
    ///
    /// `sealed`: they were in force, so their content must be what was judged. If not, nothing may stay.
    pub fn take_back(&self, set: &Set<'_>, sealed: bool, steps: &mut Steps) -> Result<(String, usize), String> {
        let (mut back, mut kept, mut errors, mut patience) = (0, Vec::new(), Vec::new(), PATIENCE);
        for (name, one) in set.each() {
            match self.give_back(set, &name, (one, sealed), (&mut patience, &mut *steps)) {
                Ok(Given::Back) => back += 1,
                Ok(Given::NotAside) => {}
                Ok(Given::Kept(why)) if sealed => kept.push(why),
                Ok(Given::Kept(why)) | Err(why) => errors.push(why),
            }
        }
        self.sync(set.moved)?;
        if !errors.is_empty() {
            return Err(few(&errors));
        }
        let absent = match set.moved.len() - back - kept.len() {
            0 => String::new(),
            absent => format!("; {absent} were not set aside"),
        };
        let rest = match kept.is_empty() {
            true => String::new(),
            false => format!("; kept for 30 days, lift again to get them back: {}", few(&kept)),
        };
        Ok((format!("{back} files are back where they were{absent}{rest}"), kept.len()))
    }

    /// Whether each file is where we put it; its content is read again only when it is given back.
    pub fn look(&self, set: &Set<'_>) -> Result<String, String> {
        let (mut there, mut odd) = (0, 0);
        for (name, one) in set.each() {
            let Ok(shelf) = self.shelf(one) else { continue };
            let Ok(Some(Found { is, .. })) = shelf.holds(&name, one.file.ino) else { continue };
            // Where fs.protected_hardlinks is 0, who had it open can link it back: then it is not set aside at all.
            if is.links > one.was.links {
                let next = "freeze the account's processes, then order this again";
                return Err(format!("{} was linked back by a process that has it open; {next}", one.file.path));
            }
            there += 1;
            odd += usize::from(is_altered(&one.was, &is) || is.modified_ns != one.was.modified_ns);
        }
        let odd = match odd {
            0 => String::new(),
            odd => format!("; {odd} of them changed by a process that has it open: freeze the account's processes"),
        };
        let seen = format!("{there} of {} files set aside{odd}", set.moved.len());
        if there == set.moved.len() { Ok(seen) } else { Err(seen) }
    }

    /// Deletes what is set aside, from the quarantine folder and by inode; may be repeated.
    pub fn purge(&self, set: &Set<'_>) -> Result<(), String> {
        for (name, one) in set.each() {
            let shelf = self.shelf(one)?;
            let delete = |found: Option<Found>| found.map_or(Ok(()), |_| shelf.remove(&name));
            shelf.holds(&name, one.file.ino).and_then(delete).map_err(|e| format!("{}: {e}", shelf.full(&name)))?;
        }
        self.sync(set.moved)
    }

    fn set_aside(&self, of: &AccountRef, home: &Dir, new: &str, one: &Moved, steps: &mut Steps) -> Result<(), Failure> {
        let (path, shelf) = (&one.file.path, self.shelf(one)?);
        let failed = |e: io::Error| Failure::Error(format!("{path} cannot be set aside: {e}; order it again"));
        if shelf.holds(new, one.file.ino).map_err(failed)?.is_some() {
            return Ok(());
        }
        let (place, found) = judge(of, home, &one.file)?;
        if !shelf.knows(&place.is, one.folder.ino) {
            return Err(Failure::Gone(format!("the folder of {path} is another one now; look again")));
        }
        steps("impose: one file judged");
        shelf.take(&place, new).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => changed(path),
            io::ErrorKind::AlreadyExists => {
                Failure::Error(format!("{} is there already; look at it and move it away", shelf.full(new)))
            }
            io::ErrorKind::CrossesDevices => Failure::Error(format!(
                "{} is on another mount than {path}; make a quarantine folder on that one and add it to {KEY}",
                shelf.path().display()
            )),
            _ => failed(e),
        })?;
        steps("impose: one file moved");
        // It is ours to seal only if it is what was judged in every way.
        let key = |it: &Facts| (it.ino, it.links, it.size, it.uid, it.gid, it.mode);
        let arrived = shelf.hold(new).ok().flatten();
        let arrived = arrived.filter(|it| it.is.same(&found.is) && key(&it.is) == key(&one.was));
        let verified = arrived.as_ref().ok_or_else(|| changed(path)).and_then(|it| verify(shelf, it, one, steps));
        if let Err(why) = verified {
            arrived.map_or(Ok(()), |it| shelf.unseal(&it, &one.was)).map_err(failed)?;
            shelf.put_back(new, Some(&place), home).map_err(|e| e.to_string())?;
            return Err(why);
        }
        // Nobody shall see by its time that the folder was changed, and then it comes back by itself.
        let _ = file::set_modified(&place.dir, place.is.modified_ns);
        steps("impose: one file verified");
        Ok(())
    }

    fn give_back(
        &self,
        set: &Set<'_>,
        name: &str,
        (moved, sealed): (&Moved, bool),
        (patience, steps): (&mut Duration, &mut Steps),
    ) -> Result<Given, String> {
        let (path, shelf) = (&moved.file.path, self.shelf(moved)?);
        let full = shelf.full(name);
        let failed = |e: io::Error| format!("{path} cannot be given back now: {e}; it is kept as {full}");
        let Some(found) = shelf.hold(name).map_err(failed)? else { return Ok(Given::NotAside) };
        // Sealed once more, because a death after the unsealing leaves it to who still has it open.
        let kept = |why: String| {
            shelf.seal(&found).map_err(failed)?;
            Ok(Given::Kept(format!("{why}, kept as {full}")))
        };
        let taken = || format!("another {path} is there now and is not overwritten: rename it");
        let home = self.home(set.account, set.home)?;
        let place = Place::below(&home, path.bytes()).ok();
        let place = place.filter(|place| shelf.knows(&place.is, moved.folder.ino));
        if found.is.ino != moved.file.ino {
            // Exchanged at the moment of the move, and death before it was put back: it is not ours to keep.
            shelf.put_back(name, place.as_ref(), &home).map_err(|e| e.to_string())?;
            return Ok(Given::NotAside);
        }
        let Some(place) = place else {
            return kept(format!("the folder of {path} is another one now or gone: give it back by hand"));
        };
        // Whether its name leads to it again: before a death, or before the child was ended.
        let linked = || Ok::<_, io::Error>(place.hold()?.map(|there| there.is.same(&found.is)));
        let before = linked().map_err(failed)?;
        if before == Some(false) {
            return kept(taken());
        }
        let same = || Ok::<_, String>(content(&found, &moved.file).map_err(|e| e.to_string())? == moved.file.hash);
        if before.is_none() && sealed && (is_altered(&moved.was, &found.is) || !same()?) {
            return kept(format!(
                "{path} was changed while it was set aside, by a process that has it open: look at it and give it back by hand"
            ));
        }
        shelf.unseal(&found, &moved.was).map_err(failed)?;
        steps("lift: one file unsealed");
        if before.is_none() {
            // Its own group would do, but with the folder's a folder keeps its set-group-id.
            let gid = if moved.folder.gid == 0 { set.account.uid } else { moved.folder.gid };
            let user = self.within.is_none().then_some((set.account.uid, gid));
            let done = found.link_as(&place.dir, place.name, user, patience);
            if let (Err(e), there) = (done, linked().unwrap_or_default())
                && there != Some(true)
            {
                shelf.seal(&found).map_err(failed)?;
                return if there.is_some() { kept(taken()) } else { Err(failed(e)) };
            }
        }
        steps("lift: one file linked");
        shelf.remove(name).map_err(failed)?;
        steps("lift: one file given back");
        Ok(Given::Back)
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
        let shelf = self.shelves.iter().find(|shelf| shelf.path() == moved.shelf);
        shelf.ok_or_else(|| {
            let path = moved.shelf.display();
            format!("the quarantine folder {path} is not open; mount it and name it in {KEY}, then start again")
        })
    }

    fn sync(&self, moved: &[Moved]) -> Result<(), String> {
        let mut used = self.shelves.iter().filter(|shelf| moved.iter().any(|one| one.shelf == shelf.path()));
        used.try_for_each(Shelf::sync).map_err(|e| e.to_string())
    }
}

/// Seals what arrived and looks at it once more: it has no other name now and gets none, and the right content.
fn verify(shelf: &Shelf, arrived: &Found, moved: &Moved, steps: &mut Steps) -> Result<(), Failure> {
    let path = &moved.file.path;
    let failed = |e: io::Error| Failure::Error(format!("{path} cannot be sealed: {e}; order it again"));
    shelf.seal(arrived).map_err(failed)?;
    steps("impose: one file sealed");
    let right = arrived.facts().map_err(failed)?.links == 1 && content(arrived, &moved.file)? == moved.file.hash;
    if right { Ok(()) } else { Err(changed(path)) }
}

/// The file that was judged, if it is still there and may be moved at all, and its place; its content is not read here.
fn judge<'p>(account: &AccountRef, home: &Dir, file: &'p FileRef) -> Result<(Place<'p>, Found), Failure> {
    let path = &file.path;
    if let Some(why) = kept_by_name(path.bytes()) {
        return Err(Failure::Guard(format!("{path} {why}")));
    }
    let place = Place::below(home, path.bytes()).map_err(|e| lost(path, &e))?;
    let found = place.hold().map_err(|e| lost(path, &e))?;
    let Some(found) = found else { return Err(Failure::Gone(format!("{path} is no longer there"))) };
    let (is, there) = (&found.is, &place.is);
    let foreign = format!("belongs to uid {}, not to {account}; look at it yourself, or copy it as evidence", is.uid);
    let no_way_back = format!(
        "lies in a folder of uid {}, into which {account} could not take it back; copy it as evidence instead",
        there.uid
    );
    let guards = [
        (is_maildir(home, path.bytes()), "is mail of a Maildir; use block-login or hold-mail, or copy it as evidence"),
        (!is.is_file(), "is not a regular file (a link, fifo, socket, device or folder); look at it yourself"),
        (is.uid != account.uid, &foreign),
        (there.uid != account.uid, &no_way_back),
        (
            is.links > 1,
            "has more than one name (hard links), so another file would be changed; copy it as evidence instead",
        ),
        (is.fixed || there.fixed, "or its folder is immutable or append-only; `chattr -i -a` it first"),
        // They would be lost when it becomes root's for as long as it is set aside.
        (found.is_capable(), "has capabilities (setcap), which only root gives; look at it yourself"),
        (is.size > SIZE_MAX, "is larger than 1 GiB; look at it yourself"),
    ];
    if let Some((_, why)) = guards.iter().find(|(refused, _)| *refused) {
        return Err(Failure::Guard(format!("{path} {why}")));
    }
    // The time of the inode's last change is not asked: our own way there and back after a death changes it, and the
    // hash, which is compared before and after the move, says more.
    let right = (is.dev, is.ino, is.size) == (file.dev, file.ino, file.size);
    if right { Ok((place, found)) } else { Err(changed(path)) }
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
    let database = name == b"ibdata1" || ends.iter().any(|end| whole.ends_with(end));
    database.then_some("is a database; repair what is in it with the application, or copy it as evidence")
}

/// `X/cur/message`, where `X` has the three folders of a Maildir (maildir(5)); a `tmp` of its own is no mail.
fn is_maildir(home: &Dir, path: &[u8]) -> bool {
    let mut parts = path.rsplitn(3, |b| *b == b'/').skip(1);
    let near = matches!(parts.next(), Some(b"cur" | b"new" | b"tmp"));
    let mut base = || parts.next().map_or_else(|| home.again(), |base| home.open_dir(base));
    let folder = |base: &Dir, name: &&[u8]| {
        Found::hold(base, name).is_ok_and(|found| found.is_some_and(|found| found.is.is_folder()))
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
