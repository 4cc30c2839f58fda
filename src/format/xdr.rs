//! `xdr`: the envelope of Microsoft Defender XDR's streaming API, `{"records":[…]}`, for what was built to read an Event Hub
//! or a storage account that it streams to.
//!
//! Defender itself streams these records as rows of its table `CloudAppEvents`, with the audit record in `RawEventData`. So
//! does this, for every record type: one row a line. The columns come from the common schema; what would need knowledge
//! that the record doesn't have, such as the country of an address, is null. `time` is when the service made the record
//! available, and `ReportId` begins with `mdo_`, which no row of Microsoft's does.

use chrono::{DateTime, SecondsFormat, Utc};

use super::members::{Object, object};
use super::{event, raw};
use crate::domain::TenantId;
use crate::event::code::UserType;
use crate::event::normalised::{Actor, Normalised};
use crate::event::{Event, EventError};

/// Columns that only an enrichment could fill.
const UNKNOWN: [&str; 9] =
    ["CountryCode", "City", "ISP", "IPTags", "IPCategory", "IsAnonymousProxy", "DeviceType", "OSPlatform", "UserAgentTags"];

/// Appends the record.
pub(super) fn write(raw: &[u8], tenant: &TenantId, available: Option<DateTime<Utc>>, out: &mut Vec<u8>) {
    let outline = Event::outline(raw);
    object(out, |it| {
        it.objects("records", [()], |it, ()| match &outline {
            Ok(event) => row(it, event, raw, available),
            Err(error) => {
                it.text("time", available.map(ticks).as_deref());
                it.text("tenantId", tenant.as_str());
                it.text("operationName", "Publish");
                it.text("category", CATEGORY);
                it.object("properties", |it| it.value("RawEventData", |out| untyped(raw, *error, out)));
                it.text("Tenant", "DefaultTenant");
            }
        });
    });
}

const CATEGORY: &str = "AdvancedHunting-CloudAppEvents";

/// RFC 3339 with seven digits, as .NET writes it.
fn ticks(time: DateTime<Utc>) -> String {
    let mut text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    // "…123456789Z"
    text.truncate(text.len() - 3);
    text + "Z"
}

fn untyped(raw: &[u8], error: EventError, out: &mut Vec<u8>) {
    match error {
        EventError::TooManyValues => raw::write(raw.trim_ascii(), out),
        EventError::NotAnObject(_) | EventError::NotUtf8(_) => event::bytes(raw, error.as_str(), out),
    }
}

fn row(it: &mut Object<'_>, event: &Event, raw: &[u8], available: Option<DateTime<Utc>>) {
    let says = event.normalised();
    it.text("time", available.or(says.time).map(ticks).as_deref());
    it.text("tenantId", says.tenant);
    it.text("operationName", "Publish");
    it.text("category", CATEGORY);
    it.text("_TimeReceivedBySvc", available.map(ticks).as_deref());
    it.object("properties", |it| {
        columns(it, event, &says);
        it.value("RawEventData", |out| raw::write(raw.trim_ascii(), out));
        it.value("AdditionalFields", |out| out.extend_from_slice(b"{}"));
    });
    it.text("Tenant", "DefaultTenant");
}

fn columns(it: &mut Object<'_>, event: &Event, says: &Normalised<'_>) {
    let (application, number) = application(says.workload.unwrap_or_default());
    let kind = says.actor.and_then(|actor| actor.kind).and_then(|kind| kind.known);
    let is_admin = matches!(kind, Some(UserType::Admin | UserType::DcAdmin));
    nullable(it, "Timestamp", says.time.map(ticks).as_deref());
    nullable(it, "ActionType", says.operation);
    nullable(it, "Application", Some(application).filter(|name| !name.is_empty()));
    match number {
        Some(number) => it.number("ApplicationId", number),
        None => nullable(it, "ApplicationId", None),
    }
    let key = says.actor.and_then(|actor| actor.key);
    nullable(it, "AccountId", key.or(says.actor.map(|actor| actor.name)));
    nullable(it, "AccountDisplayName", says.actor.map(|actor| actor.name));
    nullable(it, "AccountObjectId", key.filter(|key| key.parse::<TenantId>().is_ok()));
    it.text(
        "AccountType",
        match kind {
            Some(UserType::Application) => "Application",
            _ if is_admin => "Admin",
            _ => "Regular",
        },
    );
    nullable(it, "IPAddress", says.client.map(|client| client.text));
    let agent = event.extra_text("UserAgent").or_else(|| event.extra_text("ClientInfoString"));
    nullable(it, "UserAgent", agent.as_deref());
    it.flag("IsAdminOperation", is_admin);
    it.flag("IsExternalUser", says.actor.is_some_and(|actor| is_external(&actor)));
    it.flag("IsImpersonated", false);
    it.text("ActivityType", "Basic");
    it.objects("ActivityObjects", says.actor, |it, actor| {
        it.text("Type", "Account");
        it.text("Role", "Actor");
        it.text("Name", actor.name);
        it.text("Id", actor.key);
        it.number("ApplicationId", number);
        it.number("ApplicationInstance", 0);
    });
    nullable(it, "ObjectId", says.object);
    for column in UNKNOWN {
        nullable(it, column, None);
    }
    let report = says.id.map(|id| format!("mdo_{}_{id}", number.map_or_else(String::new, |number| number.to_string())));
    nullable(it, "ReportId", report.as_deref());
}

fn nullable(it: &mut Object<'_>, column: &str, text: Option<&str>) {
    match text {
        Some(text) => it.text(column, text),
        None => it.value(column, |out| out.extend_from_slice(b"null")),
    }
}

/// The application as Defender names and numbers it.
fn application(workload: &str) -> (&str, Option<i64>) {
    match workload {
        "Exchange" => ("Microsoft Exchange Online", Some(20893)),
        "MicrosoftTeams" => ("Microsoft Teams", Some(28375)),
        "AirInvestigation" | "ThreatIntelligence" | "SecurityComplianceCenter" => ("Microsoft 365", Some(11161)),
        other => (other, None),
    }
}

fn is_external(actor: &Actor<'_>) -> bool {
    actor.name.contains("#EXT#") || actor.kind.is_some_and(|kind| kind.known == Some(UserType::Guest))
}
