//! The line that a poller logs once a minute: what went through since the last one, and where things stand.

use std::fmt;

/// Figures of the whole process since the last line; `blobs_pending`, `tenants_degraded` and `lag_ms` are as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blobs seen in listings for the first time.
    pub blobs_listed: u64,
    /// Blobs that became done.
    pub blobs_done: u64,
    /// Blobs that became gaps.
    pub blobs_gap: u64,
    /// Blobs listed and not yet done, now.
    pub blobs_pending: u64,
    /// Records read from blobs.
    pub records_read: u64,
    /// Records delivered to the output.
    pub records_delivered: u64,
    /// Records of types that are not wanted.
    pub records_filtered: u64,
    /// Records recognised as delivered before.
    pub records_duplicate: u64,
    /// Elements written to the dead letter.
    pub records_dead: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests that the service rejected for their rate.
    pub throttled: u64,
    /// Requests that failed in other ways.
    pub failed: u64,
    /// Tenants that can't be collected, now.
    pub tenants_degraded: u64,
    /// Age of the oldest blob that is not done, in milliseconds; nothing if none is pending.
    pub lag_ms: Option<u64>,
}

impl Summary {
    /// Adds the figures of one tenant to those of the process: sums, and the longest lag.
    pub fn add(&mut self, other: &Summary) {
        self.blobs_listed += other.blobs_listed;
        self.blobs_done += other.blobs_done;
        self.blobs_gap += other.blobs_gap;
        self.blobs_pending += other.blobs_pending;
        self.records_read += other.records_read;
        self.records_delivered += other.records_delivered;
        self.records_filtered += other.records_filtered;
        self.records_duplicate += other.records_duplicate;
        self.records_dead += other.records_dead;
        self.requests += other.requests;
        self.throttled += other.throttled;
        self.failed += other.failed;
        self.tenants_degraded += other.tenants_degraded;
        self.lag_ms = self.lag_ms.max(other.lag_ms);
    }

    /// Takes the figures and starts counting again; what is "as of now" stays.
    pub fn take(&mut self) -> Summary {
        let rest = Summary {
            blobs_pending: self.blobs_pending,
            tenants_degraded: self.tenants_degraded,
            lag_ms: self.lag_ms,
            ..Summary::default()
        };
        std::mem::replace(self, rest)
    }

    /// Logs the line: the figures as fields, and the same as a sentence.
    pub fn log(&self) {
        tracing::info!(
            event = "summary",
            blobs_listed = self.blobs_listed,
            blobs_done = self.blobs_done,
            blobs_gap = self.blobs_gap,
            blobs_pending = self.blobs_pending,
            records_read = self.records_read,
            records_delivered = self.records_delivered,
            records_filtered = self.records_filtered,
            records_duplicate = self.records_duplicate,
            records_dead = self.records_dead,
            requests = self.requests,
            throttled = self.throttled,
            failed = self.failed,
            tenants_degraded = self.tenants_degraded,
            lag_ms = self.lag_ms,
            "{self}"
        );
    }
}

impl fmt::Display for Summary {
    /// One line; figures that are zero and would be bad news are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "blobs: {} listed, {} done, {} pending; records: {} read, {} delivered, {} filtered",
            self.blobs_listed,
            self.blobs_done,
            self.blobs_pending,
            self.records_read,
            self.records_delivered,
            self.records_filtered
        )?;
        let bad =
            [(self.records_duplicate, "duplicate"), (self.records_dead, "dead-lettered"), (self.blobs_gap, "blobs became gaps")];
        for (number, what) in bad.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, ", {number} {what}")?;
        }
        write!(f, "; requests: {}", self.requests)?;
        for (number, what) in [(self.throttled, "throttled"), (self.failed, "failed")].into_iter().filter(|(n, _)| *n > 0) {
            write!(f, ", {number} {what}")?;
        }
        if self.tenants_degraded > 0 {
            write!(f, "; tenants degraded: {}", self.tenants_degraded)?;
        }
        if let Some(lag) = self.lag_ms {
            write!(f, "; lag: {} s", lag.div_ceil(1000))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_add_up_to_one_line() {
        let mut process = Summary { blobs_listed: 2, requests: 5, lag_ms: Some(10), ..Summary::default() };
        process.add(&Summary { blobs_listed: 1, blobs_pending: 1, throttled: 2, lag_ms: Some(2001), ..Summary::default() });
        process.add(&Summary { records_read: 9, records_dead: 1, ..Summary::default() });
        assert_eq!(
            process.to_string(),
            "blobs: 3 listed, 0 done, 1 pending; records: 9 read, 0 delivered, 0 filtered, 1 dead-lettered; \
             requests: 5, 2 throttled; lag: 3 s"
        );
    }

    #[test]
    fn taking_starts_the_counters_again_and_keeps_the_state() {
        let mut summary =
            Summary { blobs_done: 4, requests: 1, blobs_pending: 7, lag_ms: Some(3), tenants_degraded: 1, ..Summary::default() };
        let before = summary.clone();
        assert_eq!(summary.take(), before);
        assert_eq!(summary, Summary { blobs_pending: 7, lag_ms: Some(3), tenants_degraded: 1, ..Summary::default() });
    }
}
