//! What a client must have got: every wanted record that the service has made available, blob by blob.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::{ContentId, ContentType, RecordType, RecordTypes, Time};

fn as_text<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// One wanted record in one blob. A record that stands in two blobs is told twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WantedRecord {
    /// Its `Id`.
    pub id: String,
    /// Its `RecordType`.
    pub record_type: Option<i64>,
    /// Its blob.
    pub blob: ContentId,
    /// Its position in the blob, from 0.
    pub index: u64,
    /// It stood in an earlier blob too.
    pub repeated: bool,
    /// Its blob's `contentCreated`.
    #[serde(serialize_with = "as_text")]
    pub created: Time,
    /// When its blob was listed first.
    #[serde(serialize_with = "as_text")]
    pub listed_at: Time,
    /// A client can get it now: it has not expired, lies within the reach of listings, and no fault spoils it for ever.
    pub obtainable: bool,
    /// How often its blob was sent whole.
    pub sent: u64,
}

/// One blob that has been available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlobTruth {
    /// Its `contentId`.
    pub id: ContentId,
    /// Its content type.
    pub content_type: ContentType,
    /// Its `contentCreated`.
    #[serde(serialize_with = "as_text")]
    pub created: Time,
    /// From then on it is listed.
    #[serde(serialize_with = "as_text")]
    pub listed_at: Time,
    /// Its `contentExpiration`.
    #[serde(serialize_with = "as_text")]
    pub expires: Time,
    /// Its elements; `None` if it is no JSON array.
    pub elements: Option<u64>,
    /// Those of a wanted type.
    pub wanted: u64,
    /// `contentExpiration` has passed.
    pub expired: bool,
    /// No download of it can ever succeed.
    pub spoilt: bool,
    /// It can be got now.
    pub obtainable: bool,
    /// How often it was listed.
    pub listed: u64,
    /// How often it was asked for.
    pub fetched: u64,
    /// How often it was sent whole.
    pub sent: u64,
}

/// All wanted records that have been available until some moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// In the order of their blobs, by content type.
    pub records: Vec<WantedRecord>,
}

impl Truth {
    /// The different ids.
    pub fn ids(&self) -> BTreeSet<String> {
        self.records.iter().map(|r| r.id.clone()).collect()
    }

    /// The different ids of records that can be got now.
    pub fn obtainable_ids(&self) -> BTreeSet<String> {
        self.records.iter().filter(|r| r.obtainable).map(|r| r.id.clone()).collect()
    }

    /// One JSON object per line.
    pub fn to_ndjson(&self) -> String {
        let mut out = String::new();
        for record in &self.records {
            out.push_str(&serde_json::to_string(record).expect("a plain struct with text keys is always JSON"));
            out.push('\n');
        }
        out
    }
}

/// A wanted record in a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) record_type: Option<RecordType>,
    pub(super) repeated: bool,
}

/// What can be told about a blob: its elements, if it has any, and the wanted ones among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) elements: Option<u64>,
    pub(super) wanted: Vec<Found>,
}

/// Reads a blob as a careful person would: an array of objects, of which each has a type in any of the forms that were
/// ever seen. What is no JSON array has no wanted records.
pub(super) fn read(body: &[u8], wanted: &RecordTypes) -> Reading {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return Reading { elements: None, wanted: Vec::new() };
    };
    let found = elements.iter().enumerate().filter_map(|(i, raw)| {
        let fields = serde_json::from_str::<Fields<'_>>(raw.get()).ok()?.0;
        let types = || fields.iter().filter(|(k, _)| k == "RecordType").map(|(_, v)| record_type(v));
        let meant = types().flatten().find(|t| wanted.contains(*t));
        // A type that can't be told is wanted too; one that is told and not wanted is not.
        if meant.is_none() && types().any(|t| t.is_some()) {
            return None;
        }
        let id = fields.iter().find(|(k, _)| k == "Id").and_then(|(_, v)| serde_json::from_str(v.get()).ok());
        Some(Found { index: i as u64, id: id.unwrap_or_default(), record_type: meant, repeated: false })
    });
    Reading { elements: Some(elements.len() as u64), wanted: found.collect() }
}

/// A type as a number, a number with a fraction, or a text.
fn record_type(value: &RawValue) -> Option<RecordType> {
    let text = value.get().trim_matches('"').trim();
    let number: f64 = text.parse().ok().filter(|n: &f64| n.fract() == 0.0 && n.abs() < 1e15)?;
    Some(RecordType(number as i64))
}

/// The keys of an object as they stand, repeated ones included.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Fields<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(body: &str) -> Vec<String> {
        read(body.as_bytes(), &RecordTypes::defender()).wanted.into_iter().map(|w| w.id).collect()
    }

    #[test]
    fn reads_types_in_every_form() {
        let body = r#"[{"Id":"a","RecordType":28},{"Id":"b","RecordType":"41"},{"Id":"c","RecordType":47.0},
            {"RecordType":64,"Id":"d"},{"Id":"e","RecordType":20,"Inner":{"RecordType":28}},{"Id":"f","Record\u0054ype":28},
            {"Id":"g","RecordType":1,"RecordType":28},{"Id":"h"},{"Id":"i","RecordType":{"a":1e400}},null,7,"x"]"#;
        assert_eq!(ids(body), ["a", "b", "c", "d", "f", "g", "h", "i"]);
        assert_eq!(ids("\u{feff}[{\"Id\":\"a\",\"RecordType\":28}]"), ["a"]);
    }

    #[test]
    fn what_is_no_array_has_no_records() {
        for body in ["", "[", "{}", "<html>", "[1,]", "null"] {
            assert_eq!(read(body.as_bytes(), &RecordTypes::defender()), Reading { elements: None, wanted: vec![] }, "{body}");
        }
        assert_eq!(read(b"[]", &RecordTypes::All).elements, Some(0));
    }
}
