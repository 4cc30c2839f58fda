//! How a client has behaved: what it called how often, and what it should not have done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::message::{Request, Response};
use super::pace::SlidingMinute;
use super::route::{Call, Kind};
use super::tokens::Tokens;
use crate::domain::Time;

/// Publisher ids kept; a client has one.
const PUBLISHERS: usize = 16;

/// Everything counted since the service began. `GET /simulator/ledger` gives it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Requests by kind: `token`, `subscriptions`, `start`, `stop`, `first_page`, `next_page`, `notifications`, `blob`,
    /// `resources`, `unknown`.
    pub requests: BTreeMap<&'static str, u64>,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Faults that replies met, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// The most API requests within one minute.
    pub most_per_minute: u64,
    /// Replies with `AF429`, by quota or by fault.
    pub throttled: u64,
    /// API requests while a `Retry-After` told to wait. Must be 0.
    pub during_pause: u64,
    /// API requests without `PublisherIdentifier`. Must be 0.
    pub without_publisher: u64,
    /// The publisher ids seen.
    pub publishers: BTreeSet<String>,
    /// API requests without a token, with an unknown or an expired one, or with one without the role.
    pub bad_tokens: u64,
    /// Requests that carried a token or the secret where it does not belong: in a URL, or a token at the token endpoint.
    /// Must be 0.
    pub misplaced_secrets: u64,
    /// Requests that followed a link to another host. Must be 0.
    pub foreign: u64,
    /// Those of them that carried a token. Must be 0.
    pub foreign_with_token: u64,
    /// Start requests within 15 minutes of the last. Must be 0.
    pub starts_too_soon: u64,
    /// Different blobs that were asked for.
    pub blobs_fetched: u64,
    /// Downloads of blobs that had been sent whole before.
    pub blobs_fetched_again: u64,
    /// The most requests for one blob.
    pub most_fetches_of_one: u64,
}

impl Ledger {
    /// Requests of that kind, see [`Ledger::requests`].
    pub fn count(&self, kind: &str) -> u64 {
        self.requests.get(kind).copied().unwrap_or(0)
    }

    /// What a client must never do, as far as it was done; empty for a good client.
    pub fn offences(&self) -> Vec<String> {
        let table = [
            ("requests during a Retry-After pause", self.during_pause),
            ("requests without a publisher id", self.without_publisher),
            ("secrets in wrong places", self.misplaced_secrets),
            ("requests to another host", self.foreign),
            ("start requests within 15 minutes", self.starts_too_soon),
        ];
        table.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect()
    }
}

/// Keeps the ledger.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    pub(super) ledger: Ledger,
    minute: SlidingMinute,
    /// The stretch in which no request may come.
    pause: Option<(Time, Time)>,
    foreign_hosts: BTreeSet<String>,
}

impl Keeper {
    pub(super) fn new() -> Self {
        Self { ledger: Ledger::default(), minute: SlidingMinute::new(), pause: None, foreign_hosts: BTreeSet::new() }
    }

    /// Links to this host are traps.
    pub(super) fn watch_host(&mut self, host: String) {
        self.foreign_hosts.insert(host);
    }

    /// True if the request came by a trap.
    pub(super) fn is_foreign(&self, request: &Request) -> bool {
        request.header_value("host").is_some_and(|host| self.foreign_hosts.contains(host))
    }

    /// Enters a request.
    pub(super) fn enter(&mut self, call: &Call, request: &Request, tokens: &Tokens, secret: Option<&str>, now: Time) {
        let foreign = self.is_foreign(request);
        let ledger = &mut self.ledger;
        *ledger.requests.entry(call.kind.as_str()).or_insert(0) += 1;
        let bearer = request.bearer_value();
        let in_url = url::form_urlencoded::parse(request.query.as_bytes())
            .any(|(_, value)| tokens.knows(&value) || secret.is_some_and(|s| s == value));
        let at_login = call.kind == Kind::Token && bearer.is_some();
        ledger.misplaced_secrets += u64::from(in_url || at_login);
        if foreign {
            ledger.foreign += 1;
            ledger.foreign_with_token += u64::from(bearer.is_some());
        }
        if !call.kind.is_api() {
            return;
        }
        match request.query_value("PublisherIdentifier") {
            Some(publisher) if ledger.publishers.len() < PUBLISHERS => {
                ledger.publishers.insert(publisher);
            }
            Some(_) => {}
            None => ledger.without_publisher += 1,
        }
        self.minute.add(now);
        ledger.most_per_minute = ledger.most_per_minute.max(self.minute.count(now));
        ledger.during_pause += u64::from(self.pause.is_some_and(|(from, to)| from <= now && now < to));
    }

    /// Enters a reply.
    pub(super) fn leave(&mut self, kind: Kind, response: &Response, fault: Option<&'static str>, grace: Duration, now: Time) {
        *self.ledger.statuses.entry(response.status).or_insert(0) += 1;
        if let Some(name) = fault {
            *self.ledger.faults.entry(name).or_insert(0) += 1;
        }
        let throttled = matches!(response.status, 403 | 429) && response.error_code().as_deref() == Some("AF429");
        self.ledger.throttled += u64::from(throttled);
        let wait = response.header("Retry-After").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        if let (Some(wait), true) = (wait, kind.is_api()) {
            let (from, to) = (now + grace, now + wait);
            self.pause = Some(match self.pause {
                Some((before, until)) if until > now => (before.min(from), until.max(to)),
                _ => (from, to),
            });
        }
    }
}
