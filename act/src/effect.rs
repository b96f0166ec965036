//! What each measure does to the node: plan, apply, look, take back. One arm a measure; the work is in its own file.
//!
//! Flags, tables, lists and sets are written anew from what the journal wants, so they need no undo record. Processes,
//! files and cron lines are single things: their undo record is planned, journalled, and only then used.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use model::packet::SiteHandle;
use model::{
    AccountRef, Domain, Failure, FilePath, FileRef, GateKey, Login, MailScope, Measure, Moment, QueueId, Restriction,
    RestrictionId,
};

use crate::actor::{Actor, Order};
use crate::cron::Crontab;
use crate::files::Set;
use crate::freeze::{self, Pack};
use crate::gate::{self, Answer};
use crate::journal::{Effect, Held, Means, Record, Standing};
use crate::mail::{Fate, Line, Now};
use crate::net::Net;

const NO_POSTFIX: &str = "no Postfix is configured here; set [mail] postfix in hikeshi.toml and run `hikeshi setup`";

/// What a list has asked of programs: each question once, however many restrictions share its answer.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    mail: OnceCell<Result<Now<'a>, String>>,
    net: OnceCell<Result<bool, String>>,
}

impl Actor {
    /// Everything that can be checked without changing anything, and what would be changed.
    pub(crate) fn plan(&self, order: &Order, restriction: &Restriction) -> Result<Effect, Failure> {
        let account = &order.account;
        match &restriction.measure {
            Measure::CloseSite { site } => Ok(Effect::Gates(gates(&order.sites, std::slice::from_ref(site))?)),
            Measure::CloseAccount { sites, .. } => Ok(Effect::Gates(gates(&order.sites, sites)?)),
            Measure::BlockScript { site, path } => {
                let keys = gates(&order.sites, std::slice::from_ref(site))?;
                keys.iter().try_for_each(|key| gate::script(key, path).map(drop)).map_err(Failure::Error)?;
                Ok(Effect::Scripts(keys, path.clone()))
            }
            Measure::HoldMail { scope, queued } => {
                let fate = Fate::Held(scope.clone());
                let line = Line { account: account.clone(), fate, number: restriction.id.incident };
                let mail = self.mail().map_err(Failure::Error)?;
                mail.check(&line, queued).map_err(Failure::Error)?;
                // Only what we put on hold ourselves is ever taken off again.
                Ok(Effect::Hold(scope.clone(), mail.waiting(queued)))
            }
            Measure::RefuseMail => {
                let line = Line { account: account.clone(), fate: Fate::Refused, number: restriction.id.incident };
                self.mail().and_then(|mail| mail.check(&line, &[])).map_err(Failure::Error)?;
                Ok(Effect::Refuse)
            }
            Measure::FreezeProcess { processes } => {
                Ok(Effect::Freeze(self.ice.means(), self.ice.check(account, processes)?))
            }
            Measure::DisableCronLine { line } => match self.book().held.get(&restriction.id) {
                // The same order once more: its table is no longer as it was read.
                Some(held) if held.restriction.measure == restriction.measure => Ok(held.effect.clone()),
                _ => Ok(Effect::Cron(self.crontab(account).plan(restriction.id, line)?)),
            },
            Measure::QuarantineFile { files, of } => {
                if let Some(known) = self.set_aside(restriction.id, files)? {
                    return Ok(known);
                }
                self.file_budget(order, files.len() as u64, *of)?;
                Ok(Effect::Files(order.home.clone(), self.files.plan(account, &order.home, files)?))
            }
            Measure::EndSessions { site } => {
                let handle = order.sites.iter().find(|handle| handle.domain == *site);
                let handle = handle.ok_or_else(|| Failure::Gone(format!("{site} is no site of {account} any more")))?;
                crate::sessions::check(account, &handle.root)?;
                Ok(Effect::Sessions(handle.root.clone()))
            }
            Measure::BlockLogin { logins } => {
                self.config.logins.check(account, logins).map_err(Failure::Error)?;
                Ok(Effect::Logins(logins.clone()))
            }
            Measure::BlockOutbound => {
                self.net()?.check().map_err(Failure::Error)?;
                Ok(Effect::Outbound)
            }
            Measure::ThrottleSource { sources } => {
                let net = self.net()?;
                net.check().map_err(Failure::Error)?;
                net.may_slow(sources).map_err(Failure::Guard)?;
                let lasts = restriction.measure.lasts().unwrap_or(model::Span::hours(1));
                Ok(Effect::Sources(sources.clone(), self.now() + lasts))
            }
            Measure::AskOwner | Measure::PageOperator | Measure::ThrottleMail { .. } => {
                Err(Failure::Error(format!("{} changes nothing here; the desk does it", restriction.measure.name())))
            }
        }
    }

    /// The undo record of the same order once more: its files are no longer where they were judged.
    fn set_aside(&self, id: RestrictionId, files: &[FileRef]) -> Result<Option<Effect>, Failure> {
        match self.book().held.get(&id) {
            Some(Held { effect: effect @ Effect::Files(_, moved), .. }) => {
                match moved.iter().map(|moved| &moved.file).eq(files) {
                    true => Ok(Some(effect.clone())),
                    false => Err(Failure::Error(format!(
                        "{id} holds other files; order these as a restriction of their own"
                    ))),
                }
            }
            None if self.book().kept.contains_key(&id) => Err(Failure::Error(format!(
                "{id} was lifted for good and its files are kept; lift it again to get them back"
            ))),
            _ => Ok(None),
        }
    }

    /// Makes the effect real and tests it. May be repeated.
    pub(crate) fn apply(&mut self, held: &Held) -> Result<String, Failure> {
        let (id, account) = (held.restriction.id, &held.account);
        match &held.effect {
            Effect::Gates(keys) => {
                for key in keys {
                    self.set_gate(key, None).map_err(Failure::Error)?;
                    self.step("impose: one flag");
                }
            }
            Effect::Scripts(keys, path) => {
                for key in keys {
                    self.set_script(key, path, None).map_err(Failure::Error)?;
                    self.step("impose: one script flag");
                }
            }
            Effect::Hold(_, queued) => return self.hold(held, queued),
            Effect::Refuse => drop(self.stop_mail(held, &[])?),
            Effect::Freeze(..) => return self.freeze(held),
            Effect::Files(home, moved) => self.files.apply(&Set { id, account, home, moved }, &mut self.steps)?,
            Effect::Cron(splice) => self.crontab(account).apply(splice, &mut self.steps)?,
            Effect::Sessions(root) => {
                let sites = held.restriction.measure.sites();
                let site = sites.first().ok_or_else(|| Failure::Error("no site was named".into()))?;
                let what = crate::sessions::end(account, root, site)?;
                self.step("impose: everyone signed out");
                return Ok(what);
            }
            Effect::Logins(logins) => {
                let wanted = self.wanted_logins(None);
                self.config.logins.set(&wanted, logins, &mut self.steps).map_err(Failure::Error)?;
                self.step("impose: logins denied");
            }
            Effect::Outbound | Effect::Sources(..) => {
                let (uids, sources) = self.wanted_net(None);
                self.net()?.set(&uids, &sources, self.now()).map_err(Failure::Error)?;
                self.step("impose: packet filter set");
            }
        }
        self.step("impose: before the test");
        match self.look(held, &Seen::default()) {
            (true, what) => Ok(what),
            (false, what) => Err(Failure::NoEffect(format!("{what}; taken back"))),
        }
    }

    /// Removes the effect, as far as no other restriction wants it. May be repeated.
    pub(crate) fn take_back(&mut self, held: &Held) -> Result<String, String> {
        let (id, account) = (held.restriction.id, &held.account);
        let for_good = held.standing == Standing::Lifting { for_good: true };
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
            Effect::Scripts(keys, path) => {
                for key in keys {
                    self.set_script(key, path, Some(id))?;
                    self.step("lift: one script flag");
                }
                Ok(format!("{path} answers again"))
            }
            Effect::Hold(..) | Effect::Refuse => {
                let Some(line) = mail_line(held) else { return Err("no mail is stopped by it".into()) };
                let wanted = self.wanted_mail(Some(id));
                let still = wanted.iter().any(|other| (&other.account, &other.fate) == (account, &line.fate));
                let mut mail = self.mail.as_ref().ok_or(NO_POSTFIX)?.now(wanted)?;
                mail.set(&line, &mut self.steps)?;
                if let (Effect::Hold(_, queued), Standing::Imposing, false) = (&held.effect, held.standing, still) {
                    // Another restriction may have put the same messages on hold.
                    let kept = self.held_queue(id);
                    let ours: Vec<_> = queued.iter().filter(|queued| !kept.contains(queued)).cloned().collect();
                    mail.release(&ours, &mut self.steps)?;
                }
                (self.steps)("lift: mail flows");
                let whose = line.whose();
                let by_other = if still { ", still held by another restriction" } else { "" };
                match line.fate {
                    Fate::Refused if still => Ok(format!("{whose} is still refused by another restriction")),
                    Fate::Refused => Ok(format!("{whose} may hand in mail again")),
                    Fate::Held(_) => Ok(format!(
                        "hold line of {whose} lifted{by_other}; {} messages of all accounts stay on hold",
                        mail.on_hold()?
                    )),
                }
            }
            Effect::Freeze(means, caught) => {
                let done = self.ice.let_go(&Pack { id, means: *means, account, caught }, for_good)?;
                self.step("lift: processes let go");
                Ok(format!("{done} processes {}", if for_good { "ended" } else { "go on" }))
            }
            Effect::Files(..) | Effect::Cron(_) if for_good => Ok("stays set aside; a later lift gives it back".into()),
            Effect::Files(home, moved) => {
                let sealed = held.standing != Standing::Imposing;
                let (what, kept) = self.files.take_back(&Set { id, account, home, moved }, sealed, &mut self.steps)?;
                if kept > 0 {
                    // As after a lift for good: out of force, in the book, and a later lift gives them back.
                    self.write(Record::Lifting(id, held.intent, held.link, true)).map_err(|e| e.to_string())?;
                    self.step("lift: kept");
                }
                Ok(what)
            }
            Effect::Cron(splice) => self.crontab(account).take_back(splice, &mut self.steps),
            Effect::Sessions(_) => Ok("people sign in again by themselves".into()),
            Effect::Logins(logins) => {
                let wanted = self.wanted_logins(Some(id));
                self.config.logins.set(&wanted, logins, &mut self.steps)?;
                self.step("lift: logins allowed");
                Ok("logins allowed, as far as no other restriction denies them".into())
            }
            Effect::Outbound | Effect::Sources(..) => {
                let (uids, sources) = self.wanted_net(Some(id));
                self.net().map_err(|e| e.to_string())?.set(&uids, &sources, self.now())?;
                self.step("lift: packet filter set");
                Ok("connections open again, as far as no other restriction blocks them".into())
            }
        }
    }

    /// Whether the effect is really there, in words.
    pub(crate) fn look<'a>(&'a self, held: &Held, seen: &Seen<'a>) -> (bool, String) {
        let account = &held.account;
        let told = |is: Result<bool, String>, there: String, else_: &str| match is {
            Ok(true) => (true, there),
            Ok(false) => (false, else_.to_owned()),
            Err(why) => (false, why),
        };
        match &held.effect {
            Effect::Gates(keys) => {
                let there = keys.iter().filter(|key| {
                    let flag = gate::flag(key, self.answer_kind());
                    self.holds(flag, self.page(key, None))
                });
                let there = there.count();
                (there == keys.len() && there > 0, format!("{there} of {} flags there", keys.len()))
            }
            Effect::Scripts(keys, path) => {
                let there =
                    keys.iter().filter(|key| self.holds(gate::script(key, path), self.script_page(key, path, None)));
                let there = there.count();
                (there == keys.len() && there > 0, format!("{path}: {there} of {} flags there", keys.len()))
            }
            Effect::Hold(..) | Effect::Refuse => {
                let Some(line) = mail_line(held) else { return (false, "no mail is stopped by it".into()) };
                let mail = seen.mail.get_or_init(|| self.mail()).as_ref();
                let is = mail.map_err(String::clone).and_then(|mail| mail.is_set(&line));
                let (whose, outlived) = (line.whose(), self.outlived(account));
                match line.fate {
                    Fate::Held(_) => {
                        told(is, format!("hold line of {whose} there{outlived}"), "hold table changed by somebody else")
                    }
                    Fate::Refused => told(
                        is,
                        format!("{whose} may hand in no mail; what a form sends is refused and not kept{outlived}"),
                        "the table of refused accounts was changed by somebody else",
                    ),
                }
            }
            Effect::Freeze(means, caught) => {
                match self.ice.stands(&Pack { id: held.restriction.id, means: *means, account, caught }) {
                    Ok((_, 0)) => (false, "no process is left".into()),
                    Ok((still, count)) => {
                        (still, format!("{}{}, {count} processes", if still { "" } else { "not " }, still_by(*means)))
                    }
                    Err(why) => (false, why),
                }
            }
            Effect::Files(home, moved) => self.files.look(&Set { id: held.restriction.id, account, home, moved }),
            Effect::Cron(splice) => self.crontab(account).look(splice),
            Effect::Sessions(_) => (true, "everyone was signed out once".into()),
            Effect::Logins(logins) => {
                let is = self.config.logins.is_set(&self.wanted_logins(None), account, logins);
                told(
                    is,
                    "new logins denied; who is logged in stays so until he leaves".into(),
                    "a deny list was changed by somebody else",
                )
            }
            Effect::Sources(_, until) if *until <= self.now() => (true, format!("ended by itself at {until}")),
            Effect::Outbound | Effect::Sources(..) => {
                let is = seen.net.get_or_init(|| {
                    let (uids, sources) = self.wanted_net(None);
                    self.net().map_err(|e| e.to_string()).and_then(|net| net.is_set(&uids, &sources, self.now()))
                });
                told(is.clone(), "packet filter set".into(), "the packet filter was changed by somebody else")
            }
        }
    }

    /// What is there and wanted by no restriction: somebody made it by hand, or a journal was lost. Left as it is,
    /// because what stands closed stays closed until a person says otherwise.
    pub(crate) fn strays(&self) -> Vec<String> {
        let wanted = self.book().wanted(None);
        let kind = self.answer_kind();
        let paths = wanted.iter().flat_map(|held| match &held.effect {
            Effect::Gates(keys) => keys.iter().filter_map(|key| gate::flag(key, kind).ok()).collect(),
            Effect::Scripts(keys, path) => keys.iter().filter_map(|key| gate::script(key, path).ok()).collect(),
            _ => Vec::new(),
        });
        let paths: BTreeSet<String> = paths.collect();
        let flags = gate::flags(&self.gate).into_iter().filter(|path| !paths.contains(path));
        let mut strays: Vec<String> = flags
            .map(|path| format!("{}: no restriction wants it", self.config.gate_dir.join(path).display()))
            .collect();
        let (uids, sources) = self.wanted_net(None);
        let tables = [
            ("mail tables", self.mail.as_ref().map(|_| self.mail()?.is_written())),
            ("packet filter", self.net.as_ref().map(|net| net.is_set(&uids, &sources, self.now()))),
        ];
        for (name, is) in tables {
            match is {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => strays.push(format!("{name}: not as the restrictions in force want it")),
                Some(Err(why)) => strays.push(format!("{name}: {why}")),
            }
        }
        strays.truncate(100);
        strays
    }

    /// What an order to impose this would do, one line a step.
    pub(crate) fn steps_of(&self, order: &Order, effect: &Effect) -> Result<Vec<String>, Failure> {
        let uid = order.account.uid;
        let below_gate = |path: Result<String, String>| {
            path.map(|path| format!("write {}", self.config.gate_dir.join(path).display())).map_err(Failure::Error)
        };
        match effect {
            Effect::Gates(keys) => keys.iter().map(|key| below_gate(gate::flag(key, self.answer_kind()))).collect(),
            Effect::Scripts(keys, path) => keys.iter().map(|key| below_gate(gate::script(key, path))).collect(),
            Effect::Hold(scope, queued) => {
                let number = model::Number::new(self.now(), 0);
                let line = Line { account: order.account.clone(), fate: Fate::Held(scope.clone()), number };
                Ok(vec![
                    format!("hold new mail of {}", line.whose()),
                    "postfix reload".to_owned(),
                    format!("put {} waiting messages on hold", queued.len()),
                ])
            }
            Effect::Refuse => Ok(vec![format!("refuse mail that uid {uid} hands to sendmail, form mail too")]),
            Effect::Freeze(means, found) => {
                let pids: Vec<String> = found.iter().map(|c| c.process.pid.to_string()).collect();
                Ok(vec![format!("{}: pid {} and their children", still_by(*means), pids.join(" "))])
            }
            Effect::Files(home, moved) => {
                Ok(moved.iter().map(|moved| format!("set aside {home}/{}", moved.file.path)).collect())
            }
            Effect::Cron(splice) => Ok(vec![format!(
                "switch off the line at byte {} of the crontab of {}",
                splice.line.start, order.account
            )]),
            Effect::Sessions(root) => Ok(vec![format!("end all WordPress sessions of {root}, as uid {uid}")]),
            Effect::Logins(logins) => {
                Ok(logins.iter().map(|login| format!("deny {login:?} of {}", order.account)).collect())
            }
            Effect::Outbound => Ok(vec![format!("block connections that uid {uid} opens, mail ports on loopback too")]),
            Effect::Sources(sources, until) => {
                Ok(sources.iter().map(|source| format!("slow down {source} until {until}")).collect())
            }
        }
    }

    fn hold(&mut self, held: &Held, queued: &[QueueId]) -> Result<String, Failure> {
        let (moved, whose) = self.stop_mail(held, queued)?;
        let Measure::HoldMail { scope, queued } = &held.restriction.measure else { return Ok(String::new()) };
        let open = match scope {
            MailScope::Local => "",
            _ => "; a mail session that is open already goes on until it ends",
        };
        Ok(format!("mail of {whose} is held; {moved} of {} waiting messages put on hold{open}", queued.len()))
    }

    /// Writes the tables of mail, puts what waits on hold, and asks Postfix: how many messages, and whose.
    fn stop_mail(&mut self, held: &Held, queued: &[QueueId]) -> Result<(usize, String), Failure> {
        let line = mail_line(held).ok_or_else(|| Failure::Error("no mail is stopped by it".into()))?;
        let mail = self.mail.as_ref().ok_or(NO_POSTFIX.to_owned());
        let mut mail = mail.and_then(|mail| mail.now(self.wanted_mail(None))).map_err(Failure::Error)?;
        mail.set(&line, &mut self.steps).map_err(Failure::Error)?;
        (self.steps)("impose: mail stopped");
        let moved = mail.hold_queued(queued).map_err(Failure::Error)?;
        (self.steps)("impose: queue held");
        let whose = line.whose();
        match mail.would_stop(&line).map_err(Failure::Error)? {
            true => Ok((moved, whose)),
            false => Err(Failure::NoEffect(format!("Postfix's tables do not stop mail of {whose}; taken back"))),
        }
    }

    fn freeze(&mut self, held: &Held) -> Result<String, Failure> {
        let id = held.restriction.id;
        let account = &held.account;
        let Effect::Freeze(means, mut batch) = held.effect.clone() else {
            return Err(Failure::Error("not a freeze".into()));
        };
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
            return Err(Failure::NoEffect(
                "new children appear faster than they can be stopped; close the site first".into(),
            ));
        }
        let all = Pack { id, means, account, caught: &all };
        if !self.ice.settles(&all) {
            return Err(Failure::NoEffect("the processes do not stand still; taken back".into()));
        }
        let (_, still) = self.ice.stands(&all).map_err(Failure::Error)?;
        if still == 0 {
            return Err(Failure::Gone("all of the processes ended before they stood still".into()));
        }
        let Measure::FreezeProcess { processes } = &held.restriction.measure else { return Ok(String::new()) };
        let gone: Vec<String> = processes
            .iter()
            .filter(|p| !all.caught.iter().any(|c| c.process == **p))
            .map(|p| p.pid.to_string())
            .collect();
        let gone = if gone.is_empty() {
            String::new()
        } else {
            format!("; gone before or not to be touched: pid {}", gone.join(" "))
        };
        Ok(format!("{}, {still} processes{gone}", still_by(means)))
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
        Some(self.page_of(oldest, self.answer_kind()))
    }

    /// Writes or removes the flag of one path from what the journal wants.
    fn set_script(&self, key: &GateKey, path: &FilePath, except: Option<RestrictionId>) -> Result<(), String> {
        let page = self.script_page(key, path, except);
        gate::set_flag(&self.gate, &gate::script(key, path)?, page.as_deref())
    }

    /// Whether a flag is there with its page.
    fn holds(&self, flag: Result<String, String>, page: Option<String>) -> bool {
        flag.is_ok_and(|flag| page.is_some_and(|page| gate::holds(&self.gate, &flag, &page)))
    }

    /// The page of one path. Flags are compared, because two sites may have one file; always 403, because a planted
    /// script has nothing to come back for.
    fn script_page(&self, key: &GateKey, path: &FilePath, except: Option<RestrictionId>) -> Option<String> {
        let flag = gate::script(key, path).ok()?;
        let wanted = self.book().wanted(except);
        let blocks = |held: &&&Held| match &held.effect {
            Effect::Scripts(keys, path) => keys.iter().any(|key| gate::script(key, path).as_ref() == Ok(&flag)),
            _ => false,
        };
        let oldest = wanted.iter().find(blocks)?;
        Some(self.page_of(oldest, Answer::Forbidden))
    }

    fn page_of(&self, held: &Held, answer: Answer) -> String {
        let Restriction { id, since, .. } = held.restriction;
        gate::page(id.incident, since, &self.config.portal, answer)
    }

    fn wanted_mail(&self, except: Option<RestrictionId>) -> Vec<Line> {
        self.book().wanted(except).into_iter().filter_map(mail_line).collect()
    }

    /// Messages that other restrictions put on hold.
    fn held_queue(&self, except: RestrictionId) -> Vec<QueueId> {
        let wanted = self.book().wanted(Some(except));
        let queued = wanted.iter().filter_map(|held| match &held.effect {
            Effect::Hold(_, queued) => Some(queued.clone()),
            _ => None,
        });
        queued.flatten().collect()
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

    fn crontab(&self, account: &AccountRef) -> Crontab {
        let all = self.book().held.values().chain(self.book().kept.values()).filter(|held| held.account == *account);
        let splice = |held: &Held| match &held.effect {
            Effect::Cron(splice) => Some(splice.clone()),
            _ => None,
        };
        let (spool, account) = (self.config.cron_spool.clone(), account.clone());
        Crontab { spool, account, ours: all.filter_map(splice).collect() }
    }

    fn wanted_logins(&self, except: Option<RestrictionId>) -> Vec<(AccountRef, Login)> {
        let wanted = self.book().wanted(except);
        let lines = wanted.iter().filter_map(|held| match &held.effect {
            Effect::Logins(logins) => Some(logins.iter().map(|login| (held.account.clone(), login.clone()))),
            _ => None,
        });
        lines.flatten().collect()
    }

    pub(crate) fn wanted_net(&self, except: Option<RestrictionId>) -> (Vec<u32>, Vec<(IpAddr, Moment)>) {
        let (mut uids, mut sources) = (Vec::new(), Vec::new());
        for held in self.book().wanted(except) {
            match &held.effect {
                Effect::Outbound => uids.push(held.account.uid),
                Effect::Sources(addresses, until) if *until > self.now() => {
                    sources.extend(addresses.iter().map(|address| (*address, *until)));
                }
                _ => {}
            }
        }
        (uids, sources)
    }

    fn answer_kind(&self) -> Answer {
        if self.config.unavailable { Answer::Unavailable } else { Answer::Forbidden }
    }

    /// The mail server as it is now, and what its tables shall have.
    fn mail(&self) -> Result<Now<'_>, String> {
        self.mail.as_ref().ok_or(NO_POSTFIX)?.now(self.wanted_mail(None))
    }

    fn net(&self) -> Result<&Net, Failure> {
        let missing = "no packet filter is configured here; install nftables and set [net] in hikeshi.toml";
        self.net.as_ref().ok_or_else(|| Failure::Error(missing.into()))
    }
}

/// The flag keys of these sites; a site that nothing can close is an error, not a smaller restriction.
pub(crate) fn gates(handles: &[SiteHandle], sites: &[Domain]) -> Result<Vec<GateKey>, Failure> {
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

fn mail_line(held: &Held) -> Option<Line> {
    let fate = match &held.effect {
        Effect::Hold(scope, _) => Fate::Held(scope.clone()),
        Effect::Refuse => Fate::Refused,
        _ => return None,
    };
    Some(Line { account: held.account.clone(), fate, number: held.restriction.id.incident })
}

fn still_by(means: Means) -> &'static str {
    match means {
        Means::Cage => "cgroup frozen",
        Means::Signal => "stopped by signal",
    }
}
