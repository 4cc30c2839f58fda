//! Where a client secret stands. The settings hold the place, never the secret, so that nothing that prints them can print it, and
//! so that a secret that was replaced is seen at the next token request.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use secrecy::{SecretString, zeroize::Zeroize};

use super::defaults::SECRET_BYTES_MAX;

/// What is said of a directory or a FIFO.
const NO_FILE: &str = "not a regular file";

/// The place of a client secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; absolute.
    File(PathBuf),
    /// An environment variable of this process.
    Environment(&'static str),
}

impl SecretSource {
    /// Reads the secret, anew at each call, and trims one newline at its end.
    ///
    /// # Errors
    /// A text for a person, without any part of the secret: the place can't be read, is empty, holds more than one line, is larger than
    /// a secret can be, or is a file that every user of the machine can read or change.
    pub fn read(&self) -> Result<SecretString, String> {
        match self {
            SecretSource::File(path) => {
                read_file(path).and_then(tidy).map_err(|why| format!("client secret file {}: {why}", path.display()))
            }
            SecretSource::Environment(name) => std::env::var_os(name)
                .ok_or_else(|| "it is not set".to_owned())
                .and_then(|value| tidy(value.into_encoded_bytes()))
                .map_err(|why| format!("environment variable {name}: {why}")),
        }
    }

    /// What would keep [`SecretSource::read`] from working now, or deserves a look: for warnings at start.
    pub(super) fn concern(&self) -> Option<String> {
        match self {
            SecretSource::Environment(_) => None,
            SecretSource::File(path) => match open(path).and_then(|file| file.metadata()) {
                Err(error) => Some(format!("{}; this tenant can't be collected until the file is there", explain(&error))),
                Ok(meta) => check(path, &meta).err().or_else(|| {
                    (meta.mode() & 0o040 != 0)
                        .then(|| format!("readable by its group (mode {:04o}); consider chmod 600", meta.mode() & 0o7777))
                }),
            },
        }
    }
}

/// Opens a secret's file without waiting, as it would where a FIFO stands in its place; what it is, the open file is asked.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = open(path).map_err(|error| explain(&error))?;
    // Asked of the open file, so that what is checked is what is read.
    let meta = file.metadata().map_err(|error| explain(&error))?;
    check(path, &meta)?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
    Ok(bytes)
}

/// Refuses what is no secret's place.
fn check(path: &Path, meta: &fs::Metadata) -> Result<(), String> {
    if !meta.is_file() {
        return Err(NO_FILE.to_owned());
    }
    let mode = meta.mode() & 0o7777;
    let exposed = match (mode & 0o002 != 0, mode & 0o004 != 0) {
        (true, _) => "can be changed",
        (false, true) => "can be read",
        (false, false) => return Ok(()),
    };
    if others_can_reach(path) {
        return Err(format!(
            "{exposed} by every user of the machine (mode {mode:04o}); chmod 600 it (Kubernetes: defaultMode 0400, Docker: mode 0400)"
        ));
    }
    Ok(())
}

/// True unless a directory on the way keeps other users out, as the directories of systemd credentials and of most homes do.
fn others_can_reach(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else {
        return true;
    };
    path.ancestors().skip(1).all(|directory| fs::metadata(directory).map_or(true, |meta| meta.mode() & 0o001 != 0))
}

/// The error in words, without the number that std adds.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => format!("it can't be read: {error}"),
    }
}

/// One line of text without its end.
fn tidy(mut bytes: Vec<u8>) -> Result<SecretString, String> {
    let secret = check_text(&bytes).map(SecretString::from);
    bytes.zeroize();
    secret
}

fn check_text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("larger than {SECRET_BYTES_MAX} bytes: this is no client secret"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8 text: this is no client secret".to_owned())?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err("empty".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("more than one line: this is no client secret".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    /// A directory that others may enter, with a file of the given mode.
    fn secret_file(bytes: &[u8], mode: u32, directory_mode: u32) -> (tempfile::TempDir, SecretSource) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(directory_mode)).unwrap();
        (directory, SecretSource::File(path))
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        let (_directory, source) = secret_file(bytes, 0o600, 0o755);
        source.read().map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn one_newline_at_the_end_is_trimmed() {
        for bytes in ["made up", "made up\n", "made up\r\n"] {
            assert_eq!(read(bytes.as_bytes()).unwrap(), "made up");
        }
        assert_eq!(read(b" spaces stay \n").unwrap(), " spaces stay ");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_repeating_it() {
        let long = vec![b'x'; SECRET_BYTES_MAX as usize + 1];
        for (bytes, why) in [
            (&b""[..], "empty"),
            (b"\n", "empty"),
            (b"\r\n", "empty"),
            (b"canary\n\n", "more than one line"),
            (b"canary\r\ncanary", "more than one line"),
            (b"canary\xff", "not UTF-8"),
            (&long, "larger than 65536 bytes"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(why) && error.contains("/secret: ") && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_file_that_everybody_can_read_or_change_is_refused() {
        for (mode, why) in
            [(0o644, "can be read by every user of the machine (mode 0644)"), (0o602, "can be changed by every user")]
        {
            let (_directory, source) = secret_file(b"canary", mode, 0o755);
            let error = source.read().unwrap_err();
            assert!(error.contains(why) && !error.contains("canary"), "{error}");
            assert!(source.concern().unwrap().contains(why));
        }
    }

    #[test]
    fn a_directory_that_keeps_others_out_is_enough() {
        let (_directory, source) = secret_file(b"made up", 0o644, 0o700);
        assert!(source.read().is_ok());
        assert!(source.concern().unwrap().contains("readable by its group (mode 0644)"));
    }

    #[test]
    fn a_group_may_read_it_with_a_warning() {
        let (_directory, source) = secret_file(b"made up", 0o640, 0o755);
        assert!(source.read().is_ok());
        assert!(source.concern().unwrap().contains("readable by its group (mode 0640)"));
        let (_directory, source) = secret_file(b"made up", 0o600, 0o755);
        assert_eq!(source.concern(), None);
    }

    #[test]
    fn it_is_read_again_each_time() {
        let (directory, source) = secret_file(b"first", 0o600, 0o700);
        assert_eq!(source.read().unwrap().expose_secret(), "first");
        fs::write(directory.path().join("secret"), "second\n").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "second");
        fs::remove_file(directory.path().join("secret")).unwrap();
        assert!(source.read().unwrap_err().contains("there is no such file"));
        assert!(source.concern().unwrap().contains("until the file is there"));
    }

    #[test]
    fn other_places() {
        let directory = tempfile::tempdir().unwrap();
        assert!(SecretSource::File(directory.path().to_owned()).read().unwrap_err().contains("not a regular file"));
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let fifo = SecretSource::File(fifo);
        assert!(fifo.read().unwrap_err().contains("not a regular file"), "and it is not waited for");
        assert!(fifo.concern().unwrap().contains("not a regular file"));
        assert!(SecretSource::Environment("CARGO_MANIFEST_DIR").read().is_ok());
        let error = SecretSource::Environment("DEFENDER_FEED_THIS_IS_NOT_SET").read().unwrap_err();
        assert_eq!(error, "environment variable DEFENDER_FEED_THIS_IS_NOT_SET: it is not set");
    }
}
