//! Reads configuration files within bounds and remembers what it read, so that "nothing changed" costs one
//! `stat` a file.
//!
//! Names come from configuration that an operator wrote, contents may be anything: only regular files are
//! opened (a FIFO would hold us for ever), sizes are added up, and every limit that is hit is an error that a
//! person sees, never a silent end.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// All files of one reading together, bytes.
pub const BYTES_MAX: u64 = 64 << 20;
/// Files of one reading; 10,000 vhosts in a file each are usual on a big node.
pub const FILES_MAX: usize = 100_000;
/// Includes inside includes.
pub const DEPTH_MAX: u32 = 32;
/// Include directives carried out, so that two files that include each other twice end soon.
pub const INCLUDES_MAX: u32 = 400_000;

/// Why a file was not read; the text ends with the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(pub String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for ReadError {}

/// What a path was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// A file or folder whose content matters.
    Content { dev: u64, ino: u64, size: u64, mtime_ns: i64 },
    /// A folder of which only the identity and the owner matter (homes and roots change all day).
    Identity { dev: u64, ino: u64, uid: u32 },
    /// Nothing was there.
    Missing,
}

/// The state of everything that was read; equal state means that reading again would give the same.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    seen: Vec<(PathBuf, Stamp, bool)>,
}

impl Fingerprint {
    /// Whether every input is still what it was: one `stat` each, nothing is opened.
    pub fn unchanged(&self) -> bool {
        self.seen.iter().all(|(path, stamp, identity)| look(path, *identity) == *stamp)
    }

    /// How many paths are watched.
    pub fn paths(&self) -> usize {
        self.seen.len()
    }
}

fn look(path: &Path, identity: bool) -> Stamp {
    match fs::metadata(path) {
        Err(_) => Stamp::Missing,
        Ok(meta) if identity => Stamp::Identity { dev: meta.dev(), ino: meta.ino(), uid: meta.uid() },
        Ok(meta) => Stamp::Content {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec()),
        },
    }
}

/// Reads files for one inventory, counts them, and keeps their stamps.
#[derive(Debug)]
pub struct Reader {
    seen: Vec<(PathBuf, Stamp, bool)>,
    bytes_left: u64,
    includes_left: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { seen: Vec::new(), bytes_left: BYTES_MAX, includes_left: INCLUDES_MAX }
    }
}

impl Reader {
    /// The whole content of one regular file.
    pub fn read(&mut self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let shown = shown(path);
        if self.seen.len() >= FILES_MAX {
            return Err(ReadError(format!(
                "{shown}: more than {FILES_MAX} files; look for an include that matches too much"
            )));
        }
        self.seen.push((path.to_owned(), look(path, false), false));
        let file = fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path);
        let file = file.map_err(|e| ReadError(format!("{shown}: {e}; check the path and the rights")))?;
        let meta = file.metadata().map_err(|e| ReadError(format!("{shown}: {e}")))?;
        if !meta.is_file() {
            return Err(ReadError(format!("{shown} is not a regular file; name a file")));
        }
        let mut bytes = Vec::with_capacity(meta.len().min(self.bytes_left) as usize);
        let read = file.take(self.bytes_left + 1).read_to_end(&mut bytes);
        read.map_err(|e| ReadError(format!("{shown}: {e}")))?;
        if bytes.len() as u64 > self.bytes_left {
            self.bytes_left = 0;
            return Err(ReadError(format!("{shown}: more than {} MiB of configuration in all", BYTES_MAX >> 20)));
        }
        self.bytes_left -= bytes.len() as u64;
        Ok(bytes)
    }

    /// Remembers who and what a folder is, without its content.
    pub fn identity(&mut self, path: &Path) {
        if self.seen.len() < FILES_MAX {
            self.seen.push((path.to_owned(), look(path, true), true));
        }
    }

    /// Counts one include; false when there were too many.
    pub fn may_include(&mut self) -> bool {
        self.includes_left = self.includes_left.saturating_sub(1);
        self.includes_left > 0
    }

    /// The entries of a folder, sorted by bytes; none when it cannot be read.
    pub fn list(&mut self, folder: &Path) -> Vec<OsString> {
        if self.seen.len() >= FILES_MAX {
            return Vec::new();
        }
        self.seen.push((folder.to_owned(), look(folder, false), false));
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<OsString> = entries.flatten().map(|e| e.file_name()).take(FILES_MAX).collect();
        names.sort();
        names
    }

    /// Paths that match a pattern as glob(3) without flags: `*`, `?`, `[…]`, `\`; sorted; a leading dot is
    /// matched only by a dot. A pattern without wildcards gives itself, whether it exists or not.
    pub fn glob(&mut self, pattern: &Path) -> Vec<PathBuf> {
        let bytes = pattern.as_os_str().as_bytes();
        if !has_wildcard(bytes) {
            return vec![pattern.to_owned()];
        }
        let mut found = vec![PathBuf::from(if bytes.starts_with(b"/") { "/" } else { "" })];
        let parts: Vec<&[u8]> = bytes.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
        for (i, part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let mut next = Vec::new();
            for folder in found {
                if !has_wildcard(part) {
                    let path = folder.join(OsString::from_vec(part.to_vec()));
                    if path.exists() {
                        next.push(path);
                    }
                    continue;
                }
                for name in self.list(&folder) {
                    let path = folder.join(&name);
                    if matches(part, name.as_bytes()) && (last || path.is_dir()) && next.len() < FILES_MAX {
                        next.push(path);
                    }
                }
            }
            found = next;
        }
        found
    }

    /// Ends the reading.
    pub fn fingerprint(self) -> Fingerprint {
        Fingerprint { seen: self.seen }
    }
}

/// `O_NONBLOCK`: opening a FIFO must not wait for a writer.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Whether glob(3) would look at the disk for this.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// One path component against one pattern, in time linear in both but for stars (no recursion).
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]),
            Some(b'\\') if p + 1 < pattern.len() => (pattern[p + 1] == name[n]).then_some(2),
            Some(b) => (*b == name[n]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// The length of a bracket expression at the start of `pattern` when it holds `byte`.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut held = false;
    while let Some(&low) = pattern.get(at) {
        if low == b']' && at > first {
            return (held != negated).then_some(at + 1);
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                held |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                held |= low == byte;
                at += 1;
            }
        }
    }
    // No closing bracket: the bracket is an ordinary sign.
    (byte == b'[').then_some(1)
}

/// A path as a person may see it.
pub fn shown(path: &Path) -> String {
    model::evidence::printable(path.as_os_str().as_bytes(), 400)
}

/// `.`, `..` and double slashes taken out without looking at the disk, as both servers do for their roots.
pub fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => out.push(name),
            std::path::Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}

/// The path with all links resolved; what does not exist yet is kept as written below what does.
pub fn resolve(path: &Path) -> PathBuf {
    let tidy = tidy(path);
    let mut missing: Vec<OsString> = Vec::new();
    let mut at = tidy.as_path();
    loop {
        if let Ok(real) = fs::canonicalize(at) {
            return missing.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                at = parent;
            }
            _ => return tidy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_glob_does() {
        for (pattern, name, right) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("*", ".hidden", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), right, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern = b"*a".repeat(60);
        assert!(!matches(&pattern, &[b'a'; 4000].iter().chain(b"b").copied().collect::<Vec<u8>>()));
    }

    #[test]
    fn paths_are_tidied_without_the_disk() {
        for (path, right) in [("/a//b/./c/", "/a/b/c"), ("/a/../../b", "/b"), ("/", "/")] {
            assert_eq!(tidy(Path::new(path)), Path::new(right));
        }
    }
}
