//! JSON text taken apart one level at a time, without losing what `serde_json::Value` would lose: repeated keys, numbers
//! of any size, strings with lone surrogates.
//!
//! Each level is scanned by `serde_json` into slices of the text; what lies deeper stays text until a type asks for it.
//! The scan does not recurse, so the depth of a value costs no stack.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::reader::Reader;

/// The JSON text of one value, as the record carried it, without the white space between its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw(Box<str>);

impl Raw {
    /// Keeps `json`, which is one valid JSON value.
    pub(crate) fn new(json: &str) -> Raw {
        Raw(compact(json).into())
    }

    /// The JSON text.
    pub fn json(&self) -> &str {
        &self.0
    }
}

/// One member of an object.
pub(crate) struct Member<'a> {
    /// The key's text; with replacement characters if it holds a lone surrogate.
    pub(crate) name: Cow<'a, str>,
    /// The key as JSON text, escaped in the usual way; exactly as written if it holds a lone surrogate.
    pub(crate) literal: Cow<'a, str>,
    /// The value as JSON text, without white space around it.
    pub(crate) json: &'a str,
}

/// Why a text could not be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is not one JSON value of that kind; the column where that shows, from 1.
    Syntax(usize),
    /// The reader's memory is spent.
    Exhausted,
}

/// Bytes that a member or element costs the reader, besides what its type takes: the slices while the level is read, the
/// key and the boxes if the member is unknown.
const MEMBER_COST: usize = 192;

/// The members of the object `json`, in order, repeated keys included.
pub(crate) fn members<'a>(json: &'a str, reader: &mut Reader) -> Result<Vec<Member<'a>>, Unread> {
    take_apart(json, reader, |text, level| text.deserialize_map(level))
}

/// The elements of the array `json`, each as JSON text; `cost` is what the type of one takes.
pub(crate) fn elements<'a>(json: &'a str, reader: &mut Reader, cost: usize) -> Result<Vec<&'a str>, Unread> {
    let elements = take_apart(json, reader, |text, level| text.deserialize_seq(Level { cost: MEMBER_COST + cost, ..level }))?;
    Ok(elements.into_iter().map(|element| element.json).collect())
}

/// The element of an array that has one and no more.
pub(crate) fn only_element(json: &str) -> Option<&str> {
    if !json.starts_with('[') {
        return None;
    }
    match elements(json, &mut Reader::with_memory(MEMBER_COST), 0).ok()?.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

type Text<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

fn take_apart<'a>(
    json: &'a str,
    reader: &mut Reader,
    read: impl FnOnce(&mut Text<'a>, Level<'_>) -> serde_json::Result<Vec<Member<'a>>>,
) -> Result<Vec<Member<'a>>, Unread> {
    let mut text = serde_json::Deserializer::from_str(json);
    let parts = read(&mut text, Level { reader: &mut *reader, cost: MEMBER_COST }).and_then(|parts| text.end().map(|()| parts));
    parts.map_err(|error| if reader.exhausted() { Unread::Exhausted } else { Unread::Syntax(error.column()) })
}

/// Reads one level, charging the reader for each part.
struct Level<'r> {
    reader: &'r mut Reader,
    cost: usize,
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<&RawValue>()? {
            let json = map.next_value::<&RawValue>()?.get();
            if !self.reader.charge(self.cost) {
                return Err(A::Error::custom("too many members"));
            }
            let (name, literal) = key_of(key.get());
            members.push(Member { name, literal, json });
        }
        Ok(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if !self.reader.charge(self.cost) {
                return Err(A::Error::custom("too many elements"));
            }
            elements.push(Member { name: Cow::Borrowed(""), literal: Cow::Borrowed(""), json: element.get() });
        }
        Ok(elements)
    }
}

fn key_of(literal: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    match unquote(literal) {
        Unquoted::Plain(text) => (Cow::Borrowed(text), Cow::Borrowed(literal)),
        Unquoted::Escaped(text) => {
            let literal = quote(&text);
            (Cow::Owned(text), Cow::Owned(literal))
        }
        Unquoted::Lossy(text) => (Cow::Owned(text), Cow::Borrowed(literal)),
    }
}

/// What a string literal says.
pub(crate) enum Unquoted<'a> {
    /// The text between the quotes, which needs no escape.
    Plain(&'a str),
    /// The text, after its escapes were resolved.
    Escaped(String),
    /// The text with replacement characters where it holds lone surrogates.
    Lossy(String),
}

/// Reads the string literal `literal`, quotes included.
pub(crate) fn unquote(literal: &str) -> Unquoted<'_> {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Unquoted::Plain(inner);
    }
    match serde_json::from_str::<String>(literal) {
        Ok(text) => Unquoted::Escaped(text),
        Err(_) => Unquoted::Lossy(lossy(literal)),
    }
}

/// The text of a literal that `String` can't hold: `serde_json` gives bytes where a lone surrogate stands.
fn lossy(literal: &str) -> String {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    impl<'de> DeserializeSeed<'de> for Bytes {
        type Value = String;
        fn deserialize<D: serde::Deserializer<'de>>(self, text: D) -> Result<String, D::Error> {
            text.deserialize_bytes(self)
        }
    }
    Bytes.deserialize(&mut serde_json::Deserializer::from_str(literal)).unwrap_or_else(|_| literal.to_owned())
}

/// `text` as a JSON string literal.
pub(crate) fn quote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    String::from_utf8(out).expect("serde_json writes UTF-8")
}

/// Appends `text` as a JSON string literal.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing a str into memory can't fail");
}

/// `json` without the white space between its tokens.
pub(crate) fn compact(json: &str) -> Cow<'_, str> {
    let space = |b: u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    if !json.bytes().any(space) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let (mut copied, mut in_string, mut escaped) = (0, false, false);
    for (at, byte) in json.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if space(byte) {
            out.push_str(&json[copied..at]);
            copied = at + 1;
        }
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// How deep arrays and objects nest in `json`.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    deepest
}

/// True if `text` is a JSON number and nothing else.
pub(crate) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().len() == text.len())
}

/// True if the two names are the same but for case, spaces, hyphens and underscores: the documentation writes
/// `Delivery Action` and `mail-message` where the wire has `DeliveryAction` and `mailMessage`.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    fn letters(text: &str) -> impl Iterator<Item = u8> + '_ {
        text.bytes().filter(|b| !matches!(b, b' ' | b'-' | b'_')).map(|b| b.to_ascii_lowercase())
    }
    letters(a).eq(letters(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_keeps_repeated_keys_numbers_and_lone_surrogates() {
        let json = r#"{ "a" : 1.0 , "a":[1, {"b":2}],"\ud800":"\udfff","\u0063":null}"#;
        let members = members(json, &mut Reader::new()).unwrap();
        let seen: Vec<_> = members.iter().map(|m| (m.name.as_ref(), m.literal.as_ref(), m.json)).collect();
        assert_eq!(
            seen,
            [
                ("a", "\"a\"", "1.0"),
                ("a", "\"a\"", r#"[1, {"b":2}]"#),
                ("\u{fffd}\u{fffd}\u{fffd}", "\"\\ud800\"", "\"\\udfff\""),
                ("c", "\"c\"", "null"),
            ]
        );
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(members(&deep, &mut Reader::new()).unwrap().len(), 1);
        assert_eq!(depth(&deep), 200_001);
    }

    #[test]
    fn white_space_goes_only_between_tokens() {
        assert_eq!(compact("{ \"a b\" :\n[ 1 , \"\\\" x\" ]\t}"), "{\"a b\":[1,\"\\\" x\"]}");
        assert!(matches!(compact("[1]"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        for bad in ["", "[1]", "{", "{\"a\":}", "{\"a\":1} x", "{\"a\":01}", "{'a':1}"] {
            assert!(matches!(members(bad, &mut Reader::new()), Err(Unread::Syntax(_))), "{bad}");
        }
    }

    #[test]
    fn numbers_are_recognised_by_the_grammar() {
        assert!(["0", "-1", "1.0", "1e5", "123456789012345678901234567890"].iter().all(|n| is_number(n)));
        assert!(!["", " 1", "1 ", "01", "+1", "0x1", "one", "--1"].iter().any(|n| is_number(n)));
    }

    #[test]
    fn names_meet_whatever_their_spelling() {
        assert!(same_name("Phish Confidence Level", "PhishConfidenceLevel"));
        assert!(same_name("URLClickAction", "UrlClickAction"));
        assert!(!same_name("Url", "Urls"));
    }
}
