//! The keys: `v1/<tenant>/<content type>/…`, ordered so that one feed lies together and each kind in order of time.

use std::cmp::Ordering;

use super::frame::VERSION;
use crate::domain::{BlobKey, FeedId, GapId, Time};

/// What a key names within its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// `root`
    Root,
    /// `done/<bucket>/<chunk>`
    Done { bucket: i64, chunk: u32 },
    /// `record/<day of delivery>`
    Records { day: i64 },
    /// `record/<day>/<hour>/<chunk>`: as records were remembered once, see [`super::remembered`].
    FormerRecords { day: i64, hour: i64, chunk: u32 },
    /// `part/<created>/<print>`
    Part(BlobKey),
    /// `gap/<id>`
    Gap(GapId),
    /// `hour/<hours since 1970>`
    Hour(i64),
    /// `day/<days since 1970>`
    Day(i64),
}

/// A key that this release did not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// A newer release did.
    Newer(u8),
    /// Nobody did.
    Foreign,
}

/// Builds the keys of one feed.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(feed: &FeedId) -> Self {
        Self { prefix: format!("v{VERSION}/{}/{}/", feed.tenant, feed.content_type) }
    }

    pub(super) fn of(&self, name: Name) -> Vec<u8> {
        let prefix = &self.prefix;
        match name {
            Name::Root => format!("{prefix}root"),
            Name::Done { bucket, chunk } => format!("{prefix}done/{}/{chunk:08x}", ordered(bucket)),
            Name::Records { day } => format!("{prefix}record/{}", ordered(day)),
            Name::FormerRecords { day, hour, chunk } => {
                format!("{prefix}record/{}/{}/{chunk:08x}", ordered(day), ordered(hour))
            }
            Name::Part(BlobKey { created, print }) => format!("{prefix}part/{}/{print:016x}", ordered(created.0)),
            Name::Gap(GapId(id)) => format!("{prefix}gap/{id:016x}"),
            Name::Hour(hour) => format!("{prefix}hour/{}", ordered(hour)),
            Name::Day(day) => format!("{prefix}day/{}", ordered(day)),
        }
        .into_bytes()
    }

    /// Where the keys of the feed begin.
    pub(super) fn start(&self) -> Vec<u8> {
        self.prefix.clone().into_bytes()
    }

    /// The first place after all keys of the feed.
    pub(super) fn end(&self) -> Vec<u8> {
        self.after("")
    }

    /// All done chunks of `buckets` (half-open).
    pub(super) fn done(&self, from: i64, to: i64) -> (Vec<u8>, Vec<u8>) {
        (self.of(Name::Done { bucket: from, chunk: 0 }), self.of(Name::Done { bucket: to, chunk: 0 }))
    }

    /// What tells of records that were delivered on these days (half-open).
    pub(super) fn records(&self, from: i64, to: i64) -> (Vec<u8>, Vec<u8>) {
        (self.of(Name::Records { day: from }), self.of(Name::Records { day: to }))
    }

    /// The same, of all days.
    pub(super) fn all_records(&self) -> (Vec<u8>, Vec<u8>) {
        (self.of(Name::Records { day: i64::MIN }), self.after("record/"))
    }

    /// All parts of blobs created from `from` until before `to`.
    pub(super) fn parts(&self, from: Time, to: Time) -> (Vec<u8>, Vec<u8>) {
        let at = |created| self.of(Name::Part(BlobKey { created, print: 0 }));
        (at(from), at(to))
    }

    /// All gaps.
    pub(super) fn gaps(&self) -> (Vec<u8>, Vec<u8>) {
        (self.of(Name::Gap(GapId(0))), self.after("gap/"))
    }

    /// All hours before `to`.
    pub(super) fn hours_before(&self, to: i64) -> (Vec<u8>, Vec<u8>) {
        (self.of(Name::Hour(i64::MIN)), self.of(Name::Hour(to)))
    }

    /// All days before `to`.
    pub(super) fn days_before(&self, to: i64) -> (Vec<u8>, Vec<u8>) {
        (self.of(Name::Day(i64::MIN)), self.of(Name::Day(to)))
    }

    fn after(&self, kind: &str) -> Vec<u8> {
        let mut key = format!("{}{kind}", self.prefix).into_bytes();
        // Every key is ASCII.
        key.push(0xff);
        key
    }
}

/// Reads a key.
pub(super) fn parse(key: &[u8]) -> Result<(FeedId, Name), KeyError> {
    let text = std::str::from_utf8(key).map_err(|_| KeyError::Foreign)?;
    let mut parts = text.split('/');
    let version = parts.next().and_then(|v| v.strip_prefix('v')).and_then(|v| v.parse::<u8>().ok());
    let version = version.ok_or(KeyError::Foreign)?;
    match version.cmp(&VERSION) {
        Ordering::Equal => {}
        Ordering::Greater => return Err(KeyError::Newer(version)),
        Ordering::Less => return Err(KeyError::Foreign),
    }
    let feed = parts.next().zip(parts.next()).and_then(|(tenant, content_type)| {
        Some(FeedId { tenant: tenant.parse().ok()?, content_type: content_type.parse().ok()? })
    });
    let rest: Vec<&str> = parts.collect();
    let name = match rest[..] {
        ["root"] => Some(Name::Root),
        ["done", bucket, chunk] => {
            number(bucket).zip(u32::from_str_radix(chunk, 16).ok()).map(|(bucket, chunk)| Name::Done { bucket, chunk })
        }
        ["record", day] => number(day).map(|day| Name::Records { day }),
        ["record", day, hour, chunk] => number(day)
            .zip(number(hour))
            .zip(u32::from_str_radix(chunk, 16).ok())
            .map(|((day, hour), chunk)| Name::FormerRecords { day, hour, chunk }),
        ["part", created, print] => number(created)
            .zip(u64::from_str_radix(print, 16).ok())
            .map(|(created, print)| Name::Part(BlobKey { created: Time(created), print })),
        ["gap", id] => u64::from_str_radix(id, 16).ok().map(|id| Name::Gap(GapId(id))),
        ["hour", hour] => number(hour).map(Name::Hour),
        ["day", day] => number(day).map(Name::Day),
        _ => None,
    };
    match feed.zip(name) {
        // Only what would be written again in the very same way is ours: one name, one key.
        Some((feed, name)) if Keys::new(&feed).of(name) == key => Ok((feed, name)),
        _ => Err(KeyError::Foreign),
    }
}

/// Sixteen hexadecimal digits that sort like the number.
fn ordered(number: i64) -> String {
    format!("{:016x}", number.cast_unsigned() ^ (1 << 63))
}

fn number(text: &str) -> Option<i64> {
    u64::from_str_radix(text, 16).ok().map(|n| (n ^ (1 << 63)).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentType;
    use proptest::prelude::*;

    fn feed() -> FeedId {
        FeedId { tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(), content_type: ContentType::AuditGeneral }
    }

    proptest! {
        #[test]
        fn every_key_is_read_as_it_was_written_and_sorts_by_time(a in any::<i64>(), b in any::<i64>(), chunk in any::<u32>(), print in any::<u64>()) {
            let keys = Keys::new(&feed());
            let names = |n| [
                Name::Root,
                Name::Done { bucket: n, chunk },
                Name::Records { day: n },
                Name::FormerRecords { day: n, hour: n, chunk },
                Name::Part(BlobKey { created: Time(n), print }),
                Name::Gap(GapId(print)),
                Name::Hour(n),
                Name::Day(n),
            ];
            for (of_a, of_b) in names(a).into_iter().zip(names(b)) {
                let (key_a, key_b) = (keys.of(of_a), keys.of(of_b));
                prop_assert_eq!(parse(&key_a), Ok((feed(), of_a)));
                prop_assert!(key_a > keys.start() && key_a < keys.end());
                if key_a != key_b {
                    prop_assert_eq!(key_a < key_b, a < b);
                }
            }
        }
    }

    #[test]
    fn other_keys_are_foreign_or_newer() {
        let tenant = "11111111-0000-4000-8000-000000000001";
        for foreign in ["", "v1", "v1/x/Audit.General/root", "v0/a", "root", "v1//Audit.General/root"] {
            assert_eq!(parse(foreign.as_bytes()), Err(KeyError::Foreign), "{foreign}");
        }
        for foreign in ["roots", "done/1/1", "gap/1", "hour/zz", "GAP/0000000000000001", "part/8000000000000000"] {
            let key = format!("v1/{tenant}/Audit.General/{foreign}");
            assert_eq!(parse(key.as_bytes()), Err(KeyError::Foreign), "{key}");
        }
        assert_eq!(parse(format!("v1/{tenant}/audit.general/root").as_bytes()), Err(KeyError::Foreign));
        assert_eq!(parse(b"\xff"), Err(KeyError::Foreign));
        assert_eq!(parse(b"v2/anything"), Err(KeyError::Newer(2)));
    }
}
