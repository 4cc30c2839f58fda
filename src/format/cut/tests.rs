use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::{Context, Fit, Formatter, line_of};
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
fn fields_of_the_format_go_where_they_alone_are_too_long() {
    let raw = format!(
        r#"{{"Id":"1","RecordType":28,"CreationTime":"2026-03-01T00:00:00","SenderIp":"192.0.2.1","Subject":"{}"}}"#,
        "x".repeat(5_000)
    );
    for envelope in [false, true] {
        let (text, fit) = line(OutputFormat::Ecs, envelope, 1_000, &raw);
        let json: Json = serde_json::from_str(&text).unwrap();
        let json = if envelope { &json["record"] } else { &json };
        assert!(fit == Fit::Cut && text.len() <= 1_001);
        assert_eq!((json["event"]["id"].as_str(), json["@timestamp"].as_str()), (Some("1"), Some("2026-03-01T00:00:00Z")));
        assert_eq!((json["source"]["ip"].as_str(), json["email"]["subject"].as_str()), (Some("192.0.2.1"), None));
        let audit = &json["o365"]["audit"];
        let name = if envelope { "record.email.subject" } else { "email.subject" };
        assert_eq!((audit["Id"].as_str(), &audit["feed_dropped"][name]), (Some("1"), &Json::from(5_002)), "{text}");
        assert_eq!(audit["feed_dropped"]["Subject"], 5_002);
    }
    let (text, fit) = line(OutputFormat::Ocsf, false, 1_000, &raw);
    let json: Json = serde_json::from_str(&text).unwrap();
    assert!(fit == Fit::Cut && text.len() <= 1_001);
    assert_eq!((json["class_uid"].as_u64(), json["metadata"]["version"].as_str()), (Some(4009), Some("1.8.0")));
    assert_eq!((json["time"].as_u64(), json["email"]["subject"].as_str()), (Some(1_772_323_200_000), None));
    assert_eq!(json["unmapped"]["feed_dropped"]["email.subject"], 5_002);

    let raw = raw
        .replace("\"RecordType\"", "\"ObjectId\":\"o\",\"Workload\":\"w\",\"RecordType\"")
        .replace(":\"w", &format!(":\"{}", "w".repeat(900)));
    let (text, _) = line(OutputFormat::Xdr, false, 1_500, &raw);
    let json: Json = serde_json::from_str(&text).unwrap();
    let properties = &json["records"][0]["properties"];
    assert!(properties["Application"].is_null() && properties["Timestamp"].is_string());
    assert!(properties["RawEventData"]["feed_dropped"]["properties.Application"].as_u64() > Some(900), "{text}");
}

#[test]
fn what_has_least_room_keeps_its_frame_and_the_id() {
    let raw = format!(r#"{{"Id":"1","RecordType":28,"CreationTime":"2026-03-01T00:00:00","Subject":"{}"}}"#, "x".repeat(5_000));
    for (format, pointer) in [(OutputFormat::Hec, "/event"), (OutputFormat::Xdr, "/records/0"), (OutputFormat::Ecs, "")] {
        let (text, fit) = line(format, false, 90, &raw);
        let json: Json = serde_json::from_str(&text).unwrap();
        let bare = json.pointer(pointer).unwrap();
        assert_eq!((fit, bare["Id"].as_str()), (Fit::Cut, Some("1")), "{text}");
        assert!(bare["feed_dropped"]["*"].as_u64().unwrap() > 5_000, "{text}");
    }
    let (whole, _) = line(OutputFormat::Hec, false, usize::MAX, r#"{"Id":"1"}"#);
    let (text, _) = line(
        OutputFormat::Hec,
        false,
        whole.len() + 60,
        &format!(r#"{{"Id":"1","New":{{{}}}}}"#, r#""x":7,"#.repeat(900) + r#""y":1"#),
    );
    let json: Json = serde_json::from_str(&text).unwrap();
    assert!(json["source"] == "defender-feed" && json["event"]["Id"] == "1" && text.len() <= whole.len() + 61, "{text}");
}

#[test]
fn keys_are_escaped_in_cut_lines_too() {
    let raw = format!(r#"{{"Id":"1","RecordType":28,"a\u2028":1,"b\u2028":"{}"}}"#, "x".repeat(5_000));
    for format in [OutputFormat::Ecs, OutputFormat::Ocsf] {
        let (text, fit) = line(format, false, 1_000, &raw);
        assert!(fit == Fit::Cut && !text.contains('\u{2028}') && text.contains("a\\u2028"), "{text}");
    }
}

#[test]
fn the_header_of_cef_is_not_cut_into() {
    let raw = r#"{"Id":"1","RecordType":64,"Operation":"a=b c=d | \\","InvestigationName":"what x=y | z"}"#;
    let (whole, _) = line(OutputFormat::Cef, false, usize::MAX, raw);
    let header = whole.find("|Unknown|").unwrap() + "|Unknown|".len();
    let (short, _) = line(OutputFormat::Cef, false, whole.len() - 2, raw);
    for max in header..short.len() - 1 {
        let (text, _) = line(OutputFormat::Cef, false, max, raw);
        assert!(text.len() <= max + 1 && text.starts_with(&whole[..header]), "{max}: {text}");
        let rest = text[header..].trim_end();
        let marked = rest.ends_with("flexString1Label=feed_dropped flexString1=1");
        assert!(rest.is_empty() || marked && !rest.starts_with(' '), "{max}: {text}");
    }
    let raw = format!(r#"{{"Operation":"{}","RecordType":64,"InvestigationName":"{}"}}"#, "o".repeat(2_000), "é".repeat(2_000));
    let (text, _) = line(OutputFormat::Cef, false, usize::MAX, &raw);
    let fields: Vec<_> = text.split('|').collect();
    assert_eq!((fields[4].len(), fields[5].chars().count()), (1_023, 512));
}

#[test]
fn what_drifted_is_counted_once() {
    let formatter = Formatter::new(OutputFormat::Event, false).with_max_line_bytes(Some(300));
    let raw = format!(r#"{{"Id":"1","RecordType":28,"New":"{}"}}"#, "x".repeat(500));
    assert_eq!(line_of(&formatter, raw.as_bytes()).1, Fit::Cut);
    assert_eq!(formatter.drift().iter().map(|place| place.records).collect::<Vec<_>>(), [1]);
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
