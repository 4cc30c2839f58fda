//! Requests per minute, counted over a sliding minute.

use std::time::Duration;

use crate::domain::Time;

/// How many seconds a minute is kept in.
const SLOTS: usize = 60;

/// A sliding minute in slots of a second: memory stays the same at any rate.
#[derive(Debug, Clone)]
pub(super) struct SlidingMinute {
    slots: [u32; SLOTS],
    second: i64,
}

impl SlidingMinute {
    pub(super) fn new() -> Self {
        Self { slots: [0; SLOTS], second: i64::MIN / 4 }
    }

    fn slot(second: i64) -> usize {
        usize::try_from(second.rem_euclid(SLOTS as i64)).unwrap_or(0)
    }

    /// Forgets what is more than a minute before `now`. A clock that goes back forgets nothing.
    fn move_to(&mut self, now: Time) {
        let second = now.0.div_euclid(1000);
        if second - self.second >= SLOTS as i64 {
            self.slots = [0; SLOTS];
        } else {
            for passed in self.second + 1..=second {
                self.slots[Self::slot(passed)] = 0;
            }
        }
        self.second = self.second.max(second);
    }

    /// The requests of the last minute.
    pub(super) fn count(&mut self, now: Time) -> u64 {
        self.move_to(now);
        self.slots.iter().map(|n| u64::from(*n)).sum()
    }

    /// Counts one.
    pub(super) fn add(&mut self, now: Time) {
        self.move_to(now);
        let slot = &mut self.slots[Self::slot(self.second)];
        *slot = slot.saturating_add(1);
    }

    /// How long until the oldest counted request leaves the minute.
    pub(super) fn until_room(&mut self, now: Time) -> Duration {
        self.move_to(now);
        let age = (0..SLOTS as i64).rev().find(|age| self.slots[Self::slot(self.second - age)] > 0);
        Duration::from_secs(age.map_or(0, |age| u64::try_from(SLOTS as i64 - age).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides() {
        let at = |s: i64| Time(s * 1000 + 500);
        let mut minute = SlidingMinute::new();
        for s in 0..30 {
            minute.add(at(s));
        }
        assert_eq!(minute.count(at(30)), 30);
        assert_eq!(minute.until_room(at(30)), Duration::from_secs(30));
        assert_eq!(minute.count(at(59)), 30);
        assert_eq!(minute.count(at(60)), 29);
        assert_eq!(minute.count(at(40)), 29);
        assert_eq!(minute.count(at(100_000)), 0);
        assert_eq!(minute.until_room(at(100_000)), Duration::ZERO);
    }
}
