//! The core's loop: one queue, one thread that decides; everything else only brings and takes packets.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use engine::Account;
use model::packet::{FromAct, FromCore, FromDesk, FromSense, PassKey, ToAct, ToCore, ToSense};
use model::{
    AccountEntry, AccountRef, Body, BodyKind, Input, IntentId, Mode, Operator, Order, Outcome, Owner, Seen, Span,
};
use store::{Store, StoreError};
use sys::socket::{Connection, Listener};

use super::{Core, Lines};
use crate::clock::{Clock, Steady};
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};
use crate::link::{Heard, Line, Sent};
use crate::role::Role;
use crate::role::rights::{Rights, User, Users};
use crate::role::serve::make_folder;

/// Evidence and letters are kept so long after they were made, at the most (design: 42 days of watch, then 30).
pub const EVIDENCE_KEPT: Span = Span::days(90);
/// How often decided and real are compared.
const RECONCILE: Duration = Duration::from_secs(30);
/// An `act` that does not answer for so long is shown.
const SILENCE: Duration = Duration::from_secs(120);
/// Time between two searches for what no restriction wants, on all accounts.
const SEARCH: Duration = Duration::from_secs(600);
/// How often time passes when nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// Frozen processes in one packet.
const FROZEN_TOLD: usize = 1000;
/// How long a command may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Accounts of the inventory in one commit: each alone would cost a first start of 10,000 accounts as many syncs.
const ACCOUNTS: usize = 256;
/// How often expired bodies are deleted.
const EXPIRE: Duration = Duration::from_secs(3600);

/// One entry of the core's queue.
pub enum Heap {
    Act(Heard<FromAct>),
    Sense(Heard<FromSense>),
    Desk(Heard<FromDesk>),
    Asked(ToCore, Connection),
}

/// Runs the core until its queue ends. `run` is the folder of the role sockets.
pub fn run(config: Config, clock: Clock, users: &Users, rights: &Rights) -> Answer {
    let run = config.paths.run.0.clone();
    let folder = config.paths.state.0.join("core");
    make_folder(&folder, 0o700)?;
    if users.start == 0 {
        let user = users.user(Role::Core).unwrap_or(User { uid: 0, gid: 0 });
        sys::dir::give(&folder, user.uid, user.gid).map_err(|e| {
            CommandError::failure(format!(
                "{} cannot be given to the core: {e}; look at what is in it",
                folder.display()
            ))
        })?;
    }
    let path = run.join("core.sock");
    let listener = Listener::bind(&path, 0o600).map_err(|e| {
        CommandError::failure(format!("cannot listen at {}: {e}; is another `hikeshi serve` running?", path.display()))
    })?;
    rights.enter()?;
    let store = Store::open(config.store()).map_err(store_failed)?;
    let (sender, queue) = sync_channel(256);
    let lines = Lines {
        act: Line::open(run.join("act.sock"), users.uid(Role::Act), sender.clone(), Heap::Act),
        sense: Line::open(run.join("sense.sock"), users.uid(Role::Sense), sender.clone(), Heap::Sense),
        desk: Line::open(run.join("desk.sock"), users.uid(Role::Desk), sender.clone(), Heap::Desk),
    };
    let mut core = Core::begin(store, config, clock, lines, users.start == 0).map_err(store_failed)?;
    hear_commands(listener, users.start, sender);
    core.serve(queue)
}

fn store_failed(error: StoreError) -> CommandError {
    CommandError::failure(error.to_string())
}

/// Accepts commands of the uid that started us, one packet and its answer a connection.
fn hear_commands(listener: Listener, uid: u32, queue: SyncSender<Heap>) {
    std::thread::spawn(move || {
        loop {
            let connection = match listener.accept() {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a command could not connect");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            if !crate::role::is_from(&connection, uid) || connection.set_recv_timeout(Some(PATIENCE)).is_err() {
                continue;
            }
            match connection.recv_value::<ToCore>() {
                Ok((asked, _)) => {
                    if queue.send(Heap::Asked(asked, connection)).is_err() {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "a command said nothing that can be understood"),
            }
        }
    });
}

impl Core {
    /// Rebuilds everything from the store.
    fn begin(store: Store, config: Config, clock: Clock, lines: Lines, root: bool) -> Result<Core, StoreError> {
        let started = clock.now();
        let mut policy = config.policy();
        if !root && !clock.is_told() && policy.mode != Mode::Observe {
            tracing::warn!("without root nothing can be done: observing, whatever the configuration says");
            policy.mode = Mode::Observe;
        }
        let mut core = Core {
            store,
            config,
            armed: policy.mode,
            policy,
            clock,
            lines,
            accounts: Default::default(),
            outbox: Default::default(),
            blind: Vec::new(),
            unclear: Vec::new(),
            known_accounts: 0,
            real: Vec::new(),
            asked: Default::default(),
            questions: 0,
            refused: Default::default(),
            strays: Vec::new(),
            loose: Vec::new(),
            listing: None,
            partial: None,
            started,
        };
        for row in core.store.pending()? {
            let since = core.event_time(row.intent.id)?.unwrap_or(row.next_at);
            let pending =
                super::Pending { intent: row.intent, since, tries: row.tries, next_at: row.next_at, sent: None };
            core.outbox.insert(pending.intent.id, pending);
        }
        for incident in core.store.incidents(10_000)? {
            core.account(&incident.account)?;
        }
        core.forget_idle();
        core.known_accounts = core.store.accounts_known()?;
        Ok(core)
    }

    /// When the event at this place in the log happened.
    fn event_time(&self, id: IntentId) -> Result<Option<model::Moment>, StoreError> {
        Ok(self.store.event_range(id.0.saturating_sub(1), 1)?.first().map(|stored| stored.event.at))
    }

    fn serve(&mut self, queue: Receiver<Heap>) -> Answer {
        let mut ticked = Instant::now();
        let mut reconciled = Instant::now();
        let mut searched = reconciled;
        let mut expired = Instant::now();
        let mut steady = Steady::begin(self.clock.now());
        let mut paused_until = ticked;
        let mut next = None;
        loop {
            let pace = if self.clock.is_told() { Duration::from_millis(50) } else { TICK };
            let heard = match next.take().map_or_else(|| queue.recv_timeout(pace), Ok) {
                Ok(Heap::Sense(Heard::Said(said @ (FromSense::Account { .. } | FromSense::Sites { .. })))) => {
                    let mut entries: Vec<AccountEntry> = self.assemble(said).into_iter().collect();
                    while entries.len() < ACCOUNTS && next.is_none() {
                        match queue.try_recv() {
                            Ok(Heap::Sense(Heard::Said(
                                said @ (FromSense::Account { .. } | FromSense::Sites { .. }),
                            ))) => entries.extend(self.assemble(said)),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.inventory(entries)
                }
                Ok(entry) => self.take(entry),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Ok),
            };
            heard
                .and_then(|()| {
                    if ticked.elapsed() >= pace {
                        ticked = Instant::now();
                        if let Some(step) = steady.step(self.clock.now(), ticked).filter(|_| !self.clock.is_told()) {
                            let pause = Duration::from_micros(self.policy.stage.0.max(0) as u64);
                            tracing::error!(
                                seconds = step.whole_secs(),
                                "the clock was set; timed releases wait {pause:?} more"
                            );
                            paused_until = ticked + pause;
                            // Nothing is deleted by a clock that may be wrong; a day is time to set it right.
                            expired = ticked + Duration::from_secs(86_400);
                        }
                        if ticked >= paused_until {
                            self.tick()?;
                        }
                    }
                    if reconciled.elapsed() >= RECONCILE {
                        reconciled = Instant::now();
                        // One at a time: act answers orders meanwhile, not a heap of lists.
                        if self.listing.is_none() {
                            self.list();
                        }
                    }
                    if searched.elapsed() >= SEARCH {
                        searched = Instant::now();
                        self.refused.clear(); // what could not be repaired is tried again
                        self.lines.act.send(&ToAct::Strays);
                    }
                    if Instant::now().saturating_duration_since(expired) >= EXPIRE {
                        expired = Instant::now();
                        self.store.bodies_expire(self.clock.now())?;
                        self.forget_idle();
                    }
                    self.dispatch()
                })
                // Whatever the disk did, memory may be ahead of it: the core ends, `serve` starts it anew from what is
                // stored, and the senses go on from the place that was stored with it. What is in force stays.
                .map_err(store_failed)?;
        }
    }

    /// Asks `act` what is in force.
    fn list(&mut self) {
        self.listing = matches!(self.lines.act.send(&ToAct::List), Sent::Yes).then(Instant::now);
    }

    /// A program that hangs holds up everything that `act` does: a person has to see that.
    fn silence(&self) -> Option<String> {
        let since = self.listing.map(|since| since.elapsed()).filter(|passed| *passed > SILENCE)?;
        Some(format!(
            "what is in force: act has not answered for {} s; look for a program that it waits for",
            since.as_secs()
        ))
    }

    fn forget_idle(&mut self) {
        self.accounts.retain(|_, account| account.needs_ticks());
    }

    fn take(&mut self, entry: Heap) -> Result<(), StoreError> {
        match entry {
            Heap::Act(Heard::Up) => {
                self.refused.clear();
                self.list();
                Ok(())
            }
            Heap::Act(Heard::Down) => {
                self.real.clear();
                self.asked.clear(); // whoever asked sees the end of his connection
                self.line_broke(|order| matches!(order, Order::Act(_)));
                Ok(())
            }
            Heap::Act(Heard::Said(said)) => self.act_said(said),
            Heap::Sense(Heard::Up) => self.greet_sense(),
            Heap::Sense(Heard::Down) => {
                self.line_broke(|order| matches!(order, Order::Look(l) if !matches!(l, model::Look::Probe { .. })));
                Ok(())
            }
            Heap::Sense(Heard::Said(said)) => self.sense_said(said),
            Heap::Desk(Heard::Up) => Ok(()),
            Heap::Desk(Heard::Down) => {
                self.line_broke(|o| {
                    matches!(o, Order::Tell { .. } | Order::Page { .. } | Order::Look(model::Look::Probe { .. }))
                });
                Ok(())
            }
            Heap::Desk(Heard::Said(outcome)) => self.hear(outcome),
            Heap::Asked(ToCore::DryRun { account, measure }, connection) => self.dry_run(account, measure, connection),
            Heap::Asked(asked, connection) => {
                let answer = self.answer_command(asked)?;
                reply(&connection, &answer);
                Ok(())
            }
        }
    }

    fn act_said(&mut self, said: FromAct) -> Result<(), StoreError> {
        match said {
            FromAct::Done { intent, what } => self.hear(Outcome { intent, seen: Seen::Done { what } }),
            FromAct::Failed { intent, why } if self.asked.contains_key(&intent) => {
                if let Some(asker) = self.asked.remove(&intent) {
                    reply(&asker, &FromCore::Refused(why.to_string()));
                }
                Ok(())
            }
            FromAct::Failed { intent, why } if !self.outbox.contains_key(&intent) => {
                // The answer to a restriction that was imposed again because it did not hold.
                if self.refused.insert(intent) {
                    tracing::error!(%intent, %why, "decided, does not hold, and cannot be imposed again");
                }
                Ok(())
            }
            FromAct::Failed { intent, why } => self.hear(Outcome { intent, seen: Seen::Failed(why) }),
            FromAct::Would { intent, steps } => {
                if let Some(asker) = self.asked.remove(&intent) {
                    reply(&asker, &FromCore::Done(steps));
                }
                Ok(())
            }
            in_force @ FromAct::InForce { .. } => {
                self.real.push(in_force);
                Ok(())
            }
            FromAct::ListEnd => {
                self.listing = None;
                self.reconcile()
            }
            FromAct::Strays(strays) => {
                for stray in strays.iter().filter(|s| !self.strays.contains(s)) {
                    tracing::error!(stray, "on the node, but no restriction wants it; left as it is");
                }
                self.strays = strays;
                Ok(())
            }
        }
    }

    /// Decided against real. What is decided and not real is ordered again (under its own number, so that it is
    /// done once); what is real and not decided is reported, never lifted by itself.
    fn reconcile(&mut self) -> Result<(), StoreError> {
        let real = std::mem::take(&mut self.real);
        let mut holds = std::collections::BTreeSet::new();
        let mut listed = std::collections::BTreeSet::new();
        for entry in &real {
            if let FromAct::InForce { restriction, holds: true, .. } = entry {
                holds.insert(*restriction);
            }
            if let FromAct::InForce { restriction, .. } = entry {
                listed.insert(*restriction);
            }
        }
        let mut decided = std::collections::BTreeSet::new();
        let mut drifted = Vec::new();
        for account in self.accounts.values() {
            for given in account.incidents.iter().flat_map(|i| &i.restrictions).filter(|g| g.in_force()) {
                decided.insert(given.restriction.id);
                if matches!(given.status, engine::Status::Imposed(_)) && !holds.contains(&given.restriction.id) {
                    drifted.push((account.account.clone(), given.intent, given.restriction.clone()));
                }
            }
        }
        for stray in listed.difference(&decided) {
            tracing::error!(restriction = %stray, "in force but not decided here; left as it is: `hikeshi lift {stray}` takes it back");
        }
        let what = |id: model::RestrictionId| {
            let row = |entry: &FromAct| match entry {
                FromAct::InForce { restriction, what, .. } if *restriction == id => Some(what.clone()),
                _ => None,
            };
            real.iter().find_map(row).unwrap_or_else(|| "not there".to_owned())
        };
        // Ended programs are no loss; everything else that does not hold is shown until it does.
        let lost = |r: &model::Restriction| !matches!(r.measure, model::Measure::FreezeProcess { .. });
        let drifting = drifted.iter().filter(|(_, _, r)| lost(r));
        self.loose = drifting.map(|(_, _, r)| format!("{} does not hold: {}", r.id, what(r.id))).collect();
        if self.config.is_disarmed() {
            drifted.clear(); // act would refuse
        }
        for (account, intent, restriction) in drifted {
            let Some(intent) = intent.filter(|id| !self.refused.contains(id)) else { continue };
            tracing::warn!(%account, restriction = %restriction.id, "decided but not real; imposed again");
            let domains = restriction.measure.sites();
            let sites = self.handles(&account.name, &domains)?;
            let verb = model::Verb::Impose { restriction, by_person: true };
            let home = self.home(&account.name)?;
            let link = self.store.link_of(intent.0)?.unwrap_or(model::Hash::ZERO);
            self.lines.act.send(&ToAct::Do { intent, link, account, home, verb, sites, pass: None, dry_run: false });
        }
        self.send_frozen();
        Ok(())
    }

    fn greet_sense(&mut self) -> Result<(), StoreError> {
        for cursor in self.store.cursors()? {
            self.lines.sense.send(&ToSense::Cursor(cursor));
        }
        for baseline in self.store.baselines()? {
            self.lines.sense.send(&ToSense::Baseline(baseline));
        }
        for known in self.store.accounts()?.into_iter().filter(|k| k.entry.account.generation > 1) {
            self.lines.sense.send(&ToSense::Known(known.entry.account));
        }
        self.send_frozen();
        self.lines.sense.send(&ToSense::Begin);
        Ok(())
    }

    /// Tells the senses what is frozen: it is no news.
    fn send_frozen(&self) {
        let frozen = self
            .accounts
            .values()
            .flat_map(|a| &a.incidents)
            .flat_map(|i| i.in_force())
            .filter(|g| matches!(g.restriction.measure, model::Measure::FreezeProcess { .. }))
            .map(|g| g.restriction.clone());
        let mut frozen: Vec<_> = frozen.collect();
        frozen.sort_by_key(|r| std::cmp::Reverse(r.since));
        // A packet has room for some; the oldest are the least likely to be taken for news.
        let processes = frozen.into_iter().flat_map(|r| match r.measure {
            model::Measure::FreezeProcess { processes } => processes,
            _ => Vec::new(),
        });
        self.lines.sense.send(&ToSense::Frozen(processes.take(FROZEN_TOLD).collect()));
        let restricted = |a: &&Account| a.open_incidents().any(|i| i.in_force().next().is_some());
        let names = self.accounts.values().filter(restricted).map(|a| a.account.name.clone()).take(1000).collect();
        self.lines.sense.send(&ToSense::Restricted(names));
    }

    fn sense_said(&mut self, said: FromSense) -> Result<(), StoreError> {
        match said {
            said @ (FromSense::Account { .. } | FromSense::Sites { .. }) => {
                let entry = self.assemble(said);
                self.inventory(entry.into_iter().collect())
            }
            FromSense::AccountGone(account) => {
                let mut turn = self.turn()?;
                turn.batch.accounts_gone.push(account);
                self.commit(turn)
            }
            FromSense::InventoryEnd { accounts, unclear } => {
                self.known_accounts = accounts;
                for entry in unclear.iter().filter(|u| !self.unclear.contains(u)) {
                    tracing::warn!(subject = entry.subject, why = entry.why, "ownership unclear");
                }
                self.unclear = unclear;
                self.store.rest()?;
                sys::process::give_back_memory();
                Ok(())
            }
            FromSense::Batch { batch, findings, cursors, baselines } => {
                self.findings(findings, cursors, baselines)?;
                self.lines.sense.send(&ToSense::Stored(batch));
                Ok(())
            }
            FromSense::Looked { outcome, capture } => {
                if let Some(bytes) = capture {
                    let body = Body { kind: BodyKind::Capture, expires: self.clock.now() + EVIDENCE_KEPT, bytes };
                    let mut turn = self.turn()?;
                    turn.batch.bodies.push(body);
                    self.commit(turn)?;
                }
                self.hear(outcome)?;
                self.send_frozen();
                Ok(())
            }
            FromSense::Blind(blind) => {
                for what in blind.iter().filter(|b| !self.blind.contains(b)) {
                    tracing::warn!(what, "cannot be seen");
                }
                self.blind = blind;
                Ok(())
            }
        }
    }

    /// An account is complete when no more of its sites follow.
    fn assemble(&mut self, said: FromSense) -> Option<AccountEntry> {
        let more = match said {
            FromSense::Account { entry, more } => {
                self.partial = Some(entry);
                more
            }
            FromSense::Sites { sites, more } => {
                self.partial.as_mut()?.sites.extend(sites);
                more
            }
            _ => return None,
        };
        self.partial.take_if(|_| !more)
    }

    /// Takes in accounts as they are now, those that changed, in one commit.
    fn inventory(&mut self, entries: Vec<AccountEntry>) -> Result<(), StoreError> {
        let mut turn = self.turn()?;
        for entry in entries {
            let known = self.store.account(&entry.account.name)?.filter(|k| !k.gone).map(|k| k.entry);
            if known.as_ref() == Some(&entry) {
                continue;
            }
            if known.is_none_or(|k| k.sites != entry.sites || k.account != entry.account) {
                self.step(&mut turn, &entry.account, Input::Inventory(entry.sites.clone()))?;
            }
            // Another name on the uid, or another uid under the name, is a stranger. The same name and uid with another
            // home is not: whoever restores a home by hand at night must not open what is closed.
            let stranger =
                |a: &&engine::Account| (a.account.uid == entry.account.uid) != (a.account.name == entry.account.name);
            let earlier: Vec<_> = self.accounts.values().filter(stranger).map(|a| a.account.clone()).collect();
            for who in earlier {
                self.step(&mut turn, &who, Input::Replaced)?;
            }
            turn.batch.accounts.push(entry);
        }
        if turn.batch.accounts.is_empty() {
            return Ok(());
        }
        self.commit(turn)?;
        // An account without incidents is folded again when something is seen of it.
        self.forget_idle();
        Ok(())
    }

    /// Asks `act` what it would do; the asker waits for the answer.
    fn dry_run(
        &mut self,
        account: model::AccountName,
        measure: model::Measure,
        asker: Connection,
    ) -> Result<(), StoreError> {
        let Some(who) = self.find(&account)? else {
            reply(&asker, &unknown(&account));
            return Ok(());
        };
        // Places at the end of the log are never reached: they name questions, not orders.
        self.questions += 1;
        let intent = IntentId(u64::MAX - self.questions);
        let number = model::Number::new(self.clock.now(), 0);
        let id = model::RestrictionId { incident: number, ordinal: 1 };
        let why = model::Why { rule: "dry-run".into(), findings: vec![] };
        let sites = self.handles(&who.name, &measure.sites())?;
        let restriction = model::Restriction { id, measure, since: self.clock.now(), why };
        let verb = model::Verb::Impose { restriction, by_person: true };
        let home = self.home(&who.name)?;
        let order =
            ToAct::Do { intent, link: model::Hash::ZERO, account: who, home, verb, sites, pass: None, dry_run: true };
        match self.lines.act.send(&order) {
            Sent::Yes => drop(self.asked.insert(intent, asker)),
            _ => reply(&asker, &FromCore::Refused("act does not answer; see `hikeshi status`".into())),
        }
        Ok(())
    }

    fn answer_command(&mut self, asked: ToCore) -> Result<FromCore, StoreError> {
        Ok(match asked {
            ToCore::DryRun { .. } => unreachable!("answered by dry_run"),
            ToCore::Status => FromCore::Status {
                roles: vec![
                    ("act".into(), self.lines.act.is_up()),
                    ("sense".into(), self.lines.sense.is_up()),
                    ("desk".into(), self.lines.desk.is_up()),
                    ("core".into(), true),
                ],
                blind: self
                    .blind
                    .iter()
                    .chain(&self.strays)
                    .chain(&self.loose)
                    .cloned()
                    .chain(self.silence())
                    .collect(),
                unclear: self.unclear.iter().take(50).cloned().collect(),
                accounts: self.known_accounts,
                up: self.clock.now() - self.started,
            },
            ToCore::Operator { account, what, by } => {
                // An incident belongs to the account that it was opened for, also when another has its name by now.
                let named = match about(&what) {
                    Some(number) => self.store.incident_account(number)?,
                    None => None,
                };
                let Some(who) = named.map_or_else(|| self.find(&account), |who| Ok(Some(who)))? else {
                    return Ok(unknown(&account));
                };
                let input = Input::Operator { by, what };
                self.obey(&who, input, vec![])?
            }
            ToCore::Owner { account, quoted, what, text, pass } => {
                let Some(who) = self.find(&account)? else { return Ok(unknown(&account)) };
                self.owner(&who, quoted, what, text, pass)?
            }
            ToCore::Settle => {
                if !self.clock.is_told() {
                    return Ok(FromCore::Refused("only where a story tells the time".into()));
                }
                self.tick()?;
                self.dispatch()?;
                let waiting = self.outbox.values().filter(|p| p.sent.is_some() || p.next_at <= self.clock.now());
                FromCore::Done(waiting.map(|p| p.intent.id.to_string()).collect())
            }
        })
    }

    fn owner(
        &mut self,
        who: &AccountRef,
        quoted: Option<model::Number>,
        what: Owner,
        text: Option<String>,
        pass: Option<PassKey>,
    ) -> Result<FromCore, StoreError> {
        let now = self.clock.now();
        let mut bodies = Vec::new();
        if let Some(text) = text {
            bodies.push(Body { kind: BodyKind::Question, expires: now + EVIDENCE_KEPT, bytes: text.into_bytes() });
        }
        if let Some(pass) = pass {
            let expires = now + self.policy.pass;
            bodies.push(Body { kind: BodyKind::Pass, expires, bytes: pass.row().into_bytes() });
        }
        self.obey(who, Input::Owner { quoted, what }, bodies)
    }

    /// Steps, stores, and tells in words what follows.
    fn obey(&mut self, who: &AccountRef, input: Input, bodies: Vec<Body>) -> Result<FromCore, StoreError> {
        let mut turn = self.turn()?;
        let events = self.step(&mut turn, who, input)?;
        if events.is_empty() {
            return Ok(FromCore::Refused(
                "nothing follows from this: the incident is not open, or there is nothing to do; see `hikeshi incident show NUMBER`".into(),
            ));
        }
        turn.batch.bodies = bodies;
        let lines = events.iter().map(crate::cli::print::event_line).collect();
        self.commit(turn)?;
        Ok(FromCore::Done(lines))
    }

    fn find(&self, name: &model::AccountName) -> Result<Option<AccountRef>, StoreError> {
        Ok(self.store.account(name)?.filter(|k| !k.gone).map(|k| k.entry.account))
    }
}

/// The incident that an order is about.
fn about(what: &Operator) -> Option<model::Number> {
    match what {
        Operator::Confirm(incident)
        | Operator::Undo { incident, .. }
        | Operator::Release { incident, .. }
        | Operator::Dismiss { incident, .. }
        | Operator::Uphold { incident, .. } => Some(*incident),
        Operator::Lift { restriction, .. } => Some(restriction.incident),
        Operator::Impose { .. } | Operator::Allow { .. } => None,
    }
}

fn reply(asker: &Connection, answer: &FromCore) {
    if let Err(error) = asker.send_value(answer) {
        tracing::debug!(%error, "a command did not wait for its answer");
    }
}

fn unknown(account: &model::AccountName) -> FromCore {
    FromCore::Refused(format!(
        "no account \"{account}\" is known; `hikeshi status` lists what is unclear in the inventory"
    ))
}
