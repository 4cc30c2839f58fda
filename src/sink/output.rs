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
    /// Nothing: the output is empty or ends with a whole line, or is neither a regular file nor one that outlives a process which was interrupted.
    NotNeeded,
    /// The last line was torn: it was ended with a `\n`, so that no two lines merge.
    TornLine,
    /// The file has content but can't be read, or a pipe or socket was written to by a process that was interrupted, so a `\n` was written in
    /// case its last line is torn. That may be a blank line; a torn line that merges with the next one would cost a record.
    Unknown,
}

#[derive(Debug)]
enum Kind {
    /// A regular file: delivered is what fsync has returned for. One that is `named` is in a directory, where somebody can read it.
    File { device: u64, inode: u64, append: bool, named: bool, position: u64 },
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
    /// has of the last one, so the next batch begins with a `\n`; that may be an empty line, but no two lines merge. So with a socket that a
    /// wrapper holds. Whoever looks at a terminal sees the end of the process before.
    pub fn after_interruption(&mut self) {
        if matches!(self.kind, Kind::Pipe { .. } | Kind::Stream { of: FileType::Socket }) {
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
        self.follow_the_end()?;
        if let Some(healed) = self.healed {
            return Ok(healed);
        }
        let healed = match self.kind {
            Kind::File { position, .. } if position > 0 => match last_byte(&self.file, position) {
                Ok(b'\n') => Healed::NotNeeded,
                Ok(_) => Healed::TornLine,
                Err(_) => Healed::Unknown,
            },
            _ if self.interrupted => Healed::Unknown,
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

    /// Somebody may have emptied a file, or another process written to it, perhaps half a line. Where it is not opened for appending, what
    /// came next would lie behind as many zeros, on their line, or over what is there.
    fn follow_the_end(&mut self) -> Result<(), SinkError> {
        let Kind::File { append, position, .. } = &mut self.kind else { return Ok(()) };
        let moved = self.file.metadata().and_then(|metadata| {
            let moved = metadata.len() != *position;
            if moved {
                *position = if *append { metadata.len() } else { go_to_end(&self.file)? };
            }
            Ok(moved)
        });
        if moved.map_err(|error| self.failed_by(&error))? {
            self.healed = None;
        }
        Ok(())
    }

    /// True if nobody can read any more what is written: the file has lost its last name.
    fn is_deleted(&self) -> io::Result<bool> {
        match self.kind {
            Kind::File { named: true, .. } => Ok(fstat(&self.file)?.st_nlink == 0),
            _ => Ok(false),
        }
    }

    fn write_and_sync(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let done = write_all(&self.file, bytes).and_then(|()| self.settle(bytes.len() as u64));
        done.map_err(|error| self.failed_by(&error))
    }

    fn failed_by(&mut self, error: &io::Error) -> SinkError {
        let terminal = matches!(self.kind, Kind::Stream { of: FileType::CharacterDevice });
        let failed = failure(&self.name, terminal, error);
        self.failed = Some(failed.clone());
        failed
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

/// For those who can't open it again: a file that was deleted meanwhile is a failure of the output.
impl Lines for Output {
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        let mark = Output::deliver(self, lines)?;
        match self.is_deleted() {
            Ok(true) if !lines.is_empty() => {
                let why =
                    "the file was deleted, and nobody can read what is written to it: start again, so that it is opened anew";
                Err(self.failed_by(&io::Error::other(why)))
            }
            Ok(_) => Ok(mark),
            Err(error) => Err(self.failed_by(&error)),
        }
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
            // A supervisor may open it at its beginning (systemd's `file:`): what is there must not be overwritten.
            let position = if append { u64::try_from(stat.st_size).unwrap_or(0) } else { go_to_end(file)? };
            sync_directory_entry(file)?;
            Kind::File { device: stat.st_dev, inode: stat.st_ino, append, named: stat.st_nlink > 0, position }
        }
        FileType::Fifo => Kind::Pipe { drains: false },
        of => Kind::Stream { of },
    })
}

/// Some files of the system itself know no end.
fn go_to_end(file: &File) -> io::Result<u64> {
    Ok(seek(file, SeekFrom::End(0)).or_else(|_| seek(file, SeekFrom::Current(0)))?)
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
mod tests;
