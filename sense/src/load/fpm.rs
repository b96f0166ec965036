//! Slow scripts out of php-fpm's slow log and access log: which plugin, theme, module or folder took the time.
//!
//! | written by | shape |
//! |---|---|
//! | slow log (php-src, `fpm_php_trace.c`) | an empty line; `[28-Nov-2026 10:00:00]  [pool NAME] pid N`; `script_filename = PATH`; `[0x…] FUNCTION() PATH:LINE`, innermost first |
//! | access log (`www.conf`, `access.format`) | see [`format`]; only requests that took [`SLOW_SECONDS`] or more |
//!
//! Both hold text of the tenant as it is: a folder's name may have a newline and look like another pool's entry. So a
//! file belongs to one account by its own place or name (see [`Owners`]), never by what stands in it; a file in which a
//! second pool writes belongs to nobody; and of an account only paths below its own home and sites count.
//!
//! The part that took the time is the folder below a folder of parts (`plugins`, `themes`, `modules` …) of the innermost
//! function that lies in one, else the folder of the script. The time of a line is that of its arrival.

pub mod format;

use std::collections::HashMap;
use std::path::Path;

use model::{AccountEntry, Moment, Span};

use crate::process::{base, below, place};
use format::Format;

/// A request of the access log is slow from here on, seconds.
pub const SLOW_SECONDS: f64 = 1.0;
/// What is older is forgotten.
const KEPT: Span = Span::minutes(20);
/// Parts remembered of one log; the one that was seen least goes first.
const PARTS_MAX: usize = 6;
/// Workers remembered of one part; the oldest goes first.
const PIDS_MAX: usize = 8;
/// Longest path that is kept, bytes.
const PATH_MAX: usize = 300;
/// Folders whose subfolders are parts that an owner adds to a program. `contrib` and `custom` below them only sort.
const PARTS: [&[u8]; 11] = [
    b"plugins",
    b"mu-plugins",
    b"themes",
    b"modules",
    b"components",
    b"extensions",
    b"templates",
    b"addons",
    b"packages",
    b"skins",
    b"Plugin",
];
/// Scripts by which programs run what they scheduled themselves.
const SCHEDULED: [&[u8]; 2] = [b"wp-cron.php", b"cron.php"];

/// Whether a script of this name runs what a program scheduled itself.
pub fn is_schedule(name: &[u8]) -> bool {
    SCHEDULED.contains(&name)
}

/// One part of an account that was slow, in the last twenty minutes.
#[derive(Clone, Debug, PartialEq)]
pub struct Slow {
    /// Its folder or script.
    pub path: Vec<u8>,
    /// It is a plugin, theme or module, not only a folder.
    pub is_part: bool,
    /// Requests that were slow in it.
    pub requests: u32,
    /// How many of them came in by a script that is no part: the program's own front door.
    pub by_door: u32,
    /// How many were work that the site itself scheduled.
    pub scheduled: u32,
    /// How long it took, seconds; zero when only the slow log speaks, which does not say.
    pub seconds: f64,
    /// Workers that were in it, newest last.
    pub pids: Vec<u32>,
    /// It lies where no program belongs (uploads, temporary and hidden folders).
    pub is_bad: bool,
    /// When it was seen last.
    pub last: Moment,
}

impl Slow {
    /// The order of a list: most slow requests first.
    pub fn most_first(&self, other: &Slow) -> std::cmp::Ordering {
        let most = other.requests.cmp(&self.requests).then(other.seconds.total_cmp(&self.seconds));
        most.then_with(|| self.path.cmp(&other.path))
    }
}

/// One log of one account.
#[derive(Debug)]
pub struct Log {
    home: Vec<u8>,
    roots: Vec<Vec<u8>>,
    format: Format,
    pool: Option<Vec<u8>>,
    /// Several pools write here: nobody's.
    shared: bool,
    entry: Option<Entry>,
    slow: Vec<Slow>,
    /// Lines of this log that were not understood.
    pub dropped: u64,
}

/// An entry of the slow log, as far as it was read.
#[derive(Debug)]
struct Entry {
    pid: u32,
    at: Moment,
    script: Vec<u8>,
    part: Option<Vec<u8>>,
    inner: Option<Vec<u8>>,
    scheduled: bool,
}

impl Log {
    /// A log of this account alone; `format` is that of access logs.
    pub fn new(entry: &AccountEntry, format: Format) -> Log {
        Log {
            home: entry.home.as_bytes().to_vec(),
            roots: entry.sites.iter().map(|site| site.root.as_bytes().to_vec()).collect(),
            format,
            pool: None,
            shared: false,
            entry: None,
            slow: Vec::new(),
            dropped: 0,
        }
    }

    /// Takes one line that was there at `now`.
    pub fn line(&mut self, line: &[u8], now: Moment) {
        if self.shared {
            self.dropped += 1;
        } else if let Some((pool, pid)) = head(line) {
            self.close();
            if self.pool.get_or_insert_with(|| pool.to_vec()) != pool {
                (self.shared, self.slow) = (true, Vec::new());
                return;
            }
            let (script, part, inner, scheduled) = (Vec::new(), None, None, false);
            self.entry = Some(Entry { pid, at: now, script, part, inner, scheduled });
        } else if let Some(script) = line.strip_prefix(b"script_filename = ") {
            match &mut self.entry {
                Some(entry) if entry.script.is_empty() => entry.script = script.to_vec(),
                _ => self.dropped += 1,
            }
        } else if let Some(file) = frame(line) {
            self.frame(file);
        } else if line.is_empty() {
            self.close();
        } else if !self.format.has_times() {
            // A log of visits; a line of another kind cannot be told from it, nor does it matter.
        } else if let Some(request) = self.format.read(line) {
            let seconds = request.seconds.unwrap_or(0.0);
            if seconds >= SLOW_SECONDS && self.own(request.file) {
                let used = request.cpu_seconds.unwrap_or(seconds);
                let scheduled = is_schedule(base(request.file));
                let file = request.file.to_vec();
                self.note(&file, None, None, now, scheduled, used);
            }
        } else {
            self.dropped += 1;
        }
    }

    /// What was slow in the last twenty minutes, the most of it first.
    pub fn slow(&mut self, now: Moment) -> Vec<Slow> {
        // The entry at the end of the file is followed by nothing: what is there of it is whole at the next look.
        if self.entry.as_ref().is_some_and(|entry| now > entry.at) {
            self.close();
        }
        self.slow.retain(|slow| now - slow.last < KEPT);
        let mut slow = self.slow.clone();
        slow.sort_by(Slow::most_first);
        slow
    }

    /// Several pools write into this file, so that it says nothing.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    fn own(&self, path: &[u8]) -> bool {
        let inside = below(path, &self.home) || self.roots.iter().any(|root| below(path, root));
        let plain = !path.split(|b| *b == b'/').any(|name| name == b"..");
        inside && plain && path.len() <= PATH_MAX
    }

    fn frame(&mut self, file: &[u8]) {
        let (own, is_part) = (self.own(file), self.part(file).is_some());
        let Some(entry) = self.entry.as_mut() else {
            self.dropped += 1;
            return;
        };
        entry.scheduled |= is_schedule(base(file));
        if !own {
            return; // a library of the system
        }
        if entry.part.is_none() && is_part {
            entry.part = Some(file.to_vec());
        }
        if entry.inner.is_none() {
            entry.inner = Some(file.to_vec());
        }
    }

    /// The folder of the plugin, theme or module in which a file lies; a part of one file is that file. What lies
    /// above the account's own folders is no part of a program of his.
    fn part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let own = self.roots.iter().chain([&self.home]).filter(|own| below(path, own));
        let mut from = own.map(|own| own.len()).max()?;
        let mut inside = false;
        while from < path.len() {
            let end = memchr::memchr(b'/', &path[from..]).map_or(path.len(), |at| from + at);
            let name = &path[from..end];
            if inside && !matches!(name, b"contrib" | b"custom" | b"") {
                // `plugins/index.php` is nobody's part; a single file of must-use plugins is one.
                return (name != b"index.php").then_some(&path[..end]);
            }
            inside |= PARTS.contains(&name);
            from = end + 1;
        }
        None
    }

    /// Takes in the entry that was being read.
    fn close(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if !self.own(&entry.script) {
            self.dropped += 1;
            return;
        }
        let scheduled = entry.scheduled || is_schedule(base(&entry.script));
        let inner = entry.part.or(entry.inner).unwrap_or_else(|| entry.script.clone());
        self.note(&inner, Some(&entry.script), Some(entry.pid), entry.at, scheduled, 0.0);
    }

    fn note(&mut self, file: &[u8], door: Option<&[u8]>, pid: Option<u32>, at: Moment, scheduled: bool, seconds: f64) {
        let roots: Vec<&[u8]> = self.roots.iter().map(Vec::as_slice).collect();
        let lies = |path: &[u8]| place(path, &self.home, &roots).is_bad();
        let is_bad = lies(file) || door.is_some_and(lies);
        let by_door = door.is_some_and(|door| self.part(door).is_none()) && !is_bad;
        let (path, is_part) = match self.part(file) {
            Some(part) => (part, true),
            None => (&file[..file.iter().rposition(|b| *b == b'/').unwrap_or(file.len())], false),
        };
        // Where a script answers by itself, it is named; its folder says more of what is put together there.
        let path = if is_part || door.is_some_and(|door| door != file) { path } else { file };
        self.slow.retain(|slow| at - slow.last < KEPT);
        let found = match self.slow.iter().position(|slow| slow.path == path) {
            Some(found) => found,
            None => {
                if self.slow.len() >= PARTS_MAX {
                    let least = (0..self.slow.len()).min_by_key(|n| (self.slow[*n].requests, self.slow[*n].last));
                    self.slow.remove(least.unwrap_or(0));
                }
                let path = path.to_vec();
                let (requests, by_door, scheduled) = (0, 0, 0);
                let pids = Vec::new();
                self.slow.push(Slow {
                    path,
                    is_part,
                    requests,
                    by_door,
                    scheduled,
                    seconds: 0.0,
                    pids,
                    is_bad,
                    last: at,
                });
                self.slow.len() - 1
            }
        };
        let slow = &mut self.slow[found];
        slow.requests = slow.requests.saturating_add(1);
        slow.by_door += u32::from(by_door);
        slow.scheduled += u32::from(scheduled);
        slow.seconds += seconds;
        slow.is_bad |= is_bad;
        slow.last = slow.last.max(at);
        if let Some(pid) = pid {
            slow.pids.retain(|known| *known != pid);
            if slow.pids.len() >= PIDS_MAX {
                slow.pids.remove(0);
            }
            slow.pids.push(pid);
        }
    }
}

/// `[28-Nov-2026 10:00:00]  [pool NAME] pid N`; debugging writes microseconds behind the seconds.
fn head(line: &[u8]) -> Option<(&[u8], u32)> {
    let rest = line.strip_prefix(b"[")?;
    let end = memchr::memchr(b']', rest).filter(|at| (20..=27).contains(at))?;
    let stamp = &rest[..end];
    let sound = stamp.iter().enumerate().all(|(n, b)| match n {
        2 | 6 => *b == b'-',
        3..=5 => b.is_ascii_alphabetic(),
        11 => *b == b' ',
        14 | 17 => *b == b':',
        20 => *b == b'.',
        _ => b.is_ascii_digit(),
    });
    let rest = rest[end + 1..].trim_ascii_start().strip_prefix(b"[pool ")?;
    let end = memchr::memmem::find(rest, b"] pid ")?;
    let pid = std::str::from_utf8(&rest[end + 6..]).ok()?.trim().parse().ok()?;
    (sound && end > 0 && end <= 256 && !rest[..end].contains(&b']')).then_some((&rest[..end], pid))
}

/// The file of `[0x00007f…] function() /path:12`.
fn frame(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"[0x")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = rest[digits..].strip_prefix(b"] ").filter(|_| (1..=16).contains(&digits))?;
    let colon = rest.iter().rposition(|b| *b == b':')?;
    let number = &rest[colon + 1..];
    let numbered = !number.is_empty() && number.len() <= 9 && number.iter().all(u8::is_ascii_digit);
    // The name of a function has no spaces; a path may.
    let space = memchr::memchr(b' ', &rest[..colon]).filter(|_| numbered)?;
    Some(&rest[space + 1..colon])
}

/// Tells whose a log is by its place alone: below a home, or a name of an account in the file's name or its folder's.
#[derive(Debug, Default)]
pub struct Owners {
    names: HashMap<Vec<u8>, usize>,
    homes: HashMap<Vec<u8>, Option<usize>>,
}

impl Owners {
    /// Of these accounts, in this order.
    pub fn new(accounts: &[AccountEntry]) -> Owners {
        let mut owners = Owners::default();
        for (at, entry) in accounts.iter().enumerate() {
            owners.names.insert(entry.account.name.as_str().as_bytes().to_vec(), at);
            let home = entry.home.trim_end_matches('/').as_bytes().to_vec();
            if home.len() > 1 {
                owners.homes.entry(home).and_modify(|held| *held = None).or_insert(Some(at));
            }
        }
        owners
    }

    /// The account's place in the list. `php8.2-fpm.aoi.slow.log`, `aoi-slow.log` and `aoi/slow.log` are aoi's; a
    /// file that names two accounts is nobody's.
    pub fn of(&self, path: &Path) -> Option<usize> {
        let bytes = path.as_os_str().as_encoded_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        if let Some(held) = slashes.rev().find_map(|at| self.homes.get(&bytes[..at])) {
            return *held;
        }
        let mut parts = bytes.rsplit(|b| *b == b'/');
        let by_file = parts.next().map_or(Named::Nobody, |name| self.named(name));
        match by_file {
            Named::Nobody => parts.next().and_then(|folder| self.names.get(folder)).copied(),
            Named::One(at) => Some(at),
            Named::Several => None,
        }
    }

    /// The longest name of an account among the words of a file's name, when all others lie within it.
    fn named(&self, file: &[u8]) -> Named {
        let cut = |b: &u8| matches!(b, b'.' | b'-' | b'_');
        let mut starts = vec![0];
        starts.extend(file.iter().enumerate().filter(|(_, b)| cut(b)).map(|(at, _)| at + 1));
        starts.truncate(16);
        let mut found: Vec<(usize, usize, usize)> = Vec::new();
        for (n, from) in starts.iter().enumerate() {
            let ends = starts[n + 1..].iter().map(|next| next - 1).chain([file.len()]);
            for to in ends.filter(|to| to > from) {
                let word = &file[*from..to];
                let ours = [&b"fpm"[..], b"slow", b"slowlog", b"log", b"access", b"error", b"www"].contains(&word)
                    || word.starts_with(b"php");
                if let Some(at) = self.names.get(word).filter(|_| !ours) {
                    found.push((*from, to, *at));
                }
            }
        }
        let Some(&(from, to, at)) = found.iter().max_by_key(|(from, to, _)| to - from) else { return Named::Nobody };
        let within = found.iter().all(|(f, t, other)| (*f >= from && *t <= to) || *other == at);
        if within { Named::One(at) } else { Named::Several }
    }
}

/// Whose name a file bears.
enum Named {
    Nobody,
    One(usize),
    Several,
}

#[cfg(test)]
mod tests;
