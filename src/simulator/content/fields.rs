//! A JSON object being written by hand: keys in a chosen order, repeated keys allowed, as the service's own texts are.

use std::fmt::Write;

/// Keys with their values as finished JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

/// A JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    // Only what RFC 8259 section 7 demands, so that other characters travel as they are.
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string can't fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A JSON array of finished values.
pub(super) fn array<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> String {
    let mut out = String::from("[");
    for (i, value) in values.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(value.as_ref());
    }
    out.push(']');
    out
}

/// A JSON array of strings.
pub(super) fn texts(values: &[&str]) -> String {
    array(values.iter().map(|v| quoted(v)))
}

impl Fields {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a string.
    pub(super) fn text(mut self, key: &str, value: impl AsRef<str>) -> Self {
        self.0.push((quoted(key), quoted(value.as_ref())));
        self
    }

    /// Adds a finished JSON value.
    pub(super) fn json(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.push((quoted(key), value.into()));
        self
    }

    /// Adds a finished JSON value under a key that is written as it stands, quotes included.
    pub(super) fn raw_key(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a number.
    pub(super) fn number(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.json(key, value.to_string())
    }

    /// Adds all of `other`.
    pub(super) fn all(mut self, other: Fields) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Moves the first key of that name to the end.
    pub(super) fn last(mut self, key: &str) -> Self {
        if let Some(i) = self.0.iter().position(|(k, _)| k.trim_matches('"') == key) {
            let field = self.0.remove(i);
            self.0.push(field);
        }
        self
    }

    /// Removes the first key of that name.
    pub(super) fn without(mut self, key: &str) -> Self {
        self.0.retain(|(k, _)| k.trim_matches('"') != key);
        self
    }

    /// The object as text. `turn` rotates the keys: the same event comes in another key order the next time
    /// (`activity-api.md` section 12, row 15).
    pub(super) fn render(&self, turn: usize) -> String {
        let mut out = String::from("{");
        let n = self.0.len().max(1);
        for i in 0..self.0.len() {
            if i > 0 {
                out.push(',');
            }
            let (key, value) = &self.0[(i + turn) % n];
            out.push_str(key);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_json() {
        let fields = Fields::new().text("a", "x\"\\\n\u{1}é").number("b", 1).json("b", array(["1", "null"]));
        assert_eq!(fields.render(0), "{\"a\":\"x\\\"\\\\\\n\\u0001é\",\"b\":1,\"b\":[1,null]}");
        let value: serde_json::Value = serde_json::from_str(&fields.render(1)).unwrap();
        assert_eq!(value["a"], "x\"\\\n\u{1}é");
        assert_eq!(Fields::new().number("a", 1).number("b", 2).last("a").render(0), r#"{"b":2,"a":1}"#);
        assert_eq!(Fields::new().render(5), "{}");
    }
}
