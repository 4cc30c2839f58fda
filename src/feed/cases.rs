//! The core step by step: one test for each case that was once wrong.

use std::time::Duration;

use super::listing::{Lister, Purpose};
use super::*;
use crate::domain::{ContentType, DoneSet, Fault, FeedId, Gap, Refusal};

pub(super) const BASE: Time = Time(1_780_000_000_000);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn at(seconds: u64) -> Now {
    let mono = Duration::from_secs(seconds);
    Now { mono, wall: BASE + mono }
}

pub(super) fn date(now: Now) -> Option<Time> {
    Some((BASE + now.mono).floor_second())
}

pub(super) fn settings(plan: Plan) -> FeedSettings {
    let feed =
        FeedId { tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(), content_type: ContentType::AuditGeneral };
    FeedSettings {
        feed,
        plan,
        filter: "28".into(),
        subscription: Mode::Auto,
        per_minute: 2000,
        width: None,
        not_before: None,
        seed: 1,
    }
}

pub(super) fn follow() -> Plan {
    Plan::Follow { poll_interval: Duration::from_secs(60), look_back: DAY }
}

pub(super) fn range() -> Plan {
    Plan::Range { from: Moment::Ago(DAY), to: Moment::Ago(Duration::ZERO) }
}

/// What an earlier run left that had come to `floor`.
pub(super) fn memory(floor: Time) -> Memory {
    Memory { floor: Some(floor), begin: Some(floor), filter: Some("28".into()), done: DoneSet::default(), ..Memory::default() }
}

pub(super) fn actions(feed: &mut Feed, now: Now) -> Vec<Action> {
    std::iter::from_fn(|| feed.act(now)).collect()
}

pub(super) fn told(feed: &mut Feed, now: Now, standing: Standing) -> Vec<Action> {
    feed.handle(now, Input::Subscription { standing, date: date(now) });
    actions(feed, now)
}

pub(super) fn seal(actions: &[Action]) -> Option<(BatchId, crate::domain::Claim)> {
    actions.iter().find_map(|a| match a {
        Action::Seal { id, claim } => Some((*id, (**claim).clone())),
        _ => None,
    })
}

pub(super) fn listing(actions: &[Action]) -> Option<ListingId> {
    actions.iter().find_map(|a| match a {
        Action::List { id, .. } => Some(*id),
        _ => None,
    })
}

/// Time goes on, a second at a time, until the core asks for what is looked for; batches are committed at once.
pub(super) fn until<R>(feed: &mut Feed, clock: &mut u64, limit: u64, found: impl Fn(&[Action]) -> Option<R>) -> Option<R> {
    for _ in 0..limit {
        let now = at(*clock);
        let done = actions(feed, now);
        if let Some((id, _)) = seal(&done) {
            feed.handle(now, Input::Committed { id });
        }
        if let Some(it) = found(&done) {
            return Some(it);
        }
        *clock += 1;
    }
    None
}

pub(super) fn finished(actions: &[Action]) -> Option<Finish> {
    actions.iter().find_map(|a| match a {
        Action::Finish(finish) => Some(finish.clone()),
        _ => None,
    })
}

#[test]
fn a_reader_that_stalls_for_hours_costs_no_busy_loop() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - DAY), at(0));
    actions(&mut feed, at(0));
    told(&mut feed, at(1), Standing::Enabled);
    let gap = Gap { found: BASE, ..stretch() };
    feed.record_gap(at(2), gap);
    assert!(seal(&actions(&mut feed, at(3))).is_some());
    // The batch is with the writer, and no reply comes any more.
    let now = at(3 * 3600);
    actions(&mut feed, now);
    assert!(feed.wake(now).unwrap() >= now.mono + Duration::from_millis(500), "{:?}", feed.wake(now));
}

pub(super) fn stretch() -> Gap {
    Gap {
        id: crate::domain::GapId(1),
        reason: GapReason::SubscriptionOff,
        from: BASE - DAY,
        to: BASE,
        blob: None,
        provisional: false,
        closed: None,
        found: BASE,
        detail: String::new(),
    }
}

#[test]
fn a_sweep_that_waits_for_room_costs_no_busy_loop() {
    let mut lister = Lister::following(BASE - DAY, BASE - DAY, Duration::from_secs(60), DAY, true);
    let (now, jitter) = (Duration::from_secs(1000), &mut Jitter::new(1));
    while let Some((id, _)) = lister.next(now, BASE, false) {
        assert_eq!(lister.purpose(id), Some(Purpose::Live));
        lister.complete(id, now, 2000, jitter);
    }
    assert!(lister.wake(now, BASE).unwrap() >= now + Duration::from_millis(500));
}

/// The lines that the shell takes in after a notice would travel in the batch before the one that claims them.
#[test]
fn a_batch_is_sealed_before_anything_else_is_done() {
    let mut settings = settings(follow());
    settings.per_minute = 1;
    let mut feed = Feed::new(settings, memory(BASE - 9 * DAY), at(0));
    actions(&mut feed, at(0));
    let done = told(&mut feed, at(1), Standing::Enabled);
    assert!(done.iter().any(|a| matches!(a, Action::Notice(Notice::Gap(_)))), "{done:?}");
    assert!(matches!(done[0], Action::Seal { .. }), "{done:?}");
}

/// Without a `Date` the local clock would be its own witness.
#[test]
fn a_local_clock_alone_never_makes_a_gap() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - 9 * DAY), at(0));
    actions(&mut feed, at(0));
    for second in 1..10 {
        feed.handle(at(second), Input::Subscription { standing: Standing::Enabled, date: None });
        assert_eq!(actions(&mut feed, at(second + 1)), [Action::CheckSubscription], "the time may still be told");
    }
    feed.handle(at(11), Input::Subscription { standing: Standing::Enabled, date: None });
    let done = actions(&mut feed, at(11));
    assert!(done.iter().any(|a| matches!(a, Action::Notice(Notice::ClockDisagrees { ms: None, .. }))), "{done:?}");
    assert!(!done.iter().any(|a| matches!(a, Action::Notice(Notice::Gap(_)))), "{done:?}");
    assert!(listing(&done).is_some(), "what can be listed is listed");
}

/// Auditing is off while the subscription stays enabled: one absence, however often it is looked at.
#[test]
fn an_absence_is_one_gap_however_often_it_is_looked_at() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - Duration::from_secs(600)), at(0));
    let mut clock = 1;
    actions(&mut feed, at(0));
    let mut gaps = Vec::new();
    let mut fail = true;
    let mut done = told(&mut feed, at(clock), Standing::Enabled);
    for round in 0..20_000 {
        let now = at(clock);
        if let Some((id, claim)) = seal(&done) {
            gaps.extend(claim.gaps);
            feed.handle(now, Input::Committed { id });
        }
        if done.contains(&Action::CheckSubscription) {
            feed.handle(now, Input::Subscription { standing: Standing::Enabled, date: date(now) });
        }
        for id in done.iter().filter_map(|a| listing(std::slice::from_ref(a))) {
            let input = match fail {
                true => {
                    let (fault, detail, sent) = (Fault::AuditingOff, String::new(), now.mono);
                    Input::ListFailed { id, fault, detail, date: date(now), sent }
                }
                false => Input::PageEnd { id, next: None, date: date(now) },
            };
            feed.handle(now, input);
        }
        fail = round < 10_000;
        clock += 1;
        done = actions(&mut feed, at(clock));
    }
    gaps.retain(|gap| gap.reason == GapReason::AuditingOff);
    let last = gaps.last().unwrap();
    assert!(gaps.iter().all(|gap| gap.id == last.id), "{gaps:?}");
    assert!(!last.provisional && last.to >= BASE + Duration::from_secs(10_000), "{last:?}");
}

/// What was fetched is written and committed before a one-shot run gives up; it was thrown away.
#[test]
fn giving_up_commits_what_is_in_hand() {
    let mut feed = Feed::new(settings(range()), Memory::default(), at(0));
    actions(&mut feed, at(0));
    if let Some((id, _)) = seal(&told(&mut feed, at(1), Standing::Enabled)) {
        feed.handle(at(2), Input::Committed { id });
    }
    feed.record_gap(at(2), stretch());
    feed.give_up(Finish::Unreachable { detail: "made up".into() });
    let done = actions(&mut feed, at(2));
    assert_eq!(finished(&done), None);
    let (id, claim) = seal(&done).expect("a batch");
    assert_eq!(claim.gaps.len(), 1);
    feed.handle(at(3), Input::Committed { id });
    let mut clock = 3;
    let finish = until(&mut feed, &mut clock, 3, finished);
    assert_eq!(finish, Some(Finish::Unreachable { detail: "made up".into() }));
}

/// A subscription that stays off however often it is started kept a backfill waiting for ever.
#[test]
fn a_one_shot_run_does_not_wait_for_ever_for_a_subscription() {
    let mut feed = Feed::new(settings(range()), Memory::default(), at(0));
    let mut clock = 0;
    for _ in 0..100 {
        let next = until(&mut feed, &mut clock, 2000, |done| {
            done.iter().find(|a| matches!(a, Action::CheckSubscription | Action::StartSubscription | Action::Finish(_))).cloned()
        });
        let now = at(clock);
        match next.expect("something is asked for") {
            Action::CheckSubscription => {
                feed.handle(now, Input::Subscription { standing: Standing::Disabled, date: date(now) });
            }
            Action::StartSubscription => {
                let fault = Fault::SubscriptionDisabled;
                feed.handle(now, Input::SubscriptionFailed { fault, detail: String::new(), date: date(now) });
            }
            finish => {
                assert!(matches!(finish, Action::Finish(Finish::Unreachable { .. })));
                assert!(clock < 1200, "after {clock} s");
                return;
            }
        }
    }
    panic!("no end");
}

#[test]
fn a_one_shot_run_ends_when_the_start_is_refused() {
    let mut feed = Feed::new(settings(range()), Memory::default(), at(0));
    actions(&mut feed, at(0));
    let mut clock = 1;
    feed.handle(at(1), Input::Subscription { standing: Standing::Missing, date: date(at(1)) });
    let started = until(&mut feed, &mut clock, 5, |done| done.contains(&Action::StartSubscription).then_some(()));
    assert!(started.is_some());
    feed.handle(at(clock), Input::SubscriptionFailed { fault: Fault::AuditingOff, detail: "off".into(), date: date(at(clock)) });
    let finish = until(&mut feed, &mut clock, 5, finished);
    assert_eq!(finish, Some(Finish::Refused { refusal: Refusal::TenantRejected, detail: "off".into() }));
}

/// A window that is too much for the service — it times out each time — was asked for unchanged until it had expired, and
/// everything behind it with it.
#[test]
fn a_window_that_fails_for_its_length_is_listed_in_pieces() {
    let mut lister = Lister::following(BASE - 3 * DAY, BASE - 3 * DAY, Duration::from_secs(60), DAY, true);
    let jitter = &mut Jitter::new(1);
    let mut now = Duration::ZERO;
    while lister.frontier().is_some_and(|from| from < BASE - DAY) {
        assert!(now < Duration::from_secs(3600), "{:?}", lister.frontier());
        let Some((id, window)) = lister.next(now, BASE + now, true) else {
            now += Duration::from_millis(500);
            continue;
        };
        match window.to().since(window.from()) > Duration::from_secs(4 * 3600) {
            true => {
                lister.broken(id, listing::Broken::Passing, now, jitter);
            }
            false => lister.complete(id, now, 2000, jitter),
        }
    }
}

#[test]
fn an_entry_that_can_not_be_read_is_one_gap() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - DAY), at(0));
    actions(&mut feed, at(0));
    let mut found = Vec::new();
    for second in 1..5 {
        let window = crate::domain::Window::new(BASE, BASE + Duration::from_secs(second)).unwrap();
        feed.handle(at(second), Input::EntryUnreadable { window, print: 7, detail: "made up".into() });
        found.extend(actions(&mut feed, at(second)).into_iter().filter(|a| matches!(a, Action::Notice(Notice::Gap(_)))));
    }
    assert_eq!(found.len(), 1, "{found:?}");
    let mut again = memory(BASE - DAY);
    again.gaps = found
        .into_iter()
        .map(|a| match a {
            Action::Notice(Notice::Gap(gap)) => *gap,
            _ => unreachable!(),
        })
        .collect();
    let mut feed = Feed::new(settings(follow()), again, at(0));
    let window = crate::domain::Window::new(BASE, BASE + DAY).unwrap();
    feed.handle(at(1), Input::EntryUnreadable { window, print: 7, detail: "made up".into() });
    assert!(!actions(&mut feed, at(1)).iter().any(|a| matches!(a, Action::Notice(Notice::Gap(_)))));
}

/// A single reply without an end, from a device on the way, made a good blob a gap for ever.
#[test]
fn one_reply_that_is_too_large_is_no_gap() {
    let mut jitter = Jitter::new(1);
    let entry = crate::domain::BlobEntry {
        id: crate::domain::ContentId("made-up".into()),
        uri: "https://service.test/made-up".into(),
        created: BASE,
        expires: None,
    };
    for (persistence, provisional) in [(Persistence::poller(), true), (Persistence::one_shot(), false)] {
        let mut blobs = Blobs::new(persistence, DoneSet::default());
        assert!(blobs.add(entry.clone(), false));
        let mut gap = None;
        for attempt in 0..3 {
            assert!(gap.is_none(), "{attempt}");
            let now = Duration::from_secs(100 * attempt);
            let key = blobs.next_fetch(now).unwrap().entry.key();
            let failure = blobs::BlobFailure {
                key,
                fault: &Fault::TooLarge,
                detail: "made up",
                print: None,
                successes: 1,
                floor: Time::MIN,
                asked: true,
            };
            gap = match blobs.failed(failure, now, BASE + now, &mut jitter) {
                blobs::Verdict::Gap(gap) => gap,
                _ => None,
            };
        }
        let gap = gap.unwrap();
        assert_eq!((gap.reason, gap.provisional), (GapReason::TooLarge, provisional));
        assert_eq!(blobs.next_fetch(Duration::from_secs(86_400)).is_some(), provisional, "a poller asks until it has expired");
    }
}

/// Found by the simulation: a backfill whose clock had jumped by one reply, and that had nothing else to ask for, waited for ever.
#[test]
fn a_clock_that_jumped_is_confirmed_although_nothing_else_is_asked_for() {
    let mut feed = Feed::new(settings(range()), memory(BASE - DAY), at(0));
    actions(&mut feed, at(0));
    let id = listing(&told(&mut feed, at(1), Standing::Enabled)).expect("a window");
    // The machine sleeps while the listing is under way, until all of it is too old.
    let woken = |second| Now { wall: BASE + DAY * 9 + Duration::from_secs(second), ..at(second) };
    let date = |now: Now| Some(now.wall.floor_second());
    let (fault, detail, sent) = (Fault::BadReply, String::new(), Duration::from_secs(1));
    feed.handle(woken(2), Input::ListFailed { id, fault, detail, date: date(woken(2)), sent });
    let mut looks = 0;
    for second in 2..60 {
        let now = woken(second);
        for action in actions(&mut feed, now) {
            match action {
                Action::CheckSubscription => {
                    looks += 1;
                    feed.handle(now, Input::Subscription { standing: Standing::Enabled, date: date(now) });
                }
                Action::Notice(Notice::Gap(gap)) => {
                    assert_eq!((gap.reason, looks), (GapReason::OutagePastRetention, 2), "three replies agree then");
                    return;
                }
                _ => {}
            }
        }
    }
    panic!("no gap after {looks} looks");
}
