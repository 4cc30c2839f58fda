//! Which call a path means. Login and API paths don't clash, so one listener serves both.

use percent::decode;

use super::message::Request;

/// Percent-decoding of a path segment.
mod percent {
    use std::borrow::Cow;

    /// `%24` becomes `$`; what is no escape stays as it is.
    pub(super) fn decode(text: &str) -> Cow<'_, str> {
        if !text.contains('%') {
            return Cow::Borrowed(text);
        }
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut i = 0;
        while i < bytes.len() {
            let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
            match (bytes[i], digit(i + 1), digit(i + 2)) {
                (b'%', Some(high), Some(low)) => {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                    i += 3;
                }
                (byte, ..) => {
                    out.push(byte);
                    i += 1;
                }
            }
        }
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }
}

/// The kinds of calls, as faults and the ledger tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Token,
    Subscriptions,
    Start,
    Stop,
    FirstPage,
    NextPage,
    Notifications,
    Blob,
    Resources,
    Unknown,
}

impl Kind {
    /// The name under which the ledger counts it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Subscriptions => "subscriptions",
            Kind::Start => "start",
            Kind::Stop => "stop",
            Kind::FirstPage => "first_page",
            Kind::NextPage => "next_page",
            Kind::Notifications => "notifications",
            Kind::Blob => "blob",
            Kind::Resources => "resources",
            Kind::Unknown => "unknown",
        }
    }

    /// How `AF429` and the sentence of section 10.3 name the operation.
    pub(super) fn operation(self) -> &'static str {
        match self {
            Kind::Start => "StartSubscription",
            Kind::Stop => "StopSubscription",
            Kind::Subscriptions => "ListSubscriptions",
            Kind::FirstPage | Kind::NextPage => "GetAvailableContent",
            Kind::Notifications => "GetNotifications",
            Kind::Blob => "GetContent",
            Kind::Resources => "GetResourceFriendlyNames",
            Kind::Token | Kind::Unknown => "Unknown",
        }
    }

    /// True for the calls that need a token of the tenant.
    pub(super) fn is_api(self) -> bool {
        !matches!(self, Kind::Token | Kind::Unknown)
    }

    /// The one method that the call takes.
    pub(super) fn method(self) -> &'static str {
        match self {
            Kind::Token | Kind::Start | Kind::Stop => "POST",
            _ => "GET",
        }
    }
}

/// A call as its path and query tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// The tenant in the path.
    pub(super) tenant: String,
    /// The content id in the path of a blob, decoded.
    pub(super) content_id: Option<String>,
    /// The token endpoint's version.
    pub(super) version: u8,
}

impl Call {
    pub(super) fn read(request: &Request) -> Self {
        let segments: Vec<_> = request.path.trim_start_matches('/').split('/').map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let call = |kind, tenant: &str| Call { kind, tenant: tenant.to_owned(), content_id: None, version: 0 };
        match segments.as_slice() {
            [tenant, "oauth2", "token"] => Call { version: 1, ..call(Kind::Token, tenant) },
            [tenant, "oauth2", "v2.0", "token"] => Call { version: 2, ..call(Kind::Token, tenant) },
            // Microsoft's next-page sample has `v1`, everything else `v1.0`.
            ["api", "v1.0" | "v1", tenant, "activity", "feed", rest @ ..] => match rest {
                ["subscriptions", "list"] => call(Kind::Subscriptions, tenant),
                ["subscriptions", "start"] => call(Kind::Start, tenant),
                ["subscriptions", "stop"] => call(Kind::Stop, tenant),
                ["subscriptions", "content"] if request.query_value("nextPage").is_some() => call(Kind::NextPage, tenant),
                ["subscriptions", "content"] => call(Kind::FirstPage, tenant),
                ["subscriptions", "notifications"] => call(Kind::Notifications, tenant),
                ["audit", id] => Call { content_id: Some((*id).to_owned()), ..call(Kind::Blob, tenant) },
                ["resources", "dlpSensitiveTypes"] => call(Kind::Resources, tenant),
                _ => call(Kind::Unknown, tenant),
            },
            _ => call(Kind::Unknown, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths() {
        let table = [
            ("/t/oauth2/token", Kind::Token),
            ("/t/oauth2/v2.0/token", Kind::Token),
            ("/api/v1.0/t/activity/feed/subscriptions/list", Kind::Subscriptions),
            ("/api/v1/t/activity/feed/subscriptions/content?nextPage=1", Kind::NextPage),
            ("/api/v1.0/t/activity/feed/subscriptions/content?nextPage=", Kind::FirstPage),
            ("/api/v1.0/t/activity/feed/audit/a%24b", Kind::Blob),
            ("/api/v1.0/t/activity/feed/audit/a/b", Kind::Unknown),
            ("/api/v2/t/activity/feed/audit/a", Kind::Unknown),
            ("/", Kind::Unknown),
            ("//%%%/%zz/%ff", Kind::Unknown),
        ];
        for (target, kind) in table {
            assert_eq!(Call::read(&Request::get(target)).kind, kind, "{target}");
        }
        let blob = Call::read(&Request::get("/api/v1.0/t/activity/feed/audit/a%24b$c%"));
        assert_eq!(blob.content_id.as_deref(), Some("a$b$c%"));
    }
}
