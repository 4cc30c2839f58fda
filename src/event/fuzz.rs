//! What holds of any record: it is written back as it was, and its clean form holds all of it.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use super::field::Form;
use super::json::{self, Unquoted};
use super::reader::{Drift, Reader};
use super::{Event, EventError};

/// JSON text as it counts: without white space and free escapes; order, repeated keys and the digits of numbers stay.
fn said(json: &str) -> String {
    match json.as_bytes()[0] {
        b'{' => {
            let members = json::members(json, &mut Reader::new()).unwrap();
            let members: Vec<_> = members.iter().map(|m| format!("{}:{}", m.literal, said(m.json))).collect();
            format!("{{{}}}", members.join(","))
        }
        b'[' => {
            let elements = json::elements(json, &mut Reader::new(), 0).unwrap();
            format!("[{}]", elements.iter().map(|element| said(element)).collect::<Vec<_>>().join(","))
        }
        b'"' => match json::unquote(json) {
            Unquoted::Plain(text) => json::quote(text),
            Unquoted::Escaped(text) => json::quote(&text),
            Unquoted::Lossy(_) => json.to_owned(),
        },
        _ => json.to_owned(),
    }
}

pub(super) fn clean(json: &str) -> (String, Vec<Drift>) {
    let (event, drift) = Event::read(json.as_bytes()).unwrap();
    let mut out = Vec::new();
    event.write(Form::Clean, &mut out);
    (String::from_utf8(out).unwrap(), drift)
}

/// What has to hold for every record.
pub(super) fn holds(json: &str) {
    let event = Event::from_json(json.as_bytes()).unwrap();
    let wire = String::from_utf8(event.to_json()).unwrap();
    assert_eq!(said(&wire), said(json.trim()), "the wire form says what the record says");
    let (cleaned, _) = clean(json);
    serde_json::from_str::<serde::de::IgnoredAny>(&cleaned).expect("the clean form is JSON");
    assert!(!cleaned.contains(['\n', '\r']) && !wire.contains(['\n', '\r']), "one line");
    assert_eq!(clean(&cleaned).0, cleaned, "the clean form reads as itself");
    let (mut words, mut kept) = (Vec::new(), Vec::new());
    words_of(json.trim(), &mut words);
    words_of(&cleaned, &mut kept);
    for word in words {
        assert!(kept.contains(&word), "the clean form lacks {word:?}: {cleaned}");
    }
}

/// The texts that no cleaning changes, in lower case: letters alone, too short for a hash and too long for a truth value. Those in
/// JSON inside of texts count too.
fn words_of(json: &str, words: &mut Vec<String>) {
    match json.as_bytes()[0] {
        b'{' => json::members(json, &mut Reader::new()).unwrap().iter().for_each(|member| words_of(member.json, words)),
        b'[' => json::elements(json, &mut Reader::new(), 0).unwrap().iter().for_each(|element| words_of(element, words)),
        b'"' => {
            let text = match json::unquote(json) {
                Unquoted::Plain(text) => text.to_owned(),
                Unquoted::Escaped(text) => text,
                Unquoted::Lossy(_) => return,
            };
            if (6..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic()) {
                words.push(text.to_ascii_lowercase());
            } else if text.starts_with(['{', '[']) && Event::from_json(format!("{{\"a\":{text}}}").as_bytes()).is_ok() {
                words_of(text.trim(), words);
            }
        }
        _ => {}
    }
}

/// [`holds`] for whatever is a record at all. True if it is one.
pub(crate) fn record(raw: &[u8]) -> bool {
    match Event::from_json(raw) {
        Ok(_) => holds(std::str::from_utf8(raw).unwrap()),
        Err(EventError::TooManyValues) => {}
        Err(EventError::NotUtf8(_) | EventError::NotAnObject(_)) => return false,
    }
    true
}
