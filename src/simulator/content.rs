//! The tenant's content blobs: which there are, when they appear, and what stands in them.
//!
//! A made-up blob costs no memory: everything about it follows from the seed and its number, so that a listing or a
//! download makes it anew, byte for byte the same. Blobs that a test hands in are kept as they are.

mod air;
mod awkward;
mod fields;
mod generator;
mod mail;
mod other;
mod records;
mod shelf;
mod stream;
mod threat;

use std::sync::Arc;

use bytes::Bytes;

use super::config::ServiceConfig;
use super::message::ReplyBody;
use crate::domain::{ContentId, ContentType, Time};
use generator::Generator;

pub(super) use generator::sample;
pub use shelf::NewBlob;
pub(super) use shelf::Shelf;
pub use stream::BlobStream;

/// A made-up blob of more records than this (about 3 MB) is made while it is sent.
const STREAM_RECORDS: u64 = 2_000;
/// Bits of a blob's number that hold its index; above them stands the content type.
const INDEX_BITS: u32 = 56;
/// The highest bit marks blobs that a test handed in.
const SHELF_BIT: u64 = 1 << 63;

/// A blob's number within one service: unique, and the order among blobs of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlobNo(pub(super) u64);

impl BlobNo {
    fn made(content_type: ContentType, index: u64) -> Self {
        Self((content_type as u64) << INDEX_BITS | index)
    }

    fn on_shelf(sequence: u64) -> Self {
        Self(SHELF_BIT | sequence)
    }
}

/// What a blob holds.
#[derive(Debug, Clone)]
pub(super) enum Stuff {
    /// These bytes.
    Bytes(Bytes),
    /// So many records made from the seed, before repetitions.
    Made(u64),
}

/// One blob of the tenant.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) no: BlobNo,
    pub(super) id: ContentId,
    pub(super) content_type: ContentType,
    /// `contentCreated`.
    pub(super) created: Time,
    /// From then on it is listed; later than `created` for a late one.
    pub(super) listed_at: Time,
    /// `contentExpiration`.
    pub(super) expires: Time,
    pub(super) stuff: Stuff,
}

/// Where a blob stands in the order of listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) created: Time,
    pub(super) no: BlobNo,
}

impl Place {
    pub(super) fn of(blob: &Blob) -> Self {
        Self { created: blob.created, no: blob.no }
    }

    /// Before every blob created at `time` or later.
    pub(super) fn just_before(time: Time) -> Self {
        Self { created: Time(time.0.saturating_sub(1)), no: BlobNo(u64::MAX) }
    }
}

/// Every blob of the tenant.
#[derive(Debug, Clone)]
pub(super) struct Catalogue {
    pub(super) generator: Arc<Generator>,
    pub(super) content_types: Vec<ContentType>,
    pub(super) shelf: Shelf,
}

impl Catalogue {
    pub(super) fn new(config: &ServiceConfig) -> Self {
        Self { generator: Arc::new(Generator::new(config)), content_types: config.content_types.clone(), shelf: Shelf::default() }
    }

    /// The blobs of a content type after `after` and created before `before`, listed or not, in the order of listings.
    pub(super) fn blobs(&self, content_type: ContentType, after: Place, before: Time) -> impl Iterator<Item = Blob> + '_ {
        let made = self.content_types.contains(&content_type);
        let mut made = self.generator.blobs(content_type, after, if made { before } else { Time::MIN }).peekable();
        let mut shelved = self.shelf.blobs(content_type, after, before).peekable();
        std::iter::from_fn(move || match (made.peek(), shelved.peek()) {
            (Some(m), Some(s)) if Place::of(s) < Place::of(m) => shelved.next().cloned(),
            (None, Some(_)) => shelved.next().cloned(),
            _ => made.next(),
        })
    }

    /// The blob with that id.
    pub(super) fn find(&self, id: &ContentId) -> Option<Blob> {
        if let Some(blob) = self.shelf.find(id) {
            return Some(blob.clone());
        }
        self.content_types.iter().find_map(|c| self.generator.find(*c, id))
    }

    /// The bytes of a blob. `turn` rotates the keys of made-up records.
    pub(super) fn open(&self, blob: &Blob, turn: usize) -> ReplyBody {
        match &blob.stuff {
            Stuff::Bytes(bytes) => ReplyBody::Whole(bytes.clone()),
            Stuff::Made(count) => {
                let stream = BlobStream::new(Arc::clone(&self.generator), blob, *count, turn);
                if *count > STREAM_RECORDS {
                    ReplyBody::Stream(Box::new(stream))
                } else {
                    ReplyBody::Whole(stream.flatten().collect::<Vec<u8>>().into())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(change: impl FnOnce(&mut ServiceConfig)) -> Catalogue {
        let mut config = ServiceConfig::new(Time::parse("2026-03-02T00:00:00Z").unwrap());
        config.content_from = Time::parse("2026-03-01T00:00:00Z").unwrap();
        change(&mut config);
        Catalogue::new(&config)
    }

    fn all(c: &Catalogue, before: &str) -> Vec<Blob> {
        c.blobs(ContentType::AuditGeneral, Place::just_before(Time::MIN), Time::parse(before).unwrap()).collect()
    }

    #[test]
    fn a_blob_follows_from_seed_and_number() {
        let text = |seed| {
            let c = catalogue(|config| config.seed = seed);
            let blob = all(&c, "2026-03-01T01:00:00Z").remove(3);
            (blob.id.clone(), c.open(&blob, 0).bytes())
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn blobs_stand_in_order_and_are_found_by_id() {
        for per_hour in [1, 7, 3600, 5_000_000] {
            let c = catalogue(|config| config.blobs_per_hour = per_hour);
            let blobs: Vec<_> = c.blobs(ContentType::AuditGeneral, Place::just_before(Time::MIN), Time::MAX).take(500).collect();
            assert!(blobs.windows(2).all(|w| Place::of(&w[0]) < Place::of(&w[1])), "{per_hour}");
            for (i, blob) in blobs.iter().enumerate() {
                assert_eq!(c.find(&blob.id).map(|b| b.no), Some(blob.no), "{per_hour} {}", blob.id);
                let rest = c.blobs(ContentType::AuditGeneral, Place::of(blob), Time::MAX).next().unwrap();
                if let Some(next) = blobs.get(i + 1) {
                    assert_eq!(rest.no, next.no, "{per_hour}");
                }
                let here = c.blobs(ContentType::AuditGeneral, Place::just_before(blob.created), Time::MAX).next().unwrap();
                assert!(here.created == blob.created && here.no <= blob.no);
            }
        }
    }

    #[test]
    fn an_hour_holds_what_the_rate_says() {
        let c = catalogue(|config| config.blobs_per_hour = 120);
        assert_eq!(all(&c, "2026-03-02T00:00:00Z").len(), 24 * 120);
        assert_eq!(all(&catalogue(|config| config.blobs_per_hour = 0), "2026-03-02T00:00:00Z").len(), 0);
        let ended = catalogue(|config| config.content_until = Time::parse("2026-03-01T02:00:00Z"));
        assert!(all(&ended, "2026-03-02T00:00:00Z").iter().all(|b| b.created < Time::parse("2026-03-01T02:00:00Z").unwrap()));
    }

    #[test]
    fn blobs_are_json_arrays_and_the_truth_fits_them() {
        let c = catalogue(|config| {
            config.wanted_share = 0.3;
            config.repeat_share = 0.2;
        });
        let mut repeated = 0;
        for blob in all(&c, "2026-03-01T03:00:00Z") {
            let Stuff::Made(count) = blob.stuff else { panic!() };
            let records: Vec<serde_json::Value> = serde_json::from_slice(&c.open(&blob, 0).bytes()).unwrap();
            assert_eq!(records.len() as u64, c.generator.elements(&blob, count));
            let found: Vec<_> = records
                .iter()
                .enumerate()
                .filter(|(_, r)| [28, 41, 47, 64].contains(&r["RecordType"].as_i64().unwrap_or(0)))
                .map(|(i, r)| (i as u64, r["Id"].as_str().unwrap().to_owned(), r["RecordType"].as_i64().unwrap()))
                .collect();
            let truth = c.generator.wanted(&blob, count);
            repeated += truth.iter().filter(|t| t.repeated).count();
            assert_eq!(found, truth.into_iter().map(|f| (f.index, f.id, f.record_type.unwrap().0)).collect::<Vec<_>>());
        }
        assert!(repeated > 0);
    }

    #[test]
    fn wanted_records_are_as_common_as_asked_and_of_all_four_types() {
        let c = catalogue(|config| config.blobs_per_hour = 400);
        let (mut wanted, mut total) = (std::collections::BTreeMap::new(), 0);
        for blob in all(&c, "2026-03-01T05:00:00Z") {
            let Stuff::Made(count) = blob.stuff else { panic!() };
            total += count;
            for w in c.generator.wanted(&blob, count) {
                *wanted.entry(w.record_type.unwrap().0).or_insert(0u64) += 1;
            }
        }
        assert_eq!(wanted.keys().copied().collect::<Vec<_>>(), [28, 41, 47, 64]);
        let share = wanted.values().sum::<u64>() as f64 / total as f64;
        assert!((0.04..0.06).contains(&share), "{share}");
    }

    #[test]
    fn a_streamed_blob_is_the_same_blob() {
        let c = catalogue(|config| {
            config.records_per_blob = 2_100..=2_100;
            config.blobs_per_hour = 1;
        });
        let blob = all(&c, "2026-03-01T02:00:00Z").remove(0);
        let body = c.open(&blob, 0);
        assert_eq!(body.known_length(), None);
        let records: Vec<serde::de::IgnoredAny> = serde_json::from_slice(&body.bytes()).unwrap();
        assert_eq!(records.len(), 2_100);
        let mut cut = body.clone();
        cut.truncate(100_000);
        assert_eq!(cut.bytes(), body.bytes()[..100_000]);
    }

    #[test]
    fn awkward_records_stay_json() {
        let c = catalogue(|config| {
            config.awkward_share = 1.0;
            config.wanted_share = 1.0;
        });
        for blob in all(&c, "2026-03-01T02:00:00Z") {
            let records: Vec<Box<serde_json::value::RawValue>> = serde_json::from_slice(&c.open(&blob, 3).bytes()).unwrap();
            assert!(!records.is_empty());
        }
    }
}
