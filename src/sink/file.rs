//! Lines to a file that the process opens itself (`--output`): appended to, rotated by size and by time, and opened anew as soon as
//! the path leads to another file, which is looked at before each batch: whoever moves it away need not tell.
//!
//! What is delivered, and when, is [`Output`]'s affair: this room only decides, between two batches, into which file the next one goes.
//! A batch is never spread over two files. A file is renamed to its name and the time (`events.ndjson.20261129T120000Z`), and
//! nothing is ever deleted.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use rustix::fs::{Gid, OFlags};

use super::delivery::Lines;
use super::output::failure;
use super::{Healed, Output, OutputMark, SinkError};
use crate::domain::OutputFile;

/// More files of one second than this mean that something else takes the names.
const SAME_SECOND_MAX: u32 = 10_000;
/// How often a batch is written anew because its file was deleted meanwhile: whoever deletes each new one at once wants no output.
const DELETED_MAX: u32 = 3;
/// A process that was killed can hold its lock until the kernel has torn it down.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Where a full file can't be renamed, that is tried again after so long: a file that is too long is no loss.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);
/// Who may read a new file where there was none: what events say of people is not for everybody on the machine.
const MODE: u32 = 0o640;

/// A file of lines.
#[derive(Debug)]
pub struct LinesFile {
    settings: OutputFile,
    output: Output,
    /// Where its last batch ended, and in which span of time it was written.
    length: u64,
    span: u64,
    /// A rotation has failed: no other before this.
    rotates_from: Option<Instant>,
    failed: Option<SinkError>,
}

impl LinesFile {
    /// Opens or creates the file, ends its last line if that is torn, and keeps other processes of this program off it.
    ///
    /// # Errors
    /// If it can't be opened, is no regular file, or another process has it.
    pub fn open(settings: OutputFile) -> Result<(Self, Healed), SinkError> {
        let mut settings = settings;
        // A link stays, and leads to the next file as it did to this one.
        if let Ok(target) = settings.path.canonicalize() {
            settings.path = target;
        }
        let (mut output, length, written) = open(&settings.path, None, LOCK_PATIENCE)?;
        let healed = output.heal()?;
        let length = output.mark().map_or(length, |mark| mark.length);
        let span = span(&settings, if length == 0 { SystemTime::now() } else { written });
        Ok((Self { settings, output, length, span, rotates_from: None, failed: None }, healed))
    }

    /// Where the file stands.
    pub fn mark(&self) -> Option<OutputMark> {
        self.output.mark()
    }

    fn write(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        if lines.is_empty() {
            return Ok(self.output.mark());
        }
        if !self.is_in_place()? {
            self.open_again()?;
        }
        self.rotate_if_due(lines.len() as u64)?;
        for _ in 0..DELETED_MAX {
            let mark = self.output.deliver(lines)?;
            if !self.is_deleted()? {
                self.length = mark.map_or(self.length + lines.len() as u64, |mark| mark.length);
                return Ok(mark);
            }
            // Nobody can read any more what was written: it goes into the file that takes the place.
            self.open_again()?;
        }
        Err(self.error("it was deleted while it was written, again and again"))
    }

    /// True if the path still leads to the file.
    fn is_in_place(&self) -> Result<bool, SinkError> {
        let mark = self.output.mark();
        match std::fs::metadata(&self.settings.path) {
            Ok(there) => Ok(mark.is_some_and(|mark| (mark.device, mark.inode) == (there.dev(), there.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failure(&called(&self.settings.path), false, &error)),
        }
    }

    fn is_deleted(&self) -> Result<bool, SinkError> {
        let stat = rustix::fs::fstat(&self.output).map_err(|error| self.error(&error.to_string()))?;
        Ok(stat.st_nlink == 0)
    }

    fn open_again(&mut self) -> Result<(), SinkError> {
        let like = rustix::fs::fstat(&self.output).ok();
        let (mut output, _, _) = open(&self.settings.path, like.as_ref(), Duration::ZERO)?;
        output.heal()?;
        self.length = output.mark().map_or(0, |mark| mark.length);
        self.span = span(&self.settings, SystemTime::now());
        self.output = output;
        Ok(())
    }

    fn rotate_if_due(&mut self, more: u64) -> Result<(), SinkError> {
        let now = SystemTime::now();
        let too_long = self.settings.rotate_bytes.is_some_and(|most| self.length.saturating_add(more) > most);
        let span = span(&self.settings, now);
        if self.length == 0 {
            self.span = span;
        }
        let waits = self.rotates_from.is_some_and(|at| Instant::now() < at);
        if self.length == 0 || waits || !(too_long || span != self.span) {
            return Ok(());
        }
        let path = &self.settings.path;
        let renamed = free_name(path, now).and_then(|name| std::fs::rename(path, &name).map(|()| name));
        let name = match renamed {
            Ok(name) => name,
            Err(error) => {
                tracing::warn!(event = "output_not_rotated", file = %path.display(), "the output file can't be renamed ({error}): it goes on to grow, and that is tried again in a minute; the process needs to write to its directory");
                self.rotates_from = Some(Instant::now() + ROTATE_AGAIN);
                return Ok(());
            }
        };
        self.rotates_from = None;
        tracing::info!(event = "output_rotated", to = %name.display(), bytes = self.length, "the output file is full or its time is over: the next one begins");
        self.open_again()
    }

    fn error(&self, detail: &str) -> SinkError {
        SinkError::Io { output: called(&self.settings.path), detail: detail.to_owned() }
    }
}

impl Lines for LinesFile {
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let delivered = self.write(lines);
        self.failed = delivered.as_ref().err().cloned();
        delivered
    }
}

/// The span of time that a moment lies in.
fn span(file: &OutputFile, at: SystemTime) -> u64 {
    let every = file.rotate_every.map_or(0, |every| every.as_secs());
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    since.checked_div(every).unwrap_or(0)
}

/// What errors call it.
fn called(path: &Path) -> String {
    path.display().to_string()
}

/// The file, opened to append; its length, and when it was written last. A new one is for the same readers as the one before (`like`).
fn open(path: &Path, like: Option<&rustix::fs::Stat>, patience: Duration) -> Result<(Output, u64, SystemTime), SinkError> {
    let name = called(path);
    let failed = |error: io::Error| failure(&name, false, &error);
    let refused = |detail: &str| SinkError::Io { output: name.clone(), detail: detail.to_owned() };
    // A FIFO without a reader would hold up the start for ever.
    let options = OFlags::NONBLOCK.bits() as i32;
    let mut to_append = OpenOptions::new();
    to_append.append(true).custom_flags(options).mode(MODE);
    let file = match to_append.clone().create_new(true).open(path) {
        Ok(file) => {
            like.map_or(Ok(()), |like| for_the_same(&file, like)).map_err(failed)?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => to_append.create(true).open(path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    };
    let there = file.metadata().map_err(failed)?;
    if !there.is_file() {
        return Err(refused("it is no regular file: leave --output out and redirect standard output to it"));
    }
    if !lock(&file, patience) {
        return Err(refused("another process writes to it: give each its own"));
    }
    let written = there.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok((Output::new(file, &name)?, there.len(), written))
}

/// Gives the file the mode of another one, and its group where that is allowed.
fn for_the_same(file: &File, like: &rustix::fs::Stat) -> io::Result<()> {
    let _ = rustix::fs::fchown(file, None, Some(Gid::from_raw(like.st_gid)));
    file.set_permissions(Permissions::from_mode(like.st_mode & 0o777))
}

/// Two processes that append to one file rotate it away under each other. False: another one has it.
fn lock(file: &File, patience: Duration) -> bool {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            // Some network file systems know no locks; the state directory has one of its own.
            Ok(()) | Err(TryLockError::Error(_)) => return true,
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => return false,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The name under which a full file stays.
fn free_name(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let time = DateTime::<Utc>::from(now).format("%Y%m%dT%H%M%SZ");
    for number in 0..SAME_SECOND_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { format!(".{time}") } else { format!(".{time}-{number}") });
        let name = PathBuf::from(name);
        if !name.try_exists()? {
            return Ok(name);
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "all its names of this second are taken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("events.ndjson")
        }

        fn settings(&self) -> OutputFile {
            OutputFile { path: self.path(), rotate_bytes: None, rotate_every: None }
        }

        fn open(&self, settings: OutputFile) -> LinesFile {
            LinesFile::open(settings).unwrap().0
        }

        /// Each file's content, the current one last.
        fn files(&self) -> Vec<String> {
            let mut names: Vec<_> = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort_by_key(|name| (*name == self.path(), name.clone()));
            names.iter().map(|name| std::fs::read_to_string(name).unwrap()).collect()
        }
    }

    #[test]
    fn it_is_appended_to_and_a_torn_line_is_ended() {
        let place = Place::new();
        std::fs::write(place.path(), "1\n2").unwrap();
        let (mut file, healed) = LinesFile::open(place.settings()).unwrap();
        assert_eq!(healed, Healed::TornLine);
        let mark = file.deliver(b"3\n").unwrap().unwrap();
        assert_eq!((place.files(), mark.length), (vec!["1\n2\n3\n".to_owned()], 6));
        assert_eq!(file.deliver(b"").unwrap(), Some(mark), "nothing is done for no lines");
    }

    #[test]
    fn a_batch_that_would_make_it_too_long_begins_the_next_file_whole() {
        let place = Place::new();
        let settings = OutputFile { rotate_bytes: Some(10), ..place.settings() };
        let mut file = place.open(settings.clone());
        for lines in ["aaaa\n", "bbbb\n", "c\n", "dddddddddddddddd\n", "e\n"] {
            file.deliver(lines.as_bytes()).unwrap();
        }
        let expected = ["aaaa\nbbbb\n", "c\n", "dddddddddddddddd\n", "e\n"];
        assert_eq!(place.files(), expected);
        drop(file);
        place.open(settings).deliver(b"ffffffff\n").unwrap();
        assert_eq!(place.files().len(), 5, "its length counts from earlier runs on");
    }

    #[test]
    fn each_span_of_time_has_a_file_of_its_own() {
        let place = Place::new();
        let settings = OutputFile { rotate_every: Some(Duration::from_secs(86_400)), ..place.settings() };
        std::fs::write(place.path(), "old\n").unwrap();
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        File::options().append(true).open(place.path()).unwrap().set_modified(yesterday).unwrap();
        let mut file = place.open(settings);
        file.deliver(b"1\n").unwrap();
        file.deliver(b"2\n").unwrap();
        assert_eq!(place.files(), ["old\n", "1\n2\n"]);
        file.span -= 1;
        file.deliver(b"3\n").unwrap();
        assert_eq!(place.files(), ["old\n", "1\n2\n", "3\n"]);
    }

    #[test]
    fn a_file_that_was_moved_or_deleted_is_opened_again() {
        let place = Place::new();
        let mut file = place.open(place.settings());
        file.deliver(b"1\n").unwrap();
        std::fs::rename(place.path(), place.dir.path().join("events.ndjson.1")).unwrap();
        file.deliver(b"2\n").unwrap();
        assert_eq!(place.files(), ["1\n", "2\n"]);
        std::fs::remove_file(place.path()).unwrap();
        let mark = file.deliver(b"3\n").unwrap().unwrap();
        assert_eq!((place.files(), mark.length), (vec!["1\n".to_owned(), "3\n".to_owned()], 2));
    }

    #[test]
    fn the_next_file_is_for_the_same_readers() {
        let place = Place::new();
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().mode() & 0o777;
        let mut file = place.open(OutputFile { rotate_bytes: Some(1), ..place.settings() });
        assert_eq!(mode(place.path()) & !MODE, 0);
        file.deliver(b"1\n").unwrap();
        std::fs::set_permissions(place.path(), Permissions::from_mode(0o604)).unwrap();
        file.deliver(b"2\n").unwrap();
        assert_eq!((place.files().len(), mode(place.path())), (2, 0o604));
        std::fs::remove_file(place.path()).unwrap();
        file.deliver(b"3\n").unwrap();
        assert_eq!(mode(place.path()), 0o604, "one that was deleted too");
    }

    #[test]
    fn a_file_that_can_not_be_renamed_goes_on_to_grow() {
        let place = Place::new();
        let path = place.dir.path().join("n".repeat(250));
        let mut file = place.open(OutputFile { path: path.clone(), rotate_bytes: Some(1), ..place.settings() });
        for lines in ["1\n", "2\n", "3\n"] {
            file.deliver(lines.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), "1\n2\n3\n");
    }

    #[test]
    fn a_link_goes_on_to_lead_to_the_file_that_is_written() {
        let place = Place::new();
        let link = place.dir.path().join("link");
        std::fs::write(place.path(), "").unwrap();
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        let mut file = place.open(OutputFile { path: link.clone(), rotate_bytes: Some(1), ..place.settings() });
        file.deliver(b"1\n").unwrap();
        file.deliver(b"2\n").unwrap();
        assert_eq!(std::fs::read_to_string(link).unwrap(), "2\n");
    }

    #[test]
    fn what_is_no_file_or_belongs_to_another_process_is_refused() {
        let place = Place::new();
        let refused = |settings| LinesFile::open(settings).unwrap_err().to_string();
        let _first = place.open(place.settings());
        assert!(refused(place.settings()).contains("another process writes to it"), "{}", refused(place.settings()));
        for path in ["/dev/null".into(), place.dir.path().to_owned(), place.dir.path().join("missing/events.ndjson")] {
            assert!(!refused(OutputFile { path, ..place.settings() }).is_empty());
        }
        let fifo = place.dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        refused(OutputFile { path: fifo, ..place.settings() });
    }

    #[test]
    fn after_an_error_every_call_gives_the_same() {
        let place = Place::new();
        let mut file = place.open(OutputFile { rotate_bytes: Some(1), ..place.settings() });
        file.deliver(b"1\n").unwrap();
        std::fs::remove_dir_all(place.dir.path()).unwrap();
        let error = file.deliver(b"2\n").unwrap_err();
        std::fs::create_dir_all(place.dir.path()).unwrap();
        assert_eq!(file.deliver(b"2\n").unwrap_err(), error);
    }
}
