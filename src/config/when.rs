//! Points in time as people write them: `24h` (ago), `2026-03-01`, RFC 3339.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDate;

use super::duration::{parse_duration, print_duration};
use crate::domain::{InvalidValue, Time};

/// What the service keeps: who says exactly this means "all there is", not a moment that has gone by the time it is asked for.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// A point in time as given to `--since` and `--until`. What an age means is settled once the time is known ([`When::at`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `7d`: the start of what the service keeps, wherever that is.
    Retention,
    /// So long before now.
    Ago(Duration),
    /// This time.
    At(Time),
}

impl When {
    /// The time meant, if it is `now`; nothing for [`When::Retention`], whose start only the service knows.
    pub fn at(self, now: Time) -> Option<Time> {
        match self {
            When::Retention => None,
            When::Ago(age) => Some(now - age),
            When::At(time) => Some(time),
        }
    }
}

impl FromStr for When {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if let Some(time) = parse_absolute(text) {
            return Ok(When::At(time));
        }
        match parse_duration(text) {
            Ok(RETENTION) => Ok(When::Retention),
            Ok(age) => Ok(When::Ago(age)),
            Err(_) => Err(InvalidValue::new(
                "a time",
                text,
                "it is a duration before now (24h, 7d for all that the service keeps), a date (2026-03-01), \
                 or RFC 3339 (2026-03-01T12:00:00Z)",
            )),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Retention => f.write_str("the start of retention"),
            When::Ago(age) => write!(f, "{} ago", print_duration(*age)),
            When::At(time) => write!(f, "{time}"),
        }
    }
}

/// Reads a time given to `--since` or `--until` and settles it against `now`: nothing means all of retention.
pub fn parse_when(text: &str, now: Time) -> Result<Option<Time>, InvalidValue> {
    Ok(text.parse::<When>()?.at(now))
}

/// Reads a date (its first second) or an RFC 3339 time; without a zone it is UTC.
pub(super) fn parse_absolute(text: &str) -> Option<Time> {
    let text = text.trim();
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return date.and_hms_opt(0, 0, 0).map(|t| Time(t.and_utc().timestamp_millis()));
    }
    Time::parse(text)
}

/// Reads `--not-before`, which must mean the same moment at every start.
pub(super) fn parse_not_before(text: &str) -> Result<Time, InvalidValue> {
    parse_absolute(text).ok_or_else(|| {
        InvalidValue::new(
            "an absolute time",
            text,
            "it is a date (2026-03-01) or RFC 3339 (2026-03-01T12:00:00Z); a duration would mean another moment at each start",
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Time {
        Time::parse("2026-03-08T12:00:00Z").unwrap()
    }

    #[test]
    fn reads_ages_dates_and_times() {
        let at = |text: &str| parse_when(text, now()).unwrap().map(|t| t.to_string());
        assert_eq!(at("24h").as_deref(), Some("2026-03-07T12:00:00Z"));
        assert_eq!(at("1h30m").as_deref(), Some("2026-03-08T10:30:00Z"));
        assert_eq!(at("0s").as_deref(), Some("2026-03-08T12:00:00Z"));
        assert_eq!(at("2026-03-01").as_deref(), Some("2026-03-01T00:00:00Z"));
        assert_eq!(at("2026-03-01T12:02:18").as_deref(), Some("2026-03-01T12:02:18Z"));
        assert_eq!(at("2026-03-01T12:02:18.5Z").as_deref(), Some("2026-03-01T12:02:18.500Z"));
        assert_eq!(at("2026-03-01T12:02:18+02:00").as_deref(), Some("2026-03-01T10:02:18Z"));
    }

    #[test]
    fn seven_days_are_all_of_retention() {
        for text in ["7d", "168h", "6d24h"] {
            assert_eq!(text.parse::<When>().unwrap(), When::Retention, "{text}");
            assert_eq!(parse_when(text, now()).unwrap(), None);
        }
        assert_eq!("8d".parse::<When>().unwrap(), When::Ago(Duration::from_secs(8 * 86_400)));
    }

    #[test]
    fn says_what_is_a_time() {
        for text in ["", "yesterday", "2026-02-30", "2026-03-01T25:00:00Z", "24", "2026"] {
            let error = text.parse::<When>().unwrap_err().to_string();
            assert!(error.contains("2026-03-01T12:00:00Z"), "{text}: {error}");
        }
        assert!(parse_not_before("7d").unwrap_err().to_string().contains("another moment at each start"));
        assert_eq!(parse_not_before("2026-03-01").unwrap().to_string(), "2026-03-01T00:00:00Z");
    }

    proptest! {
        #[test]
        fn a_printed_time_is_read_again(ms in 0i64..4_000_000_000_000) {
            let time = Time(ms);
            prop_assert_eq!(parse_when(&time.to_string(), now()).unwrap(), Some(time));
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse_when(&text, now());
        }
    }
}
