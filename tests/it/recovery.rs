//! What a kill, a crash or damage leaves, and how the next start takes it up.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use crate::vocabulary::*;

/// The most blobs in a batch: what one kill may repeat.
const BATCH: usize = 64;
/// In so many of the runs nobody reads on.
const UNREAD: usize = 4;

#[test]
fn killed_twenty_times_nothing_is_missing_and_little_repeated() {
    let tenant = service()
        .content(100, hours_ago(12))
        .with(|c| c.quota = None)
        .fault(Target::Blob, Fault::Slow { bytes_per_second: 200_000 }, When::Every(5))
        .serve();
    let host = Host::new();
    let mut seed = RandomState::new().hash_one(());
    let story = format!("the random moments follow from {seed}");
    let mut roll = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut runs: Vec<Vec<String>> = Vec::new();
    // How far a run has come is what counts, not how long that took: a busy machine takes its time.
    for n in 0..20 {
        let poller = host.poll(&tenant);
        let mut poller = if n < UNREAD { poller.output(Output::Unread).start() } else { poller.start() };
        match n % 4 {
            // However late the kill comes, its pipe is full by then: something is left for all the others.
            _ if n < UNREAD => poller.reads(1 + roll(64 << 10) as usize),
            0 => {}
            1 => poller.until_it_hears_signals(),
            2 => poller.until_listed_again(&tenant, 1),
            _ => {
                let so_far: BTreeSet<_> = ids_of(&runs.concat()).into_iter().collect();
                let left = tenant.wanted().iter().filter(|w| !so_far.contains(&w.id)).count();
                poller.until_lines(left.min(1 + roll(500) as usize));
            }
        }
        std::thread::sleep(millis(roll(60)));
        runs.push(poller.sigkill().lines());
    }
    let mut last = host.poll(&tenant).start();
    last.until_listed_again(&tenant, 1);
    let wanted = tenant.wanted();
    let so_far = ids_of(&runs.concat());
    last.until("all is delivered", |it| {
        let got: BTreeSet<_> = ids_of(&it.lines()).into_iter().chain(so_far.iter().cloned()).collect();
        wanted.iter().all(|w| got.contains(&w.id))
    });
    runs.push(last.stop().expect(0).lines());
    assert!(runs.iter().filter(|run| !run.is_empty()).count() > 3, "killed too early to show anything; {story}");
    assert_bounded(&runs, &tenant, &story);
}

#[test]
fn killed_while_it_writes_the_state_anew_it_starts_again() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    // Opening is where sled is at its most fragile.
    for n in 0..12 {
        let poller = host.poll(&tenant).start();
        std::thread::sleep(millis(3 * n));
        poller.sigkill();
    }
    let mut poller = host.poll(&tenant).start();
    poller.until_listed_again(&tenant, 9);
    poller.stop().expect(0).does_not_say(&["state_damaged"]);
}

#[test]
fn a_damaged_state_is_noticed_and_nothing_is_missing() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).run().expect(0);
    tenant.has_got(records([mail("new")]));
    scribble(&host.state().join("sled.v1/db"));
    let second = host.poll_once(&tenant).run().expect(0).says(&["state_", "damage", "may come again"]);
    assert_nothing_missing(&[first.lines(), second.lines()].concat(), &tenant);
    assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "", "and all is well again");
}

/// Damage in the middle: what a bad disk or a bad copy does.
fn scribble(path: &std::path::Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let garbage = b"garbage, garbage, garbage".repeat(60);
    (0..4).for_each(|n| file.write_all_at(&garbage, n * 2_000 + 30).unwrap());
}

#[test]
fn a_state_whose_files_are_all_garbage_is_no_loss() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).run().expect(0);
    tenant.has_got(records([mail("new")]));
    let files = |dir: std::path::PathBuf| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file());
    for path in files(host.state().join("sled.v1")).chain(files(host.state())).filter(|path| !path.ends_with("lock")) {
        std::fs::write(path, b"garbage, garbage, garbage".repeat(1000)).unwrap();
    }
    let second = host.poll_once(&tenant).run().expect(0).says(&["witness was damaged", "first_start"]);
    assert_nothing_missing(&[first.lines(), second.lines()].concat(), &tenant);
}

#[test]
fn a_cut_off_state_is_no_loss_either() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).run().expect(0);
    tenant.has_got(records([mail("new")]));
    let db = host.state().join("sled.v1/db");
    let length = std::fs::metadata(&db).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&db).unwrap().set_len(length / 3).unwrap();
    let second = host.poll_once(&tenant).run().expect(0);
    assert_nothing_missing(&[first.lines(), second.lines()].concat(), &tenant);
}

#[test]
fn a_lost_state_starts_from_its_witness_and_says_so() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    let first = host.poll_once(&tenant).run().expect(0);
    tenant.has_got(records([mail("new")]));
    std::fs::remove_dir_all(host.state().join("sled.v1")).unwrap();
    let second = host.poll_once(&tenant).run().expect(0).says(&["state_vanished"]);
    assert_nothing_missing(&[first.lines(), second.lines()].concat(), &tenant);
}

#[test]
fn without_any_state_it_starts_anew_and_asks_whether_that_is_meant() {
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(2)).serve();
    let host = Host::new();
    host.poll_once(&tenant).run().expect(0);
    std::fs::remove_dir_all(host.state()).unwrap();
    let second = host.poll_once(&tenant).run().expect(0).says(&["first_start", "If this is not the first start"]);
    assert_same(&second.lines(), &tenant.lines());
}

#[test]
fn a_state_of_a_newer_release_is_refused_untouched() {
    let tenant = service().blob(hours_ago(1), records([mail("a")])).serve();
    let host = Host::new();
    host.write("state/sled.v9/db", "from the future");
    let run = host.poll_once(&tenant).run().expect(78).says(&["newer"]);
    assert_eq!(run.stdout, "");
    assert_eq!(std::fs::read(host.state().join("sled.v9/db")).unwrap(), b"from the future");
    assert_eq!(tenant.ledger().count("token"), 0);
}

#[test]
fn a_state_directory_that_cannot_be_is_named() {
    let tenant = service().serve();
    let host = Host::new();
    let file = host.write("a-file", "");
    let below = file.join("state");
    // Even root can't make a directory here.
    let nowhere = std::path::PathBuf::from("/proc/defender-feed-state");
    for path in [file, below, nowhere] {
        let text = path.display().to_string();
        for command in ["poll", "backfill"] {
            let url = tenant.base_url();
            let program = host.run(command).secret("made-up").args(["--tenant-id", &tenant.id(), "--client-id", CLIENT]);
            let program = program.args(["--api-url", &url, "--login-url", &url, "--state-dir", &text]);
            let program = if command == "backfill" { program.args(["--since", "1h"]) } else { program };
            program.run().expect(1).says(&[&text]);
        }
    }
    assert_eq!(tenant.ledger().count("token"), 0, "nothing is asked for that can't be committed");
}

/// Each run of one state: nothing missing, nothing unknown, and what a run repeats of those before is one batch at most.
#[track_caller]
fn assert_bounded(runs: &[Vec<String>], tenant: &Tenant, story: &str) {
    let wanted = tenant.wanted();
    let blobs: BTreeMap<_, _> = wanted.iter().map(|w| (w.line.as_str(), &w.blob)).collect();
    let mut seen = BTreeMap::new();
    for (n, run) in runs.iter().enumerate() {
        let mut repeated = BTreeSet::new();
        for line in run {
            let blob = blobs.get(line.as_str()).unwrap_or_else(|| panic!("no blob has this line: {line}; {story}"));
            if let Some(before) = seen.insert(line.as_str(), n) {
                assert_ne!(before, n, "a run repeats itself; {story}");
                repeated.insert(blob);
            }
        }
        assert!(repeated.len() <= BATCH, "run {n} repeats {} blobs; {story}", repeated.len());
    }
    let missing: Vec<_> = wanted.iter().filter(|w| !seen.contains_key(w.line.as_str())).map(|w| &w.id).collect();
    assert!(missing.is_empty(), "missing: {missing:?}; {story}");
}

#[track_caller]
fn assert_nothing_missing(lines: &[String], tenant: &Tenant) {
    let got = counted(lines);
    let missing: Vec<_> = tenant.wanted().into_iter().filter(|w| !got.contains_key(w.line.as_str())).map(|w| w.id).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
}
