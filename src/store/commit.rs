//! What a claim changes. Pure but for the values it reads: both stores commit by this.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chunks::Chunks;
use super::edit::{Edit, Values, Writes};
use super::key::{Keys, Name, parse};
use super::record::{Root, Tally, decode_chunk, decode_gap, encode_chunk, encode_gap, encode_part};
use super::{Epoch, EpochReason, StoreError, remembered};
use crate::domain::{BUCKET_MS, BlobKey, Claim, Counts, DoneSet, Gap, GapId, GapReason, Time};
use crate::sink::OutputMark;

/// For how long hours are kept by themselves before they are added up into days.
const HOURS_KEPT: i64 = 90 * 24;
/// For how long days are kept by themselves, and gaps after they were closed or became final.
const DAYS_KEPT: i64 = 400;
/// Most values of each kind that one commit tidies away; the next ones go on. A transaction stays small after a long
/// standstill too.
const TIDY_AT_ONCE: usize = 512;

pub(super) const HOUR_MS: i64 = 3_600_000;
const DAY_HOURS: i64 = 24;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A floor that is further ahead of the service's time than this was set by a wrong clock; as the core has it.
const CLOCKS_AGREE: Duration = Duration::from_secs(10 * 60);

/// The hour that a time lies in.
pub(super) fn hour_of(time: Time) -> i64 {
    time.0.div_euclid(HOUR_MS)
}

/// The day that a time lies in.
pub(super) fn day_of(time: Time) -> i64 {
    hour_of(time).div_euclid(DAY_HOURS)
}

/// The changes that make `claim` part of the stored state number `state`, and the feed's root after them.
pub(super) fn plan(
    values: &dyn Values,
    claim: &Claim,
    mark: Option<OutputMark>,
    state: u64,
) -> Result<(Writes, Root), StoreError> {
    for (key, counts) in &claim.done {
        if !counts.balances() {
            return Err(StoreError::Unbalanced { feed: claim.feed.clone(), created: key.created, counts: *counts });
        }
    }
    let keys = Keys::new(&claim.feed);
    let root_key = keys.of(Name::Root);
    let old = Edit::new(values, keys.clone(), 0).read(&root_key, Root::decode)?;
    let digest = old.as_ref().map_or(0, |root| root.digest);
    let edit = Edit::new(values, keys, digest);
    let root = next_root(old.as_ref(), claim);
    let new_day = old.as_ref().is_none_or(|old| day_of(old.floor) != day_of(root.floor));
    let mut commit = Commit { edit, root, tallies: BTreeMap::new() };
    if old.is_some_and(|old| old.filter != claim.filter) {
        commit.begin_new_cursor(claim.floor)?;
    }
    for gap in &claim.gaps {
        commit.put_gap(gap.clone())?;
    }
    commit.put_done(&claim.done, claim.at)?;
    remembered::put(&mut commit.edit, &claim.records, claim.at)?;
    for part in &claim.parts {
        if part.key.created >= commit.root.forgotten && !claim.done.iter().any(|(key, _)| *key == part.key) {
            let key = commit.edit.keys.of(Name::Part(part.key));
            commit.edit.put(key, &encode_part(part))?;
        }
    }
    commit.tidy()?;
    if new_day {
        commit.drop_old_gaps()?;
    }
    commit.root.mark = mark.or(commit.root.mark);
    commit.root.state = state;
    commit.finish()
}

/// The root as the claim's plain values make it.
fn next_root(old: Option<&Root>, claim: &Claim) -> Root {
    let Some(old) = old else {
        return Root {
            generation: 1,
            floor: claim.floor,
            begin: claim.begin,
            filter: claim.filter.clone(),
            subscription_start: claim.subscription_start,
            epoch: Epoch { number: 1, began: claim.at, why: EpochReason::FirstStart },
            mark: None,
            created: claim.at,
            updated: claim.at,
            forgotten: claim.forget_before,
            hours_from: hour_of(claim.floor) - HOURS_KEPT,
            days_from: day_of(claim.floor) - DAYS_KEPT,
            total: Tally::default(),
            expired: Tally::default(),
            state: 0,
            digest: 0,
        };
    };
    let mut root = old.clone();
    root.generation += 1;
    root.updated = claim.at;
    root.forgotten = old.forgotten.max(claim.forget_before);
    root.subscription_start = old.subscription_start.max(claim.subscription_start);
    if old.filter == claim.filter {
        // A place in the service's future was set by a wrong clock, and the core has given it up.
        let ahead = old.floor > claim.at + CLOCKS_AGREE;
        root.floor = if ahead { claim.floor } else { old.floor.max(claim.floor) };
        root.begin = old.begin.min(claim.begin);
    } else {
        root.floor = claim.floor;
        root.begin = claim.begin;
        root.filter.clone_from(&claim.filter);
        root.epoch = Epoch { number: old.epoch.number + 1, began: claim.at, why: EpochReason::FilterChanged };
    }
    root
}

/// The root of a feed whose state is lost, or has gone back behind what the witness saw.
pub(super) fn restart(values: &dyn Values, start: Restart<'_>) -> Result<(Writes, Root), StoreError> {
    let keys = Keys::new(start.feed);
    let old = Edit::new(values, keys.clone(), 0).read(&keys.of(Name::Root), Root::decode)?;
    let mut root = match &old {
        Some(old) => {
            let mut root = old.clone();
            root.begin = if old.filter == start.filter { old.begin.min(start.begin) } else { start.begin };
            root
        }
        None => Root {
            generation: 0,
            floor: start.floor,
            begin: start.begin,
            filter: start.filter.to_owned(),
            subscription_start: None,
            epoch: Epoch { number: 0, began: start.now, why: start.why },
            mark: None,
            // When they were is lost; they were not before the floor.
            created: start.floor,
            updated: start.floor,
            forgotten: Time::MIN,
            hours_from: hour_of(start.floor) - HOURS_KEPT,
            days_from: day_of(start.floor) - DAYS_KEPT,
            total: Tally::default(),
            expired: Tally::default(),
            state: 0,
            digest: 0,
        },
    };
    // Never further forward than both.
    root.floor = root.floor.min(start.floor);
    root.generation = root.generation.max(start.generation) + 1;
    root.state = start.state;
    root.epoch = Epoch { number: root.epoch.number.max(start.epoch) + 1, began: start.now, why: start.why };
    let mut commit = Commit { edit: Edit::new(values, keys, root.digest), root, tallies: BTreeMap::new() };
    if commit.root.filter != start.filter {
        // The state went back behind a change of the filter: that change is made once more.
        start.filter.clone_into(&mut commit.root.filter);
        commit.begin_new_cursor(commit.root.floor)?;
    }
    for gap in start.gaps {
        commit.put_gap(gap.clone())?;
    }
    commit.finish()
}

/// From where a feed starts again after its state was lost or went back: what the witness saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restart<'a> {
    pub(super) feed: &'a crate::domain::FeedId,
    pub(super) state: u64,
    pub(super) generation: u64,
    pub(super) floor: Time,
    pub(super) begin: Time,
    pub(super) filter: &'a str,
    pub(super) epoch: u32,
    pub(super) why: EpochReason,
    /// The local clock, for the epoch's mark only.
    pub(super) now: Time,
    /// Gaps that were saved from the damaged state.
    pub(super) gaps: &'a [Gap],
}

struct Commit<'a> {
    edit: Edit<'a>,
    root: Root,
    /// The tallies touched so far, by key.
    tallies: BTreeMap<Vec<u8>, Tally>,
}

impl Commit<'_> {
    /// Drops what was done under another filter from `floor` on. Blobs before it stay done: the new cursor starts at the
    /// floor, and what came before it would otherwise be delivered again by the sweeps.
    fn begin_new_cursor(&mut self, floor: Time) -> Result<(), StoreError> {
        for key in self.edit.list(self.edit.keys.done(DoneSet::bucket_of(floor), i64::MAX), usize::MAX)? {
            let prints = self.edit.read(&key, decode_chunk)?.map_or(0, |prints| prints.len() as u64);
            if let Ok((_, Name::Done { bucket, .. })) = parse(&key) {
                self.tally(Time(bucket * BUCKET_MS), |tally| {
                    tally.done = tally.done.saturating_sub(prints);
                    tally.again += prints;
                })?;
            }
            self.edit.remove(key)?;
        }
        for key in self.edit.list(self.edit.keys.parts(Time::MIN, Time::MAX), usize::MAX)? {
            self.edit.remove(key)?;
        }
        Ok(())
    }

    fn put_gap(&mut self, gap: Gap) -> Result<(), StoreError> {
        let key = self.edit.keys.of(Name::Gap(gap.id));
        let old = self.edit.read(&key, decode_gap)?;
        if let Some((from, reason)) = old.as_ref().and_then(counted) {
            self.tally(from, |tally| *tally.gap(reason) = tally.gap(reason).saturating_sub(1))?;
        }
        if let Some((from, reason)) = counted(&gap) {
            self.tally(from, |tally| *tally.gap(reason) += 1)?;
            let blob = BlobKey { created: from, print: gap.id.0 };
            self.take_back_done(blob)?;
            if !gap.provisional {
                self.edit.remove(self.edit.keys.of(Name::Part(blob)))?;
            }
        }
        self.edit.put(key, &encode_gap(&gap))
    }

    /// A blob that was done and is now missing counts once: in its gap.
    fn take_back_done(&mut self, blob: BlobKey) -> Result<(), StoreError> {
        let bucket = DoneSet::bucket_of(blob.created);
        for key in self.edit.list(self.edit.keys.done(bucket, bucket + 1), usize::MAX)? {
            let mut prints = self.edit.read(&key, decode_chunk)?.unwrap_or_default();
            let Ok(at) = prints.binary_search(&blob.print) else { continue };
            prints.remove(at);
            if prints.is_empty() {
                self.edit.remove(key)?;
            } else {
                self.edit.put(key, &encode_chunk(&prints))?;
            }
            self.tally(blob.created, |tally| {
                tally.done = tally.done.saturating_sub(1);
                tally.again += 1;
            })?;
        }
        Ok(())
    }

    fn put_done(&mut self, done: &[(BlobKey, Counts)], at: Time) -> Result<(), StoreError> {
        let mut by_bucket = BTreeMap::<i64, Vec<&(BlobKey, Counts)>>::new();
        for entry in done {
            by_bucket.entry(DoneSet::bucket_of(entry.0.created)).or_default().push(entry);
        }
        let forgotten = DoneSet::bucket_of(self.root.forgotten);
        for (bucket, entries) in by_bucket {
            let mut chunks = Chunks::load(&self.edit, bucket)?;
            for (blob, counts) in entries {
                // A blob that is too old to be listed again is counted, and not remembered.
                let new = bucket < forgotten || chunks.insert(blob.print);
                self.tally(blob.created, |tally| {
                    *(if new { &mut tally.done } else { &mut tally.again }) += 1;
                    tally.records.add(counts);
                })?;
                self.edit.remove(self.edit.keys.of(Name::Part(*blob)))?;
                self.close_gap_of(*blob, at)?;
            }
            chunks.store(&mut self.edit)?;
        }
        Ok(())
    }

    /// A blob that is done is in no open gap, whether the claim says so or not.
    fn close_gap_of(&mut self, blob: BlobKey, at: Time) -> Result<(), StoreError> {
        let gap = self.edit.read(&self.edit.keys.of(Name::Gap(GapId::of_blob(blob))), decode_gap)?;
        match gap {
            Some(gap) if gap.is_open() && gap.blob.is_some() && gap.from == blob.created => {
                self.put_gap(Gap { closed: Some(at), provisional: false, ..gap })
            }
            _ => Ok(()),
        }
    }

    /// Forgets what can't be listed any more, adds hours up into days, drops old days and gaps. Ages are counted from
    /// the floor: it follows the content, and no clock that is wrong moves it.
    fn tidy(&mut self) -> Result<(), StoreError> {
        let horizon = self.root.forgotten;
        for key in self.edit.list(self.edit.keys.done(i64::MIN, DoneSet::bucket_of(horizon)), TIDY_AT_ONCE)? {
            self.edit.remove(key)?;
        }
        for key in self.edit.list(self.edit.keys.parts(Time::MIN, horizon), TIDY_AT_ONCE)? {
            self.edit.remove(key)?;
        }
        remembered::forget(&mut self.edit, horizon, TIDY_AT_ONCE)?;
        self.roll_up()
    }

    fn roll_up(&mut self) -> Result<(), StoreError> {
        // What this commit counts is written first, so that what is read below is complete.
        self.store_tallies()?;
        let hours_from = self.root.hours_from.max(hour_of(self.root.floor) - HOURS_KEPT);
        let hours = self.edit.list(self.edit.keys.hours_before(hours_from), TIDY_AT_ONCE)?;
        self.root.hours_from = if hours.len() < TIDY_AT_ONCE { hours_from } else { following(hours.last()) };
        for key in hours {
            let tally = self.edit.read(&key, Tally::decode)?.unwrap_or_default();
            if let Ok((_, Name::Hour(hour))) = parse(&key) {
                self.place(hour, &|day| day.add(&tally))?;
            }
            self.edit.remove(key)?;
        }
        self.store_tallies()?;
        let days_from = self.root.days_from.max(day_of(self.root.floor) - DAYS_KEPT);
        let days = self.edit.list(self.edit.keys.days_before(days_from), TIDY_AT_ONCE)?;
        self.root.days_from = if days.len() < TIDY_AT_ONCE { days_from } else { following(days.last()) };
        for key in days {
            let tally = self.edit.read(&key, Tally::decode)?.unwrap_or_default();
            self.root.expired.add(&tally);
            self.edit.remove(key)?;
        }
        Ok(())
    }

    /// Once a day of the floor, so it may look at every gap; a page of them at a time.
    fn drop_old_gaps(&mut self) -> Result<(), StoreError> {
        let horizon = self.root.floor - DAY * u32::try_from(DAYS_KEPT).expect("400 fits");
        let (mut from, to) = self.edit.keys.gaps();
        loop {
            let page = self.edit.list((from, to.clone()), TIDY_AT_ONCE)?;
            let Some(last) = page.last() else { return Ok(()) };
            from = [last, &[0][..]].concat();
            for key in page {
                let Some(gap) = self.edit.read(&key, decode_gap)? else { continue };
                let over = gap.closed.or((!gap.provisional).then_some(gap.found));
                if over.is_some_and(|over| over < horizon) {
                    self.edit.remove(key)?;
                }
            }
        }
    }

    /// Counts something about a blob created at `created`.
    fn tally(&mut self, created: Time, change: impl Fn(&mut Tally)) -> Result<(), StoreError> {
        change(&mut self.root.total);
        self.place(hour_of(created), &change)
    }

    /// Changes the tally that keeps an hour: its own, its day's, or the one of all that is older.
    fn place(&mut self, hour: i64, change: &dyn Fn(&mut Tally)) -> Result<(), StoreError> {
        let day = hour.div_euclid(DAY_HOURS);
        let name = match () {
            () if hour >= self.root.hours_from => Name::Hour(hour),
            () if day >= self.root.days_from => Name::Day(day),
            () => {
                change(&mut self.root.expired);
                return Ok(());
            }
        };
        let key = self.edit.keys.of(name);
        if !self.tallies.contains_key(&key) {
            let stored = self.edit.read(&key, Tally::decode)?.unwrap_or_default();
            self.tallies.insert(key.clone(), stored);
        }
        if let Some(tally) = self.tallies.get_mut(&key) {
            change(tally);
        }
        Ok(())
    }

    fn store_tallies(&mut self) -> Result<(), StoreError> {
        for (key, tally) in std::mem::take(&mut self.tallies) {
            self.edit.put(key, &tally.encode())?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Writes, Root), StoreError> {
        self.store_tallies()?;
        let root_key = self.edit.keys.of(Name::Root);
        let (mut writes, digest) = self.edit.finish();
        self.root.digest = digest;
        let value = super::frame::seal(&root_key, &self.root.encode());
        writes.insert(root_key, Some(value));
        Ok((writes, self.root))
    }
}

/// Where and as what an open gap of a blob counts. A gap of a stretch of time is never counted as blobs (law L6).
pub(super) fn counted(gap: &Gap) -> Option<(Time, GapReason)> {
    (gap.is_open() && gap.blob.is_some()).then_some((gap.from, gap.reason))
}

/// The hour or day after the one that a key names.
fn following(key: Option<&Vec<u8>>) -> i64 {
    match key.map(|key| parse(key)) {
        Some(Ok((_, Name::Hour(n) | Name::Day(n)))) => n + 1,
        _ => i64::MIN,
    }
}
