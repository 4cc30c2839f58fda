//! The words that stories are told with.

mod host;
mod http2;
mod inside;
mod lines;
mod program;
mod proxy;
mod relay;
mod tenant;
mod tls;

use std::time::{Duration, Instant};

pub(crate) use bytes::Bytes;
pub(crate) use defender_feed::domain::{ContentId, ContentType, Time};
pub(crate) use defender_feed::simulator::SimClock;
pub(crate) use defender_feed::simulator::config::RetryAfter;
pub(crate) use defender_feed::simulator::content::NewBlob;
pub(crate) use defender_feed::simulator::faults::{Content, ErrorBody, Fault, Target, When};
pub(crate) use defender_feed::simulator::story::{
    Story, ahead, air, click, days_ago, hours_ago, mail, minutes_ago, noise, records, service,
};

pub(crate) use host::Host;
pub(crate) use http2::{At, Close, Ending, Streamed, Streams, Way};
pub(crate) use inside::{fast_service, run_inside};
pub(crate) use lines::{assert_same, assert_same_ids, counted, ids_of, members};
pub(crate) use program::{Ended, MEMORY_STEADY, Output, Program, Started, until_lines_in};
pub(crate) use proxy::{Gate, Hole, Proxy};
pub(crate) use relay::{Act, Answer, Asked, Call, Relay, Step, instead, reply};
pub(crate) use tenant::{CLIENT, Serve, Tenant, Wanted};
pub(crate) use tls::{Authority, Front, Manner};

/// The longest that anything may take before its story has failed. Far above what a story needs, because two cores may
/// have many of them to run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a promise about time comes to on a machine that has other things to do as well: a second more for each of them. On an
/// idle one it is the promise itself and half a second.
pub(crate) fn allowed(promise: Duration) -> Duration {
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let others: f64 = load.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0);
    promise + Duration::from_millis(500) + Duration::from_secs_f64(others)
}

/// Waits until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tells a story for each of these, all at once: most of a story is waiting.
pub(crate) fn for_each<T: Sync>(cases: &[T], story: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        let told: Vec<_> = cases.iter().map(|case| scope.spawn(|| story(case))).collect();
        for story in told {
            if let Err(failure) = story.join() {
                std::panic::resume_unwind(failure);
            }
        }
    });
}

/// Now, on the local clock.
pub(crate) fn now() -> Time {
    SimClock::real().now()
}

/// A content id in the service's form, and the target of faults of that blob alone.
pub(crate) fn named(name: &str) -> (String, Target) {
    let id = format!("{name}$20260301120000000000000$1$audit_general$na0001");
    (id.clone(), Target::OneBlob(ContentId(id)))
}

/// So many seconds.
pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// So many milliseconds.
pub(crate) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
