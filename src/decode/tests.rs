//! The decoder as a whole: a table of outcomes, the fixtures, and properties against the reference and against serde_json.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::frame::{Framer, Limits};
use super::reference::{self, Told};
use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blob,
    Sequence,
}

/// Decodes `bytes` in slices of these sizes, over and over, and puts dead elements together from their parts.
fn decode(kind: Kind, bytes: &[u8], cuts: &[usize], filter: &RecordTypes, limits: Limits) -> (Vec<Told>, Shape) {
    let mut framer = match kind {
        Kind::Blob => Framer::blob(filter.clone(), limits),
        Kind::Sequence => Framer::sequence(filter.clone(), limits),
    };
    let mut told = Vec::new();
    let mut parts: Vec<(DeadReason, Vec<u8>)> = Vec::new();
    let mut each = |item: Item<'_>| match item {
        Item::Wanted { index, raw } => {
            assert_eq!(index, told.len() as u64);
            told.push(Told::Wanted(raw.to_vec()));
        }
        Item::Filtered { index } => {
            assert_eq!(index, told.len() as u64);
            told.push(Told::Filtered);
        }
        Item::Dead { index, reason, part, last, raw } => {
            assert_eq!((index, part as usize), (told.len() as u64, parts.len()));
            assert!(
                if last { (1..=limits.part).contains(&raw.len()) } else { raw.len() == limits.part },
                "part of {} bytes",
                raw.len()
            );
            assert!(parts.iter().all(|(r, _)| *r == reason), "the reason changed");
            parts.push((reason, raw.to_vec()));
            if last {
                told.push(Told::Dead(reason, parts.drain(..).flat_map(|(_, raw)| raw).collect()));
            }
        }
    };
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        let (chunk, after) = rest.split_at((*cut).min(rest.len()));
        framer.push(chunk, &mut each);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let ending = framer.finish(&mut each);
    assert!(parts.is_empty(), "a dead element without a last part");
    assert_eq!(ending.elements, told.len() as u64);
    (told, ending.shape)
}

/// Decodes with the real limits, and makes sure that the cuts make no difference.
fn decode_all_ways(kind: Kind, bytes: &[u8], filter: &RecordTypes) -> (Vec<Told>, Shape) {
    let whole = decode(kind, bytes, &[usize::MAX], filter, Limits::REAL);
    for cuts in [&[1][..], &[2], &[3], &[7, 1], &[64], &[1000, 13]] {
        let cut = decode(kind, bytes, cuts, filter, Limits::REAL);
        assert_eq!(cut, whole, "{} in slices of {cuts:?}", String::from_utf8_lossy(bytes));
    }
    let expected = match kind {
        Kind::Blob => reference::blob(bytes, filter, Limits::REAL),
        Kind::Sequence => reference::sequence(bytes, filter, Limits::REAL),
    };
    assert_eq!(whole, expected, "the reference says otherwise of {}", String::from_utf8_lossy(bytes));
    whole
}

fn wanted(raw: impl AsRef<[u8]>) -> Told {
    Told::Wanted(raw.as_ref().to_vec())
}

fn dead(reason: DeadReason, raw: impl AsRef<[u8]>) -> Told {
    Told::Dead(reason, raw.as_ref().to_vec())
}

use DeadReason::{FramingLost, InvalidSyntax, InvalidUtf8, NotAnObject, TooDeep, TooLarge};
use Told::Filtered;

#[track_caller]
fn expect(kind: Kind, input: impl AsRef<[u8]>, told: Vec<Told>, shape: Shape) {
    assert_eq!(decode_all_ways(kind, input.as_ref(), &RecordTypes::defender()), (told, shape));
}

#[track_caller]
fn blob(input: impl AsRef<[u8]>, told: Vec<Told>, shape: Shape) {
    expect(Kind::Blob, input, told, shape);
}

#[track_caller]
fn sequence(input: impl AsRef<[u8]>, told: Vec<Told>, shape: Shape) {
    expect(Kind::Sequence, input, told, shape);
}

#[test]
fn empty_and_blank_blobs() {
    for input in ["", " \r\n\t", "\u{feff}", "\u{feff}\n"] {
        blob(input, vec![], Shape::Nothing);
    }
    for input in ["[]", " [ \n]\t", "\u{feff}[]", "\u{feff} [] \n"] {
        blob(input, vec![], Shape::Array);
    }
}

#[test]
fn whole_arrays() {
    let a = r#"{"RecordType":28, "x" : [1 ,2]}"#;
    let b = r#"{"RecordType":20}"#;
    for input in [format!("[{a},{b},{a}]"), format!("\u{feff} [\n {a} ,\r\n{b}\t,{a} ] \n")] {
        blob(input, vec![wanted(a), Filtered, wanted(a)], Shape::Array);
    }
}

#[test]
fn elements_that_are_no_objects() {
    blob(
        r#"[null, -1.5e3 ,"a]\"",[{"RecordType":28}],true,{}]"#,
        vec![
            dead(NotAnObject, "null"),
            dead(NotAnObject, "-1.5e3"),
            dead(NotAnObject, r#""a]\"""#),
            dead(NotAnObject, r#"[{"RecordType":28}]"#),
            dead(NotAnObject, "true"),
            wanted("{}"),
        ],
        Shape::Array,
    );
}

#[test]
fn broken_elements_leave_the_others_alone() {
    for broken in [
        r#"{"a":tru}"#,
        r#"{"a":01}"#,
        r#"{"a" "b"}"#,
        r#"{'a':1}"#,
        r#"{"a":"\q"}"#,
        r#"{"a":"\u12x4"}"#,
        "{\"a\":\"x\ny\"}",
        r#"{"a":1,}"#,
        r#"{,}"#,
        "{\"a\":\"\u{1}\"}",
        r#"{"RecordType":20 "b":[}{]"]}"#,
        r#"{"a":NaN}"#,
        r#"{"a":é}"#,
    ] {
        let contradicts = broken.contains("}{");
        let input = format!(r#"[{{"n":0}} , {broken} ,{{"n":2}}]"#);
        if contradicts {
            let rest = &input[10..];
            blob(&input, vec![wanted(r#"{"n":0}"#), dead(FramingLost, rest.trim_start_matches([' ', ',']))], Shape::Lost);
        } else {
            blob(&input, vec![wanted(r#"{"n":0}"#), dead(InvalidSyntax, broken), wanted(r#"{"n":2}"#)], Shape::Array);
        }
    }
}

#[test]
fn text_between_elements_is_an_element_of_its_own() {
    for text in ["abc", "12x", "null{}", "'a'", "tru", "1}]"] {
        if text.contains('}') && !text.contains('{') {
            continue;
        }
        blob(format!("[{{}}, {text} ,{{}}]"), vec![wanted("{}"), dead(InvalidSyntax, text), wanted("{}")], Shape::Array);
        blob(format!("[{{}}, {text}]"), vec![wanted("{}"), dead(InvalidSyntax, text)], Shape::Array);
    }
    blob("[{} x, {}]", vec![wanted("{}"), dead(InvalidSyntax, "x"), wanted("{}")], Shape::Array);
    blob("[{}1]", vec![wanted("{}"), dead(NotAnObject, "1")], Shape::Array);
}

#[test]
fn commas_missing_or_too_many() {
    let two = || vec![wanted("{}"), wanted(r#"{"a":1}"#)];
    for input in [r#"[{} {"a":1}]"#, r#"[{}{"a":1}]"#, r#"[,{},,{"a":1}]"#, r#"[{},{"a":1},]"#, r#"[{},{"a":1} , , ]"#] {
        blob(input, two(), Shape::Array);
    }
    blob("[1 2]", vec![dead(NotAnObject, "1"), dead(NotAnObject, "2")], Shape::Array);
    blob("[,]", vec![], Shape::Array);
}

#[test]
fn invalid_utf8() {
    for bytes in [
        &b"\xff"[..],
        b"\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x98",
    ] {
        let element = [b"{\"a\":\"", bytes, b"\",\"RecordType\":20}"].concat();
        let input = [b"[", &element[..], b",{}]"].concat();
        blob(input, vec![dead(InvalidUtf8, element), wanted("{}")], Shape::Array);
    }
    blob(
        b"[{\"a\":\xff}, x\xff, {}]",
        vec![dead(InvalidUtf8, b"{\"a\":\xff}"), dead(InvalidUtf8, b"x\xff"), wanted("{}")],
        Shape::Array,
    );
    let valid = "{\"é\":\"\u{800}\u{ffff}\u{10ffff}日本語😀\u{7f}\u{80}\"}";
    blob(format!("[{valid}]"), vec![wanted(valid)], Shape::Array);
}

#[test]
fn lone_surrogates_and_numbers_of_any_size_are_valid() {
    for element in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00\ud800x"}"#, r#"{"\uDFFF":1}"#] {
        blob(format!("[{element}]"), vec![wanted(element)], Shape::Array);
    }
    let element = format!("{{\"a\":-{}.{}e+{}}}", "9".repeat(999), "0".repeat(999), "9".repeat(99));
    blob(format!("[{element}]"), vec![wanted(element)], Shape::Array);
}

#[test]
fn depth() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let most = MAX_DEPTH as usize;
    blob(format!("[{}]", nested(most)), vec![wanted(nested(most))], Shape::Array);
    blob(format!("[{},{{}}]", nested(most + 1)), vec![dead(TooDeep, nested(most + 1)), wanted("{}")], Shape::Array);
    // Below the greatest depth brackets are only counted.
    let odd = format!("{}[}}{}", "[".repeat(most), "]".repeat(most));
    blob(format!("[{odd},{{}}]"), vec![dead(TooDeep, &odd), wanted("{}")], Shape::Array);
}

#[test]
fn framing_lost() {
    blob(r#"[{},{"a":[1},{}]"#, vec![wanted("{}"), dead(FramingLost, r#"{"a":[1},{}]"#)], Shape::Lost);
    blob("[{} } ,{}] ", vec![wanted("{}"), dead(FramingLost, "} ,{}] ")], Shape::Lost);
    blob("[x}]", vec![dead(FramingLost, "x}]")], Shape::Lost);
    // A string that lacks its closing quote.
    let input = r#"[{},{"a":"x},{"b":"y"},{"c":"z"}]"#;
    blob(input, vec![wanted("{}"), dead(FramingLost, &input[4..])], Shape::Lost);
}

#[test]
fn truncation() {
    for rest in ["{", "{\"a", "{\"a\":1", "{\"a\":\"\\", "1", "nul", "null", "-", "\"a", "[[]", "x", "{\"a\":tru  "] {
        blob(format!("[{{}}, {rest}"), vec![wanted("{}"), dead(FramingLost, rest)], Shape::Lost);
    }
    for input in ["[", "[ ", "[,"] {
        blob(input, vec![], Shape::Lost);
    }
    for input in ["[{}", "[{},", "[{} , \n"] {
        blob(input, vec![wanted("{}")], Shape::Lost);
    }
    blob("{\"a\":1", vec![dead(FramingLost, "{\"a\":1")], Shape::Lost);
}

#[test]
fn trailing_bytes() {
    blob("[{}] x [ ", vec![wanted("{}"), dead(FramingLost, "x [ ")], Shape::Lost);
    blob("[][{}]", vec![dead(FramingLost, "[{}]")], Shape::Lost);
    blob("[]\0", vec![dead(FramingLost, "\0")], Shape::Lost);
    blob("{} {}", vec![wanted("{}"), dead(FramingLost, "{}")], Shape::Lost);
    blob("[]\u{feff}", vec![dead(FramingLost, "\u{feff}")], Shape::Lost);
}

#[test]
fn single_objects() {
    blob("\u{feff} {\"a\" : 1}\n", vec![wanted("{\"a\" : 1}")], Shape::Object);
    blob(r#"{"RecordType":20}"#, vec![Filtered], Shape::Object);
    blob(r#"{"a":tru}"#, vec![dead(InvalidSyntax, r#"{"a":tru}"#)], Shape::Object);
    blob(b"{\"error\":\"\xff\"}", vec![dead(InvalidUtf8, b"{\"error\":\"\xff\"}")], Shape::Object);
    blob(r#"{"error":{},"RecordType":28}"#, vec![wanted(r#"{"error":{},"RecordType":28}"#)], Shape::Object);
    blob(r#"{"error":{},"Record\u0054ype":20}"#, vec![Filtered], Shape::Object);
    blob(r#"{"a":{"error":1}}"#, vec![wanted(r#"{"a":{"error":1}}"#)], Shape::Object);
}

#[test]
fn error_bodies() {
    for raw in [r#"{"error":{"code":"AF20022","message":"x"}}"#, r#"{"a":{"RecordType":28},"\u0065rror":null}"#] {
        blob(format!("\n{raw} "), vec![], Shape::Error(raw.into()));
        blob(format!("[{raw}]"), vec![wanted(raw)], Shape::Array);
        blob(format!("{raw} [x"), vec![dead(FramingLost, "[x")], Shape::Error(raw.into()));
        sequence(raw, vec![wanted(raw)], Shape::Object);
    }
    let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(MAX_ERROR));
    blob(&long, vec![], Shape::Error(long.as_bytes()[..MAX_ERROR].to_vec()));
}

#[test]
fn bodies_that_are_no_json() {
    for input in ["<!DOCTYPE html><html>[{}]</html>", "null", "\"a\"", "5", "}", "]", ",[]", "x", "\u{b}[]"] {
        blob(format!(" {input} \n"), vec![dead(FramingLost, format!("{input} \n"))], Shape::Lost);
    }
    for input in [&b"\xef"[..], b"\xef\xbb", b"\xef\xbb[]", b"\xefx", b"\xff\xfe[\0]\0"] {
        blob(input, vec![dead(FramingLost, input)], Shape::Lost);
    }
}

#[test]
fn record_types_at_the_top_level_decide() {
    let defender = RecordTypes::defender();
    for (element, is_wanted) in [
        (r#"{"RecordType":28}"#, true),
        (r#"{"RecordType": 41 }"#, true),
        (r#"{ "RecordType" :47,"a":1}"#, true),
        (r#"{"a":1,"RecordType":64}"#, true),
        (r#"{"RecordType":28.0}"#, true),
        (r#"{"RecordType":2.8e1}"#, true),
        (r#"{"RecordType":280e-1}"#, true),
        (r#"{"RecordType":"28"}"#, true),
        (r#"{"RecordType":" 28 "}"#, true),
        (r#"{"RecordType":"28.0"}"#, true),
        (r#"{"RecordType":"ThreatIntelligence"}"#, true),
        (r#"{"RecordType":"airINVESTIGATION"}"#, true),
        (r#"{"Record\u0054ype":28}"#, true),
        (r#"{"RecordType":20,"RecordType":28}"#, true),
        (r#"{"RecordType":28,"RecordType":20}"#, true),
        (r#"{"RecordType":20,"R\u0065cordType":28}"#, true),
        // Can't be told.
        (r#"{}"#, true),
        (r#"{"recordtype":20}"#, true),
        (r#"{"a":"RecordType","b":20}"#, true),
        (r#"{"a":{"RecordType":20}}"#, true),
        (r#"{"a":[{"RecordType":20}]}"#, true),
        (r#"{"a":"\"RecordType\":20"}"#, true),
        (r#"{"RecordType":null}"#, true),
        (r#"{"RecordType":20.5}"#, true),
        (r#"{"RecordType":{"RecordType":20}}"#, true),
        (r#"{"RecordType":[20]}"#, true),
        (r#"{"RecordType":"NoSuchName"}"#, true),
        (r#"{"RecordType":""}"#, true),
        (r#"{"RecordType":20,"RecordType":"?"}"#, true),
        // Another type.
        (r#"{"RecordType":20}"#, false),
        (r#"{"RecordType":280}"#, false),
        (r#"{"RecordType":-28}"#, false),
        (r#"{"RecordType":"20"}"#, false),
        (r#"{"RecordType":"1e9"}"#, false),
        (r#"{"RecordType":"exchangeadmin"}"#, false),
        (r#"{"RecordType":99999999999999999999}"#, false),
        (r#"{"RecordType":1e400}"#, false),
        (r#"{"Record\u0054ype":20}"#, false),
        (r#"{"RecordType":20,"RecordType":21}"#, false),
        (r#"{"a":{"RecordType":28},"RecordType":20,"b":"\"RecordType\":28"}"#, false),
        (r#"{"RecordType":20,"RecordTypes":28,"ecordType":28,"XRecordType":28}"#, false),
    ] {
        let expected = if is_wanted { wanted(element) } else { Filtered };
        blob(format!("[{element},{element}]"), vec![expected.clone(), expected.clone()], Shape::Array);
        sequence(element, vec![expected], Shape::Object);
        assert_eq!(decode_all_ways(Kind::Blob, element.as_bytes(), &RecordTypes::All).0, [wanted(element)]);
        assert_eq!(decode(Kind::Blob, element.as_bytes(), &[3], &defender, Limits::REAL).1, Shape::Object);
    }
}

#[test]
fn elements_up_to_the_limit_are_decoded_and_larger_ones_go_out_in_parts() {
    let element = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size - 8)).into_bytes();
    for (size, cut) in [
        (MAX_ELEMENT, 16_384),
        (MAX_ELEMENT, usize::MAX),
        (MAX_ELEMENT + 1, 16_384),
        (MAX_ELEMENT + 1, usize::MAX),
        (3 * MAX_ELEMENT, 65_536),
    ] {
        let element = element(size);
        let input = [b"[{}, ", &element[..], b" ,{\"b\":2}]"].concat();
        let (told, shape) = decode(Kind::Blob, &input, &[cut], &RecordTypes::defender(), Limits::REAL);
        let middle = if size > MAX_ELEMENT { dead(TooLarge, element) } else { wanted(element) };
        assert!(told == [wanted("{}"), middle, wanted("{\"b\":2}")], "{size} in slices of {cut}");
        assert_eq!(shape, Shape::Array);
    }
}

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
fn reasons_have_names() {
    let all = [InvalidSyntax, InvalidUtf8, TooDeep, TooLarge, NotAnObject, FramingLost];
    let names = all.map(|reason| reason.to_string());
    assert_eq!(names, ["invalid_syntax", "invalid_utf8", "too_deep", "too_large", "not_an_object", "framing_lost"]);
}

mod fixtures {
    use super::*;

    /// The fixture's bytes and what the decoder says of it.
    macro_rules! fixture {
        ($kind:expr, $name:literal) => {{
            let bytes: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/blobs/", $name));
            let (told, shape) = decode_all_ways($kind, bytes, &RecordTypes::defender());
            (summary(&told), shape)
        }};
    }

    /// One word per element: its `Id` if it is wanted.
    fn summary(told: &[Told]) -> Vec<String> {
        let id = |raw: &[u8]| {
            let id = members::members(raw).find(|m| m.is("Id")).and_then(|m| m.text().map(|t| t.into_owned()));
            id.unwrap_or_else(|| "?".to_owned())
        };
        told.iter()
            .map(|told| match told {
                Told::Wanted(raw) => id(raw),
                Told::Filtered => "filtered".to_owned(),
                Told::Dead(reason, _) => reason.to_string(),
            })
            .collect()
    }

    #[test]
    fn blobs_say_what_their_names_say() {
        assert_eq!(
            fixture!(Kind::Blob, "mixed.json"),
            (["mail", "filtered", "url", "filtered", "file", "filtered", "air"].map(String::from).to_vec(), Shape::Array)
        );
        assert_eq!(
            fixture!(Kind::Blob, "awkward-types.json"),
            (
                [
                    "fraction",
                    "exponent",
                    "string",
                    "name",
                    "escaped-key",
                    "repeated-key",
                    "missing",
                    "null",
                    "filtered",
                    "filtered",
                    "filtered"
                ]
                .map(String::from)
                .to_vec(),
                Shape::Array
            )
        );
        assert_eq!(
            fixture!(Kind::Blob, "nested-decoy.json"),
            (["filtered", "filtered", "after-decoys", "filtered"].map(String::from).to_vec(), Shape::Array)
        );
        assert_eq!(
            fixture!(Kind::Blob, "broken-element.json"),
            (
                ["before", "invalid_syntax", "between", "invalid_syntax", "not_an_object", "after"].map(String::from).to_vec(),
                Shape::Array
            )
        );
        assert_eq!(
            fixture!(Kind::Blob, "invalid-utf8.json"),
            (["before", "invalid_utf8", "after"].map(String::from).to_vec(), Shape::Array)
        );
        assert_eq!(
            fixture!(Kind::Blob, "lone-surrogate.json"),
            (["half-an-emoji", "filtered"].map(String::from).to_vec(), Shape::Array)
        );
        assert_eq!(
            fixture!(Kind::Blob, "truncated.json"),
            (["first", "filtered", "framing_lost"].map(String::from).to_vec(), Shape::Lost)
        );
        assert_eq!(fixture!(Kind::Blob, "trailing.json"), (["first", "framing_lost"].map(String::from).to_vec(), Shape::Lost));
        assert_eq!(fixture!(Kind::Blob, "bom.json"), (["after-the-mark", "filtered"].map(String::from).to_vec(), Shape::Array));
        assert_eq!(fixture!(Kind::Blob, "single-object.json"), (vec!["alone".to_owned()], Shape::Object));
        assert_eq!(fixture!(Kind::Blob, "empty.json"), (vec![], Shape::Array));
        assert_eq!(fixture!(Kind::Blob, "html.json"), (vec!["framing_lost".to_owned()], Shape::Lost));
        let (told, shape) = fixture!(Kind::Blob, "error.json");
        assert!(told.is_empty() && matches!(shape, Shape::Error(raw) if raw.starts_with(b"{\"error\":{\"code\":\"AF50000\"")));
    }

    #[test]
    fn sequences_say_what_their_names_say() {
        assert_eq!(
            fixture!(Kind::Sequence, "lines.ndjson"),
            (
                ["first", "filtered", "invalid_syntax", "after-the-broken-line", "not_an_object", "last"]
                    .map(String::from)
                    .to_vec(),
                Shape::Object
            )
        );
        assert_eq!(
            fixture!(Kind::Sequence, "blobs-after-blobs.json"),
            (["first", "invalid_syntax", "second", "filtered", "between", "third"].map(String::from).to_vec(), Shape::Lost)
        );
        let letters: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/blobs/dead-letter.ndjson"));
        let (told, shape) = decode_all_ways(Kind::Sequence, letters, &RecordTypes::defender());
        assert_eq!((told.len(), shape), (2, Shape::Object));
        assert!(told.iter().all(|told| matches!(told, Told::Wanted(raw) if is_dead_letter(raw))));
    }

    #[test]
    fn made_up_records_pass_unchanged() {
        let bytes: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/blobs/records.ndjson"));
        let lines: Vec<_> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(wanted).collect();
        assert!(lines.len() > 20);
        assert_eq!(decode_all_ways(Kind::Sequence, bytes, &RecordTypes::All), (lines.clone(), Shape::Object));
        let array = String::from_utf8(bytes.to_vec()).unwrap().trim().replace('\n', ",\n");
        assert_eq!(decode_all_ways(Kind::Blob, format!("[{array}]").as_bytes(), &RecordTypes::All), (lines, Shape::Array));
    }
}

/// White space, mostly none.
fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n"), 1 => Just("\r\n\t "), 1 => Just("\n  ")]
}

fn string() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "",
        "a",
        "RecordType",
        "}",
        "{",
        "]",
        "[",
        ",",
        ":",
        "\\\"",
        "\\\\",
        "\\u0041",
        "\\ud800",
        "\\udc00",
        "\\n",
        "\\/",
        "é",
        "日本",
        "😀",
        "28",
        "a long stretch of plain text",
        "\\\"RecordType\\\":28",
        "\u{7f}",
    ]);
    proptest::collection::vec(pieces, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn key() -> impl Strategy<Value = String> {
    let known =
        select(vec!["RecordType", "RecordType", "Record\\u0054ype", "error", "a", "reason", "bytes", "recordtype", "RecordTyp"]);
    prop_oneof![3 => known.prop_map(|key| format!("\"{key}\"")), 1 => string()]
}

fn scalar() -> impl Strategy<Value = String> {
    let known = select(vec![
        "28",
        "20",
        "41",
        "47.0",
        "6.4e1",
        "640e-1",
        "\"28\"",
        "\" 64 \"",
        "\"ThreatIntelligence\"",
        "\"nobody\"",
        "28.5",
        "1e400",
        "-0",
        "0",
        "-1.25E+7",
        "null",
        "true",
        "false",
        "99999999999999999999",
        "[]",
        "{}",
    ]);
    prop_oneof![3 => known.prop_map(String::from), 1 => string(), 1 => any::<i32>().prop_map(|n| n.to_string())]
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        let array = (proptest::collection::vec((blank(), inner.clone(), blank()), 0..4), blank()).prop_map(|(entries, empty)| {
            let entries: Vec<_> = entries.into_iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect();
            format!("[{}{empty}]", entries.join(","))
        });
        prop_oneof![1 => array, 2 => object_of(inner)]
    })
}

fn object_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    proptest::collection::vec((blank(), key(), blank(), blank(), value, blank()), 0..4).prop_map(|members| {
        let members: Vec<_> = members.into_iter().map(|(a, k, b, c, v, d)| format!("{a}{k}{b}:{c}{v}{d}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn element() -> impl Strategy<Value = String> {
    prop_oneof![5 => object_of(value()), 1 => value()]
}

/// An array of elements, or something near it.
fn document() -> impl Strategy<Value = String> {
    let separator = prop_oneof![12 => Just(","), 2 => Just(",\n"), 1 => Just(" "), 1 => Just(",,"), 1 => Just("")];
    let mark = prop_oneof![6 => Just(""), 1 => Just("\u{feff}")];
    let array = (blank(), proptest::collection::vec((blank(), element(), blank(), separator), 0..6), blank()).prop_map(
        |(a, elements, b)| {
            let mut text = format!("{a}[");
            for (i, (a, element, b, separator)) in elements.iter().enumerate() {
                text += if i > 0 { separator } else { "" };
                text += &format!("{a}{element}{b}");
            }
            text + "]" + b
        },
    );
    (mark, prop_oneof![6 => array, 1 => element()]).prop_map(|(mark, text)| format!("{mark}{text}"))
}

fn documents() -> impl Strategy<Value = String> {
    let between =
        prop_oneof![6 => Just("\n"), 1 => Just(""), 1 => Just("\r\n"), 1 => Just(" "), 1 => Just("\n\n  "), 1 => Just(",")];
    proptest::collection::vec((prop_oneof![2 => object_of(value()), 1 => document(), 1 => scalar()], between), 0..6)
        .prop_map(|documents| documents.into_iter().map(|(document, between)| document + between).collect())
}

/// One piece of damage.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let telling = select(b"\"\\{}[],: \n\t0-1.eEtnu\x01\x7f\xc3\xa9\xed\xa0\xf0\xffx".to_vec());
    let pieces = select(vec![
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        "\n{",
        "\n  {",
        "\n[",
        "null",
        "01",
        "\\u",
        "\\ud8",
        "\u{1}",
        "\"RecordType\":28,",
        "{\"a\":",
        "x",
    ]);
    prop_oneof![
        3 => (any::<Index>(), prop_oneof![3 => telling, 1 => any::<u8>()]).prop_map(|(at, byte)| Damage::Set(at, byte)),
        3 => (any::<Index>(), pieces).prop_map(|(at, piece)| Damage::Insert(at, piece.as_bytes().to_vec())),
        2 => (any::<Index>(), 1usize..5).prop_map(|(at, count)| Damage::Delete(at, count)),
        1 => any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match damage {
            Damage::Set(at, byte) => {
                let at = place(at);
                bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
            }
            Damage::Insert(at, piece) => {
                let at = place(at);
                bytes.splice(at..at, piece.iter().copied());
            }
            Damage::Delete(at, count) => {
                let at = place(at);
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Damage::Truncate(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
        }
    }
    bytes
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![1 => Just(vec![1]), 1 => Just(vec![usize::MAX]), 4 => proptest::collection::vec(1usize..40, 1..6)]
}

fn limits() -> impl Strategy<Value = Limits> {
    let small = (4usize..120, 1usize..24, 4usize..40).prop_map(|(element, part, error)| Limits { element, part, error });
    prop_oneof![1 => Just(Limits::REAL), 1 => small]
}

fn filter() -> impl Strategy<Value = RecordTypes> {
    prop_oneof![3 => Just(RecordTypes::defender()), 1 => Just(RecordTypes::All)]
}

/// Items whose raw bytes serde_json agrees about: valid ones are valid there, broken ones are not.
fn serde_agrees(told: &[Told]) {
    for told in told {
        match told {
            Told::Wanted(raw) | Told::Dead(NotAnObject, raw) => {
                let text = std::str::from_utf8(raw).unwrap();
                serde_json::from_str::<IgnoredAny>(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            }
            Told::Dead(InvalidSyntax | InvalidUtf8, raw) => {
                let verdict = std::str::from_utf8(raw).map(serde_json::from_str::<IgnoredAny>);
                assert!(!matches!(verdict, Ok(Ok(_))), "{} is valid", String::from_utf8_lossy(raw));
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn blobs_are_decoded_as_the_reference_does(
        text in document(), damages in proptest::collection::vec(damage(), 0..4), cuts in cuts(), limits in limits(), filter in filter(),
    ) {
        let bytes = damaged(&text, &damages);
        let expected = reference::blob(&bytes, &filter, limits);
        prop_assert_eq!(&decode(Kind::Blob, &bytes, &cuts, &filter, limits), &expected);
        serde_agrees(&expected.0);
    }

    #[test]
    fn sequences_are_decoded_as_the_reference_does(
        text in documents(), damages in proptest::collection::vec(damage(), 0..4), cuts in cuts(), limits in limits(), filter in filter(),
    ) {
        let bytes = damaged(&text, &damages);
        let expected = reference::sequence(&bytes, &filter, limits);
        prop_assert_eq!(&decode(Kind::Sequence, &bytes, &cuts, &filter, limits), &expected);
        serde_agrees(&expected.0);
    }

    #[test]
    fn what_serde_json_accepts_is_cut_where_serde_json_cuts(text in document(), damages in proptest::collection::vec(damage(), 0..2), cuts in cuts()) {
        let bytes = damaged(&text, &damages);
        let without_mark = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        if let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(without_mark) {
            let (told, shape) = decode(Kind::Blob, &bytes, &cuts, &RecordTypes::All, Limits::REAL);
            prop_assert_eq!(shape, Shape::Array);
            let expected: Vec<_> = elements.iter().map(|raw| if raw.get().starts_with('{') { wanted(raw.get()) } else { dead(NotAnObject, raw.get()) }).collect();
            prop_assert_eq!(told, expected);
        }
    }

    #[test]
    fn no_byte_is_lost(bytes in proptest::collection::vec(prop_oneof![3 => select(b"\"\\{}[],: \na1".to_vec()), 1 => any::<u8>()], 0..200), cuts in cuts(), limits in limits()) {
        for kind in [Kind::Blob, Kind::Sequence] {
            let (told, shape) = decode(kind, &bytes, &cuts, &RecordTypes::All, limits);
            let out: Vec<u8> = told.iter().flat_map(|told| match told {
                Told::Wanted(raw) | Told::Dead(_, raw) => raw.clone(),
                Told::Filtered => unreachable!("all are wanted"),
            }).collect();
            // What is missing from the output is white space and framing, in its order.
            let mut rest = out.iter().peekable();
            if let Shape::Error(raw) = &shape {
                prop_assert!(bytes.windows(raw.len()).any(|w| w == raw));
            } else {
                for byte in &bytes {
                    if rest.peek() == Some(&byte) {
                        rest.next();
                    } else {
                        prop_assert!(b" \t\r\n,[]".contains(byte) || bytes.starts_with(b"\xef\xbb\xbf"), "{byte:#x} is missing");
                    }
                }
                prop_assert!(rest.next().is_none());
            }
        }
    }
}
