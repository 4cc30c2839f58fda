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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::domain::{ContentType, FeedId};

    /// Five values; counts the keys that were shown.
    struct Counting {
        values: BTreeMap<Vec<u8>, Vec<u8>>,
        shown: Cell<usize>,
    }

    impl Counting {
        fn new() -> Self {
            let value = |n: u8| (vec![n], frame::seal(&[n], b"payload"));
            Self { values: (1..=5).map(value).collect(), shown: Cell::new(0) }
        }
    }

    impl Values for Counting {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.values.get(key).cloned())
        }

        fn walk(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), StoreError> {
            for (key, value) in self.values.range(from.to_vec()..to.to_vec()) {
                self.shown.set(self.shown.get() + 1);
                if each(key, value)?.is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    fn edit(values: &Counting) -> Edit<'_> {
        let tenant = "11111111-0000-4000-8000-000000000001".parse().unwrap();
        Edit::new(values, Keys::new(&FeedId { tenant, content_type: ContentType::AuditGeneral }), 7)
    }

    #[test]
    fn what_stays_as_it_is_is_not_written() {
        let values = Counting::new();
        let mut same = edit(&values);
        same.put(vec![1], b"payload").unwrap();
        same.remove(vec![9]).unwrap();
        assert_eq!(same.finish(), (Writes::new(), 7));
        let mut other = edit(&values);
        other.put(vec![1], b"another").unwrap();
        let (writes, digest) = other.finish();
        assert_eq!((writes.len(), digest == 7), (1, false));
    }

    #[test]
    fn a_list_reads_no_further_than_it_must() {
        let values = Counting::new();
        let mut edit = edit(&values);
        edit.remove(vec![1]).unwrap();
        edit.put(vec![0], b"payload").unwrap();
        edit.put(vec![6], b"payload").unwrap();
        for (limit, keys, shown) in [(1, vec![0], 2), (2, vec![0, 2], 3), (100, vec![0, 2, 3, 4, 5, 6], 5)] {
            values.shown.set(0);
            let listed = edit.list((vec![0], vec![9]), limit).unwrap();
            assert_eq!(listed, keys.into_iter().map(|key| vec![key]).collect::<Vec<_>>());
            assert_eq!(values.shown.get(), shown, "with a limit of {limit}");
        }
        values.shown.set(0);
        for (from, to, limit) in [(3, 3, 9), (4, 3, 9), (0, 9, 0)] {
            assert_eq!(edit.list((vec![from], vec![to]), limit).unwrap(), Vec::<Vec<u8>>::new());
        }
        assert_eq!(values.shown.get(), 0);
    }

    #[test]
    fn errors_name_the_key() {
        let key = b"v1/tenant/\x01";
        let StoreError::Damaged { detail } = unreadable(key) else { panic!("another error") };
        assert!(detail.starts_with(r"v1/tenant/\u{1}: "), "{detail}");
        let StoreError::Damaged { detail } = payload(key, b"").unwrap_err() else { panic!("another error") };
        assert!(detail.starts_with("v1/tenant/"), "{detail}");
    }
}
