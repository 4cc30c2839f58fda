//! A sieve in memory: tells of most records that they are not remembered, so that nothing is read from the disk for them.
//!
//! A Bloom filter of a fixed size, whatever the number of feeds and records. It errs in one direction only: what it lets
//! through is looked up. With four million records two in a hundred new ones are looked up for nothing; beyond that it only
//! gets slower.

/// Blocks of 64 bytes, the share of memory that is fetched at once: 4 MiB.
const BLOCKS: usize = 1 << 16;
const WORDS: usize = 8;
/// Bits that a record sets in its block.
const PROBES: u32 = 6;
/// After so many insertions it is made anew, if as many records are gone meanwhile as there are.
const INSERTIONS_MIN: u64 = 1 << 20;

/// What may be remembered.
#[derive(Debug, Clone)]
pub(super) struct Sieve {
    blocks: Vec<[u64; WORDS]>,
    inserted: u64,
    /// How many there were when it was made.
    at_first: u64,
}

impl Sieve {
    pub(super) fn new() -> Self {
        Self { blocks: vec![[0; WORDS]; BLOCKS], inserted: 0, at_first: 0 }
    }

    /// All that is remembered now is in it.
    pub(super) fn is_made(&mut self) {
        self.at_first = self.inserted;
    }

    /// True if most of what is in it may have been forgotten.
    pub(super) fn is_clogged(&self) -> bool {
        self.inserted - self.at_first > self.at_first.max(INSERTIONS_MIN)
    }

    pub(super) fn insert(&mut self, hash: u128) {
        self.inserted += 1;
        let (block, bits) = place(hash);
        for bit in bits {
            self.blocks[block][bit / 64] |= 1 << (bit % 64);
        }
    }

    /// False only if it is not remembered.
    pub(super) fn may_hold(&self, hash: u128) -> bool {
        let (block, bits) = place(hash);
        bits.into_iter().all(|bit| self.blocks[block][bit / 64] & (1 << (bit % 64)) != 0)
    }
}

/// The block of a hash and the bits in it: hashes are even in all their bits, so they are taken as they are.
fn place(hash: u128) -> (usize, [usize; PROBES as usize]) {
    let bits = (hash >> 64) as u64;
    let bit = |n: u32| (bits >> (n * 9)) as usize % (64 * WORDS);
    (hash as usize % BLOCKS, [bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u128 {
        use siphasher::sip128::{Hasher128, SipHasher13};
        use std::hash::Hasher;
        let mut hasher = SipHasher13::new();
        hasher.write_u64(n);
        hasher.finish128().as_u128()
    }

    #[test]
    fn it_forgets_nothing_and_lets_little_through() {
        let mut sieve = Sieve::new();
        let many = 1_000_000;
        (0..many).for_each(|n| sieve.insert(hash(n)));
        assert!((0..many).all(|n| sieve.may_hold(hash(n))));
        let passed = (many..2 * many).filter(|n| sieve.may_hold(hash(*n))).count();
        assert!(passed < 200, "{passed} of a million new ones");
    }

    #[test]
    fn it_is_clogged_when_it_may_hold_twice_as_much_as_it_must() {
        let mut sieve = Sieve::new();
        (0..INSERTIONS_MIN).for_each(|n| sieve.insert(hash(n)));
        assert!(!sieve.is_clogged());
        sieve.insert(hash(0));
        assert!(sieve.is_clogged());
        sieve.is_made();
        assert!(!sieve.is_clogged());
    }
}
