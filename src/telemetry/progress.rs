//! How far a long one-shot command has come: a bar for a person, a log line now and then for a file.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal: often enough to see life, seldom enough for a log of hours.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of one command. Dropping it takes the bar away.
#[derive(Debug)]
pub struct Progress {
    label: String,
    bar: Option<ProgressBar>,
    lines: Every,
    last: (u64, u64, u64),
}

impl Progress {
    /// Shows progress on a bar among `bars`, or in the log without them. See [`Console::progress`](super::Console::progress).
    pub(super) fn new(label: &str, bars: Option<&MultiProgress>) -> Self {
        let bar = bars.map(|bars| {
            let style = ProgressStyle::with_template("{prefix} [{bar:32}] {pos}/{len} blobs, {msg}, {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            let bar = bars.add(ProgressBar::new(0)).with_style(style).with_prefix(label.to_owned());
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Self { label: label.to_owned(), bar, lines: Every::new(LINE_INTERVAL), last: (0, 0, 0) }
    }

    /// Says how many blobs are done, how many were listed so far, and how many records were delivered.
    pub fn set(&mut self, done: u64, listed: u64, records: u64) {
        self.last = (done, listed, records);
        match &self.bar {
            Some(bar) => {
                bar.set_length(listed.max(done));
                bar.set_position(done);
                bar.set_message(format!("{records} records"));
            }
            None if self.lines.due(Instant::now()) => self.line(),
            None => {}
        }
    }

    /// Takes the bar away, or logs the last figures.
    pub fn finish(self) {
        if self.bar.is_none() {
            self.line();
        }
    }

    fn line(&self) {
        let (done, listed, records) = self.last;
        tracing::info!(event = "progress", done, listed, records, "{}", self.label);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Something that happens at most once in a while.
#[derive(Debug)]
struct Every {
    interval: Duration,
    last: Option<Instant>,
}

impl Every {
    fn new(interval: Duration) -> Self {
        Self { interval, last: None }
    }

    fn due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    #[test]
    fn a_bar_shows_the_figures_and_goes_away() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut progress = Progress::new("backfill", Some(&bars));
        progress.set(3, 12, 4711);
        let bar = progress.bar.clone().unwrap();
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (3, Some(12), "4711 records"));
        assert_eq!(bar.prefix(), "backfill");
        progress.set(13, 12, 4712);
        assert_eq!(bar.length(), Some(13), "never more than all");
        progress.finish();
        assert!(bar.is_finished());
    }

    #[test]
    fn lines_keep_their_distance() {
        let mut every = Every::new(Duration::from_secs(10));
        let start = Instant::now();
        let due: Vec<u64> = (0..=30).filter(|s| every.due(start + Duration::from_secs(*s))).collect();
        assert_eq!(due, [0, 10, 20, 30]);
    }
}
