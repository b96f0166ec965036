//! The check report (点検報告書): what a verification looked at, how, and what it did not look at.
//!
//! It records that nothing was found; it never says that a site is free of trouble.

use model::{Checked, Domain, Language, Moment, Number, Verdict};

use crate::letter::wrap::{self, wrap};
use crate::words::time::{Clock, number};
use crate::words::{self, Phrase, mask, pick};

/// What a report is and what it is not.
pub const LIMITS: Phrase = Phrase {
    ja: "これは問題が見つからなかった記録で、安全の保証ではございません。",
    en: "It records that we found no problem; it is no guarantee.",
};

/// Everything that a report says.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The incident.
    pub number: Number,
    /// The reader's language.
    pub language: Language,
    /// IANA name of the owner's zone.
    pub zone: String,
    /// The hosting company.
    pub host: String,
    /// When the check was made.
    pub checked: Moment,
    /// What came out.
    pub facts: Vec<Checked>,
    /// When everything was lifted; `None` while the release is under way.
    pub lifted: Option<Moment>,
    /// The account's sites.
    pub sites: Vec<Domain>,
    /// End of the watch, when it has begun.
    pub watch_until: Option<Moment>,
}

/// The report as text, lines ended by LF.
pub fn text(report: &Certificate) -> String {
    let language = report.language;
    let clock = Clock::new(&report.zone, language);
    let title = pick(language, "点検報告書", "Check report");
    let at = clock.at(report.checked);
    let mut parts = vec![
        format!("{title} {}", report.number),
        mask::shown(&report.host),
        pick(language, format!("点検: {at}"), format!("Checked: {at}")),
    ];
    parts.extend(report.lifted.map(|lifted| {
        let lifted = clock.at(lifted);
        pick(language, format!("解除: {lifted}"), format!("Released: {lifted}"))
    }));
    if !report.sites.is_empty() {
        let names: Vec<_> = report.sites.iter().map(Domain::as_str).collect();
        let names = names.join(pick(language, "、", ", "));
        parts.push(pick(language, format!("サイト: {names}"), format!("Sites: {names}")));
    }
    parts.push(String::new());
    parts.extend(lines(&report.facts, language));
    parts.push(String::new());
    parts.push(LIMITS.say(language).to_owned());
    if let (Some(lifted), Some(until)) = (report.lifted, report.watch_until) {
        parts.push(watch(lifted, until, &clock, language));
    }
    let width = pick(language, wrap::JA, wrap::EN);
    let lines = parts.iter().flat_map(|part| wrap(part, width, "", "  "));
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// The facts of a check, one line each: done, on the owner's word, not checked, still there.
pub fn lines(checked: &[Checked], language: Language) -> Vec<String> {
    let mut sorted: Vec<&Checked> = checked.iter().collect();
    sorted.sort_by_key(|line| match line.verdict {
        Verdict::Found { .. } => 0,
        Verdict::Clean { .. } => 1,
        Verdict::OnYourWord => 2,
        Verdict::NotChecked { .. } => 3,
    });
    sorted.into_iter().map(|line| self::line(line, language)).collect()
}

fn line(line: &Checked, language: Language) -> String {
    let check = words::check(line.check).say(language);
    let (label, how) = match &line.verdict {
        Verdict::Clean { count } => {
            let count = number((*count).try_into().unwrap_or(i64::MAX));
            let how = match count.as_str() {
                "0" => pick(language, " (該当0件)".to_owned(), " (there were none)".to_owned()),
                _ => pick(language, format!(" ({count}件を点検)"), format!(" ({count} checked)")),
            };
            (pick(language, "済", "done"), how)
        }
        Verdict::Found { place } => {
            (words::verdict(&line.verdict).say(language), format!(" ({})", mask::foreign(place)))
        }
        Verdict::OnYourWord => (
            words::verdict(&line.verdict).say(language),
            pick(language, " (自動では点検できません)", " (no machine can check it)").to_owned(),
        ),
        Verdict::NotChecked { why } => {
            let why = words::not_checked_why(why).say(language);
            (pick(language, "点検できず", "not checked"), format!(" ({why})"))
        }
    };
    format!("{label}: {check}{how}")
}

/// How long we watch.
pub fn watch(from: Moment, until: Moment, clock: &Clock, language: Language) -> String {
    let days = ((until - from).whole_secs() + 43_200) / 86_400;
    let date = clock.date(until);
    pick(
        language,
        format!("{date}まで{days}日間、毎日見守ります。"),
        format!("We watch daily for {days} days, until {date}."),
    )
}
