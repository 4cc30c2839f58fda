//! The dead-letter files: what can't be a line is kept here, byte for byte, for a person and for `decode`.
//!
//! One file for each tenant, `dead-letter/<tenant>.ndjson` in the state directory, one JSON object a line. A line is
//! whole and on disk (fsync) before the receipt of its batch exists. A kill can leave a torn last line, which no receipt
//! ever covered: it is cut off when the file is opened next, and its batch is delivered again.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use serde::Serialize;

use super::delivery::Letters;
use super::{DeadLetter, SinkError};
use crate::domain::{FeedId, TenantId};

/// How large the dead-letter file of a tenant may grow, in bytes. Records that can't be lines are rare; a gibibyte of
/// them is a fault that a person has to look at, and the state's file system must not fill up meanwhile.
pub const DEAD_LETTER_LIMIT: u64 = 1 << 30;

/// Writes dead letters.
#[derive(Debug)]
pub struct DeadLetters {
    directory: PathBuf,
    limit: u64,
    /// Files whose names this process has synced.
    kept: BTreeSet<PathBuf>,
}

/// What became of a batch's dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// They are on disk.
    All,
    /// They don't fit below the limit; none was written.
    Full,
}

#[derive(Serialize)]
struct Line<'a> {
    tenant: &'a str,
    content_type: &'a str,
    content_id: &'a str,
    content_created: String,
    index: u64,
    reason: &'a str,
    part: u32,
    last: bool,
    bytes: String,
}

impl DeadLetters {
    /// Dead letters below a state directory, at most `limit` bytes for each tenant ([`DEAD_LETTER_LIMIT`] outside
    /// tests). Nothing is created before the first dead letter.
    pub fn new(state_dir: &Path, limit: u64) -> Self {
        Self { directory: state_dir.join("dead-letter"), limit, kept: BTreeSet::new() }
    }

    /// The file of a tenant.
    pub fn path(&self, tenant: &TenantId) -> PathBuf {
        self.directory.join(format!("{tenant}.ndjson"))
    }

    fn append(&mut self, path: &Path, lines: &[u8]) -> io::Result<Kept> {
        self.ensure_directory()?;
        let mut file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed())
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let whole = cut_torn_tail(&file)?;
        if whole + lines.len() as u64 > self.limit {
            return Ok(Kept::Full);
        }
        if let Err(error) = file.write_all(lines).and_then(|()| file.sync_all()) {
            // Frees the room on a full disk. If that fails too, the next open cuts off the torn line.
            file.set_len(whole).ok();
            return Err(error);
        }
        // A file that is not empty may still have a name that a loss of power takes away: whoever wrote to it last may have been
        // killed before the sync of its directory, or of the directory above.
        if whole == 0 || !self.kept.contains(path) {
            File::open(&self.directory)?.sync_all()?;
            self.directory.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
            self.kept.insert(path.to_owned());
        }
        Ok(Kept::All)
    }

    fn ensure_directory(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

impl Letters for DeadLetters {
    /// Writes all of `letters` and syncs them, or none if they don't fit.
    fn keep(&mut self, feed: &FeedId, letters: &[DeadLetter]) -> Result<Kept, SinkError> {
        if letters.is_empty() {
            return Ok(Kept::All);
        }
        let path = self.path(&feed.tenant);
        self.append(&path, &lines(feed, letters)).map_err(|error| SinkError::DeadLetter {
            tenant: feed.tenant.clone(),
            path,
            detail: error.to_string(),
        })
    }

    fn place(&self, tenant: &TenantId) -> String {
        format!("the dead-letter file {} ({} bytes at most)", self.path(tenant).display(), self.limit)
    }
}

pub(super) fn lines(feed: &FeedId, letters: &[DeadLetter]) -> Vec<u8> {
    let mut out = Vec::new();
    for letter in letters {
        let line = Line {
            tenant: feed.tenant.as_str(),
            content_type: feed.content_type.as_str(),
            content_id: &letter.content_id.0,
            content_created: letter.created.to_string(),
            index: letter.index,
            reason: letter.reason,
            part: letter.part,
            last: letter.last,
            bytes: STANDARD.encode(&letter.bytes),
        };
        serde_json::to_writer(&mut out, &line).expect("strings and numbers are always JSON, and a Vec takes every byte");
        out.push(b'\n');
    }
    out
}

/// Cuts the file after its last `\n` and tells its length then.
fn cut_torn_tail(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = vec![0; 1 << 16];
    while end > 0 {
        let from = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..usize::try_from(end - from).expect("a chunk's length fits usize")];
        file.read_exact_at(part, from)?;
        match memchr::memrchr(b'\n', part) {
            Some(at) => {
                end = from + at as u64 + 1;
                break;
            }
            None => end = from,
        }
    }
    if end != length {
        file.set_len(end)?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ContentId, ContentType, Time};
    use std::os::unix::fs::PermissionsExt;

    fn feed() -> FeedId {
        FeedId { tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(), content_type: ContentType::AuditGeneral }
    }

    fn letter(index: u64, bytes: &[u8]) -> DeadLetter {
        DeadLetter {
            content_id: ContentId("2026$blob".into()),
            created: Time(1_772_366_400_000),
            index,
            reason: "invalid_utf8",
            part: 0,
            last: true,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn keeps_the_bytes_as_they_came_readable_by_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), DEAD_LETTER_LIMIT);
        assert_eq!(letters.keep(&feed(), &[]).unwrap(), Kept::All);
        assert!(!dir.path().join("dead-letter").exists());
        assert_eq!(letters.keep(&feed(), &[letter(3, b"{\"a\":\"\xff\n\"}")]).unwrap(), Kept::All);
        let path = letters.path(&feed().tenant);
        let text = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["content_id"], "2026$blob");
        assert_eq!(line["content_created"], "2026-03-01T12:00:00Z");
        assert_eq!((&line["index"], &line["part"], &line["last"]), (&3.into(), &0.into(), &true.into()));
        assert_eq!(STANDARD.decode(line["bytes"].as_str().unwrap()).unwrap(), b"{\"a\":\"\xff\n\"}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_of_an_earlier_process_has_its_name_synced_once_and_a_new_one_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let killed_before_the_sync = lines(&feed(), &[letter(0, b"one")]);
        let mut letters = DeadLetters::new(dir.path(), DEAD_LETTER_LIMIT);
        let path = letters.path(&feed().tenant);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, killed_before_the_sync).unwrap();
        letters.keep(&feed(), &[letter(0, b"one")]).unwrap();
        assert_eq!(letters.kept, BTreeSet::from([path.clone()]));
        // Whatever makes that sync fail, makes the letters fail.
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path.parent().unwrap(), "no directory").unwrap();
        assert!(letters.keep(&feed(), &[letter(1, b"two")]).is_err());
    }

    #[test]
    fn a_torn_line_is_cut_off_and_whole_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), DEAD_LETTER_LIMIT);
        letters.keep(&feed(), &[letter(0, b"one")]).unwrap();
        let path = letters.path(&feed().tenant);
        let whole = std::fs::read(&path).unwrap();
        for torn in [1, 70_000, 200_001] {
            let mut with_tail = whole.clone();
            with_tail.resize(whole.len() + torn, b'x');
            std::fs::write(&path, with_tail).unwrap();
            letters.keep(&feed(), &[letter(0, b"one")]).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), [&whole[..], &whole[..]].concat());
        }
    }

    #[test]
    fn nothing_is_written_beyond_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), 600);
        assert_eq!(letters.keep(&feed(), &[letter(0, b"one")]).unwrap(), Kept::All);
        let before = std::fs::read(letters.path(&feed().tenant)).unwrap();
        assert_eq!(letters.keep(&feed(), &[letter(1, &[0; 600])]).unwrap(), Kept::Full);
        assert_eq!(std::fs::read(letters.path(&feed().tenant)).unwrap(), before);
        assert_eq!(letters.keep(&feed(), &[letter(2, b"two")]).unwrap(), Kept::All);
        let place = letters.place(&feed().tenant);
        let file = letters.path(&feed().tenant);
        assert!(place.contains(file.to_str().unwrap()) && place.contains("600 bytes"), "{place}");
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), DEAD_LETTER_LIMIT);
        std::fs::create_dir(dir.path().join("dead-letter")).unwrap();
        let target = dir.path().join("target");
        std::os::unix::fs::symlink(&target, letters.path(&feed().tenant)).unwrap();
        assert!(matches!(letters.keep(&feed(), &[letter(0, b"one")]), Err(SinkError::DeadLetter { .. })));
        assert!(!target.exists());
    }

    #[test]
    fn a_fifo_in_the_place_of_the_file_is_neither_waited_for_nor_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), DEAD_LETTER_LIMIT);
        std::fs::create_dir(dir.path().join("dead-letter")).unwrap();
        let path = letters.path(&feed().tenant);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let error = letters.keep(&feed(), &[letter(0, b"one")]).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }

    #[test]
    fn the_file_may_be_exactly_as_long_as_its_limit() {
        let length = lines(&feed(), &[letter(0, b"one")]).len() as u64;
        for (limit, kept) in [(2 * length, Kept::All), (2 * length - 1, Kept::Full)] {
            let dir = tempfile::tempdir().unwrap();
            let mut letters = DeadLetters::new(dir.path(), limit);
            assert_eq!(letters.keep(&feed(), &[letter(0, b"one")]).unwrap(), Kept::All);
            assert_eq!(letters.keep(&feed(), &[letter(0, b"one")]).unwrap(), kept);
        }
    }
}
