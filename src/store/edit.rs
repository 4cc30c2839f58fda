//! One commit under way: the values as they are, overlaid with what will change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::StoreError;
use super::frame::{self, FrameError};
use super::key::Keys;

/// Looks at a key and its value, and says whether to go on.
pub(super) type Each<'e> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'e;

/// What a store reads from.
pub(super) trait Values {
    /// The stored value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows every key in `from..to` with its value, in order, until told to stop.
    fn walk(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), StoreError>;
}

/// What a commit changes: values to put in place, and `None` for keys to remove.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Collects the changes of one commit to one feed and keeps the feed's digest up to date.
pub(super) struct Edit<'a> {
    values: &'a dyn Values,
    pub(super) keys: Keys,
    writes: Writes,
    digest: u128,
}

impl<'a> Edit<'a> {
    /// An edit on top of `values`, of a feed whose digest is `digest` so far.
    pub(super) fn new(values: &'a dyn Values, keys: Keys, digest: u128) -> Self {
        Self { values, keys, writes: Writes::new(), digest }
    }

    /// The payload of a key as it will be.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.stored(key)?.map(|value| payload(key, &value).map(<[u8]>::to_vec)).transpose()
    }

    /// As [`Edit::get`], read by `decode`.
    pub(super) fn read<T>(&self, key: &[u8], decode: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, StoreError> {
        let Some(payload) = self.get(key)? else { return Ok(None) };
        decode(&payload).map(Some).ok_or_else(|| unreadable(key))
    }

    /// Puts a payload in place.
    pub(super) fn put(&mut self, key: Vec<u8>, payload: &[u8]) -> Result<(), StoreError> {
        let value = frame::seal(&key, payload);
        match self.stored(&key)? {
            Some(old) if old == value => return Ok(()),
            Some(old) => self.digest = self.digest.wrapping_sub(frame::weight(&key, &old)),
            None => {}
        }
        self.digest = self.digest.wrapping_add(frame::weight(&key, &value));
        self.writes.insert(key, Some(value));
        Ok(())
    }

    /// Removes a key, if it is there.
    pub(super) fn remove(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if let Some(old) = self.stored(&key)? {
            self.digest = self.digest.wrapping_sub(frame::weight(&key, &old));
            self.writes.insert(key, None);
        }
        Ok(())
    }

    /// The first `limit` keys in a range as it will be.
    pub(super) fn list(&self, (from, to): (Vec<u8>, Vec<u8>), limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        let added = self.writes.range(from.clone()..to.clone()).filter(|(_, value)| value.is_some());
        let mut keys: BTreeSet<Vec<u8>> = added.map(|(key, _)| key.clone()).take(limit).collect();
        let mut found = 0;
        self.values.walk(&from, &to, &mut |key, _| {
            if !self.writes.contains_key(key) {
                keys.insert(key.to_vec());
                found += 1;
            }
            Ok(if found < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(keys.into_iter().take(limit).collect())
    }

    /// The changes, and the digest of the feed after them. The root is not part of the digest: it carries it.
    pub(super) fn finish(self) -> (Writes, u128) {
        (self.writes, self.digest)
    }

    fn stored(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.values.get(key),
        }
    }
}

/// The payload of a stored value.
pub(super) fn payload<'v>(key: &[u8], value: &'v [u8]) -> Result<&'v [u8], StoreError> {
    frame::open(key, value).map_err(|error| match error {
        FrameError::Newer(version) => StoreError::Newer { what: printable(key), version },
        FrameError::Damaged(why) => StoreError::Damaged { detail: format!("{}: {why}", printable(key)) },
    })
}

/// The error for a payload that passes its checksum and still can't be read.
pub(super) fn unreadable(key: &[u8]) -> StoreError {
    StoreError::Damaged { detail: format!("{}: it can't be read", printable(key)) }
}

/// A key as it may be printed.
pub(super) fn printable(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[..key.len().min(120)]).escape_default().to_string()
}
