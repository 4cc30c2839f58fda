//! Three days in the life of a poller: the stories that the design tells.

use crate::vocabulary::*;

/// Killed between write and commit, two blobs in flight, out of order.
///
/// The reader of the pipe stalls, so that a batch is written in part and can't be committed, and then the kill comes.
#[test]
fn killed_between_write_and_commit() {
    let (large, of_large) = named("large");
    let many = || records((0..1200).map(|n| mail(&format!("a{n}"))));
    let tenant = service()
        .put(NewBlob::new(now() - seconds(5 * 3600), many()).id(&large))
        .blob(hours_ago(4), records([mail("b1"), noise("x"), mail("b2")]))
        .fault(of_large, Fault::Slow { bytes_per_second: 6_000_000 }, When::First(1))
        .serve();
    let host = Host::new();
    let mut first = host.poll(&tenant).output(Output::Unread).start();
    first.until("both are asked for", |_| tenant.ledger().count("blob") == 2);
    // The pipe is full by now: what is in it was written, and nothing after the first lines of the large blob committed.
    std::thread::sleep(millis(700));
    let written = first.sigkill().lines();
    let after = host.poll_once(&tenant).run().expect(0).lines();
    let (written_counts, after_counts) = (counted(&written), counted(&after));
    assert!(written_counts.values().chain(after_counts.values()).all(|n| *n == 1), "no run repeats itself");
    let wanted = tenant.lines();
    assert!(wanted.iter().all(|line| written_counts.contains_key(line.as_str()) || after_counts.contains_key(line.as_str())));
    assert!(written.len() < wanted.len(), "the pipe held it back");

    // Had the commit happened and the kill come later, nothing repeats.
    let third = host.poll_once(&tenant).run().expect(0);
    assert_eq!(third.stdout, "");
}

/// Had the commit happened and the kill come later: the small blob is skipped, and of the large one only what comes after
/// the part that was committed, which its digest recognises.
#[test]
fn killed_after_the_commit_of_a_part() {
    let (large, of_large) = named("large");
    let tenant = service()
        .put(NewBlob::new(now() - seconds(5 * 3600), records((0..1600).map(|n| mail(&format!("a{n}"))))).id(&large))
        .blob(hours_ago(4), records([mail("b1"), noise("x"), mail("b2")]))
        .fault(of_large.clone(), Fault::Slow { bytes_per_second: 1_000_000 }, When::First(1))
        // A mere break in the middle repeats nothing either.
        .fault(of_large, Fault::Cut { after: Some(2_500_000) }, When::First(1))
        .serve();
    let host = Host::new();
    let mut first = host.poll(&tenant).start();
    first.until_lines(300);
    // The part is committed within this, and the next one takes a second to come.
    std::thread::sleep(millis(400));
    let first = first.sigkill().lines();
    assert!(first.len() < 1_000, "{} lines: killed too late to show anything", first.len());
    let mut second = host.poll(&tenant).start();
    second.until_lines(1_602 - first.len());
    second.until_listed_again(&tenant, 1);
    let second = second.stop().expect(0);
    assert_same(&[first, second.lines()].concat(), &tenant.lines());
    assert_eq!(tenant.ledger().faults["cut"], 1);
}

/// A stale next page in the middle of a window while late blobs appear.
#[test]
fn a_stale_page_while_late_blobs_appear() {
    let mut story = service().pages_of(3);
    for n in 0..12u64 {
        story = story.blob(hours_ago(3 + n), records([mail(&format!("r{n}"))]));
    }
    let tenant = story
        .late_blob(hours_ago(9), ahead(millis(400)), records([mail("late")]))
        .fault(Target::NextPage, Fault::StalePage, When::Nth(2))
        .fault(Target::NextPage, Fault::StalePage, When::Nth(3))
        .fault(Target::Blob, Fault::Slow { bytes_per_second: 20_000 }, When::Every(3))
        .serve();
    let host = Host::new();
    let mut first = host.poll(&tenant).start();
    first.until_said("listing_broken");
    first.until_lines(12);
    std::thread::sleep(millis(400));
    let first = first.stop().expect(0);
    // The sweep of the next start goes over all of retention.
    let mut second = host.poll(&tenant).start();
    let before = ids_of(&first.lines());
    second.until("the late one is there", |it| {
        before.contains(&"late".to_owned()) || ids_of(&it.lines()).contains(&"late".to_owned())
    });
    let listed = tenant.ledger().count("first_page");
    second.until_asked(&tenant, "first_page", listed + 1);
    let second = second.stop().expect(0);
    assert_same(&[first.lines(), second.lines()].concat(), &tenant.lines());
    assert_eq!(tenant.ledger().blobs_fetched_again, 0, "what is done, pending or in flight is recognised");
}

/// Nine days down, one blob poisoned.
#[test]
fn nine_days_down() {
    // Nine days ago everything was well.
    let then = Time(now().0 - 9 * 86_400_000);
    let before = service().at(then).blob(hours_ago(1), records([mail("before")])).serve();
    let host = Host::new();
    let first = host.poll_once(&before).run().expect(0);
    assert_eq!(ids_of(&first.lines()), ["before"]);
    drop(before);

    // Now the service has kept seven days, one of its blobs is poison, and one has expired ten minutes before its time.
    let (poison, is_poison) = named("poison");
    let (expired, is_expired) = named("expired");
    let mut story = service()
        .put(NewBlob::new(now() - seconds(6 * 86_400), records([mail("whole"), mail("torn")])).id(&poison))
        .put(
            NewBlob::new(now() - seconds(6 * 86_400 + 60), records([mail("gone")])).id(&expired).expires(Time(now().0 + 600_000)),
        )
        .fault(is_poison, Fault::Wrong(Content::Truncated), When::Always)
        .fault(is_expired, Fault::Expired, When::Always);
    for n in 0..20u64 {
        story = story.blob(hours_ago(2 + 8 * n), records([mail(&format!("r{n}")), noise("x")]));
    }
    let tenant = story.serve();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("outage_past_retention");
    tenant.gets(records([mail("live")]));
    poller.until("the others are through", |it| {
        let ids = ids_of(&it.lines());
        ids.contains(&"live".to_owned()) && (0..20).all(|n| ids.contains(&format!("r{n}")))
    });
    poller.until_said("gap_provisional");
    let second = poller.stop().expect(0).says(&["expired", "unreadable", &poison]).does_not_say(&["first_start"]);
    let mut wanted: Vec<_> = (0..20).map(|n| format!("r{n}")).collect();
    wanted.extend(["live".to_owned(), "whole".to_owned()]);
    assert_same_ids(&second.lines(), &wanted);

    // The ledger says the same afterwards, and its figures add up.
    let state = |what: &str| host.run("state").arg(what).args([std::path::Path::new("--state-dir"), &host.state()]);
    let gaps = state("gaps").arg("--json").run();
    for reason in ["outage_past_retention", "expired", "unreadable"] {
        assert!(gaps.stdout.contains(reason), "{reason}: {}", gaps.stdout);
    }
    state("verify").run().expect(0);
}
