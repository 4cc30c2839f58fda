//! Where a feed stands after a commit.

use super::super::MemoryStore;
use super::super::scan::Scan;
use super::*;

/// As the core has it: a place that lies further ahead was set by a wrong clock.
#[test]
fn a_floor_goes_back_only_where_it_was_ahead_of_the_service_by_more_than_ten_minutes() {
    const AHEAD: i64 = 10 * 60_000;
    for (ahead, stays) in [(-HOUR, true), (0, true), (AHEAD, true), (AHEAD + 1, false), (300 * WEEK, false)] {
        let mut store = MemoryStore::new();
        let floor = Time(START + ahead);
        store.commit(receipt(Claim { floor, ..claim(&feed(1), START) })).unwrap();
        let lower = Time(START - 2 * HOUR);
        store.commit(receipt(Claim { floor: lower, ..claim(&feed(1), START) })).unwrap();
        assert_eq!(restored(&mut store, 1).floor, Some(if stays { floor } else { lower }), "{ahead} ms ahead");
    }
}

#[test]
fn where_the_output_stood_is_restored_and_stays_over_a_batch_that_wrote_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let output = crate::sink::Output::new(std::fs::File::create(dir.path().join("out")).unwrap(), "test").unwrap();
    let mut sink = crate::sink::Delivery::new(output, crate::sink::DeadLetters::new(dir.path(), 1 << 20));
    let lines = b"a line\n".to_vec();
    let delivered = sink.write(Batch { claim: claim(&feed(1), START), lines, line_count: 1, dead: Vec::new() }).unwrap();
    let mark = delivered.mark();
    assert_eq!(mark.map(|mark| mark.length), Some(7));
    let mut store = MemoryStore::new();
    store.commit(delivered).unwrap();
    assert_eq!(restored(&mut store, 1).mark, mark);
    store.commit(receipt(claim(&feed(1), START + HOUR))).unwrap();
    assert_eq!(restored(&mut store, 1).mark, mark);
}

#[test]
fn when_the_subscription_was_started_is_restored() {
    let mut store = MemoryStore::new();
    let started = Some(Time(START - HOUR));
    store.commit(receipt(Claim { subscription_start: started, ..claim(&feed(1), START) })).unwrap();
    assert_eq!(restored(&mut store, 1).subscription_start, started);
}

/// Of gaps a poller needs those that it can still close, and those that a listing could open a second time.
#[test]
fn gaps_that_nothing_can_come_of_are_not_restored() {
    let old = START - 2 * WEEK;
    let stretch = Gap { blob: None, ..gap(3, old, GapReason::SubscriptionOff, false) };
    let closed = Gap { closed: Some(Time(START)), ..gap(5, START, GapReason::Unreadable, true) };
    let gaps = vec![
        gap(1, old, GapReason::Unreadable, true),
        gap(2, START, GapReason::Expired, false),
        stretch,
        gap(4, old, GapReason::Expired, false),
        closed,
    ];
    let mut store = MemoryStore::new();
    store.commit(receipt(Claim { gaps: gaps.clone(), ..claim(&feed(1), START) })).unwrap();
    let mut found: Vec<_> = restored(&mut store, 1).gaps.iter().map(|gap| gap.id).collect();
    let mut expected: Vec<_> = gaps[..3].iter().map(|gap| gap.id).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_look_at_all_values_counts_them_and_tells_twenty_of_the_things_that_are_wrong() {
    let mut store = MemoryStore::new();
    let stretch = |n, closed| Gap { blob: None, closed, ..gap(n, START, GapReason::SubscriptionOff, false) };
    let gaps = vec![stretch(1, None), stretch(2, Some(Time(START)))];
    store.commit(receipt(Claim { gaps, ..claim(&feed(1), START) })).unwrap();
    let scan = Scan::of(&store.values).unwrap();
    assert_eq!(scan.feeds[&feed(1)].open_gaps, 1);
    let bytes: usize = store.values.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!((scan.values, scan.bytes, scan.is_damaged()), (store.values.len() as u64, bytes as u64, false));
    for n in 0..30 {
        store.values.insert(format!("foreign{n:02}").into_bytes(), Vec::new());
    }
    let mut scan = Scan::of(&store.values).unwrap();
    assert_eq!((scan.wrong, scan.findings.len(), scan.is_damaged()), (30, 20, true));
    assert!(scan.feeds.values().all(|feed| feed.intact));
    scan.distrust("the disk says so");
    assert_eq!(scan.wrong, 31);
    assert!(scan.feeds.values().all(|feed| !feed.intact));
}
