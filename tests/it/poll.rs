//! `poll`: the long-lived poller, and `--once`.

use crate::vocabulary::*;

#[test]
fn a_first_start_brings_all_that_the_service_keeps_and_then_what_appears() {
    let tenant = service()
        .content(10, hours_ago(10))
        .until(minutes_ago(2))
        .blob(minutes_ago(7 * 24 * 60 - 20), records([mail("oldest")]))
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_all_of(&tenant);
    tenant.gets(records([mail("new"), noise("other"), air("newer")]));
    poller.until_all_of(&tenant);
    let run =
        poller.stop().expect(0).says(&["first_start", "state directory is not persistent", &host.state().display().to_string()]);
    assert_same(&run.lines(), &tenant.lines());
}

#[test]
fn a_restart_goes_on_without_repeating() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    let mut first = host.poll(&tenant).start();
    first.until_all_of(&tenant);
    let mut lines = first.stop().expect(0).lines();
    tenant.gets(records([mail("new")]));
    // The sweep over all of retention that follows a restart must find nothing but old friends.
    let listed = tenant.ledger().count("first_page");
    let mut second = host.poll(&tenant).start();
    second.until_lines(1);
    second.until_asked(&tenant, "first_page", listed + 10);
    let second = second.stop().expect(0).does_not_say(&["first_start"]);
    assert_eq!(ids_of(&second.lines()), ["new"]);
    lines.extend(second.lines());
    assert_same(&lines, &tenant.lines());
}

#[test]
fn what_is_listed_late_is_found_by_the_next_listing() {
    let tenant = service()
        .blob(minutes_ago(50), records([mail("early")]))
        .late_blob(minutes_ago(40), ahead(millis(700)), records([mail("late")]))
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(2);
    poller.until_listed_again(&tenant, 1);
    assert_eq!(ids_of(&poller.stop().expect(0).lines()), ["early", "late"]);
}

#[test]
fn what_was_listed_days_late_while_nobody_looked_is_found_after_the_restart() {
    let tenant = service().blob(days_ago(4), records([mail("early")])).serve();
    let host = Host::new();
    host.poll_once(&tenant).run().expect(0);
    let late = NewBlob::new(now() - seconds(5 * 86_400), records([mail("late")]));
    tenant.add_blob(late.listed_at(now()));
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    poller.until_listed_again(&tenant, 2);
    assert_eq!(ids_of(&poller.stop().expect(0).lines()), ["late"]);
}

#[test]
fn a_blob_that_breaks_off_is_a_provisional_gap_until_it_arrives() {
    let (id, target) = named("late");
    let tenant = service()
        .put(NewBlob::new(now() - seconds(7200), records([mail("a"), mail("b"), mail("c")])).id(&id))
        .fault(target, Fault::Wrong(Content::Truncated), When::Always)
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("gap_provisional");
    tenant.service().clear_faults();
    poller.until_said("gap_closed");
    poller.until_all_of(&tenant);
    let run = poller.stop().expect(0).says(&[&id]);
    assert_same_ids(&run.lines(), &["a", "b", "c"]);
}

#[test]
fn a_poisoned_blob_holds_up_nobody_and_its_readable_part_comes_once() {
    let (id, target) = named("poison");
    let tenant = service()
        .put(NewBlob::new(now() - seconds(7200), records([mail("whole"), mail("torn")])).id(&id))
        .blob(hours_ago(1), records([mail("neighbour")]))
        .fault(target, Fault::Wrong(Content::Truncated), When::Always)
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("gap_provisional");
    tenant.gets(records([mail("later")]));
    poller.until("the later one arrives", |it| ids_of(&it.lines()).contains(&"later".to_owned()));
    poller.until_listed_again(&tenant, 2);
    let first = poller.stop().expect(0).says(&["unreadable", &id]);
    let listed = tenant.ledger().count("first_page");
    let mut second = host.poll(&tenant).start();
    second.until_asked(&tenant, "first_page", listed + 10);
    let second = second.stop().expect(0);
    assert_same_ids(&[first.lines(), second.lines()].concat(), &["whole", "neighbour", "later"]);
    assert!(!host.dead_letters(&host.state(), &tenant).is_empty());
}

#[test]
fn once_ends_by_itself_and_keeps_its_place() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).run().expect(0);
    assert_same(&first.lines(), &tenant.lines());
    tenant.has_got(records([mail("new")]));
    let second = host.poll_once(&tenant).run().expect(0);
    assert_eq!(ids_of(&second.lines()), ["new"]);
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "");
}

#[test]
fn once_tells_gaps_by_its_exit_code_each_time_it_finds_one() {
    let (id, target) = named("expired");
    let tenant = service()
        .put(NewBlob::new(now() - seconds(7200), records([mail("expired")])).id(&id).expires(Time(now().0 + 600_000)))
        .blob(hours_ago(1), records([mail("a")]))
        .fault(target, Fault::Expired, When::Always)
        .serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).run().expect(3).says(&["reason=expired"]);
    assert_eq!(ids_of(&first.lines()), ["a"]);
    // A final gap is not asked for again.
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "");
    assert_eq!(tenant.ledger().count("blob"), 2);
}

#[test]
fn once_is_interrupted_like_any_one_shot_command() {
    let tenant = service()
        .blob(hours_ago(1), records([mail("a")]))
        .fault(Target::Blob, Fault::Stall { after: None }, When::Always)
        .serve();
    for (code, signal) in [(130, Started::sigint as fn(&Started)), (143, Started::sigterm)] {
        let host = Host::new();
        let before = tenant.ledger().count("blob");
        let mut run = host.poll_once(&tenant).start();
        run.until("it asks for the blob", |_| tenant.ledger().count("blob") > before);
        signal(&run);
        run.ends().expect(code);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let tenant = service()
        .blob(hours_ago(1), records([mail("a")]))
        .fault(Target::Blob, Fault::Stall { after: None }, When::Always)
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until("it asks for the blob", |_| tenant.ledger().count("blob") > 0);
    poller.sigterm();
    poller.until_said("told to stop");
    let asked = std::time::Instant::now();
    poller.sigterm();
    poller.ends().expect(143);
    assert!(asked.elapsed() < millis(1500), "{:?}", asked.elapsed());
}

#[test]
fn a_stalled_service_does_not_hold_up_the_end() {
    let tenant = service()
        .blob(hours_ago(3), records([mail("a")]))
        .blob(hours_ago(2), records([mail("stalled")]))
        .fault(Target::Blob, Fault::Stall { after: Some(10) }, When::Nth(2))
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    poller.until("it asks for the other", |_| tenant.ledger().count("blob") == 2);
    let mut lines = poller.stop().expect(0).lines();
    lines.extend(host.poll_once(&tenant).run().expect(0).lines());
    assert_same_ids(&lines, &["a", "stalled"]);
}

#[test]
fn a_second_poller_on_one_state_is_turned_away_and_the_first_goes_on() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    let mut first = host.poll(&tenant).start();
    first.until_lines(1);
    let pid = first.pid().to_string();
    let second = host.poll(&tenant).run().expect(75).says(&[&pid]);
    assert_eq!(second.stdout, "");
    tenant.gets(records([mail("b")]));
    first.until_lines(2);
    assert_same_ids(&first.stop().expect(0).lines(), &["a", "b"]);
}

#[test]
fn a_later_beginning_can_be_asked_for_by_an_absolute_time() {
    let tenant = service().blob(hours_ago(30), records([mail("before")])).blob(hours_ago(20), records([mail("after")])).serve();
    let not_before = (now() - seconds(25 * 3600)).floor_second().to_string();
    let host = Host::new();
    let run = host.poll_once(&tenant).args(["--not-before", &not_before]).run().expect(0);
    assert_eq!(ids_of(&run.lines()), ["after"]);
    host.poll_once(&tenant).args(["--not-before", "25h"]).run().expect(2);
}

#[test]
fn a_changed_filter_is_announced() {
    let tenant = service().blob(hours_ago(2), records([mail("a"), air("b")])).serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).args(["--record-types", "28"]).run().expect(0);
    assert_eq!(ids_of(&first.lines()), ["a"]);
    let second = host.poll_once(&tenant).run().expect(0).says(&["filter_changed", "backfill"]);
    assert_eq!(second.stdout, "");
    let third = host.backfill(&tenant).args(["--record-types", "64"]).run().expect(0);
    assert_eq!(ids_of(&third.lines()), ["b"]);
}

#[test]
fn two_content_types_are_two_feeds() {
    let exchange = NewBlob::new(now() - seconds(3600), records([mail("exchange")])).content_type(ContentType::AuditExchange);
    let tenant = service().blob(hours_ago(1), records([mail("general")])).put(exchange).serve();
    let host = Host::new();
    let types = ["--content-type", "Audit.General", "--content-type", "Audit.Exchange"];
    let mut poller = host.poll(&tenant).args(types).start();
    poller.until_lines(2);
    let later = NewBlob::new(now() - millis(1), records([mail("later")])).content_type(ContentType::AuditExchange);
    tenant.add_blob(later);
    poller.until_lines(3);
    assert_same_ids(&poller.stop().expect(0).lines(), &["general", "exchange", "later"]);
    assert_eq!(host.poll_once(&tenant).args(types).run().expect(0).stdout, "");
}
