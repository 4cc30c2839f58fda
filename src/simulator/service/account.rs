//! What a client must have got, and how it behaved.

use std::collections::BTreeSet;

use super::super::content::{Blob, Place, Stuff};
use super::super::ledger::Ledger;
use super::super::truth::{BlobTruth, Found, Reading, Truth, WantedRecord, read};
use super::Service;
use crate::domain::{ContentId, RecordTypes, Time};

impl Service {
    /// How the client has behaved so far.
    pub fn ledger(&self) -> &Ledger {
        &self.keeper.ledger
    }

    /// All blobs that have been available until `now`, in the order of creation, by content type. Blobs that a stopped
    /// subscription hides are not among them.
    pub fn blobs(&self, now: Time) -> impl Iterator<Item = BlobTruth> + '_ {
        self.available(now).map(move |blob| self.blob_truth(&blob, now))
    }

    /// All wanted records that have been available until `now`.
    pub fn truth(&self, now: Time) -> Truth {
        Truth { records: self.wanted(now).collect() }
    }

    /// The records of [`Service::truth`] one by one, for tenants too large to hold them all.
    pub fn wanted(&self, now: Time) -> impl Iterator<Item = WantedRecord> + '_ {
        self.available(now).flat_map(move |blob| {
            let obtainable = self.is_obtainable(&blob, now);
            let sent = self.counts.get(&blob.no).map_or(0, |c| u64::from(c.sent));
            let records = self.records_of(&blob).wanted;
            records.into_iter().map(move |found| WantedRecord {
                id: found.id,
                record_type: found.record_type.map(|t| t.0),
                blob: blob.id.clone(),
                index: found.index,
                repeated: found.repeated,
                created: blob.created,
                listed_at: blob.listed_at,
                obtainable,
                sent,
            })
        })
    }

    /// How often a blob was asked for.
    pub fn fetches(&self, id: &ContentId) -> u64 {
        self.catalogue.find(id).and_then(|b| self.counts.get(&b.no)).map_or(0, |c| u64::from(c.fetched))
    }

    fn available(&self, now: Time) -> impl Iterator<Item = Blob> + '_ {
        let types: BTreeSet<_> = self.config.content_types.iter().copied().chain(self.catalogue.shelf.content_types()).collect();
        types.into_iter().flat_map(move |content_type| {
            let before = Time(now.0.saturating_add(1));
            let all = self.catalogue.blobs(content_type, Place::just_before(Time::MIN), before);
            all.filter(move |blob| self.is_there(blob, now))
        })
    }

    fn is_obtainable(&self, blob: &Blob, now: Time) -> bool {
        blob.expires > now && blob.created >= now - self.config.oldest_start && !self.schedule.spoils_forever(&blob.id)
    }

    fn blob_truth(&self, blob: &Blob, now: Time) -> BlobTruth {
        let count = self.counts.get(&blob.no).copied().unwrap_or_default();
        let Reading { elements, wanted } = self.records_of(blob);
        BlobTruth {
            id: blob.id.clone(),
            content_type: blob.content_type,
            created: blob.created,
            listed_at: blob.listed_at,
            expires: blob.expires,
            elements,
            wanted: wanted.len() as u64,
            expired: blob.expires <= now,
            spoilt: self.schedule.spoils_forever(&blob.id),
            obtainable: self.is_obtainable(blob, now),
            listed: u64::from(count.listed),
            fetched: u64::from(count.fetched),
            sent: u64::from(count.sent),
        }
    }

    fn records_of(&self, blob: &Blob) -> Reading {
        match &blob.stuff {
            Stuff::Made(count) => Reading {
                elements: Some(self.catalogue.generator.elements(blob, *count)),
                wanted: self.catalogue.generator.wanted(blob, *count),
            },
            Stuff::Bytes(bytes) => {
                let mut reading = read(bytes, &RecordTypes::defender());
                if let Some(ids) = self.catalogue.shelf.wanted(blob.no) {
                    let told = |(id, index): (&String, u64)| Found { index, id: id.clone(), record_type: None, repeated: false };
                    reading.wanted = ids.iter().zip(0..).map(told).collect();
                }
                reading
            }
        }
    }
}
