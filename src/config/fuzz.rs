//! What holds of any text of a settings file: problems that a person can find, or settings that are valid.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::defaults::NAME_BYTES_MAX;
use super::resolve::{Need, load_with};
use super::{Place, Problems, Settings, Sources, file};

/// The input is the text of the file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let tenants = load(text, Need::Tenants);
    match &tenants {
        Ok(settings) => are_valid(settings),
        Err(problems) => can_be_mended(problems, text),
    }
    let process = load(text, Need::Process);
    assert!(tenants.is_err() || process.is_ok(), "less is needed, and yet: {process:?}");
    let told = |loaded: &Result<Settings, Problems>| match loaded {
        Ok(settings) => format!("{settings:?}"),
        Err(problems) => format!("{:?}", problems.list()),
    };
    assert_eq!(told(&tenants), told(&load(text, Need::Tenants)), "the same text means the same");
}

fn load(text: &str, need: Need) -> Result<Settings, Problems> {
    // The secret's file is given by a flag, so that no file is opened that the text names.
    let flags = vec![
        ("config", vec!["made-up.toml".to_owned()]),
        ("client_secret_file", vec!["/nowhere/defender-feed/secret".to_owned()]),
    ];
    let sources = Sources { flags, environment: Vec::new(), directory: "/made-up".into() };
    load_with(&sources, need, |path, _, problems| file::of_text(text, path, &sources.directory, problems))
}

fn can_be_mended(problems: &Problems, text: &str) {
    assert!(!problems.list().is_empty(), "refused without a reason");
    let lines = text.split('\n').count();
    for problem in problems.list() {
        assert!(!problem.text.is_empty());
        let printed = problem.to_string();
        assert!(!printed.contains(['\n', '\r', '\u{1b}']), "{printed:?} is no line");
        if let Place::File { file, line, path } = &problem.place {
            assert_eq!(file, Path::new("made-up.toml"));
            assert!((1..=lines).contains(line), "line {line} of {lines}");
            assert!(!path.is_empty() || problem.text.starts_with("column "), "{printed}: which key?");
        }
    }
}

fn are_valid(settings: &Settings) {
    assert!(!settings.tenants.is_empty() && settings.state_dir.is_absolute());
    let names: BTreeSet<_> = settings.tenants.iter().map(|tenant| &tenant.name).collect();
    let ids: BTreeSet<_> = settings.tenants.iter().map(|tenant| &tenant.tenant_id).collect();
    assert_eq!((names.len(), ids.len()), (settings.tenants.len(), settings.tenants.len()), "twins");
    for tenant in &settings.tenants {
        assert!(!tenant.name.is_empty() && tenant.name.len() <= NAME_BYTES_MAX && !tenant.name.contains(char::is_control));
        assert!(!tenant.client_id.is_empty() && !tenant.content_types.is_empty());
        for url in [&tenant.api_url, &tenant.login_url] {
            let local =
                matches!(url.host_str(), Some(host) if host.starts_with("127.") || host == "[::1]" || host == "localhost");
            assert!(url.scheme() == "https" || (url.scheme() == "http" && local), "{url} would send secrets in the clear");
            assert!(url.username().is_empty() && url.password().is_none() && url.has_host(), "{url}");
        }
        let interval = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
        assert!(interval.contains(&tenant.poll_interval), "{:?}", tenant.poll_interval);
        let back = Duration::from_secs(3600)..=Duration::from_secs(7 * 24 * 3600);
        assert!(back.contains(&tenant.look_back), "{:?}", tenant.look_back);
        assert!(tenant.requests_per_minute > 0 && tenant.concurrency != Some(0));
    }
}
