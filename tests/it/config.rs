//! Wrong arguments and wrong settings: everything at once, with its place, before anything is started.

use std::path::Path;

use crate::vocabulary::*;

#[test]
fn every_problem_of_a_file_is_told_at_once_with_its_line() {
    let host = Host::new();
    let file = host.write(
        "feed.toml",
        "staet_dir = \"x\"\nlog_level = 7\n\n[[tenant]]\nname = \"one\"\ntenant_id = \"contoso.com\"\nclient_id = \"application\"\n\
         concurrency = 1.5\npoll-interval = \"60s\"\n\n[[tenant]]\nname = \"one\"\nclient_secret = \"do-not-print-me\"\n",
    );
    let place = |line: u32| format!("{}:{line}:", file.display());
    let run = host.run("poll").args([Path::new("--config"), &file]).run().expect(78);
    let run =
        run.says(&["nothing was started", "did you mean state_dir?", "did you mean poll_interval?", "a secret does not belong"]);
    let run = run.does_not_say(&["do-not-print-me"]);
    for line in [1, 2, 6, 8, 9, 13] {
        assert!(run.stderr.contains(&place(line)), "nothing about line {line}:\n{}", run.stderr);
    }
    assert_eq!(run.stdout, "");
    assert!(!host.state().exists());
}

#[test]
fn several_files_make_one_configuration_and_each_problem_names_its_file() {
    let host = Host::new();
    host.write("conf/10-defaults.toml", "poll_intervall = \"1m\"\n");
    host.write("conf/20-tenant.toml", "[[tenant]]\nname = \"a\"\ntenant_id = 7\n");
    let run = host.run("poll").args([Path::new("--config"), &host.path("conf")]).run().expect(78);
    run.says(&["10-defaults.toml:1:", "20-tenant.toml:3:"]);
}

#[test]
fn a_file_that_is_not_there_or_no_toml_is_a_wrong_setting() {
    let host = Host::new();
    host.run("poll").args(["--config", "nowhere.toml"]).run().expect(78).says(&["nowhere.toml"]);
    let file = host.write("broken.toml", "a = [1,\nb = \n");
    host.run("poll").args([Path::new("--config"), &file]).run().expect(78).says(&["broken.toml:2"]);
}

#[test]
fn what_is_missing_is_told_all_at_once() {
    let run = Host::new().run("poll").run().expect(78);
    run.says(&["tenant", "client", "AZURE_CLIENT_SECRET"]);
}

#[test]
fn a_wrong_variable_is_named() {
    let tenant = service().serve();
    let run = Host::new().poll(&tenant).env("DEFENDER_FEED_POLL_INTERVAL", "soon").run().expect(78);
    run.says(&["DEFENDER_FEED_POLL_INTERVAL", "soon"]);
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for_each(&[&["poll", "--frmat", "raw"][..], &["explode"], &[], &["backfill"], &["poll", "--format", "xml"]], |args| {
        let host = Host::new();
        let (command, rest) = args.split_first().unwrap_or((&"--quiet", &[]));
        let run = host.run(command).args(rest).run().expect(2);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(!run.stderr.is_empty(), "{args:?}");
    });
    Host::new().run("poll").arg("--frmat").run().expect(2).says(&["--format"]);
    Host::new().run("backfill").args(["--since", "yesterday"]).run().expect(2).says(&["yesterday"]);
}

#[test]
fn flag_variable_and_file_come_in_this_order() {
    let tenant = service().blob(hours_ago(2), records([mail("mail"), air("air"), click("click")])).serve();
    let (id, url) = (tenant.id(), tenant.base_url());
    let host = Host::new();
    host.write_secret("secret", "made-up");
    let file = host.write(
        "feed.toml",
        format!(
            "record_types = [28]\n[[tenant]]\ntenant_id = \"{id}\"\nclient_id = \"{CLIENT}\"\napi_url = \"{url}\"\n\
             login_url = \"{url}\"\nclient_secret_file = \"secret\"\n"
        ),
    );
    let run = |change: fn(Program) -> Program| {
        let program = host.run("backfill").args(["--since", "24h", "--until", "61m"]).args([Path::new("--config"), &file]);
        let state = tempfile::tempdir_in(host.path(".")).unwrap();
        ids_of(&change(program).args([Path::new("--state-dir"), state.path()]).run().expect(0).lines())
    };
    assert_eq!(run(|program| program), ["mail"]);
    assert_eq!(run(|program| program.env("DEFENDER_FEED_RECORD_TYPES", "64")), ["air"]);
    let by_flag =
        run(|program| program.env("DEFENDER_FEED_RECORD_TYPES", "64").args(["--record-types", "ThreatIntelligenceUrl"]));
    assert_eq!(by_flag, ["click"]);
    assert_eq!(run(|program| program.args(["--record-types", "all"])).len(), 3);
}

#[test]
fn the_variables_of_azure_name_a_single_tenant() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let (url, host) = (tenant.base_url(), Host::new());
    let program = host.run("backfill").args(["--since", "24h", "--until", "61m", "--api-url", &url, "--login-url", &url]);
    let program = program.env("AZURE_TENANT_ID", &tenant.id()).env("AZURE_CLIENT_ID", CLIENT).secret("made-up");
    // Without anything else the state is where the command was started.
    assert_eq!(ids_of(&program.run().expect(0).lines()), ["a"]);
    assert!(host.state().join("jobs").exists());
}

#[test]
fn under_systemd_the_state_is_in_its_directory() {
    let tenant = service().serve();
    let (url, host) = (tenant.base_url(), Host::new());
    let program = host.run("poll").args(["--once", "--tenant-id", &tenant.id(), "--client-id", CLIENT]).secret("made-up");
    let program = program.args(["--api-url", &url, "--login-url", &url]);
    let directory = host.path("var-lib");
    program.env("STATE_DIRECTORY", directory.to_str().unwrap()).run().expect(0).says(&[directory.to_str().unwrap()]);
    assert!(directory.join("sled.v1").exists());
}
