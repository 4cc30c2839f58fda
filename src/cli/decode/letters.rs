//! Dead-letter lines: their parts are joined, and what they hold is decoded once more.
//!
//! A later release may read what an earlier one could not, and behind a place where a blob's framing was lost there can be whole
//! records. The parts of an element stand in its file in order, but other elements' lines may stand between them, so several
//! elements are open at a time, within [`HELD_MAX`].

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::complaints::DeadElement;
use crate::decode::{Item, MAX_ELEMENT, Sequence};
use crate::domain::{ContentId, ContentType, RecordTypes, TenantId, Time};

/// Bytes that open elements may hold together: four of the largest.
const HELD_MAX: usize = 4 * MAX_ELEMENT;
/// Elements that may be open: far more than a poller has blobs in flight.
const OPEN_MAX: usize = 1024;

/// The element that a dead letter is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tenant: TenantId,
    pub(super) content_type: ContentType,
    pub(super) content_id: ContentId,
    pub(super) created: Time,
    /// Its place in the blob.
    pub(super) index: u64,
}

/// One line of a dead-letter file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    origin: Origin,
    part: u32,
    last: bool,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Line {
    tenant: TenantId,
    content_type: ContentType,
    content_id: String,
    content_created: String,
    index: u64,
    part: u32,
    last: bool,
    bytes: String,
}

impl Letter {
    /// Reads a line; `None` if it only looks like one of ours.
    pub(super) fn read(raw: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(raw).ok()?;
        let origin = Origin {
            tenant: line.tenant,
            content_type: line.content_type,
            content_id: ContentId(line.content_id),
            created: Time::parse(&line.content_created)?,
            index: line.index,
        };
        Some(Self { origin, part: line.part, last: line.last, bytes: STANDARD.decode(line.bytes).ok()? })
    }
}

/// What is found in dead letters.
pub(super) enum Found<'a> {
    /// Something that the joined bytes hold. The place for the parts of what is dead still is its element's own.
    Item(&'a Origin, &'a mut DeadElement, Item<'a>),
    /// Parts of this element are not in the file.
    Incomplete(&'a Origin),
}

struct Open {
    origin: Origin,
    next: u32,
    taken: usize,
    sequence: Sequence,
    dead: DeadElement,
}

impl Open {
    /// No decoder holds more than the longest element.
    fn held(&self) -> usize {
        self.taken.min(MAX_ELEMENT)
    }

    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Found<'_>)) {
        self.next += 1;
        self.taken = self.taken.saturating_add(bytes.len());
        let Self { origin, sequence, dead, .. } = self;
        sequence.push(bytes, &mut |item| each(Found::Item(origin, dead, item)));
    }

    fn finish(self, each: &mut impl FnMut(Found<'_>)) {
        let Self { origin, sequence, mut dead, .. } = self;
        sequence.finish(&mut |item| each(Found::Item(&origin, &mut dead, item)));
    }
}

/// The elements of a dead-letter file whose parts are being joined.
pub(super) struct Letters {
    filter: RecordTypes,
    open: VecDeque<Open>,
}

impl Letters {
    pub(super) fn new(filter: RecordTypes) -> Self {
        Self { filter, open: VecDeque::new() }
    }

    /// Takes the next line of the file.
    pub(super) fn take(&mut self, letter: Letter, each: &mut impl FnMut(Found<'_>)) {
        let Letter { origin, part, last, bytes } = letter;
        let known = self.open.iter().position(|open| open.origin == origin).and_then(|at| self.open.remove(at));
        let mut open = match known {
            Some(open) if open.next == part => open,
            // A batch that was written and not committed is written once more, from the element's beginning.
            _ if part == 0 => {
                let sequence = Sequence::new(self.filter.clone());
                Open { origin, next: 0, taken: 0, sequence, dead: DeadElement::default() }
            }
            // Bytes from the middle of an element: objects inside of it must not pass for records.
            _ => return each(Found::Incomplete(&origin)),
        };
        open.push(&bytes, each);
        if last {
            return open.finish(each);
        }
        self.open.push_back(open);
        while self.open.len() > OPEN_MAX || self.open.iter().map(Open::held).sum::<usize>() > HELD_MAX {
            self.give_up_oldest(each);
        }
    }

    /// Takes the end of the file.
    pub(super) fn end(&mut self, each: &mut impl FnMut(Found<'_>)) {
        while !self.open.is_empty() {
            self.give_up_oldest(each);
        }
    }

    fn give_up_oldest(&mut self, each: &mut impl FnMut(Found<'_>)) {
        if let Some(open) = self.open.pop_front() {
            let origin = open.origin.clone();
            // Whole records that came before the end of what is there are as good as any. What is broken there, is so for this reason.
            open.finish(&mut |found| {
                if !matches!(found, Found::Item(_, _, Item::Dead { .. })) {
                    each(found);
                }
            });
            each(Found::Incomplete(&origin));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, part: u32, last: bool, bytes: &[u8]) -> Letter {
        let text = format!(
            r#"{{"tenant":"11111111-0000-4000-8000-000000000001","content_type":"Audit.General","content_id":"{id}","content_created":"2026-03-01T12:00:00Z","index":3,"reason":"framing_lost","part":{part},"last":{last},"bytes":"{}"}}"#,
            STANDARD.encode(bytes)
        );
        Letter::read(text.as_bytes()).unwrap()
    }

    /// Records as text, dead bytes with a `!`, incomplete elements with a `?`.
    fn told(lines: Vec<Letter>) -> Vec<String> {
        let mut told = Vec::new();
        let mut letters = Letters::new(RecordTypes::All);
        let mut each = |found: Found<'_>| match found {
            Found::Item(origin, _, Item::Wanted { raw, index }) => {
                told.push(format!("{} {index} {}", origin.content_id, String::from_utf8_lossy(raw)))
            }
            Found::Item(origin, _, Item::Dead { raw, .. }) => {
                told.push(format!("{} ! {}", origin.content_id, String::from_utf8_lossy(raw)))
            }
            Found::Item(..) => {}
            Found::Incomplete(origin) => told.push(format!("{} ?", origin.content_id)),
        };
        for line in lines {
            letters.take(line, &mut each);
        }
        letters.end(&mut each);
        told
    }

    #[test]
    fn parts_are_joined_even_with_others_between_them() {
        let lines = vec![line("a", 0, false, b"{\"x\":"), line("b", 0, true, b"{\"y\":1},{\"y\":2}"), line("a", 1, true, b"5}")];
        assert_eq!(told(lines), ["b 0 {\"y\":1}", "b 1 {\"y\":2}", "a 0 {\"x\":5}"]);
    }

    #[test]
    fn an_element_that_was_written_again_is_read_from_its_new_beginning() {
        let lines = vec![line("a", 0, false, b"{\"x\":"), line("a", 0, false, b"{\"x\":"), line("a", 1, true, b"5}")];
        assert_eq!(told(lines), ["a 0 {\"x\":5}"]);
    }

    #[test]
    fn missing_parts_are_told_and_the_middle_of_an_element_is_no_record() {
        assert_eq!(told(vec![line("a", 1, true, b"\"in\":{\"RecordType\":28}}")]), ["a ?"]);
        assert_eq!(told(vec![line("a", 0, false, b"{}, {\"x\":")]), ["a 0 {}", "a ?"]);
        assert_eq!(told(vec![line("a", 0, false, b"{\"x\":"), line("a", 2, true, b"5}")]), ["a ?"]);
    }

    #[test]
    fn what_only_looks_like_a_line_of_ours_is_none() {
        for text in [
            r#"{"reason":"a","bytes":"eA=="}"#,
            r#"{"tenant":"t","content_type":"Audit.General","content_id":"c","content_created":"2026-03-01T12:00:00Z","index":3,"reason":"a","part":0,"last":true,"bytes":"eA=="}"#,
            r#"{"tenant":"11111111-0000-4000-8000-000000000001","content_type":"Audit.General","content_id":"c","content_created":"2026-03-01T12:00:00Z","index":3,"reason":"a","part":0,"last":true,"bytes":"not base64"}"#,
        ] {
            assert_eq!(Letter::read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_held_stays_bounded() {
        let mut letters = Letters::new(RecordTypes::All);
        let mut incomplete = 0;
        let mut each = |found: Found<'_>| incomplete += u32::from(matches!(found, Found::Incomplete(_)));
        let part = [b"{\"x\":\"".as_slice(), &vec![b'x'; MAX_ELEMENT]].concat();
        for n in 0..6 {
            letters.take(line(&n.to_string(), 0, false, &part), &mut each);
        }
        assert!(letters.open.iter().map(Open::held).sum::<usize>() <= HELD_MAX);
        for n in 0..2 * OPEN_MAX {
            letters.take(line(&format!("s{n}"), 0, false, b"{"), &mut each);
        }
        assert!(letters.open.len() <= OPEN_MAX);
        letters.end(&mut each);
        assert_eq!(incomplete, 6 + 2 * OPEN_MAX as u32);
    }
}
