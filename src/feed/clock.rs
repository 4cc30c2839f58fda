//! The service's time, known from the `Date` header of its replies.

use std::time::Duration;

use crate::domain::Time;

/// What the shell reads off its clocks when it calls the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the process began; never goes back. All waiting is measured with it.
    pub mono: Duration,
    /// The local clock: only compared with the service's, never trusted by itself.
    pub wall: Time,
}

/// How far the two clocks may lie apart and still agree. Kerberos and Entra tolerate five minutes; a request may take two.
pub const AGREEMENT: Duration = Duration::from_secs(10 * 60);

/// The service's clock, carried forward between replies by the monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerClock {
    sample: Option<(Time, Duration)>,
    /// The service has told its time at least once.
    dated: bool,
}

impl ServerClock {
    /// Takes in a reply's `Date`; a reply without one is dated by the local clock.
    pub fn observe(&mut self, date: Option<Time>, now: Now) {
        match date {
            Some(date) => {
                self.sample = Some((date, now.mono));
                self.dated = true;
            }
            None if self.sample.is_none() => self.sample = Some((now.wall, now.mono)),
            None => {}
        }
    }

    /// The service's time, once a reply has told it.
    pub fn now(&self, now: Now) -> Option<Time> {
        self.sample.map(|(date, at)| date + now.mono.saturating_sub(at))
    }

    /// How far the local clock lies from the service's: positive if the local clock is behind. `None` while the service has
    /// not told its time: the local clock is no witness to itself.
    pub fn skew_ms(&self, now: Now) -> Option<i64> {
        self.now(now).filter(|_| self.dated).map(|server| server.0 - now.wall.0)
    }

    /// True if both clocks tell about the same time (law L9).
    pub fn agrees(&self, now: Now) -> bool {
        self.skew_ms(now).is_some_and(|ms| u128::from(ms.unsigned_abs()) <= AGREEMENT.as_millis())
    }
}
