//! The service's time, known from the `Date` header of its replies.

use std::time::Duration;

use crate::domain::Time;

/// What the shell reads off its clocks when it calls the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the process began; never goes back. All waiting is measured with it.
    pub mono: Duration,
    /// The local clock: only compared with the service's, never trusted by itself.
    pub wall: Time,
}

/// How far the two clocks may lie apart and still agree. Kerberos and Entra tolerate five minutes; a request may take two.
pub const AGREEMENT: Duration = Duration::from_secs(10 * 60);

/// A time that is far from what was told before is believed when so many replies in a row agree about it: one host among the
/// service's many can be wrong, and a listing that was taken to reach into the future would leave the present out.
const CONFIRMED_BY: u32 = 3;

/// The local clock stands in for a service that has never told its time only after so many replies: one whose `Date` a device on
/// the way took out must not settle, by a clock that may be wrong, from where on anything is collected.
const UNDATED: u32 = 10;

/// The service's clock, carried forward between replies by the monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerClock {
    sample: Option<(Time, Duration)>,
    /// A time that is far from it, and how many replies in a row have told it.
    doubtful: Option<(Time, Duration, u32)>,
    /// The service has told its time at least once.
    dated: bool,
    /// How many replies in a row have told about the same time.
    agreeing: u32,
    /// Replies without a time, before the first that tells one.
    undated: u32,
    /// It has jumped because one reply and the local clock say so, and others have not confirmed it yet.
    jumped: bool,
}

impl ServerClock {
    /// Takes in a reply's `Date`.
    pub fn observe(&mut self, date: Time, now: Now) {
        if !self.dated {
            // What the local clock had to stand in for is known now.
            self.sample = None;
            self.dated = true;
        }
        let carried = |(at, told): (Time, Duration)| at + now.mono.saturating_sub(told);
        if self.sample.is_none_or(|known| are_close(carried(known), date)) {
            (self.sample, self.doubtful) = (Some((date, now.mono)), None);
            self.agreeing += 1;
            self.jumped &= self.agreeing < CONFIRMED_BY;
            return;
        }
        // The local clock is a witness: after a sleep of the machine both have moved on together.
        if are_close(now.wall, date) {
            (self.sample, self.doubtful, self.agreeing, self.jumped) = (Some((date, now.mono)), None, 1, true);
            return;
        }
        self.agreeing = 0;
        let told_before = match self.doubtful {
            Some((at, told, times)) if are_close(carried((at, told)), date) => times,
            _ => 0,
        };
        if told_before + 1 >= CONFIRMED_BY {
            (self.sample, self.doubtful) = (Some((date, now.mono)), None);
            (self.agreeing, self.jumped) = (CONFIRMED_BY, false);
        } else {
            self.doubtful = Some((date, now.mono, told_before + 1));
        }
    }

    /// A reply has come, dated or not. Where a service answers again and again without telling its time, the local clock has to
    /// do.
    pub fn assume(&mut self, now: Now) {
        if self.sample.is_none() {
            self.undated += 1;
            if self.undated >= UNDATED {
                self.sample = Some((now.wall, now.mono));
            }
        }
    }

    /// True if the service has told its time at least once.
    pub fn is_dated(&self) -> bool {
        self.dated
    }

    /// True if it has just jumped by one reply: a device on the way may have answered by the same wrong clock as the local one, so
    /// nothing is given up or forgotten before others have confirmed it.
    pub fn has_jumped(&self) -> bool {
        self.jumped
    }

    /// True if the last reply told a time that is far from what is believed so far.
    pub fn is_in_doubt(&self) -> bool {
        self.doubtful.is_some()
    }

    /// True if several replies in a row have told about the same time.
    pub fn is_confirmed(&self) -> bool {
        self.agreeing >= CONFIRMED_BY
    }

    /// True if the beginning of a feed may be settled by it: the local clock says the same, or several replies do. One
    /// reply of one host whose clock is ahead would leave out what it can't put right later.
    pub fn is_trusted(&self, now: Now) -> bool {
        self.sample.is_some() && (!self.dated || self.agrees(now) || self.is_confirmed())
    }

    /// True if replies have come, but more have to tell the time, or confirm it, before anything may be settled by it.
    pub fn wants_witnesses(&self, now: Now) -> bool {
        (self.sample.is_some() || self.undated > 0) && !self.is_trusted(now)
    }

    /// The service's time, once a reply has told it.
    pub fn now(&self, now: Now) -> Option<Time> {
        self.sample.map(|(date, at)| date + now.mono.saturating_sub(at))
    }

    /// How far the local clock lies from the service's: positive if the local clock is behind. `None` while the service has
    /// not told its time: the local clock is no witness to itself.
    pub fn skew_ms(&self, now: Now) -> Option<i64> {
        self.now(now).filter(|_| self.dated).map(|server| server.0 - now.wall.0)
    }

    /// True if both clocks tell about the same time (law L9).
    pub fn agrees(&self, now: Now) -> bool {
        self.dated && self.now(now).is_some_and(|server| are_close(server, now.wall))
    }
}

fn are_close(a: Time, b: Time) -> bool {
    a.since(b).max(b.since(a)) <= AGREEMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time(1_772_366_400_000);

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: NOON + Duration::from_secs(seconds) }
    }

    fn wrong(seconds: u64) -> Time {
        NOON + Duration::from_secs(7200 + seconds)
    }

    fn right(seconds: u64) -> Time {
        NOON + Duration::from_secs(seconds)
    }

    #[test]
    fn a_reply_that_is_far_from_the_others_is_not_believed() {
        let mut clock = ServerClock::default();
        for (second, date) in [right(0), wrong(1), wrong(2), right(3), wrong(4), wrong(5)].into_iter().enumerate() {
            let now = at(second as u64);
            clock.observe(date, now);
            assert_eq!(clock.now(now), Some(right(second as u64)), "second {second}");
            assert!(clock.agrees(now));
        }
    }

    #[test]
    fn a_clock_that_is_put_right_is_believed_soon() {
        let mut clock = ServerClock::default();
        clock.observe(wrong(0), at(0));
        assert!(!clock.agrees(at(0)));
        (1..=3).for_each(|second| clock.observe(right(second), at(second)));
        assert_eq!(clock.now(at(4)), Some(right(4)));
    }

    #[test]
    fn ten_minutes_are_still_agreement() {
        for (apart, agrees) in [(600, true), (601, false)] {
            for at_noon in [NOON + Duration::from_secs(apart), NOON - Duration::from_secs(apart)] {
                let mut clock = ServerClock::default();
                assert!(!clock.agrees(at(0)), "nothing is known");
                clock.observe(at_noon, at(0));
                assert_eq!(clock.agrees(at(0)), agrees, "{at_noon}");
                assert_eq!(clock.skew_ms(at(5)), Some(at_noon.0 - NOON.0));
            }
        }
    }

    #[test]
    fn a_clock_that_the_local_one_contradicts_needs_three_replies() {
        let mut clock = ServerClock::default();
        assert!(!clock.is_trusted(at(0)) && !clock.wants_witnesses(at(0)));
        for (hour, trusted) in [(0, false), (1, false), (2, true)] {
            let second = hour * 3600;
            clock.observe(wrong(second), at(second));
            assert_eq!((clock.is_trusted(at(second)), clock.wants_witnesses(at(second))), (trusted, !trusted), "{hour}");
        }
        let mut clock = ServerClock::default();
        clock.observe(right(0), at(0));
        assert!(clock.is_trusted(at(0)) && !clock.wants_witnesses(at(0)), "the local clock is a witness");
    }

    /// Found by the simulation: after a sleep of the machine three replies were asked for, one poll after the other.
    #[test]
    fn a_far_off_date_is_believed_at_once_where_the_local_clock_says_the_same() {
        let mut clock = ServerClock::default();
        clock.observe(right(0), at(0));
        let woken = Now { wall: wrong(1), ..at(1) };
        clock.observe(wrong(1), woken);
        assert_eq!((clock.now(woken), clock.is_in_doubt(), clock.has_jumped()), (Some(wrong(1)), false, true));
        clock.observe(wrong(1), woken);
        assert!(clock.has_jumped());
        clock.observe(wrong(1), woken);
        assert!(!clock.has_jumped(), "three replies say so");
        clock.observe(wrong(100_000), woken);
        assert_eq!((clock.now(woken), clock.is_in_doubt()), (Some(wrong(1)), true));
    }

    #[test]
    fn replies_that_contradict_each_other_too_are_not_believed() {
        let mut clock = ServerClock::default();
        clock.observe(right(0), at(0));
        for n in 1..6 {
            clock.observe(NOON + Duration::from_secs(n * 7200), at(n));
            assert_eq!(clock.now(at(n)), Some(right(n)));
        }
    }

    #[test]
    fn a_clock_that_was_believed_anew_is_trusted() {
        let mut clock = ServerClock::default();
        clock.observe(right(0), at(0));
        (1..=3).for_each(|second| clock.observe(wrong(second), at(second)));
        assert_eq!(clock.now(at(3)), Some(wrong(3)));
        assert!(clock.is_trusted(at(3)));
    }

    #[test]
    fn without_a_date_the_local_clock_stands_in_and_is_no_witness() {
        let mut clock = ServerClock::default();
        assert_eq!((clock.now(at(0)), clock.skew_ms(at(0))), (None, None));
        for _ in 1..UNDATED {
            clock.assume(Now { wall: wrong(0), ..at(0) });
            assert_eq!((clock.now(at(0)), clock.is_trusted(at(0)), clock.wants_witnesses(at(0))), (None, false, true));
        }
        clock.assume(at(0));
        clock.assume(Now { wall: wrong(0), ..at(1) });
        assert_eq!((clock.now(at(9)), clock.skew_ms(at(9))), (Some(right(9)), None));
        assert!(clock.is_trusted(at(9)) && !clock.agrees(at(9)) && !clock.wants_witnesses(at(9)));
        clock.observe(wrong(10), at(10));
        assert_eq!(clock.now(at(10)), Some(wrong(10)), "the first date takes its place");
    }
}
