//! Records that arrive again (`activity-api.md` section 12, rows 15 and 16), and records that somebody else has already.

use crate::vocabulary::*;

/// A record with its members in this order.
fn made(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// An investigation's record, in the state in which it is.
fn investigation(status: &str) -> String {
    made(&[("Id", "\"air\""), ("CreationTime", "\"2026-03-01T12:00:00\""), ("RecordType", "64"), ("Status", status)])
}

#[test]
fn a_record_in_two_blobs_comes_once() {
    let other_order = made(&[("RecordType", "41"), ("Url", "{\"b\":[1],\"a\":2}"), ("Id", "\"x\"")]);
    let one_order = made(&[("Id", "\"x\""), ("RecordType", "41"), ("Url", "{\"a\":2, \"b\":[ 1 ]}")]);
    let tenant = service()
        .blob(hours_ago(3), records([mail("a"), mail("b"), one_order]))
        .blob(hours_ago(2), records([mail("b"), mail("c"), noise("n"), mail("c"), other_order]))
        .serve();
    let backfill = Host::new().backfill(&tenant).run().expect(0);
    assert_same_ids(&backfill.lines(), &["a", "b", "c", "x"]);
    backfill.says(&["8 read = 4 delivered + 1 filtered + 3 duplicate + 0 dead-lettered", "complete: nothing is missing"]);
    let poll = Host::new().poll_once(&tenant).run().expect(0);
    assert_same_ids(&poll.lines(), &["a", "b", "c", "x"]);
}

#[test]
fn the_same_id_with_other_content_is_another_event() {
    let tenant = service()
        .blob(hours_ago(3), records([investigation("\"Running\""), investigation("\"Running\"")]))
        .blob(hours_ago(2), records([investigation("\"Remediated\"")]))
        .serve();
    let run = Host::new().backfill(&tenant).run().expect(0).says(&["3 read = 2 delivered + 0 filtered + 1 duplicate"]);
    assert_same(&run.lines(), &[investigation("\"Running\""), investigation("\"Remediated\"")]);
}

#[test]
fn a_record_without_an_id_is_never_taken_for_another() {
    let record = made(&[("RecordType", "28"), ("CreationTime", "\"2026-03-01T12:00:00\"")]);
    let tenant = service().blob(hours_ago(3), records([&record, &record])).serve();
    assert_eq!(Host::new().backfill(&tenant).run().expect(0).lines(), [record.clone(), record]);
}

#[test]
fn what_an_earlier_run_delivered_is_recognised() {
    let tenant = service().blob(hours_ago(3), records([mail("a"), mail("b")])).serve();
    let host = Host::new();
    assert_same_ids(&host.poll_once(&tenant).run().expect(0).lines(), &["a", "b"]);
    tenant.has_got(records([mail("b"), mail("new")]));
    let second = host.poll_once(&tenant).run().expect(0);
    assert_same_ids(&second.lines(), &["new"]);
    let state = |what: &str| {
        host.run("state").arg(what).args([std::path::Path::new("--state-dir"), &host.state()]).run().expect(0).stdout
    };
    let shown = state("show");
    assert!(shown.contains("3 delivered records") && shown.contains("1 duplicate"), "{shown}");
    state("verify");
}

/// Nobody was told that the files were gone.
#[test]
fn what_can_not_be_recognised_any_more_is_told_once_and_comes_again() {
    let tenant = service().blob(hours_ago(3), records([mail("a"), mail("b")])).serve();
    let host = Host::new();
    assert_same_ids(&host.poll_once(&tenant).run().expect(0).lines(), &["a", "b"]);
    std::fs::remove_dir_all(host.state().join("records")).unwrap();
    tenant.has_got(records([mail("b"), mail("new")]));
    let second = host.poll_once(&tenant).run().expect(0);
    assert_same_ids(&second.lines(), &["b", "new"]);
    assert_eq!(second.stderr.matches("records_unrecognised").count(), 1, "{}", second.stderr);
    second.says(&["of 2 delivered records", "2 can't be", "Nothing is lost"]);
    tenant.has_got(records([mail("new"), mail("newer")]));
    let third = host.poll_once(&tenant).run().expect(0);
    assert_same_ids(&third.lines(), &["newer"]);
}

#[test]
fn a_change_of_the_filter_repeats_nothing() {
    let tenant = service().blob(minutes_ago(5), records([mail("a"), click("b")])).serve();
    let host = Host::new();
    assert_same_ids(&host.poll_once(&tenant).args(["--record-types", "28"]).run().expect(0).lines(), &["a"]);
    let wider = host.poll_once(&tenant).args(["--record-types", "28,41"]).run().expect(0);
    assert!(!ids_of(&wider.lines()).contains(&"a".to_owned()), "{:?}", wider.lines());
}

#[test]
fn they_can_be_kept() {
    let tenant =
        service().blob(hours_ago(3), records([mail("a"), mail("b")])).blob(hours_ago(2), records([mail("b"), mail("c")])).serve();
    let run = Host::new().backfill(&tenant).arg("--keep-duplicates").run().expect(0);
    assert_same_ids(&run.lines(), &["a", "b", "b", "c"]);
}

#[test]
fn decode_keeps_them_unless_it_is_asked() {
    let host = Host::new();
    let file = host.write("blob.json", records([mail("a"), mail("a"), mail("b")]));
    let decode = || host.run("decode").arg(&file);
    assert_same_ids(&decode().run().expect(0).lines(), &["a", "a", "b"]);
    let once = decode().arg("--drop-duplicates").run().expect(0).says(&["2 records written, 1 duplicate left out"]);
    assert_same_ids(&once.lines(), &["a", "b"]);
}

#[test]
fn a_repair_brings_only_what_the_list_does_not_name() {
    let tenant = service()
        .blob(hours_ago(3), records([mail("a"), mail("b"), noise("n")]))
        .blob(hours_ago(2), records([click("c"), click("d")]))
        .serve();
    let host = Host::new();
    let list = host.write("ids.txt", "\"a\",\r\n\nd\r\nunknown\n");
    let audit = host.backfill(&tenant).arg("--skip-ids").arg(&list).arg("--dry-run").run().expect(0);
    assert_eq!(audit.stdout, "");
    audit.says(&["3 ids", "5 read = 2 to deliver + 1 filtered + 2 duplicate", "a dry run: nothing was written"]);
    assert!(!host.state().exists(), "a dry run leaves nothing behind");
    let repair = host.backfill(&tenant).arg("--skip-ids").arg(&list).run().expect(0);
    assert_same_ids(&repair.lines(), &["b", "c"]);
    repair.says(&["5 read = 2 delivered + 1 filtered + 2 duplicate", "complete: nothing is missing"]);
}

#[test]
fn the_ids_of_our_own_events_are_as_good() {
    let tenant = service().blob(hours_ago(3), records([mail("a"), mail("b")])).serve();
    let host = Host::new();
    let enveloped = host.backfill(&tenant).arg("--envelope").run().expect(0).lines();
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["feed"]["id"].as_str().unwrap().to_owned();
    let list = host
        .write("ids.txt", enveloped.iter().filter(|line| line.contains("\"a\"")).map(|line| id(line) + "\n").collect::<String>());
    let repair = host.backfill(&tenant).arg("--skip-ids").arg(&list).run().expect(0);
    assert_same_ids(&repair.lines(), &["b"]);
}

#[test]
fn a_list_that_can_not_be_read_stops_it_before_anything_is_asked() {
    let tenant = service().blob(hours_ago(3), records([mail("a")])).serve();
    let host = Host::new();
    let garbage = host.write("garbage", vec![7_u8; 5_000]);
    let utf16 = host.write("utf16", b"\xff\xfea\0\n\0");
    for (file, says) in
        [(host.path("nothing"), "No such file"), (garbage, "one id a line is expected"), (utf16, "a text in UTF-8")]
    {
        let run = host.backfill(&tenant).arg("--skip-ids").arg(&file).run().expect(2).says(&["--skip-ids", says]);
        assert_eq!(run.stdout, "");
    }
    assert!(tenant.ledger().requests.is_empty());
}

/// What the first list named was never looked at again: the second run went on where the first one was, and called itself complete.
#[test]
fn a_run_with_another_list_is_another_run() {
    let slow = Fault::Slow { bytes_per_second: 100 };
    let tenant = service().blob(hours_ago(3), records([mail("a"), mail("b")])).fault(Target::Blob, slow, When::Always).serve();
    let host = Host::new();
    let list = host.write("ids.txt", "a\n");
    let mut first = host.backfill(&tenant).arg("--skip-ids").arg(&list).start();
    first.until_asked(&tenant, "blob", 1);
    first.sigkill();
    tenant.service().clear_faults();
    host.backfill(&tenant).arg("--resume").run().expect(2).says(&["--skip-ids"]);
    assert_same_ids(&host.backfill(&tenant).run().expect(0).lines(), &["a", "b"]);
}

#[test]
fn a_dry_run_starts_no_subscription() {
    let tenant = service().unsubscribed().blob(hours_ago(3), records([mail("a")])).serve();
    Host::new().backfill(&tenant).arg("--dry-run").run().expect(1).says(&["no enabled subscription"]);
    assert!(!tenant.ledger().requests.contains_key("start"), "{:?}", tenant.ledger().requests);
}
