//! Two lives of one disk: a process is killed at a call, or a sync fails it; another one goes on; then the power is lost.
//!
//! What the first had not synced may be lost after the second life as well, unless the second synced it: it must not take for durable
//! what it only sees. And a sync that failed must have ended in no commit of what it was to make durable.

use std::sync::Arc;
use std::time::Instant;

use crate::abreast;
use crate::audit::{self, Allowed, Findings, Trust, Wrong};
use crate::calls::{Call, Hit, Kind};
use crate::dice::Dice;
use crate::disk::{Disk, Luck};
use crate::host::{Bench, Order};
use crate::points::figures;
use crate::power::{Tape, is_commit};
use crate::run::Watch;
use crate::scene::Scene;

/// Cases at a time: each waits for some seconds, and opens some states.
const WIDTH: usize = 24;
/// How often a call that was not reached is tried again.
const TRIES: usize = 8;
/// The loss of everything that was not synced (`disk.rs`, `Luck`).
const NOTHING: u64 = 0;
/// A loss that is drawn.
const DRAWN: u64 = 5;

struct Case<'a> {
    scene: &'a Scene,
    hit: Hit,
}

#[derive(Default)]
struct Played {
    /// Losses of power that were looked at.
    losses: usize,
    findings: Findings,
}

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, scenes: &[Scene], only: Option<&str>, mut findings: Findings) -> bool {
    let begun = Instant::now();
    let mut cases: Vec<Case<'_>> = Vec::new();
    // What is suspect already is replaced by the second life.
    for scene in scenes.iter().filter(|scene| scene.trust == Trust::Whole) {
        for call in scene.run.calls.iter().filter(|call| !call.is_read()) {
            cases.push(Case { scene, hit: Hit { at: call.number, kind: Kind::Kill } });
            if is_sync(call) {
                cases.push(Case { scene, hit: Hit { at: call.number, kind: Kind::USUAL[2] } });
            }
        }
    }
    if let Some(only) = only {
        cases.retain(|case| case.name() == only);
    }
    let mut losses = 0;
    for (name, played) in abreast::each(&cases, WIDTH, |case| (case.name(), case.play(bench))) {
        losses += played.losses;
        for (wrong, what) in played.findings.0 {
            println!("FAILED {name}: {wrong:?}: {what}");
            println!("  repeat: cargo test --release --test crash -- power --all --backfill --second --only {name}");
            findings.add(wrong, what);
        }
    }
    println!(
        "power: {} first lives ended by a kill or a failed sync, {losses} losses of power in the lives after them, in {} s: {}",
        cases.len(),
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    losses > 0 && findings.0.is_empty()
}

fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync")
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{}:{}:{}", self.scene.name, self.hit.at, self.hit.kind.word())
    }

    fn play(&self, bench: &Arc<Bench>) -> Played {
        let mut aim = self.hit;
        (0..TRIES).find_map(|_| self.try_once(bench, &mut aim)).unwrap_or_else(|| {
            let mut played = Played::default();
            let label = self.scene.run.calls[self.hit.at - 1].label(&self.scene.after.root);
            played.findings.add(Wrong::Missed, format!("{label} was not reached in {TRIES} runs"));
            played
        })
    }

    /// `None` if the call was not reached, or another one was hit, and all was well; then `aim` says which is hit the next time.
    fn try_once(&self, bench: &Arc<Bench>, aim: &mut Hit) -> Option<Played> {
        let (scene, mut played) = (self.scene, Played::default());
        let mut host = scene.host(bench);
        let mut disk = Disk::of(&host.root);
        if host.order != Order::File {
            disk.ensure_file(&host.output());
        }
        let watch = Watch { data: true, ..Watch::default() };
        let first = host.run(&scene.tenant, Watch { hit: Some(*aim), ..watch });
        let has_hit = scene.has_hit(self.hit, aim, &host, &first);
        if first.hit().is_none() {
            scene.judge_unhit(&host, &first, &mut played.findings);
            return (!played.findings.0.is_empty()).then_some(played);
        }
        // A backfill that has nothing to go on with begins again.
        let begins_again = !host.is_taken_up();
        if host.order.is_a_backfill() {
            host.order = if begins_again { Order::Backfill } else { Order::Resume };
        }
        let second = host.run(&scene.tenant, watch);
        if !begins_again {
            let repeated = scene.trust.repeats(audit::last_batch(&first.calls, &host.output()));
            let allowed = Allowed { repeated, trust: scene.trust, ..Allowed::default() };
            audit::after_restart(&host, &scene.tenant, &second, allowed, &mut played.findings);
        }
        let mut tape = Tape::new(bench, scene, &host, disk);
        tape.play(&first, &mut played.findings, |_, _, _| {});
        played.lose_power(&mut tape, NOTHING, self.hit.at as u64);
        if begins_again {
            tape.begin_again();
        }
        // At one of its commits, and at its end.
        let commits = second.calls.iter().filter(|call| is_commit(call, &host)).count() as u64;
        let (chosen, mut seen) = (Dice::new(self.hit.at as u64).below(commits), 0);
        let Played { losses, findings } = &mut played;
        let mut at_a_commit = Played::default();
        tape.play(&second, findings, |tape, call, _| {
            if is_commit(call, tape.host) {
                if seen == chosen {
                    at_a_commit.lose_power(tape, DRAWN, self.hit.at as u64);
                }
                seen += 1;
            }
        });
        *losses += at_a_commit.losses;
        findings.0.append(&mut at_a_commit.findings.0);
        played.lose_power(&mut tape, NOTHING, self.hit.at as u64);
        (has_hit || !played.findings.0.is_empty()).then_some(played)
    }
}

impl Played {
    fn lose_power(&mut self, tape: &mut Tape<'_>, case: u64, seed: u64) {
        let mut dice = Dice::new(seed);
        let luck = Luck::of(case, &mut dice);
        let image = tape.disk.lose_power(luck, &mut dice);
        self.losses += 1;
        tape.check(&image, &mut self.findings);
    }
}
