//! What is told of a failure, what is asked for again, and when a one-shot run has had enough.

use super::listings::HOUR;
use super::run::{Run, usual};
use super::*;
use crate::domain::{Fault, Refusal};
use crate::feed::cases::{date, follow, memory, range};
use crate::feed::listing::ListingId;
use crate::feed::{Action, Finish, Input, Memory, Moment, Notice, Now, Plan};

const PASSING: Fault = Fault::Transient { retry_after: None };

fn broken(id: ListingId, fault: Fault, now: Now) -> Input {
    Input::ListFailed { id, fault, detail: "made up".into(), date: date(now), sent: now.mono }
}

/// A service that lists nothing but this fault.
fn failing(plan: Plan, fault: Fault) -> Run {
    let memory = if plan.is_one_shot() { Memory::default() } else { memory(BASE - secs(60)) };
    Run::new(plan, memory, move |action, now| match action {
        Action::List { id, .. } => vec![broken(*id, fault.clone(), now)],
        _ => usual(&[], action, now),
    })
}

fn is_list(action: &Action) -> bool {
    matches!(action, Action::List { .. })
}

#[test]
fn each_failure_of_a_listing_is_told_once_in_its_own_words() {
    let (fault, detail) = (PASSING, String::from("made up"));
    let failed = |fault| Notice::Failed { fault, detail: detail.clone() };
    for (fault, notice) in [
        (fault, failed(PASSING)),
        (Fault::BadReply, failed(Fault::BadReply)),
        (Fault::StalePage, Notice::ListingBroken { detail: detail.clone(), halved: None }),
        (Fault::WindowRefused, Notice::ListingBroken { detail: detail.clone(), halved: None }),
        (Fault::Refused(Refusal::Bug), Notice::Refused { refusal: Refusal::Bug, detail: detail.clone(), first_contact: false }),
        (Fault::AuditingOff, Notice::AuditingOff { detail: detail.clone(), first_contact: false }),
    ] {
        let mut run = Run::new(follow(), memory(BASE - ms(500)), |action, now| match action {
            Action::List { .. } => Vec::new(),
            _ => usual(&[], action, now),
        });
        run.step();
        let told = run.log.len();
        let now = run.clocks();
        run.handle(broken(ListingId(0), fault.clone(), now));
        run.log.drain(..told);
        run.step();
        assert_eq!(run.notices(), [notice], "{fault}");
    }
}

#[test]
fn a_first_contact_that_is_refused_is_told_as_such() {
    for (fault, refused) in [(Fault::Refused(Refusal::WrongTenant), true), (Fault::AuditingOff, false)] {
        let mut run = Run::new(follow(), Memory::default(), move |action, now| match action {
            Action::CheckSubscription => {
                vec![Input::SubscriptionFailed { fault: fault.clone(), detail: "made up".into(), date: date(now) }]
            }
            _ => usual(&[], action, now),
        });
        run.until(secs(1_000));
        let told = |notice: &Notice| !matches!(notice, Notice::FirstStart { .. });
        let (detail, first_contact) = ("made up".into(), true);
        let notice = match refused {
            true => Notice::Refused { refusal: Refusal::WrongTenant, detail, first_contact },
            false => Notice::AuditingOff { detail, first_contact },
        };
        let notices: Vec<_> = run.notices().into_iter().filter(told).collect();
        assert_eq!(notices, [notice.clone(), notice], "after a quarter of an hour again");
        assert_eq!(run.times(|action| *action == Action::CheckSubscription), [secs(1), secs(901)]);
    }
}

#[test]
fn throttling_is_told_with_its_pause() {
    for plan in [follow(), range()] {
        let mut run = failing(plan, Fault::Throttled { retry_after: Some(secs(20)) });
        run.now = secs(100);
        run.step();
        let notices = run.notices();
        let [.., Notice::Throttled { pause, per_minute: 1_400 }] = &notices[..] else { panic!("{notices:?}") };
        assert!(secs(20) <= *pause && *pause <= secs(25), "{pause:?}");
        assert!(!notices.iter().any(|notice| matches!(notice, Notice::Failed { .. })));
        let asked = run.times(is_list).len();
        run.until(secs(119));
        assert_eq!(run.times(is_list).len(), asked, "nothing is asked for meanwhile");
        run.until(secs(127));
        assert!(run.times(is_list).len() > asked);
    }
}

#[test]
fn a_listing_without_a_subscription_has_it_looked_at() {
    for fault in [Fault::NoSubscription, Fault::SubscriptionDisabled, Fault::Refused(Refusal::Unknown), Fault::AuditingOff] {
        let mut run = failing(follow(), fault);
        run.until(secs(20));
        let checks = run.times(|action| *action == Action::CheckSubscription);
        assert!(checks.len() >= 2 && secs(2) <= checks[1], "{checks:?}");
    }
}

/// What the pages and their failures look like to the service.
fn paged(faults: Vec<Fault>) -> Run {
    let mut faults = faults.into_iter();
    Run::new(range(), Memory::default(), move |action, now| match action {
        Action::List { id, .. } => vec![Input::PageEnd { id: *id, next: Some("page2".into()), date: date(now) }],
        Action::NextPage { id, url, .. } => {
            assert_eq!(url, "page2");
            match faults.next() {
                Some(fault) => vec![broken(*id, fault, now)],
                None => usual(&[], action, now),
            }
        }
        _ => usual(&[], action, now),
    })
}

#[test]
fn a_page_that_fails_in_passing_is_asked_for_again_and_a_stale_one_is_listed_anew() {
    let asked = |faults| {
        let mut run = paged(faults);
        run.until(secs(60));
        assert_eq!(run.finish(), Some(Finish::Complete));
        let pages = run.times(|action| matches!(action, Action::NextPage { .. })).len();
        (run.times(is_list).len(), pages)
    };
    let clean = asked(Vec::new());
    assert_eq!(asked(vec![PASSING; 3]), (clean.0, clean.1 + 3));
    assert_eq!(asked(vec![Fault::StalePage]), (clean.0 + 1, clean.1 + 1));
    assert_eq!(asked(vec![Fault::WindowRefused]), (clean.0 + 1, clean.1 + 1));
    assert_eq!(asked(vec![PASSING; 5]), (clean.0 + 1, clean.1 + 5), "it is not tried for ever");
}

/// A blob that is not there answered all the while, so that the run did not end.
#[test]
fn a_run_whose_listings_are_throttled_for_an_hour_ends_though_something_else_works() {
    let mut run = Run::new(Plan::Once, memory(BASE - secs(5 * HOUR)), |action, now| match action {
        Action::List { id, .. } => vec![broken(*id, Fault::Throttled { retry_after: None }, now)],
        _ => usual(&[], action, now),
    });
    for minute in 1..120 {
        run.until(secs(60 * minute));
        let date = date(run.clocks());
        run.handle(Input::Subscription { standing: crate::feed::Standing::Enabled, date });
        if let Some(finish) = run.finish() {
            assert!(matches!(finish, Finish::Unreachable { .. }), "{finish:?}");
            assert!((60..70).contains(&minute), "{minute}");
            return;
        }
    }
    panic!("it never ends");
}

/// Each refusal was followed by a look at the subscription, and each look that succeeded began the hour anew.
#[test]
fn a_run_whose_last_blobs_are_only_throttled_ends_after_an_hour_of_it() {
    let mut run = Run::new(Plan::Once, memory(BASE - secs(5 * HOUR)), |action, now| match action {
        Action::Fetch(order) => {
            let (key, fault, detail) = (order.entry.key(), Fault::Throttled { retry_after: None }, "made up".into());
            vec![Input::BlobFailed { key, fault, detail, print: None, date: date(now) }]
        }
        _ => usual(&[entry(0)], action, now),
    });
    run.until(secs(50 * 60));
    assert_eq!(run.finish(), None);
    run.until(secs(80 * 60));
    assert!(matches!(run.finish(), Some(Finish::Unreachable { .. })), "{:?}", run.finish());
}

#[test]
fn a_listing_that_fails_takes_no_other_listings_page_with_it() {
    let mut run = Run::new(follow(), memory(BASE - secs(5 * HOUR)), |action, now| match action {
        Action::List { .. } | Action::NextPage { .. } => Vec::new(),
        _ => usual(&[], action, now),
    });
    run.step();
    let now = run.clocks();
    for id in [0, 1].map(ListingId) {
        run.handle(Input::PageEnd { id, next: Some(format!("of {id:?}")), date: date(now) });
    }
    run.handle(broken(ListingId(0), Fault::StalePage, now));
    run.until(secs(3));
    let pages = run.log.iter().filter_map(|(_, action)| match action {
        Action::NextPage { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(pages.collect::<Vec<_>>(), [ListingId(1)]);
}

#[test]
fn pages_that_go_round_in_a_circle_are_told() {
    let mut run = Run::new(follow(), memory(BASE - secs(60)), |action, now| match action {
        Action::List { id, .. } | Action::NextPage { id, .. } => {
            vec![Input::PageEnd { id: *id, next: Some("page".into()), date: date(now) }]
        }
        _ => usual(&[], action, now),
    });
    run.step();
    let told = run.notices().into_iter().filter(|notice| matches!(notice, Notice::ListingBroken { .. })).count();
    assert!(told >= 1);
}

#[test]
fn a_one_shot_run_gives_a_window_up_after_fifteen_failures() {
    let mut run = failing(range(), Fault::WindowRefused);
    run.until(secs(3_000));
    assert_eq!(run.times(is_list).len(), 15);
    assert_eq!(run.finish(), Some(Finish::Unreachable { detail: "a window could not be listed: window refused".into() }));
    let mut run = failing(follow(), Fault::WindowRefused);
    run.until(secs(3_000));
    assert!(run.times(is_list).len() > 15 && run.finish().is_none(), "a poller does not");
}

#[test]
fn a_one_shot_run_gives_up_a_service_that_stays_away() {
    let refused = |refusal| Finish::Refused { refusal, detail: "made up".into() };
    let unreachable = Finish::Unreachable { detail: "made up".into() };
    for (fault, finish, after, before) in [
        (PASSING, unreachable.clone(), 600, 700),
        (Fault::Refused(Refusal::WrongTenant), refused(Refusal::WrongTenant), 137, 180),
        (Fault::AuditingOff, refused(Refusal::TenantRejected), 137, 180),
        (Fault::Throttled { retry_after: Some(secs(600)) }, unreachable.clone(), 3_600, 4_400),
        // Short pauses are many failures of one window in that hour, and no reason to give it up earlier.
        (Fault::Throttled { retry_after: Some(secs(30)) }, unreachable, 3_600, 4_400),
    ] {
        let answer_fault = fault.clone();
        // The subscription is only had once: what is asked about it later fails as well.
        let mut had = false;
        let mut run = Run::new(range(), Memory::default(), move |action, now| match action {
            Action::List { id, .. } => vec![broken(*id, answer_fault.clone(), now)],
            Action::CheckSubscription if std::mem::replace(&mut had, true) => {
                vec![Input::SubscriptionFailed { fault: answer_fault.clone(), detail: "made up".into(), date: date(now) }]
            }
            _ => usual(&[], action, now),
        });
        run.until(secs(10_000));
        assert_eq!(run.finish(), Some(finish), "{fault}");
        let ended = run.times(|action| matches!(action, Action::Finish(_)))[0];
        assert!(secs(after) <= ended && ended <= secs(before), "{fault}: {ended:?}");
        let failed = run.notices().iter().any(|notice| matches!(notice, Notice::Failed { .. }));
        assert_eq!(failed, fault == PASSING, "the others have words of their own");
    }
    for fault in [PASSING, Fault::AuditingOff, Fault::Throttled { retry_after: Some(secs(60)) }] {
        let mut run = failing(follow(), fault);
        run.until(secs(10_000));
        assert_eq!(run.finish(), None);
    }
}

#[test]
fn trouble_narrows_what_is_fetched_at_once() {
    let mut run = failing(follow(), PASSING);
    run.step();
    assert_eq!(run.feed.status(run.clocks()).width, 4, "one failure is no trouble");
    run.until(secs(60));
    let status = run.feed.status(run.clocks());
    assert_eq!((status.width, status.worked), (1, true));
}

/// The edge of retention passes while the clocks differ: nothing is called lost, and a one-shot run says why it ends.
#[test]
fn clocks_that_differ_write_nothing_off() {
    let ahead = |plan, memory| {
        Run::new(plan, memory, |action, now| {
            let ahead = Now { mono: now.mono + secs(2 * HOUR), wall: now.wall };
            usual(&[], action, ahead)
        })
    };
    let mut run = ahead(follow(), memory(BASE - secs(200 * HOUR)));
    run.until(secs(700));
    let told = run
        .notices()
        .into_iter()
        .filter(|notice| matches!(notice, Notice::ClockDisagrees { ms: Some(7_198_000..=7_200_000), .. }));
    assert_eq!(told.count(), 3, "every five minutes");
    assert!(!run.notices().iter().any(|notice| matches!(notice, Notice::Gap(_))));
    let plan = Plan::Range { from: Moment::At(BASE - secs(200 * HOUR)), to: Moment::Ago(Duration::ZERO) };
    let mut run = ahead(plan, Memory::default());
    run.until(secs(700));
    let Some(Finish::Unreachable { detail }) = run.finish() else { panic!("{:?}", run.finish()) };
    assert!(detail.contains("differ by 7199 s"), "{detail}");
}

/// Found by the simulation: an address that was wrong in two listings was tried at each turn, and not listed again for a day.
#[test]
fn a_poller_looks_for_a_better_address_at_each_turn() {
    let blob = BlobEntry { created: server(1) - secs(40 * 3600), ..entry(0) };
    let wrong = BlobEntry { uri: "https://elsewhere.example/0".into(), ..blob.clone() };
    let listed = wrong.clone();
    let mut run = Run::new(follow(), memory(server(1) - secs(50 * 3600)), move |action, now| match action {
        Action::Fetch(order) if order.entry.uri == wrong.uri => {
            let (key, fault) = (order.entry.key(), Fault::ForeignOrigin);
            vec![Input::BlobFailed { key, fault, detail: "made up".into(), print: None, date: None }]
        }
        _ if now.mono < secs(7200) => usual(std::slice::from_ref(&listed), action, now),
        _ => usual(std::slice::from_ref(&blob), action, now),
    });
    run.until(secs(7200));
    let mut quiet = Run::new(follow(), memory(server(1) - secs(50 * 3600)), |action, now| usual(&[], action, now));
    quiet.until(secs(7200));
    let looks = run.times(is_list).len() - quiet.times(is_list).len();
    assert!((10..40).contains(&looks), "{looks} further listings for one blob in two hours");
    assert!(run.claims().iter().all(|claim| claim.done.is_empty()));
    run.until(secs(7200 + 25 * 60));
    assert!(run.claims().iter().any(|claim| !claim.done.is_empty()), "within half an hour in which the service is right");
}
