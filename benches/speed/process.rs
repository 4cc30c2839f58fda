//! Runs programs, and reads from `/proc` what they cost.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// Seconds of processor time, user and system.
    pub(crate) cpu: f64,
    /// Seconds.
    pub(crate) wall: f64,
    /// The largest resident set, in MiB.
    pub(crate) peak: f64,
}

/// Clock ticks a second in `/proc/<pid>/stat`: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Runs it to its end.
///
/// # Panics
/// If it can't be started or does not end with this code: there is no figure then.
pub(crate) fn cost_of(command: &mut Command, code: i32) -> Cost {
    let began = Instant::now();
    let mut child = command.spawn().expect("the program can be started");
    let mut peak: f64 = 0.0;
    // Until it is waited for, an ended process keeps its times.
    let cpu = loop {
        let (state, cpu) = state_of(child.id()).expect("/proc tells of a process that was not waited for");
        if state == 'Z' {
            break cpu;
        }
        peak = peak.max(peak_of(child.id()).unwrap_or(0.0));
        std::thread::sleep(LOOK);
    };
    let wall = began.elapsed().as_secs_f64();
    let status = child.wait().expect("a child can be waited for");
    assert_eq!(status.code(), Some(code), "{command:?} ended with {status}");
    Cost { cpu, wall, peak }
}

/// State and processor seconds.
fn state_of(pid: u32) -> Option<(char, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
    Some((fields.first()?.chars().next()?, (ticks(11)? + ticks(12)?) / TICKS))
}

/// The largest resident set so far, in MiB.
pub(crate) fn peak_of(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Processor seconds of each thread of a process, to the nanosecond: ticks are too coarse for one that does next to nothing.
pub(crate) fn threads_of(pid: u32) -> BTreeMap<String, f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let cost = |thread: fs::DirEntry| Some((thread.file_name().into_string().ok()?, on_core(&thread.path().join("schedstat"))?));
    threads.filter_map(cost).collect()
}

fn on_core(schedstat: &std::path::Path) -> Option<f64> {
    let nanoseconds = fs::read_to_string(schedstat).ok()?.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(nanoseconds / 1e9)
}

/// Seconds that the calling thread spends on a core while it does this: others may want the core as well. The system
/// counts in steps of some milliseconds.
pub(crate) fn seconds_of(work: impl FnOnce()) -> f64 {
    let now = || on_core("/proc/thread-self/schedstat".as_ref());
    let (began, before) = (Instant::now(), now());
    work();
    match (before, now()) {
        (Some(before), Some(after)) if after > before => after - before,
        _ => began.elapsed().as_secs_f64(),
    }
}

/// A program that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program can be started"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tenant that serves until it is dropped; it says its address in its first line.
#[derive(Debug)]
pub(crate) struct Server {
    _running: Running,
    pub(crate) address: String,
}

impl Server {
    /// Starts one in a process of its own: what it costs is not the collector's.
    pub(crate) fn start(manner: &[String]) -> Self {
        let mut running = Running::start(Command::new(this()).arg("tenant").args(manner).stdout(Stdio::piped()));
        let mut address = String::new();
        let out = running.0.stdout.take().expect("its output is a pipe");
        BufReader::new(out).read_line(&mut address).expect("it says its address");
        Self { _running: running, address: address.trim_end().to_owned() }
    }
}

/// This program.
pub(crate) fn this() -> PathBuf {
    std::env::current_exe().expect("the system knows which program runs")
}

/// Another binary of the product than the one that was built with this program.
static PRODUCT: OnceLock<PathBuf> = OnceLock::new();

/// Measures this binary.
pub(crate) fn take_product(path: PathBuf) {
    PRODUCT.get_or_init(|| path);
}

/// The product.
pub(crate) fn product() -> Command {
    PRODUCT.get().map_or_else(|| Command::new(env!("CARGO_BIN_EXE_defender-feed")), Command::new)
}

/// What it all runs on, in one line: figures of two machines don't compare.
pub(crate) fn machine() -> String {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = text("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = text("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned();
    format!("{}, {cores} cores, load {load} before the start", model.map_or("a processor", |(_, name)| name))
}
