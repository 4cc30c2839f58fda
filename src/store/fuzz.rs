//! What holds of any stored value: it is read back as it was written, or not at all.

#![allow(clippy::unwrap_used, reason = "only tests and fuzzing run this")]

use std::collections::BTreeMap;

use super::frame::{self, FrameError};
use super::key::{self, Keys, Name};
use super::record::{self, CHUNK_PRINTS, Root, Tally};
use super::scan::Scan;
use super::witness::{self, Found, Seen};
use super::{MemoryStore, Store, StoreError, remembered};
use crate::domain::{
    BlobEntry, BlobKey, Claim, ContentId, ContentType, Counts, FeedId, Gap, GapBlob, GapId, GapReason, RecordPrint, Time,
};
use crate::sink::{Batch, MemorySink, Sink};

const HOUR: i64 = 3_600_000;
/// 2026-03-01T12:00:00Z
const START: i64 = 1_772_366_400_000;

/// The first byte chooses what the rest is: the payload of a value, a key, a value that is damaged, a witness, or what is committed
/// to a whole store that is damaged then.
pub fn state(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 5 {
        0 => payload(rest),
        1 => key_of_any_bytes(rest),
        2 => damaged_value(rest),
        3 => any_witness(rest),
        _ => damaged_store(rest),
    }
}

/// No bytes make a reader panic, and what it reads it would write again.
fn payload(bytes: &[u8]) {
    let blob = BlobKey { created: Time(START), print: 7 };
    if let Some(root) = Root::decode(bytes) {
        assert_eq!(Root::decode(&root.encode()), Some(root));
    }
    if let Some(tally) = Tally::decode(bytes) {
        assert_eq!(Tally::decode(&tally.encode()), Some(tally));
    }
    if let Some(part) = record::decode_part(blob, bytes) {
        assert_eq!(record::decode_part(blob, &record::encode_part(&part)), Some(part));
    }
    if let Some(prints) = record::decode_chunk(bytes) {
        assert!(prints.len() <= CHUNK_PRINTS);
        assert_eq!(record::encode_chunk(&prints), bytes);
    }
    if let Some(count) = remembered::decode_count(bytes) {
        assert_eq!(remembered::encode_count(count), bytes);
    }
    if let Some(gap) = record::decode_gap(bytes) {
        let stored = record::encode_gap(&gap);
        let back = record::decode_gap(&stored).expect("what was encoded");
        let key = |gap: &Gap| gap.blob.as_ref().map(|blob| blob.entry.key());
        assert_eq!((back.id, back.reason, key(&back)), (gap.id, gap.reason, key(&gap)));
        assert!(serde_json::to_vec(&gap).unwrap().len() != stored.len() || back == gap, "nothing was cut, and yet it differs");
    }
}

fn key_of_any_bytes(bytes: &[u8]) {
    if let Ok((feed, name)) = key::parse(bytes) {
        assert_eq!(Keys::new(&feed).of(name), bytes, "two keys for one thing");
    }
}

fn feed() -> FeedId {
    FeedId { tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(), content_type: ContentType::AuditGeneral }
}

/// Changes bytes as disks do; `how` says which way. Header and payload never change at once but by what no one chooses, so that
/// a search for bytes that fit their checksum is none for damage.
fn damage(value: &[u8], header: usize, how: [u8; 4], other: &[u8]) -> Vec<u8> {
    let mut bytes = value.to_vec();
    let [kind, place, length, xor] = how;
    let at = usize::from(place) * bytes.len() / 256;
    match kind % 6 {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= xor),
        1 => bytes.iter_mut().skip(at.max(header)).take(1 + usize::from(length % 16)).for_each(|b| *b ^= xor),
        2 => bytes.iter_mut().skip(at).take(usize::from(length)).for_each(|b| *b = 0),
        3 => bytes.truncate(at),
        4 => bytes.extend(std::iter::repeat_n(xor, usize::from(length))),
        // Torn: the beginning of one value and the end of another.
        _ => {
            bytes.truncate(at);
            bytes.extend(other.iter().skip(at));
        }
    }
    bytes
}

/// A value that is damaged, or stands under another key, is never read as another value.
fn damaged_value(data: &[u8]) {
    let Some((how, payload)) = data.split_first_chunk::<4>() else { return };
    let keys = Keys::new(&feed());
    let (here, elsewhere) = (keys.of(Name::Hour(5)), keys.of(Name::Hour(6)));
    let value = frame::seal(&here, payload);
    assert_eq!(frame::open(&here, &value), Ok(payload));
    assert!(matches!(frame::open(&elsewhere, &value), Err(FrameError::Damaged(_))), "it strayed");
    let (half, _) = payload.split_at(payload.len() / 2);
    let other = frame::seal(&here, half);
    let damaged = damage(&value, 9, *how, &other);
    match frame::open(&here, &damaged) {
        Ok(_) => assert!(damaged == value || damaged == other, "{damaged:?} passes for what was written"),
        Err(why) => assert!(damaged != value && matches!(why, FrameError::Damaged(_)), "{why:?}"),
    }
}

/// A witness is read as it was written, or called damaged, or newer.
fn any_witness(data: &[u8]) {
    let Some((how, text)) = data.split_first_chunk::<4>() else { return };
    let entries = |number: u8| -> Seen {
        let filter = String::from_utf8_lossy(text).into_owned();
        let n = i64::from(number);
        let entry = witness::Entry {
            feed: feed(),
            generation: u64::from(number),
            floor: Time(START + n),
            begin: Time(START - n),
            filter,
            epoch: 1,
        };
        let feeds: BTreeMap<_, _> = [(entry.feed.clone(), entry)].into();
        Seen { state: u64::from(number), feeds }
    };
    let (written, other) = (entries(how[3]), entries(how[3] ^ 1));
    let [bytes, other_bytes] = [&written, &other].map(|entries| witness::document(entries).unwrap());
    assert_eq!(witness::check(&bytes), Ok(Found::Whole(written.clone())));
    match witness::check(&damage(&bytes, 0, *how, &other_bytes)) {
        Ok(Found::Whole(found)) => assert!(found == written || found == other, "{found:?} was never written"),
        Ok(Found::Damaged(_)) => {}
        found => panic!("{found:?} of damage"),
    }
    // Any text may stand there.
    if let Ok(Found::Whole(found)) = witness::check(text) {
        assert_eq!(witness::check(&witness::document(&found).unwrap()), Ok(Found::Whole(found)));
    }
}

/// A store that was committed to reads as it was; one of whose values is damaged, older or missing says so.
fn damaged_store(data: &[u8]) {
    let Some(([which, how @ ..], script)) = data.split_first_chunk::<5>() else { return };
    let mut store = MemoryStore::new();
    let mut older = store.clone();
    for (n, step) in script.chunks(8).take(12).enumerate() {
        older = store.clone();
        let batch = Batch { claim: claim(n as i64, step), lines: Vec::new(), line_count: 0, dead: Vec::new() };
        let receipt = MemorySink::new().write(batch).unwrap();
        match store.commit(receipt) {
            Ok(()) => {}
            // Blobs that are done twice under one claim, and the like, are refused whole.
            Err(StoreError::Unbalanced { .. }) => assert_eq!(store, older),
            Err(error) => panic!("{error}"),
        }
    }
    let scan = Scan::of(&store.values).unwrap();
    assert!(!scan.is_damaged() && scan.feeds.values().all(|feed| feed.intact), "{:?}", scan.findings);
    assert_eq!(store.verify(), Ok(Vec::new()));
    let restored = store.restore(&feed()).unwrap();
    assert_eq!(restored, store.clone().restore(&feed()).unwrap());

    let Some((key, value)) = store.values.iter().nth(usize::from(*which) % store.values.len().max(1)) else { return };
    let (key, value) = (key.clone(), value.clone());
    let mut spoilt = store.clone();
    match (how[0] / 6 % 3, older.values.get(&key)) {
        // Whole by itself, but of the commit before.
        (1, Some(old)) => drop(spoilt.values.insert(key.clone(), old.clone())),
        (2, _) => drop(spoilt.values.remove(&key)),
        (_, old) => {
            let torn = damage(&value, 9, *how, old.unwrap_or(&Vec::new()));
            spoilt.values.insert(key.clone(), torn);
        }
    }
    // A store that is empty, or all as it was one commit ago, is whole in itself: that is what the witness is for. What of it
    // is stored counts: the memory of records beside it can differ by a day without any.
    let gone_back = spoilt.values == older.values || spoilt.values.is_empty();
    if spoilt.values != store.values && !gone_back {
        let scan = Scan::of(&spoilt.values).expect("damage is a finding");
        assert!(scan.is_damaged(), "{}: nobody sees that it is spoilt", String::from_utf8_lossy(&key));
        assert!(!scan.feeds.get(&feed()).is_some_and(|feed| feed.intact));
    }
}

/// What eight bytes say that is claimed at the `n`th commit.
fn claim(n: i64, step: &[u8]) -> Claim {
    let byte = |at: usize| step.get(at).copied().unwrap_or_default();
    let at = START + (n + 1) * HOUR;
    let entry = |n: i64, created: i64| BlobEntry {
        id: ContentId(format!("20260301$blob{n}$audit_general")),
        uri: format!("https://example.test/{n}"),
        created: Time(created),
        expires: None,
    };
    let created = |spread: u8| at - i64::from(spread) * 60_000;
    let blobs = (0..i64::from(byte(0) % 40)).map(|b| entry(b + i64::from(byte(1)), created(byte(2) / 2 + b as u8)).key());
    let size = u64::from(byte(3));
    let counts = Counts { read: size * 2, delivered: size, filtered: size, duplicate: 0, dead_lettered: 0 };
    let gap = entry(1000 + i64::from(byte(4) % 8), created(byte(4)));
    let gap = Gap {
        id: GapId::of_blob(gap.key()),
        reason: GapReason::ALL[usize::from(byte(5)) % GapReason::ALL.len()],
        from: gap.created,
        to: gap.created,
        blob: Some(GapBlob { entry: gap, attempts: 1, accepted: None }),
        provisional: byte(5) & 0x40 != 0,
        closed: None,
        found: Time(at),
        detail: "made up".repeat(usize::from(byte(5) >> 4)),
    };
    Claim {
        feed: feed(),
        at: Time(at),
        floor: Time(at - i64::from(byte(6)) * 60_000),
        begin: Time(START - 7 * 24 * HOUR),
        filter: if byte(7) & 7 == 7 { "28".into() } else { "28,41,47,64".into() },
        done: blobs.map(|key| (key, counts)).collect(),
        parts: Vec::new(),
        gaps: if byte(7) & 8 == 0 { Vec::new() } else { vec![gap] },
        records: (0..byte(4))
            .map(|n| RecordPrint { created: Time(at), hash: u128::from(n) << 64 | u128::from(byte(6)) })
            .collect(),
        subscription_start: None,
        forget_before: Time(at - i64::from(byte(7)) * HOUR / 8),
    }
}
