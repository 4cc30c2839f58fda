//! The long-lived poller, and `--once`: runs feeds side by side and says when the whole ends.
//!
//! Tenants share nothing here but the process and the writer. It uses the runner and knows no concrete client or store.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::domain::FeedId;
use crate::runner::{Clock, FeedEnd, FeedJob, Halt, Order, Outcome, Shared, drive};
use crate::wire::Transport;

/// One summary line in this time for the whole process.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// How a run of several feeds ended.
#[derive(Debug)]
pub struct RunEnd {
    /// Each feed's outcome, in the order of the jobs.
    pub outcomes: Vec<(FeedId, Outcome)>,
    /// Why the process had to end before its feeds did.
    pub halt: Option<Halt>,
}

/// Runs all feeds until each has ended. `exit_if_all_refused`: a poller that was refused everywhere before anything worked
/// ends, so that a wrong secret shows at once.
pub async fn run<T: Transport, C: Clock>(jobs: Vec<FeedJob<T>>, shared: Shared<C>, exit_if_all_refused: bool) -> RunEnd {
    jobs.iter().for_each(|job| shared.board.register(job.settings.feed.clone()));
    let mut feeds = JoinSet::new();
    for (at, job) in jobs.into_iter().enumerate() {
        let shared = shared.clone();
        let id = job.settings.feed.clone();
        feeds.spawn(async move { (at, id, drive(job, shared).await) });
    }
    let mut ticks = tokio::time::interval(SUMMARY_EVERY);
    ticks.tick().await;
    let mut ended = Vec::new();
    loop {
        tokio::select! {
            next = feeds.join_next() => match next {
                None => break,
                Some(Ok(outcome)) => ended.push(outcome),
                Some(Err(error)) => {
                    let text = format!("internal error, please report it: {error}");
                    shared.order.send_replace(Order::Halt(Halt::State(text)));
                }
            },
            _ = ticks.tick() => shared.board.take().log(),
            refusal = shared.board.refused_everywhere(), if exit_if_all_refused => {
                shared.order.send_replace(Order::Halt(Halt::Refused(refusal)));
            }
        }
    }
    ended.sort_by_key(|(at, ..)| *at);
    let outcomes: Vec<_> = ended.into_iter().map(|(_, id, outcome)| (id, outcome)).collect();
    let halt = match &*shared.order.borrow() {
        Order::Halt(halt) => Some(halt.clone()),
        _ => outcomes.iter().find_map(|(_, o)| match &o.end {
            FeedEnd::Halted(halt) => Some(halt.clone()),
            _ => None,
        }),
    };
    RunEnd { outcomes, halt }
}
