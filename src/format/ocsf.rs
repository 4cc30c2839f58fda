//! `ocsf`: the Open Cybersecurity Schema Framework, version 1.8.0.
//!
//! | record | class |
//! |---|---|
//! | 28, a message | Email Activity (4009), activity Scan |
//! | 41, a click; 47, a file | Detection Finding (2004), activity Create |
//! | 64, an investigation | Detection Finding (2004), activity by its status: Create, Update, Close |
//! | any other | Base Event (0), activity Other |
//!
//! What no attribute can hold stands in `unmapped`, cleaned as in the `event` format: each top-level field of the record that
//! is not told in full elsewhere. Profiles are named where their attributes are used. `docs/formats.md` has the mapping.

mod finding;
mod mail;
mod things;

use chrono::{DateTime, Utc};

use super::drift::DriftLedger;
use super::members::{Object, object};
use super::{event, raw};
use crate::domain::TenantId;
use crate::event::name::Severity;
use crate::event::normalised::{About, Normalised};
use crate::event::{Event, EventError};

/// The version of the schema that the attributes are from.
const VERSION: &str = "1.8.0";

/// What a record comes with.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    /// Its text is to stand in the event.
    pub(super) original: bool,
    /// When the service made it available: the time of an event that tells none.
    pub(super) available: Option<DateTime<Utc>>,
    /// Whose it is.
    pub(super) tenant: &'a TenantId,
    /// What kind of feed it comes from.
    pub(super) log: &'static str,
}

/// A class, and what the event is in it.
struct Class {
    uid: i64,
    category: i64,
    activity: i64,
    profiles: &'static [&'static str],
}

const BASE: Class = Class { uid: 0, category: 0, activity: 99, profiles: &[] };

/// Appends the record.
pub(super) fn write(raw: &[u8], origin: Origin<'_>, drift: &DriftLedger, out: &mut Vec<u8>) {
    match Event::read(raw) {
        Ok((event, drifted)) => {
            drift.add(event.record_type(), drifted);
            mapped(&event, raw, origin, out);
        }
        Err(error) => untyped(raw, error, origin, out),
    }
}

fn mapped(event: &Event, raw: &[u8], origin: Origin<'_>, out: &mut Vec<u8>) {
    let says = event.normalised();
    let class = match &says.about {
        About::Mail(_) => Class { uid: 4009, category: 4, activity: 3, profiles: &["security_control"] },
        About::Click(_) | About::Document(_) => Class { uid: 2004, category: 2, activity: 1, profiles: &["security_control"] },
        About::Investigation(about) => {
            Class { uid: 2004, category: 2, activity: finding::activity(about), profiles: &["security_control", "incident"] }
        }
        About::Other(_) if says.actor.is_some() => Class { profiles: &["host"], ..BASE },
        About::Other(_) => BASE,
    };
    let mut told = Told::common(event, &says);
    object(out, |it| {
        frame(it, &class, says.any_time().or(origin.available));
        it.number("severity_id", says.severity().map_or(0, severity));
        it.object("metadata", |it| metadata(it, event, &says, &class, origin));
        match &says.about {
            About::Mail(about) => mail::write(it, about, &says, event, &mut told),
            About::Click(about) => finding::click(it, about, &says, &finding_uid(&says, raw, origin), &mut told),
            About::Document(about) => finding::document(it, about, &says, &finding_uid(&says, raw, origin)),
            About::Investigation(about) => finding::investigation(it, about, &says, &finding_uid(&says, raw, origin), &mut told),
            About::Other(_) => other(it, &says),
        }
        it.value("unmapped", |out| event.write_rest(&told.0, out));
        if origin.original {
            it.text("raw_data", &*String::from_utf8_lossy(raw));
        }
    });
}

/// The schema wants an id of each finding. An event without any has its fingerprint.
fn finding_uid(says: &Normalised<'_>, raw: &[u8], origin: Origin<'_>) -> String {
    let investigation = match &says.about {
        About::Investigation(about) => about.id,
        _ => None,
    };
    investigation.or(says.id).map_or_else(
        || {
            // As in the envelope, which a file that was decoded offline has no other tenant for.
            let named: Option<TenantId> = says.tenant.and_then(|tenant| tenant.parse().ok());
            super::identity::of(named.as_ref().unwrap_or(origin.tenant), raw).id
        },
        str::to_owned,
    )
}

/// What every event begins with.
fn frame(it: &mut Object<'_>, class: &Class, time: Option<DateTime<Utc>>) {
    it.number("activity_id", class.activity);
    it.number("category_uid", class.category);
    it.number("class_uid", class.uid);
    it.number("type_uid", class.uid * 100 + class.activity);
    // The schema wants a time. Where nobody knows one, the beginning of all times says so, which no other would.
    it.number("time", time.map_or(0, |time| time.timestamp_millis()));
}

fn metadata(it: &mut Object<'_>, event: &Event, says: &Normalised<'_>, class: &Class, origin: Origin<'_>) {
    it.text("version", VERSION);
    it.object("product", |it| {
        let defender = !matches!(says.about, About::Other(_));
        it.text("name", if defender { "Microsoft Defender for Office 365" } else { "Microsoft 365" });
        it.text("vendor_name", "Microsoft");
    });
    it.texts("profiles", class.profiles.iter().copied());
    it.text("original_event_uid", says.id);
    it.text("tenant_uid", says.tenant);
    it.text("event_code", says.record_type.map(|record_type| record_type.to_string()).as_deref());
    it.text("original_time", event.common().creation_time.get().map(|time| time.as_str()).filter(|text| !text.is_empty()));
    it.text("log_name", origin.log);
    it.text("log_provider", says.workload);
    it.text(
        "correlation_uid",
        match &says.about {
            About::Mail(mail) => mail.network_message_id,
            About::Click(click) => click.network_message_id,
            About::Investigation(investigation) => investigation.id,
            About::Document(_) | About::Other(_) => None,
        },
    );
}

fn other(it: &mut Object<'_>, says: &Normalised<'_>) {
    it.text("activity_name", says.operation);
    if let Some(actor) = says.actor {
        it.object("actor", |it| it.object("user", |it| things::actor(it, &actor)));
    }
    if let Some(result) = says.result {
        let status = match result.to_ascii_lowercase().as_str() {
            "succeeded" | "success" | "true" => 1,
            "failed" | "failure" | "false" => 2,
            _ => 99,
        };
        it.number("status_id", status);
        it.text("status_detail", result);
    }
}

/// A record that has no types: what it is, and why.
fn untyped(raw: &[u8], error: EventError, origin: Origin<'_>, out: &mut Vec<u8>) {
    object(out, |it| {
        frame(it, &Class { activity: 0, ..BASE }, origin.available);
        it.number("severity_id", 0);
        it.object("metadata", |it| {
            it.text("version", VERSION);
            it.object("product", |it| {
                it.text("name", "Microsoft 365");
                it.text("vendor_name", "Microsoft");
            });
            it.text("log_name", origin.log);
        });
        it.text("status_code", error.as_str());
        it.text("status_detail", &*error.to_string());
        it.value("unmapped", |out| match error {
            EventError::TooManyValues => raw::write(raw.trim_ascii(), out),
            EventError::NotAnObject(_) | EventError::NotUtf8(_) => event::bytes(raw, error.as_str(), out),
        });
        if origin.original {
            it.text("raw_data", &*String::from_utf8_lossy(raw));
        }
    });
}

fn severity(severity: Severity) -> i64 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
    }
}

/// The fields of the record that are told in full in attributes of the schema, by their names on the wire.
struct Told(Vec<&'static str>);

impl Told {
    fn common(event: &Event, says: &Normalised<'_>) -> Told {
        let mut told = Told(Vec::with_capacity(16));
        told.add("Id", says.id);
        told.add("OrganizationId", says.tenant);
        told.add("Workload", says.workload);
        told.add("CreationTime", event.common().creation_time.get());
        told
    }

    /// Notes that `field` was told, if it says anything.
    fn add<T>(&mut self, field: &'static str, value: Option<T>) {
        if value.is_some() {
            self.0.push(field);
        }
    }
}
