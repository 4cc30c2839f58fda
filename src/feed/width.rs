//! How many blobs to fetch at once: no more than make it faster.
//!
//! Each blob under way holds memory, so the width grows only while it is what holds the feed up, and only if the wider one turns
//! out to be faster. Where the rate, the reader or the processor is the limit, more at once would only cost memory.

use std::time::Duration;

/// Blobs fetched at once at the start, before anything is known of the service's speed.
const START: usize = 4;
/// The most blobs fetched at once: at one MiB held for each, half of the memory budget.
const WIDTH_MAX: usize = 32;
/// The most that may be asked for by `--concurrency`.
const FIXED_MAX: usize = 64;
/// A speed is measured over so many blobs for each one that is fetched at once: downloads differ in length.
const ROUND: usize = 6;
/// Twice the width has to be so much faster, or it is taken back …
const PAYS: f64 = 1.2;
/// … and tried again after this: the service's speed changes with the hour.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// A measurement under way.
#[derive(Debug, Clone, Copy)]
struct Round {
    since: Duration,
    /// Blobs that have come since.
    blobs: usize,
    /// Those of them that left room for one that waited.
    full: usize,
}

/// The width of one tenant's downloads.
#[derive(Debug, Clone)]
pub(super) struct Width {
    now: usize,
    fixed: bool,
    round: Option<Round>,
    /// Blobs a second at half the width, while it is not decided whether doubling it has paid.
    before: Option<f64>,
    tries_from: Duration,
}

impl Width {
    /// Starts small, unless the width is fixed.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        let now = fixed.unwrap_or(START).clamp(1, FIXED_MAX);
        Self { now, fixed: fixed.is_some(), round: None, before: None, tries_from: Duration::ZERO }
    }

    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// A blob has come. `full`: as many as may be were under way until then, and more are waiting.
    pub(super) fn fetched(&mut self, now: Duration, full: bool) {
        if self.fixed {
            return;
        }
        let Some(round) = &mut self.round else {
            self.round = full.then_some(Round { since: now, blobs: 0, full: 0 });
            return;
        };
        round.blobs += 1;
        round.full += usize::from(full);
        let Round { since, blobs, full } = *round;
        if blobs < self.now * ROUND {
            return;
        }
        self.round = None;
        // Two that come at once leave room for two: it need not be full at each.
        if full * 2 < blobs {
            self.before = None;
            return;
        }
        let speed = blobs as f64 / now.saturating_sub(since).as_secs_f64().max(0.001);
        match self.before.take() {
            Some(before) if speed < before * PAYS => {
                self.now = (self.now / 2).max(1);
                self.tries_from = now + TRY_AGAIN;
            }
            _ if self.now < WIDTH_MAX && now >= self.tries_from => {
                self.before = Some(speed);
                self.now = (self.now * 2).min(WIDTH_MAX);
            }
            _ => {}
        }
    }

    /// The service is in trouble, or has refused.
    pub(super) fn narrow(&mut self) {
        (self.round, self.before, self.tries_from) = (None, None, Duration::ZERO);
        if !self.fixed {
            self.now = (self.now / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches for so many seconds from a service that takes `reply` for a blob and lets through so many blobs a second.
    fn settled(reply: Duration, most: f64, seconds: u64) -> Vec<usize> {
        let mut width = Width::new(None);
        let mut seen = vec![width.now()];
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(seconds) {
            let speed = (width.now() as f64 / reply.as_secs_f64()).min(most);
            now += Duration::from_secs_f64(1.0 / speed);
            width.fetched(now, true);
            if seen.last() != Some(&width.now()) {
                seen.push(width.now());
            }
        }
        seen
    }

    #[test]
    fn it_doubles_as_long_as_that_is_faster() {
        let slow = Duration::from_millis(500);
        assert_eq!(settled(slow, f64::INFINITY, 30), [4, 8, 16, 32]);
        assert_eq!(settled(slow, 18.0, 30), [4, 8, 16, 8], "16 is hardly faster than 8 where 18 a second is all there is");
        assert_eq!(settled(Duration::from_millis(1), 1_000.0, 30), [4, 8, 4], "the processor is the limit");
    }

    #[test]
    fn what_did_not_pay_is_tried_again_after_a_minute() {
        assert_eq!(settled(Duration::from_millis(1), 1_000.0, 59), [4, 8, 4]);
        assert_eq!(settled(Duration::from_millis(1), 1_000.0, 119), [4, 8, 4, 8, 4]);
    }

    #[test]
    fn where_something_else_holds_it_up_it_stays() {
        let mut width = Width::new(None);
        for second in 0..1_000 {
            width.fetched(Duration::from_secs(second), second % 3 == 0);
        }
        assert_eq!(width.now(), 4, "it is full too seldom");
    }

    #[test]
    fn trouble_halves_it_and_a_fixed_one_stays() {
        let mut width = Width::new(None);
        (0..30).for_each(|n| width.fetched(Duration::from_millis(n), true));
        assert_eq!(width.now(), 8);
        for narrower in [4, 2, 1, 1] {
            width.narrow();
            assert_eq!(width.now(), narrower);
        }
        for (asked, fixed) in [(0, 1), (6, 6), (100, 64)] {
            let mut width = Width::new(Some(asked));
            (0..1_000).for_each(|n| width.fetched(Duration::from_millis(n), true));
            width.narrow();
            assert_eq!(width.now(), fixed);
        }
    }
}
