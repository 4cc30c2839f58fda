//! The decoder as a whole: a table of outcomes, the fixtures, and properties against the reference and against serde_json.

use super::frame::{Framer, Limits};
use super::reference::{self, Told};
use super::*;
use DeadReason::{FramingLost, InvalidSyntax, InvalidUtf8, NotAnObject, TooDeep, TooLarge};
use Told::Filtered;

mod fixtures;
mod outcomes;
mod properties;
mod sequences;

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
