//! Gathers what a letter says: from the account's incidents, the evidence that is still kept, and the
//! configuration. The words are the desk's.

use desk::letter::{
    About, Answer, Decided, Earlier, FindingFacts, LetterContent, LiftWhen, Limit, Mistake, NextCheck, Released,
    SentNotice, SiteLine, SiteReason, Task, Tool, Topic, Undone, Unseen, Verification,
};
use desk::words::{SiteState, SiteVerdict};
use engine::{Account, Incident, Status};
use model::{
    AccountEntry, AccountRef, Check, Checked, Class, Delivery, Domain, FactKey, Hash, Language, Measure, Moment,
    NoticeId, NoticeKind, Number, Stage, Strength,
};
use serde::{Deserialize, Serialize};
use store::{StoreError, View};

use super::Core;
use crate::config::Config;

/// A letter as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// Its text.
    pub text: String,
}

/// The setting that points from a notice to its letter.
pub fn key(notice: NoticeId) -> String {
    format!("letter {notice}")
}

/// The letter of a notice, as long as it is kept.
pub fn stored(store: &View, notice: NoticeId) -> Result<Option<Letter>, StoreError> {
    let Some(hash) = store.setting(&key(notice))?.and_then(|h| h.parse::<Hash>().ok()) else { return Ok(None) };
    Ok(store.body(&hash)?.and_then(|body| serde_json::from_slice(&body.bytes).ok()))
}

/// Writes the letter of a notice in the owner's language.
pub fn write(core: &mut Core, who: &AccountRef, notice: NoticeId, kind: &NoticeKind) -> Result<Letter, StoreError> {
    let now = core.clock.now();
    let account = core.account(who)?.clone();
    if let NoticeKind::Resend { ordinal } = kind
        && let Some(letter) = stored(&core.store, NoticeId { ordinal: *ordinal, ..notice })?
    {
        return Ok(letter); // the same words once more; only the copy that is lost is replaced
    }
    let entry = core.store.account(&who.name)?.map(|known| known.entry);
    let content = Gather { store: &core.store, config: &core.config, account: &account, entry: entry.as_ref(), now }
        .content(notice, kind)?;
    let letter = desk::letter::render(&content);
    Ok(Letter { subject: letter.subject, text: letter.text })
}

/// The same letter in another language, for whoever asks to see it.
pub fn render_in(
    store: &View,
    config: &Config,
    account: &Account,
    notice: NoticeId,
    now: Moment,
    language: Language,
) -> Result<Option<Letter>, StoreError> {
    let entry = store.account(&account.account.name)?.map(|known| known.entry);
    let kind = account
        .incident(notice.incident)
        .and_then(|i| i.notices.iter().find(|n| n.id == notice))
        .map(|n| n.kind.clone());
    let Some(kind) = kind else { return Ok(None) };
    let mut content = Gather { store, config, account, entry: entry.as_ref(), now }.content(notice, &kind)?;
    (content.host, content.desk) = names(config, language);
    content.language = language;
    let letter = desk::letter::render(&content);
    Ok(Some(Letter { subject: letter.subject, text: letter.text }))
}

/// What the operator is called with: one line and what to do.
pub fn page(core: &mut Core, who: &AccountRef, incident: Number, rule: &str) -> Result<(String, String), StoreError> {
    let account = core.account(who)?;
    let state =
        account.incident(incident).map(|i| (crate::cli::print::state(i.state()), crate::cli::print::in_force(i)));
    let (state, in_force) = state.unwrap_or(("no longer kept", "nothing".into()));
    let hint = match rule {
        "held-mail-waits" => {
            "Mail that was held is still in the hold queue: `postqueue -j` lists it, `postsuper -d ID` discards spam,\n\
             `postsuper -H ID` sends the rest.\n\n"
        }
        "notice-undeliverable" => "The owner does not know: tell him by another way, with the number.\n\n",
        "objection" | "objection-overdue" => "The owner waits for a person's answer.\n\n",
        _ => "",
    };
    let text = format!(
        "Account {who}, incident {incident}: {rule}.\n{hint}State: {state}. In force: {in_force}.\n\n\
         Look:    hikeshi incident show {incident}\nRelease: hikeshi incident release {incident} --reason ...\n\
         Undo:    hikeshi incident dismiss {incident} --truth ...\n"
    );
    Ok((format!("[hikeshi] {who}: {rule} {incident}"), text))
}

fn names(config: &Config, language: Language) -> (String, String) {
    let host = match config.notice.host_name.is_empty() {
        true => desk::words::pick(language, "ホスティング会社", "your hosting company").to_owned(),
        false => config.notice.host_name.clone(),
    };
    let desk = desk::words::pick(language, &config.notice.desk_name_ja, &config.notice.desk_name_en).clone();
    (host, desk)
}

struct Gather<'a> {
    store: &'a View,
    config: &'a Config,
    account: &'a Account,
    entry: Option<&'a AccountEntry>,
    now: Moment,
}

impl Gather<'_> {
    fn content(&self, notice: NoticeId, kind: &NoticeKind) -> Result<LetterContent, StoreError> {
        let incident = self.account.incident(notice.incident).expect("the caller found it");
        let contacts = self.entry.map(|e| e.contacts.as_slice()).unwrap_or_default();
        let first = contacts.first();
        let language = first.map_or(self.config.notice.default_language, |c| c.language);
        let (host, desk) = names(self.config, language);
        let findings = self.findings(incident)?;
        let tasks = tasks(&findings, self.entry);
        let ordered = incident.notices.iter().find(|n| n.id == notice).map_or(self.now, |n| n.ordered);
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let earlier = self.earlier(incident, kind);
        Ok(LetterContent {
            number: notice.incident,
            ordinal: notice.ordinal,
            sent: self.now,
            language,
            zone: self.entry.map_or_else(|| self.config.node.time_zone.0.clone(), |e| e.time_zone.clone()),
            owner: first.map(|c| c.name.clone()).unwrap_or_default(),
            host,
            desk,
            home: self.entry.map(|e| e.home.clone()).unwrap_or_default(),
            sites: self.sites(incident, &findings),
            tools: vec![Tool::Ftp, Tool::Panel, Tool::Backup],
            restrictions: limits(incident, &tasks, ordered),
            detected: incident.signals.iter().map(|s| s.at).max().unwrap_or(incident.opened),
            warned: false,
            free: false,
            logins: (!findings.is_empty()).then_some(Unseen::NotRead),
            entry: (!findings.is_empty()).then_some(Unseen::NotRead),
            about: self.about(incident, kind, &tasks, earlier.as_ref())?,
            earlier: if matches!(kind, NoticeKind::Relapse { .. }) { None } else { earlier },
            findings,
            tasks,
            sent_notices: self.sent(incident, notice)?,
            decided: match incident.restrictions.iter().any(|g| g.restriction.why.rule == "ordered") {
                true => Decided::Staff,
                false => Decided::Automatically,
            },
            rules: rules(incident),
            terms: some(&self.config.notice.terms),
            redress: some(&self.config.notice.redress),
            portal: self.config.notice.portal_url.as_ref().map(|u| u.0.clone()),
            by_time: Some(incident.objection.unwrap_or(self.now + self.config.policy().answer_within)),
            replies_by_machine: false,
            next_check: match kind {
                NoticeKind::Released => NextCheck::Daily,
                NoticeKind::FalseAlarm => NextCheck::None,
                _ => NextCheck::OnReply,
            },
            address_on_account: contacts.iter().all(|c| self.is_own(&c.address)) && !contacts.is_empty(),
        })
    }

    /// Whether an address lies on a domain of the account, so that a restriction may keep the letter away.
    fn is_own(&self, address: &str) -> bool {
        let domain = address.rsplit('@').next().unwrap_or("");
        let sites = self.entry.map(|e| e.sites.as_slice()).unwrap_or_default();
        sites
            .iter()
            .flat_map(|s| std::iter::once(&s.domain).chain(&s.aliases))
            .any(|d| d.as_str() == domain || domain.strip_suffix(d.as_str()).is_some_and(|rest| rest.ends_with('.')))
    }

    fn findings(&self, incident: &Incident) -> Result<Vec<FindingFacts>, StoreError> {
        let mut findings = Vec::new();
        for signal in &incident.signals {
            let body = self.store.body(&signal.evidence)?;
            findings.push(FindingFacts {
                kind: signal.kind,
                also: signal.also.clone(),
                strength: signal.strength,
                site: signal.site.clone(),
                evidence: body.and_then(|b| serde_json::from_slice(&b.bytes).ok()).unwrap_or_default(),
            });
        }
        findings.sort_by_key(|f| (std::cmp::Reverse(f.strength), f.kind.class()));
        Ok(findings)
    }

    /// Each site with what visitors get and what was found. Without a scanner nothing is "nothing found".
    fn sites(&self, incident: &Incident, findings: &[FindingFacts]) -> Vec<SiteLine> {
        let sites = self.entry.map(|e| e.sites.as_slice()).unwrap_or_default();
        let in_force: Vec<&Measure> = self
            .account
            .open_incidents()
            .flat_map(|i| i.in_force())
            .filter(|g| g.status != Status::Ordered)
            .map(|g| &g.restriction.measure)
            .collect();
        let closed = |domain: &Domain| {
            in_force.iter().any(|m| match m {
                Measure::CloseSite { site } => site == domain,
                Measure::CloseAccount { sites, .. } => sites.contains(domain),
                _ => false,
            })
        };
        let over = !incident.is_open() && incident.verified;
        let line = |site: &model::Site| {
            let hit: Vec<&FindingFacts> = findings.iter().filter(|f| f.site.as_ref() == Some(&site.domain)).collect();
            let worst = hit.iter().map(|f| f.strength).max();
            let programs = hit.iter().filter(|f| f.kind.class() == Class::Process).count() as u32;
            SiteLine {
                domain: site.domain.clone(),
                state: if closed(&site.domain) { SiteState::Closed } else { SiteState::Open },
                verdict: match worst {
                    Some(_) if over => SiteVerdict::NothingFound,
                    Some(Strength::Conclusive) => SiteVerdict::Problem,
                    Some(_) => SiteVerdict::Suspicious,
                    None => SiteVerdict::NotChecked,
                },
                reason: match (over, programs, hit.is_empty()) {
                    (false, 1.., _) => Some(SiteReason::Programs(programs)),
                    (false, 0, false) => Some(SiteReason::MailScript),
                    _ => None,
                },
            }
        };
        sites.iter().map(line).collect()
    }

    /// The ended incident that an owner may take this one for: the one that he quoted, or the latest he was told of.
    fn earlier(&self, incident: &Incident, kind: &NoticeKind) -> Option<Earlier> {
        let number = match kind {
            NoticeKind::Relapse { earlier } => Some(*earlier),
            NoticeKind::Answer { earlier, .. } => *earlier,
            _ => incident.relapse_of,
        };
        let other = self.account.incident(number?)?;
        Some(Earlier { number: other.number, opened: other.opened, closed: other.closed?, check: check_of(other) })
    }

    fn about(
        &self,
        incident: &Incident,
        kind: &NoticeKind,
        tasks: &[Task],
        earlier: Option<&Earlier>,
    ) -> Result<About, StoreError> {
        Ok(match kind {
            NoticeKind::Restricted | NoticeKind::Resend { .. } => About::Restricted,
            NoticeKind::Added => About::Added,
            NoticeKind::Answer { question, .. } => {
                let text = self.store.body(question)?.map(|b| String::from_utf8_lossy(&b.bytes).into_owned());
                About::Answer(Answer {
                    received: incident.notices.iter().rev().find(|n| n.kind == *kind).map_or(self.now, |n| n.ordered),
                    topic: text.map_or(Topic::Other, |t| Topic::of(&t)),
                    fails: None,
                })
            }
            NoticeKind::CheckFailed => {
                let checked = incident.verification.as_ref().map(|(_, c)| c.clone()).unwrap_or_default();
                let at = checked.first().map_or(self.now, |c| c.at);
                About::CheckFailed(Verification {
                    at,
                    facts: checked.into_iter().map(|c| (c.clone(), task_for(&c, tasks))).collect(),
                })
            }
            NoticeKind::Released => About::Released(Released {
                lifted: incident.closed.unwrap_or(self.now),
                check: check_of(incident).filter(|_| incident.verified),
                watch_until: incident.watch_until.unwrap_or(self.now),
            }),
            NoticeKind::Relapse { .. } => match earlier {
                Some(earlier) => About::Relapse(earlier.clone()),
                None => About::Restricted, // the earlier one is no longer kept: say what is known
            },
            NoticeKind::FalseAlarm => {
                let undone = |g: &engine::Given| {
                    let until = match g.status {
                        Status::Lifted(until) => until,
                        Status::Lifting => self.now,
                        _ => return None,
                    };
                    let (measure, since) = (g.restriction.measure.clone(), g.restriction.since);
                    Some(Undone { measure, since, until })
                };
                About::FalseAlarm(Mistake {
                    undone: incident.restrictions.iter().filter_map(undone).collect(),
                    truth: incident.truth.clone().unwrap_or_default(),
                    late: None,
                    proof: None,
                })
            }
        })
    }

    /// Notices of this incident that left before this one.
    fn sent(&self, incident: &Incident, notice: NoticeId) -> Result<Vec<SentNotice>, StoreError> {
        let contacts = self.entry.map(|e| e.contacts.as_slice()).unwrap_or_default();
        let mut sent = Vec::new();
        for earlier in incident.notices.iter().filter(|n| n.id.ordinal < notice.ordinal) {
            let Some(delivery) = earlier.delivery.clone().filter(|d| *d != Delivery::Withdrawn) else { continue };
            let Some(letter) = stored(self.store, earlier.id)? else { continue };
            let number = earlier.id.incident.to_string();
            sent.push(SentNotice {
                sent: earlier.ordered,
                subject: letter.subject.trim_end_matches(&number).trim_end().to_owned(),
                to: contacts.iter().map(|c| c.address.clone()).collect(),
                delivery,
            });
        }
        Ok(sent)
    }
}

/// What the owner is asked to do: one task a planted file, one a script, then new passwords. Only files that lie in
/// his own folders, or where everybody can put some: a program of the host is never his to delete.
fn tasks(findings: &[FindingFacts], entry: Option<&AccountEntry>) -> Vec<Task> {
    let roots = entry.iter().flat_map(|e| std::iter::once(&e.home).chain(e.sites.iter().map(|s| &s.root)));
    let common = ["/tmp", "/var/tmp", "/dev/shm"].map(str::to_owned);
    let places: Vec<&String> = roots.chain(&common).filter(|p| p.len() > 1).collect();
    let own =
        |path: &String| places.iter().any(|p| path.strip_prefix(p.as_str()).is_some_and(|rest| rest.starts_with('/')));
    let mut tasks: Vec<Task> = Vec::new();
    let mut paths = Vec::new();
    for finding in findings {
        let text = |key| finding.evidence.get(key).map(ToString::to_string);
        match finding.kind.class() {
            Class::Process => {
                let told = [FactKey::Path, FactKey::Script, FactKey::Really].into_iter().filter_map(text);
                if let Some(path) = told.into_iter().find(|p| own(p) && !paths.contains(p)) {
                    paths.push(path.clone());
                    tasks.push(Task::RemoveFile { path });
                }
            }
            Class::Mail => {
                if let Some(script) = finding.evidence.get(FactKey::Script).map(ToString::to_string) {
                    tasks.push(Task::RepairScript { script });
                }
            }
            Class::Cron => tasks.extend(text(FactKey::Line).map(|line| Task::RemoveCronLine { line })),
            Class::Web => {
                if let Some(path) = text(FactKey::Script).filter(|p| own(p) && !paths.contains(p)) {
                    paths.push(path.clone());
                    tasks.push(Task::RemoveFile { path });
                }
            }
            Class::Load | Class::Login => {}
        }
    }
    if findings.iter().any(|f| f.kind.class() != Class::Load) {
        tasks.push(Task::Passwords);
    }
    tasks
}

/// Restrictions in force, each with what lifts it.
fn limits(incident: &Incident, tasks: &[Task], ordered: Moment) -> Vec<Limit> {
    let checked: Vec<usize> = (1..=tasks.len()).filter(|n| !matches!(tasks[n - 1], Task::Passwords)).collect();
    let closure = incident.in_force().find(|g| g.restriction.measure.closes()).map(|g| g.restriction.id.ordinal);
    let lift = |measure: &Measure| match (measure, closure) {
        (Measure::HoldMail { .. } | Measure::RefuseMail, Some(closure)) => LiftWhen::After(closure),
        _ if incident
            .restrictions
            .iter()
            .any(|g| g.restriction.measure == *measure && g.restriction.why.rule == "ordered") =>
        {
            LiftWhen::Staff
        }
        _ if checked.is_empty() => LiftWhen::NothingFound,
        _ => LiftWhen::Tasks(checked.clone()),
    };
    let limit = |g: &engine::Given| Limit {
        ordinal: g.restriction.id.ordinal,
        measure: g.restriction.measure.clone(),
        since: g.restriction.since,
        until: g.restriction.measure.lasts().map(|lasts| g.restriction.since + lasts),
        lift: lift(&g.restriction.measure),
        new: g.restriction.since >= ordered,
    };
    // Only what holds: an order is not a fact. What is being lifted no longer belongs to what is stopped.
    let holds = |g: &&engine::Given| match g.status {
        Status::Imposed(_) => true,
        Status::Lifting => matches!(incident.stage, Some((Stage::Owner, _))),
        _ => false,
    };
    incident.restrictions.iter().filter(holds).map(limit).collect()
}

fn rules(incident: &Incident) -> Vec<String> {
    let mut rules: Vec<String> = incident.in_force().map(|g| g.restriction.why.rule.clone()).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// The verification that carried an incident's release.
fn check_of(incident: &Incident) -> Option<(Moment, Vec<Checked>)> {
    let (_, checked) = incident.verification.as_ref().filter(|(passed, _)| *passed)?;
    Some((checked.first()?.at, checked.clone()))
}

/// Which task (from 1) ends what a check still found.
fn task_for(checked: &Checked, tasks: &[Task]) -> Option<usize> {
    let wanted = |t: &Task| match checked.check {
        Check::Processes | Check::CapturedGone | Check::Requests => matches!(t, Task::RemoveFile { .. }),
        Check::Mail => matches!(t, Task::RepairScript { .. }),
        Check::Cron => matches!(t, Task::RemoveCronLine { .. }),
        Check::Logins => matches!(t, Task::Passwords),
        _ => false,
    };
    tasks.iter().position(wanted).map(|at| at + 1)
}
