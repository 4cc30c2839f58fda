//! The `decode` room: the bytes of a content blob become records.
//!
//! Bytes go in as they come from the network, cut anywhere; items come out: records that are wanted, records that the filter
//! leaves out, and bytes for the dead letter. Nothing is dropped: every byte of a blob that is neither white space nor
//! framing belongs to exactly one item. This room does no IO, knows no clock and never holds more than one element.
//!
//! # Grammar
//!
//! An element is a JSON value as RFC 8259 has it, with these choices: escapes of lone surrogates (`\ud800`) and numbers of any
//! size are allowed; brackets nest to [`MAX_DEPTH`], the element's own bracket counted as one; bytes must be UTF-8. Elements that
//! the filter leaves out are checked exactly like the others.
//!
//! # What becomes of what
//!
//! Content blobs are JSON arrays of objects (`activity-api.md` section 6). [`Decoder`] gives all bytes a defined outcome:
//!
//! | in the blob | items | shape |
//! |---|---|---|
//! | nothing, white space, a byte order mark alone | none | `Nothing` |
//! | `[]` | none | `Array` |
//! | `[{…},{…}]`, with white space anywhere and a byte order mark in front | one per element | `Array` |
//! | an element that is no object: `null`, `5`, `"a"`, `[…]` | dead, `NotAnObject` | goes on |
//! | an element with invalid syntax | dead, `InvalidSyntax` | goes on |
//! | an element that is not UTF-8, whatever else is wrong with it | dead, `InvalidUtf8` | goes on |
//! | an element nested deeper than [`MAX_DEPTH`] | dead, `TooDeep` | goes on |
//! | an element longer than [`MAX_ELEMENT`], whatever else is wrong with it | dead, `TooLarge`, in parts | goes on |
//! | a comma missing between elements that are otherwise whole: `[{} {}]` | one per element | goes on |
//! | a comma too many: `[,1]`, `[1,,2]`, `[1,]` | none for the empty place | goes on |
//! | a number or literal with something attached: `12x`, `null{}` | dead, `InvalidSyntax`, up to the next `,` or `]` | goes on |
//! | anything else where an element should begin: `[abc, {}]` | dead, `InvalidSyntax`, up to the next `,` or `]` | goes on |
//! | a stray `}` between elements | dead, `FramingLost`, all bytes from there | `Lost` |
//! | a broken element whose brackets contradict each other: `{"a":[1}` | dead, `FramingLost`, all bytes from its start | `Lost` |
//! | the input ends inside an element | dead, `FramingLost`, that element's bytes | `Lost` |
//! | the input ends between elements, before the `]` | none | `Lost` |
//! | bytes other than white space after the `]` | dead, `FramingLost`, all bytes from there | `Lost` |
//! | one object instead of an array | one, as for an element with index 0 | `Object` |
//! | bytes other than white space after that object | dead, `FramingLost`, all bytes from there | `Lost` |
//! | one object with a member `error` and none called `RecordType` | none (bytes after it: dead, `FramingLost`) | `Error` |
//! | a scalar or other text (an HTML page) instead of an array | dead, `FramingLost`, all bytes from there | `Lost` |
//!
//! "The brackets" of a broken element are tracked from its start: strings are skipped (a backslash takes the next byte with it, a
//! raw control character does not end a string), and only brackets outside of them count. An element that begins with a bracket
//! ends where that bracket is closed; another ends before the next `,` or `]`. Beyond [`MAX_DEPTH`] brackets are only counted, without
//! regard to their kind. A string that lacks its closing quote therefore ends at the next quote; from there text and strings have
//! changed places, and in nearly every case a bracket contradicts another or the input ends: framing is lost, and what follows goes to
//! the dead letter as it is, rather than half-guessed.
//!
//! Dead bytes come in parts of at most [`MAX_PART`], cut at the same places however the input was cut. The last part says so.
//! Once the first part of an item is out, its reason stays.
//!
//! `RecordType` decides what is wanted; see `decode/kind.rs` for how it is read. A record whose type can't be told is wanted.
//!
//! # Sequences
//!
//! [`Sequence`] reads what the offline command is given: blobs, NDJSON, dead-letter files, one after another. See there.

use std::borrow::Cow;

use crate::domain::RecordTypes;

mod frame;
mod held;
mod kind;
mod lines;
mod members;
mod print;
mod scan;
mod skip;
mod stops;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(any(test, fuzzing))]
mod reference;
#[cfg(test)]
mod tests;

pub use print::{Print, print};

use frame::{Framer, Limits};

/// The longest element that is decoded, in bytes. The largest record seen in public is below 1 MiB; this leaves a wide margin, and
/// it bounds the memory of a decoder.
pub const MAX_ELEMENT: usize = 16 * 1024 * 1024;

/// The longest part of dead bytes in one item, in bytes: small enough for one line of the dead-letter file.
pub const MAX_PART: usize = 256 * 1024;

/// How much of an error body is kept, in bytes. Real ones are below 2 KiB.
pub const MAX_ERROR: usize = 64 * 1024;

/// How deep brackets may nest within an element. Real records stay below 10.
pub const MAX_DEPTH: u32 = scan::MAX_DEPTH;

/// What a decoder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record that passes the filter, or whose type can't be told.
    Wanted {
        /// Position among the elements, from 0.
        index: u64,
        /// The element's exact bytes: a valid JSON object in UTF-8 without white space around it.
        raw: &'a [u8],
    },
    /// A valid record that the filter leaves out.
    Filtered {
        /// Position among the elements, from 0.
        index: u64,
    },
    /// Bytes for the dead letter.
    Dead {
        /// Position among the elements, from 0.
        index: u64,
        /// Why they are no record. The same in all parts of an element.
        reason: DeadReason,
        /// Which part of the element this is, from 0.
        part: u32,
        /// True in the element's last part.
        last: bool,
        /// The bytes as they came, at most [`MAX_PART`] of them.
        raw: &'a [u8],
    },
}

/// Why bytes are no record. The header of this file says when each is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeadReason {
    /// The element is not JSON.
    InvalidSyntax,
    /// The element is not UTF-8.
    InvalidUtf8,
    /// The element nests deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The element is longer than [`MAX_ELEMENT`].
    TooLarge,
    /// The element is JSON, but no object.
    NotAnObject,
    /// It can't be told where an element begins or ends.
    FramingLost,
}

impl DeadReason {
    /// The name in dead letters and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DeadReason::InvalidSyntax => "invalid_syntax",
            DeadReason::InvalidUtf8 => "invalid_utf8",
            DeadReason::TooDeep => "too_deep",
            DeadReason::TooLarge => "too_large",
            DeadReason::NotAnObject => "not_an_object",
            DeadReason::FramingLost => "framing_lost",
        }
    }
}

impl std::fmt::Display for DeadReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an input ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How many elements there were. Each was told as `Wanted`, as `Filtered`, or as `Dead` with one `last` part.
    pub elements: u64,
    /// What the input was as a whole.
    pub shape: Shape,
}

/// What an input was as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A whole array.
    Array,
    /// One bare object.
    Object,
    /// Nothing but white space.
    Nothing,
    /// An error body of the service instead of content: its raw bytes, at most [`MAX_ERROR`] of them.
    Error(Vec<u8>),
    /// The input is truncated or framing was lost in it. What could not be read was told as `Dead`.
    Lost,
}

/// Decodes one content blob (or one page of a listing) from chunks.
#[derive(Debug)]
pub struct Decoder(Framer);

impl Decoder {
    /// A decoder for one blob. `RecordTypes::All` wants every object, and reads no types.
    pub fn new(filter: RecordTypes) -> Self {
        Decoder(Framer::blob(filter, Limits::REAL))
    }

    /// Takes the next bytes and tells every item that ends in them.
    pub fn push<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], each: &mut F) {
        self.0.push(chunk, each);
    }

    /// Takes the end of the input, tells what was unfinished, and says how it all ended.
    pub fn finish<F: FnMut(Item<'_>)>(self, each: &mut F) -> Ending {
        self.0.finish(each)
    }
}

/// Decodes a sequence of documents: content blobs (arrays), bare objects such as the lines of NDJSON, and dead-letter lines
/// (see [`is_dead_letter`]), mixed in any order, with white space or commas between them or nothing at all.
///
/// Grammar, filter and items are those of [`Decoder`]; these things differ:
///
/// - `index` counts the elements of the whole sequence.
/// - A scalar between documents is dead, `NotAnObject`. Anything else there is dead, `InvalidSyntax`, to the end of its line.
/// - A broken element never takes the following lines with it. It ends at the latest before the first line that begins with `{` or
///   `[` and is indented no deeper than the line where the element began. So the next line of NDJSON is safe, and the inner
///   objects of a broken pretty-printed record are not mistaken for records. The same line ends bytes whose framing was lost, and an
///   element that the end of the input leaves unfinished is looked through again in this way.
/// - A line that begins with `[`, indented no deeper than the array that is open, means that this array was truncated: a new
///   one begins.
/// - There are no error bodies: such an object is a record whose type can't be told.
/// - The shape is `Lost` if framing was lost anywhere, else `Array` if there was an array, else `Object`, else `Nothing`.
#[derive(Debug)]
pub struct Sequence(Framer);

impl Sequence {
    /// A decoder for a sequence.
    pub fn new(filter: RecordTypes) -> Self {
        Sequence(Framer::sequence(filter, Limits::REAL))
    }

    /// Takes the next bytes and tells every item that ends in them.
    pub fn push<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], each: &mut F) {
        self.0.push(chunk, each);
    }

    /// Takes the end of the input, tells what was unfinished, and says how it all ended.
    pub fn finish<F: FnMut(Item<'_>)>(self, each: &mut F) -> Ending {
        self.0.finish(each)
    }
}

/// The text of the first member of that name at the top level of a valid JSON object, as [`Item::Wanted`] has it; nothing if there is
/// none, or if it is no string. What follows the member is not looked at.
pub fn text_of<'a>(raw: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    members::members(raw).find(|member| member.is(name))?.text()
}

/// True if a valid JSON object, as [`Item::Wanted`] has it, is a line of this program's dead-letter file: it has strings called
/// `reason` and `bytes`, and nothing called `RecordType`. (Having no `RecordType` it passes every filter.)
pub fn is_dead_letter(raw: &[u8]) -> bool {
    let (mut reason, mut bytes) = (false, false);
    for member in members::members(raw) {
        if member.is(kind::KEY) {
            return false;
        }
        reason |= member.is("reason") && member.text().is_some();
        bytes |= member.is("bytes") && member.text().is_some();
    }
    reason && bytes
}
