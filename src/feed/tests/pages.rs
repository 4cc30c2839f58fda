//! Pages that go on, fail, go round in circles; windows that reach too far or hold too much.

use super::listings::*;
use super::*;
use crate::feed::ListingId;
use crate::feed::listing::{Broken, Lister, Purpose};

#[test]
fn a_page_that_names_another_goes_on_until_they_go_round_in_a_circle() {
    let mut lister = range(3);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    assert_eq!(lister.page(id, Some("a"), None), Ok(true));
    assert_eq!(lister.page(id, Some("b"), None), Ok(true));
    assert_eq!(lister.page(id, Some("a"), None), Err(Broken::Pages));
    assert_eq!(lister.page(ListingId(77), Some("a"), None), Ok(false), "nobody waits for it");
}

#[test]
fn pages_without_end_are_broken_off() {
    let mut lister = range(3);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    for n in 1..10_000 {
        assert_eq!(lister.page(id, Some(&n.to_string()), None), Ok(true), "{n}");
    }
    assert_eq!(lister.page(id, Some("10000"), None), Err(Broken::Pages));
}

#[test]
fn a_page_that_fails_is_asked_for_four_times_more() {
    let mut lister = range(3);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    assert_eq!(lister.retry_page(id, Broken::Passing), None, "the first page is the window itself");
    for url in ["a", "b"] {
        assert_eq!(lister.page(id, Some(url), None), Ok(true));
        for _ in 0..4 {
            assert_eq!(lister.retry_page(id, Broken::Passing).as_deref(), Some(url));
        }
    }
    assert_eq!(lister.retry_page(id, Broken::Passing), None);
}

/// A young window that is refused probably ends in the service's future: each refusal takes a minute off.
#[test]
fn each_further_refusal_ends_the_window_a_minute_earlier() {
    let mut lister = following(secs(1));
    let mut now = secs(1);
    for (refusals, end) in [(0, 0), (1, 0), (2, 60), (3, 120), (4, 180)] {
        let (id, purpose, asked) = next(&mut lister, now, 3 * HOUR);
        assert_eq!((purpose, asked.to()), (Purpose::Live, server(3 * HOUR - end)), "{refusals}");
        lister.broken(id, Broken::Window, now, &mut jitter());
        now += secs(200);
    }
    let (id, ..) = next(&mut lister, now, 3 * HOUR);
    complete(&mut lister, id, now);
    let (_, purpose, asked) = next(&mut lister, now + secs(2), 3 * HOUR);
    assert_eq!((purpose, asked.to()), (Purpose::Live, server(3 * HOUR)), "once one is listed, all is as before");
}

#[test]
fn what_found_no_room_shortens_the_window_to_what_is_known() {
    let mut lister = range(50);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    lister.overflowed(id, server(3 * HOUR) + ms(500), secs(1));
    assert!(lister.window(id).is_none());
    let (id, asked) = lister.next(secs(1), server(LATER), false).expect("it holds nothing new and needs no room");
    assert_eq!(asked.to(), server(3 * HOUR));
    complete(&mut lister, id, secs(1));
    assert!(lister.next(secs(1), server(LATER), false).is_none(), "the rest needs room");
    assert!(lister.next(secs(1), server(LATER), true).is_some());
}

#[test]
fn a_window_that_can_not_be_shortened_waits_for_room() {
    for created in [BASE + ms(900), server(23 * HOUR), server(24 * HOUR)] {
        let mut lister = range(50);
        let (id, ..) = next(&mut lister, secs(1), LATER);
        lister.overflowed(id, created, secs(1));
        assert!(lister.next(secs(1), server(LATER), false).is_none());
        let (_, _, asked) = next(&mut lister, secs(1), LATER);
        assert_eq!(asked.to(), server(23 * HOUR));
    }
    let mut lister = range(50);
    let (id, ..) = next(&mut lister, secs(1), LATER);
    lister.overflowed(id, server(1), secs(1));
    let (_, asked) = lister.next(secs(1), server(LATER), false).expect("a second is a window");
    assert_eq!(asked.to(), server(1));
}

#[test]
fn a_live_window_without_room_comes_again_after_a_second() {
    let mut lister = Lister::following(BASE, server(2 * HOUR), secs(60), secs(HOUR), false);
    let (id, purpose, _) = next(&mut lister, secs(1), 3 * HOUR);
    assert_eq!(purpose, Purpose::Live);
    lister.overflowed(id, server(2 * HOUR + 1_800), secs(1));
    assert!(lister.next(ms(1_999), server(3 * HOUR), false).is_none());
    let (_, asked) = lister.next(secs(2), server(3 * HOUR), false).expect("live windows need no room");
    assert_eq!(asked.to(), server(2 * HOUR + 1_800));
}

/// It was cut short by its own length, so that the rest of the newest stretch is due at once.
#[test]
fn the_rest_of_a_live_window_that_was_cut_follows_at_once() {
    let mut lister = Lister::following(BASE, server(2 * HOUR), secs(60), secs(HOUR), false);
    let (id, ..) = next(&mut lister, secs(1), 3 * HOUR);
    lister.overflowed(id, server(2 * HOUR + 600), secs(1));
    for (from, to) in [(0, 600), (600, 1_800), (1_800, 3_600)] {
        let (id, purpose, asked) = next(&mut lister, secs(2), 3 * HOUR);
        assert_eq!((purpose, asked.to()), (Purpose::Live, server(2 * HOUR + to)));
        assert_eq!(lister.live_from(), Some(server(2 * HOUR + from)));
        complete(&mut lister, id, secs(2));
    }
    assert!(nothing(&mut lister, secs(2), 3 * HOUR), "until the next poll");
}
