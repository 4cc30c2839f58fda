//! A blob is in one place: done, or in an open gap.

use super::super::{MemoryStore, restore};
use super::*;
use crate::domain::Part;

fn commit(store: &mut MemoryStore, claim: Claim) {
    store.commit(receipt(claim)).unwrap();
    assert_eq!(store.verify().unwrap(), Vec::new());
}

/// (done, done again, in gaps)
fn counted(store: &MemoryStore) -> (u64, u64, u64) {
    let ledger = store.inspect().unwrap().remove(0).ledger;
    (ledger.blobs_done, ledger.blobs_done_again, ledger.blobs_in_gaps.values().sum())
}

fn with_gaps(gaps: &[Gap]) -> Claim {
    Claim { gaps: gaps.to_vec(), ..claim(&feed(1), START) }
}

fn with_done(keys: &[BlobKey], at: i64) -> Claim {
    Claim { done: keys.iter().map(|key| (*key, counts(1))).collect(), ..claim(&feed(1), at) }
}

fn stored(store: &MemoryStore, id: GapId) -> Gap {
    let key = super::super::key::Keys::new(&feed(1)).of(super::super::key::Name::Gap(id));
    let value = store.values.get(&key).expect("the gap is stored");
    super::super::record::decode_gap(super::super::edit::payload(&key, value).unwrap()).unwrap()
}

#[test]
fn a_blob_that_was_done_and_is_missing_counts_in_its_gap_alone() {
    for others in [0, 2] {
        let mut store = MemoryStore::new();
        let keys: Vec<_> = (1..=1 + others).map(|n| blob(n, START - HOUR)).collect();
        commit(&mut store, with_done(&keys, START));
        let others = others as u64;
        assert_eq!(counted(&store), (others + 1, 0, 0));
        commit(&mut store, with_gaps(&[gap(1, START - HOUR, GapReason::DeadLetterFull, false)]));
        assert_eq!(counted(&store), (others, 1, 1));
        assert_eq!(restored(&mut store, 1).done, done(&keys[1..]));
        let chunks = restored(&mut store, 1).done.buckets().count();
        assert_eq!(chunks, usize::from(others > 0));
    }
}

#[test]
fn a_blob_that_arrives_closes_its_gap() {
    for provisional in [true, false] {
        let mut store = MemoryStore::new();
        let open = gap(1, START - HOUR, GapReason::Unreadable, provisional);
        commit(&mut store, with_gaps(std::slice::from_ref(&open)));
        assert_eq!(counted(&store), (0, 0, 1));
        commit(&mut store, with_done(&[blob(1, START - HOUR)], START + HOUR));
        assert_eq!(counted(&store), (1, 0, 0));
        let closed = Gap { closed: Some(Time(START + HOUR)), provisional: false, ..open };
        assert_eq!(stored(&store, closed.id), closed);
        commit(&mut store, with_done(&[blob(1, START - HOUR)], START + 2 * HOUR));
        assert_eq!(stored(&store, closed.id), closed, "it closed once");
    }
}

#[test]
fn a_blob_that_arrives_closes_no_gap_but_its_own() {
    let key = blob(1, START - HOUR);
    let stretch = Gap { blob: None, ..gap(1, START - HOUR, GapReason::SubscriptionOff, false) };
    let other = Gap { from: Time(START - 2 * HOUR), ..gap(1, START - HOUR, GapReason::Unreadable, true) };
    for gap in [stretch, other] {
        let mut store = MemoryStore::new();
        store.commit(receipt(with_gaps(std::slice::from_ref(&gap)))).unwrap();
        store.commit(receipt(with_done(&[key], START))).unwrap();
        assert_eq!(stored(&store, gap.id), gap);
    }
}

#[test]
fn a_final_gap_takes_the_part_with_it_and_a_provisional_one_does_not() {
    for (provisional, parts) in [(true, 1), (false, 0)] {
        let mut store = MemoryStore::new();
        let part = Part { key: blob(1, START), elements: 1, digest: 1, counts: counts(0) };
        commit(&mut store, Claim { parts: vec![part], ..claim(&feed(1), START) });
        commit(&mut store, with_gaps(&[gap(1, START, GapReason::Unreadable, provisional)]));
        assert_eq!(restored(&mut store, 1).parts.len(), parts);
    }
}

#[test]
fn what_can_just_still_be_listed_is_remembered() {
    let mut store = MemoryStore::new();
    let key = blob(1, START);
    commit(&mut store, Claim { forget_before: Time(START), ..with_done(&[key], START) });
    assert_eq!(restored(&mut store, 1).done, done(&[key]));
}

#[test]
fn each_commit_is_a_generation() {
    let mut store = MemoryStore::new();
    for generation in 1..4 {
        commit(&mut store, claim(&feed(1), START));
        assert_eq!(restore::root(&store.values, &feed(1)).unwrap().unwrap().generation, generation);
    }
}
