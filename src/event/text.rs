//! Texts, numbers and flags, however they are written.

use serde_json::{Value, json};

use super::field::{Form, Model};
use super::json::{self, Unquoted};
use super::reader::Reader;
use super::schema::Shapes;

/// A text. A number or truth value where a text is documented is taken for its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    value: Box<str>,
    /// The JSON text, where it is not simply `value` in quotes.
    literal: Option<Box<str>>,
}

impl Text {
    /// The text. A lone surrogate in it, which no Rust text can hold, stands as replacement characters.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// True if the text held a lone surrogate: [`Text::as_str`] is not all of it.
    pub fn is_lossy(&self) -> bool {
        self.literal.as_deref().is_some_and(|literal| literal.starts_with('"'))
    }
}

impl Model for Text {
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({ "type": "string" })
    }

    fn read(json: &str, _reader: &mut Reader) -> Option<Self> {
        match json.as_bytes().first()? {
            b'"' => Some(match json::unquote(json) {
                Unquoted::Plain(text) => Text { value: text.into(), literal: None },
                Unquoted::Escaped(text) => Text { value: text.into(), literal: None },
                Unquoted::Lossy(text) => Text { value: text.into(), literal: Some(json.into()) },
            }),
            b'{' | b'[' | b'n' => None,
            _ => Some(Text { value: json.into(), literal: Some(json.into()) }),
        }
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match &self.literal {
            Some(literal) if form == Form::Wire || self.is_lossy() => out.extend_from_slice(literal.as_bytes()),
            _ => json::write_string(&self.value, out),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        self.value == other.value && !self.is_lossy() && !other.is_lossy()
    }
}

/// A number of any size and precision, or a string with one in it. The clean form writes a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    text: Box<str>,
    quoted: bool,
}

impl Number {
    /// The number as written: `1.0` stays `1.0`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The number, if it is whole and has 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        whole(&self.text)
    }
}

/// The whole number that a JSON number is: also `28.0` and `2.8e1`.
pub(crate) fn whole(number: &str) -> Option<i64> {
    if let Ok(value) = number.parse() {
        return Some(value);
    }
    /// Up to here each whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value: f64 = number.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    (value.fract() == 0.0 && value.abs() < EXACT).then_some(value as i64)
}

impl Model for Number {
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({ "type": "number" })
    }

    fn read(json: &str, _reader: &mut Reader) -> Option<Self> {
        let quoted = json.starts_with('"');
        let text = if quoted { json.get(1..json.len() - 1)? } else { json };
        json::is_number(text).then(|| Number { text: text.into(), quoted })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        let quotes = self.quoted && form == Form::Wire;
        let quote: &[u8] = if quotes { b"\"" } else { b"" };
        out.extend_from_slice(quote);
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(quote);
    }

    fn same_as(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A truth value, or a string that says `true` or `false` in any case. The clean form writes a truth value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Flag {
    /// True or false.
    pub value: bool,
    literal: Option<Box<str>>,
}

impl Model for Flag {
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({ "type": "boolean" })
    }

    fn read(json: &str, _reader: &mut Reader) -> Option<Self> {
        let value = match json {
            "true" => return Some(Flag { value: true, literal: None }),
            "false" => return Some(Flag { value: false, literal: None }),
            text if text.eq_ignore_ascii_case("\"true\"") => true,
            text if text.eq_ignore_ascii_case("\"false\"") => false,
            _ => return None,
        };
        Some(Flag { value, literal: Some(json.into()) })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        let plain = if self.value { "true" } else { "false" };
        let text = self.literal.as_deref().filter(|_| form == Form::Wire).unwrap_or(plain);
        out.extend_from_slice(text.as_bytes());
    }

    fn same_as(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both<T: Model>(json: &str) -> Option<(String, String)> {
        let value = T::read(json, &mut Reader::new())?;
        let written = |form| {
            let mut out = Vec::new();
            value.write(form, &mut out);
            String::from_utf8(out).unwrap()
        };
        Some((written(Form::Wire), written(Form::Clean)))
    }

    fn fits<T: Model>(json: &str, clean: &str) {
        assert_eq!(both::<T>(json), Some((json.to_owned(), clean.to_owned())));
    }

    #[test]
    fn texts_keep_what_rust_cannot_hold() {
        fits::<Text>(r#""caf\\é""#, r#""caf\\é""#);
        fits::<Text>(r#""a\ud800b""#, r#""a\ud800b""#);
        fits::<Text>("12345678901234567890123", r#""12345678901234567890123""#);
        fits::<Text>("true", r#""true""#);
        assert_eq!(both::<Text>(r#""\/\u0041""#), Some((r#""/A""#.to_owned(), r#""/A""#.to_owned())));
        assert_eq!(both::<Text>("{}"), None);
        let lone = Text::read(r#""a\ud800""#, &mut Reader::new()).unwrap();
        assert!(lone.is_lossy() && lone.as_str().starts_with("a\u{fffd}"));
    }

    #[test]
    fn numbers_stay_as_written() {
        fits::<Number>("1.0", "1.0");
        fits::<Number>("\"619\"", "619");
        fits::<Number>("340282366920938463463374607431768211456", "340282366920938463463374607431768211456");
        for bad in ["\"\"", "\"01\"", "\" 1\"", "\"one\"", "true", "[1]"] {
            assert_eq!(both::<Number>(bad), None, "{bad}");
        }
        assert_eq!([whole("28"), whole("28.0"), whole("2.8e1"), whole("-3")], [Some(28), Some(28), Some(28), Some(-3)]);
        assert_eq!([whole("1.5"), whole("1e300"), whole("18446744073709551616")], [None, None, None]);
    }

    #[test]
    fn flags_may_be_texts() {
        fits::<Flag>("true", "true");
        fits::<Flag>("\"False\"", "false");
        assert_eq!(both::<Flag>("1"), None);
    }
}
