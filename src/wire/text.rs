//! Makes text from outside safe to print.

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";

/// A secret shorter than this is not looked for in texts: it would be found everywhere, and is no secret.
const SHORTEST_SECRET: usize = 8;

/// An encoded JSON object, such as the head of a signed token, begins with these letters.
const TOKEN_START: &str = "eyJ";

/// Tokens are hundreds of characters long; below this it is a word.
const SHORTEST_TOKEN: usize = 20;

/// `text` on one line, at most `limit` characters of it, with nothing in it that moves a terminal's cursor, hides text or
/// turns its direction. White space of any length becomes one blank.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut blank = false;
    for c in text.trim().chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if count >= limit {
            out.push('…');
            break;
        }
        if std::mem::take(&mut blank) {
            out.push(' ');
            count += 1;
        }
        if is_unsafe(c) {
            let escape = c.escape_unicode().to_string();
            count += escape.len();
            out.push_str(&escape);
        } else {
            out.push(c);
            count += 1;
        }
    }
    out
}

/// Control characters, and the format characters that hide or reorder text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` without any of `secrets`, and without anything that looks like a signed token.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|s| s.len() >= SHORTEST_SECRET) {
        if text.contains(secret) {
            text = text.replace(secret, REDACTED);
        }
    }
    without_tokens(&text)
}

fn without_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(TOKEN_START) {
        let (before, from) = rest.split_at(at);
        let length = from.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=')).count();
        out.push_str(before);
        out.push_str(if length >= SHORTEST_TOKEN { REDACTED } else { &from[..length] });
        rest = &from[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_a_terminal_would_act_on() {
        assert_eq!(printable("a\r\n  b\tc\u{1b}[31m", 100), "a b c\\u{1b}[31m");
        assert_eq!(printable("x\u{202e}y\u{2066}z\u{200f}\u{feff}\u{9b}", 100), "x\\u{202e}y\\u{2066}z\\u{200f}\\u{feff}\\u{9b}");
        assert_eq!(printable("a\u{2028}b", 100), "a b");
        assert_eq!(printable("Grüße, 世界", 100), "Grüße, 世界");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }

    #[test]
    fn takes_secrets_and_tokens_out() {
        assert_eq!(redact("given hunter2hunter2!", &["hunter2hunter2"]), "given [redacted]!");
        assert_eq!(redact("a short one", &["a"]), "a short one");
        assert_eq!(redact("Bearer eyJ0eXAiOiJKV1QiLCJhbGci.eyJhdWQi.sig-_x, eyJ", &[]), "Bearer [redacted], eyJ");
    }

    proptest! {
        #[test]
        fn never_longer_than_asked_and_never_unsafe(text in any::<String>(), limit in 0usize..50) {
            let out = printable(&text, limit);
            // The last character may be an escape of up to ten characters with a blank before it, then the mark of the cut.
            prop_assert!(out.chars().count() <= limit + 12);
            prop_assert!(!out.chars().any(is_unsafe));
        }
    }
}
