//! The findings of a letter: facts in a fence, then why they count and what they do not mean.

use model::{Class, Evidence, FactKey, FactValue, Kind};

use super::blocks::{LIST_MAX, clock, fact, more};
use super::page::Page;
use super::phrases::{amount, moment, text};
use super::{FindingFacts, LetterContent};
use crate::words::reason::{NO_CAUSE, ground, reason};
use crate::words::{self, Phrase, mask, pick, time::number};

/// What was found, class by class.
pub fn findings(page: &mut Page, content: &LetterContent) {
    for class in [Class::Process, Class::Load, Class::Mail, Class::Web, Class::Cron, Class::Login] {
        let of_class: Vec<_> = content.findings.iter().filter(|finding| finding.kind.class() == class).collect();
        for finding in of_class.iter().take(LIST_MAX) {
            match class {
                Class::Process => process(page, content, finding),
                Class::Load => load(page, content, finding),
                Class::Mail => mail(page, content, finding),
                Class::Web | Class::Cron | Class::Login => other(page, content, finding),
            }
        }
        more(page, of_class.len());
    }
}

fn process(page: &mut Page, content: &LetterContent, finding: &FindingFacts) {
    let language = content.language;
    let evidence = &finding.evidence;
    let (strength, class) = (words::strength(finding.strength), words::class(Class::Process));
    let head = pick(language, format!("{}{}", strength.ja, class.ja), format!("{} {}", strength.en, class.en));
    page.heading('▼', &capital(&head));
    let path = |key| text(evidence, key).map(|path| mask::place(path, &content.home).path());
    let mut lines = Vec::new();
    if let Some(started) = moment(evidence, FactKey::Started) {
        lines.push(format!("{} {}", pick(language, "開始", "started"), clock(content).fence(started)));
    }
    let shown = text(evidence, FactKey::Shown)
        .map(|shown| format!("{} {}", pick(language, "表示名", "shown as"), mask::foreign(shown)));
    let really = path(FactKey::Really).map(|really| format!("{} {really}", pick(language, "実体", "really")));
    let names: Vec<String> = shown.into_iter().chain(really).collect();
    if !names.is_empty() {
        lines.push(format!("  {}", names.join(pick(language, "、", "; "))));
    }
    let script = path(FactKey::Script).or_else(|| path(FactKey::Path));
    let remote = text(evidence, FactKey::Remote).map(|ends| {
        let own: Vec<_> = content.sites.iter().map(|site| site.domain.clone()).collect();
        let ends: Vec<_> = ends.split_whitespace().take(3).map(|end| mask::remote(end, &own)).collect();
        ends.join(pick(language, "、", ", "))
    });
    let rows = [
        (pick(language, "ファイル", "file"), script),
        (pick(language, "接続先", "connected to"), remote),
        (pick(language, "待ち受け", "listens on"), text(evidence, FactKey::Listening).map(mask::foreign)),
        (pick(language, "サイト", "site"), finding.site.as_ref().map(ToString::to_string)),
    ];
    lines.extend(rows.into_iter().filter_map(|(label, value)| Some(format!("  {label} {}", value?))));
    page.fence(&lines);
    why(page, finding);
}

fn load(page: &mut Page, content: &LetterContent, finding: &FindingFacts) {
    let language = content.language;
    let evidence = &finding.evidence;
    page.heading('▼', &capital(words::class(Class::Load).say(language)));
    let percent =
        |key, ja, en| amount(evidence, key).map(|share| format!("{} {}%", pick(language, ja, en), number(share)));
    let cpu: Vec<_> = [
        percent(FactKey::CpuPercent, "CPU", "CPU"),
        beside(evidence, FactKey::CpuPercent)
            .map(|usual| format!("{} {}%", pick(language, "普段", "usually"), number(usual))),
        percent(FactKey::FairPercent, "公平な割り当て", "fair share"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut lines = Vec::new();
    if !cpu.is_empty() {
        lines.push(cpu.join(pick(language, "、", ", ")));
    }
    let usual =
        |key| beside(evidence, key).map(|usual| format!("{} {}", pick(language, "普段", "usually"), number(usual)));
    let row = |key, ja: (&str, &str), en: (&str, &str)| {
        let (label, unit) = pick(language, ja, en);
        let value = format!("{} {unit}", number(amount(evidence, key)?));
        let parts: Vec<_> = [Some(value), usual(key)].into_iter().flatten().collect();
        Some(format!("  {label}: {}", parts.join(pick(language, "、", ", "))))
    };
    lines.extend(row(FactKey::MemoryMib, ("メモリ", "MiB"), ("memory", "MiB")));
    lines.extend(row(FactKey::IoMibPerSecond, ("ディスクの読み書き", "MiB/秒"), ("reads and writes", "MiB/s")));
    let requests = amount(evidence, FactKey::RequestsPerSecond);
    lines.extend(requests.map(|rate| {
        let rate = number(rate);
        let rate = pick(language, format!("  アクセス: 毎秒{rate}件"), format!("  requests: {rate} a second"));
        let usual = usual(FactKey::RequestsPerSecond);
        [Some(rate), usual].into_iter().flatten().collect::<Vec<_>>().join(pick(language, "、", ", "))
    }));
    if let Some(slow) = text(evidence, FactKey::SlowScript) {
        let place = mask::place(slow, &content.home).path();
        lines.push(format!("  {}: {place}", pick(language, "時間のかかった箇所", "slow in")));
        let requests = amount(evidence, FactKey::Requests).map(|n| {
            let n = number(n);
            pick(language, format!("遅いアクセス{n}件"), format!("slow requests: {n}"))
        });
        let seconds = amount(evidence, FactKey::SlowSeconds).map(|n| {
            let n = number(n);
            pick(language, format!("合わせて{n}秒"), format!("{n} s in all"))
        });
        let parts: Vec<_> = requests.into_iter().chain(seconds).collect();
        lines.extend((!parts.is_empty()).then(|| format!("    {}", parts.join(pick(language, "、", ", ")))));
    }
    let programs = text(evidence, FactKey::Programs).map(mask::foreign);
    lines.extend(programs.map(|programs| format!("  {}: {programs}", pick(language, "プログラム", "programs"))));
    page.fence(&lines);
    let words: Vec<&str> = text(evidence, FactKey::Grounds).into_iter().flat_map(str::split_whitespace).collect();
    let mut grounds: Vec<Phrase> = words.iter().copied().filter_map(ground).take(3).collect();
    let cause = words.iter().any(|word| !matches!(*word, "memory" | "io" | "cron"));
    if finding.kind == Kind::LoadAboveBaseline && !cause {
        grounds.push(NO_CAUSE);
    }
    because(page, finding, &grounds);
}

/// What is usual of a value: it stands right behind it.
fn beside(evidence: &Evidence, key: FactKey) -> Option<i64> {
    let at = evidence.0.iter().position(|(known, _)| *known == key)?;
    match evidence.0.get(at + 1) {
        Some((FactKey::Baseline, FactValue::Number(usual))) => Some(*usual),
        _ => None,
    }
}

fn mail(page: &mut Page, content: &LetterContent, finding: &FindingFacts) {
    let language = content.language;
    let evidence = &finding.evidence;
    page.heading('▼', pick(language, "大量のメール送信", "Mass mail"));
    let mut lines = Vec::new();
    if let (Some(from), Some(to)) = (moment(evidence, FactKey::From), moment(evidence, FactKey::To)) {
        lines.push(clock(content).fence_range(from, to));
    }
    let counted = |key, ja, en| amount(evidence, key).map(|count| fact(pick(language, ja, en), number(count)));
    let messages = counted(FactKey::Messages, "メール", "messages");
    let recipients = counted(FactKey::Recipients, "宛先", "recipients");
    let counts: Vec<_> = messages.into_iter().chain(recipients).collect();
    if !counts.is_empty() {
        lines.push(counts.join(pick(language, "、", "; ")));
    }
    let share = |key, ja, en| amount(evidence, key).map(|share| format!("{} {share}%", pick(language, ja, en)));
    let shares: Vec<_> = [
        share(FactKey::AbroadPercent, "国外", "abroad"),
        share(FactKey::DomesticPercent, "国内", "domestic"),
        share(FactKey::UnknownPercent, "不明", "unknown"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !shares.is_empty() {
        lines.push(fact(pick(language, "届け先", "sent to"), shares.join(pick(language, "、", ", "))));
        if let Some(date) = text(evidence, FactKey::CountriesOf).map(mask::foreign) {
            lines.push(pick(
                language,
                format!("国の判定: {date}の一覧による"),
                format!("countries by the list of {date}"),
            ));
        }
    }
    if let Some(script) = script(content, finding) {
        lines.push(fact(pick(language, "送ったファイル", "sent by"), script));
    }
    page.fence(&lines);
    if finding.kind == Kind::MailAboveHardRate {
        why(page, finding);
    }
    if amount(evidence, FactKey::AbroadPercent).is_some_and(|share| share > 0) {
        page.say(
            "「国外」はメールの届け先のことです。国外の誰かがサーバーに入ったという意味ではございません。",
            "\"Abroad\" is where the mail was going. It does not mean that someone abroad got into the server.",
        );
    }
    page.say(
        "第三者の置いたファイルは、パスワードなしでもメールを送れます。",
        "A planted file can send mail without any password.",
    );
}

/// What was seen of requests, scheduled jobs and logins: the facts, one a line.
fn other(page: &mut Page, content: &LetterContent, finding: &FindingFacts) {
    let language = content.language;
    let evidence = &finding.evidence;
    let (strength, class) = (words::strength(finding.strength), words::class(finding.kind.class()));
    let head = pick(language, format!("{}{}", strength.ja, class.ja), format!("{} {}", strength.en, class.en));
    page.heading('▼', &capital(&head));
    let mut lines = Vec::new();
    if let (Some(from), Some(to)) = (moment(evidence, FactKey::From), moment(evidence, FactKey::To)) {
        lines.push(clock(content).fence_range(from, to));
    }
    let foreign = |key| text(evidence, key).map(mask::foreign);
    let count = |key| amount(evidence, key).map(number);
    let own: Vec<_> = content.sites.iter().map(|site| site.domain.clone()).collect();
    let place = text(evidence, FactKey::Script).map(|path| mask::place(path, &content.home).path());
    let from = text(evidence, FactKey::SourceAddress).map(|address| mask::remote(address, &own));
    let rows = [
        (pick(language, "サイト", "site"), finding.site.as_ref().map(ToString::to_string)),
        (pick(language, "入口", "way in"), foreign(FactKey::Entry)),
        (pick(language, "ファイル", "file"), place),
        (pick(language, "アクセス", "requests"), count(FactKey::Requests)),
        (pick(language, "サービス", "service"), foreign(FactKey::Service)),
        (pick(language, "失敗", "failures"), count(FactKey::Failures)),
        (pick(language, "書き換え", "files changed"), count(FactKey::FilesChanged)),
        (pick(language, "接続元", "from"), from),
        (pick(language, "国", "country"), foreign(FactKey::Country)),
        (pick(language, "行", "line"), foreign(FactKey::Line)),
    ];
    lines.extend(rows.into_iter().filter_map(|(label, value)| Some(fact(label, value?))));
    page.fence(&lines);
    why(page, finding);
}

/// The script of a mail finding: its whole path when directory and name are known, else what is.
fn script(content: &LetterContent, finding: &FindingFacts) -> Option<String> {
    let (script, folder) = (text(&finding.evidence, FactKey::Script), text(&finding.evidence, FactKey::ScriptDir));
    let whole = match (script, folder) {
        (Some(script), Some(folder)) if !script.starts_with('/') => {
            format!("{}/{script}", folder.trim_end_matches('/'))
        }
        (Some(known), _) | (None, Some(known)) => known.to_owned(),
        (None, None) => return None,
    };
    Some(mask::place(&whole, &content.home).path())
}

/// Why it counts: the main reason and at most two more of the same thing.
fn why(page: &mut Page, finding: &FindingFacts) {
    because(page, finding, &[]);
}

/// The same, with what else it rests on.
fn because(page: &mut Page, finding: &FindingFacts, grounds: &[Phrase]) {
    let mut kinds = vec![finding.kind];
    kinds.extend(finding.also.iter().filter(|kind| **kind != finding.kind).take(2));
    let language = page.language();
    let reasons = kinds.into_iter().map(reason).chain(grounds.iter().copied());
    let reasons: Vec<_> = reasons.map(|words| words.say(language)).collect();
    let text = match language {
        model::Language::Ja => format!("判断の理由: {}", reasons.concat()),
        model::Language::En => format!("Why we say so: {}.", reasons.join("; ")),
    };
    page.paragraph(&text);
}

/// With a large first letter, where a language has them.
fn capital(text: &str) -> String {
    let mut signs = text.chars();
    signs.next().map_or(String::new(), |first| first.to_uppercase().chain(signs).collect())
}
