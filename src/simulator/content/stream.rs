//! Large blobs, made while they are sent.

use std::sync::Arc;

use bytes::Bytes;

use super::Blob;
use super::generator::{Generator, Slot};

/// How much of a blob is made at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// A blob that is made while it is sent: an iterator over pieces of its text.
#[derive(Debug, Clone)]
pub struct BlobStream {
    generator: Arc<Generator>,
    own: Slot,
    count: u64,
    repeats: Vec<Slot>,
    turn: usize,
    next: u64,
    closed: bool,
    left: u64,
}

impl BlobStream {
    pub(super) fn new(generator: Arc<Generator>, blob: &Blob, count: u64, turn: usize) -> Self {
        let repeats = generator.repeats(blob);
        let own = Slot { first: blob.no, first_created: blob.created, index: 0 };
        Self { generator, own, count, repeats, turn, next: 0, closed: false, left: u64::MAX }
    }

    /// Ends the stream after `bytes`.
    pub(in super::super) fn limit(&mut self, bytes: u64) {
        self.left = self.left.min(bytes);
    }

    fn slot(&self, i: u64) -> Option<Slot> {
        if i < self.count {
            return Some(Slot { index: i, ..self.own });
        }
        self.repeats.get(usize::try_from(i - self.count).unwrap_or(usize::MAX)).copied()
    }
}

impl Iterator for BlobStream {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while !self.closed && out.len() < CHUNK_BYTES {
            out.push(if self.next == 0 { b'[' } else { b',' });
            match self.slot(self.next) {
                Some(slot) => out.extend_from_slice(self.generator.text(slot, self.turn).as_bytes()),
                None => {
                    // The comma that no element follows becomes the bracket that closes; an empty array needs both.
                    if self.next > 0 {
                        out.pop();
                    }
                    out.push(b']');
                    self.closed = true;
                }
            }
            self.next += 1;
        }
        out.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= out.len() as u64;
        (!out.is_empty()).then(|| out.into())
    }
}
