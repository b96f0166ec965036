//! Reads access logs of web servers: which script of a site is an intruder's, who guesses, probes and crawls, how many
//! requests there are.
//!
//! A line belongs to an account by the file it stands in, by the virtual host the server wrote, or it belongs to nobody.
//! The node's own addresses are never anybody's: sites call themselves. Memory is bounded by [`ROWS_MAX`] rows of a few
//! hundred bytes, whatever is read.

pub mod crowd;
pub mod format;
pub mod json;
pub mod judge;
pub mod known;
pub mod login;
pub mod place;
pub mod probe;
pub mod proof;
pub mod report;
pub mod request;
pub mod requests;
pub mod script;
pub mod site;
pub mod table;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use model::{AccountEntry, AccountRef, Kind, Moment, Network, Strength};

pub use format::Format;
pub use place::{Log, Owner};
pub use report::settle;

use crate::follow::LINE_MAX;
use crate::reading::Reading;
use place::Places;
use request::{Clock, Request, Source};
use site::Site;

/// Rows (scripts, visitors, tries) of all sites together; the largest site gives way. About 60 MB at most.
pub const ROWS_MAX: usize = 200_000;
/// Lines between two judgements of a recorded log.
const JUDGE_LINES: u64 = 1 << 18;

/// What a watch must know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The accounts of the node.
    pub accounts: Arc<[AccountEntry]>,
    /// The node's own addresses.
    pub own: Vec<IpAddr>,
    /// Networks that are nobody's: proxies, monitoring, the office.
    pub never: Vec<Network>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All lines.
    pub lines: u64,
    /// Lines not in the log's format.
    pub dropped: u64,
    /// Lines of a virtual host that nobody owns.
    pub unknown_site: u64,
    /// Requests of the node itself and of networks that are nobody's.
    pub own: u64,
}

/// What was seen of one account's sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests to them that were read.
    pub requests: u64,
    /// Whether some of these stood in a log that is not the account's own.
    pub named: bool,
    /// An intruder's script that answered.
    pub found: Option<String>,
}

/// Watches access logs, recorded or live.
pub struct Watch {
    places: Places,
    sites: Vec<Option<Box<Site>>>,
    own: Vec<Source>,
    never: Vec<Network>,
    log: Log,
    /// The virtual host of the last line and where it belongs.
    last: (Vec<u8>, Option<usize>),
    clock: Clock,
    counts: Counts,
    /// What [`Watch::news`] told already of the counts.
    told: Counts,
    told_own: bool,
    rows: usize,
    newest: Moment,
}

impl Watch {
    /// Nothing is read yet.
    pub fn new(settings: Settings) -> Watch {
        let places = Places::new(settings.accounts);
        let mut own: Vec<Source> = settings.own.iter().map(|a| a.to_canonical().into()).collect();
        own.push(IpAddr::from([127, 0, 0, 1]).into());
        own.push(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]).into());
        Watch {
            sites: (0..places.len()).map(|_| None).collect(),
            places,
            own,
            never: settings.never,
            log: Log::default(),
            last: (Vec::new(), None),
            clock: Clock::default(),
            counts: Counts::default(),
            told: Counts::default(),
            told_own: false,
            rows: 0,
            newest: Moment::EPOCH,
        }
    }

    /// The accounts as they are now. What is known of an account and a site that go on as they were is kept: nobody
    /// makes the node forget by changing his own.
    pub fn set_accounts(&mut self, accounts: Arc<[AccountEntry]>) {
        let places = Places::new(accounts);
        let before = std::mem::replace(&mut self.sites, (0..places.len()).map(|_| None).collect());
        for (old, site) in before.into_iter().enumerate() {
            let Some(new) = places.same(&self.places, old) else { continue };
            self.sites[new] = site;
            // Votes are for sites by their number.
            if let Some(site) = &mut self.sites[new]
                && places.sites(new) != self.places.sites(old)
            {
                site.votes.clear();
            }
        }
        self.places = places;
        self.rows = self.sites.iter().flatten().map(|site| site.rows()).sum();
        self.begin(self.log.clone());
    }

    /// The lines that follow are of this log.
    pub fn begin(&mut self, log: Log) {
        self.log = log;
        self.last = (Vec::new(), self.places.of(&self.log.owner, b""));
    }

    /// Whose a log is by its place alone, see [`place`].
    pub fn owner_of(&self, path: &Path) -> Owner {
        self.places.owner_of(path)
    }

    /// Takes one line, without its newline, that was there at `now`.
    pub fn line(&mut self, line: &[u8], now: Moment) {
        self.line_at(line, now);
    }

    /// The same; says when its request was, if it was understood.
    pub fn line_at(&mut self, line: &[u8], now: Moment) -> Option<Moment> {
        self.counts.lines += 1;
        let Some(mut request) = self.log.format.read(line, &mut self.clock) else {
            self.counts.dropped += 1;
            return None;
        };
        let at = request.at.min(now);
        request.at = at;
        self.newest = self.newest.max(request.at);
        if *request.site != *self.last.0 {
            self.last.0.clear();
            self.last.0.extend_from_slice(request.site);
            self.last.1 = self.places.of(&self.log.owner, request.site);
        }
        if self.is_own(request.source) {
            self.counts.own += 1;
            return Some(at);
        }
        let Some(place) = self.last.1 else {
            self.counts.unknown_site += 1;
            return Some(at);
        };
        self.take(place, &request);
        Some(at)
    }

    fn is_own(&self, source: Source) -> bool {
        let never = || source.address().is_some_and(|address| self.never.iter().any(|n| n.contains(address)));
        self.own.contains(&source) || !self.never.is_empty() && never()
    }

    fn take(&mut self, place: usize, request: &Request<'_>) {
        let site = self.sites[place].get_or_insert_default();
        let before = site.rows();
        site.named |= !matches!(self.log.owner, Owner::Sure(..));
        let closer = site.take(request);
        let after = site.rows();
        if closer && self.places.is_unsure(place) && !request.is_bare() {
            self.places.vote(place, request.referer(), &mut site.votes);
        }
        self.rows = self.rows.saturating_sub(before) + after;
        if self.rows > ROWS_MAX {
            self.make_room();
        }
    }

    /// Old minutes go first, then half of the largest site.
    fn make_room(&mut self) {
        let minute = self.newest.secs().div_euclid(60) - 2;
        self.sites.iter_mut().flatten().for_each(|site| site.crowd.rest(minute));
        self.rows = self.sites.iter().flatten().map(|site| site.rows()).sum();
        if self.rows > ROWS_MAX / 4 * 3
            && let Some(largest) = self.sites.iter_mut().flatten().max_by_key(|site| site.rows())
        {
            largest.shrink();
            largest.crowd.rest(i64::MAX);
        }
        self.rows = self.sites.iter().flatten().map(|site| site.rows()).sum();
    }

    /// What is new since it was last asked.
    pub fn news(&mut self, now: Moment) -> Reading {
        let mut reading = Reading {
            lines: self.counts.lines - self.told.lines,
            dropped: self.counts.dropped - self.told.dropped,
            ..Reading::default()
        };
        self.told = self.counts;
        let minute = self.newest.secs().div_euclid(60) - 2;
        for (place, site) in self.sites.iter_mut().enumerate() {
            let Some(site) = site else { continue };
            site.crowd.look();
            report::tell(&self.places, place, site, now, &mut reading);
            site.crowd.rest(minute);
        }
        self.rows = self.sites.iter().flatten().map(|site| site.rows()).sum();
        // Behind a proxy of its own the server writes the proxy's address: nobody can be told apart.
        if self.counts.own >= 1000 && self.counts.own * 10 >= self.counts.lines * 9 && !self.told_own {
            self.told_own = true;
            reading.blind.push(
                "web: nine of ten requests come from the node itself or its proxies; give the log of the proxy in front, or have the \
                 server write the client's address (mod_remoteip, real_ip)"
                    .to_owned(),
            );
        }
        reading
    }

    /// Rows held now; after each line at most [`ROWS_MAX`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What was seen of one account's sites, for a verification.
    ///
    /// Calls of an endpoint that somebody drives say nothing about the account as long as they are no proof; whatever
    /// answers in a folder for data does.
    pub fn seen(&self, account: &AccountRef, since: Moment) -> Seen {
        let mut seen = Seen::default();
        for (place, site) in
            self.places.of_account(account).filter_map(|place| Some((place, self.sites[place].as_ref()?)))
        {
            seen.requests += site.requests;
            seen.named |= site.named;
            let found =
                site.scripts.iter().filter(|(_, script)| script.called > since.secs()).find(|(path, script)| {
                    judge::judge(site, path, script).is_some_and(|verdict| {
                        let driven = verdict.kind == Kind::DrivenScript && known::place(path) != known::Place::Data;
                        verdict.strength == Strength::Conclusive || !driven
                    })
                });
            if let Some((path, _)) = found {
                let domain = self.places.likely_site(place, &site.votes);
                let domain = domain.map(ToString::to_string).unwrap_or_default();
                seen.found = Some(format!("{domain}{}", model::evidence::printable(path, 300)));
            }
        }
        seen
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Reads a recorded log to its end; gives what is new. Memory does not grow with its length.
///
/// # Errors
/// The reader fails.
pub fn inspect(watch: &mut Watch, input: &mut dyn BufRead, now: Moment) -> io::Result<Reading> {
    let mut reading = Reading::default();
    let mut carry: Vec<u8> = Vec::new();
    let (mut skipping, mut next) = (false, watch.counts.lines + JUDGE_LINES);
    loop {
        let buffer = input.fill_buf()?;
        let used = buffer.len();
        if used == 0 {
            break;
        }
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', buffer) {
            let piece = &buffer[from..end];
            from = end + 1;
            if std::mem::replace(&mut skipping, false) || carry.len() + piece.len() > LINE_MAX {
                watch.counts.lines += 1;
                watch.counts.dropped += 1;
                carry.clear();
            } else if carry.is_empty() {
                watch.line(piece.strip_suffix(b"\r").unwrap_or(piece), now);
            } else {
                carry.extend_from_slice(piece);
                watch.line(carry.strip_suffix(b"\r").unwrap_or(&carry), now);
                carry.clear();
            }
        }
        let rest = &buffer[from..];
        if skipping || carry.len() + rest.len() > LINE_MAX {
            skipping = true;
            carry.clear();
        } else {
            carry.extend_from_slice(rest);
        }
        input.consume(used);
        if watch.counts.lines >= next {
            next = watch.counts.lines + JUDGE_LINES;
            reading.join(watch.news(now));
        }
    }
    match skipping {
        true => (watch.counts.lines, watch.counts.dropped) = (watch.counts.lines + 1, watch.counts.dropped + 1),
        false if !carry.is_empty() => watch.line(&carry, now),
        false => {}
    }
    reading.join(watch.news(now));
    report::settle(&mut reading);
    Ok(reading)
}
