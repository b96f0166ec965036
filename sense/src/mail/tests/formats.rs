//! Peculiar lines that must be read rightly: two styles of stamps, charsets, a clock that goes back.

use super::*;
use crate::mail::stamp::Stamps;

#[test]
fn both_styles_of_syslog_are_read_in_one_log() {
    let mut text = String::new();
    for i in 5..8 {
        text += &format!(
            "2026-02-09T07:30:0{i}.000200+01:00 web01 postfix/smtpd[41]: warning: unknown[198.51.100.{i}]: SASL LOGIN authentication failed: x, sasl_username=desk\n"
        );
        text += &format!(
            "Feb  9 16:40:1{i} web01 postfix/smtpd[40]: warning: unknown[198.51.100.{i}]: SASL LOGIN authentication failed: VXNlcm5hbWU6\n"
        );
    }
    let mut watch = watch();
    let reading = watch.inspect(text.as_bytes(), Moment::from_secs(TEN)).unwrap();
    assert_eq!((reading.lines, reading.dropped, reading.findings.len()), (6, 0, 0));
}

#[test]
fn subjects_in_any_charset_belong_to_their_account() {
    let subjects: [&[u8]; 4] =
        [b"\xe1\xe9\xfa", b"\x83\x81\x81[\x83\x8b\\\\", "メール".as_bytes(), b"\xff\x00\\\"\x1b[2J"];
    let mut text = Vec::new();
    for (i, subject) in subjects.iter().enumerate() {
        let id = format!("1wC0aa-0000D{i}-11");
        text.extend(format!("2026-03-07 09:15:0{i} {id} <= web@fuji.example.jp U=fuji P=local S=900 T=\"").bytes());
        text.extend(*subject);
        text.extend(format!("\" for a{i}@example.org\n").bytes());
    }
    let mut watch = watch();
    let now = Moment::from_secs(TEN);
    let reading = watch.inspect(text.as_slice(), now).unwrap();
    assert_eq!((reading.lines, reading.dropped), (4, 0));
    let (hour, ..) = watch.sums(3002, now).unwrap();
    assert_eq!((hour.messages, hour.recipients), (4, 4));
}

#[test]
fn a_clock_that_goes_back_an_hour_drops_nothing() {
    let zone = Zone::get("America/New_York").unwrap();
    let now = Moment::parse("2025-11-02T12:00:00Z").unwrap();
    let lines = [
        [
            "[Sun Nov 02 01:47:00.000002 2025] a",
            "[Sun Nov 02 01:06:30.500000 2025] b",
            "[Sun Nov 02 01:07:31.600000 2025] c",
        ],
        ["2025-11-02 01:47:00.001 a", "2025-11-02 01:06:30.400 b", "2025-11-02 01:07:31.500 c"],
        ["Nov  2 01:47:00 a", "Nov  2 01:06:30 b", "Nov  2 01:07:31 c"],
    ];
    for style in lines {
        let mut stamps = Stamps::new(zone.clone());
        let read: Vec<_> = style.iter().map(|line| stamps.read(line.as_bytes(), now).expect(line)).collect();
        assert!(read.windows(2).all(|two| two[0].0 < two[1].0), "{read:?}");
        assert_eq!(read.iter().map(|(_, rest)| rest[0]).collect::<Vec<_>>(), b"abc");
    }
}

#[test]
fn stamps_of_exim_are_read_with_zone_and_fraction_and_broken_ones_are_not() {
    let mut stamps = Stamps::new(Zone::get("Asia/Tokyo").unwrap());
    let now = Moment::from_secs(TEN);
    let mut read = |line: &str| stamps.read(line.as_bytes(), now).map(|(at, rest)| format!("{at} {}", rest.len()));
    let expected = Some("2026-03-06T18:02:07Z 1".to_owned());
    assert_eq!(read("2026-03-07 03:02:07 x"), expected);
    assert_eq!(read("2026-03-06 19:02:07 +0100 x"), expected);
    assert_eq!(read("2026-03-07 03:02:07.000 +0900 x"), expected);
    assert_eq!(read("2025-03-07 03:02:07 x"), Some("2025-03-06T18:02:07Z 1".to_owned()), "a minute of another year");
    for line in [
        "2026-03-07 03:02:61 x",
        "2026-13-07 03:02:01 x",
        "2026-03-07 03:02",
        "2026-03-07 03:02:01",
        "[Sat Mar 07",
        "[",
    ] {
        assert_eq!(read(line), None, "{line}");
    }
}
