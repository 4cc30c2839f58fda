//! Waits until what was written to a pipe has been read out of it.
//!
//! The system tells how many bytes of a pipe are unread (`FIONREAD`), also at its writing end, and they are read in the order in which
//! they were written. So everything that is in the pipe when a batch has been written is read once as many bytes have left it. What is
//! seen leaving is a lower bound of that: others who write to the same pipe can hide a part of it, so with them it may take longer to
//! see, and it is never seen too early.
//!
//! "Read" is said by the kernel: whoever holds the other end has these bytes in its memory. What becomes of them there can't be seen from
//! here, nor which of several readers it was.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};

/// A reader that keeps up has read a batch by the time of the second look, so that draining costs a commit next to nothing.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Nothing wakes a writer when its pipe becomes empty, so it has to look again and again. Twenty looks a second at a reader that stalls
/// cost less than a thousandth of a core, and a commit comes no later than this after the read.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How many bytes of the pipe are unread.
///
/// # Errors
/// If the system can't tell, as for anything that is no pipe.
pub(super) fn unread(pipe: &File) -> io::Result<u64> {
    Ok(ioctl_fionread(pipe)?)
}

/// Returns when everything that is in the pipe now has been read, however long that takes.
///
/// # Errors
/// [`ErrorKind::BrokenPipe`] if the last reader has gone with something left; at once, not only at the next look.
pub(super) fn wait_until_read(pipe: &File) -> io::Result<()> {
    let mut waiting = Waiting::for_all_of(unread(pipe)?);
    let mut pause = PAUSE_MIN;
    let mut gone = false;
    while !waiting.is_over() {
        if gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        gone = has_gone(pipe, pause)?;
        pause = (2 * pause).min(PAUSE_MAX);
        // After the reader has gone as well: the last thing that it did may have been to read the rest.
        waiting.see(unread(pipe)?);
    }
    Ok(())
}

/// Sleeps for a while; true, and at once, if nobody holds the reading end any more.
fn has_gone(pipe: &File, pause: Duration) -> io::Result<bool> {
    let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
    // Asked for nothing, poll still reports errors and hang-ups.
    match poll(&mut [PollFd::new(pipe, PollFlags::empty())], Some(&pause)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What has still to be seen leaving the pipe.
#[derive(Debug)]
struct Waiting {
    left: u64,
    last: u64,
}

impl Waiting {
    fn for_all_of(unread: u64) -> Self {
        Self { left: unread, last: unread }
    }

    /// Takes note of how much is unread now. Less than before means that at least the difference was read.
    fn see(&mut self, unread: u64) {
        self.left = self.left.saturating_sub(self.last.saturating_sub(unread));
        self.last = unread;
    }

    fn is_over(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{PipeReader, Read, Write};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;
    use std::thread;

    /// A pipe with this in it.
    fn pipe_with(content: &[u8]) -> (PipeReader, File) {
        let (reader, writer) = io::pipe().unwrap();
        let mut writer = File::from(OwnedFd::from(writer));
        writer.write_all(content).unwrap();
        (reader, writer)
    }

    /// Waits on a thread of its own; the answer comes by the channel.
    fn waiting(pipe: File) -> mpsc::Receiver<io::Result<()>> {
        let (told, hears) = mpsc::channel();
        thread::spawn(move || told.send(wait_until_read(&pipe)));
        hears
    }

    #[test]
    fn it_ends_with_the_last_byte_and_not_before() {
        let (mut reader, writer) = pipe_with(&[7; 1000]);
        let answer = waiting(writer);
        for _ in 0..9 {
            reader.read_exact(&mut [0; 100]).unwrap();
            assert!(answer.recv_timeout(Duration::from_millis(20)).is_err());
        }
        reader.read_exact(&mut [0; 99]).unwrap();
        assert!(answer.recv_timeout(Duration::from_millis(120)).is_err(), "one byte is unread");
        reader.read_exact(&mut [0; 1]).unwrap();
        answer.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    }

    #[test]
    fn a_reader_that_goes_with_something_left_is_an_error_and_one_that_has_read_all_is_none() {
        for read in [0, 999, 1000] {
            let (mut reader, writer) = pipe_with(&[7; 1000]);
            let answer = waiting(writer);
            reader.read_exact(&mut vec![0; read]).unwrap();
            drop(reader);
            let answer = answer.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(answer.map_err(|e| e.kind()), if read == 1000 { Ok(()) } else { Err(ErrorKind::BrokenPipe) }, "{read}");
        }
    }

    #[test]
    fn another_writer_that_never_pauses_does_not_make_it_wait_for_ever() {
        let (mut reader, writer) = pipe_with(&[7; 30_000]);
        let mut other = writer.try_clone().unwrap();
        let answer = waiting(writer);
        // What the other one writes keeps the pipe from ever being empty.
        let mut some = [0; 1000];
        for _ in 0..10_000 {
            other.write_all(&some[..900]).unwrap();
            reader.read_exact(&mut some).unwrap();
            thread::sleep(Duration::from_millis(5));
            if let Ok(answer) = answer.try_recv() {
                return answer.unwrap();
            }
            if unread(&other).unwrap() < 1000 {
                other.write_all(&[7; 30_000]).unwrap();
            }
        }
        panic!("it was never seen");
    }

    #[test]
    fn what_is_no_pipe_can_not_be_asked() {
        assert!(unread(&File::open("/dev/null").unwrap()).is_err());
    }

    proptest! {
        /// Any mixture of reads, writes of others, and looks: it is never over before our bytes are out.
        #[test]
        fn it_is_never_over_too_early(before in 0..300_u64, ours in 1..300_u64, steps in proptest::collection::vec((0..120_u64, 0..120_u64), 0..60)) {
            let (mut written, mut read) = (before + ours, 0);
            let end = written;
            let mut waiting = Waiting::for_all_of(written);
            for (reads, writes) in steps {
                // Both happen between two looks, in any order.
                written += writes;
                read = written.min(read + reads);
                waiting.see(written - read);
                prop_assert!(!waiting.is_over() || read >= end);
            }
            waiting.see(0);
            prop_assert!(waiting.is_over(), "an empty pipe ends it in any case");
        }
    }
}
