//! `--drain`: what goes to a pipe is delivered when it has been read, and not before.

use std::collections::BTreeSet;

use crate::vocabulary::*;

/// The most blobs in a batch: what the end of a reader may repeat.
const BATCH: usize = 64;

/// More than any pipe holds, and slow enough to become many batches.
fn much() -> Story {
    let slow = Fault::Slow { bytes_per_second: 20_000 };
    let story = (0..40u64).fold(service(), |story, n| {
        let some = (0..10).map(|i| mail(&format!("record-{n}-{i}")));
        story.blob(minutes_ago(600 - n), records(some))
    });
    story.fault(Target::Blob, slow, When::Every(3))
}

/// Bytes of all lines.
fn length(tenant: &Tenant) -> usize {
    tenant.lines().iter().map(|line| line.len() + 1).sum()
}

#[test]
fn a_reader_that_dies_with_a_part_read_has_the_rest_delivered_to_the_next() {
    for_each(&[0.0, 0.000_1, 0.1, 0.3, 0.5, 0.8, 0.999], |share| {
        let tenant = much().serve();
        let host = Host::new();
        let all = length(&tenant);
        let mut poller = host.poll(&tenant).arg("--drain").output(Output::Unread).start();
        poller.until_asked(&tenant, "blob", 1);
        let read = (share * all as f64) as usize;
        poller.reads(read);
        // Time enough to commit what it must not.
        std::thread::sleep(millis(400));
        poller.reader_dies();
        let first = poller.ends().expect(74);
        assert_eq!(first.stdout.len(), read);
        let second = host.poll_once(&tenant).run().expect(0);
        assert_union(&first.whole_lines(), &second.lines(), &tenant);
        let again = host.poll_once(&tenant).run().expect(0);
        assert_eq!(again.stdout, "", "and that is committed");
    });
}

#[test]
fn without_drain_what_lies_in_the_pipe_is_delivered_and_that_is_what_drain_is_for() {
    let tenant = service().blob(hours_ago(2), records([mail("a"), mail("b")])).serve();
    for_each(&[(&[][..], &[][..]), (&["--drain"][..], &["a", "b"][..])], |(args, left)| {
        let host = Host::new();
        let mut poller = host.poll(&tenant).args(*args).output(Output::Unread).start();
        // The first line, and nothing after it. Who ends in order commits what is delivered.
        poller.reads(tenant.lines()[0].len() + 1);
        poller.stop().expect(0);
        assert_same_ids(&host.poll_once(&tenant).run().expect(0).lines(), left);
    });
}

#[test]
fn what_has_been_read_is_committed_even_if_its_reader_leaves_at_once() {
    let tenant = much().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).arg("--drain").output(Output::Unread).start();
    poller.reads(length(&tenant));
    poller.reader_dies();
    let first = poller.ends().expect(74);
    assert_same(&first.lines(), &tenant.lines());
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "");
}

#[test]
fn a_reader_that_dies_while_it_is_waited_for_is_noticed_soon() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).args(["--poll-interval", "1h", "--drain"]).output(Output::Unread).start();
    poller.until_asked(&tenant, "blob", 1);
    poller.reads(10);
    std::thread::sleep(millis(300));
    poller.reader_dies();
    let left = std::time::Instant::now();
    poller.ends().expect(74).says(&["standard output"]);
    assert!(left.elapsed() < seconds(5), "{:?}", left.elapsed());
    assert_same_ids(&host.poll_once(&tenant).run().expect(0).lines(), &["a"]);
}

#[test]
fn a_reader_that_stalls_costs_no_time_of_the_processor_and_does_not_hold_up_the_end() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).args(["--poll-interval", "1h", "--drain"]).output(Output::Unread).start();
    poller.until_asked(&tenant, "blob", 1);
    std::thread::sleep(millis(500));
    let before = poller.processor_time();
    std::thread::sleep(seconds(2));
    let used = poller.processor_time() - before;
    assert!(used < seconds(1), "{used:?} in two seconds");
    poller.stop().expect(0);
    assert_same_ids(&host.poll_once(&tenant).run().expect(0).lines(), &["a"]);
}

#[test]
fn a_slow_reader_gets_everything_once_and_all_of_it_is_committed() {
    let tenant = much().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).env("DEFENDER_FEED_DRAIN", "true").output(Output::Unread).start();
    let all = length(&tenant);
    for step in 1..=10 {
        poller.reads(all * step / 10 - all * (step - 1) / 10);
    }
    poller.read();
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "");
}

#[test]
fn a_backfill_is_drained_too_and_goes_on_where_its_reader_stopped() {
    let tenant = much().serve();
    let host = Host::new();
    let mut backfill = host.backfill(&tenant).arg("--drain").output(Output::Unread).start();
    backfill.reads(length(&tenant) / 2);
    std::thread::sleep(millis(400));
    backfill.reader_dies();
    let first = backfill.ends().expect(74);
    let second = host.backfill(&tenant).args(["--drain", "--resume"]).run().expect(0);
    assert_union(&first.whole_lines(), &second.lines(), &tenant);
}

#[test]
fn drain_is_refused_where_it_can_not_be_kept_and_needless_for_a_file() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    for program in [host.poll(&tenant), host.poll_once(&tenant), host.backfill(&tenant), host.run("demo")] {
        for (output, what) in [(Output::Full, "a terminal or device"), (Output::Socket, "a socket")] {
            let run = program.again().arg("--drain").output(output).run().expect(78);
            run.says(&[what, "--drain needs a pipe or a regular file"]);
        }
    }
    assert_eq!(tenant.ledger().count("token"), 0, "nothing is asked for that can't be delivered as it should");
    let file = host.path("out.ndjson");
    host.poll_once(&tenant).arg("--drain").output(Output::Appended(file)).run().expect(0);
    assert_same_ids(&host.lines_in("out.ndjson"), &["a"]);
}

#[test]
fn a_demo_can_be_drained() {
    let run = Host::new().run("demo").args(["--drain", "--events", "50"]).run().expect(0);
    assert_eq!(run.lines().len(), 50);
}

/// What the first reader had and what the second got: everything, nothing unknown, and no more twice than the blobs of one batch.
#[track_caller]
fn assert_union(first: &[String], second: &[String], tenant: &Tenant) {
    let lines = [first, second].concat();
    let got = counted(&lines);
    let wanted = tenant.wanted();
    let missing: Vec<_> = wanted.iter().filter(|w| !got.contains_key(w.line.as_str())).map(|w| &w.id).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(got.len(), wanted.len(), "lines that no blob has");
    let twice: BTreeSet<_> = wanted.iter().filter(|w| got[w.line.as_str()] > 1).map(|w| &w.blob).collect();
    assert!(twice.len() <= BATCH, "{} blobs were repeated", twice.len());
}
