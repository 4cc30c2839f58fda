//! Hours become days, days become one sum, and what nobody can list or wants to see any more goes, without a count lost.

use super::super::key::{Name, parse};
use super::super::{FeedView, MemoryStore};
use super::*;
use crate::domain::Part;

const DAY: i64 = 24 * HOUR;
const FIRST_HOUR: i64 = START / HOUR;

fn names(store: &MemoryStore) -> Vec<Name> {
    store.values.keys().map(|key| parse(key).unwrap().1).collect()
}

fn hours(store: &MemoryStore) -> usize {
    names(store).into_iter().filter(|name| matches!(name, Name::Hour(_))).count()
}

/// A claim whose floor is `floor`, and which forgets nothing.
fn up_to(floor: i64) -> Claim {
    Claim { forget_before: Time(START - 2_000 * DAY), ..claim(&feed(1), floor + HOUR) }
}

fn commit(store: &mut MemoryStore, claim: Claim) -> FeedView {
    store.commit(receipt(claim)).unwrap();
    assert_eq!(store.verify().unwrap(), Vec::new());
    store.inspect().unwrap().remove(0)
}

/// With one blob done in each of so many hours.
fn of_hours(count: i64) -> MemoryStore {
    let mut store = MemoryStore::new();
    let mut first = up_to(START);
    first.done = (0..count).map(|n| (blob(n, START + n * HOUR), counts(1))).collect();
    assert_eq!(commit(&mut store, first).ledger.blobs_done, count as u64);
    store
}

#[test]
fn an_hour_is_kept_for_ninety_days_of_the_floor_and_its_day_for_four_hundred() {
    let first = of_hours(1);
    for (floor, hour, day) in [
        (START + 90 * DAY, true, false),
        (START + 90 * DAY + HOUR, false, true),
        (START + 400 * DAY, false, true),
        (START + 401 * DAY, false, false),
    ] {
        let mut store = first.clone();
        let view = commit(&mut store, up_to(floor));
        let names = names(&store);
        assert_eq!(names.contains(&Name::Hour(FIRST_HOUR)), hour, "{floor}");
        assert_eq!(names.contains(&Name::Day(FIRST_HOUR.div_euclid(24))), day, "{floor}");
        assert_eq!((view.ledger.blobs_done, view.ledger.records.delivered), (1, 1), "the sum of all keeps it");
    }
}

#[test]
fn what_is_late_counts_where_its_time_is_kept() {
    for (floor, name) in [
        (START + 90 * DAY, Some(Name::Hour(FIRST_HOUR))),
        (START + 91 * DAY, Some(Name::Day(FIRST_HOUR.div_euclid(24)))),
        (START + 401 * DAY, None),
    ] {
        let mut store = MemoryStore::new();
        let mut late = up_to(floor);
        late.done = vec![(blob(1, START), counts(1))];
        assert_eq!(commit(&mut store, late).ledger.blobs_done, 1);
        let tallies: Vec<_> = names(&store).into_iter().filter(|name| matches!(name, Name::Hour(_) | Name::Day(_))).collect();
        assert_eq!(tallies, Vec::from_iter(name));
    }
}

#[test]
fn a_long_standstill_is_tidied_up_in_several_commits() {
    let mut store = of_hours(600);
    let mut floor = START + 600 * HOUR + 100 * DAY;
    for (left, done) in [(88, 601), (0, 602), (0, 603)] {
        let mut next = up_to(floor);
        // One more of an hour that the first of these commits still has to reach, and of one that it has passed.
        next.done = vec![(blob(floor, START + if left == 0 { 3 } else { 550 } * HOUR), counts(1))];
        assert_eq!(commit(&mut store, next).ledger.blobs_done, done);
        assert_eq!(hours(&store), left);
        floor += HOUR;
    }
    let mut floor = START + 3_000 * DAY;
    let mut store = of_hours(600);
    for _ in 0..4 {
        floor += DAY;
        commit(&mut store, up_to(floor));
    }
    assert_eq!(names(&store).iter().filter(|name| matches!(name, Name::Hour(_) | Name::Day(_))).count(), 0);
}

#[test]
fn days_of_a_long_standstill_go_in_several_commits_too() {
    let mut store = MemoryStore::new();
    let mut first = up_to(START);
    first.done = (0..600).map(|n| (blob(n, START - 200 * DAY + n * DAY), counts(1))).collect();
    commit(&mut store, first);
    let count =
        |store: &MemoryStore| names(store).into_iter().filter(|name| matches!(name, Name::Day(_) | Name::Hour(_))).count();
    assert_eq!(count(&store), 600);
    for (n, left) in [(1, 88), (2, 0)] {
        let view = commit(&mut store, up_to(START + 2_000 * DAY + n * HOUR));
        assert_eq!((count(&store), view.ledger.blobs_done), (left, 600));
    }
}

#[test]
fn done_blobs_and_parts_go_when_they_can_not_be_listed_any_more() {
    let mut store = MemoryStore::new();
    let mut first = up_to(START);
    let part = |n: i64| Part { key: blob(1_000 + n, START + n * 5 * 60_000), elements: 1, digest: 1, counts: counts(0) };
    first.done = (0..600).map(|n| (blob(n, START + n * 5 * 60_000), counts(1))).collect();
    first.parts = (0..600).map(part).collect();
    commit(&mut store, first);
    let left = |store: &mut MemoryStore| (restored(store, 1).done.len(), restored(store, 1).parts.len());
    assert_eq!(left(&mut store), (600, 600));
    for expected in [(88, 88), (10, 10)] {
        let mut next = up_to(START);
        next.forget_before = Time(START + 590 * 5 * 60_000);
        commit(&mut store, next);
        assert_eq!(left(&mut store), expected);
    }
    // What is too old is counted and not remembered.
    let mut late = up_to(START);
    late.done = vec![(blob(5_000, START), counts(1)), (blob(5_000, START), counts(1))];
    late.parts = vec![part(0)];
    let view = commit(&mut store, late);
    assert_eq!((view.ledger.blobs_done, view.ledger.blobs_done_again), (602, 0));
    assert_eq!(left(&mut store), (10, 10));
}

#[test]
fn gaps_go_four_hundred_days_after_they_closed_or_became_final() {
    let found = START + HOUR;
    let mut first = up_to(START);
    let closed = Gap { closed: Some(Time(found)), found: Time(0), ..gap(1, START, GapReason::Unreadable, false) };
    let provisional = gap(2, START, GapReason::Unreadable, true);
    let end = gap(3, START, GapReason::Expired, false);
    assert_eq!(end.found, Time(found));
    first.gaps = vec![closed.clone(), provisional.clone(), end.clone()];
    let mut all = MemoryStore::new();
    commit(&mut all, first);
    for (floor, left) in [(found + 400 * DAY, 3), (found + 400 * DAY + 1, 1)] {
        let mut store = all.clone();
        commit(&mut store, up_to(floor));
        let gaps: Vec<_> = names(&store).into_iter().filter(|name| matches!(name, Name::Gap(_))).collect();
        assert_eq!(gaps.len(), left, "{floor}");
        assert!(gaps.contains(&Name::Gap(provisional.id)));
    }
}

#[test]
fn gaps_beyond_a_page_go_at_once() {
    let mut store = MemoryStore::new();
    let mut first = up_to(START);
    first.gaps = (0..1_100).map(|n| gap(n, START + n, GapReason::Expired, n % 2 == 0)).collect();
    commit(&mut store, first);
    let view = commit(&mut store, up_to(START + 500 * DAY));
    assert_eq!(names(&store).into_iter().filter(|name| matches!(name, Name::Gap(_))).count(), 550);
    assert_eq!(view.ledger.blobs_in_gaps.values().sum::<u64>(), 1_100, "they stay counted");
}
