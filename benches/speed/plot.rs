//! The plots of docs/performance.md, made only when they are asked for.

use std::path::Path;

use crate::backlog::{BLOBS, QUOTA, drain};
use crate::decode::speed_at;
use crate::effort::Effort;
use crate::growth::cost_at;
use crate::report::Report;
use crate::svg::Plot;

const GB: f64 = 1e9;

/// Draws all of them.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance");
    std::fs::create_dir_all(&directory).expect("the directory of the documents can be written to");
    let mut draw = |name: &str, plot: Plot<'_>| {
        std::fs::write(directory.join(name), plot.svg()).expect("the directory of the documents can be written to");
        report.say(&format!("docs/performance/{name}"), &format!("{} points", plot.points.len()));
    };
    let sizes: &[f64] = effort.of(&[0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0], &[0.25, 0.5, 1.0, 2.0]);
    let costs: Vec<_> = sizes.iter().map(|gb| (*gb, cost_at((*gb * GB) as u64, 3))).collect();
    let of_size = |title, y, points| Plot { title, x: "plain JSON that was downloaded, GB", y, points };
    draw("cpu.svg", of_size("CPU of a backfill", "CPU, s", costs.iter().map(|(gb, cost)| (*gb, cost.cpu)).collect()));
    let peaks = costs.iter().map(|(gb, cost)| (*gb, cost.peak)).collect();
    draw("memory.svg", of_size("Peak memory of a backfill", "peak resident set, MiB", peaks));
    let shares = [0.0, 5.0, 20.0, 50.0, 100.0];
    let points = shares.iter().map(|percent| (*percent, speed_at(percent / 100.0))).collect();
    draw("decode.svg", Plot { title: "Decode and filter, one core", x: "share of wanted records, %", y: "GB/s", points });
    let committed = drain(BLOBS, QUOTA, QUOTA).committed;
    let every_fifth = committed.iter().enumerate().skip(4).step_by(5);
    let points = every_fifth.map(|(minute, blobs)| ((minute + 1) as f64, *blobs as f64 / 1000.0)).collect();
    let title = "Drain of a backlog at 2,000 requests a minute";
    draw("drain.svg", Plot { title, x: "simulated minutes", y: "thousand blobs committed", points });
}
