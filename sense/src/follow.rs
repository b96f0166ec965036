//! Follows a log file line by line through every kind of rotation, with a cursor that survives a restart.
//!
//! Polls; no threads and no clock. Lines are bytes and hostile: they may be endless, full of NUL, not UTF-8 or
//! not finished. Memory stays below [`LINE_MAX`] plus one buffer, and whatever is not handed on is counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use model::Hash;
use model::packet::Cursor;
use rustix::fs::OFlags;

/// Longest line that is handed on, bytes without its newline. Postfix cuts its own at 2,000, an access log line
/// is bounded by the request (8 KiB by default); 64 KiB leaves room and bounds memory.
pub const LINE_MAX: usize = 64 * 1024;
/// How many first bytes tell one file from another that got its inode.
const HEAD_MAX: usize = 1024;
/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
/// Most folder entries looked at when an old part is searched.
const SIBLINGS_MAX: usize = 4096;

/// Where to begin when no cursor is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the beginning of the file.
    Beginning,
    /// This many bytes before the end of the file as it is at the first look, at the next whole line.
    BeforeEnd(u64),
}

/// What was read and what was not, since the follower was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines handed on.
    pub lines: u64,
    /// Bytes read (of a compressed part: bytes after decompression).
    pub bytes: u64,
    /// Lines longer than [`LINE_MAX`], left out.
    pub dropped_long: u64,
    /// NUL bytes at the beginning of lines (holes), left out.
    pub nul_bytes: u64,
    /// How often the file was cut below what was read and no copy of the rest was found.
    pub lost_truncate: u64,
    /// How often the file of a cursor was nowhere to be found, or a compressed part was damaged.
    pub lost_gone: u64,
    /// How often reading went on in another file.
    pub rotations: u64,
}

/// What one call of [`Follower::read_new`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// True when there is nothing more to read now; false when the budget ended first.
    pub caught_up: bool,
}

/// Reads a log from a place on and stays with it.
pub struct Follower {
    path: PathBuf,
    start: Start,
    resume: Option<Cursor>,
    part: Option<Part>,
    /// The unfinished last line; never longer than [`LINE_MAX`].
    carry: Vec<u8>,
    /// NUL bytes left out before the unfinished last line: the cursor points before them, at the end of a line.
    holes: u64,
    /// Inside of a line that is left out.
    skipping: bool,
    /// There only while something is read: a node has thousands of logs.
    buffer: Box<[u8]>,
    counts: Counts,
}

/// The file being read; after a rotation it is no longer the one at the path.
struct Part {
    input: Input,
    device: u64,
    inode: u64,
    /// Bytes taken from the file, the unfinished line included.
    offset: u64,
    /// Decompressed bytes that still have to be passed over to reach the cursor.
    pass_over: u64,
    head: Vec<u8>,
    /// Another file has taken the path, and the writer had the time between two calls to follow it.
    ended: bool,
}

enum Input {
    Plain(File),
    Gz(Box<MultiGzDecoder<File>>),
}

impl Follower {
    /// Follows `path` from `start`; the file need not exist yet.
    pub fn new(path: impl Into<PathBuf>, start: Start) -> Follower {
        Follower {
            path: path.into(),
            start,
            resume: None,
            part: None,
            carry: Vec::new(),
            holes: 0,
            skipping: false,
            buffer: Box::default(),
            counts: Counts::default(),
        }
    }

    /// Goes on where a cursor points, wherever that file lies now.
    pub fn resume(cursor: Cursor) -> Follower {
        let mut follower = Follower::new(cursor.path.clone(), Start::Beginning);
        follower.resume = Some(cursor);
        follower
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The beginning of the first line that was not handed on; none before the file was first seen.
    pub fn cursor(&self) -> Option<Cursor> {
        let Some(part) = &self.part else { return self.resume.clone() };
        Some(Cursor {
            path: self.path.to_string_lossy().into_owned(),
            device: part.device,
            inode: part.inode,
            offset: part.offset - self.carry.len() as u64 - self.holes,
            head: Hash::of(&part.head),
            head_len: part.head.len() as u16,
        })
    }

    /// Moves the start to about the first line that is not `old`, by halving; never behind it. Only before the
    /// first read, only in the file at the path, whose lines must be in order of time. A line of which `old`
    /// cannot tell is passed over for the next one.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn look_back(&mut self, old: &mut dyn FnMut(&[u8]) -> Option<bool>) -> io::Result<()> {
        let Some(file) = open_regular(&self.path)? else { return Ok(()) };
        let size = file.metadata()?.len();
        let (mut low, mut high) = (0, size);
        let mut window = vec![0; LINE_MAX * 2];
        while high - low > LINE_MAX as u64 {
            let middle = low + (high - low) / 2;
            let n = file.read_at(&mut window, middle)?;
            // The first piece is the end of a line. Where nothing can be told, more is read rather than less.
            let told = window[..n].split(|b| *b == b'\n').skip(1).take(1000).find_map(&mut *old);
            if told.unwrap_or(false) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.start = Start::BeforeEnd(size - low);
        Ok(())
    }

    /// Hands every whole new line to `line`, without its newline, until there are no more or about
    /// `budget_bytes` were read. A missing file is no error: it may come back.
    ///
    /// # Errors
    /// The file cannot be opened or read; the next call tries again at the same place.
    pub fn read_new(&mut self, budget_bytes: u64, line: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        let before = self.counts.bytes;
        if self.part.is_none() && !self.open_first()? {
            return Ok(Progress { bytes: 0, caught_up: true });
        }
        self.notice_truncation()?;
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK].into_boxed_slice();
        }
        let mut switched = 0;
        loop {
            let spent = self.counts.bytes - before;
            if spent >= budget_bytes {
                return Ok(Progress { bytes: spent, caught_up: false });
            }
            let want = (budget_bytes - spent).min(CHUNK as u64) as usize;
            let n = self.read_chunk(want)?;
            if n > 0 {
                self.feed(n, line);
                continue;
            }
            // A folder in which files appear faster than they are read must not hold the caller for ever.
            if switched < 64 && self.next_part(line)? {
                switched += 1;
                continue;
            }
            self.buffer = Box::default();
            return Ok(Progress { bytes: self.counts.bytes - before, caught_up: true });
        }
    }

    fn read_chunk(&mut self, want: usize) -> io::Result<usize> {
        let Some(part) = &mut self.part else { return Ok(0) };
        let n = match &mut part.input {
            Input::Plain(file) => file.read(&mut self.buffer[..want])?,
            Input::Gz(gz) => gz.read(&mut self.buffer[..want]).unwrap_or_else(|_| {
                self.counts.lost_gone += 1;
                0
            }),
        };
        self.counts.bytes += n as u64;
        Ok(n)
    }

    /// Cuts `n` fresh bytes of the buffer into lines.
    fn feed(&mut self, n: usize, line: &mut dyn FnMut(&[u8])) {
        let Some(part) = &mut self.part else { return };
        let passed = part.pass_over.min(n as u64) as usize;
        part.pass_over -= passed as u64;
        if part.pass_over == 0 && passed > 0 && self.buffer[passed - 1] != b'\n' {
            self.skipping = true; // the cursor pointed into a line that was being left out
        }
        part.offset += (n - passed) as u64;
        let mut rest = &self.buffer[passed..n];
        while !rest.is_empty() {
            if self.carry.is_empty() && !self.skipping && rest[0] == 0 {
                let holes = rest.iter().take_while(|b| **b == 0).count();
                self.counts.nul_bytes += holes as u64;
                self.holes += holes as u64;
                rest = &rest[holes..];
                continue;
            }
            let Some(end) = newline(rest) else {
                if self.skipping || self.carry.len() + rest.len() > LINE_MAX {
                    self.counts.dropped_long += u64::from(!self.skipping);
                    self.skipping = true;
                    self.carry.clear();
                    self.holes = 0;
                } else {
                    self.carry.extend_from_slice(rest);
                }
                break;
            };
            let (head, tail) = (&rest[..end], &rest[end + 1..]);
            rest = tail;
            self.holes = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.carry.len() + head.len() > LINE_MAX {
                self.counts.dropped_long += 1;
            } else if self.carry.is_empty() {
                self.counts.lines += 1;
                line(head);
            } else {
                self.carry.extend_from_slice(head);
                self.counts.lines += 1;
                line(&self.carry);
            }
            self.carry.clear();
        }
    }

    /// First look: at the cursor's file if there is a cursor, else at the path. False: nothing there yet.
    fn open_first(&mut self) -> io::Result<bool> {
        if let Some(cursor) = self.resume.clone() {
            if let Some(part) = find_part(&self.path, &cursor)? {
                let part = Part { ended: true, ..part };
                self.take(part, cursor.offset)?;
                self.resume = None;
                return Ok(true);
            }
            let Some(part) = open_part(&self.path)? else { return Ok(false) };
            self.counts.lost_gone += 1;
            self.resume = None;
            self.take(part, 0)?;
            return Ok(true);
        }
        let Some(part) = open_part(&self.path)? else { return Ok(false) };
        let offset = match (self.start, &part.input) {
            (Start::BeforeEnd(bytes), Input::Plain(file)) => file.metadata()?.len().saturating_sub(bytes),
            _ => 0,
        };
        self.take(part, offset)?;
        Ok(true)
    }

    /// Begins to read `part` at `offset`; in the middle of a line, at the next one.
    fn take(&mut self, mut part: Part, offset: u64) -> io::Result<()> {
        self.carry.clear();
        self.holes = 0;
        self.skipping = false;
        match &mut part.input {
            Input::Plain(file) => {
                let mut last = [b'\n'];
                if offset > 0 {
                    file.read_at(&mut last, offset - 1)?;
                }
                self.skipping = last[0] != b'\n';
                file.seek(SeekFrom::Start(offset))?;
            }
            Input::Gz(_) => part.pass_over = offset,
        }
        part.offset = offset;
        self.part = Some(part);
        Ok(())
    }

    /// The file at the path was cut (copytruncate): reads the rest from its copy if there is one, else counts
    /// the loss, and begins again at its first byte.
    fn notice_truncation(&mut self) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let Input::Plain(file) = &part.input else { return Ok(()) };
        let head = read_head(file)?;
        if file.metadata()?.len() >= part.offset && head.starts_with(&part.head) {
            part.head = head;
            return Ok(());
        }
        let cursor = self.cursor().expect("a part is open");
        let here = (cursor.device, cursor.inode);
        let copy = siblings(&self.path)?.into_iter().filter(|s| (s.device, s.inode) != here);
        let copy = copy.filter_map(|s| open_part(&s.path).ok().flatten()).find(|part| part.holds(&cursor));
        match copy {
            Some(part) => self.take(Part { ended: true, ..part }, cursor.offset),
            None => {
                self.counts.lost_truncate += 1;
                match open_part(&self.path)? {
                    Some(part) => self.take(part, 0),
                    None => {
                        self.part = None;
                        Ok(())
                    }
                }
            }
        }
    }

    /// At the end of a part: whether another one follows, and if so begins it.
    fn next_part(&mut self, line: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let Some(part) = &mut self.part else { return Ok(false) };
        let at_path = match fs::metadata(&self.path) {
            Ok(meta) => (meta.dev(), meta.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if at_path == (part.device, part.inode) {
            return Ok(false);
        }
        // The writer keeps the old file open until it is told, so the next call looks into it once more.
        if !std::mem::replace(&mut part.ended, true) {
            return Ok(false);
        }
        let next = following(&self.path, part)?;
        let Some(next) = next.map_or_else(|| open_part(&self.path), |part| Ok(Some(part)))? else { return Ok(false) };
        if !self.carry.is_empty() && !self.skipping {
            self.counts.lines += 1;
            line(&self.carry); // nobody will ever finish it
        }
        self.counts.rotations += 1;
        self.take(next, 0)?;
        Ok(true)
    }
}

impl Part {
    /// Whether this is the file of the cursor, or a copy of it that reaches as far.
    fn holds(&self, cursor: &Cursor) -> bool {
        let long_enough = match &self.input {
            Input::Plain(file) => file.metadata().is_ok_and(|m| m.len() >= cursor.offset),
            Input::Gz(_) => true,
        };
        let covered = usize::from(cursor.head_len);
        let same_inode = (self.device, self.inode) == (cursor.device, cursor.inode);
        long_enough
            && (covered > 0 || same_inode)
            && self.head.len() >= covered
            && Hash::of(&self.head[..covered]) == cursor.head
    }
}

struct Sibling {
    path: PathBuf,
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

/// Other files of the folder that carry the log's name: `mail.log.1`, `mail.log-20260307`, `mail.log.2.gz`.
fn siblings(path: &Path) -> io::Result<Vec<Sibling>> {
    let (Some(name), folder) = (path.file_name(), path.parent().filter(|f| !f.as_os_str().is_empty())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let name = name.as_encoded_bytes();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))?.take(SIBLINGS_MAX) {
        let entry = entry?;
        let other = entry.file_name();
        // Digits and dates only: mail.log.offset is some other program's.
        let tail = other.as_encoded_bytes().strip_prefix(name).map(|t| t.strip_suffix(b".gz").unwrap_or(t));
        let rotated = tail.is_some_and(|t| t.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')));
        let Some(meta) = entry.metadata().ok().filter(|_| rotated && other.as_encoded_bytes() != name) else {
            continue;
        };
        if meta.is_file() {
            let changed = (meta.mtime(), meta.mtime_nsec());
            found.push(Sibling { path: entry.path(), device: meta.dev(), inode: meta.ino(), changed });
        }
    }
    found.sort_by_key(|s| s.changed);
    Ok(found)
}

/// The part that was written after `old` and rotated away before we came to it, if there is one.
fn following(path: &Path, old: &Part) -> io::Result<Option<Part>> {
    let ended = match &old.input {
        Input::Plain(file) => file.metadata()?,
        Input::Gz(gz) => gz.get_ref().metadata()?,
    };
    let ended = (ended.mtime(), ended.mtime_nsec());
    for sibling in siblings(path)? {
        if sibling.changed < ended || (sibling.device, sibling.inode) == (old.device, old.inode) {
            continue;
        }
        match open_part(&sibling.path)? {
            // A compressed copy of what was just read begins with the same bytes.
            Some(part) if part.head != old.head && !part.head.is_empty() => return Ok(Some(part)),
            _ => continue,
        }
    }
    Ok(None)
}

/// The file of a cursor: at the path, under another name, copied or compressed.
fn find_part(path: &Path, cursor: &Cursor) -> io::Result<Option<Part>> {
    if let Some(part) = open_part(path)?
        && part.holds(cursor)
    {
        return Ok(Some(part));
    }
    let mut others = siblings(path)?;
    others.sort_by_key(|s| (s.device, s.inode) != (cursor.device, cursor.inode));
    Ok(others.into_iter().filter_map(|s| open_part(&s.path).ok().flatten()).find(|part| part.holds(cursor)))
}

fn open_part(path: &Path) -> io::Result<Option<Part>> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let meta = file.metadata()?;
    let mut head = read_head(&file)?;
    let input = if head.starts_with(&[0x1f, 0x8b]) {
        head.clear();
        // Damaged: what can be read of it is its head.
        let _ = MultiGzDecoder::new(&file).take(HEAD_MAX as u64).read_to_end(&mut head);
        (&file).seek(SeekFrom::Start(0))?;
        Input::Gz(Box::new(MultiGzDecoder::new(file)))
    } else {
        Input::Plain(file)
    };
    let (device, inode) = (meta.dev(), meta.ino());
    Ok(Some(Part { input, device, inode, offset: 0, pass_over: 0, head, ended: false }))
}

/// Opens a regular file and nothing else: access logs lie in folders of tenants, and a pipe or a device in
/// place of one would keep us waiting or reading for ever.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.metadata()?.is_file() {
        true => Ok(Some(file)),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a regular file", path.display()))),
    }
}

fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_MAX];
    let n = file.read_at(&mut head, 0)?;
    head.truncate(n);
    Ok(head)
}

/// The first newline. Sixteen bytes at a time, because the compiler turns that into one comparison; byte by byte
/// costs a third of the whole reading.
fn newline(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for block in bytes.chunks_exact(16) {
        if block.iter().fold(false, |found, b| found | (*b == b'\n')) {
            break;
        }
        at += 16;
    }
    bytes[at..].iter().position(|b| *b == b'\n').map(|i| at + i)
}

#[cfg(test)]
mod tests;
