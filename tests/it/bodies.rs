//! Blobs whose bodies are not what they should be, once or for good.

use crate::vocabulary::*;

/// Each blob is wrong at its first download; all of it arrives in the end, exactly once.
fn wrong_once(content: Content) {
    let tenant = service()
        .content(6, hours_ago(5))
        .until(hours_ago(2))
        .fault(Target::Blob, Fault::Wrong(content), When::Blobs { share: 1.0, times: Some(1) })
        .serve();
    let host = Host::new();
    let run = host.backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert!(host.dead_letters(&host.job(&tenant), &tenant).is_empty());
    assert!(tenant.ledger().faults.values().sum::<u64>() >= 10);
}

#[test]
fn truncated_once() {
    wrong_once(Content::Truncated);
}

#[test]
fn a_page_of_html_once() {
    wrong_once(Content::Html);
}

#[test]
fn an_error_with_200_once() {
    // An error says that the service is in trouble: if each blob told one, the whole feed would be held longer and longer.
    let tenant = service()
        .content(6, hours_ago(5))
        .until(hours_ago(2))
        .fault(Target::Blob, Fault::Wrong(Content::ErrorObject), When::First(3))
        .serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert_eq!(tenant.ledger().faults["error-object"], 3);
}

#[test]
fn empty_once() {
    wrong_once(Content::Empty);
}

#[test]
fn an_empty_array_once() {
    wrong_once(Content::EmptyArray);
}

#[test]
fn an_object_once() {
    wrong_once(Content::Object);
}

#[test]
fn numbers_once() {
    wrong_once(Content::Numbers);
}

#[test]
fn garbage_once() {
    wrong_once(Content::Garbage);
}

#[test]
fn a_blob_that_really_is_empty_is_done() {
    let tenant = service().blob(hours_ago(3), "[]").blob(hours_ago(2), records([mail("a")])).serve();
    let run = Host::new().backfill(&tenant).run().expect(0).says(&["2 done + 0 gaps"]);
    assert_eq!(ids_of(&run.lines()), ["a"]);
}

#[test]
fn a_single_record_in_place_of_an_array_is_delivered() {
    let tenant = service().put(NewBlob::new(now() - seconds(7200), mail("a")).wanted(["a"])).serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_eq!(ids_of(&run.lines()), ["a"]);
}

#[test]
fn a_blob_larger_than_what_is_held_streams_and_survives_a_break_without_repeating() {
    let many = (0..2500).map(|n| mail(&format!("r{n}")));
    let tenant =
        service().blob(hours_ago(2), records(many)).fault(Target::Blob, Fault::Cut { after: None }, When::First(1)).serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert!(run.stdout.len() > 3 << 20, "{}", run.stdout.len());
}

#[test]
fn slow_bodies_arrive() {
    let tenant = service()
        .blob(hours_ago(2), records([mail("a"), mail("b")]))
        .fault(Target::Blob, Fault::Slow { bytes_per_second: 8_000 }, When::Always)
        .serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same_ids(&run.lines(), &["a", "b"]);
}

/// Such a gap is made where dead letters are kept. It stood in the state, and nobody was told.
#[test]
fn what_no_dead_letter_file_can_take_is_told() {
    let body = format!("[{},{{\"Id\":\"broken\",\"RecordType\":28,}}]", mail("a"));
    let tenant = service().put(NewBlob::new(now() - seconds(7200), body).wanted(["a"])).serve();
    let host = Host::new();
    host.fill_dead_letters(&tenant);
    let run = host.poll_once(&tenant).run().expect(3).says(&["reason=dead_letter_full", "has reached its limit"]);
    assert_same_ids(&run.lines(), &["a"]);
}
