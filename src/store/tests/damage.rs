//! Damage of every kind: never a panic, never a refusal for good, never a state further forward than the truth.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::super::copy::TREE;
use super::super::edit::Values;
use super::super::key::{Keys, Name};
use super::super::{EpochReason, StartedFrom, inspect, verify};
use super::opening::copy;
use super::*;

/// A state of three feeds with a log long enough to have been recycled, and what is true of it.
struct Fixture {
    dir: tempfile::TempDir,
    truth: BTreeMap<u32, Restored>,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut store = open(dir.path()).0;
        for n in 0..60 {
            let mut claim = claim(&feed(n % 3 + 1), START + (round * 60 + i64::from(n)) * 60_000);
            claim.done = (0..60).map(|b| (blob(b, claim.at.0 - b * 400_000), counts(1))).collect();
            claim.gaps.push(gap(-i64::from(n), claim.at.0 - HOUR, GapReason::NotFound, true));
            store.commit(receipt(claim)).unwrap();
        }
        store.close().unwrap();
    }
    let mut store = open_healthy(dir.path());
    let truth = (1..4).map(|n| (n, restored(&mut store, n))).collect();
    store.close().unwrap();
    Fixture { dir, truth }
}

/// Opens a damaged copy, and holds what must hold whatever the damage was.
fn survives(state: &Path, truth: &BTreeMap<u32, Restored>, what: &str) -> OpenReport {
    let (mut store, report) = open(state);
    for (n, truth) in truth {
        let found = restored(&mut store, *n);
        assert!(found.floor.is_none() || found.floor <= truth.floor, "{what}: {:?}", report.condition);
        for (bucket, prints) in found.done.buckets() {
            let mut known = truth.done.buckets().filter(|(b, _)| *b == bucket);
            let known = known.next().map_or(&[][..], |(_, prints)| prints);
            assert!(prints.iter().all(|print| known.contains(print)), "{what}: a blob that never was done");
        }
        if report.condition == Condition::Healthy {
            assert_eq!(&found, truth, "{what}");
        } else {
            assert!(found.floor == truth.floor, "{what}: the witness knew the floor, {:?}", report);
        }
        store.commit(receipt(claim(&feed(*n), START + 100 * HOUR))).unwrap();
    }
    store.close().unwrap();
    if report.condition == Condition::Healthy {
        // Damage that no value shows can make sled lose later commits: found out at the next open, and rooted out by it.
        drop(open(state));
    }
    drop(open_healthy(state));
    assert_eq!(verify(state).unwrap().findings, Vec::new(), "{what}");
    report
}

/// xorshift64*: the damages are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below
    }
}

fn files(tree: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(tree).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

fn damage(tree: &Path, dice: &mut Dice) -> String {
    let files = files(tree);
    // Mostly the log: it has nearly all of the bytes.
    let file = if dice.roll(4) > 0 { tree.join("db") } else { files[dice.roll(files.len() as u64) as usize].clone() };
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len() as u64;
    let kind = if length == 0 { 5 } else { dice.roll(6) };
    match kind {
        0 | 1 => {
            for _ in 0..1 + dice.roll(8) {
                bytes[dice.roll(length) as usize] ^= 1 << dice.roll(8);
            }
        }
        2 => {
            let at = (dice.roll(length) / 512 * 512) as usize;
            let end = bytes.len().min(at + 512);
            bytes[at..end].fill(0);
        }
        3 => bytes.truncate(dice.roll(length) as usize),
        4 => {
            let at = dice.roll(length) as usize;
            for byte in bytes.iter_mut().skip(at).take(64) {
                *byte = dice.roll(256) as u8;
            }
        }
        _ => bytes = (0..dice.roll(4_000)).map(|_| dice.roll(256) as u8).collect(),
    }
    fs::write(&file, bytes).unwrap();
    format!("{} kind {kind}", file.display())
}

#[test]
fn hundreds_of_damages_are_survived() {
    let fixture = fixture();
    let mut dice = Dice(0x5eed);
    let (mut quarantined, mut unharmed) = (0, 0);
    for round in 0..150 {
        let place = tempfile::tempdir().unwrap();
        copy(fixture.dir.path(), place.path());
        let what = format!("round {round}: {}", damage(&place.path().join(TREE), &mut dice));
        let report = survives(place.path(), &fixture.truth, &what);
        match report.condition {
            Condition::Quarantined { moved_to, .. } => {
                assert!(moved_to.is_dir() && report.damaged.len() == 1, "{what}");
                quarantined += 1;
            }
            Condition::Healthy => unharmed += 1,
            _ => {}
        }
    }
    assert!(quarantined > 30 && unharmed > 30, "{quarantined} quarantined, {unharmed} unharmed");
}

#[test]
fn missing_and_foreign_files_are_survived() {
    let fixture = fixture();
    for file in files(&fixture.dir.path().join(TREE)) {
        for kind in 0..3 {
            let place = tempfile::tempdir().unwrap();
            copy(fixture.dir.path(), place.path());
            let target = place.path().join(TREE).join(file.file_name().unwrap());
            fs::remove_file(&target).unwrap();
            match kind {
                0 => {}
                1 => fs::create_dir(&target).unwrap(),
                _ => fs::write(&target, "a text that somebody saved under the wrong name\n".repeat(50)).unwrap(),
            }
            survives(place.path(), &fixture.truth, &format!("{} kind {kind}", file.display()));
        }
    }
}

#[test]
fn a_file_in_the_place_of_the_store_is_moved_away() {
    let fixture = fixture();
    fs::remove_dir_all(fixture.dir.path().join(TREE)).unwrap();
    fs::write(fixture.dir.path().join(TREE), "no store").unwrap();
    let report = survives(fixture.dir.path(), &fixture.truth, "a file");
    let Condition::Quarantined { moved_to, .. } = report.condition else { panic!("{report:?}") };
    assert_eq!(fs::read(moved_to).unwrap(), b"no store");
}

#[test]
fn a_value_that_is_whole_but_stale_is_found_out_and_harms_its_feed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).0;
    let at = START - HOUR;
    for n in 0..4 {
        for of in 1..3 {
            let mut claim = claim(&feed(of), START + n);
            claim.done.push((blob(n, at), counts(1)));
            claim.gaps.push(gap(100 + n, at, GapReason::NotFound, true));
            store.commit(receipt(claim)).unwrap();
        }
    }
    let intact = restored(&mut store, 2);
    let chunk = Keys::new(&feed(1)).of(Name::Done { bucket: DoneSet::bucket_of(Time(at)), chunk: 0 });
    let stale = store.engine.get(&chunk).unwrap().unwrap();
    let mut last = claim(&feed(1), START + 10);
    last.done.push((blob(9, at), counts(1)));
    store.commit(receipt(last)).unwrap();
    let before = restored(&mut store, 1);
    store.engine.apply([(chunk, Some(stale))].into()).unwrap();
    store.close().unwrap();

    assert!(!verify(dir.path()).unwrap().ok);
    assert!(inspect(dir.path()).unwrap().damage[0].contains("digest"));
    let (mut store, report) = open(dir.path());
    let Condition::Quarantined { why, .. } = &report.condition else { panic!("{report:?}") };
    assert!(why[0].contains("digest"), "{why:?}");
    let froms: Vec<_> = report.feeds.iter().map(|start| (start.from, start.done, start.open_gaps)).collect();
    assert_eq!(froms, [(StartedFrom::Witness, 0, 4), (StartedFrom::State, 4, 4)]);
    assert_eq!(restored(&mut store, 2), intact);
    let after = restored(&mut store, 1);
    assert_eq!((after.floor, after.gaps), (before.floor, before.gaps));
    let epochs = store.inspect().unwrap().feeds.into_iter().map(|view| (view.epoch.number, view.epoch.why));
    assert_eq!(epochs.collect::<Vec<_>>(), [(2, EpochReason::Damaged), (1, EpochReason::FirstStart)]);
    store.close().unwrap();
    open_healthy(dir.path());
    assert_eq!(verify(dir.path()).unwrap().findings, Vec::new());
}

#[test]
fn a_missing_value_and_an_orphan_are_found_out() {
    for name in [Name::Root, Name::Hour(START / HOUR - 1)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).0;
        let mut said = claim(&feed(1), START);
        said.done.push((blob(1, START - HOUR), counts(1)));
        store.commit(receipt(said)).unwrap();
        let key = Keys::new(&feed(1)).of(name);
        assert!(store.engine.get(&key).unwrap().is_some());
        store.engine.apply([(key, None)].into()).unwrap();
        store.close().unwrap();
        assert!(matches!(open(dir.path()).1.condition, Condition::Quarantined { .. }));
    }
}

#[test]
fn damage_without_a_witness_starts_like_the_first_time_and_says_so() {
    let fixture = fixture();
    fs::remove_file(fixture.dir.path().join("witness.json")).unwrap();
    fs::write(fixture.dir.path().join(TREE).join("db"), "gone").unwrap();
    let (mut store, report) = open(fixture.dir.path());
    assert!(matches!(report.condition, Condition::Quarantined { .. }));
    assert_eq!(restored(&mut store, 1), Restored::default());
}

#[test]
fn a_kill_while_intact_feeds_are_put_in_place_loses_none_of_them() {
    let fixture = fixture();
    // The damaged tree is away, the copy is not in its place yet.
    fs::rename(fixture.dir.path().join(TREE), fixture.dir.path().join("salvage")).unwrap();
    let mut store = open_healthy(fixture.dir.path());
    assert_eq!(&restored(&mut store, 2), &fixture.truth[&2]);
}
