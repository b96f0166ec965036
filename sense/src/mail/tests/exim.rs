//! Whole Exim logs: scripts by their folder, look-alikes beside attacks, and lines that blame a neighbour.

use super::*;

/// Writes an Exim main log, stamps in the node's zone.
#[derive(Default)]
pub struct Exim {
    pub text: Vec<u8>,
    serial: u32,
}

impl Exim {
    pub fn line(&mut self, at: i64, text: &str) {
        let stamp = Moment::from_secs(at + 9 * 3600).to_string();
        self.text.extend(format!("{} {} {text}\n", &stamp[..10], &stamp[11..19]).bytes());
    }
    pub fn id(&mut self) -> String {
        self.serial += 1;
        format!("1wA{:03}-{:06}-11", self.serial % 1000, self.serial)
    }
    /// A script in `folder` hands over one message; `to` with the outcome of each, empty when nothing is logged yet.
    pub fn mail(&mut self, at: i64, folder: &str, user: &str, from: &str, to: &[(&str, &str)]) -> String {
        if !folder.is_empty() {
            self.line(at, &format!("cwd={folder} 3 args: /usr/sbin/sendmail -t -i"));
        }
        let id = self.id();
        let all: Vec<&str> = to.iter().map(|(to, _)| *to).collect();
        self.line(at, &format!("{id} <= {from} U={user} P=local S=900 T=\"Hello\" for {}", all.join(" ")));
        for (to, outcome) in to {
            match *outcome {
                "" => {}
                "sent" => self.line(at + 1, &format!("{id} => {to} R=dnslookup T=remote_smtp H=mx [198.51.100.25]")),
                "deferred" => {
                    self.line(at + 1, &format!("{id} == {to} R=dnslookup T=remote_smtp defer (110): timed out"))
                }
                refusal => self.line(at + 1, &format!("{id} ** {to} R=dnslookup T=remote_smtp: {refusal}")),
            }
        }
        id
    }
}

const UNKNOWN: &str = "550 5.1.1 user unknown";
const SPAM: &str = "550 5.7.1 message looks like spam";
const LISTED: &str = "554 5.7.1 client blocked using bl.example, see spam policy";

fn found(log: &Exim) -> Vec<Finding> {
    watch().inspect(log.text.as_slice(), Moment::from_secs(TEN + 86_400)).unwrap().findings
}

fn text(finding: &Finding, key: FactKey) -> Option<String> {
    finding.evidence.get(key).map(ToString::to_string)
}

#[test]
fn attacks_are_told_from_what_only_looks_like_them() {
    type Write = fn(&mut Exim);
    let cases: &[(&str, &[&str], Write)] = &[
        ("a mailer in a folder, a quarter unknown", &["botan MassMail Conclusive /home/botan/www/files"], |log| {
            for i in 0..40i64 {
                let outcome = if i % 4 == 0 { UNKNOWN } else { "sent" };
                log.mail(
                    TEN + i,
                    "/home/botan/www/files",
                    "botan",
                    "botan@web01.test",
                    &[(&format!("a{i}@example.com"), outcome)],
                );
            }
        }),
        ("the same beside the shop's own mail", &["botan MassMail Conclusive /home/botan/www/files"], |log| {
            for i in 0..60i64 {
                let outcome = if i % 4 == 0 { UNKNOWN } else { "sent" };
                log.mail(
                    TEN + i,
                    "/home/botan/www/files",
                    "botan",
                    "botan@web01.test",
                    &[(&format!("a{i}@example.com"), outcome)],
                );
                for n in 0..4 {
                    let buyer = format!("b{i}x{n}@example.org");
                    log.mail(TEN + i, "/home/botan/www/shop", "botan", "shop@botan.example.jp", &[(&buyer, "sent")]);
                }
            }
        }),
        ("mailers in many folders, few from each", &["botan MassMail Conclusive "], |log| {
            for i in 0..40i64 {
                let outcome = if i % 3 == 0 { UNKNOWN } else { "sent" };
                let folder = format!("/home/botan/www/d{}", i % 20);
                log.mail(TEN + i, &folder, "botan", "botan@web01.test", &[(&format!("a{i}@example.com"), outcome)]);
            }
        }),
        ("few, but half of them dead", &["botan MassMail Conclusive /home/botan/www/files"], |log| {
            for i in 0..14i64 {
                let outcome = if i % 2 == 0 { UNKNOWN } else { "sent" };
                let to = format!("a{i}@example.com");
                log.mail(TEN + i * 9, "/home/botan/www/files", "botan", "botan@web01.test", &[(&to, outcome)]);
            }
        }),
        ("slow through the night, half of it dead", &["botan MassMail Conclusive "], |log| {
            for i in 0..90i64 {
                let outcome = if i % 2 == 0 { UNKNOWN } else { "sent" };
                log.mail(TEN + i * 100, "", "botan", "botan@web01.test", &[(&format!("a{i}@example.com"), outcome)]);
            }
        }),
        ("a few dead readers of a small letter", &[], |log| {
            for i in 0..14i64 {
                let outcome = if i % 5 == 0 { UNKNOWN } else { "sent" };
                let to = format!("a{i}@example.com");
                log.mail(TEN + i * 9, "/home/fuji/www", "fuji", "fuji@web01.test", &[(&to, outcome)]);
            }
        }),
        ("robots of two nodes that answer one another", &["fuji BounceLoop Suspicious "], |log| {
            for i in 0..14i64 {
                let answer = [("noreply@example.com", "sent")];
                log.mail(TEN + i * 60, "/home/fuji/www", "fuji", "help@fuji.example.jp", &answer);
                let id = log.id();
                let host = "H=mx.example.com [198.51.100.3]:25";
                let line = format!("{id} <= noreply@example.com {host} P=esmtps S=9 for help@fuji.example.jp");
                log.line(TEN + i * 60 + 9, &line);
                log.line(TEN + i * 60 + 9, &format!("{id} => help <help@fuji.example.jp> R=virtual T=pipe"));
                log.line(TEN + i * 60 + 9, &format!("{id} Completed"));
            }
        }),
        ("known addresses, taken for spam", &["botan MassMail Conclusive "], |log| {
            for i in 0..60i64 {
                let outcome = if i % 3 == 0 { SPAM } else { "sent" };
                log.mail(TEN + i, "", "botan", "news@botan.example.jp", &[(&format!("a{i}@example.com"), outcome)]);
            }
        }),
        ("most of it put off, no own sender", &["botan MassMail Suspicious "], |log| {
            for i in 0..60i64 {
                let outcome = if i % 3 == 0 { "sent" } else { "deferred" };
                log.mail(TEN + i, "", "botan", "botan@web01.test", &[(&format!("a{i}@example.com"), outcome)]);
            }
        }),
        ("form with a copy, nothing delivered yet", &["fuji FormAbuse Suspicious /home/fuji/www/ask"], |log| {
            for i in 0..20i64 {
                let visitor = format!("v{i}@example.org");
                let to = [("office@fuji.example.jp", ""), (visitor.as_str(), "")];
                log.mail(TEN + i * 11, "/home/fuji/www/ask", "fuji", "web@fuji.example.jp", &to);
            }
        }),
        ("form whose copies go out apart, robots invent addresses", &["fuji FormAbuse Suspicious "], |log| {
            for i in 0..30i64 {
                let outcome = if i % 4 == 0 { UNKNOWN } else { "sent" };
                log.mail(TEN + i * 8, "", "fuji", "web@fuji.example.jp", &[("office@fuji.example.jp", "sent")]);
                log.mail(TEN + i * 8, "", "fuji", "web@fuji.example.jp", &[(&format!("v{i}@example.org"), outcome)]);
            }
        }),
        ("notices to one owner", &["fuji NoticeFlood Suspicious /home/fuji/www"], |log| {
            for i in 0..40i64 {
                log.mail(
                    TEN + i * 3,
                    "/home/fuji/www",
                    "fuji",
                    "cms@fuji.example.jp",
                    &[("owner@example.com", "sent")],
                );
            }
        }),
        ("a newsletter while the node is on a block list", &[], |log| {
            for i in 0..300i64 {
                let outcome = if i % 2 == 0 { LISTED } else { "sent" };
                log.mail(
                    TEN + i,
                    "/home/fuji/www",
                    "fuji",
                    "news@fuji.example.jp",
                    &[(&format!("a{i}@example.com"), outcome)],
                );
            }
        }),
        ("a newsletter that is put off by greylisting", &[], |log| {
            for i in 0..200i64 {
                let to = format!("a{i}@example.com");
                log.mail(
                    TEN + i,
                    "/home/fuji/www",
                    "fuji",
                    "news@fuji.example.jp",
                    &[(&to, "deferred"), (&to, "sent")],
                );
            }
        }),
        ("a shop in a sale", &[], |log| {
            for i in 0..60i64 {
                log.mail(
                    TEN + i * 30,
                    "/home/fuji/www",
                    "fuji",
                    "shop@fuji.example.jp",
                    &[(&format!("b{i}@example.org"), "sent")],
                );
                log.mail(
                    TEN + i * 30,
                    "/home/fuji/www",
                    "fuji",
                    "shop@fuji.example.jp",
                    &[("office@fuji.example.jp", "sent")],
                );
            }
        }),
        ("cron of six lines each minute, to the account itself", &[], |log| {
            for i in 0..360i64 {
                log.mail(TEN + i / 6 * 60, "/home/fuji", "fuji", "fuji@web01.test", &[("fuji@web01.test", "sent")]);
            }
        }),
        ("password resets and new accounts, own domain", &[], |log| {
            for i in 0..80i64 {
                log.mail(
                    TEN + i * 20,
                    "/home/fuji/www",
                    "fuji",
                    "noreply@fuji.example.jp",
                    &[(&format!("u{i}@example.net"), "sent")],
                );
            }
        }),
        ("invoices at the end of the month", &[], |log| {
            for i in 0..150i64 {
                let outcome = if i % 50 == 7 { UNKNOWN } else { "sent" };
                log.mail(
                    TEN + i,
                    "/home/fuji/app",
                    "fuji",
                    "billing@fuji.example.jp",
                    &[(&format!("k{i}@example.co.jp"), outcome)],
                );
            }
        }),
        ("a monitor that writes to a dead address", &[], |log| {
            for i in 0..12i64 {
                log.mail(TEN + i * 60, "", "fuji", "alarm@fuji.example.jp", &[("gone@example.com", UNKNOWN)]);
            }
        }),
        ("mass mail of a login that is no account", &[], |log| {
            for i in 0..60i64 {
                log.mail(
                    TEN + i,
                    "/home/fuji/www",
                    "nobody",
                    "x@y.example",
                    &[(&format!("a{i}@example.com"), UNKNOWN)],
                );
            }
        }),
    ];
    for (name, expected, write) in cases {
        let mut log = Exim::default();
        write(&mut log);
        let one = |f: &Finding| {
            let folder = text(f, FactKey::ScriptDir).unwrap_or_default();
            format!("{} {:?} {:?} {folder}", f.signal.account, f.signal.kind, f.signal.strength)
        };
        assert_eq!(found(&log).iter().map(one).collect::<Vec<_>>(), *expected, "{name}");
    }
}

#[test]
fn the_numbers_of_a_folder_are_exact_and_its_site_is_named() {
    let mut log = Exim::default();
    for i in 0..26i64 {
        let outcome = ["sent", UNKNOWN, "deferred"][i as usize % 3];
        log.mail(
            TEN + i,
            "/home/botan/www/img",
            "botan",
            "botan@web01.test",
            &[(&format!("a{i}@example.com"), outcome)],
        );
        log.mail(TEN + i, "/home/botan/app", "botan", "botan@web01.test", &[("owner@botan.example.jp", "sent")]);
    }
    let found = found(&log);
    let f = found.iter().find(|f| f.signal.kind == Kind::MassMail).expect("mass mail");
    assert_eq!(
        [FactKey::Messages, FactKey::Recipients, FactKey::Bounced, FactKey::Deferred].map(|k| number(f, k)),
        [26, 26, 9, 8]
    );
    assert_eq!(text(f, FactKey::AttributedBy).as_deref(), Some("script"));
    assert_eq!(f.signal.site.as_ref().map(|s| s.as_str()), Some("www.botan.example.jp"));
    assert_eq!(f.signal.target, Target::LocalMail(Vec::new()));
}

#[test]
fn a_folder_with_newlines_in_its_name_accuses_nobody_beyond_suspicion() {
    let mut log = Exim::default();
    for i in 0..60i64 {
        // As Exim 4.96 writes it: the name of the folder is `x`, a line about a neighbour, `y`.
        log.line(TEN + i, "cwd=/home/botan/www/x");
        let id = log.id();
        log.line(TEN + i, &format!("{id} <= x@y.example U=fuji P=local S=9 for a{i}@example.com"));
        log.line(TEN + i, &format!("{id} ** a{i}@example.com R=dnslookup T=remote_smtp: {UNKNOWN}"));
        log.text.extend(b"y 3 args: /usr/sbin/sendmail -t -i\n");
    }
    let judged = |trust| {
        let mut watch = watch();
        watch.settings.trust = trust;
        let reading = watch.inspect(log.text.as_slice(), Moment::from_secs(TEN + 99)).unwrap();
        assert_eq!(reading.dropped, 120, "what is left of the real lines is counted");
        reading.findings.iter().map(|f| f.signal.strength).collect::<Vec<_>>()
    };
    assert_eq!(judged(Trust::Forgeable), [Strength::Suspicious]);
    assert_eq!(judged(Trust::Guarded), [Strength::Conclusive], "who says that the log is guarded must be right");
}

#[test]
fn a_quoted_recipient_with_spaces_is_one() {
    let mut log = Exim::default();
    let id = log.id();
    let line = format!(
        "{id} <= \"a U=botan P=local S=1\"@x.example U=fuji P=local S=351 T=\"a \\\"q\\\\\\\" s\\\\\" for a@b.example \"a for b\"@c.example"
    );
    log.line(TEN, &line);
    let mut watch = watch();
    let now = Moment::from_secs(TEN + 9);
    watch.inspect(log.text.as_slice(), now).unwrap();
    let (hour, ..) = watch.sums(3002, now).unwrap();
    assert_eq!((hour.messages, hour.recipients), (1, 2));
    assert!(watch.sums(3001, now).is_none());
}

#[test]
fn cpanel_says_for_whom_a_shared_user_sent() {
    let mut log = Exim::default();
    for i in 0..30i64 {
        let id = log.id();
        log.line(TEN + i, &format!("{id} <= x@y.example U=nobody P=local S=9 T=\"a\" for a{i}@example.com"));
        log.line(TEN + i, &format!("{id} Sender identification U=botan D=botan.example.jp S=x@y.example"));
        log.line(TEN + i, &format!("{id} ** a{i}@example.com R=dnslookup T=remote_smtp: {UNKNOWN}"));
        // A message that has an owner keeps it.
        let id = log.mail(TEN + i, "", "fuji", "fuji@fuji.example.jp", &[("a@example.com", "")]);
        log.line(TEN + i, &format!("{id} Sender identification U=botan D=botan.example.jp S=x@y.example"));
    }
    let mut watch = watch();
    let now = Moment::from_secs(TEN + 99);
    let found = watch.inspect(log.text.as_slice(), now).unwrap().findings;
    assert_eq!(found.iter().map(|f| f.signal.account.uid).collect::<Vec<_>>(), [3001, 3002]);
    assert_eq!((number(&found[0], FactKey::Messages), number(&found[0], FactKey::Bounced)), (30, 30));
    assert_eq!(found[1].signal.kind, Kind::NoticeFlood);
    assert_eq!(watch.sums(3002, now).unwrap().0.messages, 30);
}

#[test]
fn ping_pong_of_two_robots_is_a_loop_and_people_who_write_to_one_another_are_none() {
    let write = |every: i64, answers: bool| {
        let mut log = Log::default();
        for i in 0..20i64 {
            log.mail(TEN + i * every, 3001, "help@botan.example.jp", &[("noreply@example.com", "sent")]);
            let id = log.id();
            log.line(TEN + i * every + 5, "smtpd", &format!("{id}: client=mx.example.com[198.51.100.3]"));
            let from = if answers { "noreply@example.com" } else { "other@example.com" };
            log.line(TEN + i * every + 5, "qmgr", &format!("{id}: from=<{from}>, size=9, nrcpt=1 (queue active)"));
            let to = "to=<help@botan.example.jp>, relay=x, dsn=2.0.0, status=sent (ok)";
            log.line(TEN + i * every + 5, "pipe", &format!("{id}: {to}"));
        }
        verdicts(&log)
    };
    assert_eq!(write(40, true), ["botan BounceLoop Suspicious"]);
    assert!(write(40, false).is_empty(), "nobody answers");
    assert!(write(400, true).is_empty(), "a talk");
}

#[test]
fn a_loop_names_its_pair_and_nothing_else() {
    let mut log = Log::default();
    for i in 0..10i64 {
        log.mail(TEN + i * 40, 3001, "support@botan.example.jp", &[("mailer-daemon@old.example.com", "bounced")]);
    }
    let found = inspect(&log);
    let pair = ("support@botan.example.jp".to_owned(), "mailer-daemon@old.example.com".to_owned());
    assert_eq!(found[0].signal.target, Target::MailRate(model::MailRate::Pair(pair.0, pair.1)));
    assert_eq!((number(&found[0], FactKey::Messages), number(&found[0], FactKey::Bounced)), (10, 10));
}

#[test]
fn no_line_of_a_tenant_changes_the_verdict_about_a_neighbour() {
    const SEED: u64 = 0x5eed_0052;
    println!("seed {SEED:#x}");
    let mut dice = crate::mail::line::tests::Dice(SEED);
    let pieces = [
        " U=fuji",
        " P=local",
        " S=9",
        " A=login:info@fuji.example.jp",
        " [203.0.113.9]",
        "\"",
        "<",
        ">",
        " for ",
        ": ",
        "\0",
        " uid=3002 from=<x>",
        "postfix/pickup[1]: 4F0A1: uid=3002 from=<x>",
        "cwd=/home/fuji/www 3 args: ",
        " <= ",
        "@x.example",
        ", sasl_username=info@fuji.example.jp",
        " orig_id=4F0A1",
        "1wA001-000001-11",
        " ** ",
        "550 spam",
        "H=",
        "é",
        " T=\"",
        "mailer-daemon",
        "client=h[203.0.113.8]",
    ];
    // What tenants, clients and foreign servers choose, where each server writes it.
    let exim = [
        "ID <= \"Q\"@x.example U=botan P=local S=9 T=\"x\" for a@b.example",
        "ID <= a@b U=botan P=local S=9 id=R T=\"Q\" for a@b.example",
        "ID <= a@b U=botan P=local S=9 T=\"x\" for R",
        "ID <= a@b H=h.example (R) [203.0.113.1]:5 P=esmtp S=9 id=x",
        "ID <= a@b H=h.example [203.0.113.1]:5 U=R P=esmtp S=9 id=x",
        "ID ** a@b R=dnslookup T=remote_smtp: 550 R",
        "ID => R R=dnslookup T=remote_smtp H=mx [203.0.113.1]",
        "cwd=/home/botan/R 3 args: /usr/sbin/sendmail R",
    ];
    let postfix = [
        "pickup[1]: ID: uid=3001 from=<R>",
        "qmgr[1]: ID: from=<R>, size=1, nrcpt=1 (queue active)",
        "smtp[1]: ID: to=<R>, relay=x[192.0.2.1]:25, dsn=2.0.0, status=sent (R)",
        "smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 550; from=<R> to=<R>",
        "cleanup[1]: ID: info: header X-PHP-Originating-Script: R from local; from=<a>",
    ];
    let mut quiet = watch();
    let mut log = Exim::default();
    for i in 0..20_000i64 {
        let text = |dice: &mut crate::mail::line::tests::Dice| -> String {
            (0..1 + dice.roll(5)).map(|_| pieces[dice.roll(pieces.len())]).collect()
        };
        let (raw, inside) = (text(&mut dice), text(&mut dice));
        let inside = inside.replace('\\', "\\\\").replace('"', "\\\"");
        if dice.roll(2) == 0 {
            let id = log.id();
            let line = exim[dice.roll(exim.len())].replace("ID", &id).replace('Q', "\u{1}");
            let line = line.replace("R=", "\u{2}").replace('R', &raw).replace('\u{2}', "R=").replace('\u{1}', &inside);
            log.line(TEN + i / 20, &line);
        } else {
            let line = postfix[dice.roll(postfix.len())].replace("RCPT", "\u{3}").replace("PHP-Originating", "\u{4}");
            let line = line.replace("ID", &format!("4F{i:05}")).replace('R', &raw);
            let line = line.replace('\u{3}', "RCPT").replace('\u{4}', "PHP-Originating");
            let stamp = Moment::from_secs(TEN + i / 20).to_string().replace('Z', "+00:00");
            log.text.extend(format!("{stamp} web01 postfix/{line}\n").bytes());
        }
    }
    let now = Moment::from_secs(TEN + 4000);
    let reading = quiet.inspect(log.text.as_slice(), now).unwrap();
    let wrong: Vec<_> = reading.findings.iter().filter(|f| f.signal.account.uid != 3001).collect();
    assert!(wrong.is_empty(), "seed {SEED:#x}: {wrong:?}");
    assert!(quiet.sums(3002, now).is_none() && quiet.reader.parts(3002).is_empty(), "seed {SEED:#x}");
    assert!(quiet.sums(3001, now).is_some_and(|(hour, ..)| hour.messages > 1000), "the tenant's own mail is counted");
}
