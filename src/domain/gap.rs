//! Gaps: what could not be had, written down so that a person can list it.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{BlobEntry, BlobKey, Time};

/// Why something is missing. A closed list: a new reason is a new release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The service said that the blob has expired (`AF20051`).
    Expired,
    /// The service says again and again that the blob does not exist (`AF20050`, 404).
    NotFound,
    /// The blob arrives, but can't be read whole.
    Unreadable,
    /// The blob exceeds a limit.
    TooLarge,
    /// The collector was down for longer than the service keeps content.
    OutagePastRetention,
    /// There was no subscription; what became available meanwhile can never be fetched.
    SubscriptionOff,
    /// Audit logging was off for the tenant.
    AuditingOff,
    /// The dead-letter file had reached its limit.
    DeadLetterFull,
}

impl GapReason {
    /// Every reason, in the order of the ledger's columns.
    pub const ALL: [GapReason; 8] = [
        GapReason::Expired,
        GapReason::NotFound,
        GapReason::Unreadable,
        GapReason::TooLarge,
        GapReason::OutagePastRetention,
        GapReason::SubscriptionOff,
        GapReason::AuditingOff,
        GapReason::DeadLetterFull,
    ];

    /// The name used in the state, the ledger and the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::Expired => "expired",
            GapReason::NotFound => "not_found",
            GapReason::Unreadable => "unreadable",
            GapReason::TooLarge => "too_large",
            GapReason::OutagePastRetention => "outage_past_retention",
            GapReason::SubscriptionOff => "subscription_off",
            GapReason::AuditingOff => "auditing_off",
            GapReason::DeadLetterFull => "dead_letter_full",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A gap's name: the same gap found twice has the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GapId(pub u64);

impl GapId {
    /// The gap of one blob.
    pub fn of_blob(key: BlobKey) -> Self {
        Self(key.print)
    }

    /// The gap of a stretch of time that could not be listed.
    pub fn of_stretch(reason: GapReason, from: Time, to: Time) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(reason.as_str().as_bytes());
        hasher.write_i64(from.0);
        hasher.write_i64(to.0);
        Self(hasher.finish())
    }
}

impl fmt::Display for GapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What is known of a blob that is missing, enough to ask for it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapBlob {
    /// The listing entry.
    pub entry: BlobEntry,
    /// How often it was tried.
    pub attempts: u32,
    /// The print of the broken reply whose readable part is delivered and whose rest is in the dead-letter file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
}

/// Something that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its name.
    pub id: GapId,
    /// Why.
    pub reason: GapReason,
    /// The first moment of availability that it covers; for a blob its `contentCreated`.
    pub from: Time,
    /// The end of what it covers, exclusive; for a blob equal to `from`.
    pub to: Time,
    /// The blob, or `None` for a stretch of time that could not be listed.
    pub blob: Option<GapBlob>,
    /// True while the blob is still asked for: the gap closes if it arrives. Of a stretch of time, while it has not ended.
    pub provisional: bool,
    /// When the blob arrived after all.
    pub closed: Option<Time>,
    /// The service's time when it was found.
    pub found: Time,
    /// What happened, for a person.
    pub detail: String,
}

impl Gap {
    /// True if it still stands.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They stand in the state and in scripts that read it.
    #[test]
    fn the_names_of_reasons_stay() {
        let names = GapReason::ALL.map(|reason| {
            assert_eq!(reason.to_string(), reason.as_str());
            reason.as_str()
        });
        let stored = ["expired", "not_found", "unreadable", "too_large", "outage_past_retention", "subscription_off"];
        assert_eq!(names[..6], stored);
        assert_eq!(names[6..], ["auditing_off", "dead_letter_full"]);
    }

    #[test]
    fn a_gap_is_open_until_its_blob_arrives() {
        let mut gap = Gap {
            id: GapId::of_stretch(GapReason::SubscriptionOff, Time(0), Time(1)),
            reason: GapReason::SubscriptionOff,
            from: Time(0),
            to: Time(1),
            blob: None,
            provisional: false,
            closed: None,
            found: Time(2),
            detail: String::new(),
        };
        assert!(gap.is_open());
        gap.closed = Some(Time(3));
        assert!(!gap.is_open());
    }

    #[test]
    fn gaps_are_told_apart_by_what_they_cover() {
        let of = |reason, from, to| GapId::of_stretch(reason, Time(from), Time(to));
        let id = of(GapReason::SubscriptionOff, 0, 1);
        assert_eq!(id, of(GapReason::SubscriptionOff, 0, 1));
        assert!(![of(GapReason::AuditingOff, 0, 1), of(GapReason::SubscriptionOff, 1, 1)].contains(&id));
        assert_eq!(GapId::of_blob(BlobKey { created: Time(0), print: 0xab }).to_string(), "00000000000000ab");
    }
}
