//! What holds of any header and any compressed body.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::gzip::{Gunzip, Inflated};
use super::{Headers, LARGEST_CHUNK, WireErrorKind};
use crate::domain::Time;

/// More than this is not unpacked: a bomb would only take the fuzzer's time.
const OUTPUT_MAX: usize = 4 << 20;

/// Lines of `name: value` become headers. `Retry-After` and `Date` never ask for more than 19 hours, and say what a plain reading of
/// the standard's forms says.
pub fn headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let headers: Headers = text.split('\n').filter_map(|line| line.split_once(':')).collect();
    let date = headers.date();
    if let Some(expected) = headers.get("Date").map(str::trim).and_then(imf_fixdate) {
        assert_eq!(date, Some(expected), "Date in its documented form");
    }
    let now = Time(1_772_366_400_000);
    let waits = [headers.retry_after(None), headers.retry_after(Some(now))];
    let Some(value) = headers.get("RETRY-AFTER").map(str::trim) else {
        assert_eq!(waits, [None, None]);
        return;
    };
    const LONGEST: Duration = Duration::from_secs(19 * 3600);
    assert!(waits.iter().flatten().all(|wait| *wait <= LONGEST), "{waits:?}");
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        let digits = value.trim_start_matches('0');
        let seconds = if digits.len() > 6 { u64::MAX } else { digits.parse().unwrap_or(0) };
        assert_eq!(waits, [Some(Duration::from_secs(seconds).min(LONGEST)); 2], "{value}");
    } else if let Some(until) = imf_fixdate(value) {
        let wait = |from: Option<Time>| from.map(|from| until.since(from).min(LONGEST));
        assert_eq!(waits, [wait(date), wait(date.or(Some(now)))], "{value}");
    } else if value.bytes().all(|b| !b.is_ascii_digit()) {
        assert_eq!(waits, [None, None], "{value:?} names no time");
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7), read without a library.
fn imf_fixdate(text: &str) -> Option<Time> {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let b = text.as_bytes();
    let marks = [(3, b','), (4, b' '), (7, b' '), (11, b' '), (16, b' '), (19, b':'), (22, b':'), (25, b' ')];
    if b.len() != 29 || !text.is_ascii() || marks.iter().any(|(at, mark)| b[*at] != *mark) || &text[26..] != "GMT" {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = &text[range];
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let (day, year) = (number(5..7)?, number(12..16)?);
    let (hour, minute, second) = (number(17..19)?, number(20..22)?, number(23..25)?);
    let month = MONTHS.iter().position(|m| *m == &text[8..11])? as i64 + 1;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day - 1 - 719_468;
    if DAYS[days.rem_euclid(7) as usize] != &text[..3] {
        return None;
    }
    Some(Time((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
}

/// The first byte chooses. Even: the rest, in slices, is a compressed body. Odd: it is compressed first, in several members, and
/// then perhaps damaged. What comes out is what another decoder gives, whole and member by member, and slices make no difference.
pub fn inflate(data: &[u8]) {
    let Some(([how, slice, at, xor], rest)) = data.split_first_chunk() else { return };
    let slice = usize::from(*slice) + 1;
    if how & 1 == 0 {
        assert_same(rest, slice, "as it came");
        return;
    }
    let members: Vec<&[u8]> = rest.chunks((rest.len() / usize::from(1 + (how >> 1 & 3))).max(1)).collect();
    let zipped: Vec<u8> = members.iter().flat_map(|member| gzip(member)).collect();
    let expected = if zipped.is_empty() { Ok(Vec::new()) } else { Ok(rest.to_vec()) };
    assert_eq!(pieces(&zipped, slice), expected, "what was compressed comes back");
    let place = usize::from(*at) * zipped.len() / 256;
    let cut = &zipped[..place];
    assert_eq!(pieces(cut, slice), whole(cut), "cut short");
    let mut damaged = zipped.clone();
    if let Some(byte) = damaged.get_mut(place) {
        *byte ^= xor;
    }
    assert_same(&damaged, slice, "damaged");
}

/// What another decoder takes for right is right, in slices and at once. The other way round, bytes that are too many before a
/// trailer may be passed over, depending on where a slice ends; what comes out is the same then.
fn assert_same(body: &[u8], slice: usize, what: &str) {
    let (sliced, at_once) = (pieces(body, slice), pieces(body, body.len().max(1)));
    if let Ok(right) = whole(body) {
        assert_eq!((sliced.as_ref(), at_once.as_ref()), (Ok(&right), Ok(&right)), "{what}, beside another decoder");
    }
    if let (Ok(sliced), Ok(at_once)) = (sliced, at_once) {
        assert_eq!(sliced, at_once, "{what}, in slices and at once");
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// As the product does it.
fn pieces(body: &[u8], slice: usize) -> Result<Vec<u8>, WireErrorKind> {
    let (mut gunzip, mut out) = (Gunzip::new(), Vec::new());
    let mut pieces = body.chunks(slice);
    let mut asked = 0;
    loop {
        match gunzip.inflate().map_err(|error| error.kind)? {
            Inflated::Data(data) => {
                assert!((1..=LARGEST_CHUNK).contains(&data.len()), "a chunk of {} bytes", data.len());
                out.extend_from_slice(&data);
                if out.len() > OUTPUT_MAX {
                    out.truncate(OUTPUT_MAX);
                    return Ok(out);
                }
            }
            Inflated::WantsInput => {
                asked += 1;
                assert!(asked <= body.len() / slice + 2, "it asks and asks");
                gunzip.feed(pieces.next().map(Bytes::copy_from_slice));
            }
            Inflated::End => return Ok(out),
        }
    }
}

/// The body whole in memory, one member after another until nothing is left.
fn whole(body: &[u8]) -> Result<Vec<u8>, WireErrorKind> {
    let (mut rest, mut out) = (body, Vec::new());
    while !rest.is_empty() {
        let mut member = GzDecoder::new(rest);
        let mut buffer = vec![0; LARGEST_CHUNK];
        loop {
            match member.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => out.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(WireErrorKind::Body),
                Err(_) => return Err(WireErrorKind::Encoding),
            }
            if out.len() > OUTPUT_MAX {
                out.truncate(OUTPUT_MAX);
                return Ok(out);
            }
        }
        rest = member.into_inner();
    }
    Ok(out)
}
