//! Tells the operator what the core noticed: logs with stable event names, and the figures of the minute's summary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::writer::Written;
use crate::domain::{FeedId, GapReason, Refusal, Time};
use crate::feed::{Notice, Now, Standing, Status};
use crate::format::DriftCount;
use crate::telemetry::{RepeatLimit, Summary};

/// A repeated notice of the same kind from the same feed is logged once in this time, with the number held back.
const REPEAT_MS: u64 = 30_000;

/// The figures of all feeds of the process.
#[derive(Debug, Default)]
pub struct Board {
    figures: Mutex<Figures>,
    refusals: Notify,
}

#[derive(Debug, Default)]
struct Figures {
    sums: Summary,
    delivered: u64,
    feeds: BTreeMap<FeedId, FeedNow>,
}

#[derive(Debug, Default, Clone)]
struct FeedNow {
    listed: u64,
    settled: u64,
    pending: u64,
    lag_ms: Option<u64>,
    degraded: bool,
    /// Refused, and nothing has ever worked.
    refused: Option<String>,
}

impl Board {
    fn with<R>(&self, change: impl FnOnce(&mut Figures) -> R) -> R {
        // Plain counters stay usable whatever a panicking thread was doing.
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a feed in, before any of them runs.
    pub fn register(&self, feed: FeedId) {
        self.with(|f| f.feeds.insert(feed, FeedNow::default()));
    }

    /// Waits until every feed is refused without anything ever having worked; tells the first refusal.
    pub async fn refused_everywhere(&self) -> String {
        loop {
            let changed = self.refusals.notified();
            let all = self.with(|f| f.feeds.values().map(|now| now.refused.clone()).collect::<Option<Vec<_>>>());
            if let Some(first) = all.and_then(|refusals| refusals.into_iter().next()) {
                return first;
            }
            changed.await;
        }
    }

    /// Blobs done or given up, blobs listed, and records delivered since the start.
    pub fn progress(&self) -> (u64, u64, u64) {
        self.with(|f| {
            let settled = f.feeds.values().map(|now| now.settled).sum();
            let listed = f.feeds.values().map(|now| now.listed).sum();
            (settled, listed, f.delivered)
        })
    }

    /// The figures since the last call, and where things stand now.
    pub fn take(&self) -> Summary {
        self.with(|figures| {
            let mut summary = figures.sums.take();
            summary.blobs_pending = figures.feeds.values().map(|f| f.pending).sum();
            summary.lag_ms = figures.feeds.values().filter_map(|f| f.lag_ms).max();
            let degraded = figures.feeds.iter().filter(|(_, now)| now.degraded).map(|(feed, _)| &feed.tenant);
            summary.tenants_degraded = degraded.collect::<BTreeSet<_>>().len() as u64;
            summary
        })
    }
}

/// Speaks for one feed.
pub(super) struct Herald {
    feed: FeedId,
    name: String,
    board: Arc<Board>,
    repeats: RepeatLimit<&'static str>,
    listed: u64,
}

impl Herald {
    pub(super) fn new(feed: FeedId, name: String, board: Arc<Board>) -> Self {
        Self { feed, name, board, repeats: RepeatLimit::new(REPEAT_MS), listed: 0 }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Tells where records differ from what is documented; nothing of theirs is lost by it.
    pub(super) fn drift(&self, drift: &[DriftCount]) {
        for DriftCount { record_type, path, kind, records } in drift {
            tracing::info!(
                event = "drift", tenant = self.name, record_type = ?record_type, path = %path, kind = ?kind, records,
                "records differ from the documented schema, and are delivered as they are"
            );
        }
    }

    pub(super) fn request(&self) {
        self.board.with(|f| f.sums.requests += 1);
    }

    pub(super) fn written(&self, written: &Written) {
        self.board.with(|f| {
            f.sums.blobs_done += written.blobs;
            f.sums.records_read += written.counts.read;
            f.sums.records_delivered += written.counts.delivered;
            f.delivered += written.lines;
            f.sums.records_filtered += written.counts.filtered;
            f.sums.records_duplicate += written.counts.duplicate;
            f.sums.records_dead += written.counts.dead_lettered;
        });
        // The core never learns of these: they are found where dead letters are kept.
        for gap in written.gaps.iter().filter(|gap| gap.reason == GapReason::DeadLetterFull && gap.is_open()) {
            self.board.with(|f| f.sums.blobs_gap += 1);
            self.log(Notice::Gap(Box::new(gap.clone())), 0);
        }
    }

    /// Notes where the feed stands.
    pub(super) fn status(&mut self, status: &Status) {
        let listed = status.balance.listed;
        let news = listed.saturating_sub(self.listed);
        self.listed = listed;
        // Before the service told its time there is no floor to lag behind it.
        let settled = Some(status.floor).filter(|floor| *floor > Time::MIN);
        let behind = settled.and_then(|floor| u64::try_from(status.server.0.saturating_sub(floor.0)).ok());
        let lag_ms = behind.filter(|_| status.balance.pending > 0 || status.blocked);
        self.board.with(|f| {
            f.sums.blobs_listed += news;
            if let Some(now) = f.feeds.get_mut(&self.feed) {
                now.listed = listed;
                now.settled = status.balance.done + status.balance.gaps;
                now.pending = status.balance.pending;
                now.lag_ms = lag_ms;
                if status.worked {
                    now.refused = None;
                }
            }
        });
    }

    fn degraded(&self, degraded: bool) {
        self.board.with(|f| {
            if let Some(now) = f.feeds.get_mut(&self.feed) {
                now.degraded = degraded;
            }
        });
    }

    fn refused_at_first(&self, detail: String) {
        self.board.with(|f| {
            if let Some(now) = f.feeds.get_mut(&self.feed) {
                now.refused = Some(detail);
            }
        });
        self.board.refusals.notify_waiters();
    }

    pub(super) fn tell(&mut self, notice: Notice, now: Now) {
        match &notice {
            Notice::Refused { refusal, detail, first_contact: true } => {
                self.refused_at_first(format!("{}: {}. {}", self.name, sentence(detail), refusal.advice()));
            }
            Notice::AuditingOff { detail, first_contact: true } => {
                self.refused_at_first(format!(
                    "{}: audit logging is off, or was turned on less than an hour ago: turn it on in the Microsoft Purview portal (Audit > Start recording). The service said: {}",
                    self.name,
                    sentence(detail)
                ));
            }
            _ => {}
        }
        match &notice {
            Notice::Throttled { .. } => self.board.with(|f| f.sums.throttled += 1),
            Notice::Failed { .. } | Notice::BlobDelayed { .. } | Notice::ListingBroken { .. } => {
                self.board.with(|f| f.sums.failed += 1)
            }
            Notice::Gap(_) => self.board.with(|f| f.sums.blobs_gap += 1),
            Notice::Refused { .. } | Notice::AuditingOff { .. } => self.degraded(true),
            Notice::SubscriptionOff { starts: false, .. } => self.degraded(true),
            Notice::Recovered | Notice::SubscriptionStarted => self.degraded(false),
            _ => {}
        }
        let ms = u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX);
        // Each final gap is news of its own and is in the store as well: none is held back.
        let held_back = match &notice {
            Notice::Gap(gap) if !gap.provisional => Some(0),
            _ => self.repeats.admit(kind(&notice), ms),
        };
        if let Some(held_back) = held_back {
            self.log(notice, held_back);
        }
    }

    fn log(&self, notice: Notice, held_back: u64) {
        let (tenant, content_type) = (self.name.as_str(), self.feed.content_type.as_str());
        macro_rules! say {
            ($level:ident, $event:literal, $($text:tt)*) => {
                tracing::$level!(event = $event, tenant, content_type, held_back, $($text)*)
            };
        }
        match notice {
            Notice::FirstStart { begin } => say!(
                warn,
                "first_start",
                "no stored state: collection of {tenant} begins at {begin}, the start of what the service keeps. If this is not the first start, your state directory is not persistent"
            ),
            Notice::Listing { floor, end } => {
                say!(info, "listing", "collecting what became available from {floor} on; the service's time is {end}")
            }
            Notice::FilterChanged { before, since } => say!(
                warn,
                "filter_changed",
                "the wanted record types changed (they were {before}): blobs before {since} were read with the old ones: run `defender-feed backfill` for records of the new types in them. What came after that is read anew, and some of it comes again"
            ),
            Notice::PlaceAhead { floor, server } => say!(
                error,
                "place_ahead",
                "the place of an earlier run ({floor}) lies in the future of the service, where it is {server}: a wrong clock set it. All that the service still keeps is listed, and what was not delivered is; check with `defender-feed state gaps`, and with the SIEM for what is older than seven days"
            ),
            Notice::ClockSkew { ms } => say!(
                warn,
                "clock_skew",
                "the local clock differs from the service's by {} s: set it right (NTP). Collection goes on by the service's clock",
                ms / 1000
            ),
            Notice::ClockDisagrees { ms: Some(ms), from, to } => say!(
                error,
                "clock_disagrees",
                "{from} to {to} seems to lie before what the service keeps, but the clocks differ by {} s: nothing is given up until they agree; set the local clock",
                ms / 1000
            ),
            Notice::ClockDisagrees { ms: None, from, to } => say!(
                error,
                "clock_disagrees",
                "{from} to {to} seems to lie before what the service keeps, but only the local clock says so: the service's replies carry no Date header, maybe a proxy takes it away. Nothing is given up until they do"
            ),
            Notice::SubscriptionOff { standing, starts: true } => {
                say!(
                    warn,
                    "subscription_off",
                    "the subscription is {}: starting it; first content can take 12 hours",
                    word(standing)
                )
            }
            Notice::SubscriptionOff { standing, starts: false } => say!(
                error,
                "subscription_off",
                "the subscription is {} and --subscription require forbids to start it: content that becomes available meanwhile is lost; run `defender-feed subscriptions start`",
                word(standing)
            ),
            Notice::SubscriptionStarted => say!(info, "subscription_started", "the subscription is started"),
            Notice::Gap(gap) if gap.provisional => say!(
                warn, "gap_provisional", id = %gap.id, reason = %gap.reason,
                "blob {} of {} can't be had yet ({}): it is asked for again until the service says that it is gone", blob_name(&gap), gap.from, gap.detail
            ),
            Notice::Gap(gap) => say!(
                error, "gap", id = %gap.id, reason = %gap.reason,
                "missing for good ({}): {} from {} to {}{}; see `defender-feed state gaps`", gap.reason, blob_name(&gap), gap.from, gap.to,
                if gap.detail.is_empty() { String::new() } else { format!(": {}", gap.detail) }
            ),
            Notice::GapClosed(gap) => {
                say!(info, "gap_closed", id = %gap.id, "the blob of {} arrived after all: its gap is closed", gap.from)
            }
            Notice::ListingBroken { detail, halved } => say!(
                warn,
                "listing_broken",
                "a listing came to nothing and is repeated{}: {detail}",
                halved.map(|d| format!(" with windows of {} s", d.as_secs())).unwrap_or_default()
            ),
            Notice::Failed { fault, detail } => {
                say!(warn, "request_failed", fault = %fault, "a request failed and is repeated: {detail}")
            }
            Notice::BlobDelayed { key, fault, detail, wait } => say!(
                warn, "blob_delayed", fault = %fault, "the blob of {} could not be had and is asked for again in {} ms: {detail}", key.created, wait.as_millis()
            ),
            Notice::Throttled { pause, per_minute } => say!(
                warn,
                "throttled",
                "the service throttles this tenant: all its calls pause for {} ms, then {per_minute} requests a minute",
                pause.as_millis()
            ),
            Notice::Refused { refusal: Refusal::SecretUnavailable, detail, .. } => {
                say!(error, "refused", "{tenant} can't sign in: {}. {}", sentence(&detail), Refusal::SecretUnavailable.advice())
            }
            Notice::Refused { refusal, detail, .. } => {
                say!(error, "refused", "Microsoft refuses {tenant}: {}. {}", sentence(&detail), refusal.advice())
            }
            Notice::AuditingOff { detail, .. } => say!(
                error,
                "auditing_off",
                "audit logging seems to be off for {tenant}, or was turned on less than an hour ago: turn it on in the Microsoft Purview portal (Audit > Start recording). The service said: {detail}"
            ),
            Notice::Recovered => say!(info, "recovered", "requests of {tenant} succeed again"),
            Notice::Pass { number } => {
                say!(info, "pass", "listing the range again, pass {number}, for blobs that were listed late")
            }
        }
    }
}

fn blob_name(gap: &crate::domain::Gap) -> &str {
    gap.blob.as_ref().map_or("a stretch of time", |b| b.entry.id.0.as_str())
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Enabled => "enabled",
        Standing::Missing => "missing",
        Standing::Disabled => "disabled",
    }
}

/// Without its full stop, to go on from.
fn sentence(text: &str) -> &str {
    text.trim_end_matches(['.', ' '])
}

/// What counts as the same notice.
fn kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::FirstStart { .. } => "first_start",
        Notice::Listing { .. } => "listing",
        Notice::PlaceAhead { .. } => "place_ahead",
        Notice::FilterChanged { .. } => "filter_changed",
        Notice::ClockSkew { .. } => "clock_skew",
        Notice::ClockDisagrees { .. } => "clock_disagrees",
        Notice::SubscriptionOff { .. } => "subscription_off",
        Notice::SubscriptionStarted => "subscription_started",
        Notice::Gap(gap) if gap.provisional => "gap_provisional",
        Notice::Gap(_) => "gap",
        Notice::GapClosed(_) => "gap_closed",
        Notice::ListingBroken { .. } => "listing_broken",
        Notice::Failed { .. } => "request_failed",
        Notice::BlobDelayed { .. } => "blob_delayed",
        Notice::Throttled { .. } => "throttled",
        Notice::Refused { .. } => "refused",
        Notice::AuditingOff { .. } => "auditing_off",
        Notice::Recovered => "recovered",
        Notice::Pass { .. } => "pass",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::ContentType;
    use crate::feed::{Feed, FeedSettings, Memory, Mode, Plan};

    /// While the service could not be reached, the summary told a lag of 73 million years.
    #[test]
    fn a_feed_that_has_no_floor_yet_lags_behind_nothing() {
        let tenant = "11111111-0000-4000-8000-000000000001".parse().unwrap();
        let feed = FeedId { tenant, content_type: ContentType::AuditGeneral };
        let settings = FeedSettings {
            feed: feed.clone(),
            plan: Plan::Once,
            filter: "28".into(),
            subscription: Mode::Auto,
            per_minute: 60,
            width: None,
            not_before: None,
            seed: 1,
        };
        let now = Now { mono: Duration::ZERO, wall: Time(1_780_000_000_000) };
        let core = Feed::new(settings, Memory::default(), now);
        let board = Arc::new(Board::default());
        board.register(feed.clone());
        let mut herald = Herald::new(feed, "a".into(), board.clone());
        let waits = Status { blocked: true, ..core.status(now) };
        herald.status(&waits);
        assert_eq!(board.take().lag_ms, None);
        herald.status(&Status { floor: waits.server - Duration::from_secs(5), ..waits });
        assert_eq!(board.take().lag_ms, Some(5_000));
    }
}
