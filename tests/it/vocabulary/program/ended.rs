//! A process that has ended: what it left, and what a story expects of that.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use super::super::eventually;

/// An empty line may come first, where the process before was interrupted.
pub(super) fn whole_lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    if whole.is_empty() { Vec::new() } else { whole.split('\n').map(str::to_owned).collect() }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(super) status: ExitStatus,
    /// Its standard output, if that was a pipe.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
    /// How long it ran.
    pub(crate) took: Duration,
    /// The most memory that it was seen to need, in bytes.
    pub(crate) peak: u64,
}

impl Ended {
    /// It ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{} it said:\n{}", self.status, self.stderr);
        self
    }

    /// It said all of this.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "it did not say {text:?} but:\n{}", self.stderr);
        }
        self
    }

    /// It said nothing of this.
    #[track_caller]
    pub(crate) fn does_not_say(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(!self.stderr.contains(text), "it said {text:?}:\n{}", self.stderr);
        }
        self
    }

    /// Its exit code, if it ended by itself.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The whole lines of an output whose reader may have died in the middle of one.
    pub(crate) fn whole_lines(&self) -> Vec<String> {
        whole_lines(&self.stdout)
    }

    /// The lines of its output. A process that was not killed leaves no torn line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<String> {
        let whole = self.stdout.is_empty() || self.stdout.ends_with('\n') || self.signal().is_some();
        assert!(whole, "a torn last line: {:?}", self.stdout.lines().last());
        whole_lines(&self.stdout)
    }
}

/// Waits until a file has so many lines.
pub(crate) fn until_lines_in(path: &Path, count: usize) {
    eventually(&format!("{} has {count} lines", path.display()), || {
        std::fs::read_to_string(path).is_ok_and(|text| whole_lines(&text).len() >= count)
    });
}
