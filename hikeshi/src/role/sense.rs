//! The sense role's loop: sweeps processes, follows the mail log, keeps the inventory, answers looks.
//!
//! It changes nothing and asks nothing of the network. What it tells the core waits until the batch before is
//! stored, so that a slow disk slows the senses instead of filling memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use model::order::{Failure, Finding};
use model::packet::{Baseline, Cursor, FromSense, ToSense};
use model::{
    AccountEntry, AccountName, AccountRef, Check, Checked, FactKey, FactValue, Hash, Look, Measure, Moment, Outcome,
    ProcessRef, Restriction, Seen, Strength, Target, Verdict,
};
use sense::attribution::{Accounts, Attribution};
use sense::country::CountryFile;
use sense::inventory::{Fingerprint, Homes, Inventory, Sources, generations};
use sense::load::{self, Mounts, Names, Patterns};
use sense::mail::Watch;
use sense::process::{Brief, Escaped, Memory, SWEEP_EVERY, Starts, Table, judge, rescan};
use sense::reading::Understood;
use sense::snapshot::{Places, snapshot};
use sys::socket::Connection;

use crate::cli::inspect::{country_file, settings, trust};
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::{Answer, CommandError};
use crate::records::Records;
use crate::role::rights::{Rights, Users};
use crate::role::{Role, is_from, listen};

/// Load is looked at with every so many sweeps.
const LOAD_EVERY: u64 = 3;
/// How often in a demo, whose clock runs faster.
const SWEEP_TOLD: Duration = Duration::from_millis(250);
/// How often the mail log is read.
const READ: Duration = Duration::from_millis(500);
/// Most bytes of the log read in one go.
const READ_BYTES: u64 = 8 << 20;
/// How often the inventory's files are looked at.
const INVENTORY: Duration = Duration::from_secs(30);
/// How often what was learnt is stored. It changes slowly, and a crash loses no more than this.
const LEARNT: Duration = Duration::from_secs(600);
/// Most findings in one packet: each has at most 256 processes (10 KiB) and 32 facts (13 KiB).
const FINDINGS: usize = 2;
/// Sites in one packet: a site with a hundred aliases takes some 5 KiB.
const SITES: usize = 8;
/// Baselines in one packet.
const BASELINES: usize = 64;
/// Unclear things in one packet.
const UNCLEAR: usize = 100;

/// Serves the core until the process ends.
pub fn run(config: Config, clock: Clock, users: &Users, rights: &Rights) -> Answer {
    let path = config.paths.run.0.join("sense.sock");
    let listener = listen(&path, users)?;
    let starts = Starts::listen();
    rights.enter()?;
    listener.listen_again()?;
    let brief = starts.and_then(Brief::hear).map_err(|why| {
        tracing::warn!(%why, "programs that start and end between two sweeps are not seen");
        format!("processes: programs that start and end between two sweeps are not seen: {why}; run serve as root")
    });
    loop {
        let connection = listener.accept()?;
        if !is_from(&connection, users.uid(Role::Core)) {
            continue;
        }
        let (sender, orders) = channel();
        let reader = connection.try_clone()?;
        std::thread::spawn(move || hear(&reader, &sender));
        let mut senses = Senses::new(&config, clock.clone(), connection, &brief)?;
        if let Err(error) = senses.serve(&orders) {
            tracing::info!(%error, "the core is gone; waiting for it");
        }
    }
}

fn hear(connection: &Connection, orders: &Sender<ToSense>) {
    while let Ok((order, _)) = connection.recv_value() {
        if orders.send(order).is_err() {
            return;
        }
    }
}

struct Senses<'a> {
    config: &'a Config,
    clock: Clock,
    core: Connection,
    /// Programs between two sweeps, or why they are not seen.
    brief: &'a Result<Brief, String>,
    /// Homes and files of the last inventory; its accounts are in `accounts` alone.
    inventory: Option<(Homes, Fingerprint)>,
    accounts: Accounts,
    groups: Names,
    table: Option<Table>,
    sweeps: u64,
    memory: Memory,
    load: load::Watch,
    mounts: Mounts,
    mail: Option<Watch>,
    mail_understood: Understood,
    /// That the mail log is no longer understood.
    mail_fallen: Option<String>,
    records: Option<Records>,
    countries: CountryFile,
    /// What of the records cannot be read.
    unread: Vec<String>,
    cursors: HashMap<String, Cursor>,
    /// Known from before at first, later those that wait to be stored.
    baselines: Vec<Baseline>,
    learnt: Instant,
    /// Generations of names and uids that had another owner before.
    known: HashMap<(AccountName, u32), u32>,
    frozen: HashSet<ProcessRef>,
    restricted: BTreeSet<AccountName>,
    waiting: Vec<Finding>,
    batch: u64,
    stored: u64,
    told_cursor: Option<Cursor>,
    blind: Vec<String>,
}

impl<'a> Senses<'a> {
    fn new(
        config: &'a Config,
        clock: Clock,
        core: Connection,
        brief: &'a Result<Brief, String>,
    ) -> Result<Senses<'a>, CommandError> {
        core.set_send_timeout(Some(Duration::from_secs(30)))?;
        Ok(Senses {
            config,
            clock,
            core,
            brief,
            inventory: None,
            accounts: Accounts::default(),
            groups: Names::default(),
            table: None,
            sweeps: 0,
            memory: Memory::default(),
            load: load::Watch::default(),
            mounts: mounts(),
            mail: None,
            mail_understood: Understood::of_shared_log(),
            mail_fallen: None,
            records: None,
            countries: country_file(config),
            unread: Vec::new(),
            cursors: HashMap::new(),
            baselines: Vec::new(),
            learnt: Instant::now(),
            known: HashMap::new(),
            frozen: HashSet::new(),
            restricted: BTreeSet::new(),
            waiting: Vec::new(),
            batch: 0,
            stored: 0,
            told_cursor: None,
            blind: Vec::new(),
        })
    }

    fn serve(&mut self, orders: &Receiver<ToSense>) -> std::io::Result<()> {
        let early = self.learn_what_was_known(orders)?;
        self.countries.look();
        self.refresh_inventory()?;
        self.begin_mail();
        early.into_iter().try_for_each(|order| self.take(order))?;
        let mut swept = None::<Instant>;
        let mut read = None::<Instant>;
        let mut looked = Instant::now();
        let sweep = if self.clock.is_told() { SWEEP_TOLD } else { Duration::from_micros(SWEEP_EVERY.0 as u64) };
        let due = |last: Option<Instant>, pause: Duration| last.is_none_or(|then| then.elapsed() >= pause);
        loop {
            match orders.recv_timeout(sweep.min(READ) / 2) {
                Ok(order) => self.take(order)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
            if due(read, READ.min(sweep)) {
                read = Some(Instant::now());
                self.read_mail();
            }
            if due(swept, sweep) {
                swept = Some(Instant::now());
                self.read_records();
                self.sweep();
            }
            if looked.elapsed() >= INVENTORY {
                looked = Instant::now();
                self.look_at_countries();
                if !self.inventory.as_ref().is_some_and(|(_, files)| files.unchanged()) {
                    self.refresh_inventory()?;
                }
            }
            self.tell()?;
        }
    }

    /// The core says what it has stored, then lets us begin.
    fn learn_what_was_known(&mut self, orders: &Receiver<ToSense>) -> std::io::Result<Vec<ToSense>> {
        let mut early = Vec::new();
        loop {
            match orders.recv().map_err(|_| std::io::ErrorKind::UnexpectedEof)? {
                ToSense::Begin => return Ok(early),
                ToSense::Cursor(cursor) => drop(self.cursors.insert(cursor.path.clone(), cursor)),
                ToSense::Baseline(baseline) => self.baselines.push(baseline),
                ToSense::Known(account) => drop(self.known.insert((account.name, account.uid), account.generation)),
                // Who lives here is not read yet: it would be answered wrongly now.
                other => early.push(other),
            }
        }
    }

    fn begin_mail(&mut self) {
        let log = self.config.mail.log.0.to_string_lossy().into_owned();
        let cursor = self.cursors.get(&log).cloned();
        let begun = settings(self.config, trust(self.config))
            .map_err(|e| e.to_string())
            .and_then(|s| Watch::follow(&log, cursor, s, self.clock.now()).map_err(|e| format!("{log}: {e}")));
        match begun {
            Ok(mut watch) => {
                watch.set_accounts(self.accounts.entries());
                watch.set_countries(self.countries.countries());
                self.baselines.iter().for_each(|b| watch.know(b));
                self.mail = Some(watch);
            }
            Err(error) => tracing::error!(error, "the mail log is not read"),
        }
        for baseline in std::mem::take(&mut self.baselines) {
            self.load.learnt(baseline);
        }
    }

    /// Reads the inventory anew and tells the core what changed.
    fn refresh_inventory(&mut self) -> std::io::Result<()> {
        let mut fresh = read_inventory(&self.config.sources());
        for entry in &mut fresh.accounts {
            let account = &mut entry.account;
            let known = self.known.get(&(account.name.clone(), account.uid)).copied().unwrap_or(1);
            account.generation = account.generation.max(known);
        }
        if let Some((homes, _)) = &self.inventory {
            generations(self.accounts.entries(), homes, &mut fresh.accounts, &fresh.homes);
        }
        let known: HashMap<&AccountRef, &AccountEntry> =
            self.accounts.entries().iter().map(|e| (&e.account, e)).collect();
        let now: HashSet<&AccountRef> = fresh.accounts.iter().map(|e| &e.account).collect();
        for gone in known.keys().filter(|account| !now.contains(*account)) {
            self.core.send_value(&FromSense::AccountGone((*gone).clone()))?;
        }
        for entry in fresh.accounts.iter().filter(|e| known.get(&e.account).is_none_or(|k| k != e)) {
            match self.tell_account(entry) {
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                    tracing::error!(account = %entry.account, "a site has too many names for one packet; its account is left out");
                }
                told => told?,
            }
        }
        let mut unclear = std::mem::take(&mut fresh.unclear);
        if unclear.len() > UNCLEAR {
            let more = unclear.len() - UNCLEAR;
            unclear.truncate(UNCLEAR);
            let why = format!("{more} more; see to the ones above first");
            unclear.push(model::Unclear { subject: "inventory".into(), why, candidates: vec![] });
        }
        let accounts = fresh.accounts.len() as u64;
        self.core.send_value(&FromSense::InventoryEnd { accounts, unclear })?;
        let same = self.accounts.entries() == fresh.accounts;
        self.accounts = Accounts::of(fresh.accounts, &self.config.node.shared_uids);
        match &mut self.records {
            Some(_) if same => {}
            Some(records) => records.set_accounts(self.accounts.shared()),
            None => {
                let own = &self.config.node.host_addresses;
                let mut records = Records::new(self.config, self.accounts.shared(), own);
                records.set_countries(self.config, self.countries.countries());
                self.records = Some(records);
            }
        }
        self.groups = Patterns::default().names(self.accounts.entries());
        if let Ok(brief) = self.brief {
            brief.watch(self.accounts.tenant_uids());
        }
        if let Some(watch) = &mut self.mail {
            watch.set_accounts(self.accounts.entries());
        }
        self.inventory = Some((fresh.homes, fresh.fingerprint));
        Ok(())
    }

    /// Another database of countries is used from now on; what was judged by the one before stays.
    fn look_at_countries(&mut self) {
        if !self.countries.look() {
            return;
        }
        if let Some(watch) = &mut self.mail {
            watch.set_countries(self.countries.countries());
        }
        if let Some(records) = &mut self.records {
            records.set_countries(self.config, self.countries.countries());
        }
    }

    /// One account, its sites in as many packets as they need.
    fn tell_account(&self, entry: &AccountEntry) -> std::io::Result<()> {
        let mut chunks = entry.sites.chunks(SITES);
        let first = chunks.next().unwrap_or_default().to_vec();
        let more = chunks.len() > 0;
        self.core.send_value(&FromSense::Account { entry: AccountEntry { sites: first, ..entry.clone() }, more })?;
        while let Some(sites) = chunks.next() {
            self.core.send_value(&FromSense::Sites { sites: sites.to_vec(), more: chunks.len() > 0 })?;
        }
        Ok(())
    }

    fn read_mail(&mut self) {
        let now = self.clock.now();
        let Some(watch) = &mut self.mail else { return };
        if let Err(error) = watch.poll(now, READ_BYTES) {
            tracing::warn!(%error, "the mail log cannot be read now");
        }
        let (counts, _) = watch.counts();
        let good = counts.lines - counts.dropped - counts.other;
        self.mail_fallen = self.mail_understood.note(counts.lines, good).map(|why| format!("mail: {why}"));
        for finding in watch.news(now) {
            keep(&mut self.waiting, finding);
        }
    }

    fn read_records(&mut self) {
        let Some(records) = &mut self.records else { return };
        let reading = records.poll(self.clock.now());
        crate::records::tell(&reading.attacks);
        self.unread = reading.blind;
        for finding in reading.findings {
            keep(&mut self.waiting, finding);
        }
    }

    fn sweep(&mut self) {
        let real = crate::clock::system_now();
        let accounts = &self.accounts;
        let tenant = |uid| accounts.is_tenant(uid);
        let mut table = match Table::sweep(Path::new("/proc"), self.table.take(), real, &tenant) {
            Ok(table) => table,
            Err(error) => {
                tracing::error!(%error, "the processes cannot be read");
                return;
            }
        };
        let blind = add_brief(self.brief, &mut table);
        // What began when is told in the time by which decisions are made.
        let judgement = judge(&table, accounts, real, &mut self.memory);
        let frozen = &self.frozen;
        let mut foreign = BTreeSet::new();
        for mut finding in judgement.findings {
            if finding.signal.strength > Strength::Hint
                && let Target::Processes(processes) = &finding.signal.target
            {
                foreign.extend(processes.iter().map(|p| (p.pid, p.start_ticks)));
            }
            retell(&self.clock, &mut finding);
            if let Target::Processes(processes) = &mut finding.signal.target {
                processes.retain(|p| !frozen.contains(p));
                if processes.is_empty() {
                    continue;
                }
            }
            keep(&mut self.waiting, finding);
        }
        for stray in judgement.unattributed {
            tracing::debug!(uid = stray.uid, kind = ?stray.kind, "a suspicious process of a shared uid that no account can be blamed for");
        }
        self.blind = [table.blind_lines(), blind, self.unread.clone()].concat();
        self.blind.extend(self.mail_fallen.clone());
        self.blind.extend(self.countries.blind());
        self.sweeps += 1;
        // Load is a matter of minutes: with 10,000 accounts each look costs as much as a sweep.
        if self.sweeps % LOAD_EVERY != 1 {
            self.table = Some(table);
            return;
        }
        let now = self.clock.now();
        let look = load::Look {
            table: &table,
            who: accounts,
            accounts: accounts.entries(),
            uses: &self.mounts.read(&self.groups, accounts.entries()),
            deep: &load::Node { mounts: &self.mounts, proc_root: Path::new("/proc") },
            requests: &self.requests_now(),
            slow: &self.records.as_mut().map(|records| records.slow(now)).unwrap_or_default(),
            crawled: &self.records.as_ref().map(Records::crawled).unwrap_or_default(),
            foreign: &foreign,
            restricted: &self.restricted,
            room: room(),
            now: real,
        };
        for mut finding in self.load.observe(&look) {
            retell(&self.clock, &mut finding);
            keep(&mut self.waiting, finding);
        }
        self.table = Some(table);
    }

    /// Requests per second of each account in the last minute; nothing where no access log is read.
    fn requests_now(&self) -> BTreeMap<AccountName, f64> {
        let now = self.clock.now();
        let Some(records) = &self.records else { return BTreeMap::new() };
        let rate = |entry: &AccountEntry| {
            let rate = records.requests.per_second(entry.account.uid, 6, now)?;
            Some((entry.account.name.clone(), rate))
        };
        self.accounts.entries().iter().filter_map(rate).collect()
    }

    /// One batch at a time: the next one when the core has stored the last.
    fn tell(&mut self) -> std::io::Result<()> {
        if self.batch != self.stored {
            return Ok(());
        }
        let cursor = self.mail.as_ref().and_then(|w| w.cursor(self.clock.now()));
        self.baselines.extend(self.mail.iter_mut().flat_map(Watch::take_baselines));
        if self.learnt.elapsed() >= LEARNT {
            self.learnt = Instant::now();
            self.baselines.extend(self.load.changed());
        }
        let baselines = self.baselines.split_off(self.baselines.len().saturating_sub(BASELINES));
        let more = self.waiting.len().min(FINDINGS);
        let findings: Vec<Finding> = self.waiting.drain(..more).collect();
        let last = self.waiting.is_empty();
        let moved = cursor.is_some() && cursor != self.told_cursor && last;
        if findings.is_empty() && baselines.is_empty() && !moved {
            return Ok(());
        }
        // The place in the log moves only with the last finding that was read before it.
        let cursors = if moved { cursor.iter().cloned().collect() } else { Vec::new() };
        if moved {
            self.told_cursor = cursor;
        }
        self.batch += 1;
        self.core.send_value(&FromSense::Batch { batch: self.batch, findings, cursors, baselines })?;
        self.core.send_value(&FromSense::Blind(self.blind.clone()))
    }

    fn take(&mut self, order: ToSense) -> std::io::Result<()> {
        match order {
            ToSense::Stored(batch) => self.stored = self.stored.max(batch),
            ToSense::Frozen(processes) => self.frozen = processes.into_iter().collect(),
            ToSense::Restricted(accounts) => self.restricted = accounts.into_iter().collect(),
            ToSense::Look { intent, account, look, evidence } => {
                let (seen, capture) = self.look(&account, look, &evidence);
                let outcome = Outcome { intent, seen };
                self.core.send_value(&FromSense::Looked { outcome, capture })?;
            }
            ToSense::Cursor(_) | ToSense::Baseline(_) | ToSense::Known(_) | ToSense::Begin => {}
        }
        Ok(())
    }

    fn look(&mut self, account: &AccountRef, look: Look, evidence: &[model::Evidence]) -> (Seen, Option<Vec<u8>>) {
        let failed = |why: String| (Seen::Failed(Failure::Error(why)), None);
        match look {
            Look::Capture { measure, .. } => {
                let processes = match measure {
                    Measure::FreezeProcess { processes } => processes,
                    _ => Vec::new(),
                };
                let places = Places {
                    proc_root: Path::new("/proc"),
                    cron_spool: Path::new(crate::config::CRON_SPOOL),
                    mail_log: Some(&self.config.mail.log.0),
                };
                match snapshot(places, account, &processes) {
                    Ok(bytes) => (Seen::Captured(Hash::of(&bytes)), Some(bytes)),
                    Err(error) => failed(format!("the processes cannot be read: {error}")),
                }
            }
            Look::Rescan { since, restrictions, .. } => {
                let entry = self.accounts.entries().iter().find(|e| e.account == *account);
                let Some(entry) = entry.cloned() else {
                    return failed("the account is no longer in the inventory".into());
                };
                let mut checked = self.processes_now(&entry, &restrictions, evidence);
                self.read_mail();
                if let Some(watch) = &self.mail {
                    checked.push(watch.checked(account, since, self.clock.now()));
                }
                self.read_records();
                let now = self.clock.now();
                checked.extend(self.records.iter_mut().flat_map(|records| records.checked(account, since, now)));
                checked.push(self.load_now(account));
                (Seen::Rescanned(checked), None)
            }
            Look::Probe { .. } => failed("not a look for the senses".into()),
        }
    }

    /// Load against what is usual; without a history nothing can be said.
    fn load_now(&self, account: &AccountRef) -> Checked {
        let verdict = match self.load.is_usual(&account.name) {
            Some(true) => Verdict::Clean { count: 1 },
            Some(false) => Verdict::Found { place: "CPU".to_owned() },
            None => Verdict::NotChecked { why: "no_baseline".to_owned() },
        };
        Checked { check: Check::Load, at: self.clock.now(), verdict }
    }

    fn processes_now(
        &self,
        entry: &AccountEntry,
        restrictions: &[Restriction],
        evidence: &[model::Evidence],
    ) -> Vec<Checked> {
        let real = crate::clock::system_now();
        let tenant = |uid| self.accounts.is_tenant(uid);
        // A verification looks anew, not at what the last sweep kept.
        match Table::sweep(Path::new("/proc"), None, real, &tenant) {
            Ok(table) => {
                let now: Moment = self.clock.now();
                let mut checked = rescan(&table, &self.accounts, entry, restrictions, evidence, Path::new("/"), real);
                checked.iter_mut().for_each(|c| c.at = now);
                checked
            }
            Err(error) => {
                tracing::error!(%error, "the processes cannot be read");
                let verdict = Verdict::NotChecked { why: "no_rights".to_owned() };
                vec![Checked { check: Check::Processes, at: self.clock.now(), verdict }]
            }
        }
    }
}

/// Reading a big node's configuration takes several times the memory of what is kept of it. A thread has a heap of
/// its own: what is kept is copied out of it, in one piece and without spare room, and the rest goes back.
fn read_inventory(sources: &Sources) -> Inventory {
    let read = std::thread::scope(|scope| scope.spawn(|| Inventory::read(sources)).join());
    let read = read.expect("a panic ends this role before");
    let fresh = read.clone();
    drop(read);
    sys::process::give_back_memory();
    fresh
}

/// Programs that started and ended since the last sweep, and a word about those that escaped.
fn add_brief(brief: &Result<Brief, String>, table: &mut Table) -> Vec<String> {
    let brief = match brief {
        Ok(brief) => brief,
        Err(why) => return vec![why.clone()],
    };
    let (ended, Escaped { gone, dropped, deaf }) = brief.take();
    table.add_ended(ended);
    if gone > 0 {
        tracing::debug!(gone, "programs ended before they could be read");
    }
    let dropped = (dropped > 0).then(|| {
        format!("processes: {dropped} starts of programs were dropped since the last sweep: too many at once")
    });
    let deaf = deaf.map(|why| format!("processes: starts of programs are not heard any more: {why}; restart serve"));
    dropped.into_iter().chain(deaf).collect()
}

/// Keeps a finding until it is told: the latest of each, so that waiting for the core costs no memory.
fn keep(waiting: &mut Vec<Finding>, finding: Finding) {
    waiting.retain(|f| f.signal.fingerprint != finding.signal.fingerprint);
    waiting.push(finding);
}

/// The kernel tells real times; where a story tells the time, a finding speaks of the story's.
fn retell(clock: &Clock, finding: &mut Finding) {
    if !clock.is_told() {
        return;
    }
    finding.signal.at = clock.now();
    finding.signal.since = clock.of(finding.signal.since);
    for (key, value) in &mut finding.evidence.0 {
        if let (FactKey::Started, FactValue::Text(text)) = (key, value)
            && let Some(real) = Moment::parse(text)
        {
            *text = clock.of(real).to_string();
        }
    }
    finding.signal.evidence = Hash::of(&serde_json::to_vec(&finding.evidence).unwrap_or_default());
}

/// What the node has, and how long its tasks waited.
fn room() -> load::Room {
    let waited = |what: &str| {
        std::fs::read_to_string(Path::new("/proc/pressure").join(what)).ok().and_then(|text| load::pressure(&text))
    };
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    load::Room {
        cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_mib: total.and_then(|kib| kib.trim().parse::<f64>().ok()).map(|kib| kib / 1024.0),
        cpu_pressure: waited("cpu"),
        memory_pressure: waited("memory"),
        io_pressure: waited("io"),
    }
}

/// Where this node's control groups are; none where they cannot be found.
fn mounts() -> Mounts {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Mounts::find(&table, Path::new("/"))
}
