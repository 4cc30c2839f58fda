//! The one place that writes to stderr.

use std::io::{self, IsTerminal, Write};

use chrono::{SecondsFormat, Utc};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::escape::Escaped;
use super::progress::Progress;

/// A handle to stderr, shared by log, reports and progress bars, so that they don't write across each other. Clones are one console.
#[derive(Debug, Clone)]
pub struct Console {
    pub(super) bars: MultiProgress,
    /// Reports are JSON objects, one a line.
    json: bool,
    quiet: bool,
    terminal: bool,
}

impl Console {
    /// A console for people: text, nothing held back. It serves until the settings are known.
    pub fn plain() -> Self {
        Self::new(false, false)
    }

    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), json, quiet, terminal }
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
        let text = text.trim_end_matches('\n');
        if self.json {
            let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
            return format!("{}\n", json!({"timestamp": timestamp, "level": level, "event": "report", "message": text}));
        }
        let mut lines = String::with_capacity(text.len() + 1);
        for line in text.split('\n') {
            lines.push_str(&Escaped(line).to_string());
            lines.push('\n');
        }
        lines
    }

    /// Writes with the bars out of the way. There is nobody to tell that stderr is gone.
    fn write(&self, text: &str) {
        let _ = self.bars.suspend(|| io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// The log's way to stderr.
#[derive(Debug, Clone)]
pub(super) struct LogWriter(pub(super) Console);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bars.suspend(|| io::stderr().lock().write(bytes))
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
