//! Damage to the state of the real program: it goes on by itself, skips nothing, and says what it found.
//!
//! `cargo test` tries a few of each kind. `DEFENDER_FEED_DAMAGE=1000 cargo test --test it damage::` tries so many and prints what became of
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vocabulary::*;

/// Runs at once: most of a run is waiting.
const AT_ONCE: usize = 8;

/// xorshift64*: the damages are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below as u64) as usize
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { drop(fs::copy(path, target)) }
    }
}

type Damage = fn(&mut Vec<u8>, &mut Dice);

const KINDS: [(&str, Damage); 3] = [
    ("flipped bits", |bytes, dice| {
        let flips = if dice.roll(4) > 0 { 1 } else { 2 + dice.roll(7) };
        for _ in 0..flips {
            let at = dice.roll(bytes.len());
            bytes[at] ^= 1 << dice.roll(8);
        }
    }),
    ("zeroed sectors", |bytes, dice| {
        let at = dice.roll(bytes.len()) / 512 * 512;
        let end = bytes.len().min(at + 512);
        bytes[at..end].fill(0);
    }),
    ("truncations", |bytes, dice| bytes.truncate(dice.roll(bytes.len()))),
];

#[test]
fn a_state_that_is_damaged_anywhere_is_gone_on_with_and_nothing_is_skipped() {
    let asked = std::env::var("DEFENDER_FEED_DAMAGE").ok().map(|n| n.parse().expect("DEFENDER_FEED_DAMAGE is a number"));
    let times: usize = asked.unwrap_or(6);
    let tenant = service().content(10, hours_ago(5)).until(minutes_ago(20)).with(|c| c.quota = None).serve();
    let first = Host::new();
    // Far from the edge of retention: a place that went back to the beginning would have lost some minutes there by now, and say so.
    let since = (now() - seconds(24 * 3600)).to_string();
    let before = first.poll_once(&tenant).args(["--not-before", &since]).run().expect(0).lines();
    // One that is new, and one that is listed late, far behind the place.
    tenant.has_got(records([mail("new")]));
    tenant.add_blob(NewBlob::new(now() - seconds(4 * 3600), records([mail("late")])));
    let told = Mutex::new(BTreeMap::<(&str, &str), u32>::new());
    let next = AtomicUsize::new(0);
    let tries = || {
        while let Some((n, kind)) =
            Some(next.fetch_add(1, Ordering::SeqCst)).filter(|n| *n < times * KINDS.len()).map(|n| (n, n % KINDS.len()))
        {
            let (kind, damage) = KINDS[kind];
            let mut dice = Dice((n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let host = Host::new();
            copy(&first.state(), &host.state());
            let all = files(&host.state());
            let file = if dice.roll(2) == 0 { host.state().join("sled.v1/db") } else { all[dice.roll(all.len())].clone() };
            let mut bytes = fs::read(&file).unwrap();
            if !bytes.is_empty() {
                damage(&mut bytes, &mut dice);
            }
            fs::write(&file, bytes).unwrap();
            let what = format!("try {n}: {kind} in {}", file.display());
            let outcome = survives(&host, (&tenant, &since), &before, &what);
            *told.lock().unwrap().entry((kind, outcome)).or_default() += 1;
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(tries))));
    if asked.is_some() {
        let told = told.into_inner().unwrap();
        let _ = writeln!(
            std::io::stderr(),
            "program, {times} of each kind: {told:?}; 0 lost, 0 panics, 0 that did not go on by themselves"
        );
    }
}

/// Goes on with a damaged state until all is well again.
fn survives(host: &Host, (tenant, since): (&Tenant, &str), before: &[String], what: &str) -> &'static str {
    let mut lines = before.to_vec();
    let mut noticed = Vec::new();
    for run in 0..3 {
        let ended = host.poll_once(tenant).args(["--not-before", since]).run();
        assert_eq!(ended.code(), Some(0), "{what}: run {run} said:\n{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{what}: run {run} said:\n{}", ended.stderr);
        noticed.push(["state_damaged", "state_rolled_back", "state_vanished"].iter().any(|word| ended.stderr.contains(word)));
        if run == 0 {
            let ids = ids_of(&ended.lines());
            assert!(
                ["new", "late"].iter().all(|id| ids.iter().any(|got| got == id)),
                "{what}: skipped; it said:\n{}",
                ended.stderr
            );
        } else if !noticed[run] {
            assert_eq!(ended.stdout, "", "{what}: run {run} repeats without a word");
        }
        lines.extend(ended.lines());
    }
    let got = counted(&lines);
    let missing: Vec<_> = tenant.wanted().into_iter().filter(|w| !got.contains_key(w.line.as_str())).map(|w| w.id).collect();
    assert!(missing.is_empty(), "{what}: missing {missing:?}");
    match noticed[..] {
        [false, false, false] => "unharmed",
        [true, false, false] => "noticed",
        // Damage in a place that was not read cost later commits, which the witness told.
        [false, true, false] => "noticed later",
        _ => panic!("{what}: no end of it: {noticed:?}"),
    }
}
