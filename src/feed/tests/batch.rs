//! What a crash may repeat is limited: 4 MiB, 64 blobs, 250 ms.

use super::*;
use crate::feed::batch::Open;

const MIB: usize = 1 << 20;

/// With so many blobs done, and parts of so many others.
fn holding(done: u64, parts: u64) -> Open {
    let mut open = Open::default();
    open.done.extend((0..done).map(|n| (key(n), Counts::default())));
    open.parts.extend((0..parts).map(|n| (key(1000 + n), part(1000 + n, 1))));
    open.grew(1, secs(1));
    open
}

fn with_bytes(bytes: usize) -> Open {
    let mut open = Open::default();
    open.grew(bytes - 1, secs(1));
    open.grew(1, secs(2));
    open
}

#[test]
fn four_mebibytes_fit_and_not_one_byte_more() {
    assert!(Open::default().fits(9 * MIB), "an empty batch takes one large record");
    assert!(with_bytes(3 * MIB).fits(MIB));
    assert!(!with_bytes(3 * MIB).fits(MIB + 1));
}

#[test]
fn sixty_four_blobs_fit_whole_or_in_part() {
    assert!(holding(32, 31).fits(1));
    assert!(!holding(32, 32).fits(1));
    assert!(!holding(60, 5).fits(1));
}

#[test]
fn what_did_not_fit_has_the_batch_sealed() {
    let mut open = with_bytes(MIB);
    assert!(open.fits(1) && !open.is_heavy() && !open.is_ripe(secs(1), true));
    assert!(!open.fits(4 * MIB));
    assert!(open.is_heavy() && open.is_ripe(secs(1), true));
    assert!(open.fits(1), "something small still goes in");
    assert!(open.is_heavy() && open.is_ripe(secs(1), true), "and does not make it forget");
}

#[test]
fn half_a_batch_is_heavy() {
    assert!(!with_bytes(2 * MIB - 1).is_heavy());
    assert!(with_bytes(2 * MIB).is_heavy());
    assert!(!holding(16, 15).is_heavy());
    assert!(holding(16, 16).is_heavy());
}

#[test]
fn a_batch_is_ripe_by_size_by_count_or_by_age() {
    assert!(!with_bytes(2 * MIB - 1).is_ripe(secs(1), true));
    assert!(with_bytes(2 * MIB).is_ripe(secs(1), true));
    assert!(!holding(32, 31).is_ripe(secs(1), true));
    assert!(holding(32, 32).is_ripe(secs(1), true));
    assert!(!holding(1, 0).is_ripe(secs(1) + ms(249), true));
    assert!(holding(1, 0).is_ripe(secs(1) + ms(250), true));
    assert_eq!(holding(1, 0).wake(), Some(secs(1) + ms(250)));
    assert_eq!(with_bytes(2).wake(), Some(secs(1) + ms(250)), "its age counts from what went in first");
}

#[test]
fn a_batch_that_nothing_can_join_is_ripe_at_once_unless_it_is_empty() {
    assert!(holding(1, 0).is_ripe(secs(1), false));
    assert!(!holding(1, 0).is_empty());
    let empty = Open::default();
    assert!(empty.is_empty() && !empty.is_ripe(secs(9), false) && !empty.is_heavy() && empty.wake().is_none());
}
