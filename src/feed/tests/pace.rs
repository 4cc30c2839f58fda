//! How fast requests go, what a refusal teaches, and how many blobs are fetched at once.

use super::*;
use crate::feed::pace::Pace;

fn throttle(pace: &mut Pace, at: Duration, retry_after: Option<u64>) -> Duration {
    pace.throttled(at, at, retry_after.map(secs), &mut jitter())
}

fn take(pace: &mut Pace, count: u32, at: Duration) {
    (0..count).for_each(|_| pace.take(at));
}

#[test]
fn requests_bunch_up_by_a_second_at_most() {
    let mut pace = Pace::new(60, None);
    assert_eq!(pace.check(secs(10)), Ok(()));
    pace.take(secs(10));
    assert_eq!(pace.check(secs(10)), Ok(()), "one second ahead");
    pace.take(secs(10));
    assert_eq!(pace.check(secs(10)), Err(secs(11)));
    assert_eq!(pace.check(secs(11)), Ok(()));
}

#[test]
fn a_pause_ends_when_it_ends_and_no_request_ends_it_before() {
    let mut pace = Pace::new(6_000, None);
    let until = throttle(&mut pace, secs(10), Some(20));
    pace.take(secs(11));
    assert_eq!(pace.check(until - ms(1)), Err(until));
    assert_eq!(pace.check(until), Ok(()));
    pace.hold_until(until, until + secs(5));
    assert_eq!(pace.check(until), Err(until + secs(5)), "another feed of the tenant was told to pause");
    pace.hold_until(until, until + secs(3));
    assert_eq!(pace.check(until + secs(4)), Err(until + secs(5)), "the longest pause counts");
}

#[test]
fn pauses_that_the_service_does_not_measure_double_up_to_two_minutes() {
    let mut pace = Pace::new(6_000, None);
    let mut now = secs(0);
    for wait in [30, 60, 120, 120].map(secs) {
        let until = throttle(&mut pace, now, None);
        assert!(now + wait <= until && until <= now + wait * 5 / 4, "{:?}", until - now);
        now = until;
    }
    let until = throttle(&mut pace, now, Some(0));
    assert!(now + secs(1) <= until && until < now + secs(2), "never none at all");
}

#[test]
fn a_shorter_word_for_the_same_refusal_does_not_shorten_the_pause() {
    let mut pace = Pace::new(6_000, None);
    let until = throttle(&mut pace, secs(10), Some(60));
    assert_eq!(pace.throttled(secs(11), secs(9), Some(secs(1)), &mut jitter()), until);
    assert_eq!(pace.check(secs(30)), Err(until));
}

/// The first refusal alone says little; the next teaches the rate of the busiest of the last two minutes.
#[test]
fn the_second_refusal_in_a_row_teaches_the_rate_that_was_refused() {
    for (takes, learned) in [
        (&[(1_000, 10), (500, 70)][..], 900),
        (&[(500, 10), (1_000, 70)], 900),
        (&[(1_000, 10), (10, 130)], 300),
        (&[(600, 10), (400, 50), (10, 119)], 900),
    ] {
        let mut pace = Pace::new(6_000, None);
        takes.iter().for_each(|(count, second)| take(&mut pace, *count, secs(*second)));
        let now = secs(takes.last().unwrap().1);
        throttle(&mut pace, now, None);
        assert_eq!(pace.per_minute(), 4_200);
        throttle(&mut pace, now + ms(1), None);
        assert_eq!(pace.per_minute(), learned, "{takes:?}");
    }
}

#[test]
fn refusals_that_were_under_way_belong_to_the_newest_pause() {
    let mut pace = Pace::new(6_000, None);
    throttle(&mut pace, secs(0), Some(1));
    throttle(&mut pace, secs(21), Some(1));
    // The second pause is the newest, and the wait that of a second refusal.
    let until = pace.throttled(secs(22), secs(21), None, &mut jitter());
    assert!(secs(82) <= until && until <= secs(97), "{until:?}");
}

#[test]
fn a_refusal_after_success_stands_alone_again() {
    let mut pace = Pace::new(2_000, None);
    let until = throttle(&mut pace, secs(1), Some(1));
    assert_eq!(pace.per_minute(), 1_400);
    pace.take(until);
    pace.succeeded(until);
    throttle(&mut pace, until, None);
    assert!((979..=980).contains(&pace.per_minute()), "{}", pace.per_minute());
    let mut pace = Pace::new(2_000, None);
    throttle(&mut pace, secs(1), Some(20));
    pace.succeeded(secs(2));
    throttle(&mut pace, secs(3), None);
    assert_eq!(pace.per_minute(), 100, "what succeeds during the pause was sent before it");
}

#[test]
fn three_per_cent_of_the_rate_come_back_every_ten_seconds() {
    let mut pace = Pace::new(2_000, None);
    throttle(&mut pace, secs(100), None);
    for (at, rate) in [(109_999, 1_400), (110_000, 1_460), (119_999, 1_460), (120_000, 1_520)] {
        pace.succeeded(ms(at));
        assert_eq!(pace.per_minute(), rate, "{at}");
    }
}

#[test]
fn the_width_grows_with_success_and_halves_with_trouble() {
    let mut pace = Pace::new(2_000, None);
    let succeed = |pace: &mut Pace, times| (0..times).for_each(|_| pace.succeeded(secs(1)));
    assert_eq!(pace.width(), 4);
    succeed(&mut pace, 7);
    assert_eq!(pace.width(), 4);
    succeed(&mut pace, 1);
    assert_eq!(pace.width(), 5);
    succeed(&mut pace, 7);
    pace.stumbled();
    assert_eq!(pace.width(), 2);
    succeed(&mut pace, 7);
    assert_eq!(pace.width(), 2, "successes count from the trouble on");
    succeed(&mut pace, 1_000);
    assert_eq!(pace.width(), 32);
    throttle(&mut pace, secs(1), None);
    assert_eq!(pace.width(), 16);
    (0..9).for_each(|_| pace.stumbled());
    assert_eq!(pace.width(), 1);
    let mut fixed = Pace::new(2_000, Some(6));
    succeed(&mut fixed, 100);
    fixed.stumbled();
    assert_eq!(fixed.width(), 6);
}
