//! A run of the product: how it is watched, and what became of it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::fs::{CWD, FileType, OFlags, mknodat};

use crate::calls::{Call, Hit};

/// How a run is watched, and what is done to it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// This call is hit.
    pub(crate) hit: Option<Hit>,
    /// Reads count as calls.
    pub(crate) reads: bool,
    /// The bytes of all writes are kept.
    pub(crate) data: bool,
    /// strace watches too.
    pub(crate) strace: bool,
    /// No file may get longer than this.
    pub(crate) file_limit: Option<u64>,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(super) status: ExitStatus,
    /// It did not end by itself.
    pub(crate) hung: bool,
    /// What it said.
    pub(crate) said: String,
    /// What it did to its state and output.
    pub(crate) calls: Vec<Call>,
    /// The bytes of all its writes, one after the other.
    pub(crate) data: Vec<u8>,
    /// What strace saw.
    pub(crate) traced: Vec<(String, PathBuf)>,
}

impl Run {
    /// Its exit code, if it had one.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The call that was hit.
    pub(crate) fn hit(&self) -> Option<&Call> {
        self.calls.iter().find(|call| call.injected)
    }

    /// True if it was told to go on and says that there is nothing to go on with.
    pub(crate) fn refuses_to_resume(&self) -> bool {
        self.code() == Some(2) && self.said.contains("there is no interrupted run to resume")
    }

    /// How it ended, and its last words.
    pub(crate) fn story(&self) -> String {
        let words: Vec<&str> = self.said.lines().rev().take(6).collect();
        format!("{}; said: {}", self.status, words.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }
}

/// A FIFO in the place of the shim's log: its 64 KiB hold several times the calls of a canonical run.
pub(super) struct Noted(File);

impl Noted {
    pub(super) fn of(log: &Path) -> Self {
        mknodat(CWD, log, FileType::Fifo, 0o600.into(), 0).unwrap();
        let fifo =
            OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(log).unwrap();
        Self(fifo)
    }

    pub(super) fn text(&mut self) -> String {
        let mut text = Vec::new();
        match self.0.read_to_end(&mut text) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("the shim's log can't be read: {error}"),
            // It has no end, since it is open for writing here too: nothing is left.
            _ => {}
        }
        String::from_utf8(text).unwrap()
    }
}
