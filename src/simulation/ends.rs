//! How a process may end, and what must hold then.

use std::time::Duration;

use super::fate::BEGIN;
use super::life::Death;
use super::world::{Blow, World};
use crate::domain::Time;
use crate::feed::{Finish, Plan};
use crate::runner::{FeedEnd, Halt};

/// What a process has met that may end it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Met {
    /// When it began.
    pub(super) born: Duration,
    /// Output, dead letters or state have failed.
    pub(super) failure: bool,
    /// Its reader was slow.
    pub(super) slow_reader: bool,
    /// A reply did not tell the time.
    pub(super) undated: bool,
}

impl World {
    /// When the process began.
    pub(super) fn born(&self) -> Time {
        BEGIN + self.met.born
    }

    /// Whether the process had a reason to end as it did.
    pub(super) fn may_end(&mut self, death: &Death) -> Result<(), String> {
        let Death::Ended(end) = death else { return Ok(()) };
        match end {
            FeedEnd::Finished(Finish::Stopped | Finish::Complete) if self.oracle.owes_a_commit() => {
                Err("R16: it ended in order with lines that were written and not committed".to_owned())
            }
            FeedEnd::Finished(Finish::Complete) if matches!(self.plan, Plan::Follow { .. }) => {
                Err("R25: a poller ended by itself".to_owned())
            }
            // A backfill may tell its user that it can't go on.
            FeedEnd::Finished(_) if matches!(self.plan, Plan::Range { .. }) => Ok(()),
            FeedEnd::Finished(finish) => self.may_finish(finish),
            // A dead process finds its output closed, and may see that before its end is noticed.
            FeedEnd::Halted(Halt::Refused(_)) => Err(format!("nobody told it to end so: {end:?}")),
            FeedEnd::Halted(_) if !self.met.failure && self.blow != Some(Blow::Crash) => {
                Err(format!("it ended though nothing had failed: {end:?}"))
            }
            FeedEnd::Hurried if !self.met.slow_reader => {
                Err("R16: the last commit was given up though the reader was quick".to_owned())
            }
            _ => Ok(()),
        }
    }
}
