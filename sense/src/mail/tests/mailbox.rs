//! Mail that mailboxes hand in with their password: stolen ones beside those of people who write a lot.

use super::*;

/// A message handed in by Postfix's submission from `client`; `to` with the outcome of each.
fn hand_in(log: &mut Log, at: i64, login: &str, client: &str, to: &[(&str, &str)], recipients: usize) -> String {
    let id = log.id();
    let text = format!("{id}: client=unknown[{client}], sasl_method=PLAIN, sasl_username={login}");
    log.line(at, "submission/smtpd", &text);
    log.line(at, "qmgr", &format!("{id}: from=<{login}>, size=5490, nrcpt={recipients} (queue active)"));
    for (to, outcome) in to {
        let (dsn, status) = match *outcome {
            "sent" => ("2.0.0", "sent (250 ok)".to_owned()),
            "later" => ("4.2.0", "deferred (451 later)".to_owned()),
            refusal => ("5.0.0", format!("bounced ({refusal})")),
        };
        let text = format!("{id}: to=<{to}>, relay=mx[198.51.100.26]:25, dsn={dsn}, status={status}");
        log.line(at + 1, "smtp", &text);
    }
    id
}

const SPAM: &str = "550 5.7.1 rejected as spam";
const UNKNOWN: &str = "550 5.1.1 user unknown";
pub const FAR: [&str; 6] =
    ["203.0.113.7", "198.51.100.14", "192.0.2.77", "2001:db8:aa::7", "100.64.3.9", "2001:db9::1"];
const INFO: &str = "info@fuji.example.jp";

pub fn burst(log: &mut Log, every: i64, count: i64, clients: &[&str], outcomes: &[&str]) {
    for i in 0..count {
        let to = format!("r{i}@example.org");
        let outcome = outcomes[i as usize % outcomes.len()];
        hand_in(log, TEN + i * every, INFO, clients[i as usize % clients.len()], &[(&to, outcome)], 1);
    }
}

#[test]
fn stolen_mailboxes_are_told_from_people_who_write_a_lot() {
    type Write = fn(&mut Log);
    let cases: &[(&str, &[&str], Write)] = &[
        ("six networks in two minutes, all of it refused as spam", &["fuji StolenMailbox Conclusive"], |log| {
            for i in 0..18i64 {
                hand_in(log, TEN + i * 5, INFO, FAR[i as usize % 6], &[(&format!("r{i}@example.org"), SPAM)], 20);
            }
        }),
        ("far networks, all of it accepted", &["fuji StolenMailbox Conclusive"], |log| {
            burst(log, 5, 40, &FAR, &["sent"])
        }),
        ("three networks, a third of it unknown", &["fuji StolenMailbox Conclusive"], |log| {
            burst(log, 5, 40, &FAR[..3], &[UNKNOWN, "sent", "sent"]);
        }),
        ("three networks, all of it accepted", &[], |log| burst(log, 5, 40, &FAR[..3], &["sent"])),
        ("one network, refused as spam", &["fuji StolenMailbox Conclusive"], |log| {
            burst(log, 3, 60, &FAR[..1], &["sent", SPAM, SPAM]);
        }),
        ("slow, from everywhere, to dead addresses", &["fuji StolenMailbox Conclusive"], |log| {
            for i in 0..70i64 {
                let client = format!("{}.{}.1.1", 11 + i % 12, i % 12);
                let outcome = if i % 3 == 0 { UNKNOWN } else { "sent" };
                hand_in(log, TEN + i * 45, INFO, &client, &[(&format!("r{i}@example.org"), outcome)], 1);
            }
        }),
        ("a program at one place, a third of it unknown", &["fuji StolenMailbox Suspicious"], |log| {
            burst(log, 2, 120, &FAR[..1], &[UNKNOWN, "sent", "sent"]);
        }),
        ("a pool of one mail house, all of it accepted", &["fuji StolenMailbox Hint"], |log| {
            burst(log, 5, 60, &["203.0.113.1", "203.0.112.1", "203.0.111.1", "203.0.110.1"], &["sent"]);
        }),
        ("a letter to a club by webmail", &[], |log| {
            let to: Vec<String> = (0..80).map(|n| format!("m{n}@example.com")).collect();
            let to: Vec<_> = to.iter().map(|t| (t.as_str(), if t.len() == 14 { UNKNOWN } else { "sent" })).collect();
            hand_in(log, TEN, INFO, "127.0.0.1", &to, 80);
        }),
        ("the same in four parts, from desk and phone", &[], |log| {
            for part in 0..4i64 {
                let to: Vec<String> = (0..25).map(|n| format!("m{part}x{n}@example.com")).collect();
                let to: Vec<_> = to.iter().map(|t| (t.as_str(), "sent")).collect();
                hand_in(log, TEN + part * 40, INFO, FAR[part as usize % 2], &to, 25);
            }
        }),
        ("somebody on a train, a new network every minute", &[], |log| {
            for i in 0..12i64 {
                hand_in(
                    log,
                    TEN + i * 60,
                    INFO,
                    FAR[i as usize % 6],
                    &[(&format!("c{}@example.com", i % 5), "sent")],
                    1,
                );
            }
        }),
        ("an office of ten that shares a mailbox", &[], |log| {
            for i in 0..120i64 {
                let client = format!("{}.{}.1.1", 11 + i % 10, i % 10);
                hand_in(log, TEN + i * 30, INFO, &client, &[(&format!("c{i}@example.com"), "sent")], 1);
            }
        }),
        ("the whole staff of twenty, again and again", &[], |log| {
            let to: Vec<String> = (0..20).map(|n| format!("s{n}@fuji.example.jp")).collect();
            let to: Vec<_> = to.iter().map(|t| (t.as_str(), "sent")).collect();
            (0..30).for_each(|i| drop(hand_in(log, TEN + i * 9, INFO, FAR[i as usize % 6], &to, 20)));
        }),
        ("a newsletter by a program at home, a few dead", &[], |log| {
            burst(
                log,
                2,
                200,
                &FAR[..1],
                &["sent", "sent", "sent", "sent", "sent", "sent", "sent", "sent", "sent", UNKNOWN],
            );
        }),
        ("guessing of passwords, nothing handed in", &[], |log| {
            for (i, client) in FAR.iter().cycle().take(300).enumerate() {
                let text =
                    format!("warning: unknown[{client}]: SASL LOGIN authentication failed: x, sasl_username={INFO}");
                log.line(TEN + i as i64, "smtpd", &text);
            }
        }),
        ("a mailbox of nobody here", &[], |log| {
            for i in 0..40i64 {
                hand_in(
                    log,
                    TEN + i,
                    "info@elsewhere.example",
                    FAR[i as usize % 6],
                    &[(&format!("r{i}@example.org"), SPAM)],
                    1,
                );
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
fn a_stolen_mailbox_is_stopped_alone_and_the_mail_of_scripts_is_not_in_it() {
    let mut log = Log::default();
    for i in 0..18i64 {
        log.mail(TEN + i * 5, 3002, "shop@fuji.example.jp", &[(&format!("b{i}@example.com"), "sent")]);
        hand_in(
            &mut log,
            TEN + i * 5,
            "Info@Fuji.example.jp",
            FAR[i as usize % 4],
            &[(&format!("r{i}@example.org"), SPAM)],
            20,
        );
    }
    let found = inspect(&log);
    assert_eq!(found.len(), 1);
    let f = &found[0];
    let Target::Mailbox(mailbox, queued) = &f.signal.target else { panic!("{:?}", f.signal.target) };
    assert_eq!((mailbox.as_str(), queued.len()), ("Info@Fuji.example.jp", 18));
    let numbers =
        [FactKey::Messages, FactKey::Recipients, FactKey::Bounced, FactKey::RefusedAsSpam].map(|k| number(f, k));
    assert_eq!(numbers, [18, 360, 18, 18]);
    let networks = "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8:aa::/48";
    assert_eq!(f.evidence.get(FactKey::Networks), Some(&FactValue::Text(networks.to_owned())));
    let out = serde_json::to_string(&f.evidence).unwrap();
    assert!(!out.contains("example.org") && !out.contains("203.0.113.7"), "{out}");
}

#[test]
fn exim_and_postfix_say_the_same_of_a_mailbox() {
    let mut log = super::exim::Exim::default();
    for i in 0..30i64 {
        let (id, client) = (log.id(), FAR[i as usize % 4]);
        let to = format!("r{i}@example.org");
        log.line(TEN + i * 5, &format!("{id} <= {INFO} H=(pc) [{client}]:999 P=esmtpsa X=TLS1.3:x:256 CV=no A=dovecot_login:{INFO} S=9 T=\"x\" for {to}"));
        log.line(TEN + i * 5, &format!("{id} ** {to} R=dnslookup T=remote_smtp: {SPAM}"));
    }
    let found = watch().inspect(log.text.as_slice(), Moment::from_secs(TEN + 9999)).unwrap().findings;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].signal.kind, found[0].signal.strength), (Kind::StolenMailbox, Strength::Conclusive));
    assert_eq!((number(&found[0], FactKey::Messages), number(&found[0], FactKey::RefusedAsSpam)), (30, 30));
}

#[test]
fn a_filter_on_the_node_does_not_hide_what_came_of_it() {
    let mut log = Log::default();
    for i in 0..30i64 {
        let to = format!("r{i}@example.org");
        let id = hand_in(&mut log, TEN + i * 5, INFO, FAR[i as usize % 4], &[(&to, "sent")], 1);
        let back = log.id();
        log.line(
            TEN + i * 5 + 1,
            "smtpd",
            &format!("{back}: client=localhost[127.0.0.1], orig_queue_id={id}, orig_client=h[203.0.113.7]"),
        );
        log.line(TEN + i * 5 + 1, "qmgr", &format!("{id}: removed"));
        log.line(
            TEN + i * 5 + 2,
            "smtp",
            &format!("{back}: to=<{to}>, relay=x[192.0.2.1]:25, dsn=5.7.1, status=bounced ({SPAM})"),
        );
    }
    let found = inspect(&log);
    assert_eq!((number(&found[0], FactKey::Messages), number(&found[0], FactKey::Recipients)), (30, 30));
    assert_eq!(number(&found[0], FactKey::Bounced), 30);
}

#[test]
fn mailboxes_without_end_stay_within_their_bound_and_take_nothing_from_a_neighbour() {
    let mut log = Log::default();
    hand_in(&mut log, TEN, INFO, FAR[0], &[("a@example.org", "sent")], 1);
    for i in 0..3000i64 {
        hand_in(&mut log, TEN + i / 50, &format!("m{i}@botan.example.jp"), FAR[0], &[], 1);
    }
    let mut watch = watch();
    watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 99)).unwrap();
    assert_eq!((watch.reader.parts(3001).len(), watch.reader.parts(3002).len()), (512, 1));
    assert!(watch.reader.windows.len() <= 514);
}
