//! Crashes of the real binary, at every point where one can matter: `.ci/crash` runs all of it.
//!
//! ```text
//! cargo test --release --test crash -- points            SIGKILL, ENOSPC, EIO at each call that touches state, output or lock
//! cargo test --release --test crash -- points --all      other errors, reads, and the runs that few installations ever see;
//!                                                        of that --rare the runs, --errors the errors, --reads reads alone
//! cargo test --release --test crash -- points --pairs    a kill at each call of a run, and one at each call of its restart
//! cargo test --release --test crash -- points --list     the calls of each run; --scene NAME leaves out the other runs
//! cargo test --release --test crash -- short             writes that end early: a file-size limit, a pipe that fills;
//!                                                        --backfill also in the runs of a backfill
//! cargo test --release --test crash -- random --cycles N kills at random moments
//! cargo test --release --test crash -- power             loss of power: what is not synced is dropped, torn and reordered;
//!                                                        --all also in rare runs, --backfill in the runs of a backfill;
//!                                                        --second after a kill or a failed sync and a restart instead
//! ```
//!
//! `--binary PATH` takes another binary than the one that cargo built along. `--dir PATH` names the directory below which all of it
//! takes place; without it that is a file system in memory if there is one with room, since what is killed is a process. Each mode prints one line of figures and fails
//! if anything was lost, unreadable, ahead of its output, repeated beyond a batch or stuck; a failure prints the command
//! that repeats it alone. It needs strace, a C compiler and prlimit; a missing one is a failure.
#![allow(clippy::unwrap_used, reason = "a harness that can't go on has failed")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its report")]

mod abreast;
mod audit;
mod calls;
mod commits;
mod dice;
mod disk;
mod host;
mod points;
mod power;
mod random;
mod run;
mod scene;
mod second;
mod short;
mod tenant;

use std::path::Path;
use std::process::ExitCode;

use host::Bench;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().map(String::as_str);
    let mode = words.next().unwrap_or_default();
    let options: Vec<&str> = words.collect();
    let binary = value(&options, "--binary").unwrap_or(env!("CARGO_BIN_EXE_defender-feed"));
    let bench = Bench::new(Path::new(binary), value(&options, "--dir").map(Path::new));
    let fine = match mode {
        "points" => points::run(&bench, &options),
        "short" => short::run(&bench, &options),
        "random" => random::run(&bench, &options),
        "power" => power::run(&bench, &options),
        _ => {
            eprintln!("which? points, short, random or power: see the head of tests/crash/main.rs");
            false
        }
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The word after `name`.
fn value<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    options.iter().position(|option| *option == name).and_then(|at| options.get(at + 1)).copied()
}
