//! Settings from end to end: files from `fixtures/config`, precedence, defaults.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::domain::{ContentType, OutputFormat, RecordTypes};

mod bad;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const C: &str = "cccccccc-0000-4000-8000-000000000003";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config")
}

/// Flags, variables and perhaps a file; the working directory is that of the fixtures.
#[derive(Default)]
struct Typed {
    flags: Vec<(&'static str, Vec<String>)>,
    environment: Vec<(String, String)>,
}

impl Typed {
    fn flag(mut self, name: &'static str, text: &str) -> Self {
        self.flags.push((name, vec![text.to_owned()]));
        self
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.environment.push((name.to_owned(), text.to_owned()));
        self
    }

    /// What a single tenant needs.
    fn complete(self) -> Self {
        self.flag("tenant_id", A).flag("client_id", "application").flag("client_secret_file", "/run/secret")
    }

    fn load(self, need: Need) -> Result<Settings, Problems> {
        let environment = self.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        load(&Sources { flags: self.flags, environment, directory: fixtures() }, need)
    }

    fn settings(self) -> Settings {
        self.load(Need::Tenants).unwrap()
    }

    fn tenant(self) -> TenantSettings {
        self.settings().tenants.remove(0)
    }

    fn problems(self) -> Vec<String> {
        match self.load(Need::Tenants) {
            Ok(settings) => panic!("no problem found: {settings:?}"),
            Err(problems) => problems.list().iter().map(ToString::to_string).collect(),
        }
    }
}

fn file(name: &str) -> Typed {
    Typed::default().flag("config", name)
}

#[test]
fn defaults() {
    let settings = Typed::default().complete().settings();
    assert_eq!(settings.state_dir, fixtures().join("state"));
    assert_eq!(settings.format, OutputFormat::Raw);
    assert!(!settings.envelope);
    assert_eq!(settings.record_types, RecordTypes::defender());
    assert_eq!(settings.log.format, LogFormat::Auto);
    assert_eq!(settings.log.level.as_str(), "info");
    assert!(!settings.log.quiet);
    assert!(settings.files.is_empty());
    assert_eq!(settings.selected, None);

    let tenant = &settings.tenants[0];
    assert_eq!(tenant.name, A);
    assert!(tenant.labels.is_empty());
    assert_eq!(tenant.publisher_id.as_str(), A);
    assert_eq!(tenant.cloud, Cloud::Enterprise);
    assert_eq!(tenant.api_url.as_str(), "https://manage.office.com/");
    assert_eq!(tenant.login_url.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(tenant.scope, "https://manage.office.com/.default");
    assert_eq!(tenant.content_types, [ContentType::AuditGeneral]);
    assert_eq!(tenant.record_types, RecordTypes::defender());
    assert_eq!(tenant.not_before, None);
    assert_eq!(tenant.poll_interval, Duration::from_secs(60));
    assert_eq!(tenant.look_back, Duration::from_secs(86_400));
    assert_eq!(tenant.requests_per_minute, 2000);
    assert_eq!(tenant.concurrency, None);
    assert_eq!(tenant.subscription, SubscriptionMode::Auto);
}

/// The example shows the defaults, but for what it calls an example; and it has every key that a file can have.
#[test]
fn the_example_is_complete_and_shows_the_defaults() {
    let settings = file("good/example.toml").settings();
    assert_eq!(settings.state_dir, Path::new("/var/lib/defender-feed"));
    assert_eq!(settings.names.values().map(String::as_str).collect::<Vec<_>>(), ["contoso", "fabrikam"]);
    let [contoso, fabrikam] = settings.tenants.as_slice() else { panic!("{settings:?}") };
    assert_eq!(contoso.labels["customer"], "Contoso Ltd");
    assert_eq!(contoso.secret, SecretSource::File("/etc/defender-feed/secret".into()));
    assert_eq!(fabrikam.scope, "https://manage.office365.us/.default");
    assert_eq!(fabrikam.client_id, "44444444-0000-4000-8000-000000000004");
    assert_eq!(fabrikam.publisher_id, contoso.tenant_id);
    assert_eq!(contoso.concurrency, Some(8));
    assert_eq!(contoso.not_before.unwrap().to_string(), "2026-03-01T00:00:00Z");

    let defaults = Typed::default().complete().tenant();
    assert_eq!((&contoso.api_url, &contoso.login_url), (&defaults.api_url, &defaults.login_url));
    assert_eq!((&contoso.content_types, &contoso.record_types), (&defaults.content_types, &defaults.record_types));
    assert_eq!((contoso.poll_interval, contoso.look_back), (defaults.poll_interval, defaults.look_back));
    assert_eq!((contoso.requests_per_minute, contoso.subscription), (defaults.requests_per_minute, defaults.subscription));

    let text = fs::read_to_string(fixtures().join("good/example.toml")).unwrap();
    for setting in settings_in_files() {
        assert!(text.contains(&format!("\n{setting} = ")), "{setting}");
    }
}

fn settings_in_files() -> impl Iterator<Item = &'static str> {
    super::settings().iter().map(|s| s.about()).filter(|about| about.scope != Scope::Start).map(|about| about.name)
}

#[test]
fn a_single_tenant_needs_no_table() {
    let settings = file("good/single.toml").settings();
    let tenant = &settings.tenants[0];
    assert_eq!(tenant.tenant_id.as_str(), A);
    assert_eq!(tenant.secret, SecretSource::File(fixtures().join("good/secret")), "relative to the file");
    assert_eq!(settings.state_dir, fixtures().join("good/place/of/state"));
    assert_eq!(tenant.record_types, RecordTypes::All);
    assert_eq!(settings.record_types, RecordTypes::All);
    assert_eq!(tenant.content_types, [ContentType::AuditGeneral, ContentType::DlpAll], "each once");
    assert_eq!(tenant.not_before.unwrap().to_string(), "2026-03-01T00:00:00Z");
    assert_eq!(settings.warnings.len(), 1, "the secret file does not exist, which keeps nothing from starting");
    let warning = settings.warnings[0].to_string();
    assert!(warning.starts_with(&format!("tenant {A}, client secret file ")) && warning.contains("no such file"), "{warning}");
}

#[test]
fn a_table_overrides_the_top_of_the_file() {
    let settings = file("good/many.toml").settings();
    let [first, second] = settings.tenants.as_slice() else { panic!("{settings:?}") };
    assert_eq!((first.name.as_str(), second.name.as_str()), (A, "second"));
    assert_eq!(first.poll_interval, Duration::from_secs(300));
    assert_eq!(second.poll_interval, Duration::from_secs(600));
    assert_eq!(first.secret, SecretSource::File(fixtures().join("good/shared-secret")));
    assert_eq!(second.secret, SecretSource::File(fixtures().join("good/second-secret")));
    assert_eq!(second.record_types.to_string(), "28,64");
    assert_eq!(second.labels["team"], "blue");
    assert_eq!((first.concurrency, second.concurrency), (Some(16), Some(16)));
    assert_eq!(settings.name_of(&second.tenant_id), "second");
}

#[test]
fn a_directory_is_all_its_files_in_the_order_of_their_names() {
    let settings = file("good/directory").settings();
    let names: Vec<&str> = settings.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    assert_eq!(names, ["contoso", "fabrikam"]);
    assert_eq!(settings.files.len(), 3);
    assert_eq!(settings.tenants[1].secret, SecretSource::File(fixtures().join("good/directory/../directory/fabrikam-secret")));
    assert_eq!(settings.tenants[1].client_id, "shared-application");
}

/// For each source of a value the next weaker one is taken away; `cloud` shows all of them, the ids show `AZURE_*`.
#[test]
fn precedence() {
    let cloud = |typed: Typed| typed.flag("tenant", "second").tenant().cloud;
    let temporary = tempfile::tempdir().unwrap();
    let write = |top: &str, table: &str| {
        let text = fs::read_to_string(fixtures().join("good/many.toml")).unwrap();
        let path = temporary.path().join("x.toml");
        fs::write(&path, format!("{top}\n{text}").replace("name = \"second\"", &format!("name = \"second\"\n{table}"))).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (top, table) = ("cloud = \"gcc\"", "cloud = \"gcc-high\"");
    let path = write(top, table);
    let all = || file(&path).variable("DEFENDER_FEED_CLOUD", "dod");
    assert_eq!(cloud(all().flag("cloud", "enterprise")), Cloud::Enterprise, "flag");
    assert_eq!(cloud(all()), Cloud::Dod, "variable");
    assert_eq!(cloud(file(&path)), Cloud::GccHigh, "table");
    assert_eq!(cloud(file(&write(top, ""))), Cloud::Gcc, "top of the file");
    assert_eq!(cloud(file(&write("", ""))), Cloud::Enterprise, "default");

    let azure = |typed: Typed| typed.variable("AZURE_TENANT_ID", C).variable("AZURE_CLIENT_ID", "azure").tenant();
    let secret = |typed: Typed| typed.flag("client_secret_file", "s");
    let id = |tenant: TenantSettings| (tenant.tenant_id.to_string(), tenant.client_id);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(id(azure(secret(Typed::default()))), pair(C, "azure"));
    assert_eq!(id(azure(file("good/single.toml"))), pair(A, "22222222-0000-4000-8000-000000000002"), "file");
    let typed = secret(Typed::default()).variable("DEFENDER_FEED_TENANT_ID", B).variable("DEFENDER_FEED_CLIENT_ID", "ours");
    assert_eq!(id(azure(typed)), pair(B, "ours"), "variable");
    let typed = secret(Typed::default()).flag("tenant_id", A).variable("DEFENDER_FEED_TENANT_ID", B);
    assert_eq!(id(azure(typed)), pair(A, "azure"), "flag");
}

#[test]
fn a_flag_holds_for_all_tenants() {
    let settings = file("good/many.toml").flag("poll_interval", "7s").variable("DEFENDER_FEED_LOOK_BACK", "2h").settings();
    assert!(settings.tenants.iter().all(|t| t.poll_interval.as_secs() == 7 && t.look_back.as_secs() == 7200));
}

#[test]
fn the_variables_of_azure_serve_a_single_tenant() {
    let azure = |typed: Typed| typed.variable("AZURE_CLIENT_SECRET", "canary").variable("AZURE_CLIENT_ID", "azure");
    let from_variables = azure(Typed::default()).variable("AZURE_TENANT_ID", A).tenant();
    assert_eq!(from_variables.secret, SecretSource::Environment("AZURE_CLIENT_SECRET"));
    assert!(!format!("{from_variables:?}").contains("canary"));
    assert_eq!(azure(file("good/single.toml")).tenant().secret, SecretSource::File(fixtures().join("good/secret")));

    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("one.toml");
    fs::write(&path, format!("[[tenant]]\nname = \"one\"\ntenant_id = \"{A}\"\n")).unwrap();
    let one = azure(file(path.to_str().unwrap())).tenant();
    assert_eq!((one.name.as_str(), one.client_id.as_str()), ("one", "azure"));
    assert_eq!(one.secret, SecretSource::Environment("AZURE_CLIENT_SECRET"));
}

/// The Azure variables belong to everybody: one that is not used is not our business.
#[test]
fn an_unused_variable_of_azure_is_not_judged() {
    let typed = || Typed::default().variable("AZURE_TENANT_ID", "contoso.onmicrosoft.com");
    assert_eq!(typed().complete().tenant().tenant_id.as_str(), A);
    let problems = typed().flag("client_id", "x").flag("client_secret_file", "s").problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("AZURE_TENANT_ID: a tenant id can't be"), "{problems:?}");
    assert_eq!(typed().variable("AZURE_CLIENT_ID", "").complete().settings().tenants.len(), 1, "empty is unset");
}

#[test]
fn tenants_are_selected_by_name_or_id() {
    let selected = |names: &[&str]| {
        let mut typed = file("good/many.toml");
        typed.flags.push(("tenant", names.iter().map(|name| (*name).to_owned()).collect()));
        let settings = typed.settings();
        settings.tenants.iter().map(|tenant| tenant.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(selected(&["second"]), ["second"]);
    assert_eq!(selected(&["BBBBBBBB-0000-4000-8000-000000000002", A]), [A, "second"], "in the order of the configuration");
    let problems = file("good/many.toml").flag("tenant", "secnd").problems();
    assert_eq!(problems, ["--tenant: no tenant is called \"secnd\"; did you mean second?"]);
    let settings = file("good/many.toml").variable("DEFENDER_FEED_TENANT", "second").settings();
    assert_eq!(settings.tenants.len(), 1);
    assert_eq!(settings.names.len(), 2, "names are known for all");
    assert!(settings.is_selected(&B.parse().unwrap()) && !settings.is_selected(&A.parse().unwrap()));
}

#[test]
fn without_need_of_tenants_an_incomplete_one_is_no_problem() {
    let offline = |typed: Typed| typed.load(Need::Process).unwrap();
    let settings = offline(Typed::default());
    assert!(settings.tenants.is_empty() && settings.names.is_empty() && settings.is_selected(&A.parse().unwrap()));
    let settings = offline(file("good/many.toml").flag("tenant", "second"));
    assert_eq!(settings.selected, Some(BTreeSet::from([B.parse().unwrap()])));
    assert_eq!(settings.name_of(&B.parse().unwrap()), "second");
    let settings = offline(Typed::default().flag("tenant", C));
    assert!(settings.is_selected(&C.parse().unwrap()), "a tenant that only the state knows");
    assert!(Typed::default().flag("tenant", "contoso").load(Need::Process).is_err());
    assert!(offline(file("good/many.toml").flag("format", "event")).format == OutputFormat::Event);
}

#[test]
fn systemd_names_the_state_directory() {
    let state_dir = |typed: Typed| typed.complete().settings().state_dir;
    let systemd = || Typed::default().variable("STATE_DIRECTORY", "/var/lib/one:/var/lib/two");
    assert_eq!(state_dir(systemd()), Path::new("/var/lib/one"));
    assert_eq!(state_dir(systemd().variable("DEFENDER_FEED_STATE_DIR", "/x/./y/")), Path::new("/x/y"));
    assert_eq!(state_dir(Typed::default().variable("STATE_DIRECTORY", "")), fixtures().join("state"));
    assert_eq!(state_dir(Typed::default().flag("state_dir", "./here")), fixtures().join("here"));
}

#[test]
fn an_overridden_address_keeps_the_scope_of_the_cloud() {
    let tenant = Typed::default().complete().flag("api_url", "http://127.0.0.1:9").flag("cloud", "dod").tenant();
    assert_eq!(tenant.api_url.as_str(), "http://127.0.0.1:9/");
    assert_eq!(tenant.scope, "https://manage.protection.apps.mil/.default");
    assert_eq!(tenant.login_url.as_str(), "https://login.microsoftonline.us/");
}
