//! Why a URL fails, for `hikeshi why URL` and for answers to owners: the cause in one sentence with the next step.

use model::{Language, Number};

use crate::probe::Answer;
use crate::words::pick;

/// What is known about the files that the URL speaks of, seen by somebody who may look (not the desk).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ground {
    /// Nobody looked.
    #[default]
    Unknown,
    /// The web server may read them.
    Readable,
    /// The web server may not read the folder or the file.
    Unreadable,
}

/// Why a URL answers as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Our restriction of this incident.
    Ours(Number),
    /// A rule of the site or the web server says 403.
    Rule,
    /// The web server may not read the files.
    Permissions,
    /// The site's own program failed.
    Application(u16),
    /// There is no such page.
    NotFound,
    /// Another refusal of the site, such as a sign-in.
    Refusal(u16),
    /// Nobody listens.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The name has no address.
    NoName,
    /// Something answers, but not as a web server.
    Broken,
    /// It works.
    Works,
}

/// The cause of an answer. Permissions are named only when somebody saw them.
pub fn explain(answer: &Answer, ground: Ground) -> Cause {
    match answer {
        Answer::Page { status: 403 | 503, number: Some(number) } => Cause::Ours(*number),
        Answer::Page { status: 403, .. } if ground == Ground::Unreadable => Cause::Permissions,
        Answer::Page { status: 403, .. } => Cause::Rule,
        Answer::Page { status: 404 | 410, .. } => Cause::NotFound,
        Answer::Page { status: status @ 400..=499, .. } => Cause::Refusal(*status),
        Answer::Page { status: status @ 500..=599, .. } => Cause::Application(*status),
        Answer::Page { .. } => Cause::Works,
        Answer::Refused => Cause::Refused,
        Answer::TimedOut => Cause::TimedOut,
        Answer::NoName => Cause::NoName,
        Answer::Broken => Cause::Broken,
    }
}

impl Cause {
    /// The cause and the next step.
    pub fn sentence(self, language: Language) -> String {
        let (ja, en) = match self {
            Cause::Ours(number) => (
                format!("当社の制限({number})です。この番号のお知らせに、解除の手順があります。"),
                format!("It is our restriction ({number}). The notice of this number says what lifts it."),
            ),
            Cause::Rule => (
                "サイトかWebサーバーの設定が403を返しています。.htaccessなどのアクセス制限をご覧ください。".to_owned(),
                "A setting of the site or web server answers 403. Look at access rules such as .htaccess.".to_owned(),
            ),
            Cause::Permissions => (
                "Webサーバーがファイルを読めません。フォルダーとファイルの権限(755と644など)をご覧ください。"
                    .to_owned(),
                "The web server cannot read the files. Look at the permissions (such as 755 and 644).".to_owned(),
            ),
            Cause::Application(status) => (
                format!("サイトのプログラムがエラー({status})を返しています。エラーの記録と最近の更新をご覧ください。"),
                format!("The site's own program fails ({status}). Look at its error log and at recent updates."),
            ),
            Cause::NotFound => (
                "そのページがありません。URLとファイルの場所をご覧ください。".to_owned(),
                "There is no such page. Look at the URL and at where the file lies.".to_owned(),
            ),
            Cause::Refusal(status) => (
                format!("サイトが応答{status}で断っています。ログインやアクセス制限の設定をご覧ください。"),
                format!("The site refuses with {status}. Look at its sign-in and access settings."),
            ),
            Cause::Refused => (
                "Webサーバーが動いていません。担当者へご連絡ください。".to_owned(),
                "The web server is not running. Please tell our staff.".to_owned(),
            ),
            Cause::TimedOut => (
                "時間内に応答がありません。少し待っても同じときは、担当者へご連絡ください。".to_owned(),
                "There is no answer in time. If it stays so, please tell our staff.".to_owned(),
            ),
            Cause::NoName => (
                "ドメインの行き先が見つかりません。DNSの設定と、ドメインの期限をご覧ください。".to_owned(),
                "The domain leads nowhere. Look at its DNS settings and its expiry date.".to_owned(),
            ),
            Cause::Broken => (
                "Webサーバーの応答が正しくありません。担当者へご連絡ください。".to_owned(),
                "The web server's answer is broken. Please tell our staff.".to_owned(),
            ),
            Cause::Works => (
                "当社から見ると、正しく表示されています。別の回線かブラウザーでお試しください。".to_owned(),
                "Seen from us it works. Please try another connection or browser.".to_owned(),
            ),
        };
        pick(language, ja, en)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::Moment;

    use super::*;

    fn check(answer: Answer, ground: Ground, expected: Expect) {
        let cause = explain(&answer, ground);
        expected.assert_eq(&format!("{}\n{}\n", cause.sentence(Language::Ja), cause.sentence(Language::En)));
    }

    fn page(status: u16, number: Option<Number>) -> Answer {
        Answer::Page { status, number }
    }

    #[test]
    fn our_own_403_is_told_from_every_other_one() {
        let number = Number::new(Moment::from_secs(1_774_061_213), 0);
        check(
            page(403, Some(number)),
            Ground::Unreadable,
            expect![[r#"
            当社の制限(HK-20260321-6TSN)です。この番号のお知らせに、解除の手順があります。
            It is our restriction (HK-20260321-6TSN). The notice of this number says what lifts it.
        "#]],
        );
        check(
            page(403, None),
            Ground::Unknown,
            expect![[r#"
            サイトかWebサーバーの設定が403を返しています。.htaccessなどのアクセス制限をご覧ください。
            A setting of the site or web server answers 403. Look at access rules such as .htaccess.
        "#]],
        );
        check(
            page(403, None),
            Ground::Readable,
            expect![[r#"
            サイトかWebサーバーの設定が403を返しています。.htaccessなどのアクセス制限をご覧ください。
            A setting of the site or web server answers 403. Look at access rules such as .htaccess.
        "#]],
        );
        check(
            page(403, None),
            Ground::Unreadable,
            expect![[r#"
            Webサーバーがファイルを読めません。フォルダーとファイルの権限(755と644など)をご覧ください。
            The web server cannot read the files. Look at the permissions (such as 755 and 644).
        "#]],
        );
    }

    #[test]
    fn a_number_in_a_page_that_is_served_is_not_our_restriction() {
        let number = Number::new(Moment::from_secs(1_774_061_213), 0);
        assert_eq!(explain(&page(200, Some(number)), Ground::Unknown), Cause::Works);
    }

    #[test]
    fn every_other_cause_has_its_next_step() {
        check(
            page(500, None),
            Ground::Unknown,
            expect![[r#"
            サイトのプログラムがエラー(500)を返しています。エラーの記録と最近の更新をご覧ください。
            The site's own program fails (500). Look at its error log and at recent updates.
        "#]],
        );
        check(
            page(404, None),
            Ground::Unknown,
            expect![[r#"
            そのページがありません。URLとファイルの場所をご覧ください。
            There is no such page. Look at the URL and at where the file lies.
        "#]],
        );
        check(
            page(401, None),
            Ground::Unknown,
            expect![[r#"
            サイトが応答401で断っています。ログインやアクセス制限の設定をご覧ください。
            The site refuses with 401. Look at its sign-in and access settings.
        "#]],
        );
        check(
            Answer::Refused,
            Ground::Unknown,
            expect![[r#"
            Webサーバーが動いていません。担当者へご連絡ください。
            The web server is not running. Please tell our staff.
        "#]],
        );
        check(
            Answer::TimedOut,
            Ground::Unknown,
            expect![[r#"
            時間内に応答がありません。少し待っても同じときは、担当者へご連絡ください。
            There is no answer in time. If it stays so, please tell our staff.
        "#]],
        );
        check(
            Answer::NoName,
            Ground::Unknown,
            expect![[r#"
            ドメインの行き先が見つかりません。DNSの設定と、ドメインの期限をご覧ください。
            The domain leads nowhere. Look at its DNS settings and its expiry date.
        "#]],
        );
        check(
            Answer::Broken,
            Ground::Unknown,
            expect![[r#"
            Webサーバーの応答が正しくありません。担当者へご連絡ください。
            The web server's answer is broken. Please tell our staff.
        "#]],
        );
        check(
            page(301, None),
            Ground::Unknown,
            expect![[r#"
            当社から見ると、正しく表示されています。別の回線かブラウザーでお試しください。
            Seen from us it works. Please try another connection or browser.
        "#]],
        );
    }
}
