//! Whole logs, judged: look-alikes beside attacks, and what must never leak. Restarts have a file of their own.

use model::{FactKey, FactValue, Target};

use super::*;

mod country;
mod exim;
mod formats;
mod mailbox;
mod restart;

/// 7 March 2026, 10:00 in Tokyo.
const TEN: i64 = 1_772_845_200;

/// Writes a Postfix log.
#[derive(Default)]
struct Log {
    text: String,
    serial: u32,
}

impl Log {
    fn line(&mut self, at: i64, tag: &str, text: &str) {
        let stamp = Moment::from_secs(at + 9 * 3600).to_string().replace('Z', "+09:00");
        self.text.push_str(&format!("{stamp} web01 postfix/{tag}[900]: {text}\n"));
    }
    fn id(&mut self) -> String {
        self.serial += 1;
        format!("4kZ3Dq{:04}zB{:04}", self.serial, self.serial).replace(['a', 'e'], "b")
    }
    /// One message, `to` with the outcome of each; the id.
    fn mail(&mut self, at: i64, uid: u32, from: &str, to: &[(&str, &str)]) -> String {
        let id = self.id();
        self.line(at, "pickup", &format!("{id}: uid={uid} from=<{from}>"));
        let n = to.len();
        self.line(at, "qmgr", &format!("{id}: from=<{from}@web01.test>, size=3077, nrcpt={n} (queue active)"));
        for (to, status) in to {
            let text =
                format!("{id}: to=<{to}>, relay=mx[198.51.100.25]:25, delay=1, dsn=2.0.0, status={status} (said so)");
            self.line(at + 1, "smtp", &text);
        }
        if to.iter().all(|(_, status)| *status != "deferred") && n > 0 {
            self.line(at + 1, "qmgr", &format!("{id}: removed"));
        }
        id
    }
}

fn settings() -> Settings {
    Settings {
        key: [7; 32],
        country: Some(*b"jp"),
        zone: Zone::get("Asia/Tokyo").unwrap(),
        trust: Trust::Guarded,
        limits: Limits::default(),
    }
}

fn accounts() -> Vec<AccountEntry> {
    let account = |name: &str, uid| AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: vec![model::Site {
            domain: format!("www.{name}.example.jp").parse().unwrap(),
            aliases: Vec::new(),
            root: format!("/home/{name}/www"),
            gates: Vec::new(),
            probes: Vec::new(),
        }],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    };
    vec![account("botan", 3001), account("fuji", 3002)]
}

fn watch() -> Watch {
    let mut watch = Watch::new(settings(), Moment::from_secs(TEN - 7200));
    watch.set_accounts(&accounts());
    watch
}

fn inspect(log: &Log) -> Vec<Finding> {
    watch().inspect(log.text.as_bytes(), Moment::from_secs(TEN + 86_400)).unwrap().findings
}

/// What the sendmail mail of one account says.
fn one(watch: &Watch, uid: u32, now: Moment) -> Option<Finding> {
    watch.assess(Key::local(uid), now).into_iter().next()
}

fn number(finding: &Finding, key: FactKey) -> i64 {
    match finding.evidence.get(key) {
        Some(FactValue::Number(number)) => *number,
        other => panic!("{key:?}: {other:?}"),
    }
}

/// Account, kind and strength of what is found.
fn verdicts(log: &Log) -> Vec<String> {
    let one = |f: &Finding| format!("{} {:?} {:?}", f.signal.account, f.signal.kind, f.signal.strength);
    inspect(log).iter().map(one).collect()
}

#[test]
fn the_seed_is_conclusive_and_its_numbers_are_said() {
    let mut log = Log::default();
    for i in 0..1200 {
        let domain = if i % 25 == 24 { "example.jp" } else { ["example.ru", "example.de", "example.com.br"][i % 3] };
        log.mail(TEN + 3 * i as i64, 3001, "botan", &[(&format!("u{i}@mx.{domain}"), "sent")]);
    }
    let found = inspect(&log);
    assert_eq!(verdicts(&log), ["botan MassMail Conclusive"]);
    assert_eq!(number(&found[0], FactKey::AbroadPercent), 96);
    assert_eq!(number(&found[0], FactKey::DomesticPercent), 4);
    assert_eq!(number(&found[0], FactKey::MailsPerHour), 1200);
    assert_eq!(found[0].signal.since, Moment::from_secs(TEN));
}

#[test]
fn a_burst_by_a_page_is_conclusive_within_seconds_while_form_mails_of_a_neighbour_are_silent() {
    let (mut log, mut first) = (Log::default(), None);
    let mut watch = watch();
    for second in 0..12 {
        for i in 0..25 {
            let n = second * 25 + i;
            let domain = if n % 5 == 0 { "example.com".to_owned() } else { format!("mx{}.example.ru", n % 9) };
            let id = log.mail(TEN + second, 3001, "botan", &[]);
            log.line(
                TEN + second,
                "cleanup",
                &format!("{id}: info: header X-PHP-Originating-Script: 3001:index.php from local; from=<botan@web01>"),
            );
            log.line(
                TEN + second,
                "smtp",
                &format!("{id}: to=<u{n}@{domain}>, relay=h[127.0.0.1]:18026, delay=0.09, delays=0.06/0.02/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)"),
            );
        }
        log.mail(TEN + second, 3002, "fuji", &[("info@fuji.example.jp", "sent")]);
        for line in std::mem::take(&mut log.text).lines() {
            watch.reader.line(line.as_bytes(), Moment::from_secs(TEN + second + 1));
        }
        let news = watch.news(Moment::from_secs(TEN + second + 1));
        assert!(news.iter().all(|f| f.signal.account.uid == 3001));
        if news.iter().any(|f| f.signal.strength == Strength::Conclusive) {
            first = first.or(Some((second, news)));
        }
    }
    let (second, news) = first.expect("never conclusive");
    assert!(second <= 5, "{second} s");
    assert_eq!(news[0].evidence.get(FactKey::Script), Some(&FactValue::Text("index.php".to_owned())));
    let Target::LocalMail(queued) = &news[0].signal.target else { panic!("no mail target") };
    assert!(queued.len() >= 100 && queued.iter().all(model::QueueId::is_long));
    // It goes on: told again after a quarter of an hour, not every second.
    assert!(watch.news(Moment::from_secs(TEN + 60)).is_empty());
}

/// Cases as in the public ones, each with its verdict.
#[test]
fn attacks_are_told_from_what_only_looks_like_them() {
    type Write = fn(&mut Log);
    let cases: &[(&str, &[&str], Write)] = &[
        ("night burst, half of it refused", &["botan MassMail Conclusive"], |log| {
            for i in 0..26i64 {
                let status = if i % 2 == 0 { "sent" } else { "bounced" };
                log.mail(TEN - 8 * 3600 + 2 * i, 3001, "botan", &[(&format!("a{i}@r{}.example.com", i % 7), status)]);
            }
        }),
        ("forged senders of many domains", &["botan MassMail Conclusive"], |log| {
            for i in 0..30i64 {
                let from = format!("x{i}@brand{}.example", i % 6);
                log.mail(TEN + i, 3001, &from, &[(&format!("a{i}@example.net"), "sent")]);
            }
        }),
        ("few messages with many strangers each, mostly abroad", &["botan MassMail Conclusive"], |log| {
            for i in 0..6i64 {
                let to: Vec<String> = (0..60).map(|n| format!("a{i}x{n}@example.de")).collect();
                let to: Vec<_> = to.iter().map(|t| (t.as_str(), "sent")).collect();
                log.mail(TEN + i * 10, 3001, "botan", &to);
            }
        }),
        ("small burst abroad without bounces", &["botan MassMail Suspicious"], |log| {
            for i in 0..40i64 {
                log.mail(TEN + i * 3, 3001, "botan", &[(&format!("a{i}@example.it"), "sent")]);
            }
        }),
        ("form that sends each visitor a copy", &["fuji FormAbuse Suspicious"], |log| {
            for i in 0..20i64 {
                let visitor = format!("v{i}@example.org");
                log.mail(
                    TEN + i * 11,
                    3002,
                    "web@fuji.example.jp",
                    &[("office@fuji.example.jp", "sent"), (&visitor, "sent")],
                );
            }
        }),
        ("the same form, robots invent addresses", &["fuji FormAbuse Suspicious"], |log| {
            for i in 0..40i64 {
                let visitor = format!("v{i}@example.org");
                let status = if i % 2 == 0 { "bounced" } else { "sent" };
                log.mail(
                    TEN + i * 9,
                    3002,
                    "web@fuji.example.jp",
                    &[("office@fuji.example.jp", "sent"), (&visitor, status)],
                );
            }
        }),
        ("newsletter, seven in five minutes", &[], |log| {
            for i in 0..56i64 {
                let at = TEN + i / 7 * 300 + i % 7;
                log.mail(at, 3002, "news@fuji.example.jp", &[(&format!("member{i}@example.com"), "sent")]);
            }
        }),
        ("newsletter at full speed, own sender, few bounces", &[], |log| {
            for i in 0..1500i64 {
                let status = if i % 40 == 0 { "bounced" } else { "sent" };
                let domain = ["gmail.com", "docomo.ne.jp", "yahoo.co.jp", "example.com", "hotmail.fr"][i as usize % 5];
                log.mail(TEN + i, 3002, "news@fuji.example.jp", &[(&format!("member{i}@{domain}"), status)]);
            }
        }),
        ("newsletter with a return path for each reader", &[], |log| {
            for i in 0..400i64 {
                let from = format!("bounce+{i}@fuji.example.jp");
                log.mail(TEN + i, 3002, &from, &[(&format!("member{i}@example.com"), "sent")]);
            }
        }),
        ("newsletter whose dead addresses are refused first", &[], |log| {
            for i in 0..400i64 {
                log.mail(TEN + i / 4, 3002, "news@fuji.example.jp", &[]);
            }
            let text = std::mem::take(&mut log.text);
            for (i, line) in text.lines().enumerate() {
                log.text += &line.replace("nrcpt=0", "nrcpt=1");
                log.text += "\n";
                if i % 40 == 1 {
                    let id = line.split(": ").nth(1).unwrap();
                    let text =
                        format!("{id}: to=<m{i}@example.com>, relay=x[1.1.1.1]:25, dsn=5.1.1, status=bounced (no)");
                    log.line(TEN + i as i64 / 8, "smtp", &text);
                }
            }
        }),
        ("cron output every minute", &[], |log| {
            for i in 0..180i64 {
                log.mail(TEN + i * 60, 3002, "fuji", &[("fuji@web01.test", "sent")]);
            }
        }),
        ("ticket system and bounces answer each other", &["botan BounceLoop Suspicious"], |log| {
            for i in 0..60i64 {
                log.mail(
                    TEN + i * 5,
                    3001,
                    "support@botan.example.jp",
                    &[("mailer-daemon@old.example.com", "bounced")],
                );
                let id = log.id();
                log.line(TEN + i * 5, "qmgr", &format!("{id}: from=<>, size=2900, nrcpt=1 (queue active)"));
            }
        }),
        ("backscatter that arrives", &[], |log| {
            for i in 0..300i64 {
                let id = log.id();
                log.line(TEN + i, "smtpd", &format!("{id}: client=mx{i}.example.net[198.51.100.30]"));
                log.line(TEN + i, "qmgr", &format!("{id}: from=<>, size=4100, nrcpt=1 (queue active)"));
                log.line(TEN + i, "lmtp", &format!("{id}: to=<info@fuji.example.jp>, relay=mail01[private/lmtp], dsn=2.0.0, status=sent (250 saved)"));
            }
        }),
        ("shop in a sale, two mails an order", &[], |log| {
            for i in 0..80i64 {
                log.mail(TEN + i * 37, 3002, "shop@fuji.example.jp", &[(&format!("buyer{i}@example.org"), "sent")]);
                log.mail(TEN + i * 37, 3002, "shop@fuji.example.jp", &[("office@fuji.example.jp", "sent")]);
            }
        }),
        ("notice of each missing page", &["botan NoticeFlood Suspicious"], |log| {
            for i in 0..900i64 {
                log.mail(TEN + i * 2, 3001, "wordpress@botan.example.jp", &[("owner@botan.example.jp", "sent")]);
            }
        }),
        ("one message to a list of 300", &[], |log| {
            let to: Vec<String> = (0..300).map(|n| format!("m{n}@example.de")).collect();
            let to: Vec<_> = to.iter().map(|t| (t.as_str(), "sent")).collect();
            log.mail(TEN, 3002, "club-bounces@lists.fuji.example.jp", &to);
        }),
        ("a list with three posts to the same members", &[], |log| {
            for i in 0..3i64 {
                let to: Vec<String> = (0..120).map(|n| format!("m{n}@example.com")).collect();
                let to: Vec<_> = to.iter().map(|t| (t.as_str(), "sent")).collect();
                log.mail(TEN + i * 30, 3002, "club-bounces@lists.fuji.example.jp", &to);
            }
        }),
        ("mass mail of a uid that is no account", &[], |log| {
            for i in 0..400i64 {
                log.mail(TEN + i, 48, "apache", &[(&format!("a{i}@example.ru"), "bounced")]);
            }
        }),
    ];
    for (name, expected, write) in cases {
        let mut log = Log::default();
        write(&mut log);
        assert_eq!(verdicts(&log), *expected, "{name}");
    }
}

#[test]
fn the_next_owner_of_a_uid_does_not_inherit_the_mail_of_the_last() {
    let mut log = Log::default();
    (0..130i64).for_each(|i| {
        log.mail(TEN + i, 3001, "botan", &[(&format!("a{i}@example.ru"), "deferred")]);
    });
    let mut watch = watch();
    let now = Moment::from_secs(TEN + 200);
    watch.inspect(log.text.as_bytes(), now).unwrap();
    assert!(one(&watch, 3001, now).is_some());
    let mut next = accounts();
    next[0].account.generation = 2;
    watch.set_accounts(&next);
    assert!(one(&watch, 3001, now).is_none() && watch.reader.queued(Key::local(3001), Moment::EPOCH, 9).is_empty());
}

#[test]
fn the_operators_hard_rate_is_its_own_kind() {
    let mut log = Log::default();
    for i in 0..150i64 {
        log.mail(TEN + i * 10, 3002, "news@fuji.example.jp", &[(&format!("m{i}@example.com"), "sent")]);
    }
    let mut watch = watch();
    watch.settings.limits.hard_per_hour = Some(100);
    let found = watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 9999)).unwrap().findings;
    assert_eq!((found[0].signal.kind, found[0].signal.strength), (Kind::MailAboveHardRate, Strength::Suspicious));
    assert_eq!(found.len(), 1);
}

#[test]
fn a_log_that_tenants_can_write_is_never_conclusive() {
    let mut log = Log::default();
    (0..300i64).for_each(|i| {
        log.mail(TEN + i, 3001, "botan", &[(&format!("a{i}@example.ru"), "bounced")]);
    });
    let mut watch = watch();
    watch.settings.trust = Trust::Forgeable;
    let found = watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 9999)).unwrap().findings;
    assert!(!found.is_empty() && found.iter().all(|f| f.signal.strength == Strength::Suspicious));
}

#[test]
fn what_is_usual_at_this_hour_is_not_conclusive() {
    let mut log = Log::default();
    (0..300i64).for_each(|i| {
        log.mail(TEN + i, 3001, "botan", &[(&format!("a{i}@example.ru"), "sent")]);
    });
    let mut watch = watch();
    for metric in ["mails_per_hour", "mails_per_hour.10"] {
        let account = "botan".parse().unwrap();
        watch.know(&Baseline { account, metric: metric.to_owned(), mean: 280.0, deviation: 30.0, samples: 200 });
    }
    let found = watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 9999)).unwrap().findings;
    assert_eq!(found[0].signal.strength, Strength::Suspicious);
    assert_eq!(number(&found[0], FactKey::Baseline), 280);
}

#[test]
fn the_same_trouble_has_the_same_fingerprint_another_script_has_another() {
    let print = |script: &str, start: i64| {
        let mut log = Log::default();
        for i in 0..30i64 {
            let id = log.mail(start + i, 3001, "botan", &[]);
            let text = format!("{id}: info: header X-PHP-Originating-Script: 3001:{script} from local; from=<x>");
            log.line(start + i, "cleanup", &text);
            log.line(
                start + i,
                "smtp",
                &format!("{id}: to=<a{i}@example.se>, relay=x[1.1.1.1]:25, dsn=5.1.1, status=bounced (no)"),
            );
        }
        inspect(&log)[0].signal.fingerprint
    };
    assert_eq!(print("a.php", TEN), print("a.php", TEN + 7000));
    assert_ne!(print("a.php", TEN), print("b.php", TEN));
}

#[test]
fn a_script_header_with_another_uid_is_forged_and_ignored() {
    let mut log = Log::default();
    for i in 0..30i64 {
        let id = log.mail(TEN + i, 3001, "botan", &[]);
        log.line(
            TEN + i,
            "cleanup",
            &format!("{id}: info: header X-PHP-Originating-Script: 3002:shop.php from local; from=<x>"),
        );
        log.line(
            TEN + i,
            "smtp",
            &format!("{id}: to=<a{i}@example.se>, relay=x[1.1.1.1]:25, dsn=5.1.1, status=bounced (no)"),
        );
    }
    let found = inspect(&log);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].signal.account.uid, found[0].evidence.get(FactKey::Script)), (3001, None));
}

#[test]
fn requeued_refused_and_reused_ids_count_once() {
    let mut log = Log::default();
    let old = log.mail(TEN, 3001, "botan", &[]);
    let new = log.id();
    log.line(TEN + 1, "postsuper", &format!("{old}: placed on hold"));
    log.line(TEN + 2, "pickup", &format!("{new}: uid=104 from=<botan@web01.test> orig_id={old}"));
    log.line(
        TEN + 3,
        "smtp",
        &format!("{new}: to=<a@example.se>, relay=x[1.1.1.1]:25, dsn=4.4.1, status=deferred (later)"),
    );
    log.line(
        TEN + 9,
        "smtp",
        &format!("{new}: to=<a@example.se>, relay=x[1.1.1.1]:25, dsn=4.4.1, status=deferred (later)"),
    );
    let refused = log.mail(TEN + 10, 3001, "botan", &[]);
    log.line(
        TEN + 10,
        "cleanup",
        &format!("{refused}: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 4.7.1;"),
    );
    let reused = log.mail(TEN + 11, 3001, "botan", &[]);
    log.line(TEN + 12, "smtpd", &format!("{reused}: client=x[1.2.3.4]"));
    log.line(
        TEN + 13,
        "smtp",
        &format!("{reused}: to=<b@example.se>, relay=x[1.1.1.1]:25, dsn=5.1.1, status=bounced (no)"),
    );
    let mut watch = watch();
    watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 99)).unwrap();
    let (hour, _, _) = watch.sums(3001, Moment::from_secs(TEN + 99)).unwrap();
    assert_eq!((hour.messages, hour.recipients, hour.deferred, hour.bounced, hour.abroad), (2, 1, 1, 0, 1));
    assert!(watch.sums(104, Moment::from_secs(TEN + 99)).is_none());
    assert_eq!(watch.reader.queued(Key::local(3001), Moment::EPOCH, 9).len(), 1);
}

#[test]
fn no_address_of_the_log_is_in_anything_that_leaves() {
    let mut log = Log::default();
    for i in 0..120i64 {
        let canary = format!("canary{i}@canary.example.ru");
        let id = log.mail(TEN + i, 3001, "canary@canary.example", &[(&canary, "bounced")]);
        let header =
            format!("{id}: info: header X-PHP-Originating-Script: 3001:canary@canary.php from local; from=<{canary}>");
        log.line(TEN + i, "cleanup", &header);
        log.line(TEN + i, "cleanup", &format!("{id}: info: header Subject: canary from local; from=<{canary}>"));
    }
    let found = inspect(&log);
    assert_eq!(found.len(), 1);
    let out = serde_json::to_string(&found[0].signal).unwrap() + &serde_json::to_string(&found[0].evidence).unwrap();
    assert!(!out.contains("canary") && !out.contains('@'), "{out}");
}

#[test]
fn hashes_of_two_processes_cannot_be_compared() {
    let spread = |key| {
        let mut log = Log::default();
        log.mail(TEN, 3001, "botan", &[("a@example.se", "sent")]);
        let mut watch = Watch::new(Settings { key, ..settings() }, Moment::from_secs(TEN));
        watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 9)).unwrap();
        format!("{:?}", watch.reader.windows[&Key::local(3001)])
    };
    assert_eq!(spread([1; 32]), spread([1; 32]));
    assert_ne!(spread([1; 32]), spread([2; 32]));
}

#[test]
fn lines_that_are_not_understood_are_counted() {
    let mut watch = watch();
    let log = b"no stamp\nMar  7 10:00:00 web01 postfix/pickup[1]: 4F001: uid=x from=<a>\nMar  7 10:00:00 web01 sshd[1]: hello\n\xff\xfe\n\n";
    watch.inspect(&log[..], Moment::from_secs(TEN + 99)).unwrap();
    let counts = watch.counts().0;
    assert_eq!((counts.lines, counts.dropped, counts.other), (5, 4, 1));
}

#[test]
fn an_hour_that_comes_twice_makes_no_burst_and_hides_none() {
    let zone = Zone::get("America/New_York").unwrap();
    // 2 November 2025, 00:30 in New York; the hour from 01:00 to 02:00 comes twice.
    let start = Moment::parse("2025-11-02T04:30:00Z").unwrap().secs();
    let write = |every: i64, count: i64, domain: &str| {
        let mut text = String::new();
        for i in 0..count {
            let at = Moment::from_secs(start + i * every);
            let local = zone.to_datetime(at.timestamp());
            let stamp =
                format!("Nov {:>2} {:02}:{:02}:{:02}", local.day(), local.hour(), local.minute(), local.second());
            let id = format!("4kZ3Dq{i:04}zB{i:04}");
            text += &format!("{stamp} web01 postfix/pickup[9]: {id}: uid=3002 from=<news@fuji.example.jp>\n");
            text += &format!(
                "{stamp} web01 postfix/smtp[9]: {id}: to=<m{i}@{domain}>, relay=x[1.1.1.1]:25, dsn=2.0.0, status=sent (ok)\n"
            );
        }
        let mut watch = Watch::new(Settings { zone: zone.clone(), ..settings() }, Moment::from_secs(start));
        watch.set_accounts(&accounts());
        watch.inspect(text.as_bytes(), Moment::from_secs(start + 30_000)).unwrap().findings.len()
    };
    // Thirteen in five minutes are no burst; both hours laid over one another would be.
    assert_eq!(write(23, 600, "example.de"), 0);
    assert_eq!(write(10, 1000, "example.de"), 1);
}

#[test]
fn no_bytes_make_the_reader_stumble() {
    const SEED: u64 = 0x5eed_0043;
    println!("seed {SEED:#x}");
    let mut dice = super::line::tests::Dice(SEED);
    let mut log = Log::default();
    let to: Vec<String> = (0..9).map(|n| format!("\"a>, {n}\"@example.de")).collect();
    let to: Vec<_> = to.iter().map(|t| (t.as_str(), "bounced")).collect();
    (0..20i64).for_each(|i| {
        log.mail(TEN + i, 3001, "botan", &to);
    });
    log.text += "Feb 29 23:59:60 web01 postfix/pickup[1]: 4F001: uid=3001 from=<a>\n";
    let whole = log.text.as_bytes();
    for _ in 0..300 {
        let mut bytes = whole.to_vec();
        for _ in 0..60 {
            let at = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => bytes[at] = dice.roll(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"9<>:=,\"\\ \0"[dice.roll(10)]),
                _ => bytes.truncate(at.max(whole.len() / 2)),
            }
        }
        let mut watch = watch();
        let now = Moment([TEN * 1_000_000, 0, i64::MAX, i64::MIN][dice.roll(4)]);
        watch.inspect(bytes.as_slice(), now).unwrap();
        watch.news(now);
        watch.sums(3001, now);
        let counts = watch.counts().0;
        assert!(counts.dropped + counts.other <= counts.lines, "seed {SEED:#x}");
    }
}
