//! Durations as people write them: `60s`, `15m`, `24h`, `7d`, `1h30m`.

use std::time::Duration;

use crate::domain::InvalidValue;

/// The units, the longest first: the order in which they must stand.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// No setting spans more; it also keeps sums far from overflowing.
const LONGEST: u64 = 3650 * 86_400;

/// Reads whole numbers with the units `d`, `h`, `m`, `s`, longest unit first, each at most once.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidValue> {
    let bad = |why| Err(InvalidValue::new("a duration", text, why));
    let mut rest = text.trim();
    if rest.is_empty() {
        return bad("it is written like 90s, 15m, 24h, 7d or 1h30m");
    }
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        return bad("it needs a unit: s, m, h or d");
    }
    let mut seconds = 0u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let Ok(number) = number.parse::<u64>() else {
            return bad("it is written like 90s, 15m, 24h, 7d or 1h30m");
        };
        let Some((unit, length)) = units.find(|(unit, _)| tail.starts_with(unit)) else {
            return bad("its units are d, h, m, s in this order, each at most once");
        };
        seconds = seconds.saturating_add(number.saturating_mul(*length));
        rest = &tail[unit.len()..];
    }
    if seconds > LONGEST {
        return bad("it is at most ten years");
    }
    Ok(Duration::from_secs(seconds))
}

/// The form that [`parse_duration`] reads; parts of a second are left out.
pub fn print_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    if seconds > 0 && seconds <= 86_400 && seconds.is_multiple_of(3600) {
        return format!("{}h", seconds / 3600);
    }
    if seconds > 0 && seconds < 3600 && (seconds <= 60 || !seconds.is_multiple_of(60)) {
        return format!("{seconds}s");
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        if seconds >= length {
            text.push_str(&format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("60s", 60), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("1h30m", 5400), (" 1d1s ", 86_401), ("0s", 0)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "written like"),
            ("60", "needs a unit"),
            ("s", "written like"),
            ("1.5h", "units are"),
            ("-1h", "written like"),
            ("30m1h", "units are"),
            ("1h 30m", "written like"),
            ("1w", "units are"),
            ("99999999999999999999d", "written like"),
            ("18446744073709551615d", "at most ten years"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn prints_the_usual_ones_as_people_do() {
        for text in ["60s", "15m", "24h", "7d", "1h30m", "1s", "0s", "90s", "1h", "2d12h"] {
            assert_eq!(print_duration(parse_duration(text).unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn printed_is_read_again(seconds in 0..LONGEST) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&print_duration(duration)).unwrap(), duration);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse_duration(&text);
        }
    }
}
