//! A backfill in a process of its own, beside the poller and on the same tenant (R24): it brings its range whole, whatever
//! happens to either of the two, and brings nothing else.
//!
//! It has its own state, output and crashes, and shares the service with the poller: its quota, its subscription, its moods.

use std::ops::Range;
use std::time::Duration;

use super::fate::{Backfill, DAY};
use super::life::{Death, Life};
use super::world::{Outside, World};
use crate::domain::{Claim, Time};
use crate::feed::Finish;
use crate::runner::FeedEnd;

/// A person who starts an interrupted run again does so within this.
const PATIENCE_MAX: Duration = Duration::from_secs(4 * 3600);
/// Runs of one backfill. More mean that it never comes to its end.
const RUNS_MAX: u32 = 1_000;

/// The range of a backfill that is started at `now`, in whole seconds as people type them.
pub(super) fn range(backfill: Backfill, now: Time) -> Range<Time> {
    (now - backfill.since).floor_second()..(now - backfill.until).floor_second()
}

/// Runs a backfill to its end, with `--resume` after each interruption.
pub(super) async fn run(outside: Outside, range: Range<Time>) -> Result<(), String> {
    let began = outside.look().now();
    outside.look().note(|| format!("a backfill from {} to {} starts", range.start, range.end));
    for _ in 0..RUNS_MAX {
        let mut life = Life::start(&outside);
        let long = outside.look().elapsed() + DAY * 100;
        let death = life.until(long).await;
        life.bury().await;
        let pause = {
            let mut world = outside.look();
            world.note(|| format!("the backfill ended: {death:?}"));
            if let Some(wrong) = &world.wrong {
                return Err(format!("the backfill: {wrong}"));
            }
            world.may_end(&death).map_err(|wrong| format!("the backfill: {wrong}"))?;
            world.oracle.died();
            Duration::from_millis(world.dice.between(200, u64::try_from(PATIENCE_MAX.as_millis()).unwrap_or(u64::MAX)))
        };
        if death == Death::Ended(FeedEnd::Finished(Finish::Complete)) {
            return whole(&outside, &range, began);
        }
        tokio::time::sleep(pause).await;
    }
    Err(format!("R25: the backfill did not come to its end in {RUNS_MAX} runs"))
}

fn whole(outside: &Outside, range: &Range<Time>, began: Time) -> Result<(), String> {
    let world = outside.look();
    let findings = world.disk.verify().map_err(|error| error.to_string())?;
    if !findings.is_empty() {
        return Err(format!("the backfill's ledger does not balance: {findings:?}"));
    }
    // Where the service tells a wrong time, a range can end before what it holds.
    if !world.fate.tells_the_time() {
        return Ok(());
    }
    let left = world.left_out(range, began);
    if left.is_empty() { Ok(()) } else { Err(format!("R24: complete, but without {}", left.join("; "))) }
}

impl World {
    fn left_out(&self, range: &Range<Time>, began: Time) -> Vec<String> {
        let now = self.now();
        let common = self.common();
        self.oracle.left_out(range, (began, now), self.wrong_pages, |id| common.service.hides(id, now))
    }

    /// Whether the gaps of a claim have a reason.
    pub(super) fn justified(&self, claim: &Claim) -> Result<(), String> {
        let now = self.now();
        for gap in claim.gaps.iter().filter(|gap| gap.is_open()) {
            let id = gap.blob.as_ref().map(|blob| &blob.entry.id);
            let asked = id.and_then(|id| self.asked.get(id)).copied().unwrap_or_default();
            self.oracle.given_up_too_soon(gap, asked, now)?;
        }
        Ok(())
    }
}
