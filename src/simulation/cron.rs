//! Seeds in which the process is `poll --once`, started again and again as by cron: each run ends by itself.

use std::time::Duration;

use super::enough::Replies;
use super::fate::Weather;
use super::world::{Outside, World};
use crate::domain::Time;
use crate::feed::{Finish, Plan};

/// Waits for the next time at which a run is started, or until `until`.
pub(super) async fn wait_for_turn(outside: &Outside, until: Duration) {
    let turn = outside.look().next_turn().min(until);
    loop {
        let at = {
            let world = outside.look();
            if world.elapsed() >= turn {
                return;
            }
            world.at(turn)
        };
        tokio::time::sleep_until(at).await;
    }
}

impl World {
    /// True if the process ends by itself.
    pub(super) fn is_once(&self) -> bool {
        self.plan == Plan::Once
    }

    fn next_turn(&self) -> Duration {
        let (now, every) = (self.elapsed().as_millis(), self.fate.poll_interval.as_millis().max(1));
        Duration::from_millis(u64::try_from((now / every + 1) * every).unwrap_or(u64::MAX))
    }

    /// True if a fine half hour that began then shows what it must. A run that has to end, and finds by a wrong local clock that
    /// its place lies before what the service keeps, tells so and does nothing: a person has to set the clock.
    pub(super) fn is_judged(&self, began: Time, before: Replies) -> bool {
        let unset = self.is_once() && self.clocks_differ();
        let enough = self.replies.were_enough(before, self.fate.requests_needed, self.fate.per_minute);
        self.fate.keeps_the_terms() && !self.is_dark_after(began) && !unset && enough
    }

    /// Whether a run may have ended so. Where nothing fails it brings all there is to its end, unless the clocks differ, or the
    /// subscription was off.
    pub(super) fn may_finish(&mut self, finish: &Finish) -> Result<(), String> {
        self.unset |= self.is_once() && self.clocks_differ() && matches!(finish, Finish::Unreachable { .. });
        let excused = self.has_met_weather() || self.clocks_differ() || self.is_dark_after(self.born());
        match finish {
            Finish::Stopped | Finish::Complete => Ok(()),
            Finish::Refused { .. } | Finish::Unreachable { .. } if self.is_once() && excused => Ok(()),
            _ => Err(format!("R25: it ended by itself: {finish:?}")),
        }
    }

    /// True if this process has lived in other than fine weather.
    fn has_met_weather(&self) -> bool {
        let (from, to) = (self.met.born, self.elapsed());
        let mut begins = Duration::ZERO;
        self.fate.slots.iter().any(|slot| {
            let meets = begins <= to && slot.until > from;
            begins = slot.until;
            meets && slot.weather != Weather::Fine
        })
    }
}
