//! Decompresses a gzip body piece by piece, in bounded memory whatever its ratio.
//!
//! All members of a body are read (RFC 1952 allows several); what follows the last one, or is missing from it, is an error.
//!
//! `fdeflate` inflates 1.6 times as fast as zlib-rs, which knows gzip, but it knows zlib's wrapping (RFC 1950) only. So the header that it
//! wants is made up, and the member's own header and trailer are read here: the trailer with some care, because the decoder
//! takes as many bytes as zlib's checksum has behind the data, and up to three more, and does not always let us know how many. Where it
//! does not, up to three bytes that are too many before a trailer that is right may be passed over.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use crc32fast::Hasher;
use fdeflate::Decompressor;

use super::{LARGEST_CHUNK, WireError, WireErrorKind};

/// How far back deflated data may refer.
const WINDOW: usize = 32 << 10;
/// What was decompressed last, and room for more.
const OUTPUT: usize = WINDOW + LARGEST_CHUNK;
/// A header zlib would write.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// What the decoder may have taken behind the data: the four bytes of a checksum, and three.
const TAKEN: usize = 7;
/// The checksum of the data, and its length.
const TRAILER: usize = 8;
/// Where the trailer begins in what was taken, if the decoder has taken nothing but the checksum.
const LAST_PLACE: usize = TAKEN - TRAILER / 2;
/// Names and comments have no limit of their own. Nobody needs so much.
const HEADER_MAX: usize = 128 << 10;
/// A header is looked at in steps of this: ten bytes are usual.
const HEADER_STEP: usize = 64;

/// What one step gave.
#[derive(Debug)]
pub(super) enum Inflated {
    /// The next decompressed bytes, at least one.
    Data(Bytes),
    /// Nothing until [`Gunzip::feed`] is called.
    WantsInput,
    /// The body has come to its proper end.
    End,
}

/// A decompressor that is fed.
pub(super) struct Gunzip {
    /// What has arrived and was not looked at yet.
    input: Bytes,
    ended: bool,
    fed: u64,
    place: Place,
    output: Vec<u8>,
    /// Up to where `output` was decompressed, and up to where it was given out.
    decoded: usize,
    given: usize,
}

enum Place {
    /// Before a member, of whose header this was read.
    Header(Vec<u8>),
    Data(Box<Member>),
    /// Behind the data of one.
    Trailer(Box<Member>),
}

/// A member under way.
struct Member {
    decoder: Decompressor,
    checksum: Hasher,
    /// Of the data, modulo 2^32.
    length: u32,
    /// There was no data yet. So long the decoder gets one byte at a time, and takes none too many: the trailer of a member without
    /// data is all zeros, among others it would not be known from them.
    is_empty: bool,
    /// What the decoder took last.
    taken: [u8; TAKEN],
    /// Where in that the trailer may begin.
    places: RangeInclusive<usize>,
}

impl fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gunzip").field("fed", &self.fed).finish_non_exhaustive()
    }
}

impl Gunzip {
    pub(super) fn new() -> Self {
        let (place, output) = (Place::Header(Vec::new()), vec![0; OUTPUT]);
        Self { input: Bytes::new(), ended: false, fed: 0, place, output, decoded: 0, given: 0 }
    }

    /// Gives the next piece of the compressed body, or `None` for its end. Only after [`Inflated::WantsInput`].
    pub(super) fn feed(&mut self, piece: Option<Bytes>) {
        match piece {
            Some(piece) => {
                self.fed += piece.len() as u64;
                self.input = if self.input.is_empty() { piece } else { [&self.input[..], &piece[..]].concat().into() };
            }
            None => self.ended = true,
        }
    }

    /// The next step.
    ///
    /// # Errors
    /// The body is no gzip, damaged, or ends too early.
    pub(super) fn inflate(&mut self) -> Result<Inflated, WireError> {
        loop {
            if self.given < self.decoded {
                let end = self.decoded.min(self.given + LARGEST_CHUNK);
                let data = Bytes::copy_from_slice(&self.output[self.given..end]);
                self.given = end;
                return Ok(Inflated::Data(data));
            }
            let goes_on = match &mut self.place {
                Place::Header(header) if header.is_empty() && self.input.is_empty() && self.ended => return Ok(Inflated::End),
                Place::Header(_) => self.header()?,
                Place::Data(_) => self.data()?,
                Place::Trailer(_) => self.trailer()?,
            };
            if !goes_on && self.ended {
                return Err(self.ends_too_early());
            }
            if !goes_on {
                return Ok(Inflated::WantsInput);
            }
        }
    }

    /// Reads on in the header of a member. False if it goes on in what is still to come; the same below.
    fn header(&mut self) -> Result<bool, WireError> {
        let Place::Header(header) = &mut self.place else { return Ok(true) };
        if self.input.is_empty() {
            return Ok(false);
        }
        let (earlier, step) = (header.len(), self.input.len().min(HEADER_STEP));
        header.extend_from_slice(&self.input[..step]);
        match header_length(header) {
            Ok(Some(length)) => {
                self.input.advance(length - earlier);
                self.place = Place::Data(Box::new(Member::new()));
                (self.decoded, self.given) = (0, 0);
            }
            Ok(None) if header.len() > HEADER_MAX => return Err(self.damaged("its header has no end")),
            Ok(None) => self.input.advance(step),
            Err(why) => return Err(self.damaged(why)),
        }
        Ok(true)
    }

    fn data(&mut self) -> Result<bool, WireError> {
        let Place::Data(member) = &mut self.place else { return Ok(true) };
        let was_full = self.decoded == OUTPUT;
        if was_full {
            self.output.copy_within(OUTPUT - WINDOW.., 0);
            (self.decoded, self.given) = (WINDOW, WINDOW);
        }
        let reach = if member.is_empty { self.input.len().min(1) } else { self.input.len() };
        let (taken, given) = match member.decoder.read(&self.input[..reach], &mut self.output, self.decoded, false) {
            Ok(moved) => moved,
            Err(error) => return Err(self.damaged(&format!("{error:?}"))),
        };
        member.took(&self.input[..taken]);
        member.gave(&self.output[self.decoded..self.decoded + given]);
        member.places = match reach {
            // It takes as many as there is room for before it stops.
            _ if taken < reach => 0..=0,
            // And works off what it has before it takes another one, if it can.
            1 if !was_full => LAST_PLACE..=LAST_PLACE,
            _ => 0..=LAST_PLACE,
        };
        self.input.advance(taken);
        self.decoded += given;
        if member.decoder.is_done() {
            let before = std::mem::replace(&mut self.place, Place::Header(Vec::new()));
            if let Place::Data(member) = before {
                self.place = Place::Trailer(member);
            }
            return Ok(true);
        }
        Ok(taken > 0 || given > 0)
    }

    fn trailer(&mut self) -> Result<bool, WireError> {
        let Place::Trailer(member) = &self.place else { return Ok(true) };
        let next = &self.input[..self.input.len().min(TRAILER / 2)];
        if next.len() < TRAILER / 2 && !self.ended {
            return Ok(false);
        }
        let (trailer, seen) = (member.trailer(), [&member.taken[..], next].concat());
        for place in member.places.clone() {
            if seen.get(place..place + TRAILER) == Some(&trailer) {
                self.input.advance(place + TRAILER - TAKEN);
                self.place = Place::Header(Vec::new());
                return Ok(true);
            }
        }
        let is_cut = |place: usize| seen.len() < place + TRAILER && trailer.starts_with(&seen[place..]);
        if member.places.clone().any(is_cut) {
            return Ok(false);
        }
        Err(self.damaged("its checksum or its length is another one"))
    }

    fn ends_too_early(&self) -> WireError {
        WireError::new(WireErrorKind::Body, format!("the gzip data ends too early (after {} bytes)", self.fed))
    }

    fn damaged(&self, why: &str) -> WireError {
        WireError::new(WireErrorKind::Encoding, format!("the gzip data is damaged: {why} (after {} bytes)", self.fed))
    }
}

impl Member {
    fn new() -> Self {
        let mut decoder = Decompressor::new();
        decoder.ignore_adler32();
        let began = decoder.read(&ZLIB_HEADER, &mut [], 0, false);
        debug_assert_eq!(began, Ok((ZLIB_HEADER.len(), 0)));
        Self { decoder, checksum: Hasher::new(), length: 0, is_empty: true, taken: [0; TAKEN], places: 0..=LAST_PLACE }
    }

    fn took(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(TAKEN)..];
        self.taken.copy_within(last.len().., 0);
        self.taken[TAKEN - last.len()..].copy_from_slice(last);
    }

    fn gave(&mut self, data: &[u8]) {
        self.is_empty &= data.is_empty();
        self.checksum.update(data);
        // RFC 1952 counts so too, and a length of ours fits.
        self.length = self.length.wrapping_add(data.len() as u32);
    }

    fn trailer(&self) -> [u8; TRAILER] {
        let both = u64::from(self.length) << 32 | u64::from(self.checksum.clone().finalize());
        both.to_le_bytes()
    }
}

/// How long the header of a member is that begins with `bytes`; nothing if it goes on behind them (RFC 1952, section 2.3).
fn header_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    const CHECKSUM: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const TEXTS: [u8; 2] = [1 << 3, 1 << 4];
    const RESERVED: u8 = 0xe0;
    if bytes.iter().zip([0x1f, 0x8b, 8]).any(|(byte, usual)| *byte != usual) {
        return Err("it does not begin as gzip does");
    }
    let Some(&flags) = bytes.get(3) else { return Ok(None) };
    if flags & RESERVED != 0 {
        return Err("its header has flags that nobody knows");
    }
    let number = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut length = 10;
    if flags & EXTRA != 0 {
        let Some(extra) = number(length) else { return Ok(None) };
        length += 2 + usize::from(extra);
    }
    for _ in TEXTS.into_iter().filter(|text| flags & text != 0) {
        let Some(end) = bytes.get(length..).and_then(|text| memchr::memchr(0, text)) else { return Ok(None) };
        length += end + 1;
    }
    if flags & CHECKSUM != 0 {
        let Some(checksum) = number(length) else { return Ok(None) };
        if crc32fast::hash(&bytes[..length]) as u16 != checksum {
            return Err("the checksum of its header is another one");
        }
        length += 2;
    }
    Ok((length <= bytes.len()).then_some(length))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(pieces: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<u8>, WireErrorKind> {
        let (mut gunzip, mut out) = (Gunzip::new(), Vec::new());
        let mut pieces = pieces.into_iter().filter(|p| !p.is_empty());
        loop {
            match gunzip.inflate().map_err(|e| e.kind)? {
                Inflated::Data(data) => {
                    assert!((1..=LARGEST_CHUNK).contains(&data.len()));
                    out.extend_from_slice(&data);
                }
                Inflated::WantsInput => gunzip.feed(pieces.next().map(Bytes::from)),
                Inflated::End => return Ok(out),
            }
        }
    }

    #[test]
    fn a_bomb_comes_out_in_chunks() {
        let zeros = gzip(&vec![0; 20_000_000]);
        assert!(zeros.len() < 100_000);
        let mut unpacked = Gunzip::new();
        let (mut total, mut input) = (0, Some(Bytes::from(zeros)));
        loop {
            match unpacked.inflate().unwrap() {
                Inflated::Data(data) => total += data.len(),
                Inflated::WantsInput => unpacked.feed(input.take()),
                Inflated::End => break,
            }
        }
        assert_eq!(total, 20_000_000);
    }

    /// Members with all that a header can have, with nothing in them, with text, with stored blocks and with far references.
    fn members() -> Vec<(Vec<u8>, Vec<u8>)> {
        let text = b"{\"RecordType\":28,\"Id\":\"1\"}".repeat(30);
        let noise: Vec<u8> = (0..70_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let far = [&noise[..30_000], &noise[..30_000]].concat();
        let with = |builder: GzBuilder, level, data: &[u8]| {
            let mut encoder = builder.write(Vec::new(), level);
            encoder.write_all(data).unwrap();
            (encoder.finish().unwrap(), data.to_vec())
        };
        let named = || GzBuilder::new().filename("name").comment("comment").extra(vec![0; 300]).mtime(1);
        let plain = with(GzBuilder::new(), Compression::best(), &text);
        // A checksum of the header goes behind it, which flate2 reads but does not write.
        let mut checked = plain.0.clone();
        checked[3] = 2;
        let checksum = crc32fast::hash(&checked[..10]).to_le_bytes();
        checked.splice(10..10, [checksum[0], checksum[1]]);
        let checked = (checked, text.clone());
        vec![
            with(GzBuilder::new(), Compression::default(), b""),
            with(GzBuilder::new(), Compression::none(), b""),
            with(named(), Compression::fast(), b""),
            with(named(), Compression::default(), &text),
            with(GzBuilder::new(), Compression::none(), &text),
            with(GzBuilder::new(), Compression::default(), &noise),
            with(GzBuilder::new(), Compression::best(), &far),
            plain,
            checked,
        ]
    }

    #[test]
    fn every_kind_of_member_cut_anywhere_arrives_whole_alone_and_before_another() {
        for (zipped, data) in members() {
            let slices = (1..=12).chain([zipped.len() / 2, zipped.len() - 1, zipped.len()]);
            for slice in slices.filter(|slice| *slice > 0) {
                let pieces = |bytes: &[u8]| bytes.chunks(slice).map(<[u8]>::to_vec).collect::<Vec<_>>();
                assert_eq!(gunzip(pieces(&zipped)), Ok(data.clone()), "in pieces of {slice}");
                let twice = [&zipped[..], &gzip(b"")[..], &zipped[..]].concat();
                assert_eq!(gunzip(pieces(&twice)), Ok([&data[..], &data[..]].concat()), "twice, in pieces of {slice}");
            }
        }
    }

    #[test]
    fn a_member_that_is_cut_short_ends_too_early_wherever_that_is() {
        for (zipped, _) in members() {
            for end in (1..zipped.len().min(400)).chain(zipped.len() - 19..zipped.len()) {
                for pieces in [vec![zipped[..end].to_vec()], zipped[..end].chunks(3).map(<[u8]>::to_vec).collect()] {
                    assert_eq!(gunzip(pieces), Err(WireErrorKind::Body), "{end} of {} bytes", zipped.len());
                }
            }
        }
    }

    #[test]
    fn a_checksum_or_length_that_is_wrong_by_a_bit_is_damage() {
        for (zipped, _) in members() {
            for place in zipped.len() - TRAILER..zipped.len() {
                for bit in 0..8 {
                    let mut damaged = zipped.clone();
                    damaged[place] ^= 1 << bit;
                    for slice in [1, 5, zipped.len()] {
                        let pieces = damaged.chunks(slice).map(<[u8]>::to_vec);
                        assert_eq!(gunzip(pieces), Err(WireErrorKind::Encoding), "byte {place}, bit {bit}, slices of {slice}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_header_is_read_as_the_rfc_has_it() {
        let whole = |bytes: &[u8]| header_length(bytes).map(|length| length == Some(bytes.len()));
        let header = |flags: u8, rest: &[u8]| [&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3][..], rest].concat();
        assert_eq!(whole(&header(0, b"")), Ok(true));
        assert_eq!(whole(&header(1, b"")), Ok(true), "it may be text");
        assert_eq!(whole(&header(4, &[3, 0, 7, 7, 7])), Ok(true));
        assert_eq!(whole(&header(8, b"name\0")), Ok(true));
        assert_eq!(whole(&header(4 + 8 + 16, b"\x01\x00x\0comment\0")), Ok(true));
        for (flags, rest) in [(4, &[3][..]), (4, &[3, 0, 7, 7]), (8, b"name"), (24, b"name\0comment"), (2, &[0])] {
            assert_eq!(header_length(&header(flags, rest)), Ok(None), "{flags}");
        }
        for flags in [0x20, 0x40, 0x80] {
            assert!(header_length(&header(flags, b"")).is_err());
        }
        for place in 0..3 {
            let mut other = header(0, b"");
            other[place] ^= 1;
            assert!(header_length(&other[..=place]).is_err());
        }
        assert!(header_length(&header(2, &[0, 0])).is_err(), "a checksum that is wrong");
    }

    /// Found by fuzzing: it was passed over where the decoder had swallowed it.
    #[test]
    fn a_byte_too_many_before_the_trailer_is_damage() {
        for (zipped, _) in members() {
            let mut longer = zipped.clone();
            let place = zipped.len() - TRAILER;
            longer.insert(place, zipped[place]);
            longer.extend_from_slice(&gzip(b"another"));
            for slice in [1, longer.len()] {
                assert!(gunzip(longer.chunks(slice).map(<[u8]>::to_vec)).is_err(), "in slices of {slice}");
            }
        }
    }

    #[test]
    fn a_name_without_end_is_damage() {
        let bytes = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], &vec![b'x'; HEADER_MAX * 2]].concat();
        assert_eq!(gunzip([bytes]), Err(WireErrorKind::Encoding));
    }

    /// What another decoder makes of it.
    fn flate2(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::bufread::MultiGzDecoder::new(bytes), &mut out).ok().map(|_| out)
    }

    proptest! {
        #[test]
        fn any_data_cut_anywhere_arrives_whole(
            members in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..4),
            piece in 1usize..2000,
        ) {
            let zipped: Vec<u8> = members.iter().flat_map(|m| gzip(m)).collect();
            let out = gunzip(zipped.chunks(piece).map(<[u8]>::to_vec));
            prop_assert_eq!(out, Ok(members.concat()));
        }

        #[test]
        fn nothing_cut_short_passes(data in prop::collection::vec(any::<u8>(), 0..3000), cut in 1usize..30, piece in 1usize..2000) {
            let zipped = gzip(&data);
            let kept = &zipped[..zipped.len().saturating_sub(cut).max(1)];
            prop_assert_eq!(gunzip(kept.chunks(piece).map(<[u8]>::to_vec)), Err(WireErrorKind::Body));
        }

        #[test]
        fn what_is_damaged_is_what_another_decoder_makes_of_it(
            data in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..600),
            level in 0u32..10,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
            slice in 1usize..700,
        ) {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(&data).unwrap();
            let mut bytes = encoder.finish().unwrap();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            prop_assert_eq!(gunzip(bytes.chunks(slice).map(<[u8]>::to_vec)).ok(), flate2(&bytes));
        }

        #[test]
        fn nothing_appended_passes(data in prop::collection::vec(any::<u8>(), 0..300), tail in prop::collection::vec(0u8..0x1f, 1..20)) {
            let bytes = [gzip(&data), tail].concat();
            prop_assert!(gunzip([bytes]).is_err());
        }
    }
}
