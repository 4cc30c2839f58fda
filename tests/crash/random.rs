//! Kills at random moments, again and again: the poller as it follows a tenant, and every start after a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use defender_feed::simulator::SimClock;

use crate::audit::{self, Allowed, Claims, Findings, Trust, Wrong};
use crate::dice::Dice;
use crate::host::{Bench, Host, Order};
use crate::points::figures;
use crate::run::Watch;
use crate::tenant::{Tenant, many};
use crate::{abreast, value};

/// Kills in one life of a state directory; then it is carried on to its end and looked at.
const KILLS: u64 = 25;
/// So many lives meet everything.
const MANY_LIVES: usize = 4;
/// Blobs of the tenant: many batches.
const BLOBS: u64 = 400;
/// The most blobs in a batch: what one kill may repeat.
const BATCH_BLOBS: usize = 64;
/// While a run opens its state, in microseconds.
const OPENING: Range<u64> = 0..30_000;
/// While it collects.
const COLLECTING: Range<u64> = 0..200_000;
/// Right after it has written something: its commit follows.
const COMMITTING: Range<u64> = 0..12_000;
/// Right after the first dead letter is kept: more follow, and the commits.
const BURYING: Range<u64> = 0..400_000;
/// A run that is to end has asked often enough for a blob with an odd element by then, and believes it. One run of a life is
/// such a one: a run that follows the tenant takes twice as long.
const BELIEVING: Duration = Duration::from_secs(10);

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, options: &[&str]) -> bool {
    let begun = Instant::now();
    let number = |name, otherwise| value(options, name).map_or(otherwise, |n| n.parse().expect("a number is given"));
    let cycles: u64 = number("--cycles", 2 * KILLS);
    let width = usize::try_from(number("--width", 4)).unwrap();
    let seed = number("--seed", begun_at());
    let lives: Vec<u64> = (0..cycles.div_ceil(KILLS)).map(|life| seed.wrapping_add(life)).collect();
    let mut findings = Findings::default();
    let (mut kills, mut interrupted, mut repeated, mut claims) = (0, 0, 0, Claims::default());
    for (seed, life) in abreast::each(&lives, width, |seed| (*seed, live(bench, *seed))) {
        (kills, interrupted, repeated) = (kills + life.kills, interrupted + life.interrupted, repeated + life.repeated);
        claims.add(life.claims);
        for (wrong, what) in life.findings.0 {
            println!("FAILED a life of seed {seed}: {wrong:?}: {what}");
            println!("  repeat: cargo test --release --test crash -- random --cycles {KILLS} --seed {seed}");
            findings.add(wrong, what);
        }
    }
    println!(
        "random: {kills} kills in {} lives (seed {seed}), {interrupted} before all was delivered, {repeated} lines came again, {} claims of done blobs looked up in the output \
         ({} with dead letters, {} of blobs listed late, {} of a part), in {} s: {}",
        lives.len(),
        claims.done,
        claims.dead,
        claims.late,
        claims.parts,
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    // A short run may see no dead letter kept; a long one that sees none of a kind has looked at nothing.
    let looked = claims.done > 0 && claims.late > 0 && (lives.len() < MANY_LIVES || (claims.dead > 0 && claims.parts > 0));
    if !looked {
        println!("FAILED the states claimed nothing that could be wrong");
    }
    looked && findings.0.is_empty()
}

fn begun_at() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Default)]
struct Life {
    kills: u64,
    /// Kills before everything was out.
    interrupted: u64,
    repeated: u64,
    /// What the states claimed after all the kills.
    claims: Claims,
    findings: Findings,
}

/// One state directory from its first start through all its kills to its end.
fn live(bench: &Arc<Bench>, seed: u64) -> Life {
    let mut life = Life::default();
    let mut dice = Dice::new(seed);
    // One of its own, since some of its blobs are listed late in its life.
    let tenant = Tenant::serve_haltingly(many(BLOBS));
    let mut host = bench.host(Order::Poll);
    let mut runs: Vec<Written> = Vec::new();
    let late = dice.below(KILLS);
    for kill in 0..KILLS {
        let stdout = host.appended();
        let mut child = host.start(&tenant, kill == late, stdout.into(), None);
        let when = match dice.below(3) {
            _ if kill == late => BURYING,
            0 => OPENING,
            1 => COLLECTING,
            _ => COMMITTING,
        };
        if when == COMMITTING {
            wait_until_longer(&host, runs.last().map_or(0, |run| run.end));
        }
        if kill == late {
            wait_for_a_letter(&host, &tenant);
        }
        std::thread::sleep(Duration::from_micros(when.start + dice.below(when.end - when.start)));
        let ended = child.try_wait().unwrap();
        if let Some(status) = ended.filter(|status| kill != late || !matches!(status.code(), Some(0 | 3))) {
            life.findings.add(Wrong::Stuck, format!("it ended by itself: {status}"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        life.kills += u64::from(ended.is_none());
        let output = host.written();
        let out: BTreeSet<&[u8]> = audit::lines(&output).0.into_iter().collect();
        life.interrupted += u64::from(tenant.lines().any(|line| !out.contains(line.as_bytes())));
        // What a killed process has written is in the file, synced or not.
        let claims = audit::after_crash(&host, &tenant, Trust::Whole, output.len() as u64, &mut life.findings);
        life.claims.add(claims);
        runs.push(Written { committed: usize::try_from(claims.reach).unwrap(), end: output.len() });
    }
    let listed = tenant.blobs.iter().filter_map(|blob| blob.listed).max();
    while listed.is_some_and(|listed| SimClock::real().now() < listed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let last = host.run(&tenant, Watch::default());
    let output = host.written();
    runs.push(Written { committed: output.len(), end: output.len() });
    // How much may come again is told by blobs, for each run by itself.
    let allowed = Allowed { repeated: u64::MAX, torn: usize::try_from(KILLS).unwrap(), ..Allowed::default() };
    audit::after_restart(&host, &tenant, &last, allowed, &mut life.findings);
    audit::check_said(&host.said(), &mut life.findings);
    life.repeated = check_repeated(&output, &runs, &tenant, &mut life.findings);
    // A check that can't fail holds nothing: with its last line once more, which was committed, it must find something.
    let last_line = audit::lines(&output).0.pop().unwrap_or_default();
    let (again, mut found) = ([&output[..], last_line, b"\n"].concat(), Findings::default());
    runs.push(Written { committed: again.len(), end: again.len() });
    check_repeated(&again, &runs, &tenant, &mut found);
    if found.count(Wrong::Repeated) == 0 {
        life.findings.add(Wrong::Missed, "the check is blind for what comes again");
    }
    life
}

/// Waits until something comes out, or for as long as a run takes that has nothing to write any more.
fn wait_until_longer(host: &Host, length: usize) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(COLLECTING.end) {
        if std::fs::metadata(host.output()).is_ok_and(|output| output.len() > length as u64) {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn wait_for_a_letter(host: &Host, tenant: &Tenant) {
    let begun = Instant::now();
    while begun.elapsed() < BELIEVING && audit::dead_letters(&host.own(), tenant).is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How long the output was after a run.
struct Written {
    /// At the last commit of the state as the run left it.
    committed: usize,
    end: usize,
}

/// What each kill leaves to be repeated is one batch at most, and nothing that was committed. Gives how many lines came again.
///
/// A run can repeat more than one batch: what several kills before it left, if none of the runs between got to a commit. So
/// each repeated line is charged to the run that wrote it last.
fn check_repeated(output: &[u8], runs: &[Written], tenant: &Tenant, findings: &mut Findings) -> u64 {
    let blob_of: BTreeMap<&[u8], usize> =
        tenant.blobs.iter().enumerate().flat_map(|(n, blob)| blob.lines().map(move |(_, line)| (line.as_bytes(), n))).collect();
    let mut last_written: BTreeMap<&[u8], (usize, bool)> = BTreeMap::new();
    let mut uncommitted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let (mut lines, mut at) = (0, 0);
    for (run, reach) in runs.iter().enumerate() {
        // A run that was killed in the middle of a line ends in a part of one, which its successor ends.
        for line in output[at..reach.end].split(|byte| *byte == b'\n') {
            at = (at + line.len() + 1).min(reach.end);
            let Some(blob) = blob_of.get(line) else { continue };
            if let Some((writer, committed)) = last_written.insert(line, (run, at <= reach.committed)) {
                uncommitted.entry(writer).or_default().insert(*blob);
                lines += 1;
                if committed {
                    findings.add(Wrong::Repeated, format!("run {run} writes again what run {writer} had committed"));
                }
            }
        }
        at = reach.end;
    }
    for (run, again) in uncommitted.iter().filter(|(_, again)| again.len() > BATCH_BLOBS) {
        findings.add(Wrong::Repeated, format!("of run {run} {} blobs come again", again.len()));
    }
    lines
}
