//! The one writer of the process: sink, then store, batch by batch, on a thread of its own.
//!
//! Feeds take turns in the order in which they hand over a batch; each has at most one here. So no more than one batch is
//! ever written without being committed, whatever the number of tenants.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::duplicates::{Duplicates, Piece};
use crate::domain::{Claim, Counts, Gap};
use crate::feed::batch::BATCH_BYTES_MAX;
use crate::mutant::{self, Mutant};
use crate::sink::{Batch, Sink, SinkError};
use crate::store::{Store, StoreError};

/// Why nothing can be written or committed any more. The process has to end: what was written since the last commit is
/// delivered again at the next start.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The reader of the output has gone.
    #[error("{0}")]
    Closed(String),
    /// The output is full or fails.
    #[error("{0}")]
    Output(String),
    /// The dead-letter file or the store failed.
    #[error("{0}")]
    State(String),
    /// The writer has ended before.
    #[error("the writer has ended")]
    Ended,
}

/// What a committed batch held.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Blobs done.
    pub blobs: u64,
    /// What became of their records.
    pub counts: Counts,
    /// Lines delivered, of blobs that are not done yet too.
    pub lines: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Gaps found or closed, as committed.
    pub gaps: Vec<Gap>,
    /// The memory of its lines.
    pub(super) spent: Vec<u8>,
}

/// How many batches' memory is kept while nothing is in it: one batch fills while another is written.
const SPARES: usize = 2;

/// A batch on its way, and where its outcome is to be told.
pub(crate) struct Job {
    pub(crate) batch: Batch,
    /// Which of its lines can be recognised as delivered before.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) answer: oneshot::Sender<Result<Written, WriteError>>,
}

/// Hands batches to the writer.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Each feed has at most one batch here, so their number bounds it.
    jobs: mpsc::UnboundedSender<Job>,
    /// The memory of batches that were committed, for whichever feed fills the next one. Given back to the system after each
    /// batch, it would cost a page fault for each 4 kB of every batch.
    spares: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Writer {
    /// Starts the writer. It ends, and closes the store, when the last `Writer` is dropped.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn spawn<S: Sink, T: Store>(sink: S, store: T) -> std::io::Result<(Self, JoinHandle<Result<(), StoreError>>)> {
        let (writer, mut queue) = Self::queue();
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
            let mut desk = Desk::new(sink, store);
            while let Some(Job { batch, pieces, answer }) = queue.blocking_recv() {
                // A feed that has ended meanwhile needs no answer.
                let _ = answer.send(desk.write(batch, &pieces));
            }
            desk.store.close()
        })?;
        Ok((writer, thread))
    }

    /// A writer whose batches somebody else takes to a [`Desk`].
    pub(crate) fn queue() -> (Self, mpsc::UnboundedReceiver<Job>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        (Self { jobs, spares: Arc::default() }, queue)
    }

    /// Empty memory for the lines of a batch, with room for so many bytes.
    pub(super) fn spare(&self, room: usize) -> Vec<u8> {
        let mut spare = self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        spare.reserve(room);
        spare
    }

    /// Takes the memory of a batch that was committed.
    pub(super) fn keep(&self, mut spent: Vec<u8>) {
        spent.clear();
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        // What an unusually large batch has taken is not held on to.
        if spares.len() < SPARES && (1..=BATCH_BYTES_MAX).contains(&spent.capacity()) {
            spares.push(spent);
        }
    }

    /// Hands a batch over; the answer comes when it is committed.
    pub(super) fn send(&self, batch: Batch, pieces: Vec<Piece>) -> oneshot::Receiver<Result<Written, WriteError>> {
        let (answer, result) = oneshot::channel();
        // If the writer has ended, the answer's sender is dropped with the job, which the receiver notices.
        let _ = self.jobs.send(Job { batch, pieces, answer });
        result
    }
}

/// Where batches are written and committed, one after the other, until one fails.
pub(crate) struct Desk<S, T> {
    sink: S,
    store: T,
    duplicates: Duplicates,
    broken: Option<WriteError>,
}

impl<S: Sink, T: Store> Desk<S, T> {
    pub(crate) fn new(sink: S, store: T) -> Self {
        Self { sink, store, duplicates: Duplicates::default(), broken: None }
    }

    pub(crate) fn write(&mut self, mut batch: Batch, pieces: &[Piece]) -> Result<Written, WriteError> {
        let result = match &self.broken {
            Some(error) => Err(error.clone()),
            None => {
                let dropped = self.duplicates.drop_from(&mut batch, pieces, &mut self.store);
                let dropped = dropped.map_err(|error| WriteError::State(error.to_string()));
                dropped.and_then(|()| write(&mut self.sink, &mut self.store, batch))
            }
        };
        if result.is_err() {
            self.store.output_failed();
        }
        self.broken = result.as_ref().err().cloned();
        result
    }
}

fn write<S: Sink, T: Store>(sink: &mut S, store: &mut T, mut batch: Batch) -> Result<Written, WriteError> {
    let mut late = None;
    if mutant::on(Mutant::P11) {
        let lines = std::mem::take(&mut batch.lines);
        let claim = Claim { done: Vec::new(), gaps: Vec::new(), parts: Vec::new(), ..batch.claim.clone() };
        late = Some(Batch { claim, lines, line_count: batch.line_count, dead: Vec::new() });
    }
    let mut receipt = sink.write(batch).map_err(|error| match error {
        SinkError::DeadLetter { .. } => WriteError::State(error.to_string()),
        SinkError::Closed { .. } => WriteError::Closed(error.to_string()),
        _ => WriteError::Output(error.to_string()),
    })?;
    let spent = receipt.take_spent();
    let claim = receipt.claim();
    let mut written = Written {
        blobs: claim.done.len() as u64,
        lines: receipt.lines(),
        dead_letters: receipt.dead_letters(),
        gaps: claim.gaps.clone(),
        counts: Counts::default(),
        spent,
    };
    claim.done.iter().for_each(|(_, counts)| written.counts.add(counts));
    store.commit(receipt).map_err(|error| WriteError::State(error.to_string()))?;
    if let Some(late) = late {
        let _ = sink.write(late);
    }
    Ok(written)
}
