//! What each measure does to the node: plan, apply, look, take back. One arm a measure; the work is in its own file.
//!
//! What is shared is written anew from all that is wanted (`wanted`) and needs no undo record. Processes, files and cron
//! lines are single things: their undo record is planned, journalled, and only then used.

use model::packet::SiteHandle;
use model::{
    AccountRef, Domain, Failure, FileRef, GateKey, MailScope, Measure, QueueId, Restriction, RestrictionId, Span,
};

use crate::actor::{Actor, Order};
use crate::files::Moved;
use crate::freeze::{Ice, cage_name};
use crate::gate::Answer;
use crate::journal::{Caught, Effect, Held, Means, Record, Standing};
use crate::wanted::{NO_POSTFIX, Wanted, flags, hold_line};

impl Actor {
    /// Everything that can be checked without changing anything, and what would be changed.
    pub(crate) fn plan_effect(&self, order: &Order, restriction: &Restriction) -> Result<Held, Failure> {
        let (account, error) = (&order.account, Failure::Error);
        let mut held = Held {
            intent: order.intent,
            link: order.link,
            account: account.clone(),
            restriction: restriction.clone(),
            effect: Effect::Refuse,
            standing: Standing::Imposing,
        };
        held.effect = match &restriction.measure {
            Measure::CloseSite { site } => Effect::Gates(gates(&order.sites, std::slice::from_ref(site))?),
            Measure::CloseAccount { sites, .. } => Effect::Gates(gates(&order.sites, sites)?),
            Measure::BlockScript { site, path } => {
                Effect::Scripts(gates(&order.sites, std::slice::from_ref(site))?, path.clone())
            }
            Measure::HoldMail { scope, queued } => {
                let mail = self.mail().map_err(error)?;
                mail.check(&hold_line(&held, scope), queued).map_err(error)?;
                // Only what we put on hold ourselves is ever taken off again.
                Effect::Hold(scope.clone(), mail.waiting(queued).map_err(error)?)
            }
            Measure::RefuseMail => {
                self.mail().and_then(|mail| mail.check_refuse()).map_err(error)?;
                Effect::Refuse
            }
            Measure::FreezeProcess { processes } => {
                Effect::Freeze(self.ice.means(), self.ice.check(account, processes)?.0)
            }
            Measure::DisableCronLine { line } => Effect::Cron(self.cron.plan(account, restriction.id, line)?),
            Measure::QuarantineFile { files, of } => match self.set_aside(restriction.id, files)? {
                Some(known) => known,
                None => {
                    self.room_for_files(order, files.len() as u64, *of)?;
                    Effect::Files(order.home.clone(), self.files.plan(account, &order.home, files)?)
                }
            },
            Measure::EndSessions { site } => {
                let handle = order.sites.iter().find(|handle| handle.domain == *site);
                let handle = handle.ok_or_else(|| Failure::Gone(format!("{site} is no site of {account} any more")))?;
                crate::sessions::check(account, &handle.root)?;
                Effect::Sessions(handle.root.clone())
            }
            Measure::BlockLogin { logins } => {
                self.logins.check(account, logins).map_err(error)?;
                Effect::Logins(logins.clone())
            }
            Measure::BlockOutbound => {
                self.net().and_then(|net| net.check()).map_err(error)?;
                Effect::Outbound
            }
            Measure::ThrottleSource { sources } => {
                let net = self.net().map_err(error)?;
                net.check().map_err(error)?;
                net.may_slow(sources).map_err(Failure::Guard)?;
                Effect::Sources(sources.clone(), self.now() + restriction.measure.lasts().unwrap_or(Span::hours(1)))
            }
            Measure::AskOwner | Measure::PageOperator => {
                let name = restriction.measure.name();
                return Err(Failure::Error(format!("{name} changes nothing here; the desk does it")));
            }
        };
        flags(&held.effect, Answer::Forbidden).map_err(error)?;
        Ok(held)
    }

    /// The undo record of the same order once more: its files are no longer where they were judged.
    fn set_aside(&self, id: RestrictionId, files: &[FileRef]) -> Result<Option<Effect>, Failure> {
        let why = match self.book().held.get(&id).map(|held| &held.effect) {
            Some(effect @ Effect::Files(_, moved)) if moved.iter().map(Moved::file).eq(files) => {
                return Ok(Some(effect.clone()));
            }
            Some(Effect::Files(..)) => "holds other files; order these as a restriction of their own",
            None if self.book().kept.contains_key(&id) => {
                "was lifted for good and its files are kept; lift it again to get them back"
            }
            _ => return Ok(None),
        };
        Err(Failure::Error(format!("{id} {why}")))
    }

    /// Makes the effect real and tests it. May be repeated.
    pub(crate) fn apply(&mut self, held: &Held) -> Result<String, Failure> {
        let account = &held.account;
        self.write_anew(&held.effect).map_err(Failure::Error)?;
        match &held.effect {
            Effect::Hold(scope, queued) => return self.hold(held, scope, queued),
            Effect::Refuse => {
                if !self.mail().and_then(|mail| mail.would_refuse(account)).map_err(Failure::Error)? {
                    return Err(Failure::NoEffect(format!("Postfix's table does not name {account}; taken back")));
                }
            }
            Effect::Freeze(means, caught) => return self.freeze(held, *means, caught.clone()),
            Effect::Files(home, moved) => {
                self.files.apply(account, held.restriction.id, home, moved, &mut self.steps)?;
            }
            Effect::Cron(splice) => self.cron.apply(account, splice, &mut self.steps)?,
            Effect::Sessions(root) => {
                let sites = held.restriction.measure.sites();
                let site = sites.first().ok_or_else(|| Failure::Error("no site was named".into()))?;
                let what = crate::sessions::end(account, root, site)?;
                self.step("impose: everyone signed out");
                return Ok(what);
            }
            Effect::Gates(_) | Effect::Scripts(..) | Effect::Logins(_) | Effect::Outbound | Effect::Sources(..) => {}
        }
        self.step("impose: before the test");
        self.look(held, &self.wanted()).map_err(|what| Failure::NoEffect(format!("{what}; taken back")))
    }

    /// Removes the effect, as far as no other restriction wants it: the journal says already that this one does not.
    /// May be repeated.
    pub(crate) fn take_back(&mut self, held: &Held) -> Result<String, String> {
        let (id, account) = (held.restriction.id, &held.account);
        let for_good = held.standing == Standing::Lifting { for_good: true };
        let wanted = self.write_anew(&held.effect)?;
        match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind())?;
                let closed = flags.iter().filter(|flag| wanted.flags.contains_key(*flag)).count();
                let still = if closed > 0 { format!("{closed} still closed") } else { String::new() };
                Ok(format!("{} flags lifted{}", flags.len() - closed, by_others(&still)))
            }
            Effect::Hold(scope, queued) => {
                let line = hold_line(held, scope);
                let still = wanted.mail.iter().any(|other| (&other.account, &other.scope) == (account, scope));
                if held.is_begun() && !still {
                    // Another restriction may have put the same messages on hold.
                    let ours: Vec<_> = queued.iter().filter(|id| !wanted.queued.contains(id)).cloned().collect();
                    self.mail.as_ref().ok_or(NO_POSTFIX)?.release(&ours, &mut self.steps)?;
                }
                let (whose, on_hold) = (line.whose(), self.mail()?.on_hold()?);
                let still = by_others(if still { "still held" } else { "" });
                Ok(format!("hold line of {whose} lifted{still}; {on_hold} messages of all accounts stay on hold"))
            }
            Effect::Refuse => {
                let still = wanted.refused.iter().any(|(who, _)| who.name == account.name);
                let may = if still { "is still refused by another restriction" } else { "may hand in mail again" };
                Ok(format!("uid {} {may}", account.uid))
            }
            Effect::Freeze(means, caught) => {
                let done = self.ice.let_go(&cage_name(id), *means, account, caught, for_good)?;
                self.step("lift: processes let go");
                Ok(format!("{done} processes {}", if for_good { "ended" } else { "go on" }))
            }
            _ if for_good && held.is_put_away() => Ok("stays set aside; a later lift gives it back".into()),
            Effect::Files(home, moved) => {
                self.files.take_back(account, id, (home, moved), !held.is_begun(), &mut self.steps)
            }
            Effect::Cron(splice) => self.cron.take_back(account, splice, &mut self.steps),
            Effect::Sessions(_) => Ok("people sign in again by themselves".into()),
            Effect::Logins(_) => Ok("logins allowed, as far as no other restriction denies them".into()),
            Effect::Outbound | Effect::Sources(..) => {
                Ok("connections open again, as far as no other restriction blocks them".into())
            }
        }
    }

    /// What is seen of the effect; an error when it is not, or not wholly, there.
    pub(crate) fn look(&self, held: &Held, wanted: &Wanted) -> Result<String, String> {
        let (id, account) = (held.restriction.id, &held.account);
        let (is, there, place) = match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind())?;
                let there = self.flags_there(&flags, wanted);
                return told((there == flags.len() && there > 0, format!("{there} of {} flags there", flags.len())));
            }
            Effect::Hold(scope, _) => {
                let line = hold_line(held, scope);
                let there = format!("hold line of {} there{}", line.whose(), self.outlived(account));
                (self.mail()?.is_set(&wanted.mail, &line)?, there, "hold table")
            }
            Effect::Refuse => {
                let what = "may hand in no mail; what a form sends is refused and not kept";
                let there = format!("uid {} {what}{}", account.uid, self.outlived(account));
                (self.mail()?.is_refused(&wanted.refused)?, there, "table of refused accounts")
            }
            Effect::Freeze(means, caught) => {
                return match self.ice.stands(&cage_name(id), *means, account, caught)? {
                    (_, 0) => Err("no process is left".into()),
                    (true, count) => Ok(format!("{}, {count} processes", still_by(*means))),
                    (false, count) => Err(format!("not {}, {count} processes", still_by(*means))),
                };
            }
            Effect::Files(_, moved) => return told(self.files.look(id, moved)),
            Effect::Cron(splice) => return told(self.cron.look(account, splice)),
            Effect::Sessions(_) => return Ok("everyone was signed out once".into()),
            Effect::Logins(_) => {
                let there = "new logins denied; who is logged in stays so until he leaves";
                (self.logins.is_set(&wanted.logins)?, there.into(), "deny list")
            }
            Effect::Sources(_, until) if *until <= self.now() => return Ok(format!("ended by itself at {until}")),
            Effect::Outbound | Effect::Sources(..) => {
                let is = self.net()?.is_set(&wanted.uids, &wanted.sources, self.now())?;
                (is, "packet filter set".into(), "packet filter")
            }
        };
        if is { Ok(there) } else { Err(format!("the {place} was changed by somebody else")) }
    }

    /// What an order to impose this would do, one line a step.
    pub(crate) fn steps_of(&self, held: &Held) -> Vec<String> {
        let (account, uid) = (&held.account, held.account.uid);
        match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind()).unwrap_or_default();
                flags.iter().map(|flag| format!("write {}", self.config.gate_dir.join(flag).display())).collect()
            }
            Effect::Hold(scope, queued) => vec![
                format!("hold new mail of {}", hold_line(held, scope).whose()),
                "postfix reload".to_owned(),
                format!("put {} waiting messages on hold", queued.len()),
            ],
            Effect::Refuse => vec![format!("refuse mail that uid {uid} hands to sendmail, form mail too")],
            Effect::Freeze(means, found) => {
                let pids: Vec<String> = found.iter().map(|c| c.process.pid.to_string()).collect();
                vec![format!("{}: pid {} and their children", still_by(*means), pids.join(" "))]
            }
            Effect::Files(home, moved) => {
                moved.iter().map(|moved| format!("set aside {home}/{}", moved.file().path)).collect()
            }
            Effect::Cron(splice) => vec![format!("switch off {splice} of the crontab of {account}")],
            Effect::Sessions(root) => vec![format!("end all WordPress sessions of {root}, as uid {uid}")],
            Effect::Logins(logins) => logins.iter().map(|login| format!("deny {login:?} of {account}")).collect(),
            Effect::Outbound => vec![format!("block connections that uid {uid} opens, mail ports on loopback too")],
            Effect::Sources(sources, until) => {
                sources.iter().map(|source| format!("slow down {source} until {until}")).collect()
            }
        }
    }

    fn hold(&mut self, held: &Held, scope: &MailScope, queued: &[QueueId]) -> Result<String, Failure> {
        let moved = self.mail().and_then(|mail| mail.hold_queued(queued)).map_err(Failure::Error)?;
        self.step("impose: queue held");
        let Measure::HoldMail { queued, .. } = &held.restriction.measure else { return Ok(String::new()) };
        let line = hold_line(held, scope);
        let whose = line.whose();
        if !self.mail().and_then(|mail| mail.would_hold(&line)).map_err(Failure::Error)? {
            return Err(Failure::NoEffect(format!("Postfix's tables do not hold mail of {whose}; taken back")));
        }
        let open = match scope {
            MailScope::Local => "",
            _ => "; a mail session that is open already goes on until it ends",
        };
        Ok(format!("mail of {whose} is held; {moved} of {} waiting messages put on hold{open}", queued.len()))
    }

    fn freeze(&mut self, held: &Held, means: Means, mut batch: Vec<Caught>) -> Result<String, Failure> {
        let (id, account, name) = (held.restriction.id, &held.account, cage_name(held.restriction.id));
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
            let why = "new children appear faster than they can be stopped; close the site first";
            return Err(Failure::NoEffect(why.into()));
        }
        if !self.ice.settles(&name, means, account, &all) {
            return Err(Failure::NoEffect("the processes do not stand still; taken back".into()));
        }
        let (_, still) = self.ice.stands(&name, means, account, &all).map_err(Failure::Error)?;
        if still == 0 {
            return Err(Failure::Gone("all of the processes ended before they stood still".into()));
        }
        let Measure::FreezeProcess { processes } = &held.restriction.measure else { return Ok(String::new()) };
        let gone = processes.iter().filter(|p| !all.iter().any(|c| c.process == **p));
        let gone: String = gone.map(|p| format!(" {}", p.pid)).collect();
        let gone = if gone.is_empty() { gone } else { format!("; gone before or not to be touched: pid{gone}") };
        Ok(format!("{}, {still} processes{gone}", still_by(means)))
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
pub(crate) fn gates(handles: &[SiteHandle], sites: &[Domain]) -> Result<Vec<GateKey>, Failure> {
    let no_gate =
        |site| Failure::Error(format!("{site} has no gate on this node; run `hikeshi setup` for its web server"));
    let mut keys = Vec::new();
    for site in sites {
        let handle = handles.iter().find(|handle| handle.domain == *site && !handle.gates.is_empty());
        keys.extend_from_slice(&handle.ok_or_else(|| no_gate(site))?.gates);
    }
    keys.sort();
    keys.dedup();
    match keys.is_empty() {
        true => Err(Failure::Error("no site was named; nothing to close".into())),
        false => Ok(keys),
    }
}

fn told((is, what): (bool, String)) -> Result<String, String> {
    if is { Ok(what) } else { Err(what) }
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
