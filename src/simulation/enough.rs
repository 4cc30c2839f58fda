//! Quota enough: a term of the promise. In a working half hour a process can list three times, and fetch twice, what the service keeps;
//! the pauses after throttled requests are no working time.

use crate::simulator::Response;

/// The longest pause after a throttled reply that tells none: half a minute, and a quarter of it at random.
const PAUSE_SECS: f64 = 37.5;

/// Replies of the API so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Replies {
    through: u64,
    throttled: u64,
}

impl Replies {
    pub(super) fn count(&mut self, response: &Response) {
        let throttled = matches!(response.status, 403 | 429) && response.error_code().as_deref() == Some("AF429");
        *(if throttled { &mut self.throttled } else { &mut self.through }) += 1;
    }

    /// True if the replies since `before` were as many as are needed, or would be if the process had made use of its time: pauses
    /// do not explain what is missing.
    pub(super) fn were_enough(self, before: Self, needed: u32, per_minute: u32) -> bool {
        let (through, throttled) = (self.through - before.through, self.throttled - before.throttled);
        let paused = throttled as f64 * PAUSE_SECS / 60.0 * f64::from(per_minute);
        through >= u64::from(needed) || (through as f64 + paused) < f64::from(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pauses_excuse_what_is_missing() {
        let before = Replies { through: 1_000, throttled: 10 };
        for (through, throttled, enough) in
            [(390, 0, true), (389, 0, true), (389, 1, false), (330, 20, false), (300, 5, true), (347, 5, false), (400, 20, true)]
        {
            let now = Replies { through: before.through + through, throttled: before.throttled + throttled };
            assert_eq!(now.were_enough(before, 390, 14), enough, "{through} replies, {throttled} throttled");
        }
    }
}
