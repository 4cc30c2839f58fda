//! The sample blobs in `fixtures/blobs`.

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
            ["first", "filtered", "invalid_syntax", "after-the-broken-line", "not_an_object", "last"].map(String::from).to_vec(),
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
