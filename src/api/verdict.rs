//! What an error reply means: every row of `activity-api.md` section 10, as one pure function.

use std::time::Duration;

use crate::domain::{Fault, Refusal};
use crate::wire::RequestKind;

/// Decides by the service's code first, by the text second, and by the HTTP status last, since the documentation gives
/// hardly any status.
///
/// `code` is what stands in `error.code`; it is used if it is an `AF` code, else one is looked for in `message` and then in
/// `body_text`, which may be truncated, or of a shape that we don't know. A code that has no business with this kind of
/// request is a fault of the moment: it is tried again, and never ends work on a blob or a window.
pub fn verdict(
    kind: RequestKind,
    status: u16,
    code: Option<&str>,
    message: &str,
    retry_after: Option<Duration>,
    body_text: &str,
) -> Fault {
    if let Some(fault) = af_code(code, message, body_text).and_then(|code| by_code(kind, &code, retry_after)) {
        return fault;
    }
    let said = [code.unwrap_or_default(), message, body_text].map(str::to_ascii_lowercase);
    let says = |words: &str| said.iter().any(|text| text.contains(words));
    // Auditing is off, or on for less than an hour: `code` is a sentence, and `message` its end (section 10.3).
    if says("dataserviceexception") && says("does not exist") {
        return Fault::AuditingOff;
    }
    if says("too many request") {
        return Fault::Throttled { retry_after };
    }
    by_status(kind, status, retry_after)
}

/// True if the reply to a start says that there is nothing to start (`AF20024`): a success.
pub fn is_started_already(code: Option<&str>, message: &str, body_text: &str) -> bool {
    af_code(code, message, body_text).as_deref() == Some("AF20024")
}

/// True if a newer token might be taken where this one was not: 401, 403 and other refusals without a reason that has
/// nothing to do with the token, and `AF10001`, since consent may be new.
pub fn blames_token(status: u16, code: Option<&str>, fault: &Fault) -> bool {
    match fault {
        Fault::Refused(Refusal::MissingPermission) => true,
        Fault::Refused(Refusal::Unknown) => (400..500).contains(&status) && af_code(code, "", "").is_none(),
        _ => false,
    }
}

/// The `AF` code, in capitals: from `code`, else the first in the texts.
pub(super) fn af_code(code: Option<&str>, message: &str, body_text: &str) -> Option<String> {
    let code = code.map(str::trim).filter(|c| is_af_code(c));
    code.or_else(|| find_af_code(message)).or_else(|| find_af_code(body_text)).map(str::to_ascii_uppercase)
}

fn is_af_code(text: &str) -> bool {
    let digits = text.get(..2).filter(|af| af.eq_ignore_ascii_case("AF")).map(|_| &text[2..]);
    digits.is_some_and(|d| matches!(d.len(), 3 | 5) && d.bytes().all(|b| b.is_ascii_digit()))
}

/// Words only: `af20011` could stand inside a hash. No part of a GUID is as long as a code.
fn find_af_code(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_af_code(word))
}

/// `None` for codes that tell nothing about this request, and for codes that nobody has seen.
fn by_code(kind: RequestKind, code: &str, retry_after: Option<Duration>) -> Option<Fault> {
    use RequestKind as Kind;
    let transient = Fault::Transient { retry_after };
    let only_for = |kinds: &[Kind], fault| if kinds.contains(&kind) { fault } else { transient.clone() };
    Some(match code {
        "AF10001" => Fault::Refused(Refusal::MissingPermission),
        "AF20001" | "AF20002" | "AF20003" | "AF20021" | "AF20053" | "AF20054" => Fault::Refused(Refusal::Bug),
        "AF20010" => Fault::Refused(Refusal::WrongTenant),
        "AF20011" | "AF20012" | "AF20013" => Fault::Refused(Refusal::TenantRejected),
        "AF20020" => Fault::Refused(Refusal::UnknownContentType),
        "AF20022" => Fault::NoSubscription,
        "AF20023" => Fault::SubscriptionDisabled,
        "AF20030" | "AF20055" => only_for(&[Kind::List, Kind::NextPage], Fault::WindowRefused),
        "AF20031" => only_for(&[Kind::List, Kind::NextPage], Fault::StalePage),
        "AF20050" | "AF20052" => only_for(&[Kind::Blob], Fault::NotFound),
        "AF20051" => only_for(&[Kind::Blob], Fault::Expired),
        "AF429" => Fault::Throttled { retry_after },
        _ if code.len() == 7 && code.starts_with("AF5") => transient,
        _ => return None,
    })
}

fn by_status(kind: RequestKind, status: u16, retry_after: Option<Duration>) -> Fault {
    match status {
        // A whole reply of the wrong shape, or one that answers another question (206, 304).
        ..=299 | 304 => Fault::BadReply,
        300..=399 => Fault::Refused(Refusal::WrongEndpoint),
        404 | 410 => match kind {
            RequestKind::Blob => Fault::NotFound,
            // The first page was there, at the same path: it is the page that is gone.
            RequestKind::NextPage => Fault::StalePage,
            _ => Fault::Refused(Refusal::WrongEndpoint),
        },
        429 => Fault::Throttled { retry_after },
        408 | 421 | 425 | 500.. => Fault::Transient { retry_after },
        _ => Fault::Refused(Refusal::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Option<Duration> = Some(Duration::from_secs(9));
    const STATUSES: [u16; 28] = [
        200, 201, 202, 204, 206, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 421, 425, 429, 500,
        501, 502, 503, 599,
    ];

    fn transient() -> Fault {
        Fault::Transient { retry_after: WAIT }
    }

    fn throttled() -> Fault {
        Fault::Throttled { retry_after: WAIT }
    }

    /// Section 10.2, by code: the fault, and for which requests; elsewhere the code makes no sense.
    fn rows() -> Vec<(&'static str, Fault, &'static [RequestKind])> {
        use Refusal as R;
        use RequestKind as K;
        let all: &[K] = &K::ALL;
        let lists: &[K] = &[K::List, K::NextPage];
        let blob: &[K] = &[K::Blob];
        vec![
            ("AF10001", Fault::Refused(R::MissingPermission), all),
            ("AF20001", Fault::Refused(R::Bug), all),
            ("AF20002", Fault::Refused(R::Bug), all),
            ("AF20003", Fault::Refused(R::Bug), all),
            ("AF20010", Fault::Refused(R::WrongTenant), all),
            ("AF20011", Fault::Refused(R::TenantRejected), all),
            ("AF20012", Fault::Refused(R::TenantRejected), all),
            ("AF20013", Fault::Refused(R::TenantRejected), all),
            ("AF20020", Fault::Refused(R::UnknownContentType), all),
            ("AF20021", Fault::Refused(R::Bug), all),
            ("AF20022", Fault::NoSubscription, all),
            ("AF20023", Fault::SubscriptionDisabled, all),
            ("AF20030", Fault::WindowRefused, lists),
            ("AF20031", Fault::StalePage, lists),
            ("AF20050", Fault::NotFound, blob),
            ("AF20051", Fault::Expired, blob),
            ("AF20052", Fault::NotFound, blob),
            ("AF20053", Fault::Refused(R::Bug), all),
            ("AF20054", Fault::Refused(R::Bug), all),
            ("AF20055", Fault::WindowRefused, lists),
            ("AF429", throttled(), all),
            ("AF50000", transient(), all),
            ("AF50005", transient(), all),
            ("AF50006", transient(), all),
            ("AF50099", transient(), all),
        ]
    }

    #[test]
    fn the_code_decides_whatever_the_status_and_wherever_it_stands() {
        for (code, fault, kinds) in rows() {
            for kind in RequestKind::ALL {
                let expected = if kinds.contains(&kind) { fault.clone() } else { transient() };
                for status in STATUSES {
                    let lower = code.to_ascii_lowercase();
                    let padded = format!(" {code}\r\n");
                    let sentence = format!("Request failed ({code}): see there");
                    let truncated = format!("{{\"error\":{{\"code\":\"{code}\",\"mess");
                    for (code, message, text) in [
                        (Some(code), "", ""),
                        (Some(lower.as_str()), "a message that says too many requests", ""),
                        (Some(padded.as_str()), "", ""),
                        (None, sentence.as_str(), ""),
                        (Some("Unauthorized"), sentence.as_str(), ""),
                        (None, "", truncated.as_str()),
                    ] {
                        let found = verdict(kind, status, code, message, WAIT, text);
                        assert_eq!(found, expected, "{kind} {status} {code:?} {message:?} {text:?}");
                    }
                }
            }
        }
    }

    /// Section 10.2, "without a usable code", for every request and status.
    #[test]
    fn the_status_decides_where_no_code_does() {
        let unusable =
            [None, Some(""), Some("AF"), Some("AF20099"), Some("AF10002"), Some("AF20024"), Some("-1"), Some("Forbidden")];
        for kind in RequestKind::ALL {
            for code in unusable {
                for status in STATUSES {
                    let expected = match (status, kind) {
                        (200..=299 | 304, _) => Fault::BadReply,
                        (301..=308, _) => Fault::Refused(Refusal::WrongEndpoint),
                        (404 | 410, RequestKind::Blob) => Fault::NotFound,
                        (404 | 410, RequestKind::NextPage) => Fault::StalePage,
                        (404 | 410, _) => Fault::Refused(Refusal::WrongEndpoint),
                        (429, _) => throttled(),
                        (408 | 421 | 425 | 500..=599, _) => transient(),
                        _ => Fault::Refused(Refusal::Unknown),
                    };
                    for text in ["", "<html>Bad Gateway</html>", "{\"Message\":\"x\"}", "{\"error\":"] {
                        assert_eq!(verdict(kind, status, code, "", WAIT, text), expected, "{kind} {status} {code:?} {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn throttling_is_known_by_its_text() {
        for status in [400, 403, 429, 500, 503, 200] {
            for (code, message, text) in [
                (None, "Too many requests. Method=GetBlob, PublisherId=00000000-0000-0000-0000-000000000000", ""),
                (Some("429"), "too many requests", ""),
                (Some("TooManyRequests"), "Too Many Requests", ""),
                (None, "", "<html><title>403 - TOO MANY REQUESTS</title>"),
                (None, "", "\"AF429\""),
                (None, "error_AF429_x", ""),
                (None, "AF429-throttled", ""),
            ] {
                assert_eq!(
                    verdict(RequestKind::Blob, status, code, message, WAIT, text),
                    throttled(),
                    "{status} {message} {text}"
                );
            }
        }
    }

    /// Section 10.3.
    #[test]
    fn auditing_off_is_known_by_its_exception() {
        let body = include_bytes!("../../fixtures/api/auditing-off.json");
        let said = crate::wire::ErrorBody::read(body);
        for kind in RequestKind::ALL {
            for status in [400, 401, 403, 404, 500] {
                assert_eq!(verdict(kind, status, said.code.as_deref(), &said.message, None, &said.text), Fault::AuditingOff);
            }
        }
        let text = "DataServiceException: something else";
        assert_eq!(verdict(RequestKind::List, 400, None, text, None, ""), Fault::Refused(Refusal::Unknown));
    }

    #[test]
    fn guids_and_hashes_are_no_codes() {
        for text in [
            "11af2001-af20-4af4-af42-af4290af4291",
            "00AF20022",
            "AF20022b",
            "AF2002",
            "AF 20022",
            "AF12",
            "AF1234567",
            "xAF429",
            "7af42900-0000-4000-8000-000000af429f",
        ] {
            assert_eq!(find_af_code(text), None, "{text}");
            assert_eq!(verdict(RequestKind::List, 400, None, text, None, text), Fault::Refused(Refusal::Unknown), "{text}");
        }
        for text in ["[AF20022]", "äAF20022: x", "x_af20022", "AF20022-x", "AF20022"] {
            assert!(find_af_code(text).is_some_and(|c| c.eq_ignore_ascii_case("AF20022")), "{text}");
        }
    }

    #[test]
    fn only_a_refusal_that_a_new_token_could_mend_blames_the_token() {
        let blamed = |status, code| {
            let fault = verdict(RequestKind::List, status, code, "", None, "");
            blames_token(status, code, &fault)
        };
        for (status, code, expected) in [
            (401, None, true),
            (403, None, true),
            (400, None, true),
            (409, None, true),
            (401, Some("AF10001"), true),
            (403, Some("AF10001"), true),
            (200, Some("AF10001"), true),
            (401, Some("AF20010"), false),
            (403, Some("AF429"), false),
            (401, Some("AF20099"), false),
            (404, None, false),
            (429, None, false),
            (500, None, false),
            (302, None, false),
        ] {
            assert_eq!(blamed(status, code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn already_enabled_is_success_of_a_start() {
        assert!(is_started_already(Some("af20024 "), "", ""));
        assert!(is_started_already(None, "", "{\"error\":{\"code\":\"AF20024\","));
        assert!(!is_started_already(Some("AF20022"), "not AF20024", ""));
    }
}
