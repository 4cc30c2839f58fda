//! The records that somebody else has already: what a repair leaves out.

use std::hash::Hasher;
use std::io::{self, BufRead, Read};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::decode;
use crate::domain::TenantId;
use crate::format;

/// The longest line that is taken for an id, in bytes: Microsoft's are 36, ours 32.
const ID_MAX: u64 = 1024;

/// A list of ids, 16 bytes each in memory. An id is a record's `Id` (a GUID in any case), or the `id` that this program gives its
/// events.
///
/// A list can only leave out what it names: a record that arrives under the same `Id` with other content, as an investigation
/// does when it goes on, is left out as well, if the list has its `Id`; it is not if the list has the `id` of the earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkipIds {
    /// Ascending.
    hashes: Vec<u128>,
    /// Whether some may be ids of ours, which cost a digest of each record.
    has_ours: bool,
}

/// Why a list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SkipIdsError {
    /// It can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no list of ids.
    #[error("line {0} is longer than {ID_MAX} bytes: one id a line is expected")]
    TooLong(u64),
    /// It is UTF-16, or no text at all.
    #[error("line {0} holds NUL bytes: a text in UTF-8 with one id a line is expected")]
    NoText(u64),
}

impl SkipIds {
    /// Reads a list with one id a line. Quotes around an id, a comma behind it, white space and empty lines count for nothing.
    ///
    /// # Errors
    /// If it can't be read, or a line is too long for an id.
    pub fn read(mut list: impl BufRead) -> Result<Self, SkipIdsError> {
        let mut ids = Self::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if list.by_ref().take(ID_MAX + 1).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.len() as u64 > ID_MAX {
                return Err(SkipIdsError::TooLong(number));
            }
            if line.contains(&0) {
                return Err(SkipIdsError::NoText(number));
            }
            // A byte order mark stands before the first id of many an export.
            let id = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
            let id = id.strip_suffix(b",").unwrap_or(id);
            let id = id.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")).unwrap_or(id);
            if !id.is_empty() {
                ids.has_ours |= is_ours(id);
                ids.hashes.push(hash(id));
            }
        }
        ids.hashes.sort_unstable();
        ids.hashes.dedup();
        ids.hashes.shrink_to_fit();
        Ok(ids)
    }

    /// How many different ids it has.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Tells one list from another.
    pub fn print(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        self.hashes.iter().for_each(|hash| hasher.write_u128(*hash));
        hasher.finish()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// True if it names this record of the tenant.
    pub(super) fn holds(&self, tenant: &TenantId, raw: &[u8]) -> bool {
        let has = |id: &str| self.hashes.binary_search(&hash(id.as_bytes())).is_ok();
        decode::text_of(raw, "Id").is_some_and(|id| has(id.trim())) || (self.has_ours && has(&format::record_id(tenant, raw)))
    }
}

/// 32 hexadecimal digits.
fn is_ours(id: &[u8]) -> bool {
    id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit)
}

/// As `1b4e28ba-2fa1-4000-8000-00e29ce7bd2a`.
fn is_guid(id: &[u8]) -> bool {
    id.len() == 36
        && id
            .iter()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn hash(id: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(&if is_guid(id) || is_ours(id) { id.to_ascii_lowercase() } else { id.to_vec() });
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        "11111111-0000-4000-8000-000000000001".parse().unwrap()
    }

    fn list(text: &str) -> SkipIds {
        SkipIds::read(text.as_bytes()).unwrap()
    }

    const ID: &str = "aabbccdd-0000-4000-8000-00000000000e";
    const RAW: &[u8] = br#"{"Id":"AABBCCDD-0000-4000-8000-00000000000E","Nested":{"Id":"bbbb"},"RecordType":28}"#;

    #[test]
    fn it_takes_lists_as_they_are_exported() {
        for text in ["#", "x\r\n#\r\n", "\u{feff}#\n", "\n\n \"#\",\n", "y\n#"] {
            for id in [ID.to_owned(), ID.to_uppercase()] {
                assert!(list(&text.replace('#', &id)).holds(&tenant(), RAW), "{text:?}");
            }
        }
        for text in ["", "bbbb", "aabbccdd", "# x", "#1", "\"\""] {
            assert!(!list(&text.replace('#', ID)).holds(&tenant(), RAW), "{text:?}");
        }
        assert_eq!(list("a\nA\na\n").len(), 2, "only what is a GUID may be in any case");
        assert_ne!(list("a").print(), list("b").print());
        assert_eq!(list("b\na").print(), list("a\nb\na").print());
        assert!(list("\n").is_empty());
    }

    #[test]
    fn it_knows_the_ids_of_our_events() {
        let id = format::record_id(&tenant(), RAW);
        assert!(list(&id).holds(&tenant(), RAW) && list(&id.to_uppercase()).holds(&tenant(), RAW));
        assert!(!list(&id).holds(&"11111111-0000-4000-8000-000000000002".parse().unwrap(), RAW));
        assert!(
            !list(&id).holds(&tenant(), br#"{"Id":"AABBCCDD-0000-4000-8000-00000000000E","Nested":{"Id":"c"},"RecordType":28}"#)
        );
    }

    #[test]
    fn a_file_that_is_no_list_is_refused_without_reading_it_whole() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert_eq!(
            SkipIds::read(endless).unwrap_err().to_string(),
            "line 1 is longer than 1024 bytes: one id a line is expected"
        );
        let long = format!("a\n{}\n", "x".repeat(2_000));
        assert!(matches!(SkipIds::read(long.as_bytes()), Err(SkipIdsError::TooLong(2))));
        assert!(matches!(SkipIds::read(&b"\xff\xfea\0b\0"[..]), Err(SkipIdsError::NoText(1))));
    }
}
