//! Where a feed begins and ends: settled once, when the service's time is known.

use super::listings::{DAY, HOUR};
use super::run::{Run, usual};
use super::*;
use crate::feed::cases::{at, date, follow, memory, settings};
use crate::feed::listing::SAFE_EDGE;
use crate::feed::{Action, Feed, Input, Memory, Moment, Notice, Now, Plan, Standing};

fn ago(seconds: u64) -> Time {
    server(1) - secs(seconds)
}

/// Settled a second after the tests' beginning.
fn settled(plan: Plan, memory: Memory, not_before: Option<Time>) -> Run {
    let settings = crate::feed::FeedSettings { not_before, ..settings(plan) };
    let mut run = Run::with(settings, memory, |action, now| usual(&[], action, now));
    run.step();
    run
}

#[test]
fn a_first_start_begins_with_retention_unless_a_later_beginning_is_asked_for() {
    let retention = server(1) - SAFE_EDGE;
    for (not_before, begin) in [(None, retention), (Some(ago(30 * DAY)), retention), (Some(ago(DAY) + ms(300)), ago(DAY))] {
        let run = settled(follow(), Memory::default(), not_before);
        let notices = run.notices();
        assert!(notices.contains(&Notice::FirstStart { begin }), "{notices:?}");
        assert!(notices.contains(&Notice::Listing { floor: begin, end: server(1) }), "{notices:?}");
        assert_eq!((run.claims()[0].begin, run.claims()[0].floor), (begin, begin));
        assert_eq!(run.feed.status(run.clocks()).end, Time::MAX);
    }
}

#[test]
fn a_poller_goes_on_from_its_floor() {
    let earlier = Memory { begin: Some(ago(3 * DAY)), ..memory(ago(DAY)) };
    let run = settled(follow(), earlier, Some(ago(HOUR)));
    assert!(!run.notices().iter().any(|notice| matches!(notice, Notice::FirstStart { .. })));
    assert!(run.notices().contains(&Notice::Listing { floor: ago(DAY), end: server(1) }));
    assert_eq!(run.feed.status(run.clocks()).begin, ago(3 * DAY));
}

#[test]
fn a_range_is_resolved_by_the_services_clock() {
    let range = |from, to| {
        let run = settled(Plan::Range { from, to }, Memory::default(), None);
        assert!(!run.notices().iter().any(|notice| matches!(notice, Notice::FirstStart { .. })));
        let status = run.feed.status(run.clocks());
        (status.begin, status.end)
    };
    let (day, now) = (Moment::Ago(secs(DAY)), Moment::Ago(Duration::ZERO));
    assert_eq!(range(day, now), (ago(DAY), server(1)));
    assert_eq!(range(Moment::Retention, day), (server(1) - SAFE_EDGE, ago(DAY)));
    assert_eq!(range(Moment::At(ago(HOUR) + ms(1)), Moment::At(ago(60) + ms(1))), (ago(HOUR), ago(59)));
    assert_eq!(range(day, Moment::At(server(DAY))), (ago(DAY), server(1)), "never beyond the present");
    assert_eq!(range(now, day), (server(1), server(1)), "never before its beginning");
}

#[test]
fn a_range_that_goes_on_keeps_its_beginning_and_once_ends_now() {
    let earlier = Memory { begin: Some(ago(3 * DAY)), ..memory(ago(DAY)) };
    let run = settled(Plan::Range { from: Moment::Ago(secs(HOUR)), to: Moment::Ago(Duration::ZERO) }, earlier, None);
    assert_eq!(run.feed.status(run.clocks()).begin, ago(3 * DAY));
    let run = settled(Plan::Once, memory(ago(DAY)), None);
    assert_eq!(run.feed.status(run.clocks()).end, server(1));
    let run = settled(Plan::Once, memory(server(99)), None);
    assert_eq!(run.feed.status(run.clocks()).end, server(99), "a floor ahead of the service's time");
}

#[test]
fn a_changed_filter_is_told_and_reads_again_from_the_floor() {
    for (filter, told) in [("28", false), ("28,41", true)] {
        let mut earlier = memory(ago(HOUR));
        earlier.filter = Some(filter.into());
        let done = BlobEntry { created: ago(60), ..entry(0) };
        earlier.done.insert(done.key());
        let mut run = Run::new(follow(), earlier, move |action, now| usual(std::slice::from_ref(&done), action, now));
        run.until(secs(5));
        let notice = Notice::FilterChanged { before: filter.into(), since: ago(HOUR) };
        assert_eq!(run.notices().contains(&notice), told);
        assert_eq!(run.fetched().len(), usize::from(told));
    }
}

/// One reply of one host that is far from the local clock settles nothing.
#[test]
fn a_time_that_the_local_clock_contradicts_is_confirmed_first() {
    let mut feed = Feed::new(settings(follow()), Memory::default(), at(1));
    let told = |feed: &mut Feed, now: Now| {
        let ahead = Some(now.wall + secs(2 * HOUR));
        feed.handle(now, Input::Subscription { standing: Standing::Enabled, date: ahead });
        std::iter::from_fn(|| feed.act(now)).collect::<Vec<_>>()
    };
    assert_eq!(feed.act(at(1)), Some(Action::CheckSubscription));
    assert_eq!(told(&mut feed, at(1)), [Action::Notice(Notice::ClockSkew { ms: 7_200_000 })]);
    assert_eq!(feed.wake(at(1)), Some(secs(1) + ms(300)));
    assert_eq!(feed.act(at(2)), Some(Action::CheckSubscription));
    assert_eq!(told(&mut feed, at(2)), []);
    assert_eq!(feed.act(at(3)), Some(Action::CheckSubscription));
    assert!(told(&mut feed, at(3)).iter().any(|action| matches!(action, Action::List { .. })));
}

#[test]
fn clocks_that_agree_are_no_news() {
    let run = settled(follow(), Memory::default(), None);
    assert!(!run.notices().iter().any(|notice| matches!(notice, Notice::ClockSkew { .. })));
}

/// Done blobs are remembered for eight days by the earlier of both clocks.
#[test]
fn neither_clock_makes_it_forget_too_early() {
    for (local, earlier) in [(server(61), server(1)), (BASE - secs(60), BASE - secs(60))] {
        let mut feed = Feed::new(settings(follow()), Memory::default(), at(1));
        let now = Now { wall: local, ..at(1) };
        feed.act(now);
        feed.handle(now, Input::Subscription { standing: Standing::Enabled, date: Some(server(1)) });
        let horizon = std::iter::from_fn(|| feed.act(now)).find_map(|action| match action {
            Action::Seal { claim, .. } => Some(claim.forget_before),
            _ => None,
        });
        assert_eq!(horizon, Some(earlier - secs(8 * DAY)));
    }
}

/// Found by the simulation: done blobs were forgotten by a local clock that was a year ahead, and came again.
#[test]
fn where_the_service_tells_no_time_only_what_it_lists_makes_it_forget() {
    let newest = server(1) - secs(HOUR);
    for (listed, horizon) in [(None, Time::MIN), (Some(newest), newest - secs(8 * DAY))] {
        let mut feed = Feed::new(settings(follow()), Memory::default(), at(1));
        let ahead = |second| Now { wall: server(second) + secs(400 * DAY), ..at(second) };
        let mut done = Vec::new();
        for second in 1..12 {
            let now = ahead(second);
            done.extend(std::iter::from_fn(|| feed.act(now)));
            feed.handle(now, Input::Subscription { standing: Standing::Enabled, date: None });
        }
        for action in &done {
            if let Action::List { id, .. } = action {
                let entries = listed.map(|created| BlobEntry { created, ..entry(0) }).into_iter().collect();
                feed.handle(ahead(12), Input::Entries { id: *id, entries });
            }
        }
        feed.begin = Time::MIN;
        feed.seal(ahead(12));
        let horizons = std::iter::from_fn(|| feed.act(ahead(12))).find_map(|action| match action {
            Action::Seal { claim, .. } => Some(claim.forget_before),
            _ => None,
        });
        assert_eq!(horizons, Some(horizon), "{listed:?}");
    }
}

/// Found by the simulation: a reply without a `Date` and a wrong local clock set the place a year ahead, and nothing was
/// collected any more.
#[test]
fn a_place_in_the_services_future_is_given_up() {
    for (ahead, given_up) in [(600, false), (601, true), (400 * DAY, true)] {
        let earlier = Memory { begin: Some(ago(30 * DAY)), ..memory(server(1) + secs(ahead)) };
        let mut run = settled(follow(), earlier, None);
        run.until(secs(5));
        let told = |notice: &Notice| matches!(notice, Notice::PlaceAhead { floor, .. } if *floor == server(1) + secs(ahead));
        assert_eq!(run.notices().iter().filter(|notice| told(notice)).count(), usize::from(given_up), "{ahead}");
        let listings = run.notices().into_iter().filter_map(|notice| match notice {
            Notice::Listing { floor, end } => Some((floor, end)),
            _ => None,
        });
        let listings: Vec<_> = listings.collect();
        let [(floor, end)] = listings[..] else { panic!("{ahead}: {listings:?}") };
        let (right, latest) =
            if given_up { ((end - SAFE_EDGE).ceil_second(), server(2)) } else { (server(1) + secs(ahead), server(1)) };
        assert!(floor == right && server(1) <= end && end <= latest, "{ahead}: {listings:?}");
        assert!(!run.notices().iter().any(|notice| matches!(notice, Notice::FirstStart { .. })));
    }
}

/// Found by the simulation: one reply that told a wrong time, and a local clock that was wrong by about as much, moved the place back to
/// the start of retention.
#[test]
fn a_place_is_not_given_up_by_one_reply_and_the_local_clock() {
    let place = server(1) + secs(2 * HOUR);
    for lies in [1, 2] {
        let earlier = Memory { begin: Some(ago(3 * DAY)), ..memory(place) };
        let mut replies = 0;
        // The true time is that of the place; the local clock is two hours behind.
        let mut run = Run::new(follow(), earlier, move |action, now| match action {
            Action::CheckSubscription => {
                replies += 1;
                let behind = if replies <= lies { 0 } else { 2 * HOUR };
                let date = date(now).map(|date| date + secs(behind));
                vec![Input::Subscription { standing: Standing::Enabled, date }]
            }
            _ => Vec::new(),
        });
        run.until(secs(30));
        let notices = run.notices();
        assert!(!notices.iter().any(|notice| matches!(notice, Notice::PlaceAhead { .. })), "{lies}: {notices:?}");
        let listing = |notice: &Notice| matches!(notice, Notice::Listing { floor, .. } if *floor == place);
        assert_eq!(notices.iter().filter(|notice| listing(notice)).count(), 1, "{lies}: {notices:?}");
    }
}

/// What became available between the last blob that was collected and the start of retention is a gap then.
#[test]
fn a_place_that_is_given_up_after_a_long_absence_leaves_a_gap() {
    let mut earlier = Memory { begin: Some(ago(30 * DAY)), ..memory(server(400 * DAY)) };
    earlier.done.insert(BlobEntry { created: ago(10 * DAY), ..entry(0) }.key());
    let mut run = settled(follow(), earlier, None);
    run.until(secs(60));
    let gaps: Vec<_> = run.claims().into_iter().flat_map(|claim| claim.gaps).collect();
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(gap.reason, crate::domain::GapReason::OutagePastRetention);
    assert!(ago(10 * DAY + 300) <= gap.from && gap.from <= ago(10 * DAY), "{gap:?}");
}
