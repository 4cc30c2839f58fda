//! Which window is asked for, when it counts as listed, and what happens to one that fails.

use super::listings::*;
use super::*;
use crate::feed::listing::{Broken, HARD_EDGE, LIVE_SPAN, Lister, Purpose, SAFE_EDGE};

/// What the service keeps, and what it is asked for at most: seven days less five minutes, less one.
#[test]
fn the_edges_lie_before_seven_days() {
    assert_eq!(SAFE_EDGE, secs(7 * DAY - 5 * MINUTE));
    assert_eq!(HARD_EDGE, secs(7 * DAY - MINUTE));
}

#[test]
fn a_range_is_listed_in_tiles_without_holes() {
    let mut lister = Lister::range(BASE, BASE + ms(700), server(50 * HOUR));
    for (from, to) in [(0, 23), (23, 46), (46, 50)] {
        assert_eq!(lister.frontier(), Some(server(from * HOUR)));
        assert!(!lister.is_done());
        let (id, purpose, asked) = next(&mut lister, secs(1), LATER);
        assert_eq!(purpose, Purpose::Backlog);
        assert_eq!(asked, window(server(from * HOUR) - secs(5 * MINUTE), server(to * HOUR)), "five minutes of overlap");
        assert!(nothing(&mut lister, secs(1), LATER), "one window of the backlog at a time");
        complete(&mut lister, id, secs(1));
        assert_eq!((lister.window(id), lister.purpose(id)), (None, None));
    }
    assert!(lister.is_done() && lister.frontier().is_none() && lister.live_from().is_none());
    assert!(nothing(&mut lister, secs(1), LATER) && lister.wake(secs(1), server(LATER)).is_none());
    assert!(!lister.repeats());
    lister.again(BASE + ms(700), server(3 * HOUR));
    assert!(lister.repeats() && !lister.is_done());
    assert_eq!(lister.frontier(), Some(BASE));
}

#[test]
fn a_range_is_not_done_while_a_listing_is_under_way() {
    let mut lister = range(3);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    lister.give_up(BASE, server(3 * HOUR));
    assert!(!lister.is_done());
    lister.broken(id, Broken::Passing, secs(1), &mut jitter());
    assert!(lister.is_done());
}

#[test]
fn the_newest_hour_is_listed_first_with_the_widest_overlap() {
    let mut lister = following(secs(60));
    let at = 3 * HOUR;
    assert_eq!(lister.wake(secs(1), server(at)), Some(secs(1) + ms(1)));
    let (live, purpose, asked) = next(&mut lister, secs(1), at);
    assert_eq!((purpose, asked), (Purpose::Live, window(server(at) - 2 * LIVE_SPAN, server(at))));
    let (backlog, purpose, asked) = next(&mut lister, secs(1), at);
    assert_eq!((purpose, asked), (Purpose::Backlog, window(BASE - secs(5 * MINUTE), server(at) - LIVE_SPAN)));
    assert!(nothing(&mut lister, secs(1), at));
    complete(&mut lister, live, secs(1));
    assert_eq!(lister.frontier(), Some(BASE));
    complete(&mut lister, backlog, secs(1));
    assert_eq!(lister.frontier(), Some(server(at)));
}

#[test]
fn what_waits_for_another_listing_or_for_its_time_is_looked_at_in_a_second() {
    let mut lister = following(secs(60));
    let (_, purpose, _) = next(&mut lister, secs(1), 3 * HOUR);
    assert_eq!(purpose, Purpose::Live);
    assert_eq!(lister.wake(secs(1), server(3 * HOUR)), Some(secs(2)), "the backlog");
    let ahead = Lister::range(BASE, server(9), server(20));
    assert_eq!(ahead.wake(secs(1), server(5)), Some(secs(2)), "a range that has not come yet");
    let (mut busy, empty) = (range(3), Lister::range(BASE, BASE, BASE));
    next(&mut busy, secs(1), LATER);
    assert_eq!((busy.wake(secs(1), server(LATER)), empty.wake(secs(1), server(LATER)), empty.is_done()), (None, None, true));
}

#[test]
fn live_listing_keeps_its_interval_and_goes_on_where_it_ended() {
    let mut lister = caught_up(secs(60), secs(1), 3 * HOUR);
    let due = lister.wake(secs(1), server(3 * HOUR)).unwrap();
    assert_eq!(due, secs(30), "the first sweep");
    assert!(nothing(&mut lister, secs(25), 3 * HOUR + 24));
    let (live, purpose, asked) = next(&mut lister, secs(80), 3 * HOUR + 79);
    assert_eq!((purpose, asked), (Purpose::Live, window(server(2 * HOUR), server(3 * HOUR + 79))));
    complete(&mut lister, live, secs(80));
    let (_, purpose, _) = next(&mut lister, secs(80), 3 * HOUR + 79);
    assert_eq!(purpose, Purpose::Sweep(0), "no live listing before its time");
}

#[test]
fn a_poll_within_the_same_second_waits_for_the_next() {
    for (interval, wait) in [(ms(500), ms(500)), (secs(10), secs(1))] {
        let mut lister = caught_up(interval, secs(1), 3 * HOUR);
        let now = secs(1) + 2 * interval;
        assert!(nothing(&mut lister, now, 3 * HOUR), "nothing can have been listed meanwhile");
        assert_eq!(lister.wake(now, server(3 * HOUR)), Some(now + wait));
    }
}

/// The machine slept: what became available meanwhile is listed at once, as one window, unless the poll is due within a second.
#[test]
fn after_a_sleep_the_poll_does_not_wait_until_it_is_due() {
    let polls = |wait: Duration, slept: Duration| {
        let mut lister = caught_up(secs(60), secs(1), 3 * HOUR);
        let due = secs(1) + jitter().stretch(secs(60));
        let asked = lister.next(due - wait, server(3 * HOUR) + slept, true);
        asked.is_some_and(|(id, _)| lister.purpose(id) == Some(Purpose::Live))
    };
    assert!(polls(secs(20), LIVE_SPAN + secs(1)));
    assert!(!polls(secs(20), LIVE_SPAN), "one poll covers it");
    assert!(!polls(secs(1), LIVE_SPAN + secs(1)), "it is due in a second");
    assert!(polls(ms(1_001), LIVE_SPAN + secs(1)));
    assert!(polls(Duration::ZERO, secs(30)));
}

/// Refusals tell that the service is behind its `Date`: what is not yet to be listed by its time is not woken up for either.
#[test]
fn a_poll_that_is_overdue_by_the_date_alone_costs_no_busy_loop() {
    let mut lister = caught_up(secs(600), secs(1), 3 * HOUR);
    let slept = server(3 * HOUR) + LIVE_SPAN;
    let mut now = secs(100);
    for _ in 0..3 {
        let (id, _) = lister.next(now, slept + secs(500), false).unwrap();
        assert_eq!(lister.purpose(id), Some(Purpose::Live));
        lister.broken(id, Broken::Window, now, &mut jitter());
        now += secs(100);
    }
    for (late, overdue) in [(119, false), (122, true)] {
        assert_eq!(lister.wake(now, slept + secs(late)) == Some(now + ms(1)), overdue, "{late}");
        let asked = lister.next(now, slept + secs(late), false);
        assert_eq!(asked.is_some_and(|(id, _)| lister.purpose(id) == Some(Purpose::Live)), overdue, "{late}");
    }
}

/// The overlap finds blobs that are listed late; where that costs pages it is narrowed.
#[test]
fn the_overlap_of_live_listings_follows_their_cost() {
    let mut lister = caught_up(secs(1), secs(1), 3 * HOUR);
    let mut at = 3 * HOUR;
    let mut overlaps = Vec::new();
    for pages in [1, 2, 3, 3, 2, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1] {
        at += 100;
        let mut now = secs(at);
        let (id, asked) = loop {
            let (id, purpose, asked) = next(&mut lister, now, at);
            if purpose == Purpose::Live {
                break (id, asked);
            }
            complete(&mut lister, id, now);
            now += ms(1);
        };
        overlaps.push((server(at - 100).since(asked.from())).as_secs() / 15);
        for page in 1..pages {
            assert_eq!(lister.page(id, Some(&format!("page{page}")), None), Ok(true));
        }
        complete(&mut lister, id, now);
    }
    assert_eq!(overlaps, [240, 240, 240, 120, 60, 120, 60, 30, 20, 20, 20, 40, 80, 160, 240], "in quarters of a minute");
}

#[test]
fn a_listing_counts_up_to_the_time_of_its_first_page() {
    for (date, listed) in [(server(3 * HOUR - 10) + ms(500), 3 * HOUR - 10), (server(3 * HOUR + 10), 3 * HOUR)] {
        let mut lister = following(secs(60));
        let (id, ..) = next(&mut lister, secs(1), 3 * HOUR);
        assert_eq!(lister.page(id, Some("page"), Some(date)), Ok(true));
        assert_eq!(lister.page(id, None, Some(server(0))), Ok(false));
        lister.complete(id, secs(1), 2_000, &mut jitter());
        assert_eq!(lister.live_from(), Some(server(listed)));
    }
}

#[test]
fn what_is_older_than_the_edge_is_lost() {
    let edge = |age: Duration| BASE + age;
    let lister = |at: Time| Lister::range(BASE, BASE, server(50 * HOUR)).lost(at);
    assert_eq!(lister(edge(HARD_EDGE)), None, "between the edges it may still be asked for");
    let lost = |at: Time| Some((BASE, (at - SAFE_EDGE).floor_second()));
    let at = edge(HARD_EDGE) + secs(1);
    assert_eq!(lister(at), lost(at), "and what comes next would be lost on the way");
    let at = edge(HARD_EDGE) + ms(1_500);
    assert_eq!(lister(at), lost(at));
    assert_eq!(lister(edge(SAFE_EDGE) + secs(60 * HOUR)), Some((BASE, server(50 * HOUR))), "no more than there is");
}

/// A window at the far edge that the service refuses: its rules go by another clock than its `Date`, so the edge lies later.
#[test]
fn each_refusal_at_the_edge_moves_it() {
    let mut lister = range(3);
    for edge in [HARD_EDGE, SAFE_EDGE, SAFE_EDGE - secs(5 * MINUTE), SAFE_EDGE - secs(10 * MINUTE)] {
        let at = BASE + edge;
        assert_eq!(lister.lost(at), None);
        let gone = (at + secs(1) - SAFE_EDGE.min(edge)).floor_second();
        assert_eq!(lister.lost(at + secs(1)), Some((BASE, gone)));
        let (id, window) = lister.next(secs(1_000), at - secs(10), true).unwrap();
        assert_eq!(window.from(), BASE - secs(10), "as much overlap as there is");
        lister.broken(id, Broken::Window, Duration::ZERO, &mut jitter());
    }
}

/// A service that goes on refusing does so for another reason, and what it still keeps is not given up.
#[test]
fn the_edge_moves_by_two_hours_at_most() {
    let mut lister = range(3);
    let steps = (0..=24).map(|step| SAFE_EDGE - secs(5 * MINUTE * step));
    for edge in std::iter::once(HARD_EDGE).chain(steps) {
        let (id, _) = lister.next(secs(1_000), BASE + edge - secs(10), true).unwrap();
        lister.broken(id, Broken::Window, Duration::ZERO, &mut jitter());
    }
    let at = BASE + SAFE_EDGE - secs(2 * HOUR);
    assert_eq!(lister.lost(at), None);
    assert_eq!(lister.lost(at + secs(1)), Some((BASE, server(1))));
}

/// One that is refused elsewhere says nothing about the edge.
#[test]
fn a_refusal_within_retention_loses_nothing() {
    let mut lister = range(3);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    lister.broken(id, Broken::Window, secs(1), &mut jitter());
    assert_eq!(lister.lost(BASE + HARD_EDGE), None);
    lister.give_up(BASE, BASE + secs(1));
    assert_eq!(lister.frontier(), Some(server(1)));
}

#[test]
fn what_can_not_be_looked_up_any_more_is_let_go() {
    let mut lister = range(1);
    lister.give_up(BASE, server(HOUR));
    lister.look_again(BASE);
    assert!(!lister.is_done());
    assert!(nothing(&mut lister, secs(1), (HARD_EDGE + secs(1)).as_secs()));
    assert!(lister.is_done());
}

#[test]
fn what_is_looked_up_anew_is_looked_up_to_its_end() {
    let mut lister = range(1);
    lister.give_up(BASE, server(HOUR));
    lister.look_again(BASE);
    lister.look_again(server(30 * HOUR));
    for end in [23 * HOUR, 30 * HOUR + 1] {
        assert!(!lister.is_done());
        let (id, _, asked) = next(&mut lister, secs(1), LATER);
        assert_eq!(asked.to(), server(end));
        complete(&mut lister, id, secs(1));
    }
    assert!(lister.is_done());
}

#[test]
fn what_is_being_listed_is_not_lost() {
    let mut lister = range(50);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    let at = server(8 * DAY);
    assert_eq!(lister.lost(at), None);
    // It no longer covers the oldest stretch.
    lister.give_up(BASE, server(23 * HOUR));
    assert_eq!(lister.lost(at), Some((server(23 * HOUR), at - SAFE_EDGE)));
    lister.broken(id, Broken::Passing, secs(1), &mut jitter());
    let mut lister = following(secs(60));
    let (_, purpose, _) = next(&mut lister, secs(1), 7 * DAY);
    assert_eq!(purpose, Purpose::Live);
    assert_eq!(lister.lost(server(7 * DAY)), Some((BASE, server(5 * MINUTE))), "the live end covers something else");
}

#[test]
fn nothing_is_asked_for_that_the_service_does_not_keep() {
    let at = (HARD_EDGE + secs(HOUR)).as_secs();
    let mut lister = range(3);
    let (_, _, asked) = next(&mut lister, secs(1), at);
    assert_eq!(asked, window(server(HOUR), server(3 * HOUR)), "nor the overlap");
    assert!(nothing(&mut range(1), secs(1), at), "nothing of it is left");
    assert!(nothing(&mut Lister::range(BASE, server(9), server(20)), secs(1), 9), "nothing of it has come");
}

#[test]
fn a_failed_window_is_asked_for_again_after_a_wait_that_doubles() {
    for pages in [0, 1] {
        let mut lister = range(3);
        let mut now = secs(1);
        let waits = (1..=9).map(|n| {
            let (id, ..) = next(&mut lister, now, LATER);
            if pages > 0 {
                assert_eq!(lister.page(id, Some("page"), None), Ok(true));
            }
            lister.broken(id, Broken::Passing, now, &mut jitter());
            assert_eq!(lister.failures(), n);
            let due = lister.wake(now, server(LATER)).unwrap();
            assert!(nothing(&mut lister, due - ms(1), LATER));
            std::mem::replace(&mut now, due).abs_diff(due)
        });
        let expected = if pages > 0 { [1, 2, 2, 2, 2, 2, 2, 2, 2] } else { [1, 2, 4, 8, 16, 32, 60, 60, 60] };
        for (wait, least) in waits.zip(expected.map(secs)) {
            assert!(least <= wait && wait <= least * 5 / 4, "{wait:?} for {least:?}, pages: {pages}");
        }
        let (id, ..) = next(&mut lister, now, LATER);
        complete(&mut lister, id, now);
        assert_eq!(lister.failures(), 0);
    }
}

/// The pause that follows is the pace's affair.
#[test]
fn a_listing_that_was_refused_for_its_rate_comes_again_after_a_second() {
    let mut lister = range(3);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    assert_eq!(lister.broken(id, Broken::Held, secs(5), &mut jitter()), None);
    assert!(nothing(&mut lister, secs(6) - ms(1), LATER));
    next(&mut lister, secs(6), LATER);
}

#[test]
fn the_third_failure_in_a_row_halves_the_window() {
    let mut lister = range(50);
    let mut now = secs(1);
    let mut halved = Vec::new();
    for _ in 0..6 {
        let (id, ..) = next(&mut lister, now, LATER);
        halved.push(lister.broken(id, Broken::Passing, now, &mut jitter()));
        now += secs(100);
    }
    let half = secs(23 * HOUR / 2);
    assert_eq!(halved, [None, None, Some(half), None, None, Some(half / 2)]);
    // Success with a window of that length allows the double of it.
    for hours_quartered in [23, 46, 92] {
        let (id, _, asked) = next(&mut lister, now, LATER);
        assert_eq!(asked.to().since(asked.from()), secs(hours_quartered * HOUR / 4 + 5 * MINUTE));
        complete(&mut lister, id, now);
    }
}

#[test]
fn failures_count_apart_for_live_windows_and_others_and_only_in_a_row() {
    let mut lister = following(secs(1));
    let both = |lister: &mut Lister, now| {
        let ((live, first, _), (backlog, second, _)) = (next(lister, now, 30 * HOUR), next(lister, now, 30 * HOUR));
        assert_eq!((first, second), (Purpose::Live, Purpose::Backlog));
        (live, backlog)
    };
    for now in [secs(1), secs(101)] {
        let (live, backlog) = both(&mut lister, now);
        assert_eq!(lister.broken(live, Broken::Passing, now, &mut jitter()), None);
        assert_eq!(lister.broken(backlog, Broken::Passing, now, &mut jitter()), None);
    }
    let (live, backlog) = both(&mut lister, secs(201));
    complete(&mut lister, live, secs(201));
    let halved = lister.broken(backlog, Broken::Passing, secs(201), &mut jitter());
    assert_eq!(halved, Some(secs(23 * HOUR / 2)), "the live window that succeeded says nothing about the backlog");
}

#[test]
fn short_windows_are_not_halved_for_failures_that_pass() {
    for (seconds, expected) in [(20 * MINUTE, Some(secs(10 * MINUTE))), (20 * MINUTE - 1, None)] {
        let mut lister = Lister::range(BASE, BASE, server(seconds));
        let mut halved = None;
        for n in 0..3 {
            let (id, ..) = next(&mut lister, secs(100 * n), LATER);
            halved = lister.broken(id, Broken::Passing, secs(100 * n), &mut jitter());
        }
        assert_eq!(halved, expected);
    }
}

/// Each second broken chain of pages halves the window, down to a second; while that may help it hardly waits.
#[test]
fn a_broken_chain_of_pages_halves_the_window() {
    let (mut lister, mut now, mut tile) = (range(23), secs(1), 23 * HOUR);
    for n in 1..=12 {
        let (id, _, asked) = next(&mut lister, now, LATER);
        assert_eq!(asked.to(), server(tile));
        let halved = lister.broken(id, Broken::Pages, now, &mut jitter());
        tile = if n % 2 == 0 { tile / 2 } else { tile };
        assert_eq!(halved, (n % 2 == 0).then_some(secs(tile)));
        let wait = ms(250 * (n - 1)).min(secs(2));
        assert!(wait.is_zero() || nothing(&mut lister, now + wait - ms(1), LATER));
        assert_eq!(lister.failures(), 0);
        now += wait;
    }
    let (mut lister, mut now) = (Lister::range(BASE, BASE, server(8)), secs(1));
    let mut n = 0..;
    let tiles = [8, 8, 4, 4, 2, 2, 1, 1, 1].map(|tile| {
        let n = n.next().unwrap_or_default();
        let (id, _, asked) = next(&mut lister, now, LATER);
        lister.broken(id, Broken::Pages, now, &mut jitter());
        now += secs(100);
        let overlap = if n < 2 { 5 * MINUTE } else { tile };
        assert_eq!(asked.from(), BASE - secs(overlap), "no more overlap than the tile is long");
        (asked.to().since(BASE).as_secs(), lister.failures())
    });
    assert_eq!(tiles, [(8, 0), (8, 0), (4, 0), (4, 0), (2, 0), (2, 0), (1, 1), (1, 2), (1, 3)]);
}
