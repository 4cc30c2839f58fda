//! The life of one process: from its start on what is on disk to its end, however it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::disk::{Disk, Drawer, Pipe};
use super::fate::Weather;
use super::network::Network;
use super::phases::{Hit, Phase};
use super::world::{Blow, Outside};
use crate::api::{ApiSettings, Client};
use crate::auth::{Credentials, TokenSource};
use crate::domain::{FeedId, OutputFormat, RecordTypes, Time};
use crate::feed::{FeedSettings, Memory, Mode, Now, Plan};
use crate::format::Formatter;
use crate::runner::{BLOBS_AT_ONCE, Board, Clock, Desk, FeedEnd, FeedJob, Job, Order, Outcome, Repeats, Shared, Writer, drive};
use crate::sink::{Delivery, MemorySink};
use crate::store::{MemoryStore, Store};
use crate::wire::Transport;

pub(super) const ROOT: &str = "https://manage.office.com";
pub(super) const LOGIN: &str = "https://login.microsoftonline.com";
/// A process that was told to stop has ended after this, whatever its reader does; the design names 5 s.
const STOP_WITHIN: Duration = Duration::from_millis(4_500);
/// Requests per minute of a neighbour: as few as keep a seed short.
const NEIGHBOUR_RATE: u32 = 4;

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Death {
    /// Killed, or its machine lost power.
    Crashed,
    /// By itself: told to, or because it could not go on.
    Ended(FeedEnd),
    /// The simulation was asked to look at the world.
    Waits,
}

/// Starts a process and sees it through to `until` or to its end. With `waits`, it goes on living for the next call.
pub(super) struct Life {
    outside: Outside,
    order: watch::Sender<Order>,
    work: tokio::task::JoinHandle<Outcome>,
    writer: tokio::task::JoinHandle<()>,
    stopped: Option<Instant>,
    ended: bool,
}

impl Life {
    /// Starts a process on what the disk holds.
    pub(super) fn start(outside: &Outside) -> Self {
        let (order, _) = watch::channel(Order::Run);
        let (writer, queue) = Writer::queue();
        let (job, neighbour) = {
            let mut world = outside.look();
            world.begin_life();
            world.note(|| "the process starts".to_owned());
            let feed = world.feed.clone();
            // The simulated disk is never unreadable: damage is drawn between lives.
            let memory = world.disk.restore(&feed).map(Into::into).unwrap_or_default();
            let network = Network { outside: outside.clone() };
            let pace = Pace { per_minute: world.fate.per_minute, seed: world.fate.seed };
            (feed_job(network, feed, world.plan, memory, pace), world.neighbour.clone())
        };
        let shared = Shared {
            clock: LocalClock { outside: outside.clone(), start: Instant::now() },
            writer,
            order: order.clone(),
            budget: Arc::new(Semaphore::new(BLOBS_AT_ONCE)),
            board: Arc::new(Board::default()),
        };
        let writer = tokio::spawn(write(outside.clone(), queue));
        let beside = neighbour.map(|tenant| {
            let feed = tenant.feed.clone();
            let pace = Pace { per_minute: NEIGHBOUR_RATE, seed: 0 };
            drive(feed_job(tenant, feed, outside.look().plan, Memory::default(), pace), shared.clone())
        });
        let work = drive(job, shared);
        let work = tokio::spawn(async {
            match beside {
                None => work.await,
                // The process ends when both have, unless one of them has to end it.
                Some(beside) => tokio::join!(work, beside).0,
            }
        });
        Self { outside: outside.clone(), order, work, writer, stopped: None, ended: false }
    }

    /// Sees it through until `until`, or to its end.
    pub(super) async fn until(&mut self, elapsed: Duration) -> Death {
        loop {
            let until = self.outside.look().at(elapsed);
            let limit = self.stopped.map(|at| at + STOP_WITHIN);
            tokio::select! {
                biased;
                () = self.outside.bell.notified() => {
                    let blow = {
                        let mut world = self.outside.look();
                        if world.dead { Some(Blow::Crash) } else { world.blow.take() }
                    };
                    match blow {
                        Some(Blow::Crash) => return Death::Crashed,
                        Some(Blow::Stop) => self.stop(),
                        None => {}
                    }
                }
                outcome = &mut self.work => {
                    self.ended = true;
                    match outcome {
                        Ok(outcome) => return Death::Ended(outcome.end),
                        Err(error) => {
                            self.outside.accuse(format!("the driver panicked: {error}"));
                            return Death::Crashed;
                        }
                    }
                }
                () = tokio::time::sleep_until(limit.unwrap_or(until)) => {
                    if limit.is_some() {
                        self.outside.accuse("R16: it did not end in time after SIGTERM".to_owned());
                        return Death::Crashed;
                    }
                    return Death::Waits;
                }
            }
        }
    }

    /// SIGTERM.
    pub(super) fn stop(&mut self) {
        self.stopped.get_or_insert(Instant::now());
        self.order.send_replace(Order::Stop);
    }

    /// Ends whatever is left of it, and lets nothing of that take effect.
    pub(super) async fn bury(self) {
        self.outside.look().end_life();
        self.work.abort();
        self.writer.abort();
        // Both are gone before the next process starts.
        if !self.ended {
            let _ = self.work.await;
        }
        let _ = self.writer.await;
    }
}

/// How a feed of a life asks.
pub(super) struct Pace {
    pub(super) per_minute: u32,
    /// Of its jitter.
    pub(super) seed: u64,
}

/// A feed, ready to run.
pub(super) fn feed_job<T: Transport>(transport: T, feed: FeedId, plan: Plan, memory: Memory, pace: Pace) -> FeedJob<T> {
    let credentials = Credentials {
        tenant: feed.tenant.clone(),
        client_id: "22222222-0000-4000-8000-000000000002".into(),
        secret: Box::new(|| Ok(SecretString::from("made-up"))),
        login_url: LOGIN.parse().expect("a constant URL"),
        scope: ROOT.into(),
    };
    let settings = ApiSettings {
        api_url: ROOT.parse().expect("a constant URL"),
        tenant: feed.tenant.clone(),
        publisher: feed.tenant.to_string(),
    };
    FeedJob {
        settings: FeedSettings {
            feed,
            plan,
            filter: RecordTypes::defender().to_string(),
            subscription: Mode::Auto,
            per_minute: pace.per_minute,
            width: None,
            not_before: None,
            seed: pace.seed,
        },
        memory,
        client: Client::new(transport.clone(), settings, TokenSource::new(transport, credentials)),
        tenant_name: None,
        labels: BTreeMap::new(),
        filter: RecordTypes::defender(),
        formatter: Formatter::new(OutputFormat::Raw, false),
        repeats: Repeats::default(),
        pause: watch::channel(Duration::ZERO).0,
    }
}

/// The writer of the process, with a reader who takes his time.
async fn write(outside: Outside, mut queue: mpsc::UnboundedReceiver<Job>) {
    let pipe = Pipe { outside: outside.clone() };
    let drawer = Drawer { outside: outside.clone() };
    let mut desk = Desk::new(Delivery::new(pipe, drawer), Disk { outside: outside.clone() });
    let mut others = Desk::new(MemorySink::new(), MemoryStore::new());
    while let Some(Job { batch, pieces, answer }) = queue.recv().await {
        if batch.claim.feed != outside.look().feed {
            let _ = answer.send(others.write(batch, &pieces));
            continue;
        }
        let (before, after) = {
            let mut world = outside.look();
            let slow = matches!(world.weather(), Weather::Rough { .. }) && world.dice.chance(0.02) && !batch.lines.is_empty();
            if slow {
                world.hit(Hit::SlowReader, Phase::Write);
            }
            let room = world.slot().map_or(Duration::ZERO, |slot| slot.until.saturating_sub(world.elapsed()));
            let room = u64::try_from(room.as_millis()).unwrap_or(0).clamp(101, 7_200_000);
            let before = if slow { world.dice.between(100, room) } else { world.dice.below(3) };
            (Duration::from_millis(before), Duration::from_millis(world.dice.below(30)))
        };
        tokio::time::sleep(before).await;
        let result = desk.write(batch, &pieces);
        tokio::time::sleep(after).await;
        let _ = answer.send(result);
    }
}

/// The clocks as the process sees them.
#[derive(Clone)]
struct LocalClock {
    outside: Outside,
    start: Instant,
}

impl Clock for LocalClock {
    fn now(&self) -> Now {
        let world = self.outside.look();
        let wall = Time(world.now().0.saturating_add(world.wall_error_ms));
        Now { mono: self.start.elapsed(), wall }
    }

    fn at(&self, mono: Duration) -> Instant {
        self.start + mono
    }
}
