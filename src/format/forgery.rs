//! Text of a sender must not forge: no second line, no field of its own, no movement of a terminal's cursor, no order of
//! letters that hides what is said. And it must arrive: what a reader makes of a line is the text that was sent.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::{Formatter, line_of};
use crate::domain::OutputFormat;

/// Texts made of what separates, ends, escapes and hides, with some letters between.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "\n",
            "\r",
            "\r\n",
            "\u{2028}",
            "\u{2029}",
            "\u{85}",
            "\u{1b}[2J",
            "\0",
            "\u{7f}",
            "\u{9b}",
            "\t",
            "|",
            "=",
            "\\",
            "\\n",
            "\\u2028",
            "\"",
            "'",
            "}",
            "{",
            "]",
            ",",
            " ",
            " act=Delivered",
            "|CEF:0|",
            "<13>1 ",
            "\u{202e}",
            "\u{2066}",
            "\u{2069}",
            "\u{200b}",
            "\u{feff}",
            "é",
            "😀",
            "a",
            "\",\"Id\":\"x",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

fn line(format: OutputFormat, record: &str) -> String {
    let formatter = Formatter::new(format, false).with_original(true).with_syslog_header(true);
    String::from_utf8(line_of(&formatter, record.as_bytes()).0).unwrap()
}

/// A mail whose texts are all this one.
fn mail(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    format!(
        r#"{{"Id":"1","RecordType":28,"CreationTime":"2026-03-01T00:00:00","Operation":{json},"Subject":{json},"P2Sender":{json},"AttachmentData":[{{"FileName":{json},"MalwareFamily":"x"}}]}}"#
    )
}

/// The fields of a CEF line, as ArcSight's specification says to read them, and our escape for what it has none for.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let start = line.find("CEF:0|").unwrap();
    let (mut fields, mut field, mut escaped) = (Vec::new(), String::new(), false);
    let mut chars = line[start..].char_indices();
    let mut rest = "";
    for (at, c) in chars.by_ref() {
        match c {
            '|' if !escaped => {
                fields.push(resolved(&std::mem::take(&mut field)));
                if fields.len() == 7 {
                    rest = &line[start + at + 1..];
                    break;
                }
            }
            c => field.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    let mut extension = BTreeMap::new();
    let (mut key, mut value_from) = (None::<String>, 0);
    let bytes = rest.as_bytes();
    for (at, byte) in rest.bytes().enumerate() {
        let slashes = bytes[..at].iter().rev().take_while(|b| **b == b'\\').count();
        if byte == b'=' && slashes % 2 == 0 {
            let word = rest[..at].rfind(' ').map_or(0, |space| space + 1);
            if let Some(key) = key.replace(rest[word..at].to_owned()) {
                extension.insert(key, resolved(&rest[value_from..word - 1]));
            }
            value_from = at + 1;
        }
    }
    extension.insert(key.unwrap(), resolved(rest[value_from..].trim_end_matches('\n')));
    (fields, extension)
}

fn resolved(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next().unwrap() {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            'u' => {
                let code: String = chars.by_ref().take(4).collect();
                out.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
            }
            other => out.push(other),
        }
    }
    out
}

fn is_harmless(line: &str) -> bool {
    let ends_lines = ['\u{2028}', '\u{2029}', '\u{85}'];
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    line.strip_suffix('\n').is_some_and(|line| !line.chars().any(|c| c.is_control() || ends_lines.contains(&c) || turns(c)))
}

fn at<'a>(line: &'a Value, pointer: &str) -> &'a str {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sent_is_what_is_read(text in hostile()) {
        let record = mail(&text);
        for (format, subject, original) in [
            (OutputFormat::Raw, "/Subject", None),
            (OutputFormat::Event, "/Subject", None),
            (OutputFormat::Ecs, "/email/subject", Some("/event/original")),
            (OutputFormat::Ocsf, "/email/subject", Some("/raw_data")),
            (OutputFormat::Hec, "/event/Subject", None),
            (OutputFormat::Xdr, "/records/0/properties/RawEventData/Subject", None),
        ] {
            let line = line(format, &record);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(at(&read, subject), &text, "{}", format);
            prop_assert!(original.is_none_or(|original| at(&read, original) == record), "{}", format);
            let plain = matches!(format, OutputFormat::Raw | OutputFormat::Event | OutputFormat::Hec | OutputFormat::Xdr);
            prop_assert!(plain || is_harmless(&line), "{}: {:?}", format, line);
        }
        let ecs: Value = serde_json::from_str(&line(OutputFormat::Ecs, &record)).unwrap();
        prop_assert_eq!(at(&ecs, "/email/attachments/0/file/name"), &text);
        prop_assert_eq!(at(&ecs, "/o365/audit/Subject"), &text);
    }

    #[test]
    fn a_line_of_cef_says_what_was_sent(text in hostile()) {
        let record = mail(&text);
        let line = line(OutputFormat::Cef, &record);
        prop_assert!(is_harmless(&line), "{line:?}");
        let (header, extension) = read_cef(&line);
        let operation = text.trim();
        prop_assert_eq!(&header[4], if operation.is_empty() { "ThreatIntelligence" } else { operation });
        prop_assert_eq!(&extension["msg"], &text);
        prop_assert_eq!(&extension["fname"], &text);
        prop_assert_eq!(&extension["externalId"], "1");
        prop_assert_eq!(&extension["rawEvent"], &record);
        prop_assert!(!extension.contains_key("act"), "nobody said what was done");
    }
}
