//! The answer to a question: the open incident is named, the earlier one is told from it, nothing is guessed.

use model::{Checked, Delivery, Measure, Moment, Verdict};

use super::blocks::{clock, fact};
use super::page::Page;
use super::{Answer, Earlier, LetterContent, SentNotice, Topic, phrases};
use crate::words::{self, mask, pick};

/// Its own sentences and the facts below them.
pub fn answer(page: &mut Page, content: &LetterContent, answer: &Answer) {
    let language = content.language;
    let clock = clock(content);
    let (received, number) = (clock.at(answer.received), content.number);
    let topic = phrases::topic(answer.topic, language);
    let mut facts = Vec::new();
    if content.restrictions.is_empty() {
        page.say(
            &format!("{received}のご質問にお答えします。いま、このアカウントに当社の制限はありません。"),
            &format!("This answers your question of {received}. No restriction of ours is on this account now."),
        );
        if let Some(earlier) = &content.earlier {
            let closed = clock.date(earlier.closed);
            page.say(
                &format!("前の件({})は{closed}に終了しています。", earlier.number),
                &format!("The earlier incident ({}) closed on {closed}.", earlier.number),
            );
        }
    } else {
        let bound = pick(
            language,
            format!("{received}のご質問は、いま続いている件({number})のものとして承りました。"),
            format!("We take your question of {received} to be about {number}, the open incident."),
        );
        let cause = cause(content, answer.topic).map(|since| {
            pick(
                language,
                format!("{topic}の原因は、この件で{}にかけた制限です。", clock.at(since)),
                format!(" The cause of {topic} is its restriction of {}.", clock.at(since)),
            )
        });
        let person = || {
            let by = content.by_time.map(|by| clock.at(by));
            let by = by.map_or((String::new(), String::new()), |by| (format!("{by}までに"), format!(" by {by}")));
            pick(
                language,
                format!("いまの状態と制限は下記のとおりです。ご質問には、担当者が{}お答えします。", by.0),
                format!(" The present state and restrictions are below. A person answers your question{}.", by.1),
            )
        };
        let cause = cause.unwrap_or_else(person);
        page.paragraph(&format!("{bound}{cause}{}", earlier_done(content)));
    }
    if let Some((url, cause)) = &answer.fails {
        let own: Vec<_> = content.sites.iter().map(|site| site.domain.clone()).collect();
        facts.push(mask::defang(url, &own));
        facts.push(format!("  {}", cause.sentence(language)));
    }
    if let Some(earlier) = &content.earlier {
        facts.extend(earlier_check(content, earlier));
    }
    for sent in content.sent_notices.iter().rev().take(3) {
        facts.extend(sent_lines(content, sent));
    }
    page.fence(&facts);
}

/// When the restriction was imposed that explains the topic, if one does.
fn cause(content: &LetterContent, topic: Topic) -> Option<Moment> {
    use Measure::*;
    let explains = |measure: &Measure| match topic {
        Topic::Error403 => measure.closes(),
        Topic::Mail => matches!(measure, HoldMail { .. } | RefuseMail),
        Topic::Other => false,
    };
    content.restrictions.iter().find(|limit| explains(&limit.measure)).map(|limit| limit.since)
}

/// What the earlier check says about the owner's work then; nothing when something was left.
fn earlier_done(content: &LetterContent) -> String {
    let Some(earlier) = &content.earlier else { return String::new() };
    let Some((_, checked)) = &earlier.check else { return String::new() };
    if checked.is_empty() || checked.iter().any(Checked::blocks) {
        return String::new();
    }
    let clock = clock(content);
    let (then, now) = (clock.month(earlier.opened), clock.month(content.sent));
    let month = (then != now).then_some(then.as_str());
    let en = month.map_or("last time".to_owned(), |month| format!("in {month}"));
    // What stands on the owner's word, or was not looked at, is not called done.
    if checked.iter().all(|line| matches!(line.verdict, Verdict::Clean { .. })) {
        let ja = month.map_or("前回".to_owned(), |month| format!("{month}に"));
        return pick(
            content.language,
            format!("{ja}お願いした作業は、すべて済んでいます。"),
            format!(" All we asked of you {en} is done."),
        );
    }
    pick(
        content.language,
        format!("{}の点検では、問題は残っていませんでした。", month.unwrap_or("前回")),
        format!(" The check made {en} found nothing left."),
    )
}

fn earlier_check(content: &LetterContent, earlier: &Earlier) -> Vec<String> {
    let language = content.language;
    let Some((at, checked)) = &earlier.check else { return Vec::new() };
    let time = clock(content).fence(*at);
    let label = pick(language, format!("{}の点検", earlier.number), format!("Check of {}", earlier.number));
    vec![fact(&label, time), format!("  {}", summary(checked, language))]
}

/// A check in one line: `5件すべて済み`, or how many of which.
fn summary(checked: &[Checked], language: model::Language) -> String {
    let count = |wanted: fn(&Verdict) -> bool| checked.iter().filter(|line| wanted(&line.verdict)).count();
    let clean = count(|verdict| matches!(verdict, Verdict::Clean { .. }));
    if clean == checked.len() {
        return pick(language, format!("{clean}件すべて済み"), format!("all {clean} items done"));
    }
    let parts = [
        (clean, ("済み", "done")),
        (count(|verdict| matches!(verdict, Verdict::Found { .. })), ("残り", "left")),
        (count(|verdict| matches!(verdict, Verdict::OnYourWord)), ("ご連絡による", "on your word")),
        (count(|verdict| matches!(verdict, Verdict::NotChecked { .. })), ("未点検", "not checked")),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    match language {
        model::Language::Ja => parts.map(|(n, (ja, _))| format!("{ja} {n}件")).collect::<Vec<_>>().join("、"),
        model::Language::En => parts.map(|(n, (_, en))| format!("{n} {en}")).collect::<Vec<_>>().join(", "),
    }
}

fn sent_lines(content: &LetterContent, sent: &SentNotice) -> [String; 3] {
    let language = content.language;
    let subject = mask::shown(&sent.subject);
    let to: Vec<_> = sent.to.iter().map(|address| mask::address(address)).collect();
    let mut delivery = words::delivery(&sent.delivery).say(language).to_owned();
    if let Delivery::Accepted { addresses } = sent.delivery
        && usize::from(addresses) < sent.to.len()
    {
        // Which of them took it is not kept, so none is named as the one that did.
        delivery = pick(language, format!("{addresses}件を{delivery}"), format!("{addresses} {delivery}"));
    }
    if let Some(why) = mask::delivery_why(&sent.delivery) {
        delivery = fact(&delivery, why);
    }
    [
        fact(pick(language, "前のお知らせ", "Earlier notice"), clock(content).fence(sent.sent)),
        pick(language, format!("「{subject}」"), format!("\"{subject}\"")),
        format!("→ {}", fact(&to.join(pick(language, "、", ", ")), delivery)),
    ]
}
