//! The output and the disk: what has left the process, what is on disk, and what is lost between the two.

use std::collections::BTreeSet;

use super::fate::Weather;
use super::phases::{Hit, Phase};
use super::world::{Blow, Outside, World};
use crate::domain::{FeedId, RecordPrint, TenantId};
use crate::sink::{DeadLetter, Kept, Letters, Lines, OutputMark, Receipt, SinkError};
use crate::store::{Restored, Store, StoreError};

/// The witness is written with one commit in so many, in the place of the real one's time between writings.
const WITNESS_EVERY: u64 = 3;

/// Stands in for standard output.
pub(super) struct Pipe {
    pub(super) outside: Outside,
}

fn gone() -> SinkError {
    SinkError::Closed { output: "the simulated output".to_owned(), detail: "the process is dead".to_owned() }
}

impl Lines for Pipe {
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        if lines.is_empty() {
            return if self.outside.look().dead { Err(gone()) } else { Ok(None) };
        }
        if !self.outside.step(Phase::Write) {
            return Err(gone());
        }
        let mut world = self.outside.look();
        let blow = world.blow_at_the_output(lines.len());
        let taken = blow.map_or(lines.len(), |(taken, _)| taken);
        let now = world.now();
        if let Err(wrong) = world.oracle.written(&lines[..taken], now) {
            world.accuse(wrong);
        }
        match blow {
            None if world.dead => Err(gone()),
            None => Ok(None),
            Some((_, true)) => {
                world.crash(Phase::Write);
                self.outside.bell.notify_one();
                Err(gone())
            }
            Some((_, false)) => {
                world.hit(Hit::Fails, Phase::Write);
                let (output, detail) = ("the simulated output".to_owned(), "made up".to_owned());
                Err(match world.dice.below(3) {
                    0 => SinkError::Closed { output, detail },
                    1 => SinkError::Full { output, detail },
                    _ => SinkError::Io { output, detail },
                })
            }
        }
    }
}

/// Stands in for the dead-letter files.
pub(super) struct Drawer {
    pub(super) outside: Outside,
}

impl Letters for Drawer {
    fn keep(&mut self, _: &FeedId, letters: &[DeadLetter]) -> Result<Kept, SinkError> {
        if !self.outside.step(Phase::Deliver) {
            return Err(gone());
        }
        if letters.is_empty() {
            return Ok(Kept::All);
        }
        let mut world = self.outside.look();
        if world.breaks(0.05) {
            world.hit(Hit::Fails, Phase::Deliver);
            let (tenant, path) = (world.fate.tenant.clone(), "simulated".into());
            return Err(SinkError::DeadLetter { tenant, path, detail: "made up".to_owned() });
        }
        if world.is_faulty() && world.dice.chance(0.3) {
            world.hit(Hit::LettersFull, Phase::Deliver);
            world.oracle.not_kept(letters);
            return Ok(Kept::Full);
        }
        world.oracle.kept(letters);
        Ok(Kept::All)
    }

    fn place(&self, _: &TenantId) -> String {
        "the simulated dead-letter file".to_owned()
    }
}

/// Stands in for sled.
pub(super) struct Disk {
    pub(super) outside: Outside,
}

impl Store for Disk {
    fn restore(&mut self, feed: &FeedId) -> Result<Restored, StoreError> {
        self.outside.look().disk.restore(feed)
    }

    fn print_key(&self) -> u64 {
        self.outside.look().disk.print_key()
    }

    fn remembers(&mut self, feed: &FeedId, records: &[RecordPrint]) -> Result<BTreeSet<RecordPrint>, StoreError> {
        self.outside.look().disk.remembers(feed, records)
    }

    fn commit(&mut self, receipt: Receipt) -> Result<(), StoreError> {
        if !self.outside.step(Phase::Commit) {
            return Err(failed());
        }
        let mut world = self.outside.look();
        let fails = world.breaks(0.02);
        let takes_effect = !fails || world.dice.chance(0.5);
        if takes_effect {
            let claim = receipt.claim().clone();
            world.disk.commit(receipt)?;
            world.commits += 1;
            if world.commits.is_multiple_of(WITNESS_EVERY) {
                world.witness = Some((claim.floor, claim.begin));
            }
            world.note(|| {
                let gaps = claim.gaps.iter().map(|gap| {
                    let what = gap.blob.as_ref().map_or_else(|| format!("to {}", gap.to), |blob| blob.entry.id.to_string());
                    let kind = if gap.is_open() { if gap.provisional { "provisional" } else { "final" } } else { "closed" };
                    format!("; {kind} gap {} from {} {what}", gap.reason, gap.from)
                });
                format!("committed: floor {}, {} blobs{}", claim.floor, claim.done.len(), gaps.collect::<String>())
            });
            world.committed(&claim);
        }
        drop(world);
        if fails {
            self.outside.look().hit(Hit::Fails, Phase::Commit);
            return Err(failed());
        }
        // A kill after the commit: it holds, and nobody is told.
        if self.outside.step(Phase::Commit) { Ok(()) } else { Err(failed()) }
    }

    fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn failed() -> StoreError {
    StoreError::Io { dir: "simulated".into(), detail: "made up".to_owned() }
}

impl World {
    /// Whether a write ends early: after how many bytes, and whether the process dies of it.
    fn blow_at_the_output(&mut self, length: usize) -> Option<(usize, bool)> {
        let Weather::Rough { crashes, .. } = self.weather() else { return None };
        if self.blow == Some(Blow::Crash) || !self.breaks(crashes.max(0.01) * 3.0) {
            return None;
        }
        let taken = usize::try_from(self.dice.below(length as u64 + 1)).unwrap_or(0);
        Some((taken, self.dice.chance(0.6)))
    }
}
