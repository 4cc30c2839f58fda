//! Directories whose names outlast a loss of power: what is delivered or committed within would be gone with them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes a directory and those above it, for their owner alone, and keeps their names.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        DirBuilder::new().mode(0o700).recursive(true).create(dir)?;
    }
    keep_name(dir)
}

/// Syncs the directory that holds this one's name, and so on upwards. That they were there says nothing: a process that made them may
/// have been killed before it came to this. It ends where no process of ours can have made the next one: at somebody else's, at a
/// mount point, and below one that may not be opened, for then its maker had ended with that error.
pub(crate) fn keep_name(dir: &Path) -> io::Result<()> {
    let us = rustix::process::geteuid().as_raw();
    let whole = fs::canonicalize(dir)?;
    let mut there = fs::metadata(&whole)?;
    for parent in whole.ancestors().skip(1) {
        let above = fs::metadata(parent)?;
        if there.uid() != us || there.dev() != above.dev() {
            break;
        }
        match File::open(parent) {
            Ok(parent) => parent.sync_all()?,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
            Err(error) => return Err(error),
        }
        there = above;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn all_that_are_missing_are_made_for_their_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("a/b/c");
        make(&deep).unwrap();
        for dir in deep.ancestors().take(3) {
            assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
        }
        make(&deep).unwrap();
    }

    #[test]
    fn what_is_no_directory_is_not_taken_for_one() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        make(&file).unwrap_err();
        make(&file.join("below")).unwrap_err();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        make(&link).unwrap();
    }
}
