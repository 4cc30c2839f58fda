//! `cef`: ArcSight's Common Event Format, one line of text, with or without an RFC 5424 header before it.
//!
//! It has room for what matters in a list of events, not for all of a record: of an investigation the ids, counts and the
//! link. The whole record follows in `rawEvent` with `--original`. `docs/formats.md` has the mapping.

mod escape;
mod fields;

use chrono::{DateTime, SecondsFormat, Utc};

use super::drift::DriftLedger;
use crate::event::name::Severity;
use crate::event::normalised::{About, Normalised};
use crate::event::{Event, EventError};
use escape::{header, text};
use fields::Extension;

/// Characters that ArcSight allows the class of an event, and its name.
const SIGNATURE: usize = 1023;
const NAME: usize = 512;

/// What a line may begin with and end in.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Whether an RFC 5424 header stands before it.
    pub(super) syslog: bool,
    /// Whether the whole record follows.
    pub(super) original: bool,
    /// When the service made it available: the time of an event that tells none.
    pub(super) available: Option<DateTime<Utc>>,
}

/// Appends the record.
pub(super) fn write(raw: &[u8], shape: Shape, drift: &DriftLedger, out: &mut Vec<u8>) {
    match Event::read(raw) {
        Ok((event, drifted)) => {
            drift.add(event.record_type(), drifted);
            let says = event.normalised();
            let time = says.any_time().or(shape.available);
            if shape.syslog {
                syslog(time, says.operation, says.severity(), out);
            }
            let signature = says.operation.or(says.type_name()).unwrap_or("unknown");
            begin(signature, &title(&says), level(says.severity()), out);
            let mut extension = Extension::new(out);
            extension.event(&says, time);
            if shape.original {
                extension.whole("rawEvent", &String::from_utf8_lossy(raw));
            }
        }
        Err(error) => untyped(raw, error, shape, out),
    }
}

/// A record that has no types: what it is, why, and the whole of it.
fn untyped(raw: &[u8], error: EventError, shape: Shape, out: &mut Vec<u8>) {
    if shape.syslog {
        syslog(shape.available, None, None, out);
    }
    begin(error.as_str(), &error.to_string(), "Unknown", out);
    let mut extension = Extension::new(out);
    extension.time("rt", shape.available);
    extension.whole("rawEvent", &String::from_utf8_lossy(raw));
}

fn begin(signature: &str, name: &str, severity: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"CEF:0|Microsoft|Defender for Office 365|1.0|");
    header(capped(signature, SIGNATURE), out);
    out.push(b'|');
    header(capped(name, NAME), out);
    out.push(b'|');
    out.extend_from_slice(severity.as_bytes());
    out.push(b'|');
}

/// What happened, for a person.
fn title(says: &Normalised<'_>) -> String {
    match &says.about {
        About::Mail(mail) => {
            let what = mail.verdict.map_or("Threat", |verdict| verdict.text);
            mail.delivery.map_or_else(|| format!("{what} in mail"), |delivery| format!("{what} in mail: {}", delivery.text))
        }
        About::Click(click) => {
            let action = click.action.and_then(|action| action.name);
            action.map_or_else(|| "Click on a link".to_owned(), |action| format!("Click on a link: {action}"))
        }
        About::Document(document) => {
            let place = document.workload.and_then(|workload| workload.name).unwrap_or("a file");
            document.file.malware.map_or_else(|| format!("Threat in {place}"), |malware| format!("{malware} in {place}"))
        }
        About::Investigation(investigation) => {
            let title = investigation.alert.as_ref().and_then(|alert| alert.title);
            title.or(investigation.name).unwrap_or("Investigation").to_owned()
        }
        About::Other(_) => says.operation.or(says.type_name()).unwrap_or("Audit record").to_owned(),
    }
}

fn level(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Informational) => "1",
        Some(Severity::Low) => "3",
        Some(Severity::Medium) => "6",
        Some(Severity::High) => "8",
        None => "Unknown",
    }
}

/// The header of RFC 5424: facility 13 (log audit), severity by that of the event; host, process and structured data are
/// the next hop's to add.
fn syslog(time: Option<DateTime<Utc>>, operation: Option<&str>, severity: Option<Severity>, out: &mut Vec<u8>) {
    let severity = match severity {
        Some(Severity::High) => 4,
        Some(Severity::Medium) => 5,
        _ => 6,
    };
    let time = time.map_or_else(|| "-".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
    // At most 32 characters. Collectors look for `CEF:` anywhere in a line, so no more than letters and digits get here.
    let message: String = operation.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let message = if message.is_empty() { "-" } else { &message };
    out.extend_from_slice(format!("<{}>1 {time} - defender-feed - {message} - ", 13 * 8 + severity).as_bytes());
}

/// As much of `text` as has room.
fn capped(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

/// Appends `value` as it stands in an extension.
fn value(value: &str, out: &mut Vec<u8>) {
    text(value, out);
}
