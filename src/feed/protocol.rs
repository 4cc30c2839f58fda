//! What the core is told and what it answers.

use std::time::Duration;

use super::batch::BatchId;
use super::blobs::{Balance, FetchOrder};
use super::listing::ListingId;
use super::subscription::{Mode, Standing};
use crate::domain::{BlobEntry, BlobKey, Claim, Counts, DoneSet, Fault, FeedId, Gap, Part, Refusal, Time, Window};

/// What a feed is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Follow the feed without end.
    Follow {
        /// How often the newest stretch is listed.
        poll_interval: Duration,
        /// The span of the sweep that comes at least hourly.
        look_back: Duration,
    },
    /// Go on from the floor up to the service's now, sweep all of retention once, and end.
    Once,
    /// Work through a range of availability and end.
    Range {
        /// Its beginning. A run that goes on keeps the beginning that it had.
        from: Moment,
        /// Its end, exclusive; never after the service's now.
        to: Moment,
    },
}

/// A bound of a range. What is relative is resolved by the service's clock at first contact, not by the local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A point in time.
    At(Time),
    /// So long before the service's now.
    Ago(Duration),
    /// The oldest that the service keeps.
    Retention,
}

impl Plan {
    /// True if it comes to an end by itself.
    pub fn is_one_shot(&self) -> bool {
        !matches!(self, Plan::Follow { .. })
    }
}

/// What a feed is told once.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// The feed.
    pub feed: FeedId,
    /// What to do.
    pub plan: Plan,
    /// The wanted record types, printed.
    pub filter: String,
    /// What may be done about a missing subscription.
    pub subscription: Mode,
    /// Requests a minute: start and ceiling.
    pub per_minute: u32,
    /// Blobs fetched at once, if that is fixed.
    pub width: Option<usize>,
    /// Where a first start begins, if later than the start of retention.
    pub not_before: Option<Time>,
    /// For jitter.
    pub seed: u64,
}

/// What the store remembers of a feed.
#[derive(Debug, Default)]
pub struct Memory {
    /// The committed floor; `None` at a first start.
    pub floor: Option<Time>,
    /// Where the feed began.
    pub begin: Option<Time>,
    /// The filter in force at the last commit.
    pub filter: Option<String>,
    /// Done blobs that can still be listed.
    pub done: DoneSet,
    /// Parts of blobs.
    pub parts: Vec<Part>,
    /// Gaps, open and closed.
    pub gaps: Vec<Gap>,
    /// When a start of the subscription was last asked for.
    pub subscription_start: Option<Time>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The subscriptions were listed.
    Subscription {
        /// How this feed's stands.
        standing: Standing,
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// The start was accepted.
    Started {
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// A call about the subscription failed.
    SubscriptionFailed {
        /// Why.
        fault: Fault,
        /// The same for a person.
        detail: String,
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// Entries of a page; they count even if the page breaks off afterwards.
    Entries {
        /// The listing.
        id: ListingId,
        /// Some of its entries.
        entries: Vec<BlobEntry>,
    },
    /// An entry of a listing can't be read, again and again: whatever it names is not fetched.
    EntryUnreadable {
        /// What was listed.
        window: Window,
        /// The fingerprint of the entry, by which it is recognised in other listings.
        print: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// A page has arrived whole.
    PageEnd {
        /// The listing.
        id: ListingId,
        /// The next page's URL.
        next: Option<String>,
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// A page could not be had.
    ListFailed {
        /// The listing.
        id: ListingId,
        /// Why.
        fault: Fault,
        /// The same for a person.
        detail: String,
        /// The reply's `Date`.
        date: Option<Time>,
        /// When the request was sent, on the monotonic clock.
        sent: Duration,
    },
    /// Elements of a large blob are in the open batch.
    BlobPart {
        /// The part, from the first element.
        part: Part,
        /// What it added to the batch.
        bytes: usize,
    },
    /// The delivered part does not match the blob any more; the failure of the attempt follows.
    BlobPartRefused {
        /// The blob.
        key: BlobKey,
    },
    /// All that is wanted of a blob is in the open batch.
    BlobDone {
        /// The blob.
        key: BlobKey,
        /// What became of its records.
        counts: Counts,
        /// What it added to the batch.
        bytes: usize,
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// The readable part of a broken blob is in the open batch, the rest in its dead letters.
    BlobLost {
        /// The part that was readable.
        part: Part,
        /// The fingerprint of the broken reply.
        print: u64,
        /// What it added to the batch.
        bytes: usize,
        /// What is wrong with it.
        detail: String,
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// An attempt at a blob failed; nothing of it went into the batch beyond the parts told.
    BlobFailed {
        /// The blob.
        key: BlobKey,
        /// Why.
        fault: Fault,
        /// The same for a person.
        detail: String,
        /// The fingerprint of a doubtful reply.
        print: Option<u64>,
        /// The reply's `Date`.
        date: Option<Time>,
    },
    /// A blob was to be asked for, and the request never left: there was no token for it.
    BlobUnasked {
        /// The blob.
        key: BlobKey,
        /// Why.
        fault: Fault,
        /// The same for a person.
        detail: String,
    },
    /// A sealed batch was written, delivered and committed.
    Committed {
        /// The batch.
        id: BatchId,
    },
    /// Another feed of the same tenant was throttled: all calls of the tenant pause.
    Paused {
        /// Until then, on the monotonic clock.
        until: Duration,
    },
    /// Start nothing more; commit what is in hand; end.
    Stop,
    /// Do not wait for fetches any longer.
    Abandon,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// List the subscriptions.
    CheckSubscription,
    /// Start the subscription.
    StartSubscription,
    /// List a window.
    List {
        /// Names the listing.
        id: ListingId,
        /// What to ask for.
        window: Window,
        /// Takes the place of a `contentCreated` that can't be read.
        stand_in: Time,
    },
    /// Fetch a further page.
    NextPage {
        /// The listing.
        id: ListingId,
        /// The page's URL as the service gave it.
        url: String,
        /// What the listing asked for.
        window: Window,
        /// Takes the place of a `contentCreated` that can't be read.
        stand_in: Time,
    },
    /// Fetch a blob.
    Fetch(FetchOrder),
    /// Send the open batch to the writer with this claim, and open a new one.
    Seal {
        /// Names the batch.
        id: BatchId,
        /// What is true once it is delivered.
        claim: Box<Claim>,
    },
    /// Tell the operator.
    Notice(Notice),
    /// The feed's work is over.
    Finish(Finish),
}

/// How a feed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// Everything asked for is done or in a gap.
    Complete,
    /// It was told to stop.
    Stopped,
    /// Microsoft refuses.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The same for a person.
        detail: String,
    },
    /// The service can't be reached.
    Unreachable {
        /// What happened last.
        detail: String,
    },
    /// There is no subscription and none may be started.
    SubscriptionMissing,
}

/// Something an operator should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Nothing was stored: the feed begins here.
    FirstStart {
        /// Its beginning.
        begin: Time,
    },
    /// Listing begins.
    Listing {
        /// Everything before is done.
        floor: Time,
        /// A one-shot run's end.
        end: Time,
    },
    /// The place of an earlier run lies in the service's future: it is given up, and all that the service keeps is listed.
    PlaceAhead {
        /// The floor.
        floor: Time,
        /// The service's time.
        server: Time,
    },
    /// The wanted record types changed: blobs before this were read with the old ones.
    FilterChanged {
        /// The old ones.
        before: String,
        /// The floor.
        since: Time,
    },
    /// The clocks differ.
    ClockSkew {
        /// Positive if the local clock is behind.
        ms: i64,
    },
    /// The clocks differ, so a stretch past retention is not called lost.
    ClockDisagrees {
        /// Positive if the local clock is behind; `None` if the service does not tell its time.
        ms: Option<i64>,
        /// The stretch.
        from: Time,
        /// Its end.
        to: Time,
    },
    /// There is no enabled subscription.
    SubscriptionOff {
        /// How it stands.
        standing: Standing,
        /// True if it will be started.
        starts: bool,
    },
    /// The subscription was started.
    SubscriptionStarted,
    /// A gap was found.
    Gap(Box<Gap>),
    /// A provisional gap closed: the blob arrived.
    GapClosed(Box<Gap>),
    /// A listing came to nothing and is repeated.
    ListingBroken {
        /// Why.
        detail: String,
        /// The window's new length, if it was halved.
        halved: Option<Duration>,
    },
    /// A listing failed and is repeated.
    Failed {
        /// Why.
        fault: Fault,
        /// The same for a person.
        detail: String,
    },
    /// A blob could not be had yet.
    BlobDelayed {
        /// The blob.
        key: BlobKey,
        /// Why.
        fault: Fault,
        /// The same for a person.
        detail: String,
        /// When it is tried again.
        wait: Duration,
    },
    /// All calls of the tenant pause.
    Throttled {
        /// For so long.
        pause: Duration,
        /// Requests a minute afterwards.
        per_minute: u32,
    },
    /// A person has to act.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The same for a person.
        detail: String,
        /// True if nothing has worked yet.
        first_contact: bool,
    },
    /// Audit logging is off.
    AuditingOff {
        /// The service's words.
        detail: String,
        /// True if nothing has worked yet.
        first_contact: bool,
    },
    /// It works again.
    Recovered,
    /// A one-shot run lists its range again.
    Pass {
        /// The number of the pass, from one.
        number: u32,
    },
}

/// Where a feed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The service's time.
    pub server: Time,
    /// Nothing before this is asked for.
    pub begin: Time,
    /// Everything listed before is done or in a gap.
    pub floor: Time,
    /// The first moment not yet listed.
    pub frontier: Option<Time>,
    /// The first moment not yet covered by live listing.
    pub live_from: Option<Time>,
    /// A one-shot run's end.
    pub end: Time,
    /// Blobs.
    pub balance: Balance,
    /// Fetches under way.
    pub fetching: usize,
    /// Fetches allowed at once.
    pub width: usize,
    /// Requests a minute at present.
    pub per_minute: u32,
    /// The nearest expiry of a pending blob.
    pub nearest_expiry: Option<Time>,
    /// True once a request has succeeded.
    pub worked: bool,
    /// True while the feed waits after failures.
    pub blocked: bool,
}
