//! What each measure does to the node: plan, apply, look, take back. One arm a measure; the work is in its own file.
//!
//! What is shared is written anew from all that is wanted (`wanted`) and needs no undo record. Processes, files and cron
//! lines are single things: their undo record is planned, journalled, and only then used.

use model::packet::SiteHandle;
use model::{AccountRef, Domain, Failure, FileRef, GateKey, MailScope, Measure, Restriction, RestrictionId, Span};

use crate::actor::{Actor, Order};
use crate::cron::Crontab;
use crate::files::Set;
use crate::freeze::{self, Pack};
use crate::gate::Answer;
use crate::journal::{Caught, Effect, Held, Means, Record, Standing};
use crate::mail::{Fate, Line};
use crate::wanted::{Seen, Wanted, flags, mail_line};

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
        let line = |fate| Line { account: account.clone(), fate, number: restriction.id.incident };
        held.effect = match &restriction.measure {
            Measure::CloseSite { site } => Effect::Gates(gates(&order.sites, std::slice::from_ref(site))?),
            Measure::CloseAccount { sites, .. } => Effect::Gates(gates(&order.sites, sites)?),
            Measure::BlockScript { site, path } => {
                Effect::Scripts(gates(&order.sites, std::slice::from_ref(site))?, path.clone())
            }
            Measure::HoldMail { scope, queued } => {
                let mail = self.mail(&Wanted::default()).map_err(error)?;
                mail.check(&line(Fate::Held(scope.clone())), queued).map_err(error)?;
                // Only what we put on hold ourselves is ever taken off again.
                Effect::Hold(scope.clone(), mail.waiting(queued))
            }
            Measure::RefuseMail => {
                let mail = self.mail(&Wanted::default());
                mail.and_then(|mail| mail.check(&line(Fate::Refused), &[])).map_err(error)?;
                Effect::Refuse
            }
            Measure::FreezeProcess { processes } => {
                Effect::Freeze(self.ice.means(), self.ice.check(account, processes)?)
            }
            Measure::DisableCronLine { line } => match self.book().held.get(&restriction.id) {
                // The same order once more: its table is no longer as it was read.
                Some(known) if known.restriction.measure == restriction.measure => known.effect.clone(),
                _ => Effect::Cron(self.crontab(account).plan(restriction.id, line)?),
            },
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
                self.config.logins.check(account, logins).map_err(error)?;
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
            Measure::AskOwner | Measure::PageOperator | Measure::ThrottleMail { .. } => {
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
            Some(effect @ Effect::Files(_, moved)) if moved.iter().map(|one| &one.file).eq(files) => {
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
        let (id, account) = (held.restriction.id, &held.account);
        self.write_anew(held).map_err(Failure::Error)?;
        match &held.effect {
            Effect::Hold(..) | Effect::Refuse => {
                if let Some(line) = mail_line(held) {
                    return self.stop_mail(held, &line);
                }
            }
            Effect::Freeze(means, caught) => return self.freeze(held, *means, caught.clone()),
            Effect::Files(home, moved) => self.files.apply(&Set { id, account, home, moved }, &mut self.steps)?,
            Effect::Cron(splice) => self.crontab(account).apply(splice, &mut self.steps)?,
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
        self.look(held, &self.seen()).map_err(|what| Failure::NoEffect(format!("{what}; taken back")))
    }

    /// Removes the effect, as far as no other restriction wants it: the journal says already that this one does not.
    /// May be repeated.
    pub(crate) fn take_back(&mut self, held: &Held) -> Result<String, String> {
        let (id, account) = (held.restriction.id, &held.account);
        let for_good = held.standing == Standing::Lifting { for_good: true };
        let wanted = self.write_anew(held)?;
        if let Some(line) = mail_line(held) {
            return self.let_mail_flow(held, &line, &wanted);
        }
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
                return told((there == flags.len() && there > 0, format!("{there} of {} flags there", flags.len())));
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
            Effect::Files(home, moved) => return told(self.files.look(&Set { id, account, home, moved })),
            Effect::Cron(splice) => return told(self.crontab(account).look(splice)),
            Effect::Sessions(_) => return Ok("everyone was signed out once".into()),
            Effect::Logins(logins) => {
                let there = "new logins denied; who is logged in stays so until he leaves";
                (self.config.logins.is_set(&seen.wanted.logins, account, logins)?, there.into(), "deny list")
            }
            Effect::Sources(_, until) if *until <= self.now() => return Ok(format!("ended by itself at {until}")),
            Effect::Outbound | Effect::Sources(..) => (seen.net()?, "packet filter set".into(), "packet filter"),
        };
        if is { Ok(there) } else { Err(format!("the {place} was changed by somebody else")) }
    }

    /// What an order to impose this would do, one line a step.
    pub(crate) fn steps_of(&self, held: &Held) -> Vec<String> {
        let (account, uid) = (&held.account, held.account.uid);
        let whose = mail_line(held).map(|line| line.whose()).unwrap_or_default();
        match &held.effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                let flags = flags(&held.effect, self.answer_kind()).unwrap_or_default();
                flags.iter().map(|flag| format!("write {}", self.config.gate_dir.join(flag).display())).collect()
            }
            Effect::Hold(_, queued) => vec![
                format!("hold new mail of {whose}"),
                "postfix reload".to_owned(),
                format!("put {} waiting messages on hold", queued.len()),
            ],
            Effect::Refuse => vec![format!("refuse mail that uid {uid} hands to sendmail, form mail too")],
            Effect::Freeze(means, found) => {
                let pids: Vec<String> = found.iter().map(|c| c.process.pid.to_string()).collect();
                vec![format!("{}: pid {} and their children", still_by(*means), pids.join(" "))]
            }
            Effect::Files(home, moved) => {
                moved.iter().map(|moved| format!("set aside {home}/{}", moved.file.path)).collect()
            }
            Effect::Cron(splice) => {
                vec![format!("switch off the line at byte {} of the crontab of {account}", splice.line.start)]
            }
            Effect::Sessions(root) => vec![format!("end all WordPress sessions of {root}, as uid {uid}")],
            Effect::Logins(logins) => logins.iter().map(|login| format!("deny {login:?} of {account}")).collect(),
            Effect::Outbound => vec![format!("block connections that uid {uid} opens, mail ports on loopback too")],
            Effect::Sources(sources, until) => {
                sources.iter().map(|source| format!("slow down {source} until {until}")).collect()
            }
        }
    }

    /// Puts what waits on hold, when mail is held, and asks Postfix what it makes of new mail.
    fn stop_mail(&mut self, held: &Held, line: &Line) -> Result<String, Failure> {
        let (whose, queued) = (line.whose(), held.effect.queued());
        let moved = self.mail(&Wanted::default()).and_then(|mail| mail.hold_queued(queued)).map_err(Failure::Error)?;
        self.step("impose: queue held");
        if !self.mail(&self.wanted()).and_then(|mail| mail.would_stop(line)).map_err(Failure::Error)? {
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

    /// What waits flows again only when the restriction never came into force: otherwise a person sorts it.
    fn let_mail_flow(&mut self, held: &Held, line: &Line, wanted: &Wanted) -> Result<String, String> {
        let still = wanted.mail.iter().any(|other| (&other.account, &other.fate) == (&line.account, &line.fate));
        let mail = self.mail.as_ref().ok_or("no Postfix is configured here any more")?.now(Vec::new())?;
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
            self.ice.stop(&Pack { id, means, account, caught: &batch }).map_err(Failure::Error)?;
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
        let (_, still) = self.ice.stands(&pack).map_err(Failure::Error)?;
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
