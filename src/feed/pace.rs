//! How fast to ask: a rate learned from throttling, a pause that the service asks for, and how many blobs at once.

use std::time::Duration;

use super::backoff::{Backoff, Jitter};

/// Requests may bunch up by this much: long enough to use the rate despite a slow reply, short against the minute over
/// which the service counts.
const BURST: Duration = Duration::from_secs(1);
/// The first pause after a throttled request that came without `Retry-After` (`activity-api.md` section 10.2: at least 30 s
/// for all calls of the tenant); it doubles while throttling goes on.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
/// The service counts by the minute, so a much longer pause of our own choice gains nothing.
const PAUSE_CAP: Duration = Duration::from_secs(120);
/// A rate below this share of the ceiling would take days to recover from; the pause protects the service meanwhile.
const RATE_FLOOR_SHARE: f64 = 0.05;
/// What remains of the rate that was just refused: the refusals of one minute teach the quota to a few per cent.
const RATE_CUT: f64 = 0.9;
/// What remains of the rate after a refusal that stands alone.
const RATE_CUT_FIRST: f64 = 0.7;
/// How much of the ceiling comes back with each [`RAISE_EVERY`] without a refusal.
const RAISE_SHARE: f64 = 0.03;
const RAISE_EVERY: Duration = Duration::from_secs(10);
/// Blobs fetched at once at the start, before anything is known of the service's speed.
const WIDTH_START: usize = 4;
/// The most blobs fetched at once: at one MiB held for each, half of the memory budget.
pub const WIDTH_MAX: usize = 32;
/// One more blob at once for so many successes.
const WIDER_AFTER: u32 = 8;

/// The pace of one tenant's requests.
#[derive(Debug, Clone)]
pub struct Pace {
    ceiling: f64,
    rate: f64,
    /// When the bucket would be empty again, in the manner of GCRA.
    arrival: Duration,
    paused: Option<(Duration, Duration)>,
    pauses: u32,
    raised: Duration,
    width: usize,
    fixed: bool,
    successes: u32,
    /// Requests admitted in this minute and in the one before, to know the rate that was refused.
    minute: (u64, u32, u32),
}

impl Pace {
    /// Starts at `per_minute`, which stays the ceiling, and with `width` blobs at once if that is fixed.
    pub fn new(per_minute: u32, width: Option<usize>) -> Self {
        let ceiling = f64::from(per_minute.max(1));
        Self {
            ceiling,
            rate: ceiling,
            arrival: Duration::ZERO,
            paused: None,
            pauses: 0,
            raised: Duration::ZERO,
            width: width.unwrap_or(WIDTH_START).clamp(1, 64),
            fixed: width.is_some(),
            successes: 0,
            minute: (0, 0, 0),
        }
    }

    /// Whether a request may be sent now; if not, when to ask again.
    pub fn check(&self, now: Duration) -> Result<(), Duration> {
        if let Some((_, until)) = self.paused
            && now < until
        {
            return Err(until);
        }
        let arrival = self.arrival.max(now);
        if arrival - now > BURST { Err(arrival - BURST) } else { Ok(()) }
    }

    /// Takes one request's slot.
    pub fn take(&mut self, now: Duration) {
        if self.paused.is_some_and(|(_, until)| now >= until) {
            self.paused = None;
        }
        self.arrival = self.arrival.max(now) + Duration::from_secs_f64(60.0 / self.rate);
        self.count(now);
    }

    fn count(&mut self, now: Duration) {
        let minute = now.as_secs() / 60;
        match minute.saturating_sub(self.minute.0) {
            0 => self.minute.1 += 1,
            1 => self.minute = (minute, 1, self.minute.1),
            _ => self.minute = (minute, 1, 0),
        }
    }

    /// A request that was sent at `sent` came back throttled: returns when the tenant's calls may go on.
    pub fn throttled(&mut self, now: Duration, sent: Duration, retry_after: Option<Duration>, jitter: &mut Jitter) -> Duration {
        let known = self.paused.is_some_and(|(since, _)| sent <= since);
        if !known {
            self.pauses += 1;
            let observed = f64::from(self.minute.1.max(self.minute.2));
            let floor = (self.ceiling * RATE_FLOOR_SHARE).max(1.0);
            // A single refusal early in a minute says nothing about the quota; a second in a row does.
            let cut = if self.pauses > 1 { observed.max(floor) * RATE_CUT } else { self.rate * RATE_CUT_FIRST };
            self.rate = self.rate.min(cut).max(floor);
            self.raised = now;
            self.narrow();
        }
        let wait = retry_after.unwrap_or_else(|| Backoff::new(PAUSE_FIRST, PAUSE_CAP).delay(self.pauses));
        let until = now + jitter.stretch(wait.max(Duration::from_secs(1)));
        let (since, until) = match self.paused {
            Some((since, earlier)) if known => (since, until.max(earlier)),
            _ => (now, until),
        };
        self.paused = Some((since, until));
        until
    }

    /// Another feed of the tenant was told to pause: its calls count together.
    pub fn hold_until(&mut self, now: Duration, until: Duration) {
        let (since, earlier) = self.paused.unwrap_or((now, now));
        self.paused = Some((since, until.max(earlier)));
    }

    /// A request gave what was asked for.
    pub fn succeeded(&mut self, now: Duration) {
        if self.paused.is_none() {
            self.pauses = 0;
        }
        if now.saturating_sub(self.raised) >= RAISE_EVERY {
            self.rate = (self.rate + self.ceiling * RAISE_SHARE).min(self.ceiling);
            self.raised = now;
        }
        self.successes += 1;
        if !self.fixed && self.successes >= WIDER_AFTER {
            self.successes = 0;
            self.width = (self.width + 1).min(WIDTH_MAX);
        }
    }

    /// A request failed in a way that suggests that the service is in trouble.
    pub fn stumbled(&mut self) {
        self.narrow();
    }

    fn narrow(&mut self) {
        self.successes = 0;
        if !self.fixed {
            self.width = (self.width / 2).max(1);
        }
    }

    /// How many blobs to fetch at once.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Requests a minute at present.
    pub fn per_minute(&self) -> u32 {
        self.rate as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(pace: &mut Pace, from: Duration, to: Duration) -> u32 {
        let (mut now, mut n) = (from, 0);
        while now < to {
            match pace.check(now) {
                Ok(()) => {
                    pace.take(now);
                    n += 1;
                }
                Err(at) => now = at,
            }
        }
        n
    }

    #[test]
    fn a_minute_admits_the_rate_and_one_burst() {
        let mut pace = Pace::new(600, None);
        let n = admitted(&mut pace, Duration::ZERO, Duration::from_secs(60));
        assert!((600..=611).contains(&n), "{n}");
    }

    #[test]
    fn retry_after_is_kept_by_every_call() {
        let mut pace = Pace::new(6000, None);
        let at = Duration::from_secs(10);
        pace.take(at);
        let until = pace.throttled(at, at, Some(Duration::from_secs(120)), &mut Jitter::new(1));
        assert!(until >= at + Duration::from_secs(120));
        assert_eq!(pace.check(at + Duration::from_secs(119)), Err(until));
        assert!(pace.check(until).is_ok());
    }

    #[test]
    fn replies_that_were_under_way_do_not_count_twice() {
        let mut pace = Pace::new(6000, None);
        admitted(&mut pace, Duration::ZERO, Duration::from_secs(30));
        let at = Duration::from_secs(30);
        pace.throttled(at, at, None, &mut Jitter::new(1));
        let rate = pace.per_minute();
        for _ in 0..20 {
            pace.throttled(at + Duration::from_millis(5), at, None, &mut Jitter::new(1));
        }
        assert_eq!(pace.per_minute(), rate);
        assert!(rate < 6000);
    }

    /// It fell to the floor, because hardly anything had been asked for in that minute, and a run crawled for minutes.
    #[test]
    fn one_early_refusal_does_not_slow_a_run_to_a_crawl() {
        let mut pace = Pace::new(2000, None);
        pace.take(Duration::ZERO);
        pace.throttled(Duration::ZERO, Duration::ZERO, None, &mut Jitter::new(1));
        assert!(pace.per_minute() >= 1300, "{}", pace.per_minute());
    }

    #[test]
    fn the_rate_comes_back() {
        let mut pace = Pace::new(1000, None);
        pace.throttled(Duration::ZERO, Duration::ZERO, None, &mut Jitter::new(1));
        let low = pace.per_minute();
        for s in 0..2000 {
            pace.succeeded(Duration::from_secs(s));
        }
        assert!(low < 1000);
        assert_eq!(pace.per_minute(), 1000);
    }
}
