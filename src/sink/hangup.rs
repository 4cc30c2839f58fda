//! Notices while nothing is written that the reader of the output has gone.

use std::io::{self, PipeWriter};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};

/// Stops watching when dropped.
#[derive(Debug)]
pub struct HangupWatch {
    /// Its closing wakes the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Calls `gone` once, on a thread of its own, as soon as nobody can read any more what is written to `descriptor`.
///
/// The thread sleeps in `poll` without a time limit, so watching costs nothing. A regular file has no reader and is not
/// watched. A TCP peer that has closed is noticed only when it answers a write with a reset.
///
/// # Errors
/// If the descriptor can't be duplicated or the thread can't start.
pub fn watch_hangup(descriptor: impl AsFd, gone: impl FnOnce() + Send + 'static) -> io::Result<HangupWatch> {
    let watched = descriptor.as_fd().try_clone_to_owned()?;
    if FileType::from_raw_mode(fstat(&watched)?.st_mode) == FileType::RegularFile {
        return Ok(HangupWatch { stop: None, thread: None });
    }
    let (stopped, stop) = io::pipe()?;
    let thread = thread::Builder::new().name("output-watch".to_owned()).spawn(move || {
        // Asked for nothing, poll still reports errors and hang-ups.
        let mut both = [PollFd::new(&watched, PollFlags::empty()), PollFd::new(&stopped, PollFlags::empty())];
        loop {
            match poll(&mut both, None) {
                Err(error) if error == rustix::io::Errno::INTR => {}
                Err(_) => return,
                Ok(_) if !both[1].revents().is_empty() => return,
                Ok(_) if !both[0].revents().is_empty() => return gone(),
                Ok(_) => {}
            }
        }
    })?;
    Ok(HangupWatch { stop: Some(stop), thread: Some(thread) })
}

impl Drop for HangupWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_reader_that_goes_is_noticed_while_idle() {
        let (reader, writer) = io::pipe().unwrap();
        let (told, hears) = mpsc::channel();
        let watch = watch_hangup(&writer, move || told.send(()).unwrap()).unwrap();
        assert!(hears.recv_timeout(Duration::from_millis(50)).is_err());
        drop(reader);
        hears.recv_timeout(Duration::from_secs(5)).unwrap();
        drop(watch);
    }

    #[test]
    fn a_peer_that_closes_its_socket_is_noticed() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (told, hears) = mpsc::channel();
        let _watch = watch_hangup(&ours, move || told.send(()).unwrap()).unwrap();
        drop(theirs);
        hears.recv_timeout(Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn a_dropped_watch_is_silent_and_a_file_is_never_gone() {
        let (reader, writer) = io::pipe().unwrap();
        let (told, hears) = mpsc::channel();
        let file = tempfile::tempfile().unwrap();
        let told_by_file = told.clone();
        let file_watch = watch_hangup(&file, move || told_by_file.send(()).unwrap()).unwrap();
        drop(watch_hangup(&writer, move || told.send(()).unwrap()).unwrap());
        drop(reader);
        drop(file_watch);
        assert!(hears.recv_timeout(Duration::from_secs(1)).is_err());
    }
}
