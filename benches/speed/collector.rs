//! The product as it is run here: the real binary on a tenant of these benchmarks.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Cost, cost_of, product};

/// The tenant; any id is right.
pub(crate) const TENANT: &str = "11111111-2222-4333-8444-555555555555";

/// Its command to collect from the tenant at this address, silent and with a state of its own.
pub(crate) fn collector(verb: &[&str], address: &str, state: &Path) -> Command {
    let mut command = product();
    command.env_clear().env("AZURE_CLIENT_SECRET", "benchmark");
    command.args(verb).args(["-q", "--requests-per-minute", "1000000", "--tenant-id", TENANT]);
    command.args(["--client-id", "benchmark", "--api-url", address, "--login-url", address]);
    command.arg("--state-dir").arg(state);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// `backfill` of everything that the tenant at this address has, into a file below `directory`.
///
/// # Panics
/// If it does not end with this code, or does not deliver every wanted record once.
pub(crate) fn backfill(address: &str, directory: &Path, wanted: u64, code: i32) -> Cost {
    backfill_with(&[], address, directory, wanted, code)
}

/// Delivers the same record as often as it comes.
pub(crate) const KEEP_DUPLICATES: &str = "--keep-duplicates";

/// The same with more arguments.
pub(crate) fn backfill_with(more: &[&str], address: &str, directory: &Path, wanted: u64, code: i32) -> Cost {
    let (output, state) = (directory.join("events.ndjson"), directory.join("state"));
    let _ = std::fs::remove_dir_all(&state);
    let mut command = collector(&[&["backfill", "--since", "24h"], more].concat(), address, &state);
    command.stdout(File::create(&output).expect("the directory can be written to"));
    let cost = cost_of(&mut command, code);
    assert_eq!(lines_of(&output), wanted, "as many lines as there are wanted records");
    assert!(more.contains(&KEEP_DUPLICATES) || different_lines_of(&output) == wanted, "each wanted record once");
    cost
}

/// How many lines a file holds that differ from each other.
fn different_lines_of(path: &Path) -> u64 {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).expect("the output was written"));
    let (hash, mut seen, mut line) = (RandomState::new(), HashSet::new(), Vec::new());
    while reader.read_until(b'\n', &mut line).expect("the output can be read") > 0 {
        seen.insert(hash.hash_one(&line));
        line.clear();
    }
    seen.len() as u64
}

/// How many lines a file holds.
pub(crate) fn lines_of(path: &Path) -> u64 {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).expect("the output was written"));
    let mut lines = 0;
    loop {
        let some = reader.fill_buf().expect("the output can be read");
        if some.is_empty() {
            return lines;
        }
        lines += memchr::memchr_iter(b'\n', some).count() as u64;
        let read = some.len();
        reader.consume(read);
    }
}
