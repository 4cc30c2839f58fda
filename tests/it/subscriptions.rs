//! Without a subscription the service gathers nothing: it is looked at first and started rarely.

use crate::vocabulary::*;

#[test]
fn a_missing_one_is_started_once_and_content_flows() {
    let tenant = service().unsubscribed().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("subscription_started");
    tenant.gets(records([mail("a")]));
    poller.until_lines(1);
    poller.stop().expect(0).says(&["subscription_off"]);
    let mut again = host.poll(&tenant).start();
    again.until_listed_again(&tenant, 2);
    assert_eq!(again.stop().expect(0).stdout, "");
    assert_eq!(tenant.ledger().count("start"), 1);
}

#[test]
fn a_running_one_is_left_alone() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    Host::new().backfill(&tenant).run().expect(0);
    assert_eq!(tenant.ledger().count("subscriptions"), 1);
    assert_eq!(tenant.ledger().count("start"), 0);
}

#[test]
fn where_it_is_required_it_is_not_started() {
    let tenant = service().unsubscribed().serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).args(["--subscription", "require"]).start();
    poller.until_said("subscription_off");
    std::thread::sleep(millis(300));
    poller.stop().expect(0).says(&["subscriptions start"]);
    let backfill = host.backfill(&tenant).args(["--subscription", "require"]);
    backfill.run().expect(1).says(&["no enabled subscription", "subscriptions start"]);
    assert_eq!(tenant.ledger().count("start"), 0);
}

#[test]
fn one_that_an_administrator_disabled_is_started_again() {
    let tenant = service().serve();
    tenant.service().disable_subscriptions(now());
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("subscription_started");
    tenant.gets(records([mail("a")]));
    poller.until_lines(1);
    poller.stop().expect(0);
    assert_eq!(tenant.ledger().count("start"), 1);
}

#[test]
fn one_that_vanishes_in_the_middle_is_started_again_and_the_time_between_is_a_gap() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    poller.until_listed_again(&tenant, 1);
    tenant.service().remove_subscriptions(now());
    poller.until_said("subscription_started");
    tenant.gets(records([mail("b")]));
    poller.until_lines(2);
    poller.stop().expect(0).says(&["\"reason\":\"subscription_off\""]);
    assert_eq!(tenant.ledger().count("start"), 1);
}

#[test]
fn a_start_that_fails_is_not_repeated_at_once() {
    let fault = Fault::Status { status: 503, body: ErrorBody::Html, retry_after: None };
    let tenant = service().unsubscribed().fault(Target::Start, fault, When::First(1)).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_asked(&tenant, "start", 1);
    poller.until_asked(&tenant, "subscriptions", 2);
    poller.stop().expect(0);
    // A restart remembers when it asked.
    let mut again = host.poll(&tenant).start();
    again.until_asked(&tenant, "subscriptions", 3);
    std::thread::sleep(millis(300));
    again.stop().expect(0);
    assert_eq!(tenant.ledger().count("start"), 1);
}
