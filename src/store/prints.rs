//! The prints of remembered records on disk: files beside the tree, one for each feed and day of delivery.
//!
//! sled keeps what it has read or written in memory, as a rule until it is closed. Prints are many and hardly ever looked at, so
//! they lie elsewhere, and what is kept of them in memory is a sieve of fixed size and two hours for each 4,096.
//!
//! The tree holds how many of a file's prints are committed. A batch writes its own behind those, on disk, and then commits; if it
//! does not come to that, the next batch writes over them. Nothing else about the files is checked, because nothing has to be:
//! a print that is lost, damaged or of another state is a record that is recognised no more, and is delivered again if it comes again.
//! A print is made with the state's number and the feed's name, so that what a foreign file holds is never recognised. What
//! nobody can tell is that the tree and these files are backups of one state from different days: both are to be restored together.
//! What has a name of theirs and is no file is set aside, as everywhere in the state directory.
//!
//! # Format
//!
//! `records/<tenant>.<content type>.<days since 1970>`: entries of 24 bytes, in the order of delivery: the hour of the record's
//! `CreationTime` since 1970 as `i64` BE, the print as `u128` BE.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::StoreError;
use super::commit::hour_of;
use super::copy::sync_directory;
use super::open::ASIDE;
use super::sieve::Sieve;
use super::snapshot::set_aside;
use crate::domain::{ContentType, FeedId, RecordPrint, TenantId};

/// Below the state directory.
pub(super) const DIRECTORY: &str = "records";
const ENTRY: usize = 24;
/// What else may lie there under our name is neither followed nor waited for.
const AS_A_FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);
/// And what is written is on disk when the call returns.
const SYNCED: OFlags = AS_A_FILE.union(OFlags::DSYNC);
/// Entries that are read at once, 96 kB, and of which the hours are known: what is looked up was made at about the same time.
const BLOCK: u64 = 4_096;

/// The files of one state.
#[derive(Debug)]
pub(super) struct Prints {
    state_dir: PathBuf,
    state: u64,
    /// Where the last batch was written: as a rule the next goes there too.
    open: Option<(FeedId, i64, File)>,
    /// Files whose names this process has made durable.
    kept: BTreeSet<PathBuf>,
    /// Made when the first record is looked up.
    known: Option<Known>,
}

/// What is known of the committed prints.
#[derive(Debug)]
struct Known {
    sieve: Sieve,
    /// By feed and day of delivery.
    days: BTreeMap<FeedId, BTreeMap<i64, Day>>,
}

#[derive(Debug, Default)]
struct Day {
    entries: u64,
    /// The first and the last hour of each block.
    blocks: Vec<(i64, i64)>,
}

impl Day {
    fn add(&mut self, hour: i64) {
        if self.entries.is_multiple_of(BLOCK) {
            self.blocks.push((hour, hour));
        } else if let Some((first, last)) = self.blocks.last_mut() {
            (*first, *last) = ((*first).min(hour), (*last).max(hour));
        }
        self.entries += 1;
    }
}

/// An entry as it lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    hour: i64,
    print: u128,
}

impl Entry {
    fn encode(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.hour.to_be_bytes());
        bytes[8..].copy_from_slice(&self.print.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY]) -> Self {
        let (hour, print) = bytes.split_at(8);
        Self {
            hour: hour.try_into().map(i64::from_be_bytes).unwrap_or_default(),
            print: print.try_into().map(u128::from_be_bytes).unwrap_or_default(),
        }
    }
}

/// Makes the entries of one feed.
struct Maker(SipHasher13);

impl Maker {
    fn new(state: u64, feed: &FeedId) -> Self {
        let mut hasher = SipHasher13::new_with_keys(state, 0);
        hasher.write(feed.to_string().as_bytes());
        Self(hasher)
    }

    fn entry(&self, record: RecordPrint) -> Entry {
        let mut hasher = self.0;
        hasher.write(&record.hash.to_be_bytes());
        Entry { hour: hour_of(record.created), print: hasher.finish128().as_u128() }
    }
}

impl Prints {
    /// Those of the state in `state_dir` with this number. Touches nothing.
    pub(super) fn new(state_dir: &Path, state: u64) -> Self {
        Self { state_dir: state_dir.to_owned(), state, open: None, kept: BTreeSet::new(), known: None }
    }

    /// True until [`Prints::learn`] has told what is committed, and again when much of that may be forgotten.
    pub(super) fn must_learn(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.sieve.is_clogged())
    }

    /// Reads what is committed: for each feed the days, and how many prints of each. Files of other days are
    /// removed, if any is right.
    pub(super) fn learn(&mut self, committed: impl IntoIterator<Item = (FeedId, Vec<(i64, u64)>)>) {
        // What was known goes first: two sieves at once are 4 MiB more.
        let is_first = self.known.take().is_none();
        let (mut missing, mut all) = (0, 0);
        let mut known = Known { sieve: Sieve::new(), days: BTreeMap::new() };
        let mut files = BTreeSet::new();
        for (feed, days) in committed {
            for (day, entries) in days {
                let path = self.path(&feed, day);
                let learnt = known.days.entry(feed.clone()).or_default().entry(day).or_default();
                let file = to_read(&path);
                let blocks = (0..entries).step_by(usize::try_from(BLOCK).unwrap_or(usize::MAX));
                for begin in blocks {
                    let read = file.as_ref().map(|file| read(file, begin, entries)).unwrap_or_default();
                    read.iter().for_each(|entry| known.sieve.insert(entry.print));
                    missing += entries.saturating_sub(begin).min(BLOCK) - read.len() as u64;
                    let hours = read.iter().map(|entry| entry.hour);
                    learnt.blocks.push((hours.clone().min().unwrap_or(i64::MAX), hours.max().unwrap_or(i64::MIN)));
                }
                learnt.entries = entries;
                all += entries;
                files.insert(path);
            }
        }
        known.sieve.is_made();
        self.known = Some(known);
        if missing > 0 && is_first {
            tracing::warn!(
                event = "records_unrecognised",
                "of {all} delivered records that are to be recognised if they arrive again, {missing} can't be: files in {} are missing, cut or unreadable. Nothing is lost: what arrives again of them is delivered again, for nine days at most",
                self.state_dir.join(DIRECTORY).display()
            );
        }
        if !files.is_empty() {
            self.remove_others(&files);
        }
    }

    /// Which of `records` are among those that are committed.
    pub(super) fn among(&self, feed: &FeedId, records: &[RecordPrint]) -> BTreeSet<RecordPrint> {
        let mut found = BTreeSet::new();
        let Some(known) = &self.known else { return found };
        let maker = Maker::new(self.state, feed);
        let entries = records.iter().map(|record| (maker.entry(*record), *record));
        // As a rule one or two, against which thousands are held.
        let mut wanted: BTreeMap<u128, (i64, RecordPrint)> = entries
            .filter(|(entry, _)| known.sieve.may_hold(entry.print))
            .map(|(entry, record)| (entry.print, (entry.hour, record)))
            .collect();
        // What comes again comes soon, as a rule.
        for (day, in_day) in known.days.get(feed).into_iter().flatten().rev() {
            if wanted.is_empty() {
                break;
            }
            let mut file = None;
            for (begin, (first, last)) in (0..).step_by(usize::try_from(BLOCK).unwrap_or(usize::MAX)).zip(&in_day.blocks) {
                if !wanted.values().any(|(hour, _)| (first..=last).contains(&hour)) {
                    continue;
                }
                let file = file.get_or_insert_with(|| to_read(&self.path(feed, *day)));
                for entry in file.as_ref().map(|file| read(file, begin, in_day.entries)).unwrap_or_default() {
                    if wanted.get(&entry.print).is_some_and(|(hour, _)| *hour == entry.hour) {
                        found.extend(wanted.remove(&entry.print).map(|(_, record)| record));
                    }
                }
            }
        }
        found
    }

    /// Puts records behind the `committed` prints of their day, on disk. They count once that is committed.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn write(&mut self, feed: &FeedId, day: i64, committed: u64, records: &[RecordPrint]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let maker = Maker::new(self.state, feed);
        let bytes: Vec<u8> = records.iter().flat_map(|record| maker.entry(*record).encode()).collect();
        let written = self.file(feed, day).and_then(|file| file.write_all_at(&bytes, committed * ENTRY as u64));
        written.map_err(|error| {
            let doing = format!("remembering records in {}", self.path(feed, day).display());
            StoreError::of_io(&self.state_dir, &doing, &error)
        })
    }

    /// Takes note that what was written is committed, and that days before `forgotten` are forgotten.
    pub(super) fn committed(&mut self, feed: &FeedId, day: i64, records: &[RecordPrint], forgotten: i64) {
        let maker = Maker::new(self.state, feed);
        let Some(known) = &mut self.known else { return };
        let days = known.days.entry(feed.clone()).or_default();
        let today = days.entry(day).or_default();
        for record in records {
            let entry = maker.entry(*record);
            today.add(entry.hour);
            known.sieve.insert(entry.print);
        }
        let kept = days.split_off(&forgotten);
        for day in std::mem::replace(days, kept).into_keys() {
            self.open.take_if(|(of, on, _)| of == feed && *on == day);
            let path = self.path(feed, day);
            self.kept.remove(&path);
            // One that stays is found when the next process looks.
            fs::remove_file(path).ok();
        }
    }

    /// The file of a day, made if it is not there, and its name kept.
    fn file(&mut self, feed: &FeedId, day: i64) -> io::Result<&File> {
        if !self.open.as_ref().is_some_and(|(of, on, _)| of == feed && *on == day) {
            let dir = self.state_dir.join(DIRECTORY);
            let path = self.path(feed, day);
            if self.kept.is_empty() {
                self.clear(&dir, true)?;
                make(&dir)?;
            }
            self.clear(&path, false)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).custom_flags(SYNCED.bits().cast_signed());
            let file = options.open(&path)?;
            if !self.kept.contains(&path) {
                sync_directory(&dir)?;
                self.kept.insert(path);
            }
            self.open = Some((feed.clone(), day, file));
        }
        match &self.open {
            Some((_, _, file)) => Ok(file),
            None => Err(io::Error::other("it was opened just now")),
        }
    }

    /// Sets aside what is neither a file nor, where one is wanted, a directory.
    fn clear(&self, path: &Path, directory: bool) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(there) if directory && there.is_dir() || !directory && there.is_file() => Ok(()),
            Ok(_) => set_aside(path, &self.state_dir.join(ASIDE)).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, feed: &FeedId, day: i64) -> PathBuf {
        self.state_dir.join(DIRECTORY).join(format!("{}.{}.{day}", feed.tenant, feed.content_type))
    }

    fn remove_others(&self, files: &BTreeSet<PathBuf>) {
        let Ok(entries) = fs::read_dir(self.state_dir.join(DIRECTORY)) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_ours(path) && !files.contains(path)) {
            fs::remove_file(path).ok();
        }
    }
}

/// Makes the directory and keeps its name. That it is there says nothing: who made it may have been killed before it came to this.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    dir.parent().map_or(Ok(()), sync_directory)
}

/// True if the name is one that [`Prints::path`] makes.
fn is_ours(path: &Path) -> bool {
    let parts = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
        let (tenant, rest) = name.split_once('.')?;
        Some((tenant, rest.rsplit_once('.')?))
    });
    parts.is_some_and(|(tenant, (content_type, day))| {
        tenant.parse::<TenantId>().is_ok() && content_type.parse::<ContentType>().is_ok() && day.parse::<i64>().is_ok()
    })
}

/// What can't be read is recognised no more.
fn to_read(path: &Path) -> Option<File> {
    OpenOptions::new().read(true).custom_flags(AS_A_FILE.bits().cast_signed()).open(path).ok()
}

/// The entries of the block that begins at this one, of a file with so many; as many as there are and can be read.
fn read(file: &File, begin: u64, entries: u64) -> Vec<Entry> {
    let wanted = usize::try_from(entries.saturating_sub(begin).min(BLOCK)).unwrap_or_default() * ENTRY;
    let mut bytes = vec![0; wanted];
    let mut length = 0;
    while length < wanted {
        match file.read_at(&mut bytes[length..], begin * ENTRY as u64 + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    bytes[..length].as_chunks().0.iter().map(Entry::decode).collect()
}
