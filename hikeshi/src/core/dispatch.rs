//! Sends what is stored and due, and takes in what came of it.

use std::time::{Duration, Instant};

use model::order::{Failure, Finding};
use model::packet::{ActOrder, PassKey, SiteHandle, ToAct, ToDesk, ToSense};
use model::{
    AccountRef, Body, BodyKind, Delivery, Domain, Evidence, Hash, Input, Intent, IntentId, Look, NoticeId, NoticeKind,
    Order, Outcome, Seen, Span, Verb,
};
use store::StoreError;

use super::letters::Letter;
use super::{Core, letters};
use crate::link::Sent;

/// An order that was sent and not answered for so long is sent again (every role answers a repeated one).
const RESEND: Duration = Duration::from_secs(120);
/// Bytes of evidence in one packet to the senses.
const EVIDENCE_ROOM: usize = 24 * 1024;
/// Pause before a lift that failed is asked for again.
const LIFT_AGAIN: Span = Span::secs(30);
/// A notice waits at most so long for the restrictions that it speaks of.
const SETTLE: Span = Span::secs(60);

impl Core {
    /// Sends everything that is due and can be sent now.
    pub fn dispatch(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut due: Vec<Intent> = self
            .outbox
            .values()
            .filter(|p| p.next_at <= now && p.sent.is_none_or(|at| at.elapsed() > RESEND))
            .map(|p| p.intent.clone())
            .collect();
        due.sort_by_key(|intent| patience(&intent.order));
        for intent in due {
            let sent: Sent = match &intent.order {
                Order::Act(verb) => self.send_act(&intent, verb.clone())?,
                Order::Look(look) => self.send_look(&intent, look.clone())?,
                Order::Tell { notice, kind } => self.send_notice(&intent, *notice, kind.clone())?,
                Order::Page { incident, rule } => self.send_page(&intent, *incident, rule)?,
            };
            match sent {
                Sent::Yes => {
                    if let Some(pending) = self.outbox.get_mut(&intent.id) {
                        pending.sent = Some(Instant::now());
                    }
                }
                Sent::NotNow => {}
                Sent::TooLarge => {
                    let why =
                        "the order has no room in one packet (too many sites at once); do it site by site".to_owned();
                    self.answer(intent.id, Seen::Failed(Failure::Error(why)))?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what was sent on a line that broke, so that it is sent again on the next one.
    pub fn line_broke(&mut self, concerns: impl Fn(&Order) -> bool) {
        for pending in self.outbox.values_mut().filter(|p| concerns(&p.intent.order)) {
            pending.sent = None;
        }
    }

    fn send_act(&mut self, intent: &Intent, verb: Verb) -> Result<Sent, StoreError> {
        let pass = match &verb {
            Verb::OpenPass { pass, .. } => match self.store.body(pass)?.and_then(|b| pass_key(&b.bytes)) {
                Some(key) => Some(key),
                None => {
                    self.answer(
                        intent.id,
                        Seen::Failed(Failure::Gone("the pass has expired; ask for a new one".into())),
                    )?;
                    return Ok(Sent::NotNow);
                }
            },
            _ => None,
        };
        let order = self.order(intent.id, intent.account.clone(), verb, pass, false)?;
        Ok(self.lines.act.send(&order))
    }

    /// An order with all that `act` needs to know of the account. A question has no place in the log, and no link.
    pub fn order(
        &self,
        intent: IntentId,
        account: AccountRef,
        verb: Verb,
        pass: Option<PassKey>,
        dry_run: bool,
    ) -> Result<ToAct, StoreError> {
        let domains = match &verb {
            Verb::Impose { restriction, .. } => restriction.measure.sites(),
            Verb::Lift { measure, .. } => measure.sites(),
            Verb::OpenPass { sites, .. } => sites.clone(),
        };
        let sites = self.handles(&account.name, &domains)?;
        // Empty when it is not known: then no file of it is touched.
        let home = self.store.account(&account.name)?.map(|known| known.entry.home).unwrap_or_default();
        let link = self.store.link_of(intent.0)?.unwrap_or(Hash::ZERO);
        Ok(ToAct::Do(ActOrder { intent, link, account, home, verb, sites, pass, dry_run }))
    }

    fn send_look(&mut self, intent: &Intent, look: Look) -> Result<Sent, StoreError> {
        match &look {
            Look::Probe { restriction, sites, path, closed } => {
                let (incident, path, closed) = (restriction.incident, path.clone(), *closed);
                let sites = self.handles(&intent.account.name, sites)?;
                Ok(self.lines.desk.send(&ToDesk::Probe { intent: intent.id, sites, path, incident, closed }))
            }
            Look::Rescan { captured, .. } => {
                let evidence = self.evidence_of(captured);
                let packet = ToSense::Look { intent: intent.id, account: intent.account.clone(), look, evidence };
                Ok(self.lines.sense.send(&packet))
            }
            Look::Capture { .. } => {
                let packet =
                    ToSense::Look { intent: intent.id, account: intent.account.clone(), look, evidence: vec![] };
                Ok(self.lines.sense.send(&packet))
            }
        }
    }

    /// Evidence for a rescan, as much as a packet has room for beside the rest.
    fn evidence_of(&self, captured: &[Hash]) -> Vec<Evidence> {
        let mut room = EVIDENCE_ROOM;
        let mut found = Vec::new();
        for evidence in captured.iter().filter_map(|h| self.evidence(*h)) {
            let size: usize = evidence.0.iter().map(|(_, v)| v.to_string().len() + 8).sum();
            if size > room {
                break;
            }
            room -= size;
            found.push(evidence);
        }
        found
    }

    /// The evidence of this hash, while it is kept.
    pub fn evidence(&self, hash: Hash) -> Option<Evidence> {
        let body = self.store.body(&hash).ok()??;
        serde_json::from_slice(&body.bytes).ok()
    }

    pub fn handles(&self, account: &model::AccountName, domains: &[Domain]) -> Result<Vec<SiteHandle>, StoreError> {
        let known = self.store.account(account)?;
        let sites = known.map(|k| k.entry.sites).unwrap_or_default();
        let wanted = sites.into_iter().filter(|s| domains.contains(&s.domain));
        Ok(wanted.map(|s| SiteHandle { domain: s.domain, root: s.root, gates: s.gates, probes: s.probes }).collect())
    }

    /// A letter leaves when what it speaks of is settled; it is stored before it leaves.
    fn send_notice(&mut self, intent: &Intent, notice: NoticeId, kind: NoticeKind) -> Result<Sent, StoreError> {
        let now = self.clock.now();
        let account = self.account(&intent.account)?;
        let Some(incident) = account.incident(notice.incident) else {
            self.answer(intent.id, Seen::Failed(Failure::Gone("the incident is no longer kept".into())))?;
            return Ok(Sent::NotNow);
        };
        let unsettled = incident.restrictions.iter().any(|g| g.status == engine::Status::Ordered);
        let holds = incident.restrictions.iter().any(|g| matches!(g.status, engine::Status::Imposed(_)));
        let ordered = incident.notices.iter().find(|n| n.id == notice).map_or(now, |n| n.ordered);
        let about = matches!(kind, NoticeKind::Restricted | NoticeKind::Added | NoticeKind::Relapse { .. });
        // After a while it tells of what holds; as long as nothing does there is nothing to tell.
        if unsettled && about && (now - ordered < SETTLE || !holds) {
            return Ok(Sent::NotNow);
        }
        // A name may have another owner by now: letters about an earlier one are not his.
        let known = self.store.account(&intent.account.name)?.filter(|k| k.entry.account == intent.account);
        let to: Vec<String> = known.iter().flat_map(|k| &k.entry.contacts).map(|c| c.address.clone()).take(8).collect();
        if to.is_empty() {
            let why = "no address of record; add [[account]] contacts in accounts.d".to_owned();
            self.answer(intent.id, Seen::Told(Delivery::Undeliverable { why }))?;
            return Ok(Sent::NotNow);
        }
        let letter = match letters::stored(&self.store, notice)? {
            Some(letter) => letter,
            None => {
                let letter = letters::write(self, &intent.account, notice, &kind)?;
                self.store_letter(intent, notice, &letter)?;
                letter
            }
        };
        let domain = self.config.message_domain();
        let id = |ordinal: u16| format!("{}.{ordinal}@{domain}", notice.incident);
        let references = (1..notice.ordinal).rev().take(16).map(id).rev().collect();
        let packet = ToDesk::Send {
            intent: intent.id,
            to,
            message_id: id(notice.ordinal),
            references,
            subject: letter.subject,
            text: letter.text,
        };
        Ok(self.lines.desk.send(&packet))
    }

    /// Stores a letter under its notice. The row comes before the pointer to it: without the pointer the letter is
    /// written anew, which is the worst that a crash in between does, because nothing has left yet.
    fn store_letter(&mut self, intent: &Intent, notice: NoticeId, letter: &Letter) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(letter).expect("two texts are JSON");
        let body = Body { kind: BodyKind::Letter, expires: self.clock.now() + super::run::EVIDENCE_KEPT, bytes };
        let hash = body.hash();
        let mut turn = self.turn()?;
        turn.batch.bodies.push(body);
        let written = Outcome { intent: intent.id, seen: Seen::Written };
        self.step(&mut turn, &intent.account, Input::Outcome(written))?;
        self.commit(turn)?;
        self.store.put_setting(&letters::key(notice), &hash.to_string())
    }

    fn send_page(&mut self, intent: &Intent, incident: model::Number, rule: &str) -> Result<Sent, StoreError> {
        if self.config.notice.operator_mail.is_none() {
            let why = "no [notice] operator_mail is configured; see `hikeshi status`".to_owned();
            self.answer(intent.id, Seen::Told(Delivery::Undeliverable { why }))?;
            return Ok(Sent::NotNow);
        }
        let (subject, text) = letters::page(self, &intent.account, incident, rule)?;
        Ok(self.lines.desk.send(&ToDesk::Page { intent: intent.id, subject, text }))
    }

    /// Takes in one outcome: tries again later what can wait, else decides what follows and marks it done.
    pub fn hear(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        let Some(pending) = self.outbox.get_mut(&outcome.intent) else {
            return Ok(()); // answered before
        };
        let account = pending.intent.account.clone();
        let mut seen = outcome.seen;
        let mut turn_later = None;
        if let Seen::Told(Delivery::Waiting { why }) = &seen {
            pending.tries += 1;
            pending.sent = None;
            let waited = self.clock.now() - pending.since;
            match desk::mail::next_try(pending.tries, waited) {
                Some(pause) => turn_later = Some((pending.tries, pause, why.clone())),
                None => {
                    seen = Seen::Told(Delivery::Undeliverable {
                        why: format!("given up after {} tries: {why}", pending.tries),
                    })
                }
            }
        }
        if let (Order::Act(Verb::Lift { .. }), Seen::Failed(why)) = (&pending.intent.order, &seen)
            && !matches!(why, Failure::Gone(_))
        {
            // What is lifted must open at last: it is asked again until it is done; a person hears of it once.
            pending.tries += 1;
            pending.sent = None;
            turn_later = Some((pending.tries, LIFT_AGAIN, why.to_string()));
        }
        let mut turn = self.turn()?;
        match turn_later {
            Some((tries, pause, why)) => {
                let next_at = turn.now + pause;
                if let Some(pending) = self.outbox.get_mut(&outcome.intent) {
                    pending.next_at = next_at;
                }
                turn.batch.attempts.push(store::Attempt { intent: outcome.intent, tries, next_at, error: why });
            }
            None => turn.batch.done.push(outcome.intent),
        }
        self.step(&mut turn, &account, Input::Outcome(Outcome { intent: outcome.intent, seen }))?;
        self.commit(turn)
    }

    fn answer(&mut self, intent: IntentId, seen: Seen) -> Result<(), StoreError> {
        self.hear(Outcome { intent, seen })
    }

    /// Findings of one batch of the senses, stored with the places that were read.
    pub fn findings(
        &mut self,
        findings: Vec<Finding>,
        cursors: Vec<model::packet::Cursor>,
        baselines: Vec<model::packet::Baseline>,
    ) -> Result<(), StoreError> {
        let mut turn = self.turn()?;
        for Finding { signal, evidence } in findings {
            let who = signal.account.clone();
            let events = self.step(&mut turn, &who, Input::Signal(signal))?;
            if events.is_empty() {
                continue; // known, or nothing to keep: its evidence is not kept either
            }
            let bytes = serde_json::to_vec(&evidence).expect("evidence is plain values");
            let expires = turn.now + super::run::EVIDENCE_KEPT;
            turn.batch.bodies.push(Body { kind: BodyKind::Evidence, expires, bytes });
        }
        turn.batch.cursors = cursors;
        turn.batch.baselines = baselines;
        if turn.batch.events.is_empty() && turn.batch.cursors.is_empty() && turn.batch.baselines.is_empty() {
            return Ok(());
        }
        self.commit(turn)
    }

    /// Lets time pass for every account where it can change something.
    pub fn tick(&mut self) -> Result<(), StoreError> {
        self.look_for_disarm();
        let now = self.clock.now();
        let changes =
            |a: &&engine::Account| a.is_due(now) && !engine::step(a, &self.policy, now, Input::Tick).is_empty();
        let due: Vec<_> = self.accounts.values().filter(changes).map(|a| a.account.clone()).collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut turn = self.turn()?;
        for who in due {
            self.step(&mut turn, &who, Input::Tick)?;
        }
        if turn.batch.events.is_empty() {
            return Ok(());
        }
        self.commit(turn)
    }
}

/// Shortest first, because `act` does one after the other: a flag file takes milliseconds, a freeze waits until its
/// processes stand still, Postfix takes a second. Otherwise in the order in which they were given.
fn patience(order: &Order) -> u8 {
    let Order::Act(verb) = order else { return 3 };
    match verb {
        Verb::OpenPass { .. } => 0,
        Verb::Impose { restriction: model::Restriction { measure, .. }, .. } | Verb::Lift { measure, .. } => {
            match measure {
                model::Measure::FreezeProcess { .. } => 1,
                model::Measure::HoldMail { .. } | model::Measure::EndSessions { .. } => 2,
                _ => 0,
            }
        }
    }
}

/// A pass row is `tok:` and 32 hexadecimal digits, or `ip:` and an address.
fn pass_key(bytes: &[u8]) -> Option<PassKey> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Some(address) = text.strip_prefix("ip:") {
        return address.parse().ok().map(PassKey::Address);
    }
    let token = text.strip_prefix("tok:")?;
    let mut bytes = [0u8; 16];
    if token.len() != 32 || !token.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&token[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(PassKey::Token(bytes))
}
