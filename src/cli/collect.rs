//! What `poll`, `backfill` and `demo` have in common: from settings to running feeds, and the exit code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::Exit;
use super::engine::Engine;
use crate::api::{ApiSettings, Client};
use crate::auth::{Credentials, TokenSource};
use crate::config::{Settings, SubscriptionMode, TenantSettings};
use crate::domain::{FeedId, Refusal};
use crate::feed::{FeedSettings, Finish, Mode, Plan};
use crate::format::Formatter;
use crate::poll::{RunEnd, run};
use crate::runner::{BLOBS_AT_ONCE, Board, FeedEnd, FeedJob, Halt, Order, Repeats, Shared, SystemClock, Writer};
use crate::sink::{Sink, watch_hangup};
use crate::store::{Store, StoreError};
use crate::telemetry::{Console, Progress};
use crate::wire::{HttpSettings, HttpTransport, WireError};

/// After the feeds have ended, the store may take this long to close.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// If a signal's time is up, the writer is waiting for a reader that stalls, maybe for ever: this rounds the end off within 5 s.
const CLOSE_HURRIED: Duration = Duration::from_millis(200);
/// Often enough to look alive.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// A process that is about to collect.
pub(super) struct Collection<'a> {
    pub(super) console: &'a Console,
    pub(super) jobs: Vec<FeedJob<HttpTransport>>,
    /// Ends by itself when everything is done.
    pub(super) one_shot: bool,
    /// Watches standard output for a reader that goes away.
    pub(super) watches_stdout: bool,
    /// A reader that goes away is no news.
    pub(super) quiet_close: bool,
    /// What it runs on.
    pub(super) engine: Engine,
}

/// How a collection ended.
pub(super) struct Collected {
    pub(super) run: RunEnd,
    pub(super) exit: Exit,
}

/// What makes lines of records.
pub(super) fn formatter(settings: &Settings) -> Formatter {
    Formatter::new(settings.format, settings.envelope)
        .with_original(settings.original)
        .with_syslog_header(settings.syslog_header)
        .with_max_line_bytes(settings.max_line_bytes)
}

/// The way to Microsoft, shared by all tenants.
pub(super) fn transport() -> Result<HttpTransport, WireError> {
    HttpTransport::new(HttpSettings::default())
}

/// The API client of one tenant.
pub(super) fn client(tenant: &TenantSettings, transport: &HttpTransport) -> Client<HttpTransport> {
    client_with(tenant, transport, tokens(tenant, transport))
}

/// Where a tenant's tokens come from; clones share them.
pub(super) fn tokens(tenant: &TenantSettings, transport: &HttpTransport) -> TokenSource<HttpTransport> {
    let secret = tenant.secret.clone();
    let credentials = Credentials {
        tenant: tenant.tenant_id.clone(),
        client_id: tenant.client_id.clone(),
        secret: Box::new(move || secret.read()),
        login_url: tenant.login_url.clone(),
        scope: tenant.scope.clone(),
    };
    TokenSource::new(transport.clone(), credentials)
}

/// The API client of one tenant, with its tokens.
pub(super) fn client_with(
    tenant: &TenantSettings,
    transport: &HttpTransport,
    tokens: TokenSource<HttpTransport>,
) -> Client<HttpTransport> {
    let api = ApiSettings {
        api_url: tenant.api_url.clone(),
        tenant: tenant.tenant_id.clone(),
        publisher: tenant.publisher_id.to_string(),
    };
    Client::new(transport.clone(), api, tokens)
}

/// One job for each content type of each tenant. `share` scales the request rate, `plan` says what to do.
pub(super) fn jobs(
    settings: &Settings,
    transport: &HttpTransport,
    store: &mut impl Store,
    share: f64,
    plan: impl Fn(&TenantSettings) -> Plan,
) -> Result<Vec<FeedJob<HttpTransport>>, StoreError> {
    let mut jobs = Vec::new();
    for tenant in &settings.tenants {
        // The quota is the tenant's: its content types share it.
        let types = u32::try_from(tenant.content_types.len()).unwrap_or(1).max(1);
        let per_minute = (f64::from(tenant.requests_per_minute) * share) as u32 / types;
        let tokens = tokens(tenant, transport);
        let (pause, _) = watch::channel(Duration::ZERO);
        for &content_type in &tenant.content_types {
            let feed = FeedId { tenant: tenant.tenant_id.clone(), content_type };
            let memory = store.restore(&feed)?.into();
            jobs.push(FeedJob {
                settings: FeedSettings {
                    seed: seed(&feed),
                    feed,
                    plan: plan(tenant),
                    filter: tenant.record_types.to_string(),
                    subscription: match tenant.subscription {
                        SubscriptionMode::Auto => Mode::Auto,
                        SubscriptionMode::Require => Mode::Require,
                    },
                    per_minute: per_minute.max(1),
                    width: tenant.concurrency.map(|n| n as usize),
                    not_before: tenant.not_before,
                },
                memory,
                client: client_with(tenant, transport, tokens.clone()),
                pause: pause.clone(),
                tenant_name: Some(tenant.name.clone()).filter(|name| name != tenant.tenant_id.as_str()),
                labels: tenant.labels.clone(),
                filter: tenant.record_types.clone(),
                formatter: formatter(settings),
                repeats: Repeats { keep: settings.keep_duplicates, skip: None, key: store.print_key() },
            });
        }
    }
    Ok(jobs)
}

/// Differs between feeds and between runs, so that pollers do not act in step.
fn seed(feed: &FeedId) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(feed)
}

/// Runs a collection to its end.
pub(super) fn collect<S: Sink, T: Store>(collection: Collection<'_>, sink: S, store: T) -> Collected {
    let failed = |exit| Collected { run: RunEnd { outcomes: Vec::new(), halt: None }, exit };
    let (writer, thread) = match Writer::spawn(sink, store) {
        Ok(spawned) => spawned,
        Err(error) => {
            collection.console.error(&format!("the writer can't start: {error}"));
            return failed(Exit::Failed);
        }
    };
    let _watch = collection.watches_stdout.then(|| {
        let order = collection.engine.order.clone();
        watch_hangup(std::io::stdout(), move || {
            let text =
                "nobody reads standard output any more: nothing undelivered was committed; start again with its reader running";
            order.send_if_modified(|now| {
                let first = !matches!(now, Order::Halt(_));
                if first {
                    *now = Order::Halt(Halt::Closed(text.to_owned()));
                }
                first
            });
        })
    });
    let Collection { console, jobs, one_shot, quiet_close, engine, .. } = collection;
    let board = Arc::new(Board::default());
    engine.collecting();
    let run_end = engine.runtime.block_on(async {
        let showing = one_shot.then(|| tokio::spawn(show(console.progress("collecting"), board.clone())));
        let budget = Arc::new(Semaphore::new(BLOBS_AT_ONCE));
        let shared = Shared { clock: SystemClock::new(), writer, order: engine.order.clone(), budget, board };
        let end = run(jobs, shared, !one_shot).await;
        if let Some(showing) = showing {
            showing.abort();
            // Its bar is cleared when it is dropped.
            let _ = showing.await;
        }
        end
    });
    let signal = engine.signal();
    let hurried = run_end.outcomes.iter().any(|(_, outcome)| outcome.end == FeedEnd::Hurried);
    let (closing, patience) = (Instant::now(), if hurried { CLOSE_HURRIED } else { CLOSE_MAX });
    while !thread.is_finished() && closing.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(2));
    }
    if thread.is_finished()
        && let Ok(Err(error)) = thread.join()
        && run_end.halt.is_none()
    {
        tracing::error!(
            event = "store_close_failed",
            "the store did not close cleanly, which costs nothing but a check at the next start: {error}"
        );
    }
    // Not before: closing may take a moment, and a second signal ends that too.
    engine.stop();
    let exit = exit_of(&run_end, signal, one_shot, (!quiet_close).then_some(console), console);
    Collected { run: run_end, exit }
}

/// Shows how far a one-shot run has come.
async fn show(mut progress: Progress, board: Arc<Board>) {
    let mut ticks = tokio::time::interval(SHOW_EVERY);
    loop {
        ticks.tick().await;
        let (done, listed, records) = board.progress();
        progress.set(done, listed, records);
    }
}

/// The exit code of a run, and the words that go with it.
fn exit_of(end: &RunEnd, signal: Option<Exit>, one_shot: bool, on_close: Option<&Console>, console: &Console) -> Exit {
    match &end.halt {
        Some(Halt::Output(text)) => {
            console.error(text);
            return Exit::OutputClosed;
        }
        Some(Halt::Closed(text)) => {
            if let Some(console) = on_close {
                console.error(text);
            }
            return Exit::OutputClosed;
        }
        Some(Halt::State(text)) => {
            console.error(text);
            return Exit::Failed;
        }
        Some(Halt::Refused(text)) => {
            console.error(&format!("refused before anything worked: {text}. `defender-feed check` looks closer"));
            return Exit::Refused;
        }
        None => {}
    }
    let mut exits = Vec::new();
    for (feed, outcome) in &end.outcomes {
        let who = format!("{} {}", outcome.name, feed.content_type);
        let exit = match &outcome.end {
            FeedEnd::Finished(Finish::Complete) if outcome.totals.is_whole() => Exit::Done,
            FeedEnd::Finished(Finish::Complete) => Exit::Gaps,
            FeedEnd::Finished(Finish::Stopped) => Exit::Done,
            FeedEnd::Finished(Finish::Refused { refusal, detail }) => {
                console.error(&refused(&who, *refusal, detail));
                Exit::Refused
            }
            FeedEnd::Finished(Finish::Unreachable { detail }) => {
                console.error(&format!("{who}: gave up: {detail}. What was delivered is committed; run it again to go on"));
                Exit::Failed
            }
            FeedEnd::Finished(Finish::SubscriptionMissing) => {
                console.error(&format!(
                    "{who}: there is no enabled subscription and --subscription require forbids to start one: run `defender-feed subscriptions start`"
                ));
                Exit::Failed
            }
            FeedEnd::Hurried => {
                tracing::warn!(event = "hurried", feed = %who, "the last batch could not be committed in time: it is delivered again at the next start");
                Exit::Done
            }
            FeedEnd::Halted(_) => Exit::Failed,
        };
        exits.push(exit);
    }
    // Refused means that nothing can be done before a person acts; if other tenants worked, the whole has failed in part.
    let refused = exits.iter().filter(|e| **e == Exit::Refused).count();
    let exits = exits.iter().map(|e| if *e == Exit::Refused && refused < exits.len() { Exit::Failed } else { *e });
    let worst = exits.fold(Exit::Done, Exit::worst);
    match signal {
        Some(signal) if one_shot => worst.worst(signal),
        _ => worst,
    }
}

fn refused(who: &str, refusal: Refusal, detail: &str) -> String {
    if refusal == Refusal::SecretUnavailable {
        return format!("{who}: {}. {}", detail.trim_end_matches(['.', ' ']), refusal.advice());
    }
    let detail = detail.trim_end_matches(['.', ' ']);
    format!("{who}: Microsoft refuses: {detail}. {}. `defender-feed check` looks closer", refusal.advice())
}
