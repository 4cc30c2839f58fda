//! An output file of the process's own: rotated, moved away, torn, and nothing lost by any of it.

use crate::vocabulary::*;

const FILE: &str = "events.ndjson";

/// Records of half a megabyte in blobs of two.
fn large(name: &str) -> Vec<u8> {
    let record = |n| format!(r#"{{"RecordType":28,"Id":"{name}-{n}","Pad":"{}"}}"#, "x".repeat(500_000));
    records([record(0), record(1)]).into()
}

#[test]
fn an_output_file_gets_all_events_and_standard_output_none() {
    let tenant = service().blob(hours_ago(2), records([mail("a"), noise("b"), mail("c")])).serve();
    let host = Host::new();
    let run = host.poll_once(&tenant).args(["--output", FILE]).run().expect(0);
    assert_eq!(run.stdout, "");
    assert_same(&host.lines_in(FILE), &tenant.lines());
    host.backfill(&tenant).args(["--output", "missing/dir.ndjson"]).run().expect(74).says(&["missing/dir.ndjson"]);
    host.backfill(&tenant).args(["--output", "backfill.ndjson"]).run().expect(0);
    assert_same(&host.lines_in("backfill.ndjson"), &tenant.lines());
}

#[test]
fn a_file_that_logrotate_moves_away_is_begun_anew_and_nothing_is_lost() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let poller = host.poll(&tenant).args(["--output", FILE, "--poll-interval", "1s"]).start();
    until_lines_in(&host.path(FILE), 1);
    std::fs::rename(host.path(FILE), host.path("events.ndjson.1")).unwrap();
    poller.sighup();
    tenant.gets(records([mail("b")]));
    until_lines_in(&host.path(FILE), 1);
    std::fs::remove_file(host.path("events.ndjson.1")).unwrap();
    tenant.gets(records([mail("c")]));
    until_lines_in(&host.path(FILE), 2);
    poller.stop().expect(0);
    assert_eq!(ids_of(&host.lines_in(FILE)), ["b", "c"]);
}

#[test]
fn a_full_file_stays_beside_the_next_one_whole() {
    let tenant = (0..8).fold(service(), |story, n| story.blob(minutes_ago(100 + n), large(&format!("blob-{n}")))).serve();
    let host = Host::new();
    host.poll_once(&tenant).args(["--output", FILE, "--rotate-bytes", "4194304"]).run().expect(0);
    let mut lines = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(host.path(".")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(FILE) {
            assert!(entry.metadata().unwrap().len() <= 4 << 20, "{name}");
            lines.extend(host.lines_in(&name));
            files += 1;
        }
    }
    assert!(files >= 2, "{files} files");
    assert_same(&lines, &tenant.lines());
}

#[test]
fn a_torn_line_is_ended_and_its_record_comes_whole() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    host.write(FILE, r#"{"torn":"#);
    host.poll_once(&tenant).args(["--output", FILE]).run().expect(0);
    assert_eq!(host.lines_in(FILE), [vec![r#"{"torn":"#.to_owned()], tenant.lines()].concat());
}

#[test]
fn a_file_that_another_process_writes_to_is_left_alone() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let poller = host.poll(&tenant).args(["--output", FILE]).start();
    until_lines_in(&host.path(FILE), 1);
    let refused = host.backfill(&tenant).args(["--output", FILE]).run().expect(74);
    refused.says(&["another process writes to it"]);
    poller.stop().expect(0);
    assert_same(&host.lines_in(FILE), &tenant.lines());
}

#[test]
fn what_says_how_to_rotate_needs_a_file() {
    let tenant = service().serve();
    let host = Host::new();
    host.poll(&tenant).args(["--rotate-every", "24h"]).run().expect(78).says(&["--rotate-every", "no output file"]);
}
