//! One element: checks it against the grammar and finds its end, over chunks cut anywhere.
//!
//! The state between two bytes is held in a few words: what may come next, and one bit for each open bracket. As long as the
//! element is valid, `validate` reads it: in `straight` where tokens are whole, which is nearly everywhere, and piece by piece where
//! they are not. From the first byte that breaks the grammar on, `track` follows only strings and brackets, to find where the
//! element ends. Whether the bytes are UTF-8 is not checked here.

use memchr::{memchr, memchr2};

use super::DeadReason;
use super::kind::{Hint, KEY};
use super::skip::{blank_end, is_blank, plain_end};
use super::stops::Stops;

mod straight;

/// See [`super::MAX_DEPTH`]; the kinds of the open brackets are the bits of a `u128`.
pub(super) const MAX_DEPTH: u32 = u128::BITS;

/// What an element stands in. It decides what ends an element that has no brackets of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// An array: a comma or the closing bracket.
    Array,
    /// Nothing: the element is a whole document, and begins with a bracket.
    Alone,
    /// A sequence of documents: white space or a comma, or, if the element is broken, the end of the line.
    Sequence,
}

/// Why the scanner stopped. Positions are those of the slice it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The slice is used up and the element goes on.
    More,
    /// The element ends before this position.
    End(usize),
    /// This byte breaks the grammar. The next run begins here, and tracks.
    Broken(usize),
    /// This byte contradicts the brackets: nobody can say where the element ends.
    Lost(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value must come.
    Value,
    /// Behind `[`: a value or `]`.
    FirstValue,
    /// Behind `{`: a key or `}`.
    FirstKey,
    /// Behind a comma in an object.
    Key,
    /// Behind a key.
    Colon,
    /// Behind a value within brackets: a comma or the closing bracket.
    After,
    /// In a string.
    Text,
    /// In a string, behind a backslash.
    Escape,
    /// In a string, where so many hexadecimal digits must come.
    Hex(u8),
    Number(Number),
    /// In a literal, of which this must come.
    Literal(&'static [u8]),
    /// Behind a literal that is the whole element: something must end it.
    LiteralEnd,
    /// Broken, outside of strings.
    LostOpen,
    /// Broken, in a string.
    LostText,
    /// Broken, in a string, behind a backslash.
    LostEscape,
}

/// What has been read of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    fn next(self, byte: u8) -> Option<Number> {
        use Number::*;
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
            (Zero | Whole, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Whole | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => Sign,
            (E | Sign | Exponent, b'0'..=b'9') => Exponent,
            _ => return None,
        })
    }

    fn is_complete(self) -> bool {
        matches!(self, Number::Zero | Number::Whole | Number::Fraction | Number::Exponent)
    }
}

/// Checks one element after the other; `start` begins a new one.
#[derive(Debug)]
pub(super) struct Scanner {
    around: Around,
    state: State,
    /// How many brackets are open, up to [`MAX_DEPTH`].
    depth: u32,
    /// For each of them from the lowest bit, innermost first: 1 if it is a brace.
    braces: u128,
    /// How many more are open, in a broken element.
    deeper: u64,
    /// The element began with a bracket, so it ends with one.
    bracketed: bool,
    /// The string that is being read is a key.
    in_key: bool,
    /// A key was read whose bytes were not looked at all together.
    loose_key: bool,
    /// Where in the element its text began.
    key_start: usize,
    hint: Hint,
    fault: Option<DeadReason>,
    /// How many bytes of the element came in earlier slices.
    earlier: usize,
}

impl Scanner {
    /// A scanner at the start of an element.
    pub(super) fn start(around: Around) -> Self {
        Scanner {
            around,
            state: State::Value,
            depth: 0,
            braces: 0,
            deeper: 0,
            bracketed: false,
            in_key: false,
            loose_key: false,
            key_start: 0,
            hint: Hint::Absent,
            fault: None,
            earlier: 0,
        }
    }

    /// What breaks the grammar, if anything does.
    pub(super) fn fault(&self) -> Option<DeadReason> {
        self.fault
    }

    /// Where the `RecordType` of the element stands, once it has ended.
    pub(super) fn hint(&self) -> Hint {
        self.hint
    }

    /// True if the next byte is escaped.
    pub(super) fn is_escaping(&self) -> bool {
        self.state == State::Escape
    }

    /// True if there may be more than ASCII in places that were not asked about.
    pub(super) fn may_exceed_ascii(&self) -> bool {
        self.loose_key
    }

    /// How many bytes of the element came in earlier slices.
    pub(super) fn earlier(&self) -> usize {
        self.earlier
    }

    /// True if the element is complete when the input ends here.
    pub(super) fn ends_with_input(&self) -> bool {
        if self.around != Around::Sequence || self.bracketed {
            return false;
        }
        match self.state {
            State::Number(number) => number.is_complete(),
            State::LiteralEnd => true,
            _ => self.fault.is_some(),
        }
    }

    /// Reads on from `from`. The element's bytes in this slice begin at `begin`: its first byte, or 0 if it came over from the
    /// slice before.
    pub(super) fn run(&mut self, bytes: &[u8], begin: usize, from: usize, stops: &mut Stops) -> Step {
        let step = if self.fault.is_none() { self.validate(bytes, begin, from, stops) } else { self.track(bytes, from) };
        if step == Step::More {
            self.earlier += bytes.len() - begin;
        }
        step
    }

    fn validate(&mut self, bytes: &[u8], begin: usize, from: usize, stops: &mut Stops) -> Step {
        let mut pos = from;
        loop {
            if self.depth == 0 && self.state == State::Value && bytes.get(pos) == Some(&b'{') {
                self.bracketed = true;
                self.push_bracket(b'{');
                self.state = State::FirstKey;
                pos += 1;
            }
            if self.depth > 0 {
                match self.straight(bytes, begin, pos, stops) {
                    Ok(next) => pos = next,
                    Err(step) => return step,
                }
            }
            let Some(&byte) = bytes.get(pos) else { return Step::More };
            match self.piece(bytes, begin, pos, byte, stops) {
                Ok(next) => pos = next,
                Err(step) => return step,
            }
        }
    }

    /// Reads a token, or as much of it as is in the slice, however it is written. Not inlined, so that the compiler has the
    /// registers for `straight`.
    #[inline(never)]
    fn piece(&mut self, bytes: &[u8], begin: usize, pos: usize, byte: u8, stops: &mut Stops) -> Result<usize, Step> {
        match self.state {
            State::Text if self.in_key => self.key_text(bytes, begin, pos),
            State::Text => self.text(bytes, pos, stops),
            State::Key | State::FirstKey => self.key(bytes, begin, pos, byte),
            State::Colon if byte == b':' => self.went(State::Value, pos + 1),
            State::Value | State::FirstValue => self.value(bytes, pos, byte),
            State::After => self.after(bytes, pos, byte),
            State::Escape | State::Hex(_) => self.escape(pos, byte),
            State::Number(number) => self.number(bytes, pos, number),
            State::Literal(rest) => self.literal(pos, byte, rest),
            State::LiteralEnd if self.ends_scalar(byte) => Err(Step::End(pos)),
            State::Colon => self.blank(bytes, pos, byte),
            State::LiteralEnd | State::LostOpen | State::LostText | State::LostEscape => Err(self.broken(pos)),
        }
    }

    /// A top-level key is `RecordType`, and ends here.
    fn found_type(&mut self, end: usize) {
        self.hint = match self.hint {
            Hint::Absent => Hint::At(end),
            Hint::At(_) | Hint::Look => Hint::Look,
        };
    }

    #[inline]
    fn went(&mut self, state: State, pos: usize) -> Result<usize, Step> {
        self.state = state;
        Ok(pos)
    }

    /// White space where it is legal; anything else is not.
    fn blank(&mut self, bytes: &[u8], pos: usize, byte: u8) -> Result<usize, Step> {
        if is_blank(byte) { Ok(blank_end(bytes, pos)) } else { Err(self.broken(pos)) }
    }

    #[inline]
    fn key(&mut self, bytes: &[u8], begin: usize, pos: usize, byte: u8) -> Result<usize, Step> {
        match byte {
            b'"' => {
                self.in_key = true;
                self.key_start = self.earlier + pos + 1 - begin;
                self.went(State::Text, pos + 1)
            }
            b'}' if self.state == State::FirstKey => self.close(pos, byte),
            _ => self.blank(bytes, pos, byte),
        }
    }

    #[inline]
    fn value(&mut self, bytes: &[u8], pos: usize, byte: u8) -> Result<usize, Step> {
        match byte {
            b'"' => self.went(State::Text, pos + 1),
            b'{' | b'[' => self.open(pos, byte),
            b'-' => self.went(State::Number(Number::Minus), pos + 1),
            b'0' => self.went(State::Number(Number::Zero), pos + 1),
            b'1'..=b'9' => self.went(State::Number(Number::Whole), pos + 1),
            b't' => self.went(State::Literal(b"rue"), pos + 1),
            b'f' => self.went(State::Literal(b"alse"), pos + 1),
            b'n' => self.went(State::Literal(b"ull"), pos + 1),
            b']' if self.state == State::FirstValue => self.close(pos, byte),
            _ => self.blank(bytes, pos, byte),
        }
    }

    #[inline]
    fn after(&mut self, bytes: &[u8], pos: usize, byte: u8) -> Result<usize, Step> {
        match byte {
            b',' if self.in_object() => self.went(State::Key, pos + 1),
            b',' => self.went(State::Value, pos + 1),
            b'}' | b']' => self.close(pos, byte),
            _ => self.blank(bytes, pos, byte),
        }
    }

    fn in_object(&self) -> bool {
        self.braces & 1 == 1
    }

    #[inline]
    fn open(&mut self, pos: usize, byte: u8) -> Result<usize, Step> {
        if self.depth == 0 {
            self.bracketed = true;
        } else if self.depth == MAX_DEPTH {
            self.fault = Some(DeadReason::TooDeep);
            return Err(self.broken(pos));
        }
        self.push_bracket(byte);
        self.went(if byte == b'{' { State::FirstKey } else { State::FirstValue }, pos + 1)
    }

    fn push_bracket(&mut self, byte: u8) {
        self.depth += 1;
        self.braces = self.braces << 1 | u128::from(byte == b'{');
    }

    #[inline]
    fn close(&mut self, pos: usize, byte: u8) -> Result<usize, Step> {
        if self.in_object() != (byte == b'}') {
            return Err(self.broken(pos));
        }
        self.depth -= 1;
        self.braces >>= 1;
        self.state = State::After;
        if self.depth == 0 { Err(Step::End(pos + 1)) } else { Ok(pos + 1) }
    }

    /// In a key.
    fn key_text(&mut self, bytes: &[u8], begin: usize, pos: usize) -> Result<usize, Step> {
        self.loose_key = true;
        let pos = plain_end(bytes, pos);
        match bytes.get(pos) {
            None => Ok(pos),
            Some(b'"') => {
                self.in_key = false;
                let end = self.earlier + pos - begin;
                if self.depth == 1 && end - self.key_start == KEY.len() {
                    match pos.checked_sub(KEY.len()).map(|start| &bytes[start..pos]) {
                        Some(key) if key == KEY.as_bytes() => self.found_type(end + 1),
                        Some(_) => {}
                        // Some of it came in an earlier slice.
                        None => self.hint = Hint::Look,
                    }
                }
                self.went(State::Colon, pos + 1)
            }
            Some(b'\\') => {
                if self.depth == 1 {
                    self.hint = Hint::Look;
                }
                self.went(State::Escape, pos + 1)
            }
            Some(_) => Err(self.broken(pos)),
        }
    }

    /// In a string that is a value.
    fn text(&mut self, bytes: &[u8], pos: usize, stops: &mut Stops) -> Result<usize, Step> {
        let end = stops.next(bytes, pos);
        match bytes.get(end) {
            _ if stops.is_escaped(bytes, end) => self.went(State::Escape, end),
            None => Ok(end),
            Some(b'"') if self.depth == 0 => Err(Step::End(end + 1)),
            Some(b'"') => self.went(State::After, end + 1),
            Some(_) => Err(self.broken(end)),
        }
    }

    fn escape(&mut self, pos: usize, byte: u8) -> Result<usize, Step> {
        match (self.state, byte) {
            (State::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.went(State::Text, pos + 1),
            (State::Escape, b'u') => self.went(State::Hex(4), pos + 1),
            (State::Hex(1), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.went(State::Text, pos + 1),
            (State::Hex(left), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.went(State::Hex(left - 1), pos + 1),
            _ => Err(self.broken(pos)),
        }
    }

    fn number(&mut self, bytes: &[u8], from: usize, mut number: Number) -> Result<usize, Step> {
        let mut pos = from;
        while let Some(&byte) = bytes.get(pos) {
            match number.next(byte) {
                Some(next) => (number, pos) = (next, pos + 1),
                None if !number.is_complete() => return Err(self.broken(pos)),
                None if self.depth > 0 => return self.went(State::After, pos),
                None if self.ends_scalar(byte) => return Err(Step::End(pos)),
                None => return Err(self.broken(pos)),
            }
        }
        self.went(State::Number(number), pos)
    }

    fn literal(&mut self, pos: usize, byte: u8, rest: &'static [u8]) -> Result<usize, Step> {
        match rest {
            [last] if *last == byte => self.went(if self.depth == 0 { State::LiteralEnd } else { State::After }, pos + 1),
            [next, rest @ ..] if *next == byte => self.went(State::Literal(rest), pos + 1),
            _ => Err(self.broken(pos)),
        }
    }

    /// True if this byte may follow a number or literal that is the whole element.
    fn ends_scalar(&self, byte: u8) -> bool {
        is_blank(byte) || byte == b',' || (byte == b']' && self.around == Around::Array)
    }

    /// Gives the element up: from this byte on it is tracked.
    #[cold]
    fn broken(&mut self, pos: usize) -> Step {
        self.fault = self.fault.or(Some(DeadReason::InvalidSyntax));
        self.state = match self.state {
            State::Text | State::Hex(_) => State::LostText,
            State::Escape => State::LostEscape,
            _ => State::LostOpen,
        };
        Step::Broken(pos)
    }

    /// Looks for the end of a broken element.
    fn track(&mut self, bytes: &[u8], from: usize) -> Step {
        if self.around == Around::Sequence && !self.bracketed {
            return memchr(b'\n', &bytes[from..]).map_or(Step::More, |at| Step::End(from + at));
        }
        let mut pos = from;
        while let Some(&byte) = bytes.get(pos) {
            match self.state {
                State::LostText => {
                    let Some(at) = memchr2(b'"', b'\\', &bytes[pos..]) else { break };
                    pos += at;
                    self.state = if bytes[pos] == b'"' { State::LostOpen } else { State::LostEscape };
                }
                State::LostEscape => self.state = State::LostText,
                _ => match byte {
                    b'"' => self.state = State::LostText,
                    b'{' | b'[' if self.depth == MAX_DEPTH => self.deeper += 1,
                    b'{' | b'[' => self.push_bracket(byte),
                    b'}' | b']' if self.deeper > 0 => self.deeper -= 1,
                    b',' | b']' if self.depth == 0 => return Step::End(pos),
                    b'}' | b']' if self.depth == 0 || self.in_object() != (byte == b'}') => return Step::Lost(pos),
                    b'}' | b']' => {
                        self.depth -= 1;
                        self.braces >>= 1;
                        if self.depth == 0 && self.bracketed {
                            return Step::End(pos + 1);
                        }
                    }
                    _ => {}
                },
            }
            pos += 1;
        }
        Step::More
    }
}

#[cfg(test)]
mod tests;
