//! The size stays flat over months, and a retention full of blobs costs what it may.

use super::super::{MemoryStore, verify};
use super::*;

const DAY: i64 = 24 * HOUR;

/// A day in the life of a feed: some blobs, now and then a gap that closes or becomes final.
fn commits_of_day(day: i64, commits: i64, blobs: i64) -> impl Iterator<Item = Claim> {
    (0..commits).map(move |n| {
        let at = START + day * DAY + n * DAY / commits;
        let mut claim = claim(&feed(1), at);
        claim.done = (0..blobs).map(|b| (blob(n * blobs + b, at - 30 * 60_000 + b), counts(3))).collect();
        if n == 0 {
            claim.gaps.push(gap(-1, at - 2 * HOUR, GapReason::Unreadable, true));
            claim.gaps.push(gap(-1, at - 2 * HOUR - 3 * DAY, GapReason::Unreadable, false));
        }
        claim
    })
}

#[test]
fn keys_do_not_grow_once_everything_has_come_of_age() {
    let mut store = MemoryStore::new();
    let mut keys_on = Vec::new();
    for day in 0..1_400 {
        for claim in commits_of_day(day, 3, 2) {
            store.commit(receipt(claim)).unwrap();
        }
        keys_on.push(store.values.len());
    }
    // Hours become days after 90 days; days are dropped 400 days on, gaps 400 days after they were found.
    assert_eq!(keys_on[1_000], keys_on[1_399]);
    assert!(keys_on[1_399] < 1_200, "{}", keys_on[1_399]);
    assert_eq!(store.verify().unwrap(), Vec::new());
    let view = &store.inspect().unwrap()[0];
    assert_eq!(view.ledger.blobs_done, 1_400 * 6);
    assert_eq!(view.ledger.records.delivered, 1_400 * 6 * 3);
}

#[test]
fn the_disk_does_not_fill_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).0;
    // Small, so that sled's creep shows within the time of a test.
    (store.slack, store.compact_at) = (256 << 10, 1 << 20);
    let mut sizes = Vec::new();
    for day in 0..200 {
        for claim in commits_of_day(day, 8, 20) {
            assert_eq!(store.remembers(&claim.feed, &claim.records).unwrap().len(), 0);
            store.commit(receipt(claim)).unwrap();
        }
        sizes.push(store.inspect().unwrap().sizes.store);
    }
    let grown = sizes.iter().zip(&sizes[1..]).filter(|(before, after)| after < before).count();
    assert!(grown > 1, "the file was never copied into a smaller one: {sizes:?}");
    assert!(sizes.iter().all(|size| *size < 4 << 20), "{sizes:?}");
    let state = restored(&mut store, 1);
    store.close().unwrap();
    let mut store = open_healthy(dir.path());
    assert_eq!(restored(&mut store, 1), state);
    store.close().unwrap();
    assert_eq!(verify(dir.path()).unwrap().findings, Vec::new());
    let days = std::fs::read_dir(dir.path().join("records")).unwrap().count();
    assert!((7..=9).contains(&days), "{days} days of remembered records");
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["lock", "records", "sled.v1", "witness.json"]);
}

#[test]
fn a_blob_costs_less_than_twelve_bytes_of_value() {
    let mut store = MemoryStore::new();
    let blobs = 100_000;
    for batch in 0..blobs / 500 {
        let mut claim = claim(&feed(1), START);
        // A day of them, in the order of their creation.
        claim.done = (0..500).map(|n| (blob(n, START - DAY + (batch * 500 + n) * DAY / blobs), counts(1))).collect();
        store.commit(receipt(claim)).unwrap();
    }
    assert_eq!(restored(&mut store, 1).done.len(), 100_000);
    let bytes: usize = store.values.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes < 12 * 100_000, "{bytes} bytes");
}
