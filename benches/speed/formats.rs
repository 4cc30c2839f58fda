//! What becomes of a wanted record: the line, in each format.

use std::collections::BTreeMap;
use std::hint::black_box;

use defender_feed::decode::print;
use defender_feed::domain::{ContentId, ContentType, OutputFormat, Time};
use defender_feed::format::{Context, Formatter};

use crate::collector::TENANT;
use crate::corpus::Corpus;
use crate::effort::Effort;
use crate::process::seconds_of;
use crate::report::{Report, median};

/// A run's records: enough for some tenths of a second.
const RECORDS: usize = 200_000;
const RUNS: usize = 5;

/// The rows of all formats.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    let records = Corpus::with_wanted(1.0).records_that_are(true);
    let bytes: usize = records.iter().map(Vec::len).sum();
    report.tell("a wanted record, on average", bytes as f64 / records.len() as f64, "bytes");
    let count = effort.of(RECORDS, RECORDS / 4);
    let (events, bytes) = prints(&records, count);
    report.say("a record's print", &format!("{:.0} k/s, {:.0} MB/s", events / 1e3, bytes / 1e6));
    for format in OutputFormat::ALL {
        // A line that is no JSON has no envelope.
        for envelope in [false, true].into_iter().filter(|envelope| !envelope || format.is_json()) {
            let (events, bytes) = speed(&records, count, format, envelope);
            let with = if envelope { ", in an envelope" } else { "" };
            report.say(&format!("{format}{with}"), &format!("{:.0} k/s, {:.0} MB/s", events / 1e3, bytes / 1e6));
        }
    }
}

/// The same for the print by which a record is recognised if it arrives again.
fn prints(records: &[Vec<u8>], count: usize) -> (f64, f64) {
    let bytes: usize = records.iter().cycle().take(count).map(Vec::len).sum();
    let run = || {
        seconds_of(|| {
            records.iter().cycle().take(count).for_each(|record| {
                black_box(print(record, 0));
            })
        })
    };
    let seconds = median((0..RUNS).map(|_| run()));
    (count as f64 / seconds, bytes as f64 / seconds)
}

/// Events and bytes of records a second, on one core.
fn speed(records: &[Vec<u8>], count: usize, format: OutputFormat, envelope: bool) -> (f64, f64) {
    let tenant = TENANT.parse().expect("a constant GUID is a tenant id");
    let labels = BTreeMap::from([("customer".to_owned(), "Contoso Ltd".to_owned())]);
    let content_id = ContentId("1$20260301120000000000000$1$audit_general$na0001".to_owned());
    let context = |index| Context {
        tenant: &tenant,
        tenant_name: Some("contoso"),
        labels: &labels,
        content_type: ContentType::AuditGeneral,
        content_id: &content_id,
        content_created: Time(1_780_000_000_000),
        index,
    };
    let formatter = Formatter::new(format, envelope);
    let mut line = Vec::new();
    let mut bytes = 0;
    let mut run = || {
        bytes = 0;
        seconds_of(|| {
            for (index, record) in records.iter().cycle().take(count).enumerate() {
                line.clear();
                formatter.line(&context(index as u64), record, &mut line);
                black_box(&line);
                bytes += record.len();
            }
        })
    };
    let seconds = median((0..RUNS).map(|_| run()));
    (count as f64 / seconds, bytes as f64 / seconds)
}
