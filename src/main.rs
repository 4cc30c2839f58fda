//! The binary: arguments in, exit code out. Everything else is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use defender_feed::cli::{self, Command, allocator};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(arguments) => {
            if matches!(arguments.command, Command::Poll(_) | Command::Backfill(_)) {
                allocator::settle();
            }
            cli::run(arguments).into()
        }
        Err(exit) => exit.into(),
    }
}
