//! Content blobs as the listing names them.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{ContentId, Time};

/// One entry of a listing (`activity-api.md` section 5.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobEntry {
    /// The service's key of the blob.
    pub id: ContentId,
    /// Where to fetch it: an absolute URL, not yet checked against the API origin.
    pub uri: String,
    /// When the blob became available; not when its events happened.
    pub created: Time,
    /// After this the service may say that it has expired, if the listing told.
    pub expires: Option<Time>,
}

impl BlobEntry {
    /// The identity by which the blob is recognised again.
    pub fn key(&self) -> BlobKey {
        BlobKey::new(&self.id, self.created)
    }
}

/// A blob's identity, (`contentId`, `contentCreated`), folded into sixteen bytes.
///
/// `print` is SipHash-1-3 of both under a fixed key. Two blobs are confused only if they also share `created` to the
/// five minutes of a bucket of [`super::DoneSet`]: with 3.5 million blobs in retention the chance is below 10^-9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobKey {
    /// `contentCreated`.
    pub created: Time,
    /// The fingerprint of `contentId` and `contentCreated`.
    pub print: u64,
}

impl BlobKey {
    /// The key of a blob. Stable across releases: it is stored.
    pub fn new(id: &ContentId, created: Time) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x6465_6665_6e64_6572, 0x2d66_6565_642d_7631);
        hasher.write(id.0.as_bytes());
        hasher.write_i64(created.0);
        Self { created, print: hasher.finish() }
    }
}
