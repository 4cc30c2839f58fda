//! The clocks, as the core is told them.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use crate::domain::Time;
use crate::feed::Now;

/// Where the shell gets the time from; a simulation brings its own.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Both clocks at this moment.
    fn now(&self) -> Now;
    /// The runtime's moment that lies `mono` after the start, to sleep until.
    fn at(&self, mono: Duration) -> Instant;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts counting.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { mono: self.start.elapsed(), wall: Time::from(Utc::now()) }
    }

    fn at(&self, mono: Duration) -> Instant {
        self.start + mono
    }
}
