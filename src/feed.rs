//! The pure core: it decides what to ask the service for, when, and what may be committed.
//!
//! A state machine for one feed (one content type of one tenant) without IO, clock or randomness of its own: it is told
//! what happened ([`Input`]) and answers with what to do ([`Action`]) and when to be called again ([`Feed::wake`]). Bytes
//! never pass through it, only facts about them. Waiting is measured with a monotonic clock; the local clock can neither
//! make a gap nor skip a blob (law L9).
//!
//! - `facts`: what a report changes; `decisions`: what to do next;
//! - [`listing`]: windows, sweeps, paging;
//! - [`blobs`]: the ledger of blobs, attempts and gaps;
//! - [`batch`]: what the open batch holds;
//! - [`subscription`]: checked first, started rarely; `absence`: what becomes available while there is none;
//! - [`pace`]: rate and pauses; `width`: blobs at once; [`persistence`]: how long to try;
//! - [`clock`], [`backoff`], [`stretches`]: small values.
//!
//! It may use `domain`, and nothing that reads, writes, sleeps or draws.

mod absence;
pub mod backoff;
pub mod batch;
pub mod blobs;
#[cfg(test)]
mod cases;
pub mod clock;
mod decisions;
mod facts;
mod health;
pub mod listing;
pub mod pace;
pub mod persistence;
mod protocol;
#[cfg(test)]
mod starts;
pub mod stretches;
pub mod subscription;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
mod width;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

pub use self::batch::BatchId;
pub use self::blobs::{Balance, FetchOrder};
pub use self::clock::{AGREEMENT, Now};
pub use self::listing::ListingId;
pub use self::protocol::{Action, FeedSettings, Finish, Input, Memory, Moment, Notice, Plan, Status};
pub use self::subscription::{Mode, Standing};

use self::absence::Absence;
use self::backoff::Jitter;
use self::batch::Open;
use self::blobs::Blobs;
use self::clock::ServerClock;
use self::facts::Failed;
use self::health::Health;
use self::listing::Lister;
use self::pace::Pace;
use self::persistence::Persistence;
use self::subscription::Subscription;
use crate::domain::{BlobKey, GapId, GapReason, Time};
use crate::mutant::{self, Mutant};

/// While nothing happens, the floor is committed this often.
const QUIET_COMMIT: Duration = Duration::from_secs(3600);
/// Done blobs are remembered for a day longer than the service lists them.
const REMEMBER: Duration = Duration::from_secs(8 * 24 * 3600);
/// A one-shot run lists its range again until a pass finds nothing new; this many passes without an end mean that the
/// service invents blobs.
const PASSES_MAX: u32 = 20;
/// Blobs of the last hour are the likeliest to be listed late: a one-shot run that reaches into it looks again after this.
const SETTLE: Duration = Duration::from_millis(700);
/// A one-shot run gives a window up after so many failures in a row, about ten minutes.
const LISTING_ATTEMPTS_MAX: u32 = 15;
/// A one-shot run gives up if the subscription is still off after so many starts, the second of them a quarter of an hour later.
const STARTS_MAX: u32 = 2;
/// Entries of listings that can't be read, told as gaps one by one. So many mean that the service has changed: of the others one gap
/// tells for each day of their windows.
const UNREADABLE_ENTRIES_MAX: usize = 1_024;
/// After requests have failed for so long, all that was listed before is gone over again at once: the half hour in which the service
/// works may be all that is left of the day in which a blob that was listed late has to be found.
const LONG_OUTAGE: Duration = Duration::from_secs(3600);
/// The core never asks to be called again sooner than this: it can't spin.
const NAP: Duration = Duration::from_millis(2);

struct Sealed {
    id: BatchId,
    done: Vec<BlobKey>,
    floor: Time,
    /// It carries the time of a start of the subscription that waits for it.
    saves_start: bool,
}

/// The state machine of one feed.
pub struct Feed {
    settings: FeedSettings,
    clock: ServerClock,
    jitter: Jitter,
    pace: Pace,
    health: Health,
    subscription: Subscription,
    lister: Option<Lister>,
    blobs: Blobs,
    memory_floor: Option<Time>,
    begin: Time,
    end: Time,
    settled: bool,
    floor: Time,
    committed_floor: Option<Time>,
    committed_at: Duration,
    open: Open,
    save_start: Option<Time>,
    /// Starts of the subscription asked for.
    starts: u32,
    sealed: Option<Sealed>,
    next_batch: u64,
    pages: VecDeque<(ListingId, String)>,
    unreadable_entries: BTreeSet<GapId>,
    draining: bool,
    /// Since when nothing becomes available for good.
    absence: Option<Absence>,
    /// The newest `contentCreated` listed.
    newest: Option<Time>,
    passes: u32,
    pass_began: Duration,
    listed_before_pass: u64,
    stopping: bool,
    abandoned: bool,
    /// How it ends once what is in hand is committed; a stop, unless something else ended it.
    verdict: Option<Finish>,
    finished: bool,
    actions: VecDeque<Action>,
}

impl Feed {
    /// A feed that goes on from what was committed.
    pub fn new(settings: FeedSettings, memory: Memory, now: Now) -> Self {
        let mut jitter = Jitter::new(settings.seed);
        let persistence = match settings.plan {
            Plan::Follow { .. } => Persistence::poller(),
            Plan::Once => Persistence::once(),
            Plan::Range { .. } => Persistence::one_shot(),
        };
        let mut actions = VecDeque::new();
        let (mut done, mut parts) = (memory.done, memory.parts);
        if let Some(before) = memory.filter.filter(|f| *f != settings.filter) {
            // A new cursor begins at the floor: what was done from there on was done with another filter (law L1).
            let since = memory.floor.unwrap_or(Time::MIN);
            done.forget_from(since);
            parts.clear();
            actions.push_back(Action::Notice(Notice::FilterChanged { before, since }));
        }
        let mut blobs = Blobs::new(persistence, done);
        let told = memory.gaps.iter().filter(|gap| gap.reason == GapReason::Unreadable && gap.blob.is_none());
        let unreadable_entries = told.map(|gap| gap.id).collect();
        let absence = Absence::restored(&memory.gaps);
        blobs.restore(memory.gaps, parts, now.mono, &mut jitter);
        Self {
            clock: ServerClock::default(),
            pace: Pace::new(settings.per_minute, settings.width),
            health: Health::new(settings.plan.is_one_shot()),
            subscription: Subscription::new(settings.subscription, memory.subscription_start),
            lister: None,
            blobs,
            memory_floor: memory.floor,
            begin: memory.begin.unwrap_or(Time::MIN),
            end: Time::MAX,
            settled: false,
            floor: memory.floor.unwrap_or(Time::MIN),
            committed_floor: memory.floor,
            committed_at: now.mono,
            open: Open::default(),
            save_start: None,
            starts: 0,
            sealed: None,
            next_batch: 0,
            pages: VecDeque::new(),
            unreadable_entries,
            draining: false,
            absence,
            newest: None,
            passes: 0,
            pass_began: now.mono,
            listed_before_pass: 0,
            stopping: false,
            abandoned: false,
            verdict: None,
            finished: false,
            jitter,
            settings,
            actions,
        }
    }

    fn server(&self, now: Now) -> Time {
        if mutant::on(Mutant::P16b) {
            return now.wall;
        }
        self.clock.now(now).unwrap_or(now.wall)
    }

    /// Takes in what happened. Call [`Feed::act`] afterwards until it has nothing to do.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Tick => {}
            Input::Subscription { standing, date } => self.subscription_told(now, standing, date),
            Input::Started { date } => self.subscription_started(now, date),
            Input::SubscriptionFailed { fault, detail, date } => self.subscription_failed(now, &fault, &detail, date),
            Input::Entries { id, entries } => self.entries(now, id, entries),
            Input::EntryUnreadable { window, print, detail } => self.entry_unreadable(now, window, print, detail),
            Input::PageEnd { id, next, date } => self.page_end(now, id, next, date),
            Input::ListFailed { id, fault, detail, date, sent } => self.list_failed(now, id, &fault, detail, date, sent),
            Input::BlobPart { part, bytes } => {
                self.blobs.part(part);
                self.open.parts.insert(part.key, part);
                self.open.grew(bytes, now.mono);
            }
            Input::BlobPartRefused { key } => self.blobs.forget_part(key),
            Input::BlobDone { key, counts, bytes, date } => self.blob_done(now, key, counts, bytes, date),
            Input::BlobLost { part, print, bytes, detail, date } => self.blob_lost(now, part, print, bytes, detail, date),
            Input::BlobFailed { key, fault, detail, print, date } => {
                self.blob_failed(now, Failed { key, fault, detail, print, date, asked: true });
            }
            Input::BlobUnasked { key, fault, detail } => {
                self.blob_failed(now, Failed { key, fault, detail, print: None, date: None, asked: false });
            }
            Input::Committed { id } => self.committed(now, id),
            Input::Paused { until } => self.pace.hold_until(now.mono, until),
            Input::Stop => self.stopping = true,
            Input::Abandon => self.abandoned = true,
        }
    }

    /// True if so many bytes may go into the open batch now; if not, they have to wait for the next one.
    pub fn fits(&mut self, bytes: usize) -> bool {
        self.open.fits(bytes)
    }

    fn notice(&mut self, notice: Notice) {
        self.actions.push_back(Action::Notice(notice));
    }

    /// Takes in the `Date` of a reply, if there was a reply. Nothing is settled before: what failed on the way tells no time.
    fn observe(&mut self, now: Now, date: Option<Time>) {
        let Some(date) = date else { return };
        let first = self.clock.skew_ms(now).is_none();
        self.clock.observe(date, now);
        if let Some(ms) = self.clock.skew_ms(now).filter(|_| first && !self.clock.agrees(now)) {
            self.notice(Notice::ClockSkew { ms });
        }
    }

    fn success(&mut self, now: Now) {
        self.clock.assume(now);
        self.pace.succeeded(now.mono);
        if self.health.failing_for(now.mono) >= LONG_OUTAGE
            && let Some(lister) = &mut self.lister
        {
            lister.sweep_anew(now.mono);
        }
        if self.health.succeeded() {
            self.notice(Notice::Recovered);
        }
    }

    /// The next thing to do, or `None` until something happens or [`Feed::wake`] comes.
    pub fn act(&mut self, now: Now) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        self.decide(now);
        self.actions.pop_front()
    }

    /// Ends for a reason of its own: asks for nothing more and commits what is in hand, so that it need not come again.
    fn give_up(&mut self, finish: Finish) {
        self.verdict.get_or_insert(finish);
        self.stopping = true;
        self.abandoned = true;
    }

    fn finish(&mut self, finish: Finish) {
        if !self.finished {
            self.finished = true;
            self.actions.push_back(Action::Finish(finish));
        }
    }

    /// When to call [`Feed::act`] again if nothing happens before, on the monotonic clock.
    pub fn wake(&self, now: Now) -> Option<Duration> {
        if self.finished {
            return None;
        }
        let mono = now.mono;
        // While a batch is with the writer nothing can be sealed, however long its reader stalls.
        let mut wake = mono + QUIET_COMMIT;
        if self.sealed.is_none() {
            wake = self.open.wake().unwrap_or(wake).min(self.committed_at + QUIET_COMMIT);
        }
        if self.settings.plan.is_one_shot() && self.pass_began + SETTLE > mono {
            wake = wake.min(self.pass_began + SETTLE);
        }
        if !self.stopping {
            wake = wake.min(self.request_wake(now).unwrap_or(Duration::MAX));
        }
        Some(wake.max(mono + NAP))
    }

    fn request_wake(&self, now: Now) -> Option<Duration> {
        let mono = now.mono;
        let earliest = self.health.blocked_until().max(self.pace.check(mono).err().unwrap_or(Duration::ZERO));
        let server = self.server(now);
        let mut wakes = [self.subscription.wake(), None, None];
        if self.subscription.is_enabled() {
            wakes[1] = self.lister.as_ref().and_then(|l| l.wake(mono, server));
            if self.may_fetch() {
                wakes[2] = if self.blobs.has_ready() { Some(mono) } else { self.blobs.wake() };
            }
            if !self.pages.is_empty() {
                wakes[1] = Some(mono);
            }
        }
        wakes.into_iter().flatten().min().map(|at| at.max(earliest))
    }

    /// Where the feed stands.
    pub fn status(&self, now: Now) -> Status {
        let server = self.server(now);
        Status {
            server,
            begin: self.begin,
            floor: self.floor,
            frontier: self.lister.as_ref().and_then(Lister::frontier),
            live_from: self.lister.as_ref().and_then(Lister::live_from),
            end: self.end,
            balance: self.blobs.balance(),
            fetching: self.blobs.fetching(),
            width: self.pace.width(),
            per_minute: self.pace.per_minute(),
            nearest_expiry: self.blobs.nearest_expiry(),
            worked: self.health.has_worked(),
            blocked: self.health.is_blocked(now.mono),
        }
    }
}
