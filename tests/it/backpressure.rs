//! A reader that takes a byte a second: fetching stops, the process stays small, the token is renewed, nothing is lost.

use std::time::Instant;

use crate::vocabulary::*;

const BLOBS: u64 = 400;

/// Twenty megabytes: more than the pipe, the batches and the blobs in hand can hold together.
fn much() -> Story {
    (0..BLOBS).fold(service(), |story, n| {
        let some = (0..40).map(|i| mail(&format!("record-{n}-{i}")));
        story.blob(minutes_ago(90 + n), records(some))
    })
}

#[test]
fn a_reader_of_a_byte_a_second_stops_the_fetching_and_nothing_else() {
    let tenant = much().tokens_live(seconds(2)).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).output(Output::Unread).start();
    let began = Instant::now();
    poller.trickles();
    let count = |kind: &str| tenant.ledger().count(kind);
    poller.until("something was read", |it| it.read_so_far() >= 2);
    let (mut before, mut quiet) = (u64::MAX, 0);
    poller.until("fetching stops", |_| {
        std::thread::sleep(seconds(1));
        let same = std::mem::replace(&mut before, count("blob")) == count("blob");
        quiet = if same { quiet + 1 } else { 0 };
        quiet == 3
    });
    let (tokens, listings, memory) = (count("token"), count("first_page"), poller.peak());
    poller.until("it goes on listing, with new tokens", |_| count("first_page") > listings + 3 && count("token") > tokens + 1);
    assert!(count("blob") < BLOBS * 3 / 4, "{} blobs were fetched that nobody reads", count("blob"));
    // Less than what is left to fetch.
    assert!(poller.peak() - memory < 8 << 20, "from {memory} to {}", poller.peak());
    let (read, most) = (poller.read_so_far() as u64, began.elapsed().as_secs() + 2);
    assert!(read <= most, "{read} bytes were read, not {most}");
    poller.read();
    poller.until_all_of(&tenant);
    let run = poller.stop().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert!(run.peak <= MEMORY_STEADY, "{}", run.peak);
}

/// The end does not wait for such a reader, and what it has not read is had again.
#[test]
fn a_reader_of_a_byte_a_second_does_not_hold_up_the_end() {
    let tenant = much().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).output(Output::Unread).start();
    poller.trickles();
    poller.until("something was read", |it| it.read_so_far() >= 2);
    let first = poller.stop().expect(0);
    let second = host.poll_once(&tenant).run().expect(0);
    let whole = first.stdout.rfind('\n').map_or("", |end| &first.stdout[..end]);
    let both: Vec<_> = whole.lines().map(str::to_owned).chain(second.lines()).collect();
    let (counts, wanted) = (counted(&both), tenant.lines());
    assert!(wanted.iter().all(|line| counts.contains_key(line.as_str())), "nothing is missing");
    assert!(counts.values().all(|times| *times <= 2), "one batch comes again");
}

/// The first line of the log that found no room stopped everything, and no signal ended it any more.
#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_collection_nor_its_end() {
    let tenant = service().pages_of(1).blob(hours_ago(3), records([mail("a")])).blob(hours_ago(2), records([mail("b")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).arg("--log-level").arg("debug").unheard().start();
    poller.until_all_of(&tenant);
    poller.until_listed_again(&tenant, 2);
    let run = poller.stop().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert!(!run.stderr.contains("first_start"), "nobody read it");
    for program in [host.backfill(&tenant), host.poll_once(&tenant)] {
        let run = program.unheard().run().expect(0);
        assert!(run.took < seconds(20), "{:?}", run.took);
    }
}

#[test]
fn lines_of_the_log_that_were_lost_are_counted_when_somebody_reads_again() {
    for_each(&["json", "text"], |format| {
        let tenant = service().blob(hours_ago(3), records([mail("a")])).serve();
        let host = Host::new();
        let mut poller = host.poll(&tenant).args(["--log-format", format]).unheard().start();
        poller.until_lines(1);
        poller.is_heard();
        poller.until("what was in the pipe is read", |it| it.said().len() >= 64 << 10);
        tenant.add_fault(
            Target::Listing,
            Fault::Status { status: 500, body: ErrorBody::Html, retry_after: None },
            When::First(2),
        );
        poller.until_said("of the log were lost, because nobody read stderr");
        let run = poller.stop().expect(0);
        let told = run.stderr.lines().find(|line| line.contains("log were lost")).unwrap().trim_start_matches('.');
        assert_eq!(told.starts_with('{'), *format == "json", "{told}");
    });
}
