//! What becomes of a listing that is under way: its pages, its end, or what breaks it off.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::{Lister, ListingId, OVERLAP_MAX, OVERLAP_MIN, Purpose, RETRY, SAFE_EDGE, TILE_MAX, TILE_MIN};
use crate::domain::Time;
use crate::feed::backoff::{Backoff, Jitter};
use crate::mutant::{self, Mutant};

/// A live listing of more pages than this narrows its overlap.
const CHEAP_PAGES: u32 = 2;
/// A listing of more pages than this does not end: with the smallest pages seen it would hold a million blobs.
const PAGES_MAX: u32 = 10_000;
/// After so many failures in a row the window is halved …
const STUBBORN: u32 = 3;
/// … down to this: an outage is the likelier cause, and short windows cost requests afterwards.
const STUBBORN_TILE: Duration = Duration::from_secs(10 * 60);
/// A page that fails in passing is asked for again so often before its window is listed anew.
const PAGE_TRIES: u32 = 4;
const PAGES_RETRY: Duration = Duration::from_millis(250);
/// How much later the far edge is taken to lie after each refusal of a window that began there: the service's rules may go
/// by another clock than its `Date` …
const EDGE_STEP: Duration = Duration::from_secs(5 * 60);
/// … but not by one that differs by hours.
const EDGE_MIN: Duration = Duration::from_secs((165 * 60 + 55) * 60);

/// Why a listing could not be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The page key was refused, or the pages went round in a circle, or on without end.
    Pages,
    /// The service refused the window's times.
    Window,
    /// The tenant is throttled: that says nothing about the window.
    Held,
    /// Anything else that passes.
    Passing,
}

fn hash(url: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(url.as_bytes());
    hasher.finish()
}

impl Lister {
    /// A page has arrived whole. Returns true if its next page is to be asked for; the listing is broken off if the pages
    /// go round in a circle or do not end.
    pub fn page(&mut self, id: ListingId, next: Option<&str>, date: Option<Time>) -> Result<bool, Broken> {
        let Some(listing) = self.active.get_mut(&id) else { return Ok(false) };
        self.held_since = None;
        listing.pages += 1;
        if listing.pages == 1 {
            listing.date = date;
        }
        let Some(next) = next else { return Ok(false) };
        if listing.pages >= PAGES_MAX || !listing.seen.insert(hash(next)) {
            return Err(Broken::Pages);
        }
        (listing.current, listing.tries) = (Some(next.to_owned()), 0);
        Ok(true)
    }

    /// A further page could not be had for a reason that passes: its URL, to be asked for again. After some tries it is time to
    /// list the window anew.
    pub fn retry_page(&mut self, id: ListingId, why: Broken) -> Option<String> {
        let listing = self.active.get_mut(&id)?;
        listing.tries += u32::from(why != Broken::Held);
        listing.current.clone().filter(|_| listing.tries <= PAGE_TRIES)
    }

    /// The last page has arrived: the listing's tile is listed, up to the time that the service had when it answered.
    pub fn complete(&mut self, id: ListingId, now: Duration, per_minute: u32, jitter: &mut Jitter) {
        let Some(listing) = self.active.remove(&id) else { return };
        let mut to = listing.date.map_or(listing.to, |date| listing.to.min(date.floor_second()));
        if mutant::on(Mutant::P10) {
            to = to + Duration::from_secs(1);
        }
        self.failures = 0;
        self.stale = 0;
        self.refused = 0;
        self.per_minute = f64::from(per_minute);
        if listing.cut {
            // Only a window of the tile's own length proves that the length is bearable.
            self.tile = (self.tile * 2).min(TILE_MAX);
        }
        self.stubborn[usize::from(listing.purpose == Purpose::Live)] = 0;
        match listing.purpose {
            Purpose::Live => {
                self.unlisted.remove(listing.from, to);
                self.overlap = if listing.pages > CHEAP_PAGES { self.overlap / 2 } else { self.overlap * 2 };
                self.overlap = self.overlap.clamp(OVERLAP_MIN, OVERLAP_MAX);
                if let Some((interval, due)) = &mut self.poll {
                    *due = if listing.cut { now } else { now + jitter.stretch(*interval) };
                }
            }
            Purpose::Backlog => self.unlisted.remove(listing.from, to),
            Purpose::Errand => {
                // What was added before it meanwhile has still to be listed.
                self.errand = self.errand.and_then(|(from, end)| match (from < listing.from, listing.to < end) {
                    (true, true) => Some((from, end)),
                    (true, false) => Some((from, listing.from)),
                    (false, true) => Some((from.max(listing.to), end)),
                    (false, false) => None,
                });
            }
            Purpose::Sweep(level) => {
                if let Some(sweep) = self.sweeps.get_mut(level)
                    && let Some((_, end, spent)) = sweep.run
                {
                    let spent = spent + listing.pages;
                    if listing.to >= end {
                        sweep.finish(now, spent, f64::from(per_minute));
                    } else {
                        sweep.run = Some((listing.to, end, spent));
                    }
                }
            }
        }
    }

    /// The listing came to nothing; it is asked for again later, in a smaller window if its size may be the reason.
    /// Returns the halved tile if it was halved.
    pub fn broken(&mut self, id: ListingId, why: Broken, now: Duration, jitter: &mut Jitter) -> Option<Duration> {
        let listing = self.active.remove(&id)?;
        let mut halve = false;
        match why {
            Broken::Held => {
                // The pause that follows is the pace's affair.
                self.retry_at = now + RETRY.0;
                return None;
            }
            Broken::Pages => {
                self.stale += 1;
                halve = self.stale.is_multiple_of(2);
            }
            Broken::Window if listing.at_edge && self.edge > EDGE_MIN => {
                self.edge = if self.edge > SAFE_EDGE { SAFE_EDGE } else { self.edge - EDGE_STEP };
            }
            Broken::Window => self.refused += 1,
            // A time-out or a page that is too large may come from the window's length.
            Broken::Passing => {
                let stubborn = &mut self.stubborn[usize::from(listing.purpose == Purpose::Live)];
                *stubborn += 1;
                halve = stubborn.is_multiple_of(STUBBORN) && listing.to.since(listing.from) >= STUBBORN_TILE * 2;
            }
        }
        // While halving helps, a broken chain of pages is asked for again soon; otherwise the wait doubles.
        if why == Broken::Pages && self.tile > TILE_MIN {
            self.retry_at = now + (PAGES_RETRY * self.stale.saturating_sub(1)).min(PAGES_RETRY * 8);
        } else {
            self.failures += 1;
            // Where pages came before, the service works: waiting long gains nothing.
            let failures = if listing.pages > 0 { self.failures.min(2) } else { self.failures };
            self.retry_at = now + jitter.stretch(Backoff::new(RETRY.0, RETRY.1).delay(failures));
        }
        if !halve {
            return None;
        }
        let whole = listing.to.since(listing.from).min(self.tile);
        self.tile = Duration::from_secs((whole / 2).as_secs()).max(TILE_MIN);
        Some(self.tile)
    }

    /// A blob created at `created` found no room: the listing is broken off. Blobs come in the order in which they became
    /// available, so a window that ends there holds hardly anything new: it is listed at once, so that what is known counts
    /// as listed. The rest waits until there is room.
    pub fn overflowed(&mut self, id: ListingId, created: Time, now: Duration) {
        let Some(listing) = self.active.remove(&id) else { return };
        let reached = Duration::from_secs(created.floor_second().since(listing.from).as_secs());
        if TILE_MIN <= reached && reached < listing.to.since(listing.from) {
            self.tile = reached;
            self.shortened = listing.purpose == Purpose::Backlog;
        }
        if let (Purpose::Live, Some((_, due))) = (listing.purpose, &mut self.poll) {
            *due = now + RETRY.0;
        }
    }
}
