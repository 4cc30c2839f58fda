//! What a check found, and how it is shown.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::Exit;
use crate::telemetry::Escaped;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// Nothing to do.
    Ok,
    /// It works, and deserves a look.
    Warn,
    /// It keeps the tenant from being collected.
    Fail,
    /// It was not looked at, because of an earlier failure.
    Skip,
}

impl Status {
    /// The word in front of a line. A failure stands out, for eyes and for `grep`.
    fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
            Status::Skip => "skip",
        }
    }
}

/// One check's outcome. The JSON is a documented interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How it ended.
    pub(super) status: Status,
    /// What was found.
    pub(super) detail: String,
    /// What to do about it.
    pub(super) next: Option<String>,
    /// The exit code that it leads to by itself.
    #[serde(skip)]
    pub(super) exit: Exit,
}

/// The findings about one tenant, or about this host, in the order of looking.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    /// What is being looked at, for the case that it takes too long.
    pub(super) looking_at: &'static str,
}

impl Findings {
    pub(super) fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Status::Ok, detail.into(), None, Exit::Done);
    }

    pub(super) fn warn(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(check, Status::Warn, detail.into(), Some(next.into()), Exit::Done);
    }

    pub(super) fn fail(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>, exit: Exit) {
        let next = Some(next.into()).filter(|next| !next.is_empty());
        self.add(check, Status::Fail, detail.into(), next, exit);
    }

    pub(super) fn skip(&mut self, checks: &[&'static str], why: &str) {
        for check in checks {
            self.add(check, Status::Skip, format!("not looked at: {why}"), None, Exit::Done);
        }
    }

    fn add(&mut self, check: &'static str, status: Status, detail: String, next: Option<String>, exit: Exit) {
        self.list.push(Finding { check, status, detail, next, exit });
    }

    /// The worst that any of them leads to.
    pub(super) fn exit(&self) -> Exit {
        self.list.iter().fold(Exit::Done, |worst, finding| worst.worst(finding.exit))
    }

    /// One line a check, and below a line that needs it what to do.
    pub(super) fn render(&self, title: &str) -> String {
        let mut text = format!("{}\n", Escaped(title));
        let width = self.list.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        for Finding { check, status, detail, next, .. } in &self.list {
            let word = status.word();
            writeln!(text, "  {word:4}  {check:width$}  {}", Escaped(detail)).expect("writing to memory does not fail");
            if let Some(next) = next {
                writeln!(text, "  {:4}  {:width$}  next: {}", "", "", Escaped(next)).expect("writing to memory does not fail");
            }
        }
        text
    }
}

/// How many there are of each kind, in one line.
pub(super) fn summary<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let mut counts = [0u32; 4];
    for finding in findings {
        counts[finding.status as usize] += 1;
    }
    let [ok, warn, fail, skip] = counts;
    let verdict = match (fail, warn) {
        (0, 0) => "all is well",
        (0, _) => "it works; see the warnings",
        _ => "something has to be done",
    };
    format!("{verdict}: {ok} ok, {warn} warnings, {fail} failed, {skip} skipped\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings::default();
        findings.ok("secret", "readable");
        findings.fail("token", "refused\nby Entra", "make a new secret", Exit::Refused);
        findings.skip(&["subscription"], "there is no token");
        findings
    }

    #[test]
    fn a_line_says_what_was_found_and_the_next_what_to_do() {
        assert_eq!(
            findings().render("contoso"),
            "contoso\n  \
             ok    secret        readable\n  \
             FAIL  token         refused\\nby Entra\n                      next: make a new secret\n  \
             skip  subscription  not looked at: there is no token\n"
        );
    }

    #[test]
    fn the_worst_finding_decides() {
        let mut findings = findings();
        assert_eq!(findings.exit(), Exit::Refused);
        findings.warn("clock", "a bit off", "look");
        assert_eq!(findings.exit(), Exit::Refused);
        findings.fail("secret", "gone", "", Exit::Config);
        assert_eq!(findings.exit(), Exit::Config);
        assert_eq!(findings.list.last().unwrap().next, None);
        assert_eq!(summary(findings.list.iter()), "something has to be done: 1 ok, 1 warnings, 2 failed, 1 skipped\n");
    }
}
