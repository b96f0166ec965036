//! Makes findings of what the windows hold: which kind, how strong, what could be stopped, which facts.
//!
//! | kind | of | what could be stopped |
//! |---|---|---|
//! | mass mail | sendmail mail, or that of one folder | all sendmail mail of the account |
//! | above the hard rate | sendmail mail | the same |
//! | form abuse, notice flood | sendmail mail, or that of one folder | only slowed down: that folder, else sendmail mail |
//! | bounce loop | a pair of addresses | only slowed down: that pair |
//! | stolen mailbox | what a mailbox hands in | that mailbox |
//!
//! An account has at most one finding of a kind for its sendmail mail; of the folders that say the same the
//! strongest is named, because it is smaller than the account.

use std::collections::BTreeSet;

use model::order::Finding;
use model::{Evidence, FactKey, Hash, Kind, MailRate, Moment, Signal, Strength, Target};

use super::judge::{self, Judgement};
use super::line::Id;
use super::pairs::Pair;
use super::reader::Key;
use super::window::{Facts, Part, Window};
use super::{Known, Trust, Watch};
use crate::attribution::site_of;

/// Most queue ids in one finding (`Target::LocalMail`).
const QUEUED_MAX: usize = 500;
/// Most networks that are named.
const NETWORKS_MAX: usize = 16;

/// A window with what it says.
struct Told<'a> {
    window: &'a Window,
    facts: Facts,
    judgement: Judgement,
}

impl Told<'_> {
    fn folder(&self) -> Option<&str> {
        match &self.window.part {
            Part::Folder(folder) => Some(folder),
            _ => None,
        }
    }
}

impl Watch {
    /// What the last hour of one window says now, whether it was told before or not; at most one of a kind.
    pub fn assess(&self, key: Key, now: Moment) -> Vec<Finding> {
        let Some(known) = self.accounts.get(&key.uid) else { return Vec::new() };
        let Some(window) = self.reader.windows.get(&key) else { return Vec::new() };
        if window.last_hour(now).messages < 3 {
            return Vec::new(); // nothing below is said of fewer
        }
        match &window.part {
            Part::Mailbox(name) => self.stolen(key, known, window, name, now).into_iter().collect(),
            Part::Folder(_) => Vec::new(), // told with its account
            Part::All => self.local(key, known, now),
        }
    }

    /// The mailbox that goes on since the restriction; held messages do not count.
    pub(super) fn guilty_mailbox(&self, known: &Known, since: Moment, now: Moment) -> Option<String> {
        self.reader.parts(known.entry.account.uid).iter().find_map(|key| {
            let window = self.reader.windows.get(key)?;
            let Part::Mailbox(name) = &window.part else { return None };
            let mut facts = window.facts(now, Some(since))?;
            facts.sums.messages = facts.sums.messages.saturating_sub(facts.sums.held);
            let judged = judge::mailbox(&facts, &known.domains, &self.settings.limits)?;
            (judged >= Strength::Suspicious).then(|| name.clone())
        })
    }

    pub(super) fn judge(&self, known: &Known, facts: &Facts) -> Judgement {
        let usual = self.past.usual(&known.entry.account.name, self.hour_of_day(facts.to));
        judge::judge(facts, usual, &known.domains, &self.settings.limits)
    }

    fn local(&self, key: Key, known: &Known, now: Moment) -> Vec<Finding> {
        let limits = &self.settings.limits;
        // Most accounts and folders send little; the sums say so before anything is worked out.
        let told = |key: &Key| {
            let window = self.reader.windows.get(key)?;
            let sums = window.last_hour(now);
            let enough = sums.messages >= limits.loop_messages
                || sums.recipients >= limits.burst_recipients
                || limits.hard_per_hour.is_some_and(|most| sums.messages > most);
            if matches!(window.part, Part::Mailbox(_)) || !enough {
                return None;
            }
            let facts = window.facts(now, None)?;
            let judgement = self.judge(known, &facts);
            Some(Told { window, facts, judgement })
        };
        let Some(all) = told(&key) else { return Vec::new() };
        let folders: Vec<Told<'_>> = self.reader.parts(key.uid).iter().filter_map(told).collect();
        let each = || std::iter::once(&all).chain(&folders);
        let mut found = Vec::new();

        let guilty = each().filter(|t| t.judgement.mass.is_some());
        let worst =
            guilty.max_by_key(|t| (t.judgement.mass, !t.judgement.form, t.folder().is_some(), t.facts.sums.messages));
        let above = all.judgement.above_hard_rate;
        match worst {
            Some(worst) if worst.judgement.form => {
                found.push(self.rated(known, worst, Kind::FormAbuse, now));
                if above {
                    found.push(self.mass(key, known, &all, Kind::MailAboveHardRate, Vec::new(), now));
                }
            }
            Some(worst) => {
                let also = if above { vec![Kind::MailAboveHardRate] } else { Vec::new() };
                found.push(self.mass(key, known, worst, Kind::MassMail, also, now));
            }
            None if above => found.push(self.mass(key, known, &all, Kind::MailAboveHardRate, Vec::new(), now)),
            None => {}
        }
        if worst.is_none() {
            let floods = each().filter(|t| judge::is_notice_flood(&t.facts, limits));
            if let Some(flood) = floods.max_by_key(|t| (t.folder().is_some(), t.facts.sums.messages)) {
                // Answers to bounces go to one address too; that is told as what it is.
                if judge::answering(&flood.facts, limits).is_none() {
                    found.push(self.rated(known, flood, Kind::NoticeFlood, now));
                }
            }
        }
        if let Some(pair) = judge::answering(&all.facts, limits) {
            found.push(self.answering(known, &all.facts, pair, now));
        }
        found
    }

    fn mass(&self, key: Key, known: &Known, told: &Told<'_>, kind: Kind, also: Vec<Kind>, now: Moment) -> Finding {
        let strength = match kind {
            Kind::MassMail => told.judgement.mass.unwrap_or(Strength::Suspicious),
            _ => Strength::Suspicious,
        };
        let place = told.folder().or(told.facts.script.as_deref()).unwrap_or_default();
        let what: &[u8] = if kind == Kind::MassMail { b"mass-mail" } else { b"hard-rate" };
        let fingerprint = fingerprint(known, what, place.as_bytes());
        // A burst longer than the window began when it was first seen.
        let standing = self.standing.get(&(key, kind)).filter(|s| s.fingerprint == fingerprint);
        let since = standing.map_or(told.facts.since, |s| s.since.min(told.facts.since));
        let target = Target::LocalMail(self.waiting(key, since));
        let mut evidence = self.evidence(known, told, since);
        if !also.is_empty() {
            evidence.text(FactKey::Also, "mail_above_hard_rate");
        }
        let site = told.folder().and_then(|folder| site_of(&known.entry, &[folder.as_bytes()]));
        self.finding(known, Seen { kind, also, strength, since, target, fingerprint, site }, evidence, now)
    }

    /// Mail of a script that is only slowed down.
    fn rated(&self, known: &Known, told: &Told<'_>, kind: Kind, now: Moment) -> Finding {
        let folder = told.folder().map(str::to_owned);
        let what: &[u8] = if kind == Kind::FormAbuse { b"form-abuse" } else { b"notice-flood" };
        let fingerprint = fingerprint(known, what, folder.as_deref().unwrap_or_default().as_bytes());
        let since = told.facts.since;
        let evidence = self.evidence(known, told, since);
        let site = folder.as_ref().and_then(|folder| site_of(&known.entry, &[folder.as_bytes()]));
        let target = Target::MailRate(MailRate::Script(folder));
        let strength = Strength::Suspicious;
        self.finding(known, Seen { kind, also: Vec::new(), strength, since, target, fingerprint, site }, evidence, now)
    }

    fn answering(&self, known: &Known, facts: &Facts, pair: &Pair, now: Moment) -> Finding {
        let (from, to) = pair.names.clone().unwrap_or_default();
        let since = Moment::from_secs(i64::from(pair.first) * 60);
        let mut evidence = Evidence::default();
        evidence
            .text(FactKey::Pair, format!("{from} {to}"))
            .number(FactKey::Messages, pair.count.into())
            .number(FactKey::Bounced, pair.bounced.into())
            .text(FactKey::From, since.to_string())
            .text(FactKey::To, facts.to.to_string())
            .text(FactKey::AttributedBy, "uid");
        let fingerprint = fingerprint(known, b"bounce-loop", format!("{from}\0{to}").as_bytes());
        let target = Target::MailRate(MailRate::Pair(from, to));
        let (kind, strength) = (Kind::BounceLoop, Strength::Suspicious);
        let seen = Seen { kind, also: Vec::new(), strength, since, target, fingerprint, site: None };
        self.finding(known, seen, evidence, now)
    }

    fn stolen(&self, key: Key, known: &Known, window: &Window, name: &str, now: Moment) -> Option<Finding> {
        let facts = window.facts(now, None)?;
        let strength = judge::mailbox(&facts, &known.domains, &self.settings.limits)?;
        let mailbox = name.parse().ok()?;
        let kind = Kind::StolenMailbox;
        let fingerprint = fingerprint(known, b"stolen-mailbox", name.to_ascii_lowercase().as_bytes());
        let standing = self.standing.get(&(key, kind)).filter(|s| s.fingerprint == fingerprint);
        let since = standing.map_or(facts.since, |s| s.since.min(facts.since));
        let sums = &facts.sums;
        let mut evidence = Evidence::default();
        evidence.text(FactKey::Mailbox, name);
        let networks = &facts.networks.all;
        evidence.text(FactKey::Networks, networks[..networks.len().min(NETWORKS_MAX)].join(" "));
        if let Some(countries) = &self.reader.countries {
            let country = |network: &String| countries.lookup(network.split('/').next()?.parse().ok()?);
            let different: BTreeSet<_> = networks.iter().filter_map(country).collect();
            if !different.is_empty() {
                evidence.number(FactKey::Countries, different.len() as i64);
                self.countries_of(&mut evidence);
            }
        }
        counted(&mut evidence, &facts);
        evidence
            .number(FactKey::Senders, facts.senders.into())
            .number(FactKey::MailsPerHour, sums.messages.into())
            .text(FactKey::From, since.to_string())
            .text(FactKey::To, facts.to.to_string())
            .text(FactKey::AttributedBy, "mailbox");
        let target = Target::Mailbox(mailbox, self.waiting(key, since));
        let seen = Seen { kind, also: Vec::new(), strength, since, target, fingerprint, site: None };
        Some(self.finding(known, seen, evidence, now))
    }

    fn waiting(&self, key: Key, since: Moment) -> Vec<model::QueueId> {
        let queued = self.reader.queued(key, since, QUEUED_MAX * 2);
        queued.iter().filter_map(Id::queue_id).filter(model::QueueId::is_long).take(QUEUED_MAX).collect()
    }

    fn evidence(&self, known: &Known, told: &Told<'_>, since: Moment) -> Evidence {
        let mut evidence = Evidence::default();
        let facts = &told.facts;
        if let Some(folder) = told.folder() {
            evidence.text(FactKey::ScriptDir, folder);
        }
        if let Some(script) = &facts.script {
            evidence.text(FactKey::Script, script);
        }
        counted(&mut evidence, facts);
        let [abroad, domestic, unknown] = facts.sums.percents();
        for (key, number) in [
            (FactKey::AbroadPercent, abroad),
            (FactKey::DomesticPercent, domestic),
            (FactKey::UnknownPercent, unknown),
            (FactKey::Senders, facts.senders),
            (FactKey::MailsPerHour, facts.sums.messages),
        ] {
            evidence.number(key, i64::from(number));
            if key == FactKey::UnknownPercent && facts.sums.by_server > 0 {
                self.countries_of(&mut evidence);
            }
        }
        if let Some(usual) = self.past.usual(&known.entry.account.name, self.hour_of_day(facts.to)) {
            evidence.number(FactKey::Baseline, usual.mean.round() as i64);
        }
        evidence.text(FactKey::From, since.to_string()).text(FactKey::To, facts.to.to_string());
        evidence.text(FactKey::AttributedBy, if told.folder().is_some() { "script" } else { "uid" });
        evidence
    }

    fn countries_of(&self, evidence: &mut Evidence) {
        if let Some(countries) = &self.reader.countries {
            evidence.text(FactKey::CountriesOf, countries.date());
        }
    }

    fn finding(&self, known: &Known, seen: Seen, evidence: Evidence, now: Moment) -> Finding {
        let Seen { kind, also, mut strength, since, target, fingerprint, site } = seen;
        if self.settings.trust == Trust::Forgeable {
            strength = strength.min(Strength::Suspicious);
        }
        let body = serde_json::to_vec(&evidence).expect("texts and numbers are JSON");
        let account = known.entry.account.clone();
        let evidence_hash = Hash::of(&body);
        let signal = Signal {
            kind,
            also,
            strength,
            account,
            site,
            at: now,
            since,
            target,
            fingerprint,
            evidence: evidence_hash,
            forgeable: self.settings.trust == Trust::Forgeable,
        };
        Finding { signal, evidence }
    }
}

/// What a finding says besides its facts.
struct Seen {
    kind: Kind,
    also: Vec<Kind>,
    strength: Strength,
    since: Moment,
    target: Target,
    fingerprint: Hash,
    site: Option<model::Domain>,
}

/// The counts that each finding about many messages has.
fn counted(evidence: &mut Evidence, facts: &Facts) {
    let sums = &facts.sums;
    evidence
        .number(FactKey::Messages, sums.messages.into())
        .number(FactKey::Recipients, sums.recipients.into())
        .number(FactKey::DistinctRecipients, facts.spread.distinct.into())
        .number(FactKey::Bounced, sums.bounced.into())
        .number(FactKey::Deferred, sums.deferred.into());
    if sums.spam > 0 {
        evidence.number(FactKey::RefusedAsSpam, sums.spam.into());
    }
}

/// Equal for the same mechanism in the same place of the same account.
fn fingerprint(known: &Known, what: &[u8], place: &[u8]) -> Hash {
    let account = &known.entry.account;
    Hash::of_parts(&[
        b"mail",
        account.name.as_str().as_bytes(),
        &account.uid.to_le_bytes(),
        &account.generation.to_le_bytes(),
        what,
        place,
    ])
}
