//! When to try again what failed: after a pause, and after twice as long each time.

use std::collections::BTreeMap;

/// What failed, each with its pause. Times are seconds of any clock that never runs back.
#[derive(Debug)]
pub struct Pauses<K> {
    first: u64,
    most: u64,
    /// The end of the pause, and how long the next one is.
    each: BTreeMap<K, (u64, u64)>,
}

impl<K: Ord + Clone> Pauses<K> {
    /// Seconds of the first pause, and of the longest.
    pub fn new(first: u64, most: u64) -> Pauses<K> {
        Pauses { first, most, each: BTreeMap::new() }
    }

    /// Whether it may be tried at this time.
    pub fn is_over(&self, key: &K, now: u64) -> bool {
        self.each.get(key).is_none_or(|(end, _)| *end <= now)
    }

    /// It failed at this time. What fails during its pause changes nothing.
    pub fn failed(&mut self, key: &K, now: u64) {
        let (end, next) = self.each.entry(key.clone()).or_insert((0, self.first));
        if *end <= now {
            (*end, *next) = (now + *next, self.most.min(2 * *next));
        }
    }

    /// Forgets all others; they begin with the first pause.
    pub fn retain(&mut self, stays: impl Fn(&K) -> bool) {
        self.each.retain(|key, _| stays(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_as_long_as_the_last_one_up_to_the_longest_and_each_key_has_its_own() {
        let mut pauses = Pauses::new(10, 35);
        let (mut now, mut ends) = (1000, vec![]);
        for _ in 0..4 {
            assert!(pauses.is_over(&"alice", now));
            pauses.failed(&"alice", now);
            let since = now;
            while !pauses.is_over(&"alice", now) {
                pauses.failed(&"alice", now);
                now += 1;
            }
            ends.push(now - since);
        }
        assert_eq!(ends, [10, 20, 35, 35]);
        pauses.failed(&"alice", now);
        assert!(pauses.is_over(&"bob", now) && !pauses.is_over(&"alice", now));
        pauses.retain(|key| *key != "alice");
        pauses.failed(&"alice", now);
        assert!(!pauses.is_over(&"alice", now + 9) && pauses.is_over(&"alice", now + 10));
    }
}
