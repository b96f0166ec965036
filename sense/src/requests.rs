//! Requests per second of an account's sites, from access logs: tells a traffic peak from abuse beside load.
//!
//! Reads the site and the time of a line and nothing else; no address and no URL is kept. A line of a site that
//! nobody owns is counted and belongs to nobody. Where no log is configured there is no number, never a zero.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use model::{AccountEntry, Moment};

use crate::mail::stamp::{access_time, iso_time};

/// Length of one count, seconds.
pub const STEP_SECS: i64 = 10;
/// Counts kept: ten minutes.
const STEPS: u32 = 60;
/// Longest format text, bytes, and most pieces in it.
const FORMAT_MAX: usize = 4096;
const PIECES_MAX: usize = 128;

/// How the lines of a log are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache's common and combined, nginx's combined, each with or without a leading virtual host.
    Standard,
    /// An nginx `log_format`.
    Nginx(Vec<Piece>),
}

/// One piece of an nginx format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands as it is.
    Literal(Vec<u8>),
    /// `$server_name`, or `$host`, `$http_host`.
    Site,
    /// `$time_local`.
    TimeLocal,
    /// `$time_iso8601`.
    TimeIso,
    /// `$msec`.
    Msec,
    /// A variable that is passed over.
    Skip,
}

impl Format {
    /// Reads an nginx `log_format`, such as `$server_name $remote_addr [$time_local] "$request"`.
    ///
    /// # Errors
    /// Too long, two variables without a text between them, or no time in it; the message says which.
    pub fn nginx(text: &str) -> Result<Format, String> {
        if text.len() > FORMAT_MAX {
            return Err(format!("longer than {FORMAT_MAX} bytes; give only the fields up to the time and the name"));
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        // A server block's own name is constant; `$host` is the visitor's word and only taken without it.
        let own = text.contains("$server_name") || text.contains("${server_name}");
        while let Some(at) = rest.find('$') {
            if at > 0 {
                pieces.push(Piece::Literal(rest.as_bytes()[..at].to_vec()));
            } else if !pieces.is_empty() {
                return Err("two variables stand side by side; put a space between them".to_owned());
            }
            let after = &rest[at + 1..];
            let braced = after.strip_prefix('{');
            let name_from = braced.unwrap_or(after);
            let end = name_from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name_from.len());
            let (name, tail) = name_from.split_at(end);
            rest = match braced {
                Some(_) => tail.strip_prefix('}').ok_or("a ${ without its }")?,
                None => tail,
            };
            pieces.push(match name {
                "server_name" => Piece::Site,
                "host" | "http_host" if !own => Piece::Site,
                "time_local" => Piece::TimeLocal,
                "time_iso8601" => Piece::TimeIso,
                "msec" => Piece::Msec,
                _ => Piece::Skip,
            });
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.as_bytes().to_vec()));
        }
        let timed = pieces.iter().any(|p| matches!(p, Piece::TimeLocal | Piece::TimeIso | Piece::Msec));
        match timed && pieces.len() <= PIECES_MAX {
            true => Ok(Format::Nginx(pieces)),
            false => Err("no $time_local, $time_iso8601 or $msec in it, or too many fields".to_owned()),
        }
    }

    /// Site (lower case, without port; empty when the line has none) and time of a line.
    pub fn read(&self, line: &[u8]) -> Option<(String, Moment)> {
        match self {
            Format::Standard => standard(line),
            Format::Nginx(pieces) => by_pieces(pieces, line),
        }
    }
}

/// `[VHOST[:PORT] ]ADDRESS IDENT USER [TIME] "…`. The user is the visitor's text, so what stands in brackets
/// first and is a time counts; a false one only moves his own requests.
fn standard(line: &[u8]) -> Option<(String, Moment)> {
    let first = line.split(|b| *b == b' ').next()?;
    let site = match std::str::from_utf8(first).ok()?.parse::<IpAddr>() {
        Ok(_) => String::new(),
        Err(_) => site(first)?,
    };
    let opened = line.windows(2).position(|w| w == b" [")?;
    Some((site, access_time(line.get(opened + 2..opened + 28)?)?))
}

fn by_pieces(pieces: &[Piece], mut line: &[u8]) -> Option<(String, Moment)> {
    let (mut found, mut at) = (String::new(), None);
    for (n, piece) in pieces.iter().enumerate() {
        if let Piece::Literal(text) = piece {
            line = line.strip_prefix(text.as_slice())?;
            continue;
        }
        let end = match pieces.get(n + 1) {
            Some(Piece::Literal(text)) => line.windows(text.len()).position(|w| w == text.as_slice())?,
            _ => line.len(),
        };
        let (value, rest) = line.split_at(end);
        line = rest;
        match piece {
            Piece::Site => found = site(value)?,
            Piece::TimeLocal => at = Some(access_time(value)?),
            Piece::TimeIso => at = Some(iso_time(value)?),
            Piece::Msec => at = Some(msec(value)?),
            Piece::Skip | Piece::Literal(_) => {}
        }
    }
    Some((found, at?))
}

fn msec(value: &[u8]) -> Option<Moment> {
    let secs = std::str::from_utf8(value).ok()?.split('.').next()?.parse().ok()?;
    (0..=253_402_300_799).contains(&secs).then(|| Moment::from_secs(secs))
}

fn site(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = match name.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) => return None,
        None => name,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*');
    (name.len() <= 253 && name.bytes().all(plain)).then(|| name.to_ascii_lowercase())
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All lines.
    pub lines: u64,
    /// Lines not in the log's format.
    pub dropped: u64,
    /// Lines of a site that nobody owns.
    pub unknown_site: u64,
}

/// Counts requests by account and ten seconds.
#[derive(Debug, Default)]
pub struct Requests {
    sites: HashMap<String, u32>,
    steps: HashMap<u32, VecDeque<(i64, u32)>>,
    counts: Counts,
    newest: Option<i64>,
}

impl Requests {
    /// The accounts as they are now.
    pub fn set_accounts(&mut self, entries: &[AccountEntry]) {
        self.sites.clear();
        for entry in entries {
            for name in entry.sites.iter().flat_map(|s| std::iter::once(&s.domain).chain(&s.aliases)) {
                self.sites.insert(name.as_str().to_owned(), entry.account.uid);
            }
        }
    }

    /// Counts one line, read at `now`. `owner` is the account whose log this is, when it is one site's own; it
    /// goes before what the line says.
    pub fn line(&mut self, line: &[u8], format: &Format, owner: Option<u32>, now: Moment) {
        self.counts.lines += 1;
        let Some((site, at)) = format.read(line) else {
            self.counts.dropped += 1;
            return;
        };
        let Some(uid) = owner.or_else(|| self.sites.get(&site).copied()) else {
            self.counts.unknown_site += 1;
            return;
        };
        let step = at.min(now).secs().div_euclid(STEP_SECS);
        let latest = now.secs().div_euclid(STEP_SECS);
        self.newest = self.newest.max(Some(latest));
        let oldest = latest - i64::from(STEPS);
        if step <= oldest {
            return; // an old log that is read again says nothing about now
        }
        let steps = self.steps.entry(uid).or_default();
        while steps.front().is_some_and(|(s, _)| *s <= oldest) {
            steps.pop_front();
        }
        match steps.binary_search_by_key(&step, |(s, _)| *s) {
            Ok(at) => steps[at].1 = steps[at].1.saturating_add(1),
            Err(at) => steps.insert(at, (step, 1)),
        }
    }

    /// Mean requests per second of an account over the last `steps` whole steps (at least 1, at most
    /// 59); none before any line was read, because then nobody knows.
    pub fn per_second(&self, uid: u32, steps: u32, now: Moment) -> Option<f64> {
        self.newest?;
        let latest = now.secs().div_euclid(STEP_SECS);
        let steps = i64::from(steps.clamp(1, STEPS - 1));
        let inside = |step: i64| step < latest && step >= latest - steps;
        let counted = self.steps.get(&uid).into_iter().flatten().filter(|(s, _)| inside(*s)).map(|(_, n)| *n);
        Some(counted.map(f64::from).sum::<f64>() / (steps * STEP_SECS) as f64)
    }

    /// Forgets accounts without requests in the kept time; called now and then.
    pub fn forget(&mut self, now: Moment) {
        let oldest = now.secs().div_euclid(STEP_SECS) - i64::from(STEPS);
        self.steps.retain(|_, steps| steps.back().is_some_and(|(s, _)| *s > oldest));
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
