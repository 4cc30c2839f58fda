//! A point in time, in UTC, to the millisecond: what the service's listings carry.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Prints as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

/// `YYYY-MM-DDTHH:MM:SS.` and nine digits: longer ones are read more slowly.
const LONGEST_USUAL: usize = 29;

impl Time {
    /// The earliest value: before everything the service can list.
    pub const MIN: Time = Time(i64::MIN / 4);
    /// The latest value: after everything the service can list.
    pub const MAX: Time = Time(i64::MAX / 4);

    /// Reads a time as the feed writes it: `YYYY-MM-DDTHH:MM:SS`, with or without a fraction, with or without a zone
    /// (none means UTC, `record-schemas.md` section 1).
    pub fn parse(text: &str) -> Option<Time> {
        let text = text.trim();
        if let Ok(t) = DateTime::parse_from_rfc3339(text) {
            return Some(Time(t.timestamp_millis()));
        }
        // The common form without a zone: chrono reads RFC 3339 several times faster than a format of ours.
        let mut zoned = [b'Z'; LONGEST_USUAL + 1];
        if text.as_bytes().get(10) == Some(&b'T')
            && let Some(place) = zoned.get_mut(..text.len())
            && text.len() <= LONGEST_USUAL
        {
            place.copy_from_slice(text.as_bytes());
            let zoned = std::str::from_utf8(&zoned[..=text.len()]).ok();
            if let Some(t) = zoned.and_then(|zoned| DateTime::parse_from_rfc3339(zoned).ok()) {
                return Some(Time(t.timestamp_millis()));
            }
        }
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok().map(|t| Time(t.and_utc().timestamp_millis()))
    }

    /// Reads the value of an HTTP `Date` header.
    pub fn parse_http_date(text: &str) -> Option<Time> {
        DateTime::parse_from_rfc2822(text.trim()).ok().map(|t| Time(t.timestamp_millis()))
    }

    /// Down to the whole second.
    pub fn floor_second(self) -> Time {
        Time(self.0.div_euclid(1000) * 1000)
    }

    /// Up to the whole second.
    pub fn ceil_second(self) -> Time {
        Time(self.0.div_euclid(1000) * 1000 + if self.0.rem_euclid(1000) == 0 { 0 } else { 1000 })
    }

    /// As the listing call wants it: `YYYY-MM-DDTHH:MM:SS`, no zone, no fraction (`activity-api.md` section 7).
    pub fn query(self) -> String {
        let mut text = self.utc().to_rfc3339_opts(SecondsFormat::Secs, true);
        text.pop();
        text
    }

    /// As a chrono value; times that chrono can't hold become its nearest bound.
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(if self.0.is_negative() {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(t: DateTime<Utc>) -> Time {
        Time(t.timestamp_millis())
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)).min(Time::MAX.0))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)).max(Time::MIN.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.0.rem_euclid(1000) == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
        f.write_str(&self.utc().to_rfc3339_opts(format, true))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_the_feed_uses() {
        let t = Time::parse("2026-03-01T12:02:18.791Z").unwrap();
        assert_eq!(t.to_string(), "2026-03-01T12:02:18.791Z");
        assert_eq!(Time::parse("2026-03-01T12:02:18.7910000"), Some(t));
        assert_eq!(Time::parse("2026-03-01T13:02:18.791+01:00"), Some(t));
        assert_eq!(t.query(), "2026-03-01T12:02:18");
        assert_eq!(Time::parse_http_date("Sun, 01 Mar 2026 12:02:18 GMT"), Some(t.floor_second()));
        assert_eq!(t.ceil_second(), t.floor_second() + Duration::from_secs(1));
        assert_eq!(Time::parse("yesterday"), None);
    }

    #[test]
    fn a_fraction_may_be_of_any_length() {
        let at = |fraction: &str| Time::parse(&format!("2026-03-01T12:02:18{fraction}"));
        let whole = at("").unwrap();
        for digits in 1..=9 {
            let fraction = &".123456789"[..=digits];
            assert_eq!(at(fraction), at(&format!("{fraction}Z")), "{fraction}");
            assert_eq!(at(fraction).map(Time::floor_second), Some(whole), "{fraction}");
        }
        // Nobody writes more than nine: what such a text means does not matter, but that reading it ends does.
        for digits in 10..20 {
            assert!(at(&format!(".{}", "1".repeat(digits))).is_none_or(|t| t.floor_second() == whole), "{digits} digits");
        }
    }

    #[test]
    fn date_and_time_stand_beside_a_t() {
        assert_eq!(Time::parse("2026-03-01 12:02:18"), None);
        assert_eq!(Time::parse("2026-03-01"), None);
        assert_eq!(Time::parse(""), None);
    }

    #[test]
    fn times_that_can_not_be_shown_are_their_nearest_bound() {
        assert_eq!(Time::MIN.utc(), DateTime::<Utc>::MIN_UTC);
        assert_eq!(Time::MAX.utc(), DateTime::<Utc>::MAX_UTC);
        assert_eq!(format!("{:?}", Time(0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn what_lies_between_two_times_is_never_negative() {
        assert_eq!(Time(5_000).since(Time(2_000)), Duration::from_secs(3));
        assert_eq!(Time(2_000).since(Time(5_000)), Duration::ZERO);
        assert_eq!(Time(5_000) - Duration::from_secs(3), Time(2_000));
        assert_eq!(Time(0) - Duration::MAX, Time::MIN);
        assert_eq!(Time(0) + Duration::MAX, Time::MAX);
    }
}
