//! Every crash point: each call that touches state, output or lock, in each canonical run, is the last one or fails; then
//! the product is started again and has to bring everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::audit::{self, Allowed, Findings, Trust, Wrong};
use crate::calls::{Hit, Kind};
use crate::host::Bench;
use crate::run::{Run, Watch};
use crate::scene::{AT_EASE, Scene, backfills, outputs, scenes};
use crate::{abreast, value};

/// Cases at a time. Each waits for some seconds: for blobs that are listed late, and before it believes an odd reply.
const WIDTH: usize = 48;
/// So many reads of a run are hit. Of more, every so manieth: the run that makes a smaller store reads each page of the large one.
const READS: usize = 120;
/// How often a point that was not reached is tried again: the order of calls is the schedule's, their number hardly.
const TRIES: usize = 8;
/// The exit code of a run that ends by itself because of SIGTERM.
const TERMINATED: i32 = 143;

/// One crash point, hit in one way.
struct Case<'a> {
    scene: &'a Scene,
    hit: Hit,
    /// Reads count as calls.
    reads: bool,
}

struct Outcome {
    name: String,
    /// What was hit, for a person: the numbers of calls differ a little from one run to the next.
    label: String,
    findings: Findings,
    /// sled failed to read what had been read a moment before, and the state was replaced because of it.
    taken_for_damage: bool,
}

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, options: &[&str]) -> bool {
    let begun = Instant::now();
    let rare = options.contains(&"--all") || options.contains(&"--rare");
    let reads = options.contains(&"--all") || options.contains(&"--reads");
    let width = value(options, "--width").and_then(|n| n.parse().ok()).unwrap_or(WIDTH);
    let mut findings = Findings::default();
    let mut scenes = |reads| {
        let watch = Watch { reads, ..Watch::default() };
        let mut scenes = scenes(bench, watch, rare, &mut findings);
        scenes.extend(backfills(bench, watch, rare, &mut findings));
        scenes.extend(outputs(bench, watch, rare, &mut findings));
        if let Some(name) = value(options, "--scene") {
            scenes.retain(|scene| scene.name == name);
        }
        scenes
    };
    if options.contains(&"--list") {
        list(&scenes(reads));
        return findings.0.is_empty();
    }
    let only = value(options, "--only");
    let calls = if options.contains(&"--reads") { Vec::new() } else { scenes(false) };
    // The number of reads differs from run to run; so that a write is found by its number, reads don't count where it is hit.
    let with_reads = if reads { scenes(true) } else { Vec::new() };
    if options.contains(&"--pairs") {
        return pairs(bench, &calls, width, only, findings);
    }
    if !rare {
        calls.iter().for_each(|scene| scene.is_short(&mut findings));
    }
    let mut kinds = Kind::USUAL.to_vec();
    if options.contains(&"--all") || options.contains(&"--errors") {
        kinds.extend(Kind::RARE);
    }
    let (points, mut cases) = (calls.iter().map(|scene| scene.to_hit().count()).sum::<usize>(), of_calls(&calls, &kinds, rare));
    let (terms, hits) = (cases.iter().filter(|case| case.hit.kind == Kind::Term).count(), cases.len());
    let mut read = 0;
    for scene in &with_reads {
        let reads: Vec<_> = scene.to_hit().filter(|call| call.is_read()).collect();
        read += reads.len();
        for call in reads.iter().step_by(reads.len().div_ceil(READS).max(1)) {
            cases.extend(Kind::OF_READS.map(|kind| Case { scene, hit: Hit { at: call.number, kind }, reads: true }));
        }
    }
    let hit_reads = cases.len() - hits;
    if let Some(only) = only {
        cases.retain(|case| case.name() == only);
    }
    let outcomes = play(&cases, bench, width, only.is_some());
    let taken_for_damage = outcomes.iter().filter(|outcome| outcome.taken_for_damage).count();
    report(outcomes, &mut findings);
    let counts: Vec<String> = calls.iter().map(|scene| format!("{} {}", scene.name, scene.to_hit().count())).collect();
    println!(
        "points: {points} calls ({}) x {} kinds ({}), SIGTERM at {terms}{}: {} crashes and restarts in {} s: {}",
        counts.join(", "),
        kinds.len(),
        kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", "),
        if reads {
            format!(", {hit_reads} errors at {read} reads, {taken_for_damage} of which sled took for damage")
        } else {
            String::new()
        },
        cases.len(),
        begun.elapsed().as_secs(),
        figures(&findings),
    );
    !cases.is_empty() && findings.0.is_empty()
}

/// Plays all cases, so many at a time, and once more, at ease, those whose point was not reached.
fn play(cases: &[Case<'_>], bench: &Arc<Bench>, width: usize, tells: bool) -> Vec<Outcome> {
    let play = |numbers: &[usize], width| abreast::each(numbers, width, |number| (*number, cases[*number].play(bench, tells)));
    let all: Vec<usize> = (0..cases.len()).collect();
    let mut outcomes: BTreeMap<usize, Outcome> = play(&all, width).into_iter().collect();
    let missed = outcomes.iter().filter(|(_, outcome)| outcome.findings.count(Wrong::Missed) > 0);
    let missed: Vec<usize> = missed.map(|(number, _)| *number).collect();
    outcomes.extend(play(&missed, AT_EASE));
    outcomes.into_values().collect()
}

/// Each call of these runs, hit in each of these ways; and SIGTERM. Whoever is asked to end does so in one way, whatever it was about: one
/// run shows it, each if there is time.
fn of_calls<'a>(scenes: &'a [Scene], kinds: &[Kind], rare: bool) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for scene in scenes {
        let asked = scene.trust == Trust::Whole && (rare || scene.name == "first");
        for call in scene.to_hit() {
            let kinds = kinds.iter().copied().chain(asked.then_some(Kind::Term));
            cases.extend(kinds.map(|kind| Case { scene, hit: Hit { at: call.number, kind }, reads: false }));
        }
    }
    cases
}

/// The calls of each canonical run, for a person.
fn list(scenes: &[Scene]) {
    for scene in scenes {
        for call in &scene.run.calls {
            println!("{}:{}: {}", scene.name, call.number, call.label(&scene.after.root));
        }
    }
}

/// Two kills one after the other: at each call of a run, and then at each call of the restart.
fn pairs(bench: &Arc<Bench>, scenes: &[Scene], width: usize, only: Option<&str>, mut findings: Findings) -> bool {
    let begun = Instant::now();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for scene in scenes {
        let kill = |at| Case { scene, hit: Hit { at, kind: Kind::Kill }, reads: false };
        cases.extend(scene.to_hit().map(|call| kill(call.number)));
    }
    if let Some(only) = only {
        cases.retain(|case| case.name() == only);
    }
    let mut kills = 0;
    for (case, (pairs, found)) in abreast::each(&cases, width, |case| (case.name(), case.play_pairs(bench))) {
        kills += pairs;
        for (wrong, what) in found.0 {
            println!("FAILED {case}: {wrong:?}: {what}");
            println!("  repeat: cargo test --release --test crash -- points --pairs --only {case}");
            findings.add(wrong, what);
        }
    }
    println!(
        "pairs: {} first kills, {kills} pairs of a kill in a run and a kill in its restart, in {} s: {}",
        cases.len(),
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    kills > 0 && findings.0.is_empty()
}

/// How many of each kind of finding.
pub(crate) fn figures(findings: &Findings) -> String {
    let each = Wrong::ALL.iter().map(|(wrong, words)| format!("{} {words}", findings.count(*wrong)));
    each.collect::<Vec<_>>().join(", ")
}

fn report(outcomes: Vec<Outcome>, findings: &mut Findings) {
    for outcome in outcomes.into_iter().filter(|outcome| !outcome.findings.0.is_empty()) {
        for (wrong, what) in outcome.findings.0 {
            println!("FAILED {} ({}): {wrong:?}: {what}", outcome.name, outcome.label);
            findings.add(wrong, what);
        }
        println!("  repeat: cargo test --release --test crash -- points --all --only {}", outcome.name);
    }
}

impl Case<'_> {
    fn name(&self) -> String {
        let read = if self.reads { "read-" } else { "" };
        format!("{}:{read}{}:{}", self.scene.name, self.hit.at, self.hit.kind.word())
    }

    /// Kills at the point, and then at each call of the restart. Gives how many pairs that were.
    fn play_pairs(&self, bench: &Arc<Bench>) -> (usize, Findings) {
        let Case { scene, hit, .. } = self;
        let mut findings = Findings::default();
        let mut aim = *hit;
        let killed = (0..TRIES).find_map(|_| {
            let mut host = scene.host(bench);
            let before = host.written().len() as u64;
            let run = host.run(&scene.tenant, Watch { hit: Some(aim), ..Watch::default() });
            if run.hit().is_none() {
                scene.judge_unhit(&host, &run, &mut findings);
            } else {
                let durable = audit::durable_output(before, &run.calls, &host);
                audit::after_crash(&host, &scene.tenant, scene.trust, durable, &mut findings);
            }
            scene.has_hit(*hit, &mut aim, &host, &run).then_some((host, run))
        });
        let Some((first, run)) = killed else {
            findings.add(Wrong::Missed, format!("call {} was not reached in {TRIES} runs", hit.at));
            return (0, findings);
        };
        let batch = audit::last_batch(&run.calls, &first.output());
        for at in 1.. {
            let mut host = first.twin();
            let before = host.written().len() as u64;
            let second = host.carry_on(&scene.tenant, Watch { hit: Some(Hit { at, kind: Kind::Kill }), ..Watch::default() });
            let mut found = Findings::default();
            let mut last = second;
            let mut repeated = batch;
            let reached = last.hit().is_some();
            if reached {
                let durable = audit::durable_output(before, &last.calls, &host);
                audit::after_crash(&host, &scene.tenant, scene.trust, durable, &mut found);
                repeated += audit::last_batch(&last.calls, &host.output());
                last = host.carry_on(&scene.tenant, Watch::default());
            }
            let allowed = Allowed { repeated: scene.trust.repeats(repeated), trust: scene.trust, ..Allowed::default() };
            audit::after_restart(&host, &scene.tenant, &last, allowed, &mut found);
            findings.0.extend(found.0.into_iter().map(|(wrong, what)| (wrong, format!("then at call {at}: {what}"))));
            if !reached {
                return (at - 1, findings);
            }
        }
        unreachable!("a restart comes to its end")
    }

    /// Hits the point, looks at what that leaves, starts again and looks at the end.
    fn play(&self, bench: &Arc<Bench>, tells: bool) -> Outcome {
        let Case { scene, hit, reads } = self;
        let (reads, mut aim) = (*reads, *hit);
        let mut findings = Findings::default();
        for _ in 0..TRIES {
            let mut host = scene.host(bench);
            let before = host.written().len() as u64;
            let run = host.run(&scene.tenant, Watch { hit: Some(aim), reads, ..Watch::default() });
            let has_hit = scene.has_hit(*hit, &mut aim, &host, &run);
            let Some(call) = run.hit() else {
                // It came to its end without a fault, which must be as good an end as a rehearsal's.
                scene.judge_unhit(&host, &run, &mut findings);
                if findings.0.is_empty() {
                    continue;
                }
                let label = format!("a run that did not reach call {}", hit.at);
                return Outcome { name: self.name(), label, findings, taken_for_damage: false };
            };
            if tells {
                println!("{}: hit {}: {}", self.name(), call.label(&host.root), run.story());
            }
            judge_crash(*hit, &run, &mut findings);
            // The store reads everything before sled does (`store/readable.rs`), and if that fails, it says so and touches
            // nothing. What sled reads then is in the system's cache, so this read can't fail but here. If it does, sled takes it
            // for the end of what was written, and comes up older. The witness unmasks that, as it does damage: nothing is lost,
            // but what it does not know comes again.
            let of_sled = call.name == "pread" && call.path != host.output() && hit.kind == Kind::OF_READS[0];
            let trust = if of_sled { Trust::Suspect } else { scene.trust };
            let durable = audit::durable_output(before, &run.calls, &host);
            audit::after_crash(&host, &scene.tenant, trust, durable, &mut findings);
            // Whoever is asked to end commits what it has written.
            let batch = if hit.kind == Kind::Term { 0 } else { audit::last_batch(&run.calls, &host.output()) };
            let repeated = trust.repeats(batch);
            let last = host.carry_on(&scene.tenant, Watch { reads, ..Watch::default() });
            let replaced = |run: &Run| ["state_damaged", "state_rolled_back"].iter().any(|word| run.said.contains(word));
            let taken_for_damage = of_sled && scene.trust == Trust::Whole && (replaced(&run) || replaced(&last));
            // Where the last byte can't be read, a line is ended that may have been whole.
            let blank = usize::from(call.path == host.output() && matches!(call.name.as_str(), "open" | "pread"));
            let allowed = Allowed { repeated, torn: 0, blank, trust };
            audit::after_restart(&host, &scene.tenant, &last, allowed, &mut findings);
            if !has_hit && findings.0.is_empty() {
                continue;
            }
            return Outcome { name: self.name(), label: call.label(&host.root), findings, taken_for_damage };
        }
        let label = scene.run.calls[hit.at - 1].label(&scene.after.root);
        findings.add(Wrong::Missed, format!("{label} was not reached in {TRIES} runs"));
        Outcome { name: self.name(), label, findings, taken_for_damage: false }
    }
}

/// A kill kills, SIGTERM ends in order, and an error ends in an error code or in none: never in a crash or a standstill.
fn judge_crash(hit: Hit, run: &Run, findings: &mut Findings) {
    let expected = match hit.kind {
        Kind::Kill => run.signal() == Some(9) && !run.hung,
        // It may have been about to end anyway.
        Kind::Term => !run.hung && matches!(run.code(), Some(TERMINATED | 0 | 3)),
        Kind::Error(..) => !run.hung && run.signal().is_none() && run.code() != Some(101),
    };
    if !expected {
        findings.add(Wrong::Stuck, format!("the run that was hit: hung: {}, {}", run.hung, run.story()));
    }
}
