//! The checks of this room against the faults of other collectors: each has to be caught by a check that passes without it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::copy::TREE;
use super::damage::{Fixture, Outcome, fixture, scratch, survive};
use super::opening::copy;
use super::*;
use crate::mutant::{self, Mutant, Watcher};

/// True if the check passes as things are, and fails with the fault seeded. The fault must be one that is for the store and the
/// sink to catch.
pub(crate) fn caught(mutant: Mutant) -> bool {
    quiet_about_sled();
    let check = match mutant {
        Mutant::P5 => a_state_that_can_not_be_read_starts_from_its_witness,
        Mutant::P7 => a_witness_is_replaced_as_a_whole_and_a_torn_one_is_no_end,
        Mutant::P18b => nothing_is_delivered_before_its_file_is_synced,
        Mutant::P19 => an_unfinished_snapshot_costs_nothing,
        other => panic!("{other:?} is not for the store's checks"),
    };
    check();
    mutant::with(mutant, || catch_unwind(AssertUnwindSafe(check)).is_err())
}

fn damaged(state: impl Fn(&Path)) -> (tempfile::TempDir, Fixture) {
    let fixture = fixture(0, false);
    let place = scratch();
    copy(fixture.dir.path(), place.path());
    state(place.path());
    (place, fixture)
}

/// P5: a damaged store, and what is known of it from elsewhere.
fn a_state_that_can_not_be_read_starts_from_its_witness() {
    let (place, fixture) = damaged(|state| fs::write(state.join(TREE).join("db"), b"garbage".repeat(1_000)).unwrap());
    assert_eq!(survive(place.path(), &fixture.history, "garbage"), Outcome::Noticed);
}

/// P7: what a kill can leave of the witness is the old one or the new one; and if something else tore it, that is survived.
fn a_witness_is_replaced_as_a_whole_and_a_torn_one_is_no_end() {
    let (place, fixture) = damaged(|_| ());
    let (name, old) = (place.path().join("witness.json"), place.path().join("old"));
    let before = fs::read(&name).unwrap();
    // Another name for the same file: it shows what is done to the file that the name had before.
    fs::hard_link(&name, &old).unwrap();
    let mut store = open(place.path()).0;
    store.commit(receipt(claim(&feed(1), START + 200 * HOUR))).unwrap();
    store.close().unwrap();
    assert!(fs::read(&old).unwrap() == before, "the old witness was written to: a kill meanwhile would leave neither");
    assert!(fs::read(&name).unwrap() != before);
    for length in [0, 1, before.len() / 2, before.len() - 1] {
        let (place, _) = damaged(|state| fs::write(state.join("witness.json"), &before[..length]).unwrap());
        assert_eq!(survive(place.path(), &fixture.history, "a torn witness"), Outcome::Unharmed);
    }
}

/// P18b: a file that can be written to but not synced gives no receipt, so that nothing can be committed.
fn nothing_is_delivered_before_its_file_is_synced() {
    // A regular file, as far as the system says, that takes a thread's name and knows no fsync.
    let file = fs::OpenOptions::new().write(true).open("/proc/thread-self/comm").unwrap();
    let output = crate::sink::Output::new(file, "test").unwrap();
    let dir = scratch();
    let mut sink = crate::sink::Delivery::new(output, crate::sink::DeadLetters::new(dir.path(), 1 << 20));
    let batch = Batch { claim: claim(&feed(1), START), lines: b"a line\n".to_vec(), line_count: 1, dead: Vec::new() };
    assert!(sink.write(batch).is_err(), "a receipt for what is not on disk");
}

/// P19: what a kill while sled opens can leave.
fn an_unfinished_snapshot_costs_nothing() {
    let (place, fixture) =
        damaged(|state| fs::write(state.join(TREE).join("snap.00000000FFFFFFFF.generating"), "half of it").unwrap());
    assert_eq!(survive(place.path(), &fixture.history, "an unfinished snapshot"), Outcome::Unharmed);
}

#[test]
fn every_fault_of_other_stores_is_caught() {
    for mutant in Mutant::seen_by(Watcher::Store) {
        assert!(caught(mutant), "{mutant:?}");
    }
}
