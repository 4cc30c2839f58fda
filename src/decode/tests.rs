//! The decoder as a whole: a table of outcomes, the fixtures, and properties against the reference and against serde_json.

use super::frame::Limits;
use super::fuzz::{Kind, decode};
use super::reference::{self, Told};
use super::*;
use DeadReason::{FramingLost, InvalidSyntax, InvalidUtf8, NotAnObject, TooDeep, TooLarge};
use Told::Filtered;

mod fixtures;
mod outcomes;
mod properties;
mod sequences;

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
