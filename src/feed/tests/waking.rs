//! When the core wants to be called again: never in a circle, never too late.

use super::listings::HOUR;
use super::run::{Run, usual};
use super::*;
use crate::feed::cases::{date, follow, memory, range, stretch};
use crate::feed::{Action, Input, Memory, Standing};

/// What is asked for stays unanswered, subscription and commits aside.
fn silent(plan: crate::feed::Plan, memory: Memory) -> Run {
    let mut run = Run::new(plan, memory, |action, now| match action {
        Action::List { .. } | Action::Fetch(_) => Vec::new(),
        _ => usual(&[], action, now),
    });
    run.step();
    run
}

fn wake(run: &Run) -> Duration {
    run.feed.wake(run.clocks()).unwrap()
}

#[test]
fn with_nothing_to_wait_for_the_hourly_commit_is_next() {
    let mut run = Run::new(follow(), Memory::default(), |_, _| Vec::new());
    run.step();
    assert_eq!(wake(&run), secs(3_601));
    run.now = secs(600);
    assert_eq!(wake(&run), secs(3_601));
}

#[test]
fn a_batch_with_the_writer_is_nothing_to_wake_for() {
    let mut run = Run::new(follow(), Memory::default(), |action, now| match action {
        Action::CheckSubscription => vec![Input::Subscription { standing: Standing::Enabled, date: date(now) }],
        _ => Vec::new(),
    });
    run.step();
    assert!(matches!(run.log.last(), Some((_, Action::Notice(_))) | Some((_, Action::Seal { .. }))));
    let now = run.clocks();
    run.feed.record_gap(now, stretch());
    run.now = secs(5_000);
    assert_eq!(wake(&run), secs(5_000 + 3_600), "neither age nor hour of what can't be sealed");
}

#[test]
fn a_batch_wakes_when_it_is_old_enough() {
    let mut run = silent(follow(), memory(BASE - secs(HOUR)));
    let now = run.clocks();
    run.feed.record_gap(now, stretch());
    assert_eq!(wake(&run), ms(1_250));
}

#[test]
fn a_one_shot_run_wakes_when_it_has_settled_and_a_poller_need_not() {
    let mut run = silent(range(), Memory::default());
    for (now, expected) in [(ms(1_250), ms(1_700)), (ms(1_699), ms(1_701)), (ms(1_700), secs(3_601)), (secs(4), secs(3_601))] {
        run.now = now;
        assert_eq!(wake(&run), expected, "{now:?}");
    }
    let mut run = silent(follow(), memory(BASE - secs(10)));
    run.now = ms(1_500);
    assert!(wake(&run) > secs(3), "{:?}", wake(&run));
}

#[test]
fn a_poller_wakes_for_its_listings_until_it_is_stopped() {
    let mut run = Run::new(follow(), memory(BASE - secs(HOUR)), |action, now| usual(&[], action, now));
    run.until(secs(20));
    assert!(secs(20) < wake(&run) && wake(&run) <= secs(61), "{:?}", wake(&run));
    let (mut run, blob) = (silent(follow(), memory(BASE - secs(HOUR))), entry(0));
    let listed = run.log.iter().find_map(|(_, action)| match action {
        Action::List { id, .. } => Some(*id),
        _ => None,
    });
    run.handle(Input::Entries { id: listed.unwrap(), entries: vec![blob] });
    assert_eq!(wake(&run), run.now + ms(2), "a blob waits for its turn, and nobody spins");
    run.step();
    assert_eq!(run.fetched().len(), 1);
    run.handle(Input::Stop);
    assert_eq!(wake(&run), secs(3_601), "only what is under way is waited for");
}

#[test]
fn a_page_that_waits_for_its_turn_wakes_at_once_and_a_pause_is_kept() {
    let mut run = silent(follow(), memory(BASE - secs(HOUR)));
    let listed = run.log.iter().find_map(|(_, action)| match action {
        Action::List { id, .. } => Some(*id),
        _ => None,
    });
    let now = run.clocks();
    run.handle(Input::PageEnd { id: listed.unwrap(), next: Some("page".into()), date: date(now) });
    assert_eq!(wake(&run), run.now + ms(2));
    run.handle(Input::Paused { until: secs(50) });
    assert_eq!(wake(&run), secs(50));
}
