//! The escapes of CEF. In the header `|` and `\` have one, in the extension `=` and `\`; line breaks are written `\n` and
//! `\r`. Characters that could end a line, move a terminal's cursor or turn the order of text, for which CEF has no escape,
//! are written as in JSON, `\u2028`: since a backslash of the text is doubled, this can't be mistaken for anything else.

/// Appends `value` as a field of the header.
pub(super) fn header(value: &str, out: &mut Vec<u8>) {
    escaped(value, '|', out);
}

/// Appends `value` as a value of the extension.
pub(super) fn text(value: &str, out: &mut Vec<u8>) {
    escaped(value, '=', out);
}

fn escaped(value: &str, delimiter: char, out: &mut Vec<u8>) {
    for c in value.chars() {
        match c {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            c if c == delimiter => {
                out.push(b'\\');
                out.push(c as u8);
            }
            c if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
