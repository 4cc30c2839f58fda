//! Lag: from the moment at which a blob can be listed to its line on standard output.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use defender_feed::domain::Time;

use crate::collector::collector;
use crate::corpus::number_in;
use crate::effort::Effort;
use crate::process::{Running, Server};
use crate::report::{Report, quantile};
use crate::tenant::{Manner, now};

/// Milliseconds between two blobs: no multiple of the intervals divides it, so that blobs come at any moment of them.
const EVERY: u64 = 731;
/// What the poller is given to catch up with the time before its start.
const SETTLES: Duration = Duration::from_secs(10);

/// The rows of the intervals.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    of_interval(report, "1s", Duration::from_secs(effort.of(120, 30)));
    if effort == Effort::Full {
        of_interval(report, "60s", Duration::from_secs(8 * 60));
    }
}

fn of_interval(report: &mut Report, interval: &str, span: Duration) {
    let begin = now();
    let tenant = Server::start(&Manner::Appearing { begin, every: EVERY }.words());
    let state = tempfile::tempdir().expect("there is a directory for temporary files");
    let mut command = collector(&["poll", "--poll-interval", interval], &tenant.address, state.path());
    let mut poller = Running::start(command.stdout(Stdio::piped()));
    let out = poller.0.stdout.take().expect("its output is a pipe");
    let reading = std::thread::spawn(move || lags(out, begin));
    std::thread::sleep(SETTLES + span);
    let (from, until) = (begin + SETTLES, begin + span);
    drop(poller);
    let lags = reading.join().expect("reading does not panic");
    // Those that came too late to be delivered before the end would be missing from among the slow ones.
    let lags: Vec<f64> = lags.into_iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, lag)| lag).collect();
    let words = match lags.is_empty() {
        true => "no blob was delivered".to_owned(),
        false => format!("{:.2} s, {:.2} s", quantile(lags.iter().copied(), 0.5), quantile(lags.iter().copied(), 0.99)),
    };
    report.say(&format!("--poll-interval {interval}, p50 and p99 of {} blobs", lags.len()), &words);
}

/// When each blob appeared, and by how many seconds later its line did.
fn lags(out: ChildStdout, begin: Time) -> Vec<(Time, f64)> {
    let mut lags = Vec::new();
    let (clock, start) = (Instant::now(), now());
    for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
        let seen = start + clock.elapsed();
        let number = number_in(&line).expect("each line is a record with the number of its blob");
        let appeared = Manner::appears(begin, EVERY, number);
        lags.push((appeared, seen.since(appeared).as_secs_f64()));
    }
    lags
}
