//! Peculiar lines and names, one test a kind: how many are understood, how many dropped, whose they are, in which order.
//!
//! The single shapes stand in the readers' own tests; these hold what a whole file of them must yield.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use model::{AccountEntry, AccountRef, FilePath, Hash, Moment, Site};
use sense::mail::judge::Limits;
use sense::mail::stamp::Stamps;
use sense::mail::{Trust, Zone};
use sense::reading::Reading;
use sense::web::{Format, Log, Owner};
use sense::{locate, login, mail, web};

fn accounts() -> Vec<AccountEntry> {
    let site = |domain: &str, folder: &str| Site {
        domain: domain.parse().unwrap(),
        aliases: Vec::new(),
        root: format!("/home/aoi/{folder}"),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    vec![AccountEntry {
        account: AccountRef { name: "aoi".parse().unwrap(), uid: 3001, generation: 1 },
        home: "/home/aoi".to_owned(),
        sites: vec![site("shop.aoi.example.jp", "shop"), site("blog.aoi.example.jp", "blog")],
        contacts: Vec::new(),
        time_zone: "UTC".to_owned(),
    }]
}

fn now() -> Moment {
    Moment::parse("2026-06-01T00:00:00Z").unwrap()
}

fn mails(log: &[u8]) -> (Reading, mail::Watch) {
    let settings = mail::Settings {
        key: [7; 32],
        country: None,
        zone: Zone::UTC,
        trust: Trust::Guarded,
        limits: Limits::default(),
    };
    let mut watch = mail::Watch::new(settings, now());
    watch.set_accounts(&accounts());
    (watch.inspect(log, now()).unwrap(), watch)
}

fn logins(log: &str, zone: &str) -> (Reading, Vec<String>) {
    let zone = Zone::get(zone).unwrap();
    let settings = login::Settings {
        accounts: accounts().into(),
        own: Vec::new(),
        never: Vec::new(),
        zone,
        trust: Trust::Guarded,
    };
    let (reading, watch) = login::inspect(log.as_bytes(), settings, now()).unwrap();
    (reading, watch.sources().map(|source| source.to_string()).collect())
}

/// crowdsecurity/hub#1238: a log that changes its style halfway.
#[test]
fn two_styles_of_time_in_one_log_are_both_read_by_both_readers() {
    let said = "web01 postfix/smtpd[81]: warning: unknown[ADDRESS]: SASL LOGIN authentication failed: ";
    let log = [
        "Apr 11 09:15:01 @198.51.100.21 VXNlcm5hbWU6",
        "2026-04-11T09:15:02.000301+00:00 @198.51.100.22 x, sasl_username=desk",
        "Apr 11 09:15:03 @198.51.100.22 VXNlcm5hbWU6",
        "2026-04-11T09:15:04+00:00 @2001:db8::23 x, sasl_username=desk",
        "Apr 11 09:15:05 @198.51.100.21 VXNlcm5hbWU6",
    ];
    let line = |line: &&str| {
        let mut words = line.splitn(2, " @");
        let (stamp, (source, rest)) = (words.next().unwrap(), words.next().unwrap().split_once(' ').unwrap());
        format!("{stamp} {}{rest}\n", said.replace("ADDRESS", source))
    };
    let log: String = log.iter().map(line).collect();
    let (reading, _) = mails(log.as_bytes());
    assert_eq!((reading.lines, reading.dropped, reading.findings.len()), (5, 0, 0));
    let (reading, sources) = logins(&log, "UTC");
    assert_eq!((reading.lines, reading.dropped, reading.findings.len()), (5, 0, 0));
    assert_eq!(sources, ["198.51.100.21", "198.51.100.22", "2001:db8::23"]);
}

/// fail2ban#1466: bytes that are no UTF-8 made a reader of text skip lines or stop.
#[test]
fn subjects_in_four_charsets_are_all_counted_for_their_account() {
    // "тест" in KOI8-R, "日本" in EUC-JP, "привет" in UTF-8, and half of a sign.
    let subjects: [&[u8]; 4] = [b"\xd4\xc5\xd3\xd4", b"\xc6\xfc\xcb\xdc", "привет".as_bytes(), b"\xe6\x97"];
    let mut log = Vec::new();
    for (n, subject) in subjects.iter().enumerate() {
        log.extend(
            format!("2026-05-09 11:00:0{n} 1wC0a{n}-0000D{n}-11 <= form@shop.aoi.example.jp U=aoi P=local S=7 T=\"")
                .bytes(),
        );
        log.extend(*subject);
        log.extend(format!("\" for r{n}@example.net\n").bytes());
    }
    let (reading, watch) = mails(&log);
    assert_eq!((reading.lines, reading.dropped, watch.counts().0.other), (4, 0, 0));
    let (hour, ..) = watch.sums(3001, Moment::parse("2026-05-09T11:00:09Z").unwrap()).unwrap();
    assert_eq!((hour.messages, hour.recipients), (4, 4));
}

/// fail2ban#2566: lines of the second run of an hour were dropped as old.
#[test]
fn lines_of_an_hour_that_comes_twice_keep_their_order_and_are_none_too_few() {
    let log = "[Sun Nov 02 01:49:59.900000 2025] [core:info] [pid 9] [client 198.51.100.3:50100] AH00128: a\n\
               [Sun Nov 02 01:02:00.000000 2025] [core:info] [pid 9] [client 198.51.100.3:50101] AH00128: b\n\
               [Sun Nov 02 01:02:00.000001 2025] [core:info] [pid 9] [client 198.51.100.3:50102] AH00128: c\n\
               [Sun Nov 02 02:00:30.000000 2025] [core:info] [pid 9] [client 198.51.100.3:50103] AH00128: d\n";
    let mut stamps = Stamps::new(Zone::get("America/New_York").unwrap());
    let read: Vec<(Moment, &[u8])> = log.lines().map(|line| stamps.read(line.as_bytes(), now()).unwrap()).collect();
    assert!(read.is_sorted_by_key(|(at, _)| *at), "{read:?}");
    let order: Vec<u8> = read.iter().map(|(_, rest)| *rest.last().unwrap()).collect();
    assert_eq!((order.as_slice(), read[1].0.to_string().as_str()), (&b"abcd"[..], "2025-11-02T06:02:00Z"));
    let (reading, _) = logins(log, "America/New_York");
    assert_eq!((reading.lines, reading.dropped), (4, 0));
    let (reading, _) = mails(log.as_bytes());
    assert_eq!((reading.lines, reading.dropped), (4, 0));
}

/// fail2ban#1745: an address with a port taken for another address.
#[test]
fn shapes_of_addresses_come_to_one_and_what_has_two_readings_is_dropped() {
    let log = "ip=2001:db8:0:0::5 ev=fail user=x\n\
               ip=[2001:db8::5]:50222 ev=fail user=x\n\
               ip=[2001:0db8::0005] ev=fail user=x\n\
               ip=::ffff:198.51.100.4 ev=fail user=x\n\
               ip=198.51.100.4:50222 ev=fail user=x\n\
               ip=2001:db8::5:50222 ev=fail user=x\n\
               ip=50222 ev=fail user=x\n\
               ip=198.51.100.004 ev=fail user=x\n";
    let (reading, sources) = logins(log, "UTC");
    assert_eq!((reading.lines, reading.dropped), (8, 3));
    assert_eq!(sources, ["198.51.100.4", "2001:db8::5"]);
}

/// fail2ban#2882: the virtual host before the address, with a port, without, or missing; quotes within fields.
#[test]
fn lines_with_and_without_a_virtual_host_are_each_of_its_site() {
    let script = "POST /wp-content/uploads/2026/02/k.php";
    let line = |host: &str, request: &str, agent: &str| {
        format!(
            "{host}198.51.100.6 - - [11/Apr/2026:09:00:00 +0000] \"{request} HTTP/1.1\" 200 7 \"https://r.example/?\\\"a\\\"\" \"{agent}\"\n"
        )
    };
    let log = line("shop.aoi.example.jp:8443 ", script, "x").replace("https://r.example/?\\\"a\\\"", "-").repeat(4)
        + &line("", script, "evil \\\" blog.aoi.example.jp")
        + &line("blog.aoi.example.jp ", "GET /?q=\\\"x\\\" shop.aoi.example.jp\\\"", "x")
        + &line("else.example ", script, "aoi.example.jp")
        + &line("blog.aoi.example.jp:443 ", script, "x")[..100];
    let mut watch = web::Watch::new(web::Settings { accounts: accounts().into(), own: Vec::new(), never: Vec::new() });
    watch.begin(Log { format: Format::Standard, owner: Owner::Lines });
    let reading = web::inspect(&mut watch, &mut log.as_bytes(), now()).unwrap();
    let counts = watch.counts();
    assert_eq!((counts.lines, counts.dropped, counts.unknown_site), (8, 1, 1));
    // The line without a host is nobody's, whatever else it says.
    let sites: Vec<Option<String>> =
        reading.findings.iter().map(|f| f.signal.site.as_ref().map(ToString::to_string)).collect();
    assert_eq!(sites, [Some("shop.aoi.example.jp".to_owned())]);
}

/// maldetect#301, #171, #230: names with newlines, spaces and dashes were cut, taken for two files or for an option.
#[test]
fn seven_names_of_files_are_seven_files_each_on_one_line() {
    let names: [&[u8]; 7] = [
        b"c99\n.php",
        b"c99",
        b".php",
        b"old - new.data",
        b"\x82\xa8.xls",
        b"--help;rm x",
        b"tmp x^y\t\xe2\x80\xae.tpl",
    ];
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    for (n, name) in names.iter().enumerate() {
        std::fs::write(home.join(Path::new(std::ffi::OsStr::from_bytes(name))), [b'a' + n as u8]).unwrap();
    }
    let mut written = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let found = locate::file(&home, &FilePath::new(name).unwrap()).unwrap();
        assert_eq!((found.path.bytes(), found.hash), (*name, Hash::of(&[b'a' + n as u8])));
        let text = found.path.to_string();
        assert_eq!(text.parse::<FilePath>().unwrap(), found.path);
        assert!(!text.chars().any(char::is_control), "{text:?}");
        written.push(text);
    }
    let all = "c99%0A.php\nc99\n.php\nold - new.data\n%82%A8.xls\n--help;rm x\ntmp x^y%09%E2%80%AE.tpl";
    assert_eq!(written.join("\n"), all);
    assert_eq!(locate::count(&home), 7);
    // The naive twin splits a list of names at newlines and sees other files.
    assert_ne!(names.join(&b"\n"[..]).split(|b| *b == b'\n').count(), names.len());
}
