//! What a fact changes: replies, failures and pieces of the batch, as the shell reports them.

use std::time::Duration;

use super::blobs::{BlobFailure, Verdict};
use super::health::Setback;
use super::listing::{self, Broken, ListingId};
use super::protocol::{Finish, Notice};
use super::subscription::Standing;
use super::{Feed, LISTING_ATTEMPTS_MAX, Now, STARTS_MAX, UNREADABLE_ENTRIES_MAX};
use crate::domain::{BlobEntry, BlobKey, Counts, Fault, Gap, GapId, GapReason, Part, Refusal, Time, Window};
use crate::mutant::{self, Mutant};

/// Milliseconds of a day.
const DAY: i64 = 24 * 3600 * 1000;
/// Where the clocks differ, the subscriptions are listed again after this, to hear the service's time from others of its hosts.
pub(super) const WITNESS_AFTER: Duration = Duration::from_millis(300);

/// A failed attempt at a blob, as the shell reports it.
pub(super) struct Failed {
    pub(super) key: BlobKey,
    pub(super) fault: Fault,
    pub(super) detail: String,
    pub(super) print: Option<u64>,
    pub(super) date: Option<Time>,
    /// False if the request never left.
    pub(super) asked: bool,
}

impl Feed {
    pub(super) fn subscription_told(&mut self, now: Now, standing: Standing, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let server = self.server(now);
        let person = self.subscription.told(standing, now.mono, server);
        if standing != Standing::Enabled {
            self.open_absence(now, GapReason::SubscriptionOff);
        }
        if self.clock.wants_witnesses(now) || self.is_place_in_doubt(now) {
            self.subscription.check_at(now.mono + WITNESS_AFTER);
            return;
        }
        if standing == Standing::Enabled {
            return;
        }
        self.notice(Notice::SubscriptionOff { standing, starts: !person });
        if !self.settings.plan.is_one_shot() {
            return;
        }
        if person {
            self.give_up(Finish::SubscriptionMissing);
        } else if self.starts >= STARTS_MAX {
            let detail = format!("the subscription is {standing:?} although its start was asked for {} times", self.starts);
            self.give_up(Finish::Unreachable { detail });
        }
    }

    pub(super) fn subscription_started(&mut self, now: Now, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        self.subscription.started(now.mono, self.server(now));
        // The time of the start is kept with the next batch, and that comes soon.
        self.open.grew(0, now.mono);
        self.notice(Notice::SubscriptionStarted);
    }

    /// A one-shot run can't wait for a person: a start that is refused ends it.
    pub(super) fn subscription_failed(&mut self, now: Now, fault: &Fault, detail: &str, date: Option<Time>) {
        self.observe(now, date);
        let starting = self.subscription.is_starting();
        if !matches!(fault, Fault::Throttled { .. } | Fault::Refused(_) | Fault::AuditingOff) {
            self.notice(Notice::Failed { fault: fault.clone(), detail: detail.to_owned() });
        }
        let again = self.setback(now, fault, detail, now.mono);
        self.subscription.failed(now.mono, self.server(now), again);
        if starting {
            self.open.grew(0, now.mono);
        }
        if let (true, true, Some(refusal)) = (starting, self.settings.plan.is_one_shot(), refusal(fault)) {
            self.give_up(Finish::Refused { refusal, detail: detail.to_owned() });
        }
    }

    pub(super) fn stretch_gap(&mut self, now: Now, reason: GapReason, from: Time, to: Time) {
        if from >= to || mutant::on(Mutant::P13) {
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

    pub(super) fn record_gap(&mut self, now: Now, gap: Gap) {
        self.notice(Notice::Gap(Box::new(gap.clone())));
        self.open.gaps.insert(gap.id, gap);
        self.open.grew(0, now.mono);
    }

    pub(super) fn entries(&mut self, now: Now, id: ListingId, entries: Vec<BlobEntry>) {
        let server = self.server(now);
        let Some(lister) = &mut self.lister else { return };
        let Some(purpose) = lister.purpose(id) else { return };
        let young = server - listing::LIVE_SPAN;
        self.newest = entries.iter().map(|entry| entry.created).max().max(self.newest);
        for entry in entries {
            if entry.created < self.begin || entry.created >= self.end {
                continue;
            }
            let live = !self.settings.plan.is_one_shot() && (purpose == listing::Purpose::Live || entry.created >= young);
            let created = entry.created;
            match lister.place(id, created) {
                listing::Place::Within => {}
                // What is known from an entry that leads to all of it stays as it is.
                _ if self.blobs.knows(entry.key()) => continue,
                listing::Place::Start => {
                    lister.look_again(created);
                    continue;
                }
                listing::Place::OnlyStart => {}
            }
            if matches!(purpose, listing::Purpose::Sweep(_)) && !self.blobs.knows(entry.key()) {
                lister.brought(id, created);
            }
            if !self.blobs.add(entry, live) {
                lister.overflowed(id, created, now.mono);
                self.draining = true;
                return;
            }
        }
    }

    /// An entry names a blob that nobody can fetch. The sweeps see it again and again; it is one gap.
    pub(super) fn entry_unreadable(&mut self, now: Now, window: Window, print: u64, detail: String) {
        let id = GapId(print);
        if self.unreadable_entries.contains(&id) {
            return;
        }
        let (reason, found, detail) = (GapReason::Unreadable, self.server(now), Some(detail));
        let gap = |id, from, to, detail: Option<String>| {
            let detail = detail.unwrap_or_else(|| "entries that name no blob, more than are told one by one".to_owned());
            Gap { id, reason, from, to, blob: None, provisional: false, closed: None, found, detail }
        };
        if self.unreadable_entries.len() < UNREADABLE_ENTRIES_MAX {
            self.unreadable_entries.insert(id);
            self.record_gap(now, gap(id, window.from(), window.to(), detail));
            return;
        }
        // Days are the same for every window and process.
        let (first, last) = (window.from().0.div_euclid(DAY), (window.to().0 - 1).div_euclid(DAY));
        for (from, to) in (first..=last).map(|day| (Time(day * DAY), Time((day + 1) * DAY))) {
            let id = GapId::of_stretch(reason, from, to);
            if self.unreadable_entries.insert(id) {
                self.record_gap(now, gap(id, from, to, None));
            }
        }
    }

    pub(super) fn page_end(&mut self, now: Now, id: ListingId, next: Option<String>, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        // A page that comes from the future does not show what will be there.
        let date = date.map(|date| date.min(self.server(now)));
        let Some(lister) = &mut self.lister else { return };
        match (lister.page(id, next.as_deref(), date), next) {
            (Ok(true), Some(url)) => self.pages.push_back((id, url)),
            (Ok(_), _) => {
                lister.complete(id, now.mono, self.pace.per_minute(), &mut self.jitter);
                self.close_absence(now);
            }
            (Err(why), _) => {
                let halved = lister.broken(id, why, now.mono, &mut self.jitter);
                self.notice(Notice::ListingBroken { detail: "the pages go round in a circle or do not end".into(), halved });
            }
        }
    }

    pub(super) fn list_failed(
        &mut self,
        now: Now,
        id: ListingId,
        fault: &Fault,
        detail: String,
        date: Option<Time>,
        sent: Duration,
    ) {
        self.observe(now, date);
        let why = match fault {
            Fault::StalePage => Broken::Pages,
            Fault::WindowRefused => Broken::Window,
            Fault::Throttled { .. } => Broken::Held,
            _ => Broken::Passing,
        };
        let passes = matches!(why, Broken::Held | Broken::Passing);
        let again = self.lister.as_mut().filter(|_| passes).and_then(|l| l.retry_page(id, why));
        let mut halved = None;
        if let Some(url) = again {
            self.pages.push_back((id, url));
        } else {
            halved = self.lister.as_mut().and_then(|l| l.broken(id, why, now.mono, &mut self.jitter));
            self.pages.retain(|(listing, _)| *listing != id);
        }
        match fault {
            Fault::StalePage | Fault::WindowRefused => self.notice(Notice::ListingBroken { detail, halved }),
            // These have words of their own.
            Fault::Throttled { .. } | Fault::Refused(_) | Fault::AuditingOff => {
                self.setback(now, fault, &detail, sent);
                let throttled = matches!(fault, Fault::Throttled { .. });
                let held = self.lister.as_mut().filter(|_| throttled).map_or(Duration::ZERO, |l| l.held(now.mono));
                if self.settings.plan.is_one_shot() && super::health::is_held_for_good(held) {
                    self.give_up(Finish::Unreachable { detail: detail.clone() });
                }
            }
            _ => {
                self.notice(Notice::Failed { fault: fault.clone(), detail: detail.clone() });
                self.setback(now, fault, &detail, sent);
            }
        }
        if self.settings.plan.is_one_shot() && self.lister.as_ref().is_some_and(|l| l.failures() >= LISTING_ATTEMPTS_MAX) {
            self.give_up(Finish::Unreachable { detail: format!("a window could not be listed: {fault}") });
        }
    }

    pub(super) fn blob_done(&mut self, now: Now, key: BlobKey, counts: Counts, bytes: usize, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let full = self.blobs.fetching() >= self.pace.width() && self.blobs.has_ready();
        self.pace.fetched(now.mono, full);
        let server = self.server(now);
        if let Some(closed) = self.blobs.finished(key, server) {
            self.notice(Notice::GapClosed(Box::new(closed.clone())));
            self.open.gaps.insert(closed.id, closed);
        }
        self.open.parts.remove(&key);
        self.open.done.push((key, counts));
        self.open.grew(bytes, now.mono);
    }

    pub(super) fn blob_lost(&mut self, now: Now, part: Part, print: u64, bytes: usize, detail: String, date: Option<Time>) {
        self.observe(now, date);
        self.success(now);
        let server = self.server(now);
        self.open.parts.insert(part.key, part);
        self.open.grew(bytes, now.mono);
        if let Some(gap) = self.blobs.lost(part, print, detail, now.mono, server, &mut self.jitter) {
            self.record_gap(now, gap);
        }
    }

    pub(super) fn blob_failed(&mut self, now: Now, failed: Failed) {
        let Failed { key, ref fault, ref detail, print, date, asked } = failed;
        self.observe(now, date);
        let sent = self.blobs.sent_at(key).unwrap_or(now.mono);
        let server = self.server(now);
        // The service works, even if this reply did not help.
        if matches!(fault, Fault::BadReply | Fault::NotFound | Fault::Expired) {
            self.success(now);
        }
        let successes = self.health.successes();
        let failure = BlobFailure { key, fault, detail, print, successes, floor: self.floor, asked };
        let verdict = self.blobs.failed(failure, now.mono, server, &mut self.jitter);
        match &verdict {
            Verdict::Gap(Some(gap)) if mutant::on(Mutant::P13) && gap.reason == GapReason::Expired => {}
            Verdict::Gap(Some(gap)) => self.record_gap(now, (**gap).clone()),
            Verdict::Gap(None) | Verdict::Unknown => {}
            Verdict::Later(wait) => {
                self.notice(Notice::BlobDelayed { key, fault: fault.clone(), detail: detail.clone(), wait: *wait });
            }
        }
        match fault {
            // The entry is wrong, and asking again by it is useless: another listing may have a better one. Each attempt costs
            // that listing instead of a download. A one-shot run would have no end.
            Fault::ForeignOrigin => {
                let stays =
                    matches!(verdict, Verdict::Unknown) || (verdict == Verdict::Gap(None) && self.settings.plan.is_one_shot());
                if let Some(lister) = self.lister.as_mut().filter(|_| !stays) {
                    lister.look_again(key.created);
                }
            }
            Fault::Throttled { .. } | Fault::Transient { .. } => {
                self.setback(now, fault, detail, sent);
                // With nothing else under way, and nothing left that has not failed, only a look elsewhere tells whether it is
                // the blobs or the service. One that refuses for the rate says by itself that it works, and a look that succeeds would
                // begin the hour anew after which a run ends for it.
                let passes = matches!(fault, Fault::Transient { .. });
                if passes && self.settings.plan.is_one_shot() && self.blobs.fetching() == 0 && !self.blobs.has_fresh() {
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

    /// A request failed for a reason that concerns the whole feed. Returns when to try again.
    pub(super) fn setback(&mut self, now: Now, fault: &Fault, detail: &str, sent: Duration) -> Duration {
        let mono = now.mono;
        match fault {
            Fault::Throttled { retry_after } => {
                let until = self.pace.throttled(mono, sent, *retry_after, &mut self.jitter);
                if self.settings.plan.is_one_shot() && self.health.is_throttled_for_good(mono) {
                    self.give_up(Finish::Unreachable { detail: detail.to_owned() });
                }
                self.notice(Notice::Throttled { pause: until - mono, per_minute: self.pace.per_minute() });
                return until;
            }
            Fault::NoSubscription | Fault::SubscriptionDisabled => {
                // Somebody may have enabled it again by the time of the look.
                self.open_absence(now, GapReason::SubscriptionOff);
                let at = self.health.hold(mono, Duration::from_secs(1), &mut self.jitter);
                self.subscription.check_at(at);
                return at;
            }
            Fault::AuditingOff => self.open_absence(now, GapReason::AuditingOff),
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
                self.give_up(match refusal(fault) {
                    Some(refusal) => Finish::Refused { refusal, detail: detail.to_owned() },
                    None => Finish::Unreachable { detail: detail.to_owned() },
                });
                mono
            }
        }
    }
}

fn refusal(fault: &Fault) -> Option<Refusal> {
    match fault {
        Fault::Refused(refusal) => Some(*refusal),
        Fault::AuditingOff => Some(Refusal::TenantRejected),
        _ => None,
    }
}
