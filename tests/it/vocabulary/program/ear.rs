//! Who reads what a process writes: at once, slowly, not at all, or until they leave.

use std::io::{PipeReader, Read};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) const WAITS: u8 = 0;
pub(super) const READS: u8 = 1;
pub(super) const LEAVES: u8 = 2;
pub(super) const TRICKLES: u8 = 3;
pub(super) const DIES: u8 = 4;

/// Listens at a pipe, on a thread of its own.
#[derive(Debug)]
pub(super) struct Ear {
    heard: Arc<Mutex<Vec<u8>>>,
    pub(super) manner: Arc<AtomicU8>,
    /// How many bytes it may read while it waits.
    pub(super) allowed: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    pub(super) fn listen(pipe: PipeReader, manner: u8) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let manner = Arc::new(AtomicU8::new(manner));
        let allowed = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::spawn({
            let (heard, manner, allowed) = (heard.clone(), manner.clone(), allowed.clone());
            move || listen(pipe, &heard, &manner, &allowed)
        });
        Self { heard, manner, allowed, thread: Some(thread) }
    }

    pub(super) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }

    pub(super) fn length(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard()).into_owned()
    }

    /// Waits for the end of the pipe.
    pub(super) fn all(&mut self) -> Vec<u8> {
        if self.manner.load(Ordering::SeqCst) != LEAVES {
            self.manner.store(READS, Ordering::SeqCst);
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.heard()
    }

    /// Closes the pipe at its reading end, after reading what is in it or at once.
    pub(super) fn end(&mut self, manner: u8) {
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
