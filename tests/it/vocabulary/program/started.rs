//! A process under way: its signals, its readers, and what a story waits for.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::{PATIENCE, Tenant, allowed, ids_of};
use super::MEMORY_MAX;
use super::ear::{DIES, Ear, LEAVES, READS, TRICKLES};
use super::ended::{Ended, whole_lines};

/// A process under way. It is killed if the story forgets it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(super) child: Child,
    pub(super) output: Option<Ear>,
    pub(super) errors: Ear,
    pub(super) started: Instant,
    /// The most memory that it was seen to need.
    pub(super) peak: u64,
    pub(super) _socket: Option<UnixStream>,
    pub(super) patience: Duration,
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
        self.output.as_ref().unwrap().length()
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
