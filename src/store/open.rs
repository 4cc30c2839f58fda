//! Opens a state directory: whatever state it is in, the outcome is a store that can be trusted, or a clear refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::commit::day_of;
use super::copy;
use super::lock::Lock;
use super::prints::Prints;
use super::recover::{Opening, Trusted};
use super::witness::{Entry, Keeper, Seen};
use super::{Engine, Inspection, Restored, Store, StoreError, commit, inspect, remembered, restore};
use crate::domain::{FeedId, RecordPrint, Time};
use crate::sink::{Receipt, directory};

const TREE_PREFIX: &str = "sled.v";
const TREE_VERSION: u8 = 1;
pub(super) const ASIDE: &str = "aside";
pub(super) const DAMAGED_PREFIX: &str = "damaged-";
/// How many commits pass between two looks at the size of the file.
const LOOK_AT_SIZE_EVERY: u32 = 64;

/// The committed state, in sled.
pub struct SledStore {
    pub(super) engine: Engine,
    pub(super) keeper: Keeper,
    state_dir: PathBuf,
    commits: u32,
    /// The size of the file at which it is copied into a smaller one.
    pub(super) compact_at: u64,
    /// How far the file may outgrow three times its values.
    pub(super) slack: u64,
    failed: Option<String>,
    pub(super) prints: Prints,
    /// Dropped last: nobody else may open the files before sled has let go of them.
    lock: Lock,
}

/// What the opening of a store found and did: for the log, and for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenReport {
    /// The state directory, absolute if the system tells.
    pub state_dir: PathBuf,
    /// What state it was in.
    pub condition: Condition,
    /// From where each known feed goes on.
    pub feeds: Vec<FeedStart>,
    /// Unfinished files that were moved out of the way.
    pub set_aside: Vec<PathBuf>,
    /// Directories of evidence from this and earlier damage. They are never deleted.
    pub damaged: Vec<PathBuf>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// What state a state directory was in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Condition {
    /// There was none: this is the first start, or the state is not persistent.
    FirstStart,
    /// All values are whole and at least as new as the witness.
    Healthy,
    /// All values are whole, but some feeds stood behind the witness, or were missing. The values were copied into a fresh
    /// store, since what made the old one go back may lie in it still.
    RolledBack {
        /// Where the old one was moved to.
        moved_to: PathBuf,
    },
    /// There was a witness, but no state.
    Vanished,
    /// Some values were not whole, or sled could not open them.
    Quarantined {
        /// What was wrong.
        why: Vec<String>,
        /// Where it was moved to.
        moved_to: PathBuf,
    },
}

/// From where a feed goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedStart {
    /// The tenant.
    pub tenant_id: String,
    /// The content type.
    pub content_type: String,
    /// What that is.
    pub from: StartedFrom,
    /// The floor that it goes on from, RFC 3339; none if it starts anew.
    pub floor: Option<String>,
    /// The commit that it goes on from.
    pub generation: Option<u64>,
    /// Done blobs that are known.
    pub done: u64,
    /// Open gaps that are known.
    pub open_gaps: u64,
}

/// What a feed goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedFrom {
    /// Its whole committed state.
    State,
    /// Its state, which had gone back, at the lower floor of state and witness.
    OlderState,
    /// The witness's floor; its done blobs are lost.
    Witness,
    /// Nothing: its state is lost, and no witness knows it. It starts like a first start.
    Nothing,
}

impl SledStore {
    /// True if a process holds the state in `state_dir` right now.
    pub fn is_locked(state_dir: &Path) -> bool {
        super::lock::is_held(state_dir)
    }

    /// True if the last process with the state in `state_dir` has ended, but not in order.
    pub fn is_left(state_dir: &Path) -> bool {
        super::lock::is_left(state_dir)
    }

    /// True if the process before this one did not end in order: what it wrote to a pipe may end within a line.
    pub fn was_interrupted(&self) -> bool {
        self.lock.is_interrupted()
    }

    /// Opens the state in `state_dir`, or creates it; waits up to two seconds for another process to let go of it.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Newer`], [`StoreError::Full`], [`StoreError::Unwritable`] and
    /// [`StoreError::Io`], with nothing moved or changed. Damage is no error: the report tells of it.
    pub fn open(state_dir: &Path) -> Result<(Self, OpenReport), StoreError> {
        let mut warnings = Vec::new();
        prepare(state_dir, &mut warnings)?;
        let lock = Lock::take(state_dir, true)?;
        refuse_newer(state_dir)?;
        let opening = Opening::new(state_dir, now());
        let witness = opening.witness(&mut warnings)?;
        let Trusted { engine, condition, state, feeds, bytes, set_aside } = opening.trusted(witness, &mut warnings)?;
        let mut entries = BTreeMap::new();
        for feed in restore::feeds(&engine)? {
            if let Some(root) = restore::root(&engine, &feed)? {
                entries.insert(feed.clone(), Entry::of(&feed, &root));
            }
        }
        let mut keeper = Keeper::new(state_dir, Seen { state, feeds: entries });
        keeper.save()?;
        let report = OpenReport {
            state_dir: fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned()),
            condition,
            feeds,
            set_aside,
            damaged: damaged(state_dir),
            warnings,
        };
        let state_dir = state_dir.to_owned();
        let (slack, compact_at) = (copy::SLACK, copy::SLACK + 3 * bytes);
        let prints = Prints::new(&state_dir, keeper.state());
        let mut store = Self { engine, keeper, state_dir, commits: 0, compact_at, slack, failed: None, prints, lock };
        store.compact_if_due()?;
        Ok((store, report))
    }

    /// Gives room back now and then.
    fn compact_if_due(&mut self) -> Result<(), StoreError> {
        let size = self.engine.size()?;
        if size <= self.compact_at {
            return Ok(());
        }
        self.compact_at = match copy::compact(&self.engine, &self.state_dir)? {
            Some((engine, bytes)) => {
                self.engine = engine;
                // Never again and again, should a fresh file be as large.
                (self.slack + 3 * bytes).max(2 * self.engine.size()?)
            }
            None => 2 * size,
        };
        Ok(())
    }

    /// Every feed that was ever committed.
    ///
    /// # Errors
    /// As [`Store::restore`].
    pub fn feeds(&mut self) -> Result<Vec<FeedId>, StoreError> {
        self.attempt(|store| restore::feeds(&store.engine))
    }

    /// What [`super::inspect()`] tells, of a store that is in use.
    ///
    /// # Errors
    /// As [`Store::restore`].
    pub fn inspect(&mut self) -> Result<Inspection, StoreError> {
        self.attempt(|store| inspect::of_open(&store.engine, &store.state_dir))
    }

    /// Any failure but a claim that was refused as a whole leaves the handle unusable: what sled holds then is unknown.
    fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(first) = &self.failed {
            return Err(StoreError::Failed { first: first.clone() });
        }
        work(self).inspect_err(|error| self.failed = Some(error.to_string()))
    }
}

impl Store for SledStore {
    fn restore(&mut self, feed: &FeedId) -> Result<Restored, StoreError> {
        self.attempt(|store| restore::feed(&store.engine, feed))
    }

    fn print_key(&self) -> u64 {
        self.keeper.state()
    }

    fn remembers(&mut self, feed: &FeedId, records: &[RecordPrint]) -> Result<BTreeSet<RecordPrint>, StoreError> {
        self.attempt(|store| {
            if store.prints.must_learn() {
                let feeds = restore::feeds(&store.engine)?;
                let committed = feeds.into_iter().map(|feed| Ok((feed.clone(), remembered::days(&store.engine, &feed)?)));
                store.prints.learn(committed.collect::<Result<Vec<_>, StoreError>>()?);
            }
            Ok(store.prints.among(feed, records))
        })
    }

    fn commit(&mut self, receipt: Receipt) -> Result<(), StoreError> {
        self.attempt(|store| {
            let claim = receipt.claim();
            let (writes, root) = commit::plan(&store.engine, claim, receipt.mark(), store.keeper.state())?;
            let day = day_of(claim.at);
            let before = remembered::committed(&store.engine, &claim.feed, day)?;
            store.prints.write(&claim.feed, day, before, &claim.records)?;
            store.engine.apply(writes)?;
            store.prints.committed(&claim.feed, day, &claim.records, day_of(root.forgotten));
            store.keeper.committed(Entry::of(&claim.feed, &root))?;
            // A file tells by itself how it ends. What was torn is in a pipe, and a file in its place mends nothing there.
            if receipt.lines() > 0 && receipt.mark().is_none() {
                store.lock.set_interrupted(false);
            }
            store.commits = store.commits.wrapping_add(1);
            if store.commits.is_multiple_of(LOOK_AT_SIZE_EVERY) { store.compact_if_due() } else { Ok(()) }
        })
    }

    fn output_failed(&mut self) {
        self.lock.set_interrupted(true);
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.attempt(|store| store.keeper.save_if_changed())?;
        self.engine.close()?;
        self.lock.end();
        Ok(())
    }
}

/// Creates the state directory for its owner alone, and looks at one that is there.
fn prepare(state_dir: &Path, warnings: &mut Vec<String>) -> Result<(), StoreError> {
    let unwritable = |error: &io::Error| match StoreError::of_io(state_dir, "creating the directory", error) {
        // Whatever stands in the way of a directory, it can't be written to.
        StoreError::Io { dir, detail } => StoreError::Unwritable { dir, detail },
        other => other,
    };
    directory::make(state_dir).map_err(|e| unwritable(&e))?;
    let metadata = fs::metadata(state_dir).map_err(|e| unwritable(&e))?;
    if metadata.mode() & 0o022 != 0 {
        warnings.push(format!(
            "{} can be written by others ({:03o}): whoever can write there can make events go missing; chmod 700 it",
            state_dir.display(),
            metadata.mode() & 0o777
        ));
    }
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us {
        warnings.push(format!("{} belongs to user {}, this process runs as {us}", state_dir.display(), metadata.uid()));
    }
    Ok(())
}

/// Refuses a state directory in which a newer release has its tree, before anything is touched.
pub(super) fn refuse_newer(state_dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(state_dir).map_err(|e| StoreError::of_io(state_dir, "reading the directory", &e))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix(TREE_PREFIX).and_then(|v| v.parse::<u8>().ok())
            && version > TREE_VERSION
        {
            return Err(StoreError::Newer { what: name, version });
        }
    }
    Ok(())
}

/// The evidence of damage in a state directory, oldest first.
pub(super) fn damaged(state_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let damaged = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(DAMAGED_PREFIX));
    let mut paths: Vec<PathBuf> = damaged.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

pub(super) fn now() -> Time {
    Time::from(DateTime::<Utc>::from(SystemTime::now())).floor_second()
}
