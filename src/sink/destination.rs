//! Where the lines of a process go: to standard output, or to a file of its own.

use super::delivery::Lines;
use super::{LinesFile, Output, OutputMark, SinkError};

/// The two ways.
#[derive(Debug)]
pub enum Destination {
    /// Whatever standard output is.
    Stdout(Output),
    /// A file that is rotated.
    File(Box<LinesFile>),
}

impl Destination {
    /// Where a regular file stands.
    pub fn mark(&self) -> Option<OutputMark> {
        match self {
            Destination::Stdout(output) => output.mark(),
            Destination::File(file) => file.mark(),
        }
    }

    /// As [`Output::after_interruption`]. A file of its own tells by itself how it ends.
    pub fn after_interruption(&mut self) {
        if let Destination::Stdout(output) = self {
            output.after_interruption();
        }
    }

    /// True if a reader of standard output has to be there.
    pub fn is_stdout(&self) -> bool {
        matches!(self, Destination::Stdout(_))
    }
}

impl Lines for Destination {
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        match self {
            Destination::Stdout(output) => Lines::deliver(output, lines),
            Destination::File(file) => file.deliver(lines),
        }
    }
}
