//! Whether the disk gives back what sled's files hold, asked before sled asks.
//!
//! While it opens, sled takes a read that fails for the end of what was ever written, goes on from there, and overwrites what
//! comes after (sled 0.34.7: `pagecache/iterator.rs` drops the error, `advance_snapshot` zeroes the rest). What it comes up with is
//! older and whole, so nothing tells it from a state that has gone back; opened again, it is still older. So every file is read
//! to its end first. A disk that fails in passing gets some tries. One that has lost a sector for good has damaged the tree: it is
//! moved aside as it is, before sled has written to it. For any other reason the open fails, and nothing was touched. What was read
//! is in the system's cache, from where sled gets it a moment later without the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::StoreError;

/// Bytes read at a time.
const AT_ONCE: usize = 1 << 20;
/// How often a disk that fails is asked …
const TRIES: u32 = 4;
/// … and after what pause.
const PAUSE: Duration = Duration::from_millis(500);
/// What a disk or a file system says of a place that it has lost.
const LOST: [Errno; 3] = [Errno::IO, Errno::UCLEAN, Errno::BADMSG];

/// A file that can't be read to its end.
#[derive(Debug)]
struct Unread {
    path: PathBuf,
    error: io::Error,
}

impl Unread {
    fn is_lost(&self) -> bool {
        self.error.raw_os_error().is_some_and(|number| LOST.iter().any(|lost| lost.raw_os_error() == number))
    }
}

/// Makes sure that the files of `tree`, which belongs to `state_dir`, can be read, if there is a tree. What is no file or
/// directory is left to those who look for it.
///
/// # Errors
/// [`StoreError::Damaged`] if the disk says again and again that it can't give back a part of a file; [`StoreError::Io`] and its like for
/// any other reason.
pub(super) fn check(tree: &Path, state_dir: &Path) -> Result<(), StoreError> {
    check_with(state_dir, || every_file(tree))
}

fn check_with(state_dir: &Path, mut read: impl FnMut() -> Result<(), Unread>) -> Result<(), StoreError> {
    let mut tries = 1;
    loop {
        let Err(unread) = read() else { return Ok(()) };
        let path = unread.path.display();
        if !unread.is_lost() {
            let doing = format!("reading {path}");
            return Err(StoreError::of_io(state_dir, &doing, &unread.error));
        }
        if tries == TRIES {
            return Err(StoreError::Damaged { detail: format!("{path}: {} (tried {TRIES} times)", unread.error) });
        }
        tries += 1;
        std::thread::sleep(PAUSE);
    }
}

fn every_file(tree: &Path) -> Result<(), Unread> {
    if fs::symlink_metadata(tree).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    let mut buffer = vec![0; AT_ONCE];
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        let unread = |error| Unread { path: directory.clone(), error };
        for entry in fs::read_dir(&directory).map_err(unread)? {
            let entry = entry.map_err(unread)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unread)?);
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() {
                to_its_end(&path, &mut buffer).map_err(|error| Unread { path, error })?;
            }
        }
    }
    Ok(())
}

fn to_its_end(path: &Path, buffer: &mut [u8]) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_passes_and_a_lost_place_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        fs::write(dir.path().join("db"), vec![7; AT_ONCE + 1]).unwrap();
        fs::write(dir.path().join("blobs/1"), "").unwrap();
        std::os::unix::fs::symlink("/nonexistent", dir.path().join("link")).unwrap();
        every_file(dir.path()).unwrap();
        every_file(&dir.path().join("none")).unwrap();
        // A file that opens, and whose first byte can't be read: nothing lies at address zero.
        let error = to_its_end(Path::new("/proc/self/mem"), &mut [0; 16]).unwrap_err();
        assert!(Unread { path: PathBuf::new(), error }.is_lost());
    }

    /// A disk that failed once at a start made sled overwrite what it could not read.
    #[test]
    fn a_disk_that_fails_in_passing_is_asked_again_and_one_that_lost_a_sector_is_damage() {
        let failing = |times: u32, errno: Errno| {
            let mut asked = 0;
            let outcome = check_with(Path::new("/state"), || {
                asked += 1;
                let error = io::Error::from(errno);
                if asked > times { Ok(()) } else { Err(Unread { path: "/state/sled.v1/db".into(), error }) }
            });
            (outcome, asked)
        };
        assert!(matches!(failing(TRIES - 1, Errno::IO), (Ok(()), TRIES)));
        let (outcome, asked) = failing(TRIES, Errno::IO);
        assert!(matches!(&outcome, Err(StoreError::Damaged { detail }) if detail.contains("/state/sled.v1/db")), "{outcome:?}");
        assert_eq!(asked, TRIES);
        let (outcome, asked) = failing(1, Errno::MFILE);
        assert!(matches!(&outcome, Err(StoreError::Io { detail, .. }) if detail.contains("/state/sled.v1/db")), "{outcome:?}");
        assert_eq!(asked, 1, "that is no fault of the disk");
    }
}
