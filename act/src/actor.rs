//! The actor: takes one typed order, checks it, journals it, carries it out, tests it, answers.
//!
//! What stands on the node is a function of the journal: flags and hold lines are written from the restrictions
//! that are in force, so two incidents that close one site do not open it for one another, and doing a thing twice
//! is doing it once.

use std::io;
use std::path::Path;

use model::packet::{FromAct, PassKey, SiteHandle, ToAct};
use model::{AccountRef, Failure, Hash, IntentId, Moment, Restriction, RestrictionId, Span, Verb};
use sys::cgroup::Freezer;
use sys::dir::Dir;
use sys::process::Hands;

use crate::config::{Budgets, Clock, Config, Reach, Steps, SystemClock};
use crate::effect::Seen;
use crate::files::{Files, Set};
use crate::freeze::Ice;
use crate::gate;
use crate::guard::{self, Own};
use crate::journal::{Book, Effect, Held, Journal, OpenPass, Record, Standing};
use crate::mail::Mail;
use crate::net::Net;

/// Carries out orders within its reach, its budgets and its guards.
pub struct Actor {
    pub(crate) config: Config,
    pub(crate) gate: Dir,
    pub(crate) ice: Ice,
    pub(crate) mail: Option<Mail>,
    pub(crate) files: Files,
    pub(crate) net: Option<Net>,
    journal: Journal,
    hands: Hands,
    clock: Box<dyn Clock>,
    pub(crate) steps: Steps,
    /// Uptime before which half-done acts are not tried again.
    retry_at: u64,
}

/// Seconds between two tries to finish or take back what was left half done.
const RETRY: u64 = 10;

/// Files of one account that are set aside in any hour without a person, and the share of where they lie.
const FILES_PER_HOUR: u64 = 200;
const FILES_PERCENT: u64 = 20;
/// How long files that were not given back are kept: 30 days.
const KEPT_SECS: u64 = 30 * 86_400;

/// An order as it came.
pub(crate) struct Order {
    intent: IntentId,
    link: Hash,
    pub(crate) account: AccountRef,
    pub(crate) home: String,
    verb: Verb,
    pub(crate) sites: Vec<SiteHandle>,
    pass: Option<PassKey>,
}

impl Order {
    fn by_person(&self) -> bool {
        matches!(self.verb, Verb::Impose { by_person: true, .. })
    }
}

impl Actor {
    /// Opens journal and folders, and finishes or takes back what a crash left half done.
    ///
    /// Errors: a folder that is not ours alone, a gate folder that web servers cannot pass into, a damaged journal,
    /// a journal that another act has, a path outside of reach. What cannot be
    /// finished now (Postfix does not answer) is tried again by [`Actor::tick`].
    pub fn open(config: Config) -> io::Result<Actor> {
        Actor::open_with(config, Box::new(SystemClock), Box::new(|_| {}))
    }

    /// The same with another clock and a hook that is told each step before the next one (tests).
    pub fn open_with(config: Config, clock: Box<dyn Clock>, steps: Steps) -> io::Result<Actor> {
        let hands = Hands::default();
        if let Reach::Handed { folder } = &config.reach {
            let hold = config.postfix.as_ref().map(|p| &p.hold_file);
            let logins = &config.logins;
            let (ssh, mail) = (logins.ssh.as_ref().map(|ssh| &ssh.list), logins.mail.as_ref().map(|mail| &mail.list));
            let ours = [Some(&config.gate_dir), Some(&config.cron_spool), hold, ssh, logins.ftp.as_ref(), mail];
            let mut ours = ours.into_iter().flatten().chain(&config.quarantine_dirs);
            if let Some(path) = ours.find(|path| !path.starts_with(folder)) {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!(
                        "{} is outside of {}, beyond which this act may change nothing",
                        path.display(),
                        folder.display()
                    ),
                ));
            }
        }
        let ice = Ice {
            freezer: config.cgroups.then(Freezer::find).flatten(),
            hands: matches!(config.reach, Reach::Handed { .. }).then(|| hands.clone()),
            own: Own::read()?,
        };
        let mail = config.postfix.as_ref().map(Mail::open).transpose().map_err(io::Error::other)?;
        let gate = Dir::open_own(&config.gate_dir)?;
        if matches!(config.reach, Reach::Uids(_)) {
            reachable(&config.gate_dir, "the web server")?;
        }
        let journal = Journal::open(Dir::open_own(&config.state_dir)?)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", config.state_dir.display())))?;
        let files = Files::open(&config.quarantine_dirs, &config.reach)?;
        let net = config.net.as_ref().map(Net::new);
        let mut actor = Actor { config, gate, ice, mail, files, net, journal, hands, clock, steps, retry_at: 0 };
        actor.tick();
        actor.restore_filter();
        Ok(actor)
    }

    /// The kernel forgets its packet filter with a reboot, and connections must not open for that long. What cannot be
    /// set now shows as drift in the next list, and is ordered again.
    fn restore_filter(&mut self) {
        let (uids, sources) = self.wanted_net(None);
        if let (Some(net), false) = (&self.net, uids.is_empty() && sources.is_empty()) {
            let _ = net.set(&uids, &sources, self.clock.now());
        }
    }

    /// Where the demo's pidfds go.
    pub fn hands(&self) -> &Hands {
        &self.hands
    }

    /// Whether a process of this uid may give orders.
    pub fn is_core(&self, uid: u32) -> bool {
        self.config.core_uids.contains(&uid)
    }

    /// Ends passes whose time is over and finishes what was left half done.
    pub fn tick(&mut self) {
        let (now, (_, uptime)) = (self.clock.now(), self.clock.uptime());
        let unfinished: Vec<Held> =
            self.book().held.values().filter(|h| h.standing != Standing::InForce).cloned().collect();
        let unfinished = if uptime >= self.retry_at { unfinished } else { Vec::new() };
        for held in unfinished {
            let id = held.restriction.id;
            let Ok(what) = self.take_back(&held) else {
                self.retry_at = uptime + RETRY;
                continue;
            };
            let record = match held.standing {
                Standing::Lifting { .. } => Record::Answered(id, FromAct::Done { intent: held.intent, what }),
                _ => Record::TakenBack(id),
            };
            // If this cannot be written, the next tick does the same again.
            let _ = self.journal.write(record);
        }
        let over = |pass: &&OpenPass| pass.until <= now || !self.book().answers.contains_key(&pass.intent);
        let over: Vec<OpenPass> = self.book().passes.iter().filter(over).cloned().collect();
        for pass in over {
            if self.close_pass(&pass).is_ok() {
                let _ = self.journal.write(Record::PassEnds(pass.intent));
            }
        }
        self.purge();
    }

    /// Carries out one packet. Each order has exactly one answer; a list ends with `ListEnd`.
    pub fn handle(&mut self, packet: ToAct) -> Vec<FromAct> {
        match packet {
            ToAct::List => self.list(),
            ToAct::Strays => vec![FromAct::Strays(self.strays())],
            ToAct::Do { intent, link, account, home, verb, sites, pass, dry_run } => {
                let order = Order { intent, link, account, home, verb, sites, pass };
                let answer = if dry_run { self.would(&order) } else { self.carry_out(&order) };
                vec![answer.unwrap_or_else(|why| FromAct::Failed { intent, why })]
            }
        }
    }

    fn carry_out(&mut self, order: &Order) -> Result<FromAct, Failure> {
        if let Some(answer) = self.book().answers.get(&order.intent).cloned() {
            return self.again(order, answer);
        }
        guard::account(&self.config.reach, &order.account).map_err(Failure::Guard)?;
        if matches!(order.verb, Verb::Impose { .. }) {
            guard::armed(&self.config.disarmed).map_err(Failure::Guard)?;
        }
        match &order.verb {
            Verb::Impose { restriction, by_person } => self.impose(order, restriction, *by_person),
            Verb::Lift { restriction, for_good, .. } => self.lift(order, *restriction, *for_good),
            Verb::OpenPass { sites, pass, until } => self.open_pass(order, sites, *pass, *until),
        }
    }

    /// A repeated order answers from the journal; only an effect that somebody removed is made again.
    fn again(&mut self, order: &Order, answer: FromAct) -> Result<FromAct, Failure> {
        if let Verb::Impose { restriction, .. } = &order.verb
            && let Some(held) = self.book().held.get(&restriction.id).cloned()
            && held.intent == order.intent
            && !self.look(&held, &Seen::default()).0
        {
            guard::armed(&self.config.disarmed).map_err(Failure::Guard)?;
            let what = self.apply(&held)?;
            return Ok(FromAct::Done { intent: order.intent, what: format!("repaired: {what}") });
        }
        Ok(answer)
    }

    fn impose(&mut self, order: &Order, restriction: &Restriction, by_person: bool) -> Result<FromAct, Failure> {
        let id = restriction.id;
        self.not_older(id, order.intent, false)?;
        let effect = self.plan(order, restriction)?;
        let before = self.book().held.get(&id).cloned();
        if let Some(before) = &before
            && (before.restriction.measure.name() != restriction.measure.name() || before.account != order.account)
        {
            return Err(Failure::Error(format!(
                "{id} is already a {}; lift it first",
                before.restriction.measure.name()
            )));
        }
        if before.as_ref().is_some_and(|b| b.standing != Standing::InForce) {
            return Err(Failure::Error(format!("{id} is being taken back just now; order it again in a moment")));
        }
        if before.is_some() {
            return self.impose_more(order, id, effect);
        }
        let stamp = if by_person { None } else { self.within_budget(&order.account)? };
        if !by_person && let Effect::Files(_, moved) = &effect {
            let stamp = self.book().stamp(self.clock.uptime());
            self.write(Record::SetsAside(stamp, order.account.clone(), id, moved.len() as u64))?;
        }
        let held = Held {
            intent: order.intent,
            link: order.link,
            account: order.account.clone(),
            restriction: restriction.clone(),
            effect,
            standing: Standing::Imposing,
        };
        self.write(Record::Imposing(Box::new(held.clone()), stamp))?;
        self.step("impose: journalled");
        let applied = self.apply(&held);
        // An answer that cannot be written down is no answer: then the effect goes too.
        match applied.and_then(|what| self.answer(id, FromAct::Done { intent: order.intent, what })) {
            Ok(answer) => Ok(answer),
            Err(why) => {
                let held = self.book().held.get(&id).cloned().unwrap_or(held);
                self.step("impose: failed");
                // What cannot be taken back now stays journalled as half done; each tick tries again.
                self.take_back(&held).map_err(|also| Failure::Error(format!("{why}; not yet taken back: {also}")))?;
                self.answer(id, FromAct::Failed { intent: order.intent, why })
            }
        }
    }

    /// The same restriction once more: repairs it, and adds processes that were not caught yet.
    fn impose_more(&mut self, order: &Order, id: RestrictionId, effect: Effect) -> Result<FromAct, Failure> {
        if let Effect::Freeze(means, found) = effect
            && let Some(Held { effect: Effect::Freeze(_, known), .. }) = self.book().held.get(&id)
        {
            let new: Vec<_> = found.into_iter().filter(|f| !known.iter().any(|k| k.process == f.process)).collect();
            self.write(Record::Caught(id, means, new))?;
        }
        let held = self.book().held.get(&id).cloned().ok_or_else(|| Failure::Gone(id.to_string()))?;
        let what = self.apply(&held)?;
        self.answer(id, FromAct::Done { intent: order.intent, what })
    }

    fn lift(&mut self, order: &Order, id: RestrictionId, for_good: bool) -> Result<FromAct, Failure> {
        self.not_older(id, order.intent, true)?;
        let kept = self.book().kept.get(&id).filter(|_| !for_good);
        let Some(held) = self.book().held.get(&id).or(kept).cloned() else {
            let what = format!("{id} was not in force, and nothing of it is kept here");
            return self.answer(id, FromAct::Done { intent: order.intent, what });
        };
        if held.account != order.account {
            let who = |a: &AccountRef| format!("{a} (uid {}, owner {})", a.uid, a.generation);
            return Err(Failure::Guard(format!(
                "{id} belongs to {}, not to {}; check the order",
                who(&held.account),
                who(&order.account)
            )));
        }
        self.write(Record::Lifting(id, order.intent, order.link, for_good))?;
        self.step("lift: journalled");
        let held = self.book().held.get(&id).cloned().unwrap_or(held);
        let what = self.take_back(&held).map_err(|why| Failure::Error(format!("{why} (tried again every 10 s)")))?;
        self.answer(id, FromAct::Done { intent: order.intent, what })
    }

    fn open_pass(
        &mut self,
        order: &Order,
        sites: &[model::Domain],
        row: Hash,
        until: Moment,
    ) -> Result<FromAct, Failure> {
        let pass = self.plan_pass(order, sites, row, until)?;
        self.write(Record::Passing(pass.clone()))?;
        self.step("pass: journalled");
        for (key, leaf) in pass.gates.iter().flat_map(|key| pass.leaves.iter().map(move |leaf| (key, leaf))) {
            let path = gate::pass(key, leaf).map_err(Failure::Error)?;
            let put = gate::put(&self.gate, &path, b"");
            if let Err(e) = put {
                self.close_pass(&pass).map_err(Failure::Error)?;
                self.write(Record::PassEnds(pass.intent))?;
                return Err(Failure::Error(format!("pass file: {e}; check the gate folder's owner and free space")));
            }
            self.step("pass: one file");
        }
        let answer = FromAct::Done {
            intent: order.intent,
            what: format!("pass open at {} vhosts until {until}", pass.gates.len()),
        };
        self.write(Record::PassAnswered(answer.clone()))?;
        Ok(answer)
    }

    fn plan_pass(&self, order: &Order, sites: &[model::Domain], row: Hash, until: Moment) -> Result<OpenPass, Failure> {
        let Some(pass) = &order.pass else {
            return Err(Failure::Error("the pass itself is missing; its row has expired, ask for a new one".into()));
        };
        if Hash::of(pass.row().as_bytes()) != row {
            return Err(Failure::Error("the pass is not the one that was ordered; ask for a new one".into()));
        }
        if until <= self.clock.now() {
            return Err(Failure::Gone("the pass has already ended; ask for a new one".into()));
        }
        let gates = crate::effect::gates(&order.sites, sites)?;
        Ok(OpenPass { intent: order.intent, gates, leaves: gate::leaves(pass), until })
    }

    fn list(&mut self) -> Vec<FromAct> {
        let held = self.book().held.values().filter(|held| held.standing != Standing::Imposing);
        let seen = Seen::default();
        let mut answers: Vec<FromAct> = held
            .map(|held| {
                let (holds, what) = self.look(held, &seen);
                FromAct::InForce {
                    restriction: held.restriction.id,
                    account: held.account.clone(),
                    verb: held.restriction.measure.name().into(),
                    holds,
                    what,
                }
            })
            .collect();
        answers.push(FromAct::ListEnd);
        answers
    }

    fn would(&self, order: &Order) -> Result<FromAct, Failure> {
        guard::account(&self.config.reach, &order.account).map_err(Failure::Guard)?;
        let mut steps = Vec::new();
        match &order.verb {
            Verb::Impose { restriction, by_person } => {
                self.not_older(restriction.id, order.intent, false)?;
                if !by_person {
                    self.within_budget(&order.account)?;
                }
                steps.extend(self.steps_of(order, &self.plan(order, restriction)?)?);
            }
            Verb::Lift { restriction, for_good, .. } => {
                self.not_older(*restriction, order.intent, true)?;
                steps.push(match self.book().held.get(restriction) {
                    None => format!("nothing: {restriction} is not in force"),
                    Some(_) if *for_good => format!("lift {restriction}, end its processes"),
                    Some(held) => format!("lift {restriction}, a {}", held.restriction.measure.name()),
                });
            }
            Verb::OpenPass { sites, pass, until } => {
                let pass = self.plan_pass(order, sites, *pass, *until)?;
                steps.push(format!("open a pass at {} vhosts until {until}", pass.gates.len()));
            }
        }
        steps.truncate(200);
        Ok(FromAct::Would { intent: order.intent, steps })
    }

    fn not_older(&self, id: RestrictionId, intent: IntentId, lifts: bool) -> Result<(), Failure> {
        match self.book().newest.get(&id) {
            Some(newest) if intent < *newest => {
                let why = format!("order {intent} is older than order {newest} about {id}; nothing to do");
                Err(if lifts { Failure::Gone(why) } else { Failure::Error(why) })
            }
            _ => Ok(()),
        }
    }

    /// Files that may be set aside without the site being taken apart: 200 in any hour without a person, and never
    /// more than 20 % of where they lie, with what is set aside already.
    pub(crate) fn file_budget(&self, order: &Order, more: u64, of: u64) -> Result<(), Failure> {
        let (book, now) = (self.book(), self.book().stamp(self.clock.uptime()));
        let aside = |held: &Held| match &held.effect {
            Effect::Files(_, moved) if held.account == order.account => moved.len() as u64,
            _ => 0,
        };
        let all = more + book.held.values().chain(book.kept.values()).map(aside).sum::<u64>();
        if of > 0 && all * 100 > of * FILES_PERCENT {
            return Err(Failure::Budget(format!(
                "{all} of {of} files would be set aside, and {FILES_PERCENT} % is the most; close the site or block scripts instead"
            )));
        }
        let recent =
            book.files.iter().filter(|(then, who, ..)| *who == order.account && then.passed + 3600 > now.passed);
        let hour = more + recent.map(|(.., count)| count).sum::<u64>();
        if !order.by_person() && hour > FILES_PER_HOUR {
            return Err(Failure::Budget(format!(
                "{hour} files of {} would be set aside within one hour without a person, and {FILES_PER_HOUR} is the most; confirm this one by hand if it is right",
                order.account
            )));
        }
        Ok(())
    }

    /// Forgets what was lifted for good a month ago, and deletes what is still set aside of it. The month must have
    /// passed by the wall clock, which can be set, and by the budget's, which cannot.
    fn purge(&mut self) {
        let (now, stamp) = (self.clock.now(), self.book().stamp(self.clock.uptime()));
        let kept: Vec<Held> = self.book().kept.values().cloned().collect();
        for held in &kept {
            let id = held.restriction.id;
            let Some((then, since)) = self.book().kept_since.get(&id).copied() else {
                let _ = self.journal.write(Record::Keeps(id, now, stamp));
                continue;
            };
            if now < then + Span::secs(KEPT_SECS as i64) || stamp.passed < since.passed + KEPT_SECS {
                continue;
            }
            let gone = match &held.effect {
                Effect::Files(home, moved) => self.files.purge(&Set { id, account: &held.account, home, moved }),
                _ => Ok(()),
            };
            if gone.is_ok() {
                let _ = self.journal.write(Record::Purged(id));
            }
        }
        // Time with the power off does not count, but that before it must.
        if !kept.is_empty() && self.book().last.is_none_or(|last| stamp.passed >= last.passed + 86_400) {
            let _ = self.journal.write(Record::Day(stamp));
        }
    }

    /// `None`: this account is restricted already and counts no second time.
    fn within_budget(&self, account: &AccountRef) -> Result<Option<crate::journal::Stamp>, Failure> {
        let book = self.book();
        let stamp = book.stamp(self.clock.uptime());
        if book.held.values().any(|held| held.account == *account) {
            return Ok(None);
        }
        let within = |secs: u64| {
            let recent = book.counts.iter().filter(|(then, ..)| then.passed + secs > stamp.passed);
            let accounts: std::collections::BTreeSet<&AccountRef> = recent.map(|(_, who, _)| who).collect();
            accounts.iter().filter(|who| **who != account).count()
        };
        let Budgets { accounts_per_hour, accounts_per_day } = self.config.budgets;
        for (count, most, span) in
            [(within(3600), accounts_per_hour, "hour"), (within(86_400), accounts_per_day, "day")]
        {
            if count >= most as usize {
                return Err(Failure::Budget(format!(
                    "{count} accounts were restricted within one {span} without a person, and {most} is the most; confirm this one by hand if it is right"
                )));
            }
        }
        Ok(Some(stamp))
    }

    fn close_pass(&self, pass: &OpenPass) -> Result<(), String> {
        for (key, leaf) in pass.gates.iter().flat_map(|key| pass.leaves.iter().map(move |leaf| (key, leaf))) {
            let wanted = |other: &OpenPass| {
                other.intent != pass.intent
                    && other.until > self.clock.now()
                    && other.gates.contains(key)
                    && other.leaves.contains(leaf)
            };
            if !self.book().passes.iter().any(wanted) {
                gate::take(&self.gate, &gate::pass(key, leaf)?).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// Wall clock.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn book(&self) -> &Book {
        self.journal.book()
    }

    pub(crate) fn write(&mut self, record: Record) -> Result<(), Failure> {
        let written = self.journal.write(record);
        written.map_err(|e| {
            Failure::Error(format!("the journal cannot be written, so nothing is done: {e}; check free space"))
        })
    }

    fn answer(&mut self, id: RestrictionId, answer: FromAct) -> Result<FromAct, Failure> {
        self.step("before the answer");
        self.write(Record::Answered(id, answer.clone()))?;
        self.step("after the answer");
        Ok(answer)
    }

    pub(crate) fn step(&mut self, name: &'static str) {
        (self.steps)(name);
    }
}

/// Whether everybody can reach a file or folder: what its reader cannot reach has no effect, although it is there (a
/// flag that the web server's worker cannot stat closes nothing).
///
/// Errors: a link on the way, a folder without `x` or a file without `r` for others, with the next step.
pub fn reachable(path: &Path, reader: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if path.canonicalize()? != path {
        return refuse(format!("{} leads through a link; write the path without it", path.display()));
    }
    for place in path.ancestors() {
        let meta = std::fs::metadata(place)?;
        let (needs, word) = if meta.is_dir() { (0o001, "x") } else { (0o004, "r") };
        if meta.permissions().mode() & needs == 0 {
            return refuse(format!("{reader} cannot pass {}; chmod o+{word} it", place.display()));
        }
    }
    Ok(())
}
