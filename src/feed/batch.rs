//! The open batch: what has been handed to the writer's buffer and waits to be sealed (law L2).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{BlobKey, Counts, Gap, GapId, Part};

/// The most bytes of lines and dead letters in one batch: what a crash may repeat.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// The most blobs in one batch.
pub const BATCH_BLOBS_MAX: usize = 64;
/// A batch is sealed after this, however small it is.
pub const BATCH_AGE_MAX: Duration = Duration::from_millis(250);

/// Names a sealed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId(pub u64);

/// What the open batch holds so far.
#[derive(Debug, Default)]
pub struct Open {
    pub(super) done: Vec<(BlobKey, Counts)>,
    pub(super) parts: BTreeMap<BlobKey, Part>,
    pub(super) gaps: BTreeMap<GapId, Gap>,
    bytes: usize,
    since: Option<Duration>,
    full: bool,
}

impl Open {
    /// True if so many bytes more may go in. A batch that is empty takes anything, so that one large record can pass. If
    /// not, the batch is to be sealed as soon as the one before it is committed.
    pub fn fits(&mut self, bytes: usize) -> bool {
        let fits = self.bytes == 0 || self.bytes + bytes <= BATCH_BYTES_MAX;
        self.full |= !fits;
        fits && self.done.len() + self.parts.len() < BATCH_BLOBS_MAX
    }

    /// Notes that something went in.
    pub fn grew(&mut self, bytes: usize, now: Duration) {
        self.bytes += bytes;
        self.since.get_or_insert(now);
    }

    /// True if it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// True if no more should be asked for before it is sealed.
    pub fn is_heavy(&self) -> bool {
        self.full || self.bytes >= BATCH_BYTES_MAX / 2 || self.done.len() + self.parts.len() >= BATCH_BLOBS_MAX / 2
    }

    /// True if it should be sealed now. `more` tells whether anything is under way that could still join it.
    pub fn is_ripe(&self, now: Duration, more: bool) -> bool {
        let Some(since) = self.since else { return false };
        !more
            || self.full
            || self.bytes >= BATCH_BYTES_MAX / 2
            || self.done.len() + self.parts.len() >= BATCH_BLOBS_MAX
            || now.saturating_sub(since) >= BATCH_AGE_MAX
    }

    /// When its age alone seals it.
    pub fn wake(&self) -> Option<Duration> {
        self.since.map(|since| since + BATCH_AGE_MAX)
    }
}
