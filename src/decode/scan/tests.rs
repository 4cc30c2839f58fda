//! Where elements end, whole and broken, however they are cut.

use super::*;

/// Where the element at the start of `text` ends, what is wrong with it, and whether framing was lost.
fn scan(text: &str, around: Around, cut: usize) -> (Option<usize>, Option<DeadReason>, bool) {
    let mut scanner = Scanner::start(around);
    let mut stops = Stops::new();
    let mut start = 0;
    for slice in text.as_bytes().chunks(cut) {
        stops.reset(scanner.is_escaping());
        let mut from = 0;
        loop {
            match scanner.run(slice, 0, from, &mut stops) {
                Step::More => break,
                Step::End(end) => return (Some(start + end), scanner.fault(), false),
                Step::Broken(at) => from = at,
                Step::Lost(at) => return (Some(start + at), scanner.fault(), true),
            }
        }
        start += slice.len();
    }
    (None, scanner.fault(), false)
}

/// The same for the element that begins at `begin` in one slice.
fn scan_from(text: &str, begin: usize) -> (Step, Option<DeadReason>) {
    let (mut scanner, mut stops) = (Scanner::start(Around::Array), Stops::new());
    let mut from = begin;
    loop {
        match scanner.run(text.as_bytes(), begin, from, &mut stops) {
            Step::Broken(at) => {
                stops.reset(false);
                from = at;
            }
            step => return (step, scanner.fault()),
        }
    }
}

#[track_caller]
fn expect(text: &str, end: usize, fault: Option<DeadReason>) {
    for cut in 1..=text.len() {
        assert_eq!(scan(text, Around::Array, cut), (Some(end), fault, false), "{text} in slices of {cut}");
    }
    // With so much behind it, nothing of it is near the end of the slice.
    let room = " ".repeat(150);
    for before in 0..70 {
        let (blank, _) = room.split_at(before);
        let longer = format!("[{blank}{text}{room}");
        let (step, fault_there) = scan_from(&longer, before + 1);
        assert_eq!((step, fault_there), (Step::End(before + 1 + end), fault), "{text} behind {before} blanks");
    }
}

#[test]
fn valid_elements_end_where_they_end() {
    for element in [
        "{}",
        "[]",
        "[ ]",
        "{ }",
        "\"\"",
        "0",
        "-0",
        "12",
        "-1.50e+07",
        "1E9",
        "true",
        "false",
        "null",
        "[1,\"\",{},[[]],null]",
        "{\"a\":1,\"b\" : [ true , -2.5E-3 ] , \"\":{}}",
        "\"\\ud800\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00eF\"",
        "{\"a\":1,\"a\":2}",
        "123456789012345678901234567890.5e999999999",
    ] {
        expect(&format!("{element},"), element.len(), None);
        expect(&format!("{element}]"), element.len(), None);
        expect(&format!("{element} "), element.len(), None);
    }
}

#[test]
fn invalid_elements_end_where_their_brackets_close() {
    for element in [
        "{\"a\":tru}",
        "{\"a\" 1}",
        "{,}",
        "{\"a\":1,}",
        "[1,]",
        "[,]",
        "{1:2}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[-]",
        "[NaN]",
        "[\"\\q\"]",
        "[\"\\u12\"]",
        "[\"a\nb\"]",
        "[\"a\" \"b\"]",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "{\"a\":'x'}",
        "[nul]",
        "[truex]",
        "[\u{e9}]",
        "{a:[{},[\"]\"]]}",
        "[\"\\q\\\"]\"]",
        "[\u{1}]",
        "[1:2]",
        "[/**/]",
    ] {
        expect(&format!("{element},"), element.len(), Some(DeadReason::InvalidSyntax));
        expect(&format!("{element}x"), element.len(), Some(DeadReason::InvalidSyntax));
    }
}

#[test]
fn text_that_is_no_value_ends_before_the_separator() {
    for element in
        ["abc", "tru", "-", "01", "1.", "nullx", "12{\"a,]\":[1,2]}x", "'a'", "\u{e9}", ":", "+1", "\"\\q\"", "\"a\n,]\""]
    {
        expect(&format!("{element},"), element.len(), Some(DeadReason::InvalidSyntax));
        expect(&format!("{element}]"), element.len(), Some(DeadReason::InvalidSyntax));
    }
}

#[test]
fn contradicting_brackets_lose_the_framing() {
    for (text, at) in [("{\"a\":[1},", 7), ("[1}", 2), ("}", 0), ("x}", 1), ("{\"a\":\"x},{\"b\":\"]\"", 15)] {
        for cut in 1..=text.len() {
            assert_eq!(scan(text, Around::Array, cut), (Some(at), Some(DeadReason::InvalidSyntax), true), "{text}");
        }
    }
}

#[test]
fn depth_is_counted_with_the_own_bracket() {
    let most = MAX_DEPTH as usize;
    let nested = |depth: usize| format!("{}{},", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(scan(&nested(most), Around::Array, 7), (Some(2 * most), None, false));
    for depth in [most + 1, most + 2, 5000] {
        assert_eq!(scan(&nested(depth), Around::Array, 7), (Some(2 * depth), Some(DeadReason::TooDeep), false));
    }
}

#[test]
fn in_a_sequence_a_scalar_ends_with_its_line() {
    for (text, end, fault) in [
        ("5 {}", 1, None),
        ("null\n", 4, None),
        ("\"a\"{}", 3, None),
        ("5,", 1, None),
        ("5]{}\n", 4, Some(DeadReason::InvalidSyntax)),
        ("}{}\n", 3, Some(DeadReason::InvalidSyntax)),
        ("\"a\n", 2, Some(DeadReason::InvalidSyntax)),
    ] {
        for cut in 1..=text.len() {
            assert_eq!(scan(text, Around::Sequence, cut), (Some(end), fault, false), "{text}");
        }
    }
}
