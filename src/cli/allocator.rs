//! Has the C library give memory back.
//!
//! glibc serves what is large from pages of their own, which the system gets back at once. But each time such a piece is freed it
//! takes pieces of that size for usual, and serves them from its heaps from then on; there the store's buffers of half a
//! megabyte, with small values that stay between them, leave holes that nobody gets back. What this costs and saves:
//! docs/performance.md.
//!
//! The settings are read when a process starts, from its environment; to change them later takes unsafe code. So a collecting command
//! starts itself once more in its own place, before it has touched anything.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Above the 416 kB in which bodies are read, several times for each blob, and below the store's buffers. As few heaps as there are
/// threads that need them at the same time.
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "500000"), ("MALLOC_TRIM_THRESHOLD_", "4000000")];

/// The program's name. Under another one that is not what it was called by either, it may be run by somebody else's loader, which
/// would be what is started.
const PROGRAM: &str = env!("CARGO_PKG_NAME");
/// Says that it was started once more. Where a program has rights that its user lacks, newer versions of glibc take the settings out of
/// its environment, and only this stays.
const STARTED: &str = "_STARTED_WITH_MALLOC_SETTINGS";

/// Starts the program once more with the settings, in its own place. Returns if it has them already, if somebody chose others, where
/// they mean nothing, and where it can't: the program then runs as well, and takes more memory.
pub fn settle() {
    let is_chosen = |(name, _): (OsString, OsString)| is_setting(&name);
    if !cfg!(all(target_os = "linux", target_env = "gnu")) || env::vars_os().any(is_chosen) {
        return;
    }
    let mut arguments = env::args_os();
    if let (Ok(program), Some(name)) = (env::current_exe(), arguments.next())
        && is_ours(&program, &name)
    {
        let _ = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).env(STARTED, "1").exec();
    }
}

/// True if this is our program, as it is named or as it was called.
fn is_ours(program: &Path, called: &OsStr) -> bool {
    let name = program.file_name();
    name == Some(PROGRAM.as_ref()) || (name.is_some() && name == Path::new(called).file_name())
}

/// True of a variable by which glibc's memory is set up, or that says that we did.
fn is_setting(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"MALLOC_") || name == b"GLIBC_TUNABLES" || name == STARTED.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_not_started_in_the_place_of_the_program() {
        let ours = |program: &str, called: &str| is_ours(program.as_ref(), called.as_ref());
        assert!(ours("/usr/bin/defender-feed", "anything") && ours("/opt/feed", "./feed") && ours("/opt/feed", "feed"));
        assert!(!ours("/lib64/ld-linux-x86-64.so.2", "/usr/bin/defender-feed") && !ours("/usr/bin/qemu-x86_64", "feed"));
        assert!(!ours("/", "/"));
    }

    #[test]
    fn a_process_that_has_the_settings_does_not_start_itself_again() {
        assert!(SETTINGS.iter().all(|(name, _)| is_setting(name.as_ref())));
        assert!(is_setting("GLIBC_TUNABLES".as_ref()) && is_setting(STARTED.as_ref()));
        assert!(!is_setting("AZURE_CLIENT_SECRET".as_ref()));
    }
}
