//! A poller that has nothing to do.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::collector::{collector, lines_of};
use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::process::{Running, Server, threads_of};
use crate::report::{Goal, Report};
use crate::tenant::Manner;

const BLOBS: u64 = 200;
/// What the poller is given, once all is delivered, for the sweeps of its start.
const SETTLES: Duration = Duration::from_secs(120);
/// It is watched for so long: in this time it sweeps all of retention twice, four and eight minutes after its start, and from then on
/// once in so long.
const WATCHED_SECS: u64 = 600;
/// Where not much depends on it.
const SETTLES_QUICKLY: Duration = Duration::from_secs(10);
/// The longest wait for the delivery of everything.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

/// The rows of ten quiet minutes.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let span = Duration::from_secs(effort.of(WATCHED_SECS, 20));
    let (_, wanted) = Corpus::new().totals(BLOBS);
    let tenant = Server::start(&Manner::Plain { blobs: BLOBS }.words());
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let (output, state) = (directory.path().join("events"), directory.path().join("state"));
    let mut command = collector(&["poll"], &tenant.address, &state);
    let poller = Running::start(command.stdout(File::create(&output).expect("the directory can be written to")));
    let began = Instant::now();
    while lines_of(&output) < wanted {
        assert!(began.elapsed() < PATIENCE, "the poller does not catch up");
        std::thread::sleep(LOOK);
    }
    std::thread::sleep(effort.of(SETTLES, SETTLES_QUICKLY));
    let (cpu, commits) = watch(poller.pid(), &state, span);
    assert_eq!(lines_of(&output), wanted, "nothing new came");
    let seconds = span.as_secs();
    let share = cpu / span.as_secs_f64() * 100.0;
    report.hold(&format!("{seconds} s with nothing new, share of a core"), share, "%", Goal::at_most(0.1));
    report.hold(&format!("{seconds} s with nothing new, writes to the state"), commits, "", Goal::at_most(1.0));
}

/// Processor seconds of a process, and how often its state was written, during this time.
fn watch(pid: u32, state: &Path, span: Duration) -> (f64, f64) {
    let written = || files_of(state);
    let first = threads_of(pid);
    // Threads that end take their times with them: each is remembered as it was last seen.
    let mut last: BTreeMap<String, f64> = first.clone();
    let (mut commits, mut before) = (0.0, written());
    let began = Instant::now();
    while began.elapsed() < span {
        std::thread::sleep(LOOK);
        last.extend(threads_of(pid));
        let after = written();
        if before != after {
            (commits, before) = (commits + 1.0, after);
        }
    }
    let cpu = last.iter().map(|(thread, seconds)| seconds - first.get(thread).unwrap_or(&0.0)).sum();
    (cpu, commits)
}

/// Each file of a state, and when it was written last.
fn files_of(state: &Path) -> BTreeMap<PathBuf, (Option<SystemTime>, u64)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => files.extend(files_of(&entry.path())),
            Ok(metadata) => _ = files.insert(entry.path(), (metadata.modified().ok(), metadata.len())),
            // It is gone by now, which the next look sees.
            Err(_) => {}
        }
    }
    files
}
