//! Done blobs of one bucket, kept in chunks that sled can hold in a page.

use std::collections::BTreeMap;

use super::StoreError;
use super::edit::Edit;
use super::key::{Name, parse};
use super::record::{CHUNK_PRINTS, decode_chunk, encode_chunk};

/// The chunks of one bucket of done blobs.
pub(super) struct Chunks {
    bucket: i64,
    chunks: BTreeMap<u32, (Vec<u64>, bool)>,
}

impl Chunks {
    /// Reads them.
    pub(super) fn load(edit: &Edit<'_>, bucket: i64) -> Result<Self, StoreError> {
        let mut chunks = BTreeMap::new();
        for key in edit.list(edit.keys.done(bucket, bucket + 1), usize::MAX)? {
            if let (Ok((_, Name::Done { chunk, .. })), Some(prints)) = (parse(&key), edit.read(&key, decode_chunk)?) {
                chunks.insert(chunk, (prints, false));
            }
        }
        Ok(Self { bucket, chunks })
    }

    /// Adds a print to the last chunk, or to a new one if that is full; false if some chunk has it.
    pub(super) fn insert(&mut self, print: u64) -> bool {
        if self.chunks.values().any(|(prints, _)| prints.binary_search(&print).is_ok()) {
            return false;
        }
        match self.chunks.last_entry() {
            Some(mut last) if last.get().0.len() < CHUNK_PRINTS => {
                let (prints, changed) = last.get_mut();
                let at = prints.binary_search(&print).unwrap_or_else(|at| at);
                prints.insert(at, print);
                *changed = true;
            }
            last => {
                let next = last.map_or(0, |last| last.key() + 1);
                self.chunks.insert(next, (vec![print], true));
            }
        }
        true
    }

    /// Writes those that changed.
    pub(super) fn store(self, edit: &mut Edit<'_>) -> Result<(), StoreError> {
        for (chunk, (prints, changed)) in self.chunks {
            if changed {
                let key = edit.keys.of(Name::Done { bucket: self.bucket, chunk });
                edit.put(key, &encode_chunk(&prints))?;
            }
        }
        Ok(())
    }
}
