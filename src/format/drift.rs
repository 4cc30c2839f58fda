//! How records differ from the documented schema, counted by type and path.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::RecordType;
use crate::event::reader::{Drift, DriftKind};

/// Places that are told apart. All documented paths together are some hundred; keys can be made up without end.
const MAX_PLACES: usize = 1_000;

/// The path under which the places beyond the limit are counted.
const ELSEWHERE: &str = "(elsewhere)";

/// Records that drifted in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftCount {
    /// The records' type, if it can be told.
    pub record_type: Option<RecordType>,
    /// The field, from the top of the record; never a value.
    pub path: String,
    /// In which way it differs.
    pub kind: DriftKind,
    /// How many records.
    pub records: u64,
}

type Places = BTreeMap<(Option<RecordType>, Drift), u64>;

/// The counts so far.
#[derive(Debug, Default)]
pub(super) struct DriftLedger(Mutex<Places>);

impl DriftLedger {
    /// Counts one record.
    pub(super) fn add(&self, record_type: Option<RecordType>, drifted: Vec<Drift>) {
        if drifted.is_empty() {
            return;
        }
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for drift in drifted {
            let mut place = (record_type, drift);
            if places.len() >= MAX_PLACES && !places.contains_key(&place) {
                place = (None, Drift { path: ELSEWHERE.to_owned(), kind: place.1.kind });
            }
            *places.entry(place).or_default() += 1;
        }
    }

    /// The counts, by type and path.
    pub(super) fn counts(&self) -> Vec<DriftCount> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |((record_type, drift), records): (&(Option<RecordType>, Drift), &u64)| DriftCount {
            record_type: *record_type,
            path: drift.path.clone(),
            kind: drift.kind,
            records: *records,
        };
        places.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_the_limit_are_counted_together() {
        let ledger = DriftLedger::default();
        for n in 0..MAX_PLACES + 50 {
            let drift = Drift { path: format!("New{n}"), kind: DriftKind::UnknownField };
            ledger.add(Some(RecordType::MAIL), vec![drift.clone()]);
            ledger.add(Some(RecordType::MAIL), vec![drift]);
        }
        let counts = ledger.counts();
        assert_eq!(counts.len(), MAX_PLACES + 1);
        assert_eq!(counts.iter().map(|c| c.records).sum::<u64>(), 2 * (MAX_PLACES as u64 + 50));
        assert_eq!(counts.iter().find(|c| c.path == ELSEWHERE).unwrap().records, 100);
    }
}
