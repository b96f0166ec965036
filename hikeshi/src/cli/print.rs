//! How things look in a terminal: event lines, tables, colours that vanish in a pipe.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use engine::{Incident, State, Status};
use model::evidence::printable;
use model::{Delivery, Event, Fact, Login, Look, MailRate, MailScope, Measure, NoticeKind, Stage, Verdict};
use owo_colors::OwoColorize;

/// A table that fits the terminal.
pub fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().map(|h| h.to_string()).collect::<Vec<_>>());
    table
}

/// Prints a value as one JSON document.
pub fn json<T: serde::Serialize>(value: &T) -> Result<(), crate::exit::CommandError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| crate::exit::CommandError::failure(e.to_string()))?;
    anstream::println!("{text}");
    Ok(())
}

/// A state in the operator's words.
pub fn state(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Contained => "contained",
        State::AwaitingOwner => "awaiting owner",
        State::Verifying => "verifying",
        State::Releasing(Stage::Owner) => "releasing: owner looks",
        State::Releasing(Stage::Public) => "releasing: public",
        State::Releasing(Stage::Mail) => "releasing: mail",
        State::Closed => "closed",
        State::Dismissed => "false alarm",
    }
}

/// Where a restriction stands, in a few words.
pub fn status(status: &Status) -> String {
    match status {
        Status::Proposed => "proposed".into(),
        Status::Ordered => "ordered".into(),
        Status::Imposed(at) => format!("in force since {at}"),
        Status::Failed(why) => safe(&format!("failed: {why}")),
        Status::Lifting => "being lifted".into(),
        Status::Lifted(at) => format!("lifted {at}"),
    }
}

/// A measure with what it covers.
pub fn measure(measure: &Measure) -> String {
    match measure {
        Measure::AskOwner | Measure::PageOperator | Measure::RefuseMail | Measure::BlockOutbound => {
            measure.name().into()
        }
        Measure::ThrottleMail { rate } => match rate {
            MailRate::Script(folder) => {
                format!("throttle-mail ({})", safe(folder.as_deref().unwrap_or("sendmail mail")))
            }
            MailRate::Pair(one, other) => format!("throttle-mail ({} and {})", safe(one), safe(other)),
        },
        Measure::ThrottleSource { sources } => {
            let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
            format!("throttle-source {}", sources.join(" "))
        }
        Measure::HoldMail { scope, queued } => {
            let whose = match scope {
                MailScope::Local => "all sendmail mail of the account".to_owned(),
                MailScope::Mailbox(mailbox) => format!("mail of {mailbox}"),
                MailScope::Account { .. } => "all mail of the account and its mailboxes".to_owned(),
            };
            let waiting = if queued.is_empty() { String::new() } else { format!(", {} queued", queued.len()) };
            format!("hold-mail ({whose}{waiting})")
        }
        Measure::DisableCronLine { line } => format!("disable-cron-line (bytes {} to {})", line.start, line.end),
        Measure::BlockScript { site, path } => format!("block-script {site}/{path}"),
        Measure::QuarantineFile { files, .. } => {
            let files: Vec<String> = files.iter().map(|f| f.path.to_string()).collect();
            format!("quarantine-file {}", files.join(" "))
        }
        Measure::EndSessions { site } => format!("end-sessions {site}"),
        Measure::BlockLogin { logins } => {
            let name = |login: &Login| match login {
                Login::Shell => "shell".to_owned(),
                Login::Ftp => "ftp".to_owned(),
                Login::Mail(mailbox) => mailbox.to_string(),
            };
            format!("block-login {}", logins.iter().map(name).collect::<Vec<_>>().join(" "))
        }
        Measure::FreezeProcess { processes } => {
            let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
            format!("freeze-process {}", pids.join(" "))
        }
        Measure::CloseSite { site } => format!("close-site {site}"),
        Measure::CloseAccount { sites, wide } => format!("close-account ({} sites, {wide:?})", sites.len()),
    }
}

/// What became of a letter.
pub fn delivery(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Accepted { addresses } => format!("accepted for {addresses} address(es), not known if read"),
        Delivery::Waiting { why } => format!("waiting: {why}"),
        Delivery::Withdrawn => "withdrawn: nothing was restricted".into(),
        Delivery::Undeliverable { why } => format!("NOT DELIVERED: {why}"),
    }
}

fn notice_kind(kind: &NoticeKind) -> String {
    match kind {
        NoticeKind::Restricted => "restricted".into(),
        NoticeKind::Added => "added".into(),
        NoticeKind::Answer { .. } => "answer".into(),
        NoticeKind::CheckFailed => "check failed".into(),
        NoticeKind::Released => "released".into(),
        NoticeKind::Relapse { earlier } => format!("relapse (earlier: {earlier})"),
        NoticeKind::FalseAlarm => "false alarm".into(),
        NoticeKind::Resend { ordinal } => format!("notice {ordinal} again"),
    }
}

/// Longest line shown, bytes.
const LINE_MAX: usize = 16 * 1024;

/// A text from elsewhere as a terminal may see it: on one line, without control, bidi or zero-width signs.
pub fn safe(text: &str) -> String {
    printable(text.as_bytes(), LINE_MAX)
}

/// One line about one event, without its time.
pub fn event_line(event: &Event) -> String {
    safe(&told(event))
}

fn told(event: &Event) -> String {
    match &event.fact {
        Fact::IncidentOpened { incident, trouble, relapse_of, .. } => {
            let relapse = relapse_of.map(|n| format!(", relapse of {n}?")).unwrap_or_default();
            format!("incident  {incident} opened ({trouble:?}{relapse})")
        }
        Fact::SignalJoined { incident, signal } => {
            let site = signal.site.as_ref().map(|s| format!(" in {s}")).unwrap_or_default();
            format!("signal    {incident} {:?} {:?}{site}", signal.kind, signal.strength)
        }
        Fact::SignalIgnored { kind, .. } => format!("ignored   {kind:?}: dismissed or allowed before"),
        Fact::RestrictionProposed { restriction } => {
            format!("propose   {} {} (rule {})", restriction.id, measure(&restriction.measure), restriction.why.rule)
        }
        Fact::RestrictionOrdered { restriction, by_person } => {
            let who = if *by_person { " by a person" } else { "" };
            format!("impose    {} {}{who}", restriction.id, measure(&restriction.measure))
        }
        Fact::RestrictionImposed { id, seen } => format!("in force  {id} seen: {seen}"),
        Fact::RestrictionFailed { id, why } => format!("failed    {id} {why}"),
        Fact::LiftOrdered { id, measure, for_good } => {
            let end = if *for_good { " (for good)" } else { "" };
            format!("lift      {id} {}{end}", measure.name())
        }
        Fact::RestrictionLifted { id, seen } => format!("lifted    {id} seen: {seen}"),
        Fact::PassOrdered { incident, until, .. } => {
            format!("pass      {incident} for the owner's browser until {until}")
        }
        Fact::PassSeen { incident, open } => {
            format!("pass      {incident} {}", if *open { "open" } else { "not possible" })
        }
        Fact::LookOrdered { incident, look } => match look {
            Look::Rescan { .. } => format!("verify    {incident}"),
            Look::Capture { .. } => format!("capture   {incident}"),
            Look::Probe { closed: true, .. } => format!("probe     {incident} from outside: closed?"),
            Look::Probe { closed: false, .. } => format!("probe     {incident} from outside: open?"),
        },
        Fact::LookSeen { incident, captured: Some(hash), .. } => format!("evidence  {incident} kept as {hash:?}"),
        Fact::LookSeen { incident, captured: None, .. } => format!("evidence  {incident} none"),
        Fact::OperatorCalled { incident, delivery: d } => format!("page      {incident} {}", delivery(d)),
        Fact::OwnerDone { incident } => format!("owner     {incident} says: done"),
        Fact::OwnerCannot { incident } => format!("owner     {incident} says: cannot"),
        Fact::VerificationPassed { incident, checked } => format!("verdict   {incident} clean: {}", checks(checked)),
        Fact::VerificationFailed { incident, checked } => {
            format!("verdict   {incident} NOT clean: {}", checks(checked))
        }
        Fact::StageEntered { incident, stage } => format!("release   {incident} stage {stage:?}"),
        Fact::NoticeOrdered { notice, kind } => format!("notice    {notice} {}", notice_kind(kind)),
        Fact::NoticeWritten { notice } => format!("letter    {notice} written"),
        Fact::NoticeSeen { notice, delivery: d } => format!("notice    {notice} {}", delivery(d)),
        Fact::QuestionBound { incident, quoted, .. } => match quoted {
            Some(earlier) => format!("question  bound to {incident} (not {earlier}, which is closed)"),
            None => format!("question  bound to {incident}"),
        },
        Fact::QuestionUnbound { .. } => "question  no open incident: no restriction of ours".into(),
        Fact::ObjectionRaised { incident, answer_by, .. } => {
            format!("objection {incident} a person answers by {answer_by}")
        }
        Fact::ObjectionDecided { incident, by, .. } => format!("objection {incident} upheld by {by}"),
        Fact::OperatorActed { incident, by, order, reason } => {
            let number = incident.map(|n| format!("{n} ")).unwrap_or_default();
            format!("operator  {number}{by}: {order} {reason}")
        }
        Fact::FindingAllowed { finding, until, .. } => format!("allow     finding {finding:?} until {until}"),
        Fact::IncidentClosed { incident, watch_until, verified } => {
            format!(
                "closed    {incident} {}; watched until {watch_until}",
                if *verified { "by verification" } else { "without verification" }
            )
        }
        Fact::IncidentDismissed { incident, by, truth } => format!("dismissed {incident} by {by}: {truth}"),
        Fact::WatchEnded { incident } => format!("watch     {incident} ended without relapse"),
        Fact::SitesSeen { sites } => format!("inventory {} sites", sites.len()),
        Fact::OutcomeStale { intent } => format!("stale     answer to order {intent}"),
    }
}

/// Facts of a verification in one line.
pub fn checks(checked: &[model::Checked]) -> String {
    let one = |c: &model::Checked| match &c.verdict {
        Verdict::Clean { count } => format!("{:?} clean ({count})", c.check),
        Verdict::Found { place } => format!("{:?} FOUND {place}", c.check),
        Verdict::OnYourWord => format!("{:?} on the owner's word", c.check),
        Verdict::NotChecked { why } => format!("{:?} not checked ({why})", c.check),
    };
    checked.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The first word of an event line in the colour of its urgency.
pub fn coloured(line: &str) -> String {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "incident" | "signal" | "failed" => format!("{} {rest}", word.red().bold()),
        "impose" | "propose" | "question" | "objection" => format!("{} {rest}", word.yellow().bold()),
        "in" | "notice" | "page" | "owner" | "operator" => format!("{} {rest}", word.cyan().bold()),
        "release" | "lift" | "lifted" | "verdict" | "closed" => format!("{} {rest}", word.green().bold()),
        _ => format!("{} {rest}", word.dimmed()),
    }
}

/// Restrictions of an incident that limit the owner now, one short text.
pub fn in_force(incident: &Incident) -> String {
    let list: Vec<String> = incident.in_force().map(|g| measure(&g.restriction.measure)).collect();
    if list.is_empty() { "nothing".into() } else { list.join("; ") }
}

/// A bar on stderr for work of this many steps; hidden where nobody watches.
pub fn progress(steps: u64, what: &'static str) -> indicatif::ProgressBar {
    use std::io::IsTerminal;
    let bar = match std::io::stderr().is_terminal() {
        true => indicatif::ProgressBar::new(steps),
        false => indicatif::ProgressBar::hidden(),
    };
    let style = indicatif::ProgressStyle::with_template("{bar:24} {human_pos} of {human_len} {msg}, {eta} left");
    bar.set_style(style.expect("a template of ours"));
    bar.set_message(what);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sign_of_any_alphabet_reaches_the_terminal_as_a_control() {
        let signs: Vec<char> = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let account = model::AccountRef { name: "alice".parse().unwrap(), uid: 20_001, generation: 1 };
        let incident = model::Number::new(model::Moment(0), 1);
        let id = model::RestrictionId { incident, ordinal: 1 };
        let bad = |text: &str| text.chars().any(|c| c.is_control() || model::evidence::hides(c));
        let mut fooled = 0;
        for signs in signs.chunks(500) {
            let text: String = signs.iter().collect();
            let facts = [
                Fact::RestrictionImposed { id, seen: text.clone() },
                Fact::RestrictionFailed { id, why: model::Failure::Error(text.clone()) },
                Fact::IncidentDismissed { incident, by: text.clone(), truth: text.clone() },
            ];
            for fact in facts {
                let event = Event { at: model::Moment(0), account: account.clone(), fact };
                assert!(!bad(&event_line(&event)), "{event:?}");
                // The naive twin prints the text as it came.
                fooled += usize::from(bad(&told(&event)));
            }
            assert!(!bad(&status(&Status::Failed(model::Failure::Error(text)))));
        }
        assert!(fooled > 3, "no sign would have done harm: the test has no power");
    }
}
