//! How a simulated tenant is set up. Every number is a choice of the test's; the defaults are what the documentation says.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::faults::Rule;
use crate::domain::{ContentType, TenantId, Time};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The tenant of the examples in `activity-api.md`.
pub const DEFAULT_TENANT: &str = "11111111-0000-4000-8000-000000000001";

/// How a request over the quota is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleStyle {
    /// 403 by the documentation, 429 by common sense (`activity-api.md` section 10.2).
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: RetryAfter,
}

/// The `Retry-After` header of a throttled reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// None, as in all captured replies.
    Absent,
    /// Until the quota has room again.
    Computed,
    /// This many seconds, in whole.
    Fixed(Duration),
}

/// What a listing of more than 24 hours gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongWindows {
    /// 400 with `AF20055`, as seen.
    Refused,
    /// 200 with the blobs of the first 24 hours alone: "partial data", as documented.
    Partial,
}

/// The subscriptions at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribed {
    /// All content types of the tenant are enabled and have been for ever.
    Enabled,
    /// They exist, and an administrator has disabled them.
    Disabled,
    /// There are none.
    Never,
}

/// Everything about a simulated tenant.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// What all made-up content and all chance follow from.
    pub seed: u64,
    /// The tenant.
    pub tenant: TenantId,
    /// Its domain: the token endpoint takes it in place of the id.
    pub domain: String,
    /// The only client id that is known; `None`: any.
    pub client_id: Option<String>,
    /// The only secret that is right; `None`: any that is not empty.
    pub client_secret: Option<String>,
    /// The application roles that tokens carry.
    pub roles: Vec<String>,
    /// How long a token is good for.
    pub token_lifetime: Duration,

    /// The content types that made-up blobs appear in.
    pub content_types: Vec<ContentType>,
    /// Before this the tenant has no made-up content.
    pub content_from: Time,
    /// From this on it gets no more; `None`: it goes on for ever.
    pub content_until: Option<Time>,
    /// Made-up blobs per hour and content type; 0: none.
    pub blobs_per_hour: u32,
    /// Records per made-up blob.
    pub records_per_blob: RangeInclusive<u32>,
    /// The share of records whose type is 28, 41, 47 or 64.
    pub wanted_share: f64,
    /// The share of records in legal but rarely expected JSON: large numbers, lone surrogates, types as text.
    pub awkward_share: f64,
    /// The share of blobs that are listed later than their `contentCreated` says.
    pub late_share: f64,
    /// The most by which they are late; the least is a tenth of it.
    pub late_by: Duration,
    /// The share of wanted records that come again in one of the next blobs.
    pub repeat_share: f64,
    /// The keys of a record come in another order at each download.
    pub shuffles_keys: bool,

    /// From `contentCreated` to `contentExpiration`.
    pub retention: Duration,
    /// How far back a listing may start.
    pub oldest_start: Duration,
    /// What a longer listing than 24 hours gets.
    pub long_windows: LongWindows,
    /// Entries per page.
    pub page_size: usize,
    /// How long a page key is good for; `None`: for ever.
    pub page_key_lifetime: Option<Duration>,
    /// The name of the next-page header.
    pub next_page_header: String,
    /// Listings show blobs that have expired too.
    pub lists_expired: bool,
    /// A listing that starts within a blob's very second leads to half of that blob, until it is listed from earlier on
    /// (`activity-api.md` section 12, row 6).
    pub partial_at_start: bool,

    /// API requests per minute; `None`: no limit.
    pub quota: Option<u32>,
    /// The share of the common pool, in requests per minute, for requests without a publisher id; `None`: no limit.
    pub shared_quota: Option<u32>,
    /// How a request over a quota is refused.
    pub throttle: ThrottleStyle,

    /// The subscriptions at the start.
    pub subscribed: Subscribed,
    /// Content from before the first start of a subscription can be had, as measured once, not as documented.
    pub history_before_start: bool,
    /// How long after a start nothing is listed.
    pub first_content_delay: Duration,
    /// The least time between two start requests.
    pub start_pause: Duration,
    /// Audit logging is on.
    pub auditing: bool,

    /// By how many milliseconds the service's clock is ahead of the simulated time.
    pub date_skew_ms: i64,
    /// Requests that arrive so soon after a `Retry-After` are taken to have been under way.
    pub pause_grace: Duration,
    /// What links begin with; `None`: `http://` and the request's `Host`.
    pub base_url: Option<String>,
    /// What goes wrong.
    pub faults: Vec<Rule>,
}

impl ServiceConfig {
    /// A healthy tenant with a day of history before `now`, 60 blobs an hour.
    pub fn new(now: Time) -> Self {
        Self {
            seed: 1,
            tenant: DEFAULT_TENANT.parse().expect("a constant GUID is a tenant id"),
            domain: "contoso.example".to_owned(),
            client_id: None,
            client_secret: None,
            roles: vec!["ActivityFeed.Read".to_owned()],
            token_lifetime: Duration::from_secs(3599),
            content_types: vec![ContentType::AuditGeneral],
            content_from: now - DAY,
            content_until: None,
            blobs_per_hour: 60,
            records_per_blob: 1..=40,
            wanted_share: 0.05,
            awkward_share: 0.0,
            late_share: 0.0,
            late_by: 6 * HOUR,
            repeat_share: 0.0,
            shuffles_keys: false,
            retention: 7 * DAY,
            oldest_start: 7 * DAY,
            long_windows: LongWindows::Refused,
            page_size: 200,
            page_key_lifetime: None,
            next_page_header: "NextPageUri".to_owned(),
            lists_expired: false,
            partial_at_start: false,
            quota: Some(2000),
            shared_quota: None,
            throttle: ThrottleStyle { status: 403, retry_after: RetryAfter::Absent },
            subscribed: Subscribed::Enabled,
            history_before_start: true,
            first_content_delay: Duration::ZERO,
            start_pause: Duration::from_secs(15 * 60),
            auditing: true,
            date_skew_ms: 0,
            pause_grace: Duration::ZERO,
            base_url: None,
            faults: Vec::new(),
        }
    }
}
