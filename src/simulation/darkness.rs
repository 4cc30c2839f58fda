//! The stretches in which the subscription is off, and how they end.

use std::time::Duration;

use super::fate::BEGIN;
use super::phases::Phase;
use super::world::World;
use crate::domain::{ContentType, Time};
use crate::simulator::{Delivery, Request, Response};

/// A process that found the subscription off, and may not start it yet, looks again after a quarter of an hour of its own time
/// at the latest; the look itself waits for its turn.
const REPAIRED_WITHIN: Duration = Duration::from_secs(16 * 60);
/// How shortly before a blob appears the subscription likes to vanish in an unlucky seed, and how much. Twice within a quarter of
/// an hour it takes as long to start it again.
const UNLUCKY_WITHIN: Duration = Duration::from_secs(10 * 60);
const UNLUCKY: f64 = 0.5;
/// What a process learned so long before a claim stands in that claim or in an earlier one.
const SOON: Duration = Duration::from_secs(2);

/// True for a list of subscriptions in which none is enabled.
fn names_none(response: &Response) -> bool {
    let body = response.bytes();
    body.starts_with(b"[") && !body.windows(9).any(|some| some == b"\"enabled\"")
}

/// What processes know of the subscription being off. One that has a place, and was refused for that reason or told so, owes a gap as soon
/// as it has committed something afterwards, whatever becomes of it.
#[derive(Debug, Default)]
pub(super) struct Darkness {
    /// This process goes on from somewhere, or has begun to list: before that nothing can be missing.
    placed: bool,
    /// When requests of this process were refused, or it was told that nothing is enabled.
    refused: Vec<Time>,
    /// Refusals that a committed gap has to tell of, of earlier processes too.
    owed: Vec<Time>,
}

impl Darkness {
    /// A new process knows what the one before has committed.
    pub(super) fn reborn(&mut self, placed: bool) {
        *self = Self { placed, owed: std::mem::take(&mut self.owed), ..Self::default() };
    }

    /// The state is lost, and what it told of.
    pub(super) fn state_lost(&mut self) {
        *self = Self::default();
    }

    /// A reply to a request that was answered then.
    pub(super) fn told(&mut self, response: &Response, phase: Phase, now: Time) {
        let listing = matches!(phase, Phase::List | Phase::NextPage);
        self.placed |= listing;
        let whole = response.status == 200 && response.delivery == Delivery::Whole;
        let refused = listing && matches!(response.error_code().as_deref(), Some("AF20022" | "AF20023"));
        if self.placed && (refused || (phase == Phase::Subscription && whole && names_none(response))) {
            self.refused.push(now);
        }
    }

    /// A claim that was made then is committed.
    pub(super) fn committed(&mut self, made: Time) {
        self.owed.extend(self.refused.extract_if(.., |at| *at + SOON < made));
    }
}

impl World {
    /// Blobs that the subscription's absence hides although this process has met it, and that no gap tells of.
    pub(super) fn untold_darkness(&self) -> Vec<String> {
        if !self.fate.tells_the_time() {
            return Vec::new();
        }
        let common = self.common();
        let dark = common.service.dark_stretches(ContentType::AuditGeneral);
        let met = dark.into_iter().filter_map(|(from, to)| Some(from..to?));
        let met: Vec<_> = met.filter(|stretch| self.dark.owed.iter().any(|at| stretch.contains(at))).collect();
        self.oracle.untold(|created| met.iter().any(|stretch| stretch.contains(&created)))
    }

    /// Gaps of an absence that go on although it has ended. Where the service tells a wrong time, so may they.
    pub(super) fn endless_darkness(&self) -> Vec<String> {
        if self.fate.tells_the_time() { self.oracle.endless_absences(self.now()) } else { Vec::new() }
    }

    /// True if the subscription vanishes now, shortly before a blob would appear. By chance alone that would hardly ever be: it is
    /// started again within minutes.
    pub(super) fn vanishes(&mut self, phase: Phase, now: Time) -> bool {
        let soon = || self.oracle.blobs.iter().any(|b| now < b.fate.created && b.fate.created < now + UNLUCKY_WITHIN);
        self.fate.unlucky && matches!(phase, Phase::List | Phase::NextPage) && soon() && self.odd.chance(UNLUCKY)
    }

    /// The subscription has gone off; an administrator may put it right then.
    pub(super) fn darken(&self, repair_at: Option<Time>) {
        let mut common = self.common();
        common.repair_at = repair_at.or(common.repair_at);
    }

    /// True if the subscription was off after that moment, or was on again so shortly before that a process need not know.
    pub(super) fn is_dark_after(&self, from: Time) -> bool {
        let common = self.common();
        let slept = |since: Time| -> Duration {
            common.slept.iter().filter(|(until, _)| BEGIN + *until > since).map(|(_, time)| *time).sum()
        };
        let dark = common.service.dark_stretches(ContentType::AuditGeneral);
        dark.into_iter().any(|(_, to)| to.is_none_or(|to| to + REPAIRED_WITHIN + slept(to) > from))
    }

    /// True if nobody has started the subscription again.
    pub(super) fn is_dark(&self) -> bool {
        self.common().service.dark_stretches(ContentType::AuditGeneral).into_iter().any(|(_, to)| to.is_none())
    }

    /// What an administrator does when a subscription is disabled: after some hours, enable it.
    pub(super) fn administer(&self) {
        let now = self.now();
        let token = {
            let mut common = self.common();
            if common.repair_at.is_none_or(|at| now < at) {
                return;
            }
            common.repair_at = None;
            common.service.issue_token(now)
        };
        let Some(token) = token else { return };
        let path = format!(
            "/api/v1.0/{}/activity/feed/subscriptions/start?contentType=Audit.General&PublisherIdentifier={}",
            self.fate.tenant, self.fate.tenant
        );
        let reply = self.handle(&Request::post(&path).bearer(&token), []);
        self.note(|| format!("the administrator enables the subscription: {}", reply.status));
    }
}
