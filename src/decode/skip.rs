//! Finding the end of plain text in a string, eight bytes at a time, and white space.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// The first position at or after `from` that holds a quote, a backslash or a control character; `bytes.len()` if none does.
#[inline]
pub(super) fn plain_end(bytes: &[u8], from: usize) -> usize {
    let mut pos = from;
    while let Some(word) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<8>()) {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return pos + (stops.trailing_zeros() / 8) as usize;
        }
        pos += 8;
    }
    while let Some(&byte) = bytes.get(pos) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        pos += 1;
    }
    pos
}

/// The high bit of each byte of `word` at which plain text stops. Subtraction may borrow into the byte above a hit, so only the
/// lowest bit that is set can be trusted.
#[inline]
fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zeros(quote) | zeros(backslash) | control) & HIGHS
}

/// True if one of the eight bytes is a backslash.
#[inline]
pub(super) fn has_backslash(word: u64) -> bool {
    zeros(word ^ (ONES * b'\\' as u64)) & HIGHS != 0
}

/// The high bit of the lowest byte that is zero, if one is; above it the high bits say nothing.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// The first position at or after `from` that holds no JSON white space.
#[inline]
pub(super) fn blank_end(bytes: &[u8], from: usize) -> usize {
    let mut pos = from;
    while bytes.get(pos..).and_then(|rest| rest.first_chunk()) == Some(b"        ") {
        pos += 8;
    }
    while bytes.get(pos).copied().is_some_and(is_blank) {
        pos += 1;
    }
    pos
}

/// `raw` without the JSON white space at its end.
pub(super) fn trim_end(mut raw: &[u8]) -> &[u8] {
    while let [rest @ .., last] = raw
        && is_blank(*last)
    {
        raw = rest;
    }
    raw
}

/// True for the four white space characters of JSON.
#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_at_every_place_is_judged_rightly() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut text = [b'x'; 20];
                text[place] = byte;
                let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(plain_end(&text, 0), if stops { place } else { 20 }, "byte {byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn words_and_bytes_agree(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x1eu8..0x24, 0x5au8..0x5e], 0..40), from in 0usize..40) {
            let from = from.min(bytes.len());
            let naive = (from..bytes.len()).find(|&i| bytes[i] < 0x20 || bytes[i] == b'"' || bytes[i] == b'\\').unwrap_or(bytes.len());
            prop_assert_eq!(plain_end(&bytes, from), naive);
        }
    }

    #[test]
    fn white_space_is_what_json_says() {
        assert_eq!(blank_end(b" \t\r\n\x0bx", 0), 4);
        assert_eq!(trim_end(b" a \n\t\r "), b" a");
        assert_eq!(trim_end(b"  "), b"");
    }
}
