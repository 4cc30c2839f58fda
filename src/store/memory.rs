//! The store without a disk, for a dry run, and for tests and simulations of the rooms around it: the same commits, in a map.

use std::collections::{BTreeMap, BTreeSet};

use super::commit::day_of;
use super::edit::{Each, Values};
use super::{Restored, Store, StoreError, commit, inspect, restore, verify};
use crate::domain::{FeedId, RecordPrint};
use crate::sink::Receipt;

/// Keeps committed state in memory. A clone is the state as it was: what a crash and a restart would find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    pub(super) values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is remembered, by feed and day of delivery.
    records: BTreeMap<FeedId, BTreeMap<i64, BTreeSet<RecordPrint>>>,
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

    /// No secret: what is recognised here, as in a dry run, is only counted.
    fn print_key(&self) -> u64 {
        self.state
    }

    fn remembers(&mut self, feed: &FeedId, records: &[RecordPrint]) -> Result<BTreeSet<RecordPrint>, StoreError> {
        let days = self.records.get(feed).into_iter().flat_map(BTreeMap::values);
        Ok(days.flat_map(|day| records.iter().filter(|record| day.contains(record))).copied().collect())
    }

    fn commit(&mut self, receipt: Receipt) -> Result<(), StoreError> {
        let claim = receipt.claim();
        let (writes, root) = commit::plan(&self.values, claim, receipt.mark(), self.state)?;
        for (key, value) in writes {
            match value {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        let days = self.records.entry(claim.feed.clone()).or_default();
        days.entry(day_of(claim.at)).or_default().extend(&claim.records);
        *days = days.split_off(&day_of(root.forgotten));
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
