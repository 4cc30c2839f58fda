//! What a commit asserts: the claim that travels inside a batch and comes back inside its receipt.

use serde::{Deserialize, Serialize};

use super::{BlobKey, FeedId, Gap, RecordPrint, Time};

/// What became of the records of a blob: `read = delivered + filtered + duplicate + dead_lettered`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Elements found.
    pub read: u64,
    /// Lines written.
    pub delivered: u64,
    /// Elements of a type that is not wanted.
    pub filtered: u64,
    /// Elements recognised as delivered before.
    pub duplicate: u64,
    /// Elements put into the dead-letter file.
    pub dead_lettered: u64,
}

impl Counts {
    /// True if each element is accounted for.
    pub fn balances(&self) -> bool {
        self.read == self.delivered + self.filtered + self.duplicate + self.dead_lettered
    }

    /// Adds another blob's counts.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.delivered += other.delivered;
        self.filtered += other.filtered;
        self.duplicate += other.duplicate;
        self.dead_lettered += other.dead_lettered;
    }
}

/// The part of a large or broken blob that has been delivered: a retry skips its first `elements` elements if the wanted
/// ones among them have the same digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The blob.
    pub key: BlobKey,
    /// How many elements of the array, from the first, are accounted for.
    pub elements: u64,
    /// SipHash-2-4-128 of index and print of each wanted element below `elements`; a hash of its bytes stands in for a print.
    pub digest: u128,
    /// What became of those elements.
    pub counts: Counts,
}

/// What is true once a batch has been delivered. Each statement holds whatever happens to the others; only what is done
/// is stated, so losing a claim can only repeat work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The feed it is about.
    pub feed: FeedId,
    /// The service's time when it was made.
    pub at: Time,
    /// Every blob listed so far with an older `contentCreated` is done or in a gap. Never moves back.
    pub floor: Time,
    /// Nothing before this was ever asked for: the start of retention at the first start, or `--not-before`.
    pub begin: Time,
    /// The wanted record types, printed; a change starts a new cursor.
    pub filter: String,
    /// Blobs that are done, with what became of their records.
    pub done: Vec<(BlobKey, Counts)>,
    /// Parts of blobs that are delivered while the rest is to come. Replaces an earlier part of the same blob.
    pub parts: Vec<Part>,
    /// Gaps found, changed or closed.
    pub gaps: Vec<Gap>,
    /// Records that are delivered, to be recognised if they arrive again.
    pub records: Vec<RecordPrint>,
    /// When a start of the subscription was last about to be asked for.
    pub subscription_start: Option<Time>,
    /// Done blobs created before this can't be listed any more and are forgotten.
    pub forget_before: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts { read: 47, delivered: 7, filtered: 11, duplicate: 13, dead_lettered: 16 };

    #[test]
    fn counts_balance_when_each_record_is_in_one_place() {
        assert!(COUNTS.balances() && Counts::default().balances());
        for (read, counts) in [(46, COUNTS), (48, COUNTS), (1, Counts::default())] {
            assert!(!Counts { read, ..counts }.balances(), "{read}");
        }
    }

    #[test]
    fn counts_add_up_column_by_column() {
        let mut sum = Counts { read: 1, delivered: 2, filtered: 3, duplicate: 4, dead_lettered: 5 };
        sum.add(&COUNTS);
        assert_eq!(sum, Counts { read: 48, delivered: 9, filtered: 14, duplicate: 17, dead_lettered: 21 });
    }
}
