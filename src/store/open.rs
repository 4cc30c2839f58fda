//! Opens a state directory: whatever state it is in, the outcome is a store that can be trusted, or a clear refusal.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::commit::{self, Restart};
use super::edit::{Values, Writes, payload};
use super::key::Keys;
use super::lock::Lock;
use super::record::{Root, decode_gap};
use super::scan::Scan;
use super::witness::{self, Entry, Found, Keeper};
use super::{Engine, EpochReason, Inspection, Restored, Store, StoreError, inspect, restore, snapshot};
use crate::domain::{FeedId, Gap, Time};
use crate::sink::Receipt;

/// sled's directory; the number is the format's.
pub(super) const TREE: &str = "sled.v1";
const TREE_PREFIX: &str = "sled.v";
const TREE_VERSION: u8 = 1;
/// Where intact feeds are copied to before a damaged tree is moved away.
const SALVAGE: &str = "salvage";
pub(super) const ASIDE: &str = "aside";
pub(super) const DAMAGED_PREFIX: &str = "damaged-";
/// Values copied at once.
const COPY_AT_ONCE: usize = 256;
/// Most gaps taken over for a feed that is damaged itself. Each takes up to 5 kB of memory at that moment.
const GAPS_TAKEN_OVER: usize = 2_000;

/// The committed state, in sled.
pub struct SledStore {
    engine: Engine,
    keeper: Keeper,
    state_dir: PathBuf,
    failed: Option<String>,
    /// Dropped last: nobody else may open the files before sled has let go of them.
    _lock: Lock,
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
    /// All values are whole, but some feeds stood behind the witness.
    RolledBack,
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
        let opening = Opening { state_dir, tree: state_dir.join(TREE), now: now() };
        let (witness, mut set_aside) = opening.witness(&mut warnings)?;
        opening.create_tree()?;
        let aside = state_dir.join(ASIDE);
        let unfinished = snapshot::set_aside_unfinished(&opening.tree, &aside);
        set_aside.extend(unfinished.map_err(|e| StoreError::of_io(state_dir, "moving unfinished files aside", &e))?);
        let (engine, condition, feeds) = opening.trusted(&witness.unwrap_or_default())?;
        let entries = roots(&engine)?.into_iter().map(|(feed, root)| (feed.clone(), Entry::of(&feed, &root))).collect();
        let mut keeper = Keeper::new(state_dir, entries);
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
        Ok((Self { engine, keeper, state_dir, failed: None, _lock: lock }, report))
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

    fn commit(&mut self, receipt: Receipt) -> Result<(), StoreError> {
        self.attempt(|store| {
            let (writes, root) = commit::plan(&store.engine, receipt.claim(), receipt.mark())?;
            store.engine.apply(writes)?;
            store.keeper.committed(Entry::of(&receipt.claim().feed, &root))
        })
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.attempt(|store| store.keeper.save_if_changed())?;
        self.engine.close()
    }
}

/// An opening under way.
struct Opening<'a> {
    state_dir: &'a Path,
    tree: PathBuf,
    now: Time,
}

type Witness = BTreeMap<FeedId, Entry>;

impl Opening<'_> {
    fn failed(&self, doing: &str) -> impl Fn(io::Error) -> StoreError {
        let (dir, doing) = (self.state_dir.to_owned(), doing.to_owned());
        move |error| StoreError::of_io(&dir, &doing, &error)
    }

    /// The witness, if there is one that checks out; one that does not is moved aside.
    fn witness(&self, warnings: &mut Vec<String>) -> Result<(Option<Witness>, Vec<PathBuf>), StoreError> {
        match witness::read(self.state_dir)? {
            Found::Whole(feeds) => Ok((Some(feeds), Vec::new())),
            Found::Missing => Ok((None, Vec::new())),
            Found::Damaged(why) => {
                let moved = snapshot::set_aside(&witness::path(self.state_dir), &self.state_dir.join(ASIDE))
                    .map_err(self.failed("moving the damaged witness aside"))?;
                warnings.push(format!("the witness was damaged ({why}) and says nothing; it is now {}", moved.display()));
                Ok((None, vec![moved]))
            }
        }
    }

    /// Creates the tree's directory if there is none. A kill between moving a damaged tree away and putting the copy of
    /// its intact feeds in its place leaves that copy, whole.
    fn create_tree(&self) -> Result<(), StoreError> {
        let failed = self.failed("creating the store");
        let salvage = self.state_dir.join(SALVAGE);
        let created = match (self.tree.exists(), salvage.exists()) {
            (true, _) => return Ok(()),
            (false, true) => fs::rename(salvage, &self.tree),
            (false, false) => DirBuilder::new().mode(0o700).create(&self.tree),
        };
        created.and_then(|()| sync_directory(self.state_dir)).map_err(failed)
    }

    /// Opens the tree, scans it, and makes it one that can be trusted.
    fn trusted(&self, known: &Witness) -> Result<(Engine, Condition, Vec<FeedStart>), StoreError> {
        let (engine, scan) = match self.open_tree() {
            Ok(engine) => {
                let scan = Scan::of(&engine)?;
                (Some(engine), scan)
            }
            Err(StoreError::Damaged { detail }) => (None, Scan { findings: vec![detail], wrong: 1, ..Scan::default() }),
            Err(other) => return Err(other),
        };
        match engine {
            Some(engine) if !scan.is_damaged() => {
                let starts = self.catch_up(&engine, &scan, known)?;
                let condition = match () {
                    () if scan.values == 0 && known.is_empty() => Condition::FirstStart,
                    () if scan.values == 0 => Condition::Vanished,
                    () if starts.iter().any(|start| start.from != StartedFrom::State) => Condition::RolledBack,
                    () => Condition::Healthy,
                };
                Ok((engine, condition, starts))
            }
            engine => {
                let (engine, moved_to, starts) = self.quarantine(engine, &scan, known)?;
                Ok((engine, Condition::Quarantined { why: scan.findings, moved_to }, starts))
            }
        }
    }

    fn open_tree(&self) -> Result<Engine, StoreError> {
        Engine::open(&self.tree, self.state_dir)
    }

    /// Takes back to what the witness saw the feeds that stand behind it.
    fn catch_up(&self, engine: &Engine, scan: &Scan, known: &Witness) -> Result<Vec<FeedStart>, StoreError> {
        let why = if scan.values == 0 { EpochReason::Vanished } else { EpochReason::RolledBack };
        let mut starts = Vec::new();
        for (feed, seen) in &scan.feeds {
            let Some(root) = &seen.root else { continue };
            let behind = known.get(feed).filter(|entry| entry.generation > root.generation);
            let (from, root) = match behind {
                Some(entry) => (StartedFrom::OlderState, self.restart(engine, entry, why, &[])?),
                None => (StartedFrom::State, root.clone()),
            };
            let start = FeedStart { done: seen.done, open_gaps: seen.open_gaps, ..start_of(feed, from, Some(&root)) };
            starts.push(start);
        }
        for (feed, entry) in known.iter().filter(|(feed, _)| !scan.feeds.contains_key(feed)) {
            let root = self.restart(engine, entry, why, &[])?;
            starts.push(start_of(feed, StartedFrom::Witness, Some(&root)));
        }
        Ok(starts)
    }

    /// Moves the tree away and starts a fresh one with what can be trusted: intact feeds as they are, others from the
    /// witness with the gaps that can still be read.
    fn quarantine(
        &self,
        damaged: Option<Engine>,
        scan: &Scan,
        known: &Witness,
    ) -> Result<(Engine, PathBuf, Vec<FeedStart>), StoreError> {
        let salvaged = match damaged.as_ref().map(|damaged| self.salvage(damaged, scan)) {
            Some(Ok(copied)) => copied,
            None | Some(Err(StoreError::Damaged { .. } | StoreError::Failed { .. })) => false,
            // No room for the copy: nothing is moved before there is.
            Some(Err(other)) => return Err(other),
        };
        let gaps: BTreeMap<&FeedId, Vec<Gap>> = match &damaged {
            Some(damaged) => known.keys().map(|feed| (feed, readable_gaps(damaged, feed))).collect(),
            None => BTreeMap::new(),
        };
        drop(damaged);
        let moved_to = free_name(self.state_dir, self.now);
        let moving = self.failed("moving the damaged store aside");
        fs::rename(&self.tree, &moved_to).map_err(&moving)?;
        if salvaged {
            fs::rename(self.state_dir.join(SALVAGE), &self.tree).map_err(&moving)?;
        }
        sync_directory(self.state_dir).map_err(&moving)?;
        self.create_tree()?;
        let engine = self.open_tree()?;
        let mut starts = Vec::new();
        let kept = roots(&engine)?;
        for (feed, entry) in known {
            let none = Vec::new();
            let root = kept.get(feed);
            let (from, root) = match root {
                Some(root) if root.generation >= entry.generation => (StartedFrom::State, root.clone()),
                Some(_) => (StartedFrom::OlderState, self.restart(&engine, entry, EpochReason::RolledBack, &[])?),
                None => {
                    let gaps = gaps.get(feed).unwrap_or(&none);
                    (StartedFrom::Witness, self.restart(&engine, entry, EpochReason::Damaged, gaps)?)
                }
            };
            starts.push(start_of(feed, from, Some(&root)));
        }
        for feed in scan.feeds.keys().filter(|feed| !known.contains_key(feed)) {
            let root = kept.get(feed);
            let from = if root.is_some() { StartedFrom::State } else { StartedFrom::Nothing };
            starts.push(start_of(feed, from, root));
        }
        let after = Scan::of(&engine)?;
        for start in &mut starts {
            let seen = after
                .feeds
                .iter()
                .find(|(feed, _)| feed.tenant.as_str() == start.tenant_id && feed.content_type.as_str() == start.content_type);
            (start.done, start.open_gaps) = seen.map_or((0, 0), |(_, seen)| (seen.done, seen.open_gaps));
        }
        Ok((engine, moved_to, starts))
    }

    /// Copies the intact feeds of a damaged tree into a new one, closed and synced; false if none is intact.
    fn salvage(&self, damaged: &Engine, scan: &Scan) -> Result<bool, StoreError> {
        let place = self.state_dir.join(SALVAGE);
        let failed = self.failed("copying intact feeds");
        if !scan.feeds.values().any(|seen| seen.intact) {
            return Ok(false);
        }
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&place).map_err(failed)?;
        let copy = Engine::open(&place, self.state_dir)?;
        for (feed, _) in scan.feeds.iter().filter(|(_, seen)| seen.intact) {
            let keys = Keys::new(feed);
            let mut writes = Writes::new();
            // The root sorts last in its feed, so a copy that breaks off has none and is found out by the scan.
            damaged.walk(&keys.start(), &keys.end(), &mut |key, value| {
                writes.insert(key.to_vec(), Some(value.to_vec()));
                if writes.len() >= COPY_AT_ONCE {
                    copy.apply(std::mem::take(&mut writes))?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            copy.apply(writes)?;
        }
        copy.close().map(|()| true)
    }

    fn restart(&self, engine: &Engine, entry: &Entry, why: EpochReason, gaps: &[Gap]) -> Result<Root, StoreError> {
        let restart = Restart {
            feed: &entry.feed,
            generation: entry.generation,
            floor: entry.floor,
            begin: entry.begin,
            filter: &entry.filter,
            epoch: entry.epoch,
            why,
            now: self.now,
            gaps,
        };
        let (writes, root) = commit::restart(engine, restart)?;
        engine.apply(writes)?;
        Ok(root)
    }
}

fn start_of(feed: &FeedId, from: StartedFrom, root: Option<&Root>) -> FeedStart {
    FeedStart {
        tenant_id: feed.tenant.to_string(),
        content_type: feed.content_type.to_string(),
        from,
        floor: root.map(|root| root.floor.to_string()),
        generation: root.map(|root| root.generation),
        done: 0,
        open_gaps: 0,
    }
}

fn roots(engine: &Engine) -> Result<BTreeMap<FeedId, Root>, StoreError> {
    let mut roots = BTreeMap::new();
    for feed in restore::feeds(engine)? {
        if let Some(root) = restore::root(engine, &feed)? {
            roots.insert(feed, root);
        }
    }
    Ok(roots)
}

/// The open gaps of a damaged feed that can still be read: each is true by itself.
fn readable_gaps(damaged: &Engine, feed: &FeedId) -> Vec<Gap> {
    let (from, to) = Keys::new(feed).gaps();
    let mut gaps = Vec::new();
    // Where sled gives up in the middle, what came before still counts.
    let _ = damaged.walk(&from, &to, &mut |key, value| {
        gaps.extend(payload(key, value).ok().and_then(decode_gap).filter(Gap::is_open));
        Ok(if gaps.len() < GAPS_TAKEN_OVER { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
    gaps
}

/// Creates the state directory for its owner alone, and looks at one that is there.
fn prepare(state_dir: &Path, warnings: &mut Vec<String>) -> Result<(), StoreError> {
    let unwritable = |error: &io::Error| match StoreError::of_io(state_dir, "creating the directory", error) {
        // Whatever stands in the way of a directory, it can't be written to.
        StoreError::Io { dir, detail } => StoreError::Unwritable { dir, detail },
        other => other,
    };
    if !state_dir.is_dir() {
        DirBuilder::new().mode(0o700).recursive(true).create(state_dir).map_err(|e| unwritable(&e))?;
        if let Some(parent) = state_dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent).map_err(|e| unwritable(&e))?;
        }
    }
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

fn free_name(state_dir: &Path, now: Time) -> PathBuf {
    let name = format!("{DAMAGED_PREFIX}{}", now.utc().format("%Y%m%dT%H%M%SZ"));
    let mut names = (0_u32..).map(|n| state_dir.join(if n == 0 { name.clone() } else { format!("{name}-{n}") }));
    names.find(|path| !path.exists()).expect("some name of four billion is free")
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn now() -> Time {
    Time::from(DateTime::<Utc>::from(SystemTime::now())).floor_second()
}
