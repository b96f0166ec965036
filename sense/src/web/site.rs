//! What is remembered of one site, and how each request changes it. Bounds stand at each table.

use std::collections::VecDeque;

use memchr::memchr;

use super::crowd::Crowd;
use super::known::{self, Agent, Ending, Lately, Place, Purpose};
use super::login::Logins;
use super::probe::{Probes, is_secret};
use super::request::{Method, Request, Source, plain_path};
use super::script::{Origin, Script, Way, is_direct};
use super::table::{Table, short};

/// Scripts remembered; the oldest that say little go first.
pub const SCRIPTS_MAX: usize = 256;
/// Longest path of one, bytes.
const PATH_MAX: usize = 512;
/// Scripts that were asked for in vain, as hashes.
const MISSING_MAX: usize = 1024;
/// Requests that may have put a file there, of each way.
const UPLOADS_MAX: usize = 64;
/// Administrators that signed in.
const ADMINS_MAX: usize = 64;
/// Time between such a request and the first answer of its script, seconds.
pub const CHAIN_SECS: i64 = 600;
/// Time between signing in and installing that no person at a screen keeps, seconds; the hard bound is twice that.
const HASTE_SECS: i64 = 120;
/// Time for which a site's scripts must be known before a new one is news, seconds.
const KNOWN_SECS: i64 = 7 * 24 * 3600;
/// Time between installing and the first answer of the component, seconds.
const INSTALLED_SECS: i64 = 24 * 3600;

/// A request that may have put a file there.
#[derive(Debug)]
struct Upload {
    at: i64,
    source: Source,
    agent: u64,
    path: Box<[u8]>,
    method: Method,
    bare: bool,
}

/// Somebody who signed in.
#[derive(Debug)]
struct Admin {
    source: Source,
    at: i64,
    path: Box<[u8]>,
    /// Pictures and styles that it loaded before it installed something: a browser shows pages.
    statics: u32,
    /// Was shown a page behind the login.
    inside: bool,
    installed: Option<i64>,
}

/// One site.
#[derive(Debug, Default)]
pub struct Site {
    lately: Lately,
    /// Its visitors.
    pub crowd: Crowd,
    /// Its logins.
    pub logins: Logins,
    /// Who probes it.
    pub probes: Probes,
    /// Its scripts that answered.
    pub scripts: Table<Box<[u8]>, Script>,
    /// When, and with how many bytes that was said.
    missing: Table<u64, (i64, u64)>,
    uploads: VecDeque<Upload>,
    posts: VecDeque<Upload>,
    admins: Vec<Admin>,
    /// Names of sites in referers of its own account, to know which site a nameless log is of.
    pub votes: Vec<(usize, u32)>,
    /// Whether something changed since it was last judged.
    pub touched: bool,
    /// Requests of others than the node itself.
    pub requests: u64,
    /// Whether some of them stood in a log that is not the account's own.
    pub named: bool,
    /// Scripts forgotten for want of room.
    pub shed: u64,
    /// Since when each script that answered is remembered, seconds since 1970: the first line, or the last time that
    /// some were forgotten.
    known_since: Option<i64>,
    newest: i64,
}

impl Site {
    /// Rows held.
    pub fn rows(&self) -> usize {
        self.scripts.len() + self.crowd.rows() + self.logins.rows()
    }

    /// One request that was not the node's own. True when it was worth a closer look.
    pub fn take(&mut self, request: &Request<'_>) -> bool {
        let ending = known::ending(request.path);
        self.requests += 1;
        self.newest = self.newest.max(request.at.secs());
        self.known_since.get_or_insert(request.at.secs());
        self.crowd.take(request, ending, &mut self.lately);
        match (ending, request.method) {
            (Ending::Static, Method::Get | Method::Head | Method::Other) => {
                self.logins.visited(request);
                self.looks_around(request);
                return false;
            }
            (Ending::Page, Method::Get) => {
                let lost = matches!(request.status, 403 | 404 | 410);
                let odd = memchr(b'%', request.path).is_some()
                    || (memchr(b'.', request.path).is_some() && (lost || known::script(request.path).is_some()));
                if !odd && request.status != 401 && !self.logins.knows(request.source) {
                    return false;
                }
            }
            (_, Method::Head | Method::Other) => return false,
            _ => {}
        }
        self.touched = true;
        let plain = plain_path(request.path);
        let path = &plain[..];
        let script = known::script(path).filter(|s| s.len() <= PATH_MAX);
        if matches!(request.status, 403 | 404 | 410) && (script.is_some() || is_secret(path)) {
            self.missed(request, script.unwrap_or(path), path);
        }
        if request.status == 404 {
            return true;
        }
        let sends = matches!(request.method, Method::Post | Method::Put);
        let purpose = self.lately.purpose(path, sends);
        self.signs_in(request, path, purpose);
        // A picture that is sent data answers only where a handler was put on it.
        let disguised = || Some(path).filter(|p| sends && known::ending(p) == Ending::Static && p.len() <= PATH_MAX);
        if let Some(script) = script.or_else(disguised) {
            self.script(request, script);
        }
        if sends && (200..400).contains(&request.status) {
            self.uploaded(request, path, purpose);
        }
        true
    }

    /// Version files are read by those who look for holes.
    fn looks_around(&mut self, request: &Request<'_>) {
        if let Some(admin) = self.admins.iter_mut().rev().find(|a| a.source == request.source) {
            admin.statics += u32::from(admin.installed.is_none());
        }
        if request.path.ends_with(b".txt") && request.is_bare() {
            let name = request.path.rsplit(|b| *b == b'/').next().unwrap_or_default().to_ascii_lowercase();
            if [&b"readme.txt"[..], b"changelog.txt", b"license.txt", b"version.txt"].contains(&&name[..]) {
                self.probes.note(request.source, request.at.secs());
            }
        }
    }

    fn signs_in(&mut self, request: &Request<'_>, path: &[u8], purpose: Purpose) {
        let login = purpose.login;
        let refused = request.status == 401 && request.user && request.method == Method::Get;
        match request.method {
            Method::Post if login && !is_foreign_call(request) => {
                let entered = self.logins.attempt(path, request);
                self.entered(request, path, entered);
            }
            _ if refused => drop(self.logins.attempt(b"/ (user)", request)),
            Method::Get if login => self.logins.form(path, request),
            _ => {}
        }
        let answered =
            request.is_answered() || (request.method == Method::Post && (300..400).contains(&request.status));
        if request.method == Method::Get && request.status == 200 && purpose.office && !login {
            self.admins
                .iter_mut()
                .filter(|a| a.source == request.source && *a.path != *path)
                .for_each(|a| a.inside = true);
        }
        // The form itself lies in the office of many programs.
        let form = login && (request.method == Method::Post || request.query.is_empty());
        if answered && self.logins.is_watching() && purpose.office && !form {
            self.logins.office(path, request);
        }
    }

    fn entered(&mut self, request: &Request<'_>, path: &[u8], entered: bool) {
        if !entered {
            return;
        }
        if self.admins.len() >= ADMINS_MAX {
            self.admins.remove(0);
        }
        self.admins.retain(|a| a.source != request.source || a.installed.is_some());
        let (source, at) = (request.source, request.at.secs());
        self.admins.push(Admin { source, at, path: path.into(), statics: 0, inside: false, installed: None });
    }

    fn missed(&mut self, request: &Request<'_>, path: &[u8], whole: &[u8]) {
        let at = request.at.secs();
        if self.missing.len() >= MISSING_MAX {
            self.missing.retain(|_, (when, _)| at - *when < 3600);
            if self.missing.len() >= MISSING_MAX {
                self.missing.clear();
            }
        }
        // With parameters or a path behind it, a program may say that there is no such thing.
        if request.status != 403 && request.query.is_empty() && path == whole {
            self.missing.insert(short(path), (at, request.size));
        }
        self.probes.missed(request, path);
    }

    fn script(&mut self, request: &Request<'_>, path: &[u8]) {
        // What is put there with PUT does not run by that.
        if !request.is_answered() || request.method == Method::Put {
            return;
        }
        let direct = is_direct(request, path);
        // Crawlers ask for what they found somewhere; but none of them sends data.
        if request.method == Method::Get && self.lately.agent(request.agent()) != Agent::Other {
            return;
        }
        if let Some(script) = self.scripts.get_mut(path) {
            script.hit(request, direct);
            return;
        }
        if self.scripts.len() >= SCRIPTS_MAX {
            self.shed_scripts();
        }
        let missing = self.was_missing(path);
        let mut script = Script::new(request, direct, missing);
        script.origin = self.origin(request, path, missing).map(Box::new);
        script.hit(request, direct);
        self.scripts.insert(path.into(), script);
        if direct && request.method == Method::Get {
            self.probes.answered(request);
        }
    }

    /// Whether the server said that this script is not there. A program that says so itself says it in other words
    /// than the server does of other names.
    fn was_missing(&mut self, path: &[u8]) -> bool {
        let Some((_, size)) = self.missing.remove(&short(path)) else { return false };
        let like = |(_, other): &(i64, u64)| other.abs_diff(size) <= (size.max(*other) / 8).max(64);
        self.missing.is_empty() || self.missing.values().any(like)
    }

    /// The oldest half of those that nothing speaks against.
    pub fn shed_scripts(&mut self) {
        let weight = |s: &Script| (s.origin.is_some() && s.driven() > 0, s.driven().min(20), s.last);
        let mut weights: Vec<_> = self.scripts.values().map(weight).collect();
        let half = weights.len() / 2;
        if half > 0 {
            let (_, middle, _) = weights.select_nth_unstable(half);
            let middle = *middle;
            let before = self.scripts.len();
            self.scripts.retain(|_, s| weight(s) > middle);
            self.shed += (before - self.scripts.len()) as u64;
            self.known_since = Some(self.newest);
        }
    }

    fn uploaded(&mut self, request: &Request<'_>, path: &[u8], purpose: Purpose) {
        let at = request.at.secs();
        let query = request.query;
        if self.admins.iter().any(|a| a.source == request.source) && known::is_install(path, query) {
            let fresh = |a: &&mut Admin| a.source == request.source && (0..=2 * HASTE_SECS).contains(&(at - a.at));
            if let Some(admin) = self.admins.iter_mut().rev().find(fresh) {
                // Who is not in is led away to the login, and so is a stranger who pretends.
                let led_away = (300..400).contains(&request.status) && !admin.inside;
                admin.installed = (!led_away).then_some(at).or(admin.installed);
            }
        }
        let upload = Upload {
            at,
            source: request.source,
            agent: short(request.agent()),
            path: path[..path.len().min(PATH_MAX)].into(),
            method: request.method,
            bare: request.is_bare(),
        };
        let ring = match request.method == Method::Put || purpose.upload || known::is_upload(query) {
            true => &mut self.uploads,
            false => &mut self.posts,
        };
        // Who calls one thing again and again takes one place.
        if let Some(last) = ring.iter_mut().rev().take(8).find(|u| u.source == upload.source && u.path == upload.path) {
            *last = upload;
            return;
        }
        if ring.len() >= UPLOADS_MAX {
            ring.pop_front();
        }
        ring.push_back(upload);
    }

    /// How a script that answers for the first time may have come there.
    fn origin(&self, request: &Request<'_>, path: &[u8], missing: bool) -> Option<Origin> {
        let at = request.at.secs();
        let place = known::place(path);
        let wrong = matches!(place, Place::Data);
        let installed = |a: &&Admin| a.installed.is_some_and(|then| (0..=INSTALLED_SECS).contains(&(at - then)));
        if matches!(place, Place::Component | Place::Code | Place::Loose | Place::Data)
            && let Some(admin) = self.admins.iter().rev().find(installed)
        {
            let mut signs = 0;
            signs += u32::from(admin.source == request.source && at - admin.installed.unwrap_or(at) <= CHAIN_SECS);
            signs += u32::from(admin.statics == 0);
            signs += u32::from(admin.installed.is_some_and(|then| then - admin.at <= HASTE_SECS / 4));
            let entry = format!("POST {}", printed(&admin.path));
            let (at, source) = (admin.at, admin.source);
            return Some(Origin { entry, at, source, way: Way::Install, signs, proven: true });
        }
        let recent =
            |u: &&Upload| (0..=CHAIN_SECS).contains(&(at - u.at)) && (*u.path != *path || u.method == Method::Put);
        let same = |u: &&Upload| u.source == request.source && recent(u);
        let (upload, way) = None
            .or_else(|| self.uploads.iter().rev().find(same).map(|u| (u, Way::Upload)))
            .or_else(|| self.posts.iter().rev().find(|u| same(u) && u.bare).map(|u| (u, Way::Post)))
            .or_else(|| self.uploads.iter().rev().find(recent).filter(|_| wrong || missing).map(|u| (u, Way::Upload)))
            .or_else(|| {
                self.posts.iter().rev().find(|u| recent(u) && u.bare).filter(|_| missing).map(|u| (u, Way::Post))
            })?;
        let mut signs = 0;
        signs += u32::from(missing);
        signs += u32::from(wrong);
        signs += u32::from(self.probes.is_prober(upload.source, at));
        signs += u32::from(upload.source == request.source && upload.agent != short(request.agent()));
        let beside = is_beside(&upload.path, path) || upload.method == Method::Put;
        signs += u32::from(beside);
        // Who is not the sender must be known by more than the place.
        signs -= u32::from(upload.source != request.source).min(signs);
        let entry = format!("{} {}", upload.method.name(), printed(&upload.path));
        let proven = missing || wrong || beside;
        Some(Origin { entry, at: upload.at, source: upload.source, way, signs, proven })
    }

    /// Whether a script answered for the first time when all others had long been known.
    pub fn is_news(&self, script: &Script) -> bool {
        self.known_since.is_some_and(|since| script.first - since >= KNOWN_SECS)
    }

    /// Whether somebody who calls a script sends uploads himself: then he is a user of the program.
    pub fn has_sent(&self, source: Source) -> bool {
        self.uploads.iter().any(|u| u.source == source)
    }

    /// Gives room back: half of the scripts and tries.
    pub fn shrink(&mut self) {
        self.shed_scripts();
        self.logins.shed();
    }
}

/// A call of another program's interface (Jetpack's `for=`), which signs itself and is no login.
fn is_foreign_call(request: &Request<'_>) -> bool {
    request.path.ends_with(b"/xmlrpc.php") && request.query.starts_with(b"for=")
}

/// Whether a script lies in the component that took the upload, but in another folder than its door.
fn is_beside(upload: &[u8], script: &[u8]) -> bool {
    let folder = |p: &[u8]| p.iter().rposition(|b| *b == b'/').unwrap_or(0);
    let (from, to) = (&upload[..folder(upload)], &script[..folder(script)]);
    let below = to.len() > from.len() && to.starts_with(from) && from.len() > 1;
    let component = known::component(upload).is_some_and(|c| known::component(script) == Some(c));
    (below || component) && from != to
}

fn printed(path: &[u8]) -> String {
    model::evidence::printable(path, 300)
}
