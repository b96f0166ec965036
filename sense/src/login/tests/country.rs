//! Logins from a country that is new for an account, beside journeys, carriers, keys and agencies.

use std::sync::Arc;

use super::*;
use crate::country::Countries;
use crate::country::tests::{BUILT, Record, mmdb};

fn countries() -> Option<Arc<Countries>> {
    let ranges = [
        ("192.0.2.0/24", Record::Country("JP")),
        ("198.51.100.0/24", Record::Country("FR")),
        ("203.0.113.0/24", Record::Registered("BR")),
        ("2001:db8:a::/48", Record::Code("JP")),
        ("2001:db8:d::/48", Record::Country("DE")),
        ("2001:db8:e::/48", Record::Plain("VN")),
        ("2001:db8:f::/48", Record::Country("FR")),
    ];
    Some(Arc::new(Countries::of(mmdb(BUILT, &ranges)).unwrap()))
}

fn findings(log: &str) -> Vec<Finding> {
    let mut watch = Watch::new(settings());
    watch.set_countries(countries(), Some(*b"JP"));
    log.lines().for_each(|line| watch.line(line.as_bytes(), now()));
    watch.news(now()).findings
}

fn says(log: &str) -> String {
    let one = |f: &Finding| {
        let country = f.evidence.get(FactKey::Country).map(ToString::to_string).unwrap_or_default();
        format!("{} {:?} {:?} {country}", f.signal.account, f.signal.kind, f.signal.strength).to_lowercase()
    };
    findings(log).iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A line of sshd at this minute of 7 March, 08:00 and later.
fn ssh(minute: u32, how: &str, user: &str, from: &str) -> String {
    let key = if how == "publickey" { ": ED25519 SHA256:K" } else { "" };
    let (hour, minute) = (8 + minute / 60, minute % 60);
    format!("Mar  7 {hour:02}:{minute:02}:00 web01 sshd[7]: Accepted {how} for {user} from {from} port 4 ssh2{key}\n")
}

/// A line of vsftpd at this hour.
fn ftp(hour: u32, from: &str, what: &str) -> String {
    let file = if what == "LOGIN" { "" } else { ", \"/home/aoi/a\", 9 bytes, 1Kbyte/sec" };
    format!("Sat Mar  7 {hour:02}:10:00 2026 [pid 8] [aoi] OK {what}: Client \"{from}\"{file}\n")
}

fn home(user: &str) -> String {
    (0..3).map(|n| ssh(n, "password", user, "192.0.2.7")).collect()
}

#[test]
fn a_new_country_is_a_hint_with_its_name_and_the_date_of_the_database() {
    let log = home("aoi") + &ssh(60, "password", "aoi", "198.51.100.9");
    assert_eq!(says(&log), "aoi newplace hint fr");
    let found = findings(&log);
    assert_eq!(found[0].evidence.get(FactKey::CountriesOf).unwrap().to_string(), "2026-06-01");
    let mut blind = Watch::new(settings());
    log.lines().for_each(|line| blind.line(line.as_bytes(), now()));
    assert!(blind.news(now()).findings.is_empty(), "without a database");
}

#[test]
fn what_owners_do_abroad_is_nothing() {
    let abroad = |how| ssh(60, how, "aoi", "198.51.100.9");
    let cases = [
        ("a key", home("aoi") + &abroad("publickey")),
        ("an account without habits", ssh(0, "password", "aoi", "192.0.2.7") + &abroad("password")),
        ("it always came from there", abroad("password").repeat(9)),
        (
            "a country seen before, another carrier in it",
            ssh(0, "password", "aoi", "198.51.100.9") + &home("aoi") + &ssh(60, "password", "aoi", "2001:db8:f::1"),
        ),
        ("an address that no list knows", home("aoi") + &ssh(60, "password", "aoi", "203.0.114.1")),
        (
            "an agency that looks after several",
            home("aoi") + &home("fuji") + &abroad("password") + &ssh(61, "password", "fuji", "198.51.100.9"),
        ),
        ("a stranger who only fails", home("aoi") + &abroad("password").replace("Accepted", "Failed")),
        (
            "a panel with the known device",
            (0..3)
                .map(|n| format!("2026-03-06T21:1{n}:02+09:00 panel login ok account=aoi ip=192.0.2.7 device=9f1c\n"))
                .collect::<String>()
                + "2026-03-07T13:40:12+09:00 panel login ok account=aoi ip=198.51.100.9 device=9f1c\n"
                + "2026-03-07T13:50:12+09:00 panel login ok account=aoi ip=203.0.113.9 device=7777 mfa=totp\n",
        ),
    ];
    for (name, log) in cases {
        assert_eq!(says(&log), "", "{name}");
    }
}

#[test]
fn a_first_look_from_a_new_country_or_three_of_them_in_a_day_is_suspicious() {
    let days = (9..12).map(|hour| ftp(hour, "192.0.2.7", "LOGIN")).collect::<String>();
    let look = ftp(14, "2001:db8:e::9", "LOGIN")
        + "Sat Mar  7 14:10:09 2026 [pid 8] [aoi] OK LIST: Client \"2001:db8:e::9\", \"/home/aoi\"\n";
    assert_eq!(says(&(days.clone() + &look)), "aoi newplace suspicious vn");
    // The owner on a journey works there.
    assert_eq!(says(&(days + &look + &ftp(15, "2001:db8:e::9", "UPLOAD"))), "aoi newplace hint vn");
    let hop = |minute, from| ssh(minute, "password", "aoi", from);
    let two = home("aoi") + &hop(60, "198.51.100.9") + &hop(70, "2001:db8:d::9");
    assert_eq!(says(&two), "aoi newplace hint de", "a transit");
    assert_eq!(says(&(two.clone() + &hop(80, "203.0.113.1"))), "aoi newplace suspicious br");
    // A week later it is another journey.
    let late = hop(80, "203.0.113.1").replace("Mar  7", "Mar 14");
    assert!(!says(&(two + &late)).contains("suspicious"));
}

#[test]
fn what_is_told_as_a_hint_first_is_told_again_when_it_is_more() {
    let mut watch = Watch::new(settings());
    watch.set_countries(countries(), Some(*b"jp"));
    let mut strengths = Vec::new();
    let lines = home("aoi")
        + &ssh(60, "password", "aoi", "198.51.100.9")
        + &ssh(80, "password", "aoi", "2001:db8:d::9")
        + &ssh(100, "password", "aoi", "203.0.113.1")
        + &ssh(200, "password", "fuji", "192.0.2.1");
    for line in lines.lines() {
        watch.line(line.as_bytes(), now());
        strengths.extend(watch.news(now()).findings.iter().map(|f| f.signal.strength));
    }
    assert_eq!(strengths, [Strength::Hint, Strength::Suspicious]);
}

#[test]
fn a_neighbours_journeys_change_nothing_of_an_account() {
    let own = home("aoi") + &ssh(60, "password", "aoi", "198.51.100.9");
    let others: String = ["2001:db8:d::9", "203.0.113.1", "2001:db8:e::9"]
        .iter()
        .enumerate()
        .map(|(n, from)| ssh(20 + n as u32, "password", "fuji", from))
        .collect();
    let names = ssh(10, "password", "aoi from 203.0.113.1 port 4 ssh2", "2001:db8:d::9")
        + &ssh(11, "password", "AOI@fuji.example", "2001:db8:d::9");
    let all = home("fuji").replace("192.0.2.7", "2001:db8:a::7") + &others + &names + &own;
    assert_eq!(says(&all), "aoi newplace hint fr, fuji newplace suspicious vn");
}
