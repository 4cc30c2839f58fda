//! Each value on its own: a version byte and a checksum before the payload.
//!
//! `version: 1 byte, checksum: 8 bytes little-endian, payload`. The checksum is SipHash-1-3 over key, version and
//! payload, so a value that has strayed to another key is found out too.

use std::cmp::Ordering;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13x128};

/// The version of every value that this release writes. The layout of a value of an older version would be read here
/// and written anew with the next commit that touches it; there is no older one yet.
pub(super) const VERSION: u8 = 1;

const HEADER: usize = 9;
const KEYS: (u64, u64) = (0x7374_6f72_6564_2076, 0x616c_7565_2d76_312e);

/// Why a value can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameError {
    /// A newer release wrote it.
    Newer(u8),
    /// It is not what was written.
    Damaged(&'static str),
}

/// The stored form of `payload` under `key`.
pub(super) fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER + payload.len());
    value.push(VERSION);
    value.extend_from_slice(&checksum(key, VERSION, payload).to_le_bytes());
    value.extend_from_slice(payload);
    value
}

/// The payload of a stored value, if it is whole.
pub(super) fn open<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], FrameError> {
    let Some((header, payload)) = value.split_at_checked(HEADER) else {
        return Err(FrameError::Damaged("it is too short"));
    };
    // The checksum comes first: a flipped bit in the version byte is damage, not a newer release.
    if checksum(key, header[0], payload).to_le_bytes() != header[1..] {
        return Err(FrameError::Damaged("its checksum is wrong"));
    }
    match header[0].cmp(&VERSION) {
        Ordering::Equal => Ok(payload),
        Ordering::Greater => Err(FrameError::Newer(header[0])),
        Ordering::Less => Err(FrameError::Damaged("its version never existed")),
    }
}

/// Makes of a stored value one that a newer release would write.
#[cfg(test)]
pub(super) fn make_newer(key: &[u8], value: &mut [u8]) {
    value[0] = VERSION + 1;
    let sum = checksum(key, VERSION + 1, &value[HEADER..]).to_le_bytes();
    value[1..HEADER].copy_from_slice(&sum);
}

/// What a stored value adds to its feed's digest. The digest is the sum of these, so it can be kept up to date from the
/// values that a commit changes alone.
pub(super) fn weight(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = SipHasher13x128::new_with_keys(KEYS.0, KEYS.1);
    hasher.write_usize(key.len());
    hasher.write(key);
    hasher.write(value);
    hasher.finish128().as_u128()
}

fn checksum(key: &[u8], version: u8, payload: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
    hasher.write_usize(key.len());
    hasher.write(key);
    hasher.write_u8(version);
    hasher.write(payload);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_a_wrong_key_are_found_out() {
        let value = seal(b"key", b"payload");
        assert_eq!(open(b"key", &value), Ok(&b"payload"[..]));
        assert!(matches!(open(b"kez", &value), Err(FrameError::Damaged(_))));
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(open(b"key", &flipped), Err(FrameError::Damaged(_))), "bit {bit}");
            assert_ne!(weight(b"key", &flipped), weight(b"key", &value));
        }
        for length in 0..value.len() {
            assert!(matches!(open(b"key", &value[..length]), Err(FrameError::Damaged(_))));
        }
    }

    #[test]
    fn a_whole_value_of_a_newer_release_is_told_from_damage() {
        let mut value = seal(b"key", b"payload");
        value[0] = VERSION + 1;
        let sum = checksum(b"key", VERSION + 1, b"payload").to_le_bytes();
        value[1..HEADER].copy_from_slice(&sum);
        assert_eq!(open(b"key", &value), Err(FrameError::Newer(VERSION + 1)));
        value[0] = 0;
        let sum = checksum(b"key", 0, b"payload").to_le_bytes();
        value[1..HEADER].copy_from_slice(&sum);
        assert!(matches!(open(b"key", &value), Err(FrameError::Damaged(_))), "there was none before the first");
    }
}
