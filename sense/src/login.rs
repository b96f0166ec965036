//! Logins of the accounts: ssh, FTP, mailboxes, panels; who guessed, who was right, who moves files as no owner does.
//!
//! A [`Watch`] takes lines of any of these logs, mixed, in the order in which they were written. Attribution is by the
//! credential that was *accepted*; a name in a failed attempt is a stranger's text and only counts against where it came
//! from. Which counts mean what stands in `judge`, and what is remembered in `state`, with its bounds. Nothing is
//! kept on disk.

mod event;
mod ftp_log;
mod judge;
mod line;
mod mail_log;
mod maps;
mod pairs;
mod recorded;
mod shell_log;
mod state;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

pub use event::Service;
use jiff::tz::TimeZone;
use model::order::Finding;
use model::{AccountEntry, AccountName, Moment, Span};
pub use recorded::inspect;

use crate::country::Countries;
use crate::follow::LINE_MAX;
pub use crate::mail::Trust;
use crate::mail::country::normal;
use crate::mail::stamp::Stamps;
use crate::reading::Reading;
use event::{Event, Read, What};
use maps::Maps;
use state::{
    Abroad, Bounded, Credential, ENTRIES_MAX, FEW, Foreign, Guess, Network, Origin, TRANSFERS_MAX, Transfer, Tried,
    mark,
};

/// Findings that are held until they are told.
const FINDINGS_MAX: usize = 10_000;
/// Sessions of sftp whose user is remembered.
const SESSIONS_MAX: usize = 1024;
/// Sources that [`Watch::sources`] lists.
const SOURCES_MAX: usize = 4096;
/// A visit is judged this long after its last sign.
const SETTLED: Span = Span::minutes(10);

/// What a watch needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The accounts of the node.
    pub accounts: Arc<[AccountEntry]>,
    /// The node's own addresses: never named as a source.
    pub own: Vec<IpAddr>,
    /// Networks that are never named as a source either: proxies, monitoring, the office.
    pub never: Vec<model::Network>,
    /// The node's zone, in which stamps without one are written.
    pub zone: TimeZone,
    /// Who can write into the log: through the syslog socket every tenant can, so that nothing is conclusive.
    pub trust: Trust,
}

impl Settings {
    /// Whether it is the node itself or a network that is nobody's: behind it nobody can be told from another.
    fn is_near(&self, address: &IpAddr) -> bool {
        let own = self.own.contains(address) || self.never.iter().any(|network| network.contains(*address));
        own || address.is_loopback() || address.is_unspecified()
    }
}

/// What can be said of the logins of one account to one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Whose.
    pub account: AccountName,
    /// Into what.
    pub service: Service,
    /// First line of this service that was read.
    pub from: Moment,
    /// Last one.
    pub to: Moment,
    /// Logins of this account among them.
    pub logins: u64,
    /// Whether one of them was of a kind that a finding speaks of. `false`: no unfamiliar login from `from` to `to`.
    pub unfamiliar: bool,
}

/// What a finding is about: account, service, credential, kind.
type About = (usize, Service, u64, u8);

/// Reads lines and tells what they mean.
pub struct Watch {
    settings: Settings,
    stamps: Stamps,
    zones: Vec<TimeZone>,
    by_name: HashMap<Vec<u8>, usize>,
    /// `None`: two accounts claim the domain.
    by_domain: HashMap<Vec<u8>, Option<usize>>,
    origins: Bounded<(Service, Network), Origin>,
    /// By service, account and the hash of the name.
    credentials: Bounded<(Service, usize, u64), Credential>,
    /// The names themselves, for the credentials that got in.
    names: Bounded<u64, Vec<u8>>,
    transfers: Bounded<(Service, usize, IpAddr), Transfer>,
    rewritten: Bounded<(Service, usize), Transfer>,
    sessions: Bounded<u32, (Vec<u8>, Option<IpAddr>)>,
    spans: HashMap<Service, (Moment, Moment)>,
    logins: HashMap<(usize, Service), u64>,
    unfamiliar: BTreeSet<(usize, Service)>,
    found: HashMap<About, (bool, Finding)>,
    told_attacks: judge::Told,
    tried: Bounded<(Service, u64), Tried>,
    sources: BTreeSet<IpAddr>,
    /// The database, and the node's country.
    countries: Option<(Arc<Countries>, [u8; 2])>,
    /// By account.
    abroad: HashMap<usize, Abroad>,
    lines: u64,
    dropped: u64,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new(settings: Settings) -> Watch {
        let Maps { by_name, by_domain, zones } = Maps::of(&settings.accounts);
        Watch {
            stamps: Stamps::new(settings.zone.clone()),
            zones,
            by_name,
            by_domain,
            origins: Bounded::new(ENTRIES_MAX),
            credentials: Bounded::new(ENTRIES_MAX),
            names: Bounded::new(ENTRIES_MAX),
            transfers: Bounded::new(TRANSFERS_MAX),
            rewritten: Bounded::new(TRANSFERS_MAX),
            sessions: Bounded::new(SESSIONS_MAX),
            spans: HashMap::new(),
            logins: HashMap::new(),
            unfamiliar: BTreeSet::new(),
            found: HashMap::new(),
            told_attacks: BTreeSet::new(),
            tried: Bounded::new(ENTRIES_MAX),
            sources: BTreeSet::new(),
            countries: None,
            abroad: HashMap::new(),
            lines: 0,
            dropped: 0,
            settings,
        }
    }

    /// By which database the country of a source is told from now on, seen from the node's country (two letters).
    pub fn set_countries(&mut self, countries: Option<Arc<Countries>>, node: Option<[u8; 2]>) {
        let node = node.map(|node| normal(node.map(|b| b.to_ascii_lowercase())));
        self.countries = countries.zip(node);
    }

    /// The accounts as they are now. Accounts are known by their number here: what is known of those that go on gets
    /// the new one, the rest is forgotten.
    pub fn set_accounts(&mut self, accounts: Arc<[AccountEntry]>) {
        let numbers: HashMap<_, usize> = accounts.iter().enumerate().map(|(at, entry)| (&entry.account, at)).collect();
        let moved: Vec<Option<usize>> =
            self.settings.accounts.iter().map(|entry| numbers.get(&entry.account).copied()).collect();
        let new = |at: &usize| moved.get(*at).copied().flatten();
        self.credentials.rekey(&|(service, at, name)| Some((*service, new(at)?, *name)));
        self.transfers.rekey(&|(service, at, source)| Some((*service, new(at)?, *source)));
        self.rewritten.rekey(&|(service, at)| Some((*service, new(at)?)));
        for origin in self.origins.values_mut() {
            origin.welcome = origin.welcome.iter().filter_map(new).collect();
        }
        let logins = std::mem::take(&mut self.logins).into_iter();
        self.logins = logins.filter_map(|((at, service), n)| Some(((new(&at)?, service), n))).collect();
        let unfamiliar = std::mem::take(&mut self.unfamiliar).into_iter();
        self.unfamiliar = unfamiliar.filter_map(|(at, service)| Some((new(&at)?, service))).collect();
        let found = std::mem::take(&mut self.found).into_iter();
        self.found = found
            .filter_map(|((at, service, name, kind), held)| Some(((new(&at)?, service, name, kind), held)))
            .collect();
        Maps { by_name: self.by_name, by_domain: self.by_domain, zones: self.zones } = Maps::of(&accounts);
        self.settings.accounts = accounts;
    }

    /// One line without its newline, read at `now`.
    pub fn line(&mut self, line: &[u8], now: Moment) {
        self.lines += 1;
        if line.len() > LINE_MAX {
            self.dropped += 1;
            return;
        }
        let Some(seen) = line::read(line, &mut self.stamps, now) else {
            self.dropped += u64::from(!line.trim_ascii().is_empty());
            return;
        };
        match seen.read {
            Read::Nothing => {}
            Read::Unclear => self.dropped += 1,
            Read::Event(event) => self.event(event, seen.at, seen.hour),
        }
    }

    fn event(&mut self, event: Event<'_>, at: Moment, hour: Option<u8>) {
        let span = self.spans.entry(event.service).or_insert((at, at));
        *span = (span.0.min(at), span.1.max(at));
        if let Some(source) = event.source.filter(|_| self.sources.len() < SOURCES_MAX) {
            self.sources.insert(source);
        }
        // Lines of an sftp session carry only their process.
        let mut user = event.user.to_vec();
        let mut source = event.source;
        match event.what {
            What::Began => {
                *self.sessions.entry(event.pid) = (user, source);
                return;
            }
            What::Listed | What::Got(..) | What::Put(..) | What::Other if user.is_empty() && event.pid > 0 => {
                let Some((known, from)) = self.sessions.get(&event.pid) else { return };
                (user, source) = (known.clone(), *from);
            }
            _ => {}
        }
        let Some(source) = source else { return };
        let account = self.account_of(event.service, &user);
        let name = mark(&user.to_ascii_lowercase());
        let near = self.settings.is_near(&source);
        match event.what {
            // A webmail or proxy: the failures of one are not before the login of another.
            What::Failed(_) | What::Unknown if near => {}
            What::Accepted { .. } if near => {
                if let Some(account) = account {
                    *self.logins.entry((account, event.service)).or_default() += 1;
                }
            }
            What::Failed(times) => self.failed(event.service, account, name, source, times, at),
            What::Unknown => self.unknown(event.service, account, name, source, at),
            What::Accepted { method, key, second, country } => {
                let Some(account) = account else { return };
                *self.names.entry(name) = user;
                let night = judge::is_night(hour, at, &self.zones[account]);
                let login = Login { service: event.service, account, name, source, at, night };
                self.accepted(login, method, key, second, country);
            }
            What::Listed => {
                if let Some(visit) = self.visit(event.service, account, name, source, at) {
                    visit.listed = visit.listed.saturating_add(1);
                }
            }
            What::Got(path, size) => self.moved(event.service, account, name, source, at, (path, size, false)),
            What::Put(path, size) => self.moved(event.service, account, name, source, at, (path, size, true)),
            What::Began | What::Other => {
                self.visit(event.service, account, name, source, at);
            }
        }
    }

    /// Whose credential this is: the account's name, or a name at one of its domains.
    fn account_of(&self, service: Service, user: &[u8]) -> Option<usize> {
        // A credential has no spaces, brackets or quotes; what has is a text that somebody typed into the field.
        let plain = |b: &u8| b.is_ascii_graphic() && !b"\"'\\/:;,<>()[]{}#$`=".contains(b);
        if user.is_empty() || user.len() > 254 || !user.iter().all(plain) {
            return None;
        }
        let at = user.iter().rposition(|b| matches!(b, b'@' | b'%' | b'+'));
        match at.filter(|_| service != Service::Shell) {
            Some(0) => None,
            Some(at) => {
                let domain = user[at + 1..].to_ascii_lowercase();
                let domain = domain.strip_prefix(b"www.").unwrap_or(&domain);
                self.by_domain.get(domain).copied().flatten()
            }
            None => self.by_name.get(user).copied(),
        }
    }

    /// An existing visit of somebody who is in.
    fn visit(
        &mut self,
        service: Service,
        account: Option<usize>,
        name: u64,
        source: IpAddr,
        at: Moment,
    ) -> Option<&mut state::Visit> {
        let key = (service, account?, name);
        self.credentials.get(&key)?.visits.get(&Network::of(source)).filter(|visit| visit.logins > 0)?;
        let visit = self.credentials.entry(key).visit(Network::of(source));
        visit.last = Some(visit.last.map_or(at, |last| last.max(at)));
        Some(visit)
    }

    fn origin(&mut self, service: Service, source: IpAddr, at: Moment) -> &mut Origin {
        let origin = self.origins.entry((service, Network::of(source)));
        if origin.run.last.is_some() && !origin.run.holds(at) {
            origin.names.clear();
            origin.strangers.clear();
            origin.run = state::Run::default();
        }
        if origin.addresses.len() < FEW {
            origin.addresses.insert(source);
        }
        origin
    }

    fn failed(&mut self, service: Service, account: Option<usize>, name: u64, from: IpAddr, times: u32, at: Moment) {
        let origin = self.origin(service, from, at);
        origin.run.add(times, at);
        judge::count_name(origin, name, account.is_none());
        if judge::is_attack(origin) && origin.attack.as_ref().is_none_or(|run| run.count <= origin.run.count) {
            origin.attack = Some(origin.run.clone());
        }
        judge::count_try(self.tried.entry((service, name)), from, times, at);
        if let Some(account) = account {
            let credential = self.credentials.entry((service, account, name));
            credential.run.add(times, at);
            credential.visit(Network::of(from)).run.add(times, at);
        }
    }

    /// A name that does not exist; the failure of the same attempt is written by another line, or never where only keys
    /// are allowed.
    fn unknown(&mut self, service: Service, account: Option<usize>, name: u64, from: IpAddr, at: Moment) {
        let origin = self.origin(service, from, at);
        if origin.names.insert(name) && origin.names.len() as u32 > origin.run.count {
            origin.run.add(1, at);
        }
        judge::count_name(origin, name, account.is_none());
        if judge::is_attack(origin) {
            origin.attack = Some(origin.run.clone());
        }
    }

    fn accepted(&mut self, login: Login, method: &[u8], key: &[u8], second: bool, country: &[u8]) {
        let Login { service, account, name, source, at, night } = login;
        *self.logins.entry((account, service)).or_default() += 1;
        let origin = self.origins.entry((service, Network::of(source)));
        let (sprayed, hammered) = (judge::is_spray(origin, at), judge::is_hammering(origin, at));
        // A flood may have pushed this network's failures out of what is kept of the name.
        let tried_here = origin.run.holds(at) && origin.names.contains(&name);
        let failed_at = origin.run.last;
        if origin.welcome.len() < FEW {
            origin.welcome.insert(account);
        }
        let credential = self.credentials.entry((service, account, name));
        credential.known = true;
        let elsewhere = credential.run.clone();
        let key_mark = (!key.is_empty()).then(|| mark(key));
        let known_key = key_mark.is_some_and(|key| credential.keys.contains(&key));
        let follows = credential.guess.clone().filter(|guess| judge::follows(guess, &login, method, known_key));
        if let Some(key) = key_mark.filter(|_| credential.keys.len() < FEW) {
            credential.keys.insert(key);
        }
        // Whoever has a key or a second factor has more than a password: an owner on a journey.
        let proved = known_key || second || (service == Service::Shell && !key.is_empty());
        let mut foreign = None;
        if let Some((countries, node)) = &self.countries
            && let Some(country) = countries.lookup(source)
        {
            let abroad = Some(country).filter(|country| country != node);
            let many = self.abroad.entry(account).or_default().login(abroad, judge::HABIT_MIN, at);
            foreign = many.filter(|_| !proved).map(|many| Foreign { country, many, of: countries.date().to_owned() });
        }
        let visit = credential.visit(Network::of(source));
        let mut before = visit.run.clone();
        if before.count == 0 && tried_here {
            before.add(1, failed_at.unwrap_or(at));
        }
        let familiar = visit.logins > 0;
        let sprayed = sprayed || hammered && before.count >= 3;
        let guessed = (!familiar).then(|| judge::guessed(service, &before, &elsewhere, sprayed, at)).flatten();
        if visit.logins == 0 {
            visit.first = Some(at);
            visit.night = true;
            visit.strange = !known_key;
            visit.second = second;
            visit.method = method[..method.len().min(64)].to_vec();
            visit.country = country[..country.len().min(8)].to_vec();
            visit.foreign = foreign;
        }
        visit.night &= night;
        visit.logins = visit.logins.saturating_add(1);
        visit.last = Some(visit.last.map_or(at, |last| last.max(at)));
        visit.address = Some(source);
        visit.run = state::Run::default();
        if !familiar && before.holds(at) && before.count >= judge::FOLLOWED_MIN {
            credential.guess = Some(Guess { at, address: source, method: method.to_vec(), run: before.clone() });
        }
        if let Some(strength) = guessed {
            let run = if before.count > 0 { before } else { elsewhere };
            self.keep(judge::guess_finding(&self.settings, &self.names, &login, strength, &run, method, None), login);
        }
        if let Some(guess) = follows {
            let first = Login { source: guess.address, at: guess.at, ..login };
            let strength = model::Strength::Conclusive;
            let then = Some((source, method));
            let finding =
                judge::guess_finding(&self.settings, &self.names, &first, strength, &guess.run, &guess.method, then);
            self.keep(finding, login);
        }
    }

    fn moved(
        &mut self,
        service: Service,
        account: Option<usize>,
        name: u64,
        source: IpAddr,
        at: Moment,
        (path, size, put): (&[u8], u64, bool),
    ) {
        if let Some(visit) = self.visit(service, account, name, source, at) {
            visit.moved = visit.moved.saturating_add(1);
        }
        let Some(account) = account else { return };
        let path = mark(path);
        let transfer = self.transfers.entry((service, account, source));
        let Some(grown) = judge::moves(transfer, path, size, put, at) else { return };
        let mut whole = judge::adds(transfer, path, grown, at).then(|| judge::rewrites(transfer)).flatten();
        let mut moved = transfer;
        if whole.is_none() {
            // A stolen password is used from many addresses, a file or two from each.
            moved = self.rewritten.entry((service, account));
            whole = judge::adds(moved, path, grown, at).then(|| judge::rewrites(moved)).flatten();
            whole = whole.filter(|strength| *strength == model::Strength::Conclusive);
        }
        if let Some(strength) = whole {
            let finding = judge::rewriting_finding(&self.settings, service, account, source, moved, strength, at);
            let login = Login { service, account, name: 0, source, at, night: false };
            self.keep(finding, login);
        }
    }

    /// Holds a finding until it is told; a stronger or larger one replaces what was held.
    fn keep(&mut self, finding: Finding, login: Login) {
        self.unfamiliar.insert((login.account, login.service));
        let about = (login.account, login.service, login.name, finding.signal.kind as u8);
        let held = self.found.get(&about);
        let weaker = held.is_some_and(|(_, held)| held.signal.strength > finding.signal.strength);
        if !weaker && (held.is_some() || self.found.len() < FINDINGS_MAX) {
            self.found.insert(about, (true, finding));
        }
    }

    /// What is new since the last call.
    pub fn news(&mut self, now: Moment) -> Reading {
        self.tell(now, false)
    }

    fn tell(&mut self, now: Moment, ended: bool) -> Reading {
        let strange: Vec<(Login, Finding)> = self
            .credentials
            .iter()
            .filter_map(|((service, account, name), credential)| {
                let settled = |visit: &state::Visit| ended || visit.last.is_some_and(|last| now - last >= SETTLED);
                let (network, visit, strength) = judge::new_place(*service, credential, &settled)?;
                let shared = self.origins.get(&(*service, network)).is_some_and(|origin| origin.welcome.len() > 1);
                let login = Login {
                    service: *service,
                    account: *account,
                    name: *name,
                    source: visit.address?,
                    at: visit.first?,
                    night: true,
                };
                // An address from which several accounts are looked after is an agency or a monitor.
                (!shared).then(|| (login, judge::place_finding(&self.settings, &self.names, &login, visit, strength)))
            })
            .collect();
        for (login, finding) in strange {
            let about = (login.account, login.service, login.name, finding.signal.kind as u8);
            let told = self.found.get(&about);
            if told.is_none_or(|(_, told)| told.signal.strength < finding.signal.strength) {
                self.keep(finding, login);
            }
        }
        let mut findings: Vec<(About, Finding)> = Vec::new();
        for (about, (fresh, finding)) in &mut self.found {
            if std::mem::take(fresh) {
                findings.push((*about, finding.clone()));
            }
        }
        findings.sort_by_key(|(about, _)| *about);
        let attacks = judge::attacks(&self.origins, &self.tried, &self.settings, &mut self.told_attacks);
        Reading {
            findings: findings.into_iter().map(|(_, finding)| finding).collect(),
            attacks,
            lines: std::mem::take(&mut self.lines),
            dropped: std::mem::take(&mut self.dropped),
            ..Reading::default()
        }
    }

    /// Who can write into the logs.
    pub fn trust(&self) -> Trust {
        self.settings.trust
    }

    /// What can be said of an account's logins, by service; nothing of services whose log was not read.
    pub fn covered(&self, account: &AccountName) -> Vec<Covered> {
        let Some(at) = self.by_name.get(account.as_str().as_bytes()).copied() else { return Vec::new() };
        let mut all: Vec<Covered> = self
            .spans
            .iter()
            .map(|(service, (from, to))| Covered {
                account: account.clone(),
                service: *service,
                from: *from,
                to: *to,
                logins: self.logins.get(&(at, *service)).copied().unwrap_or_default(),
                unfamiliar: self.unfamiliar.contains(&(at, *service)),
            })
            .collect();
        all.sort_by_key(|covered| covered.service);
        all
    }

    /// Addresses that were read, at most 4,096, in order.
    pub fn sources(&self) -> impl Iterator<Item = IpAddr> {
        self.sources.iter().copied()
    }
}

/// Somebody who got in.
#[derive(Clone, Copy)]
struct Login {
    service: Service,
    account: usize,
    name: u64,
    source: IpAddr,
    at: Moment,
    night: bool,
}

#[cfg(test)]
mod tests;
