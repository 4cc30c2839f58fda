//! The store as a whole: what goes in comes out, whatever happens to the files in between.

mod ageing;
mod damage;
mod foreign;
mod gaps;
mod growth;
mod model;
pub(crate) mod mutants;
mod opening;
mod places;
mod restarting;
mod stale;
mod truth;

use std::path::Path;
use std::sync::Once;

use super::{Condition, OpenReport, Restored, SledStore, Store};
use crate::domain::{
    BlobEntry, BlobKey, Claim, ContentId, ContentType, Counts, DoneSet, FeedId, Gap, GapBlob, GapId, GapReason, RecordPrint, Time,
};
use crate::sink::{Batch, MemorySink, Receipt, Sink};

pub(super) const HOUR: i64 = 3_600_000;
/// 2026-03-01T12:00:00Z
pub(super) const START: i64 = 1_772_366_400_000;
pub(super) const WEEK: i64 = 7 * 24 * HOUR;

pub(super) fn feed(n: u32) -> FeedId {
    FeedId { tenant: format!("11111111-0000-4000-8000-{n:012}").parse().unwrap(), content_type: ContentType::AuditGeneral }
}

/// A claim of `feed` at `at` that says nothing yet.
pub(super) fn claim(feed: &FeedId, at: i64) -> Claim {
    Claim {
        feed: feed.clone(),
        at: Time(at),
        floor: Time(at - HOUR),
        begin: Time(START - WEEK),
        filter: "28,41,47,64".into(),
        done: Vec::new(),
        parts: Vec::new(),
        gaps: Vec::new(),
        records: vec![RecordPrint { created: Time(at), hash: u128::from(at.unsigned_abs()) }],
        subscription_start: None,
        forget_before: Time(at - WEEK),
    }
}

pub(super) fn id(n: i64) -> ContentId {
    ContentId(format!("20260301$blob{n}$audit_general"))
}

pub(super) fn blob(n: i64, created: i64) -> BlobKey {
    BlobKey::new(&id(n), Time(created))
}

pub(super) fn counts(n: u64) -> Counts {
    Counts { read: 4 * n + 1, delivered: n, filtered: 2 * n, duplicate: n, dead_lettered: 1 }
}

pub(super) fn gap(n: i64, created: i64, reason: GapReason, provisional: bool) -> Gap {
    let entry = BlobEntry { id: id(n), uri: format!("https://example.test/{n}"), created: Time(created), expires: None };
    Gap {
        id: GapId::of_blob(entry.key()),
        reason,
        from: Time(created),
        to: Time(created),
        blob: Some(GapBlob { entry, attempts: 1, accepted: None }),
        provisional,
        closed: None,
        found: Time(created + HOUR),
        detail: "made up".into(),
    }
}

/// The receipt for a claim whose lines are delivered.
pub(super) fn receipt(claim: Claim) -> Receipt {
    MemorySink::new().write(Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() }).unwrap()
}

pub(super) fn open(dir: &Path) -> (SledStore, OpenReport) {
    quiet_about_sled();
    SledStore::open(dir).unwrap()
}

/// Opens a state that must be whole.
pub(super) fn open_healthy(dir: &Path) -> SledStore {
    let (store, report) = open(dir);
    assert_eq!(report.condition, Condition::Healthy, "{report:?}");
    assert_eq!(report.warnings, Vec::<String>::new());
    store
}

pub(super) fn done(keys: &[BlobKey]) -> DoneSet {
    let mut set = DoneSet::default();
    keys.iter().for_each(|key| assert!(set.insert(*key)));
    set
}

pub(super) fn restored(store: &mut impl Store, n: u32) -> Restored {
    store.restore(&feed(n)).unwrap()
}

/// sled panics on damaged files; those panics are caught and expected, so they need not be printed.
pub(super) fn quiet_about_sled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|at| at.file().contains("sled-0.34")) {
                usual(info);
            }
        }));
    });
}
