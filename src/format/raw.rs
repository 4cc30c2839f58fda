//! `raw`: the record byte for byte as the blob carried it, on one line.
//!
//! Numbers, escapes, key order and repeated keys stay; nothing is typed or parsed. Only if the record has line breaks
//! between its tokens, the white space between tokens goes, all of it. Every shipped SIEM parser and detection rule for
//! this feed reads these bytes.

/// Appends the record on one line.
pub(super) fn write(raw: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', raw).is_none() {
        out.extend_from_slice(raw);
        return;
    }
    out.reserve(raw.len());
    let (mut copied, mut in_string, mut escaped) = (0, false, false);
    for (at, &byte) in raw.iter().enumerate() {
        // JSON has no line breaks in strings; if one is there after all, the line must still hold.
        let instead: &[u8] = match byte {
            b'\n' if in_string => b"\\n",
            b'\r' if in_string => b"\\r",
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => b"",
            _ => {
                if in_string {
                    in_string = escaped || byte != b'"';
                    escaped = !escaped && byte == b'\\';
                } else {
                    in_string = byte == b'"';
                }
                continue;
            }
        };
        out.extend_from_slice(&raw[copied..at]);
        out.extend_from_slice(instead);
        copied = at + 1;
    }
    out.extend_from_slice(&raw[copied..]);
}

#[cfg(test)]
mod tests {
    fn line(raw: &str) -> String {
        let mut out = Vec::new();
        super::write(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_line_breaks_no_byte_differs() {
        for raw in [r#"{ "a" : 1.0 , "b\/" : "\u200b" }"#, "{}", "{\"a\":\"\u{2028}\"}"] {
            assert_eq!(line(raw), raw);
        }
    }

    #[test]
    fn line_breaks_go_with_the_white_space_between_tokens() {
        assert_eq!(line("{\r\n\t\"a b\" : \"\\\" \\n x\" ,\n\"c\":[ 1.0,\n2 ]\n}"), "{\"a b\":\"\\\" \\n x\",\"c\":[1.0,2]}");
    }

    #[test]
    fn no_line_break_comes_through_even_where_json_has_none() {
        assert_eq!(line("{\"a\":\"x\ny\r\"}\n"), "{\"a\":\"x\\ny\\r\"}");
    }
}
