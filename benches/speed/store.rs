//! The store: what a commit takes, and what it costs to open a state that holds many blobs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use defender_feed::domain::{BlobKey, Claim, ContentId, ContentType, Counts, FeedId, RecordTypes};
use defender_feed::sink::{Batch, MemorySink, Receipt, Sink};
use defender_feed::store::{SledStore, Store, StoreError};

use crate::collector::{TENANT, collector};
use crate::effort::Effort;
use crate::process::{Server, cost_of, peak_of, this};
use crate::report::{Goal, Report, median, quantile};
use crate::tenant::{Manner, PAGE, now};

/// For how long blobs are listed, and remembered.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600 - 7200);
/// Blobs that a large tenant can have within it.
const MANY: u64 = 3_500_000;
/// Blobs of a commit when a state is made: as many as a batch of the product's holds at most.
const AT_ONCE: u64 = 64;
/// The same where there is less time: five minutes' worth of a large tenant.
const AT_ONCE_QUICK: u64 = 1_736;

fn feed() -> FeedId {
    FeedId { tenant: TENANT.parse().expect("a constant GUID is a tenant id"), content_type: ContentType::AuditGeneral }
}

/// A claim that says nothing yet, some seconds after the one before it.
pub(crate) fn claim(number: u64) -> Claim {
    let begin = now() - RETENTION;
    Claim {
        feed: feed(),
        at: now() + Duration::from_secs(number),
        floor: begin,
        begin,
        filter: RecordTypes::defender().to_string(),
        done: Vec::new(),
        parts: Vec::new(),
        gaps: Vec::new(),
        records: Vec::new(),
        subscription_start: None,
        forget_before: begin - Duration::from_secs(3600),
    }
}

/// The receipt for a claim whose lines, none, are delivered.
fn receipt(claim: Claim) -> Receipt {
    let batch = Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() };
    MemorySink::new().write(batch).expect("a sink in memory takes everything")
}

/// What `blobs` blobs came to, the ones from `first` on of `all` in the order of their creation.
fn done(first: u64, blobs: u64, all: u64) -> Vec<(BlobKey, Counts)> {
    let begin = now() - RETENTION;
    let key = |n: u64| {
        let id = ContentId(format!("{n}$20260301120000000000000$1$audit_general$na0001"));
        BlobKey::new(&id, begin + RETENTION.mul_f64(n as f64 / all as f64))
    };
    let counts = Counts { read: 400, delivered: 20, filtered: 380, ..Counts::default() };
    (first..first + blobs).map(|n| (key(n), counts)).collect()
}

/// Seconds of each commit of so many blobs, which come as close together as those of a large tenant.
fn commits(blobs: u64, count: u64) -> Vec<f64> {
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let (mut store, _) = SledStore::open(directory.path()).expect("a state can be made there");
    let mut commit = |n: u64| {
        let receipt = receipt(Claim { done: done(n * blobs, blobs, MANY), ..claim(n) });
        let began = Instant::now();
        store.commit(receipt).expect("the disk takes the state");
        began.elapsed().as_secs_f64()
    };
    let seconds = (0..count).map(&mut commit).collect();
    store.close().expect("the disk takes the state");
    seconds
}

/// A state in which so many blobs are done.
fn fill(directory: &Path, blobs: u64, at_once: u64) -> Result<(), StoreError> {
    let (mut store, _) = SledStore::open(directory)?;
    store.commit(receipt(claim(0)))?;
    let mut first = 0;
    while first < blobs {
        let some = at_once.min(blobs - first);
        store.commit(receipt(Claim { done: done(first, some, blobs), ..claim(first / at_once + 1) }))?;
        first += some;
    }
    store.close()
}

/// In a process of its own: opens a state as the product does; tells seconds, peak memory in MiB, and how many blobs are done.
pub(crate) fn open(directory: &Path) -> Result<String, StoreError> {
    let began = Instant::now();
    let (mut store, _) = SledStore::open(directory)?;
    let restored = store.restore(&feed())?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(format!("{seconds} {} {}", peak_of(std::process::id()).unwrap_or(0.0), restored.done.len()))
}

/// Seconds, peak memory and done blobs of a process that opens this state.
fn opened(directory: &Path) -> [f64; 3] {
    let output = Command::new(this()).arg("open-store").arg(directory).stderr(Stdio::inherit()).output();
    let output = output.expect("this program can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("the state could not be opened: {text}"))
}

fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// The rows of commits and starts.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    for blobs in [1, 64] {
        let seconds = commits(blobs, effort.of(1_000, 200));
        let at = |share| quantile(seconds.iter().copied(), share) * 1e3;
        let words = format!("{:.2} ms, {:.2} ms", at(0.5), at(0.99));
        report.say(&format!("a commit of {blobs} done {}, p50 and p99", if blobs == 1 { "blob" } else { "blobs" }), &words);
    }
    for blobs in [0, 10_000, MANY] {
        of_state(report, blobs, effort.of(AT_ONCE, AT_ONCE_QUICK));
    }
}

fn of_state(report: &mut Report, blobs: u64, at_once: u64) {
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    fill(directory.path(), blobs, at_once).expect("the disk takes the state");
    let size = size_of(directory.path()) as f64 / f64::from(1 << 20);
    let runs: Vec<[f64; 3]> = (0..5).map(|_| opened(directory.path())).collect();
    assert!(runs.iter().all(|run| run[2] == blobs as f64), "each done blob is known again");
    report.tell(&format!("{blobs} done blobs: size of the state"), size, "MiB");
    report.tell(&format!("{blobs} done blobs: opened and restored in"), median(runs.iter().map(|run| run[0])), "s");
    let peak = median(runs.iter().map(|run| run[1]));
    report.hold(&format!("{blobs} done blobs: peak memory of that"), peak, "MiB", Goal::at_most(128.0));
    let tenant = Server::start(&Manner::Tiny { blobs: 0, page: PAGE }.words());
    let cost = cost_of(collector(&["poll", "--once"], &tenant.address, directory.path()).stdout(Stdio::null()), 0);
    report.hold(&format!("{blobs} done blobs: peak memory of poll --once"), cost.peak, "MiB", Goal::at_most(128.0));
}
