//! The strongly typed records of types 28, 41, 47 and 64, and the common schema of all others. Pure: bytes in, types out,
//! and back.
//!
//! Records differ from their documentation in every way that JSON allows, and losing one because of that is not an option.
//! So a reading has three rules. *Every field may be absent, null, or odd*: a [`field::Field`] holds a value that fits its
//! type, or the raw JSON that doesn't. *Types remember how their value was written*, so that [`Event::to_json`] gives back
//! what [`Event::from_json`] was given, to the last digit, spelling and repeated key. *What nobody documents is kept* in its
//! place ([`object::Object`]), and told as [`reader::Drift`], by path and never by value.
//!
//! To add a record type: a file with its fields (see [`url`] for a short one), a variant in [`Event`], a row in
//! [`Event::read`]. Facts about fields come from `record-schemas.md` and `schema-disagreements.md`.

pub mod air;
pub mod alert;
pub mod code;
pub mod common_schema;
pub mod entity;
pub mod field;
pub mod fields;
pub mod file;
pub mod hash;
pub(crate) mod json;
pub mod mail;
pub mod name;
pub mod neighbour;
pub mod normalised;
pub mod object;
pub mod reader;
pub mod schema;
pub mod text;
pub mod time;
pub mod url;

#[cfg(test)]
mod fixtures;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod mutation;

use crate::domain::RecordType;
use air::Investigation;
use code::Code;
use common_schema::Common;
use field::{Field, Form, Model};
use fields::Joined;
use file::FileDetection;
use json::Unread;
use mail::Mail;
use neighbour::Neighbour;
use object::{Object, peek};
use reader::{Drift, Reader};
use url::UrlClick;

/// A record: the common schema and what its type has of its own.
pub type Record<T> = Object<Joined<Common, T>>;

/// A record of the feed, typed by its `RecordType`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Type 28: a mail event.
    Mail(Box<Record<Mail>>),
    /// Type 41: a click on a link.
    UrlClick(Box<Record<UrlClick>>),
    /// Type 47: a file event.
    File(Box<Record<FileDetection>>),
    /// Type 64: a change of an automated investigation.
    Air(Box<Record<Investigation>>),
    /// Another type, or one that can't be told: the common schema is typed, and what it may share with the four.
    Other(Box<Record<Neighbour>>),
}

/// Why bytes could not be read as an event. Nothing of the record stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are no UTF-8.
    #[error("the record is not valid UTF-8 from byte {0} on")]
    NotUtf8(usize),
    /// The bytes are not one JSON object.
    #[error("the record is not a JSON object: it goes wrong at column {0}")]
    NotAnObject(usize),
    /// The types of the record would take more memory than one record may have.
    #[error("the record has so many values that its types would take more memory than one record may have")]
    TooManyValues,
}

impl EventError {
    /// The name in output and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            EventError::NotUtf8(_) => "not_utf8",
            EventError::NotAnObject(_) => "not_an_object",
            EventError::TooManyValues => "too_many_values",
        }
    }
}

impl Event {
    /// Reads one record, in wire form or in clean form.
    ///
    /// # Errors
    ///
    /// Only what is no JSON object, or would take absurdly much memory, is refused. Any other oddity is kept.
    pub fn from_json(raw: &[u8]) -> Result<Event, EventError> {
        Event::read(raw).map(|(event, _)| event)
    }

    /// Reads one record, and tells how it differs from the documented schema.
    ///
    /// # Errors
    ///
    /// As [`Event::from_json`].
    pub fn read(raw: &[u8]) -> Result<(Event, Vec<Drift>), EventError> {
        let json = std::str::from_utf8(raw).map_err(|error| EventError::NotUtf8(error.valid_up_to()))?;
        let mut reader = Reader::new();
        let members = json::members(json, &mut reader).map_err(|error| match error {
            Unread::Exhausted => EventError::TooManyValues,
            Unread::Syntax(column) => EventError::NotAnObject(column),
        })?;
        let record_type: Field<Code<RecordType>> = peek(&members, "RecordType");
        let event = match record_type.get().and_then(Code::known) {
            Some(RecordType::MAIL) => Event::Mail(Box::new(Object::from_members(&members, &mut reader))),
            Some(RecordType::URL) => Event::UrlClick(Box::new(Object::from_members(&members, &mut reader))),
            Some(RecordType::FILE) => Event::File(Box::new(Object::from_members(&members, &mut reader))),
            Some(RecordType::AIR) => Event::Air(Box::new(Object::from_members(&members, &mut reader))),
            _ => Event::Other(Box::new(Object::from_members(&members, &mut reader))),
        };
        if reader.exhausted() {
            return Err(EventError::TooManyValues);
        }
        Ok((event, reader.into_drift()))
    }

    /// Reads no more than the common schema, whatever the record's type.
    ///
    /// # Errors
    ///
    /// As [`Event::from_json`].
    pub fn outline(raw: &[u8]) -> Result<Event, EventError> {
        let json = std::str::from_utf8(raw).map_err(|error| EventError::NotUtf8(error.valid_up_to()))?;
        let mut reader = Reader::new();
        let members = json::members(json, &mut reader).map_err(|error| match error {
            Unread::Exhausted => EventError::TooManyValues,
            Unread::Syntax(column) => EventError::NotAnObject(column),
        })?;
        Ok(Event::Other(Box::new(Object::from_members(&members, &mut reader))))
    }

    /// The record as it was read: no field, value, spelling or repeated key differs; escapes and white space may.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(Form::Wire, &mut out);
        out
    }

    /// Appends the record in this form, on one line.
    pub fn write(&self, form: Form, out: &mut Vec<u8>) {
        match self {
            Event::Mail(record) => record.write(form, out),
            Event::UrlClick(record) => record.write(form, out),
            Event::File(record) => record.write(form, out),
            Event::Air(record) => record.write(form, out),
            Event::Other(record) => record.write(form, out),
        }
    }

    /// Appends the clean form without the top-level fields of these names, which were told elsewhere.
    pub fn write_rest(&self, told: &[&str], out: &mut Vec<u8>) {
        match self {
            Event::Mail(record) => record.write_rest(told, out),
            Event::UrlClick(record) => record.write_rest(told, out),
            Event::File(record) => record.write_rest(told, out),
            Event::Air(record) => record.write_rest(told, out),
            Event::Other(record) => record.write_rest(told, out),
        }
    }

    /// The text of a top-level member that is no field of the record's type.
    pub fn extra_text(&self, name: &str) -> Option<String> {
        let json = match self {
            Event::Mail(record) => record.extra(name),
            Event::UrlClick(record) => record.extra(name),
            Event::File(record) => record.extra(name),
            Event::Air(record) => record.extra(name),
            Event::Other(record) => record.extra(name),
        }?;
        serde_json::from_str(json).ok()
    }

    /// What every record has.
    pub fn common(&self) -> &Common {
        match self {
            Event::Mail(record) => &record.common,
            Event::UrlClick(record) => &record.common,
            Event::File(record) => &record.common,
            Event::Air(record) => &record.common,
            Event::Other(record) => &record.common,
        }
    }

    /// The record's type, if it can be told.
    pub fn record_type(&self) -> Option<RecordType> {
        self.common().record_type.get().and_then(Code::number).map(RecordType)
    }
}
