//! Every crash point: each call that touches state, output or lock, in three canonical runs, is the last one or fails; then
//! the product is started again and has to bring everything.
//!
//! The three runs: the very first start, the restart on what that one left while new blobs have come, and the restart after
//! a kill in the middle of sled's snapshot, which has to be moved aside first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::audit::{self, Allowed, Findings, Wrong};
use crate::calls::{Call, Hit, Kind, plain};
use crate::host::{Bench, Host, Run, Watch};
use crate::tenant::{Tenant, canonical};
use crate::{abreast, value};

/// A canonical run makes no more calls than this, or "every point" would take too long on every change.
const CALLS_MAX: usize = 120;
/// Cases at a time. Each waits for two seconds, for blobs that are listed late.
const WIDTH: usize = 16;
/// How often a point that was not reached is tried again: the order of calls is the schedule's, their number hardly.
const TRIES: usize = 4;

/// A canonical run.
struct Scene {
    name: &'static str,
    /// What is there before it.
    base: Option<Host>,
    tenant: Arc<Tenant>,
    /// What it does when nothing goes wrong.
    calls: Vec<Call>,
    root: PathBuf,
}

/// One crash point, hit in one way.
struct Case<'a> {
    scene: &'a Scene,
    hit: Hit,
}

struct Outcome {
    name: String,
    findings: Findings,
}

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, options: &[&str]) -> bool {
    let begun = Instant::now();
    let reads = options.contains(&"--all") || options.contains(&"--reads");
    let width = value(options, "--width").and_then(|n| n.parse().ok()).unwrap_or(WIDTH);
    let mut findings = Findings::default();
    let scenes = scenes(bench, reads, &mut findings);
    let mut kinds = Kind::USUAL.to_vec();
    if options.contains(&"--all") {
        kinds.extend(Kind::RARE);
    }
    let mut cases: Vec<Case<'_>> = Vec::new();
    for scene in &scenes {
        for call in &scene.calls {
            cases.extend(kinds.iter().map(|kind| Case { scene, hit: Hit { at: call.number, kind: *kind } }));
        }
    }
    let counts: Vec<String> = scenes.iter().map(|scene| format!("{} {}", scene.name, scene.calls.len())).collect();
    let points: usize = scenes.iter().map(|scene| scene.calls.len()).sum();
    let only = value(options, "--only");
    if let Some(only) = only {
        cases.retain(|case| case.name() == only);
    }
    let outcomes = abreast::each(&cases, width, |case| case.play(bench, reads, only.is_some()));
    report(outcomes, reads, &mut findings);
    println!(
        "points: {points} calls ({}) x {} kinds ({}): {} crashes and restarts in {} s: {}",
        counts.join(", "),
        kinds.len(),
        kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", "),
        cases.len(),
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    !cases.is_empty() && findings.0.is_empty()
}

/// How many of each kind of finding.
pub(crate) fn figures(findings: &Findings) -> String {
    let each = Wrong::ALL.iter().map(|(wrong, words)| format!("{} {words}", findings.count(*wrong)));
    each.collect::<Vec<_>>().join(", ")
}

fn report(outcomes: Vec<Outcome>, reads: bool, findings: &mut Findings) {
    let reads = if reads { " --reads" } else { "" };
    for outcome in outcomes.into_iter().filter(|outcome| !outcome.findings.0.is_empty()) {
        for (wrong, what) in outcome.findings.0 {
            println!("FAILED {}: {wrong:?}: {what}", outcome.name);
            findings.add(wrong, what);
        }
        println!("  repeat: cargo test --release --test crash -- points{reads} --only {}", outcome.name);
    }
}

/// The canonical runs, each done once without a fault, under the eyes of strace.
fn scenes(bench: &Arc<Bench>, reads: bool, findings: &mut Findings) -> Vec<Scene> {
    let (first, more) = canonical();
    let before = Arc::new(Tenant::serve(first.clone()));
    let after = Arc::new(Tenant::serve([first, more].concat()));
    let (start, clean) = rehearse("first", bench.host(), None, &before, reads, findings);
    let (restart, _) = rehearse("restart", clean.twin(), Some(clean.twin()), &after, reads, findings);
    // Between the second write and the third of sled's snapshot.
    let mut broken = clean.twin();
    let snapshot = |call: &&Call| call.name == "write" && call.path.extension().is_some_and(|e| e == "generating");
    let at = restart.calls.iter().filter(snapshot).nth(1).expect("a restart writes a snapshot").number;
    let run = broken.poll_once(&after, Watch { hit: Some(Hit { at, kind: Kind::Kill }), reads, ..Watch::default() });
    assert_eq!(run.signal(), Some(9), "{}", run.story());
    let (repair, _) = rehearse("repair", broken.twin(), Some(broken), &after, reads, findings);
    vec![start, restart, repair]
}

/// Does a canonical run without a fault and takes down its calls.
fn rehearse(
    name: &'static str,
    mut host: Host,
    base: Option<Host>,
    tenant: &Arc<Tenant>,
    reads: bool,
    findings: &mut Findings,
) -> (Scene, Host) {
    let run = host.poll_once(tenant, Watch { reads, strace: true, ..Watch::default() });
    let found = findings.0.len();
    audit::after_restart(&host, tenant, &run, Allowed { repeated: 0, torn: 0 }, findings);
    compare_with_strace(name, &run, findings);
    let written = run.calls.iter().filter(|call| !matches!(call.name.as_str(), "read" | "pread")).count();
    if written > CALLS_MAX {
        findings.add(Wrong::Missed, format!("the run {name} makes {written} calls, more than {CALLS_MAX}"));
    }
    findings.0[found..].iter().for_each(|(wrong, what)| println!("FAILED {name} without a fault: {wrong:?}: {what}"));
    (Scene { name, base, tenant: Arc::clone(tenant), calls: run.calls, root: host.root.clone() }, host)
}

/// strace must have seen no call that could not be hit.
fn compare_with_strace(name: &str, run: &Run, findings: &mut Findings) {
    let mut counts: BTreeMap<(String, PathBuf), (usize, usize)> = BTreeMap::new();
    for call in run.calls.iter().filter(|call| !matches!(call.name.as_str(), "read" | "pread")) {
        counts.entry((plain(&call.name).to_owned(), call.path.clone())).or_default().0 += 1;
    }
    for seen in &run.traced {
        counts.entry(seen.clone()).or_default().1 += 1;
    }
    for ((call, path), (counted, seen)) in counts.iter().filter(|(_, (counted, seen))| counted != seen) {
        let what = format!("{name}: strace saw {seen} of {call} {}, {counted} can be hit", path.display());
        findings.add(Wrong::Missed, what);
    }
    if run.traced.is_empty() {
        findings.add(Wrong::Missed, format!("{name}: strace saw nothing"));
    }
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{}:{}:{}", self.scene.name, self.hit.at, self.hit.kind.word())
    }

    /// Hits the point, looks at what that leaves, starts again and looks at the end.
    fn play(&self, bench: &Arc<Bench>, reads: bool, tells: bool) -> Outcome {
        let Case { scene, hit } = self;
        let mut findings = Findings::default();
        for _ in 0..TRIES {
            let mut host = scene.base.as_ref().map_or_else(|| bench.host(), Host::twin);
            let before = host.written().len() as u64;
            let run = host.poll_once(&scene.tenant, Watch { hit: Some(*hit), reads, ..Watch::default() });
            let Some(call) = run.hit() else { continue };
            if tells {
                println!("{}: hit {}: {}", self.name(), call.label(&host.root), run.story());
            }
            judge_crash(*hit, &run, &mut findings);
            let durable = audit::durable_output(before, &run.calls, &host.output());
            audit::after_crash(&host, &scene.tenant, durable, &mut findings);
            let repeated = audit::last_batch(&run.calls, &host.output());
            let last = host.poll_once(&scene.tenant, Watch { reads, ..Watch::default() });
            audit::after_restart(&host, &scene.tenant, &last, Allowed { repeated, torn: 0 }, &mut findings);
            let name = format!("{} ({})", self.name(), call.label(&host.root));
            return Outcome { name: if findings.0.is_empty() { name } else { self.name() }, findings };
        }
        let label = scene.calls[hit.at - 1].label(&scene.root);
        findings.add(Wrong::Missed, format!("{label} was not reached in {TRIES} runs"));
        Outcome { name: self.name(), findings }
    }
}

/// A kill kills, and an error ends in an error code or in none: never in a crash or a standstill.
fn judge_crash(hit: Hit, run: &Run, findings: &mut Findings) {
    let expected = match hit.kind {
        Kind::Kill => run.signal() == Some(9) && !run.hung,
        Kind::Error(..) => !run.hung && run.signal().is_none() && run.code() != Some(101),
    };
    if !expected {
        findings.add(Wrong::Stuck, format!("the run that was hit: hung: {}, {}", run.hung, run.story()));
    }
}
