//! `decode`: blobs that somebody kept, offline.

mod complaints;
mod letters;
mod records;

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::flags::{self, SettingFlags};
use super::poll::open_stdout;
use super::{Context, Exit};
use crate::decode::{Sequence, Shape};
use crate::sink::{Output, SinkError};
use crate::telemetry::Escaped;

use records::Records;

/// How it can end.
pub const EXITS: &[Exit] =
    &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Gaps, Exit::OutputClosed, Exit::Config, Exit::Interrupted, Exit::Terminated];

/// What it does, for the long help.
pub const ABOUT: &str = "Turn blobs from files or stdin into events: JSON arrays as the service sends them, one record a line, or dead-letter \
        files, in any mixture. The decoder and the formats are those of poll; records that occur twice are written twice, unless \
        --drop-duplicates is given, which takes some 40 bytes of memory a record. It needs no network, no credentials and no state, reads files of any size in little memory, and ends quietly if its reader goes away.\n\n\
        What can't be a record is reported on stderr with its file, its place (counted from 0) and the reason, and leads to the exit code 3; \
        so does a file that was cut off. A file that can't be read leads to 1; the others are done all the same.\n\n\
        With --envelope, a record from a dead-letter file keeps the tenant, content type, content id and time that its line names. For other \
        files these are not known: tenant_id is the record's OrganizationId (zeros without one), so that id is the same as in a poller's \
        output; content_type is Audit.General, content_id the name of the file, index the place in it, and content_created is left out.";

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
/// A regular output file is synced with each delivery, so deliveries to it are large.
const FILE_BATCH: usize = 4 * 1024 * 1024;
/// The reader of a pipe works on one batch while the next is made.
const PIPE_BATCH: usize = 256 * 1024;

/// The arguments of `decode`.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// Read this file; stdin if none is given, or for - (can be repeated)
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Write a record only once that occurs again with the same Id and content
    #[arg(long)]
    pub drop_duplicates: bool,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<flags::Output>,
}

/// Runs it.
pub fn run(args: &DecodeArgs, context: &Context) -> Exit {
    let output = match open_stdout(context) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin[..] } else { &args.files };
    let mut run = Run { context, lines: Lines::new(output), records: Records::new(context, args.drop_duplicates), unreadable: 0 };
    for path in files {
        if let Err(error) = run.file(path) {
            return output_failed(&error, context);
        }
    }
    if let Err(error) = run.lines.deliver() {
        return output_failed(&error, context);
    }
    context.console.report(&run.records.summary(files.len() as u64, run.unreadable));
    let read = if run.unreadable == 0 { Exit::Done } else { Exit::Failed };
    read.worst(if run.records.is_whole() { Exit::Done } else { Exit::Gaps })
}

/// A reader that has gone away has seen enough, as with `| head`.
fn output_failed(error: &SinkError, context: &Context) -> Exit {
    let text = match error {
        SinkError::Closed { .. } => return Exit::Done,
        SinkError::Full { output, detail } => format!("{output} is full ({detail}): make room and run it again"),
        SinkError::Io { output, detail } => format!("{output} can't be written ({detail}): mend it and run it again"),
        SinkError::DeadLetter { .. } | SinkError::NotDrainable { .. } => error.to_string(),
    };
    context.console.error(&text);
    Exit::OutputClosed
}

/// Lines on their way out.
struct Lines {
    output: Output,
    pending: Vec<u8>,
    batch: usize,
}

impl Lines {
    fn new(output: Output) -> Self {
        let batch = if output.mark().is_some() { FILE_BATCH } else { PIPE_BATCH };
        Self { output, pending: Vec::new(), batch }
    }

    fn deliver(&mut self) -> Result<(), SinkError> {
        self.output.deliver(&self.pending)?;
        self.pending.clear();
        // One large record must not hold its memory for the rest of the run.
        self.pending.shrink_to(2 * self.batch);
        Ok(())
    }
}

struct Run<'a> {
    context: &'a Context,
    lines: Lines,
    records: Records<'a>,
    unreadable: u64,
}

impl Run<'_> {
    /// Decodes one file to its end. Only the output's failure is an error; the input's is reported.
    fn file(&mut self, path: &Path) -> Result<(), SinkError> {
        let name = if path == Path::new("-") { "stdin".to_owned() } else { path.to_string_lossy().into_owned() };
        let (mut input, live) = match open(path) {
            Ok(opened) => opened,
            Err(error) => {
                self.unreadable += 1;
                self.context.console.error(&format!("{} can't be read: {}", Escaped(&name), explain(&error)));
                return Ok(());
            }
        };
        if path == Path::new("-") && io::stdin().is_terminal() {
            self.context.console.report("reading from this terminal; end with Ctrl-D");
        }
        // Someone may be watching what comes through a pipe, and nothing is synced there.
        let at_once = live && self.lines.output.mark().is_none();
        let mut sequence = Sequence::new(self.context.settings.record_types.clone());
        let mut file = self.records.file(&name);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.unreadable += 1;
                    file.complain(&format!("can't be read on: {}", explain(&error)));
                    break;
                }
            };
            sequence.push(&chunk[..read], &mut |item| file.take(item, &mut self.lines.pending));
            if at_once || self.lines.pending.len() >= self.lines.batch {
                self.lines.deliver()?;
            }
        }
        let ending = sequence.finish(&mut |item| file.take(item, &mut self.lines.pending));
        file.end(ending.shape == Shape::Lost, &mut self.lines.pending);
        if at_once || self.lines.pending.len() >= self.lines.batch {
            self.lines.deliver()?;
        }
        Ok(())
    }
}

/// The file, and whether more of it may come while one looks.
fn open(path: &Path) -> io::Result<(Box<dyn Read>, bool)> {
    if path == Path::new("-") {
        let regular = stdin_is_regular();
        return Ok((Box::new(io::stdin().lock()), !regular));
    }
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok((Box::new(file), !kind.is_file()))
}

fn stdin_is_regular() -> bool {
    use rustix::fs::{FileType, fstat};
    fstat(io::stdin()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// The error in words, without the number that std adds.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        ErrorKind::IsADirectory => "it is a directory; name the files in it".to_owned(),
        _ => error.to_string(),
    }
}
