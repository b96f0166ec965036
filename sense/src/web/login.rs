//! Guessing of a site's passwords: failed tries at one login, by source, and the one that got in.
//!
//! | what is seen | what it means |
//! |---|---|
//! | 20 failures at one login within ten minutes, successes no more than a fifth of them | guessing (sources are slowed) |
//! | 60 refused users (401) within ten minutes for paths without a form | guessing |
//! | a source with ten failures or more, machine-like or thirty, then another answer and the office opens to it | got in |
//! | two failures without ever loading the form, while a swarm guesses, then another answer and the office opens | got in |
//! | an owner's few wrong tries, then the right one | nothing |
//! | staff behind one address: most tries succeed | nothing |
//! | a program with an old password: one user, a slow pace | nothing |
//!
//! A form that comes again with 200 is a failure and a redirect is a success, unless nearly all answers are redirects:
//! then the same source coming again is a failure, and only what it may do afterwards tells. A 200 is a success where failures are
//! refused (400, 401, 403, 422), as programs' interfaces do. Where answers of 200 differ in length (XML-RPC of an
//! editor, programs with one address for everything), they are no failures.

use super::request::{Method, Request, Source};
use super::table::Table;

/// Logins of a site, and sources of one login, remembered.
const LOGINS_MAX: usize = 8;
const TRIES_MAX: usize = 1024;
/// Length of the window, minutes.
const WINDOW: i64 = 10;
/// Failures within the window from which it is guessing.
const FAILURES: u32 = 20;
/// The same for refused users without a form.
const FAILURES_REFUSED: u32 = 60;
/// Failures of one source that nobody has by mistake.
const OWN_FAILURES: u32 = 10;

/// Pictures and styles of an address that others use too; and no fewer than its failures.
const VISITED_MIN: u32 = 20;

/// What one source tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Try {
    /// Tries that failed.
    pub fails: u32,
    /// First and last try.
    pub first: i64,
    /// See `first`.
    pub last: i64,
    /// Tries that succeeded by their answer, and the last of these.
    pub oks: u32,
    ok_at: i64,
    /// Tries without a referer.
    bare: u32,
    /// Loaded the form before.
    form: bool,
    /// Requests behind the login that were answered since the last try.
    office: u32,
    /// Was behind the login once: staff, whatever is mistyped later.
    inside: bool,
    /// Pictures and styles that pages led to.
    visited: u32,
}

impl Try {
    /// Whether visitors come from there too, each with his pictures and styles: an office, a telephone company.
    fn brings_visitors(&self) -> bool {
        self.visited >= self.fails.max(VISITED_MIN)
    }
}

/// One login of a site.
#[derive(Debug)]
pub struct Login {
    /// Its path.
    pub path: Box<[u8]>,
    /// Failures and successes by minute.
    window: [(i64, u32, u32); WINDOW as usize],
    /// Answers by status and length in half kilobytes.
    answers: Vec<((u16, u64), u32)>,
    /// Tries by source.
    pub tries: Table<Source, Try>,
    /// When guessing was first and last above the threshold.
    pub guessed: Option<(i64, i64)>,
    told: Option<i64>,
}

/// A source that got in by guessing.
#[derive(Clone, Debug)]
pub struct Entered {
    /// Path of the login.
    pub path: Box<[u8]>,
    /// Who.
    pub source: Source,
    /// What it tried before.
    pub tries: Try,
    /// When it got in.
    pub at: i64,
    /// Failures of all sources.
    pub failures: u32,
    /// Whether the answer itself differed.
    pub sure: bool,
}

/// All logins of a site.
#[derive(Debug, Default)]
pub struct Logins {
    /// By path, at most eight.
    pub known: Vec<Login>,
    /// Who got in by guessing; at most 16, until told.
    pub entered: Vec<Entered>,
}

impl Logins {
    /// Rows held.
    pub fn rows(&self) -> usize {
        self.known.iter().map(|l| l.tries.len()).sum()
    }

    /// One try: a POST to a login, or a refused user. True when its answer is a success.
    pub fn attempt(&mut self, path: &[u8], request: &Request<'_>) -> bool {
        let Some(login) = self.login(path) else { return false };
        login.attempt(request)
    }

    /// The form was loaded.
    pub fn form(&mut self, path: &[u8], request: &Request<'_>) {
        if let Some(login) = self.known.iter_mut().find(|l| *l.path == *path)
            && let Some(tried) = login.tries.get_mut(&request.source)
        {
            tried.form = true;
        }
    }

    /// A picture or style was loaded.
    pub fn visited(&mut self, request: &Request<'_>) {
        if request.is_bare() {
            return;
        }
        for login in &mut self.known {
            if let Some(tried) = login.tries.get_mut(&request.source) {
                tried.visited = tried.visited.saturating_add(1);
            }
        }
    }

    /// Whether this source tried to sign in somewhere.
    pub fn knows(&self, source: Source) -> bool {
        self.known.iter().any(|l| l.tries.contains_key(&source))
    }

    /// Whether anybody is worth following behind the login.
    pub fn is_watching(&self) -> bool {
        !self.known.is_empty()
    }

    /// A page behind the login was answered.
    pub fn office(&mut self, path: &[u8], request: &Request<'_>) {
        let at = request.at.secs();
        for login in &mut self.known {
            let failures = login.fails_known();
            let (guessed, deviates) = (login.guessed, !login.is_redirecting());
            let Some(tried) = login.tries.get_mut(&request.source) else { continue };
            if *login.path == *path && request.query.is_empty() || at < tried.last || at - tried.last > 15 * 60 {
                continue;
            }
            tried.office += 1;
            tried.inside |= tried.office >= 2;
            let sure = deviates && tried.oks > 0 && tried.ok_at == tried.last;
            let pause = (tried.last - tried.first) / i64::from(tried.fails.max(1));
            let alone = tried.fails >= OWN_FAILURES && (pause < 10 || tried.fails >= 3 * OWN_FAILURES);
            let tries = tried.fails + tried.oks;
            let swarm = guessed.is_some() && tried.fails >= 2 && tried.bare == tries && !tried.form;
            let open = if sure { tried.office >= 1 } else { tried.office >= 2 && login_silent(tried) };
            if open && (alone || swarm) && self.entered.len() < 16 && (sure || deviates || alone) {
                let (at, tries) = (tried.last, *tried);
                (tried.fails, tried.office) = (0, 0);
                let path = login.path.clone();
                self.entered.push(Entered { path, source: request.source, tries, at, failures, sure });
            }
        }
    }

    fn login(&mut self, path: &[u8]) -> Option<&mut Login> {
        if path.len() > 256 {
            return None;
        }
        if let Some(at) = self.known.iter().position(|l| *l.path == *path) {
            return self.known.get_mut(at);
        }
        if self.known.len() >= LOGINS_MAX {
            let least = (0..self.known.len()).min_by_key(|n| self.known[*n].fails_known())?;
            self.known.swap_remove(least);
        }
        self.known.push(Login {
            path: path.into(),
            window: [(0, 0, 0); WINDOW as usize],
            answers: Vec::new(),
            tries: Table::default(),
            guessed: None,
            told: None,
        });
        self.known.last_mut()
    }

    /// Logins that are being guessed and of which that was not told within the last hour of theirs.
    pub fn news(&mut self) -> impl Iterator<Item = &Login> {
        self.known.iter_mut().filter_map(|login| {
            let (_, until) = login.guessed?;
            let due = login.told.is_none_or(|told| until >= told + 3600);
            if due {
                login.told = Some(until);
            }
            due.then_some(&*login)
        })
    }

    /// Forgets sources that only a little is known of; half of the rows are gone afterwards.
    pub fn shed(&mut self) {
        for login in &mut self.known {
            login.shed();
        }
    }
}

/// Where every answer is a redirect, only silence after it says that the source did not have to try again.
fn login_silent(tried: &Try) -> bool {
    tried.fails + tried.oks > 0
}

impl Login {
    fn attempt(&mut self, request: &Request<'_>) -> bool {
        let at = request.at.secs();
        let key = (request.status, request.size >> 9);
        match self.answers.iter().position(|(known, _)| *known == key) {
            Some(at) => self.answers[at].1 += 1,
            None if self.answers.len() < 24 => self.answers.push((key, 1)),
            None => {}
        }
        let Some(failed) = self.failed(request) else { return false };
        if self.tries.len() >= TRIES_MAX && !self.tries.contains_key(&request.source) {
            self.shed();
        }
        let tried = self.tries.entry(request.source).or_insert_with(|| Try { first: at, ..Try::default() });
        tried.last = tried.last.max(at);
        tried.bare += u32::from(request.is_bare());
        tried.office = 0;
        match failed {
            true => tried.fails += 1,
            false => (tried.oks, tried.ok_at) = (tried.oks + 1, at),
        }
        let minute = at.div_euclid(60);
        let slot = &mut self.window[minute.rem_euclid(WINDOW) as usize];
        if slot.0 != minute {
            *slot = (minute, 0, 0);
        }
        if failed {
            slot.1 += 1;
        } else {
            slot.2 += 1;
        }
        if failed {
            self.weigh(minute, at, request);
        }
        !failed
    }

    fn weigh(&mut self, minute: i64, at: i64, request: &Request<'_>) {
        let inside = self.window.iter().filter(|(m, ..)| (minute - WINDOW + 1..=minute).contains(m));
        let (fails, oks) = inside.fold((0u32, 0u32), |(f, o), (_, fails, oks)| (f + fails, o + oks));
        let least = if request.method == Method::Post { FAILURES } else { FAILURES_REFUSED };
        // Staff at work: their tries end behind the login, and one address of theirs is no swarm.
        if fails < least || oks * 5 > fails {
            return;
        }
        let strangers: u32 = self.tries.values().filter(|t| !t.inside && t.oks * 2 <= t.fails).map(|t| t.fails).sum();
        if strangers >= least && self.is_alike() {
            let since = self.tries.values().filter(|t| t.fails > 0).map(|t| t.first).min().unwrap_or(at);
            let known = self.guessed.get_or_insert((since, at));
            known.1 = known.1.max(at);
        }
    }

    /// Whether a try failed; none when the server itself was at fault.
    fn failed(&self, request: &Request<'_>) -> Option<bool> {
        match request.status {
            500..=599 | 0 | 404 | 405 | 408 | 410 => None,
            200..=299 => Some(self.refusals() < 5),
            300..=399 => Some(self.is_redirecting() && self.is_again(request)),
            _ => Some(true),
        }
    }

    /// The source was here within ten minutes and comes again as no person does: without a referer, or at once.
    fn is_again(&self, request: &Request<'_>) -> bool {
        let pause = self.tries.get(&request.source).map(|t| request.at.secs() - t.last);
        pause.is_some_and(|p| p <= WINDOW * 60 && (p < 5 || request.is_bare()))
    }

    fn refusals(&self) -> u32 {
        self.answers.iter().filter(|((s, _), _)| matches!(s, 400 | 401 | 403 | 422)).map(|(_, n)| n).sum()
    }

    /// Nearly all answers are redirects: they say nothing.
    fn is_redirecting(&self) -> bool {
        let all: u32 = self.answers.iter().map(|(_, n)| n).sum();
        let away: u32 = self.answers.iter().filter(|((s, _), _)| (300..400).contains(s)).map(|(_, n)| n).sum();
        away >= 10 && away * 5 >= all * 4
    }

    /// Four of five answers are one and the same page, give or take a kilobyte.
    fn is_alike(&self) -> bool {
        let all: u32 = self.answers.iter().map(|(_, n)| n).sum();
        let near = |(status, size): (u16, u64)| -> u32 {
            let same = self.answers.iter().filter(|((s, z), _)| *s == status && z.abs_diff(size) <= 1);
            same.map(|(_, n)| n).sum()
        };
        self.answers.iter().map(|(key, _)| near(*key)).max().is_some_and(|most| most * 5 >= all * 4)
    }

    fn fails_known(&self) -> u32 {
        self.tries.values().map(|t| t.fails).fold(0, u32::saturating_add)
    }

    /// Sources to be slowed down, most failures first, and the failures of all: not those that were let in, and not
    /// those from which visitors come.
    pub fn guessers(&self) -> (Vec<Source>, u32) {
        let strange = |t: &Try| t.fails > 0 && !t.inside && t.oks * 2 <= t.fails && !t.brings_visitors();
        let mut all: Vec<(&Source, &Try)> = self.tries.iter().filter(|(_, t)| strange(t)).collect();
        all.sort_by_key(|(source, tried)| (std::cmp::Reverse(tried.fails), **source));
        let sources = all.iter().filter(|(s, _)| **s != Source::UNKNOWN).map(|(s, _)| **s);
        (sources.take(super::crowd::SOURCES_MAX).collect(), self.fails_known())
    }

    fn shed(&mut self) {
        let mut weights: Vec<(u32, i64)> = self.tries.values().map(|t| (t.fails.min(OWN_FAILURES), t.last)).collect();
        let half = weights.len() / 2;
        if half == 0 {
            return;
        }
        let (_, middle, _) = weights.select_nth_unstable(half);
        let middle = *middle;
        self.tries.retain(|_, t| (t.fails.min(OWN_FAILURES), t.last) > middle);
    }
}
