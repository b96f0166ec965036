//! Crontabs, login logs and access logs of the live node, for one look or for as long as the senses run.
//!
//! What is known of them is kept in memory alone: at each start the end of each log is read again, so that places and
//! scripts which are usual are known before anything new is judged by them. When accounts change, what is known of the
//! others is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::order::Finding;
use model::{
    AccountEntry, AccountName, AccountRef, Check, Checked, Class, FactKey, Hash, Kind, Moment, Span, Strength, Verdict,
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
/// What stands in a crontab is judged and told again this often, though nothing changed: what was ordered may have been
/// refused.
const AGAIN: Span = Span::hours(1);
/// Jobs of at(1) that are known.
const JOBS_MAX: usize = 4096;
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
/// Tables of which each line names its user; only root writes there.
const CRON_FILES: &str = "/etc/cron.d";
/// Files of it that are read.
const SYSTEM_TABLES_MAX: usize = 1000;

/// What is read, and where in it we are.
pub struct Records {
    accounts: Arc<[AccountEntry]>,
    cron: cron::Watch,
    /// Inode, length and time of change of each table as it was judged.
    tables: HashMap<PathBuf, (u64, u64, i64)>,
    /// Jobs of at(1) that were judged.
    jobs: HashSet<(u32, Hash)>,
    /// When all tables and jobs were judged, changed or not.
    judged: Option<Moment>,
    /// The node's own addresses.
    own: Vec<IpAddr>,
    /// Where crontabs lie, and files of which each line names its user.
    spool: PathBuf,
    system: PathBuf,
    logins: Vec<LoginLogs>,
    web: web::Watch,
    /// Requests by account, for load.
    pub requests: Requests,
    access_logs: HashMap<PathBuf, AccessLog>,
    places: Vec<PathBuf>,
    /// Some access logs could not be found or are too many.
    left_out: bool,
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
    /// All of them are read to their end without a gap since then.
    whole_since: Option<Moment>,
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
    /// The first line that was read, or when the end was reached before there was one.
    from: Option<Moment>,
    /// It is open, and read to its end.
    whole: bool,
    /// Inode, length and time of change when it was read last: most logs are quiet most of the time.
    seen: Option<(u64, u64, i64)>,
}

impl AccessLog {
    /// Whether every line since then was read.
    fn covers(&self, since: Moment) -> bool {
        self.whole && self.from.is_some_and(|from| from <= since)
    }
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
                never: config.net.never.clone(),
                zone: zone(),
                trust,
            }),
            lines: 0,
            dropped: 0,
            understood: Understood::of_own_log(),
            whole_since: None,
        };
        // What goes through syslog can be written by every tenant; FTP servers write their own files as root.
        let syslog = of(config.login.logs.iter().chain([&config.mail.log]).map(follow).collect(), trust(config));
        let guarded = of(config.login.guarded_logs.iter().map(follow).collect(), Trust::Guarded);
        let mut requests = Requests::default();
        requests.set_accounts(&accounts);
        Records {
            cron: cron::Watch::new(cron::Settings { own: own.clone() }),
            tables: HashMap::new(),
            jobs: HashSet::new(),
            judged: None,
            logins: vec![syslog, guarded],
            web: web::Watch::new(web::Settings {
                accounts: accounts.clone(),
                own: own.clone(),
                never: config.net.never.clone(),
            }),
            own,
            spool: PathBuf::from(CRON_SPOOL),
            system: PathBuf::from(CRON_FILES),
            requests,
            access_logs: HashMap::new(),
            places: config.web.access_logs.iter().map(|path| path.0.clone()).collect(),
            left_out: false,
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

    /// The accounts as they are now. What is known of those that go on as they were is kept: nobody makes the node
    /// forget by changing his own sites.
    pub fn set_accounts(&mut self, accounts: Arc<[AccountEntry]>) {
        let known: HashMap<&AccountRef, &AccountEntry> = self.accounts.iter().map(|e| (&e.account, e)).collect();
        let now: HashSet<&AccountRef> = accounts.iter().map(|e| &e.account).collect();
        let changed: Vec<AccountEntry> =
            accounts.iter().filter(|entry| known.get(&entry.account) != Some(entry)).cloned().collect();
        let gone: Vec<AccountRef> = known.keys().filter(|a| !now.contains(*a)).map(|a| (*a).clone()).collect();
        for name in changed.iter().map(|entry| &entry.account.name).chain(gone.iter().map(|account| &account.name)) {
            self.tables.remove(&self.spool.join(name.as_str()));
        }
        // Lines of files that name users, and jobs, may be somebody's now.
        self.tables.retain(|path, _| path.starts_with(&self.spool));
        self.jobs.clear();
        for account in &gone {
            self.last.retain(|(name, _), _| *name != account.name);
            self.cron.forget(&account.name);
        }
        self.logins.iter_mut().for_each(|logs| logs.watch.set_accounts(accounts.clone()));
        self.web.set_accounts(accounts.clone());
        self.requests.set_accounts(&accounts);
        self.accounts = accounts;
        let places = web::place::Places::new(changed.iter().cloned().collect());
        let concerned: HashSet<&AccountRef> = changed.iter().map(|entry| &entry.account).chain(&gone).collect();
        for (path, known) in &mut self.access_logs {
            let before = matches!(&known.log.owner, web::Owner::Sure(account, _) if concerned.contains(account));
            if !before && places.owner_of(path) == web::Owner::Lines {
                continue;
            }
            let (owner, uid) = owner_of(&self.web, path);
            if owner != known.log.owner {
                // What stood in it before was not read as this owner's.
                (known.log.owner, known.uid, known.from) = (owner, uid, None);
            }
        }
        self.looked = None;
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
        let mut last: Vec<(AccountName, Class, Moment, String)> = Vec::new();
        for LoginLogs { logs, watch, lines, dropped, understood, whole_since } in &mut self.logins {
            let mut whole = true;
            for (path, follower) in logs.iter_mut() {
                match follower.read_new(READ_BYTES, &mut |line| watch.line(line, now)) {
                    Ok(progress) => whole &= progress.caught_up,
                    Err(e) => {
                        whole = false;
                        reading.blind.push(format!("logins: {}: {e}; run this as root", path.display()));
                    }
                }
            }
            whole &= logs.iter().any(|(_, log)| log.cursor().is_some());
            *whole_since = whole.then(|| whole_since.unwrap_or(now));
            let news = watch.news(now);
            // Whoever can write a line into a log must not keep an owner's verification from passing with it.
            let counts = |f: &&Finding| match watch.trust() {
                Trust::Guarded => f.signal.strength > Strength::Hint && f.signal.kind != Kind::NewPlace,
                Trust::Forgeable => f.signal.strength == Strength::Conclusive,
            };
            last.extend(news.findings.iter().filter(counts).map(found));
            (*lines, *dropped) = (*lines + news.lines, *dropped + news.dropped);
            let names: Vec<String> = logs.iter().map(|(path, _)| path.display().to_string()).collect();
            let fallen = understood.note(*lines, *lines - *dropped);
            reading.join(news);
            reading.blind.extend(fallen.map(|why| format!("logins: {}: {why}", names.join(", "))));
        }
        for (path, AccessLog { follower, log, uid, from, whole, seen }) in &mut self.access_logs {
            let is = std::fs::metadata(path).ok().map(|meta| stamp(&meta));
            if *whole && is.is_some() && *seen == is {
                continue;
            }
            *seen = is;
            let (web, requests) = (&mut self.web, &mut self.requests);
            web.begin(log.clone());
            let mut line = |line: &[u8]| {
                let at = web.line_at(line, now);
                *from = from.or(at);
                requests.line(line, &log.format, *uid, now);
            };
            let read = follower.read_new(READ_BYTES, &mut line);
            *whole = read.as_ref().is_ok_and(|progress| progress.caught_up) && follower.cursor().is_some();
            if *whole {
                from.get_or_insert(now);
            }
            if let Err(e) = read {
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
        for Finding { signal, evidence } in reading.findings.iter().filter(|f| f.signal.kind == Kind::Crawling) {
            let addresses = evidence.get(FactKey::Addresses).map(ToString::to_string).unwrap_or_default();
            self.crawled.insert(signal.account.name.clone(), (now, addresses));
        }
        // Scripts are asked for anew by a verification.
        let entered = |f: &&Finding| f.signal.kind == Kind::GuessedSiteLogin && f.signal.strength > Strength::Hint;
        last.extend(reading.findings.iter().filter(entered).map(found));
        for (account, class, at, place) in last {
            let known = self.last.entry((account, class)).or_insert_with(|| (at, place.clone()));
            if at >= known.0 {
                *known = (at, place);
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

    /// The part of a verification that these records answer: what was seen of this account since then.
    ///
    /// Nothing is clean by a log that was not read: of somebody else, not to its end, or only from later on.
    pub fn checked(&mut self, account: &AccountRef, since: Moment, now: Moment) -> Vec<Checked> {
        let entry = self.accounts.iter().find(|entry| entry.account == *account).cloned();
        let last = |class| self.last.get(&(account.name.clone(), class)).filter(|(at, _)| *at > since);
        let verdict = |found: Option<String>, count: Option<u64>| match (found, count) {
            (Some(place), _) => Verdict::Found { place },
            (None, Some(count)) => Verdict::Clean { count },
            (None, None) => Verdict::NotChecked { why: "no_log".to_owned() },
        };
        let found = |class| last(class).map(|(_, place)| place.clone());
        let logins = entry.as_ref().and_then(|_| self.logins_since(account, since));
        let seen = self.web.seen(account, since);
        let requests = self.covers_requests(account, &seen, since).then_some(seen.requests);
        let checks = [
            (Check::Logins, verdict(found(Class::Login), logins)),
            (Check::Requests, verdict(seen.found.or_else(|| found(Class::Web)), requests)),
            (Check::Cron, self.cron_now(entry.as_ref(), now)),
        ];
        checks.into_iter().map(|(check, verdict)| Checked { check, at: now, verdict }).collect()
    }

    /// How many logins of the account were read, when all of them since then were.
    fn logins_since(&self, account: &AccountRef, since: Moment) -> Option<u64> {
        let mut count = None;
        for logs in &self.logins {
            if logs.logs.iter().all(|(_, log)| log.cursor().is_none()) {
                continue; // there are no such logs
            }
            let whole = logs.whole_since?;
            let covered = logs.watch.covered(&account.name);
            if covered.iter().any(|c| whole.min(c.from) > since) || covered.is_empty() && whole > since {
                return None;
            }
            *count.get_or_insert(0) += covered.iter().map(|c| c.logins).sum::<u64>();
        }
        count
    }

    /// Whether each log that can hold lines of this account was read since then, and there is one.
    fn covers_requests(&self, account: &AccountRef, seen: &web::Seen, since: Moment) -> bool {
        let concerns = |log: &AccessLog| match &log.log.owner {
            web::Owner::Sure(owner, _) => owner == account,
            web::Owner::Lines | web::Owner::Otherwise(_) => seen.named,
        };
        let mut logs = self.access_logs.values().filter(|log| concerns(log)).peekable();
        !self.left_out && logs.peek().is_some() && logs.all(|log| log.covers(since))
    }

    /// What is scheduled for the account now: its crontab, its jobs of at(1), its lines in files that only root writes.
    fn cron_now(&self, entry: Option<&AccountEntry>, now: Moment) -> Verdict {
        let not_checked = |why: &str| Verdict::NotChecked { why: why.to_owned() };
        let Some(entry) = entry else { return not_checked("no_log") };
        let Ok(table) = cron::spooled(&self.spool, &entry.account.name) else { return not_checked("no_rights") };
        let mut watch = cron::Watch::new(cron::Settings { own: self.own.clone() });
        watch.table(entry, &table.unwrap_or_default(), now);
        let waiting = cron::waiting(&self.spool.with_file_name("atjobs")).unwrap_or_default();
        for (_, job) in waiting.jobs.iter().filter(|(uid, _)| *uid == entry.account.uid) {
            watch.job(entry, job, now);
        }
        let mut reading = watch.news(now);
        let count = reading.lines;
        for path in system_tables(&self.system) {
            if let Ok(table) = std::fs::read(&path) {
                watch.system(std::slice::from_ref(entry), path.as_os_str().as_encoded_bytes(), &table, now);
            }
        }
        reading.join(watch.news(now));
        let bad = reading.findings.iter().find(|f| f.signal.strength > Strength::Hint);
        match bad {
            Some(bad) => Verdict::Found { place: found(bad).3 },
            None if waiting.missed > 0 => not_checked("no_rights"),
            None => Verdict::Clean { count },
        }
    }

    /// Tables of the spool, jobs of at, files of cron.d: those that changed since they were judged.
    fn read_tables(&mut self, now: Moment) {
        let spool = self.spool.clone();
        if let Err(e) = std::fs::read_dir(&spool) {
            let place = spool.display();
            self.blind.push(format!("cron: {place}: {e}; run this as root, or give a copy by --crontab"));
            return;
        }
        let again = self.judged.is_none_or(|then| now - then >= AGAIN || now < then);
        if again {
            self.judged = Some(now);
            self.jobs.clear();
        }
        for entry in self.accounts.iter() {
            let path = spool.join(entry.account.name.as_str());
            if !is_new(&mut self.tables, &path) && !again {
                continue;
            }
            match cron::spooled(&spool, &entry.account.name) {
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
            if let Some(entry) = self.accounts.iter().find(|entry| entry.account.uid == uid)
                && self.jobs.len() < JOBS_MAX
                && self.jobs.insert((uid, Hash::of(&job)))
            {
                self.cron.job(entry, &job, now);
            }
        }
        if waiting.missed > 0 {
            self.blind.push(format!("cron: {} jobs of at could not be read; run this as root", waiting.missed));
        }
        for path in system_tables(&self.system) {
            // Only root writes there; what is too large is said by the watch.
            if (is_new(&mut self.tables, &path) || again)
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
        self.left_out = false;
        for place in &self.places {
            match std::fs::read_dir(place) {
                Ok(files) => found.extend(files.flatten().map(|file| file.path()).filter(|path| is_access_log(path))),
                Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => found.push(place.clone()),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => {
                    self.left_out = true;
                    self.blind.push(format!("web: {}: {e}; run this as root", place.display()));
                }
            }
        }
        if found.len() > self.most {
            let more = found.len() - self.most;
            self.left_out = true;
            let next = "raise LimitNOFILE of the service, or name fewer in [web] access_logs";
            self.blind.push(format!("web: {more} access logs are left out; {next}"));
            found.truncate(self.most);
        }
        let found: HashSet<PathBuf> = found.into_iter().collect();
        let before = ACCESS_LOG_BEFORE.min(ACCESS_LOGS_BEFORE / found.len().max(1) as u64);
        self.access_logs.retain(|path, _| found.contains(path));
        for path in found {
            let Records { web, access_logs, .. } = self;
            access_logs.entry(path).or_insert_with_key(|path| {
                let (owner, uid) = owner_of(web, path);
                let follower = Follower::new(path.clone(), Start::BeforeEnd(before));
                let log = web::Log { format: web::Format::default(), owner };
                AccessLog { follower, log, uid, from: None, whole: false, seen: None }
            });
        }
    }
}

/// Whose a log is, and the uid when all of it is one account's.
fn owner_of(web: &web::Watch, path: &Path) -> (web::Owner, Option<u32>) {
    let owner = web.owner_of(path);
    let uid = match &owner {
        web::Owner::Sure(account, _) => Some(account.uid),
        _ => None,
    };
    (owner, uid)
}

/// Account and class of a finding, when it was, and where.
fn found(finding: &Finding) -> (AccountName, Class, Moment, String) {
    let Finding { signal, evidence } = finding;
    let place = [FactKey::Script, FactKey::Line, FactKey::Service].into_iter().find_map(|k| evidence.get(k));
    let place = place.map(ToString::to_string).unwrap_or_default();
    (signal.account.name.clone(), signal.class(), signal.at, place)
}

/// The files of cron.d, at most [`SYSTEM_TABLES_MAX`].
fn system_tables(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.take(SYSTEM_TABLES_MAX).map(|file| file.path())
}

/// A word for the log about who attacks; nobody's account is at fault.
pub fn tell(attacks: &[Attack]) {
    for attack in attacks {
        tracing::info!(kind = ?attack.kind, sources = ?attack.sources, "an attack from outside");
    }
}

/// Whether the file is another one than at the last look; one that was there and is gone is new too.
fn is_new(known: &mut HashMap<PathBuf, (u64, u64, i64)>, path: &Path) -> bool {
    match std::fs::symlink_metadata(path).ok().map(|meta| stamp(&meta)) {
        Some(now) => known.insert(path.to_owned(), now) != Some(now),
        None => known.remove(path).is_some(),
    }
}

/// Inode, length and time of change.
fn stamp(meta: &std::fs::Metadata) -> (u64, u64, i64) {
    (meta.ino(), meta.len(), meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec()))
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

#[cfg(test)]
mod tests;
