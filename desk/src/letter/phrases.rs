//! The short phrases of a letter that are counted together from its content: what is stopped, what works, what was
//! found, why it was urgent.

use model::{
    Class, Evidence, FactKey, FactValue, Language, Login, MailRate, MailScope, Measure, Moment, Strength, Wide,
};

use super::{About, FindingFacts, LetterContent, LiftWhen, Limit, SiteReason, SiteState, Task, Tool, Topic, Unseen};
use crate::why::Cause;
use crate::words::{self, NOTHING, mask, pick, time::number};

/// `1 site`, `3 sites`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count as i64), if count == 1 { one } else { many })
}

/// `A, B and C`, `A、BとC`.
pub fn joined(parts: &[String], language: Language) -> String {
    let (comma, and) = pick(language, ("、", "と"), (", ", " and "));
    match parts {
        [] => NOTHING.say(language).to_owned(),
        [one] => one.clone(),
        [init @ .., last] => format!("{}{and}{last}", init.join(comma)),
    }
}

/// What is stopped: sites, mail, programs.
pub fn stopped<'a>(limits: impl Iterator<Item = &'a Limit> + Clone, language: Language) -> Vec<String> {
    let measures = limits.map(|limit| &limit.measure);
    let mut parts = Vec::new();
    let all = measures.clone().find_map(|measure| match measure {
        Measure::CloseAccount { sites, .. } => Some(sites.len()),
        _ => None,
    });
    let some = measures.clone().filter(|measure| matches!(measure, Measure::CloseSite { .. })).count();
    match (all, some) {
        (Some(count), _) if count > 1 => {
            parts.push(pick(language, format!("全サイト{count}件の公開"), format!("all {count} sites")));
        }
        (None, 0) => {}
        (all, some) => {
            let count = all.unwrap_or(some);
            parts.push(pick(language, format!("サイト{count}件の公開"), counted(count, "site", "sites")));
        }
    }
    if let Some(mail) = mail_stopped(measures.clone()) {
        parts.push(match mail {
            MailStopped::All => pick(language, "メール送信", "outgoing mail").to_owned(),
            MailStopped::Sites => pick(language, "サイトからのメール送信", "mail from your sites").to_owned(),
            MailStopped::Mailboxes(count) => pick(
                language,
                format!("メールアドレス{count}件の送信"),
                format!("outgoing mail of {}", counted(count, "address", "addresses")),
            ),
        });
    }
    let programs: usize = measures.clone().map(frozen).sum();
    if programs > 0 {
        parts.push(pick(language, format!("プログラム{programs}件"), counted(programs, "program", "programs")));
    }
    let files: usize = measures.clone().map(set_aside).sum();
    if files > 0 {
        parts.push(pick(language, format!("ファイル{files}件"), counted(files, "file", "files")));
    }
    for measure in measures {
        let part = match measure {
            Measure::DisableCronLine { .. } => pick(language, "定期実行1行", "1 scheduled line"),
            Measure::BlockScript { .. } => pick(language, "URL1つ", "1 address"),
            Measure::BlockLogin { .. } => pick(language, "ログインの一部", "some logins"),
            Measure::BlockOutbound => pick(language, "外部への通信", "outgoing connections"),
            Measure::ThrottleSource { .. } => pick(language, "接続元の一部", "some visitors' addresses"),
            _ => continue,
        };
        if !parts.iter().any(|p| p == part) {
            parts.push(part.to_owned());
        }
    }
    parts
}

fn set_aside(measure: &Measure) -> usize {
    match measure {
        Measure::QuarantineFile { files, .. } => files.len(),
        _ => 0,
    }
}

/// Whether this login is blocked.
fn barred(content: &LetterContent, login: &Login) -> bool {
    let bars = |measure: &Measure| matches!(measure, Measure::BlockLogin { logins } if logins.contains(login));
    content.restrictions.iter().any(|limit| bars(&limit.measure))
}

/// How much of the outgoing mail is stopped, the widest limit alone.
enum MailStopped {
    All,
    /// What sites and programs hand to sendmail; mail programs go on.
    Sites,
    /// Some mailboxes.
    Mailboxes(usize),
}

fn mail_stopped<'m>(measures: impl Iterator<Item = &'m Measure> + Clone) -> Option<MailStopped> {
    let one = |measure: &&Measure| matches!(measure, Measure::HoldMail { scope: MailScope::Mailbox(_), .. });
    let mailboxes = measures.clone().filter(one).count();
    if measures.clone().any(|measure| matches!(measure, Measure::HoldMail { .. }) && !one(&measure)) {
        Some(MailStopped::All)
    } else if measures.clone().any(|measure| matches!(measure, Measure::RefuseMail)) {
        Some(MailStopped::Sites)
    } else {
        (mailboxes > 0).then_some(MailStopped::Mailboxes(mailboxes))
    }
}

fn frozen(measure: &Measure) -> usize {
    match measure {
        Measure::FreezeProcess { processes } => processes.len(),
        _ => 0,
    }
}

/// What still works.
pub fn works(content: &LetterContent) -> String {
    let language = content.language;
    let open = content.sites.iter().filter(|site| site.state == SiteState::Open).count();
    let mut parts = Vec::new();
    // A site that fails for another reason is not called working.
    let open = if fails(content) { 0 } else { open };
    if open > 0 && open < content.sites.len() {
        parts.push(pick(language, format!("他のサイト{open}件"), counted(open, "other site", "other sites")));
    } else if open > 0 {
        parts.push(pick(language, format!("サイト{open}件"), counted(open, "site", "sites")));
    }
    let mail = match mail_stopped(content.restrictions.iter().map(|limit| &limit.measure)) {
        None => pick(language, "メール", "mail"),
        Some(MailStopped::All) => pick(language, "受信", "incoming mail"),
        Some(MailStopped::Sites) => pick(language, "メールソフトでの送受信", "mail programs"),
        Some(MailStopped::Mailboxes(_)) => pick(language, "受信、他のアドレスの送信", "incoming mail, other addresses"),
    };
    parts.push(mail.to_owned());
    let tools = content.tools.iter().filter(|tool| **tool != Tool::Ftp || !barred(content, &Login::Ftp));
    parts.extend(tools.map(|tool| tool_name(*tool, language).to_owned()));
    parts.join(pick(language, "、", ", "))
}

/// Whether a look at the site in question showed that it fails, although nothing of ours stands in the way.
fn fails(content: &LetterContent) -> bool {
    let About::Answer(answer) = &content.about else { return false };
    answer.fails.as_ref().is_some_and(|(_, cause)| *cause != Cause::Works)
}

fn tool_name(tool: Tool, language: Language) -> &'static str {
    match tool {
        Tool::Ftp => "FTP",
        Tool::Panel => pick(language, "パネル", "panel"),
        Tool::Backup => pick(language, "バックアップ", "backup"),
    }
}

/// What to do first.
pub fn first(content: &LetterContent) -> String {
    let language = content.language;
    match (&content.about, content.tasks.first()) {
        (About::Released(_), _) if !content.sites.is_empty() => {
            pick(language, "サイトが正しく表示されるかご覧ください", "see if your site looks right").to_owned()
        }
        (About::Answer(_), None) if fails(content) => {
            pick(language, "下記の原因をご覧ください", "look at the cause below").to_owned()
        }
        (About::Released(_) | About::FalseAlarm(_), _) | (_, None) => NOTHING.say(language).to_owned(),
        (_, Some(task)) => {
            let title = task_title(task, language);
            pick(language, format!("作業1「{title}」"), format!("task 1, \"{title}\""))
        }
    }
}

/// The findings in one phrase: `不正なプログラムの動作と大量のメール送信`, `a malicious program and mass mail`.
pub fn found(findings: &[FindingFacts], language: Language) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut of = |strength: Strength| {
        let programs = findings.iter().filter(|f| f.kind.class() == Class::Process && f.strength == strength);
        let count = count(programs);
        let word = words::strength(strength);
        match count {
            0 => {}
            1 => parts.push(pick(
                language,
                format!("{}プログラムの動作", word.ja),
                format!("{} program", article(word.en)),
            )),
            _ => parts.push(pick(language, format!("{}プログラムの動作", word.ja), format!("{} programs", word.en))),
        }
    };
    [Strength::Conclusive, Strength::Suspicious, Strength::Hint].into_iter().for_each(&mut of);
    if findings.iter().any(|f| f.kind.class() == Class::Mail) {
        parts.push(pick(language, "大量のメール送信", "mass mail").to_owned());
    }
    for class in [Class::Web, Class::Cron, Class::Login] {
        let strongest = findings.iter().filter(|f| f.kind.class() == class).map(|f| f.strength).max();
        if let Some(strength) = strongest.map(words::strength) {
            let word = words::class(class);
            parts.push(pick(
                language,
                format!("{}{}", strength.ja, word.ja),
                article(&format!("{} {}", strength.en, word.en)),
            ));
        }
    }
    if findings.iter().any(|f| f.kind.class() == Class::Load) {
        parts.push(words::class(Class::Load).say(language).to_owned());
    }
    joined(&parts, language)
}

/// How many things these findings speak of: each process of one counts.
pub fn count<'a>(findings: impl Iterator<Item = &'a FindingFacts>) -> usize {
    findings.map(|finding| pids(&finding.evidence).max(1)).sum()
}

fn article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}

/// How many processes a finding names.
fn pids(evidence: &Evidence) -> usize {
    text(evidence, FactKey::Pids).map_or(0, |pids| pids.split_whitespace().count())
}

/// A text fact.
pub fn text(evidence: &Evidence, key: FactKey) -> Option<&str> {
    match evidence.get(key) {
        Some(FactValue::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A number fact.
pub fn amount(evidence: &Evidence, key: FactKey) -> Option<i64> {
    match evidence.get(key) {
        Some(FactValue::Number(number)) => Some(*number),
        _ => None,
    }
}

/// A time fact (RFC 3339).
pub fn moment(evidence: &Evidence, key: FactKey) -> Option<Moment> {
    text(evidence, key).and_then(Moment::parse)
}

/// Why it could not wait, from what the findings show; `None` when they show nothing of that kind.
pub fn urgency(findings: &[FindingFacts], language: Language) -> Option<String> {
    let rate = findings.iter().find_map(|finding| {
        let evidence = &finding.evidence;
        let recipients = amount(evidence, FactKey::Recipients)?;
        let span = moment(evidence, FactKey::To)? - moment(evidence, FactKey::From)?;
        let per_minute = recipients.checked_div(span.whole_secs() / 60)?;
        (finding.kind.class() == Class::Mail && per_minute > 0).then_some(per_minute)
    });
    if let Some(rate) = rate {
        let rate = number(round_two(rate));
        return Some(pick(
            language,
            format!("毎分約{rate}の宛先へ送信中でした。"),
            format!("mail went to some {rate} recipients a minute."),
        ));
    }
    let running = findings.iter().any(|f| f.kind.class() == Class::Process && f.strength == Strength::Conclusive);
    running.then(|| {
        pick(language, "検知したときに、まだ動いていました。", "it was still running when we found it.").to_owned()
    })
}

/// The first two digits: "some 300", not "some 301".
fn round_two(number: i64) -> i64 {
    let mut step = 1;
    while number / step >= 100 {
        step *= 10;
    }
    (number + step / 2) / step * step
}

/// How far a restriction goes.
pub fn scope(measure: &Measure, language: Language) -> String {
    match measure {
        Measure::ThrottleMail { rate } => match rate {
            MailRate::Script(Some(folder)) => folder.clone(),
            MailRate::Script(None) => {
                pick(language, "サイトやプログラムからの送信", "what sites and programs send").into()
            }
            MailRate::Pair(one, other) => joined(&[one.clone(), other.clone()], language),
        },
        Measure::ThrottleSource { sources } => {
            let count = sources.len();
            pick(language, format!("接続元{count}件"), counted(count, "address", "addresses"))
        }
        Measure::HoldMail { scope: MailScope::Mailbox(mailbox), .. } => mailbox.to_string(),
        Measure::RefuseMail => {
            pick(language, "サイトやプログラムからの送信", "what sites and programs send").to_owned()
        }
        Measure::HoldMail { .. } | Measure::BlockOutbound => {
            pick(language, "アカウント全体", "whole account").to_owned()
        }
        Measure::DisableCronLine { .. } => pick(language, "1行", "1 line").to_owned(),
        Measure::BlockScript { site, path } => format!("{site}/{path}"),
        Measure::QuarantineFile { files, .. } => {
            pick(language, format!("ファイル{}件", files.len()), counted(files.len(), "file", "files"))
        }
        Measure::EndSessions { site } => site.to_string(),
        Measure::BlockLogin { logins } => {
            let name = |login: &Login| match login {
                Login::Shell => "SSH・SFTP".to_owned(),
                Login::Ftp => "FTP".to_owned(),
                Login::Mail(mailbox) => mailbox.to_string(),
            };
            joined(&logins.iter().map(name).collect::<Vec<_>>(), language)
        }
        Measure::FreezeProcess { processes } => {
            let count = processes.len();
            pick(language, format!("プログラム{count}件"), counted(count, "program", "programs"))
        }
        Measure::CloseSite { site } => site.to_string(),
        Measure::CloseAccount { sites, .. } => {
            pick(language, format!("サイト{}件", sites.len()), counted(sites.len(), "site", "sites"))
        }
        Measure::AskOwner | Measure::PageOperator => NOTHING.say(language).to_owned(),
    }
}

/// What lifts a restriction.
pub fn lift_when(lift: &LiftWhen, language: Language) -> String {
    match lift {
        LiftWhen::Tasks(tasks) if !tasks.is_empty() => {
            let numbers: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            let list = joined(&numbers, language);
            let one = tasks.len() == 1;
            pick(
                language,
                format!("作業{list}の点検"),
                format!("{} {list} {} checked", if one { "task" } else { "tasks" }, if one { "is" } else { "are" }),
            )
        }
        LiftWhen::After(ordinal) => {
            pick(language, format!("制限{ordinal}の解除"), format!("restriction {ordinal} is lifted"))
        }
        LiftWhen::Tasks(_) | LiftWhen::NothingFound => {
            pick(language, "点検で問題が見つからないこと", "the check finds nothing").to_owned()
        }
        LiftWhen::Staff => pick(language, "担当者の判断", "our staff decides").to_owned(),
    }
}

/// Why all sites had to be closed.
pub fn wide(wide: Wide, language: Language) -> &'static str {
    match wide {
        Wide::ManySites => pick(language, "3件以上のサイトで問題が見つかりました。", "3 or more sites are affected."),
        Wide::NotBoundToSites => pick(
            language,
            "止めたプログラムがまた動き、どのサイトのものか分かりません。",
            "the stopped program came back, and we cannot tell to which site it belongs.",
        ),
        Wide::Ordered => pick(language, "担当者が判断しました。", "our staff decided so."),
    }
}

/// What was found on a site, in brackets behind its state.
pub fn site_reason(reason: SiteReason, language: Language) -> String {
    match reason {
        SiteReason::Programs(count) => {
            pick(language, format!("プログラム{count}件"), counted(count as usize, "program", "programs"))
        }
        SiteReason::MailScript => pick(language, "大量のメールの送り元", "sent the mass mail").to_owned(),
    }
}

/// The title of a task.
pub fn task_title(task: &Task, language: Language) -> String {
    match task {
        Task::RemoveFile { .. } => pick(language, "ファイルの削除", "Remove the file").to_owned(),
        Task::RepairScript { .. } => {
            pick(language, "送信に使われたスクリプトの削除か修理", "Remove or repair the mail script").to_owned()
        }
        Task::RemoveCronLine { .. } => pick(language, "定期実行1行の削除", "Remove scheduled line").to_owned(),
        Task::Passwords => pick(language, "パスワードの変更", "New passwords").to_owned(),
        Task::Update { component, .. } => {
            let component = mask::foreign(component);
            pick(language, format!("{component}の更新"), format!("Update {component}"))
        }
        Task::UnknownPlugin { .. } => pick(language, "覚えのないプラグインの削除", "Remove unknown plugin").to_owned(),
    }
}

/// The topic of a question.
pub fn topic(topic: Topic, language: Language) -> &'static str {
    match topic {
        Topic::Error403 => pick(language, "サイトの403エラー", "the 403 error"),
        Topic::Mail => pick(language, "メールを送れないこと", "mail that does not go out"),
        Topic::Other => pick(language, "いまの状態", "the present state"),
    }
}

/// Why something is not known; `records` names the records in both languages.
pub fn unseen(why: Unseen, records: (&str, &str), language: Language) -> String {
    let (ja, en) = records;
    match why {
        Unseen::NotRead => {
            pick(language, format!("{ja}を調べる機能がまだありません"), format!("we cannot read {en} yet"))
        }
        Unseen::NoLog => pick(language, format!("{ja}がありません"), format!("there are no {en}")),
        Unseen::NoRights => pick(language, format!("{ja}を読む権限がありません"), format!("we may not read the {en}")),
    }
}
