//! Refused by Microsoft, or not reached at all: a clear word, the right code, nothing lost.

use std::path::Path;

use crate::vocabulary::*;

/// `poll` and `backfill` end with 77 at first contact and say all of this.
fn is_refused(tenant: &Tenant, secret: &str, texts: &[&str]) {
    let host = Host::new();
    for_each(&[true, false], |poll| {
        let program = if *poll { host.poll(tenant) } else { host.backfill(tenant) };
        let run = program.secret(secret).run().expect(77).says(texts);
        assert_eq!(run.stdout, "");
        assert!(!run.stderr.contains(secret), "a secret in the log:\n{}", run.stderr);
    });
}

#[test]
fn a_wrong_secret_ends_with_advice() {
    let tenant = service().client(CLIENT, "the-right-secret").serve();
    is_refused(&tenant, "the-wrong-secret", &["AADSTS7000215", "Certificates & secrets", "defender-feed check"]);
}

/// It was said that Microsoft refuses, who was never asked.
#[test]
fn a_secret_that_is_not_there_is_nobody_s_refusal() {
    let tenant = service().serve();
    let host = Host::new();
    let missing = host.path("secret");
    let run = host.poll(&tenant).args([Path::new("--client-secret-file"), &missing]).run().expect(77);
    run.says(&["can't sign in", "no such file", "client_secret_file"]).does_not_say(&["Microsoft refuses"]);
    assert_eq!(tenant.ledger().count("token"), 0);
}

#[test]
fn an_unknown_application_ends_with_advice() {
    let tenant = service().client("33333333-0000-4000-8000-000000000003", "the-right-secret").serve();
    is_refused(&tenant, "the-right-secret", &["check client id and secret"]);
}

#[test]
fn a_missing_permission_ends_with_advice() {
    let tenant = service().with(|c| c.roles.clear()).serve();
    is_refused(&tenant, "made-up-secret", &["ActivityFeed.Read", "admin consent"]);
}

#[test]
fn another_tenant_s_token_ends_with_advice() {
    let tenant = service().fault(Target::Api, Fault::WrongTenant, When::Always).serve();
    is_refused(&tenant, "made-up-secret", &["AF20010", "another tenant"]);
}

#[test]
fn audit_logging_that_is_off_ends_with_advice() {
    let tenant = service().with(|c| c.auditing = false).serve();
    is_refused(&tenant, "made-up-secret", &["audit log"]);
}

#[test]
fn a_path_where_nothing_answers_ends_with_advice() {
    let tenant = service().fault(Target::Api, Fault::NotFound, When::Always).serve();
    is_refused(&tenant, "made-up-secret", &["--api-url"]);
}

#[test]
fn a_permission_that_is_taken_away_in_the_middle_degrades_the_poller_and_loses_nothing() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    // Consent may be new, so that a call is repeated once with a new token.
    tenant.add_fault(Target::Api, Fault::NoPermission, When::First(2));
    poller.until_said("refused");
    tenant.gets(records([mail("b")]));
    poller.until_lines(2);
    let run = poller.stop().expect(0).says(&["ActivityFeed.Read", "recovered"]);
    assert_same_ids(&run.lines(), &["a", "b"]);
}

#[test]
fn audit_logging_that_goes_off_in_the_middle_is_a_gap_and_comes_back() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    tenant.service().set_auditing(false);
    poller.until_said("auditing_off");
    tenant.service().set_auditing(true);
    tenant.gets(records([mail("b")]));
    poller.until_lines(2);
    assert_same_ids(&poller.stop().expect(0).lines(), &["a", "b"]);
}

#[test]
fn a_host_that_is_not_reached_is_asked_for_until_it_is_there() {
    let story = service().blob(hours_ago(2), records([mail("a")]));
    let tenant = story.clone().serve();
    let (port, host) = (tenant.base_url().rsplit(':').next().unwrap().parse().unwrap(), Host::new());
    let program = host.poll(&tenant);
    tenant.shut();
    let mut poller = program.start();
    poller.until_said("onnect");
    assert!(poller.is_running() && !poller.said().contains("first_start"), "nothing is settled before the service told its time");
    let tenant = story.serve_at(port);
    poller.until_all_of(&tenant);
    assert_same_ids(&poller.stop().expect(0).lines(), &["a"]);
}

#[test]
fn a_one_shot_run_can_be_interrupted_while_it_waits_for_its_host() {
    let tenant = service().serve();
    let host = Host::new();
    let program = host.backfill(&tenant);
    tenant.shut();
    let mut run = program.start();
    run.until_said("state_opened");
    std::thread::sleep(millis(300));
    run.sigint();
    run.ends().expect(130).says(&["nothing could be listed", "--resume"]);
}

#[test]
fn a_service_that_goes_away_for_a_while_costs_nothing() {
    let story = service().blob(hours_ago(2), records([mail("a")]));
    let tenant = story.clone().serve();
    let port = tenant.base_url().rsplit(':').next().unwrap().parse().unwrap();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    tenant.shut();
    std::thread::sleep(millis(500));
    let tenant = story.blob(minutes_ago(0), records([mail("b")])).serve_at(port);
    poller.until_all_of(&tenant);
    assert_same_ids(&poller.stop().expect(0).lines(), &["a", "b"]);
}

#[test]
fn plain_http_to_another_machine_is_a_wrong_setting() {
    let host = Host::new();
    let program = host.run("poll").args(["--tenant-id", "11111111-0000-4000-8000-000000000001", "--client-id", CLIENT]);
    let run = program.secret("made-up").args(["--api-url", "http://manage.office.com"]).run();
    run.expect(2).says(&["plain http is for this machine only"]);
}

#[test]
fn https_to_a_plain_port_is_not_taken_for_a_service() {
    let tenant = service().serve();
    let host = Host::new();
    let secure = tenant.base_url().replace("http://127.0.0.1", "https://localhost");
    let program = host.run("poll").args(["--tenant-id", &tenant.id(), "--client-id", CLIENT, "--login-url", &secure]);
    let mut poller = program.args(["--api-url", &secure]).secret("made-up").start();
    poller.until("it says that it failed", |it| it.said().contains("TLS") || it.said().contains("certificate"));
    poller.stop().expect(0);
    assert_eq!(tenant.ledger().count("token"), 0);
}
