//! Decode and filter beside what is known to be fast, over the same bytes in the same run.
//!
//! The bytes are more than a cache holds: those of a collector come from the network, and are seen once.

use std::fmt;
use std::hint::black_box;

use defender_feed::decode::{Decoder, Item};
use defender_feed::domain::RecordTypes;
use memchr::memmem;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::corpus::{Corpus, Stretch};
use crate::effort::Effort;
use crate::process::seconds_of;
use crate::report::{Goal, Report, median};

/// Twice the last-level caches of the machines that this runs on.
const BYTES: u64 = 512_000_000;
const RUNS: usize = 5;
/// As the network hands them out.
const CHUNK: usize = 16 * 1024;

/// The fewest fields by which a record could be filtered and named.
#[derive(Deserialize)]
struct TwoFields<'a> {
    #[serde(rename = "Id")]
    id: &'a str,
    #[serde(rename = "RecordType")]
    record_type: Number,
}

/// A record's type: a number, or the same number as a text.
struct Number(i64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number(0))
    }
}

impl Visitor<'_> for Number {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of a record type")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self, E> {
        Ok(Self(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self, E> {
        i64::try_from(number).map(Self).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        text.parse().map(Self).map_err(E::custom)
    }
}

/// A way to go through a blob. What it returns only keeps it from being left out as useless.
type Way = fn(&[u8]) -> u64;

/// What is measured: its name, how it goes through a blob, and how often it is to go through all, so that a run takes long
/// enough to be timed.
const WAYS: [(&str, Way, u32); 6] = [
    ("every byte read", read, 8),
    ("memmem for \"RecordType\":", find, 8),
    ("decode + filter", decode, 3),
    ("serde_json, two fields", two_fields, 1),
    ("serde_json, raw values + two fields", raw_values, 1),
    ("serde_json, Value", value, 1),
];
const FIND: usize = 1;
const DECODE: usize = 2;
const TWO_FIELDS: usize = 3;

fn read(blob: &[u8]) -> u64 {
    let words = blob.chunks_exact(8);
    let rest = words.remainder().iter().fold(0, |sum, byte| sum ^ u64::from(*byte));
    words.fold(rest, |sum, word| sum ^ u64::from_le_bytes(word.try_into().expect("a chunk of eight has eight")))
}

fn find(blob: &[u8]) -> u64 {
    memmem::find_iter(blob, "\"RecordType\":").count() as u64
}

/// What the collector does with a blob, up to the records.
pub(crate) fn decode(blob: &[u8]) -> u64 {
    let mut wanted = 0;
    let mut each = |item: Item<'_>| {
        if let Item::Wanted { raw, .. } = item {
            wanted += black_box(raw).len() as u64;
        }
    };
    let mut decoder = Decoder::new(RecordTypes::defender());
    for chunk in blob.chunks(CHUNK) {
        decoder.push(chunk, &mut each);
    }
    let ending = decoder.finish(&mut each);
    ending.elements + wanted
}

fn two_fields(blob: &[u8]) -> u64 {
    let records: Vec<TwoFields<'_>> = serde_json::from_slice(blob).expect("the corpus is JSON");
    records.iter().map(|record| record.id.len() as u64 + record.record_type.0.unsigned_abs()).sum()
}

fn raw_values(blob: &[u8]) -> u64 {
    let records: Vec<&RawValue> = serde_json::from_slice(blob).expect("the corpus is JSON");
    let two = |record: &&RawValue| serde_json::from_str::<TwoFields<'_>>(record.get()).expect("the corpus is JSON").record_type.0;
    records.iter().map(|record| two(record).unsigned_abs()).sum()
}

fn value(blob: &[u8]) -> u64 {
    let records: serde_json::Value = serde_json::from_slice(blob).expect("the corpus is JSON");
    records.as_array().map_or(0, |records| records.len() as u64)
}

/// GB/s of one way, gone so many times.
fn speed(stretch: &Stretch, way: Way, times: u32) -> f64 {
    let seconds = seconds_of(|| {
        for _ in 0..times {
            stretch.blobs().for_each(|blob| {
                black_box(way(black_box(blob)));
            });
        }
    });
    stretch.bytes.len() as f64 * f64::from(times) / seconds / 1e9
}

/// GB/s of decode + filter where this share of the records is wanted: the median of some runs.
pub(crate) fn speed_at(share: f64) -> f64 {
    let stretch = Corpus::with_wanted(share).stretch(BYTES);
    median((0..RUNS).map(|_| speed(&stretch, decode, 3)))
}

/// The rows of all ways. Ratios are those of one round, in which all ways take their turn: what else runs on the machine
/// then slows them all.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let stretch = Corpus::new().stretch(effort.of(BYTES, BYTES / 2));
    let rounds: Vec<[f64; WAYS.len()]> = (0..RUNS).map(|_| WAYS.map(|(_, way, times)| speed(&stretch, way, times))).collect();
    for (n, (name, ..)) in WAYS.iter().enumerate() {
        report.tell(name, median(rounds.iter().map(|round| round[n])), "GB/s");
    }
    let over = |other: usize| median(rounds.iter().map(|round| round[DECODE] / round[other]));
    report.hold("decode + filter over memmem", over(FIND), "x", Goal::at_least(0.25).aim(0.35));
    report.hold("decode + filter over serde_json, two fields", over(TWO_FIELDS), "x", Goal::at_least(1.1).aim(2.0));
}
