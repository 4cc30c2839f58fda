//! Records that were delivered, remembered so that they are recognised if they arrive again.
//!
//! A record is remembered by its print (16 bytes), in chunks below the day on which it was delivered, by which it is forgotten,
//! and the hour of its `CreationTime`, which whoever looks for it knows too. A commit appends to the newest chunk of an hour,
//! which is the first in order of keys, so that it is found without a look at the others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::StoreError;
use super::commit::{day_of, hour_of};
use super::edit::{Edit, Values, payload, unreadable};
use super::key::{Keys, Name, parse};
use crate::domain::{FeedId, RecordPrint, Time};

/// Most prints in one chunk: 4 kB, for the reasons of [`super::record::CHUNK_PRINTS`].
pub(super) const CHUNK_RECORDS: usize = 256;

/// The chunk that an hour begins with; each later one has the number before.
const FIRST_CHUNK: u32 = u32::MAX;

/// Prints in the order in which they were delivered, 16 bytes each.
pub(super) fn encode_records(hashes: &[u128]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect()
}

pub(super) fn decode_records(bytes: &[u8]) -> Option<Vec<u128>> {
    let (hashes, rest) = bytes.as_chunks::<16>();
    let fits = rest.is_empty() && !hashes.is_empty() && hashes.len() <= CHUNK_RECORDS;
    fits.then(|| hashes.iter().map(|hash| u128::from_be_bytes(*hash)).collect())
}

/// Remembers records that are delivered now.
pub(super) fn put(edit: &mut Edit<'_>, records: &[RecordPrint], now: Time) -> Result<(), StoreError> {
    let day = day_of(now);
    let mut hours = BTreeMap::<i64, Vec<u128>>::new();
    for record in records {
        hours.entry(hour_of(record.created)).or_default().push(record.hash);
    }
    for (hour, hashes) in hours {
        let newest = edit.list(edit.keys.records_of(day, hour), 1)?.pop();
        let (mut chunk, mut kept) = match newest {
            Some(key) => {
                let Ok((_, Name::Records { chunk, .. })) = parse(&key) else { return Err(unreadable(&key)) };
                (chunk, edit.read(&key, decode_records)?.unwrap_or_default())
            }
            None => (FIRST_CHUNK, Vec::new()),
        };
        let mut left = &hashes[..];
        loop {
            let (now, later) = left.split_at(left.len().min(CHUNK_RECORDS.saturating_sub(kept.len())));
            if !now.is_empty() {
                kept.extend_from_slice(now);
                edit.put(edit.keys.of(Name::Records { day, hour, chunk }), &encode_records(&kept))?;
            }
            if later.is_empty() {
                break;
            }
            (left, kept) = (later, Vec::new());
            chunk = chunk.saturating_sub(1);
        }
    }
    Ok(())
}

/// Forgets what was delivered on days before `forgotten`, `most` chunks at once: what was in a blob that is listed no more.
pub(super) fn forget(edit: &mut Edit<'_>, forgotten: Time, most: usize) -> Result<(), StoreError> {
    for key in edit.list(edit.keys.records(i64::MIN, day_of(forgotten)), most)? {
        edit.remove(key)?;
    }
    Ok(())
}

/// Which of `records` are remembered of the feed.
pub(super) fn among(
    values: &dyn Values,
    feed: &FeedId,
    records: impl IntoIterator<Item = RecordPrint>,
) -> Result<BTreeSet<RecordPrint>, StoreError> {
    let mut hours = BTreeMap::<i64, BTreeMap<u128, RecordPrint>>::new();
    for record in records {
        hours.entry(hour_of(record.created)).or_default().insert(record.hash, record);
    }
    let mut found = BTreeSet::new();
    if hours.is_empty() {
        return Ok(found);
    }
    let keys = Keys::new(feed);
    // What comes again comes soon, as a rule.
    for day in days(values, &keys)?.into_iter().rev() {
        for (hour, wanted) in &mut hours {
            if wanted.is_empty() {
                continue;
            }
            let (from, to) = keys.records_of(day, *hour);
            values.walk(&from, &to, &mut |key, value| {
                let hashes = decode_records(payload(key, value)?).ok_or_else(|| unreadable(key))?;
                found.extend(hashes.iter().filter_map(|hash| wanted.remove(hash)));
                Ok(if wanted.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
    }
    Ok(found)
}

/// The days of which something is remembered: nine or ten.
fn days(values: &dyn Values, keys: &Keys) -> Result<Vec<i64>, StoreError> {
    let mut days = Vec::new();
    let (mut from, end) = keys.records(i64::MIN, i64::MAX);
    loop {
        let mut first = None;
        values.walk(&from, &end, &mut |key, _| {
            let Ok((_, Name::Records { day, .. })) = parse(key) else { return Err(unreadable(key)) };
            first = Some(day);
            Ok(ControlFlow::Break(()))
        })?;
        let Some(day) = first else { return Ok(days) };
        days.push(day);
        from = keys.records(day.saturating_add(1), i64::MAX).0;
    }
}

/// Shows the hash of every record that is remembered, of any feed.
pub(super) fn each(values: &dyn Values, feeds: &[FeedId], show: &mut dyn FnMut(u128)) -> Result<(), StoreError> {
    for feed in feeds {
        let (from, to) = Keys::new(feed).records(i64::MIN, i64::MAX);
        values.walk(&from, &to, &mut |key, value| {
            decode_records(payload(key, value)?).ok_or_else(|| unreadable(key))?.into_iter().for_each(&mut *show);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Claim, ContentType};
    use crate::sink::{Batch, MemorySink, Sink};
    use crate::store::{MemoryStore, Store};

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: Time = Time(1_772_366_400_000);

    fn feed(n: u8) -> FeedId {
        FeedId {
            tenant: format!("11111111-0000-4000-8000-00000000000{n}").parse().unwrap(),
            content_type: ContentType::AuditGeneral,
        }
    }

    fn record(n: u128, created: Time) -> RecordPrint {
        // Spread over all bits, as hashes are.
        RecordPrint { created, hash: n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) }
    }

    fn remember(store: &mut impl Store, of: u8, at: Time, records: Vec<RecordPrint>) {
        let claim = Claim {
            feed: feed(of),
            at,
            floor: at - HOUR,
            begin: at - HOUR,
            filter: "28".into(),
            done: Vec::new(),
            parts: Vec::new(),
            gaps: Vec::new(),
            records,
            subscription_start: None,
            forget_before: at - DAY * 7,
        };
        let receipt = MemorySink::new().write(Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() }).unwrap();
        store.commit(receipt).unwrap();
    }

    fn remembered(store: &mut impl Store, of: u8, records: &[RecordPrint]) -> usize {
        store.remembers(&feed(of), records).unwrap().len()
    }

    #[test]
    fn what_was_committed_is_remembered_by_its_feed_alone() {
        let mut store = MemoryStore::new();
        let records: Vec<_> = (0..1_000).map(|n| record(n, NOW - HOUR * u32::try_from(n % 3).unwrap())).collect();
        for some in records.chunks(7) {
            remember(&mut store, 1, NOW, some.to_vec());
        }
        remember(&mut store, 2, NOW, Vec::new());
        assert_eq!(remembered(&mut store, 1, &records), records.len());
        assert_eq!(remembered(&mut store, 2, &records), 0);
        let others: Vec<_> = (1_000..2_000).map(|n| record(n, NOW)).collect();
        assert_eq!(remembered(&mut store, 1, &others), 0);
        // The time is a part of the content, so this can't be the same record.
        let elsewhere: Vec<_> = records.iter().map(|r| RecordPrint { created: r.created - HOUR * 9, ..*r }).collect();
        assert_eq!(remembered(&mut store, 1, &elsewhere), 0);
        assert_eq!(store.verify(), Ok(Vec::new()));
    }

    #[test]
    fn it_is_forgotten_a_week_after_it_was_delivered_whenever_it_was_made() {
        let mut store = MemoryStore::new();
        let all = [record(1, Time(0)), record(2, NOW - DAY * 300), record(3, NOW), record(4, NOW + DAY * 300)];
        remember(&mut store, 1, NOW, all.to_vec());
        let later = record(5, NOW);
        for day in 1..=7 {
            remember(&mut store, 1, NOW + DAY * day, if day == 4 { vec![later] } else { Vec::new() });
            assert_eq!(remembered(&mut store, 1, &all), 4, "{day}");
        }
        remember(&mut store, 1, NOW + DAY * 8, Vec::new());
        assert_eq!((remembered(&mut store, 1, &all), remembered(&mut store, 1, &[later])), (0, 1));
        remember(&mut store, 1, NOW + DAY * 12, Vec::new());
        assert!(store.values.keys().all(|key| !String::from_utf8_lossy(key).contains("/record/")));
    }

    #[test]
    fn it_survives_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let records: Vec<_> = (0..3 * CHUNK_RECORDS as u128 + 5).map(|n| record(n, NOW)).collect();
        let (mut store, _) = crate::store::SledStore::open(dir.path()).unwrap();
        assert_eq!(remembered(&mut store, 1, &records), 0, "the sieve is made before the first of them");
        remember(&mut store, 1, NOW, records.clone());
        assert_eq!(remembered(&mut store, 1, &records), records.len());
        store.close().unwrap();
        let (mut store, report) = crate::store::SledStore::open(dir.path()).unwrap();
        assert_eq!(report.condition, crate::store::Condition::Healthy);
        assert_eq!(remembered(&mut store, 1, &records), records.len());
        assert_eq!(remembered(&mut store, 1, &[record(9_999, NOW)]), 0);
    }

    #[test]
    fn chunks_hold_what_they_may() {
        assert_eq!(decode_records(&[]), None);
        assert_eq!(decode_records(&[0; 17]), None);
        assert_eq!(decode_records(&vec![0; 16 * (CHUNK_RECORDS + 1)]), None);
        let full: Vec<u128> = (0..CHUNK_RECORDS as u128).collect();
        assert_eq!(decode_records(&encode_records(&full)), Some(full));
    }
}
