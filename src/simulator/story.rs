//! The words that tests are written in.
//!
//! ```
//! # async fn story() -> std::io::Result<()> {
//! use defender_feed::simulator::story::{mail, minutes_ago, noise, records, service};
//!
//! let tenant = service().blob(minutes_ago(30), records([mail("a"), noise("b")])).throttles(2).start().await?;
//! let url = tenant.base_url();
//! // … run a client against `url` …
//! assert_eq!(tenant.truth().ids().len(), 1);
//! assert!(tenant.ledger().offences().is_empty());
//! # let _ = url; Ok(())
//! # }
//! ```

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::clock::SimClock;
use super::config::{DEFAULT_TENANT, RetryAfter, ServiceConfig, Subscribed};
use super::content::{NewBlob, sample};
use super::faults::{ErrorBody, Fault, Rule, Target, When};
use super::http::Front;
use super::ledger::Ledger;
use super::service::Service;
use super::truth::Truth;
use crate::domain::{ContentId, ContentType, RecordType, TenantId, Time};

/// A moment of a story: by the clock, or from the story's now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// That time.
    At(Time),
    /// So long before the story's now.
    Ago(Duration),
    /// So long after the story's now.
    Ahead(Duration),
}

impl From<Time> for Moment {
    fn from(time: Time) -> Self {
        Moment::At(time)
    }
}

impl Moment {
    fn seen_from(self, now: Time) -> Time {
        match self {
            Moment::At(time) => time,
            Moment::Ago(before) => now - before,
            Moment::Ahead(after) => now + after,
        }
    }
}

/// So many minutes before the story's now.
pub fn minutes_ago(minutes: u64) -> Moment {
    Moment::Ago(Duration::from_secs(minutes * 60))
}

/// So many hours before the story's now.
pub fn hours_ago(hours: u64) -> Moment {
    Moment::Ago(Duration::from_secs(hours * 3600))
}

/// So many days before the story's now.
pub fn days_ago(days: u64) -> Moment {
    Moment::Ago(Duration::from_secs(days * 86_400))
}

/// So long after the story's now.
pub fn ahead(duration: Duration) -> Moment {
    Moment::Ahead(duration)
}

/// A realistic record of that type with that `Id`.
pub fn record(record_type: RecordType, id: &str) -> String {
    let tenant = DEFAULT_TENANT.parse().expect("a constant GUID is a tenant id");
    let seed = id.bytes().fold(0u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
    // 1 March 2026, noon: records of one id are the same in every story.
    sample(&tenant, record_type, id, Time(1_772_366_400_000), seed)
}

/// A mail event (28).
pub fn mail(id: &str) -> String {
    record(RecordType::MAIL, id)
}

/// A click on a link (41).
pub fn click(id: &str) -> String {
    record(RecordType::URL, id)
}

/// A file event (47).
pub fn file(id: &str) -> String {
    record(RecordType::FILE, id)
}

/// A change of an automated investigation (64).
pub fn air(id: &str) -> String {
    record(RecordType::AIR, id)
}

/// A record of another workload, full of decoys.
pub fn noise(id: &str) -> String {
    record(RecordType(20), id)
}

/// A blob's body: a JSON array of these elements, each given as JSON.
pub fn records<S: AsRef<str>>(elements: impl IntoIterator<Item = S>) -> Bytes {
    let list: Vec<String> = elements.into_iter().map(|e| e.as_ref().to_owned()).collect();
    format!("[{}]", list.join(",")).into()
}

/// A healthy tenant without any content, subscribed, as of the real now.
pub fn service() -> Story {
    let clock = SimClock::real();
    let now = clock.now();
    let config = ServiceConfig { blobs_per_hour: 0, pause_grace: Duration::from_millis(500), ..ServiceConfig::new(now) };
    Story { config, blobs: Vec::new(), clock, now }
}

/// A tenant in the making.
#[derive(Debug, Clone)]
pub struct Story {
    config: ServiceConfig,
    blobs: Vec<NewBlob>,
    clock: SimClock,
    now: Time,
}

impl Story {
    /// The tenant's id.
    #[must_use]
    pub fn tenant(mut self, id: TenantId) -> Self {
        self.config.tenant = id;
        self
    }

    /// The only client and secret that the tenant knows.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.config.client_id = Some(id.to_owned());
        self.config.client_secret = Some(secret.to_owned());
        self
    }

    /// What made-up content and chance follow from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// The story's clock, and by it the story's now.
    #[must_use]
    pub fn clock(mut self, clock: SimClock) -> Self {
        self.now = clock.now();
        self.clock = clock;
        self
    }

    /// The story's now; the time goes on from there at its usual pace.
    #[must_use]
    pub fn at(self, now: Time) -> Self {
        self.clock(SimClock::starting_at(now))
    }

    /// Made-up content: that many blobs an hour since then, and on and on.
    #[must_use]
    pub fn content(mut self, blobs_per_hour: u32, since: impl Into<Moment>) -> Self {
        self.config.blobs_per_hour = blobs_per_hour;
        self.config.content_from = since.into().seen_from(self.now);
        self
    }

    /// No new content from then on.
    #[must_use]
    pub fn until(mut self, end: impl Into<Moment>) -> Self {
        self.config.content_until = Some(end.into().seen_from(self.now));
        self
    }

    /// A blob with these bytes.
    #[must_use]
    pub fn blob(self, created: impl Into<Moment>, body: impl Into<Bytes>) -> Self {
        let created = created.into().seen_from(self.now);
        self.put(NewBlob::new(created, body))
    }

    /// A blob that is listed later than its creation says.
    #[must_use]
    pub fn late_blob(self, created: impl Into<Moment>, listed: impl Into<Moment>, body: impl Into<Bytes>) -> Self {
        let (created, listed) = (created.into().seen_from(self.now), listed.into().seen_from(self.now));
        self.put(NewBlob::new(created, body).listed_at(listed))
    }

    /// A blob of so many made-up records.
    #[must_use]
    pub fn made_blob(self, created: impl Into<Moment>, records: u64) -> Self {
        let created = created.into().seen_from(self.now);
        self.put(NewBlob::made(created, records))
    }

    /// Any blob. Its content type is subscribed to like the others.
    #[must_use]
    pub fn put(mut self, blob: NewBlob) -> Self {
        if !self.config.content_types.contains(&blob.content_type) {
            self.config.content_types.push(blob.content_type);
        }
        self.blobs.push(blob);
        self
    }

    /// More content types that are subscribed to.
    #[must_use]
    pub fn content_type(mut self, content_type: ContentType) -> Self {
        if !self.config.content_types.contains(&content_type) {
            self.config.content_types.push(content_type);
        }
        self
    }

    /// Nobody has subscribed yet.
    #[must_use]
    pub fn unsubscribed(mut self) -> Self {
        self.config.subscribed = Subscribed::Never;
        self
    }

    /// Entries per page.
    #[must_use]
    pub fn pages_of(mut self, entries: usize) -> Self {
        self.config.page_size = entries;
        self
    }

    /// How long tokens are good for.
    #[must_use]
    pub fn tokens_live(mut self, lifetime: Duration) -> Self {
        self.config.token_lifetime = lifetime;
        self
    }

    /// API requests per minute; over it, `AF429` with that `Retry-After`.
    #[must_use]
    pub fn quota(mut self, per_minute: u32, retry_after: RetryAfter) -> Self {
        self.config.quota = Some(per_minute);
        self.config.throttle.retry_after = retry_after;
        self
    }

    /// A fault.
    #[must_use]
    pub fn fault(mut self, target: Target, fault: Fault, when: When) -> Self {
        self.config.faults.push(Rule::new(target, fault, when));
        self
    }

    /// The next `count` API requests are throttled, by 403 without `Retry-After`.
    #[must_use]
    pub fn throttles(self, count: u64) -> Self {
        self.fault(Target::Api, Fault::Throttle { status: 403, retry_after: None }, When::First(count))
    }

    /// The next `count` listings fail with that status and a proxy's page.
    #[must_use]
    pub fn listings_fail(self, count: u64, status: u16) -> Self {
        let fault = Fault::Status { status, body: ErrorBody::Html, retry_after: None };
        self.fault(Target::Listing, fault, When::First(count))
    }

    /// The next `count` downloads break off in the middle.
    #[must_use]
    pub fn downloads_break(self, count: u64) -> Self {
        self.fault(Target::Blob, Fault::Cut { after: None }, When::First(count))
    }

    /// Any other setting.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The service as a pure model, and the story's now.
    pub fn build(self) -> (Service, Time) {
        let mut service = Service::new(self.config);
        for blob in self.blobs {
            service.add_blob(blob);
        }
        (service, self.now)
    }

    /// The service behind HTTP, at a free port of loopback.
    pub async fn start(self) -> io::Result<Running> {
        self.start_on(0).await
    }

    /// The service behind HTTP, at that port of loopback.
    pub async fn start_on(self, port: u16) -> io::Result<Running> {
        let clock = self.clock.clone();
        let service = Arc::new(Mutex::new(self.build().0));
        let front = Front::start(Arc::clone(&service), clock.clone(), port).await?;
        Ok(Running { front, service, clock })
    }
}

/// A tenant that can be asked over HTTP. It ends when it is dropped.
#[derive(Debug)]
pub struct Running {
    front: Front,
    service: Arc<Mutex<Service>>,
    clock: SimClock,
}

impl Running {
    /// Both the API's and the login service's URL, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.front.base_url()
    }

    /// The tenant's clock.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// The model, to look into or to change. No request is answered while it is held.
    pub fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client must have got by now.
    pub fn truth(&self) -> Truth {
        let now = self.clock.now();
        self.service().truth(now)
    }

    /// How the client has behaved.
    pub fn ledger(&self) -> Ledger {
        self.service().ledger().clone()
    }

    /// Puts one more blob into the tenant.
    pub fn add_blob(&self, blob: NewBlob) -> ContentId {
        self.service().add_blob(blob)
    }

    /// Adds a fault.
    pub fn add_fault(&self, target: Target, fault: Fault, when: When) {
        self.service().add_fault(Rule::new(target, fault, when));
    }

    /// Stops listening and breaks every connection; returns when the port is free.
    pub async fn shutdown(self) {
        self.front.shutdown().await;
    }
}
