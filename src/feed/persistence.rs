//! How persistent to be with a blob that can't be had: what a poller, `--once` and a backfill differ in.

use std::time::Duration;

use super::backoff::Backoff;

/// How persistent to be with a blob that can't be had.
#[derive(Debug, Clone, Copy)]
pub struct Persistence {
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Attempts after which an unreadable blob is a gap; or listings that told an address where nobody can be asked.
    pub unreadable_after: u32,
    /// Replies that a blob is not there after which it is a gap.
    pub not_found_after: u32,
    /// True if the gap of a blob that can't be had is provisional, and the blob is asked for until the service says that it
    /// has expired: this run goes on long enough, or another one takes it up.
    pub provisional: bool,
    /// True if a blob that was listed late and fails is a gap at its first failure, because the floor, behind which everything is
    /// done or a gap, lies beyond it already. Where a run ends as soon as only gaps are left, it needs its tries first.
    pub late_is_gap: bool,
}

impl Persistence {
    /// A poller's: a few quick attempts, then at falling frequency down to one in 20 to 25 minutes, so that half an hour in
    /// which the service works holds one. With the most blobs that are asked for so, that is a tenth of the quota.
    pub fn poller() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(20 * 60)),
            unreadable_after: 6,
            not_found_after: 6,
            provisional: true,
            late_is_gap: true,
        }
    }

    /// `--once`: ten attempts within four minutes, as the command's help states; the next run asks again.
    pub fn once() -> Self {
        Self { provisional: true, ..Self::one_shot() }
    }

    /// One shot: ten attempts within four minutes, as the command's help states.
    pub fn one_shot() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            unreadable_after: 10,
            not_found_after: 5,
            provisional: false,
            late_is_gap: false,
        }
    }
}
