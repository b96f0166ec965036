//! Lines of ours in a list that is somebody else's: they stand between two marks, and the rest is his to the byte.
//!
//! They stand first, so that the rest comes back as it was, with or without a newline at its end. The list changes by
//! an exchange ([`crate::swap`]), so nobody's change is lost.

use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::swap::{Seen, Shared};

/// A list, and the two whole lines that mark what is ours.
#[derive(Debug)]
pub struct Block {
    dir: Dir,
    name: String,
    spare: String,
    path: PathBuf,
    marks: [&'static str; 2],
    bytes_max: u64,
}

impl Block {
    /// A list in a folder of ours ([`Dir::open_own`]); looks not yet at the list itself. `marks`: the lines, without
    /// newline, before and after ours. `bytes_max`: bytes that are read at most.
    pub fn open(path: &Path, marks: [&'static str; 2], bytes_max: u64) -> io::Result<Block> {
        let (dir, name) = Dir::of_own(path)?;
        let spare = format!(".hikeshi-{name}");
        Ok(Block { dir, name: name.to_owned(), spare, path: path.to_owned(), marks, bytes_max })
    }

    /// The mode of a list that is there, that nobody else can change and whose marks are whole.
    ///
    /// Errors, which name the list and the next step: not there (`NotFound`), one mark or two of one (`InvalidData`),
    /// another's or writable by others (`PermissionDenied`), and those of reading.
    pub fn check(&self) -> io::Result<u32> {
        let stat = self.read(|seen| self.parts(&seen.bytes).map(|_| seen.stat))?;
        match stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0 {
            true => Ok(stat.st_mode),
            false => {
                Err(self.error(io::ErrorKind::PermissionDenied, "can be changed by others; chown root, chmod go-w"))
            }
        }
    }

    /// Whether exactly these lines stand between the marks, or nothing and no marks when there are none.
    pub fn holds(&self, lines: &str) -> io::Result<bool> {
        self.read(|seen| Ok(self.parts(&seen.bytes)?.1 == self.marked(lines).as_bytes()))
    }

    /// Puts these lines, each with its newline, between the marks; without lines the marks go too. `step` is told each
    /// name between two effects.
    ///
    /// Errors as [`Block::check`], and `ResourceBusy` when the list changes all the time.
    pub fn set(&self, lines: &str, step: &mut dyn FnMut(&'static str)) -> io::Result<()> {
        let rest = |list: &[u8]| self.parts(list).map_or(list.to_vec(), |(before, _, after)| [before, after].concat());
        let wanted = self.marked(lines);
        let new = |seen: &Seen| {
            let (before, ours, after) = self.parts(&seen.bytes)?;
            Ok((ours != wanted.as_bytes()).then(|| ([before, wanted.as_bytes(), after].concat(), None)))
        };
        let failed =
            |e: io::Error| self.error(e.kind(), &format!("cannot be written: {e}; check free space and rights"));
        self.shared().settle(&|one, other| rest(one) == rest(other)).map_err(failed)?;
        match self.shared().change(new, failed, step)? {
            true => Ok(()),
            false => Err(self.missing()),
        }
    }

    fn read<T>(&self, of: impl Fn(Seen) -> io::Result<T>) -> io::Result<T> {
        let seen = self.shared().read();
        let seen = seen.map_err(|e| self.error(e.kind(), &format!("cannot be read: {e}; look at it yourself")))?;
        of(seen.ok_or_else(|| self.missing())?)
    }

    fn shared(&self) -> Shared<'_> {
        Shared { dir: &self.dir, name: &self.name, spare: &self.spare, bytes_max: self.bytes_max }
    }

    fn marked(&self, lines: &str) -> String {
        let [begin, end] = self.marks;
        if lines.is_empty() { String::new() } else { format!("{begin}\n{lines}{end}\n") }
    }

    /// What stands before our lines, they with their marks, and what stands after them.
    fn parts<'l>(&self, list: &'l [u8]) -> io::Result<(&'l [u8], &'l [u8], &'l [u8])> {
        let (mut at, mut begins, mut ends) = (0, Vec::new(), Vec::new());
        for line in list.split_inclusive(|b| *b == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            if text == self.marks[0].as_bytes() {
                begins.push(at);
            } else if text == self.marks[1].as_bytes() {
                ends.push(at + line.len());
            }
            at += line.len();
        }
        match (begins.as_slice(), ends.as_slice()) {
            ([], []) => Ok((b"", b"", list)),
            ([begin], [end]) if begin < end => Ok((&list[..*begin], &list[*begin..*end], &list[*end..])),
            _ => {
                let [begin, end] = self.marks;
                let why = format!("has marks of ours that are damaged; remove the lines `{begin}` and `{end}` by hand");
                Err(self.error(io::ErrorKind::InvalidData, &why))
            }
        }
    }

    fn missing(&self) -> io::Error {
        self.error(io::ErrorKind::NotFound, "is not there; make it, and see that the service reads it")
    }

    fn error(&self, kind: io::ErrorKind, why: &str) -> io::Error {
        io::Error::new(kind, format!("{} {why}", self.path.display()))
    }
}

/// `bytes` without `length` of them from each of these places on, which are in order and do not overlap.
pub fn without(bytes: &[u8], places: &[usize], length: usize) -> Vec<u8> {
    let (mut left, mut from) = (Vec::with_capacity(bytes.len()), 0);
    for at in places {
        left.extend_from_slice(&bytes[from..*at]);
        from = at + length;
    }
    left.extend_from_slice(&bytes[from..]);
    left
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const MARKS: [&str; 2] = ["# begin", "# end"];

    fn list(text: &str) -> (tempfile::TempDir, Block) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let block = Block::open(&path, MARKS, 1000).unwrap();
        (folder, block)
    }

    #[test]
    fn what_is_taken_out_at_some_places_is_what_the_naive_twin_takes_out_one_by_one() {
        let bytes: Vec<u8> = (0..=99).collect();
        for places in [&[][..], &[0], &[98], &[0, 2, 50, 97]] {
            let mut naive = bytes.clone();
            places.iter().rev().for_each(|at| drop(naive.drain(*at..at + 2)));
            assert_eq!(without(&bytes, places, 2), naive);
        }
    }

    #[test]
    fn the_rest_of_a_list_stays_to_the_byte() {
        for rest in ["", "root\nbin", "# x\n\nroot\r\n", "\u{0}\n"] {
            let (folder, block) = list(rest);
            let text = || std::fs::read_to_string(folder.path().join("list")).unwrap();
            assert_eq!(block.check().unwrap() & 0o777, 0o640);
            assert!(block.holds("").unwrap() && !block.holds("alice\n").unwrap());
            for lines in ["alice\n", "alice\nbob\n", "bob\n"] {
                block.set(lines, &mut |_| ()).unwrap();
                assert_eq!(text(), format!("# begin\n{lines}# end\n{rest}"));
                assert!(block.holds(lines).unwrap() && !block.holds("").unwrap());
            }
            // What others write before and after our lines is theirs too.
            std::fs::write(folder.path().join("list"), format!("first\n# begin\nbob\n# end\n{rest}")).unwrap();
            block.set("carol\n", &mut |_| ()).unwrap();
            assert_eq!(text(), format!("first\n# begin\ncarol\n# end\n{rest}"));
            block.set("", &mut |_| ()).unwrap();
            assert_eq!(text(), format!("first\n{rest}"));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn damaged_marks_and_a_list_of_others_are_refused_and_left() {
        for damaged in ["# begin\na\n", "# end\n", "# end\n# begin\n", "# begin\n# begin\n# end\n"] {
            let (folder, block) = list(damaged);
            let why = block.set("alice\n", &mut |_| ()).unwrap_err();
            assert!(why.kind() == io::ErrorKind::InvalidData && why.to_string().contains("by hand"), "{why}");
            assert!(block.check().is_err() && block.holds("").is_err());
            assert_eq!(std::fs::read_to_string(folder.path().join("list")).unwrap(), damaged);
        }
        let (folder, block) = list("");
        let path = folder.path().join("list");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(block.check().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        std::fs::remove_file(&path).unwrap();
        for why in [block.check().map(drop), block.holds("").map(drop), block.set("a\n", &mut |_| ())] {
            assert_eq!(why.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
