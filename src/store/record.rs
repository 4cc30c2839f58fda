//! The payloads: the root of a feed, chunks of done blobs, parts, gaps, tallies.

use serde::{Deserialize, Serialize};

use super::Epoch;
use crate::domain::{BlobKey, Counts, Gap, GapReason, Part, Time};
use crate::sink::OutputMark;

/// Most prints in one chunk of done blobs: 4 kB. sled keeps up to 20 values in a page, and writes a page of more than
/// 128 kB into a file of its own; chunks of this size stay clear of that (see [`LARGE_VALUE`]), and a commit rewrites
/// little.
pub(super) const CHUNK_PRINTS: usize = 512;

/// A value of more bytes than this could make sled spill a page (see `store/sled.rs`, "Large values").
pub(super) const LARGE_VALUE: usize = 6_000;

/// Most bytes of a stored gap, for the same reason. Longer ones lose their detail first, then the blob's URI, which the
/// next listing tells again.
const GAP_BYTES: usize = 5_000;

/// The root of a feed: all that is single about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) generation: u64,
    pub(super) floor: Time,
    pub(super) begin: Time,
    pub(super) filter: String,
    pub(super) subscription_start: Option<Time>,
    pub(super) epoch: Epoch,
    pub(super) mark: Option<OutputMark>,
    /// The service's time of the first commit and of the last.
    pub(super) created: Time,
    pub(super) updated: Time,
    /// Done blobs created before this are forgotten.
    pub(super) forgotten: Time,
    /// The first hour that is still kept by itself, and the first day.
    pub(super) hours_from: i64,
    pub(super) days_from: i64,
    /// Everything counted since the first epoch that is still in this store, and the share of it whose days are gone.
    pub(super) total: Tally,
    pub(super) expired: Tally,
    /// The number of the state that the feed belongs to, the same in its witness; 0 if it is not known.
    #[serde(default)]
    pub(super) state: u64,
    /// The sum of the weights of all other values of the feed, in hexadecimal.
    #[serde(with = "hex128")]
    pub(super) digest: u128,
}

/// What a stretch of `contentCreated` holds: blobs, and the records of the blobs that are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Blobs that are done.
    pub(super) done: u64,
    /// How often a blob that was done was delivered again: after a change of the filter, or of lost state.
    pub(super) again: u64,
    /// Blobs in open gaps, by reason in the order of [`GapReason::ALL`].
    pub(super) gaps: [u64; GapReason::ALL.len()],
    /// The records of every delivery that `done` and `again` count.
    pub(super) records: Counts,
}

impl Tally {
    pub(super) fn gap(&mut self, reason: GapReason) -> &mut u64 {
        let at = GapReason::ALL.iter().position(|r| *r == reason).expect("ALL lists every reason");
        &mut self.gaps[at]
    }

    pub(super) fn add(&mut self, other: &Tally) {
        self.done += other.done;
        self.again += other.again;
        for (mine, theirs) in self.gaps.iter_mut().zip(other.gaps) {
            *mine += theirs;
        }
        self.records.add(&other.records);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.done, self.again].into_iter().chain(self.gaps) {
            put_number(&mut out, number);
        }
        put_counts(&mut out, &self.records);
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let mut tally = Self { done: take_number(input)?, again: take_number(input)?, ..Self::default() };
        for gap in &mut tally.gaps {
            *gap = take_number(input)?;
        }
        tally.records = take_counts(input)?;
        input.is_empty().then_some(tally)
    }
}

impl Root {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are always JSON")
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Prints, strictly ascending, eight bytes each.
pub(super) fn encode_chunk(prints: &[u64]) -> Vec<u8> {
    prints.iter().flat_map(|print| print.to_be_bytes()).collect()
}

pub(super) fn decode_chunk(bytes: &[u8]) -> Option<Vec<u64>> {
    let (prints, rest) = bytes.as_chunks::<8>();
    let prints: Vec<u64> = prints.iter().map(|print| u64::from_be_bytes(*print)).collect();
    let fits = rest.is_empty() && !prints.is_empty() && prints.len() <= CHUNK_PRINTS;
    (fits && prints.is_sorted_by(|a, b| a < b)).then_some(prints)
}

/// A part without its blob, which the key names.
pub(super) fn encode_part(part: &Part) -> Vec<u8> {
    let mut out = part.digest.to_be_bytes().to_vec();
    put_number(&mut out, part.elements);
    put_counts(&mut out, &part.counts);
    out
}

pub(super) fn decode_part(key: BlobKey, bytes: &[u8]) -> Option<Part> {
    let (digest, mut rest) = bytes.split_first_chunk::<16>()?;
    let input = &mut rest;
    let elements = take_number(input)?;
    let counts = take_counts(input)?;
    input.is_empty().then_some(Part { key, elements, digest: u128::from_be_bytes(*digest), counts })
}

pub(super) fn encode_gap(gap: &Gap) -> Vec<u8> {
    let json = |gap: &Gap| serde_json::to_vec(gap).expect("numbers and strings are always JSON");
    let whole = json(gap);
    if whole.len() <= GAP_BYTES {
        return whole;
    }
    let mut gap = gap.clone();
    gap.detail = gap.detail.chars().take(200).collect();
    if json(&gap).len() > GAP_BYTES
        && let Some(blob) = &mut gap.blob
    {
        blob.entry.uri.clear();
    }
    json(&gap)
}

pub(super) fn decode_gap(bytes: &[u8]) -> Option<Gap> {
    serde_json::from_slice(bytes).ok()
}

fn put_counts(out: &mut Vec<u8>, counts: &Counts) {
    for number in [counts.read, counts.delivered, counts.filtered, counts.duplicate, counts.dead_lettered] {
        put_number(out, number);
    }
}

fn take_counts(input: &mut &[u8]) -> Option<Counts> {
    Some(Counts {
        read: take_number(input)?,
        delivered: take_number(input)?,
        filtered: take_number(input)?,
        duplicate: take_number(input)?,
        dead_lettered: take_number(input)?,
    })
}

/// LEB128: most of these numbers are small, and there are 2,160 hours of them for each feed.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|n| n >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

mod hex128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        u128::from_str_radix(&String::deserialize(deserializer)?, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BlobEntry, ContentId, GapBlob, GapId};
    use proptest::prelude::*;

    fn counts() -> impl Strategy<Value = Counts> {
        any::<[u64; 5]>().prop_map(|[read, delivered, filtered, duplicate, dead_lettered]| Counts {
            read,
            delivered,
            filtered,
            duplicate,
            dead_lettered,
        })
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(done in any::<u64>(), again in any::<u64>(), gaps in any::<[u64; 8]>(), records in counts(),
                                         prints in proptest::collection::btree_set(any::<u64>(), 1..CHUNK_PRINTS), digest in any::<u128>()) {
            let tally = Tally { done, again, gaps, records };
            prop_assert_eq!(Tally::decode(&tally.encode()), Some(tally));
            let part = Part { key: BlobKey { created: Time(5), print: 7 }, elements: done, digest, counts: records };
            prop_assert_eq!(decode_part(part.key, &encode_part(&part)), Some(part));
            let prints: Vec<u64> = prints.into_iter().collect();
            prop_assert_eq!(decode_chunk(&encode_chunk(&prints)), Some(prints));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let key = BlobKey { created: Time(5), print: 7 };
            let _ = (Tally::decode(&bytes), decode_part(key, &bytes), decode_chunk(&bytes), Root::decode(&bytes), decode_gap(&bytes));
        }
    }

    #[test]
    fn a_chunk_holds_some_prints_in_order_and_nothing_else() {
        let most: Vec<u64> = (0..CHUNK_PRINTS as u64).collect();
        assert_eq!(decode_chunk(&encode_chunk(&most)), Some(most.clone()));
        let more = [&most[..], &[u64::MAX]].concat();
        let torn = [&encode_chunk(&most)[..], &[0]].concat();
        for bytes in [Vec::new(), vec![1], encode_chunk(&more), torn, encode_chunk(&[2, 1]), encode_chunk(&[1, 1])] {
            assert_eq!(decode_chunk(&bytes), None, "{} bytes", bytes.len());
        }
    }

    fn gap(uri: String, detail: String) -> Gap {
        Gap {
            id: GapId(1),
            reason: GapReason::Unreadable,
            from: Time(1),
            to: Time(1),
            blob: Some(GapBlob {
                entry: BlobEntry { id: ContentId("blob".into()), uri, created: Time(1), expires: None },
                attempts: 3,
                accepted: Some(u64::MAX),
            }),
            provisional: true,
            closed: None,
            found: Time(2),
            detail,
        }
    }

    #[test]
    fn a_gap_keeps_the_address_that_fits() {
        let least = encode_gap(&gap(String::new(), "x".repeat(200))).len();
        for (more, stays) in [(0, true), (1, false)] {
            let gap = gap("u".repeat(GAP_BYTES - least + more), "x".repeat(201));
            let kept = decode_gap(&encode_gap(&gap)).unwrap().blob.unwrap().entry.uri;
            assert_eq!(kept == gap.blob.unwrap().entry.uri, stays, "{} bytes", kept.len());
        }
    }

    #[test]
    fn a_gap_of_any_length_fits_a_page() {
        let long = "\u{1}".repeat(20_000);
        let gap = gap(long.clone(), long);
        let stored = encode_gap(&gap);
        assert!(stored.len() <= GAP_BYTES);
        let back = decode_gap(&stored).unwrap();
        assert_eq!((back.id, back.blob.unwrap().entry.key()), (gap.id, gap.blob.unwrap().entry.key()));
    }
}
