//! A reply's headers, without the HTTP library's types.

use std::time::Duration;

use crate::domain::Time;

/// A longer `Retry-After` is cut to this. Content is listed at least 25 h before it expires; a pause beyond a day could
/// make a gap out of one odd header. Pauses are stretched by up to a quarter, so that tenants do not come back all at once.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(19 * 3600);

/// Header names and values in the order of arrival. Names are compared without case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of the header `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The server's clock, from `Date`.
    pub fn date(&self) -> Option<Time> {
        self.get("date").and_then(Time::parse_http_date)
    }

    /// How long the service asks to wait: `Retry-After` in seconds, or as an HTTP date counted from the reply's own `Date`
    /// (from `now` if it has none). At most 19 hours; nothing if the header can't be read.
    pub fn retry_after(&self, now: Option<Time>) -> Option<Duration> {
        let value = self.get("retry-after")?.trim();
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            // Only too many digits can fail here, and they mean a long time.
            return Some(value.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs).min(LONGEST_RETRY_AFTER));
        }
        if let Some(seconds) = value.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0) {
            return Some(Duration::try_from_secs_f64(seconds.ceil()).map_or(LONGEST_RETRY_AFTER, |d| d.min(LONGEST_RETRY_AFTER)));
        }
        let until = Time::parse_http_date(value)?;
        Some(until.since(self.date().or(now)?).min(LONGEST_RETRY_AFTER))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().copied().collect()
    }

    #[test]
    fn names_are_compared_without_case() {
        let h = headers(&[("Nextpageuri", "https://x/"), ("DATE", "Sun, 01 Mar 2026 12:02:18 GMT")]);
        assert_eq!(h.get("NextPageUri"), Some("https://x/"));
        assert_eq!(h.date(), Time::parse("2026-03-01T12:02:18Z"));
        assert_eq!(h.get("nothing"), None);
    }

    #[test]
    fn retry_after_in_every_form() {
        let date = ("date", "Sun, 01 Mar 2026 12:00:00 GMT");
        let s = |n| Some(Duration::from_secs(n));
        for (value, expected) in [
            ("30", s(30)),
            (" 30 ", s(30)),
            ("0", s(0)),
            ("1.2", s(2)),
            ("Sun, 01 Mar 2026 12:00:45 GMT", s(45)),
            ("Sun, 01 Mar 2026 11:00:00 GMT", s(0)),
            ("99999999999999999999999", s(68_400)),
            ("604800", s(68_400)),
            ("-5", None),
            ("", None),
            ("soon", None),
            ("NaN", None),
            ("inf", None),
        ] {
            assert_eq!(headers(&[date, ("Retry-After", value)]).retry_after(None), expected, "{value:?}");
        }
        let undated = headers(&[("retry-after", "Sun, 01 Mar 2026 12:00:45 GMT")]);
        assert_eq!(undated.retry_after(None), None);
        assert_eq!(undated.retry_after(Time::parse("2026-03-01T12:00:00Z")), s(45));
    }
}
