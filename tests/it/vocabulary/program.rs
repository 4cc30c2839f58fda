//! The real binary, as a process.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Relay, Tenant, allowed, eventually, ids_of};

/// Where standard output leads.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// To a pipe that is read to its end.
    Read,
    /// To a pipe that nobody reads before [`Started::read`] says so.
    Unread,
    /// To the end of a file, as with a shell's `>>`.
    Appended(PathBuf),
    /// To a file that is emptied first, as with a shell's `>`.
    Truncated(PathBuf),
    /// To a disk that is full.
    Full,
    /// To a pipe whose reader has gone already.
    Gone,
    /// To a socket that nobody reads.
    Socket,
}

/// A command that is about to be started.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    /// Where the service is, if the command needs one.
    urls: Option<String>,
    output: Output,
    /// Nobody reads what it says until its end.
    unheard: bool,
    patience: Duration,
}

impl Program {
    /// The binary, in that directory, with nothing of this process's environment.
    pub(super) fn new(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_defender-feed"));
        command.env_clear().current_dir(directory).stdin(Stdio::null());
        Self { command, urls: None, output: Output::Read, unheard: false, patience: PATIENCE }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// It reaches the service by this way.
    pub(crate) fn through(self, relay: &Relay) -> Self {
        self.at(&relay.url())
    }

    /// It takes the service to be there, whatever it was told before.
    pub(crate) fn at(mut self, url: &str) -> Self {
        self.urls = Some(url.to_owned());
        self
    }

    /// The client secret that it uses.
    pub(crate) fn secret(self, secret: &str) -> Self {
        self.env("AZURE_CLIENT_SECRET", secret)
    }

    /// What is fed to it.
    pub(crate) fn stdin(mut self, path: &Path) -> Self {
        self.command.stdin(File::open(path).unwrap());
        self
    }

    /// Where its output goes.
    pub(crate) fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// What it says goes into a pipe that is full already, and that nobody reads before its end.
    pub(crate) fn unheard(mut self) -> Self {
        self.unheard = true;
        self
    }

    /// It has to work through gigabytes, maybe on a machine that has much else to do.
    pub(crate) fn at_length(mut self) -> Self {
        self.patience = 5 * PATIENCE;
        self
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> Ended {
        self.start().ends()
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Started {
        if let Some(url) = &self.urls {
            self.command.args(["--api-url", url, "--login-url", url]);
        }
        let (errors, their_errors) = std::io::pipe().unwrap();
        if self.unheard {
            fill(&their_errors);
        }
        let hears = if self.unheard { WAITS } else { READS };
        self.command.stderr(their_errors);
        let mut pipe = None;
        let mut socket = None;
        let stdout = match &self.output {
            Output::Read | Output::Unread => {
                let (ours, theirs) = std::io::pipe().unwrap();
                pipe = Some(ours);
                Stdio::from(theirs)
            }
            Output::Gone => Stdio::from(std::io::pipe().unwrap().1),
            Output::Socket => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                socket = Some(ours);
                Stdio::from(OwnedFd::from(theirs))
            }
            Output::Appended(path) => OpenOptions::new().append(true).create(true).open(path).unwrap().into(),
            Output::Truncated(path) => File::create(path).unwrap().into(),
            Output::Full => OpenOptions::new().write(true).open("/dev/full").unwrap().into(),
        };
        let reads = if matches!(self.output, Output::Unread) { WAITS } else { READS };
        let child = self.command.stdout(stdout).spawn().unwrap();
        // The parent's copies of the writing ends go with the command, so that a pipe ends with its process.
        drop(self.command);
        Started {
            child,
            output: pipe.map(|pipe| Ear::listen(pipe, reads)),
            errors: Ear::listen(errors, hears),
            started: Instant::now(),
            peak: 0,
            _socket: socket,
            patience: self.patience,
        }
    }

    /// The same command once more.
    pub(crate) fn again(&self) -> Self {
        let mut command = Command::new(self.command.get_program());
        command.env_clear().stdin(Stdio::null()).args(self.command.get_args());
        command.current_dir(self.command.get_current_dir().unwrap());
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self { command, output: self.output.clone(), urls: self.urls.clone(), unheard: self.unheard, patience: self.patience }
    }
}

/// Fills a pipe to its last byte.
fn fill(pipe: &PipeWriter) {
    let flags = fcntl_getfl(pipe).unwrap();
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while (&*pipe).write(&vec![b'.'; size]).is_ok() {}
    }
    fcntl_setfl(pipe, flags).unwrap();
}

const WAITS: u8 = 0;
const READS: u8 = 1;
const LEAVES: u8 = 2;
const TRICKLES: u8 = 3;

/// What no process of any story may need at its worst (design, section 7).
pub(crate) const MEMORY_MAX: u64 = 128 << 20;
/// What a process needs that has nothing unusual to bear.
pub(crate) const MEMORY_STEADY: u64 = 64 << 20;
const DIES: u8 = 4;

/// Listens at a pipe, on a thread of its own.
#[derive(Debug)]
struct Ear {
    heard: Arc<Mutex<Vec<u8>>>,
    manner: Arc<AtomicU8>,
    /// How many bytes it may read while it waits.
    allowed: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    fn listen(pipe: PipeReader, manner: u8) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let manner = Arc::new(AtomicU8::new(manner));
        let allowed = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::spawn({
            let (heard, manner, allowed) = (heard.clone(), manner.clone(), allowed.clone());
            move || listen(pipe, &heard, &manner, &allowed)
        });
        Self { heard, manner, allowed, thread: Some(thread) }
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard()).into_owned()
    }

    /// Waits for the end of the pipe.
    fn all(&mut self) -> Vec<u8> {
        if self.manner.load(Ordering::SeqCst) != LEAVES {
            self.manner.store(READS, Ordering::SeqCst);
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.heard()
    }

    /// Closes the pipe at its reading end, after reading what is in it or at once.
    fn end(&mut self, manner: u8) {
        self.manner.store(manner, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn listen(mut pipe: PipeReader, heard: &Mutex<Vec<u8>>, manner: &AtomicU8, allowed: &AtomicUsize) {
    let nap = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    let mut some = [0; 64 * 1024];
    loop {
        let most = match manner.load(Ordering::SeqCst) {
            LEAVES => return drain(pipe, heard),
            DIES => return,
            WAITS => some.len().min(allowed.load(Ordering::SeqCst)),
            TRICKLES => 1,
            _ => some.len(),
        };
        if most == 0 {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let trickles = manner.load(Ordering::SeqCst) == TRICKLES;
        let ready = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&nap)).unwrap_or(0);
        if ready == 0 {
            continue;
        }
        match pipe.read(&mut some[..most]).unwrap() {
            0 => return,
            n => {
                heard.lock().unwrap().extend_from_slice(&some[..n]);
                let _ = allowed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(n)));
            }
        }
        let since = Instant::now();
        while trickles && manner.load(Ordering::SeqCst) == TRICKLES && since.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Takes what is in the pipe already.
fn drain(mut pipe: PipeReader, heard: &Mutex<Vec<u8>>) {
    let mut some = [0; 64 * 1024];
    while poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0) > 0 {
        match pipe.read(&mut some).unwrap() {
            0 => return,
            n => heard.lock().unwrap().extend_from_slice(&some[..n]),
        }
    }
}

/// A process under way. It is killed if the story forgets it.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    output: Option<Ear>,
    errors: Ear,
    started: Instant,
    /// The most memory that it was seen to need.
    peak: u64,
    _socket: Option<UnixStream>,
    patience: Duration,
}

impl Started {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // It may have ended by itself; it is not waited for yet, so the id is still its own.
        kill_process(pid, signal).unwrap();
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub(crate) fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// Interrupts it, as Ctrl-C does.
    pub(crate) fn sigint(&self) {
        self.signal(Signal::INT);
    }

    /// Tells it that its output file was moved away.
    pub(crate) fn sighup(&self) {
        self.signal(Signal::HUP);
    }

    /// Kills it; nothing of it runs on.
    pub(crate) fn sigkill(self) -> Ended {
        self.signal(Signal::KILL);
        self.ends()
    }

    /// True if it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Stops it where it is, as a debugger does.
    pub(crate) fn stands_still(&mut self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        self.until("it stands still", |_| {
            std::fs::read_to_string(&stat).is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")))
        });
    }

    /// Lets it go on.
    pub(crate) fn goes_on(&self) {
        self.signal(Signal::CONT);
    }

    /// A line of what the kernel says of it.
    fn told_by_kernel(&self, name: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    }

    /// The most memory that it has needed so far, in bytes.
    pub(crate) fn peak(&mut self) -> u64 {
        // Between fork and exec its memory is that of the process which tells the story; after its end it has none.
        let exe = std::fs::read_link(format!("/proc/{}/exe", self.child.id()));
        if !exe.is_ok_and(|exe| exe == Path::new(env!("CARGO_BIN_EXE_defender-feed"))) {
            return self.peak;
        }
        let peak = self.told_by_kernel("VmHWM").and_then(|text| text.strip_suffix(" kB")?.trim().parse::<u64>().ok());
        self.peak = self.peak.max(peak.unwrap_or(0) << 10);
        self.peak
    }

    /// Waits until it handles SIGTERM and SIGINT.
    pub(crate) fn until_it_hears_signals(&mut self) {
        let both = [Signal::TERM, Signal::INT].iter().fold(0, |mask, signal| mask | 1u64 << (signal.as_raw() - 1));
        self.until("it handles signals", |it| {
            let caught = it.told_by_kernel("SigCgt").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
            caught.is_some_and(|mask| mask & both == both)
        });
    }

    /// Nobody reads its output any more. What it has written by then has been read: a pipe keeps nothing for its next
    /// reader, and what was in it counts as delivered.
    pub(crate) fn reader_leaves(&mut self) {
        self.stands_still();
        self.output.as_mut().unwrap().end(LEAVES);
        self.goes_on();
    }

    /// Its output is read at a byte a second from now on.
    pub(crate) fn trickles(&self) {
        self.output.as_ref().unwrap().manner.store(TRICKLES, Ordering::SeqCst);
    }

    /// How many bytes of its output were read so far.
    pub(crate) fn read_so_far(&self) -> usize {
        self.output.as_ref().unwrap().heard.lock().unwrap().len()
    }

    /// Somebody hears what it says from now on.
    pub(crate) fn is_heard(&self) {
        self.errors.manner.store(READS, Ordering::SeqCst);
    }

    /// Somebody reads so many bytes more of its output, and then no more; returns when they are read.
    pub(crate) fn reads(&mut self, bytes: usize) {
        self.output.as_ref().unwrap().allowed.fetch_add(bytes, Ordering::SeqCst);
        self.until(&format!("{bytes} bytes more are read"), |it| it.output.as_ref().unwrap().allowed.load(Ordering::SeqCst) == 0);
    }

    /// Its reader is gone from one moment to the next, whatever lies in the pipe.
    pub(crate) fn reader_dies(&mut self) {
        self.output.as_mut().unwrap().end(DIES);
    }

    /// The time that processors have spent on it.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // proc(5): utime and stime are the 14th and 15th field, the second ends with the last parenthesis.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        // Linux counts them in hundredths of a second for programs, whatever it does itself.
        Duration::from_millis(ticks * 10)
    }

    /// Somebody reads its output from now on.
    pub(crate) fn read(&self) {
        self.output.as_ref().unwrap().manner.store(READS, Ordering::SeqCst);
    }

    /// The whole lines of its output so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        whole_lines(&self.output.as_ref().unwrap().text())
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.errors.text()
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) -> Ended {
        let status = self.wait();
        let stdout = match &mut self.output {
            Some(ear) => String::from_utf8(ear.all()).unwrap(),
            None => String::new(),
        };
        let stderr = String::from_utf8_lossy(&self.errors.all()).into_owned();
        assert!(self.peak <= MEMORY_MAX, "it needed {} MiB; it said:\n{stderr}", self.peak >> 20);
        Ended { status, stdout, stderr, took: self.started.elapsed(), peak: self.peak }
    }

    fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            self.peak();
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if since.elapsed() > self.patience {
                self.child.kill().unwrap();
                panic!("it did not end within {:?}; it said:\n{}", self.patience, self.said());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until something is so; fails if the process ends before.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let since = Instant::now();
        while !is_so(self) {
            self.peak();
            if !self.is_running() {
                // What it said last may still be on its way through the pipe.
                std::thread::sleep(Duration::from_millis(50));
                if is_so(self) {
                    return;
                }
                panic!("it ended before it came about that {what}; it said:\n{}", self.said());
            }
            if since.elapsed() > PATIENCE {
                panic!("it never came about that {what}; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Waits for so many lines.
    pub(crate) fn until_lines(&mut self, count: usize) {
        self.until(&format!("there are {count} lines"), |it| it.lines().len() >= count);
    }

    /// Waits until it says this.
    pub(crate) fn until_said(&mut self, text: &str) {
        self.until(&format!("it says {text:?}"), |it| it.said().contains(text));
    }

    /// Waits until its output has everything that the tenant has made available by then.
    pub(crate) fn until_all_of(&mut self, tenant: &Tenant) {
        self.until("all is delivered", |it| {
            let got: std::collections::BTreeSet<_> = ids_of(&it.lines()).into_iter().collect();
            tenant.ids().iter().all(|id| got.contains(id))
        });
    }

    /// Waits until the tenant has been asked so often by calls of that kind since it began.
    pub(crate) fn until_asked(&mut self, tenant: &Tenant, kind: &str, times: u64) {
        self.until(&format!("there are {times} calls of {kind}"), |_| tenant.ledger().count(kind) >= times);
    }

    /// Waits until the tenant has been listed so many times more, which shows that nothing was left to do.
    pub(crate) fn until_listed_again(&mut self, tenant: &Tenant, times: u64) {
        let before = tenant.ledger().count("first_page");
        self.until_asked(tenant, "first_page", before + times);
    }

    /// Asks it to end and waits: within the time that the design promises.
    pub(crate) fn stop(self) -> Ended {
        let asked = Instant::now();
        self.sigterm();
        let ended = self.ends();
        let took = asked.elapsed();
        assert!(took < allowed(Duration::from_secs(5)), "it took {took:?} to end");
        ended
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail if it has ended, which is how it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whole_lines(text: &str) -> Vec<String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    if whole.is_empty() { Vec::new() } else { whole.split('\n').map(str::to_owned).collect() }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    /// Its standard output, if that was a pipe.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
    /// How long it ran.
    pub(crate) took: Duration,
    /// The most memory that it was seen to need, in bytes.
    pub(crate) peak: u64,
}

impl Ended {
    /// It ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{} it said:\n{}", self.status, self.stderr);
        self
    }

    /// It said all of this.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "it did not say {text:?} but:\n{}", self.stderr);
        }
        self
    }

    /// It said nothing of this.
    #[track_caller]
    pub(crate) fn does_not_say(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(!self.stderr.contains(text), "it said {text:?}:\n{}", self.stderr);
        }
        self
    }

    /// Its exit code, if it ended by itself.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The whole lines of an output whose reader may have died in the middle of one.
    pub(crate) fn whole_lines(&self) -> Vec<String> {
        whole_lines(&self.stdout)
    }

    /// The lines of its output. A process that was not killed leaves no torn line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<String> {
        let whole = self.stdout.is_empty() || self.stdout.ends_with('\n') || self.signal().is_some();
        assert!(whole, "a torn last line: {:?}", self.stdout.lines().last());
        whole_lines(&self.stdout)
    }
}

/// Waits until a file has so many lines.
pub(crate) fn until_lines_in(path: &Path, count: usize) {
    eventually(&format!("{} has {count} lines", path.display()), || {
        std::fs::read_to_string(path).is_ok_and(|text| whole_lines(&text).len() >= count)
    });
}
