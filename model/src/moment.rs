//! Points in time and lengths of time, in microseconds, without a clock and without a zone.
//!
//! Microseconds as `i64` because that is what the store keeps and what two programs can compare without
//! rounding. A zone is applied where a person reads (see `desk`).

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use crate::name::Hash;

/// Microseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub i64);

/// A length of time in microseconds; negative when it points back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Moment {
    /// The earliest moment we speak of: "no time known".
    pub const EPOCH: Moment = Moment(0);

    /// From whole seconds since 1970.
    pub const fn from_secs(secs: i64) -> Moment {
        Moment(secs * 1_000_000)
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339 with an offset, as in `2026-03-21T11:46:53+09:00`.
    pub fn parse(text: &str) -> Option<Moment> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        Some(Moment(stamp.as_microsecond()))
    }

    /// The same moment as `jiff` speaks it; the ends of `jiff`'s range when ours is beyond it.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// From whole seconds.
    pub const fn secs(secs: i64) -> Span {
        Span(secs * 1_000_000)
    }
    /// From whole minutes.
    pub const fn minutes(minutes: i64) -> Span {
        Span::secs(minutes * 60)
    }
    /// From whole hours.
    pub const fn hours(hours: i64) -> Span {
        Span::secs(hours * 3600)
    }
    /// From days of 24 hours.
    pub const fn days(days: i64) -> Span {
        Span::hours(days * 24)
    }
    /// Whole seconds, rounded down.
    pub const fn whole_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl Add<Span> for Moment {
    type Output = Moment;
    fn add(self, span: Span) -> Moment {
        Moment(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Moment {
    type Output = Moment;
    fn sub(self, span: Span) -> Moment {
        Moment(self.0.saturating_sub(span.0))
    }
}

impl Sub<Span> for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Sub<Moment> for Moment {
    type Output = Span;
    fn sub(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 in UTC, to the second: for logs and operators. Owners read their own zone.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Moment::from_secs(self.secs()).timestamp())
    }
}

/// A time that no wall clock turns back: seconds that certainly passed since the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Which boot.
    pub boot: Hash,
    /// Seconds since that boot.
    pub uptime: u64,
    /// Seconds since the first one; time with the power off does not count.
    pub passed: u64,
}

impl Stamp {
    /// The time now, when `last` was before it.
    pub fn after(last: Option<Stamp>, (boot, uptime): (Hash, u64)) -> Stamp {
        let passed = match last {
            Some(last) if last.boot == boot => last.passed + uptime.saturating_sub(last.uptime),
            Some(last) => last.passed + uptime,
            None => 0,
        };
        Stamp { boot, uptime, passed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_writing_and_reading() {
        for text in ["2026-03-21T11:46:53+09:00", "1969-12-31T23:59:59Z", "2026-12-31T23:59:59-12:00"] {
            let moment = Moment::parse(text).unwrap();
            assert_eq!(Moment::parse(&moment.to_string()), Some(moment), "{text}");
        }
    }

    #[test]
    fn arithmetic_at_the_ends_never_wraps() {
        assert_eq!(Moment(i64::MAX) + Span::days(1), Moment(i64::MAX));
        assert_eq!(Moment(i64::MIN) - Span::days(1), Moment(i64::MIN));
    }

    #[test]
    fn a_stamp_does_not_run_while_the_power_is_off_and_never_goes_back() {
        let last = Stamp { boot: Hash::of(b"boot"), uptime: 150, passed: 50 };
        let passed = |boot: &[u8], uptime| Stamp::after(Some(last), (Hash::of(boot), uptime)).passed;
        assert_eq!((passed(b"boot", 160), passed(b"boot", 1), passed(b"next", 5)), (60, 50, 55));
        assert_eq!(Stamp::after(None, (Hash::of(b"boot"), 160)).passed, 0);
    }
}
