//! The actor: takes one typed order, checks it, journals it, carries it out, tests it, answers.
//!
//! What stands on the node is a function of the journal: flags and hold lines are written from the restrictions
//! that are in force, so two incidents that close one site do not open it for one another, and doing a thing twice
//! is doing it once.

use std::io;

use model::packet::{ActOrder, FromAct, ToAct};
use model::{AccountRef, Domain, Failure, Hash, IntentId, Moment, RestrictionId, Span, Stamp, Verb};
use sys::cgroup::Freezer;
use sys::dir::Dir;
use sys::pause::Pauses;
use sys::process::Hands;

use crate::config::{Clock, Config, Reach, Steps, SystemClock};
use crate::files::{Files, Set};
use crate::freeze::Ice;
use crate::gate;
use crate::guard::{self, Own};
use crate::journal::{Book, Effect, Held, Journal, Kept, OpenPass, Record, Standing};
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
    /// Accounts whose half-done acts could not be ended.
    retry: Pauses<AccountRef>,
    /// The last one that took long: the next ones come first, so that nobody keeps the others waiting.
    slow: Option<RestrictionId>,
    /// Accounts whose sites held us up when everyone was to be signed out.
    pub(crate) stuck: Pauses<AccountRef>,
}

/// Seconds after which a try has taken long. Its tenant can make it so (`sys::file::Found::link_as`), and everybody
/// waits: nothing else is tried before the next orders.
const SLOW: u64 = 2;

/// How long files that were not given back are kept: 30 days.
const KEPT_SECS: u64 = 30 * 86_400;

/// How an order ended, once that is written down.
type Answered = Result<FromAct, Failure>;

/// What an order comes to.
enum Plan {
    /// And what it takes from the budgets, see [`Record::Imposing`].
    Impose(Box<Held>, Option<(Stamp, bool)>),
    /// For good or not.
    Lift(RestrictionId, bool),
    OpenPass(OpenPass),
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
                let (path, folder) = (path.display(), folder.display());
                let why = format!("{path} is outside of {folder}, beyond which this act may change nothing");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
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
            sys::dir::reachable(&config.gate_dir, "the web server")?;
        }
        let journal = Journal::open(Dir::open_own(&config.state_dir)?)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", config.state_dir.display())))?;
        let files = Files::open(&config.quarantine_dirs, &config.reach)?;
        let net = config.net.as_ref().map(Net::new);
        let (retry, slow, stuck) = (Pauses::new(10, 300), None, Pauses::new(3600, 3600));
        let mut actor = Actor { config, gate, ice, mail, files, net, journal, hands, clock, steps, retry, slow, stuck };
        actor.tick();
        // The kernel forgets its packet filter with a reboot, and connections must not open for that long. What cannot
        // be set now shows as drift in the next list, and is ordered again.
        let wanted = actor.wanted();
        if let (Some(net), false) = (&actor.net, wanted.uids.is_empty() && wanted.sources.is_empty()) {
            let _ = net.set(&wanted.uids, &wanted.sources, actor.now());
        }
        Ok(actor)
    }

    /// Where the demo's pidfds go.
    pub fn hands(&self) -> &Hands {
        &self.hands
    }

    /// Ends passes whose time is over and finishes what was left half done.
    pub fn tick(&mut self) {
        let (now, uptime) = (self.now(), self.uptime());
        let half = |held: &&Held| held.standing != Standing::InForce;
        let mut half: Vec<Held> = self.book().held.values().filter(half).cloned().collect();
        self.retry.retain(|account| half.iter().any(|held| held.account == *account));
        half.retain(|held| self.retry.is_over(&held.account, uptime));
        half.sort_by_key(|held| Some(held.restriction.id) <= self.slow);
        for held in half {
            let (id, since) = (held.restriction.id, self.uptime());
            let ended = self.take_back(&held).and_then(|what| {
                let done = Record::Answered(Some(id), FromAct::Done { intent: held.intent, what });
                let record = if held.is_begun() { Record::TakenBack(id) } else { done };
                self.journal.write(record).map_err(|e| e.to_string())
            });
            let now = self.uptime();
            if ended.is_err() {
                self.retry.failed(&held.account, now);
            }
            if now >= since + SLOW {
                self.slow = Some(id);
                break;
            }
        }
        let over = |pass: &&OpenPass| pass.until <= now || !pass.answered;
        let over: Vec<OpenPass> = self.book().passes.iter().filter(over).cloned().collect();
        over.iter().for_each(|pass| drop(self.close_pass(pass)));
        self.purge();
    }

    /// Carries out one packet. Each order has exactly one answer; a list ends with `ListEnd`.
    pub fn handle(&mut self, packet: ToAct) -> Vec<FromAct> {
        match packet {
            ToAct::List => self.list(),
            ToAct::Strays => vec![FromAct::Strays(self.strays())],
            ToAct::Do(order) => {
                let answer = if order.dry_run { self.would(&order) } else { self.carry_out(&order) };
                vec![answer.unwrap_or_else(|why| FromAct::Failed { intent: order.intent, why })]
            }
        }
    }

    fn carry_out(&mut self, order: &ActOrder) -> Answered {
        if let Some(answer) = self.book().answers.get(&order.intent).cloned() {
            return self.again(order, answer);
        }
        if let Verb::Impose { .. } = order.verb {
            guard::armed(&self.config.disarmed).map_err(Failure::Guard)?;
        }
        let ended = match self.plan(order)? {
            Plan::Impose(held, spent) => self.impose(order, held, spent),
            Plan::Lift(id, for_good) => self.lift(order, id, for_good),
            Plan::OpenPass(pass) => self.open_pass(pass),
        };
        if ended.is_err() {
            self.retry.failed(&order.account, self.uptime());
        }
        ended
    }

    /// Everything about an order that can be checked without changing anything.
    fn plan(&self, order: &ActOrder) -> Result<Plan, Failure> {
        guard::account(&self.config.reach, &order.account).map_err(Failure::Guard)?;
        Ok(match &order.verb {
            Verb::Impose { restriction, by_person } => {
                self.not_older(order, restriction.id)?;
                let held = self.plan_effect(order, restriction)?;
                // Anybody can make a node slow somebody down; that must not use up what an intrusion needs.
                let spends = !by_person && !restriction.measure.slows();
                let spent = spends.then(|| self.room_for_account(&order.account)).transpose()?;
                Plan::Impose(Box::new(held), spent)
            }
            Verb::Lift { restriction, for_good, .. } => {
                self.not_older(order, *restriction).map_err(Failure::Gone)?;
                Plan::Lift(*restriction, *for_good)
            }
            Verb::OpenPass { sites, pass, until } => Plan::OpenPass(self.plan_pass(order, sites, *pass, *until)?),
        })
    }

    fn not_older(&self, order: &ActOrder, id: RestrictionId) -> Result<(), String> {
        match self.book().newest(id).filter(|newest| order.intent < *newest) {
            Some(newest) => {
                Err(format!("order {} is older than order {newest} about {id}; nothing to do", order.intent))
            }
            None => Ok(()),
        }
    }

    /// A repeated order answers from the journal; only an effect that somebody removed is made again.
    fn again(&mut self, order: &ActOrder, answer: FromAct) -> Answered {
        if let Verb::Impose { restriction, .. } = &order.verb
            && let Some(held) = self.book().held.get(&restriction.id).cloned()
            && held.intent == order.intent
            && self.look(&held, &self.seen()).is_err()
        {
            guard::armed(&self.config.disarmed).map_err(Failure::Guard)?;
            let what = self.apply(&held)?;
            return Ok(FromAct::Done { intent: order.intent, what: format!("repaired: {what}") });
        }
        Ok(answer)
    }

    fn impose(&mut self, order: &ActOrder, held: Box<Held>, spent: Option<(Stamp, bool)>) -> Answered {
        let (id, name) = (held.restriction.id, held.restriction.measure.name());
        let record = match (self.book().held.get(&id), &held.effect) {
            (None, _) => Some(Record::Imposing(held.clone(), spent)),
            (Some(before), _) if (before.restriction.measure.name(), &before.account) != (name, &held.account) => {
                let name = before.restriction.measure.name();
                return Err(Failure::Error(format!("{id} is already a {name}; lift it first")));
            }
            (Some(before), _) if before.standing != Standing::InForce => {
                return Err(Failure::Error(format!("{id} is being taken back just now; order it again in a moment")));
            }
            // Once more: it is repaired, and processes that were not caught yet are added.
            (Some(Held { effect: Effect::Freeze(_, known), .. }), Effect::Freeze(means, found)) => {
                let new = found.iter().filter(|f| !known.iter().any(|k| k.process == f.process));
                Some(Record::Caught(id, *means, new.cloned().collect()))
            }
            (Some(_), _) => None,
        };
        record.map_or(Ok(()), |record| self.write(record))?;
        self.step("impose: journalled");
        let held = self.book().held.get(&id).cloned().unwrap_or(*held);
        let ended = self.apply(&held).and_then(|what| self.answer(Some(id), order.intent, Ok(what)));
        match ended {
            // An answer that cannot be written down is no answer: then the effect goes too.
            Err(why) if held.is_begun() => {
                self.journal.give_up(id);
                let held = self.book().held.get(&id).cloned().unwrap_or(held);
                self.step("impose: failed");
                // What cannot be taken back now stays journalled as half done; each tick tries again.
                self.take_back(&held).map_err(|also| format!("{why}; not yet taken back: {also}"))?;
                self.answer(Some(id), order.intent, Err(why))
            }
            ended => ended,
        }
    }

    fn lift(&mut self, order: &ActOrder, id: RestrictionId, for_good: bool) -> Answered {
        let book = self.book();
        let kept = book.kept.get(&id).filter(|_| !for_good).map(|kept| &kept.held);
        let Some(held) = book.held.get(&id).or(kept) else {
            let rest = match book.purged.get(&id) {
                Some((then, files)) => format!(
                    "what was kept of it ({files} files) was deleted at {then}, 30 days after it was lifted for good; only a backup has it now"
                ),
                None => "nothing of it is kept here".to_owned(),
            };
            return self.answer(Some(id), order.intent, Ok(format!("{id} was not in force, and {rest}")));
        };
        if held.account != order.account {
            let who = |a: &AccountRef| format!("{a} (uid {}, owner {})", a.uid, a.generation);
            let (its, named) = (who(&held.account), who(&order.account));
            return Err(Failure::Guard(format!("{id} belongs to {its}, not to {named}; check the order")));
        }
        self.write(Record::Lifting(id, order.intent, order.link, for_good))?;
        self.step("lift: journalled");
        let held = self.book().held.get(&id).cloned().ok_or_else(|| Failure::Gone(id.to_string()))?;
        let what = self.take_back(&held).map_err(|why| format!("{why} (tried again within 5 minutes)"))?;
        let unwritten = |e| Failure::Error(format!("{what}; it will be done once more, because {e}"));
        self.answer(Some(id), order.intent, Ok(what.clone())).map_err(unwritten)
    }

    fn open_pass(&mut self, pass: OpenPass) -> Answered {
        self.write(Record::Passing(pass.clone()))?;
        self.step("pass: journalled");
        for file in &pass.files {
            if let Err(e) = gate::put(&self.gate, file, b"") {
                self.close_pass(&pass)?;
                return Err(Failure::Error(format!("pass file: {e}; check the gate folder's owner and free space")));
            }
            self.step("pass: one file");
        }
        let what = format!("pass open until {}, {} files", pass.until, pass.files.len());
        self.answer(None, pass.intent, Ok(what))
    }

    fn plan_pass(&self, order: &ActOrder, sites: &[Domain], row: Hash, until: Moment) -> Result<OpenPass, Failure> {
        let Some(pass) = &order.pass else {
            return Err(Failure::Error("the pass itself is missing; its row has expired, ask for a new one".into()));
        };
        if Hash::of(pass.row().as_bytes()) != row {
            return Err(Failure::Error("the pass is not the one that was ordered; ask for a new one".into()));
        }
        if until <= self.now() {
            return Err(Failure::Gone("the pass has already ended; ask for a new one".into()));
        }
        let (gates, leaves) = (crate::effect::gates(&order.sites, sites)?, gate::leaves(pass));
        let files = gates.iter().flat_map(|key| leaves.iter().map(|leaf| gate::pass(key, leaf)));
        let files = files.collect::<Result<_, String>>()?;
        Ok(OpenPass { intent: order.intent, files, until, answered: false })
    }

    fn close_pass(&mut self, pass: &OpenPass) -> Result<(), Failure> {
        for file in &pass.files {
            let wanted = |other: &OpenPass| {
                other.intent != pass.intent && other.until > self.now() && other.files.contains(file)
            };
            if !self.book().passes.iter().any(wanted) {
                gate::take(&self.gate, file).map_err(|e| e.to_string())?;
            }
        }
        self.write(Record::PassEnds(pass.intent))
    }

    fn list(&mut self) -> Vec<FromAct> {
        let (held, seen) = (self.book().held.values().filter(|held| !held.is_begun()), self.seen());
        let mut answers: Vec<FromAct> = held
            .map(|held| {
                let what = self.look(held, &seen);
                let holds = what.is_ok();
                FromAct::InForce {
                    restriction: held.restriction.id,
                    account: held.account.clone(),
                    verb: held.restriction.measure.name().into(),
                    holds,
                    what: what.unwrap_or_else(|what| what),
                }
            })
            .collect();
        answers.push(FromAct::ListEnd);
        answers
    }

    fn would(&self, order: &ActOrder) -> Answered {
        let mut steps = match self.plan(order)? {
            Plan::Impose(held, _) => self.touches(&held)?,
            Plan::Lift(id, true) => vec![format!("lift {id}, end its processes")],
            Plan::Lift(id, false) => vec![format!("lift {id}")],
            Plan::OpenPass(pass) => pass.files,
        };
        steps.truncate(200);
        Ok(FromAct::Would { intent: order.intent, steps })
    }

    /// Forgets what was lifted for good a month ago, and deletes what is still set aside of it. The month must have
    /// passed by the wall clock, which can be set, and by the budget's, which cannot.
    fn purge(&mut self) {
        let (now, stamp) = (self.now(), self.stamp());
        let kept: Vec<Kept> = self.book().kept.values().cloned().collect();
        for Kept { held, since } in &kept {
            let id = held.restriction.id;
            let Some((then, since)) = *since else {
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
                let _ = self.journal.write(Record::Purged(id, now));
            }
        }
        // Time with the power off does not count, but that before it must.
        if !kept.is_empty() && self.book().last.is_none_or(|last| stamp.passed >= last.passed + 86_400) {
            let _ = self.journal.write(Record::Day(stamp));
        }
    }

    /// Wall clock.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Seconds that nobody can set.
    pub(crate) fn uptime(&self) -> u64 {
        self.clock.uptime().1
    }

    /// Time of the budgets.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::after(self.book().last, self.clock.uptime())
    }

    pub(crate) fn book(&self) -> &Book {
        self.journal.book()
    }

    pub(crate) fn write(&mut self, record: Record) -> Result<(), Failure> {
        self.journal.write(record).map_err(|e| format!("the journal cannot be written: {e}; check free space").into())
    }

    fn answer(&mut self, id: Option<RestrictionId>, intent: IntentId, ended: Result<String, Failure>) -> Answered {
        let answer = match ended {
            Ok(what) => FromAct::Done { intent, what },
            Err(why) => FromAct::Failed { intent, why },
        };
        self.step("before the answer");
        self.write(Record::Answered(id, answer.clone()))?;
        self.step("after the answer");
        Ok(answer)
    }

    pub(crate) fn step(&mut self, name: &'static str) {
        (self.steps)(name);
    }
}
