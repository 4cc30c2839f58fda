//! The real binary, as a process.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{PATIENCE, Relay};
use ear::{Ear, READS, WAITS};

mod ear;
mod ended;
mod started;

pub(crate) use ended::{Ended, until_lines_in};
pub(crate) use started::Started;

/// What no process of any story may need at its worst (design, section 7).
pub(crate) const MEMORY_MAX: u64 = 128 << 20;
/// What a process needs that has nothing unusual to bear.
pub(crate) const MEMORY_STEADY: u64 = 64 << 20;

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
