//! The actor: takes one typed order, checks it, journals it, carries it out, tests it, answers.
//!
//! What stands on the node is a function of the journal: flags and hold lines are written from the restrictions
//! that are in force, so two incidents that close one site do not open it for one another, and doing a thing twice
//! is doing it once.

use std::io;
use std::path::Path;

use model::packet::{FromAct, PassKey, SiteHandle, ToAct};
use model::{AccountRef, Failure, GateKey, Hash, IntentId, Measure, Moment, Number, Restriction, RestrictionId, Verb};
use sys::cgroup::Freezer;
use sys::dir::Dir;

use crate::config::{Budgets, Clock, Config, Hands, Reach, Steps, SystemClock};
use crate::freeze::{Ice, cage_name};
use crate::gate::{self, Answer, Facts};
use crate::guard::{self, Own};
use crate::journal::{Book, Effect, Held, Journal, OpenPass, Record, Standing};
use crate::mail::Mail;

/// Carries out orders within its reach, its budgets and its guards.
pub struct Actor {
    config: Config,
    gate: Dir,
    ice: Ice,
    mail: Option<Mail>,
    journal: Journal,
    hands: Hands,
    clock: Box<dyn Clock>,
    steps: Steps,
    /// Uptime before which half-done acts are not tried again.
    retry_at: u64,
}

/// Seconds between two tries to finish or take back what was left half done.
const RETRY: u64 = 10;

/// An order as it came.
struct Order {
    intent: IntentId,
    account: AccountRef,
    verb: Verb,
    sites: Vec<SiteHandle>,
    pass: Option<PassKey>,
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
            let hold = config.postfix.as_ref().map(|p| p.hold_file.as_path());
            if let Some(path) =
                [Some(config.gate_dir.as_path()), hold].into_iter().flatten().find(|p| !p.starts_with(folder))
            {
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
            reachable(&config.gate_dir)?;
        }
        let journal = Journal::open(Dir::open_own(&config.state_dir)?)?;
        let mut actor = Actor { config, gate, ice, mail, journal, hands, clock, steps, retry_at: 0 };
        actor.tick();
        Ok(actor)
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
    }

    /// Carries out one packet. Each order has exactly one answer; a list ends with `ListEnd`.
    pub fn handle(&mut self, packet: ToAct) -> Vec<FromAct> {
        match packet {
            ToAct::List => self.list(),
            ToAct::Do { intent, account, verb, sites, pass, dry_run } => {
                let order = Order { intent, account, verb, sites, pass };
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
        match &order.verb {
            Verb::Impose { restriction, by_person } => self.impose(order, restriction, *by_person),
            Verb::Lift { restriction, end_processes, .. } => self.lift(order, *restriction, *end_processes),
            Verb::OpenPass { sites, pass, until } => self.open_pass(order, sites, *pass, *until),
        }
    }

    /// A repeated order answers from the journal; only an effect that somebody removed is made again.
    fn again(&mut self, order: &Order, answer: FromAct) -> Result<FromAct, Failure> {
        if let Verb::Impose { restriction, .. } = &order.verb
            && let Some(held) = self.book().held.get(&restriction.id).cloned()
            && held.intent == order.intent
            && !self.look(&held).0
        {
            let what = self.apply(&held)?;
            return Ok(FromAct::Done { intent: order.intent, what: format!("repaired: {what}") });
        }
        Ok(answer)
    }

    fn impose(&mut self, order: &Order, restriction: &Restriction, by_person: bool) -> Result<FromAct, Failure> {
        let id = restriction.id;
        self.not_older(id, order.intent)?;
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
        let held = Held {
            intent: order.intent,
            account: order.account.clone(),
            restriction: restriction.clone(),
            effect,
            standing: Standing::Imposing,
        };
        self.write(Record::Imposing(Box::new(held.clone()), stamp))?;
        self.step("impose: journalled");
        match self.apply(&held) {
            Ok(what) => self.answer(id, FromAct::Done { intent: order.intent, what }),
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

    fn lift(&mut self, order: &Order, id: RestrictionId, end_processes: bool) -> Result<FromAct, Failure> {
        self.not_older(id, order.intent)?;
        let Some(held) = self.book().held.get(&id).cloned() else {
            let what = format!("{id} was not in force");
            return self.answer(id, FromAct::Done { intent: order.intent, what });
        };
        if held.account != order.account {
            return Err(Failure::Guard(format!(
                "{id} belongs to {}, not to {}; check the order",
                held.account, order.account
            )));
        }
        self.write(Record::Lifting(id, order.intent, end_processes))?;
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
        let text = match pass {
            PassKey::Token(token) => format!("tok:{}", token.iter().map(|b| format!("{b:02x}")).collect::<String>()),
            PassKey::Address(address) => format!("ip:{address}"),
        };
        if Hash::of(text.as_bytes()) != row {
            return Err(Failure::Error("the pass is not the one that was ordered; ask for a new one".into()));
        }
        if until <= self.clock.now() {
            return Err(Failure::Gone("the pass has already ended; ask for a new one".into()));
        }
        let gates = gates(&order.sites, sites)?;
        Ok(OpenPass { intent: order.intent, gates, leaves: gate::leaves(pass), until })
    }

    /// Everything that can be checked without changing anything, and what would be changed.
    fn plan(&self, order: &Order, restriction: &Restriction) -> Result<Effect, Failure> {
        match &restriction.measure {
            Measure::CloseSite { site } => Ok(Effect::Gates(gates(&order.sites, std::slice::from_ref(site))?)),
            Measure::CloseAccount { sites, .. } => Ok(Effect::Gates(gates(&order.sites, sites)?)),
            Measure::HoldMail { queued } => {
                self.mail()?.check(queued).map_err(Failure::Error)?;
                Ok(Effect::Hold(queued.clone()))
            }
            Measure::FreezeProcess { processes } => {
                let (found, _) = self.ice.check(&order.account, processes)?;
                Ok(Effect::Freeze(self.ice.means(), found))
            }
            Measure::AskOwner | Measure::PageOperator => {
                Err(Failure::Error(format!("{} changes nothing here; the desk does it", restriction.measure.name())))
            }
        }
    }

    /// Makes the effect real and tests it. May be repeated.
    fn apply(&mut self, held: &Held) -> Result<String, Failure> {
        match &held.effect {
            Effect::Gates(keys) => {
                for key in keys {
                    self.set_gate(key, None).map_err(Failure::Error)?;
                    self.step("impose: one flag");
                }
            }
            Effect::Hold(queued) => {
                let wanted = self.wanted_mail(None);
                self.mail()?.set(&wanted).map_err(Failure::Error)?;
                self.step("impose: mail held");
                let moved = self.mail()?.hold_queued(queued, true).map_err(Failure::Error)?;
                self.step("impose: queue held");
                if !self.mail()?.would_hold(held.account.uid).map_err(Failure::Error)? {
                    return Err(Failure::NoEffect(format!(
                        "Postfix's table does not hold mail of uid {}; taken back",
                        held.account.uid
                    )));
                }
                return Ok(format!(
                    "mail of uid {} is held; {moved} of {} waiting messages put on hold",
                    held.account.uid,
                    queued.len()
                ));
            }
            Effect::Freeze(..) => return self.freeze(held),
        }
        self.step("impose: before the test");
        match self.look(held) {
            (true, what) => Ok(what),
            (false, what) => Err(Failure::NoEffect(format!("{what}; taken back"))),
        }
    }

    fn freeze(&mut self, held: &Held) -> Result<String, Failure> {
        let id = held.restriction.id;
        let name = cage_name(id);
        let account = &held.account;
        let Effect::Freeze(means, mut batch) = held.effect.clone() else {
            return Err(Failure::Error("not a freeze".into()));
        };
        let mut all = batch.clone();
        for _ in 0..Ice::ROUNDS_MAX {
            self.ice.stop(&name, means, account, &batch).map_err(Failure::Error)?;
            self.step("impose: one batch stopped");
            batch = self.ice.children(account, &all);
            if batch.is_empty() {
                break;
            }
            self.write(Record::Caught(id, means, batch.clone()))?;
            all.extend(batch.iter().cloned());
            self.step("impose: children journalled");
        }
        if !batch.is_empty() {
            return Err(Failure::NoEffect(
                "new children appear faster than they can be stopped; close the site first".into(),
            ));
        }
        if !self.ice.settles(&name, means, account, &all) {
            return Err(Failure::NoEffect("the processes do not stand still; taken back".into()));
        }
        let (_, still) = self.ice.stands(&name, means, account, &all).map_err(Failure::Error)?;
        if still == 0 {
            return Err(Failure::Gone("all of the processes ended before they stood still".into()));
        }
        let Measure::FreezeProcess { processes } = &held.restriction.measure else { return Ok(String::new()) };
        let gone: Vec<String> =
            processes.iter().filter(|p| !all.iter().any(|c| c.process == **p)).map(|p| p.pid.to_string()).collect();
        let gone = if gone.is_empty() {
            String::new()
        } else {
            format!("; gone before or not to be touched: pid {}", gone.join(" "))
        };
        Ok(format!("{}, {still} processes{gone}", still_by(means)))
    }

    /// Removes the effect, as far as no other restriction wants it. May be repeated.
    fn take_back(&mut self, held: &Held) -> Result<String, String> {
        let id = held.restriction.id;
        match &held.effect {
            Effect::Gates(keys) => {
                let mut closed = 0;
                for key in keys {
                    closed += usize::from(self.set_gate(key, Some(id))?);
                    self.step("lift: one flag");
                }
                let by_others =
                    if closed == 0 { String::new() } else { format!(", {closed} still closed by another restriction") };
                Ok(format!("{} flags lifted{by_others}", keys.len() - closed))
            }
            Effect::Hold(queued) => {
                let wanted = self.wanted_mail(Some(id));
                let mail = self.mail().map_err(|e| e.to_string())?;
                mail.set(&wanted)?;
                let still = wanted.iter().any(|(uid, _)| *uid == held.account.uid);
                let failed = held.standing == Standing::Imposing;
                if failed && !still {
                    mail.hold_queued(queued, false)?;
                }
                let on_hold = mail.on_hold()?;
                self.step("lift: mail flows");
                let still = if still { ", still held by another restriction" } else { "" };
                Ok(format!(
                    "hold line of uid {} lifted{still}; {on_hold} messages of all accounts stay on hold",
                    held.account.uid
                ))
            }
            Effect::Freeze(means, caught) => {
                let end = held.standing == Standing::Lifting { end_processes: true };
                let done = self.ice.let_go(&cage_name(id), *means, &held.account, caught, end)?;
                self.step("lift: processes let go");
                Ok(format!("{done} processes {}", if end { "ended" } else { "go on" }))
            }
        }
    }

    /// Whether the effect is really there, in words.
    fn look(&self, held: &Held) -> (bool, String) {
        match &held.effect {
            Effect::Gates(keys) => {
                let there = keys.iter().filter(|key| {
                    self.page(key, None).is_some_and(|page| gate::holds(&self.gate, key, self.answer_kind(), &page))
                });
                let there = there.count();
                (there == keys.len() && there > 0, format!("{there} of {} flags there", keys.len()))
            }
            Effect::Hold(_) => {
                match self.mail().map_err(|e| e.to_string()).and_then(|mail| mail.is_set(&self.wanted_mail(None))) {
                    Ok(true) => (true, format!("hold line of uid {} there", held.account.uid)),
                    Ok(false) => (false, "hold table changed by somebody else".into()),
                    Err(why) => (false, why),
                }
            }
            Effect::Freeze(means, caught) => {
                match self.ice.stands(&cage_name(held.restriction.id), *means, &held.account, caught) {
                    Ok((_, 0)) => (false, "no process is left".into()),
                    Ok((still, count)) => {
                        (still, format!("{}{}, {count} processes", if still { "" } else { "not " }, still_by(*means)))
                    }
                    Err(why) => (false, why),
                }
            }
        }
    }

    fn list(&mut self) -> Vec<FromAct> {
        let held = self.book().held.values().filter(|held| held.standing != Standing::Imposing);
        let mut answers: Vec<FromAct> = held
            .map(|held| {
                let (holds, what) = self.look(held);
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
                self.not_older(restriction.id, order.intent)?;
                if !by_person {
                    self.within_budget(&order.account)?;
                }
                match self.plan(order, restriction)? {
                    Effect::Gates(keys) => {
                        for key in &keys {
                            let path = gate::flag(key, self.answer_kind()).map_err(Failure::Error)?;
                            steps.push(format!("write {}", self.config.gate_dir.join(path).display()));
                        }
                    }
                    Effect::Hold(queued) => steps.extend([
                        format!("hold new mail of uid {}", order.account.uid),
                        "postfix reload".to_owned(),
                        format!("put {} waiting messages on hold", queued.len()),
                    ]),
                    Effect::Freeze(means, found) => {
                        let pids: Vec<String> = found.iter().map(|c| c.process.pid.to_string()).collect();
                        steps.push(format!("{}: pid {} and their children", still_by(means), pids.join(" ")));
                    }
                }
            }
            Verb::Lift { restriction, end_processes, .. } => {
                self.not_older(*restriction, order.intent)?;
                steps.push(match self.book().held.get(restriction) {
                    None => format!("nothing: {restriction} is not in force"),
                    Some(_) if *end_processes => format!("lift {restriction}, end its processes"),
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

    fn not_older(&self, id: RestrictionId, intent: IntentId) -> Result<(), Failure> {
        match self.book().newest.get(&id) {
            Some(newest) if intent < *newest => {
                Err(Failure::Error(format!("order {intent} is older than order {newest} about {id}; nothing to do")))
            }
            _ => Ok(()),
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

    /// Writes or removes one flag from what the journal wants; true when it is (still) closed.
    fn set_gate(&self, key: &GateKey, except: Option<RestrictionId>) -> Result<bool, String> {
        let page = self.page(key, except);
        gate::set(&self.gate, key, self.answer_kind(), page.as_deref())?;
        Ok(page.is_some())
    }

    /// The page of a vhost: that of the oldest restriction that closes it.
    fn page(&self, key: &GateKey, except: Option<RestrictionId>) -> Option<String> {
        let wanted = self.book().wanted(except);
        let oldest = wanted.iter().find(|h| matches!(&h.effect, Effect::Gates(keys) if keys.contains(key)))?;
        let Restriction { id, since, .. } = oldest.restriction;
        let facts = Facts { number: id.incident, since, portal: &self.config.portal };
        Some(gate::page(&facts, self.answer_kind()))
    }

    fn wanted_mail(&self, except: Option<RestrictionId>) -> Vec<(u32, Number)> {
        let mut lines = Vec::new();
        for held in self.book().wanted(except) {
            let known = lines.iter().any(|(uid, _)| *uid == held.account.uid);
            if matches!(held.effect, Effect::Hold(_)) && !known {
                lines.push((held.account.uid, held.restriction.id.incident));
            }
        }
        lines
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

    fn answer_kind(&self) -> Answer {
        if self.config.unavailable { Answer::Unavailable } else { Answer::Forbidden }
    }

    fn mail(&self) -> Result<&Mail, Failure> {
        let missing = "no Postfix is configured here; set [mail] postfix in hikeshi.toml and run `hikeshi setup`";
        self.mail.as_ref().ok_or_else(|| Failure::Error(missing.into()))
    }

    fn book(&self) -> &Book {
        self.journal.book()
    }

    fn write(&mut self, record: Record) -> Result<(), Failure> {
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

    fn step(&mut self, name: &'static str) {
        (self.steps)(name);
    }
}

/// A flag that the web server's worker cannot stat closes nothing, although it is there: refused at the start.
fn reachable(gate: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if gate.canonicalize()? != gate {
        return refuse(format!("{} leads through a link; write the path without it", gate.display()));
    }
    for folder in gate.ancestors() {
        if std::fs::metadata(folder)?.permissions().mode() & 0o001 == 0 {
            return refuse(format!("the web server cannot pass {}; chmod o+x it", folder.display()));
        }
    }
    Ok(())
}

/// The flag keys of these sites; a site that nothing can close is an error, not a smaller restriction.
fn gates(handles: &[SiteHandle], sites: &[model::Domain]) -> Result<Vec<GateKey>, Failure> {
    let mut keys = Vec::new();
    for site in sites {
        let handle = handles.iter().find(|handle| handle.domain == *site);
        let Some(handle) = handle.filter(|handle| !handle.gates.is_empty()) else {
            return Err(Failure::Error(format!(
                "{site} has no gate on this node; run `hikeshi setup` for its web server"
            )));
        };
        for key in &handle.gates {
            gate::flag(key, Answer::Forbidden).map_err(Failure::Error)?;
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
    }
    match keys.is_empty() {
        true => Err(Failure::Error("no site was named; nothing to close".into())),
        false => Ok(keys),
    }
}

fn still_by(means: crate::journal::Means) -> &'static str {
    match means {
        crate::journal::Means::Cage => "cgroup frozen",
        crate::journal::Means::Signal => "stopped by signal",
    }
}
