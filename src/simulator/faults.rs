//! What goes wrong: rules that say which requests are hit, when, and by what.
//!
//! A rule is [`Rule::new`]`(target, fault, when)`. Rules are asked in their order; the first one that fires is the
//! request's fault, the others wait. Chance follows from the seed and from how many requests a rule has seen, so the
//! same requests in the same order meet the same faults.

mod apply;
mod schedule;
mod words;

use std::time::Duration;

use crate::domain::{ContentId, Time};

pub(super) use apply::{Scene, corrupt, instead};
pub(super) use schedule::Schedule;
pub use words::GRAMMAR;

use super::route::Kind;

/// Which requests a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every request, the token endpoint included.
    Any,
    /// Every request that needs a token.
    Api,
    /// The token endpoints.
    Token,
    /// `subscriptions/list`
    Subscriptions,
    /// `subscriptions/start`
    Start,
    /// Listings: first and next pages.
    Listing,
    /// First pages alone.
    FirstPage,
    /// Next pages alone.
    NextPage,
    /// Every blob.
    Blob,
    /// This blob.
    OneBlob(ContentId),
}

impl Target {
    fn hits(&self, kind: Kind, blob: Option<&ContentId>) -> bool {
        match self {
            Target::Any => kind != Kind::Unknown,
            Target::Api => kind.is_api(),
            Target::Token => kind == Kind::Token,
            Target::Subscriptions => kind == Kind::Subscriptions,
            Target::Start => kind == Kind::Start,
            Target::Listing => matches!(kind, Kind::FirstPage | Kind::NextPage),
            Target::FirstPage => kind == Kind::FirstPage,
            Target::NextPage => kind == Kind::NextPage,
            Target::Blob => kind == Kind::Blob,
            Target::OneBlob(id) => blob == Some(id),
        }
    }
}

/// When a rule fires, among the requests that it is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Each time.
    Always,
    /// For the first so many of them.
    First(u64),
    /// For this one alone, counted from 1.
    Nth(u64),
    /// For every so-many-th.
    Every(u64),
    /// For this share of them.
    Rate(f64),
    /// From the first moment until before the second.
    During(Time, Time),
    /// For this share of all blobs, each time, or at the first so many downloads of each.
    Blobs {
        /// Which share of all blobs is hit.
        share: f64,
        /// How often each one is; `None`: always (poison).
        times: Option<u64>,
    },
}

/// What is in a body that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A proxy's page.
    Html,
    /// `{"error":{..}}` with 200.
    ErrorObject,
    /// No byte.
    Empty,
    /// `[]`: a lie that no client can find out.
    EmptyArray,
    /// A JSON object of another shape.
    Object,
    /// An array of numbers and nulls.
    Numbers,
    /// No JSON.
    Garbage,
    /// The true body without its last bytes: whole HTTP, broken JSON.
    Truncated,
}

/// The body of an error reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorBody {
    /// `{"error":{"code":"AF50000",..}}`
    Json,
    /// A proxy's page.
    Html,
    /// None.
    Empty,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// `AF429`, with 403 or 429, with or without `Retry-After`.
    Throttle {
        /// 403 or 429.
        status: u16,
        /// The header, if there is to be one.
        retry_after: Option<Duration>,
    },
    /// An error status: 500, 502, 503, 504, 408 …
    Status {
        /// The status.
        status: u16,
        /// Its body.
        body: ErrorBody,
        /// The header, if there is to be one.
        retry_after: Option<Duration>,
    },
    /// An error of the API with this code and status, whatever the reason.
    Code {
        /// The status.
        status: u16,
        /// The code, such as `AF20012`.
        code: String,
    },
    /// The connection is reset before the head.
    Reset,
    /// The body breaks off after so many bytes (`None`: in its middle), with a right `Content-Length`, by a reset.
    Cut {
        /// Bytes that arrive.
        after: Option<u64>,
    },
    /// A chunked body breaks off after so many bytes (`None`: in its middle), without its last chunk, by a close.
    CutChunked {
        /// Bytes that arrive.
        after: Option<u64>,
    },
    /// The body trickles.
    Slow {
        /// The rate; at least 1.
        bytes_per_second: u64,
    },
    /// Nothing comes any more after so many bytes of the body; `None`: not even the head.
    Stall {
        /// Bytes that arrive.
        after: Option<u64>,
    },
    /// A body with 200 that is not what it should be.
    Wrong(Content),
    /// 401, though the token is good.
    Unauthorized,
    /// The token is taken back before its time: 401 until a new one is used.
    RevokeToken,
    /// 401 `AF10001`: the permission is missing.
    NoPermission,
    /// `AF20010`: another tenant's token.
    WrongTenant,
    /// `AF20051` for a listed blob.
    Expired,
    /// `AF20050` for a listed blob.
    Missing,
    /// 404 without a code.
    NotFound,
    /// `AF20031` for a next page.
    StalePage,
    /// The next page is the first page again.
    PageLoop,
    /// A page without entries, though there is a next one.
    EmptyPage,
    /// The last entry of a page stands on the next page, or once more on the same one.
    RepeatEntry,
    /// The listing names blobs at another host.
    ForeignUri,
    /// All subscriptions vanish, until started again; content of the time between is lost (`AF20022`).
    NoSubscription,
    /// An administrator disables all subscriptions (`AF20023`).
    Disabled,
    /// Audit logging is off: the sentence of section 10.3.
    AuditingOff,
    /// The token endpoint answers `invalid_client`.
    InvalidClient,
    /// The `Date` header is wrong by so many milliseconds; goes along with any other fault.
    ClockSkew {
        /// Ahead, if positive.
        millis: i64,
    },
}

impl Fault {
    /// The name that the ledger counts it under and that `--fault` takes.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Throttle { status: 429, .. } => "throttle-429",
            Fault::Throttle { .. } => "throttle",
            Fault::Status { body: ErrorBody::Json, .. } => "error",
            Fault::Status { body: ErrorBody::Html, .. } => "error-html",
            Fault::Status { body: ErrorBody::Empty, .. } => "error-empty",
            Fault::Code { .. } => "code",
            Fault::Reset => "reset",
            Fault::Cut { .. } => "cut",
            Fault::CutChunked { .. } => "cut-chunked",
            Fault::Slow { .. } => "slow",
            Fault::Stall { .. } => "stall",
            Fault::Wrong(Content::Html) => "html",
            Fault::Wrong(Content::ErrorObject) => "error-object",
            Fault::Wrong(Content::Empty) => "empty",
            Fault::Wrong(Content::EmptyArray) => "empty-array",
            Fault::Wrong(Content::Object) => "object",
            Fault::Wrong(Content::Numbers) => "numbers",
            Fault::Wrong(Content::Garbage) => "garbage",
            Fault::Wrong(Content::Truncated) => "truncated",
            Fault::Unauthorized => "unauthorized",
            Fault::RevokeToken => "revoke-token",
            Fault::NoPermission => "no-permission",
            Fault::WrongTenant => "wrong-tenant",
            Fault::Expired => "expired",
            Fault::Missing => "missing",
            Fault::NotFound => "not-found",
            Fault::StalePage => "stale-page",
            Fault::PageLoop => "page-loop",
            Fault::EmptyPage => "empty-page",
            Fault::RepeatEntry => "repeat-entry",
            Fault::ForeignUri => "foreign-uri",
            Fault::NoSubscription => "no-subscription",
            Fault::Disabled => "disabled",
            Fault::AuditingOff => "auditing-off",
            Fault::InvalidClient => "invalid-client",
            Fault::ClockSkew { .. } => "clock-skew",
        }
    }

    /// True if a download that meets this fault does not bring the blob.
    pub(super) fn spoils_a_blob(&self) -> bool {
        !matches!(
            self,
            Fault::Slow { .. }
                | Fault::ClockSkew { .. }
                | Fault::StalePage
                | Fault::PageLoop
                | Fault::EmptyPage
                | Fault::RepeatEntry
                | Fault::ForeignUri
                | Fault::NoSubscription
                | Fault::Disabled
                | Fault::InvalidClient
        )
    }

    /// What the fault is about where nothing else is said: some make sense for one kind of request only.
    fn natural_target(&self) -> Target {
        match self {
            Fault::Wrong(_) | Fault::Expired | Fault::Missing | Fault::NotFound => Target::Blob,
            Fault::StalePage => Target::NextPage,
            Fault::PageLoop | Fault::EmptyPage | Fault::RepeatEntry | Fault::ForeignUri => Target::Listing,
            Fault::NoSubscription | Fault::Disabled => Target::FirstPage,
            Fault::InvalidClient => Target::Token,
            Fault::ClockSkew { .. } => Target::Any,
            _ => Target::Api,
        }
    }
}

/// One fault with its occasion.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which requests it is about.
    pub target: Target,
    /// What goes wrong.
    pub fault: Fault,
    /// When.
    pub when: When,
}

impl Rule {
    /// A rule.
    pub fn new(target: Target, fault: Fault, when: When) -> Self {
        Self { target, fault, when }
    }
}
