//! Opening: first, again, at once twice, unwritable, newer, behind its witness, without its state.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::copy::TREE;
use super::super::{EpochReason, StartedFrom, StoreError, frame, inspect, verify};
use super::*;

/// A state with two feeds, closed in order.
fn filled(dir: &Path) {
    let mut store = open(dir).0;
    for n in 0..6 {
        for of in 1..3 {
            let mut claim = claim(&feed(of), START + n * 60_000);
            claim.done.push((blob(n, START - n * HOUR), counts(1)));
            store.commit(receipt(claim)).unwrap();
        }
    }
    store.close().unwrap();
}

fn start_of(report: &OpenReport, n: u32) -> &super::super::FeedStart {
    report.feeds.iter().find(|start| start.tenant_id == feed(n).tenant.as_str()).unwrap()
}

#[test]
fn the_first_start_is_told_from_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("new/state");
    let (mut store, report) = open(&state);
    assert_eq!(report.condition, Condition::FirstStart);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(restored(&mut store, 1), Restored::default());
    store.close().unwrap();
    assert_eq!(open(&state).1.condition, Condition::FirstStart, "nothing was committed yet");
    filled(&state);
    let (mut store, report) = open(&state);
    assert_eq!(report.condition, Condition::Healthy);
    assert_eq!((start_of(&report, 1).from, start_of(&report, 1).done), (StartedFrom::State, 6));
    assert_eq!(restored(&mut store, 1).done.len(), 6);
}

#[test]
fn a_commit_survives_a_store_that_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).0;
    store.commit(receipt(claim(&feed(1), START))).unwrap();
    drop(store);
    assert_eq!(restored(&mut open_healthy(dir.path()), 1).committed, Some(Time(START)));
}

#[test]
fn two_at_once_can_not_open_and_the_first_is_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = open(dir.path()).0;
    let pid = std::process::id();
    for error in [SledStore::open(dir.path()).err().unwrap(), inspect(dir.path()).unwrap_err(), verify(dir.path()).unwrap_err()] {
        assert!(matches!(error, StoreError::Locked { pid: Some(p), .. } if p == pid), "{error}");
    }
    first.commit(receipt(claim(&feed(1), START))).unwrap();
    first.close().unwrap();
    open_healthy(dir.path());
}

#[test]
fn where_nothing_can_be_written_nothing_is_touched() {
    for place in ["/proc/defender-feed", "/dev/null/state"] {
        let error = SledStore::open(Path::new(place)).err().unwrap();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{place}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = SledStore::open(&dir.path().join("file")).err().unwrap();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert_eq!(inspect(&dir.path().join("missing")).unwrap().feeds, Vec::new());
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn a_directory_that_others_can_write_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (_, report) = open(dir.path());
    assert!(report.warnings[0].contains("chmod 700"), "{:?}", report.warnings);
}

#[test]
fn an_unfinished_snapshot_is_moved_aside_and_nothing_is_lost() {
    for content in [&b""[..], b"short", b"long enough to have a trailer of the wrong kind"] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let before = restored(&mut open_healthy(dir.path()), 1);
        fs::write(dir.path().join(TREE).join("snap.00000000FFFFFFFF.generating"), content).unwrap();
        let (mut store, report) = open(dir.path());
        assert_eq!(report.condition, Condition::Healthy);
        assert_eq!(report.set_aside.len(), 1);
        assert!(report.set_aside[0].exists());
        assert_eq!(restored(&mut store, 1), before);
    }
}

#[test]
fn an_unfinished_or_missing_conf_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let conf = dir.path().join(TREE).join("conf");
    let whole = fs::read(&conf).unwrap();
    for length in 0..whole.len() {
        fs::write(&conf, &whole[..length]).unwrap();
        drop(open_healthy(dir.path()));
    }
    fs::remove_file(&conf).unwrap();
    assert_eq!(restored(&mut open_healthy(dir.path()), 2).done.len(), 6);
}

#[test]
fn looking_changes_nothing_not_even_what_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let db = dir.path().join(TREE).join("db");
    let broken: Vec<u8> = fs::read(&db).unwrap().iter().map(|byte| byte ^ 0x5a).collect();
    fs::write(&db, broken).unwrap();
    fs::write(dir.path().join(TREE).join("snap.00000000FFFFFFFF.generating"), "cut").unwrap();
    let files = || {
        let mut files: Vec<_> =
            fs::read_dir(dir.path()).unwrap().chain(fs::read_dir(dir.path().join(TREE)).unwrap()).flatten().collect();
        files.sort_by_key(fs::DirEntry::path);
        files.into_iter().map(|file| (file.path(), fs::read(file.path()).unwrap_or_default())).collect::<Vec<_>>()
    };
    let before = files();
    assert!(!verify(dir.path()).unwrap().ok);
    inspect(dir.path()).unwrap();
    assert!(before == files());
}

#[test]
fn a_state_that_vanished_starts_from_its_witness() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let before = restored(&mut open_healthy(dir.path()), 1);
    fs::remove_dir_all(dir.path().join(TREE)).unwrap();
    assert!(verify(dir.path()).unwrap().findings.iter().all(|finding| finding.kind == "witness"));
    assert_eq!(verify(dir.path()).unwrap().findings.len(), 2);
    assert_eq!(inspect(dir.path()).unwrap().witness.len(), 2);
    let (mut store, report) = open(dir.path());
    assert_eq!(report.condition, Condition::Vanished);
    assert_eq!(start_of(&report, 1).from, StartedFrom::Witness);
    let after = restored(&mut store, 1);
    assert_eq!((after.floor, after.begin, after.filter), (before.floor, before.begin, before.filter));
    assert!(after.done.is_empty());
    assert_eq!(store.inspect().unwrap().feeds[0].epoch.why, EpochReason::Vanished);
    store.close().unwrap();
    open_healthy(dir.path());
}

#[test]
fn a_state_that_went_back_is_noticed_and_never_further_forward_than_its_witness() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let old = tempfile::tempdir().unwrap();
    copy(dir.path(), old.path());
    let before = restored(&mut open_healthy(dir.path()), 1);
    let mut store = open_healthy(dir.path());
    let mut more = claim(&feed(1), START + 5 * HOUR);
    more.done.push((blob(77, START + 4 * HOUR), counts(1)));
    store.commit(receipt(more)).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join(TREE)).unwrap();
    copy(&old.path().join(TREE), &dir.path().join(TREE));
    let (mut store, report) = open(dir.path());
    assert!(matches!(&report.condition, Condition::RolledBack { moved_to } if moved_to.is_dir()), "{report:?}");
    assert_eq!((start_of(&report, 1).from, start_of(&report, 2).from), (StartedFrom::OlderState, StartedFrom::State));
    let after = restored(&mut store, 1);
    assert_eq!((after.floor, &after.done), (before.floor, &before.done));
    let view = store.inspect().unwrap().feeds.remove(0);
    assert_eq!((view.epoch.number, view.epoch.why), (2, EpochReason::RolledBack));
    store.close().unwrap();
    open_healthy(dir.path());
}

#[test]
fn a_state_that_went_back_behind_a_change_of_filter_takes_the_newer_filter() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let old = tempfile::tempdir().unwrap();
    copy(dir.path(), old.path());
    let mut store = open_healthy(dir.path());
    let mut wider = claim(&feed(1), START + HOUR);
    (wider.filter, wider.floor) = ("all".into(), Time(START - 3 * HOUR));
    store.commit(receipt(wider.clone())).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join(TREE)).unwrap();
    copy(&old.path().join(TREE), &dir.path().join(TREE));
    let (mut store, _) = open(dir.path());
    let after = restored(&mut store, 1);
    assert_eq!((after.floor, after.filter), (Some(wider.floor), Some("all".into())));
    assert_eq!(after.done, done(&[blob(4, START - 4 * HOUR), blob(5, START - 5 * HOUR)]));
    store.close().unwrap();
    assert_eq!(verify(dir.path()).unwrap().findings, Vec::new());
}

#[test]
fn a_damaged_witness_is_moved_aside_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    fs::write(dir.path().join("witness.json"), "{").unwrap();
    assert!(!verify(dir.path()).unwrap().ok);
    let (store, report) = open(dir.path());
    assert_eq!(report.condition, Condition::Healthy);
    assert!(report.warnings[0].contains("witness"));
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().ok);
}

#[test]
fn what_a_newer_release_wrote_is_refused_and_left_alone() {
    let newer_tree = tempfile::tempdir().unwrap();
    filled(newer_tree.path());
    fs::create_dir(newer_tree.path().join("sled.v2")).unwrap();
    let newer_value = tempfile::tempdir().unwrap();
    filled(newer_value.path());
    let store = open_healthy(newer_value.path());
    let key = b"v2/whatever".to_vec();
    let value = frame::seal(&key, b"whatever");
    store.engine.apply([(key, Some(value))].into()).unwrap();
    store.close().unwrap();
    for dir in [newer_tree.path(), newer_value.path()] {
        for _ in 0..2 {
            let error = SledStore::open(dir).err().unwrap();
            assert!(matches!(error, StoreError::Newer { version: 2, .. }), "{error}");
            assert!(matches!(inspect(dir), Err(StoreError::Newer { .. })));
        }
        assert!(dir.join(TREE).exists() && super::super::open::damaged(dir).is_empty());
    }
}

#[test]
fn after_a_failure_the_store_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).0;
    let mut bad = claim(&feed(1), START);
    bad.done.push((blob(1, START), Counts { read: 1, ..Counts::default() }));
    assert!(matches!(store.commit(receipt(bad)), Err(StoreError::Unbalanced { .. })));
    assert!(matches!(store.commit(receipt(claim(&feed(1), START))), Err(StoreError::Failed { .. })));
    assert!(matches!(store.restore(&feed(1)), Err(StoreError::Failed { .. })));
    assert!(matches!(store.close(), Err(StoreError::Failed { .. })));
}

#[test]
fn inspection_names_its_fields_in_a_stable_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).0;
    let mut said = claim(&feed(1), START);
    said.done.push((blob(1, START - HOUR), counts(1)));
    said.gaps.push(gap(2, START - HOUR, GapReason::Expired, false));
    store.commit(receipt(said)).unwrap();
    store.close().unwrap();
    let seen = serde_json::to_value(inspect(dir.path()).unwrap()).unwrap();
    let feed = &seen["feeds"][0];
    let expected = serde_json::json!({
        "blobs_listed": 2, "blobs_done": 1, "blobs_done_again": 0, "blobs_in_gaps": {"expired": 1},
        "records": {"read": 5, "delivered": 1, "filtered": 2, "duplicate": 1, "dead_lettered": 1},
    });
    assert_eq!(feed["ledger"], expected);
    let mut hour = expected;
    hour["from"] = "2026-03-01T11:00:00Z".into();
    assert_eq!(feed["hours"], serde_json::json!([hour]));
    assert_eq!((&feed["floor"], &feed["last_commit"]), (&"2026-03-01T11:00:00Z".into(), &"2026-03-01T12:00:00Z".into()));
    assert_eq!(feed["epoch"], serde_json::json!({"number": 1, "began": "2026-03-01T12:00:00Z", "why": "first_start"}));
    assert_eq!((&feed["gaps"][0]["state"], &feed["gaps"][0]["reason"]), (&"final".into(), &"expired".into()));
    assert_eq!(
        serde_json::to_value(verify(dir.path()).unwrap()).unwrap(),
        serde_json::json!({"ok": true, "feeds": 1, "findings": []})
    );
}

/// Copies a directory with everything below it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
