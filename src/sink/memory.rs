//! A sink without files or descriptors, for tests and simulations of the rooms around it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, DeadLetter, Receipt, Sink, SinkError};

/// Keeps what it is given. Clones share their content, so one can be asked while another is being written.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<u8>,
    dead: Vec<DeadLetter>,
    failing: Option<SinkError>,
    failed: Option<SinkError>,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lines delivered so far.
    pub fn lines(&self) -> Vec<u8> {
        self.lock().lines.clone()
    }

    /// The dead letters kept so far.
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.lock().dead.clone()
    }

    /// Lets the next batch fail: its lines are out, and there is no receipt, as when a reader dies in between.
    pub fn fail_next(&self, error: SinkError) {
        self.lock().failing = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn write(&mut self, batch: Batch) -> Result<Receipt, SinkError> {
        let mut inner = self.lock();
        if let Some(failed) = &inner.failed {
            return Err(failed.clone());
        }
        inner.lines.extend_from_slice(&batch.lines);
        if let Some(failing) = inner.failing.take() {
            inner.failed = Some(failing.clone());
            return Err(failing);
        }
        let dead_letters = batch.dead.len() as u64;
        inner.dead.extend(batch.dead);
        Ok(Receipt {
            claim: batch.claim,
            mark: None,
            lines: batch.line_count,
            bytes: batch.lines.len() as u64,
            dead_letters,
            dead_letters_lost: 0,
            spent: Vec::new(),
        })
    }
}
