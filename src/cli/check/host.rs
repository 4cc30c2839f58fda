//! The checks that are about this host and not about a tenant. They only look: nothing is created, opened for writing or repaired.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, FileType, access, fstat, statvfs};

use super::finding::Findings;
use crate::cli::Exit;
use crate::config::Settings;
use crate::store::{SledStore, StoreError, inspect};

/// Less room than this is a reason to look: dead letters and a growing backlog need some.
const ROOM_WANTED: u64 = 512 * 1024 * 1024;

/// All of them.
pub(super) fn look(settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    look_at_settings(settings, &mut findings);
    look_at_state(&settings.state_dir, &mut findings);
    look_at_output(settings, &mut findings);
    findings
}

fn look_at_settings(settings: &Settings, findings: &mut Findings) {
    let files = match &settings.files[..] {
        [] => "flags and environment, no file".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    let tenants = match settings.tenants.len() {
        1 => "1 tenant".to_owned(),
        n => format!("{n} tenants"),
    };
    findings.ok("settings", format!("{tenants} from {files}"));
    for warning in &settings.warnings {
        findings.warn("settings", warning.to_string(), "look at that setting");
    }
}

fn look_at_state(dir: &Path, findings: &mut Findings) {
    let shown = dir.display();
    let metadata = match fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return look_at_missing_state(dir, findings),
        Err(error) => {
            return findings.fail("state", format!("{shown} can't be looked at: {error}"), "check --state-dir", Exit::Failed);
        }
    };
    if !metadata.is_dir() {
        return findings.fail("state", format!("{shown} is no directory"), "check --state-dir", Exit::Failed);
    }
    if access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let next = "check its owner and permissions, and the user that this command runs as";
        return findings.fail("state", format!("{shown} can't be written by this user"), next, Exit::Failed);
    }
    findings.ok("state", format!("{shown}: {}", in_use(dir)));
    if let Some(transient) = transient(dir) {
        findings.warn(
            "state",
            format!("{shown} lies on {transient}, which is empty after a restart: collection would start over each time"),
            "put --state-dir on a disk or a volume that stays",
        );
    }
    let damaged = damaged(dir);
    if damaged > 0 {
        findings.warn(
            "state",
            format!("{shown} holds {damaged} damaged-* directories: state that could not be trusted was moved there"),
            "find out what damaged it (disk, memory, a copy made while it was in use); then they may be deleted",
        );
    }
    look_at_room(dir, findings);
}

fn look_at_missing_state(dir: &Path, findings: &mut Findings) {
    let shown = dir.display();
    let parent = dir.ancestors().skip(1).find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    if !parent.is_dir() || access(parent, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let detail = format!("{shown} does not exist and can't be made in {}", parent.display());
        return findings.fail("state", detail, "make it and give it to this user, or check --state-dir", Exit::Failed);
    }
    findings.ok("state", format!("{shown} does not exist yet; the first start makes it"));
    look_at_room(parent, findings);
}

/// Whether a process holds the lock. Who is asked for only if it does, since asking would take it otherwise.
fn in_use(dir: &Path) -> String {
    if !SledStore::is_locked(dir) {
        return "not in use; `defender-feed state verify` looks inside".to_owned();
    }
    match inspect(dir) {
        Err(StoreError::Locked { pid: Some(pid), since: Some(since), .. }) => {
            format!("in use by process {pid}, started at {since}")
        }
        Err(StoreError::Locked { pid: Some(pid), .. }) => format!("in use by process {pid}"),
        _ => "in use by another process".to_owned(),
    }
}

fn damaged(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("damaged-")).count()
}

fn look_at_room(dir: &Path, findings: &mut Findings) {
    let Ok(stat) = statvfs(dir) else { return };
    let room = stat.f_bavail.saturating_mul(stat.f_frsize);
    if room < ROOM_WANTED {
        findings.warn(
            "state",
            format!("only {} MiB are free on the file system of {}", room / (1024 * 1024), dir.display()),
            "make room: without any, collection stops until there is some",
        );
    }
}

/// The name of a file system that forgets.
#[cfg(target_os = "linux")]
fn transient(dir: &Path) -> Option<&'static str> {
    // From linux/magic.h.
    match u64::try_from(rustix::fs::statfs(dir).ok()?.f_type).ok()? {
        0x0102_1994 => Some("tmpfs"),
        0x8584_58f6 => Some("ramfs"),
        0x794c_7630 => Some("the writable layer of a container (overlayfs)"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn transient(_dir: &Path) -> Option<&'static str> {
    None
}

/// Nothing is created: what is missing is so for a reason until a poller starts.
fn look_at_output_file(path: &Path, findings: &mut Findings) {
    let name = path.display();
    let problem = match (std::fs::metadata(path), path.parent().map(std::fs::metadata)) {
        (Ok(there), _) if there.is_file() && access(path, Access::WRITE_OK).is_err() => {
            Some("may not be written by this user".to_owned())
        }
        (Ok(there), Some(Ok(_))) if there.is_file() => path.parent().and_then(unwritable),
        (Ok(there), _) if there.is_file() => None,
        (Ok(_), _) => Some("is no regular file".to_owned()),
        (Err(error), _) if error.kind() != std::io::ErrorKind::NotFound => Some(format!("can't be looked at: {error}")),
        (Err(_), Some(Ok(dir))) if dir.is_dir() => path.parent().and_then(unwritable),
        (Err(_), _) => Some("can't be created: its directory does not exist".to_owned()),
    };
    match problem {
        None => findings.ok("output", format!("events go to {name}: one counts as delivered once it is synced to the disk")),
        Some(problem) => {
            let next = "name another file (output), or create its directory and let this user write there";
            findings.fail("output", format!("the output file {name} {problem}"), next, Exit::OutputClosed);
        }
    }
}

/// What keeps the next file from being created.
fn unwritable(dir: &Path) -> Option<String> {
    access(dir, Access::WRITE_OK | Access::EXEC_OK)
        .err()
        .map(|error| format!("can't be begun anew: {} can't be written ({error})", dir.display()))
}

fn look_at_output(settings: &Settings, findings: &mut Findings) {
    if let Some(file) = &settings.output {
        return look_at_output_file(&file.path, findings);
    }
    let drain = settings.drain;
    if let Err(error) = crate::sink::stdout() {
        return findings.fail("output", error.to_string(), "", Exit::OutputClosed);
    }
    let kind = fstat(std::io::stdout()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let detail = match kind {
        Ok(FileType::RegularFile) => "stdout is a file: an event counts as delivered once it is synced to the disk",
        Ok(FileType::Fifo) if drain => "stdout is a pipe: an event counts as delivered once it has been read there (drain)",
        Ok(FileType::Fifo) => "stdout is a pipe: an event counts as delivered once the pipe has taken it",
        Ok(FileType::Socket) => "stdout is a socket: an event counts as delivered once the socket has taken it",
        Ok(FileType::CharacterDevice) if std::io::IsTerminal::is_terminal(&std::io::stdout()) => "stdout is a terminal",
        _ => "stdout is a device",
    };
    let kept = matches!(kind, Ok(FileType::RegularFile | FileType::Fifo));
    if drain && !kept {
        return findings.warn(
            "output",
            format!("{detail}, and nothing tells what has been read from that: drain can't be kept (of this command; a poller's may be another)"),
            "let a poller write to a pipe or a regular file, or leave drain out",
        );
    }
    findings.ok("output", format!("{detail} (of this command; a poller's may be another)"));
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    fn statuses(dir: &Path) -> Vec<(Status, String)> {
        let mut findings = Findings::default();
        look_at_state(dir, &mut findings);
        findings.list.into_iter().map(|finding| (finding.status, finding.detail)).collect()
    }

    #[test]
    fn a_state_is_looked_at_without_leaving_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        assert!(statuses(&state)[0].1.contains("the first start makes it"));
        assert!(!dir.path().join("a").exists());
        std::fs::create_dir_all(&state).unwrap();
        assert!(statuses(&state)[0].1.contains("not in use"));
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    }

    #[test]
    fn who_uses_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (_store, _) = SledStore::open(dir.path()).unwrap();
        assert!(statuses(dir.path())[0].1.contains(&format!("in use by process {}, started at ", std::process::id())));
    }

    #[test]
    fn what_is_wrong_with_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(statuses(&file)[0].0, Status::Fail);
        assert_eq!(statuses(&file.join("below"))[0].0, Status::Fail);
        std::fs::create_dir(dir.path().join("damaged-20260301T120000Z")).unwrap();
        assert!(statuses(dir.path()).iter().any(|(status, text)| *status == Status::Warn && text.contains("1 damaged-*")));
    }
}
