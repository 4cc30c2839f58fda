//! `backfill` beside the bare client: the same blobs from the same tenant, one after the other, several times.

use std::process::{Command, Stdio};

use crate::collector::backfill;
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

/// Measures both, `runs` times in turns: pairs of the product's cost and the client's.
pub(crate) fn compare(gzip: bool, bytes: u64, runs: usize) -> Vec<(Cost, Cost)> {
    let corpus = Corpus::new();
    let blobs = corpus.blobs_of(bytes);
    let (_, wanted) = corpus.totals(blobs);
    let server = Server::start(&if gzip { Manner::Gzip { blobs } } else { Manner::Plain { blobs } }.words());
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    (0..runs).map(|_| (backfill(&server.address, directory.path(), wanted, 0), client(&server.address))).collect()
}

/// The rows of both encodings.
pub(crate) fn run(report: &mut Report, effort: Effort) {
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
