//! Writes that end early, for real: a file that may not get longer, and a pipe that nobody reads on.
//!
//! A file-size limit cuts the write that crosses it and fails the next one. It is set to each length at which a canonical run
//! ends a write, and to some in between: so it meets the lock, sled's files, the witness, the output, and (where those are
//! long already) the dead letters. A pipe takes what fits and then makes the product wait, where it is killed.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::audit::{self, Allowed, Findings};
use crate::host::{Bench, Host};
use crate::points::figures;
use crate::run::Watch;
use crate::scene::{Scene, backfills, scenes};
use crate::{abreast, calls, value};

/// Cases at a time; they mostly wait.
const WIDTH: usize = 32;
/// Lengths within each write of the output at which it is cut.
const CUTS: u64 = 12;
/// A dead-letter file of this length is longer than everything else, so that a limit meets it alone.
const DEAD_LETTERS: usize = 3 << 20;
/// So much is read of a pipe before its reader stalls.
const READ: [usize; 9] = [0, 1, 1_500, 60_000, 65_536, 131_073, 700_000, 1_500_000, 2_300_000];
/// What a write gets that the limit does not let begin; the one before it was cut short.
const FILE_TOO_LARGE: i32 = 27;
/// A pipe in which nothing moves for so long is full, or its writer has nothing more to say.
const STILL: Duration = Duration::from_millis(700);

/// One write that ends early.
#[derive(Debug, Clone, Copy)]
enum Case<'a> {
    Limit { scene: &'a Scene, bytes: u64, long_letters: bool },
    Pipe { scene: &'a Scene, read: usize, blocking: bool },
}

/// Runs the mode; false if anything is wrong.
pub(crate) fn run(bench: &Arc<Bench>, options: &[&str]) -> bool {
    let begun = Instant::now();
    let mut findings = Findings::default();
    let mut scenes = scenes(bench, Watch::default(), false, &mut findings);
    if options.contains(&"--backfill") {
        scenes.extend(backfills(bench, Watch::default(), true, &mut findings));
    }
    let mut cases: Vec<Case<'_>> = Vec::new();
    for scene in &scenes {
        cases.extend(limits(scene).into_iter().map(|bytes| Case::Limit { scene, bytes, long_letters: false }));
    }
    let first = &scenes[0];
    let letters =
        [1, 2, 50, 150, 200, 230].map(|more| Case::Limit { scene: first, bytes: DEAD_LETTERS as u64 + more, long_letters: true });
    cases.extend(letters);
    for blocking in [true, false] {
        cases.extend(READ.map(|read| Case::Pipe { scene: first, read, blocking }));
    }
    let only = value(options, "--only");
    if let Some(only) = only {
        cases.retain(|case| case.name() == only);
    }
    let outcomes = abreast::each(&cases, WIDTH, |case| (case.name(), case.play(bench)));
    let (mut met, mut torn) = (0, 0);
    for (name, played) in outcomes {
        if !played.met {
            println!("{name}: no write met it");
        }
        met += usize::from(played.met);
        torn += played.torn;
        for (wrong, what) in played.findings.0 {
            println!("FAILED {name}: {wrong:?}: {what}");
            println!("  repeat: cargo test --release --test crash -- short --backfill --only {name}");
            findings.add(wrong, what);
        }
    }
    println!(
        "short: {} limits and full pipes, {met} of them met by a write, {torn} lines broken off and ended, in {} s: {}",
        cases.len(),
        begun.elapsed().as_secs(),
        figures(&findings)
    );
    !cases.is_empty() && findings.0.is_empty() && (only.is_some() || (met == cases.len() && torn > 0))
}

/// Each length at which a write of the run begins, ends, or nearly does; and some within the large ones.
fn limits(scene: &Scene) -> BTreeSet<u64> {
    let mut limits = BTreeSet::new();
    for call in &scene.run.calls {
        let (Some(at), Ok(length), "write" | "pwrite") = (call.offset, call.result, call.name.as_str()) else { continue };
        limits.extend([at, at + 1, at + length / 2, at + length - 1]);
        if length > 100_000 {
            limits.extend((1..CUTS).map(|n| at + n * length / CUTS + n));
        }
    }
    limits
}

struct Played {
    /// A write ended early.
    met: bool,
    torn: usize,
    findings: Findings,
}

impl Case<'_> {
    fn name(&self) -> String {
        match self {
            Case::Limit { scene, bytes, long_letters: false } => format!("{}:limit:{bytes}", scene.name),
            Case::Limit { scene, bytes, long_letters: true } => format!("{}:letters:{bytes}", scene.name),
            Case::Pipe { scene, read, blocking } => {
                format!("{}:pipe:{read}:{}", scene.name, if *blocking { "blocking" } else { "non-blocking" })
            }
        }
    }

    fn scene(&self) -> &Scene {
        match self {
            Case::Limit { scene, .. } | Case::Pipe { scene, .. } => scene,
        }
    }

    fn play(&self, bench: &Arc<Bench>) -> Played {
        let scene = self.scene();
        let mut host = scene.host(bench);
        match self {
            Case::Limit { bytes, long_letters, .. } => {
                if *long_letters {
                    write_long_letters(&host, scene);
                }
                self.limited(&mut host, *bytes)
            }
            Case::Pipe { read, blocking, .. } => self.piped(&mut host, *read, *blocking),
        }
    }

    fn limited(&self, host: &mut Host, bytes: u64) -> Played {
        let scene = self.scene();
        let mut findings = Findings::default();
        let run = host.run(&scene.tenant, Watch { file_limit: Some(bytes), ..Watch::default() });
        if run.hung {
            findings.add(audit::Wrong::Stuck, run.story());
        }
        let torn = usize::from(!audit::lines(&host.written()).1.is_empty());
        audit::after_crash(host, &scene.tenant, scene.trust, host.written().len() as u64, &mut findings);
        // A line of which only the end is missing is ended, and so stands there whole before it comes again.
        let repeated = audit::last_batch(&run.calls, &host.output()) + torn as u64;
        let last = host.carry_on(&scene.tenant, Watch::default());
        let allowed = Allowed { repeated, torn, ..Allowed::default() };
        audit::after_restart(host, &scene.tenant, &last, allowed, &mut findings);
        let met = run.calls.iter().any(|call| call.result == Err(FILE_TOO_LARGE));
        Played { met, torn, findings }
    }

    fn piped(&self, host: &mut Host, read: usize, blocking: bool) -> Played {
        let scene = self.scene();
        let mut findings = Findings::default();
        let (mut reader, writer) = std::io::pipe().unwrap();
        if !blocking {
            let flags = fcntl_getfl(&writer).unwrap();
            fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        }
        let log = host.root.join("calls");
        let mut child = host.start(&scene.tenant, true, writer.into(), Some(&log));
        let mut got = read_up_to(&mut reader, read);
        let full = wait_until_still(&reader);
        child.kill().unwrap();
        child.wait().unwrap();
        reader.read_to_end(&mut got).unwrap();
        // What the reader has is what came out. It goes on to read, as from a FIFO: a broken line at its end is the next process's to end.
        let torn = usize::from(!audit::lines(&got).1.is_empty());
        fs::write(host.output(), &got).unwrap();
        let repeated = audit::last_batch_to_pipe(&calls::read(&log), &host.store(), got.len() as u64) + torn as u64;
        audit::after_crash(host, &scene.tenant, scene.trust, got.len() as u64, &mut findings);
        let (mut reader, writer): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
        let rest = std::thread::spawn(move || {
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).map(|_| rest)
        });
        let last = host.run_to(&scene.tenant, Watch::default(), Stdio::from(writer));
        let rest = rest.join().expect("reading a pipe does not panic").unwrap();
        // The end of the line that was torn; or an empty one, which is no event.
        got.extend(if torn > 0 { &rest } else { rest.strip_prefix(b"\n").unwrap_or(&rest) });
        fs::write(host.output(), &got).unwrap();
        let allowed = Allowed { repeated, torn, ..Allowed::default() };
        audit::after_restart(host, &scene.tenant, &last, allowed, &mut findings);
        Played { met: full, torn, findings }
    }
}

/// Whole lines that are no letters of this tenant's, but longer than anything else.
fn write_long_letters(host: &Host, scene: &Scene) {
    let directory = host.state().join("dead-letter");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("{}.ndjson", scene.tenant.id()));
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let line = format!("{{\"earlier\":\"{}\"}}\n", "x".repeat((1 << 20) - 15));
    assert_eq!(line.len() * 3, DEAD_LETTERS);
    (0..3).for_each(|_| file.write_all(line.as_bytes()).unwrap());
}

fn read_up_to(reader: &mut PipeReader, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    let mut length = 0;
    while length < bytes {
        match reader.read(&mut got[length..]).unwrap() {
            0 => break,
            some => length += some,
        }
    }
    got.truncate(length);
    got
}

/// Waits until nothing moves in the pipe any more; true if it is full.
fn wait_until_still(reader: &PipeReader) -> bool {
    let waiting = || rustix::io::ioctl_fionread(reader).unwrap();
    let (mut last, mut since, begun) = (waiting(), Instant::now(), Instant::now());
    // The run begins with some requests before anything is written.
    while since.elapsed() < STILL || (last == 0 && begun.elapsed() < Duration::from_secs(20)) {
        std::thread::sleep(Duration::from_millis(5));
        let now = waiting();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last >= 4096
}
