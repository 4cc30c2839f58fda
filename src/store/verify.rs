//! Counts everything once more: `state verify`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;

use super::commit::{HOUR_MS, counted, hour_of};
use super::edit::{Values, payload, unreadable};
use super::inspect::{self, with_tree};
use super::key::{Keys, Name, parse};
use super::record::{Root, Tally, decode_chunk, decode_gap};
use super::{StoreError, restore};
use crate::domain::{BUCKET_MS, BlobKey, DoneSet, FeedId, GapReason};

/// The outcome of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// True if nothing was found.
    pub ok: bool,
    /// Feeds that were recounted.
    pub feeds: u64,
    /// What does not add up.
    pub findings: Vec<Finding>,
}

/// Something that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The tenant, if it is about one.
    pub tenant_id: Option<String>,
    /// The content type, if it is about one.
    pub content_type: Option<String>,
    /// `damage`, `witness`, `hour`, `total`, `records` or `gap`.
    pub kind: &'static str,
    /// What was counted, and what was stored.
    pub detail: String,
}

/// Recounts a state directory that no other process uses: the checksum of every value, the digest of every feed, hours
/// against done blobs and gaps, totals against hours and days, records, and the witness.
///
/// # Errors
/// As [`super::inspect()`]. What is found is no error.
pub fn verify(state_dir: &Path) -> Result<Verification, StoreError> {
    let about = |kind, detail| Finding { tenant_id: None, content_type: None, kind, detail };
    let mut findings = Vec::new();
    let feeds = with_tree(state_dir, |engine, damage| {
        let is_damaged = !damage.is_empty();
        findings.extend(damage.into_iter().map(|detail| about("damage", detail)));
        let witness = match engine {
            Some(engine) => inspect::of_open(engine, state_dir)?.witness,
            // That a tree which can't be read is behind its witness is no news; that there is none at all, is.
            None if is_damaged => Vec::new(),
            None => inspect::frame_of(state_dir)?.witness,
        };
        findings.extend(witness.into_iter().map(|detail| about("witness", detail)));
        let Some(engine) = engine else { return Ok(0) };
        findings.extend(recount(engine)?);
        Ok(restore::feeds(engine)?.len() as u64)
    })?;
    Ok(Verification { ok: findings.is_empty(), feeds, findings })
}

/// Recounts the ledgers of a store.
pub(super) fn recount(values: &dyn Values) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for feed in restore::feeds(values)? {
        if let Some(root) = restore::root(values, &feed)? {
            findings.extend(Recount::of(values, &feed, &root)?.findings(&feed, &root));
        }
    }
    Ok(findings)
}

/// What the values of a feed add up to.
#[derive(Default)]
struct Recount {
    hours: BTreeMap<i64, Tally>,
    sum: Tally,
    done: BTreeMap<i64, u64>,
    gaps: BTreeMap<i64, [u64; GapReason::ALL.len()]>,
    /// Blobs that are done and in an open gap at once.
    both: Vec<BlobKey>,
}

impl Recount {
    fn of(values: &dyn Values, feed: &FeedId, root: &Root) -> Result<Self, StoreError> {
        let mut recount = Self { sum: root.expired, ..Self::default() };
        let keys = Keys::new(feed);
        let mut in_gaps = BTreeMap::<i64, Vec<BlobKey>>::new();
        values.walk(&keys.start(), &keys.end(), &mut |key, value| {
            let (Ok((_, name)), bytes) = (parse(key), payload(key, value)?) else { return Err(unreadable(key)) };
            match name {
                Name::Done { bucket, .. } => {
                    let prints = decode_chunk(bytes).ok_or_else(|| unreadable(key))?;
                    *recount.done.entry((bucket * BUCKET_MS).div_euclid(HOUR_MS)).or_default() += prints.len() as u64;
                }
                Name::Gap(id) => {
                    let gap = decode_gap(bytes).ok_or_else(|| unreadable(key))?;
                    if let Some((from, reason)) = counted(&gap) {
                        let mut one = Tally::default();
                        *one.gap(reason) += 1;
                        let counts = recount.gaps.entry(hour_of(from)).or_default();
                        counts.iter_mut().zip(one.gaps).for_each(|(count, more)| *count += more);
                        let blob = BlobKey { created: from, print: id.0 };
                        in_gaps.entry(DoneSet::bucket_of(from)).or_default().push(blob);
                    }
                }
                Name::Hour(_) | Name::Day(_) => {
                    let tally = Tally::decode(bytes).ok_or_else(|| unreadable(key))?;
                    recount.sum.add(&tally);
                    if let Name::Hour(hour) = name {
                        recount.hours.insert(hour, tally);
                    }
                }
                Name::Root | Name::Records { .. } | Name::FormerRecords { .. } | Name::Part(_) => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for (bucket, blobs) in in_gaps {
            let (from, to) = keys.done(bucket, bucket + 1);
            values.walk(&from, &to, &mut |key, value| {
                let prints = decode_chunk(payload(key, value)?).ok_or_else(|| unreadable(key))?;
                let done = blobs.iter().filter(|blob| prints.binary_search(&blob.print).is_ok());
                recount.both.extend(done.copied());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(recount)
    }

    fn findings(self, feed: &FeedId, root: &Root) -> Vec<Finding> {
        let about = |kind, detail| Finding {
            tenant_id: Some(feed.tenant.to_string()),
            content_type: Some(feed.content_type.to_string()),
            kind,
            detail,
        };
        let mut findings = Vec::new();
        if self.sum != root.total {
            findings.push(about("total", format!("hours and days add up to {:?}, the total says {:?}", self.sum, root.total)));
        }
        if !root.total.records.balances() {
            findings.push(about("records", format!("the records of the total do not balance: {:?}", root.total.records)));
        }
        for blob in self.both {
            findings.push(about(
                "gap",
                format!("the blob created at {} is done and in gap {:016x} at once", blob.created, blob.print),
            ));
        }
        // Only hours of which nothing is forgotten can be recounted.
        let kept_from = hour_of(root.forgotten) + i64::from(root.forgotten.0.rem_euclid(HOUR_MS) != 0);
        let mut hours: Vec<i64> = self.hours.keys().chain(self.done.keys()).chain(self.gaps.keys()).copied().collect();
        hours.sort_unstable();
        hours.dedup();
        for hour in hours.into_iter().filter(|hour| *hour >= root.hours_from) {
            let stored = self.hours.get(&hour).copied().unwrap_or_default();
            let start = crate::domain::Time(hour * HOUR_MS);
            let done = self.done.get(&hour).copied().unwrap_or(0);
            if hour >= kept_from && stored.done != done {
                let detail = format!("the hour from {start} says {} blobs done, {done} are remembered", stored.done);
                findings.push(about("hour", detail));
            }
            let gaps = self.gaps.get(&hour).copied().unwrap_or_default();
            if stored.gaps != gaps {
                let detail = format!("the hour from {start} says {:?} blobs in gaps, {gaps:?} are there", stored.gaps);
                findings.push(about("hour", detail));
            }
            if !stored.records.balances() {
                findings
                    .push(about("records", format!("the records of the hour from {start} do not balance: {:?}", stored.records)));
            }
        }
        findings
    }
}
