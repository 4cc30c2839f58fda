//! `docs/formats.md` shows what the program writes: its examples are made of its records.
//!
//! To write them anew: `UPDATE_GOLDEN=1 cargo test --lib format::documented`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Context, Formatter};
use crate::domain::{ContentId, ContentType, OutputFormat, Time};

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md")
}

/// What stands between two marks.
fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let (_, rest) = text.split_once(open).unwrap_or_else(|| panic!("{open}"));
    rest.split_once(close).unwrap_or_else(|| panic!("{close} after {open}")).0
}

fn records(text: &str) -> Vec<String> {
    let block = between(text, "<!-- records -->\n```json\n", "\n```\n<!-- /records -->");
    block.lines().map(str::to_owned).collect()
}

fn examples(records: &[String], name: &str) -> String {
    let (format, syslog) = name.strip_suffix(" --syslog-header").map_or((name, false), |format| (format, true));
    let format: OutputFormat = format.parse().unwrap();
    let tenant = "0f0e0d0c-0000-4000-8000-000000000001".parse().unwrap();
    let labels = BTreeMap::from([("customer".to_owned(), "Contoso Ltd".to_owned())]);
    let context = Context {
        tenant: &tenant,
        tenant_name: Some("contoso"),
        labels: &labels,
        content_type: ContentType::AuditGeneral,
        content_id: &ContentId("20260302101010$1".to_owned()),
        content_created: Time::parse("2026-03-02T12:30:00.123Z").unwrap(),
        index: 0,
    };
    let formatter = Formatter::new(format, false).with_syslog_header(syslog);
    let mut lines = Vec::new();
    for record in records {
        formatter.line(&context, record.as_bytes(), &mut lines);
    }
    let language = if format.is_json() { "json" } else { "text" };
    format!("\n```{language}\n{}```\n", String::from_utf8(lines).unwrap())
}

#[test]
fn the_examples_are_what_comes_out() {
    let mut text = std::fs::read_to_string(page()).unwrap();
    let records = records(&text);
    assert_eq!(records.len(), 4, "one of each type");
    let names: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("<!-- examples ")?.strip_suffix(" -->").map(str::to_owned)).collect();
    for name in &names {
        let (open, close) = (format!("<!-- examples {name} -->"), "<!-- /examples -->");
        let (shown, made) = (between(&text, &open, close).to_owned(), examples(&records, name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            text = text.replacen(&format!("{open}{shown}{close}"), &format!("{open}{made}{close}"), 1);
        } else {
            assert_eq!(shown, made, "{name}");
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(page(), &text).unwrap();
    }
    for format in OutputFormat::ALL {
        let example = format == OutputFormat::Raw || names.iter().any(|name| name == format.as_str());
        assert!(example && text.contains(&format!("\n## {format}\n")), "{format} has a chapter and examples");
    }
}
