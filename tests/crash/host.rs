//! The machine that the product runs on: a directory with its state and its output, and the real binary as a process.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tempfile::TempDir;

use defender_feed::simulator::config::DEFAULT_TENANT;

use crate::calls::{self, Hit, Kind, TRACED};
use crate::run::{Noted, Run, Watch};
use crate::tenant::Tenant;

/// A run that has not ended by then never will. A run takes some two seconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// The application that the product says it is.
const CLIENT: &str = "22222222-0000-4000-8000-000000000002";
/// A file system in memory is used while it has so much room: what is killed is a process, not the machine.
const ROOM: u64 = 1 << 30;
/// A reader of a pipe takes so much, and then waits for so long: while it does, what is not read yet lies in the pipe.
const READ_AT_ONCE: usize = 1 << 16;
/// See [`READ_AT_ONCE`].
const BETWEEN_READS: Duration = Duration::from_millis(20);

/// What is under test, and what it is run with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) binary: PathBuf,
    pub(crate) shim: PathBuf,
    /// Everything of this harness lies below it.
    pub(crate) directory: TempDir,
}

impl Bench {
    /// Sets up for that binary, below that directory if one is named.
    pub(crate) fn new(binary: &Path, place: Option<&Path>) -> Arc<Self> {
        let binary = fs::canonicalize(binary).unwrap_or_else(|e| panic!("there is no {}: {e}", binary.display()));
        let memory = Path::new("/dev/shm");
        let roomy = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize > ROOM);
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("defender-feed-crash-");
        let directory = match place.or(roomy.then_some(memory)) {
            Some(place) => builder.tempdir_in(place).unwrap_or_else(|e| panic!("{} can't be used: {e}", place.display())),
            None => builder.tempdir().unwrap(),
        };
        let shim = calls::build_shim(directory.path());
        Arc::new(Self { binary, shim, directory })
    }

    /// A machine without any state, for that order.
    pub(crate) fn host(self: &Arc<Self>, order: Order) -> Host {
        let directory = tempfile::tempdir_in(self.directory.path()).unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        Host { bench: Arc::clone(self), root, order, _directory: directory, runs: 0 }
    }
}

/// What the product is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// To collect what has come since, and end.
    Poll,
    /// The same, into a file that the product opens itself and begins anew each day.
    File,
    /// The same, into a pipe, where a batch counts when it has been read.
    Drain,
    /// To bring a range, as if for the first time.
    Backfill,
    /// To go on with an interrupted backfill.
    Resume,
}

impl Order {
    fn words(self) -> &'static [&'static str] {
        match self {
            Order::Poll => &["poll", "--once"],
            Order::File => &["poll", "--once", "--rotate-every", "24h"],
            Order::Drain => &["poll", "--once", "--drain"],
            Order::Backfill => &["backfill", "--since", "48h"],
            Order::Resume => &["backfill", "--since", "48h", "--resume"],
        }
    }

    /// True if it has a place of its own beside the poller's.
    pub(crate) fn is_a_backfill(self) -> bool {
        matches!(self, Order::Backfill | Order::Resume)
    }
}

/// A machine. Its directory is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    bench: Arc<Bench>,
    pub(crate) root: PathBuf,
    /// What is done on it.
    pub(crate) order: Order,
    _directory: TempDir,
    runs: usize,
}

impl Host {
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Where the order keeps what is its own: a backfill has a place for itself.
    pub(crate) fn own(&self) -> PathBuf {
        if self.order.is_a_backfill() { self.state().join("jobs").join(DEFAULT_TENANT) } else { self.state() }
    }

    /// The state directory of the order's store.
    pub(crate) fn own_state(&self) -> PathBuf {
        if self.order.is_a_backfill() { self.own().join("store") } else { self.state() }
    }

    /// sled's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.own_state().join("sled.v1/db")
    }

    /// True if the backfill was finished and says so in its job file.
    pub(crate) fn is_finished(&self) -> bool {
        self.job().is_some_and(|job| job["finished"] == true)
    }

    /// True if the next start goes on with what lies in the store.
    pub(crate) fn is_taken_up(&self) -> bool {
        !self.order.is_a_backfill() || self.is_under_way()
    }

    /// True if there is a backfill to go on with: its job file says that it is under way, and it has a store.
    fn is_under_way(&self) -> bool {
        self.job().is_some_and(|job| job["finished"] == false) && self.own_state().exists()
    }

    fn job(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&fs::read(self.own().join("job.json")).ok()?).ok()
    }

    /// Takes over another machine's store, without its witness.
    pub(crate) fn take_store_of(&self, other: &Host) {
        copy_tree(&other.state().join("sled.v1"), &self.state().join("sled.v1"));
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.root.join("events.ndjson")
    }

    /// What came out so far, in the order in which it did.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.outputs().iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>().concat()
    }

    /// The files of the output, the current one last: those before it have the time behind their names.
    fn outputs(&self) -> Vec<PathBuf> {
        let output = self.output();
        let mut outputs: Vec<PathBuf> = fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().path()).collect();
        outputs.retain(|path| path.to_string_lossy().starts_with(&*output.to_string_lossy()));
        outputs.sort_by_key(|path| (*path == output, path.clone()));
        outputs
    }

    /// Another machine with the same state.
    pub(crate) fn with_the_state(&self) -> Host {
        let twin = self.bench.host(self.order);
        copy_tree(&self.state(), &twin.state());
        twin
    }

    /// Another machine with the same state and output.
    pub(crate) fn twin(&self) -> Host {
        let twin = self.with_the_state();
        for path in self.outputs() {
            let copy = twin.root.join(path.file_name().expect("a file has a name"));
            fs::copy(&path, &copy).unwrap();
            // Whether a file is of today tells its time.
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            OpenOptions::new().append(true).open(copy).unwrap().set_modified(written).unwrap();
        }
        twin
    }

    /// The arguments of a command for a tenant.
    fn arguments(&self, tenant: &Tenant) -> Vec<OsString> {
        let (url, id) = (tenant.url(), tenant.id());
        let texts = ["--tenant-id", &id, "--client-id", CLIENT, "--api-url", &url, "--login-url", &url];
        let mut arguments: Vec<OsString> = texts.into_iter().map(OsString::from).collect();
        arguments.extend([OsString::from("--state-dir"), self.state().into()]);
        arguments
    }

    /// A command with nothing of this process's environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(&self.root).stdin(Stdio::null());
        command.env("AZURE_CLIENT_SECRET", "made-up").env("DEFENDER_FEED_REQUESTS_PER_MINUTE", "1000000");
        command
    }

    /// The poller, which follows the tenant until it is ended, or collects once; what it says goes to the end of a file.
    /// With a log, the shim notes its calls there.
    pub(crate) fn start(&self, tenant: &Tenant, once: bool, stdout: Stdio, log: Option<&Path>) -> Child {
        let mut command = self.command(&self.bench.binary);
        command.envs(log.map(|log| self.shim_settings(Watch::default(), log, log)).unwrap_or_default());
        command.arg("poll").args(once.then_some("--once")).args(self.arguments(tenant));
        command.env("DEFENDER_FEED_POLL_INTERVAL", "1s").stdout(stdout);
        command.stderr(OpenOptions::new().append(true).create(true).open(self.root.join("said")).unwrap());
        command.spawn().unwrap()
    }

    /// What was said by all that was started so.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.root.join("said")).unwrap_or_default()
    }

    /// Where the output goes: as with a shell's `>>`.
    pub(crate) fn appended(&self) -> File {
        OpenOptions::new().append(true).create(true).open(self.output()).unwrap()
    }

    /// Does what it is told, with the output at the end of the file.
    pub(crate) fn run(&mut self, tenant: &Tenant, watch: Watch) -> Run {
        match self.order {
            Order::File => self.run_to(tenant, watch, Stdio::null()),
            Order::Drain => self.run_to_reader(tenant, watch),
            Order::Poll | Order::Backfill | Order::Resume => {
                let stdout = self.appended();
                self.run_to(tenant, watch, stdout.into())
            }
        }
    }

    /// Does what it is told into a pipe. Its reader takes its time, and is gone as soon as the product is: what it had not read is lost.
    fn run_to_reader(&mut self, tenant: &Tenant, watch: Watch) -> Run {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let flags = fcntl_getfl(&reader).unwrap();
        fcntl_setfl(&reader, flags | OFlags::NONBLOCK).unwrap();
        let ended = AtomicBool::new(false);
        let (run, got) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let (mut got, mut chunk) = (Vec::new(), vec![0; READ_AT_ONCE]);
                while !ended.load(Ordering::Acquire) {
                    match reader.read(&mut chunk) {
                        Ok(some) => got.extend_from_slice(&chunk[..some]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => panic!("the pipe can't be read: {error}"),
                    }
                    std::thread::sleep(BETWEEN_READS);
                }
                got
            });
            let run = self.run_to(tenant, watch, writer.into());
            ended.store(true, Ordering::Release);
            (run, reading.join().expect("reading a pipe does not panic"))
        });
        // It may begin with the end of a line that was torn before; where none was, an empty line is no event.
        let whole = self.written().last().is_none_or(|last| *last == b'\n');
        let got = if whole { got.strip_prefix(b"\n").unwrap_or(&got) } else { &got };
        self.appended().write_all(got).unwrap();
        run
    }

    /// Starts again after a crash. Where a backfill has nothing to go on with, and says so, it begins again.
    pub(crate) fn carry_on(&mut self, tenant: &Tenant, watch: Watch) -> Run {
        if !self.order.is_a_backfill() {
            return self.run(tenant, watch);
        }
        self.order = Order::Resume;
        let (under_way, finished) = (self.is_under_way(), self.is_finished());
        let run = self.run(tenant, watch);
        if under_way || finished || !run.refuses_to_resume() || run.hit().is_some() {
            return run;
        }
        self.order = Order::Backfill;
        self.run(tenant, watch)
    }

    /// Does what it is told.
    pub(crate) fn run_to(&mut self, tenant: &Tenant, watch: Watch, stdout: Stdio) -> Run {
        self.runs += 1;
        let aside = |name: &str| PathBuf::from(format!("{}.{name}-{}", self.root.display(), self.runs));
        let (log, data, traced) = (aside("calls"), aside("data"), aside("strace"));
        // A limit of the length of files is the shim's own too, but holds for no pipe.
        let mut noted = watch.file_limit.map(|_| Noted::of(&log));
        let settings = self.shim_settings(watch, &log, &data);
        let binary = self.bench.binary.as_os_str();
        let mut command = match watch.file_limit {
            Some(bytes) => {
                let mut command = self.command(Path::new("prlimit"));
                command.envs(settings).arg(format!("--fsize={bytes}")).arg(binary);
                command
            }
            None if watch.strace => {
                let mut command = self.command(Path::new("strace"));
                command.args(["-f", "-y", "-qq", "-s", "0", "-e", &format!("trace={TRACED}"), "-e", "signal=none", "-o"]);
                command.arg(&traced);
                // Not for the tracer itself.
                for (name, value) in settings {
                    let mut setting = OsString::from(format!("{name}="));
                    setting.push(value);
                    command.arg("-E").arg(setting);
                }
                command.arg(binary);
                command
            }
            None => {
                let mut command = self.command(Path::new(binary));
                command.envs(settings);
                command
            }
        };
        // One request at a time: so the calls come in the same order each time.
        command.args(self.order.words()).args(["--concurrency", "1"]).args(self.arguments(tenant));
        if self.order == Order::File {
            command.arg("--output").arg(self.output());
        }
        // A pipe holds more than a run ever says, and has no length that a limit could meet.
        let (mut errors, their_errors) = std::io::pipe().unwrap();
        command.stdout(stdout).stderr(their_errors);
        let (status, hung) = wait(command);
        let mut said = Vec::new();
        errors.read_to_end(&mut said).unwrap();
        let run = Run {
            status,
            hung,
            said: String::from_utf8_lossy(&said).into_owned(),
            calls: noted.as_mut().map_or_else(|| calls::read(&log), |noted| calls::parse(&noted.text())),
            data: fs::read(&data).unwrap_or_default(),
            traced: if watch.strace { calls::of_strace(&traced, &self.root) } else { Vec::new() },
        };
        [log, data, traced].iter().for_each(|path| drop(fs::remove_file(path)));
        run
    }

    fn shim_settings(&self, watch: Watch, log: &Path, data: &Path) -> Vec<(&'static str, OsString)> {
        let mut settings = vec![
            ("LD_PRELOAD", self.bench.shim.clone().into_os_string()),
            ("FEED_CRASH_ROOT", self.root.clone().into_os_string()),
            ("FEED_CRASH_LOG", log.to_owned().into_os_string()),
        ];
        if let Some(Hit { at, kind }) = watch.hit {
            let what = match kind {
                Kind::Kill | Kind::Term => kind.word().to_owned(),
                Kind::Error(_, errno) => errno.to_string(),
            };
            settings.extend([("FEED_CRASH_AT", at.to_string().into()), ("FEED_CRASH_DO", what.into())]);
        }
        if watch.reads {
            settings.push(("FEED_CRASH_READS", "1".into()));
        }
        if watch.data {
            settings.push(("FEED_CRASH_DATA", data.to_owned().into_os_string()));
        }
        settings
    }

    /// What `state verify` says; `None` if it found nothing.
    pub(crate) fn verify(&self) -> Option<String> {
        let mut command = self.command(&self.bench.binary);
        let output = command.args(["state", "verify", "--state-dir"]).arg(self.state()).output().unwrap();
        let text = || String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
        (!output.status.success()).then(text)
    }
}

/// Starts it and waits for its end; true if it had to be ended.
fn wait(mut command: Command) -> (ExitStatus, bool) {
    let mut child = command.spawn().unwrap_or_else(|e| panic!("can't start {:?}: {e}", command.get_program()));
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status, false);
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            return (child.wait().unwrap(), true);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
