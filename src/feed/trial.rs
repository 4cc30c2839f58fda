//! The core against a small model of the service, in simulated time: faults, crashes, late listing. No bytes, no sockets.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use super::*;
use crate::domain::{BlobEntry, Claim, ContentId, ContentType, Counts, DoneSet, Fault, FeedId, Gap, GapId, Window};

const BASE: Time = Time(1_780_000_000_000);

#[derive(Clone)]
struct ServedBlob {
    entry: BlobEntry,
    listed_at: Time,
    poison: bool,
}

struct Trial {
    blobs: Vec<ServedBlob>,
    fault_share: f64,
    rng: u64,
    now: Duration,
    queue: BinaryHeap<std::cmp::Reverse<(Duration, u64)>>,
    inputs: BTreeMap<u64, Input>,
    serial: u64,
    /// What was committed.
    floor: Option<Time>,
    begin: Option<Time>,
    done: DoneSet,
    gaps: BTreeMap<GapId, Gap>,
    start: Option<Time>,
    /// What was written.
    written: BTreeMap<BlobKey, u32>,
    lost_batches: u32,
    open: Vec<BlobKey>,
    sealed: Option<Claim>,
    requests: u32,
    commits: u32,
    page: usize,
}

impl Trial {
    fn new(seed: u64, blobs: Vec<ServedBlob>, fault_share: f64) -> Self {
        Self {
            blobs,
            fault_share,
            rng: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            inputs: BTreeMap::new(),
            serial: 0,
            floor: None,
            begin: None,
            done: DoneSet::default(),
            gaps: BTreeMap::new(),
            start: None,
            written: BTreeMap::new(),
            lost_batches: 0,
            open: Vec::new(),
            sealed: None,
            requests: 0,
            commits: 0,
            page: 7,
        }
    }

    fn draw(&mut self) -> f64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) as f64 / (1u64 << 53) as f64
    }

    fn server(&self) -> Time {
        BASE + self.now
    }

    fn clocks(&self) -> Now {
        Now { mono: self.now, wall: self.server() }
    }

    fn later(&mut self, after: Duration, input: Input) {
        self.serial += 1;
        self.queue.push(std::cmp::Reverse((self.now + after, self.serial)));
        self.inputs.insert(self.serial, input);
    }

    fn memory(&self) -> Memory {
        Memory {
            floor: self.floor,
            begin: self.begin,
            filter: None,
            done: self.done.clone(),
            parts: Vec::new(),
            gaps: self.gaps.values().cloned().collect(),
            subscription_start: self.start,
        }
    }

    fn feed(&self, plan: Plan) -> Feed {
        let feed =
            FeedId { tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(), content_type: ContentType::AuditGeneral };
        let settings = FeedSettings {
            feed,
            plan,
            filter: "28".into(),
            subscription: Mode::Auto,
            per_minute: 2000,
            width: None,
            not_before: None,
            seed: 1,
        };
        Feed::new(settings, self.memory(), self.clocks())
    }

    fn page(&self, window: Window, offset: usize) -> (Vec<BlobEntry>, Option<usize>) {
        let server = self.server();
        let mut listed: Vec<_> = self
            .blobs
            .iter()
            .filter(|b| b.listed_at <= server && window.from() <= b.entry.created && b.entry.created < window.to())
            .map(|b| b.entry.clone())
            .collect();
        listed.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        let next = (offset + self.page < listed.len()).then_some(offset + self.page);
        (listed.into_iter().skip(offset).take(self.page).collect(), next)
    }

    fn reply_page(&mut self, id: ListingId, window: Window, offset: usize) {
        let wait = Duration::from_millis(20 + (self.draw() * 200.0) as u64);
        let date = Some(self.server().floor_second());
        if self.draw() < self.fault_share {
            let fault = match (self.draw() * 4.0) as u32 {
                0 => Fault::Transient { retry_after: None },
                1 => Fault::Throttled { retry_after: Some(Duration::from_secs(30)) },
                2 if offset > 0 => Fault::StalePage,
                _ => Fault::BadReply,
            };
            return self.later(wait, Input::ListFailed { id, fault, detail: "made up".into(), date, sent: self.now });
        }
        let (entries, next) = self.page(window, offset);
        self.later(wait, Input::Entries { id, entries });
        let next = next.map(|n| format!("{}/{}/{n}", window.from().0, window.to().0));
        self.later(wait, Input::PageEnd { id, next, date });
    }

    fn reply_blob(&mut self, order: FetchOrder) {
        let key = order.entry.key();
        let wait = Duration::from_millis(10 + (self.draw() * 500.0) as u64);
        let date = Some(self.server().floor_second());
        let poison = self.blobs.iter().any(|b| b.entry.key() == key && b.poison);
        let expired = order.entry.expires.is_some_and(|at| at <= self.server());
        let input = if expired {
            Input::BlobFailed { key, fault: Fault::Expired, detail: String::new(), print: None, date }
        } else if poison || self.draw() < self.fault_share {
            let fault = if poison { Fault::BadReply } else { Fault::Transient { retry_after: None } };
            Input::BlobFailed { key, fault, detail: String::new(), print: None, date }
        } else {
            Input::BlobDone { key, counts: Counts { read: 3, delivered: 1, filtered: 2, ..Counts::default() }, bytes: 100, date }
        };
        self.later(wait, input);
    }

    fn perform(&mut self, action: Action) -> Option<Finish> {
        let date = Some(self.server().floor_second());
        match action {
            Action::CheckSubscription => {
                self.requests += 1;
                self.later(Duration::from_millis(30), Input::Subscription { standing: Standing::Enabled, date });
            }
            Action::StartSubscription => self.later(Duration::from_millis(30), Input::Started { date }),
            Action::List { id, window, .. } => {
                self.requests += 1;
                self.reply_page(id, window, 0);
            }
            Action::NextPage { id, url, .. } => {
                self.requests += 1;
                let mut parts = url.split('/').map(|n| n.parse::<i64>().unwrap());
                let mut time = || Time(parts.next().unwrap());
                let window = Window::new(time(), time()).unwrap();
                self.reply_page(id, window, parts.next().unwrap() as usize);
            }
            Action::Fetch(order) => {
                self.requests += 1;
                self.reply_blob(order);
            }
            Action::Seal { id, claim } => {
                for key in std::mem::take(&mut self.open) {
                    *self.written.entry(key).or_default() += 1;
                }
                self.sealed = Some(*claim);
                let wait = Duration::from_millis(5 + (self.draw() * 50.0) as u64);
                self.later(wait, Input::Committed { id });
            }
            Action::Notice(_) => {}
            Action::Finish(finish) => return Some(finish),
        }
        None
    }

    fn commit(&mut self) {
        let Some(claim) = self.sealed.take() else { return };
        self.commits += 1;
        assert!(self.floor.is_none_or(|f| f <= claim.floor), "the floor moved back");
        for blob in &self.blobs {
            let key = blob.entry.key();
            let first = blob.listed_at <= blob.entry.created;
            let known = self.done.contains(key) || claim.done.iter().any(|(k, _)| *k == key);
            let gapped = self.gaps.contains_key(&GapId::of_blob(key)) || claim.gaps.iter().any(|g| g.id == GapId::of_blob(key));
            let behind = key.created < claim.floor
                && key.created >= claim.begin.max(claim.forget_before + Duration::from_secs(600))
                && first;
            assert!(!behind || known || gapped, "the floor {} passed {} undone", claim.floor, key.created);
        }
        self.floor = Some(claim.floor);
        self.begin = Some(claim.begin);
        self.start = claim.subscription_start.or(self.start);
        for (key, counts) in claim.done {
            assert!(counts.balances());
            self.done.insert(key);
        }
        self.done.forget_before(claim.forget_before);
        self.gaps.extend(claim.gaps.into_iter().map(|g| (g.id, g)));
    }

    /// Runs until `until`, or to the feed's end; crashes with the given chance at each step.
    fn run(&mut self, plan: Plan, until: Duration, crash_share: f64) -> Option<Finish> {
        let mut feed = self.feed(plan);
        let mut idle = 0;
        while self.now < until {
            while let Some(action) = feed.act(self.clocks()) {
                idle = 0;
                if let Some(finish) = self.perform(action) {
                    return Some(finish);
                }
            }
            idle += 1;
            assert!(idle < 10_000, "spinning at {:?}", self.now);
            if self.draw() < crash_share {
                self.lost_batches += u32::from(self.sealed.take().is_some());
                self.queue.clear();
                self.inputs.clear();
                self.open.clear();
                self.now += Duration::from_secs(1);
                feed = self.feed(plan);
                continue;
            }
            let wake = feed.wake(self.clocks()).unwrap();
            assert!(wake > self.now);
            match self.queue.peek() {
                Some(std::cmp::Reverse((at, _))) if *at <= wake => {
                    let std::cmp::Reverse((at, serial)) = self.queue.pop().unwrap();
                    self.now = self.now.max(at);
                    let input = self.inputs.remove(&serial).unwrap();
                    if let Input::BlobDone { key, bytes, .. } = &input {
                        if !feed.fits(*bytes) {
                            self.later(Duration::from_millis(10), input);
                            continue;
                        }
                        self.open.push(*key);
                    }
                    if let Input::Committed { .. } = &input {
                        self.commit();
                    }
                    feed.handle(self.clocks(), input);
                    idle = 0;
                }
                _ => self.now = wake,
            }
        }
        None
    }
}

fn blob(n: u64, created: Time, late: Duration) -> ServedBlob {
    let entry = BlobEntry {
        id: ContentId(format!("blob{n}")),
        uri: format!("http://x/{n}"),
        created,
        expires: Some(created + Duration::from_secs(7 * 86_400)),
    };
    ServedBlob { entry, listed_at: created + late, poison: false }
}

fn follow() -> Plan {
    Plan::Follow { poll_interval: Duration::from_secs(60), look_back: Duration::from_secs(86_400) }
}

fn history(seed: u64, count: u64, future: Duration) -> Vec<ServedBlob> {
    let mut t = Trial::new(seed, Vec::new(), 0.0);
    let start = BASE - Duration::from_secs(6 * 86_400);
    let span = (BASE + future).since(start).as_millis() as f64;
    (0..count)
        .map(|n| {
            let created = start + Duration::from_millis((t.draw() * span) as u64);
            let late = if t.draw() < 0.1 { Duration::from_secs((t.draw() * 80_000.0) as u64) } else { Duration::ZERO };
            blob(n, created, late)
        })
        .collect()
}

fn expected(t: &Trial, until: Time) -> BTreeSet<BlobKey> {
    t.blobs.iter().filter(|b| b.listed_at <= until && !b.poison).map(|b| b.entry.key()).collect()
}

#[test]
fn a_poller_delivers_every_blob_once_without_faults() {
    for seed in 1..12 {
        let mut t = Trial::new(seed, history(seed, 300, Duration::from_secs(40_000)), 0.0);
        t.run(follow(), Duration::from_secs(3 * 86_400), 0.0);
        let expected = expected(&t, t.server());
        assert_eq!(t.written.keys().copied().collect::<BTreeSet<_>>(), expected, "seed {seed}");
        assert!(t.written.values().all(|n| *n == 1), "seed {seed}");
        assert!(t.gaps.is_empty(), "seed {seed}: {:?}", t.gaps);
    }
}

#[test]
fn faults_and_crashes_lose_nothing_and_repeat_at_most_the_lost_batches() {
    for seed in 1..60 {
        let mut t = Trial::new(seed, history(seed, 200, Duration::from_secs(40_000)), 0.2);
        t.run(follow(), Duration::from_secs(86_400), 0.01);
        t.fault_share = 0.0;
        t.run(follow(), Duration::from_secs(3 * 86_400), 0.0);
        let expected = expected(&t, t.server());
        let missing: Vec<_> = expected.iter().filter(|k| !t.written.contains_key(k)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        let repeats: u32 = t.written.values().map(|n| n - 1).sum();
        assert!(repeats <= t.lost_batches * 64, "seed {seed}: {repeats} repeats, {} batches lost", t.lost_batches);
    }
}

#[test]
fn a_poisoned_blob_is_a_provisional_gap_and_holds_nobody_up() {
    let mut blobs = history(3, 100, Duration::from_secs(1000));
    blobs[10].poison = true;
    let key = blobs[10].entry.key();
    let mut t = Trial::new(3, blobs, 0.0);
    t.run(follow(), Duration::from_secs(40_000), 0.0);
    let gap = t.gaps.get(&GapId::of_blob(key)).expect("a gap");
    assert!(gap.provisional && gap.reason == GapReason::Unreadable);
    assert!(t.floor.unwrap() > BASE, "the floor goes on: the gap names the blob");
    t.blobs[10].poison = false;
    t.run(follow(), Duration::from_secs(60_000), 0.0);
    assert_eq!(t.written.get(&key), Some(&1));
    assert!(!t.gaps[&GapId::of_blob(key)].is_open());
}

#[test]
fn one_shot_ends_complete_and_gives_up_on_poison() {
    for seed in 1..30 {
        let mut blobs = history(seed, 150, Duration::ZERO);
        for b in &mut blobs {
            b.listed_at = b.entry.created;
        }
        blobs[5].poison = true;
        let mut t = Trial::new(seed, blobs, 0.15);
        let plan = Plan::Range { from: Moment::At(BASE - Duration::from_secs(6 * 86_400)), to: Moment::Ago(Duration::ZERO) };
        assert_eq!(t.run(plan, Duration::from_secs(86_400), 0.0), Some(Finish::Complete), "seed {seed}");
        let expected = expected(&t, BASE);
        assert_eq!(t.written.keys().copied().collect::<BTreeSet<_>>(), expected, "seed {seed}");
        assert!(t.written.values().all(|n| *n == 1));
        assert!(t.gaps.values().any(|g| !g.provisional && g.reason == GapReason::Unreadable));
        assert_eq!(t.floor, Some(BASE));
    }
}

#[test]
fn nine_days_down_is_one_gap_from_the_floor_to_the_edge() {
    let mut t = Trial::new(9, history(9, 50, Duration::ZERO), 0.0);
    t.run(follow(), Duration::from_secs(5000), 0.0);
    let floor = t.floor.unwrap();
    t.now += Duration::from_secs(9 * 86_400);
    t.queue.clear();
    let back = t.server();
    t.run(follow(), t.now + Duration::from_secs(600), 0.0);
    let gaps: Vec<_> = t.gaps.values().filter(|g| g.blob.is_none()).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].from, floor);
    assert!(
        gaps[0].to + Duration::from_secs(1) >= back - listing::SAFE_EDGE
            && gaps[0].to <= back - listing::SAFE_EDGE + Duration::from_secs(5)
    );
}

#[test]
fn quiet_costs_one_commit_an_hour() {
    let mut t = Trial::new(4, Vec::new(), 0.0);
    t.run(follow(), Duration::from_secs(600), 0.0);
    let (commits, requests) = (t.commits, t.requests);
    t.run(follow(), Duration::from_secs(600 + 86_400), 0.0);
    assert!(t.commits - commits <= 25, "{} commits in a quiet day", t.commits - commits);
    // A poll each minute, a look-back of a day (two windows) every two minutes, and retention (eight) every ten.
    let calm = 1_440 + 720 * 2 + 144 * 8;
    assert!(t.requests - requests <= calm, "{} requests in a quiet day", t.requests - requests);
}

/// What was delivered long ago is listed by each sweep and is no sign of lateness; what a sweep delivers is.
#[test]
fn sweeps_come_more_often_where_they_find_what_was_listed_late() {
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    let requests = |late: u64| {
        let on_time = (0..100).map(|n| blob(n, BASE - hour * 100 + hour * n as u32, Duration::ZERO));
        // Beyond the look-back, one each ten minutes.
        let late = (0..late).map(|n| blob(1_000 + n, BASE - hour * 30 + minute * 10 * n as u32, hour * 31));
        let blobs: Vec<_> = on_time.chain(late).collect();
        let all = blobs.len();
        let mut t = Trial::new(6, blobs, 0.0);
        t.page = 500;
        t.run(follow(), hour * 12, 0.0);
        assert_eq!(t.written.len(), all);
        t.requests
    };
    // A poll each minute, a look-back of two windows every two minutes, retention's eight every ten; more at the start, and the blobs.
    let quiet = requests(0);
    assert!(quiet < 720 + 720 + 72 * 8 + 100 + 50, "{quiet}");
    let late = requests(60);
    assert!(late > quiet + 60 * 8, "{late} where blobs come late, {quiet} else");
}

/// A backlog that takes longer to fetch than the margin at the edge of retention is listed in time all the same.
#[test]
fn a_large_backlog_is_listed_before_the_edge_overtakes_it() {
    let start = BASE - listing::SAFE_EDGE;
    let blobs = (0..20_000).map(|n| blob(n, start + Duration::from_secs(60 + n * 4), Duration::ZERO)).collect();
    let mut t = Trial::new(5, blobs, 0.0);
    t.page = 500;
    let plan = Plan::Range { from: Moment::Retention, to: Moment::Ago(Duration::ZERO) };
    assert_eq!(t.run(plan, Duration::from_secs(86_400), 0.0), Some(Finish::Complete));
    assert!(t.gaps.is_empty(), "{:?}", t.gaps);
    assert_eq!(t.written.len(), 20_000);
    assert!(t.requests < 22_000, "{} requests", t.requests);
    assert!(t.now > Duration::from_secs(590), "the backlog outlasts the margin: {:?}", t.now);
}

/// A failed page cost its whole window: 150 pages did not end at one fault in twenty.
#[test]
fn a_long_listing_ends_although_pages_fail() {
    let blobs = (0..3_000).map(|n| blob(n, BASE - Duration::from_secs(80_000 - n * 20), Duration::ZERO)).collect();
    let mut t = Trial::new(6, blobs, 0.05);
    t.page = 20;
    let plan = Plan::Range { from: Moment::Ago(Duration::from_secs(86_400)), to: Moment::Ago(Duration::ZERO) };
    assert_eq!(t.run(plan, Duration::from_secs(3_600), 0.0), Some(Finish::Complete));
    assert_eq!(t.written.len(), 3_000);
    assert!(t.requests < 3_000 + 1_500, "{} requests", t.requests);
}
