//! Which stretch of time to list next, and when a stretch counts as listed (law L3).
//!
//! What has still to be listed is a set of stretches. Live listing takes its newest end at each poll, backlog listing its
//! oldest; sweeps go again over what was listed, to find blobs that were listed late. A stretch leaves the set only when
//! the page without a next page has arrived.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::stretches::Stretches;
use crate::domain::{Time, Window};
use crate::mutant::{self, Mutant};

mod outcome;
mod sweep;

pub use outcome::Broken;
use sweep::Sweep;

/// How far back the service lists: 7 days less 5 minutes, because a call that is delayed at exactly 7 days is refused
/// (`activity-api.md` section 7).
pub const SAFE_EDGE: Duration = Duration::from_secs((167 * 60 + 55) * 60);
/// A listing that was planned at [`SAFE_EDGE`] may still be asked for up to here; the margin between is not a gap.
pub const HARD_EDGE: Duration = Duration::from_secs((167 * 60 + 59) * 60);
/// Blobs this young are live: they go before all others.
pub const LIVE_SPAN: Duration = Duration::from_secs(3600);
/// Each request starts so long before its tile, unless it gives way or the edge is nearer: a request that starts exactly at a
/// blob's creation was seen to return a partial blob (`activity-api.md` section 12, row 6).
const OVERLAP_MIN: Duration = Duration::from_secs(5 * 60);
/// So much of the overlap stays when the start of a request gives way to blobs that are pending.
const GIVE_WAY_LEAVES: Duration = Duration::from_secs(60);
/// Without that much overlap the start gives way to the other side, by at most so many seconds.
const GIVE_WAY_BACK: u64 = 60;
/// The widest overlap of a live listing: blobs listed up to an hour late are found at the next poll, where that is cheap.
const OVERLAP_MAX: Duration = Duration::from_secs(3600);
/// The longest tile: with the widest overlap it fits the service's 24 hours.
const TILE_MAX: Duration = Duration::from_secs(23 * 3600);
/// The shortest tile: the service's windows count in seconds.
const TILE_MIN: Duration = Duration::from_secs(1);
/// Failed listings are repeated after 2 s, 4 s, … up to a poll interval's order, so that a long fault costs little.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much earlier a window ends after each refusal.
const FUTURE_STEP: Duration = Duration::from_secs(60);

/// Names one listing, from its first page to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListingId(pub u64);

/// What a listing is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The newest stretch.
    Live,
    /// The oldest stretch not yet listed.
    Backlog,
    /// A stretch listed before, again; the index of its level.
    Sweep(usize),
    /// Blobs whose listing entries were wrong.
    Errand,
}

/// Where a blob stands in a listing. By the entry of a listing that starts in the blob's very second, before its tile or not, only a
/// part of the blob may be had (`activity-api.md` section 12, row 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind the first second.
    Within,
    /// In the first second, before the tile: another listing can start earlier.
    Start,
    /// In the first second, and none can start earlier.
    OnlyStart,
}

#[derive(Debug)]
struct Listing {
    purpose: Purpose,
    request: Window,
    from: Time,
    to: Time,
    pages: u32,
    /// Hashes of the next pages' URLs, which may be long.
    seen: HashSet<u64>,
    /// The URL of the page that is under way, and how often it failed.
    current: Option<String>,
    tries: u32,
    date: Option<Time>,
    /// The tile's length, not the time of asking, ended it: the rest follows at once.
    cut: bool,
    /// It begins as far back as the service is asked at all …
    at_edge: bool,
    /// … which is here.
    earliest: Time,
}

/// Plans listings for one feed.
#[derive(Debug)]
pub struct Lister {
    unlisted: Stretches,
    /// Everything was listed before: what the edge of retention overtakes meanwhile is no gap.
    repeats: bool,
    begin: Time,
    poll: Option<(Duration, Duration)>,
    overlap: Duration,
    sweeps: Vec<Sweep>,
    /// To be listed once more because of wrong entries. One stretch that covers them all: cheap even if all are wrong.
    errand: Option<(Time, Time)>,
    tile: Duration,
    /// Since when nothing but refusals for their rate has come of listings.
    held_since: Option<Duration>,
    /// The next backlog window holds hardly anything new and needs no room.
    shortened: bool,
    active: BTreeMap<ListingId, Listing>,
    next_id: u64,
    retry_at: Duration,
    failures: u32,
    stale: u32,
    /// Failures of listings in a row: of the others, and of live ones.
    stubborn: [u32; 2],
    refused: u32,
    /// How far back the service is asked.
    edge: Duration,
    per_minute: f64,
}

impl Lister {
    /// For a poller: everything from `floor` on, without end.
    pub fn following(begin: Time, floor: Time, poll_interval: Duration, look_back: Duration, restored: bool) -> Self {
        let mut lister = Self::range(begin, floor, Time::MAX);
        lister.poll = Some((poll_interval, Duration::ZERO));
        lister.sweeps = vec![Sweep::of_look_back(look_back), Sweep::of_retention(restored)];
        lister
    }

    /// For one shot: everything in `[from, to)`.
    pub fn range(begin: Time, from: Time, to: Time) -> Self {
        Self {
            unlisted: Stretches::one(from.floor_second(), to),
            repeats: false,
            begin,
            poll: None,
            overlap: OVERLAP_MAX,
            sweeps: Vec::new(),
            errand: None,
            tile: TILE_MAX,
            held_since: None,
            shortened: false,
            active: BTreeMap::new(),
            next_id: 0,
            retry_at: Duration::ZERO,
            failures: 0,
            stale: 0,
            stubborn: [0; 2],
            refused: 0,
            edge: HARD_EDGE,
            per_minute: 1.0,
        }
    }

    /// Lists `[from, to)` once more: the pass that finds what was listed late while a backfill ran.
    pub fn again(&mut self, from: Time, to: Time) {
        self.unlisted = Stretches::one(from.floor_second(), to);
        self.repeats = true;
    }

    /// Lists the moment once more, as soon as there is nothing more urgent: the entry of its blob was wrong.
    pub fn look_again(&mut self, created: Time) {
        let from = created.floor_second();
        let to = from + TILE_MIN;
        self.errand = Some(self.errand.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
    }

    /// Tiles are so long now, as after halving.
    #[cfg(test)]
    pub(super) fn force_tile(&mut self, tile: Duration) {
        self.tile = tile;
    }

    /// The sweeps begin again from their start, now.
    pub fn sweep_anew(&mut self, now: Duration) {
        for sweep in &mut self.sweeps {
            (sweep.run, sweep.due) = (None, sweep.due.min(now));
        }
    }

    /// True if everything was listed before.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// The earliest moment that has not been listed, or `None` if nothing is left.
    pub fn frontier(&self) -> Option<Time> {
        self.unlisted.first().map(|(from, _)| from)
    }

    /// Listings that failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A listing was refused for its rate. Returns for how long no page has come since the first such refusal.
    pub fn held(&mut self, now: Duration) -> Duration {
        now.saturating_sub(*self.held_since.get_or_insert(now))
    }

    /// The first moment that live listing has not covered.
    pub fn live_from(&self) -> Option<Time> {
        self.unlisted.last().map(|(from, _)| from)
    }

    /// True if nothing is left to list.
    pub fn is_done(&self) -> bool {
        self.unlisted.is_empty() && self.active.is_empty() && self.errand.is_none()
    }

    /// What lies before the edge of retention and can't be listed any more. The caller turns it into a gap, if the clocks
    /// agree, by [`Lister::give_up`].
    pub fn lost(&self, server: Time) -> Option<(Time, Time)> {
        let (from, to) = self.unlisted.first()?;
        // A listing that was asked for in time still counts when it ends.
        if self.active.values().any(|l| l.from <= from && from < l.to) {
            return None;
        }
        let edge = (server - self.edge).floor_second();
        let edge = if from < edge { (server - SAFE_EDGE.min(self.edge)).floor_second() } else { edge };
        (from < edge).then(|| (from, to.min(edge)))
    }

    /// Takes a stretch that can't be had out of what is to be listed.
    pub fn give_up(&mut self, from: Time, to: Time) {
        self.unlisted.remove(from, to);
        self.refused = 0;
    }

    /// What the next poll covers. Between polls that are far apart nothing may count as backlog, or it would be listed bit by
    /// bit as it grows, as fast as the quota allows.
    fn live_span(&self) -> Duration {
        self.poll.map_or(LIVE_SPAN, |(interval, _)| LIVE_SPAN.max(interval.saturating_mul(2)).min(TILE_MAX))
    }

    fn backlog(&self, server: Time) -> Option<(Time, Time)> {
        let (from, to) = self.unlisted.first()?;
        let to = match self.poll {
            Some(_) => to.min((server - self.live_span()).floor_second()),
            None => to.min(server.floor_second()),
        };
        let from = from.max((server - self.edge).ceil_second());
        (from < to).then_some((from, to))
    }

    fn live(&self, server: Time) -> Option<(Time, Time)> {
        let (from, to) = self.unlisted.last()?;
        let to = to.min(server.floor_second());
        let from = from.max((server - self.live_span()).floor_second());
        (from < to).then_some((from, to))
    }

    /// True if the service's time has gone on by more than one poll covers before the poll is due: the machine slept, and what
    /// became available meanwhile would be listed bit by bit as it grows. A poll that is due within seconds is waited for.
    fn is_overdue(&self, wait: Duration, server: Time) -> bool {
        wait > RETRY.0 && self.unlisted.last().is_some_and(|(from, _)| from < (server - self.live_span()).floor_second())
    }

    fn running(&self, live: bool) -> bool {
        self.active.values().any(|l| (l.purpose == Purpose::Live) == live)
    }

    /// The next listing that is due, if any. `room` tells whether more backlog blobs can be held.
    pub fn next(&mut self, now: Duration, server: Time, room: bool) -> Option<(ListingId, Window)> {
        if now < self.retry_at {
            return None;
        }
        // A window that is refused although it is young enough probably ends in the service's future.
        let server = server - FUTURE_STEP * self.refused.saturating_sub(1);
        if !self.running(true)
            && let Some((interval, due)) = self.poll
            && (now >= due || self.is_overdue(due.saturating_sub(now), server))
        {
            if let Some((from, to)) = self.live(server) {
                let overlap = self.overlap;
                return self.open(Purpose::Live, from, to, overlap, server);
            }
            self.poll = Some((interval, now + interval.min(Duration::from_secs(1))));
        }
        if self.running(false) || !(room || self.shortened) {
            return None;
        }
        if let Some((from, to)) = self.backlog(server) {
            self.shortened = false;
            return self.open(Purpose::Backlog, from, to, OVERLAP_MIN, server);
        }
        self.shortened = false;
        if !room {
            return None;
        }
        if let Some((from, to)) = self.errand {
            let from = from.max((server - self.edge).ceil_second());
            // What the edge has overtaken is not asked for again, or the rest would never have its turn.
            self.errand = (from < to).then_some((from, to));
            if from < to {
                return self.open(Purpose::Errand, from, to, OVERLAP_MIN, server);
            }
        }
        self.next_sweep(now, server)
    }

    fn next_sweep(&mut self, now: Duration, server: Time) -> Option<(ListingId, Window)> {
        if mutant::on(Mutant::P10b) {
            return None;
        }
        for level in 0..self.sweeps.len() {
            let begin = self.begin;
            let sweep = &mut self.sweeps[level];
            if sweep.run.is_none() {
                if now < sweep.due {
                    continue;
                }
                let start = (server - sweep.span).max(server - SAFE_EDGE).max(begin).floor_second();
                sweep.run = Some((start, server.floor_second(), 0));
            }
            let Some((at, end, spent)) = sweep.run else { continue };
            let from = at.max((server - self.edge).ceil_second());
            if from >= end {
                sweep.finish(now, spent, self.per_minute);
                continue;
            }
            return self.open(Purpose::Sweep(level), from, end, OVERLAP_MIN, server);
        }
        None
    }

    fn open(
        &mut self,
        purpose: Purpose,
        from: Time,
        limit: Time,
        overlap: Duration,
        server: Time,
    ) -> Option<(ListingId, Window)> {
        let to = limit.min(from + self.tile);
        let cut = to < limit;
        let earliest = (server - self.edge).ceil_second();
        let overlap = if mutant::on(Mutant::P10b) { Duration::ZERO } else { overlap };
        let start = (from - overlap.min(self.tile)).max(earliest.min(from)).floor_second();
        let request = Window::new(start, to).ok()?;
        let id = ListingId(self.next_id);
        self.next_id += 1;
        self.active.insert(
            id,
            Listing {
                purpose,
                request,
                from,
                to,
                pages: 0,
                seen: HashSet::new(),
                current: None,
                tries: 0,
                date: None,
                cut,
                at_edge: start <= earliest,
                earliest,
            },
        );
        Some((id, request))
    }

    /// Moves the start of a listing that is about to be asked for, if a blob that has still to be fetched was created in that
    /// very second (`pending`): the blob could come in part.
    pub fn give_way(&mut self, id: ListingId, pending: impl Fn(Time) -> bool) -> Option<Window> {
        let listing = self.active.get_mut(&id)?;
        let (start, to) = (listing.request.from(), listing.request.to());
        let second = |n| Duration::from_secs(n);
        let room = listing.from.since(start).saturating_sub(GIVE_WAY_LEAVES).as_secs();
        if start < listing.from && (room > 0 || !listing.at_edge) {
            let (most, step): (u64, fn(Time, Duration) -> Time) =
                if room > 0 { (room, |start, by| start + by) } else { (GIVE_WAY_BACK, |start, by| start - by) };
            let mut starts = (0..most).map(|n| step(start, second(n))).filter(|start| *start >= listing.earliest);
            let free = starts.find(|start| !pending(*start)).and_then(|start| Window::new(start, to).ok());
            listing.request = free.unwrap_or(listing.request);
        }
        Some(listing.request)
    }

    /// Where a blob of that moment stands in a listing.
    pub fn place(&self, id: ListingId, created: Time) -> Place {
        match self.active.get(&id) {
            Some(l) if l.request.from() != created.floor_second() => Place::Within,
            Some(l) if l.request.from() < l.from && !l.at_edge => Place::Start,
            Some(_) => Place::OnlyStart,
            None => Place::Within,
        }
    }

    /// A listing has brought a blob that was not known. Where it is a sweep's, and the blob's time was listed before, the service lists
    /// late, and that sweep comes often again.
    pub fn brought(&mut self, id: ListingId, created: Time) {
        if let Some(Purpose::Sweep(level)) = self.purpose(id)
            && !self.unlisted.contains(created)
            && let Some(sweep) = self.sweeps.get_mut(level)
        {
            sweep.found = true;
        }
    }

    /// What takes the place of a `contentCreated` that can't be read: in the listing's tile, and the same each time that the
    /// tile is asked for.
    pub fn stand_in(&self, id: ListingId) -> Option<Time> {
        self.active.get(&id).map(|l| l.from)
    }

    /// The window that a listing asked for.
    pub fn window(&self, id: ListingId) -> Option<Window> {
        self.active.get(&id).map(|l| l.request)
    }

    /// What a listing is for.
    pub fn purpose(&self, id: ListingId) -> Option<Purpose> {
        self.active.get(&id).map(|l| l.purpose)
    }

    /// When to look again, on the monotonic clock.
    pub fn wake(&self, now: Duration, server: Time) -> Option<Duration> {
        let server = server - FUTURE_STEP * self.refused.saturating_sub(1);
        let soon = now + Duration::from_secs(1);
        let mut wake: Option<Duration> = None;
        let mut at = |t: Duration| wake = Some(wake.map_or(t, |w| w.min(t)));
        if let Some((_, due)) = self.poll
            && !self.running(true)
        {
            at(if self.is_overdue(due.saturating_sub(now), server) { now } else { due });
        }
        if !self.running(false) {
            let backlog = self.backlog(server).is_some() || (self.poll.is_none() && !self.unlisted.is_empty());
            if backlog || self.errand.is_some() {
                at(soon);
            }
            for sweep in &self.sweeps {
                // One that is due but waits for room or for the backlog is looked at again with them.
                at(if sweep.run.is_some() { soon } else { sweep.due.max(soon) });
            }
        }
        wake.map(|w| w.max(self.retry_at).max(now + Duration::from_millis(1)))
    }
}
