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
//! - `ecs`: the Elastic Common Schema, see `format/ecs.rs`.
//! - `ocsf`: the Open Cybersecurity Schema Framework, see `format/ocsf.rs`.
//! - `cef`: ArcSight's Common Event Format, see `format/cef.rs`.
//! - `hec`: the envelope of Splunk's HTTP Event Collector, see `format/hec.rs`.
//! - `xdr`: the envelope of Defender XDR's streaming API, see `format/xdr.rs`.
//!
//! With `--envelope` each but `cef`, which is no JSON, stands in `{"feed":{…},"record":…}`, see `format/envelope.rs`; in
//! `hec` it is the `event` that does. The record's `id` there is the
//! same whatever the format, see `format/identity.rs`.

mod cef;
mod cut;
mod drift;
mod ecs;
mod envelope;
mod event;
mod hec;
mod identity;
mod invisible;
mod members;
mod ocsf;
mod raw;
mod xdr;

#[cfg(test)]
mod documented;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod forgery;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod schemas;

use std::collections::BTreeMap;

use crate::domain::{ContentId, ContentType, OutputFormat, TenantId, Time};
use crate::event::Event;
pub use drift::DriftCount;
use drift::DriftLedger;

/// The `id` that the event of this record has in the formats that give it one: 32 hexadecimal digits, the same in every release.
pub fn record_id(tenant: &TenantId, raw: &[u8]) -> String {
    identity::of(tenant, raw).id
}

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

/// Whether a line holds all that its format makes of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Whole,
    /// It would have been too long: the record has to be kept elsewhere.
    Cut,
}

/// Writes records as lines of one format.
#[derive(Debug)]
pub struct Formatter {
    format: OutputFormat,
    envelope: bool,
    original: bool,
    syslog: bool,
    max_line_bytes: Option<usize>,
    drift: DriftLedger,
}

impl Formatter {
    /// A formatter of this format, with or without the envelope.
    pub fn new(format: OutputFormat, envelope: bool) -> Formatter {
        Formatter { format, envelope, original: false, syslog: false, max_line_bytes: None, drift: DriftLedger::default() }
    }

    /// Puts the record's own text beside what was made of it, in the formats that have a field for it.
    #[must_use]
    pub fn with_original(self, original: bool) -> Formatter {
        Formatter { original, ..self }
    }

    /// Begins lines of `cef` with an RFC 5424 header.
    #[must_use]
    pub fn with_syslog_header(self, syslog: bool) -> Formatter {
        Formatter { syslog, ..self }
    }

    /// Cuts what is longer than so many bytes, the line break not counted.
    #[must_use]
    pub fn with_max_line_bytes(self, max_line_bytes: Option<usize>) -> Formatter {
        Formatter { max_line_bytes, ..self }
    }

    /// Appends the line of the record `raw` to `out`: exactly one, with its `\n`.
    ///
    /// `raw` is the JSON text of an object, as the decoder hands it out. Other bytes are no fault of the caller's either:
    /// where the format can't carry them as they are, they come out in base64 ([`event`](self)).
    pub fn line(&self, context: &Context<'_>, raw: &[u8], out: &mut Vec<u8>) -> Fit {
        let start = out.len();
        self.uncut(context, raw, self.original, &self.drift, out);
        let fit = match self.max_line_bytes {
            Some(max) if out.len() - start > max => {
                out.truncate(start);
                self.within(max, context, raw, out);
                Fit::Cut
            }
            _ => Fit::Whole,
        };
        out.push(b'\n');
        fit
    }

    fn uncut(&self, context: &Context<'_>, raw: &[u8], original: bool, drift: &DriftLedger, out: &mut Vec<u8>) {
        if self.envelope && !matches!(self.format, OutputFormat::Cef | OutputFormat::Hec) {
            envelope::write(context, raw, out, |out| self.record(context, raw, original, drift, out));
        } else {
            self.record(context, raw, original, drift, out);
        }
    }

    /// The line without the record's own text, and within `max` bytes.
    fn within(&self, max: usize, context: &Context<'_>, raw: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        // What drifted was counted when the line was whole.
        self.uncut(context, raw, false, &DriftLedger::default(), out);
        if out.len() - start <= max {
            return;
        }
        if self.format == OutputFormat::Cef {
            return cut::cef(out, start, max);
        }
        let event = Event::outline(raw).ok();
        let id = event.as_ref().and_then(|event| event.normalised().id);
        cut::json(out, start, &self.way(), max, id);
    }

    /// Where in a line the record's own part is.
    fn way(&self) -> Vec<cut::Step> {
        use cut::Step::{First, Member};
        let record: &[cut::Step] = match self.format {
            OutputFormat::Raw | OutputFormat::Event | OutputFormat::Cef => &[],
            OutputFormat::Ecs => &[Member("o365"), Member("audit")],
            OutputFormat::Ocsf => &[Member("unmapped")],
            OutputFormat::Hec if self.envelope => &[Member("event"), Member("record")],
            OutputFormat::Hec => &[Member("event")],
            OutputFormat::Xdr => &[Member("records"), First, Member("properties"), Member("RawEventData")],
        };
        let envelope: &[cut::Step] = if self.envelope && self.format != OutputFormat::Hec { &[Member("record")] } else { &[] };
        [envelope, record].concat()
    }

    fn record(&self, context: &Context<'_>, raw: &[u8], original: bool, drift: &DriftLedger, out: &mut Vec<u8>) {
        let start = out.len();
        let available = (context.content_created != Time::MIN).then(|| context.content_created.utc());
        match self.format {
            OutputFormat::Raw => return raw::write(raw, out),
            OutputFormat::Event => return event::write(raw, drift, out),
            OutputFormat::Ecs => ecs::write(raw, original, available, drift, out),
            OutputFormat::Ocsf => {
                let log = context.content_type.as_str();
                let origin = ocsf::Origin { original, available, tenant: context.tenant, log };
                ocsf::write(raw, origin, drift, out);
            }
            OutputFormat::Cef => {
                let shape = cef::Shape { syslog: self.syslog, original, available };
                return cef::write(raw, shape, drift, out);
            }
            OutputFormat::Hec => return hec::write(raw, context, self.envelope, available, out),
            OutputFormat::Xdr => return xdr::write(raw, context.tenant, available, out),
        }
        invisible::escape(out, start);
    }

    /// How the records so far differed from the documented schema: by type and path, never by value. Formats that type
    /// nothing see nothing.
    pub fn drift(&self) -> Vec<DriftCount> {
        self.drift.counts()
    }
}

/// A record's line, of a blob of which the tests say nothing.
#[cfg(test)]
pub(crate) fn line_of(formatter: &Formatter, record: &[u8]) -> (Vec<u8>, Fit) {
    let tenant = "0f0e0d0c-0000-4000-8000-000000000001".parse().expect("it has the form of a tenant id");
    let context = Context {
        tenant: &tenant,
        tenant_name: None,
        labels: &std::collections::BTreeMap::new(),
        content_type: crate::domain::ContentType::AuditGeneral,
        content_id: &crate::domain::ContentId("c".to_owned()),
        content_created: crate::domain::Time::MIN,
        index: 0,
    };
    let mut line = Vec::new();
    let fit = formatter.line(&context, record, &mut line);
    (line, fit)
}
