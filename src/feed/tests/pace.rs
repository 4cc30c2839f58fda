//! How fast requests go, what a refusal teaches, and how many blobs are fetched at once.

use std::collections::VecDeque;

use super::*;
use crate::feed::pace::Pace;

fn throttle(pace: &mut Pace, at: Duration, retry_after: Option<u64>) -> Duration {
    pace.throttled(at, at, retry_after.map(secs), &mut jitter())
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

/// What was let through in the minute before is what the service allows; a few requests tell nothing.
#[test]
fn a_refusal_teaches_what_was_let_through_in_the_minute_before() {
    for (answers, learned) in [
        (&[(1_000, 10)][..], 980),
        (&[(1_000, 10), (500, 69)], 1_470),
        (&[(1_000, 10), (500, 70)], 490),
        (&[(600, 10), (400, 50), (10, 69)], 989),
        (&[(1_000, 10), (49, 130)], 4_200),
    ] {
        let mut pace = Pace::new(6_000, None);
        answers.iter().for_each(|(count, second)| (0..*count).for_each(|_| pace.succeeded(secs(*second))));
        throttle(&mut pace, secs(answers.last().unwrap().1), None);
        assert_eq!(pace.per_minute(), learned, "{answers:?}");
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
fn a_pause_after_success_is_short_again() {
    let mut pace = Pace::new(2_000, None);
    let until = throttle(&mut pace, secs(1), None);
    pace.take(until);
    pace.succeeded(until);
    assert!(throttle(&mut pace, until, None) < until + secs(40));
    let mut pace = Pace::new(2_000, None);
    throttle(&mut pace, secs(1), Some(20));
    pace.succeeded(secs(2));
    assert!(throttle(&mut pace, secs(3), None) >= secs(63), "what succeeds during the pause was sent before it");
}

#[test]
fn a_known_quota_is_held_for_twenty_minutes_and_longer_when_it_is_confirmed() {
    let mut pace = Pace::new(1_000_000, None);
    let learn = |pace: &mut Pace, at, count| {
        (0..count).for_each(|_| pace.succeeded(at));
        throttle(pace, at, Some(1));
    };
    learn(&mut pace, secs(0), 2_000);
    learn(&mut pace, secs(100), 2_000);
    for (at, rate) in [(1_299, 1_960), (1_300, 1_979), (1_359, 1_979), (1_360, 1_999), (1_420, 2_019), (2_000, 2_039)] {
        pace.succeeded(secs(at));
        assert_eq!(pace.per_minute(), rate, "{at}");
    }
    learn(&mut pace, secs(3_000), 2_020);
    assert_eq!(pace.per_minute(), 1_979);
    for (at, rate) in [(5_399, 1_979), (5_400, 1_999)] {
        pace.succeeded(secs(at));
        assert_eq!(pace.per_minute(), rate, "{at}");
    }
    // Beyond it the quota is another one.
    for minute in 0..30 {
        pace.succeeded(secs(6_000 + minute * 60));
    }
    assert!(pace.per_minute() > 100_000, "{}", pace.per_minute());
}

/// Somebody else may have used it up, so it is not held before a second refusal tells the same.
#[test]
fn a_quota_that_no_other_refusal_confirms_is_exceeded_soon() {
    let mut pace = Pace::new(1_000_000, None);
    (0..60).for_each(|_| pace.succeeded(secs(0)));
    throttle(&mut pace, secs(0), Some(1));
    for (at, rate) in [(9, 58), (10, 73), (19, 73), (20, 91), (30, 114)] {
        pace.succeeded(secs(at));
        assert_eq!(pace.per_minute(), rate, "{at}");
    }
}

/// How a service counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Counting {
    /// From minute to minute.
    Calendar,
    /// Any minute.
    Sliding,
    /// A bucket that holds a minute's requests and fills evenly.
    Bucket,
}

/// A backlog without end, a service with this quota: the share of the quota that is used in so many minutes, and of the requests that
/// are refused.
fn drain(quota: u32, ceiling: u32, counting: Counting, tells_when: bool, reply_time: Duration) -> (f64, f64) {
    const MINUTES: u64 = 100;
    let mut pace = Pace::new(ceiling, None);
    let (mut now, mut sent, mut jitter) = (secs(17), VecDeque::<Duration>::new(), jitter());
    let (mut taken, mut bucket, mut filled) = (VecDeque::<Duration>::new(), f64::from(quota), now);
    let (mut good, mut refused) = (0_u32, 0_u32);
    while now < secs(17 + MINUTES * 60) {
        let next = pace.check(now).err().unwrap_or(now);
        let reply = sent.front().map(|at| *at + reply_time);
        if sent.len() < pace.width() && reply.is_none_or(|reply| next <= reply) {
            now = now.max(next);
            pace.take(now);
            sent.push_back(now);
            continue;
        }
        let (at, asked) = (reply.unwrap(), sent.pop_front().unwrap());
        now = now.max(at);
        let minute = |at: Duration| at.as_secs() / 60;
        let is_over = |at: &Duration| match counting {
            Counting::Calendar => minute(*at) != minute(now),
            Counting::Sliding => *at + secs(60) <= now,
            Counting::Bucket => true,
        };
        while taken.front().is_some_and(is_over) {
            taken.pop_front();
        }
        bucket = (bucket + (now - filled).as_secs_f64() * f64::from(quota) / 60.0).min(f64::from(quota));
        filled = now;
        pace.fetched(now, sent.len() + 1 >= pace.width());
        let admitted = if counting == Counting::Bucket { bucket >= 1.0 } else { taken.len() < quota as usize };
        if admitted {
            taken.push_back(now);
            bucket -= 1.0;
            good += 1;
            pace.succeeded(now);
        } else {
            refused += 1;
            let left = match counting {
                Counting::Calendar => 60 - now.as_secs() % 60,
                Counting::Sliding => 60_u64.saturating_sub((now - taken[0]).as_secs()).max(1),
                Counting::Bucket => 2,
            };
            pace.throttled(now, asked, tells_when.then(|| secs(left)), &mut jitter);
        }
    }
    (f64::from(good) / (f64::from(quota) * MINUTES as f64), f64::from(refused) / f64::from(good + refused))
}

#[test]
fn a_hidden_quota_is_used_and_hardly_ever_exceeded() {
    let mut wrong = Vec::new();
    for counting in [Counting::Calendar, Counting::Sliding, Counting::Bucket] {
        for (quota, ceiling) in [(2_000, 2_000), (2_000, 2_500), (2_000, 1_000_000), (600, 2_000), (4_000, 1_000_000)] {
            for tells_when in [true, false] {
                let (used, refused) = drain(quota, ceiling, counting, tells_when, ms(120));
                if used < 0.95 || refused >= 0.01 {
                    wrong.push(format!("{counting:?} {quota} of {ceiling}, {tells_when}: {used:.3} used, {refused:.4} refused"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// As many at once as that takes, however long a reply takes.
#[test]
fn a_rate_is_used_however_slow_the_replies_are() {
    let used = |reply: u64| (reply, drain(2_000, 2_000, Counting::Sliding, true, ms(reply)).0);
    let all: Vec<_> = [20, 115, 130, 150, 200, 300, 500, 900].map(used).to_vec();
    assert!(all.iter().all(|(_, used)| *used >= 0.95), "{all:?}");
}
