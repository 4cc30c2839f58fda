//! Reads one element of a listing (`activity-api.md` section 5.4), as leniently as an element can be without losing its
//! blob.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::{BlobEntry, ContentId, Time, Window};
use crate::wire::printable;

use super::origin::decoded;

/// Entries are some 500 bytes long. One that exceeds this is no entry.
const ENTRY_LIMIT: usize = 64 * 1024;

/// How long content is kept (`activity-api.md` section 7).
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// How much of a bad entry's id is shown.
const SHOWN_ID: usize = 120;

/// An element of a listing that names no blob. The listing it stands in must not count as read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is not a JSON object, or none that can be read.
    #[error("an element of the listing is not a readable JSON object: {0}")]
    NotAnObject(String),
    /// It says nowhere where the blob is.
    #[error("an element of the listing has no contentUri (contentId {0})")]
    NoUri(String),
    /// There is neither a `contentId` nor a last part of the path to take for one.
    #[error("an element of the listing has no contentId")]
    NoId,
    /// It is far larger than an entry can be.
    #[error("an element of the listing has {0} bytes, more than {ENTRY_LIMIT}")]
    TooLarge(usize),
}

/// Reads one element of a listing.
///
/// Keys are matched exactly, then without case. `contentType` is not looked at. A `contentCreated` that is missing, can't
/// be read or lies before 1970 becomes seven days before `contentExpiration`; without that, or where it would lie outside of `window`, by
/// which the entry was listed, `fallback_created`: give a time inside it, and the same one each time, because it is part of the blob's
/// identity. A missing `contentId` becomes the last part of the path of `contentUri`.
///
/// # Errors
/// The element names no blob: see [`EntryError`].
pub fn read_entry(raw: &[u8], fallback_created: Time, window: Window) -> Result<BlobEntry, EntryError> {
    if raw.len() > ENTRY_LIMIT {
        return Err(EntryError::TooLarge(raw.len()));
    }
    // A broken character in a member that nobody reads must not cost the blob.
    let text = String::from_utf8_lossy(raw);
    let mut deserializer = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
    let fields = deserializer
        .deserialize_map(FieldsVisitor)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|e| EntryError::NotAnObject(printable(&e.to_string(), SHOWN_ID)))?;
    let id = fields.id.and_then(scalar).filter(|id| !id.is_empty());
    let uri = fields.uri.and_then(scalar).filter(|uri| !uri.trim().is_empty());
    let Some(uri) = uri else {
        return Err(EntryError::NoUri(id.map_or_else(|| "missing".into(), |id| printable(&id, SHOWN_ID))));
    };
    let id = id.or_else(|| last_segment(&uri)).ok_or(EntryError::NoId)?;
    // A time that lies before all computers was never set: .NET writes the year 1.
    let time = |raw: Option<&RawValue>| raw.and_then(scalar).and_then(|text| Time::parse(&text)).filter(|at| at.0 > 0);
    let expires = time(fields.expires);
    // The same whatever was listed, unlike the start of the window. But some content expires later or earlier than after seven days, and a
    // time outside of what was asked for would be passed over.
    let of_expiry = expires.map(|at| at - RETENTION);
    let listed = |at: &Time| window.from() <= *at && *at < window.to();
    let created = time(fields.created).or(of_expiry.filter(listed)).unwrap_or(fallback_created);
    Ok(BlobEntry { id: ContentId(id), uri, created, expires })
}

fn last_segment(uri: &str) -> Option<String> {
    let path = uri.split(['?', '#']).next()?.trim_end_matches('/');
    let (before, last) = path.rsplit_once('/')?;
    // `https://host` has a last part too, but no path.
    if last.is_empty() || before.ends_with('/') { None } else { Some(decoded(last)) }
}

/// The text of a string, or a number as it stands; nothing for `null` and nested values.
fn scalar(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        b'0'..=b'9' | b'-' => Some(text.to_owned()),
        _ => None,
    }
}

/// The members that matter, as they stand. Only these are unescaped, so an odd value elsewhere harms nothing.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a RawValue>,
    uri: Option<&'a RawValue>,
    created: Option<&'a RawValue>,
    expires: Option<&'a RawValue>,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
        const NAMES: [&str; 4] = ["contentId", "contentUri", "contentCreated", "contentExpiration"];
        let mut exact = [None; 4];
        let mut alike = [None; 4];
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if let Some(at) = NAMES.iter().position(|n| *n == key) {
                exact[at] = Some(map.next_value()?);
            } else if let Some(at) = NAMES.iter().position(|n| n.eq_ignore_ascii_case(&key)) {
                alike[at] = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let field = |at: usize| exact[at].or(alike[at]);
        Ok(Fields { id: field(0), uri: field(1), created: field(2), expires: field(3) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FALLBACK: Time = Time(1_772_000_000_000);

    fn window() -> Window {
        Window::new(FALLBACK, FALLBACK + Duration::from_secs(24 * 3600)).unwrap()
    }

    fn read(text: &str) -> Result<BlobEntry, EntryError> {
        read_entry(text.as_bytes(), FALLBACK, window())
    }

    #[test]
    fn a_documented_entry() {
        let entry = read_entry(include_bytes!("../../fixtures/api/listing-entry.json"), FALLBACK, window()).unwrap();
        assert_eq!(entry.id.0, "20260301120051748005825$20260301120218791111944$audit_general$Audit_General$emea0001");
        assert!(entry.uri.ends_with(
            "/activity/feed/audit/20260301120051748005825$20260301120218791111944$audit_general$Audit_General$emea0001"
        ));
        assert_eq!(entry.created.to_string(), "2026-03-01T12:02:18.791Z");
        assert_eq!(entry.expires.unwrap().to_string(), "2026-03-08T12:02:18.791Z");
    }

    #[test]
    fn odd_entries_keep_their_blob() {
        for (text, id, created, expires) in [
            (r#"{"contentUri":"https://h/a/b$c"}"#, "b$c", FALLBACK, None),
            (r#"{"contentUri":"https://h/a/b%24c/?x=/y#/z"}"#, "b$c", FALLBACK, None),
            (r#"{"ContentUri":"https://h/a/b","CONTENTID":"x"}"#, "x", FALLBACK, None),
            (r#"{"contentid":"other","contentUri":"https://h/a/b","contentId":"x","ContentId":"other"}"#, "x", FALLBACK, None),
            (r#"{"contentUri":"u/b","contentId":null,"contentCreated":null,"contentExpiration":""}"#, "b", FALLBACK, None),
            (r#"{"contentUri":"u","contentId":17,"contentCreated":"1970-01-01T00:00:01"}"#, "17", Time(1000), None),
            (
                r#"{"contentUri":"u/b","contentCreated":"0001-01-01T00:00:00","contentExpiration":"0001-01-01T00:00:00Z"}"#,
                "b",
                FALLBACK,
                None,
            ),
            (
                "\u{feff} {\"contentUri\":\"u\",\"content\\u0049d\":\"\\u0078\",\"contentExpiration\":\"1970-01-01T00:00:01+00:00\"} ",
                "x",
                FALLBACK,
                Some(Time(1000)),
            ),
            (
                r#"{"contentUri":"u/b","contentCreated":"0001-01-01T00:00:00","contentExpiration":"2026-03-04T08:13:20Z"}"#,
                "b",
                FALLBACK + Duration::from_secs(7_200),
                Some(FALLBACK + Duration::from_secs(7_200) + RETENTION),
            ),
            (
                r#"{"contentUri":"u","contentId":"x","contentCreated":"yesterday","more":{"a":[1,{"b":"\ud800"}]}}"#,
                "x",
                FALLBACK,
                None,
            ),
        ] {
            let entry = read(text).unwrap();
            assert_eq!((entry.id.0.as_str(), entry.created, entry.expires), (id, created, expires), "{text}");
        }
        let broken = b"{\"contentUri\":\"u\",\"contentId\":\"x\",\"note\":\"\xff\"}";
        assert!(read_entry(broken, FALLBACK, window()).is_ok());
    }

    /// A backfill's range ended, and what became available in it by its expiry alone lay behind: it was passed over without a word.
    #[test]
    fn a_time_that_only_the_expiry_tells_lies_in_what_was_listed() {
        let window = Window::new(FALLBACK, FALLBACK + Duration::from_secs(3_600)).unwrap();
        let (last, seven_days) = (Duration::from_millis(3_599_999), RETENTION);
        for (at, created) in [
            (FALLBACK, FALLBACK),
            (FALLBACK + last, FALLBACK + last),
            (window.to(), FALLBACK),
            (window.to() + last, FALLBACK),
            (FALLBACK - Duration::from_millis(1), FALLBACK),
        ] {
            let text = format!(r#"{{"contentUri":"u/b","contentExpiration":"{}"}}"#, at + seven_days);
            assert_eq!(read_entry(text.as_bytes(), FALLBACK, window).unwrap().created, created, "{text}");
        }
    }

    #[test]
    fn entries_that_name_no_blob_are_told() {
        for text in ["null", "[]", "\"x\"", "5", "{", "", "{} x", r#"{"contentUri":"#, r#"{"a":nul}"#] {
            assert!(matches!(read(text), Err(EntryError::NotAnObject(_) | EntryError::NoUri(_))), "{text}");
        }
        assert_eq!(read(r#"{"contentId":"x\u001b"}"#), Err(EntryError::NoUri("x\\u{1b}".into())));
        assert_eq!(read(r#"{"contentUri":{}}"#), Err(EntryError::NoUri("missing".into())));
        assert_eq!(read(r#"{"contentUri":" "}"#), Err(EntryError::NoUri("missing".into())));
        assert_eq!(read(r#"{"contentUri":"https://host/"}"#), Err(EntryError::NoId));
        assert_eq!(read(r#"{"contentUri":"https://host"}"#), Err(EntryError::NoId));
        assert_eq!(read(&" ".repeat(ENTRY_LIMIT + 1)), Err(EntryError::TooLarge(ENTRY_LIMIT + 1)));
        assert!(read(&"[".repeat(ENTRY_LIMIT)).is_err());
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert!(matches!(read(&deep), Err(EntryError::NoUri(_))));
    }
}
