//! Crontabs, login logs and access logs of the live node, for one look or for as long as the senses run.
//!
//! What is known of them is kept in memory alone: at each start, and when the accounts changed, the end of each log is
//! read again, so that places and scripts which are usual are known before anything new is judged by them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::order::Finding;
use model::{
    AccountEntry, AccountName, AccountRef, Check, Checked, Class, FactKey, Kind, Moment, Span, Strength, Verdict,
};
use sense::country::Countries;
use sense::follow::{Follower, Start};
use sense::load::fpm;
use sense::mail::Trust;
use sense::reading::{Attack, Reading, Understood};
use sense::web::requests::Requests;
use sense::{cron, login, web};

use crate::cli::inspect::{country, trust, zone};
use crate::config::{AbsolutePath, CRON_SPOOL, Config};

/// How much of the end of a log of logins is read at first, bytes.
const LOGIN_LOG_BEFORE: u64 = 16 << 20;
/// How much of the ends of all access logs together, and of one of them at most.
const ACCESS_LOGS_BEFORE: u64 = 256 << 20;
const ACCESS_LOG_BEFORE: u64 = 4 << 20;
/// Most bytes of one log in one call.
const READ_BYTES: u64 = 8 << 20;
/// Crontabs and folders of logs are looked at this often.
const LOOK: Span = Span::minutes(1);
/// Access logs that are followed, each with its file open; more are said to be left out.
const ACCESS_LOGS_MAX: usize = 20_000;
/// Files that everything else needs.
const OTHER_FILES: usize = 256;
/// Logs of php-fpm that are followed, how often they are read, and most bytes of one log in one call.
const FPM_LOGS_MAX: usize = 10_000;
const FPM_READ: Span = Span::secs(20);
const FPM_BYTES: u64 = 1 << 20;
/// Crawlers explain load for this long after they were seen.
const CRAWLED: Span = Span::minutes(10);
/// Files of cron.d that are read.
const SYSTEM_TABLES_MAX: usize = 1000;

/// What is read, and where in it we are.
pub struct Records {
    accounts: Arc<[AccountEntry]>,
    cron: cron::Watch,
    /// Inode, length and time of change of each table as it was judged.
    tables: HashMap<PathBuf, (u64, u64, i64)>,
    logins: Vec<LoginLogs>,
    web: web::Watch,
    /// Requests by account, for load.
    pub requests: Requests,
    access_logs: HashMap<PathBuf, AccessLog>,
    places: Vec<PathBuf>,
    /// How many access logs may be followed.
    most: usize,
    /// Logs of php-fpm with the account that each belongs to.
    fpm_logs: HashMap<PathBuf, FpmLog>,
    fpm_places: Vec<PathBuf>,
    fpm_format: fpm::format::Format,
    fpm_read: Option<Moment>,
    fpm_blind: Vec<String>,
    /// When crawlers were seen last, and their addresses.
    crawled: HashMap<AccountName, (Moment, String)>,
    looked: Option<Moment>,
    /// The last finding of each account and class that is more than a hint: when, and where.
    last: HashMap<(AccountName, Class), (Moment, String)>,
    blind: Vec<String>,
    understood: Understood,
}

/// Logs that are equally trusted, read as one.
struct LoginLogs {
    logs: Vec<(PathBuf, Follower)>,
    watch: login::Watch,
    lines: u64,
    dropped: u64,
    understood: Understood,
}

struct FpmLog {
    follower: Follower,
    log: fpm::Log,
    account: AccountName,
}

struct AccessLog {
    follower: Follower,
    log: web::Log,
    /// Whose all of it is.
    uid: Option<u32>,
}

impl Records {
    /// Nothing is read yet. `accounts`: all of the node; `own`: its addresses.
    pub fn new(config: &Config, accounts: Arc<[AccountEntry]>, own: &[IpAddr]) -> Records {
        let own = own.to_vec();
        let follow = |log: &AbsolutePath| (log.0.clone(), Follower::new(&log.0, Start::BeforeEnd(LOGIN_LOG_BEFORE)));
        let of = |logs: Vec<(PathBuf, Follower)>, trust| LoginLogs {
            logs,
            watch: login::Watch::new(login::Settings {
                accounts: accounts.clone(),
                own: own.clone(),
                zone: zone(),
                trust,
            }),
            lines: 0,
            dropped: 0,
            understood: Understood::of_own_log(),
        };
        // What goes through syslog can be written by every tenant; FTP servers write their own files as root.
        let syslog = of(config.login.logs.iter().chain([&config.mail.log]).map(follow).collect(), trust(config));
        let guarded = of(config.login.guarded_logs.iter().map(follow).collect(), Trust::Guarded);
        let mut requests = Requests::default();
        requests.set_accounts(&accounts);
        Records {
            cron: cron::Watch::new(cron::Settings { own: own.clone() }),
            tables: HashMap::new(),
            logins: vec![syslog, guarded],
            web: web::Watch::new(web::Settings { accounts: accounts.clone(), own: own.clone() }),
            requests,
            access_logs: HashMap::new(),
            places: config.web.access_logs.iter().map(|path| path.0.clone()).collect(),
            most: usize::try_from(sys::process::raise_files((ACCESS_LOGS_MAX + OTHER_FILES) as u64))
                .unwrap_or(usize::MAX)
                .saturating_sub(OTHER_FILES)
                .min(ACCESS_LOGS_MAX),
            fpm_logs: HashMap::new(),
            fpm_places: config.web.fpm_logs.iter().map(|path| path.0.clone()).collect(),
            fpm_format: config.web.fpm_access_format.0.clone(),
            fpm_read: None,
            fpm_blind: Vec::new(),
            crawled: HashMap::new(),
            looked: None,
            last: HashMap::new(),
            blind: Vec::new(),
            understood: Understood::of_own_log(),
            accounts,
        }
    }

    /// By which database the country of a login is told from now on.
    pub fn set_countries(&mut self, config: &Config, countries: Option<Arc<Countries>>) {
        for log in &mut self.logins {
            log.watch.set_countries(countries.clone(), country(config));
        }
    }

    /// Reads what is new, and says what it means.
    pub fn poll(&mut self, now: Moment) -> Reading {
        let mut reading = Reading::default();
        if self.looked.is_none_or(|then| now - then >= LOOK || now < then) {
            self.looked = Some(now);
            self.blind.clear();
            self.find_access_logs();
            self.find_fpm_logs();
            self.crawled.retain(|_, (at, _)| now - *at < CRAWLED);
            self.read_tables(now);
            self.requests.forget(now);
            reading.join(self.cron.news(now));
        }
        for LoginLogs { logs, watch, lines, dropped, understood } in &mut self.logins {
            for (path, follower) in logs.iter_mut() {
                if let Err(e) = follower.read_new(READ_BYTES, &mut |line| watch.line(line, now)) {
                    reading.blind.push(format!("logins: {}: {e}; run this as root", path.display()));
                }
            }
            let news = watch.news(now);
            (*lines, *dropped) = (*lines + news.lines, *dropped + news.dropped);
            let names: Vec<String> = logs.iter().map(|(path, _)| path.display().to_string()).collect();
            let fallen = understood.note(*lines, *lines - *dropped);
            reading.join(news);
            reading.blind.extend(fallen.map(|why| format!("logins: {}: {why}", names.join(", "))));
        }
        for (path, AccessLog { follower, log, uid }) in &mut self.access_logs {
            let (web, requests) = (&mut self.web, &mut self.requests);
            web.begin(log.clone());
            let mut line = |line: &[u8]| {
                web.line(line, now);
                requests.line(line, &log.format, *uid, now);
            };
            if let Err(e) = follower.read_new(READ_BYTES, &mut line) {
                reading.blind.push(format!("web: {}: {e}; run this as root", path.display()));
            }
        }
        let counts = self.web.counts();
        let fallen = self.understood.note(counts.lines, counts.lines - counts.dropped);
        reading.blind.extend(fallen.map(|why| format!("web: access logs: {why}")));
        let mut seen = self.web.news(now);
        web::settle(&mut seen);
        reading.join(seen);
        self.read_fpm_logs(now);
        for Finding { signal, evidence } in &reading.findings {
            if signal.kind == Kind::Crawling {
                let addresses = evidence.get(FactKey::Addresses).map(ToString::to_string).unwrap_or_default();
                self.crawled.insert(signal.account.name.clone(), (now, addresses));
            }
            if signal.strength > Strength::Hint && signal.trouble() == model::Trouble::Intrusion {
                let place =
                    [FactKey::Script, FactKey::Line, FactKey::Service].into_iter().find_map(|k| evidence.get(k));
                let place = place.map(ToString::to_string).unwrap_or_default();
                self.last.insert((signal.account.name.clone(), signal.class()), (signal.at, place));
            }
        }
        reading.blind.extend(self.blind.iter().chain(&self.fpm_blind).cloned());
        reading
    }

    /// What of PHP was slow lately, by account; nothing where no log of php-fpm is read.
    pub fn slow(&mut self, now: Moment) -> BTreeMap<AccountName, Vec<fpm::Slow>> {
        let mut slow: BTreeMap<AccountName, Vec<fpm::Slow>> = BTreeMap::new();
        for FpmLog { log, account, .. } in self.fpm_logs.values_mut() {
            let found = log.slow(now);
            if !found.is_empty() {
                slow.entry(account.clone()).or_default().extend(found);
            }
        }
        // An account with several logs: the part with most slow requests goes first again.
        slow.values_mut().for_each(|all| all.sort_by(fpm::Slow::most_first));
        slow
    }

    /// Who is crawled now, and by which addresses.
    pub fn crawled(&self) -> BTreeMap<AccountName, String> {
        self.crawled.iter().map(|(name, (_, addresses))| (name.clone(), addresses.clone())).collect()
    }

    /// The part of a verification that these records answer: what was seen of this account since then. A record that
    /// is not there or cannot be read has no line.
    pub fn checked(&mut self, account: &AccountRef, since: Moment, now: Moment) -> Vec<Checked> {
        let mut verdicts = Vec::new();
        let last = |class| self.last.get(&(account.name.clone(), class)).filter(|(at, _)| *at > since);
        let verdict = |class, count| match last(class) {
            Some((_, place)) => Verdict::Found { place: place.clone() },
            None => Verdict::Clean { count },
        };
        let covered: Vec<_> = self.logins.iter().flat_map(|log| log.watch.covered(&account.name)).collect();
        if self.logins.iter().flat_map(|logs| &logs.logs).any(|(_, log)| log.cursor().is_some()) {
            verdicts.push((Check::Logins, verdict(Class::Login, covered.iter().map(|c| c.logins).sum())));
        }
        if !self.access_logs.is_empty() {
            verdicts.push((Check::Requests, verdict(Class::Web, self.web.counts().lines)));
        }
        let entry = self.accounts.iter().find(|entry| entry.account == *account);
        if let Some(entry) = entry
            && let Ok(table) = cron::spooled(Path::new(CRON_SPOOL), &account.name)
        {
            let mut watch = cron::Watch::new(cron::Settings::default());
            watch.table(entry, &table.unwrap_or_default(), now);
            let reading = watch.news(now);
            let bad = reading.findings.iter().find(|f| f.signal.strength > Strength::Hint);
            let line = |f: &Finding| f.evidence.get(FactKey::Line).map(ToString::to_string).unwrap_or_default();
            let clean = Verdict::Clean { count: reading.lines };
            verdicts.push((Check::Cron, bad.map_or(clean, |f| Verdict::Found { place: line(f) })));
        }
        verdicts.into_iter().map(|(check, verdict)| Checked { check, at: now, verdict }).collect()
    }

    /// Tables of the spool, jobs of at, files of cron.d: those that changed since they were judged.
    fn read_tables(&mut self, now: Moment) {
        let spool = Path::new(CRON_SPOOL);
        if let Err(e) = std::fs::read_dir(spool) {
            self.blind.push(format!("cron: {CRON_SPOOL}: {e}; run this as root, or give a copy by --crontab"));
            return;
        }
        for entry in self.accounts.iter() {
            let path = spool.join(entry.account.name.as_str());
            if !is_new(&mut self.tables, &path) {
                continue;
            }
            match cron::spooled(spool, &entry.account.name) {
                Ok(table) => self.cron.table(entry, &table.unwrap_or_default(), now),
                Err(e) => {
                    self.tables.remove(&path);
                    self.blind.push(format!("cron: the crontab of {}: {e}; look at it by hand", entry.account));
                }
            }
        }
        // Without at(1) there is no such folder.
        let waiting = cron::waiting(&spool.with_file_name("atjobs")).unwrap_or_default();
        for (uid, job) in waiting.jobs {
            if let Some(entry) = self.accounts.iter().find(|entry| entry.account.uid == uid) {
                self.cron.job(entry, &job, now);
            }
        }
        if waiting.missed > 0 {
            self.blind.push(format!("cron: {} jobs of at could not be read; run this as root", waiting.missed));
        }
        let files = std::fs::read_dir("/etc/cron.d").into_iter().flatten().flatten();
        for path in files.take(SYSTEM_TABLES_MAX).map(|file| file.path()) {
            // Only root writes there; what is too large is said by the watch.
            if is_new(&mut self.tables, &path)
                && let Ok(table) = std::fs::read(&path)
            {
                self.cron.system(&self.accounts, path.as_os_str().as_encoded_bytes(), &table, now);
            }
        }
    }

    fn read_fpm_logs(&mut self, now: Moment) {
        if self.fpm_read.is_some_and(|then| now >= then && now - then < FPM_READ) {
            return;
        }
        self.fpm_read = Some(now);
        self.fpm_blind.clear();
        for (path, FpmLog { follower, log, .. }) in &mut self.fpm_logs {
            if let Err(e) = follower.read_new(FPM_BYTES, &mut |line| log.line(line, now)) {
                self.fpm_blind.push(format!("load: {}: {e}; run this as root", path.display()));
            }
            if log.is_shared() {
                let path = path.display();
                self.fpm_blind.push(format!("load: {path}: several pools write here; put $pool into its name"));
            }
        }
    }

    /// Logs of php-fpm that belong to one account.
    fn find_fpm_logs(&mut self) {
        let mut found = Vec::new();
        for place in &self.fpm_places {
            match std::fs::read_dir(place) {
                Ok(files) => found.extend(files.flatten().map(|file| file.path()).filter(|path| is_fpm_log(path))),
                Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => found.push(place.clone()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => self.blind.push(format!("load: {}: {e}; run this as root", place.display())),
            }
        }
        // Not kept: names and homes of ten thousand accounts, for a look once a minute.
        let owners = if found.is_empty() { fpm::Owners::default() } else { fpm::Owners::new(&self.accounts) };
        let owned = |path: PathBuf| owners.of(&path).map(|at| (path, at));
        let owned: HashMap<PathBuf, usize> = found.into_iter().filter_map(owned).take(FPM_LOGS_MAX).collect();
        self.fpm_logs.retain(|path, _| owned.contains_key(path));
        for (path, at) in owned {
            let entry = &self.accounts[at];
            self.fpm_logs.entry(path).or_insert_with_key(|path| FpmLog {
                // What is older than we are says nothing about now.
                follower: Follower::new(path.clone(), Start::BeforeEnd(0)),
                log: fpm::Log::new(entry, self.fpm_format.clone()),
                account: entry.account.name.clone(),
            });
        }
    }

    /// Logs that are named, and those in folders that are named: files that are called log and are no error log.
    fn find_access_logs(&mut self) {
        let mut found = Vec::new();
        for place in &self.places {
            match std::fs::read_dir(place) {
                Ok(files) => found.extend(files.flatten().map(|file| file.path()).filter(|path| is_access_log(path))),
                Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => found.push(place.clone()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => self.blind.push(format!("web: {}: {e}; run this as root", place.display())),
            }
        }
        if found.len() > self.most {
            let more = found.len() - self.most;
            let next = "raise LimitNOFILE of the service, or name fewer in [web] access_logs";
            self.blind.push(format!("web: {more} access logs are left out; {next}"));
            found.truncate(self.most);
        }
        let found: HashSet<PathBuf> = found.into_iter().collect();
        let before = ACCESS_LOG_BEFORE.min(ACCESS_LOGS_BEFORE / found.len().max(1) as u64);
        self.access_logs.retain(|path, _| found.contains(path));
        for path in found {
            let Records { web, accounts, access_logs, .. } = self;
            access_logs.entry(path).or_insert_with_key(|path| {
                let owner = web.owner_of(path);
                let uid = match &owner {
                    web::Owner::Sure(account, _) => Some(account.uid),
                    _ => None,
                };
                let uid = uid.filter(|uid| accounts.iter().any(|entry| entry.account.uid == *uid));
                let follower = Follower::new(path.clone(), Start::BeforeEnd(before));
                AccessLog { follower, log: web::Log { format: web::Format::default(), owner }, uid }
            });
        }
    }
}

/// A word for the log about who attacks; nobody's account is at fault.
pub fn tell(attacks: &[Attack]) {
    for attack in attacks {
        tracing::info!(kind = ?attack.kind, sources = ?attack.sources, "an attack from outside");
    }
}

/// Whether the file is another one than at the last look; one that was there and is gone is new too.
fn is_new(known: &mut HashMap<PathBuf, (u64, u64, i64)>, path: &Path) -> bool {
    let stamp = |m: std::fs::Metadata| (m.ino(), m.len(), m.mtime().wrapping_mul(1_000_000_000) + m.mtime_nsec());
    match std::fs::symlink_metadata(path).map(stamp) {
        Ok(now) => known.insert(path.to_owned(), now) != Some(now),
        Err(_) => known.remove(path).is_some(),
    }
}

fn is_access_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (name.ends_with(".log") || name.ends_with("_log")) && !name.contains("error") && path.is_file()
}

fn is_fpm_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let speaks = ["php", "fpm", "slow"].iter().any(|word| name.contains(word));
    let ends = [".log", "_log", ".slow", ".access"].iter().any(|end| name.ends_with(end));
    speaks && ends && !name.contains("error") && path.is_file()
}
