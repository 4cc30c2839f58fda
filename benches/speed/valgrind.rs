//! Instructions that decode + filter takes for a byte, and allocations for records that nobody wants: figures that are the same on a
//! busy machine.

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

/// So many times more records are skipped, and no more memory asked for.
const SKIPPED_TIMES: usize = 4;

/// The figure that valgrind tells behind this word when it runs `decode` of this file.
fn told(options: &[&str], word: &str, file: &Path) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(options).arg(product().get_program());
    command.args(["decode", "--quiet"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output().expect("valgrind was there a moment ago");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "decode of {} ended with {}: {said}", file.display(), output.status);
    let figure = |line: &str| line.split_once(word)?.1.split_whitespace().next()?.replace(',', "").parse().ok();
    said.lines().find_map(figure).unwrap_or_else(|| panic!("valgrind tells nothing behind {word:?}: {said}"))
}

fn instructions(file: &Path) -> f64 {
    told(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], "Collected :", file)
}

fn allocations(file: &Path) -> f64 {
    told(&["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"], "total heap usage:", file)
}

/// The rows of both.
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

    let skipped = Corpus::new().records_that_are(false);
    let some = allocations(&write("some.json", &skipped.join(&b","[..])));
    let more = allocations(&write("more.json", &vec![skipped.join(&b","[..]); SKIPPED_TIMES + 1].join(&b","[..])));
    assert!(some > 0.0, "memcheck sees the allocations");
    let row = format!("allocations for {} skipped records more", skipped.len() * SKIPPED_TIMES);
    report.hold(&row, more - some, "", Goal::at_most(0.0));
}
