//! Standard output: closed, full, torn, slow; and nothing lost by any of it.

use crate::vocabulary::*;

/// More than any pipe holds.
fn much() -> Story {
    (0..40u64).fold(service(), |story, n| {
        let some = (0..10).map(|i| mail(&format!("record-{n}-{i}")));
        story.blob(minutes_ago(600 - n), records(some))
    })
}

#[test]
fn a_reader_that_goes_while_lines_flow_ends_the_poller_and_loses_nothing() {
    let slow = Fault::Slow { bytes_per_second: 50_000 };
    let tenant = much().fault(Target::Blob, slow, When::Always).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(3);
    poller.reader_leaves();
    let first = poller.ends().expect(74);
    assert!(first.lines().len() < tenant.ids().len(), "the reader has left in the middle");
    let second = host.poll_once(&tenant).run().expect(0);
    assert_union(&[first.lines(), second.lines()].concat(), &tenant);
}

/// Half a line lay in a FIFO that a supervisor kept open, and the next process wrote its first record behind it: neither could be read.
#[test]
fn a_line_that_was_torn_in_a_pipe_which_outlives_the_poller_merges_with_no_other() {
    use rustix::fs::{CWD, FileType, mknodat};
    let tenant = much().serve();
    let host = Host::new();
    let path = host.path("fifo");
    mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
    // Opened for both, it waits for nobody, and whoever reads meets no end while one process follows the other.
    let kept = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let poller = host.poll(&tenant).output(Output::Appended(path.clone())).start();
    let mut length = 0;
    eventually("the pipe is full", || {
        let before = std::mem::replace(&mut length, rustix::io::ioctl_fionread(&kept).unwrap());
        std::thread::sleep(millis(300));
        length > 4096 && length == before
    });
    poller.sigkill();
    let mut pipe = std::fs::File::open(&path).unwrap();
    drop(kept);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut pipe, &mut text).map(|_| text)
    });
    let again = host.poll_once(&tenant).output(Output::Appended(path)).start();
    again.ends().expect(0);
    let text = reading.join().unwrap().unwrap();
    let wanted = tenant.lines();
    let (whole, torn): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| wanted.iter().any(|wanted| wanted == line));
    assert_eq!(torn.len(), 1, "half a line, or an empty one: {torn:?}");
    assert!(wanted.iter().any(|line| line.starts_with(torn[0])), "it has merged with another: {torn:?}");
    let whole: Vec<String> = whole.into_iter().map(str::to_owned).collect();
    assert_union(&whole, &tenant);
}

/// An empty line is for those who may need one.
#[test]
fn an_empty_line_comes_first_after_an_end_that_was_not_in_order_and_only_then() {
    let tenant = service().blob(hours_ago(3), records([mail("a")])).serve();
    let host = Host::new();
    let first = |ended: Ended| ended.stdout.chars().next();
    assert_eq!(first(host.poll_once(&tenant).run().expect(0)), Some('{'), "the first start");
    tenant.has_got(records([mail("b")]));
    assert_eq!(first(host.poll_once(&tenant).run().expect(0)), Some('{'), "in order");
    let mut poller = host.poll(&tenant).start();
    poller.until_listed_again(&tenant, 1);
    poller.sigkill();
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "", "without an event there is no line");
    tenant.has_got(records([mail("c")]));
    assert_eq!(first(host.poll_once(&tenant).run().expect(0)), Some('\n'), "killed, two processes ago");
    tenant.has_got(records([mail("d")]));
    assert_eq!(first(host.poll_once(&tenant).run().expect(0)), Some('{'), "and that is settled");
}

/// logrotate deletes what it has renamed and gzipped: whatever was written afterwards was synced, committed, and in no file.
#[test]
fn a_file_that_is_deleted_under_the_poller_ends_it_and_the_next_one_writes_it_again() {
    for output in [Output::Appended, Output::Truncated] {
        let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
        let host = Host::new();
        let path = host.path("events.ndjson");
        let mut poller = host.poll(&tenant).args(["--poll-interval", "1s"]).output(output(path.clone())).start();
        until_lines_in(&path, 1);
        poller.until_listed_again(&tenant, 2);
        std::fs::remove_file(&path).unwrap();
        tenant.gets(records([mail("b")]));
        poller.ends().expect(74).says(&["was deleted"]);
        host.poll_once(&tenant).output(output(path)).run().expect(0);
        assert_eq!(ids_of(&host.lines_in("events.ndjson")), ["b"]);
    }
}

/// The record that came next was on one line with as many zeros as the file had been long.
#[test]
fn a_file_that_is_emptied_under_the_poller_is_written_from_its_beginning() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let path = host.path("events.ndjson");
    let poller = host.poll(&tenant).args(["--poll-interval", "1s"]).output(Output::Truncated(path.clone())).start();
    until_lines_in(&path, 1);
    std::fs::write(&path, "").unwrap();
    tenant.gets(records([mail("b")]));
    until_lines_in(&path, 1);
    poller.stop().expect(0);
    assert_eq!(ids_of(&host.lines_in("events.ndjson")), ["b"]);
}

/// The mark of a kill was taken away by the first lines that came next, wherever they went, and the pipe's half a line merged after all.
#[test]
fn what_a_pipe_is_owed_after_a_kill_is_not_paid_to_a_file() {
    let tenant = service().blob(hours_ago(3), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    poller.sigkill();
    tenant.has_got(records([mail("b")]));
    host.poll_once(&tenant).output(Output::Appended(host.path("file"))).run().expect(0);
    assert!(ids_of(&host.lines_in("file")).contains(&"b".to_owned()), "a file is begun by no empty line");
    for (id, owed) in [("c", true), ("d", false)] {
        tenant.has_got(records([mail(id)]));
        assert_eq!(host.poll_once(&tenant).run().expect(0).stdout.starts_with('\n'), owed, "{id}");
    }
}

#[test]
fn a_reader_that_goes_while_nothing_flows_is_noticed_within_about_a_second() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).args(["--poll-interval", "1h"]).start();
    poller.until_lines(1);
    std::thread::sleep(millis(400));
    poller.reader_leaves();
    let left = std::time::Instant::now();
    poller.ends().expect(74).says(&["nobody reads standard output any more"]);
    assert!(left.elapsed() < seconds(2), "{:?}", left.elapsed());
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "", "what was read is committed");
}

#[test]
fn a_reader_that_has_gone_before_the_start_gets_nothing_and_nothing_is_committed() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    host.poll(&tenant).output(Output::Gone).run().expect(74);
    assert_eq!(ids_of(&host.poll_once(&tenant).run().expect(0).lines()), ["a"]);
}

#[test]
fn a_full_disk_ends_every_command_and_commits_nothing() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    for program in [host.poll(&tenant), host.poll_once(&tenant), host.backfill(&tenant)] {
        program.output(Output::Full).run().expect(74).says(&["No space left"]);
    }
    assert_eq!(ids_of(&host.poll_once(&tenant).run().expect(0).lines()), ["a"]);
    assert_eq!(ids_of(&host.backfill(&tenant).arg("--resume").run().expect(0).lines()), ["a"]);
}

#[test]
fn a_reader_that_stalls_does_not_hold_up_the_end_and_loses_nothing() {
    let tenant = much().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).output(Output::Unread).start();
    poller.until("all is fetched that fits", |_| tenant.ledger().count("blob") >= 30);
    std::thread::sleep(millis(300));
    let first = poller.stop();
    let second = host.poll_once(&tenant).run().expect(0);
    let mut lines =
        first.stdout.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
    assert!(lines.len() < tenant.ids().len(), "the pipe held it back");
    lines.extend(second.lines());
    assert_union(&lines, &tenant);
}

#[test]
fn a_slow_reader_gets_everything() {
    let tenant = much().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).output(Output::Unread).start();
    poller.until("all is fetched that fits", |_| tenant.ledger().count("blob") >= 30);
    std::thread::sleep(millis(700));
    poller.read();
    poller.until_all_of(&tenant);
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
}

#[test]
fn a_torn_last_line_of_an_appended_file_is_ended_first() {
    let tenant = service().blob(hours_ago(2), records([mail("a"), mail("b")])).serve();
    for_each(&["poll", "backfill"], |name| {
        let host = Host::new();
        let path = host.write("out.ndjson", "{\"Id\":\"whole\"}\n{\"Id\":\"to");
        let program = if *name == "poll" { host.poll_once(&tenant) } else { host.backfill(&tenant) };
        program.output(Output::Appended(path)).run().expect(0);
        let lines = host.lines_in("out.ndjson");
        assert_eq!(lines[..2], ["{\"Id\":\"whole\"}", "{\"Id\":\"to"], "{name}");
        assert_same_ids(&lines[2..], &["a", "b"]);
        let text = std::fs::read_to_string(host.path("out.ndjson")).unwrap();
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{name}");
    });
}

#[test]
fn raw_lines_are_the_bytes_of_the_elements() {
    let awkward = [
        r#"{"RecordType":28,"Id":"spaces", "a" : 1.0 , "b":1e400,"c":-0.0,"d":12345678901234567890123456789}"#,
        r#"{"Id":"escapes","b":"\ud800 \u0041 \/ \u2028 é","RecordType":28}"#,
        r#"{"Id":"twice","RecordType":41,"x":1,"x":2,"nested":{"RecordType":1}}"#,
        r#"{"Id":"text","RecordType":"47"}"#,
        r#"{"Id":"fraction","RecordType":64.0}"#,
        r#"{"Record\u0054ype":28,"Id":"escaped-key"}"#,
    ];
    let body = format!("\u{feff} [ {} , {} ]\r\n", awkward.join(" ,\n "), noise("other"));
    let ids = ["spaces", "escapes", "twice", "text", "fraction", "escaped-key"];
    let tenant = service().put(NewBlob::new(now() - seconds(7200), body).wanted(ids)).serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &awkward);
}

#[test]
fn events_and_envelopes_are_json_lines_with_all_records() {
    let tenant = service().content(6, hours_ago(8)).until(hours_ago(2)).with(|c| c.awkward_share = 0.3).serve();
    let wanted = tenant.wanted();
    let run = |args: &[&str]| Host::new().backfill(&tenant).args(args).run().expect(0).lines();
    for args in [&["--format", "event"][..], &["--format", "event", "--envelope"], &["--envelope"]] {
        let lines = run(args);
        assert_eq!(lines.len(), wanted.len(), "{args:?}");
        lines.iter().for_each(|line| assert!(!members(line).is_empty()));
    }
    let enveloped = run(&["--envelope"]);
    for line in &enveloped {
        let envelope: Envelope<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(envelope.feed["tenant_id"], tenant.id());
        assert_eq!(envelope.feed["content_type"], "Audit.General");
        let content_id = envelope.feed["content_id"].as_str().unwrap();
        let is_it = |w: &&Wanted| w.blob.0 == content_id && w.line == envelope.record.get();
        assert!(wanted.iter().any(|w| is_it(&w)), "no blob has this: {line}");
    }
    let ids: std::collections::BTreeSet<_> =
        enveloped.iter().map(|l| serde_json::from_str::<Envelope<'_>>(l).unwrap().feed["id"].to_string()).collect();
    assert_eq!(ids.len(), enveloped.len(), "each record has an id of its own");
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    feed: serde_json::Value,
    #[serde(borrow)]
    record: &'a serde_json::value::RawValue,
}

/// Everything at least once, and nothing twice but the blobs of one batch.
#[track_caller]
fn assert_union(lines: &[String], tenant: &Tenant) {
    let got = counted(lines);
    let wanted = tenant.wanted();
    let mut repeated = std::collections::BTreeSet::new();
    for record in &wanted {
        match got.get(record.line.as_str()) {
            None => panic!("{} is missing", record.id),
            Some(1) => {}
            Some(_) => drop(repeated.insert(&record.blob)),
        }
    }
    assert!(repeated.len() <= 64, "{} blobs were repeated", repeated.len());
}
