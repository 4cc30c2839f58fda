//! The shipped rooms in this process, from the HTTP client to the claims, with time limits and a clock of the story's
//! choosing. Only the output and the store are replaced. For what would take hours with the real binary.

use std::sync::Arc;
use std::time::Duration;

use defender_feed::api::{ApiSettings, Client};
use defender_feed::auth::{Credentials, TokenSource};
use defender_feed::domain::{ContentType, FeedId, OutputFormat, RecordTypes};
use defender_feed::feed::{FeedSettings, Finish, Mode, Now, Plan};
use defender_feed::format::Formatter;
use defender_feed::poll;
use defender_feed::runner::{BLOBS_AT_ONCE, Board, Clock, FeedEnd, FeedJob, Order, Outcome, Repeats, Shared, Writer};
use defender_feed::sink::MemorySink;
use defender_feed::store::{MemoryStore, Store};
use defender_feed::wire::{HttpSettings, HttpTransport, Timeouts};
use secrecy::SecretString;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::tenant::RUNTIME;
use super::{CLIENT, PATIENCE, SimClock, Story, Tenant, now, service};

/// How much faster than the real time a story inside goes: a second's wait is four milliseconds.
const RATE: f64 = 250.0;
const MINUTE: Duration = Duration::from_secs(60);

/// A clock that runs fast, together with the tenant's.
#[derive(Debug, Clone)]
struct Fast {
    start: Instant,
    wall: SimClock,
}

impl Clock for Fast {
    fn now(&self) -> Now {
        Now { mono: self.start.elapsed().mul_f64(RATE), wall: self.wall.now() }
    }

    fn at(&self, mono: Duration) -> Instant {
        self.start + mono.div_f64(RATE)
    }
}

/// A tenant in the making whose clock runs fast.
pub(crate) fn fast_service() -> Story {
    service().clock(SimClock::scaled(now(), RATE)).with(|c| c.quota = None)
}

/// What a run inside came to.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) lines: Vec<String>,
    pub(crate) outcome: Outcome,
}

impl Inside {
    /// Everything was had and nothing is missing.
    #[track_caller]
    pub(crate) fn is_complete(&self, what: &str) {
        let Outcome { end, totals, status, .. } = &self.outcome;
        // Of the time for stopping little is left on a clock that runs so fast; everything is committed before.
        assert!(matches!(end, FeedEnd::Finished(Finish::Stopped) | FeedEnd::Hurried), "{what}: {end:?}");
        assert!(totals.is_whole(), "{what}: {totals:?}");
        let balance = status.balance;
        assert_eq!((balance.listed, balance.pending, balance.gaps), (balance.done, 0, 0), "{what}: {balance:?}");
    }
}

/// Polls a tenant that is reached at that URL until there are so many lines, and stops then. A poller never gives up, so a
/// loaded machine can't make it.
async fn poll_inside(url: &str, tenant: &Tenant, lines: usize, timeouts: Timeouts) -> Inside {
    let transport = HttpTransport::new(HttpSettings { timeouts, ..HttpSettings::default() }).unwrap();
    let id: defender_feed::domain::TenantId = tenant.id().parse().unwrap();
    let origin: url::Url = url.parse().unwrap();
    let tokens = TokenSource::new(
        transport.clone(),
        Credentials {
            tenant: id.clone(),
            client_id: CLIENT.to_owned(),
            secret: Box::new(|| Ok(SecretString::from("made-up"))),
            login_url: origin.clone(),
            scope: "https://manage.office.com/.default".to_owned(),
        },
    );
    let api = ApiSettings { api_url: origin, tenant: id.clone(), publisher: id.to_string() };
    let feed = FeedId { tenant: id, content_type: ContentType::AuditGeneral };
    let (sink, mut store) = (MemorySink::new(), MemoryStore::new());
    let job = FeedJob {
        memory: store.restore(&feed).unwrap().into(),
        settings: FeedSettings {
            feed,
            plan: Plan::Follow { poll_interval: MINUTE, look_back: 60 * MINUTE },
            filter: RecordTypes::defender().to_string(),
            subscription: Mode::Auto,
            per_minute: 1_000_000,
            width: None,
            // Of the tenant's content, not of now: on this clock a loaded machine loses hours.
            not_before: tenant.service().blobs(tenant.clock().now()).map(|blob| blob.created - 60 * MINUTE).min(),
            seed: 1,
        },
        client: Client::new(transport, api, tokens),
        tenant_name: None,
        labels: Default::default(),
        filter: RecordTypes::defender(),
        formatter: Formatter::new(OutputFormat::Raw, false),
        repeats: Repeats::default(),
        pause: watch::channel(Duration::ZERO).0,
    };
    let (writer, thread) = Writer::spawn(sink.clone(), store).unwrap();
    let (order, _) = watch::channel(Order::Run);
    let (budget, board) = (Arc::new(Semaphore::new(BLOBS_AT_ONCE)), Arc::new(Board::default()));
    let stops = tokio::spawn({
        let (order, sink, board) = (order.clone(), sink.clone(), board.clone());
        let is_done = move || {
            let (done, listed, _) = board.progress();
            done == listed && sink.lines().iter().filter(|b| **b == b'\n').count() >= lines
        };
        async move {
            while !is_done() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            order.send_replace(Order::Stop);
        }
    });
    let clock = Fast { start: Instant::now(), wall: tenant.clock().clone() };
    let run = poll::run(vec![job], Shared { clock, writer, order, budget, board }, false);
    let mut end = tokio::time::timeout(3 * PATIENCE, run).await.expect("it delivers everything in time");
    stops.abort();
    thread.join().unwrap().unwrap();
    let text = String::from_utf8(sink.lines()).unwrap();
    Inside { lines: text.lines().map(str::to_owned).collect(), outcome: end.outcomes.remove(0).1 }
}

/// Polls a tenant inside, reached at that URL, until everything that it has is delivered.
pub(crate) fn run_inside(url: &str, tenant: &Tenant, lines: usize, timeouts: Timeouts) -> Inside {
    RUNTIME.block_on(poll_inside(url, tenant, lines, timeouts))
}
