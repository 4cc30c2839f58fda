//! `hec`: the envelope of Splunk's HTTP Event Collector, around the record as `raw` has it.
//!
//! `sourcetype` is that of Splunk's own add-on for this feed, so that its field extractions and the searches built on them
//! work. `time` is `CreationTime` in seconds, which spares Splunk the guess that it has no zone. With `--envelope`, `event` is
//! the enveloped record. Index and host are the collector's to choose.

use chrono::{DateTime, Utc};

use super::members::object;
use super::{Context, envelope, event, raw};
use crate::event::{Event, EventError};

const SOURCE_TYPE: &str = "o365:management:activity";

/// Appends the record.
pub(super) fn write(raw: &[u8], context: &Context<'_>, enveloped: bool, available: Option<DateTime<Utc>>, out: &mut Vec<u8>) {
    let outline = Event::outline(raw);
    let time = outline.as_ref().ok().and_then(|event| event.normalised().time).or(available);
    object(out, |it| {
        if let Some(time) = time {
            it.value("time", |out| {
                let (seconds, millis) = (time.timestamp(), time.timestamp_subsec_millis());
                // Before 1970 the parts have different signs; nothing in this feed is that old.
                out.extend_from_slice(format!("{seconds}.{millis:03}").as_bytes());
            });
        }
        it.text("source", "defender-feed");
        it.text("sourcetype", SOURCE_TYPE);
        it.value("event", |out| match outline.as_ref().err() {
            Some(error @ (EventError::NotAnObject(_) | EventError::NotUtf8(_))) => event::bytes(raw, error.as_str(), out),
            _ if enveloped => envelope::write(context, raw, out, |out| raw::write(raw.trim_ascii(), out)),
            _ => raw::write(raw.trim_ascii(), out),
        });
        it.object("fields", |it| {
            it.text("tenant_name", context.tenant_name.filter(|name| !name.is_empty()));
            for (key, value) in context.labels {
                it.text(&format!("label_{key}"), value.as_str());
            }
        });
    });
}
