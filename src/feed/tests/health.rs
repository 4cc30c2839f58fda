//! When a feed is held, when a one-shot command gives up, and what counts as trouble.

use super::*;
use crate::domain::{Fault, Refusal};
use crate::feed::health::{Health, Setback, is_held_for_good};

const PASSING: Fault = Fault::Transient { retry_after: None };
const REFUSED: Fault = Fault::Refused(Refusal::MissingPermission);

fn fail(health: &mut Health, fault: &Fault, at: Duration) -> Setback {
    health.failed(fault, at, &mut jitter())
}

/// Until when, without the jitter.
fn held(setback: Setback, at: Duration, wait: Duration) {
    match setback {
        Setback::Until(until) => assert!(at + wait <= until && until <= at + wait * 5 / 4, "{:?} for {wait:?}", until - at),
        Setback::GiveUp => panic!("gave up"),
    }
}

fn worked(one_shot: bool) -> Health {
    let mut health = Health::new(one_shot);
    assert!(!health.has_worked() && health.successes() == 0);
    assert!(!health.succeeded());
    assert!(health.has_worked());
    health
}

#[test]
fn the_end_of_trouble_is_told_and_nothing_else() {
    for (fault, failures, trouble, told) in
        [(&PASSING, 2, false, false), (&PASSING, 3, true, true), (&REFUSED, 1, false, true), (&Fault::BadReply, 3, true, true)]
    {
        let mut health = worked(false);
        let mut now = secs(1);
        for _ in 0..failures {
            fail(&mut health, fault, now);
            now += secs(100);
        }
        assert_eq!(health.is_in_trouble(), trouble, "{fault} {failures}");
        assert_eq!(health.succeeded(), told, "{fault} {failures}");
        assert!(!health.succeeded() && !health.is_in_trouble());
        assert_eq!(health.successes(), 3);
    }
}

#[test]
fn an_outage_lasts_from_its_first_failure_to_the_first_success() {
    let mut health = worked(false);
    assert_eq!(health.failing_for(secs(9)), Duration::ZERO);
    fail(&mut health, &PASSING, secs(10));
    fail(&mut health, &PASSING, secs(20));
    assert_eq!(health.failing_for(secs(3_610)), secs(3_600));
    health.succeeded();
    assert_eq!(health.failing_for(secs(3_620)), Duration::ZERO);
}

#[test]
fn single_failures_hold_nobody_up_and_the_third_in_a_row_does() {
    let mut health = worked(false);
    let mut now = secs(10);
    for wait in [0, 0, 2, 4, 8, 16, 32, 60, 60].map(secs) {
        held(fail(&mut health, &PASSING, now), now, wait.max(ms(500)));
        assert_eq!(health.is_blocked(now), !wait.is_zero());
        now = health.blocked_until().max(now);
        assert!(!health.is_blocked(now));
    }
}

#[test]
fn before_anything_worked_each_failure_holds() {
    for (one_shot, waits) in [(false, [500, 1_000, 2_000, 4_000, 8_000]), (true, [500, 1_000, 2_000, 4_000, 5_000])] {
        let mut health = Health::new(one_shot);
        let mut now = secs(1);
        for wait in waits.map(ms) {
            held(fail(&mut health, &PASSING, now), now, wait);
            now = health.blocked_until();
        }
    }
}

#[test]
fn the_service_says_how_long_even_while_it_is_waited_for() {
    let mut health = worked(false);
    held(fail(&mut health, &Fault::Transient { retry_after: Some(secs(20)) }, secs(1)), secs(1), secs(20));
    let until = health.blocked_until();
    assert_eq!(fail(&mut health, &PASSING, secs(2)), Setback::Until(until), "nothing new");
    held(fail(&mut health, &Fault::Transient { retry_after: Some(secs(50)) }, secs(2)), secs(2), secs(50));
    let until = health.blocked_until();
    fail(&mut health, &Fault::Transient { retry_after: Some(secs(1)) }, secs(3));
    assert_eq!(health.blocked_until(), until, "no word shortens it");
}

#[test]
fn other_failures_hold_longer_with_each_in_a_row() {
    let mut health = worked(false);
    let mut now = secs(10);
    for wait in [500, 1_000, 2_000, 4_000].map(ms) {
        held(fail(&mut health, &Fault::BadReply, now), now, wait);
        now = health.blocked_until();
    }
    let until = health.hold(now, secs(1), &mut jitter());
    assert!(now + secs(16) <= until && until <= now + secs(20));
    assert_eq!(health.hold(secs(1), ms(1), &mut jitter()), until, "what holds longer stays");
}

#[test]
fn a_refusal_is_asked_about_again_soon_where_something_worked_and_else_every_quarter_of_an_hour() {
    let outcomes = |mut health: Health| {
        let mut now = secs(1);
        [(); 5].map(|()| match fail(&mut health, &REFUSED, now) {
            Setback::Until(until) => {
                assert_eq!(health.blocked_until(), until);
                Some((until - std::mem::replace(&mut now, until)).as_secs())
            }
            Setback::GiveUp => None,
        })
    };
    assert_eq!(outcomes(worked(false)), [2, 15, 120, 900, 900].map(Some));
    assert_eq!(outcomes(worked(true)), [Some(2), Some(15), Some(120), None, None]);
    assert_eq!(outcomes(Health::new(false)), [900; 5].map(Some));
    assert_eq!(outcomes(Health::new(true)), [None; 5]);
    assert!(matches!(fail(&mut Health::new(true), &Fault::AuditingOff, secs(0)), Setback::GiveUp));
}

#[test]
fn a_one_shot_command_gives_up_in_the_end_and_a_poller_never() {
    for fault in [PASSING, Fault::BadReply] {
        let gives_up = |mut health: Health, after| {
            // However late the first failure comes, it is only the first, and after a pause the second is not enough.
            let late = secs(5_000);
            assert!(fail(&mut health, &fault, late) != Setback::GiveUp);
            assert!(fail(&mut health.clone(), &fault, late + after) != Setback::GiveUp);
            assert!(fail(&mut health, &fault, late + secs(10)) != Setback::GiveUp);
            fail(&mut health, &fault, late + after) == Setback::GiveUp
        };
        let new = |one_shot| Health::new(one_shot);
        assert!(!gives_up(new(true), secs(30)));
        assert!(gives_up(new(true), secs(30) + ms(1)));
        assert!(!gives_up(worked(true), secs(600)));
        assert!(gives_up(worked(true), secs(600) + ms(1)));
        assert!(!gives_up(worked(false), secs(1_000_000)) && !gives_up(new(false), secs(1_000_000)));
    }
}

/// However late the first refusal for the rate comes, it is only the first.
#[test]
fn an_hour_of_nothing_but_throttling_ends_a_one_shot_command() {
    let mut health = worked(true);
    let late = secs(5_000);
    assert!(!health.is_throttled_for_good(late));
    assert!(!health.is_throttled_for_good(late + secs(3_600)));
    assert!(health.is_throttled_for_good(late + secs(3_600) + ms(1)));
    health.succeeded();
    assert!(!health.is_throttled_for_good(late + secs(9_000)));
}

/// What failed before a success does not count after it.
#[test]
fn a_success_begins_the_patience_anew() {
    let mut health = worked(true);
    fail(&mut health, &PASSING, secs(1));
    health.succeeded();
    for at in [700, 900, 1_100, 1_300] {
        assert!(fail(&mut health, &PASSING, secs(at)) != Setback::GiveUp, "{at}");
    }
    assert!(fail(&mut health, &PASSING, secs(1_301)) == Setback::GiveUp);
}

#[test]
fn the_same_alarm_comes_every_five_minutes() {
    let mut health = worked(false);
    let alarms = [1, 2, 300, 301, 600, 601].map(|at| health.may_alarm(secs(at)));
    assert_eq!(alarms, [true, false, false, true, false, true]);
}

#[test]
fn listings_that_are_refused_for_their_rate_for_more_than_an_hour_end_a_one_shot_run() {
    assert!(!is_held_for_good(secs(3_600)));
    assert!(is_held_for_good(secs(3_600) + ms(1)));
}
