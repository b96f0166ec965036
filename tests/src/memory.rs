//! Plays a story in memory: the engine alone, with a well-behaved world around it. Milliseconds.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Account, Policy, Status, step};
use model::{AccountRef, Delivery, Event, Input, Intent, IntentId, Mode, Moment, Order, Outcome, Seen};

use crate::render::{Names, lines};
use crate::story::{Said, Story};
use crate::world;

/// The mode of a story.
pub fn mode(story: &Story) -> Mode {
    match story.mode.as_str() {
        "observe" => Mode::Observe,
        "advise" => Mode::Advise,
        "enforce" => Mode::Enforce,
        other => panic!("{}: no mode «{other}»", story.name),
    }
}

/// Plays it; the lines of each beat, and the accounts at the end.
pub fn play(story: &Story) -> (Vec<Vec<String>>, BTreeMap<AccountRef, Account>) {
    let mut played = Played {
        story,
        policy: Policy { mode: mode(story), ..Policy::default() },
        accounts: BTreeMap::new(),
        pending: BTreeMap::new(),
        seq: 0,
        serial: 0,
        events: Vec::new(),
    };
    for (name, sites) in &story.accounts {
        let who = world::account(story, name);
        played.accounts.insert(who.clone(), Account::new(who.clone()));
        played.input(&who, story.beats[0].at, Input::Inventory(world::sites(sites)));
    }
    played.events.clear();
    let mut names = Names::default();
    let mut answers = Vec::new();
    for beat in &story.beats {
        played.beat(beat.at, beat.said.as_ref(), &names);
        answers.push(lines(&mut names, &std::mem::take(&mut played.events)));
    }
    (answers, played.accounts)
}

struct Played<'a> {
    story: &'a Story,
    policy: Policy,
    accounts: BTreeMap<AccountRef, Account>,
    pending: BTreeMap<IntentId, Intent>,
    seq: u64,
    serial: u16,
    events: Vec<Event>,
}

impl Played<'_> {
    fn beat(&mut self, now: Moment, said: Option<&Said>, names: &Names) {
        match said {
            None => self.tick(now),
            Some(said @ Said::Signal { account, .. }) => {
                let finding = world::finding(self.story, now, said);
                let who = world::account(self.story, account);
                self.input(&who, now, Input::Signal(finding.signal));
            }
            Some(Said::Verdict { account, what }) => {
                let waiting = self.pending.values().find(|i| world::concerns(i, account)).cloned();
                let intent =
                    waiting.unwrap_or_else(|| panic!("{}: no verification of {account} is under way", self.story.name));
                self.outcome(&intent, now, world::verdict(what, now));
            }
            Some(said) => {
                let name = match said {
                    Said::Owner { account, .. } => account.clone(),
                    Said::Operator { target: Some((account, _)), .. } => account.clone(),
                    Said::Operator { incident, .. } => {
                        let number = names.number(*incident).expect("an incident of this story");
                        let owner = self.accounts.values().find(|a| a.incident(number).is_some());
                        owner.expect("somebody has it").account.name.to_string()
                    }
                    _ => unreachable!("matched above"),
                };
                let who = world::account(self.story, &name);
                let input = world::spoken(said, names).expect("owners and operators speak");
                self.input(&who, now, input);
            }
        }
        self.settle(now);
        // The real core's clock ticks all the time.
        self.tick(now);
        self.settle(now);
    }

    fn tick(&mut self, now: Moment) {
        for who in self.accounts.keys().cloned().collect::<Vec<_>>() {
            self.input(&who, now, Input::Tick);
        }
    }

    /// Answers every order until only verifications wait for their verdict.
    fn settle(&mut self, now: Moment) {
        // What has to wait is tried again when time has passed, not in the same moment.
        let mut tried = BTreeSet::new();
        while let Some((intent, seen)) = self.answerable(now, &tried) {
            let waits = matches!(seen, Seen::Told(Delivery::Waiting { .. }));
            tried.insert(intent.id);
            self.outcome(&intent, now, seen);
            if waits {
                self.pending.insert(intent.id, intent);
            }
        }
    }

    /// The oldest order that the core would have sent by now and that the world answers: a letter leaves when the
    /// restrictions that it speaks of are settled.
    fn answerable(&self, now: Moment, tried: &BTreeSet<IntentId>) -> Option<(Intent, Seen)> {
        let left = |intent: &&Intent| match &intent.order {
            Order::Tell { notice, .. } => {
                let incident = self.accounts[&intent.account].incident(notice.incident);
                incident.is_none_or(|i| i.restrictions.iter().all(|g| g.status != Status::Ordered))
            }
            _ => true,
        };
        let untried = self.pending.values().filter(|i| !tried.contains(&i.id));
        untried.filter(left).find_map(|i| Some((i.clone(), world::answer(self.story, &i.order, now)?)))
    }

    fn outcome(&mut self, intent: &Intent, now: Moment, seen: Seen) {
        self.pending.remove(&intent.id);
        self.input(&intent.account, now, Input::Outcome(Outcome { intent: intent.id, seen }));
    }

    fn input(&mut self, who: &AccountRef, now: Moment, input: Input) {
        let account = self.accounts.get_mut(who).expect("accounts of the story");
        account.serial = self.serial;
        for event in step(account, &self.policy, now, input) {
            self.seq += 1;
            let id = IntentId(self.seq);
            account.apply(id, &event);
            if let Some(intent) = event.intent(id) {
                self.pending.insert(id, intent);
            }
            if let model::Fact::NoticeSeen { notice, delivery: Delivery::Withdrawn } = &event.fact {
                self.pending.retain(|_, i| !matches!(&i.order, Order::Tell { notice: n, .. } if n == notice));
            }
            if matches!(event.fact, model::Fact::IncidentOpened { .. }) {
                self.serial += 1;
            }
            self.events.push(event);
        }
    }
}
