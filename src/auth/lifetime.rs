//! How long a token serves.

use std::time::Duration;

use tokio::time::Instant;

/// Renewal comes at most this long before the end …
const EARLIEST_RENEWAL: Duration = Duration::from_secs(5 * 60);

/// … and for short lives, at this share of the life before it.
const RENEWAL_SHARE: u32 = 10;

/// No token of Entra lives longer than 28 hours (`activity-api.md` section 3.5); a longer life is a slip, and would keep
/// a revoked permission looking good.
const LONGEST_LIFE: Duration = Duration::from_secs(28 * 3600);

/// For a reply without a readable life: half of the ten minutes that is the shortest life an administrator can set in
/// Entra. Too short costs a request more, too long a rejected one.
pub(super) const DEFAULT_LIFE: Duration = Duration::from_secs(5 * 60);

/// When a token is renewed and when it ends, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    began: Instant,
    life: Duration,
}

impl Lifetime {
    pub(super) fn new(began: Instant, life: Duration) -> Self {
        Self { began, life: life.min(LONGEST_LIFE) }
    }

    pub(super) fn ends(self) -> Instant {
        self.began + self.life
    }

    pub(super) fn renew_at(self) -> Instant {
        self.began + (self.life - EARLIEST_RENEWAL.min(self.life / RENEWAL_SHARE))
    }
}

/// Reads `expires_in`: seconds, as a number or as text, whole or not (`activity-api.md` section 3.1). Below zero is none
/// at all; what can't be read is [`DEFAULT_LIFE`].
pub(super) fn life(expires_in: Option<&str>) -> Duration {
    let seconds = expires_in.and_then(|text| text.trim_matches(['"', ' ']).parse::<f64>().ok());
    match seconds {
        Some(seconds) if !seconds.is_nan() => {
            Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_LIFE.as_secs_f64())).unwrap_or(DEFAULT_LIFE)
        }
        _ => DEFAULT_LIFE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_form_of_a_life() {
        let s = Duration::from_secs;
        for (text, expected) in [
            (Some("3599"), s(3599)),
            (Some("\"3599\""), s(3599)),
            (Some("\" 3599 \""), s(3599)),
            (Some("3599.0"), s(3599)),
            (Some("3.6e3"), s(3600)),
            (Some("0"), s(0)),
            (Some("-5"), s(0)),
            (Some("99999999999999999999"), LONGEST_LIFE),
            (Some("1e400"), LONGEST_LIFE),
            (Some("-1e400"), s(0)),
            (Some("\"NaN\""), DEFAULT_LIFE),
            (Some("\"soon\""), DEFAULT_LIFE),
            (Some("null"), DEFAULT_LIFE),
            (Some("[]"), DEFAULT_LIFE),
            (Some("\"\""), DEFAULT_LIFE),
            (None, DEFAULT_LIFE),
        ] {
            assert_eq!(life(text), expected, "{text:?}");
        }
    }

    #[test]
    fn renews_a_tenth_or_five_minutes_before_the_end() {
        let began = Instant::now();
        for (life, renewal) in [(3600, 3300), (1000, 900), (86_400, 86_100), (0, 0), (10, 9)] {
            let lifetime = Lifetime::new(began, Duration::from_secs(life));
            assert_eq!(lifetime.renew_at(), began + Duration::from_secs(renewal));
            assert_eq!(lifetime.ends(), began + Duration::from_secs(life));
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_usable_life(text in any::<String>(), number in any::<f64>()) {
            for text in [text, number.to_string()] {
                let lifetime = Lifetime::new(Instant::now(), life(Some(&text)));
                prop_assert!(lifetime.renew_at() <= lifetime.ends());
            }
        }
    }
}
