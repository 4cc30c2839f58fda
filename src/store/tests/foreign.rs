//! What does not belong there: things of another kind in the place of files, and the files of another state.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::copy::TREE;
use super::super::{inspect, verify};
use super::damage::{Fixture, Outcome, files, fixture, scratch, survive};
use super::opening::copy;
use super::*;

static STATE: LazyLock<Fixture> = LazyLock::new(|| fixture(0, false));
/// Another state, of the same feeds.
static OTHER: LazyLock<Fixture> = LazyLock::new(|| fixture(36, false));

/// What stands where something else should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Nothing,
    EmptyFile,
    Garbage,
    EmptyDirectory,
    FullDirectory,
    LinkToNowhere,
    LinkToItself,
    /// To a file that is none of ours.
    LinkToFile,
    Fifo,
    Socket,
}

const THINGS: [Thing; 10] = [
    Thing::Nothing,
    Thing::EmptyFile,
    Thing::Garbage,
    Thing::EmptyDirectory,
    Thing::FullDirectory,
    Thing::LinkToNowhere,
    Thing::LinkToItself,
    Thing::LinkToFile,
    Thing::Fifo,
    Thing::Socket,
];

const GARBAGE: &[u8] = b"a text that somebody saved under the wrong name\n";

impl Thing {
    fn put(self, at: &Path, elsewhere: &Path) {
        match fs::symlink_metadata(at) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(at).unwrap(),
            Ok(_) => fs::remove_file(at).unwrap(),
            Err(_) => {}
        }
        match self {
            Thing::Nothing => {}
            Thing::EmptyFile => fs::write(at, "").unwrap(),
            Thing::Garbage => fs::write(at, GARBAGE.repeat(50)).unwrap(),
            Thing::EmptyDirectory => fs::create_dir(at).unwrap(),
            Thing::FullDirectory => {
                fs::create_dir(at).unwrap();
                fs::write(at.join("db"), GARBAGE.repeat(50)).unwrap();
                fs::create_dir(at.join("blobs")).unwrap();
            }
            Thing::LinkToNowhere => symlink("/nonexistent/nowhere", at).unwrap(),
            Thing::LinkToItself => symlink(at, at).unwrap(),
            Thing::LinkToFile => symlink(elsewhere, at).unwrap(),
            Thing::Socket => drop(UnixListener::bind(at).unwrap()),
            Thing::Fifo => mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        }
    }
}

/// Survives, and within a time that no working machine needs: an opening that waits for a FIFO waits for ever.
///
/// # Errors
/// What went wrong.
fn survives_in_time(state: PathBuf, what: String) -> Result<Outcome, String> {
    let (told, hears) = mpsc::channel();
    let name = what.clone();
    let thread = thread::spawn(move || {
        // Neither may wait or panic; that a state is no state is an error like any other.
        let _ = (inspect(&state), verify(&state));
        let outcome = survive(&state, &STATE.history, &what);
        told.send(outcome).unwrap();
    });
    match hears.recv_timeout(Duration::from_secs(60)) {
        Ok(outcome) => Ok(outcome),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("{name}: it waits for ever")),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().unwrap_err();
            Err(panic.downcast_ref::<String>().cloned().unwrap_or(name))
        }
    }
}

/// Every name, and every kind of thing in its place.
fn in_the_place_of(names: &[&str]) {
    quiet_about_sled();
    let mut failures = Vec::new();
    for (name, thing) in names.iter().flat_map(|name| THINGS.map(|thing| (name, thing))) {
        let what = format!("{thing:?} in the place of {name}");
        let place = scratch();
        let elsewhere = place.path().join("elsewhere");
        fs::write(&elsewhere, GARBAGE).unwrap();
        let state = place.path().join("state");
        copy(STATE.dir.path(), &state);
        thing.put(&state.join(name), &elsewhere);
        failures.extend(survives_in_time(state, what.clone()).err());
        assert_eq!(fs::read(&elsewhere).unwrap(), GARBAGE, "{what}: what is not ours was written to");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn anything_in_the_place_of_a_file_of_the_store_is_survived() {
    let dir = STATE.dir.path();
    let files = files(&dir.join(TREE));
    let mut names: Vec<_> = files.iter().map(|file| file.strip_prefix(dir).unwrap().to_str().unwrap()).collect();
    // One of the large values stands for them all.
    let is_large = |name: &&str| name.contains("blobs/");
    let large = names.iter().copied().find(is_large);
    names.retain(|name| !is_large(name) || Some(*name) == large);
    assert!(["db", "conf", "snap.", "blobs/"].iter().all(|kind| names.iter().any(|name| name.contains(kind))), "{names:?}");
    in_the_place_of(&names);
}

#[test]
fn anything_in_the_place_of_a_directory_of_the_store_is_survived() {
    in_the_place_of(&[TREE, "sled.v1/blobs", "sled.v1/snap.00000000FFFFFFFF", "sled.v1/snap.00000000FFFFFFFF.generating"]);
}

#[test]
fn anything_in_the_place_of_what_lies_beside_the_store_is_survived() {
    in_the_place_of(&["witness.json", "witness.json.new", "lock", "aside", "salvage", "replaced", "inspected", "records"]);
}

#[test]
fn anything_in_the_place_of_remembered_records_is_survived() {
    let file = fs::read_dir(STATE.dir.path().join("records")).unwrap().next().unwrap().unwrap().path();
    in_the_place_of(&[file.strip_prefix(STATE.dir.path()).unwrap().to_str().unwrap()]);
}

/// What can be taken from the other state.
const PARTS: [&str; 5] = ["db", "conf", "snap.", "blobs", "witness.json"];

/// Replaces parts of a state by those of another.
fn take(parts: &[&str], from: &Path, to: &Path) {
    for part in parts {
        let (from, to) =
            if *part == "witness.json" { (from.to_owned(), to.to_owned()) } else { (from.join(TREE), to.join(TREE)) };
        let mine = |dir: &Path| {
            let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(part)).collect::<Vec<_>>()
        };
        for path in mine(&to) {
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for path in mine(&from) {
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target);
            } else {
                fs::copy(path, target).unwrap();
            }
        }
    }
}

#[test]
fn no_mixture_of_two_states_claims_what_was_never_done() {
    let mut failures = Vec::new();
    for mixture in 1_u32..(1 << PARTS.len()) - 1 {
        let taken: Vec<_> = PARTS.iter().enumerate().filter(|(n, _)| mixture & (1 << n) != 0).map(|(_, part)| *part).collect();
        let place = scratch();
        copy(STATE.dir.path(), place.path());
        take(&taken, OTHER.dir.path(), place.path());
        // Whose state it is, the witness tells.
        let whose = if taken.contains(&"witness.json") { &OTHER.history } else { &STATE.history };
        let survived =
            catch_unwind(AssertUnwindSafe(|| survive(place.path(), whose, &format!("with {taken:?} of another state"))));
        failures.extend(survived.err().and_then(|panic| panic.downcast_ref::<String>().cloned()));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
