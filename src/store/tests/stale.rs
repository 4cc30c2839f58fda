//! What is whole but old: a single value, a whole store, a witness. And what is whole and newer than this release.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::super::copy::TREE;
use super::super::edit::{Values, Writes};
use super::super::{Engine, StoreError, frame, inspect};
use super::damage::{Outcome, asked_for, files, scratch, survive, tell};
use super::opening::copy;
use super::truth::History;
use super::*;
use crate::domain::Part;

/// A state, all values that its keys ever had, and the state as it was after some of its commits.
struct Past {
    dir: tempfile::TempDir,
    history: History,
    values: BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>,
    earlier: Vec<tempfile::TempDir>,
}

/// Two feeds, in turn. Each pair of commits is a process of its own.
fn past() -> Past {
    let (dir, mut history) = (scratch(), History::default());
    let mut values = BTreeMap::<Vec<u8>, Vec<Option<Vec<u8>>>>::new();
    let mut earlier = Vec::new();
    for round in 0..8 {
        let mut store = open(dir.path()).0;
        for n in 1..3 {
            let at = START + round * HOUR / 4;
            let mut claim = claim(&feed(n), at);
            // Some commits change nothing but the root.
            if round % 3 != 2 {
                claim.done = (0..3).map(|b| (blob(10 * round + b, START - HOUR), counts(1))).collect();
                claim.parts.push(Part { key: blob(900, START), elements: 1 + round as u64, digest: 5, counts: counts(1) });
                claim.gaps.push(gap(-1, START - 2 * HOUR, GapReason::Unreadable, round < 6));
                claim.gaps.push(gap(-2 - round, START - 2 * HOUR, GapReason::NotFound, true));
                if round > 0 {
                    claim.done.push((blob(-1 - round, START - 2 * HOUR), counts(2)));
                }
            }
            history.commit(&mut store, n, claim);
        }
        for (key, value) in all(&store.engine) {
            let had = values.entry(key).or_insert_with(|| vec![None]);
            if had.last() != Some(&value) {
                had.push(value);
            }
        }
        store.close().unwrap();
        let was = scratch();
        copy(dir.path(), was.path());
        earlier.push(was);
    }
    Past { dir, history, values, earlier }
}

fn all(values: &dyn Values) -> Writes {
    let mut all = Writes::new();
    let mut note = |key: &[u8], value: &[u8]| {
        all.insert(key.to_vec(), Some(value.to_vec()));
        Ok(ControlFlow::Continue(()))
    };
    values.walk(&[], &[0xff], &mut note).unwrap();
    all
}

#[test]
fn a_value_as_it_was_before_is_found_out_whichever_it_is() {
    let past = past();
    let now = all(&Engine::open(&past.dir.path().join(TREE), past.dir.path()).unwrap());
    let cases: Vec<_> = past
        .values
        .iter()
        .flat_map(|(key, had)| had.iter().map(move |value| (key, value)))
        .filter(|(key, value)| now.get(*key).cloned().flatten() != **value)
        .collect();
    let (most, loud) = asked_for(60);
    let every = cases.len().div_ceil(most.max(1)).max(1);
    let mut outcomes = BTreeMap::<Outcome, u32>::new();
    for (key, value) in cases.iter().step_by(every) {
        let place = scratch();
        copy(past.dir.path(), place.path());
        let engine = Engine::open(&place.path().join(TREE), place.path()).unwrap();
        engine.apply([((*key).clone(), (*value).clone())].into()).unwrap();
        engine.close().unwrap();
        let what =
            format!("{} as it was before ({})", String::from_utf8_lossy(key), if value.is_some() { "older" } else { "missing" });
        let outcome = survive(place.path(), &past.history, &what);
        assert_eq!(outcome, Outcome::Noticed, "{what}");
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert!(outcomes[&Outcome::Noticed] > 20, "{outcomes:?} of {}", cases.len());
    if loud {
        tell(&format!(
            "store, stale but whole values: {} cases tried of {}: {outcomes:?}; 0 false statements",
            cases.iter().step_by(every).count(),
            cases.len()
        ));
    }
}

#[test]
fn an_older_store_under_a_newer_witness_is_noticed() {
    let past = past();
    for (n, was) in past.earlier.iter().enumerate().take(past.earlier.len() - 1) {
        let place = scratch();
        copy(&was.path().join(TREE), &place.path().join(TREE));
        fs::copy(past.dir.path().join("witness.json"), place.path().join("witness.json")).unwrap();
        assert_eq!(survive(place.path(), &past.history, &format!("the store of round {n}")), Outcome::Noticed);
    }
}

#[test]
fn an_older_witness_under_a_newer_store_or_none_costs_nothing() {
    let past = past();
    for was in past.earlier.iter().map(Some).chain([None]) {
        let place = scratch();
        copy(past.dir.path(), place.path());
        let witness = place.path().join("witness.json");
        match was {
            Some(was) => drop(fs::copy(was.path().join("witness.json"), witness)),
            None => fs::remove_file(witness).unwrap(),
        }
        let mut store = open(place.path()).0;
        for n in past.history.feeds() {
            assert_eq!(&restored(&mut store, n), past.history.last(n), "the newest is there");
        }
        drop(store);
        assert_eq!(survive(place.path(), &past.history, "an older witness"), Outcome::Unharmed);
    }
}

#[test]
fn an_older_state_as_a_whole_is_a_true_one() {
    // A restored backup: nothing tells that it is one, and everything that it says is true.
    let past = past();
    for was in &past.earlier {
        assert_eq!(survive(was.path(), &past.history, "a backup"), Outcome::Unharmed);
    }
}

/// Every file and its content, but the lock, which names who looked last.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(dir).into_iter().filter(|file| !file.ends_with("lock"));
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

#[test]
fn a_newer_tree_and_a_newer_witness_are_refused_with_nothing_touched() {
    let past = past();
    let newer_tree = |dir: &Path| {
        fs::rename(dir.join(TREE), dir.join("sled.v2")).unwrap();
    };
    let newer_beside = |dir: &Path| copy(&dir.join(TREE), &dir.join("sled.v2"));
    let newer_witness = |dir: &Path| {
        let (body, version) = (r#"{"feeds":[],"something":"new"}"#, 2_u8);
        let mut hasher = siphasher::sip::SipHasher13::new();
        std::hash::Hasher::write_u8(&mut hasher, version);
        std::hash::Hasher::write(&mut hasher, body.as_bytes());
        let sum = std::hash::Hasher::finish(&hasher);
        fs::write(dir.join("witness.json"), format!(r#"{{"version":2,"body":{body},"checksum":"{sum:016x}"}}"#)).unwrap();
    };
    for make in [&newer_tree as &dyn Fn(&Path), &newer_beside, &newer_witness] {
        let place = scratch();
        copy(past.dir.path(), place.path());
        make(place.path());
        let before = content(place.path());
        for _ in 0..2 {
            let error = SledStore::open(place.path()).err().unwrap();
            assert!(matches!(error, StoreError::Newer { version: 2, .. }), "{error}");
            assert!(error.to_string().contains("newer release") && error.to_string().contains("left untouched"), "{error}");
            assert!(matches!(inspect(place.path()), Err(StoreError::Newer { .. })));
            assert!(content(place.path()) == before, "{error}");
        }
    }
}

#[test]
fn a_newer_value_among_ours_is_refused_and_every_value_stays() {
    let past = past();
    let key = b"v1/11111111-0000-4000-8000-000000000001/Audit.General/root".to_vec();
    let mut value = all(&Engine::open(&past.dir.path().join(TREE), past.dir.path()).unwrap())[&key].clone().unwrap();
    frame::make_newer(&key, &mut value);
    let engine = Engine::open(&past.dir.path().join(TREE), past.dir.path()).unwrap();
    engine.apply([(key, Some(value))].into()).unwrap();
    let before = all(&engine);
    engine.close().unwrap();
    for _ in 0..2 {
        assert!(matches!(SledStore::open(past.dir.path()), Err(StoreError::Newer { version: 2, .. })));
    }
    assert_eq!(all(&Engine::open(&past.dir.path().join(TREE), past.dir.path()).unwrap()), before);
}

/// The state of this format that every later release has to read: `fixtures/state/v1`. It is made by
/// `UPDATE_GOLDEN=1 cargo test --lib store::tests::stale`, once a format, and never again.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/state/v1")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn a_state_that_the_first_release_wrote_is_read_as_it_was_written() {
    let past = past();
    let pack = golden();
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !pack.exists() {
        for (file, bytes) in content(past.dir.path()) {
            let name = file.strip_prefix(past.dir.path()).unwrap().to_str().unwrap().to_owned() + ".gz";
            fs::create_dir_all(pack.join(&name).parent().unwrap()).unwrap();
            fs::write(pack.join(name), packed(&bytes)).unwrap();
        }
    }
    let place = scratch();
    for file in files(&pack) {
        let name = file.strip_prefix(&pack).unwrap().to_str().unwrap().strip_suffix(".gz").unwrap().to_owned();
        fs::create_dir_all(place.path().join(&name).parent().unwrap()).unwrap();
        fs::write(place.path().join(name), unpacked(&fs::read(&file).unwrap())).unwrap();
    }
    let mut store = open_healthy(place.path());
    for n in past.history.feeds() {
        assert_eq!(&restored(&mut store, n), past.history.last(n));
    }
    drop(store);
    assert_eq!(survive(place.path(), &past.history, "the golden state"), Outcome::Unharmed);
}
