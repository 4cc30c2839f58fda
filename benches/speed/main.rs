//! `cargo bench`: measures what docs/performance.md promises, and fails if something that must hold does not.
//!
//! `cargo bench -- NAME…` makes single measurements, `--quick` makes shorter ones, `--binary PATH` at the end measures that binary of
//! the product. The program starts itself for what has to be
//! a process of its own: the tenant, the clients, and whatever is looked at from outside.
#![forbid(unsafe_code)]

mod backlog;
mod client;
mod collector;
mod corpus;
mod decode;
mod demo;
mod effort;
mod end_to_end;
mod formats;
mod growth;
mod idle;
mod lag;
mod memory;
mod plot;
mod process;
mod report;
mod sinks;
mod store;
mod svg;
mod tenant;
mod valgrind;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use effort::Effort;
use report::Report;

type Measurement = fn(&mut Report, Effort);

/// All that is measured by a plain `cargo bench`, quick things first.
const MEASUREMENTS: &[(&str, Measurement)] = &[
    ("decode", decode::run),
    ("instructions", valgrind::run),
    ("formats", formats::run),
    ("sinks", sinks::run),
    ("backlog", backlog::run),
    ("demo", demo::run),
    ("end-to-end", end_to_end::run),
    ("growth", growth::run),
    ("memory", memory::run),
    ("store", store::run),
    ("idle", idle::run),
    ("lag", lag::run),
];

/// Made only when they are asked for: they are files of the repository.
const PLOTS: (&str, Measurement) = ("plots", plot::run);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Cargo adds the first to whatever it is given.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if child(&words)? {
        return Ok(ExitCode::SUCCESS);
    }
    let words = match &words[..] {
        [before @ .., "--binary", path] => {
            process::take_product(path.into());
            before.to_vec()
        }
        _ => words,
    };
    let effort = if words.contains(&"--quick") { Effort::Quick } else { Effort::Full };
    let names: Vec<&str> = words.into_iter().filter(|word| *word != "--quick").collect();
    let known = |name: &&str| MEASUREMENTS.iter().chain([&PLOTS]).any(|(known, _)| known == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<&str> = MEASUREMENTS.iter().chain([&PLOTS]).map(|(name, _)| *name).collect();
        return Err(format!(
            "there is no measurement {unknown}; there are {}, --quick, and --binary PATH at the end",
            all.join(", ")
        )
        .into());
    }
    let mut report = Report::begin(&process::machine());
    for (name, run) in MEASUREMENTS.iter().chain([&PLOTS]) {
        let wanted = if names.is_empty() { *name != PLOTS.0 } else { names.contains(name) };
        if wanted {
            report.section(name);
            run(&mut report, effort);
        }
    }
    Ok(if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does what this program asks of itself in another process; false if it was not asked by itself.
fn child(words: &[&str]) -> Result<bool, Box<dyn Error>> {
    let mut out = std::io::stdout();
    match words {
        ["tenant", manner @ ..] => tenant::serve(manner)?,
        ["client", base] => writeln!(out, "{}", client::run(base, None)?)?,
        ["client", base, output] => writeln!(out, "{}", client::run(base, Some(output.as_ref()))?)?,
        ["open-store", path] => writeln!(out, "{}", store::open(path.as_ref())?)?,
        _ => return Ok(false),
    }
    Ok(true)
}
