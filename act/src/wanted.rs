//! What flags, tables, lists and sets are to say: the sum of all restrictions that are wanted, read from the journal.
//!
//! They are written anew from it, whether something is imposed or lifted, so they need no undo record, and a line that
//! two restrictions want stays until neither does.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{AccountRef, Login, Moment, QueueId, RestrictionId};

use crate::actor::Actor;
use crate::gate::{self, Answer};
use crate::journal::{Effect, Held};
use crate::mail::{self, Fate, Line, Now};
use crate::net::Net;
use crate::postfix::Table;

const NO_FILTER: &str = "no packet filter is configured here; install nftables and set [net] in hikeshi.toml";

/// What everything that is shared has to say.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Flags below GATE, each with the oldest restriction that wants it: its page is shown.
    pub(crate) flags: BTreeMap<String, RestrictionId>,
    pub(crate) mail: Vec<Line>,
    /// Messages that we put on hold.
    pub(crate) queued: Vec<QueueId>,
    pub(crate) logins: Vec<(AccountRef, Login)>,
    pub(crate) uids: Vec<u32>,
    pub(crate) sources: Vec<(IpAddr, Moment)>,
}

/// All that is wanted beside what the node's programs say now: each is asked once, however many restrictions share its
/// answer.
pub(crate) struct Seen<'a> {
    pub(crate) wanted: Wanted,
    actor: &'a Actor,
    mail: OnceCell<Result<Now<'a>, String>>,
    net: OnceCell<Result<bool, String>>,
}

impl Seen<'_> {
    /// Whether mail is stopped as this line says.
    pub(crate) fn mail(&self, line: &Line) -> Result<bool, String> {
        self.mail.get_or_init(|| self.actor.mail()).as_ref().map_err(String::clone)?.is_set(line)
    }

    /// Whether the packet filter is as it is wanted.
    pub(crate) fn net(&self) -> Result<bool, String> {
        let Wanted { uids, sources, .. } = &self.wanted;
        self.net.get_or_init(|| self.actor.net()?.is_set(uids, sources, self.actor.now())).clone()
    }
}

impl Actor {
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen { wanted: self.wanted(), actor: self, mail: OnceCell::new(), net: OnceCell::new() }
    }

    /// All of it as the journal says now.
    pub(crate) fn wanted(&self) -> Wanted {
        let mut all = Wanted::default();
        for held in self.book().wanted() {
            let (id, account) = (held.restriction.id, &held.account);
            match &held.effect {
                Effect::Gates(_) | Effect::Scripts(..) => {
                    for flag in flags(&held.effect, self.answer_kind()).unwrap_or_default() {
                        all.flags.entry(flag).or_insert(id);
                    }
                }
                Effect::Hold(_, queued) => all.queued.extend_from_slice(queued),
                Effect::Logins(logins) => {
                    all.logins.extend(logins.iter().map(|login| (account.clone(), login.clone())));
                }
                Effect::Outbound => all.uids.push(account.uid),
                Effect::Sources(sources, until) if *until > self.now() => {
                    all.sources.extend(sources.iter().map(|source| (*source, *until)));
                }
                Effect::Sources(..) | Effect::Refuse | Effect::Freeze(..) => {}
                Effect::Files(..) | Effect::Cron(_) | Effect::Sessions(_) => {}
            }
            all.mail.extend(mail_line(held));
        }
        all
    }

    /// Writes what an effect is a part of as it is wanted now, and says how; nothing for what is no part of anything.
    pub(crate) fn write_anew(&mut self, held: &Held) -> Result<Wanted, String> {
        let (wanted, effect) = (self.wanted(), &held.effect);
        match effect {
            Effect::Gates(_) | Effect::Scripts(..) => {
                // Also that of the other answer, which was given until the configuration changed.
                let mut both: BTreeSet<String> = flags(effect, Answer::Forbidden)?.into_iter().collect();
                both.extend(flags(effect, Answer::Unavailable)?);
                for flag in both {
                    gate::set(&self.gate, &flag, self.page(&flag, &wanted).as_deref())?;
                    self.step("set: one flag");
                }
            }
            Effect::Logins(about) => self.config.logins.set(&wanted.logins, about, &mut self.steps)?,
            Effect::Outbound | Effect::Sources(..) => self.net()?.set(&wanted.uids, &wanted.sources, self.now())?,
            // Nor for mail: its tables are written by who asks Postfix about them afterwards.
            _ => return Ok(wanted),
        }
        self.step("set: written anew");
        Ok(wanted)
    }

    /// How many of these flags are there as they are wanted.
    pub(crate) fn flags_there(&self, flags: &[String], wanted: &Wanted) -> usize {
        let there = |flag: &&String| self.page(flag, wanted).is_some_and(|page| gate::holds(&self.gate, flag, &page));
        flags.iter().filter(there).count()
    }

    /// What is there and wanted by no restriction: somebody made it by hand, or a journal was lost. Left as it is,
    /// because what stands closed stays closed until a person says otherwise.
    pub(crate) fn strays(&self) -> Vec<String> {
        let seen = self.seen();
        let wanted = &seen.wanted;
        let flags = gate::flags(&self.gate).into_iter().filter(|flag| !wanted.flags.contains_key(flag));
        let flags = flags.map(|flag| format!("{}: no restriction wants it", self.config.gate_dir.join(flag).display()));
        let mut strays: Vec<String> = flags.collect();
        let mail = self.mail.as_ref().map(|_| self.mail()?.are_right(&Table::ALL));
        let net = self.net.as_ref().map(|_| seen.net());
        for (name, is) in [("mail tables", mail), ("packet filter", net)] {
            match is {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => strays.push(format!("{name}: not as the restrictions in force want it")),
                Some(Err(why)) => strays.push(format!("{name}: {why}")),
            }
        }
        strays.truncate(100);
        strays
    }

    /// The page of a flag. A blocked path always answers 403, because a planted script has nothing to come back for.
    fn page(&self, flag: &str, wanted: &Wanted) -> Option<String> {
        let Held { restriction, effect, .. } = self.book().held.get(wanted.flags.get(flag)?)?;
        let answer = if let Effect::Scripts(..) = effect { Answer::Forbidden } else { self.answer_kind() };
        Some(gate::page(restriction.id.incident, restriction.since, &self.config.portal, answer))
    }

    pub(crate) fn answer_kind(&self) -> Answer {
        if self.config.unavailable { Answer::Unavailable } else { Answer::Forbidden }
    }

    /// The mail server as it is now, and what its tables shall have.
    pub(crate) fn mail(&self) -> Result<Now<'_>, String> {
        mail::now(&self.mail, self.wanted().mail)
    }

    pub(crate) fn net(&self) -> Result<&Net, String> {
        self.net.as_ref().ok_or(NO_FILTER.into())
    }
}

/// The flags below GATE that an effect wants when closed sites give this answer; two sites may have one.
pub(crate) fn flags(effect: &Effect, answer: Answer) -> Result<Vec<String>, String> {
    match effect {
        Effect::Gates(keys) => keys.iter().map(|key| gate::flag(key, answer)).collect(),
        Effect::Scripts(keys, path) => keys.iter().map(|key| gate::script(key, path)).collect(),
        _ => Ok(Vec::new()),
    }
}

/// The line that stops mail for this restriction, if it does.
pub(crate) fn mail_line(held: &Held) -> Option<Line> {
    let fate = match &held.effect {
        Effect::Hold(scope, _) => Fate::Held(scope.clone()),
        Effect::Refuse => Fate::Refused,
        _ => return None,
    };
    Some(Line { account: held.account.clone(), fate, number: held.restriction.id.incident })
}
