//! Faults as replies.

use bytes::Bytes;

use super::super::dice::Dice;
use super::super::errors;
use super::super::message::{Delivery, ReplyBody, Response};
use super::super::route::Kind;
use super::{Content, ErrorBody, Fault};
use crate::domain::Time;

/// What a reply is made from when a fault stands in place of the true one.
pub(in super::super) struct Scene<'a> {
    pub(in super::super) kind: Kind,
    pub(in super::super) tenant: &'a str,
    pub(in super::super) application: &'a str,
    pub(in super::super) publisher: Option<&'a str>,
    pub(in super::super) content_type: &'a str,
    pub(in super::super) now: Time,
}

/// The reply that a fault puts in place of the true one; `None` for faults that leave a true reply or change it.
pub(in super::super) fn instead(fault: &Fault, scene: &Scene<'_>) -> Option<Response> {
    let operation = scene.kind.operation();
    Some(match fault {
        Fault::Throttle { status, retry_after } => errors::throttled(*status, *retry_after, operation, scene.publisher),
        Fault::Status { status, body, retry_after } => {
            let reply = match body {
                ErrorBody::Json => errors::af_with_status(*status, "AF50000"),
                ErrorBody::Html => errors::html(*status),
                ErrorBody::Empty => Response::empty(*status),
            };
            match retry_after {
                Some(wait) => reply.with("Retry-After", wait.as_millis().div_ceil(1000).to_string()),
                None => reply,
            }
        }
        Fault::Code { status, code } => errors::af_with_status(*status, code),
        Fault::Reset => Response { delivery: Delivery::ResetBeforeHead, ..Response::empty(200) },
        Fault::Unauthorized => errors::unauthorized(),
        Fault::NoPermission => errors::af("AF10001"),
        Fault::WrongTenant => errors::af("AF20010"),
        Fault::Expired => errors::af("AF20051"),
        Fault::Missing => errors::af("AF20050"),
        Fault::NotFound => errors::no_such_path(),
        Fault::StalePage => errors::af("AF20031"),
        Fault::AuditingOff => {
            errors::auditing_off(scene.tenant, scene.application, scene.publisher, operation, scene.content_type)
        }
        Fault::InvalidClient => {
            let text = "Invalid client secret provided.";
            errors::entra(401, "invalid_client", 7_000_215, text, scene.now, &mut Dice::new(scene.now.0.unsigned_abs(), &[]))
        }
        Fault::Wrong(content) => {
            let json = "application/json; charset=utf-8";
            match content {
                Content::Html => errors::html(200),
                Content::ErrorObject => Response { status: 200, ..errors::af("AF50000") },
                Content::Empty => Response::new(200, json, Bytes::new()),
                Content::EmptyArray => Response::json(200, "[]"),
                Content::Object => Response::json(200, r#"{"value":[],"@odata.context":"https://manage.office.com/$metadata"}"#),
                Content::Numbers => Response::json(200, "[null,1,\"two\",[3]]"),
                Content::Garbage => Response::json(200, &b"\x00\xff\x1f\x8b\x08not JSON at all"[..]),
                Content::Truncated => return None,
            }
        }
        _ => return None,
    })
}

/// Changes a true reply as the fault wants it; leaves it alone for faults that don't.
pub(in super::super) fn corrupt(fault: &Fault, reply: &mut Response) {
    match fault {
        Fault::Cut { after } => {
            let after = middle(*after, &reply.body);
            reply.delivery = Delivery::Cut { after, chunked: false, reset: true };
        }
        Fault::CutChunked { after } => {
            let after = middle(*after, &reply.body);
            reply.delivery = Delivery::Cut { after, chunked: true, reset: false };
        }
        Fault::Slow { bytes_per_second } => {
            reply.delivery = Delivery::Slow { bytes_per_second: (*bytes_per_second).max(1) };
        }
        Fault::Stall { after } => reply.delivery = Delivery::Stall { after: *after },
        Fault::Wrong(Content::Truncated) => {
            // Without its last byte no array is complete, wherever else the cut falls.
            let length = reply.body.known_length();
            let cut = middle(None, &reply.body).max(1);
            reply.body.truncate(length.map_or(cut, |n| cut.min(n.saturating_sub(1))));
        }
        _ => {}
    }
}

/// Where a body is cut: as asked, else in its middle; for a body of unknown length after 64 kB.
fn middle(after: Option<u64>, body: &ReplyBody) -> u64 {
    const UNKNOWN: u64 = 64 * 1024;
    match (after, body.known_length()) {
        // A cut at or after the end would cut nothing.
        (Some(after), Some(length)) => after.min(length.saturating_sub(1)),
        (Some(after), None) => after,
        (None, Some(length)) => length / 2,
        (None, None) => UNKNOWN,
    }
}
