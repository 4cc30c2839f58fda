//! One driver for each feed: it performs what the core wants, and tells it what came of it. Requests run as tasks beside it and
//! report to it; what they bring is taken into the open batch in the order in which there is room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::clock::Clock;
use super::duplicates::Piece;
use super::notices::Herald;
use super::reading::{self, HOLD_MAX, Held};
use super::requests::{Listed, Report, Session};
use super::writer::{WriteError, Written};
use super::{FeedEnd, FeedJob, Halt, Order, Outcome, Shared, Totals};
use crate::domain::{BlobKey, Fault};
use crate::feed::batch::BATCH_BYTES_MAX;
use crate::feed::{Action, BatchId, Feed, Input, Notice, Plan};
use crate::sink::{Batch, DeadLetter};
use crate::wire::Transport;

/// Blobs that each feed may hold besides, so that a tenant whose downloads trickle can't take the places of the others.
const BLOBS_RESERVED: usize = 2;
/// Room for the lines of a batch of usual size: it is sealed once it holds half of what it may, with the blob that brings it there.
const BATCH_USUAL: usize = BATCH_BYTES_MAX / 2 + HOLD_MAX + (256 << 10);
/// After a signal, fetches in hand may take this long before they are dropped.
pub(super) const STOP_FETCHES: Duration = Duration::from_millis(2_500);
/// After a signal, the last commit may take until here; then the process ends as it is (a reader that stalls).
const STOP_LAST: Duration = Duration::from_millis(4_000);
/// Reports that may wait for the driver.
const REPORTS_WAITING: usize = 64;

/// The bytes of the open batch.
#[derive(Default)]
struct OpenLines {
    lines: Vec<u8>,
    line_count: u64,
    dead: Vec<DeadLetter>,
    pieces: Vec<Piece>,
}

struct Parked {
    held: Held,
    input: Input,
    taken: oneshot::Sender<()>,
}

/// Owns the core of one feed and its open batch.
pub(super) struct Driver<T: Transport, C: Clock> {
    core: Feed,
    session: Arc<Session<T, C>>,
    shared: Shared<C>,
    pause: watch::Sender<Duration>,
    herald: Herald,
    tasks: JoinSet<()>,
    /// What the core is told if a request ends without a report of its own.
    asked: HashMap<Id, Input>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    open: OpenLines,
    /// Pieces that wait for room in the next batch; each holds up its own request only.
    parked: VecDeque<Parked>,
    writing: Option<(BatchId, oneshot::Receiver<Result<Written, WriteError>>)>,
    totals: Totals,
    stopped: Option<Duration>,
    abandoned: bool,
}

impl<T: Transport, C: Clock> Driver<T, C> {
    /// A feed that has not begun.
    pub(super) fn new(job: FeedJob<T>, shared: Shared<C>) -> Self {
        let now = shared.clock.now();
        let name = job.tenant_name.clone().unwrap_or_else(|| job.settings.feed.tenant.to_string());
        let herald = Herald::new(job.settings.feed.clone(), name, shared.board.clone());
        let session = Session {
            client: job.client,
            clock: shared.clock.clone(),
            content_type: job.settings.feed.content_type,
            tenant: job.settings.feed.tenant.clone(),
            tenant_name: job.tenant_name,
            labels: job.labels,
            filter: job.filter,
            formatter: job.formatter,
            repeats: job.repeats,
            budget: shared.budget.clone(),
            reserve: Arc::new(Semaphore::new(BLOBS_RESERVED)),
            bad_pages: Mutex::default(),
        };
        let (reports, inbox) = mpsc::channel(REPORTS_WAITING);
        let mut totals = Totals::default();
        if matches!(job.settings.plan, Plan::Range { .. }) {
            // What an interrupted run of the same range could not have is missing in this one's result too.
            totals.add(Written { gaps: job.memory.gaps.clone(), ..Written::default() });
        }
        Driver {
            core: Feed::new(job.settings, job.memory, now),
            session: Arc::new(session),
            shared,
            pause: job.pause,
            herald,
            tasks: JoinSet::new(),
            asked: HashMap::new(),
            reports,
            inbox,
            open: OpenLines::default(),
            parked: VecDeque::new(),
            writing: None,
            totals,
            stopped: None,
            abandoned: false,
        }
    }

    /// Runs it to its end.
    pub(super) async fn run(mut self) -> Outcome {
        let mut pauses = self.pause.subscribe();
        let mut orders = self.shared.order.subscribe();
        orders.mark_changed();
        loop {
            if let Some(end) = self.work() {
                return self.outcome(end);
            }
            let now = self.shared.clock.now();
            let wake = [self.core.wake(now), self.stop_wake()].into_iter().flatten().min();
            let wake = self.shared.clock.at(wake.unwrap_or(now.mono + Duration::from_secs(60)));
            tokio::select! {
                biased;
                Ok(()) = orders.changed() => {
                    let order = orders.borrow_and_update().clone();
                    match order {
                        Order::Run => {}
                        Order::Stop => {
                            // Not `now`: the wait for the order may have been long.
                            self.stopped.get_or_insert(self.shared.clock.now().mono);
                            self.tell(Input::Stop);
                        }
                        Order::Halt(halt) => return self.outcome(FeedEnd::Halted(halt)),
                    }
                }
                result = written(&mut self.writing) => {
                    if let Err(halt) = self.committed(result) {
                        return self.outcome(FeedEnd::Halted(halt));
                    }
                }
                Ok(()) = pauses.changed() => {
                    let until = *pauses.borrow_and_update();
                    self.tell(Input::Paused { until });
                }
                Some(report) = self.inbox.recv() => self.receive(report),
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep_until(wake) => {
                    if let Some(end) = self.hurry() {
                        return self.outcome(end);
                    }
                    self.tell(Input::Tick);
                }
            }
            let status = self.core.status(self.shared.clock.now());
            self.herald.status(&status);
        }
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.shared.clock.now(), input);
    }

    fn stop_wake(&self) -> Option<Duration> {
        self.stopped.map(|at| at + if self.abandoned { STOP_LAST } else { STOP_FETCHES })
    }

    /// After a signal there is little time: fetches are dropped first, then the wait for the last commit.
    fn hurry(&mut self) -> Option<FeedEnd> {
        let since = self.shared.clock.now().mono.saturating_sub(self.stopped?);
        if since >= STOP_LAST {
            return Some(FeedEnd::Hurried);
        }
        if since >= STOP_FETCHES && !self.abandoned {
            self.abandoned = true;
            self.tasks.abort_all();
            self.parked.clear();
            self.tell(Input::Abandon);
        }
        None
    }

    /// Lets the core act until it has nothing to do.
    fn work(&mut self) -> Option<FeedEnd> {
        loop {
            while let Some(piece) = self.parked.pop_front() {
                if !self.core.fits(piece.held.bytes()) {
                    self.parked.push_front(piece);
                    break;
                }
                self.accept(piece);
            }
            let action = self.core.act(self.shared.clock.now())?;
            if let Some(end) = self.perform(action) {
                return Some(end);
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<FeedEnd> {
        let (session, reports) = (self.session.clone(), self.reports.clone());
        let detail = "the request ended by a panic, please report it".to_owned();
        let (passing, date, sent) = (Fault::Transient { retry_after: None }, None, self.shared.clock.now().mono);
        match action {
            Action::CheckSubscription => {
                self.herald.request();
                self.ask(session.check_subscription(reports), Input::SubscriptionFailed { fault: passing, detail, date });
            }
            Action::StartSubscription => {
                self.herald.request();
                self.ask(session.start_subscription(reports), Input::SubscriptionFailed { fault: passing, detail, date });
            }
            Action::List { id, window, stand_in } => {
                self.herald.request();
                let failed = Input::ListFailed { id, fault: passing, detail, date, sent };
                self.ask(session.list(Listed { id, window, stand_in }, reports), failed);
            }
            Action::NextPage { id, url, window, stand_in } => {
                self.herald.request();
                let failed = Input::ListFailed { id, fault: passing, detail, date, sent };
                self.ask(session.next_page(Listed { id, window, stand_in }, url, reports), failed);
            }
            Action::Fetch(order) => {
                self.herald.request();
                // Most likely its content is the cause: the attempt counts.
                let (key, fault) = (order.entry.key(), Fault::BadReply);
                self.ask(session.fetch(order, reports), Input::BlobFailed { key, fault, detail, print: None, date });
            }
            Action::Seal { id, claim } => {
                let OpenLines { lines, line_count, dead, pieces } = std::mem::take(&mut self.open);
                let answer = self.shared.writer.send(Batch { claim: *claim, lines, line_count, dead }, pieces);
                self.writing = Some((id, answer));
            }
            Action::Notice(notice) => {
                let now = self.shared.clock.now();
                if let Notice::Throttled { pause, .. } = notice {
                    self.pause.send_if_modified(|until| {
                        let longer = now.mono + pause > *until;
                        *until = (*until).max(now.mono + pause);
                        longer
                    });
                }
                self.herald.tell(notice, now);
            }
            Action::Finish(finish) => return Some(FeedEnd::Finished(finish)),
        }
        None
    }

    fn ask(&mut self, request: impl Future<Output = ()> + Send + 'static, failed: Input) {
        let id = self.tasks.spawn(request).id();
        self.asked.insert(id, failed);
    }

    /// A request that panics must not leave its blob or its window under way for ever.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let failed = self.asked.remove(&id);
        if ended.is_err_and(|error| error.is_panic())
            && let Some(failed) = failed
        {
            self.tell(failed);
        }
    }

    fn receive(&mut self, report: Report) {
        match report {
            Report::Fact(input) => self.tell(input),
            Report::Piece { held, input, taken } => self.parked.push_back(Parked { held, input, taken }),
        }
    }

    fn accept(&mut self, piece: Parked) {
        let Parked { mut held, input, taken } = piece;
        if let Some(blob) = blob_of(&input).filter(|_| !held.records.is_empty()) {
            let records = std::mem::take(&mut held.records);
            self.open.pieces.push(Piece { blob, offset: self.open.lines.len(), records });
        }
        if self.open.lines.is_empty() && held.lines.len() > BATCH_USUAL {
            // One huge line, which is not to be held twice.
            self.open.lines = held.lines;
        } else {
            if self.open.lines.capacity() == 0 && !held.lines.is_empty() {
                // A batch would be copied several times while it grows. Memory is touched only as it fills.
                self.open.lines = self.shared.writer.spare(BATCH_USUAL);
            }
            self.open.lines.append(&mut held.lines);
        }
        self.open.line_count += held.line_count;
        self.open.dead.append(&mut held.dead);
        self.totals.event_times = reading::cover(self.totals.event_times, held.times);
        self.tell(input);
        // The request may have been dropped meanwhile; its piece is in all the same.
        let _ = taken.send(());
    }

    fn committed(&mut self, result: Result<Written, WriteError>) -> Result<(), Halt> {
        let Some((id, _)) = self.writing.take() else { return Ok(()) };
        match result {
            Ok(mut written) => {
                self.shared.writer.keep(std::mem::take(&mut written.spent));
                self.herald.written(&written);
                self.totals.add(written);
                self.tell(Input::Committed { id });
                Ok(())
            }
            Err(error) => {
                let halt = match error {
                    WriteError::Closed(text) => Halt::Closed(text),
                    WriteError::Output(text) => Halt::Output(text),
                    WriteError::State(text) => Halt::State(text),
                    WriteError::Ended => Halt::State(error.to_string()),
                };
                // The first reason is the cause; the others follow from it.
                self.shared.order.send_if_modified(|order| {
                    let first = !matches!(order, Order::Halt(_));
                    if first {
                        *order = Order::Halt(halt.clone());
                    }
                    first
                });
                Err(halt)
            }
        }
    }

    fn outcome(mut self, end: FeedEnd) -> Outcome {
        self.tasks.abort_all();
        let now = self.shared.clock.now();
        // What the core had still to say is said.
        while let Some(action) = self.core.act(now) {
            match action {
                Action::Notice(notice) => self.herald.tell(notice, now),
                _ => break,
            }
        }
        let status = self.core.status(now);
        self.herald.status(&status);
        self.herald.drift(&self.session.formatter.drift());
        Outcome { name: self.herald.name().to_owned(), end, status, totals: self.totals }
    }
}

/// The blob that a piece is of.
fn blob_of(input: &Input) -> Option<BlobKey> {
    match input {
        Input::BlobDone { key, .. } => Some(*key),
        Input::BlobPart { part, .. } | Input::BlobLost { part, .. } => Some(part.key),
        _ => None,
    }
}

/// Waits for the writer's answer, or for ever if there is none to come.
async fn written(writing: &mut Option<(BatchId, oneshot::Receiver<Result<Written, WriteError>>)>) -> Result<Written, WriteError> {
    match writing {
        Some((_, answer)) => answer.await.unwrap_or(Err(WriteError::Ended)),
        None => std::future::pending().await,
    }
}
