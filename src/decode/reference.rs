//! What the decoder must say, worked out the simple way: the whole input in memory, a recursive parser, no states.
//!
//! It follows the tables in `decode.rs` sentence by sentence and shares no code with the decoder.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use super::frame::Limits;
use super::{DeadReason, Shape};
use crate::domain::{RecordType, RecordTypes};

/// One element. Dead bytes are whole here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Wanted(Vec<u8>),
    Filtered,
    Dead(DeadReason, Vec<u8>),
}

/// Why parsing stopped.
enum Stop {
    /// At this byte.
    Bad(usize, DeadReason),
    /// At the end of the input.
    End,
}

/// Where the brackets of a broken element lead.
enum Track {
    End(usize),
    Lost(usize),
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Array,
    Alone,
    Sequence,
}

struct Reference<'a> {
    bytes: &'a [u8],
    filter: &'a RecordTypes,
    limits: Limits,
    told: Vec<Told>,
    error: Option<Vec<u8>>,
    lost: bool,
}

/// What `Decoder` must say.
pub(super) fn blob(bytes: &[u8], filter: &RecordTypes, limits: Limits) -> (Vec<Told>, Shape) {
    let mut r = Reference { bytes, filter, limits, told: Vec::new(), error: None, lost: false };
    let start = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let mut pos = r.skip(start, b"");
    let shape = match bytes.get(pos) {
        None => return (Vec::new(), Shape::Nothing),
        Some(b'[') => {
            pos += 1;
            loop {
                pos = r.skip(pos, b",");
                match bytes.get(pos) {
                    None => {
                        r.lost = true;
                        break;
                    }
                    Some(b']') => {
                        r.nothing_may_follow(pos + 1);
                        break;
                    }
                    Some(_) => match r.element(pos, Around::Array) {
                        Some(end) => pos = end,
                        None => break,
                    },
                }
            }
            Shape::Array
        }
        Some(b'{') => {
            if let Some(end) = r.element(pos, Around::Alone) {
                r.nothing_may_follow(end);
            }
            Shape::Object
        }
        Some(_) => {
            r.nothing_may_follow(pos);
            Shape::Lost
        }
    };
    let shape = match r.error {
        Some(raw) => Shape::Error(raw),
        None if r.lost => Shape::Lost,
        None => shape,
    };
    (r.told, shape)
}

/// What `Sequence` must say.
pub(super) fn sequence(bytes: &[u8], filter: &RecordTypes, limits: Limits) -> (Vec<Told>, Shape) {
    let mut r = Reference { bytes, filter, limits, told: Vec::new(), error: None, lost: false };
    let (mut saw_array, mut saw_object) = (false, false);
    let mut array: Option<usize> = None;
    let mut pos = 0;
    loop {
        pos = r.skip(pos, b",");
        let Some(&byte) = bytes.get(pos) else { break };
        let first_on_line = r.line_before(pos).iter().all(|b| b" \t\r".contains(b));
        match array {
            Some(_) if byte == b']' => {
                array = None;
                pos += 1;
            }
            Some(indent) if byte == b'[' && first_on_line && r.indent(pos) <= indent => {
                r.lost = true;
                array = Some(r.indent(pos));
                pos += 1;
            }
            None if bytes[pos..].starts_with(b"\xEF\xBB\xBF") => pos += 3,
            None if byte == b'[' => {
                saw_array = true;
                array = Some(r.indent(pos));
                pos += 1;
            }
            _ => {
                saw_object |= array.is_none();
                let (end, framing) = r.element_of_sequence(pos, if array.is_some() { Around::Array } else { Around::Sequence });
                pos = end;
                if !framing {
                    array = None;
                }
            }
        }
    }
    r.lost |= array.is_some();
    let shape = match () {
        () if r.lost => Shape::Lost,
        () if saw_array => Shape::Array,
        () if saw_object => Shape::Object,
        () => Shape::Nothing,
    };
    (r.told, shape)
}

impl Reference<'_> {
    fn skip(&self, mut pos: usize, also: &[u8]) -> usize {
        while pos < self.bytes.len() && (b" \t\r\n".contains(&self.bytes[pos]) || also.contains(&self.bytes[pos])) {
            pos += 1;
        }
        pos
    }

    fn nothing_may_follow(&mut self, pos: usize) {
        let pos = self.skip(pos, b"");
        if pos < self.bytes.len() {
            self.lost = true;
            self.told.push(Told::Dead(DeadReason::FramingLost, self.bytes[pos..].to_vec()));
        }
    }

    /// Tells the element of a blob that starts at `start`. Where it ends; nothing if framing was lost.
    fn element(&mut self, start: usize, around: Around) -> Option<usize> {
        let (end, fault) = match self.whole_element(start, around) {
            Ok(end) => (Some(end), None),
            Err(Stop::End) => (None, None),
            Err(Stop::Bad(_, fault)) => match self.track(start) {
                Track::End(end) => (Some(end), Some(fault)),
                Track::Lost(at) => {
                    self.lose(start, at, self.bytes.len());
                    return None;
                }
                Track::Never => (None, None),
            },
        };
        match end {
            Some(end) => self.judge(start, end, fault, around),
            None => self.lose(start, self.bytes.len(), self.bytes.len()),
        }
        end
    }

    /// The same in a sequence. Where to go on, and whether that is still in the same array.
    fn element_of_sequence(&mut self, start: usize, around: Around) -> (usize, bool) {
        let total = self.bytes.len();
        let indent = self.indent(start);
        match self.whole_element(start, around) {
            Ok(end) => {
                self.judge(start, end, None, around);
                (end, true)
            }
            Err(Stop::End) => {
                let line = if total - start > self.limits.element { None } else { self.next_line(start, indent) };
                match line {
                    Some(line) => {
                        self.judge(start, line, Some(DeadReason::InvalidSyntax), around);
                        (line, true)
                    }
                    None => {
                        self.lose(start, total, total);
                        (total, false)
                    }
                }
            }
            Err(Stop::Bad(bad, fault)) => {
                let line = self.next_line(if bad - start > self.limits.element { bad } else { start }, indent);
                let bracketed = b"{[".contains(&self.bytes[start]);
                let track = if around == Around::Sequence && !bracketed {
                    let newline = self.bytes[bad..].iter().position(|b| *b == b'\n');
                    Track::End(newline.map_or(total, |at| bad + at))
                } else {
                    self.track(start)
                };
                let reach = match track {
                    Track::End(end) | Track::Lost(end) => end,
                    Track::Never => total,
                };
                if let Some(line) = line.filter(|line| *line < reach) {
                    self.judge(start, line, Some(if line < bad { DeadReason::InvalidSyntax } else { fault }), around);
                    return (line, true);
                }
                if let Track::End(end) = track {
                    self.judge(start, end, Some(fault), around);
                    return (end, true);
                }
                let end = line.unwrap_or(total);
                self.lose(start, reach, end);
                (end, false)
            }
        }
    }

    /// The bytes of the line before `pos`, up to it.
    fn line_before(&self, pos: usize) -> &[u8] {
        let start = self.bytes[..pos].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        &self.bytes[start..pos]
    }

    fn indent(&self, pos: usize) -> usize {
        self.line_before(pos).iter().take_while(|b| b" \t\r".contains(b)).count()
    }

    /// Where the bracket of the first line behind `from` stands that a broken element with this indentation must leave alone.
    fn next_line(&self, from: usize, indent: usize) -> Option<usize> {
        let newlines = (from..self.bytes.len()).filter(|i| self.bytes[*i] == b'\n');
        for newline in newlines {
            let blank = self.bytes[newline + 1..].iter().take_while(|b| b" \t\r".contains(b)).count();
            let pos = newline + 1 + blank;
            if blank <= indent && pos < self.bytes.len() && b"{[".contains(&self.bytes[pos]) {
                return Some(pos);
            }
        }
        None
    }

    fn judge(&mut self, start: usize, end: usize, fault: Option<DeadReason>, around: Around) {
        let whole = &self.bytes[start..end];
        let trimmed = whole.iter().rposition(|b| !b" \t\r\n".contains(b)).map_or(0, |at| at + 1);
        let raw = whole[..trimmed].to_vec();
        let reason = if whole.len() > self.limits.element {
            self.told.push(Told::Dead(DeadReason::TooLarge, whole.to_vec()));
            return;
        } else if String::from_utf8(raw.clone()).is_err() {
            Some(DeadReason::InvalidUtf8)
        } else if fault.is_some() {
            fault
        } else if raw[0] != b'{' {
            Some(DeadReason::NotAnObject)
        } else {
            None
        };
        if let Some(reason) = reason {
            return self.told.push(Told::Dead(reason, raw));
        }
        let members = self.members(start);
        let types: Vec<_> = members.iter().filter(|m| self.key_is(**m, "RecordType")).collect();
        if around == Around::Alone && types.is_empty() && members.iter().any(|m| self.key_is(*m, "error")) {
            self.error = Some(raw[..raw.len().min(self.limits.error)].to_vec());
            return;
        }
        let wanted = types.is_empty() || types.iter().any(|m| self.admits(&self.bytes[m.1..m.2]));
        self.told.push(if wanted { Told::Wanted(raw) } else { Told::Filtered });
    }

    /// Framing is lost in the element at `start`, at `at`; the dead bytes reach to `end`.
    fn lose(&mut self, start: usize, at: usize, end: usize) {
        self.lost = true;
        let reason = if at - start > self.limits.element { DeadReason::TooLarge } else { DeadReason::FramingLost };
        self.told.push(Told::Dead(reason, self.bytes[start..end].to_vec()));
    }

    /// Where the valid element at `start` ends.
    fn whole_element(&self, start: usize, around: Around) -> Result<usize, Stop> {
        let end = self.value(start, 0)?;
        if b"{[\"".contains(&self.bytes[start]) {
            return Ok(end);
        }
        match (self.bytes.get(end), around) {
            (None, Around::Sequence) => Ok(end),
            (None, _) => Err(Stop::End),
            (Some(b' ' | b'\t' | b'\r' | b'\n' | b','), _) | (Some(b']'), Around::Array) => Ok(end),
            (Some(_), _) => Err(Stop::Bad(end, DeadReason::InvalidSyntax)),
        }
    }

    fn byte(&self, pos: usize) -> Result<u8, Stop> {
        self.bytes.get(pos).copied().ok_or(Stop::End)
    }

    fn expect(&self, pos: usize, byte: u8) -> Result<usize, Stop> {
        if self.byte(pos)? == byte { Ok(pos + 1) } else { Err(Stop::Bad(pos, DeadReason::InvalidSyntax)) }
    }

    fn value(&self, pos: usize, depth: u32) -> Result<usize, Stop> {
        match self.byte(pos)? {
            b'{' | b'[' if depth == super::MAX_DEPTH => Err(Stop::Bad(pos, DeadReason::TooDeep)),
            b'{' => self.list(pos, b'}', |pos| {
                self.byte(pos)?;
                let colon = self.skip(self.string(pos)?, b"");
                self.value(self.skip(self.expect(colon, b':')?, b""), depth + 1)
            }),
            b'[' => self.list(pos, b']', |pos| self.value(pos, depth + 1)),
            b'"' => self.string(pos),
            b't' => self.word(pos, b"true"),
            b'f' => self.word(pos, b"false"),
            b'n' => self.word(pos, b"null"),
            b'-' | b'0'..=b'9' => self.number(pos),
            _ => Err(Stop::Bad(pos, DeadReason::InvalidSyntax)),
        }
    }

    fn list(&self, pos: usize, close: u8, entry: impl Fn(usize) -> Result<usize, Stop>) -> Result<usize, Stop> {
        let mut pos = self.skip(pos + 1, b"");
        if self.byte(pos)? == close {
            return Ok(pos + 1);
        }
        loop {
            pos = self.skip(entry(pos)?, b"");
            if self.byte(pos)? == close {
                return Ok(pos + 1);
            }
            pos = self.skip(self.expect(pos, b',')?, b"");
        }
    }

    fn word(&self, pos: usize, word: &[u8]) -> Result<usize, Stop> {
        word.iter().try_fold(pos, |pos, byte| self.expect(pos, *byte))
    }

    fn string(&self, pos: usize) -> Result<usize, Stop> {
        let mut pos = self.expect(pos, b'"')?;
        loop {
            match self.byte(pos)? {
                b'"' => return Ok(pos + 1),
                0..=0x1f => return Err(Stop::Bad(pos, DeadReason::InvalidSyntax)),
                b'\\' => match self.byte(pos + 1)? {
                    b'u' => {
                        for at in pos + 2..pos + 6 {
                            if !self.byte(at)?.is_ascii_hexdigit() {
                                return Err(Stop::Bad(at, DeadReason::InvalidSyntax));
                            }
                        }
                        pos += 6;
                    }
                    other if b"\"\\/bfnrt".contains(&other) => pos += 2,
                    _ => return Err(Stop::Bad(pos + 1, DeadReason::InvalidSyntax)),
                },
                _ => pos += 1,
            }
        }
    }

    fn number(&self, start: usize) -> Result<usize, Stop> {
        let digits = |pos: usize| -> Result<usize, Stop> {
            if !self.byte(pos)?.is_ascii_digit() {
                return Err(Stop::Bad(pos, DeadReason::InvalidSyntax));
            }
            Ok((pos..self.bytes.len()).find(|i| !self.bytes[*i].is_ascii_digit()).unwrap_or(self.bytes.len()))
        };
        let mut pos = if self.byte(start)? == b'-' { start + 1 } else { start };
        pos = if self.byte(pos)? == b'0' { pos + 1 } else { digits(pos)? };
        if self.bytes.get(pos) == Some(&b'.') {
            pos = digits(pos + 1)?;
        }
        if matches!(self.bytes.get(pos), Some(b'e' | b'E')) {
            pos += 1;
            pos = digits(if matches!(self.byte(pos)?, b'+' | b'-') { pos + 1 } else { pos })?;
        }
        Ok(pos)
    }

    fn track(&self, start: usize) -> Track {
        let bracketed = b"{[".contains(&self.bytes[start]);
        let mut open = Vec::new();
        let mut pos = start;
        while pos < self.bytes.len() {
            match self.bytes[pos] {
                b'"' => {
                    pos += 1;
                    while pos < self.bytes.len() && self.bytes[pos] != b'"' {
                        pos += if self.bytes[pos] == b'\\' { 2 } else { 1 };
                    }
                }
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b',' | b']' if open.is_empty() => return Track::End(pos),
                byte @ (b'}' | b']') => {
                    let known = open.len() <= super::MAX_DEPTH as usize;
                    match open.pop() {
                        None => return Track::Lost(pos),
                        Some(expected) if known && expected != byte => return Track::Lost(pos),
                        Some(_) if open.is_empty() && bracketed => return Track::End(pos + 1),
                        Some(_) => {}
                    }
                }
                _ => {}
            }
            pos += 1;
        }
        Track::Never
    }

    /// The top-level members of the valid object at `start`: start of the key, start and end of the value.
    fn members(&self, start: usize) -> Vec<(usize, usize, usize)> {
        let mut members = Vec::new();
        let mut pos = start;
        loop {
            let key = self.skip(pos + 1, b"");
            if self.bytes[key] == b'}' {
                return members;
            }
            let colon = self.skip(self.string(key).ok().unwrap(), b"");
            let value = self.skip(colon + 1, b"");
            let end = self.value(value, 1).ok().unwrap();
            members.push((key, value, end));
            pos = self.skip(end, b"");
            if self.bytes[pos] == b'}' {
                return members;
            }
        }
    }

    fn key_is(&self, member: (usize, usize, usize), name: &str) -> bool {
        let end = self.string(member.0).ok().unwrap();
        units(&self.bytes[member.0 + 1..end - 1]) == name.encode_utf16().collect::<Vec<_>>()
    }

    fn admits(&self, value: &[u8]) -> bool {
        let RecordTypes::Only(set) = self.filter else { return true };
        let text = match value[0] {
            b'"' => String::from_utf16(&units(&value[1..value.len() - 1])).unwrap_or_default(),
            _ => String::from_utf8(value.to_vec()).unwrap(),
        };
        let text = text.trim();
        if let Some(t) = RecordType::from_name(text) {
            return set.contains(&t);
        }
        let looks_like_a_number = text.ends_with(|c: char| c.is_ascii_digit())
            && text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
            && !text.contains("-.")
            && !text.contains("+.")
            && !text.contains(".e")
            && !text.contains(".E");
        match text.parse::<f64>() {
            // Good enough for the numbers of the tests; `kind.rs` tests the rest.
            Ok(number) if looks_like_a_number && number == number.trunc() => {
                let rounded_to_zero =
                    number == 0.0 && text.split(['e', 'E']).next().unwrap().contains(|c| ('1'..='9').contains(&c));
                rounded_to_zero || set.iter().any(|t| t.0 as f64 == number)
            }
            _ => true,
        }
    }
}

/// The text of a string's inside in UTF-16, as JavaScript has it.
fn units(inner: &[u8]) -> Vec<u16> {
    let mut units = Vec::new();
    let mut text = std::str::from_utf8(inner).unwrap();
    while let Some(c) = text.chars().next() {
        text = &text[c.len_utf8()..];
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        let escaped = text.as_bytes()[0];
        text = &text[1..];
        units.push(match escaped {
            b'u' => {
                let (digits, rest) = text.split_at(4);
                text = rest;
                u16::from_str_radix(digits, 16).unwrap()
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            other => u16::from(other),
        });
    }
    units
}
