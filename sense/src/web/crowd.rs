//! Crawlers and floods: who asks one site for how much, within two minutes.
//!
//! | what is seen in two minutes | what it means |
//! |---|---|
//! | crawlers by their own name, 30 requests for 12 pages or more, 3 and a twentieth of them refused (429, 503, 508) | crawling |
//! | crawlers by their own name, 600 requests | crawling |
//! | one address like a machine, 120 pages, 5 and a twentieth of them refused | crawling |
//! | one address like a machine, 1,200 pages | crawling |
//! | search engines; people (referers, pictures and styles, a user); HEAD; anything that is not GET | nothing |
//!
//! Like a machine: a tenth of its requests or fewer carry a referer, a fifth or fewer are for pictures and styles, and
//! the server knows no user. An office behind one address is none, because its browsers send and load these.

use model::Moment;

use super::known::{Agent, Ending, Lately};
use super::request::{Method, Request, Source};
use super::table::{Different, Table, short};

/// Addresses counted at once for a site and minute; later ones only count as shed.
const VISITS_MAX: usize = 4096;
/// Addresses that a finding names.
pub const SOURCES_MAX: usize = 64;

/// What one address asked for within one minute.
#[derive(Clone, Copy, Debug)]
struct Visit {
    requests: u32,
    pages: u32,
    statics: u32,
    refused: u32,
    referred: u32,
    user: bool,
    /// What it says that it is; looked at only where the site is in need.
    claims: Option<Agent>,
    paths: Different,
}

impl Visit {
    /// Both minutes as one.
    fn joined(mut self, other: &Visit) -> Visit {
        self.requests += other.requests;
        self.pages += other.pages;
        self.statics += other.statics;
        self.refused += other.refused;
        self.referred += other.referred;
        self.user |= other.user;
        self.claims = self.claims.or(other.claims);
        self.paths.join(other.paths);
        self
    }
}

/// One site's visitors of two minutes, and the crawling that was seen.
#[derive(Debug, Default)]
pub struct Crowd {
    minute: i64,
    now: Table<Source, Visit>,
    before: Table<Source, Visit>,
    /// Page requests of this minute and the one before.
    pages: [u32; 2],
    /// Whether any was refused, of the same minutes.
    refused: [bool; 2],
    /// Requests of addresses for which there was no room.
    pub shed: u64,
    /// What was seen, until it is told.
    pub seen: Option<Crawl>,
}

/// Crawling that was seen.
#[derive(Clone, Debug)]
pub struct Crawl {
    /// First and last minute.
    pub since: Moment,
    /// See `since`.
    pub until: Moment,
    /// Requests at the worst two minutes.
    pub requests: u32,
    /// How many of them were refused.
    pub refused: u32,
    /// Requests by address, largest last minute; at most [`SOURCES_MAX`].
    pub sources: Vec<(Source, u32)>,
    /// Whether they name themselves.
    pub named: bool,
}

impl Crowd {
    /// Rows held.
    pub fn rows(&self) -> usize {
        self.now.len() + self.before.len()
    }

    /// Counts one request.
    pub fn take(&mut self, request: &Request<'_>, ending: Ending, lately: &mut Lately) {
        let minute = request.at.secs().div_euclid(60);
        if minute > self.minute {
            self.turn(minute);
        }
        if request.source == Source::UNKNOWN {
            return;
        }
        if self.now.len() >= VISITS_MAX && !self.now.contains_key(&request.source) {
            self.shed += 1;
            return;
        }
        let visit = self.now.entry(request.source).or_insert_with(|| Visit {
            requests: 0,
            pages: 0,
            statics: 0,
            refused: 0,
            referred: 0,
            user: false,
            claims: None,
            paths: Different::default(),
        });
        visit.requests += 1;
        visit.user |= request.user;
        visit.referred += u32::from(!request.is_bare());
        match ending {
            Ending::Static => visit.statics += 1,
            _ if request.method == Method::Get => {
                visit.pages += 1;
                self.pages[0] += 1;
                let refused = matches!(request.status, 429 | 503 | 508);
                visit.refused += u32::from(refused);
                self.refused[0] |= refused;
                if visit.claims.is_none() && (self.refused[0] || self.refused[1] || self.pages[0] > 200) {
                    visit.claims = Some(lately.agent(request.agent()));
                }
                visit.paths.add(short(request.path) ^ short(request.query));
            }
            _ => {}
        }
    }

    /// Looks at the two minutes that are known, and begins a new one.
    pub fn turn(&mut self, minute: i64) {
        self.look();
        std::mem::swap(&mut self.now, &mut self.before);
        self.now.clear();
        self.pages = [0, self.pages[0]];
        self.refused = [false, self.refused[0]];
        if minute > self.minute + 1 {
            self.before.clear();
            self.pages = [0, 0];
        }
        // Tables that were large once give their room back.
        for table in [&mut self.now, &mut self.before] {
            if table.capacity() > 256 && table.len() * 8 < table.capacity() {
                table.shrink_to(table.len() * 2);
            }
        }
        self.minute = minute;
    }

    /// Judges the two minutes that are known.
    pub fn look(&mut self) {
        if self.pages[0] + self.pages[1] < 30 {
            return;
        }
        // Only those that can matter are put together: crawlers by name, and who asks for much.
        let matters = |v: &Visit| v.claims == Some(Agent::Crawler) || v.pages >= 60;
        let mut both: Vec<(Source, Visit)> = Vec::new();
        for (source, visit) in &self.now {
            let before = self.before.get(source);
            if matters(visit) || before.is_some_and(matters) {
                both.push((*source, before.map_or(*visit, |b| visit.joined(b))));
            }
        }
        let gone = self.before.iter().filter(|(source, visit)| matters(visit) && !self.now.contains_key(source));
        both.extend(gone.map(|(source, visit)| (*source, *visit)));
        let named: Vec<&(Source, Visit)> =
            both.iter().filter(|(_, v)| v.claims == Some(Agent::Crawler) && v.pages > 0 && !v.user).collect();
        let sum = |of: fn(&Visit) -> u32, among: &[&(Source, Visit)]| among.iter().map(|(_, v)| of(v)).sum::<u32>();
        let (pages, refused) = (sum(|v| v.pages, &named), sum(|v| v.refused, &named));
        let mut paths = Different::default();
        named.iter().for_each(|(_, v)| paths.join(v.paths));
        let worn = pages >= 30 && refused >= 3 && refused * 20 >= pages && paths.count() >= 12;
        if worn || pages >= 600 {
            self.note(&named, true);
        }
        let machine = |v: &Visit| {
            v.claims.is_none_or(|c| c == Agent::Other)
                && !v.user
                && v.referred * 10 <= v.requests
                && v.statics * 5 <= v.requests
        };
        let flood = |v: &Visit| {
            (v.pages >= 120 && v.refused >= 5 && v.refused * 20 >= v.pages && (v.paths.count() >= 12 || v.pages >= 600))
                || v.pages >= 1200
        };
        let floods: Vec<&(Source, Visit)> = both.iter().filter(|(_, v)| machine(v) && flood(v)).collect();
        if !floods.is_empty() {
            self.note(&floods, false);
        }
    }

    fn note(&mut self, who: &[&(Source, Visit)], named: bool) {
        let at = Moment::from_secs(self.minute.saturating_mul(60));
        let crawl = self.seen.get_or_insert_with(|| Crawl {
            since: at,
            until: at,
            requests: 0,
            refused: 0,
            sources: Vec::new(),
            named,
        });
        crawl.until = crawl.until.max(at);
        crawl.named |= named;
        let pages = who.iter().map(|(_, v)| v.pages).sum::<u32>();
        if pages >= crawl.requests {
            (crawl.requests, crawl.refused) = (pages, who.iter().map(|(_, v)| v.refused).sum());
        }
        for (source, visit) in who {
            match crawl.sources.iter_mut().find(|(known, _)| known == source) {
                Some((_, most)) => *most = (*most).max(visit.pages),
                None => crawl.sources.push((*source, visit.pages)),
            }
        }
        crawl.sources.sort_by_key(|(source, pages)| (std::cmp::Reverse(*pages), *source));
        crawl.sources.truncate(SOURCES_MAX);
    }

    /// Gives all rows back when nothing came since `minute`.
    pub fn rest(&mut self, minute: i64) {
        if self.minute < minute && self.rows() > 0 {
            self.look();
            (self.now, self.before) = (Table::default(), Table::default());
            self.pages = [0, 0];
        }
    }
}
