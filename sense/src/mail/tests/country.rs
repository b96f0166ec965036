//! Where the recipients of `.com` are, by the server that took the mail; smarthosts, houses and filters tell nothing.

use std::sync::Arc;

use super::exim::Exim;
use super::*;
use crate::country::Countries;
use crate::country::tests::{BUILT, Record, mmdb};
use crate::mail::relay::Via;

/// 192.0.2.0/24 is at home, 198.51.100.0/24 in France, 203.0.113.0/24 in Brazil.
fn countries() -> Arc<Countries> {
    let ranges = [
        ("192.0.2.0/24", Record::Country("JP")),
        ("198.51.100.0/24", Record::Country("FR")),
        ("203.0.113.0/24", Record::Plain("BR")),
    ];
    Arc::new(Countries::of(mmdb(BUILT, &ranges)).unwrap())
}

fn with_countries() -> Watch {
    let mut watch = watch();
    watch.set_countries(Some(countries()));
    watch
}

/// Mails of `uid`, two seconds apart: `each` gives recipient and relay of the nth.
fn log(count: i64, uid: u32, each: impl Fn(i64) -> (String, String)) -> Log {
    let mut log = Log::default();
    for n in 0..count {
        let (to, relay) = each(n);
        let id = log.mail(TEN + 2 * n, uid, "botan", &[]);
        let text = format!("{id}: to=<{to}>, relay={relay}, delay=1, dsn=2.0.0, status=sent (250 ok)");
        log.line(TEN + 2 * n + 1, "smtp", &text);
    }
    log
}

/// Abroad, domestic, unknown, and the date of the database, of the only finding or of the sums.
fn shares(watch: &mut Watch, log: &[u8]) -> String {
    let now = Moment::from_secs(TEN + 86_400);
    let findings = watch.inspect(log, now).unwrap().findings;
    let Some(found) = findings.first() else { return "nothing".to_owned() };
    let [abroad, domestic, unknown] =
        [FactKey::AbroadPercent, FactKey::DomesticPercent, FactKey::UnknownPercent].map(|key| number(found, key));
    let of = found.evidence.get(FactKey::CountriesOf).map(|date| format!(" of {date}")).unwrap_or_default();
    format!("{:?} {abroad}/{domestic}/{unknown}{of}", found.signal.strength)
}

/// Each domain has its own server; every tenth is at home.
fn own_server(n: i64) -> (String, String) {
    let network = if n % 10 == 0 { "192.0.2" } else { ["198.51.100", "203.0.113"][n as usize % 2] };
    (format!("u{n}@d{n}.com"), format!("mx.d{n}.com[{network}.{}]:25", n % 250))
}

#[test]
fn servers_of_their_own_tell_and_the_date_of_the_database_is_said() {
    let log = log(150, 3001, own_server);
    assert_eq!(shares(&mut with_countries(), log.text.as_bytes()), "Conclusive 90/10/0 of 2026-06-01");
    // Without a database nothing is said of it.
    assert_eq!(shares(&mut watch(), log.text.as_bytes()), "nothing");
}

/// What a reader does that takes the country of whatever server is named.
fn naive(log: &Log) -> (u32, u32) {
    let countries = countries();
    let (mut abroad, mut all) = (0, 0);
    for relay in log.text.lines().filter_map(|line| line.split("relay=").nth(1)) {
        let server = Via::Postfix(relay.split(',').next().unwrap().as_bytes()).server();
        all += 1;
        abroad += u32::from(server.and_then(|s| countries.lookup(s.address)).is_some_and(|c| c != *b"jp"));
    }
    (abroad, all)
}

#[test]
fn what_goes_through_a_smarthost_is_unknown_where_a_naive_reader_calls_it_abroad() {
    // Spam all the same: a quarter of the addresses is dead, so that it is told and its shares are seen.
    type Relay = fn(i64) -> String;
    let table: [(&str, Relay); 6] = [
        ("one host", |_| "smtp.relay.example[198.51.100.5]:25".into()),
        ("a pool of addresses", |n| format!("smtp.relay.example[198.51.100.{}]:25", n % 200)),
        ("a pool of names and networks", |n| {
            format!("out{n}.relay.example[{}.{}]:25", ["198.51.100", "203.0.113"][n as usize % 2], n % 200)
        }),
        ("an address alone", |_| "198.51.100.5[198.51.100.5]:25".into()),
        ("four smarthosts", |n| format!("smtp.relay{}.example[198.51.100.5]:25", n % 4)),
        ("hosted by a house", |n| format!("alt{n}.aspmx.l.google.com[203.0.113.{}]:25", n % 200)),
    ];
    for (name, relay) in table {
        let mut log = log(150, 3001, |n| (format!("u{n}@d{n}.com"), relay(n)));
        log.text = refuse_each(4, &log.text);
        assert_eq!(naive(&log), (150, 150), "{name}: the twin");
        assert_eq!(shares(&mut with_countries(), log.text.as_bytes()), "Conclusive 0/0/100", "{name}");
    }
}

/// One of so many deliveries is refused.
fn refuse_each(each: usize, text: &str) -> String {
    let mut seen = 0;
    let line = |line: &str| {
        seen += usize::from(line.contains("status=sent"));
        let refused = line.contains("status=sent") && seen.is_multiple_of(each);
        let line = if refused {
            line.replace("dsn=2.0.0, status=sent (250 ok)", "dsn=5.1.1, status=bounced (no)")
        } else {
            line.into()
        };
        line + "\n"
    };
    text.lines().map(line).collect()
}

#[test]
fn a_few_companies_hosted_by_a_house_are_unknown_beside_servers_that_tell() {
    let log = |hosts: &str| {
        let mut log = log(160, 3001, |n| match n % 2 {
            0 => (format!("u{n}@firm{}.com", n % 6), format!("firm{}-com.{hosts}[203.0.113.{}]:25", n % 6, n % 200)),
            _ => (format!("u{n}@d{n}.com"), format!("mx.d{n}.com[192.0.2.{}]:25", n % 200)),
        });
        log.text = refuse_each(4, &log.text);
        log
    };
    let house = log("mail.protection.outlook.com");
    assert_eq!(shares(&mut with_countries(), house.text.as_bytes()), "Conclusive 0/50/50 of 2026-06-01");
    let imitation = log("mail.protection.outlook.com.example");
    assert_eq!(shares(&mut with_countries(), imitation.text.as_bytes()), "Conclusive 50/50/0 of 2026-06-01");
}

#[test]
fn names_that_say_a_country_are_believed_and_webmail_is_unknown_wherever_its_servers_are() {
    let to = |n: i64| match n % 5 {
        0 => format!("u{n}@d{n}.jp"),
        1 => format!("u{n}@gmail.com"),
        2 => format!("u{n}@d{n}.com"),
        _ => format!("u{n}@d{n}.de"),
    };
    let relay = |n: i64| format!("mx.d{n}.net[{}.{}]:25", if n % 5 == 0 { "203.0.113" } else { "198.51.100" }, n % 200);
    let log = log(200, 3001, |n| (to(n), relay(n)));
    assert_eq!(shares(&mut with_countries(), log.text.as_bytes()), "Conclusive 60/20/20 of 2026-06-01");
    assert_eq!(shares(&mut watch(), log.text.as_bytes()), "nothing");
}

#[test]
fn exim_names_recipients_first_and_servers_later() {
    let write = |host: &dyn Fn(i64) -> String| {
        let mut log = Exim::default();
        for n in 0..150 {
            let to = format!("u{n}@d{n}.com");
            let id = log.mail(TEN + 2 * n, "/home/botan/www", "botan", "x@elsewhere.test", &[(&to, "")]);
            log.line(TEN + 2 * n, &format!("{id} == {to} R=dnslookup T=remote_smtp defer (110): timed out"));
            log.line(TEN + 2 * n + 1, &format!("{id} => {to} R=dnslookup T=remote_smtp H={} C=\"250 ok\"", host(n)));
            log.line(TEN + 2 * n + 1, &format!("{id} Completed"));
        }
        log.text
    };
    let own = write(&|n| format!("mx.d{n}.com [203.0.113.{}] X=TLS1.3:X:256 CV=yes", n % 200));
    assert_eq!(shares(&mut with_countries(), &own), "Conclusive 100/0/0 of 2026-06-01");
    let smart = write(&|n| format!("smtp.relay.example [203.0.113.7]{}", if n % 3 > 0 { "*" } else { "" }));
    assert_eq!(shares(&mut with_countries(), &smart), shares(&mut watch(), &smart));
}

#[test]
fn a_filter_on_the_way_tells_nothing_and_the_server_behind_it_does() {
    let mut log = Log::default();
    for n in 0..150 {
        let at = TEN + 2 * n;
        let id = log.mail(at, 3001, "botan", &[]);
        let (to, relay) = own_server(n);
        log.line(
            at,
            "smtp",
            &format!("{id}: to=<{to}>, relay=127.0.0.1[127.0.0.1]:10024, dsn=2.0.0, status=sent (ok)"),
        );
        let new = log.id();
        log.line(
            at,
            "smtpd",
            &format!("{new}: client=localhost[127.0.0.1], orig_queue_id={id}, orig_client=x[127.0.0.1]"),
        );
        log.line(at, "qmgr", &format!("{id}: removed"));
        log.line(at + 1, "smtp", &format!("{new}: to=<{to}>, relay={relay}, dsn=2.0.0, status=sent (ok)"));
    }
    assert_eq!(shares(&mut with_countries(), log.text.as_bytes()), "Conclusive 90/10/0 of 2026-06-01");
}

#[test]
fn a_letter_of_the_owner_to_his_readers_stays_his() {
    // Readers at home with `.com` of their own, some of them with servers abroad.
    let mut log = log(150, 3001, |n| {
        let address = if n % 5 == 0 { "198.51.100" } else { "192.0.2" };
        (format!("u{n}@d{n}.com"), format!("mx.d{n}.com[{address}.{}]:25", n % 200))
    });
    log.text = log.text.replace("botan@web01.test", "news@botan.example.jp");
    assert_eq!(shares(&mut with_countries(), log.text.as_bytes()), "nothing");
}

#[test]
fn the_countries_of_a_stolen_mailbox_are_counted_and_change_no_verdict() {
    let mut log = Log::default();
    super::mailbox::burst(&mut log, 5, 40, &super::mailbox::FAR, &["sent"]);
    let found =
        |watch: &mut Watch| watch.inspect(log.text.as_bytes(), Moment::from_secs(TEN + 86_400)).unwrap().findings;
    let (with, without) = (found(&mut with_countries()), found(&mut watch()));
    assert_eq!(number(&with[0], FactKey::Countries), 3, "of six networks three are in the database");
    assert_eq!(with[0].evidence.get(FactKey::CountriesOf).unwrap().to_string(), "2026-06-01");
    assert_eq!(without[0].evidence.get(FactKey::Countries), None);
    assert_eq!(with[0].signal.strength, without[0].signal.strength);
}

/// The findings of one account, as text without what the clock gives.
fn of(findings: &[Finding], name: &str) -> Vec<String> {
    let own = findings.iter().filter(|f| f.signal.account.name.as_str() == name);
    own.map(|f| format!("{:?} {:?} {:?}", f.signal.kind, f.signal.strength, f.evidence.0)).collect()
}

#[test]
fn what_one_account_sends_and_to_whom_changes_nothing_of_another() {
    const SEED: u64 = 0x00c0_4417;
    let honest = log(120, 3002, own_server).text;
    let alone = with_countries().inspect(honest.as_bytes(), Moment::from_secs(TEN + 86_400)).unwrap().findings;
    assert_eq!(of(&alone, "fuji").len(), 1);
    let mut state = SEED;
    let mut draw = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    for round in 0..20 {
        let mut text = String::new();
        let mut serial = 0;
        for line in honest.lines() {
            for _ in 0..draw(4) {
                serial += 1;
                let (stamp, n) = (&line[..25], draw(150));
                let id = format!("5kZ3Dq{serial:06}zB1");
                let to = [
                    format!("a@d{n}.com"),
                    format!("\"x>, relay=mx.d{n}.com[192.0.2.1]:25, dsn=2.0.0, status=sent (ok)\"@y.com"),
                    format!("a>, relay=q[192.0.2.1]:25@d{n}.com"),
                    format!("4kZ3Dq{n:04}zB{n:04}: to=<a@b.com"),
                ];
                let relay = [
                    format!("mx.d{n}.com[192.0.2.{n}]:25"),
                    format!("mx.d{n}.com[127.0.0.1]:25"),
                    format!("aspmx.l.google.com.d{n}.com[203.0.113.{n}]:25"),
                    format!("mx.d{n}.com[198.51.100.1]:25, dsn=2.0.0, status=sent (x"),
                    "[]]]:::".to_owned(),
                ];
                let (to, relay) = (&to[draw(4) as usize], &relay[draw(5) as usize]);
                text.push_str(&format!("{stamp} web01 postfix/pickup[1]: {id}: uid=3001 from=<x@d{n}.com>\n"));
                text.push_str(&format!(
                    "{stamp} web01 postfix/smtp[1]: {id}: to=<{to}>, relay={relay}, dsn=2.0.0, status=sent (relay=mx.d{n}.com[192.0.2.1]:25)\n"
                ));
            }
            text.push_str(line);
            text.push('\n');
        }
        let both = with_countries().inspect(text.as_bytes(), Moment::from_secs(TEN + 86_400)).unwrap().findings;
        assert_eq!(of(&both, "fuji"), of(&alone, "fuji"), "seed {SEED:#x}, round {round}");
    }
}
