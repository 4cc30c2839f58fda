//! Many tenants in one process, half of them bad (R23): the others' events come as fast as without them.
//!
//! `DEFENDER_FEED_TENANTS=1000 cargo test --lib simulation::crowd` takes more of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fate::BEGIN;
use super::life::{Pace, feed_job};
use super::neighbour::{Bad, Tenant, Watch};
use super::tests::{number, say};
use crate::domain::{FeedId, TenantId, Time};
use crate::feed::{Memory, Now, Plan};
use crate::runner::{BLOBS_AT_ONCE, Board, Clock, Desk, Job, Order, Shared, Writer, drive};
use crate::simulator::content::NewBlob;
use crate::simulator::dice::Dice;
use crate::sink::{DeadLetter, Delivery, Kept, Letters, Lines, OutputMark, SinkError};
use crate::store::MemoryStore;

/// Tenants, half of them bad.
const TENANTS: u64 = 140;
const LASTS: Duration = Duration::from_secs(3600);
const POLL: Duration = Duration::from_secs(120);
/// Blobs of a good tenant within the hour.
const BLOBS: u64 = 5;
/// What one batch costs the writer.
const WRITE: Duration = Duration::from_millis(1);

#[derive(Clone)]
struct Steady(Instant);

impl Clock for Steady {
    fn now(&self) -> Now {
        Now { mono: self.0.elapsed(), wall: BEGIN + self.0.elapsed() }
    }

    fn at(&self, mono: Duration) -> Instant {
        self.0 + mono
    }
}

/// Notes how long each line took from its blob's appearance, which the line itself tells.
struct Lags {
    clock: Steady,
    lags: Arc<Mutex<Vec<Duration>>>,
}

impl Lines for Lags {
    fn deliver(&mut self, lines: &[u8]) -> Result<Option<OutputMark>, SinkError> {
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            // The lines of bad tenants don't count.
            if let Some(appeared) = value["Appeared"].as_i64() {
                self.lags.lock().unwrap().push(self.clock.now().wall.since(Time(appeared)));
            }
        }
        Ok(None)
    }
}

struct NoLetters;

impl Letters for NoLetters {
    fn keep(&mut self, _: &FeedId, _: &[DeadLetter]) -> Result<Kept, SinkError> {
        Ok(Kept::All)
    }

    fn place(&self, _: &TenantId) -> String {
        "nowhere".to_owned()
    }
}

async fn write(mut queue: mpsc::UnboundedReceiver<Job>, lags: Lags) {
    let mut desk = Desk::new(Delivery::new(lags, NoLetters), MemoryStore::new());
    while let Some(Job { batch, pieces, answer }) = queue.recv().await {
        tokio::time::sleep(WRITE).await;
        let _ = answer.send(desk.write(batch, &pieces));
    }
}

fn well(number: u64, watch: Watch) -> Tenant {
    let mut dice = Dice::new(number, &[0x0063_726f_7764]);
    let blobs = (0..BLOBS).map(|n| {
        let appears = BEGIN + Duration::from_millis(dice.below(u64::try_from(LASTS.as_millis()).unwrap()));
        NewBlob::new(appears, format!(r#"[{{"RecordType":28,"Id":"{number}-{n}","Appeared":{}}}]"#, appears.0))
    });
    Tenant::new(number, None, blobs.collect::<Vec<_>>(), watch)
}

/// How long the lines of so many good tenants took, in order, beside so many bad ones.
fn lags(good: u64, bad: u64) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Steady(Instant::now());
        let lags = Arc::new(Mutex::new(Vec::new()));
        let (writer, queue) = Writer::queue();
        let writing = tokio::spawn(write(queue, Lags { clock: clock.clone(), lags: lags.clone() }));
        let shared = Shared {
            clock: clock.clone(),
            writer,
            order: watch::channel(Order::Run).0,
            budget: Arc::new(Semaphore::new(BLOBS_AT_ONCE)),
            board: Arc::new(Board::default()),
        };
        let watch: Watch = Arc::new(move || clock.now().wall);
        let kinds = Bad::ALL.into_iter().cycle();
        let bad = (1..=bad).zip(kinds).map(|(n, bad)| Tenant::bad(good + n, bad, watch.clone()));
        let mut feeds = JoinSet::new();
        // The bad ones come first in every queue there is.
        for tenant in bad.collect::<Vec<_>>().into_iter().chain((1..=good).map(|n| well(n, watch.clone()))) {
            let feed = tenant.feed.clone();
            let plan = Plan::Follow { poll_interval: POLL, look_back: LASTS };
            let seed = u64::from_str_radix(&feed.tenant.as_str()[..8], 16).unwrap();
            feeds.spawn(drive(feed_job(tenant, feed, plan, Memory::default(), Pace { per_minute: 20, seed }), shared.clone()));
        }
        tokio::time::sleep(LASTS + POLL * 3).await;
        shared.order.send_replace(Order::Stop);
        while let Some(ended) = feeds.join_next().await {
            ended.unwrap();
        }
        drop(shared);
        writing.await.unwrap();
        let mut lags = std::mem::take(&mut *lags.lock().unwrap());
        lags.sort();
        lags
    })
}

#[test]
fn bad_tenants_do_not_delay_the_others() {
    let half = number("DEFENDER_FEED_TENANTS").unwrap_or(TENANTS) / 2;
    let (alone, beside) = (lags(half, 0), lags(half, half));
    let expected = usize::try_from(half * BLOBS).unwrap();
    assert_eq!((alone.len(), beside.len()), (expected, expected), "each line once");
    for share in [50, 90, 99] {
        let (alone, beside) = (alone[expected * share / 100], beside[expected * share / 100]);
        say(&format!("p{share} of the lag: {alone:?} without bad tenants, {beside:?} beside {half} of them"));
        assert!(beside <= alone.mul_f64(1.05), "p{share}: {beside:?} instead of {alone:?}");
    }
}
