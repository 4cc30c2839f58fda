//! Lines as they are to come out, and what holds for the lines of any record.
//!
//! The golden lines stand in `fixtures/golden/<format>/`. To write them anew after a change that is meant, and to see in the
//! difference what it changed: `UPDATE_GOLDEN=1 cargo test --lib format::golden`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::{Context, Formatter};
use crate::domain::{ContentId, ContentType, OutputFormat, TenantId, Time};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

pub(super) struct Origin {
    tenant: TenantId,
    labels: BTreeMap<String, String>,
    content_id: ContentId,
}

impl Origin {
    pub(super) fn new() -> Origin {
        Origin {
            tenant: "0f0e0d0c-0000-4000-8000-000000000001".parse().unwrap(),
            labels: [("customer".to_owned(), "Contoso \"EU\"".to_owned()), ("tier".to_owned(), "1".to_owned())].into(),
            content_id: ContentId("20260302101010$aud$general".to_owned()),
        }
    }

    pub(super) fn context(&self, index: u64) -> Context<'_> {
        Context {
            tenant: &self.tenant,
            tenant_name: Some("contoso"),
            labels: &self.labels,
            content_type: ContentType::AuditGeneral,
            content_id: &self.content_id,
            content_created: Time::parse("2026-03-02T10:10:10.123Z").unwrap(),
            index,
        }
    }
}

/// The records of each fixture file.
pub(super) fn records() -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut records = BTreeMap::new();
    for file in std::fs::read_dir(fixtures().join("events")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match path.extension().unwrap().to_str().unwrap() {
            "json" => drop(records.insert(name, vec![bytes])),
            "ndjson" => drop(records.insert(name, bytes.trim_ascii_end().split(|b| *b == b'\n').map(<[u8]>::to_vec).collect())),
            _ => {}
        }
    }
    records
}

fn compare(folder: &str, formatter: &Formatter) {
    let origin = Origin::new();
    let folder = fixtures().join("golden").join(folder);
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut expected: Vec<_> = Vec::new();
    for (name, records) in records() {
        let mut lines = Vec::new();
        for (index, record) in (0..).zip(&records) {
            formatter.line(&origin.context(index), record, &mut lines);
        }
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), records.len(), "{name}");
        let path = folder.join(format!("{name}.{}", if formatter.format.is_json() { "ndjson" } else { "cef" }));
        expected.push(path.clone());
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &lines).unwrap();
        }
        let golden = std::fs::read(&path).unwrap_or_default();
        for (at, (line, golden)) in lines.split(|b| *b == b'\n').zip(golden.split(|b| *b == b'\n')).enumerate() {
            let text = String::from_utf8_lossy;
            assert_eq!(text(line), text(golden), "{}, line {}", path.display(), at + 1);
        }
        assert_eq!(lines.len(), golden.len(), "{}", path.display());
    }
    let mut present: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    present.sort();
    assert_eq!(present, expected, "each golden file has its fixture");
}

#[test]
fn raw_lines_are_the_golden_ones() {
    compare("raw", &Formatter::new(OutputFormat::Raw, false));
}

#[test]
fn event_lines_are_the_golden_ones() {
    compare("event", &Formatter::new(OutputFormat::Event, false));
}

#[test]
fn ecs_lines_are_the_golden_ones() {
    compare("ecs", &Formatter::new(OutputFormat::Ecs, false));
}

#[test]
fn ocsf_lines_are_the_golden_ones() {
    compare("ocsf", &Formatter::new(OutputFormat::Ocsf, false));
}

#[test]
fn cef_lines_are_the_golden_ones() {
    compare("cef", &Formatter::new(OutputFormat::Cef, false));
    compare("cef-syslog", &Formatter::new(OutputFormat::Cef, false).with_syslog_header(true));
}

#[test]
fn hec_lines_are_the_golden_ones() {
    compare("hec", &Formatter::new(OutputFormat::Hec, false));
}

#[test]
fn xdr_lines_are_the_golden_ones() {
    compare("xdr", &Formatter::new(OutputFormat::Xdr, false));
}

#[test]
fn enveloped_lines_are_the_golden_ones() {
    compare("envelope", &Formatter::new(OutputFormat::Raw, true));
}

fn line(format: OutputFormat, envelope: bool, raw: &[u8]) -> String {
    let mut out = Vec::new();
    Formatter::new(format, envelope).line(&Origin::new().context(0), raw, &mut out);
    String::from_utf8(out).unwrap()
}

fn id(line: &str) -> String {
    line.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn the_id_is_of_the_raw_record_whatever_the_format() {
    let raw = br#"{"Id":"x","RecordType":28,"CreationTime":"2026-03-02T10:10:10"}"#;
    let (plain, cleaned) = (line(OutputFormat::Raw, true, raw), line(OutputFormat::Event, true, raw));
    assert_eq!(id(&plain), id(&cleaned));
    assert!(plain.contains(r#""record":{"Id":"x","RecordType":28,"CreationTime":"2026-03-02T10:10:10"}}"#));
    assert!(cleaned.contains(
        r#""record":{"Id":"x","RecordType":28,"RecordTypeName":"ThreatIntelligence","CreationTime":"2026-03-02T10:10:10Z"}}"#
    ));
}

#[test]
fn what_the_configuration_does_not_say_is_left_out() {
    let origin = Origin { labels: BTreeMap::new(), ..Origin::new() };
    for tenant_name in [None, Some("")] {
        let mut out = Vec::new();
        Formatter::new(OutputFormat::Raw, true).line(&Context { tenant_name, ..origin.context(7) }, b"{}", &mut out);
        let text = String::from_utf8(out).unwrap();
        let id = id(&text);
        let expected = r#"{"feed":{"tenant_id":"0f0e0d0c-0000-4000-8000-000000000001","content_type":"Audit.General","content_id":"20260302101010$aud$general","content_created":"2026-03-02T10:10:10.123Z","index":7,"id":"ID"},"record":{}}"#;
        assert_eq!(text, expected.replace("ID", &id) + "\n");
    }
}

#[test]
fn drift_is_counted_over_records() {
    let formatter = Formatter::new(OutputFormat::Event, false);
    let mut out = Vec::new();
    for _ in 0..3 {
        formatter.line(&Origin::new().context(0), br#"{"RecordType":28,"Brand new":"secret"}"#, &mut out);
    }
    let drift = formatter.drift();
    assert_eq!((drift.len(), drift[0].path.as_str(), drift[0].records), (1, "Brand new", 3));
    let raw = Formatter::new(OutputFormat::Raw, true);
    raw.line(&Origin::new().context(0), br#"{"RecordType":28,"Brand new":"secret"}"#, &mut out);
    assert_eq!(raw.drift(), []);
}

/// The largest and oddest records that the decoder lets through.
#[test]
fn large_and_odd_records_take_little_time() {
    const SIZE: usize = 16 << 20;
    let fill = |piece: &str| piece.repeat((SIZE - 200) / piece.len());
    let deep = (0..100_000).map(|_| format!("{}{}", "[".repeat(60), "]".repeat(60))).collect::<Vec<_>>().join(",");
    let odd = [
        format!(r#"{{"RecordType":64,"Data":"{}"}}"#, fill("\\\\")),
        format!(r#"{{"RecordType":64,"Data":"[{}]"}}"#, fill("[")),
        format!(r#"{{"RecordType":64,"Data":"{{\"Entities\":[{}1]}}"}}"#, fill("{},")),
        format!(r#"{{"RecordType":64,"Actions":[{}1]}}"#, fill("{},")),
        format!(r#"{{"RecordType":28,"Recipients":[{}""]}}"#, fill("\"\",")),
        format!(r#"{{"RecordType":28,{}"b":1}}"#, fill("\"a\":1,")),
        format!(r#"{{"RecordType":28,"New":[{deep}]}}"#),
    ];
    for raw in &odd {
        for format in OutputFormat::ALL {
            let began = std::time::Instant::now();
            let line = line(format, true, raw.as_bytes());
            assert!(began.elapsed().as_secs() < 20, "{format}: {}", &raw[..40]);
            let whole = format.is_json() && line.len() >= raw.len() / 2;
            assert!(!format.is_json() || (whole && serde_json::from_str::<IgnoredAny>(&line).is_ok()), "{format}");
        }
    }
}

fn space() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["", "", "", " ", "\n", "\r\n\t", "  "])
}

/// JSON text with every freedom that the grammar leaves.
fn a_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        proptest::sample::select(vec![
            "null",
            "true",
            "0",
            "-0.0",
            "1e999",
            "123456789012345678901234567890",
            "\"\"",
            "\"\\ud800\"",
            "\"\\u0000\\n\"",
            "\"\u{2028}\u{85}\"",
            "28",
            "\"{\\\"a\\\":\\n1}\"",
            "\"2026-03-02T10:10:10\"",
            "\"\\/\"",
        ])
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (space(), proptest::collection::vec(inner.clone(), 0..4))
                .prop_map(|(s, v)| format!("[{s}{}{s}]", v.join(&format!("{s},{s}")))),
            (space(), members(inner)).prop_map(|(s, members)| object(s, &members)),
        ]
    })
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop_oneof![
        proptest::sample::select(vec![
            "RecordType",
            "Data",
            "Actions",
            "Policy",
            "PolicyName",
            "CreationTime",
            "a",
            "feed_untyped"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    proptest::collection::vec((key.prop_map(|key| serde_json::to_string(&key).unwrap()), value), 0..6)
}

fn object(space: &str, members: &[(String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
    format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_object_is_one_line_of_json_in_every_format(space in space(), members in members(a_value())) {
        let raw = object(space, &members);
        for format in OutputFormat::ALL {
            for envelope in [false, true] {
                let line = line(format, envelope, raw.as_bytes());
                prop_assert!(line.ends_with('\n') && !line[..line.len() - 1].contains(['\n', '\r']), "{line}");
                prop_assert!(!format.is_json() || serde_json::from_str::<IgnoredAny>(&line).is_ok(), "{line}");
            }
        }
        let plain = line(OutputFormat::Raw, false, raw.as_bytes());
        if raw.contains(['\n', '\r']) {
            // No string of these holds a line break, so all white space around tokens is gone.
            prop_assert_eq!(said(&plain), said(&raw));
        } else {
            prop_assert_eq!(plain, format!("{raw}\n"));
        }
    }

    #[test]
    fn the_id_forgets_order_and_white_space_and_nothing_else(
        spaces in (space(), space()),
        members in members(a_value()),
        extra in (any::<String>(), a_value()),
    ) {
        let one = object(spaces.0, &members);
        let mut turned: Vec<_> = members.clone();
        turned.reverse();
        let id_of = |raw: &str| id(&line(OutputFormat::Raw, true, raw.as_bytes()));
        prop_assert_eq!(id_of(&one), id_of(&object(spaces.1, &turned)));
        turned.push((serde_json::to_string(&extra.0).unwrap(), extra.1));
        prop_assert_ne!(id_of(&one), id_of(&object(spaces.0, &turned)));
    }

    /// Not even bytes that are no JSON tear a line.
    #[test]
    fn any_bytes_are_one_line(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for format in OutputFormat::ALL {
            for envelope in [false, true] {
                let mut out = Vec::new();
                Formatter::new(format, envelope).line(&Origin::new().context(0), &bytes, &mut out);
                prop_assert_eq!(memchr::memchr(b'\n', &out), Some(out.len() - 1));
                if format.is_json() && (envelope || format != OutputFormat::Raw) {
                    prop_assert!(serde_json::from_slice::<IgnoredAny>(&out).is_ok());
                }
            }
        }
    }
}

/// The tokens of JSON text, without the white space between them.
fn said(json: &str) -> String {
    let (mut said, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if matches!(c, ' ' | '\t' | '\r' | '\n') {
            continue;
        }
        said.push(c);
    }
    said
}
