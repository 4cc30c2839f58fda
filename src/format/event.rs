//! `event`: the strongly typed event: the same data, cleaned.
//!
//! Keys are Microsoft's own in PascalCase, in the record's order. It stays flat, because that is what one can query:
//!
//! | in the record | in the event |
//! |---|---|
//! | a key spelled otherwise (`Delivery Action`, `URLClickAction`, `Connectors`) | Microsoft's name on the wire (`DeliveryAction`) |
//! | a numbered enum, as number, digits or name | `X`: the number, `XName`: its name. A name that the record gives stays that name. A number without a name has no `XName`; a name without a number stands in both |
//! | `DetectionType`, whose numbers are withdrawn | its name; a number of old has its name beside it, as above |
//! | a time in any of its forms | RFC 3339 in UTC with as many digits of a fraction as were given; `null` if it is not set (year 1) |
//! | a hash in hexadecimal or base64 | lower-case hexadecimal |
//! | JSON in a string (`Data`, `Actions`, `ThreatsAndDetectionTech`) | JSON; a text that can't be read as such stays the string |
//! | a number or truth value in a string (`FileSize`, `RunningTime`) | the number or truth value; numbers keep their digits |
//! | one value where a list is documented, or the reverse | what is documented |
//! | a key that repeats | once, if both say the same; else the better value, and the others as `X_2`, `X_3` |
//! | a field that nobody documents, a value that does not fit its field | as it is |
//!
//! It can be read back: `event` of an `event` is the same bytes.
//!
//! A record that can't be typed comes out as it is, with `"feed_untyped":"<why>"` before its first key (`too_many_values`).
//! Bytes that are no JSON object, which the decoder never hands out, become `{"feed_untyped":"<why>","feed_bytes":"<base64>"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::drift::DriftLedger;
use super::raw;
use crate::event::field::Form;
use crate::event::{Event, EventError};

/// The mark of a record that could not be typed.
const UNTYPED: &str = "feed_untyped";

/// Appends the record as an event.
pub(super) fn write(raw: &[u8], drift: &DriftLedger, out: &mut Vec<u8>) {
    match Event::read(raw) {
        Ok((event, drifted)) => {
            drift.add(event.record_type(), drifted);
            event.write(Form::Clean, out);
        }
        Err(error @ EventError::TooManyValues) => untyped(raw, error.as_str(), out),
        Err(error @ (EventError::NotAnObject(_) | EventError::NotUtf8(_))) => bytes(raw, error.as_str(), out),
    }
}

/// The record as it is, marked.
fn untyped(raw: &[u8], why: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let mark = format!("{{\"{UNTYPED}\":");
    raw::write(raw.trim_ascii(), out);
    if out[start..].starts_with(mark.as_bytes()) {
        return;
    }
    let empty = out[start + 1..].trim_ascii_start().starts_with(b"}");
    let mark = format!("{mark}\"{why}\"{}", if empty { "" } else { "," });
    out.splice(start..=start, mark.into_bytes());
}

/// Bytes that are no JSON object, so that they can stand in a line of JSON.
pub(super) fn bytes(raw: &[u8], why: &str, out: &mut Vec<u8>) {
    let text = format!("{{\"{UNTYPED}\":\"{why}\",\"feed_bytes\":\"{}\"}}", STANDARD.encode(raw));
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(raw: &[u8]) -> String {
        let mut out = b"before".to_vec();
        write(raw, &DriftLedger::default(), &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn what_would_take_too_much_memory_comes_out_as_it_is() {
        let many = format!("{{\"RecordType\":28,\n\"Recipients\":[{}0]}}", "0,".repeat(400_000));
        let event = line(many.as_bytes());
        assert!(
            event.starts_with("{\"feed_untyped\":\"too_many_values\",\"RecordType\":28,\"Recipients\":[0,0,"),
            "{}",
            &event[..80]
        );
        assert_eq!(event.len(), many.len() - 1 + "\"feed_untyped\":\"too_many_values\",".len());
        assert_eq!(line(event.as_bytes()), event, "the mark stands once");
    }

    #[test]
    fn the_mark_fits_an_empty_object_too() {
        let mut out = Vec::new();
        untyped(b" { } ", "why", &mut out);
        assert_eq!(out, b"{\"feed_untyped\":\"why\" }");
    }

    #[test]
    fn bytes_that_are_no_object_are_carried() {
        assert_eq!(line(b"[1]"), r#"{"feed_untyped":"not_an_object","feed_bytes":"WzFd"}"#);
        assert_eq!(line(b"\xff"), r#"{"feed_untyped":"not_utf8","feed_bytes":"/w=="}"#);
    }
}
