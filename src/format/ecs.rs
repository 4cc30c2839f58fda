//! `ecs`: the Elastic Common Schema, version 9, for Elasticsearch, OpenSearch and what reads their fields.
//!
//! What the schema has a field for stands there. All of the record, cleaned as in the `event` format, stands in
//! `o365.audit`, which is where Elastic's own integration for this feed has it: nothing is lost, and what queries
//! `o365.audit.*` goes on working. `docs/formats.md` has the mapping.
//!
//! A field that the schema wants once has one value here, also where an investigation tells of several messages: that of
//! the first. Lists have them all.

mod subjects;

use chrono::{DateTime, Utc};

use super::drift::DriftLedger;
use super::members::{Object, object};
use super::{event, raw};
use crate::event::field::Form;
use crate::event::name::Severity;
use crate::event::normalised::{About, Actor, Normalised};
use crate::event::{Event, EventError};

/// The version of the schema that the fields are from.
const VERSION: &str = "9.4.0";

/// Appends the record. `available`: when the service made it available, the time of an event that tells none.
pub(super) fn write(raw: &[u8], original: bool, available: Option<DateTime<Utc>>, drift: &DriftLedger, out: &mut Vec<u8>) {
    let original = original.then(|| String::from_utf8_lossy(raw));
    match Event::read(raw) {
        Ok((event, drifted)) => {
            drift.add(event.record_type(), drifted);
            document(&event, original.as_deref(), available, out);
        }
        Err(error) => untyped(raw, error, original.as_deref(), available, out),
    }
}

fn document(event: &Event, original: Option<&str>, available: Option<DateTime<Utc>>, out: &mut Vec<u8>) {
    let says = event.normalised();
    object(out, |it| {
        it.time("@timestamp", says.any_time().or(available));
        it.object("ecs", |it| it.text("version", VERSION));
        it.object("event", |it| event_fields(it, &says, original));
        it.object("organization", |it| it.text("id", says.tenant));
        it.object("cloud", |it| it.object("account", |it| it.text("id", says.tenant)));
        if let Some(actor) = says.actor.filter(|actor| !actor.is_system) {
            it.object("user", |it| user(it, &actor));
        }
        subjects::write(it, &says);
        it.object("o365", |it| it.value("audit", |out| event.write(Form::Clean, out)));
    });
}

/// A record that has no types: what it is, and why.
fn untyped(raw: &[u8], error: EventError, original: Option<&str>, available: Option<DateTime<Utc>>, out: &mut Vec<u8>) {
    object(out, |it| {
        it.time("@timestamp", available);
        it.object("ecs", |it| it.text("version", VERSION));
        it.object("event", |it| {
            it.text("kind", "pipeline_error");
            it.text("original", original);
        });
        it.object("error", |it| {
            it.text("code", error.as_str());
            it.text("message", error.to_string().as_str());
        });
        it.object("o365", |it| {
            it.value("audit", |out| match error {
                EventError::TooManyValues => raw::write(raw.trim_ascii(), out),
                EventError::NotAnObject(_) | EventError::NotUtf8(_) => event::bytes(raw, error.as_str(), out),
            });
        });
    });
}

fn event_fields(it: &mut Object<'_>, says: &Normalised<'_>, original: Option<&str>) {
    let (kind, category): (_, &[&str]) = match &says.about {
        About::Mail(_) => ("alert", &["email", "threat"]),
        About::Click(_) => ("alert", &["web", "threat"]),
        About::Document(_) => ("alert", &["malware", "file"]),
        About::Investigation(_) => ("alert", &["threat"]),
        About::Other(neighbour) if neighbour.alert.is_some() => ("alert", &["threat"]),
        About::Other(_) => ("event", &[]),
    };
    it.text("kind", kind);
    it.texts("category", category.iter().copied());
    it.texts("type", [if kind == "alert" { "info" } else { "" }].into_iter().filter(|kind| !kind.is_empty()));
    it.text("module", "o365");
    it.text("dataset", "o365.audit");
    it.text("id", says.id);
    let number = says.record_type.map(|record_type| record_type.to_string());
    it.text("code", says.type_name().or(number.as_deref()));
    it.text("action", says.operation);
    it.text("provider", says.workload);
    it.text("outcome", says.result.map(outcome));
    it.text("url", says.portal);
    let span = !matches!(says.about, About::Mail(_));
    it.time("start", says.happened().filter(|_| span));
    it.time("end", says.ended());
    it.number("severity", says.stated_severity().and_then(|severity| severity.known).map(level));
    if let About::Investigation(investigation) = &says.about {
        it.number("duration", investigation.seconds.and_then(|seconds| seconds.checked_mul(1_000_000_000)));
    }
    it.text("reason", reason(says));
    it.text("original", original);
}

/// How it was found out, or where the investigation stands.
fn reason<'a>(says: &Normalised<'a>) -> Option<&'a str> {
    match &says.about {
        About::Mail(mail) => mail.method.map(|method| method.text),
        About::Document(document) => document.method.map(|method| method.text),
        About::Click(click) => click.action.and_then(|action| action.name),
        About::Investigation(investigation) => investigation.status.map(|status| status.text),
        About::Other(_) => None,
    }
}

/// The words of the schema for the service's `ResultStatus`.
fn outcome(result: &str) -> &'static str {
    match result.to_ascii_lowercase().as_str() {
        "succeeded" | "success" | "true" => "success",
        "failed" | "failure" | "false" => "failure",
        _ => "unknown",
    }
}

/// The schema leaves the scale to the source: 1 to 4, as in OCSF.
fn level(severity: Severity) -> i64 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
    }
}

fn user(it: &mut Object<'_>, actor: &Actor<'_>) {
    it.text("id", actor.name);
    match actor.address {
        Some(address) => {
            it.text("name", address.local);
            it.text("domain", address.domain);
            it.text("email", address.text);
        }
        None => it.text("name", actor.name),
    }
}
