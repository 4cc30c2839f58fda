//! Reads the committed state of a feed back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::edit::{Values, payload, unreadable};
use super::key::{Keys, Name, parse};
use super::record::{Root, decode_chunk, decode_gap, decode_part};
use super::{Restored, StoreError};
use crate::domain::{FeedId, Gap, Time};

/// The root of a feed, if it was ever committed.
pub(super) fn root(values: &dyn Values, feed: &FeedId) -> Result<Option<Root>, StoreError> {
    let key = Keys::new(feed).of(Name::Root);
    let Some(value) = values.get(&key)? else { return Ok(None) };
    Root::decode(payload(&key, &value)?).map(Some).ok_or_else(|| unreadable(&key))
}

/// Every feed that has keys, in order.
pub(super) fn feeds(values: &dyn Values) -> Result<Vec<FeedId>, StoreError> {
    let mut feeds = Vec::new();
    let mut from = Vec::new();
    loop {
        let mut first = None;
        values.walk(&from, &[0xff], &mut |key, _| {
            first = parse(key).ok().map(|(feed, _)| feed);
            Ok(if first.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let Some(feed) = first else { return Ok(feeds) };
        from = Keys::new(&feed).end();
        feeds.push(feed);
    }
}

/// All that a poller needs of a feed.
pub(super) fn feed(values: &dyn Values, feed: &FeedId) -> Result<Restored, StoreError> {
    let Some(root) = root(values, feed)? else { return Ok(Restored::default()) };
    let mut restored = Restored {
        floor: Some(root.floor),
        begin: Some(root.begin),
        filter: Some(root.filter),
        subscription_start: root.subscription_start,
        mark: root.mark,
        committed: Some(root.updated),
        ..Restored::default()
    };
    let mut buckets = BTreeMap::<i64, Vec<u64>>::new();
    let keys = Keys::new(feed);
    values.walk(&keys.start(), &keys.end(), &mut |key, value| {
        let Ok((_, name)) = parse(key) else { return Err(unreadable(key)) };
        let bytes = payload(key, value)?;
        match name {
            Name::Done { bucket, .. } => {
                let prints = decode_chunk(bytes).ok_or_else(|| unreadable(key))?;
                buckets.entry(bucket).or_default().extend(prints);
            }
            Name::Part(blob) => restored.parts.push(decode_part(blob, bytes).ok_or_else(|| unreadable(key))?),
            Name::Gap(_) => {
                let gap = decode_gap(bytes).ok_or_else(|| unreadable(key))?;
                if matters(&gap, root.forgotten) {
                    restored.gaps.push(gap);
                }
            }
            Name::Root | Name::Records { .. } | Name::FormerRecords { .. } | Name::Hour(_) | Name::Day(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (bucket, prints) in buckets {
        restored.done.restore(bucket, prints);
    }
    Ok(restored)
}

fn matters(gap: &Gap, forgotten: Time) -> bool {
    gap.is_open() && (gap.provisional || gap.blob.is_none() || gap.from >= forgotten)
}
