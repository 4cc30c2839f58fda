//! Stretches in which nothing became available for good: from the end of what live listing had covered when the subscription or auditing
//! turned out to be off, to the first whole listing afterwards, which may be another process's.
//!
//! An absence is in the state from the first sign of it on, as a provisional gap that batches make longer. Whoever ends meanwhile, and
//! however, the next process goes on with it.

use super::{Feed, Now, Plan};
use crate::domain::{Gap, GapId, GapReason, Time};
use crate::mutant::{self, Mutant};

/// Content that becomes available from `from` on may be lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    id: GapId,
    reason: GapReason,
    from: Time,
    /// How far it surely goes.
    to: Time,
    /// It stands in the state, or will with the next batch.
    kept: bool,
    /// It stands in a batch.
    told: bool,
}

impl Absence {
    fn new(reason: GapReason, from: Time, server: Time, kept: bool) -> Self {
        Self { id: GapId::of_stretch(reason, from, server), reason, from, to: from, kept, told: false }
    }

    /// The one in which an earlier process ended.
    pub(super) fn restored(gaps: &[Gap]) -> Option<Self> {
        let lasts = |gap: &&Gap| {
            let of_time = matches!(gap.reason, GapReason::SubscriptionOff | GapReason::AuditingOff);
            of_time && gap.blob.is_none() && gap.provisional && gap.is_open()
        };
        let gap = gaps.iter().find(lasts).filter(|_| !mutant::on(Mutant::P13c))?;
        Some(Self { id: gap.id, reason: gap.reason, from: gap.from, to: gap.to, kept: true, told: true })
    }

    fn is_silent(&self) -> bool {
        mutant::on(Mutant::P13) || (self.reason == GapReason::SubscriptionOff && mutant::on(Mutant::P13b))
    }

    fn gap(&self, server: Time) -> Gap {
        let Self { id, reason, from, to, .. } = *self;
        Gap { id, reason, from, to, blob: None, provisional: false, closed: None, found: server, detail: String::new() }
    }

    /// The place was given up, since it lay in the service's future, where the wrong time by which it came to lie there may have put the end
    /// of the absence too: nothing is known from `floor` on.
    pub(super) fn begin_by(&mut self, floor: Time, server: Time) {
        let has_length = self.from < self.to;
        self.from = self.from.min(floor);
        self.to = if has_length { self.to.min(server).max(self.from) } else { self.from };
    }
}

impl Feed {
    /// Content that becomes available from here on may be lost for good; where nothing was collected before, nothing is. A one-shot run
    /// that waits for its last blobs, or goes over its range once more, has listed all of it: the next run begins at its end.
    pub(super) fn open_absence(&mut self, now: Now, reason: GapReason) {
        let behind = || (self.settings.plan == Plan::Once).then_some(self.end);
        let known = match &self.lister {
            Some(lister) if lister.repeats() => behind(),
            Some(lister) => lister.live_from().or_else(behind),
            None => self.memory_floor,
        };
        if let (None, Some(from)) = (self.absence, known) {
            self.absence = Some(Absence::new(reason, from, self.server(now), true));
            self.open.grew(0, now.mono);
        }
    }

    /// What is known of an absence that has not ended. Only a time that is beyond doubt makes it longer. It becomes
    /// shorter only where its place is given up, and at the end of a range.
    pub(super) fn absence_so_far(&mut self, now: Now) -> Option<Gap> {
        let server = self.server(now);
        let sure = self.clock.is_trusted(now) && !self.clock.has_jumped() && !self.clock.is_in_doubt();
        let to = if sure { self.within(server) } else { Time::MIN };
        let absence = self.absence.as_mut().filter(|absence| absence.kept && !absence.is_silent())?;
        (absence.to, absence.told) = (absence.to.max(to), true);
        Some(Gap { provisional: true, ..absence.gap(server) })
    }

    /// Only a listing proves that content comes again: the subscription can be enabled while auditing is off. One that was
    /// under way when the subscription turned out to be off proves nothing.
    pub(super) fn close_absence(&mut self, now: Now) {
        if !self.subscription.is_enabled() {
            return;
        }
        let Some(mut absence) = self.absence.take() else { return };
        let server = self.server(now);
        // An earlier process may have ended before it knew the end of its range.
        absence.to = self.within(absence.to.max(server));
        if absence.is_silent() {
        } else if absence.from < absence.to {
            self.record_gap(now, absence.gap(server));
        } else if absence.told {
            // Of no length, as the clocks have it: nothing is missing.
            self.open.gaps.insert(absence.id, Gap { closed: Some(server), ..absence.gap(server) });
            self.open.grew(0, now.mono);
        }
        // While a reply tells another time, as after a sleep of the machine, it may have lasted longer: what follows until the
        // times agree is a gap too, each piece of its own. A one-shot run that ends before they do would leave it to the next one.
        if self.clock.is_in_doubt() {
            self.absence = Some(Absence::new(absence.reason, absence.to, server, !self.settings.plan.is_one_shot()));
        }
    }

    /// No later than what a range holds.
    fn within(&self, at: Time) -> Time {
        if matches!(self.settings.plan, Plan::Range { .. }) { at.min(self.end) } else { at }
    }
}
