//! The runs: many seeds, one seed told, each mutant caught.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fate::Fate;
use super::{Figures, run};
use crate::mutant::{self, Mutant, Watcher};
use crate::store::tests::mutants::caught;

/// Seeds that `cargo test` runs.
const SEEDS: u64 = 20_000;
/// Seeds within which a mutant must be seen.
const MUTANT_SEEDS: u64 = 20_000;
/// Where the search begins for those that few seeds see. It goes on from there: a change of the schedules costs time, not the proof.
const SEEN_NEAR: [(Mutant, u64); 3] = [(Mutant::P1, 10_190), (Mutant::P10, 5_780), (Mutant::P13b, 515)];
/// Failing seeds that are told before a run is broken off.
const TOLD: usize = 10;

pub(super) fn say(text: &str) {
    // Not through the test harness, which shows what passing tests say to nobody.
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run_all(first: u64, count: u64) -> (Figures, Vec<u64>) {
    let next = AtomicU64::new(first);
    let all = Mutex::new((Figures::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || all.lock().unwrap().1.len() >= TOLD {
                        return;
                    }
                    let result = run(seed, false);
                    let mut all = all.lock().unwrap();
                    match result {
                        Ok(figures) => all.0.add(&figures),
                        Err(why) => {
                            // At once: a run of a million takes long enough to begin looking for the reason meanwhile.
                            say(&format!(
                                "seed {seed}: {why}\n    DEFENDER_FEED_SEED={seed} cargo test --lib simulation::tests::replay"
                            ));
                            all.1.push(seed);
                        }
                    }
                }
            });
        }
    });
    all.into_inner().unwrap()
}

#[test]
fn seeds() {
    let count = number("DEFENDER_FEED_SEEDS").unwrap_or(SEEDS);
    let first = number("DEFENDER_FEED_FIRST_SEED").unwrap_or(0);
    let began = std::time::Instant::now();
    let (figures, failed) = run_all(first, count);
    say(&format!(
        "{} seeds, {} steps ({} to {} a seed), {:.0} simulated days, {} faults, {} crashes, {} commits, {} lines, {} of them repeated; \
         processes lived {:.0} days, one of them {:.1}; {} seeds without an end of it, {} backfills beside a poller with {} lines, {} bad neighbours, {} started by cron, {} with endless listings; {:.1} s\n{}",
        figures.seeds,
        figures.steps,
        figures.fewest_steps,
        figures.most_steps,
        figures.days,
        figures.faults.total(),
        figures.crashes,
        figures.commits,
        figures.lines,
        figures.repeated,
        figures.lived,
        figures.longest_life,
        figures.steady,
        figures.backfills,
        figures.backfilled,
        figures.neighbours,
        figures.once,
        figures.endless,
        began.elapsed().as_secs_f64(),
        figures.faults.print()
    ));
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
    if count >= SEEDS {
        assert_eq!(figures.faults.empty(), [""; 0], "these never met");
    }
}

/// Each loss path of another collector, seeded into the shipped code, is seen.
#[test]
fn mutants() {
    let (ours, stores) = (Mutant::seen_by(Watcher::Simulation), Mutant::seen_by(Watcher::Store));
    let mut survivors = Vec::new();
    for seeded in &ours {
        let first = SEEN_NEAR.iter().find(|(mutant, _)| mutant == seeded).map_or(0, |(_, near)| *near);
        let next = AtomicU64::new(first);
        let caught = Mutex::new(None::<(u64, String)>);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while caught.lock().unwrap().is_none() {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + MUTANT_SEEDS {
                            return;
                        }
                        // A loss path is not seen by another schedule's bad manners, or by what a run by cron did not get to.
                        if Fate::of(seed).once {
                            continue;
                        }
                        if let Err(why) = mutant::with(*seeded, || run(seed, false))
                            && !why.starts_with("R26")
                            && run(seed, false).is_ok()
                        {
                            caught.lock().unwrap().get_or_insert((seed, why));
                        }
                    }
                });
            }
        });
        match caught.into_inner().unwrap() {
            Some((seed, why)) => {
                say(&format!("{seeded:?}: caught by seed {seed}: {}", why.chars().take(160).collect::<String>()))
            }
            None => survivors.push(*seeded),
        }
    }
    let by_simulation = ours.len() - survivors.len();
    survivors.extend(stores.iter().filter(|seeded| !caught(**seeded)));
    let all = ours.len() + stores.len();
    say(&format!(
        "{} of {all} mutants caught: {by_simulation} by the simulation, {} by the tests of store and sink",
        all - survivors.len(),
        all - survivors.len() - by_simulation
    ));
    assert!(survivors.is_empty(), "not caught within {MUTANT_SEEDS} seeds: {survivors:?}");
}

/// A seed that fails can be told again: nothing but the seed decides.
#[test]
fn a_seed_always_runs_the_same() {
    for seed in 0..40 {
        let once = run(seed, false).map(|figures| format!("{figures:?}"));
        let again = run(seed, false).map(|figures| format!("{figures:?}"));
        assert_eq!(once, again, "seed {seed}");
    }
}

/// A state that was lost while each page held one blob, and a quota below the rate: a third of its half hour were pauses, and two blobs
/// of 72 came later. It was asked for them all the same.
#[test]
fn pauses_after_throttled_requests_are_no_working_time() {
    assert_eq!(run(230_207, false).map(|_| ()), Ok(()));
}

/// Tells one seed step by step, if one is asked for.
#[test]
fn replay() {
    let Some(seed) = number("DEFENDER_FEED_SEED") else { return };
    let result = run(seed, true);
    assert!(result.is_ok(), "seed {seed}: {result:?}");
}
