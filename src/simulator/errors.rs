//! Error replies in the shapes of the Management Activity API (`activity-api.md` section 10) and of Entra (section 3.5).

use std::time::Duration;

use serde_json::json;

use super::dice::Dice;
use super::message::Response;
use crate::domain::Time;

/// The status that each code is seen with, or expected with where nobody has told.
fn status_of(code: &str) -> u16 {
    match code {
        "AF10001" => 401,
        "AF20010" | "AF429" => 403,
        "AF20050" => 404,
        "AF50000" | "AF50005" | "AF50006" => 500,
        _ => 400,
    }
}

fn text_of(code: &str) -> &'static str {
    match code {
        "AF10001" => "The permission set () sent in the request does not include the expected permission.",
        "AF20001" => "Missing parameter.",
        "AF20002" => "Invalid parameter type.",
        "AF20003" => "Expiration provided is set to a date and time in the past.",
        "AF20010" => "The tenant ID passed in the URL does not match the tenant ID passed in the access token.",
        "AF20011" => "Specified tenant ID does not exist in the system or has been deleted.",
        "AF20012" => "Specified tenant ID is incorrectly configured in the system.",
        "AF20013" => "The tenant ID passed in the URL is not a valid GUID.",
        "AF20020" => "The specified content type is not valid.",
        "AF20021" => "The webhook endpoint could not be validated.",
        "AF20022" => "No subscription found for the specified content type.",
        "AF20023" => "The subscription was disabled by a tenant admin or a service admin.",
        "AF20024" => "The subscription is already enabled. No property change.",
        "AF20030" => {
            "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart, with the start time no more than 7 days in the past."
        }
        "AF20031" => "Invalid nextPage Input.",
        "AF20050" => "The specified content does not exist.",
        "AF20051" => "Content requested with the key has already expired. Content older than 7 days cannot be retrieved.",
        "AF20052" => "Content ID in the URL is invalid.",
        "AF20053" => "Only one language may be present in the Accept-Language header.",
        "AF20054" => "Invalid syntax in Accept-Language header.",
        "AF20055" => {
            "Start time and end time must both be specified, be no more than 24 hours apart, with the start time prior to end time and no more than 7 days in the past."
        }
        _ => "An internal error occurred. Retry the request.",
    }
}

/// An error object with a code, a message and a status of one's own.
pub(super) fn error(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, json!({"error": {"code": code, "message": message}}).to_string())
}

/// The error of that code.
pub(super) fn af(code: &str) -> Response {
    error(status_of(code), code, text_of(code))
}

/// The error of that code with another status.
pub(super) fn af_with_status(status: u16, code: &str) -> Response {
    error(status, code, text_of(code))
}

/// `AF429`. The message names the method and the publisher, zeros if there was none (sections 9 and 10.2).
pub(super) fn throttled(status: u16, retry_after: Option<Duration>, method: &str, publisher: Option<&str>) -> Response {
    let publisher = publisher.unwrap_or("00000000-0000-0000-0000-000000000000");
    let message = format!("Too many requests. Method={method}, PublisherId={publisher}");
    let response = error(status, "AF429", &message);
    match retry_after {
        // Whole seconds, rounded up: the header knows no others.
        Some(wait) => response.with("Retry-After", wait.as_millis().div_ceil(1000).to_string()),
        None => response,
    }
}

/// The 401 of a request without a good token: the API gives no code of its own then.
pub(super) fn unauthorized() -> Response {
    Response::json(401, r#"{"Message":"Authorization has been denied for this request."}"#).with("WWW-Authenticate", "Bearer")
}

/// What the API says while audit logging is off: a sentence where the code should be (section 10.3).
pub(super) fn auditing_off(
    tenant: &str,
    application: &str,
    publisher: Option<&str>,
    operation: &str,
    content_type: &str,
) -> Response {
    let publisher = publisher.unwrap_or("00000000-0000-0000-0000-000000000000");
    let code = format!(
        "{operation} [CorrId=77777777-0000-4000-8000-000000000007][TenantId={tenant},ContentType={content_type},ApplicationId={application},PublisherId={publisher}][AppId"
    );
    let message = format!(
        "{application}] failed. Exception: Microsoft.Office.Compliance.Audit.DataServiceException: Tenant {tenant} does not exist.\r\n   at Microsoft.Office.Compliance.Audit.DataServiceClient.Call()"
    );
    error(400, &code, &message)
}

/// The page of a proxy or front door.
pub(super) fn html(status: u16) -> Response {
    let body = format!(
        "<!DOCTYPE html>\r\n<html><head><title>{status}</title></head><body><h1>Our services aren't available right now</h1></body></html>"
    );
    Response::new(status, "text/html", body)
}

/// 405 with the method that would be right.
pub(super) fn method_not_allowed(allowed: &str) -> Response {
    let body = r#"{"Message":"The requested resource does not support this http method."}"#;
    Response::json(405, body).with("Allow", allowed)
}

/// 404 for a path that leads nowhere.
pub(super) fn no_such_path() -> Response {
    Response::json(404, r#"{"Message":"No HTTP resource was found that matches the request URI."}"#)
}

/// An error of the token endpoint.
pub(super) fn entra(status: u16, error: &str, number: u64, text: &str, now: Time, dice: &mut Dice) -> Response {
    let (trace, correlation) = (dice.guid(), dice.guid());
    let stamp = now.utc().format("%Y-%m-%d %H:%M:%SZ").to_string();
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"),
        "error_codes": [number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    });
    Response::json(status, body.to_string())
}
