//! The service: a request and a time in, a reply out.

mod account;
mod control;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::format::{Item, StrftimeItems};

use super::config::{RetryAfter, ServiceConfig};
use super::content::{Blob, BlobNo, Catalogue};
use super::errors::{af, method_not_allowed, no_such_path, throttled, unauthorized};
use super::faults::{self, Fault, Schedule};
use super::ledger::Keeper;
use super::listing::{Ask, body};
use super::message::{ReplyBody, Request, Response};
use super::pace::SlidingMinute;
use super::route::{Call, Kind};
use super::subscriptions::Subscriptions;
use super::tokens::{Denied, Tokens};
use crate::domain::{ContentId, ContentType, TenantId, Time};

/// Requests and replies of one blob.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    listed: u32,
    fetched: u32,
    sent: u32,
}

/// A simulated tenant. It does no IO and reads no clock: [`Service::handle`] is told what time it is. Equal
/// configurations, requests and times give equal replies.
#[derive(Debug, Clone)]
pub struct Service {
    config: ServiceConfig,
    catalogue: Catalogue,
    tokens: Tokens,
    subscriptions: Subscriptions,
    schedule: Schedule,
    quota: SlidingMinute,
    shared: SlidingMinute,
    keeper: Keeper,
    counts: BTreeMap<BlobNo, Count>,
    /// Blobs that a download brings half of, see [`ServiceConfig::partial_at_start`].
    partial: BTreeSet<BlobNo>,
}

/// One request on its way through the service.
struct Visit<'a> {
    call: Call,
    /// The blob that is asked for, if there is one of that id.
    blob: Option<Blob>,
    request: &'a Request,
    publisher: Option<String>,
    content_type: Option<String>,
    fault: Option<Fault>,
    now: Time,
}

impl Service {
    /// A tenant as configured.
    pub fn new(config: ServiceConfig) -> Self {
        Self {
            catalogue: Catalogue::new(&config),
            tokens: Tokens::default(),
            subscriptions: Subscriptions::new(&config),
            schedule: Schedule::new(config.seed, config.faults.clone()),
            quota: SlidingMinute::new(),
            shared: SlidingMinute::new(),
            keeper: Keeper::new(),
            counts: BTreeMap::new(),
            partial: BTreeSet::new(),
            config,
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &TenantId {
        &self.config.tenant
    }

    /// How the tenant is set up.
    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }

    /// Answers a request that comes at `now`. Never panics, whatever the request.
    pub fn handle(&mut self, request: &Request, now: Time) -> Response {
        let call = Call::read(request);
        self.keeper.enter(&call, request, &self.tokens, self.config.client_secret.as_deref(), now);
        let content_id = call.content_id.clone().map(ContentId);
        let drawn = self.schedule.draw(call.kind, content_id.as_ref(), now);
        let kind = call.kind;
        let visit = Visit {
            call,
            blob: content_id.and_then(|id| self.catalogue.find(&id)),
            request,
            publisher: request.query_value("PublisherIdentifier"),
            content_type: request.query_value("contentType"),
            fault: drawn.fault,
            now,
        };
        let mut response = self.answer(&visit);
        if let Some(fault) = &visit.fault
            && response.status == 200
        {
            faults::corrupt(fault, &mut response);
        }
        if let (Some(blob), 200, true) = (&visit.blob, response.status, visit.is_true_to_the_blob(&response))
            && !self.partial.contains(&blob.no)
        {
            let count = self.counts.entry(blob.no).or_default();
            self.keeper.ledger.blobs_fetched_again += u64::from(count.sent > 0);
            count.sent = count.sent.saturating_add(1);
        }
        let skew = drawn.skew_ms.saturating_add(self.config.date_skew_ms);
        dress(&mut response, Time(now.0.saturating_add(skew).clamp(Time::MIN.0, Time::MAX.0)));
        self.keeper.ledger.starts_too_soon = self.subscriptions.too_soon;
        let name = visit.fault.as_ref().map(Fault::name);
        self.keeper.leave(kind, &response, name, self.config.pause_grace, now);
        response
    }

    fn answer(&mut self, visit: &Visit<'_>) -> Response {
        let kind = visit.call.kind;
        if kind == Kind::Unknown {
            return no_such_path();
        }
        if visit.request.method != kind.method() {
            return method_not_allowed(kind.method());
        }
        if let Some(blob) = &visit.blob {
            self.count_fetch(blob.no);
        }
        self.change_state(visit);
        if let Some(reply) = self.instead(visit) {
            return reply;
        }
        if kind == Kind::Token {
            return self.tokens.answer(&visit.call, visit.request, &self.config, visit.now);
        }
        match self.admit(visit) {
            Ok(()) => self.perform(visit),
            Err(refused) => refused,
        }
    }

    /// Faults that change the service rather than a reply.
    fn change_state(&mut self, visit: &Visit<'_>) {
        match &visit.fault {
            Some(Fault::RevokeToken) => {
                if let Some(token) = visit.request.bearer_value() {
                    self.tokens.revoke(token);
                }
            }
            Some(Fault::NoSubscription) => self.subscriptions.remove_all(visit.now),
            Some(Fault::Disabled) => self.subscriptions.disable_all(visit.now),
            _ => {}
        }
    }

    /// The reply of a fault that stands in place of the true one.
    fn instead(&self, visit: &Visit<'_>) -> Option<Response> {
        let fault = visit.fault.as_ref()?;
        let scene = faults::Scene {
            kind: visit.call.kind,
            tenant: self.config.tenant.as_str(),
            application: self.config.client_id.as_deref().unwrap_or(UNKNOWN_APPLICATION),
            publisher: visit.publisher.as_deref(),
            content_type: visit.content_type.as_deref().unwrap_or("Audit.General"),
            now: visit.now,
        };
        faults::instead(fault, &scene)
    }

    fn count_fetch(&mut self, no: BlobNo) {
        let count = self.counts.entry(no).or_default();
        self.keeper.ledger.blobs_fetched += u64::from(count.fetched == 0);
        count.fetched = count.fetched.saturating_add(1);
        let most = &mut self.keeper.ledger.most_fetches_of_one;
        *most = (*most).max(u64::from(count.fetched));
    }

    /// Token, quota, tenant, publisher, auditing: what every API call must pass.
    fn admit(&mut self, visit: &Visit<'_>) -> Result<(), Response> {
        let application = match self.tokens.check(visit.request.bearer_value(), visit.now) {
            Ok(application) => application.to_owned(),
            Err(denied) => {
                self.keeper.ledger.bad_tokens += 1;
                return Err(match denied {
                    Denied::NoRole => af("AF10001"),
                    Denied::Absent | Denied::Unknown | Denied::Expired => unauthorized(),
                });
            }
        };
        match visit.call.tenant.parse::<TenantId>() {
            Err(_) => return Err(af("AF20013")),
            Ok(tenant) if tenant != self.config.tenant => return Err(af("AF20010")),
            Ok(_) => {}
        }
        self.take_quota(visit)?;
        if visit.publisher.as_ref().is_some_and(|p| p.parse::<TenantId>().is_err()) {
            return Err(af("AF20002"));
        }
        if !self.config.auditing {
            return Err(super::errors::auditing_off(
                self.config.tenant.as_str(),
                &application,
                visit.publisher.as_deref(),
                visit.call.kind.operation(),
                visit.content_type.as_deref().unwrap_or("Audit.General"),
            ));
        }
        Ok(())
    }

    fn take_quota(&mut self, visit: &Visit<'_>) -> Result<(), Response> {
        let (minute, limit) = match visit.publisher {
            None if self.config.shared_quota.is_some() => (&mut self.shared, self.config.shared_quota),
            _ => (&mut self.quota, self.config.quota),
        };
        if limit.is_none_or(|limit| minute.count(visit.now) < u64::from(limit)) {
            minute.add(visit.now);
            return Ok(());
        }
        let retry_after = match self.config.throttle.retry_after {
            RetryAfter::Absent => None,
            RetryAfter::Computed => Some(minute.until_room(visit.now)),
            RetryAfter::Fixed(wait) => Some(wait),
        };
        Err(throttled(self.config.throttle.status, retry_after, visit.call.kind.operation(), visit.publisher.as_deref()))
    }

    fn perform(&mut self, visit: &Visit<'_>) -> Response {
        match visit.call.kind {
            Kind::Subscriptions => self.subscriptions.list(),
            Kind::Start => match visit.content_type() {
                Ok(t) => self.subscriptions.start(t, visit.request, visit.publisher.as_deref(), visit.now),
                Err(refused) => refused,
            },
            Kind::Stop => match visit.content_type() {
                Ok(t) => self.subscriptions.stop(t, visit.now),
                Err(refused) => refused,
            },
            Kind::FirstPage | Kind::NextPage => self.list(visit).unwrap_or_else(|refused| refused),
            Kind::Notifications => self.notifications(visit).unwrap_or_else(|refused| refused),
            Kind::Blob => self.download(visit).unwrap_or_else(|refused| refused),
            Kind::Resources => resources(visit.request),
            Kind::Token | Kind::Unknown => no_such_path(),
        }
    }

    fn ask(&self, visit: &Visit<'_>) -> Result<Ask, Response> {
        let content_type = visit.content_type()?;
        if let Some(refused) = self.subscriptions.refusal(content_type) {
            return Err(refused);
        }
        Ask::read(content_type, visit.request, &self.config, visit.now)
    }

    fn list(&mut self, visit: &Visit<'_>) -> Result<Response, Response> {
        let ask = self.ask(visit)?;
        let now = visit.now;
        // Nothing beyond now can be there, and made-up content has no end.
        let before = ask.to.min(Time(now.0.saturating_add(1)));
        let page = {
            let blobs = self.catalogue.blobs(ask.content_type, ask.after, before).filter(|b| self.is_listed(b, now));
            ask.page(blobs, &self.config, visit.fault.as_ref())
        };
        for blob in &page.entries {
            let count = self.counts.entry(blob.no).or_default();
            count.listed = count.listed.saturating_add(1);
            if self.config.partial_at_start && blob.created.floor_second() == ask.from {
                self.partial.insert(blob.no);
            } else {
                self.partial.remove(&blob.no);
            }
        }
        let base = self.base(visit.request);
        let blob_base = if visit.fault == Some(Fault::ForeignUri) { self.foreign_base(visit.request) } else { base.clone() };
        let reply = Response::json(200, body(&page.entries, &blob_base, self.config.tenant.as_str()));
        Ok(match page.next {
            Some(next) => reply.with(&self.config.next_page_header, ask.next_uri(next, &base, &self.config, now)),
            None => reply,
        })
    }

    /// Webhooks are never set up here, so there are no notifications; the rules are those of a listing.
    fn notifications(&self, visit: &Visit<'_>) -> Result<Response, Response> {
        self.ask(visit).map(|_| Response::json(200, "[]"))
    }

    fn download(&mut self, visit: &Visit<'_>) -> Result<Response, Response> {
        let Some(blob) = visit.blob.as_ref().filter(|b| self.is_there(b, visit.now)) else {
            let id = visit.call.content_id.as_deref().unwrap_or_default();
            return Err(af(if is_content_id(id) { "AF20050" } else { "AF20052" }));
        };
        if blob.expires <= visit.now {
            return Err(af("AF20051"));
        }
        if self.partial.contains(&blob.no) {
            return Ok(Response::json(200, half(&self.catalogue.open(blob, 0))));
        }
        let turn = if self.config.shuffles_keys {
            self.counts.get(&blob.no).map_or(0, |c| usize::try_from(c.fetched.saturating_sub(1)).unwrap_or(0))
        } else {
            0
        };
        let mut reply = Response::json(200, "");
        reply.body = self.catalogue.open(blob, turn);
        Ok(reply)
    }

    /// True if the blob is available and no stopped subscription hides it.
    fn is_there(&self, blob: &Blob, now: Time) -> bool {
        blob.listed_at.max(blob.created) <= now && self.subscriptions.shows(blob.content_type, blob.created, now)
    }

    fn is_listed(&self, blob: &Blob, now: Time) -> bool {
        self.is_there(blob, now) && (self.config.lists_expired || blob.expires > now)
    }

    fn base(&self, request: &Request) -> String {
        match &self.config.base_url {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("http://{}", request.header_value("host").unwrap_or("localhost")),
        }
    }

    /// Another origin; where possible one that leads back here, so that a client that follows it is caught.
    fn foreign_base(&mut self, request: &Request) -> String {
        let host = request.header_value("host").unwrap_or("localhost");
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        let other = if name == "localhost" { "127.0.0.1" } else { "localhost" };
        let foreign = format!("{other}:{port}");
        self.keeper.watch_host(foreign.clone());
        format!("http://{foreign}")
    }
}

/// The application id in messages where the tenant takes any client.
const UNKNOWN_APPLICATION: &str = "22222222-0000-4000-8000-000000000002";

impl Visit<'_> {
    /// The content type of the query.
    fn content_type(&self) -> Result<ContentType, Response> {
        let name = self.content_type.as_ref().ok_or_else(|| af("AF20001"))?;
        name.parse().map_err(|_| af("AF20020"))
    }

    /// True if the reply brings the blob, all of it and nothing else.
    fn is_true_to_the_blob(&self, response: &Response) -> bool {
        response.delivery.is_complete() && self.fault.as_ref().is_none_or(|fault| !fault.spoils_a_blob())
    }
}

/// The headers that captured replies have (`activity-api.md` section 4).
fn dress(response: &mut Response, date: Time) {
    // Read once: every reply has one.
    static HTTP_DATE: LazyLock<Vec<Item<'static>>> = LazyLock::new(|| StrftimeItems::new("%a, %d %b %Y %H:%M:%S GMT").collect());
    let http_date = date.utc().format_with_items(HTTP_DATE.iter()).to_string();
    response.headers.push(("Date".to_owned(), http_date));
    for (name, value) in [
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
        ("Expires", "-1"),
        ("Server", "Microsoft-IIS/10.0"),
        ("X-AspNet-Version", "4.0.30319"),
        ("X-Powered-By", "ASP.NET"),
    ] {
        response.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// True if a text has the form of a content id: parts divided by `$`, the last of them not empty.
fn is_content_id(text: &str) -> bool {
    text.split('$').count() >= 4 && text.split('$').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic()))
}

/// The first half of a blob's elements.
fn half(body: &ReplyBody) -> String {
    let bytes = body.bytes();
    match serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(&bytes) {
        Ok(mut elements) => {
            elements.truncate(elements.len() / 2);
            format!("[{}]", elements.iter().map(|e| e.get()).collect::<Vec<_>>().join(","))
        }
        Err(_) => "[]".to_owned(),
    }
}

/// `resources/dlpSensitiveTypes` (section 5.9).
fn resources(request: &Request) -> Response {
    match request.header_value("accept-language") {
        Some(languages) if languages.contains(',') => af("AF20053"),
        Some(language) if !language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => af("AF20054"),
        _ => Response::json(200, r#"[{"id":"50842eb7-edc8-4019-85dd-5a5c1f2bb085","name":"Credit Card Number"}]"#),
    }
}
