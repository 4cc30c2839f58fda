//! Sequences: what `Sequence` says of documents one after another, whole and broken.

use super::*;

#[test]
fn sequences() {
    let (a, b) = (r#"{"RecordType":28}"#, r#"{"RecordType":20}"#);
    sequence("", vec![], Shape::Nothing);
    sequence("\u{feff} \n,", vec![], Shape::Nothing);
    sequence(format!("{a}\n{b}\r\n\r\n{a}"), vec![wanted(a), Filtered, wanted(a)], Shape::Object);
    sequence(format!("{a}{b} {a},\n{b}\n"), vec![wanted(a), Filtered, wanted(a), Filtered], Shape::Object);
    sequence(
        format!("[{a},{b}]\n\u{feff}[{a}]{b}[]\u{feff}{a}"),
        vec![wanted(a), Filtered, wanted(a), Filtered, wanted(a)],
        Shape::Array,
    );
    sequence("{\n \"a\": {\n  \"b\": 1\n }\n}\n{}", vec![wanted("{\n \"a\": {\n  \"b\": 1\n }\n}"), wanted("{}")], Shape::Object);
    sequence(
        "null 5\n{}\n6",
        vec![dead(NotAnObject, "null"), dead(NotAnObject, "5"), wanted("{}"), dead(NotAnObject, "6")],
        Shape::Object,
    );
    sequence("abc {}\n{}\n}] x", vec![dead(InvalidSyntax, "abc {}"), wanted("{}"), dead(InvalidSyntax, "}] x")], Shape::Object);
    sequence(b"\xef\xbbx\n{}", vec![dead(InvalidUtf8, b"\xef\xbbx"), wanted("{}")], Shape::Object);
    // A byte order mark is no indentation.
    sequence("{}\n  \u{feff} [{}\n   []]\n", vec![wanted("{}"), wanted("{}"), dead(NotAnObject, "[]")], Shape::Array);
    sequence("{} nul", vec![wanted("{}"), dead(FramingLost, "nul")], Shape::Lost);
}

#[test]
fn a_broken_line_leaves_the_following_lines_alone() {
    let good = r#"{"RecordType":28,"x":"}\"{"}"#;
    for broken in [
        r#"{"a":tru}"#,
        r#"{"a":"x}"#,
        r#"{"a":"x"#,
        r#"{"a":1"#,
        r#"{"a":"#,
        r#"{"a":[{"b":1}"#,
        r#"{"a":[1}"#,
        r#"{"a":1}}"#,
        r#"{"#,
        r#"{"a":"\"#,
        r#"{"a":1,"#,
        r#""a":1}"#,
        r#"[{"a":1},{"b"#,
        r#"[{"a":1},{"b":[}"#,
        r#"[[[{"#,
        r#"{"a":"x\ny","b":}"#,
    ] {
        for newline in ["\n", "\r\n", "\n\n"] {
            let input = format!("{good}{newline}{broken}{newline}{good}{newline}{good}{newline}");
            let (told, _) = decode_all_ways(Kind::Sequence, input.as_bytes(), &RecordTypes::defender());
            assert_eq!(told.first(), Some(&wanted(good)), "{broken}");
            assert_eq!(told[told.len() - 2..], [wanted(good), wanted(good)], "{broken}");
            assert!(told.iter().any(|t| matches!(t, Told::Dead(..))), "{broken}");
        }
    }
}

#[test]
fn inner_objects_of_a_broken_record_are_no_records() {
    let broken = "{\n  \"a\": tru,\n  \"b\": [\n    {\n      \"c\": \"x\n    },\n    {}\n  ]";
    sequence(format!("{broken}\n{{}}\n"), vec![dead(InvalidSyntax, broken), wanted("{}")], Shape::Object);
    // The same in a pretty-printed array, where elements are indented.
    let broken = "{\n    \"a\": tru,\n    \"b\":\n    {\n      \"c\": \"x\n    }\n  },";
    sequence(
        format!("[\n  {{}},\n  {broken}\n  {{}}\n]"),
        vec![wanted("{}"), dead(InvalidSyntax, broken), wanted("{}")],
        Shape::Array,
    );
}

#[test]
fn a_truncated_blob_leaves_the_next_one_alone() {
    for (cut, last) in [
        ("[{},{\"a\":1", Some("{\"a\":1")),
        ("[{},{\"a\":\"x", Some("{\"a\":\"x")),
        ("[{},", None),
        ("[{}", None),
        ("[{},{\"a\":[1},", None),
    ] {
        let input = format!("{cut}\n[{{}},{{\"b\":1}}]\n");
        let (told, shape) = decode_all_ways(Kind::Sequence, input.as_bytes(), &RecordTypes::defender());
        assert_eq!(shape, Shape::Lost, "{cut}");
        assert_eq!(told.first(), Some(&wanted("{}")));
        assert_eq!(told[told.len() - 2..], [wanted("{}"), wanted("{\"b\":1}")], "{cut}");
        if let Some(last) = last {
            assert_eq!(told[1], dead(InvalidSyntax, last));
        }
    }
}

#[test]
fn dead_letters_are_known_by_their_members() {
    let line = r#"{"tenant":"t","content_id":"c","content_created":"2026-03-02T09:10:19Z","index":3,"reason":"invalid_syntax","part":0,"last":true,"bytes":"eA=="}"#;
    sequence(format!("{line}\n"), vec![wanted(line)], Shape::Object);
    assert!(is_dead_letter(line.as_bytes()));
    for other in [
        r#"{"reason":"x","bytes":5}"#,
        r#"{"reason":{},"bytes":"x"}"#,
        r#"{"reason":"x"}"#,
        r#"{"bytes":"x"}"#,
        r#"{"a":{"reason":"x","bytes":"x"}}"#,
        r#"{"reason":"x","bytes":"x","RecordType":28}"#,
        r#"{"RecordTyp\u0065":28,"reason":"x","bytes":"x"}"#,
    ] {
        assert!(!is_dead_letter(other.as_bytes()), "{other}");
    }
}

#[test]
fn the_text_of_a_member_is_that_of_the_first_one_at_the_top() {
    for (raw, text) in [
        (r#"{"a":"x"}"#, Some("x")),
        (r#"{ "b" : {"a":"no"} , "\u0061" : "y\n" , "a" : "z" }"#, Some("y\n")),
        (r#"{"a":5,"a":"x"}"#, None),
        (r#"{"b":["a","x"]}"#, None),
        ("{}", None),
    ] {
        assert_eq!(crate::decode::text_of(raw.as_bytes(), "a").as_deref(), text, "{raw}");
    }
}

#[test]
fn reasons_have_names() {
    let all = [InvalidSyntax, InvalidUtf8, TooDeep, TooLarge, NotAnObject, FramingLost];
    let names = all.map(|reason| reason.to_string());
    assert_eq!(names, ["invalid_syntax", "invalid_utf8", "too_deep", "too_large", "not_an_object", "framing_lost"]);
}
