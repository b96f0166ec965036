//! Reads the stamps of syslog, Exim and Apache's error log and decides what they leave open: the year, the zone, the
//! hour that comes twice.
//!
//! | written by | shape |
//! |---|---|
//! | syslog (RFC 3164) | `Mar  7 03:02:00 `: no year, no zone |
//! | syslog (RFC 5424, RFC 3339) | `2026-03-07T03:02:00.123456+09:00 ` |
//! | Exim (specification, 52.4) | `2026-03-07 03:02:00 `, with `.123` (+millisec) and `+0900 ` (log_timezone) |
//! | Apache (core, ErrorLogFormat) | `[Sat Mar 07 03:02:00.123456 2026] ` |
//!
//! A stamp is a hint, the arrival decides: nothing is dated after it was read, and a clock or zone that is
//! wrong by a constant is corrected by what fresh lines show (fail2ban #2566, #4172: dropped as "old").

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use model::Moment;

/// A difference to the arrival above this, seconds, is a wrong zone or clock and no delay.
const ODD_SECS: i64 = 10 * 60;
/// Zones differ by multiples of this, seconds.
const QUARTER_HOUR: i64 = 15 * 60;

/// Turns stamps into moments; remembers the last one to tell the two runs of an hour that comes twice.
pub struct Stamps {
    zone: TimeZone,
    /// The minute that was worked out last: its text, when that was, its first second.
    cached: ([u8; 12], i64, i64),
    last: i64,
    shift: i64,
    /// Seconds of the last stamp as written.
    raw: i64,
    /// The last stamp was Exim's.
    exim: bool,
}

impl Stamps {
    /// `zone` is the node's, in which syslog writes stamps without one.
    pub fn new(zone: TimeZone) -> Stamps {
        Stamps { zone, cached: ([0; 12], 0, 0), last: i64::MIN, shift: 0, raw: 0, exim: false }
    }

    /// The moment of a line that was there at `now`, and what follows the stamp.
    pub fn read<'a>(&mut self, line: &'a [u8], now: Moment) -> Option<(Moment, &'a [u8])> {
        self.exim = false;
        let (secs, micros, rest) = match line.first()? {
            b'0'..=b'9' if line.get(10) == Some(&b' ') => {
                self.exim = true;
                self.exim(line)?
            }
            b'0'..=b'9' => {
                let (secs, micros, rest) = rfc3339(line)?;
                (secs, micros, rest.strip_prefix(b" ")?)
            }
            b'[' => self.apache(line)?,
            _ => self.classic(line, now)?,
        };
        self.raw = secs;
        let secs = secs + self.shift;
        self.last = secs;
        let at = Moment(secs.saturating_mul(1_000_000) + micros);
        Some((at.min(now), rest))
    }

    /// Whether the stamp read last was Exim's: then what follows it is a line of Exim, else one of syslog.
    pub fn is_exim(&self) -> bool {
        self.exim
    }

    /// Fresh lines were read up to their end at `now`: the last stamp should say so. If not, the difference
    /// is taken into account from the next line on; a constant shift keeps the pace, so it makes no burst.
    pub fn align(&mut self, now: Moment) {
        let apart = now.secs() - self.raw;
        self.shift = match apart.abs() > ODD_SECS {
            true => (apart + QUARTER_HOUR / 2).div_euclid(QUARTER_HOUR) * QUARTER_HOUR,
            false => 0,
        };
    }

    /// `Sat Mar  7 12:21:31 2026 `, also in brackets and with a fraction, as ctime(3), xferlog and Apache's error log
    /// write it: the moment, the hour as written, the rest.
    pub fn ctime<'a>(&mut self, line: &'a [u8], now: Moment) -> Option<(Moment, u8, &'a [u8])> {
        let (line, bracket) = line.strip_prefix(b"[").map_or((line, false), |line| (line, true));
        let fixed: &[u8; 19] = line.first_chunk()?;
        if fixed[3] != b' ' || fixed[7] != b' ' || fixed[10] != b' ' || fixed[13] != b':' || fixed[16] != b':' {
            return None;
        }
        let (clock, mut rest) = (&fixed[11..19], &line[19..]);
        if let Some(fraction) = rest.strip_prefix(b".") {
            rest = &fraction[fraction.iter().take_while(|b| b.is_ascii_digit()).count()..];
        }
        let year: &[u8; 6] = rest.first_chunk()?;
        (year[0] == b' ' && year[5] == if bracket { b']' } else { b' ' }).then_some(())?;
        let year = two(year[1], year[2])? * 100 + two(year[3], year[4])?;
        let day = two(if fixed[8] == b' ' { b'0' } else { fixed[8] }, fixed[9])?;
        let at = self.local(year, month(&fixed[4..7])?, day, clock, now)?;
        Some((at, two(clock[0], clock[1])? as u8, rest[6..].trim_ascii_start()))
    }

    /// `2026-03-07 04:12:57 ` with a fraction behind `.` or `,`, in the node's zone: as [`Stamps::ctime`].
    pub fn spaced<'a>(&mut self, line: &'a [u8], now: Moment) -> Option<(Moment, u8, &'a [u8])> {
        let fixed: &[u8; 19] = line.first_chunk()?;
        if fixed[4] != b'-' || fixed[7] != b'-' || fixed[10] != b' ' || fixed[13] != b':' || fixed[16] != b':' {
            return None;
        }
        let mut rest = &line[19..];
        if let Some(fraction) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
            rest = &fraction[fraction.iter().take_while(|b| b.is_ascii_digit()).count()..];
        }
        let year = two(fixed[0], fixed[1])? * 100 + two(fixed[2], fixed[3])?;
        let (month, day) = (two(fixed[5], fixed[6])?, two(fixed[8], fixed[9])?);
        let at = self.local(year, month, day, &fixed[11..19], now)?;
        Some((at, two(fixed[11], fixed[12])? as u8, rest.strip_prefix(b" ")?))
    }

    fn local(&mut self, year: i64, month: i64, day: i64, clock: &[u8], now: Moment) -> Option<Moment> {
        let [h1, h2, _, m1, m2, _, s1, s2] = clock else { return None };
        let date = civil::Date::new(year as i16, month as i8, day as i8).ok()?;
        let time = civil::Time::new(two(*h1, *h2)? as i8, two(*m1, *m2)? as i8, 0, 0).ok()?;
        let second = two(*s1, *s2)?.min(59);
        // To the minute, so that the two runs of an hour are told by order and not by seconds.
        let secs = self.seconds(date.to_datetime(time))? + second;
        self.last = secs;
        Some(Moment::from_secs(secs).min(now))
    }

    /// `2026-03-07 03:02:00[.123] [+0900] `: local without a zone.
    fn exim<'a>(&mut self, line: &'a [u8]) -> Option<(i64, i64, &'a [u8])> {
        let fixed: &[u8; 19] = line.first_chunk()?;
        if fixed[4] != b'-' || fixed[7] != b'-' || fixed[13] != b':' || fixed[16] != b':' {
            return None;
        }
        let second = two(fixed[17], fixed[18]).filter(|s| *s <= 60)?.min(59);
        let (micros, rest) = fraction(&line[19..]);
        let rest = rest.strip_prefix(b" ")?;
        // The minute is worked out once: its twelve digits are the key.
        let minute = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15].map(|at: usize| fixed[at]);
        let whole = |fixed: &[u8; 19]| {
            let year = two(fixed[0], fixed[1])? * 100 + two(fixed[2], fixed[3])?;
            let (month, day) = (two(fixed[5], fixed[6])? as i8, two(fixed[8], fixed[9])? as i8);
            let (hour, minute) = (two(fixed[11], fixed[12])? as i8, two(fixed[14], fixed[15])? as i8);
            let time = civil::Time::new(hour, minute, 0, 0).ok()?;
            Some(civil::Date::new(i16::try_from(year).ok()?, month, day).ok()?.to_datetime(time))
        };
        if let [sign @ (b'+' | b'-'), a, b, c, d, b' ', rest @ ..] = rest {
            let offset = two(*a, *b)? * 3600 + two(*c, *d)? * 60;
            let local = TimeZone::UTC.to_timestamp(whole(fixed)?).ok()?.as_second() + second;
            return Some((if *sign == b'-' { local + offset } else { local - offset }, micros, rest));
        }
        if self.cached.0 != minute {
            self.cached = (minute, 0, self.seconds(whole(fixed)?)?);
        }
        Some((self.cached.2 + second, micros, rest))
    }

    /// `[Sat Mar 07 03:02:00.123456 2026] `: local, with its year at the end.
    fn apache<'a>(&mut self, line: &'a [u8]) -> Option<(i64, i64, &'a [u8])> {
        let fixed: &[u8; 20] = line.first_chunk()?;
        let apart = [(0, b'['), (4, b' '), (8, b' '), (11, b' '), (14, b':'), (17, b':')];
        if apart.iter().any(|(at, sign)| fixed[*at] != *sign) {
            return None;
        }
        let day = two(fixed[9], fixed[10])? as i8;
        let time = civil::Time::new(two(fixed[12], fixed[13])? as i8, two(fixed[15], fixed[16])? as i8, 0, 0).ok()?;
        let second = two(fixed[18], fixed[19]).filter(|s| *s <= 60)?.min(59);
        let (micros, rest) = fraction(&line[20..]);
        let [b' ', y1, y2, y3, y4, b']', b' ', rest @ ..] = rest else { return None };
        let year = i16::try_from(two(*y1, *y2)? * 100 + two(*y3, *y4)?).ok()?;
        let date = civil::Date::new(year, month(&fixed[5..8])? as i8, day).ok()?;
        Some((self.seconds(date.to_datetime(time))? + second, micros, rest))
    }

    /// `Mar  7 03:02:00 `: no year, no zone.
    fn classic<'a>(&mut self, line: &'a [u8], now: Moment) -> Option<(i64, i64, &'a [u8])> {
        let stamp: &[u8; 16] = line.first_chunk()?;
        if stamp[3] != b' ' || stamp[6] != b' ' || stamp[9] != b':' || stamp[12] != b':' || stamp[15] != b' ' {
            return None;
        }
        let second = two(stamp[13], stamp[14])?.min(59); // a leap second is read as the one before
        let minute: [u8; 12] = stamp[..12].try_into().expect("twelve of sixteen");
        if self.cached.0 != minute || (now.secs() - self.cached.1).abs() > 1800 {
            self.cached = (minute, now.secs(), self.first_second(&minute, now)?);
        }
        Some((self.cached.2 + second, 0, &line[16..]))
    }

    fn first_second(&self, stamp: &[u8; 12], now: Moment) -> Option<i64> {
        let month = month(&stamp[..3])? as i8;
        let day = two(if stamp[4] == b' ' { b'0' } else { stamp[4] }, stamp[5])? as i8;
        let (hour, minute) = (two(stamp[7], stamp[8])? as i8, two(stamp[10], stamp[11])? as i8);
        let time = civil::Time::new(hour, minute, 0, 0).ok()?;
        let this_year = self.zone.to_datetime(now.timestamp()).year();
        // The latest year that is not the future; eight back, because the 29th of February is that rare.
        let latest = (now.secs() + 86_400).max(0);
        (0..=9).find_map(|back| {
            let date = civil::Date::new(this_year + 1 - back, month, day).ok()?;
            let secs = self.seconds(date.to_datetime(time))?;
            (secs <= latest).then_some(secs)
        })
    }

    fn seconds(&self, local: civil::DateTime) -> Option<i64> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        if let AmbiguousOffset::Fold { before, after } = ambiguous.offset() {
            let first = before.to_timestamp(local).ok()?.as_second();
            // The first run, unless the log is already past it.
            if first + 120 < self.last.saturating_sub(self.shift) {
                return Some(after.to_timestamp(local).ok()?.as_second());
            }
            return Some(first);
        }
        Some(ambiguous.compatible().ok()?.as_second())
    }
}

/// `2026-03-07T10:10:00.123456+09:00`, and what follows it.
fn rfc3339(line: &[u8]) -> Option<(i64, i64, &[u8])> {
    let fixed: &[u8; 19] = line.first_chunk()?;
    if fixed[4] != b'-' || fixed[7] != b'-' || fixed[10] != b'T' || fixed[13] != b':' || fixed[16] != b':' {
        return None;
    }
    let year = two(fixed[0], fixed[1])? * 100 + two(fixed[2], fixed[3])?;
    let (month, day) = (two(fixed[5], fixed[6])?, two(fixed[8], fixed[9])?);
    let (hour, minute, second) = (two(fixed[11], fixed[12])?, two(fixed[14], fixed[15])?, two(fixed[17], fixed[18])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = fraction(&line[19..]);
    let (offset, rest) = match rest {
        [b'Z', rest @ ..] => (0, rest),
        [sign @ (b'+' | b'-'), a, b, b':', c, d, rest @ ..] => {
            let secs = two(*a, *b)? * 3600 + two(*c, *d)? * 60;
            (if *sign == b'-' { -secs } else { secs }, rest)
        }
        _ => return None,
    };
    let secs = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second.min(59);
    Some((secs - offset, micros, rest))
}

/// Microseconds of `.123456` and what follows them; 0 when there is no fraction.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some(fraction) = text.strip_prefix(b".") else { return (0, text) };
    let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    let micros = (0..6).fold(0, |sum, i| sum * 10 + fraction[..digits].get(i).map_or(0, |b| i64::from(b - b'0')));
    (micros, &fraction[digits..])
}

/// The time of an access log without its brackets: `07/Mar/2026:01:00:00 +0900`.
pub(crate) fn access_time(text: &[u8]) -> Option<Moment> {
    let [d1, d2, b'/', m1, m2, m3, b'/', y1, y2, y3, y4, b':', clock @ .., b' ', sign @ (b'+' | b'-'), a, b, c, d] =
        text
    else {
        return None;
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2] = clock else { return None };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let day = two(*d1, *d2).filter(|d| (1..=31).contains(d))?;
    let clock = two(*h1, *h2)? * 3600 + two(*n1, *n2)? * 60 + two(*s1, *s2)?.min(59);
    let offset = two(*a, *b)? * 3600 + two(*c, *d)? * 60;
    let secs = days(year, month(&[*m1, *m2, *m3])?, day) * 86_400 + clock;
    Some(Moment::from_secs(if *sign == b'-' { secs + offset } else { secs - offset }))
}

/// RFC 3339 and nothing behind it.
pub(crate) fn iso_time(text: &[u8]) -> Option<Moment> {
    let (secs, micros, rest) = rfc3339(text)?;
    rest.is_empty().then_some(Moment(secs * 1_000_000 + micros))
}

fn month(name: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    Some(MONTHS.iter().position(|m| *m == name)? as i64 + 1)
}

/// Days since 1970-01-01 of a Gregorian date, years counted from March so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: &str, now: &str, lines: &[&str]) -> Vec<String> {
        let mut stamps = Stamps::new(TimeZone::get(zone).unwrap());
        let now = Moment::parse(now).unwrap();
        let mut show = |line: &&str| match stamps.read(line.as_bytes(), now) {
            Some((at, rest)) => format!("{at} {}", String::from_utf8_lossy(rest)),
            None => "dropped".to_owned(),
        };
        lines.iter().map(&mut show).collect()
    }

    #[test]
    fn december_read_in_january_is_last_year() {
        let seen = read("Asia/Tokyo", "2026-01-01T00:00:05+09:00", &["Dec 31 23:59:58 a", "Jan  1 00:00:01 b"]);
        assert_eq!(seen, ["2025-12-31T14:59:58Z a", "2025-12-31T15:00:01Z b"]);
    }

    #[test]
    fn the_leap_day_belongs_to_the_last_year_that_has_one() {
        assert_eq!(read("UTC", "2028-03-01T00:00:00Z", &["Feb 29 12:00:00 a"]), ["2028-02-29T12:00:00Z a"]);
        assert_eq!(read("UTC", "2027-03-01T00:00:00Z", &["Feb 29 12:00:00 a"]), ["2024-02-29T12:00:00Z a"]);
        assert_eq!(read("UTC", "2027-03-01T00:00:00Z", &["Feb 30 12:00:00 a"]), ["dropped"]);
    }

    #[test]
    fn an_hour_that_comes_twice_is_read_in_the_order_of_the_lines() {
        let lines = ["Nov  2 01:47:00 a", "Nov  2 01:06:30 b", "Nov  2 01:07:31 c", "Nov  2 02:00:00 d"];
        let seen = read("America/New_York", "2025-11-02T12:00:00Z", &lines);
        assert_eq!(seen[0], "2025-11-02T05:47:00Z a");
        assert_eq!(seen[1], "2025-11-02T06:06:30Z b");
        assert_eq!(seen[3], "2025-11-02T07:00:00Z d");
    }

    #[test]
    fn an_hour_that_comes_twice_can_be_the_first_line_after_a_shift() {
        let mut stamps = Stamps::new(TimeZone::get("America/New_York").unwrap());
        let now = Moment::parse("2025-11-02T12:00:00Z").unwrap();
        stamps.align(now);
        assert!(stamps.read(b"Nov  2 01:47:00 a", now).is_some());
    }

    #[test]
    fn dates_with_a_year_keep_their_order_when_the_clock_goes_back() {
        let mut stamps = Stamps::new(TimeZone::get("America/New_York").unwrap());
        let now = Moment::parse("2026-06-01T12:00:00Z").unwrap();
        let lines = [
            "[Sun Nov 02 01:47:00.000002 2025] [core:info] [client 198.51.100.13:40085] a",
            "[Sun Nov 02 01:06:30.500000 2025] [core:info] [client 198.51.100.13:40086] b",
            "[Sun Nov 02 01:07:31.600000 2025] [core:info] [client 198.51.100.13:40087] c",
            "Sun Nov  2 01:08:00 2025 x",
        ];
        let read: Vec<Moment> = lines.iter().map(|l| stamps.ctime(l.as_bytes(), now).unwrap().0).collect();
        assert!(read.is_sorted(), "{read:?}");
        assert_eq!(read[0].to_string(), "2025-11-02T05:47:00Z");
        let (at, hour, rest) = stamps.spaced(b"2026-03-07 04:12:57,123 a", now).unwrap();
        assert_eq!((at.to_string().as_str(), hour, rest), ("2026-03-07T09:12:57Z", 4, &b"a"[..]));
        for wrong in ["Sat Mar  7 12:21:31 202", "Sat Mar 32 12:21:31 2026 a", "Sat Mar  7 25:21:31 2026 a", "", "[[["]
        {
            assert!(stamps.ctime(wrong.as_bytes(), now).is_none(), "{wrong}");
        }
    }

    #[test]
    fn both_styles_are_read_and_nothing_is_dated_after_its_arrival() {
        let lines = [
            "2026-02-03T18:30:06.000200+01:00 a",
            "Feb  3 17:41:10 b",
            "2026-02-03T17:40:60Z c",
            "2026-12-24T00:00:00Z d",
            "2026-13-24T00:00:00Z e",
            "2026-02-03 18:20 f",
            "Xyz  3 17:41:10 g",
            "",
        ];
        let seen = read("UTC", "2026-02-03T18:00:00Z", &lines);
        assert_eq!(seen[..3], ["2026-02-03T17:30:06Z a", "2026-02-03T17:41:10Z b", "2026-02-03T17:40:59Z c"]);
        assert_eq!(seen[3], "2026-02-03T18:00:00Z d");
        assert!(seen[4..].iter().all(|s| s == "dropped"));
    }

    #[test]
    fn every_day_agrees_with_the_calendar() {
        let mut date = civil::date(1999, 1, 1);
        for _ in 0..12_000 {
            let expected = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).unwrap().as_second();
            assert_eq!(days(date.year().into(), date.month().into(), date.day().into()) * 86_400, expected);
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn a_log_in_a_wrong_zone_is_corrected_by_fresh_lines() {
        for hours in [-14, -5, 9, 14] {
            let mut stamps = Stamps::new(TimeZone::UTC);
            let now = Moment::parse("2026-06-01T12:00:00Z").unwrap();
            let written = |secs: i64| {
                let local = Moment::from_secs(now.secs() + hours * 3600 + secs).timestamp().to_string();
                format!("{} x", local.replace('Z', "+00:00"))
            };
            stamps.read(written(-1).as_bytes(), now);
            stamps.align(now);
            let later = now + model::Span::secs(60);
            let (at, _) = stamps.read(written(58).as_bytes(), later).unwrap();
            assert_eq!((later - at).whole_secs(), 2, "{hours} h");
        }
    }
}
