//! What takes the most memory: one huge blob, a bomb, an endless backlog, a reader that hardly reads.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::collector::{KEEP_DUPLICATES, backfill_with, collector};
use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::process::{Cost, Running, Server, peak_of};
use crate::report::{Goal, Report};
use crate::tenant::{Manner, PAGE};

const GB: u64 = 1_000_000_000;
const MOST: f64 = 128.0;
/// More is not read of any blob: the product gives it up, and says so with this code.
const GAPS: i32 = 3;

/// The rows of all of them.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let corpus = Corpus::new();
    let mut row = |what: &str, peak: f64| report.hold(what, peak, "MiB", Goal::at_most(MOST));
    let times = GB.div_ceil(corpus.records().len() as u64);
    row("peak memory, a blob of 1 GB", of(Manner::Huge { times }, &[KEEP_DUPLICATES], times * corpus.wanted(), 0).peak);
    row("peak memory, 10 GB of records in a blob of gzip", of(Manner::Bomb { megabytes: 10_000 }, &[], 0, GAPS).peak);
    let blobs = effort.of(200_000, 40_000);
    row(&format!("peak memory, a backlog of {blobs} blobs"), of(Manner::Tiny { blobs, page: PAGE }, &[], blobs, 0).peak);
    // Once more was listed than there is room for, the rest is asked for in shorter windows.
    row("peak memory, the same listed in one page at first", of(Manner::Tiny { blobs, page: blobs }, &[], blobs, 0).peak);
    row("peak memory, 30 s of a reader of a byte a second", trickle(&corpus));
}

/// The huge blob is made of the same records again and again.
fn of(manner: Manner, more: &[&str], wanted: u64, code: i32) -> Cost {
    let tenant = Server::start(&manner.words());
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    backfill_with(more, &tenant.address, directory.path(), wanted, code)
}

/// The peak memory of a poller with a gigabyte to fetch that nobody reads.
fn trickle(corpus: &Corpus) -> f64 {
    let tenant = Server::start(&Manner::Plain { blobs: corpus.blobs_of(GB) }.words());
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let mut command = collector(&["poll"], &tenant.address, &directory.path().join("state"));
    let mut poller = Running::start(command.stdout(Stdio::piped()));
    let mut out = poller.0.stdout.take().expect("its output is a pipe");
    for _ in 0..30 {
        out.read_exact(&mut [0]).expect("its output can be read");
        std::thread::sleep(Duration::from_secs(1));
    }
    peak_of(poller.pid()).expect("it runs on")
}
