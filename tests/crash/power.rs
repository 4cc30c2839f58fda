//! Loss of power at every call of the canonical runs: the state as a disk may have it then is opened by the store itself.
//!
//! It has to open without being called damaged, with everything that had been committed, and without a claim that the
//! durable part of the output does not bear out. Some of the cases are then carried on by the real binary to their end.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use defender_feed::store::Restored;

use crate::audit::{self, Allowed, Findings, Wrong};
use crate::calls::Call;
use crate::dice::Dice;
use crate::disk::{Disk, Image, Luck};
use crate::host::{Bench, Host, Order};
use crate::points::figures;
use crate::run::{Run, Watch};
use crate::scene::{Scene, backfills, outputs, scenes};
use crate::{abreast, second, value};

/// What may be left at each call: so many cases.
const CASES: u64 = 16;
/// One in so many cases is carried on to its end by the real binary.
const FINISH_EVERY: u64 = 64;
/// States opened at a time: that is work for a core.
const WIDTH: usize = 4;

/// One loss of power: after so many calls, with that luck.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    scene: &'a Recorded<'a>,
    /// So many calls were made.
    after: usize,
    seed: u64,
}

/// A canonical run with the data of its writes.
#[derive(Debug)]
struct Recorded<'a> {
    scene: &'a Scene,
    /// The disk after so many calls, from 0.
    disks: Vec<Disk>,
    /// What was committed by then.
    committed: Vec<Option<Arc<Restored>>>,
    /// What had come out in the end.
    output: Vec<u8>,
}

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, options: &[&str]) -> bool {
    let begun = Instant::now();
    let number = |name, otherwise| value(options, name).map_or(otherwise, |n| n.parse().expect("a number is given"));
    let (cases_each, every) = (number("--cases", CASES), usize::try_from(number("--finish-every", FINISH_EVERY)).unwrap());
    let only = value(options, "--only");
    let mut findings = Findings::default();
    let rare = options.contains(&"--all");
    let watch = Watch { data: true, ..Watch::default() };
    let mut scenes = scenes(bench, watch, rare, &mut findings);
    if options.contains(&"--backfill") {
        // One that begins again holds nothing for true that is in its state.
        scenes.extend(backfills(bench, watch, true, &mut findings).into_iter().filter(|scene| scene.name != "anew"));
    }
    // What went through a pipe is on no disk.
    scenes.extend(outputs(bench, watch, true, &mut findings).into_iter().filter(|scene| scene.after.order == Order::File));
    if options.contains(&"--second") {
        return second::run(bench, &scenes, only, findings);
    }
    let recorded: Vec<Recorded<'_>> = scenes.iter().map(|scene| Recorded::of(bench, scene, None, &mut findings)).collect();
    let points: usize = recorded.iter().map(|recorded| recorded.disks.len()).sum();
    let mut cases = Vec::new();
    for scene in &recorded {
        for after in 0..scene.disks.len() {
            cases.extend((0..cases_each).map(|seed| Case { scene, after, seed }));
        }
    }
    if let Some(only) = only {
        cases.retain(|case| case.name() == only);
    }
    let known = Mutex::new(HashSet::new());
    let opened = abreast::each(&cases, WIDTH, |case| case.open(bench, &known));
    let different = opened.iter().flatten().count();
    let finish: Vec<Case<'_>> = match only {
        Some(_) => cases.clone(),
        // Of an output in several files the torn beginning of the last batch could lie in each.
        // One in so many, of each kind of loss in turn.
        None => {
            let whole = cases.iter().filter(|case| case.scene.scene.after.order != Order::File).enumerate();
            let turn = |n: usize| (n / every) % usize::try_from(cases_each).unwrap();
            whole.filter(|(n, _)| n % every == turn(*n) % every).map(|(_, case)| *case).collect()
        }
    };
    let finished = abreast::each(&finish, 32, |case| case.finish(bench));
    for (name, found) in opened.into_iter().flatten().chain(finished) {
        for (wrong, what) in found.0 {
            println!("FAILED {name}: {wrong:?}: {what}");
            println!("  repeat: cargo test --release --test crash -- power --all --backfill --cases {cases_each} --only {name}");
            findings.add(wrong, what);
        }
    }
    if only.is_none() {
        check_the_check(bench, &scenes[0], &mut findings);
    }
    println!(
        "power: {points} moments x {cases_each} losses of what was not synced, {different} different states opened, {} carried on to \
         the end, in {} s: {}",
        finish.len(),
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    !cases.is_empty() && findings.0.is_empty()
}

/// A check that can't fail holds nothing: with the syncs of the output or of the store left out it must find something.
fn check_the_check(bench: &Arc<Bench>, scene: &Scene, findings: &mut Findings) {
    for (deaf, wrong) in [(scene.after.output(), Wrong::Ahead), (scene.after.store(), Wrong::Lost)] {
        let recorded = Recorded::of(bench, scene, Some(&deaf), findings);
        let cases: Vec<Case<'_>> = (0..recorded.disks.len()).map(|after| Case { scene: &recorded, after, seed: 0 }).collect();
        let known = Mutex::new(HashSet::new());
        let opened = abreast::each(&cases, WIDTH, |case| case.open(bench, &known));
        if opened.iter().flatten().all(|(_, found)| found.count(wrong) == 0) {
            println!("FAILED the check does not see that {} is never synced", deaf.display());
            findings.add(Wrong::Missed, "the check is blind");
        }
    }
}

impl<'a> Recorded<'a> {
    /// `deaf`: a file whose syncs are forgotten.
    fn of(bench: &Arc<Bench>, scene: &'a Scene, deaf: Option<&Path>, findings: &mut Findings) -> Self {
        let root = &scene.after.root;
        // The run began on a copy of its base, in a directory of its own.
        let base = scene.host(bench);
        let mut disk = Disk::of(&base.root).moved(&base.root, root);
        if scene.after.order != Order::File {
            disk.ensure_file(&scene.after.output());
        }
        deaf.iter().for_each(|path| disk.forget_syncs_of(path));
        let mut recorded = Recorded { scene, disks: vec![disk.clone()], committed: vec![None], output: scene.after.written() };
        let mut tape = Tape::new(bench, scene, &scene.after, disk);
        tape.play(&scene.run, findings, |tape, _, findings| {
            recorded.committed.push(tape.committed(findings));
            recorded.disks.push(tape.disk.clone());
        });
        recorded
    }
}

/// A disk under the calls of one run or of several, and what was committed by then.
pub(crate) struct Tape<'a> {
    bench: &'a Arc<Bench>,
    scene: &'a Scene,
    /// Where those runs took place.
    pub(crate) host: &'a Host,
    pub(crate) disk: Disk,
    /// The disk with all that was written to it, as of the last sync of the store; `None` once it was looked at.
    synced: Option<Image>,
    committed: Option<Arc<Restored>>,
}

impl<'a> Tape<'a> {
    pub(crate) fn new(bench: &'a Arc<Bench>, scene: &'a Scene, host: &'a Host, disk: Disk) -> Self {
        Tape { bench, scene, host, disk, synced: None, committed: None }
    }

    /// Takes up a run, call by call.
    pub(crate) fn play(&mut self, run: &Run, findings: &mut Findings, mut after: impl FnMut(&mut Self, &Call, &mut Findings)) {
        let mut data = run.data.as_slice();
        for call in &run.calls {
            let length = if is_write(call) { call.result.map_or(0, |n| usize::try_from(n).unwrap()) } else { 0 };
            let (bytes, rest) = data.split_at(length);
            data = rest;
            self.disk.apply(call, bytes);
            if is_commit(call, self.host) {
                self.synced = Some(self.disk.lose_power(Luck::of(1, &mut Dice::new(0)), &mut Dice::new(0)));
            }
            after(self, call, findings);
        }
        if !data.is_empty() {
            let what = format!("{}: {} bytes were written by no call that is known", self.scene.name, data.len());
            findings.add(Wrong::Missed, what);
        }
    }

    /// What was committed by now.
    pub(crate) fn committed(&mut self, findings: &mut Findings) -> Option<Arc<Restored>> {
        // Everything is known to be there: this is what was committed.
        if let Some(all) = self.synced.take() {
            let host = self.bench.host(self.host.order);
            all.lay_out(&self.host.root, &host.root, &self.host.output());
            match audit::restored(&host.own_state(), &self.scene.tenant, self.scene.trust) {
                Ok(restored) => self.committed = Some(Arc::new(restored)),
                Err(why) => findings.add(Wrong::Unreadable, format!("{}, with all that was written: {why}", self.scene.name)),
            }
        }
        self.committed.clone()
    }

    /// Forgets what was committed: a run that begins again is not bound to it.
    pub(crate) fn begin_again(&mut self) {
        (self.synced, self.committed) = (None, None);
    }

    /// What is there after a loss of power now must open, claim nothing that is not there, and lack nothing that was committed.
    pub(crate) fn check(&mut self, image: &Image, findings: &mut Findings) {
        let committed = self.committed(findings);
        let durable = self.disk.durable_output(&self.host.output());
        check_image(self.bench, self.scene, self.host, image, (&durable, committed.as_deref()), findings);
    }
}

/// Opens what is left of what that machine had, and holds it against the durable output and what was committed.
fn check_image(
    bench: &Arc<Bench>,
    scene: &Scene,
    of: &Host,
    image: &Image,
    (durable, committed): (&[u8], Option<&Restored>),
    findings: &mut Findings,
) {
    let host = bench.host(of.order);
    image.lay_out(&of.root, &host.root, &of.output());
    let dead = audit::dead_letters(&host.own(), &scene.tenant);
    match audit::restored(&host.own_state(), &scene.tenant, scene.trust) {
        Ok(restored) => {
            audit::check_claims(&restored, &scene.tenant.blobs, durable, &dead, findings);
            if let Some(committed) = committed {
                check_kept(committed, &restored, findings);
            }
        }
        Err(why) => findings.add(Wrong::Unreadable, why),
    }
}

/// True if the store is synced by it.
pub(crate) fn is_commit(call: &Call, host: &Host) -> bool {
    call.name == "fsync" && call.result.is_ok() && call.made && call.path == host.store()
}

fn is_write(call: &Call) -> bool {
    matches!(call.name.as_str(), "write" | "pwrite")
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{}:{}:{}", self.scene.scene.name, self.after, self.seed)
    }

    fn image(&self) -> Image {
        let mut dice = Dice::new(self.seed.wrapping_mul(1_000_003).wrapping_add(self.after as u64));
        let luck = Luck::of(self.seed, &mut dice);
        self.scene.disks[self.after].lose_power(luck, &mut dice)
    }

    /// Opens what is left; `None` if that was opened before.
    fn open(&self, bench: &Arc<Bench>, known: &Mutex<HashSet<(String, usize, u64)>>) -> Option<(String, Findings)> {
        let image = self.image();
        let key = (self.scene.scene.name.to_owned(), self.after, image.print());
        if !known.lock().unwrap().insert(key) {
            return None;
        }
        let mut findings = Findings::default();
        let scene = self.scene.scene;
        let durable = self.scene.disks[self.after].durable_output(&scene.after.output());
        let committed = self.scene.committed[self.after].as_deref();
        check_image(bench, scene, &scene.after, &image, (&durable, committed), &mut findings);
        Some((self.name(), findings))
    }

    /// Starts the real binary on what is left, and looks at the end.
    fn finish(&self, bench: &Arc<Bench>) -> (String, Findings) {
        let mut findings = Findings::default();
        let scene = self.scene.scene;
        let mut host = bench.host(scene.after.order);
        self.image().lay_out(&scene.after.root, &host.root, &scene.after.output());
        let durable = self.scene.disks[self.after].durable_length(&scene.after.output());
        let written: usize = self.written();
        // Of what was appended but not synced some beginning is there.
        let kept = durable + usize::try_from(Dice::new(self.seed).below((written - durable + 1) as u64)).unwrap();
        fs::write(host.output(), &self.scene.output[..kept]).unwrap();
        let run = host.carry_on(&scene.tenant, Watch::default());
        let batch = audit::last_batch(&scene.run.calls[..self.after], &scene.after.output());
        let allowed = Allowed { repeated: scene.trust.repeats(batch), torn: 1, blank: 0, trust: scene.trust };
        audit::after_restart(&host, &scene.tenant, &run, allowed, &mut findings);
        (self.name(), findings)
    }

    /// How far the output was written, synced or not.
    fn written(&self) -> usize {
        let mut length = self.scene.disks[0].durable_length(&self.scene.scene.after.output());
        for call in &self.scene.scene.run.calls[..self.after] {
            if is_write(call) && call.path == self.scene.scene.after.output() {
                length += call.result.map_or(0, |n| usize::try_from(n).unwrap());
            }
        }
        length
    }
}

/// Nothing that was committed is gone.
fn check_kept(committed: &Restored, restored: &Restored, findings: &mut Findings) {
    let mut lost = Vec::new();
    for (bucket, prints) in committed.done.buckets() {
        let now: Vec<u64> =
            restored.done.buckets().filter(|(b, _)| *b == bucket).flat_map(|(_, prints)| prints.to_vec()).collect();
        lost.extend(prints.iter().filter(|print| !now.contains(print)).map(|print| format!("the done blob {print:x}")));
    }
    if restored.floor < committed.floor {
        lost.push(format!("the floor {:?}", committed.floor));
    }
    for part in &committed.parts {
        let kept = restored.parts.iter().any(|now| now.key == part.key && now.elements >= part.elements);
        if !kept && !restored.done.contains(part.key) {
            lost.push(format!("a part of {}", part.key.created));
        }
    }
    for gap in committed.gaps.iter().filter(|gap| !restored.gaps.iter().any(|now| now.id == gap.id)) {
        lost.push(format!("the gap of {}", gap.from));
    }
    if !lost.is_empty() {
        findings.add(Wrong::Lost, format!("committed, and gone: {}", lost.join(", ")));
    }
}
