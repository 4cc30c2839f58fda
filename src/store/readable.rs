//! Whether the disk gives back what sled's files hold, asked before sled asks.
//!
//! While it opens, sled takes a read that fails for the end of what was ever written, goes on from there, and overwrites what
//! comes after (sled 0.34.7: `pagecache/iterator.rs` drops the error, `advance_snapshot` zeroes the rest). What it comes up with is
//! older and whole, so nothing tells it from a state that has gone back; opened again, it is still older. So every file is read
//! to its end first. If that fails, the open fails, as the disk did, and nothing was touched. If it does not, the bytes are in the
//! system's cache, from where sled gets them a moment later without the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Bytes read at a time.
const AT_ONCE: usize = 1 << 20;

/// Reads every file below `tree`, if there is one. What is no file or directory is left to those who look for it.
///
/// # Errors
/// What the system said, with the file that it said it of.
pub(super) fn every_file(tree: &Path) -> io::Result<()> {
    if fs::symlink_metadata(tree).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    let mut buffer = vec![0; AT_ONCE];
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| told(&directory, tree, &error))? {
            let entry = entry.map_err(|error| told(&directory, tree, &error))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() {
                to_its_end(&path, &mut buffer).map_err(|error| told(&path, tree, &error))?;
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

/// The same kind of error, in words that name the file, and the way out where a disk has lost a sector for good.
fn told(path: &Path, tree: &Path, error: &io::Error) -> io::Error {
    let (path, tree) = (path.display(), tree.display());
    let words = format!("{path}: {error}; if that stays, move {tree} elsewhere, and the next start goes on from the witness");
    io::Error::new(error.kind(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_read_is_told_with_its_name_and_what_can_be_passes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        fs::write(dir.path().join("db"), vec![7; AT_ONCE + 1]).unwrap();
        fs::write(dir.path().join("blobs/1"), "").unwrap();
        std::os::unix::fs::symlink("/nonexistent", dir.path().join("link")).unwrap();
        every_file(dir.path()).unwrap();
        every_file(&dir.path().join("none")).unwrap();
        // A file that opens, and whose first byte can't be read: nothing lies at address zero.
        let error = to_its_end(Path::new("/proc/self/mem"), &mut [0; 16]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
        let told = told(Path::new("/state/sled.v1/db"), Path::new("/state/sled.v1"), &error);
        assert!(told.to_string().starts_with("/state/sled.v1/db: ") && told.kind() == error.kind(), "{told}");
        assert!(told.to_string().contains("move /state/sled.v1 elsewhere"), "{told}");
    }
}
