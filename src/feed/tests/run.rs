//! A feed and a service that answers at once, in time that goes on from one wake to the next.

use super::*;
use crate::feed::cases::{date, settings};
use crate::feed::{Action, Feed, FeedSettings, Finish, Input, Memory, Notice, Now, Plan, Standing};

type Answer = dyn FnMut(&Action, Now) -> Vec<Input>;

pub(super) struct Run {
    pub(super) feed: Feed,
    pub(super) now: Duration,
    /// All that the feed asked for, and when.
    pub(super) log: Vec<(Duration, Action)>,
    answer: Box<Answer>,
}

/// What a healthy service with these blobs answers.
pub(super) fn usual(blobs: &[BlobEntry], action: &Action, now: Now) -> Vec<Input> {
    match action {
        Action::CheckSubscription => vec![Input::Subscription { standing: Standing::Enabled, date: date(now) }],
        Action::StartSubscription => vec![Input::Started { date: date(now) }],
        Action::List { id, window, .. } | Action::NextPage { id, window, .. } => {
            let inside = |blob: &&BlobEntry| window.from() <= blob.created && blob.created < window.to();
            let entries = blobs.iter().filter(inside).cloned().collect();
            vec![Input::Entries { id: *id, entries }, Input::PageEnd { id: *id, next: None, date: date(now) }]
        }
        Action::Fetch(order) => {
            let counts = Counts { read: 1, delivered: 1, ..Counts::default() };
            vec![Input::BlobDone { key: order.entry.key(), counts, bytes: 10, date: date(now) }]
        }
        Action::Seal { id, .. } => vec![Input::Committed { id: *id }],
        Action::Notice(_) | Action::Finish(_) => Vec::new(),
    }
}

impl Run {
    pub(super) fn new(plan: Plan, memory: Memory, answer: impl FnMut(&Action, Now) -> Vec<Input> + 'static) -> Self {
        Self::with(settings(plan), memory, answer)
    }

    pub(super) fn with(settings: FeedSettings, memory: Memory, answer: impl FnMut(&Action, Now) -> Vec<Input> + 'static) -> Self {
        let now = secs(1);
        let feed = Feed::new(settings, memory, Now { mono: now, wall: BASE + now });
        Self { feed, now, log: Vec::new(), answer: Box::new(answer) }
    }

    pub(super) fn clocks(&self) -> Now {
        Now { mono: self.now, wall: BASE + self.now }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.feed.handle(self.clocks(), input);
    }

    /// All that there is to do at this moment. Answers come when the feed has said all that it wants.
    pub(super) fn step(&mut self) {
        loop {
            let actions: Vec<_> = std::iter::from_fn(|| self.feed.act(self.clocks())).collect();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                let now = self.clocks();
                let inputs = (self.answer)(&action, now);
                self.log.push((self.now, action));
                inputs.into_iter().for_each(|input| self.handle(input));
            }
        }
    }

    /// Until then, or to its end.
    pub(super) fn until(&mut self, end: Duration) {
        loop {
            self.step();
            let Some(wake) = self.feed.wake(self.clocks()).filter(|wake| *wake <= end) else { break };
            assert!(wake > self.now);
            self.now = wake;
        }
        self.now = self.now.max(end);
    }

    pub(super) fn finish(&self) -> Option<Finish> {
        self.log.iter().find_map(|(_, action)| match action {
            Action::Finish(finish) => Some(finish.clone()),
            _ => None,
        })
    }

    pub(super) fn notices(&self) -> Vec<Notice> {
        let notice = |action: &Action| match action {
            Action::Notice(notice) => Some(notice.clone()),
            _ => None,
        };
        self.log.iter().filter_map(|(_, action)| notice(action)).collect()
    }

    /// When such actions were asked for.
    pub(super) fn times(&self, such: impl Fn(&Action) -> bool) -> Vec<Duration> {
        self.log.iter().filter(|(_, action)| such(action)).map(|(at, _)| *at).collect()
    }

    pub(super) fn fetched(&self) -> Vec<BlobEntry> {
        let fetched = |action: &Action| match action {
            Action::Fetch(order) => Some(order.entry.clone()),
            _ => None,
        };
        self.log.iter().filter_map(|(_, action)| fetched(action)).collect()
    }

    pub(super) fn claims(&self) -> Vec<crate::domain::Claim> {
        let claim = |action: &Action| match action {
            Action::Seal { claim, .. } => Some((**claim).clone()),
            _ => None,
        };
        self.log.iter().filter_map(|(_, action)| claim(action)).collect()
    }
}
