//! Standard output. The only place that touches it.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{OFlags, fcntl_getfl, fstat};

use super::{Output, SinkError};

const NAME: &str = "standard output";

/// The output on standard output.
///
/// # Errors
/// [`SinkError::Closed`] if the process was started with it closed. Rust's runtime then opens `/dev/null` in its place,
/// for reading and writing, and every line would be lost in silence; a shell's `> /dev/null` opens for writing only and
/// is taken as meant.
pub fn stdout() -> Result<Output, SinkError> {
    let failed = |error: std::io::Error| SinkError::Io { output: NAME.to_owned(), detail: error.to_string() };
    let descriptor = std::io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
    let stat = fstat(&descriptor).map_err(|e| failed(e.into()))?;
    let is_null = std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == stat.st_rdev && stat.st_rdev != 0);
    if is_null && fcntl_getfl(&descriptor).map_err(|e| failed(e.into()))?.contains(OFlags::RDWR) {
        let detail = "it was closed when the process started; to throw events away on purpose use `> /dev/null`";
        return Err(SinkError::Closed { output: NAME.to_owned(), detail: detail.to_owned() });
    }
    Output::new(descriptor, NAME)
}
