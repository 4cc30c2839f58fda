//! Framing: where elements begin and end in the input, and what becomes of each.

use super::held::{Held, tell_dead};
use super::kind::{self, Hint};
use super::lines::{Finder, Line};
use super::members::members;
use super::scan::{Around, Scanner, Step};
use super::skip::{blank_end, is_blank, trim_end};
use super::stops::Stops;
use super::{DeadReason, Ending, Item, Shape};
use crate::domain::RecordTypes;

mod resync;

/// The limits of a decoder, in bytes. Tests use small ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) element: usize,
    pub(super) part: usize,
    pub(super) error: usize,
}

impl Limits {
    /// Those of the product.
    pub(super) const REAL: Limits = Limits { element: super::MAX_ELEMENT, part: super::MAX_PART, error: super::MAX_ERROR };
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where in the input the framer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// So many bytes of a byte order mark were seen, and nothing else.
    Start(usize),
    /// Before a document.
    Top,
    /// In an array, between elements.
    Array,
    /// In an element.
    Element,
    /// Behind the document.
    Behind,
    /// Where framing was lost: all goes to the dead letter.
    Rest,
}

/// What a sequence knows besides.
#[derive(Debug)]
struct Lines {
    line: Line,
    /// The indentation of the line where the open array began.
    array: usize,
    /// The indentation of the line where the element began.
    element: usize,
    /// Looks for the line that ends a broken element.
    finder: Finder,
}

/// The state machine behind [`super::Decoder`] and [`super::Sequence`].
#[derive(Debug)]
pub(super) struct Framer {
    filter: RecordTypes,
    limits: Limits,
    place: Place,
    /// What the element stands in.
    around: Around,
    scanner: Scanner,
    stops: Stops,
    held: Held,
    elements: u64,
    saw_array: bool,
    saw_object: bool,
    lost: bool,
    error: Option<Vec<u8>>,
    /// Set in a sequence.
    lines: Option<Lines>,
}

impl Framer {
    /// For one blob.
    pub(super) fn blob(filter: RecordTypes, limits: Limits) -> Self {
        Framer {
            filter,
            limits,
            place: Place::Start(0),
            around: Around::Alone,
            scanner: Scanner::start(Around::Alone),
            stops: Stops::new(),
            held: Held::default(),
            elements: 0,
            saw_array: false,
            saw_object: false,
            lost: false,
            error: None,
            lines: None,
        }
    }

    /// For a sequence of documents.
    pub(super) fn sequence(filter: RecordTypes, limits: Limits) -> Self {
        let lines = Lines { line: Line::START, array: 0, element: 0, finder: Finder::new(0) };
        Framer { lines: Some(lines), ..Framer::blob(filter, limits) }
    }

    /// Takes the next bytes.
    pub(super) fn push<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], each: &mut F) {
        let mut pos = 0;
        self.look_anew();
        while pos < chunk.len() {
            pos = match self.place {
                Place::Element => self.element(chunk, pos, each),
                Place::Array => self.between(chunk, pos),
                Place::Start(seen) => self.start(chunk, pos, seen, each),
                Place::Top => self.top(chunk, pos),
                Place::Behind => self.behind(chunk, pos),
                Place::Rest => self.rest(chunk, pos, each),
            };
        }
    }

    /// Takes the end of the input.
    pub(super) fn finish<F: FnMut(Item<'_>)>(mut self, each: &mut F) -> Ending {
        if let Place::Start(seen @ 1..) = self.place {
            self.no_mark(seen, each);
        }
        while self.place == Place::Element && self.scanner.fault().is_none() && !self.held.is_leaving() {
            if !self.restart_within_held(each) {
                break;
            }
        }
        match self.place {
            Place::Element if self.scanner.ends_with_input() => self.complete(&[], self.scanner.fault(), each),
            Place::Element => self.lose(&[], each),
            Place::Array => self.lost = true,
            Place::Start(_) | Place::Top | Place::Behind | Place::Rest => {}
        }
        self.end_dead(each);
        let shape = match self.error {
            Some(raw) => Shape::Error(raw),
            None if self.lost => Shape::Lost,
            None if self.saw_array => Shape::Array,
            None if self.saw_object => Shape::Object,
            None => Shape::Nothing,
        };
        Ending { elements: self.elements, shape }
    }

    /// The next bytes to be scanned are of another slice, or were looked at before.
    fn look_anew(&mut self) {
        self.stops.reset(self.place == Place::Element && self.scanner.is_escaping());
    }

    /// At the very start: a byte order mark is passed over.
    fn start<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], pos: usize, seen: usize, each: &mut F) -> usize {
        if chunk[pos] == BYTE_ORDER_MARK[seen] {
            self.place = if seen + 1 == BYTE_ORDER_MARK.len() { Place::Top } else { Place::Start(seen + 1) };
            self.passed(&chunk[pos..pos + 1]);
            return pos + 1;
        }
        self.no_mark(seen, each);
        pos
    }

    /// What looked like a byte order mark was none: its bytes are taken up as what they are.
    fn no_mark<F: FnMut(Item<'_>)>(&mut self, seen: usize, each: &mut F) {
        let bytes = &BYTE_ORDER_MARK[..seen];
        self.place = Place::Top;
        if bytes.is_empty() {
            return;
        }
        if self.lines.is_some() {
            self.saw_object = true;
            self.begin(Around::Sequence);
            self.look_anew();
            self.element(bytes, 0, each);
            self.look_anew();
        } else {
            self.lose(bytes, each);
        }
    }

    /// Before a document.
    fn top(&mut self, chunk: &[u8], pos: usize) -> usize {
        let next = match (chunk[pos], &self.lines) {
            (byte, _) if is_blank(byte) => blank_end(chunk, pos),
            (b',', Some(_)) => pos + 1,
            (b'[', _) => {
                self.open_array();
                pos + 1
            }
            (b'\xEF', Some(_)) => {
                self.place = Place::Start(0);
                pos
            }
            (_, Some(_)) => {
                self.saw_object = true;
                self.begin(Around::Sequence);
                pos
            }
            (b'{', None) => {
                self.saw_object = true;
                self.begin(Around::Alone);
                pos
            }
            (_, None) => self.derail(pos),
        };
        self.passed(&chunk[pos..next]);
        next
    }

    fn open_array(&mut self) {
        self.saw_array = true;
        self.place = Place::Array;
        if let Some(lines) = &mut self.lines {
            lines.array = lines.line.indent;
        }
    }

    /// In an array, between elements.
    fn between(&mut self, chunk: &[u8], pos: usize) -> usize {
        let next = match chunk[pos] {
            b',' => pos + 1,
            b']' => {
                self.place = if self.lines.is_some() { Place::Top } else { Place::Behind };
                pos + 1
            }
            byte if is_blank(byte) => blank_end(chunk, pos),
            b'[' if self.lines.as_ref().is_some_and(|l| l.line.is_blank && l.line.indent <= l.array) => {
                self.lost = true;
                self.open_array();
                pos + 1
            }
            _ => {
                self.begin(Around::Array);
                pos
            }
        };
        self.passed(&chunk[pos..next]);
        next
    }

    /// Behind the document.
    fn behind(&mut self, chunk: &[u8], pos: usize) -> usize {
        if is_blank(chunk[pos]) { blank_end(chunk, pos) } else { self.derail(pos) }
    }

    /// From here on nothing is an element.
    fn derail(&mut self, pos: usize) -> usize {
        self.lost = true;
        self.held.leave(DeadReason::FramingLost);
        self.place = Place::Rest;
        pos
    }

    fn begin(&mut self, around: Around) {
        self.around = around;
        self.scanner = Scanner::start(around);
        self.stops.forget_others();
        self.place = Place::Element;
        if let Some(lines) = &mut self.lines {
            lines.element = lines.line.indent;
        }
    }

    /// In an element, whose bytes in this chunk begin at `from`.
    fn element<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], from: usize, each: &mut F) -> usize {
        let mut at = from;
        loop {
            let step = self.scanner.run(chunk, from, at, &mut self.stops);
            if let Step::Broken(bad) = step {
                if let Some(next) = self.look_back(chunk, from, bad, each) {
                    self.look_anew();
                    return next;
                }
                at = bad;
                continue;
            }
            let reach = match step {
                Step::End(end) | Step::Lost(end) => end,
                Step::More | Step::Broken(_) => chunk.len(),
            };
            if let Some(fault) = self.scanner.fault()
                && let Some((found, indent)) = self.lines.as_mut().and_then(|lines| lines.finder.find(&chunk[at..reach]))
            {
                let next = self.cut_at_line(chunk, from, at + found, indent, fault, each);
                self.look_anew();
                return next;
            }
            let bytes = &chunk[from..reach];
            match step {
                Step::End(_) => self.complete(bytes, self.scanner.fault(), each),
                Step::Lost(_) => self.lose(bytes, each),
                Step::More | Step::Broken(_) => self.hold(bytes, each),
            }
            return reach;
        }
    }

    /// The element goes on in the next chunk.
    fn hold<F: FnMut(Item<'_>)>(&mut self, bytes: &[u8], each: &mut F) {
        self.passed(bytes);
        if self.exceeds(bytes.len()) {
            self.held.leave(DeadReason::TooLarge);
        }
        if self.held.is_leaving() {
            self.held.send(self.elements, bytes, &self.limits, each);
        } else {
            self.held.add(bytes, self.limits.element);
        }
    }

    /// True if the element with so many more bytes is longer than allowed.
    fn exceeds(&self, more: usize) -> bool {
        self.held.bytes().len() + more > self.limits.element
    }

    /// The element ends with these bytes.
    fn complete<F: FnMut(Item<'_>)>(&mut self, bytes: &[u8], fault: Option<DeadReason>, each: &mut F) {
        self.place = match self.around {
            Around::Array => Place::Array,
            Around::Alone => Place::Behind,
            Around::Sequence => Place::Top,
        };
        if self.held.is_leaving() || self.exceeds(bytes.len()) {
            self.hold(bytes, each);
            self.end_dead(each);
        } else if self.held.bytes().is_empty() {
            self.passed(bytes);
            self.judge(bytes, fault, each);
        } else {
            self.hold(bytes, each);
            let whole = self.held.take();
            self.judge(&whole, fault, each);
            self.held.give_back(whole);
        }
    }

    /// Tells what a whole element is.
    fn judge<F: FnMut(Item<'_>)>(&mut self, raw: &[u8], fault: Option<DeadReason>, each: &mut F) {
        let raw = if fault.is_some() { trim_end(raw) } else { raw };
        let index = self.elements;
        let reason = match fault {
            // In a valid element, what is not ASCII stands in strings, and the scanner has seen all of these.
            _ if (fault.is_some() || self.scanner.may_exceed_ascii() || self.stops.has_others())
                && std::str::from_utf8(raw).is_err() =>
            {
                Some(DeadReason::InvalidUtf8)
            }
            None if raw.first() != Some(&b'{') => Some(DeadReason::NotAnObject),
            fault => fault,
        };
        let hint = self.scanner.hint();
        if let Some(reason) = reason {
            tell_dead(index, reason, raw, &self.limits, each);
        } else if self.around == Around::Alone && is_error_body(raw, hint) {
            self.error = Some(raw[..raw.len().min(self.limits.error)].to_vec());
            return;
        } else if kind::is_wanted(&self.filter, raw, hint) {
            each(Item::Wanted { index, raw });
        } else {
            each(Item::Filtered { index });
        }
        self.elements += 1;
    }

    /// Framing is lost in the element: its bytes so far go to the dead letter, and all that follow.
    fn lose<F: FnMut(Item<'_>)>(&mut self, bytes: &[u8], each: &mut F) {
        self.lost = true;
        self.place = Place::Rest;
        self.held.leave(if self.exceeds(bytes.len()) { DeadReason::TooLarge } else { DeadReason::FramingLost });
        self.passed(bytes);
        self.held.send(self.elements, bytes, &self.limits, each);
    }

    /// Framing is lost: to the end of the input, or, in a sequence, to the next line where a document may begin.
    fn rest<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], from: usize, each: &mut F) -> usize {
        let found = self.lines.as_mut().and_then(|lines| lines.finder.find(&chunk[from..]));
        let Some((found, indent)) = found else {
            self.held.send(self.elements, &chunk[from..], &self.limits, each);
            return chunk.len();
        };
        self.held.send(self.elements, &chunk[from..from + found], &self.limits, each);
        self.end_dead(each);
        if let Some(lines) = &mut self.lines {
            lines.line = Line { indent, is_blank: true };
        }
        self.place = Place::Top;
        from + found
    }

    /// Ends the dead bytes that are going out, if there are any.
    fn end_dead<F: FnMut(Item<'_>)>(&mut self, each: &mut F) {
        if self.held.end(self.elements, &self.limits, each) {
            self.elements += 1;
        }
    }

    /// These bytes have been read.
    fn passed(&mut self, bytes: &[u8]) {
        if let Some(lines) = &mut self.lines {
            lines.line.pass(bytes);
        }
    }
}

/// True if a valid object is what the service sends instead of content when something is wrong (`activity-api.md` section 10).
fn is_error_body(raw: &[u8], hint: Hint) -> bool {
    let has = |name| members(raw).any(|member| member.is(name));
    !matches!(hint, Hint::At(_)) && has("error") && !has(kind::KEY)
}
