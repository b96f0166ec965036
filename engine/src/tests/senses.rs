//! What follows from signals that name something smaller than a site: a script, a line, a login, a mailbox, a source.

use super::*;

fn named(play: &mut Play, kind: Kind, strength: Strength, target: Target) {
    seen(play, kind, strength, target, false);
}

fn seen(play: &mut Play, kind: Kind, strength: Strength, target: Target, forgeable: bool) {
    play.input(Input::Signal(Signal {
        kind,
        also: vec![],
        strength,
        account: play.account.account.clone(),
        site: Some("blog".parse().unwrap()),
        at: play.now,
        since: play.now,
        fingerprint: Hash::of(format!("{kind:?} {target:?}").as_bytes()),
        target,
        evidence: Hash::of(b"{}"),
        forgeable,
    }));
}

fn scripts(sessions: bool) -> Target {
    let paths = vec!["wp-content/x.php".parse().unwrap()];
    Target::Scripts { site: "blog".parse().unwrap(), paths, sessions }
}

fn line(start: u32) -> Target {
    Target::CronLines(vec![CronLine { hash: Hash::of(b"table"), start, end: start + 9 }])
}

#[test]
fn a_driven_script_is_blocked_alone_and_a_stolen_session_ends_everywhere() {
    let mut play = Play::new(Mode::Enforce);
    named(&mut play, Kind::UploadChain, Strength::Conclusive, scripts(false));
    play.said(expect!["open Intrusion; join UploadChain; order block-script; notice Restricted"]);
    let mut play = Play::new(Mode::Enforce);
    named(&mut play, Kind::UploadedPlugin, Strength::Conclusive, scripts(true));
    play.said(expect![
        "open Intrusion; join UploadedPlugin; order block-script; order end-sessions; notice Restricted"
    ]);
}

#[test]
fn each_bad_line_is_switched_off_once() {
    let mut play = Play::new(Mode::Enforce);
    named(&mut play, Kind::CronDownload, Strength::Conclusive, line(0));
    named(&mut play, Kind::CronDecode, Strength::Conclusive, line(40));
    named(&mut play, Kind::CronDownload, Strength::Conclusive, line(0));
    play.said(expect!["open Intrusion; join CronDownload; order disable-cron-line; notice Restricted; join CronDecode; order disable-cron-line"]);
}

#[test]
fn a_stolen_mailbox_is_held_alone_and_a_guessed_login_closed_alone() {
    let mut play = Play::new(Mode::Enforce);
    let mailbox = Target::Mailbox("info@blog".parse().unwrap(), vec![]);
    named(&mut play, Kind::StolenMailbox, Strength::Conclusive, mailbox);
    named(&mut play, Kind::GuessedLogin, Strength::Conclusive, Target::Logins(vec![Login::Shell]));
    play.said(expect![
        "open Intrusion; join StolenMailbox; order hold-mail; notice Restricted; join GuessedLogin; order block-login"
    ]);
    let scopes = play.account.incidents[0].restrictions.iter().map(|g| &g.restriction.measure);
    let local = |m: &Measure| matches!(m, Measure::HoldMail { scope: MailScope::Local, .. });
    assert_eq!(scopes.filter(|m| local(m)).count(), 0, "the sites' own mail goes on");
}

#[test]
fn one_suspicion_of_a_script_asks_and_two_independent_ones_block() {
    let mut play = Play::new(Mode::Enforce);
    named(&mut play, Kind::UploadsScript, Strength::Suspicious, scripts(false));
    play.said(expect!["open Intrusion; join UploadsScript; propose ask-owner (one-suspicion)"]);
    named(&mut play, Kind::CronBeacon, Strength::Suspicious, line(0));
    play.said(expect!["join CronBeacon; order disable-cron-line; order block-script; notice Restricted"]);
}

#[test]
fn who_is_attacked_is_not_suspected_and_only_the_source_is_slowed() {
    let mut play = Play::new(Mode::Enforce);
    let sources = Target::Sources(vec!["203.0.113.9".parse().unwrap()]);
    named(&mut play, Kind::SiteGuessing, Strength::Suspicious, sources);
    play.said(expect!["open Load; join SiteGuessing; order throttle-source; notice Restricted"]);
    // The naive twin counts the attack as a second suspicion against its victim.
    named(&mut play, Kind::UploadsScript, Strength::Suspicious, scripts(false));
    play.said(expect!["open Intrusion; join UploadsScript; propose ask-owner (one-suspicion)"]);
}

#[test]
fn what_this_build_cannot_do_is_proposed_and_never_ordered() {
    let mut play = Play::new(Mode::Enforce);
    let rate = Target::MailRate(MailRate::Script(Some("/home/alice/blog/form".into())));
    named(&mut play, Kind::FormAbuse, Strength::Suspicious, rate);
    play.said(expect![
        "open Intrusion; join FormAbuse; propose ask-owner (one-suspicion); propose throttle-mail (mail)"
    ]);
}

#[test]
fn a_cron_line_must_be_looked_at_before_its_incident_ends() {
    let mut play = Play::new(Mode::Enforce);
    named(&mut play, Kind::CronDownload, Strength::Conclusive, line(0));
    play.answer();
    play.owner(Owner::Done);
    play.answer(); // processes and mail are clean, and nobody looked at the crontab
    assert_eq!(play.state(), State::AwaitingOwner);
    play.heard.clear();
    play.wait(Span::minutes(10));
    play.owner(Owner::Done);
    let intent = waiting(&play, |w| matches!(w, crate::Waiting::Rescan(_)));
    let checked = [Check::Processes, Check::Cron].map(|check| Checked {
        check,
        at: play.now,
        verdict: Verdict::Clean { count: 1 },
    });
    play.input(Input::Outcome(Outcome { intent, seen: Seen::Rescanned(checked.to_vec()) }));
    assert!(matches!(play.state(), State::Releasing(_) | State::Closed), "{:?}", play.state());
}

#[test]
fn two_lines_that_any_tenant_can_write_are_one_word_and_with_a_sure_one_they_count() {
    let mut play = Play::new(Mode::Enforce);
    seen(&mut play, Kind::MassMail, Strength::Suspicious, Target::LocalMail(vec![]), true);
    seen(&mut play, Kind::GuessedLogin, Strength::Suspicious, Target::Logins(vec![Login::Shell]), true);
    // The naive twin counts classes and holds a neighbour's mail for two forged lines.
    assert_eq!(crate::choose::strong_classes(&play.account.incidents[0].signals).len(), 2);
    play.said(expect!["open Intrusion; join MassMail; propose ask-owner (one-suspicion); join GuessedLogin"]);
    seen(&mut play, Kind::CronBeacon, Strength::Suspicious, line(0), false);
    play.said(expect![
        "join CronBeacon; order hold-mail; order disable-cron-line; order block-login; notice Restricted"
    ]);
}

#[test]
fn a_flood_of_findings_of_one_class_does_not_wash_away_the_proof_of_another() {
    let mut play = Play::new(Mode::Observe);
    named(&mut play, Kind::CronDownload, Strength::Conclusive, line(0));
    for at in 0..200 {
        let paths = vec![format!("p{at}.php").parse().unwrap()];
        let target = Target::Scripts { site: "blog".parse().unwrap(), paths, sessions: false };
        named(&mut play, Kind::UploadChain, Strength::Conclusive, target);
    }
    let signals = &play.account.incidents[0].signals;
    assert_eq!(signals.len(), crate::incident::SIGNALS_MAX);
    assert!(signals.iter().any(|s| s.class() == Class::Cron), "it was the oldest");
}

#[test]
fn who_asks_for_a_check_again_and_again_gets_a_person() {
    let mut play = Play::new(Mode::Enforce);
    named(&mut play, Kind::CronDownload, Strength::Conclusive, line(0));
    play.answer();
    for round in 0..3 {
        play.wait(Span::minutes(10));
        play.owner(Owner::Done);
        let intent = waiting(&play, |w| matches!(w, crate::Waiting::Rescan(_)));
        let verdict = Verdict::Found { place: "the line".into() };
        let checked = vec![Checked { check: Check::Cron, at: play.now, verdict }];
        play.heard.clear();
        play.input(Input::Outcome(Outcome { intent, seen: Seen::Rescanned(checked) }));
        let called = play.heard.iter().any(|word| word.contains("checks-keep-failing"));
        assert_eq!(called, round == 2, "{:?}", play.heard);
        play.answer();
    }
}
