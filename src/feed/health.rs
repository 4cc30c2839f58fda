//! How the feed as a whole is faring: what works, what is refused, and when to give up.

use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use crate::domain::Fault;

/// A poller asks again this often where a person has to act first.
const REFUSED_EVERY: Duration = Duration::from_secs(15 * 60);
/// What has worked before may be refused in passing: these waits come before [`REFUSED_EVERY`].
const REFUSED_AFTER_SUCCESS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(120)];
/// So many failures in a row, with no success between, hold the whole feed.
const STREAK: u32 = 3;
/// How long the feed is held.
const HOLD: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// A one-shot command that never reached the service gives up when requests have failed for so long, [`STREAK`] of them or more. It is
/// counted from the first failure: a single request may take longer by itself, and a process may be suspended or wait for its reader.
const FIRST_CONTACT: Duration = Duration::from_secs(30);
/// … asking again at least this often: somebody waits.
const FIRST_CONTACT_HOLD: Duration = Duration::from_secs(5);
/// A one-shot command that reached the service before waits this long for it to come back.
const OUTAGE: Duration = Duration::from_secs(10 * 60);
/// … and this long for throttling to end: the service counts by the minute, but may ask for a longer pause.
const THROTTLED: Duration = Duration::from_secs(60 * 60);
/// Alarms about the same thing come at most this often.
const ALARM_EVERY: Duration = Duration::from_secs(300);

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setback {
    /// Try again then.
    Until(Duration),
    /// A one-shot command ends.
    GiveUp,
}

/// True if listings got nothing but refusals for their rate for so long that a one-shot command should end, whatever else works.
pub(super) fn is_held_for_good(held: Duration) -> bool {
    held > THROTTLED
}

#[derive(Debug, Clone)]
pub(super) struct Health {
    one_shot: bool,
    worked: bool,
    successes: u64,
    /// Since the last success: when the first request failed, and when the first was refused for its rate.
    failing_since: Option<Duration>,
    throttled_since: Option<Duration>,
    streak: u32,
    refusals: u32,
    blocked_until: Duration,
    alarmed: Option<Duration>,
}

impl Health {
    pub(super) fn new(one_shot: bool) -> Self {
        Self {
            one_shot,
            worked: false,
            successes: 0,
            failing_since: None,
            throttled_since: None,
            streak: 0,
            refusals: 0,
            blocked_until: Duration::ZERO,
            alarmed: None,
        }
    }

    /// For how long nothing has succeeded, from the first request on that failed.
    pub(super) fn failing_for(&self, now: Duration) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Returns true if this ends a time of trouble.
    pub(super) fn succeeded(&mut self) -> bool {
        let recovered = self.refusals > 0 || self.streak >= STREAK;
        self.worked = true;
        self.successes += 1;
        self.failing_since = None;
        self.throttled_since = None;
        self.streak = 0;
        self.refusals = 0;
        recovered
    }

    pub(super) fn failed(&mut self, fault: &Fault, now: Duration, jitter: &mut Jitter) -> Setback {
        let patience = if self.worked { OUTAGE } else { FIRST_CONTACT };
        let failing_since = *self.failing_since.get_or_insert(now);
        let is_over = self.one_shot && self.streak + 1 >= STREAK && now.saturating_sub(failing_since) > patience;
        match fault {
            Fault::Refused(_) | Fault::AuditingOff => self.refused(now),
            _ if is_over => Setback::GiveUp,
            // Requests that were under way when the hold began tell nothing new: one token request that failed fails all that
            // waited for it.
            Fault::Transient { retry_after: None } if self.is_blocked(now) => Setback::Until(self.blocked_until),
            Fault::Transient { retry_after } => {
                self.streak += 1;
                let mut wait = if self.streak >= STREAK || !self.worked {
                    let cap = if self.one_shot && !self.worked { FIRST_CONTACT_HOLD } else { HOLD.1 };
                    Backoff::new(HOLD.0, cap).delay(self.streak)
                } else {
                    Duration::ZERO
                };
                wait = wait.max(retry_after.unwrap_or(Duration::ZERO));
                self.blocked_until = self.blocked_until.max(now + jitter.stretch(wait));
                Setback::Until(self.blocked_until.max(now + HOLD.0))
            }
            _ => Setback::Until(self.hold(now, HOLD.0, jitter)),
        }
    }

    fn refused(&mut self, now: Duration) -> Setback {
        let n = self.refusals as usize;
        self.refusals += 1;
        let wait = if self.worked { REFUSED_AFTER_SUCCESS.get(n).copied() } else { None };
        if self.one_shot && wait.is_none() {
            return Setback::GiveUp;
        }
        self.blocked_until = self.blocked_until.max(now + wait.unwrap_or(REFUSED_EVERY));
        Setback::Until(self.blocked_until)
    }

    /// Holds the feed a little, longer with each failure in a row.
    pub(super) fn hold(&mut self, now: Duration, first: Duration, jitter: &mut Jitter) -> Duration {
        self.streak += 1;
        let at = now + jitter.stretch(Backoff::new(first, HOLD.1).delay(self.streak));
        self.blocked_until = self.blocked_until.max(at);
        self.blocked_until
    }

    /// True if nothing has succeeded for several requests: the service is in trouble, not a single reply.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.streak >= STREAK
    }

    /// True if a one-shot command has got nothing but refusals for its rate for so long that it should end.
    pub(super) fn is_throttled_for_good(&mut self, now: Duration) -> bool {
        now.saturating_sub(*self.throttled_since.get_or_insert(now)) > THROTTLED
    }

    pub(super) fn is_blocked(&self, now: Duration) -> bool {
        now < self.blocked_until
    }

    pub(super) fn blocked_until(&self) -> Duration {
        self.blocked_until
    }

    pub(super) fn has_worked(&self) -> bool {
        self.worked
    }

    pub(super) fn successes(&self) -> u64 {
        self.successes
    }

    pub(super) fn may_alarm(&mut self, now: Duration) -> bool {
        let may = self.alarmed.is_none_or(|at| now.saturating_sub(at) >= ALARM_EVERY);
        if may {
            self.alarmed = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token request that failed failed all that waited for it, and the feed was held for a minute.
    #[test]
    fn many_failures_at_once_are_one_setback() {
        let mut health = Health::new(true);
        health.succeeded();
        let now = Duration::from_secs(2);
        for _ in 0..32 {
            health.failed(&Fault::Transient { retry_after: None }, now, &mut Jitter::new(1));
        }
        assert!(health.is_blocked(now));
        assert!(health.blocked_until() < now + Duration::from_secs(5), "{:?}", health.blocked_until());
    }
}
