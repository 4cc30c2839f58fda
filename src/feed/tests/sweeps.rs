//! What was listed is listed again, as often as its cost allows: that finds what the service lists late.

use super::listings::*;
use super::run::{Run, usual};
use super::*;
use crate::domain::Fault;
use crate::feed::cases::{follow, memory, settings};
use crate::feed::listing::{Broken, HARD_EDGE, Lister, Purpose, SAFE_EDGE};
use crate::feed::{Action, FeedSettings, Input, Memory};

/// Runs each listing that is due, with so many pages, until a sweep of the level ends; returns its windows and their cost.
fn sweep(lister: &mut Lister, level: usize, now: Duration, at: u64, pages: u32, per_minute: u32) -> Vec<(Time, Time)> {
    let mut windows = Vec::new();
    while let Some((id, asked)) = lister.next(now, server(at), true) {
        let purpose = lister.purpose(id).unwrap();
        for page in 1..pages {
            assert_eq!(lister.page(id, Some(&page.to_string()), None), Ok(true));
        }
        assert_eq!(lister.page(id, None, None), Ok(false));
        lister.complete(id, now, per_minute, &mut jitter());
        if purpose == Purpose::Sweep(level) {
            windows.push((asked.from(), asked.to()));
        }
    }
    windows
}

/// Everything listed, and nothing live for a long time: only sweeps remain.
fn listed(look_back: Duration, restored: bool) -> Lister {
    let mut lister = Lister::following(BASE - secs(20 * DAY), BASE, secs(30 * DAY), look_back, restored);
    let (live, ..) = next(&mut lister, ms(1), 3 * HOUR);
    complete(&mut lister, live, ms(1));
    lister.give_up(BASE, Time::MAX);
    lister
}

const AT: u64 = 3 * HOUR;
const OVERLAP: Duration = Duration::from_secs(5 * MINUTE);

#[test]
fn the_look_back_is_swept_every_half_minute_where_that_costs_little() {
    let mut lister = listed(secs(2 * HOUR), false);
    assert!(nothing(&mut lister, ms(29_999), AT));
    assert_eq!(lister.wake(ms(1), server(AT)), Some(secs(30)));
    assert_eq!(sweep(&mut lister, 0, secs(30), AT, 1, 2_000), [(server(HOUR) - OVERLAP, server(AT))]);
    assert_eq!(lister.wake(secs(30), server(AT)), Some(secs(60)));
    assert_eq!(lister.wake(secs(70), server(AT)), Some(secs(71)), "what is due and waits is looked at in a second");
}

#[test]
fn all_of_retention_is_swept_soon_after_a_restart() {
    for (restored, due) in [(true, 0), (false, 60)] {
        let mut lister = listed(secs(2 * HOUR), restored);
        assert!(due == 0 || sweep(&mut lister, 1, secs(due) - ms(1), AT, 1, 2_000).is_empty());
        let windows = sweep(&mut lister, 1, secs(due.max(1)), AT, 1, 2_000);
        assert_eq!(windows.first().unwrap().0, server(AT) - HARD_EDGE, "as much overlap as the service keeps");
        assert_eq!(windows.last().unwrap().1, server(AT));
        assert_eq!(windows[0].1, server(AT) - SAFE_EDGE + secs(23 * HOUR));
        assert!(windows.windows(2).all(|pair| pair[1].0 == pair[0].1 - OVERLAP), "without holes");
        assert_eq!(windows.len(), 8);
    }
}

/// One per cent of the rate for each level: a minute and 40 s for each page at 60 a minute, at most an hour.
#[test]
fn a_sweep_that_costs_more_comes_less_often() {
    for (pages, per_minute, wait) in [(1, 2_000, 30), (2, 60, 200), (3, 60, 300), (1, 12, 500), (1, 1, 3_600), (1, 0, 3_600)] {
        let mut lister = listed(secs(2 * HOUR), false);
        assert_eq!(sweep(&mut lister, 0, secs(30), AT, pages, per_minute).len(), 1);
        let wake = lister.wake(secs(30), server(AT)).unwrap();
        assert_eq!(wake, secs(30 + wait).min(secs(60)), "{pages} pages at {per_minute}");
        // Without the other level, which is due after a minute.
        assert!(sweep(&mut lister, 0, secs(30 + wait) - ms(1), AT, 1, per_minute).is_empty());
        assert_eq!(sweep(&mut lister, 0, secs(30 + wait), AT, 1, per_minute).len(), 1);
    }
}

/// When a level is swept, from its first sweep on, in so many minutes.
fn sweeps_of(lister: &mut Lister, level: usize, minutes: u64) -> Vec<u64> {
    (1..=minutes * 2).map(|half| half * 30).filter(|at| !sweep(lister, level, secs(*at), AT, 1, 2_000).is_empty()).collect()
}

#[test]
fn sweeps_that_find_nothing_come_half_as_often_each_time_down_to_their_calm() {
    let calm = [(0, vec![30, 60, 120, 240, 360, 480, 600]), (1, vec![60, 120, 240, 480, 960, 1_560, 2_160])];
    for (level, expected) in calm {
        let mut lister = listed(secs(2 * HOUR), false);
        assert_eq!(sweeps_of(&mut lister, level, expected.last().unwrap() / 60), expected, "level {level}");
    }
}

/// A blob that a sweep brings where all was listed is a sign that the service lists late: that level begins anew. What is found where
/// nothing was listed so far, or by another listing, is how blobs usually come.
#[test]
fn a_sweep_that_finds_what_was_listed_late_comes_often_again() {
    let comes_often = |created: u64, found_by: Purpose| {
        let mut lister = caught_up(secs(50), ms(1), AT);
        assert_eq!(sweep(&mut lister, 0, secs(30), AT + 30, 1, 2_000).len(), 1);
        // The poll is due too, after 50 s and at most a quarter more.
        let at_once = [(); 2].map(|()| next(&mut lister, secs(65), AT + 65));
        assert_eq!(at_once.map(|(_, purpose, _)| purpose), [Purpose::Live, Purpose::Sweep(0)]);
        for (id, purpose, _) in at_once {
            if purpose == found_by {
                lister.brought(id, server(created));
            }
        }
        for (id, ..) in at_once {
            complete(&mut lister, id, secs(65));
        }
        assert!(sweep(&mut lister, 0, secs(95) - ms(1), AT + 94, 1, 2_000).is_empty());
        let often = !sweep(&mut lister, 0, secs(95), AT + 95, 1, 2_000).is_empty();
        assert!(often || !sweep(&mut lister, 0, secs(125), AT + 125, 1, 2_000).is_empty());
        often
    };
    assert!(comes_often(AT - MINUTE, Purpose::Sweep(0)));
    assert!(comes_often(AT - 1, Purpose::Sweep(0)), "the last second that was listed");
    assert!(!comes_often(AT, Purpose::Sweep(0)), "the first that was not");
    assert!(!comes_often(AT - MINUTE, Purpose::Live));
}

/// A sweep that costs much rests long, and half an hour in which the service worked passed without one.
#[test]
fn after_a_long_outage_all_is_swept_from_the_start() {
    let mut lister = listed(secs(2 * HOUR), false);
    assert_eq!(sweep(&mut lister, 1, secs(60), AT, 1, 3).len(), 8);
    assert!(sweep(&mut lister, 1, secs(2 * HOUR), AT, 1, 3).is_empty(), "it rests");
    lister.sweep_anew(secs(2 * HOUR));
    assert_eq!(sweep(&mut lister, 1, secs(2 * HOUR), AT, 1, 3).len(), 8);
    // One that is under way may have passed over what has come meanwhile.
    lister.sweep_anew(secs(3 * HOUR));
    while let Some((id, window)) = lister.next(secs(3 * HOUR), server(AT), true) {
        let halfway = lister.purpose(id) == Some(Purpose::Sweep(1)) && window.to() > server(AT) - secs(3 * DAY);
        complete(&mut lister, id, secs(3 * HOUR));
        if halfway {
            break;
        }
    }
    lister.sweep_anew(secs(3 * HOUR));
    assert_eq!(sweep(&mut lister, 1, secs(3 * HOUR), AT, 1, 3).len(), 8);
}

#[test]
fn a_sweep_in_several_windows_costs_the_pages_of_all() {
    let mut lister = listed(secs(30 * HOUR), false);
    let windows = sweep(&mut lister, 0, secs(30), AT, 2, 60);
    let start = server(AT) - secs(30 * HOUR);
    assert_eq!(windows, [(start - OVERLAP, start + secs(23 * HOUR)), (start + secs(23 * HOUR) - OVERLAP, server(AT))]);
    assert!(sweep(&mut lister, 0, secs(30 + 400) - ms(1), AT, 1, 60).is_empty(), "four pages at a hundred seconds each");
    assert!(!sweep(&mut lister, 0, secs(30 + 400), AT, 1, 60).is_empty());
}

#[test]
fn no_sweep_reaches_behind_the_beginning_or_the_edge() {
    let mut lister = Lister::following(server(HOUR), server(2 * HOUR), secs(30 * DAY), secs(20 * HOUR), false);
    let (live, ..) = next(&mut lister, ms(1), AT);
    complete(&mut lister, live, ms(1));
    assert_eq!(sweep(&mut lister, 0, secs(30), AT, 1, 2_000), [(server(HOUR) - OVERLAP, server(AT))]);
    let mut lister = listed(secs(30 * DAY), false);
    assert_eq!(sweep(&mut lister, 0, secs(30), AT, 1, 2_000)[0].0, server(AT) - HARD_EDGE);
}

#[test]
fn a_sweep_that_the_edge_has_overtaken_ends() {
    let mut lister = listed(secs(2 * HOUR), false);
    let (id, purpose, _) = next(&mut lister, secs(30), AT);
    assert_eq!(purpose, Purpose::Sweep(0));
    lister.broken(id, Broken::Passing, secs(30), &mut jitter());
    let later = AT + 8 * DAY;
    assert!(sweep(&mut lister, 0, secs(60), later, 1, 2_000).is_empty(), "there is nothing left of it");
    assert!(sweep(&mut lister, 0, secs(90) - ms(1), later, 1, 2_000).is_empty());
    assert_eq!(sweep(&mut lister, 0, secs(90), later, 1, 2_000).len(), 1, "the next one comes in its time");
}

#[test]
fn sweeps_wait_for_room_and_for_the_backlog() {
    let mut lister = listed(secs(2 * HOUR), false);
    assert!(lister.next(secs(30), server(AT), false).is_none());
    let (_, purpose, _) = next(&mut lister, secs(30), AT);
    assert_eq!(purpose, Purpose::Sweep(0));
    assert!(nothing(&mut lister, secs(90), AT), "one at a time");
    assert!(lister.wake(secs(90), server(AT)).unwrap() > secs(20 * DAY), "its end is what is waited for");
}

/// A blob from days ago may be listed late while nobody can look, and have expired before a sweep at few requests a minute has rested.
#[test]
fn the_first_success_after_a_long_outage_begins_the_sweeps_anew() {
    let swept_after = |outage: u64| {
        let fails = secs(HOUR)..secs(HOUR + outage);
        let end = fails.end;
        let settings = FeedSettings { per_minute: 3, ..settings(follow()) };
        let memory = Memory { begin: Some(BASE - secs(20 * DAY)), ..memory(BASE - secs(HOUR)) };
        let mut run = Run::with(settings, memory, move |action, now| match action {
            Action::List { id, .. } if fails.contains(&now.mono) => {
                let (fault, detail, sent) = (Fault::Transient { retry_after: None }, String::new(), now.mono);
                vec![Input::ListFailed { id: *id, fault, detail, date: None, sent }]
            }
            _ => usual(&[], action, now),
        });
        run.until(end + secs(30 * MINUTE));
        let old = |action: &Action| matches!(action, Action::List { window, .. } if window.from() < BASE - secs(6 * DAY));
        run.times(old).into_iter().filter(|at| *at >= end).count()
    };
    assert!(swept_after(70 * MINUTE) > 0);
    assert_eq!(swept_after(50 * MINUTE), 0, "it rests");
}
