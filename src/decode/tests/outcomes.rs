//! The table of outcomes in `decode.rs`, row by row.

use super::*;

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
        r#"{"RecordType":20 "b":["}{]"]}"#,
        r#"{"a":NaN}"#,
        r#"{"a":é}"#,
    ] {
        let input = format!(r#"[{{"n":0}} , {broken} ,{{"n":2}}]"#);
        blob(&input, vec![wanted(r#"{"n":0}"#), dead(InvalidSyntax, broken), wanted(r#"{"n":2}"#)], Shape::Array);
    }
}

#[test]
fn text_between_elements_is_an_element_of_its_own() {
    for text in ["abc", "12x", "null{}", "'a'", "tru"] {
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
