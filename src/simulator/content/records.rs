//! One audit record: what is common to all, and which type it is. The types themselves stand in the files beside.

use std::time::Duration;

use crate::domain::{RecordType, Time};

use super::super::dice::Dice;
use super::fields::Fields;
use super::{air, awkward, mail, other, threat};

/// What a record is made from.
#[derive(Debug)]
pub(super) struct Origin<'a> {
    /// The tenant's id.
    pub(super) tenant: &'a str,
    /// The record's `Id`.
    pub(super) id: &'a str,
    /// When the record's blob became available; its event happened before.
    pub(super) available: Time,
}

/// A record type with a maker of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mail,
    Click,
    File,
    Air,
    /// Any other workload: the number of its pattern.
    Other(usize),
}

impl Kind {
    /// Draws a kind: of `wanted_share` of all records one of Defender's four, mail most often.
    pub(super) fn draw(dice: &mut Dice, wanted_share: f64) -> Kind {
        if !dice.chance(wanted_share) {
            return Kind::Other(usize::try_from(dice.below(other::PATTERNS as u64)).unwrap_or(0));
        }
        match dice.below(100) {
            0..60 => Kind::Mail,
            60..80 => Kind::Click,
            80..92 => Kind::File,
            _ => Kind::Air,
        }
    }

    /// The kind of one of Defender's four types.
    pub(super) fn of(record_type: RecordType) -> Option<Kind> {
        match record_type {
            RecordType::MAIL => Some(Kind::Mail),
            RecordType::URL => Some(Kind::Click),
            RecordType::FILE => Some(Kind::File),
            RecordType::AIR => Some(Kind::Air),
            _ => None,
        }
    }

    /// The record type, if it is one of Defender's four.
    pub(super) fn wanted(self) -> Option<RecordType> {
        match self {
            Kind::Mail => Some(RecordType::MAIL),
            Kind::Click => Some(RecordType::URL),
            Kind::File => Some(RecordType::FILE),
            Kind::Air => Some(RecordType::AIR),
            Kind::Other(_) => None,
        }
    }
}

/// The people of the simulated tenant.
pub(super) const PEOPLE: [&str; 12] =
    ["alex", "blair", "casey", "drew", "eden", "finley", "gray", "harper", "indigo", "jules", "kai", "lee"];

/// Domains outside the tenant; made up, as Microsoft's documentation makes them up.
pub(super) const OUTSIDE: [&str; 4] = ["fabrikam.com", "adatum.com", "northwind.example", "xn--fabrikm-6wa.example"];

/// One person's address.
pub(super) fn person(dice: &mut Dice) -> String {
    format!("{}@contoso.com", dice.pick(&PEOPLE))
}

/// An address from a documentation range (RFC 5737, RFC 3849).
pub(super) fn address(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => format!("192.0.2.{}", dice.below(255)),
        1 => format!("198.51.100.{}", dice.below(255)),
        2 => format!("203.0.113.{}", dice.below(255)),
        _ => format!("2001:db8:{:x}::{:x}", dice.below(0xffff), dice.below(0xffff)),
    }
}

/// A time as records write it: no zone, no fraction.
pub(super) fn plain(time: Time) -> String {
    time.query()
}

/// A time with seven digits of fraction and `Z`, as in AIR texts.
pub(super) fn precise(time: Time, dice: &mut Dice) -> String {
    format!("{}.{:07}Z", time.query(), dice.below(10_000_000))
}

/// Some time before `time`, at most `most` earlier.
pub(super) fn before(time: Time, most: Duration, dice: &mut Dice) -> Time {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    time - Duration::from_millis(dice.below(most.saturating_add(1)))
}

/// What a record says about itself first.
pub(super) struct Head<'a> {
    pub(super) operation: &'a str,
    pub(super) record_type: String,
    pub(super) user_key: &'a str,
    pub(super) user_type: &'a str,
    pub(super) workload: &'a str,
    pub(super) user: &'a str,
    pub(super) created: Time,
}

/// The common schema (`record-schemas.md` section 2).
pub(super) fn common(origin: &Origin<'_>, head: Head<'_>) -> Fields {
    Fields::new()
        .text("CreationTime", plain(head.created))
        .text("Id", origin.id)
        .text("Operation", head.operation)
        .text("OrganizationId", origin.tenant)
        .json("RecordType", head.record_type)
        .text("UserKey", head.user_key)
        .json("UserType", head.user_type)
        .number("Version", 1)
        .text("Workload", head.workload)
        .text("UserId", head.user)
}

/// The record of that kind, drawn with `dice`.
pub(super) fn record(kind: Kind, origin: &Origin<'_>, dice: &mut Dice, awkward_share: f64) -> Fields {
    let fields = match kind {
        Kind::Mail => mail::record(origin, dice),
        Kind::Click => threat::click(origin, dice),
        Kind::File => threat::file(origin, dice),
        Kind::Air => air::record(origin, dice),
        Kind::Other(pattern) => other::record(pattern, origin, dice),
    };
    if dice.chance(awkward_share) { awkward::bend(fields, kind, dice) } else { fields }
}
