//! Lines to a file descriptor: a regular file, a pipe, a FIFO, a socket or a terminal.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, fstat, seek};

use super::delivery::Lines;
use super::{OutputMark, SinkError, drain};
use crate::mutant::{self, Mutant};

/// What was done about the end of an output that an earlier run may have left in the middle of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healed {
    /// Nothing: the output is empty or ends with a whole line, or is neither a regular file nor a pipe that was interrupted.
    NotNeeded,
    /// The last line was torn: it was ended with a `\n`, so that no two lines merge.
    TornLine,
    /// The file has content but can't be read, or a pipe was written to by a process that was interrupted, so a `\n` was written in case
    /// its last line is torn. That may be a blank
    /// line; a torn line that merges with the next one would cost a record.
    Unknown,
}

#[derive(Debug)]
enum Kind {
    /// A regular file: delivered is what fsync has returned for.
    File { device: u64, inode: u64, append: bool, position: u64 },
    /// A pipe or FIFO: delivered is what write has taken, or if it `drains`, what has been read.
    Pipe { drains: bool },
    /// Everything else: delivered is what write has taken.
    Stream { of: FileType },
}

/// Writes whole batches of lines to a descriptor.
#[derive(Debug)]
pub struct Output {
    file: File,
    name: String,
    kind: Kind,
    healed: Option<Healed>,
    /// The process before this one may have left a pipe within a line.
    interrupted: bool,
    failed: Option<SinkError>,
}

impl Output {
    /// An output on any descriptor that can be written; `name` is what errors call it.
    ///
    /// # Errors
    /// If the descriptor can't be examined.
    pub fn new(descriptor: impl Into<OwnedFd>, name: &str) -> Result<Self, SinkError> {
        let file = File::from(descriptor.into());
        let kind = examine(&file).map_err(|e| failure(name, false, &e))?;
        Ok(Self { file, name: name.to_owned(), kind, healed: None, interrupted: false, failed: None })
    }

    /// From now on a batch to a pipe or FIFO is delivered when all of it has been read there, not when the pipe has taken it. A regular
    /// file stays as it is: what `fsync` has returned for is safer than what was read.
    ///
    /// # Errors
    /// [`SinkError::NotDrainable`] if it is neither: nothing tells what the other side of a socket, terminal or device has read.
    pub fn drain(&mut self) -> Result<(), SinkError> {
        let refused = |what: &str| SinkError::NotDrainable { output: self.name.clone(), what: what.to_owned() };
        match &mut self.kind {
            Kind::File { .. } => Ok(()),
            Kind::Stream { of: FileType::Socket } => Err(refused("a socket")),
            Kind::Stream { .. } => Err(refused("a terminal or device")),
            Kind::Pipe { drains } => {
                drain::unread(&self.file).map_err(|error| refused(&format!("a pipe that does not tell ({error})")))?;
                *drains = true;
                Ok(())
            }
        }
    }

    /// The process before this one did not end in order. If this is a pipe that has outlived it, half a line may be all that its reader
    /// has of the last one, so the next batch begins with a `\n`; that may be an empty line, but no two lines merge. Whoever reads a socket
    /// or terminal notices the end of the process before.
    pub fn after_interruption(&mut self) {
        if matches!(self.kind, Kind::Pipe { .. }) {
            (self.interrupted, self.healed) = (true, None);
        }
    }

    /// Ends the torn last line of a regular file, or what may be one in a pipe, once. The first [`Output::deliver`] does it by itself; calling it at
    /// start as well lets the start say so.
    ///
    /// # Errors
    /// As [`Output::deliver`].
    pub fn heal(&mut self) -> Result<Healed, SinkError> {
        self.refuse_after_failure()?;
        if let Some(healed) = self.healed {
            return Ok(healed);
        }
        let healed = match self.kind {
            Kind::File { position, .. } if position > 0 => match last_byte(&self.file, position) {
                Ok(b'\n') => Healed::NotNeeded,
                Ok(_) => Healed::TornLine,
                Err(_) => Healed::Unknown,
            },
            Kind::Pipe { .. } if self.interrupted => Healed::Unknown,
            _ => Healed::NotNeeded,
        };
        if healed != Healed::NotNeeded {
            self.write_and_sync(b"\n")?;
        }
        self.healed = Some(healed);
        Ok(healed)
    }

    /// Delivers `lines`, and tells where a regular file stands then. Nothing is done for no lines.
    ///
    /// # Errors
    /// If not all of it is delivered; from then on every call gives the same error.
    pub fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        self.refuse_after_failure()?;
        if !lines.is_empty() {
            self.heal()?;
            self.write_and_sync(lines)?;
        }
        Ok(self.mark())
    }

    /// Where a regular file stands.
    pub fn mark(&self) -> Option<OutputMark> {
        match self.kind {
            Kind::File { device, inode, position, .. } => Some(OutputMark { device, inode, length: position }),
            Kind::Pipe { .. } | Kind::Stream { .. } => None,
        }
    }

    fn refuse_after_failure(&self) -> Result<(), SinkError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn write_and_sync(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let done = write_all(&self.file, bytes).and_then(|()| self.settle(bytes.len() as u64));
        done.map_err(|error| {
            let terminal = matches!(self.kind, Kind::Stream { of: FileType::CharacterDevice });
            let failed = failure(&self.name, terminal, &error);
            self.failed = Some(failed.clone());
            failed
        })
    }

    fn settle(&mut self, written: u64) -> io::Result<()> {
        match &mut self.kind {
            Kind::File { append, position, .. } => {
                if !mutant::on(Mutant::P18b) {
                    self.file.sync_all()?;
                }
                *position = if *append { self.file.metadata()?.len() } else { *position + written };
                Ok(())
            }
            Kind::Pipe { drains: true } => drain::wait_until_read(&self.file),
            Kind::Pipe { drains: false } | Kind::Stream { .. } => Ok(()),
        }
    }
}

impl Lines for Output {
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        Output::deliver(self, lines)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn examine(file: &File) -> io::Result<Kind> {
    let stat = fstat(file)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let append = fcntl_getfl(file)?.contains(OFlags::APPEND);
            let position = if append { u64::try_from(stat.st_size).unwrap_or(0) } else { seek(file, SeekFrom::Current(0))? };
            sync_directory_entry(file)?;
            Kind::File { device: stat.st_dev, inode: stat.st_ino, append, position }
        }
        FileType::Fifo => Kind::Pipe { drains: false },
        of => Kind::Stream { of },
    })
}

/// A file that a shell has just created is not durable before its directory is. Where it lies can be asked of Linux only, its directory
/// may be one that this process may not open, and some file systems know no sync of a directory: then fsync of the file is what
/// there is, and on the usual file systems it covers the entry too. A sync that is tried and fails is a failure of the output, as
/// that of the file itself is: what was written could be gone after a loss of power, and would have been committed.
fn sync_directory_entry(file: &File) -> io::Result<()> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let parent = link.ok().and_then(|path| path.parent().and_then(|dir| File::open(dir).ok()));
    match parent.map_or(Ok(()), |directory| directory.sync_all()) {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Err(error),
        _ => Ok(()),
    }
}

/// The byte before `position`. A shell's `>>` opens for writing only, so the file is opened once more for reading.
fn last_byte(file: &File, position: u64) -> io::Result<u8> {
    let mut byte = [0];
    if file.read_exact_at(&mut byte, position - 1).is_err() {
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?.read_exact_at(&mut byte, position - 1)?;
    }
    Ok(byte[0])
}

fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_until_writable(file)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// For as long as it takes: a slow reader is no error. A reader that goes away wakes this, and the next write says so.
fn wait_until_writable(file: &File) -> io::Result<()> {
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(file, PollFlags::OUT)], None))?;
    Ok(())
}

/// An error of the system as one of the sink's.
pub(super) fn failure(name: &str, terminal: bool, error: &io::Error) -> SinkError {
    let (output, detail) = (name.to_owned(), error.to_string());
    // A terminal that has hung up says EIO.
    let hung_up = terminal && error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    let not_open = error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error());
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::NotConnected => {
            SinkError::Closed { output, detail }
        }
        _ if hung_up || not_open => SinkError::Closed { output, detail },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => SinkError::Full { output, detail },
        _ => SinkError::Io { output, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Read;
    use std::time::Duration;

    fn read(path: &std::path::Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_torn_last_line_is_ended_once_even_where_the_file_can_only_be_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        for (before, healed, after) in [
            ("", Healed::NotNeeded, "{}\n{}\n"),
            ("{}\n", Healed::NotNeeded, "{}\n{}\n{}\n"),
            ("{\"a", Healed::TornLine, "{\"a\n{}\n{}\n"),
        ] {
            std::fs::write(&path, before).unwrap();
            let append_only = OpenOptions::new().append(true).open(&path).unwrap();
            let mut output = Output::new(append_only, "test").unwrap();
            assert_eq!(output.heal().unwrap(), healed);
            output.deliver(b"{}\n").unwrap();
            let mark = output.deliver(b"{}\n").unwrap().unwrap();
            assert_eq!(read(&path), after);
            assert_eq!(mark.length, after.len() as u64);
        }
    }

    /// Half a line lay in a FIFO when its writer was killed, and the first record of the next process was written behind it.
    #[test]
    fn a_pipe_that_has_outlived_its_writer_gets_a_new_line_before_the_next_batch() {
        for (interrupted, after) in [(true, "{\"to\n{}\n{}\n"), (false, "{\"to{}\n{}\n")] {
            let (mut reader, writer) = std::io::pipe().unwrap();
            let mut output = Output::new(writer.try_clone().unwrap(), "test").unwrap();
            (&writer).write_all(b"{\"to").unwrap();
            assert_eq!(output.heal().unwrap(), Healed::NotNeeded);
            if interrupted {
                output.after_interruption();
            }
            for lines in ["", "{}\n", "{}\n"] {
                output.deliver(lines.as_bytes()).unwrap();
            }
            drop((output, writer));
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, after);
        }
    }

    #[test]
    fn a_file_is_healed_by_what_is_in_it_whatever_came_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        std::fs::write(&path, "{}\n").unwrap();
        let mut output = Output::new(OpenOptions::new().append(true).open(&path).unwrap(), "test").unwrap();
        output.after_interruption();
        output.deliver(b"{}\n").unwrap();
        assert_eq!(read(&path), "{}\n{}\n");
    }

    #[test]
    fn nothing_is_written_for_no_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        std::fs::write(&path, "{\"torn").unwrap();
        let mut output = Output::new(OpenOptions::new().append(true).open(&path).unwrap(), "test").unwrap();
        assert_eq!(output.deliver(b"").unwrap().unwrap().length, 6);
        assert_eq!(read(&path), "{\"torn");
    }

    #[test]
    fn a_file_that_is_not_appended_to_is_marked_by_its_own_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        let mut output = Output::new(File::create(&path).unwrap(), "test").unwrap();
        assert_eq!(output.mark().unwrap().length, 0);
        assert_eq!(output.deliver(b"one\n").unwrap().unwrap().length, 4);
        assert_eq!(output.deliver(b"two\n").unwrap().unwrap().length, 8);
        assert_eq!(read(&path), "one\ntwo\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_closed_and_stays_closed() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut output = Output::new(OwnedFd::from(writer), "test").unwrap();
        assert_eq!(output.deliver(b"one\n").unwrap(), None);
        drop(reader);
        let first = output.deliver(b"two\n").unwrap_err();
        assert!(matches!(first, SinkError::Closed { .. }), "{first}");
        assert_eq!(output.deliver(b"").unwrap_err(), first);
    }

    #[test]
    fn a_slow_reader_of_a_non_blocking_pipe_gets_every_byte() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        let line: Vec<u8> = (0..300_000).map(|n| b'a' + (n % 26) as u8).chain([b'\n']).collect();
        let expected = line.clone();
        let slow = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut chunk = [0; 7_001];
            loop {
                std::thread::sleep(Duration::from_millis(1));
                match reader.read(&mut chunk).unwrap() {
                    0 => return seen,
                    n => seen.extend_from_slice(&chunk[..n]),
                }
            }
        });
        let mut output = Output::new(OwnedFd::from(writer), "test").unwrap();
        output.deliver(&line).unwrap();
        drop(output);
        assert_eq!(slow.join().unwrap(), expected);
    }

    #[test]
    fn with_drain_a_batch_is_delivered_when_it_has_been_read() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut output = Output::new(OwnedFd::from(writer), "test").unwrap();
        output.drain().unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for lines in [&b"one\n"[..], b"", b"two\n"] {
                told.send(output.deliver(lines)).unwrap();
            }
        });
        let early = || hears.recv_timeout(Duration::from_millis(100)).is_err();
        let answer = || hears.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(early(), "nobody has read it");
        reader.read_exact(&mut [0; 3]).unwrap();
        assert!(early(), "its last byte is unread");
        reader.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(answer(), Ok(None));
        assert_eq!(answer(), Ok(None), "no lines wait for nobody");
        drop(reader);
        assert!(matches!(answer(), Err(SinkError::Closed { .. })), "written or not, it was not read");
    }

    #[test]
    fn drain_needs_a_pipe_or_a_file() {
        let output = |descriptor: OwnedFd| Output::new(descriptor, "test").unwrap();
        let (_reader, writer) = std::io::pipe().unwrap();
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
        assert_eq!(output(writer.into()).drain(), Ok(()));
        assert_eq!(output(tempfile::tempfile().unwrap().into()).drain(), Ok(()));
        for descriptor in [socket.into(), device.into()] {
            let mut output = output(descriptor);
            assert!(matches!(output.drain(), Err(SinkError::NotDrainable { .. })));
            assert_eq!(output.deliver(b"one\n"), Ok(None), "it is as it was");
        }
    }

    #[test]
    fn a_full_device_is_full() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut output = Output::new(full, "test").unwrap();
        let error = output.deliver(b"one\n").unwrap_err();
        assert!(matches!(error, SinkError::Full { .. }), "{error}");
    }

    /// A regular file, as far as the system says, that takes a thread's name; neither it nor its directory knows fsync.
    #[test]
    fn what_a_file_does_not_sync_is_not_delivered_but_a_directory_may_know_no_sync() {
        let file = OpenOptions::new().write(true).open("/proc/thread-self/comm").unwrap();
        let mut output = Output::new(file, "test").unwrap();
        assert!(output.deliver(b"one\n").is_err());
    }

    #[test]
    fn a_descriptor_that_can_not_be_written_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        std::fs::write(&path, "").unwrap();
        let mut output = Output::new(File::open(&path).unwrap(), "test").unwrap();
        assert!(matches!(output.deliver(b"one\n").unwrap_err(), SinkError::Closed { .. }));
    }

    #[test]
    fn a_full_pipe_is_waited_for_and_not_asked_again_and_again() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        let mut file = File::from(OwnedFd::from(writer));
        let mut taken = 0;
        while let Ok(written) = file.write(&[b'a'; 4096]) {
            taken += written;
        }
        let drain = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            reader.read_exact(&mut vec![0; taken]).unwrap();
            reader
        });
        wait_until_writable(&file).unwrap();
        assert_eq!(file.write(b"b").unwrap(), 1, "there is room when the wait is over");
        drop(drain.join().unwrap());
    }

    #[test]
    fn a_terminal_that_hangs_up_is_closed_and_a_disk_that_fails_is_not() {
        let error = || io::Error::from(rustix::io::Errno::IO);
        assert!(matches!(failure("test", true, &error()), SinkError::Closed { .. }));
        assert!(matches!(failure("test", false, &error()), SinkError::Io { .. }));
        let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
        assert!(matches!(examine(&device).unwrap(), Kind::Stream { of: FileType::CharacterDevice }));
        let (_reader, writer) = std::io::pipe().unwrap();
        assert!(matches!(examine(&File::from(OwnedFd::from(writer))).unwrap(), Kind::Pipe { drains: false }));
    }
}
