//! The sink: delivers lines, keeps dead letters, and hands out the only proof of it, the [`Receipt`].
//!
//! The order is *write, delivered, commit* (law L2). A [`Batch`] carries the claim that becomes true once its lines are
//! delivered; [`Sink::write`] takes the batch and gives the claim back only inside a receipt; the store's `commit`
//! takes nothing else. A receipt can be made in this room only, so the wrong order does not compile:
//!
//! ```
//! # use defender_feed::sink::{Batch, Receipt, Sink, SinkError};
//! fn right(sink: &mut impl Sink, batch: Batch) -> Result<Receipt, SinkError> {
//!     sink.write(batch)
//! }
//! ```
//!
//! A batch is no receipt, and nothing makes it one without writing it:
//!
//! ```compile_fail
//! # use defender_feed::sink::{Batch, Receipt, Sink, SinkError};
//! fn wrong(_sink: &mut impl Sink, batch: Batch) -> Result<Receipt, SinkError> {
//!     Ok(batch.into())
//! }
//! ```
//!
//! ```compile_fail
//! # use defender_feed::domain::Claim;
//! # use defender_feed::sink::Receipt;
//! fn forged(claim: Claim) -> Receipt {
//!     Receipt { claim, mark: None, lines: 0, bytes: 0, dead_letters: 0, dead_letters_lost: 0, spent: Vec::new() }
//! }
//! ```
//!
//! *Delivered* means: for a regular file, every byte written and `fsync` returned; for a pipe, FIFO, socket or terminal,
//! every byte written; for a pipe or FIFO with [`Output::drain`], every byte written and read. After an error a sink takes
//! no further batch: what the reader got is unknown from then on, and only a restart from the committed state puts it right.
//!
//! This room knows nothing of records, requests or the store. Standard output is touched in `sink/stdout.rs` alone.

mod dead_letter;
mod delivery;
mod destination;
pub(crate) mod directory;
mod drain;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hangup;
mod memory;
mod nowhere;
mod output;
mod stdout;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::{Claim, ContentId, TenantId, Time};

pub use dead_letter::{DEAD_LETTER_LIMIT, DeadLetters, Kept};
pub use delivery::{Delivery, Letters, Lines};
pub use destination::Destination;
pub use file::LinesFile;
pub use hangup::{HangupWatch, watch_hangup};
pub use memory::MemorySink;
pub use nowhere::Nowhere;
pub use output::{Healed, Output};
pub use stdout::stdout;

/// An element of a blob that can't be a line, or a part of one that is too large to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The blob it came in.
    pub content_id: ContentId,
    /// The blob's `contentCreated`.
    pub created: Time,
    /// The element's place in the blob's array, from 0.
    pub index: u64,
    /// Why it is no line, in snake_case.
    pub reason: &'static str,
    /// Which part of the element this is, from 0.
    pub part: u32,
    /// True for the element's last part.
    pub last: bool,
    /// The bytes as received.
    pub bytes: Vec<u8>,
}

/// What is delivered and committed in one go: lines, dead letters, and what is true once both are out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What may be committed afterwards.
    pub claim: Claim,
    /// Whole lines, each with its `\n`. May be empty: a claim about blobs without wanted records passes the sink too.
    pub lines: Vec<u8>,
    /// How many lines that is.
    pub line_count: u64,
    /// What goes to the dead-letter file.
    pub dead: Vec<DeadLetter>,
}

/// Where a regular output file stood after a batch: a later run knows by it whether its output is the same file, still whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMark {
    /// The file system's device number.
    pub device: u64,
    /// The inode on it.
    pub inode: u64,
    /// Bytes in the file up to the end of the batch.
    pub length: u64,
}

/// The proof that a batch was delivered. Only a sink can make one.
#[derive(Debug)]
#[must_use = "a receipt that is not committed means that the batch is delivered again after a restart"]
pub struct Receipt {
    claim: Claim,
    mark: Option<OutputMark>,
    lines: u64,
    bytes: u64,
    dead_letters: u64,
    dead_letters_lost: u64,
    spent: Vec<u8>,
}

impl Receipt {
    /// What is true now. It can differ from what the batch said: see [`Receipt::dead_letters_lost`].
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The claim, for the one who commits it.
    pub fn into_claim(self) -> Claim {
        self.claim
    }

    /// Where the output stood after the batch, if it is a regular file.
    pub fn mark(&self) -> Option<OutputMark> {
        self.mark
    }

    /// Lines delivered.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes of lines delivered.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Dead letters that are safely on disk.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters
    }

    /// Dead letters that were not kept because the file has reached its limit: a reason for an alarm. Their blobs are
    /// not done in the claim but in a `dead_letter_full` gap.
    pub fn dead_letters_lost(&self) -> u64 {
        self.dead_letters_lost
    }

    /// The memory that the lines were in, empty, for those of a later batch.
    pub fn take_spent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spent)
    }
}

/// Delivers batches.
pub trait Sink: Send + 'static {
    /// Delivers a batch; blocks for as long as the reader is slow, and returns only when all of it is delivered.
    ///
    /// # Errors
    /// If it can't be delivered. Part of the lines may be out; none of the claim may be committed; the sink refuses
    /// every further batch with the same error.
    fn write(&mut self, batch: Batch) -> Result<Receipt, SinkError>;
}

/// Why a batch could not be delivered. Nothing of it is committed: a restart delivers it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Nobody reads the output any more.
    #[error("{output} is closed ({detail}): nothing undelivered was committed, start again with its reader running")]
    Closed {
        /// The output's name.
        output: String,
        /// What the system said.
        detail: String,
    },
    /// The output's file system, quota or size limit is used up.
    #[error("{output} is full ({detail}): nothing undelivered was committed, make room and start again")]
    Full {
        /// The output's name.
        output: String,
        /// What the system said.
        detail: String,
    },
    /// It was asked to tell what has been read, and can't.
    #[error(
        "{output} is {what}, and nothing tells what has been read from that: --drain needs a pipe or a regular file; leave it out, \
         or say --drain=false"
    )]
    NotDrainable {
        /// The output's name.
        output: String,
        /// What it is.
        what: String,
    },
    /// The output failed otherwise.
    #[error("{output} can't be written ({detail}): nothing undelivered was committed, mend it and start again")]
    Io {
        /// The output's name.
        output: String,
        /// What the system said.
        detail: String,
    },
    /// The dead-letter file of a tenant can't be written.
    #[error(
        "dead letters of tenant {tenant} can't be written to {} ({detail}): nothing of the batch was committed, make room or \
         mend the permissions and start again",
        path.display()
    )]
    DeadLetter {
        /// The tenant.
        tenant: TenantId,
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}
