//! Makes of whatever lies in a state directory a tree that can be trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::commit::{self, Restart};
use super::copy::{self, TREE, sync_directory};
use super::edit::{Values, payload};
use super::key::Keys;
use super::open::{ASIDE, DAMAGED_PREFIX};
use super::record::{Root, decode_gap};
use super::scan::Scan;
use super::witness::{self, Entry, Found, Keeper, Seen};
use super::{Condition, Engine, EpochReason, FeedStart, StartedFrom, StoreError, readable, restore, snapshot};
use crate::domain::{FeedId, Gap, Time};
use crate::mutant::{self, Mutant};

/// Most gaps taken over for a feed that is damaged itself. Each takes up to 5 kB of memory at that moment.
const GAPS_TAKEN_OVER: usize = 2_000;

/// An opening under way.
pub(super) struct Opening<'a> {
    state_dir: &'a Path,
    tree: PathBuf,
    now: Time,
}

/// Gaps of damaged feeds.
type Gaps = BTreeMap<FeedId, Vec<Gap>>;

/// What the witness knows of the feeds.
type Witness = BTreeMap<FeedId, Entry>;

/// A tree that can be trusted, and how that came to be.
pub(super) struct Trusted {
    pub(super) engine: Engine,
    pub(super) condition: Condition,
    /// The number of the state.
    pub(super) state: u64,
    pub(super) feeds: Vec<FeedStart>,
    /// Bytes of its values.
    pub(super) bytes: u64,
    /// Unfinished files that were moved out of the way.
    pub(super) set_aside: Vec<PathBuf>,
}

impl<'a> Opening<'a> {
    /// An opening of `state_dir`; `now` marks epochs and names evidence.
    pub(super) fn new(state_dir: &'a Path, now: Time) -> Self {
        Self { state_dir, tree: state_dir.join(TREE), now }
    }

    fn failed(&self, doing: &str) -> impl Fn(io::Error) -> StoreError {
        let (dir, doing) = (self.state_dir.to_owned(), doing.to_owned());
        move |error| StoreError::of_io(&dir, &doing, &error)
    }

    /// The witness, if there is one that checks out; one that does not is moved aside.
    pub(super) fn witness(&self, warnings: &mut Vec<String>) -> Result<Seen, StoreError> {
        match witness::read(self.state_dir)? {
            Found::Whole(seen) => Ok(seen),
            Found::Missing => Ok(Seen::default()),
            Found::Damaged(why) => {
                let moved = snapshot::set_aside(&witness::path(self.state_dir), &self.state_dir.join(ASIDE))
                    .map_err(self.failed("moving the damaged witness aside"))?;
                warnings.push(format!("the witness was damaged ({why}) and says nothing; it is now {}", moved.display()));
                Ok(Seen::default())
            }
        }
    }

    /// Puts a witness in place that belongs to neither of two states that were mixed up, and gives its number. It is there before the
    /// tree is moved away: whenever a kill comes, what is left is still a mixture, and never passes for one of the two.
    fn disown(&self, warnings: &mut Vec<String>) -> Result<u64, StoreError> {
        let witness = witness::path(self.state_dir);
        if witness.exists() {
            let kept = snapshot::copy_aside(&witness, &self.state_dir.join(ASIDE)).map_err(self.failed("keeping the witness"))?;
            warnings.push(format!(
                "the witness and the store are of different states, so neither says anything; a copy is {}",
                kept.display()
            ));
        }
        let state = new_state();
        Keeper::new(self.state_dir, Seen { state, ..Seen::default() }).save()?;
        Ok(state)
    }

    /// Opens the tree, scans it, and makes it one that can be trusted.
    pub(super) fn trusted(&self, seen: Seen, warnings: &mut Vec<String>) -> Result<Trusted, StoreError> {
        copy::settle(self.state_dir).map_err(self.failed("creating the store"))?;
        // Before anything else looks into the files: what the disk has lost is moved aside with all the rest.
        let lost = match readable::check(&self.tree, self.state_dir) {
            Ok(()) => None,
            Err(StoreError::Damaged { detail }) => Some(detail),
            Err(other) => return Err(other),
        };
        let mut set_aside = Vec::new();
        if lost.is_none() && self.tree.is_dir() && !mutant::on(Mutant::P19) {
            let moved = snapshot::set_aside_unfinished(&self.tree, &self.state_dir.join(ASIDE));
            set_aside = moved.map_err(self.failed("moving unfinished files aside"))?;
        }
        let new = !fs::metadata(self.tree.join("db")).is_ok_and(|db| db.len() > 0);
        let (engine, mut scan) = lost.map_or_else(|| self.scanned(), |detail| Ok((None, damaged(detail))))?;
        let Seen { state, feeds: mut known } = seen;
        let states: BTreeSet<u64> = scan.feeds.values().filter_map(|feed| feed.root.as_ref()).map(|root| root.state).collect();
        let mut states: Vec<u64> = states.into_iter().chain([state]).filter(|state| *state != 0).collect();
        states.dedup();
        if states.iter().any(|other| *other != states[0]) {
            // Which of them is the one that the output is of, nothing tells.
            scan.distrust("the files of different states were mixed up");
            known.clear();
            states = vec![self.disown(warnings)?];
        }
        let state = states.first().copied().unwrap_or_else(new_state);
        let generation = |feed| scan.feeds.get(feed).and_then(|seen| seen.root.as_ref()).map_or(0, |root| root.generation);
        let behind = known.values().any(|entry| entry.generation > generation(&entry.feed));
        match engine {
            Some(engine) if !scan.is_damaged() && (new || !behind) => {
                let condition = match () {
                    () if behind => Condition::Vanished,
                    () if scan.values == 0 && known.is_empty() => Condition::FirstStart,
                    () => Condition::Healthy,
                };
                let feeds = self.starts(&engine, &scan, (state, &known), &Gaps::new())?;
                Ok(Trusted { engine, condition, state, feeds: counted(feeds, &scan), bytes: scan.bytes, set_aside })
            }
            engine => {
                let (engine, moved_to, gaps) = self.replace(engine, &scan, &known)?;
                let feeds = self.starts(&engine, &scan, (state, &known), &gaps)?;
                let condition = match scan.is_damaged() {
                    true => Condition::Quarantined { why: scan.findings, moved_to },
                    false => Condition::RolledBack { moved_to },
                };
                let after = Scan::of(&engine)?;
                Ok(Trusted { engine, condition, state, feeds: counted(feeds, &after), bytes: after.bytes, set_aside })
            }
        }
    }

    /// The tree and what a scan has to say about it; no tree if it can't be opened, or is better not.
    fn scanned(&self) -> Result<(Option<Engine>, Scan), StoreError> {
        let foreign = snapshot::foreign(&self.tree).map_err(self.failed("looking at the store"))?;
        if !foreign.is_empty() {
            return Ok((None, Scan { wrong: foreign.len() as u64, findings: foreign, ..Scan::default() }));
        }
        match Engine::open(&self.tree, self.state_dir) {
            Ok(engine) => {
                let scan = Scan::of(&engine)?;
                Ok((Some(engine), scan))
            }
            Err(StoreError::Damaged { detail }) => Ok((None, damaged(detail))),
            Err(other) => Err(other),
        }
    }

    /// Moves the tree away and starts a fresh one with the feeds that are intact; gives also where it was moved to, and
    /// the gaps of the other feeds that can still be read.
    ///
    /// A tree that has only gone back is replaced too: what made it go back may lie in it still, and cost the commits to
    /// come.
    fn replace(&self, old: Option<Engine>, scan: &Scan, known: &Witness) -> Result<(Engine, PathBuf, Gaps), StoreError> {
        let salvaged = match old.as_ref().map(|old| self.salvage(old, scan)) {
            Some(Ok(copied)) => copied,
            None | Some(Err(StoreError::Damaged { .. } | StoreError::Failed { .. })) => false,
            // No room for the copy: nothing is moved before there is.
            Some(Err(other)) => return Err(other),
        };
        let gaps = known.keys().zip(&old).map(|(feed, old)| (feed.clone(), readable_gaps(old, feed))).collect();
        drop(old);
        let moved_to = free_name(self.state_dir, self.now);
        let moving = self.failed("moving the damaged store aside");
        fs::rename(&self.tree, &moved_to).map_err(&moving)?;
        if !salvaged {
            fs::remove_dir_all(self.state_dir.join(copy::SALVAGE)).ok();
        }
        sync_directory(self.state_dir).and_then(|()| copy::settle(self.state_dir)).map_err(&moving)?;
        Ok((Engine::open(&self.tree, self.state_dir)?, moved_to, gaps))
    }

    /// Copies the intact feeds of a tree; false if none is intact.
    fn salvage(&self, old: &Engine, scan: &Scan) -> Result<bool, StoreError> {
        let intact: Vec<FeedId> = scan.feeds.iter().filter(|(_, seen)| seen.intact).map(|(feed, _)| feed.clone()).collect();
        if intact.is_empty() {
            return Ok(false);
        }
        copy::copy(old, self.state_dir, &intact).map(|_| true)
    }

    /// Takes the feeds that stand behind the witness, or are gone, to what it saw; tells from where each goes on.
    fn starts(
        &self,
        engine: &Engine,
        scan: &Scan,
        (state, known): (u64, &Witness),
        gaps: &Gaps,
    ) -> Result<Vec<FeedStart>, StoreError> {
        let lost = if scan.is_damaged() { EpochReason::Damaged } else { EpochReason::Vanished };
        let mut starts = Vec::new();
        for feed in scan.feeds.keys().chain(known.keys()).collect::<BTreeSet<_>>() {
            let kept = restore::root(engine, feed)?;
            let (from, root) = match (known.get(feed), kept) {
                (Some(entry), None) => {
                    let from_now;
                    let entry = if mutant::on(Mutant::P5) {
                        from_now = Entry { floor: self.now, begin: self.now, ..entry.clone() };
                        &from_now
                    } else {
                        entry
                    };
                    let gaps = gaps.get(feed).map_or(&[][..], Vec::as_slice);
                    (StartedFrom::Witness, Some(self.restart(engine, (state, entry), lost, gaps)?))
                }
                (Some(entry), Some(root)) if root.generation < entry.generation => {
                    (StartedFrom::OlderState, Some(self.restart(engine, (state, entry), EpochReason::RolledBack, &[])?))
                }
                (_, Some(root)) => (StartedFrom::State, Some(root)),
                (None, None) => (StartedFrom::Nothing, None),
            };
            starts.push(FeedStart {
                tenant_id: feed.tenant.to_string(),
                content_type: feed.content_type.to_string(),
                from,
                floor: root.as_ref().map(|root| root.floor.to_string()),
                generation: root.map(|root| root.generation),
                done: 0,
                open_gaps: 0,
            });
        }
        Ok(starts)
    }

    fn restart(
        &self,
        engine: &Engine,
        (state, entry): (u64, &Entry),
        why: EpochReason,
        gaps: &[Gap],
    ) -> Result<Root, StoreError> {
        let restart = Restart {
            feed: &entry.feed,
            state,
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

/// Fills in what a scan counted.
fn counted(mut starts: Vec<FeedStart>, scan: &Scan) -> Vec<FeedStart> {
    let seen: BTreeMap<(&str, &str), _> =
        scan.feeds.iter().map(|(feed, seen)| ((feed.tenant.as_str(), feed.content_type.as_str()), seen)).collect();
    for start in &mut starts {
        if let Some(seen) = seen.get(&(start.tenant_id.as_str(), start.content_type.as_str())) {
            (start.done, start.open_gaps) = (seen.done, seen.open_gaps);
        }
    }
    starts
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

/// What is said of a tree that can't be opened.
fn damaged(detail: String) -> Scan {
    Scan { findings: vec![detail], wrong: 1, ..Scan::default() }
}

/// A number for a new state: random, so that no two are alike.
fn new_state() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()).max(1)
}

fn free_name(state_dir: &Path, now: Time) -> PathBuf {
    let name = format!("{DAMAGED_PREFIX}{}", now.utc().format("%Y%m%dT%H%M%SZ"));
    let mut names = (0_u32..).map(|n| state_dir.join(if n == 0 { name.clone() } else { format!("{name}-{n}") }));
    names.find(|path| fs::symlink_metadata(path).is_err()).expect("some name of four billion is free")
}
