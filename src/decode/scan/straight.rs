//! The straight way through an element: members and elements whose tokens are whole, valid and within the slice.
//!
//! Nearly all bytes go this way, so it is written for speed: from one stop of text to the next, with the bytes around it compared
//! at once, and without a state between tokens of the same object. What it can't read is left to the state machine of `scan.rs`.

use super::{KEY, MAX_DEPTH, Scanner, State, Step};
use crate::decode::skip::blank_end;
use crate::decode::stops::{Near, Stops};

impl Scanner {
    /// Reads on from where a key or value must come, or from behind a value, for as long as what comes is whole and valid, and the
    /// slice goes on behind it. Returns where the state machine has to look itself.
    #[inline]
    pub(super) fn straight(&mut self, bytes: &[u8], begin: usize, from: usize, stops: &mut Stops) -> Result<usize, Step> {
        if !matches!(self.state, State::Key | State::FirstKey | State::Value | State::FirstValue | State::After) {
            return Ok(from);
        }
        let mut pos = from;
        let mut first = matches!(self.state, State::FirstKey | State::FirstValue);
        let Some(mut near) = stops.near(bytes, from) else { return Ok(from) };
        'next: loop {
            'value: {
                if matches!(self.state, State::Key | State::FirstKey) {
                    let (at, byte) = token(bytes, pos);
                    match byte {
                        b'"' if near.pass(at, bytes, stops).is_some() => pos = self.members(bytes, begin, at, &mut near, stops),
                        b'}' if first => {
                            pos = at;
                            break 'value;
                        }
                        _ => return Ok(at),
                    }
                    first = false;
                }
                if matches!(self.state, State::Value | State::FirstValue) {
                    let (at, byte) = token(bytes, pos);
                    match byte {
                        b'"' => {
                            let end = near.pass(at, bytes, stops).and_then(|()| near.next(bytes, stops));
                            let Some((end, look)) = end else { return Ok(at) };
                            match self.string_end(bytes, end, look, &mut near, stops) {
                                Ok(next) => pos = next,
                                Err(end) => return Ok(end),
                            }
                        }
                        b'{' | b'[' if self.depth < MAX_DEPTH => {
                            self.push_bracket(byte);
                            self.state = if byte == b'{' { State::FirstKey } else { State::FirstValue };
                            (first, pos) = (true, at + 1);
                            continue 'next;
                        }
                        b']' if first => pos = at,
                        _ => match simple_end(bytes, at, byte) {
                            Some(end) => pos = end,
                            None => return Ok(at),
                        },
                    }
                } else if self.state != State::After {
                    return Ok(pos);
                }
            }
            self.state = State::After;
            loop {
                let (at, byte) = token(bytes, pos);
                pos = match byte {
                    b'}' | b']' => self.close(at, byte)?,
                    b',' => break pos = at + 1,
                    _ => return Ok(at),
                };
            }
            self.state = if self.in_object() { State::Key } else { State::Value };
            first = false;
        }
    }

    /// Reads members from the quote at `from` on, as long as their values have no brackets. The state tells what comes where it
    /// returns: a key, a value, what follows a value, or the rest of a text.
    #[inline(always)]
    fn members<'a>(&mut self, bytes: &'a [u8], begin: usize, from: usize, near: &mut Near<'a>, stops: &mut Stops) -> usize {
        // How long `RecordType` is with its first quote, where it matters.
        let type_length = if self.depth == 1 { KEY.len() + 1 } else { usize::MAX };
        let mut key = from;
        loop {
            let Some((end, look)) = near.next(bytes, stops) else { return self.at(State::Key, key) };
            let (value, byte) = match look.to_le_bytes() {
                [b'"', b':', byte, _] if byte > b' ' => (end + 2, byte),
                _ => match spaced_value(bytes, end) {
                    Some(value) => value,
                    None => return self.at(State::Key, key),
                },
            };
            // The key may have escapes, but none for a letter: that would be a `\u`, and text stops there.
            if end - key == type_length && bytes[key + 1..end] == *KEY.as_bytes() {
                self.found_type(self.earlier + end + 1 - begin);
            }
            let after = match byte {
                b'"' => {
                    let text = near.pass(value, bytes, stops).and_then(|()| near.next(bytes, stops));
                    let Some((end, look)) = text else { return self.at(State::Value, value) };
                    if look == three(b"\",\"") {
                        key = end + 2;
                        if near.next(bytes, stops).is_none() {
                            return self.at(State::Key, key);
                        }
                        continue;
                    }
                    match self.string_end(bytes, end, look, near, stops) {
                        Ok(after) => after,
                        Err(end) => return end,
                    }
                }
                b'{' | b'[' => return self.at(State::Value, value),
                _ => match simple_end(bytes, value, byte) {
                    Some(after) => after,
                    None => return self.at(State::Value, value),
                },
            };
            let (comma, byte) = token(bytes, after);
            if byte != b',' {
                return self.at(State::After, comma);
            }
            let (next, byte) = token(bytes, comma + 1);
            if byte != b'"' || near.pass(next, bytes, stops).is_none() {
                return self.at(State::Key, next);
            }
            key = next;
        }
    }

    /// The place behind the string whose text stops at `end`. An error tells where the state machine has to look at the text.
    #[inline(always)]
    fn string_end<'a>(
        &mut self,
        bytes: &'a [u8],
        end: usize,
        look: u32,
        near: &mut Near<'a>,
        stops: &mut Stops,
    ) -> Result<usize, usize> {
        if look & 0xff == u32::from(b'"') {
            return Ok(end + 1);
        }
        let end = text_end(bytes, end, stops);
        if byte_at(bytes, end) == b'"'
            && let Some(later) = stops.near(bytes, end + 1)
        {
            *near = later;
            return Ok(end + 1);
        }
        self.state = if stops.is_escaped(bytes, end) { State::Escape } else { State::Text };
        Err(end)
    }

    #[inline]
    fn at(&mut self, state: State, pos: usize) -> usize {
        self.state = state;
        pos
    }
}

/// The end of a number or literal that is written the usual way; nothing if its end is not in the slice.
#[inline(always)]
fn simple_end(bytes: &[u8], from: usize, first: u8) -> Option<usize> {
    match first {
        b'0'..=b'9' => number_end(bytes, from),
        b'-' => number_end(bytes, from + 1),
        b't' if bytes[from..].starts_with(b"true") => Some(from + 4),
        b'n' if bytes[from..].starts_with(b"null") => Some(from + 4),
        b'f' if bytes[from..].starts_with(b"false") => Some(from + 5),
        _ => None,
    }
}

/// The end of a number without an exponent whose digits begin at `from`.
#[inline(always)]
fn number_end(bytes: &[u8], from: usize) -> Option<usize> {
    let end = digits_end(bytes, from);
    if end != from + 1 && (end == from || bytes[from] == b'0') {
        return None;
    }
    match bytes.get(end)? {
        b'.' => {
            let last = digits_end(bytes, end + 1);
            (last > end + 1 && !matches!(bytes.get(last)?, b'e' | b'E')).then_some(last)
        }
        b'e' | b'E' => None,
        _ => Some(end),
    }
}

#[inline]
fn digits_end(bytes: &[u8], from: usize) -> usize {
    let mut end = from;
    while byte_at(bytes, end).is_ascii_digit() {
        end += 1;
    }
    end
}

#[inline]
fn window<const N: usize>(bytes: &[u8], from: usize) -> Option<&[u8; N]> {
    bytes.get(from..)?.first_chunk()
}

#[inline]
fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The first byte at or after `from` that is no white space, and its place.
#[inline(always)]
fn token(bytes: &[u8], from: usize) -> (usize, u8) {
    match bytes.get(from) {
        Some(byte) if *byte > b' ' => (from, *byte),
        _ => behind_blanks(bytes, from),
    }
}

#[inline(never)]
fn behind_blanks(bytes: &[u8], from: usize) -> (usize, u8) {
    let byte = byte_at(bytes, from + 1);
    if byte_at(bytes, from) == b' ' && byte > b' ' {
        return (from + 1, byte);
    }
    let at = blank_end(bytes, from);
    (at, byte_at(bytes, at))
}

/// Three bytes as [`Near::next`] tells them.
const fn three(bytes: &[u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// The value behind a key whose colon has white space on one of its sides.
#[inline(never)]
fn spaced_value(bytes: &[u8], quote: usize) -> Option<(usize, u8)> {
    let (colon, byte) = token(bytes, quote + 1);
    (byte_at(bytes, quote) == b'"' && byte == b':').then(|| token(bytes, colon + 1))
}

/// Where text stops from a stop on that may be a whole `\u` escape.
#[inline(never)]
fn text_end(bytes: &[u8], stop: usize, stops: &mut Stops) -> usize {
    let mut end = stop;
    while let Some([b'u', digits @ ..]) = window::<5>(bytes, end)
        && digits.iter().all(u8::is_ascii_hexdigit)
    {
        end = stops.next(bytes, end + 5);
    }
    end
}
