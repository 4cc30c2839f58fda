//! Reads every value once, at open: sled opens many a damaged file without a word.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::edit::{Values, printable};
use super::frame::{self, FrameError};
use super::key::{KeyError, Name, parse};
use super::record::{Root, Tally, decode_chunk, decode_gap, decode_part};
use super::remembered::decode_count;
use super::{StoreError, commit};
use crate::domain::FeedId;

/// Findings beyond this many are counted, not described.
const FINDINGS_TOLD: usize = 20;

/// What the scan saw.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) feeds: BTreeMap<FeedId, FeedScan>,
    /// What is wrong, for a person.
    pub(super) findings: Vec<String>,
    /// How much is wrong.
    pub(super) wrong: u64,
    pub(super) values: u64,
    /// Bytes of all keys and values.
    pub(super) bytes: u64,
    /// False if sled itself gave up in the middle.
    pub(super) complete: bool,
}

/// What the scan saw of one feed.
#[derive(Debug, Default)]
pub(super) struct FeedScan {
    pub(super) root: Option<Root>,
    digest: u128,
    pub(super) done: u64,
    pub(super) open_gaps: u64,
    /// True if nothing of it is wrong.
    pub(super) intact: bool,
}

impl Scan {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// If a value is of a newer release, or the disk fails. Damage is no error but a finding.
    pub(super) fn of(values: &dyn Values) -> Result<Self, StoreError> {
        let mut scan = Self { complete: true, ..Self::default() };
        let walked = values.walk(&[], &[0xff], &mut |key, value| {
            scan.values += 1;
            scan.bytes += (key.len() + value.len()) as u64;
            scan.see(key, value)?;
            Ok(ControlFlow::Continue(()))
        });
        match walked {
            Err(StoreError::Damaged { detail }) => {
                scan.complete = false;
                scan.tell(detail);
            }
            other => other?,
        }
        let mut mismatches = Vec::new();
        for (feed, seen) in &mut scan.feeds {
            let wrong = match &seen.root {
                None => Some(format!("{feed}: values without a root")),
                Some(root) if root.digest != seen.digest => {
                    Some(format!("{feed}: its digest does not match its values: some are missing, or older than the rest"))
                }
                Some(_) => None,
            };
            seen.intact &= wrong.is_none() && scan.complete;
            mismatches.extend(wrong);
        }
        mismatches.into_iter().for_each(|wrong| scan.tell(wrong));
        Ok(scan)
    }

    /// True if something is wrong.
    pub(super) fn is_damaged(&self) -> bool {
        self.wrong > 0
    }

    /// Takes all feeds for damaged, whatever their values say.
    pub(super) fn distrust(&mut self, why: &str) {
        self.feeds.values_mut().for_each(|feed| feed.intact = false);
        self.tell(why.to_owned());
    }

    fn see(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let (feed, name) = match parse(key) {
            Ok(parsed) => parsed,
            Err(KeyError::Newer(version)) => return Err(StoreError::Newer { what: printable(key), version }),
            Err(KeyError::Foreign) => {
                self.tell(format!("{}: nothing of ours has such a key", printable(key)));
                return Ok(());
            }
        };
        let seen = self.feeds.entry(feed).or_insert_with(|| FeedScan { intact: true, ..FeedScan::default() });
        let wrong = match frame::open(key, value) {
            Ok(payload) => seen.read(name, payload).is_none().then_some("it can't be read"),
            Err(FrameError::Newer(version)) => return Err(StoreError::Newer { what: printable(key), version }),
            Err(FrameError::Damaged(why)) => Some(why),
        };
        if name != Name::Root {
            seen.digest = seen.digest.wrapping_add(frame::weight(key, value));
        }
        if let Some(why) = wrong {
            seen.intact = false;
            self.tell(format!("{}: {why}", printable(key)));
        }
        Ok(())
    }

    fn tell(&mut self, finding: String) {
        self.wrong += 1;
        if self.findings.len() < FINDINGS_TOLD {
            self.findings.push(finding);
        }
    }
}

impl FeedScan {
    fn read(&mut self, name: Name, payload: &[u8]) -> Option<()> {
        match name {
            Name::Root => self.root = Some(Root::decode(payload)?),
            Name::Done { .. } => self.done += decode_chunk(payload)?.len() as u64,
            Name::Records { .. } => drop(decode_count(payload)?),
            Name::FormerRecords { .. } => {}
            Name::Part(blob) => drop(decode_part(blob, payload)?),
            Name::Gap(id) => {
                let gap = decode_gap(payload).filter(|gap| gap.id == id)?;
                self.open_gaps += u64::from(commit::counted(&gap).is_some() || (gap.is_open() && gap.blob.is_none()));
            }
            Name::Hour(_) | Name::Day(_) => drop(Tally::decode(payload)?),
        }
        Some(())
    }
}
