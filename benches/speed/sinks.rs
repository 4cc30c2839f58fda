//! The delivery of batches: to a regular file, which is synced, to a pipe that is read, and to `/dev/null`.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use defender_feed::sink::{Batch, DEAD_LETTER_LIMIT, DeadLetters, Delivery, Output, Sink};

use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::report::{Report, median, number, quantile};
use crate::store::claim;

/// Lines of a batch: what half a second of a large backlog comes to.
const BATCH: usize = 1 << 20;
/// MB/s. What is faster was not looked at by anybody.
const MEMORY: f64 = 100_000.0;

/// The rows of all outputs.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let (lines, line_count) = lines();
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let batches = effort.of(200, 60);
    let mut row = |name: &str, output: OwnedFd| {
        let seconds = deliver(output, directory.path(), &lines, line_count, batches);
        let at = |share| number(quantile(seconds.iter().copied(), share) * 1e3);
        report.say(&format!("{name}: a batch of 1 MiB, p50 and p99"), &format!("{} ms, {} ms", at(0.5), at(0.99)));
        let speed = lines.len() as f64 / median(seconds.iter().copied()) / 1e6;
        if speed < MEMORY {
            report.tell(&format!("{name}: at p50"), speed, "MB/s");
        }
    };
    let file = File::create(directory.path().join("events")).expect("the directory can be written to");
    row("a regular file", file.into());
    let (mut reader, writer) = std::io::pipe().expect("there is a pipe");
    let reading = std::thread::spawn(move || {
        let mut some = vec![0; 64 * 1024];
        while reader.read(&mut some).is_ok_and(|n| n > 0) {}
    });
    row("a pipe", writer.into());
    reading.join().expect("reading does not panic");
    row("/dev/null", File::create("/dev/null").expect("there is a null device").into());
}

fn lines() -> (Vec<u8>, u64) {
    let records = Corpus::with_wanted(1.0).records_that_are(true);
    let (mut lines, mut count) = (Vec::new(), 0);
    for record in records.iter().cycle() {
        if lines.len() + record.len() >= BATCH {
            break;
        }
        lines.extend_from_slice(record);
        lines.push(b'\n');
        count += 1;
    }
    (lines, count)
}

/// Seconds of each batch.
fn deliver(output: OwnedFd, state: &Path, lines: &[u8], line_count: u64, batches: usize) -> Vec<f64> {
    let output = Output::new(output, "the benchmark's output").expect("it is an output");
    let mut sink = Delivery::new(output, DeadLetters::new(state, DEAD_LETTER_LIMIT));
    let mut write = |n: usize| {
        let batch = Batch { claim: claim(n as u64), lines: lines.to_vec(), line_count, dead: Vec::new() };
        let began = Instant::now();
        let receipt = sink.write(batch).expect("the output takes everything");
        let took = began.elapsed().as_secs_f64();
        assert_eq!(receipt.lines(), line_count);
        took
    };
    (0..batches).map(&mut write).collect()
}
