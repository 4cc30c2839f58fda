//! The root of a feed whose state was lost or went back: never further forward than what is known for sure.

use super::super::commit::{Restart, restart};
use super::super::record::Root;
use super::super::{EpochReason, MemoryStore};
use super::*;
use crate::domain::Part;

fn start<'a>(feed: &'a FeedId, floor: i64, filter: &'a str, gaps: &'a [Gap]) -> Restart<'a> {
    Restart {
        feed,
        state: 7,
        generation: 40,
        floor: Time(floor),
        begin: Time(START - WEEK - HOUR),
        filter,
        epoch: 4,
        why: EpochReason::RolledBack,
        now: Time(START + HOUR),
        gaps,
    }
}

fn restarted(store: &mut MemoryStore, start: Restart<'_>) -> Root {
    let (writes, root) = restart(&store.values, start).unwrap();
    for (key, value) in writes {
        match value {
            Some(value) => store.values.insert(key, value),
            None => store.values.remove(&key),
        };
    }
    assert_eq!(store.verify().unwrap(), Vec::new());
    root
}

/// What is on disk: a blob done before and one after the point where a new cursor would begin, and a part.
fn committed() -> (MemoryStore, BlobKey, BlobKey) {
    let mut store = MemoryStore::new();
    let mut first = claim(&feed(1), START);
    let (before, after) = (blob(1, START - 5 * HOUR), blob(2, START - HOUR / 2));
    first.done = vec![(before, counts(1)), (after, counts(1))];
    first.parts = vec![Part { key: blob(3, START), elements: 1, digest: 1, counts: counts(0) }];
    store.commit(receipt(first)).unwrap();
    (store, before, after)
}

#[test]
fn a_lost_state_starts_anew_from_what_the_witness_saw() {
    let mut store = MemoryStore::new();
    let gaps = [gap(1, START, GapReason::Expired, false)];
    let root = restarted(&mut store, start(&feed(1), START, "all", &gaps));
    assert_eq!((root.generation, root.epoch.number, root.epoch.began), (41, 5, Time(START + HOUR)));
    assert_eq!((root.floor, root.begin, &root.filter[..]), (Time(START), Time(START - WEEK - HOUR), "all"));
    assert_eq!((root.hours_from, root.days_from), (START / HOUR - 90 * 24, START / HOUR / 24 - 400));
    let state = restored(&mut store, 1);
    assert_eq!((state.floor, state.gaps), (Some(Time(START)), gaps.to_vec()));
}

#[test]
fn a_state_that_went_back_keeps_what_it_has_and_the_earlier_floor() {
    let floor = START - HOUR;
    for (witness, expected) in [(floor - 1, floor - 1), (floor + 1, floor)] {
        let (mut store, before, after) = committed();
        let root = restarted(&mut store, start(&feed(1), witness, "28,41,47,64", &[]));
        assert_eq!((root.floor, root.generation, root.epoch.number), (Time(expected), 41, 5));
        assert_eq!(root.begin, Time(START - WEEK - HOUR), "the earlier beginning");
        let state = restored(&mut store, 1);
        assert_eq!((state.done, state.parts.len()), (done(&[before, after]), 1));
        // Its own numbers may be the higher ones.
        let again = restarted(
            &mut store,
            Restart { generation: 7, epoch: 2, begin: Time(START), ..start(&feed(1), witness, "28,41,47,64", &[]) },
        );
        assert_eq!((again.generation, again.epoch.number, again.begin), (42, 6, root.begin));
    }
}

#[test]
fn a_state_that_went_back_behind_a_change_of_the_filter_makes_the_change_again() {
    let (mut store, before, _) = committed();
    let root = restarted(&mut store, Restart { begin: Time(START), ..start(&feed(1), START - HOUR, "all", &[]) });
    assert_eq!((root.begin, &root.filter[..]), (Time(START), "all"), "the beginning belongs to the filter");
    let state = restored(&mut store, 1);
    assert_eq!((state.done, state.parts, state.filter), (done(&[before]), Vec::new(), Some("all".into())));
}
