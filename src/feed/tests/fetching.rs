//! Which blobs are taken in, how many are fetched at once, what their failures lead to, and what the batch then claims.

use super::listings::HOUR;
use super::run::{Run, usual};
use super::*;
use crate::domain::{Fault, GapReason, Refusal, Window};
use crate::feed::cases::{date, follow, memory, range, settings};
use crate::feed::{Action, FeedSettings, Input, Memory, Moment, Notice, Now, Plan};

const MIB: usize = 1 << 20;

fn aged(minutes: u64) -> BlobEntry {
    BlobEntry { created: server(1) - secs(60 * minutes), ..entry(minutes) }
}

fn done(blob: &BlobEntry, bytes: usize, now: Now) -> Input {
    Input::BlobDone { key: blob.key(), counts: Counts::default(), bytes, date: date(now) }
}

fn failed(blob: &BlobEntry, fault: Fault, now: Now) -> Input {
    Input::BlobFailed { key: blob.key(), fault, detail: "made up".into(), print: None, date: date(now) }
}

/// A healthy service whose blobs are answered by the test.
fn held(plan: Plan, width: Option<usize>, blobs: Vec<BlobEntry>) -> Run {
    let memory = if plan.is_one_shot() { Memory::default() } else { memory(BASE - secs(9 * HOUR)) };
    let settings = FeedSettings { width, ..settings(plan) };
    let mut run = Run::with(settings, memory, move |action, now| match action {
        Action::Fetch(_) => Vec::new(),
        _ => usual(&blobs, action, now),
    });
    run.step();
    run
}

#[test]
fn only_blobs_between_beginning_and_end_are_taken_in() {
    let plan = Plan::Range { from: Moment::At(server(100)), to: Moment::At(server(200)) };
    let blobs = [99, 100, 199, 200].map(entry).to_vec();
    let mut run = Run::new(plan, Memory::default(), move |action, now| match action {
        Action::List { id, .. } => {
            vec![Input::Entries { id: *id, entries: blobs.clone() }, Input::PageEnd { id: *id, next: None, date: date(now) }]
        }
        _ => usual(&[], action, now),
    });
    run.now = secs(10_000);
    run.until(secs(10_010));
    assert_eq!(run.fetched(), [100, 199].map(entry));
}

#[test]
fn blobs_of_the_last_hour_and_of_live_listings_go_first() {
    // Live listings reach back two hours, by their overlap.
    let run = held(follow(), Some(9), [300, 200, 90, 60, 61].map(aged).to_vec());
    assert_eq!(run.fetched(), [90, 61, 60, 300, 200].map(aged));
    let run = held(range(), Some(9), [300, 200, 90, 60, 61].map(aged).to_vec());
    assert_eq!(run.fetched(), [300, 200, 90, 61, 60].map(aged), "a one-shot run takes the oldest first");
}

/// A backlog window can bring what is live by its age.
#[test]
fn a_young_blob_is_live_whatever_listed_it() {
    let run = |age: Duration| {
        let (old, young) = (aged(300), BlobEntry { created: server(1) - age, ..entry(7) });
        let answer_young = young.clone();
        let mut run = Run::with(FeedSettings { width: Some(9), ..settings(follow()) }, memory(BASE - secs(9 * HOUR)), {
            let old = old.clone();
            move |action, now| match action {
                Action::Fetch(_) => Vec::new(),
                Action::List { id, window, .. } if window.to() < server(0) => {
                    vec![Input::Entries { id: *id, entries: vec![old.clone(), answer_young.clone()] }]
                }
                _ => usual(&[], action, now),
            }
        });
        run.step();
        let fetched = run.fetched();
        assert_eq!(fetched.len(), 2);
        fetched[0] == young
    };
    assert!(run(secs(3_600)));
    assert!(!run(secs(3_601)));
}

#[test]
fn no_more_is_fetched_at_once_than_the_width_allows() {
    let mut run = held(follow(), Some(2), [3, 2, 1].map(aged).to_vec());
    assert_eq!(run.fetched(), [3, 2].map(aged));
    assert_eq!(run.feed.status(run.clocks()).fetching, 2);
    run.now += ms(10);
    let now = run.clocks();
    run.handle(done(&aged(3), 10, now));
    run.step();
    assert_eq!(run.fetched(), [3, 2, 1].map(aged));
}

/// While a batch is with a slow writer, the next one fills up, and no further.
#[test]
fn a_slow_writer_stops_the_fetching_when_the_next_batch_is_heavy() {
    for (bytes, goes_on) in [(2 * MIB, false), (2 * MIB - 1, true)] {
        let blobs = [9, 8, 7, 6].map(aged).to_vec();
        let mut run =
            Run::with(FeedSettings { width: Some(1), ..settings(follow()) }, memory(BASE - secs(HOUR)), move |action, now| {
                match action {
                    Action::Fetch(_) | Action::Seal { .. } => Vec::new(),
                    _ => usual(&blobs, action, now),
                }
            });
        run.step();
        let now = run.clocks();
        assert!(run.feed.fits(9 * MIB));
        run.handle(done(&aged(9), bytes, now));
        assert!(run.feed.fits(1) && !run.feed.fits(4 * MIB - bytes + 1), "the shell is told what fits");
        run.handle(Input::Tick);
        run.until(secs(2));
        assert_eq!((run.claims().len(), run.fetched().len()), (1, 2), "one batch is with the writer, the next is empty");
        let now = run.clocks();
        run.handle(done(&aged(8), bytes, now));
        run.until(secs(3));
        assert_eq!((run.claims().len(), run.fetched().len()), (1, if goes_on { 3 } else { 2 }));
        // The first is committed: the second is sealed, and it goes on.
        run.handle(Input::Committed { id: crate::feed::BatchId(77) });
        run.until(secs(4));
        assert_eq!(run.claims().len(), 1, "an answer to something else");
        run.handle(Input::Committed { id: crate::feed::BatchId(0) });
        run.until(secs(5));
        assert_eq!((run.claims().len(), run.fetched().len()), (2, 3));
    }
}

#[test]
fn a_broken_blob_is_claimed_as_a_gap_with_its_part_until_it_arrives() {
    let mut run = held(follow(), None, vec![aged(9)]);
    let now = run.clocks();
    let part = Part { key: aged(9).key(), ..part(0, 5) };
    run.handle(Input::BlobLost { part, print: 7, bytes: 10, detail: "made up".into(), date: date(now) });
    run.step();
    let claim = run.claims().pop().unwrap();
    assert_eq!((&claim.parts[..], claim.gaps.len(), claim.done.len()), (&[part][..], 1, 0));
    assert!(claim.gaps[0].provisional && claim.gaps[0].reason == GapReason::Unreadable);
    assert!(run.notices().contains(&Notice::Gap(Box::new(claim.gaps[0].clone()))));
    run.until(secs(5));
    assert_eq!(run.fetched().len(), 2, "it is asked for again");
    let now = run.clocks();
    run.handle(Input::BlobPart { part: Part { elements: 6, ..part }, bytes: 10 });
    run.handle(done(&aged(9), 10, now));
    run.until(secs(6));
    let claim = run.claims().pop().unwrap();
    assert_eq!((claim.parts.len(), claim.gaps.len(), claim.done.len()), (0, 1, 1));
    assert_eq!((claim.gaps[0].closed, claim.gaps[0].provisional), (Some(BASE + now.mono), false));
    assert!(run.notices().contains(&Notice::GapClosed(Box::new(claim.gaps[0].clone()))));
}

#[test]
fn parts_are_claimed_as_they_come() {
    let mut run = held(follow(), None, vec![aged(9)]);
    let part = Part { key: aged(9).key(), ..part(0, 5) };
    run.handle(Input::BlobPart { part: Part { elements: 4, ..part }, bytes: 10 });
    run.handle(Input::BlobPart { part, bytes: 10 });
    run.until(secs(2));
    assert_eq!(run.claims().pop().unwrap().parts, [part]);
    let now = run.clocks();
    run.handle(failed(&aged(9), Fault::Transient { retry_after: None }, now));
    run.until(secs(5));
    let parts = run.log.iter().filter_map(|(_, action)| match action {
        Action::Fetch(order) => Some(order.part),
        _ => None,
    });
    assert_eq!(parts.collect::<Vec<_>>(), [None, Some(part)]);
}

#[test]
fn a_blob_that_failed_is_told_with_its_wait() {
    let mut run = held(follow(), None, vec![aged(9)]);
    let now = run.clocks();
    run.handle(failed(&aged(9), Fault::BadReply, now));
    run.step();
    let notices = run.notices();
    let Some(Notice::BlobDelayed { key, fault: Fault::BadReply, wait, .. }) = notices.last() else { panic!("{notices:?}") };
    assert!(*key == aged(9).key() && secs(1) <= *wait && *wait < secs(2));
    assert!(run.feed.status(run.clocks()).worked);
    run.until(secs(4));
    let now = run.clocks();
    run.handle(failed(&aged(9), Fault::Expired, now));
    run.step();
    assert!(matches!(run.notices().last(), Some(Notice::Gap(gap)) if gap.reason == GapReason::Expired && gap.provisional));
}

#[test]
fn a_blob_that_is_refused_has_the_subscription_looked_at() {
    let refused = Fault::Refused(Refusal::MissingPermission);
    for (fault, looks) in [
        (refused, 2),
        (Fault::AuditingOff, 2),
        (Fault::NoSubscription, 2),
        (Fault::SubscriptionDisabled, 2),
        (Fault::BadReply, 1),
        (Fault::NotFound, 1),
        (Fault::Transient { retry_after: None }, 1),
    ] {
        let mut run = held(follow(), None, vec![aged(9)]);
        let now = run.clocks();
        run.handle(failed(&aged(9), fault.clone(), now));
        run.step();
        assert_eq!(run.times(|action| *action == Action::CheckSubscription).len(), looks, "{fault}");
    }
}

#[test]
fn a_throttled_blob_pauses_all_calls() {
    let mut run = held(follow(), None, [9, 8].map(aged).to_vec());
    let now = run.clocks();
    run.handle(failed(&aged(9), Fault::Throttled { retry_after: Some(secs(30)) }, now));
    run.handle(failed(&aged(8), Fault::Throttled { retry_after: Some(secs(30)) }, now));
    let asked = run.log.len();
    run.until(secs(30));
    assert!(run.log[asked..].iter().all(|(_, action)| matches!(action, Action::Notice(_))), "{:?}", &run.log[asked..]);
    run.until(secs(50));
    assert_eq!(run.fetched().len(), 4);
    run.handle(Input::Paused { until: secs(100) });
    let asked = run.times(|action| matches!(action, Action::List { .. })).len();
    run.until(ms(99_999));
    assert_eq!(run.times(|action| matches!(action, Action::List { .. })).len(), asked, "another feed's pause counts too");
}

/// With nothing else under way, only a look elsewhere tells whether it is the blob or the service.
#[test]
fn a_one_shot_run_looks_elsewhere_when_its_last_blob_fails() {
    let looks = |plan: Plan, width, ages: &[u64]| {
        let mut run = held(plan, Some(width), ages.iter().copied().map(aged).collect());
        let now = run.clocks();
        run.handle(failed(&aged(9), Fault::Transient { retry_after: None }, now));
        run.until(ms(1_500));
        run.times(|action| *action == Action::CheckSubscription).len()
    };
    assert_eq!(looks(range(), 1, &[9]), 2);
    assert_eq!(looks(follow(), 1, &[9]), 1, "a poller asks for other things anyway");
    assert_eq!(looks(range(), 2, &[9, 8]), 1, "another is under way");
    assert_eq!(looks(range(), 1, &[9, 8]), 1, "another comes next");
}

#[test]
fn entries_that_can_not_be_read_are_told_up_to_a_limit() {
    let mut run = held(follow(), None, Vec::new());
    let window = Window::new(BASE, server(1)).unwrap();
    for print in 0..1_030 {
        run.handle(Input::EntryUnreadable { window, print, detail: "made up".into() });
        run.handle(Input::EntryUnreadable { window, print: 0, detail: "made up".into() });
    }
    run.until(secs(2));
    let gaps =
        run.notices().into_iter().filter(|notice| matches!(notice, Notice::Gap(gap) if gap.from == BASE && gap.to == server(1)));
    assert_eq!(gaps.count(), 1_024);
    // Of the others one tells for each day of their windows, however often they are met.
    const HOUR: u64 = 3_600;
    let day = |n: i64| Time((BASE.0.div_euclid(86_400_000) + n) * 86_400_000);
    let told = |run: &mut Run, hours: (u64, u64), print| {
        let told = run.claims().len();
        let window = Window::new(day(0) + secs(hours.0 * HOUR), day(0) + secs(hours.1 * HOUR)).unwrap();
        run.handle(Input::EntryUnreadable { window, print, detail: "made up".into() });
        run.until(run.now + secs(1));
        let gaps: Vec<_> = run.claims().into_iter().skip(told).flat_map(|claim| claim.gaps).collect();
        gaps.into_iter().map(|gap| (gap.from, gap.to)).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let first = run.claims().into_iter().flat_map(|claim| claim.gaps).find(|gap| gap.to != server(1)).unwrap();
    assert_eq!((first.from, first.to), (day(0), day(1)));
    assert_eq!(told(&mut run, (0, 24), 2_000), []);
    assert_eq!(told(&mut run, (1, 2), 0), [], "that one is told by itself");
    assert_eq!(told(&mut run, (20, 25), 2_001), [(day(1), day(2))]);
    assert_eq!(told(&mut run, (70, 94), 2_002), [(day(2), day(3)), (day(3), day(4))]);
    assert_eq!(told(&mut run, (26, 50), 2_003), []);
    // Nor by which process.
    let gaps = run.claims().into_iter().flat_map(|claim| claim.gaps).collect();
    let mut next = held(follow(), None, Vec::new());
    next.feed = crate::feed::Feed::new(settings(follow()), Memory { gaps, ..memory(BASE) }, next.clocks());
    assert_eq!(told(&mut next, (72, 96), 2_004), []);
    assert_eq!(told(&mut next, (95, 98), 2_004), [(day(4), day(5))]);
}

/// Once a listing was broken off for want of room, the backlog waits until a quarter is left.
#[test]
fn a_backlog_without_room_waits_until_what_is_known_has_drained() {
    let blobs: Vec<_> = (0..3_200).map(|n| BlobEntry { created: server(1) - secs(7 * HOUR) + ms(n), ..entry(n) }).collect();
    let mut run = Run::new(follow(), memory(BASE - secs(9 * HOUR)), move |action, now| usual(&blobs, action, now));
    run.until(secs(200));
    let backlog = |action: &Action| matches!(action, Action::List { window, .. } if window.from() < server(1) - secs(6 * HOUR));
    let mut fetched = 0;
    let mut at_listing = Vec::new();
    for (at, action) in &run.log {
        fetched += usize::from(matches!(action, Action::Fetch(_)));
        if backlog(action) && *at < secs(110) {
            at_listing.push(fetched);
        }
    }
    assert!(at_listing[..2].iter().all(|fetched| *fetched < 10), "{at_listing:?}");
    assert!(at_listing[2..].iter().all(|fetched| *fetched >= 2_048), "{at_listing:?}");
    assert_eq!(fetched, 3_200);
    assert_eq!(run.feed.status(run.clocks()).balance.done, 3_200);
}

/// Where the rate is the limit, more at once would only cost memory.
#[test]
fn blobs_that_wait_for_their_turn_and_not_for_room_do_not_widen_it() {
    let blobs: Vec<_> = (0..300).map(|n| BlobEntry { created: server(1) - secs(20_000 + n), ..entry(n) }).collect();
    let settings = FeedSettings { per_minute: 600, ..settings(range()) };
    let mut run = Run::with(settings, Memory::default(), move |action, now| match action {
        Action::Fetch(_) => Vec::new(),
        _ => usual(&blobs, action, now),
    });
    let (mut answered, mut widths) = (0, std::collections::BTreeSet::new());
    for _ in 0..500 {
        run.until(run.now + ms(50));
        for blob in run.fetched().into_iter().skip(answered) {
            run.handle(done(&blob, 10, run.clocks()));
            answered += 1;
            widths.insert(run.feed.pace.width());
        }
    }
    assert!(answered > 200, "{answered}");
    assert_eq!(widths.into_iter().collect::<Vec<_>>(), [4]);
}

/// Another listing may have a better entry; for a blob that nobody waits for, there is nothing to look for.
#[test]
fn an_entry_that_leads_elsewhere_is_looked_up_anew() {
    let windows = |run: &Run| -> Vec<Window> {
        let window = |action: &Action| match action {
            Action::List { window, .. } => Some(*window),
            _ => None,
        };
        run.log.iter().filter_map(|(_, action)| window(action)).collect()
    };
    for (plan, waiting) in [(follow(), true), (follow(), false), (range(), true), (range(), false)] {
        let mut run = held(plan, None, vec![aged(300)]);
        assert_eq!(run.fetched(), [aged(300)]);
        let blob = if waiting { aged(300) } else { aged(299) };
        let before = windows(&run).len();
        run.handle(failed(&blob, Fault::ForeignOrigin, run.clocks()));
        run.step();
        let created = blob.created.floor_second();
        let anew = Window::new(created - secs(300), created + secs(1)).unwrap();
        assert_eq!(windows(&run)[before..], if waiting { vec![anew] } else { Vec::new() });
    }
}
