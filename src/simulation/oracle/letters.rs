//! Dead letters: kept, or told as lost.

use super::{Oracle, Truth};
use crate::domain::GapId;
use crate::sink::DeadLetter;

impl Oracle {
    /// The dead-letter file has taken these.
    pub(in super::super) fn kept(&mut self, letters: &[DeadLetter]) {
        for letter in letters {
            let Some(&at) = self.by_id.get(&letter.content_id) else { continue };
            let blob = &mut self.blobs[at];
            if letter.part == 0 {
                blob.unkept.remove(&letter.index);
            }
            // An element of which one part was lost is lost.
            if letter.last && !blob.unkept.contains(&letter.index) {
                blob.kept.insert(letter.index);
            }
        }
    }

    /// The dead-letter file was full.
    pub(in super::super) fn not_kept(&mut self, letters: &[DeadLetter]) {
        // Nothing of that batch is remembered.
        for at in &self.open {
            self.records[*at].excused += u32::from(self.records[*at].shared);
        }
        for letter in letters {
            if let Some(&at) = self.by_id.get(&letter.content_id)
                && !self.blobs[at].kept.contains(&letter.index)
            {
                self.blobs[at].unkept.insert(letter.index);
            }
        }
    }

    /// True if nothing of the blob is owed: it is out, or its records are, and a final gap stands for the letters that found
    /// no room. That gap may have been lost with the state.
    pub(super) fn is_settled(&self, blob: &Truth) -> bool {
        if self.whole(blob).is_ok() {
            return true;
        }
        let all_out = blob.records.iter().all(|at| self.records[*at].delivered > 0);
        let lost = blob.odd.difference(&blob.kept).all(|at| blob.unkept.contains(at));
        let final_gap = || self.gaps.get(&GapId::of_blob(blob.key)).is_some_and(|gap| gap.is_open() && !gap.provisional);
        all_out && lost && (blob.forgotten || final_gap())
    }
}
