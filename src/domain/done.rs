//! The set of blobs that need no more work, kept at eight bytes each.

use std::collections::BTreeMap;

use super::{BlobKey, Time};

/// Blobs are grouped by five minutes of `contentCreated`: 2,016 buckets for seven days, and at 3.5 million blobs a
/// bucket of 14 kB, small enough to be written again with each commit that touches it.
pub const BUCKET_MS: i64 = 5 * 60 * 1000;

/// Blobs that are done or given up, by bucket of `contentCreated`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneSet {
    buckets: BTreeMap<i64, Vec<u64>>,
    len: usize,
}

impl DoneSet {
    /// The bucket of a blob created at `created`.
    pub fn bucket_of(created: Time) -> i64 {
        created.0.div_euclid(BUCKET_MS)
    }

    /// Puts a whole bucket in place, as read from the store. The prints need not be sorted.
    pub fn restore(&mut self, bucket: i64, mut prints: Vec<u64>) {
        prints.sort_unstable();
        prints.dedup();
        prints.shrink_to_fit();
        self.len += prints.len();
        if let Some(old) = self.buckets.insert(bucket, prints) {
            self.len -= old.len();
        }
    }

    /// Adds a blob; false if it was there.
    pub fn insert(&mut self, key: BlobKey) -> bool {
        let prints = self.buckets.entry(Self::bucket_of(key.created)).or_default();
        match prints.binary_search(&key.print) {
            Ok(_) => false,
            Err(at) => {
                prints.insert(at, key.print);
                self.len += 1;
                true
            }
        }
    }

    /// Takes a blob out again; false if it was not there.
    pub fn remove(&mut self, key: BlobKey) -> bool {
        let Some(prints) = self.buckets.get_mut(&Self::bucket_of(key.created)) else { return false };
        let Ok(at) = prints.binary_search(&key.print) else { return false };
        prints.remove(at);
        self.len -= 1;
        true
    }

    /// True if the blob is in the set.
    pub fn contains(&self, key: BlobKey) -> bool {
        self.buckets.get(&Self::bucket_of(key.created)).is_some_and(|p| p.binary_search(&key.print).is_ok())
    }

    /// Forgets the buckets that end at or before `horizon`.
    pub fn forget_before(&mut self, horizon: Time) {
        let keep = self.buckets.split_off(&Self::bucket_of(horizon));
        self.len -= std::mem::replace(&mut self.buckets, keep).values().map(Vec::len).sum::<usize>();
    }

    /// Forgets the buckets from the one of `from` on.
    pub fn forget_from(&mut self, from: Time) {
        let gone = self.buckets.split_off(&Self::bucket_of(from));
        self.len -= gone.values().map(Vec::len).sum::<usize>();
    }

    /// A moment up to which blobs are in it, to five minutes; `None` if there are none.
    pub fn newest(&self) -> Option<Time> {
        self.buckets.keys().next_back().map(|bucket| Time(bucket.saturating_mul(BUCKET_MS)))
    }

    /// How many blobs it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buckets and their sorted prints, oldest first.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, &[u64])> {
        self.buckets.iter().map(|(b, p)| (*b, p.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentId;

    #[test]
    fn remembers_until_told_to_forget() {
        let mut set = DoneSet::default();
        let key = |n: i64| BlobKey::new(&ContentId(format!("blob{n}")), Time(n * 60_000));
        for n in 0..100 {
            assert!(set.insert(key(n)));
            assert!(!set.insert(key(n)));
        }
        assert_eq!(set.len(), 100);
        set.forget_before(Time(50 * 60_000));
        assert_eq!(set.len(), 50);
        assert!(!set.contains(key(49)) && set.contains(key(50)));
        assert!(set.remove(key(60)) && !set.contains(key(60)));
        set.forget_from(Time(90 * 60_000));
        assert!(set.contains(key(89)) && !set.contains(key(90)));
        assert_eq!(set.len(), 39);
    }

    #[test]
    fn the_newest_is_known_to_five_minutes() {
        let mut set = DoneSet::default();
        assert_eq!(set.newest(), None);
        for minute in [61, 3, 59] {
            set.insert(BlobKey::new(&ContentId(format!("blob{minute}")), Time(minute * 60_000)));
        }
        assert_eq!(set.newest(), Some(Time(60 * 60_000)));
    }

    #[test]
    fn a_bucket_is_five_minutes() {
        let of = |ms| DoneSet::bucket_of(Time(ms));
        assert_eq!([of(-1), of(0), of(299_999), of(300_000), of(600_000)], [-1, 0, 0, 1, 2]);
    }

    #[test]
    fn buckets_are_restored_whole_in_any_order_and_handed_out_sorted() {
        let mut set = DoneSet::default();
        assert!(set.is_empty());
        set.restore(7, vec![3, 1, 2, 1]);
        set.restore(5, vec![9]);
        assert_eq!((set.len(), set.is_empty()), (4, false));
        assert_eq!(set.buckets().collect::<Vec<_>>(), [(5, &[9][..]), (7, &[1, 2, 3][..])]);
        assert!(set.contains(BlobKey { created: Time(7 * BUCKET_MS), print: 3 }));
        set.restore(7, vec![4]);
        assert_eq!(set.len(), 2, "the newer bucket takes the older one's place");
    }
}
