//! Every term stands in the glossary with one meaning, and every value has its words in both languages.

use std::collections::HashMap;

use expect_test::expect;
use model::restriction::Wide;
use model::{Delivery, Kind};

use super::reason::reason;
use super::*;

const KINDS: [Kind; 19] = [
    Kind::FakedName,
    Kind::DeletedExe,
    Kind::RunsFromUploads,
    Kind::HiddenProgram,
    Kind::ScriptGone,
    Kind::PipedDownload,
    Kind::MinerArguments,
    Kind::PoolConnection,
    Kind::ManyMailConnections,
    Kind::PortScan,
    Kind::Listening,
    Kind::Orphaned,
    Kind::RestartLoop,
    Kind::Guard,
    Kind::LoadAboveBaseline,
    Kind::TrafficPeak,
    Kind::HeavyJob,
    Kind::MassMail,
    Kind::MailAboveHardRate,
];

/// The terms that mean one thing each; labels and sentences around them are not terms.
fn terms() -> Vec<Phrase> {
    let site: model::Domain = "blog.example.jp".parse().expect("a domain");
    let mut terms = Vec::new();
    terms.extend(
        [
            Measure::AskOwner,
            Measure::PageOperator,
            Measure::HoldMail { scope: model::MailScope::Local, queued: vec![] },
            Measure::FreezeProcess { processes: vec![] },
            Measure::CloseSite { site },
            Measure::CloseAccount { sites: vec![], wide: Wide::Ordered },
        ]
        .iter()
        .map(measure),
    );
    use IncidentState as I;
    terms.extend(
        [I::Open, I::Contained, I::Awaiting, I::Verifying, I::Releasing, I::Closed, I::Dismissed].map(incident_state),
    );
    terms.extend([SiteState::Open, SiteState::Closed, SiteState::OnlyYou].map(site_state));
    use SiteVerdict as V;
    terms.extend([V::Problem, V::Suspicious, V::NothingFound, V::NotChecked].map(site_verdict));
    let text = String::new;
    terms.extend(
        [
            Verdict::Clean { count: 1 },
            Verdict::Found { place: text() },
            Verdict::OnYourWord,
            Verdict::NotChecked { why: text() },
        ]
        .iter()
        .map(verdict),
    );
    use Certainty as C;
    terms.extend([C::Unknown, C::Possible, C::Likely, C::VeryLikely, C::Confirmed].map(certainty));
    terms.extend([Class::Process, Class::Load, Class::Mail, Class::Web, Class::Cron, Class::Login].map(class));
    terms.extend([Strength::Hint, Strength::Suspicious, Strength::Conclusive].map(strength));
    use Check as K;
    terms.extend(
        [
            K::Processes,
            K::CapturedGone,
            K::Mail,
            K::Cron,
            K::Requests,
            K::Logins,
            K::Load,
            K::Files,
            K::Passwords,
            K::Entry,
        ]
        .map(check),
    );
    terms.extend([Stage::Owner, Stage::Public, Stage::Mail].map(stage));
    terms.extend(
        [
            Delivery::Accepted { addresses: 1 },
            Delivery::Waiting { why: text() },
            Delivery::Undeliverable { why: text() },
        ]
        .iter()
        .map(delivery),
    );
    terms
}

/// Rows of the glossary: English, Japanese, meaning, where.
fn glossary() -> Vec<Vec<String>> {
    let text = include_str!("../../../GLOSSARY.md");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| English"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_term_of_a_letter_stands_in_the_glossary() {
    let rows = glossary();
    for term in terms() {
        let found = rows.iter().any(|row| row[0] == term.en && row[1] == term.ja);
        assert!(found, "GLOSSARY.md lacks | {} | {} |", term.en, term.ja);
    }
}

#[test]
fn every_row_of_the_glossary_has_one_meaning_and_a_place() {
    let mut seen: HashMap<(String, String), ()> = HashMap::new();
    for row in glossary() {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(row.iter().enumerate().all(|(at, cell)| at == 1 || !cell.is_empty()), "{row:?}");
        assert!(seen.insert((row[0].clone(), row[1].clone()), ()).is_none(), "twice: {row:?}");
    }
}

#[test]
fn only_the_highest_certainty_says_confirmed() {
    for level in [Certainty::Unknown, Certainty::Possible, Certainty::Likely, Certainty::VeryLikely] {
        let words = certainty(level);
        assert!(!words.ja.contains("確認") && !words.en.contains("confirmed"), "{level:?}");
    }
}

#[test]
fn reasons_are_short_and_never_say_who_did_it() {
    for kind in KINDS {
        let words = reason(kind);
        assert!(words.ja.chars().count() <= 60 && words.ja.ends_with('。'), "{kind:?}: {}", words.ja);
        assert!(words.en.split(' ').count() <= 20 && !words.en.ends_with('.'), "{kind:?}: {}", words.en);
        for word in ["ハッキング", "お客様", "hacked", "you "] {
            assert!(!words.ja.contains(word) && !words.en.contains(word), "{kind:?} says {word}");
        }
    }
}

#[test]
fn grounds_of_load_are_short_and_never_say_who_did_it() {
    let words = ["foreign_program", "crawler", "slow_script", "scheduled_by_site", "cron", "session", "memory", "io"];
    let all = words.map(|word| reason::ground(word).unwrap_or_else(|| panic!("{word}")));
    for words in all.into_iter().chain([reason::NO_CAUSE]) {
        assert!(words.ja.chars().count() <= 60 && words.ja.ends_with('。'), "{}", words.ja);
        assert!(words.en.split(' ').count() <= 20 && !words.en.ends_with('.'), "{}", words.en);
        for word in ["ハッキング", "お客様", "hacked", "you "] {
            assert!(!words.ja.contains(word) && !words.en.contains(word), "says {word}");
        }
    }
    assert!(reason::ground("requests").is_none(), "the reason of a traffic peak says it");
}

#[test]
fn every_kind_has_its_reason() {
    let table: String = KINDS.map(reason).iter().map(|words| format!("{}\n{}\n", words.ja, words.en)).collect();
    expect![[r#"
        システムの名前を名乗る、別のプログラムでした。
        it is another program under a system name
        プログラムのファイルを消したまま、動き続けていました。
        it goes on running although its program file was removed
        アップロード用か作業用のフォルダーから動いていました。
        it runs from a folder for uploads or temporary files
        隠しフォルダーから、システムに似た名前で動いていました。
        it runs from a hidden folder under a name like the system's
        元のスクリプトが消えたあとも、動き続けていました。
        it goes on running although its script is gone
        外部から取り寄せた命令を、保存せずにそのまま実行していました。
        it runs commands straight from a download, without saving them
        仮想通貨の採掘用の設定で起動されていました。
        it was started with settings for mining digital coins
        仮想通貨の採掘サービスに接続していました。
        it is connected to a service for mining digital coins
        多数のメールサーバーへ、直接接続していました。
        it connects directly to the mail servers of many others
        多数のサーバーの同じ窓口(ポート)を、次々に試していました。
        it tries the same port on many servers, one after another
        外部からの接続を待ち受ける、見慣れないプログラムでした。
        it is an unfamiliar program that waits for connections from outside
        起動した元のプログラムが終わったあとも、残って動いていました。
        it stayed behind after the program that started it had ended
        終了しても数秒で起動し直すことを繰り返していました。
        it ends and is back within seconds, again and again
        別のプログラムを見張り、止まると起動し直していました。
        it watches another program and starts it again
        このアカウントの普段の量と、公平な割り当てを超えていました。
        the use is above what is usual for this account and above its fair share
        サイトへのアクセスが増えた時間と重なっていました。
        the load came together with more visits to the sites
        バックアップや画像処理など、通常の重い処理によるものでした。
        the load comes from a normal heavy job, such as a backup or image work
        プログラムから、多数の宛先へ短い間に送られていました。
        a program sent to many addresses within a short time
        1時間に送信できる上限を超えていました。
        more was sent than the hourly limit of this server allows
    "#]]
    .assert_eq(&table);
}

#[test]
fn why_something_was_not_checked_is_always_said() {
    for key in ["no_scanner", "no_log", "no_rights", "no_baseline", "anything else"] {
        let words = not_checked_why(key);
        assert!(words.ja.ends_with("ため") && !words.en.is_empty(), "{key}");
    }
}
