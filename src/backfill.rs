//! The one-shot run over a range of availability: its place under the state directory, and whether it goes on or starts
//! afresh.
//!
//! A job lives in `<state-dir>/jobs/<name>/`, where `<name>` is the tenant's id, or for several tenants a digest of them:
//! `lock` (held while it runs, with the process id), `job.json` (what was asked for, and whether it was finished), `store/`
//! (a store like the poller's) and `dead-letter/`. It never touches the poller's place.
//!
//! A run starts afresh unless it is told to resume, or writes to the very file that the interrupted run wrote and finds all
//! of it still there: to skip silently what a shell's `>` has just cut off would be a loss.

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::domain::FeedId;
use crate::sink::{OutputMark, directory};

/// What was asked for, and whether it was finished.
const NAME: &str = "job.json";
/// What it is called until it is whole.
const DRAFT: &str = "job.json.new";
/// The version of `job.json`.
const VERSION: u32 = 1;
/// A job file is a few hundred bytes a tenant; what is larger is none.
const JOB_FILE_MAX: u64 = 1 << 20;
/// A process that was killed can hold its lock until the kernel has torn it down.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was asked for, in the words of the command line: a run goes on only with the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// `--since` as typed.
    pub since: String,
    /// `--until` as typed.
    pub until: Option<String>,
    /// The feeds with their wanted record types.
    pub feeds: Vec<(FeedId, String)>,
    /// The output format and whether it is enveloped: lines of two kinds in one file help nobody.
    pub format: (String, bool),
}

#[derive(Debug, Serialize, Deserialize)]
struct JobFile {
    version: u32,
    request: Request,
    finished: bool,
}

/// Why a job can't run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Another backfill of the same tenants runs.
    #[error("another backfill of the same tenants is running (process {pid}): wait for it, or use another --state-dir")]
    Locked {
        /// Its process id, as it wrote it down.
        pid: String,
    },
    /// The job's directory fails.
    #[error("{} can't be used: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// Something that is no file stands where one of the job's should: a FIFO would be waited for, a link followed to a file of
    /// somebody else's.
    #[error("{} is {what}, where this job keeps a file: move it elsewhere and start again; nothing was touched", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The interrupted run was asked for something else.
    #[error("the interrupted run asked for {before}; resume that, or leave out --resume to start afresh")]
    Other {
        /// What it asked for.
        before: String,
    },
    /// There is nothing to resume.
    #[error("there is no interrupted run to resume in {}: leave out --resume to start afresh", path.display())]
    Nothing {
        /// The job's directory.
        path: PathBuf,
    },
}

/// What a run has to do with the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It begins at the beginning; the reason, if a run was interrupted before.
    Afresh(Option<String>),
    /// It goes on.
    Resume,
}

/// A job, locked.
#[derive(Debug)]
pub struct Job {
    dir: PathBuf,
    request: Request,
    before: Option<JobFile>,
    _lock: File,
}

impl Job {
    /// Takes the job of these feeds.
    ///
    /// # Errors
    /// If it is running elsewhere, or its directory can't be used.
    pub fn take(state_dir: &Path, request: Request) -> Result<Self, JobError> {
        let dir = state_dir.join("jobs").join(name(&request.feeds));
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| JobError::Io { path, error }
        };
        directory::make(&dir).map_err(io(&dir))?;
        ["lock", NAME, DRAFT].iter().try_for_each(|name| refuse_what_is_no_file(&dir.join(name)))?;
        let path = dir.join("lock");
        let mut lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io(&path))?;
        let since = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if since.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                Err(fs::TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    // Who holds it is only told if it can be read.
                    let _ = lock.take(32).read_to_string(&mut pid);
                    return Err(JobError::Locked { pid: pid.trim().to_owned() });
                }
                Err(fs::TryLockError::Error(error)) => return Err(io(&path)(error)),
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(io(&path))?;
        let before = read(&dir.join(NAME));
        Ok(Self { dir, request, before, _lock: lock })
    }

    /// Where its store and its dead letters live.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of its store.
    pub fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// True if a run was interrupted before.
    pub fn is_interrupted(&self) -> bool {
        self.before.as_ref().is_some_and(|before| !before.finished) && self.store_dir().exists()
    }

    /// Decides whether to go on. `written` is where the interrupted run's output stood at each feed's last commit, `output` where
    /// this run's output stands now; nothing for outputs that are no regular files. A run that went on into another file leaves
    /// marks of both.
    ///
    /// # Errors
    /// If it was told to resume and there is nothing of that kind to go on with.
    pub fn decide(&self, resume: bool, written: &[OutputMark], output: Option<OutputMark>) -> Result<Start, JobError> {
        let Some(before) = self.before.as_ref().filter(|_| self.is_interrupted()) else {
            return if resume { Err(JobError::Nothing { path: self.dir.clone() }) } else { Ok(Start::Afresh(None)) };
        };
        if before.request != self.request {
            let before = before.request.describe();
            return if resume {
                Err(JobError::Other { before })
            } else {
                Ok(Start::Afresh(Some(format!("the interrupted run asked for something else ({before})"))))
            };
        }
        let same_file = |mark: &OutputMark| output.is_some_and(|o| (mark.device, mark.inode) == (o.device, o.inode));
        let lost = |mark: &OutputMark| same_file(mark) && output.is_some_and(|o| o.length < mark.length);
        Ok(if written.iter().any(lost) {
            Start::Afresh(Some("the output file has lost what the interrupted run wrote".into()))
        } else if resume || (!written.is_empty() && written.iter().all(same_file)) {
            Start::Resume
        } else {
            Start::Afresh(Some("this is another output than the interrupted run's (see --resume)".into()))
        })
    }

    /// Writes down what is about to be done. Afresh, the store of the run before is removed first; and before that its job file,
    /// since what is left of a store that was half removed must not be gone on with.
    ///
    /// # Errors
    /// If the directory can't be written.
    pub fn begin(&mut self, start: &Start) -> Result<(), JobError> {
        let store = self.store_dir();
        if matches!(start, Start::Afresh(_)) && store.exists() {
            self.forget()?;
            fs::remove_dir_all(&store).map_err(|error| JobError::Io { path: store, error })?;
        }
        self.save(false)
    }

    /// Writes down that everything was done: the next run starts afresh.
    ///
    /// # Errors
    /// If the directory can't be written.
    pub fn finish(&mut self) -> Result<(), JobError> {
        self.save(true)
    }

    fn forget(&mut self) -> Result<(), JobError> {
        let path = self.dir.join(NAME);
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => File::open(&self.dir).and_then(|dir| dir.sync_all()),
        };
        removed.map_err(|error| JobError::Io { path, error })?;
        self.before = None;
        Ok(())
    }

    fn save(&mut self, finished: bool) -> Result<(), JobError> {
        let file = JobFile { version: VERSION, request: self.request.clone(), finished };
        let path = self.dir.join(NAME);
        let write = || -> std::io::Result<()> {
            let text = serde_json::to_vec_pretty(&file)?;
            let draft = self.dir.join(DRAFT);
            let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            out.write_all(&text)?;
            out.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| JobError::Io { path: path.clone(), error })?;
        self.before = Some(file);
        Ok(())
    }
}

impl Request {
    /// For a person.
    pub fn describe(&self) -> String {
        let until = self.until.as_ref().map(|u| format!(" --until {u}")).unwrap_or_default();
        let filters: Vec<_> = self.feeds.iter().map(|(_, filter)| filter.as_str()).collect();
        format!("--since {}{until} --record-types {} --format {}", self.since, filters.join(" / "), self.format.0)
    }
}

/// Refuses a link, a FIFO, a directory or the like, before anything is opened.
fn refuse_what_is_no_file(path: &Path) -> Result<(), JobError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(there) => there.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(JobError::Io { path: path.to_owned(), error }),
    };
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a link",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(JobError::NoFile { path: path.to_owned(), what })
}

/// A job file that can't be read is as good as none: the run starts afresh, which loses nothing.
fn read(path: &Path) -> Option<JobFile> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(JOB_FILE_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<JobFile>(&text).ok().filter(|job| job.version == VERSION)
}

fn name(feeds: &[(FeedId, String)]) -> String {
    let mut tenants: Vec<_> = feeds.iter().map(|(feed, _)| feed.tenant.as_str()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    if let [only] = tenants[..] {
        return only.to_owned();
    }
    let mut hasher = SipHasher13::new();
    tenants.iter().for_each(|tenant| hasher.write(tenant.as_bytes()));
    format!("tenants-{}-{:016x}", tenants.len(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentType;

    fn request(since: &str) -> Request {
        let feed =
            FeedId { tenant: "11111111-0000-4000-8000-000000000001".parse().unwrap(), content_type: ContentType::AuditGeneral };
        Request { since: since.into(), until: None, feeds: vec![(feed, "28".into())], format: ("raw".into(), false) }
    }

    fn mark(inode: u64, length: u64) -> Option<OutputMark> {
        Some(OutputMark { device: 1, inode, length })
    }

    fn interrupted(dir: &Path) -> Job {
        let mut job = Job::take(dir, request("24h")).unwrap();
        job.begin(&Start::Afresh(None)).unwrap();
        fs::create_dir_all(job.store_dir()).unwrap();
        job
    }

    #[test]
    fn goes_on_only_where_nothing_is_lost_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let job = interrupted(dir.path());
        let afresh = |start: Result<Start, JobError>| matches!(start, Ok(Start::Afresh(Some(_))));
        assert_eq!(job.decide(false, mark(7, 100).as_slice(), mark(7, 100)).unwrap(), Start::Resume);
        assert_eq!(job.decide(false, mark(7, 100).as_slice(), mark(7, 150)).unwrap(), Start::Resume);
        assert!(afresh(job.decide(false, mark(7, 100).as_slice(), mark(7, 0))));
        assert!(afresh(job.decide(true, mark(7, 100).as_slice(), mark(7, 99))));
        assert!(afresh(job.decide(false, mark(7, 100).as_slice(), mark(8, 500))));
        assert!(afresh(job.decide(false, &[], None)));
        assert_eq!(job.decide(true, &[], None).unwrap(), Start::Resume);
        assert_eq!(job.decide(true, mark(7, 100).as_slice(), None).unwrap(), Start::Resume);
    }

    #[test]
    fn what_lies_in_two_outputs_is_looked_for_in_the_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let job = interrupted(dir.path());
        // One feed was committed last when the output was file 7, the other when it was file 8.
        let marks: Vec<OutputMark> = mark(7, 1_000).into_iter().chain(mark(8, 100)).collect();
        let afresh = |start: Result<Start, JobError>| matches!(start, Ok(Start::Afresh(Some(_))));
        assert_eq!(job.decide(true, &marks, mark(8, 100)).unwrap(), Start::Resume);
        assert!(afresh(job.decide(true, &marks, mark(8, 0))), "a shell has cut it off");
        assert!(afresh(job.decide(true, &marks, mark(7, 999))));
        assert!(afresh(job.decide(false, &marks, mark(8, 100))), "it holds nothing of the first feed");
    }

    #[test]
    fn a_store_that_is_not_wholly_removed_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let mut job = interrupted(dir.path());
        // A file in its place can't be removed as a directory, and so stands for a removal that did not come to its end.
        fs::remove_dir(job.store_dir()).unwrap();
        fs::write(job.store_dir(), "").unwrap();
        assert!(job.is_interrupted());
        job.begin(&Start::Afresh(None)).unwrap_err();
        drop(job);
        let job = Job::take(dir.path(), request("24h")).unwrap();
        assert!(!job.is_interrupted());
        assert!(matches!(job.decide(true, &[], mark(7, 0)), Err(JobError::Nothing { .. })));
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let _job = interrupted(dir.path());
        let error = Job::take(dir.path(), request("24h")).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    }

    #[test]
    fn what_is_no_file_in_the_place_of_one_is_refused_and_left_alone() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "somebody else's").unwrap();
        let job = interrupted(dir.path()).dir().to_owned();
        for name in ["lock", NAME, DRAFT] {
            let path = job.join(name);
            let puts: [(&str, &dyn Fn()); 4] = [
                ("a FIFO", &|| mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap()),
                ("a link", &|| std::os::unix::fs::symlink(&elsewhere, &path).unwrap()),
                ("a socket", &|| drop(std::os::unix::net::UnixListener::bind(&path).unwrap())),
                ("a directory", &|| fs::create_dir(&path).unwrap()),
            ];
            for (what, put) in puts {
                let _ = fs::rename(&path, job.join("kept"));
                put();
                let error = Job::take(dir.path(), request("24h")).unwrap_err();
                let told = error.to_string();
                assert!(matches!(error, JobError::NoFile { .. }) && told.contains(what) && told.contains(name), "{told}");
                if what == "a directory" {
                    fs::remove_dir(&path).unwrap()
                } else {
                    fs::remove_file(&path).unwrap()
                }
                let _ = fs::rename(job.join("kept"), &path);
            }
        }
        assert_eq!(fs::read(&elsewhere).unwrap(), b"somebody else's");
        assert!(Job::take(dir.path(), request("24h")).unwrap().is_interrupted(), "nothing was touched");
    }

    #[test]
    fn resume_wants_the_same_request_and_an_interrupted_run() {
        let dir = tempfile::tempdir().unwrap();
        let error = Job::take(dir.path(), request("24h")).unwrap().decide(true, &[], None).unwrap_err();
        assert!(error.to_string().contains("no interrupted run"), "{error}");
        drop(interrupted(dir.path()));
        let error = Job::take(dir.path(), request("48h")).unwrap().decide(true, &[], None).unwrap_err();
        assert!(error.to_string().contains("--since 24h"), "{error}");
        let mut job = interrupted(dir.path());
        job.finish().unwrap();
        assert_eq!(job.decide(false, mark(1, 1).as_slice(), mark(1, 1)).unwrap(), Start::Afresh(None));
    }
}
