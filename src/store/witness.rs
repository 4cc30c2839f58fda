//! The witness: a small file beside sled that remembers how far each feed was.
//!
//! sled can go back to an older state, or come up empty, without an error. The witness unmasks that: it is written only
//! after a commit is on disk, so it is never ahead of an intact store. It is also from where a feed starts again if the
//! store is lost: its floor was committed once, so it is true for good.
//!
//! It also tells whose the store is: a state directory has a random number, which is in the witness and in the root of each
//! feed. Where they differ, files of two states were mixed up, and neither place can be trusted.
//!
//! `witness.json`: `{"version":1,"body":{"state":…,"feeds":[…]},"checksum":"<16 hexadecimal digits>"}`, written to
//! `witness.json.new`, synced and renamed. The checksum is SipHash-1-3 of the version byte and the body's text, in every release to come: so a
//! newer file is told from a damaged one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use siphasher::sip::SipHasher13;

use super::StoreError;
use super::open::ASIDE;
use super::record::Root;
use super::snapshot::out_of_the_way;
use crate::domain::{FeedId, Time};
use crate::mutant::{self, Mutant};

const VERSION: u8 = 1;
const NAME: &str = "witness.json";
/// A feed takes some 300 bytes; nobody runs a quarter of a million of them.
const SIZE_LIMIT: u64 = 64 << 20;
/// How old a changed witness may get while commits go on: what a lost store repeats is bounded by this.
const MAX_AGE: Duration = Duration::from_secs(30);
/// And how many commits it may miss.
const MAX_COMMITS: u32 = 100;

/// What is remembered of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) feed: FeedId,
    pub(super) generation: u64,
    pub(super) floor: Time,
    pub(super) begin: Time,
    pub(super) filter: String,
    pub(super) epoch: u32,
}

impl Entry {
    pub(super) fn of(feed: &FeedId, root: &Root) -> Self {
        Self {
            feed: feed.clone(),
            generation: root.generation,
            floor: root.floor,
            begin: root.begin,
            filter: root.filter.clone(),
            epoch: root.epoch.number,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u8,
    body: Box<RawValue>,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(default)]
    state: u64,
    feeds: Vec<Entry>,
}

/// What a witness says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The number of the state, 0 if it is not known.
    pub(super) state: u64,
    pub(super) feeds: BTreeMap<FeedId, Entry>,
}

/// What was found at open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A witness that checks out.
    Whole(Seen),
    /// None.
    Missing,
    /// One that says nothing that can be trusted.
    Damaged(String),
}

/// Reads the witness of a state directory.
pub(super) fn read(state_dir: &Path) -> Result<Found, StoreError> {
    let failed = |e: &std::io::Error| StoreError::of_io(state_dir, "reading the witness", e);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path(state_dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Ok(Found::Damaged("a link is in its place".to_owned()));
        }
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            return Ok(Found::Damaged("a socket is in its place".to_owned()));
        }
        Err(error) => return Err(failed(&error)),
    };
    let mut bytes = Vec::new();
    match file.take(SIZE_LIMIT).read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::IsADirectory => return Ok(Found::Damaged(error.to_string())),
        Err(error) => return Err(failed(&error)),
    }
    check(&bytes)
}

/// What the file says of a state.
pub(super) fn document(seen: &Seen) -> serde_json::Result<Vec<u8>> {
    let body = Body { state: seen.state, feeds: seen.feeds.values().cloned().collect() };
    let body = RawValue::from_string(serde_json::to_string_pretty(&body)?)?;
    serde_json::to_vec(&Document { version: VERSION, checksum: checksum(VERSION, body.get()), body })
}

/// What a file with these bytes says.
pub(super) fn check(bytes: &[u8]) -> Result<Found, StoreError> {
    let damaged = |why: &str| Ok(Found::Damaged(why.to_owned()));
    let document: Document = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(error) => {
            assert!(!mutant::on(Mutant::P7), "seeded: {error}");
            return damaged(&error.to_string());
        }
    };
    if document.checksum != checksum(document.version, document.body.get()) {
        return damaged("its checksum is wrong");
    }
    match document.version {
        VERSION => {}
        newer if newer > VERSION => return Err(StoreError::Newer { what: NAME.to_owned(), version: newer }),
        _ => return damaged("its version never existed"),
    }
    match serde_json::from_str::<Body>(document.body.get()) {
        Ok(body) => {
            let feeds = body.feeds.into_iter().map(|entry| (entry.feed.clone(), entry)).collect();
            Ok(Found::Whole(Seen { state: body.state, feeds }))
        }
        Err(error) => damaged(&error.to_string()),
    }
}

/// Where the witness of a state directory lies.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// Writes the witness now and then.
#[derive(Debug)]
pub(super) struct Keeper {
    state_dir: PathBuf,
    seen: Seen,
    commits: u32,
    saved: Instant,
}

impl Keeper {
    /// Begins with what the store holds.
    pub(super) fn new(state_dir: &Path, seen: Seen) -> Self {
        Self { state_dir: state_dir.to_owned(), seen, commits: 0, saved: Instant::now() }
    }

    /// The number of the state.
    pub(super) fn state(&self) -> u64 {
        self.seen.state
    }

    /// Takes note of a commit that is on disk, and writes the witness if it is due.
    pub(super) fn committed(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.seen.feeds.insert(entry.feed.clone(), entry);
        self.commits += 1;
        if self.commits >= MAX_COMMITS || self.saved.elapsed() >= MAX_AGE { self.save() } else { Ok(()) }
    }

    /// Writes the witness if anything was committed since it was written last.
    pub(super) fn save_if_changed(&mut self) -> Result<(), StoreError> {
        if self.commits > 0 { self.save() } else { Ok(()) }
    }

    /// Writes the witness.
    pub(super) fn save(&mut self) -> Result<(), StoreError> {
        self.write().map_err(|e| StoreError::of_io(&self.state_dir, "writing the witness", &e))?;
        self.commits = 0;
        self.saved = Instant::now();
        Ok(())
    }

    fn write(&self) -> std::io::Result<()> {
        let bytes = document(&self.seen)?;
        if mutant::on(Mutant::P7) {
            return File::create(path(&self.state_dir))?.write_all(&bytes);
        }
        let new = self.state_dir.join(format!("{NAME}.new"));
        out_of_the_way(&new, &self.state_dir.join(ASIDE), false)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, path(&self.state_dir))?;
        File::open(&self.state_dir)?.sync_all()
    }
}

fn checksum(version: u8, body: &str) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write_u8(version);
    hasher.write(body.as_bytes());
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentType;

    fn entry(generation: u64) -> Entry {
        Entry {
            feed: FeedId {
                tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(),
                content_type: ContentType::AuditGeneral,
            },
            generation,
            floor: Time(1_772_366_400_000),
            begin: Time(1_771_761_600_000),
            filter: "28,41,47,64".into(),
            epoch: 1,
        }
    }

    #[test]
    fn is_read_as_it_was_written_and_written_when_due() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Found::Missing);
        let mut keeper = Keeper::new(dir.path(), Seen { state: 5, feeds: BTreeMap::new() });
        for generation in 1..MAX_COMMITS {
            keeper.committed(entry(generation.into())).unwrap();
        }
        assert_eq!(read(dir.path()).unwrap(), Found::Missing);
        keeper.committed(entry(MAX_COMMITS.into())).unwrap();
        let Found::Whole(seen) = read(dir.path()).unwrap() else { panic!() };
        assert_eq!(seen.state, 5);
        assert_eq!(seen.feeds.into_values().collect::<Vec<_>>(), [entry(MAX_COMMITS.into())]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found_out_or_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(dir.path(), Seen { state: 5, feeds: BTreeMap::from([(entry(7).feed, entry(7))]) });
        keeper.save().unwrap();
        let whole = fs::read(path(dir.path())).unwrap();
        let truth = check(&whole).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match check(&flipped) {
                Ok(Found::Damaged(_)) => {}
                Ok(found) => assert_eq!(found, truth, "bit {bit}"),
                Err(other) => panic!("bit {bit}: {other}"),
            }
        }
        for length in 0..whole.len() {
            assert!(matches!(check(&whole[..length]), Ok(Found::Damaged(_))), "{length}");
        }
    }

    #[test]
    fn a_newer_witness_is_refused() {
        let sum = checksum(2, "[]");
        let newer = format!(r#"{{"version":2,"body":[],"checksum":"{sum}"}}"#);
        assert!(matches!(check(newer.as_bytes()), Err(StoreError::Newer { version: 2, .. })));
    }
}
