//! Subscriptions: list, start, stop, and what content they make visible (`activity-api.md` sections 5.1 to 5.3).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::config::{ServiceConfig, Subscribed};
use super::errors::{af, throttled};
use super::message::{Request, Response};
use crate::domain::{ContentType, Time};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Enabled,
    Disabled,
    Gone,
}

#[derive(Debug, Clone)]
struct Subscription {
    status: Status,
    /// Since when the status holds.
    since: Time,
    last_start: Option<Time>,
    /// Stretches whose content can never be had: between a stop and the next start.
    dark: Vec<(Time, Time)>,
}

/// The subscriptions of the tenant.
#[derive(Debug, Clone)]
pub(super) struct Subscriptions {
    by_type: BTreeMap<ContentType, Subscription>,
    first_content_delay: Duration,
    start_pause: Duration,
    history_before_start: bool,
    /// Start requests that came sooner than `start_pause` after the last.
    pub(super) too_soon: u64,
}

impl Subscriptions {
    pub(super) fn new(config: &ServiceConfig) -> Self {
        let status = match config.subscribed {
            Subscribed::Enabled => Status::Enabled,
            Subscribed::Disabled => Status::Disabled,
            Subscribed::Never => Status::Gone,
        };
        let by_type = match status {
            Status::Gone => BTreeMap::new(),
            _ => config.content_types.iter().map(|c| (*c, Subscription::since_ever(status))).collect(),
        };
        Self {
            by_type,
            first_content_delay: config.first_content_delay,
            start_pause: config.start_pause,
            history_before_start: config.history_before_start,
            too_soon: 0,
        }
    }

    /// Enables a content type as if it had always been.
    pub(super) fn enable(&mut self, content_type: ContentType) {
        self.by_type.entry(content_type).or_insert_with(|| Subscription::since_ever(Status::Enabled));
    }

    pub(super) fn list(&self) -> Response {
        let list: Vec<Value> = self
            .by_type
            .iter()
            .filter(|(_, s)| s.status != Status::Gone)
            .map(|(c, s)| json!({"contentType": c.as_str(), "status": s.word(), "webhook": null}))
            .collect();
        Response::json(200, Value::from(list).to_string())
    }

    pub(super) fn start(&mut self, content_type: ContentType, request: &Request, publisher: Option<&str>, now: Time) -> Response {
        if let Some(refused) = refused_webhook(request, now) {
            return refused;
        }
        let last = self.by_type.get(&content_type).and_then(|s| s.last_start);
        let soon = last.is_some_and(|last| now.since(last) < self.start_pause);
        self.too_soon += u64::from(soon);
        let history = self.history_before_start;
        let subscription = self.by_type.entry(content_type).or_insert_with(|| Subscription::since_ever(Status::Gone));
        subscription.last_start = Some(now);
        if subscription.status == Status::Enabled {
            return af("AF20024");
        }
        if soon {
            return throttled(403, None, "StartSubscription", publisher);
        }
        subscription.turn(Status::Enabled, now, history);
        Response::json(200, json!({"contentType": content_type.as_str(), "status": "enabled", "webhook": null}).to_string())
    }

    pub(super) fn stop(&mut self, content_type: ContentType, now: Time) -> Response {
        let history = self.history_before_start;
        match self.by_type.get_mut(&content_type) {
            Some(s) if s.status != Status::Gone => {
                s.turn(Status::Gone, now, history);
                Response::empty(200)
            }
            _ => af("AF20022"),
        }
    }

    /// An administrator disables all of them.
    pub(super) fn disable_all(&mut self, now: Time) {
        let history = self.history_before_start;
        for s in self.by_type.values_mut().filter(|s| s.status == Status::Enabled) {
            s.turn(Status::Disabled, now, history);
        }
    }

    /// All of them vanish.
    pub(super) fn remove_all(&mut self, now: Time) {
        let history = self.history_before_start;
        for s in self.by_type.values_mut().filter(|s| s.status != Status::Gone) {
            s.turn(Status::Gone, now, history);
        }
    }

    /// The error of a listing, unless the content type is subscribed to.
    pub(super) fn refusal(&self, content_type: ContentType) -> Option<Response> {
        match self.by_type.get(&content_type).map_or(Status::Gone, |s| s.status) {
            Status::Enabled => None,
            Status::Disabled => Some(af("AF20023")),
            Status::Gone => Some(af("AF20022")),
        }
    }

    /// The stretches whose content can never be had, the last of them perhaps without an end yet.
    pub(super) fn dark(&self, content_type: ContentType) -> Vec<(Time, Option<Time>)> {
        let Some(s) = self.by_type.get(&content_type) else { return Vec::new() };
        let now = (s.status != Status::Enabled && !s.is_history(self.history_before_start)).then_some((s.since, None));
        s.dark.iter().map(|(from, to)| (*from, Some(*to))).chain(now).collect()
    }

    /// True if content of that type and creation can be listed at `now`, once the subscription is enabled.
    pub(super) fn shows(&self, content_type: ContentType, created: Time, now: Time) -> bool {
        let Some(s) = self.by_type.get(&content_type) else { return self.history_before_start };
        let waiting = s.status == Status::Enabled && s.since != Time::MIN && now < s.since + self.first_content_delay;
        let lost_now = s.status != Status::Enabled && created >= s.since && !s.is_history(self.history_before_start);
        !waiting && !lost_now && !s.dark.iter().any(|(from, to)| (*from..*to).contains(&created))
    }
}

impl Subscription {
    fn since_ever(status: Status) -> Self {
        Self { status, since: Time::MIN, last_start: None, dark: Vec::new() }
    }

    /// True if nothing is lost though nobody is subscribed: the first start brings it all.
    fn is_history(&self, history_before_start: bool) -> bool {
        self.since == Time::MIN && history_before_start
    }

    fn turn(&mut self, status: Status, now: Time, history_before_start: bool) {
        let starts = status == Status::Enabled && self.status != Status::Enabled;
        if starts && self.since < now && !self.is_history(history_before_start) {
            self.dark.push((self.since, now));
        }
        // A disabled subscription that is removed as well has been dark since it was disabled.
        if status == Status::Enabled || self.status == Status::Enabled {
            self.since = now;
        }
        self.status = status;
    }

    fn word(&self) -> &'static str {
        match self.status {
            Status::Enabled => "enabled",
            Status::Disabled | Status::Gone => "disabled",
        }
    }
}

/// The error of a start with a webhook: nothing here can call one back, so none is ever valid.
fn refused_webhook(request: &Request, now: Time) -> Option<Response> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return Some(af("AF20002")) };
    let hook = body.get("webhook").filter(|hook| !hook.is_null())?;
    let expiration = hook["expiration"].as_str().filter(|text| !text.is_empty());
    match expiration.map(Time::parse) {
        Some(None) => Some(af("AF20002")),
        Some(Some(time)) if time < now => Some(af("AF20003")),
        _ if hook["address"].as_str().is_none() => Some(af("AF20001")),
        _ => Some(af("AF20021")),
    }
}
