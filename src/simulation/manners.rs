//! Manners (R26), judged request by request as they leave a process: where they go, and whether they come too soon.
//!
//! The service's own ledger can't judge the two waits: it sees several processes, and an administrator, as one client.

use std::collections::VecDeque;
use std::time::Duration;

use super::fate::BEGIN;
use super::life::{LOGIN, ROOT};
use super::network::Network;
use super::phases::Phase;
use super::world::World;
use crate::domain::Time;
use crate::simulator::Response;
use crate::wire::Request;

/// The least time between two starts of a subscription.
const START_PAUSE: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
/// A machine that sleeps for so long between the note of a start and the request makes the note older than its margin, and nobody
/// can know before the request has left.
const LONG_SLEEP: Duration = Duration::from_secs(60);

/// What a process knows of how it has to behave.
#[derive(Debug, Default)]
pub(super) struct Manners {
    /// When a reply told to wait, and until when.
    pause: Option<(Time, Time)>,
    /// When it asked for a start last; that is kept in its state.
    started: Option<Time>,
    /// Requests of the last minute.
    sent: VecDeque<Time>,
    /// Those of them that were sent again with another token.
    refused: VecDeque<Time>,
    /// When something waited for a token last: requests that did so come in a bunch.
    token: Option<Time>,
}

impl Manners {
    /// A new process: what the one before was told to wait for went with it.
    pub(super) fn reborn(&mut self) {
        *self = Self { started: self.started, ..Self::default() };
    }

    /// The state is lost, and with it when the subscription was started.
    pub(super) fn state_lost(&mut self) {
        self.started = None;
    }
}

impl Network {
    /// Looks at a request that leaves the process.
    pub(super) fn judge(&self, request: &Request, phase: Phase) {
        let wrong = self.outside.look().bad_manners(request, phase);
        if let Some(wrong) = wrong {
            self.outside.accuse(format!("R26: {wrong}"));
        }
    }
}

impl World {
    fn bad_manners(&mut self, request: &Request, phase: Phase) -> Option<String> {
        let now = self.now();
        let home = if request.form.is_some() { LOGIN } else { ROOT };
        let home = url::Url::parse(home).ok()?.origin();
        if request.url.origin() != home || (request.form.is_some() && request.bearer.is_some()) {
            return Some(format!("a request, with what proves who asks, went to {}", request.url));
        }
        if phase == Phase::Token {
            self.manners.token = Some(now);
            return None;
        }
        if let Some((told, until)) = self.manners.pause
            && told < now
            && now < until
        {
            return Some(format!("asked for {} though told at {told} to wait until {until}", request.url.path()));
        }
        self.too_many(now)
    }

    /// The rate is a ceiling for each minute. What waited together, for a token or for a neighbour's permits, leaves together.
    fn too_many(&mut self, now: Time) -> Option<String> {
        let manners = &mut self.manners;
        manners.sent.push_back(now);
        for times in [&mut manners.sent, &mut manners.refused] {
            while times.front().is_some_and(|at| *at + MINUTE <= now) {
                times.pop_front();
            }
        }
        let waited = manners.token.is_some_and(|at| now < at + MINUTE * 2) || self.neighbour.is_some();
        // A second's burst, and one request at either end.
        let most = self.fate.per_minute + self.fate.per_minute / 60 + 2;
        let sent = manners.sent.len().saturating_sub(manners.refused.len());
        (!waited && sent > most as usize).then(|| format!("{sent} requests in a minute, {} are its rate", self.fate.per_minute))
    }

    /// A request to start the subscription has arrived. One whose token was refused was none yet.
    fn started(&mut self, response: &Response, now: Time) {
        if response.status == 401 {
            return;
        }
        let before = self.manners.started.replace(now);
        let slept = |at: Time| {
            let at = at.since(BEGIN);
            self.common().slept.iter().any(|(until, long)| *long >= LONG_SLEEP && *until <= at && at < *until + MINUTE)
        };
        // Where the service tells a wrong time the state holds one, too.
        if let Some(before) = before.filter(|at| self.fate.tells_the_time() && now.since(*at) < START_PAUSE && !slept(*at)) {
            let later = now.since(before).as_secs();
            self.accuse(format!("R26: a start of the subscription was asked for at {before} and {later} s later again"));
        }
    }

    /// A part of a reply with a token has come: requests may still be waiting for the rest of it.
    pub(super) fn token_comes(&mut self) {
        self.manners.token = Some(self.now());
    }

    /// Takes in a reply as the process does.
    pub(super) fn told(&mut self, request: &Request, response: &Response, phase: Phase, now: Time) {
        if request.url.path().ends_with("/subscriptions/start") {
            self.started(response, now);
        }
        if phase == Phase::Token {
            self.manners.token = Some(now);
            return;
        }
        self.replies.count(response);
        if response.status == 401 {
            self.manners.refused.push_back(now);
        }
        let wait = response.header("Retry-After").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        if let Some(wait) = wait {
            let until = self.manners.pause.map_or(Time::MIN, |(_, until)| until).max(now + wait);
            self.manners.pause = Some((now, until));
        }
    }
}
