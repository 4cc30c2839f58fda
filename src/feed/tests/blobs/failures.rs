//! What a failed attempt at a blob leads to.

use super::*;

#[test]
fn a_blob_that_failed_is_asked_for_when_its_wait_is_over() {
    let mut blobs = fetching(poller(), 0);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let fault = &Fault::Transient { retry_after: None };
        let failure = failure(fault);
        let Verdict::Later(wait) = blobs.failed(failure, secs(100), server(0), &mut jitter()) else { panic!("a gap") };
        assert_eq!(blobs.wake(), Some(secs(100) + wait));
        assert!(blobs.next_fetch(secs(100) + wait - ms(1)).is_none());
        assert_eq!(blobs.next_fetch(secs(100) + wait).unwrap().attempts, 0, "nothing else succeeded meanwhile");
        waits.push(wait);
    }
    for (wait, least) in waits.into_iter().zip([1, 2, 4, 8].map(secs)) {
        assert!(least <= wait && wait <= least * 5 / 4, "{wait:?}");
    }
}

#[test]
fn a_failure_counts_only_if_something_else_succeeded() {
    let mut blobs = fetching(one_shot(), 0);
    let passing = Fault::Transient { retry_after: None };
    for (successes, attempts) in [(0, 0), (5, 1), (5, 1), (4, 1), (5, 2)] {
        assert!(matches!(fail(&mut blobs, &passing, successes, server(0)), Verdict::Later(_)));
        let failure = BlobFailure { successes, ..failure(&passing) };
        blobs.failed(failure, secs(100), server(0), &mut jitter());
        assert_eq!(blobs.next_fetch(secs(1_000)).unwrap().attempts, attempts, "{successes}");
    }
}

/// Found by the simulation: four replies that it is not there and one token that was not to be had gave a blob up in a backfill.
#[test]
fn only_replies_say_that_a_blob_is_not_there() {
    let mut blobs = fetching(one_shot(), 0);
    let passing = Fault::Transient { retry_after: None };
    for successes in 0..8 {
        let failure = BlobFailure { successes, asked: false, ..failure(&passing) };
        assert!(matches!(blobs.failed(failure, secs(100), server(3), &mut jitter()), Verdict::Later(_)));
        assert_eq!(blobs.next_fetch(blobs.wake().unwrap()).unwrap().attempts, 0);
    }
    fail(&mut blobs, &passing, 9, server(3));
    for _ in 0..4 {
        assert!(matches!(fail(&mut blobs, &Fault::NotFound, 9, server(3)), Verdict::Later(_)));
    }
    assert_eq!(told(fail(&mut blobs, &Fault::NotFound, 9, server(3))), Some((GapReason::NotFound, false, 6)));
}

#[test]
fn throttling_is_no_failure_of_the_blob() {
    let mut blobs = fetching(one_shot(), 0);
    for successes in 1..50 {
        let Verdict::Later(wait) = fail(&mut blobs, &Fault::Throttled { retry_after: None }, successes, server(0)) else {
            panic!("a gap");
        };
        assert!(ms(500) <= wait && wait < ms(700), "{wait:?}");
    }
}

#[test]
fn a_poller_keeps_asking_for_what_can_not_be_read() {
    let mut blobs = fetching(poller(), 0);
    for _ in 0..5 {
        assert!(matches!(fail(&mut blobs, &Fault::BadReply, 0, server(0)), Verdict::Later(_)));
    }
    assert_eq!((counts(&blobs), blobs.oldest_pending()), ((1, 0, 0, 1), Some(entry(0).created)));
    let verdict = fail(&mut blobs, &Fault::BadReply, 0, server(0));
    assert_eq!(told(verdict), Some((GapReason::Unreadable, PROVISIONAL, 6)));
    assert_eq!((counts(&blobs), blobs.oldest_pending()), ((1, 0, 1, 0), None), "the gap stands for it");
    assert_eq!(fail(&mut blobs, &Fault::BadReply, 0, server(0)), Verdict::Gap(None), "told once");
    for _ in 0..5 {
        assert_eq!(fail(&mut blobs, &Fault::NotFound, 0, server(0)), Verdict::Gap(None), "it may be one host that says so");
    }
    let verdict = fail(&mut blobs, &Fault::NotFound, 0, server(0));
    assert_eq!(told(verdict), Some((GapReason::NotFound, PROVISIONAL, 13)), "another reason is news");
    let verdict = fail(&mut blobs, &Fault::Throttled { retry_after: None }, 0, server(0));
    assert!(matches!(verdict, Verdict::Later(_)), "and throttling is none");
    assert!(blobs.is_idle());
    let closed = blobs.finished(key(0), server(70)).expect("the gap closes");
    assert_eq!((closed.closed, closed.provisional, closed.found), (Some(server(70)), false, server(70)));
    assert_eq!(counts(&blobs), (1, 0, 0, 1));
    assert!(!blobs.is_idle(), "it is still to be committed");
    blobs.committed([key(0)]);
    assert_eq!((counts(&blobs), blobs.is_idle()), ((1, 1, 0, 0), true));
}

#[test]
fn a_blob_that_nobody_knows_is_gone_for_good_once_it_must_have_expired() {
    let week = 7 * 86_400;
    let outcome = |expires: Option<Time>, at: Time| {
        let mut blobs = poller();
        blobs.add(BlobEntry { expires, ..entry(0) }, true);
        blobs.next_fetch(secs(100));
        for _ in 0..5 {
            assert!(matches!(fail(&mut blobs, &Fault::NotFound, 0, at), Verdict::Later(_)));
        }
        let gap = told(fail(&mut blobs, &Fault::NotFound, 0, at));
        (gap.map(|(reason, provisional, _)| (reason, provisional)), blobs.wake().is_none() && blobs.fetching() == 0)
    };
    let (gone, not_yet) = ((Some((GapReason::NotFound, FINAL)), true), (Some((GapReason::NotFound, PROVISIONAL)), false));
    assert_eq!(outcome(Some(server(500)), server(499)), not_yet);
    assert_eq!(outcome(Some(server(500)), server(500)), gone);
    assert_eq!(outcome(None, server(week) - ms(1)), not_yet);
    assert_eq!(outcome(None, server(week)), gone);
}

#[test]
fn one_shot_gives_up_after_its_attempts() {
    for (fault, attempts, reason) in [(Fault::BadReply, 10, GapReason::Unreadable), (Fault::NotFound, 5, GapReason::NotFound)] {
        let mut blobs = fetching(one_shot(), 0);
        for _ in 1..attempts {
            assert!(matches!(fail(&mut blobs, &fault, 0, server(0)), Verdict::Later(_)));
        }
        assert_eq!(told(fail(&mut blobs, &fault, 0, server(0))), Some((reason, FINAL, attempts)));
        assert_eq!((counts(&blobs), blobs.oldest_pending()), ((1, 0, 1, 0), None));
        assert!(blobs.is_idle() && blobs.fetching() == 0 && blobs.wake().is_none());
        assert!(blobs.add(entry(0), true) && blobs.is_idle(), "it is not taken up again");
        assert_eq!(fail(&mut blobs, &fault, 0, server(0)), Verdict::Unknown);
    }
}

#[test]
fn what_has_expired_is_given_up_at_once_and_what_should_not_have_is_asked_for_again() {
    let expires = 7 * 24 * 3_600;
    let late = server(expires - 3_600);
    let mut blobs = fetching(poller(), 0);
    let gap = told(fail(&mut blobs, &Fault::Expired, 0, late));
    assert_eq!(gap.map(|(reason, provisional, _)| (reason, provisional)), Some((GapReason::Expired, FINAL)));
    assert_eq!(counts(&blobs), (1, 0, 1, 0));
    assert!(blobs.is_idle());
    // One that had a provisional gap before counts once.
    let mut blobs = fetching(poller(), 0);
    blobs.lost(part(0, 1), 7, String::new(), secs(100), server(1), &mut jitter());
    blobs.next_fetch(secs(200));
    assert_eq!(told(fail(&mut blobs, &Fault::Expired, 0, late)).map(|(reason, ..)| reason), Some(GapReason::Expired));
    assert_eq!(counts(&blobs), (1, 0, 1, 0));
    assert!(blobs.is_idle());

    let young = server(expires - 3_601);
    let mut blobs = fetching(poller(), 0);
    assert_eq!(told(fail(&mut blobs, &Fault::Expired, 0, young)), Some((GapReason::Expired, PROVISIONAL, 1)));
    let mut blobs = fetching(one_shot(), 0);
    for _ in 1..5 {
        assert!(matches!(fail(&mut blobs, &Fault::Expired, 0, young), Verdict::Later(_)));
    }
    assert_eq!(told(fail(&mut blobs, &Fault::Expired, 0, young)), Some((GapReason::Expired, FINAL, 5)));
}

#[test]
fn what_is_too_large_three_times_is_a_gap() {
    let mut blobs = fetching(poller(), 0);
    for _ in 1..3 {
        assert!(matches!(fail(&mut blobs, &Fault::TooLarge, 0, server(0)), Verdict::Later(_)));
    }
    let failure = failure(&Fault::TooLarge);
    let verdict = blobs.failed(failure, secs(100), server(0), &mut jitter());
    assert_eq!(told(verdict), Some((GapReason::TooLarge, PROVISIONAL, 3)));
    assert!(blobs.wake().unwrap() >= secs(12 * 3_600), "each attempt costs up to gigabytes");
}

#[test]
fn a_doubtful_reply_is_offered_for_confirmation_after_three_that_were_the_same() {
    let mut blobs = fetching(poller(), 0);
    let mut offered = Vec::new();
    for print in [Some(7), None, Some(7), Some(7), Some(8)] {
        let failure = BlobFailure { print, ..failure(&Fault::BadReply) };
        blobs.failed(failure, secs(100), server(0), &mut jitter());
        let order = blobs.next_fetch(blobs.wake().unwrap()).unwrap();
        offered.push((order.attempts, order.confirm));
        assert_eq!(order.accepted, None);
    }
    assert_eq!(offered, [(1, None), (2, None), (3, None), (4, Some(7)), (5, None)]);
}

/// Found by the simulation: a blob of one element that is no record had failed often, was asked for twice in half an hour, and
/// would have had to be asked for four times.
#[test]
fn a_strange_blob_is_found_to_be_how_it_is_within_half_an_hour() {
    let mut blobs = fetching(poller(), 0);
    let mut now = secs(0);
    for n in 1..200 {
        let print = (n >= 100).then_some(7);
        let failure = BlobFailure { print, ..failure(&Fault::BadReply) };
        blobs.failed(failure, now, server(0), &mut jitter());
        let before = now;
        now = blobs.wake().unwrap();
        let order = blobs.next_fetch(now).unwrap();
        let quick = now - before <= secs(38);
        // Three quick ones after each of the usual kind.
        assert_eq!(quick, n < 6 || (n >= 100 && n % 4 != 3), "{n}: {:?}", now - before);
        assert_eq!(order.confirm.is_some(), n >= 102, "{n}");
    }
}

#[test]
fn a_broken_blob_is_a_gap_and_asked_for_with_what_is_known_of_it() {
    let mut blobs = fetching(poller(), 0);
    for (round, wait) in [(1, 1), (2, 2), (3, 4)] {
        let gap = blobs.lost(part(0, 5), 7, "made up".into(), secs(100), server(3), &mut jitter()).unwrap();
        assert_eq!(
            (gap.reason, gap.provisional, gap.found, &gap.detail[..]),
            (GapReason::Unreadable, true, server(3), "made up")
        );
        assert_eq!(gap.blob.unwrap().attempts, round);
        assert_eq!(counts(&blobs), (1, 0, 1, 0));
        assert_eq!((blobs.fetching(), blobs.oldest_pending(), blobs.is_idle()), (0, None, true));
        let due = blobs.wake().unwrap();
        assert!(secs(100 + wait) <= due && due <= secs(100 + wait) + secs(wait) / 4, "{due:?}");
        let order = blobs.next_fetch(due).unwrap();
        assert_eq!((order.part, order.accepted, order.attempts), (Some(part(0, 5)), Some(7), round));
        assert_eq!(order.confirm, (round >= 3).then_some(7));
    }
    let mut blobs = fetching(one_shot(), 0);
    let gap = blobs.lost(part(0, 5), 7, String::new(), secs(100), server(3), &mut jitter()).unwrap();
    assert!(!gap.provisional && blobs.wake().is_none() && blobs.is_idle());
    assert_eq!(counts(&blobs), (1, 0, 1, 0));
}

/// Found by the simulation: runs by cron asked for a strange blob once each, and never saw it come the same four times.
#[test]
fn a_strange_blob_of_an_earlier_run_is_asked_for_until_it_is_decided() {
    let mut blobs = Blobs::new(Persistence::once(), DoneSet::default());
    blobs.restore(vec![gap(10, PROVISIONAL, 12)], Vec::new(), secs(0), &mut jitter());
    let mut confirmed = Vec::new();
    while !blobs.is_idle() && confirmed.len() < 10 {
        let due = blobs.wake().unwrap();
        assert!(due <= secs(200), "within minutes");
        let order = blobs.next_fetch(due).unwrap();
        confirmed.push(order.confirm);
        let (key, fault) = (key(10), &Fault::BadReply);
        let failure = BlobFailure { key, print: Some(7), ..failure(fault) };
        blobs.failed(failure, due, server(0), &mut jitter());
    }
    assert_eq!(confirmed, [None, None, None, Some(7)]);
}

/// A blob that was listed late failed, the process was stopped, and it came back when the blob had expired: nothing told of it.
#[test]
fn a_blob_behind_the_floor_that_fails_is_a_gap_at_once() {
    let failing = |mut blobs: Blobs, fault: &Fault, floor: Time| {
        let failure = BlobFailure { floor, ..failure(fault) };
        let verdict = blobs.failed(failure, secs(100), server(3), &mut jitter());
        (told(verdict), blobs.oldest_pending())
    };
    let passing = Fault::Transient { retry_after: None };
    let (behind, before) = (entry(0).created + secs(1), entry(0).created);
    let unreadable = Some((GapReason::Unreadable, PROVISIONAL, 0));
    assert_eq!(failing(fetching(poller(), 0), &passing, behind), (unreadable, None));
    assert_eq!(failing(fetching(poller(), 0), &Fault::NotFound, behind).0, Some((GapReason::NotFound, PROVISIONAL, 1)));
    assert_eq!(failing(fetching(poller(), 0), &passing, before), (None, Some(before)));
    // A pause says nothing about the blob, and a run that ends when only gaps are left goes on trying first.
    assert_eq!(failing(fetching(poller(), 0), &Fault::Throttled { retry_after: None }, behind).0, None);
    assert_eq!(failing(fetching(one_shot(), 0), &passing, behind).0, None);
    let once = Blobs::new(Persistence::once(), DoneSet::default());
    assert_eq!(failing(fetching(once, 0), &passing, behind).0, None);
}

/// A blob that is broken for good was downloaded four times as often as one that is not there, until it expired.
#[test]
fn a_broken_blob_that_is_accepted_is_asked_for_no_more_often_than_others() {
    let print = Some(7);
    let mut blobs = fetching(poller(), 0);
    blobs.lost(part(0, 5), 7, String::new(), secs(100), server(3), &mut jitter()).unwrap();
    let mut now = secs(100);
    let waits: Vec<u64> = (0..30)
        .map(|_| {
            let due = blobs.wake().unwrap();
            let waited = due.saturating_sub(now).as_secs();
            now = due;
            assert!(blobs.next_fetch(now).is_some());
            let failure = BlobFailure { print, ..failure(&Fault::BadReply) };
            blobs.failed(failure, now, server(3), &mut jitter());
            waited
        })
        .collect();
    assert!(waits[15..].iter().all(|wait| *wait >= 900), "{waits:?}");
}

/// What an earlier run was told goes on counting.
#[test]
fn a_blob_that_an_earlier_run_was_told_is_not_there_is_gone_at_the_first_word_once_it_must_have_expired() {
    let outcome = |reason: GapReason| {
        let mut blobs = poller();
        blobs.restore(vec![Gap { reason, ..gap(0, PROVISIONAL, 6) }], Vec::new(), secs(100), &mut jitter());
        assert!(blobs.next_fetch(secs(110)).is_some());
        let gap = told(fail(&mut blobs, &Fault::NotFound, 0, server(8 * 86_400)));
        gap.map(|(reason, provisional, _)| (reason, provisional))
    };
    assert_eq!(outcome(GapReason::NotFound), Some((GapReason::NotFound, FINAL)));
    assert_eq!(outcome(GapReason::Expired), Some((GapReason::NotFound, FINAL)));
    assert_eq!(outcome(GapReason::Unreadable), None, "nobody said so before: it is still unreadable");
}

/// A request that never left says nothing about a blob, not even about one that has a gap; behind the floor the gap stands for it.
#[test]
fn an_attempt_in_which_nobody_was_asked_decides_nothing() {
    let unasked = |blobs: &mut Blobs, floor: Time| {
        let failure = BlobFailure { asked: false, floor, ..failure(&Fault::BadReply) };
        blobs.failed(failure, secs(100), server(3), &mut jitter())
    };
    let mut blobs = fetching(poller(), 0);
    for _ in 0..5 {
        assert!(matches!(fail(&mut blobs, &Fault::BadReply, 0, server(3)), Verdict::Later(_)));
    }
    let gap = told(fail(&mut blobs, &Fault::BadReply, 0, server(3)));
    assert_eq!(gap, Some((GapReason::Unreadable, PROVISIONAL, 6)));
    assert!(matches!(unasked(&mut blobs, Time::MIN), Verdict::Later(_)), "as if it had not been tried");
    let behind = entry(0).created + secs(1);
    assert_eq!(told(unasked(&mut fetching(poller(), 0), behind)), Some((GapReason::Unreadable, PROVISIONAL, 0)));
    assert_eq!(told(unasked(&mut fetching(poller(), 0), entry(0).created)), None);
}

/// What counts of wrong addresses is how many listings told one, until none can tell another.
#[test]
fn wrong_addresses_count_once_for_each_listing_and_each_time_after_the_blob_has_expired() {
    let astray = |blobs: &mut Blobs, at: Time| told(fail(blobs, &Fault::ForeignOrigin, 0, at));
    let told_of = |expires: Time| BlobEntry { expires: Some(expires), ..entry(0) };
    let wrong = Some((GapReason::Unreadable, PROVISIONAL, 0));

    let (mut blobs, expires) = (poller(), server(500));
    blobs.add(told_of(expires), true);
    blobs.next_fetch(secs(100));
    for _ in 0..20 {
        assert_eq!(astray(&mut blobs, server(499)), None, "one listing said so");
    }
    for _ in 0..4 {
        assert_eq!(astray(&mut blobs, expires), None);
    }
    assert_eq!(astray(&mut blobs, expires), wrong);

    let mut blobs = poller();
    blobs.add(told_of(expires), true);
    blobs.next_fetch(secs(100));
    for _ in 0..5 {
        assert_eq!(astray(&mut blobs, server(3)), None);
        blobs.add(told_of(expires), true);
    }
    assert_eq!(astray(&mut blobs, server(3)), wrong);

    // Failures of other kinds are none of these.
    let mut blobs = poller();
    blobs.add(told_of(expires), true);
    blobs.next_fetch(secs(100));
    for _ in 0..5 {
        assert_eq!(told(fail(&mut blobs, &Fault::BadReply, 0, server(3))), None);
        blobs.add(told_of(expires), true);
    }
    assert_eq!(astray(&mut blobs, server(3)), None);
}
