//! What a newcomer waits for: `demo`, from its start to its first line.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use crate::effort::Effort;
use crate::process::{Running, product};
use crate::report::{Goal, Report, median};

fn first_line() -> f64 {
    let began = Instant::now();
    let mut command = product();
    let mut demo = Running::start(command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let out = demo.0.stdout.take().expect("its output is a pipe");
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).expect("its output can be read");
    assert!(line.ends_with('\n'), "it ended without a line");
    began.elapsed().as_secs_f64()
}

/// The row of the first line.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let seconds = median((0..effort.of(11, 5)).map(|_| first_line()));
    report.hold("from the start to the first line", seconds, "s", Goal::at_most(1.0).aim(0.3));
}
