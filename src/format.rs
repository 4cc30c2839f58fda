//! Records become lines. Pure: `(context, raw bytes) -> bytes`; may use [`crate::event`] and [`crate::domain`], does no IO.
//!
//! One event is one line: valid UTF-8, ended by `\n`, no other line break in it. A format never fails and never drops: a
//! record that it can't understand comes out with its raw content, and says so.
//!
//! To add a format: a file beside [`raw`](self) and `event`, a name in [`OutputFormat`], a row in [`Formatter::line`].
//!
//! # The formats
//!
//! - `raw`: the record byte for byte, see `format/raw.rs`.
//! - `event`: the typed record, cleaned, see `format/event.rs`.
//!
//! With `--envelope` either stands in `{"feed":{…},"record":…}`, see `format/envelope.rs`. The record's `id` there is the
//! same whatever the format, see `format/identity.rs`.

mod drift;
mod envelope;
mod event;
mod identity;
mod raw;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod golden;

use std::collections::BTreeMap;

use crate::domain::{ContentId, ContentType, OutputFormat, TenantId, Time};
pub use drift::DriftCount;
use drift::DriftLedger;

/// Where a record came from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The tenant's name in the configuration.
    pub tenant_name: Option<&'a str>,
    /// The tenant's labels in the configuration.
    pub labels: &'a BTreeMap<String, String>,
    /// The content type of the blob.
    pub content_type: ContentType,
    /// The blob.
    pub content_id: &'a ContentId,
    /// When the blob became available; [`Time::MIN`] where nobody knows, and the envelope leaves it out.
    pub content_created: Time,
    /// The record's place in the blob, from 0.
    pub index: u64,
}

/// Writes records as lines of one format.
#[derive(Debug)]
pub struct Formatter {
    format: OutputFormat,
    envelope: bool,
    drift: DriftLedger,
}

impl Formatter {
    /// A formatter of this format, with or without the envelope.
    pub fn new(format: OutputFormat, envelope: bool) -> Formatter {
        Formatter { format, envelope, drift: DriftLedger::default() }
    }

    /// Appends the line of the record `raw` to `out`: exactly one, with its `\n`.
    ///
    /// `raw` is the JSON text of an object, as the decoder hands it out. Other bytes are no fault of the caller's either:
    /// where the format can't carry them as they are, they come out in base64 ([`event`](self)).
    pub fn line(&self, context: &Context<'_>, raw: &[u8], out: &mut Vec<u8>) {
        if self.envelope {
            envelope::write(context, raw, out, |out| self.record(raw, out));
        } else {
            self.record(raw, out);
        }
        out.push(b'\n');
    }

    fn record(&self, raw: &[u8], out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Raw => raw::write(raw, out),
            OutputFormat::Event => event::write(raw, &self.drift, out),
        }
    }

    /// How the records so far differed from the documented schema: by type and path, never by value. Formats that type
    /// nothing see nothing.
    pub fn drift(&self) -> Vec<DriftCount> {
        self.drift.counts()
    }
}
