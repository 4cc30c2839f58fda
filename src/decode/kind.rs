//! Which elements are wanted: reading the top-level `RecordType`, however it is written.
//!
//! The service writes a number. Seen or expected besides: a string with the number (`activity-api.md` section 12, row 14), with a
//! fraction or an exponent, the name from Microsoft's table, a repeated key. Doubt is no reason to lose a record: an element
//! whose type can't be told is wanted, and of several values one that is wanted is enough.

use crate::domain::{RecordType, RecordTypes};

use super::members::{members, text, value_after_key};

/// The member that holds a record's type.
pub(super) const KEY: &str = "RecordType";

/// Where an element's `RecordType` stands, as far as was seen while checking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// There is none.
    Absent,
    /// There is one; its key, written without escapes, ends here (just behind the quote, counted from the element's start).
    At(usize),
    /// It takes a look at all members: a key has escapes, was cut, or came twice.
    Look,
}

/// True if the valid object `raw` is wanted.
pub(super) fn is_wanted(filter: &RecordTypes, raw: &[u8], hint: Hint) -> bool {
    if *filter == RecordTypes::All {
        return true;
    }
    match hint {
        Hint::Absent => true,
        Hint::At(key_end) => match usual_type(raw, key_end) {
            Some(t) => filter.contains(t),
            None => admits(filter, value_after_key(raw, key_end)),
        },
        Hint::Look => {
            let mut values = members(raw).filter(|member| member.is(KEY)).peekable();
            values.peek().is_none() || values.any(|member| admits(filter, member.value))
        }
    }
}

/// The type as nearly all are written: some digits right behind the colon, and a comma right behind them.
fn usual_type(raw: &[u8], key_end: usize) -> Option<RecordType> {
    let [b':', first @ b'1'..=b'9', rest @ ..] = raw.get(key_end..)? else { return None };
    let mut number = i64::from(first - b'0');
    for byte in rest.iter().take(9) {
        match byte {
            b'0'..=b'9' => number = number * 10 + i64::from(byte - b'0'),
            b',' => return Some(RecordType(number)),
            _ => return None,
        }
    }
    None
}

fn admits(filter: &RecordTypes, value: &[u8]) -> bool {
    match told(value) {
        Told::Type(t) => filter.contains(t),
        Told::Beyond => false,
        Told::Doubt => true,
    }
}

/// What a value of `RecordType` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Type(RecordType),
    /// A whole number that no `RecordType` can hold, so no filter names it.
    Beyond,
    /// Not a whole number, nor a name of Microsoft's table.
    Doubt,
}

fn told(value: &[u8]) -> Told {
    if let Some(text) = text(value) {
        let text = text.trim();
        return match whole_number(text) {
            Told::Doubt => RecordType::from_name(text).map_or(Told::Doubt, Told::Type),
            number => number,
        };
    }
    std::str::from_utf8(value).map_or(Told::Doubt, whole_number)
}

/// Reads a decimal number, with fraction and exponent, that is whole. Nothing is rounded.
fn whole_number(text: &str) -> Told {
    if let Ok(number) = text.parse() {
        return Told::Type(RecordType(number));
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)),
        None => (text, Some(0)),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match exponent {
        Some(exponent) if is_digits(whole) && is_digits(fraction) => scaled(negative, whole, fraction, exponent),
        _ => Told::Doubt,
    }
}

/// The exponent, held within bounds that no element's digits can make up for.
fn read_exponent(text: &str) -> Option<i64> {
    const BOUND: i64 = 1 << 50;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(sign * digits.bytes().fold(0, |e: i64, digit| (e * 10 + i64::from(digit - b'0')).min(BOUND)))
}

/// The value of the digits `whole.fraction` times ten to the `exponent`.
fn scaled(negative: bool, whole: &str, fraction: &str, exponent: i64) -> Told {
    /// `i64::MAX` has 19 digits.
    const MOST_DIGITS: i64 = 19;
    let digits = || whole.bytes().chain(fraction.bytes());
    let is_zero = |digit: &u8| *digit == b'0';
    let total = whole.len() + fraction.len();
    let zeros_behind = digits().rev().take_while(is_zero).count();
    if zeros_behind == total {
        return Told::Type(RecordType(0));
    }
    let zeros_before = digits().take_while(is_zero).count();
    let significant = total - zeros_before - zeros_behind;
    let scale = exponent + zeros_behind as i64 - fraction.len() as i64;
    if scale < 0 {
        return Told::Doubt;
    }
    if significant as i64 + scale > MOST_DIGITS {
        return Told::Beyond;
    }
    let size = digits().skip(zeros_before).take(significant).fold(0_i128, |n, digit| n * 10 + i128::from(digit - b'0'));
    let size = size * 10_i128.pow(scale as u32);
    i64::try_from(if negative { -size } else { size }).map_or(Told::Beyond, |number| Told::Type(RecordType(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_are_told_however_they_are_written() {
        for value in [
            "28",
            "28.0",
            "2.8e1",
            "280e-1",
            "\"28\"",
            "\" 28 \"",
            "\"28.0\"",
            "2800E-2",
            "0.028e3",
            "28.000e+00",
            "\"+28\"",
            "\"028\"",
            "\"2\\u0038\"",
            "\"ThreatIntelligence\"",
            "\"threatINTELLIGENCE\"",
            "\"\\tThreatIntelligence\\n\"",
            "\"Threat\\u0049ntelligence\"",
            "0.00000000000000000000000000028e29",
            "28000000000000000000000000000e-27",
        ] {
            assert_eq!(told(value.as_bytes()), Told::Type(RecordType::MAIL), "{value}");
        }
    }

    #[test]
    fn whole_numbers_are_told_at_the_edges_of_64_bits() {
        for (value, expected) in [
            ("-0", Told::Type(RecordType(0))),
            ("0e99999999999999999999999", Told::Type(RecordType(0))),
            ("0.000e-9", Told::Type(RecordType(0))),
            ("-28", Told::Type(RecordType(-28))),
            ("9223372036854775807", Told::Type(RecordType(i64::MAX))),
            ("-9223372036854775808.0", Told::Type(RecordType(i64::MIN))),
            ("9223372036854775808", Told::Beyond),
            ("-9223372036854775809", Told::Beyond),
            ("1e19", Told::Beyond),
            ("1e18", Told::Type(RecordType(1_000_000_000_000_000_000))),
            ("1e400", Told::Beyond),
            ("1e99999999999999999999999999", Told::Beyond),
            ("28.5", Told::Doubt),
            ("28e-1", Told::Doubt),
            ("1e-99999999999999999999999999", Told::Doubt),
        ] {
            assert_eq!(told(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(told("9".repeat(100_000).as_bytes()), Told::Beyond);
    }

    #[test]
    fn everything_else_is_doubt() {
        for value in [
            "null",
            "true",
            "{}",
            "[28]",
            "\"\"",
            "\"28x\"",
            "\"nonsense\"",
            "\"2 8\"",
            "\".28e2\"",
            "\"28.\"",
            "\"0x1c\"",
            "\"1e\"",
            "\"\\ud800\"",
            "",
            "NaN",
        ] {
            assert_eq!(told(value.as_bytes()), Told::Doubt, "{value}");
        }
    }

    #[test]
    fn one_wanted_value_of_a_repeated_key_is_enough() {
        let filter = RecordTypes::defender();
        for (object, expected) in [
            (r#"{"RecordType":20,"RecordType":28}"#, true),
            (r#"{"RecordType":28,"RecordType":20}"#, true),
            (r#"{"RecordType":20,"Record\u0054ype":41}"#, true),
            (r#"{"RecordType":20,"RecordType":null}"#, true),
            (r#"{"RecordType":20,"RecordType":21}"#, false),
            (r#"{"a":{"RecordType":28},"RecordType":20}"#, false),
            (r#"{"a":"\"RecordType\":28","RecordType":20}"#, false),
            (r#"{"a":{"RecordType":20}}"#, true),
            (r#"{}"#, true),
        ] {
            assert_eq!(is_wanted(&filter, object.as_bytes(), Hint::Look), expected, "{object}");
            assert!(is_wanted(&RecordTypes::All, object.as_bytes(), Hint::Look), "{object}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_number_keeps_its_value_in_every_notation(number in any::<i64>(), shift in 0usize..30) {
            let expected = Told::Type(RecordType(number));
            prop_assert_eq!(whole_number(&number.to_string()), expected);
            prop_assert_eq!(whole_number(&format!("{number}{}e-{shift}", "0".repeat(shift))), expected);
            prop_assert_eq!(whole_number(&format!("{number}.{}E+0", "0".repeat(shift + 1))), expected);
            let (sign, digits) = if number < 0 { ("-", &number.to_string()[1..]) } else { ("", &number.to_string()[..]) };
            prop_assert_eq!(whole_number(&format!("{sign}0.{digits}e{}", digits.len())), expected);
        }
    }
}
