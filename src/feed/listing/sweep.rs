//! How often what was listed is gone over again, for what the service lists late.

use std::time::Duration;

use super::SAFE_EDGE;
use crate::domain::Time;
use crate::mutant::{self, Mutant};

const HOUR: Duration = Duration::from_secs(3600);
/// Seconds of the rate that one sweep level may spend, as a share: one per cent each.
const SWEEP_SHARE: f64 = 0.01;
/// Where a sweep costs little, the look-back is swept this often and all of retention so often: a blob that was listed late is
/// found soon. A tenant whose listings are long pays the same share of its quota and waits longer, up to an hour and a day.
const LOOK_BACK_AT_MOST: Duration = Duration::from_secs(30);
const RETENTION_AT_MOST: Duration = Duration::from_secs(60);
/// While sweeps find nothing that was listed late they come half as often each time, down to this: of what a quiet poller costs
/// they are the most.
const LOOK_BACK_CALM: Duration = Duration::from_secs(120);
const RETENTION_CALM: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Sweep {
    /// How far back it reaches.
    pub(super) span: Duration,
    /// It comes at least this often, whatever it costs …
    every: Duration,
    /// … and no more often than this …
    at_most: Duration,
    /// … or, while nothing is found, than this.
    calm: Duration,
    /// How long this level rests now, if its cost does not ask for more: between `at_most` and `calm`.
    rest: Duration,
    /// The run has found a blob that was listed late.
    pub(super) found: bool,
    /// When the next run begins.
    pub(super) due: Duration,
    /// The run that is under way: where it goes on, where it ends, and the pages it took so far.
    pub(super) run: Option<(Time, Time, u32)>,
}

impl Sweep {
    pub(super) fn of_look_back(span: Duration) -> Self {
        Self::new(span, HOUR, (LOOK_BACK_AT_MOST, LOOK_BACK_CALM), LOOK_BACK_AT_MOST)
    }

    /// What came late while nobody looked is found by going over all of retention soon after a restart.
    pub(super) fn of_retention(restored: bool) -> Self {
        let due = if restored { Duration::ZERO } else { RETENTION_AT_MOST };
        Self::new(SAFE_EDGE, 24 * HOUR, (RETENTION_AT_MOST, RETENTION_CALM), due)
    }

    fn new(span: Duration, every: Duration, (at_most, calm): (Duration, Duration), due: Duration) -> Self {
        Self { span, every, at_most, calm, rest: at_most, found: false, due, run: None }
    }

    /// The next run comes after the level's rest, or as soon as this one's cost allows, but at least at the level's own rhythm.
    pub(super) fn finish(&mut self, now: Duration, spent: u32, per_minute: f64) {
        if std::mem::take(&mut self.found) {
            self.rest = self.at_most;
        }
        let cost = Duration::from_secs_f64(f64::from(spent) * 60.0 / (per_minute.max(1.0) * SWEEP_SHARE));
        self.due = if mutant::on(Mutant::P10c) { Duration::MAX } else { now + cost.clamp(self.rest, self.every) };
        self.rest = (self.rest * 2).min(self.calm);
        self.run = None;
    }
}
