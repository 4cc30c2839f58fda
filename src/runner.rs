//! The shell: performs the core's actions with tokio, and tells the core what came of them.
//!
//! One driver for each feed owns its core and its open batch; requests run as tasks of their own and report back; one
//! writer thread serves all feeds. Decisions are the core's: nothing here chooses what to ask for, waits of its own accord,
//! or retries. It may use the rooms through their traits and knows no concrete transport, sink or store.

pub mod clock;
mod driver;
mod duplicates;
mod notices;
mod reading;
mod requests;
mod skip_ids;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

pub use self::clock::{Clock, SystemClock};
use self::driver::Driver;
pub use self::notices::Board;
pub use self::skip_ids::{SkipIds, SkipIdsError};
#[cfg(test)]
pub(crate) use self::writer::{Desk, Job};
pub use self::writer::{WriteError, Writer, Written};
use crate::api::Client;
use crate::domain::{Counts, Gap, GapId, RecordTypes, Time};
use crate::feed::{FeedSettings, Finish, Memory, Status};
use crate::format::Formatter;
use crate::store::Restored;
use crate::wire::Transport;

/// Blobs that may be held at once in the whole process; with a MiB held for each, half of the memory budget.
pub const BLOBS_AT_ONCE: usize = 32;
/// Gaps kept for the closing summary. All are in the store; a poller runs for months and must not collect them.
const GAPS_KEPT: usize = 1_000;

/// What the process wants of its feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Run,
    /// Finish and commit what is in hand, then end.
    Stop,
    /// End at once, committing nothing more: the output or the state failed.
    Halt(Halt),
}

/// Why everything has to end at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Nobody reads the output any more.
    Closed(String),
    /// The output is full or fails.
    Output(String),
    /// The state can't be written.
    State(String),
    /// Microsoft refused every tenant before anything worked.
    Refused(String),
}

/// One feed, ready to run.
pub struct FeedJob<T: Transport> {
    /// What the core is told.
    pub settings: FeedSettings,
    /// What the store remembers.
    pub memory: Memory,
    /// The way to the service.
    pub client: Client<T>,
    /// The tenant's name in the configuration, if it has one.
    pub tenant_name: Option<String>,
    /// The tenant's labels.
    pub labels: BTreeMap<String, String>,
    /// The wanted record types.
    pub filter: RecordTypes,
    /// How records become lines.
    pub formatter: Formatter,
    /// Which records are left out although they are wanted.
    pub repeats: Repeats,
    /// The end of the pause that the service asked of the tenant; shared by the tenant's feeds.
    pub pause: watch::Sender<Duration>,
}

/// Which wanted records are not delivered, because they were before.
#[derive(Debug, Clone, Default)]
pub struct Repeats {
    /// Deliver a record again that arrives again.
    pub keep: bool,
    /// Records that somebody else has already.
    pub skip: Option<Arc<SkipIds>>,
    /// By which the prints of records are made ([`crate::store::Store::print_key`]).
    pub key: u64,
}

/// How a feed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEnd {
    /// The core said so.
    Finished(Finish),
    /// The process had to end.
    Halted(Halt),
    /// A signal came, and the last batch could not be committed in time.
    Hurried,
}

/// The outcome of one feed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What people call the tenant.
    pub name: String,
    /// How it ended.
    pub end: FeedEnd,
    /// Where it stood.
    pub status: Status,
    /// What it did.
    pub totals: Totals,
}

/// What a run delivered, as committed.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Blobs done.
    pub blobs: u64,
    /// Their records.
    pub counts: Counts,
    /// Lines written and committed.
    pub lines: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Gaps that stand, by name: the first `GAPS_KEPT` of them.
    pub gaps: BTreeMap<GapId, Gap>,
    /// Gaps beyond those.
    pub gaps_more: u64,
    /// The earliest and the latest `CreationTime` of the delivered records.
    pub event_times: Option<(Time, Time)>,
}

impl Totals {
    /// True if nothing is missing and nothing went to the dead letter.
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty() && self.dead_letters == 0
    }

    fn add(&mut self, written: Written) {
        self.blobs += written.blobs;
        self.counts.add(&written.counts);
        self.lines += written.lines;
        self.dead_letters += written.dead_letters;
        for gap in written.gaps {
            if gap.is_open() && self.gaps.len() >= GAPS_KEPT && !self.gaps.contains_key(&gap.id) {
                self.gaps_more += 1;
            } else if gap.is_open() {
                self.gaps.insert(gap.id, gap);
            } else {
                self.gaps.remove(&gap.id);
            }
        }
    }
}

impl From<Restored> for Memory {
    fn from(r: Restored) -> Self {
        Self {
            floor: r.floor,
            begin: r.begin,
            filter: r.filter,
            done: r.done,
            parts: r.parts,
            gaps: r.gaps,
            subscription_start: r.subscription_start,
        }
    }
}

/// What all drivers of a process share.
#[derive(Clone)]
pub struct Shared<C: Clock> {
    /// The clocks.
    pub clock: C,
    /// The writer.
    pub writer: Writer,
    /// What the process wants.
    pub order: watch::Sender<Order>,
    /// The memory budget, as blobs held at once.
    pub budget: Arc<Semaphore>,
    /// The minute's figures.
    pub board: Arc<Board>,
}

/// Runs one feed to its end.
pub async fn drive<T: Transport, C: Clock>(job: FeedJob<T>, shared: Shared<C>) -> Outcome {
    Driver::new(job, shared).run().await
}

#[cfg(test)]
mod tests;
