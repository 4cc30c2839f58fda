//! Commits that are made to the state of a machine between two runs, by the product's own store.

use std::fs;
use std::time::Duration;

use defender_feed::domain::{Claim, ContentType, FeedId, Gap, GapId, GapReason};
use defender_feed::simulator::config::DEFAULT_TENANT;
use defender_feed::sink::{Batch, DEAD_LETTER_LIMIT, DeadLetters, Delivery, MemorySink, Output, Sink};
use defender_feed::store::{SledStore, Store};

use crate::audit::{self, Trust};
use crate::host::Host;
use crate::tenant::Tenant;

/// A file of this length is copied into a shorter one (`store/copy.rs`, `SLACK`), if it does not consist of values.
const LONG: u64 = 13 << 20;
/// So many bytes each value takes until it is that long: gaps keep a detail that is no longer.
const PADDING: usize = 4_000;
/// So many values are committed at a time.
const AT_ONCE: i64 = 20;

/// Lets the state of a copied machine know the copied output for its own, by a commit without lines: a state remembers the
/// file itself.
pub(crate) fn take_for_own(host: &Host) {
    let (_gate, tenant) = (audit::gate(), DEFAULT_TENANT.parse().unwrap());
    let feed = FeedId { tenant, content_type: ContentType::AuditGeneral };
    let (mut store, _) = SledStore::open(&host.own_state()).unwrap();
    let now = store.restore(&feed).unwrap();
    let claim = Claim {
        feed,
        at: now.committed.expect("it was committed"),
        floor: now.floor.expect("it was committed"),
        begin: now.begin.expect("it was committed"),
        filter: now.filter.expect("it was committed"),
        done: Vec::new(),
        parts: Vec::new(),
        gaps: Vec::new(),
        records: Vec::new(),
        subscription_start: now.subscription_start,
        forget_before: now.begin.expect("it was committed"),
    };
    let output = Output::new(host.appended(), "output").unwrap();
    let mut sink = Delivery::new(output, DeadLetters::new(&host.own(), DEAD_LETTER_LIMIT));
    let receipt = sink.write(Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() }).unwrap();
    store.commit(receipt).unwrap();
    store.close().unwrap();
}

/// Commits large values until sled's file is long, and then small ones in their place: it does not get shorter by that.
pub(crate) fn lengthen(host: &Host, known: &Host, tenant: &Tenant) {
    let feed = audit::feed(tenant);
    let now = audit::restored(&known.twin().state(), tenant, Trust::Whole).expect("a good state opens");
    let (floor, begin) = (now.floor.expect("it was committed"), now.begin.expect("it was committed"));
    let gap = |n: i64, detail: &str| {
        let from = begin + Duration::from_millis(u64::try_from(n).unwrap());
        let (id, reason) = (GapId::of_stretch(GapReason::AuditingOff, from, from), GapReason::AuditingOff);
        let detail = detail.to_owned();
        Gap { id, reason, from, to: from, blob: None, provisional: false, closed: Some(floor), found: floor, detail }
    };
    let (mut store, _) = SledStore::open(&host.state()).unwrap();
    let mut sink = MemorySink::new();
    let mut commit = |gaps: Vec<Gap>| {
        let claim = Claim {
            feed: feed.clone(),
            at: now.committed.expect("it was committed"),
            floor,
            begin,
            filter: now.filter.clone().expect("it was committed"),
            done: Vec::new(),
            parts: Vec::new(),
            gaps,
            records: Vec::new(),
            subscription_start: now.subscription_start,
            forget_before: begin,
        };
        let batch = Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() };
        store.commit(sink.write(batch).unwrap()).unwrap();
    };
    let padding = "x".repeat(PADDING);
    let mut count = 0;
    while fs::metadata(host.store()).unwrap().len() < LONG {
        assert!(count < 8_000, "sled's file does not grow");
        commit((count..count + AT_ONCE).map(|n| gap(n, &padding)).collect());
        count += AT_ONCE;
    }
    commit((0..count).map(|n| gap(n, "x")).collect());
    store.close().unwrap();
}
