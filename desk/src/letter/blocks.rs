//! The blocks that letters are built from, in the order in which they stand in a letter.

use model::{MailScope, Measure};

use super::page::Page;
use super::phrases;
use super::{Decided, Earlier, LetterContent, NextCheck, SiteLine, Task, Unseen};
use crate::words::mask::{self, Place};
use crate::words::{self, pick, time::Clock};

/// Findings of one class, sites and notices that a letter lists; the rest is counted.
pub const LIST_MAX: usize = 20;

/// Without a portal a person is the only other way to see that a letter is genuine.
const DOUBT: words::Phrase = words::Phrase {
    ja: "ご不安なときは、いつもの連絡先に番号をお伝えください。",
    en: "If in doubt, give the number to our staff in your usual way.",
};

/// The clock of this letter's reader.
pub fn clock(content: &LetterContent) -> Clock {
    Clock::new(&content.zone, content.language)
}

/// `label: value`; Japanese and English write the colon alike, so that a fence reads the same.
pub fn fact(label: &str, value: impl std::fmt::Display) -> String {
    format!("{label}: {value}")
}

/// The three lines that a person reads on a phone, then who writes to whom.
pub fn top(page: &mut Page, content: &LetterContent) {
    let language = content.language;
    let stopped = phrases::stopped(content.restrictions.iter(), language);
    let stopped = match stopped.is_empty() {
        true => words::NOTHING.say(language).to_owned(),
        false => stopped.join(pick(language, "、", ", ")),
    };
    page.heading('■', &fact(pick(language, "止めているもの", "Stopped"), stopped));
    page.heading('■', &fact(pick(language, "使えるもの", "Still working"), phrases::works(content)));
    page.heading('■', &fact(pick(language, "最初にすること", "Do first"), phrases::first(content)));
    page.blank();
    let owner = mask::shown(content.owner.trim());
    match owner.is_empty() {
        true => page.say("お客様", "Dear customer,"),
        false => page.say(&format!("{owner} 様"), &format!("Dear {owner},")),
    }
    let (host, desk) = (mask::shown(&content.host), mask::shown(&content.desk));
    page.say(&format!("{host} {desk}です。"), &format!("This is {desk} at {host}."));
}

/// That an earlier incident is over and another one.
pub fn earlier(page: &mut Page, content: &LetterContent, earlier: &Earlier) {
    let clock = clock(content);
    let (opened, closed) = (clock.date(earlier.opened), clock.date(earlier.closed));
    let (old, new) = (earlier.number, content.number);
    page.say(
        &format!("{opened}の件({old})は{closed}に終了しました。いまの制限は別の件({new})によるものです。"),
        &format!(
            "The incident of {opened} ({old}) closed on {closed}. The present restrictions belong to another one, {new}."
        ),
    );
}

/// That it was done at once, and what was not touched.
pub fn kept(page: &mut Page, content: &LetterContent) {
    let sorry = match content.warned {
        true => ("", ""),
        false => ("前もってお知らせできず、申し訳ございません。", " We are sorry that we could not warn you first."),
    };
    let free = match content.free {
        true => ("点検も解除も無料です。", " Check and release are free."),
        false => ("", ""),
    };
    page.say(
        &format!(
            "被害が広がらないよう、すぐに下記の制限をかけました。{}ファイル、データベース、受信メールは削除していません。{}",
            sorry.0, free.0
        ),
        &format!(
            "To stop the harm we at once placed the restrictions below.{} We have deleted no file, database or received mail.{}",
            sorry.1, free.1
        ),
    );
}

/// Whether somebody signed in, and what that says about passwords.
pub fn logins(page: &mut Page, content: &LetterContent, why: Unseen) {
    page.heading('▼', pick(content.language, "ログイン", "Logins"));
    let records = ("ログインの記録", "login records");
    let why = phrases::unseen(why, records, content.language);
    let asked = content.tasks.iter().any(|task| matches!(task, Task::Passwords));
    let precaution = match asked {
        true => ("パスワードの変更は念のためです。", " New passwords are a precaution."),
        false => ("", ""),
    };
    page.say(
        &format!(
            "見慣れないログインがあったかどうかは、分かっておりません({why})。上の内容は、パスワードが漏れたという意味ではございません。{}",
            precaution.0
        ),
        &format!(
            "We do not know if there was an unfamiliar login ({why}). The findings above do not mean that a password leaked.{}",
            precaution.1
        ),
    );
}

/// How somebody came in.
pub fn entry(page: &mut Page, content: &LetterContent, why: Unseen) {
    page.heading('▼', pick(content.language, "侵入の入口", "Way in"));
    let why = phrases::unseen(why, ("アクセスの記録", "access records"), content.language);
    page.say(&format!("まだ分かっておりません({why})。"), &format!("We do not know yet ({why})."));
}

/// Every site with its state.
pub fn sites(page: &mut Page, content: &LetterContent) {
    if content.sites.is_empty() {
        return;
    }
    page.blank();
    page.heading('■', pick(content.language, "サイトの状態", "Your sites"));
    let lines: Vec<_> = content.sites.iter().take(LIST_MAX).map(|site| site_line(site, content)).collect();
    page.fence(&lines);
    more(page, content.sites.len());
}

fn site_line(site: &SiteLine, content: &LetterContent) -> String {
    let language = content.language;
    let (state, verdict) =
        (words::site_state(site.state).say(language), words::site_verdict(site.verdict).say(language));
    let reason = site.reason.map(|reason| format!(" ({})", phrases::site_reason(reason, language)));
    fact(site.domain.as_str(), format!("{state}{}{verdict}{}", pick(language, "、", "; "), reason.unwrap_or_default()))
}

/// Every restriction with what lifts it.
pub fn limits(page: &mut Page, content: &LetterContent) {
    if content.restrictions.is_empty() {
        return;
    }
    let language = content.language;
    let clock = clock(content);
    page.blank();
    page.heading('■', pick(language, "制限(1つずつ解除します)", "Restrictions (lifted one by one)"));
    let mut lines = Vec::new();
    for limit in &content.restrictions {
        let name = words::measure(&limit.measure).say(language);
        lines.push(format!("{}. {name}: {}", limit.ordinal, phrases::scope(&limit.measure, language)));
        if let Measure::QuarantineFile { files, .. } = &limit.measure {
            lines.extend(
                files.iter().take(5).map(|file| format!("  /{}", model::evidence::printable(file.path.bytes(), 200))),
            );
            if files.len() > 5 {
                lines.push(format!("  {}", pick(language, "ほか", "and more")));
            }
        }
        let until = limit.until.map_or(pick(language, "解除", "release").to_owned(), |until| clock.fence(until));
        lines.push(format!("  {} - {until}", clock.fence(limit.since)));
        let lift = phrases::lift_when(&limit.lift, language);
        lines.push(format!("  {}: {lift}", pick(language, "解除の条件", "lifted when")));
    }
    page.fence(&lines);
    let has = |wanted: fn(&Measure) -> bool| content.restrictions.iter().any(|limit| wanted(&limit.measure));
    let wide = content.restrictions.iter().find_map(|limit| match limit.measure {
        Measure::CloseAccount { wide, .. } => Some(wide),
        _ => None,
    });
    if let Some(wide) = wide {
        page.paragraph(&fact(pick(language, "全サイトを止めた理由", "Why all sites"), phrases::wide(wide, language)));
    }
    if has(|measure| matches!(measure, Measure::FreezeProcess { .. })) {
        page.say(
            "停止したプログラムは、解除のときに終了させます(再開はしません)。",
            "What was stopped does not run again: it is ended when the restriction is lifted.",
        );
    }
    if has(|measure| matches!(measure, Measure::QuarantineFile { .. })) {
        page.say(
            "隔離したファイルは削除していません。お客様のものでしたら、担当者が元の場所に戻します。",
            "Files that were set aside are not deleted. If one is yours, our staff put it back where it was.",
        );
    }
    if has(|measure| matches!(measure, Measure::EndSessions { .. })) {
        page.say(
            "サイトの管理画面からは、全員がログアウトされています。もう一度ログインしてください。",
            "Everyone was signed out of the site's dashboard. Please sign in again.",
        );
    }
    // The queue is not sorted by machine yet; what is held is neither lost nor sent unseen.
    let one_mailbox = |measure: &Measure| matches!(measure, Measure::HoldMail { scope: MailScope::Mailbox(_), .. });
    let held = content.restrictions.iter().filter(|limit| matches!(limit.measure, Measure::HoldMail { .. }));
    if held.clone().any(|limit| !one_mailbox(&limit.measure)) && !content.sites.is_empty() {
        page.say(
            "保留したメール(フォームからのものも)は、削除していません。迷惑メールを除いたうえで、担当者がお送りします。",
            "Held mail, form mail too, is not deleted. Our staff send it once the spam is taken out.",
        );
    } else if held.clone().count() > 0 {
        page.say(
            "保留したメールは、削除していません。迷惑メールを除いたうえで、担当者がお送りします。",
            "Held mail is not deleted. Our staff send it once the spam is taken out.",
        );
    }
    if has(|measure| matches!(measure, Measure::RefuseMail)) {
        page.say(
            "サイトから送るメールは、フォームからのものも受け付けていません。その分は保存されず、解除後にも届きません。",
            "Mail that your sites send, form mail too, is refused. It is not kept and does not arrive after release.",
        );
    }
}

/// What the owner is asked to do and how to answer.
pub fn tasks(page: &mut Page, content: &LetterContent) {
    let language = content.language;
    page.blank();
    if !content.tasks.is_empty() {
        page.heading('■', pick(language, "お願いしたい作業", "What we ask you to do"));
        for (at, task) in content.tasks.iter().enumerate() {
            let (steps, value) = task_steps(task, content);
            let text = fact(&phrases::task_title(task, language), steps);
            page.task(at + 1, &text, value.as_deref());
        }
    }
    let by = content.by_time.map(|by| clock(content).at(by));
    let (by_ja, by_en) = match by {
        Some(by) => (format!("{by}までに"), format!(" by {by}")),
        None => (String::new(), String::new()),
    };
    let (check_ja, check_en) = match content.replies_by_machine {
        true => (
            "夜間や休日も自動で点検し、条件がそろったものから解除します。",
            "The check is automatic, day and night, and lifts what meets its condition.",
        ),
        false => (
            "ご返信を読み次第、自動で点検し、条件がそろったものから解除します。",
            "As soon as we read it, the automatic check runs and lifts what meets its condition.",
        ),
    };
    page.heading_text(&pick(
        language,
        format!(
            "済んだら「完了」とご返信ください。{check_ja}「質問」「できない」「再送」も承ります。\
             お心当たりのある処理のときや、納得できないときは「見直し」とご返信ください。\
             同じ理由では制限を増やさず、担当者が{by_ja}お答えします。"
        ),
        format!(
            "When done, reply \"done\". {check_en} You can also reply \"question\", \"cannot\" or \"resend\". \
             If it was you, or if you disagree, reply \"review\": we add nothing on the same grounds, \
             and a person answers{by_en}."
        ),
    ));
}

/// What is to be done, and the path it is about.
fn task_steps(task: &Task, content: &LetterContent) -> (String, Option<String>) {
    let language = content.language;
    let remove = |path: &str| {
        let place = mask::place(path, &content.home);
        let steps = match &place {
            Place::Ftp(below) if below.contains("/.") => pick(
                language,
                "FTPで隠しファイルを表示し、次のファイルを削除",
                "show hidden files in FTP, then delete it",
            )
            .to_owned(),
            Place::Ftp(_) => pick(language, "FTPで次のファイルを削除", "delete it by FTP").to_owned(),
            Place::Server(_) => pick(
                language,
                "サーバーにある次のファイルを削除(FTPで見えないときは「できない」とご返信ください)",
                "delete it on the server (if FTP does not show it, reply \"cannot\")",
            )
            .to_owned(),
        };
        (steps, Some(place.path()))
    };
    match task {
        Task::RemoveFile { path } => remove(path),
        Task::RepairScript { script } => (
            pick(
                language,
                "覚えのないファイルなら削除、お使いのフォームなどなら更新か修理",
                "delete it if you do not know it; update or repair it if it is a form of yours",
            )
            .to_owned(),
            Some(mask::place(script, &content.home).path()),
        ),
        Task::RemoveCronLine { line } => (
            pick(
                language,
                "パネルの「Cron」を開き、次の行だけ削除(先頭の # の印も)",
                "open Cron in your panel; delete only this line, with the # mark before it",
            )
            .to_owned(),
            Some(mask::foreign(line)),
        ),
        Task::Passwords => (
            pick(
                language,
                "パネル、FTP、SSH鍵、WordPress管理者全員、データベース(wp-config.phpも)",
                "panel, FTP, SSH keys, all WordPress admins, database (and wp-config.php)",
            )
            .to_owned(),
            None,
        ),
        Task::Update { version, .. } => {
            let version = version.as_deref().map(mask::foreign);
            let (ja, en) = match version {
                Some(version) => (format!("(バージョン{version}以上)"), format!(" to {version} or later")),
                None => (String::new(), String::new()),
            };
            (
                pick(
                    language,
                    format!("ダッシュボード「更新」を開き、更新{ja}"),
                    format!("open Dashboard, Updates; update it{en}"),
                ),
                None,
            )
        }
        Task::UnknownPlugin { plugin, path } => {
            let plugin = mask::foreign(plugin);
            (
                pick(
                    language,
                    format!("「プラグイン」で{plugin}を停止、削除。なければFTPで次を削除"),
                    format!("Plugins: deactivate, delete {plugin}; or delete by FTP"),
                ),
                Some(mask::place(path, &content.home).path()),
            )
        }
    }
}

/// Who decided, by which rule, and where to turn.
pub fn reasons(page: &mut Page, content: &LetterContent) {
    let language = content.language;
    page.blank();
    let head = match content.decided {
        Decided::Automatically => pick(language, "自動の判断", "Decided automatically"),
        Decided::Staff => pick(language, "担当者の判断", "Decided by our staff"),
    };
    let rules = content.rules.iter().map(|rule| mask::shown(rule)).collect::<Vec<_>>();
    let mut grounds = Vec::new();
    if !rules.is_empty() {
        let (comma, word) = pick(language, ("、", "規則"), (", ", if rules.len() == 1 { "rule" } else { "rules" }));
        grounds.push(format!("{word} {}", rules.join(comma)));
    }
    grounds.extend(content.terms.as_deref().map(mask::shown));
    page.heading(
        '■',
        &match grounds.is_empty() {
            true => head.to_owned(),
            false => fact(head, grounds.join(pick(language, "、", ", "))),
        },
    );
    if let Some(urgency) = phrases::urgency(&content.findings, language) {
        page.paragraph(&fact(pick(language, "急いだ理由", "Why at once"), urgency));
    }
    if let Some(redress) = &content.redress {
        let label = pick(language, "見直し後もご不満のとき", "If you still disagree");
        page.paragraph(&fact(label, mask::shown(redress)));
    }
}

/// How to know that this letter is genuine, and its number once more.
pub fn foot(page: &mut Page, content: &LetterContent) {
    let language = content.language;
    page.blank();
    let closed = content.restrictions.iter().any(|limit| limit.measure.closes());
    let (ja, en) = match (&content.portal, closed) {
        (Some(portal), _) => {
            let portal = mask::shown(portal);
            (
                format!("いつものパネルかブックマークの{portal}で同じ番号が見られます。"),
                format!(" Your usual panel or your bookmark of {portal} shows the same number."),
            )
        }
        (None, true) => (
            format!("止めているサイトを開くと、同じ番号が表示されます。{}", DOUBT.ja),
            format!(" The page shown in place of your site has the same number. {}", DOUBT.en),
        ),
        (None, false) => (DOUBT.ja.to_owned(), format!(" {}", DOUBT.en)),
    };
    page.heading_text(&pick(
        language,
        format!("本物の見分け方: パスワードはお尋ねしません。{ja}"),
        format!("Is it genuine? We never ask for a password.{en}"),
    ));
    if content.address_on_account {
        page.say(
            "※制限中のアカウントの宛先です。別の宛先もご登録ください。",
            "* This address is on the restricted account. Please add another.",
        );
    }
    let clock = clock(content);
    let next = match content.next_check {
        NextCheck::OnReply => pick(language, "ご返信後", "on your reply").to_owned(),
        NextCheck::At(at) => clock.fence(at),
        NextCheck::Daily => pick(language, "毎日", "every day").to_owned(),
        NextCheck::None => pick(language, "ありません", "none").to_owned(),
    };
    let notice = pick(language, "お知らせ", "notice");
    page.fence(&[
        format!("{} {notice} {}, {}", content.number, content.ordinal, clock.fence(content.sent)),
        fact(pick(language, "次の点検", "next check"), next),
    ]);
}

/// How many a list leaves out.
pub fn more(page: &mut Page, all: usize) {
    if let Some(rest) = all.checked_sub(LIST_MAX).filter(|rest| *rest > 0) {
        page.say(&format!("ほかに{rest}件ございます。"), &format!("There are {rest} more."));
    }
}
