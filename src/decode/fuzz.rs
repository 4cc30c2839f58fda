//! What holds of any input of the decoder, however it is cut: the reference and serde_json say the same, and no byte is lost.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::frame::{Framer, Limits};
use super::reference::{self, Told};
use super::{DeadReason, Item, Shape};
use crate::domain::RecordTypes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Blob,
    Sequence,
}

/// Limits that small inputs reach.
const SMALL: [Limits; 3] = [
    Limits { element: 64, part: 16, error: 20 },
    Limits { element: 16, part: 5, error: 8 },
    Limits { element: 4, part: 1, error: 4 },
];

/// The first three bytes say how to read the others: the kind, the filter and the limits, and two sizes of slices.
pub fn blob(data: &[u8]) {
    let Some(([how, first, second], bytes)) = data.split_first_chunk() else { return };
    let kind = if how & 1 == 0 { Kind::Blob } else { Kind::Sequence };
    let filter = if how & 2 == 0 { RecordTypes::defender() } else { RecordTypes::All };
    let limits = SMALL.get(usize::from(how >> 2 & 3)).copied().unwrap_or(Limits::REAL);
    let cuts: &[usize] = &[usize::from(*first), usize::from(*second)].map(|n| if n == 0 { usize::MAX } else { n });

    let decoded = decode(kind, bytes, cuts, &filter, limits);
    let expected = match kind {
        Kind::Blob => reference::blob(bytes, &filter, limits),
        Kind::Sequence => reference::sequence(bytes, &filter, limits),
    };
    assert_eq!(decoded, expected, "decoded, and what the reference says");
    serde_agrees(&decoded.0);
    cut_as_serde_json_cuts(bytes, cuts);
    no_byte_lost(kind, bytes, cuts, limits);
}

/// Decodes `bytes` in slices of these sizes, over and over, and puts dead elements together from their parts.
pub(super) fn decode(kind: Kind, bytes: &[u8], cuts: &[usize], filter: &RecordTypes, limits: Limits) -> (Vec<Told>, Shape) {
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

/// Items whose raw bytes serde_json agrees about: valid ones are valid there, broken ones are not.
pub(super) fn serde_agrees(told: &[Told]) {
    for told in told {
        match told {
            Told::Wanted(raw) | Told::Dead(DeadReason::NotAnObject, raw) => {
                let text = std::str::from_utf8(raw).unwrap();
                let verdict = serde_json::from_str::<IgnoredAny>(text);
                // It gives up one level earlier than the decoder.
                let agrees = verdict.is_ok() || verdict.is_err_and(|e| e.to_string().starts_with("recursion limit"));
                assert!(agrees, "{text} is not valid");
            }
            Told::Dead(DeadReason::InvalidSyntax | DeadReason::InvalidUtf8, raw) => {
                let verdict = std::str::from_utf8(raw).map(serde_json::from_str::<IgnoredAny>);
                assert!(!matches!(verdict, Ok(Ok(_))), "{} is valid", String::from_utf8_lossy(raw));
            }
            _ => {}
        }
    }
}

/// What serde_json takes for an array has the same elements here.
pub(super) fn cut_as_serde_json_cuts(bytes: &[u8], cuts: &[usize]) {
    let without_mark = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(without_mark) {
        let (told, shape) = decode(Kind::Blob, bytes, cuts, &RecordTypes::All, Limits::REAL);
        assert_eq!(shape, Shape::Array);
        let expected = elements.iter().map(|raw| match raw.get() {
            object if object.starts_with('{') => Told::Wanted(object.into()),
            other => Told::Dead(DeadReason::NotAnObject, other.into()),
        });
        assert_eq!(told, expected.collect::<Vec<_>>(), "decoded, and what serde_json says");
    }
}

/// What is missing from the output is white space and framing; everything else is there, in its order.
pub(super) fn no_byte_lost(kind: Kind, bytes: &[u8], cuts: &[usize], limits: Limits) {
    let (told, shape) = decode(kind, bytes, cuts, &RecordTypes::All, limits);
    if let Shape::Error(raw) = &shape {
        assert!(bytes.windows(raw.len()).any(|w| w == raw));
        return;
    }
    let out: Vec<u8> = told
        .into_iter()
        .flat_map(|told| match told {
            Told::Wanted(raw) | Told::Dead(_, raw) => raw,
            Told::Filtered => unreachable!("all are wanted"),
        })
        .collect();
    // A sequence passes over the mark before each of its documents; which of them are marks, and which are dead, only it knows.
    if kind == Kind::Sequence && bytes.windows(3).any(|w| w == b"\xef\xbb\xbf") {
        return;
    }
    let unmarked = bytes.strip_prefix(b"\xef\xbb\xbf").is_some_and(|unmarked| missing(unmarked, &out).is_none());
    if !unmarked && let Some(at) = missing(bytes, &out) {
        panic!("byte {at} is missing, or more came out than went in: {:?}", String::from_utf8_lossy(&out));
    }
}

/// The first byte of the input that is neither framing nor in the output where it should be.
fn missing(bytes: &[u8], out: &[u8]) -> Option<usize> {
    let mut rest = out.iter().peekable();
    let lost = bytes.iter().position(|byte| rest.next_if_eq(&byte).is_none() && !b" \t\r\n,[]".contains(byte));
    lost.or_else(|| rest.next().map(|_| bytes.len()))
}
