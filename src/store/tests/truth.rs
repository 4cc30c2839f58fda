//! What was committed, commit by commit: the truth that every later opening is measured against.

use std::collections::{BTreeMap, BTreeSet};

use super::super::witness::{self, Found};
use super::super::{FeedStart, MemoryStore, StartedFrom};
use super::*;
use crate::domain::Part;

/// A history of commits, and what was restored after each of them.
#[derive(Debug, Default)]
pub(super) struct History {
    memory: MemoryStore,
    /// By feed; the state of generation g stands at g - 1.
    states: BTreeMap<u32, Vec<Restored>>,
    /// Everything that was ever done, by feed and filter.
    done: BTreeMap<u32, BTreeMap<String, BTreeSet<(i64, u64)>>>,
    /// Every part and every gap that ever was, as it was.
    parts: BTreeMap<(u32, BlobKey), Vec<Part>>,
    gaps: BTreeMap<(u32, GapId), Vec<Gap>>,
}

impl History {
    /// Commits to the store, and remembers it.
    pub(super) fn commit(&mut self, store: &mut impl Store, n: u32, claim: Claim) {
        store.commit(receipt(claim.clone())).unwrap();
        self.memory.commit(receipt(claim)).unwrap();
        let state = restored(&mut self.memory, n);
        self.remember(n, state);
    }

    /// Remembers what a store holds after a commit that followed on lost state.
    pub(super) fn remember(&mut self, n: u32, state: Restored) {
        let done = self.done.entry(n).or_default().entry(state.filter.clone().unwrap()).or_default();
        state.done.buckets().for_each(|(bucket, prints)| done.extend(prints.iter().map(|print| (bucket, *print))));
        for part in &state.parts {
            let known = self.parts.entry((n, part.key)).or_default();
            if !known.contains(part) {
                known.push(*part);
            }
        }
        for gap in &state.gaps {
            let known = self.gaps.entry((n, gap.id)).or_default();
            if !known.contains(gap) {
                known.push(gap.clone());
            }
        }
        self.states.entry(n).or_default().push(state);
    }

    /// The feeds.
    pub(super) fn feeds(&self) -> impl Iterator<Item = u32> {
        self.states.keys().copied()
    }

    /// Every state of a feed, oldest first.
    pub(super) fn states(&self, n: u32) -> &[Restored] {
        &self.states[&n]
    }

    /// What was committed last.
    pub(super) fn last(&self, n: u32) -> &Restored {
        self.states[&n].last().unwrap()
    }

    /// A history that begins with what was committed last, for what is done after an opening.
    pub(super) fn continued(&self) -> Continued<'_> {
        Continued { before: self, after: History::default() }
    }
}

/// A history, and what was committed since some damage.
pub(super) struct Continued<'a> {
    before: &'a History,
    pub(super) after: History,
}

impl Continued<'_> {
    fn states(&self, n: u32) -> impl Iterator<Item = &Restored> + Clone {
        self.before.states[&n].iter().chain(self.after.states.get(&n).into_iter().flatten())
    }

    /// True if this blob was done, as far as the filter goes: what was done before the beginning of a new filter's cursor stays done.
    fn was_done(&self, n: u32, filter: &str, bucket: i64, print: u64) -> bool {
        let of = |history: &History, filter: &str| {
            history.done.get(&n).and_then(|of| of.get(filter)).is_some_and(|done| done.contains(&(bucket, print)))
        };
        let under = |filter: &str| of(self.before, filter) || of(&self.after, filter);
        let begins =
            || self.states(n).filter(|state| state.filter.as_deref() == Some(filter)).filter_map(|state| state.floor).min();
        under(filter)
            || (begins().is_some_and(|begins| bucket < DoneSet::bucket_of(begins))
                && self.states(n).filter_map(|state| state.filter.as_deref()).any(under))
    }

    /// Every single statement of what was restored was true at some time, and is so for good.
    ///
    /// # Errors
    /// The first one that never was.
    pub(super) fn holds(&self, n: u32, found: &Restored) -> Result<(), String> {
        let Some(floor) = found.floor else {
            return if *found == Restored::default() { Ok(()) } else { Err(format!("no floor, but something: {found:?}")) };
        };
        let filter = found.filter.clone().unwrap_or_default();
        let same = || self.states(n).filter(|state| state.filter == found.filter);
        let never = |what: &str| Err(format!("feed {n} never had such {what}"));
        if same().next().is_none() {
            return never("a filter");
        }
        if same().all(|state| state.floor < Some(floor)) {
            return never(&format!("a floor: {floor}"));
        }
        if same().all(|state| state.begin != found.begin) {
            return never(&format!("a beginning: {:?}", found.begin));
        }
        for (bucket, prints) in found.done.buckets() {
            if let Some(print) = prints.iter().find(|print| !self.was_done(n, &filter, bucket, **print)) {
                return never(&format!("a done blob: {print:016x} in {bucket}"));
            }
        }
        let both = [self.before, &self.after];
        let was = |part: &&Part| both.iter().any(|of| of.parts.get(&(n, part.key)).is_some_and(|known| known.contains(part)));
        if let Some(part) = found.parts.iter().find(|part| !was(part)) {
            return never(&format!("a part: {part:?}"));
        }
        let was = |gap: &&Gap| both.iter().any(|of| of.gaps.get(&(n, gap.id)).is_some_and(|known| known.contains(gap)));
        if let Some(gap) = found.gaps.iter().find(|gap| !was(gap)) {
            return never(&format!("a gap: {gap:?}"));
        }
        if self.states(n).all(|state| state.subscription_start < found.subscription_start) {
            return never("a start of the subscription");
        }
        if found.mark.is_some() && self.states(n).all(|state| state.mark != found.mark) {
            return never("a mark");
        }
        if self.states(n).all(|state| state.committed < found.committed) {
            return never("a time of a commit");
        }
        Ok(())
    }

    /// Holds what an opening restored against the truth and against its own report: nothing that never was, nothing that went back in
    /// silence, nothing further back than the witness without need.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn judge(&self, n: u32, found: &Restored, report: &OpenReport, witness: &Witness) -> Result<(), String> {
        self.holds(n, found)?;
        let seen = witness.get(&feed(n));
        // A state as it was committed, none older than the witness.
        let is_committed = || {
            let after = self.after.states.get(&n).map_or(&[][..], Vec::as_slice);
            let from = seen.map_or(0, |seen| usize::try_from(seen.generation).unwrap().saturating_sub(1));
            let before = &self.before.states[&n];
            before[from.min(before.len())..].iter().chain(after).any(|state| state == found)
        };
        if report.condition == Condition::Healthy {
            return if is_committed() { Ok(()) } else { Err(format!("feed {n} went back, and nobody was told")) };
        }
        let start = start_of(report, n);
        // A witness of another state is not believed.
        let mixed =
            matches!(&report.condition, Condition::Quarantined { why, .. } if why.iter().any(|why| why.contains("mixed up")));
        let floor = seen.map(|seen| seen.floor);
        let fits = match start.map(|start| start.from) {
            Some(StartedFrom::State) => is_committed(),
            Some(StartedFrom::OlderState) => found.floor <= floor && found.floor.is_some(),
            Some(StartedFrom::Witness) => found.floor == floor && found.done.is_empty() && found.parts.is_empty(),
            Some(StartedFrom::Nothing) | None => (seen.is_none() || mixed) && *found == Restored::default(),
        };
        if fits { Ok(()) } else { Err(format!("feed {n}: {start:?} does not describe what it goes on from")) }
    }
}

/// What a witness says.
pub(super) type Witness = BTreeMap<FeedId, witness::Entry>;

/// The witness of a state, as the next opening will read it; nothing if it says nothing.
pub(super) fn witness_of(state: &Path) -> Witness {
    match witness::read(state) {
        Ok(Found::Whole(seen)) => seen.feeds,
        _ => Witness::new(),
    }
}

/// What a report says about a feed.
pub(super) fn start_of(report: &OpenReport, n: u32) -> Option<&FeedStart> {
    report.feeds.iter().find(|start| start.tenant_id == feed(n).tenant.as_str())
}
