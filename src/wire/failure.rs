//! Which request it was, and how it failed.

use std::fmt;

use crate::domain::{Fault, Time};

use super::{WireError, WireErrorKind, printable};

/// Messages longer than this are cut: a service's stack trace has no place in a log line.
pub(crate) const LONGEST_MESSAGE: usize = 300;

/// Codes longer than this are cut: the service has been seen to put a whole sentence there (`activity-api.md` section 10.3).
pub(crate) const LONGEST_CODE: usize = 80;

/// The requests that the product makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestKind {
    /// A new access token.
    Token,
    /// Which subscriptions there are (`activity-api.md` section 5.3).
    Subscriptions,
    /// Start of a subscription (section 5.1).
    Start,
    /// Stop of a subscription (section 5.2).
    Stop,
    /// First page of a listing (section 5.4).
    List,
    /// A further page of a listing.
    NextPage,
    /// A content blob (section 5.5).
    Blob,
}

impl RequestKind {
    /// All of them.
    pub const ALL: [RequestKind; 7] = [
        RequestKind::Token,
        RequestKind::Subscriptions,
        RequestKind::Start,
        RequestKind::Stop,
        RequestKind::List,
        RequestKind::NextPage,
        RequestKind::Blob,
    ];

    /// The name used in logs and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Token => "token request",
            RequestKind::Subscriptions => "list of subscriptions",
            RequestKind::Start => "start of subscription",
            RequestKind::Stop => "stop of subscription",
            RequestKind::List => "content listing",
            RequestKind::NextPage => "next page of content listing",
            RequestKind::Blob => "blob download",
        }
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that did not give what was asked for. Every part of it is safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What has to be done about it.
    pub fault: Fault,
    /// The request that failed.
    pub request: RequestKind,
    /// The HTTP status, if a reply came.
    pub status: Option<u16>,
    /// The service's code, if it gave one: an `AF` code, an `AADSTS` code, or whatever stood there, cut.
    pub code: Option<String>,
    /// What the service or the network said, on one line, cut and escaped, without secrets.
    pub message: String,
    /// The reply's `Date`.
    pub date: Option<Time>,
}

impl Failure {
    /// The failure of a request that got no reply, or whose body broke off.
    pub(crate) fn of_wire(request: RequestKind, error: &WireError, date: Option<Time>) -> Self {
        let fault = match error.kind {
            // The whole reply was there to be read; asking again at once would bring the same.
            WireErrorKind::TooLarge | WireErrorKind::Encoding => Fault::BadReply,
            _ => Fault::Transient { retry_after: None },
        };
        let mut message = error.to_string();
        if let Some(advice) = error.kind.advice() {
            message.push_str("; ");
            message.push_str(advice);
        }
        // The detail is capped by itself; the advice behind it must not be what is cut off.
        Self { fault, request, status: None, code: None, message: printable(&message, 2 * LONGEST_MESSAGE), date }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.fault)?;
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " (HTTP {status}, {code})")?,
            (Some(status), None) => write!(f, " (HTTP {status})")?,
            (None, Some(code)) => write!(f, " ({code})")?,
            (None, None) => {}
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well_at_three_in_the_morning() {
        let failure = Failure {
            fault: Fault::NoSubscription,
            request: RequestKind::List,
            status: Some(400),
            code: Some("AF20022".into()),
            message: "No subscription found".into(),
            date: None,
        };
        assert_eq!(failure.to_string(), "content listing: no subscription (HTTP 400, AF20022): No subscription found");
        let error = WireError::new(WireErrorKind::Dns, "no such host");
        let failure = Failure::of_wire(RequestKind::Token, &error, None);
        assert_eq!(
            failure.to_string(),
            "token request: passing fault: host name not found: no such host; check DNS, and --cloud, --api-url and --login-url"
        );
    }
}
