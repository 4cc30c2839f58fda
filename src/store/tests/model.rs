//! Random claims against a model that is simple enough to be right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::MemoryStore;
use super::super::edit::Values;
use super::*;
use crate::domain::Part;

/// What a feed's state should be.
#[derive(Debug, Default)]
struct Model {
    floor: Option<Time>,
    begin: Option<Time>,
    filter: Option<String>,
    forgotten: Option<Time>,
    done: BTreeSet<BlobKey>,
    parts: BTreeMap<BlobKey, Part>,
    gaps: BTreeMap<GapId, Gap>,
    records: Counts,
    deliveries: u64,
}

impl Model {
    fn apply(&mut self, claim: &Claim) {
        let bucket = |key: &BlobKey| DoneSet::bucket_of(key.created);
        if self.filter.as_ref().is_some_and(|filter| *filter != claim.filter) {
            self.done.retain(|key| bucket(key) < DoneSet::bucket_of(claim.floor));
            self.parts.clear();
            (self.floor, self.begin) = (Some(claim.floor), Some(claim.begin));
        } else {
            self.floor = self.floor.max(Some(claim.floor));
            self.begin = Some(self.begin.map_or(claim.begin, |begin| begin.min(claim.begin)));
        }
        self.filter = Some(claim.filter.clone());
        self.forgotten = self.forgotten.max(Some(claim.forget_before));
        let forgotten = self.forgotten.unwrap();
        for gap in &claim.gaps {
            let key = BlobKey { created: gap.from, print: gap.id.0 };
            if gap.is_open() && gap.blob.is_some() {
                self.done.remove(&key);
                if !gap.provisional {
                    self.parts.remove(&key);
                }
            }
            self.gaps.insert(gap.id, gap.clone());
        }
        for (key, counts) in &claim.done {
            self.done.insert(*key);
            self.parts.remove(key);
            self.records.add(counts);
            self.deliveries += 1;
            if let Some(gap) = self.gaps.get_mut(&GapId::of_blob(*key)).filter(|gap| gap.is_open()) {
                (gap.closed, gap.provisional) = (Some(claim.at), false);
            }
        }
        for part in claim.parts.iter().filter(|part| !claim.done.iter().any(|(key, _)| *key == part.key)) {
            self.parts.insert(part.key, *part);
        }
        self.done.retain(|key| bucket(key) >= DoneSet::bucket_of(forgotten));
        self.parts.retain(|key, _| key.created >= forgotten);
    }

    fn restored(&self, claim: &Claim, subscription_start: Option<Time>) -> Restored {
        let matters = |gap: &&Gap| gap.is_open() && (gap.provisional || gap.blob.is_none() || Some(gap.from) >= self.forgotten);
        Restored {
            floor: self.floor,
            begin: self.begin,
            filter: self.filter.clone(),
            done: done(&self.done.iter().copied().collect::<Vec<_>>()),
            parts: self.parts.values().copied().collect(),
            gaps: self.gaps.values().filter(matters).cloned().collect(),
            subscription_start,
            mark: None,
            committed: Some(claim.at),
        }
    }
}

/// One claim as drawn: everything relative to a clock that only goes forward.
#[derive(Debug, Clone)]
struct Step {
    feed: u32,
    minutes: i64,
    floor_back: i64,
    filter: u8,
    done: Vec<(i64, i64, u64)>,
    parts: Vec<(i64, i64, u64)>,
    gaps: Vec<(i64, i64, usize, u8)>,
    reopen: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let blob = || (0..40_i64, 0..9 * 24_i64, 0..9_u64);
    (
        0..2_u32,
        prop_oneof![4 => 1..90_i64, 1 => 1..6_000_i64],
        0..48_i64,
        prop_oneof![12 => Just(0_u8), 1 => Just(1_u8)],
        proptest::collection::vec(blob(), 0..12),
        proptest::collection::vec(blob(), 0..3),
        proptest::collection::vec((0..40_i64, 0..9 * 24_i64, 0..8_usize, 0..4_u8), 0..4),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(feed, minutes, floor_back, filter, done, parts, gaps, reopen)| Step {
            feed,
            minutes,
            floor_back,
            filter,
            done,
            parts,
            gaps,
            reopen,
        })
}

impl Step {
    fn claim(&self, clock: i64) -> Claim {
        let mut claim = claim(&feed(self.feed), clock);
        claim.floor = Time(clock - self.floor_back * HOUR);
        claim.begin = Time(START - WEEK + self.floor_back);
        if self.filter == 1 {
            claim.filter = format!("28,{}", self.minutes % 2);
        }
        // A blob's time follows from its number and the day, so that the same blob turns up again.
        let created = |n: i64, back: i64| (clock - back * HOUR).div_euclid(24 * HOUR) * 24 * HOUR + n * 1_800_000 + n;
        for (n, back, records) in &self.done {
            claim.done.push((blob(*n, created(*n, *back)), counts(*records)));
        }
        for (n, back, elements) in &self.parts {
            let key = blob(*n, created(*n, *back));
            claim.parts.push(Part { key, elements: *elements, digest: u128::MAX / 3, counts: counts(*elements) });
        }
        for (n, back, reason, kind) in &self.gaps {
            let mut gap = gap(*n, created(*n, *back), GapReason::ALL[*reason], *kind == 0);
            match kind {
                2 => gap.closed = Some(Time(clock)),
                3 => {
                    gap.id = GapId::of_stretch(gap.reason, gap.from, gap.from + std::time::Duration::from_secs(60));
                    gap.blob = None;
                }
                _ => {}
            }
            claim.gaps.push(gap);
        }
        claim
    }
}

fn check_ledger(model: &Model, view: &super::super::FeedView) -> Result<(), TestCaseError> {
    let ledger = &view.ledger;
    prop_assert_eq!(ledger.blobs_done + ledger.blobs_done_again, model.deliveries, "every delivery counts once");
    let records = &ledger.records;
    prop_assert_eq!((records.read, records.delivered), (model.records.read, model.records.delivered));
    let in_gaps = model.gaps.values().filter(|gap| gap.is_open() && gap.blob.is_some()).count() as u64;
    prop_assert_eq!(ledger.blobs_in_gaps.values().sum::<u64>(), in_gaps);
    prop_assert_eq!(ledger.blobs_listed, ledger.blobs_done + in_gaps);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_claims_restore_as_the_model_says_and_the_ledger_balances(steps in proptest::collection::vec(step(), 1..25)) {
        let mut store = MemoryStore::new();
        let mut models = BTreeMap::<u32, Model>::new();
        let mut clock = START;
        for step in steps {
            clock += step.minutes * 60_000;
            let claim = step.claim(clock);
            store.commit(receipt(claim.clone())).unwrap();
            let model = models.entry(step.feed).or_default();
            model.apply(&claim);
            prop_assert_eq!(restored(&mut store, step.feed), model.restored(&claim, None));
            prop_assert_eq!(store.verify().unwrap(), Vec::new());
            let views = store.inspect().unwrap();
            let view = views.iter().find(|view| view.tenant_id == feed(step.feed).tenant.as_str()).unwrap();
            check_ledger(model, view)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn sled_holds_the_very_same_values_over_any_restarts(steps in proptest::collection::vec(step(), 1..20)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).0;
        let mut memory = MemoryStore::new();
        memory.state = store.keeper.state();
        let mut clock = START;
        for step in steps {
            clock += step.minutes * 60_000;
            let claim = step.claim(clock);
            store.commit(receipt(claim.clone())).unwrap();
            memory.commit(receipt(claim)).unwrap();
            if step.reopen {
                store.close().unwrap();
                store = open_healthy(dir.path());
            }
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for (values, seen) in [(&store.engine as &dyn Values, &mut ours), (&memory.values, &mut theirs)] {
            values.walk(&[], &[0xff], &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Continue(()))
            }).unwrap();
        }
        prop_assert_eq!(ours, theirs);
        prop_assert_eq!(store.feeds().unwrap(), memory.inspect().unwrap().iter().map(|view| FeedId {
            tenant: view.tenant_id.parse().unwrap(),
            content_type: view.content_type.parse().unwrap(),
        }).collect::<Vec<_>>());
    }
}

#[test]
fn the_floor_never_goes_back_and_begin_never_forward() {
    let mut store = MemoryStore::new();
    let first = claim(&feed(1), START);
    store.commit(receipt(first.clone())).unwrap();
    let later = Time(first.begin.0 + HOUR);
    store
        .commit(receipt(Claim { floor: first.floor - std::time::Duration::from_secs(60), begin: later, ..first.clone() }))
        .unwrap();
    let state = restored(&mut store, 1);
    assert_eq!((state.floor, state.begin), (Some(first.floor), Some(first.begin)));
}

#[test]
fn a_changed_filter_keeps_what_lies_before_the_new_floor_and_says_so() {
    let mut store = MemoryStore::new();
    let mut first = claim(&feed(1), START);
    let (before, after) = (blob(1, START - 5 * HOUR), blob(2, START - HOUR));
    first.done = vec![(before, counts(1)), (after, counts(2))];
    first.gaps.push(gap(3, START - 2 * HOUR, GapReason::NotFound, true));
    store.commit(receipt(first.clone())).unwrap();
    let mut second = claim(&feed(1), START + HOUR);
    (second.filter, second.floor) = ("all".into(), Time(START - 3 * HOUR));
    store.commit(receipt(second.clone())).unwrap();
    let state = restored(&mut store, 1);
    assert_eq!(state.done, done(&[before]));
    assert_eq!(state.gaps, first.gaps);
    assert_eq!((state.floor, state.filter), (Some(second.floor), Some("all".into())));
    let view = &store.inspect().unwrap()[0];
    assert_eq!((view.epoch.number, view.ledger.blobs_done, view.ledger.blobs_done_again), (2, 1, 1));
    assert_eq!(store.verify().unwrap(), Vec::new());
}

#[test]
fn a_blob_that_does_not_add_up_is_refused() {
    let mut store = MemoryStore::new();
    let mut bad = claim(&feed(1), START);
    bad.done.push((blob(1, START), Counts { read: 3, delivered: 1, ..Counts::default() }));
    let error = store.commit(receipt(bad)).unwrap_err();
    assert!(matches!(error, super::super::StoreError::Unbalanced { .. }), "{error}");
    assert_eq!(store, MemoryStore::new());
}

#[test]
fn a_crowded_bucket_is_kept_in_chunks_and_loses_none() {
    let mut store = MemoryStore::new();
    let mut all = Vec::new();
    for part in 0..5 {
        let mut crowded = claim(&feed(1), START);
        crowded.done = (0..300).map(|n| (blob(part * 300 + n, START - 60_000), counts(1))).collect();
        all.extend(crowded.done.iter().map(|(key, _)| *key));
        store.commit(receipt(crowded)).unwrap();
    }
    assert_eq!(restored(&mut store, 1).done, done(&all));
    assert!(store.values.values().all(|value| value.len() < 5_000));
    assert_eq!(store.verify().unwrap(), Vec::new());
}

#[test]
fn a_bucket_takes_no_more_chunks_than_it_needs() {
    for (blobs, chunks) in [(1, 1), (512, 1), (513, 2), (1_024, 2), (1_025, 3)] {
        let mut store = MemoryStore::new();
        let mut crowded = claim(&feed(1), START);
        crowded.done = (0..blobs).map(|n| (blob(n, START - 60_000), counts(1))).collect();
        store.commit(receipt(crowded)).unwrap();
        let names = store.values.keys().map(|key| super::super::key::parse(key).unwrap().1);
        let found = names.filter(|name| matches!(name, super::super::key::Name::Done { .. })).count();
        assert_eq!(found, chunks, "{blobs}");
    }
}

#[test]
fn a_part_of_a_blob_that_is_done_is_not_kept() {
    let mut store = MemoryStore::new();
    let part = |n: i64| Part { key: blob(n, START), elements: 1, digest: 1, counts: counts(0) };
    let mut both = claim(&feed(1), START);
    both.parts = vec![part(1), part(2)];
    both.done = vec![(blob(1, START), counts(1))];
    store.commit(receipt(both)).unwrap();
    assert_eq!(restored(&mut store, 1).parts, [part(2)]);
    let mut rest = claim(&feed(1), START);
    rest.done = vec![(blob(2, START), counts(1))];
    store.commit(receipt(rest)).unwrap();
    assert_eq!(restored(&mut store, 1).parts, []);
}
