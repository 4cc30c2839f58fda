//! What to do next: requests by priority, batches when they are ripe, the end when everything is done.

use std::time::Duration;

use super::batch::BatchId;
use super::facts::WITNESS_AFTER;
use super::listing::{self, Lister, SAFE_EDGE};
use super::protocol::{Action, Finish, Moment, Notice, Plan};
use super::subscription::Step;
use super::{AGREEMENT, Feed, Now, PASSES_MAX, QUIET_COMMIT, REMEMBER, SETTLE, Sealed};
use crate::domain::{Claim, Counts, GapReason, Time};
use crate::mutant::{self, Mutant};

impl Feed {
    pub(super) fn committed(&mut self, now: Now, id: BatchId) {
        let Some(sealed) = self.sealed.take_if(|s| s.id == id) else { return };
        self.blobs.committed(sealed.done);
        self.committed_floor = Some(sealed.floor);
        self.committed_at = now.mono;
        if sealed.saves_start {
            self.subscription.saved();
        }
        if self.draining && self.blobs.has_drained() {
            self.draining = false;
        }
    }

    /// Every blob listed with an older `contentCreated` is done, in the open batch, or in a gap.
    pub(super) fn raise_floor(&mut self) {
        let Some(lister) = &self.lister else { return };
        let listed = lister.frontier().unwrap_or(self.end);
        if mutant::on(Mutant::P9) {
            self.floor = self.floor.max(listed.min(self.end));
            return;
        }
        let floor = self.blobs.oldest_pending().map_or(listed, |oldest| oldest.min(listed)).floor_second();
        self.floor = self.floor.max(floor.min(self.end));
    }

    pub(super) fn seal(&mut self, now: Now) {
        self.raise_floor();
        let server = self.server(now);
        let mut open = std::mem::take(&mut self.open);
        open.gaps.extend(self.absence_so_far(now).map(|gap| (gap.id, gap)));
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        // The earlier of the two clocks: neither, jumping ahead, may make us forget a blob (law L9), and before the place is settled the
        // service's is one reply's word. Where the service tells no time both are the local one, and only what was listed shows how late
        // it is at least.
        let latest = match (self.clock.is_dated(), self.clock.has_jumped() || !self.settled) {
            (true, false) => Time::MAX,
            (true, true) => Time::MIN,
            (false, _) => self.newest.unwrap_or(Time::MIN),
        };
        let forget_before = server.min(now.wall).min(latest) - REMEMBER;
        self.blobs.forget_before(forget_before);
        let saves_start = self.save_start.is_some();
        let claim = Claim {
            feed: self.settings.feed.clone(),
            at: server,
            floor: self.floor,
            begin: self.begin,
            filter: self.settings.filter.clone(),
            done: open.done,
            parts: open.parts.into_values().collect(),
            gaps: open.gaps.into_values().collect(),
            records: Vec::new(),
            subscription_start: self.save_start.take().or(self.subscription.last_start()),
            forget_before,
        };
        self.sealed = Some(Sealed { id, done: claim.done.iter().map(|(key, _)| *key).collect(), floor: self.floor, saves_start });
        // Before all notices: what the shell takes in after this belongs to the next batch.
        self.actions.push_front(Action::Seal { id, claim: Box::new(claim) });
    }

    pub(super) fn decide(&mut self, now: Now) {
        if self.finished {
            return;
        }
        if !self.stopping && self.request(now) {
            return;
        }
        self.commit_if_due(now);
        if self.actions.is_empty() {
            self.end_if_done(now);
        }
    }

    /// Queues at most one request; true if it did.
    pub(super) fn request(&mut self, now: Now) -> bool {
        let mono = now.mono;
        if self.health.is_blocked(mono) {
            return false;
        }
        let server = self.server(now);
        if !self.settled && self.clock.is_trusted(now) && !self.is_place_in_doubt(now) {
            self.settle(server);
        }
        if self.settled && self.subscription.is_enabled() && self.lister.is_none() {
            self.start_listing(now, server);
        }
        self.write_off(now, server);
        if self.stopping {
            return false;
        }
        if self.pace.check(mono).is_err() {
            return false;
        }
        match self.subscription.step(mono, server) {
            Step::Check => return self.ask(mono, Action::CheckSubscription),
            Step::Start => {
                self.starts += 1;
                return self.ask(mono, Action::StartSubscription);
            }
            Step::Save(at) => {
                self.save_start = Some(at);
                self.open.grew(0, mono);
                return false;
            }
            Step::Wait => {}
        }
        if !self.subscription.is_enabled() {
            return false;
        }
        if let Some((id, url)) = self.pages.pop_front()
            && let Some((window, stand_in)) = self.lister.as_ref().and_then(|l| l.window(id).zip(l.stand_in(id)))
        {
            return self.ask(mono, Action::NextPage { id, url, window, stand_in });
        }
        let room = !self.draining && self.blobs.has_room(false);
        if let Some(lister) = &mut self.lister
            && let Some((id, window)) = lister.next(mono, server, room)
        {
            let window = lister.give_way(id, |second| self.blobs.waits_for(second)).unwrap_or(window);
            let stand_in = lister.stand_in(id).unwrap_or(window.from());
            return self.ask(mono, Action::List { id, window, stand_in });
        }
        if self.may_fetch()
            && let Some(order) =
                if self.health.is_in_trouble() { self.blobs.next_probe(mono) } else { self.blobs.next_fetch(mono) }
        {
            let stale = order.entry.expires.is_some_and(|expires| expires <= now.wall);
            if mutant::on(Mutant::P6) || (stale && mutant::on(Mutant::P16)) {
                self.open.done.push((order.entry.key(), Counts::default()));
                self.open.grew(0, mono);
                if stale {
                    self.blobs.finished(order.entry.key(), server);
                    return false;
                }
            }
            return self.ask(mono, Action::Fetch(order));
        }
        false
    }

    pub(super) fn may_fetch(&self) -> bool {
        self.blobs.fetching() < self.pace.width() && !(self.sealed.is_some() && self.open.is_heavy())
    }

    pub(super) fn ask(&mut self, mono: Duration, action: Action) -> bool {
        self.pace.take(mono);
        self.actions.push_back(action);
        true
    }

    /// True if the place lies in the service's future, and one reply and the local clock alone say so: the replies by which it came to
    /// lie there say otherwise. It is given up when several agree.
    pub(super) fn is_place_in_doubt(&self, now: Now) -> bool {
        !self.settled && self.place_ahead(self.server(now)).is_some() && !self.clock.is_confirmed()
    }

    /// The place, if it lies in the service's future.
    fn place_ahead(&self, server: Time) -> Option<Time> {
        self.memory_floor.filter(|floor| *floor > server + AGREEMENT && self.clock.is_dated())
    }

    /// Fixes where the feed begins and ends, as soon as the service's time is known: no claim that moves either is made before.
    pub(super) fn settle(&mut self, server: Time) {
        self.settled = true;
        let retention = (server - SAFE_EDGE).ceil_second();
        if let Some(ahead) = self.place_ahead(server) {
            // Nothing would be collected until then, and what was left out meanwhile would never be: the blobs that are done
            // stay known, so all of retention is listed again for what is missing.
            self.notice(Notice::PlaceAhead { floor: ahead, server });
            let reached = self.blobs.newest_done().map_or(retention, |newest| newest.min(retention));
            self.floor = reached.max(self.begin.min(server)).floor_second();
            (self.begin, self.memory_floor) = (self.begin.min(self.floor), Some(self.floor));
            if let Some(absence) = &mut self.absence {
                absence.begin_by(self.floor, server);
            }
        }
        match self.settings.plan {
            Plan::Range { from, to } => {
                let resolve = |moment| match moment {
                    Moment::At(at) => at,
                    Moment::Ago(span) => server - span,
                    Moment::Retention => retention,
                };
                if self.memory_floor.is_none() {
                    self.begin = resolve(from).floor_second();
                }
                self.end = resolve(to).min(server).ceil_second().max(self.begin);
            }
            _ if self.memory_floor.is_none() => {
                let retention = if mutant::on(Mutant::P5) { server } else { retention };
                self.begin = retention.max(self.settings.not_before.unwrap_or(Time::MIN)).floor_second();
                self.notice(Notice::FirstStart { begin: self.begin });
            }
            _ => {}
        }
        self.floor = self.floor.max(self.begin);
        if self.settings.plan == Plan::Once {
            self.end = server.ceil_second().max(self.floor);
        }
    }

    pub(super) fn start_listing(&mut self, now: Now, server: Time) {
        // The first claim records the beginning.
        if self.committed_floor.is_none() {
            self.open.grew(0, now.mono);
        }
        let restored = self.memory_floor.is_some();
        self.pass_began = now.mono;
        self.lister = Some(match self.settings.plan {
            Plan::Follow { poll_interval, look_back } => {
                Lister::following(self.begin, self.floor, poll_interval, look_back, restored)
            }
            Plan::Once | Plan::Range { .. } => Lister::range(self.begin, self.floor.min(self.end), self.end),
        });
        self.notice(Notice::Listing { floor: self.floor, end: self.end.min(server) });
    }

    /// What lies before the edge of retention is a gap, if the clocks agree about it.
    pub(super) fn write_off(&mut self, now: Now, server: Time) {
        let Some((from, to)) = self.lister.as_ref().and_then(|l| l.lost(server)) else { return };
        if let Some(lister) = self.lister.as_mut().filter(|l| l.repeats()) {
            lister.give_up(from, to);
            return;
        }
        if self.clock.has_jumped() {
            // Where nothing else is left to be asked for, nothing else would tell the time.
            if self.subscription.is_enabled() {
                self.subscription.check_at(now.mono + WITNESS_AFTER);
            }
            return;
        }
        if !self.clock.agrees(now) {
            let ms = self.clock.skew_ms(now);
            if self.settings.plan.is_one_shot() {
                let why = ms.map_or_else(
                    || "its replies do not tell its time (no Date header): ask for a later beginning".to_owned(),
                    |ms| {
                        format!(
                            "its clock and the local one differ by {} s: set the local clock, or ask for a later beginning",
                            ms / 1000
                        )
                    },
                );
                let detail = format!("{from} to {to} lies before what the service keeps by the local clock, but {why}");
                self.give_up(Finish::Unreachable { detail });
            } else if self.health.may_alarm(now.mono) {
                self.notice(Notice::ClockDisagrees { ms, from, to });
            }
            return;
        }
        if let Some(lister) = &mut self.lister {
            lister.give_up(from, to);
        }
        self.stretch_gap(now, GapReason::OutagePastRetention, from, to);
    }

    pub(super) fn commit_if_due(&mut self, now: Now) {
        if self.sealed.is_some() {
            return;
        }
        let working = if self.stopping { !self.abandoned && self.blobs.fetching() > 0 } else { self.blobs.fetching() > 0 };
        if self.open.is_ripe(now.mono, working) || (self.abandoned && !self.open.is_empty()) {
            self.seal(now);
            return;
        }
        if now.mono.saturating_sub(self.committed_at) >= QUIET_COMMIT {
            self.raise_floor();
            if self.absence.is_some() || (self.committed_floor != Some(self.floor) && self.lister.is_some()) {
                self.seal(now);
            } else {
                self.committed_at = now.mono;
            }
        }
    }

    pub(super) fn end_if_done(&mut self, now: Now) {
        if self.sealed.is_some() || !self.open.is_empty() {
            return;
        }
        let fetching = self.blobs.fetching() > 0 && !self.abandoned;
        if self.stopping {
            if !fetching && !self.commit_floor(now) {
                let finish = self.verdict.take().unwrap_or(Finish::Stopped);
                self.finish(finish);
            }
            return;
        }
        if !self.settings.plan.is_one_shot() || fetching {
            return;
        }
        let listed = self.lister.as_ref().is_some_and(Lister::is_done);
        if !listed || !self.blobs.is_idle() {
            return;
        }
        let found = self.blobs.balance().listed != self.listed_before_pass;
        if self.passes == 0 || (found && self.passes < PASSES_MAX) {
            let young = self.end + listing::LIVE_SPAN > self.server(now);
            if young && now.mono < self.pass_began + SETTLE {
                return;
            }
            self.passes += 1;
            self.pass_began = now.mono;
            self.listed_before_pass = self.blobs.balance().listed;
            self.raise_floor();
            let end = self.end;
            let from = self.begin.max((self.server(now) - SAFE_EDGE).ceil_second()).min(end);
            if let Some(lister) = &mut self.lister {
                lister.again(from, end);
            }
            self.notice(Notice::Pass { number: self.passes + 1 });
        } else if !self.commit_floor(now) {
            self.finish(Finish::Complete);
        }
    }

    /// Seals an empty batch if only the floor has moved; true if it did.
    pub(super) fn commit_floor(&mut self, now: Now) -> bool {
        if self.lister.is_none() {
            return false;
        }
        self.raise_floor();
        if self.committed_floor == Some(self.floor) {
            return false;
        }
        self.seal(now);
        true
    }
}
