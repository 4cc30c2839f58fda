//! By what a record is recognised when it arrives again.

use super::Time;

/// What a record that was delivered is remembered by: the same for the same `Id` with the same content, and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordPrint {
    /// Its `CreationTime`, which is a part of its content, or 1970 if it has none: where to look for it.
    pub created: Time,
    /// 128 bits of its content, `Id` included, without regard to the order of members.
    pub hash: u128,
}
