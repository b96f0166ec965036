//! The kernel's clocks: one that people set, and one that nobody can set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Pause between two looks at what changes by itself.
const LOOK: Duration = Duration::from_millis(5);

/// Microseconds since 1970, by the wall clock; 0 when it stands before that.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Which boot this is (`boot_id` of random(4); empty when it cannot be read), and seconds since it, suspended time
/// included.
pub fn uptime() -> (Vec<u8>, u64) {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (boot, u64::try_from(time.tv_sec).unwrap_or(0))
}

/// Looks every 5 ms, for about `most` and at least once, until it is so; false when it never was.
pub fn settles(most: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    (0..most.as_millis() / LOOK.as_millis()).any(|_| {
        let so = is_so();
        if !so {
            std::thread::sleep(LOOK);
        }
        so
    }) || is_so()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_looked_at_until_it_is_so_and_never_without_end() {
        let mut looks = 0;
        assert!(settles(Duration::from_secs(9), || {
            looks += 1;
            looks == 3
        }));
        assert_eq!(looks, 3);
        assert!(settles(Duration::ZERO, || true));
        assert!(!settles(Duration::from_millis(15), || {
            looks += 1;
            false
        }));
        assert_eq!(looks, 7);
    }

    #[test]
    fn the_boot_stays_the_same_and_its_seconds_never_run_back() {
        let (one, other) = (uptime(), uptime());
        assert!(one.0 == other.0 && one.0.len() > 30 && one.1 <= other.1, "{one:?} {other:?}");
        assert!(now() > 1_700_000_000_000_000, "microseconds");
    }
}
