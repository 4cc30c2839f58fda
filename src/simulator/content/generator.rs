//! Made-up blobs: each follows from the seed and its number.

use std::time::Duration;

use super::super::config::ServiceConfig;
use super::super::dice::Dice;
use super::super::truth::Found;
use super::records::{self, Kind, Origin};
use super::{Blob, BlobNo, INDEX_BITS, Place, SHELF_BIT, Stuff};
use crate::domain::{ContentId, ContentType, RecordType, TenantId, Time};

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

/// One element of a made-up blob, without its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The blob that has the record first; equal to the blob in hand unless the record is repeated.
    pub(super) first: BlobNo,
    pub(super) first_created: Time,
    pub(super) index: u64,
}

/// Makes blobs from a seed.
#[derive(Debug, Clone)]
pub(in super::super) struct Generator {
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
    pub(in super::super) fn new(config: &ServiceConfig) -> Self {
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
    pub(super) fn blobs(&self, content_type: ContentType, after: Place, before: Time) -> impl Iterator<Item = Blob> + '_ {
        (self.first_index(after.created)..)
            .map_while(move |index| self.blob(content_type, index))
            .skip_while(move |blob| Place::of(blob) <= after)
            .take_while(move |blob| blob.created < before)
    }

    /// The made-up blob with that id.
    pub(super) fn find(&self, content_type: ContentType, id: &ContentId) -> Option<Blob> {
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
    pub(super) fn repeats(&self, blob: &Blob) -> Vec<Slot> {
        if self.repeat_share <= 0.0 || blob.no.0 & SHELF_BIT != 0 {
            return Vec::new();
        }
        let index = blob.no.0 & ((1 << INDEX_BITS) - 1);
        let mut slots = Vec::new();
        for back in 1..=REPEAT_SPAN.min(index) {
            let first = BlobNo::made(blob.content_type, index - back);
            let again = |i: &u64| {
                // The cheaper question first: most records never come again.
                self.repeated_after(first, *i) == Some(back) && self.kind(first, *i).wanted().is_some()
            };
            let first_created = self.created(blob.content_type, index - back);
            slots.extend((0..self.count(first)).filter(again).map(|index| Slot { first, first_created, index }));
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

    pub(super) fn text(&self, slot: Slot, turn: usize) -> String {
        let id = self.id(slot);
        let origin = Origin { tenant: self.tenant.as_str(), id: &id, available: slot.first_created };
        let mut dice = self.dice(purpose::RECORD, slot.first, slot.index);
        records::record(self.kind(slot.first, slot.index), &origin, &mut dice, self.awkward_share).render(turn)
    }

    /// The wanted records of a made-up blob.
    pub(in super::super) fn wanted(&self, blob: &Blob, count: u64) -> Vec<Found> {
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
    pub(in super::super) fn elements(&self, blob: &Blob, count: u64) -> u64 {
        count + self.repeats(blob).len() as u64
    }
}

/// One realistic record of that type and id. Types other than Defender's four become one of another workload.
pub(in super::super) fn sample(tenant: &TenantId, record_type: RecordType, id: &str, available: Time, seed: u64) -> String {
    let mut dice = Dice::new(seed, &[purpose::RECORD]);
    let kind = Kind::of(record_type).unwrap_or_else(|| Kind::draw(&mut dice, 0.0));
    records::record(kind, &Origin { tenant: tenant.as_str(), id, available }, &mut dice, 0.0).render(0)
}

/// `20260301120051748005825$20260301120218791111944$audit_general$Audit_General$emea0001` (`activity-api.md` section 5.4).
pub(super) fn content_id(content_type: ContentType, created: Time, index: u64, chance: u64) -> ContentId {
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
