//! Printing to stdout for the commands whose result is a text and no events.

use std::io::{self, ErrorKind, Write};

use super::Exit;
use crate::telemetry::Console;

/// Prints a text. Who closed the pipe has seen enough, as with `| head`; any other failure is one.
pub(super) fn print(text: &[u8]) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            Console::plain().error(&format!("stdout can't be written: {error}"));
            Exit::OutputClosed
        }
    }
}
