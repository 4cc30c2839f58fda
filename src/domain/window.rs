//! A stretch of blob availability that one listing may ask for.

use std::fmt;
use std::time::Duration;

use super::{InvalidValue, Time};

/// Half-open, in whole seconds, at most 24 hours: `from <= contentCreated < to` (`activity-api.md` section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    from: Time,
    to: Time,
}

impl Window {
    /// The longest stretch that the service lists without cutting it short (`activity-api.md` section 7).
    pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

    /// A window, if `from` lies before `to`, both are whole seconds and at most [`Window::LONGEST`] apart.
    pub fn new(from: Time, to: Time) -> Result<Self, InvalidValue> {
        let bad = |why| Err(InvalidValue::new("a window", &format!("{from} to {to}"), why));
        if from.floor_second() != from || to.floor_second() != to {
            return bad("it begins and ends on whole seconds");
        }
        if from >= to {
            return bad("it ends after it begins");
        }
        if to.since(from) > Self::LONGEST {
            return bad("it spans at most 24 hours");
        }
        Ok(Self { from, to })
    }

    /// The first second in it.
    pub fn from(&self) -> Time {
        self.from
    }

    /// The first second after it.
    pub fn to(&self) -> Time {
        self.to
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_at_most_a_day_of_whole_seconds() {
        let window = |from, to| Window::new(Time(from), Time(to)).map(|window| (window.from().0, window.to().0)).ok();
        let day = 86_400_000;
        assert_eq!(window(0, day), Some((0, day)));
        assert_eq!(window(0, 1_000), Some((0, 1_000)));
        for (from, to) in [(0, day + 1_000), (0, 0), (1_000, 0), (1, 1_000), (0, 1_001)] {
            assert_eq!(window(from, to), None, "{from} to {to}");
        }
        let hour = Window::new(Time(0), Time(3_600_000)).unwrap();
        assert_eq!(hour.to_string(), "1970-01-01T00:00:00Z..1970-01-01T01:00:00Z");
    }
}
