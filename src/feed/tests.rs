//! What each part of the core holds to, part by part: limits, waits, order, counts. How they play together is in `trial`.

mod absences;
mod batch;
mod beginning;
mod blobs;
mod ending;
mod failures;
mod fetching;
mod health;
mod listings;
mod pace;
mod pages;
mod run;
mod sweeps;
mod waking;
mod windows;

use std::time::Duration;

use super::backoff::Jitter;
use super::cases::BASE;
use crate::domain::{BlobEntry, BlobKey, ContentId, Counts, Part, Time};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn jitter() -> Jitter {
    Jitter::new(1)
}

/// A blob that became available `seconds` after the tests' beginning.
fn entry(seconds: u64) -> BlobEntry {
    let (id, uri) = (ContentId(format!("blob{seconds}")), format!("http://x/{seconds}"));
    BlobEntry { id, uri, created: BASE + secs(seconds), expires: None }
}

fn key(seconds: u64) -> BlobKey {
    entry(seconds).key()
}

fn part(seconds: u64, elements: u64) -> Part {
    Part { key: key(seconds), elements, digest: 1, counts: Counts::default() }
}

/// The service's time.
fn server(seconds: u64) -> Time {
    BASE + secs(seconds)
}
