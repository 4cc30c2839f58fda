//! Decompresses a gzip body piece by piece, in bounded memory whatever its ratio.
//!
//! All members of a body are read (RFC 1952 allows several); what follows the last one, or is missing from it, is an error.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;

use super::{LARGEST_CHUNK, WireError, WireErrorKind};

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
#[derive(Debug)]
pub(super) struct Gunzip {
    decoder: MultiGzDecoder<Feed>,
    fed: u64,
}

/// The decoder's input: what has arrived. It tells "not yet" from "no more".
#[derive(Debug, Default)]
struct Feed {
    input: Bytes,
    ended: bool,
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.input.is_empty() && !self.ended { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(&self.input) }
    }

    fn consume(&mut self, amount: usize) {
        self.input.advance(amount);
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let input = self.fill_buf()?;
        let length = input.len().min(into.len());
        into[..length].copy_from_slice(&input[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl Gunzip {
    pub(super) fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Feed::default()), fed: 0 }
    }

    /// Gives the next piece of the compressed body, or `None` for its end. Only after [`Inflated::WantsInput`].
    pub(super) fn feed(&mut self, piece: Option<Bytes>) {
        let feed = self.decoder.get_mut();
        match piece {
            Some(piece) => {
                self.fed += piece.len() as u64;
                feed.input = piece;
            }
            None => feed.ended = true,
        }
    }

    /// The next step.
    ///
    /// # Errors
    /// The body is no gzip, damaged, or ends too early.
    pub(super) fn inflate(&mut self) -> Result<Inflated, WireError> {
        if self.fed == 0 && self.decoder.get_ref().ended {
            // No byte at all is an empty body, whatever its header says.
            return Ok(Inflated::End);
        }
        let mut buffer = BytesMut::zeroed(LARGEST_CHUNK);
        loop {
            match self.decoder.read(&mut buffer) {
                Ok(0) => return Ok(Inflated::End),
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(Inflated::Data(buffer.freeze()));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Inflated::WantsInput),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::UnexpectedEof => {
                        let detail = format!("the gzip data ends too early (after {} bytes)", self.fed);
                        return Err(WireError::new(WireErrorKind::Body, detail));
                    }
                    _ => {
                        let detail = format!("the gzip data is damaged: {error} (after {} bytes)", self.fed);
                        return Err(WireError::new(WireErrorKind::Encoding, detail));
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
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
        fn nothing_appended_passes(data in prop::collection::vec(any::<u8>(), 0..300), tail in prop::collection::vec(0u8..0x1f, 1..20)) {
            let bytes = [gzip(&data), tail].concat();
            prop_assert!(gunzip([bytes]).is_err());
        }
    }
}
