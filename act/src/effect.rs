//! What each measure does to the node: plan, apply, look, take back. One arm a measure; the work is in its own file.
//!
//! What is shared is written anew from all that is wanted (`wanted`) and needs no undo record. Processes, files and cron
//! lines are single things: their undo record is planned, journalled, and only then used.

use std::collections::BTreeSet;

use model::packet::{ActOrder, SiteHandle};
use model::{AccountRef, Domain, Failure, GateKey, MailScope, Measure, QueueId, Restriction, Span};

use crate::actor::Actor;
use crate::cron::Crontab;
use crate::files::Set;
use crate::freeze::{self, Pack};
use crate::gate::Answer;
use crate::journal::{Caught, Effect, Held, Means, Record, Standing};
use crate::mail::{self, Fate, Line};
use crate::wanted::{Seen, flags, mail_line};

impl Actor {
    /// Everything that can be checked without changing anything, and what would be changed.
    pub(crate) fn plan_effect(&self, order: &ActOrder, restriction: &Restriction) -> Result<Held, Failure> {
        let account = &order.account;
        let mut held = Held {
            intent: order.intent,
            link: order.link,
            account: account.clone(),
            restriction: restriction.clone(),
            effect: Effect::Refuse,
            standing: Standing::Imposing,
        };
        let line = |fate| Line { account: account.clone(), fate, number: restriction.id.incident };
        if let Some(known) = self.put_away(restriction)? {
            return Ok(Held { effect: known, ..held });
        }
        let gates = || gates(&order.sites, &restriction.measure.sites());
        held.effect = match &restriction.measure {
            Measure::CloseSite { .. } | Measure::CloseAccount { .. } => Effect::Gates(gates()?),
            Measure::BlockScript { path, .. } => Effect::Scripts(gates()?, path.clone()),
            Measure::HoldMail { scope, queued } => {
                let mail = self.mail()?;
                mail.check(&line(Fate::Held(scope.clone())), queued)?;
                // Only what we put on hold ourselves is ever taken off again.
                Effect::Hold(scope.clone(), mail.waiting(queued))
            }
            Measure::RefuseMail => {
                self.mail()?.check(&line(Fate::Refused), &[])?;
                Effect::Refuse
            }
            Measure::FreezeProcess { processes } => {
                Effect::Freeze(self.ice.means(), self.ice.check(account, processes)?)
            }
            Measure::DisableCronLine { line } => Effect::Cron(self.crontab(account).plan(restriction.id, line)?),
            Measure::QuarantineFile { files, of } => {
                self.room_for_files(order, files.len() as u64, *of)?;
                Effect::Files(order.home.clone(), self.files.plan(account, &order.home, files)?)
            }
            Measure::EndSessions { site } => {
                let handle = order.sites.iter().find(|handle| handle.domain == *site);
                let handle = handle.ok_or_else(|| Failure::Gone(format!("{site} is no site of {account} any more")))?;
                crate::sessions::check(account, &handle.root)?;
                if !self.stuck.is_over(account, self.uptime()) {
                    let why = "code of this account did not end in time within the last hour, so it is not run again";
                    return Err(Failure::Error(format!("{site}: {why}; {}", crate::sessions::ELSE)));
                }
                Effect::Sessions(handle.root.clone())
            }
            Measure::BlockLogin { logins } => {
                self.config.logins.check(account, logins)?;
                Effect::Logins(logins.clone())
            }
            Measure::BlockOutbound => {
                self.net()?.check()?;
                Effect::Outbound
            }
            Measure::ThrottleSource { sources } => {
                let net = self.net()?;
                net.check()?;
                let sources = net.may_slow(sources).map_err(Failure::Guard)?;
                Effect::Sources(sources, self.now() + restriction.measure.lasts().unwrap_or(Span::hours(1)))
            }
            Measure::AskOwner | Measure::PageOperator | Measure::ThrottleMail { .. } => {
                let name = restriction.measure.name();
                return Err(Failure::Error(format!("{name} changes nothing here; the desk does it")));
            }
        };
        flags(&held.effect, Answer::Forbidden)?;
        Ok(held)
    }

    /// The undo record of the same order once more: what it put away is no longer where it was judged.
    fn put_away(&self, restriction: &Restriction) -> Result<Option<Effect>, Failure> {
        let (book, id) = (self.book(), restriction.id);
        let why = match book.held.get(&id).filter(|known| known.is_put_away()) {
            Some(known) if known.restriction.measure == restriction.measure => return Ok(Some(known.effect.clone())),
            Some(_) => "has put something else away; order this as a restriction of its own",
            None if book.kept.contains_key(&id) => {
                "was lifted and what it put away is kept; lift it again to get it back"
            }
            None => return Ok(None),
        };
        Err(Failure::Error(format!("{id} {why}")))
    }

    /// Makes the effect real and tests it. May be repeated.
    pub(crate) fn apply(&mut self, held: &Held) -> Result<String, Failure> {
        let (id, account) = (held.restriction.id, &held.account);
        if let Some(line) = mail_line(held) {
            return self.stop_mail(held, &line);
        }
        self.write_anew(held)?;
        match &held.effect {
            Effect::Freeze(means, caught) => return self.freeze(held, *means, caught.clone()),
            Effect::Files(home, moved) => self.files.apply(&Set { id, account, home, moved }, &mut self.steps)?,
            Effect::Cron(splice) => self.crontab(account).apply(splice, &mut self.steps)?,
            Effect::Sessions(root) => {
                let sites = held.restriction.measure.sites();
                let site = sites.first().ok_or_else(|| "no site was named".to_owned())?;
                let now = self.uptime();
                let what = crate::sessions::end(account, root, site, || self.stuck.failed(account, now))?;
                self.step("impose: everyone signed out");
                return Ok(what);
            }
            _ => {}
        }
        self.step("impose: before the test");
        self.look(held, &self.seen()).map_err(|what| Failure::NoEffect(format!("{what}; taken back")))
    }

    /// Removes the effect, as far as no other restriction wants it: the journal says already that this one does not.
    /// May be repeated.
    pub(crate) fn take_back(&mut self, held: &Held) -> Result<String, String> {
        let (id, account) = (held.restriction.id, &held.account);
        let for_good = held.standing == Standing::Lifting { for_good: true };
        if let Some(line) = mail_line(held) {
            return self.let_mail_flow(held, &line);
        }
        let wanted = self.write_anew(held)?;
        match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind())?;
                let closed = flags.iter().filter(|flag| wanted.flags.contains_key(*flag)).count();
                let still = if closed > 0 { format!("{closed} still closed") } else { String::new() };
                Ok(format!("{} flags lifted{}", flags.len() - closed, by_others(&still)))
            }
            Effect::Freeze(means, caught) => {
                let done = self.ice.let_go(&Pack { id, means: *means, account, caught }, for_good)?;
                self.step("lift: processes let go");
                Ok(format!("{done} processes {}", if for_good { "ended" } else { "go on" }))
            }
            _ if for_good && held.is_put_away() => Ok("stays set aside; a later lift gives it back".into()),
            Effect::Files(home, moved) => {
                let set = Set { id, account, home, moved };
                let (what, kept) = self.files.take_back(&set, !held.is_begun(), &mut self.steps)?;
                if kept > 0 {
                    // As after a lift for good: out of force, in the book, and a later lift gives them back.
                    self.write(Record::Lifting(id, held.intent, held.link, true)).map_err(|e| e.to_string())?;
                    self.step("lift: kept");
                }
                Ok(what)
            }
            Effect::Cron(splice) => self.crontab(account).take_back(splice, &mut self.steps),
            Effect::Hold(..) | Effect::Refuse | Effect::Sessions(_) => Ok("people sign in again by themselves".into()),
            Effect::Logins(_) => Ok("logins allowed, as far as no other restriction denies them".into()),
            Effect::Outbound | Effect::Sources(..) => {
                Ok("connections open again, as far as no other restriction blocks them".into())
            }
        }
    }

    /// What is seen of the effect; an error when it is not, or not wholly, there.
    pub(crate) fn look(&self, held: &Held, seen: &Seen<'_>) -> Result<String, String> {
        let (id, account) = (held.restriction.id, &held.account);
        let (is, there, place) = match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind())?;
                let there = self.flags_there(&flags, &seen.wanted);
                let all = format!("{there} of {} flags there", flags.len());
                return if there == flags.len() && there > 0 { Ok(all) } else { Err(all) };
            }
            Effect::Hold(..) | Effect::Refuse => {
                let Some(line) = mail_line(held) else { return Err("no mail is stopped by it".into()) };
                let (whose, outlived) = (line.whose(), self.outlived(account));
                let there = match line.fate {
                    Fate::Held(_) => format!("hold line of {whose} there"),
                    Fate::Refused => format!("{whose} may hand in no mail; what a form sends is refused and not kept"),
                };
                (seen.mail(&line)?, format!("{there}{outlived}"), "table of stopped mail")
            }
            Effect::Freeze(means, caught) => {
                return match self.ice.stands(&Pack { id, means: *means, account, caught })? {
                    (_, 0) => Err("no process is left".into()),
                    (true, count) => Ok(format!("{}, {count} processes", still_by(*means))),
                    (false, count) => Err(format!("not {}, {count} processes", still_by(*means))),
                };
            }
            Effect::Files(home, moved) => return self.files.look(&Set { id, account, home, moved }),
            Effect::Cron(splice) => return self.crontab(account).look(splice),
            Effect::Sessions(_) => return Ok("everyone was signed out once".into()),
            Effect::Logins(logins) => {
                let there = "new logins denied; who is logged in stays so until he leaves";
                (self.config.logins.is_set(&seen.wanted.logins, account, logins)?, there.into(), "deny list")
            }
            Effect::Sources(_, until) if *until <= self.now() => return Ok(format!("ended by itself at {until}")),
            Effect::Outbound | Effect::Sources(..) => {
                (seen.net()?, format!("packet filter set{}", spared(held)), "packet filter")
            }
        };
        if is { Ok(there) } else { Err(format!("the {place} was changed by somebody else")) }
    }

    /// What an order to impose this would touch, one line each.
    pub(crate) fn touches(&self, held: &Held) -> Result<Vec<String>, String> {
        let whose = mail_line(held).map(|line| format!("mail of {}", line.whose()));
        let what: Vec<String> = match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind())?;
                flags.iter().map(|flag| self.config.gate_dir.join(flag).display().to_string()).collect()
            }
            Effect::Hold(_, queued) => whose.into_iter().chain(queued.iter().map(QueueId::to_string)).collect(),
            Effect::Refuse => whose.into_iter().collect(),
            Effect::Freeze(_, found) => {
                found.iter().map(|one| format!("pid {} and its children", one.process.pid)).collect()
            }
            Effect::Files(home, moved) => moved.iter().map(|one| format!("{home}/{}", one.file.path)).collect(),
            Effect::Cron(splice) => vec![format!("the line at byte {} of the crontab", splice.line.start)],
            Effect::Sessions(root) => vec![format!("all sessions of WordPress in {root}")],
            Effect::Logins(logins) => logins.iter().map(|login| format!("{login:?}")).collect(),
            Effect::Outbound => vec!["connections that it opens, mail ports on loopback too".into()],
            Effect::Sources(sources, until) => sources.iter().map(|one| format!("{one} until {until}")).collect(),
        };
        let order = format!("{} for uid {}", held.restriction.measure.name(), held.account.uid);
        Ok(what.iter().map(|what| format!("{order}: {what}")).collect())
    }

    /// Writes the tables, puts what waits on hold, when mail is held, and asks Postfix what it makes of new mail.
    fn stop_mail(&mut self, held: &Held, line: &Line) -> Result<String, Failure> {
        let (whose, wanted) = (line.whose(), self.wanted().mail);
        let mut mail = mail::now(&self.mail, wanted)?;
        mail.set(&line.fate, &mut self.steps)?;
        let moved = mail.hold_queued(held.effect.queued())?;
        (self.steps)("impose: queue held");
        if !mail.would_stop(line)? {
            return Err(Failure::NoEffect(format!("Postfix's tables do not stop mail of {whose}; taken back")));
        }
        let Measure::HoldMail { scope, queued } = &held.restriction.measure else {
            return Ok(format!("{whose} may hand in no mail; what a form sends is refused and not kept"));
        };
        let open = match scope {
            MailScope::Local => "",
            _ => "; a mail session that is open already goes on until it ends",
        };
        Ok(format!("mail of {whose} is held; {moved} of {} waiting messages put on hold{open}", queued.len()))
    }

    /// Writes the tables. What waits flows again only when the restriction never came into force: otherwise a person
    /// sorts it.
    fn let_mail_flow(&mut self, held: &Held, line: &Line) -> Result<String, String> {
        let wanted = self.wanted();
        let still = wanted.mail.iter().any(|other| (&other.account, &other.fate) == (&line.account, &line.fate));
        let mut mail = mail::now(&self.mail, wanted.mail)?;
        mail.set(&line.fate, &mut self.steps)?;
        if held.is_begun() && !still {
            // Another restriction may have put the same messages on hold.
            let ours: Vec<_> = held.effect.queued().iter().filter(|id| !wanted.queued.contains(id)).cloned().collect();
            mail.release(&ours, &mut self.steps)?;
        }
        let (whose, on_hold) = (line.whose(), mail.on_hold()?);
        Ok(match line.fate {
            Fate::Refused if still => format!("{whose} is still refused by another restriction"),
            Fate::Refused => format!("{whose} may hand in mail again"),
            Fate::Held(_) => format!(
                "hold line of {whose} lifted{}; {on_hold} messages of all accounts stay on hold",
                by_others(if still { "still held" } else { "" })
            ),
        })
    }

    fn freeze(&mut self, held: &Held, means: Means, mut batch: Vec<Caught>) -> Result<String, Failure> {
        let (id, account) = (held.restriction.id, &held.account);
        let mut all = batch.clone();
        for _ in 0..freeze::ROUNDS_MAX {
            self.ice.stop(&Pack { id, means, account, caught: &batch })?;
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
            let why = "new children appear faster than they can be stopped; close the site first";
            return Err(Failure::NoEffect(why.into()));
        }
        let pack = Pack { id, means, account, caught: &all };
        if !self.ice.settles(&pack) {
            return Err(Failure::NoEffect("the processes do not stand still; taken back".into()));
        }
        let (_, still) = self.ice.stands(&pack)?;
        if still == 0 {
            return Err(Failure::Gone("all of the processes ended before they stood still".into()));
        }
        let Measure::FreezeProcess { processes } = &held.restriction.measure else { return Ok(String::new()) };
        let gone = processes.iter().filter(|p| !all.iter().any(|c| c.process == **p));
        let gone: String = gone.map(|p| format!(" {}", p.pid)).collect();
        let gone = if gone.is_empty() { gone } else { format!("; gone before or not to be touched: pid{gone}") };
        Ok(format!("{}, {still} processes{gone}", still_by(means)))
    }

    fn crontab(&self, account: &AccountRef) -> Crontab {
        let all = self.book().held.values().chain(self.book().kept.values().map(|kept| &kept.held));
        let splice = |held: &Held| match &held.effect {
            Effect::Cron(splice) if held.account == *account => Some(splice.clone()),
            _ => None,
        };
        let (spool, account) = (self.config.cron_spool.clone(), account.clone());
        Crontab { spool, account, ours: all.filter_map(splice).collect() }
    }

    /// A word about a line that was written for somebody who had this uid or name before: it hits a stranger now.
    fn outlived(&self, account: &AccountRef) -> String {
        let same = |other: &&AccountRef| other.uid == account.uid || other.name == account.name;
        let newest = self.book().held.values().map(|held| &held.account).filter(same).max_by_key(|a| a.generation);
        match newest.filter(|newest| newest.generation > account.generation) {
            Some(newest) => format!(
                "; it was for generation {} of uid {}, which is now {newest} of generation {}: lift it",
                account.generation, account.uid, newest.generation
            ),
            None => String::new(),
        }
    }
}

/// The flag keys of these sites; a site that nothing can close is an error, not a smaller restriction.
pub(crate) fn gates(handles: &[SiteHandle], sites: &[Domain]) -> Result<Vec<GateKey>, String> {
    let mut keys = BTreeSet::new();
    for site in sites {
        let handle = handles.iter().find(|handle| handle.domain == *site && !handle.gates.is_empty());
        let no_gate = || format!("{site} has no gate on this node; run `hikeshi setup` for its web server");
        keys.extend(handle.ok_or_else(no_gate)?.gates.iter().cloned());
    }
    match keys.is_empty() {
        true => Err("no site was named; nothing to close".into()),
        false => Ok(keys.into_iter().collect()),
    }
}

/// Sources that were named and are guarded.
fn spared(held: &Held) -> String {
    let Measure::ThrottleSource { sources } = &held.restriction.measure else { return String::new() };
    let Effect::Sources(slowed, _) = &held.effect else { return String::new() };
    let spared = sources.iter().filter(|source| !slowed.contains(&source.to_canonical()));
    spared.map(|source| format!("; {source} is never slowed down, see net.never of hikeshi.toml")).collect()
}

/// What is lifted and yet there.
fn by_others(still: &str) -> String {
    if still.is_empty() { String::new() } else { format!(", {still} by another restriction") }
}

fn still_by(means: Means) -> &'static str {
    match means {
        Means::Cage => "cgroup frozen",
        Means::Signal => "stopped by signal",
    }
}
