//! The JSON Schema of the clean form, made from the types themselves: a field that is added is in it.
//!
//! It says what a value that fits its field looks like. Records hold others as well, and they are kept as they are; so do
//! fields that no schema names. Whoever validates strictly should expect both and not throw an event away for them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::air::Investigation;
use super::code::Coded;
use super::common_schema::Common;
use super::fields::{Fields, Joined, Untyped};
use super::file::FileDetection;
use super::mail::Mail;
use super::name::Names;
use super::url::UrlClick;
use crate::domain::RecordType;

/// The shapes of the objects that were met so far, by name.
#[derive(Debug, Default)]
pub struct Shapes(BTreeMap<String, Value>);

impl Shapes {
    /// A reference to the shape called `name`, which `make` makes when it is met first.
    pub(crate) fn named(&mut self, name: &str, make: impl FnOnce(&mut Shapes) -> Value) -> Value {
        if !self.0.contains_key(name) {
            // Entities hold entities: the name stands before its shape does.
            self.0.insert(name.to_owned(), Value::Null);
            let shape = make(self);
            self.0.insert(name.to_owned(), shape);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// The shape of objects in which `key` has one of these values, and that only.
    pub(crate) fn of_kind(&mut self, key: &str, values: &[&str], shape: impl FnOnce(&mut Shapes) -> Value) -> Value {
        json!({ "if": { "properties": { key: { "enum": values } }, "required": [key] }, "then": shape(self) })
    }

    /// The shape of an object with these fields.
    pub(crate) fn object<F: Fields>(&mut self) -> Value {
        self.named(&F::title(), |shapes| {
            let mut properties = Map::new();
            F::shapes(shapes, &mut |name, shape, named| {
                properties.insert(name.to_owned(), or_null(shape));
                if named {
                    properties.insert(format!("{name}Name"), json!({ "type": "string" }));
                }
            });
            json!({ "type": "object", "properties": properties })
        })
    }
}

/// `shape` or null: any field may be null.
fn or_null(shape: Value) -> Value {
    match shape.get("type").cloned() {
        Some(Value::String(kind)) if kind != "null" => {
            let mut shape = shape;
            shape["type"] = json!([kind, "null"]);
            shape
        }
        _ if shape.as_object().is_some_and(Map::is_empty) => shape,
        _ => json!({ "anyOf": [shape, { "type": "null" }] }),
    }
}

/// A numbered enum: its number, its name beside it.
pub(crate) fn code<E: Coded>() -> Value {
    // A name without a number stands in its place.
    if E::NUMBERED { json!({ "type": ["integer", "string"] }) } else { json!({ "type": ["string", "integer"] }) }
}

/// An enum of names: open, so that they are examples.
pub(crate) fn named<E: Names>() -> Value {
    let names: Vec<_> = E::ALL.iter().map(|(_, name)| *name).collect();
    json!({ "type": "string", "examples": names })
}

/// The schema of an event, as JSON text for a person to read.
pub fn of_event() -> String {
    let mut shapes = Shapes::default();
    let typed = [
        (RecordType::MAIL, shapes.object::<Joined<Common, Mail>>()),
        (RecordType::URL, shapes.object::<Joined<Common, UrlClick>>()),
        (RecordType::FILE, shapes.object::<Joined<Common, FileDetection>>()),
        (RecordType::AIR, shapes.object::<Joined<Common, Investigation>>()),
    ];
    let common = shapes.object::<Joined<Common, Untyped>>();
    let by_type: Vec<_> = typed
        .into_iter()
        .map(|(number, shape)| {
            json!({ "if": { "properties": { "RecordType": { "const": number.0 } }, "required": ["RecordType"] }, "then": shape })
        })
        .collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of defender-feed (--format event)",
        "description": "A record of the Office 365 Management Activity API, typed and cleaned. Every field may be missing or null. \
            A value that does not fit its field, and a field that nobody documents, are kept as they are.",
        "type": "object",
        "properties": {
            "feed_untyped": { "type": "string", "description": "Why the record could not be typed; it then stands as it came." },
            "feed_bytes": { "type": "string", "contentEncoding": "base64", "description": "What came, if it was no JSON object." },
        },
        "allOf": [common, { "allOf": by_type }],
        "$defs": shapes.0,
    });
    let mut text = format!("{schema:#}");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
