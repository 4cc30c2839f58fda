//! `simulate`: a simulated tenant for others to test against.

use std::sync::{Arc, Mutex};

use chrono::Utc;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, Exit};
use crate::domain::Time;
use crate::simulator::{Front, Service, SimClock, SimulateOptions};

/// How it can end.
pub const EXITS: &[Exit] = &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Config];

/// What it does, for the long help.
pub const ABOUT: &str = "Serve a simulated tenant on this machine: token endpoint, subscriptions, listings and blobs, as Microsoft documents them, \
        for tests of this and of other collectors. It listens on 127.0.0.1 only, until it is interrupted. \
        GET /simulator/truth tells every wanted record that it has made available (one JSON object a line), GET /simulator/ledger how it \
        was asked. The flags about faults are unstable.";

/// The arguments of `simulate`. What the tenant is like and which faults it has is described by the simulator.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Listen on this port of 127.0.0.1 (0 takes a free one)
    #[arg(long, value_name = "PORT", default_value_t = 8365)]
    pub port: u16,
    /// The tenant.
    #[command(flatten)]
    pub options: SimulateOptions,
}

/// Runs it.
pub fn run(args: &SimulateArgs, context: &Context) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            context.console.error(&format!("the runtime can't start: {error}"));
            return Exit::Failed;
        }
    };
    let served = runtime.block_on(serve(args, context));
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match served {
        Ok(()) => Exit::Done,
        Err(error) => {
            context.console.error(&format!("port {} of 127.0.0.1 can't be served: {error}", args.port));
            Exit::Failed
        }
    }
}

async fn serve(args: &SimulateArgs, context: &Context) -> std::io::Result<()> {
    let service = Arc::new(Mutex::new(Service::new(args.options.build(Time::from(Utc::now())))));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let front = Front::start(service, SimClock::real(), args.port).await?;
    let (url, tenant) = (front.base_url(), &args.options.tenant_id);
    let client = args.options.client_id.as_deref().unwrap_or("22222222-0000-4000-8000-000000000002");
    context.console.report(&format!(
        "serving tenant {tenant} at {url} until interrupted; in another terminal, for instance:\n  \
         AZURE_CLIENT_SECRET=made-up defender-feed backfill --since 24h --tenant-id {tenant} --client-id {client} \
         --api-url {url} --login-url {url} --state-dir /tmp/defender-feed-state\n\
         what it has made available: {url}/simulator/truth; how it was asked: {url}/simulator/ledger"
    ));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    front.shutdown().await;
    Ok(())
}
