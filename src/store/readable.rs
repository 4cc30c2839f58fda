//! Whether the disk gives back what sled's files hold, asked before sled asks.
//!
//! While it opens, sled takes a read that fails for the end of what was ever written, goes on from there, and overwrites what
//! comes after (sled 0.34.7: `pagecache/iterator.rs` drops the error, `advance_snapshot` zeroes the rest). What it comes up with is
//! older and whole, so nothing tells it from a state that has gone back; opened again, it is still older. So every file is read
//! to its end first. A disk that fails in passing gets some tries. One that has lost a sector for good has damaged the tree: it is
//! moved aside as it is, before sled has written to it. Where nothing at all can be read, the disk itself is away: then the open
//! fails, as it does for any other reason, and nothing was touched. What was read is in the system's cache, from where sled gets it
//! a moment later, as a rule without the disk.

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
/// … and after what pause, which doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// What a disk or a file system says of a place that it has lost.
const LOST: [Errno; 3] = [Errno::IO, Errno::UCLEAN, Errno::BADMSG];

/// A file that can't be read to its end.
#[derive(Debug)]
struct Unread {
    path: PathBuf,
    error: io::Error,
    /// Something else could be read.
    others: bool,
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
        if tries == TRIES && unread.others {
            return Err(StoreError::Damaged { detail: format!("{path}: {} (tried {TRIES} times)", unread.error) });
        }
        if tries == TRIES {
            let doing = format!("reading {path}, and every other file (tried {TRIES} times)");
            return Err(StoreError::of_io(state_dir, &doing, &unread.error));
        }
        std::thread::sleep(PAUSE * (1 << (tries - 1)));
        tries += 1;
    }
}

/// The files that sled reads: what else stands in the directory is none of its business.
fn sleds(tree: &Path) -> Result<Vec<PathBuf>, Unread> {
    let mut files = Vec::new();
    for (path, name) in files_in(tree)? {
        if matches!(&*name, "db" | "conf") || name.starts_with("snap.") {
            files.push(path);
        }
    }
    let blobs = tree.join("blobs");
    if blobs.is_dir() {
        files.extend(files_in(&blobs)?.into_iter().map(|(path, _)| path));
    }
    Ok(files)
}

fn every_file(tree: &Path) -> Result<(), Unread> {
    // What is no directory others look for, and say so.
    if !tree.is_dir() {
        return Ok(());
    }
    let mut buffer = vec![0; AT_ONCE];
    let (mut read, mut unread) = (0, None);
    for path in sleds(tree)? {
        if let Err(error) = to_its_end(&path, &mut buffer, &mut read) {
            unread.get_or_insert((path, error));
        }
    }
    unread.map_or(Ok(()), |(path, error)| Err(Unread { path, error, others: read > 0 }))
}

/// The regular files in a directory, with their names.
fn files_in(directory: &Path) -> Result<Vec<(PathBuf, String)>, Unread> {
    let unread = |error| Unread { path: directory.to_owned(), error, others: false };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        if entry.file_type().map_err(unread)?.is_file() {
            files.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(files)
}

/// Adds to `read` the bytes that could be read.
fn to_its_end(path: &Path, buffer: &mut [u8], read: &mut u64) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => *read += bytes as u64,
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
        let error = to_its_end(Path::new("/proc/self/mem"), &mut [0; 16], &mut 0).unwrap_err();
        assert!(Unread { path: PathBuf::new(), error, others: true }.is_lost());
    }

    /// A disk that failed once at a start made sled overwrite what it could not read.
    #[test]
    fn a_disk_that_fails_in_passing_is_asked_again_and_one_that_lost_a_sector_is_damage() {
        let failing = |times: u32, errno: Errno, others: bool| {
            let mut asked = 0;
            let outcome = check_with(Path::new("/state"), || {
                asked += 1;
                let error = io::Error::from(errno);
                if asked > times { Ok(()) } else { Err(Unread { path: "/state/sled.v1/db".into(), error, others }) }
            });
            (outcome, asked)
        };
        assert!(matches!(failing(TRIES - 1, Errno::IO, true), (Ok(()), TRIES)));
        let (outcome, asked) = failing(TRIES, Errno::IO, true);
        assert!(matches!(&outcome, Err(StoreError::Damaged { detail }) if detail.contains("/state/sled.v1/db")), "{outcome:?}");
        assert_eq!(asked, TRIES);
        let (outcome, asked) = failing(1, Errno::MFILE, true);
        assert!(matches!(&outcome, Err(StoreError::Io { detail, .. }) if detail.contains("/state/sled.v1/db")), "{outcome:?}");
        assert_eq!(asked, 1, "that is no fault of the disk");
        // A volume that is away for some seconds has lost nothing.
        let (outcome, _) = failing(TRIES, Errno::IO, false);
        assert!(matches!(&outcome, Err(StoreError::Io { detail, .. }) if detail.contains("every other file")), "{outcome:?}");
    }

    /// What an administrator left in the directory kept the program from starting, or was read each time.
    #[test]
    fn what_is_not_sleds_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::create_dir(place("lost+found")).unwrap();
        fs::create_dir(place("blobs")).unwrap();
        for name in ["db", "conf", "snap.00", "blobs/17", "db.bak", "lost+found/1"] {
            fs::write(place(name), "x").unwrap();
        }
        let mut files = sleds(dir.path()).unwrap();
        files.sort();
        assert_eq!(files, ["blobs/17", "conf", "db", "snap.00"].map(place));
    }
}
