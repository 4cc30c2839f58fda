//! sled, and nothing else of it elsewhere.
//!
//! # Why 0.34.7
//!
//! It is the last stable release (2021-09-12), and the format on disk changed after it; the 1.0 alphas have no
//! transactions. No 0.34.8 will come, so everything that it gets wrong is worked round here and in `store/open.rs`, and
//! the version is pinned: the workarounds were made against its source.
//!
//! | what it does | what is done about it |
//! |---|---|
//! | `flush` ends in `sync_file_range`, which is no barrier against loss of power (`pagecache/iobuf.rs`) | every commit ends with `File::sync_all` on a descriptor of our own for the same file |
//! | an unfinished `snap.*.generating` or `conf` makes every later open fail (`pagecache/snapshot.rs`, `config.rs`) | moved aside before open, see `store/snapshot.rs` |
//! | damaged files make it panic, at open and later | every call is made under `catch_unwind`; after a panic or an error its handle is left alone for good |
//! | a failed write can leave whoever waits for it waiting for ever (`pagecache/logger.rs`) | see [`flush`] |
//! | while it opens, a read that fails counts as the end of what was written, and what comes after is overwritten (`pagecache/iterator.rs`) | every file is read to its end before, see `store/readable.rs` |
//! | damaged files can open clean at an older state, or with one value gone back | the feeds' digests, and the witness |
//! | seven threads of its wake once a second to look for work that wakes them anyway (`threadpool.rs`) | they are made where the system may let them sleep longer, see `store/lazily.rs` |
//! | after an error its state in memory is unknown | the handle refuses everything from then on |
//!
//! # No background flusher
//!
//! `flush_every_ms(None)`, on purpose. With a flusher sled writes and syncs from a thread that only logs its errors, ends
//! in silence after one, and makes `Drop` wait for ever if it panicked (`flusher.rs`). It is needed for nothing: commits
//! flush and sync themselves; segments are freed and reused on the writing path once their replacement is written
//! (`SegmentAccountant::stabilize`), which waits for no fsync of the flusher's; truncation syncs by itself. What it does do
//! is to clean thinly filled segments. The writing path does that too, a page with each page replaced
//! (`PageCache::replace`), but falls behind, so `store/copy.rs` gives the room back. Without the flusher an idle store
//! makes no system calls at all, and every write belongs to a commit.
//!
//! # Large values
//!
//! A page (up to 20 values) whose serialised size exceeds a quarter of a segment, 128 kB, goes into a file of its own
//! below `blobs/`, which sled does not sync. Values here are kept too small for that; if one is larger all the same, such
//! files are synced with the commit.

use std::any::Any;
use std::cell::Cell;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ::sled::{Batch, Config, Db, Error, Mode};

use super::edit::{Each, Values, Writes};
use super::record::LARGE_VALUE;
use super::{StoreError, lazily, readable};

/// Pages kept in memory. The hot ones are the newest done chunks and tallies of each feed, a few kB each.
const CACHE_BYTES: u64 = 16 << 20;

/// How long sled may hold its own lock on the file after the handle before was dropped: its threads let go late.
const LOCK_LAG: Duration = Duration::from_secs(2);

/// How long a flush may take before sled is asked once more. Longer than a healthy disk ever takes.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// An open sled tree.
pub(super) struct Engine {
    /// `None` only after it was left alone.
    db: Option<Db>,
    log: File,
    dir: PathBuf,
    state_dir: PathBuf,
    broken: Cell<bool>,
    large: Cell<bool>,
}

impl Engine {
    /// Opens the tree in `dir`, or creates it. `state_dir` is what errors name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if sled refuses or panics for any other reason than the state of the disk, or the disk has lost a
    /// part of a file; [`StoreError::Io`], with nothing touched, if a file of the tree can't be read for another reason.
    pub(super) fn open(dir: &Path, state_dir: &Path) -> Result<Self, StoreError> {
        readable::check(dir, state_dir)?;
        let since = Instant::now();
        let db = loop {
            let config = Config::new().path(dir).mode(Mode::LowSpace).cache_capacity(CACHE_BYTES).flush_every_ms(None);
            match lazily::made(|| catch_unwind(AssertUnwindSafe(|| config.open()))) {
                Ok(Ok(db)) => break db,
                Ok(Err(error)) => match sled_error(state_dir, "opening", &error) {
                    StoreError::Locked { .. } if since.elapsed() < LOCK_LAG => thread::sleep(Duration::from_millis(50)),
                    error => return Err(error),
                },
                Err(panic) => return Err(panicked(state_dir, "opening", panic.as_ref())),
            }
        };
        let log = File::open(dir.join("db")).map_err(|e| StoreError::of_io(state_dir, "opening", &e))?;
        let (broken, large) = (Cell::new(false), Cell::new(true));
        let engine = Self { db: Some(db), log, dir: dir.to_owned(), state_dir: state_dir.to_owned(), broken, large };
        engine.flush("opening")?;
        sync_directory(dir).map_err(|e| StoreError::of_io(state_dir, "opening", &e))?;
        engine.large.set(false);
        Ok(engine)
    }

    /// Applies all of `writes` or none, and returns when they are on disk.
    pub(super) fn apply(&self, writes: Writes) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => {
                    self.large.set(self.large.get() || value.len() > LARGE_VALUE);
                    batch.insert(key, value);
                }
                None => batch.remove(key),
            }
        }
        self.guarded("committing", |db| db.apply_batch(batch))?;
        self.flush("committing")
    }

    /// Makes everything that was applied durable.
    fn flush(&self, doing: &str) -> Result<(), StoreError> {
        self.guarded(doing, flush)?;
        self.sync()
    }

    /// Makes everything that sled has handed to the system durable.
    fn sync(&self) -> Result<(), StoreError> {
        let synced =
            self.log.sync_all().and_then(|()| if self.large.get() { sync_files(&self.dir.join("blobs")) } else { Ok(()) });
        synced.map_err(|error| {
            self.broken.set(true);
            StoreError::of_io(&self.state_dir, "syncing", &error)
        })
    }

    /// The length of sled's file.
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        self.log.metadata().map(|m| m.len()).map_err(|e| StoreError::of_io(&self.state_dir, "measuring", &e))
    }

    /// Writes and syncs what is left, and lets go.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.flush("closing")
    }

    fn guarded<T>(&self, doing: &str, work: impl FnOnce(&Db) -> Result<T, Error>) -> Result<T, StoreError> {
        let Some(db) = self.db.as_ref().filter(|_| !self.broken.get()) else {
            return Err(StoreError::Failed { first: "an earlier call of sled failed".to_owned() });
        };
        let failed = match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => sled_error(&self.state_dir, doing, &error),
            Err(panic) => panicked(&self.state_dir, doing, panic.as_ref()),
        };
        self.broken.set(true);
        Err(failed)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let db = self.db.take();
        if self.broken.get() {
            // sled flushes when dropped, and may then panic again or wait for a thread that is gone. The process is
            // about to end or to start afresh elsewhere, so the handle is left alone.
            std::mem::forget(db);
        } else {
            // It panics if its last fsync fails. By then everything is flushed and synced, so that says nothing new.
            catch_unwind(AssertUnwindSafe(|| drop(db))).ok();
        }
    }
}

impl Values for Engine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.guarded("reading", |db| db.get(key))?.map(|value| value.to_vec()))
    }

    fn walk(&self, from: &[u8], to: &[u8], each: &mut Each<'_>) -> Result<(), StoreError> {
        let mut values = self.guarded("reading", |db| Ok(db.range(from.to_vec()..to.to_vec())))?;
        while let Some((key, value)) = self.guarded("reading", |_| values.next().transpose())? {
            self.large.set(self.large.get() || value.len() > LARGE_VALUE);
            if each(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// sled's flush, on its own threads, woken up if need be.
///
/// When a write fails, sled 0.34.7 notes the error but may forget to wake whoever waits for that write
/// (`Log::exit_reservation`), who then waits for ever: seen about once in a hundred writes to a full disk. Another flush
/// finds the error at once and wakes them all. On a disk that is merely slow it waits like the first; so that they don't
/// pile up, each comes after twice the time.
fn flush(db: &Db) -> Result<(), Error> {
    let mut flushing = pin!(db.flush_async());
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut patience = FLUSH_PATIENCE;
    let mut next = Instant::now() + patience;
    // Its first poll starts it, and with the first of all sled's threads begin.
    let mut flushed = lazily::made(|| flushing.as_mut().poll(&mut Context::from_waker(&waker)));
    loop {
        if let Poll::Ready(flushed) = flushed {
            return flushed.map(drop);
        }
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
        if Instant::now() >= next {
            // Nobody needs its answer.
            let _ = pin!(db.flush_async()).poll(&mut Context::from_waker(Waker::noop()));
            patience *= 2;
            next += patience;
        }
        flushed = flushing.as_mut().poll(&mut Context::from_waker(&waker));
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn sync_files(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        match File::open(entry?.path()) {
            Ok(file) => file.sync_all()?,
            // sled removes such a file when its page is written anew.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    sync_directory(dir)
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn sled_error(state_dir: &Path, doing: &str, error: &Error) -> StoreError {
    match error {
        Error::Io(io) if io.to_string().contains("could not acquire lock") => {
            StoreError::Locked { dir: state_dir.to_owned(), pid: None, since: None }
        }
        Error::Io(io) => io_error(state_dir, doing, io),
        Error::ReportableBug(bug) => StoreError::Io { dir: state_dir.to_owned(), detail: format!("{doing}: {bug}") },
        error => StoreError::Damaged { detail: format!("{doing}: {error}") },
    }
}

/// What the system says about a file that is too short, missing, or no file at all, is damage; about anything else, such
/// as a full disk, it is not.
fn io_error(state_dir: &Path, doing: &str, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory => StoreError::Damaged { detail: format!("{doing}: {error}") },
        _ => StoreError::of_io(state_dir, doing, error),
    }
}

fn panicked(state_dir: &Path, doing: &str, panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message");
    // sled unwraps some errors of the system; a full disk is no damage because it came as a panic.
    match os_code(text) {
        Some(code) => io_error(state_dir, doing, &io::Error::from_raw_os_error(code)),
        None => StoreError::Damaged { detail: format!("{doing}: sled panicked: {}", text.chars().take(300).collect::<String>()) },
    }
}

/// The system's error number in a panic's message: `Os { code: 28, …` or `(os error 28)`.
fn os_code(text: &str) -> Option<i32> {
    let digits = text.split_once("code: ").or_else(|| text.split_once("os error "))?.1;
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_damage_even_as_a_panic() {
        let dir = Path::new("/state");
        let of = |text: &str| panicked(dir, "opening", &text.to_owned());
        let full = r#"called `Result::unwrap()` on an `Err` value: Os { code: 28, kind: StorageFull, message: "No space left on device" }"#;
        assert!(matches!(of(full), StoreError::Full { .. }));
        assert!(matches!(of("failed: Read-only file system (os error 30)"), StoreError::Unwritable { .. }));
        assert!(matches!(of("Input/output error (os error 5)"), StoreError::Io { .. }));
        assert!(matches!(of("index out of bounds: the len is 3 but the index is 7"), StoreError::Damaged { .. }));
    }

    #[test]
    fn a_large_value_is_durable_too() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let engine = Engine::open(&tree, dir.path()).unwrap();
        let large = vec![7; 300_000];
        engine.apply(Writes::from([(b"key".to_vec(), Some(large.clone()))])).unwrap();
        assert!(engine.large.get());
        engine.close().unwrap();
        let engine = Engine::open(&tree, dir.path()).unwrap();
        assert_eq!(engine.get(b"key").unwrap(), Some(large));
    }
}
