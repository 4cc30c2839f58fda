//! Text from outside, made safe to print.

use std::fmt::{self, Write};

/// Prints a text with everything escaped that could end the line, drive a terminal or turn its reading direction.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if is_unsafe(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the characters that change the reading direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_stays_one_harmless_line() {
        let text = "a\nb\r\t\u{1b}[31m\u{0}\u{7f}\u{9b}\u{2028}\u{202e}ü💥\\";
        let printed = Escaped(text).to_string();
        assert_eq!(printed, "a\\nb\\r\\t\\u{1b}[31m\\u{0}\\u{7f}\\u{9b}\\u{2028}\\u{202e}ü💥\\");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_gets_through(text in any::<String>()) {
            prop_assert!(!Escaped(&text).to_string().chars().any(is_unsafe));
        }
    }
}
