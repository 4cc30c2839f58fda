//! Where a run can be hit, and by what; and how often each fault met each phase.

use std::fmt::Write;

/// What the product is doing when a fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Token,
    Subscription,
    List,
    NextPage,
    Blob,
    Decode,
    Write,
    Deliver,
    Commit,
    Sleep,
}

impl Phase {
    pub(super) const ALL: [Phase; 10] = [
        Phase::Token,
        Phase::Subscription,
        Phase::List,
        Phase::NextPage,
        Phase::Blob,
        Phase::Decode,
        Phase::Write,
        Phase::Deliver,
        Phase::Commit,
        Phase::Sleep,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Phase::Token => "token",
            Phase::Subscription => "subscription",
            Phase::List => "list",
            Phase::NextPage => "next page",
            Phase::Blob => "blob",
            Phase::Decode => "decode",
            Phase::Write => "write",
            Phase::Deliver => "deliver",
            Phase::Commit => "commit",
            Phase::Sleep => "sleep",
        }
    }
}

/// What can happen. Each hits some phases only; which, [`Hit::phases`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hit {
    /// SIGKILL, a panic, a loss of power: all that is not committed is gone.
    Crash,
    /// SIGTERM.
    Stop,
    /// SIGSTOP, or the machine sleeps.
    Suspend,
    /// The local clock is set.
    Jump,
    /// The service's `Date` is wrong.
    Skew,
    /// A reply has no `Date`.
    NoDate,
    /// No connection, or none that lasts until the head.
    Unreached,
    /// The body breaks off.
    Cut,
    /// Nothing comes any more.
    Stall,
    /// The body trickles.
    Slow,
    /// 408, 500 to 504.
    ServerError,
    /// `AF429`, with and without `Retry-After`.
    Throttle,
    /// 401 and 403 of all kinds.
    Refusal,
    /// 200, and a body that is not what it should be.
    WrongBody,
    /// Page keys refused, circles, empty pages, entries twice, windows refused.
    Paging,
    /// `AF20050`, 404, `AF20051`, a link to elsewhere.
    NotThere,
    /// The subscription vanishes or is disabled.
    SubscriptionOff,
    /// The output or the disk is full or fails, the dead letters can't be written; the reader has gone.
    Fails,
    /// The reader is slow.
    SlowReader,
    /// The dead-letter file is full.
    LettersFull,
    /// The state is found damaged or gone at the next start.
    Damage,
}

const WIRE: &[Phase] = &[Phase::Token, Phase::Subscription, Phase::List, Phase::NextPage, Phase::Blob];
const API: &[Phase] = &[Phase::Subscription, Phase::List, Phase::NextPage, Phase::Blob];

impl Hit {
    pub(super) const ALL: [Hit; 21] = [
        Hit::Crash,
        Hit::Stop,
        Hit::Suspend,
        Hit::Jump,
        Hit::Skew,
        Hit::NoDate,
        Hit::Unreached,
        Hit::Cut,
        Hit::Stall,
        Hit::Slow,
        Hit::ServerError,
        Hit::Throttle,
        Hit::Refusal,
        Hit::WrongBody,
        Hit::Paging,
        Hit::NotThere,
        Hit::SubscriptionOff,
        Hit::Fails,
        Hit::SlowReader,
        Hit::LettersFull,
        Hit::Damage,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Hit::Crash => "crash",
            Hit::Stop => "SIGTERM",
            Hit::Suspend => "suspended",
            Hit::Jump => "clock set",
            Hit::Skew => "wrong Date",
            Hit::NoDate => "no Date",
            Hit::Unreached => "unreached",
            Hit::Cut => "body cut",
            Hit::Stall => "stall",
            Hit::Slow => "trickle",
            Hit::ServerError => "5xx",
            Hit::Throttle => "throttled",
            Hit::Refusal => "refused",
            Hit::WrongBody => "wrong body",
            Hit::Paging => "paging",
            Hit::NotThere => "not there",
            Hit::SubscriptionOff => "subscr. off",
            Hit::Fails => "I/O error",
            Hit::SlowReader => "slow reader",
            Hit::LettersFull => "letters full",
            Hit::Damage => "damage",
        }
    }

    /// The phases that it can meet.
    pub(super) const fn phases(self) -> &'static [Phase] {
        match self {
            Hit::Crash | Hit::Stop | Hit::Suspend | Hit::Jump => &Phase::ALL,
            Hit::Skew | Hit::ServerError | Hit::Unreached | Hit::Cut | Hit::Stall | Hit::Slow | Hit::WrongBody | Hit::Refusal => {
                WIRE
            }
            Hit::Throttle => WIRE,
            Hit::NoDate => API,
            Hit::Paging => &[Phase::List, Phase::NextPage],
            Hit::NotThere => &[Phase::List, Phase::Blob],
            Hit::SubscriptionOff => &[Phase::Subscription, Phase::List, Phase::NextPage, Phase::Blob],
            Hit::Fails => &[Phase::Write, Phase::Deliver, Phase::Commit],
            Hit::SlowReader => &[Phase::Write],
            Hit::LettersFull => &[Phase::Deliver],
            Hit::Damage => &[Phase::Sleep],
        }
    }
}

/// How often each fault met each phase.
#[derive(Debug, Clone)]
pub(super) struct Table([[u64; Phase::ALL.len()]; Hit::ALL.len()]);

impl Default for Table {
    fn default() -> Self {
        Self([[0; Phase::ALL.len()]; Hit::ALL.len()])
    }
}

impl Table {
    pub(super) fn count(&mut self, hit: Hit, phase: Phase) {
        self.0[hit as usize][phase as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Table) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// All faults together.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// The pairs that can meet and did not.
    pub(super) fn empty(&self) -> Vec<String> {
        let pairs = Hit::ALL.iter().flat_map(|hit| hit.phases().iter().map(move |phase| (*hit, *phase)));
        pairs
            .filter(|(hit, phase)| self.0[*hit as usize][*phase as usize] == 0)
            .map(|(h, p)| format!("{} at {}", h.name(), p.name()))
            .collect()
    }

    /// For people.
    pub(super) fn print(&self) -> String {
        let mut out = format!("{:<13}", "");
        for phase in Phase::ALL {
            let _ = write!(out, "{:>13}", phase.name());
        }
        out.push('\n');
        for hit in Hit::ALL {
            let _ = write!(out, "{:<13}", hit.name());
            for phase in Phase::ALL {
                let count = self.0[hit as usize][phase as usize];
                let cell = if hit.phases().contains(&phase) { count.to_string() } else { "·".to_owned() };
                let _ = write!(out, "{cell:>13}");
            }
            out.push('\n');
        }
        out
    }
}
