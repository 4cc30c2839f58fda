//! The top-level members of an object that is known to be valid, and the text of its strings.
//!
//! This is the plain, slow way, for the few elements that need it. It never panics on an object that is not valid, but what it says
//! then means nothing.

use std::borrow::Cow;

use super::skip::{blank_end, is_blank, plain_end};

/// One member: the key between its quotes, and the value, both as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member<'a> {
    key: &'a [u8],
    /// The value's bytes without white space around them.
    pub(super) value: &'a [u8],
}

impl<'a> Member<'a> {
    /// True if the key, with its escapes resolved, is `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        if self.key.contains(&b'\\') {
            std::str::from_utf8(self.key).is_ok_and(|key| unescaped(key).eq(name.chars()))
        } else {
            self.key == name.as_bytes()
        }
    }

    /// The value if it is a string, with its escapes resolved.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        text(self.value)
    }
}

/// The members of a valid object, in their order, repeated ones too.
pub(super) fn members(object: &[u8]) -> impl Iterator<Item = Member<'_>> {
    let mut pos = blank_end(object, 0) + 1;
    std::iter::from_fn(move || {
        pos = blank_end(object, pos);
        if object.get(pos) == Some(&b',') {
            pos = blank_end(object, pos + 1);
        }
        if object.get(pos) != Some(&b'"') {
            return None;
        }
        let after = value_end(object, pos);
        let key = object.get(pos + 1..after.checked_sub(1)?)?;
        let value = value_after_key(object, after);
        pos = after_value(object, after);
        Some(Member { key, value })
    })
}

/// The value that follows the key which ends at `key_end` (just behind its closing quote).
pub(super) fn value_after_key(object: &[u8], key_end: usize) -> &[u8] {
    let start = value_start(object, key_end);
    object.get(start..value_end(object, start)).unwrap_or_default()
}

fn after_value(object: &[u8], key_end: usize) -> usize {
    value_end(object, value_start(object, key_end))
}

fn value_start(object: &[u8], key_end: usize) -> usize {
    blank_end(object, blank_end(object, key_end) + 1)
}

/// Where the value that starts at `start` ends.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut pos = start;
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(pos) {
        match byte {
            b'"' => pos = string_end(bytes, pos + 1),
            b'{' | b'[' => (depth, pos) = (depth + 1, pos + 1),
            b'}' | b']' if depth == 0 => break,
            b'}' | b']' => (depth, pos) = (depth - 1, pos + 1),
            b',' if depth == 0 => break,
            _ if depth == 0 && is_blank(byte) => break,
            _ => {
                pos += 1;
                continue;
            }
        }
        if depth == 0 {
            break;
        }
    }
    pos.min(bytes.len())
}

/// Just behind the quote that closes the string whose text starts at `from`.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut pos = plain_end(bytes, from);
    while let Some(&byte) = bytes.get(pos) {
        match byte {
            b'"' => return pos + 1,
            b'\\' => pos = plain_end(bytes, pos + 2),
            _ => pos = plain_end(bytes, pos + 1),
        }
    }
    bytes.len()
}

/// The text of a JSON string, its escapes resolved; nothing if `value` is no string.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let inner = std::str::from_utf8(inner).ok()?;
    Some(if inner.contains('\\') { Cow::Owned(unescaped(inner).collect()) } else { Cow::Borrowed(inner) })
}

/// The characters of a JSON string's inside. Lone surrogates come out as U+FFFD.
fn unescaped(inner: &str) -> impl Iterator<Item = char> {
    let mut rest = inner.chars();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        if first != '\\' {
            return Some(first);
        }
        Some(match rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => unicode_escape(&mut rest),
            other => other,
        })
    })
}

/// The character of a `\u` escape whose digits are next in `rest`; takes the second half of a surrogate pair too.
fn unicode_escape(rest: &mut std::str::Chars<'_>) -> char {
    let first = four_digits(rest);
    if (0xD800..0xDC00).contains(&first) {
        let mut ahead = rest.clone();
        if ahead.next() == Some('\\') && ahead.next() == Some('u') {
            let second = four_digits(&mut ahead);
            if (0xDC00..0xE000).contains(&second) {
                *rest = ahead;
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn four_digits(rest: &mut std::str::Chars<'_>) -> u32 {
    rest.take(4).fold(0, |code, digit| code * 16 + digit.to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(object: &str) -> Vec<(String, String)> {
        let as_text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        members(object.as_bytes()).map(|m| (as_text(m.key), as_text(m.value))).collect()
    }

    #[test]
    fn members_are_those_of_the_top_level_only() {
        let object = "{ \"a\" : {\"RecordType\":28,\"x\":[\"]\",{}]} ,\"b\\\"\":\"}\\\\\",\"c\":-1.5e3\n,\"a\":null,\"\":[[],{}],\"z\":true}";
        let expected = [
            ("a", "{\"RecordType\":28,\"x\":[\"]\",{}]}"),
            ("b\\\"", "\"}\\\\\""),
            ("c", "-1.5e3"),
            ("a", "null"),
            ("", "[[],{}]"),
            ("z", "true"),
        ];
        assert_eq!(pairs(object), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(pairs("{}").is_empty());
        assert!(pairs("{ }").is_empty());
    }

    #[test]
    fn invalid_objects_do_no_harm() {
        for object in ["", "{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":\"\\", "{\"a\":[", "}{", "{\"a\":}", "{,,,}", "{\"\\"]
        {
            assert!(pairs(object).len() <= 1, "{object}");
        }
    }

    #[test]
    fn escapes_are_resolved_as_serde_json_does() {
        for string in [r#""Record\u0054ype""#, r#""\b\f\n\r\t\/\\\"""#, r#""\ud83d\ude00 \u00e9 é""#, r#""plain""#, r#""""#] {
            let expected: String = serde_json::from_str(string).unwrap();
            assert_eq!(text(string.as_bytes()).unwrap(), expected, "{string}");
        }
        assert_eq!(text(br#""\ud83d-\ude00\ud83dA""#).unwrap(), "\u{fffd}-\u{fffd}\u{fffd}A");
        assert_eq!(text(b"28"), None);
        assert_eq!(text(b"\""), None);
    }
}
