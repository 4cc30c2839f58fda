//! Instructions that decode + filter takes for a byte: a figure that is the same on a busy machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::process::product;
use crate::report::{Goal, Report};

/// A tenth more than was measured, so that a change that makes it slower is seen when it is made. A change that makes it
/// faster lowers it.
const MOST_PER_BYTE: f64 = 6.4;

/// Instructions of `decode` for this file.
fn instructions(file: &Path) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(product().get_program());
    command.args(["decode", "--quiet"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output().expect("valgrind was there a moment ago");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "decode of {} ended with {}: {said}", file.display(), output.status);
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
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    let write = |name: &str, records: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, [b"[", records, b"]"].concat()).expect("the directory can be written to");
        path
    };
    let records = Corpus::new().records();
    let decoding = instructions(&write("blob.json", &records)) - instructions(&write("empty.json", b""));
    let per_byte = decoding / records.len() as f64;
    report.hold("decode + filter, instructions a byte", per_byte, "", Goal::at_most(MOST_PER_BYTE));
}
