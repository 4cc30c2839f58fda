//! What a failed attempt at a blob leads to: another attempt, or a gap (law L4).

use std::time::Duration;

use super::{Blob, Blobs, CONFIRM_AFTER, POISON_MAX};
use crate::domain::{BlobKey, Fault, Gap, GapReason, Part, Time};
use crate::feed::backoff::{Backoff, Jitter};
use crate::feed::persistence::Persistence;
use crate::mutant::{self, Mutant};

/// How long the service keeps a blob if it does not say (`activity-api.md` section 8).
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// That a blob has expired is final only so shortly before the listing's `contentExpiration`. Earlier it is probably a host that
/// errs, and the blob is asked for again, with a gap that stands for it meanwhile.
const EXPIRY_MARGIN: Duration = Duration::from_secs(3600);
/// After a doubtful reply it is asked for again this soon, so often: where the service answers in good order, half an hour is
/// enough to find out that a strange blob is how it is …
const CONFIRM_WAIT: Duration = Duration::from_secs(30);
/// … unless so many blobs can't be had that this would use up a good part of the quota.
const CONFIRM_MAX: usize = 256;
/// A reply that exceeds the limits may be a single one that went wrong; each attempt costs up to gigabytes.
const TOO_LARGE_AFTER: u32 = 3;
/// … and after these only so often.
const TOO_LARGE_EVERY: Duration = Duration::from_secs(12 * 3600);

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
    /// Everything that was created before this is claimed to be done or a gap.
    pub floor: Time,
    /// False if the request never left: that says nothing about the blob.
    pub asked: bool,
}

impl Blobs {
    /// An attempt failed. `successes` counts the feed's successful requests: a failure while nothing succeeds says nothing
    /// about the blob. `print` is the fingerprint of a doubtful reply.
    pub fn failed(&mut self, failure: BlobFailure<'_>, now: Duration, server: Time, jitter: &mut Jitter) -> Verdict {
        let persistence = self.persistence;
        let key = failure.key;
        let crowded = self.poisoned >= CONFIRM_MAX;
        let Some(blob) = self.fetched(key) else { return Verdict::Unknown };
        let expires = blob.entry.expires.unwrap_or(blob.entry.created + RETENTION);
        let whole_reply = matches!(failure.fault, Fault::BadReply | Fault::NotFound | Fault::Expired | Fault::TooLarge);
        blob.astray = *failure.fault == Fault::ForeignOrigin;
        let counts = failure.asked && !matches!(failure.fault, Fault::Throttled { .. });
        if counts {
            blob.failures += 1;
            blob.attempts += u32::from(!blob.astray && (whole_reply || failure.successes > blob.seen));
            blob.seen = failure.successes;
            blob.denials += u32::from(matches!(failure.fault, Fault::NotFound | Fault::Expired));
        }
        let last_word = std::mem::take(&mut blob.relisted) || server >= expires;
        blob.strays += u32::from(blob.astray && last_word);
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
        // A blob that is accepted as it is has only to be looked at now and then.
        let quick = failure.print.is_some() && failure.print != blob.accepted && !crowded;
        let gap = blob.gap_after(&failure, persistence, server, expires);
        let told = gap.and_then(|(reason, provisional)| {
            let news = !provisional || blob.gap != Some(reason);
            news.then(|| Box::new(blob.gap_now(key, reason, provisional, server, failure.detail.to_owned())))
        });
        let wait = blob.wait(persistence.backoff, quick);
        // A strange blob is known for what it is only after some replies of one run, even if a part of it is delivered: what broke
        // off before may be whole by now, and strange.
        let undecided = !counts || blob.confirming > 0;
        if blob.moved && (gap.is_some() || blob.gap.is_some()) {
            self.untried.insert(key);
        } else if !undecided {
            self.untried.remove(&key);
        }
        match gap {
            Some((reason, true)) => {
                let wait = if reason == GapReason::TooLarge { wait.max(TOO_LARGE_EVERY) } else { wait };
                self.poison(key, reason, now + jitter.stretch(wait));
            }
            Some((_, false)) => self.bury(key),
            None => {
                let at = now + jitter.stretch(wait);
                self.delay(key, at);
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
        self.untried.remove(&part.key);
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
            self.untried.remove(&key);
        } else {
            self.delay(key, at);
        }
    }

    fn delay(&mut self, key: BlobKey, at: Duration) {
        if let Some(blob) = self.all.get_mut(&key) {
            blob.due = Some(at);
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
        self.untried.remove(&key);
        self.done.insert(key);
    }
}

impl Blob {
    /// What an attempt that failed says of the blob, if it is a gap now, and whether it is still asked for.
    fn gap_after(
        &self,
        failure: &BlobFailure<'_>,
        persistence: Persistence,
        server: Time,
        expires: Time,
    ) -> Option<(GapReason, bool)> {
        let late = persistence.late_is_gap && self.gap.is_none() && self.entry.created < failure.floor;
        // Nobody was asked of one that is astray. What counts is how many listings have told a wrong address, until none can tell
        // another.
        let tries = if self.astray { self.strays } else { self.attempts };
        match failure.fault {
            Fault::Throttled { .. } => None,
            _ if !failure.asked && !late => None,
            Fault::Expired if server + EXPIRY_MARGIN >= expires => Some((GapReason::Expired, false)),
            Fault::Expired if persistence.provisional => Some((GapReason::Expired, true)),
            Fault::TooLarge if self.attempts >= TOO_LARGE_AFTER => Some((GapReason::TooLarge, persistence.provisional)),
            // Until it must have expired, a host that does not know it may be the odd one out.
            Fault::NotFound | Fault::Expired if self.denials >= persistence.not_found_after => {
                let reason = if *failure.fault == Fault::Expired { GapReason::Expired } else { GapReason::NotFound };
                Some((reason, persistence.provisional && server < expires))
            }
            _ if tries >= persistence.unreadable_after => Some((GapReason::Unreadable, persistence.provisional)),
            Fault::NotFound if late => Some((GapReason::NotFound, persistence.provisional)),
            _ if late => Some((GapReason::Unreadable, persistence.provisional)),
            _ => None,
        }
    }

    /// How long until it is asked for again, after a failure that has been counted.
    fn wait(&mut self, backoff: Backoff, quick: bool) -> Duration {
        let usual = backoff.delay(self.failures.max(1));
        if quick && self.confirming < CONFIRM_AFTER {
            self.confirming += 1;
            return usual.min(CONFIRM_WAIT);
        }
        self.confirming = 0;
        usual
    }
}
