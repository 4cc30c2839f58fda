//! `[TARGET:]KIND[=VALUE][@WHEN]`: faults as words on a command line.

use std::str::FromStr;
use std::time::Duration;

use super::{Content, ErrorBody, Fault, Rule, Target, When};
use crate::domain::ContentId;

/// The grammar, for `--help`.
pub const GRAMMAR: &str = "\
KIND is one of
  throttle[=SECONDS]      AF429 with 403, and a Retry-After header if SECONDS is given
  throttle-429[=SECONDS]  the same with 429
  error[=STATUS]          STATUS (default 500) with AF50000 as JSON; error-html and error-empty: as a page, without a body
  code=STATUS/CODE        an API error of that status and code, such as code=400/AF20012
  reset                   the connection is reset before the head
  cut[=BYTES]             the body breaks off after BYTES (default: in its middle), with a right Content-Length
  cut-chunked[=BYTES]     the same for a chunked body
  slow[=BYTES]            BYTES a second (default 1000)
  stall[=BYTES]           nothing more comes after BYTES of the body (default: not even the head)
  truncated, html, error-object, empty, empty-array, object, numbers, garbage
                          a body with 200 that is not what it should be
  unauthorized            401 though the token is good; revoke-token: 401 until a new token is used
  no-permission, wrong-tenant, auditing-off, no-subscription, disabled, invalid-client
  expired, missing, not-found            (blobs: AF20051, AF20050, 404 without a code)
  stale-page, page-loop, empty-page, repeat-entry, foreign-uri    (listings)
  clock-skew=SECONDS      the Date header is ahead (or behind, if negative)
TARGET is any, api, token, subscriptions, start, listing, first-page, next-page, blob, or blob/CONTENTID
  (default: what the kind is about, else api)
WHEN is a share of the requests such as 0.05, always, first/N, nth/N, every/N,
  blobs/SHARE (the first download of that share of blobs) or poison/SHARE (every download of them)
  (default: blobs/0.05 for wrong bodies, poison/0.01 for expired, missing and not-found, first/1 for
  no-subscription, disabled and revoke-token, always for clock-skew, no-permission, wrong-tenant,
  auditing-off and invalid-client, else 0.05)";

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, when) = match text.rsplit_once('@') {
            Some((head, when)) => (head, Some(read_when(when)?)),
            None => (text, None),
        };
        let (target, head) = match head.split_once(':') {
            Some((target, rest)) => (Some(read_target(target)?), rest),
            None => (None, head),
        };
        let (name, value) = match head.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (head, None),
        };
        let fault = read_fault(name, value)?;
        let when = when.unwrap_or_else(|| natural_when(&fault));
        let target = target.unwrap_or_else(|| match when {
            // A share of blobs can only be a share of the requests for blobs.
            When::Blobs { .. } => Target::Blob,
            _ => fault.natural_target(),
        });
        Ok(Rule { target, fault, when })
    }
}

fn natural_when(fault: &Fault) -> When {
    match fault {
        Fault::Wrong(_) => When::Blobs { share: 0.05, times: Some(1) },
        Fault::Expired | Fault::Missing | Fault::NotFound => When::Blobs { share: 0.01, times: None },
        Fault::NoSubscription | Fault::Disabled | Fault::RevokeToken => When::First(1),
        Fault::ClockSkew { .. } | Fault::NoPermission | Fault::WrongTenant | Fault::AuditingOff | Fault::InvalidClient => {
            When::Always
        }
        _ => When::Rate(0.05),
    }
}

fn read_target(text: &str) -> Result<Target, String> {
    Ok(match text {
        "any" => Target::Any,
        "api" => Target::Api,
        "token" => Target::Token,
        "subscriptions" => Target::Subscriptions,
        "start" => Target::Start,
        "listing" => Target::Listing,
        "first-page" => Target::FirstPage,
        "next-page" => Target::NextPage,
        "blob" => Target::Blob,
        _ => match text.strip_prefix("blob/") {
            Some(id) if !id.is_empty() => Target::OneBlob(ContentId(id.to_owned())),
            _ => return Err(format!("no target is called {text:?}")),
        },
    })
}

fn read_when(text: &str) -> Result<When, String> {
    let share = |text: &str| match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a share between 0 and 1")),
    };
    match text.split_once('/') {
        Some(("first", n)) => Ok(When::First(count(n)?)),
        Some(("nth", n)) => Ok(When::Nth(count(n)?)),
        Some(("every", n)) => Ok(When::Every(count(n)?)),
        Some(("blobs", s)) => Ok(When::Blobs { share: share(s)?, times: Some(1) }),
        Some(("poison", s)) => Ok(When::Blobs { share: share(s)?, times: None }),
        _ if text == "always" => Ok(When::Always),
        _ => share(text).map(When::Rate),
    }
}

fn count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("{text:?} is not a number from 1 on"))
}

fn read_fault(name: &str, value: Option<&str>) -> Result<Fault, String> {
    let number = || value.map(|v| v.parse::<u64>().map_err(|_| format!("{name}={v}: {v:?} is not a whole number"))).transpose();
    let seconds = || number().map(|n| n.map(Duration::from_secs));
    let status = |default| match number()? {
        None => Ok(default),
        Some(n) => {
            let fits = u16::try_from(n).ok().filter(|n| (400..=599).contains(n));
            fits.ok_or_else(|| format!("{name}={n}: an error status lies between 400 and 599"))
        }
    };
    let error = |body| Ok::<_, String>(Fault::Status { status: status(500)?, body, retry_after: None });
    let fault = match name {
        "throttle" => Fault::Throttle { status: 403, retry_after: seconds()? },
        "throttle-429" => Fault::Throttle { status: 429, retry_after: seconds()? },
        "error" => error(ErrorBody::Json)?,
        "error-html" => error(ErrorBody::Html)?,
        "error-empty" => error(ErrorBody::Empty)?,
        "code" => read_code(value)?,
        "cut" => Fault::Cut { after: number()? },
        "cut-chunked" => Fault::CutChunked { after: number()? },
        "slow" => Fault::Slow { bytes_per_second: number()?.unwrap_or(1000).max(1) },
        "stall" => Fault::Stall { after: number()? },
        "clock-skew" => read_skew(value)?,
        _ => plain(name).ok_or_else(|| format!("no fault is called {name:?}; --help lists them"))?,
    };
    match (value, plain(name)) {
        (Some(value), Some(_)) => Err(format!("{name} takes no value, but {value:?} was given")),
        _ => Ok(fault),
    }
}

fn read_code(value: Option<&str>) -> Result<Fault, String> {
    let wrong = || "code wants a status and a code, such as code=400/AF20012".to_owned();
    let (status, code) = value.and_then(|v| v.split_once('/')).ok_or_else(wrong)?;
    let status = status.parse().ok().filter(|s| (200..=599).contains(s)).ok_or_else(wrong)?;
    Ok(Fault::Code { status, code: code.to_owned() })
}

fn read_skew(value: Option<&str>) -> Result<Fault, String> {
    let seconds: Option<i64> = value.and_then(|v| v.parse().ok());
    let millis = seconds.and_then(|s| s.checked_mul(1000));
    millis
        .map(|millis| Fault::ClockSkew { millis })
        .ok_or_else(|| "clock-skew wants whole seconds, such as clock-skew=-3600".into())
}

/// The faults without a value.
fn plain(name: &str) -> Option<Fault> {
    Some(match name {
        "reset" => Fault::Reset,
        "html" => Fault::Wrong(Content::Html),
        "error-object" => Fault::Wrong(Content::ErrorObject),
        "empty" => Fault::Wrong(Content::Empty),
        "empty-array" => Fault::Wrong(Content::EmptyArray),
        "object" => Fault::Wrong(Content::Object),
        "numbers" => Fault::Wrong(Content::Numbers),
        "garbage" => Fault::Wrong(Content::Garbage),
        "truncated" => Fault::Wrong(Content::Truncated),
        "unauthorized" => Fault::Unauthorized,
        "revoke-token" => Fault::RevokeToken,
        "no-permission" => Fault::NoPermission,
        "wrong-tenant" => Fault::WrongTenant,
        "expired" => Fault::Expired,
        "missing" => Fault::Missing,
        "not-found" => Fault::NotFound,
        "stale-page" => Fault::StalePage,
        "page-loop" => Fault::PageLoop,
        "empty-page" => Fault::EmptyPage,
        "repeat-entry" => Fault::RepeatEntry,
        "foreign-uri" => Fault::ForeignUri,
        "no-subscription" => Fault::NoSubscription,
        "disabled" => Fault::Disabled,
        "auditing-off" => Fault::AuditingOff,
        "invalid-client" => Fault::InvalidClient,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn reads_what_the_help_says() {
        assert_eq!(
            rule("throttle"),
            Rule::new(Target::Api, Fault::Throttle { status: 403, retry_after: None }, When::Rate(0.05))
        );
        let throttle = Fault::Throttle { status: 429, retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(rule("listing:throttle-429=7@first/2"), Rule::new(Target::Listing, throttle, When::First(2)));
        let status = Fault::Status { status: 503, body: ErrorBody::Html, retry_after: None };
        assert_eq!(rule("token:error-html=503@every/3"), Rule::new(Target::Token, status, When::Every(3)));
        let blobs = When::Blobs { share: 0.5, times: Some(1) };
        assert_eq!(rule("cut=10@blobs/0.5"), Rule::new(Target::Blob, Fault::Cut { after: Some(10) }, blobs));
        let one = Target::OneBlob(ContentId("a$b".to_owned()));
        assert_eq!(rule("blob/a$b:missing@always"), Rule::new(one, Fault::Missing, When::Always));
        assert_eq!(rule("clock-skew=-3600").fault, Fault::ClockSkew { millis: -3_600_000 });
        assert_eq!(rule("code=400/AF20012@nth/1").fault, Fault::Code { status: 400, code: "AF20012".to_owned() });
        assert_eq!(rule("expired").when, When::Blobs { share: 0.01, times: None });
    }

    #[test]
    fn every_kind_in_the_help_is_read_and_named_alike() {
        let kinds = [
            "throttle",
            "throttle-429",
            "error",
            "error-html",
            "error-empty",
            "reset",
            "cut",
            "cut-chunked",
            "slow",
            "stall",
            "truncated",
            "html",
            "error-object",
            "empty",
            "empty-array",
            "object",
            "numbers",
            "garbage",
            "unauthorized",
            "revoke-token",
            "no-permission",
            "wrong-tenant",
            "auditing-off",
            "no-subscription",
            "disabled",
            "invalid-client",
            "expired",
            "missing",
            "not-found",
            "stale-page",
            "page-loop",
            "empty-page",
            "repeat-entry",
            "foreign-uri",
        ];
        for kind in kinds {
            assert_eq!(rule(kind).fault.name(), kind);
            assert!(GRAMMAR.contains(kind), "{kind}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let table = [
            ("explode", "no fault is called \"explode\""),
            ("reset=1", "reset takes no value"),
            ("throttle=soon", "\"soon\" is not a whole number"),
            ("error=200", "between 400 and 599"),
            ("reset@1.5", "not a share between 0 and 1"),
            ("reset@first/0", "not a number from 1 on"),
            ("nowhere:reset", "no target is called \"nowhere\""),
            ("clock-skew", "wants whole seconds"),
            ("code=AF1", "wants a status and a code"),
            ("", "no fault is called"),
        ];
        for (text, why) in table {
            let error = text.parse::<Rule>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
