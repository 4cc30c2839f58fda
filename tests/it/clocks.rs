//! Clocks that are wrong: by the hour, on either side. No clock makes a gap.

use crate::vocabulary::*;

#[test]
fn a_local_clock_that_is_wrong_by_an_hour_costs_nothing() {
    for_each(&[-3_600_000, 3_600_000], |off| {
        // The service's clock is the true one; seen from there it is the local one that is wrong.
        let here = Time(now().0 + off);
        let tenant = service()
            .at(here)
            .blob(minutes_ago(7 * 24 * 60 - 20), records([mail("oldest")]))
            .blob(hours_ago(3), records([mail("old")]))
            .blob(minutes_ago(1), records([mail("new")]))
            .serve();
        let host = Host::new();
        let mut poller = host.poll(&tenant).start();
        poller.until_all_of(&tenant);
        tenant.gets(records([mail("newer")]));
        poller.until_all_of(&tenant);
        let run = poller.stop().expect(0).says(&["clock_skew"]).does_not_say(&["\"reason\""]);
        assert_same_ids(&run.lines(), &["oldest", "old", "new", "newer"]);
        let again = host.poll_once(&tenant).run().expect(0).does_not_say(&["reason"]);
        assert_eq!(again.stdout, "");
        let backfill = host.backfill_since(&tenant, "7d").run().expect(0);
        assert_same_ids(&backfill.lines(), &["oldest", "old", "new", "newer"]);
    });
}

#[test]
fn a_date_header_that_is_wrong_now_and_then_costs_nothing() {
    let ahead = Fault::ClockSkew { millis: 7_200_000 };
    let tenant = service()
        .content(6, hours_ago(8))
        .until(hours_ago(2))
        .fault(Target::Any, ahead.clone(), When::Every(5))
        // Two listings in a row while nothing else is under way: one plans by the wrong time, the next confirms it.
        .fault(Target::FirstPage, ahead.clone(), When::Nth(11))
        .fault(Target::FirstPage, ahead, When::Nth(12))
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_all_of(&tenant);
    poller.until_asked(&tenant, "first_page", 13);
    tenant.gets(records([mail("new")]));
    poller.until_all_of(&tenant);
    assert_same(&poller.stop().expect(0).does_not_say(&["reason"]).lines(), &tenant.lines());
}

#[test]
fn where_the_clocks_disagree_nothing_is_given_up() {
    // The state is nine days old by the service's clock, which then jumps; the local clock does not confirm it.
    let then = Time(now().0 - 86_400_000);
    let before = service().at(then).blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    host.poll_once(&before).run().expect(0);
    let jumped = Time(now().0 + 8 * 86_400_000);
    let after = service().at(jumped).blob(hours_ago(2), records([mail("b")])).serve();
    let mut poller = host.poll(&after).start();
    poller.until_said("clock_disagrees");
    poller.until_lines(1);
    let run = poller.stop().expect(0).does_not_say(&["outage_past_retention"]);
    assert_same_ids(&run.lines(), &["b"]);
}
