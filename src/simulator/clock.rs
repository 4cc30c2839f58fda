//! The simulated time. The model takes the time with each call; only the HTTP front asks a clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::Time;

/// A clock that runs with the real one, faster or slower than it, or only by hand. Clones show the same time.
#[derive(Debug, Clone)]
pub struct SimClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The simulated time at `since`.
    base: Time,
    since: Instant,
    /// Simulated seconds per real second.
    rate: f64,
}

impl State {
    fn now(&self) -> Time {
        self.base + self.since.elapsed().mul_f64(self.rate)
    }
}

impl SimClock {
    /// The real time.
    pub fn real() -> Self {
        Self::starting_at(Time::from(chrono::Utc::now()))
    }

    /// It is `time` now, and goes on at the pace of the real time.
    pub fn starting_at(time: Time) -> Self {
        Self::scaled(time, 1.0)
    }

    /// It is `time` now, and `rate` simulated seconds pass in a real one. Negative or unreal rates count as 0.
    pub fn scaled(time: Time, rate: f64) -> Self {
        let rate = if rate.is_finite() && rate > 0.0 { rate.min(1e6) } else { 0.0 };
        Self(Arc::new(Mutex::new(State { base: time, since: Instant::now(), rate })))
    }

    /// It is `time`, until it is moved by hand.
    pub fn frozen(time: Time) -> Self {
        Self::scaled(time, 0.0)
    }

    /// The simulated time.
    pub fn now(&self) -> Time {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    /// Lets `duration` pass at once.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.base = state.base + duration;
    }

    /// Makes it `time` now.
    pub fn set(&self, time: Time) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.base = time;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_only_as_told() {
        let clock = SimClock::frozen(Time(1_000));
        let twin = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(twin.now(), Time(6_000));
        clock.set(Time(10));
        assert_eq!(twin.now(), Time(10));
        let fast = SimClock::scaled(Time(0), 100_000.0);
        std::thread::sleep(Duration::from_millis(2));
        assert!(fast.now() >= Time(200_000));
        assert_eq!(SimClock::scaled(Time(7), f64::NAN).now(), Time(7));
    }
}
