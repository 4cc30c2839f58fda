//! The store: where each feed stands, on disk, in a form that can be trusted after any crash.
//!
//! [`Store::commit`] takes a sink's [`Receipt`] and nothing else, so nothing is committed that was not delivered (law L2).
//! What a receipt claims becomes one transaction; when `commit` returns, it is on disk. The committed state of a feed
//! (one content type of one tenant) is a floor, the blobs done at or after it, the gaps, and the filter in force (law L1).
//! Only what is *done* is stored, so whatever is lost can only be repeated, never skipped.
//!
//! This room may use `domain` and the sink's receipt; it knows nothing of requests, records or lines. sled is named in
//! `store/sled.rs` alone.
//!
//! # In the state directory
//!
//! | name | what |
//! |---|---|
//! | `lock` | held (`flock`) by the process that uses the state; its content names that process, until it ends in order |
//! | `sled.v1/` | the values below; the number is the format's, so that an older release refuses a newer state untouched |
//! | `records/` | the prints of delivered records, a file for each feed and day; see `store/prints.rs` |
//! | `witness.json` | the state's number, and generation, floor, begin and filter of each feed, written now and then; see `store/witness.rs` |
//! | `salvage/`, `replaced/` | a copy of the tree while it is made or put in place; see `store/copy.rs` |
//! | `aside/` | unfinished sled files, and things that are no file where a file should be, moved out of the way; nothing needs them |
//! | `inspected/` | a copy of `sled.v1/` while somebody looks at it; nothing needs it |
//! | `damaged-<UTC time>/` | a `sled.v1` that could not be trusted; evidence, never touched again and never deleted |
//! | `dead-letter/` | belongs to the sink |
//! | `jobs/<job>/` | the same layout once more for a backfill |
//!
//! # Keys and values
//!
//! One sled tree. Every key begins with `v1/<tenant>/<content type>/`; numbers in keys are 16 hexadecimal digits that sort
//! like the number (the sign bit is flipped). Every value is `version: u8 = 1, checksum: u64 LE, payload`; the checksum
//! covers the key as well (`store/frame.rs`). Payloads (`store/record.rs`):
//!
//! | key | payload |
//! |---|---|
//! | `root` | JSON: generation, floor, begin, filter, subscription_start, epoch, output mark, created, updated, horizons, totals, the state's number, digest |
//! | `done/<bucket>/<chunk, 8 digits>` | prints of the done blobs created in these five minutes: `u64` BE, ascending, 1 to 512 a chunk |
//! | `record/<day>` | how many records that were delivered on this day are remembered: `u64` BE |
//! | `part/<created>/<print>` | digest `u128` BE, elements and counts as LEB128: the delivered part of a blob under way |
//! | `gap/<id>` | JSON: the gap |
//! | `hour/<hour>` | LEB128 ×15: blobs done, done again, in open gaps by reason; records read, delivered, filtered, duplicate, dead-lettered |
//! | `day/<day>` | the same, added up |
//!
//! The root's digest is the sum (modulo 2^128) of a 128-bit hash of every other key and value of the feed. A commit keeps
//! it up to date from the values that it changes; the scan at open adds it up afresh. So a value that is whole by itself
//! but older than the rest is found out, and so is one that is missing.
//!
//! Done blobs cost 8 bytes each and about 90 for each chunk, delivered records 24 in files of their own. A blob is forgotten when the
//! claim says that no listing can show it any more, a record when none can show a blob of the day on which it was delivered. Hours are
//! kept for 90 days, then added up into days, which are kept for 400; gaps for 400 days after they were closed or became final. So the
//! size stays flat for good.
//!
//! # A changed filter
//!
//! A claim with another filter than the stored one starts a new cursor, in the same transaction: floor and begin are taken
//! from the claim as they are, done blobs in buckets from the claim's floor on and all parts are dropped (the ledger counts
//! them under `again` from then on), gaps, delivered records and ledger stay, and a new epoch is marked. Blobs before the floor stay done, or
//! the sweeps would deliver them once more; to take them up again under the new filter the claim states an earlier floor.
//!
//! # What a kill leaves
//!
//! A kill before the transaction is on disk leaves the state of the commit before; sled applies a transaction whole or not
//! at all. A kill after it leaves the new state; the witness may be behind, never ahead. A kill while sled opens can leave
//! an unfinished `snap.*.generating`, which sled would take for its newest snapshot and then refuse to open for ever: it is
//! moved to `aside/` before each open. A kill between moving a damaged store away and starting the next one leaves no
//! `sled.v1`, which reads as *vanished*, and starts from the witness just the same.
//!
//! # Damage, and how to repair it
//!
//! At open every value is read and checked. If sled refuses, panics, or a value, key or digest is wrong, `sled.v1` is
//! renamed to `damaged-<UTC time>` and a fresh one starts: each feed from the witness's floor, or from the start of
//! retention if there is no witness for it; done blobs from there on are delivered again, and the ledger begins a new,
//! marked epoch. Feeds that are intact, root and digest included, are copied over as they are, and the open gaps of the
//! others as far as they can be read. If sled opens clean but a feed stands behind the witness, the store has gone back: it
//! is replaced by a copy in the same way, the floor becomes the lower of both, and the epoch is marked. A full or
//! unwritable disk is never taken for damage: nothing is moved. Nor is a read that fails in passing: every file of the tree is read
//! to its end before sled opens it, because sled would take what it can't read for the end of what was written, and overwrite it.
//!
//! Each state has a random number, which its witness and the root of each feed carry. If they differ, files of two states
//! were mixed up, and nothing tells which of them the output is of: both are kept, none is believed, and every feed starts
//! at the start of retention. A copy of a whole state has the same number; a backup is an older place, and a true one.
//!
//! A link, FIFO, socket or directory in the place of a file is never followed, opened or waited for: among sled's files it
//! is damage like any other, and beside them it is moved to `aside/`. There is nothing to repair by hand; a `damaged-*`
//! directory may be deleted once it has been looked at.

mod chunks;
mod commit;
mod copy;
mod edit;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inspect;
mod key;
mod lazily;
mod lock;
mod memory;
mod open;
mod prints;
mod readable;
mod record;
mod recover;
mod remembered;
mod restore;
mod scan;
mod sieve;
mod sled;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod witness;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::{Counts, DoneSet, FeedId, Gap, Part, RecordPrint, Time};
use crate::sink::{OutputMark, Receipt};

use self::sled::Engine;

pub use inspect::{EpochView, FeedView, GapView, Inspection, LedgerView, RecordsView, SizesView, StretchView, inspect};
pub use memory::MemoryStore;
pub use open::{Condition, FeedStart, OpenReport, SledStore, StartedFrom};
pub use verify::{Finding, Verification, verify};

/// Keeps the committed state of any number of feeds. Blocking: call it where waiting for a disk is fine.
pub trait Store: Send + 'static {
    /// What is committed of a feed. Empty for a feed that was never committed.
    ///
    /// # Errors
    /// If the state can't be read; the store is then unusable.
    fn restore(&mut self, feed: &FeedId) -> Result<Restored, StoreError>;

    /// Which of these records of the feed were delivered before, as far as that is committed.
    ///
    /// # Errors
    /// If the state can't be read; the store is then unusable.
    fn remembers(&mut self, feed: &FeedId, records: &[RecordPrint]) -> Result<BTreeSet<RecordPrint>, StoreError>;

    /// By which the prints of records are made: a secret of this state, the same for as long as it lives.
    fn print_key(&self) -> u64;

    /// Commits what the receipt claims, in one transaction. On disk when it returns.
    ///
    /// # Errors
    /// If it is not known to be on disk; the store is then unusable, and a restart takes up the last commit that is.
    fn commit(&mut self, receipt: Receipt) -> Result<(), StoreError>;

    /// The output has failed, and may end within a line: the next process has to know.
    fn output_failed(&mut self) {}

    /// Ends in order. Dropping a store instead loses nothing that was committed.
    ///
    /// # Errors
    /// If what is written last, such as the witness, can't be.
    fn close(self) -> Result<(), StoreError>
    where
        Self: Sized;
}

/// The committed state of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Every blob created before this is done or in a gap. `None` at the first start.
    pub floor: Option<Time>,
    /// Nothing created before this was ever asked for. `None` at the first start.
    pub begin: Option<Time>,
    /// The filter that all of this was done under. `None` at the first start.
    pub filter: Option<String>,
    /// Blobs that are done and can still be listed.
    pub done: DoneSet,
    /// The delivered parts of blobs that are not done.
    pub parts: Vec<Part>,
    /// The gaps that matter to the work ahead: the provisional ones, the open ones of stretches of time, and the final ones
    /// of blobs that can still be listed. Closed and older ones are for [`inspect()`].
    pub gaps: Vec<Gap>,
    /// When a start of the subscription was last about to be asked for.
    pub subscription_start: Option<Time>,
    /// Where the output stood after the last batch that was written to a regular file.
    pub mark: Option<OutputMark>,
    /// The service's time of the last commit; after lost state the floor, before which it was not.
    pub committed: Option<Time>,
}

/// An unbroken stretch of state: within it the ledger adds up. A new one begins where something was lost or started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub number: u32,
    /// When it began: the service's time, or the local clock if it began at open.
    pub began: Time,
    /// Why.
    pub why: EpochReason,
}

/// Why an [`Epoch`] began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochReason {
    /// There was no state.
    FirstStart,
    /// The wanted record types changed.
    FilterChanged,
    /// The state was found behind its witness.
    RolledBack,
    /// The state was damaged and moved aside.
    Damaged,
    /// The state was gone, while its witness was there.
    Vanished,
}

/// Why the state can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process uses it.
    #[error(
        "the state in {} is in use by {}: stop that process, or give this one a --state-dir of its own",
        dir.display(),
        holder(*pid, *since)
    )]
    Locked {
        /// The state directory.
        dir: PathBuf,
        /// Its process id, if it is known.
        pid: Option<u32>,
        /// When it started, if it is known.
        since: Option<Time>,
    },
    /// A newer release wrote it.
    #[error("the state was written by a newer release ({what}, version {version}) and is left untouched: use that release")]
    Newer {
        /// The file or key.
        what: String,
        /// The version found.
        version: u8,
    },
    /// The file system or quota is used up.
    #[error("no room for the state in {} ({detail}): nothing is lost, make room and start again", dir.display())]
    Full {
        /// The state directory.
        dir: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The state directory does not let us write.
    #[error("the state in {} can't be written ({detail}): check owner, permissions and mount options", dir.display())]
    Unwritable {
        /// The state directory.
        dir: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Something else failed while reading or writing.
    #[error("the state in {} failed ({detail}): nothing committed is lost, check the disk and start again", dir.display())]
    Io {
        /// The state directory.
        dir: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A value is not what was written.
    #[error("the state is damaged ({detail}): the next start moves it aside and goes on from its witness")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// A claim counts wrongly: a fault of this program.
    #[error("a blob of {feed} created at {created} does not add up ({counts:?}) and was not committed: please report this")]
    Unbalanced {
        /// The feed.
        feed: FeedId,
        /// The blob's `contentCreated`.
        created: Time,
        /// What does not add up.
        counts: Counts,
    },
    /// The store failed before.
    #[error("the state takes nothing more since it failed ({first}): start again")]
    Failed {
        /// The first error.
        first: String,
    },
}

impl StoreError {
    /// The error for a failed call of the system while `doing` something in the state directory.
    fn of_io(dir: &Path, doing: &str, error: &io::Error) -> Self {
        let (dir, detail) = (dir.to_owned(), format!("{doing}: {error}"));
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full { dir, detail },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Unwritable { dir, detail },
            _ => Self::Io { dir, detail },
        }
    }
}

fn holder(pid: Option<u32>, since: Option<Time>) -> String {
    match (pid, since) {
        (Some(pid), Some(since)) => format!("process {pid}, started at {since}"),
        (Some(pid), None) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
