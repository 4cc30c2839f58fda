//! Help, version, completions and the manual: to standard output, and quiet if their reader goes.

use crate::vocabulary::*;

const COMMANDS: [&str; 11] =
    ["poll", "backfill", "decode", "demo", "simulate", "check", "subscriptions", "state", "schema", "completions", "man"];

#[test]
fn help_names_every_command_and_its_exit_codes() {
    let host = Host::new();
    let help = host.run("--help").run().expect(0);
    assert_eq!(help.stderr, "");
    COMMANDS.iter().for_each(|command| assert!(help.stdout.contains(command), "{command}"));
    for_each(&COMMANDS, |command| {
        let help = host.run(command).arg("--help").run().expect(0);
        assert!(help.stdout.contains("Exit codes:"), "{command}: {}", help.stdout);
        assert_eq!(help.stderr, "", "{command}");
    });
    let poll = host.run("poll").arg("--help").run().expect(0).stdout;
    for setting in ["--state-dir", "--record-types", "--subscription", "DEFENDER_FEED_POLL_INTERVAL", "--not-before", "--once"] {
        assert!(poll.contains(setting), "{setting}");
    }
    assert!(!poll.contains("--client-secret "), "a secret is never an argument");
}

#[test]
fn version_is_the_package_s() {
    let run = Host::new().run("--version").run().expect(0);
    assert_eq!(run.stdout.trim(), concat!("defender-feed ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_manual_come_from_the_same_table() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = host.run("completions").arg(shell).run().expect(0);
        assert!(run.stdout.contains("backfill") && run.stdout.contains("state-dir"), "{shell}");
    }
    let man = host.run("man").run().expect(0).stdout;
    assert!(man.contains(".TH") && man.contains("backfill"), "{man}");
    host.run("completions").arg("csh").run().expect(2);
}

#[test]
fn the_schema_of_events_is_printed() {
    let schema = Host::new().run("schema").arg("event").run().expect(0).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["$defs"]["Mail"]["properties"]["NetworkMessageId"].is_object());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let host = Host::new();
    for args in [&["--help"][..], &["man"], &["completions", "bash"]] {
        let run = host.run(args[0]).args(&args[1..]).output(Output::Gone).run().expect(0);
        assert_eq!(run.stderr, "", "{args:?}");
    }
}

#[test]
fn quiet_says_nothing_while_all_is_well() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let run = Host::new().backfill(&tenant).arg("-q").run().expect(0);
    assert_eq!(run.stderr, "");
    assert_eq!(ids_of(&run.lines()), ["a"]);
}

#[test]
fn the_log_can_be_json_and_holds_no_secret() {
    let tenant = service().client(CLIENT, "canary-of-a-secret").content(4, hours_ago(6)).until(hours_ago(2)).serve();
    let run = Host::new()
        .backfill(&tenant)
        .secret("canary-of-a-secret")
        .args(["--log-format", "json", "--log-level", "trace"])
        .run()
        .expect(0)
        .does_not_say(&["canary-of-a-secret", "Bearer ", "eyJ"]);
    assert!(run.stderr.lines().count() > 3);
    for line in run.stderr.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(value.get("level").is_some(), "{line}");
    }
}

#[test]
fn nothing_secret_is_in_the_state() {
    let tenant = service().client(CLIENT, "canary-of-a-secret").blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    host.poll_once(&tenant).secret("canary-of-a-secret").run().expect(0);
    let mut directories = vec![host.state()];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            for secret in [&b"canary-of-a-secret"[..], b"Bearer", b"eyJ"] {
                assert!(!bytes.windows(secret.len()).any(|w| w == secret), "a secret in {}", path.display());
            }
        }
    }
    assert!(files >= 3, "{files}");
}
