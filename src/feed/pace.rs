//! How fast to ask: a rate learned from throttling, a pause that the service asks for, and how many blobs at once.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use super::width::Width;

/// Requests may bunch up by this much: long enough to use the rate despite a slow reply, short against the minute over
/// which the service counts.
const BURST: Duration = Duration::from_secs(1);
/// The first pause after a throttled request that came without `Retry-After` (`activity-api.md` section 10.2: at least 30 s
/// for all calls of the tenant); it doubles while throttling goes on.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
/// The service counts by the minute, so a much longer pause of our own choice gains nothing.
const PAUSE_CAP: Duration = Duration::from_secs(120);
/// A rate below this share of the ceiling takes long to recover from; the pause protects the service meanwhile. Where the ceiling is
/// far above any quota, [`SAMPLE_MIN`] a minute is low enough.
const RATE_FLOOR_SHARE: f64 = 0.05;
/// The rate after a refusal, as a share of what the service let through in the minute before it. A burst on top of it still fits.
const RATE_CUT: f64 = 0.98;
/// The same where another refusal has just told more than was true: the minute before a refusal may lie in two of the service's.
const RATE_CUT_AGAIN: f64 = 0.94;
/// What remains of the rate after a refusal that says nothing of the quota.
const RATE_CUT_BLIND: f64 = 0.7;
/// A refusal after fewer requests than this says nothing of the quota: somebody else has used it up, or an earlier process did.
const SAMPLE_MIN: u32 = 50;
/// Over which the service counts (`activity-api.md` section 8).
const MINUTE: Duration = Duration::from_secs(60);
/// While the quota is not confirmed, the rate grows by this factor so often. One that was only used up by somebody else comes back
/// within minutes …
const GROWTH: f64 = 1.25;
const GROWTH_EVERY: Duration = Duration::from_secs(10);
/// … and while it is, by this one each minute …
const PROBE: f64 = 1.01;
/// … after a time without refusals that doubles whenever a refusal confirms it: each costs a pause.
const HOLD: (Duration, Duration) = (Duration::from_secs(20 * 60), Duration::from_secs(2 * 3600));
/// Two refusals confirm each other if they come at rates this close.
const SAME_QUOTA: f64 = 0.05;

/// The pace of one tenant's requests.
#[derive(Debug, Clone)]
pub struct Pace {
    ceiling: f64,
    rate: f64,
    /// When the bucket would be empty again, in the manner of GCRA.
    arrival: Duration,
    paused: Option<(Duration, Duration)>,
    pauses: u32,
    quota: Quota,
    width: Width,
    /// Requests that were let through in each of the last seconds.
    answered: VecDeque<(u64, u32)>,
}

/// What refusals have taught of the quota.
#[derive(Debug, Clone, Copy)]
struct Quota {
    /// Requests a minute, if a refusal has told.
    limit: Option<f64>,
    /// Another refusal came at about the same rate.
    confirmed: bool,
    /// The time without refusals after which it is probed.
    hold: Duration,
    /// When the last refusal came, or the rate was raised last.
    changed: Duration,
    refused: Duration,
}

impl Quota {
    /// The service let through so many requests in the minute before it refused one. Returns the rate to go on with.
    /// `worked`: something was let through since the refusal before this one.
    fn refused_at(&mut self, observed: f64, rate: f64, worked: bool, now: Duration) -> f64 {
        let again = worked && self.limit.is_some() && now.saturating_sub(self.refused) < HOLD.0;
        let rate = (observed * RATE_CUT).min(if again { rate * RATE_CUT_AGAIN } else { f64::MAX });
        let told = rate / RATE_CUT;
        let same = self.limit.is_some_and(|limit| (told - limit).abs() <= limit * SAME_QUOTA);
        self.hold = if same && self.confirmed { (self.hold * 2).min(HOLD.1) } else { HOLD.0 };
        // Where it was taken too high, each step down comes closer to it.
        self.confirmed = same || (again && self.confirmed);
        self.limit = Some(told);
        self.refuse(now);
        rate
    }

    fn refuse(&mut self, now: Duration) {
        (self.refused, self.changed) = (now, now);
    }

    /// The rate after a success.
    fn raised(&mut self, now: Duration, rate: f64) -> f64 {
        let (limit, since) = (self.limit.unwrap_or(f64::MAX), now.saturating_sub(self.changed));
        // Well above what was confirmed, the quota is another one.
        self.confirmed &= rate <= limit * (1.0 + SAME_QUOTA);
        if self.confirmed && rate >= limit * RATE_CUT_AGAIN {
            let held = now.saturating_sub(self.refused) < self.hold || since < MINUTE;
            return if held { rate } else { self.change(now, rate * PROBE) };
        }
        let grown = if self.confirmed { (rate * GROWTH).min(limit * RATE_CUT_AGAIN) } else { rate * GROWTH };
        if since < GROWTH_EVERY { rate } else { self.change(now, grown) }
    }

    fn change(&mut self, now: Duration, rate: f64) -> f64 {
        self.changed = now;
        rate
    }
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
            quota: Quota { limit: None, confirmed: false, hold: HOLD.0, changed: Duration::ZERO, refused: Duration::ZERO },
            width: Width::new(width),
            answered: VecDeque::new(),
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
    }

    /// A reply came that was no refusal.
    fn answered(&mut self, now: Duration) {
        let second = now.as_secs();
        match self.answered.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.answered.push_back((second, 1)),
        }
        self.forget_answers(now);
    }

    fn forget_answers(&mut self, now: Duration) {
        while self.answered.front().is_some_and(|(second, _)| second + MINUTE.as_secs() <= now.as_secs()) {
            self.answered.pop_front();
        }
    }

    /// A request that was sent at `sent` came back throttled: returns when the tenant's calls may go on.
    pub fn throttled(&mut self, now: Duration, sent: Duration, retry_after: Option<Duration>, jitter: &mut Jitter) -> Duration {
        let known = self.paused.is_some_and(|(since, _)| sent <= since);
        if !known {
            self.pauses += 1;
            self.forget_answers(now);
            let observed: u32 = self.answered.iter().map(|(_, count)| count).sum();
            if observed >= SAMPLE_MIN {
                let rate = self.quota.refused_at(f64::from(observed), self.rate, self.pauses == 1, now);
                self.slow_down(rate);
            } else {
                self.quota.refuse(now);
                self.slow_down(self.rate * RATE_CUT_BLIND);
            }
            self.width.narrow();
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

    fn slow_down(&mut self, rate: f64) {
        let floor = (self.ceiling * RATE_FLOOR_SHARE).clamp(1.0, f64::from(SAMPLE_MIN));
        self.rate = self.rate.min(rate).max(floor);
    }

    /// Another feed of the tenant was told to pause: its calls count together.
    pub fn hold_until(&mut self, now: Duration, until: Duration) {
        let (since, earlier) = self.paused.unwrap_or((now, now));
        self.paused = Some((since, until.max(earlier)));
    }

    /// A request gave what was asked for.
    pub fn succeeded(&mut self, now: Duration) {
        self.answered(now);
        if self.paused.is_none() {
            self.pauses = 0;
        }
        self.rate = self.quota.raised(now, self.rate).min(self.ceiling);
    }

    /// A blob has come. `full`: as many as may be were under way until then, and more are waiting.
    pub fn fetched(&mut self, now: Duration, full: bool) {
        self.width.fetched(now, full);
    }

    /// A request failed in a way that suggests that the service is in trouble.
    pub fn stumbled(&mut self) {
        self.width.narrow();
    }

    /// How many blobs to fetch at once.
    pub fn width(&self) -> usize {
        self.width.now()
    }

    /// Requests a minute at present.
    pub fn per_minute(&self) -> u32 {
        self.rate as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of a quota since a refusal at the time zero.
    fn known(limit: impl Into<Option<f64>>, confirmed: bool) -> Quota {
        Quota { limit: limit.into(), confirmed, hold: HOLD.0, changed: Duration::ZERO, refused: Duration::ZERO }
    }

    #[test]
    fn a_refusal_soon_after_another_tells_that_the_first_told_too_much() {
        // (limit, worked, seconds since the last refusal) of a service that let 5,000 through and was asked 1,000 a minute.
        for (limit, worked, after, rate) in [
            (Some(1_000.0), true, 0, 940.0),
            (Some(1_000.0), true, 1_199, 940.0),
            (Some(1_000.0), true, 1_200, 4_900.0),
            (Some(1_000.0), true, 1_201, 4_900.0),
            (Some(1_000.0), false, 10, 4_900.0),
            (None, true, 10, 4_900.0),
        ] {
            let learned = known(limit, false).refused_at(5_000.0, 1_000.0, worked, Duration::from_secs(after));
            assert!((learned - rate).abs() < 0.001, "{limit:?}, {worked}, {after} s: {learned}");
        }
    }

    #[test]
    fn refusals_confirm_each_other_within_a_twentieth() {
        // (what was let through, seconds since the last refusal, confirmed before, confirmed by it), where the limit was 1,000.
        for (let_through, after, before, confirmed) in [
            (1_040.0, 2_000, false, true),
            (960.0, 2_000, false, true),
            (1_060.0, 2_000, false, false),
            (940.0, 2_000, false, false),
            (1_060.0, 2_000, true, false),
            (500.0, 10, true, true),
            (500.0, 10, false, false),
        ] {
            let mut quota = known(1_000.0, before);
            quota.refused_at(let_through, 5_000.0, true, Duration::from_secs(after));
            assert_eq!(quota.confirmed, confirmed, "{let_through}, {after} s, {before}");
        }
    }

    #[test]
    fn each_confirmation_doubles_the_time_without_a_probe_up_to_two_hours() {
        let mut quota = known(1_000.0, true);
        for minutes in [40, 80, 120, 120] {
            quota.refused_at(1_000.0, 1_000.0, false, Duration::ZERO);
            assert_eq!(quota.hold, Duration::from_secs(minutes * 60));
        }
    }

    #[test]
    fn a_rate_below_a_confirmed_quota_comes_back_to_it_at_once() {
        let soon = Duration::from_secs(10);
        for (rate, raised, confirmed) in
            [(500.0, 625.0, true), (800.0, 940.0, true), (1_049.0, 1_049.0, true), (1_051.0, 1_313.75, false)]
        {
            let mut quota = known(1_000.0, true);
            assert_eq!((quota.raised(soon, rate), quota.confirmed), (raised, confirmed), "{rate}");
        }
    }

    #[test]
    fn only_what_worked_since_makes_a_refusal_another_one() {
        for (works, rate) in [(true, 921), (false, 980)] {
            let mut pace = Pace::new(6_000, None);
            let at = Duration::from_secs;
            (0..1_000).for_each(|_| pace.succeeded(at(1)));
            let until = pace.throttled(at(1), at(1), Some(at(2)), &mut Jitter::new(1));
            pace.take(until);
            if works {
                pace.succeeded(until);
            }
            pace.throttled(until, until, None, &mut Jitter::new(1));
            assert_eq!(pace.per_minute(), rate, "{works}");
        }
    }

    #[test]
    fn refusals_that_say_nothing_leave_a_twentieth_of_the_ceiling() {
        for (ceiling, floor) in [(600, 30), (10, 1), (1_000_000, 50)] {
            let mut pace = Pace::new(ceiling, None);
            for second in 0..100 {
                let at = Duration::from_secs(second * 200);
                pace.throttled(at, at, Some(Duration::from_secs(1)), &mut Jitter::new(1));
            }
            assert_eq!(pace.per_minute(), floor, "{ceiling}");
        }
    }

    #[test]
    fn blobs_that_come_one_after_the_other_and_leave_others_waiting_widen_it() {
        for (full, width) in [(true, 8), (false, 4)] {
            let mut pace = Pace::new(6_000, None);
            (0..=24).for_each(|n| pace.fetched(Duration::from_millis(n * 20), full));
            assert_eq!(pace.width(), width);
        }
    }

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
        let at = Duration::from_secs(30);
        (0..1000).for_each(|_| pace.succeeded(at));
        pace.throttled(at, at, None, &mut Jitter::new(1));
        let rate = pace.per_minute();
        for _ in 0..20 {
            pace.throttled(at + Duration::from_millis(5), at, None, &mut Jitter::new(1));
        }
        assert_eq!((pace.per_minute(), rate), (980, 980));
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
    fn the_rate_comes_back_after_a_refusal_that_says_nothing() {
        let mut pace = Pace::new(1000, None);
        pace.throttled(Duration::ZERO, Duration::ZERO, None, &mut Jitter::new(1));
        let low = pace.per_minute();
        for s in 0..120 {
            pace.succeeded(Duration::from_secs(s));
        }
        assert!(low < 1000);
        assert_eq!(pace.per_minute(), 1000);
    }
}
