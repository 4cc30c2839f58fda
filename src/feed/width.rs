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
/// A speed is measured over so many blobs for each one that is fetched at once: downloads differ in length …
const ROUND: usize = 6;
/// … and for no less than this: a batch is as old at most, and how commits fall decides what a shorter while looks like.
const ROUND_TIME: Duration = Duration::from_millis(250);
/// A round of this length tells by itself what a width is worth; a shorter one may be chance.
const SURE: Duration = Duration::from_millis(500);
/// Twice the width has to be so much faster than before, and where that is not sure also than afterwards, or it is taken back …
const PAYS: f64 = 1.2;
/// … and tried again after this: the service's speed changes with the hour. Each time that it has not paid, twice as long …
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// … but no longer. Chance lets a width pay that does not, on a busy machine now and then, so that each try may cost memory for good.
const TRY_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// A measurement under way.
#[derive(Debug, Clone, Copy)]
struct Round {
    since: Duration,
    /// Blobs that have come since.
    blobs: usize,
    /// Those of them that left room for one that waited.
    full: usize,
}

/// What the measurement under way is for. Speeds are blobs a second.
#[derive(Debug, Clone, Copy)]
enum Trial {
    /// The speed at the width that has proved itself.
    Usual,
    /// Twice that width, which gave this speed by itself.
    Wider { usual: f64 },
    /// The usual width once more: twice as much was faster, at this speed, but the service may just have become faster.
    Confirm { wider: f64 },
}

/// The width of one tenant's downloads.
#[derive(Debug, Clone)]
pub(super) struct Width {
    now: usize,
    fixed: bool,
    round: Option<Round>,
    trial: Trial,
    tries_from: Duration,
    patience: Duration,
}

impl Width {
    /// Starts small, unless the width is fixed.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        let now = fixed.unwrap_or(START).clamp(1, FIXED_MAX);
        let (round, trial) = (None, Trial::Usual);
        Self { now, fixed: fixed.is_some(), round, trial, tries_from: Duration::ZERO, patience: TRY_AGAIN }
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
        let took = now.saturating_sub(since);
        if blobs < self.now * ROUND || took < ROUND_TIME {
            return;
        }
        self.round = None;
        // Two that come at once leave room for two: it need not be full at each.
        self.judge(blobs as f64 / took.as_secs_f64(), full * 2 >= blobs, took >= SURE, now);
    }

    /// Decides what is measured next. A width that was not `full` is not what held the feed up.
    fn judge(&mut self, speed: f64, full: bool, sure: bool, now: Duration) {
        match std::mem::replace(&mut self.trial, Trial::Usual) {
            Trial::Usual if full && self.now < WIDTH_MAX && now >= self.tries_from => {
                self.trial = Trial::Wider { usual: speed };
                self.now = self.doubled();
            }
            Trial::Usual => {}
            Trial::Wider { usual } if sure && speed >= usual * PAYS => {
                self.patience = TRY_AGAIN;
                if full && self.now < WIDTH_MAX {
                    self.trial = Trial::Wider { usual: speed };
                    self.now = self.doubled();
                }
            }
            Trial::Wider { usual } => {
                self.now = (self.now / 2).max(1);
                if speed < usual * PAYS {
                    self.put_off(now);
                } else {
                    self.trial = Trial::Confirm { wider: speed };
                }
            }
            Trial::Confirm { wider } if full && wider >= speed * PAYS => {
                self.now = self.doubled();
                self.patience = TRY_AGAIN;
            }
            Trial::Confirm { .. } => self.put_off(now),
        }
    }

    fn doubled(&self) -> usize {
        (self.now * 2).min(WIDTH_MAX)
    }

    fn put_off(&mut self, now: Duration) {
        self.tries_from = now + self.patience;
        self.patience = (self.patience * 2).min(TRY_AGAIN_MAX);
    }

    /// The service is in trouble, or has refused.
    pub(super) fn narrow(&mut self) {
        (self.round, self.trial) = (None, Trial::Usual);
        (self.tries_from, self.patience) = (Duration::ZERO, TRY_AGAIN);
        if !self.fixed {
            self.now = (self.now / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches for so many seconds from a service that takes `reply` for a blob and lets through so many blobs a second, which may
    /// change with time.
    fn settled(reply: Duration, most: impl Fn(Duration) -> f64, seconds: u64) -> Vec<usize> {
        let mut width = Width::new(None);
        let mut seen = vec![width.now()];
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(seconds) {
            let speed = (width.now() as f64 / reply.as_secs_f64()).min(most(now));
            now += Duration::from_secs_f64(1.0 / speed);
            width.fetched(now, true);
            if seen.last() != Some(&width.now()) {
                seen.push(width.now());
            }
        }
        seen
    }

    const SLOW: Duration = Duration::from_millis(500);
    const FAST: Duration = Duration::from_millis(1);

    #[test]
    fn it_doubles_as_long_as_that_is_faster() {
        assert_eq!(settled(SLOW, |_| f64::INFINITY, 40), [4, 8, 16, 32]);
        assert_eq!(settled(SLOW, |_| 18.0, 40), [4, 8, 16, 8], "16 is hardly faster than 8 where 18 a second is all there is");
        assert_eq!(settled(FAST, |_| 1_000.0, 40), [4, 8, 4], "the processor is the limit");
    }

    #[test]
    fn a_service_that_became_faster_by_itself_gets_no_more_requests() {
        let faster = |now| if now < Duration::from_millis(260) { 500.0 } else { 1_000.0 };
        assert_eq!(settled(FAST, faster, 40), [4, 8, 4]);
    }

    #[test]
    fn one_commit_is_no_measure() {
        // Blobs come in bursts, and none while their batch is synced.
        let bursts = |now: Duration| if now.subsec_millis() % 40 < 20 { 4_000.0 } else { 100.0 };
        assert_eq!(settled(FAST, bursts, 40), [4, 8, 4]);
    }

    #[test]
    fn what_did_not_pay_is_tried_again_later_and_later() {
        for (tries, seconds) in [(1, 59), (2, 63), (2, 175), (3, 185), (3, 415), (4, 430)] {
            assert_eq!(settled(FAST, |_| 1_000.0, seconds).len(), 1 + 2 * tries, "{seconds} s");
        }
    }

    #[test]
    fn where_something_else_holds_it_up_it_stays() {
        let mut width = Width::new(None);
        for second in 0..1_000 {
            width.fetched(Duration::from_secs(second), second % 3 == 0);
        }
        assert_eq!(width.now(), 4, "it is full too seldom");
    }

    /// After the first, which begins it.
    fn round(blobs: u32, full: u32, took: Duration) -> usize {
        let mut width = Width::new(None);
        width.fetched(Duration::ZERO, true);
        (0..blobs).for_each(|n| width.fetched(took, n < full));
        width.now()
    }

    #[test]
    fn a_round_is_six_blobs_for_each_at_once_and_a_quarter_of_a_second() {
        assert_eq!(round(24, 24, ROUND_TIME), 8);
        assert_eq!(round(23, 23, ROUND_TIME), 4);
        assert_eq!(round(24, 24, ROUND_TIME - Duration::from_millis(1)), 4);
        assert_eq!(round(24, 12, ROUND_TIME), 8, "full at every second one");
        assert_eq!(round(24, 11, ROUND_TIME), 4);
    }

    #[test]
    fn what_is_not_sure_has_to_be_faster_than_before_and_afterwards() {
        let second = Duration::from_secs(1);
        let judged = |speeds: &[(f64, bool)]| {
            let mut width = Width::new(None);
            speeds.iter().for_each(|(speed, sure)| width.judge(*speed, true, *sure, second));
            (width.now(), width.tries_from > second)
        };
        assert_eq!(judged(&[(10.0, true)]), (8, false));
        assert_eq!(judged(&[(10.0, true), (12.0, true)]), (16, false), "a fifth faster, for sure");
        assert_eq!(judged(&[(10.0, true), (11.9, true)]), (4, true));
        assert_eq!(judged(&[(10.0, true), (12.0, false)]), (4, false), "once more at the usual width");
        assert_eq!(judged(&[(10.0, true), (11.9, false)]), (4, true));
        assert_eq!(judged(&[(10.0, true), (12.0, false), (10.0, false)]), (8, false));
        assert_eq!(judged(&[(10.0, true), (12.0, false), (10.1, false)]), (4, true));
    }

    #[test]
    fn trouble_halves_it_and_a_fixed_one_stays() {
        let mut width = Width::new(None);
        (0..300).for_each(|n| width.fetched(Duration::from_millis(n), true));
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
