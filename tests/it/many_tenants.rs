//! Several tenants in one process: they share the process and the writer, and no fault.

use crate::vocabulary::*;

/// A configuration for these tenants, with one secret file each.
fn configured(host: &Host, tenants: &[&Tenant], more: &str) -> Program {
    let mut text = format!(
        "publisher_id = \"99999999-0000-4000-8000-000000000009\"\nclient_id = \"{CLIENT}\"\nrequests_per_minute = 1000000\n{more}\n"
    );
    for (n, tenant) in tenants.iter().enumerate() {
        let (id, url) = (tenant.id(), tenant.base_url());
        text.push_str(&format!(
            "[[tenant]]\nname = \"tenant-{n}\"\ntenant_id = \"{id}\"\napi_url = \"{url}\"\nlogin_url = \"{url}\"\n\
             client_secret_file = \"secret-{n}\"\npoll_interval = \"1s\"\nlabels = {{ number = \"{n}\" }}\n"
        ));
        host.write_secret(&format!("secret-{n}"), &format!("secret-{n}\n"));
    }
    let path = host.write("feed.toml", text);
    host.run("poll").args([std::path::Path::new("--config"), &path]).args([std::path::Path::new("--state-dir"), &host.state()])
}

fn tenant(n: usize) -> Story {
    let id = format!("aaaaaaaa-0000-4000-8000-00000000000{n}");
    let story = service().tenant(id.parse().unwrap()).client(CLIENT, &format!("secret-{n}"));
    (0..5u64).fold(story, |story, blob| story.blob(hours_ago(2 + blob), records([mail(&format!("t{n}-{blob}")), noise("other")])))
}

fn all_lines(tenants: &[&Tenant]) -> Vec<String> {
    tenants.iter().flat_map(|tenant| tenant.lines()).collect()
}

#[test]
fn all_of_them_arrive() {
    let tenants: Vec<_> = (0..6).map(|n| tenant(n).serve()).collect();
    let tenants: Vec<_> = tenants.iter().collect();
    let host = Host::new();
    let run = configured(&host, &tenants, "").arg("--once").run().expect(0);
    assert_same(&run.lines(), &all_lines(&tenants));
    let publishers: Vec<_> = tenants.iter().flat_map(|t| t.ledger().publishers).collect();
    assert!(publishers.iter().all(|p| p == "99999999-0000-4000-8000-000000000009"), "{publishers:?}");
    let again = configured(&host, &tenants, "").arg("--once").run().expect(0);
    assert_eq!(again.stdout, "");
}

#[test]
fn one_that_is_refused_holds_up_no_other() {
    let (good, bad) = (tenant(0).serve(), tenant(1).client(CLIENT, "another-secret").serve());
    let host = Host::new();
    let mut poller = configured(&host, &[&good, &bad], "").start();
    poller.until_all_of(&good);
    poller.until_said("tenant-1");
    good.gets(records([mail("later")]));
    poller.until_all_of(&good);
    let run = poller.stop().expect(0).says(&["refused", "Certificates & secrets"]);
    assert_same(&run.lines(), &good.lines());
    configured(&host, &[&good, &bad], "").arg("--once").run().expect(1).says(&["Microsoft refuses"]);
}

#[test]
fn all_refused_ends_the_poller() {
    let tenants = [tenant(0).client(CLIENT, "x").serve(), tenant(1).client(CLIENT, "y").serve()];
    let tenants: Vec<_> = tenants.iter().collect();
    configured(&Host::new(), &tenants, "").run().expect(77);
}

#[test]
fn one_that_stalls_or_throttles_holds_up_no_other() {
    let good = tenant(0).serve();
    let stalled = tenant(1).fault(Target::Blob, Fault::Stall { after: None }, When::Always).serve();
    let pause = Fault::Throttle { status: 429, retry_after: Some(seconds(300)) };
    let throttled = tenant(2).fault(Target::Api, pause, When::Always).serve();
    let broken = tenant(3).fault(Target::Api, Fault::Reset, When::Always).serve();
    let host = Host::new();
    let mut poller = configured(&host, &[&good, &stalled, &throttled, &broken], "").start();
    poller.until_all_of(&good);
    good.gets(records([mail("later")]));
    poller.until_all_of(&good);
    assert_same(&poller.stop().expect(0).lines(), &good.lines());
}

#[test]
fn a_secret_file_that_is_missing_degrades_one_tenant() {
    let (good, bad) = (tenant(0).serve(), tenant(1).serve());
    let host = Host::new();
    let program = configured(&host, &[&good, &bad], "");
    std::fs::remove_file(host.path("secret-1")).unwrap();
    let mut poller = program.start();
    poller.until_all_of(&good);
    poller.until_said("secret-1");
    assert_same(&poller.stop().expect(0).lines(), &good.lines());
    assert_eq!(bad.ledger().count("token"), 0);
}

#[test]
fn one_of_them_can_be_selected_and_each_line_says_whose_it_is() {
    let tenants = [tenant(0).serve(), tenant(1).serve()];
    let tenants: Vec<_> = tenants.iter().collect();
    let host = Host::new();
    let run = configured(&host, &tenants, "envelope = true").args(["--tenant", "tenant-1", "--once"]).run().expect(0);
    assert_same_ids(&run.lines(), &tenants[1].ids());
    for line in run.lines() {
        let feed: serde_json::Value = serde_json::from_str(members(&line)["feed"].get()).unwrap();
        assert_eq!((&feed["tenant_name"], &feed["labels"]["number"]), (&"tenant-1".into(), &"1".into()));
    }
    assert_eq!(tenants[0].ledger().count("token"), 0);
}
