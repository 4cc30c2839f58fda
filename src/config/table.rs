//! The table of settings. One entry is a setting's flag, its environment variable, its key in the file, its help and its reading.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::cloud::{Cloud, parse_endpoint};
use super::defaults as d;
use super::keys::{About, Group, Key, Kind, Scope, Setting};
use super::log::{LogFormat, LogLevel};
use super::readers::{self, duration, number, one, parsed, path, switch};
use super::settings::SubscriptionMode;
use super::when::parse_not_before;
use crate::domain::{ContentType, OutputFormat, RecordTypes, TenantId, Time};

/// All settings, in the order of the help.
pub fn settings() -> &'static [&'static dyn Setting] {
    #[rustfmt::skip]
    static ALL: [&dyn Setting; 31] = [
        &TENANT, &TENANT_ID, &CLIENT_ID, &CLIENT_SECRET_FILE, &PUBLISHER_ID, &CLOUD, &API_URL, &LOGIN_URL,
        &CONTENT_TYPE, &NOT_BEFORE, &POLL_INTERVAL, &LOOK_BACK, &REQUESTS_PER_MINUTE, &CONCURRENCY, &SUBSCRIPTION,
        &RECORD_TYPES, &FORMAT, &ORIGINAL, &SYSLOG_HEADER, &ENVELOPE, &KEEP_DUPLICATES, &MAX_LINE_BYTES,
        &OUTPUT, &ROTATE_BYTES, &ROTATE_EVERY, &DRAIN,
        &STATE_DIR,
        &CONFIG, &LOG_FORMAT, &LOG_LEVEL, &QUIET,
    ];
    &ALL
}

/// The setting with this name.
pub fn setting(name: &str) -> Option<&'static dyn Setting> {
    settings().iter().copied().find(|setting| setting.about().name == name)
}

/// What most entries have in common.
const PLAIN: About = About {
    name: "",
    scope: Scope::Tenant,
    group: Group::Tenant,
    kind: Kind::Text,
    value_name: "TEXT",
    help: "",
    default: "",
    choices: &[],
};

pub(super) static TENANT: Key<Vec<String>> = Key {
    about: About {
        name: "tenant",
        scope: Scope::Start,
        group: Group::Select,
        kind: Kind::List,
        value_name: "NAME",
        help: "Take only the configured tenant with this name or id (can be repeated)",
        default: "all of them",
        ..PLAIN
    },
    read: readers::names,
};

pub(super) static TENANT_ID: Key<TenantId> = Key {
    about: About {
        name: "tenant_id",
        value_name: "GUID",
        help: "Collect from the tenant with this directory id (also AZURE_TENANT_ID)",
        ..PLAIN
    },
    read: parsed,
};

pub(super) static CLIENT_ID: Key<String> = Key {
    about: About {
        name: "client_id",
        value_name: "GUID",
        help: "Sign in as the application with this client id (also AZURE_CLIENT_ID)",
        ..PLAIN
    },
    read: readers::client_id,
};

pub(super) static CLIENT_SECRET_FILE: Key<PathBuf> = Key {
    about: About {
        name: "client_secret_file",
        kind: Kind::Path,
        value_name: "FILE",
        help: "Read the client secret from this file, again at each token request (otherwise AZURE_CLIENT_SECRET from the environment)",
        ..PLAIN
    },
    read: path,
};

pub(super) static PUBLISHER_ID: Key<TenantId> = Key {
    about: About {
        name: "publisher_id",
        scope: Scope::Process,
        value_name: "GUID",
        help: "Name the organisation that runs the collector by its tenant id",
        default: "the tenant id if there is one tenant",
        ..PLAIN
    },
    read: parsed,
};

pub(super) static CLOUD: Key<Cloud> = Key {
    about: About {
        name: "cloud",
        value_name: "CLOUD",
        help: "Use the addresses of this Microsoft cloud",
        default: "enterprise",
        choices: &["enterprise", "gcc", "gcc-high", "dod"],
        ..PLAIN
    },
    read: parsed,
};

pub(super) static API_URL: Key<Url> = Key {
    about: About {
        name: "api_url",
        value_name: "URL",
        help: "Send API requests to this origin; plain http only to this machine",
        default: "from the cloud",
        ..PLAIN
    },
    read: |texts| parse_endpoint(one(texts)?).map_err(|e| e.to_string()),
};

pub(super) static LOGIN_URL: Key<Url> = Key {
    about: About {
        name: "login_url",
        value_name: "URL",
        help: "Ask this origin for tokens; plain http only to this machine",
        default: "from the cloud",
        ..PLAIN
    },
    read: |texts| parse_endpoint(one(texts)?).map_err(|e| e.to_string()),
};

pub(super) static CONTENT_TYPE: Key<Vec<ContentType>> = Key {
    about: About {
        name: "content_type",
        group: Group::Feed,
        kind: Kind::List,
        value_name: "TYPE",
        help: "Collect this content type (can be repeated)",
        default: "Audit.General",
        ..PLAIN
    },
    read: readers::content_types,
};

pub(super) static NOT_BEFORE: Key<Time> = Key {
    about: About {
        name: "not_before",
        group: Group::Feed,
        kind: Kind::Moment,
        value_name: "TIME",
        help: "Ask for nothing that became available before this date or RFC 3339 time",
        default: "the start of retention",
        ..PLAIN
    },
    read: |texts| parse_not_before(one(texts)?).map_err(|e| e.to_string()),
};

pub(super) static POLL_INTERVAL: Key<Duration> = Key {
    about: About {
        name: "poll_interval",
        group: Group::Feed,
        kind: Kind::Duration,
        value_name: "DURATION",
        help: "List each feed this often, with jitter",
        default: "60s",
        ..PLAIN
    },
    read: |texts| duration(texts, d::POLL_INTERVAL_MIN, d::POLL_INTERVAL_MAX),
};

pub(super) static LOOK_BACK: Key<Duration> = Key {
    about: About {
        name: "look_back",
        group: Group::Feed,
        kind: Kind::Duration,
        value_name: "DURATION",
        help: "Look for late-listed content this far back, at least once an hour",
        default: "24h",
        ..PLAIN
    },
    read: |texts| duration(texts, d::LOOK_BACK_MIN, d::LOOK_BACK_MAX),
};

pub(super) static REQUESTS_PER_MINUTE: Key<u32> = Key {
    about: About {
        name: "requests_per_minute",
        group: Group::Feed,
        kind: Kind::Number,
        value_name: "N",
        help: "Start with this request rate for each tenant and never exceed it",
        default: "2000",
        ..PLAIN
    },
    read: |texts| number(texts, 1, d::REQUESTS_PER_MINUTE_MAX),
};

pub(super) static CONCURRENCY: Key<u32> = Key {
    about: About {
        name: "concurrency",
        group: Group::Feed,
        kind: Kind::Number,
        value_name: "N",
        help: "Fetch at most this many blobs at once for each feed",
        default: "found by measuring",
        ..PLAIN
    },
    read: |texts| number(texts, 1, d::CONCURRENCY_MAX),
};

pub(super) static SUBSCRIPTION: Key<SubscriptionMode> = Key {
    about: About {
        name: "subscription",
        group: Group::Feed,
        value_name: "MODE",
        help: "Start a missing subscription, or require that somebody else has",
        default: "auto",
        choices: &["auto", "require"],
        ..PLAIN
    },
    read: parsed,
};

pub(super) static RECORD_TYPES: Key<RecordTypes> = Key {
    about: About {
        name: "record_types",
        group: Group::Output,
        kind: Kind::Types,
        value_name: "TYPES",
        help: "Keep records of these types: numbers or names with commas between, or all (for a poller a change starts a new cursor: older blobs need a backfill)",
        default: "28,41,47,64",
        ..PLAIN
    },
    read: readers::record_types,
};

pub(super) static FORMAT: Key<OutputFormat> = Key {
    about: About {
        name: "format",
        scope: Scope::Process,
        group: Group::Output,
        value_name: "FORMAT",
        help: "Write records byte for byte, as cleaned and typed events, or in the language of this schema or SIEM",
        default: "raw",
        choices: &["raw", "event", "ecs", "ocsf", "cef", "hec", "xdr"],
        ..PLAIN
    },
    read: parsed,
};

pub(super) static ORIGINAL: Key<bool> = Key {
    about: About {
        name: "original",
        scope: Scope::Process,
        group: Group::Output,
        kind: Kind::Switch,
        value_name: "BOOL",
        help: "Put the record's own text into the event too, where the format has a field for it: event.original in ecs, raw_data in ocsf, rawEvent in cef",
        default: "false",
        choices: &["true", "false"],
    },
    read: switch,
};

pub(super) static SYSLOG_HEADER: Key<bool> = Key {
    about: About {
        name: "syslog_header",
        scope: Scope::Process,
        group: Group::Output,
        kind: Kind::Switch,
        value_name: "BOOL",
        help: "Begin each line of cef with an RFC 5424 header",
        default: "false",
        choices: &["true", "false"],
    },
    read: switch,
};

pub(super) static ENVELOPE: Key<bool> = Key {
    about: About {
        name: "envelope",
        scope: Scope::Process,
        group: Group::Output,
        kind: Kind::Switch,
        value_name: "BOOL",
        help: "Wrap each record in an object that says where it came from",
        default: "false",
        choices: &["true", "false"],
    },
    read: switch,
};

pub(super) static MAX_LINE_BYTES: Key<u32> = Key {
    about: About {
        name: "max_line_bytes",
        scope: Scope::Process,
        group: Group::Output,
        kind: Kind::Number,
        value_name: "N",
        help: "Cut lines that would have more than so many bytes, by whole values that feed_dropped names, and keep their records whole among the dead letters",
        default: "no limit",
        ..PLAIN
    },
    read: |texts| number(texts, d::LINE_BYTES_MIN, d::LINE_BYTES_MAX),
};

pub(super) static OUTPUT: Key<PathBuf> = Key {
    about: About {
        name: "output",
        scope: Scope::Process,
        group: Group::File,
        kind: Kind::Path,
        value_name: "FILE",
        help: "Append the events to this file; one that was moved away or deleted is begun anew",
        default: "standard output",
        ..PLAIN
    },
    read: path,
};

pub(super) static ROTATE_BYTES: Key<u32> = Key {
    about: About {
        name: "rotate_bytes",
        scope: Scope::Process,
        group: Group::File,
        kind: Kind::Number,
        value_name: "N",
        help: "Begin the next file before the output file grows longer than this; the full one gets the time behind its name",
        default: "no limit",
        ..PLAIN
    },
    read: |texts| number(texts, d::ROTATE_BYTES_MIN, u32::MAX),
};

pub(super) static ROTATE_EVERY: Key<Duration> = Key {
    about: About {
        name: "rotate_every",
        scope: Scope::Process,
        group: Group::File,
        kind: Kind::Duration,
        value_name: "DURATION",
        help: "Begin the next file at each multiple of this span since 1970 in UTC, with the first events after it (24h: at midnight)",
        default: "never",
        ..PLAIN
    },
    read: |texts| duration(texts, d::ROTATE_EVERY_MIN, d::ROTATE_EVERY_MAX),
};

pub(super) static DRAIN: Key<bool> = Key {
    about: About {
        name: "drain",
        scope: Scope::Process,
        group: Group::Delivery,
        kind: Kind::Switch,
        value_name: "BOOL",
        help: "Count what goes to a pipe as delivered when it has been read, not when the pipe has taken it (a regular file counts when synced, with or without)",
        default: "false",
        choices: &["true", "false"],
    },
    read: switch,
};

pub(super) static KEEP_DUPLICATES: Key<bool> = Key {
    about: About {
        name: "keep_duplicates",
        scope: Scope::Process,
        group: Group::Delivery,
        kind: Kind::Switch,
        value_name: "BOOL",
        help: "Deliver a record again that arrives again with the same Id and content, instead of counting it as a duplicate",
        default: "false",
        choices: &["true", "false"],
    },
    read: switch,
};

pub(super) static STATE_DIR: Key<PathBuf> = Key {
    about: About {
        name: "state_dir",
        scope: Scope::Process,
        group: Group::State,
        kind: Kind::Path,
        value_name: "DIR",
        help: "Keep the state in this directory",
        default: "$STATE_DIRECTORY under systemd, else ./state",
        ..PLAIN
    },
    read: path,
};

pub(super) static CONFIG: Key<PathBuf> = Key {
    about: About {
        name: "config",
        scope: Scope::Start,
        group: Group::Global,
        kind: Kind::Path,
        value_name: "PATH",
        help: "Read settings from this TOML file, or from all *.toml files of this directory",
        ..PLAIN
    },
    read: path,
};

pub(super) static LOG_FORMAT: Key<LogFormat> = Key {
    about: About {
        name: "log_format",
        scope: Scope::Process,
        group: Group::Global,
        value_name: "FORMAT",
        help: "Log in this form; auto is json for a long-lived poll whose stderr is no terminal, else text",
        default: "auto",
        choices: &["auto", "text", "json"],
        ..PLAIN
    },
    read: parsed,
};

pub(super) static LOG_LEVEL: Key<LogLevel> = Key {
    about: About {
        name: "log_level",
        scope: Scope::Process,
        group: Group::Global,
        value_name: "LEVEL",
        help: "Log from this level on: off, error, warn, info, debug, trace; or directives such as info,sled=debug",
        default: "info",
        ..PLAIN
    },
    read: parsed,
};

pub(super) static QUIET: Key<bool> = Key {
    about: About {
        name: "quiet",
        scope: Scope::Process,
        group: Group::Global,
        kind: Kind::Switch,
        value_name: "BOOL",
        help: "Log errors only",
        default: "false",
        choices: &["true", "false"],
    },
    read: switch,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_names_flag_variable_and_key() {
        let about = STATE_DIR.about();
        assert_eq!((about.flag().as_str(), about.variable().as_str()), ("state-dir", "DEFENDER_FEED_STATE_DIR"));
        for setting in settings() {
            let about = setting.about();
            assert!(about.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", about.name);
            assert!(!about.help.is_empty() && !about.help.ends_with('.'), "{}", about.name);
            let secret = about.name.contains("secret") || about.name.contains("password");
            assert!(!secret || about.kind == Kind::Path, "{} would be a secret in the arguments", about.name);
        }
        let mut names: Vec<_> = settings().iter().map(|s| s.about().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), settings().len());
    }

    #[test]
    fn what_the_help_calls_choices_can_be_chosen() {
        for setting in settings() {
            for choice in setting.about().choices {
                assert_eq!(setting.check(&[choice.to_string()]), Ok(()), "{} {choice}", setting.about().name);
            }
        }
    }

    #[test]
    fn the_default_in_the_help_is_the_default() {
        let text = |key: &About| vec![key.default.to_owned()];
        assert_eq!(POLL_INTERVAL.read(&text(&POLL_INTERVAL.about)), Ok(d::POLL_INTERVAL));
        assert_eq!(LOOK_BACK.read(&text(&LOOK_BACK.about)), Ok(d::LOOK_BACK));
        assert_eq!(REQUESTS_PER_MINUTE.read(&text(&REQUESTS_PER_MINUTE.about)), Ok(d::REQUESTS_PER_MINUTE));
        assert_eq!(CONTENT_TYPE.read(&text(&CONTENT_TYPE.about)), Ok(vec![ContentType::AuditGeneral]));
        assert_eq!(RECORD_TYPES.read(&text(&RECORD_TYPES.about)), Ok(RecordTypes::defender()));
        assert_eq!(CLOUD.read(&text(&CLOUD.about)), Ok(Cloud::default()));
        assert_eq!(SUBSCRIPTION.read(&text(&SUBSCRIPTION.about)), Ok(SubscriptionMode::default()));
        assert_eq!(FORMAT.read(&text(&FORMAT.about)), Ok(OutputFormat::default()));
        assert_eq!(ORIGINAL.read(&text(&ORIGINAL.about)), Ok(false));
        assert_eq!(SYSLOG_HEADER.read(&text(&SYSLOG_HEADER.about)), Ok(false));
        assert_eq!(ENVELOPE.read(&text(&ENVELOPE.about)), Ok(false));
        assert_eq!(DRAIN.read(&text(&DRAIN.about)), Ok(false));
        assert_eq!(LOG_FORMAT.read(&text(&LOG_FORMAT.about)), Ok(LogFormat::default()));
        assert_eq!(LOG_LEVEL.read(&text(&LOG_LEVEL.about)), Ok(LogLevel::default()));
        assert_eq!(QUIET.read(&text(&QUIET.about)), Ok(false));
    }

    #[test]
    fn bounds_hold_on_both_sides() {
        let ok = |setting: &dyn Setting, text: &str| setting.check(&[text.to_owned()]).is_ok();
        for (setting, good, bad) in [
            (&POLL_INTERVAL as &dyn Setting, ["1s", "24h"], ["0s", "86401s"]),
            (&LOOK_BACK, ["1h", "7d"], ["59m59s", "7d1s"]),
            (&REQUESTS_PER_MINUTE, ["1", "10000000"], ["0", "10000001"]),
            (&CONCURRENCY, ["1", "64"], ["0", "65"]),
            (&MAX_LINE_BYTES, ["1024", "67108864"], ["1023", "67108865"]),
        ] {
            assert!(good.iter().all(|text| ok(setting, text)), "{}", setting.about().name);
            assert!(!bad.iter().any(|text| ok(setting, text)), "{}", setting.about().name);
        }
        assert!(
            !ok(&REQUESTS_PER_MINUTE, "-1") && !ok(&REQUESTS_PER_MINUTE, "1.5") && !ok(&REQUESTS_PER_MINUTE, "99999999999999")
        );
    }
}
