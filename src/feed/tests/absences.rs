//! What became available while there was no subscription, or no auditing, can never be fetched: one gap.

use std::collections::BTreeMap;

use super::listings::HOUR;
use super::run::{Run, usual};
use super::*;
use crate::domain::{Fault, Gap, GapReason};
use crate::feed::cases::{date, follow, memory, range, settings};
use crate::feed::{Action, FeedSettings, Finish, Input, Memory, Mode, Moment, Notice, Now, Plan, Standing};

/// As the state has them in the end.
fn gaps(run: &Run) -> Vec<Gap> {
    let told = run.claims().into_iter().flat_map(|claim| claim.gaps);
    told.map(|gap| (gap.id, gap)).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn lasts(gap: &Gap) -> bool {
    gap.provisional && gap.is_open() && gap.blob.is_none()
}

/// The subscription is off for the first looks.
fn off_at_first(plan: Plan, memory: Memory, mode: Mode, looks: u32) -> Run {
    let mut left = looks;
    let answer = move |action: &Action, now| match action {
        Action::CheckSubscription if left > 0 => {
            left -= 1;
            vec![Input::Subscription { standing: Standing::Disabled, date: date(now) }]
        }
        Action::StartSubscription if left > 0 => {
            let (fault, detail) = (Fault::SubscriptionDisabled, "made up".into());
            vec![Input::SubscriptionFailed { fault, detail, date: date(now) }]
        }
        _ => usual(&[], action, now),
    };
    Run::with(FeedSettings { subscription: mode, ..settings(plan) }, memory, answer)
}

#[test]
fn a_subscription_that_was_off_leaves_one_gap_from_the_floor_on() {
    let mut run = off_at_first(follow(), memory(BASE - secs(HOUR)), Mode::Auto, 1);
    run.until(secs(100));
    let notices = run.notices();
    assert!(notices.contains(&Notice::SubscriptionOff { standing: Standing::Disabled, starts: true }), "{notices:?}");
    assert!(notices.contains(&Notice::SubscriptionStarted));
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert_eq!((gap.reason, gap.from, gap.provisional), (GapReason::SubscriptionOff, BASE - secs(HOUR), false));
    assert!(server(1) <= gap.to && gap.to < server(9) && gap.blob.is_none(), "{gap:?}");
    // The start was saved before it was asked for.
    let saved =
        run.log.iter().position(|(_, action)| matches!(action, Action::Seal { claim, .. } if claim.subscription_start.is_some()));
    let asked = run.log.iter().position(|(_, action)| *action == Action::StartSubscription);
    assert!(saved.unwrap() < asked.unwrap());
}

/// Only the process that met it knew of it: a kill before the first whole listing afterwards, or a one-shot run that had to end, and the
/// next process passed over it without a word.
#[test]
fn an_absence_outlives_the_process_that_met_it() {
    for (plan, mode) in [(follow(), Mode::Auto), (follow(), Mode::Require), (Plan::Once, Mode::Require)] {
        let mut run = off_at_first(plan, memory(BASE - secs(HOUR)), mode, u32::MAX);
        run.until(secs(3));
        let [so_far] = &gaps(&run)[..] else { panic!("{plan:?} {mode:?}: {:?}", gaps(&run)) };
        assert!(lasts(so_far) && so_far.from == BASE - secs(HOUR) && so_far.to >= server(1), "{so_far:?}");
        assert_eq!(run.notices().iter().filter(|notice| matches!(notice, Notice::Gap(_))).count(), 0, "it has not ended");
        // Another process finds it on again.
        let memory = Memory { gaps: gaps(&run), ..memory(BASE - secs(HOUR)) };
        let mut next = Run::new(plan, memory, |action, now| usual(&[], action, now));
        next.now = secs(HOUR);
        next.until(secs(HOUR + 100));
        let [gap] = &gaps(&next)[..] else { panic!("{plan:?} {mode:?}: {:?}", gaps(&next)) };
        assert!(!lasts(gap) && gap.is_open() && (gap.id, gap.from) == (so_far.id, so_far.from), "{gap:?}");
        assert!(gap.to >= server(HOUR) && gap.to < server(HOUR + 20), "{gap:?}");
        assert_eq!(next.notices().iter().filter(|notice| matches!(notice, Notice::Gap(_))).count(), 1);
    }
}

/// Auditing that is off at the first contact ends a one-shot run.
#[test]
fn an_absence_of_auditing_is_kept_by_a_run_that_has_to_end() {
    let mut run = Run::new(Plan::Once, memory(BASE - secs(HOUR)), |action, now| match action {
        Action::CheckSubscription => {
            vec![Input::SubscriptionFailed { fault: Fault::AuditingOff, detail: String::new(), date: date(now) }]
        }
        _ => usual(&[], action, now),
    });
    run.until(secs(60));
    assert!(matches!(run.finish(), Some(Finish::Refused { .. })), "{:?}", run.finish());
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(lasts(gap) && gap.reason == GapReason::AuditingOff, "{gap:?}");
}

/// One host's wrong time, or the local clock's while nobody answers, made a gap that went on for a month, and no later one could shorten it.
#[test]
fn no_time_in_doubt_makes_an_absence_longer() {
    let month = secs(30 * 24 * HOUR);
    let mut left = 1;
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), move |action, now| match action {
        Action::CheckSubscription if left > 0 => {
            left -= 1;
            vec![Input::Subscription { standing: Standing::Disabled, date: date(now).map(|date| date + month) }]
        }
        _ => usual(&[], action, now),
    });
    run.until(secs(100));
    let told: Vec<_> = run.claims().into_iter().flat_map(|claim| claim.gaps).collect();
    assert!(!told.is_empty() && told.iter().all(|gap| gap.to < server(100)), "{told:?}");
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(!lasts(gap) && gap.from == BASE - secs(HOUR), "{gap:?}");
    // Nobody answers, and the local clock is a month ahead.
    let lasting = Gap { provisional: true, to: BASE, ..gap.clone() };
    let memory = Memory { gaps: vec![lasting.clone()], ..memory(BASE - secs(HOUR)) };
    let mut next = Run::new(follow(), memory, move |action, now| match action {
        Action::CheckSubscription => {
            let fault = Fault::Transient { retry_after: None };
            vec![Input::SubscriptionFailed { fault, detail: String::new(), date: None }]
        }
        Action::Seal { id, claim } => {
            assert!(claim.gaps.iter().all(|gap| gap.to == BASE), "{:?}", claim.gaps);
            vec![Input::Committed { id: *id }]
        }
        _ => usual(&[], action, now),
    });
    next.until(secs(3 * HOUR));
    assert!(gaps(&next).iter().all(|gap| *gap == Gap { found: gap.found, ..lasting.clone() }), "{:?}", gaps(&next));
}

/// A place in the service's future was set by a wrong clock.
#[test]
fn an_absence_from_a_place_that_is_given_up_begins_where_listing_does() {
    let mut left = 5;
    let memory = Memory { begin: Some(BASE - secs(480 * HOUR)), ..memory(BASE + secs(20 * HOUR)) };
    let mut run = Run::new(follow(), memory, move |action, now| match action {
        Action::CheckSubscription if left > 0 => {
            left -= 1;
            vec![Input::Subscription { standing: Standing::Disabled, date: date(now) }]
        }
        _ => usual(&[], action, now),
    });
    run.until(secs(100));
    assert!(run.notices().iter().any(|notice| matches!(notice, Notice::PlaceAhead { .. })));
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(!lasts(gap) && gap.from < BASE && gap.to > server(0) && gap.to < server(100), "{gap:?}");
}

/// The wrong time by which the place came to lie in the future had put the end of an absence there too, for good.
#[test]
fn an_absence_of_a_wrong_time_ends_with_the_place_that_is_given_up() {
    let (ahead, hour) = (BASE + secs(480 * HOUR), secs(HOUR));
    for from in [ahead, BASE - secs(2 * HOUR)] {
        let (id, reason) = (crate::domain::GapId::of_stretch(GapReason::SubscriptionOff, from, from), GapReason::SubscriptionOff);
        let lasting = Gap {
            id,
            reason,
            from,
            to: ahead + hour,
            blob: None,
            provisional: true,
            closed: None,
            found: ahead,
            detail: String::new(),
        };
        let memory = Memory { begin: Some(BASE - secs(480 * HOUR)), gaps: vec![lasting], ..memory(ahead + secs(2 * HOUR)) };
        let mut run = Run::new(follow(), memory, |action, now| usual(&[], action, now));
        run.until(secs(100));
        assert!(run.notices().iter().any(|notice| matches!(notice, Notice::PlaceAhead { .. })));
        let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
        assert!(!lasts(gap) && gap.from < BASE && gap.to > server(0) && gap.to < server(100), "{gap:?}");
    }
}

/// A resumed backfill that had to end before it knew its range again.
#[test]
fn an_absence_that_a_run_met_before_it_knew_its_end_ends_there_all_the_same() {
    let (from, to) = (Moment::At(BASE - secs(30 * HOUR)), Moment::At(BASE - secs(10 * HOUR)));
    let plan = Plan::Range { from, to };
    let mut run = off_at_first(plan, memory(BASE - secs(20 * HOUR)), Mode::Require, u32::MAX);
    run.until(secs(60));
    let [so_far] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(lasts(so_far) && so_far.from == BASE - secs(20 * HOUR), "{so_far:?}");
    let memory = Memory { gaps: gaps(&run), ..memory(BASE - secs(20 * HOUR)) };
    let mut next = Run::new(plan, memory, |action, now| usual(&[], action, now));
    next.now = secs(HOUR);
    next.until(secs(HOUR + 100));
    let [gap] = &gaps(&next)[..] else { panic!("{:?}", gaps(&next)) };
    assert!(!lasts(gap) && (gap.from, gap.to) == (so_far.from, BASE - secs(10 * HOUR)), "{gap:?}");
}

/// The first reply of a process told a time two months ahead, and the local clock went a month ahead: what an absence is kept by was made
/// before they agreed, and all that is done was forgotten by it.
#[test]
fn what_is_committed_before_the_clocks_agree_forgets_nothing() {
    let month = secs(30 * 24 * HOUR);
    let mut first = true;
    let mut run = Run::new(follow(), memory(BASE - month - secs(HOUR)), move |action, now| match action {
        Action::CheckSubscription if std::mem::take(&mut first) => {
            vec![Input::Subscription { standing: Standing::Disabled, date: date(now).map(|date| date + month) }]
        }
        Action::CheckSubscription => {
            vec![Input::Subscription { standing: Standing::Enabled, date: date(now).map(|date| date - month) }]
        }
        Action::Seal { id, .. } => vec![Input::Committed { id: *id }],
        _ => Vec::new(),
    });
    run.until(secs(100));
    let claims = run.claims();
    assert!(claims.iter().any(|claim| claim.gaps.iter().any(lasts)), "{claims:?}");
    assert!(claims.iter().all(|claim| claim.forget_before < BASE - month - secs(8 * 24 * HOUR) + secs(100)), "{claims:?}");
}

/// All of its range is listed when a one-shot run goes over it once more: only what comes after it can be missing, and of a range nothing.
#[test]
fn an_absence_that_a_later_pass_meets_begins_at_the_end_of_the_range() {
    for (plan, missing) in [(Plan::Once, true), (range(), false)] {
        let mut left = 1;
        let mut run = Run::new(plan, memory(BASE - secs(HOUR)), move |action, now| match action {
            Action::List { id, .. } if now.mono > secs(1) && left > 0 => {
                left -= 1;
                let (fault, detail, sent) = (Fault::NoSubscription, String::new(), now.mono);
                vec![Input::ListFailed { id: *id, fault, detail, date: date(now), sent }]
            }
            _ => usual(&[], action, now),
        });
        run.until(secs(60));
        assert!(run.notices().contains(&Notice::Pass { number: 2 }) && run.finish() == Some(Finish::Complete));
        let gaps = gaps(&run);
        assert_eq!(gaps.len(), usize::from(missing), "{plan:?}: {gaps:?}");
        assert!(gaps.iter().all(|gap| !lasts(gap) && gap.from >= server(0)), "{gaps:?}");
    }
}

/// Where all of the range was listed, and a blob was waited for, the run that met an absence kept none, and the next one may find the
/// subscription on again (seed 474521).
#[test]
fn an_absence_that_is_met_while_the_last_blobs_are_waited_for_outlives_the_run() {
    for (plan, missing) in [(Plan::Once, true), (range(), false)] {
        let mut looks = 0;
        let mut run = Run::new(plan, memory(BASE - secs(HOUR)), move |action, now| match action {
            Action::CheckSubscription => {
                looks += 1;
                let standing = if looks == 1 { Standing::Enabled } else { Standing::Disabled };
                vec![Input::Subscription { standing, date: date(now) }]
            }
            Action::StartSubscription => {
                let (fault, detail) = (Fault::SubscriptionDisabled, "made up".into());
                vec![Input::SubscriptionFailed { fault, detail, date: date(now) }]
            }
            Action::Fetch(order) => {
                let (key, fault, detail) = (order.entry.key(), Fault::SubscriptionDisabled, "made up".into());
                vec![Input::BlobFailed { key, fault, detail, print: None, date: date(now) }]
            }
            _ => usual(&[entry(0)], action, now),
        });
        run.until(secs(60));
        assert!(!run.notices().contains(&Notice::Pass { number: 2 }), "the blob is waited for");
        let gaps: Vec<_> = gaps(&run).into_iter().filter(|gap| gap.blob.is_none()).collect();
        assert_eq!(gaps.len(), usize::from(missing), "{plan:?}: {gaps:?}");
        assert!(gaps.iter().all(|gap| lasts(gap) && server(0) < gap.from && gap.from < server(9)), "{gaps:?}");
    }
}

/// While it lasts the state tells how far it goes, now and then.
#[test]
fn an_absence_grows_in_the_state_while_it_lasts() {
    let mut run = off_at_first(follow(), memory(BASE - secs(HOUR)), Mode::Require, u32::MAX);
    run.until(secs(3 * HOUR));
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(lasts(gap) && gap.to > server(2 * HOUR - 60), "{gap:?}");
    assert!(run.claims().len() < 6, "{}", run.claims().len());
}

#[test]
fn where_nothing_was_collected_before_nothing_is_missing() {
    let mut run = off_at_first(follow(), Memory::default(), Mode::Auto, 1);
    run.until(secs(100));
    assert_eq!(gaps(&run), []);
}

#[test]
fn who_may_not_start_waits_for_a_person_or_ends() {
    let off = Notice::SubscriptionOff { standing: Standing::Disabled, starts: false };
    let mut run = off_at_first(follow(), memory(BASE), Mode::Require, 2);
    run.until(secs(2_000));
    assert_eq!(run.notices().iter().filter(|notice| **notice == off).count(), 2);
    assert_eq!(run.times(|action| *action == Action::CheckSubscription), [1, 901, 1_801].map(secs));
    assert_eq!(gaps(&run).len(), 1, "however often it was looked at");
    assert_eq!(run.finish(), None);
    let mut run = off_at_first(range(), Memory::default(), Mode::Require, 2);
    run.until(secs(10));
    assert_eq!((run.notices(), run.finish()), (vec![off], Some(Finish::SubscriptionMissing)));
}

#[test]
fn a_one_shot_run_starts_twice_before_it_gives_up() {
    let mut run = off_at_first(range(), Memory::default(), Mode::Auto, 1_000);
    run.until(secs(3_000));
    assert_eq!(run.times(|action| *action == Action::StartSubscription).len(), 2);
    let detail = "the subscription is Disabled although its start was asked for 2 times".into();
    assert_eq!(run.finish(), Some(Finish::Unreachable { detail }));
    assert!(!run.notices().contains(&Notice::SubscriptionStarted));
}

/// Content comes again with a listing, not with a subscription that is enabled.
#[test]
fn an_absence_ends_with_the_first_whole_listing() {
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), |action, now| match action {
        Action::List { id, .. } if now.mono < secs(30) => {
            let (fault, detail, sent) = (Fault::AuditingOff, String::new(), now.mono);
            vec![Input::ListFailed { id: *id, fault, detail, date: date(now), sent }]
        }
        _ => usual(&[], action, now),
    });
    run.until(secs(200));
    let off = run.notices().into_iter().filter(|notice| matches!(notice, Notice::AuditingOff { first_contact: false, .. }));
    assert!(off.count() > 1);
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert_eq!((gap.reason, gap.from), (GapReason::AuditingOff, BASE - secs(HOUR)));
    assert!(gap.to > server(29));
}

/// Found by the simulation: between the refusal and the look the process was suspended, and an administrator enabled the subscription.
#[test]
fn a_listing_that_is_refused_opens_an_absence_whatever_the_look_says() {
    for fault in [Fault::NoSubscription, Fault::SubscriptionDisabled] {
        let mut left = 1;
        let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), move |action, now| match action {
            Action::List { id, .. } if left > 0 => {
                left -= 1;
                let (fault, detail, sent) = (fault.clone(), String::new(), now.mono);
                vec![Input::ListFailed { id: *id, fault, detail, date: date(now), sent }]
            }
            _ => usual(&[], action, now),
        });
        run.until(secs(100));
        assert_eq!(run.times(|action| *action == Action::StartSubscription), []);
        let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
        assert_eq!((gap.reason, gap.from, gap.provisional), (GapReason::SubscriptionOff, BASE - secs(HOUR), false));
        assert!(server(1) <= gap.to && gap.to < server(20), "{gap:?}");
    }
}

/// Everything is listed: what becomes available now is none of its range.
#[test]
fn a_run_that_has_listed_its_range_misses_nothing_by_an_absence() {
    let mut run = Run::new(range(), memory(BASE - secs(HOUR)), |action, now| usual(&[], action, now));
    run.until(secs(30));
    let now = run.clocks();
    assert!(run.feed.status(now).live_from.is_none());
    run.feed.open_absence(now, GapReason::SubscriptionOff);
    run.feed.close_absence(now);
    run.step();
    assert_eq!(run.notices().iter().filter(|notice| matches!(notice, Notice::Gap(_))).count(), 0);
}

#[test]
fn a_listing_of_before_proves_nothing() {
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), |action, now| match action {
        Action::List { .. } | Action::StartSubscription => Vec::new(),
        _ => usual(&[], action, now),
    });
    run.step();
    let listed = run.log.iter().find_map(|(_, action)| match action {
        Action::List { id, .. } => Some(*id),
        _ => None,
    });
    let now = run.clocks();
    run.handle(Input::Subscription { standing: Standing::Disabled, date: date(now) });
    run.handle(Input::PageEnd { id: listed.unwrap(), next: None, date: date(now) });
    run.until(secs(20));
    let [so_far] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(lasts(so_far), "it is still off: {so_far:?}");
    run.handle(Input::Started { date: date(now) });
    run.until(secs(21));
    let now = run.clocks();
    let newest = run.log.iter().rev().find_map(|(_, action)| match action {
        Action::List { id, .. } => Some(*id),
        _ => None,
    });
    run.handle(Input::PageEnd { id: newest.unwrap(), next: None, date: date(now) });
    run.until(secs(22));
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert!(!lasts(gap) && gap.id == so_far.id, "{gap:?}");
}

#[test]
fn a_gap_of_no_length_is_none() {
    let mut run = Run::new(follow(), memory(BASE), |action, now| usual(&[], action, now));
    let now = run.clocks();
    for (to, found) in [(BASE, 0), (BASE - ms(1), 0), (BASE + ms(1), 1)] {
        run.feed.stretch_gap(now, GapReason::AuditingOff, BASE, to);
        run.step();
        assert_eq!(run.notices().iter().filter(|notice| matches!(notice, Notice::Gap(_))).count(), found);
    }
}

/// A reply that tells what the local clock tells is believed at once. What it would write off waits until others say so too, and
/// they are asked for, but not in the same moment.
#[test]
fn nothing_is_written_off_by_one_reply_that_jumps_and_a_second_is_asked_for_soon() {
    let far = secs(10 * 24 * HOUR);
    let told = move |now: Now| now.wall - if now.mono < secs(100) { far } else { Duration::ZERO };
    let answer = move |action: &Action, now: Now| {
        let date = Some(told(now));
        match action {
            Action::CheckSubscription => vec![Input::Subscription { standing: Standing::Enabled, date }],
            Action::List { id, .. } => vec![Input::PageEnd { id: *id, next: None, date }],
            _ => usual(&[], action, now),
        }
    };
    let mut run = Run::new(follow(), memory(BASE - far - secs(HOUR)), answer);
    run.until(secs(2_000));
    let jumped = run.times(|action| matches!(action, Action::List { .. })).into_iter().find(|at| *at >= secs(100)).unwrap();
    let checks = run.times(|action| *action == Action::CheckSubscription);
    let asked = checks.iter().filter(|at| **at >= jumped).collect::<Vec<_>>();
    assert_eq!(asked[..2], [&(jumped + Duration::from_millis(300)), &(jumped + Duration::from_millis(600))], "{checks:?}");
    let [gap] = &gaps(&run)[..] else { panic!("{:?}", gaps(&run)) };
    assert_eq!(gap.reason, GapReason::OutagePastRetention);
    assert!(gap.found >= BASE + jumped + Duration::from_millis(600), "{gap:?}");
}
