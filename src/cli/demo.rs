//! `demo`: the real poller on a simulated tenant, in one process.

mod identity;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::sync::watch;

use super::collect::{Collected, Collection, collect, jobs, transport};
use super::engine::Engine;
use super::flags::{Delivery as Delivering, SettingFlags};
use super::poll::open_delivery;
use super::{Context, Exit, opened};
use crate::config::{Cloud, SecretSource, Settings, SubscriptionMode, TenantSettings, defaults};
use crate::domain::{ContentType, RecordType, TenantId, Time};
use crate::feed::Plan;
use crate::runner::{Halt, Order};
use crate::simulator::{Front, Service, ServiceConfig, SimClock};
use crate::sink::{Batch, DEAD_LETTER_LIMIT, DeadLetters, Delivery, Receipt, Sink, SinkError};

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Failed, Exit::Usage, Exit::OutputClosed, Exit::Config];

/// The seed that is used if none is given: any would do, the same one each time makes two people see the same.
const SEED: u64 = 1;
/// Events shown if no number is given: a screen or two, over in a moment.
const EVENTS: u64 = 100;
/// New blobs an hour: one in ten seconds, so that a demo without an end is seen to live.
const BLOBS_PER_HOUR: u32 = 360;
/// How far back the tenant's content goes.
const HISTORY: Duration = Duration::from_secs(6 * 3600);

/// What it does, for the long help.
pub const ABOUT: &str = "Show the poller at work on a simulated tenant: it starts one in this process and collects from it. Events go to stdout, \
        a short summary to stderr at the end. It needs no tenant, no credentials and no network, and keeps nothing. It ends quietly if its \
        reader goes away.";

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End after this many events
    #[arg(long, value_name = "N", default_value_t = EVENTS, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// Go on until interrupted, whatever the number of events
    #[arg(long, conflicts_with = "events")]
    pub endless: bool,
    /// Make the tenant from this seed: the same seed, the same tenant
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub seed: u64,
    /// The settings given as flags.
    #[command(flatten)]
    pub settings: SettingFlags<Delivering>,
}

/// Runs it.
pub fn run(args: &DemoArgs, context: &Context) -> Exit {
    let began = Instant::now();
    let engine = match Engine::start(false, context) {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    let output = match open_delivery(context) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    let failed = |error: &dyn std::fmt::Display| {
        context.console.error(&format!("the demo can't start: {error}"));
        Exit::Failed
    };
    let state = match tempfile::Builder::new().prefix("defender-feed-demo-").tempdir() {
        Ok(state) => state,
        Err(error) => return failed(&error),
    };
    let service = Arc::new(Mutex::new(Service::new(tenant(args.seed))));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let front = match runtime.block_on(Front::start(service.clone(), SimClock::real(), 0)) {
        Ok(front) => front,
        Err(error) => return failed(&error),
    };
    let settings = match settings(&context.settings, state.path(), &front.base_url()) {
        Ok(settings) => settings,
        Err(error) => return failed(&error),
    };
    let mut store = match opened::store(state.path(), &context.console) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let plan = |tenant: &TenantSettings| Plan::Follow { poll_interval: tenant.poll_interval, look_back: tenant.look_back };
    let jobs = match transport()
        .map_err(|e| e.to_string())
        .and_then(|t| jobs(&settings, &t, &mut store, 1.0, plan).map_err(|e| e.to_string()))
    {
        Ok(jobs) => jobs,
        Err(error) => return failed(&error),
    };
    let tally = Arc::new(Mutex::new(Tally::default()));
    let sink = Stage {
        inner: Delivery::new(output, DeadLetters::new(state.path(), DEAD_LETTER_LIMIT)),
        left: if args.endless { u64::MAX } else { args.events },
        order: engine.order.clone(),
        tally: tally.clone(),
        began,
    };
    let collection =
        Collection { console: &context.console, jobs, one_shot: false, watches_stdout: true, quiet_close: true, engine };
    let collected = collect(collection, sink, store);
    runtime.block_on(front.shutdown());
    let truth = service.lock().unwrap_or_else(PoisonError::into_inner).truth(Time::from(Utc::now()));
    let wanted: BTreeSet<_> = truth.records.into_iter().map(|r| r.id).collect();
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    context.console.report(&tally.describe(&wanted, &collected));
    // Who went away has seen enough; a full disk is another matter.
    if matches!(collected.run.halt, Some(Halt::Closed(_))) { Exit::Done } else { collected.exit }
}

fn tenant(seed: u64) -> ServiceConfig {
    let now = Time::from(Utc::now());
    let base = ServiceConfig::new(now);
    ServiceConfig { seed, content_from: now - HISTORY, blobs_per_hour: BLOBS_PER_HOUR, wanted_share: 0.05, ..base }
}

/// The settings of a process that collects from the simulated tenant.
fn settings(given: &Settings, state: &std::path::Path, url: &str) -> Result<Settings, String> {
    let origin = url::Url::parse(url).map_err(|error| error.to_string())?;
    let tenant_id: TenantId =
        crate::simulator::config::DEFAULT_TENANT.parse().map_err(|e: crate::domain::InvalidValue| e.to_string())?;
    let secret = state.join("made-up-secret");
    write_secret(&secret).map_err(|error| error.to_string())?;
    let tenant = TenantSettings {
        name: "demo".into(),
        labels: BTreeMap::new(),
        publisher_id: tenant_id.clone(),
        tenant_id,
        client_id: "22222222-0000-4000-8000-000000000002".into(),
        secret: SecretSource::File(secret),
        cloud: Cloud::Enterprise,
        api_url: origin.clone(),
        login_url: origin,
        scope: Cloud::Enterprise.scope().to_owned(),
        content_types: vec![ContentType::AuditGeneral],
        record_types: given.record_types.clone(),
        not_before: None,
        poll_interval: Duration::from_secs(1),
        look_back: defaults::LOOK_BACK,
        requests_per_minute: defaults::REQUESTS_PER_MINUTE,
        concurrency: None,
        subscription: SubscriptionMode::Auto,
    };
    Ok(Settings { state_dir: state.to_owned(), tenants: vec![tenant], ..given.clone() })
}

fn write_secret(path: &std::path::Path) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(b"made-up\n")
}

/// What has been seen on stdout.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    first: Option<Duration>,
    types: BTreeMap<i64, u64>,
    ids: BTreeSet<String>,
    repeated: u64,
}

/// The delivery of the demo: it counts, and ends the show after the last event asked for.
struct Stage {
    inner: Delivery,
    left: u64,
    order: watch::Sender<Order>,
    tally: Arc<Mutex<Tally>>,
    began: Instant,
}

impl Sink for Stage {
    fn write(&mut self, mut batch: Batch) -> Result<Receipt, SinkError> {
        if batch.line_count > self.left {
            let lines = usize::try_from(self.left).unwrap_or(usize::MAX);
            let end = batch.lines.split_inclusive(|b| *b == b'\n').take(lines).map(<[u8]>::len).sum();
            batch.lines.truncate(end);
            batch.line_count = self.left;
        }
        self.left -= batch.line_count;
        let mut seen = Tally::default();
        batch.lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()).for_each(|line| seen.count(line));
        let receipt = self.inner.write(batch)?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(seen, self.began.elapsed());
        if self.left == 0 {
            self.order.send_if_modified(|order| {
                let running = *order == Order::Run;
                if running {
                    *order = Order::Stop;
                }
                running
            });
        }
        Ok(receipt)
    }
}

impl Tally {
    fn count(&mut self, line: &[u8]) {
        self.events += 1;
        let (id, number) = identity::of(line);
        *self.types.entry(number.unwrap_or(-1)).or_default() += 1;
        if let Some(id) = id
            && !self.ids.insert(id)
        {
            self.repeated += 1;
        }
    }

    fn add(&mut self, seen: Tally, at: Duration) {
        if seen.events > 0 {
            self.first.get_or_insert(at);
        }
        self.events += seen.events;
        self.repeated += seen.repeated + seen.ids.iter().filter(|id| self.ids.contains(*id)).count() as u64;
        self.ids.extend(seen.ids);
        seen.types.into_iter().for_each(|(t, n)| *self.types.entry(t).or_default() += n);
    }

    /// For the newcomer: what happened, and what it proves.
    fn describe(&self, wanted: &BTreeSet<String>, collected: &Collected) -> String {
        let name = |t: &i64| RecordType(*t).name().unwrap_or("of an untold type");
        let types: Vec<_> = self.types.iter().map(|(t, n)| format!("{n} {} ({t})", name(t))).collect();
        let unknown = self.ids.difference(wanted).count();
        let status = collected.run.outcomes.first().map(|(_, outcome)| outcome);
        let mut lines = vec![format!(
            "demo: {} events from a simulated tenant, the first after {} ms: {}",
            self.events,
            self.first.map_or(0, |d| d.as_millis()),
            if types.is_empty() { "none".to_owned() } else { types.join(", ") }
        )];
        if let Some(outcome) = status {
            let (balance, counts) = (outcome.status.balance, outcome.totals.counts);
            lines.push(format!(
                "  found among {} records in {} of the {} blobs listed so far; {} were of other types",
                counts.read, balance.done, balance.listed, counts.filtered
            ));
        }
        lines.push(format!(
            "  compared with what the tenant made available ({} wanted records so far): {} repeated, {} that it never had",
            wanted.len(),
            self.repeated,
            unknown
        ));
        lines.push("  next: `defender-feed check --help` to connect your tenant; README.md shows the way".to_owned());
        lines.join("\n")
    }
}
