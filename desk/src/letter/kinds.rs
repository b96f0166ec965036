//! Subject and body of each kind of letter: its own sentences, then the blocks it needs.

use model::{Checked, Class, Verdict};

use super::page::Page;
use super::{About, Earlier, LetterContent, Mistake, Released, Verification};
use super::{answer, blocks, findings, phrases};
use crate::certificate;
use crate::words::mask;
use crate::words::time::{duration, number};
use crate::words::{self, pick};
use blocks::{clock, fact};

/// The subject without the number.
pub fn subject(content: &LetterContent) -> String {
    let language = content.language;
    let short = || phrases::joined(&phrases::stopped(content.restrictions.iter(), language), language);
    match &content.about {
        About::Restricted => pick(language, format!("{}を止めています", short()), format!("Stopped: {}", short())),
        About::Added => {
            pick(language, format!("制限を追加しました:{}", added(content)), format!("Added: {}", added(content)))
        }
        About::Answer(answer) => {
            let topic = phrases::topic(answer.topic, language);
            pick(language, format!("ご質問への回答:{topic}"), format!("Answer to your question: {topic}"))
        }
        About::CheckFailed(check) => {
            let left = left(check).count();
            pick(
                language,
                format!("点検の結果、残りは{left}件です"),
                format!("Check result: {} left", phrases::counted(left, "item", "items")),
            )
        }
        About::Released(_) => pick(language, "制限をすべて解除しました", "All restrictions lifted").to_owned(),
        About::Relapse(_) => pick(
            language,
            format!("再び問題が見つかり、{}を止めています", short()),
            format!("Problem found again; stopped: {}", short()),
        ),
        About::FalseAlarm(mistake) => {
            let undone = if mistake.undone.len() == 1 { "restriction undone" } else { "restrictions undone" };
            pick(language, "当社の誤検知でした。制限は取り消しました".to_owned(), format!("Our mistake: {undone}"))
        }
    }
}

/// Everything between the greeting and the foot.
pub fn body(page: &mut Page, content: &LetterContent) {
    if let (Some(earlier), false) = (&content.earlier, content.restrictions.is_empty()) {
        blocks::earlier(page, content, earlier);
    }
    match &content.about {
        About::Restricted => {
            detected(page, content);
            restricted(page, content);
        }
        About::Added => {
            newly(page, content);
            restricted(page, content);
        }
        About::Relapse(earlier) => {
            relapse(page, content, earlier);
            restricted(page, content);
        }
        About::Answer(answer) => {
            answer::answer(page, content, answer);
            if answer.fails.is_none() {
                // What we do not close may still fail, so no site is called open beside its cause.
                blocks::sites(page, content);
            }
            blocks::limits(page, content);
            if !content.restrictions.is_empty() {
                blocks::tasks(page, content);
            }
        }
        About::CheckFailed(check) => {
            check_failed(page, content, check);
            blocks::tasks(page, content);
        }
        About::Released(release) => {
            released(page, content, release);
            blocks::sites(page, content);
        }
        About::FalseAlarm(mistake) => false_alarm(page, content, mistake),
    }
}

/// The blocks that every letter about a new restriction has.
fn restricted(page: &mut Page, content: &LetterContent) {
    blocks::kept(page, content);
    findings::findings(page, content);
    if let Some(why) = content.logins {
        blocks::logins(page, content, why);
    }
    if let Some(why) = content.entry {
        blocks::entry(page, content, why);
    }
    blocks::sites(page, content);
    blocks::limits(page, content);
    blocks::tasks(page, content);
    blocks::reasons(page, content);
}

fn detected(page: &mut Page, content: &LetterContent) {
    let time = clock(content).at(content.detected);
    let found = phrases::found(&content.findings, content.language);
    page.say(&format!("{time}に{found}を検知しました。"), &format!("On {time} we detected {found}."));
}

/// The names of the restrictions that this letter announces.
fn added(content: &LetterContent) -> String {
    let language = content.language;
    let mut names: Vec<String> = Vec::new();
    for limit in content.restrictions.iter().filter(|limit| limit.new) {
        let name = words::measure(&limit.measure).say(language).to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    phrases::joined(&names, language)
}

fn newly(page: &mut Page, content: &LetterContent) {
    let time = clock(content).at(content.detected);
    let found = phrases::found(&content.findings, content.language);
    let added = added(content);
    page.say(
        &format!("{time}に、新たに{found}が見つかりました。前の制限では止められないため、「{added}」を追加しました。"),
        &format!("On {time} we found {found}. The earlier restrictions cannot stop it, so we added: {added}."),
    );
}

/// The lines of a check that stand in the way.
fn left(check: &Verification) -> impl Iterator<Item = &(Checked, Option<usize>)> {
    check.facts.iter().filter(|(line, _)| line.blocks())
}

fn check_failed(page: &mut Page, content: &LetterContent, check: &Verification) {
    let language = content.language;
    let time = clock(content).at(check.at);
    let ok = check.facts.iter().filter(|(line, _)| matches!(line.verdict, Verdict::Clean { .. })).count();
    let done = match ok {
        0 => ("残りは次のとおりです。".to_owned(), "Those below are left.".to_owned()),
        _ => (
            format!("{ok}件は済み、残りは次のとおりです。"),
            format!("{} done; those below are left.", phrases::counted(ok, "item is", "items are")),
        ),
    };
    page.say(
        &format!("{time}に点検しました。{}制限は増やしていません。", done.0),
        &format!("On {time} we ran the check. {} We added no restriction.", done.1),
    );
    let mut lines = Vec::new();
    for (at, (line, task)) in left(check).enumerate() {
        let Verdict::Found { place } = &line.verdict else { continue };
        let place = mask::place(place, &content.home).path();
        let still = words::still_there(line.check).say(language);
        let task = task.map(|task| pick(language, format!(" → 作業{task}"), format!(" → task {task}")));
        lines.push(format!("{}. {}", at + 1, fact(&place, format!("{still}{}", task.unwrap_or_default()))));
    }
    let rest = check
        .facts
        .iter()
        .map(|(line, _)| line.clone())
        .filter(|line| matches!(line.verdict, Verdict::OnYourWord | Verdict::NotChecked { .. }));
    lines.extend(certificate::lines(&rest.collect::<Vec<_>>(), language));
    page.fence(&lines);
}

fn released(page: &mut Page, content: &LetterContent, release: &Released) {
    let language = content.language;
    let clock = clock(content);
    let lifted = clock.at(release.lifted);
    match &release.check {
        Some((at, checked)) => {
            let at = clock.at(*at);
            page.say(
                &format!("{at}の点検で条件がそろい、{lifted}にすべての制限を解除しました。"),
                &format!("The check on {at} met all conditions; on {lifted} we lifted all restrictions."),
            );
            page.fence(&certificate::lines(checked, language));
            page.paragraph(certificate::LIMITS.say(language));
        }
        None => page.say(
            &format!("{lifted}に、担当者の判断ですべての制限を解除しました。点検の結果によるものではありません。"),
            &format!("On {lifted} our staff lifted all restrictions. This does not rest on a check."),
        ),
    }
    page.paragraph(&certificate::watch(release.lifted, release.watch_until, &clock, language));
}

fn relapse(page: &mut Page, content: &LetterContent, earlier: &Earlier) {
    let language = content.language;
    let clock = clock(content);
    let (time, closed) = (clock.at(content.detected), clock.at(earlier.closed));
    let found = phrases::found(&content.findings, language);
    let (intro_ja, intro_en) = match earlier.check.is_some() {
        true => ("前回の点検と比べた結果:", " Compared with the check made then:"),
        false => (
            "前回は点検なしで解除したため、比べる記録はありません。",
            " It was released without a check, so there is nothing to compare.",
        ),
    };
    page.say(
        &format!(
            "{time}に{found}を検知しました。{}は{closed}に解除したため、今回は新しい番号です。{intro_ja}",
            earlier.number
        ),
        &format!(
            "On {time} we detected {found}. {} was released on {closed}, so this has a new number.{intro_en}",
            earlier.number
        ),
    );
    if let Some((_, checked)) = &earlier.check {
        page.fence(&compared(content, checked));
    }
    page.say("前回の作業が足りなかったとは限りません。", "This need not mean that your repair was incomplete.");
}

fn compared(content: &LetterContent, then: &[Checked]) -> Vec<String> {
    let language = content.language;
    let mut lines = Vec::new();
    for class in [Class::Process, Class::Mail, Class::Load, Class::Web, Class::Cron, Class::Login] {
        let check = class.check();
        let now = phrases::count(content.findings.iter().filter(|finding| finding.kind.class() == class));
        if now == 0 {
            continue;
        }
        let before = then.iter().find(|line| line.check == check);
        let before = before.map_or(words::site_verdict(words::SiteVerdict::NotChecked), |l| words::verdict(&l.verdict));
        let item = words::check(check).say(language);
        lines.push(pick(
            language,
            fact(item, format!("前回 {}、今回 {now}件", before.ja)),
            fact(item, format!("then {}; now {now}", before.en)),
        ));
    }
    let unknown = words::certainty(words::Certainty::Unknown);
    lines.push(pick(language, fact("同じ入口か", format!("まだ{}", unknown.ja)), fact("Same way in", unknown.en)));
    let named = |wanted: fn(&Verdict) -> bool| {
        let names: Vec<_> =
            then.iter().filter(|l| wanted(&l.verdict)).map(|l| words::check(l.check).say(language)).collect();
        (!names.is_empty()).then(|| names.join(pick(language, "、", ", ")))
    };
    let word = named(|verdict| matches!(verdict, Verdict::OnYourWord));
    lines.extend(word.map(|names| fact(pick(language, "前回はご連絡による", "On your word then"), names)));
    let unseen = named(|verdict| matches!(verdict, Verdict::NotChecked { .. }));
    lines.extend(unseen.map(|names| fact(pick(language, "前回は未点検", "Not checked then"), names)));
    lines
}

fn false_alarm(page: &mut Page, content: &LetterContent, mistake: &Mistake) {
    let language = content.language;
    let clock = clock(content);
    let names: Vec<String> =
        mistake.undone.iter().map(|undone| words::measure(&undone.measure).say(language).to_owned()).collect();
    let since = mistake.undone.iter().map(|undone| undone.since).min().unwrap_or(content.detected);
    let until = mistake.undone.iter().map(|undone| undone.until).max().unwrap_or(content.sent);
    let quoted: Vec<String> =
        names.iter().map(|name| pick(language, format!("「{name}」"), format!("\"{name}\""))).collect();
    let all = phrases::joined(&quoted, language);
    let (the, was) = if names.len() == 1 { ("restriction", "was") } else { ("restrictions", "were") };
    page.say(
        &format!("{}の{all}は当社の誤りでした。ご迷惑をおかけし、申し訳ございません。", clock.at(since)),
        &format!("The {the} of {}, {all}, {was} our mistake. We are sorry for the trouble.", clock.at(since)),
    );
    let rules = content.rules.iter().map(|rule| mask::shown(rule)).collect::<Vec<_>>().join(pick(language, "、", ", "));
    let mut lines = Vec::new();
    if !rules.is_empty() {
        lines.push(fact(
            pick(language, "誤り", "mistake"),
            pick(language, format!("規則 {rules}"), format!("rule {rules}")),
        ));
    }
    lines.push(format!("  {}", fact(pick(language, "実際は", "in fact"), mask::foreign(&mistake.truth))));
    for (undone, name) in mistake.undone.iter().zip(&names) {
        let when = clock.fence(undone.until);
        lines.push(fact(pick(language, "取り消し", "undone"), format!("{name}{}{when}", pick(language, "、", ", "))));
    }
    lines.extend(mistake.proof.as_deref().map(|proof| {
        format!("  {}", fact(pick(language, "取り消し後の確かめ", "seen afterwards"), mask::shown(proof)))
    }));
    let range = clock.fence_range(since, until);
    lines.push(fact(pick(language, "停止", "stopped"), format!("{range} ({})", duration(until - since, language))));
    if let Some(late) = mistake.late.filter(|late| *late > 0) {
        let late = number(late.try_into().unwrap_or(i64::MAX));
        lines.push(fact(
            pick(language, "遅れたメール", "delayed mail"),
            pick(language, format!("{late}通"), late.clone()),
        ));
    }
    if mistake.undone.iter().any(|undone| matches!(undone.measure, model::Measure::HoldMail { .. })) {
        lines
            .push(pick(language, "保留したメールは担当者がお送りします", "held mail: our staff send it on").to_owned());
    }
    if mistake.undone.iter().any(|undone| undone.measure == model::Measure::RefuseMail) {
        let lost = ("停止中にサイトから送ったメールは残っていません", "mail that your sites sent meanwhile is lost");
        lines.push(pick(language, lost.0, lost.1).to_owned());
    }
    lines.push(pick(language, "ファイルは元どおり", "files exactly as before").to_owned());
    page.fence(&lines);
    page.say("同じ内容では二度と止めません。", "We will not stop you for the same content again.");
}
