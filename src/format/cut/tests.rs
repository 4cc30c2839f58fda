use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::{Context, Fit, Formatter};
use crate::domain::{ContentId, ContentType, OutputFormat, Time};

fn line(format: OutputFormat, envelope: bool, max: usize, raw: &str) -> (String, Fit) {
    let tenant = "0f0e0d0c-0000-4000-8000-000000000001".parse().unwrap();
    let context = Context {
        tenant: &tenant,
        tenant_name: None,
        labels: &BTreeMap::new(),
        content_type: ContentType::AuditGeneral,
        content_id: &ContentId("c".to_owned()),
        content_created: Time::MIN,
        index: 0,
    };
    let mut out = b"before\n".to_vec();
    let fit = Formatter::new(format, envelope).with_original(true).with_max_line_bytes(Some(max)).line(
        &context,
        raw.as_bytes(),
        &mut out,
    );
    (String::from_utf8(out).unwrap().strip_prefix("before\n").unwrap().to_owned(), fit)
}

fn investigation(entities: usize) -> String {
    let entity = r#"{\"$id\":\"1\",\"Type\":\"mailMessage\",\"Recipient\":\"alex@contoso.com\",\"Subject\":\"s\"}"#;
    let entities = vec![entity; entities].join(",");
    format!(
        r#"{{"Id":"1","RecordType":64,"CreationTime":"2026-03-01T00:00:00","Operation":"AirInvestigationData","Data":"{{\"Severity\":\"High\",\"Entities\":[{entities}]}}","Status":"Running"}}"#
    )
}

/// The record's part of a line, in each format.
fn part(format: OutputFormat, line: &Json) -> &Json {
    match format {
        OutputFormat::Ecs => &line["o365"]["audit"],
        OutputFormat::Ocsf => &line["unmapped"],
        OutputFormat::Hec => &line["event"],
        OutputFormat::Xdr => &line["records"][0]["properties"]["RawEventData"],
        _ => line,
    }
}

#[test]
fn what_fits_is_left_alone() {
    let raw = investigation(1);
    for format in OutputFormat::ALL {
        let (whole, _) = line(format, false, usize::MAX, &raw);
        assert_eq!(line(format, false, whole.len() - 1, &raw), (whole, Fit::Whole), "{format}");
    }
}

#[test]
fn the_largest_goes_and_is_named() {
    let raw = investigation(40);
    for format in [OutputFormat::Raw, OutputFormat::Event, OutputFormat::Hec, OutputFormat::Xdr] {
        let (text, fit) = line(format, false, 2_000, &raw);
        let json: Json = serde_json::from_str(&text).unwrap();
        let part = part(format, &json);
        assert!(fit == Fit::Cut && text.len() <= 2_001, "{format}");
        assert_eq!((part["Id"].as_str(), part["Status"].as_str()), (Some("1"), Some("Running")), "{format}");
        let dropped = part["feed_dropped"].as_object().unwrap();
        let expected = if format == OutputFormat::Event { "Data.Entities" } else { "Data" };
        assert!(dropped.keys().eq([expected]) && dropped[expected].as_u64().unwrap() > 3_000, "{format}: {dropped:?}");
        assert!(format != OutputFormat::Event || part["Data"]["Severity"] == "High");
    }
}

#[test]
fn the_text_of_the_record_goes_before_parts_of_it() {
    let raw = investigation(10);
    for (format, pointer) in [(OutputFormat::Ecs, "/event/original"), (OutputFormat::Ocsf, "/raw_data")] {
        let (whole, _) = line(format, false, usize::MAX, &raw);
        let (text, fit) = line(format, false, whole.len() - 2, &raw);
        let json: Json = serde_json::from_str(&text).unwrap();
        assert!(fit == Fit::Cut && json.pointer(pointer).is_none());
        assert!(part(format, &json)["Data"]["Entities"].is_array() && part(format, &json)["feed_dropped"].is_null());
    }
}

#[test]
fn a_line_of_cef_loses_whole_fields() {
    let raw = investigation(10);
    let (text, fit) = line(OutputFormat::Cef, false, 400, &raw);
    assert!(fit == Fit::Cut && !text.contains("rawEvent") && text.contains(" cn3=0"), "the record goes first: {text}");
    let (text, fit) = line(OutputFormat::Cef, false, 180, &raw);
    assert!(fit == Fit::Cut && text.len() <= 181 && text.starts_with("CEF:0|"), "{text}");
    assert!(text.ends_with(" flexString1Label=feed_dropped flexString1=1\n") && !text.contains("rawEvent"), "{text}");
    let (text, _) = line(OutputFormat::Cef, false, 10, &raw);
    assert_eq!(text, "CEF:0|Micr\n");
}

#[test]
fn where_nothing_has_room_the_id_has() {
    let raw = format!(r#"{{"Id":"1","RecordType":28,"Subject":"{}"}}"#, "x".repeat(5_000));
    let (text, fit) = line(OutputFormat::Ecs, false, 1_000, &raw);
    let json: Json = serde_json::from_str(&text).unwrap();
    assert_eq!((fit, json["Id"].as_str()), (Fit::Cut, Some("1")));
    assert!(json["feed_dropped"]["*"].as_u64().unwrap() > 5_000);
}

#[test]
fn a_great_many_small_members_cost_little_time() {
    let members: Vec<_> = (0..60_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let raw = format!("{{\"Id\":\"1\",\"RecordType\":28,{}}}", members.join(","));
    let began = std::time::Instant::now();
    for format in OutputFormat::ALL {
        let (text, fit) = line(format, false, 4_000, &raw);
        assert!(fit == Fit::Cut && text.len() <= 4_001, "{format}");
    }
    assert!(began.elapsed().as_secs() < 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_line_is_whole_json_within_the_limit(
        texts in proptest::collection::vec(("[a-z\"\\\\]{1,9}", "\\PC{0,300}"), 0..12),
        deep in 0usize..4,
        max in 256usize..3_000,
    ) {
        let members: Vec<_> =
            texts.iter().map(|(key, text)| format!("{}:{}", Json::from(key.as_str()), Json::from(text.as_str()))).collect();
        let mut inner = format!("{{{}}}", members.join(","));
        for _ in 0..deep {
            inner = format!("{{\"in\":{inner},\"list\":[{inner}]}}");
        }
        let raw = format!("{{\"Id\":\"1\",\"RecordType\":28,\"feed_dropped\":7,\"New\":{inner}}}");
        for format in OutputFormat::ALL {
            for envelope in [false, true] {
                let (text, fit) = line(format, envelope, max, &raw);
                prop_assert!(text.len() <= max + 1, "{} {}", format, text.len());
                prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').contains('\n'));
                if format.is_json() {
                    let json: Json = serde_json::from_str(&text).unwrap();
                    prop_assert!(fit == Fit::Whole || json.is_object());
                }
            }
        }
    }
}
