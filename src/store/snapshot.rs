//! Unfinished sled files, moved out of the way before sled sees them.
//!
//! sled writes `snap.<lsn>.generating`, syncs it and renames it to `snap.<lsn>`. At open it takes the file whose name sorts
//! last among all `snap.*`, `.generating` included, and refuses for ever if that one is cut short (sled 0.34.7,
//! `pagecache/snapshot.rs`). Only an unfinished `.generating` is moved: a finished one may be the newest
//! snapshot there is, and a store that loses its snapshots can open empty without an error.
//!
//! sled writes `conf` once, at the very first open, without a sync; it holds nothing but settings that never change here,
//! so a broken one is moved as well, and sled writes it anew.

use std::fs::{self, DirBuilder, File, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Most bytes of a snapshot that are read to check it. At 3.5 million blobs it has less than a megabyte.
const SNAPSHOT_LIMIT: u64 = 256 << 20;

/// Moves what a kill left unfinished in `tree` into `aside`; tells what was moved, and where to.
pub(super) fn set_aside_unfinished(tree: &Path, aside: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let trailer = match &*name {
            "conf" => 4,
            name if name.starts_with("snap.") && name.ends_with(".generating") => 12,
            _ => continue,
        };
        let metadata = entry.metadata()?;
        // A `conf` of up to eight bytes counts as missing and is written anew by sled itself.
        let counts_as_missing = name == "conf" && metadata.is_file() && metadata.len() <= 8;
        let finished = metadata.is_file() && is_finished(&entry.path(), trailer)?;
        if !finished && !counts_as_missing {
            moved.push(set_aside(&entry.path(), aside)?);
        }
    }
    if !moved.is_empty() {
        File::open(tree)?.sync_all()?;
    }
    Ok(moved)
}

/// Renames a file, or whatever it is, into `aside` under a name that is free there.
pub(super) fn set_aside(path: &Path, aside: &Path) -> io::Result<PathBuf> {
    let target = place_aside(path, aside)?;
    fs::rename(path, &target)?;
    File::open(aside)?.sync_all()?;
    Ok(target)
}

/// As [`set_aside`], of a file that stays where it is too.
pub(super) fn copy_aside(path: &Path, aside: &Path) -> io::Result<PathBuf> {
    let target = place_aside(path, aside)?;
    fs::copy(path, &target)?;
    File::open(&target)?.sync_all()?;
    File::open(aside)?.sync_all()?;
    Ok(target)
}

/// A free name in `aside`, which is made if need be.
fn place_aside(path: &Path, aside: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(aside).is_ok_and(|there| !there.is_dir()) {
        // Something of somebody else's has this name; the first thing to be set aside is that.
        fs::rename(aside, free_name(&aside.with_extension("found")))?;
    }
    match DirBuilder::new().mode(0o700).create(aside) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Evidence is worth as much as the name of the directory that it is in, whichever process made that.
    aside.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())?;
    Ok(free_name(&aside.join(path.file_name().unwrap_or_default())))
}

/// This name, or one made from it that is free.
fn free_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = (0_u32..).map(|n| path.with_file_name(if n == 0 { name.clone() } else { format!("{name}.{n}") }));
    names.find(|name| fs::symlink_metadata(name).is_err()).expect("some name of four billion is free")
}

/// Makes a name free that is used for a while: what an earlier process left there is removed, and whatever else has that name is set
/// aside. What was left is a directory, or else a file.
pub(super) fn out_of_the_way(path: &Path, aside: &Path, directory: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(left) if directory && left.is_dir() => fs::remove_dir_all(path),
        Ok(left) if !directory && left.is_file() => fs::remove_file(path),
        Ok(_) => set_aside(path, aside).map(drop),
    }
}

/// What stands in a tree, or in its place, that is no file or directory of sled's: a link, a FIFO, a directory instead of a file. sled would
/// follow it, or wait for it for ever, so it is not shown to it. `conf` and unfinished snapshots are set aside before.
pub(super) fn foreign(tree: &Path) -> io::Result<Vec<String>> {
    if !fs::metadata(tree).is_ok_and(|tree| tree.is_dir()) {
        return Ok(vec![format!("{} is no directory", tree.display())]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let fits = match &*name {
            "db" | "conf" => kind.is_file(),
            "blobs" => kind.is_dir(),
            name => kind.is_file() || !name.starts_with("snap."),
        };
        if !fits {
            found.push(format!("{} is not what it should be, but {}", path.display(), named(kind)));
        } else if name == "blobs" {
            for blob in fs::read_dir(&path)? {
                let blob = blob?;
                if !blob.file_type()?.is_file() {
                    found.push(format!("{} is no file, but {}", blob.path().display(), named(blob.file_type()?)));
                }
            }
        }
    }
    Ok(found)
}

fn named(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_file() => "a file",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a link",
        _ => "a FIFO, socket or device",
    }
}

/// True if the file is content followed by a trailer of `trailer` bytes, whose last four are the CRC-32 of the content.
fn is_finished(path: &Path, trailer: usize) -> io::Result<bool> {
    if fs::metadata(path)?.len() > SNAPSHOT_LIMIT {
        return Ok(true);
    }
    let bytes = fs::read(path)?;
    let Some(content) = bytes.len().checked_sub(trailer).filter(|n| *n > 0).map(|n| &bytes[..n]) else { return Ok(false) };
    Ok(bytes.ends_with(&crc32(content).to_le_bytes()))
}

/// CRC-32 as of IEEE 802.3, a bit at a time: these files are small and read once a start.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn only_unfinished_files_are_moved_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, aside) = (dir.path().join("tree"), dir.path().join("aside"));
        fs::create_dir(&tree).unwrap();
        let mut whole = b"pages".to_vec();
        whole.extend_from_slice(&5_u64.to_le_bytes());
        whole.extend_from_slice(&crc32(b"pages").to_le_bytes());
        for (name, content) in [
            ("snap.01", &b"short"[..]),
            ("snap.02.generating", &whole[..]),
            ("snap.03.generating", b""),
            ("snap.04.generating", &whole[..whole.len() - 1]),
            ("db", b""),
        ] {
            fs::write(tree.join(name), content).unwrap();
        }
        let moved = set_aside_unfinished(&tree, &aside).unwrap();
        assert_eq!(moved.len(), 2);
        for kept in ["snap.01", "snap.02.generating", "db"] {
            assert!(tree.join(kept).exists(), "{kept}");
        }
        fs::write(tree.join("snap.03.generating"), b"again").unwrap();
        set_aside_unfinished(&tree, &aside).unwrap();
        assert_eq!(fs::read(aside.join("snap.03.generating")).unwrap(), b"");
        assert_eq!(fs::read(aside.join("snap.03.generating.1")).unwrap(), b"again");
    }
}
