//! The store without a disk, for a dry run, and for tests and simulations of the rooms around it: the same commits, in a map.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::{Each, Values};
use super::{Restored, Store, StoreError, commit, inspect, remembered, restore, verify};
use crate::domain::{FeedId, RecordPrint};
use crate::sink::Receipt;

/// Keeps committed state in memory. A clone is the state as it was: what a crash and a restart would find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    pub(super) values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The number of the state. Nothing can be mixed up with this one, so any will do.
    pub(super) state: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What [`inspect::inspect`] tells of a state directory.
    ///
    /// # Errors
    /// If a value can't be read.
    pub fn inspect(&self) -> Result<Vec<inspect::FeedView>, StoreError> {
        inspect::feeds(&self.values)
    }

    /// What does not add up.
    ///
    /// # Errors
    /// If a value can't be read.
    pub fn verify(&self) -> Result<Vec<verify::Finding>, StoreError> {
        verify::recount(&self.values)
    }
}

impl Store for MemoryStore {
    fn restore(&mut self, feed: &FeedId) -> Result<Restored, StoreError> {
        restore::feed(&self.values, feed)
    }

    fn remembers(&mut self, feed: &FeedId, records: &[RecordPrint]) -> Result<BTreeSet<RecordPrint>, StoreError> {
        remembered::among(&self.values, feed, records.iter().copied())
    }

    fn commit(&mut self, receipt: Receipt) -> Result<(), StoreError> {
        let (writes, _) = commit::plan(&self.values, receipt.claim(), receipt.mark(), self.state)?;
        for (key, value) in writes {
            match value {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        Ok(())
    }

    fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Values for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn walk(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), StoreError> {
        for (key, value) in self.range(from.to_vec()..to.to_vec()) {
            if each(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
