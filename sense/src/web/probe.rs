//! Strangers who ask for files of intruders: what is not there, and sites that answer everything alike.
//!
//! | what is seen | what it means |
//! |---|---|
//! | within ten minutes eight different scripts or secrets that are not there (403, 404, 410), without a referer | probing |
//! | five different scripts answer a first direct GET with one and the same length | probing; such answers prove no script |
//!
//! Whoever probes found nothing by that: the account is clean, and nobody is slowed down for it.

use memchr::memmem;
use model::Moment;

use super::request::{Request, Source};
use super::table::{Different, short};

/// Length of the window, seconds.
const WINDOW_SECS: i64 = 600;
/// Different names within it.
const NAMES: u32 = 8;
/// Scripts of one length that make it a length of nothing.
const ALIKE: u32 = 5;
/// Lengths told apart.
const SIZES_MAX: usize = 64;

/// Probing of one site.
#[derive(Debug, Default)]
pub struct Probes {
    since: i64,
    last: i64,
    names: Different,
    /// Requests in vain in this window.
    requests: u32,
    /// Who asks, the last sixteen.
    sources: Vec<(Source, i64)>,
    /// Lengths of first answers, and how many scripts gave them.
    sizes: Vec<(u64, u32)>,
    /// What was seen, until it is told.
    pub seen: Option<Seen>,
}

/// Probing that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// First and last request.
    pub since: Moment,
    /// See `since`.
    pub until: Moment,
    /// Requests.
    pub requests: u32,
    /// Who asked, at most 16.
    pub sources: Vec<Source>,
    /// Everything is answered alike, with this many bytes.
    pub alike: Option<u64>,
}

/// Names that hold secrets and that no page leads to.
pub fn is_secret(path: &[u8]) -> bool {
    const MARKS: &[&[u8]] = &[b"/.env", b"/.git/", b"/.aws/", b"/.ssh/", b".sql", b"/wp-config", b".bak", b"phpinfo"];
    MARKS.iter().any(|m| memmem::find(path, m).is_some())
}

impl Probes {
    /// A script or secret was not there.
    pub fn missed(&mut self, request: &Request<'_>, path: &[u8]) {
        let at = request.at.secs();
        if at - self.since > WINDOW_SECS || self.since == 0 {
            (self.since, self.names, self.requests) = (at, Different::default(), 0);
        }
        self.last = self.last.max(at);
        self.note(request.source, at);
        if !request.is_bare() || request.user {
            return;
        }
        self.requests += 1;
        self.names.add(short(path));
        if self.names.count() >= NAMES {
            self.tell(None);
        }
    }

    /// A script answered a direct GET for the first time.
    pub fn answered(&mut self, request: &Request<'_>) {
        let key = bucket(request.size);
        let at = request.at.secs();
        match self.sizes.iter().position(|(size, _)| *size == key) {
            Some(at) => self.sizes[at].1 += 1,
            None if self.sizes.len() < SIZES_MAX => self.sizes.push((key, 1)),
            None => {
                let least = (0..self.sizes.len()).min_by_key(|n| self.sizes[*n].1).unwrap_or(0);
                self.sizes[least] = (key, 1);
            }
        }
        if self.since == 0 {
            self.since = at;
        }
        self.last = self.last.max(at);
        if request.size > 0 && self.sizes.iter().any(|(size, n)| *size == key && *n >= ALIKE) {
            self.note(request.source, at);
            self.requests += 1;
            self.tell(Some(request.size));
        }
    }

    /// Whether answers between these lengths are what the site says to everything.
    pub fn is_nothing(&self, from: u64, to: u64) -> bool {
        let hollow = |size: u64| {
            let key = bucket(size);
            let near = |known: u64| known == key || (key >= 512 && known >= 512 && known.abs_diff(key) <= 1);
            self.sizes.iter().filter(|(known, _)| near(*known)).map(|(_, n)| n).sum::<u32>() >= ALIKE
        };
        to - from.min(to) <= 256 && hollow(from) && hollow(to)
    }

    /// Whether this source asked in vain in the last ten minutes, or read version files.
    pub fn is_prober(&self, source: Source, at: i64) -> bool {
        self.sources.iter().any(|(known, when)| *known == source && (at - when).abs() <= WINDOW_SECS)
    }

    /// Remembers that this source looks around.
    pub fn note(&mut self, source: Source, at: i64) {
        match self.sources.iter_mut().find(|(known, _)| *known == source) {
            Some((_, when)) => *when = at,
            None => {
                if self.sources.len() >= 16 {
                    self.sources.remove(0);
                }
                self.sources.push((source, at));
            }
        }
    }

    fn tell(&mut self, alike: Option<u64>) {
        let sources = self.sources.iter().map(|(s, _)| *s).filter(|s| *s != Source::UNKNOWN).collect();
        let since = Moment::from_secs(self.since);
        let until = Moment::from_secs(self.last);
        let before = self.seen.take();
        let since = before.as_ref().map_or(since, |b| b.since.min(since));
        let alike = alike.or(before.and_then(|b| b.alike));
        self.seen = Some(Seen { since, until, requests: self.requests, sources, alike });
    }
}

/// Short answers are compared to the byte, pages to 128 bytes.
fn bucket(size: u64) -> u64 {
    if size < 512 { size } else { 512 + (size >> 7) }
}
