//! The blobs' bodies: as much of each as need be is made before the first request.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Manner;
use crate::corpus::{Corpus, place_of_number};

const GZIP: &str = "Content-Encoding: gzip\r\n";

/// What comes after the beginning of a body.
#[derive(Debug)]
pub(super) struct Rest<'a> {
    /// Further headers.
    pub(super) headers: String,
    pub(super) goes_on: &'a [u8],
    pub(super) times: u64,
    pub(super) ends: &'a [u8],
}

impl Rest<'_> {
    /// The beginning was all of it.
    pub(super) fn headers(headers: String) -> Self {
        Self { headers, goes_on: b"", times: 0, ends: b"" }
    }
}

/// What bodies are made from.
#[derive(Debug)]
pub(super) enum Bodies {
    Corpus(Corpus),
    Zipped(Vec<Vec<u8>>),
    /// One record, and where the number of the blob stands in it.
    Tiny(Vec<u8>, usize),
    /// The same bytes many times between a beginning and an end.
    Long {
        headers: &'static str,
        begins: Vec<u8>,
        goes_on: Vec<u8>,
        times: u64,
        ends: &'static [u8],
    },
}

impl Bodies {
    pub(super) fn of(manner: Manner) -> Self {
        let corpus = Corpus::new();
        match manner {
            Manner::Plain { .. } => Bodies::Corpus(corpus),
            Manner::Gzip { blobs } => Bodies::Zipped(zip_all(&corpus, blobs)),
            Manner::Tiny { .. } | Manner::Appearing { .. } => {
                let record = corpus.records_that_are(true).swap_remove(0);
                let place = place_of_number(&record);
                Bodies::Tiny(record, place)
            }
            Manner::Huge { times } => {
                let (records, times) = (corpus.records(), times.saturating_sub(1));
                let goes_on = [&b","[..], &records].concat();
                Bodies::Long { headers: "", begins: [&b"["[..], &records].concat(), goes_on, times, ends: b"]" }
            }
            Manner::Bomb { megabytes } => {
                let record = corpus.records_that_are(false).swap_remove(0);
                let goes_on = zip(&[&record[..], b","].concat().repeat(1_000_000 / record.len()));
                Bodies::Long { headers: GZIP, begins: zip(b"["), goes_on, times: megabytes, ends: b"" }
            }
        }
    }

    /// Writes the beginning of a blob's body, and returns what comes after it.
    pub(super) fn blob(&self, number: u64, body: &mut Vec<u8>) -> Rest<'_> {
        match self {
            Bodies::Corpus(corpus) => corpus.blob(number, body),
            Bodies::Zipped(zipped) => {
                body.extend_from_slice(&zipped[usize::try_from(number).unwrap_or(0)]);
                return Rest::headers(GZIP.to_owned());
            }
            Bodies::Tiny(record, place) => {
                body.push(b'[');
                body.extend_from_slice(record);
                body[place + 1..place + 9].copy_from_slice(format!("{:08x}", number & 0xffff_ffff).as_bytes());
                body.push(b']');
            }
            Bodies::Long { headers, begins, goes_on, times, ends } => {
                body.extend_from_slice(begins);
                return Rest { headers: (*headers).to_owned(), goes_on, times: *times, ends };
            }
        }
        Rest::headers(String::new())
    }
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

fn zip_all(corpus: &Corpus, blobs: u64) -> Vec<Vec<u8>> {
    let some = |numbers: std::ops::Range<u64>| {
        let mut blob = Vec::new();
        let zipped = numbers.map(|number| {
            corpus.blob(number, &mut blob);
            zip(&blob)
        });
        zipped.collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| some(0..blobs / 2));
        let second = some(blobs / 2..blobs);
        let mut all = first.join().expect("compressing does not panic");
        all.extend(second);
        all
    })
}
