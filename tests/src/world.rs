//! The world around the core: it does what it is told and says so, with the oddities that a story names.

use model::order::{Failure, Finding};
use model::{
    AccountRef, Check, Checked, Class, Delivery, Evidence, FactKey, Hash, Input, Intent, Kind, Look, Measure, Moment,
    Operator, Order, Owner, ProcessRef, RestrictionId, Seen, Signal, Site, Span, Target, Verb, Verdict,
};

use crate::render::{Names, kebab};
use crate::story::{Said, Story};

/// The reference of a story's account: uids count from 20001 in the order of the story.
pub fn account(story: &Story, name: &str) -> AccountRef {
    let at = story
        .accounts
        .iter()
        .position(|(n, _)| n == name)
        .unwrap_or_else(|| panic!("{}: no account {name}", story.name));
    AccountRef { name: name.parse().expect("a story's names are names"), uid: 20001 + at as u32, generation: 1 }
}

/// The sites of a story's account.
pub fn sites(names: &[String]) -> Vec<Site> {
    let site = |name: &String| Site {
        domain: name.parse().expect("a story's sites are domains"),
        aliases: vec![],
        root: format!("/home/{name}"),
        gates: vec![model::GateKey::Nginx(name.clone())],
        probes: vec![],
    };
    names.iter().map(site).collect()
}

/// The finding that a signal line stands for.
pub fn finding(story: &Story, now: Moment, said: &Said) -> Finding {
    let Said::Signal { account: name, kind: word, strength, site, pids } = said else { panic!("no signal: {said:?}") };
    let account = account(story, name);
    let kind = kind(word);
    let target = match kind.class() {
        Class::Process => Target::Processes(
            pids.iter()
                .map(|pid| ProcessRef {
                    pid: *pid,
                    start_ticks: u64::from(*pid),
                    uid: account.uid,
                    exe_dev: 1,
                    exe_ino: 7,
                })
                .collect(),
        ),
        Class::Mail => Target::LocalMail(vec![]),
        Class::Load | Class::Web | Class::Cron | Class::Login => Target::Nothing,
    };
    let mut evidence = Evidence::default();
    evidence
        .text(FactKey::Shown, "[kworker/0:1]")
        .text(FactKey::Really, "/home/x/uploads/kw")
        .number(FactKey::Messages, 1200);
    let hash = Hash::of(&serde_json::to_vec(&evidence).expect("plain values"));
    let fingerprint = Hash::of(format!("{name} {word} {site:?}").as_bytes());
    let site = site.as_ref().map(|s| s.parse().expect("a domain"));
    let signal = Signal {
        kind,
        also: vec![],
        strength: *strength,
        account,
        site,
        at: now,
        since: now,
        target,
        fingerprint,
        evidence: hash,
        forgeable: false,
    };
    Finding { signal, evidence }
}

fn kind(word: &str) -> Kind {
    let all = [
        Kind::FakedName,
        Kind::DeletedExe,
        Kind::RunsFromUploads,
        Kind::HiddenProgram,
        Kind::ScriptGone,
        Kind::PipedDownload,
        Kind::MinerArguments,
        Kind::Listening,
        Kind::Orphaned,
        Kind::LoadAboveBaseline,
        Kind::TrafficPeak,
        Kind::HeavyJob,
        Kind::MassMail,
        Kind::MailAboveHardRate,
    ];
    let found = all.into_iter().find(|k| kebab(&format!("{k:?}")) == word);
    found.unwrap_or_else(|| panic!("no mechanism «{word}»"))
}

/// What an owner or operator line asks of the core.
pub fn spoken(said: &Said, names: &Names) -> Option<Input> {
    let incident = |n: usize| names.number(n).unwrap_or_else(|| panic!("no incident H-{n} yet"));
    Some(match said {
        Said::Owner { word, quoted, text, .. } => {
            let hash = Hash::of(text.as_bytes());
            let what = match word.as_str() {
                "done" => Owner::Done,
                "asks" => Owner::Question(hash),
                "objects" => Owner::Object(hash),
                "cannot" => Owner::Cannot,
                "was-me" => Owner::ItWasMe,
                "resend" => Owner::Resend,
                "pass" => Owner::Pass(Hash::of(b"ip:192.0.2.7")),
                other => panic!("an owner does not «{other}»"),
            };
            Input::Owner { quoted: quoted.map(incident), what }
        }
        Said::Operator { word, incident: n, ordinal, target, text } => {
            let what = match (word.as_str(), target) {
                ("close-site", Some((_, site))) => {
                    let measure = Measure::CloseSite { site: site.parse().expect("a domain") };
                    Operator::Impose { measure, reason: text.clone() }
                }
                ("confirm", _) => Operator::Confirm(incident(*n)),
                ("lift", _) => {
                    let restriction = RestrictionId { incident: incident(*n), ordinal: *ordinal };
                    Operator::Lift { restriction, reason: text.clone() }
                }
                ("release", _) => Operator::Release { incident: incident(*n), reason: text.clone() },
                ("undo", _) => Operator::Undo { incident: incident(*n), only: vec![], reason: text.clone() },
                ("dismiss", _) => Operator::Dismiss { incident: incident(*n), truth: text.clone() },
                ("uphold", _) => Operator::Uphold { incident: incident(*n), reason: text.clone() },
                (other, _) => panic!("an operator does not «{other}»"),
            };
            Input::Operator { by: "ops".into(), what }
        }
        Said::Signal { .. } | Said::Verdict { .. } => return None,
    })
}

/// What the world answers to an order; `None` for a verification, whose verdict the story tells.
pub fn answer(story: &Story, order: &Order, now: Moment) -> Option<Seen> {
    let quirk = |name: &str| story.quirks.iter().any(|q| q == name);
    let done = || Seen::Done { what: "done".into() };
    Some(match order {
        Order::Act(Verb::Impose { restriction, .. }) => {
            let verb = restriction.measure.name();
            match () {
                () if quirk(&format!("{verb} over budget")) => {
                    Seen::Failed(Failure::Budget("3 accounts this hour".into()))
                }
                () if quirk(&format!("{verb} refused")) => Seen::Failed(Failure::Guard("outside of reach".into())),
                () if quirk(&format!("{verb} gone")) => Seen::Failed(Failure::Gone("ended by itself".into())),
                () => done(),
            }
        }
        Order::Act(_) => done(),
        Order::Look(Look::Probe { closed, .. }) => {
            Seen::Probed { right: !(*closed && quirk("close-site unseen")), what: "as said".into() }
        }
        Order::Look(Look::Capture { .. }) => Seen::Captured(Hash::of(b"capture")),
        Order::Look(Look::Rescan { .. }) => return None,
        Order::Tell { .. } | Order::Page { .. } if mail_is_down(story, now) => {
            Seen::Told(Delivery::Waiting { why: "connection refused".into() })
        }
        Order::Tell { .. } if quirk("notice bounces") => {
            Seen::Told(Delivery::Undeliverable { why: "550 no such user".into() })
        }
        Order::Tell { .. } | Order::Page { .. } => Seen::Told(Delivery::Accepted { addresses: 1 }),
    })
}

/// The facts that a verdict line stands for.
pub fn verdict(what: &str, at: Moment) -> Seen {
    let (word, place) = what.split_once(' ').unwrap_or((what, ""));
    let line = |check, verdict| Checked { check, at, verdict };
    Seen::Rescanned(match word {
        "clean" => vec![
            line(Check::Processes, Verdict::Clean { count: 12 }),
            line(Check::CapturedGone, Verdict::Clean { count: 1 }),
            line(Check::Mail, Verdict::Clean { count: 3 }),
        ],
        "found" => vec![
            line(Check::Processes, Verdict::Clean { count: 12 }),
            line(Check::CapturedGone, Verdict::Found { place: place.into() }),
        ],
        "blind" => vec![line(Check::Processes, Verdict::NotChecked { why: "no_rights".into() })],
        other => panic!("no verdict «{other}»"),
    })
}

/// The account that an order belongs to, for a verdict line.
pub fn concerns(intent: &Intent, name: &str) -> bool {
    intent.account.name.as_str() == name && matches!(intent.order, Order::Look(Look::Rescan { .. }))
}

/// `given world smtp down for 24 h`: from the beginning of the story.
fn mail_is_down(story: &Story, now: Moment) -> bool {
    let hours =
        story.quirks.iter().find_map(|q| q.strip_prefix("smtp down for ")?.strip_suffix(" h")?.parse::<i64>().ok());
    hours.is_some_and(|hours| now - story.beats[0].at < Span::hours(hours))
}
