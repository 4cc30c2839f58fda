//! The canonical runs: the very first start, the restart on what that one left while new blobs have come, and the restart
//! after a kill in the middle of sled's snapshot, which has to be moved aside first. And those of a backfill: the first, the one
//! that goes on, and the one that begins again because a shell has emptied the output of the one before.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::abreast;
use crate::audit::{self, Allowed, Findings, Trust, Wrong};
use crate::calls::{Call, Hit, Kind, plain};
use crate::commits::{lengthen, take_for_own};
use crate::host::{Bench, Host, Order};
use crate::run::{Run, Watch};
use crate::tenant::{Tenant, canonical, of_a_backfill};

/// Of a canonical run no more calls are hit than this, or "every point" would take too long on every change. A poller's make no more at
/// all; a backfill's first run makes some more, which are left out where a poller's start makes the same.
const CALLS_MAX: usize = 120;
/// So many calls before and behind those that are a run's own are hit too.
const AROUND: usize = 4;
/// An output that was written last so long ago is begun anew.
const DAYS_AGO: Duration = Duration::from_secs(3 * 86_400);
/// So often it is done without a fault, to know which calls it makes.
const REHEARSALS: usize = 3;
/// So many of those, and one under the eyes of strace, are done at a time.
pub(crate) const AT_EASE: usize = REHEARSALS + 1;
/// So often a run is begun anew that was not killed where it was to be.
const TRIES: usize = 8;

/// A canonical run.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    base: Base,
    pub(crate) tenant: Arc<Tenant>,
    /// In what state its state is.
    pub(crate) trust: Trust,
    /// What it does when nothing goes wrong.
    pub(crate) run: Run,
    /// What it leaves.
    pub(crate) after: Host,
    /// Calls that are not hit: other runs make them too.
    spared: Vec<Range<usize>>,
}

/// What is there before a run.
#[derive(Debug)]
enum Base {
    Nothing(Order),
    /// What that machine has.
    Of(Host),
    /// The same, but a shell has emptied the output.
    Emptied(Host),
    /// The same, but the output was written last days ago.
    Old(Host),
}

impl Base {
    fn host(&self, bench: &Arc<Bench>) -> Host {
        match self {
            Base::Nothing(order) => bench.host(*order),
            Base::Of(host) => host.twin(),
            Base::Emptied(host) => {
                let mut twin = host.twin();
                twin.order = Order::Backfill;
                take_for_own(&twin);
                fs::write(twin.output(), "").unwrap();
                twin
            }
            Base::Old(host) => {
                let twin = host.twin();
                twin.appended().set_modified(SystemTime::now() - DAYS_AGO).unwrap();
                twin
            }
        }
    }
}

/// The canonical runs, each done once without a fault, under the eyes of strace.
/// With `rare`, also those that few installations ever see.
pub(crate) fn scenes(bench: &Arc<Bench>, watch: Watch, rare: bool, findings: &mut Findings) -> Vec<Scene> {
    let (first, more) = canonical();
    let before = Arc::new(Tenant::serve(first.clone()));
    let after = Arc::new(Tenant::serve([first, more].concat()));
    let mut rehearse = |name, base, tenant, trust| Scene::rehearse(name, base, bench, tenant, (watch, trust), findings);
    let start = rehearse("first", Base::Nothing(Order::Poll), &before, Trust::Whole);
    let clean = &start.after;
    let restart = rehearse("restart", Base::Of(clean.twin()), &after, Trust::Whole);
    // Between the second write and the third of sled's snapshot.
    let snapshot = |call: &&Call| call.name == "write" && call.path.extension().is_some_and(|e| e == "generating");
    let second = |calls: &[Call]| calls.iter().filter(snapshot).nth(1).map(|call| call.number);
    let broken = killed_at(second, &restart.run, || clean.twin(), &after, watch);
    let repair = rehearse("repair", Base::Of(broken), &after, Trust::Whole);
    let mut scenes = Vec::new();
    if rare {
        // sled's file is much longer than what it holds: the values are copied into a new one.
        let long = clean.twin();
        lengthen(&long, clean, &after);
        scenes.push(rehearse("compact", Base::Of(long), &after, Trust::Whole));
        // Behind its witness: copied too, and the old one is kept.
        let old = restart.after.twin();
        fs::remove_dir_all(old.store().parent().unwrap()).unwrap();
        old.take_store_of(clean);
        scenes.push(rehearse("gone-back", Base::Of(old), &after, Trust::Suspect));
        let damaged = clean.twin();
        let store = OpenOptions::new().write(true).open(damaged.store()).unwrap();
        (0..4).for_each(|n| store.write_all_at(&[0x5a; 1_500], n * 2_000 + 30).unwrap());
        scenes.push(rehearse("damaged", Base::Of(damaged), &after, Trust::Suspect));
    }
    check_the_audit(&start, findings);
    scenes.splice(0..0, [start, restart, repair]);
    scenes
}

/// The canonical runs of a backfill. With `rare`, every call of each is to be hit.
pub(crate) fn backfills(bench: &Arc<Bench>, watch: Watch, rare: bool, findings: &mut Findings) -> Vec<Scene> {
    let tenant = Arc::new(Tenant::serve(of_a_backfill()));
    let mut rehearse = |name, base| Scene::rehearse(name, base, bench, &tenant, (watch, Trust::Whole), findings);
    let mut first = rehearse("backfill", Base::Nothing(Order::Backfill));
    // Before a batch that is not its first: its last, where it goes as it usually does.
    let last = |calls: &[Call]| {
        let written =
            calls.iter().filter(|call| call.name == "write" && call.path.file_name() == first.after.output().file_name());
        written.skip(1).last().map(|call| call.number)
    };
    let mut interrupted = killed_at(last, &first.run, || bench.host(Order::Backfill), &tenant, watch);
    assert!(!interrupted.written().is_empty(), "it was killed before a batch that is not its first");
    interrupted.order = Order::Resume;
    let mut resume = rehearse("resume", Base::Of(interrupted.twin()));
    let mut anew = rehearse("anew", Base::Emptied(interrupted));
    if !rare {
        // It makes its store as a poller's first start does.
        let makes = |call: &Call| plain(&call.name) == "mkdir" && call.path == first.after.own_state();
        let has_made = |call: &Call| call.name == "rename" && call.path == first.after.own_state().join("witness.json.new");
        first.spared.push(first.number_of(makes) + AROUND..first.number_of(has_made).saturating_sub(AROUND));
        // It opens its store as a poller's restart does.
        let opens = |call: &Call| call.path == resume.after.own_state().join("lock");
        let goes_on = |call: &Call| call.path == resume.after.own().join("job.json.new");
        let spared = resume.number_of(opens) + AROUND..resume.number_of(goes_on).saturating_sub(AROUND);
        resume.spared.push(spared);
        // And it makes one as the first run does: what is its own lies between.
        let removes =
            |call: &Call| plain(&call.name) == "unlink" && !call.path.starts_with(anew.after.own_state().join("sled.v1"));
        let makes = |call: &Call| plain(&call.name) == "mkdir" && call.path == anew.after.own_state();
        let (first, last) = (anew.number_of(removes), anew.number_of(makes));
        anew.spared = vec![0..first.saturating_sub(AROUND), last + AROUND..usize::MAX];
    }
    vec![first, resume, anew]
}

/// The canonical runs of a poller with another output than a file that a shell has opened: one that the product makes itself, the
/// next day's, and a pipe that is waited for. With `rare`, every call of each is to be hit; else those by which it differs.
pub(crate) fn outputs(bench: &Arc<Bench>, watch: Watch, rare: bool, findings: &mut Findings) -> Vec<Scene> {
    let (first, more) = canonical();
    let before = Arc::new(Tenant::serve(first.clone()));
    let after = Arc::new(Tenant::serve([first, more].concat()));
    let mut rehearse = |name, base, tenant| Scene::rehearse(name, base, bench, tenant, (watch, Trust::Whole), findings);
    let file = rehearse("file", Base::Nothing(Order::File), &before);
    let rotate = rehearse("rotate", Base::Old(file.after.twin()), &after);
    assert_eq!(
        rotate
            .run
            .calls
            .iter()
            .filter(|call| call.second.starts_with(&rotate.after.root) && call.path == rotate.after.output())
            .count(),
        1,
        "it begins a new file"
    );
    let mut piped = file.after.twin();
    piped.order = Order::Drain;
    let drain = rehearse("drain", Base::Of(piped), &after);
    let mut scenes = vec![file, rotate, drain];
    if !rare {
        scenes.iter_mut().for_each(Scene::spare_what_is_of_the_state_alone);
    }
    scenes
}

/// A machine on which a run was killed at the call that is meant, which `meant` finds among the calls of a run. A busy machine may part a
/// batch in two, and then that call has another number than in the usual run: killed elsewhere, it would leave something else.
fn killed_at(
    meant: impl Fn(&[Call]) -> Option<usize>,
    usual: &Run,
    machine: impl Fn() -> Host,
    tenant: &Tenant,
    watch: Watch,
) -> Host {
    let mut at = meant(&usual.calls).expect("the usual run makes the call that is meant");
    for _ in 0..TRIES {
        let mut host = machine();
        let run = host.run(tenant, Watch { hit: Some(Hit { at, kind: Kind::Kill }), ..watch });
        let found = meant(&run.calls);
        if run.hit().is_some_and(|call| Some(call.number) == found) {
            assert_eq!(run.signal(), Some(9), "{}", run.story());
            return host;
        }
        // A run that goes as this one did makes it there.
        at = found.unwrap_or(at);
    }
    panic!("in {TRIES} runs none was killed where it was to be")
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
        let restored = audit::restored(&scene.after.twin().own_state(), &scene.tenant, scene.trust).expect("a good state opens");
        let dead = audit::dead_letters(&scene.after.own(), &scene.tenant);
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
    /// The calls of the usual run that are to be hit.
    pub(crate) fn to_hit(&self) -> impl Iterator<Item = &Call> {
        self.run.calls.iter().filter(|call| !self.spared.iter().any(|spared| spared.contains(&call.number)))
    }

    /// So few calls are to be hit that it can be done on every change.
    pub(crate) fn is_short(&self, findings: &mut Findings) {
        let calls = self.to_hit().count();
        if calls > CALLS_MAX {
            let what = format!("{calls} calls of the run {} are to be hit, more than {CALLS_MAX}", self.name);
            println!("FAILED {what}");
            findings.add(Wrong::Missed, what);
        }
    }

    /// Leaves out what is done to the state, far from anything that is done to the output.
    fn spare_what_is_of_the_state_alone(&mut self) {
        let state = self.after.state();
        let own: Vec<usize> =
            self.run.calls.iter().filter(|call| !call.path.starts_with(&state)).map(|call| call.number).collect();
        let far = |number: &usize| own.iter().all(|own| own.abs_diff(*number) > AROUND);
        self.spared = (1..=self.run.calls.len()).filter(far).map(|number| number..number + 1).collect();
    }

    /// The number of the first such call of the usual run.
    fn number_of(&self, is_it: impl Fn(&Call) -> bool) -> usize {
        let call = self.run.calls.iter().find(|call| is_it(call));
        call.unwrap_or_else(|| panic!("the run {} lacks a call that it is made for", self.name)).number
    }

    /// A machine as it is before the run.
    pub(crate) fn host(&self, bench: &Arc<Bench>) -> Host {
        self.base.host(bench)
    }

    /// True if a run in which the call `aim` was hit, in the place of `meant` of the usual run, was hit where it was to be; if not, `aim`
    /// says which to hit the next time. A run that ends before that call has a batch less than the usual one, or some reads less: what
    /// it does at its end is the same all the same, so the call is sought there, and must have the same name, file and output before it.
    pub(crate) fn has_hit(&self, meant: Hit, aim: &mut Hit, host: &Host, run: &Run) -> bool {
        let (at, of_the_usual) = (aim.at, &self.run.calls);
        let Some(call) = run.hit() else {
            let behind = of_the_usual.len() - meant.at;
            aim.at = run.calls.len().checked_sub(behind).filter(|at| *at > 0).unwrap_or(meant.at);
            return false;
        };
        let usual = &of_the_usual[meant.at - 1];
        aim.at = meant.at;
        let same = || {
            call.label(&host.root) == usual.label(&self.after.root)
                && audit::written_before(call, &run.calls, host) == audit::written_before(usual, of_the_usual, &self.after)
        };
        at == meant.at || same()
    }

    /// A run in which a call was to be hit that it did not make came to its end as one without a fault does.
    pub(crate) fn judge_unhit(&self, host: &Host, run: &Run, findings: &mut Findings) {
        audit::after_restart(host, &self.tenant, run, without_fault(self.trust), findings);
    }

    /// Does a canonical run without a fault, several times, and takes down the calls of the usual one.
    fn rehearse(
        name: &'static str,
        base: Base,
        bench: &Arc<Bench>,
        tenant: &Arc<Tenant>,
        (watch, trust): (Watch, Trust),
        findings: &mut Findings,
    ) -> Scene {
        let watches: Vec<Watch> = (0..=REHEARSALS).map(|n| Watch { strace: n == 0, ..watch }).collect();
        let mut runs = abreast::each(&watches, AT_EASE, |watch| {
            let mut host = base.host(bench);
            let run = host.run(tenant, *watch);
            let mut findings = Findings::default();
            audit::after_restart(&host, tenant, &run, without_fault(trust), &mut findings);
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
        Scene { name, base, tenant: Arc::clone(tenant), trust, run, after, spared: Vec::new() }
    }
}

/// What a run without a fault may leave in the output.
fn without_fault(trust: Trust) -> Allowed {
    Allowed { trust, repeated: trust.repeats(0), ..Allowed::default() }
}

/// strace must have seen no call that could not be hit.
fn compare_with_strace(name: &str, run: &Run, findings: &mut Findings) {
    let mut counts: BTreeMap<(String, PathBuf), (usize, usize)> = BTreeMap::new();
    // A pipe lies outside of what strace is asked about.
    for call in run.calls.iter().filter(|call| !call.is_read() && !audit::is_pipe(&call.path)) {
        // The system marks what has no name any more.
        let path = call.path.to_string_lossy().trim_end_matches(" (deleted)").into();
        counts.entry((plain(&call.name).to_owned(), path)).or_default().0 += 1;
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
