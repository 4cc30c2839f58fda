//! Lines in a sequence: how the current one is indented, and where the next one begins that a broken element must leave alone.

use memchr::{memchr, memrchr};

/// Follows all bytes of a sequence and knows the indentation of the current line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// How many white space characters it begins with, as far as it was seen.
    pub(super) indent: usize,
    /// Nothing but white space was seen of it.
    pub(super) is_blank: bool,
}

impl Line {
    /// At the start of the input.
    pub(super) const START: Line = Line { indent: 0, is_blank: true };

    /// Passes over bytes.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let line = match memrchr(b'\n', bytes) {
            Some(at) => {
                *self = Line::START;
                &bytes[at + 1..]
            }
            None => bytes,
        };
        if self.is_blank {
            let blank = line.iter().take_while(|b| is_indent(**b)).count();
            self.indent += blank;
            self.is_blank = blank == line.len();
        }
    }
}

/// Looks for the first line that begins with `{` or `[` and is indented by at most `limit`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finder {
    limit: usize,
    line: Line,
}

impl Finder {
    /// A finder in the middle of a line.
    pub(super) fn new(limit: usize) -> Self {
        Finder { limit, line: Line { indent: 0, is_blank: false } }
    }

    /// Where in the next bytes the bracket of such a line stands, and how far it is indented.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<(usize, usize)> {
        let mut pos = 0;
        while pos < bytes.len() {
            if !self.line.is_blank {
                pos += memchr(b'\n', &bytes[pos..])? + 1;
                self.line = Line::START;
            }
            let start = pos;
            pos += bytes[start..].iter().take_while(|b| is_indent(**b)).count();
            self.line.indent += pos - start;
            match bytes.get(pos) {
                None => {}
                Some(b'\n') => (self.line, pos) = (Line::START, pos + 1),
                Some(b'{' | b'[') if self.line.indent <= self.limit => return Some((pos, self.line.indent)),
                Some(_) => self.line.is_blank = false,
            }
        }
        None
    }
}

fn is_indent(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_known_however_bytes_come() {
        for (text, indent, is_blank) in [
            ("", 0, true),
            ("  ", 2, true),
            ("  x ", 2, false),
            ("x\n", 0, true),
            ("  x\n\t y z", 2, false),
            ("\r\n \r\n   ", 3, true),
        ] {
            for cut in 1..=text.len().max(1) {
                let mut line = Line::START;
                text.as_bytes().chunks(cut).for_each(|slice| line.pass(slice));
                assert_eq!(line, Line { indent, is_blank }, "{text:?} in slices of {cut}");
            }
        }
    }

    #[test]
    fn the_next_line_is_found_however_bytes_come() {
        for (text, limit, expected) in [
            ("{\"a\n{", 0, Some((4, 0))),
            ("{\n  {\n{", 0, Some((6, 0))),
            ("{\n  {\n{", 2, Some((4, 2))),
            ("x\r\n\r\n\r\n[", 0, Some((7, 0))),
            ("x {\n} {\n x\n", 5, None),
            ("{", 5, None),
            ("x\n\t {", 2, Some((4, 2))),
            ("x\n   \n {", 1, Some((7, 1))),
        ] {
            for cut in 1..=text.len() {
                let mut finder = Finder::new(limit);
                let mut found = None;
                for (i, slice) in text.as_bytes().chunks(cut).enumerate() {
                    found = found.or_else(|| finder.find(slice).map(|(at, indent)| (i * cut + at, indent)));
                }
                assert_eq!(found, expected, "{text:?} in slices of {cut}");
            }
        }
    }
}
