//! A line of CEF, cut by whole fields from its end.

const MARKED: &[u8] = b"flexString1Label=feed_dropped flexString1=1";

/// Cuts the line that stands in `line` from `start` on to `max` bytes. The header stays whole, unless it alone is longer.
pub(in crate::format) fn cut(line: &mut Vec<u8>, start: usize, max: usize) {
    let header = header(&line[start..]);
    // The first field has no space before it.
    let mark = |length: usize| usize::from(length > header) + MARKED.len();
    let mut length = line.len() - start;
    while length + mark(length) > max && length > header {
        length = header + last_field(&line[start + header..start + length]);
    }
    line.truncate(start + length);
    if length + mark(length) <= max {
        line.extend_from_slice(if length > header { b" " } else { b"" });
        line.extend_from_slice(MARKED);
    } else if length > max {
        let end = (start..=start + max).rev().find(|at| line.get(*at).is_none_or(|b| b & 0xc0 != 0x80));
        line.truncate(end.unwrap_or(start));
    }
}

/// How many bytes the header has: up to its seventh bar, that of RFC 5424 before it included.
fn header(line: &[u8]) -> usize {
    let from = memchr::memmem::find(line, b"CEF:0|").unwrap_or_default();
    let bars = memchr::memchr_iter(b'|', &line[from..]).map(|at| from + at).filter(|at| !is_escaped(line, *at));
    bars.map(|bar| bar + 1).nth(6).unwrap_or(line.len())
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Where the last field of an extension begins, with the space before it.
fn last_field(extension: &[u8]) -> usize {
    let equals = memchr::memrchr_iter(b'=', extension).find(|at| !is_escaped(extension, *at));
    equals.and_then(|equals| memchr::memrchr(b' ', &extension[..equals])).unwrap_or_default()
}
