//! `backfill` beside two clients: the same blobs from the same tenant, one after the other, several times.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::collector::{backfill, lines_of};
use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::process::{Cost, Server, cost_of, this};
use crate::report::{Goal, Report, median};
use crate::tenant::Manner;

/// Bytes of plain JSON that are downloaded: with fewer, the start of either would count for much.
const BYTES: u64 = 1_000_000_000;

fn client(address: &str) -> Cost {
    cost_of(Command::new(this()).args(["client", address]).stdout(Stdio::null()), 0)
}

/// The client that filters.
fn filtering_client(address: &str, directory: &Path, wanted: u64) -> Cost {
    let output = directory.join("filtered.ndjson");
    let cost = cost_of(Command::new(this()).args(["client", address]).arg(&output).stdout(Stdio::null()), 0);
    assert_eq!(lines_of(&output), wanted, "both do the same work");
    cost
}

/// Measures product and bare client, `runs` times in turns: pairs of the product's cost and the client's.
pub(crate) fn compare(gzip: bool, bytes: u64, runs: usize) -> Vec<(Cost, Cost)> {
    let corpus = Corpus::new();
    let blobs = corpus.blobs_of(bytes);
    let (_, wanted) = corpus.totals(blobs);
    let server = Server::start(&if gzip { Manner::Gzip { blobs } } else { Manner::Plain { blobs } }.words());
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    (0..runs).map(|_| (backfill(&server.address, directory.path(), wanted, 0), client(&server.address))).collect()
}

/// The rows of both encodings beside the bare client, and of two sizes beside the one that filters.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    beside_the_bare_client(report, effort);
    for (bytes, runs) in [(BYTES, effort.of(9, 5)), (4 * BYTES, effort.of(5, 1))] {
        beside_the_filtering_client(report, bytes, runs);
    }
}

fn beside_the_filtering_client(report: &mut Report, bytes: u64, runs: usize) {
    let corpus = Corpus::new();
    let blobs = corpus.blobs_of(bytes);
    let (_, wanted) = corpus.totals(blobs);
    let server = Server::start(&Manner::Plain { blobs }.words());
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let path = directory.path();
    let one = |_| (backfill(&server.address, path, wanted, 0), filtering_client(&server.address, path, wanted));
    let pairs: Vec<(Cost, Cost)> = (0..runs).map(one).collect();
    let middle = |of: fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(of));
    let size = format!("{} GB plain", bytes / BYTES);
    let figures = figures(middle(|p| p.1.cpu), middle(|p| p.1.wall), middle(|p| p.1.peak));
    report.say(&format!("{size}, a client that filters: CPU, time, peak memory"), &figures);
    let goal = Goal::at_most(2.0).aim(1.4);
    report.hold(&format!("{size}, CPU over that of the client that filters"), middle(|p| p.0.cpu / p.1.cpu), "x", goal);
    report.hold(&format!("{size}, time over that of the client that filters"), middle(|p| p.0.wall / p.1.wall), "x", goal);
}

fn beside_the_bare_client(report: &mut Report, effort: Effort) {
    for gzip in [false, true] {
        let pairs = compare(gzip, BYTES, effort.of(9, 5));
        let how = if gzip { "gzip" } else { "plain" };
        let middle = |of: &dyn Fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(of));
        report.say(
            &format!("{how}, backfill: CPU, time, peak memory"),
            &figures(middle(&|p| p.0.cpu), middle(&|p| p.0.wall), middle(&|p| p.0.peak)),
        );
        report.say(
            &format!("{how}, bare client: CPU, time, peak memory"),
            &figures(middle(&|p| p.1.cpu), middle(&|p| p.1.wall), middle(&|p| p.1.peak)),
        );
        let goal = if gzip { Goal::at_most(1.6).aim(1.3) } else { Goal::at_most(3.0).aim(2.0) };
        report.hold(&format!("{how}, CPU over the bare client's"), middle(&|p| p.0.cpu / p.1.cpu), "x", goal);
        let wall = middle(&|p| p.0.wall / p.1.wall);
        if gzip {
            report.tell("gzip, time over the bare client's", wall, "x");
        } else {
            report.hold("plain, time over the bare client's", wall, "x", Goal::at_most(2.5).aim(1.6));
        }
    }
}

fn figures(cpu: f64, wall: f64, peak: f64) -> String {
    format!("{cpu:.2} s, {wall:.2} s, {peak:.0} MiB")
}
