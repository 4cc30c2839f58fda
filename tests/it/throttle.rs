//! Throttling, and a service in trouble.

use crate::vocabulary::*;

fn few() -> Story {
    service().content(4, hours_ago(7)).until(hours_ago(2))
}

/// A backfill gets everything once, whatever happens on the way.
fn survives(tenant: &Tenant) -> Ended {
    let run = Host::new().backfill(tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    run
}

#[test]
fn a_retry_after_of_a_403_is_kept_by_all_calls() {
    let fault = Fault::Throttle { status: 403, retry_after: Some(seconds(1)) };
    let tenant = few().fault(Target::Blob, fault, When::Nth(5)).serve();
    let run = survives(&tenant).says(&["throttled"]);
    assert!(run.took >= seconds(1), "{:?}", run.took);
    assert_eq!(tenant.ledger().during_pause, 0);
}

#[test]
fn a_retry_after_of_a_429_is_kept_by_all_calls() {
    let fault = Fault::Throttle { status: 429, retry_after: Some(seconds(1)) };
    let tenant = few().fault(Target::Api, fault, When::Every(9)).serve();
    survives(&tenant).says(&["throttled"]);
    assert!(tenant.ledger().throttled >= 2);
    assert_eq!(tenant.ledger().during_pause, 0);
}

#[test]
fn throttled_without_a_retry_after_it_waits_of_its_own_accord() {
    let tenant = few().throttles(1).serve();
    let run = survives(&tenant).says(&["throttled"]);
    assert!(run.took >= seconds(2), "{:?}", run.took);
}

#[test]
fn throttling_at_first_contact_is_no_refusal() {
    let fault = Fault::Throttle { status: 429, retry_after: Some(seconds(1)) };
    let tenant = few().fault(Target::Subscriptions, fault, When::First(1)).serve();
    survives(&tenant);
}

#[test]
fn a_quota_is_learned_and_everything_arrives() {
    let tenant = service()
        .content(20, hours_ago(5))
        .until(minutes_ago(2))
        .quota(60, RetryAfter::Fixed(seconds(1)))
        .with(|c| c.throttle.status = 429)
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("throttled");
    tenant.service().set_quota(None);
    poller.until_all_of(&tenant);
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
    assert_eq!(tenant.ledger().during_pause, 0);
}

#[test]
fn a_configured_rate_is_a_ceiling() {
    let tenant = few().serve();
    let requests = 600;
    let run = Host::new().backfill(&tenant).args(["--requests-per-minute", &requests.to_string()]).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    let asked = tenant.ledger().count("blob") + tenant.ledger().count("first_page");
    // Two seconds' worth may come at once: the burst, and the request that starts it.
    let at_least = (asked.saturating_sub(requests * 2 / 60)) * 60_000 / requests;
    assert!(run.took >= millis(at_least), "{asked} requests in {:?}", run.took);
}

#[test]
fn errors_of_the_server_pass() {
    let replies = [
        (500, ErrorBody::Json),
        (502, ErrorBody::Html),
        (503, ErrorBody::Empty),
        (504, ErrorBody::Html),
        (408, ErrorBody::Empty),
    ];
    for_each(&replies, |(status, body)| {
        let fault = Fault::Status { status: *status, body: *body, retry_after: None };
        let tenant = service()
            .blob(hours_ago(3), records([mail("a")]))
            .blob(hours_ago(2), records([mail("b")]))
            .fault(Target::Blob, fault, When::First(1))
            .serve();
        survives(&tenant);
    });
}

#[test]
fn errors_of_the_server_while_listing_pass() {
    let tenant = few().listings_fail(2, 503).serve();
    survives(&tenant).says(&["request_failed"]);
}

#[test]
fn a_503_with_a_retry_after_is_kept_too() {
    let fault = Fault::Status { status: 503, body: ErrorBody::Html, retry_after: Some(seconds(1)) };
    let tenant = few().fault(Target::Listing, fault, When::First(1)).serve();
    let run = survives(&tenant);
    assert!(run.took >= seconds(1), "{:?}", run.took);
    assert_eq!(tenant.ledger().during_pause, 0);
}

fn survives_breaks(target: &Target, faults: &[Fault]) {
    for_each(faults, |fault| {
        let tenant = service()
            .blob(hours_ago(3), records([mail("a"), noise("x"), mail("b")]))
            .blob(hours_ago(2), records([mail("c")]))
            .fault(target.clone(), fault.clone(), When::First(1))
            .serve();
        survives(&tenant);
    });
}

#[test]
fn downloads_that_break_pass() {
    let breaks = [
        Fault::Reset,
        Fault::Cut { after: None },
        Fault::Cut { after: Some(1) },
        Fault::CutChunked { after: None },
        Fault::CutChunked { after: Some(0) },
    ];
    survives_breaks(&Target::Blob, &breaks);
}

#[test]
fn listings_that_break_pass() {
    survives_breaks(&Target::Listing, &[Fault::Reset, Fault::Cut { after: None }, Fault::CutChunked { after: None }]);
}

#[test]
fn everything_at_once_loses_nothing() {
    let rate = When::Rate(0.04);
    let tenant = service()
        .content(12, hours_ago(6))
        .until(minutes_ago(2))
        .pages_of(7)
        .with(|c| c.repeat_share = 0.05)
        .fault(Target::Api, Fault::Reset, rate)
        .fault(Target::Blob, Fault::Cut { after: None }, rate)
        .fault(Target::Blob, Fault::Wrong(Content::Html), When::Blobs { share: 0.05, times: Some(1) })
        .fault(Target::Blob, Fault::Wrong(Content::Truncated), When::Blobs { share: 0.05, times: Some(1) })
        .fault(Target::Api, Fault::Unauthorized, When::Rate(0.02))
        .fault(Target::NextPage, Fault::StalePage, When::Rate(0.05))
        .fault(Target::Api, Fault::Status { status: 502, body: ErrorBody::Html, retry_after: None }, When::Rate(0.02))
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_all_of(&tenant);
    poller.until_listed_again(&tenant, 1);
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
}
