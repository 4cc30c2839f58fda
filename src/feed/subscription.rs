//! The subscription: looked at first, started only when it is missing or disabled, and at most once in 15 minutes.

use std::time::Duration;

use crate::domain::Time;

/// The service wants 15 minutes between requests to start (`activity-api.md` section 5.1).
const START_EVERY: Duration = Duration::from_secs(15 * 60);
/// A start is noted before it is asked for, and asking may take a second try with a new token.
const START_MARGIN: Duration = Duration::from_secs(60);
/// A process that starts soon after another may take the time for a little earlier than that one did: replies tell whole seconds, and
/// the service's hosts are many.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// A note that took longer to be committed is written anew …
const NOTE_AGE_MAX: Duration = Duration::from_secs(30);
/// … but no more often than this: with a reader that is always slow there would be no start.
const NOTES_MAX: u32 = 3;

/// What the service says of the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Content is listed.
    Enabled,
    /// There is none.
    Missing,
    /// It is switched off.
    Disabled,
}

/// What may be done about a missing subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Start it.
    Auto,
    /// Only report it.
    Require,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Check {
        at: Duration,
    },
    Asking,
    /// The time of the start has to be committed before the call.
    Save,
    Saving,
    Start,
    Starting,
    Enabled,
}

/// What to do next about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// List the subscriptions.
    Check,
    /// Commit the time of a start that is about to be asked for.
    Save(Time),
    /// Ask for the start.
    Start,
    /// Nothing now.
    Wait,
}

/// The subscription of one feed.
#[derive(Debug)]
pub struct Subscription {
    mode: Mode,
    state: State,
    last_start: Option<Time>,
    /// When this process last heard of a start of its own: its own clock is the better one as long as it lives.
    heard: Option<Duration>,
    /// How often the start that is due was noted.
    notes: u32,
}

impl Subscription {
    /// Begins with a look. `last_start` is when a start was last asked for, by the service's clock.
    pub fn new(mode: Mode, last_start: Option<Time>) -> Self {
        Self { mode, state: State::Check { at: Duration::ZERO }, last_start, heard: None, notes: 0 }
    }

    /// True if content may be listed.
    pub fn is_enabled(&self) -> bool {
        self.state == State::Enabled
    }

    /// True while a call about it is under way.
    pub fn is_busy(&self) -> bool {
        matches!(self.state, State::Asking | State::Starting | State::Saving)
    }

    /// True while a start is under way.
    pub fn is_starting(&self) -> bool {
        self.state == State::Starting
    }

    /// When a start was last asked for.
    pub fn last_start(&self) -> Option<Time> {
        self.last_start
    }

    /// Looks again at `at`, whatever it thought so far.
    pub fn check_at(&mut self, at: Duration) {
        if !self.is_busy() {
            self.state = State::Check { at };
        }
    }

    /// The next step; the caller performs it.
    pub fn step(&mut self, now: Duration, server: Time) -> Step {
        match self.state {
            State::Check { at } if now >= at => {
                self.state = State::Asking;
                Step::Check
            }
            State::Save => self.note(server),
            State::Start if self.notes < NOTES_MAX && self.last_start.is_some_and(|at| server.since(at) > NOTE_AGE_MAX) => {
                self.note(server)
            }
            State::Start => {
                self.state = State::Starting;
                self.notes = 0;
                self.heard_of(now, server);
                Step::Start
            }
            _ => Step::Wait,
        }
    }

    fn note(&mut self, server: Time) -> Step {
        self.state = State::Saving;
        self.notes += 1;
        self.last_start = Some(server);
        Step::Save(server)
    }

    /// The service has told how it stands. Returns true if a person has to act.
    pub fn told(&mut self, standing: Standing, now: Duration, server: Time) -> bool {
        match (standing, self.mode) {
            (Standing::Enabled, _) => {
                self.state = State::Enabled;
                false
            }
            (_, Mode::Auto) => {
                let pause = START_EVERY + START_MARGIN;
                let noted = self.last_start.map_or(Duration::ZERO, |at| (at + pause).since(server));
                // A start that lies far in the service's future was noted under another clock: it can't be waited for.
                let noted = if noted > pause + AHEAD_MAX { Duration::ZERO } else { noted };
                let wait = self.heard.map_or(noted, |at| (at + pause).saturating_sub(now));
                self.state = if wait.is_zero() { State::Save } else { State::Check { at: now + wait } };
                false
            }
            (_, Mode::Require) => {
                self.state = State::Check { at: now + START_EVERY };
                true
            }
        }
    }

    /// The time of the start is committed.
    pub fn saved(&mut self) {
        if self.state == State::Saving {
            self.state = State::Start;
        }
    }

    /// The start was accepted.
    pub fn started(&mut self, now: Duration, server: Time) {
        self.heard_of(now, server);
        self.state = State::Enabled;
    }

    /// A call about it failed: look again at `at`.
    pub fn failed(&mut self, now: Duration, server: Time, at: Duration) {
        if self.is_starting() {
            self.heard_of(now, server);
        }
        self.state = State::Check { at };
    }

    /// It may have been noted long before it was sent: the process was suspended, or its reader slow.
    fn heard_of(&mut self, now: Duration, server: Time) {
        self.heard = Some(now);
        self.last_start = Some(server);
    }

    /// When to look at it again.
    pub fn wake(&self) -> Option<Duration> {
        match self.state {
            State::Check { at } => Some(at),
            State::Save | State::Start => Some(Duration::ZERO),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_most_once_in_15_minutes_and_saves_the_time_first() {
        let t0 = Time(1_000_000_000);
        let mut s = Subscription::new(Mode::Auto, None);
        assert_eq!(s.step(Duration::ZERO, t0), Step::Check);
        assert!(!s.told(Standing::Missing, Duration::ZERO, t0));
        assert_eq!(s.step(Duration::ZERO, t0), Step::Save(t0));
        assert_eq!(s.step(Duration::ZERO, t0), Step::Wait);
        s.saved();
        assert_eq!(s.step(Duration::ZERO, t0), Step::Start);
        s.failed(Duration::from_secs(5), t0 + Duration::from_secs(5), Duration::from_secs(5));
        assert_eq!(s.step(Duration::from_secs(5), t0), Step::Check);
        s.told(Standing::Missing, Duration::from_secs(5), t0 + Duration::from_secs(5));
        assert_eq!(s.step(Duration::from_secs(6), t0 + Duration::from_secs(6)), Step::Wait);
        assert_eq!(s.wake(), Some(Duration::from_secs(5 + 960)));
    }

    #[test]
    fn a_note_that_is_half_a_minute_old_will_do() {
        let t0 = Time(1_000_000_000);
        for (late, starts) in [(0, true), (1, false)] {
            let mut s = Subscription::new(Mode::Auto, None);
            s.step(Duration::ZERO, t0);
            s.told(Standing::Missing, Duration::ZERO, t0);
            assert_eq!(s.step(Duration::ZERO, t0), Step::Save(t0));
            s.saved();
            let step = s.step(Duration::ZERO, t0 + NOTE_AGE_MAX + Duration::from_millis(late));
            assert_eq!(step == Step::Start, starts, "{late}");
        }
    }

    /// Found by the simulation: the process was suspended while the note was committed, and killed after the start.
    #[test]
    fn a_start_whose_note_is_old_is_noted_again_but_not_for_ever() {
        let t0 = Time(1_000_000_000);
        let mut s = Subscription::new(Mode::Auto, None);
        s.step(Duration::ZERO, t0);
        s.told(Standing::Missing, Duration::ZERO, t0);
        let mut now = t0;
        assert_eq!(s.step(Duration::ZERO, now), Step::Save(now));
        for _ in 1..NOTES_MAX {
            s.saved();
            now = now + NOTE_AGE_MAX + Duration::from_millis(1);
            assert_eq!(s.step(Duration::ZERO, now), Step::Save(now));
        }
        s.saved();
        assert_eq!(s.step(Duration::ZERO, now + 2 * NOTE_AGE_MAX), Step::Start);
        assert_eq!(s.last_start(), Some(now + 2 * NOTE_AGE_MAX));
    }

    #[test]
    fn require_never_starts() {
        let mut s = Subscription::new(Mode::Require, None);
        s.step(Duration::ZERO, Time(0));
        assert!(s.told(Standing::Disabled, Duration::ZERO, Time(0)));
        assert_eq!(s.step(Duration::ZERO, Time(0)), Step::Wait);
    }

    const NOW: Duration = Duration::from_secs(1000);
    const T0: Time = Time(1_000_000_000);
    const QUARTER: Duration = Duration::from_secs(15 * 60);
    const PAUSE: Duration = Duration::from_secs(16 * 60);

    /// Brought to the point where the start waits to be saved.
    fn asked(last_start: Option<Time>) -> (Subscription, Step) {
        let mut s = Subscription::new(Mode::Auto, last_start);
        assert_eq!((s.wake(), s.last_start()), (Some(Duration::ZERO), last_start));
        assert_eq!(s.step(NOW, T0), Step::Check);
        assert_eq!(s.wake(), None);
        s.told(Standing::Disabled, NOW, T0);
        let step = s.step(NOW, T0);
        (s, step)
    }

    #[test]
    fn a_start_of_an_earlier_run_is_waited_for_unless_it_lies_far_in_the_future() {
        for (last_start, wait) in [
            (T0, Some(PAUSE)),
            (T0 - Duration::from_secs(100), Some(Duration::from_secs(860))),
            (T0 - PAUSE, None),
            (T0 + AHEAD_MAX, Some(PAUSE + AHEAD_MAX)),
            (T0 + AHEAD_MAX + Duration::from_millis(1), None),
        ] {
            let (s, step) = asked(Some(last_start));
            match wait {
                Some(wait) => assert_eq!((step, s.wake()), (Step::Wait, Some(NOW + wait)), "{last_start}"),
                None => assert_eq!((step, s.last_start()), (Step::Save(T0), Some(T0)), "{last_start}"),
            }
        }
    }

    /// Replies tell whole seconds: a process that was started within a second of a start that failed took it for one of the future, and
    /// asked again.
    #[test]
    fn a_start_of_less_than_a_second_ago_is_waited_for_where_the_reply_tells_whole_seconds() {
        let (s, step) = asked(Some(T0 + Duration::from_millis(900)));
        assert_eq!((step, s.wake()), (Step::Wait, Some(NOW + PAUSE + Duration::from_millis(900))));
    }

    #[test]
    fn a_look_does_not_disturb_a_call_under_way() {
        let mut s = Subscription::new(Mode::Auto, None);
        s.check_at(NOW);
        assert_eq!((s.wake(), s.step(NOW - Duration::from_millis(1), T0)), (Some(NOW), Step::Wait));
        assert_eq!(s.step(NOW, T0), Step::Check);
        s.check_at(NOW);
        assert_eq!(s.step(NOW, T0), Step::Wait, "it is being asked for");
        s.saved();
        assert_eq!(s.step(NOW, T0), Step::Wait, "nothing was to be saved");
        s.told(Standing::Missing, NOW, T0);
        assert_eq!(s.wake(), Some(Duration::ZERO));
        assert_eq!(s.step(NOW, T0), Step::Save(T0));
        s.check_at(NOW);
        s.saved();
        assert_eq!(s.wake(), Some(Duration::ZERO));
        assert!(!s.is_starting());
        assert_eq!(s.step(NOW, T0), Step::Start);
        s.check_at(NOW);
        assert!(s.is_starting() && !s.is_enabled() && s.wake().is_none());
        s.started(NOW, T0);
        assert!(s.is_enabled() && !s.is_starting() && s.step(NOW, T0) == Step::Wait);
        s.check_at(NOW);
        assert!(!s.is_enabled());
    }

    /// Found by the simulation: the service told the time wrong once, and the start was asked for again after seven minutes.
    #[test]
    fn a_service_that_tells_a_wrong_time_does_not_shorten_the_pause() {
        let (mut s, step) = asked(None);
        assert_eq!(step, Step::Save(T0));
        s.saved();
        assert_eq!(s.step(NOW, T0), Step::Start);
        let later = NOW + Duration::from_secs(90);
        s.failed(later, T0, later);
        assert_eq!(s.last_start(), Some(T0));
        assert_eq!(s.step(later, T0), Step::Check);
        s.told(Standing::Missing, later, T0 + QUARTER * 2);
        assert_eq!((s.step(later, T0), s.wake()), (Step::Wait, Some(later + PAUSE)));
        assert_eq!(s.step(later + PAUSE, T0), Step::Check);
        s.told(Standing::Missing, later + PAUSE, T0);
        assert_eq!(s.step(later + PAUSE, T0), Step::Save(T0));
    }

    #[test]
    fn who_may_not_start_looks_again_after_a_quarter_of_an_hour() {
        let mut s = Subscription::new(Mode::Require, None);
        assert!(s.told(Standing::Missing, NOW, T0));
        assert_eq!(s.wake(), Some(NOW + QUARTER));
        assert!(!s.told(Standing::Enabled, NOW, T0));
        assert!(s.is_enabled());
    }
}
