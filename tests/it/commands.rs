//! The commands beside collecting: `decode`, `check`, `subscriptions`, `state`.

use std::path::Path;

use crate::vocabulary::*;
use defender_feed::simulator::story::file;

/// A command for a tenant.
fn ask(host: &Host, command: &str, tenant: &Tenant) -> Program {
    let url = tenant.base_url();
    host.run(command)
        .args(["--tenant-id", &tenant.id(), "--client-id", CLIENT, "--api-url", &url, "--login-url", &url])
        .args([Path::new("--state-dir"), &host.state()])
        .secret("made-up")
}

fn state(host: &Host, what: &str) -> Program {
    host.run("state").arg(what).args([Path::new("--state-dir"), &host.state()])
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn prints(ended: &Ended, texts: &[&str]) {
    for text in texts {
        assert!(ended.stdout.contains(text), "it did not print {text:?} but:\n{}", ended.stdout);
    }
}

mod decode {
    use super::*;

    #[test]
    fn each_wanted_element_comes_out_with_exactly_its_bytes() {
        let host = Host::new();
        let odd = r#"{ "Id" : "a\u0062" , "RecordType" : 28.0, "n": 1e400, "RecordType" : 41 }"#;
        let wanted = [odd.to_owned(), mail("b"), file("c"), air("d")];
        let array = format!("\u{feff}[{},\n {},\n{} , {},{}]\n", wanted[0], noise("x"), wanted[1], wanted[2], wanted[3]);
        let blob = host.write("blob.json", array);
        let ended = host.run("decode").args(["--format", "raw"]).arg(&blob).run().expect(0);
        assert_eq!(ended.lines(), wanted);
        let ended =
            host.run("decode").stdin(&blob).run().expect(0).says(&["1 file: 4 records written, 1 of other types left out"]);
        assert_eq!(ended.lines(), wanted);
        assert_eq!(host.run("decode").args(["--record-types", "20"]).arg(&blob).run().expect(0).lines(), [noise("x")]);
    }

    #[test]
    fn an_envelope_has_the_same_id_as_the_pollers() {
        let tenant = service().blob(hours_ago(1), records([mail("a"), click("b")])).serve();
        let host = Host::new();
        let ids = |lines: Vec<String>| lines.iter().map(|line| json(line)["feed"]["id"].clone()).collect::<Vec<_>>();
        let polled = ids(host.poll_once(&tenant).arg("--envelope").run().expect(0).lines());
        let blob = host.write("blob.json", records([mail("a"), noise("x"), click("b")]));
        let decoded = host.run("decode").arg("--envelope").arg(&blob).run().expect(0);
        let feed = &json(&decoded.lines()[1])["feed"];
        assert_eq!(feed["index"], 2);
        assert_eq!(feed["content_id"], blob.to_str().unwrap());
        assert_eq!(feed.get("content_created"), None, "nobody knows");
        assert_eq!(ids(decoded.lines()), polled);
    }

    #[test]
    fn what_is_no_record_is_told_and_the_rest_is_done() {
        let host = Host::new();
        let bad = host.write("bad.json", format!("[{},{{\"RecordType\":28,nope}},null,{}", mail("a"), mail("b")));
        let ended = host.run("decode").arg(&bad).run().expect(3);
        assert_eq!(ids_of(&ended.lines()), ["a", "b"]);
        ended.says(&["bad.json: element 1 is no record", "invalid_syntax", "element 2 is no record", "not_an_object", "cut_off"]);
        let good = host.write("good.json", records([mail("c")]));
        let ended = host.run("decode").args([&host.path("missing.json"), &host.path("."), &bad, &good]).run().expect(1);
        assert_eq!(ids_of(&ended.lines()), ["a", "b", "c"]);
        ended.says(&["missing.json can't be read: there is no such file", "it is a directory", "2 files could not be read"]);
    }

    #[test]
    fn a_file_without_any_json_is_told_in_few_words() {
        let host = Host::new();
        let log = host.write("app.log", "this is a log line\n".repeat(10_000));
        let ended = host.run("decode").arg(&log).run().expect(3).says(&["10000 invalid_syntax"]);
        assert!(ended.stderr.lines().count() < 20 && ended.stdout.is_empty(), "{}", ended.stderr);
    }

    #[test]
    fn the_pollers_dead_letters_are_read_again() {
        let body = format!("[{},{{\"RecordType\":28,nope}}]", mail("a"));
        let tenant = service().blob(hours_ago(1), body).serve();
        let host = Host::new();
        assert_eq!(ids_of(&host.poll_once(&tenant).run().expect(3).lines()), ["a"]);
        assert_eq!(host.dead_letters(&host.state(), &tenant).len(), 1);
        let letters = host.state().join("dead-letter").join(format!("{}.ndjson", tenant.id()));
        let ended = host.run("decode").arg(&letters).run().expect(3);
        ended.says(&["element 1 of blob ", "is no record: it is not valid JSON", "{\"RecordType\":28,nope}"]);
    }

    #[test]
    fn a_reader_that_goes_away_is_no_news_and_a_full_disk_is() {
        let host = Host::new();
        let much = host.write("much.ndjson", format!("{}\n", mail("a")).repeat(2_000));
        let mut started = host.run("decode").arg(&much).output(Output::Unread).start();
        started.reader_leaves();
        let ended = started.ends().expect(0);
        assert_eq!(ended.stderr, "");
        host.run("decode").arg(&much).output(Output::Full).run().expect(74).says(&["No space left"]);
    }
}

mod check {
    use super::*;

    #[test]
    fn a_healthy_tenant_is_well_and_nothing_is_changed() {
        let tenant = service().blob(minutes_ago(20), records([mail("a")])).blob(minutes_ago(5), records([mail("b")])).serve();
        let host = Host::new();
        let ended = ask(&host, "check", &tenant).run().expect(0);
        prints(
            &ended,
            &["ok    token", "the token holds ActivityFeed.Read", "Audit.General: enabled", "2 content blobs", "all is well"],
        );
        assert!(!host.state().exists());
        assert_eq!(tenant.ledger().count("blob"), 0);
        let checks = json(&ask(&host, "check", &tenant).arg("--json").run().expect(0).stdout);
        assert_eq!(checks["ok"], true);
        assert!(checks["checks"].as_array().unwrap().iter().all(|check| check["status"] == "ok"), "{checks}");
    }

    #[test]
    fn a_missing_subscription_is_told_and_never_started() {
        let tenant = service().unsubscribed().serve();
        let host = Host::new();
        let ended = ask(&host, "check", &tenant).run().expect(0);
        prints(&ended, &["warn  subscription", "poll and backfill start it by themselves", "skip  listing"]);
        ask(&host, "check", &tenant).args(["--subscription", "require"]).run().expect(1);
        assert_eq!(tenant.ledger().count("start"), 0);
    }

    #[test]
    fn each_refusal_names_its_cause_and_the_next_step() {
        let no_roles = service().with(|config| config.roles.clear());
        let more_roles = service().with(|config| config.roles.push("Directory.Read.All".to_owned()));
        let always = |fault| service().fault(Target::Api, fault, When::Always);
        let throttled = Fault::Throttle { status: 403, retry_after: Some(seconds(600)) };
        let out_of_order = Fault::Status { status: 503, body: ErrorBody::Html, retry_after: None };
        for (story, code, texts) in [
            (
                service().client(CLIENT, "another"),
                77,
                &["FAIL  token", "AADSTS7000215", "not its Secret ID", "skip  listing"][..],
            ),
            (no_roles, 77, &["warn  permission", "/adminconsent?client_id=", "FAIL  subscription", "AF10001"]),
            (more_roles, 0, &["warn  permission", "more than is needed: Directory.Read.All"]),
            (always(Fault::AuditingOff), 77, &["audit logging is off", "Set-AdminAuditLogConfig"]),
            (always(Fault::WrongTenant), 77, &["AF20010", "the token is for another tenant"]),
            (always(throttled), 1, &["throttled for 600 s", "try again in 600 s"]),
            (always(out_of_order), 1, &["HTTP 503", "try again in some minutes"]),
            (always(Fault::ClockSkew { millis: 3_600_000 }), 1, &["FAIL  clock", "behind the service's", "timedatectl"]),
        ] {
            let tenant = story.serve();
            let host = Host::new();
            prints(&ask(&host, "check", &tenant).run().expect(code), texts);
        }
    }

    #[test]
    fn a_service_that_is_not_there_is_told_for_each_tenant() {
        let tenant = service().serve();
        let (host, id, url) = (Host::new(), tenant.id(), tenant.base_url());
        tenant.shut();
        let ended = host
            .run("check")
            .args(["--tenant-id", &id, "--client-id", CLIENT, "--api-url", &url, "--login-url", &url])
            .secret("made-up")
            .run()
            .expect(1);
        prints(&ended, &["FAIL  login", "FAIL  api", "no connection", "skip  token"]);
    }

    #[test]
    fn one_tenant_without_its_secret_does_not_keep_the_others_from_being_checked() {
        let tenant = service().serve();
        let (host, url) = (Host::new(), tenant.base_url());
        host.write("good", "made-up");
        let config = host.write(
            "feed.toml",
            format!(
                "publisher_id = \"{id}\"\nclient_id = \"{CLIENT}\"\napi_url = \"{url}\"\nlogin_url = \"{url}\"\n\
                 [[tenant]]\nname = \"first\"\ntenant_id = \"99999999-0000-4000-8000-000000000009\"\nclient_secret_file = \"gone\"\n\
                 [[tenant]]\nname = \"second\"\ntenant_id = \"{id}\"\nclient_secret_file = \"good\"\n",
                id = tenant.id()
            ),
        );
        set_private(&host.path("good"));
        let ended = host.run("check").arg("--config").arg(&config).run().expect(78);
        prints(&ended, &["tenant first (99999999", "FAIL  secret", "there is no such file", "tenant second (", "ok    listing"]);
        let second = host.run("check").arg("--config").arg(&config).args(["--tenant", "second"]).run().expect(0);
        assert!(!second.stdout.contains("tenant first"), "{}", second.stdout);
    }

    fn set_private(path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

mod subscriptions {
    use super::*;

    #[test]
    fn they_are_listed_started_once_and_stopped_only_when_confirmed() {
        let tenant = service().unsubscribed().serve();
        let host = Host::new();
        let run = |args: &[&str]| ask(&host, "subscriptions", &tenant).args(args).run();
        prints(&run(&["list"]).expect(0), &["Audit.General  none    yes"]);
        prints(&run(&["start"]).expect(0).says(&["up to 12 hours"]), &["enabled  started"]);
        prints(&run(&["start"]).expect(0), &["already enabled"]);
        assert_eq!(tenant.ledger().count("start"), 1);
        let asked = tenant.ledger().requests;
        assert_eq!(run(&["stop"]).expect(2).says(&["lost for good", "--yes"]).stdout, "");
        assert_eq!(tenant.ledger().requests, asked, "nothing was sent");
        let stopped = json(&run(&["stop", "--yes", "--json"]).expect(0).stdout);
        assert_eq!(stopped["subscriptions"][0]["result"], "stopped");
        assert_eq!(json(&run(&["list", "--json"]).expect(0).stdout)["subscriptions"][0]["status"], "none");
    }

    /// The run that met its absence had to end, a person did what it said, and the next run passed over the time between without a word.
    #[test]
    fn the_time_without_one_is_a_gap_whichever_process_met_it() {
        let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
        let host = Host::new();
        host.poll_once(&tenant).run().expect(0);
        tenant.service().remove_subscriptions(now());
        let met = host.poll_once(&tenant).args(["--subscription", "require"]).run().expect(1);
        met.says(&["subscriptions start"]);
        prints(&state(&host, "gaps").run().expect(0), &["provisional", "subscription_off", "it has not ended yet"]);
        ask(&host, "subscriptions", &tenant).arg("start").run().expect(0);
        host.poll_once(&tenant).run().expect(3).says(&["subscription_off"]);
        let gaps = json(&state(&host, "gaps").arg("--json").run().expect(0).stdout);
        let gaps = gaps["gaps"].as_array().unwrap();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(
            (gaps[0]["reason"].as_str(), gaps[0]["state"].as_str()),
            (Some("subscription_off"), Some("final")),
            "{gaps:?}"
        );
        prints(&state(&host, "verify").run().expect(0), &[]);
    }

    #[test]
    fn a_service_that_wants_a_pause_is_heard() {
        let throttled = Fault::Throttle { status: 403, retry_after: Some(seconds(896)) };
        let tenant = service().unsubscribed().fault(Target::Start, throttled, When::Always).serve();
        let host = Host::new();
        let ended = ask(&host, "subscriptions", &tenant).arg("start").run().expect(1);
        ended.says(&["one request to start in 15 minutes: try again in 15 minutes"]);
        assert_eq!(tenant.ledger().count("start"), 1);
    }

    #[test]
    fn a_refusal_is_told_with_its_next_step() {
        let tenant = service().client(CLIENT, "another").serve();
        let host = Host::new();
        let ended = ask(&host, "subscriptions", &tenant).arg("list").run().expect(77);
        assert_eq!(ended.says(&["AADSTS7000215", "next: "]).stdout, "");
    }
}

mod state {
    use super::*;

    #[test]
    fn where_there_is_none_nothing_is_made() {
        let host = Host::new();
        for what in ["show", "verify", "gaps"] {
            state(&host, what).run().expect(1).says(&["there is no state directory"]);
        }
        assert!(!host.state().exists());
    }

    #[test]
    fn the_ledger_and_the_gaps_of_poller_and_backfill_are_shown() {
        let (lost, target) = named("lost");
        let blob = NewBlob::new(now() - seconds(7_200), records([mail("b")])).id(&lost).expires(Time(now().0 + 600_000));
        let tenant = service()
            .blob(hours_ago(3), records([mail("a"), noise("x")]))
            .put(blob)
            .fault(target, Fault::Expired, When::Always)
            .serve();
        let host = Host::new();
        host.poll_once(&tenant).run().expect(3);
        host.backfill(&tenant).run().expect(3);

        let shown = state(&host, "show").run().expect(0);
        prints(
            &shown,
            &[
                "poller in ",
                "backfill ",
                "2 listed = 1 done + 1 in gaps (1 expired)",
                "2 read = 1 delivered + 1 filtered + 0 duplicate + 0 dead-lettered",
                "0 provisional, 1 final, 0 closed",
            ],
        );
        let shown = json(&state(&host, "show").arg("--json").run().expect(0).stdout);
        assert_eq!(shown["state"]["feeds"][0]["ledger"]["blobs_in_gaps"]["expired"], 1);
        assert_eq!(shown["jobs"][0]["finished"], true);
        assert_eq!(shown["jobs"][0]["state"]["feeds"][0]["ledger"]["records"]["delivered"], 1);

        prints(&state(&host, "gaps").run().expect(0), &["expired", &lost, "final: lost"]);
        let gaps = json(&state(&host, "gaps").arg("--json").run().expect(0).stdout);
        let gaps = gaps["gaps"].as_array().unwrap();
        assert_eq!(
            (gaps.len(), &gaps[0]["content_id"], &gaps[0]["state"]),
            (2, &json(&format!("\"{lost}\"")), &json("\"final\""))
        );
        prints(&state(&host, "verify").run().expect(0), &["poller in ", "ok, 1 feed recounted"]);
        assert_eq!(json(&state(&host, "verify").arg("--json").run().expect(0).stdout)["ok"], true);
    }

    #[test]
    fn a_state_in_use_is_left_alone() {
        let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
        let host = Host::new();
        let mut poller = host.poll(&tenant).start();
        poller.until_lines(1);
        let holder = format!("in use by process {}", poller.pid());
        for what in ["show", "verify", "gaps"] {
            assert_eq!(state(&host, what).run().expect(75).says(&[&holder]).stdout, "");
        }
        prints(&ask(&host, "check", &tenant).run().expect(0), &[&holder]);
        poller.stop().expect(0);
        prints(&state(&host, "gaps").run().expect(0), &["no gaps"]);
    }

    #[test]
    fn damage_and_loss_are_found() {
        let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
        let host = Host::new();
        host.poll_once(&tenant).run().expect(0);
        let db = host.state().join("sled.v1/db");
        let whole = std::fs::read(&db).unwrap();
        let broken: Vec<u8> = whole.iter().map(|byte| byte ^ 0x5a).collect();
        std::fs::write(&db, broken).unwrap();
        prints(&state(&host, "verify").run().expect(3), &["something is wrong", "next: nothing by hand"]);
        prints(&state(&host, "show").run(), &["poller in "]);
        std::fs::write(&db, whole).unwrap();
        prints(&state(&host, "verify").run().expect(0), &["ok, 1 feed recounted"]);
        std::fs::remove_dir_all(host.state().join("sled.v1")).unwrap();
        prints(&state(&host, "verify").run().expect(3), &["witness", "the state is gone"]);
        host.poll_once(&tenant).run().expect(0);
        state(&host, "verify").run().expect(0);
    }
}

/// It starts itself once more in its own place, with settings by which glibc gives memory back; never against somebody's own.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_collecting_command_has_glibc_give_memory_back() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let environment = |started: &Started| {
        let bytes = std::fs::read(format!("/proc/{}/environ", started.pid())).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.split('\0').filter(|it| it.starts_with("MALLOC_") || it.starts_with("GLIBC_")).map(str::to_owned).collect::<Vec<_>>()
    };
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    let set = environment(&poller);
    let names: Vec<_> = set.iter().filter_map(|it| it.split('=').next()).collect();
    assert_eq!(names, ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"]);
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());

    let host = Host::new();
    let mut poller = host.poll(&tenant).env("GLIBC_TUNABLES", "glibc.malloc.arena_max=3").start();
    poller.until_lines(1);
    assert_eq!(environment(&poller), ["GLIBC_TUNABLES=glibc.malloc.arena_max=3"]);
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
}
