//! Where a feed stands after a commit.

use super::super::MemoryStore;
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
