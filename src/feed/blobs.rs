//! The ledger of blobs: what is pending, what comes next, what is done (laws L1, L4, L6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use crate::domain::{BlobEntry, BlobKey, DoneSet, Fault, Gap, GapBlob, GapId, GapReason, Part, Time};
use crate::mutant::{self, Mutant};

/// Blobs known but not done: at half a kilobyte each two megabytes. What does not fit is listed again later.
pub const PENDING_MAX: usize = 4_096;
/// Of these, room kept for live blobs.
const LIVE_RESERVE: usize = 1_024;
/// Blobs with a provisional gap that are asked for again and again; beyond this the gap stays, and the sweeps find the blob.
const POISON_MAX: usize = 4_096;

/// How long the service keeps a blob if it does not say (`activity-api.md` section 8).
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// That a blob has expired is final only so shortly before the listing's `contentExpiration`. Earlier it is probably a host that
/// errs, and the blob is asked for again, with a gap that stands for it meanwhile.
const EXPIRY_MARGIN: Duration = Duration::from_secs(3600);
/// A doubtful reply is believed only after so many others that were the same, with no different doubtful one between.
const CONFIRM_AFTER: u32 = 3;
/// After a doubtful reply it is asked for again this soon, so often: where the service answers in good order, half an hour is
/// enough to find out that a strange blob is how it is.
const CONFIRM_WAIT: Duration = Duration::from_secs(30);
/// A reply that exceeds the limits may be a single one that went wrong; each attempt costs up to gigabytes.
const TOO_LARGE_AFTER: u32 = 3;
/// … and after these only so often.
const TOO_LARGE_EVERY: Duration = Duration::from_secs(12 * 3600);

/// How persistent to be with a blob that can't be had.
#[derive(Debug, Clone, Copy)]
pub struct Persistence {
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Attempts after which an unreadable blob is a gap.
    pub unreadable_after: u32,
    /// Attempts after which a blob that the service does not know is a gap.
    pub not_found_after: u32,
    /// True if the gap of a blob that can't be had is provisional, and the blob is asked for until the service says that it
    /// has expired: this run goes on long enough, or another one takes it up.
    pub provisional: bool,
}

impl Persistence {
    /// A poller's: a few quick attempts, then at falling frequency down to one in 20 to 25 minutes, so that half an hour in
    /// which the service works holds one. With the most blobs that are asked for so, that is a tenth of the quota.
    pub fn poller() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(20 * 60)),
            unreadable_after: 6,
            not_found_after: 6,
            provisional: true,
        }
    }

    /// `--once`: ten attempts within four minutes, as the command's help states; the next run asks again.
    pub fn once() -> Self {
        Self { provisional: true, ..Self::one_shot() }
    }

    /// One shot: ten attempts within four minutes, as the command's help states.
    pub fn one_shot() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            unreadable_after: 10,
            not_found_after: 5,
            provisional: false,
        }
    }
}

#[derive(Debug)]
struct Blob {
    entry: BlobEntry,
    live: bool,
    /// When the fetch under way was sent.
    sent: Option<Duration>,
    /// Failures that count: those while other requests succeeded.
    attempts: u32,
    failures: u32,
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

/// What a failed attempt led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is tried again after this.
    Later(Duration),
    /// It is, or stays, a gap; a new or changed gap is told.
    Gap(Option<Box<Gap>>),
    /// The blob is not known any more.
    Unknown,
}

/// The blobs of one feed.
#[derive(Debug)]
pub struct Blobs {
    all: BTreeMap<BlobKey, Blob>,
    ready: BTreeSet<(bool, BlobKey)>,
    delayed: BTreeSet<(Duration, BlobKey)>,
    /// Blobs that keep the floor back: pending, without a gap that stands for them.
    holding: BTreeSet<BlobKey>,
    /// Parts of blobs that have still to be listed again after a restart.
    parts: BTreeMap<BlobKey, Part>,
    done: DoneSet,
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
            ready: BTreeSet::new(),
            delayed: BTreeSet::new(),
            holding: BTreeSet::new(),
            parts: BTreeMap::new(),
            done,
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
            let fresh = Blob::new(blob.entry, false, self.parts.remove(&key));
            self.all.insert(key, Blob { attempts: blob.attempts, gap: Some(gap.reason), ..fresh });
        }
    }

    /// Takes in a listing's entry. False if there is no room for it: it has to be listed again.
    pub fn add(&mut self, entry: BlobEntry, live: bool) -> bool {
        let key = entry.key();
        if let Some(pending) = self.all.get_mut(&key) {
            // Where it is and until when is the newest listing's word: an earlier one may have been wrong.
            pending.entry = entry;
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
        self.ready.insert((!live, key));
        self.holding.insert(key);
        let part = self.parts.remove(&key);
        self.all.insert(key, Blob::new(entry, live, part));
        true
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

    /// The next blob to fetch: live before backlog, and within each the oldest first, because it expires first.
    pub fn next_fetch(&mut self, now: Duration) -> Option<FetchOrder> {
        self.end_delays(now);
        let first = *self.ready.first()?;
        self.fetch(first, now)
    }

    /// The next blob to fetch while nothing succeeds and few requests are sent: one that has not failed yet, if there is one.
    /// Otherwise a few blobs that can't be had would use up these requests, and the others would never get one.
    pub fn next_probe(&mut self, now: Duration) -> Option<FetchOrder> {
        self.end_delays(now);
        let fresh = self.ready.iter().find(|(_, key)| self.all.get(key).is_some_and(|blob| blob.failures == 0));
        let next = *fresh.or_else(|| self.ready.first())?;
        self.fetch(next, now)
    }

    fn end_delays(&mut self, now: Duration) {
        while let Some(&(at, key)) = self.delayed.first() {
            if at > now {
                break;
            }
            self.delayed.remove(&(at, key));
            if let Some(blob) = self.all.get(&key) {
                self.ready.insert((!blob.live, key));
            }
        }
    }

    fn fetch(&mut self, (class, key): (bool, BlobKey), now: Duration) -> Option<FetchOrder> {
        self.ready.remove(&(class, key));
        let blob = self.all.get_mut(&key)?;
        blob.sent = Some(now);
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

    /// True if some blob waits for its turn now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
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

    /// An attempt failed. `successes` counts the feed's successful requests: a failure while nothing succeeds says nothing
    /// about the blob. `print` is the fingerprint of a doubtful reply.
    pub fn failed(&mut self, failure: BlobFailure<'_>, now: Duration, server: Time, jitter: &mut Jitter) -> Verdict {
        let persistence = self.persistence;
        let key = failure.key;
        let Some(blob) = self.fetched(key) else { return Verdict::Unknown };
        let expires = blob.entry.expires.unwrap_or(blob.entry.created + RETENTION);
        let whole_reply =
            matches!(failure.fault, Fault::BadReply | Fault::NotFound | Fault::Expired | Fault::ForeignOrigin | Fault::TooLarge);
        if !matches!(failure.fault, Fault::Throttled { .. }) {
            blob.failures += 1;
            blob.attempts += u32::from(whole_reply || failure.successes > blob.seen);
            blob.seen = failure.successes;
        }
        let dropped =
            (mutant::on(Mutant::P8) && blob.failures >= 3) || (mutant::on(Mutant::P14) && *failure.fault == Fault::NotFound);
        if dropped {
            self.bury(key);
            return Verdict::Unknown;
        }
        if failure.print.is_some() {
            blob.suspected = if blob.suspect == failure.print { blob.suspected + 1 } else { 1 };
            blob.suspect = failure.print;
        }
        let gap = match failure.fault {
            Fault::Throttled { .. } => None,
            Fault::Expired if server + EXPIRY_MARGIN >= expires => Some((GapReason::Expired, false)),
            Fault::Expired if persistence.provisional => Some((GapReason::Expired, true)),
            Fault::TooLarge if blob.attempts >= TOO_LARGE_AFTER => Some((GapReason::TooLarge, persistence.provisional)),
            // Until it must have expired, a host that does not know it may be the odd one out.
            Fault::NotFound | Fault::Expired if blob.attempts >= persistence.not_found_after => {
                let reason = if *failure.fault == Fault::Expired { GapReason::Expired } else { GapReason::NotFound };
                Some((reason, persistence.provisional && server < expires))
            }
            _ if blob.attempts >= persistence.unreadable_after => Some((GapReason::Unreadable, persistence.provisional)),
            _ => None,
        };
        let told = gap.and_then(|(reason, provisional)| {
            let news = !provisional || blob.gap != Some(reason);
            news.then(|| Box::new(blob.gap_now(key, reason, provisional, server, failure.detail.to_owned())))
        });
        match gap {
            Some((reason, true)) => {
                let wait = blob.wait(persistence.backoff, failure.print.is_some());
                let wait = if reason == GapReason::TooLarge { wait.max(TOO_LARGE_EVERY) } else { wait };
                self.poison(key, reason, now + jitter.stretch(wait));
            }
            Some((_, false)) => self.bury(key),
            None => {
                let at = now + jitter.stretch(blob.wait(persistence.backoff, failure.print.is_some()));
                self.delayed.insert((at, key));
                return Verdict::Later(at - now);
            }
        }
        Verdict::Gap(told)
    }

    /// A broken blob's readable part is in the open batch and its rest in the dead letter.
    pub fn lost(
        &mut self,
        part: Part,
        print: u64,
        detail: String,
        now: Duration,
        server: Time,
        jitter: &mut Jitter,
    ) -> Option<Gap> {
        let Persistence { provisional, backoff, .. } = self.persistence;
        let blob = self.fetched(part.key)?;
        blob.failures += 1;
        blob.attempts += 1;
        blob.part = Some(part);
        blob.suspected = if blob.suspect == Some(print) { blob.suspected + 1 } else { 1 };
        blob.suspect = Some(print);
        blob.accepted = Some(print);
        let gap = blob.gap_now(part.key, GapReason::Unreadable, provisional, server, detail);
        let wait = blob.wait(backoff, false);
        if provisional {
            self.poison(part.key, GapReason::Unreadable, now + jitter.stretch(wait));
        } else {
            self.bury(part.key);
        }
        Some(gap)
    }

    /// Keeps asking for a blob whose gap is provisional; the floor may pass it, because the gap names it.
    fn poison(&mut self, key: BlobKey, reason: GapReason, at: Duration) {
        let Some(blob) = self.all.get_mut(&key) else { return };
        if blob.gap.replace(reason).is_none() {
            self.poisoned += 1;
            self.balance.pending -= 1;
            self.balance.gaps += 1;
        }
        self.holding.remove(&key);
        if self.poisoned > POISON_MAX {
            self.poisoned -= 1;
            self.all.remove(&key);
        } else {
            self.delayed.insert((at, key));
        }
    }

    /// Gives a blob up for good.
    fn bury(&mut self, key: BlobKey) {
        if let Some(blob) = self.all.remove(&key) {
            if blob.gap.is_some() {
                self.poisoned -= 1;
            } else {
                self.balance.pending -= 1;
                self.balance.gaps += 1;
            }
        }
        self.holding.remove(&key);
        self.done.insert(key);
    }

    /// The oldest blob that is pending: the floor stays at or before it.
    pub fn oldest_pending(&self) -> Option<Time> {
        self.holding.first().map(|key| key.created)
    }

    /// The nearest expiry that the service has told for a pending blob.
    pub fn nearest_expiry(&self) -> Option<Time> {
        self.holding.iter().take(16).filter_map(|key| self.all.get(key)?.entry.expires).min()
    }

    /// True if no blob is left to work on, gaps that are still asked for aside.
    pub fn is_idle(&self) -> bool {
        self.all.len() == self.poisoned
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

/// One failed attempt at a blob.
#[derive(Debug, Clone, Copy)]
pub struct BlobFailure<'a> {
    /// The blob.
    pub key: BlobKey,
    /// What went wrong.
    pub fault: &'a Fault,
    /// The same for a person.
    pub detail: &'a str,
    /// The fingerprint of a doubtful reply.
    pub print: Option<u64>,
    /// How many requests of the feed have succeeded so far.
    pub successes: u64,
}

impl Blob {
    fn new(entry: BlobEntry, live: bool, part: Option<Part>) -> Self {
        Self {
            entry,
            live,
            sent: None,
            attempts: 0,
            failures: 0,
            seen: 0,
            part,
            suspect: None,
            suspected: 0,
            confirming: 0,
            accepted: None,
            gap: None,
        }
    }

    /// How long until it is asked for again, after a failure that has been counted.
    fn wait(&mut self, backoff: Backoff, doubtful: bool) -> Duration {
        let usual = backoff.delay(self.failures.max(1));
        if doubtful && self.confirming < CONFIRM_AFTER {
            self.confirming += 1;
            return usual.min(CONFIRM_WAIT);
        }
        self.confirming = 0;
        usual
    }

    fn gap_now(&self, key: BlobKey, reason: GapReason, provisional: bool, server: Time, detail: String) -> Gap {
        Gap {
            id: GapId::of_blob(key),
            reason,
            from: key.created,
            to: key.created,
            blob: Some(GapBlob { entry: self.entry.clone(), attempts: self.attempts }),
            provisional,
            closed: None,
            found: server,
            detail,
        }
    }
}
