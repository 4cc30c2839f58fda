//! Formats: from the service to a line that a SIEM reads, with the real binary.

use crate::vocabulary::*;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// A record of mail with a subject of so many letters.
fn long_mail(id: &str, letters: usize) -> String {
    let subject = "s".repeat(letters);
    format!(
        r#"{{"Id":"{id}","RecordType":28,"CreationTime":"2026-03-02T09:10:19","Operation":"TIMailData","Subject":"{subject}"}}"#
    )
}

#[test]
fn a_line_that_was_cut_is_whole_among_the_dead_letters() {
    let records_in = [long_mail("short", 10), long_mail("long", 5_000)];
    let tenant = service().blob(hours_ago(2), records(records_in.clone())).serve();
    let host = Host::new();
    let run = host.backfill(&tenant).args(["--max-line-bytes", "1024"]).run().expect(3);
    let lines = run.lines();
    assert_eq!(lines[0], records_in[0]);
    let cut = json(&lines[1]);
    assert!(lines[1].len() <= 1_024);
    assert_eq!((cut["Id"].as_str(), cut["feed_dropped"]["Subject"].as_u64()), (Some("long"), Some(5_002)));

    let letters = host.job(&tenant).join("dead-letter").join(format!("{}.ndjson", tenant.id()));
    let dead = host.dead_letters(&host.job(&tenant), &tenant);
    assert_eq!((dead.len(), dead[0]["reason"].as_str()), (1, Some("line_too_long")));
    assert_eq!(host.run("decode").arg(&letters).run().expect(0).lines(), [records_in[1].clone()]);

    let said = ["1 of them cut to --max-line-bytes"];
    host.run("decode").args(["--max-line-bytes", "1024"]).arg(&letters).run().expect(0).says(&said);
}

#[test]
fn each_format_tells_of_each_record() {
    let tenant = service().blob(hours_ago(2), records([long_mail("a", 10), long_mail("b", 10)])).serve();
    for (format, id) in [
        ("event", "/Id"),
        ("ecs", "/event/id"),
        ("ocsf", "/metadata/original_event_uid"),
        ("hec", "/event/Id"),
        ("xdr", "/records/0/properties/RawEventData/Id"),
    ] {
        let lines = Host::new().backfill(&tenant).args(["--format", format]).run().expect(0).lines();
        let ids: Vec<_> = lines.iter().map(|line| json(line).pointer(id).unwrap().as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, ["a", "b"], "{format}");
    }
    let lines = Host::new().backfill(&tenant).args(["--format", "cef", "--syslog-header"]).run().expect(0).lines();
    assert!(lines[0].starts_with("<110>1 2026-03-02T09:10:19.000Z - defender-feed - TIMailData - CEF:0|"), "{}", lines[0]);
    assert!(lines[1].contains(" externalId=b "), "{}", lines[1]);
}

#[test]
fn the_record_s_own_text_comes_along_if_that_is_asked_for() {
    let host = Host::new();
    let record = long_mail("a", 10);
    let file = host.write("kept.json", format!("[{record}]"));
    for (format, place) in [("ecs", "/event/original"), ("ocsf", "/raw_data")] {
        let with = host.run("decode").args(["--format", format, "--original"]).arg(&file).run().expect(0).lines();
        assert_eq!(json(&with[0]).pointer(place).unwrap(), &record, "{format}");
        let without = host.run("decode").args(["--format", format]).arg(&file).run().expect(0).lines();
        assert_eq!(json(&without[0]).pointer(place), None, "{format}");
    }
    host.run("decode").args(["--format", "cef", "--envelope"]).arg(&file).run().expect(78).says(&["no room for an envelope"]);
}
