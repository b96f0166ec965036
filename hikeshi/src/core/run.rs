//! The core's loop: one queue, one thread that decides; everything else only brings and takes packets.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use model::packet::{FromAct, FromCore, FromDesk, FromSense, PassKey, ToAct, ToCore, ToSense};
use model::{AccountEntry, AccountRef, Body, BodyKind, Input, IntentId, Mode, Operator, Order, Owner, Span};
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
/// Time between two searches for what no restriction wants, on all accounts.
const SEARCH: Duration = Duration::from_secs(600);
/// How often time passes when nothing happens.
const TICK: Duration = Duration::from_secs(1);
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
                self.hand_over()?;
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

    /// Now that every account is known: what limits one that is gone must not limit the stranger who has its uid or
    /// its name by now.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        let limited = self.accounts.values().filter(|a| a.open_incidents().next().is_some());
        let mut gone = Vec::new();
        for who in limited.map(|a| &a.account) {
            let named = self.store.account(&who.name)?;
            if named.is_none_or(|k| k.gone || k.entry.account != *who) {
                gone.push(who.clone());
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let known = self.store.accounts()?;
        let present: Vec<&AccountRef> = known.iter().filter(|k| !k.gone).map(|k| &k.entry.account).collect();
        let mut turn = self.turn()?;
        for who in gone.iter().filter(|who| is_replaced(who, &present)) {
            self.step(&mut turn, who, Input::Replaced)?;
        }
        match turn.batch.events.is_empty() {
            true => Ok(()),
            false => self.commit(turn),
        }
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
        let restriction = model::Restriction { id, measure, since: self.clock.now(), why };
        let verb = model::Verb::Impose { restriction, by_person: true };
        let order = self.order(intent, who, verb, None, true)?;
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

/// Whether a stranger has the uid or the name of an account that is gone. The same name and uid with another home is
/// none: whoever restores a home by hand at night must not open what is closed.
fn is_replaced(gone: &AccountRef, present: &[&AccountRef]) -> bool {
    let same = |now: &&&AccountRef| now.uid == gone.uid && now.name == gone.name;
    let stranger = |now: &&AccountRef| now.uid == gone.uid || now.name == gone.name;
    !present.iter().any(|now| same(&now)) && present.iter().any(stranger)
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

pub(super) fn reply(asker: &Connection, answer: &FromCore) {
    if let Err(error) = asker.send_value(answer) {
        tracing::debug!(%error, "a command did not wait for its answer");
    }
}

fn unknown(account: &model::AccountName) -> FromCore {
    FromCore::Refused(format!(
        "no account \"{account}\" is known; `hikeshi status` lists what is unclear in the inventory"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_another_name_or_uid_and_never_a_moved_home_or_a_neighbour_on_a_shared_uid() {
        let who = |name: &str, uid, generation| AccountRef { name: name.parse().unwrap(), uid, generation };
        let gone = who("alice", 20_001, 1);
        let check = |present: &[AccountRef], right| {
            assert_eq!(is_replaced(&gone, &present.iter().collect::<Vec<_>>()), right, "{present:?}");
        };
        check(&[], false);
        check(&[who("bob", 20_002, 1)], false);
        check(&[who("bob", 20_001, 1)], true);
        check(&[who("alice", 20_009, 1)], true);
        check(&[who("alice", 20_001, 2)], false);
        check(&[who("alice", 20_001, 2), who("bob", 20_001, 1)], false);
    }
}
