//! Available content: the rules of time, the order, the pages (`activity-api.md` sections 5.4 and 7).

use std::time::Duration;

use chrono::SecondsFormat;
use serde::Serialize;

use super::config::{LongWindows, ServiceConfig};
use super::content::{Blob, BlobNo, Place};
use super::dice::Dice;
use super::errors::af;
use super::faults::Fault;
use super::message::{Request, Response};
use crate::domain::{ContentType, Time};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a listing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) content_type: ContentType,
    pub(super) from: Time,
    pub(super) to: Time,
    /// The last entry that the page before has shown.
    pub(super) after: Place,
}

/// One page.
pub(super) struct Page {
    pub(super) entries: Vec<Blob>,
    /// After which entry the next page begins, if there is one.
    pub(super) next: Option<Place>,
}

impl Ask {
    /// Reads the times and the page key of a request.
    pub(super) fn read(
        content_type: ContentType,
        request: &Request,
        config: &ServiceConfig,
        now: Time,
    ) -> Result<Self, Response> {
        let (from, to) = times(request)?.unwrap_or(((now - DAY).floor_second(), now.ceil_second()));
        let mut ask = Ask { content_type, from, to, after: Place::just_before(from) };
        if let Some(key) = request.query_value("nextPage") {
            // The key vouches for the window: its start may have grown too old since the first page.
            ask.after = read_key(&key, &ask, config, now).ok_or_else(|| af("AF20031"))?;
            return Ok(ask);
        }
        let given = request.query_value("startTime").is_some();
        if given && (from >= to || from < now - config.oldest_start) {
            return Err(af("AF20055"));
        }
        if given && to.since(from) > DAY {
            match config.long_windows {
                LongWindows::Refused => return Err(af("AF20055")),
                LongWindows::Partial => ask.to = from + DAY,
            }
        }
        Ok(ask)
    }

    /// Cuts one page out of the blobs that can be seen.
    pub(super) fn page(&self, blobs: impl Iterator<Item = Blob>, config: &ServiceConfig, fault: Option<&Fault>) -> Page {
        let mut blobs = blobs.peekable();
        if fault == Some(&Fault::EmptyPage) {
            return Page { entries: Vec::new(), next: Some(self.after) };
        }
        let mut entries: Vec<Blob> = blobs.by_ref().take(config.page_size.max(1)).collect();
        let last = entries.last().map(Place::of);
        let mut next = blobs.peek().is_some().then(|| last.unwrap_or(self.after));
        match fault {
            Some(Fault::PageLoop) => next = Some(Place::just_before(self.from)),
            Some(Fault::RepeatEntry) => match (next, entries.len()) {
                (Some(_), 2..) => next = entries.get(entries.len() - 2).map(Place::of),
                _ => entries.extend(entries.last().cloned()),
            },
            _ => {}
        }
        Page { entries, next }
    }

    /// The complete URL of the next page, in the form of Microsoft's sample: another version, no publisher id.
    pub(super) fn next_uri(&self, next: Place, base: &str, config: &ServiceConfig, now: Time) -> String {
        format!(
            "{base}/api/v1/{}/activity/feed/subscriptions/content?contentType={}&startTime={}&endTime={}&nextPage={}",
            config.tenant,
            self.content_type,
            written(self.from),
            written(self.to),
            write_key(next, self, config, now)
        )
    }
}

/// A time for a link: without a zone, with a fraction only if it has one.
fn written(time: Time) -> String {
    time.to_string().trim_end_matches('Z').to_owned()
}

/// Start and end; `None` if both are missing.
fn times(request: &Request) -> Result<Option<(Time, Time)>, Response> {
    match (request.query_value("startTime"), request.query_value("endTime")) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) => match (read_time(&from), read_time(&to)) {
            (Some(from), Some(to)) => Ok(Some((from, to))),
            _ => Err(af("AF20002")),
        },
        _ => Err(af("AF20030")),
    }
}

/// The three documented forms, and those that clients send with success.
fn read_time(text: &str) -> Option<Time> {
    match text.len() {
        10 => Time::parse(&format!("{text}T00:00:00")),
        16 => Time::parse(&format!("{text}:00")),
        _ => Time::parse(text),
    }
    // Four digits of year: others make no sense and would overflow elsewhere.
    .filter(|t| (0..=253_402_300_799_999).contains(&t.0))
}

fn check(place: Place, issued: Time, ask: &Ask, config: &ServiceConfig) -> u64 {
    let parts = [place.created.0, ask.from.0, ask.to.0, issued.0].map(|n| n.cast_unsigned());
    let mut dice = Dice::new(config.seed ^ 0x7061_6765, &parts);
    dice.roll() ^ Dice::new(place.no.0, &[ask.content_type as u64]).roll()
}

/// A page key tells where the page begins, sealed so that no other is valid: keys need no memory.
fn write_key(place: Place, ask: &Ask, config: &ServiceConfig, now: Time) -> String {
    let sealed = check(place, now, ask, config);
    format!("{}R{:016x}{:016x}{:016x}{sealed:016x}", now.utc().format("%Y%m%d%H"), place.created.0, place.no.0, now.0)
}

fn read_key(key: &str, ask: &Ask, config: &ServiceConfig, now: Time) -> Option<Place> {
    let digits = key.split_once('R')?.1;
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let number = |i: usize| u64::from_str_radix(&digits[i * 16..(i + 1) * 16], 16).ok();
    let place = Place { created: Time(number(0)?.cast_signed()), no: BlobNo(number(1)?) };
    let issued = Time(number(2)?.cast_signed());
    let fresh = config.page_key_lifetime.is_none_or(|life| now.since(issued) <= life);
    (fresh && number(3)? == check(place, issued, ask, config)).then_some(place)
}

/// An entry of a listing as the service writes it (`activity-api.md` section 5.4).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    content_created: String,
    content_expiration: String,
    content_id: &'a str,
    content_type: &'a str,
    content_uri: String,
}

/// The body of a listing. `base` gives the host of each `contentUri`.
pub(super) fn body(entries: &[Blob], base: &str, tenant: &str) -> Vec<u8> {
    let millis = |t: Time| t.utc().to_rfc3339_opts(SecondsFormat::Millis, true);
    let entries = entries.iter().map(|blob| Entry {
        content_created: millis(blob.created),
        content_expiration: millis(blob.expires),
        content_id: &blob.id.0,
        content_type: blob.content_type.as_str(),
        content_uri: format!("{base}/api/v1.0/{tenant}/activity/feed/audit/{}", blob.id),
    });
    serde_json::to_vec(&entries.collect::<Vec<_>>()).expect("texts are always JSON")
}
