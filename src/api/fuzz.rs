//! What holds of any page of a listing, and of any URL that the service could name.

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use url::Url;

use super::listing::read_entry;
use super::origin::Origin;
use super::{error_object, subscription};
use crate::decode::{Decoder, Item, Shape};
use crate::domain::{BlobEntry, RecordTypes, Time, Window};
use crate::wire::RequestKind;

/// Whose feed it is.
const TENANT: &str = "11111111-0000-4000-8000-00000000000a";
const FALLBACK: Time = Time(1_772_000_000_000);
const DAY: i64 = 24 * 3600 * 1000;

/// The first byte is the size of the slices in which the rest, a page, arrives. Each element is read as serde_json's plain reading
/// has it, and the page is whole only if serde_json takes it for a list.
pub fn listing(data: &[u8]) {
    let Some((slice, page)) = data.split_first() else { return };
    let mut decoder = Decoder::new(RecordTypes::All);
    let mut elements: Vec<Vec<u8>> = Vec::new();
    let mut dead = 0;
    let mut each = |item: Item<'_>| match item {
        Item::Wanted { raw, .. } => elements.push(raw.to_vec()),
        Item::Dead { last, .. } => dead += u64::from(last),
        Item::Filtered { .. } => unreachable!("all are wanted"),
    };
    page.chunks(usize::from(*slice) + 1).for_each(|chunk| decoder.push(chunk, &mut each));
    let ending = decoder.finish(&mut each);
    assert_eq!(ending.elements, elements.len() as u64 + dead);

    let unmarked = page.strip_prefix(b"\xef\xbb\xbf").unwrap_or(page);
    if let Ok(list) = serde_json::from_slice::<Vec<&RawValue>>(unmarked) {
        assert_eq!(ending.shape, Shape::Array, "serde_json reads a list");
        let objects = list.iter().map(|raw| raw.get()).filter(|raw| raw.starts_with('{'));
        assert!(objects.map(str::as_bytes).eq(elements.iter().map(Vec::as_slice)), "the elements that serde_json sees");
    }
    if let Shape::Error(raw) = &ending.shape {
        is_printable(&error_object(RequestKind::List, 200, raw, None).to_string());
    }
    for raw in &elements {
        entry(raw);
    }
    // Whatever a body is, it can be asked whether it is an error or a list of subscriptions.
    for (kind, status) in [(RequestKind::Blob, 500), (RequestKind::Subscriptions, 403)] {
        is_printable(&error_object(kind, status, page, None).to_string());
    }
    let _ = (subscription::read_subscriptions(page), subscription::says_disabled(page));
}

fn is_printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?} can't be printed");
}

fn entry(raw: &[u8]) {
    let window = Window::new(FALLBACK, Time(FALLBACK.0 + DAY)).expect("a day is a window");
    let read = read_entry(raw, FALLBACK, window);
    if let Err(error) = &read {
        is_printable(&error.to_string());
    }
    if let Ok(entry) = &read {
        assert!(!entry.id.0.is_empty() && !entry.uri.trim().is_empty(), "{entry:?} names no blob");
        assert_eq!(read_entry(raw, FALLBACK, window).ok().map(|again| again.key()), Some(entry.key()));
        leads_nowhere_else(&entry.uri);
    }
    if raw.len() > 64 * 1024 {
        assert!(read.is_err());
        return;
    }
    // A decoder's object nests no deeper than serde_json reads, but for the last level.
    let Some(Members(members)) = std::str::from_utf8(raw).ok().and_then(|text| serde_json::from_str(text).ok()) else {
        return;
    };
    let named = |name: &str| {
        let exact = members.iter().rev().find(|(key, _)| key == name);
        let raw = exact.or_else(|| members.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)))?.1.get();
        match raw.as_bytes()[0] {
            b'"' => serde_json::from_str::<String>(raw).ok(),
            b'-' | b'0'..=b'9' => Some(raw.to_owned()),
            _ => None,
        }
    };
    let uri = named("contentUri").filter(|uri| !uri.trim().is_empty());
    let id = named("contentId").filter(|id| !id.is_empty());
    match (&read, uri) {
        (Ok(entry), Some(uri)) => {
            let time = |name| named(name).and_then(|text| Time::parse(&text)).filter(|at| *at > Time(0));
            let listed = |at: &Time| (0..DAY).contains(&(at.0 - FALLBACK.0));
            let of_expiry = time("contentExpiration").map(|at| Time(at.0 - 7 * DAY)).filter(listed);
            let expected = BlobEntry {
                id: id.map_or_else(|| entry.id.clone(), crate::domain::ContentId),
                uri,
                created: time("contentCreated").or(of_expiry).unwrap_or(FALLBACK),
                expires: time("contentExpiration"),
            };
            assert_eq!(*entry, expected, "{}", String::from_utf8_lossy(raw));
        }
        (Err(_), None) => {}
        (Err(error), Some(uri)) => assert!(id.is_none(), "{uri} of {id:?} is lost: {error}"),
        (Ok(entry), None) => panic!("{} comes from nowhere", entry.uri),
    }
}

/// Every member of an object, repeated ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        struct Every;
        impl<'de> Visitor<'de> for Every {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect()
            }
        }
        object.deserialize_map(Every).map(Members)
    }
}

/// The input is a URL as the service names one. Whatever passes leads to the origin and the tenant's feed, in the eyes of the
/// parser that sends it and of a reader that knows nothing but the shape of a URL; and what is plainly right does pass.
pub fn origin(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    leads_nowhere_else(&text);
    let tail = text.strip_prefix(&format!("https://manage.office.com/api/v1.0/{TENANT}/activity/feed/"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"$_-".contains(&b);
    if let Some(tail) = tail.filter(|tail| !tail.is_empty() && tail.len() < 1000 && tail.bytes().all(plain)) {
        assert_eq!(
            sent("https://manage.office.com", &text).as_deref(),
            Some(&*format!("{text}?PublisherIdentifier={TENANT}")),
            "a plain URL below {tail}"
        );
    }
}

/// Origins as they may be configured: scheme, host and port, and what comes before the API's path.
const ORIGINS: [(&str, &str, &str, &str); 4] = [
    ("https", "manage.office.com", "443", ""),
    ("https", "manage.office365.us", "8443", ""),
    ("http", "127.0.0.1", "8080", "/m365"),
    ("http", "[::1]", "80", ""),
];

fn sent(api_url: &str, named: &str) -> Option<String> {
    let api_url = Url::parse(api_url).ok()?;
    let origin = Origin::new(&api_url, &TENANT.parse().ok()?, TENANT);
    origin.checked(named).ok().map(String::from)
}

/// Holds for each origin: a URL that passes has that origin and lies below the tenant's feed.
pub(super) fn leads_nowhere_else(named: &str) {
    for (scheme, host, port, prefix) in ORIGINS {
        let api_url = format!("{scheme}://{host}:{port}{prefix}");
        let Some(sent) = sent(&api_url, named) else { continue };
        let (parsed, api) = (Url::parse(&sent).expect("what was parsed once"), Url::parse(&api_url).expect("a constant"));
        assert_eq!(parsed.as_str(), sent, "it is sent as it was checked");
        assert_eq!(parsed.origin(), api.origin(), "{named:?} → {sent}");
        assert!(parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none(), "{sent}");
        // What an HTTP client of another make would understand: no library, only the marks.
        let rest = sent.strip_prefix(&format!("{scheme}://")).unwrap_or_else(|| panic!("{sent}: another scheme"));
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let default = matches!((scheme, port), ("https", "443") | ("http", "80"));
        let expected = if default { host.to_owned() } else { format!("{host}:{port}") };
        assert_eq!(authority, expected, "{named:?} → {sent}");
        assert!(sent.bytes().all(|b| b.is_ascii_graphic()), "{sent:?} would tear the request's line");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let below = path.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix)).map(|_| &path[prefix.len()..]);
        let below = below.unwrap_or_else(|| panic!("{sent} is not below {prefix}"));
        let segments: Vec<&str> = below.split('/').collect();
        let [first, api, version, tenant, activity, feed, content, ..] = segments[..] else { panic!("{sent}: a short path") };
        let names = ["", "api", TENANT, "activity", "feed"];
        assert!([first, api, tenant, activity, feed].iter().zip(names).all(|(a, b)| a.eq_ignore_ascii_case(b)), "{sent}");
        assert!(version.to_ascii_lowercase().starts_with('v') && !content.is_empty(), "{sent}");
        let mut seen = path.to_owned();
        for _ in 0..3 {
            assert!(!seen.split(['/', '\\']).any(|segment| segment == ".."), "{named:?} → {sent} climbs");
            seen = percent_decoded(&seen);
        }
        assert!(query.to_ascii_lowercase().contains("publisher"), "{sent}: nobody is asked for");
    }
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => {
                out.push(b'%');
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
