//! One process at a time: a lock of our own, which dies with its holder and can name it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::open::ASIDE;
use super::snapshot::set_aside;
use crate::domain::Time;

/// A process that was killed can hold its lock until the kernel has torn it down; a restart must not fail for that.
const PATIENCE: Duration = Duration::from_secs(2);

/// Held for as long as it lives. The file stays. Only its lock says that the state is in use; that it names somebody without being
/// held says that he did not end in order.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    interrupted: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Holder {
    pid: Option<u32>,
    since: Option<String>,
}

/// True if a process holds the lock right now. No file is made by looking.
pub(super) fn is_held(state_dir: &Path) -> bool {
    look(state_dir).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// True if nobody holds the lock, and the last one who did has not ended in order.
pub(super) fn is_left(state_dir: &Path) -> bool {
    look(state_dir).is_ok_and(|file| file.try_lock_shared().is_ok() && is_named(&file))
}

fn look(state_dir: &Path) -> std::io::Result<File> {
    // A FIFO in its place must not make this wait.
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(state_dir.join("lock"))
}

fn is_named(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

impl Lock {
    /// Takes the lock of a state directory; with `announce`, writes into it who has it.
    pub(super) fn take(state_dir: &Path, announce: bool) -> Result<Self, StoreError> {
        let failed = |e: &std::io::Error| StoreError::of_io(state_dir, "locking", e);
        let path = state_dir.join("lock");
        // Nobody can hold what is no file. Who looks only, leaves it.
        if announce && fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
            set_aside(&path, &state_dir.join(ASIDE)).map_err(|e| failed(&e))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
            .map_err(|e| failed(&e))?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
                Err(TryLockError::WouldBlock) => return Err(held(&mut file, state_dir)),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
            }
        }
        let interrupted = is_named(&file);
        if announce {
            let holder = Holder { pid: Some(std::process::id()), since: Some(started().to_string()) };
            let text = serde_json::to_vec(&holder).expect("a number and a string are always JSON");
            // It is never empty meanwhile: that would say that the last holder ended in order.
            let written =
                file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&text)).and_then(|()| file.set_len(text.len() as u64));
            written.map_err(|e| failed(&e))?;
        }
        Ok(Self { file, interrupted })
    }

    /// True if the last process that held it did not end in order, or an output may still show that one did not.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether an output may end within a line.
    pub(super) fn set_interrupted(&mut self, interrupted: bool) {
        self.interrupted = interrupted;
    }

    /// The end, in order. If it can't be noted, the next process takes it for an interruption, which costs an empty line.
    pub(super) fn end(self) {
        if !self.interrupted {
            let _ = self.file.set_len(0);
        }
    }
}

/// When this process took the lock, which is as good as its start.
fn started() -> Time {
    Time::from(DateTime::<Utc>::from(SystemTime::now())).floor_second()
}

fn held(file: &mut File, state_dir: &Path) -> StoreError {
    let mut text = String::new();
    file.take(1 << 10).read_to_string(&mut text).ok();
    let holder: Holder = serde_json::from_str(&text).unwrap_or_default();
    let since = holder.since.as_deref().and_then(Time::parse);
    StoreError::Locked { dir: state_dir.to_owned(), pid: holder.pid, since }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_holder_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), true).unwrap();
        let begun = Instant::now();
        match Lock::take(dir.path(), true).unwrap_err() {
            StoreError::Locked { pid, since, .. } => {
                assert_eq!(pid, Some(std::process::id()));
                assert!(since.is_some());
            }
            other => panic!("{other}"),
        }
        assert!(begun.elapsed() >= PATIENCE);
        drop(first);
        Lock::take(dir.path(), false).unwrap();
    }

    #[test]
    fn an_end_out_of_order_is_known_until_the_output_is_whole_again() {
        let dir = tempfile::tempdir().unwrap();
        let take = || Lock::take(dir.path(), true).unwrap();
        assert!(!take().is_interrupted(), "the first");
        assert!(is_left(dir.path()), "that one was dropped");
        let lock = take();
        assert!(lock.is_interrupted() && !is_left(dir.path()), "it is in use");
        drop(lock);
        let lock = take();
        assert!(lock.is_interrupted());
        lock.end();
        let mut lock = take();
        assert!(lock.is_interrupted(), "nothing has mended it");
        lock.set_interrupted(false);
        lock.end();
        let looked = Lock::take(dir.path(), false).unwrap();
        assert!(!looked.is_interrupted());
        drop(looked);
        assert!(!is_left(dir.path()) && !is_left(&dir.path().join("none")));
        let mut lock = take();
        assert!(!lock.is_interrupted(), "who only looks leaves it");
        lock.set_interrupted(true);
        lock.end();
        assert!(take().is_interrupted(), "its output failed");
    }

    #[test]
    fn a_lock_that_is_let_go_in_time_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), true).unwrap();
        let path = dir.path().to_owned();
        let second = thread::spawn(move || Lock::take(&path, true).is_ok());
        thread::sleep(Duration::from_millis(200));
        drop(first);
        assert!(second.join().unwrap());
    }
}
