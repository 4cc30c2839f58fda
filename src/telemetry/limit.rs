//! Repeats, held back: what happens a thousand times a second is said once in a while, with the number that was not said.

use std::collections::HashMap;
use std::hash::Hash;

/// Keys that are remembered by default: a few kinds of event for each of hundreds of tenants.
const KEYS_MAX: usize = 4096;

/// Lets at most one event of each key through per interval, and counts the others. It reads no clock: the caller says what time it is, in
/// milliseconds of a clock that does not go back (one that does makes an event come early, never late).
#[derive(Debug)]
pub struct RepeatLimit<K> {
    interval_ms: u64,
    keys_max: usize,
    keys: HashMap<K, Seen>,
    /// Stands in for all keys that find no room.
    others: Seen,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// When an event was let through last.
    at_ms: Option<u64>,
    suppressed: u64,
}

impl Seen {
    fn admit(&mut self, now_ms: u64, interval_ms: u64) -> Option<u64> {
        let due = self.at_ms.is_none_or(|at| now_ms < at || now_ms - at >= interval_ms);
        if !due {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.at_ms = Some(now_ms);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn is_over(&self, now_ms: u64, interval_ms: u64) -> bool {
        self.suppressed == 0 && self.at_ms.is_none_or(|at| now_ms < at || now_ms - at >= interval_ms)
    }
}

impl<K: Hash + Eq> RepeatLimit<K> {
    /// One event of each key per interval.
    pub fn new(interval_ms: u64) -> Self {
        Self::with_keys(interval_ms, KEYS_MAX)
    }

    /// The same with a limit on remembered keys. The keys beyond it share one place: memory and the rate of lines are both bounded.
    pub fn with_keys(interval_ms: u64, keys_max: usize) -> Self {
        Self { interval_ms, keys_max, keys: HashMap::new(), others: Seen::default() }
    }

    /// Whether to let an event through: then the number of those of its key that were held back since the last one.
    pub fn admit(&mut self, key: K, now_ms: u64) -> Option<u64> {
        if let Some(seen) = self.keys.get_mut(&key) {
            return seen.admit(now_ms, self.interval_ms);
        }
        if self.keys.len() >= self.keys_max && self.others.is_over(now_ms, self.interval_ms) {
            // Looked through once an interval at most, because the shared place is in use after it.
            self.keys.retain(|_, seen| !seen.is_over(now_ms, self.interval_ms));
        }
        if self.keys.len() >= self.keys_max {
            return self.others.admit(now_ms, self.interval_ms);
        }
        self.keys.entry(key).or_default().admit(now_ms, self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_an_interval_and_a_count_of_the_rest() {
        let mut limit = RepeatLimit::new(1000);
        assert_eq!(limit.admit("a", 5), Some(0));
        assert_eq!(limit.admit("a", 6), None);
        assert_eq!(limit.admit("b", 6), Some(0));
        assert_eq!(limit.admit("a", 1004), None);
        assert_eq!(limit.admit("a", 1005), Some(2));
        assert_eq!(limit.admit("a", 5000), Some(0));
        assert_eq!(limit.admit("a", 100), Some(0), "a clock that goes back holds nothing up");
    }

    #[test]
    fn keys_beyond_the_limit_share_one_place() {
        let mut limit = RepeatLimit::with_keys(1000, 2);
        assert_eq!(limit.admit(1, 0), Some(0));
        assert_eq!(limit.admit(2, 0), Some(0));
        assert_eq!(limit.admit(3, 0), Some(0));
        assert_eq!(limit.admit(4, 0), None);
        assert_eq!(limit.admit(5, 999), None);
        assert_eq!(limit.keys.len(), 2);
        assert_eq!(limit.admit(6, 1000), Some(2), "the shared place tells how many it held back");
        assert_eq!(limit.admit(7, 2000), Some(0), "keys whose time is over make room");
        assert!(limit.keys.contains_key(&7) && !limit.keys.contains_key(&1));
    }

    proptest! {
        /// Whatever comes: no event is forgotten, and no key is let through twice within an interval.
        #[test]
        fn admitted_and_suppressed_add_up(events in prop::collection::vec((0u8..6, 0u64..50), 0..200)) {
            let mut limit = RepeatLimit::with_keys(100, 4);
            let (mut now, mut said, mut lines) = (0, 0, 0);
            for (key, wait) in &events {
                now += wait;
                if let Some(suppressed) = limit.admit(*key, now) {
                    said += suppressed + 1;
                    lines += 1;
                }
            }
            let held: u64 = limit.keys.values().chain([&limit.others]).map(|seen| seen.suppressed).sum();
            prop_assert_eq!(said + held, events.len() as u64);
            prop_assert!(limit.keys.len() <= 4);
            prop_assert!(lines <= (now / 100 + 1) * 7);
        }
    }
}
