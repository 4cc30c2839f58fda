//! Tokens: short-lived, taken back early, not to be had for a while.

use crate::vocabulary::*;

#[test]
fn short_lived_tokens_are_renewed_before_their_end() {
    let tenant = service().tokens_live(seconds(2)).blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    for n in 0..6 {
        tenant.gets(records([mail(&format!("r{n}"))]));
        poller.until_all_of(&tenant);
        std::thread::sleep(millis(400));
    }
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
    let ledger = tenant.ledger();
    assert!(ledger.count("token") >= 2, "{} tokens", ledger.count("token"));
    assert_eq!(ledger.bad_tokens, 0, "no call was made with a token that had ended");
}

#[test]
fn one_token_serves_many_calls() {
    let tenant = service().content(20, hours_ago(7)).until(hours_ago(2)).serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert_eq!(tenant.ledger().count("token"), 1);
}

#[test]
fn a_token_that_is_taken_back_early_is_replaced() {
    let tenant = service()
        .content(6, hours_ago(7))
        .until(hours_ago(2))
        .fault(Target::Blob, Fault::RevokeToken, When::Nth(3))
        .fault(Target::Blob, Fault::RevokeToken, When::Nth(12))
        .serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert!(tenant.ledger().count("token") >= 2);
}

#[test]
fn a_401_for_a_good_token_passes() {
    let tenant = service()
        .content(6, hours_ago(7))
        .until(hours_ago(2))
        .fault(Target::Blob, Fault::Unauthorized, When::Nth(4))
        .fault(Target::Listing, Fault::Unauthorized, When::First(1))
        .serve();
    let run = Host::new().backfill(&tenant).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
}

#[test]
fn a_token_endpoint_in_trouble_is_waited_for() {
    let faults = [
        Fault::Status { status: 503, body: ErrorBody::Html, retry_after: None },
        Fault::Throttle { status: 429, retry_after: Some(seconds(1)) },
        Fault::Reset,
        Fault::Wrong(Content::Html),
    ];
    for_each(&faults, |fault| {
        let tenant =
            service().blob(hours_ago(2), records([mail("a")])).fault(Target::Token, fault.clone(), When::First(2)).serve();
        let run = Host::new().backfill(&tenant).run().expect(0);
        assert_same_ids(&run.lines(), &["a"]);
    });
}

#[test]
fn a_token_endpoint_that_fails_in_the_middle_is_waited_for() {
    let tenant = service().tokens_live(seconds(1)).blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    let fault = Fault::Status { status: 500, body: ErrorBody::Html, retry_after: None };
    tenant.add_fault(Target::Token, fault, When::First(3));
    tenant.gets(records([mail("b")]));
    poller.until_lines(2);
    poller.until("the fault was met", |_| tenant.ledger().faults.get("error-html") == Some(&3));
    tenant.gets(records([mail("c")]));
    poller.until_lines(3);
    assert_same_ids(&poller.stop().expect(0).lines(), &["a", "b", "c"]);
}

#[test]
fn a_secret_in_a_file_is_read_again_when_it_is_needed() {
    let tenant = service().client(CLIENT, "first-secret").tokens_live(seconds(1)).serve();
    let host = Host::new();
    // One trailing newline is an editor's, not the secret's.
    let path = host.write_secret("secret", "first-secret\n");
    let mut poller = host.poll(&tenant).args([std::path::Path::new("--client-secret-file"), &path]).start();
    poller.until_listed_again(&tenant, 1);
    tenant.service().set_client_secret(Some("second-secret"));
    host.write_secret("secret", "second-secret\n");
    tenant.gets(records([mail("a")]));
    poller.until_lines(1);
    let tokens = tenant.ledger().count("token");
    poller.until_asked(&tenant, "token", tokens + 1);
    tenant.gets(records([mail("b")]));
    poller.until_lines(2);
    poller.stop().expect(0);
}
