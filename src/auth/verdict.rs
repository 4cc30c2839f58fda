//! What a refused token request means: a pure table.

use std::time::Duration;

use crate::domain::{Fault, Refusal};

/// Decides by Entra's own number first, then by the OAuth error, then by the HTTP status.
///
/// `oauth` is the member `error` of the reply, `aadsts` the number after `AADSTS`.
pub(super) fn verdict(status: u16, oauth: Option<&str>, aadsts: Option<u64>, retry_after: Option<Duration>) -> Fault {
    if let Some(fault) = aadsts.and_then(|number| by_number(number, retry_after)) {
        return fault;
    }
    // A front door's 5xx or 429 says more about the moment than an OAuth error that a proxy kept.
    match status {
        429 => return Fault::Throttled { retry_after },
        408 | 500..=599 => return Fault::Transient { retry_after },
        _ => {}
    }
    match oauth.map(str::trim).map(str::to_ascii_lowercase).as_deref() {
        Some("invalid_client" | "unauthorized_client") => Fault::Refused(Refusal::BadCredentials),
        Some("temporarily_unavailable" | "server_error" | "service_unavailable") => Fault::Transient { retry_after },
        Some("slow_down" | "too_many_requests" | "throttled") => Fault::Throttled { retry_after },
        Some("access_denied" | "consent_required" | "interaction_required") => Fault::Refused(Refusal::MissingPermission),
        Some("invalid_scope" | "invalid_resource" | "invalid_target") => Fault::Refused(Refusal::WrongEndpoint),
        Some("unsupported_grant_type" | "unsupported_response_type") => Fault::Refused(Refusal::Bug),
        Some(_) => Fault::Refused(Refusal::Unknown),
        None => by_status(status, retry_after),
    }
}

/// The numbers that tell what to do (Entra's "AADSTS error codes" page); the others are left to the OAuth error.
fn by_number(number: u64, retry_after: Option<Duration>) -> Option<Fault> {
    Some(match number {
        // Application unknown in the tenant, disabled, or of another kind; secret wrong, expired, missing, not accepted.
        700_016 | 70_001 | 7_000_112 | 7_000_215 | 7_000_216 | 7_000_218 | 7_000_222 | 700_030 | 50_012 => {
            Fault::Refused(Refusal::BadCredentials)
        }
        // Tenant not found, malformed, or not named.
        90_002 | 900_021 | 900_023 | 50_059 => Fault::Refused(Refusal::UnknownTenant),
        // The application lives in another national cloud; the resource is unknown here; the scope is none.
        900_382 | 900_432 | 900_439 | 500_011 | 500_014 | 50_001 | 70_011 | 650_057 | 1_002_012 => {
            Fault::Refused(Refusal::WrongEndpoint)
        }
        // Nobody consented, or the application must be assigned.
        65_001 | 650_052 | 50_105 | 501_051 => Fault::Refused(Refusal::MissingPermission),
        // Transient by name: service issue, time-outs, retryable errors of the directory behind.
        50_000 | 90_006 | 90_012 | 90_020 | 90_024 | 90_025 | 90_033 | 90_036 => Fault::Transient { retry_after },
        // Too many requests; the same request in a loop.
        90_055 | 50_196 => Fault::Throttled { retry_after },
        _ => return None,
    })
}

/// Replies that are not Entra's: it always gives an OAuth error.
fn by_status(status: u16, retry_after: Option<Duration>) -> Fault {
    match status {
        200..=299 => Fault::BadReply,
        300..=399 | 404 | 405 | 410 => Fault::Refused(Refusal::WrongEndpoint),
        // A page of a proxy or a captive portal: it passes, and the message shows whose it is.
        _ => Fault::Transient { retry_after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_before_error_before_status() {
        use Refusal as R;
        let wait = Some(Duration::from_secs(7));
        let refused = Fault::Refused;
        let transient = || Fault::Transient { retry_after: wait };
        let throttled = || Fault::Throttled { retry_after: wait };
        for (status, oauth, aadsts, expected) in [
            (401, Some("invalid_client"), Some(7_000_215), refused(R::BadCredentials)),
            (401, Some("invalid_client"), Some(7_000_222), refused(R::BadCredentials)),
            (400, Some("unauthorized_client"), Some(700_016), refused(R::BadCredentials)),
            (400, Some("invalid_request"), Some(90_002), refused(R::UnknownTenant)),
            (400, Some("invalid_request"), Some(900_023), refused(R::UnknownTenant)),
            (400, Some("invalid_resource"), Some(500_011), refused(R::WrongEndpoint)),
            (400, Some("invalid_client"), Some(90_033), transient()),
            (400, Some("invalid_request"), Some(90_055), throttled()),
            (400, Some("invalid_client"), None, refused(R::BadCredentials)),
            (401, Some(" Invalid_Client "), Some(1), refused(R::BadCredentials)),
            (400, Some("temporarily_unavailable"), None, transient()),
            (503, Some("invalid_client"), None, transient()),
            (429, Some("invalid_client"), None, throttled()),
            (429, None, None, throttled()),
            (500, None, None, transient()),
            (408, None, None, transient()),
            (403, None, None, transient()),
            (407, None, None, transient()),
            (401, None, None, transient()),
            (302, None, None, refused(R::WrongEndpoint)),
            (404, None, None, refused(R::WrongEndpoint)),
            (204, None, None, Fault::BadReply),
            (400, Some("invalid_scope"), None, refused(R::WrongEndpoint)),
            (400, Some("unsupported_grant_type"), None, refused(R::Bug)),
            (400, Some("access_denied"), None, refused(R::MissingPermission)),
            (400, Some("never_heard_of"), None, refused(R::Unknown)),
        ] {
            assert_eq!(verdict(status, oauth, aadsts, wait), expected, "{status} {oauth:?} {aadsts:?}");
        }
    }
}
