//! Damage at random places of every file: never a panic, never a refusal for good, never a state further forward than the truth.
//!
//! `cargo test` tries some dozens of each kind. `DEFENDER_FEED_DAMAGE=1000 cargo test --lib store::tests::damage` tries so many of
//! each and prints what became of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::super::copy::TREE;
use super::super::edit::Values;
use super::super::key::{Keys, Name};
use super::super::{EpochReason, StartedFrom, inspect, verify};
use super::opening::copy;
use super::truth::{History, witness_of};
use super::*;
use crate::domain::Part;

/// A state directory, and what is true of it.
pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) history: History,
}

/// Commits of each process that made it.
const TURNS: i64 = 30;

/// A directory in memory, if there is such a place: what is tried here has nothing to do with a disk, and waits for none.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::Builder::new().tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// Three feeds with a log long enough to have been recycled: one changes its filter, one has values so large that sled keeps them in
/// files of their own. The last process was `killed`, so that its witness is behind, or it ended in order.
///
/// With a `shift` in hours it is another state: of the same feeds, with other blobs at other times.
pub(super) fn fixture(shift: i64, killed: bool) -> Fixture {
    let dir = scratch();
    let mut history = History::default();
    for round in 0..3 {
        let mut store = open(dir.path()).0;
        for turn in 0..TURNS {
            let n = turn as u32 % 3 + 1;
            let mut claim = claim(&feed(n), START + shift * HOUR + (round * TURNS + turn) * 60_000);
            let at = claim.at.0;
            claim.done = (0..20).map(|b| (blob(1_000 * shift + b, at - b * 400_000), counts(1))).collect();
            claim.parts.push(Part { key: blob(500 + turn, at - HOUR), elements: 7, digest: at as u128, counts: counts(1) });
            claim.gaps.push(gap(-turn, at - HOUR, GapReason::NotFound, true));
            claim.gaps.push(gap(-1000 - turn, at - 2 * HOUR, GapReason::Expired, false));
            claim.subscription_start = Some(Time(at - HOUR));
            if n == 2 && round > 0 {
                claim.filter = "all".into();
            }
            if n == 3 {
                claim.filter = "28,".repeat(50_000);
                claim.done.truncate(2);
            }
            history.commit(&mut store, n, claim);
        }
        if round < 2 || !killed {
            store.close().unwrap();
        }
    }
    Fixture { dir, history }
}

/// Ended in order, and killed.
static STATES: LazyLock<[Fixture; 2]> = LazyLock::new(|| [fixture(0, false), fixture(0, true)]);

/// What became of a damaged state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// No value had changed, or an older commit was there, no older than the witness.
    Unharmed,
    /// It was noticed at once; the damaged store was kept.
    Noticed,
    /// It was noticed at the opening after the next commits; the damaged store was kept.
    NoticedLater,
    /// The files were gone, which was noticed.
    Gone,
}

/// Opens a damaged state, holds what must hold whatever the damage was, goes on with it, and opens it again.
pub(super) fn survive(state: &Path, history: &History, what: &str) -> Outcome {
    let mut truth = history.continued();
    let mut openings = 0;
    let mut opening = |nth: &str| {
        openings += 1;
        let witness = witness_of(state);
        quiet_about_sled();
        let (mut store, report) = SledStore::open(state).unwrap_or_else(|error| panic!("{what}: the {nth} opening: {error}"));
        for n in history.feeds() {
            let found = restored(&mut store, n);
            truth
                .judge(n, &found, &report, &witness)
                .unwrap_or_else(|wrong| panic!("{what}: the {nth} opening: {wrong}\n{report:?}"));
        }
        kept(&report, what);
        for n in history.feeds() {
            let at = START + 100 * HOUR;
            let mut claim = claim(&feed(n), at);
            claim.filter.clone_from(history.last(n).filter.as_ref().unwrap());
            claim.done.push((blob(-openings, at - HOUR), counts(1)));
            store.commit(receipt(claim)).unwrap_or_else(|error| panic!("{what}: a commit after the {nth} opening: {error}"));
            truth.after.remember(n, restored(&mut store, n));
        }
        store.close().unwrap_or_else(|error| panic!("{what}: closing after the {nth} opening: {error}"));
        report.condition
    };
    let mut outcome = match opening("first") {
        Condition::Healthy => Outcome::Unharmed,
        Condition::Vanished | Condition::FirstStart => Outcome::Gone,
        Condition::RolledBack { .. } | Condition::Quarantined { .. } => Outcome::Noticed,
    };
    if opening("second") != Condition::Healthy {
        // Damage in a place that is not read can make sled lose later commits. The witness tells, and then it is rooted out.
        assert_eq!(outcome, Outcome::Unharmed, "{what}: what was noticed once is over");
        outcome = Outcome::NoticedLater;
        assert_eq!(opening("third"), Condition::Healthy, "{what}");
    }
    let after: Vec<Restored> = history.feeds().map(|n| truth.after.states(n).last().unwrap().clone()).collect();
    let mut store = open_healthy(state);
    let found: Vec<Restored> = history.feeds().map(|n| restored(&mut store, n)).collect();
    assert_eq!(found, after, "{what}: what was committed since is there");
    store.close().unwrap();
    assert_eq!(verify(state).unwrap().findings, Vec::new(), "{what}");
    outcome
}

/// The evidence of what was noticed is there.
fn kept(report: &OpenReport, what: &str) {
    if let Condition::RolledBack { moved_to } | Condition::Quarantined { moved_to, .. } = &report.condition {
        assert!(moved_to.symlink_metadata().is_ok(), "{what}: {} is not there", moved_to.display());
        let name = moved_to.file_name().unwrap();
        assert!(report.damaged.iter().any(|path| path.file_name() == Some(name)), "{what}: {report:?}");
    }
}

/// xorshift64*: the damages are the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below as u64) as usize
    }
}

/// Every file below a directory.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// The kinds of files in a state directory.
const FAMILIES: [&str; 6] = ["sled.v1/db", "sled.v1/conf", "sled.v1/snap.", "sled.v1/blobs/", "witness.json", "lock"];

/// What became of all that was tried.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<Outcome, u32>,
    files: BTreeMap<String, u32>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in [Outcome::Unharmed, Outcome::Noticed, Outcome::NoticedLater, Outcome::Gone] {
            write!(f, " {outcome:?} {},", self.outcomes.get(&outcome).unwrap_or(&0))?;
        }
        write!(f, " of which in {:?}", self.files)
    }
}

/// How many of each kind, and whether somebody wants to read about it.
pub(super) fn asked_for(usual: usize) -> (usize, bool) {
    let asked = std::env::var("DEFENDER_FEED_DAMAGE").ok().map(|n| n.parse().expect("DEFENDER_FEED_DAMAGE is a number"));
    (asked.unwrap_or(usual), asked.is_some())
}

/// Past the harness, which shows only what a failed test has printed.
pub(super) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tries one kind of damage so often.
fn tried(kind: &str, seed: u64, damage: impl Fn(&mut Vec<u8>, &mut Dice)) -> Tally {
    let (times, loud) = asked_for(40);
    let mut tally = Tally::default();
    for n in 0..times {
        let mut dice = Dice(seed ^ (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let fixture = &STATES[dice.roll(2)];
        let place = scratch();
        copy(fixture.dir.path(), place.path());
        let files = files(place.path());
        // Half of it in the log, which has nearly all of the bytes and all of the values; the rest in each of the others alike.
        let family = if dice.roll(2) == 0 { FAMILIES[0] } else { FAMILIES[dice.roll(FAMILIES.len())] };
        let of_family: Vec<_> = files.iter().filter(|file| file.display().to_string().contains(family)).collect();
        let file = of_family[dice.roll(of_family.len())].clone();
        let mut bytes = fs::read(&file).unwrap();
        if bytes.is_empty() {
            continue;
        }
        damage(&mut bytes, &mut dice);
        fs::write(&file, bytes).unwrap();
        let name = file.strip_prefix(place.path()).unwrap().display().to_string();
        let outcome = survive(place.path(), &fixture.history, &format!("{kind} {n} in {name}"));
        *tally.outcomes.entry(outcome).or_default() += 1;
        *tally.files.entry(family.to_owned()).or_default() += 1;
    }
    if loud {
        tell(&format!("store, {kind}: {times} tried:{tally}; 0 panics, 0 false statements, 0 refusals"));
    }
    tally
}

/// A test that never meets a damage which is noticed, or one that is not, tries the wrong places.
fn meets_both(tally: &Tally) {
    let of = |outcome| tally.outcomes.get(&outcome).copied().unwrap_or(0);
    let (noticed, unharmed) = (of(Outcome::Noticed), of(Outcome::Unharmed));
    assert!(noticed > 2 && unharmed > 2, "{tally}");
}

#[test]
fn flipped_bits() {
    let tally = tried("flipped bits", 0x5eed, |bytes, dice| {
        // One, or a few at once.
        let flips = if dice.roll(4) > 0 { 1 } else { 2 + dice.roll(7) };
        for _ in 0..flips {
            let at = dice.roll(bytes.len());
            bytes[at] ^= 1 << dice.roll(8);
        }
    });
    meets_both(&tally);
}

#[test]
fn zeroed_sectors() {
    let tally = tried("zeroed sectors", 0x2e20, |bytes, dice| {
        let at = dice.roll(bytes.len()) / 512 * 512;
        let end = bytes.len().min(at + 512);
        bytes[at..end].fill(0);
    });
    meets_both(&tally);
}

#[test]
fn truncations() {
    let tally = tried("truncations", 0xc07, |bytes, dice| bytes.truncate(dice.roll(bytes.len())));
    meets_both(&tally);
}

#[test]
fn stretches_of_garbage() {
    let tally = tried("stretches of garbage", 0x6a5, |bytes, dice| {
        let at = dice.roll(bytes.len());
        let length = 1 + dice.roll(4096);
        bytes.iter_mut().skip(at).take(length).for_each(|byte| *byte = dice.roll(256) as u8);
    });
    meets_both(&tally);
}

#[test]
fn a_file_in_the_place_of_the_store_is_moved_away() {
    let fixture = fixture(0, false);
    fs::remove_dir_all(fixture.dir.path().join(TREE)).unwrap();
    fs::write(fixture.dir.path().join(TREE), "no store").unwrap();
    let report = open(fixture.dir.path()).1;
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
    let fixture = fixture(0, false);
    fs::remove_file(fixture.dir.path().join("witness.json")).unwrap();
    fs::write(fixture.dir.path().join(TREE).join("db"), "gone").unwrap();
    let (mut store, report) = open(fixture.dir.path());
    assert!(matches!(report.condition, Condition::Quarantined { .. }));
    assert_eq!(restored(&mut store, 1), Restored::default());
}

#[test]
fn a_kill_while_intact_feeds_are_put_in_place_loses_none_of_them() {
    let fixture = fixture(0, false);
    // The damaged tree is away, the copy is not in its place yet.
    fs::rename(fixture.dir.path().join(TREE), fixture.dir.path().join("salvage")).unwrap();
    let mut store = open_healthy(fixture.dir.path());
    assert_eq!(&restored(&mut store, 2), fixture.history.last(2));
}
