//! Listings of more than one page, and pages that go wrong.

use crate::vocabulary::*;

/// Nine blobs within a few hours, two on a page.
fn paged() -> Story {
    (0..9u64).fold(service().pages_of(2), |story, n| story.blob(minutes_ago(90 + 20 * n), records([mail(&format!("r{n}"))])))
}

fn is_complete(tenant: &Tenant) -> Ended {
    let run = Host::new().backfill(tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    run
}

#[test]
fn all_pages_are_read() {
    let tenant = paged().serve();
    is_complete(&tenant);
    assert!(tenant.ledger().count("next_page") >= 4);
}

#[test]
fn the_header_is_found_under_each_of_its_names() {
    for_each(&["NextPageUri", "NextPageUrl", "nextpageuri"], |name| {
        let tenant = paged().with(|c| c.next_page_header = (*name).to_owned()).serve();
        is_complete(&tenant);
        assert!(tenant.ledger().count("next_page") >= 4, "{name}");
    });
}

#[test]
fn a_page_key_that_is_stale_once_is_no_loss() {
    let tenant = paged().fault(Target::NextPage, Fault::StalePage, When::Nth(2)).serve();
    is_complete(&tenant).says(&["listing_broken"]);
}

#[test]
fn page_keys_that_are_always_stale_lead_to_smaller_windows() {
    let tenant = service()
        .pages_of(2)
        .blob(hours_ago(20), records([mail("a")]))
        .blob(hours_ago(18), records([mail("b")]))
        .blob(hours_ago(3), records([mail("c")]))
        .blob(hours_ago(2), records([mail("d")]))
        .fault(Target::NextPage, Fault::StalePage, When::Always)
        .serve();
    is_complete(&tenant).says(&["listing_broken"]);
    assert!(tenant.ledger().count("first_page") >= 4);
}

#[test]
fn page_keys_that_expire_while_they_are_read_are_no_loss() {
    let tenant = paged()
        .with(|c| c.page_key_lifetime = Some(millis(100)))
        .fault(Target::NextPage, Fault::Slow { bytes_per_second: 3_000 }, When::First(2))
        .serve();
    is_complete(&tenant);
}

#[test]
fn pages_that_go_round_in_a_circle_once_are_read_anew() {
    let tenant = paged().fault(Target::NextPage, Fault::PageLoop, When::Nth(2)).serve();
    is_complete(&tenant);
}

#[test]
fn pages_that_always_go_round_in_a_circle_lead_to_smaller_windows() {
    let tenant = service()
        .pages_of(2)
        .blob(hours_ago(20), records([mail("a")]))
        .blob(hours_ago(18), records([mail("b")]))
        .blob(hours_ago(2), records([mail("c")]))
        .fault(Target::NextPage, Fault::PageLoop, When::Always)
        .serve();
    is_complete(&tenant).says(&["go round in a circle"]);
    assert!(tenant.ledger().count("first_page") >= 4);
}

#[test]
fn an_empty_page_is_not_the_end_if_another_follows() {
    for_each(&[1, 2, 5], |nth| {
        let tenant = paged().fault(Target::Listing, Fault::EmptyPage, When::Nth(*nth)).serve();
        is_complete(&tenant);
    });
}

#[test]
fn an_entry_on_two_pages_is_fetched_once() {
    let tenant = paged().fault(Target::Listing, Fault::RepeatEntry, When::Always).serve();
    is_complete(&tenant);
    assert_eq!(tenant.ledger().blobs_fetched_again, 0);
}

fn asks_again_after(contents: &[Content]) {
    for_each(contents, |content| {
        let tenant = paged().fault(Target::Listing, Fault::Wrong(*content), When::Nth(2)).serve();
        is_complete(&tenant);
    });
}

#[test]
fn a_listing_that_is_not_json_once_is_asked_for_again() {
    asks_again_after(&[Content::Html, Content::Empty, Content::Garbage, Content::Truncated]);
}

#[test]
fn a_listing_that_is_other_json_once_is_asked_for_again() {
    asks_again_after(&[Content::ErrorObject, Content::Object, Content::Numbers]);
}

#[test]
fn a_listing_that_is_empty_once_is_made_good_by_the_next_pass() {
    let tenant = paged().fault(Target::Listing, Fault::Wrong(Content::EmptyArray), When::Nth(1)).serve();
    is_complete(&tenant);
}

#[test]
fn a_blob_listed_from_its_very_second_is_not_taken_by_half() {
    let created = (now() - seconds(7200)).floor_second();
    let tenant = service()
        .with(|c| c.partial_at_start = true)
        .blob(created, records([mail("a"), mail("b"), mail("c"), mail("d")]))
        .serve();
    let since = created.to_string();
    let run = Host::new().backfill_since(&tenant, &since).args(["--until", "61m"]).run().expect(0);
    assert_same_ids(&run.lines(), &["a", "b", "c", "d"]);
}

#[test]
fn links_to_another_host_are_not_followed_and_no_token_goes_there() {
    let tenant = paged().fault(Target::Listing, Fault::ForeignUri, When::Always).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_said("outside the API's origin");
    poller.stop().expect(0);
    let ledger = tenant.ledger();
    assert_eq!((ledger.foreign, ledger.foreign_with_token), (0, 0));
}

#[test]
fn a_link_to_another_host_that_the_next_listing_puts_right_is_followed() {
    let tenant = service()
        .blob(minutes_ago(20), records([mail("a")]))
        .blob(minutes_ago(10), records([mail("b")]))
        .fault(Target::Listing, Fault::ForeignUri, When::First(1))
        .serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_all_of(&tenant);
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
}
