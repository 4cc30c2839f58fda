//! Instructions that decode + filter takes for a byte: a figure that is the same on a busy machine.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::corpus::Corpus;
use crate::decode::decode;
use crate::effort::Effort;
use crate::process::this;
use crate::report::{Goal, Report};

/// A tenth more than was measured, so that a change that makes it slower is seen when it is made. A change that makes it
/// faster lowers it.
const MOST_PER_BYTE: f64 = 5.7;

/// In a process under callgrind: decodes the file as one blob, or only reads it.
pub(crate) fn decode_file(path: &Path, decodes: bool) -> std::io::Result<()> {
    let bytes = black_box(fs::read(path)?);
    if decodes {
        black_box(decode(&bytes));
    }
    Ok(())
}

/// Instructions of this program when it is asked that of this file.
fn instructions(what: &str, file: &Path) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(this()).arg(what).arg(file);
    let output = command.stdin(Stdio::null()).output().expect("valgrind was there a moment ago");
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("callgrind tells no instructions: {said}"))
}

/// The row of the instructions.
pub(crate) fn run(report: &mut Report, _: Effort) {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        report.say("decode + filter, instructions a byte", "valgrind is missing: not measured");
        return;
    }
    let corpus = Corpus::new();
    let blob = [&b"["[..], &corpus.records(), b"]"].concat();
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let file = directory.path().join("blob.json");
    fs::write(&file, &blob).expect("the directory can be written to");
    let decoding = instructions("decode-file", &file) - instructions("read-file", &file);
    let per_byte = decoding / blob.len() as f64;
    report.hold("decode + filter, instructions a byte", per_byte, "", Goal::at_most(MOST_PER_BYTE));
}
