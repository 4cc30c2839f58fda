//! The one place that writes to stderr.
//!
//! Nothing waits for whoever reads it: a supervisor that has stopped reading must not stop the collection with it, nor its
//! end. What can't be written is dropped and counted, and the count is told when somebody reads again.

use std::io::{self, IsTerminal, StderrLock, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use indicatif::{MultiProgress, ProgressDrawTarget};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::escape::Escaped;
use super::progress::Progress;

/// A pipe that is ready takes so much without waiting (`PIPE_BUF`).
const AT_ONCE: usize = 4096;
/// A reader who is busy is waited for so long; after that not at all, until he reads again.
const READER_MAX: Duration = Duration::from_millis(100);

/// What was not written, because nobody read.
#[derive(Debug, Default)]
struct Unread {
    lost: AtomicU64,
    /// Only the beginning of a line was written.
    torn: AtomicBool,
}

/// A handle to stderr, shared by log, reports and progress bars, so that they don't write across each other. Clones are one console.
#[derive(Debug, Clone)]
pub struct Console {
    pub(super) bars: MultiProgress,
    /// Reports are JSON objects, one a line.
    json: bool,
    quiet: bool,
    terminal: bool,
    unread: Arc<Unread>,
}

impl Console {
    /// A console for people: text, nothing held back. It serves until the settings are known.
    pub fn plain() -> Self {
        Self::new(false, false)
    }

    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), json, quiet, terminal, unread: Arc::default() }
    }

    /// Says something to the person who started a command, such as its closing summary; not with `-q`. Line breaks stay; parts that come
    /// from outside should have passed [`Escaped`].
    pub fn report(&self, text: &str) {
        if !self.quiet {
            self.write(&self.render("INFO", text));
        }
    }

    /// Says why a command failed; with `-q` too.
    pub fn error(&self, text: &str) {
        self.write(&self.render("ERROR", text));
    }

    /// Starts to show progress; `label` names what is being done.
    pub fn progress(&self, label: &str) -> Progress {
        Progress::new(label, (self.terminal && !self.quiet).then_some(&self.bars))
    }

    /// True if a person looks at stderr as it is written.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn render(&self, level: &str, text: &str) -> String {
        render(self.json, level, "report", text)
    }

    /// Writes with the bars out of the way. There is nobody to tell that stderr is gone.
    fn write(&self, text: &str) {
        self.put(text.as_bytes(), self.json);
    }

    fn put(&self, line: &[u8], json: bool) {
        self.bars.suspend(|| {
            let mut stderr = io::stderr().lock();
            let lost = self.unread.lost.load(Ordering::Relaxed);
            let patience = if lost > 0 { Duration::ZERO } else { READER_MAX };
            if lost > 0 && is_ready(&stderr, patience) {
                let text = format!("{lost} lines of the log were lost, because nobody read stderr");
                let end = if self.unread.torn.swap(false, Ordering::Relaxed) { "\n" } else { "" };
                let _ = stderr.write_all(format!("{end}{}", render(json, "WARN", "log_lines_lost", &text)).as_bytes());
                self.unread.lost.store(0, Ordering::Relaxed);
            }
            for (n, piece) in line.chunks(AT_ONCE).enumerate() {
                if !is_ready(&stderr, patience) {
                    self.unread.lost.fetch_add(1, Ordering::Relaxed);
                    self.unread.torn.fetch_or(n > 0, Ordering::Relaxed);
                    return;
                }
                let _ = stderr.write_all(piece);
            }
        });
    }
}

/// True if a write does not wait: there is room, or nobody is there any more.
fn is_ready(stderr: &StderrLock<'_>, patience: Duration) -> bool {
    let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
    // Where it can't be asked, the write says more.
    poll(&mut [PollFd::new(stderr, PollFlags::OUT)], Some(&patience)).map_or(true, |ready| ready > 0)
}

fn render(json: bool, level: &str, event: &str, text: &str) -> String {
    let text = text.trim_end_matches('\n');
    if json {
        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        return format!("{}\n", json!({"timestamp": timestamp, "level": level, "event": event, "message": text}));
    }
    let mut lines = String::with_capacity(text.len() + 1);
    for line in text.split('\n') {
        lines.push_str(&Escaped(line).to_string());
        lines.push('\n');
    }
    lines
}

/// The log's way to stderr.
#[derive(Debug, Clone)]
pub(super) struct LogWriter {
    pub(super) console: Console,
    /// Its lines are JSON objects.
    pub(super) json: bool,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.console.put(bytes, self.json);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_its_lines_and_loses_its_tricks() {
        assert_eq!(Console::plain().render("INFO", "one\n\u{1b}[2Jtwo\n"), "one\n\\u{1b}[2Jtwo\n");
    }

    #[test]
    fn a_report_in_json_is_one_object_on_one_line() {
        let line = Console::new(true, false).render("ERROR", "one\n\"two\"");
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["level"], &object["event"], &object["message"]),
            (&json!("ERROR"), &json!("report"), &json!("one\n\"two\""))
        );
    }
}
