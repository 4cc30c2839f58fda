//! What the living process must know of: blobs that it has read of in a listing, and downloads that failed.

use super::{Oracle, Truth, Wrong};
use crate::domain::{ContentId, Time};

impl Oracle {
    /// A page of a listing has arrived whole. What stands in its first second may have to be looked up from earlier on.
    pub(in super::super) fn listed(&mut self, page: &[u8], start: Option<Time>) {
        // Where the service tells the time, the truth says when a blob could be known.
        if self.strict {
            return;
        }
        let commits = self.commits;
        let behind = |blob: &&mut Truth| start.is_some_and(|start| blob.fate.created.floor_second() != start);
        for blob in self.blobs.iter_mut().filter(|blob| blob.named.is_none()).filter(behind) {
            if memchr::memmem::find(page, blob.id.0.as_bytes()).is_some() {
                blob.named = Some(commits);
            }
        }
    }

    /// A download of the blob has failed for good or in passing; a pause that is asked for is no failure.
    pub(in super::super) fn failed(&mut self, id: &str) {
        let commits = self.commits;
        if let Some(blob) = self.find(id) {
            blob.failed.get_or_insert(commits);
        }
    }

    /// What has failed behind the floor is in a gap: no claim but a gap names it any more.
    pub(super) fn behind_the_floor(&self, floor: Time, hidden: impl Fn(&ContentId) -> bool) -> Result<(), Wrong> {
        let behind = |blob: &&Truth| self.was(blob.failed) && blob.fate.created < floor && !hidden(&blob.id);
        let mut failing = self.blobs.iter().filter(behind);
        match failing.find(|blob| !self.is_settled(blob) && !self.is_in_gap(blob)) {
            Some(blob) => Err(format!("R6: {} failed behind the floor {floor}, and is in no gap", blob.id)),
            None => Ok(()),
        }
    }

    /// True if it was so when the claim that has just been committed was made: one may have been on its way then.
    pub(super) fn was(&self, since: Option<u64>) -> bool {
        since.is_some_and(|commits| self.commits >= commits + 2)
    }
}
