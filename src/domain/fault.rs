//! What can go wrong with a request, sorted by what has to be done about it.

use std::fmt;
use std::time::Duration;

/// A configuration fault: only a person can mend it, so it is reported loudly and tried again slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The token endpoint refuses the client id or secret.
    BadCredentials,
    /// The secret can't be read from where it should be.
    SecretUnavailable,
    /// The login service does not know the tenant.
    UnknownTenant,
    /// The token lacks `ActivityFeed.Read` (`AF10001`).
    MissingPermission,
    /// The tenant in the URL is not the token's (`AF20010`).
    WrongTenant,
    /// The service does not know the tenant, or holds it wrongly (`AF20011`, `AF20012`, `AF20013`).
    TenantRejected,
    /// The content type does not exist in this cloud (`AF20020`).
    UnknownContentType,
    /// The host or path is wrong: 404 where there must be something.
    WrongEndpoint,
    /// The request itself was wrong (`AF20001`, `AF20002`, `AF20003`, `AF20053`, `AF20054`): a bug of ours.
    Bug,
    /// Refused without a reason that we know.
    Unknown,
}

impl Refusal {
    /// What a person can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Refusal::BadCredentials => {
                "check client id and secret (it may have expired) under App registrations > Certificates & secrets"
            }
            Refusal::SecretUnavailable => {
                "make the secret readable: set AZURE_CLIENT_SECRET, or check the file named by client_secret_file"
            }
            Refusal::UnknownTenant => "check the tenant id, and that --cloud names the right national cloud",
            Refusal::MissingPermission => {
                "grant the application permission ActivityFeed.Read on Office 365 Management APIs, then admin consent"
            }
            Refusal::WrongTenant => "the token is for another tenant: check tenant id and client id",
            Refusal::TenantRejected => "check the tenant id and that audit logging is on; otherwise open a ticket with Microsoft",
            Refusal::UnknownContentType => "check --content-type; not every cloud has every type",
            Refusal::WrongEndpoint => "check --cloud or --api-url: nothing answers at that path",
            Refusal::Bug => "please report this: the request itself was rejected as malformed",
            Refusal::Unknown => "read the service's message; run `defender-feed check`",
        }
    }
}

/// The outcome of a request that did not give what was asked for. Decided by the service's code before the HTTP status
/// (`activity-api.md` section 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests: pause all calls of the tenant, for as long as the service says if it does.
    Throttled {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A person has to act.
    Refused(Refusal),
    /// Audit logging is off for the tenant, or was turned on less than an hour ago (section 10.3).
    AuditingOff,
    /// There is no subscription (`AF20022`).
    NoSubscription,
    /// An administrator has switched the subscription off (`AF20023`).
    SubscriptionDisabled,
    /// The listing window breaks the rules of time (`AF20030`, `AF20055`).
    WindowRefused,
    /// The page key is not valid any more (`AF20031`): list the window from its first page.
    StalePage,
    /// The blob has expired (`AF20051`).
    Expired,
    /// The blob does not exist (`AF20050`, `AF20052`, or 404 without a code).
    NotFound,
    /// Something that passes: 5xx, a reset, a time-out, a body cut short.
    Transient {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The reply is whole but not what it should be: empty, not JSON, of the wrong shape.
    BadReply,
    /// The reply names a URL outside the API's origin: the token was not sent there.
    ForeignOrigin,
    /// The reply exceeds a limit of ours.
    TooLarge,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Throttled { retry_after: Some(d) } => write!(f, "throttled for {} s", d.as_secs()),
            Fault::Throttled { retry_after: None } => f.write_str("throttled"),
            Fault::Refused(_) => f.write_str("refused"),
            Fault::AuditingOff => f.write_str("audit logging is off"),
            Fault::NoSubscription => f.write_str("no subscription"),
            Fault::SubscriptionDisabled => f.write_str("subscription disabled"),
            Fault::WindowRefused => f.write_str("window refused"),
            Fault::StalePage => f.write_str("stale page"),
            Fault::Expired => f.write_str("expired"),
            Fault::NotFound => f.write_str("not found"),
            Fault::Transient { .. } => f.write_str("passing fault"),
            Fault::BadReply => f.write_str("unusable reply"),
            Fault::ForeignOrigin => f.write_str("URL outside the API's origin"),
            Fault::TooLarge => f.write_str("larger than the limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const REFUSALS: [Refusal; 10] = [
        Refusal::BadCredentials,
        Refusal::SecretUnavailable,
        Refusal::UnknownTenant,
        Refusal::MissingPermission,
        Refusal::WrongTenant,
        Refusal::TenantRejected,
        Refusal::UnknownContentType,
        Refusal::WrongEndpoint,
        Refusal::Bug,
        Refusal::Unknown,
    ];

    #[test]
    fn each_refusal_comes_with_an_advice_of_its_own() {
        let advice: BTreeSet<_> = REFUSALS.map(Refusal::advice).into();
        assert_eq!(advice.len(), REFUSALS.len());
        assert!(Refusal::MissingPermission.advice().contains("ActivityFeed.Read"));
    }

    #[test]
    fn each_fault_has_words_of_its_own() {
        let faults = [
            Fault::Throttled { retry_after: Some(Duration::from_secs(9)) },
            Fault::Throttled { retry_after: None },
            Fault::Refused(Refusal::Bug),
            Fault::AuditingOff,
            Fault::NoSubscription,
            Fault::SubscriptionDisabled,
            Fault::WindowRefused,
            Fault::StalePage,
            Fault::Expired,
            Fault::NotFound,
            Fault::Transient { retry_after: None },
            Fault::BadReply,
            Fault::ForeignOrigin,
            Fault::TooLarge,
        ];
        let words: BTreeSet<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), faults.len());
        assert!(words.contains("throttled for 9 s"));
    }
}
