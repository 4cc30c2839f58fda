//! The ledger of blobs: what is pending, what comes next, what is done (laws L1, L4, L6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff::Jitter;
use super::persistence::Persistence;
use crate::domain::{BlobEntry, BlobKey, DoneSet, Gap, GapBlob, GapId, GapReason, Part, Time};

mod failures;

pub use failures::{BlobFailure, Verdict};

/// Blobs known but not done: at half a kilobyte each two megabytes. What does not fit is listed again later.
pub const PENDING_MAX: usize = 4_096;
/// Of these, room kept for live blobs.
const LIVE_RESERVE: usize = 1_024;
/// A doubtful reply is believed only after so many others that were the same, with no different doubtful one between.
const CONFIRM_AFTER: u32 = 3;
/// Blobs with a provisional gap that are asked for again and again; beyond this the gap stays, and the sweeps find the blob.
const POISON_MAX: usize = 4_096;

#[derive(Debug)]
struct Blob {
    entry: BlobEntry,
    live: bool,
    /// When the fetch under way was sent.
    sent: Option<Duration>,
    /// Failures that count: those while other requests succeeded.
    attempts: u32,
    failures: u32,
    /// Replies that it is not there.
    denials: u32,
    /// The feed's count of successes at the last failure.
    seen: u64,
    part: Option<Part>,
    /// The fingerprint of the last doubtful reply, and how many were the same.
    suspect: Option<u64>,
    suspected: u32,
    /// Quick attempts since the last wait of the usual length.
    confirming: u32,
    accepted: Option<u64>,
    gap: Option<GapReason>,
    /// When it is asked for again, if it waits for that.
    due: Option<Duration>,
    /// A listing told another address since it was asked for.
    moved: bool,
    /// The last attempt failed for its address …
    astray: bool,
    /// … as after so many listings before.
    strays: u32,
    /// A listing told of it since the last failure for its address.
    relisted: bool,
    /// Its wait may be cut short, because it has waited since it last was.
    may_hurry: bool,
}

/// An order to fetch one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOrder {
    /// The blob.
    pub entry: BlobEntry,
    /// Elements that were delivered by an earlier attempt: skipped if their digest is the same.
    pub part: Option<Part>,
    /// The fingerprint of a doubtful reply: if the blob reads the same again, that is how it is.
    pub confirm: Option<u64>,
    /// The fingerprint of a broken reply whose readable part is delivered and the rest dead-lettered.
    pub accepted: Option<u64>,
    /// How often it was tried before.
    pub attempts: u32,
}

/// Counts for the balance: listed = done + gaps + pending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Distinct blobs seen in listings since the start that were not known before.
    pub listed: u64,
    /// Done since the start.
    pub done: u64,
    /// Gaps of blobs, final and provisional.
    pub gaps: u64,
    /// Known but neither done nor given up.
    pub pending: u64,
}

/// The blobs of one feed.
#[derive(Debug)]
pub struct Blobs {
    all: BTreeMap<BlobKey, Blob>,
    /// Waiting for their turn: what has not failed yet, live first …
    fresh: BTreeSet<(bool, BlobKey)>,
    /// … and what has, by how often.
    failed: BTreeSet<(u32, BlobKey)>,
    delayed: BTreeSet<(Duration, BlobKey)>,
    /// Blobs that keep the floor back: pending, without a gap that stands for them.
    holding: BTreeSet<BlobKey>,
    /// Gaps of an earlier run that this one has not asked for yet, and gaps whose blobs have another address since they were asked
    /// for: it does not end before.
    untried: BTreeSet<BlobKey>,
    /// Parts of blobs that have still to be listed again after a restart.
    parts: BTreeMap<BlobKey, Part>,
    done: DoneSet,
    /// The blob that was asked for last had failed before.
    retried: bool,
    fetching: usize,
    poisoned: usize,
    persistence: Persistence,
    balance: Balance,
}

impl Blobs {
    /// Starts from what the store restored.
    pub fn new(persistence: Persistence, done: DoneSet) -> Self {
        Self {
            all: BTreeMap::new(),
            fresh: BTreeSet::new(),
            failed: BTreeSet::new(),
            delayed: BTreeSet::new(),
            holding: BTreeSet::new(),
            untried: BTreeSet::new(),
            parts: BTreeMap::new(),
            done,
            retried: false,
            fetching: 0,
            poisoned: 0,
            persistence,
            balance: Balance::default(),
        }
    }

    /// Takes up what an earlier run left: parts delivered, gaps that are final, gaps whose blobs are still asked for.
    pub fn restore(&mut self, gaps: Vec<Gap>, parts: Vec<Part>, now: Duration, jitter: &mut Jitter) {
        self.parts = parts.into_iter().map(|p| (p.key, p)).collect();
        for gap in gaps {
            let open = gap.is_open();
            let Some(blob) = gap.blob.filter(|_| open) else { continue };
            let key = blob.entry.key();
            if !gap.provisional || !self.persistence.provisional {
                self.done.insert(key);
                continue;
            }
            if self.done.contains(key) || self.all.contains_key(&key) || self.poisoned >= POISON_MAX {
                continue;
            }
            let at = now + jitter.stretch(self.persistence.backoff.delay(1));
            self.balance.listed += 1;
            self.balance.gaps += 1;
            self.poisoned += 1;
            self.delayed.insert((at, key));
            self.untried.insert(key);
            let fresh = Blob::new(blob.entry, false, self.parts.remove(&key));
            let (attempts, accepted) = (blob.attempts, blob.accepted);
            let denials = if matches!(gap.reason, GapReason::NotFound | GapReason::Expired) { attempts } else { 0 };
            self.all.insert(key, Blob { attempts, denials, accepted, gap: Some(gap.reason), ..fresh });
        }
    }

    /// Takes in a listing's entry. False if there is no room for it: it has to be listed again.
    pub fn add(&mut self, entry: BlobEntry, live: bool) -> bool {
        let key = entry.key();
        if let Some(pending) = self.all.get_mut(&key) {
            // Where it is and until when is the newest listing's word: an earlier one may have been wrong.
            let moved = pending.entry.uri != entry.uri;
            pending.entry = entry;
            pending.relisted = true;
            if moved {
                self.moved(key);
            }
            return true;
        }
        if self.done.contains(key) {
            return true;
        }
        if !self.has_room(live) {
            return false;
        }
        self.balance.listed += 1;
        self.balance.pending += 1;
        self.fresh.insert((!live, key));
        self.holding.insert(key);
        let part = self.parts.remove(&key);
        self.all.insert(key, Blob::new(entry, live, part));
        true
    }

    /// A listing told another address of a blob.
    fn moved(&mut self, key: BlobKey) {
        let Some(blob) = self.all.get_mut(&key) else { return };
        blob.moved = true;
        if blob.gap.is_some() {
            self.untried.insert(key);
        }
        // It need not wait any longer, once: where each listing tells another wrong one, it does.
        if blob.astray
            && blob.may_hurry
            && let Some(at) = blob.due.take()
        {
            blob.may_hurry = false;
            self.delayed.remove(&(at, key));
            self.failed.insert((blob.failures, key));
        }
    }

    /// True if the blob is done, pending or in flight.
    pub fn knows(&self, key: BlobKey) -> bool {
        self.all.contains_key(&key) || self.done.contains(key)
    }

    /// True if a blob of this second has still to be fetched.
    pub fn waits_for(&self, second: Time) -> bool {
        let first = |created| BlobKey { created, print: 0 };
        self.all.range(first(second)..first(second + Duration::from_secs(1))).next().is_some()
    }

    /// True if another blob can be held.
    pub fn has_room(&self, live: bool) -> bool {
        let held = self.all.len() - self.poisoned.min(self.all.len());
        held < if live { PENDING_MAX } else { PENDING_MAX - LIVE_RESERVE }
    }

    /// True if a listing that was broken off for want of room is worth trying again.
    pub fn has_drained(&self) -> bool {
        self.all.len() - self.poisoned.min(self.all.len()) <= PENDING_MAX / 4
    }

    /// The next blob to fetch: live before backlog, and within each the oldest first, because it expires first. What has failed
    /// before has every second turn, what failed least often first: where requests are few, a few blobs that can't be had would
    /// take all of them, and where there is much to fetch, what failed once would wait until it expires.
    pub fn next_fetch(&mut self, now: Duration) -> Option<FetchOrder> {
        self.end_delays(now);
        let failed = self.failed.first().map(|(_, key)| *key);
        let fresh = self.fresh.first().map(|(_, key)| *key);
        let next = if self.retried { fresh.or(failed) } else { failed.or(fresh) }?;
        self.retried = failed == Some(next);
        self.fetch(next, now)
    }

    /// The next blob to fetch while nothing succeeds and few requests are sent: one that has not failed yet, if there is one.
    /// Otherwise a few blobs that can't be had would use up these requests, and the others would never get one.
    pub fn next_probe(&mut self, now: Duration) -> Option<FetchOrder> {
        self.end_delays(now);
        let fresh = self.fresh.first().map(|(_, key)| *key);
        let next = fresh.or_else(|| self.failed.first().map(|(_, key)| *key))?;
        self.fetch(next, now)
    }

    fn end_delays(&mut self, now: Duration) {
        while let Some(&(at, key)) = self.delayed.first() {
            if at > now {
                break;
            }
            self.delayed.remove(&(at, key));
            let Some(blob) = self.all.get_mut(&key) else { continue };
            blob.due = None;
            blob.may_hurry = true;
            if blob.failures == 0 {
                self.fresh.insert((!blob.live, key));
            } else {
                self.failed.insert((blob.failures, key));
            }
        }
    }

    fn fetch(&mut self, key: BlobKey, now: Duration) -> Option<FetchOrder> {
        let blob = self.all.get_mut(&key)?;
        self.fresh.remove(&(!blob.live, key));
        self.failed.remove(&(blob.failures, key));
        blob.sent = Some(now);
        blob.moved = false;
        self.fetching += 1;
        Some(FetchOrder {
            entry: blob.entry.clone(),
            part: blob.part,
            confirm: blob.suspect.filter(|_| blob.suspected >= CONFIRM_AFTER),
            accepted: blob.accepted,
            attempts: blob.attempts,
        })
    }

    /// How many blobs are being fetched.
    pub fn fetching(&self) -> usize {
        self.fetching
    }

    /// About when the newest blob that is done became available.
    pub fn newest_done(&self) -> Option<Time> {
        self.done.newest()
    }

    /// True if some blob waits for its turn now.
    pub fn has_ready(&self) -> bool {
        !self.fresh.is_empty() || !self.failed.is_empty()
    }

    /// True if some blob waits for its turn now that has not failed yet.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// When the fetch of a blob was sent.
    pub fn sent_at(&self, key: BlobKey) -> Option<Duration> {
        self.all.get(&key)?.sent
    }

    fn fetched(&mut self, key: BlobKey) -> Option<&mut Blob> {
        let blob = self.all.get_mut(&key)?;
        if blob.sent.take().is_some() {
            self.fetching -= 1;
        }
        Some(blob)
    }

    /// A further part of a large blob is in the open batch.
    pub fn part(&mut self, part: Part) {
        if let Some(blob) = self.all.get_mut(&part.key) {
            blob.part = Some(part);
        }
    }

    /// The parts delivered earlier do not match what the service gives now: the blob is read from its start.
    pub fn forget_part(&mut self, key: BlobKey) {
        if let Some(blob) = self.all.get_mut(&key) {
            blob.part = None;
        }
    }

    /// The whole blob is in the open batch. Returns its gap, closed, if it had one.
    pub fn finished(&mut self, key: BlobKey, server: Time) -> Option<Gap> {
        self.untried.remove(&key);
        let blob = self.fetched(key)?;
        let closed = blob.gap.take().map(|reason| Gap {
            closed: Some(server),
            ..blob.gap_now(key, reason, false, server, format!("arrived after {} attempts", blob.attempts))
        });
        self.holding.remove(&key);
        if closed.is_some() {
            self.poisoned -= 1;
            self.balance.gaps -= 1;
            self.balance.pending += 1;
        }
        closed
    }

    /// The batch with these blobs is committed: they are done.
    pub fn committed(&mut self, keys: impl IntoIterator<Item = BlobKey>) {
        for key in keys {
            if self.all.remove(&key).is_some() {
                self.balance.pending -= 1;
                self.balance.done += 1;
            }
            self.done.insert(key);
        }
    }

    /// The oldest blob that is pending: the floor stays at or before it.
    pub fn oldest_pending(&self) -> Option<Time> {
        self.holding.first().map(|key| key.created)
    }

    /// The nearest expiry that the service has told for a pending blob.
    pub fn nearest_expiry(&self) -> Option<Time> {
        self.holding.iter().take(16).filter_map(|key| self.all.get(key)?.entry.expires).min()
    }

    /// True if no blob is left to work on, gaps that are still asked for, and were at least once, aside.
    pub fn is_idle(&self) -> bool {
        self.all.len() == self.poisoned && self.untried.is_empty()
    }

    /// When the next delayed blob is due.
    pub fn wake(&self) -> Option<Duration> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// Forgets done blobs that no listing can name any more.
    pub fn forget_before(&mut self, horizon: Time) {
        self.done.forget_before(horizon);
        self.parts = self.parts.split_off(&BlobKey { created: horizon, print: 0 });
    }

    /// The counts so far.
    pub fn balance(&self) -> Balance {
        debug_assert_eq!(self.balance.listed, self.balance.done + self.balance.gaps + self.balance.pending);
        self.balance
    }
}

impl Blob {
    fn new(entry: BlobEntry, live: bool, part: Option<Part>) -> Self {
        Self {
            entry,
            live,
            sent: None,
            attempts: 0,
            failures: 0,
            denials: 0,
            seen: 0,
            part,
            suspect: None,
            suspected: 0,
            confirming: 0,
            accepted: None,
            gap: None,
            due: None,
            moved: false,
            astray: false,
            strays: 0,
            relisted: true,
            may_hurry: true,
        }
    }

    fn gap_now(&self, key: BlobKey, reason: GapReason, provisional: bool, server: Time, detail: String) -> Gap {
        Gap {
            id: GapId::of_blob(key),
            reason,
            from: key.created,
            to: key.created,
            blob: Some(GapBlob { entry: self.entry.clone(), attempts: self.attempts, accepted: self.accepted }),
            provisional,
            closed: None,
            found: server,
            detail,
        }
    }
}
