//! The binary: arguments in, exit code out. Everything else is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use defender_feed::cli;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(arguments) => cli::run(arguments).into(),
        Err(exit) => exit.into(),
    }
}
