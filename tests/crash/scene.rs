//! The canonical runs: the very first start, the restart on what that one left while new blobs have come, and the restart
//! after a kill in the middle of sled's snapshot, which has to be moved aside first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::abreast;
use crate::audit::{self, Allowed, Findings, Wrong};
use crate::calls::{Call, Hit, Kind, plain};
use crate::host::{Bench, Host, Run, Watch};
use crate::tenant::{Tenant, canonical};

/// A canonical run makes no more calls than this, or "every point" would take too long on every change.
const CALLS_MAX: usize = 120;
/// So often it is done without a fault, to know which calls it makes.
const REHEARSALS: usize = 3;

/// A canonical run.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// What is there before it.
    pub(crate) base: Option<Host>,
    pub(crate) tenant: Arc<Tenant>,
    /// What it does when nothing goes wrong.
    pub(crate) run: Run,
    /// What it leaves.
    pub(crate) after: Host,
}

/// The canonical runs, each done once without a fault, under the eyes of strace.
pub(crate) fn scenes(bench: &Arc<Bench>, watch: Watch, findings: &mut Findings) -> Vec<Scene> {
    let (first, more) = canonical();
    let before = Arc::new(Tenant::serve(first.clone()));
    let after = Arc::new(Tenant::serve([first, more].concat()));
    let start = Scene::rehearse("first", None, bench, &before, watch, findings);
    let clean = &start.after;
    let restart = Scene::rehearse("restart", Some(clean.twin()), bench, &after, watch, findings);
    // Between the second write and the third of sled's snapshot.
    let mut broken = clean.twin();
    let snapshot = |call: &&Call| call.name == "write" && call.path.extension().is_some_and(|e| e == "generating");
    let at = restart.run.calls.iter().filter(snapshot).nth(1).expect("a restart writes a snapshot").number;
    let run = broken.poll_once(&after, Watch { hit: Some(Hit { at, kind: Kind::Kill }), ..watch });
    assert_eq!(run.signal(), Some(9), "{}", run.story());
    let repair = Scene::rehearse("repair", Some(broken), bench, &after, watch, findings);
    check_the_audit(&start, findings);
    vec![start, restart, repair]
}

/// An audit that can't fail holds nothing: each thing that it looks for is done here to a good output.
fn check_the_audit(scene: &Scene, findings: &mut Findings) {
    let good = scene.after.written();
    let last_line = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("it has several lines") + 1;
    let output = |output: &[u8]| {
        let mut found = Findings::default();
        audit::check_output(output, scene.tenant.lines(), Allowed::default(), &mut found);
        found
    };
    let claims = |output: &[u8]| {
        let mut found = Findings::default();
        let restored = audit::restored(&scene.after.twin().state(), &scene.tenant).expect("a good state opens");
        let dead = audit::dead_letters(&scene.after.state(), &scene.tenant);
        audit::check_claims(&restored, &scene.tenant.blobs, output, &dead, &mut found);
        found
    };
    let cases = [
        (Wrong::Lost, output(&good[..last_line])),
        (Wrong::Repeated, output(&[&good[..], &good[last_line..]].concat())),
        (Wrong::Torn, output(&[&good[..], &good[last_line..good.len() - 2], b"\n"].concat())),
        (Wrong::Torn, output(&[&good[..], &good[last_line..good.len() - 1], &good[last_line..]].concat())),
        (Wrong::Ahead, claims(&good[..last_line])),
    ];
    for (wrong, found) in cases {
        if found.count(wrong) == 0 {
            println!("FAILED the audit does not see {wrong:?}");
            findings.add(Wrong::Missed, "the audit is blind");
        }
    }
}

impl Scene {
    /// Does a canonical run without a fault, several times, and takes down the calls of the usual one.
    fn rehearse(
        name: &'static str,
        base: Option<Host>,
        bench: &Arc<Bench>,
        tenant: &Arc<Tenant>,
        watch: Watch,
        findings: &mut Findings,
    ) -> Scene {
        let watches: Vec<Watch> = (0..=REHEARSALS).map(|n| Watch { strace: n == 0, ..watch }).collect();
        let mut runs = abreast::each(&watches, watches.len(), |watch| {
            let mut host = base.as_ref().map_or_else(|| bench.host(), Host::twin);
            let run = host.poll_once(tenant, *watch);
            let mut findings = Findings::default();
            audit::after_restart(&host, tenant, &run, Allowed::default(), &mut findings);
            if watch.strace {
                compare_with_strace(name, &run, &mut findings);
            }
            (*watch, run, host, findings)
        });
        for (wrong, what) in runs.iter_mut().flat_map(|(_, _, _, found)| std::mem::take(&mut found.0)) {
            println!("FAILED {name} without a fault: {wrong:?}: {what}");
            findings.add(wrong, what);
        }
        runs.retain(|(watch, ..)| !watch.strace);
        // A busy machine may part a batch in two; the usual run is the one of middle length.
        runs.sort_by_key(|(_, run, ..)| run.calls.len());
        let (_, run, after, _) = runs.swap_remove(REHEARSALS / 2);
        let made = run.calls.iter().filter(|call| !call.is_read()).count();
        if made > CALLS_MAX {
            findings.add(Wrong::Missed, format!("the run {name} makes {made} calls, more than {CALLS_MAX}"));
        }
        Scene { name, base, tenant: Arc::clone(tenant), run, after }
    }
}

/// strace must have seen no call that could not be hit.
fn compare_with_strace(name: &str, run: &Run, findings: &mut Findings) {
    let mut counts: BTreeMap<(String, PathBuf), (usize, usize)> = BTreeMap::new();
    for call in run.calls.iter().filter(|call| !call.is_read()) {
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
