//! What a collecting command runs on: the runtime, and the signals that it hears from its first moment to its last.
//!
//! It is started before the output and the store are opened. A signal that came earlier than its handler would end the
//! process as a crash does, and a service manager would call a stopped poller failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{Context, Exit};
use crate::runner::Order;

/// Two threads: one can wait for a lock or a page of the disk while the other serves the sockets.
const WORKERS: usize = 2;
/// A command that is told to stop while it opens its state may take this long to get through with that. Then it ends as it
/// is: nothing was delivered yet, and an interrupted opening is taken up by the next start.
const START_MAX: Duration = Duration::from_secs(4);
/// Tasks that don't end by themselves (a name that is being resolved) are left behind after this.
const TASKS_MAX: Duration = Duration::from_millis(100);

/// The runtime and the signals of a collecting command.
pub(super) struct Engine {
    /// Everything that is no thread of its own runs on it.
    pub(super) runtime: Runtime,
    /// What the process wants of its feeds.
    pub(super) order: watch::Sender<Order>,
    told: Arc<Told>,
}

/// What has happened so far.
#[derive(Default)]
struct Told {
    /// The first signal, as the exit code of a one-shot command.
    signal: OnceLock<Exit>,
    /// The feeds run: they see to it themselves that they end in time.
    collecting: AtomicBool,
}

impl Engine {
    /// Starts the runtime and hears SIGINT and SIGTERM from now on. `one_shot`: the command ends by itself, so that being
    /// told to end is no success. With an output file of its own, a SIGHUP is not the end.
    pub(super) fn start(one_shot: bool, context: &Context) -> Result<Self, Exit> {
        let console = &context.console;
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().map_err(|error| {
            console.error(&format!("the runtime can't start: {error}"));
            Exit::Failed
        })?;
        let (order, _) = watch::channel(Order::Run);
        let told = Arc::new(Told::default());
        let inside = runtime.enter();
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupt), Ok(terminate)) => {
                runtime.spawn(hear(Ears { interrupt, terminate }, one_shot, order.clone(), told.clone()));
            }
            (Err(error), _) | (_, Err(error)) => {
                let text = "signals can't be handled, an end comes without a last commit";
                tracing::warn!(event = "signals_unavailable", "{text}: {error}");
            }
        }
        // A file-size limit would kill the process by default; caught, the write fails with an error that says why.
        let _file_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        // Whoever rotates the output file tells so by SIGHUP: it is looked at before each batch anyway, and that is no reason to end.
        let _moved = context.settings.output.is_some().then(|| signal(SignalKind::hangup()));
        drop(inside);
        Ok(Self { runtime, order, told })
    }

    /// The feeds run from now on.
    pub(super) fn collecting(&self) {
        self.told.collecting.store(true, Ordering::SeqCst);
    }

    /// The signal that asked for the end, as the exit code of a one-shot command.
    pub(super) fn signal(&self) -> Option<Exit> {
        self.told.signal.get().copied()
    }

    /// Ends the runtime: no signal is heard any more.
    pub(super) fn stop(self) {
        self.runtime.shutdown_timeout(TASKS_MAX);
    }
}

struct Ears {
    interrupt: Signal,
    terminate: Signal,
}

impl Ears {
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

/// The first signal asks to stop; the second ends the process at once.
async fn hear(mut ears: Ears, one_shot: bool, order: watch::Sender<Order>, told: Arc<Told>) {
    let first = ears.next().await;
    told.signal.get_or_init(|| first);
    tracing::info!(event = "stopping", "told to stop: finishing and committing what is in hand; a second signal ends at once");
    order.send_if_modified(|now| {
        let running = *now == Order::Run;
        if running {
            *now = Order::Stop;
        }
        running
    });
    let exit = tokio::select! {
        second = ears.next() => second,
        () = start_overdue(&told) => if one_shot { first } else { Exit::Done },
    };
    std::process::exit(i32::from(exit.code()));
}

/// Ends if the feeds don't run by then.
async fn start_overdue(told: &Told) {
    tokio::time::sleep(START_MAX).await;
    if told.collecting.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    tracing::warn!(event = "start_abandoned", "the state was not open in time: ending without it, nothing was delivered");
}
