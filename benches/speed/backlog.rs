//! How long a backlog takes against a quota, in simulated time: the core that ships, a service that counts requests by the minute, no
//! bytes and no sockets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use defender_feed::domain::{BlobEntry, ContentId, ContentType, Counts, Fault, FeedId, Time, Window};
use defender_feed::feed::{Action, Feed, FeedSettings, Input, ListingId, Memory, Mode, Now, Plan, Standing};

use crate::effort::Effort;
use crate::report::{Goal, Report};

const BEGIN: Time = Time(1_780_000_000_000);
/// The blobs lie in the days before, each of them still there when the last one is fetched.
const SPAN: Duration = Duration::from_secs(6 * 86_400);
const MINUTE: Duration = Duration::from_secs(60);
/// From a request to its reply.
const REPLY: Duration = Duration::from_millis(150);
/// From a sealed batch to its commit.
const COMMIT: Duration = Duration::from_millis(20);
const PAGE: usize = 200;
/// A drain that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// The backlog of the goal, and the rate at which it is drained.
pub(crate) const BLOBS: usize = 200_000;
pub(crate) const QUOTA: u32 = 2_000;
/// Where the quota has to be found out.
const HIDDEN: u32 = 1_000_000;

/// How a backlog was drained.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    /// Until the last blob was committed.
    pub(crate) minutes: f64,
    requests: u64,
    refused: u64,
    /// How many blobs were committed at the end of each minute.
    pub(crate) committed: Vec<usize>,
}

impl Drain {
    fn refused_percent(&self) -> f64 {
        100.0 * self.refused as f64 / self.requests as f64
    }
}

struct Service {
    blobs: Vec<BlobEntry>,
    quota: u64,
    minute: (u64, u64),
    requests: u64,
    refused: u64,
}

impl Service {
    fn new(count: usize, quota: u64) -> Self {
        let from = BEGIN - SPAN;
        let step = SPAN / u32::try_from(count).unwrap_or(u32::MAX);
        let blob = |n: usize| {
            let created = from + step * u32::try_from(n).unwrap_or(0);
            BlobEntry {
                uri: format!("https://example/{n}"),
                id: ContentId(format!("{n}$audit_general")),
                created,
                expires: Some(created + Duration::from_secs(7 * 86_400)),
            }
        };
        Self { blobs: (0..count).map(blob).collect(), quota, minute: (0, 0), requests: 0, refused: 0 }
    }

    /// Counts a request; false if it is one too many.
    fn admits(&mut self, at: Duration) -> bool {
        let minute = at.as_secs() / 60;
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.requests += 1;
        self.minute.1 += 1;
        let good = self.minute.1 <= self.quota;
        self.refused += u64::from(!good);
        good
    }

    /// A page, and where the next one begins.
    fn page(&self, window: Window, after: usize) -> (Vec<BlobEntry>, Option<usize>) {
        let first = self.blobs.partition_point(|blob| blob.created < window.from()).max(after);
        let end = self.blobs.partition_point(|blob| blob.created < window.to());
        let last = (first + PAGE).min(end);
        (self.blobs[first.min(last)..last].to_vec(), (last < end).then_some(last))
    }

    fn reply(&mut self, action: &Action, at: Duration) -> Vec<Input> {
        let (fault, detail) = (Fault::Throttled { retry_after: None }, String::new());
        let good = self.admits(at);
        let date = Some(BEGIN + at);
        let list = |id: ListingId, window: Window, after: usize| {
            let (entries, next) = self.page(window, after);
            vec![Input::Entries { id, entries }, Input::PageEnd { id, next: next.map(|next| next.to_string()), date }]
        };
        match action {
            Action::List { id, .. } | Action::NextPage { id, .. } if !good => {
                vec![Input::ListFailed { id: *id, fault, detail, date, sent: at }]
            }
            Action::Fetch(order) if !good => {
                vec![Input::BlobFailed { key: order.entry.key(), fault, detail, print: None, date }]
            }
            _ if !good => vec![Input::SubscriptionFailed { fault, detail, date }],
            Action::List { id, window, .. } => list(*id, *window, 0),
            Action::NextPage { id, window, url, .. } => list(*id, *window, url.parse().unwrap_or(0)),
            Action::Fetch(order) => {
                let counts = Counts { read: 100, delivered: 5, filtered: 95, ..Counts::default() };
                vec![Input::BlobDone { key: order.entry.key(), counts, bytes: 15_000, date }]
            }
            _ => vec![Input::Subscription { standing: Standing::Enabled, date }],
        }
    }
}

/// What comes at its time.
struct Coming {
    at: Duration,
    number: u64,
    input: Input,
}

impl PartialEq for Coming {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Coming {}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coming {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The rows: with the rate that is the quota, and with one far above it.
pub(crate) fn run(report: &mut Report, _: Effort) {
    let told = drain(BLOBS, QUOTA, QUOTA);
    report.hold("200,000 blobs at 2,000 requests a minute", told.minutes, "min", Goal::at_most(105.0).aim(102.0));
    report.hold("requests refused meanwhile", told.refused_percent(), "%", Goal::at_most(1.0));
    let hidden = drain(BLOBS, QUOTA, HIDDEN);
    report.hold("the same with a quota that nobody told", hidden.minutes, "min", Goal::at_most(107.0));
    report.hold("requests refused meanwhile, quota not told", hidden.refused_percent(), "%", Goal::at_most(1.0));
    let least = BLOBS as f64 / f64::from(QUOTA);
    report.tell("share of that quota that was used for blobs", 100.0 * least / hidden.minutes, "%");
}

/// A poller's first start at a tenant with this many blobs, until all of them are committed.
///
/// # Panics
/// If that never comes about.
pub(crate) fn drain(blobs: usize, quota: u32, per_minute: u32) -> Drain {
    let settings = FeedSettings {
        feed: FeedId {
            tenant: "11111111-2222-4333-8444-555555555555".parse().expect("a constant GUID is a tenant id"),
            content_type: ContentType::AuditGeneral,
        },
        plan: Plan::Follow { poll_interval: MINUTE, look_back: Duration::from_secs(86_400) },
        filter: "28,41,47,64".to_owned(),
        subscription: Mode::Auto,
        per_minute,
        width: None,
        not_before: None,
        seed: 1,
    };
    let mut service = Service::new(blobs, u64::from(quota));
    let mut now = Duration::from_secs(20);
    let clocks = |mono: Duration| Now { mono, wall: BEGIN + mono };
    let mut feed = Feed::new(settings, Memory::default(), clocks(now));
    let mut coming = BinaryHeap::new();
    let (mut number, mut done, mut committed) = (0, 0, Vec::new());
    let began = now;
    while done < blobs {
        while let Some(action) = feed.act(clocks(now)) {
            let (after, inputs) = match &action {
                Action::Notice(_) => continue,
                Action::Finish(finish) => panic!("a poller does not end: {finish:?}"),
                Action::Seal { id, claim } => {
                    done += claim.done.len();
                    (COMMIT, vec![Input::Committed { id: *id }])
                }
                _ => (REPLY, service.reply(&action, now)),
            };
            for input in inputs {
                number += 1;
                coming.push(Reverse(Coming { at: now + after, number, input }));
            }
        }
        committed.resize((now.saturating_sub(began).as_secs() / 60) as usize, done);
        let next = coming.peek().map_or(Duration::MAX, |Reverse(coming)| coming.at);
        if next > now {
            let wake = feed.wake(clocks(now)).unwrap_or(Duration::MAX);
            now = now.max(wake.min(next));
            assert!(now < PATIENCE, "{done} of {blobs} blobs after {now:?}");
        }
        // One after the other, as the driver has it: what leaves room is followed by what takes it.
        if coming.peek().is_some_and(|Reverse(coming)| coming.at <= now)
            && let Some(Reverse(Coming { input, .. })) = coming.pop()
        {
            feed.handle(clocks(now), input);
        }
    }
    committed.push(done);
    let minutes = (now - began).as_secs_f64() / 60.0;
    Drain { minutes, requests: service.requests, refused: service.refused, committed }
}
