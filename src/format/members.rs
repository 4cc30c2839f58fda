//! JSON objects written member by member: what is not known is left out, and so is what would be empty.

use chrono::{DateTime, SecondsFormat, Utc};

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// Where its first member stands.
    start: usize,
}

/// Appends an object, empty or not.
pub(super) fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    let start = out.len();
    fill(&mut Object { out, start });
    out.push(b'}');
}

/// Appends a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing a str into memory can't fail");
}

/// RFC 3339 in UTC, with as many digits as the time has, by threes.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl Object<'_> {
    /// Starts a member.
    fn key(&mut self, key: &str) {
        if self.out.len() > self.start {
            self.out.push(b',');
        }
        string(key, self.out);
        self.out.push(b':');
    }

    /// Adds a member whose value `write` appends.
    pub(super) fn value(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        write(self.out);
    }

    /// Adds a text.
    pub(super) fn text<'a>(&mut self, key: &str, text: impl Into<Option<&'a str>>) {
        if let Some(text) = text.into() {
            self.key(key);
            string(text, self.out);
        }
    }

    /// Adds a number.
    pub(super) fn number(&mut self, key: &str, number: impl Into<Option<i64>>) {
        if let Some(number) = number.into() {
            self.key(key);
            self.out.extend_from_slice(number.to_string().as_bytes());
        }
    }

    /// Adds a truth value.
    pub(super) fn flag(&mut self, key: &str, flag: impl Into<Option<bool>>) {
        if let Some(flag) = flag.into() {
            self.key(key);
            self.out.extend_from_slice(if flag { b"true" } else { b"false" });
        }
    }

    /// Adds a time as RFC 3339.
    pub(super) fn time(&mut self, key: &str, time: Option<DateTime<Utc>>) {
        self.text(key, time.map(rfc3339).as_deref());
    }

    /// Adds a time as milliseconds since 1970.
    pub(super) fn millis(&mut self, key: &str, time: Option<DateTime<Utc>>) {
        self.number(key, time.map(|time| time.timestamp_millis()));
    }

    /// Adds a list of texts, each once; no list of none.
    pub(super) fn texts<'a>(&mut self, key: &str, texts: impl IntoIterator<Item = &'a str>) {
        let mut seen = std::collections::HashSet::new();
        let unseen = texts.into_iter().filter(|text| seen.insert(*text));
        self.elements(key, unseen, string);
    }

    /// Adds an object; no empty one.
    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let before = self.out.len();
        self.key(key);
        let inside = self.out.len() + 1;
        object(self.out, fill);
        if self.out.len() == inside + 1 {
            self.out.truncate(before);
        }
    }

    /// Adds a list of objects, one of each item; no empty ones, and no list of none.
    pub(super) fn objects<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, fill: impl Fn(&mut Object<'_>, T)) {
        self.elements(key, items, |item, out| {
            let before = out.len();
            object(out, |object| fill(object, item));
            if out.len() == before + 2 {
                out.truncate(before);
            }
        });
    }

    /// Adds a list of what `write` appends for each item, if it appends anything.
    fn elements<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, write: impl Fn(T, &mut Vec<u8>)) {
        let before = self.out.len();
        self.key(key);
        self.out.push(b'[');
        let first = self.out.len();
        for item in items {
            let at = self.out.len();
            if at > first {
                self.out.push(b',');
            }
            let from = self.out.len();
            write(item, self.out);
            if self.out.len() == from {
                self.out.truncate(at);
            }
        }
        if self.out.len() == first {
            self.out.truncate(before);
        } else {
            self.out.push(b']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_or_empty_is_left_out() {
        let mut out = Vec::new();
        object(&mut out, |it| {
            it.text("none", None);
            it.object("empty", |it| it.object("deeper", |it| it.number("n", None)));
            it.texts("no_texts", []);
            it.texts("texts", ["a", "b", "a"]);
            it.objects("some", [None, Some("x"), None, Some("y")], |it, text| it.text("t", text));
            it.objects("nobody", [None::<&str>], |it, text| it.text("t", text));
            it.object("last", |it| {
                it.flag("f", true);
                it.number("n", -1);
                it.time("at", DateTime::from_timestamp_millis(1_500));
                it.millis("ms", DateTime::from_timestamp_millis(1_500));
                it.text("q", "\"\n\\");
            });
        });
        let expected = concat!(
            r#"{"texts":["a","b"],"some":[{"t":"x"},{"t":"y"}],"#,
            r#""last":{"f":true,"n":-1,"at":"1970-01-01T00:00:01.500Z","ms":1500,"q":"\"\n\\"}}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
