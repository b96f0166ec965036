//! Decisions, one short case each: what was seen on the left, what follows on the right.

use expect_test::{Expect, expect};
use model::order::Failure;
use model::*;

use crate::{Account, Policy, State, step};

mod senses;

/// An account in the making: applies what follows from each input and writes it down in a word or two.
struct Play {
    account: Account,
    policy: Policy,
    now: Moment,
    seq: u64,
    heard: Vec<String>,
}

fn account(name: &str) -> AccountRef {
    AccountRef { name: name.parse().unwrap(), uid: 20001, generation: 1 }
}

fn site(name: &str) -> Site {
    Site {
        domain: name.parse().unwrap(),
        aliases: vec![],
        root: format!("/home/alice/{name}"),
        gates: vec![],
        probes: vec![],
    }
}

fn process(pid: u32) -> ProcessRef {
    ProcessRef { pid, start_ticks: u64::from(pid), uid: 20001, exe_dev: 1, exe_ino: 7 }
}

impl Play {
    fn new(mode: Mode) -> Play {
        let mut play = Play {
            account: Account::new(account("alice")),
            policy: Policy { mode, ..Policy::default() },
            now: Moment::parse("2026-03-21T11:46:53+09:00").unwrap(),
            seq: 0,
            heard: Vec::new(),
        };
        play.input(Input::Inventory(["blog", "shop", "old", "new"].map(site).to_vec()));
        play.heard.clear();
        play
    }

    fn input(&mut self, input: Input) {
        let events = step(&self.account, &self.policy, self.now, input);
        for event in events {
            self.seq += 1;
            self.account.apply(IntentId(self.seq), &event);
            self.heard.push(word(&event.fact));
        }
    }

    fn signal(&mut self, kind: Kind, strength: Strength, site: Option<&str>, pids: &[u32]) {
        let class = kind.class();
        let target = match class {
            Class::Process => Target::Processes(pids.iter().map(|p| process(*p)).collect()),
            Class::Mail => Target::LocalMail(vec![]),
            _ => Target::Nothing,
        };
        self.input(Input::Signal(Signal {
            kind,
            also: vec![],
            strength,
            account: self.account.account.clone(),
            site: site.map(|s| s.parse().unwrap()),
            at: self.now,
            since: self.now,
            target,
            fingerprint: Hash::of(format!("{kind:?} {site:?}").as_bytes()),
            evidence: Hash::of(b"{}"),
            forgeable: false,
        }));
    }

    /// Answers every order that is under way as a well-behaved world does.
    fn answer(&mut self) {
        while let Some((intent, waiting)) = self.account.waiting.clone().into_iter().next() {
            use crate::Waiting::*;
            let seen = match waiting {
                Impose(_) | Lift(_) | Pass(_) => Seen::Done { what: "ok".into() },
                Probe(..) => Seen::Probed { right: true, what: "ok".into() },
                Capture(_) => Seen::Captured(Hash::of(b"capture")),
                Rescan(_) => Seen::Rescanned(
                    [Check::Processes, Check::Mail]
                        .map(|check| Checked { check, at: self.now, verdict: Verdict::Clean { count: 3 } })
                        .to_vec(),
                ),
                Tell(_) | Page(_) => Seen::Told(Delivery::Accepted { addresses: 1 }),
            };
            self.input(Input::Outcome(Outcome { intent, seen }));
        }
    }

    fn wait(&mut self, span: Span) {
        self.now = self.now + span;
        self.input(Input::Tick);
    }

    fn owner(&mut self, what: Owner) {
        self.input(Input::Owner { quoted: None, what });
    }

    fn operator(&mut self, what: Operator) {
        self.input(Input::Operator { by: "ops".into(), what });
    }

    fn number(&self) -> Number {
        self.account.incidents.last().unwrap().number
    }

    fn state(&self) -> State {
        self.account.incidents.last().unwrap().state()
    }

    fn said(&mut self, expected: Expect) {
        let heard = std::mem::take(&mut self.heard).join("; ");
        expected.assert_eq(&heard);
    }
}

fn word(fact: &Fact) -> String {
    match fact {
        Fact::IncidentOpened { trouble, relapse_of, .. } => {
            format!("open {trouble:?}{}", if relapse_of.is_some() { " relapse" } else { "" })
        }
        Fact::SignalJoined { signal, .. } => format!("join {:?}", signal.kind),
        Fact::SignalIgnored { kind, .. } => format!("ignore {kind:?}"),
        Fact::RestrictionProposed { restriction } => {
            format!("propose {} ({})", restriction.measure.name(), restriction.why.rule)
        }
        Fact::RestrictionOrdered { restriction, .. } => format!("order {}", restriction.measure.name()),
        Fact::RestrictionImposed { .. } => "imposed".into(),
        Fact::RestrictionFailed { why, .. } => format!("failed {why}"),
        Fact::LiftOrdered { measure, for_good, .. } => {
            format!("lift {}{}", measure.name(), if *for_good { " end" } else { "" })
        }
        Fact::RestrictionLifted { .. } => "lifted".into(),
        Fact::LookOrdered { look, .. } => match look {
            Look::Rescan { .. } => "rescan".into(),
            Look::Capture { .. } => "capture".into(),
            Look::Probe { .. } => "probe".into(),
        },
        Fact::NoticeOrdered { kind, .. } => {
            format!("notice {kind:?}").split([' ', '{']).take(2).collect::<Vec<_>>().join(" ")
        }
        Fact::StageEntered { stage, .. } => format!("stage {stage:?}"),
        Fact::IncidentClosed { verified, .. } => format!("closed verified={verified}"),
        other => format!("{other:?}").split([' ', '{']).next().unwrap().to_owned(),
    }
}

use Strength::*;

#[test]
fn load_alone_never_stops_anything() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::LoadAboveBaseline, Suspicious, None, &[]);
    play.wait(Span::hours(2));
    play.signal(Kind::LoadAboveBaseline, Suspicious, None, &[]);
    play.said(expect!["open Load; join LoadAboveBaseline; join LoadAboveBaseline"]);
    play.wait(Span::hours(25));
    play.said(expect!["closed verified=false"]);
}

#[test]
fn a_faked_program_and_mass_mail_stop_the_program_the_mail_and_the_guilty_site_alone() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31, 32]);
    play.said(expect!["open Intrusion; join FakedName; order freeze-process; notice Restricted"]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.said(expect!["join MassMail; order hold-mail; order close-site"]);
    play.answer();
    play.said(expect![
        "imposed; capture; NoticeSeen; imposed; capture; probe; LookSeen; LookSeen; imposed; capture; LookSeen"
    ]);
    assert_eq!(play.state(), State::AwaitingOwner);
}

#[test]
fn one_suspicion_asks_and_stops_nothing() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::Listening, Suspicious, None, &[88]);
    play.signal(Kind::Listening, Suspicious, None, &[88]);
    play.said(expect!["open Intrusion; join Listening; propose ask-owner (one-suspicion)"]);
}

#[test]
fn two_independent_suspicions_are_enough() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::Orphaned, Suspicious, None, &[88]);
    play.signal(Kind::MassMail, Suspicious, None, &[]);
    play.said(expect!["open Intrusion; join Orphaned; propose ask-owner (one-suspicion); join MassMail; order hold-mail; order freeze-process; notice Restricted"]);
}

#[test]
fn above_the_operators_hard_rate_mail_is_held_alone() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::MailAboveHardRate, Suspicious, None, &[]);
    play.said(expect!["open Intrusion; join MailAboveHardRate; order hold-mail; notice Restricted"]);
}

#[test]
fn two_suspicions_of_one_class_are_not_independent() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::Orphaned, Suspicious, None, &[88]);
    play.signal(Kind::Listening, Suspicious, None, &[89]);
    assert!(!play.heard.iter().any(|h| h.starts_with("order")), "{:?}", play.heard);
}

#[test]
fn observe_says_what_it_would_do_and_tells_nobody() {
    let mut play = Play::new(Mode::Observe);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31]);
    play.said(expect!["open Intrusion; join FakedName; propose freeze-process (process)"]);
}

#[test]
fn advise_waits_for_a_person() {
    let mut play = Play::new(Mode::Advise);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.said(expect!["open Intrusion; join FakedName; propose freeze-process (process)"]);
    play.operator(Operator::Confirm(play.number()));
    play.said(expect!["OperatorActed; order freeze-process; notice Restricted"]);
}

#[test]
fn release_opens_step_by_step_and_ends_with_a_certificate() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.answer();
    play.heard.clear();
    play.owner(Owner::Done);
    play.answer();
    play.said(expect!["OwnerDone; rescan; VerificationPassed; stage Owner; lift freeze-process end; lifted"]);
    play.wait(Span::minutes(5));
    play.said(expect![""]);
    play.wait(Span::minutes(5));
    play.answer();
    play.said(expect!["stage Public; lift close-site; probe; lifted"]);
    play.wait(Span::minutes(10));
    play.answer();
    play.said(expect!["stage Mail; lift hold-mail; lifted; propose page-operator (held-mail-waits); OperatorCalled"]);
    play.wait(Span::minutes(10));
    play.answer();
    play.said(expect!["closed verified=true; notice Released; NoticeSeen"]);
    play.wait(Span::days(43));
    play.said(expect!["WatchEnded"]);
}

#[test]
fn trouble_during_a_release_restricts_again() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.answer();
    play.owner(Owner::Done);
    play.answer();
    play.wait(Span::minutes(10));
    play.answer();
    play.heard.clear();
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[99]);
    play.answer();
    play.said(expect!["join FakedName; order freeze-process; notice Added; imposed; capture; NoticeSeen; LookSeen"]);
    assert_eq!(play.state(), State::AwaitingOwner);
}

#[test]
fn what_is_still_there_keeps_the_restriction() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.answer();
    play.heard.clear();
    play.owner(Owner::Done);
    let intent = *play.account.waiting.keys().next().unwrap();
    let left = Checked { check: Check::CapturedGone, at: play.now, verdict: Verdict::Found { place: "x".into() } };
    play.input(Input::Outcome(Outcome { intent, seen: Seen::Rescanned(vec![left]) }));
    play.said(expect!["OwnerDone; rescan; VerificationFailed; notice CheckFailed"]);
}

#[test]
fn a_verification_without_any_fact_opens_nothing() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.answer();
    play.heard.clear();
    play.owner(Owner::Done);
    let intent = *play.account.waiting.keys().next().unwrap();
    let blind =
        Checked { check: Check::Processes, at: play.now, verdict: Verdict::NotChecked { why: "no_rights".into() } };
    play.input(Input::Outcome(Outcome { intent, seen: Seen::Rescanned(vec![blind]) }));
    play.said(expect!["OwnerDone; rescan; VerificationFailed; propose page-operator (verification-not-possible)"]);
}

#[test]
fn done_is_heard_five_times_a_day() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.answer();
    for _ in 0..9 {
        play.owner(Owner::Done);
        let Some(intent) = play.account.waiting.keys().next().copied() else { continue };
        let left = Checked { check: Check::Processes, at: play.now, verdict: Verdict::Found { place: "x".into() } };
        play.input(Input::Outcome(Outcome { intent, seen: Seen::Rescanned(vec![left]) }));
        play.answer();
    }
    assert_eq!(play.heard.iter().filter(|h| *h == "rescan").count(), 5);
}

#[test]
fn a_false_alarm_is_undone_apologised_for_and_never_repeated() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31]);
    play.answer();
    play.heard.clear();
    play.operator(Operator::Dismiss { incident: play.number(), truth: "the owner's own program".into() });
    play.answer();
    play.said(expect!["IncidentDismissed; lift freeze-process; notice FalseAlarm; lifted; NoticeSeen"]);
    play.wait(Span::days(2));
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[77]);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[78]);
    play.said(expect!["ignore FakedName"]);
}

fn file() -> Measure {
    let path = FilePath::new(b"www/x.php").unwrap();
    let file = FileRef { path, dev: 1, ino: 2, size: 3, changed_ns: 4, hash: Hash::of(b"x") };
    Measure::QuarantineFile { files: vec![file], of: 100 }
}

#[test]
fn undo_takes_the_last_first_and_gives_back_what_a_release_set_aside() {
    let mut play = Play::new(Mode::Enforce);
    for measure in [file(), Measure::BlockOutbound, Measure::CloseSite { site: "blog".parse().unwrap() }] {
        play.operator(Operator::Impose { measure, reason: "seen".into() });
        play.answer();
    }
    let incident = play.number();
    play.operator(Operator::Release { incident, reason: "talked".into() });
    play.answer();
    assert_eq!(play.state(), State::Closed);
    play.heard.clear();
    play.operator(Operator::Undo { incident, only: vec![], reason: "was ours".into() });
    play.answer();
    // Only the file was kept; the site and the connections were open already.
    play.said(expect!["OperatorActed; lift quarantine-file; lifted"]);
    // Some may have stayed because their place was taken: act is asked again, and knows when nothing is left.
    play.operator(Operator::Undo { incident, only: vec![], reason: "again".into() });
    play.answer();
    play.said(expect!["OperatorActed; lift quarantine-file; lifted"]);
    let mut play = Play::new(Mode::Enforce);
    for measure in [file(), Measure::BlockOutbound, Measure::CloseSite { site: "blog".parse().unwrap() }] {
        play.operator(Operator::Impose { measure, reason: "seen".into() });
        play.answer();
    }
    play.heard.clear();
    let second = RestrictionId { incident, ordinal: 2 };
    play.operator(Operator::Undo { incident, only: vec![second], reason: "this one".into() });
    play.answer();
    play.said(expect!["OperatorActed; lift block-outbound; lifted"]);
    play.operator(Operator::Undo { incident, only: vec![], reason: "the rest".into() });
    play.answer();
    play.said(expect!["OperatorActed; lift close-site; lift quarantine-file; probe; lifted; lifted; closed verified=false; notice Released; NoticeSeen"]);
}

#[test]
fn undo_asks_again_for_files_of_a_plain_lift_and_for_nothing_else_that_was_lifted() {
    let mut play = Play::new(Mode::Enforce);
    for measure in [file(), Measure::BlockOutbound] {
        play.operator(Operator::Impose { measure, reason: "seen".into() });
        play.answer();
    }
    let incident = play.number();
    for ordinal in [1, 2] {
        play.operator(Operator::Lift { restriction: RestrictionId { incident, ordinal }, reason: "was ours".into() });
        play.answer();
    }
    play.heard.clear();
    play.operator(Operator::Undo { incident, only: vec![], reason: "its place was taken".into() });
    play.answer();
    play.said(expect!["OperatorActed; lift quarantine-file; lifted"]);
}

#[test]
fn another_owner_of_the_uid_inherits_no_restriction_and_no_file() {
    let mut play = Play::new(Mode::Enforce);
    for measure in [file(), Measure::BlockOutbound] {
        play.operator(Operator::Impose { measure, reason: "seen".into() });
        play.answer();
    }
    play.heard.clear();
    play.input(Input::Replaced);
    let kept = play.account.incidents[0].restrictions[0].kept;
    play.answer();
    play.input(Input::Replaced);
    assert!(kept && play.account.incidents[0].in_force().next().is_none());
    play.said(expect!["lift quarantine-file end; lift block-outbound; lifted; lifted; closed verified=false; notice Released; NoticeSeen"]);
}

#[test]
fn a_slowed_source_is_free_again_after_an_hour() {
    let mut play = Play::new(Mode::Enforce);
    let measure = Measure::ThrottleSource { sources: vec!["192.0.2.7".parse().unwrap()] };
    play.operator(Operator::Impose { measure, reason: "crawler".into() });
    play.answer();
    play.heard.clear();
    play.wait(Span::minutes(59));
    play.said(expect![""]);
    play.wait(Span::minutes(1));
    play.answer();
    play.said(expect!["lift throttle-source; lifted; closed verified=false; notice Released; NoticeSeen"]);
}

#[test]
fn a_relapse_is_a_new_incident_that_names_the_earlier_one() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.answer();
    play.owner(Owner::Done);
    play.answer();
    for _ in 0..3 {
        play.wait(Span::minutes(10));
        play.answer();
    }
    assert_eq!(play.state(), State::Closed);
    play.account.serial = 1;
    play.wait(Span::days(40));
    play.heard.clear();
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.said(expect!["open Intrusion relapse; join MassMail; order hold-mail; notice Relapse"]);
    let (first, second) = (&play.account.incidents[0], &play.account.incidents[1]);
    assert_eq!(second.relapse_of, Some(first.number));
}

#[test]
fn a_question_about_an_ended_incident_is_answered_with_the_open_one() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.answer();
    play.operator(Operator::Release { incident: play.number(), reason: "checked by hand".into() });
    play.answer();
    let first = play.number();
    play.account.serial = 1;
    play.wait(Span::days(40));
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.answer();
    let second = play.number();
    for quoted in [None, Some(first), Some(second)] {
        play.heard.clear();
        let events = step(
            &play.account,
            &play.policy,
            play.now,
            Input::Owner { quoted, what: Owner::Question(Hash::of(b"why 403?")) },
        );
        let Fact::QuestionBound { incident, .. } = &events[0].fact else { panic!("{events:?}") };
        assert_eq!(*incident, second);
        let Fact::NoticeOrdered { notice, kind: NoticeKind::Answer { earlier, .. } } = &events[1].fact else {
            panic!("{events:?}")
        };
        assert_eq!(notice.incident, second);
        assert_eq!(*earlier, if quoted == Some(second) { None } else { Some(first) });
    }
}

#[test]
fn a_question_without_an_open_incident_is_bound_to_none() {
    let mut play = Play::new(Mode::Enforce);
    play.owner(Owner::Question(Hash::of(b"am I frozen?")));
    play.said(expect!["QuestionUnbound"]);
}

#[test]
fn an_objection_stops_escalation_for_the_same_finding() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.answer();
    play.owner(Owner::ItWasMe);
    play.heard.clear();
    play.wait(Span::minutes(1));
    play.signal(Kind::FakedName, Conclusive, None, &[32]);
    play.said(expect!["join FakedName"]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.said(expect!["join MassMail; order hold-mail; notice Added"]);
}

#[test]
fn a_program_that_comes_back_closes_its_site_and_at_last_the_account() {
    let mut play = Play::new(Mode::Enforce);
    for pid in [31, 32] {
        play.signal(Kind::FakedName, Conclusive, None, &[pid]);
        play.answer();
        play.wait(Span::minutes(1));
    }
    play.heard.clear();
    play.signal(Kind::FakedName, Conclusive, None, &[33]);
    play.said(expect!["join FakedName; order freeze-process; order close-account; notice Added"]);
}

#[test]
fn three_guilty_sites_close_the_account_with_that_reason() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    for (i, site) in ["blog", "shop", "old"].into_iter().enumerate() {
        play.signal(Kind::FakedName, Conclusive, Some(site), &[i as u32 + 50]);
    }
    let wide = play.account.incidents[0].restrictions.iter().find_map(|g| match &g.restriction.measure {
        Measure::CloseAccount { wide, sites } => Some((*wide, sites.len())),
        _ => None,
    });
    assert_eq!(wide, Some((Wide::ManySites, 4)));
}

#[test]
fn a_refused_order_calls_a_person_and_nothing_is_repeated() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.heard.clear();
    let intent = *play.account.waiting.keys().next().unwrap();
    play.input(Input::Outcome(Outcome { intent, seen: Seen::Failed(Failure::Budget("3 this hour".into())) }));
    play.said(expect!["failed budget used up: 3 this hour; NoticeSeen; propose page-operator (budget-used-up)"]);
    play.signal(Kind::FakedName, Conclusive, None, &[32]);
    play.said(expect!["join FakedName"]);
    play.wait(Span::hours(2));
    play.signal(Kind::FakedName, Conclusive, None, &[33]);
    play.said(expect!["join FakedName; order freeze-process; notice Restricted"]);
}

#[test]
fn a_closure_that_visitors_do_not_see_is_taken_back_and_reported() {
    let mut play = Play::new(Mode::Enforce);
    play.operator(Operator::Impose {
        measure: Measure::CloseSite { site: "blog".parse().unwrap() },
        reason: "test".into(),
    });
    let intent = *play.account.waiting.keys().next().unwrap();
    play.input(Input::Outcome(Outcome { intent, seen: Seen::Done { what: "flag".into() } }));
    let probe = *play.account.waiting.iter().find(|(_, w)| matches!(w, crate::Waiting::Probe(..))).unwrap().0;
    play.input(Input::Outcome(Outcome { intent: probe, seen: Seen::Probed { right: false, what: "blog 200".into() } }));
    play.said(expect!["open Intrusion; OperatorActed; order close-site; notice Restricted; probe; failed no effect seen: blog 200; NoticeSeen; propose page-operator (no-effect); lift close-site"]);
}

#[test]
fn an_answer_that_comes_twice_changes_nothing() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    let intent = *play.account.waiting.keys().next().unwrap();
    let outcome = Outcome { intent, seen: Seen::Done { what: "ok".into() } };
    play.input(Input::Outcome(outcome.clone()));
    play.heard.clear();
    play.input(Input::Outcome(outcome));
    play.said(expect!["OutcomeStale"]);
}

#[test]
fn two_troubles_of_one_account_are_two_incidents() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::LoadAboveBaseline, Suspicious, None, &[]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.said(expect![
        "open Load; join LoadAboveBaseline; open Intrusion; join MassMail; order hold-mail; notice Restricted"
    ]);
    let numbers: std::collections::BTreeSet<_> = play.account.incidents.iter().map(|i| i.number).collect();
    assert_eq!(numbers.len(), 2);
}

#[test]
fn equal_policies_have_equal_hashes_and_others_do_not() {
    let policy = Policy::default();
    assert_eq!(policy.hash(), Policy::default().hash());
    assert_ne!(policy.hash(), Policy { mode: Mode::Enforce, ..policy }.hash());
}

/// The order that waits as this.
fn waiting(play: &Play, wanted: impl Fn(&crate::Waiting) -> bool) -> IntentId {
    *play.account.waiting.iter().find(|(_, w)| wanted(w)).expect("an order under way").0
}

#[test]
fn a_hint_after_a_passed_verification_restricts_nothing() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.answer();
    play.owner(Owner::Done);
    play.answer();
    for _ in 0..2 {
        play.wait(Span::minutes(10));
        play.answer();
    }
    play.heard.clear();
    play.signal(Kind::TrafficPeak, Hint, None, &[]);
    play.signal(Kind::LoadAboveBaseline, Suspicious, None, &[]);
    play.said(expect!["join TrafficPeak; join LoadAboveBaseline"]);
}

#[test]
fn what_a_person_lifted_is_not_put_back_by_another_finding() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[1, 2]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.answer();
    let id = RestrictionId { incident: play.number(), ordinal: 1 };
    play.operator(Operator::Lift { restriction: id, reason: "the customer's backup".into() });
    play.answer();
    play.signal(Kind::DeletedExe, Conclusive, None, &[20]);
    let last = play.account.incidents[0].restrictions.last().unwrap();
    assert_eq!(last.restriction.measure, Measure::FreezeProcess { processes: vec![process(20)] });
}

#[test]
fn a_letter_on_its_way_does_not_stand_for_what_was_added_after_it_was_written() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, Some("blog"), &[31]);
    let impose = waiting(&play, |w| matches!(w, crate::Waiting::Impose(_)));
    play.input(Input::Outcome(Outcome { intent: impose, seen: Seen::Done { what: "ok".into() } }));
    let tell = waiting(&play, |w| matches!(w, crate::Waiting::Tell(_)));
    play.input(Input::Outcome(Outcome { intent: tell, seen: Seen::Written }));
    play.heard.clear();
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.said(expect!["join MassMail; order hold-mail; order close-site; notice Added"]);
}

#[test]
fn what_comes_into_force_after_the_letter_was_written_is_told_in_another() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    let tell = waiting(&play, |w| matches!(w, crate::Waiting::Tell(_)));
    play.input(Input::Outcome(Outcome { intent: tell, seen: Seen::Written }));
    play.heard.clear();
    let impose = waiting(&play, |w| matches!(w, crate::Waiting::Impose(_)));
    play.input(Input::Outcome(Outcome { intent: impose, seen: Seen::Done { what: "ok".into() } }));
    play.said(expect!["imposed; capture; notice Added"]);
}

#[test]
fn a_closure_lifted_while_it_is_still_probed_ends_lifted() {
    let mut play = Play::new(Mode::Enforce);
    play.operator(Operator::Impose {
        measure: Measure::CloseSite { site: "blog".parse().unwrap() },
        reason: "test".into(),
    });
    let id = RestrictionId { incident: play.number(), ordinal: 1 };
    let impose = waiting(&play, |w| matches!(w, crate::Waiting::Impose(_)));
    play.input(Input::Outcome(Outcome { intent: impose, seen: Seen::Done { what: "flag".into() } }));
    play.operator(Operator::Lift { restriction: id, reason: "too much".into() });
    let probe = waiting(&play, |w| matches!(w, crate::Waiting::Probe(_, true)));
    play.input(Input::Outcome(Outcome { intent: probe, seen: Seen::Probed { right: true, what: "403".into() } }));
    play.answer();
    assert!(matches!(play.account.incidents[0].restrictions[0].status, crate::Status::Lifted(_)));
}

#[test]
fn what_is_confirmed_is_limited_from_then_on() {
    let mut play = Play::new(Mode::Advise);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.wait(Span::hours(6));
    play.operator(Operator::Confirm(play.number()));
    assert_eq!(play.account.incidents[0].restrictions[0].restriction.since, play.now);
}

#[test]
fn a_program_that_comes_back_all_day_is_one_letter_and_at_last_a_persons() {
    let mut play = Play::new(Mode::Enforce);
    for pid in 0..400 {
        play.signal(Kind::FakedName, Conclusive, None, &[1000 + pid]);
        play.answer();
        play.wait(Span::minutes(1));
    }
    let letters = play.heard.iter().filter(|h| h.starts_with("notice")).count();
    assert!(letters <= 3, "{letters} letters");
    assert!(play.account.incidents[0].restrictions.len() <= 210);
    assert!(play.heard.iter().any(|h| h.contains("keeps-coming-back")));
}

#[test]
fn where_nothing_is_stopped_a_program_that_comes_back_is_no_news() {
    let mut play = Play::new(Mode::Observe);
    for pid in 0..600 {
        play.signal(Kind::FakedName, Conclusive, None, &[1000 + pid]);
        play.wait(Span::secs(5));
    }
    assert!(play.heard.len() < 10, "{} events in 50 minutes", play.heard.len());
}

#[test]
fn a_verification_that_saw_nothing_of_the_findings_class_opens_nothing() {
    let mut play = Play::new(Mode::Enforce);
    play.signal(Kind::FakedName, Conclusive, None, &[31]);
    play.signal(Kind::MassMail, Conclusive, None, &[]);
    play.answer();
    play.owner(Owner::Done);
    let rescan = waiting(&play, |w| matches!(w, crate::Waiting::Rescan(_)));
    let load = Checked { check: Check::Load, at: play.now, verdict: Verdict::Clean { count: 1 } };
    play.heard.clear();
    play.input(Input::Outcome(Outcome { intent: rescan, seen: Seen::Rescanned(vec![load]) }));
    play.said(expect!["VerificationFailed; propose page-operator (verification-not-possible)"]);
}
