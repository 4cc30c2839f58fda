//! Gaps: which are missing, which are false, and which a backfill may leave.

use std::ops::Range;
use std::time::Duration;

use super::{HOUR, Oracle, Truth, Wrong};
use crate::domain::{Claim, ContentId, Gap, GapId, GapReason, Time};

/// What is older than this can't be listed for certain: the product's margin, and what it gives way where windows are refused.
const LISTED_FOR: Duration = Duration::from_secs((165 * 60 + 55) * 60);
/// How far two clocks that agree may both be ahead.
const CLOCKS_AGREE: Duration = Duration::from_secs(10 * 60);
/// Attempts at a blob before a backfill gives it up, as the command's help states; fewer for one that the service does not know.
const ATTEMPTS: u32 = 10;
const ATTEMPTS_UNKNOWN: u32 = 5;
/// An "expired" that comes so shortly before the listing's time is believed at once.
const EXPIRES_SOON: Duration = Duration::from_secs(3600);
/// A broken reply that comes so often, each time the same, is how the blob is.
const SAME_REPLIES: u32 = 4;
/// An entry that can't be read is believed when its page came so often.
const SAME_PAGES: u32 = 3;

/// How often a process has asked for a blob.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Asked {
    pub(in super::super) times: u32,
    /// Bodies among the replies that were not what they should be.
    pub(in super::super) wrong_bodies: u32,
}

impl Oracle {
    /// What a claim writes off as too old must be so: two clocks that agree have said it (law L9).
    pub(in super::super) fn was_out_of_reach(claim: &Claim, now: Time) -> Result<(), Wrong> {
        let stretches = claim.gaps.iter().filter(|gap| gap.reason == GapReason::OutagePastRetention && gap.is_open());
        match stretches.max_by_key(|gap| gap.to).filter(|gap| gap.to + LISTED_FOR > now + CLOCKS_AGREE) {
            Some(gap) => Err(format!("L9: {} to {} is written off although it can still be listed", gap.from, gap.to)),
            None => Ok(()),
        }
    }

    pub(super) fn is_in_gap(&self, blob: &Truth) -> bool {
        self.gaps.get(&GapId::of_blob(blob.key)).is_some_and(Gap::is_open) || self.stretches(blob).next().is_some()
    }

    /// The stretches that could not be had and in which the blob lies.
    fn stretches(&self, blob: &Truth) -> impl Iterator<Item = &Gap> {
        let created = blob.fate.created;
        self.gaps.values().filter(move |gap| gap.blob.is_none() && gap.is_open() && gap.from <= created && created < gap.to)
    }

    /// Gaps of blobs that arrived after all must be closed, and no gap may name what was never missing. The faults ended at `calm`.
    pub(in super::super) fn false_gaps(&self, calm: Time) -> Vec<String> {
        let open =
            self.gaps.values().filter(|gap| gap.is_open() && gap.blob.is_some() && gap.reason != GapReason::DeadLetterFull);
        open.filter_map(|gap| {
            let blob = &self.blobs[*self.by_key.get(&gap.blob.as_ref()?.entry.key())?];
            // Written, and killed before the commit: the state knows nothing of it, and by the next attempt it had expired. Or it
            // was asked for in vain after that, as by the wrong address that a listing told, and expired while there were faults, or within
            // two hours of them. Why it was in vain is not looked at: that its records are out is.
            let uncommitted = |at: &usize| self.records[*at].delivered <= self.records[*at].excused;
            let failed = matches!(gap.reason, GapReason::Unreadable | GapReason::NotFound);
            let in_vain = failed && blob.fate.expires <= calm + HOUR * 2;
            if (gap.reason == GapReason::Expired || in_vain) && blob.records.iter().any(uncommitted) {
                return None;
            }
            // A record that stands in another blob too is out, whatever becomes of this one.
            let own = blob.records.iter().any(|at| !self.records[*at].shared);
            (self.whole(blob).is_ok() && own && !blob.forgotten)
                .then(|| format!("{} stands for {}, which is out", gap.reason, blob.id))
        })
        .collect()
    }

    /// Absences that have no end although the subscription is on, or one that has not come yet.
    pub(in super::super) fn endless_absences(&self, now: Time) -> Vec<String> {
        let absence = |gap: &&Gap| matches!(gap.reason, GapReason::SubscriptionOff | GapReason::AuditingOff) && gap.is_open();
        let wrong = |gap: &&Gap| gap.provisional || gap.to > now + CLOCKS_AGREE;
        let told = |gap: &Gap| format!("the absence from {} goes on to {}", gap.from, gap.to);
        self.gaps.values().filter(absence).filter(wrong).map(told).collect()
    }

    /// Blobs that were never to be had, that a process must know of, and that no gap names.
    pub(in super::super) fn untold(&self, known: impl Fn(Time) -> bool) -> Vec<String> {
        let untold =
            |blob: &&Truth| known(blob.fate.created) && !blob.forgotten && self.whole(blob).is_err() && !self.is_in_gap(blob);
        let told = |blob: &Truth| format!("{} of {}: no subscription_off gap", blob.id, blob.fate.created);
        self.blobs.iter().filter(untold).map(told).collect()
    }

    /// The blobs of a range that were listed when a backfill began, that could be had when it ended, and that are neither out
    /// nor in a gap of their own. A stretch excuses only what lay beyond retention by the end, and what stood on a page that
    /// was wrong again and again.
    pub(in super::super) fn left_out(
        &self,
        range: &Range<Time>,
        (began, ended): (Time, Time),
        wrong_pages: u32,
        hidden: impl Fn(&ContentId) -> bool,
    ) -> Vec<String> {
        let could = |blob: &&Truth| {
            let fate = &blob.fate;
            range.contains(&fate.created) && fate.listed_at <= began && ended < fate.expires && !hidden(&blob.id)
        };
        let excused = |blob: &Truth| {
            self.stretches(blob).any(|gap| match gap.reason {
                GapReason::OutagePastRetention => blob.fate.created + LISTED_FOR < ended,
                GapReason::Unreadable => wrong_pages >= SAME_PAGES,
                _ => false,
            })
        };
        let own_gap = |blob: &Truth| self.gaps.get(&GapId::of_blob(blob.key)).is_some_and(Gap::is_open);
        let left = self.blobs.iter().filter(could).filter(|b| !self.is_settled(b) && !own_gap(b) && !excused(b));
        left.map(|blob| format!("{} of {}", blob.id, blob.fate.created)).collect()
    }

    /// A backfill's gap is its last word about a blob: it must have asked as often as its help states.
    pub(in super::super) fn given_up_too_soon(&self, gap: &Gap, asked: Asked, now: Time) -> Result<(), Wrong> {
        let Some(&at) = gap.blob.as_ref().and_then(|blob| self.by_key.get(&blob.entry.key())) else { return Ok(()) };
        let blob = &self.blobs[at];
        let enough = match gap.reason {
            GapReason::DeadLetterFull => !blob.unkept.is_empty(),
            GapReason::Expired if now + EXPIRES_SOON >= blob.fate.expires => asked.times > 0,
            GapReason::Expired | GapReason::NotFound => asked.times >= ATTEMPTS_UNKNOWN,
            GapReason::Unreadable if asked.times >= ATTEMPTS || asked.wrong_bodies >= SAME_REPLIES => true,
            // A listing told a wrong address, and none can tell the right one any more. What was asked for by then is told as expired.
            GapReason::Unreadable => now >= blob.fate.expires,
            // Nothing here is larger than the limits, and the others are no blob's.
            _ => false,
        };
        if enough {
            return Ok(());
        }
        Err(format!("R24: {} is given up as {} after it was asked for {} times", blob.id, gap.reason, asked.times))
    }
}
