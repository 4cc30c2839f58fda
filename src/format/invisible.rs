//! Characters that JSON lets stand as they are, but that end a line for some readers (U+2028, U+2029, U+0085), do things to
//! a terminal (DEL and the C1 controls), or turn the order of what is seen (the bidirectional embeddings, overrides and
//! isolates). Escaped, they say the same and do nothing.

/// Escapes them in the JSON text that stands in `out` from `start` on. They can stand in its strings only.
pub(super) fn escape(out: &mut Vec<u8>, start: usize) {
    let Some(first) = next(&out[start..], 0) else { return };
    let text = out.split_off(start);
    out.reserve(text.len() + 64);
    let (mut copied, mut found) = (0, Some(first));
    while let Some((at, length, code)) = found {
        out.extend_from_slice(&text[copied..at]);
        out.extend_from_slice(format!("\\u{code:04x}").as_bytes());
        copied = at + length;
        found = next(&text, copied);
    }
    out.extend_from_slice(&text[copied..]);
}

/// The next of them: where, how many bytes, which.
fn next(text: &[u8], from: usize) -> Option<(usize, usize, u32)> {
    memchr::memchr3_iter(0xe2, 0xc2, 0x7f, &text[from..]).map(|at| from + at).find_map(|at| {
        let (length, code) = match text[at..] {
            [0x7f, ..] => (1, 0x7f),
            [0xc2, low @ 0x80..=0x9f, ..] => (2, u32::from(low)),
            [0xe2, 0x80, low @ 0xa8..=0xae, ..] => (3, 0x2000 + u32::from(low) - 0x80),
            [0xe2, 0x81, low @ 0xa6..=0xa9, ..] => (3, 0x2040 + u32::from(low) - 0x80),
            _ => return None,
        };
        Some((at, length, code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_escaped_and_say_the_same() {
        let text = "a\u{2028}b\u{2029}\u{85}\u{9b}\u{7f}\u{202e}\u{2066}\u{2069}é\u{200b}ü\u{a0}→\n\u{1b}\0";
        let mut out = b"before\xe2\x80\xa8".to_vec();
        let start = out.len();
        crate::format::members::string(text, &mut out);
        escape(&mut out, start);
        let line = std::str::from_utf8(&out[start..]).unwrap();
        assert_eq!(line, "\"a\\u2028b\\u2029\\u0085\\u009b\\u007f\\u202e\\u2066\\u2069é\u{200b}ü\u{a0}→\\n\\u001b\\u0000\"");
        assert_eq!(serde_json::from_str::<String>(line).unwrap(), text);
        assert!(out.starts_with(b"before\xe2\x80\xa8"), "what stood before is not touched");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let mut out = "\"é → ü €\"".as_bytes().to_vec();
        let before = out.clone();
        escape(&mut out, 0);
        assert_eq!(out, before);
    }
}
