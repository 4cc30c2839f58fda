//! The runs: many seeds, one seed told, each mutant caught.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Figures, run};
use crate::mutant::{self, Mutant};
use crate::store::tests::mutants::{OURS, caught};

/// Seeds that `cargo test` runs.
const SEEDS: u64 = 20_000;
/// Seeds within which a mutant must be seen.
const MUTANT_SEEDS: u64 = 20_000;
/// The loss paths that the simulation sees.
const MUTANTS: &[Mutant] = &[
    Mutant::P1,
    Mutant::P2,
    Mutant::P3,
    Mutant::P4,
    Mutant::P5,
    Mutant::P6,
    Mutant::P8,
    Mutant::P9,
    Mutant::P10,
    Mutant::P11,
    Mutant::P11b,
    Mutant::P12,
    Mutant::P13,
    Mutant::P14,
    Mutant::P15,
    Mutant::P16,
    Mutant::P16b,
    Mutant::P17,
    Mutant::P18,
];
/// Failing seeds that are told before a run is broken off.
const TOLD: usize = 10;

pub(super) fn say(text: &str) {
    // Not through the test harness, which shows what passing tests say to nobody.
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run_all(first: u64, count: u64) -> (Figures, Vec<(u64, String)>) {
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
                        Err(why) => all.1.push((seed, why)),
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
    for (seed, why) in &failed {
        say(&format!("seed {seed}: {why}\n    DEFENDER_FEED_SEED={seed} cargo test --lib simulation::tests::replay"));
    }
    say(&format!(
        "{} seeds, {} steps ({} to {} a seed), {:.0} simulated days, {} faults, {} crashes, {} commits, {} lines, {} of them repeated; \
         {} backfills beside a poller with {} lines, {} bad neighbours; {:.1} s\n{}",
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
        figures.backfills,
        figures.backfilled,
        figures.neighbours,
        began.elapsed().as_secs_f64(),
        figures.faults.print()
    ));
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
    if count >= SEEDS {
        assert_eq!(figures.faults.empty(), [""; 0], "these never met");
    }
}

/// Each loss path of another collector, seeded into the shipped code, is seen.
#[test]
fn mutants() {
    let mut survivors = Vec::new();
    for seeded in MUTANTS {
        let next = AtomicU64::new(0);
        let caught = Mutex::new(None::<(u64, String)>);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while caught.lock().unwrap().is_none() {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= MUTANT_SEEDS {
                            return;
                        }
                        if let Err(why) = mutant::with(*seeded, || run(seed, false))
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
            None => survivors.push(seeded),
        }
    }
    let by_simulation = MUTANTS.len() - survivors.len();
    survivors.extend(OURS.iter().filter(|seeded| !caught(**seeded)));
    let all = MUTANTS.len() + OURS.len();
    say(&format!(
        "{} of {all} mutants caught: {by_simulation} by the simulation, {} by the tests of store and sink",
        all - survivors.len(),
        all - survivors.len() - by_simulation
    ));
    assert!(survivors.is_empty(), "not caught within {MUTANT_SEEDS} seeds: {survivors:?}");
}

/// Tells one seed step by step, if one is asked for.
#[test]
fn replay() {
    let Some(seed) = number("DEFENDER_FEED_SEED") else { return };
    let result = run(seed, true);
    assert!(result.is_ok(), "seed {seed}: {result:?}");
}
