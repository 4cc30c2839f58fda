//! Reading one blob: decoder and formatter on its bytes, until it is whole or doubtful (law L4).
//!
//! Wanted records are held until the blob has proved readable; only a blob with more than [`HOLD_MAX`] of them is handed
//! over in parts. A reply with anything odd in it — an element that is no JSON object, an empty array, a broken end — is
//! not believed the first time: bodies that are wrong once are common. If the blob reads the same four times running, that is
//! how it is.
//! No IO here: the caller pushes chunks and takes pieces.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128, SipHasher24};

use super::Repeats;
use super::duplicates::Recognised;
use crate::decode::{self, DeadReason, Decoder, Item, Shape};
use crate::domain::{BlobKey, Counts, Part, RecordTypes, Time};
use crate::feed::FetchOrder;
use crate::format::{Context, Fit, Formatter};
use crate::mutant::{self, Mutant};
use crate::sink::DeadLetter;

/// Wanted lines held until the blob's end. Real blobs stay far below: it takes sixty of the largest records seen in public.
pub(super) const HOLD_MAX: usize = 1 << 20;

/// Why a record whose line was cut is among the dead letters.
pub(super) const LINE_TOO_LONG: &str = "line_too_long";

/// Room for the lines of a blob of usual size, so that they are not copied while they become more.
const HOLD_USUAL: usize = 64 << 10;

/// Lines and dead letters that go into the batch together with what is claimed of them.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) lines: Vec<u8>,
    pub(super) line_count: u64,
    pub(super) dead: Vec<DeadLetter>,
    /// Those of the lines that can be recognised if they come again.
    pub(super) records: Vec<Recognised>,
    dead_bytes: usize,
    /// The earliest and the latest `CreationTime` of its records.
    pub(super) times: Option<(Time, Time)>,
}

/// The span that covers both.
pub(super) fn cover(a: Option<(Time, Time)>, b: Option<(Time, Time)>) -> Option<(Time, Time)> {
    match (a, b) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    }
}

/// When the record was made, if it says so in the usual way: the one field that is read of every delivered record, for the closing
/// summary.
fn creation_time(raw: &[u8]) -> Option<Time> {
    Time::parse(&decode::text_of(raw, "CreationTime")?)
}

/// What a record without a print counts as in the digest of a part and in the print of the blob.
fn hash(raw: &[u8]) -> [u8; 16] {
    let mut hasher = sip128::SipHasher13::new();
    hasher.write(raw);
    hasher.finish128().as_bytes()
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() + self.dead_bytes
    }
}

/// How a blob ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything in it is accounted for.
    Done(Counts),
    /// It breaks off; what could be read is accounted for, the rest is in the dead letters.
    Lost { part: Part, print: u64 },
    /// It is not believed, or not again: to be read once more.
    Doubtful { print: Option<u64>, why: String },
    /// It holds an error of the service instead of records.
    Error(Vec<u8>),
    /// The part that was delivered before is not what the blob begins with now.
    PartRefused,
}

/// One attempt at one blob.
pub(super) struct Reading<'a> {
    decoder: Decoder,
    filter: RecordTypes,
    state: State<'a>,
}

struct State<'a> {
    formatter: &'a Formatter,
    repeats: &'a Repeats,
    context: Context<'a>,
    key: BlobKey,
    held: Held,
    counts: Counts,
    /// Elements of earlier pages of the blob.
    base: u64,
    /// Elements before this were delivered by an earlier attempt.
    skip: Option<Part>,
    skipping: bool,
    refused: bool,
    digest: SipHasher24,
    print: SipHasher13,
    /// Elements that are complete, from the first.
    complete: u64,
    broken_page: bool,
    goes_round: bool,
    oddities: u64,
    first_oddity: Option<(u64, DeadReason)>,
    /// The reply before was as odd: dead letters are kept this time.
    accepting: bool,
    accepted: Option<u64>,
    confirm: Option<u64>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        filter: RecordTypes,
        formatter: &'a Formatter,
        repeats: &'a Repeats,
        context: Context<'a>,
        order: &FetchOrder,
    ) -> Self {
        Self {
            decoder: Decoder::new(filter.clone()),
            filter,
            state: State {
                base: 0,
                formatter,
                repeats,
                context,
                key: order.entry.key(),
                held: Held::default(),
                counts: Counts::default(),
                skip: order.part,
                skipping: order.part.is_some(),
                refused: false,
                digest: SipHasher24::new(),
                print: SipHasher13::new(),
                complete: 0,
                broken_page: false,
                goes_round: false,
                oddities: 0,
                first_oddity: None,
                // What is accepted already has its dead letters: the same reply would only write them again.
                accepting: order.confirm.is_some() && order.confirm != order.accepted,
                accepted: order.accepted,
                confirm: order.confirm,
            },
        }
    }

    /// Takes in some bytes of the blob.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let state = &mut self.state;
        self.decoder.push(chunk, &mut |item| state.take(item));
    }

    /// True if it holds so much that a part has to be handed over. After an oddity that is not believed yet nothing is: what
    /// followed it was not held, so a part would claim what is not in it.
    pub(super) fn is_heavy(&self) -> bool {
        let state = &self.state;
        let trusted = state.oddities == 0 || state.accepting;
        state.held.bytes() > HOLD_MAX && trusted && !state.skipping && !state.refused
    }

    /// Hands over what is held and what may be claimed with it.
    pub(super) fn part(&mut self) -> (Held, Part) {
        (std::mem::take(&mut self.state.held), self.state.part())
    }

    /// The bytes of one page of the blob are at their end and another page follows. False if this page is not whole, so
    /// that reading on makes no sense.
    pub(super) fn next_page(&mut self) -> bool {
        let decoder = std::mem::replace(&mut self.decoder, Decoder::new(self.filter.clone()));
        let state = &mut self.state;
        let ending = decoder.finish(&mut |item| state.take(item));
        state.base = state.complete;
        if ending.shape == Shape::Array {
            return true;
        }
        state.broken_page = true;
        false
    }

    /// The next page is one that was read before. There is nothing else to be had, but a page may have been missed.
    pub(super) fn goes_round(&mut self) {
        self.state.goes_round = true;
    }

    /// The blob's bytes are at their end.
    pub(super) fn finish(self) -> (Held, End) {
        let Self { decoder, mut state, .. } = self;
        if state.broken_page {
            let why = "a page of the blob is not whole".to_owned();
            return (state.held, End::Doubtful { print: None, why });
        }
        let ending = decoder.finish(&mut |item| state.take(item));
        state.check_part(u64::MAX);
        let end = state.judge(ending.shape);
        (state.held, end)
    }
}

impl State<'_> {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Wanted { index, raw } => self.wanted(self.base + index, raw),
            Item::Filtered { index } => {
                let index = self.base + index;
                self.check_part(index);
                self.complete = index + 1;
                if !self.skipping {
                    self.counts.read += 1;
                    self.counts.filtered += 1;
                }
            }
            Item::Dead { index, reason, part, last, raw } => self.dead(self.base + index, reason, part, last, raw),
        }
    }

    fn wanted(&mut self, index: u64, raw: &[u8]) {
        self.check_part(index);
        self.complete = index + 1;
        if mutant::on(Mutant::P15) && index > 0 {
            self.counts.read += 1;
            self.counts.filtered += 1;
            return;
        }
        let print = decode::print(raw, self.repeats.key);
        let hash = print.map_or_else(|| hash(raw), |print| print.hash.to_le_bytes());
        self.digest.write_u64(index);
        self.digest.write(&hash);
        self.print.write_u64(index);
        self.print.write(&hash);
        if self.skipping || self.refused {
            return;
        }
        self.counts.read += 1;
        if self.repeats.skip.as_ref().is_some_and(|skip| skip.holds(self.context.tenant, raw)) {
            self.counts.duplicate += 1;
            return;
        }
        self.counts.delivered += 1;
        // What follows an oddity is not used unless the oddity is confirmed: there is no need to hold it.
        if self.oddities > 0 && !self.accepting {
            return;
        }
        self.context.index = index;
        if self.held.lines.is_empty() {
            self.held.lines.reserve(HOLD_USUAL);
        }
        let begin = self.held.lines.len();
        if self.formatter.line(&self.context, raw, &mut self.held.lines) == Fit::Cut {
            self.keep_whole(index, raw);
        }
        self.held.line_count += 1;
        let created = print.map_or_else(|| creation_time(raw), |print| print.created);
        self.held.times = cover(self.held.times, created.map(|t| (t, t)));
        if let Some(record) = print.and_then(|print| print.record()).filter(|_| !self.repeats.keep) {
            let place = |at: usize| u32::try_from(at).expect("what is held is a few lines of at most 64 MiB");
            let (begin, length) = (place(begin), place(self.held.lines.len() - begin));
            self.held.records.push(Recognised { record, index, begin, length });
        }
    }

    /// Keeps a record whose line was cut. It is delivered all the same: its line says what it lacks.
    fn keep_whole(&mut self, index: u64, raw: &[u8]) {
        let parts = raw.chunks(decode::MAX_PART);
        let last = parts.len().saturating_sub(1);
        for (part, bytes) in parts.enumerate() {
            self.held.dead_bytes += bytes.len();
            self.held.dead.push(DeadLetter {
                content_id: self.context.content_id.clone(),
                created: self.context.content_created,
                index,
                reason: LINE_TOO_LONG,
                part: u32::try_from(part).unwrap_or(u32::MAX),
                last: part == last,
                bytes: bytes.to_vec(),
            });
        }
    }

    fn dead(&mut self, index: u64, reason: DeadReason, part: u32, last: bool, raw: &[u8]) {
        self.check_part(index);
        self.print.write_u64(index);
        self.print.write(reason.as_str().as_bytes());
        self.print.write(raw);
        let framing = reason == DeadReason::FramingLost;
        if mutant::on(Mutant::P11b) || (mutant::on(Mutant::P18) && reason == DeadReason::TooLarge) {
            if last && !framing {
                self.complete = index + 1;
                self.counts.read += 1;
                self.counts.delivered += 1;
            }
            return;
        }
        if last && !framing {
            self.complete = index + 1;
        }
        self.oddities += 1;
        self.first_oddity.get_or_insert((index, reason));
        if self.skipping || self.refused {
            return;
        }
        if last && !framing {
            self.counts.read += 1;
            self.counts.dead_lettered += 1;
        }
        if self.accepting {
            self.held.dead_bytes += raw.len();
            self.held.dead.push(DeadLetter {
                content_id: self.context.content_id.clone(),
                created: self.context.content_created,
                index,
                reason: reason.as_str(),
                part,
                last,
                bytes: raw.to_vec(),
            });
        }
    }

    /// At the end of the part that was delivered before, its digest decides whether this is the same blob.
    fn check_part(&mut self, index: u64) {
        let Some(part) = self.skip.filter(|p| self.skipping && index >= p.elements) else { return };
        self.skipping = false;
        if self.complete == part.elements && self.digest.finish128().as_u128() == part.digest {
            self.counts = part.counts;
        } else {
            self.refused = true;
        }
    }

    fn part(&self) -> Part {
        Part { key: self.key, elements: self.complete, digest: self.digest.finish128().as_u128(), counts: self.counts }
    }

    fn judge(&mut self, shape: Shape) -> End {
        if self.refused {
            return End::PartRefused;
        }
        let odd = match &shape {
            Shape::Error(raw) => return End::Error(raw.clone()),
            Shape::Nothing => return End::Doubtful { print: None, why: "the body is empty".into() },
            Shape::Array if self.complete == 0 && self.oddities == 0 => Some("the array is empty".to_owned()),
            Shape::Object if self.oddities == 0 => Some("a single object instead of an array".to_owned()),
            Shape::Lost => Some(format!("the JSON breaks off or can't be followed after {} elements", self.complete)),
            _ if self.goes_round && self.oddities == 0 => Some("its pages go round in a circle".to_owned()),
            _ => self.first_oddity.map(|(index, reason)| format!("element {index} is no record: {}", reason.as_str())),
        };
        let Some(why) = odd else { return End::Done(self.counts) };
        self.print.write_u64(self.complete);
        self.print.write_u8(match shape {
            Shape::Array => 1,
            Shape::Object => 2,
            _ => 3,
        });
        let print = self.print.finish();
        if self.confirm != Some(print) {
            return End::Doubtful { print: Some(print), why };
        }
        if shape != Shape::Lost {
            return End::Done(self.counts);
        }
        if self.accepted == Some(print) {
            return End::Doubtful { print: Some(print), why };
        }
        End::Lost { part: self.part(), print }
    }
}

#[cfg(test)]
mod tests;
