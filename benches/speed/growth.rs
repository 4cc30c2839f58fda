//! What sixteen times as much costs: sixteen times the work, and no more memory.

use crate::collector::backfill;
use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::process::{Cost, Server};
use crate::report::{Goal, Report, median};
use crate::tenant::Manner;

const GB: u64 = 1_000_000_000;

/// A tenant with so much plain JSON.
struct Backlog {
    tenant: Server,
    wanted: u64,
}

impl Backlog {
    fn of(bytes: u64) -> Self {
        let corpus = Corpus::new();
        let blobs = corpus.blobs_of(bytes);
        Self { tenant: Server::start(&Manner::Plain { blobs }.words()), wanted: corpus.totals(blobs).1 }
    }

    fn collect(&self) -> Cost {
        let directory = tempfile::tempdir().expect("there is a directory for temporary files");
        backfill(&self.tenant.address, directory.path(), self.wanted, 0)
    }
}

fn middle(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure));
    Cost { cpu: of(|c| c.cpu), wall: of(|c| c.wall), peak: of(|c| c.peak) }
}

/// What `backfill` of so much plain JSON costs: the medians of some runs.
pub(crate) fn cost_at(bytes: u64, runs: usize) -> Cost {
    let backlog = Backlog::of(bytes);
    middle(&(0..runs).map(|_| backlog.collect()).collect::<Vec<_>>())
}

/// The rows of all sizes, which take turns: what else runs on the machine slows all of them. The ratios are those of the first and the
/// last.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let sizes = effort.of(vec![GB, 4 * GB, 16 * GB], vec![GB / 2, 2 * GB]);
    let backlogs: Vec<Backlog> = sizes.iter().map(|size| Backlog::of(*size)).collect();
    let turns: Vec<Vec<Cost>> = (0..effort.of(5, 3)).map(|_| backlogs.iter().map(Backlog::collect).collect()).collect();
    for (at, size) in sizes.iter().enumerate() {
        let cost = middle(&turns.iter().map(|turn| turn[at]).collect::<Vec<_>>());
        let size = *size as f64 / GB as f64;
        report.say(&format!("{size} GB: CPU, time"), &format!("{:.2} s, {:.2} s", cost.cpu, cost.wall));
        report.hold(&format!("{size} GB: peak memory"), cost.peak, "MiB", Goal::at_most(64.0));
    }
    let last = sizes.len() - 1;
    let times = sizes[last] as f64 / sizes[0] as f64;
    let over = |figure: fn(&Cost) -> f64| median(turns.iter().map(|turn| figure(&turn[last]) / figure(&turn[0])));
    let cpu = over(|c| c.cpu) / times;
    report.hold(&format!("CPU of {times} times as much, over {times} times the CPU"), cpu, "x", Goal::at_most(1.05));
    report.hold(&format!("peak memory of {times} times as much, over the peak"), over(|c| c.peak), "x", Goal::at_most(1.1));
}
