//! Events as the lines of a story: who opened what, what was ordered, what was told. Sights that merely confirm
//! an order are left out, so that a story shows decisions.

use std::collections::BTreeMap;

use model::{Event, Fact, Look, Measure, NoticeKind, Number, Verdict};

/// Gives incidents their story numbers, H-1 first.
#[derive(Default)]
pub struct Names {
    order: Vec<Number>,
}

impl Names {
    /// The story number of an incident.
    pub fn of(&mut self, number: Number) -> String {
        format!("H-{}", self.index(number))
    }

    fn index(&mut self, number: Number) -> usize {
        match self.order.iter().position(|n| *n == number) {
            Some(at) => at + 1,
            None => {
                self.order.push(number);
                self.order.len()
            }
        }
    }

    /// The incident behind a story number.
    pub fn number(&self, index: usize) -> Option<Number> {
        self.order.get(index.checked_sub(1)?).copied()
    }
}

/// The lines of one beat.
pub fn lines(names: &mut Names, events: &[Event]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut opened: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        let account = &event.account;
        match &event.fact {
            Fact::IncidentOpened { incident, relapse_of, .. } => {
                let name = names.of(*incident);
                opened.insert(name.clone(), lines.len());
                let relapse = relapse_of.map(|n| format!(" (relapse of {})", names.of(n))).unwrap_or_default();
                lines.push(format!("incident {name} opened{relapse}"));
            }
            Fact::SignalJoined { incident, signal } => {
                let name = names.of(*incident);
                match opened.get(&name) {
                    Some(at) => lines[*at].push_str(&format!(": {}", kebab(&format!("{:?}", signal.kind)))),
                    None => lines.push(format!("joined {name} {}", kebab(&format!("{:?}", signal.kind)))),
                }
                opened.remove(&name);
            }
            Fact::SignalIgnored { kind, .. } => {
                lines.push(format!("ignored {account} {}", kebab(&format!("{kind:?}"))))
            }
            Fact::RestrictionProposed { restriction } => {
                let (id, what) = (restriction.id, measure(&restriction.measure, account.name.as_str()));
                let rule = match restriction.measure.restricts() {
                    true => String::new(),
                    false => format!(" {}", restriction.why.rule),
                };
                lines.push(format!("propose {}/{} {what}{rule}", names.of(id.incident), id.ordinal));
            }
            Fact::RestrictionOrdered { restriction, .. } => {
                let id = restriction.id;
                let what = measure(&restriction.measure, account.name.as_str());
                lines.push(format!("impose {}/{} {what}", names.of(id.incident), id.ordinal));
            }
            Fact::RestrictionFailed { id, why } => {
                let word = format!("{why:?}");
                let word = kebab(word.split('(').next().unwrap_or(""));
                lines.push(format!("failed {}/{} {word}", names.of(id.incident), id.ordinal));
            }
            Fact::LiftOrdered { id, measure: m, for_good, .. } => {
                let end = if *for_good { " (ended)" } else { "" };
                lines.push(format!(
                    "lift {}/{} {}{end}",
                    names.of(id.incident),
                    id.ordinal,
                    measure(m, account.name.as_str())
                ));
            }
            Fact::PassOrdered { incident, .. } => lines.push(format!("pass {}", names.of(*incident))),
            Fact::LookOrdered { incident, look: Look::Rescan { .. } } => {
                lines.push(format!("verify {}", names.of(*incident)))
            }
            Fact::OperatorCalled { .. } => {}
            Fact::VerificationPassed { incident, .. } => lines.push(format!("verified {}", names.of(*incident))),
            Fact::VerificationFailed { incident, checked } => {
                let left: Vec<&str> = checked
                    .iter()
                    .filter_map(|c| match &c.verdict {
                        Verdict::Found { place } => Some(place.as_str()),
                        _ => None,
                    })
                    .collect();
                lines.push(squeezed(format!("not-verified {} {}", names.of(*incident), left.join(" "))));
            }
            Fact::StageEntered { incident, stage } => {
                lines.push(format!("release {} {}", names.of(*incident), kebab(&format!("{stage:?}"))));
            }
            Fact::NoticeOrdered { notice, kind } => {
                let name = names.of(notice.incident);
                lines.push(match kind {
                    NoticeKind::Restricted => format!("notice {name} restricted"),
                    NoticeKind::Added => format!("notice {name} added"),
                    NoticeKind::Answer { earlier: Some(earlier), .. } => {
                        format!("answer {name} (not {})", names.of(*earlier))
                    }
                    NoticeKind::Answer { earlier: None, .. } => format!("answer {name}"),
                    NoticeKind::CheckFailed => format!("notice {name} check-failed"),
                    NoticeKind::Released => format!("notice {name} released"),
                    NoticeKind::Relapse { earlier } => format!("notice {name} relapse of {}", names.of(*earlier)),
                    NoticeKind::FalseAlarm => format!("notice {name} false-alarm"),
                    NoticeKind::Resend { ordinal } => format!("notice {name} resend {ordinal}"),
                });
            }
            Fact::NoticeSeen { notice, delivery: model::Delivery::Undeliverable { .. } } => {
                lines.push(format!("undelivered {}", names.of(notice.incident)));
            }
            Fact::NoticeSeen { notice, delivery: model::Delivery::Withdrawn } => {
                lines.push(format!("withdrawn {}", names.of(notice.incident)));
            }
            Fact::QuestionUnbound { .. } => lines.push(format!("unbound {account} no restriction of ours")),
            Fact::ObjectionRaised { incident, .. } => lines.push(format!("objection {}", names.of(*incident))),
            Fact::ObjectionDecided { incident, .. } => lines.push(format!("upheld {}", names.of(*incident))),
            Fact::IncidentClosed { incident, verified, .. } => {
                let by = if *verified { "by verification" } else { "unverified" };
                lines.push(format!("closed {} {by}", names.of(*incident)));
            }
            Fact::IncidentDismissed { incident, .. } => lines.push(format!("dismissed {}", names.of(*incident))),
            Fact::WatchEnded { incident } => lines.push(format!("watch-ended {}", names.of(*incident))),
            Fact::RestrictionImposed { .. }
            | Fact::RestrictionLifted { .. }
            | Fact::PassSeen { .. }
            | Fact::LookOrdered { .. }
            | Fact::LookSeen { .. }
            | Fact::OwnerDone { .. }
            | Fact::OwnerCannot { .. }
            | Fact::NoticeSeen { .. }
            | Fact::NoticeWritten { .. }
            | Fact::QuestionBound { .. }
            | Fact::OperatorActed { .. }
            | Fact::FindingAllowed { .. }
            | Fact::SitesSeen { .. }
            | Fact::OutcomeStale { .. } => {}
        }
    }
    lines
}

fn measure(measure: &Measure, account: &str) -> String {
    match measure {
        Measure::CloseSite { site } => format!("close-site {site}"),
        Measure::AskOwner | Measure::PageOperator => measure.name().to_owned(),
        _ => format!("{} {account}", measure.name()),
    }
}

fn squeezed(line: String) -> String {
    crate::story::squeeze(&line)
}

/// `FakedName` as `faked-name`.
pub fn kebab(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}
