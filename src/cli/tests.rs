//! The command line as a whole.

use std::collections::BTreeSet;

use clap::Parser;

use super::*;
use crate::config::{About, Kind, When, settings};

/// Flags that are no settings: they belong to one command and have no variable and no key.
const ARGUMENTS: &[&str] = &[
    "all",
    "endless",
    "help",
    "version",
    "once",
    "since",
    "until",
    "resume",
    "events",
    "seed",
    "yes",
    "json",
    "skip-ids",
    "dry-run",
    "drop-duplicates",
];

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

/// Every command with those inside it. The simulated tenant is no setting of ours, so its flags are not looked at.
fn walk(command: &clap::Command, see: &mut impl FnMut(&clap::Command)) {
    see(command);
    command.get_subcommands().filter(|inner| inner.get_name() != "simulate").for_each(|inner| walk(inner, see));
}

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
}

/// `--x-y` = `DEFENDER_FEED_X_Y` = `x_y`, for every flag and every setting.
#[test]
fn one_naming_rule_holds_everywhere() {
    let mut flags = BTreeSet::new();
    walk(&command(), &mut |command| {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| !ARGUMENTS.contains(long)) else { continue };
            let setting = crate::config::setting(&long.replace('-', "_"));
            let about = setting.unwrap_or_else(|| panic!("--{long} of {} is no setting", command.get_name())).about();
            let help = arg.get_long_help().unwrap().to_string();
            let variable = format!("DEFENDER_FEED_{}", long.replace('-', "_").to_uppercase());
            assert!(help.contains(&format!("[env: {variable}]")), "{help}");
            assert_eq!((about.flag(), about.variable()), (long.to_owned(), variable));
            flags.insert(about.name);
        }
    });
    let keys: BTreeSet<&str> = settings().iter().map(|setting| setting.about().name).collect();
    assert_eq!(flags, keys, "every setting is a flag of some command");
}

/// Every row of the table of flags in the design, as flags of `poll`.
#[test]
fn a_poller_takes_every_setting() {
    for setting in settings() {
        let about = setting.about();
        let text = sample(about);
        let line = match about.kind {
            Kind::Switch => format!("defender-feed poll --{}", about.flag()),
            _ => format!("defender-feed poll --{} {text}", about.flag()),
        };
        let cli = parsed(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let given: Vec<_> = cli.global.given().into_iter().chain(cli.command.given()).collect();
        assert_eq!(given, [(about.name, vec![text])], "{line}");
    }
}

fn sample(about: &About) -> String {
    let text = match (about.name, about.kind) {
        ("tenant_id" | "publisher_id", _) => "aaaaaaaa-0000-4000-8000-000000000001",
        ("content_type", _) => "DLP.All",
        ("log_level", _) => "info,sled=debug",
        ("api_url" | "login_url", _) => "http://127.0.0.1:8080",
        (_, Kind::Duration) => "2h",
        (_, Kind::Moment) => "2026-03-01T00:00:00Z",
        ("max_line_bytes", _) => "4096",
        ("rotate_bytes", _) => "67108864",
        (_, Kind::Number) => "7",
        (_, Kind::Types) => "28,AirInvestigation",
        _ => about.choices.first().unwrap_or(&"something"),
    };
    text.to_owned()
}

#[test]
fn switches_can_be_turned_off_again() {
    let given = |line: &str| parsed(line).unwrap().command.given();
    assert_eq!(given("defender-feed decode --envelope"), [("envelope", vec!["true".to_owned()])]);
    assert_eq!(given("defender-feed decode --envelope=false file"), [("envelope", vec!["false".to_owned()])]);
    let cli = parsed("defender-feed decode -q file").unwrap();
    assert_eq!(cli.global.given(), [("quiet", vec!["true".to_owned()])]);
    assert!(matches!(cli.command, Command::Decode(args) if args.files.len() == 1));
}

#[test]
fn lists_are_repeated_or_have_commas() {
    let cli = parsed("defender-feed poll --content-type Audit.General,DLP.All --content-type Audit.Exchange").unwrap();
    let texts = ["Audit.General", "DLP.All", "Audit.Exchange"].map(str::to_owned).to_vec();
    assert_eq!(cli.command.given(), [("content_type", texts)]);
}

#[test]
fn global_flags_stand_anywhere() {
    for line in ["defender-feed --log-level debug state show", "defender-feed state show --log-level debug"] {
        assert_eq!(parsed(line).unwrap().global.given(), [("log_level", vec!["debug".to_owned()])], "{line}");
    }
    for line in ["defender-feed state --json --state-dir x gaps", "defender-feed state gaps --state-dir x --json"] {
        let cli = parsed(line).unwrap();
        assert_eq!(cli.command.given(), [("state_dir", vec!["x".to_owned()])], "{line}");
        assert!(
            matches!(cli.command, Command::State(args) if args.json && args.command == state::StateCommand::Gaps { all: false }),
            "{line}"
        );
    }
}

#[test]
fn arguments_mean_what_they_say() {
    let Command::Backfill(args) = parsed("defender-feed backfill --since 7d --until 2026-03-01 --resume").unwrap().command else {
        panic!("another command")
    };
    assert_eq!((args.since, args.resume), (When::Retention, true));
    assert_eq!(args.until.unwrap().to_string(), "2026-03-01T00:00:00Z");
    let Command::Demo(args) = parsed("defender-feed demo --events 20").unwrap().command else { panic!("another command") };
    assert_eq!(args.events, 20);
    let Command::Subscriptions(args) = parsed("defender-feed subscriptions stop --yes").unwrap().command else {
        panic!("another command")
    };
    assert_eq!(args.command, subscriptions::SubscriptionsCommand::Stop { yes: true });
    assert!(parsed("defender-feed poll").unwrap().command.is_service());
    assert!(!parsed("defender-feed poll --once").unwrap().command.is_service());
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for line in [
        "defender-feed",
        "defender-feed backfill",
        "defender-feed backfill --since yesterday",
        "defender-feed poll --poll-interval 60",
        "defender-feed poll --cloud china",
        "defender-feed poll --api-url http://manage.office.com",
        "defender-feed poll --record-types nonsense",
        "defender-feed poll --client-secret canary",
        "defender-feed demo --events 0",
        "defender-feed decode --state-dir x",
        "defender-feed state",
        "defender-feed completions tcsh",
        "defender-feed schema raw",
    ] {
        let error = parsed(line).err().unwrap_or_else(|| panic!("{line}"));
        assert!(error.use_stderr(), "{line}");
    }
    for line in ["defender-feed --help", "defender-feed poll -h", "defender-feed --version"] {
        assert!(!parsed(line).unwrap_err().use_stderr(), "{line}");
    }
}

#[test]
fn every_help_ends_with_its_exit_codes_and_begins_as_an_order() {
    for (name, exits) in man::COMMANDS {
        let root = command();
        let inner = root.find_subcommand(name).unwrap();
        assert_eq!(inner.get_after_long_help().unwrap().to_string(), exit::table(exits), "{name}");
        assert!(inner.get_long_about().is_some() || matches!(name, "schema" | "completions" | "man"), "{name}");
        assert!(exits.contains(&Exit::Done) && exits.contains(&Exit::Usage), "{name}");
        assert_eq!(exits.contains(&Exit::Config), !matches!(name, "schema" | "completions" | "man"), "{name}");
    }
    walk(&command(), &mut |command| {
        let helps = command.get_arguments().filter_map(clap::Arg::get_help).chain(command.get_about());
        for help in helps.map(ToString::to_string) {
            assert!(help.starts_with(char::is_uppercase) && !help.ends_with('.'), "{help}");
        }
    });
}
