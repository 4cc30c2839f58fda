//! The model against each documented rule. Here: the words that the tests are written in.

mod access;
mod breaking;
mod content;
mod listings;
mod subscribing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::super::config::{LongWindows, RetryAfter, ServiceConfig, Subscribed, ThrottleStyle};
use super::super::content::NewBlob;
use super::super::faults::{Content, Fault, Rule, Target, When};
use super::super::message::{Delivery, Request, Response};
use super::super::story::{self, mail, noise, records};
use super::Service;
use crate::domain::{ContentType, Time};

const TENANT: &str = super::super::config::DEFAULT_TENANT;
const HOST: &str = "http://127.0.0.1:8080";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Time {
    Time::parse("2026-03-08T12:00:00Z").unwrap()
}

/// A client that does things right, one call at a time.
struct Client {
    service: Service,
    token: String,
    now: Time,
}

impl Client {
    fn new(change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let mut config = ServiceConfig::new(now());
        config.blobs_per_hour = 0;
        config.token_lifetime = 30 * DAY;
        change(&mut config);
        let mut service = Service::new(config);
        let token = service.issue_token(now()).unwrap();
        Self { service, token, now: now() }
    }

    fn faulty(target: Target, fault: Fault, when: When) -> Self {
        Self::new(|c| {
            c.blobs_per_hour = 60;
            c.faults = vec![Rule::new(target, fault, when)];
        })
    }

    fn send(&mut self, request: Request) -> Response {
        let request = request.header("Host", "127.0.0.1:8080").bearer(&self.token);
        self.service.handle(&request, self.now)
    }

    fn get(&mut self, path: &str) -> Response {
        self.send(Request::get(&target(path)))
    }

    fn post(&mut self, path: &str) -> Response {
        self.send(Request::post(&target(path)))
    }

    fn list(&mut self, from: Time, to: Time) -> Response {
        self.get(&format!("subscriptions/content?contentType=Audit.General&startTime={}&endTime={}", from.query(), to.query()))
    }

    /// All entries of a window, over all pages.
    fn all(&mut self, from: Time, to: Time) -> Vec<Value> {
        let mut reply = self.list(from, to);
        let mut entries = Vec::new();
        loop {
            assert_eq!(reply.status, 200, "{:?}", reply.bytes());
            entries.extend(json(&reply).as_array().unwrap().clone());
            let Some(next) = reply.header("nextpageuri").map(str::to_owned) else { return entries };
            reply = self.follow(&next);
        }
    }

    /// Follows a link with the publisher id added.
    fn follow(&mut self, uri: &str) -> Response {
        let mark = if uri.contains('?') { '&' } else { '?' };
        let request = Request::get(&format!("{uri}{mark}PublisherIdentifier={TENANT}")).bearer(&self.token);
        self.service.handle(&request, self.now)
    }
}

fn target(path: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("/api/v1.0/{TENANT}/activity/feed/{path}{mark}PublisherIdentifier={TENANT}")
}

fn json(reply: &Response) -> Value {
    serde_json::from_slice(&reply.bytes()).unwrap()
}

fn outcome(reply: &Response) -> (u16, String) {
    (reply.status, reply.error_code().unwrap_or_default())
}

fn uris(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|e| e["contentUri"].as_str().unwrap().to_owned()).collect()
}
