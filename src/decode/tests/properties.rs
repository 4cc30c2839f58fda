//! Random documents, randomly damaged and cut: the decoder says what the reference says, and agrees with serde_json.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::fuzz::{cut_as_serde_json_cuts, no_byte_lost, serde_agrees};
use super::*;

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
    prop_oneof![
        1 => Just(vec![1]),
        3 => Just(vec![usize::MAX]),
        4 => proptest::collection::vec(1usize..40, 1..6),
        3 => proptest::collection::vec(60usize..300, 1..6),
    ]
}

/// White space behind the input: what is near the end of a slice is read in another way than the rest.
fn room() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 1 => Just(150), 1 => 0usize..150]
}

fn limits() -> impl Strategy<Value = Limits> {
    let small = (4usize..120, 1usize..24, 4usize..40).prop_map(|(element, part, error)| Limits { element, part, error });
    prop_oneof![1 => Just(Limits::REAL), 1 => small]
}

fn filter() -> impl Strategy<Value = RecordTypes> {
    prop_oneof![3 => Just(RecordTypes::defender()), 1 => Just(RecordTypes::All)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn blobs_are_decoded_as_the_reference_does(
        text in document(), damages in proptest::collection::vec(damage(), 0..4), cuts in cuts(), limits in limits(), filter in filter(), room in room(),
    ) {
        let mut bytes = damaged(&text, &damages);
        bytes.resize(bytes.len() + room, b' ');
        let expected = reference::blob(&bytes, &filter, limits);
        prop_assert_eq!(&decode(Kind::Blob, &bytes, &cuts, &filter, limits), &expected);
        serde_agrees(&expected.0);
    }

    #[test]
    fn sequences_are_decoded_as_the_reference_does(
        text in documents(), damages in proptest::collection::vec(damage(), 0..4), cuts in cuts(), limits in limits(), filter in filter(), room in room(),
    ) {
        let mut bytes = damaged(&text, &damages);
        bytes.resize(bytes.len() + room, b' ');
        let expected = reference::sequence(&bytes, &filter, limits);
        prop_assert_eq!(&decode(Kind::Sequence, &bytes, &cuts, &filter, limits), &expected);
        serde_agrees(&expected.0);
    }

    #[test]
    fn what_serde_json_accepts_is_cut_where_serde_json_cuts(text in document(), damages in proptest::collection::vec(damage(), 0..2), cuts in cuts(), room in room()) {
        let mut bytes = damaged(&text, &damages);
        bytes.resize(bytes.len() + room, b' ');
        cut_as_serde_json_cuts(&bytes, &cuts);
    }

    #[test]
    fn no_byte_is_lost(bytes in proptest::collection::vec(prop_oneof![3 => select(b"\"\\{}[],: \na1".to_vec()), 1 => any::<u8>()], 0..200), cuts in cuts(), limits in limits()) {
        for kind in [Kind::Blob, Kind::Sequence] {
            no_byte_lost(kind, &bytes, &cuts, limits);
        }
    }
}
