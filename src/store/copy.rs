//! Copies of the tree: to save the intact feeds of a damaged one, and to give back the room that sled does not.
//!
//! Without its background thread sled cleans up too little: the file creeps up with every commit, although what it holds
//! does not. So once the file is much larger than its values, they are copied into a fresh tree, which is scanned and put in
//! the place of the old one.
//!
//! A copy is made in `salvage/` and closed before anything else is touched. Then the old tree is renamed away and the copy
//! renamed into its place. A kill between the two leaves no tree and a whole copy; the next open puts it in place. A copy
//! that was cut short lies beside a tree, and is thrown away.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::edit::{Values, Writes};
use super::key::Keys;
use super::open::ASIDE;
use super::scan::Scan;
use super::snapshot::out_of_the_way;
use super::{Engine, StoreError};
use crate::domain::FeedId;

/// sled's directory; the number is the format's.
pub(super) const TREE: &str = "sled.v1";
/// Where a copy is made.
pub(super) const SALVAGE: &str = "salvage";
/// Where a tree goes whose values are all in its copy, until it is deleted.
const REPLACED: &str = "replaced";

/// Where the tree is copied to while it is looked at.
pub(super) const INSPECTED: &str = "inspected";

/// How far the file may outgrow three times its values before it is copied: a fresh sled file takes half a megabyte, and
/// a copy every few months costs nothing.
pub(super) const SLACK: u64 = 8 << 20;
/// Values copied in one transaction.
const COPY_AT_ONCE: usize = 256;

/// Creates the tree's directory, or puts a copy in place that a kill left without one; throws leftovers away.
pub(super) fn settle(state_dir: &Path) -> io::Result<()> {
    let (tree, salvage) = (state_dir.join(TREE), state_dir.join(SALVAGE));
    let is_there = fs::symlink_metadata(&tree).is_ok();
    if !is_there && fs::symlink_metadata(&salvage).is_ok_and(|salvage| salvage.is_dir()) {
        fs::rename(&salvage, &tree)?;
    } else if !is_there {
        DirBuilder::new().mode(0o700).create(&tree)?;
    }
    // A tree that was there may have got its name from a process that was killed before it could sync it, and what is removed below
    // is perhaps all that a loss of power would bring back under that name.
    sync_directory(state_dir)?;
    remove(state_dir, SALVAGE)?;
    remove(state_dir, REPLACED)?;
    remove(state_dir, INSPECTED)
}

/// Copies the feeds that are `wanted` into a new tree at `salvage/`, closed and synced.
pub(super) fn copy(from: &Engine, state_dir: &Path, wanted: &[FeedId]) -> Result<PathBuf, StoreError> {
    let place = state_dir.join(SALVAGE);
    let made = remove(state_dir, SALVAGE).and_then(|()| DirBuilder::new().mode(0o700).create(&place));
    made.map_err(|e| StoreError::of_io(state_dir, "copying the store", &e))?;
    let copy = Engine::open(&place, state_dir)?;
    for feed in wanted {
        let keys = Keys::new(feed);
        let mut writes = Writes::new();
        // The root sorts last in its feed, so a copy that breaks off has none and is found out by the scan.
        from.walk(&keys.start(), &keys.end(), &mut |key, value| {
            writes.insert(key.to_vec(), Some(value.to_vec()));
            if writes.len() >= COPY_AT_ONCE {
                copy.apply(std::mem::take(&mut writes))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        copy.apply(writes)?;
    }
    copy.close()?;
    // The copy has its name for good before the old tree loses its own: after a loss of power one of them must be there.
    sync_directory(state_dir).map_err(|e| StoreError::of_io(state_dir, "copying the store", &e))?;
    Ok(place)
}

/// Copies the whole tree, if the copy turns out whole, into the place of the old one. Gives the tree that is in place
/// afterwards and how many bytes its values have, or `None` if there was no room for a copy.
pub(super) fn compact(old: &Engine, state_dir: &Path) -> Result<Option<(Engine, u64)>, StoreError> {
    let before = Scan::of(old)?;
    let wanted: Vec<FeedId> = before.feeds.keys().cloned().collect();
    let copied = copy(old, state_dir, &wanted).and_then(|place| {
        let engine = Engine::open(&place, state_dir)?;
        let after = Scan::of(&engine)?;
        engine.close()?;
        Ok(!after.is_damaged() && after.values == before.values && after.bytes == before.bytes)
    });
    if before.is_damaged() || !matches!(copied, Ok(true)) {
        // No room, most likely. The old tree is as good as before, unless it was reading it that failed: then the next
        // commit says so.
        remove(state_dir, SALVAGE).ok();
        return Ok(None);
    }
    let (tree, replaced) = (state_dir.join(TREE), state_dir.join(REPLACED));
    let swapped = remove(state_dir, REPLACED)
        .and_then(|()| fs::rename(&tree, &replaced))
        .and_then(|()| fs::rename(state_dir.join(SALVAGE), &tree))
        .and_then(|()| sync_directory(state_dir));
    swapped.map_err(|e| StoreError::of_io(state_dir, "putting the copied store in place", &e))?;
    let engine = Engine::open(&tree, state_dir)?;
    remove(state_dir, REPLACED).map_err(|e| StoreError::of_io(state_dir, "removing the replaced store", &e))?;
    Ok(Some((engine, before.bytes)))
}

/// Removes a directory that is ours and holds nothing that is not elsewhere too.
fn remove(state_dir: &Path, name: &str) -> io::Result<()> {
    out_of_the_way(&state_dir.join(name), &state_dir.join(ASIDE), true)
}

/// Makes renames and new names in a directory durable.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
