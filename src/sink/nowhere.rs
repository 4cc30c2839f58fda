//! Where lines and dead letters go that nobody wants: a dry run counts them and keeps none.

use super::{DeadLetter, Kept, Letters, Lines, OutputMark, SinkError};
use crate::domain::{FeedId, TenantId};

/// Takes everything and keeps nothing. What it takes must never be committed to a state that outlives the run.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Lines for Nowhere {
    fn deliver(&mut self, _: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        Ok(None)
    }
}

impl Letters for Nowhere {
    fn keep(&mut self, _: &FeedId, _: &[DeadLetter]) -> Result<Kept, SinkError> {
        Ok(Kept::All)
    }

    fn place(&self, _: &TenantId) -> String {
        "nowhere".to_owned()
    }
}
