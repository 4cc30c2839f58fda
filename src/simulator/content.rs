//! The tenant's content blobs: which there are, when they appear, and what stands in them.
//!
//! A made-up blob costs no memory: everything about it follows from the seed and its number, so that a listing or a
//! download makes it anew, byte for byte the same. Blobs that a test hands in are kept as they are.

mod air;
mod awkward;
mod fields;
mod mail;
mod other;
mod records;
mod shelf;
mod threat;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::config::ServiceConfig;
use super::dice::Dice;
use super::truth::Found;
use crate::domain::{ContentId, ContentType, RecordType, TenantId, Time};
use records::{Kind, Origin};

pub use shelf::NewBlob;
pub(super) use shelf::Shelf;

/// What a throw of the dice is for; each purpose has its own dice.
mod purpose {
    pub(super) const MOMENT: u64 = 1;
    pub(super) const LATE: u64 = 2;
    pub(super) const COUNT: u64 = 3;
    pub(super) const KIND: u64 = 4;
    pub(super) const ID: u64 = 5;
    pub(super) const RECORD: u64 = 6;
    pub(super) const REPEAT: u64 = 7;
    pub(super) const NAME: u64 = 8;
}

/// A repeated record comes again at most this many blobs later: enough to cross pages and windows, and cheap to look up.
const REPEAT_SPAN: u64 = 8;
/// A made-up blob of more records than this (about 3 MB) is made while it is sent.
const STREAM_RECORDS: u64 = 2_000;
/// How much of a streamed blob is made at a time.
const CHUNK_BYTES: usize = 16 * 1024;
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

/// One element of a made-up blob, without its text.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The blob that has the record first; equal to the blob in hand unless the record is repeated.
    first: BlobNo,
    first_created: Time,
    index: u64,
}

/// Makes blobs from a seed.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    seed: u64,
    tenant: TenantId,
    from: Time,
    until: Time,
    per_hour: u64,
    records: (u64, u64),
    wanted_share: f64,
    awkward_share: f64,
    late_share: f64,
    late_by: Duration,
    repeat_share: f64,
    retention: Duration,
}

const HOUR_MS: i128 = 3_600_000;

impl Generator {
    pub(super) fn new(config: &ServiceConfig) -> Self {
        Self {
            seed: config.seed,
            tenant: config.tenant.clone(),
            from: config.content_from,
            until: config.content_until.unwrap_or(Time::MAX),
            per_hour: u64::from(config.blobs_per_hour),
            records: (
                u64::from(*config.records_per_blob.start()),
                u64::from(*config.records_per_blob.end()).max(u64::from(*config.records_per_blob.start())),
            ),
            wanted_share: config.wanted_share,
            awkward_share: config.awkward_share,
            late_share: config.late_share,
            late_by: config.late_by,
            repeat_share: config.repeat_share,
            retention: config.retention,
        }
    }

    fn dice(&self, purpose: u64, no: BlobNo, index: u64) -> Dice {
        Dice::new(self.seed, &[purpose, no.0, index])
    }

    /// The begin of the stretch in which blob `index` appears: each has one of its own, all equally long.
    fn stretch(&self, index: u64) -> Time {
        let offset = i128::from(index) * HOUR_MS / i128::from(self.per_hour.max(1));
        Time(self.from.0.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX)).min(Time::MAX.0))
    }

    fn created(&self, content_type: ContentType, index: u64) -> Time {
        let begin = self.stretch(index);
        let length = u64::try_from(self.stretch(index + 1).0 - begin.0).unwrap_or(0);
        begin + Duration::from_millis(self.dice(purpose::MOMENT, BlobNo::made(content_type, index), 0).below(length))
    }

    /// The first blob that can have appeared at `time` or later.
    fn first_index(&self, time: Time) -> u64 {
        let offset = i128::from(time.0.max(self.from.0)) - i128::from(self.from.0);
        let index = offset * i128::from(self.per_hour) / HOUR_MS;
        // One earlier: the division rounds, and a blob may stand at its stretch's end.
        u64::try_from(index).unwrap_or(0).saturating_sub(1)
    }

    /// Blob `index`, if it belongs to the tenant's history.
    fn blob(&self, content_type: ContentType, index: u64) -> Option<Blob> {
        if self.per_hour == 0 || index >= 1 << INDEX_BITS {
            return None;
        }
        let created = self.created(content_type, index);
        if created >= self.until {
            return None;
        }
        let no = BlobNo::made(content_type, index);
        let mut late = self.dice(purpose::LATE, no, 0);
        let delay = if late.chance(self.late_share) {
            let most = u64::try_from(self.late_by.as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(late.between(most / 10, most))
        } else {
            Duration::ZERO
        };
        Some(Blob {
            no,
            id: content_id(content_type, created, index, self.dice(purpose::NAME, no, 0).roll()),
            content_type,
            created,
            listed_at: created + delay,
            expires: created + self.retention,
            stuff: Stuff::Made(self.count(no)),
        })
    }

    fn count(&self, no: BlobNo) -> u64 {
        self.dice(purpose::COUNT, no, 0).between(self.records.0, self.records.1)
    }

    /// The blobs of a content type after `after` and created before `before`, in the order of creation.
    fn blobs(&self, content_type: ContentType, after: Place, before: Time) -> impl Iterator<Item = Blob> + '_ {
        (self.first_index(after.created)..)
            .map_while(move |index| self.blob(content_type, index))
            .skip_while(move |blob| Place::of(blob) <= after)
            .take_while(move |blob| blob.created < before)
    }

    /// The made-up blob with that id.
    fn find(&self, content_type: ContentType, id: &ContentId) -> Option<Blob> {
        let created = created_in(&id.0)?;
        let first = self.first_index(created);
        let near = (first..).map_while(|i| self.blob(content_type, i)).take_while(|b| b.created <= created);
        near.into_iter().find(|b| b.id == *id)
    }

    fn kind(&self, no: BlobNo, index: u64) -> Kind {
        Kind::draw(&mut self.dice(purpose::KIND, no, index), self.wanted_share)
    }

    /// How many blobs later this record comes again.
    fn repeated_after(&self, no: BlobNo, index: u64) -> Option<u64> {
        let mut dice = self.dice(purpose::REPEAT, no, index);
        dice.chance(self.repeat_share).then(|| dice.between(1, REPEAT_SPAN))
    }

    /// The records of earlier blobs that come again in this one.
    fn repeats(&self, blob: &Blob) -> Vec<Slot> {
        if self.repeat_share <= 0.0 || blob.no.0 & SHELF_BIT != 0 {
            return Vec::new();
        }
        let index = blob.no.0 & ((1 << INDEX_BITS) - 1);
        let mut slots = Vec::new();
        for back in 1..=REPEAT_SPAN.min(index) {
            let Some(first) = self.blob(blob.content_type, index - back) else { continue };
            for i in 0..self.count(first.no) {
                if self.kind(first.no, i).wanted().is_some() && self.repeated_after(first.no, i) == Some(back) {
                    slots.push(Slot { first: first.no, first_created: first.created, index: i });
                }
            }
        }
        slots
    }

    fn slots(&self, blob: &Blob, count: u64) -> impl Iterator<Item = Slot> + use<> {
        let (first, first_created) = (blob.no, blob.created);
        let own = (0..count).map(move |index| Slot { first, first_created, index });
        own.chain(self.repeats(blob))
    }

    fn id(&self, slot: Slot) -> String {
        self.dice(purpose::ID, slot.first, slot.index).guid()
    }

    fn text(&self, slot: Slot, turn: usize) -> String {
        let id = self.id(slot);
        let origin = Origin { tenant: self.tenant.as_str(), id: &id, available: slot.first_created };
        let mut dice = self.dice(purpose::RECORD, slot.first, slot.index);
        records::record(self.kind(slot.first, slot.index), &origin, &mut dice, self.awkward_share).render(turn)
    }

    /// The wanted records of a made-up blob.
    pub(super) fn wanted(&self, blob: &Blob, count: u64) -> Vec<Found> {
        let slots = self.slots(blob, count).enumerate();
        slots
            .filter_map(|(i, slot)| {
                let record_type = self.kind(slot.first, slot.index).wanted()?;
                let (id, repeated) = (self.id(slot), slot.first != blob.no);
                Some(Found { index: i as u64, id, record_type: Some(record_type), repeated })
            })
            .collect()
    }

    /// How many elements a made-up blob has.
    pub(super) fn elements(&self, blob: &Blob, count: u64) -> u64 {
        count + self.repeats(blob).len() as u64
    }
}

/// One realistic record of that type and id. Types other than Defender's four become one of another workload.
pub fn sample(tenant: &TenantId, record_type: RecordType, id: &str, available: Time, seed: u64) -> String {
    let mut dice = Dice::new(seed, &[purpose::RECORD]);
    let kind = Kind::of(record_type).unwrap_or_else(|| Kind::draw(&mut dice, 0.0));
    records::record(kind, &Origin { tenant: tenant.as_str(), id, available }, &mut dice, 0.0).render(0)
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

/// `20260301120051748005825$20260301120218791111944$audit_general$Audit_General$emea0001` (`activity-api.md` section 5.4).
fn content_id(content_type: ContentType, created: Time, index: u64, chance: u64) -> ContentId {
    let mut dice = Dice::new(chance, &[]);
    let gathered = created - Duration::from_millis(dice.between(60_000, 120_000));
    let name = content_type.as_str().replace('.', "_");
    ContentId(format!(
        "{}{:06}${}{:06}${}${name}$emea0001",
        gathered.utc().format("%Y%m%d%H%M%S%3f"),
        dice.below(1_000_000),
        created.utc().format("%Y%m%d%H%M%S%3f"),
        index % 1_000_000,
        name.to_ascii_lowercase(),
    ))
}

/// The creation time in a made-up content id.
fn created_in(id: &str) -> Option<Time> {
    let digits = id.split('$').nth(1)?.get(..17)?;
    let time = chrono::NaiveDateTime::parse_from_str(digits.get(..14)?, "%Y%m%d%H%M%S").ok()?;
    let fraction: i64 = digits.get(14..)?.parse().ok()?;
    Some(Time(time.and_utc().timestamp_millis() + fraction))
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
    pub(super) fn open(&self, blob: &Blob, turn: usize) -> super::message::ReplyBody {
        use super::message::ReplyBody;
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

/// A blob that is made while it is sent: an iterator over pieces of its text.
#[derive(Debug, Clone)]
pub struct BlobStream {
    generator: Arc<Generator>,
    own: Slot,
    count: u64,
    repeats: Vec<Slot>,
    turn: usize,
    next: u64,
    closed: bool,
    left: u64,
}

impl BlobStream {
    fn new(generator: Arc<Generator>, blob: &Blob, count: u64, turn: usize) -> Self {
        let repeats = generator.repeats(blob);
        let own = Slot { first: blob.no, first_created: blob.created, index: 0 };
        Self { generator, own, count, repeats, turn, next: 0, closed: false, left: u64::MAX }
    }

    /// Ends the stream after `bytes`.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.left = self.left.min(bytes);
    }

    fn slot(&self, i: u64) -> Option<Slot> {
        if i < self.count {
            return Some(Slot { index: i, ..self.own });
        }
        self.repeats.get(usize::try_from(i - self.count).unwrap_or(usize::MAX)).copied()
    }
}

impl Iterator for BlobStream {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while !self.closed && out.len() < CHUNK_BYTES {
            out.push(if self.next == 0 { b'[' } else { b',' });
            match self.slot(self.next) {
                Some(slot) => out.extend_from_slice(self.generator.text(slot, self.turn).as_bytes()),
                None => {
                    // The comma that no element follows becomes the bracket that closes; an empty array needs both.
                    if self.next > 0 {
                        out.pop();
                    }
                    out.push(b']');
                    self.closed = true;
                }
            }
            self.next += 1;
        }
        out.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= out.len() as u64;
        (!out.is_empty()).then(|| out.into())
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
