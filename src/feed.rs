//! The pure core: it decides what to ask the service for, when, and what may be committed.
//!
//! A state machine for one feed (one content type of one tenant) without IO, clock or randomness of its own: it is told
//! what happened ([`Input`]) and answers with what to do ([`Action`]) and when to be called again ([`Feed::wake`]). Bytes
//! never pass through it, only facts about them. Waiting is measured with a monotonic clock; the local clock can neither
//! make a gap nor skip a blob (law L9).
//!
//! - [`listing`]: windows, sweeps, paging;
//! - [`blobs`]: the ledger of blobs, attempts and gaps;
//! - [`batch`]: what the open batch holds;
//! - [`subscription`]: checked first, started rarely;
//! - [`pace`]: rate, pauses, width;
//! - [`clock`], [`backoff`], [`stretches`]: small values.
//!
//! It may use `domain`, and nothing that reads, writes, sleeps or draws.

pub mod backoff;
pub mod batch;
pub mod blobs;
pub mod clock;
mod health;
pub mod listing;
pub mod pace;
mod protocol;
pub mod stretches;
pub mod subscription;
#[cfg(test)]
mod trial;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::batch::BatchId;
pub use self::blobs::{Balance, FetchOrder};
pub use self::clock::{AGREEMENT, Now};
pub use self::listing::ListingId;
pub use self::protocol::{Action, FeedSettings, Finish, Input, Memory, Moment, Notice, Plan, Status};
pub use self::subscription::{Mode, Standing};

use self::backoff::Jitter;
use self::batch::Open;
use self::blobs::{BlobFailure, Blobs, Persistence, Verdict};
use self::clock::ServerClock;
use self::health::{Health, Setback};
use self::listing::{Broken, Lister, SAFE_EDGE};
use self::pace::Pace;
use self::subscription::{Step, Subscription};
use crate::domain::{BlobEntry, BlobKey, Claim, Counts, Fault, Gap, GapId, GapReason, Part, Refusal, Time};

/// While nothing happens, the floor is committed this often.
const QUIET_COMMIT: Duration = Duration::from_secs(3600);
/// Done blobs are remembered for a day longer than the service lists them.
const REMEMBER: Duration = Duration::from_secs(8 * 24 * 3600);
/// A one-shot run lists its range again until a pass finds nothing new; this many passes without an end mean that the
/// service invents blobs.
const PASSES_MAX: u32 = 20;
/// A one-shot run gives a window up after so many failures in a row, about ten minutes.
const LISTING_ATTEMPTS_MAX: u32 = 15;
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
    sealed: Option<Sealed>,
    next_batch: u64,
    pages: VecDeque<(ListingId, String)>,
    draining: bool,
    off_since: Option<(GapReason, Time)>,
    passes: u32,
    listed_before_pass: u64,
    stopping: bool,
    abandoned: bool,
    finished: bool,
    actions: VecDeque<Action>,
}

impl Feed {
    /// A feed that goes on from what was committed.
    pub fn new(settings: FeedSettings, memory: Memory, now: Now) -> Self {
        let mut jitter = Jitter::new(settings.seed);
        let persistence = if settings.plan.is_one_shot() { Persistence::one_shot() } else { Persistence::poller() };
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
        blobs.restore(memory.gaps, parts, now.mono, &mut jitter);
        Self {
            clock: ServerClock::default(),
            pace: Pace::new(settings.per_minute, settings.width),
            health: Health::new(settings.plan.is_one_shot(), now.mono),
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
            sealed: None,
            next_batch: 0,
            pages: VecDeque::new(),
            draining: false,
            off_since: None,
            passes: 0,
            listed_before_pass: 0,
            stopping: false,
            abandoned: false,
            finished: false,
            jitter,
            settings,
            actions,
        }
    }

    fn server(&self, now: Now) -> Time {
        self.clock.now(now).unwrap_or(now.wall)
    }

    /// Takes in what happened. Call [`Feed::act`] afterwards until it has nothing to do.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Tick => {}
            Input::Subscription { standing, date } => self.subscription_told(now, standing, date),
            Input::Started { date } => self.subscription_started(now, date),
            Input::SubscriptionFailed { fault, detail, date } => {
                self.observe(now, date);
                let again = self.setback(now, &fault, &detail, now.mono);
                self.subscription.failed(again);
            }
            Input::Entries { id, entries } => self.entries(now, id, entries),
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
            Input::BlobFailed { key, fault, detail, print, date } => self.blob_failed(now, key, &fault, &detail, print, date),
            Input::Committed { id } => self.committed(now, id),
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

    fn observe(&mut self, now: Now, date: Option<Time>) {
        let first = self.clock.now(now).is_none();
        self.clock.observe(date, now);
        if first && !self.clock.agrees(now) {
            let ms = self.clock.skew_ms(now).unwrap_or(0);
            self.notice(Notice::ClockSkew { ms });
        }
    }

    fn success(&mut self, now: Now) {
        self.pace.succeeded(now.mono);
        if self.health.succeeded(now.mono) {
            self.notice(Notice::Recovered);
        }
    }

    // === subscription ===

    fn subscription_told(&mut self, now: Now, standing: Standing, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let server = self.server(now);
        let person = self.subscription.told(standing, now.mono, server);
        if standing == Standing::Enabled {
            self.close_absence(now);
        } else {
            self.open_absence(GapReason::SubscriptionOff);
            self.notice(Notice::SubscriptionOff { standing, starts: !person });
            if person && self.settings.plan.is_one_shot() {
                self.finish(Finish::SubscriptionMissing);
            }
        }
    }

    fn subscription_started(&mut self, now: Now, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        self.subscription.started();
        self.notice(Notice::SubscriptionStarted);
        self.close_absence(now);
    }

    /// Content that becomes available from here on may be lost for good; where nothing was collected before, nothing is.
    fn open_absence(&mut self, reason: GapReason) {
        let known = self.lister.as_ref().and_then(|l| l.live_from()).or(self.memory_floor);
        if let (None, Some(from)) = (self.off_since, known) {
            self.off_since = Some((reason, from));
        }
    }

    fn close_absence(&mut self, now: Now) {
        if let Some((reason, from)) = self.off_since.take() {
            let to = self.server(now);
            self.stretch_gap(now, reason, from, to);
        }
    }

    fn stretch_gap(&mut self, now: Now, reason: GapReason, from: Time, to: Time) {
        if from >= to {
            return;
        }
        let gap = Gap {
            id: GapId::of_stretch(reason, from, to),
            reason,
            from,
            to,
            blob: None,
            provisional: false,
            closed: None,
            found: self.server(now),
            detail: String::new(),
        };
        self.record_gap(now, gap);
    }

    fn record_gap(&mut self, now: Now, gap: Gap) {
        self.notice(Notice::Gap(Box::new(gap.clone())));
        self.open.gaps.insert(gap.id, gap);
        self.open.grew(0, now.mono);
    }

    // === listing ===

    fn entries(&mut self, now: Now, id: ListingId, entries: Vec<BlobEntry>) {
        let server = self.server(now);
        let Some(lister) = &mut self.lister else { return };
        let Some(purpose) = lister.purpose(id) else { return };
        let young = server - listing::LIVE_SPAN;
        for entry in entries {
            if entry.created < self.begin || entry.created >= self.end {
                continue;
            }
            let live = !self.settings.plan.is_one_shot() && (purpose == listing::Purpose::Live || entry.created >= young);
            if !self.blobs.add(entry, live) {
                lister.broken(id, Broken::Full, now.mono, &mut self.jitter);
                self.draining = true;
                return;
            }
        }
    }

    fn page_end(&mut self, now: Now, id: ListingId, next: Option<String>, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let Some(lister) = &mut self.lister else { return };
        match (lister.page(id, next.as_deref(), date), next) {
            (Ok(true), Some(url)) => self.pages.push_back((id, url)),
            (Ok(_), _) => lister.complete(id, now.mono, self.pace.per_minute(), &mut self.jitter),
            (Err(why), _) => {
                let halved = lister.broken(id, why, now.mono, &mut self.jitter);
                self.notice(Notice::ListingBroken { detail: "the pages go round in a circle or do not end".into(), halved });
            }
        }
    }

    fn list_failed(&mut self, now: Now, id: ListingId, fault: &Fault, detail: String, date: Option<Time>, sent: Duration) {
        self.observe(now, date);
        let why = match fault {
            Fault::StalePage => Broken::Pages,
            Fault::WindowRefused => Broken::Window,
            _ => Broken::Passing,
        };
        let halved = self.lister.as_mut().and_then(|l| l.broken(id, why, now.mono, &mut self.jitter));
        self.pages.retain(|(listing, _)| *listing != id);
        match fault {
            Fault::StalePage | Fault::WindowRefused => self.notice(Notice::ListingBroken { detail, halved }),
            _ => {
                self.notice(Notice::Failed { fault: fault.clone(), detail: detail.clone() });
                self.setback(now, fault, &detail, sent);
            }
        }
        if self.settings.plan.is_one_shot() && self.lister.as_ref().is_some_and(|l| l.failures() >= LISTING_ATTEMPTS_MAX) {
            self.finish(Finish::Unreachable { detail: format!("a window could not be listed: {fault}") });
        }
    }

    // === blobs ===

    fn blob_done(&mut self, now: Now, key: BlobKey, counts: Counts, bytes: usize, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let server = self.server(now);
        if let Some(closed) = self.blobs.finished(key, server) {
            self.notice(Notice::GapClosed(Box::new(closed.clone())));
            self.open.gaps.insert(closed.id, closed);
        }
        self.open.parts.remove(&key);
        self.open.done.push((key, counts));
        self.open.grew(bytes, now.mono);
    }

    fn blob_lost(&mut self, now: Now, part: Part, print: u64, bytes: usize, detail: String, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let server = self.server(now);
        self.open.parts.insert(part.key, part);
        self.open.grew(bytes, now.mono);
        if let Some(gap) = self.blobs.lost(part, print, detail, now.mono, server, &mut self.jitter) {
            self.record_gap(now, gap);
        }
    }

    fn blob_failed(&mut self, now: Now, key: BlobKey, fault: &Fault, detail: &str, print: Option<u64>, date: Option<Time>) {
        self.observe(now, date);
        let sent = self.blobs.sent_at(key).unwrap_or(now.mono);
        let server = self.server(now);
        // The service works, even if this reply did not help.
        if matches!(fault, Fault::BadReply | Fault::NotFound | Fault::Expired) {
            self.success(now);
        }
        let successes = self.health.successes();
        let failure = BlobFailure { key, fault, detail, print, successes };
        let verdict = self.blobs.failed(failure, now.mono, server, &mut self.jitter);
        match &verdict {
            Verdict::Gap(Some(gap)) => self.record_gap(now, (**gap).clone()),
            Verdict::Gap(None) | Verdict::Unknown => {}
            Verdict::Later(wait) => {
                self.notice(Notice::BlobDelayed { key, fault: fault.clone(), detail: detail.to_owned(), wait: *wait });
            }
        }
        match fault {
            Fault::Throttled { .. } | Fault::Transient { .. } => {
                self.setback(now, fault, detail, sent);
                // With nothing else under way, only a look elsewhere tells whether it is the blob or the service.
                if self.settings.plan.is_one_shot() && self.blobs.fetching() == 0 && !self.blobs.has_ready() {
                    self.subscription.check_at(self.health.blocked_until());
                }
            }
            // One blob's refusal says little about the tenant: a look at the subscription tells.
            Fault::Refused(_) | Fault::AuditingOff | Fault::NoSubscription | Fault::SubscriptionDisabled => {
                self.subscription.check_at(now.mono);
            }
            _ => {}
        }
    }

    // === health ===

    /// A request failed for a reason that concerns the whole feed. Returns when to try again.
    fn setback(&mut self, now: Now, fault: &Fault, detail: &str, sent: Duration) -> Duration {
        let mono = now.mono;
        match fault {
            Fault::Throttled { retry_after } => {
                let until = self.pace.throttled(mono, sent, *retry_after, &mut self.jitter);
                self.notice(Notice::Throttled { pause: until - mono, per_minute: self.pace.per_minute() });
                return until;
            }
            Fault::NoSubscription | Fault::SubscriptionDisabled => {
                let at = self.health.hold(mono, Duration::from_secs(1), &mut self.jitter);
                self.subscription.check_at(at);
                return at;
            }
            Fault::AuditingOff => self.open_absence(GapReason::AuditingOff),
            _ => {}
        }
        let setback = self.health.failed(fault, mono, &mut self.jitter);
        if self.health.is_in_trouble() {
            self.pace.stumbled();
        }
        if let Fault::Refused(refusal) = fault {
            self.notice(Notice::Refused {
                refusal: *refusal,
                detail: detail.to_owned(),
                first_contact: !self.health.has_worked(),
            });
        } else if *fault == Fault::AuditingOff {
            self.notice(Notice::AuditingOff { detail: detail.to_owned(), first_contact: !self.health.has_worked() });
        }
        match setback {
            Setback::Until(at) => {
                if matches!(fault, Fault::Refused(_) | Fault::AuditingOff) {
                    self.subscription.check_at(at);
                }
                at
            }
            Setback::GiveUp => {
                let refusal = match fault {
                    Fault::Refused(refusal) => Some(*refusal),
                    Fault::AuditingOff => Some(Refusal::TenantRejected),
                    _ => None,
                };
                self.finish(match refusal {
                    Some(refusal) => Finish::Refused { refusal, detail: detail.to_owned() },
                    None => Finish::Unreachable { detail: detail.to_owned() },
                });
                mono + QUIET_COMMIT
            }
        }
    }

    fn finish(&mut self, finish: Finish) {
        if !self.finished {
            self.finished = true;
            self.actions.push_back(Action::Finish(finish));
        }
    }

    // === committing ===

    fn committed(&mut self, now: Now, id: BatchId) {
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
    fn raise_floor(&mut self) {
        let Some(lister) = &self.lister else { return };
        let listed = lister.frontier().unwrap_or(self.end);
        let floor = self.blobs.oldest_pending().map_or(listed, |oldest| oldest.min(listed)).floor_second();
        self.floor = self.floor.max(floor.min(self.end));
    }

    fn seal(&mut self, now: Now) {
        self.raise_floor();
        let server = self.server(now);
        let open = std::mem::take(&mut self.open);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        // The earlier of the two clocks: neither, jumping ahead, may make us forget a blob (law L9).
        let forget_before = server.min(now.wall) - REMEMBER;
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
            subscription_start: self.save_start.take().or(self.subscription.last_start()),
            forget_before,
        };
        self.sealed = Some(Sealed { id, done: claim.done.iter().map(|(key, _)| *key).collect(), floor: self.floor, saves_start });
        self.actions.push_back(Action::Seal { id, claim: Box::new(claim) });
    }

    // === deciding ===

    /// The next thing to do, or `None` until something happens or [`Feed::wake`] comes.
    pub fn act(&mut self, now: Now) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        self.decide(now);
        self.actions.pop_front()
    }

    fn decide(&mut self, now: Now) {
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
    fn request(&mut self, now: Now) -> bool {
        let mono = now.mono;
        if self.health.is_blocked(mono) {
            return false;
        }
        let server = self.server(now);
        if !self.settled && self.clock.now(now).is_some() {
            self.settle(server);
        }
        if self.settled && self.subscription.is_enabled() && self.lister.is_none() {
            self.start_listing(now, server);
        }
        self.write_off(now, server);
        if self.pace.check(mono).is_err() {
            return false;
        }
        match self.subscription.step(mono, server) {
            Step::Check => return self.ask(mono, Action::CheckSubscription),
            Step::Start => return self.ask(mono, Action::StartSubscription),
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
            && let Some(window) = self.lister.as_ref().and_then(|l| l.window(id))
        {
            return self.ask(mono, Action::NextPage { id, url, window });
        }
        let room = !self.draining && self.blobs.has_room(false);
        if let Some((id, window)) = self.lister.as_mut().and_then(|l| l.next(mono, server, room)) {
            return self.ask(mono, Action::List { id, window });
        }
        if self.may_fetch()
            && let Some(order) = self.blobs.next_fetch(mono)
        {
            return self.ask(mono, Action::Fetch(order));
        }
        false
    }

    fn may_fetch(&self) -> bool {
        self.blobs.fetching() < self.pace.width() && !(self.sealed.is_some() && self.open.is_heavy())
    }

    fn ask(&mut self, mono: Duration, action: Action) -> bool {
        self.pace.take(mono);
        self.actions.push_back(action);
        true
    }

    /// Fixes where the feed begins and ends, as soon as the service's time is known: no claim is made before.
    fn settle(&mut self, server: Time) {
        self.settled = true;
        let retention = (server - SAFE_EDGE).ceil_second();
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

    fn start_listing(&mut self, now: Now, server: Time) {
        // The first claim records the beginning.
        if self.committed_floor.is_none() {
            self.open.grew(0, now.mono);
        }
        let restored = self.memory_floor.is_some();
        self.lister = Some(match self.settings.plan {
            Plan::Follow { poll_interval, look_back } => {
                Lister::following(self.begin, self.floor, poll_interval, look_back, restored)
            }
            Plan::Once | Plan::Range { .. } => Lister::range(self.begin, self.floor.min(self.end), self.end),
        });
        self.notice(Notice::Listing { floor: self.floor, end: self.end.min(server) });
    }

    /// What lies before the edge of retention is a gap, if the clocks agree about it.
    fn write_off(&mut self, now: Now, server: Time) {
        let Some((from, to)) = self.lister.as_ref().and_then(|l| l.lost(server)) else { return };
        if !self.clock.agrees(now) {
            let ms = self.clock.skew_ms(now).unwrap_or(0);
            if self.settings.plan.is_one_shot() {
                let detail = format!(
                    "{from} to {to} lies before what the service keeps, but its clock and the local one differ by {} s: \
                     set the local clock, or ask for a later beginning",
                    ms / 1000
                );
                self.finish(Finish::Unreachable { detail });
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

    fn commit_if_due(&mut self, now: Now) {
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
            if self.committed_floor != Some(self.floor) && self.lister.is_some() {
                self.seal(now);
            } else {
                self.committed_at = now.mono;
            }
        }
    }

    fn end_if_done(&mut self, now: Now) {
        if self.sealed.is_some() || !self.open.is_empty() {
            return;
        }
        let fetching = self.blobs.fetching() > 0 && !self.abandoned;
        if self.stopping {
            if !fetching && !self.commit_floor(now) {
                self.finish(Finish::Stopped);
            }
            return;
        }
        if !self.settings.plan.is_one_shot() || fetching || !self.pages.is_empty() {
            return;
        }
        let listed = self.lister.as_ref().is_some_and(Lister::is_done);
        if !listed || !self.blobs.is_idle() {
            return;
        }
        let found = self.blobs.balance().listed != self.listed_before_pass;
        if self.passes == 0 || (found && self.passes < PASSES_MAX) {
            self.passes += 1;
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
    fn commit_floor(&mut self, now: Now) -> bool {
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

    /// When to call [`Feed::act`] again if nothing happens before, on the monotonic clock.
    pub fn wake(&self, now: Now) -> Option<Duration> {
        if self.finished {
            return None;
        }
        let mono = now.mono;
        let mut wake = self.committed_at + QUIET_COMMIT;
        if self.sealed.is_none()
            && let Some(at) = self.open.wake()
        {
            wake = wake.min(at);
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
