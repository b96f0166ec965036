//! The words of people's language for the typed values of `model`: one phrase, one meaning, in two languages.
//!
//! Each function is a complete `match`, so that a new measure, kind or check does not compile without its words;
//! `GLOSSARY.md` holds every term, and a test holds it to that.

pub mod mask;
pub mod reason;
pub mod time;

use model::{Check, Class, Delivery, Language, Measure, Stage, Strength, Verdict};

/// The same thing said in Japanese and in English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// Japanese.
    pub ja: &'static str,
    /// English.
    pub en: &'static str,
}

impl Phrase {
    /// In this language.
    pub fn say(self, language: Language) -> &'static str {
        pick(language, self.ja, self.en)
    }
}

/// The first in Japanese, the second in English.
pub fn pick<T>(language: Language, ja: T, en: T) -> T {
    match language {
        Language::Ja => ja,
        Language::En => en,
    }
}

/// Shorter to read in the tables below.
const fn phrase(ja: &'static str, en: &'static str) -> Phrase {
    Phrase { ja, en }
}

/// An empty value: nothing is stopped, nothing is to do.
pub const NOTHING: Phrase = phrase("ありません", "nothing");

/// Where an incident stands, as its owner reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentState {
    /// Being looked into; nothing is stopped.
    Open,
    /// Restricted.
    Contained,
    /// The owner's turn.
    Awaiting,
    /// The machine checks.
    Verifying,
    /// Reopening in steps.
    Releasing,
    /// Over.
    Closed,
    /// It was our mistake.
    Dismissed,
}

/// What a visitor of a site gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteState {
    /// The site answers everybody.
    Open,
    /// Visitors get the 403 page.
    Closed,
    /// Only the owner's browser passes.
    OnlyYou,
}

/// What was found on a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteVerdict {
    /// Something conclusive.
    Problem,
    /// Something suspicious.
    Suspicious,
    /// Looked at, nothing found.
    NothingFound,
    /// Not looked at.
    NotChecked,
}

/// How sure we are; only the highest level may say "confirmed".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// We do not know.
    Unknown,
    /// Possible.
    Possible,
    /// Likely.
    Likely,
    /// Very likely.
    VeryLikely,
    /// Confirmed.
    Confirmed,
}

/// The state of an incident.
pub fn incident_state(state: IncidentState) -> Phrase {
    match state {
        IncidentState::Open => phrase("調査中", "open"),
        IncidentState::Contained => phrase("制限中", "restricted"),
        IncidentState::Awaiting => phrase("作業待ち", "your turn"),
        IncidentState::Verifying => phrase("点検中", "checking"),
        IncidentState::Releasing => phrase("段階的に解除中", "reopening"),
        IncidentState::Closed => phrase("終了", "closed"),
        IncidentState::Dismissed => phrase("当社の誤検知", "our false alarm"),
    }
}

/// The state of a site.
pub fn site_state(state: SiteState) -> Phrase {
    match state {
        SiteState::Open => phrase("公開中", "open"),
        SiteState::Closed => phrase("停止中", "closed to visitors"),
        SiteState::OnlyYou => phrase("ご自身だけ閲覧可", "only you can see it"),
    }
}

/// What was found on a site.
pub fn site_verdict(verdict: SiteVerdict) -> Phrase {
    match verdict {
        SiteVerdict::Problem => phrase("問題あり", "problem found"),
        SiteVerdict::Suspicious => phrase("疑いあり", "suspicious"),
        SiteVerdict::NothingFound => phrase("問題は見つからず", "nothing found"),
        SiteVerdict::NotChecked => phrase("未点検", "not checked"),
    }
}

/// What came out of one check, in one word.
pub fn verdict(verdict: &Verdict) -> Phrase {
    match verdict {
        Verdict::Clean { .. } => phrase("問題は見つからず", "nothing found"),
        Verdict::Found { .. } => phrase("まだあります", "still there"),
        Verdict::OnYourWord => phrase("ご連絡による", "on your word"),
        Verdict::NotChecked { .. } => phrase("未点検", "not checked"),
    }
}

/// The fixed phrase of a level of certainty (`{sure}` in the sentences).
pub fn certainty(level: Certainty) -> Phrase {
    match level {
        Certainty::Unknown => phrase("分かっておりません", "we do not know"),
        Certainty::Possible => phrase("可能性がございます", "it is possible that"),
        Certainty::Likely => phrase("可能性が高い状況です", "it is likely that"),
        Certainty::VeryLikely => phrase("可能性が非常に高い状況です", "it is very likely that"),
        Certainty::Confirmed => phrase("確認いたしました", "we confirmed that"),
    }
}

/// The name of a measure.
pub fn measure(measure: &Measure) -> Phrase {
    match measure {
        Measure::AskOwner => phrase("お尋ね", "question to you"),
        Measure::PageOperator => phrase("担当者へ連絡", "staff called"),
        Measure::ThrottleMail { .. } => phrase("送信の速度制限", "mail slowed"),
        Measure::ThrottleSource { .. } => phrase("接続元の制限", "one source slowed"),
        Measure::HoldMail { .. } => phrase("メール送信の保留", "outgoing mail held"),
        Measure::RefuseMail => phrase("メール送信の停止", "outgoing mail refused"),
        Measure::FreezeProcess { .. } => phrase("プログラムの停止", "program stopped"),
        Measure::DisableCronLine { .. } => phrase("定期実行1行の停止", "one scheduled line off"),
        Measure::BlockScript { .. } => phrase("URL1つの停止", "one address closed"),
        Measure::QuarantineFile { .. } => phrase("ファイルの隔離(削除せず)", "file set aside, not deleted"),
        Measure::EndSessions { .. } => phrase("全員のログアウト", "everyone signed out"),
        Measure::BlockLogin { .. } => phrase("ログインの停止", "login blocked"),
        Measure::BlockOutbound => phrase("外部への通信の停止", "outgoing connections blocked"),
        Measure::CloseSite { .. } => phrase("サイトの公開停止", "site closed to visitors"),
        Measure::CloseAccount { .. } => phrase("全サイトの公開停止", "all sites closed"),
    }
}

/// The name of a class of findings.
pub fn class(class: Class) -> Phrase {
    match class {
        Class::Process => phrase("プログラム", "program"),
        Class::Load => phrase("負荷の高まり", "high load"),
        Class::Mail => phrase("メール送信", "mail"),
        Class::Web => phrase("アクセス", "access"),
        Class::Cron => phrase("定期実行", "scheduled job"),
        Class::Login => phrase("ログイン", "login"),
    }
}

/// The adjective of a strength; "malicious" is for conclusive findings only.
pub fn strength(strength: Strength) -> Phrase {
    match strength {
        Strength::Hint => phrase("気になる", "unusual"),
        Strength::Suspicious => phrase("不審な", "suspicious"),
        Strength::Conclusive => phrase("不正な", "malicious"),
    }
}

/// What a verification looks at.
pub fn check(check: Check) -> Phrase {
    match check {
        Check::Processes => phrase("動いているプログラム", "running programs"),
        Check::CapturedGone => phrase("停止したプログラムのファイル", "files of the stopped programs"),
        Check::Mail => phrase("メール送信", "outgoing mail"),
        Check::Cron => phrase("定期実行(cron)", "scheduled jobs"),
        Check::Requests => phrase("サイトへのアクセス", "requests to the sites"),
        Check::Logins => phrase("ログイン", "logins"),
        Check::Load => phrase("負荷", "load"),
        Check::Files => phrase("サイトのファイル全体", "all files of the sites"),
        Check::Passwords => phrase("パスワードと鍵", "passwords and keys"),
        Check::Entry => phrase("侵入の入口", "way in"),
    }
}

/// What it means that a check still finds something.
pub fn still_there(check: Check) -> Phrase {
    match check {
        Check::Processes => phrase("まだ動いています", "still running"),
        Check::CapturedGone => phrase("ファイルが残っています", "the file is still there"),
        Check::Mail => phrase("大量の送信が続いています", "mass mail goes on"),
        Check::Cron => phrase("問題の行が残っています", "the line is still there"),
        Check::Requests => phrase("まだ操作されています", "it is still being driven"),
        Check::Logins => phrase("見慣れないログインがあります", "there was an unfamiliar login"),
        Check::Load => phrase("負荷が高いままです", "load is still high"),
        Check::Files => phrase("問題のファイルがあります", "a bad file is there"),
        Check::Passwords => phrase("変更前のままです", "not changed yet"),
        Check::Entry => phrase("まだ開いています", "still open"),
    }
}

/// Why something was not checked: the fixed keys of `model::Verdict::NotChecked`.
pub fn not_checked_why(key: &str) -> Phrase {
    match key {
        "no_scanner" => phrase("ファイルの検査機能がまだないため", "no file scanner yet"),
        "no_log" => phrase("記録がないため", "no records"),
        "no_rights" => phrase("読み取る権限がないため", "no permission to read"),
        "no_baseline" => phrase("比べる記録がまだないため", "nothing to compare with yet"),
        _ => phrase("点検できなかったため", "it could not be checked"),
    }
}

/// The steps of a release.
pub fn stage(stage: Stage) -> Phrase {
    match stage {
        Stage::Owner => phrase("ご自身だけ閲覧可", "only you can see it"),
        Stage::Public => phrase("公開", "public"),
        Stage::Mail => phrase("メール送信の再開", "outgoing mail reopened"),
    }
}

/// What became of a letter.
pub fn delivery(delivery: &Delivery) -> Phrase {
    match delivery {
        Delivery::Accepted { .. } => phrase("相手サーバーが受領(開封は不明)", "accepted, not known if read"),
        Delivery::Waiting { .. } => phrase("送信待ち", "waiting"),
        Delivery::Withdrawn => phrase("送信取りやめ", "not sent: no longer needed"),
        Delivery::Undeliverable { .. } => phrase("届いていません", "not delivered"),
    }
}

#[cfg(test)]
mod tests;
