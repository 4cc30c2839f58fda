//! What `decode` says about bytes that are no records: each of the first ones by itself, all of them in number.

use std::collections::BTreeMap;

use crate::decode::{DeadReason, MAX_DEPTH, MAX_ELEMENT};
use crate::telemetry::{Console, Escaped};

/// Elements of a file that are described one by one. A file that is no JSON at all can have millions.
const DESCRIBED: u64 = 10;
/// Bytes of an element that are shown.
const SHOWN: usize = 60;

/// An element that is no record, while its parts arrive.
#[derive(Debug, Default)]
pub(super) struct DeadElement {
    bytes: u64,
    beginning: Vec<u8>,
}

impl DeadElement {
    pub(super) fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        let room = SHOWN.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.beginning);
        let more = if self.bytes > self.beginning.len() as u64 { " …" } else { "" };
        format!("{} bytes: {}{more}", self.bytes, Escaped(&text))
    }
}

/// The complaints about one file.
pub(super) struct Complaints<'a> {
    console: &'a Console,
    name: String,
    by_reason: BTreeMap<&'static str, u64>,
}

impl<'a> Complaints<'a> {
    pub(super) fn new(console: &'a Console, name: &str) -> Self {
        Self { console, name: Escaped(name).to_string(), by_reason: BTreeMap::new() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.by_reason.values().sum()
    }

    /// An element is no record. `place` names it within the file.
    pub(super) fn dead(&mut self, place: &str, reason: DeadReason, element: &DeadElement) {
        let text = format!("{place} is no record: {} ({reason}); {}", meaning(reason), element.describe());
        self.count_and_say(reason.as_str(), &text);
    }

    /// Something is missing that is no element of this file. `reason` in snake_case.
    pub(super) fn missing(&mut self, reason: &'static str, text: &str) {
        self.count_and_say(reason, &format!("{text} ({reason})"));
    }

    /// Says something that is not counted here.
    pub(super) fn say(&self, text: &str) {
        self.console.error(&format!("{}: {text}", self.name));
    }

    fn count_and_say(&mut self, reason: &'static str, text: &str) {
        *self.by_reason.entry(reason).or_default() += 1;
        match self.count() {
            n if n <= DESCRIBED => self.say(text),
            n if n == DESCRIBED + 1 => self.say("more of that kind; from here on they are only counted"),
            _ => {}
        }
    }

    /// The numbers, at the end of a file with more than could be described.
    pub(super) fn end(&self) {
        if self.count() > DESCRIBED {
            let parts: Vec<_> = self.by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            self.say(&format!("{} places in all that are no records: {}", self.count(), parts.join(", ")));
        }
    }
}

fn meaning(reason: DeadReason) -> String {
    match reason {
        DeadReason::InvalidSyntax => "it is not valid JSON".to_owned(),
        DeadReason::InvalidUtf8 => "it is not UTF-8".to_owned(),
        DeadReason::TooDeep => format!("its brackets nest deeper than {MAX_DEPTH}"),
        DeadReason::TooLarge => format!("it is longer than {MAX_ELEMENT} bytes"),
        DeadReason::NotAnObject => "it is no JSON object".to_owned(),
        DeadReason::FramingLost => "it was cut off, or its end can't be told".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_element_is_shown_by_its_beginning_and_escaped() {
        let mut element = DeadElement::default();
        element.add(b"{\"a\":\x1b[2J\xff");
        element.add(&[b'x'; 100]);
        let text = element.describe();
        assert!(text.starts_with("110 bytes: {\"a\":\\u{1b}[2J\u{fffd}xxx") && text.ends_with("x …"), "{text}");
        let mut short = DeadElement::default();
        short.add(b"null");
        assert_eq!(short.describe(), "4 bytes: null");
    }

    #[test]
    fn every_complaint_is_counted() {
        let console = Console::plain();
        let mut complaints = Complaints::new(&console, "a");
        for _ in 0..12 {
            complaints.missing("cut_off", "made up");
        }
        complaints.dead("element 1", DeadReason::TooDeep, &DeadElement::default());
        assert_eq!(complaints.count(), 13);
        assert_eq!(complaints.by_reason, [("cut_off", 12), ("too_deep", 1)].into());
    }
}
