//! Kills at random moments, again and again: the poller as it follows a tenant, and every start after a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::{self, Allowed, Findings, Wrong};
use crate::dice::Dice;
use crate::host::{Bench, Host, Watch};
use crate::points::figures;
use crate::tenant::{Tenant, many};
use crate::{abreast, value};

/// Kills in one life of a state directory; then it is carried on to its end and looked at.
const KILLS: u64 = 25;
/// Blobs of the tenant: many batches.
const BLOBS: u64 = 400;
/// The most blobs in a batch: what one kill may repeat.
const BATCH_BLOBS: usize = 64;
/// While a run opens its state, in microseconds.
const OPENING: u64 = 30_000;
/// While it collects.
const COLLECTING: u64 = 200_000;
/// Right after it has written something: its commit follows.
const COMMITTING: u64 = 12_000;

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, options: &[&str]) -> bool {
    let begun = Instant::now();
    let number = |name, otherwise| value(options, name).map_or(otherwise, |n| n.parse().expect("a number is given"));
    let cycles: u64 = number("--cycles", 2 * KILLS);
    let width = usize::try_from(number("--width", 4)).unwrap();
    let seed = number("--seed", begun_at());
    let tenant = Tenant::serve_haltingly(many(BLOBS));
    let lives: Vec<u64> = (0..cycles.div_ceil(KILLS)).map(|life| seed.wrapping_add(life)).collect();
    let mut findings = Findings::default();
    let (mut kills, mut interrupted, mut repeated) = (0, 0, 0);
    for (seed, life) in abreast::each(&lives, width, |seed| (*seed, live(bench, &tenant, *seed))) {
        (kills, interrupted, repeated) = (kills + life.kills, interrupted + life.interrupted, repeated + life.repeated);
        for (wrong, what) in life.findings.0 {
            println!("FAILED a life of seed {seed}: {wrong:?}: {what}");
            println!("  repeat: cargo test --release --test crash -- random --cycles {KILLS} --seed {seed}");
            findings.add(wrong, what);
        }
    }
    println!(
        "random: {kills} kills in {} lives (seed {seed}), {interrupted} before all was delivered, {repeated} lines came again, in {} s: {}",
        lives.len(),
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    findings.0.is_empty()
}

fn begun_at() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

struct Life {
    kills: u64,
    /// Kills before everything was out.
    interrupted: u64,
    repeated: u64,
    findings: Findings,
}

/// One state directory from its first start through all its kills to its end.
fn live(bench: &Arc<Bench>, tenant: &Tenant, seed: u64) -> Life {
    let mut life = Life { kills: 0, interrupted: 0, repeated: 0, findings: Findings::default() };
    let mut dice = Dice::new(seed);
    let mut host = bench.host();
    let mut marks = vec![0];
    for _ in 0..KILLS {
        let stdout = host.appended();
        let mut child = host.start(tenant, false, stdout.into());
        let most = [OPENING, COLLECTING, COMMITTING][usize::try_from(dice.below(3)).unwrap()];
        if most == COMMITTING {
            wait_until_longer(&host, *marks.last().expect("it begins with one"));
        }
        std::thread::sleep(Duration::from_micros(dice.below(most)));
        if let Some(status) = child.try_wait().unwrap() {
            life.findings.add(Wrong::Stuck, format!("it ended by itself: {status}"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        life.kills += 1;
        let output = host.written();
        let out: BTreeSet<&[u8]> = audit::lines(&output).0.into_iter().collect();
        life.interrupted += u64::from(tenant.lines().any(|line| !out.contains(line.as_bytes())));
        marks.push(output.len());
    }
    let last = host.poll_once(tenant, Watch::default());
    let output = host.written();
    marks.push(output.len());
    // How much may come again is told by blobs, for each run by itself.
    let allowed = Allowed { repeated: u64::MAX, torn: usize::try_from(KILLS).unwrap(), ..Allowed::default() };
    audit::after_restart(&host, tenant, &last, allowed, &mut life.findings);
    audit::check_said(&host.said(), &mut life.findings);
    life.repeated = check_repeated(&output, &marks, tenant, &mut life.findings);
    life
}

/// Waits until something comes out, or for as long as a run takes that has nothing to write any more.
fn wait_until_longer(host: &Host, length: usize) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(COLLECTING) {
        if std::fs::metadata(host.output()).is_ok_and(|output| output.len() > length as u64) {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// What each kill leaves to be repeated is one batch at most. Gives how many lines came again.
///
/// A run can repeat more than one batch: what several kills before it left, if none of the runs between got to a commit. So
/// each repeated line is charged to the run that wrote it last.
fn check_repeated(output: &[u8], marks: &[usize], tenant: &Tenant, findings: &mut Findings) -> u64 {
    let blob_of: BTreeMap<&[u8], usize> =
        tenant.blobs.iter().enumerate().flat_map(|(n, blob)| blob.lines().map(move |(_, line)| (line.as_bytes(), n))).collect();
    let mut last_writer: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut uncommitted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut lines = 0;
    for (run, reach) in marks.windows(2).enumerate() {
        // A run that was killed in the middle of a line ends in a part of one, which its successor ends.
        for line in output[reach[0]..reach[1]].split(|byte| *byte == b'\n') {
            let Some(blob) = blob_of.get(line) else { continue };
            if let Some(writer) = last_writer.insert(line, run) {
                uncommitted.entry(writer).or_default().insert(*blob);
                lines += 1;
            }
        }
    }
    for (run, again) in uncommitted.iter().filter(|(_, again)| again.len() > BATCH_BLOBS) {
        findings.add(Wrong::Repeated, format!("of run {run} {} blobs come again", again.len()));
    }
    lines
}
