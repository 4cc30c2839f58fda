//! How long to wait before trying again.

use std::time::Duration;

/// Doubles from `first` up to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits `first` after the first failure and never longer than `cap`, which is raised to `first` if it is smaller.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap: cap.max(first) }
    }

    /// The wait after `failures` failures in a row, counted from one.
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.cap)
    }
}

/// A seeded source of small differences, so that many pollers do not act in step. SplitMix64: not for secrets.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// The same seed gives the same differences.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between `d` and a quarter more: never sooner, because `d` may be what the service asked for.
    pub fn stretch(&mut self, d: Duration) -> Duration {
        let quarter = u64::try_from(d.as_micros() / 4).unwrap_or(u64::MAX - 1);
        d + Duration::from_micros(self.next() % (quarter + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_shrinks_and_never_passes_the_cap(first in 1u64..5_000, cap in 1u64..100_000, n in 1u32..200) {
            let b = Backoff::new(Duration::from_millis(first), Duration::from_millis(cap));
            prop_assert!(b.delay(n) <= b.delay(n + 1));
            prop_assert!(b.delay(n) <= Duration::from_millis(cap.max(first)));
        }

        #[test]
        fn jitter_only_adds(seed: u64, ms in 0u64..10_000_000) {
            let d = Duration::from_millis(ms);
            let j = Jitter::new(seed).stretch(d);
            prop_assert!(j >= d && j <= d + d / 4);
        }
    }

    #[test]
    fn draws_are_those_of_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        let draws = [(); 3].map(|()| jitter.next());
        assert_eq!(draws, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn jitter_reaches_from_nothing_to_a_quarter() {
        let mut jitter = Jitter::new(1);
        let drawn = std::collections::BTreeSet::from([(); 100].map(|()| jitter.stretch(Duration::from_micros(8)).as_micros()));
        assert_eq!(drawn, [8, 9, 10].into());
        let ages = Duration::from_secs(1 << 60);
        assert!(jitter.stretch(ages) >= ages);
    }
}
