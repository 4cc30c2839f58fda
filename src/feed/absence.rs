//! Stretches in which nothing became available for good: from the moment at which the subscription or auditing turns out to be off to the
//! first whole listing afterwards, which may be another process's.
//!
//! An absence is in the state from its first moment on, as a provisional gap that each batch makes longer. Whoever ends meanwhile, and
//! however, the next process goes on with it.

use super::{Feed, Now};
use crate::domain::{Gap, GapId, GapReason, Time};
use crate::mutant::{self, Mutant};

/// Content that becomes available from `from` on may be lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    id: GapId,
    reason: GapReason,
    from: Time,
    /// How far it has been told.
    to: Time,
}

impl Absence {
    fn new(reason: GapReason, from: Time, server: Time) -> Self {
        Self { id: GapId::of_stretch(reason, from, server), reason, from, to: from }
    }

    /// The one in which an earlier process ended.
    pub(super) fn restored(gaps: &[Gap]) -> Option<Self> {
        let lasts = |gap: &&Gap| {
            let of_time = matches!(gap.reason, GapReason::SubscriptionOff | GapReason::AuditingOff);
            of_time && gap.blob.is_none() && gap.provisional && gap.is_open()
        };
        let gap = gaps.iter().find(lasts).filter(|_| !mutant::on(Mutant::P13c))?;
        Some(Self { id: gap.id, reason: gap.reason, from: gap.from, to: gap.to })
    }

    /// The gap up to now, if it has any length. It never becomes shorter, whatever the clocks say.
    fn gap(&mut self, server: Time, provisional: bool) -> Option<Gap> {
        let silent = mutant::on(Mutant::P13) || (self.reason == GapReason::SubscriptionOff && mutant::on(Mutant::P13b));
        self.to = self.to.max(server);
        let Self { id, reason, from, to } = *self;
        let gap = Gap { id, reason, from, to, blob: None, provisional, closed: None, found: server, detail: String::new() };
        (from < to && !silent).then_some(gap)
    }
}

impl Feed {
    /// Content that becomes available from here on may be lost for good; where nothing was collected before, nothing is.
    pub(super) fn open_absence(&mut self, now: Now, reason: GapReason) {
        let known = self.lister.as_ref().map_or(self.memory_floor, |l| l.live_from());
        if let (None, Some(from)) = (self.absence, known) {
            self.absence = Some(Absence::new(reason, from, self.server(now)));
            self.open.grew(0, now.mono);
        }
    }

    /// What is known of an absence that has not ended.
    pub(super) fn absence_so_far(&mut self, server: Time) -> Option<Gap> {
        self.absence.as_mut().and_then(|absence| absence.gap(server, true))
    }

    /// Only a listing proves that content comes again: the subscription can be enabled while auditing is off. One that was
    /// under way when the subscription turned out to be off proves nothing.
    pub(super) fn close_absence(&mut self, now: Now) {
        if !self.subscription.is_enabled() {
            return;
        }
        let Some(mut absence) = self.absence.take() else { return };
        let server = self.server(now);
        if let Some(gap) = absence.gap(server, false) {
            self.record_gap(now, gap);
        }
        // While a reply tells another time, as after a sleep of the machine, it may have lasted longer: what follows until the
        // times agree is a gap too, each piece of its own.
        if self.clock.is_in_doubt() {
            self.absence = Some(Absence::new(absence.reason, absence.to, server));
        }
    }
}
