//! Why a mechanism counts as a finding, for its owner: one sentence a kind, in Japanese and in English.
//!
//! The sentences say what was seen, never who did it, and nothing that a single signal does not show. English
//! ones go on after "Why we say so: ", so that several can stand behind one another.

use model::Kind;

use super::{Phrase, phrase};

/// The reason of one kind. Japanese ends with a full stop, English without (the letter joins them).
pub fn reason(kind: Kind) -> Phrase {
    match kind {
        Kind::FakedName => {
            phrase("システムの名前を名乗る、別のプログラムでした。", "it is another program under a system name")
        }
        Kind::DeletedExe => phrase(
            "プログラムのファイルを消したまま、動き続けていました。",
            "it goes on running although its program file was removed",
        ),
        Kind::RunsFromUploads => phrase(
            "アップロード用か作業用のフォルダーから動いていました。",
            "it runs from a folder for uploads or temporary files",
        ),
        Kind::HiddenProgram => phrase(
            "隠しフォルダーから、システムに似た名前で動いていました。",
            "it runs from a hidden folder under a name like the system's",
        ),
        Kind::ScriptGone => phrase(
            "元のスクリプトが消えたあとも、動き続けていました。",
            "it goes on running although its script is gone",
        ),
        Kind::PipedDownload => phrase(
            "外部から取り寄せた命令を、保存せずにそのまま実行していました。",
            "it runs commands straight from a download, without saving them",
        ),
        Kind::MinerArguments => phrase(
            "仮想通貨の採掘用の設定で起動されていました。",
            "it was started with settings for mining digital coins",
        ),
        Kind::PoolConnection => phrase(
            "仮想通貨の採掘サービスに接続していました。",
            "it is connected to a service for mining digital coins",
        ),
        Kind::ManyMailConnections => phrase(
            "多数のメールサーバーへ、直接接続していました。",
            "it connects directly to the mail servers of many others",
        ),
        Kind::PortScan => phrase(
            "多数のサーバーの同じ窓口(ポート)を、次々に試していました。",
            "it tries the same port on many servers, one after another",
        ),
        Kind::Listening => phrase(
            "外部からの接続を待ち受ける、見慣れないプログラムでした。",
            "it is an unfamiliar program that waits for connections from outside",
        ),
        Kind::Orphaned => phrase(
            "起動した元のプログラムが終わったあとも、残って動いていました。",
            "it stayed behind after the program that started it had ended",
        ),
        Kind::RestartLoop => phrase(
            "終了しても数秒で起動し直すことを繰り返していました。",
            "it ends and is back within seconds, again and again",
        ),
        Kind::Guard => phrase(
            "別のプログラムを見張り、止まると起動し直していました。",
            "it watches another program and starts it again",
        ),
        Kind::LoadAboveBaseline => phrase(
            "このアカウントの普段の量と、公平な割り当てを超えていました。",
            "the use is above what is usual for this account and above its fair share",
        ),
        Kind::TrafficPeak => phrase(
            "サイトへのアクセスが増えた時間と重なっていました。",
            "the load came together with more visits to the sites",
        ),
        Kind::HeavyJob => phrase(
            "バックアップや画像処理など、通常の重い処理によるものでした。",
            "the load comes from a normal heavy job, such as a backup or image work",
        ),
        Kind::MassMail => phrase(
            "プログラムから、多数の宛先へ短い間に送られていました。",
            "a program sent to many addresses within a short time",
        ),
        Kind::MailAboveHardRate => phrase(
            "1時間に送信できる上限を超えていました。",
            "more was sent than the hourly limit of this server allows",
        ),
        Kind::StolenMailbox => phrase(
            "メールボックスのパスワードを使い、多数のネットワークから、または迷惑メールと判定される内容で、大量に送られていました。",
            "the password of the mailbox was used to send in bulk, from many networks or mail that was refused",
        ),
        Kind::FormAbuse => phrase(
            "フォームの控えが、見知らぬ多数の宛先へ送られていました。",
            "a form sent copies to many strangers whose addresses its visitors typed",
        ),
        Kind::BounceLoop => phrase(
            "2つのアドレスが、互いに自動で返信し続けていました。",
            "two addresses answer one another automatically, without end",
        ),
        Kind::NoticeFlood => phrase(
            "サイトのプログラムが、同じ宛先へ通知を送り続けていました。",
            "a program of the site keeps sending notices to one and the same address",
        ),
        Kind::UploadChain => phrase(
            "アップロードの窓口への送信のあと、新しいプログラムが応答し、操作されていました。",
            "after a request to an upload address a new script answered, and others have driven it since",
        ),
        Kind::DrivenScript => phrase(
            "1つのファイルが、符号化された命令で直接呼ばれ続けていました。",
            "one file was called directly, again and again, with encoded orders",
        ),
        Kind::UploadedPlugin => phrase(
            "管理者のログイン直後にプラグインが追加され、別の場所から操作されていました。",
            "a plugin was added right after an administrator signed in, and other places have driven it since",
        ),
        Kind::UploadsScript => phrase(
            "アップロード用のフォルダーで、プログラムが応答していました。",
            "a script answers in a folder that is meant for uploads",
        ),
        Kind::GuessedSiteLogin => phrase(
            "パスワードの試行が続いたあと、ログインに成功していました。",
            "after many wrong passwords one login to the site succeeded",
        ),
        Kind::SiteGuessing => phrase(
            "サイトのパスワードが、繰り返し試されていました(成功は見つかっていません)。",
            "passwords of the site were tried again and again, none of them successfully",
        ),
        Kind::Probing => phrase(
            "存在しないファイルが、次々に探されていました。",
            "strangers asked for one file after another that is not there",
        ),
        Kind::Crawling => {
            phrase("少数の接続元から、多数のアクセスが続いていました。", "few sources sent a great many requests")
        }
        Kind::CronDownload => phrase(
            "定期実行の行が、外部から取り寄せた命令をそのまま実行していました。",
            "a scheduled line runs what it downloads",
        ),
        Kind::CronDecode => phrase(
            "定期実行の行が、読めない形の命令を元に戻して実行していました。",
            "a scheduled line decodes what it then runs",
        ),
        Kind::CronFromUploads => phrase(
            "定期実行の行が、アップロード用か作業用か隠しフォルダーのファイルを実行していました。",
            "a scheduled line runs a file from a folder for uploads, for temporary files, or a hidden one",
        ),
        Kind::CronReinstalls => phrase(
            "定期実行の行が、消したファイルを元に戻していました。",
            "a scheduled line puts back files that were removed",
        ),
        Kind::CronBeacon => phrase(
            "定期実行の行が、名前のない外部のサーバーを定期的に呼び出していました。",
            "a scheduled line regularly calls an outside server that has no name",
        ),
        Kind::GuessedLogin => phrase(
            "パスワードの試行が続いたあと、同じ接続元からログインに成功していました。",
            "after many wrong passwords the same source logged in",
        ),
        Kind::RewritingLogin => phrase(
            "ログインした相手が、ファイルを取り出し、書き換えて戻していました。",
            "whoever logged in fetched files and put them back changed",
        ),
        Kind::NewPlace => phrase(
            "このアカウントで初めての場所から、ログインがありました。",
            "there was a login from a place where this account never was before",
        ),
        Kind::LoginGuessing => phrase(
            "名前とパスワードが、繰り返し試されていました(成功は見つかっていません)。",
            "names and passwords were tried again and again, none of them successfully",
        ),
    }
}

/// What a verdict about load rests on (see `FactKey::Grounds`); none where the reason of its kind says it already.
pub fn ground(word: &str) -> Option<Phrase> {
    Some(match word {
        "foreign_program" => phrase(
            "負荷の大半は、不審なプログラムによるものでした。",
            "most of it was used by a program that we suspect",
        ),
        "crawler" => phrase(
            "検索エンジンなどの自動巡回が集中していました。",
            "robots such as crawlers asked for many pages at that time",
        ),
        "slow_script" => phrase(
            "時間のかかったアクセスの大半が、同じ箇所で時間を使っていました。",
            "most of the slow requests spent their time in the same place",
        ),
        "scheduled_by_site" => phrase(
            "サイト自身の予約処理(wp-cronなど)が動いていました。",
            "the site's own scheduled work (such as wp-cron) was running",
        ),
        "cron" => phrase("定期実行(cron)の処理が動いていました。", "scheduled lines (cron) were at work at that time"),
        "session" => {
            phrase("ログインした方の操作で始まった処理でした。", "it was started by someone who had logged in")
        }
        "memory" => phrase("メモリの使用量が普段を超えていました。", "the memory in use was above what is usual"),
        "io" => {
            phrase("ディスクの読み書きが普段を超えていました。", "reading and writing of files was above what is usual")
        }
        _ => return None,
    })
}

/// Said of load for which no cause was seen.
pub const NO_CAUSE: Phrase = phrase("原因となる処理は、特定できませんでした。", "we did not see what caused it");
