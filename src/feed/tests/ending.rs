//! When a batch is sealed, when a run is complete, and how it stops.

use super::listings::{DAY, HOUR};
use super::run::{Run, usual};
use super::*;
use crate::domain::{Fault, Gap, GapBlob, GapId};
use crate::feed::cases::{date, follow, memory, settings, stretch};
use crate::feed::listing::SAFE_EDGE;
use crate::feed::{Action, FeedSettings, Finish, Input, Memory, Moment, Notice, Plan};

fn up_to(ago: u64) -> Plan {
    Plan::Range { from: Moment::Ago(secs(5 * HOUR)), to: Moment::Ago(secs(ago)) }
}

fn is_list(action: &Action) -> bool {
    matches!(action, Action::List { .. })
}

fn passes(run: &Run) -> Vec<u32> {
    let pass = |notice| match notice {
        Notice::Pass { number } => Some(number),
        _ => None,
    };
    run.notices().into_iter().filter_map(pass).collect()
}

fn seals(run: &Run) -> Vec<Duration> {
    run.times(|action| matches!(action, Action::Seal { .. }))
}

/// Fetches are answered by the test.
fn held(plan: Plan, memory: Memory) -> (Run, Vec<BlobEntry>) {
    let blobs = [4_000, 3_000, 2_000].map(|age| BlobEntry { created: server(1) - secs(2 * HOUR + age), ..entry(age) }).to_vec();
    let answer = blobs.clone();
    let mut run = Run::new(plan, memory, move |action, now| match action {
        Action::Fetch(_) => Vec::new(),
        _ => usual(&answer, action, now),
    });
    run.step();
    assert_eq!(run.fetched(), blobs);
    run.log.clear();
    (run, blobs)
}

fn finish_blob(run: &mut Run, blob: &BlobEntry) {
    let date = date(run.clocks());
    run.handle(Input::BlobDone { key: blob.key(), counts: Counts::default(), bytes: 10, date });
    run.step();
}

#[test]
fn a_batch_waits_for_what_can_still_join_it_and_no_longer_than_it_may() {
    let (mut run, blobs) = held(follow(), memory(BASE - secs(9 * HOUR)));
    finish_blob(&mut run, &blobs[0]);
    finish_blob(&mut run, &blobs[1]);
    assert_eq!(seals(&run), []);
    run.until(ms(1_240));
    assert_eq!(seals(&run), []);
    run.until(ms(1_300));
    assert_eq!(seals(&run), [ms(1_250)]);
    finish_blob(&mut run, &blobs[2]);
    assert_eq!(seals(&run), [ms(1_250), ms(1_300)], "nothing else is under way");
    let batches = run.log.iter().filter_map(|(_, action)| match action {
        Action::Seal { id, claim } => Some((id.0, claim.done.len())),
        _ => None,
    });
    assert_eq!(batches.collect::<Vec<_>>(), [(0, 2), (1, 1)]);
}

#[test]
fn a_range_is_listed_again_until_nothing_new_comes() {
    let mut run = Run::new(up_to(HOUR), Memory::default(), |action, now| usual(&[], action, now));
    run.until(secs(1));
    assert_eq!((passes(&run), run.finish(), run.times(is_list).len()), (vec![2], Some(Finish::Complete), 2));
    assert_eq!(run.claims().pop().unwrap().floor, server(1) - secs(HOUR));

    let blob = BlobEntry { created: server(1) - secs(2 * HOUR), ..entry(0) };
    let late = blob.clone();
    let mut listings = 0;
    let mut run = Run::new(up_to(HOUR), Memory::default(), move |action, now| {
        listings += u32::from(is_list(action));
        usual(if listings > 1 { std::slice::from_ref(&late) } else { &[] }, action, now)
    });
    run.until(secs(2));
    assert_eq!((passes(&run), run.finish(), run.fetched()), (vec![2, 3], Some(Finish::Complete), vec![blob]));
}

#[test]
fn a_service_that_invents_blobs_ends_after_twenty_passes() {
    let mut listings = 0;
    let mut run = Run::new(up_to(HOUR), Memory::default(), move |action, now| {
        listings += u64::from(is_list(action));
        usual(&[BlobEntry { created: server(1) - secs(2 * HOUR), ..entry(listings) }], action, now)
    });
    run.until(secs(60));
    assert_eq!((passes(&run), run.finish()), ((2..=21).collect(), Some(Finish::Complete)));
}

#[test]
fn a_range_that_reaches_into_the_last_hour_settles_first() {
    for (ago, settles) in [(HOUR, 0), (HOUR - 1, 700), (0, 700)] {
        let mut run = Run::new(up_to(ago), Memory::default(), |action, now| usual(&[], action, now));
        run.until(secs(10));
        let lists = run.times(is_list);
        assert_eq!(lists, [secs(1), secs(1) + ms(settles)], "{ago}");
    }
}

#[test]
fn once_goes_over_all_that_the_service_keeps_in_its_second_pass() {
    for (begin, from) in [(server(1) - secs(3 * DAY), server(1) - secs(3 * DAY)), (BASE - secs(30 * DAY), server(1) - SAFE_EDGE)]
    {
        let earlier = Memory { begin: Some(begin), ..memory(server(1) - secs(DAY)) };
        let mut run = Run::new(Plan::Once, earlier, |action, now| usual(&[], action, now));
        run.until(secs(20));
        assert_eq!(run.finish(), Some(Finish::Complete));
        let second = run.log.iter().position(|(_, action)| matches!(action, Action::Notice(Notice::Pass { number: 2 })));
        let listed = run.log[second.unwrap()..].iter().find_map(|(_, action)| match action {
            Action::List { window, .. } => Some(window.from()),
            _ => None,
        });
        let overlap = listed.map(|at| from.since(at));
        assert!(overlap.is_some_and(|overlap| overlap <= secs(300)), "{listed:?} for {from}");
        assert!(!run.notices().iter().any(|notice| matches!(notice, Notice::Gap(_))));
    }
}

#[test]
fn a_range_is_not_complete_while_a_blob_is_under_way() {
    let (mut run, blobs) = held(up_to(HOUR), Memory::default());
    run.until(secs(10));
    assert_eq!((passes(&run), run.finish()), (vec![], None));
    for blob in &blobs {
        assert_eq!(run.finish(), None);
        finish_blob(&mut run, blob);
    }
    run.until(secs(20));
    assert_eq!((passes(&run), run.finish()), (vec![2], Some(Finish::Complete)));
    assert_eq!(run.times(|action| matches!(action, Action::Finish(_))).len(), 1);
    assert_eq!(run.feed.wake(run.clocks()), None);
}

/// What an earlier run left that could not have the blob in so many attempts.
fn with_a_gap(blob: &BlobEntry, attempts: u32) -> Memory {
    let gap = Gap {
        id: GapId::of_blob(blob.key()),
        blob: Some(GapBlob { entry: blob.clone(), attempts, accepted: None }),
        provisional: true,
        ..stretch()
    };
    Memory { gaps: vec![gap], ..memory(server(1) - secs(HOUR)) }
}

/// Its gap stands for it, but the answer may come any moment.
#[test]
fn once_waits_for_a_blob_of_an_earlier_run_that_is_under_way() {
    let blob = entry(0);
    let earlier = with_a_gap(&blob, 1);
    let mut run = Run::new(Plan::Once, earlier, |action, now| match action {
        Action::Fetch(_) => Vec::new(),
        _ => usual(&[], action, now),
    });
    run.until(secs(20));
    assert_eq!((run.fetched(), run.finish()), (vec![blob.clone()], None));
    finish_blob(&mut run, &blob);
    run.until(secs(30));
    assert_eq!(run.finish(), Some(Finish::Complete));
}

#[test]
fn once_waits_for_a_further_attempt_too() {
    let blob = entry(0);
    let (mut fetches, mut lists) = (0, 0);
    let mut run = Run::new(Plan::Once, with_a_gap(&blob, 1), move |action, now| match action {
        Action::Fetch(order) => {
            fetches += 1;
            let (key, fault, date) = (order.entry.key(), Fault::BadReply, date(now));
            let failed = Input::BlobFailed { key, fault, detail: "made up".into(), print: None, date };
            if fetches == 1 { vec![failed] } else { Vec::new() }
        }
        // The last listing takes until the second attempt is under way.
        Action::List { .. } if lists == 1 => Vec::new(),
        Action::List { .. } => {
            lists += 1;
            usual(&[], action, now)
        }
        _ => usual(&[], action, now),
    });
    run.until(secs(200));
    assert_eq!((run.fetched().len(), run.finish()), (2, None));
    let last = run.log.iter().rev().find_map(|(_, action)| match action {
        Action::List { id, .. } => Some(*id),
        _ => None,
    });
    run.handle(Input::PageEnd { id: last.unwrap(), next: None, date: date(run.clocks()) });
    run.until(secs(210));
    assert_eq!(run.finish(), None);
    finish_blob(&mut run, &blob);
    run.until(secs(220));
    assert_eq!(run.finish(), Some(Finish::Complete));
}

/// Found by the simulation: listing took the few requests that there were, and when it was done the run ended.
#[test]
fn once_asks_for_each_gap_of_an_earlier_run_at_least_once_however_few_requests_it_may_send() {
    let blob = entry(0);
    let earlier = with_a_gap(&blob, 9);
    let settings = FeedSettings { per_minute: 3, ..settings(Plan::Once) };
    let mut run = Run::with(settings, earlier, |action, now| usual(&[], action, now));
    run.until(secs(2 * HOUR));
    assert_eq!((run.fetched(), run.finish()), (vec![blob], Some(Finish::Complete)));
}

/// Found by the simulation: the address that the gap remembered was a wrong one, the listings of each run told the right one, and
/// each run ended with asking for the wrong one.
#[test]
fn once_tries_the_address_that_its_listings_tell_of_a_gap() {
    let blob = BlobEntry { created: server(1) - secs(100), ..entry(0) };
    let earlier = with_a_gap(&BlobEntry { uri: "https://elsewhere.example/0".into(), ..blob.clone() }, 9);
    let listed = vec![blob.clone()];
    let mut run = Run::with(settings(Plan::Once), earlier, move |action, now| match action {
        Action::Fetch(order) if order.entry.uri != listed[0].uri => {
            let (key, fault) = (order.entry.key(), Fault::ForeignOrigin);
            vec![Input::BlobFailed { key, fault, detail: "made up".into(), print: None, date: None }]
        }
        _ => usual(&listed, action, now),
    });
    run.until(secs(HOUR));
    assert_eq!((run.fetched().last(), run.finish()), (Some(&blob), Some(Finish::Complete)));
    assert!(run.claims().iter().flat_map(|claim| &claim.gaps).any(|gap| gap.closed.is_some()));
}

/// Found by the simulation: with few requests to send, one of the two blobs was always ready, so nobody looked whether it was
/// the service, and after ten minutes it counted as unreachable.
#[test]
fn once_ends_with_gaps_where_some_blobs_fail_whatever_it_does() {
    let blobs = vec![entry(0), BlobEntry { created: server(1) - secs(100), ..entry(5) }];
    let settings = FeedSettings { per_minute: 3, ..settings(Plan::Once) };
    let mut run = Run::with(settings, memory(server(1) - secs(HOUR)), move |action, now| match action {
        Action::Fetch(order) => {
            let (key, fault) = (order.entry.key(), Fault::Transient { retry_after: None });
            vec![Input::BlobFailed { key, fault, detail: "made up".into(), print: None, date: date(now) }]
        }
        _ => usual(&blobs, action, now),
    });
    run.until(secs(4 * HOUR));
    assert_eq!(run.finish(), Some(Finish::Complete));
    let gaps = run.claims().iter().flat_map(|claim| claim.gaps.clone()).filter(|gap| gap.blob.is_some()).count();
    assert_eq!(gaps, 2);
}

#[test]
fn a_stop_waits_for_the_fetches_and_commits_them() {
    let (mut run, blobs) = held(follow(), memory(BASE - secs(9 * HOUR)));
    run.handle(Input::Stop);
    run.until(secs(100));
    assert_eq!((run.log.len(), run.finish()), (0, None), "nothing new is asked for");
    finish_blob(&mut run, &blobs[0]);
    assert_eq!(seals(&run), []);
    run.until(secs(101));
    assert_eq!(seals(&run), [ms(100_250)]);
    finish_blob(&mut run, &blobs[1]);
    finish_blob(&mut run, &blobs[2]);
    assert_eq!(seals(&run).len(), 2, "at once");
    assert_eq!((run.claims()[1].done.len(), run.finish()), (2, Some(Finish::Stopped)));
}

#[test]
fn who_abandons_waits_for_no_fetch_but_for_the_commit() {
    let (mut run, blobs) = held(follow(), memory(BASE - secs(9 * HOUR)));
    run.handle(Input::Stop);
    finish_blob(&mut run, &blobs[0]);
    assert_eq!((seals(&run).len(), run.finish()), (0, None));
    run.handle(Input::Abandon);
    run.step();
    assert_eq!((seals(&run).len(), run.finish()), (1, Some(Finish::Stopped)));
    let last = run.log.iter().rev().take(2).map(|(_, action)| matches!(action, Action::Finish(_)));
    assert_eq!(last.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_stop_commits_the_floor_that_was_reached() {
    let mut run = Run::new(follow(), memory(BASE - secs(9 * HOUR)), |action, now| usual(&[], action, now));
    run.until(secs(100));
    assert_eq!(run.claims().len(), 0);
    run.handle(Input::Stop);
    run.step();
    let floors: Vec<_> = run.claims().iter().map(|claim| claim.floor).collect();
    assert!(floors.len() == 1 && floors[0] > server(30), "{floors:?}");
    assert_eq!(run.finish(), Some(Finish::Stopped));
}

#[test]
fn a_stop_before_anything_is_known_claims_nothing() {
    let mut run = Run::new(follow(), Memory::default(), |_, _| Vec::new());
    run.step();
    run.handle(Input::Stop);
    run.step();
    assert_eq!((run.claims().len(), run.finish()), (0, Some(Finish::Stopped)));
}

#[test]
fn a_batch_with_the_writer_is_waited_for() {
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), |action, now| match action {
        Action::Seal { .. } => Vec::new(),
        _ => usual(&[], action, now),
    });
    run.step();
    let now = run.clocks();
    run.feed.record_gap(now, stretch());
    run.handle(Input::Stop);
    run.step();
    let id = run.log.iter().find_map(|(_, action)| match action {
        Action::Seal { id, .. } => Some(*id),
        _ => None,
    });
    run.until(secs(10));
    assert_eq!(run.finish(), None);
    run.handle(Input::Committed { id: id.unwrap() });
    run.step();
    assert_eq!(run.finish(), Some(Finish::Stopped));
}

#[test]
fn quiet_hours_commit_the_floor_if_it_moved() {
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), |action, now| usual(&[], action, now));
    run.until(secs(3_600));
    assert_eq!(seals(&run), []);
    run.until(secs(7_300));
    let seals = seals(&run);
    assert!(seals.len() == 2 && seals[0] == secs(3_601) && seals[1] >= secs(7_201), "{seals:?}");
    assert!(run.claims()[0].floor > server(3_500));
    // Nothing is listed: the floor stays, and there is nothing to commit.
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), |action, now| match action {
        Action::List { .. } => Vec::new(),
        _ => usual(&[], action, now),
    });
    run.until(secs(20_000));
    assert_eq!(run.claims().len(), 0);
    let mut run = Run::new(follow(), Memory::default(), |_, _| Vec::new());
    run.until(secs(20_000));
    assert_eq!(run.claims().len(), 0);
}
