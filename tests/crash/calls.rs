//! The calls by which a process touches its state, its output and its lock, as the shim notes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::audit;

/// What is done to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The process is killed before it.
    Kill,
    /// The process gets SIGTERM before it, and makes it.
    Term,
    /// It fails with that error.
    Error(&'static str, i32),
}

impl Kind {
    /// What every run of the crash points does.
    pub(crate) const USUAL: [Kind; 3] = [Kind::Kill, Kind::Error("ENOSPC", 28), Kind::Error("EIO", 5)];
    /// What is done on demand besides.
    pub(crate) const RARE: [Kind; 3] = [Kind::Error("EDQUOT", 122), Kind::Error("EROFS", 30), Kind::Error("EINTR", 4)];

    /// What is done to reads and closes: they need no room, and a kill before one leaves what a kill before the next write leaves.
    pub(crate) const OF_READS: [Kind; 2] = [Kind::Error("EIO", 5), Kind::Error("EINTR", 4)];

    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Term => "term",
            Kind::Error(name, _) => name,
        }
    }
}

/// Which call is hit, counted from 1, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// From 1, in one order for all threads.
    pub(crate) number: usize,
    pub(crate) name: String,
    /// What it returned; the errno if it failed.
    pub(crate) result: Result<u64, i32>,
    /// Where it wrote, or the length that it cut to.
    pub(crate) offset: Option<u64>,
    /// True if it was hit.
    pub(crate) injected: bool,
    /// False if it was not even tried, because it was hit.
    pub(crate) made: bool,
    pub(crate) path: PathBuf,
    /// The new name of a file that was renamed.
    pub(crate) second: PathBuf,
}

impl Call {
    /// True if it changes nothing, not even what is durable.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.name.as_str(), "read" | "pread" | "close")
    }

    /// What it did to what, for a person.
    pub(crate) fn label(&self, root: &Path) -> String {
        if audit::is_pipe(&self.path) {
            return format!("{} pipe", self.name);
        }
        format!("{} {}", self.name, self.path.strip_prefix(root).unwrap_or(&self.path).display())
    }
}

/// Reads what the shim noted.
pub(crate) fn read(log: &Path) -> Vec<Call> {
    parse(&std::fs::read_to_string(log).unwrap_or_default())
}

/// Reads what the shim noted, from memory.
pub(crate) fn parse(text: &str) -> Vec<Call> {
    text.lines().map(|line| call(line).unwrap_or_else(|| panic!("the shim never writes this: {line}"))).collect()
}

fn call(line: &str) -> Option<Call> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[number, name, result, error, offset, _, injected, path, second] = fields.as_slice() else { return None };
    let (error, offset): (i32, i64) = (error.parse().ok()?, offset.parse().ok()?);
    Some(Call {
        number: number.parse().ok()?,
        name: name.to_owned(),
        result: if error == 0 { Ok(result.parse::<i64>().ok()?.try_into().unwrap_or(0)) } else { Err(error) },
        offset: offset.try_into().ok(),
        injected: injected != "-",
        made: matches!(injected, "-" | "term"),
        path: path.into(),
        second: second.into(),
    })
}

/// Builds the shim. Rust needs a C compiler to link, so one is there.
pub(crate) fn build_shim(directory: &Path) -> PathBuf {
    let shim = directory.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/shim.c");
    let arguments = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
    let built = Command::new("cc").args(arguments).arg(&shim).arg(&source).arg("-ldl").status();
    assert!(built.as_ref().is_ok_and(|status| status.success()), "cc can't build {}: {built:?}", source.display());
    shim
}

/// What strace must see: every call that the shim may count.
pub(crate) const TRACED: &str = "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,sync_file_range,\
rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,truncate,ftruncate,flock,fallocate,copy_file_range,sendfile,splice,link,\
linkat,symlink,symlinkat,fchmod,fchmodat,chmod,io_uring_setup";

/// The same call under one name, whoever noted it.
pub(crate) fn plain(name: &str) -> &str {
    match name {
        name if name.starts_with("open") => "open",
        "pwrite64" => "pwrite",
        "renameat" | "renameat2" => "rename",
        "mkdirat" => "mkdir",
        "unlinkat" => "unlink",
        name => name,
    }
}

/// What strace saw below `root`, as name and path.
pub(crate) fn of_strace(log: &Path, root: &Path) -> Vec<(String, PathBuf)> {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    let below = |path: &PathBuf| path.starts_with(root);
    text.lines().filter_map(seen).filter(|(_, path)| below(path)).collect()
}

/// `1234 name(…) = …`; the other half of an interrupted line says nothing new.
fn seen(line: &str) -> Option<(String, PathBuf)> {
    let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let quoted = || rest.split('"').nth(1).map(PathBuf::from);
    let described = |text: &str| Some(PathBuf::from(text.split_once('<')?.1.split_once('>')?.0));
    let beside = matches!(name, "unlinkat" | "mkdirat") && rest.starts_with(|c: char| c.is_ascii_digit());
    let path = match rest.rsplit_once(" = ") {
        // A name below a directory that is open.
        _ if beside => described(rest).zip(quoted()).map(|(directory, name)| directory.join(name)),
        // What was opened, by its true name.
        Some((_, result)) if name.starts_with("open") && result.contains('<') => described(result),
        _ if rest.starts_with(|c: char| c.is_ascii_digit()) => described(rest.split_once(',').map_or(rest, |(fd, _)| fd)),
        _ => quoted(),
    };
    Some((plain(name).to_owned(), path?))
}
