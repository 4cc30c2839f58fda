//! Blobs that a test hands in.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use super::generator::content_id;
use super::{Blob, BlobNo, Place, Stuff};
use crate::domain::{ContentId, ContentType, Time};

/// A blob to be put into a service; what is not said takes the usual value.
#[derive(Debug, Clone)]
pub struct NewBlob {
    pub(super) created: Time,
    pub(super) listed_at: Option<Time>,
    pub(super) expires: Option<Time>,
    pub(in super::super) content_type: ContentType,
    pub(super) id: Option<ContentId>,
    pub(super) stuff: Stuff,
    pub(super) wanted: Option<Vec<String>>,
}

impl NewBlob {
    /// A blob of `Audit.General` with that `contentCreated` and these bytes, whatever they are.
    pub fn new(created: Time, body: impl Into<Bytes>) -> Self {
        Self {
            created,
            listed_at: None,
            expires: None,
            content_type: ContentType::AuditGeneral,
            id: None,
            stuff: Stuff::Bytes(body.into()),
            wanted: None,
        }
    }

    /// A blob of `records` made-up records. A large one is made while it is sent, so it may be larger than memory.
    pub fn made(created: Time, records: u64) -> Self {
        Self { stuff: Stuff::Made(records), ..Self::new(created, Bytes::new()) }
    }

    /// It is listed only from then on (default: from its creation).
    #[must_use]
    pub fn listed_at(mut self, time: Time) -> Self {
        self.listed_at = Some(time);
        self
    }

    /// Its `contentExpiration` (default: creation and the retention of the service).
    #[must_use]
    pub fn expires(mut self, time: Time) -> Self {
        self.expires = Some(time);
        self
    }

    /// Another content type.
    #[must_use]
    pub fn content_type(mut self, content_type: ContentType) -> Self {
        self.content_type = content_type;
        self
    }

    /// Its `contentId` (default: one in the service's form). The first blob keeps an id that is given twice.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(ContentId(id.to_owned()));
        self
    }

    /// The ids of its wanted records, for bodies that the truth can't read by itself.
    #[must_use]
    pub fn wanted<S: Into<String>>(mut self, ids: impl IntoIterator<Item = S>) -> Self {
        self.wanted = Some(ids.into_iter().map(Into::into).collect());
        self
    }
}

/// The blobs handed in, in the order of listings.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Shelf {
    blobs: BTreeMap<Place, Blob>,
    by_id: BTreeMap<ContentId, Place>,
    wanted: BTreeMap<BlobNo, Vec<String>>,
}

impl Shelf {
    /// Puts a blob on the shelf and tells its id.
    pub(in super::super) fn add(&mut self, new: NewBlob, retention: Duration) -> ContentId {
        let sequence = self.blobs.len() as u64;
        let no = BlobNo::on_shelf(sequence);
        let id = new.id.unwrap_or_else(|| content_id(new.content_type, new.created, sequence, !sequence));
        let blob = Blob {
            no,
            id: id.clone(),
            content_type: new.content_type,
            created: new.created,
            listed_at: new.listed_at.unwrap_or(new.created),
            expires: new.expires.unwrap_or(new.created + retention),
            stuff: new.stuff,
        };
        let place = Place::of(&blob);
        self.by_id.entry(id.clone()).or_insert(place);
        if let Some(wanted) = new.wanted {
            self.wanted.insert(no, wanted);
        }
        self.blobs.insert(place, blob);
        id
    }

    pub(super) fn blobs(&self, content_type: ContentType, after: Place, before: Time) -> impl Iterator<Item = &Blob> {
        self.blobs
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, blob)| blob)
            .take_while(move |b| b.created < before)
            .filter(move |b| b.content_type == content_type)
    }

    pub(super) fn find(&self, id: &ContentId) -> Option<&Blob> {
        self.blobs.get(self.by_id.get(id)?)
    }

    /// What the test said about the blob's wanted records.
    pub(in super::super) fn wanted(&self, no: BlobNo) -> Option<&[String]> {
        self.wanted.get(&no).map(Vec::as_slice)
    }

    /// The content types on the shelf.
    pub(in super::super) fn content_types(&self) -> impl Iterator<Item = ContentType> + '_ {
        ContentType::ALL.into_iter().filter(|c| self.blobs.values().any(|b| b.content_type == *c))
    }
}
