//! The ledger of blobs: order, room, parts, gaps of earlier runs, and counts that balance.

mod failures;

use super::*;
use crate::domain::{DoneSet, Fault, Gap, GapBlob, GapId, GapReason};
use crate::feed::blobs::{BlobFailure, Blobs, Verdict};
use crate::feed::persistence::Persistence;
use crate::feed::{Balance, FetchOrder};

const FINAL: bool = false;
const PROVISIONAL: bool = true;

fn poller() -> Blobs {
    Blobs::new(Persistence::poller(), DoneSet::default())
}

fn one_shot() -> Blobs {
    Blobs::new(Persistence::one_shot(), DoneSet::default())
}

fn counts(blobs: &Blobs) -> (u64, u64, u64, u64) {
    let Balance { listed, done, gaps, pending } = blobs.balance();
    (listed, done, gaps, pending)
}

/// Listed and asked for, each blob alone.
fn fetching(mut blobs: Blobs, seconds: u64) -> Blobs {
    assert!(blobs.add(entry(seconds), true));
    assert!(blobs.next_fetch(secs(100)).is_some());
    blobs
}

/// A failed attempt at the first blob that says no more than its fault.
fn failure(fault: &Fault) -> BlobFailure<'_> {
    BlobFailure { key: key(0), fault, detail: "made up", print: None, successes: 0, floor: Time::MIN, asked: true }
}

/// The whole of what one attempt leads to; the next one is asked for when it is due.
fn fail(blobs: &mut Blobs, fault: &Fault, successes: u64, at: Time) -> Verdict {
    let failure = BlobFailure { successes, ..failure(fault) };
    let verdict = blobs.failed(failure, secs(100), at, &mut jitter());
    if let Some(due) = blobs.wake() {
        assert!(blobs.next_fetch(due).is_some());
    }
    verdict
}

fn told(verdict: Verdict) -> Option<(GapReason, bool, u32)> {
    match verdict {
        Verdict::Gap(Some(gap)) => {
            assert_eq!(
                (gap.id, gap.from, gap.to, gap.closed),
                (GapId::of_blob(key(0)), entry(0).created, entry(0).created, None)
            );
            assert_eq!(gap.detail, "made up");
            Some((gap.reason, gap.provisional, gap.blob.unwrap().attempts))
        }
        _ => None,
    }
}

fn gap(seconds: u64, provisional: bool, attempts: u32) -> Gap {
    Gap {
        id: GapId::of_blob(key(seconds)),
        reason: GapReason::Unreadable,
        from: entry(seconds).created,
        to: entry(seconds).created,
        blob: Some(GapBlob { entry: entry(seconds), attempts, accepted: None }),
        provisional,
        closed: None,
        found: BASE,
        detail: String::new(),
    }
}

#[test]
fn a_blob_is_fetched_once_and_counted_in_one_place() {
    let mut blobs = poller();
    assert!(!blobs.has_ready() && blobs.is_idle());
    assert!(blobs.add(entry(0), true));
    assert!(blobs.add(entry(0), true), "listed twice");
    assert_eq!(counts(&blobs), (1, 0, 0, 1));
    assert!(blobs.has_ready() && !blobs.is_idle());
    assert_eq!((blobs.fetching(), blobs.sent_at(key(0))), (0, None));
    let order = blobs.next_fetch(secs(7)).unwrap();
    assert_eq!(order, FetchOrder { entry: entry(0), part: None, confirm: None, accepted: None, attempts: 0 });
    assert_eq!((blobs.fetching(), blobs.sent_at(key(0))), (1, Some(secs(7))));
    assert!(blobs.next_fetch(secs(7)).is_none() && !blobs.has_ready());
    assert!(blobs.finished(key(0), server(9)).is_none());
    assert_eq!((blobs.fetching(), blobs.sent_at(key(0))), (0, None));
    assert_eq!(counts(&blobs), (1, 0, 0, 1), "what is only written is pending");
    blobs.committed([key(0), key(5)]);
    assert_eq!(counts(&blobs), (1, 1, 0, 0));
    assert!(blobs.add(entry(0), true) && blobs.add(entry(5), true), "listed after it was done");
    assert_eq!(counts(&blobs), (1, 1, 0, 0));
    assert!(blobs.is_idle());
}

#[test]
fn the_newest_listing_says_where_a_blob_is() {
    let mut blobs = poller();
    blobs.add(entry(0), true);
    let moved = BlobEntry { uri: "http://x/moved".into(), expires: Some(server(9)), ..entry(0) };
    blobs.add(moved.clone(), true);
    assert_eq!(blobs.nearest_expiry(), Some(server(9)));
    assert_eq!(blobs.next_fetch(secs(1)).unwrap().entry, moved);
}

/// Found by the simulation: a wrong listing had told a wrong address, the next one the right one, and nobody asked by it for twenty
/// minutes.
#[test]
fn a_wait_ends_when_a_better_address_is_told_but_not_each_time() {
    let mut blobs = fetching(poller(), 0);
    let told = |n: u32| BlobEntry { uri: format!("https://elsewhere.example/{n}"), ..entry(0) };
    let stray = |blobs: &mut Blobs, now| {
        let failure = failure(&Fault::ForeignOrigin);
        blobs.failed(failure, now, server(0), &mut jitter());
        blobs.wake().unwrap()
    };
    let mut due = secs(100);
    for n in 0..20 {
        due = stray(&mut blobs, due);
        assert!(blobs.next_fetch(due - ms(1)).is_none());
        blobs.add(told(2 * n), true);
        assert_eq!(blobs.next_fetch(due - ms(1)).unwrap().entry, told(2 * n), "at once");
        due = stray(&mut blobs, due);
        blobs.add(told(2 * n + 1), true);
        assert!(blobs.next_fetch(due - ms(1)).is_none(), "each listing tells another one");
        assert_eq!(blobs.next_fetch(due).unwrap().entry, told(2 * n + 1));
    }
    assert_eq!(counts(&blobs), (1, 0, 1, 0), "so many listings told a wrong address");
    let mut other = fetching(poller(), 0);
    fail(&mut other, &Fault::BadReply, 0, server(0));
    other.add(told(9), true);
    assert!(other.next_fetch(secs(100)).is_none(), "its address was not what was wrong");
}

#[test]
fn live_blobs_go_first_and_the_oldest_of_each_kind() {
    let mut blobs = poller();
    for (seconds, live) in [(4, false), (3, false), (9, true), (8, true)] {
        blobs.add(entry(seconds), live);
    }
    let order = std::iter::from_fn(|| blobs.next_fetch(secs(1))).map(|order| order.entry);
    assert_eq!(order.collect::<Vec<_>>(), [8, 9, 3, 4].map(entry));
    assert_eq!(blobs.fetching(), 4);
    for seconds in [3, 9] {
        let fault = &Fault::Transient { retry_after: None };
        let failure = BlobFailure { key: key(seconds), ..failure(fault) };
        blobs.failed(failure, secs(1), server(0), &mut jitter());
    }
    assert_eq!(blobs.fetching(), 2);
    blobs.add(entry(10), true);
    let order = std::iter::from_fn(|| blobs.next_fetch(secs(9))).map(|order| order.entry);
    assert_eq!(order.collect::<Vec<_>>(), [3, 10, 9].map(entry), "they have every second turn");
}

#[test]
fn room_is_kept_for_live_blobs() {
    let mut blobs = poller();
    for n in 0..3_072 {
        assert!(blobs.has_room(false) && blobs.add(entry(n), false), "{n}");
    }
    assert!(!blobs.has_room(false) && !blobs.add(entry(5_000), false));
    for n in 0..1_024 {
        assert!(blobs.has_room(true) && blobs.add(entry(10_000 + n), true), "{n}");
    }
    assert!(!blobs.has_room(true) && !blobs.add(entry(20_000), true));
    assert!(blobs.add(entry(0), false), "what is known needs no room");
    assert_eq!(counts(&blobs), (4_096, 0, 0, 4_096));
}

#[test]
fn a_blob_with_a_gap_takes_no_room() {
    let mut blobs = fetching(poller(), 0);
    assert!(blobs.lost(part(0, 1), 7, String::new(), secs(1), server(1), &mut jitter()).is_some());
    for n in 1..=1_024 {
        assert!(blobs.has_drained(), "{n}");
        blobs.add(entry(n), false);
    }
    assert!(blobs.has_drained());
    blobs.add(entry(1_025), false);
    assert!(!blobs.has_drained());
    for n in 1_026..=3_072 {
        assert!(blobs.add(entry(n), false), "{n}");
    }
    assert!(!blobs.has_room(false));
}

/// Four blobs that always failed used up the few requests of a feed in trouble, and none of the others was ever asked for.
#[test]
fn in_trouble_a_blob_that_never_failed_comes_first() {
    let mut blobs = poller();
    blobs.add(entry(0), false);
    blobs.next_fetch(secs(100)).unwrap();
    fail_at(&mut blobs, secs(100));
    blobs.add(entry(1), false);
    assert_eq!(blobs.next_probe(secs(200)).unwrap().entry, entry(1));
    assert_eq!(blobs.next_probe(secs(200)).unwrap().entry, entry(0), "there is no other");
    assert!(blobs.next_probe(secs(200)).is_none());
}

fn fail_at(blobs: &mut Blobs, now: Duration) {
    let fault = Fault::Transient { retry_after: None };
    let failure = failure(&fault);
    assert!(matches!(blobs.failed(failure, now, server(0), &mut jitter()), Verdict::Later(_)));
}

#[test]
fn a_blob_is_known_from_its_listing_on_and_its_second_waits_until_it_is_done() {
    let mut blobs = poller();
    let second = entry(0).created.floor_second();
    assert!(!blobs.knows(key(0)) && !blobs.waits_for(second));
    blobs.add(entry(0), true);
    assert!(blobs.knows(key(0)) && blobs.waits_for(second));
    assert!(!blobs.knows(key(1)) && !blobs.waits_for(second + secs(1)) && !blobs.waits_for(second - secs(1)));
    blobs.next_fetch(secs(1)).unwrap();
    blobs.finished(key(0), server(2));
    blobs.committed([key(0)]);
    assert!(blobs.knows(key(0)) && !blobs.waits_for(second));
}

/// Found by the simulation: with three requests a minute, two blobs that could not be had took them all for half an hour.
#[test]
fn what_has_failed_before_takes_at_most_every_second_turn() {
    let mut blobs = poller();
    (0..6).for_each(|seconds| assert!(blobs.add(entry(seconds), true)));
    let mut now = secs(0);
    let mut turn = |fails: bool| {
        now += secs(3_600);
        let key = blobs.next_fetch(now).unwrap().entry.key();
        let (fault, successes) = (&Fault::Transient { retry_after: None }, 0);
        match fails {
            true => drop(blobs.failed(BlobFailure { key, successes, ..failure(fault) }, now, server(0), &mut jitter())),
            false => drop(blobs.finished(key, server(0))),
        }
        key
    };
    let turns: Vec<_> = [true, true, false, true, false, true, false, false].map(&mut turn).into_iter().collect();
    assert_eq!(turns, [0, 0, 1, 0, 2, 0, 3, 0].map(key));
}

/// The listing that told a better address came while the wrong one was tried, and the gap was of an earlier run.
#[test]
fn a_better_address_that_comes_during_an_attempt_is_tried_before_the_end() {
    for attempts in [1, 12] {
        let mut blobs = Blobs::new(Persistence::once(), DoneSet::default());
        blobs.restore(vec![gap(0, PROVISIONAL, attempts)], Vec::new(), secs(0), &mut jitter());
        assert!(blobs.next_fetch(blobs.wake().unwrap()).is_some());
        blobs.add(BlobEntry { uri: "https://elsewhere.example/0".into(), ..entry(0) }, false);
        blobs.failed(failure(&Fault::ForeignOrigin), secs(2), server(0), &mut jitter());
        assert!(!blobs.is_idle(), "{attempts}");
        assert!(blobs.next_fetch(blobs.wake().unwrap()).is_some());
        blobs.failed(failure(&Fault::ForeignOrigin), secs(4), server(0), &mut jitter());
        assert!(blobs.is_idle(), "{attempts}");
    }
}

#[test]
fn parts_go_with_the_blob_until_they_are_refused() {
    let mut blobs = fetching(poller(), 0);
    blobs.part(part(0, 3));
    let again = |blobs: &mut Blobs| {
        fail(blobs, &Fault::Throttled { retry_after: None }, 0, server(0));
        let (key, fault) = (key(0), &Fault::Throttled { retry_after: None });
        let failure = BlobFailure { key, ..failure(fault) };
        blobs.failed(failure, secs(100), server(0), &mut jitter());
        blobs.next_fetch(secs(200)).unwrap().part
    };
    assert_eq!(again(&mut blobs), Some(part(0, 3)));
    blobs.forget_part(key(0));
    assert_eq!(again(&mut blobs), None);
}

#[test]
fn parts_of_an_earlier_run_wait_for_their_blobs_and_are_forgotten_with_their_age() {
    let mut blobs = poller();
    blobs.restore(Vec::new(), vec![part(10, 3), part(20, 4), part(30, 5)], secs(0), &mut jitter());
    blobs.forget_before(server(20));
    for seconds in [10, 20, 30] {
        blobs.add(entry(seconds), true);
    }
    let parts = std::iter::from_fn(|| blobs.next_fetch(secs(1))).map(|order| order.part.map(|part| part.elements));
    assert_eq!(parts.collect::<Vec<_>>(), [None, Some(4), Some(5)]);
}

#[test]
fn done_blobs_are_forgotten_with_their_age() {
    let mut blobs = poller();
    blobs.committed([key(0), key(9_000)]);
    blobs.forget_before(server(6_000));
    blobs.add(entry(0), true);
    blobs.add(entry(9_000), true);
    assert_eq!(counts(&blobs).0, 1);
}

#[test]
fn a_poller_takes_up_the_gaps_of_an_earlier_run() {
    let mut done = DoneSet::default();
    done.insert(key(40));
    let mut blobs = Blobs::new(Persistence::poller(), done);
    let closed = Gap { closed: Some(BASE), ..gap(20, false, 1) };
    let stretch = crate::feed::cases::stretch();
    let gaps =
        vec![gap(10, PROVISIONAL, 7), gap(10, PROVISIONAL, 7), closed, gap(30, FINAL, 1), gap(40, PROVISIONAL, 1), stretch];
    blobs.restore(gaps, vec![part(10, 3)], secs(100), &mut jitter());
    assert_eq!(counts(&blobs), (1, 0, 1, 0));
    assert!(!blobs.is_idle() && blobs.oldest_pending().is_none(), "it is asked for once at least");
    let due = blobs.wake().unwrap();
    assert!(secs(101) <= due && due < secs(102), "{due:?}");
    assert!(blobs.next_fetch(due - ms(1)).is_none());
    let order = blobs.next_fetch(due).unwrap();
    assert_eq!((order.entry, order.attempts, order.part), (entry(10), 7, Some(part(10, 3))));
    blobs.add(entry(30), true);
    assert!(blobs.next_fetch(due).is_none(), "a final gap is final");
    blobs.add(entry(20), true);
    assert_eq!(blobs.next_fetch(due).unwrap().entry, entry(20), "a closed gap says nothing");
    assert!(blobs.finished(key(10), server(200)).is_some(), "its gap closes");
    blobs.committed([key(10)]);
    assert_eq!(counts(&blobs), (2, 1, 0, 1));
}

#[test]
fn only_runs_that_go_on_take_up_gaps() {
    let restored = |persistence| {
        let mut blobs = Blobs::new(persistence, DoneSet::default());
        blobs.restore(vec![gap(10, PROVISIONAL, 7)], Vec::new(), secs(0), &mut jitter());
        blobs.add(entry(10), true);
        counts(&blobs).0
    };
    assert_eq!(restored(Persistence::once()), 1);
    assert_eq!(restored(Persistence::one_shot()), 0);
}

#[test]
fn gaps_that_are_asked_for_are_limited_and_none_is_lost() {
    let mut blobs = poller();
    for n in 0..4_100 {
        blobs.add(entry(n), true);
        blobs.next_fetch(secs(1));
        let gap = blobs.lost(part(n, 1), 7, String::new(), secs(1), server(1), &mut jitter());
        assert!(gap.is_some_and(|gap| gap.provisional));
        assert!(blobs.is_idle() && blobs.has_room(false) && blobs.fetching() == 0, "{n}");
    }
    assert_eq!(counts(&blobs), (4_100, 0, 4_100, 0));
    let asked = std::iter::from_fn(|| blobs.next_fetch(secs(100))).count();
    assert_eq!(asked, 4_096);
    let mut blobs = poller();
    blobs.restore((0..4_100).map(|n| gap(n, PROVISIONAL, 1)).collect(), Vec::new(), secs(0), &mut jitter());
    assert_eq!(counts(&blobs), (4_096, 0, 4_096, 0));
}

#[test]
fn the_nearest_expiry_is_that_of_a_pending_blob() {
    let mut blobs = poller();
    assert_eq!((blobs.nearest_expiry(), blobs.oldest_pending()), (None, None));
    for (seconds, expires) in [(1, 700), (2, 600), (3, 800)] {
        blobs.add(BlobEntry { expires: Some(server(expires)), ..entry(seconds) }, true);
    }
    assert_eq!((blobs.nearest_expiry(), blobs.oldest_pending()), (Some(server(600)), Some(server(1))));
}

/// Each run of `--once` wrote the dead letters of a broken blob again.
#[test]
fn a_broken_blob_is_known_for_what_it_is_by_the_next_process() {
    let mut blobs = poller();
    assert!(blobs.add(entry(0), true));
    blobs.next_fetch(secs(7)).unwrap();
    let part = Part { key: key(0), elements: 2, digest: 1, counts: Counts::default() };
    let gap = blobs.lost(part, 77, "made up".into(), secs(8), server(8), &mut jitter()).unwrap();
    let stored = serde_json::to_vec(&gap).unwrap();
    let mut next = poller();
    next.restore(vec![serde_json::from_slice(&stored).unwrap()], vec![part], secs(0), &mut jitter());
    let order = next.next_fetch(secs(3_600)).unwrap();
    assert_eq!((order.part, order.confirm, order.accepted), (Some(part), None, Some(77)));
}
