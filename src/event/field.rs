//! Fields that may be absent, null, or of another shape than documented; lists; JSON inside strings.

use serde_json::{Value, json};

use super::json::{self, Raw};
use super::reader::{DriftKind, Reader};
use super::schema::Shapes;
use super::text::Text;

/// In which form a typed record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As Microsoft wrote it: no field and no value differs.
    Wire,
    /// Cleaned: see the `format` room's `event` format.
    Clean,
}

/// A value that can be read from a record and written back.
pub trait Model: Sized {
    /// True if the clean form may have a name beside the value.
    const NAMED: bool = false;

    /// The JSON Schema of the clean form.
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({})
    }

    /// Reads `json`, one valid JSON value without white space around it and not `null`. `None`: its shape does not fit.
    fn read(json: &str, reader: &mut Reader) -> Option<Self>;

    /// Appends the value as JSON.
    fn write(&self, form: Form, out: &mut Vec<u8>);

    /// True if this value is to be preferred to `other`, which stands earlier under the same key.
    fn better_than(&self, _other: &Self) -> bool {
        false
    }

    /// True if this value says what `other` says, so that one of the two is enough.
    fn same_as(&self, _other: &Self) -> bool {
        false
    }

    /// The name that the clean form writes beside a number, under the field's name with `Name` added.
    fn companion(&self) -> Option<&str> {
        None
    }

    /// True if the clean form says what the record says in the companion alone: the record has the name where the clean
    /// form has its number.
    fn is_said_by_companion(&self) -> bool {
        false
    }

    /// Takes `name`, which the record gives beside the number, if it is a name of this number.
    fn accept_companion(&mut self, _name: &str) -> bool {
        false
    }
}

impl<T: Model> Model for Box<T> {
    const NAMED: bool = T::NAMED;

    fn shape(shapes: &mut Shapes) -> Value {
        T::shape(shapes)
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        T::read(json, reader).map(Box::new)
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        (**self).write(form, out);
    }
}

/// One field of a record. Every field may be missing, whatever the documentation says.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Field<T> {
    /// The record does not have it.
    #[default]
    Absent,
    /// `null`
    Null,
    /// A value that fits.
    Value(T),
    /// A value that fits, alone in an array.
    Listed(T),
    /// A value of another shape, kept as it is.
    Odd(Raw),
}

impl<T> Field<T> {
    /// The value, if there is one that fits.
    pub fn get(&self) -> Option<&T> {
        match self {
            Field::Value(value) | Field::Listed(value) => Some(value),
            Field::Absent | Field::Null | Field::Odd(_) => None,
        }
    }

    fn get_mut(&mut self) -> Option<&mut T> {
        match self {
            Field::Value(value) | Field::Listed(value) => Some(value),
            Field::Absent | Field::Null | Field::Odd(_) => None,
        }
    }
}

impl<T: Model> Field<T> {
    fn read(json: &str, reader: &mut Reader) -> Field<T> {
        if json == "null" {
            return Field::Null;
        }
        if let Some(value) = T::read(json, reader) {
            return Field::Value(value);
        }
        let alone = json::only_element(json).filter(|element| *element != "null");
        if let Some(value) = alone.and_then(|element| T::read(element, reader)) {
            return Field::Listed(value);
        }
        reader.drifted(DriftKind::OddShape);
        Field::Odd(Raw::new(json))
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match self {
            Field::Absent | Field::Null => out.extend_from_slice(b"null"),
            Field::Value(value) => value.write(form, out),
            Field::Listed(value) if form == Form::Wire => {
                out.push(b'[');
                value.write(form, out);
                out.push(b']');
            }
            Field::Listed(value) => value.write(form, out),
            Field::Odd(raw) => out.extend_from_slice(raw.json().as_bytes()),
        }
    }
}

/// What became of a value offered to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// The field was empty and took it.
    First,
    /// The field took it in place of the one it had. `same`: both say the same.
    Better {
        /// The former value is not worth telling.
        same: bool,
    },
    /// The field keeps the one it has. `same`: both say the same.
    Refused {
        /// The offered value is not worth telling.
        same: bool,
    },
}

/// A field, whatever its type: how objects handle their fields.
pub trait Slot {
    /// Offers a value that the record has under the field's key.
    fn offer(&mut self, json: &str, reader: &mut Reader) -> Offer;
    /// True if the record does not have the field.
    fn is_absent(&self) -> bool;
    /// Appends the field's value as JSON.
    fn write(&self, form: Form, out: &mut Vec<u8>);
    /// [`Model::companion`] of the value.
    fn companion(&self) -> Option<&str>;
    /// [`Model::is_said_by_companion`] of the value.
    fn is_said_by_companion(&self) -> bool;
    /// [`Model::accept_companion`] of the value.
    fn accept_companion(&mut self, name: &str) -> bool;
}

impl<T: Model> Slot for Field<T> {
    fn offer(&mut self, json: &str, reader: &mut Reader) -> Offer {
        let new = Field::read(json, reader);
        let (better, same) = match (&*self, &new) {
            (Field::Absent, _) => {
                *self = new;
                return Offer::First;
            }
            (_, Field::Null) => (false, true),
            (Field::Null, _) => (true, true),
            (Field::Odd(old), Field::Odd(new)) => (false, old == new),
            (Field::Odd(_), _) => (true, false),
            (_, Field::Odd(_)) => (false, false),
            (old, new) => match (old.get(), new.get()) {
                (Some(old), Some(new)) => (new.better_than(old), new.same_as(old)),
                _ => (false, false),
            },
        };
        if better {
            *self = new;
            Offer::Better { same }
        } else {
            Offer::Refused { same }
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        Field::write(self, form, out);
    }

    fn companion(&self) -> Option<&str> {
        self.get().and_then(Model::companion)
    }

    fn is_said_by_companion(&self) -> bool {
        self.get().is_some_and(Model::is_said_by_companion)
    }

    fn accept_companion(&mut self, name: &str) -> bool {
        self.get_mut().is_some_and(|value| value.accept_companion(name))
    }
}

/// A list. A value that stands alone where a list is documented is a list of one; the clean form writes it as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Many<T> {
    /// The elements; null and odd ones keep their places.
    pub items: Vec<Field<T>>,
    alone: bool,
}

impl<T> Many<T> {
    /// The elements that fit.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().filter_map(Field::get)
    }
}

impl<T: Model> Model for Many<T> {
    fn shape(shapes: &mut Shapes) -> Value {
        json!({ "type": "array", "items": T::shape(shapes) })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        if !json.starts_with('[') {
            let value = T::read(json, reader)?;
            return Some(Many { items: vec![Field::Value(value)], alone: true });
        }
        let elements = json::elements(json, reader, size_of::<Field<T>>()).ok()?;
        Some(Many { items: elements.into_iter().map(|element| Field::read(element, reader)).collect(), alone: false })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        if let ([only], true, Form::Wire) = (self.items.as_slice(), self.alone, form) {
            return only.write(form, out);
        }
        out.push(b'[');
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.write(form, out);
        }
        out.push(b']');
    }
}

/// A list that the service in truth writes as one value: documented as a collection, seen as an object. Both forms write
/// it as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct OneOrMany<T>(pub Many<T>);

impl<T: Model> Model for OneOrMany<T> {
    fn shape(shapes: &mut Shapes) -> Value {
        json!({ "anyOf": [T::shape(shapes), Many::<T>::shape(shapes)] })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        Many::read(json, reader).map(OneOrMany)
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match self.0.items.as_slice() {
            [only] if self.0.alone => only.write(form, out),
            _ => self.0.write(form, out),
        }
    }
}

/// One of two shapes.
#[derive(Debug, Clone, PartialEq)]
pub enum Either<A, B> {
    /// The first shape.
    First(A),
    /// The second.
    Second(B),
}

impl<A: Model, B: Model> Model for Either<A, B> {
    fn shape(shapes: &mut Shapes) -> Value {
        json!({ "anyOf": [A::shape(shapes), B::shape(shapes)] })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        A::read(json, reader).map(Either::First).or_else(|| B::read(json, reader).map(Either::Second))
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match self {
            Either::First(value) => value.write(form, out),
            Either::Second(value) => value.write(form, out),
        }
    }
}

/// A value that the service writes as JSON inside a string, or in place.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded<T> {
    /// The string, if it came as one: the wire form, to the last space.
    pub text: Option<Text>,
    /// What it says. `None`: the text can't be read as JSON of this shape, and only the text is kept.
    pub value: Option<T>,
}

/// Arrays and objects in each other that a text may hold. Real ones nest seven deep. The texts of `Actions` can stand in a
/// text themselves, and a line of output then stays within the 128 that the decoder takes.
const MAX_EMBEDDED_DEPTH: usize = 48;

impl<T: Model> Model for Embedded<T> {
    /// A text that can't be read stays the text.
    fn shape(shapes: &mut Shapes) -> Value {
        json!({ "anyOf": [T::shape(shapes), { "type": "string" }] })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        if !json.starts_with('"') {
            return T::read(json, reader).map(|value| Embedded { text: None, value: Some(value) });
        }
        let text = Text::read(json, reader)?;
        let inner = text.as_str().trim_matches([' ', '\t', '\r', '\n']);
        let is_json = inner.starts_with(['{', '[']) && !text.is_lossy() && json::depth(inner) <= MAX_EMBEDDED_DEPTH;
        let is_json = is_json && serde_json::from_str::<serde::de::IgnoredAny>(inner).is_ok();
        if let Some(value) = is_json.then(|| T::read(inner, reader)).flatten() {
            return Some(Embedded { text: Some(text), value: Some(value) });
        }
        // A list of texts may come as one plain text.
        if let Some(value) = T::read(json, reader) {
            return Some(Embedded { text: None, value: Some(value) });
        }
        if !text.as_str().is_empty() {
            reader.drifted(DriftKind::Unreadable);
        }
        Some(Embedded { text: Some(text), value: None })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match (&self.text, &self.value) {
            (Some(text), _) if form == Form::Wire => text.write(form, out),
            (_, Some(value)) => value.write(form, out),
            (Some(text), None) => text.write(form, out),
            (None, None) => out.extend_from_slice(b"null"),
        }
    }
}

/// A value whose shape no schema tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Any(pub Raw);

impl Model for Any {
    fn read(json: &str, _reader: &mut Reader) -> Option<Self> {
        Some(Any(Raw::new(json)))
    }

    fn write(&self, _form: Form, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.json().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Number;
    use super::*;

    fn both<T: Model>(json: &str) -> Option<(String, String, usize)> {
        let mut reader = Reader::new();
        let mut field = Field::<T>::default();
        field.offer(json, &mut reader);
        let written = |form| {
            let mut out = Vec::new();
            field.write(form, &mut out);
            String::from_utf8(out).unwrap()
        };
        field.get().map(|_| (written(Form::Wire), written(Form::Clean), reader.into_drift().len()))
    }

    fn fits<T: Model>(json: &str, clean: &str) {
        assert_eq!(both::<T>(json), Some((json.to_owned(), clean.to_owned(), 0)), "{json}");
    }

    #[test]
    fn scalars_and_lists_stand_in_for_each_other() {
        fits::<Many<Text>>(r#"["a",null,"b"]"#, r#"["a",null,"b"]"#);
        fits::<Many<Text>>(r#""a""#, r#"["a"]"#);
        fits::<Many<Text>>("[]", "[]");
        fits::<Text>(r#"["a"]"#, r#""a""#);
        fits::<OneOrMany<Text>>(r#""a""#, r#""a""#);
        fits::<OneOrMany<Text>>(r#"["a"]"#, r#"["a"]"#);
        assert_eq!(both::<Text>(r#"["a","b"]"#), None);
        assert_eq!(both::<Text>("[null]"), None);
    }

    #[test]
    fn json_in_strings_is_read_where_it_can_be() {
        fits::<Embedded<Many<Text>>>(r#""[\"a\", \"b\"]""#, r#"["a","b"]"#);
        fits::<Embedded<Many<Text>>>(r#"["a"]"#, r#"["a"]"#);
        fits::<Embedded<Many<Text>>>(r#""plain""#, r#"["plain"]"#);
        fits::<Embedded<Many<Embedded<Many<Number>>>>>(r#"["[1]","[2,3]"]"#, "[[1],[2,3]]");
        let deep = format!("\"{}{}\"", "[".repeat(49), "]".repeat(49));
        fits::<Embedded<Many<Text>>>(&deep, &format!("[{deep}]"));
    }

    #[test]
    fn a_broken_text_is_kept_and_counted() {
        let broken = r#""{\"a\":""#;
        assert_eq!(both::<Embedded<Any>>(broken), Some((broken.to_owned(), broken.to_owned(), 0)));
        assert_eq!(both::<Embedded<Number>>(broken), Some((broken.to_owned(), broken.to_owned(), 1)));
    }

    #[test]
    fn of_repeated_values_the_first_that_fits_stays() {
        let mut reader = Reader::new();
        let mut field = Field::<Number>::default();
        assert_eq!(field.offer("{}", &mut reader), Offer::First);
        assert_eq!(field.offer("null", &mut reader), Offer::Refused { same: true });
        assert_eq!(field.offer("7", &mut reader), Offer::Better { same: false });
        assert_eq!(field.offer("8", &mut reader), Offer::Refused { same: false });
        assert_eq!(field.offer("[7]", &mut reader), Offer::Refused { same: true });
        assert_eq!(field.get().and_then(Number::as_i64), Some(7));
    }
}
