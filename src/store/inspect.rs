//! What is stored, for people and for scripts: `state show` and `state gaps`. The field names are a documented interface.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::commit::HOUR_MS;
use super::copy::{INSPECTED, SALVAGE, TREE};
use super::edit::{Values, payload, unreadable};
use super::key::{Keys, Name, parse};
use super::lock::Lock;
use super::record::{Root, Tally, decode_chunk, decode_gap, decode_part};
use super::remembered::decode_count;
use super::scan::Scan;
use super::witness::{self, Found};
use super::{Engine, EpochReason, StoreError, prints};
use super::{open, snapshot};
use crate::domain::{Counts, FeedId, Gap, GapReason, Time};
use crate::sink::OutputMark;

/// A state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The directory.
    pub state_dir: PathBuf,
    /// What is wrong with the values, if anything: the next start of a poller moves them aside and goes on.
    pub damage: Vec<String>,
    /// What is wrong with the witness, or where it is ahead of the values.
    pub witness: Vec<String>,
    /// Directories of evidence from earlier damage.
    pub damaged: Vec<PathBuf>,
    /// Bytes on disk.
    pub sizes: SizesView,
    /// Every feed that was ever committed.
    pub feeds: Vec<FeedView>,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SizesView {
    /// The store itself, what it remembers of records included.
    pub store: u64,
    /// The dead-letter files.
    pub dead_letters: u64,
    /// What was moved aside, damaged stores included.
    pub aside: u64,
}

/// One content type of one tenant. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedView {
    /// The tenant.
    pub tenant_id: String,
    /// The content type.
    pub content_type: String,
    /// Counts the commits.
    pub generation: u64,
    /// Every blob created before this is done or in a gap.
    pub floor: String,
    /// Nothing created before this was ever asked for.
    pub begin: String,
    /// The wanted record types.
    pub filter: String,
    /// The unbroken stretch that the ledger belongs to.
    pub epoch: EpochView,
    /// The service's time of the first commit.
    pub first_commit: String,
    /// The service's time of the last commit.
    pub last_commit: String,
    /// When a start of the subscription was last about to be asked for.
    pub subscription_start: Option<String>,
    /// Where the output file stood after the last batch, if it is a regular file.
    pub output: Option<OutputMark>,
    /// Done blobs that are remembered because they can still be listed.
    pub done_remembered: u64,
    /// Delivered records that are recognised if they arrive again.
    pub records_remembered: u64,
    /// Blobs of which a part is delivered.
    pub parts: u64,
    /// Everything counted so far.
    pub ledger: LedgerView,
    /// The hours of `contentCreated` that are kept by themselves.
    pub hours: Vec<StretchView>,
    /// The days that older hours were added up into.
    pub days: Vec<StretchView>,
    /// All gaps that are kept.
    pub gaps: Vec<GapView>,
}

/// An epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochView {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub began: String,
    /// Why.
    pub why: EpochReason,
}

/// Blobs and records. `blobs_listed` leaves out what is pending: only a running poller knows that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerView {
    /// Done and in open gaps.
    pub blobs_listed: u64,
    /// Done.
    pub blobs_done: u64,
    /// Delivered again after they were done: the filter changed, or state was lost.
    pub blobs_done_again: u64,
    /// In open gaps, by reason; reasons that do not occur are left out.
    pub blobs_in_gaps: BTreeMap<&'static str, u64>,
    /// The records of the done blobs.
    pub records: RecordsView,
}

/// Records: `read = delivered + filtered + duplicate + dead_lettered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RecordsView {
    /// Elements found.
    pub read: u64,
    /// Lines written.
    pub delivered: u64,
    /// Of a type that is not wanted.
    pub filtered: u64,
    /// Recognised as delivered before.
    pub duplicate: u64,
    /// Kept in the dead-letter file.
    pub dead_lettered: u64,
}

/// The ledger of an hour or a day of `contentCreated`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StretchView {
    /// Its beginning.
    pub from: String,
    /// What it holds.
    #[serde(flatten)]
    pub ledger: LedgerView,
}

/// A gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapView {
    /// Its name, 16 hexadecimal digits.
    pub id: String,
    /// Why.
    pub reason: GapReason,
    /// `provisional` (still asked for; a stretch of time that has not ended), `final` or `closed` (it arrived after all).
    pub state: &'static str,
    /// The first moment of availability that it covers.
    pub from: String,
    /// The end of what it covers; equal to `from` for a blob.
    pub to: String,
    /// The blob, or none for a stretch that could not be listed.
    pub content_id: Option<String>,
    /// How often the blob was tried.
    pub attempts: Option<u32>,
    /// When it was found.
    pub found: String,
    /// When the blob arrived after all.
    pub closed: Option<String>,
    /// What happened.
    pub detail: String,
}

/// Reads a state directory that no other process uses. Moves and repairs nothing: it looks at a copy, which needs as much room
/// as the store has; where there is no state, there are no feeds.
///
/// # Errors
/// [`StoreError::Locked`] if a poller runs, and the errors of [`super::SledStore::open`].
pub fn inspect(state_dir: &Path) -> Result<Inspection, StoreError> {
    with_tree(state_dir, |engine, damage| match engine {
        Some(engine) => Ok(Inspection { damage, ..of_open(engine, state_dir)? }),
        None => Ok(Inspection { damage, ..frame_of(state_dir)? }),
    })
}

/// Lends out a copy of the tree of a state directory while nobody else has it, with what a scan has to say against it; no tree if
/// there is none or it can't be read.
pub(super) fn with_tree<T>(
    state_dir: &Path,
    look: impl FnOnce(Option<&Engine>, Vec<String>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tree = state_dir.join(TREE);
    if !state_dir.is_dir() {
        return look(None, Vec::new());
    }
    open::refuse_newer(state_dir)?;
    let lock = Lock::take(state_dir, false)?;
    // A kill in the middle of putting a copy in place leaves it there, and the next open takes it.
    let Some(tree) = [tree, state_dir.join(SALVAGE)].into_iter().find(|tree| tree.is_dir()) else {
        return look(None, Vec::new());
    };
    let foreign = snapshot::foreign(&tree).map_err(|e| StoreError::of_io(state_dir, "looking at the store", &e))?;
    if !foreign.is_empty() {
        return look(None, foreign);
    }
    let copy = Copied::of(&tree, state_dir).map_err(|e| StoreError::of_io(state_dir, "copying the store to look at it", &e))?;
    let looked = match Engine::open(&copy.tree(), state_dir) {
        Ok(engine) => {
            let scan = Scan::of(&engine)?;
            if scan.complete && scan.feeds.values().all(|feed| feed.intact) {
                look(Some(&engine), scan.findings)
            } else {
                look(None, scan.findings)
            }
        }
        Err(StoreError::Damaged { detail }) => look(None, vec![detail]),
        Err(other) => Err(other),
    };
    drop(copy);
    drop(lock);
    looked
}

/// A copy of the tree that goes when it is dropped. To open is to write, in sled: it finishes what a crash left, and on
/// damaged files it destroys the very evidence that is being looked for.
struct Copied(PathBuf);

impl Copied {
    fn of(tree: &Path, state_dir: &Path) -> io::Result<Self> {
        let copied = Self(state_dir.join(INSPECTED));
        // Left by an inspection that was killed; the lock is held.
        copied.remove();
        if fs::symlink_metadata(&copied.0).is_ok() {
            return Err(io::Error::other(format!("{} is in the way: move it elsewhere", copied.0.display())));
        }
        DirBuilder::new().mode(0o700).create(&copied.0)?;
        copy_directory(tree, &copied.tree())?;
        snapshot::set_aside_unfinished(&copied.tree(), &copied.0.join(open::ASIDE))?;
        Ok(copied)
    }

    fn tree(&self) -> PathBuf {
        self.0.join(TREE)
    }

    fn remove(&self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.remove();
    }
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// As [`inspect`], of an open tree.
pub(super) fn of_open(engine: &Engine, state_dir: &Path) -> Result<Inspection, StoreError> {
    let feeds = feeds(engine)?;
    let witness = witness_findings(state_dir, &feeds)?;
    Ok(Inspection { witness, feeds, ..frame_of(state_dir)? })
}

/// What can be told of a state directory without its tree.
pub(super) fn frame_of(state_dir: &Path) -> Result<Inspection, StoreError> {
    let damaged = open::damaged(state_dir);
    let sizes = SizesView {
        store: size_of(&state_dir.join(TREE)) + size_of(&state_dir.join(prints::DIRECTORY)),
        dead_letters: size_of(&state_dir.join("dead-letter")),
        aside: size_of(&state_dir.join(open::ASIDE)) + damaged.iter().map(|path| size_of(path)).sum::<u64>(),
    };
    let witness = witness_findings(state_dir, &[])?;
    let state_dir = fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    Ok(Inspection { state_dir, damage: Vec::new(), witness, damaged, sizes, feeds: Vec::new() })
}

/// What the witness has to say against the feeds.
fn witness_findings(state_dir: &Path, feeds: &[FeedView]) -> Result<Vec<String>, StoreError> {
    let entries = match witness::read(state_dir)? {
        Found::Whole(seen) => seen.feeds,
        Found::Missing if feeds.is_empty() => return Ok(Vec::new()),
        Found::Missing => return Ok(vec!["there is no witness".to_owned()]),
        Found::Damaged(why) => return Ok(vec![format!("the witness is damaged: {why}")]),
    };
    let ahead = entries.values().filter_map(|entry| {
        let (tenant, content_type) = (entry.feed.tenant.as_str(), entry.feed.content_type.as_str());
        let view = feeds.iter().find(|view| view.tenant_id == tenant && view.content_type == content_type);
        let generation = view.map_or(0, |view| view.generation);
        (entry.generation > generation).then(|| {
            format!("{}: the witness saw commit {}, the state is at {generation}: it has gone back", entry.feed, entry.generation)
        })
    });
    Ok(ahead.collect())
}

/// Every feed of a store.
pub(super) fn feeds(values: &dyn Values) -> Result<Vec<FeedView>, StoreError> {
    let mut views = Vec::new();
    for feed in super::restore::feeds(values)? {
        if let Some(root) = super::restore::root(values, &feed)? {
            views.push(view(values, &feed, &root)?);
        }
    }
    Ok(views)
}

fn view(values: &dyn Values, feed: &FeedId, root: &Root) -> Result<FeedView, StoreError> {
    let mut view = FeedView {
        tenant_id: feed.tenant.to_string(),
        content_type: feed.content_type.to_string(),
        generation: root.generation,
        floor: root.floor.to_string(),
        begin: root.begin.to_string(),
        filter: root.filter.clone(),
        epoch: EpochView { number: root.epoch.number, began: root.epoch.began.to_string(), why: root.epoch.why },
        first_commit: root.created.to_string(),
        last_commit: root.updated.to_string(),
        subscription_start: root.subscription_start.map(|time| time.to_string()),
        output: root.mark,
        done_remembered: 0,
        records_remembered: 0,
        parts: 0,
        ledger: ledger_view(&root.total),
        hours: Vec::new(),
        days: Vec::new(),
        gaps: Vec::new(),
    };
    let keys = Keys::new(feed);
    values.walk(&keys.start(), &keys.end(), &mut |key, value| {
        let (Ok((_, name)), bytes) = (parse(key), payload(key, value)?) else { return Err(unreadable(key)) };
        let stretch = |start: i64| {
            let ledger = ledger_view(&Tally::decode(bytes).ok_or_else(|| unreadable(key))?);
            Ok::<_, StoreError>(StretchView { from: Time(start).to_string(), ledger })
        };
        match name {
            Name::Root | Name::FormerRecords { .. } => {}
            Name::Done { .. } => view.done_remembered += decode_chunk(bytes).ok_or_else(|| unreadable(key))?.len() as u64,
            Name::Records { .. } => view.records_remembered += decode_count(bytes).ok_or_else(|| unreadable(key))?,
            Name::Part(blob) => view.parts += decode_part(blob, bytes).map(|_| 1).ok_or_else(|| unreadable(key))?,
            Name::Gap(_) => view.gaps.push(gap_view(&decode_gap(bytes).ok_or_else(|| unreadable(key))?)),
            Name::Hour(hour) => view.hours.push(stretch(hour * HOUR_MS)?),
            Name::Day(day) => view.days.push(stretch(day * 24 * HOUR_MS)?),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    view.gaps.sort_by(|a, b| (&a.from, &a.id).cmp(&(&b.from, &b.id)));
    Ok(view)
}

fn ledger_view(tally: &Tally) -> LedgerView {
    let in_gaps = GapReason::ALL.into_iter().zip(tally.gaps).filter(|(_, count)| *count > 0);
    let Counts { read, delivered, filtered, duplicate, dead_lettered } = tally.records;
    LedgerView {
        blobs_listed: tally.done + tally.gaps.iter().sum::<u64>(),
        blobs_done: tally.done,
        blobs_done_again: tally.again,
        blobs_in_gaps: in_gaps.map(|(reason, count)| (reason.as_str(), count)).collect(),
        records: RecordsView { read, delivered, filtered, duplicate, dead_lettered },
    }
}

fn gap_view(gap: &Gap) -> GapView {
    GapView {
        id: gap.id.to_string(),
        reason: gap.reason,
        state: match gap {
            gap if !gap.is_open() => "closed",
            gap if gap.provisional => "provisional",
            _ => "final",
        },
        from: gap.from.to_string(),
        to: gap.to.to_string(),
        content_id: gap.blob.as_ref().map(|blob| blob.entry.id.to_string()),
        attempts: gap.blob.as_ref().map(|blob| blob.attempts),
        found: gap.found.to_string(),
        closed: gap.closed.map(|time| time.to_string()),
        detail: gap.detail.clone(),
    }
}

/// Bytes in the files below a path; what can't be read counts as nothing.
fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size_of(&entry.path())).sum()
}
