//! Times, lengths of time and numbers as people read them, in the owner's zone and never without naming it.
//!
//! No "today": a letter is read later than it was written.

use jiff::tz::{Dst, TimeZone};
use jiff::{ZonedDateTime, civil::Weekday};
use model::{Language, Moment, Span};

use super::pick;

/// Writes moments for one reader.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    language: Language,
}

/// Zones whose Japanese name people know: winter (or only) name, summer name. Others are shown by their offset.
const NAMES_JA: &[(&str, &str, &str)] = &[
    ("Asia/Tokyo", "日本時間", ""),
    ("Asia/Seoul", "韓国時間", ""),
    ("Asia/Shanghai", "中国時間", ""),
    ("Asia/Taipei", "台湾時間", ""),
    ("Asia/Hong_Kong", "香港時間", ""),
    ("Asia/Singapore", "シンガポール時間", ""),
    ("Asia/Bangkok", "タイ時間", ""),
    ("Asia/Ho_Chi_Minh", "ベトナム時間", ""),
    ("Asia/Jakarta", "インドネシア西部時間", ""),
    ("Asia/Manila", "フィリピン時間", ""),
    ("Asia/Kolkata", "インド時間", ""),
    ("Europe/London", "英国時間", "英国夏時間"),
    ("Europe/Paris", "中央ヨーロッパ時間", "中央ヨーロッパ夏時間"),
    ("Europe/Berlin", "中央ヨーロッパ時間", "中央ヨーロッパ夏時間"),
    ("Europe/Vienna", "中央ヨーロッパ時間", "中央ヨーロッパ夏時間"),
    ("Europe/Zurich", "中央ヨーロッパ時間", "中央ヨーロッパ夏時間"),
    ("America/New_York", "米国東部時間", "米国東部夏時間"),
    ("America/Chicago", "米国中部時間", "米国中部夏時間"),
    ("America/Denver", "米国山地時間", "米国山地夏時間"),
    ("America/Los_Angeles", "米国太平洋時間", "米国太平洋夏時間"),
    ("Pacific/Honolulu", "ハワイ時間", ""),
    ("Australia/Sydney", "オーストラリア東部時間", "オーストラリア東部夏時間"),
    ("UTC", "協定世界時", ""),
];

const DAYS_JA: [&str; 7] = ["月", "火", "水", "木", "金", "土", "日"];
const DAYS_EN: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Clock {
    /// For this IANA zone; an unknown one becomes UTC, and the letter says UTC.
    pub fn new(zone: &str, language: Language) -> Clock {
        Clock { zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC), language }
    }

    fn zoned(&self, moment: Moment) -> ZonedDateTime {
        moment.timestamp().to_zoned_datetime(self.zone.clone())
    }

    /// `2026年3月21日(土)11:46(日本時間)`, `Sat 21 March 2026 at 11:46 JST (UTC+9)`.
    pub fn at(&self, moment: Moment) -> String {
        let (date, at) = (self.date(moment), self.zoned(moment));
        let minute = format!("{:02}:{:02}", at.hour(), at.minute());
        match self.language {
            Language::Ja => format!("{date}{minute}({})", self.zone_name(moment)),
            Language::En => format!("{date} at {minute} {}", self.zone_name(moment)),
        }
    }

    /// `2026年3月21日(土)`, `Sat 21 March 2026`.
    pub fn date(&self, moment: Moment) -> String {
        let at = self.zoned(moment);
        let day = usize::from(at.weekday().since(Weekday::Monday).unsigned_abs()) % 7;
        match self.language {
            Language::Ja => format!("{}年{}月{}日({})", at.year(), at.month(), at.day(), DAYS_JA[day]),
            Language::En => format!("{} {} {} {}", DAYS_EN[day], at.day(), self.month_en(&at), at.year()),
        }
    }

    /// `2月`, `February`: enough for a look back of less than a year.
    pub fn month(&self, moment: Moment) -> String {
        let at = self.zoned(moment);
        pick(self.language, format!("{}月", at.month()), self.month_en(&at).to_owned())
    }

    fn month_en(&self, at: &ZonedDateTime) -> &'static str {
        MONTHS_EN[usize::from(at.month().unsigned_abs()) - 1]
    }

    /// `2026-03-21 11:46:53 +09:00`, the same for both languages.
    pub fn fence(&self, moment: Moment) -> String {
        let at = self.zoned(moment);
        format!("{} {}", at.strftime("%Y-%m-%d %H:%M:%S"), at.strftime("%:z"))
    }

    /// `2026-03-21 09:40:02 - 11:46:53 +09:00`: the day once when both ends share it, the zone always once.
    pub fn fence_range(&self, from: Moment, to: Moment) -> String {
        let (a, b) = (self.zoned(from), self.zoned(to));
        if a.offset() != b.offset() {
            return format!("{} - {}", self.fence(from), self.fence(to));
        }
        let end = if a.date() == b.date() { b.strftime("%H:%M:%S %:z") } else { b.strftime("%Y-%m-%d %H:%M:%S %:z") };
        format!("{} - {end}", a.strftime("%Y-%m-%d %H:%M:%S"))
    }

    /// `日本時間`, `JST (UTC+9)`; zones without a known name by their offset alone.
    fn zone_name(&self, moment: Moment) -> String {
        let info = self.zone.to_offset_info(moment.timestamp());
        let offset = offset_name(info.offset().seconds());
        if self.language == Language::En {
            let letters = info.abbreviation();
            return match letters.chars().all(|c| c.is_ascii_alphabetic()) && letters != "UTC" {
                true => format!("{letters} ({offset})"),
                false => offset,
            };
        }
        let known = NAMES_JA.iter().find(|(zone, ..)| Some(*zone) == self.zone.iana_name());
        match known {
            Some((_, _, summer)) if info.dst() == Dst::Yes && !summer.is_empty() => (*summer).to_owned(),
            Some((_, name, _)) => (*name).to_owned(),
            None => offset,
        }
    }
}

/// `UTC+9`, `UTC-3:30`, `UTC`.
fn offset_name(seconds: i32) -> String {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    match (minutes / 60, minutes % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, rest) => format!("UTC{sign}{hours}:{rest:02}"),
    }
}

/// `3時間20分`, `3 h 20 min`: the two largest units.
pub fn duration(span: Span, language: Language) -> String {
    let secs = span.whole_secs().max(0);
    let units = [(86_400, "日", " d"), (3_600, "時間", " h"), (60, "分", " min"), (1, "秒", " s")];
    let mut rest = secs;
    let mut parts = Vec::new();
    for (size, ja, en) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{}{}", number(count), pick(language, ja, en)));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    match parts.is_empty() {
        true => pick(language, "0秒", "0 s").to_owned(),
        false => parts.join(pick(language, "", " ")),
    }
}

/// `1,240`.
pub fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-03-21T11:46:53+09:00";

    fn at(zone: &str, text: &str) -> [String; 2] {
        let moment = Moment::parse(text).unwrap();
        [Language::Ja, Language::En].map(|language| Clock::new(zone, language).at(moment))
    }

    #[test]
    fn a_time_is_written_in_the_owners_zone_and_names_it() {
        assert_eq!(
            at("Asia/Tokyo", NOON),
            ["2026年3月21日(土)11:46(日本時間)", "Sat 21 March 2026 at 11:46 JST (UTC+9)"]
        );
        assert_eq!(
            at("America/New_York", NOON),
            ["2026年3月20日(金)22:46(米国東部夏時間)", "Fri 20 March 2026 at 22:46 EDT (UTC-4)"]
        );
        assert_eq!(
            at("Europe/London", "2026-12-31T23:59:59Z"),
            ["2026年12月31日(木)23:59(英国時間)", "Thu 31 December 2026 at 23:59 GMT (UTC)"]
        );
        assert_eq!(
            at("Asia/Kathmandu", NOON),
            ["2026年3月21日(土)08:31(UTC+5:45)", "Sat 21 March 2026 at 08:31 UTC+5:45"]
        );
    }

    #[test]
    fn an_unknown_zone_is_utc_and_says_so() {
        assert_eq!(at("Mars/Olympus", NOON), ["2026年3月21日(土)02:46(協定世界時)", "Sat 21 March 2026 at 02:46 UTC"]);
    }

    #[test]
    fn the_two_hours_of_one_name_in_autumn_differ_by_their_zone() {
        let first = at("America/New_York", "2026-11-01T01:30:00-04:00");
        let second = at("America/New_York", "2026-11-01T01:30:00-05:00");
        assert!(first[0].ends_with("01:30(米国東部夏時間)") && second[0].ends_with("01:30(米国東部時間)"));
        assert!(first[1].ends_with("01:30 EDT (UTC-4)") && second[1].ends_with("01:30 EST (UTC-5)"));
    }

    #[test]
    fn fences_hold_exact_times_and_the_zone_once() {
        let clock = Clock::new("Asia/Tokyo", Language::Ja);
        let (from, to) = (Moment::parse("2026-03-21T09:40:02+09:00").unwrap(), Moment::parse(NOON).unwrap());
        assert_eq!(clock.fence(to), "2026-03-21 11:46:53 +09:00");
        assert_eq!(clock.fence_range(from, to), "2026-03-21 09:40:02 - 11:46:53 +09:00");
        assert_eq!(clock.fence_range(from - Span::days(1), to), "2026-03-20 09:40:02 - 2026-03-21 11:46:53 +09:00");
        let moved = Clock::new("America/New_York", Language::En);
        let (a, b) = (Moment::parse("2026-11-01T05:30:00Z").unwrap(), Moment::parse("2026-11-01T06:30:00Z").unwrap());
        assert_eq!(moved.fence_range(a, b), "2026-11-01 01:30:00 -04:00 - 2026-11-01 01:30:00 -05:00");
    }

    #[test]
    fn lengths_of_time_and_numbers_read_easily() {
        let both = |span| [Language::Ja, Language::En].map(|language| duration(span, language));
        assert_eq!(both(Span::minutes(200)), ["3時間20分", "3 h 20 min"]);
        assert_eq!(both(Span::secs(53)), ["53秒", "53 s"]);
        assert_eq!(both(Span::days(2)), ["2日", "2 d"]);
        assert_eq!(both(Span::secs(-5)), ["0秒", "0 s"]);
        assert_eq!(number(1_240), "1,240");
        assert_eq!(number(-38_240_000), "-38,240,000");
        assert_eq!(number(999), "999");
    }
}
