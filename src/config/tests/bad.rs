//! What is wrong is found, all of it, and said with its place.

use super::*;

/// Each file of `fixtures/config/bad` and what is said about it.
#[rustfmt::skip]
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "bad-values.toml",
        &[
            "bad/bad-values.toml:1: format: a format can't be \"leef\": it is one of raw, event, ecs, ocsf, cef, hec, xdr",
            "bad/bad-values.toml:2: log_level: a log level can't be \"loud\": it is one of off, error, warn, info, debug, trace, or a list such as info,sled=debug",
            "bad/bad-values.toml:3: log_format: a log format can't be \"xml\": it is one of auto, text, json",
            "bad/bad-values.toml:4: publisher_id: a tenant id can't be \"contoso.com\": it is a GUID such as 11111111-0000-4000-8000-000000000001",
            "bad/bad-values.toml:5: tenant_id: a tenant id can't be \"contoso.onmicrosoft.com\": it is a GUID such as 11111111-0000-4000-8000-000000000001",
            "bad/bad-values.toml:6: client_id: it is the application's client id, a GUID",
            "bad/bad-values.toml:7: client_secret_file: it names no file or directory",
            "bad/bad-values.toml:8: cloud: a cloud can't be \"china\": it is one of enterprise, gcc, gcc-high, dod",
            "bad/bad-values.toml:9: api_url: an address of a service can't be \"http://manage.office.com\": plain http is for this machine only (127.0.0.0/8, [::1], localhost); use https",
            "bad/bad-values.toml:10: login_url: an address of a service can't be \"…@…\": it holds no user or password",
            "bad/bad-values.toml:11: content_type: a content type can't be \"Audit.Everything\": it is one of Audit.General, Audit.Exchange, Audit.SharePoint, Audit.AzureActiveDirectory, DLP.All",
            "bad/bad-values.toml:12: record_types: a record type can't be \"Mail\": it is a number or a name of Microsoft's AuditLogRecordType table",
            "bad/bad-values.toml:13: not_before: an absolute time can't be \"7d\": it is a date (2026-03-01) or RFC 3339 (2026-03-01T12:00:00Z); a duration would mean another moment at each start",
            "bad/bad-values.toml:14: poll_interval: it can't be 0s: it is 1s to 24h",
            "bad/bad-values.toml:15: look_back: it can't be 10d: it is 1h to 7d",
            "bad/bad-values.toml:16: requests_per_minute: it can't be \"0\": it is a whole number from 1 to 10000000",
            "bad/bad-values.toml:17: concurrency: it can't be \"-1\": it is a whole number from 1 to 64",
            "bad/bad-values.toml:18: subscription: a subscription mode can't be \"maybe\": it is one of auto, require",
        ],
    ),
    (
        "key-twice.toml",
        &[
            "bad/key-twice.toml:3: column 1: duplicate key",
        ],
    ),
    (
        "misplaced.toml",
        &[
            "bad/misplaced.toml:1: config: it can't stand in a file; give --config or DEFENDER_FEED_CONFIG",
            "bad/misplaced.toml:2: name: it belongs into a [[tenant]] table",
            "bad/misplaced.toml:3: labels: it belongs into a [[tenant]] table",
            "bad/misplaced.toml:4: tenant_id: it belongs into the [[tenant]] tables: each is a tenant of its own",
            "bad/misplaced.toml:8: tenant[0].state_dir: it holds for the whole process: it belongs to the top of the file, above the first [[tenant]]",
            "bad/misplaced.toml:9: tenant[0].log_level: it holds for the whole process: it belongs to the top of the file, above the first [[tenant]]",
            "bad/misplaced.toml:10: tenant[0].tenant: unknown key; did you mean tenant_id?",
            "bad/misplaced.toml:11: tenant[0].config: unknown key",
        ],
    ),
    (
        "missing.toml",
        &[
            "bad/missing.toml:1: tenant[0]: client_id is missing: set it in this table",
            "bad/missing.toml:1: tenant[0]: client_secret_file is missing: set it in this table or at the top of the file",
            "bad/missing.toml:5: tenant[1]: tenant_id is missing: set it in this table",
            "publisher_id: it is missing: with several tenants, name the organisation that runs the collector by its tenant id (the top of the file, --publisher-id or DEFENDER_FEED_PUBLISHER_ID)",
        ],
    ),
    (
        "no-tables.toml",
        &[
            "bad/no-tables.toml:1: tenant[0]: tenants are written as [[tenant]] tables, with two brackets",
        ],
    ),
    (
        "one-bracket.toml",
        &[
            "bad/one-bracket.toml:1: tenant: tenants are written as [[tenant]] tables, with two brackets",
        ],
    ),
    (
        "secrets.toml",
        &[
            "bad/secrets.toml:4: client_secret: a secret does not belong into this file: put it into a file of its own and name that in client_secret_file, or into the environment variable AZURE_CLIENT_SECRET",
            "bad/secrets.toml:5: azure_client_secret: a secret does not belong into this file: put it into a file of its own and name that in client_secret_file, or into the environment variable AZURE_CLIENT_SECRET",
            "bad/secrets.toml:6: password: a secret does not belong into this file: put it into a file of its own and name that in client_secret_file, or into the environment variable AZURE_CLIENT_SECRET",
        ],
    ),
    (
        "syntax.toml",
        &[
            "bad/syntax.toml:2: column 13: string values must be quoted, expected literal string",
        ],
    ),
    (
        "twice",
        &[
            "bad/twice/b.toml:1: client_id: given twice, first in bad/twice/a.toml:2: client_id",
            "bad/twice/b.toml:2: format: given twice, first in bad/twice/a.toml:1: format",
            "settings: tenant_id is missing: give --tenant-id, DEFENDER_FEED_TENANT_ID or AZURE_TENANT_ID, or tenant_id in a file",
            "settings: the client secret is missing: set AZURE_CLIENT_SECRET, or name a file with --client-secret-file, DEFENDER_FEED_CLIENT_SECRET_FILE or client_secret_file",
        ],
    ),
    (
        "twins.toml",
        &[
            "bad/twins.toml:10: tenant[1].name: the name \"contoso\" is taken, by bad/twins.toml:6: tenant[0].name",
            "bad/twins.toml:14: tenant[2].tenant_id: this tenant is here already, in bad/twins.toml:7: tenant[0].tenant_id",
        ],
    ),
    (
        "unknown-keys.toml",
        &[
            "bad/unknown-keys.toml:1: staet_dir: unknown key; did you mean state_dir?",
            "bad/unknown-keys.toml:2: poll-interval: unknown key; did you mean poll_interval?",
            "bad/unknown-keys.toml:3: colour: unknown key; did you mean cloud?",
            "bad/unknown-keys.toml:4: new\\nline: unknown key",
            "bad/unknown-keys.toml:6: tenants: unknown key; did you mean [[tenant]]?",
            "bad/unknown-keys.toml:9: tenant[0]: the client secret is missing: set AZURE_CLIENT_SECRET, or name a file with --client-secret-file, DEFENDER_FEED_CLIENT_SECRET_FILE or client_secret_file",
            "bad/unknown-keys.toml:12: tenant[0].client_secert: unknown key; did you mean client_secret_file?",
            "bad/unknown-keys.toml:13: tenant[0].lables: unknown key; did you mean labels?",
        ],
    ),
    (
        "wrong-types.toml",
        &[
            "bad/wrong-types.toml:1: envelope: it is a string, but must be true or false",
            "bad/wrong-types.toml:2: requests_per_minute: it is a string, but must be a whole number",
            "bad/wrong-types.toml:3: concurrency: it is a float, but must be a whole number",
            "bad/wrong-types.toml:4: poll_interval: it is an integer, but must be a duration in quotes, such as \"60s\" or \"24h\"",
            "bad/wrong-types.toml:5: record_types: element 1: it is a boolean, but must be a text in quotes or a list of numbers and texts",
            "bad/wrong-types.toml:6: content_type: it is an integer, but must be a text in quotes or a list of texts",
            "bad/wrong-types.toml:7: not_before: it is an integer, but must be a date or time, such as 2026-03-01T00:00:00Z",
            "bad/wrong-types.toml:8: state_dir: it is an array, but must be a text in quotes",
            "bad/wrong-types.toml:9: format: it is a table, but must be a text in quotes",
            "bad/wrong-types.toml:10: cloud: it is a datetime, but must be a text in quotes",
            "bad/wrong-types.toml:13: tenant[0].name: it is an integer, but must be a text in quotes",
            "bad/wrong-types.toml:14: tenant[0].tenant_id: it is an integer, but must be a text in quotes",
            "bad/wrong-types.toml:15: tenant[0].client_id: it is a boolean, but must be a text in quotes",
            "bad/wrong-types.toml:16: tenant[0].client_secret_file: it is an array, but must be a text in quotes",
            "bad/wrong-types.toml:17: tenant[0].labels: it is a string, but must be a table, such as { team = \"blue\" }",
            "bad/wrong-types.toml:19: tenant[1]: client_id is missing: set it in this table",
            "bad/wrong-types.toml:19: tenant[1]: client_secret_file is missing: set it in this table or at the top of the file",
            "bad/wrong-types.toml:21: tenant[1].labels.team: it is an integer, but must be a text in quotes",
            "bad/wrong-types.toml:21: tenant[1].labels.: name and value have at most 256 bytes and no control characters",
            "publisher_id: it is missing: with several tenants, name the organisation that runs the collector by its tenant id (the top of the file, --publisher-id or DEFENDER_FEED_PUBLISHER_ID)",
        ],
    ),
];

#[test]
fn every_problem_of_a_file_is_reported_with_its_line() {
    for (name, expected) in EXPECTED {
        assert_eq!(file(&format!("bad/{name}")).problems(), *expected, "{name}");
    }
    let mut names: Vec<String> =
        fs::read_dir(fixtures().join("bad")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, EXPECTED.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "each file has its expectation");
}

/// Secrets and passwords in wrong places are called `canary` in the files.
#[test]
fn no_problem_repeats_a_secret() {
    let said = EXPECTED.iter().flat_map(|(_, problems)| *problems).find(|problem| problem.contains("canary"));
    assert_eq!(said, None);
    let typed = Typed::default().variable("AZURE_CLIENT_SECRET", "canary").variable("DEFENDER_FEED_CLIENT_SECRET", "canary");
    assert!(!typed.problems().concat().contains("canary"));
}

#[test]
fn the_problems_of_all_sources_come_together() {
    let problems = file("bad/key-twice.toml").flag("look_back", "1m").variable("DEFENDER_FEED_CONCURENCY", "3").problems();
    assert_eq!(
        problems,
        [
            "--look-back: it can't be 1m: it is 1h to 7d",
            "DEFENDER_FEED_CONCURENCY: no such variable; did you mean DEFENDER_FEED_CONCURRENCY?",
            "bad/key-twice.toml:3: column 1: duplicate key",
        ]
    );
}

#[test]
fn without_any_setting_it_says_what_is_needed() {
    assert_eq!(
        Typed::default().problems(),
        [
            "settings: tenant_id is missing: give --tenant-id, DEFENDER_FEED_TENANT_ID or AZURE_TENANT_ID, or tenant_id in a file",
            "settings: client_id is missing: give --client-id, DEFENDER_FEED_CLIENT_ID or AZURE_CLIENT_ID, or client_id in a file",
            "settings: the client secret is missing: set AZURE_CLIENT_SECRET, or name a file with --client-secret-file, \
             DEFENDER_FEED_CLIENT_SECRET_FILE or client_secret_file",
        ]
    );
}

#[test]
fn a_wrong_value_is_not_also_missing() {
    let problems =
        Typed::default().flag("tenant_id", "contoso.com").flag("client_id", "x").flag("client_secret_file", "s").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn one_identity_for_all_tenants_is_refused() {
    let problems = file("good/many.toml").flag("tenant_id", C).variable("DEFENDER_FEED_CLIENT_ID", "x").problems();
    let why = "it would hold for every [[tenant]] of the configuration; select one of those with --tenant, or leave out --config";
    assert_eq!(problems, [format!("--tenant-id: {why}"), format!("DEFENDER_FEED_CLIENT_ID: {why}")]);
}

#[test]
fn the_secret_of_one_is_not_the_secret_of_several() {
    let problems = file("bad/missing.toml").variable("AZURE_CLIENT_SECRET", "canary").problems();
    let expected =
        "bad/missing.toml:1: tenant[0]: client_secret_file is missing: AZURE_CLIENT_SECRET serves a single tenant only";
    assert!(problems.contains(&expected.to_owned()), "{problems:?}");
}

#[test]
fn an_empty_selection_is_a_problem() {
    let problems = Typed::default().complete().flag("tenant", " ").problems();
    assert_eq!(problems, ["--tenant: it selects no tenant: give a name, or leave it out to take all"]);
    let problems = Typed::default().complete().variable("DEFENDER_FEED_TENANT", "").problems();
    assert_eq!(problems, ["DEFENDER_FEED_TENANT: it is empty: give it a value or unset it"]);
}

#[test]
fn files_that_cannot_be_read() {
    let temporary = tempfile::tempdir().unwrap();
    let path = |name: &str| temporary.path().join(name).to_str().unwrap().to_owned();
    let said = |path: &str| match file(path).problems().as_slice() {
        [problem] => problem.strip_prefix(&format!("--config: {path} ")).unwrap_or_else(|| panic!("{problem}")).to_owned(),
        problems => panic!("{problems:?}"),
    };
    assert!(said(&path("nowhere.toml")).starts_with("can't be read: No such file"));
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("empty/.hidden.toml"), "x").unwrap();
    fs::write(path("empty/a.yaml"), "x").unwrap();
    assert_eq!(said(&path("empty")), "holds no *.toml file");
    fs::write(path("latin1.toml"), b"# one\n# caf\xe9\n").unwrap();
    assert_eq!(said(&path("latin1.toml")), "can't be read: line 2 is no valid UTF-8");
    fs::write(path("large.toml"), vec![b'#'; defaults::FILE_BYTES_MAX as usize + 1]).unwrap();
    assert_eq!(said(&path("large.toml")), "can't be read: it is larger than 4194304 bytes");
}

#[test]
fn a_line_that_is_no_json_has_no_envelope() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("x.toml");
    fs::write(&path, "format = \"cef\"\nenvelope = true\n").unwrap();
    let problems = file(path.to_str().unwrap()).problems().join(" ");
    assert!(problems.contains(":2: envelope: a line of cef has no room for an envelope"), "{problems}");
}

#[test]
fn more_tenants_than_a_process_can_serve() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("x.toml");
    fs::write(&path, "[[tenant]]\n".repeat(defaults::TENANTS_MAX + 1)).unwrap();
    assert_eq!(file(path.to_str().unwrap()).problems(), ["tenant: there are more than 2000 tenants"]);
}

proptest::proptest! {
    /// Whatever a file holds, reading it ends with settings or with problems.
    #[test]
    fn no_file_panics(text in "(\\[\\[tenant\\]\\]\n|[a-z_]{1,8} = |\"|'|\n|\\[|\\]|\\{|\\}|=|,|\\.|#|client_id|format|labels|record_types|28|1979-05-27|\\PC){0,40}") {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("x.toml");
        fs::write(&path, text).unwrap();
        let _ = file(path.to_str().unwrap()).load(Need::Tenants);
    }
}
