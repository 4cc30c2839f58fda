//! What holds of the lines of any bytes.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Context, Formatter};
use crate::domain::{ContentId, ContentType, OutputFormat, Time};
use crate::event;

#[derive(Deserialize)]
struct Enveloped<'a> {
    feed: Feed,
    #[serde(borrow)]
    record: &'a RawValue,
}

#[derive(Deserialize)]
struct Feed {
    id: String,
    content_id: String,
    tenant_name: String,
    labels: BTreeMap<String, String>,
}

/// The first byte is how many of the others name where the record, which is the rest, came from.
pub(crate) fn lines(data: &[u8]) {
    let Some((split, rest)) = data.split_first() else { return };
    let (name, raw) = rest.split_at(usize::from(*split).min(rest.len()));
    let name = format!("x{}", String::from_utf8_lossy(name));
    let is_record = event::fuzz::record(raw) && std::str::from_utf8(raw).is_ok();
    let mut ids = Vec::new();
    for format in OutputFormat::ALL {
        let plain = line(format, false, &name, raw);
        assert!(is_one_line(&plain), "{:?}", String::from_utf8_lossy(&plain));
        if format.is_json() && (is_record || format != OutputFormat::Raw) {
            is_json(&plain);
        }
        if is_record && format == OutputFormat::Raw {
            let text = std::str::from_utf8(raw).unwrap();
            assert_eq!(said(&plain), said(text.as_bytes()), "raw is the record, but for white space");
            if !text.contains(['\n', '\r']) {
                assert_eq!(plain.strip_suffix(b"\n"), Some(raw), "and without line breaks byte for byte");
            }
        }

        let enveloped = line(format, true, &name, raw);
        assert!(is_one_line(&enveloped), "{:?}", String::from_utf8_lossy(&enveloped));
        if matches!(format, OutputFormat::Cef | OutputFormat::Hec) {
            continue;
        }
        is_json(&enveloped);
        let read: Result<Enveloped<'_>, _> = serde_json::from_slice(&enveloped);
        let Ok(read) = read else {
            // The envelope is one level more; serde_json takes no more than 127.
            assert!(read.is_err_and(|error| error.to_string().starts_with("recursion limit")));
            continue;
        };
        assert_eq!((&read.feed.content_id, &read.feed.tenant_name), (&name, &name));
        assert_eq!(read.feed.labels, BTreeMap::from([(name.clone(), name.clone())]));
        assert!(read.feed.id.len() == 32 && read.feed.id.bytes().all(|b| b.is_ascii_hexdigit()));
        if is_record {
            assert_eq!(read.record.get().as_bytes(), plain.trim_ascii(), "the envelope holds the line");
        }
        ids.push(read.feed.id);
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "one record, one id: {ids:?}");
}

fn line(format: OutputFormat, envelope: bool, name: &str, raw: &[u8]) -> Vec<u8> {
    let labels = BTreeMap::from([(name.to_owned(), name.to_owned())]);
    let context = Context {
        tenant: &"0f0e0d0c-0000-4000-8000-000000000001".parse().unwrap(),
        tenant_name: Some(name),
        labels: &labels,
        content_type: ContentType::AuditGeneral,
        content_id: &ContentId(name.to_owned()),
        content_created: Time(1_772_366_400_000),
        index: 7,
    };
    let mut out = b"the line before\n".to_vec();
    Formatter::new(format, envelope).line(&context, raw, &mut out);
    out.split_off(16)
}

fn is_one_line(line: &[u8]) -> bool {
    line.strip_suffix(b"\n").is_some_and(|line| !line.iter().any(|b| matches!(b, b'\n' | b'\r')))
}

fn is_json(line: &[u8]) {
    let text = std::str::from_utf8(line).expect("UTF-8");
    let control = text.trim_end_matches('\n').bytes().any(|b| b < b' ' && b != b'\t');
    assert!(!control, "a control character in {text:?}");
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        assert!(error.to_string().starts_with("recursion limit"), "{error}: {text}");
    }
}

/// The tokens of JSON text, without the white space between them.
fn said(json: &[u8]) -> Vec<u8> {
    let (mut said, mut in_string, mut escaped) = (Vec::new(), false, false);
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        said.push(byte);
    }
    said
}
